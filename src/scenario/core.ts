/**
 * A physical core of a scenario's host: the simulated hardware, as platforms drive it and as programs run on it. What
 * cannot be observed is not done: a context is loaded when the next access runs, and what has been dropped already is not
 * dropped again.
 */
import type { SimulatedHardware } from '../engine/hardware.ts';
import { contextBlock } from '../engine/machineBlock.ts';
import { NestwalkError } from '../errors.ts';
import type { WorkloadBlock } from '../hardware/access.ts';
import type { HardwareContext, Processor } from '../memory/hardwareInterface.ts';
import type { RunControl } from '../run/control.ts';
import { faultFromBlock } from '../run/execute.ts';
import { CONTEXT, CONTEXT_SLOTS } from '../schema.ts';

/** Accesses that a core can be given at a time, one by one. */
export const TOUCH_BATCH = 4096;
/** Accesses at a time where most of them fault. */
const FEW = 32;
/** Accesses of a stream between two looks at whether the run is to stop. */
const STREAM_CHUNK = 2 ** 18;
/** Faults between two such looks. */
const FAULTS_BETWEEN_LOOKS = 4096;
/** Faults that one access may take, as in a run: then something faults without end. */
const MOST_FAULTS = 64;

/** What handles the faults of a core's accesses. */
export type FaultHandler = (fault: ReturnType<typeof faultFromBlock>) => void;

/** One core. */
export class Core implements Processor {
  /** Pages (GVA >> 12) of the next accesses given one by one. */
  readonly pages = new Float64Array(TOUCH_BATCH);
  /** Their words: offset and kind (src/schema.ts). */
  readonly words = new Uint16Array(TOUCH_BATCH);
  readonly #hardware: SimulatedHardware;
  readonly #control: RunControl;
  /** The context that was asked for last, and the one that the hardware has. */
  readonly #wanted = new Float64Array(CONTEXT_SLOTS);
  readonly #loaded = new Float64Array(CONTEXT_SLOTS).fill(-1);
  #stale = false;
  /** Whether a context was ever asked for. */
  #contexts = false;
  /** The tag that was dropped since the last access, or -1. */
  #dropped = -1;
  #workload: WorkloadBlock | undefined;
  #accesses = 0;
  /** Accesses of a stream that are asked for at a time. */
  #reach = STREAM_CHUNK;
  #faults = 0;

  constructor(hardware: SimulatedHardware, control: RunControl) {
    this.#hardware = hardware;
    this.#control = control;
  }

  /** Accesses that this core has completed. */
  get accesses(): number {
    return this.#accesses;
  }

  /** The virtual machine whose context was asked for last; -1 for none yet. */
  get vm(): number {
    return this.#contexts ? this.#wanted[CONTEXT.vm]! : -1;
  }

  /** A copy of its counter block. */
  counters(): Float64Array {
    return this.#hardware.counters();
  }

  load(context: HardwareContext): void {
    contextBlock(context, this.#wanted);
    this.#stale = true;
    this.#contexts = true;
  }

  invlpg(tag: number, page: number): void {
    if (tag !== this.#dropped) this.#hardware.invlpg(tag, page);
  }

  flushTag(tag: number): void {
    if (tag === this.#dropped) return;
    this.#hardware.flushTag(tag);
    this.#dropped = tag;
  }

  invept(vm: number): void {
    this.#hardware.invept(vm);
  }

  flushAll(): void {
    this.#hardware.flushAll();
  }

  /**
   * Runs the first `count` of {@link Core.pages} to their end.
   * @param onFault makes the access possible that faulted; it is then retried
   * @throws NestwalkError `table.corrupt` when an access faults without end; what `onFault` throws
   */
  touch(count: number, onFault: FaultHandler): void {
    for (let done = 0, faultsHere = 0, wanted = count; done < count; ) {
      this.#begin();
      const completed = this.#hardware.runRecorded(this.pages, this.words, done, wanted, this.#accesses);
      done += completed;
      this.#accesses += completed;
      if (completed < wanted) {
        faultsHere = completed > 0 ? 1 : faultsHere + 1;
        this.#handle(faultsHere, onFault);
      }
      // Where faults are dense, few accesses at a time: most of a long batch would be handed over again and again.
      wanted = Math.min(count - done, completed < FEW ? FEW : TOUCH_BATCH);
    }
  }

  /**
   * Runs accesses `from` to `from + count` of a synthetic workload to their end; as {@link touch}.
   * @throws NestwalkError `run.cancelled`, and as {@link touch}
   */
  stream(workload: WorkloadBlock, from: number, count: number, onFault: FaultHandler): void {
    if (count === 0) return;
    if (this.#workload !== workload) {
      this.#hardware.loadWorkload(workload);
      this.#workload = workload;
    }
    for (let done = 0, faultsHere = 0, reach = this.#reach; done < count; this.#reach = reach) {
      this.#begin();
      const wanted = Math.min(reach, count - done);
      const completed = this.#hardware.runSynthetic(from + done, wanted);
      done += completed;
      this.#accesses += completed;
      if (completed < wanted) {
        faultsHere = completed > 0 ? 1 : faultsHere + 1;
        this.#handle(faultsHere, onFault);
      } else this.stopIfCancelled();
      // What is drawn beyond a fault is drawn again: as far at a time as faults are apart.
      reach = Math.min(STREAM_CHUNK, Math.max(FEW, completed < wanted ? 2 * completed : 4 * reach));
    }
  }

  /** @throws NestwalkError `run.cancelled` when somebody has asked the run to stop */
  stopIfCancelled(): void {
    if (this.#control.cancelled())
      throw new NestwalkError('run.cancelled', 'The scenario was interrupted; nothing of it was kept.');
  }

  /** Loads what was asked for, where that is something else than what is loaded. */
  #begin(): void {
    this.#dropped = -1;
    if (!this.#stale) return;
    this.#stale = false;
    if (this.#wanted.every((slot, index) => slot === this.#loaded[index])) return;
    this.#loaded.set(this.#wanted);
    this.#hardware.loadContext(this.#wanted);
  }

  #handle(faultsHere: number, onFault: FaultHandler): void {
    const fault = faultFromBlock(this.#hardware.fault());
    if (faultsHere > MOST_FAULTS)
      throw new NestwalkError(
        'table.corrupt',
        `An access of page 0x${fault.page.toString(16)} faults without end (${fault.kind}). Report this with the scenario.`,
      );
    this.#faults += 1;
    if (this.#faults % FAULTS_BETWEEN_LOOKS === 0) this.stopIfCancelled();
    onFault(fault);
  }
}
