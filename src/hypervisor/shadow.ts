/**
 * Shadow paging: the hardware walks a table that the hypervisor keeps beside the guest's own, GVA straight to HPA. Guest
 * tables that have a shadow are write-protected, so that every change exits ("write-protect and trace"); with `unsync`
 * leaf tables may go out of sync between two flushes, as in KVM (Linux, Documentation/virt/kvm/x86/mmu.rst).
 */
import { NestwalkError } from '../errors.ts';
import { entryFrame, entryLeaf, entryPresent } from '../memory/entry.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import {
  entryPages,
  indexAt,
  newStretch,
  type PageTable,
  type Stretch,
  spacePages,
  stretchEnd,
} from '../memory/pageTable.ts';
import type { EntryRun, Zone } from '../memory/simulatedMemory.ts';
import { ENTRIES_PER_TABLE, ENTRY, MAX_TABLE_LEVELS, PAGE_SIZES } from '../schema.ts';
import { Backing } from './backing.ts';
import { GuestSpace, type VirtualCpu } from './native.ts';
import type { AddressSpace, Translation } from './platform.ts';
import { ShadowPages } from './shadowPages.ts';
import { type VirtualisedOptions, VirtualisedPlatform } from './virtualised.ts';

/** What shadow paging is set up with. */
export interface ShadowPlatformOptions extends VirtualisedOptions {
  /** Zone of the shadow tables, in HPA space; no one else takes pages of it. */
  zone: Zone;
  /** Whether leaf tables may go out of sync; default false. */
  unsync?: boolean;
}

/** Writes to a table page above the leaves, without its being used, after which KVM throws its shadow away. */
const FLOOD_WRITES = 3;
/** More single pages than this are flushed together. */
const MOST_SINGLE_FLUSHES = 32;
/** Flags of a shadow entry that leads to another one, but for R/W. */
const LINK = ENTRY.present | ENTRY.user | ENTRY.accessed;
/** Guest entries without these have no shadow. */
const SEEN = ENTRY.present | ENTRY.accessed;
/** What R/W of a shadow leaf brings with it: D is the hypervisor's to keep in the guest's entry, so here it is set. */
const WRITABLE = ENTRY.writable | ENTRY.dirty;

/** An address space, and those of its leaf tables that are out of sync. */
class ShadowSpace extends GuestSpace {
  /** Shadow pages out of sync. */
  readonly unsynced: number[] = [];
}

/** The platform `shadow`. */
export class ShadowPlatform extends VirtualisedPlatform {
  readonly #pages: ShadowPages;
  readonly #backing: Backing;
  readonly #unsync: boolean;
  /** Address space of each page that is out of sync, and its place in the list there. */
  readonly #unsyncedOf: (ShadowSpace | undefined)[];
  readonly #unsyncedAt: Int32Array;
  /** What the last walk of a guest's table found: the positions of its entries by level, … */
  readonly #path = new Float64Array(MAX_TABLE_LEVELS + 1);
  /** … the level of the leaf, … */
  #leafLevel = 0;
  /** … the guest frame of the page asked for, … */
  #gpaFrame = 0;
  /** … and the AND of R/W. */
  #writable = false;
  /** Whether the last descent through shadow pages had to make a link, … */
  #linked = false;
  /** … or to give one other rights. */
  #relinked = false;

  constructor(options: ShadowPlatformOptions) {
    super(options);
    this.#pages = new ShadowPages(options.zone, options.footprint);
    this.#backing = new Backing(options);
    this.#unsync = options.unsync ?? false;
    this.#unsyncedOf = new Array(options.zone.frames).fill(undefined);
    this.#unsyncedAt = new Int32Array(options.zone.frames);
  }

  /** Shadow table pages there are. */
  get shadowPages(): number {
    return this.#pages.zone.used;
  }

  /** Shadow table pages that an address space's root leads to, root included. */
  shadowPagesOf(space: AddressSpace): number {
    const root = this.#pages.ofTable(space.table.root);
    return root < 0 ? 0 : this.#countBelow(root);
  }

  /** Shadow table pages that are out of sync. */
  get unsyncedPages(): number {
    return this.#unsyncedOf.filter((space) => space !== undefined).length;
  }

  override translate(space: AddressSpace, page: number): Translation | undefined {
    const guest = super.translate(space, page);
    if (guest === undefined) return undefined;
    const hostFrame = this.#backing.hostFrame(guest.gpaFrame);
    return {
      ...guest,
      hpaFrame: hostFrame < 0 ? undefined : hostFrame,
      sizeIndex: Math.min(guest.sizeIndex, this.sizeIndex),
    };
  }

  override setEntries(space: AddressSpace, run: EntryRun): void {
    const page = this.#pages.ofTable(run.table);
    if (page < 0 || this.#unsyncedOf[page] !== undefined) {
      super.setEntries(space, run);
      return;
    }
    this.exit();
    if (this.#unsync && run.level === 1) {
      this.ledger.count('unsyncExits');
      this.#loseSync(space as ShadowSpace, page);
      super.setEntries(space, run);
    } else {
      super.setEntries(space, run);
      this.#trace(space as ShadowSpace, page, run);
    }
    this.enter();
  }

  override onTableFree(space: AddressSpace, frame: number, _level: number): void {
    const page = this.#pages.ofTable(frame);
    if (page < 0) return;
    this.exit();
    this.ledger.count('unshadowExits');
    this.#zap(space as ShadowSpace, page);
    this.enter();
  }

  override flushPage(space: AddressSpace, page: number): void {
    this.exit();
    this.ledger.count('invlpgExits');
    this.#syncEntry(space as ShadowSpace, page);
    super.flushPage(space, page);
    this.enter();
  }

  override flushSpace(space: AddressSpace): void {
    this.exit();
    this.ledger.count('cr3Exits');
    this.#sync(space as ShadowSpace);
    super.flushSpace(space);
    this.enter();
  }

  override switchTo(space: AddressSpace): void {
    this.exit();
    this.ledger.count('cr3Exits');
    this.#sync(space as ShadowSpace);
    this.#useRoot(space as ShadowSpace);
    super.switchTo(space);
    this.enter();
  }

  override backGuest(order?: Float64Array): void {
    super.backGuest();
    const space = this.vcpu.space as ShadowSpace | undefined;
    if (space === undefined) return;
    if (order === undefined) this.#fillAll(space);
    else for (const page of order) this.#fillGuestPage(space, page);
  }

  override onFault(fault: Fault): 'retry' | 'deliver' {
    const space = this.vcpu.space as ShadowSpace;
    if (fault.kind !== 'guestFault') return super.onFault(fault);
    const write = fault.access === 'write';
    this.exit();
    // As the hardware would, so that the guest sees no difference: A in each entry read, also where the walk then fails.
    const allowed = this.#walk(space, fault.page, ENTRY.accessed) && (this.#writable || !write);
    const cause = allowed ? this.#mend(space, fault.page, write) : 'guestFaultExits';
    this.ledger.count(cause);
    this.enter();
    return cause === 'guestFaultExits' ? 'deliver' : 'retry';
  }

  protected override makeSpace(tag: number, table: PageTable): GuestSpace {
    const space = new ShadowSpace(tag, this.vm, table);
    space.context.root = 0;
    space.context.guestZone = this.#pages.zone.extent();
    return space;
  }

  protected override isBacked(gpaFrame: number): boolean {
    return this.#backing.hostFrame(gpaFrame) >= 0;
  }

  protected override back(gpaFrame: number, count: number): void {
    this.ledger.count('hostFrames', this.#backing.back(gpaFrame, count));
  }

  // The guest's table, walked by software.

  /**
   * Walks a guest's table; what it found stays in `#path` and the fields beside it.
   * @param set bits to set in each entry read, as the hardware would
   * @returns whether it leads to a leaf
   * @throws NestwalkError `table.corrupt`
   */
  #walk({ table }: ShadowSpace, page: number, set: number): boolean {
    const { zone } = table;
    const { halves } = zone;
    let frame = table.root;
    this.#writable = true;
    for (let level = table.levels; ; level--) {
      const at = zone.halfOf(frame, indexAt(page, level));
      const low = halves[at];
      if (!entryPresent(low)) return false;
      halves[at] = low | set;
      this.#path[level] = at;
      this.#writable &&= (low & ENTRY.writable) !== 0;
      frame = entryFrame(low, halves[at + 1]);
      if (entryLeaf(low, level)) {
        // The table's own walk knows what is wrong with it.
        if (level > PAGE_SIZES.length) table.lookup(page);
        this.#leafLevel = level;
        const reach = entryPages(level);
        this.#gpaFrame = frame - (frame % reach) + (page % reach);
        return true;
      }
      if (!zone.contains(frame)) table.lookup(page);
    }
  }

  // Filling.

  /**
   * After a walk that found a leaf which allows the access: sets D for a write, puts host memory behind the page if there
   * is none, and fills one shadow entry, unless it is as it should be. Then a paging-structure cache of the processor had
   * kept an older right of an entry above it, and dropped that with the fault.
   * @returns what kind of fault this was
   */
  #mend(
    space: ShadowSpace,
    page: number,
    write: boolean,
  ): 'hiddenFaultExits' | 'dirtyFaultExits' | 'spuriousFaultExits' {
    const { halves } = space.table.zone;
    const leaf = this.#path[this.#leafLevel];
    const clean = write && (halves[leaf] & ENTRY.dirty) === 0;
    if (clean) halves[leaf] |= ENTRY.dirty;
    const level = this.#entryLevel();
    const hostFrame = this.#hostFrame();
    const shadow = this.#descend(space, page, level);
    const index = indexAt(page, level);
    const present = !this.#linked && entryPresent(this.#pages.lowOf(shadow, index));
    const changed = this.#fill(space, shadow, index, level, hostFrame) || this.#relinked;
    if (!present) return 'hiddenFaultExits';
    if (clean) return 'dirtyFaultExits';
    return changed ? 'hiddenFaultExits' : 'spuriousFaultExits';
  }

  /** Level of the shadow leaf: of the smaller of the guest's leaf and a host page. */
  #entryLevel(): number {
    return Math.min(this.#leafLevel, this.sizeIndex + 1);
  }

  /** The host frame behind the guest frame of the last walk, taken if there is none. */
  #hostFrame(): number {
    const gpaFrame = this.#gpaFrame;
    if (gpaFrame >= this.footprint.dataFrames) {
      throw new NestwalkError(
        'table.corrupt',
        `the guest maps GPA 0x${gpaFrame.toString(16)}000, where it has no memory for data`,
      );
    }
    const frame = this.#backing.hostFrame(gpaFrame);
    if (frame >= 0) return frame;
    this.back(gpaFrame, 1);
    return this.#backing.hostFrame(gpaFrame);
  }

  /**
   * The shadow page of a level on the path of the last walk, built with those above it as far as they are missing. Entries
   * that lead to others have the R/W of the guest's own; the one that stands for a guest leaf larger than host pages has
   * that leaf's rights, so that the direct pages below it can serve all who map that memory.
   */
  #descend(space: ShadowSpace, page: number, to: number): number {
    const pages = this.#pages;
    const { table } = space;
    this.#linked = false;
    this.#relinked = false;
    let shadow = pages.ofTable(table.root);
    pages.writes[shadow] = 0;
    for (let level = table.levels; level > to; level--) {
      const index = indexAt(page, level);
      const low = pages.lowOf(shadow, index);
      const flags = LINK | (this.#mayWrite(space, level) ? ENTRY.writable : 0);
      let child: number;
      if (entryPresent(low)) {
        child = pages.childOf(shadow, index);
        if (((low ^ flags) & ENTRY.writable) !== 0) {
          pages.setFlags(shadow, index, flags);
          this.#relinked = true;
        }
      } else {
        child = level > this.#leafLevel ? this.#ofTable(space, level) : this.#ofMemory(level - 1);
        pages.link(shadow, index, child, flags);
        this.#linked = true;
      }
      shadow = child;
      pages.writes[shadow] = 0;
    }
    return shadow;
  }

  /** R/W of a shadow entry of a level on the path of the last walk. */
  #mayWrite({ table }: ShadowSpace, level: number): boolean {
    if (level < this.#leafLevel) return true;
    const low = table.zone.halves[this.#path[level]];
    const wanted = level === this.#leafLevel ? WRITABLE : ENTRY.writable;
    return (low & wanted) === wanted;
  }

  /** The shadow of the guest table page that the last walk's entry of a level leads to; from now on its writes are seen. */
  #ofTable(space: ShadowSpace, level: number): number {
    const { halves } = space.table.zone;
    const at = this.#path[level];
    return this.#shadowOf(space, entryFrame(halves[at], halves[at + 1]), level - 1);
  }

  #shadowOf(space: ShadowSpace, frame: number, level: number): number {
    const pages = this.#pages;
    const known = pages.ofTable(frame);
    if (known >= 0 && pages.levelOf(known) === level) {
      if (this.#unsyncedOf[known] !== undefined) this.#syncPages(space, known);
      return known;
    }
    if (known >= 0) this.#zap(space, known);
    this.ledger.count('shadowTables');
    return pages.makeOfTable(frame, level);
  }

  #ofMemory(level: number): number {
    const first = this.#gpaFrame - (this.#gpaFrame % entryPages(level + 1));
    const known = this.#pages.ofMemory(first, level);
    if (known >= 0) return known;
    this.ledger.count('shadowTables');
    return this.#pages.makeOfMemory(first, level);
  }

  /**
   * Writes the shadow leaf of the last walk's page.
   * @param hostFrame behind its guest frame
   * @returns whether that changed it
   */
  #fill(space: ShadowSpace, shadow: number, index: number, level: number, hostFrame: number): boolean {
    const flags = LINK | (this.#mayWrite(space, level) ? WRITABLE : 0) | (level > 1 ? ENTRY.pageSize : 0);
    return this.#pages.writeLeaf(shadow, index, hostFrame - (hostFrame % entryPages(level)), flags);
  }

  /** Finds the shadow root of an address space that is loaded now, or makes it; nothing below it is built. */
  #useRoot(space: ShadowSpace): void {
    const page = this.#shadowOf(space, space.table.root, space.table.levels);
    this.#pages.writes[page] = 0;
    space.context.root = this.#pages.frameOf(page);
  }

  /** Fills the shadow of all that a guest maps, in ascending GVA. */
  #fillAll(space: ShadowSpace): void {
    const { table } = space;
    const end = spacePages(table.levels);
    const stretch = newStretch();
    for (let page = 0; table.nextStretch(page, end, stretch); page = stretchEnd(stretch)) {
      if (stretch.level <= this.sizeIndex + 1) this.#fillStretch(space, stretch);
      else
        for (let k = 0; k < stretch.count; k++)
          this.#fillGuestPage(space, stretch.page + k * entryPages(stretch.level));
    }
  }

  /** Fills the shadow of leaves of one guest table page. */
  #fillStretch(space: ShadowSpace, { table, page, level, index, count }: Stretch): void {
    const { zone } = space.table;
    const first = zone.halfOf(table, index);
    let shadow = -1;
    for (let k = 0, at = first; k < count; k++, at += 2) {
      const low = zone.halves[at];
      if ((low & SEEN) !== SEEN) continue;
      if (shadow < 0) {
        // One walk and one descent serve the whole table page.
        const gva = page + k * entryPages(level);
        if (!this.#walk(space, gva, 0) || !this.#accessed(space)) return;
        shadow = this.#descend(space, gva, level);
      }
      this.#path[level] = at;
      this.#gpaFrame = entryFrame(low, zone.halves[at + 1]);
      this.#fill(space, shadow, index + k, level, this.#hostFrame());
    }
  }

  /** Fills the shadow of one guest page, whatever it is made of, unless that is done. */
  #fillGuestPage(space: ShadowSpace, page: number): void {
    if (!this.#walk(space, page, 0) || !this.#accessed(space)) return;
    const level = this.#entryLevel();
    const reach = entryPages(level);
    const whole = entryPages(this.#leafLevel);
    const first = page - (page % whole);
    this.#gpaFrame -= page % whole;
    for (let done = 0; done < whole; ) {
      // One descent for each shadow table page; a guest page covers all of it, or a single entry.
      const shadow = this.#descend(space, first + done, level);
      let index = indexAt(first + done, level);
      if (entryPresent(this.#pages.lowOf(shadow, index))) return;
      const end = Math.min(ENTRIES_PER_TABLE, index + (whole - done) / reach);
      for (; index < end; index++, done += reach, this.#gpaFrame += reach)
        this.#fill(space, shadow, index, level, this.#hostFrame());
    }
  }

  /** Whether A is set on the whole path of the last walk: what has not been accessed has no shadow. */
  #accessed({ table }: ShadowSpace): boolean {
    let all: number = ENTRY.accessed;
    for (let level = table.levels; level >= this.#leafLevel; level--)
      all &= table.zone.halves[this.#path[level]];
    return all !== 0;
  }

  // The guest's writes.

  /** Entries of a write-protected table page have been written, an exit each: what the shadow says of them goes. */
  #trace(space: ShadowSpace, page: number, run: EntryRun): void {
    const pages = this.#pages;
    let exits = run.count;
    if (this.#unsync) {
      exits = Math.min(exits, FLOOD_WRITES - pages.writes[page]);
      pages.writes[page] += exits;
    }
    this.ledger.count('tableWriteExits', exits);
    if (this.#unsync && pages.writes[page] === FLOOD_WRITES) {
      // Its shadow is gone with the last of these writes, and the rest of the run is not seen.
      this.ledger.count('floodZaps');
      this.#zap(space, page);
      return;
    }
    const reach = entryPages(run.level);
    const singly = run.count <= MOST_SINGLE_FLUSHES;
    const before = pages.zone.used;
    let leaves = 0;
    let links = 0;
    for (let k = 0; k < run.count; k++) {
      const was = pages.drop(page, run.index + k);
      if (was === 'link') links++;
      if (was !== 'leaf') continue;
      leaves++;
      if (singly) this.#forgetPage(space, run.page + k * reach);
    }
    // With the last link to a direct page that page has gone.
    this.ledger.count('shadowZaps', before - pages.zone.used);
    if (links > 0) this.#forgetSpace(space, links);
    if (!singly && leaves > 0) this.#forgetSpace(space, leaves);
  }

  /** Throws a shadow page away. What has it for a root gets another. */
  #zap(space: ShadowSpace, page: number): void {
    const frame = this.#pages.frameOf(page);
    const reachable = this.#pages.linked(page);
    this.#gainSync(page);
    this.ledger.count('shadowZaps', this.#pages.zap(page));
    const rooted = this.vcpus.find((cpu) => cpu.space?.context.root === frame)?.space;
    if (rooted !== undefined) {
      this.#useRoot(rooted as ShadowSpace);
      for (const cpu of this.vcpus) if (cpu.space === rooted) cpu.load();
    }
    if (reachable || rooted !== undefined) this.#forgetSpace(space, 1);
  }

  // Out of sync, and back.

  #loseSync(space: ShadowSpace, page: number): void {
    this.#unsyncedOf[page] = space;
    this.#unsyncedAt[page] = space.unsynced.length;
    space.unsynced.push(page);
  }

  /** Takes a page from the list of those that are out of sync, if it is there. */
  #gainSync(page: number): void {
    const space = this.#unsyncedOf[page];
    if (space === undefined) return;
    const last = space.unsynced.pop()!;
    const at = this.#unsyncedAt[page];
    if (last !== page) {
      space.unsynced[at] = last;
      this.#unsyncedAt[last] = at;
    }
    this.#unsyncedOf[page] = undefined;
  }

  /** Brings all of an address space back in sync. */
  #sync(space: ShadowSpace): void {
    while (space.unsynced.length > 0) this.#syncPages(space, space.unsynced[space.unsynced.length - 1]);
  }

  /** Brings one page back in sync; its writes are seen again. */
  #syncPages(space: ShadowSpace, page: number): void {
    this.#gainSync(page);
    this.ledger.count('resyncedTables');
    let differ = 0;
    let taken = false;
    for (let index = 0; index < ENTRIES_PER_TABLE; index++) {
      const change = this.#syncAt(space, page, index);
      if (change !== 'none') differ++;
      if (change === 'taken') taken = true;
    }
    this.ledger.count('resyncedEntries', differ);
    if (taken) this.#forgetSpace(space, 1);
  }

  /** INVLPG: brings the entry of one page back in sync, if its table is not. */
  #syncEntry(space: ShadowSpace, page: number): void {
    if (space.unsynced.length === 0) return;
    const pages = this.#pages;
    let shadow = pages.ofTable(space.table.root);
    for (let level = space.table.levels; level > 1; level--) {
      if (shadow < 0) return;
      const index = indexAt(page, level);
      const low = pages.lowOf(shadow, index);
      if (!entryPresent(low) || entryLeaf(low, level)) return;
      shadow = pages.childOf(shadow, index);
    }
    if (this.#unsyncedOf[shadow] === undefined) return;
    const change = this.#syncAt(space, shadow, indexAt(page, 1));
    if (change === 'none') return;
    this.ledger.count('resyncedEntries');
    if (change === 'taken') this.#forgetPage(space, page);
  }

  /**
   * Compares a shadow leaf of level 1 with the guest's entry.
   * @returns whether it differed, and if so whether a right was given or something was taken away
   */
  #syncAt({ table }: ShadowSpace, page: number, index: number): 'none' | 'given' | 'taken' {
    const pages = this.#pages;
    const shadowAt = pages.halfOf(page, index);
    const { halves } = pages.zone;
    const low = halves[shadowAt];
    if (!entryPresent(low)) return 'none';
    const at = table.zone.halfOf(pages.guestTableOf(page), index);
    const guestLow = table.zone.halves[at];
    const hostFrame = this.#backing.hostFrame(entryFrame(guestLow, table.zone.halves[at + 1]));
    if ((guestLow & SEEN) !== SEEN || hostFrame !== entryFrame(low, halves[shadowAt + 1])) {
      pages.drop(page, index);
      return 'taken';
    }
    const mayWrite = (guestLow & WRITABLE) === WRITABLE;
    if (mayWrite === ((low & ENTRY.writable) !== 0)) return 'none';
    pages.setFlags(page, index, LINK | (mayWrite ? WRITABLE : 0));
    return mayWrite ? 'given' : 'taken';
  }

  // What the processors have cached of a shadow table.

  /** A shadow leaf has been taken away: its page goes from every processor that runs the address space. */
  #forgetPage(space: ShadowSpace, page: number): void {
    for (let vcpu = 0; vcpu < this.vcpus.length; vcpu++) {
      const cpu = this.vcpus[vcpu];
      if (cpu.space !== space) continue;
      if (vcpu !== this.vcpuNumber) this.#kick(cpu, 1);
      cpu.processor.invlpg(space.tag, page);
    }
  }

  /**
   * Shadow entries have been taken away, and perhaps a shadow page behind them: all of the address space goes from every
   * processor that may have something of it.
   */
  #forgetSpace(space: ShadowSpace, times: number): void {
    for (let vcpu = 0; vcpu < space.seen.length; vcpu++) {
      if (!space.seen[vcpu]) continue;
      const cpu = this.vcpus[vcpu];
      if (vcpu !== this.vcpuNumber && cpu.space === space) this.#kick(cpu, times);
      cpu.processor.flushTag(space.tag);
    }
  }

  /** Interrupts another virtual processor, so that it leaves the guest and forgets. */
  #kick(cpu: VirtualCpu, times: number): void {
    this.exit(cpu);
    this.ledger.count('shadowKicks', times);
    this.enter(cpu);
  }

  #countBelow(page: number): number {
    const pages = this.#pages;
    let count = 1;
    if (pages.levelOf(page) === 1) return count;
    for (let index = 0; index < ENTRIES_PER_TABLE; index++) {
      const low = pages.lowOf(page, index);
      if (entryPresent(low) && !entryLeaf(low, pages.levelOf(page)))
        count += this.#countBelow(pages.childOf(page, index));
    }
    return count;
  }
}
