/**
 * What a machine preset is, and the pieces that presets are put together from.
 *
 * A source text begins with a mark. `S` = read at the place named (a manual, a CPUID dump, an artifact); `S-2nd` = read
 * in a second source, a claim about a claim; `M` = from memory, not verified; `D` = derived by arithmetic from what is
 * named; `assumed` = no source says, with what it is borrowed from. A path names a number, a structure that is left out
 * (`null`, or no array), or everything below it; the longest path that leads to a number is its source.
 */
import type {
  CacheConfig,
  GeometryConfig,
  MachineConfig,
  PscConfig,
  TlbArrayConfig,
} from '../config/resolved.ts';
import type { PageSize } from '../schema.ts';

/** One machine and where its numbers are from. */
export interface MachinePreset {
  /** What users call it. */
  name: string;
  /** Maker, processor, year. */
  title: string;
  /** The machine, whole. */
  machine: MachineConfig;
  /** Path in `machine` (`stlb[0].entries`, or `stlb[0]` for all below) to mark and source. */
  sources: Readonly<Record<string, string>>;
  /** What the real processor has and this machine cannot say. */
  lost: readonly string[];
}

/** The source of a number of a preset: that of the longest path that leads to it. */
export function sourceOf(preset: MachinePreset, path: string): string | undefined {
  const found = sourcePath(preset, path);
  return found === undefined ? undefined : preset.sources[found];
}

/** The path in `sources` that a number's source stands under. */
export function sourcePath(preset: MachinePreset, path: string): string | undefined {
  let best: string | undefined;
  for (const prefix of Object.keys(preset.sources)) {
    const leads = path === prefix || (path.startsWith(prefix) && /^[.[]/.test(path.slice(prefix.length)));
    if (leads && prefix.length > (best ?? '').length) best = prefix;
  }
  return best;
}

const KIB = 2 ** 10;

/** An lru array for pages of some sizes. */
export const tlb = (entries: number, ways: number, ...sizes: PageSize[]): TlbArrayConfig => ({
  entries,
  ways,
  sizes,
  replacement: 'lru',
});

/** An lru array whose set is hashed. */
export const hashedTlb = (entries: number, ways: number, ...sizes: PageSize[]): TlbArrayConfig => ({
  ...tlb(entries, ways, ...sizes),
  index: 'xor',
});

/** A fully associative lru array. */
export const fullTlb = (entries: number, ...sizes: PageSize[]): TlbArrayConfig =>
  tlb(entries, entries, ...sizes);

/** Entries and ways of a walk cache. */
export const geometry = (entries: number, ways: number): GeometryConfig => ({ entries, ways });

/** Paging-structure caches as the simulator of DMT has them for Skylake: 32, 4 and 2 entries. New at each call. */
export const skylakePsc = (): PscConfig => ({
  l2: geometry(32, 4),
  l3: geometry(4, 4),
  l4: geometry(2, 2),
  latency: 1,
});

/** A PTE cache of 64-byte lines; size in KiB, latency in cycles. */
export const cache = (name: string, sizeKib: number, ways: number, latency: number): CacheConfig => ({
  name,
  size: sizeKib * KIB,
  ways,
  line: 64,
  latency,
});

/** The same source for the latency of each of the first caches. */
export const latencies = (caches: number, source: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: caches }, (_, i) => [`caches[${i}].latency`, source]));

/** The dumps of CPUID registers that InstLatx64 collects (github.com/InstLatx64/InstLatx64), by file. */
export const dump = (processor: string, file: string): string =>
  `CPUID dump of ${processor}, InstLatx64 ${file}`;

/** Names of sources that many presets cite. */
export const CITED = {
  dmt: 'the simulator of DMT (Jiyuan Zhang et al., ASPLOS 2024), artifact xlab-uiuc/dmt',
  victima: 'the Sniper configuration of Victima (Kanellopoulos et al., MICRO 2023)',
  champsim: "ChampSim's default configuration",
  tlbdr: 'Tatar et al., USENIX Security 2022, vusec/tlbdr',
  tlbleed: 'Gras et al., USENIX Security 2018',
  revanc: 'van Schaik et al., EuroSec 2017, vusec/revanc',
  sagepte: 'the configurations of SagePTE, artifact amirmnoohi/SagePTE-AE',
  bhargava: 'Bhargava et al. (ASPLOS 2008)',
} as const;

/** What is assumed of every processor alike. */
export const ASSUMED = {
  replacement: 'assumed: LRU',
  memoryLatency: `assumed, after ${CITED.dmt}: 200 cycles`,
  /** That data accesses send nothing through the PTE caches. */
  dataThroughCaches: 'assumed: data accesses are kept out of the caches, which is faster to simulate',
  probe: `assumed, after ${CITED.dmt}: 1 cycle a probe`,
  ntlb: `assumed, after ${CITED.victima}: 64 entries of 4 ways, 1 cycle; no maker publishes its own`,
} as const;
