/**
 * Simulated physical memory: page tables, where everything lies, and which host pages are behind the guest's.
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

/** One table page: its frame, in the space that it lives in, and its level. */
export interface TablePage {
  frame: number;
  level: number;
}

/** Who is told what mapping a page does. */
export interface MapObserver {
  /** A table page was allocated. */
  onTable?: (frame: number) => void;
  /** An entry is written into a table page. */
  onWrite?: (page: TablePage) => void;
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

  /** Table pages on the way to a page and the entries in them, from the root down to a leaf or to the last table there is. */
  path(page: number): { frame: number; level: number; entry: Entry | undefined }[] {
    const steps = [];
    let frame = this.root;
    for (let level = this.levels; ; level--) {
      const entry = this.read(frame, page, level);
      steps.push({ frame, level, entry });
      if (!entry || entry.leaf) return steps;
      frame = entry.frame;
    }
  }

  /** The entry that translates a page, if there is one. */
  leaf(page: number): Entry | undefined {
    return this.path(page).at(-1)?.entry;
  }

  /** Maps one leaf; missing tables are allocated from the top level down. */
  map(page: number, size: PageSize, leaf: Entry, adSet: boolean, observer: MapObserver = {}): void {
    let table = this.root;
    for (let level = this.levels; level > size.level; level--) {
      let entry = this.read(table, page, level);
      if (!entry) {
        const frame = this.root + this.#tableCount++;
        observer.onTable?.(frame);
        entry = { frame, writable: true, accessed: adSet, dirty: false, leaf: false };
        this.#entries.set(table * 512 + indexAt(page, level), entry);
        observer.onWrite?.({ frame: table, level });
      }
      table = entry.frame;
    }
    if (this.read(table, page, size.level)) throw new Error('oracle: mapped a page twice');
    this.#entries.set(table * 512 + indexAt(page, size.level), leaf);
    observer.onWrite?.({ frame: table, level: size.level });
  }

  /** What lies in memory: the 64 bits of every present entry, by their address in the space of the table. */
  words(): Map<bigint, bigint> {
    const words = new Map<bigint, bigint>();
    const visit = (frame: number, level: number): void => {
      for (let index = 0; index < 512; index++) {
        const entry = this.#entries.get(frame * 512 + index);
        if (!entry) continue;
        words.set(BigInt(frame) * 4096n + BigInt(index) * 8n, entryBits(entry, level));
        if (!entry.leaf) visit(entry.frame, level - 1);
      }
    };
    visit(this.root, this.levels);
    return words;
  }
}

/** The x86-64 form of an entry: P, R/W, U/S (always set), A, D, PS of a large leaf, and the frame. */
function entryBits({ frame, writable, accessed, dirty, leaf }: Entry, level: number): bigint {
  const flags =
    1 + (writable ? 2 : 0) + 4 + (accessed ? 32 : 0) + (dirty ? 64 : 0) + (leaf && level > 1 ? 128 : 0);
  return BigInt(frame) * 4096n + BigInt(flags);
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
  /** Behind a fully populated nested table. */
  shadowTables: number;
}

/** Consecutive 4 KiB pages of an address space. */
type Range = Pick<Region, 'firstPage' | 'frames'>;

/** The table pages of a table that maps these ranges: one for each distinct prefix at each level. */
function countTables(ranges: Range[], levels: number, leafLevel: number): number {
  let count = 1;
  for (let level = levels - 1; level >= leafLevel; level--) {
    const reach = 512 ** level;
    const prefixes = new Set<number>();
    for (const { firstPage, frames } of ranges) {
      const last = Math.floor((firstPage + frames - 1) / reach);
      for (let prefix = Math.floor(firstPage / reach); prefix <= last; prefix++) prefixes.add(prefix);
    }
    count += prefixes.size;
  }
  return count;
}

/** The guest pages that 4 KiB pages lie in, each once, in the order of their first touch. */
export function guestPagesOf(touched: number[], { frames }: PageSize): number[] {
  return [...new Set(touched.map((page) => Math.floor(page / frames) * frames))];
}

/**
 * Computes the layout. Throws an `Error` if guest memory with its tables does not fit the guest-physical space.
 *
 * @param touched 4 KiB pages of a trace in the order of their accesses
 */
export function layOut(settings: Settings, touched: number[] = []): Layout {
  const { regions, guestPage, nestedPage } = settings;
  const unit = settings.hosted ? Math.min(512 ** (settings.nestedLevels - 1), GIB_FRAMES) : GIB_FRAMES;
  const mapped: Range[] = settings.tracing
    ? guestPagesOf(touched, guestPage).map((firstPage) => ({ firstPage, frames: guestPage.frames }))
    : regions;
  const mappedFrames = mapped.reduce((sum, range) => sum + range.frames, 0);
  const declaredFrames = (settings.guestMemoryBytes ?? (settings.tracing ? TRACE_MEMORY_BYTES : 0)) / 4096;
  const guestMemory = settings.tracing ? declaredFrames : Math.max(mappedFrames, declaredFrames);
  const guestTables = roundUp(guestMemory, unit);
  const tableCount = countTables(mapped, settings.guestLevels, guestPage.level);
  if (settings.hosted && guestTables + tableCount > 512 ** settings.nestedLevels) {
    throw new Error('oracle: guest memory and tables do not fit the guest-physical address space');
  }
  const hostPages = settings.tracing
    ? Math.floor((2 * declaredFrames) / nestedPage.frames)
    : Math.ceil(mappedFrames / nestedPage.frames) + Math.ceil(tableCount / nestedPage.frames);
  const hostMemory = settings.tracing ? 2 * declaredFrames : hostPages * nestedPage.frames;
  const nestedTables = roundUp(hostMemory, unit);
  const backed = [
    { firstPage: 0, frames: mappedFrames },
    { firstPage: guestTables, frames: tableCount },
  ].filter(({ frames }) => frames > 0);
  const nestedTableCount = countTables(backed, settings.nestedLevels, nestedPage.level);
  return {
    guestFrames: settings.tracing ? declaredFrames : mappedFrames,
    guestTables,
    hostPages,
    nestedTables,
    shadowTables: roundUp(nestedTables + nestedTableCount, unit),
  };
}

/** The host: which page of its memory is behind each guest-physical page that has one. */
export class Host {
  readonly #settings: Settings;
  readonly #layout: Layout;
  /** Host pages by guest-physical page, both in units of the nested page size. */
  readonly #pages = new Map<number, number>();
  readonly #onBacked: (page: number, hostPage: number) => void;

  /** @param onBacked told of each page backed, in units of the nested page size */
  constructor(settings: Settings, layout: Layout, onBacked: (page: number, hostPage: number) => void) {
    this.#settings = settings;
    this.#layout = layout;
    this.#onBacked = onBacked;
  }

  /** Gives the nested page around a guest frame a host page, if it has none yet; tells whether it had to. */
  back(guestFrame: number): boolean {
    const page = Math.floor(guestFrame / this.#settings.nestedPage.frames);
    if (this.#pages.has(page)) return false;
    const hostPage = this.#allocate();
    this.#pages.set(page, hostPage);
    this.#onBacked(page, hostPage);
    return true;
  }

  /** The host frame behind a guest frame that is backed. */
  frameOf(guestFrame: number): number {
    const { frames } = this.#settings.nestedPage;
    const hostPage = this.#pages.get(Math.floor(guestFrame / frames));
    if (hostPage === undefined) throw new Error('oracle: a guest frame without a host frame');
    return hostPage * frames + (guestFrame % frames);
  }

  /** The next host page, in units of the nested page size. */
  #allocate(): number {
    const { scattered, seed } = this.#settings;
    const { hostPages } = this.#layout;
    const k = this.#pages.size;
    if (k >= hostPages) throw new Error('oracle: host memory is full');
    return scattered ? permute(seed, hostPages, k, PURPOSE.hostPlacement, 0) : k;
  }
}
