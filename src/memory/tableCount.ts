/** How many table pages a set of pages needs, in closed form: zones are sized exactly, before anything is mapped. */
import { entryPages } from './pageTable.ts';

/** Consecutive 4 KiB pages of an address space: first page number (address >> 12) and how many. */
export interface PageRange {
  first: number;
  count: number;
}

/**
 * Table pages that map all of `ranges`, the root included (it exists even when nothing is mapped). A table page at level
 * k is needed for each distinct page number / 512^k, for k from the leaf's level up.
 * @param ranges in any order; they may touch or overlap
 * @param sizeIndex page-size index of the leaves
 * @param levels levels of the table
 */
export function countTablePages(ranges: readonly PageRange[], sizeIndex: number, levels: number): number {
  const ascending = ranges.filter((range) => range.count > 0).sort((a, b) => a.first - b.first);
  let tables = 1;
  for (let level = sizeIndex + 1; level < levels; level++) {
    const reach = entryPages(level + 1);
    let next = 0;
    for (const { first, count } of ascending) {
      const low = Math.max(next, Math.floor(first / reach));
      const end = Math.floor((first + count - 1) / reach) + 1;
      tables += Math.max(0, end - low);
      next = Math.max(next, end);
    }
  }
  return tables;
}

/**
 * As {@link countTablePages}, for single 4 KiB pages.
 * @param ascending page numbers in ascending order; they may repeat
 */
export function countTablePagesOfList(ascending: Float64Array, sizeIndex: number, levels: number): number {
  let tables = 1;
  for (let level = sizeIndex + 1; level < levels; level++) {
    tables += countDistinct(ascending, entryPages(level + 1));
  }
  return tables;
}

/**
 * Distinct values of page / reach.
 * @param ascending page numbers in ascending order; they may repeat
 * @param reach 4 KiB pages of one unit
 */
export function countDistinct(ascending: Float64Array, reach: number): number {
  let distinct = 0;
  let previous = -1;
  for (let i = 0; i < ascending.length; i++) {
    const unit = Math.floor(ascending[i] / reach);
    if (unit !== previous) distinct++;
    previous = unit;
  }
  return distinct;
}
