/**
 * What a pass will take, before anything is run. Memory follows from layouts in closed form; time from constants, measured
 * on a busy server core with streams of which half miss, so that they lean to the slow side. A running sweep replaces them by its own rate.
 */
import {
  type ComponentConfig,
  isTrace,
  type MachineConfig,
  type ResolvedConfig,
} from '../config/resolved.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { planLayout } from '../memory/layout.ts';
import type { GridCell } from './cells.ts';

/** What a pass will take. */
export interface Estimate {
  /** Accesses of the stream; absent for a trace that is read to its end. */
  accesses?: number;
  seconds: number;
  memoryBytes: number;
}

/** Bytes of a process that simulates nothing yet: Node, this program, the engine. */
const PROCESS_BYTES = 120 * 2 ** 20;
/** Bytes of page tables that a trace is taken to need: how many pages it touches is known only when it is read. */
const TRACE_TABLE_BYTES = 256 * 2 ** 20;
/** Bytes of what every walker has besides: counters, buffers of misses that wait, small structures rounded up. */
const WALKER_BYTES = 100 * 2 ** 10;
/** Bytes of one entry of a TLB or walk cache, and of one line of a PTE cache, with replacement state. */
const ENTRY_BYTES = 32;
const LINE_BYTES = 16;
/** Bytes of a Zipf table for each page. */
const ZIPF_BYTES = 8;

/** Nanoseconds of an access: of a single run; of a group, and of one of its cells. */
const NANOSECONDS = {
  native: { single: 100, group: 30, walker: 85 },
  ts: { single: 1000, group: 600, walker: 900 },
} as const;
/** Seconds of a pass before its first access, and for each GiB of page tables. */
const START_SECONDS = 0.05;
const SECONDS_PER_TABLE_GIB = 1.5;

type Estimable = {
  machines: readonly MachineConfig[];
  surroundings: readonly Omit<ResolvedConfig, 'machine'>[];
  counters: 'tlb' | 'all';
};

/** Pages of all Zipf patterns of a component. */
function zipfPages(component: ComponentConfig, config: ResolvedConfig): number {
  if ('parts' in component) return component.parts.reduce((sum, part) => sum + zipfPages(part, config), 0);
  if ('of' in component) return zipfPages(component.of, config);
  return component.pattern === 'zipf' ? Math.ceil(config.regions[component.region].bytes / 4096) : 0;
}

/** Bytes of page tables and workload tables. */
function tableBytes(config: ResolvedConfig): number {
  if (isTrace(config.workload)) return TRACE_TABLE_BYTES;
  try {
    const { guestZone, nested } = planLayout(config);
    return (
      (guestZone.frames + (nested?.zone.frames ?? 0)) * 4096 + zipfPages(config.workload, config) * ZIPF_BYTES
    );
  } catch (error) {
    // What does not fit its address space is told by the run itself, and fails that cell alone.
    if (error instanceof NestwalkError) return 0;
    throw error;
  }
}

/** Bytes of one cell's own structures. */
function cellBytes(machine: MachineConfig): number {
  const lines = machine.caches.reduce((sum, cache) => sum + cache.size / cache.line, 0);
  const walkCaches = (machine.ntlb?.entries ?? 0) + (machine.pwc?.entries ?? 0);
  const entries = [...machine.l1d, ...(machine.l1i ?? []), ...machine.stlb].reduce(
    (sum, { entries }) => sum + entries,
    walkCaches,
  );
  return entries * ENTRY_BYTES + lines * LINE_BYTES;
}

const engineOf = (request: EngineRequest): 'native' | 'ts' => {
  try {
    return chooseEngine(request).engine;
  } catch {
    return 'ts';
  }
};

/**
 * A function that estimates a pass over some cells of a plan, all with the same surroundings but for a native run's.
 * @param engine instead of each configuration's own
 */
export function estimator(plan: Estimable, engine?: EngineRequest): (cells: readonly GridCell[]) => Estimate {
  const tables = new Map<number, number>();
  const engines = new Map<EngineRequest, 'native' | 'ts'>();
  return (cells) => {
    const [first] = cells;
    const rest = plan.surroundings[first.surroundings!];
    const config: ResolvedConfig = { ...rest, machine: plan.machines[first.machine!] };
    if (!tables.has(first.surroundings!)) tables.set(first.surroundings!, tableBytes(config));
    const request = engine ?? rest.run.engine;
    if (!engines.has(request)) engines.set(request, engineOf(request));
    const cost = NANOSECONDS[engines.get(request)!];
    const table = tables.get(first.surroundings!)!;
    const own = cells.reduce((sum, cell) => sum + cellBytes(plan.machines[cell.machine!]), 0);
    const walkers = plan.counters === 'all' ? cells.length : 0;
    const each = cells.length > 1 ? cost.group + walkers * cost.walker : cost.single;
    const { accesses } = config;
    return {
      ...(accesses === undefined ? {} : { accesses }),
      seconds: START_SECONDS + (table / 2 ** 30) * SECONDS_PER_TABLE_GIB + ((accesses ?? 0) * each) / 1e9,
      memoryBytes: PROCESS_BYTES + table + own + walkers * WALKER_BYTES,
    };
  };
}
