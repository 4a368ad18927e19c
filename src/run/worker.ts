/** What a pool's worker runs: one configuration, watched and stopped through shared words, never by termination. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { EngineRequest } from '../engine/loader.ts';
import type { ErrorCode, Problem } from '../errors.ts';
import { NestwalkError } from '../errors.ts';
import { execute, type RunOutcome } from './execute.ts';

/** Words of the block that caller and worker share. */
export const CONTROL = { done: 0, cancel: 1, words: 2 } as const;

/** One run for a worker; `control` is a `BigInt64Array` of `CONTROL.words`. */
export interface WorkerJob {
  config: ResolvedConfig;
  engine: EngineRequest;
  control: SharedArrayBuffer;
}

/** An error as it crosses between threads, where classes are lost. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  problems: readonly Problem[];
  stack?: string;
}

/** What a worker answers. */
export type WorkerAnswer = { outcome: RunOutcome } | { error: PlainError };

/** Runs a job; errors are answers, so that their codes survive the way back. */
export default async function work(job: WorkerJob): Promise<WorkerAnswer> {
  const control = new BigInt64Array(job.control);
  try {
    const outcome = await execute(job.config, job.engine, {
      progress: (done) => Atomics.store(control, CONTROL.done, BigInt(done)),
      cancelled: () => Atomics.load(control, CONTROL.cancel) !== 0n,
    });
    return { outcome };
  } catch (error) {
    const { message, stack } = error as Error;
    if (error instanceof NestwalkError) return { error: { code: error.code, message, problems: error.problems, stack } };
    return { error: { code: 'run.failed', message: `A worker failed: ${message}`, problems: [], stack } };
  }
}
