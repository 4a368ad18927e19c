/** The regions of one process, in ascending order. */
import type { PageSpan, Region, SharedMemory } from './region.ts';

/** A region as the kernel changes it. */
export interface OwnRegion extends Region {
  page: number;
  pages: number;
  writable: boolean;
  shared: SharedMemory | undefined;
  sharedPage: number;
  hugePages: boolean | undefined;
}

/** A region as another one is, at another place. All regions are made here, so that they have one shape in the engine. */
export function regionLike(
  like: Omit<Region, keyof PageSpan>,
  page: number,
  pages: number,
  sharedPage: number,
): OwnRegion {
  const { writable, shared, sizeIndex, hugePages, number } = like;
  return { page, pages, writable, shared, sharedPage, sizeIndex, hugePages, number };
}

/** Page behind a span. */
export const spanEnd = ({ page, pages }: PageSpan): number => page + pages;

/** Regions that do not overlap, in ascending order of their pages. */
export class Regions {
  readonly #list: OwnRegion[] = [];
  /** Index of the region found last: what is touched next is mostly there too. */
  #last = 0;

  get list(): readonly OwnRegion[] {
    return this.#list;
  }

  /** The region that a page lies in. */
  find(page: number): OwnRegion | undefined {
    const last = this.#list[this.#last];
    if (last !== undefined && page >= last.page && page < last.page + last.pages) return last;
    const index = this.#indexFrom(page);
    const region = this.#list[index];
    if (region === undefined || region.page > page) return undefined;
    this.#last = index;
    return region;
  }

  /** Regions that share a page with a span. */
  within({ page, pages }: PageSpan): OwnRegion[] {
    const first = this.#indexFrom(page);
    let end = first;
    while (end < this.#list.length && this.#list[end].page < page + pages) end++;
    return this.#list.slice(first, end);
  }

  /** The gap around a span in which no region lies: its first page, and the page behind it, at most `bound`. */
  gap({ page }: PageSpan, bound: number): { floor: number; ceiling: number } {
    const next = this.#indexFrom(page);
    const before = this.#list[next - 1];
    return {
      floor: before === undefined ? 0 : spanEnd(before),
      ceiling: this.#list[next]?.page ?? bound,
    };
  }

  /** First page of the lowest gap from `from` on that takes `pages` at a multiple of `unit`. */
  room(from: number, pages: number, unit: number): number {
    let page = Math.ceil(from / unit) * unit;
    for (let index = this.#indexFrom(page); index < this.#list.length; index++) {
      const region = this.#list[index];
      if (region.page >= page + pages) break;
      page = Math.ceil(spanEnd(region) / unit) * unit;
    }
    return page;
  }

  /** Puts a region in; nothing may be there yet. What it agrees with on either side becomes one with it. */
  add(region: OwnRegion): void {
    this.#list.splice(this.#indexFrom(region.page), 0, region);
    if (region.shared !== undefined) region.shared.views++;
    this.join(region);
  }

  /** Makes two regions of the one around a page, unless one begins there. @returns whether it did */
  cut(page: number): boolean {
    const index = this.#indexFrom(page);
    const region = this.#list[index];
    if (region === undefined || region.page >= page) return false;
    const pages = page - region.page;
    const rest = regionLike(region, page, region.pages - pages, region.sharedPage + pages);
    region.pages = pages;
    if (rest.shared !== undefined) rest.shared.views++;
    this.#list.splice(index + 1, 0, rest);
    return true;
  }

  /** Takes regions out that lie in a span whole. */
  remove({ page, pages }: PageSpan): OwnRegion[] {
    const first = this.#indexFrom(page);
    let end = first;
    while (end < this.#list.length && spanEnd(this.#list[end]) <= page + pages) end++;
    return this.#list.splice(first, end - first);
  }

  /** Makes one of neighbours that agree in everything, in a span and at its ends. */
  join({ page, pages }: PageSpan): void {
    let index = Math.max(1, this.#indexFrom(page));
    while (index < this.#list.length && this.#list[index].page <= page + pages) {
      const before = this.#list[index - 1];
      const region = this.#list[index];
      if (!agree(before, region)) {
        index++;
        continue;
      }
      before.pages += region.pages;
      if (region.shared !== undefined) region.shared.views--;
      this.#list.splice(index, 1);
    }
  }

  /** Index of the first region that ends behind a page. */
  #indexFrom(page: number): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (spanEnd(this.#list[middle]) > page) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function agree(before: OwnRegion, after: OwnRegion): boolean {
  return (
    spanEnd(before) === after.page &&
    before.writable === after.writable &&
    before.sizeIndex === after.sizeIndex &&
    before.hugePages === after.hugePages &&
    before.number === after.number &&
    before.shared === after.shared &&
    (before.shared === undefined || before.sharedPage + before.pages === after.sharedPage)
  );
}
