/**
 * One run in one thread: page tables and software, hardware, and the loop between them. Workers call this, and so do
 * tests that want no worker.
 */
import { totalmem } from 'node:os';
import { isTrace, type ResolvedConfig, type TraceConfig } from '../config/resolved.ts';
import { seedWords } from '../config/units.ts';
import { createHardware, type SimulatedHardware } from '../engine/hardware.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { contextBlock, machineBlock } from '../engine/machineBlock.ts';
import { NestwalkError } from '../errors.ts';
import type { WorkloadBlock } from '../hardware/access.ts';
import { createSystem, type System } from '../hypervisor/system.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import { ACCESS_KINDS, FAULT, RUN_STATUS } from '../schema.ts';
import { openTrace, type Trace } from '../trace/trace.ts';
import { encodeWorkload } from '../workload/encode.ts';
import { zipfDigest } from '../workload/zipf.ts';
import { type RunControl, UNWATCHED } from './control.ts';

export { type RunControl, UNWATCHED } from './control.ts';

/** Bytes of memory that this process can have: the machine's, or its container's where that has less. */
export function machineMemoryBytes(): number {
  // 0 or nothing where there is no limit, and on some systems a number far beyond the machine.
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}

/** Most bytes of page tables: what this machine can be expected to hold beside everything else. */
const memoryLimitBytes = (): number => 0.8 * machineMemoryBytes();

/** What a run leaves: blocks by src/schema.ts, seconds of the access loop, and what the software did. */
export interface RunOutcome {
  engine: 'native' | 'ts';
  tier: string;
  engineReason: string;
  counters: Float64Array;
  unique?: Float64Array;
  reuse?: Float64Array;
  events: Record<string, number>;
  /** Seconds of the access loop. */
  seconds: number;
  /** Seconds before it: reading a trace's pages, building tables. */
  prepareSeconds: number;
  hashes: Record<string, string>;
  /** Threads that ran accesses. */
  workers: number;
  /** Pieces that the run was cut into, by what became of them. */
  segments: { accepted: number; repaired: number; rerun: number };
}

/** Accesses at a time: first guess, and the time that later chunks aim at, so that cancelling is prompt on any machine. */
const FIRST_CHUNK = 16_384;
const LARGEST_CHUNK = 2 ** 26;
const CHUNK_SECONDS = 0.05;
/** Faults that one access may take: each translation of a 2-D walk may lack one mapping, and then none is left. */
const MOST_FAULTS = 64;

const seconds = (): number => performance.now() / 1000;

/** Grows or shrinks a chunk towards its time. */
function nextChunk(chunk: number, took: number): number {
  if (took < CHUNK_SECONDS / 2) return Math.min(LARGEST_CHUNK, chunk * 2);
  if (took > CHUNK_SECONDS * 2) return Math.max(1024, Math.floor(chunk / 2));
  return chunk;
}

/** The system, the hardware with its context loaded, and what feeds it. */
export interface PreparedRun {
  system: System;
  hardware: SimulatedHardware;
  engineReason: string;
  workload?: WorkloadBlock;
  trace?: Trace;
}

/**
 * Opens the trace of a configuration, cut to the accesses that it asks for.
 * @throws NestwalkError as `openTrace`
 */
export function openConfiguredTrace(config: ResolvedConfig, workload: TraceConfig): Promise<Trace> {
  return openTrace(workload.trace, {
    ...(workload.format === 'auto' ? {} : { format: workload.format }),
    fetches: workload.fetches,
    levels: config.paging.guestLevels,
    ...(config.accesses === undefined ? {} : { limit: config.accesses }),
  });
}

/**
 * Builds page tables and hardware of a configuration. Close `trace` when there is one.
 * @throws NestwalkError of the trace, of memory, and of the engine
 */
export async function prepareRun(
  config: ResolvedConfig,
  engine: EngineRequest,
  control: RunControl = UNWATCHED,
): Promise<PreparedRun> {
  const choice = chooseEngine(engine);
  let workload: WorkloadBlock | undefined;
  let trace: Trace | undefined;
  let tracePages: Float64Array | undefined;
  if (isTrace(config.workload)) {
    trace = await openConfiguredTrace(config, config.workload);
  } else {
    workload = encodeWorkload(config.workload, config.regions, seedWords(config.seed));
  }
  try {
    if (trace) tracePages = await trace.firstTouch({ onProgress: () => stopIfCancelled(control) });
    const system = createSystem(config, {
      ...(tracePages ? { tracePages } : {}),
      memoryLimitBytes: memoryLimitBytes(),
      onMemory: (buffer) => choice.addon?.adviseHugePages(new Uint32Array(buffer)),
    });
    const hardware = createHardware(choice, {
      machine: machineBlock(config, system.bounds, system.static),
      memory: system.memory.buffer,
      ...(workload ? { workload } : {}),
    });
    hardware.loadContext(contextBlock(system.context));
    return {
      system,
      hardware,
      engineReason: choice.reason,
      ...(workload ? { workload } : {}),
      ...(trace ? { trace } : {}),
    };
  } catch (error) {
    await trace?.close();
    throw error;
  }
}

/** Throws when the run was cancelled. */
function stopIfCancelled(control: RunControl): void {
  if (control.cancelled())
    throw new NestwalkError('run.cancelled', 'The run was interrupted; nothing of it was kept.');
}

/**
 * The fault that a fault block tells of.
 * @throws NestwalkError `table.corrupt`, or `engine.failed` for a run that was promised to be static and is not
 */
export function faultFromBlock(block: Float64Array): Fault {
  const status = RUN_STATUS[block[FAULT.detail]!];
  if (status !== 'guestFault' && status !== 'nestedViolation') {
    const isStatic = status === 'notStatic';
    const met = isStatic
      ? 'a fault, or an entry to change, where nothing can fault or change'
      : 'a corrupt page table';
    throw new NestwalkError(
      isStatic ? 'engine.failed' : 'table.corrupt',
      `Access ${block[FAULT.index]} (page 0x${block[FAULT.page]!.toString(16)}) met ${met}. Report this with the configuration.`,
    );
  }
  return {
    kind: status,
    page: block[FAULT.page]!,
    offset: block[FAULT.offset]!,
    access: ACCESS_KINDS[block[FAULT.kind]!]!,
    gpaFrame: block[FAULT.gpaFrame]!,
    intent: block[FAULT.intentWrite] === 1 ? 'write' : 'read',
    row: block[FAULT.row]!,
  };
}

/** The loop between two faults, for one prepared run. */
export class RunLoop {
  private readonly system: System | undefined;
  private readonly hardware: SimulatedHardware;
  private readonly control: RunControl;
  private chunk = FIRST_CHUNK;
  private faultIndex = -1;
  private faults = 0;

  /** @param run without a system only when nothing can fault */
  constructor(run: Pick<PreparedRun, 'hardware'> & Partial<PreparedRun>, control: RunControl = UNWATCHED) {
    this.system = run.system;
    this.hardware = run.hardware;
    this.control = control;
  }

  /** Runs accesses `from` to `from + count` of a synthetic workload. */
  synthetic(from: number, count: number): void {
    this.loop(count, (done, chunk) => this.hardware.runSynthetic(from + done, chunk), from);
  }

  /** Runs a block of recorded accesses whose first has stream index `index`. */
  recorded(pages: Float64Array, words: Uint16Array, count: number, index: number): void {
    this.loop(
      count,
      (done, chunk) => this.hardware.runRecorded(pages, words, done, chunk, index + done),
      index,
    );
  }

  private loop(count: number, run: (done: number, chunk: number) => number, index: number): void {
    for (let done = 0; done < count; ) {
      const wanted = Math.min(this.chunk, count - done);
      const start = seconds();
      const completed = run(done, wanted);
      done += completed;
      if (completed < wanted) this.handleFault(index + done);
      else if (wanted === this.chunk) this.chunk = nextChunk(this.chunk, seconds() - start);
      this.control.progress(index + done);
      stopIfCancelled(this.control);
    }
  }

  /** Lets the software handle the fault that stopped the stream at an access. */
  private handleFault(index: number): void {
    const fault = faultFromBlock(this.hardware.fault());
    this.faults = index === this.faultIndex ? this.faults + 1 : 1;
    this.faultIndex = index;
    if (this.faults > MOST_FAULTS || this.system === undefined) {
      throw new NestwalkError(
        'table.corrupt',
        `Access ${index} faults without end (${fault.kind}). Report this with the configuration.`,
      );
    }
    this.system.handleFault(fault, this.hardware);
  }
}

/**
 * Runs a configuration to its end in this thread.
 * @throws NestwalkError `run.cancelled` when the control says so, and as {@link prepareRun}
 */
export async function execute(
  config: ResolvedConfig,
  engine: EngineRequest = config.run.engine,
  control: RunControl = UNWATCHED,
): Promise<RunOutcome> {
  const begun = seconds();
  const run = await prepareRun(config, engine, control);
  const prepared = seconds();
  let accessSeconds = 0;
  try {
    const loop = new RunLoop(run, control);
    if (run.trace) {
      let index = 0;
      for await (const block of run.trace.blocks()) {
        const start = seconds();
        loop.recorded(block.pages, block.words, block.count, index);
        accessSeconds += seconds() - start;
        index += block.count;
      }
    } else {
      loop.synthetic(0, config.accesses!);
      accessSeconds = seconds() - prepared;
    }
  } finally {
    await run.trace?.close();
  }
  const { hardware, system } = run;
  return {
    engine: hardware.engine,
    tier: hardware.tier,
    engineReason: run.engineReason,
    counters: hardware.counters(),
    ...(config.optional.includes('unique') ? { unique: hardware.unique() } : {}),
    ...(config.optional.includes('reuse') ? { reuse: hardware.reuse() } : {}),
    events: { ...system.ledger.events },
    seconds: accessSeconds,
    prepareSeconds: prepared - begun,
    hashes: tableHashes(run.workload),
    workers: 1,
    segments: { accepted: 1, repaired: 0, rerun: 0 },
  };
}

/** SHA-256 of the Zipf tables of a workload, by number in depth-first order. */
export function tableHashes(workload: WorkloadBlock | undefined): Record<string, string> {
  return Object.fromEntries((workload?.tables ?? []).map((table, i) => [`zipf${i}`, zipfDigest(table)]));
}
