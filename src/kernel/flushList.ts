/** Translations that an operation takes away, to be flushed all together at its end (Linux: mmu_gather). */

/**
 * Pages up to which each is flushed by itself; more of them are flushed as a whole (Linux:
 * tlb_single_page_flush_ceiling, 33). Linux counts the pages of the range that they lie in, this list those taken away.
 */
export const FLUSH_CEILING = 33;

/** What is to be flushed of one address space. Reused. */
export class FlushList {
  readonly #pages: number[] = [];
  #all = false;

  /** Nothing is to be flushed. */
  get empty(): boolean {
    return !this.#all && this.#pages.length === 0;
  }

  /** GVA >> 12 of the pages, or everything. */
  get pages(): readonly number[] | 'all' {
    return this.#all ? 'all' : this.#pages;
  }

  /**
   * A page that a leaf of a level mapped. A large one counts as all of its small pages, and so as everything: a TLB may
   * hold it in pieces (one for each nested page), and INVLPG drops the piece that it names.
   */
  add(page: number, level: number): void {
    if (this.#all) return;
    if (level === 1 && this.#pages.length < FLUSH_CEILING) this.#pages.push(page);
    else this.#all = true;
  }

  /** {@link add}, to be told of entries. */
  readonly note = (page: number, level: number): void => this.add(page, level);

  /** Everything. */
  addAll(): void {
    this.#all = true;
  }

  clear(): void {
    this.#pages.length = 0;
    this.#all = false;
  }
}
