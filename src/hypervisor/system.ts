/** One simulated computer without its processor: memory, guest kernel and platform, ready to run or to take faults. */
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import { GuestKernel } from '../kernel/guestKernel.ts';
import { ContiguousFrames, ScatteredFrames, seedHalves } from '../memory/frames.ts';
import type { Fault, HardwareContext } from '../memory/hardwareInterface.ts';
import { type Bounds, type Layout, planLayout } from '../memory/layout.ts';
import { entryPages, type FrameSource } from '../memory/pageTable.ts';
import { SimulatedMemory } from '../memory/simulatedMemory.ts';
import { PURPOSES } from '../schema.ts';
import { Ledger } from './ledger.ts';
import { NativePlatform } from './native.ts';
import { NestedPlatform } from './nested.ts';
import { ParavirtPlatform } from './paravirt.ts';
import type { Platform } from './platform.ts';
import { type LoadableHardware, processorOf } from './processor.ts';
import { ShadowPlatform } from './shadow.ts';

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
  /** What the hardware is to be loaded with before the first access. */
  readonly context: HardwareContext;
  readonly bounds: Bounds;
  readonly kernel: GuestKernel;
  readonly platform: Platform;
  readonly ledger: Ledger;
  /** Whether no access can fault or change an entry: all is mapped, A and D are set, R/W is set everywhere. */
  readonly static: boolean;
  /**
   * Handles a fault; the hardware then retries the access.
   * @param hardware what stopped: from now on the processor that loads and invalidations go to
   * @throws NestwalkError `memory.full`; `table.corrupt`; `engine.failed` for a fault that cannot be
   */
  handleFault(fault: Fault, hardware: LoadableHardware): void;
}

/**
 * Lays out memory, starts the platform and the guest kernel on it, and maps everything when the run is prefaulted.
 * @throws NestwalkError `config.invalid` when something does not fit its address space; `memory.full` when a trace needs
 *   more frames than there are; `memory.limit` when the tables would take more than `memoryLimitBytes`
 */
export function createSystem(config: ResolvedConfig, options: SystemOptions = {}): System {
  const { paging } = config;
  const layout = planLayout(config, options.tracePages);
  const walked = layout.shadow ?? layout.nested?.zone;
  const plans = walked === undefined ? [layout.guestZone] : [layout.guestZone, walked];
  const memory = new SimulatedMemory(plans, options.memoryLimitBytes);
  options.onMemory?.(memory.buffer);
  const ledger = new Ledger();
  const platform = createPlatform(config, layout, memory, ledger);
  const [guestZone] = memory.zones;
  const kernel = new GuestKernel({
    platform,
    zone: guestZone,
    levels: paging.guestLevels,
    tag: config.context.tag,
    frames: guestFrames(config, layout),
    ledger,
    ad: paging.ad,
  });
  const framesPerPage = entryPages(layout.guestSizeIndex + 1);
  const process = kernel.createProcess({
    name: 'run',
    regions: layout.regions.map(({ page, pages }) => ({
      page: page * framesPerPage,
      pages: pages * framesPerPage,
      pageSize: paging.guestPage,
    })),
  });
  kernel.switchTo(0, process);
  if (paging.populate === 'prefault') {
    if (isTrace(config.workload)) kernel.populatePages(process, options.tracePages!);
    else kernel.populate(process);
    platform.backGuest(options.tracePages);
    // What was done before the run is no part of it.
    ledger.clear();
  }
  let attached: LoadableHardware | undefined;
  return {
    memory,
    layout,
    context: { ...platform.contextOf(kernel.space) },
    bounds: layout.bounds,
    kernel,
    platform,
    ledger,
    static: paging.populate === 'prefault' && paging.ad === 'set',
    handleFault(fault, hardware) {
      if (hardware !== attached) platform.attach(0, processorOf(hardware));
      attached = hardware;
      if (platform.onFault(fault) === 'retry') return;
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
  const { paging, machine, context } = config;
  const shared = { tagged: machine.tagged, ledger, vm: context.vm };
  if (paging.mode === 'native') return new NativePlatform(shared);
  if (paging.mode === 'paravirt') {
    const { guestSizeIndex: sizeIndex, dataFrames } = layout;
    const pages = dataFrames / entryPages(sizeIndex + 1);
    const frames = hostFrames(config, { sizeIndex, pages, memoryFrames: layout.memoryFrames });
    return new ParavirtPlatform({ ...shared, sizeIndex, frames, dataFrames, batch: paging.batch });
  }
  const nested = layout.nested!;
  const virtualised = {
    ...shared,
    sizeIndex: nested.sizeIndex,
    frames: hostFrames(config, nested),
    footprint: layout,
    populate: paging.populate,
    zone: memory.zones[1],
  };
  if (paging.mode === 'shadow') return new ShadowPlatform({ ...virtualised, unsync: paging.unsync });
  return new NestedPlatform({ ...virtualised, levels: paging.nestedLevels, ad: paging.ad });
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

/** Host memory that a platform takes frames from: so many pages of a size, in a memory of so many 4 KiB frames. */
function hostFrames(
  config: ResolvedConfig,
  nested: { sizeIndex: number; pages: number; memoryFrames: number },
): FrameSource {
  if (config.paging.placement === 'contiguous')
    return new ContiguousFrames('host memory', nested.memoryFrames);
  const key = { purpose: PURPOSES.hostPlacement, ...seedHalves(config.seed) };
  return new ScatteredFrames('host memory', nested.sizeIndex, [nested.pages], key);
}
