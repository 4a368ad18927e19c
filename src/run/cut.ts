/** Whether a run may be cut into segments, and how long these are. */
import { availableParallelism } from 'node:os';
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import type { RunOptions } from '../results/types.ts';
import { openConfiguredTrace } from './execute.ts';

/** How a run is cut. */
export interface Cut {
  /** Accesses of the whole run. */
  accesses: number;
  /** Accesses of each segment but the last. */
  segmentAccesses: number;
  /** Accesses that a segment runs before its own, uncounted. */
  warmup: number;
  /** Distance of a segment's first checkpoint from its start; each further one is twice as far. */
  checkpoint: number;
  /** Segments run again whole, one after the other, after which the rest of the run is no longer guessed at. */
  patience: number;
}

/** A segment is at least this many warm-ups long, so that warming up stays under 3 % of the work. */
const WARMUPS_PER_SEGMENT = 32;
/**
 * Accesses of warm-up for each line of the largest PTE cache, below which a guessed state of it is hopeless: it keeps
 * what it saw long ago, and every segment would be run again.
 */
const WARMUP_PER_LINE = 16;
/** Shorter segments would not repay the start of a worker. */
const LEAST_SEGMENT = 2 ** 24;
/** So many segments a worker keep all of them busy to the end, on cores that are not equally fast. */
const SEGMENTS_PER_WORKER = 8;
/** A thousandth of a segment: what a repair costs at least. */
const CHECKPOINT_PART = 1024;
const PATIENCE = 2;

/** How many threads are asked for. */
export function workersOf(config: ResolvedConfig, options: Pick<RunOptions, 'workers'>): number {
  const workers = options.workers ?? config.run.workers;
  return workers === 'auto' ? availableParallelism() : workers;
}

/**
 * Whether the hardware's state at an access follows from the accesses just before it alone, as cutting needs: nothing
 * faults, no entry changes. Distinct entries and stack distances are of the whole stream, and keep a run in one piece.
 */
function isStatic({ paging, optional, workload }: ResolvedConfig): boolean {
  const startsAnywhere = !isTrace(workload) || workload.format === 'nwt';
  return paging.populate === 'prefault' && paging.ad === 'set' && optional.length === 0 && startsAnywhere;
}

/** Whether a warm-up can leave the PTE caches with what the run would have in them. */
function forgetsInTime({ machine, run }: ResolvedConfig): boolean {
  const lines = machine.caches.map((cache) => cache.size / cache.line);
  return run.warmup >= WARMUP_PER_LINE * Math.max(0, ...lines);
}

/** Accesses of a run; of a trace that is read to its end, what its header says. */
async function accessesOf(config: ResolvedConfig): Promise<number> {
  if (!isTrace(config.workload)) return config.accesses!;
  const trace = await openConfiguredTrace(config, config.workload);
  await trace.close();
  return trace.accesses!;
}

/** Segments of a run: as many as keep all workers busy, if they are long enough for that; equally many for each worker. */
function segmentsFor(accesses: number, workers: number, warmup: number): number {
  const most = Math.floor(accesses / Math.max(LEAST_SEGMENT, WARMUPS_PER_SEGMENT * warmup));
  const count = Math.min(most, SEGMENTS_PER_WORKER * workers);
  return count > workers ? count - (count % workers) : count;
}

/**
 * How to cut a run; undefined when it runs in one piece: on one worker, too short, not static, or with PTE caches that
 * are large beside the warm-up.
 * @throws NestwalkError of opening a trace
 */
export async function planCut(
  config: ResolvedConfig,
  options: Pick<RunOptions, 'workers' | 'segmentAccesses'>,
): Promise<Cut | undefined> {
  const workers = workersOf(config, options);
  if (!isStatic(config)) return undefined;
  // Whoever names a length wants segments.
  if (options.segmentAccesses === undefined && (workers === 1 || !forgetsInTime(config))) return undefined;
  const accesses = await accessesOf(config);
  const { warmup } = config.run;
  const segmentAccesses =
    options.segmentAccesses ?? Math.ceil(accesses / segmentsFor(accesses, workers, warmup));
  if (!(segmentAccesses < accesses)) return undefined;
  const checkpoint = Math.max(1, Math.floor(segmentAccesses / CHECKPOINT_PART));
  return { accesses, segmentAccesses, warmup, checkpoint, patience: PATIENCE };
}
