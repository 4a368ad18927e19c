/**
 * One virtual machine on each platform, on a machine of either engine, with a guest that has no kernel: tests write its
 * page tables themselves and make accesses on its virtual processors. Faults go to the platform, as a host would do it.
 */
import { PAGING_MODES, type PagingMode } from '../../src/config/resolved.ts';
import type { SimulatedHardware } from '../../src/engine/hardware.ts';
import { TypeScriptHardware } from '../../src/engine/hardware.ts';
import { machineBlock } from '../../src/engine/machineBlock.ts';
import { TLB_FLAGS } from '../../src/hardware/tlb.ts';
import { Ledger, type LedgerCause } from '../../src/hypervisor/ledger.ts';
import { NativePlatform } from '../../src/hypervisor/native.ts';
import { NestedPlatform } from '../../src/hypervisor/nested.ts';
import { ParavirtPlatform } from '../../src/hypervisor/paravirt.ts';
import type { AddressSpace, Platform } from '../../src/hypervisor/platform.ts';
import { processorOf } from '../../src/hypervisor/processor.ts';
import { ShadowPlatform } from '../../src/hypervisor/shadow.ts';
import type { Tagged } from '../../src/hypervisor/tags.ts';
import type { GuestKernel } from '../../src/kernel/guestKernel.ts';
import { entryFrame, entryLeaf, entryPresent } from '../../src/memory/entry.ts';
import {
  entryPages,
  type FrameSource,
  newStretch,
  type PageTable,
  stretchEnd,
} from '../../src/memory/pageTable.ts';
import { SimulatedMemory, type Zone } from '../../src/memory/simulatedMemory.ts';
import { faultFromBlock } from '../../src/run/execute.ts';
import { ACCESS_KINDS, type AccessKind, ENTRIES_PER_TABLE, ENTRY, KIND_SHIFT } from '../../src/schema.ts';
import type { Engine } from './engines.ts';
import { config } from './result.ts';

/** Platforms, the two kinds of shadow paging apart. */
export const VARIANTS = [...PAGING_MODES, 'unsync'] as const;
/** See {@link VARIANTS}. */
export type Variant = (typeof VARIANTS)[number];
/** Those on which a guest's table writes are traced. */
export const SHADOWS = ['shadow', 'unsync'] as const satisfies readonly Variant[];

/** 4 KiB frames of guest data: room for large pages of every size. */
export const DATA_FRAMES = 2 ** 19;
/** First frame of guest tables: in GPA space, and on platforms without one in HPA space. */
export const GUEST_ZONE = 2 ** 20;
const NESTED_ZONE = 2 ** 22;
const SHADOW_ZONE = 2 ** 23;
const ZONE_FRAMES = 96;
const SHADOW_FRAMES = 200;
/** 4 KiB frames of host memory. */
const HOST_FRAMES = 2 ** 22;

/** Flags of table entries: A and D left to be set. */
export const TABLE = ENTRY.present | ENTRY.writable | ENTRY.user;

/** Clears all entries of a range of 4 KiB pages. */
export function unmapRange(table: PageTable, first: number, count: number): void {
  const stretch = newStretch();
  for (let page = first; table.nextStretch(page, first + count, stretch); page = stretchEnd(stretch))
    table.unmapStretch(stretch, () => {});
}

/** Changes flags of all leaves of a range of 4 KiB pages. */
export function updateRange(
  table: PageTable,
  first: number,
  count: number,
  clear: number,
  set: number,
): void {
  const stretch = newStretch();
  for (let page = first; table.nextStretch(page, first + count, stretch); page = stretchEnd(stretch))
    table.updateStretch(stretch, clear, set);
}

/** Entries of an address space that are present, as the guest sees them: place, flags and its own frame number. */
export function entriesOf(platform: Platform, space: AddressSpace): string[] {
  const { zone, root, levels } = space.table;
  const below = (table: number, level: number): string[] => {
    const lines: string[] = [];
    for (let index = 0; index < ENTRIES_PER_TABLE; index++) {
      const at = zone.halfOf(table, index);
      const low = zone.halves[at];
      if (!entryPresent(low)) continue;
      const held = entryFrame(low, zone.halves[at + 1]);
      const leaf = entryLeaf(low, level);
      const frame = leaf ? platform.guestFrame(held) : held;
      lines.push(`L${level} ${index} ${(low & 0xfff).toString(16)} ${frame}`);
      if (!leaf) lines.push(...below(held, level - 1));
    }
    return lines;
  };
  return below(root, levels);
}

/** Host frames from a made-up order, aligned, so that nothing holds by chance as it does in ascending order. */
export class OddFrames implements FrameSource {
  #taken = 0;

  take(_region: number, sizeIndex: number, count: number, out: Float64Array): void {
    const step = entryPages(sizeIndex + 1);
    const places = HOST_FRAMES / step;
    // An odd multiplier permutes a power of two.
    for (let k = 0; k < count; k++) out[k] = (((this.#taken++ + 1) * 13) % places) * step;
  }
}

/** How a host is made. */
export interface HostOptions {
  variant: Variant;
  engine: Engine;
  /** Page-size index of host pages; default 0. */
  hostSize?: number;
  tagged?: Tagged;
  vcpus?: number;
  vm?: number;
  batch?: number;
  postedInterrupts?: boolean;
  levels?: number;
  /** Table pages of each zone; default: enough for a guest whose tables are made by hand. */
  zoneFrames?: number;
}

/** What became of an access. */
export type Answer = 'done' | 'fault';

/** Most faults of one access. */
const MOST_FAULTS = 16;

const MODES: Record<Variant, PagingMode> = {
  native: 'native',
  nested: 'nested',
  shadow: 'shadow',
  unsync: 'shadow',
  paravirt: 'paravirt',
};

/** A virtual machine and what it runs on. */
export class Host {
  readonly memory: SimulatedMemory;
  readonly ledger = new Ledger();
  readonly platform: Platform;
  /** A processor for each virtual one. */
  readonly hardware: SimulatedHardware[];
  /** Zone of the guest's tables. */
  readonly zone: Zone;
  /** Accesses made so far: the index of the next one. */
  #index = 0;
  readonly #levels: number;

  constructor(options: HostOptions) {
    const {
      variant,
      engine,
      hostSize = 0,
      tagged = ['vpid', 'pcid'],
      vm = 1,
      vcpus = 1,
      levels = 4,
    } = options;
    this.#levels = levels;
    this.memory = new SimulatedMemory([
      { name: 'guest zone', base: GUEST_ZONE, frames: options.zoneFrames ?? ZONE_FRAMES },
      { name: 'nested zone', base: NESTED_ZONE, frames: options.zoneFrames ?? SHADOW_FRAMES },
      { name: 'shadow zone', base: SHADOW_ZONE, frames: options.zoneFrames ?? SHADOW_FRAMES },
    ]);
    const [guestZone, nestedZone, shadowZone] = this.memory.zones;
    this.zone = guestZone;
    const shared = { tagged, ledger: this.ledger, vm };
    const virtualised = {
      ...shared,
      sizeIndex: hostSize,
      frames: new OddFrames(),
      footprint: { dataFrames: DATA_FRAMES, guestZone },
      populate: 'demand' as const,
      postedInterrupts: options.postedInterrupts,
    };
    const make: Record<Variant, () => Platform> = {
      native: () => new NativePlatform(shared),
      nested: () => new NestedPlatform({ ...virtualised, zone: nestedZone, levels: 4, ad: 'clear' }),
      shadow: () => new ShadowPlatform({ ...virtualised, zone: shadowZone }),
      unsync: () => new ShadowPlatform({ ...virtualised, zone: shadowZone, unsync: true }),
      // All its memory is there from the start, in pages of the largest size.
      paravirt: () =>
        new ParavirtPlatform({
          ...shared,
          sizeIndex: 2,
          frames: new OddFrames(),
          dataFrames: DATA_FRAMES,
          batch: options.batch,
        }),
    };
    this.platform = make[variant]();
    const base = config({ mode: MODES[variant], guestLevels: levels });
    const machine = {
      ...base.machine,
      tagged: [...tagged],
      caches: [{ name: 'L2', size: 8192, ways: 4, line: 64, latency: 14 }],
      l1d: [
        { entries: 16, ways: 4, sizes: ['4KiB' as const], replacement: 'lru' as const },
        { entries: 8, ways: 4, sizes: ['2MiB' as const, '1GiB' as const], replacement: 'lru' as const },
      ],
    };
    const block = machineBlock(
      { ...base, machine },
      { pageBound: 512 ** levels, guestFrameBound: 2 ** 24, hostFrameBound: 2 ** 24 },
      false,
    );
    this.hardware = Array.from({ length: vcpus }, () =>
      engine.create({ machine: block, memory: this.memory.buffer }),
    );
    this.hardware.forEach((hardware, vcpu) => {
      this.platform.attach(vcpu, processorOf(hardware));
    });
  }

  /** The platform, of shadow paging. */
  get shadow(): ShadowPlatform {
    if (!(this.platform instanceof ShadowPlatform)) throw new Error('no shadow paging');
    return this.platform;
  }

  /** An address space; the platform finds its tag. */
  space(): AddressSpace {
    return this.platform.createAddressSpace({ levels: this.#levels, zone: this.zone, tableFlags: TABLE });
  }

  /** Events of the ledger that are not 0. */
  events(): Partial<Record<LedgerCause, number>> {
    return Object.fromEntries(Object.entries(this.ledger.events).filter(([, times]) => times > 0));
  }

  /** What an action counts. */
  counted(action: () => void): Partial<Record<LedgerCause, number>> {
    this.ledger.clear();
    action();
    return this.events();
  }

  /**
   * One access on a virtual processor.
   * @param kernel mends the guest's own faults, after which the access is made again; without one they end it. It is told
   *   of the virtual processor first, as it thinks that nobody else moves it.
   * @returns `fault` where the guest has to mend one
   */
  access(
    page: number,
    kind: AccessKind = 'read',
    vcpu = 0,
    kernel?: Pick<GuestKernel, 'onVcpu' | 'onFault'>,
  ): Answer {
    const hardware = this.hardware[vcpu];
    const word = ACCESS_KINDS.indexOf(kind) << KIND_SHIFT;
    for (let faults = 0; faults < MOST_FAULTS; faults++) {
      if (hardware.runRecorded(Float64Array.of(page), Uint16Array.of(word), 0, 1, this.#index) === 1) {
        this.#index++;
        return 'done';
      }
      const fault = faultFromBlock(hardware.fault());
      (kernel ?? this.platform).onVcpu(vcpu);
      if (this.platform.onFault(fault) === 'retry') continue;
      if (kernel === undefined) return 'fault';
      kernel.onFault(fault);
    }
    throw new Error(`page ${page} faults without end`);
  }

  /** What the twin's TLB has for a page: the 4 KiB frame, the page-size index, and R/W; `undefined` without an entry. */
  cached(page: number, vcpu = 0): { frame: number; sizeIndex: number; writable: boolean } | undefined {
    const hardware = this.hardware[vcpu];
    if (!(hardware instanceof TypeScriptHardware)) throw new Error('only the twin can be looked into');
    const { l1d, table } = hardware.core;
    if (!l1d.find(Float64Array.of(page, Math.floor(page / 512), Math.floor(page / 512 ** 2)), table.owner))
      return undefined;
    const { frames, flags } = l1d.hitArray!;
    return {
      frame: frames[l1d.hitSlot] + (page % entryPages(l1d.hitSize + 1)),
      sizeIndex: l1d.hitSize,
      writable: (flags[l1d.hitSlot] & TLB_FLAGS.writable) !== 0,
    };
  }
}
