/** Copying an address space so that memory is copied when it is written (Linux: copy_page_range). */
import type { EntryWriter } from '../memory/entryWriter.ts';
import { type EntryVisitor, entryPages, newStretch, type Stretch, stretchEnd } from '../memory/pageTable.ts';
import { ENTRY } from '../schema.ts';
import type { KernelParts } from './parts.ts';
import type { OwnProcess } from './process.ts';
import { regionLike, spanEnd } from './regions.ts';

/** Copies address spaces. */
export class Forker {
  readonly #parts: KernelParts;
  readonly #stretch: Stretch = newStretch();
  /** Flags that a child's entry does not have of its parent's: a write is to fault, and it has not been accessed. */
  readonly #childClear: number;
  #parent!: EntryWriter;
  #child!: EntryWriter;
  #protected = 0;
  #copied = 0;

  constructor(parts: KernelParts) {
    this.#parts = parts;
    this.#childClear = ENTRY.writable | (parts.ad === 'set' ? 0 : ENTRY.accessed);
  }

  /**
   * Copies regions and mappings: each page gets one more owner and an entry that is not writable in the child; the parent's
   * entry is written when it was writable. Shared memory is not copied: the child maps it when it touches it. One batch for
   * each table page, with the entries of both; links are outside. The caller flushes the parent.
   * @throws NestwalkError `memory.full` without a table page; the child has then what was copied so far
   */
  copy(parent: OwnProcess, child: OwnProcess): void {
    const { processors } = this.#parts;
    this.#protected = 0;
    for (const region of parent.regions) {
      child.layout.add(regionLike(region, region.page, region.pages, region.sharedPage));
    }
    try {
      for (const region of parent.regions) {
        if (region.shared === undefined) this.#copyRegion(parent, child, region.page, spanEnd(region));
      }
    } finally {
      if (this.#protected > 0) processors.gone.addAll();
    }
  }

  #copyRegion(parent: OwnProcess, child: OwnProcess, first: number, end: number): void {
    const { platform } = this.#parts;
    const from = parent.space.table;
    const to = child.space.table;
    const stretch = this.#stretch;
    for (let page = first; from.nextStretch(page, end, stretch); page = stretchEnd(stretch)) {
      const { level } = stretch;
      const table = to.leafTable(stretch.page, level);
      this.#copied = 0;
      platform.beginBatch();
      this.#parent = from.beginEntries(stretch.table, level, stretch.page);
      this.#child = to.beginEntries(table, level, stretch.page);
      from.visitStretch(stretch, this.#copy);
      this.#parent.end();
      this.#child.end();
      platform.endBatch();
      child.residentPages += this.#copied * entryPages(level);
    }
  }

  readonly #copy: EntryVisitor = (page, level, frame, flags) => {
    if ((flags & ENTRY.present) === 0) {
      this.#child.put(page, 0, flags);
      return;
    }
    this.#parts.memory.share(frame, level - 1);
    this.#copied++;
    if ((flags & ENTRY.writable) !== 0) {
      this.#parent.put(page, frame, flags & ~ENTRY.writable);
      this.#protected++;
    }
    this.#child.put(page, frame, flags & ~this.#childClear);
  };
}
