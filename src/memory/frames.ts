/** Which frame a page gets when it is mapped ("Layout" and placement in docs/model.md). */
import { NestwalkError } from '../errors.ts';
import { Permutation } from '../hardware/philox.ts';
import { entryPages, type FrameSource } from './pageTable.ts';

/**
 * Contiguous placement: the k-th page mapped gets the k-th frame of its size. With mixed sizes a bump allocator: each
 * page starts at the next multiple of its size, and the holes this leaves are not used again.
 */
export class ContiguousFrames implements FrameSource {
  readonly #name: string;
  readonly #limit: number;
  #next = 0;

  /**
   * @param name what the frames are of, for messages: `guest memory`
   * @param limit frames of 4 KiB there are, from frame 0
   */
  constructor(name: string, limit: number) {
    this.#name = name;
    this.#limit = limit;
  }

  take(_region: number, sizeIndex: number, count: number, out: Float64Array): void {
    const step = entryPages(sizeIndex + 1);
    const first = Math.ceil(this.#next / step) * step;
    const end = first + count * step;
    if (end > this.#limit) throw memoryFull(this.#name, this.#limit);
    for (let k = 0; k < count; k++) out[k] = first + k * step;
    this.#next = end;
  }
}

/** How pages are scattered: which Philox purpose, and the two halves of the seed. */
export interface ScatterKey {
  purpose: number;
  seedLow: number;
  seedHigh: number;
}

/**
 * Scattered placement: the k-th page mapped of region r gets frame first_r + π(k), in units of the page, where first_r is
 * the number of pages of the regions before it and π the permutation of its pages with stream r. All pages have one size.
 */
export class ScatteredFrames implements FrameSource {
  readonly #name: string;
  readonly #sizeIndex: number;
  readonly #regions: { first: number; pages: number; mapped: number; order: Permutation }[];

  /**
   * @param name what the frames are of, for messages
   * @param sizeIndex page-size index of all pages
   * @param regionPages pages of each region, in the order of the configuration
   * @param key where the permutations come from
   */
  constructor(name: string, sizeIndex: number, regionPages: readonly number[], key: ScatterKey) {
    this.#name = name;
    this.#sizeIndex = sizeIndex;
    let first = 0;
    this.#regions = regionPages.map((pages, index) => {
      const order = new Permutation(pages, key.purpose, index, key.seedLow, key.seedHigh);
      const region = { first, pages, mapped: 0, order };
      first += pages;
      return region;
    });
  }

  take(regionIndex: number, sizeIndex: number, count: number, out: Float64Array): void {
    if (sizeIndex !== this.#sizeIndex) throw new RangeError('scattered frames are of one size');
    const region = this.#regions[regionIndex];
    const step = entryPages(sizeIndex + 1);
    if (region.mapped + count > region.pages) throw memoryFull(this.#name, region.pages * step);
    for (let i = 0; i < count; i++) out[i] = (region.first + region.order.at(region.mapped + i)) * step;
    region.mapped += count;
  }
}

function memoryFull(name: string, frames: number): NestwalkError {
  return new NestwalkError(
    'memory.full',
    `${name} has ${frames} frames of 4 KiB there and no further page fits; give a larger paging.guestMemory, or fewer ` +
      'or smaller regions',
  );
}

/** The two 32-bit halves of a seed of up to 64 bits, given as a safe integer or as a `0x…` string. */
export function seedHalves(seed: number | string): { seedLow: number; seedHigh: number } {
  const value = BigInt(seed);
  return { seedLow: Number(value & 0xffffffffn), seedHigh: Number((value >> 32n) & 0xffffffffn) };
}
