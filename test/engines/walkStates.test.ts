/**
 * What a walk may skip: the states of a 2-D walk from nothing cached to all (24, 8, 5, 4, 2, 1, 0 references), the level at
 * which a walk starts after a hit in each paging-structure cache, and that nothing is counted twice.
 */
import { describe, expect, it } from 'vitest';
import type { GeometryConfig, MachineConfig } from '../../src/config/resolved.ts';
import { Bed, type Counts, type Rig } from '../support/bed.ts';
import { type Engine, EVERY_WAY } from '../support/engines.ts';

const EIGHT: GeometryConfig = { entries: 8, ways: 8 };
const NTLB = { ...EIGHT, holds: 'all' as const, latency: 0 };
const PDE = { l2: EIGHT, latency: 0 };
const TLB = [{ entries: 8, ways: 8, sizes: ['4KiB' as const], replacement: 'lru' as const }];

/** Page A, and B whose guest entry and whose frame are next to A's. */
const A = 0x8040201;
const B = A + 1;

/** Two neighbours, 4 KiB on 4 KiB, four levels each. */
function neighbours(engine: Engine, machine: Partial<MachineConfig>): Rig {
  const bed = new Bed({ mode: 'nested', machine });
  bed.map(A, 100).map(B, 101).back(100, 300).back(101, 301).backTables(400);
  return bed.machine(engine);
}

describe.each(EVERY_WAY)('$name: cached walk states', (engine) => {
  it.each<[string, number, Partial<MachineConfig>, number]>([
    ['nothing', 24, {}, A],
    ['the nested TLB has every guest table, not the data page', 8, { ntlb: NTLB }, B],
    ['the nested TLB has everything', 4, { ntlb: NTLB }, A],
    ['the combined PDE cache hits', 5, { psc: PDE }, B],
    ['the nested PDE cache has the data page too', 2, { psc: PDE, nestedPsc: PDE }, B],
    ['the guest-physical mapping of the data page too', 1, { psc: PDE, ntlb: NTLB }, A],
    ['the TLB hits', 0, { l1d: TLB }, A],
  ])('%s: %i', (_, refs, machine, page) => {
    const rig = neighbours(engine, machine);
    const cold = rig.read(A);
    // With these caches even the first walk hits what it has just filled; without, it is whole.
    if (!machine.nestedPsc) expect(cold.refs).toBe(24);
    expect(refs === 24 ? cold.refs : rig.read(page).refs).toBe(refs);
  });
});

/** Pages that share all entries above a level, and none from that level down, in a space of n levels. */
const apart = (level: number): number => 512 ** (level - 1);

describe.each(EVERY_WAY)('$name: where a walk starts after a hit', (engine) => {
  const LEVELS = [2, 3, 4, 5].flatMap((n) =>
    Array.from({ length: n - 1 }, (_, k) => ({ n, k: k + 2, key: `l${k + 2}` as 'l2' })),
  );

  it.each(LEVELS)('1-D, $n levels, PSC[$k]: at level k-1', ({ n, k, key }) => {
    const bed = new Bed({ mode: 'native', guestLevels: n, machine: { psc: { [key]: EIGHT, latency: 0 } } });
    // The second page lies under the same level-k entry, and under another entry of each level below.
    const far = apart(k - 1) + (k > 2 ? 1 : 0);
    bed.map(0, 10).map(far, 11);
    const rig = bed.machine(engine);
    expect(rig.read(0).refs).toBe(n);
    const { counts } = rig.read(far);
    const expected: Counts = { accesses: 1, reads: 1, l1Misses: 1, stlbMisses: 1, walks: 1 };
    expected[`pscHits.${k}`] = 1;
    for (let level = k - 1; level >= 1; level--) expected[`refs.pt.L${level}`] = 1;
    expected['refHits.guest.memory'] = k - 1;
    expect(counts).toEqual(expected);
  });

  it.each(LEVELS)('1-D, $n levels, PSC[$k]: not for a page under another entry', ({ n, k, key }) => {
    const bed = new Bed({ mode: 'native', guestLevels: n, machine: { psc: { [key]: EIGHT, latency: 0 } } });
    const other = apart(k);
    bed.map(0, 10).map(other, 11);
    const rig = bed.machine(engine);
    rig.read(0);
    expect(rig.read(other).refs).toBe(n);
  });

  it.each(LEVELS)(
    '2-D, $n × 4 levels, combined PSC[$k]: no nested walk for the next table',
    ({ n, k, key }) => {
      const bed = new Bed({ mode: 'nested', guestLevels: n, machine: { psc: { [key]: EIGHT, latency: 0 } } });
      const far = apart(k - 1) + (k > 2 ? 1 : 0);
      bed.map(0, 10).map(far, 11).back(10, 300).back(11, 301).backTables(400);
      const rig = bed.machine(engine);
      expect(rig.read(0).refs).toBe(5 * n + 4);
      const walk = rig.read(far);
      // The table of level k-1 is known by its host address: one reference; each below costs five; the data page four.
      expect(walk.refs).toBe(1 + 5 * (k - 2) + 4);
      expect(walk.counts[`refs.gL${k - 1}.g`]).toBe(1);
      expect(walk.counts[`refs.gL${k - 1}.nL1`]).toBeUndefined();
      expect(walk.counts[`pscHits.${k}`]).toBe(1);
    },
  );

  it.each([2, 3, 4, 5])('nested PSC[%i] of a table of five levels: at level k-1, in every row', (k) => {
    const machine = { nestedPsc: { [`l${k}`]: EIGHT, latency: 0 } as MachineConfig['nestedPsc'] };
    const bed = new Bed({ mode: 'nested', guestLevels: 2, nestedLevels: 5, machine });
    bed
      .map(0, 10)
      .map(1, 10 + apart(k - 1))
      .back(10, 300)
      .back(10 + apart(k - 1), 301)
      .backTables(400);
    const rig = bed.machine(engine);
    rig.read(0);
    const { counts, refs } = rig.read(1);
    // Root and leaf table are known to a nested walk from level k-1 down; so is the data page, whose neighbour was walked.
    expect(counts[`nestedPscHits.${k}`]).toBe(3);
    expect(refs).toBe(2 * (k - 1 + 1) + (k - 1));
    for (const row of ['gL2', 'gL1', 'gPA']) {
      for (let level = 1; level <= 5; level++)
        expect(counts[`refs.${row}.nL${level}`], `${row} nL${level}`).toBe(level < k ? 1 : undefined);
    }
  });

  it('the lowest level that hits decides', () => {
    const psc = { l2: { entries: 1, ways: 1 }, l3: EIGHT, l4: EIGHT, latency: 0 };
    const bed = new Bed({ mode: 'native', machine: { psc } })
      .map(0, 10)
      .map(1, 11)
      .map(512, 12)
      .map(512 ** 2, 13);
    const rig = bed.machine(engine);
    rig.read(0);
    expect(rig.read(1)).toMatchObject({ refs: 1, counts: { 'pscHits.2': 1 } });
    // Its level-2 entry is another one: PSC[3] has the table that it is in.
    expect(rig.read(512)).toMatchObject({ refs: 2, counts: { 'pscHits.3': 1 } });
    // The one place of PSC[2] now holds page 512's entry.
    expect(rig.read(1)).toMatchObject({ refs: 2, counts: { 'pscHits.3': 1 } });
    expect(rig.read(512 ** 2)).toMatchObject({ refs: 3, counts: { 'pscHits.4': 1 } });
  });

  it('a leaf is never kept: the walk of a 2 MiB page fills PSC[3] and above only', () => {
    const psc = { l2: EIGHT, l3: EIGHT, l4: EIGHT, latency: 0 };
    const bed = new Bed({ mode: 'native', machine: { psc } }).map(0, 0, { size: 1 });
    const rig = bed.machine(engine);
    rig.read(0);
    // [PSC2: none] [PSC3: one entry of key, owner, table, host, flags] [PSC4: the same]
    const { root } = bed.guest;
    expect(rig.state()).toEqual([0, 1, 0, 1, root + 2, root + 2, 3, 1, 0, 1, root + 1, root + 1, 3]);
    expect(rig.read(5)).toMatchObject({ refs: 1, counts: { 'pscHits.3': 1 } });
  });

  it('a hit promotes, so that the other entry goes', () => {
    const psc = { l2: { entries: 2, ways: 2 }, latency: 0 };
    const bed = new Bed({ mode: 'native', machine: { psc } });
    for (const region of [0, 1, 2]) bed.map(512 * region, 10 + region);
    const rig = bed.machine(engine);
    for (const region of [0, 1, 0, 2]) rig.read(512 * region);
    expect(rig.read(0).refs).toBe(1);
    expect(rig.read(512).refs).toBe(4);
  });
});

describe.each(EVERY_WAY)('$name: nothing is counted twice', (engine) => {
  const machine: Partial<MachineConfig> = {
    l1d: [{ entries: 1, ways: 1, sizes: ['4KiB'], replacement: 'lru' }],
    stlb: TLB,
  };

  it.each(['native', 'nested'] as const)(
    '%s: a walk that refills, an STLB hit that refills, an L1 hit',
    (mode) => {
      const bed = new Bed({ mode, machine }).map(1, 10).map(2, 11);
      if (mode === 'nested') bed.back(10, 300).back(11, 301).backTables(400);
      const rig = bed.machine(engine);
      const tlbOnly = (counts: Counts): Counts =>
        Object.fromEntries(Object.entries(counts).filter(([path]) => !path.startsWith('ref')));
      const miss = { accesses: 1, reads: 1, l1Misses: 1, stlbMisses: 1, walks: 1 };
      expect(tlbOnly(rig.read(1).counts)).toEqual(miss);
      expect(tlbOnly(rig.read(2).counts)).toEqual(miss);
      expect(rig.read(1).counts).toEqual({ accesses: 1, reads: 1, l1Misses: 1, 'stlbHits.4KiB': 1 });
      expect(rig.read(1).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
      // What the L1 evicts is dropped, not filled anywhere.
      expect(rig.read(2).counts).toEqual({ accesses: 1, reads: 1, l1Misses: 1, 'stlbHits.4KiB': 1 });
    },
  );

  it('a size that no array of a side has is not filled there', () => {
    const bed = new Bed({
      mode: 'native',
      machine: { l1d: [{ ...TLB[0], sizes: ['2MiB'] }], stlb: [{ ...TLB[0], sizes: ['4KiB'] }] },
    });
    bed.map(0, 10).map(512, 512, { size: 1 });
    const rig = bed.machine(engine);
    rig.read(0);
    rig.read(512);
    expect(rig.read(0).counts).toEqual({ accesses: 1, reads: 1, l1Misses: 1, 'stlbHits.4KiB': 1 });
    expect(rig.read(513).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.2MiB': 1 });
  });

  it('fetches go to the L1I and count there, data to the L1D; the STLB is common', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB, l1i: TLB, stlb: TLB } }).map(1, 10);
    const rig = bed.machine(engine);
    expect(rig.fetch(1).counts).toMatchObject({ fetches: 1, l1iMisses: 1, stlbMisses: 1, walks: 1 });
    expect(rig.read(1).counts).toEqual({ accesses: 1, reads: 1, l1Misses: 1, 'stlbHits.4KiB': 1 });
    expect(rig.fetch(1).counts).toEqual({ accesses: 1, fetches: 1, 'l1iHits.4KiB': 1 });
    expect(rig.read(1).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
  });

  it('without an L1I fetches are accesses of the L1D', () => {
    const rig = new Bed({ mode: 'native', machine: { l1d: TLB } }).map(1, 10).machine(engine);
    expect(rig.fetch(1).counts).toMatchObject({ fetches: 1, l1Misses: 1 });
    expect(rig.read(1).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
  });
});
