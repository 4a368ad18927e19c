/**
 * A test bed: page tables made by hand in simulated memory, and a machine on them that takes one access at a time.
 * There is no kernel and no hypervisor: what a test does not map is not there, and a fault only comes back as a word.
 */
import type { MachineConfig, ResolvedConfig } from '../../src/config/resolved.ts';
import type { SimulatedHardware } from '../../src/engine/hardware.ts';
import { contextBlock, machineBlock } from '../../src/engine/machineBlock.ts';
import { PageTable } from '../../src/memory/pageTable.ts';
import { SimulatedMemory, type Zone } from '../../src/memory/simulatedMemory.ts';
import { countersFromBlock } from '../../src/results/counters.ts';
import {
  ACCESS_KINDS,
  type AccessKind,
  COUNTER,
  ENTRY,
  FAULT,
  KIND_SHIFT,
  ROWS,
  RUN_STATUS,
  type RunStatus,
} from '../../src/schema.ts';
import type { Engine } from './engines.ts';

/** A machine without any structure; tests add what they are about. */
const NOTHING: MachineConfig = {
  l1d: [],
  l1i: null,
  stlb: [],
  psc: null,
  nestedPsc: null,
  ntlb: null,
  pwc: null,
  caches: [],
  memoryLatency: 200,
  stlbLatency: 7,
  dataThroughCaches: false,
  nestedAD: true,
  tagged: ['vpid', 'pcid'],
};

/** Flags of an entry that allows everything and has A and D set. */
export const FULL = ENTRY.present | ENTRY.writable | ENTRY.user | ENTRY.accessed | ENTRY.dirty;
/** {@link FULL} with A and D clear. */
export const CLEAN = ENTRY.present | ENTRY.writable | ENTRY.user;

/** How a bed is built. */
export interface BedOptions {
  mode: 'native' | 'nested';
  guestLevels?: number;
  nestedLevels?: number;
  machine?: Partial<MachineConfig>;
  /** Flags of entries that point at tables; default {@link FULL} without D. */
  tableFlags?: number;
  seed?: number | string;
  optional?: ResolvedConfig['optional'];
  /** First frame of the guest's (natively: the only) table zone; default 4 GiB, or 16 MiB where GPA space is small. */
  guestZoneFrame?: number;
  /** Promises the engine that nothing can fault or change. */
  isStatic?: boolean;
  /** Page sizes of a static run. */
  pages?: Pick<ResolvedConfig['paging'], 'guestPage' | 'nestedPage'>;
  /** Exclusive bound of GVA >> 12; default: the whole address space. */
  pageBound?: number;
  /** Exclusive bound of HPA >> 12; default 16 GiB. Engines may choose the width of keys by it. */
  hostFrameBound?: number;
}

/** Frames of each zone of tables. */
const ZONE_FRAMES = 96;
/** First frame of the nested table zone (8 GiB). */
const NESTED_ZONE = 2 ** 21;

/** Page tables made by hand, and the numbers that a machine on them needs. */
export class Bed {
  readonly options: BedOptions;
  readonly memory: SimulatedMemory;
  readonly guest: PageTable;
  /** The nested table; only in mode `nested`. */
  readonly nested: PageTable;

  constructor(options: BedOptions) {
    this.options = options;
    const { mode, guestLevels = 4, nestedLevels = 4 } = options;
    const tableFlags = options.tableFlags ?? FULL & ~ENTRY.dirty;
    const base = options.guestZoneFrame ?? (mode === 'nested' && nestedLevels === 2 ? 2 ** 12 : 2 ** 20);
    this.memory = new SimulatedMemory([
      { name: 'guest zone', base, frames: ZONE_FRAMES },
      { name: 'nested zone', base: NESTED_ZONE, frames: ZONE_FRAMES },
    ]);
    const [guestZone, nestedZone] = this.memory.zones;
    this.guest = new PageTable({ levels: guestLevels, zone: guestZone, tableFlags });
    this.nested = new PageTable({ levels: nestedLevels, zone: nestedZone, tableFlags });
  }

  /** Maps a guest page. `page` and `frame` in 4 KiB units, aligned to the size. PS is added for large pages. */
  map(page: number, frame: number, { size = 0, flags = FULL } = {}): this {
    this.guest.map(page / 512 ** size, size, frame, size > 0 ? flags | ENTRY.pageSize : flags);
    return this;
  }

  /** Backs a guest frame with a host frame; as {@link map}, in the nested table. */
  back(gpaFrame: number, hostFrame: number, { size = 0, flags = FULL } = {}): this {
    this.nested.map(gpaFrame / 512 ** size, size, hostFrame, size > 0 ? flags | ENTRY.pageSize : flags);
    return this;
  }

  /** Backs every guest table page there is, from a host frame on, in pages of a size. */
  backTables(hostFrame: number, { size = 0, flags = FULL } = {}): this {
    const span = 512 ** size;
    const { base, used } = this.guest.zone;
    for (let k = 0, page = Math.floor(base / span) * span; page < base + used; page += span, k++) {
      if (!this.nested.mapped(page)) this.back(page, hostFrame + k * span, { size, flags });
    }
    return this;
  }

  /** The entry of a table for a page at a level: its table frame, and its flags to read and write. */
  entry(table: PageTable, page: number, level: number): EntryHandle {
    let frame = table.root;
    for (let k = table.levels; k > level; k--) frame = new EntryHandle(table.zone, frame, page, k).frame;
    return new EntryHandle(table.zone, frame, page, level);
  }

  /** A machine on these tables. */
  machine(engine: Engine): Rig {
    return new Rig(engine, this);
  }

  /** The configuration as far as the engines read it. */
  config(): ResolvedConfig {
    const { mode, guestLevels = 4, nestedLevels = 4, machine, pages, seed = 1, optional = [] } = this.options;
    return {
      seed,
      optional,
      machine: { ...NOTHING, ...machine },
      paging: {
        mode,
        guestPage: pages?.guestPage ?? '4KiB',
        nestedPage: pages?.nestedPage ?? '4KiB',
        guestLevels,
        nestedLevels,
        populate: 'prefault',
        placement: 'contiguous',
        ad: 'set',
      },
      context: { tag: 1, vm: 1 },
      regions: [],
      workload: { pattern: 'uniform', region: 0, writeFraction: 0 },
      run: { engine: 'auto', workers: 1, warmup: 0 },
    };
  }
}

/** One entry in simulated memory. */
export class EntryHandle {
  readonly tableFrame: number;
  readonly index: number;
  private readonly halves: Uint32Array;
  private readonly at: number;

  constructor(zone: Zone, tableFrame: number, page: number, level: number) {
    this.tableFrame = tableFrame;
    this.index = Math.floor(page / 512 ** (level - 1)) % 512;
    this.halves = zone.halves;
    this.at = zone.halfOf(tableFrame, this.index);
  }

  /** Bits 0 to 11. */
  get flags(): number {
    return this.halves[this.at] & 0xfff;
  }

  set flags(flags: number) {
    this.halves[this.at] = ((this.halves[this.at] & ~0xfff) | flags) >>> 0;
  }

  /** Bits 12 to 51. */
  get frame(): number {
    return (this.halves[this.at + 1] & 0xfffff) * 2 ** 20 + (this.halves[this.at] >>> 12);
  }

  set frame(frame: number) {
    this.halves[this.at] = (((frame % 2 ** 20) << 12) | this.flags) >>> 0;
    this.halves[this.at + 1] = Math.floor(frame / 2 ** 20);
  }

  /** Sets and clears bits. */
  change({ set = 0, clear = 0 }: { set?: number; clear?: number }): void {
    this.flags = (this.flags & ~clear) | set;
  }

  /** Accessed and dirty, as `A`, `D`, `AD` or `-`. */
  get ad(): string {
    return `${this.flags & ENTRY.accessed ? 'A' : ''}${this.flags & ENTRY.dirty ? 'D' : ''}` || '-';
  }
}

/** Counts that are not zero, by path: `refs.gL4.nL4`. */
export type Counts = Record<string, number>;

/** A nested object of numbers as paths of those that are not zero. */
export function flatten(value: unknown, path = ''): Counts {
  if (typeof value === 'number') return value === 0 ? {} : { [path]: value };
  const inner = Object.entries(value as object).map(([key, field]) =>
    flatten(field, path === '' ? key : `${path}.${key}`),
  );
  return Object.assign({}, ...inner) as Counts;
}

/** Sum of the counts whose path begins so. */
export const total = (counts: Counts, path: string): number =>
  Object.entries(counts).reduce(
    (sum, [key, count]) => (key === path || key.startsWith(`${path}.`) ? sum + count : sum),
    0,
  );

/** What one access did: how it ended, and what it counted. */
export interface Outcome {
  status: RunStatus;
  counts: Counts;
  /** References of a completed walk. */
  refs: number;
  /** References of a walk that faulted. */
  faultRefs: number;
}

/** A machine on a bed. Accesses go one by one; `index` is the place in the stream of the next one. */
export class Rig {
  readonly hardware: SimulatedHardware;
  readonly bed: Bed;
  index = 0;

  constructor(engine: Engine, bed: Bed) {
    this.bed = bed;
    const { guestLevels = 4, isStatic = false } = bed.options;
    const { pageBound = 512 ** guestLevels, hostFrameBound = 2 ** 22 } = bed.options;
    const bounds = { pageBound, guestFrameBound: 2 ** 22, hostFrameBound };
    this.hardware = engine.create({
      machine: machineBlock(bed.config(), bounds, isStatic),
      memory: bed.memory.buffer,
    });
    this.load();
  }

  /** Loads a context; the tables stay the bed's. */
  load({
    tag = 1,
    vm = 1,
    root = this.bed.guest.root,
    nestedRoot = this.bed.nested.root,
  }: {
    tag?: number;
    vm?: number;
    root?: number;
    nestedRoot?: number;
  } = {}): this {
    const [guestZone, nestedZone] = this.bed.memory.zones;
    this.hardware.loadContext(
      contextBlock({
        root,
        nestedRoot,
        tag,
        vm,
        guestZone: guestZone.extent(),
        nestedZone: nestedZone.extent(),
      }),
    );
    return this;
  }

  counts(): Counts {
    const names = this.bed.config().machine.caches.map(({ name }) => name);
    return flatten(countersFromBlock(this.hardware.counters(), names));
  }

  read(page: number, offset = 0): Outcome {
    return this.access('read', page, offset);
  }

  write(page: number, offset = 0): Outcome {
    return this.access('write', page, offset);
  }

  fetch(page: number, offset = 0): Outcome {
    return this.access('fetch', page, offset);
  }

  /** One access. A fault leaves `index` where it is, as a retry would. */
  access(kind: AccessKind, page: number, offset: number): Outcome {
    const before = this.counts();
    const word = offset | (ACCESS_KINDS.indexOf(kind) << KIND_SHIFT);
    const done = this.hardware.runRecorded(Float64Array.of(page), Uint16Array.of(word), 0, 1, this.index);
    this.index += done;
    const status = RUN_STATUS[this.hardware.fault()[FAULT.detail]];
    if ((done === 1) !== (status === 'done')) throw new Error(`completed ${done}, status ${status}`);
    const counts = difference(this.counts(), before);
    return { status, counts, refs: total(counts, 'refs'), faultRefs: total(counts, 'faultRefs') };
  }

  /** Whether a read of a page walked (1) or hit (0); quicker than {@link access}. */
  walked(page: number): number {
    const before = this.hardware.counters()[COUNTER.walks];
    const done = this.hardware.runRecorded(Float64Array.of(page), new Uint16Array(1), 0, 1, this.index++);
    if (done !== 1) throw new Error(`page ${page} faulted`);
    return this.hardware.counters()[COUNTER.walks] - before;
  }

  /** The nested violation or guest fault that was reported last. */
  fault(): { row: string; gpaFrame: number; intent: 'read' | 'write'; page: number; index: number } {
    const block = this.hardware.fault();
    return {
      row: ROWS[block[FAULT.row]],
      gpaFrame: block[FAULT.gpaFrame],
      intent: block[FAULT.intentWrite] === 1 ? 'write' : 'read',
      page: block[FAULT.page],
      index: block[FAULT.index],
    };
  }

  /**
   * The saved state, structure by structure, as one list of numbers. (What is saved is for each structure the count of its
   * numbers, then these: for each set of an lru or fifo array the number of entries, then the entries, newest first.)
   */
  state(): number[] {
    const saved = [...this.hardware.saveState()];
    const numbers: number[] = [];
    for (let at = 0; at < saved.length; at += 1 + saved[at])
      numbers.push(...saved.slice(at + 1, at + 1 + saved[at]));
    return numbers;
  }
}

/** What was counted between two readings. */
export function difference(after: Counts, before: Counts): Counts {
  const paths = new Set([...Object.keys(after), ...Object.keys(before)]);
  const changed = [...paths].map((path) => [path, (after[path] ?? 0) - (before[path] ?? 0)] as const);
  return Object.fromEntries(changed.filter(([, count]) => count !== 0));
}
