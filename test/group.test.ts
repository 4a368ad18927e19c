/** One pass for many STLBs: every cell's counters are those of its single run, on both engines. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ResolvedConfig } from '../src/config/resolved.ts';
import { NestwalkError } from '../src/errors.ts';
import { execute } from '../src/run/execute.ts';
import { executeGroup, ungroupable } from '../src/run/group.ts';
import { COUNTER, COUNTER_SLOTS } from '../src/schema.ts';

const MIB = 2 ** 20;
const engines = ['ts', 'native'] as const;

interface Cell {
  entries: number;
  ways: number;
}

/** A static configuration with one lru STLB; `change` goes over it. */
function configOf(change: Record<string, unknown>, machine: Record<string, unknown> = {}): ResolvedConfig {
  return resolveConfig({
    seed: 5,
    accesses: 6000,
    machine: {
      l1d: [{ entries: 16, ways: 4, sizes: ['4KiB', '2MiB'] }],
      stlb: [{ entries: 64, ways: 4, sizes: ['4KiB', '2MiB'] }],
      ...machine,
    },
    paging: { mode: 'nested' },
    regions: [{ bytes: 4 * MIB }],
    workload: { pattern: 'uniform' },
    ...change,
  }).config;
}

/** The same configuration with another STLB geometry. */
function withCell(config: ResolvedConfig, cell: Cell): ResolvedConfig {
  const plain = JSON.parse(JSON.stringify(config)) as ResolvedConfig;
  Object.assign(plain.machine.stlb[0], cell);
  return resolveConfig(plain).config;
}

async function expectSingleRuns(
  config: ResolvedConfig,
  cells: Cell[],
  engine: 'ts' | 'native',
): Promise<void> {
  const group = await executeGroup(config, cells, { counters: 'all', engine });
  expect(group.engine).toBe(engine);
  for (const [i, cell] of cells.entries()) {
    const single = await execute(withCell(config, cell), engine);
    expect(Array.from(group.counters[i]), `${cell.entries}/${cell.ways}`).toEqual(
      Array.from(single.counters),
    );
  }
}

const cellArbitrary: fc.Arbitrary<Cell> = fc
  .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 32 }))
  .map(([exponent, ways]) => ({ entries: 2 ** exponent * ways, ways }));

const pscArbitrary = fc.option(
  fc.record({
    l2: fc.constantFrom({ entries: 8, ways: 2 }, { entries: 24, ways: 24 }),
    l3: fc.constant({ entries: 2, ways: 2 }),
  }),
  { nil: undefined },
);

const workloadArbitrary = fc.constantFrom(
  { pattern: 'uniform', writeFraction: 0.3 },
  { pattern: 'zipf', theta: 0.9 },
  { pattern: 'stride', bytes: 64 },
  { pattern: 'stride', bytes: 4096 * 3 },
  { pattern: 'chase' },
  {
    pattern: 'mix',
    weights: [3, 1],
    parts: [
      { pattern: 'hotcold', hot: 0.1, weight: 0.9 },
      { pattern: 'stride', bytes: 256 },
    ],
  },
);

const gridArbitrary = fc.record({
  cells: fc.array(cellArbitrary, { minLength: 1, maxLength: 12 }),
  mode: fc.constantFrom('native', 'nested', 'shadow', 'paravirt'),
  guestPage: fc.constantFrom('4KiB', '2MiB'),
  nestedPage: fc.constantFrom('4KiB', '2MiB', '1GiB'),
  placement: fc.constantFrom('contiguous', 'scattered'),
  psc: pscArbitrary,
  nestedPsc: pscArbitrary,
  ntlb: fc.constantFrom(undefined, { entries: 16, ways: 4 }, { entries: 20, ways: 'full', holds: 'tables' }),
  caches: fc.constantFrom([], [{ name: 'L2', size: 4096, ways: 4, line: 64, latency: 10 }]),
  workload: workloadArbitrary,
  bytes: fc.constantFrom(MIB, 8 * MIB, 64 * MIB),
  indices: fc.array(fc.constantFrom('low', 'xor'), { minLength: 2, maxLength: 2 }),
});

describe.each(engines)('one pass on %s', (engine) => {
  it('gives each cell of a random grid the counters of its single run', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(gridArbitrary, async (grid) => {
        const { cells, mode, guestPage, nestedPage, placement, workload, bytes, indices, ...machine } = grid;
        const [l1d, stlb] = [16, 64].map((entries, i) => [
          { entries, ways: 4, sizes: ['4KiB', '2MiB'], index: indices[i] },
        ]);
        const config = configOf(
          { paging: { mode, guestPage, nestedPage, placement }, workload, regions: [{ bytes }] },
          { l1d, stlb, ...machine },
        );
        await expectSingleRuns(config, cells, engine);
      }),
      { numRuns: 25 },
    );
  });

  it('takes hashed STLBs: which page is of which set changes nothing of what a set does', async () => {
    const hashed = [{ entries: 64, ways: 4, sizes: ['4KiB'], index: 'xor' }];
    const workload = { pattern: 'stride', bytes: 4096 * 64 };
    const cells = [1, 4, 16, 64].map((sets) => ({ entries: 8 * sets, ways: 8 }));
    const config = configOf({ workload, regions: [{ bytes: 64 * MIB }] }, { stlb: hashed });
    expect(ungroupable(config)).toBeUndefined();
    await expectSingleRuns(config, cells, engine);
    // 256 pages, 64 apart, are of one set by the low 6 bits and of every set when the next 6 are folded in.
    const misses = async (stlb: object[]) => {
      const options = { counters: 'tlb', engine } as const;
      const { counters } = await executeGroup(
        configOf({ workload, regions: [{ bytes: 64 * MIB }] }, { stlb }),
        [{ entries: 256, ways: 4 }],
        options,
      );
      return counters[0][COUNTER.stlbMisses];
    };
    expect(await misses(hashed)).toBe(256);
    expect(await misses([{ ...hashed[0], index: 'low' }])).toBe(6000);
  });

  it('tells cells apart late: a long stretch that all hold, then one that only the larger do', async () => {
    const workload = {
      pattern: 'phases',
      lengths: [3000, 3000],
      parts: [
        { pattern: 'window', pages: 12, shift: 0, every: 1 },
        { pattern: 'window', pages: 200, shift: 1, every: 10 },
      ],
    };
    const config = configOf(
      { workload },
      { psc: { l2: { entries: 4, ways: 4 } }, ntlb: { entries: 8, ways: 4 } },
    );
    await expectSingleRuns(
      config,
      [
        { entries: 32, ways: 4 },
        { entries: 64, ways: 4 },
        { entries: 256, ways: 8 },
      ],
      engine,
    );
  });

  it('counts TLBs alone when asked, and leaves the rest at 0', async () => {
    const config = configOf({}, { psc: { l2: { entries: 8, ways: 2 } } });
    const cells = [
      { entries: 64, ways: 4 },
      { entries: 128, ways: 2 },
    ];
    const all = await executeGroup(config, cells, { counters: 'all', engine });
    const tlb = await executeGroup(config, cells, { counters: 'tlb', engine });
    cells.forEach((_, i) => {
      expect(tlb.counters[i].slice(0, COUNTER.refs)).toEqual(all.counters[i].slice(0, COUNTER.refs));
      expect(tlb.counters[i].slice(COUNTER.refs)).toEqual(new Float64Array(COUNTER_SLOTS - COUNTER.refs));
      expect(all.counters[i].slice(COUNTER.refs)).not.toEqual(new Float64Array(COUNTER_SLOTS - COUNTER.refs));
    });
  });

  it('never hits more in a set with more ways (Mattson): misses fall with ways at a fixed number of sets', async () => {
    const cells = [1, 2, 3, 5, 8, 13, 21, 32].map((ways) => ({ entries: 8 * ways, ways }));
    const { counters } = await executeGroup(configOf({ workload: { pattern: 'zipf', theta: 0.7 } }), cells, {
      counters: 'tlb',
      engine,
    });
    const misses = counters.map((block) => block[COUNTER.stlbMisses]);
    expect(misses).toEqual([...misses].sort((a, b) => b - a));
    expect(misses[0]).toBeGreaterThan(misses.at(-1)!);
  });
});

describe('ungroupable', () => {
  const stlb = [{ entries: 64, ways: 4, sizes: ['4KiB'] }];

  it.each([
    ['another policy', configOf({}, { stlb: [{ ...stlb[0], replacement: 'plru' }] }), 'lru'],
    ['no STLB', configOf({}, { stlb: [] }), '0 STLB arrays'],
    ['too many ways', configOf({}, { stlb: [{ entries: 64, ways: 64, sizes: ['4KiB'] }] }), '32 ways'],
    ['demand paging', configOf({ paging: { mode: 'nested', populate: 'demand' } }), 'static'],
    ['data through caches', configOf({}, { dataThroughCaches: true }), 'data go through'],
    ['distances', configOf({ optional: ['reuse'] }), 'reuse'],
  ])('names the reason: %s', async (_, config, words) => {
    expect(ungroupable(config)).toContain(words);
    await expect(executeGroup(config, [], { counters: 'tlb', engine: 'ts' })).rejects.toThrow(NestwalkError);
  });

  it('has nothing against a static lru run', () => {
    expect(ungroupable(configOf({}))).toBeUndefined();
  });
});
