/** Metrics: folds over counters. The engines count integers; every ratio and every cycle comes from here. */
import type { MachineConfig, ResolvedConfig, TlbArrayConfig } from '../config/resolved.ts';
import { PAGE_BYTES, PAGE_SIZES, type PageSize } from '../schema.ts';
import { columnSum, dimensionSum, levelNames, matrixSum, NESTED_ROWS } from './counters.ts';
import { type RuntimeCost, runtimeCost, slowdownOf } from './runtimeModels.ts';
import type { ByDimension, ByLevel, BySize, Counters, Metrics } from './types.ts';

/** Quotient; 0 where there is nothing to divide by. */
const per = (count: number, of: number): number => (of === 0 ? 0 : count / of);

const dimensions = (guest: number, nested: number): ByDimension => ({ guest, nested, total: guest + nested });

const eachDimension = (values: ByDimension, of: number): ByDimension => ({
  guest: per(values.guest, of),
  nested: per(values.nested, of),
  total: per(values.total, of),
});

/** How often each walk cache was looked into; 0 for a machine without it. */
export interface ProbeCounts {
  psc: number;
  nestedPsc: number;
  ntlb: number;
  /** The page-walk cache, by the dimension of the entry looked for. */
  pwc: { guest: number; nested: number };
}

/**
 * Probes of the walk caches, derived from the counters:
 * - PSC: one a walk = walks + guestFaults + nestedViolations
 * - nested TLB: Σ ntlbHits + Σ ntlbMisses
 * - nested PSCs: Σ nestedPscHits + the nested walks that began at the root, which are Σ over rows of
 *   (refs + faultRefs)[row][nL m], m the levels of the nested table
 * - PWC: Σ pwcHits + Σ pwcMisses
 */
export function probeCounts(counters: Counters, config: ResolvedConfig): ProbeCounts {
  const { machine, paging } = config;
  const top = `nL${paging.nestedLevels}`;
  const nestedRootRefs = NESTED_ROWS.reduce(
    (sum, row) => sum + counters.refs[row][top] + counters.faultRefs[row][top],
    0,
  );
  const pwc = (dimension: 'guest' | 'nested'): number =>
    dimensionSum(counters.pwcHits, dimension) + dimensionSum(counters.pwcMisses, dimension);
  return {
    psc: machine.psc ? counters.walks + counters.guestFaults + counters.nestedViolations : 0,
    nestedPsc: machine.nestedPsc ? columnSum(counters.nestedPscHits) + nestedRootRefs : 0,
    ntlb: columnSum(counters.ntlbHits) + columnSum(counters.ntlbMisses),
    pwc: { guest: pwc('guest'), nested: pwc('nested') },
  };
}

/** Σ over levels of the references served there × its load-to-use latency in cycles. */
function refCycles(hits: ByLevel, machine: MachineConfig): number {
  const latencies = [...machine.caches.map((cache) => cache.latency), machine.memoryLatency];
  const names = levelNames(machine.caches.map((cache) => cache.name));
  return names.reduce((sum, name, level) => sum + hits[name] * latencies[level], 0);
}

/**
 * Cycles of the walks by dimension:
 * - guest = Σ refHits.guest[level] × latency[level] + PSC probes × psc.latency + PWC probes for guest entries × pwc.latency
 * - nested = Σ refHits.nested[level] × latency[level] + nested-TLB probes × ntlb.latency
 *   + nested-PSC probes × nestedPsc.latency + PWC probes for nested entries × pwc.latency
 */
export function walkCycles(counters: Counters, config: ResolvedConfig): ByDimension {
  const { machine } = config;
  const probes = probeCounts(counters, config);
  const pwcLatency = machine.pwc?.latency ?? 0;
  return dimensions(
    refCycles(counters.refHits.guest, machine) +
      probes.psc * (machine.psc?.latency ?? 0) +
      probes.pwc.guest * pwcLatency,
    refCycles(counters.refHits.nested, machine) +
      probes.ntlb * (machine.ntlb?.latency ?? 0) +
      probes.nestedPsc * (machine.nestedPsc?.latency ?? 0) +
      probes.pwc.nested * pwcLatency,
  );
}

/** For each page size: the entries that can hold it × its bytes. An array of several sizes counts wholly for each. */
function reachOf(arrays: readonly TlbArrayConfig[]): BySize {
  const bytes = (size: PageSize): number =>
    arrays.filter((array) => array.sizes.includes(size)).reduce((sum, array) => sum + array.entries, 0) *
    PAGE_BYTES[size];
  return Object.fromEntries(PAGE_SIZES.map((size) => [size, bytes(size)])) as BySize;
}

/**
 * All metrics of a run. A ratio to nothing (no accesses, no walks) is 0.
 * - missRatio.l1 = (l1Misses + l1iMisses) / accesses
 * - missRatio.stlb = stlbMisses / (l1Misses + l1iMisses), the STLB's own
 * - missRatio.overall = stlbMisses / accesses
 * - missesPerThousandAccesses = 1000 × missRatio.l1, 1000 × missRatio.overall
 * - refsPerWalk = Σ refs / walks, by dimension
 * - walkCycles: {@link walkCycles}; walkCyclesPerAccess = walkCycles / accesses
 * - stlbHitCycles = Σ stlbHits × stlbLatency
 * - reachBytes = for each page size, entries that can hold it × its bytes
 * - slowdown: {@link slowdownOf}
 *
 * @param cost what run time is made of beside the walks; default: `DEFAULT_RUNTIME_COST`. Nothing but `slowdown` depends on it
 * @throws {NestwalkError} `usage` for a cost that cannot be
 */
export function computeMetrics(
  counters: Counters,
  config: ResolvedConfig,
  cost: Partial<RuntimeCost> = {},
): Metrics {
  const { machine } = config;
  const { accesses, walks, stlbMisses } = counters;
  const l1Misses = counters.l1Misses + counters.l1iMisses;
  const cycles = walkCycles(counters, config);
  const guestRefs = dimensionSum(counters.refs, 'guest');
  const stlbHits = columnSum(counters.stlbHits);
  return {
    missRatio: {
      l1: per(l1Misses, accesses),
      stlb: per(stlbMisses, l1Misses),
      overall: per(stlbMisses, accesses),
    },
    missesPerThousandAccesses: { l1: per(1000 * l1Misses, accesses), stlb: per(1000 * stlbMisses, accesses) },
    refsPerWalk: eachDimension(dimensions(guestRefs, matrixSum(counters.refs) - guestRefs), walks),
    walkCycles: cycles,
    walkCyclesPerAccess: eachDimension(cycles, accesses),
    stlbHitCycles: stlbHits * machine.stlbLatency,
    reachBytes: {
      l1d: reachOf(machine.l1d),
      l1i: machine.l1i && reachOf(machine.l1i),
      stlb: reachOf(machine.stlb),
    },
    slowdown: slowdownOf({ walkCycles: cycles.total, stlbMisses, stlbHits }, accesses, runtimeCost(cost)),
  };
}
