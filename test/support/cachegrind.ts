/**
 * valgrind's cachegrind as a TLB: with lines of 4 KiB its simulated caches are set-associative LRU TLBs, of fetches (I1),
 * of data (D1) and of what misses either (LL). And the lines of valgrind's lackey, read without the project's own reader.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { LRUCache } from 'lru-cache';

/** Entries and ways of one cache with lines of 4 KiB. */
export interface Geometry {
  entries: number;
  ways: number;
}

/** The three caches that cachegrind simulates. */
export interface TlbGeometry {
  i1: Geometry;
  d1: Geometry;
  ll: Geometry;
}

/** What cachegrind counts of a program, by its names: fetches, reads and writes, and misses of each in the L1 and in the LL. */
export interface CacheCounts {
  Ir: number;
  I1mr: number;
  ILmr: number;
  Dr: number;
  D1mr: number;
  DLmr: number;
  Dw: number;
  D1mw: number;
  DLmw: number;
}

/** Whether valgrind is there. */
export const hasValgrind = spawnSync('valgrind', ['--version']).status === 0;

/** `setarch -R`, which turns address-space randomisation off, where the system allows it, as for recordings. */
const unrandomised = spawnSync('setarch', ['-R', 'true']).status === 0 ? ['setarch', '-R'] : [];

const cacheOption = ({ entries, ways }: Geometry): string => `${entries * 4096},${ways},4096`;

/** Runs a program under cachegrind. `out` is a file that it writes and that is removed. */
export function cachegrind(
  command: readonly string[],
  { i1, d1, ll }: TlbGeometry,
  out: string,
): CacheCounts {
  const [program, ...args] = [
    ...unrandomised,
    'valgrind',
    '--tool=cachegrind',
    '--command-line-only=yes',
    '--cache-sim=yes',
    '--branch-sim=no',
    `--I1=${cacheOption(i1)}`,
    `--D1=${cacheOption(d1)}`,
    `--LL=${cacheOption(ll)}`,
    `--cachegrind-out-file=${out}`,
    '--quiet',
    '--',
    ...command,
  ];
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = readFileSync(out, 'utf8').split('\n');
  rmSync(out);
  const after = (start: string): string[] =>
    lines
      .find((line) => line.startsWith(start))!
      .slice(start.length)
      .trim()
      .split(' ');
  const values = after('summary:').map(Number);
  return Object.fromEntries(
    after('events:').map((name, index) => [name, values[index]]),
  ) as unknown as CacheCounts;
}

/** One line of lackey: a fetch, a read, a write, or a modification (read and written). */
export interface LackeyLine {
  kind: 'I' | 'L' | 'S' | 'M';
  firstPage: number;
  lastPage: number;
}

/** All lines of a text of lackey. */
export function* lackeyLines(text: string): Generator<LackeyLine, void, undefined> {
  for (const [, kind, address, size] of text.matchAll(/^ ?([ILSM]) {1,2}([0-9a-f]+),(\d+)$/gm)) {
    const first = Number.parseInt(address, 16);
    yield {
      kind: kind as LackeyLine['kind'],
      firstPage: Math.floor(first / 4096),
      lastPage: Math.floor((first + Number(size) - 1) / 4096),
    };
  }
}

/** A set-associative LRU TLB made of `lru-cache`s, one a set. */
export class LibraryTlb {
  private readonly sets: LRUCache<number, true>[];

  constructor({ entries, ways }: Geometry) {
    this.sets = Array.from({ length: entries / ways }, () => new LRUCache<number, true>({ max: ways }));
  }

  /** Looks a page up, and puts it there when it is not. */
  hit(page: number): boolean {
    const set = this.sets[page % this.sets.length];
    if (set.get(page)) return true;
    set.set(page, true);
    return false;
  }
}

/**
 * Counts of a program's lines under one of two rules, which differ for accesses that cross a page boundary, and in
 * modifications:
 * - `together`, cachegrind's (cg_sim.c, cg_main.c): an access is one, on however many pages. It misses the L1 when any of
 *   its pages does, and then *all* of them are looked up in the LL, where it misses likewise. A modification is one read.
 * - `apart`, this project's (docs/model.md, traces): an access is one for each page, each on its own; a modification is
 *   first read, then written.
 */
export function count(
  lines: Iterable<LackeyLine>,
  geometry: TlbGeometry,
  rule: 'together' | 'apart',
): CacheCounts {
  const counts: CacheCounts = { Ir: 0, I1mr: 0, ILmr: 0, Dr: 0, D1mr: 0, DLmr: 0, Dw: 0, D1mw: 0, DLmw: 0 };
  const [i1, d1, ll] = [
    new LibraryTlb(geometry.i1),
    new LibraryTlb(geometry.d1),
    new LibraryTlb(geometry.ll),
  ];
  const FIELDS = {
    I: ['Ir', 'I1mr', 'ILmr', i1],
    L: ['Dr', 'D1mr', 'DLmr', d1],
    S: ['Dw', 'D1mw', 'DLmw', d1],
  } as const;
  const access = (kind: 'I' | 'L' | 'S', pages: readonly number[]): void => {
    const [all, missed, lost, l1] = FIELDS[kind];
    counts[all] += 1;
    // Every page is looked up, whether an earlier one has missed or not.
    if (pages.map((page) => l1.hit(page)).every(Boolean)) return;
    counts[missed] += 1;
    if (!pages.map((page) => ll.hit(page)).every(Boolean)) counts[lost] += 1;
  };
  for (const { kind, firstPage, lastPage } of lines) {
    const pages = Array.from({ length: lastPage - firstPage + 1 }, (_, index) => firstPage + index);
    const first = kind === 'M' ? 'L' : kind;
    if (rule === 'together') access(first, pages);
    else {
      for (const page of pages) access(first, [page]);
      if (kind === 'M') for (const page of pages) access('S', [page]);
    }
  }
  return counts;
}
