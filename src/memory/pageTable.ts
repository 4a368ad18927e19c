/**
 * A page table in simulated memory: building it, bulk mapping, and reading it as software reads it. Hardware has its
 * own walker; both follow the same entry format and the same rules of what is a corrupt table.
 */
import { NestwalkError } from '../errors.ts';
import { ENTRIES_PER_TABLE, ENTRY, MAX_TABLE_LEVELS, MIN_TABLE_LEVELS, PAGE_SIZES } from '../schema.ts';
import { entryFlags, entryFrame, entryLeaf, entryPresent, entryText } from './entry.ts';
import type { EntryRun, Zone } from './simulatedMemory.ts';

/** Binary logarithm of {@link ENTRIES_PER_TABLE}: address bits that one level translates. */
const LEVEL_BITS = 9;
/** Highest page-size index; a leaf of size index `s` is an entry at level `s + 1`. */
const MAX_SIZE_INDEX = PAGE_SIZES.length - 1;

/** 4 KiB pages that one entry at `level` reaches: 512^(level-1). */
export const entryPages = (level: number): number => 2 ** (LEVEL_BITS * (level - 1));

/** 4 KiB pages of an address space of `levels` levels: 512^levels (12 + 9 levels address bits). */
export const spacePages = (levels: number): number => 2 ** (LEVEL_BITS * levels);

/** How a table is built. */
export interface PageTableOptions {
  /** Levels, 2 to 5. */
  levels: number;
  /** Where its table pages come from. Several tables may share one zone. */
  zone: Zone;
  /** Bits 0 to 11 of entries that point at a table page. */
  tableFlags: number;
  /** Called when a table page has been taken (the root too), before an entry points at it. */
  onTablePage?: (frame: number, level: number) => void;
  /** Writes entries; default: straight into the zone. The run is reused by the next call. */
  setEntries?: (run: EntryRun) => void;
}

/** Gives frames for pages that are being mapped, in the order mapped. */
export interface FrameSource {
  /**
   * Takes frames for `count` pages.
   * @param region number of the region that the pages belong to
   * @param sizeIndex page-size index of the pages
   * @param out receives the frame numbers (4 KiB units) in its first `count` places
   * @throws NestwalkError `memory.full` when there are not so many left
   */
  take(region: number, sizeIndex: number, count: number, out: Float64Array): void;
}

/** What a walk through the table by software found. */
export type Lookup =
  | {
      present: true;
      /** Level of the leaf: 1 to 3. */
      level: number;
      /** Frame number of the leaf, in 4 KiB units. */
      frame: number;
      /** Bits 0 to 11 of the leaf. */
      flags: number;
      /** AND of R/W from the root down to and including the leaf. */
      writable: boolean;
    }
  | {
      present: false;
      /** Level of the entry that is not present. */
      level: number;
    };

/**
 * One page table. Page numbers are addresses >> 12, or in units of the page size where a method says so; all are
 * exact doubles, also beyond 32 bits.
 */
export class PageTable {
  readonly levels: number;
  readonly zone: Zone;
  /** Frame number of the root. */
  readonly root: number;
  readonly #tableFlags: number;
  readonly #onTablePage: (frame: number, level: number) => void;
  readonly #setEntries: (run: EntryRun) => void;
  /** Reused, so that mapping allocates nothing. */
  readonly #leafRun: EntryRun = newRun(ENTRIES_PER_TABLE);
  readonly #linkRun: EntryRun = newRun(1);

  /** @throws NestwalkError `memory.full` when the zone has no page for the root */
  constructor(options: PageTableOptions) {
    const { levels, zone } = options;
    if (levels < MIN_TABLE_LEVELS || levels > MAX_TABLE_LEVELS)
      throw new RangeError(`${levels} table levels`);
    this.levels = levels;
    this.zone = zone;
    this.#tableFlags = options.tableFlags;
    this.#onTablePage = options.onTablePage ?? (() => {});
    this.#setEntries = options.setEntries ?? ((run) => zone.write(run));
    this.root = this.#takeTable(levels);
  }

  /**
   * Maps one page.
   * @param page page number in units of its size
   * @param sizeIndex page-size index
   * @param frame frame number, in 4 KiB units
   * @param flags bits 0 to 11 of the leaf
   * @throws NestwalkError `memory.full` without a free table page, `table.corrupt` where something is mapped already
   */
  map(page: number, sizeIndex: number, frame: number, flags: number): void {
    const run = this.#leafRun;
    this.#descend(page, sizeIndex, run);
    run.count = 1;
    run.flags = flags;
    run.frames[0] = frame;
    this.#writeLeaves(run);
  }

  /**
   * Maps consecutive pages in ascending order, exactly as one {@link map} after the other would: table pages are taken
   * in the same order, frames too. One descent from the root per table page, then a tight loop over its entries.
   * @param page first page number in units of the size
   * @param count pages
   * @param sizeIndex page-size index
   * @param flags bits 0 to 11 of the leaves
   * @param frames where the frames come from
   * @param region number of the region, for `frames`
   * @throws NestwalkError as {@link map}, and what `frames` throws
   */
  mapRange(
    page: number,
    count: number,
    sizeIndex: number,
    flags: number,
    frames: FrameSource,
    region: number,
  ): void {
    const run = this.#leafRun;
    const end = page + count;
    for (let next = page; next < end; next += run.count) {
      this.#descend(next, sizeIndex, run);
      run.count = Math.min(ENTRIES_PER_TABLE - run.index, end - next);
      run.flags = flags;
      frames.take(region, sizeIndex, run.count, run.frames);
      this.#writeLeaves(run);
    }
  }

  /**
   * Walks the table for a page.
   * @param page address >> 12
   * @throws NestwalkError `table.corrupt` when an entry points outside the zone, or has PS where no leaf can be
   */
  lookup(page: number): Lookup {
    this.#checkPage(page, 1);
    let table = this.root;
    let writable = true;
    for (let level = this.levels; ; level--) {
      const at = this.zone.halfOf(table, indexAt(page, level));
      const low = this.zone.halves[at];
      if (!entryPresent(low)) return { present: false, level };
      const frame = entryFrame(low, this.zone.halves[at + 1]);
      writable &&= (low & ENTRY.writable) !== 0;
      if (entryLeaf(low, level)) {
        this.#checkLeafLevel(table, page, level, at);
        return { present: true, level, frame, flags: entryFlags(low), writable };
      }
      table = this.#checkPointer(frame, table, page, level, at);
    }
  }

  /**
   * Whether a leaf of any size maps a page.
   * @param page address >> 12
   * @throws NestwalkError as {@link lookup}
   */
  mapped(page: number): boolean {
    return this.lookup(page).present;
  }

  /**
   * Translates a page to the 4 KiB frame behind it: the leaf's frame, its low bits taken from the page number when the
   * leaf is a large page.
   * @param page address >> 12
   * @returns frame number, or `undefined` when nothing maps the page
   * @throws NestwalkError as {@link lookup}
   */
  translate(page: number): number | undefined {
    const found = this.lookup(page);
    if (!found.present) return undefined;
    const pages = entryPages(found.level);
    return found.frame - (found.frame % pages) + (page % pages);
  }

  /** Walks to the table page that holds the leaf, taking missing table pages on the way, top level first. */
  #descend(pageAtSize: number, sizeIndex: number, run: EntryRun): void {
    const leafLevel = sizeIndex + 1;
    const page = pageAtSize * entryPages(leafLevel);
    this.#checkPage(page, leafLevel);
    let table = this.root;
    for (let level = this.levels; level > leafLevel; level--) table = this.#child(table, level, page);
    run.table = table;
    run.level = leafLevel;
    run.index = indexAt(page, leafLevel);
    run.page = page;
  }

  /** The table page below the entry for `page` at `level`, taken and linked if there is none. */
  #child(table: number, level: number, page: number): number {
    const index = indexAt(page, level);
    const at = this.zone.halfOf(table, index);
    const low = this.zone.halves[at];
    if (entryPresent(low)) {
      if (entryLeaf(low, level))
        throw this.#corrupt(table, page, level, at, 'is a leaf where a table is to be');
      return this.#checkPointer(entryFrame(low, this.zone.halves[at + 1]), table, page, level, at);
    }
    const child = this.#takeTable(level - 1);
    const run = this.#linkRun;
    run.table = table;
    run.level = level;
    run.index = index;
    run.page = page - (page % entryPages(level));
    run.count = 1;
    run.flags = this.#tableFlags;
    run.frames[0] = child;
    this.#setEntries(run);
    return child;
  }

  #takeTable(level: number): number {
    const frame = this.zone.take();
    this.#onTablePage(frame, level);
    return frame;
  }

  /** Writes leaves where nothing is mapped yet: a mapping is never overwritten unseen. */
  #writeLeaves(run: EntryRun): void {
    const { halves } = this.zone;
    const first = this.zone.halfOf(run.table, run.index);
    for (let k = 0, at = first; k < run.count; k++, at += 2) {
      if ((halves[at] & ENTRY.present) !== 0) {
        const page = run.page + k * entryPages(run.level);
        throw this.#corrupt(run.table, page, run.level, at, 'is present already and was to be mapped');
      }
    }
    this.#setEntries(run);
  }

  #checkPage(page: number, leafLevel: number): void {
    if (leafLevel > this.levels || leafLevel > MAX_SIZE_INDEX + 1) {
      throw new RangeError(`a table of ${this.levels} levels has no leaf at level ${leafLevel}`);
    }
    if (!(page >= 0 && page < spacePages(this.levels))) {
      throw new RangeError(`page ${page} lies outside a table of ${this.levels} levels`);
    }
  }

  #checkLeafLevel(table: number, page: number, level: number, at: number): void {
    if (level > MAX_SIZE_INDEX + 1)
      throw this.#corrupt(table, page, level, at, 'has PS (bit 7) at a level without leaves');
  }

  #checkPointer(frame: number, table: number, page: number, level: number, at: number): number {
    if (this.zone.contains(frame)) return frame;
    throw this.#corrupt(
      table,
      page,
      level,
      at,
      `points at frame 0x${frame.toString(16)}, outside the ${this.zone.name}`,
    );
  }

  #corrupt(table: number, page: number, level: number, at: number, what: string): NestwalkError {
    const { halves } = this.zone;
    return new NestwalkError(
      'table.corrupt',
      `corrupt page table in the ${this.zone.name}: entry ${indexAt(page, level)} of the level-${level} table at frame ` +
        `0x${table.toString(16)}, ${entryText(halves[at], halves[at + 1])}, ${what} (page 0x${page.toString(16)})`,
    );
  }
}

function newRun(entries: number): EntryRun {
  return { table: 0, level: 1, index: 0, page: 0, count: 0, frames: new Float64Array(entries), flags: 0 };
}

/** Index of a page (address >> 12) in its table page at `level`. Division, for page numbers beyond 32 bits. */
function indexAt(page: number, level: number): number {
  return Math.floor(page / entryPages(level)) % ENTRIES_PER_TABLE;
}
