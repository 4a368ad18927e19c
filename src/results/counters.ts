/** Counter block (what both engines fill) to nested JSON by name (what results hold), and back. */
import {
  COLUMNS,
  COUNTER,
  COUNTER_SLOTS,
  type CounterField,
  columnNames,
  MAX_CACHES,
  PAGE_SIZES,
  ROW_PT,
  ROWS,
} from '../schema.ts';
import type { BySize, Counters, Matrix, NestedRow, PscLevel, ReuseHistogram } from './types.ts';

/** Fields that are one number. */
const SCALARS = [
  'accesses',
  'reads',
  'writes',
  'fetches',
  'l1Misses',
  'l1iMisses',
  'stlbMisses',
  'walks',
  'dirtyWalks',
  'guestFaults',
  'nestedViolations',
] as const satisfies readonly CounterField[];
const BY_SIZE = ['l1Hits', 'l1iHits', 'stlbHits'] as const satisfies readonly CounterField[];
const MATRICES = ['refs', 'faultRefs', 'pwcHits', 'pwcMisses'] as const satisfies readonly CounterField[];
const BY_PSC_LEVEL = ['pscHits', 'nestedPscHits'] as const satisfies readonly CounterField[];
const BY_NESTED_ROW = ['ntlbHits', 'ntlbMisses'] as const satisfies readonly CounterField[];

/** Levels of paging-structure caches in the order of the block. */
export const PSC_LEVELS: readonly PscLevel[] = ['2', '3', '4', '5'];
/** Rows of the nested TLB's counters, in the order of the reference matrix. */
export const NESTED_ROWS = ROWS.filter((row): row is NestedRow => row !== 'pt');
/** Dimensions in the order of the block. */
const DIMENSIONS = ['guest', 'nested'] as const;
const LEVELS_OF_DIMENSION = MAX_CACHES + 1;
const FIRST_NESTED_ROW = ROW_PT + 1;

/** Every name of a result's level of the memory hierarchy: the PTE caches from near to far, then `memory`. */
export const levelNames = (cacheNames: readonly string[]): string[] => [...cacheNames, 'memory'];

const record = <Key extends string>(
  names: readonly Key[],
  value: (index: number) => number,
): Record<Key, number> =>
  Object.fromEntries(names.map((name, index) => [name, value(index)])) as Record<Key, number>;

/**
 * A matrix by row and column from a flat one.
 * @param slots counts by position, `row * COLUMNS.length + column`
 * @param first slot of the first position
 */
export function matrixFromSlots(slots: ArrayLike<number>, first = 0): Matrix {
  const rows = ROWS.map((row, r) => [
    row,
    record(columnNames(row), (column) => slots[first + r * COLUMNS.length + column]),
  ]);
  return Object.fromEntries(rows) as Matrix;
}

/** What a counter block does not carry: counted only when the configuration asks for it. */
export interface OptionalCounters {
  /** Distinct entries by position (`POSITIONS` numbers). */
  unique?: ArrayLike<number>;
  reuse?: { cold: number; distances: ReadonlyMap<number, number> };
}

/** Distances as an object, ascending (integer keys order themselves), so that equal histograms are equal JSON. */
const reuseHistogram = (reuse: NonNullable<OptionalCounters['reuse']>): ReuseHistogram => ({
  cold: reuse.cold,
  distances: Object.fromEntries(reuse.distances),
});

/**
 * Counters by name from a counter block.
 * @param block `COUNTER_SLOTS` integers, laid out by `COUNTER`
 * @param cacheNames names of the machine's PTE caches from near to far; memory is the level after the last of them
 */
export function countersFromBlock(
  block: Float64Array,
  cacheNames: readonly string[],
  optional: OptionalCounters = {},
): Counters {
  if (block.length !== COUNTER_SLOTS)
    throw new RangeError(`a counter block has ${COUNTER_SLOTS} slots, not ${block.length}`);
  const from =
    (field: CounterField, skip = 0) =>
    (index: number): number =>
      block[COUNTER[field] + skip + index];
  const size = (field: CounterField): BySize => record(PAGE_SIZES, from(field));
  const matrix = (field: CounterField): Matrix => matrixFromSlots(block, COUNTER[field]);
  const levels = levelNames(cacheNames);
  return {
    accesses: block[COUNTER.accesses],
    reads: block[COUNTER.reads],
    writes: block[COUNTER.writes],
    fetches: block[COUNTER.fetches],
    l1Hits: size('l1Hits'),
    l1Misses: block[COUNTER.l1Misses],
    l1iHits: size('l1iHits'),
    l1iMisses: block[COUNTER.l1iMisses],
    stlbHits: size('stlbHits'),
    stlbMisses: block[COUNTER.stlbMisses],
    walks: block[COUNTER.walks],
    dirtyWalks: block[COUNTER.dirtyWalks],
    refs: matrix('refs'),
    faultRefs: matrix('faultRefs'),
    pscHits: record(PSC_LEVELS, from('pscHits')),
    nestedPscHits: record(PSC_LEVELS, from('nestedPscHits')),
    ntlbHits: record(NESTED_ROWS, from('ntlbHits', FIRST_NESTED_ROW)),
    ntlbMisses: record(NESTED_ROWS, from('ntlbMisses', FIRST_NESTED_ROW)),
    pwcHits: matrix('pwcHits'),
    pwcMisses: matrix('pwcMisses'),
    refHits: {
      guest: record(levels, from('refHits')),
      nested: record(levels, from('refHits', LEVELS_OF_DIMENSION)),
    },
    dataHits: record(levels, from('dataHits')),
    guestFaults: block[COUNTER.guestFaults],
    nestedViolations: block[COUNTER.nestedViolations],
    ...(optional.unique && { unique: matrixFromSlots(optional.unique) }),
    ...(optional.reuse && { reuse: reuseHistogram(optional.reuse) }),
  };
}

/**
 * A counter block from counters by name: the inverse of {@link countersFromBlock}, without what a block does not carry.
 * @param cacheNames names of the machine's PTE caches from near to far
 */
export function blockFromCounters(counters: Counters, cacheNames: readonly string[]): Float64Array {
  const block = new Float64Array(COUNTER_SLOTS);
  const put = (
    field: CounterField,
    names: readonly string[],
    values: Record<string, number>,
    skip = 0,
  ): void => {
    names.forEach((name, index) => {
      block[COUNTER[field] + skip + index] = values[name];
    });
  };
  const levels = levelNames(cacheNames);
  for (const field of SCALARS) block[COUNTER[field]] = counters[field];
  for (const field of BY_SIZE) put(field, PAGE_SIZES, counters[field]);
  for (const field of BY_PSC_LEVEL) put(field, PSC_LEVELS, counters[field]);
  for (const field of BY_NESTED_ROW) put(field, NESTED_ROWS, counters[field], FIRST_NESTED_ROW);
  for (const field of MATRICES)
    ROWS.forEach((row, r) => {
      put(field, columnNames(row), counters[field][row], r * COLUMNS.length);
    });
  DIMENSIONS.forEach((dimension, d) => {
    put('refHits', levels, counters.refHits[dimension], d * LEVELS_OF_DIMENSION);
  });
  put('dataHits', levels, counters.dataHits);
  return block;
}

/** Sum of all positions of a matrix. */
export const matrixSum = (matrix: Matrix): number =>
  ROWS.reduce((sum, row) => sum + columnSum(matrix[row]), 0);

/** Sum of the values of a record of counts. */
export const columnSum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** Sum of a matrix in one dimension: the guest's entries are row `pt` and column `g`, all else is nested. */
export function dimensionSum(matrix: Matrix, dimension: 'guest' | 'nested'): number {
  const guest = columnSum(matrix.pt) + NESTED_ROWS.reduce((sum, row) => sum + (matrix[row].g ?? 0), 0);
  return dimension === 'guest' ? guest : matrixSum(matrix) - guest;
}
