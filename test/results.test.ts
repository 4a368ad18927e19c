import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockFromCounters, countersFromBlock, dimensionSum, matrixSum } from '../src/results/counters.ts';
import { computeMetrics, probeCounts } from '../src/results/metrics.ts';
import {
  COLUMN_G,
  COLUMNS,
  COUNTER,
  COUNTER_FIELDS,
  COUNTER_SLOTS,
  columnOfLevel,
  MAX_CACHES,
  POSITIONS,
  ROW_GPA,
  ROW_PT,
  ROWS,
  rowOfGuestLevel,
} from '../src/schema.ts';
import { config } from './support/result.ts';

const CACHES = ['L2', 'LLC'];
const SIZES = ['4KiB', '2MiB', '1GiB'];
const GUEST_ROWS = ['gL5', 'gL4', 'gL3', 'gL2', 'gL1'];
const NESTED_COLUMNS = ['nL5', 'nL4', 'nL3', 'nL2', 'nL1'];

/** Every path of the counters' JSON, from docs/model.md, written out by hand rather than from the schema. */
function paths(): string[] {
  const matrix = [
    ...['L5', 'L4', 'L3', 'L2', 'L1'].map((column) => `pt.${column}`),
    ...GUEST_ROWS.flatMap((row) => [...NESTED_COLUMNS, 'g'].map((column) => `${row}.${column}`)),
    ...NESTED_COLUMNS.map((column) => `gPA.${column}`),
  ];
  const under = (field: string, names: string[]): string[] => names.map((name) => `${field}.${name}`);
  const levels = ['L2', 'LLC', 'memory'];
  return [
    ...[
      'accesses',
      'reads',
      'writes',
      'fetches',
      'l1Misses',
      'l1iMisses',
      'stlbMisses',
      'walks',
      'dirtyWalks',
    ],
    ...['guestFaults', 'nestedViolations'],
    ...['l1Hits', 'l1iHits', 'stlbHits'].flatMap((field) => under(field, SIZES)),
    ...['refs', 'faultRefs', 'pwcHits', 'pwcMisses'].flatMap((field) => under(field, matrix)),
    ...['pscHits', 'nestedPscHits'].flatMap((field) => under(field, ['2', '3', '4', '5'])),
    ...['ntlbHits', 'ntlbMisses'].flatMap((field) => under(field, [...GUEST_ROWS, 'gPA'])),
    ...under('refHits.guest', levels),
    ...under('refHits.nested', levels),
    ...under('dataHits', levels),
  ].sort();
}

function leaves(value: object, prefix = ''): string[] {
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'object' ? leaves(inner, `${prefix}${key}.`) : [`${prefix}${key}`],
  );
}

const position = (row: number, column: number): number => row * COLUMNS.length + column;

describe('counters by name', () => {
  it('are whole, zeros included, under exactly the names of the model', () => {
    const counters = countersFromBlock(new Float64Array(COUNTER_SLOTS), CACHES);
    expect(leaves(counters).sort()).toEqual(paths());
  });

  it('stand where the block has them', () => {
    const block = new Float64Array(COUNTER_SLOTS);
    block[COUNTER.l1Hits + 1] = 11;
    block[COUNTER.refs + position(ROW_PT, columnOfLevel(1))] = 12;
    block[COUNTER.refs + position(rowOfGuestLevel(4), columnOfLevel(4))] = 13;
    block[COUNTER.refs + position(rowOfGuestLevel(1), COLUMN_G)] = 14;
    block[COUNTER.refs + position(ROW_GPA, columnOfLevel(2))] = 15;
    block[COUNTER.pscHits] = 16;
    block[COUNTER.ntlbHits + ROW_GPA] = 17;
    block[COUNTER.ntlbMisses + rowOfGuestLevel(5)] = 18;
    block[COUNTER.refHits + 2] = 19;
    block[COUNTER.refHits + MAX_CACHES + 1] = 20;
    block[COUNTER.dataHits + 1] = 21;
    const counters = countersFromBlock(block, CACHES);
    expect(counters.l1Hits['2MiB']).toBe(11);
    expect(counters.refs.pt.L1).toBe(12);
    expect(counters.refs.gL4.nL4).toBe(13);
    expect(counters.refs.gL1.g).toBe(14);
    expect(counters.refs.gPA.nL2).toBe(15);
    expect(counters.pscHits['2']).toBe(16);
    expect(counters.ntlbHits.gPA).toBe(17);
    expect(counters.ntlbMisses.gL5).toBe(18);
    expect(counters.refHits.guest.memory).toBe(19);
    expect(counters.refHits.nested.L2).toBe(20);
    expect(counters.dataHits.LLC).toBe(21);
  });

  it('go back into the same block', () => {
    // Slots without a name (row pt of the nested TLB, column g of rows pt and gPA, levels past memory) stay zero.
    const named = namedSlots();
    fc.assert(
      fc.property(
        fc.array(fc.maxSafeNat(), { minLength: COUNTER_SLOTS, maxLength: COUNTER_SLOTS }),
        (values) => {
          const block = Float64Array.from(values, (value, slot) => (named.has(slot) ? value : 0));
          expect(blockFromCounters(countersFromBlock(block, CACHES), CACHES)).toEqual(block);
        },
      ),
    );
  });

  it('refuse a block of another length', () => {
    expect(() => countersFromBlock(new Float64Array(COUNTER_SLOTS - 1), CACHES)).toThrow(RangeError);
  });

  it('carry distinct entries and stack distances when there are any', () => {
    const unique = new Float64Array(POSITIONS);
    unique[position(ROW_GPA, columnOfLevel(1))] = 5;
    const distances = new Map([
      [10, 2],
      [9, 1],
    ]);
    const counters = countersFromBlock(new Float64Array(COUNTER_SLOTS), CACHES, {
      unique,
      reuse: { cold: 3, distances },
    });
    expect(counters.unique?.gPA.nL1).toBe(5);
    expect(JSON.stringify(counters.reuse)).toBe('{"cold":3,"distances":{"9":1,"10":2}}');
  });
});

/** Slots that have a name on a machine with two PTE caches. */
function namedSlots(): Set<number> {
  const named = new Set<number>();
  for (const [field, slots] of COUNTER_FIELDS)
    for (let i = 0; i < slots; i++) {
      const [row, column] = [Math.floor(i / COLUMNS.length), i % COLUMNS.length];
      const unnamed =
        (slots === POSITIONS && column === COLUMN_G && (row === ROW_PT || row === ROW_GPA)) ||
        (slots === ROWS.length && i === ROW_PT) ||
        (slots >= MAX_CACHES + 1 && slots <= 2 * (MAX_CACHES + 1) && i % (MAX_CACHES + 1) > CACHES.length);
      if (!unnamed) named.add(COUNTER[field] + i);
    }
  return named;
}

describe('metrics', () => {
  // 1000 accesses, 200 L1 misses, 50 STLB misses; 10 walks more for dirty bits.
  const block = new Float64Array(COUNTER_SLOTS);
  const put = (slot: number, value: number): void => {
    block[slot] = value;
  };
  put(COUNTER.accesses, 1000);
  put(COUNTER.l1Hits, 800);
  put(COUNTER.l1Misses, 200);
  put(COUNTER.stlbHits, 100);
  put(COUNTER.stlbHits + 1, 50);
  put(COUNTER.stlbMisses, 50);
  put(COUNTER.walks, 60);
  put(COUNTER.guestFaults, 4);
  put(COUNTER.nestedViolations, 1);
  put(COUNTER.refs + position(rowOfGuestLevel(1), COLUMN_G), 60);
  put(COUNTER.refs + position(rowOfGuestLevel(1), columnOfLevel(4)), 20);
  put(COUNTER.refs + position(ROW_GPA, columnOfLevel(4)), 30);
  put(COUNTER.refs + position(ROW_GPA, columnOfLevel(2)), 40);
  put(COUNTER.faultRefs + position(rowOfGuestLevel(4), columnOfLevel(4)), 7);
  put(COUNTER.nestedPscHits, 13);
  put(COUNTER.ntlbHits + ROW_GPA, 25);
  put(COUNTER.ntlbMisses + rowOfGuestLevel(1), 35);
  put(COUNTER.refHits, 40);
  put(COUNTER.refHits + 1, 15);
  put(COUNTER.refHits + 2, 5);
  put(COUNTER.refHits + MAX_CACHES + 1, 60);
  put(COUNTER.refHits + MAX_CACHES + 1 + 2, 37);
  const counters = countersFromBlock(block, CACHES);
  const metrics = computeMetrics(counters, config());

  it('split a matrix by dimension', () => {
    expect(dimensionSum(counters.refs, 'guest')).toBe(60);
    expect(dimensionSum(counters.refs, 'nested')).toBe(90);
    expect(matrixSum(counters.refs)).toBe(150);
  });

  it('divide misses by what was looked up', () => {
    expect(metrics.missRatio).toEqual({ l1: 0.2, stlb: 0.25, overall: 0.05 });
    expect(metrics.missesPerThousandAccesses).toEqual({ l1: 200, stlb: 50 });
  });

  it('divide references by walks', () => {
    expect(metrics.refsPerWalk).toEqual({ guest: 1, nested: 1.5, total: 2.5 });
  });

  it('derive the probes of the walk caches', () => {
    expect(probeCounts(counters, config())).toEqual({
      psc: 60 + 4 + 1,
      nestedPsc: 13 + 20 + 30 + 7,
      ntlb: 25 + 35,
      pwc: { guest: 0, nested: 0 },
    });
  });

  it('price references and probes', () => {
    const guest = 40 * 14 + 15 * 50 + 5 * 200 + 65 * 1;
    const nested = 60 * 14 + 37 * 200 + 60 * 3 + 70 * 2;
    expect(metrics.walkCycles).toEqual({ guest, nested, total: guest + nested });
    expect(metrics.walkCyclesPerAccess.total).toBeCloseTo((guest + nested) / 1000, 12);
    expect(metrics.stlbHitCycles).toBe(150 * 7);
  });

  it('price a page-walk cache by the dimension of its entries', () => {
    const pwcBlock = new Float64Array(COUNTER_SLOTS);
    pwcBlock[COUNTER.pwcHits + position(rowOfGuestLevel(3), COLUMN_G)] = 5;
    pwcBlock[COUNTER.pwcMisses + position(rowOfGuestLevel(3), columnOfLevel(3))] = 7;
    pwcBlock[COUNTER.pwcHits + position(ROW_PT, columnOfLevel(4))] = 1;
    const base = config();
    const machine = {
      ...base.machine,
      psc: null,
      nestedPsc: null,
      ntlb: null,
      pwc: { entries: 24, ways: 24, holds: '2d' as const, latency: 2 },
    };
    const { walkCycles } = computeMetrics(countersFromBlock(pwcBlock, CACHES), { ...base, machine });
    expect(walkCycles).toEqual({ guest: 12, nested: 14, total: 26 });
  });

  it('count reach by page size, an array of two sizes wholly for each', () => {
    expect(metrics.reachBytes.l1d).toEqual({ '4KiB': 64 * 2 ** 12, '2MiB': 32 * 2 ** 21, '1GiB': 0 });
    expect(metrics.reachBytes.stlb).toEqual({ '4KiB': 1536 * 2 ** 12, '2MiB': 1536 * 2 ** 21, '1GiB': 0 });
    expect(metrics.reachBytes.l1i).toBeNull();
  });

  it('are zero, and never NaN, where nothing happened', () => {
    const none = computeMetrics(countersFromBlock(new Float64Array(COUNTER_SLOTS), CACHES), config());
    const numbers = leaves({ ...none, reachBytes: {} }).map((name) =>
      name.split('.').reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], none),
    );
    expect(numbers.every((value) => value === 0)).toBe(true);
    expect(numbers.length).toBe(18);
  });
});
