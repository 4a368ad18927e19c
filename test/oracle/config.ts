/**
 * The whole form of a configuration, as a file may hold it, and its plain reading: bytes and sizes as numbers,
 * every default applied. Part of the oracle, the slow third implementation of docs/model.md; it shares no code
 * with the engines, so that a common mistake cannot hide.
 */

export type Kind = 'read' | 'write' | 'fetch';
export type Policy = 'lru' | 'fifo' | 'plru' | 'nru' | 'srrip' | 'random';
/** How a page picks its set. */
export type Indexing = 'low' | 'xor';
export type Ways = number | 'full';

/** One access of a trace: the guest virtual address in bytes. */
export interface TraceAccess {
  address: bigint;
  kind: Kind;
}

/** `{entries, ways}`, as PSC levels, the nested TLB and the PWC have it. */
export interface Geometry {
  entries: number;
  ways: Ways;
}

export interface WholeTlb extends Geometry {
  sizes: (string | number)[];
  replacement?: Policy;
  index?: Indexing;
}

export interface WholePsc {
  l2?: Geometry;
  l3?: Geometry;
  l4?: Geometry;
  l5?: Geometry;
  latency?: number;
}

export interface WholePteCache {
  name: string;
  size: string | number;
  ways: Ways;
  line: string | number;
  latency?: number;
}

export interface WholeMachine {
  l1d?: WholeTlb[];
  l1i?: WholeTlb[];
  stlb?: WholeTlb[];
  psc?: WholePsc;
  nestedPsc?: WholePsc;
  ntlb?: Geometry & { holds?: 'all' | 'tables'; latency?: number };
  pwc?: Geometry & { holds?: '1d' | '2d' | '2d+nt'; latency?: number };
  caches?: WholePteCache[];
  memoryLatency?: number;
  stlbLatency?: number;
  dataThroughCaches?: boolean;
  nestedAD?: boolean;
  tagged?: string[];
}

export interface WholePaging {
  mode?: string;
  guestPage?: string | number;
  nestedPage?: string | number;
  guestLevels?: number;
  nestedLevels?: number;
  populate?: 'prefault' | 'demand';
  placement?: 'contiguous' | 'scattered';
  ad?: 'set' | 'clear';
  guestMemory?: string | number;
  unsync?: boolean;
  /** No count of a run depends on it: the only updates that are not before the run are those of single faults. */
  batch?: number;
}

/** A pattern, a composition of patterns, or a trace (`trace` given). Fields that a pattern has no use for are absent. */
export interface WholeWorkload {
  pattern?: string;
  region?: number;
  writeFraction?: number;
  bytes?: string | number;
  theta?: number;
  clustered?: boolean;
  hot?: number;
  weight?: number;
  pages?: number;
  shift?: number;
  every?: number;
  fanout?: number;
  levels?: number;
  k?: number;
  of?: WholeWorkload;
  weights?: number[];
  lengths?: number[];
  parts?: WholeWorkload[];
  trace?: unknown;
  format?: string;
  fetches?: boolean;
}

export interface WholeConfig {
  seed?: number | string;
  accesses?: number;
  optional?: string[];
  machine?: WholeMachine;
  paging?: WholePaging;
  context?: { tag?: number; vm?: number };
  regions?: { bytes: string | number; base?: string | number }[];
  workload: WholeWorkload;
  [other: string]: unknown;
}

/** The names of the page sizes, and the 4 KiB frames in a page of each. */
export const PAGE_SIZES = [
  { name: '4KiB', level: 1, frames: 1 },
  { name: '2MiB', level: 2, frames: 512 },
  { name: '1GiB', level: 3, frames: 512 * 512 },
] as const;

export type PageSize = (typeof PAGE_SIZES)[number];

/** A region of the guest's address space, in 4 KiB pages; `frames` is rounded up to the guest page. */
export interface Region {
  firstPage: number;
  bytes: number;
  frames: number;
}

/** How a guest is paged (docs/model.md). */
export const MODES = ['native', 'nested', 'shadow', 'paravirt'] as const;
export type Mode = (typeof MODES)[number];

export interface Settings {
  seed: bigint;
  accesses: number | undefined;
  unique: boolean;
  reuse: boolean;
  mode: Mode;
  /** Whether guest-physical memory has host pages behind it: GPA space and HPA space differ. */
  hosted: boolean;
  /** Shadow paging: whether a table of level 1 may go out of sync. */
  unsync: boolean;
  guestPage: PageSize;
  nestedPage: PageSize;
  guestLevels: number;
  nestedLevels: number;
  prefault: boolean;
  scattered: boolean;
  /** Whether the software writes entries with A (and D in leaves) set. */
  adSet: boolean;
  guestMemoryBytes: number | undefined;
  tag: number;
  vm: number;
  vpid: boolean;
  nestedAD: boolean;
  regions: Region[];
  workload: WholeWorkload;
  tracing: boolean;
  machine: WholeMachine;
}

const UNITS: Record<string, number> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** Bytes from a number, a decimal or hexadecimal string, or one with a binary unit. */
export function toBytes(value: string | number): number {
  if (typeof value === 'number') return value;
  if (/^0x/i.test(value)) return Number(BigInt(value));
  const match = /^\s*([0-9.]+(?:[eE][+]?[0-9]+)?)\s*(B|KiB|MiB|GiB|TiB)?\s*$/.exec(value);
  if (!match) throw new Error(`oracle: "${value}" is not a number of bytes`);
  return Number(match[1]) * UNITS[match[2] ?? 'B'];
}

/** The page size of that many bytes. */
export function toPageSize(value: string | number): PageSize {
  const bytes = toBytes(value);
  const size = PAGE_SIZES.find((candidate) => candidate.frames * 4096 === bytes);
  if (!size) throw new Error(`oracle: no page size has ${value} bytes`);
  return size;
}

/** The number of ways of a geometry; `full` means all entries. */
export function toWays(geometry: Geometry): number {
  return geometry.ways === 'full' ? geometry.entries : geometry.ways;
}

export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

const GIB_FRAMES = 512 * 512;

/** Where regions without a base of their own lie: after the region before them in the list. */
function placeRegions(config: WholeConfig, guestPage: PageSize, guestLevels: number): Region[] {
  let next = guestLevels >= 4 ? 2 ** 28 : guestLevels === 3 ? GIB_FRAMES : 0;
  const regions = (config.regions ?? []).map(({ bytes, base }) => {
    const firstPage = base === undefined ? next : Number(BigInt(base) / 4096n);
    const byteCount = toBytes(bytes);
    const frames = roundUp(byteCount / 4096, guestPage.frames);
    next = roundUp(firstPage + frames + GIB_FRAMES, GIB_FRAMES);
    return { firstPage, bytes: byteCount, frames };
  });
  checkRegions(regions, guestPage, guestLevels);
  return regions;
}

function checkRegions(regions: Region[], guestPage: PageSize, guestLevels: number): void {
  const ordered = [...regions].sort((a, b) => a.firstPage - b.firstPage);
  ordered.forEach((region, index) => {
    if (!(region.bytes > 0) || region.bytes % 4096 !== 0)
      throw new Error('oracle: region bytes not a multiple of 4 KiB');
    if (region.firstPage % guestPage.frames !== 0)
      throw new Error('oracle: region base not aligned to the guest page');
    const end = region.firstPage + region.frames;
    if (end > 512 ** guestLevels) throw new Error('oracle: a region does not fit the address space');
    if (index + 1 < ordered.length && end > ordered[index + 1].firstPage)
      throw new Error('oracle: regions overlap');
  });
}

/** Reads the whole form and applies its defaults. Throws an `Error` on what does not fit its address space. */
export function readConfig(config: WholeConfig, traceGiven: boolean): Settings {
  const paging = config.paging ?? {};
  const machine = config.machine ?? {};
  const mode = MODES.find((known) => known === (paging.mode ?? 'nested'));
  if (mode === undefined) throw new Error(`oracle: mode "${paging.mode}" is not modelled`);
  const guestLevels = paging.guestLevels ?? 4;
  const nestedLevels = paging.nestedLevels ?? 4;
  const guestPage = toPageSize(paging.guestPage ?? '4KiB');
  const nestedPage = toPageSize(paging.nestedPage ?? '4KiB');
  const hosted = mode === 'nested' || mode === 'shadow';
  if (guestPage.level > guestLevels || (hosted && nestedPage.level > nestedLevels)) {
    throw new Error('oracle: the page size needs more table levels');
  }
  const prefault = (paging.populate ?? 'prefault') === 'prefault';
  return {
    seed: BigInt(config.seed ?? 1),
    accesses: config.accesses,
    unique: config.optional?.includes('unique') ?? false,
    reuse: config.optional?.includes('reuse') ?? false,
    mode,
    hosted,
    unsync: paging.unsync ?? false,
    guestPage,
    nestedPage,
    guestLevels,
    nestedLevels,
    prefault,
    scattered: paging.placement === 'scattered',
    adSet: (paging.ad ?? (prefault ? 'set' : 'clear')) === 'set',
    guestMemoryBytes: paging.guestMemory === undefined ? undefined : toBytes(paging.guestMemory),
    tag: config.context?.tag ?? 1,
    vm: config.context?.vm ?? 1,
    vpid: (machine.tagged ?? ['vpid', 'pcid']).includes('vpid'),
    nestedAD: machine.nestedAD ?? true,
    regions: traceGiven ? [] : placeRegions(config, guestPage, guestLevels),
    workload: config.workload,
    tracing: traceGiven,
    machine,
  };
}
