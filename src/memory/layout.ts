/**
 * Where everything lies in guest and host memory, worked out before a run from the configuration alone, so that addresses
 * are reproducible ("Layout" in docs/model.md). Guest data from GPA 0, then the zone of guest tables; host memory from
 * HPA 0, then the zone of nested tables, then room for a zone of shadow tables.
 */
import type { PagingConfig, RegionConfig, ResolvedConfig } from '../config/resolved.ts';
import { entryPage, hasHostPages, isTrace } from '../config/resolved.ts';
import { NestwalkError, type Problem } from '../errors.ts';
import { PAGE_BYTES, PAGE_SIZES } from '../schema.ts';
import { FRAME_BOUND } from './entry.ts';
import { entryPages, spacePages } from './pageTable.ts';
import type { ZonePlan } from './simulatedMemory.ts';
import { countDistinct, countTablePages, countTablePagesOfList, type PageRange } from './tableCount.ts';

/** Bytes of a 4 KiB frame. */
const FRAME_BYTES = 4096;
/** 4 KiB frames of 1 GiB. */
const GIB_FRAMES = 2 ** 18;
/** Guest memory beside a trace when the configuration names none: 64 GiB. */
const TRACE_GUEST_MEMORY_BYTES = 64 * 2 ** 30;

/** A region at the guest's page size. */
export interface LayoutRegion {
  /** First page, in units of the guest page. */
  page: number;
  /** Guest pages, the last one whole. */
  pages: number;
}

/** The host's side of a layout with host pages of their own: behind a nested or a shadow table. Frames are of 4 KiB. */
export interface NestedLayout {
  /** Page-size index of host pages: nested pages, or what a hypervisor with shadow tables allocates. */
  sizeIndex: number;
  /** Host pages that the fully populated guest (data, then tables) is backed with. */
  pages: number;
  /** Host memory: frames that may back guest pages. */
  memoryFrames: number;
  /** Zone of the nested table, in HPA space; behind shadow tables address space that nothing uses. */
  zone: ZonePlan;
  /** First frame of a zone of shadow tables, in HPA space: behind the fully populated nested table. */
  shadowZoneBase: number;
}

/** Exclusive upper bounds of what can occur in a run, tables included. */
export interface Bounds {
  /** GVA >> 12. */
  pageBound: number;
  /** GPA >> 12; where the hardware walks one table, the same as {@link Bounds.hostFrameBound}. */
  guestFrameBound: number;
  /** HPA >> 12. */
  hostFrameBound: number;
}

/** A layout. Frames are of 4 KiB. */
export interface Layout {
  /** Zones start at multiples of this many frames. */
  unitFrames: number;
  /** Page-size index of guest pages. */
  guestSizeIndex: number;
  /** Regions in the order of the configuration; of a trace, its whole address space. */
  regions: LayoutRegion[];
  /** Frames from GPA 0 that hold data once every page is mapped. */
  dataFrames: number;
  /** Guest memory: frames that may hold data. */
  memoryFrames: number;
  /** Zone of the guest's (natively: the only) table, in GPA space (natively: in HPA space). */
  guestZone: ZonePlan;
  /** `null` where there are no host pages: native and paravirtual runs. */
  nested: NestedLayout | null;
  /** Zone of the shadow table of a fully populated guest, in HPA space; `null` in other modes. */
  shadow: ZonePlan | null;
  bounds: Bounds;
}

/** What the guest maps when fully populated. */
interface Footprint {
  regions: LayoutRegion[];
  dataFrames: number;
  tablePages: number;
  pageBound: number;
}

/**
 * Works out the layout of a run.
 * @param config a resolved configuration
 * @param tracePages beside a trace: the 4 KiB pages (GVA >> 12) that its run touches, in the order of first touch
 * @throws NestwalkError `config.invalid` when something does not fit its address space; `memory.full` when a trace needs
 *   more frames than its memory holds
 */
export function planLayout(config: ResolvedConfig, tracePages?: Float64Array): Layout {
  const { paging } = config;
  const trace = isTrace(config.workload);
  const guestSizeIndex = PAGE_SIZES.indexOf(paging.guestPage);
  const footprint = trace ? footprintOfTrace(paging, tracePages) : footprintOfRegions(config);
  const memoryBytes = trace
    ? (paging.guestMemory ?? TRACE_GUEST_MEMORY_BYTES)
    : Math.max(paging.guestMemory ?? 0, footprint.dataFrames * FRAME_BYTES);
  const memoryFrames = Math.floor(memoryBytes / FRAME_BYTES);
  if (footprint.dataFrames > memoryFrames) throw guestFull(paging, footprint.dataFrames, memoryBytes);

  const unitFrames = unitOf(paging);
  const guestZone = {
    name: paging.mode === 'native' ? 'page-table zone' : 'guest table zone',
    base: roundUp(Math.ceil(memoryBytes / FRAME_BYTES), unitFrames),
    frames: footprint.tablePages,
  };
  const nested = hasHostPages(paging.mode)
    ? planNested(paging, footprint.dataFrames, guestZone, unitFrames, trace ? 2 * memoryBytes : undefined)
    : null;
  const shadow =
    paging.mode === 'shadow' ? planShadow(paging, footprint, guestSizeIndex, nested!.shadowZoneBase) : null;
  checkSpaces(paging, guestZone, shadow ?? nested?.zone ?? guestZone);
  const bounds = boundsOf(footprint.pageBound, guestZone, nested, shadow);
  const { regions, dataFrames } = footprint;
  return { unitFrames, guestSizeIndex, regions, dataFrames, memoryFrames, guestZone, nested, shadow, bounds };
}

/** Frames of a unit: what one root entry of the nested table reaches, at most 1 GiB; without host pages 1 GiB. */
function unitOf(paging: PagingConfig): number {
  return !hasHostPages(paging.mode) ? GIB_FRAMES : Math.min(GIB_FRAMES, entryPages(paging.nestedLevels));
}

function footprintOfRegions(config: ResolvedConfig): Footprint {
  const { guestPage, guestLevels } = config.paging;
  const bytes = PAGE_BYTES[guestPage];
  const sizeIndex = PAGE_SIZES.indexOf(guestPage);
  const framesPerPage = bytes / FRAME_BYTES;
  const regions = config.regions.map((region) => ({
    page: region.base / bytes,
    pages: Math.ceil(region.bytes / bytes),
  }));
  checkRegions(config.regions, regions, framesPerPage, guestLevels);
  const ranges: PageRange[] = regions.map((region) => ({
    first: region.page * framesPerPage,
    count: region.pages * framesPerPage,
  }));
  return {
    regions,
    dataFrames: ranges.reduce((frames, range) => frames + range.count, 0),
    tablePages: countTablePages(ranges, sizeIndex, guestLevels),
    pageBound: ranges.reduce((bound, range) => Math.max(bound, range.first + range.count), 0),
  };
}

function footprintOfTrace(paging: PagingConfig, tracePages: Float64Array | undefined): Footprint {
  if (tracePages === undefined)
    throw new TypeError('a trace needs the list of the pages that its run touches');
  const sizeIndex = PAGE_SIZES.indexOf(paging.guestPage);
  const framesPerPage = PAGE_BYTES[paging.guestPage] / FRAME_BYTES;
  const ascending = tracePages.toSorted();
  const last = ascending.length === 0 ? -1 : ascending[ascending.length - 1];
  return {
    // The lower, canonical half of the address space is the one region that a trace has: 11 + 9n address bits.
    regions: [{ page: 0, pages: spacePages(paging.guestLevels) / 2 / framesPerPage }],
    dataFrames: countDistinct(ascending, framesPerPage) * framesPerPage,
    tablePages: countTablePagesOfList(ascending, sizeIndex, paging.guestLevels),
    pageBound: (Math.floor(last / framesPerPage) + 1) * framesPerPage,
  };
}

/** @param memoryBytes host memory beside a trace; otherwise host memory is what the guest needs */
function planNested(
  paging: PagingConfig,
  dataFrames: number,
  guestZone: ZonePlan,
  unitFrames: number,
  memoryBytes: number | undefined,
): NestedLayout {
  const sizeIndex = PAGE_SIZES.indexOf(paging.nestedPage);
  const framesPerPage = PAGE_BYTES[paging.nestedPage] / FRAME_BYTES;
  const pages = Math.ceil(dataFrames / framesPerPage) + Math.ceil(guestZone.frames / framesPerPage);
  const memoryFrames =
    memoryBytes === undefined ? pages * framesPerPage : Math.floor(memoryBytes / FRAME_BYTES);
  if (pages * framesPerPage > memoryFrames) throw hostFull(paging, pages, memoryFrames);
  const ranges = [
    { first: 0, count: dataFrames },
    { first: guestZone.base, count: guestZone.frames },
  ];
  const zone = {
    name: 'nested table zone',
    base: roundUp(memoryFrames, unitFrames),
    frames: countTablePages(ranges, sizeIndex, paging.nestedLevels),
  };
  return {
    sizeIndex,
    pages,
    memoryFrames,
    zone,
    shadowZoneBase: roundUp(zone.base + zone.frames, unitFrames),
  };
}

/** A table of the guest's levels over the same pages, with leaves of the smaller size: below each large leaf of the guest tables. */
function planShadow(
  paging: PagingConfig,
  { tablePages, dataFrames }: Footprint,
  guestSizeIndex: number,
  base: number,
): ZonePlan {
  let frames = tablePages;
  for (let level = PAGE_SIZES.indexOf(entryPage(paging)) + 1; level <= guestSizeIndex; level++)
    frames += dataFrames / entryPages(level + 1);
  return { name: 'shadow table zone', base, frames };
}

const endOf = (zone: ZonePlan): number => zone.base + zone.frames;

function boundsOf(
  pageBound: number,
  guestZone: ZonePlan,
  nested: NestedLayout | null,
  shadow: ZonePlan | null,
): Bounds {
  const hostFrameBound = endOf(shadow ?? nested?.zone ?? guestZone);
  return { pageBound, guestFrameBound: shadow ? hostFrameBound : endOf(guestZone), hostFrameBound };
}

function checkRegions(
  given: readonly RegionConfig[],
  regions: readonly LayoutRegion[],
  framesPerPage: number,
  levels: number,
): void {
  const problems: Problem[] = [];
  regions.forEach((region, index) => {
    const end = (region.page + region.pages) * framesPerPage;
    if (end <= spacePages(levels)) return;
    problems.push({
      path: `regions[${index}]`,
      message:
        `its ${given[index].bytes} bytes from 0x${given[index].base.toString(16)} end beyond the address space of ` +
        `${levels} levels, 2^${12 + 9 * levels} bytes; use a lower base, fewer bytes or more paging.guestLevels`,
    });
  });
  throwProblems(problems);
}

/** @param last the zone of table pages that ends last in HPA space */
function checkSpaces(paging: PagingConfig, guestZone: ZonePlan, last: ZonePlan): void {
  const problems: Problem[] = [];
  const hosted = hasHostPages(paging.mode);
  const guestSpace = hosted ? Math.min(FRAME_BOUND, spacePages(paging.nestedLevels)) : FRAME_BOUND;
  if (endOf(guestZone) > guestSpace) {
    problems.push({
      path: hosted ? 'paging.nestedLevels' : 'paging.guestMemory',
      message:
        `guest memory and the guest's tables end at 0x${endOf(guestZone).toString(16)}000, beyond the physical ` +
        `address space of 0x${guestSpace.toString(16)}000 bytes; use fewer or smaller regions, a smaller ` +
        `paging.guestMemory${hosted ? ', or more paging.nestedLevels' : ''}`,
    });
  }
  if (endOf(last) > FRAME_BOUND && hosted) {
    problems.push({
      path: 'paging.guestMemory',
      message: `host memory and ${paging.mode} tables end beyond 2^52 bytes; use a smaller paging.guestMemory or smaller regions`,
    });
  }
  throwProblems(problems);
}

function throwProblems(problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const lines = problems.map((problem) => `${problem.path}: ${problem.message}`);
  throw new NestwalkError('config.invalid', lines.join('\n'), { problems });
}

function guestFull(paging: PagingConfig, dataFrames: number, memoryBytes: number): NestwalkError {
  const pages = (dataFrames * FRAME_BYTES) / PAGE_BYTES[paging.guestPage];
  return new NestwalkError(
    'memory.full',
    `the trace touches ${pages} guest pages of ${paging.guestPage}, and guest memory of ${memoryBytes} bytes holds ` +
      `${Math.floor(memoryBytes / PAGE_BYTES[paging.guestPage])}; give a larger paging.guestMemory or fewer accesses`,
  );
}

function hostFull(paging: PagingConfig, pages: number, memoryFrames: number): NestwalkError {
  const held = Math.floor((memoryFrames * FRAME_BYTES) / PAGE_BYTES[paging.nestedPage]);
  return new NestwalkError(
    'memory.full',
    `the guest's data and tables take ${pages} nested pages of ${paging.nestedPage}, and host memory (twice ` +
      `paging.guestMemory) holds ${held}; give a larger paging.guestMemory or use smaller nested pages`,
  );
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
