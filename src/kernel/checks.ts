/** Checks of what users ask of a kernel: every refusal says what was asked, what is there, and what to do. */
import { entryPages, spacePages } from '../memory/pageTable.ts';
import { MAX_TABLE_LEVELS, MIN_TABLE_LEVELS, PAGE_SIZES } from '../schema.ts';
import { HUGE_PAGE_POLICIES, overlap } from './parts.ts';
import type { OwnProcess } from './process.ts';
import { type PageSpan, regionsText, spanText, usage } from './region.ts';
import { spanEnd } from './regions.ts';

/**
 * Checks where a region is to lie.
 * @throws NestwalkError `usage` when it leaves the address space, or lies over another
 */
export function checkRoom(process: OwnProcess, span: PageSpan, levels: number): void {
  if (spanEnd(span) > spacePages(levels)) {
    throw usage(
      `a region ${spanText(span)} of ${process} ends beyond the address space of ${levels} levels, ` +
        `2^${12 + 9 * levels} bytes; make it smaller or begin lower`,
    );
  }
  const [other] = process.layout.within(span);
  if (other === undefined) return;
  throw usage(
    `a region ${spanText(span)} of ${process} lies over its region ${spanText(other)}; munmap that first`,
  );
}

/**
 * Checks a span that a system call names.
 * @param what the call, for the message
 * @param covered whether all of it, or any, has to lie in regions
 * @throws NestwalkError `usage`
 */
export function checkSpan(process: OwnProcess, span: PageSpan, what: string, covered: 'all' | 'any'): void {
  const { page, pages } = span;
  const whole = Number.isInteger(page) && Number.isInteger(pages) && page >= 0 && pages > 0;
  if (!whole)
    throw usage(
      `${what} of ${process} names page ${page} and ${pages} pages; give whole numbers, pages above 0`,
    );
  const regions = process.layout.within(span);
  const inside = regions.reduce((sum, region) => sum + overlap(region, span).pages, 0);
  if (covered === 'all' ? inside < pages : inside === 0) {
    throw usage(
      `${what} of ${process} names ${spanText(span)}, of which ${inside === 0 ? 'nothing' : 'not all'} lies in a ` +
        `region; its regions: ${regionsText(process.regions)}`,
    );
  }
  for (const region of regions) {
    const unit = entryPages(region.sizeIndex + 1);
    const part = overlap(region, span);
    if (part.page % unit === 0 && part.pages % unit === 0) continue;
    throw usage(
      `${what} of ${process} names ${spanText(span)}, which cuts a page of the region ${spanText(region)}; that has ` +
        `pages of ${PAGE_SIZES[region.sizeIndex]}, so begin and end at multiples of ${unit} pages`,
    );
  }
}

/** What a program in JavaScript may get wrong. */
export function checkOptions({ levels, hugePages }: { levels: number; hugePages: string }): void {
  if (!(Number.isInteger(levels) && levels >= MIN_TABLE_LEVELS && levels <= MAX_TABLE_LEVELS))
    throw usage(
      `a kernel cannot have tables of ${levels} levels; give ${MIN_TABLE_LEVELS} to ${MAX_TABLE_LEVELS}`,
    );
  if (!HUGE_PAGE_POLICIES.some((policy) => policy === hugePages))
    throw usage(`hugePages of a kernel is ${hugePages}; allowed are ${HUGE_PAGE_POLICIES.join(', ')}`);
}
