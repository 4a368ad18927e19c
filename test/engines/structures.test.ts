/**
 * Geometry and contents of the structures: page-walk cache and nested TLB by what they hold, PTE caches with any number of
 * sets, data through the caches, and TLB arrays of every width, at the edge of their reach.
 */
import { describe, expect, it } from 'vitest';
import type { MachineConfig, TlbArrayConfig } from '../../src/config/resolved.ts';
import { ENTRY } from '../../src/schema.ts';
import { Bed, FULL, type Rig, total } from '../support/bed.ts';
import { ENGINES } from '../support/engines.ts';

const EIGHT = { entries: 8, ways: 8 };
const SIXTEEN = { entries: 16, ways: 16 };
const A = 1;
const B = 2;

/**
 * A and B are neighbours in GVA and GPA. The data lies in the first GiB of GPA space, the tables in the fifth: one nested
 * entry of level 4 for both, and below it an entry each.
 */
const nested = (machine: Partial<MachineConfig>): Bed =>
  new Bed({ mode: 'nested', machine }).map(A, 10).map(B, 11).back(10, 300).back(11, 301).backTables(400);

describe.each(ENGINES)('$name: page-walk cache', (engine) => {
  it('1d, on a 1-D walk: all but the leaf', () => {
    const bed = new Bed({ mode: 'native', machine: { pwc: { ...EIGHT, holds: '1d', latency: 0 } } });
    const rig = bed.map(A, 10).map(B, 11).machine(engine);
    const misses = rig.read(A);
    expect(misses.refs).toBe(4);
    expect(total(misses.counts, 'pwcMisses')).toBe(3);
    expect(rig.read(B).counts).toEqual({
      accesses: 1,
      reads: 1,
      l1Misses: 1,
      stlbMisses: 1,
      walks: 1,
      'pwcHits.pt.L4': 1,
      'pwcHits.pt.L3': 1,
      'pwcHits.pt.L2': 1,
      'refs.pt.L1': 1,
      'refHits.guest.memory': 1,
    });
  });

  it('1d, on a 2-D walk: guest entries only', () => {
    const rig = nested({ pwc: { ...EIGHT, holds: '1d', latency: 0 } }).machine(engine);
    const first = rig.read(A);
    expect([first.refs, total(first.counts, 'pwcMisses')]).toEqual([24, 3]);
    const second = rig.read(B);
    expect([second.refs, total(second.counts, 'pwcHits')]).toEqual([21, 3]);
    expect(second.counts).toMatchObject({
      'pwcHits.gL4.g': 1,
      'pwcHits.gL3.g': 1,
      'pwcHits.gL2.g': 1,
      'refs.gL1.g': 1,
    });
  });

  it('2d: nested entries too; the first walk hits what it has just filled', () => {
    const rig = nested({ pwc: { ...SIXTEEN, holds: '2d', latency: 0 } }).machine(engine);
    // Leaves are never held: 5 nested ones and the guest's. Others: 3 of the guest, nL4 once, nL3 and nL2 twice.
    const first = rig.read(A);
    expect([first.refs, total(first.counts, 'pwcMisses')]).toEqual([6 + 3 + 1 + 2 + 2, 8]);
    expect(total(first.counts, 'pwcHits')).toBe(24 - 14);
    const second = rig.read(B);
    expect([second.refs, total(second.counts, 'pwcHits')]).toEqual([6, 18]);
  });

  it('2d+nt: the nested TLB takes the table pages, the data page is walked', () => {
    const ntlb = { ...SIXTEEN, holds: 'tables' as const, latency: 0 };
    const rig = nested({ ntlb, pwc: { ...SIXTEEN, holds: '2d+nt', latency: 0 } }).machine(engine);
    const first = rig.read(A);
    expect([first.refs, total(first.counts, 'ntlbMisses')]).toEqual([14, 4]);
    const second = rig.read(B);
    // The guest's leaf entry and the nested leaf of the data page; three guest and three nested entries hit.
    expect([second.refs, total(second.counts, 'pwcHits'), total(second.counts, 'ntlbHits')]).toEqual([
      2, 6, 4,
    ]);
    expect(second.counts['ntlbHits.gPA']).toBeUndefined();
  });

  it('holds presence only: the value is memory’s', () => {
    const bed = new Bed({ mode: 'native', machine: { pwc: { ...EIGHT, holds: '1d', latency: 0 } } }).map(
      A,
      10,
    );
    const rig = bed.map(512, 12).machine(engine);
    rig.read(A);
    rig.read(512);
    // Both level-2 entries are held; now the first leads to the other table, at once.
    bed.entry(bed.guest, A, 2).frame = bed.entry(bed.guest, 512, 2).frame;
    expect(rig.read(0)).toMatchObject({ status: 'done', refs: 1, counts: { 'pwcHits.pt.L2': 1 } });
  });

  it('neither probes nor counts an entry that is absent, or has become a leaf', () => {
    const bed = new Bed({ mode: 'native', machine: { pwc: { ...EIGHT, holds: '1d', latency: 0 } } }).map(
      A,
      10,
    );
    const rig = bed.machine(engine);
    rig.read(A);
    const entry = bed.entry(bed.guest, A, 2);
    entry.flags = FULL | ENTRY.pageSize;
    entry.frame = 512;
    expect(rig.read(A)).toMatchObject({ refs: 1, counts: { 'refs.pt.L2': 1 } });
    entry.flags = 0;
    const absent = rig.read(A);
    expect(absent).toMatchObject({ status: 'guestFault', faultRefs: 1, counts: { 'faultRefs.pt.L2': 1 } });
    expect(total(absent.counts, 'pwcMisses')).toBe(0);
  });

  it('has sets by the entry’s address / 8', () => {
    // Two sets of one way. Root index 2 and level-2 index 2 are even, level-3 index 1 is odd: the even ones take turns.
    const page = 2 * 512 ** 3 + 1 * 512 ** 2 + 2 * 512;
    const bed = new Bed({
      mode: 'native',
      machine: { pwc: { entries: 2, ways: 1, holds: '1d', latency: 0 } },
    });
    const rig = bed.map(page, 10).machine(engine);
    rig.read(page);
    expect(rig.read(page)).toMatchObject({
      refs: 3,
      counts: { 'pwcHits.pt.L3': 1, 'pwcMisses.pt.L4': 1, 'pwcMisses.pt.L2': 1 },
    });
  });
});

describe.each(ENGINES)('$name: nested TLB', (engine) => {
  it('holds: tables is neither probed nor filled nor counted for the data page', () => {
    const rig = nested({ ntlb: { ...SIXTEEN, holds: 'tables', latency: 0 } }).machine(engine);
    const first = rig.read(A);
    expect([first.refs, total(first.counts, 'ntlbMisses'), first.counts['ntlbMisses.gPA']]).toEqual([
      24,
      4,
      undefined,
    ]);
    expect(rig.read(A)).toMatchObject({ refs: 8 });
  });

  it('keeps large nested pages whole: every table of a walk hits what the first one filled', () => {
    const bed = new Bed({ mode: 'nested', machine: { ntlb: { ...SIXTEEN, holds: 'all', latency: 0 } } });
    bed.map(A, 10).map(B, 11).back(0, 0, { size: 1 }).backTables(4096, { size: 1 });
    const rig = bed.machine(engine);
    // gL4: 3 nested and 1; three rows: 1; the data page: 3.
    expect(rig.read(A)).toMatchObject({
      refs: 4 + 3 + 3,
      counts: { 'ntlbMisses.gL4': 1, 'ntlbHits.gL3': 1, 'ntlbMisses.gPA': 1 },
    });
    expect(rig.read(B)).toMatchObject({ refs: 4, counts: { 'ntlbHits.gPA': 1 } });
  });

  it('has sets by the GPA page number at its size', () => {
    // Two sets of one way: data frames 10 and 12 share set 0, 11 is in set 1. Tables stand aside through the PSC.
    const machine = {
      psc: { l2: EIGHT, latency: 0 },
      ntlb: { entries: 2, ways: 1, holds: 'all' as const, latency: 0 },
    };
    const bed = nested(machine).map(3, 12).back(12, 302);
    const rig = bed.machine(engine);
    rig.read(A);
    rig.read(B);
    expect([A, B].map((page) => rig.read(page).refs)).toEqual([1, 1]);
    expect(rig.read(3).refs).toBe(5);
    expect([B, A].map((page) => rig.read(page).refs)).toEqual([1, 5]);
  });
});

describe.each(ENGINES)('$name: PTE caches', (engine) => {
  const line = 64;
  /** Pages 8 apart have leaf entries a line apart. A PSC keeps all other references away after the first walk. */
  function strided(sets: number, ways: number, lineBytes = line, hostFrameBound?: number): Rig {
    const machine = {
      psc: { l2: EIGHT, latency: 0 },
      caches: [{ name: 'L1', size: sets * ways * lineBytes, ways, line: lineBytes, latency: 1 }],
    };
    const bed = new Bed({ mode: 'native', machine, ...(hostFrameBound ? { hostFrameBound } : {}) });
    for (let page = 0; page < 512; page += 8) bed.map(page, page);
    const rig = bed.machine(engine);
    rig.read(504);
    return rig;
  }
  const hit = (rig: Rig, page: number): number => rig.read(page).counts['refHits.guest.L1'] ?? 0;

  it.each([3, 5, 7, 12])('%i sets: the index is taken by modulo', (sets) => {
    const rig = strided(sets, 1);
    for (let k = 0; k < sets; k++) rig.read(8 * k);
    // As many consecutive lines as there are sets: each has its own.
    for (let k = 0; k < sets; k++) expect(hit(rig, 8 * k), `line ${k}`).toBe(1);
    // The next one takes the place of the first.
    expect(hit(rig, 8 * sets)).toBe(0);
    expect(hit(rig, 0)).toBe(0);
    for (let k = 1; k < sets; k++) expect(hit(rig, 8 * k), `line ${k}`).toBe(1);
  });

  it.each([
    [2, 2 ** 22],
    [16, 2 ** 22],
    [17, 2 ** 22],
    [32, 2 ** 22],
    [33, 2 ** 22],
    [2, 2 ** 40],
    [16, 2 ** 40],
    [17, 2 ** 40],
    [33, 2 ** 40],
  ])('one set of %i ways, host frames below %i: lru to the last way', (ways, bound) => {
    const rig = strided(1, ways, line, bound);
    for (let k = 0; k < ways; k++) rig.read(8 * k);
    for (let k = 0; k < ways; k++) expect(hit(rig, 8 * k), `line ${k}`).toBe(1);
    rig.read(0);
    expect(hit(rig, 8 * ways)).toBe(0);
    // Line 0 was used last before; line 1 had to go.
    expect(hit(rig, 0)).toBe(1);
    expect(hit(rig, 8)).toBe(0);
  });

  it.each([8, 64, 4096])('lines of %i bytes hold that many entries', (bytes) => {
    const rig = strided(1, 1, bytes);
    rig.read(0);
    expect(hit(rig, 8)).toBe(bytes > 64 ? 1 : 0);
  });

  it('a miss fills every nearer level, a hit promotes, and nothing is invalidated backwards', () => {
    const caches = [
      { name: 'near', size: 64, ways: 1, line, latency: 1 },
      { name: 'far', size: 128, ways: 2, line, latency: 2 },
    ];
    const bed = new Bed({ mode: 'native', machine: { psc: { l2: EIGHT, latency: 0 }, caches } });
    for (let page = 0; page < 64; page += 8) bed.map(page, page);
    const rig = bed.machine(engine);
    rig.read(56);
    const served = (page: number): string =>
      Object.keys(rig.read(page).counts)
        .find((path) => path.startsWith('refHits'))!
        .split('.')[2];
    // near: one line; far: two. 0, 8, 0, 16: the hit of 0 in `far` promotes it there, so 16 takes the place of 8.
    expect([0, 8, 0, 16, 0, 8].map(served)).toEqual(['memory', 'memory', 'far', 'memory', 'far', 'memory']);
    expect([8, 8, 0].map(served)).toEqual(['near', 'near', 'far']);
    // 24 and 32 push 0 out of `far` and near; a line that `near` keeps may be gone from `far`.
    expect([24, 24, 32, 24].map(served)).toEqual(['memory', 'near', 'memory', 'far']);
  });

  it('references of both dimensions and data go through the same caches', () => {
    const caches = [{ name: 'L2', size: 64 * 64, ways: 64, line, latency: 1 }];
    const rig = nested({ caches, dataThroughCaches: true }).machine(engine);
    const { counts } = rig.read(A, 128);
    // Lines of a cold walk: four guest entries in four tables; nL4 one line, nL3 one (its entries 0 and 4 are neighbours), nL2
    // and nL1 one each for the tables and for the data.
    expect(counts['refHits.guest.memory']).toBe(4);
    expect(counts['refHits.nested.memory']).toBe(1 + 1 + 2 + 2);
    expect(counts['refHits.nested.L2']).toBe(20 - 6);
    expect(counts['dataHits.memory']).toBe(1);
    expect(rig.read(A, 191).counts['dataHits.L2']).toBe(1);
    expect(rig.read(A, 192).counts['dataHits.memory']).toBe(1);
  });

  it('without dataThroughCaches an access sends nothing', () => {
    const caches = [{ name: 'L2', size: 64 * 64, ways: 64, line, latency: 1 }];
    const l1d: TlbArrayConfig[] = [{ ...EIGHT, sizes: ['4KiB'], replacement: 'lru' }];
    const rig = nested({ caches, l1d }).machine(engine);
    rig.read(A);
    expect(rig.read(A).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
  });

  it('data of one page can push out entries of another', () => {
    // One line: after each access the data's line is in it, so that even the next walk's leaf entry misses.
    const caches = [{ name: 'L1', size: 64, ways: 1, line, latency: 1 }];
    const machine = { psc: { l2: EIGHT, latency: 0 }, caches };
    const run = (dataThroughCaches: boolean): number => {
      const bed = new Bed({ mode: 'native', machine: { ...machine, dataThroughCaches } }).map(A, 10);
      const rig = bed.machine(engine);
      rig.read(A);
      return rig.read(A).counts['refHits.guest.L1'] ?? 0;
    };
    expect([run(false), run(true)]).toEqual([1, 0]);
  });

  it('setting A or D sends nothing', () => {
    const caches = [{ name: 'L2', size: 64 * 64, ways: 64, line, latency: 1 }];
    const bed = new Bed({ mode: 'native', machine: { caches }, tableFlags: 7 }).map(A, 10, { flags: 7 });
    const { counts } = bed.machine(engine).write(A);
    expect(total(counts, 'refHits')).toBe(4);
  });
});

/** Whether the run is promised static does not show; engines may lay out arrays differently. */
const PROMISES = [
  { isStatic: false, pageBound: 2 ** 20, promise: 'anything may change' },
  { isStatic: true, pageBound: 2 ** 20, promise: 'nothing changes' },
  { isStatic: true, pageBound: 2 ** 36, promise: 'nothing changes, wide page numbers' },
];

describe.each(ENGINES)('$name: TLB arrays', (engine) => {
  describe.each(PROMISES)('$promise', ({ isStatic, pageBound }) => {
    /** A machine with one lru array as L1 or STLB, and `pages` pages `step` apart mapped. */
    function rigOf(side: 'l1d' | 'stlb', entries: number, ways: number, pages: number, step: number): Rig {
      const array: TlbArrayConfig = { entries, ways, sizes: ['4KiB'], replacement: 'lru' };
      const bed = new Bed({ mode: 'native', machine: { [side]: [array] }, isStatic, pageBound });
      for (let k = 0; k < pages; k++) bed.map(k * step, k);
      return bed.machine(engine);
    }
    const walks = (rig: Rig, page: number): number => rig.walked(page);

    const GEOMETRIES = [
      [1, 1],
      [2, 1],
      [5, 5],
      [10, 5],
      [40, 5],
      [3, 3],
      [64, 4],
      [1536, 12],
      [16, 16],
      [17, 17],
      [24, 24],
      [48, 24],
      [64, 64],
      [1536, 1536],
    ];
    it.each(GEOMETRIES.flatMap(([e, w]) => [['l1d', e, w] as const, ['stlb', e, w] as const]))(
      '%s of %i entries, %i ways: a set keeps as many pages as it has ways, and not one more',
      (side, entries, ways) => {
        const sets = entries / ways;
        const rig = rigOf(side, entries, ways, ways + 1, sets);
        const page = (k: number): number => k * sets;
        for (let k = 0; k < ways; k++) expect(walks(rig, page(k))).toBe(1);
        for (let k = 0; k < ways; k++) expect(walks(rig, page(k)), `page ${k} again`).toBe(0);
        // One more evicts the least recent, which is page 0; going round then misses for ever.
        for (let k = 0; k < 2 * (ways + 1); k++) {
          expect(walks(rig, page((ways + k) % (ways + 1))), `round ${k}`).toBe(1);
        }
      },
    );

    it.each(GEOMETRIES.filter(([, ways]) => ways > 1))(
      '%i entries, %i ways: a hit promotes',
      (entries, ways) => {
        const sets = entries / ways;
        const rig = rigOf('l1d', entries, ways, ways + 1, sets);
        for (let k = 0; k < ways; k++) rig.walked(k * sets);
        rig.walked(0);
        expect(walks(rig, ways * sets)).toBe(1);
        expect(walks(rig, 0)).toBe(0);
        expect(walks(rig, sets)).toBe(1);
      },
    );

    it.each([
      [64, 4],
      [1536, 12],
      [10, 5],
    ])('%i entries, %i ways: consecutive pages fill all sets', (entries, ways) => {
      const rig = rigOf('l1d', entries, ways, entries, 1);
      for (let page = 0; page < entries; page++) rig.walked(page);
      for (let page = 0; page < entries; page++) expect(walks(rig, page), `page ${page}`).toBe(0);
    });
  });

  it('one array for several sizes keeps them apart: the set is by the number at each size', () => {
    const l1d: TlbArrayConfig[] = [{ entries: 4, ways: 1, sizes: ['4KiB', '2MiB'], replacement: 'lru' }];
    const bed = new Bed({ mode: 'native', machine: { l1d } });
    // Set 1: 4 KiB page 1, and the large page 1 (pages 512 to 1023). They take each other's place; large page 2 does not.
    bed.map(1, 10).map(512, 512, { size: 1 }).map(1024, 1024, { size: 1 });
    const rig = bed.machine(engine);
    const walks = (page: number): number => rig.walked(page);
    expect([1, 1, 1024, 1].map(walks)).toEqual([1, 0, 1, 0]);
    expect([512, 1, 512, 1024].map(walks)).toEqual([1, 1, 1, 0]);
  });

  it('page numbers above 2^32 are whole: pages that agree in their low 32 bits are two', () => {
    const l1d: TlbArrayConfig[] = [{ entries: 8, ways: 8, sizes: ['4KiB'], replacement: 'lru' }];
    for (const isStatic of [false, true]) {
      const bed = new Bed({ mode: 'native', guestLevels: 5, machine: { l1d }, isStatic });
      const high = 2 ** 44;
      bed
        .map(3, 10)
        .map(3 + 2 ** 32, 11)
        .map(3 + high, 12);
      const rig = bed.machine(engine);
      const stream = [3, 3 + 2 ** 32, 3 + high, 3, 3 + high];
      expect(stream.map((page) => rig.walked(page))).toEqual([1, 1, 1, 0, 0]);
    }
  });
});
