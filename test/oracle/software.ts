/**
 * Simulated physical memory, its layout, and the least software that runs on it: a guest kernel and a hypervisor that
 * map everything before the run, or one leaf at each fault.
 */

import { type PageSize, type Region, roundUp, type Settings } from './config.ts';
import { PURPOSE, permute } from './workload.ts';

/** A page-table entry: what the 64 bits say. An absent one is not in memory at all. */
export interface Entry {
  frame: number;
  writable: boolean;
  accessed: boolean;
  dirty: boolean;
  /** Ends the walk: an entry of level 1, or a large page. */
  leaf: boolean;
}

/** The 9 bits of a 4 KiB page number that index the table of a level. */
export function indexAt(page: number, level: number): number {
  return Math.floor(page / 512 ** (level - 1)) % 512;
}

/** One radix table: entries by table frame and index, its root, and where further table pages come from. */
export class Table {
  readonly #entries = new Map<number, Entry>();
  readonly levels: number;
  readonly root: number;
  #tableCount = 1;

  /** @param zone first frame of the table zone, in the space that the table pages live in */
  constructor(levels: number, zone: number) {
    this.levels = levels;
    this.root = zone;
  }

  get tableCount(): number {
    return this.#tableCount;
  }

  read(table: number, page: number, level: number): Entry | undefined {
    return this.#entries.get(table * 512 + indexAt(page, level));
  }

  /** Maps one leaf; missing tables are allocated from the top level down, and `onTable` is told of each. */
  map(page: number, size: PageSize, leaf: Entry, adSet: boolean, onTable: (frame: number) => void): void {
    let table = this.root;
    for (let level = this.levels; level > size.level; level--) {
      let entry = this.read(table, page, level);
      if (!entry) {
        const frame = this.root + this.#tableCount++;
        onTable(frame);
        entry = { frame, writable: true, accessed: adSet, dirty: false, leaf: false };
        this.#entries.set(table * 512 + indexAt(page, level), entry);
      }
      table = entry.frame;
    }
    if (this.read(table, page, size.level)) throw new Error('oracle: mapped a page twice');
    this.#entries.set(table * 512 + indexAt(page, size.level), leaf);
  }
}

const GIB_FRAMES = 512 * 512;
const TRACE_MEMORY_BYTES = 64 * 2 ** 30;

/** Where everything lies, in 4 KiB frames. */
export interface Layout {
  /** Guest frames for data, from 0. */
  guestFrames: number;
  guestTables: number;
  /** Nested pages that host memory holds, of the nested page size. */
  hostPages: number;
  nestedTables: number;
}

/** The table pages of a guest that has all its regions mapped: one for each distinct prefix at each level. */
function countTables(regions: Region[], levels: number, leafLevel: number): number {
  let count = 1;
  for (let level = levels - 1; level >= leafLevel; level--) {
    const reach = 512 ** level;
    const prefixes = new Set<number>();
    for (const { firstPage, frames } of regions) {
      const last = Math.floor((firstPage + frames - 1) / reach);
      for (let prefix = Math.floor(firstPage / reach); prefix <= last; prefix++) prefixes.add(prefix);
    }
    count += prefixes.size;
  }
  return count;
}

/** Computes the layout. Throws an `Error` if guest memory with its tables does not fit the guest-physical space. */
export function layOut(settings: Settings): Layout {
  const { regions, nestedPage } = settings;
  const unit = settings.nested ? Math.min(512 ** (settings.nestedLevels - 1), GIB_FRAMES) : GIB_FRAMES;
  const regionFrames = regions.reduce((sum, region) => sum + region.frames, 0);
  const declaredFrames = (settings.guestMemoryBytes ?? (settings.tracing ? TRACE_MEMORY_BYTES : 0)) / 4096;
  const guestMemory = Math.max(regionFrames, declaredFrames);
  const guestTables = roundUp(guestMemory, unit);
  const tableCount = countTables(regions, settings.guestLevels, settings.guestPage.level);
  if (settings.nested && guestTables + tableCount > 512 ** settings.nestedLevels) {
    throw new Error('oracle: guest memory and tables do not fit the guest-physical address space');
  }
  const hostPages = settings.tracing
    ? Math.floor((2 * declaredFrames) / nestedPage.frames)
    : Math.ceil(regionFrames / nestedPage.frames) + Math.ceil(tableCount / nestedPage.frames);
  const hostMemory = settings.tracing ? 2 * declaredFrames : hostPages * nestedPage.frames;
  return {
    guestFrames: settings.tracing ? declaredFrames : regionFrames,
    guestTables,
    hostPages,
    nestedTables: roundUp(hostMemory, unit),
  };
}

/** The hypervisor: backs guest-physical pages with host pages. */
export class Hypervisor {
  readonly table: Table;
  readonly #settings: Settings;
  readonly #layout: Layout;
  #mapped = 0;
  readonly #backed = new Set<number>();

  constructor(settings: Settings, layout: Layout) {
    this.#settings = settings;
    this.#layout = layout;
    this.table = new Table(settings.nestedLevels, layout.nestedTables);
  }

  /** Maps the nested page around a guest frame, if it is not mapped yet; tells whether it had to. */
  back(guestFrame: number): boolean {
    const { nestedPage, adSet } = this.#settings;
    const page = Math.floor(guestFrame / nestedPage.frames);
    if (this.#backed.has(page)) return false;
    this.#backed.add(page);
    const frame = this.#allocate() * nestedPage.frames;
    const leaf = { frame, writable: true, accessed: adSet, dirty: adSet, leaf: true };
    this.table.map(page * nestedPage.frames, nestedPage, leaf, adSet, () => {});
    return true;
  }

  /** The next host page, in units of the nested page size. */
  #allocate(): number {
    const { scattered, seed } = this.#settings;
    const k = this.#mapped++;
    if (k >= this.#layout.hostPages) throw new Error('oracle: host memory is full');
    return scattered ? permute(seed, this.#layout.hostPages, k, PURPOSE.hostPlacement, 0) : k;
  }
}

/** The guest kernel (or, without a hypervisor, the only one): maps guest pages to guest frames. */
export class Kernel {
  readonly table: Table;
  readonly #settings: Settings;
  readonly #layout: Layout;
  #mapped = 0;
  readonly #mappedOfRegion: number[];

  constructor(settings: Settings, layout: Layout) {
    this.#settings = settings;
    this.#layout = layout;
    this.table = new Table(settings.guestLevels, layout.guestTables);
    this.#mappedOfRegion = settings.regions.map(() => 0);
  }

  /** Guest frames of data given out so far. */
  get dataFrames(): number {
    return this.#mapped * this.#settings.guestPage.frames;
  }

  /** Maps the guest page around a 4 KiB page. A demand fault by a write finds A and D set, as on Linux. */
  map(page: number, faultedByWrite: boolean, onTable: (frame: number) => void): void {
    const { guestPage, adSet } = this.#settings;
    const first = Math.floor(page / guestPage.frames) * guestPage.frames;
    const used = adSet || faultedByWrite;
    const frame = this.#allocate(first) * guestPage.frames;
    const leaf = { frame, writable: true, accessed: used, dirty: used, leaf: true };
    this.table.map(first, guestPage, leaf, adSet, onTable);
  }

  /** The next guest page frame, in units of the guest page size. */
  #allocate(page: number): number {
    const { regions, guestPage, scattered, seed } = this.#settings;
    const k = this.#mapped++;
    if ((k + 1) * guestPage.frames > this.#layout.guestFrames)
      throw new Error('oracle: guest memory is full');
    if (!scattered) return k;
    const r = regions.findIndex(({ firstPage, frames }) => page >= firstPage && page < firstPage + frames);
    const before = regions.slice(0, r).reduce((sum, region) => sum + region.frames / guestPage.frames, 0);
    const pages = regions[r].frames / guestPage.frames;
    return before + permute(seed, pages, this.#mappedOfRegion[r]++, PURPOSE.guestPlacement, r);
  }
}

/** Kernel and hypervisor together, ready for the first access. */
export class Software {
  readonly kernel: Kernel;
  readonly hypervisor: Hypervisor | undefined;
  readonly #settings: Settings;
  readonly #layout: Layout;

  /** @param touched 4 KiB pages of a trace in the order of their accesses; empty for a synthetic workload */
  constructor(settings: Settings, touched: number[]) {
    this.#settings = settings;
    this.#layout = layOut(settings);
    this.kernel = new Kernel(settings, this.#layout);
    this.hypervisor = settings.nested ? new Hypervisor(settings, this.#layout) : undefined;
    if (settings.prefault) {
      this.#prefaultGuest(touched);
      this.#prefaultHost();
    } else {
      this.hypervisor?.back(this.kernel.table.root);
    }
  }

  /** Handles a guest page fault; tells whether backing a new table page took a VM exit. */
  onGuestFault(page: number, write: boolean): boolean {
    let exited = false;
    this.kernel.map(page, write, (tableFrame) => {
      if (this.hypervisor?.back(tableFrame)) exited = true;
    });
    return exited;
  }

  /** Handles a nested violation, which is a VM exit. */
  onNestedViolation(guestFrame: number): void {
    if (!this.hypervisor?.back(guestFrame)) throw new Error('oracle: a violation at a backed frame');
  }

  #prefaultGuest(touched: number[]): void {
    const step = this.#settings.guestPage.frames;
    const pages: number[] = [];
    for (const { firstPage, frames } of [...this.#settings.regions].sort(
      (a, b) => a.firstPage - b.firstPage,
    )) {
      for (let page = firstPage; page < firstPage + frames; page += step) pages.push(page);
    }
    for (const page of touched) pages.push(Math.floor(page / step) * step);
    for (const page of new Set(pages)) this.kernel.map(page, false, () => {});
  }

  /** Data, then tables, in ascending guest-physical address. */
  #prefaultHost(): void {
    if (!this.hypervisor) return;
    for (let frame = 0; frame < this.kernel.dataFrames; frame++) this.hypervisor.back(frame);
    const tables = this.#layout.guestTables;
    for (let k = 0; k < this.kernel.table.tableCount; k++) this.hypervisor.back(tables + k);
  }
}
