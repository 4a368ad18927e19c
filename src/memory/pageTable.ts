/**
 * A page table in simulated memory: building it, bulk mapping, and reading it as software reads it. Hardware has its
 * own walker; both follow the same entry format and the same rules of what is a corrupt table.
 */
import { NestwalkError } from '../errors.ts';
import { ENTRIES_PER_TABLE, ENTRY, MAX_TABLE_LEVELS, MIN_TABLE_LEVELS, PAGE_SIZES } from '../schema.ts';
import { entryFlags, entryFrame, entryLeaf, entryPresent, entryText } from './entry.ts';
import { EntryWriter, newRun } from './entryWriter.ts';
import type { EntryRun, Zone } from './simulatedMemory.ts';

/** Binary logarithm of {@link ENTRIES_PER_TABLE}: address bits that one level translates. */
const LEVEL_BITS = 9;
/** Highest page-size index; a leaf of size index `s` is an entry at level `s + 1`. */
const MAX_SIZE_INDEX = PAGE_SIZES.length - 1;

/** {@link entryPages} by level, up to what a root of the most levels reaches. */
const REACH = Float64Array.from(
  { length: MAX_TABLE_LEVELS + 2 },
  (_, level) => 2 ** (LEVEL_BITS * (level - 1)),
);

/** 4 KiB pages that one entry at `level` reaches: 512^(level-1). */
export const entryPages = (level: number): number => REACH[level];

/** Where the page of a size begins that a page lies in. (The remainder operator is slow for large numbers.) */
export const firstPage = (page: number, size: number): number => Math.floor(page / size) * size;

/** 4 KiB pages of an address space of `levels` levels: 512^levels (12 + 9 levels address bits). */
export const spacePages = (levels: number): number => entryPages(levels + 1);

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
  /** Called when a table page is about to go back to its zone; no entry points at it any more. */
  onTableFree?: (frame: number, level: number) => void;
  /** Writes entries; default: straight into the zone. The run is reused by the next call. */
  setEntries?: (run: EntryRun) => void;
  /**
   * The table's own number of a frame that stands in a leaf, where `setEntries` writes another one; default: the same.
   * What is read of leaves below ({@link Lookup}, {@link Place} and so on) has the table's own numbers.
   */
  guestFrame?: (frame: number) => number;
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

/** The entry at which a walk by software ended: a leaf, or the first that is not present. Filled in and reused. */
export interface Place {
  /** Frame number of the table page that holds it. */
  table: number;
  /** Level of that table page. */
  level: number;
  /** Index of the entry, 0 to 511. */
  index: number;
  /** Address >> 12 that the entry translates first. */
  page: number;
  /** Bits 0 to 11 of the entry; of one that is not present, what the software keeps there. */
  flags: number;
  /** Frame number of a leaf, in 4 KiB units; 0 where there is none. */
  frame: number;
  /** AND of R/W from the root down to and including the entry. */
  writable: boolean;
}

/**
 * Consecutive entries of one table page that a range of pages goes through: at level 1 present or not, above it leaves
 * only. Filled in and reused.
 */
export interface Stretch {
  /** Frame number of the table page. */
  table: number;
  /** Its level. */
  level: number;
  /** Index of the first entry, 0 to 511. */
  index: number;
  /** Entries. */
  count: number;
  /** Address >> 12 that the first entry translates first; a large leaf may begin before the range does. */
  page: number;
}

/**
 * Told of an entry that is not clear.
 * @param page address >> 12 that it translates first
 * @param level its level: 1 to 3
 * @param frame frame number of the leaf, in 4 KiB units; 0 of one that is not present
 * @param flags bits 0 to 11; without P, what the software keeps there
 */
export type EntryVisitor = (page: number, level: number, frame: number, flags: number) => void;

/** A place to be filled in by {@link PageTable.walk}. */
export const newPlace = (): Place => ({
  table: 0,
  level: 1,
  index: 0,
  page: 0,
  flags: 0,
  frame: 0,
  writable: false,
});

/** A stretch to be filled in by {@link PageTable.nextStretch}. */
export const newStretch = (): Stretch => ({ table: 0, level: 1, index: 0, count: 0, page: 0 });

/** Address >> 12 behind a stretch: where to look for the next one. */
export const stretchEnd = (stretch: Stretch): number =>
  stretch.page + stretch.count * entryPages(stretch.level);

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
  readonly #onTableFree: (frame: number, level: number) => void;
  readonly #setEntries: (run: EntryRun) => void;
  readonly #guestFrame: (frame: number) => number;
  /** Reused, so that nothing is allocated. */
  readonly #leafRun: EntryRun = newRun(ENTRIES_PER_TABLE);
  readonly #singleRun: EntryRun = newRun(1);
  readonly #writer: EntryWriter;
  readonly #place: Place = newPlace();

  /** @throws NestwalkError `memory.full` when the zone has no page for the root */
  constructor(options: PageTableOptions) {
    const { levels, zone } = options;
    if (levels < MIN_TABLE_LEVELS || levels > MAX_TABLE_LEVELS)
      throw new RangeError(`${levels} table levels`);
    this.levels = levels;
    this.zone = zone;
    this.#tableFlags = options.tableFlags;
    this.#onTablePage = options.onTablePage ?? (() => {});
    this.#onTableFree = options.onTableFree ?? (() => {});
    this.#setEntries = options.setEntries ?? ((run) => zone.write(run));
    this.#guestFrame = options.guestFrame ?? ((frame) => frame);
    this.#writer = new EntryWriter(this.#setEntries);
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
    const place = this.#place;
    if (!this.walk(page, place)) return { present: false, level: place.level };
    const { level, frame, flags, writable } = place;
    return { present: true, level, frame, flags, writable };
  }

  /**
   * As {@link lookup}, without allocating anything.
   * @param page address >> 12
   * @param out receives where the walk ended
   * @returns whether a leaf maps the page
   * @throws NestwalkError as {@link lookup}
   */
  walk(page: number, out: Place): boolean {
    this.#checkPage(page, 1);
    const { halves } = this.zone;
    let table = this.root;
    let writable = true;
    for (let level = this.levels; ; level--) {
      const index = indexAt(page, level);
      const at = this.zone.halfOf(table, index);
      const low = halves[at];
      const present = entryPresent(low);
      writable &&= (low & ENTRY.writable) !== 0;
      if (present && !entryLeaf(low, level)) {
        table = this.#checkPointer(entryFrame(low, halves[at + 1]), table, page, level, at);
        continue;
      }
      if (present) this.#checkLeafLevel(table, page, level, at);
      out.table = table;
      out.level = level;
      out.index = index;
      out.page = firstPage(page, entryPages(level));
      out.flags = entryFlags(low);
      out.frame = present ? this.#guestFrame(entryFrame(low, halves[at + 1])) : 0;
      out.writable = writable;
      return present;
    }
  }

  /**
   * Whether a leaf of any size maps a page.
   * @param page address >> 12
   * @throws NestwalkError as {@link lookup}
   */
  mapped(page: number): boolean {
    return this.walk(page, this.#place);
  }

  /**
   * Translates a page to the 4 KiB frame behind it: the leaf's frame, its low bits taken from the page number when the
   * leaf is a large page.
   * @param page address >> 12
   * @returns frame number, or `undefined` when nothing maps the page
   * @throws NestwalkError as {@link lookup}
   */
  translate(page: number): number | undefined {
    const place = this.#place;
    if (!this.walk(page, place)) return undefined;
    const pages = entryPages(place.level);
    return firstPage(place.frame, pages) + (page - firstPage(page, pages));
  }

  /**
   * Finds the first entries that a range of pages goes through: what has no table page is passed over in steps of what
   * is missing. To go through a range, go on from {@link stretchEnd}.
   * @param from address >> 12
   * @param end address >> 12 behind the range
   * @param out receives the stretch
   * @returns whether there is one before `end`
   * @throws NestwalkError as {@link lookup}
   */
  nextStretch(from: number, end: number, out: Stretch): boolean {
    if (from >= end) return false;
    this.#checkPage(from, 1);
    this.#checkPage(end - 1, 1);
    const { halves } = this.zone;
    let page = from;
    let table = this.root;
    let level = this.levels;
    while (page < end) {
      let index = indexAt(page, level);
      if (level === 1) {
        out.table = table;
        out.level = 1;
        out.index = index;
        out.count = Math.min(ENTRIES_PER_TABLE - index, end - page);
        out.page = page;
        return true;
      }
      const reach = entryPages(level);
      let at = this.zone.halfOf(table, index);
      while (index < ENTRIES_PER_TABLE && page < end && !entryPresent(halves[at])) {
        index++;
        at += 2;
        page = firstPage(page, reach) + reach;
      }
      if (index === ENTRIES_PER_TABLE) {
        table = this.root;
        level = this.levels;
      } else if (page < end) {
        const low = halves[at];
        if (entryLeaf(low, level)) {
          this.#checkLeafLevel(table, page, level, at);
          out.table = table;
          out.level = level;
          out.index = index;
          out.page = firstPage(page, reach);
          out.count = this.#countLeaves(
            at,
            level,
            Math.min(ENTRIES_PER_TABLE - index, (end - out.page) / reach),
          );
          return true;
        }
        table = this.#checkPointer(entryFrame(low, halves[at + 1]), table, page, level, at);
        level--;
      }
    }
    return false;
  }

  /**
   * Writes an entry where a walk ended: another leaf, or the first one there.
   * @param place where {@link walk} ended; no table page may have been taken or freed since
   * @param frame frame number, in 4 KiB units
   * @param flags bits 0 to 11 of the entry
   */
  write(place: Place, frame: number, flags: number): void {
    this.#writeSingle(place.table, place.level, place.index, place.page, frame, flags);
  }

  /** Shows the entries of a stretch that are not clear, in ascending order. They may be written as they are shown. */
  visitStretch(stretch: Stretch, visit: EntryVisitor): void {
    const { halves } = this.zone;
    const { level, count } = stretch;
    const reach = entryPages(level);
    let at = this.zone.halfOf(stretch.table, stretch.index);
    for (let k = 0; k < count; k++, at += 2) {
      const low = halves[at];
      const flags = entryFlags(low);
      if (flags === 0) continue;
      const frame = entryPresent(low) ? this.#guestFrame(entryFrame(low, halves[at + 1])) : 0;
      visit(stretch.page + k * reach, level, frame, flags);
    }
  }

  /**
   * Changes flags of the leaves of a stretch and writes those that are not so already.
   * @param clear flags to take away, of `ENTRY`
   * @param set flags to add
   * @param changed told of each leaf written, as it was
   * @returns entries written
   */
  updateStretch(stretch: Stretch, clear: number, set: number, changed?: EntryVisitor): number {
    const writer = this.beginEntries(stretch.table, stretch.level, stretch.page);
    let written = 0;
    this.visitStretch(stretch, (page, level, frame, flags) => {
      const wanted = (flags & ~clear) | set;
      if ((flags & ENTRY.present) === 0 || wanted === flags) return;
      writer.put(page, frame, wanted);
      changed?.(page, level, frame, flags);
      written++;
    });
    writer.end();
    return written;
  }

  /**
   * Takes the leaves of a stretch away: clears all its entries, marks of the software's own too; or leaves a mark in the
   * place of each leaf, and what is not present as it is.
   * @param taken told of each entry written, as it was, in ascending order
   * @param mark what to leave, without P; default: nothing
   * @returns entries written
   */
  unmapStretch(stretch: Stretch, taken: EntryVisitor, mark = 0): number {
    const writer = this.beginEntries(stretch.table, stretch.level, stretch.page);
    let written = 0;
    this.visitStretch(stretch, (page, level, frame, flags) => {
      if (mark !== 0 && (flags & ENTRY.present) === 0) return;
      writer.put(page, 0, mark);
      taken(page, level, frame, flags);
      written++;
    });
    writer.end();
    return written;
  }

  /**
   * Gives back the table pages that a range of pages goes through and that nothing outside a gap around it needs (Linux:
   * free_pgtables). Nothing may be mapped in the gap. The root stays.
   * @param first address >> 12
   * @param count 4 KiB pages
   * @param floor address >> 12 where the gap begins: nothing is to be mapped from there …
   * @param ceiling … to here
   * @returns table pages given back; for each an entry was cleared
   */
  freeTables(first: number, count: number, floor: number, ceiling: number): number {
    if (count === 0) return 0;
    return this.#freeTables(this.root, this.levels, 0, first, first + count, floor, ceiling);
  }

  /** Gives the root back, at the table's end. All else has been given back before. */
  freeRoot(): void {
    this.#giveTable(this.root, this.levels, true);
  }

  /**
   * Puts a table page in the place of a large leaf, with the same translations a size smaller. Flags stay; those of the
   * new entry are the table's.
   * @param place where {@link walk} ended: a leaf above level 1
   * @throws NestwalkError `memory.full` without a free table page
   */
  split(place: Place): void {
    const { level, frame } = place;
    if (level === 1) throw new RangeError('a leaf of level 1 cannot be split');
    const reach = entryPages(level - 1);
    const table = this.#takeTable(level - 1);
    const run = this.#leafRun;
    run.table = table;
    run.level = level - 1;
    run.index = 0;
    run.page = place.page;
    run.count = ENTRIES_PER_TABLE;
    run.flags = level === 2 ? place.flags & ~ENTRY.pageSize : place.flags;
    for (let k = 0; k < ENTRIES_PER_TABLE; k++) run.frames[k] = frame + k * reach;
    this.#setEntries(run);
    this.#writeSingle(place.table, level, place.index, place.page, table, this.#tableFlags);
  }

  /**
   * Puts a large leaf in the place of a table page of leaves, and gives that back with all that is in it.
   * @param page address >> 12 of the large page
   * @param sizeIndex its page-size index
   * @param frame its frame number, in 4 KiB units
   * @param flags bits 0 to 11 of the leaf
   * @throws NestwalkError `table.corrupt` when there is no table page
   */
  collapse(page: number, sizeIndex: number, frame: number, flags: number): void {
    const level = sizeIndex + 1;
    let table = this.root;
    for (let above = this.levels; above > level; above--) table = this.#child(table, above, page);
    const index = indexAt(page, level);
    const at = this.zone.halfOf(table, index);
    const low = this.zone.halves[at];
    if (!entryPresent(low) || entryLeaf(low, level))
      throw this.#corrupt(table, page, level, at, 'is no table where one is to be collapsed');
    const child = this.#checkPointer(entryFrame(low, this.zone.halves[at + 1]), table, page, level, at);
    this.#writeSingle(table, level, index, page, 0, 0);
    this.#giveTable(child, level - 1, false);
    this.#writeSingle(table, level, index, page, frame, flags);
  }

  /**
   * The table page that is to hold a leaf, taken and linked with those above it where there is none.
   * @param page address >> 12
   * @param level level of the leaf
   * @throws NestwalkError as {@link map}
   */
  leafTable(page: number, level: number): number {
    this.#checkPage(page, level);
    let table = this.root;
    for (let above = this.levels; above > level; above--) table = this.#child(table, above, page);
    return table;
  }

  /**
   * For writing entries of one table page in ascending order, whatever their flags: begin, put …, end.
   * @param table frame number of the table page, from {@link leafTable} or a {@link Stretch}
   * @param page any address >> 12 that it translates
   */
  beginEntries(table: number, level: number, page: number): EntryWriter {
    const reach = entryPages(level);
    this.#writer.begin(table, level, firstPage(page, entryPages(level + 1)), reach);
    return this.#writer;
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
    this.#writeSingle(table, level, index, firstPage(page, entryPages(level)), child, this.#tableFlags);
    return child;
  }

  #writeSingle(
    table: number,
    level: number,
    index: number,
    page: number,
    frame: number,
    flags: number,
  ): void {
    const run = this.#singleRun;
    run.table = table;
    run.level = level;
    run.index = index;
    run.page = page;
    run.count = 1;
    run.flags = flags;
    run.frames[0] = frame;
    this.#setEntries(run);
  }

  /** Consecutive leaves from a position on, at most `most` (rounded up). */
  #countLeaves(first: number, level: number, most: number): number {
    const { halves } = this.zone;
    let count = 1;
    for (let at = first + 2; count < most; count++, at += 2) {
      if (!entryPresent(halves[at]) || !entryLeaf(halves[at], level)) break;
    }
    return count;
  }

  /** @param firstPage address >> 12 that entry 0 of the table page translates */
  #freeTables(
    table: number,
    level: number,
    firstPage: number,
    first: number,
    end: number,
    floor: number,
    ceiling: number,
  ): number {
    const { halves } = this.zone;
    const reach = entryPages(level);
    const low = Math.max(0, Math.floor((first - firstPage) / reach));
    const high = Math.min(ENTRIES_PER_TABLE, Math.ceil((end - firstPage) / reach));
    let freed = 0;
    for (let index = low; index < high; index++) {
      const at = this.zone.halfOf(table, index);
      if (!entryPresent(halves[at]) || entryLeaf(halves[at], level)) continue;
      const page = firstPage + index * reach;
      const child = this.#checkPointer(entryFrame(halves[at], halves[at + 1]), table, page, level, at);
      if (level > 2) freed += this.#freeTables(child, level - 1, page, first, end, floor, ceiling);
      if (page < floor || page + reach > ceiling) continue;
      this.#writeSingle(table, level, index, page, 0, 0);
      this.#giveTable(child, level - 1, true);
      freed++;
    }
    return freed;
  }

  #takeTable(level: number): number {
    const frame = this.zone.take();
    this.#onTablePage(frame, level);
    return frame;
  }

  #giveTable(frame: number, level: number, clear: boolean): void {
    this.#onTableFree(frame, level);
    this.zone.release(frame, clear);
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

/** Index of a page (address >> 12) in its table page at `level`. Division, for page numbers beyond 32 bits. */
export function indexAt(page: number, level: number): number {
  const entry = Math.floor(page / entryPages(level));
  return entry - firstPage(entry, ENTRIES_PER_TABLE);
}
