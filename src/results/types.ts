/** The shapes of what a run gives back: counters by name, metrics, provenance, and one translation step by step. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { LedgerCause } from '../hypervisor/ledger.ts';
import type { AccessKind, PageSize, Row } from '../schema.ts';

/** A count for each page size, zeros included. */
export type BySize = Record<PageSize, number>;
/** Rows of the reference matrix that a nested TLB is probed for: the guest's table pages, and the data page. */
export type NestedRow = Exclude<Row, 'pt'>;
/** Levels that have a paging-structure cache. */
export type PscLevel = '2' | '3' | '4' | '5';
/**
 * Counts by position in the reference matrix: row (`pt`, `gL5`…`gL1`, `gPA`), then column (`L5`…`L1` in row `pt`;
 * `nL5`…`nL1` elsewhere, and `g` in the guest's rows).
 */
export type Matrix = Record<Row, Record<string, number>>;
/** Counts by where a reference was served: the names of the PTE caches, then `memory`. */
export type ByLevel = Record<string, number>;

/** Exact stack distances: how many accesses touched a page for the first time, and how many came back at which distance. */
export interface ReuseHistogram {
  /** Accesses to a page that no access touched before. */
  cold: number;
  /** Distance (other 4 KiB pages touched since) to the number of accesses. Distances that never occurred are absent. */
  distances: Record<string, number>;
}

/**
 * What the hardware counted: always whole, zeros included, every value an integer exact to 2^53. The same
 * configuration gives the same counters whatever the engine, the instruction set or the number of workers.
 */
export interface Counters {
  accesses: number;
  reads: number;
  writes: number;
  fetches: number;
  l1Hits: BySize;
  l1Misses: number;
  /** Fetches, on a machine with TLBs of their own for instructions; zero elsewhere. */
  l1iHits: BySize;
  l1iMisses: number;
  stlbHits: BySize;
  stlbMisses: number;
  /** Walks completed: STLB misses and {@link Counters.dirtyWalks}. */
  walks: number;
  /** Walks completed because a write hit an entry that was not writable or not dirty. */
  dirtyWalks: number;
  /** References of completed walks: page-table entries read, wherever they were served from. */
  refs: Matrix;
  /** References of walks that ended in a fault. */
  faultRefs: Matrix;
  pscHits: Record<PscLevel, number>;
  nestedPscHits: Record<PscLevel, number>;
  ntlbHits: Record<NestedRow, number>;
  ntlbMisses: Record<NestedRow, number>;
  pwcHits: Matrix;
  pwcMisses: Matrix;
  /** Where references were served. References of a 1-D walk are of the guest's dimension. */
  refHits: { guest: ByLevel; nested: ByLevel };
  /** Where the accesses themselves were served, on a machine with `dataThroughCaches`; zeros elsewhere. */
  dataHits: ByLevel;
  guestFaults: number;
  nestedViolations: number;
  /** Distinct entries behind {@link Counters.refs} at each position, when the configuration asks for it. */
  unique?: Matrix;
  /** Stack distances, when the configuration asks for them. */
  reuse?: ReuseHistogram;
}

/** What software did: how often each event happened. */
export interface Ledger {
  events: Record<string, number>;
}

/** A quantity of each dimension, and both together. In a 1-D walk all of it is the guest's. */
export interface ByDimension {
  guest: number;
  nested: number;
  total: number;
}

/** How many bytes each TLB level covers when it is full of pages of one size; 0 where it cannot hold that size. */
export interface ReachBytes {
  l1d: BySize;
  /** `null` on a machine whose instruction fetches use `l1d`. */
  l1i: BySize | null;
  stlb: BySize;
}

/**
 * Run time with translation / run time without, by models that need no second run (`slowdownOf`). It rests on assumed base
 * cycles: compare configurations of one workload by it.
 */
export interface Slowdown {
  /** Walk cycles overlap with other work, by the overlap factor. */
  linear: number;
  /** Every walk cycle is lost time (Alam et al.; Basu et al. and Gandhi et al. calibrated on this run). */
  alam: number;
  /** The same, and 7 cycles for each STLB hit (Pham et al.). */
  pham: number;
}

/** What is derived from counters and configuration. Formulas: `computeMetrics`. A ratio to nothing is 0. */
export interface Metrics {
  /** `l1`: of the accesses; `stlb`: of the L1's misses; `overall`: of the accesses, those that miss every level. */
  missRatio: { l1: number; stlb: number; overall: number };
  missesPerThousandAccesses: { l1: number; stlb: number };
  refsPerWalk: ByDimension;
  /** Cycles of all walks, completed or ended by a fault. */
  walkCycles: ByDimension;
  walkCyclesPerAccess: ByDimension;
  /** Cycles of STLB hits; no part of the walk cycles. */
  stlbHitCycles: number;
  reachBytes: ReachBytes;
  /** Against a run in which translation costs nothing. */
  slowdown: Slowdown;
}

/** How a result came about. Whatever may differ between two runs of one configuration is here, and nowhere else. */
export interface Provenance {
  version: string;
  /** Fingerprint of the schema (`SCHEMA_FINGERPRINT`). */
  schema: string;
  engine: 'native' | 'ts';
  /** Instruction-set tier of the native engine; `none` for TypeScript. */
  tier: string;
  /** Why this engine was chosen. */
  engineReason: string;
  node: string;
  cpu: string;
  workers: number;
  /** Seconds of the access loop. */
  seconds: number;
  /** Seconds before it: reading a trace's pages, building page tables and workload tables. */
  prepareSeconds: number;
  accessesPerSecond: number;
  /** Pieces that the run was cut into, by what became of them. */
  segments: { accepted: number; repaired: number; rerun: number };
  /** SHA-256 of generated tables and of traces, by name. */
  hashes: Record<string, string>;
}

/** Cycles by cause of the ledger, zeros included. */
export type CyclesByCause = Partial<Record<LedgerCause, number>>;

/** Where the cycles of a run went. Causes are those of the ledger, each in the part that its kind belongs to. */
export interface CycleSplit {
  /** Accesses × the figure `access`. */
  base: number;
  /** Walk cycles in the guest's dimension (in a 1-D walk all of them) × the figure `walkCycle`. */
  guestWalk: number;
  /** Walk cycles in the nested dimension × the figure `walkCycle`. */
  nestedWalk: number;
  /** Look-ups of the second-level TLB, hits and misses, × its latency. */
  stlb: number;
  /** What the guest kernel did (kind `guest`), and what the hypervisor did behind an exit or a call (kind `work`). */
  software: CyclesByCause;
  /** VM exits with their handlers. */
  exits: CyclesByCause;
  /** Hypercalls, and faults and system calls that went through the hypervisor. */
  hypercalls: CyclesByCause;
  /** Sum of all of these. */
  total: number;
}

/** The result of one run. */
export interface Result {
  /** Fingerprint of the schema that the counters follow. */
  schema: string;
  config: ResolvedConfig;
  counters: Counters;
  ledger: Ledger;
  metrics: Metrics;
  /** Where its cycles went, at the prices of the cost preset named; only where they were asked for. */
  cycles?: CycleSplit & { costs: string };
  provenance: Provenance;
}

/** How far a run is. `total` is absent while the length of a trace is not known. */
export interface RunProgress {
  done: number;
  total: number | undefined;
  accessesPerSecond: number;
  secondsLeft?: number;
}

/** What the caller of a run may ask for beside the configuration; nothing here changes a counter. */
export interface RunOptions {
  engine?: 'auto' | 'native' | 'ts';
  /** Threads; `auto` is one for each core. */
  workers?: number | 'auto';
  /** Accesses of a segment, instead of a length chosen by the warm-up and the number of workers. */
  segmentAccesses?: number;
  /** Stops the run, which then rejects with the code `run.cancelled`. */
  signal?: AbortSignal;
  /** Told ten times a second how far the run is. What it throws stops the run, which then rejects with it. */
  onProgress?: (progress: RunProgress) => void;
}

/** One step of a walk: one page-table entry read. Addresses and values are hexadecimal strings, `0x…`. */
export interface WalkStep {
  /** Number of the step, from 1. */
  step: number;
  row: Row;
  /** Column of the matrix as results name it: `g`, `nL4`…, or `L4`… in row `pt`. */
  col: string;
  /** Level of the table that the entry is in, 5 to 1. */
  level: number;
  dimension: 'guest' | 'nested';
  /** Number of the entry in its table, 0 to 511. */
  index: number;
  /** Host physical address of the entry. */
  entryHpa: string;
  /** Guest physical address of the entry, for entries of the guest's table under nested paging. */
  entryGpa?: string;
  /** Guest physical address that the nested walk of this step translates. */
  gpa?: string;
  /** The entry as read. */
  value: string;
  /** What answered: `memory`, the name of a PTE cache, or `pwc`, which makes the step no reference. */
  servedBy: string;
  /** Whether the entry ends the walk of its dimension. */
  leaf: boolean;
  /** Where the entry points: address of the table or of the page, in the space below; absent where it is not present. */
  target?: string;
  /** What the entry is, in words: `table`, `leaf 4KiB`, `not present`… */
  note: string;
  /** Cycles of the walk so far, this step's included. */
  cycles: number;
}

/** A structure that spared references. */
export interface WalkHit {
  /** Number of the step that it comes before (number of the last one + 1 at the end). */
  beforeStep: number;
  /** Which structure answered. */
  structure: 'l1d' | 'l1i' | 'stlb' | 'psc' | 'nestedPsc' | 'ntlb';
  /** Row of the reference matrix whose nested walk it shortened; absent for structures that are looked into by GVA. */
  row?: Row;
  /** Guest physical address that was looked for; absent for structures that are looked into by GVA. */
  gpa?: string;
  /** Level of the entry that a PSC gave; absent for TLBs. */
  level?: number;
  /** Page size of the entry that a TLB gave; absent for PSCs. */
  size?: PageSize;
  /** What it answered and what that spared. */
  message: string;
  /** Cycles of the walk so far, this look-up's included. */
  cycles: number;
}

/** One translation, step by step. Addresses are hexadecimal strings, `0x…`. */
export interface WalkSteps {
  address: string;
  kind: AccessKind;
  steps: WalkStep[];
  skipped: WalkHit[];
  /** Steps that were references: all but those that the page-walk cache answered. */
  references: number;
  /** Cycles of the walk, as the metrics of a run count them: latencies of references, and probes of walk caches. */
  cycles: number;
  /** Guest physical address; absent in mode `native` and after a guest fault. */
  gpa?: string;
  /** Host physical address; absent after a fault. */
  hpa?: string;
  /** Page size of the TLB entry: the smaller leaf of both dimensions. */
  size?: PageSize;
  /** Why there is no translation. */
  fault?: { cause: 'guestFault' | 'nestedViolation'; row?: Row; gpa?: string; message: string };
}
