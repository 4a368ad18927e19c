/** What always holds between counters, whatever the machine (docs/model.md, TLBs, caches and counters). */
import { expect } from 'vitest';
import { entryPage, type ResolvedConfig } from '../../src/config/resolved.ts';
import type { Counters, Matrix } from '../../src/results/types.ts';
import { PAGE_SIZES } from '../../src/schema.ts';

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);
const matrixSum = (matrix: Matrix): number =>
  Object.values(matrix).reduce((total, columns) => total + sum(columns), 0);

/** Entries of the guest's dimension (1-D references too) in a matrix. */
const guestSum = (matrix: Matrix): number =>
  sum(matrix.pt) + Object.values(matrix).reduce((total, columns) => total + (columns.g ?? 0), 0);

/** Throws where an identity does not hold. */
export function expectIdentities(c: Counters, config: ResolvedConfig): void {
  const { machine, paging } = config;
  const refs = matrixSum(c.refs) + matrixSum(c.faultRefs);
  expect(c.accesses, 'accesses by kind').toBe(c.reads + c.writes + c.fetches);
  expect(c.accesses, 'accesses by L1').toBe(sum(c.l1Hits) + c.l1Misses + sum(c.l1iHits) + c.l1iMisses);
  expect(c.l1Misses + c.l1iMisses, 'L1 misses by STLB').toBe(sum(c.stlbHits) + c.stlbMisses);
  expect(c.walks, 'walks').toBe(c.stlbMisses + c.dirtyWalks);
  expect(sum(c.refHits.guest) + sum(c.refHits.nested), 'where references were served').toBe(refs);
  expect(sum(c.refHits.guest), 'references of the guest').toBe(guestSum(c.refs) + guestSum(c.faultRefs));
  expect(sum(c.dataHits), 'data').toBe(machine.dataThroughCaches ? c.accesses : 0);
  if (machine.l1i === null) expect(sum(c.l1iHits) + c.l1iMisses, 'no L1I').toBe(0);
  if (paging.mode !== 'nested') expect(matrixSum(c.refs), 'one dimension').toBe(sum(c.refs.pt));
  else expect(sum(c.refs.pt) + sum(c.faultRefs.pt), 'two dimensions').toBe(0);
  if (c.guestFaults + c.nestedViolations === 0) expect(matrixSum(c.faultRefs), 'no faults').toBe(0);
  // A shadow entry is absent or read-only until the guest's A and D are set.
  const hidden = paging.mode === 'shadow' && paging.ad === 'clear';
  if (paging.populate === 'prefault' && !hidden)
    expect(c.guestFaults + c.nestedViolations, 'all is mapped').toBe(0);
  if (paging.ad === 'set') expect(c.dirtyWalks, 'all is dirty').toBe(0);
  if (!machine.pwc) expect(matrixSum(c.pwcHits) + matrixSum(c.pwcMisses), 'no PWC').toBe(0);
  // A page-walk cache that misses is followed by a reference.
  for (const [row, columns] of Object.entries(c.pwcMisses)) {
    for (const [column, misses] of Object.entries(columns)) {
      const made = c.refs[row as 'pt'][column] + c.faultRefs[row as 'pt'][column];
      expect(made, `${row} ${column}`).toBeGreaterThanOrEqual(misses);
    }
  }
  if (c.unique) {
    for (const [row, columns] of Object.entries(c.unique)) {
      for (const [column, distinct] of Object.entries(columns)) {
        const made = c.refs[row as 'pt'][column];
        expect(distinct, `unique ${row} ${column}`).toBeLessThanOrEqual(made);
        expect(distinct > 0, `unique ${row} ${column}`).toBe(made > 0);
      }
    }
  }
  if (c.reuse) expect(c.reuse.cold + sum(c.reuse.distances), 'reuse').toBe(c.accesses);
}

/** Where nothing shortens a walk, the references follow from the number of walks. */
export function expectFullWalks(c: Counters, { machine, paging }: ResolvedConfig): void {
  const nested = paging.mode === 'nested';
  if (machine.psc || machine.pwc || (nested && (machine.nestedPsc || machine.ntlb))) return;
  // A shadow table has leaves of the smaller page.
  const leaf = nested ? paging.guestPage : entryPage(paging);
  const guest = paging.guestLevels - PAGE_SIZES.indexOf(leaf);
  const host = paging.nestedLevels - PAGE_SIZES.indexOf(paging.nestedPage);
  const refs = nested ? guest * (host + 1) + host : guest;
  expect(matrixSum(c.refs), 'references of full walks').toBe(c.walks * refs);
}
