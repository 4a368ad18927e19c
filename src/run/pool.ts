/** The pool of workers. Only this file knows piscina. */
import { Piscina } from 'piscina';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { SharedControl, type WatchOptions, watch } from './control.ts';
import type { RunOutcome } from './execute.ts';
import type { Executor } from './segments.ts';
import type { Answer, JobKind, JobOutput, PlainError, WorkerJob } from './worker.ts';

/** Milliseconds that a worker has to notice that it is cancelled; then it is left behind. */
const GRACE_MS = 500;

/** The worker's file has the ending of this one, so that sources, `dist` and tests each find their own. */
const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const stripsTypes = Boolean((process.features as { typescript?: unknown }).typescript);
const WORKER_FILE = new URL(`./worker${ending}`, import.meta.url);

type AnyPool = Piscina<object, Answer<unknown>>;

function makePool(threads: number, options: PoolOptions): AnyPool {
  const { workerFile = WORKER_FILE, startAtOnce = false, heapMebibytes } = options;
  return new Piscina<object, Answer<unknown>>({
    filename: workerFile.href,
    minThreads: startAtOnce ? threads : 0,
    maxThreads: threads,
    atomics: 'disabled',
    ...(heapMebibytes === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: heapMebibytes } }),
    // Resolved from here: the working directory may be anywhere.
    ...(ending === '.ts' && !stripsTypes ? { execArgv: ['--import', import.meta.resolve('tsx')] } : {}),
  });
}

/** A promise that never resolves and may be rejected; nobody need look at it. */
function hope(): { promise: Promise<never>; reject: (error: NestwalkError) => void } {
  let reject: (error: NestwalkError) => void = () => {};
  const promise = new Promise<never>((_, giveUp) => {
    reject = giveUp;
  });
  promise.catch(() => {});
  return { promise, reject };
}

const death = (cause: Error): NestwalkError =>
  new NestwalkError(
    'run.failed',
    `A worker died: ${cause.message}. Give it less to hold in memory, or report this.`,
    { cause },
  );

/** Calls something a while after a signal; returns what forgets it. */
function afterGrace(signal: AbortSignal | undefined, call: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const start = (): void => {
    timer = setTimeout(call, GRACE_MS);
  };
  if (signal?.aborted) start();
  else signal?.addEventListener('abort', start, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', start);
  };
}

function revived({ code, message, problems, stack }: PlainError): NestwalkError {
  const error = new NestwalkError(code, message, { problems });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** How a pool is made; all may be left out. */
export interface PoolOptions {
  /** Cancelled jobs that do not stop by themselves (while they build tables) are left behind soon after it. */
  signal?: AbortSignal;
  /** Starts all workers at once, rather than with their first jobs. */
  startAtOnce?: boolean;
  /** What the workers run, for tests of workers that fail. */
  workerFile?: URL;
  /** Most MiB of a worker's JavaScript heap; page tables are not in it. Default: what Node gives it. */
  heapMebibytes?: number;
}

/** Workers for jobs. Close it. */
export class WorkerPool implements Executor {
  readonly workers: number;
  private readonly pool: AnyPool;
  private readonly options: PoolOptions;
  /** Rejects when jobs need not be waited for any longer. */
  private readonly lost: Promise<never>;
  private readonly forget: () => void;
  private leftBehind = false;

  constructor(workers: number, options: PoolOptions = {}) {
    this.workers = workers;
    this.options = options;
    this.pool = makePool(workers, options);
    const { promise, reject } = hope();
    this.lost = promise;
    // A worker died outside a task, for example while it loaded: its tasks would never settle.
    this.pool.on('error', (cause: Error) => reject(death(cause)));
    this.forget = afterGrace(options.signal, () => {
      this.leftBehind = true;
      reject(new NestwalkError('run.cancelled', 'The run was interrupted; nothing of it was kept.'));
    });
  }

  submit<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>> {
    return this.ask<JobOutput<Kind>>(job);
  }

  /**
   * Gives a worker any job that its file understands, which answers as `answer` in src/run/worker.ts makes it.
   * @throws NestwalkError what the job failed with; `run.failed` when the worker died; `run.cancelled`
   */
  async ask<Output>(job: object): Promise<Output> {
    const running = (this.pool.run(job) as Promise<Answer<Output>>).catch((cause: Error) => {
      throw death(cause);
    });
    const given = await Promise.race([running, this.lost]);
    if ('error' in given) throw revived(given.error);
    return given.output;
  }

  async submitFresh<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>> {
    const fresh = new WorkerPool(1, { ...this.options, startAtOnce: false });
    try {
      return await fresh.submit(job);
    } finally {
      await fresh.close();
    }
  }

  /** Ends the workers. Those left behind end when they can, and nobody waits for them. */
  async close(): Promise<void> {
    this.forget();
    if (this.leftBehind) void this.pool.destroy().catch(() => {});
    else await this.pool.close({ force: true });
  }
}

/**
 * Runs one configuration in a worker of its own.
 * @throws NestwalkError as `execute`, and `run.failed` when the worker died
 */
export async function runInWorker(
  input: { config: ResolvedConfig; engine: EngineRequest },
  options: WatchOptions = {},
): Promise<RunOutcome> {
  const control = new SharedControl(1);
  const unwatch = watch(control, options);
  const pool = new WorkerPool(1, options.signal ? { signal: options.signal } : {});
  try {
    return await pool.submit({ kind: 'run', input, control: control.buffer, slot: 0, progressFrom: 0 });
  } finally {
    unwatch();
    await pool.close();
  }
}
