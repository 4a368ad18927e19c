/**
 * Mapping at the first touch, copying at the first write, reading back from the disk: what a page fault asks for, and what
 * a kernel does beforehand where a process is to be populated.
 */
import {
  entryPages,
  firstPage,
  newPlace,
  newStretch,
  type Place,
  type Stretch,
} from '../memory/pageTable.ts';
import { type AccessKind, ENTRY } from '../schema.ts';
import { splitLeaf } from './hugePages.ts';
import {
  flagsFor,
  HUGE,
  HUGE_PAGES,
  type KernelParts,
  ON_DISK,
  overlap,
  segfault,
  TOUCHED,
  unexpected,
} from './parts.ts';
import type { OwnProcess } from './process.ts';
import type { PageSpan } from './region.ts';
import { type OwnRegion, spanEnd } from './regions.ts';

/** The fault handler of a kernel. Entries are written one by one, outside batches, as Linux writes them. */
export class Faults {
  readonly #parts: KernelParts;
  readonly #place: Place = newPlace();
  readonly #stretch: Stretch = newStretch();

  constructor(parts: KernelParts) {
    this.#parts = parts;
  }

  /**
   * Mends a page fault of a process.
   * @throws NestwalkError `process.segfault`, `memory.full`; `engine.failed` for a fault that this kernel cannot have
   *   caused
   */
  handle(process: OwnProcess, page: number, access: AccessKind): void {
    const write = access === 'write';
    const region = process.layout.find(page);
    if (region === undefined) throw segfault(process, page, access, 'where it has no region');
    if (write && !region.writable) throw segfault(process, page, access, 'which is read-only');
    const place = this.#place;
    if (!process.space.table.walk(page, place)) {
      this.#touch(process, region, page, place, write);
      return;
    }
    if (!write || place.writable)
      throw unexpected(`a ${access} of page 0x${page.toString(16)} faulted though the guest maps it`);
    this.#unshare(process, region, page, place);
  }

  /**
   * Makes a span ready for accesses of a kind, in ascending order and as their faults would; where nothing is there yet,
   * table page by table page, a batch each.
   * @throws NestwalkError as {@link handle}; what was mapped before stays
   */
  populate(process: OwnProcess, span: PageSpan | undefined, access: 'read' | 'write'): void {
    const { layout } = process;
    const write = access === 'write';
    for (const region of span === undefined ? [...layout.list] : layout.within(span)) {
      const { page, pages } = overlap(region, span);
      if (write && !region.writable) throw segfault(process, page, access, 'which is read-only');
      const reach = entryPages(region.sizeIndex + 2);
      const size = entryPages(region.sizeIndex + 1);
      const end = Math.ceil((page + pages) / size) * size;
      for (let next = firstPage(page, size); next < end; ) {
        const stop = Math.min(end, firstPage(next, reach) + reach);
        this.#populateTable(process, region, next, stop, write);
        next = stop;
      }
    }
  }

  /**
   * As {@link populate} for reads, page by page in the order listed.
   * @param pages GVA >> 12
   */
  populatePages(process: OwnProcess, pages: Float64Array): void {
    for (const page of pages) {
      if (!process.space.table.walk(page, this.#place)) this.handle(process, page, 'read');
    }
  }

  /** Pages of one region that go through one table page of its size. */
  #populateTable(process: OwnProcess, region: OwnRegion, first: number, end: number, write: boolean): void {
    const { table } = process.space;
    const fresh = !table.nextStretch(first, end, this.#stretch);
    const plain = region.shared === undefined && !this.#hugeWanted(region);
    if (fresh && plain) this.#mapFresh(process, region, first, end, write);
    else for (let page = first; page < end; ) page = this.#populatePage(process, region, page, write);
  }

  /** Maps pages where nothing is. */
  #mapFresh(process: OwnProcess, region: OwnRegion, first: number, end: number, write: boolean): void {
    const { platform, memory, ledger, ad } = this.#parts;
    const { sizeIndex, number } = region;
    const size = entryPages(sizeIndex + 1);
    const flags = flagsFor(region, sizeIndex, ad, write);
    platform.beginBatch();
    try {
      const { table } = process.space;
      table.mapRange(first / size, (end - first) / size, sizeIndex, flags, memory.source, number);
    } finally {
      platform.endBatch();
    }
    ledger.count('zeroedFrames', end - first);
    process.residentPages += end - first;
  }

  /** @returns the page behind what is mapped there now */
  #populatePage(process: OwnProcess, region: OwnRegion, page: number, write: boolean): number {
    const place = this.#place;
    const { table } = process.space;
    if (!table.walk(page, place)) this.#touch(process, region, page, place, write);
    else if (write && !place.writable) this.#unshare(process, region, page, place);
    table.walk(page, place);
    return place.page + entryPages(place.level);
  }

  /**
   * Maps the page of an address that nothing maps.
   * @param place where the walk for it ended
   */
  #touch(process: OwnProcess, region: OwnRegion, page: number, place: Place, write: boolean): void {
    if (region.shared !== undefined) this.#mapShared(process, region, page, place, write);
    else if (place.flags === ON_DISK) this.#mapSmall(process, region, place, write, 'majorFaults');
    else if (region.sizeIndex > 0) this.#mapNew(process, region, page, region.sizeIndex, write);
    else if (place.level === 1) this.#mapSmall(process, region, place, write, 'zeroedFrames');
    else if (!this.#mapHuge(process, region, page, write)) this.#mapNew(process, region, page, 0, write);
  }

  /** Maps a page of a size with a new frame, and takes the table pages that it needs. */
  #mapNew(process: OwnProcess, region: OwnRegion, page: number, sizeIndex: number, write: boolean): void {
    const { memory, ledger, ad } = this.#parts;
    const pages = entryPages(sizeIndex + 1);
    const flags = flagsFor(region, sizeIndex, ad, write);
    const number = Math.floor(page / pages);
    process.space.table.mapRange(number, 1, sizeIndex, flags, memory.source, region.number);
    ledger.count('zeroedFrames', pages);
    process.residentPages += pages;
  }

  /** Maps a 4 KiB page whose table page is there. @param cause how its contents come to be */
  #mapSmall(
    process: OwnProcess,
    region: OwnRegion,
    place: Place,
    write: boolean,
    cause: 'zeroedFrames' | 'majorFaults',
  ): void {
    const { memory, ledger, ad } = this.#parts;
    process.space.table.write(place, memory.take(region.number, 0), flagsFor(region, 0, ad, write));
    ledger.count(cause);
    process.residentPages++;
  }

  /**
   * Maps a huge page where the policy wants one: in a region that holds it whole, where no table page is yet, if there is a
   * frame (Linux: do_huge_pmd_anonymous_page).
   * @returns whether it did
   */
  #mapHuge(process: OwnProcess, region: OwnRegion, page: number, write: boolean): boolean {
    const { memory, ledger, ad } = this.#parts;
    const first = firstPage(page, HUGE_PAGES);
    if (!this.#hugeWanted(region) || first < region.page || first + HUGE_PAGES > spanEnd(region))
      return false;
    const frame = memory.tryTake(HUGE);
    if (frame < 0) return false;
    try {
      process.space.table.map(first / HUGE_PAGES, HUGE, frame, flagsFor(region, HUGE, ad, write));
    } catch (error) {
      memory.release(frame, HUGE);
      throw error;
    }
    ledger.count('zeroedFrames', HUGE_PAGES);
    process.residentPages += HUGE_PAGES;
    return true;
  }

  /** Maps a page of shared memory, with a new frame when it has none. */
  #mapShared(process: OwnProcess, region: OwnRegion, page: number, place: Place, write: boolean): void {
    const { memory, ledger, ad } = this.#parts;
    const { table } = process.space;
    const shared = region.shared!;
    const inside = region.sharedPage + page - region.page;
    if (place.level > 1) {
      table.leafTable(page, 1);
      table.walk(page, place);
    }
    let frame = shared.frame(inside);
    if (frame === undefined) {
      frame = memory.take(region.number, 0);
      shared.place(inside, frame);
      ledger.count('zeroedFrames');
    }
    if (memory.returnable) memory.share(frame, 0);
    table.write(place, frame, flagsFor(region, 0, ad, write));
    process.residentPages++;
  }

  /**
   * Makes a page writable that is mapped read-only in a region that may be written. Memory that is shared, or has one owner
   * (left), needs its entry changed only; else it is copied, a huge page in its 4 KiB parts (Linux from 5.8 on).
   * @param place where the walk for it ended
   */
  #unshare(process: OwnProcess, region: OwnRegion, page: number, place: Place): void {
    const { memory, ledger, processors } = this.#parts;
    const { table } = process.space;
    const sizeIndex = place.level - 1;
    const flags = place.flags | ENTRY.writable | TOUCHED;
    if (region.shared !== undefined || memory.exclusive(place.frame, sizeIndex)) {
      table.write(place, place.frame, flags);
      return;
    }
    if (sizeIndex > region.sizeIndex) {
      splitLeaf(this.#parts, process, place);
      table.walk(page, place);
      this.#unshare(process, region, page, place);
      return;
    }
    const copy = memory.take(region.number, sizeIndex);
    table.write(place, copy, flags);
    memory.release(place.frame, sizeIndex);
    ledger.count('copiedFrames', entryPages(place.level));
    processors.gone.add(place.page, place.level);
  }

  #hugeWanted({ shared, sizeIndex, hugePages }: OwnRegion): boolean {
    if (shared !== undefined || sizeIndex > 0) return false;
    const { hugePages: policy } = this.#parts;
    return policy === 'always' ? hugePages !== false : policy === 'madvise' && hugePages === true;
  }
}
