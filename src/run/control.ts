/** How a run is watched and stopped from another thread: words of shared memory, looked at between chunks of accesses. */

/** What the caller of a run sees of it while it goes on, and how it stops it. */
export interface RunControl {
  /** Told now and then: accesses completed. */
  progress(done: number): void;
  cancelled(): boolean;
}

/** A run that nobody watches. */
export const UNWATCHED: RunControl = { progress: () => {}, cancelled: () => false };

/** How the caller of a run in other threads watches and stops it. */
export interface WatchOptions {
  signal?: AbortSignal;
  /** Told every tenth of a second: accesses completed. */
  onDone?: (done: number) => void;
}

/** Milliseconds between two looks at progress. */
const POLL_MS = 100;

/** Word of the block that stops everything; two words for each slot follow it: accesses done, and whether to stop. */
const CANCEL = 0;
const DONE = 1;
const STOP = 2;
const WORDS_PER_SLOT = 2;

/** A block of shared words: one to stop everything, and for each slot (a job) its progress and a word to stop it alone. */
export class SharedControl {
  /** What crosses to another thread. */
  readonly buffer: SharedArrayBuffer;
  private readonly words: BigInt64Array;

  /** @param from how many slots a new block shall have, or the buffer of one that is there */
  constructor(from: number | SharedArrayBuffer) {
    this.buffer =
      typeof from === 'number'
        ? new SharedArrayBuffer((1 + WORDS_PER_SLOT * from) * BigInt64Array.BYTES_PER_ELEMENT)
        : from;
    this.words = new BigInt64Array(this.buffer);
  }

  /** Stops all jobs, those that have not begun too. */
  cancel(): void {
    Atomics.store(this.words, CANCEL, 1n);
  }

  /** Stops one job, and leaves what it has done out of {@link done}. */
  stop(slot: number): void {
    Atomics.store(this.words, STOP + WORDS_PER_SLOT * slot, 1n);
  }

  /** Accesses done in all slots that were not stopped. */
  done(): number {
    let sum = 0;
    for (let at = DONE; at < this.words.length; at += WORDS_PER_SLOT) {
      if (Atomics.load(this.words, at + 1) === 0n) sum += Number(Atomics.load(this.words, at));
    }
    return sum;
  }

  /**
   * The control of one job.
   * @param from stream index at which its accesses begin to count as progress
   */
  slot(slot: number, from = 0): RunControl {
    const at = WORDS_PER_SLOT * slot;
    return {
      progress: (done) => Atomics.store(this.words, DONE + at, BigInt(Math.max(0, done - from))),
      cancelled: () => Atomics.load(this.words, CANCEL) !== 0n || Atomics.load(this.words, STOP + at) !== 0n,
    };
  }
}

/**
 * Connects a block of shared words with whoever watches and stops the run.
 * @returns what ends the connection
 */
export function watch(
  control: SharedControl,
  { signal, onDone }: WatchOptions,
  done = () => control.done(),
): () => void {
  const cancel = (): void => control.cancel();
  if (signal?.aborted) cancel();
  else signal?.addEventListener('abort', cancel, { once: true });
  const timer = setInterval(() => onDone?.(done()), POLL_MS);
  return () => {
    clearInterval(timer);
    signal?.removeEventListener('abort', cancel);
  };
}

/**
 * Runs work whose caller is told of its progress. What the caller's function throws stops the work and becomes the
 * outcome, instead of ending the process from within a timer.
 * @param listener the caller's function
 * @param signal the caller's own; the work gets one that also aborts when the listener has thrown
 * @throws what `listener` or `work` throws
 */
export async function withListener<Event, Value>(
  listener: ((event: Event) => void) | undefined,
  signal: AbortSignal | undefined,
  work: (tell: ((event: Event) => void) | undefined, signal: AbortSignal | undefined) => Promise<Value>,
): Promise<Value> {
  if (!listener) return work(undefined, signal);
  const stopper = new AbortController();
  let thrown: { error: unknown } | undefined;
  const tell = (event: Event): void => {
    if (thrown) return;
    try {
      listener(event);
    } catch (error) {
      thrown = { error };
      stopper.abort();
    }
  };
  const signals = signal ? AbortSignal.any([signal, stopper.signal]) : stopper.signal;
  try {
    return await work(tell, signals);
  } finally {
    // biome-ignore lint/correctness/noUnsafeFinally: what the listener threw is the outcome, whatever the work said of being stopped.
    if (thrown) throw (thrown as { error: unknown }).error;
  }
}
