/**
 * The nested TLB: GPA to HPA, used inside 2-D walks (Bhargava et al., ASPLOS 2008; Intel's guest-physical mappings,
 * SDM vol. 3C 28.3). Key (vm, page size, GPA page number at that size); always LRU.
 */
import { ENTRIES_PER_TABLE, PAGE_SIZES } from '../schema.ts';
import { SetAssoc } from './setAssoc.ts';
import { keyOf } from './tlb.ts';

/** What a frame number is multiplied by, and then rounded down, for the number of its page of a size. */
const SCALE = PAGE_SIZES.map((_, size) => ENTRIES_PER_TABLE ** -size);

const numberOf = (frame: number, size: number): number => Math.floor(frame * SCALE[size]!);

/** One array for all sizes. Payload: frame (4 KiB host frame of the page's first byte) and TLB flags. */
export class NestedTlb {
  readonly cache: SetAssoc;
  readonly frames: number[];
  readonly flags: Uint8Array;
  /** Whether it is probed and filled for guest table pages only. */
  readonly tablesOnly: boolean;
  hitSize = -1;
  /** A bit for each page size that was ever filled. */
  private filledSizes = 0;

  constructor(entries: number, ways: number, tablesOnly: boolean) {
    this.cache = SetAssoc.lru(entries / ways, ways);
    this.frames = new Array<number>(entries).fill(0);
    this.flags = new Uint8Array(entries);
    this.tablesOnly = tablesOnly;
  }

  /** The slot of the first hit, smallest size first, or -1; its size in `hitSize`. Sizes never filled are not looked for. */
  find(gpaFrame: number, vm: number): number {
    for (let size = 0; size < PAGE_SIZES.length; size++) {
      if (((this.filledSizes >> size) & 1) === 0) continue;
      const number = numberOf(gpaFrame, size);
      const slot = this.cache.find(this.cache.setOf(number), keyOf(number, size), vm);
      if (slot >= 0) {
        this.hitSize = size;
        return slot;
      }
    }
    return -1;
  }

  /** Fills the page of a size that a GPA is in; `frame` is the host frame of the page's first byte. */
  fill(gpaFrame: number, size: number, vm: number, frame: number, flags: number): void {
    this.filledSizes |= 1 << size;
    const number = numberOf(gpaFrame, size);
    const slot = this.cache.fill(this.cache.setOf(number), keyOf(number, size), vm, 0);
    this.frames[slot] = frame;
    this.flags[slot] = flags;
  }

  /** A loaded state may hold every size. */
  expectAllSizes(): void {
    this.filledSizes = 2 ** PAGE_SIZES.length - 1;
  }

  /** Drops the page of a size that a GPA is in, if it is there. */
  drop(gpaFrame: number, size: number, vm: number): void {
    const number = numberOf(gpaFrame, size);
    this.cache.dropKey(this.cache.setOf(number), keyOf(number, size), vm);
  }

  /** Drops the entries of a vm for a GPA, at every size. */
  dropPage(gpaFrame: number, vm: number): void {
    for (let size = 0; size < PAGE_SIZES.length; size++) this.drop(gpaFrame, size, vm);
  }
}
