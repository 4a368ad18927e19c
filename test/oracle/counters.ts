/** The counters of docs/model.md as the nested JSON object, whole, zeros included. */

import { PAGE_SIZES, type Settings } from './config.ts';

/** Counts by row, then column. */
export type Matrix = Record<string, Record<string, number>>;

export interface Counters {
  accesses: number;
  reads: number;
  writes: number;
  fetches: number;
  l1Hits: Record<string, number>;
  l1Misses: number;
  l1iHits: Record<string, number>;
  l1iMisses: number;
  stlbHits: Record<string, number>;
  stlbMisses: number;
  walks: number;
  dirtyWalks: number;
  refs: Matrix;
  faultRefs: Matrix;
  pscHits: Record<string, number>;
  nestedPscHits: Record<string, number>;
  ntlbHits: Record<string, number>;
  ntlbMisses: Record<string, number>;
  pwcHits: Matrix;
  pwcMisses: Matrix;
  refHits: { guest: Record<string, number>; nested: Record<string, number> };
  dataHits: Record<string, number>;
  guestFaults: number;
  nestedViolations: number;
  /** Distinct entries behind `refs`; only if asked for. */
  unique?: Matrix;
  /** Exact stack distances, only those that occurred; only if asked for. */
  reuse?: { cold: number; distances: Record<string, number> };
}

function zeros(names: string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, 0]));
}

const GUEST_ROWS = ['gL5', 'gL4', 'gL3', 'gL2', 'gL1'];
const NESTED_COLUMNS = ['nL5', 'nL4', 'nL3', 'nL2', 'nL1'];

/** A reference matrix of zeros: rows pt, gL5…gL1, gPA. */
export function createMatrix(): Matrix {
  const matrix: Matrix = { pt: zeros(['L5', 'L4', 'L3', 'L2', 'L1']) };
  for (const row of GUEST_ROWS) matrix[row] = zeros([...NESTED_COLUMNS, 'g']);
  matrix.gPA = zeros(NESTED_COLUMNS);
  return matrix;
}

export function createCounters(settings: Settings): Counters {
  const sizes = PAGE_SIZES.map(({ name }) => name);
  const levels = [...(settings.machine.caches ?? []).map(({ name }) => name), 'memory'];
  const pscLevels = ['2', '3', '4', '5'];
  const counters: Counters = {
    accesses: 0,
    reads: 0,
    writes: 0,
    fetches: 0,
    l1Hits: zeros(sizes),
    l1Misses: 0,
    l1iHits: zeros(sizes),
    l1iMisses: 0,
    stlbHits: zeros(sizes),
    stlbMisses: 0,
    walks: 0,
    dirtyWalks: 0,
    refs: createMatrix(),
    faultRefs: createMatrix(),
    pscHits: zeros(pscLevels),
    nestedPscHits: zeros(pscLevels),
    ntlbHits: zeros([...GUEST_ROWS, 'gPA']),
    ntlbMisses: zeros([...GUEST_ROWS, 'gPA']),
    pwcHits: createMatrix(),
    pwcMisses: createMatrix(),
    refHits: { guest: zeros(levels), nested: zeros(levels) },
    dataHits: zeros(levels),
    guestFaults: 0,
    nestedViolations: 0,
  };
  if (settings.unique) counters.unique = createMatrix();
  if (settings.reuse) counters.reuse = { cold: 0, distances: {} };
  return counters;
}
