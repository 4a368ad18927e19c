/** The one thread of a share: it stays from pass to pass, and is made anew when it dies. */
import { Piscina } from 'piscina';
import { NestwalkError } from '../errors.ts';
import { SharedControl, type WatchOptions, watch } from '../run/control.ts';
import type { PassAnswer, PassJob, PassOutcome } from './passWorker.ts';

/** The worker's file has the ending of this one, so that sources, `dist` and tests each find their own. */
const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const stripsTypes = Boolean((process.features as { typescript?: unknown }).typescript);
const FILE = new URL(`./passWorker${ending}`, import.meta.url);

type PassPool = Piscina<PassJob, PassAnswer>;

function makePool(): PassPool {
  return new Piscina<PassJob, PassAnswer>({
    filename: FILE.href,
    minThreads: 0,
    maxThreads: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    atomics: 'disabled',
    // Resolved from here: the working directory may be anywhere.
    ...(ending === '.ts' && !stripsTypes ? { execArgv: ['--import', import.meta.resolve('tsx')] } : {}),
  });
}

/** Runs passes in a thread of its own, so that signals are heard while C++ runs. Close it. */
export class PassThread {
  private pool: PassPool | undefined;

  /**
   * Runs one pass; one at a time.
   * @throws {NestwalkError} as the pass; `run.failed` when the thread died, for example for want of memory
   */
  async run(job: Omit<PassJob, 'control'>, options: WatchOptions): Promise<PassOutcome> {
    const control = new SharedControl(1);
    const unwatch = watch(control, options);
    try {
      const answer = await this.ask({ ...job, control: control.buffer });
      if ('outcome' in answer) return answer.outcome;
      throw new NestwalkError(answer.error.code, answer.error.message);
    } finally {
      unwatch();
    }
  }

  /** Ends the thread; only when no pass is running, since C++ is not to be ended from outside. */
  async close(): Promise<void> {
    await this.pool?.close({ force: true });
    this.pool = undefined;
  }

  private async ask(job: PassJob): Promise<PassAnswer> {
    this.pool ??= makePool();
    const { pool } = this;
    // A thread that dies outside a task, for example while it loads, would leave its task unsettled.
    const death = new Promise<never>((_, reject) => {
      pool.once('error', reject);
    });
    death.catch(() => {});
    try {
      return await Promise.race([pool.run(job), death]);
    } catch (cause) {
      this.pool = undefined;
      throw new NestwalkError('run.failed', `The thread of this pass died: ${(cause as Error).message}.`, {
        cause,
      });
    } finally {
      pool.removeAllListeners('error');
      // What is told between passes concerns no pass; without a listener it would end the process.
      pool.on('error', () => {});
    }
  }
}
