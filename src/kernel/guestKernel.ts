/**
 * A minimal guest kernel: one process with anonymous regions, mapped all at once before the run (prefault) or at the
 * first touch (demand). It knows guest-physical frames only; every table write goes through its platform.
 */
import { NestwalkError } from '../errors.ts';
import { leafFlags, tableFlags } from '../memory/entry.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import { entryPages, type FrameSource } from '../memory/pageTable.ts';
import type { Zone } from '../memory/simulatedMemory.ts';
import { ENTRY } from '../schema.ts';
import type { AddressSpace, PagingPlatform } from './pagingPlatform.ts';

/** A region of the process, in units of the guest page. */
export interface KernelRegion {
  page: number;
  pages: number;
}

/** What a kernel is started with. */
export interface GuestKernelOptions {
  platform: PagingPlatform;
  /** Where its table pages come from. */
  zone: Zone;
  levels: number;
  tag: number;
  /** Page-size index of all its pages. */
  sizeIndex: number;
  /** In the order of the configuration, which numbers them; they do not overlap. */
  regions: readonly KernelRegion[];
  /** Where its data frames come from. */
  frames: FrameSource;
  /** A and D of the entries that it writes. */
  ad: 'set' | 'clear';
}

/** The guest kernel, with the address space of its one process loaded. */
export class GuestKernel {
  readonly space: AddressSpace;
  readonly #platform: PagingPlatform;
  readonly #regions: readonly KernelRegion[];
  readonly #frames: FrameSource;
  readonly #sizeIndex: number;
  readonly #framesPerPage: number;
  readonly #leafFlags: number;

  /** @throws NestwalkError `memory.full` when there is no frame for the root */
  constructor(options: GuestKernelOptions) {
    const { platform, zone, levels, tag, ad, sizeIndex } = options;
    this.#platform = platform;
    this.#regions = options.regions;
    this.#frames = options.frames;
    this.#sizeIndex = sizeIndex;
    this.#framesPerPage = entryPages(sizeIndex + 1);
    this.#leafFlags = leafFlags(ad, sizeIndex);
    this.space = platform.createAddressSpace({ tag, levels, zone, tableFlags: tableFlags(ad) });
    platform.switchTo(this.space);
  }

  /**
   * Maps all regions, in ascending order of their addresses.
   * @throws NestwalkError `memory.full`
   */
  prefault(): void {
    const ascending = this.#regions.map((region, index) => ({ ...region, index }));
    ascending.sort((a, b) => a.page - b.page);
    this.#platform.beginBatch();
    for (const { page, pages, index } of ascending) this.#map(page, pages, index, this.#leafFlags);
    this.#platform.endBatch();
  }

  /**
   * Maps the guest page of each 4 KiB page listed, in that order, unless it is mapped already.
   * @param pages GVA >> 12
   * @throws NestwalkError `memory.full`
   */
  prefaultPages(pages: Float64Array): void {
    this.#platform.beginBatch();
    for (const page of pages) {
      if (this.space.table.mapped(page)) continue;
      const guestPage = Math.floor(page / this.#framesPerPage);
      this.#map(guestPage, 1, this.#regionOf(guestPage, page), this.#leafFlags);
    }
    this.#platform.endBatch();
  }

  /**
   * Handles a page fault: maps the guest page of the address. As in Linux, an entry made for a write is accessed and
   * dirty at once.
   * @throws NestwalkError `memory.full`; `engine.failed` for a fault that this kernel cannot have caused
   */
  onFault(fault: Fault): void {
    if (this.space.table.mapped(fault.page)) {
      throw unexpected(
        `a ${fault.access} of page 0x${fault.page.toString(16)} faulted though the guest maps it`,
      );
    }
    const guestPage = Math.floor(fault.page / this.#framesPerPage);
    const region = this.#regionOf(guestPage, fault.page);
    const touched = fault.access === 'write' ? ENTRY.accessed | ENTRY.dirty : 0;
    this.#platform.beginBatch();
    this.#map(guestPage, 1, region, this.#leafFlags | touched);
    this.#platform.endBatch();
  }

  #map(page: number, pages: number, region: number, flags: number): void {
    this.space.table.mapRange(page, pages, this.#sizeIndex, flags, this.#frames, region);
  }

  #regionOf(guestPage: number, page: number): number {
    const index = this.#regions.findIndex((r) => guestPage >= r.page && guestPage < r.page + r.pages);
    if (index < 0) throw unexpected(`page 0x${page.toString(16)} was accessed and lies in no region`);
    return index;
  }
}

function unexpected(what: string): NestwalkError {
  return new NestwalkError('engine.failed', `the guest kernel cannot go on: ${what}`);
}
