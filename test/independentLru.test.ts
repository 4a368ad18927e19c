/**
 * TLBs against an LRU cache that others wrote and many use: the package lru-cache. Fully associative arrays size by size,
 * set-associative ones as one such cache a set, alone and as two levels, on every engine, on made and recorded streams.
 */
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ConfigInput } from '../src/config/schema.ts';
import { countersFromBlock } from '../src/results/counters.ts';
import { dumpWorkload } from '../src/run/dumpWorkload.ts';
import { dumpTrace } from '../src/trace/trace.ts';
import { type Geometry, LibraryTlb } from './support/cachegrind.ts';
import { ENGINES } from './support/engines.ts';

const ACCESSES = 40_000;
/** Those of the trace come back to their pages more: more of them are taken. */
const TRACE_ACCESSES = 250_000;
const TRACE = path.join(import.meta.dirname, '../traces/sort-records.nwt');

const RECORDED = 'the shipped trace';
/** Streams by name: without locality, with popular pages, in order, round and round, drifting, and a real program's. */
const STREAMS: Record<string, ConfigInput> = {
  random: { workload: 'uniform', footprint: '8MiB' },
  zipf: { workload: { pattern: 'zipf', theta: 0.9 }, footprint: '64MiB' },
  sequential: { workload: 'sequential', footprint: '1MiB' },
  'page by page': { workload: { pattern: 'stride', bytes: 4096 }, footprint: '6MiB' },
  'a moving window': {
    workload: { pattern: 'window', pages: 900, shift: 100, every: 3000 },
    footprint: '16MiB',
  },
  [RECORDED]: { workload: { trace: TRACE }, accesses: TRACE_ACCESSES },
};

const SIZES = [1, 2, 3, 16, 64, 333, 1000, 1536];

const full = (entries: number): Geometry => ({ entries, ways: entries });

/** A machine of these levels, nearest first, in a native run of 4 KiB pages. */
const configOf = (stream: string, levels: readonly Geometry[]) => {
  const [l1d, stlb] = levels.map((geometry) => [{ ...geometry, sizes: ['4KiB' as const] }]);
  return resolveConfig({
    seed: 11,
    accesses: ACCESSES,
    ...STREAMS[stream],
    machine: { l1d, ...(stlb ? { stlb } : {}) },
    paging: { mode: 'native' },
  }).config;
};

/** Page numbers of a stream, in order. */
async function pagesOf(stream: string): Promise<number[]> {
  const config = configOf(stream, [full(1)]);
  const lines = stream === RECORDED ? dumpTrace(TRACE) : dumpWorkload(config);
  const pages: number[] = [];
  for await (const line of lines) {
    pages.push(Math.floor(Number(line.slice(2)) / 4096));
    if (pages.length === config.accesses) break;
  }
  return pages;
}

/** Misses of each level: each sees what the one before it missed. */
function libraryMisses(pages: readonly number[], levels: readonly Geometry[]): number[] {
  const tlbs = levels.map((geometry) => new LibraryTlb(geometry));
  const misses = levels.map(() => 0);
  for (const page of pages) {
    for (const [level, tlb] of tlbs.entries()) {
      if (tlb.hit(page)) break;
      misses[level] += 1;
    }
  }
  return misses;
}

describe.each(Object.keys(STREAMS))('%s', (stream) => {
  let pages: number[];
  beforeAll(async () => {
    pages = await pagesOf(stream);
    expect(pages).toHaveLength(stream === RECORDED ? TRACE_ACCESSES : ACCESSES);
  }, 60_000);

  const LEVELS: Geometry[][] = [
    ...SIZES.map((size) => [full(size)]),
    [{ entries: 64, ways: 4 }],
    [{ entries: 48, ways: 3 }],
    [{ entries: 256, ways: 1 }],
    [full(16), full(1000)],
    [full(64), full(64)],
    [
      { entries: 64, ways: 4 },
      { entries: 1536, ways: 12 },
    ],
  ];
  const text = (levels: readonly Geometry[]): string =>
    levels.map(({ entries, ways }) => (ways === entries ? `${entries}` : `${entries}/${ways}`)).join(' and ');

  describe.each(LEVELS.map((levels) => [text(levels), levels] as const))('%s', (_, levels) => {
    it.each(ENGINES.map((engine) => [engine.name, engine] as const))('%s', async (_name, engine) => {
      const outcome = await engine.execute(configOf(stream, levels));
      expect(outcome.engine).toBe(engine.engine);
      const { l1Misses, stlbMisses, accesses } = countersFromBlock(outcome.counters, []);
      expect(accesses).toBe(pages.length);
      expect([l1Misses, stlbMisses].slice(0, levels.length)).toEqual(libraryMisses(pages, levels));
    });
  });

  it('tells sizes apart', () => {
    const misses = SIZES.map((size) => libraryMisses(pages, [full(size)])[0]);
    if (stream === 'sequential') {
      // 256 pages over and over: each once for arrays that hold them all, else each in every round, at 64 accesses a page.
      expect(misses).toEqual(SIZES.map((size) => (size < 256 ? ACCESSES / 64 : 256)));
    } else if (stream === 'page by page') {
      // 1,536 pages over and over: LRU finds all or nothing.
      expect(misses).toEqual(SIZES.map((size) => (size < 1536 ? ACCESSES : 1536)));
    } else {
      expect(misses).toEqual([...misses].sort((a, b) => b - a));
      expect(new Set(misses).size).toBeGreaterThan(5);
    }
  });
});
