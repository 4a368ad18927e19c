/** The pool of workers. Only this file knows piscina. */
import { Piscina } from 'piscina';
import { NestwalkError } from '../errors.ts';
import type { RunOutcome } from './execute.ts';
import { CONTROL, type WorkerAnswer, type WorkerJob } from './worker.ts';

/** Milliseconds between two looks at a worker's progress. */
const POLL_MS = 100;

/** The worker's file has the ending of this one, so that sources, `dist` and tests each find their own. */
const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const stripsTypes = Boolean((process.features as { typescript?: unknown }).typescript);

function makePool(threads: number): Piscina<WorkerJob, WorkerAnswer> {
  const pool = new Piscina<WorkerJob, WorkerAnswer>({
    filename: new URL(`./worker${ending}`, import.meta.url).href,
    minThreads: 0,
    maxThreads: threads,
    atomics: 'disabled',
    // Resolved from here: the working directory may be anywhere.
    ...(ending === '.ts' && !stripsTypes ? { execArgv: ['--import', import.meta.resolve('tsx')] } : {}),
  });
  return pool;
}

/** Settles when a worker of the pool dies outside a task, for example while it loads: then no task would ever settle. */
function deathOf(pool: Piscina<WorkerJob, WorkerAnswer>): Promise<never> {
  return new Promise((_, reject) => {
    pool.on('error', reject);
  });
}

/** What the caller of a run in a worker may ask for. */
export interface WatchOptions {
  signal?: AbortSignal;
  /** Told every tenth of a second: accesses completed. */
  onDone?: (done: number) => void;
}

/**
 * Runs one job in a worker of its own.
 * @throws NestwalkError as `execute`, and `run.failed` when the worker died
 */
export async function runInWorker(job: Omit<WorkerJob, 'control'>, options: WatchOptions = {}): Promise<RunOutcome> {
  const control = new SharedArrayBuffer(CONTROL.words * BigInt64Array.BYTES_PER_ELEMENT);
  const words = new BigInt64Array(control);
  const cancel = (): void => {
    Atomics.store(words, CONTROL.cancel, 1n);
  };
  const { signal, onDone } = options;
  if (signal?.aborted) cancel();
  else signal?.addEventListener('abort', cancel, { once: true });
  const timer = setInterval(() => onDone?.(Number(Atomics.load(words, CONTROL.done))), POLL_MS);
  const pool = makePool(1);
  try {
    const running = Promise.race([pool.run({ ...job, control }), deathOf(pool)]);
    const answer = await running.catch((cause: Error) => {
      throw new NestwalkError('run.failed', `A worker died: ${cause.message}. Give it less to hold in memory, or report this.`, {
        cause,
      });
    });
    if ('outcome' in answer) return answer.outcome;
    const { code, message, problems, stack } = answer.error;
    const error = new NestwalkError(code, message, { problems });
    if (stack !== undefined) error.stack = stack;
    throw error;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', cancel);
    await pool.close({ force: true });
  }
}
