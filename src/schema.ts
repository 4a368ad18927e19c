/**
 * The one definition of what crosses between TypeScript and the C++ core: page sizes, levels, the rows and
 * columns of the reference matrix, the counter block, the machine block and the enumerations.
 *
 * `native/schema.h` is generated from this file (`npm run schema`), committed, and checked for staleness. The
 * addon carries the fingerprint computed here and is refused when it differs.
 */
import { createHash } from 'node:crypto';

/** Page sizes in ascending order; a page-size index everywhere is an index into this list. */
export const PAGE_SIZES = ['4KiB', '2MiB', '1GiB'] as const;
/** One of the three x86-64 page sizes. */
export type PageSize = (typeof PAGE_SIZES)[number];
/** Page size index (0, 1, 2) to the binary logarithm of its bytes. */
export const PAGE_SHIFT = [12, 21, 30] as const;
/** Bytes of each page size. */
export const PAGE_BYTES: Readonly<Record<PageSize, number>> = {
  '4KiB': 4096,
  '2MiB': 2 ** 21,
  '1GiB': 2 ** 30,
};

/** Fewest levels that a page table of either dimension may have. */
export const MIN_TABLE_LEVELS = 2;
/** Most levels that a page table of either dimension may have. */
export const MAX_TABLE_LEVELS = 5;
/** Most PTE caches that a machine may have; memory comes after the last of them. */
export const MAX_CACHES = 7;

/** Rows of the reference matrix: the only table of a 1-D walk, the guest levels, and the data page's GPA. */
export const ROWS = ['pt', 'gL5', 'gL4', 'gL3', 'gL2', 'gL1', 'gPA'] as const;
/** Name of one row of the reference matrix. */
export type Row = (typeof ROWS)[number];
/** Columns of the reference matrix: nested levels 5 to 1 (in row `pt`: levels 5 to 1 of the only table), then the guest entry. */
export const COLUMNS = ['nL5', 'nL4', 'nL3', 'nL2', 'nL1', 'g'] as const;
/** Number of positions of the reference matrix, `row * COLUMNS.length + column`. */
export const POSITIONS = ROWS.length * COLUMNS.length;
/** Row `pt`. */
export const ROW_PT = 0;
/** Row `gPA`. */
export const ROW_GPA = 6;
/** Column `g`. */
export const COLUMN_G = 5;
/** Row index of guest level k (1 to 5). */
export const rowOfGuestLevel = (level: number): number => 6 - level;
/** Column index of nested level k (1 to 5); also of level k in row `pt`. */
export const columnOfLevel = (level: number): number => 5 - level;

/** Columns that exist in a row, by their names in results. */
export function columnNames(row: Row): readonly string[] {
  if (row === 'pt') return ['L5', 'L4', 'L3', 'L2', 'L1'];
  return row === 'gPA' ? COLUMNS.slice(0, 5) : COLUMNS;
}

/** What an access does. The number is its code in an access word. */
export const ACCESS_KINDS = ['read', 'write', 'fetch'] as const;
/** Kind of an access. */
export type AccessKind = (typeof ACCESS_KINDS)[number];
/**
 * An access is a page number (GVA >> 12, a safe integer) and a 16-bit word: bits 0 to 11 the offset in the 4 KiB
 * page, bits 12 and 13 the kind (index into {@link ACCESS_KINDS}).
 */
export const KIND_SHIFT = 12;

/** Replacement policies; the number in the machine block is the index. */
export const REPLACEMENTS = ['lru', 'fifo', 'plru', 'nru', 'srrip', 'random'] as const;
/** Name of a replacement policy. */
export type Replacement = (typeof REPLACEMENTS)[number];

/** How a TLB array picks the set of a page; index in the machine block. */
export const INDEXINGS = ['low', 'xor'] as const;
/** Name of a way to pick the set. */
export type Indexing = (typeof INDEXINGS)[number];

/** What a nested TLB holds; index in the machine block. */
export const NTLB_HOLDS = ['all', 'tables'] as const;
/** What a page-walk cache holds; index in the machine block. */
export const PWC_HOLDS = ['1d', '2d', '2d+nt'] as const;

/** Philox purposes (the last word of the counter). */
export const PURPOSES = {
  access: 0,
  guestPlacement: 1,
  hostPlacement: 2,
  replacement: 3,
  rankPermutation: 4,
  chase: 5,
  lookupKey: 6,
  mixture: 7,
} as const;

/** Access patterns; the number in a workload block is the index. */
export const PATTERNS = [
  'uniform',
  'stride',
  'zipf',
  'chase',
  'hotcold',
  'window',
  'btree',
  'burst',
  'mix',
  'phases',
  'interleave',
] as const;
/** Name of an access pattern. */
export type PatternName = (typeof PATTERNS)[number];

/** Why a stream stopped. */
export const RUN_STATUS = ['done', 'guestFault', 'nestedViolation', 'corruptTable', 'notStatic'] as const;
/** Why a stream stopped. */
export type RunStatus = (typeof RUN_STATUS)[number];

/** Bits of a page-table entry, in both dimensions (x86-64; Intel SDM vol. 3A 4.5, AMD's nested tables alike). */
export const ENTRY = {
  present: 1 << 0,
  writable: 1 << 1,
  user: 1 << 2,
  accessed: 1 << 5,
  dirty: 1 << 6,
  pageSize: 1 << 7,
} as const;
/** Entries in a table page. */
export const ENTRIES_PER_TABLE = 512;

/** Counter fields and how many slots each takes, in the order of the block. */
export const COUNTER_FIELDS = [
  ['accesses', 1],
  ['reads', 1],
  ['writes', 1],
  ['fetches', 1],
  ['l1Hits', 3],
  ['l1Misses', 1],
  ['l1iHits', 3],
  ['l1iMisses', 1],
  ['stlbHits', 3],
  ['stlbMisses', 1],
  ['walks', 1],
  ['dirtyWalks', 1],
  ['refs', POSITIONS],
  ['faultRefs', POSITIONS],
  ['pscHits', 4],
  ['nestedPscHits', 4],
  ['ntlbHits', ROWS.length],
  ['ntlbMisses', ROWS.length],
  ['pwcHits', POSITIONS],
  ['pwcMisses', POSITIONS],
  ['refHits', 2 * (MAX_CACHES + 1)],
  ['dataHits', MAX_CACHES + 1],
  ['guestFaults', 1],
  ['nestedViolations', 1],
] as const satisfies readonly (readonly [string, number])[];
/** Name of a counter field. */
export type CounterField = (typeof COUNTER_FIELDS)[number][0];

function layout<Name extends string>(
  fields: readonly (readonly [Name, number])[],
): { at: Record<Name, number>; length: number } {
  const at = {} as Record<Name, number>;
  let length = 0;
  for (const [name, slots] of fields) {
    at[name] = length;
    length += slots;
  }
  return { at, length };
}

const counterLayout = layout<CounterField>(COUNTER_FIELDS);
/** First slot of each counter field in a counter block (`Float64Array` of {@link COUNTER_SLOTS}). */
export const COUNTER: Readonly<Record<CounterField, number>> = counterLayout.at;
/** Slots of a counter block; each is an integer, exact to 2^53. */
export const COUNTER_SLOTS = counterLayout.length;

/** Arrays that one side (l1d, l1i or stlb) can have: one for each page size at the most. */
export const ARRAYS_PER_SIDE = 3;
/** Slots of one TLB array in the machine block: entries, ways, mask of page-size indices, replacement, indexing. */
export const ARRAY_SLOTS = 5;
/** Slots of one PTE cache in the machine block: sets, ways, line bytes. */
export const CACHE_SLOTS = 3;

/**
 * Machine block fields (`Float64Array`): what the engines need to know of a machine and a run. 0 stands for "none".
 * `staticRun` promises that nothing can fault or change an entry, and that all leaves of a dimension are at one level:
 * `guestLeaf`, `nestedLeaf`; TLB entries then all have page-size index `staticSize`. Bounds are exclusive.
 * `eagerLulls` is for tests: an engine that has a faster way for lulls in which nothing changes then looks for
 * one at every turn, however little it is worth.
 */
export const MACHINE_FIELDS = [
  ['nested', 1],
  ['guestLevels', 1],
  ['nestedLevels', 1],
  ['nestedAD', 1],
  ['dataThroughCaches', 1],
  ['staticRun', 1],
  ['unique', 1],
  ['reuse', 1],
  ['seedLow', 1],
  ['seedHigh', 1],
  ['l1dCount', 1],
  ['l1iCount', 1],
  ['stlbCount', 1],
  ['l1d', ARRAYS_PER_SIDE * ARRAY_SLOTS],
  ['l1i', ARRAYS_PER_SIDE * ARRAY_SLOTS],
  ['stlb', ARRAYS_PER_SIDE * ARRAY_SLOTS],
  ['psc', 4 * 2],
  ['nestedPsc', 4 * 2],
  ['ntlbEntries', 1],
  ['ntlbWays', 1],
  ['ntlbHolds', 1],
  ['pwcEntries', 1],
  ['pwcWays', 1],
  ['pwcHolds', 1],
  ['cacheCount', 1],
  ['caches', MAX_CACHES * CACHE_SLOTS],
  ['pageBound', 1],
  ['guestFrameBound', 1],
  ['hostFrameBound', 1],
  ['staticSize', 1],
  ['guestLeaf', 1],
  ['nestedLeaf', 1],
  ['eagerLulls', 1],
] as const satisfies readonly (readonly [string, number])[];
/** Name of a machine-block field. */
export type MachineField = (typeof MACHINE_FIELDS)[number][0];
const machineLayout = layout<MachineField>(MACHINE_FIELDS);
/** First slot of each machine-block field. */
export const MACHINE: Readonly<Record<MachineField, number>> = machineLayout.at;
/** Slots of a machine block. */
export const MACHINE_SLOTS = machineLayout.length;

/**
 * Context block (`Float64Array`): roots as frame numbers; zones as first frame, frames, and the first 8-byte word
 * of the zone in simulated memory. `guestZone` is the zone of the guest's (or the only) table.
 */
export const CONTEXT_FIELDS = [
  ['root', 1],
  ['nestedRoot', 1],
  ['tag', 1],
  ['vm', 1],
  ['guestZoneBase', 1],
  ['guestZoneFrames', 1],
  ['guestZoneWord', 1],
  ['nestedZoneBase', 1],
  ['nestedZoneFrames', 1],
  ['nestedZoneWord', 1],
] as const satisfies readonly (readonly [string, number])[];
/** Name of a context-block field. */
export type ContextField = (typeof CONTEXT_FIELDS)[number][0];
const contextLayout = layout<ContextField>(CONTEXT_FIELDS);
/** First slot of each context-block field. */
export const CONTEXT: Readonly<Record<ContextField, number>> = contextLayout.at;
/** Slots of a context block. */
export const CONTEXT_SLOTS = contextLayout.length;

/** Fault block (`Float64Array`): what the hardware reports when a stream stops early. */
export const FAULT_FIELDS = [
  ['index', 1],
  ['page', 1],
  ['offset', 1],
  ['kind', 1],
  ['gpaFrame', 1],
  ['intentWrite', 1],
  ['row', 1],
  ['detail', 1],
] as const satisfies readonly (readonly [string, number])[];
/** Name of a fault-block field. */
export type FaultField = (typeof FAULT_FIELDS)[number][0];
const faultLayout = layout<FaultField>(FAULT_FIELDS);
/** First slot of each fault-block field. */
export const FAULT: Readonly<Record<FaultField, number>> = faultLayout.at;
/** Slots of a fault block. */
export const FAULT_SLOTS = faultLayout.length;

/** Slots of one component record in a workload block. */
export const COMPONENT_SLOTS = 16;

/** Everything above as one text: what {@link SCHEMA_FINGERPRINT} digests. */
const definition = JSON.stringify([
  PAGE_SIZES,
  ROWS,
  COLUMNS,
  MAX_TABLE_LEVELS,
  MAX_CACHES,
  ACCESS_KINDS,
  KIND_SHIFT,
  REPLACEMENTS,
  INDEXINGS,
  NTLB_HOLDS,
  PWC_HOLDS,
  PURPOSES,
  PATTERNS,
  RUN_STATUS,
  ENTRY,
  COUNTER_FIELDS,
  MACHINE_FIELDS,
  CONTEXT_FIELDS,
  FAULT_FIELDS,
  COMPONENT_SLOTS,
]);
/** Fingerprint of this definition (16 hex digits): compiled into the addon, stored with every result. */
export const SCHEMA_FINGERPRINT = createHash('sha256').update(definition).digest('hex').slice(0, 16);
