/** What a pool's worker runs: jobs, watched and stopped through shared words, never by termination. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { EngineRequest } from '../engine/loader.ts';
import type { ErrorCode, Problem } from '../errors.ts';
import { NestwalkError } from '../errors.ts';
import { type RunControl, SharedControl } from './control.ts';
import { execute, type RunOutcome } from './execute.ts';
import {
  type Preparation,
  prepareShared,
  type Repair,
  type RepairPiece,
  repair,
  type SegmentPiece,
  type SharedRun,
  type Speculation,
  speculate,
} from './segment.ts';

/** What each kind of job is given, and what it answers. */
export interface JobKinds {
  /** A whole run. */
  run: { input: { config: ResolvedConfig; engine: EngineRequest }; output: RunOutcome };
  /** Tables and workload of a run that is to be cut. */
  prepare: { input: { config: ResolvedConfig; engine: EngineRequest }; output: Preparation };
  /** A segment from a guessed start. */
  segment: { input: { run: SharedRun; piece: SegmentPiece }; output: Speculation };
  /** A segment, or its beginning, from a true state. */
  repair: { input: { run: SharedRun; piece: RepairPiece }; output: Repair };
}
/** Name of a kind of job. */
export type JobKind = keyof JobKinds;
/** What a job of a kind is given. */
export type JobInput<Kind extends JobKind> = JobKinds[Kind]['input'];
/** What a job of a kind answers. */
export type JobOutput<Kind extends JobKind> = JobKinds[Kind]['output'];

/** A job for a worker. */
export interface WorkerJob<Kind extends JobKind = JobKind> {
  kind: Kind;
  input: JobInput<Kind>;
  /** Buffer of a {@link SharedControl}. */
  control: SharedArrayBuffer;
  /** This job's slot there. */
  slot: number;
  /** Stream index at which its accesses begin to count as progress. */
  progressFrom: number;
}

/** An error as it crosses between threads, where classes are lost. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  problems: readonly Problem[];
  stack?: string;
}

/** What a worker answers. */
export type Answer<Output> = { output: Output } | { error: PlainError };

/** How each kind is done. */
const HANDLERS: {
  [Kind in JobKind]: (input: JobInput<Kind>, control: RunControl) => Promise<JobOutput<Kind>>;
} = {
  run: ({ config, engine }, control) => execute(config, engine, control),
  prepare: ({ config, engine }, control) => prepareShared(config, engine, control),
  segment: ({ run, piece }, control) => speculate(run, piece, control),
  repair: ({ run, piece }, control) => repair(run, piece, control),
};

/**
 * Does something in a worker; errors are answers, so that their codes survive the way back.
 * @param control is looked at before it begins
 */
export async function answer<Output>(
  control: RunControl,
  work: () => Promise<Output>,
): Promise<Answer<Output>> {
  try {
    if (control.cancelled())
      throw new NestwalkError('run.cancelled', 'The run was interrupted before this part of it began.');
    return { output: await work() };
  } catch (error) {
    const { message, stack } = error as Error;
    if (error instanceof NestwalkError)
      return { error: { code: error.code, message, problems: error.problems, stack } };
    return { error: { code: 'run.failed', message: `A worker failed: ${message}`, problems: [], stack } };
  }
}

/** Runs a job. */
export default function work<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<Answer<JobOutput<Kind>>> {
  const control = new SharedControl(job.control).slot(job.slot, job.progressFrom);
  return answer(control, () => HANDLERS[job.kind](job.input, control));
}
