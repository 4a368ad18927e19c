/** What the benchmarks share: child processes, pinning, medians, and where a figure came from. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { OneRequest, OneResult } from './one.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Median of at least one value: the middle one, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median and spread of repeated measurements. */
export interface Summary {
  median: number;
  min: number;
  max: number;
  samples: number[];
}

/** Median and spread of at least one sample. */
export const summarise = (samples: number[]): Summary => ({
  median: median(samples),
  min: Math.min(...samples),
  max: Math.max(...samples),
  samples,
});

/** Command prefix that pins a child to one processor; empty where there is no `taskset`. */
export function pinning(cpu: number): string[] {
  const prefix = ['taskset', '-c', String(cpu)];
  const tried = spawnSync(prefix[0]!, [...prefix.slice(1), 'true']);
  return tried.status === 0 ? prefix : [];
}

/**
 * Runs one simulation in a child process.
 *
 * @throws with the child's own words when it fails
 */
export function runNestwalk(request: OneRequest, prefix: string[] = []): OneResult {
  const script = fileURLToPath(new URL('one.ts', import.meta.url));
  const [command, ...args] = [...prefix, process.execPath, '--import', 'tsx', script];
  const child = spawnSync(command!, args, {
    cwd: root,
    input: JSON.stringify(request),
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  if (child.status !== 0) throw new Error(`nestwalk (${request.engine}) failed:\n${child.stderr.trim()}`);
  return JSON.parse(child.stdout);
}

function git(...args: string[]): string {
  const child = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return child.status === 0 ? child.stdout.trim() : '';
}

/** Where a figure came from: what a result file carries beside the figures. */
export function provenance() {
  const commit = git('rev-parse', '--short=12', 'HEAD') || 'unknown';
  return {
    commit: git('status', '--porcelain', '--untracked-files=no') ? `${commit}, with changes` : commit,
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    processors: cpus().length,
    kernel: release(),
    node: process.version,
  };
}

/** First line of what the yardstick's compiler says of itself. */
export const compilerVersion = (): string =>
  execFileSync(process.env.CXX ?? 'g++', ['--version'], { encoding: 'utf8' }).split('\n')[0]!;
