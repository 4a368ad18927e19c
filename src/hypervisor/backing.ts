/** The hypervisor's own knowledge of which host memory is behind the guest's, where no table in simulated memory says so. */
import { NestwalkError } from '../errors.ts';
import { entryPages, type FrameSource } from '../memory/pageTable.ts';
import { ENTRIES_PER_TABLE } from '../schema.ts';
import type { GuestFootprint } from './platform.ts';

/** Where host pages come from, and what guest memory they may be put behind. */
export interface BackingOptions {
  /** Page-size index of host pages. */
  sizeIndex: number;
  /** Where host frames come from. */
  frames: FrameSource;
  /** Where the guest has memory. */
  footprint: GuestFootprint;
}

/** Host pages taken at a time. */
const TAKEN_AT_A_TIME = ENTRIES_PER_TABLE;
/** Exclusive upper bound of the number of a host page: 16 TiB of 4 KiB pages. */
const HOST_PAGE_BOUND = 2 ** 32 - 1;

/**
 * GPA to HPA, in whole host pages: KVM's memory slots, Xen's p2m. One 32-bit number for each host page that the guest
 * can have, so that nothing is allocated while it runs.
 */
export class Backing {
  /** 4 KiB frames of a host page. */
  readonly framesPerPage: number;
  readonly #options: BackingOptions;
  /** Host pages of the guest's data, then of its tables, by their place; number of the host page + 1, 0: none yet. */
  readonly #hostPages: Uint32Array;
  readonly #dataPages: number;
  /** Guest pages, in host pages, where tables begin and end. */
  readonly #tablesFrom: number;
  readonly #tablesTo: number;
  readonly #taken = new Float64Array(TAKEN_AT_A_TIME);

  constructor(options: BackingOptions) {
    const { footprint, sizeIndex } = options;
    this.#options = options;
    this.framesPerPage = entryPages(sizeIndex + 1);
    this.#dataPages = Math.ceil(footprint.dataFrames / this.framesPerPage);
    const { base, frames } = footprint.guestZone;
    // A host page that holds the end of the data and the first tables is counted with the data.
    this.#tablesFrom = Math.max(this.#dataPages, Math.floor(base / this.framesPerPage));
    this.#tablesTo = Math.max(this.#tablesFrom, Math.ceil((base + frames) / this.framesPerPage));
    this.#hostPages = new Uint32Array(this.#dataPages + this.#tablesTo - this.#tablesFrom);
  }

  /**
   * The host frame behind a guest frame; -1 where there is none yet.
   * @param gpaFrame GPA >> 12, of guest memory
   */
  hostFrame(gpaFrame: number): number {
    const at = this.#placeOf(gpaFrame);
    const held = at < 0 ? 0 : this.#hostPages[at];
    return held === 0 ? -1 : (held - 1) * this.framesPerPage + (gpaFrame % this.framesPerPage);
  }

  /**
   * Puts host pages behind guest frames, where there are none yet, in ascending GPA.
   * @param gpaFrame the first, GPA >> 12
   * @param count guest frames
   * @param told of each host page put behind a guest page: the first frame of each
   * @returns host pages taken
   * @throws NestwalkError `memory.full`; `table.corrupt` where the guest has no memory
   */
  back(gpaFrame: number, count: number, told?: (gpaFrame: number, hostFrame: number) => void): number {
    const first = Math.floor(gpaFrame / this.framesPerPage);
    const end = Math.ceil((gpaFrame + count) / this.framesPerPage);
    let taken = 0;
    for (let page = first; page < end; ) {
      let bare = 0;
      while (bare < TAKEN_AT_A_TIME && page + bare < end && this.#hostPages[this.#at(page + bare)] === 0)
        bare++;
      if (bare > 0) this.#take(page, bare, told);
      taken += bare;
      // What ended the run of bare pages is backed already.
      page += bare < TAKEN_AT_A_TIME ? bare + 1 : bare;
    }
    return taken;
  }

  #take(first: number, count: number, told?: (gpaFrame: number, hostFrame: number) => void): void {
    const { frames, sizeIndex } = this.#options;
    frames.take(0, sizeIndex, count, this.#taken);
    for (let k = 0; k < count; k++) {
      const page = this.#taken[k] / this.framesPerPage;
      if (page >= HOST_PAGE_BOUND)
        throw new NestwalkError(
          'memory.full',
          'host memory has more than 2^32 pages of its size; use larger ones',
        );
      this.#hostPages[this.#at(first + k)] = page + 1;
      told?.((first + k) * this.framesPerPage, this.#taken[k]);
    }
  }

  /** Place of a guest page, in host pages. */
  #at(page: number): number {
    const at = this.#place(page);
    if (at >= 0) return at;
    throw new NestwalkError(
      'table.corrupt',
      `the guest's table leads to GPA 0x${(page * this.framesPerPage).toString(16)}000, which is no memory of the guest`,
    );
  }

  #placeOf(gpaFrame: number): number {
    return this.#place(Math.floor(gpaFrame / this.framesPerPage));
  }

  #place(page: number): number {
    if (page < this.#dataPages) return page;
    if (page >= this.#tablesFrom && page < this.#tablesTo) return page - this.#tablesFrom + this.#dataPages;
    return -1;
  }
}
