/** What the thread of a share runs: one pass after another, watched and stopped through shared words. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { EngineRequest } from '../engine/loader.ts';
import { type ErrorCode, NestwalkError } from '../errors.ts';
import { SharedControl } from '../run/control.ts';
import { execute } from '../run/execute.ts';
import { executeGroup } from '../run/group.ts';

/** A pass for the thread; `cells` are the STLB geometries of a group, absent for a single run. */
export interface PassJob {
  config: ResolvedConfig;
  cells?: { entries: number; ways: number }[];
  counters: 'tlb' | 'all';
  engine: EngineRequest;
  /** Buffer of a `SharedControl` with one slot. */
  control: SharedArrayBuffer;
}

/** What a pass leaves; one counter block for each of its cells. */
export interface PassOutcome {
  engine: 'native' | 'ts';
  tier: string;
  counters: Float64Array[];
  unique?: Float64Array;
  reuse?: Float64Array;
  events: Record<string, number>;
  seconds: number;
  prepareSeconds: number;
}

/** What the thread answers; an error as it crosses between threads, where classes are lost. */
export type PassAnswer = { outcome: PassOutcome } | { error: { code: ErrorCode; message: string } };

/** Runs a pass in this thread. @throws {NestwalkError} as `execute` and `executeGroup` */
async function runPass(job: PassJob): Promise<PassOutcome> {
  const control = new SharedControl(job.control).slot(0);
  if (job.cells) {
    const {
      engineReason: _reason,
      hashes: _hashes,
      ...outcome
    } = await executeGroup(job.config, job.cells, { counters: job.counters, engine: job.engine }, control);
    return outcome;
  }
  const { engine, tier, counters, unique, reuse, events, seconds, prepareSeconds } = await execute(
    job.config,
    job.engine,
    control,
  );
  const optional = { ...(unique ? { unique } : {}), ...(reuse ? { reuse } : {}) };
  return { engine, tier, counters: [counters], ...optional, events, seconds, prepareSeconds };
}

/** Runs a job; errors are answers, so that their codes survive the way back. */
export default async function work(job: PassJob): Promise<PassAnswer> {
  try {
    return { outcome: await runPass(job) };
  } catch (error) {
    const code = error instanceof NestwalkError ? error.code : 'run.failed';
    return { error: { code, message: (error as Error).message } };
  }
}
