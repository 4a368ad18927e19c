/** A stand-in for a pool of workers: runs jobs in this thread, and lets them finish in an order of its own. */
import { NestwalkError } from '../../src/errors.ts';
import type { Executor } from '../../src/run/segments.ts';
import work, { type JobKind, type JobOutput, type WorkerJob } from '../../src/run/worker.ts';

export class InlineExecutor implements Executor {
  readonly workers: number;
  /** Kinds of the jobs submitted, in order; those of fresh workers are marked. */
  readonly log: string[] = [];
  /** Jobs under way, and the most that there were. */
  private underway = 0;
  most = 0;
  private state: number;

  /** @param order decides in which order jobs finish */
  constructor(workers: number, order = 1) {
    this.workers = workers;
    this.state = order;
  }

  async submit<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>> {
    this.log.push(job.kind);
    this.underway++;
    this.most = Math.max(this.most, this.underway);
    try {
      for (let turns = this.next(5); turns > 0; turns--) await Promise.resolve();
      // What does not survive the way to a worker does not survive this.
      const answer = await work(structuredClone(job));
      for (let turns = this.next(40); turns > 0; turns--) await Promise.resolve();
      if ('error' in answer) throw new NestwalkError(answer.error.code, answer.error.message);
      return answer.output;
    } finally {
      this.underway--;
    }
  }

  submitFresh<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>> {
    this.log.push('fresh');
    return this.submit(job);
  }

  private next(bound: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * bound);
  }
}
