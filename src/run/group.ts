/**
 * Many cells in one pass: machines that differ in the geometry of an lru STLB alone see one stream, and share its L1
 * (docs/model.md, one-pass sweeps). Each cell's counters are those of its single run, bit for bit.
 */
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import { createHardware, createStack, type SimulatedHardware } from '../engine/hardware.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { contextBlock, machineBlock } from '../engine/machineBlock.ts';
import { NestwalkError } from '../errors.ts';
import { STACK_MOST_WAYS, type StackCell } from '../hardware/stack.ts';
import { COUNTER, MACHINE, MACHINE_SLOTS, PAGE_SIZES } from '../schema.ts';
import { type PreparedRun, prepareRun, type RunControl, RunLoop, tableHashes, UNWATCHED } from './execute.ts';

/** How a group is run. */
export interface GroupOptions {
  /** `tlb`: TLB counters alone, every other counter 0; `all`: a walker for each cell. */
  counters: 'tlb' | 'all';
  engine: EngineRequest;
}

/** What a group leaves: a counter block for each cell, in their order. */
export interface GroupOutcome {
  engine: 'native' | 'ts';
  tier: string;
  engineReason: string;
  counters: Float64Array[];
  events: Record<string, number>;
  seconds: number;
  prepareSeconds: number;
  hashes: Record<string, string>;
}

/**
 * Why a configuration cannot be run in a group with others that differ in their STLB's geometry, or `undefined` if it
 * can. Only lru keeps the contents of a smaller set within a larger one; only a static run keeps the TLBs apart from
 * what walks find.
 */
export function ungroupable(config: ResolvedConfig): string | undefined {
  const { machine, paging, optional, workload } = config;
  const arrays = [...machine.l1d, ...machine.stlb];
  if (machine.stlb.length !== 1) return `it has ${machine.stlb.length} STLB arrays, not one`;
  if (arrays.some((array) => array.replacement !== 'lru')) return 'a TLB is not lru';
  if (machine.stlb[0]!.ways > STACK_MOST_WAYS) return `its STLB has more than ${STACK_MOST_WAYS} ways`;
  if (paging.populate !== 'prefault' || paging.ad !== 'set')
    return 'its run is not static (prefault with A and D set)';
  if (machine.dataThroughCaches) return 'data go through its caches';
  if (optional.length > 0) return `it asks for ${optional.join(' and ')}`;
  if (isTrace(workload) && machine.l1i) return 'its trace may have fetches, and it has an L1 TLB for them';
  return undefined;
}

/** A machine block without the structures behind L1. */
function frontBlock(whole: Float64Array): Float64Array {
  const block = whole.slice();
  for (const field of ['stlbCount', 'ntlbEntries', 'pwcEntries', 'cacheCount', 'unique'] as const)
    block[MACHINE[field]] = 0;
  block.fill(0, MACHINE.psc, MACHINE.ntlbEntries);
  return block;
}

/** A machine block with the structures behind the TLBs alone. */
function walkerBlock(whole: Float64Array): Float64Array {
  const block = whole.slice();
  for (const field of ['l1dCount', 'l1iCount', 'stlbCount'] as const) block[MACHINE[field]] = 0;
  return block;
}

/** The counters of one cell: the front's, its STLB's, and what its walker counted. */
function cellCounters(
  front: Float64Array,
  walker: Float64Array | undefined,
  misses: number,
  size: number,
): Float64Array {
  const block = walker ? walker.slice() : new Float64Array(front.length);
  for (let slot = COUNTER.accesses; slot < COUNTER.stlbHits; slot++) block[slot] = front[slot]!;
  block[COUNTER.stlbHits + size] = front[COUNTER.l1Misses]! - misses;
  block[COUNTER.stlbMisses] = misses;
  block[COUNTER.walks] = misses;
  return block;
}

/** Runs the whole stream through a machine. */
async function runStream(config: ResolvedConfig, run: PreparedRun, control: RunControl): Promise<void> {
  const loop = new RunLoop(run, control);
  if (!run.trace) {
    loop.synthetic(0, config.accesses!);
    return;
  }
  let index = 0;
  for await (const block of run.trace.blocks()) {
    loop.recorded(block.pages, block.words, block.count, index);
    index += block.count;
  }
}

const seconds = (): number => performance.now() / 1000;

/**
 * Runs a configuration once for many geometries of its STLB.
 *
 * @param config the configuration of any cell; its own STLB geometry does not matter, its `sizes` do
 * @param cells entries and ways of each cell's STLB
 * @throws NestwalkError `run.failed` for a configuration that {@link ungroupable} names; `run.cancelled`; as `execute`
 */
export async function executeGroup(
  config: ResolvedConfig,
  cells: readonly StackCell[],
  options: GroupOptions,
  control: RunControl = UNWATCHED,
): Promise<GroupOutcome> {
  const reason =
    ungroupable(config) ??
    (cells.some(({ ways }) => ways > STACK_MOST_WAYS) ? 'a cell has too many ways' : undefined);
  if (reason !== undefined)
    throw new NestwalkError('run.failed', `These cells cannot be run in one pass: ${reason}.`);
  const begun = seconds();
  const choice = chooseEngine(options.engine);
  const run = await prepareRun(config, options.engine, control);
  try {
    const whole = machineBlock(config, run.system.bounds, run.system.static);
    const context = contextBlock(run.system.context);
    const make = (machine: Float64Array, withWorkload: boolean): SimulatedHardware => {
      const hardware = createHardware(choice, {
        machine,
        memory: run.system.memory.buffer,
        ...(withWorkload && run.workload ? { workload: run.workload } : {}),
      });
      hardware.loadContext(context);
      return hardware;
    };
    const front = make(frontBlock(whole), true);
    const walkers = options.counters === 'all' ? cells.map(() => make(walkerBlock(whole), false)) : [];
    const size = whole[MACHINE.staticSize]!;
    const takesPages = config.machine.stlb[0]!.sizes.includes(PAGE_SIZES[size]!);
    const shapes = takesPages ? cells : cells.map(() => ({ entries: 0, ways: 0 }));
    const stack = createStack(choice, whole, front, shapes, walkers);
    const prepared = seconds();
    await runStream(config, { ...run, hardware: front }, control);
    if (!stack.finish())
      throw new NestwalkError('engine.failed', 'A walk met a fault in a run where everything is mapped.');
    const misses = stack.misses();
    const shared = front.counters();
    return {
      engine: front.engine,
      tier: front.tier,
      engineReason: run.engineReason,
      counters: cells.map((_, i) => cellCounters(shared, walkers[i]?.counters(), misses[i]!, size)),
      events: { ...run.system.ledger.events },
      seconds: seconds() - prepared,
      prepareSeconds: prepared - begun,
      hashes: tableHashes(run.workload),
    };
  } finally {
    await run.trace?.close();
  }
}

if (MACHINE.psc > MACHINE.ntlbEntries || MACHINE.ntlbEntries > MACHINE_SLOTS)
  throw new Error('frontBlock expects the PSCs before the nested TLB');
