/** The oracle against closed forms, published vectors and cases worked out by hand. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readConfig, type WholeMachine, type WholePaging, type WholePteCache } from './oracle/config.ts';
import {
  type Counters,
  type Matrix,
  type Outcome,
  oracle,
  oracleRun,
  oracleStream,
  permute,
  philox,
  type TraceAccess,
  type WholeConfig,
  zipfTable,
} from './oracle/index.ts';
import { layOut, type Table } from './oracle/memory.ts';
import { Software } from './oracle/software.ts';

const SIZE_OF_LEVEL: Record<number, string> = { 1: '4KiB', 2: '2MiB', 3: '1GiB' };
const BYTES_OF_LEVEL: Record<number, number> = { 1: 2 ** 12, 2: 2 ** 21, 3: 2 ** 30 };

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function sumMatrix(matrix: Matrix): number {
  return Object.values(matrix).reduce((total, row) => total + sum(row), 0);
}

/** A trace of 4 KiB pages: "A" is page 0, "B" page 1, …; lower case writes, upper case reads. */
function pages(letters: string): TraceAccess[] {
  return [...letters].map((letter) => ({
    address: BigInt(letter.toUpperCase().charCodeAt(0) - 65) * 4096n,
    kind: letter === letter.toUpperCase() ? 'read' : 'write',
  }));
}

function traceConfig(
  machine: WholeConfig['machine'],
  paging: WholePaging = { mode: 'native' },
  optional: string[] = [],
): WholeConfig {
  return { seed: 1, machine, paging, optional, workload: { trace: 'x.lackey' } };
}

describe('Philox4x32-10', () => {
  const ones = 0xffffffff;
  it.each([
    [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [[ones, ones, ones, ones], [ones, ones], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ] as const)('gives the published vector for %j', (counter, key, expected) => {
    const words = philox([...counter], [...key]);
    expect(words.map((word) => word.toString(16).padStart(8, '0')).join(' ')).toBe(expected);
  });
});

describe('drawing', () => {
  it.each([1, 2, 4, 5, 17, 64, 1000])('π over [0, %i) is a permutation', (n) => {
    const images = Array.from({ length: n }, (_, k) => permute(7n, n, k, 1, 0));
    expect([...images].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, k) => k));
  });

  it('builds the Zipf table of two ranks', () => {
    expect(zipfTable(2, 1)).toEqual({ threshold: [4294967295, 2863311530], alias: [0, 0] });
  });

  it.each([0, 0.5, 0.99, 1, 1.2, 2])('gives each rank its Zipf share for theta %f', (theta) => {
    const count = 50;
    const { threshold, alias } = zipfTable(count, theta);
    const share = new Array<number>(count).fill(0);
    threshold.forEach((limit, j) => {
      const own = alias[j] === j ? 1 : limit / 2 ** 32;
      share[j] += own / count;
      share[alias[j]] += (1 - own) / count;
    });
    const weight = share.map((_, r) => (r + 1) ** -theta);
    const total = weight.reduce((a, b) => a + b);
    share.forEach((value, r) => {
      // θ is rounded to 2^-24, thresholds to 2^-32.
      expect(value).toBeCloseTo(weight[r] / total, 6);
    });
  });
});

describe('patterns', () => {
  function stream(
    workload: WholeConfig['workload'],
    count: number,
    bytes = 16 * 4096,
    from = 0,
  ): TraceAccess[] {
    return oracleStream({ seed: 1, regions: [{ bytes }, { bytes }], workload }, from, count);
  }
  const base = 2n ** 40n;
  const second = 2n ** 40n + 2n ** 31n;

  it('strides exactly, even where i·s exceeds 2^53', () => {
    const step = 3 * 2 ** 20 + 8;
    const index = 2 ** 50 + 1;
    const expected = (BigInt(index) * BigInt(step)) % (16n * 4096n);
    expect(stream({ pattern: 'stride', bytes: step }, 1, undefined, index)).toEqual([
      { address: base + expected, kind: 'read' },
    ]);
  });

  it('places the second region at a 1 GiB boundary after a gap of 1 GiB', () => {
    expect(stream({ pattern: 'sequential', region: 1 }, 1)[0].address).toBe(second);
  });

  it('chases through every page once a cycle', () => {
    const cycle = stream({ pattern: 'chase' }, 16).map(({ address }) => (address - base) >> 12n);
    expect(new Set(cycle).size).toBe(16);
  });

  it('gives each part of an interleave, of phases and of a burst the index that it sees', () => {
    const a = { pattern: 'stride', bytes: 4096 };
    const b = { pattern: 'stride', bytes: 8, region: 1 };
    const offsets = (workload: WholeConfig['workload'], count: number) =>
      stream(workload, count).map(({ address }) =>
        address >= second ? `b${address - second}` : `a${address - base}`,
      );
    expect(offsets({ pattern: 'interleave', parts: [a, b] }, 4)).toEqual(['a0', 'b0', 'a4096', 'b8']);
    expect(offsets({ pattern: 'phases', lengths: [2, 1], parts: [a, b] }, 6)).toEqual([
      'a0',
      'a4096',
      'b0',
      'a0',
      'a4096',
      'b0',
    ]);
    expect(offsets({ pattern: 'burst', k: 2, of: b }, 4)).toEqual(['b0', 'b0', 'b8', 'b8']);
  });

  it('keeps the page, not the offset, within a burst of a random pattern', () => {
    const burst = stream({ pattern: 'burst', k: 8, of: { pattern: 'uniform' } }, 8);
    expect(new Set(burst.map(({ address }) => address >> 12n)).size).toBe(1);
    // Eight draws from 512 offsets are all different but for about one seed in nineteen; all equal for none.
    expect(new Set(burst.map(({ address }) => address)).size).toBeGreaterThan(1);
  });

  const draw = (index: number, component: number, purpose: number) =>
    philox([index, 0, component, purpose], [1, 0]);
  const pageOf = ({ address }: TraceAccess) => Number((address - base) >> 12n);

  it('draws each thing from its own index, stream and purpose', () => {
    // Streams: interleave 0, uniform 1, outer burst 2, inner burst 3, uniform 4.
    const inner = { pattern: 'burst', k: 2, of: { pattern: 'uniform', writeFraction: 0.5 } };
    const parts = [{ pattern: 'uniform' }, { pattern: 'burst', k: 3, of: inner }];
    const accesses = stream({ pattern: 'interleave', parts }, 80);
    accesses.forEach((access, i) => {
      const seen = Math.floor(i / 2);
      const component = i % 2 === 0 ? 1 : 4;
      const pageIndex = i % 2 === 0 ? seen : Math.floor(Math.floor(seen / 3) / 2);
      const page = draw(pageIndex, component, 0)[0] >>> 28;
      const [, , kindWord, offsetWord] = draw(seen, component, 0);
      expect(access.address, `access ${i}`).toBe(base + BigInt(page * 4096 + 8 * (offsetWord >>> 23)));
      expect(access.kind).toBe(i % 2 === 1 && kindWord < 2 ** 31 ? 'write' : 'read');
    });
  });

  it('permutes Zipf ranks with purpose 4 and a chase with purpose 5', () => {
    const clustered = stream({ pattern: 'zipf', theta: 1, clustered: true }, 40).map(pageOf);
    const spread = stream({ pattern: 'zipf', theta: 1 }, 40).map(pageOf);
    expect(spread).toEqual(clustered.map((rank) => permute(1n, 16, rank, 4, 0)));
    const chased = stream({ pattern: 'chase' }, 20).map(pageOf);
    expect(chased).toEqual(chased.map((_, i) => permute(1n, 16, i % 16, 5, 0)));
  });

  it('draws the key of a lookup with purpose 6, the part of a mixture with purpose 7', () => {
    const lookups = stream({ pattern: 'btree', fanout: 2, levels: 3 }, 60).map(pageOf);
    const a = { pattern: 'sequential' };
    const mixed = stream({ pattern: 'mix', weights: [1, 3], parts: [a, { ...a, region: 1 }] }, 60);
    for (let i = 0; i < 60; i++) {
      const leaf = draw(Math.floor(i / 3), 0, 6)[0] >>> 30;
      expect(lookups[i]).toBe([0, 1 + (leaf >> 1), 3 + leaf][i % 3]);
      expect(mixed[i].address >= second).toBe(draw(i, 0, 7)[0] >= 2 ** 30);
    }
  });

  it('moves a window and wraps it around', () => {
    const window = stream({ pattern: 'window', pages: 4, shift: 3, every: 5 }, 100).map(pageOf);
    expect(window).toEqual(window.map((_, i) => (Math.floor(i / 5) * 3 + (draw(i, 0, 0)[0] >>> 30)) % 16));
  });

  it('starts every lookup of a B-tree at the root and ends it in a leaf', () => {
    const lookups = stream({ pattern: 'btree', fanout: 3, levels: 3 }, 30);
    lookups.forEach(({ address }, i) => {
      const page = Number((address - base) >> 12n);
      const [first, last] = [
        [0, 0],
        [1, 3],
        [4, 12],
      ][i % 3];
      expect(page).toBeGreaterThanOrEqual(first);
      expect(page).toBeLessThanOrEqual(last);
    });
  });

  it('follows the shares of a mixture, of hot pages and of writes', () => {
    // Standard deviation of a share of 4000 draws is below 0.008: 0.04 is five of them.
    const draws = stream(
      {
        pattern: 'mix',
        weights: [1, 3],
        parts: [
          { pattern: 'hotcold', hot: 0.25, weight: 0.6 },
          { pattern: 'uniform', region: 1, writeFraction: 0.3 },
        ],
      },
      4000,
    );
    const inSecond = draws.filter(({ address }) => address >= second);
    const inFirst = draws.filter(({ address }) => address < second);
    const hot = inFirst.filter(({ address }) => address < base + 4n * 4096n);
    expect(inSecond.length / draws.length).toBeCloseTo(0.75, 1);
    expect(Math.abs(hot.length / inFirst.length - 0.6)).toBeLessThan(0.08);
    expect(
      Math.abs(inSecond.filter(({ kind }) => kind === 'write').length / inSecond.length - 0.3),
    ).toBeLessThan(0.05);
    expect(inFirst.every(({ kind }) => kind === 'read')).toBe(true);
  });
});

describe('layout', () => {
  it('counts host memory in nested pages, data and tables apart', () => {
    const settings = readConfig(
      {
        seed: 1,
        paging: { mode: 'nested', nestedPage: '2MiB', nestedLevels: 2, guestLevels: 3, guestMemory: '5MiB' },
        regions: [{ bytes: '3MiB' }],
        workload: { pattern: 'uniform' },
      },
      false,
    );
    // A root entry of two nested levels reaches 2 MiB: the unit. 3 MiB need two nested pages, the four guest tables one;
    // the declared 5 MiB move the guest's table zone to 6 MiB.
    expect(layOut(settings)).toEqual({
      guestFrames: 768,
      guestTables: 3 * 512,
      hostPages: 3,
      nestedTables: 3 * 512,
      // The nested root holds the leaves: one table page, and the next unit.
      shadowTables: 4 * 512,
    });
  });

  it('scatters each region over its own frames', () => {
    const settings = readConfig(
      {
        seed: 5,
        paging: { mode: 'nested', nestedPage: '4KiB', placement: 'scattered' },
        regions: [{ bytes: 8 * 4096 }, { bytes: 16 * 4096 }],
        workload: { pattern: 'uniform' },
      },
      false,
    );
    const { kernel, nestedTable } = new Software(settings, []);
    const lookUp = (table: Table, page: number) => {
      let frame = table.root;
      for (let level = 4; level >= 1; level--) frame = table.read(frame, page, level)!.frame;
      return frame;
    };
    for (let k = 0; k < 16; k++) {
      expect(lookUp(kernel.table, settings.regions[1].firstPage + k)).toBe(8 + permute(5n, 16, k, 1, 1));
    }
    // 24 data pages and 6 table pages: the regions lie in different 1 GiB, so levels 2 and 1 have two tables each.
    for (let k = 0; k < 24; k++) expect(lookUp(nestedTable!, k)).toBe(permute(5n, 30, k, 2, 0));
    for (let k = 0; k < 6; k++) expect(lookUp(nestedTable!, 2 ** 18 + k)).toBe(permute(5n, 30, 24 + k, 2, 0));
  });

  it('puts the zones where the page says', () => {
    const settings = readConfig(
      {
        seed: 1,
        paging: { mode: 'nested', guestPage: '2MiB', nestedPage: '4KiB' },
        regions: [{ bytes: '3MiB' }],
        workload: { pattern: 'uniform' },
      },
      false,
    );
    // Two guest pages of 512 frames; tables of levels 4, 3 and 2, one each.
    expect(layOut(settings)).toEqual({
      guestFrames: 1024,
      guestTables: 2 ** 18,
      hostPages: 1024 + 3,
      nestedTables: 2 ** 18,
      shadowTables: 2 ** 19,
    });
  });
});

const SHAPES: [number, number, number, number][] = [];
for (const n of [2, 3, 4, 5])
  for (const m of [2, 3, 4, 5])
    for (const g of [1, 2, 3])
      for (const h of [1, 2, 3]) {
        // A guest page of 1 GiB leaves no room for tables in a guest-physical space of 1 GiB.
        if (g <= n && h <= m && !(g === 3 && m === 2)) SHAPES.push([n, m, g, h]);
      }

describe('references of a walk that nothing shortens', () => {
  function onePage(paging: WholePaging, guestLeaf: number): Counters {
    return oracle({
      seed: 1,
      accesses: 1,
      paging,
      regions: [{ bytes: BYTES_OF_LEVEL[guestLeaf] }],
      workload: { pattern: 'sequential' },
    });
  }

  it.each(SHAPES)('2-D: n = %i, m = %i, guest leaf at %i, nested leaf at %i', (n, m, g, h) => {
    const counters = onePage(
      {
        mode: 'nested',
        guestLevels: n,
        nestedLevels: m,
        guestPage: SIZE_OF_LEVEL[g],
        nestedPage: SIZE_OF_LEVEL[h],
      },
      g,
    );
    expect(sumMatrix(counters.refs)).toBe((n - g + 1) * (m - h + 2) + (m - h + 1));
    for (const [row, columns] of Object.entries(counters.refs)) {
      const visitedRow =
        row === 'gPA' || (row.startsWith('gL') && Number(row[2]) <= n && Number(row[2]) >= g);
      for (const [column, count] of Object.entries(columns)) {
        const visited =
          column === 'g' || (column.startsWith('nL') && Number(column[2]) <= m && Number(column[2]) >= h);
        expect(count, `${row} ${column}`).toBe(visitedRow && visited ? 1 : 0);
      }
    }
  });

  it.each([
    [4, 4, 1, 1, 24],
    [4, 4, 2, 1, 19],
    [4, 4, 1, 2, 19],
    [4, 4, 2, 2, 15],
    [5, 5, 1, 1, 35],
    [2, 2, 1, 1, 8],
  ])('2-D: %i × %i levels, leaves at %i and %i: the published %i', (n, m, g, h, expected) => {
    const paging = {
      mode: 'nested',
      guestLevels: n,
      nestedLevels: m,
      guestPage: SIZE_OF_LEVEL[g],
      nestedPage: SIZE_OF_LEVEL[h],
    };
    expect(sumMatrix(onePage(paging, g).refs)).toBe(expected);
  });

  it.each([2, 3, 4, 5])('1-D: %i levels', (n) => {
    for (let g = 1; g <= Math.min(3, n); g++) {
      const { refs } = onePage({ mode: 'native', guestLevels: n, guestPage: SIZE_OF_LEVEL[g] }, g);
      expect(sum(refs.pt)).toBe(n - g + 1);
      expect(sumMatrix(refs)).toBe(n - g + 1);
    }
  });
});

describe('replacement in one set', () => {
  it.each([
    // A stays for lru and srrip (promoted), goes for fifo (oldest) and nru (all bits cleared, lowest way).
    ['lru', 2, 'ABACA', 2],
    ['fifo', 2, 'ABACA', 1],
    ['nru', 2, 'ABACA', 1],
    ['srrip', 2, 'ABACA', 2],
    // After A B C D A the tree points right, then left: C goes. True lru would evict B.
    ['plru', 4, 'ABCDAEC', 1],
    ['lru', 4, 'ABCDAEC', 2],
    ['lru', 3, 'ABCDABCD', 0],
    // E finds all four bits set: clears them, takes way 0. F takes way 1, where B was.
    ['nru', 4, 'ABCDEFB', 0],
    ['nru', 4, 'ABCDEFC', 1],
    // A was hit (0), the others filled (2): E, F and G take their ways, lowest first; H then ages E to 3 before A.
    ['srrip', 4, 'ABCDAEFGHA', 2],
    ['srrip', 4, 'ABCDAEFGHE', 1],
    // One way: whatever is drawn, the victim is that way.
    ['random', 1, 'AABBA', 2],
  ] as const)('%s, %i ways, %s: %i hits', (replacement, ways, letters, hits) => {
    const machine = { l1d: [{ entries: ways, ways: 'full' as const, sizes: ['4KiB'], replacement }] };
    expect(oracle(traceConfig(machine), pages(letters)).l1Hits['4KiB']).toBe(hits);
  });
});

describe('index xor', () => {
  /** Hits of pages sent twice, in order, through an L1 of 4 sets. */
  const hits = (index: 'low' | 'xor', ways: number, numbers: number[]): number => {
    const machine = { l1d: [{ entries: 4 * ways, ways, sizes: ['4KiB'], index }] };
    const trace = [...numbers, ...numbers].map((page) => ({
      address: BigInt(page) * 4096n,
      kind: 'read' as const,
    }));
    return oracle(traceConfig(machine), trace).l1Hits['4KiB'];
  };

  it('sends a page to the low bits of its number XOR the next as many', () => {
    // By hand, 4 sets: 0b0000, 0b0101, 0b1010 and 0b1111 fold to set 0; 0b010000 too, since bits above pick nothing.
    expect(hits('xor', 4, [0b0000, 0b0101, 0b1010, 0b1111])).toBe(4);
    expect(hits('xor', 3, [0b0000, 0b0101, 0b1010, 0b1111])).toBe(0);
    expect(hits('xor', 1, [0b0000, 0b010000])).toBe(0);
    // Of one set by their low bits, of four when folded.
    expect(hits('low', 1, [0b0001, 0b0101, 0b1001, 0b1101])).toBe(0);
    expect(hits('xor', 1, [0b0001, 0b0101, 0b1001, 0b1101])).toBe(4);
  });
});

describe('random replacement', () => {
  it('takes the way that Philox draws for the index and the array', () => {
    const machine = {
      l1d: [{ entries: 1, ways: 1, sizes: ['4KiB'] }],
      stlb: [{ entries: 2, ways: 2, sizes: ['4KiB'], replacement: 'random' as const }],
    };
    for (let seed = 1; seed <= 20; seed++) {
      const word = philox([2, 0, 1, 3], [seed, 0])[0];
      const counters = oracle({ ...traceConfig(machine), seed }, pages('ABCA'));
      // C, the access of index 2, evicts A from way 0 or B from way 1 of array 1.
      expect(counters.stlbHits['4KiB'], `seed ${seed}`).toBe(word < 2 ** 31 ? 0 : 1);
    }
  });
});

describe('cases worked out by hand', () => {
  const tlb = { entries: 64, ways: 4, sizes: ['4KiB'] };

  it('demand: the first touch of one page on 4 × 4 levels', () => {
    const counters = oracle(traceConfig({}, { mode: 'nested', populate: 'demand' }), pages('A'));
    // Try 1: the root's nested walk and its absent entry: 4 + 1. Try 2: four guest rows of 5, then the data page, whose
    // nL3 entry is absent (tables and data share the nL4 entry): 20 + 2. Try 3: all 24.
    expect(sumMatrix(counters.faultRefs)).toBe(5 + 22);
    expect(counters.faultRefs.gL4).toMatchObject({ nL4: 2, nL1: 2, g: 2 });
    expect(counters.faultRefs.gPA).toMatchObject({ nL4: 1, nL3: 1, nL2: 0, nL1: 0 });
    expect(sumMatrix(counters.refs)).toBe(24);
    expect(counters).toMatchObject({ accesses: 1, walks: 1, guestFaults: 1, nestedViolations: 1 });
  });

  it('demand: one fault a page of each dimension', () => {
    const paging = { mode: 'nested', populate: 'demand', nestedPage: '2MiB' } as const;
    const counters = oracle(traceConfig({}, paging), pages('ABCDEFGH'));
    expect(counters).toMatchObject({ guestFaults: 8, nestedViolations: 1 });
  });

  it('without vpid a VM exit flushes what other pages have filled', () => {
    const paging = { mode: 'nested', populate: 'demand' } as const;
    const tagged = oracle(traceConfig({ l1d: [tlb] }, paging), pages('ABA'));
    const untagged = oracle(traceConfig({ l1d: [tlb], tagged: [] }, paging), pages('ABA'));
    expect([tagged.l1Misses, untagged.l1Misses]).toEqual([2, 3]);
  });

  it('a write to a clean page walks again, and counts the hit that it saw', () => {
    const machine = { l1d: [tlb], stlb: [{ entries: 128, ways: 4, sizes: ['4KiB'] }] };
    for (const mode of ['native', 'nested']) {
      const clean = oracle(traceConfig(machine, { mode, ad: 'clear' }), pages('Aaa'));
      expect(clean).toMatchObject({ walks: 2, dirtyWalks: 1, l1Misses: 1, stlbMisses: 1 });
      expect(clean.l1Hits['4KiB']).toBe(2);
      const dirty = oracle(traceConfig(machine, { mode, ad: 'set' }), pages('Aaa'));
      expect(dirty).toMatchObject({ walks: 1, dirtyWalks: 0 });
    }
  });

  it('a nested D bit counts only with nestedAD', () => {
    const paging = { mode: 'nested', ad: 'clear' } as const;
    // The first write sets D in the guest entry; with nestedAD the nested one is set in the same walk.
    for (const nestedAD of [true, false]) {
      expect(oracle(traceConfig({ l1d: [tlb], nestedAD }, paging), pages('aa'))).toMatchObject({
        walks: 1,
        dirtyWalks: 0,
      });
    }
  });

  it('a nested TLB entry filled by a read of data is dropped by a write with nestedAD', () => {
    const machine = { ntlb: { entries: 16, ways: 'full' as const } };
    const paging = { mode: 'nested', ad: 'clear' } as const;
    expect(oracle(traceConfig(machine, paging), pages('Aa')).ntlbMisses.gPA).toBe(2);
    expect(oracle(traceConfig({ ...machine, nestedAD: false }, paging), pages('Aa')).ntlbMisses.gPA).toBe(1);
  });

  it('combined PSC: the neighbour costs its leaf entry and the data page', () => {
    const counters = oracle(
      traceConfig({ psc: { l2: { entries: 4, ways: 'full' } } }, { mode: 'nested' }),
      pages('AB'),
    );
    expect(sumMatrix(counters.refs)).toBe(24 + 1 + 4);
    expect(counters.pscHits['2']).toBe(1);
  });

  it('nested PSC: the tables of a walk share their nL2 entry', () => {
    const counters = oracle(
      traceConfig({ nestedPsc: { l2: { entries: 4, ways: 'full' } } }, { mode: 'nested' }),
      pages('A'),
    );
    expect(sumMatrix(counters.refs)).toBe(4 + (4 + 1 + 1 + 1) + 4);
    expect(counters.nestedPscHits['2']).toBe(3);
  });

  it.each([
    // Five pages missed, then four tables hit and the new data page missed.
    ['all', '4KiB', 24 + 8, { gL1: 1, gPA: 0 }, { gL1: 1, gPA: 2 }],
    ['tables', '4KiB', 24 + 8, { gL1: 1, gPA: 0 }, { gL1: 1, gPA: 0 }],
    // All tables in one 2 MiB page, both data pages in another.
    ['all', '2MiB', 4 + 3 + 3 + 4, { gL1: 2, gPA: 1 }, { gL1: 0, gPA: 1 }],
  ] as const)('nested TLB that holds %s, on %s', (holds, nestedPage, refs, hits, misses) => {
    const machine = { ntlb: { entries: 16, ways: 'full' as const, holds } };
    const counters = oracle(traceConfig(machine, { mode: 'nested', nestedPage }), pages('AB'));
    expect(sumMatrix(counters.refs)).toBe(refs);
    expect(counters.ntlbHits).toMatchObject(hits);
    expect(counters.ntlbMisses).toMatchObject(misses);
  });

  it.each([
    // The neighbour saves the references to the guest's entries of levels 4 to 2.
    ['1d', 24 + 21],
    // First walk: leaf entries of the nested table for 4 guest tables and the data, 4 guest entries, and of the nested
    // non-leaf entries one nL4, two nL3, two nL2 (tables, data). Second: five nested leaves and the guest's.
    ['2d', 5 + 4 + (1 + 2 + 2) + 6],
  ] as const)('2-D page-walk cache that holds %s', (holds, refs) => {
    const machine = { pwc: { entries: 64, ways: 'full' as const, holds } };
    const counters = oracle(traceConfig(machine, { mode: 'nested' }), pages('AB'));
    expect(sumMatrix(counters.refs)).toBe(refs);
  });

  it('a fault drops the PSC entries of its address, so that the retry starts at the root', () => {
    const machine = { psc: { l2: { entries: 4, ways: 'full' as const } } };
    const counters = oracle(traceConfig(machine, { mode: 'native', populate: 'demand' }), pages('AB'));
    // A: absent at the root, then 4. B: PSC hit and an absent leaf entry, then 4.
    expect([sumMatrix(counters.faultRefs), sumMatrix(counters.refs), counters.pscHits['2']]).toEqual([
      2, 8, 1,
    ]);
  });

  it('a violation drops the nested PSC entries of its address, so that the retry starts at the nested root', () => {
    const machine = { nestedPsc: { l2: { entries: 4, ways: 'full' as const } }, l1d: [tlb] };
    const counters = oracle(traceConfig(machine, { mode: 'nested', populate: 'demand' }), pages('AB'));
    // A backs its page and fills the PSC for the data. B: a guest fault first, then PSC hit and an absent nL1 entry, then
    // all four levels. The violation of A had found nL3 absent: two references.
    expect(counters.faultRefs.gPA).toMatchObject({ nL4: 1, nL3: 1, nL2: 0, nL1: 1 });
    expect(counters.refs.gPA).toMatchObject({ nL4: 2, nL3: 2, nL2: 2, nL1: 2 });
  });

  it('an STLB hit fills the L1', () => {
    const machine = { l1d: [{ entries: 1, ways: 1, sizes: ['4KiB'] }], stlb: [tlb] };
    const counters = oracle(traceConfig(machine), pages('ABAA'));
    expect([counters.l1Hits['4KiB'], counters.stlbHits['4KiB']]).toEqual([1, 1]);
  });

  it('with nestedAD every read of a guest table is a write to its page', () => {
    const machine = { ntlb: { entries: 16, ways: 'full' as const } };
    const counters = oracle(traceConfig(machine, { mode: 'nested', populate: 'demand' }), pages('A'));
    // Three tries. The first reads an absent entry, which has no bit to set, and still leaves the root's page dirty.
    expect(counters.ntlbMisses).toMatchObject({ gL4: 1, gL3: 1, gL2: 1, gL1: 1, gPA: 2 });
    expect(counters.ntlbHits).toMatchObject({ gL4: 2, gL3: 1, gL2: 1, gL1: 1, gPA: 0 });
  });

  it('dirty means dirty in both dimensions', () => {
    const dirtyWalks = (paging: WholePaging, nestedAD: boolean, letters: string) => {
      const machine = { l1d: [{ ...tlb, sizes: ['4KiB', '2MiB'] }], nestedAD };
      return oracle(traceConfig(machine, { mode: 'nested', ad: 'clear', ...paging }), pages(letters))
        .dirtyWalks;
    };
    // The nested page is dirty from a, the guest's B is not.
    expect(dirtyWalks({ nestedPage: '2MiB' }, true, 'aBb')).toBe(1);
    // The guest page is dirty from a, the nested page of B is not; without nestedAD nobody asks.
    expect(dirtyWalks({ guestPage: '2MiB' }, true, 'aBb')).toBe(1);
    expect(dirtyWalks({ guestPage: '2MiB' }, false, 'aBb')).toBe(0);
  });

  it.each([
    // A: try 2 and 3 visit three entries each. B, the neighbour: three tries. The violations empty the cache after try 2
    // of each; B's guest fault needs no table page, so it is no exit.
    [['vpid'], 'AB', 3, 12],
    [[], 'AB', 9, 6],
    // C lies 2 MiB on and needs a table page: backing it is an exit, so that tries 2 and 3 miss everything.
    [['vpid'], 'AC', 4, 10],
    [[], 'AC', 12, 2],
  ])('page-walk cache, tagged %j, %s: %i misses', (tagged, letters, misses, hits) => {
    const machine = { tagged, pwc: { entries: 64, ways: 'full' as const, holds: '1d' as const } };
    const trace = pages(letters).map((access) =>
      access.address === 8192n ? { ...access, address: 2n ** 21n } : access,
    );
    const counters = oracle(traceConfig(machine, { mode: 'nested', populate: 'demand' }), trace);
    expect([sumMatrix(counters.pwcMisses), sumMatrix(counters.pwcHits)]).toEqual([misses, hits]);
  });

  it('a hit promotes in the page-walk cache', () => {
    const machine = { pwc: { entries: 3, ways: 'full' as const, holds: '1d' as const } };
    const far = [0, 2 ** 21, 2 ** 21 + 4096].map((address) => ({
      address: BigInt(address),
      kind: 'read' as const,
    }));
    const counters = oracle(traceConfig(machine), far);
    // L4, L3 and the first L2 entry fill it; the second L2 entry takes the place of the first, the least recent.
    expect([sum(counters.pwcHits.pt), sum(counters.refs.pt)]).toEqual([2 + 3, 4 + 2 + 1]);
  });

  it('a miss fills every nearer cache', () => {
    const caches = [
      { name: 'L2', size: 64, ways: 1, line: 64 },
      { name: 'LLC', size: '64KiB', ways: 4, line: 64 },
    ];
    expect(oracle(traceConfig({ caches }), pages('AA')).refHits.guest).toEqual({ L2: 0, LLC: 4, memory: 4 });
  });

  it('1-D page-walk cache and PTE caches', () => {
    const pwc = oracle(traceConfig({ pwc: { entries: 8, ways: 'full', holds: '1d' } }), pages('AB'));
    expect(sum(pwc.refs.pt)).toBe(4 + 1);
    expect([sum(pwc.pwcMisses.pt), sum(pwc.pwcHits.pt)]).toEqual([3, 3]);
    // Nine leaf entries lie in two lines of 64 bytes, each upper entry in one.
    const cache = { name: 'L2', size: '64KiB', ways: 4, line: 64, latency: 10 };
    const cached = oracle(
      traceConfig({ caches: [cache] }, { mode: 'native' }, ['unique']),
      pages('ABCDEFGHI'),
    );
    expect(cached.refHits.guest).toEqual({ L2: 31, memory: 5 });
    expect(cached.unique?.pt).toEqual({ L5: 0, L4: 1, L3: 1, L2: 1, L1: 9 });
  });

  it('data go through the same caches', () => {
    const caches = [{ name: 'L2', size: '64KiB', ways: 4, line: 64, latency: 10 }];
    const counters = oracle(traceConfig({ caches, dataThroughCaches: true }), pages('ABAB'));
    expect(counters.dataHits).toEqual({ L2: 2, memory: 2 });
  });

  it('splinters a guest large page backed by small ones', () => {
    const machine = { l1d: [tlb, { entries: 32, ways: 4, sizes: ['2MiB'] }] };
    const small = oracle(
      traceConfig(machine, { mode: 'nested', guestPage: '2MiB', nestedPage: '4KiB' }),
      pages('ABA'),
    );
    expect(small.l1Hits).toEqual({ '4KiB': 1, '2MiB': 0, '1GiB': 0 });
    const large = oracle(
      traceConfig(machine, { mode: 'nested', guestPage: '2MiB', nestedPage: '2MiB' }),
      pages('ABA'),
    );
    expect(large.l1Hits).toEqual({ '4KiB': 0, '2MiB': 2, '1GiB': 0 });
  });

  it('measures stack distances', () => {
    const { reuse } = oracle(traceConfig({}, { mode: 'native' }, ['reuse']), pages('ABAACB'));
    expect(reuse).toEqual({ cold: 3, distances: { 1: 1, 0: 1, 2: 1 } });
  });

  it('keeps fetches on their own side, or drops them', () => {
    const fetches: TraceAccess[] = pages('AAB').map(({ address }) => ({ address, kind: 'fetch' }));
    const machine = { l1d: [tlb], l1i: [tlb] };
    const kept = oracle(traceConfig(machine), fetches);
    expect(kept).toMatchObject({ accesses: 3, fetches: 3, l1Misses: 0, l1iMisses: 2 });
    expect(kept.l1iHits['4KiB']).toBe(1);
    const config = traceConfig(machine);
    config.workload.fetches = false;
    expect(oracle(config, fetches).accesses).toBe(0);
  });

  it('refuses an address outside the region of a trace', () => {
    expect(() => oracle(traceConfig({}), [{ address: 2n ** 47n, kind: 'read' }])).toThrow('record 0');
  });
});

/** Present entries of a table of an outcome that are leaves of 4 KiB on tables of four levels, or lead to others. */
function countEntries({ hostTable }: Outcome): { leaves: number; tables: number } {
  const frames = new Set([...hostTable.keys()].map((address) => address >> 12n));
  const links = [...hostTable.values()].filter((entry) => frames.has((entry >> 12n) & (2n ** 40n - 1n)));
  return { leaves: hostTable.size - links.length, tables: links.length + 1 };
}

describe('shadow paging', () => {
  const tlb = { entries: 64, ways: 4, sizes: ['4KiB'] };
  const demand = { mode: 'shadow', populate: 'demand' } as const;
  const run = (letters: string, shape: WholePaging = demand, machine: WholeMachine = {}, stride = 4096n) =>
    oracleRun(
      traceConfig(machine, shape),
      pages(letters).map(({ address, kind }) => ({ address: (address / 4096n) * stride, kind })),
    );

  it('the first touch of a page, step by step', () => {
    const { counters, events } = run('A');
    // Absent in the shadow root: the guest's own fault, which allocates tables of levels 3 to 1 and writes four entries, of
    // which the hypervisor sees the root's alone. Absent in the shadow root again: three shadow pages and a leaf. Then four.
    expect(counters).toMatchObject({ accesses: 1, walks: 1, guestFaults: 2, nestedViolations: 0 });
    expect(counters.faultRefs.pt).toMatchObject({ L4: 2, L3: 0 });
    expect([sumMatrix(counters.faultRefs), sumMatrix(counters.refs), sum(counters.refs.pt)]).toEqual([
      2, 4, 4,
    ]);
    expect(events).toEqual({
      cr3Writes: 1,
      cr3Exits: 1,
      guestFaultExits: 1,
      guestFaults: 1,
      zeroedFrames: 1,
      tableWrites: 4,
      tableWriteExits: 1,
      tableBackings: 4,
      hiddenFaultExits: 1,
      hostFrames: 4 + 1,
      shadowTables: 4,
    });
  });

  it.each([
    // B and C are in a leaf table that has a shadow by then.
    [false, 'ABC', 4096n, { tableWriteExits: 1 + 2 }],
    [true, 'ABC', 4096n, { tableWriteExits: 1, unsyncExits: 1 }],
    // 2 MiB apart: the entries that lead to two further leaf tables are above the leaves.
    [false, 'ABC', 2n ** 21n, { tableWriteExits: 1 + 2 }],
    [true, 'ABC', 2n ** 21n, { tableWriteExits: 1 + 2 }],
  ])('unsync %j, %s every %i bytes', (unsync, letters, stride, exits) => {
    const { events } = run(letters, { ...demand, unsync }, {}, stride);
    const { tableWriteExits, unsyncExits } = events;
    expect({ tableWriteExits, unsyncExits }).toEqual({ unsyncExits: undefined, ...exits });
  });

  it.each([
    ['A', {}],
    ['Aa', { dirtyFaultExits: 1 }],
    ['Aaa', { dirtyFaultExits: 1 }],
    ['a', {}],
    ['aA', {}],
  ])('a read, then a write: %s', (letters, exits) => {
    const { dirtyFaultExits } = run(letters).events;
    expect({ dirtyFaultExits }).toEqual({ dirtyFaultExits: undefined, ...exits });
    // Who wrote the guest's entry, and not who first read it, decides.
    expect(run(letters, { ...demand, ad: 'set' }).events.dirtyFaultExits).toBeUndefined();
  });

  it('an entry that a TLB holds read-only is walked again when it is written to', () => {
    const { counters } = run('Aaa', demand, { l1d: [tlb] });
    // a: a hit that cannot be used and a walk that faults, which drops the entry; then a miss; then a hit.
    expect(counters).toMatchObject({ walks: 2, dirtyWalks: 0, l1Misses: 2, guestFaults: 3 });
    expect(counters.l1Hits['4KiB']).toBe(1);
  });

  it('small host pages behind a large guest page: one entry above them stands for its A and D', () => {
    const outcome = run('ABab', { ...demand, guestPage: '2MiB' }, { l1d: [tlb] });
    // A and B are filled, with two host pages; a sets the guest's D; b finds the page writable, its TLB entry not.
    expect(outcome.events).toMatchObject({
      guestFaultExits: 1,
      hiddenFaultExits: 2,
      dirtyFaultExits: 1,
      hostFrames: 3 + 2,
    });
    expect(outcome.counters).toMatchObject({ dirtyWalks: 1, guestFaults: 4 });
    // Tables of levels 4 to 2 of the guest have a shadow; the page of level 1 is a shadow of the large leaf.
    expect(countEntries(outcome)).toEqual({ leaves: 2, tables: 4 });
  });

  it('a large host page behind small guest pages is one frame for all of them', () => {
    const { counters, events } = run('ABCA', { ...demand, nestedPage: '2MiB' }, { l1d: [tlb] });
    // One for the guest's tables, one for its data.
    expect(events).toMatchObject({ hostFrames: 2, tableBackings: 1, hiddenFaultExits: 3, shadowTables: 4 });
    expect(counters.l1Hits).toEqual({ '4KiB': 1, '2MiB': 0, '1GiB': 0 });
  });

  it('a right that a paging-structure cache missed faults once more, and fills nothing', () => {
    const psc = { l2: { entries: 8, ways: 'full' as const } };
    const shape = { ...demand, guestPage: '1GiB' };
    // A and B, 2 MiB apart in one guest page, leave two entries in PSC[2], read-only from the entry of level 3 on. The fault
    // of a drops its own; b meets the other.
    const cached = run('ABab', shape, { psc }, 2n ** 21n);
    expect(cached.events).toMatchObject({ hiddenFaultExits: 2, dirtyFaultExits: 1, spuriousFaultExits: 1 });
    expect(countEntries(cached).leaves).toBe(2);
    const plain = run('ABab', shape, {}, 2n ** 21n);
    expect(plain.events).toMatchObject({ hiddenFaultExits: 2, dirtyFaultExits: 1 });
    expect(plain.events.spuriousFaultExits).toBeUndefined();
  });

  it('prefaulted: nothing is left to do, and the walks are those of a native run', () => {
    const { counters, events } = run('ABCabc', { mode: 'shadow' }, { l1d: [tlb] });
    expect(events).toEqual({});
    expect(counters).toEqual(oracle(traceConfig({ l1d: [tlb] }, { mode: 'native' }), pages('ABCabc')));
  });

  it('prefaulted by a guest that has touched nothing: absent until accessed, read-only until written', () => {
    const { events } = run('ABaa', { mode: 'shadow', ad: 'clear' });
    expect(events).toEqual({ hiddenFaultExits: 2, shadowTables: 3, dirtyFaultExits: 1 });
  });

  it('without vpid every fault flushes what other pages have filled', () => {
    const misses = (tagged: string[]) => run('ABA', demand, { l1d: [tlb], tagged }).counters.l1Misses;
    expect([misses(['vpid']), misses([])]).toEqual([2, 3]);
  });

  it('leads where the nested table would have led', () => {
    const config = (mode: string): WholeConfig => ({
      seed: 9,
      paging: { mode, guestPage: '2MiB', nestedPage: '4KiB', placement: 'scattered' },
      regions: [{ bytes: '5MiB' }, { bytes: '2MiB' }],
      workload: { pattern: 'uniform' },
    });
    const settings = readConfig(config('shadow'), false);
    const shadow = new Software(settings, []);
    const nested = new Software(readConfig(config('nested'), false), []);
    // Guest tables at 1 GiB, nested ones at 1 GiB, the shadow at the next.
    expect(shadow.walked.root).toBe(2 ** 19);
    for (const { firstPage, frames } of settings.regions) {
      for (let page = firstPage; page < firstPage + frames; page++) {
        const guestFrame = nested.kernel.table.leaf(page)!.frame + (page % 512);
        expect(shadow.walked.leaf(page)).toMatchObject({
          frame: nested.nestedTable!.leaf(guestFrame)!.frame,
          writable: true,
          dirty: true,
        });
      }
    }
  });
});

describe('paravirtual paging', () => {
  const config = (shape: WholePaging): WholeConfig =>
    traceConfig({ l1d: [{ entries: 4, ways: 2, sizes: ['4KiB'] }] }, { populate: 'demand', ...shape });

  it('bounces faults, and asks for each entry and for each table page of a pinned table', () => {
    const { counters, events } = oracleRun(config({ mode: 'paravirt' }), pages('ABa'));
    expect(events).toEqual({
      cr3Writes: 1,
      cr3Hypercalls: 1,
      guestFaults: 2,
      faultBounces: 2,
      zeroedFrames: 2,
      // The root, and tables of levels 3 to 1.
      pinHypercalls: 1 + 3,
      tableWrites: 4 + 1,
      updateHypercalls: 4 + 1,
      validatedEntries: 4 + 1,
    });
    expect(counters).toEqual(oracle(config({ mode: 'native' }), pages('ABa')));
  });

  it('has host frames in its entries: the guest chooses one of its own, the host has put another behind it', () => {
    const settings = readConfig(
      {
        seed: 5,
        paging: { mode: 'paravirt', placement: 'scattered' },
        regions: [{ bytes: 8 * 4096 }, { bytes: 16 * 4096 }],
        workload: { pattern: 'uniform' },
      },
      false,
    );
    const { walked } = new Software(settings, []);
    for (let k = 0; k < 16; k++) {
      const guestFrame = 8 + permute(5n, 16, k, 1, 1);
      const { frame } = walked.leaf(settings.regions[1].firstPage + k)!;
      expect(frame).toBe(permute(5n, 24, guestFrame, 2, 0));
    }
  });
});

const policy = fc.constantFrom('lru', 'fifo', 'plru', 'nru', 'srrip', 'random') as fc.Arbitrary<'lru'>;
const geometry = fc.constantFrom({ entries: 4, ways: 2 }, { entries: 2, ways: 'full' as const });
const psc = fc.record({ l2: geometry, l3: geometry, l4: geometry, l5: geometry }, { requiredKeys: [] });
const cacheChoices: WholePteCache[][] = [
  [],
  [
    { name: 'L2', size: '4KiB', ways: 4, line: 64 },
    { name: 'LLC', size: 12288, ways: 3, line: 128 },
  ],
];
const tagChoices: string[][] = [['vpid', 'pcid'], []];
const sizeChoices: string[][] = [['4KiB'], ['4KiB', '2MiB', '1GiB']];
const tlbArray = fc.record({
  entries: fc.constant(8),
  ways: fc.constantFrom(1, 2, 4),
  sizes: fc.constantFrom(...sizeChoices),
  replacement: policy,
  index: fc.constantFrom('low' as const, 'xor' as const),
});
const holds = fc.constantFrom('1d', '2d', '2d+nt') as fc.Arbitrary<'1d' | '2d' | '2d+nt'>;
const tlbs = {
  l1d: fc.array(tlbArray, { maxLength: 1 }),
  l1i: fc.array(tlbArray, { maxLength: 1 }),
  stlb: fc.array(tlbArray, { maxLength: 1 }),
  caches: fc.constantFrom(...cacheChoices),
  dataThroughCaches: fc.boolean(),
  nestedAD: fc.boolean(),
  tagged: fc.constantFrom(...tagChoices),
};
const machine: fc.Arbitrary<WholeMachine> = fc.oneof(
  fc.record(
    {
      ...tlbs,
      psc,
      nestedPsc: psc,
      ntlb: fc.record({
        entries: fc.constant(4),
        ways: fc.constant(2),
        holds: fc.constantFrom('all' as const, 'tables' as const),
      }),
    },
    { requiredKeys: [] },
  ),
  fc
    .record({ ...tlbs, pwc: fc.record({ entries: fc.constant(8), ways: fc.constant(4), holds }) })
    .map((m) =>
      m.pwc.holds === '2d+nt' ? { ...m, ntlb: { entries: 4, ways: 4, holds: 'tables' as const } } : m,
    ),
);
const paging = fc.record({
  mode: fc.constantFrom('native', 'nested', 'shadow', 'paravirt'),
  guestPage: fc.constantFrom('4KiB', '2MiB'),
  nestedPage: fc.constantFrom('4KiB', '2MiB'),
  guestLevels: fc.constantFrom(3, 4, 5),
  nestedLevels: fc.constantFrom(3, 4, 5),
  populate: fc.constantFrom('prefault' as const, 'demand' as const),
  ad: fc.constantFrom('set' as const, 'clear' as const),
  placement: fc.constantFrom('contiguous' as const, 'scattered' as const),
  unsync: fc.boolean(),
});
const access = fc.record({
  address: fc
    .nat(63)
    .chain((page) => fc.constantFrom(0n, 2n ** 21n, 2n ** 30n).map((far) => far + BigInt(page) * 4096n)),
  kind: fc.constantFrom('read' as const, 'write' as const, 'fetch' as const),
});

/** Where nothing shortens a walk, the references follow from the number of walks. */
function expectFullWalks(counters: Counters, hardware: WholeMachine, shape: WholePaging): void {
  const { psc, nestedPsc, ntlb, pwc } = hardware;
  const twoDimensions = shape.mode === 'nested';
  if (psc || pwc || (twoDimensions && (nestedPsc || ntlb))) return;
  // A shadow table has leaves of the smaller page.
  const large = shape.guestPage === '2MiB' && (shape.mode !== 'shadow' || shape.nestedPage === '2MiB');
  const guest = (shape.guestLevels ?? 4) - (large ? 1 : 0);
  const nested = (shape.nestedLevels ?? 4) - (shape.nestedPage === '2MiB' ? 1 : 0);
  const refs = twoDimensions ? guest * (nested + 1) + nested : guest;
  expect(sumMatrix(counters.refs)).toBe(counters.walks * refs);
}

/** What one event of the software says about others, and about what the hardware saw. */
function expectLedger(outcome: Outcome, shape: WholePaging): void {
  const { counters, guestTable } = outcome;
  const events = (...causes: string[]) =>
    causes.reduce((total, cause) => total + (outcome.events[cause] ?? 0), 0);
  expect(events('nestedViolations')).toBe(counters.nestedViolations);
  const { leaves, tables } = countEntries(outcome);
  if (shape.populate === 'demand') {
    expect(events('tableWrites')).toBe(guestTable.size);
    expect(events('cr3Writes')).toBe(1);
  }
  if (shape.mode === 'shadow') {
    const mended = events('hiddenFaultExits', 'dirtyFaultExits', 'spuriousFaultExits');
    expect(events('guestFaultExits') + mended).toBe(counters.guestFaults);
    expect(events('guestFaultExits')).toBe(events('guestFaults'));
    expect(events('tableWriteExits', 'unsyncExits')).toBeLessThanOrEqual(events('tableWrites'));
    const { populate, ad } = shape;
    if (populate === 'demand' || ad === 'clear') {
      expect(events('hiddenFaultExits')).toBe(leaves);
      // A prefaulted table has its root before the run.
      expect(events('shadowTables') + (populate === 'demand' ? 0 : 1)).toBe(tables);
    }
    if (ad === 'set') expect(events('dirtyFaultExits')).toBe(0);
  } else {
    expect(events('guestFaults')).toBe(counters.guestFaults);
  }
  if (shape.mode === 'paravirt') {
    expect(events('faultBounces')).toBe(counters.guestFaults);
    expect(events('validatedEntries')).toBe(events('tableWrites'));
  }
}

function expectIdentities(counters: Counters): void {
  const c = counters;
  expect(c.accesses).toBe(c.reads + c.writes + c.fetches);
  expect(c.accesses).toBe(sum(c.l1Hits) + c.l1Misses + sum(c.l1iHits) + c.l1iMisses);
  expect(c.l1Misses + c.l1iMisses).toBe(sum(c.stlbHits) + c.stlbMisses);
  expect(c.walks).toBe(c.stlbMisses + c.dirtyWalks);
  expect(sum(c.refHits.guest) + sum(c.refHits.nested)).toBe(sumMatrix(c.refs) + sumMatrix(c.faultRefs));
}

describe('identities', () => {
  it('hold for any machine on a trace', () => {
    fc.assert(
      fc.property(machine, paging, fc.array(access, { maxLength: 80 }), (hardware, shape, trace) => {
        const config = {
          ...traceConfig(hardware, { ...shape, placement: 'contiguous' }),
          optional: ['unique', 'reuse'],
        };
        const outcome = oracleRun(config, trace);
        const { counters } = outcome;
        expectIdentities(counters);
        expectLedger(outcome, shape);
        expectFullWalks(counters, hardware, shape);
        expect(counters.accesses).toBe(trace.length);
        expect(sum(counters.dataHits)).toBe(config.machine?.dataThroughCaches ? trace.length : 0);
        const distinct = new Set(trace.map(({ address }) => address)).size;
        expect(counters.reuse?.cold).toBe(distinct);
        expect(sum(counters.reuse?.distances ?? {})).toBe(trace.length - distinct);
        const hidden = shape.mode === 'shadow' && shape.ad === 'clear';
        if (shape.populate === 'prefault' && !hidden)
          expect(counters.guestFaults + counters.nestedViolations).toBe(0);
        for (const [row, columns] of Object.entries(counters.unique ?? {})) {
          for (const [column, count] of Object.entries(columns))
            expect(count).toBeLessThanOrEqual(counters.refs[row][column]);
        }
        if (shape.ad === 'set') expect(counters.dirtyWalks).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it('hold for any machine on a synthetic workload', () => {
    fc.assert(
      fc.property(machine, paging, fc.nat(), (hardware, shape, seed) => {
        const outcome = oracleRun({
          seed,
          accesses: 120,
          machine: hardware,
          paging: shape,
          regions: [{ bytes: '256KiB' }, { bytes: '40KiB' }],
          workload: {
            pattern: 'interleave',
            writeFraction: 0.4,
            parts: [
              { pattern: 'zipf', theta: 0.9 },
              { pattern: 'window', pages: 3, shift: 2, every: 5, region: 1 },
            ],
          },
        });
        const { counters } = outcome;
        expect(counters.accesses).toBe(120);
        expectIdentities(counters);
        expectLedger(outcome, shape);
        expectFullWalks(counters, hardware, shape);
      }),
      { numRuns: 150 },
    );
  });
});
