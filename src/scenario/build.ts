/** Builds the host of a scenario: simulated memory with all its zones, cores, platforms, guest kernels. */
import type { MachineConfig, PagingMode, ResolvedConfig } from '../config/resolved.ts';
import { seedWords } from '../config/units.ts';
import { createHardware } from '../engine/hardware.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { machineBlock } from '../engine/machineBlock.ts';
import { NestwalkError } from '../errors.ts';
import { Ledger } from '../hypervisor/ledger.ts';
import { NativePlatform } from '../hypervisor/native.ts';
import { NestedPlatform } from '../hypervisor/nested.ts';
import { ParavirtPlatform } from '../hypervisor/paravirt.ts';
import type { GuestFootprint, Platform } from '../hypervisor/platform.ts';
import { ShadowPlatform } from '../hypervisor/shadow.ts';
import { GuestKernel } from '../kernel/guestKernel.ts';
import { FrameAllocator } from '../memory/frameAllocator.ts';
import { ContiguousFrames } from '../memory/frames.ts';
import type { FrameSource } from '../memory/pageTable.ts';
import { spacePages } from '../memory/pageTable.ts';
import { SimulatedMemory, type Zone, type ZonePlan } from '../memory/simulatedMemory.ts';
import { countTablePages } from '../memory/tableCount.ts';
import type { RunControl } from '../run/control.ts';
import { machineMemoryBytes } from '../run/execute.ts';
import { PAGE_BYTES, PAGE_SIZES, type PageSize } from '../schema.ts';
import { Core } from './core.ts';
import { Guest } from './guest.ts';
import { Host } from './host.ts';
import type { ScenarioPlatform, ScenarioSetup } from './setup.ts';

const PAGE = 4096;
/** Levels of every table of a scenario. */
const LEVELS = 4;
/** 4 KiB frames of 1 GiB: zones start at such boundaries, as in a run ("Layout" in docs/model.md). */
const UNIT_FRAMES = 2 ** 18;
/** Table pages of a guest that says nothing of them: at least so many, and one for so many pages of its memory. */
const LEAST_TABLE_PAGES = 4096;
const PAGES_OF_A_TABLE = 64;

/** What a host is built from. */
export interface HostOptions {
  platform: ScenarioPlatform;
  setup: ScenarioSetup;
  machine: MachineConfig;
  /** Page size of the host: nested pages, and what a hypervisor with shadow tables allocates at a time. */
  hostPage: PageSize;
  /** Entries that a hypercall of a paravirtual guest carries at the most. */
  batch: number;
  seed: number | string;
  engine: EngineRequest;
  control: RunControl;
}

/** A host that is ready, and what a result needs of it. */
export interface BuiltHost {
  host: Host;
  /** Machine and paging as a run's configuration has them, for prices. */
  config: ResolvedConfig;
  engine: 'native' | 'ts';
  tier: string;
  engineReason: string;
  /** Bytes of table pages, the most that were in use at a time. */
  tableBytes(): { guest: number; nested: number; shadow: number };
}

const MODES: Readonly<Record<ScenarioPlatform, PagingMode>> = {
  native: 'native',
  nested: 'nested',
  shadow: 'shadow',
  'shadow-unsync': 'shadow',
  paravirt: 'paravirt',
};

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** The largest page that a guest of this set-up maps. */
const largestPageOf = (setup: ScenarioSetup): PageSize =>
  setup.largestPage ?? ((setup.hugePages ?? 'never') === 'never' ? '4KiB' : '2MiB');

/** The machine and paging of a scenario's run, as a run's configuration would have them. */
export function scenarioConfig(options: Omit<HostOptions, 'engine' | 'control'>): ResolvedConfig {
  const { platform, setup, hostPage, batch, seed } = options;
  const mode = MODES[platform];
  const machine = setup.tagged ? { ...options.machine, tagged: [...setup.tagged] } : options.machine;
  return {
    seed,
    optional: [],
    machine,
    paging: {
      mode,
      guestPage: largestPageOf(setup),
      nestedPage: hostPage,
      guestLevels: LEVELS,
      nestedLevels: LEVELS,
      populate: 'demand',
      placement: 'contiguous',
      ad: 'clear',
      ...(mode === 'shadow' ? { unsync: platform === 'shadow-unsync' } : {}),
      ...(mode === 'paravirt' ? { batch } : {}),
    },
    context: { tag: 1, vm: 1 },
    regions: [],
    workload: { pattern: 'uniform', region: 0, writeFraction: 0 },
    run: { engine: 'auto', workers: 'auto', warmup: 0 },
  };
}

/** Where everything of one guest lies, in 4 KiB frames. */
interface GuestPlan extends GuestFootprint {
  guestZone: ZonePlan;
  /** Zone of the tables that the hypervisor keeps for it, if it keeps any. */
  hostZone?: ZonePlan;
}

/** Plans zones one behind the other in HPA space. */
class HostSpace {
  next: number;

  constructor(from: number) {
    this.next = from;
  }

  /** A zone of so many frames, at the next boundary. */
  zone(name: string, frames: number): ZonePlan {
    const base = roundUp(this.next, UNIT_FRAMES);
    this.next = base + frames;
    return { name, base, frames };
  }
}

/** Table pages that the hypervisor's tables for a guest can take: all of a nested table, or shadow pages of every kind. */
function hostTables(mode: PagingMode, footprint: GuestFootprint, hostSize: number, largest: number): number {
  const { dataFrames, guestZone } = footprint;
  if (mode === 'nested') {
    const ranges = [
      { first: 0, count: dataFrames },
      { first: guestZone.base, count: guestZone.frames },
    ];
    return countTablePages(ranges, hostSize, LEVELS);
  }
  // A shadow page for each table page, and direct ones below large leaves on smaller host pages.
  const direct = (size: number): number =>
    largest >= size && hostSize < size ? Math.ceil(dataFrames / 512 ** size) : 0;
  return guestZone.frames + direct(1) + 2 * direct(2) + 1;
}

/**
 * Builds the host of a scenario.
 * @throws NestwalkError `memory.limit` when its tables would take more real memory than there is; `memory.full`; those of
 *   the engine
 */
export function buildHost(options: HostOptions): BuiltHost {
  const { platform, setup, hostPage, batch, control } = options;
  const config = scenarioConfig(options);
  const { machine } = config;
  const mode = MODES[platform];
  const seed = seedWords(options.seed);
  const largest = PAGE_SIZES.indexOf(largestPageOf(setup));
  const hostSize = mode === 'paravirt' ? largest : PAGE_SIZES.indexOf(hostPage);
  const hostPageFrames = PAGE_BYTES[PAGE_SIZES[hostSize]!] / PAGE;
  const { guests: asked = 1, vcpus = 1 } = setup;
  // Natively there is one machine, which has the memory of all guests.
  const kernels = mode === 'native' ? 1 : asked;
  const share = asked / kernels;
  const dataFrames =
    roundUp(Math.ceil(setup.memoryBytes / PAGE), PAGE_BYTES[PAGE_SIZES[largest]!] / PAGE) * share;
  const tablePages =
    (setup.tablePages ?? Math.max(LEAST_TABLE_PAGES, Math.ceil(dataFrames / share / PAGES_OF_A_TABLE))) *
    share;

  const ownMemory = mode === 'nested' || mode === 'shadow';
  const guestZoneFrames = roundUp(tablePages, hostPageFrames);
  const memoryFrames = kernels * (roundUp(dataFrames, hostPageFrames) + (ownMemory ? guestZoneFrames : 0));
  const space = new HostSpace(memoryFrames);
  const nameOf = (what: string, number: number): string =>
    kernels === 1 ? what : `${what} of guest ${number + 1}`;
  const plans = Array.from({ length: kernels }, (_, number): GuestPlan => {
    const zoneName = nameOf('guest table zone', number);
    const guestZone = ownMemory
      ? { name: zoneName, base: roundUp(dataFrames, UNIT_FRAMES), frames: tablePages }
      : space.zone(zoneName, tablePages);
    const footprint = { dataFrames, guestZone };
    if (!ownMemory) return footprint;
    const hostZone = space.zone(
      nameOf(`${mode} table zone`, number),
      hostTables(mode, footprint, hostSize, largest),
    );
    return { ...footprint, hostZone };
  });

  const zonePlans = plans.flatMap(({ guestZone, hostZone }) =>
    hostZone ? [guestZone, hostZone] : [guestZone],
  );
  const memory = new SimulatedMemory(zonePlans, 0.8 * machineMemoryBytes());
  const guestFrameBound = Math.max(...plans.map(({ guestZone }) => guestZone.base + guestZone.frames));
  const bounds = {
    pageBound: spacePages(LEVELS),
    guestFrameBound: mode === 'nested' ? guestFrameBound : space.next,
    hostFrameBound: space.next,
  };
  const choice = chooseEngine(options.engine);
  const block = machineBlock(config, bounds, false);
  const machines = Array.from({ length: vcpus }, () =>
    createHardware(choice, { machine: block, memory: memory.buffer }),
  );
  const cores = machines.map((hardware) => new Core(hardware, control));

  const ledger = new Ledger();
  const hostFrames = new ContiguousFrames('host memory', memoryFrames);
  let nextZone = 0;
  const zonesOf = plans.map(({ hostZone }) => ({
    guest: memory.zones[nextZone++]!,
    host: hostZone ? memory.zones[nextZone++]! : undefined,
  }));
  const entered: (Guest | undefined)[] = [];
  const enter = (guest: Guest, vcpu: number): void => {
    const other = entered[vcpu];
    entered[vcpu] = guest;
    if (other === undefined) return;
    const { vm } = cores[vcpu]!;
    if (vm !== -1 && vm !== other.platform.vm) throw notEntered(other, vm, vcpu);
    if (other.platform === guest.platform) return;
    other.platform.leaveCore(vcpu);
    guest.platform.enterCore(vcpu);
  };
  const systems = plans.map((plan, number) => {
    const zones = zonesOf[number]!;
    const vm = number + 1;
    const made = makePlatform({
      platform,
      tagged: machine.tagged,
      ledger,
      vm,
      hostSize,
      hostFrames,
      plan,
      hostZone: zones.host,
      batch,
    });
    cores.forEach((core, vcpu) => {
      made.attach(vcpu, core);
    });
    const kernel = new GuestKernel({
      platform: made,
      zone: zones.guest,
      frames: new FrameAllocator(nameOf('guest memory', number), dataFrames),
      levels: LEVELS,
      ledger,
      ad: 'clear',
      vcpus,
      pcid: machine.tagged.includes('pcid'),
      kpti: setup.kpti ?? false,
      hugePages: setup.hugePages ?? 'never',
    });
    return { kernel, platform: made };
  });
  const guests = Array.from({ length: asked }, (_, number) => {
    const { kernel, platform: under } = systems[mode === 'native' ? 0 : number]!;
    return new Guest({ number, kernel, platform: under, cores, enter, seed });
  });
  const peakBytes = (zones: readonly (Zone | undefined)[]): number =>
    zones.reduce((bytes, zone) => bytes + (zone?.peak ?? 0) * PAGE, 0);
  return {
    host: new Host({ platform, cores, guests, ledger, control, seed }),
    config,
    engine: choice.engine,
    tier: machines[0]!.tier,
    engineReason: choice.reason,
    tableBytes: () => {
      const kept = peakBytes(zonesOf.map(({ host }) => host));
      return {
        guest: peakBytes(zonesOf.map(({ guest }) => guest)),
        nested: mode === 'nested' ? kept : 0,
        shadow: mode === 'shadow' ? kept : 0,
      };
    },
  };
}

/** A driver that let a guest's kernel work on a core where another guest was. */
function notEntered(there: Guest, vm: number, vcpu: number): NestwalkError {
  return new NestwalkError(
    'usage',
    `the kernel of guest ${vm} loaded an address space on core ${vcpu} while guest ${there.platform.vm} was there; call ` +
      'guest.enter() before the work of its kernel',
  );
}

interface PlatformParts {
  platform: ScenarioPlatform;
  tagged: readonly ('vpid' | 'pcid')[];
  ledger: Ledger;
  vm: number;
  hostSize: number;
  hostFrames: FrameSource;
  plan: GuestPlan;
  hostZone: Zone | undefined;
  batch: number;
}

function makePlatform(parts: PlatformParts): Platform {
  const { platform, tagged, ledger, vm, hostSize, hostFrames, plan, hostZone, batch } = parts;
  const common = { tagged, ledger, vm };
  const { dataFrames } = plan;
  const virtualised = {
    ...common,
    sizeIndex: hostSize,
    frames: hostFrames,
    footprint: plan,
    populate: 'demand' as const,
  };
  switch (platform) {
    case 'native':
      return new NativePlatform(common);
    case 'nested':
      return new NestedPlatform({ ...virtualised, zone: hostZone!, levels: LEVELS, ad: 'clear' });
    case 'paravirt':
      return new ParavirtPlatform({ ...common, sizeIndex: hostSize, frames: hostFrames, dataFrames, batch });
    default:
      return new ShadowPlatform({ ...virtualised, zone: hostZone!, unsync: platform === 'shadow-unsync' });
  }
}
