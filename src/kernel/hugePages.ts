/** Huge pages made of small ones, and taken apart again (Linux: khugepaged, split_huge_pmd). */
import { leafFlags } from '../memory/entry.ts';
import {
  type EntryVisitor,
  entryPages,
  firstPage,
  newPlace,
  newStretch,
  type Place,
  type Stretch,
} from '../memory/pageTable.ts';
import { ENTRY } from '../schema.ts';
import {
  HUGE,
  HUGE_LEVEL,
  HUGE_PAGES,
  hugeSpan,
  type KernelParts,
  ON_DISK,
  overlap,
  TOUCHED,
} from './parts.ts';
import type { OwnProcess } from './process.ts';
import type { PageSpan } from './region.ts';
import type { OwnRegion } from './regions.ts';

/**
 * Splits a large leaf; the caller flushes.
 * @param place where the walk for it ended
 * @throws NestwalkError `memory.full` without a table page
 */
export function splitLeaf(parts: KernelParts, process: OwnProcess, place: Place): void {
  parts.platform.beginBatch();
  try {
    process.space.table.split(place);
  } finally {
    parts.platform.endBatch();
  }
  parts.processors.gone.add(place.page, place.level);
}

/** Splits the large leaf that a page lies in, unless it begins there; the caller flushes. */
export function splitAt(parts: KernelParts, process: OwnProcess, page: number): void {
  const place = newPlace();
  if (process.space.table.walk(page, place) && place.page !== page) splitLeaf(parts, process, place);
}

/** Splits what huge pages a span of a process has in regions of small ones. @returns how many */
export function splitAll(parts: KernelParts, process: OwnProcess, span: PageSpan | undefined): number {
  const { layout, space } = process;
  const place = newPlace();
  let count = 0;
  for (const region of span === undefined ? layout.list : layout.within(span)) {
    if (region.sizeIndex > 0) continue;
    const { page, pages } = overlap(region, span);
    for (let next = page; next < page + pages; ) {
      const present = space.table.walk(next, place);
      if (present && place.level > 1) {
        splitLeaf(parts, process, place);
        count++;
      }
      const reach = entryPages(Math.max(place.level, HUGE_LEVEL));
      next = firstPage(next, reach) + reach;
    }
  }
  return count;
}

/** Makes huge pages of small ones. */
export class Collapser {
  readonly #parts: KernelParts;
  readonly #stretch: Stretch = newStretch();
  /** Of the huge page under way: small pages present, A and D of any, and whether one is on the disk. */
  #present = 0;
  #touched = 0;
  #onDisk = false;

  constructor(parts: KernelParts) {
    this.#parts = parts;
  }

  /**
   * Makes one huge page of each 2 MiB that a span, and a region of memory that is not shared, hold whole and of which
   * anything is mapped in small pages, while there are huge frames. What is there is copied, what is not is cleared; where a
   * page is on the disk nothing is done. Frames that processes share are copied for this one.
   * @returns how many
   */
  collapse(process: OwnProcess, span: PageSpan | undefined): number {
    const { layout } = process;
    let count = 0;
    for (const region of span === undefined ? layout.list : layout.within(span)) {
      if (region.sizeIndex > 0 || region.shared !== undefined) continue;
      const { first, end } = hugeSpan(overlap(region, span));
      for (let page = first; page < end; ) {
        if (!process.space.table.nextStretch(page, end, this.#stretch)) break;
        page = firstPage(this.#stretch.page, HUGE_PAGES);
        if (this.#stretch.level === 1 && this.#collapseOne(process, region, page)) count++;
        page +=
          this.#stretch.level === 1 ? HUGE_PAGES : this.#stretch.count * entryPages(this.#stretch.level);
      }
    }
    return count;
  }

  /** @param page first page of 2 MiB with a table page */
  #collapseOne(process: OwnProcess, region: OwnRegion, page: number): boolean {
    const { memory, ledger, ad } = this.#parts;
    const { table } = process.space;
    this.#present = 0;
    this.#touched = 0;
    this.#onDisk = false;
    table.visitStretch(this.#stretch, this.#look);
    if (this.#onDisk || this.#present === 0) return false;
    const frame = memory.tryTake(HUGE);
    if (frame < 0) return false;
    table.visitStretch(this.#stretch, this.#give);
    const flags = leafFlags(ad, HUGE) | this.#touched;
    table.collapse(page, HUGE, frame, region.writable ? flags : flags & ~ENTRY.writable);
    ledger.count('copiedFrames', this.#present);
    ledger.count('zeroedFrames', HUGE_PAGES - this.#present);
    process.residentPages += HUGE_PAGES - this.#present;
    return true;
  }

  readonly #look: EntryVisitor = (_page, _level, _frame, flags) => {
    if (flags === ON_DISK) this.#onDisk = true;
    else {
      this.#present++;
      this.#touched |= flags & TOUCHED;
    }
  };

  readonly #give: EntryVisitor = (page, level, frame) => {
    this.#parts.memory.release(frame, 0);
    this.#parts.processors.gone.add(page, level);
  };
}
