/** Regions of a process (Linux: VMAs), as users name them and as the kernel keeps them. */
import { NestwalkError } from '../errors.ts';
import { PAGE_BYTES, PAGE_SIZES, type PageSize } from '../schema.ts';

/** Consecutive pages of an address space, in pages of 4 KiB whatever size they are mapped in. */
export interface PageSpan {
  /** First page, GVA >> 12. */
  readonly page: number;
  /** 4 KiB pages. */
  readonly pages: number;
}

/** A region to be made. Exactly one of `pages` and `bytes` is given. */
export interface RegionOptions {
  /** Its size in pages of 4 KiB; rounded up to `pageSize`. */
  pages?: number;
  /** Its size in bytes; rounded up to `pageSize`. */
  bytes?: number;
  /**
   * Where it begins, GVA >> 12, a multiple of `pageSize`. Default: the lowest gap in which it fits, from GVA 2^40 on (with
   * 3 levels from 2^30, with 2 from 0), at a multiple of 2 MiB when it has that much; in an executable, behind the region
   * named before it.
   */
  page?: number;
  /** Whether it may be written. Default: true. */
  writable?: boolean;
  /**
   * Memory that processes see in common, which fork does not copy: `true` for new memory that is this process's and its
   * children's, or memory that another region shows already, from its first page on. Default: memory of its own.
   */
  shared?: boolean | SharedMemory;
  /**
   * The one size that it is mapped in. Larger ones than 4 KiB (the default) are as Linux's hugetlbfs: there is no smaller
   * page in their place when no such frame is free.
   */
  pageSize?: PageSize;
  /** Advice as madvise gives it: whether it is to have huge pages. Default: none was given. */
  hugePages?: boolean;
}

/** A region as it is now. Regions that touch and agree in everything are one; those of an executable never agree. */
export interface Region extends PageSpan {
  /** Whether it may be written. */
  readonly writable: boolean;
  /** What it shows, when that is shared. */
  readonly shared: SharedMemory | undefined;
  /** Page of {@link Region.shared} that its first page shows. */
  readonly sharedPage: number;
  /** Page-size index of the one size that it is mapped in; 0 with huge pages too. */
  readonly sizeIndex: number;
  /** Advice given. */
  readonly hugePages: boolean | undefined;
  /** Its number among the regions of its executable, from 0, which a `FrameSource` is told; of one of mmap -1. */
  readonly number: number;
}

/** Memory that several processes map. Its frames stay while any region shows it. */
export class SharedMemory {
  /** Pages of 4 KiB. */
  readonly pages: number;
  /** Regions that show it; the kernel's own count. */
  views = 0;
  readonly #frames = new Map<number, number>();

  constructor(pages: number) {
    this.pages = pages;
  }

  /** Frame of a page, if it has one. */
  frame(page: number): number | undefined {
    return this.#frames.get(page);
  }

  /** Puts a frame behind a page that has none. */
  place(page: number, frame: number): void {
    this.#frames.set(page, frame);
  }

  /** Takes all frames out, one after the other in the order in which they came. */
  empty(give: (frame: number) => void): void {
    this.#frames.forEach(give);
    this.#frames.clear();
  }
}

/** 4 KiB pages of a page of a size index. */
const pagesOfSize = (sizeIndex: number): number => PAGE_BYTES[PAGE_SIZES[sizeIndex]] / PAGE_BYTES['4KiB'];

/** What {@link checkedRegion} makes of options: everything but the place. */
export interface RegionShape {
  /** 4 KiB pages. */
  pages: number;
  /** Where it is to begin, if that was said. */
  page: number | undefined;
  /** See {@link Region}. */
  writable: boolean;
  /** See {@link RegionOptions}. */
  shared: boolean | SharedMemory;
  /** See {@link Region}. */
  sizeIndex: number;
  /** See {@link Region}. */
  hugePages: boolean | undefined;
}

/**
 * Checks what a user says of a region.
 * @param who whose region it is to be, for messages
 * @throws NestwalkError `usage`
 */
export function checkedRegion(options: RegionOptions, who: { toString(): string }): RegionShape {
  const { page, shared = false, writable = true, pageSize = '4KiB', hugePages } = options;
  const sizeIndex = PAGE_SIZES.indexOf(pageSize);
  if (sizeIndex < 0) {
    throw usage(`a region of ${who} has pageSize ${String(pageSize)}; allowed are ${PAGE_SIZES.join(', ')}`);
  }
  const unit = pagesOfSize(sizeIndex);
  const pages = Math.ceil(sizeOf(options, who) / unit) * unit;
  if (page !== undefined && !(Number.isInteger(page / unit) && page >= 0)) {
    throw usage(
      `a region of ${who} is to begin at page ${page}; give a whole number from 0 on` +
        (unit > 1 ? `, a multiple of ${unit} for pages of ${pageSize}` : ''),
    );
  }
  if (shared !== false && sizeIndex > 0)
    throw usage(
      `a region of ${who} is to be shared and of ${pageSize} pages; shared memory has pages of 4KiB`,
    );
  if (typeof shared === 'object' && shared.pages < pages) {
    throw usage(
      `a region of ${who} has ${pages} pages, and the shared memory that it is to show has ${shared.pages}; give fewer`,
    );
  }
  return { pages, page, writable, shared, sizeIndex, hugePages };
}

/** Size in pages, perhaps not whole. */
function sizeOf({ pages, bytes }: RegionOptions, who: { toString(): string }): number {
  if ((pages === undefined) === (bytes === undefined))
    throw usage(`a region of ${who} needs its size: give either pages (of 4 KiB) or bytes`);
  const size = pages ?? bytes! / PAGE_BYTES['4KiB'];
  const whole = pages === undefined ? Number.isFinite(size) : Number.isInteger(size);
  if (!(whole && size > 0)) {
    throw usage(
      `a region of ${who} has ${pages ?? bytes} ${pages === undefined ? 'bytes' : 'pages'}; give a number above 0`,
    );
  }
  return size;
}

/** A wrong call of the kernel. */
export function usage(message: string): NestwalkError {
  return new NestwalkError('usage', message);
}

/** A span as text: `0x10000000000-0x10000005000`. */
export function spanText({ page, pages }: PageSpan): string {
  return `${addressText(page)}-${addressText(page + pages)}`;
}

/** Regions that a message lists. */
const LISTED = 8;

/** Regions as text: `0x10000000000-0x10000005000 rw, …`. */
export function regionsText(regions: readonly Region[]): string {
  if (regions.length === 0) return 'none';
  const listed = regions
    .slice(0, LISTED)
    .map((region) => `${spanText(region)} ${region.writable ? 'rw' : 'r'}`)
    .join(', ');
  return regions.length > LISTED ? `${listed} and ${regions.length - LISTED} more` : listed;
}

/** The address of a page as text: `0x10000005000`. */
export function addressText(page: number): string {
  return `0x${(BigInt(page) * 4096n).toString(16)}`;
}
