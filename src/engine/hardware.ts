/** One face for both engines: a simulated machine that runs accesses and answers to the software. */
import { createHash } from 'node:crypto';
import { NestwalkError } from '../errors.ts';
import type { WorkloadBlock } from '../hardware/access.ts';
import { Core } from '../hardware/core.ts';
import { Stack, type StackCell } from '../hardware/stack.ts';
import { loadState, saveState } from '../hardware/state.ts';
import { CONTEXT_SLOTS, COUNTER_SLOTS, FAULT_SLOTS } from '../schema.ts';
import {
  type EngineChoice,
  type NativeAddon,
  type NativeExchange,
  type NativeHardware,
  type NativeWorkload,
  nativeTier,
} from './loader.ts';

/** What a machine is made of. */
export interface HardwareSetup {
  /** Machine block. */
  machine: Float64Array;
  /** Simulated memory, which holds the page tables. */
  memory: SharedArrayBuffer;
  /** What `runSynthetic` draws from, until another workload is loaded. */
  workload?: WorkloadBlock;
}

/** A simulated machine. Blocks are laid out by src/schema.ts; invalidations as in docs/model.md. */
export interface SimulatedHardware {
  readonly engine: 'native' | 'ts';
  /** Instruction-set tier; `none` for TypeScript. */
  readonly tier: string;
  loadContext(context: Float64Array): void;
  /**
   * Lets `runSynthetic` draw from another workload. Nothing else changes, and a workload that was loaded before is
   * loaded again in no time, so that a machine may run many streams in turn.
   */
  loadWorkload(workload: WorkloadBlock): void;
  /** Runs accesses `from` to `from + count` of the workload; returns how many completed, fewer after a fault. */
  runSynthetic(from: number, count: number): number;
  /** Runs accesses `first` to `first + count` of a block; `index` is the stream index of the first. */
  runRecorded(pages: Float64Array, words: Uint16Array, first: number, count: number, index: number): number;
  /** The fault block after a run that stopped early; the next run writes over it. */
  fault(): Float64Array;
  invlpg(tag: number, page: number): void;
  flushTag(tag: number): void;
  invept(vm: number): void;
  flushAll(): void;
  /** A copy of the counter block. */
  counters(): Float64Array;
  /** Distinct entries by position; all zeros unless asked for. */
  unique(): Float64Array;
  /** Cold accesses, then pairs (distance, count) in any order. */
  reuse(): Float64Array;
  /** The complete state in canonical form: equal in both engines. */
  saveState(): Float64Array;
  loadState(state: Float64Array): void;
}

/** The TypeScript engine. Its core is open to probes, which only this engine has. */
export class TypeScriptHardware implements SimulatedHardware {
  readonly engine = 'ts';
  readonly tier = 'none';
  readonly core: Core;

  constructor(setup: HardwareSetup) {
    this.core = new Core(setup.machine, setup.memory, setup.workload);
  }

  loadContext(context: Float64Array): void {
    this.core.loadContext(context);
  }

  loadWorkload(workload: WorkloadBlock): void {
    this.core.loadWorkload(workload);
  }

  runSynthetic(from: number, count: number): number {
    return this.core.runSynthetic(from, count);
  }

  runRecorded(pages: Float64Array, words: Uint16Array, first: number, count: number, index: number): number {
    return this.core.runRecorded(pages, words, first, count, index);
  }

  fault(): Float64Array {
    return this.core.fault;
  }

  invlpg(tag: number, page: number): void {
    this.core.invlpg(tag, page);
  }

  flushTag(tag: number): void {
    this.core.flushTag(tag);
  }

  invept(vm: number): void {
    this.core.invept(vm);
  }

  flushAll(): void {
    this.core.flushAll();
  }

  counters(): Float64Array {
    return this.core.readCounters();
  }

  unique(): Float64Array {
    return this.core.unique?.counts() ?? new Float64Array();
  }

  reuse(): Float64Array {
    return this.core.reuse?.flat() ?? new Float64Array();
  }

  saveState(): Float64Array {
    return saveState(this.core);
  }

  loadState(state: Float64Array): void {
    loadState(this.core, state);
  }
}

/** Accesses that a short run may have: it copies them rather than have their arrays looked at. */
const MOST_SHORT = 32;

class NativeMachine implements SimulatedHardware {
  readonly engine = 'native';
  readonly tier: string;
  readonly hardware: NativeHardware;
  private readonly exchange: NativeExchange = {
    context: new Float64Array(CONTEXT_SLOTS),
    fault: new Float64Array(FAULT_SLOTS),
    pages: new Float64Array(MOST_SHORT),
    words: new Uint16Array(MOST_SHORT),
  };
  private readonly workloads = new WeakMap<WorkloadBlock, NativeWorkload>();
  private readonly addon: NativeAddon;

  constructor(addon: NativeAddon, setup: HardwareSetup) {
    this.addon = addon;
    this.tier = nativeTier(addon);
    try {
      this.hardware = new addon.Hardware(
        this.tier,
        setup.machine,
        new Uint32Array(setup.memory),
        this.exchange,
      );
      if (setup.workload) this.loadWorkload(setup.workload);
    } catch (cause) {
      throw new NestwalkError(
        'engine.failed',
        `The native engine could not make the machine: ${(cause as Error).message}.`,
        {
          cause,
        },
      );
    }
  }

  loadContext(context: Float64Array): void {
    this.exchange.context.set(context);
    this.hardware.loadContext();
  }

  loadWorkload(workload: WorkloadBlock): void {
    let ready = this.workloads.get(workload);
    if (ready === undefined) {
      ready = new this.addon.Workload(this.tier, workload);
      this.workloads.set(workload, ready);
    }
    this.hardware.loadWorkload(ready);
  }

  runSynthetic(from: number, count: number): number {
    return this.hardware.runSynthetic(from, count);
  }

  runRecorded(pages: Float64Array, words: Uint16Array, first: number, count: number, index: number): number {
    if (count > MOST_SHORT || first + count > Math.min(pages.length, words.length))
      return this.hardware.runRecorded(pages, words, first, count, index);
    const { exchange } = this;
    for (let i = 0; i < count; i++) {
      exchange.pages[i] = pages[first + i]!;
      exchange.words[i] = words[first + i]!;
    }
    return this.hardware.runShort(count, index);
  }

  fault(): Float64Array {
    return this.exchange.fault;
  }

  invlpg(tag: number, page: number): void {
    this.hardware.invlpg(tag, page);
  }

  flushTag(tag: number): void {
    this.hardware.flushTag(tag);
  }

  invept(vm: number): void {
    this.hardware.invept(vm);
  }

  flushAll(): void {
    this.hardware.flushAll();
  }

  counters(): Float64Array {
    const counters = new Float64Array(COUNTER_SLOTS);
    this.hardware.readCounters(counters);
    return counters;
  }

  unique(): Float64Array {
    return this.hardware.readUnique();
  }

  reuse(): Float64Array {
    return this.hardware.readReuse();
  }

  saveState(): Float64Array {
    return this.hardware.saveState();
  }

  loadState(state: Float64Array): void {
    this.hardware.loadState(state);
  }
}

/**
 * Makes a machine on the engine chosen.
 * @throws NestwalkError `engine.failed` when the native engine cannot make it
 */
export function createHardware(choice: EngineChoice, setup: HardwareSetup): SimulatedHardware {
  return choice.engine === 'native' ? new NativeMachine(choice.addon, setup) : new TypeScriptHardware(setup);
}

/** Many STLBs over the L1 misses of one machine, in one pass. */
export interface SimulatedStack {
  /** Walks for what is still waiting. False when a walk broke the promise of a static run. */
  finish(): boolean;
  /** STLB misses by cell. */
  misses(): Float64Array;
}

/**
 * Puts the cells' STLBs, and a walker for each cell or none, behind the L1 of a machine that has no STLB of its own.
 * Both must have been made by {@link createHardware} with the same choice, for static runs; the walkers have one shape.
 */
export function createStack(
  choice: EngineChoice,
  machine: Float64Array,
  front: SimulatedHardware,
  cells: readonly StackCell[],
  walkers: readonly SimulatedHardware[],
): SimulatedStack {
  if (choice.engine === 'native') {
    const shapes = Float64Array.from(cells.flatMap(({ entries, ways }) => [entries, ways]));
    const native = (hardware: SimulatedHardware): NativeHardware => (hardware as NativeMachine).hardware;
    const stack = new choice.addon.Stack(
      nativeTier(choice.addon),
      machine,
      native(front),
      shapes,
      walkers.map(native),
    );
    return { finish: () => stack.finish(), misses: () => stack.misses() };
  }
  const core = (hardware: SimulatedHardware): Core => (hardware as TypeScriptHardware).core;
  const stack = new Stack(machine, cells, walkers.map(core));
  core(front).missSink = (page) => stack.take(page);
  return { finish: () => true, misses: () => stack.misses.slice() };
}

/** 128-bit digest (32 hex digits) of a saved state: equal states have equal digests in both engines. */
export function stateDigest(state: Float64Array): string {
  const bytes = new Uint8Array(state.buffer, state.byteOffset, state.byteLength);
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}
