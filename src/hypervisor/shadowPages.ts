/**
 * The shadow table pages of one virtual machine, kept by what they are the shadow of: a guest table page, or (direct) a
 * stretch of guest memory that the guest maps with a larger page than the host has. KVM: struct kvm_mmu_page, its hash by
 * (gfn, role), and the reverse map from a page to the entries that point at it (Linux, Documentation/virt/kvm/x86/mmu.rst).
 */
import { entryFrame, entryHigh, entryLeaf, entryLow, entryPresent } from '../memory/entry.ts';
import { entryPages } from '../memory/pageTable.ts';
import type { Zone } from '../memory/simulatedMemory.ts';
import { ENTRIES_PER_TABLE } from '../schema.ts';
import type { GuestFootprint } from './platform.ts';

/** Levels at which a direct page can be: below leaves of level 2 and 3. */
const DIRECT_LEVELS = [1, 2] as const;
/** Stands for no page and no link. */
const NONE = -1;

/**
 * Shadow pages are numbered by their place in the zone. All that is known of one stands in arrays, so that building,
 * linking and throwing away allocates nothing.
 */
export class ShadowPages {
  readonly zone: Zone;
  /** Guest writes since a page was last used, by page. */
  readonly writes: Uint8Array;
  readonly #guestZone: { base: number; frames: number };
  readonly #level: Uint8Array;
  readonly #direct: Uint8Array;
  /** Guest table frame, or first guest frame of a direct page. */
  readonly #guestFrame: Float64Array;
  /** First link that leads to a page. */
  readonly #firstLink: Int32Array;
  /** Page + 1 of a guest table page, by its place in the guest's zone. */
  readonly #ofTable: Int32Array;
  /** Page + 1 of a direct page, by its place in guest memory, for each level. */
  readonly #ofMemory: readonly Int32Array[];
  /** Links: the entry (page · 512 + index) and the next link to the same page. */
  #linkEntry = new Float64Array(1024);
  #linkNext = new Int32Array(1024);
  #links = 0;
  #freeLink = NONE;

  /** @param zone zone of the shadow tables, in HPA space; no one else takes pages of it */
  constructor(zone: Zone, footprint: GuestFootprint) {
    const { dataFrames, guestZone } = footprint;
    this.zone = zone;
    this.#guestZone = { base: guestZone.base, frames: guestZone.frames };
    this.writes = new Uint8Array(zone.frames);
    this.#level = new Uint8Array(zone.frames);
    this.#direct = new Uint8Array(zone.frames);
    this.#guestFrame = new Float64Array(zone.frames);
    this.#firstLink = new Int32Array(zone.frames).fill(NONE);
    this.#ofTable = new Int32Array(guestZone.frames);
    this.#ofMemory = DIRECT_LEVELS.map(
      (level) => new Int32Array(Math.ceil(dataFrames / entryPages(level + 1))),
    );
  }

  /** Shadow page of a guest table page; -1 where it has none. @param frame GPA >> 12 */
  ofTable(frame: number): number {
    const at = frame - this.#guestZone.base;
    return at >= 0 && at < this.#guestZone.frames ? this.#ofTable[at] - 1 : NONE;
  }

  /** Direct page of a level for guest memory from a frame on; -1 where there is none. @param frame GPA >> 12 */
  ofMemory(frame: number, level: number): number {
    return this.#ofMemory[level - 1][frame / entryPages(level + 1)] - 1;
  }

  levelOf(page: number): number {
    return this.#level[page];
  }

  /** Guest table frame that a page is the shadow of. */
  guestTableOf(page: number): number {
    return this.#guestFrame[page];
  }

  /** HPA >> 12 of a page. */
  frameOf(page: number): number {
    return this.zone.base + page;
  }

  /** Whether an entry leads to a page. */
  linked(page: number): boolean {
    return this.#firstLink[page] !== NONE;
  }

  /** A new, empty shadow page of a guest table page that has none. @throws NestwalkError `memory.full` */
  makeOfTable(frame: number, level: number): number {
    const page = this.#make(frame, level, 0);
    this.#ofTable[frame - this.#guestZone.base] = page + 1;
    return page;
  }

  /** A new, empty direct page. @throws NestwalkError `memory.full` */
  makeOfMemory(frame: number, level: number): number {
    const page = this.#make(frame, level, 1);
    this.#ofMemory[level - 1][frame / entryPages(level + 1)] = page + 1;
    return page;
  }

  /** Low half of an entry. */
  lowOf(page: number, index: number): number {
    return this.zone.halves[this.halfOf(page, index)];
  }

  /** Position of an entry's low half in the zone's halves. */
  halfOf(page: number, index: number): number {
    return (this.zone.word + page * ENTRIES_PER_TABLE + index) * 2;
  }

  /** The page that a present entry above the leaves leads to. */
  childOf(page: number, index: number): number {
    const at = this.halfOf(page, index);
    const { halves } = this.zone;
    return entryFrame(halves[at], halves[at + 1]) - this.zone.base;
  }

  /**
   * Writes a leaf where there is none, or another one in its place.
   * @returns whether that changed the entry
   */
  writeLeaf(page: number, index: number, hostFrame: number, flags: number): boolean {
    const { halves } = this.zone;
    const at = this.halfOf(page, index);
    const low = entryLow(hostFrame, flags);
    const high = entryHigh(hostFrame);
    const changed = halves[at] !== low || halves[at + 1] !== high;
    halves[at] = low;
    halves[at + 1] = high;
    return changed;
  }

  /** Gives a present entry other flags. */
  setFlags(page: number, index: number, flags: number): void {
    const at = this.halfOf(page, index);
    this.zone.halves[at] = ((this.zone.halves[at] & ~0xfff) | flags) >>> 0;
  }

  /** Makes an entry that is not present lead to a page. */
  link(page: number, index: number, child: number, flags: number): void {
    const link = this.#takeLink();
    this.#linkEntry[link] = page * ENTRIES_PER_TABLE + index;
    this.#linkNext[link] = this.#firstLink[child];
    this.#firstLink[child] = link;
    this.writeLeaf(page, index, this.frameOf(child), flags);
  }

  /**
   * Clears an entry.
   * @returns what it was: nothing, a leaf, or a link (then a direct page that nothing leads to any more has gone)
   */
  drop(page: number, index: number): 'absent' | 'leaf' | 'link' {
    const at = this.halfOf(page, index);
    const { halves } = this.zone;
    const low = halves[at];
    if (!entryPresent(low)) return 'absent';
    const leaf = entryLeaf(low, this.#level[page]);
    const child = leaf ? NONE : this.childOf(page, index);
    halves[at] = 0;
    halves[at + 1] = 0;
    if (leaf) return 'leaf';
    this.#unlink(child, page * ENTRIES_PER_TABLE + index);
    return 'link';
  }

  /**
   * Throws a page away: the entries that lead to it are cleared, and what it leads to stays, but for direct pages that
   * nothing else leads to.
   * @returns pages thrown away
   */
  zap(page: number): number {
    const before = this.zone.used;
    this.#zap(page);
    return before - this.zone.used;
  }

  #zap(page: number): void {
    const { halves } = this.zone;
    for (let link = this.#firstLink[page]; link !== NONE; link = this.#giveLink(link)) {
      const at = (this.zone.word + this.#linkEntry[link]) * 2;
      halves[at] = 0;
      halves[at + 1] = 0;
    }
    this.#firstLink[page] = NONE;
    if (this.#level[page] > 1) for (let index = 0; index < ENTRIES_PER_TABLE; index++) this.drop(page, index);
    const frame = this.#guestFrame[page];
    if (this.#direct[page] === 0) this.#ofTable[frame - this.#guestZone.base] = 0;
    else this.#ofMemory[this.#level[page] - 1][frame / entryPages(this.#level[page] + 1)] = 0;
    this.zone.release(this.frameOf(page));
  }

  #make(frame: number, level: number, direct: 0 | 1): number {
    const page = this.zone.take() - this.zone.base;
    this.#level[page] = level;
    this.#direct[page] = direct;
    this.#guestFrame[page] = frame;
    this.writes[page] = 0;
    return page;
  }

  #unlink(child: number, entry: number): void {
    let before = NONE;
    let link = this.#firstLink[child];
    while (this.#linkEntry[link] !== entry) {
      before = link;
      link = this.#linkNext[link];
    }
    const next = this.#giveLink(link);
    if (before === NONE) this.#firstLink[child] = next;
    else this.#linkNext[before] = next;
    if (this.#direct[child] === 1 && this.#firstLink[child] === NONE) this.#zap(child);
  }

  #takeLink(): number {
    const free = this.#freeLink;
    if (free !== NONE) {
      this.#freeLink = this.#linkNext[free];
      return free;
    }
    if (this.#links === this.#linkNext.length) this.#growLinks();
    return this.#links++;
  }

  /** @returns the link that came after it */
  #giveLink(link: number): number {
    const next = this.#linkNext[link];
    this.#linkNext[link] = this.#freeLink;
    this.#freeLink = link;
    return next;
  }

  #growLinks(): void {
    const entries = new Float64Array(2 * this.#links);
    entries.set(this.#linkEntry);
    this.#linkEntry = entries;
    const nexts = new Int32Array(2 * this.#links);
    nexts.set(this.#linkNext);
    this.#linkNext = nexts;
  }
}
