/** Building and running the yardstick, and comparing its counters with nestwalk's. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Flags that the yardstick is built with: what a plain build has, and doubles that are the same everywhere. */
export const YARDSTICK_FLAGS = ['-std=c++20', '-O3', '-ffp-contract=off'];

/** Counters as nested objects of numbers, by the names of results. */
export type CounterTree = { [name: string]: number | CounterTree };

/** What the yardstick prints. */
export interface YardstickResult {
  mode: 'tlb' | '1d' | '2d';
  stream: string;
  bytes: number;
  /** Seconds of the loop over the accesses, tables and structures built before. */
  seconds: number;
  accessesPerSecond: number;
  counters: CounterTree;
}

/**
 * Compiles the yardstick unless the same source was compiled with the same flags before.
 *
 * @returns path of the program
 * @throws when there is no `g++` (or the program that `CXX` names), or it fails
 */
export function buildYardstick(extraFlags: string[] = []): string {
  const source = fileURLToPath(new URL('baseline/baseline.cc', import.meta.url));
  const folder = fileURLToPath(new URL('baseline/build/', import.meta.url));
  const compiler = process.env.CXX ?? 'g++';
  const flags = [...YARDSTICK_FLAGS, ...extraFlags];
  const content = createHash('sha256').update(readFileSync(source));
  const key = content
    .update([compiler, ...flags].join(' '))
    .digest('hex')
    .slice(0, 12);
  const program = `${folder}yardstick-${key}`;
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  // Renamed when it is whole, so that a test and a benchmark may build at the same time.
  const partial = `${program}.${process.pid}`;
  execFileSync(compiler, [...flags, '-o', partial, source], { stdio: ['ignore', 'ignore', 'inherit'] });
  renameSync(partial, program);
  return program;
}

/** Runs the yardstick, behind a command prefix such as `taskset -c 1` if one is given. */
export function runYardstick(program: string, args: string[], prefix: string[] = []): YardstickResult {
  const [command, ...rest] = [...prefix, program, ...args];
  return JSON.parse(execFileSync(command!, rest, { encoding: 'utf8' }));
}

/** Leaves of a counter tree by their paths (`refs.gL4.nL4`). */
export function flatten(tree: CounterTree, prefix = ''): Map<string, number> {
  const leaves = new Map<string, number>();
  for (const [name, value] of Object.entries(tree)) {
    if (typeof value === 'number') leaves.set(prefix + name, value);
    else for (const leaf of flatten(value, `${prefix}${name}.`)) leaves.set(...leaf);
  }
  return leaves;
}

/**
 * Where nestwalk's counters differ from the yardstick's: one line each, none when they agree. What the yardstick
 * does not count cannot happen in these trials, so it has to be 0; only the references of TLBs alone are left out,
 * for there the yardstick does not walk.
 */
export function differences(yardstick: YardstickResult, counters: CounterTree): string[] {
  const expected = flatten(yardstick.counters);
  const actual = flatten(counters);
  const found: string[] = [];
  for (const path of new Set([...expected.keys(), ...actual.keys()])) {
    if (yardstick.mode === 'tlb' && /^(refs|refHits)\./.test(path)) continue;
    const want = expected.get(path) ?? 0;
    const got = actual.get(path);
    if (got !== want) found.push(`${path}: yardstick ${want}, nestwalk ${got ?? 'without it'}`);
  }
  return found;
}
