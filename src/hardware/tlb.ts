/**
 * TLBs: arrays keyed by (tag, page size, virtual page number at that size), grouped in sides (L1 data, L1
 * instruction, second level). A side has at most one array for each page size.
 */
import { ARRAY_SLOTS, ENTRIES_PER_TABLE, PAGE_SIZES } from '../schema.ts';
import { SetAssoc, type SetAssocShape, scan } from './setAssoc.ts';

/** Payload flags. */
export const TLB_FLAGS = {
  /** Guest's and nested R/W along the whole path. */
  writable: 1,
  /** A write needs no walk to set D. */
  dirty: 2,
} as const;

/** A virtual page at the three sizes: number of the 4 KiB, 2 MiB and 1 GiB page. */
export type PageNumbers = Float64Array;

/** One TLB array. Payload of a slot: frame (4 KiB frame number of the page's first byte) and flags. */
export class TlbArray {
  readonly cache: SetAssoc;
  /** Page-size indices that it holds, ascending. */
  readonly sizes: readonly number[];
  readonly frames: Float64Array;
  readonly flags: Uint8Array;

  constructor(shape: SetAssocShape, sizesMask: number) {
    this.cache = new SetAssoc(shape);
    this.sizes = PAGE_SIZES.map((_, size) => size).filter((size) => (sizesMask >> size) & 1);
    this.frames = new Float64Array(shape.sets * shape.ways);
    this.flags = new Uint8Array(shape.sets * shape.ways);
  }

  /** The slot of a page of one size, or -1. */
  find(number: number, size: number, tag: number): number {
    return this.cache.find(this.cache.setOf(number), keyOf(number, size), tag);
  }

  /**
   * Looks pages up in order, promotes what hits and fills what does not, as {@link find} and {@link fill} would, but for
   * the payloads: those are left to {@link settle}. The pages are at `first` and so many `places` further on; the places
   * of those that missed are left at the front of `places`, and their number is returned. For ordered policies.
   */
  pass(
    pages: Float64Array,
    first: number,
    places: Int32Array,
    count: number,
    size: number,
    tag: number,
  ): number {
    const { cache } = this;
    // Held here, the arrays stay in registers over the whole batch.
    const { keys, owners, ways, isScanned } = cache;
    const scale = ENTRIES_PER_TABLE ** -size;
    let missed = 0;
    for (let i = 0; i < count; i++) {
      const place = places[i]!;
      const number = Math.floor(pages[first + place]! * scale);
      const set = cache.setOf(number);
      const key = keyOf(number, size);
      const slot = isScanned ? scan(keys, owners, set * ways, ways, key, tag) : cache.find(set, key, tag);
      if (slot >= 0) {
        cache.promote(slot);
      } else {
        cache.fill(set, key, tag, 0);
        places[missed++] = place;
      }
    }
    return missed;
  }

  /** Writes the payloads of all entries of a size and a tag: every right, and the frame that `frameOf` gives for a page. */
  settle(size: number, tag: number, frameOf: (page: number) => number): void {
    const { keys, owners } = this.cache;
    for (let slot = 0; slot < keys.length; slot++) {
      if (!this.cache.valid(slot) || owners[slot] !== tag || keys[slot]! % 4 !== size) continue;
      this.frames[slot] = frameOf(Math.floor(keys[slot]! / 4) * ENTRIES_PER_TABLE ** size);
      this.flags[slot] = TLB_FLAGS.writable | TLB_FLAGS.dirty;
    }
  }

  /** Fills a page of one size. */
  fill(number: number, size: number, tag: number, frame: number, flags: number, index: number): void {
    const slot = this.cache.fill(this.cache.setOf(number), keyOf(number, size), tag, index);
    this.frames[slot] = frame;
    this.flags[slot] = flags;
  }
}

/** Key of a page: its number at its size, and the size in the low two bits. */
export const keyOf = (number: number, size: number): number => number * 4 + size;

/** One look of a side: an array, and a page size that it holds. */
interface Look {
  readonly array: TlbArray;
  readonly size: number;
}

/** One side of the TLBs. `find` leaves the hit in `hitArray`, `hitSlot`, `hitSize`. */
export class TlbSide {
  readonly arrays: readonly TlbArray[];
  /** The array of each page size, if any. */
  readonly ofSize: readonly (TlbArray | undefined)[];
  /** What is looked for, in order: arrays in config order, smallest size first. */
  private readonly looks: readonly Look[];
  /** Whether all its arrays keep their contents in an order. */
  readonly isOrdered: boolean;
  hitArray: TlbArray | undefined;
  hitSlot = -1;
  hitSize = -1;

  constructor(arrays: readonly TlbArray[]) {
    this.arrays = arrays;
    this.ofSize = PAGE_SIZES.map((_, size) => arrays.find((array) => array.sizes.includes(size)));
    this.isOrdered = arrays.every(({ cache }) => cache.order !== undefined);
    this.looks = arrays.flatMap((array) => array.sizes.map((size) => ({ array, size })));
  }

  /** Reads `count` arrays from a machine block; array ids count on from `firstId`. */
  static fromBlock(
    block: Int32Array,
    at: number,
    count: number,
    firstId: number,
    seedLow: number,
    seedHigh: number,
  ): TlbSide {
    const arrays: TlbArray[] = [];
    for (let i = 0; i < count; i++) {
      const slots = block.subarray(at + i * ARRAY_SLOTS, at + (i + 1) * ARRAY_SLOTS);
      const [entries, ways, mask, policy, indexing] = slots;
      const seeds = { arrayId: firstId + i, seedLow, seedHigh };
      const shape = { sets: entries! / ways!, ways: ways!, policy: policy!, indexing: indexing!, ...seeds };
      arrays.push(new TlbArray(shape, mask!));
    }
    return new TlbSide(arrays);
  }

  /** Looks a page up in every array of the side, in config order, smallest size first. Promotes nothing. */
  find(numbers: PageNumbers, tag: number): boolean {
    const looks = this.looks;
    for (let i = 0; i < looks.length; i++) {
      const { array, size } = looks[i]!;
      const slot = array.find(numbers[size]!, size, tag);
      if (slot >= 0) {
        this.hitArray = array;
        this.hitSlot = slot;
        this.hitSize = size;
        return true;
      }
    }
    return false;
  }

  /** Fills the array of a size, where there is one. */
  fill(numbers: PageNumbers, size: number, tag: number, frame: number, flags: number, index: number): void {
    this.ofSize[size]?.fill(numbers[size]!, size, tag, frame, flags, index);
  }

  /** Drops one page of one size. */
  drop(numbers: PageNumbers, size: number, tag: number): void {
    const cache = this.ofSize[size]?.cache;
    cache?.dropKey(cache.setOf(numbers[size]!), keyOf(numbers[size]!, size), tag);
  }

  /** Drops every entry of a tag that covers a page. */
  dropPage(numbers: PageNumbers, tag: number): void {
    for (let size = 0; size < PAGE_SIZES.length; size++) this.drop(numbers, size, tag);
  }

  dropTag(tag: number): void {
    for (const array of this.arrays) array.cache.dropOwner(tag);
  }

  clear(): void {
    for (const array of this.arrays) array.cache.clear();
  }
}
