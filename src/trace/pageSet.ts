/** The pages that a stream touches, in the order of first touch. */

/** Multiplier of the page hash: 2^32 divided by the golden ratio, odd (Knuth, TAOCP vol. 3, 6.4). */
const HASH = 0x9e3779b1;

/**
 * A set of page numbers that remembers the order in which they came, and at which index. Open addressing in
 * typed arrays: a JavaScript `Set` ends at 2^24 members, which is only 64 GiB of 4 KiB pages.
 */
export class PageSet {
  #slots = new Int32Array(1024);
  #pages = new Float64Array(512);
  #indexes = new Float64Array(512);
  #size = 0;

  /** Number of distinct pages. */
  get size(): number {
    return this.#size;
  }

  /** Notes the touch of a page by the access with this index; only the first touch counts. */
  touch(page: number, index: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash(page) & mask;
    for (let held = this.#slots[slot]; held !== 0; held = this.#slots[slot]) {
      if (this.#pages[held - 1] === page) return;
      slot = (slot + 1) & mask;
    }
    if (this.#size === this.#pages.length) {
      this.#grow();
      this.touch(page, index);
      return;
    }
    this.#pages[this.#size] = page;
    this.#indexes[this.#size] = index;
    this.#size += 1;
    this.#slots[slot] = this.#size;
  }

  /** Page numbers in the order of first touch (a view of what is held). */
  pages(): Float64Array {
    return this.#pages.subarray(0, this.#size);
  }

  /** For each page, in the same order, the index of the access that touched it first (a view). */
  indexes(): Float64Array {
    return this.#indexes.subarray(0, this.#size);
  }

  #grow(): void {
    const pages = new Float64Array(2 * this.#pages.length);
    const indexes = new Float64Array(2 * this.#pages.length);
    pages.set(this.#pages);
    indexes.set(this.#indexes);
    this.#pages = pages;
    this.#indexes = indexes;
    this.#slots = new Int32Array(2 * pages.length);
    const mask = this.#slots.length - 1;
    for (let i = 0; i < this.#size; i++) {
      let slot = hash(pages[i]) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = i + 1;
    }
  }
}

function hash(page: number): number {
  const high = Math.floor(page / 2 ** 32);
  const mixed = Math.imul((page >>> 0) ^ Math.imul(high, 0x85ebca6b), HASH);
  return mixed ^ (mixed >>> 15);
}
