/**
 * Facts about TLBs and caches that are known in closed form or have been in print for decades, on every engine: hit ratios of
 * uniform streams, inclusion of LRU (Mattson et al., 1970), MIN as the bound of all policies and FIFO's anomaly (Belady,
 * 1966; Belady, Nelson and Shedler, 1969), and set refinement (Hill and Smith, 1989).
 */
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ComponentInput, MachineInput } from '../src/config/schema.ts';
import { AccessGenerator } from '../src/hardware/access.ts';
import { countersFromBlock } from '../src/results/counters.ts';
import { REPLACEMENTS } from '../src/schema.ts';
import { encodeWorkload } from '../src/workload/encode.ts';
import { Bed } from './support/bed.ts';
import { ENGINES, type Engine } from './support/engines.ts';

type Array4K = { entries: number; ways: number; replacement?: (typeof REPLACEMENTS)[number] };

interface Stream {
  pages: number;
  accesses: number;
  workload: ComponentInput;
  seed?: number;
}

const UNIFORM: ComponentInput = { pattern: 'uniform' };

function configOf({ pages, accesses, workload, seed = 11 }: Stream, machine: MachineInput, reuse = false) {
  return resolveConfig({
    seed,
    accesses,
    machine,
    optional: reuse ? ['reuse'] : [],
    paging: { mode: 'native' },
    regions: [{ bytes: pages * 4096 }],
    workload,
  }).config;
}

const l1 = (array: Array4K): MachineInput => ({ l1d: [{ ...array, sizes: ['4KiB'] }] });

/** L1 hits of a stream on one array. */
async function hits(engine: Engine, stream: Stream, array: Array4K): Promise<number> {
  const { counters } = await engine.execute(configOf(stream, l1(array)));
  return countersFromBlock(counters, []).l1Hits['4KiB'];
}

/** The pages of a stream, as the generator gives them. */
function pagesOf(stream: Stream): Float64Array {
  const config = configOf(stream, {});
  const generator = new AccessGenerator(
    encodeWorkload(config.workload as never, config.regions, { low: stream.seed ?? 11, high: 0 }),
  );
  const pages = new Float64Array(stream.accesses);
  generator.fill(0, stream.accesses, pages, new Uint16Array(stream.accesses));
  return pages;
}

/** Misses of Belady's MIN: the page used again farthest in the future goes. Fully associative. */
function minMisses(pages: Float64Array, entries: number): number {
  const next = new Float64Array(pages.length);
  const seen = new Map<number, number>();
  for (let i = pages.length - 1; i >= 0; i--) {
    next[i] = seen.get(pages[i]) ?? Number.POSITIVE_INFINITY;
    seen.set(pages[i], i);
  }
  const held = new Map<number, number>();
  let misses = 0;
  pages.forEach((page, i) => {
    if (!held.has(page)) {
      misses++;
      if (held.size === entries) {
        const [farthest] = [...held].reduce((a, b) => (b[1] > a[1] ? b : a));
        held.delete(farthest);
      }
    }
    held.set(page, next[i]);
  });
  return misses;
}

describe.each(ENGINES)('$name', (engine) => {
  /**
   * Under a uniform stream over P pages a full array of E entries holds E different pages, so the next access hits with
   * probability E/P whatever the policy and whatever came before: hits are binomial. Five standard deviations, less what
   * the cold start costs: at most one hit a fill of a free way, E in all.
   */
  it.each(
    REPLACEMENTS.flatMap((replacement) => [
      { replacement, entries: 64, ways: 64, pages: 256 },
      { replacement, entries: 64, ways: 4, pages: 512 },
      { replacement, entries: 512, ways: 8, pages: 1024 },
    ]),
  )(
    '$replacement, $entries entries, $ways ways: a uniform stream over $pages pages hits E/P of the time',
    async ({ pages, ...array }) => {
      const accesses = 60_000;
      const count = await hits(engine, { pages, accesses, workload: UNIFORM }, array);
      const ratio = array.entries / pages;
      const deviation = Math.sqrt(accesses * ratio * (1 - ratio));
      expect(count).toBeLessThan(accesses * ratio + 5 * deviation);
      expect(count).toBeGreaterThan(accesses * ratio - 5 * deviation - array.entries);
    },
  );

  it('two levels hit as one of between E2 and E1 + E2 entries: that many different pages they hold together', async () => {
    const [pages, accesses] = [1024, 60_000];
    const stlb = { entries: 512, ways: 512, sizes: ['4KiB'] };
    const machine = { l1d: [{ entries: 32, ways: 32, sizes: ['4KiB'] }], stlb: [stlb] };
    const { counters: block } = await engine.execute(
      configOf({ pages, accesses, workload: UNIFORM }, machine),
    );
    const counters = countersFromBlock(block, []);
    const ratio = 1 - counters.stlbMisses / accesses;
    const noise = 5 * Math.sqrt(0.25 / accesses);
    expect(ratio).toBeGreaterThan(512 / 1024 - noise - 512 / accesses);
    expect(ratio).toBeLessThan((512 + 32) / 1024 + noise);
  });

  const STREAMS: [string, Stream][] = [
    ['uniform', { pages: 40, accesses: 2000, workload: UNIFORM }],
    ['zipf', { pages: 200, accesses: 2000, workload: { pattern: 'zipf', theta: 0.99 } }],
    ['hot and cold', { pages: 100, accesses: 2000, workload: { pattern: 'hotcold', hot: 0.1, weight: 0.8 } }],
    [
      'a moving window',
      { pages: 90, accesses: 2000, workload: { pattern: 'window', pages: 12, shift: 3, every: 40 } },
    ],
  ];

  it.each(STREAMS)(
    '%s: lru of E entries hits exactly the accesses of stack distance below E, for every E',
    async (_, stream) => {
      const { reuse } = await engine.execute(configOf(stream, {}, true));
      const [cold, ...pairs] = reuse!;
      expect(cold).toBe(new Set(pagesOf(stream)).size);
      let before = 0;
      for (const entries of [1, 2, 3, 4, 5, 8, 13, 16, 17, 21, 34, 55, 64, 89, 144]) {
        let expected = 0;
        for (let k = 0; k < pairs.length; k += 2) if (pairs[k] < entries) expected += pairs[k + 1];
        const count = await hits(engine, stream, { entries, ways: entries });
        expect(count, `${entries} entries`).toBe(expected);
        // Inclusion: a larger one never hits less.
        expect(count).toBeGreaterThanOrEqual(before);
        before = count;
      }
    },
  );

  it.each(STREAMS)('%s: no policy misses less than MIN', async (_, stream) => {
    const pages = pagesOf(stream);
    for (const entries of [2, 4, 16]) {
      const least = minMisses(pages, entries);
      for (const replacement of REPLACEMENTS) {
        const count = await hits(engine, stream, { entries, ways: entries, replacement });
        expect(stream.accesses - count, `${replacement}, ${entries} entries`).toBeGreaterThanOrEqual(least);
      }
    }
  });

  it.each(STREAMS)(
    '%s: a direct-mapped array of twice the sets hits wherever the smaller one does',
    async (_, stream) => {
      let before = 0;
      for (let entries = 1; entries <= 256; entries *= 2) {
        const count = await hits(engine, stream, { entries, ways: 1 });
        expect(count, `${entries} sets`).toBeGreaterThanOrEqual(before);
        before = count;
      }
    },
  );

  it('round and round through one page more than there are entries: lru and fifo never hit, MIN nearly always', async () => {
    const entries = 16;
    const stream: Stream = {
      pages: entries + 1,
      accesses: 1700,
      workload: { pattern: 'stride', bytes: 4096 },
    };
    for (const replacement of ['lru', 'fifo'] as const)
      expect(await hits(engine, stream, { entries, ways: entries, replacement })).toBe(0);
    // MIN loses one page, and then one access in `entries`: (1700 - 17) / 16 more misses at the most.
    expect(minMisses(pagesOf(stream), entries)).toBe(17 + Math.floor((1700 - 17) / entries));
    expect(await hits(engine, stream, { entries: entries + 1, ways: entries + 1 })).toBe(1700 - 17);
  });

  it.each([
    [3, 9],
    [4, 10],
  ])("Belady's anomaly: fifo of %i entries has %i misses on 1 2 3 4 1 2 5 1 2 3 4 5", (ways, misses) => {
    const array = { entries: ways, ways, sizes: ['4KiB' as const], replacement: 'fifo' as const };
    const bed = new Bed({ mode: 'native', machine: { l1d: [array] } });
    for (const page of [1, 2, 3, 4, 5]) bed.map(page, page);
    const rig = bed.machine(engine);
    const walks = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5].map((page) => rig.walked(page));
    expect(walks.reduce((a, b) => a + b)).toBe(misses);
  });

  it('a sequential scan misses once a page: 64 accesses of 64 bytes, one miss', async () => {
    const stream: Stream = { pages: 500, accesses: 64_000, workload: { pattern: 'sequential' } };
    expect(await hits(engine, stream, { entries: 64, ways: 4 })).toBe(64_000 - 1000);
  });

  it('and once a large page: 512 times fewer misses of 2 MiB pages', async () => {
    const config = resolveConfig({
      seed: 1,
      accesses: 4 * 512 * 8,
      machine: { l1d: [{ entries: 4, ways: 4, sizes: ['2MiB'] }] },
      paging: { mode: 'native', guestPage: '2MiB' },
      regions: [{ bytes: 4 * 2 ** 21 }],
      workload: { pattern: 'stride', bytes: 512 },
    }).config;
    const counters = countersFromBlock((await engine.execute(config)).counters, []);
    expect(counters).toMatchObject({ l1Misses: 4, walks: 4 });
  });
});
