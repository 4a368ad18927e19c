/** Puts single entries together to runs: what a page table writes goes out in as few calls as its flags allow. */
import { ENTRIES_PER_TABLE } from '../schema.ts';
import type { EntryRun } from './simulatedMemory.ts';

/** A run with room for so many entries. */
export function newRun(entries: number): EntryRun {
  return { table: 0, level: 1, index: 0, page: 0, count: 0, frames: new Float64Array(entries), flags: 0 };
}

/**
 * Collects entries of one table page in ascending order and hands on maximal runs: consecutive ones that get the same
 * flags. Allocates nothing.
 */
export class EntryWriter {
  readonly #setEntries: (run: EntryRun) => void;
  readonly #run: EntryRun = newRun(ENTRIES_PER_TABLE);
  /** Address >> 12 that entry 0 of the table page translates, and pages of an entry. */
  #firstPage = 0;
  #reach = 1;

  /** @param setEntries receives each run; the object is reused */
  constructor(setEntries: (run: EntryRun) => void) {
    this.#setEntries = setEntries;
  }

  /**
   * Entries from now on are of this table page.
   * @param firstPage address >> 12 that its entry 0 translates
   * @param reach 4 KiB pages that each of its entries translates
   */
  begin(table: number, level: number, firstPage: number, reach: number): void {
    this.#run.table = table;
    this.#run.level = level;
    this.#run.count = 0;
    this.#firstPage = firstPage;
    this.#reach = reach;
  }

  /**
   * Writes an entry, at the latest with {@link end}.
   * @param page address >> 12 that the entry translates first, beyond those put since {@link begin}
   * @param frame frame number, in 4 KiB units
   * @param flags bits 0 to 11 of the entry
   */
  put(page: number, frame: number, flags: number): void {
    const run = this.#run;
    const index = (page - this.#firstPage) / this.#reach;
    if (run.count > 0) {
      if (index === run.index + run.count && flags === run.flags) {
        run.frames[run.count++] = frame;
        return;
      }
      this.#setEntries(run);
    }
    run.index = index;
    run.page = page;
    run.flags = flags;
    run.frames[0] = frame;
    run.count = 1;
  }

  /** Writes what is left. */
  end(): void {
    if (this.#run.count > 0) this.#setEntries(this.#run);
    this.#run.count = 0;
  }
}
