/**
 * A worker that fails where the file named by `NESTWALK_TEST_FAILURES` says so: it holds a line for each failure left,
 * `exit` (the worker ends), `throw` (an error that is not ours) or `memory` (the heap overflows).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import realWork, { type WorkerJob } from '../../src/run/worker.ts';

export default function work(job: WorkerJob): unknown {
  const file = process.env.NESTWALK_TEST_FAILURES!;
  const left = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
  if (job.kind !== 'segment' || job.slot !== 1 || left.length === 0) return realWork(job);
  writeFileSync(file, left.slice(1).join('\n'));
  if (left[0] === 'exit') process.exit(3);
  if (left[0] === 'throw') throw new Error('it was told to throw');
  const heap: number[][] = [];
  for (;;) heap.push(new Array(1e5).fill(0).map(() => Math.random()));
}
