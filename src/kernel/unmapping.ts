/** Taking mappings away: from a span, to the disk, or from a whole process. */
import {
  type EntryVisitor,
  entryPages,
  newStretch,
  type Stretch,
  spacePages,
  stretchEnd,
} from '../memory/pageTable.ts';
import { ENTRY } from '../schema.ts';
import { splitAll, splitAt } from './hugePages.ts';
import { type KernelParts, ON_DISK, overlap } from './parts.ts';
import type { OwnProcess } from './process.ts';
import type { PageSpan } from './region.ts';
import { type OwnRegion, spanEnd } from './regions.ts';

/** Takes mappings away, a batch for each table page (Linux: zap_pte_range); the caller flushes. */
export class Unmapper {
  readonly #parts: KernelParts;
  readonly #stretch: Stretch = newStretch();
  #process!: OwnProcess;

  constructor(parts: KernelParts) {
    this.#parts = parts;
  }

  /** Clears what a span maps; huge pages at its ends are split. Regions and table pages stay. */
  clear(process: OwnProcess, span: PageSpan): void {
    splitAt(this.#parts, process, span.page);
    splitAt(this.#parts, process, spanEnd(span));
    this.#clear(process, span, 0);
  }

  /**
   * Takes the regions of a span away with all that they map, and the table pages that no other region needs.
   * @param span begins and ends where regions do, or outside
   */
  unmap(process: OwnProcess, span: PageSpan): void {
    const { table } = process.space;
    for (const region of process.layout.remove(span)) this.#removed(process, region);
    const { floor, ceiling } = process.layout.gap(span, spacePages(table.levels));
    const freed = table.freeTables(span.page, span.pages, floor, ceiling);
    const { gone } = this.#parts.processors;
    // A processor may have cached where a table page lay, even if that mapped nothing; INVLPG of any page drops that.
    if (freed > 0 && gone.empty) gone.add(span.page, 1);
  }

  /** Takes all regions of an address space away, and all its table pages but the root. */
  teardown(process: OwnProcess): void {
    const { platform, processors } = this.#parts;
    const { regions } = process;
    platform.beforeTeardown(process.space);
    if (regions.length === 0) return;
    processors.gone.addAll();
    const page = regions[0].page;
    this.unmap(process, { page, pages: spanEnd(regions[regions.length - 1]) - page });
  }

  /**
   * Writes the small pages of a span to the disk; huge ones are split first. Shared memory and regions of large pages stay.
   * @returns how many
   */
  pageOut(process: OwnProcess, span: PageSpan | undefined): number {
    const { layout } = process;
    const before = process.residentPages;
    for (const region of span === undefined ? layout.list : layout.within(span)) {
      if (region.shared !== undefined || region.sizeIndex > 0) continue;
      const part = overlap(region, span);
      splitAll(this.#parts, process, part);
      this.#clear(process, part, ON_DISK);
    }
    const count = before - process.residentPages;
    this.#parts.ledger.count('pageOuts', count);
    return count;
  }

  #removed(process: OwnProcess, region: OwnRegion): void {
    const { memory } = this.#parts;
    this.#clear(process, region, 0);
    const { shared } = region;
    if (shared !== undefined && --shared.views === 0) shared.empty((frame) => memory.release(frame, 0));
  }

  #clear(process: OwnProcess, { page, pages }: PageSpan, mark: number): void {
    const { platform } = this.#parts;
    const { table } = process.space;
    const stretch = this.#stretch;
    const end = page + pages;
    this.#process = process;
    for (let next = page; table.nextStretch(next, end, stretch); next = stretchEnd(stretch)) {
      platform.beginBatch();
      table.unmapStretch(stretch, this.#taken, mark);
      platform.endBatch();
    }
  }

  readonly #taken: EntryVisitor = (page, level, frame, flags) => {
    if ((flags & ENTRY.present) === 0) return;
    const { memory, processors } = this.#parts;
    memory.release(frame, level - 1);
    processors.gone.add(page, level);
    this.#process.residentPages -= entryPages(level);
  };
}
