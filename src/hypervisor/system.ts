/** One simulated computer without its processor: memory, guest kernel and platform, ready to run or to take faults. */
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import { GuestKernel } from '../kernel/guestKernel.ts';
import { ContiguousFrames, ScatteredFrames, seedHalves } from '../memory/frames.ts';
import type { Fault, Hardware } from '../memory/hardwareInterface.ts';
import { type Bounds, type Layout, planLayout } from '../memory/layout.ts';
import type { FrameSource } from '../memory/pageTable.ts';
import { SimulatedMemory, type ZoneExtent } from '../memory/simulatedMemory.ts';
import { PURPOSES } from '../schema.ts';
import { Ledger } from './ledger.ts';
import { NativePlatform } from './native.ts';
import { NestedPlatform } from './nested.ts';
import type { Platform } from './platform.ts';

/** What the hardware is loaded with. Without a nested table `nestedRoot` is 0 and `nestedZone` is empty. */
export interface SystemContext {
  /** Root of the guest's (natively: the only) table: a frame number of `guestZone`'s space. */
  root: number;
  /** Root of the nested table: a frame number in HPA space. */
  nestedRoot: number;
  tag: number;
  vm: number;
  guestZone: ZoneExtent;
  nestedZone: ZoneExtent;
}

/** What {@link createSystem} may be given beside the configuration. */
export interface SystemOptions {
  /**
   * Needed beside a trace, whatever `populate` is: the 4 KiB pages (GVA >> 12) that the run's accesses touch, in the
   * order of first touch.
   */
  tracePages?: Float64Array;
  /** Most bytes of real memory that the page tables may take. */
  memoryLimitBytes?: number;
  /** Shown simulated memory as soon as it is there, before anything is written to it. */
  onMemory?: (buffer: SharedArrayBuffer) => void;
}

/** Memory and software of one run. */
export interface System {
  readonly memory: SimulatedMemory;
  readonly layout: Layout;
  readonly context: SystemContext;
  readonly bounds: Bounds;
  readonly kernel: GuestKernel;
  readonly platform: Platform;
  readonly ledger: Ledger;
  /** Whether no access can fault or change an entry: all is mapped, A and D are set, R/W is set everywhere. */
  readonly static: boolean;
  /**
   * Handles a fault; the hardware then retries the access.
   * @throws NestwalkError `memory.full`; `table.corrupt`; `engine.failed` for a fault that cannot be
   */
  handleFault(fault: Fault, hardware: Hardware): void;
}

/**
 * Lays out memory, starts the platform and the guest kernel on it, and maps everything when the run is prefaulted.
 * @throws NestwalkError `config.invalid` when something does not fit its address space; `memory.full` when a trace needs
 *   more frames than there are; `memory.limit` when the tables would take more than `memoryLimitBytes`
 */
export function createSystem(config: ResolvedConfig, options: SystemOptions = {}): System {
  const { paging } = config;
  const layout = planLayout(config, options.tracePages);
  const plans = layout.nested === null ? [layout.guestZone] : [layout.guestZone, layout.nested.zone];
  const memory = new SimulatedMemory(plans, options.memoryLimitBytes);
  options.onMemory?.(memory.buffer);
  const ledger = new Ledger();
  const platform = createPlatform(config, layout, memory, ledger);
  const [guestZone, nestedZone] = memory.zones;
  const kernel = new GuestKernel({
    platform,
    zone: guestZone,
    levels: paging.guestLevels,
    tag: config.context.tag,
    sizeIndex: layout.guestSizeIndex,
    regions: layout.regions,
    frames: guestFrames(config, layout),
    ad: paging.ad,
  });
  if (paging.populate === 'prefault') {
    if (isTrace(config.workload)) kernel.prefaultPages(options.tracePages!);
    else kernel.prefault();
    platform.backGuest();
  }
  return {
    memory,
    layout,
    context: {
      root: kernel.space.table.root,
      nestedRoot: platform.nestedRoot,
      tag: config.context.tag,
      vm: config.context.vm,
      guestZone: guestZone.extent(),
      nestedZone: nestedZone?.extent() ?? { base: 0, frames: 0, word: 0 },
    },
    bounds: layout.bounds,
    kernel,
    platform,
    ledger,
    static: paging.populate === 'prefault' && paging.ad === 'set',
    handleFault(fault, hardware) {
      if (platform.onFault(fault, hardware) === 'retry') return;
      ledger.count('guestFaults');
      kernel.onFault(fault);
    },
  };
}

function createPlatform(
  config: ResolvedConfig,
  layout: Layout,
  memory: SimulatedMemory,
  ledger: Ledger,
): Platform {
  const { paging, machine } = config;
  if (layout.nested === null) return new NativePlatform(machine.tagged);
  return new NestedPlatform({
    tagged: machine.tagged,
    ledger,
    zone: memory.zones[1],
    levels: paging.nestedLevels,
    sizeIndex: layout.nested.sizeIndex,
    frames: hostFrames(config, layout.nested),
    ad: paging.ad,
    footprint: layout,
    populate: paging.populate,
  });
}

function guestFrames(config: ResolvedConfig, layout: Layout): FrameSource {
  if (config.paging.placement === 'contiguous')
    return new ContiguousFrames('guest memory', layout.memoryFrames);
  return new ScatteredFrames(
    'guest memory',
    layout.guestSizeIndex,
    layout.regions.map((region) => region.pages),
    { purpose: PURPOSES.guestPlacement, ...seedHalves(config.seed) },
  );
}

function hostFrames(config: ResolvedConfig, nested: NonNullable<Layout['nested']>): FrameSource {
  if (config.paging.placement === 'contiguous')
    return new ContiguousFrames('host memory', nested.memoryFrames);
  const key = { purpose: PURPOSES.hostPlacement, ...seedHalves(config.seed) };
  return new ScatteredFrames('host memory', nested.sizeIndex, [nested.pages], key);
}
