/** Paging, regions, and whether everything fits its address space (docs/model.md, "Addresses, entries, page tables"). */
import { PAGE_BYTES, type PageSize } from '../schema.ts';
import type { Path, Reader } from './problems.ts';
import { hasHostPages, type PagingConfig, type RegionConfig } from './resolved.ts';
import { PagingSchema, RegionSchema } from './schema.ts';
import { formatBytes } from './units.ts';

const GIB = 2 ** 30;
const PAGE = 4096;
/** An entry's frame field holds bits 12 to 51 of an address. */
const PHYSICAL_BYTES = 2 ** 52;
/** Guest memory of a trace where the configuration does not say. */
const TRACE_GUEST_MEMORY = 64 * GIB;

/** Bytes of an address space of so many levels. */
const spaceBytes = (levels: number): number => 2 ** (12 + 9 * levels);
const leafLevel = (size: PageSize): number => (Math.log2(PAGE_BYTES[size]) - 3) / 9;
const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** The paging section with its defaults. */
export function resolvePaging(reader: Reader): PagingConfig {
  const field = <Name extends keyof typeof PagingSchema.shape>(name: Name, otherwise: PagingConfig[Name]) =>
    (reader.read(['paging', name], PagingSchema.shape[name]) ?? otherwise) as PagingConfig[Name];
  const populate = field('populate', 'prefault')!;
  const guestMemory = field('guestMemory', undefined);
  const mode = field('mode', 'nested')!;
  const paging: PagingConfig = {
    mode,
    guestPage: field('guestPage', '4KiB')!,
    nestedPage: field('nestedPage', '4KiB')!,
    guestLevels: field('guestLevels', 4)!,
    nestedLevels: field('nestedLevels', 4)!,
    populate,
    placement: field('placement', 'contiguous')!,
    ad: field('ad', populate === 'prefault' ? 'set' : 'clear')!,
    ...(guestMemory === undefined ? {} : { guestMemory }),
    ...(mode === 'shadow' ? { unsync: field('unsync', false) } : {}),
    ...(mode === 'paravirt' ? { batch: field('batch', 32) } : {}),
  };
  checkLevels(reader, 'guestPage', paging.guestPage, 'guestLevels', paging.guestLevels);
  if (hasHostPages(mode))
    checkLevels(reader, 'nestedPage', paging.nestedPage, 'nestedLevels', paging.nestedLevels);
  if (guestMemory !== undefined && guestMemory % PAGE !== 0)
    reader.report(['paging', 'guestMemory'], wholePages(guestMemory));
  return paging;
}

function checkLevels(
  reader: Reader,
  pageField: string,
  size: PageSize,
  levelsField: string,
  levels: number,
): void {
  const sound = reader.sound(['paging', pageField]) && reader.sound(['paging', levelsField]);
  const level = leafLevel(size);
  if (sound && level > levels)
    reader.report(
      ['paging', pageField],
      `${size} is a leaf at level ${level}, but ${levelsField} is ${levels}: give ${levelsField} at least ${level}, or smaller pages`,
    );
}

/** Says that bytes are not whole 4 KiB pages, and which are nearest. */
export function wholePages(bytes: number): string {
  const below = Math.floor(bytes / PAGE) * PAGE;
  const nearest = below === 0 ? formatBytes(PAGE) : `${formatBytes(below)} or ${formatBytes(below + PAGE)}`;
  return `${formatBytes(bytes)} is not a multiple of 4KiB: give ${nearest}`;
}

/** A region as it is written or composed; `path` is where to complain about it. */
export interface UnplacedRegion {
  bytes: number;
  base?: number;
  path: Path;
}

/** The regions that a user lists; `undefined` in the place of one that is not sound. */
export function readRegions(reader: Reader): (UnplacedRegion | undefined)[] {
  const written = reader.raw(['regions']);
  if (!Array.isArray(written)) return [];
  return written.map((_, index) => {
    const path = ['regions', index];
    const region = reader.read(path, RegionSchema);
    if (!region) return undefined;
    if (region.bytes % PAGE !== 0) reader.report([...path, 'bytes'], wholePages(region.bytes));
    return { ...region, path };
  });
}

/** Where the first region begins that has no base of its own. */
const firstBase = (levels: number): number => (levels >= 4 ? 2 ** 40 : levels === 3 ? GIB : 0);

/**
 * Gives every region its base: its own, or the next 1 GiB boundary after a gap of 1 GiB behind the region listed
 * before it. Checks alignment, the guest's address space and overlaps.
 */
export function placeRegions(
  reader: Reader,
  unplaced: readonly UnplacedRegion[],
  paging: PagingConfig,
): RegionConfig[] {
  const page = PAGE_BYTES[paging.guestPage];
  const space = spaceBytes(paging.guestLevels);
  let next = firstBase(paging.guestLevels);
  const regions = unplaced.map(({ bytes, base = next, path }) => {
    const end = base + roundUp(bytes, page);
    next = roundUp(end, GIB) + GIB;
    if (base % page !== 0)
      reader.report(
        [...path, 'base'],
        `${hex(base)} is not aligned to the guest page of ${paging.guestPage}: give ${hex(roundUp(base, page))}`,
      );
    else if (end > space) reader.report(path, beyondGuest(base, bytes, paging.guestLevels));
    return { bytes, base };
  });
  checkOverlaps(reader, unplaced, regions, page);
  return regions;
}

const hex = (address: number): string => `0x${BigInt(address).toString(16)}`;

function beyondGuest(base: number, bytes: number, levels: number): string {
  const space = spaceBytes(levels);
  const room = formatBytes(Math.max(0, space - base));
  return (
    `${formatBytes(bytes)} from address ${hex(base)} do not fit the ${12 + 9 * levels} bits (${formatBytes(space)}) ` +
    `that ${levels} guest levels reach: ` +
    (base < space
      ? `at most ${room} fit there; give less, a lower base, or more guestLevels`
      : 'give a lower base, or more guestLevels')
  );
}

/** Regions may not share a guest page. */
function checkOverlaps(
  reader: Reader,
  unplaced: readonly UnplacedRegion[],
  regions: readonly RegionConfig[],
  page: number,
): void {
  const order = regions.map((_, index) => index).sort((a, b) => regions[a].base - regions[b].base || a - b);
  // The region that reaches furthest so far: one that contains several others is held against each.
  let furthest = order[0];
  for (const index of order.slice(1)) {
    const end = regions[furthest].base + roundUp(regions[furthest].bytes, page);
    if (regions[index].base < end) {
      const [later, earlier] = index > furthest ? [index, furthest] : [furthest, index];
      const { base, bytes } = regions[earlier];
      reader.report(
        unplaced[later].path,
        `overlaps regions[${earlier}], which takes ${formatBytes(roundUp(bytes, page))} from ${hex(base)}: move one of them`,
      );
    }
    if (regions[index].base + regions[index].bytes > regions[furthest].base + regions[furthest].bytes)
      furthest = index;
  }
}

/** Table pages of the guest's table when all regions are mapped: the root, and each table that a region reaches. */
export function tablePages(regions: readonly RegionConfig[], page: PageSize, levels: number): number {
  const sorted = [...regions].sort((a, b) => a.base - b.base);
  let pages = 1;
  for (let level = leafLevel(page); level < levels; level++) {
    const reach = spaceBytes(level);
    let last = -1;
    for (const { base, bytes } of sorted) {
      const first = Math.max(Math.floor(base / reach), last + 1);
      last = Math.max(last, Math.floor((base + bytes - 1) / reach));
      pages += Math.max(0, last - first + 1);
    }
  }
  return pages;
}

/** Bytes of guest physical memory: given, or the regions in whole guest pages; of a trace 64 GiB. */
function guestMemoryBytes(regions: readonly RegionConfig[], paging: PagingConfig, trace: boolean): number {
  if (trace) return paging.guestMemory ?? TRACE_GUEST_MEMORY;
  const sum = regions.reduce(
    (total, region) => total + roundUp(region.bytes, PAGE_BYTES[paging.guestPage]),
    0,
  );
  return Math.max(sum, paging.guestMemory ?? 0);
}

/**
 * Checks that guest memory and the guest's tables behind it fit the nested address space (native: physical memory).
 * A trace's tables grow as it is read: at least the root has to fit.
 */
export function checkPhysicalSpace(
  reader: Reader,
  regions: readonly RegionConfig[],
  paging: PagingConfig,
  blame: { path: Path; trace: boolean },
): void {
  const nested = hasHostPages(paging.mode);
  const unit = nested ? Math.min(GIB, spaceBytes(paging.nestedLevels - 1)) : GIB;
  const memory = guestMemoryBytes(regions, paging, blame.trace);
  const tables = (blame.trace ? 1 : tablePages(regions, paging.guestPage, paging.guestLevels)) * PAGE;
  const end = roundUp(memory, unit) + tables;
  const space = nested ? Math.min(PHYSICAL_BYTES, spaceBytes(paging.nestedLevels)) : PHYSICAL_BYTES;
  if (end <= space) return;
  const path: Path = paging.guestMemory === undefined ? blame.path : ['paging', 'guestMemory'];
  const reach =
    nested && space < PHYSICAL_BYTES
      ? `that ${paging.nestedLevels} nested levels reach`
      : 'that an entry can address';
  const source =
    blame.trace && paging.guestMemory === undefined
      ? ' (the default of a trace; paging.guestMemory sets it)'
      : '';
  const mend = nested && space < PHYSICAL_BYTES ? 'less memory, or more nestedLevels' : 'less memory';
  reader.report(
    path,
    `${formatBytes(memory)} of guest memory${source} and ${formatBytes(tables)} of guest tables behind it, at ` +
      `${hex(roundUp(memory, unit))}, do not fit the ${formatBytes(space)} ${reach}: give ${mend}`,
  );
}
