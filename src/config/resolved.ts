/**
 * The whole, resolved configuration: every short form of a user's configuration resolves to this. It is what
 * `run --json` echoes, and a file may hold it. Bytes and counts are numbers, page sizes their names, `ways` a number.
 */
import { type Indexing, PAGE_BYTES, type PageSize, type PatternName, type Replacement } from '../schema.ts';
import type { TraceFormat } from './traceFormat.ts';

/** One TLB array: `entries / ways` sets, a power of two. */
export interface TlbArrayConfig {
  entries: number;
  ways: number;
  sizes: PageSize[];
  replacement: Replacement;
  /** How a page picks its set. Absent is `low`, so that configurations without hashing read as they always did. */
  index?: Exclude<Indexing, 'low'>;
}

/** Entries and ways of a walk cache (always LRU). */
export interface GeometryConfig {
  entries: number;
  ways: number;
}

/** Paging-structure caches by level; a level left out has no cache. `latency` in cycles a probe. */
export interface PscConfig {
  l2?: GeometryConfig;
  l3?: GeometryConfig;
  l4?: GeometryConfig;
  l5?: GeometryConfig;
  latency: number;
}

/** One PTE cache: bytes, ways, line bytes, load-to-use cycles. */
export interface CacheConfig {
  name: string;
  size: number;
  ways: number;
  line: number;
  latency: number;
}

/** The simulated machine, whole. `null` where it has no such structure. */
export interface MachineConfig {
  /** Name of the preset that it came from, for display; absent for a machine written whole. */
  preset?: string;
  l1d: TlbArrayConfig[];
  l1i: TlbArrayConfig[] | null;
  stlb: TlbArrayConfig[];
  psc: PscConfig | null;
  nestedPsc: PscConfig | null;
  ntlb: (GeometryConfig & { holds: 'all' | 'tables'; latency: number }) | null;
  pwc: (GeometryConfig & { holds: '1d' | '2d' | '2d+nt'; latency: number }) | null;
  caches: CacheConfig[];
  memoryLatency: number;
  stlbLatency: number;
  dataThroughCaches: boolean;
  nestedAD: boolean;
  tagged: ('vpid' | 'pcid')[];
}

/**
 * How a guest's memory is paged: without virtualisation; by a nested table (2-D walks); by shadow tables; by tables that
 * the guest keeps itself, checked by the hypervisor (paravirtual, direct paging). All but `nested` walk one table.
 */
export const PAGING_MODES = ['native', 'nested', 'shadow', 'paravirt'] as const;
/** See {@link PAGING_MODES}. */
export type PagingMode = (typeof PAGING_MODES)[number];

/** Whether host pages have a size of their own in a mode: nested pages, or what a hypervisor with shadow tables allocates. */
export const hasHostPages = (mode: PagingMode): boolean => mode === 'nested' || mode === 'shadow';

/** How memory is paged. `nestedPage` and `nestedLevels` have no effect in the modes `native` and `paravirt`. */
export interface PagingConfig {
  /** See {@link PAGING_MODES}. */
  mode: PagingMode;
  guestPage: PageSize;
  nestedPage: PageSize;
  guestLevels: number;
  nestedLevels: number;
  populate: 'prefault' | 'demand';
  placement: 'contiguous' | 'scattered';
  ad: 'set' | 'clear';
  /** Bytes; absent: the sum of the regions (synthetic), 64 GiB (trace). */
  guestMemory?: number;
  /** In mode `shadow` alone: whether leaf tables may go out of sync, as in KVM. */
  unsync?: boolean;
  /** In mode `paravirt` alone: most page-table updates that one hypercall carries. */
  batch?: number;
}

/** A region of the virtual address space: bytes a multiple of 4 KiB, base (an address) aligned to the guest page. */
export interface RegionConfig {
  bytes: number;
  base: number;
}

/** One component of a synthetic workload, resolved: fields as in the pattern table; region and writeFraction always given. */
export type ComponentConfig = { region: number; writeFraction: number } & (
  | { pattern: Extract<PatternName, 'uniform' | 'chase'> }
  | { pattern: 'stride'; bytes: number }
  | { pattern: 'zipf'; theta: number; clustered: boolean }
  | { pattern: 'hotcold'; hot: number; weight: number }
  | { pattern: 'window'; pages: number; shift: number; every: number }
  | { pattern: 'btree'; fanout: number; levels: number }
  | { pattern: 'burst'; k: number; of: ComponentConfig }
  | { pattern: 'mix'; weights: number[]; parts: ComponentConfig[] }
  | { pattern: 'phases'; lengths: number[]; parts: ComponentConfig[] }
  | { pattern: 'interleave'; parts: ComponentConfig[] }
);

/**
 * A recorded stream instead of a synthetic one; `trace` is an absolute path once resolved. `format` is `auto` only
 * where the file's name tells nothing: the trace reader then looks at the content.
 */
export interface TraceConfig {
  trace: string;
  format: TraceFormat | 'auto';
  fetches: boolean;
}

/** The whole configuration of a run. */
export interface ResolvedConfig {
  /** Up to 64 bits: a safe integer, or a `0x…` string above 2^53. */
  seed: number | string;
  /** Absent only for a trace that is read to its end. */
  accesses?: number;
  optional: ('unique' | 'reuse')[];
  machine: MachineConfig;
  paging: PagingConfig;
  context: { tag: number; vm: number };
  /** Empty beside a trace. */
  regions: RegionConfig[];
  workload: ComponentConfig | TraceConfig;
  /** How to run it; never changes a counter. */
  run: { engine: 'auto' | 'native' | 'ts'; workers: 'auto' | number; warmup: number };
}

/** Whether the workload is a recorded trace. */
export const isTrace = (workload: ComponentConfig | TraceConfig): workload is TraceConfig =>
  'trace' in workload;

/** The largest page that a TLB entry can be of: the smaller one where two dimensions meet. */
export function entryPage({ mode, guestPage, nestedPage }: PagingConfig): PageSize {
  if (!hasHostPages(mode)) return guestPage;
  return PAGE_BYTES[guestPage] < PAGE_BYTES[nestedPage] ? guestPage : nestedPage;
}
