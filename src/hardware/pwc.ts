/**
 * The page-walk cache, AMD's manner (Barr et al., ISCA 2010, unified page table cache): single non-leaf entries by
 * the entry's host physical address. Presence only; the value is always memory's. A hit saves the reference, not the step.
 */
import { PWC_HOLDS } from '../schema.ts';
import { SetAssoc } from './setAssoc.ts';

/** Page-walk cache; always LRU. */
export class Pwc {
  readonly cache: SetAssoc;
  /** Whether it also holds entries of the nested table. */
  readonly holdsNested: boolean;

  constructor(entries: number, ways: number, holds: number) {
    this.cache = SetAssoc.lru(entries / ways, ways);
    this.holdsNested = PWC_HOLDS[holds] !== '1d';
  }

  /** Probes for an entry by its word number (host physical address / 8); a miss fills. */
  probe(word: number): boolean {
    const set = this.cache.setOf(word);
    const slot = this.cache.find(set, word, 0);
    if (slot >= 0) {
      this.cache.promote(slot);
      return true;
    }
    this.cache.fill(set, word, 0, 0);
    return false;
  }
}
