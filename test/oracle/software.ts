/**
 * The least software that runs on the machine: a guest kernel, and for each mode what a hypervisor does below it. They map
 * everything before the run, or one leaf at each fault.
 */

import type { PageSize, Settings } from './config.ts';
import {
  type Entry,
  guestPagesOf,
  Host,
  type Layout,
  layOut,
  type MapObserver,
  Table,
  type TablePage,
} from './memory.ts';
import { PURPOSE, permute } from './workload.ts';

/** Events of the software by cause; a cause that has not occurred is absent. */
export class Ledger {
  readonly events: Record<string, number> = {};

  count(cause: string, times = 1): void {
    if (times > 0) this.events[cause] = (this.events[cause] ?? 0) + times;
  }

  /** What was done before a run is no part of it. */
  clear(): void {
    for (const cause of Object.keys(this.events)) delete this.events[cause];
  }
}

/** The guest kernel (or, without a hypervisor, the only one): maps guest pages to guest frames. */
export class Kernel {
  readonly table: Table;
  /** Guest pages mapped, by their first 4 KiB page, in the order in which they were. */
  readonly mapped: number[] = [];
  readonly #settings: Settings;
  readonly #layout: Layout;
  readonly #mappedOfRegion: number[];

  constructor(settings: Settings, layout: Layout) {
    this.#settings = settings;
    this.#layout = layout;
    this.table = new Table(settings.guestLevels, layout.guestTables);
    this.#mappedOfRegion = settings.regions.map(() => 0);
  }

  /** Guest frames of data given out so far. */
  get dataFrames(): number {
    return this.mapped.length * this.#settings.guestPage.frames;
  }

  /** Maps the guest page around a 4 KiB page. A demand fault by a write finds A and D set, as on Linux. */
  map(page: number, faultedByWrite: boolean, observer: MapObserver): void {
    const { guestPage, adSet } = this.#settings;
    const first = Math.floor(page / guestPage.frames) * guestPage.frames;
    const used = adSet || faultedByWrite;
    const frame = this.#machineFrame(this.#allocate(first)) * guestPage.frames;
    const leaf = { frame, writable: true, accessed: used, dirty: used, leaf: true };
    this.mapped.push(first);
    this.table.map(first, guestPage, leaf, adSet, observer);
  }

  /** The next guest page frame, in units of the guest page size. */
  #allocate(page: number): number {
    const { regions, guestPage, scattered, seed } = this.#settings;
    const k = this.mapped.length;
    if ((k + 1) * guestPage.frames > this.#layout.guestFrames)
      throw new Error('oracle: guest memory is full');
    if (!scattered) return k;
    const r = regions.findIndex(({ firstPage, frames }) => page >= firstPage && page < firstPage + frames);
    const before = regions.slice(0, r).reduce((sum, region) => sum + region.frames / guestPage.frames, 0);
    const pages = regions[r].frames / guestPage.frames;
    return before + permute(seed, pages, this.#mappedOfRegion[r]++, PURPOSE.guestPlacement, r);
  }

  /** What the kernel writes into an entry for a frame of its own: a paravirtual one knows which host frame that is. */
  #machineFrame(frame: number): number {
    const { mode, scattered, seed, guestPage } = this.#settings;
    if (mode !== 'paravirt' || !scattered) return frame;
    return permute(seed, this.#layout.guestFrames / guestPage.frames, frame, PURPOSE.hostPlacement, 0);
  }
}

/**
 * The shadow table of the one process that a run has: from GVA straight to HPA, filled by the hypervisor from the guest's
 * table and the host pages. All its entries have A. A shadow entry that stands for a leaf of the guest's is absent until
 * that leaf has A, and read-only until it has D; where host pages are smaller than the guest's, that is the entry above
 * the leaves. A leaf that may be written to has D: the guest's own is set by then.
 */
class Shadow {
  readonly table: Table;
  readonly #settings: Settings;
  readonly #kernel: Kernel;
  readonly #host: Host;
  readonly #ledger: Ledger;
  readonly #leaf: PageSize;
  /** Guest table pages that a shadow page stands for, which are write-protected unless they are out of sync. */
  readonly #shadowed = new Set<number>();
  readonly #unsynced = new Set<number>();

  constructor(settings: Settings, zone: number, parts: { kernel: Kernel; host: Host; ledger: Ledger }) {
    const { guestPage, nestedPage } = settings;
    this.table = new Table(settings.guestLevels, zone);
    this.#settings = settings;
    this.#kernel = parts.kernel;
    this.#host = parts.host;
    this.#ledger = parts.ledger;
    this.#leaf = guestPage.level < nestedPage.level ? guestPage : nestedPage;
    this.#shadowed.add(parts.kernel.table.root);
    this.#ledger.count('shadowTables');
  }

  /** Fills the leaf of a page from the guest's table, which maps it to a frame that has a host frame. */
  fill(page: number): void {
    const { guestPage } = this.#settings;
    const steps = this.#kernel.table.path(page);
    for (const { frame } of steps) this.#shadowed.add(frame);
    const guestLeaf = steps.at(-1)!.entry!;
    const first = Math.floor(page / this.#leaf.frames) * this.#leaf.frames;
    const frame = this.#host.frameOf(guestLeaf.frame + (first % guestPage.frames));
    const leaf = { frame, writable: true, accessed: true, dirty: true, leaf: true };
    this.table.map(first, this.#leaf, leaf, true, { onTable: () => this.#ledger.count('shadowTables') });
    this.#protect(page, guestLeaf);
  }

  /** Gives the entry that stands for the guest's leaf its rights. */
  #protect(page: number, guestLeaf: Entry): void {
    const { guestPage } = this.#settings;
    const { entry } = this.table.path(page).find(({ level }) => level === guestPage.level)!;
    entry!.writable = guestLeaf.writable && guestLeaf.dirty;
    if (entry!.leaf) entry!.dirty = entry!.writable;
  }

  /** Fills everything that the guest has mapped and that has A, in the order in which it was mapped. */
  fillAll(): void {
    const { guestPage } = this.#settings;
    for (const first of this.#kernel.mapped) {
      if (!this.#kernel.table.leaf(first)!.accessed) continue;
      for (let page = first; page < first + guestPage.frames; page += this.#leaf.frames) this.fill(page);
    }
  }

  /**
   * A write of the guest kernel to one of its table pages. A page that is written to three times without being used would
   * lose its shadow; here a hidden fault of the same address follows each write, and uses it. Nor is a page that went out
   * of sync ever brought back: a run loads CR3 once, and has no INVLPG.
   */
  onTableWrite({ frame, level }: TablePage): void {
    if (!this.#shadowed.has(frame) || this.#unsynced.has(frame)) return;
    if (this.#settings.unsync && level === 1) {
      this.#unsynced.add(frame);
      this.#ledger.count('unsyncExits');
    } else {
      this.#ledger.count('tableWriteExits');
    }
  }

  /**
   * A fault of a page that the guest maps. Where the shadow entry is there and allows the access already, a paging-structure
   * cache had kept an older right, and the retry will not find it there any more: nothing is left to do.
   */
  onHiddenFault(page: number, write: boolean): void {
    const steps = this.#kernel.table.path(page);
    const guestLeaf = steps.at(-1)!.entry!;
    const clean = write && !guestLeaf.dirty;
    const present = this.table.leaf(page) !== undefined;
    for (const { entry } of steps) entry!.accessed = true;
    if (write) guestLeaf.dirty = true;
    if (present) {
      this.#protect(page, guestLeaf);
    } else {
      this.#host.back(guestLeaf.frame + (page % this.#settings.guestPage.frames));
      this.fill(page);
    }
    if (!present) this.#ledger.count('hiddenFaultExits');
    else this.#ledger.count(clean ? 'dirtyFaultExits' : 'spuriousFaultExits');
  }
}

/** Kernel and hypervisor together, ready for the first access. */
export class Software {
  readonly kernel: Kernel;
  /** Nested paging alone. */
  readonly nestedTable: Table | undefined;
  /** The table that the hardware walks first: the guest's own, or the shadow of it. */
  readonly walked: Table;
  readonly ledger = new Ledger();
  readonly #settings: Settings;
  readonly #layout: Layout;
  readonly #host: Host | undefined;
  readonly #shadow: Shadow | undefined;

  /** @param touched 4 KiB pages of a trace in the order of their accesses; empty for a synthetic workload */
  constructor(settings: Settings, touched: number[]) {
    const { mode, hosted, nestedLevels, prefault } = settings;
    this.#settings = settings;
    this.#layout = layOut(settings, touched);
    this.kernel = new Kernel(settings, this.#layout);
    this.nestedTable = mode === 'nested' ? new Table(nestedLevels, this.#layout.nestedTables) : undefined;
    this.#host = hosted
      ? new Host(settings, this.#layout, (page, hostPage) => this.#onBacked(page, hostPage))
      : undefined;
    if (mode === 'shadow') {
      const parts = { kernel: this.kernel, host: this.#host!, ledger: this.ledger };
      this.#shadow = new Shadow(settings, this.#layout.shadowTables, parts);
    }
    this.walked = this.#shadow?.table ?? this.kernel.table;
    this.#start();
    if (prefault) {
      this.#prefaultGuest(touched);
      this.#prefaultHost();
      this.#shadow?.fillAll();
      this.ledger.clear();
    }
  }

  /** The kernel takes the root of its table, and loads CR3. */
  #start(): void {
    const { mode, prefault } = this.#settings;
    if (!prefault) this.#backTable(this.kernel.table.root);
    this.ledger.count('cr3Writes');
    if (mode === 'shadow') this.ledger.count('cr3Exits');
    if (mode === 'paravirt') {
      this.ledger.count('pinHypercalls');
      this.ledger.count('cr3Hypercalls');
    }
  }

  #onBacked(page: number, hostPage: number): void {
    const { nestedPage, adSet } = this.#settings;
    this.ledger.count('hostFrames');
    const frame = hostPage * nestedPage.frames;
    const leaf = { frame, writable: true, accessed: adSet, dirty: adSet, leaf: true };
    this.nestedTable?.map(page * nestedPage.frames, nestedPage, leaf, adSet);
  }

  /** Backs a table page that the guest kernel has taken; tells whether that took a VM exit. */
  #backTable(frame: number): boolean {
    const exited = this.#host?.back(frame) ?? false;
    if (exited) this.ledger.count('tableBackings');
    return exited;
  }

  /** Handles a page fault that the hardware reports; tells whether there was a VM exit. */
  onPageFault(page: number, write: boolean): boolean {
    if (!this.#shadow) return this.#handleGuestFault(page, write);
    if (this.kernel.table.leaf(page)) {
      this.#shadow.onHiddenFault(page, write);
    } else {
      this.ledger.count('guestFaultExits');
      this.#handleGuestFault(page, write);
    }
    return true;
  }

  /** Handles a nested violation, which is a VM exit. */
  onNestedViolation(guestFrame: number): void {
    this.ledger.count('nestedViolations');
    if (!this.#host?.back(guestFrame)) throw new Error('oracle: a violation at a backed frame');
  }

  /** The guest kernel's own handling of a fault; tells whether backing a new table page took a VM exit. */
  #handleGuestFault(page: number, write: boolean): boolean {
    const { mode, guestPage } = this.#settings;
    let exited = false;
    let writes = 0;
    this.ledger.count('guestFaults');
    if (mode === 'paravirt') this.ledger.count('faultBounces');
    this.kernel.map(page, write, {
      onTable: (frame) => {
        if (this.#backTable(frame)) exited = true;
        if (mode === 'paravirt') this.ledger.count('pinHypercalls');
      },
      onWrite: (tablePage) => {
        writes++;
        this.#shadow?.onTableWrite(tablePage);
      },
    });
    this.ledger.count('zeroedFrames', guestPage.frames);
    this.ledger.count('tableWrites', writes);
    if (mode === 'paravirt') {
      // A fault is no batch section: each entry takes effect before the next is written (Linux, lazy MMU mode).
      this.ledger.count('updateHypercalls', writes);
      this.ledger.count('validatedEntries', writes);
    }
    return exited;
  }

  #prefaultGuest(touched: number[]): void {
    const { regions, guestPage } = this.#settings;
    const pages: number[] = [];
    for (const { firstPage, frames } of [...regions].sort((a, b) => a.firstPage - b.firstPage)) {
      for (let page = firstPage; page < firstPage + frames; page += guestPage.frames) pages.push(page);
    }
    pages.push(...guestPagesOf(touched, guestPage));
    for (const page of pages) this.kernel.map(page, false, {});
  }

  /** Data, then tables, in ascending guest-physical address. */
  #prefaultHost(): void {
    for (let frame = 0; frame < this.kernel.dataFrames; frame++) this.#host?.back(frame);
    for (let k = 0; k < this.kernel.table.tableCount; k++) this.#host?.back(this.#layout.guestTables + k);
  }
}
