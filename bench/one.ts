/**
 * One run of nestwalk in a process of its own: reads a {@link OneRequest} as JSON from stdin, prints an
 * {@link OneResult} as JSON. `bench/run.ts` starts it for each measurement.
 */
import { readFileSync } from 'node:fs';
import { simulate } from '../src/index.ts';
import type { CounterTree } from './yardstick.ts';

/** What this script reads. */
export interface OneRequest {
  config: object;
  engine: 'native' | 'ts';
  /** Threads; one when left out. */
  workers?: number;
}

/** What this script prints. */
export interface OneResult {
  /** Seconds of the loop over the accesses, tables built before. */
  seconds: number;
  accessesPerSecond: number;
  /** Seconds of the whole call, tables and all. */
  wholeSeconds: number;
  /** Highest resident memory of this process. */
  peakMebibytes: number;
  engine: string;
  tier: string;
  counters: CounterTree;
}

/** The kernel's high-water mark of this process; `maxRSS` would include the parent's at the time of the fork. */
function peakMebibytes(): number {
  try {
    const mark = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (mark) return Number(mark[1]) / 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS / 1024;
}

const request: OneRequest = JSON.parse(readFileSync(0, 'utf8'));
const begin = performance.now();
const result = await simulate(request.config as Parameters<typeof simulate>[0], {
  engine: request.engine,
  workers: request.workers ?? 1,
});
const wholeSeconds = (performance.now() - begin) / 1000;
const { provenance } = result;
const answer: OneResult = {
  seconds: provenance.seconds,
  accessesPerSecond: provenance.accessesPerSecond,
  wholeSeconds,
  peakMebibytes: peakMebibytes(),
  engine: provenance.engine,
  tier: provenance.tier,
  counters: result.counters as unknown as CounterTree,
};
if (answer.engine !== request.engine) throw new Error(`asked for ${request.engine}, ran ${answer.engine}`);
process.stdout.write(JSON.stringify(answer));
