/**
 * Parts of a static run, as a worker runs them: a machine of its own over simulated memory that all workers share. What
 * becomes of the parts is decided in `segments.ts`.
 */
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import { createHardware, type SimulatedHardware } from '../engine/hardware.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { contextBlock, machineBlock } from '../engine/machineBlock.ts';
import { NestwalkError } from '../errors.ts';
import type { WorkloadBlock } from '../hardware/access.ts';
import type { AccessBlock, Trace } from '../trace/trace.ts';
import type { RunControl } from './control.ts';
import { openConfiguredTrace, prepareRun, RunLoop, tableHashes } from './execute.ts';
import { sameSections, sectionDigests } from './sections.ts';

/** Everything that a machine of a static run is made of, as it crosses between threads: what is large is shared. */
export interface SharedRun {
  engine: 'native' | 'ts';
  machine: Float64Array;
  context: Float64Array;
  memory: SharedArrayBuffer;
  /** Absent beside a trace. */
  workload?: WorkloadBlock;
  /** Configuration of a trace's run. */
  traced?: ResolvedConfig;
}

/** A static run made ready once, for all workers. */
export interface Preparation {
  run: SharedRun;
  tier: string;
  engineReason: string;
  /** Section digests of a machine that has run nothing. */
  fresh: string[];
  events: Record<string, number>;
  hashes: Record<string, string>;
  /** Seconds that it took. */
  seconds: number;
}

/** Stream indexes: `from` inclusive, `to` exclusive. */
export interface Stretch {
  from: number;
  to: number;
}

/** A segment: started cold `warmup` accesses early, those uncounted; digests taken at distances `checkpoint`, twice that, … */
export interface SegmentPiece extends Stretch {
  warmup: number;
  checkpoint: number;
}

/** A place in a segment: counters are of the segment's accesses before it. */
export interface Checkpoint {
  at: number;
  digests: string[];
  counters: Float64Array;
}

/** What a segment run from a guessed start found. */
export interface Speculation {
  /** Section digests at its start. */
  start: string[];
  checkpoints: Checkpoint[];
  /** Section digests at its end. */
  end: string[];
  /** State at its end. */
  state: Float64Array;
  counters: Float64Array;
}

/** A segment to run again from the true state, until it meets the speculation at one of its checkpoints. */
export interface RepairPiece extends Stretch {
  state: Float64Array;
  checkpoints: Pick<Checkpoint, 'at' | 'digests'>[];
  /** Sections that need not be equal. */
  carried: boolean[];
}

/** Where a repair met the speculation, and what it had counted and left there; or at the segment's end. */
export interface Repair {
  /** Number of the checkpoint; -1 when they never met. */
  met: number;
  state: Float64Array;
  counters: Float64Array;
}

/**
 * Builds tables and workload of a run once.
 * @throws NestwalkError as `prepareRun`; `engine.failed` for a run that is not static
 */
export async function prepareShared(
  config: ResolvedConfig,
  engine: EngineRequest,
  control: RunControl,
): Promise<Preparation> {
  const begun = performance.now();
  const prepared = await prepareRun(config, engine, control);
  await prepared.trace?.close();
  const { system, hardware, workload } = prepared;
  if (!system.static) {
    throw new NestwalkError(
      'engine.failed',
      'A run that can change its page tables was to be cut. Report this with the configuration.',
    );
  }
  return {
    run: {
      engine: hardware.engine,
      machine: machineBlock(config, system.bounds, true),
      context: contextBlock(system.context),
      memory: system.memory.buffer,
      ...(workload ? { workload } : { traced: config }),
    },
    tier: hardware.tier,
    engineReason: prepared.engineReason,
    fresh: sectionDigests(hardware.saveState()),
    events: { ...system.ledger.events },
    hashes: tableHashes(workload),
    seconds: (performance.now() - begun) / 1000,
  };
}

/** A machine somewhere in the stream. */
class Walker {
  readonly hardware: SimulatedHardware;
  private readonly loop: RunLoop;
  private readonly trace: Trace | undefined;
  private readonly blocks: AsyncGenerator<AccessBlock, void, undefined> | undefined;
  /** Block of a trace under way, and the stream index of its first access. */
  private block: AccessBlock | undefined;
  private blockIndex: number;
  private at: number;
  private base: Float64Array;

  private constructor(shared: SharedRun, at: number, control: RunControl, trace: Trace | undefined) {
    this.hardware = createHardware(chooseEngine(shared.engine), {
      machine: shared.machine,
      memory: shared.memory,
      ...(shared.workload ? { workload: shared.workload } : {}),
    });
    this.hardware.loadContext(shared.context);
    this.loop = new RunLoop({ hardware: this.hardware }, control);
    this.trace = trace;
    this.blocks = trace?.blocks(at);
    this.blockIndex = at;
    this.at = at;
    this.base = this.hardware.counters();
  }

  /** A cold machine before access `at`. Close it. */
  static async open(shared: SharedRun, at: number, control: RunControl): Promise<Walker> {
    const { traced } = shared;
    const trace =
      traced && isTrace(traced.workload) ? await openConfiguredTrace(traced, traced.workload) : undefined;
    try {
      return new Walker(shared, at, control, trace);
    } catch (error) {
      await trace?.close();
      throw error;
    }
  }

  /** Counts from here. */
  startCounting(): void {
    this.base = this.hardware.counters();
  }

  counted(): Float64Array {
    return this.hardware.counters().map((count, i) => count - this.base[i]!);
  }

  /** Runs up to access `to`, which is left out. */
  async advance(to: number): Promise<void> {
    if (this.blocks) await this.advanceRecorded(this.blocks, to);
    else this.loop.synthetic(this.at, to - this.at);
    this.at = to;
  }

  private async advanceRecorded(
    blocks: AsyncGenerator<AccessBlock, void, undefined>,
    to: number,
  ): Promise<void> {
    let { at } = this;
    while (at < to) {
      const passed = at - this.blockIndex;
      if (this.block && passed < this.block.count) {
        const count = Math.min(this.block.count - passed, to - at);
        this.loop.recorded(this.block.pages.subarray(passed), this.block.words.subarray(passed), count, at);
        at += count;
        continue;
      }
      const next = await blocks.next();
      if (next.done)
        throw new NestwalkError(
          'trace.corrupt',
          `The trace ended at access ${at}; it has changed while it was read.`,
        );
      this.block = next.value;
      this.blockIndex = at;
    }
  }

  async close(): Promise<void> {
    await this.blocks?.return();
    await this.trace?.close();
  }
}

async function withWalker<T>(
  shared: SharedRun,
  at: number,
  control: RunControl,
  use: (walker: Walker) => Promise<T>,
): Promise<T> {
  const walker = await Walker.open(shared, at, control);
  try {
    return await use(walker);
  } finally {
    await walker.close();
  }
}

/**
 * Runs a segment from a guessed start.
 * @throws NestwalkError `run.cancelled`; `table.corrupt`, `engine.failed`; those of traces
 */
export function speculate(shared: SharedRun, piece: SegmentPiece, control: RunControl): Promise<Speculation> {
  const { from, to, warmup, checkpoint } = piece;
  return withWalker(shared, Math.max(0, from - warmup), control, async (walker) => {
    await walker.advance(from);
    walker.startCounting();
    const start = sectionDigests(walker.hardware.saveState());
    const checkpoints: Checkpoint[] = [];
    // The first segment starts as the run does, so nothing will be asked of it in between.
    for (let distance = checkpoint; from > 0 && from + distance < to; distance *= 2) {
      await walker.advance(from + distance);
      const digests = sectionDigests(walker.hardware.saveState());
      checkpoints.push({ at: from + distance, digests, counters: walker.counted() });
    }
    await walker.advance(to);
    const state = walker.hardware.saveState();
    return { start, checkpoints, end: sectionDigests(state), state, counters: walker.counted() };
  });
}

/**
 * Runs a stretch from a true state until it meets its speculation, or to its end.
 * @throws NestwalkError as {@link speculate}
 */
export function repair(shared: SharedRun, piece: RepairPiece, control: RunControl): Promise<Repair> {
  return withWalker(shared, piece.from, control, async (walker) => {
    const { hardware } = walker;
    hardware.loadState(piece.state);
    walker.startCounting();
    for (const [met, { at, digests }] of piece.checkpoints.entries()) {
      await walker.advance(at);
      const state = hardware.saveState();
      if (sameSections(sectionDigests(state), digests, piece.carried))
        return { met, state, counters: walker.counted() };
    }
    await walker.advance(piece.to);
    return { met: -1, state: hardware.saveState(), counters: walker.counted() };
  });
}
