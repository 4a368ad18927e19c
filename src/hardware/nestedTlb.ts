/**
 * The nested TLB: GPA to HPA, used inside 2-D walks (Bhargava et al., ASPLOS 2008; Intel's guest-physical mappings,
 * SDM vol. 3C 28.3). Key (vm, page size, GPA page number at that size); always LRU.
 */
import { PAGE_SIZES, REPLACEMENTS } from '../schema.ts';
import { SetAssoc } from './setAssoc.ts';
import { keyOf } from './tlb.ts';

/** One array for all sizes. Payload: frame (4 KiB host frame of the page's first byte) and TLB flags. */
export class NestedTlb {
  readonly cache: SetAssoc;
  readonly frames: Float64Array;
  readonly flags: Uint8Array;
  /** Whether it is probed and filled for guest table pages only. */
  readonly tablesOnly: boolean;
  hitSize = -1;

  constructor(entries: number, ways: number, tablesOnly: boolean) {
    this.cache = new SetAssoc({ sets: entries / ways, ways, policy: REPLACEMENTS.indexOf('lru'), arrayId: 0, seedLow: 0, seedHigh: 0 });
    this.frames = new Float64Array(entries);
    this.flags = new Uint8Array(entries);
    this.tablesOnly = tablesOnly;
  }

  /** The slot of the first hit, smallest size first, or -1; its size in `hitSize`. */
  find(gpaFrame: number, vm: number): number {
    let number = gpaFrame;
    for (let size = 0; size < PAGE_SIZES.length; size++) {
      if (!this.filledSizes[size]) continue;
      const slot = this.cache.find(this.cache.setOf(number), keyOf(number, size), vm);
      if (slot >= 0) {
        this.hitSize = size;
        return slot;
      }
      number = Math.floor(number / 512);
    }
    return -1;
  }

  /** Fills a page of a size; `number` is its GPA page number at that size. */
  fill(number: number, size: number, vm: number, frame: number, flags: number): void {
    const slot = this.cache.fill(this.cache.setOf(number), keyOf(number, size), vm, 0);
    this.frames[slot] = frame;
    this.flags[slot] = flags;
  }

  /** Drops one page of one size, if it is there; `number` is its GPA page number at that size. */
  drop(number: number, size: number, vm: number): void {
    this.cache.dropKey(this.cache.setOf(number), keyOf(number, size), vm);
  }

  /** Drops the entries of a vm for a GPA, at every size. */
  dropPage(gpaFrame: number, vm: number): void {
    let number = gpaFrame;
    for (let size = 0; size < PAGE_SIZES.length; size++) {
      this.drop(number, size, vm);
      number = Math.floor(number / 512);
    }
  }
}
