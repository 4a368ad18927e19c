/** The hardware: TLBs, paging-structure caches, nested TLB, page-walk cache, 1-D and 2-D walks. */

import {
  type Geometry,
  PAGE_SIZES,
  type Settings,
  toPageSize,
  toWays,
  type WholePsc,
  type WholeTlb,
} from './config.ts';
import { type Counters, createCounters } from './counters.ts';
import { type Entry, indexAt, type Table } from './memory.ts';
import type { Software } from './software.ts';
import { PteCaches, type Slot, Structure } from './structures.ts';
import { type Access, below, draw, PURPOSE } from './workload.ts';

/** A translation that a TLB holds: the first 4 KiB host frame of the page, and the rights. */
interface Translation {
  frame: number;
  writable: boolean;
  dirty: boolean;
}

interface TlbArray {
  sizes: string[];
  structure: Structure<Translation>;
}

type TlbHit = { array: TlbArray; slot: Slot<Translation> };

/** What `nested()` gives: the host frame of one 4 KiB guest frame, the rights, and the size of the nested leaf. */
interface Backing {
  frame: number;
  writable: boolean;
  dirty: boolean;
  level: number;
}

/** A non-leaf entry that a PSC holds: the next table and the AND of R/W so far. `backing` in combined ones only. */
interface PathEntry {
  table: number;
  writable: boolean;
  backing?: { frame: number; writable: boolean };
}

/** PSC[k] by level k; a level without a cache is absent. */
type PscLevels = Map<number, Structure<PathEntry>>;

/** Thrown out of a walk that faults; for a nested violation with the guest frame. */
class WalkFault extends Error {
  readonly violatedFrame: number | undefined;

  constructor(violatedFrame?: number) {
    super('walk fault');
    this.violatedFrame = violatedFrame;
  }
}

/** A reference that a walk made, until it is known whether the walk completes. */
interface Reference {
  row: string;
  column: string;
  hpa: number;
}

function createTlb(
  arrays: WholeTlb[] | undefined,
  chooseWay: (id: number, ways: number) => number,
  firstId: number,
): TlbArray[] {
  return (arrays ?? []).map((array, position) => {
    const ways = toWays(array);
    const choose = () => chooseWay(firstId + position, ways);
    return {
      sizes: array.sizes.map((size) => toPageSize(size).name),
      structure: new Structure<Translation>(
        array.entries,
        ways,
        array.replacement ?? 'lru',
        choose,
        array.index ?? 'low',
      ),
    };
  });
}

function createPsc(psc: WholePsc | undefined, levels: number): PscLevels {
  const geometries: [number, Geometry | undefined][] = [
    [2, psc?.l2],
    [3, psc?.l3],
    [4, psc?.l4],
    [5, psc?.l5],
  ];
  const result: PscLevels = new Map();
  for (const [level, geometry] of geometries) {
    if (geometry && level <= levels) result.set(level, new Structure(geometry.entries, toWays(geometry)));
  }
  return result;
}

/** The number under which PSC[level] keeps the entry for a 4 KiB page number. */
function pscNumber(page: number, level: number): number {
  return Math.floor(page / 512 ** (level - 1));
}

function framesOf(size: string): number {
  return PAGE_SIZES.find(({ name }) => name === size)!.frames;
}

function sizeOfLevel(level: number): string {
  return PAGE_SIZES.find((size) => size.level === level)!.name;
}

/** One processor running one context. `run` one access after the other; `counters` at the end. */
export class Machine {
  readonly counters: Counters;
  readonly #settings: Settings;
  readonly #software: Software;
  readonly #l1d: TlbArray[];
  readonly #l1i: TlbArray[];
  readonly #stlb: TlbArray[];
  readonly #psc: PscLevels;
  readonly #nestedPsc: PscLevels;
  readonly #ntlb: Structure<Translation> | undefined;
  readonly #ntlbForData: boolean;
  readonly #pwc: Structure<null> | undefined;
  readonly #pwcForNested: boolean;
  readonly #caches: PteCaches;
  readonly #uniqueSeen = new Set<string>();
  /** Pages from the least to the most recently touched. */
  #recency: number[] = [];
  #index = 0;
  #references: Reference[] = [];

  constructor(settings: Settings, software: Software) {
    const { machine } = settings;
    this.#settings = settings;
    this.#software = software;
    this.counters = createCounters(settings);
    const chooseWay = (id: number, ways: number) =>
      below(draw(settings.seed, this.#index, id, PURPOSE.replacement)[0], ways);
    this.#l1d = createTlb(machine.l1d, chooseWay, 0);
    this.#l1i = createTlb(machine.l1i, chooseWay, this.#l1d.length);
    this.#stlb = createTlb(machine.stlb, chooseWay, this.#l1d.length + this.#l1i.length);
    this.#psc = createPsc(machine.psc, settings.guestLevels);
    this.#nestedPsc = createPsc(machine.nestedPsc, settings.nestedLevels);
    this.#ntlb = machine.ntlb && new Structure(machine.ntlb.entries, toWays(machine.ntlb));
    this.#ntlbForData = (machine.ntlb?.holds ?? 'all') === 'all';
    this.#pwc = machine.pwc && new Structure(machine.pwc.entries, toWays(machine.pwc));
    this.#pwcForNested = machine.pwc?.holds !== '1d';
    this.#caches = new PteCaches(machine.caches ?? []);
  }

  /** Runs the access of an index until it completes: each fault is handled by the software, then it is retried. */
  run(index: number, access: Access): void {
    this.#index = index;
    while (!this.#attempt(access)) {
      // Nothing to do between two tries: the fault has been handled.
    }
  }

  /** One try. Counters of the TLBs are written only when the access completes. */
  #attempt(access: Access): boolean {
    const { counters } = this;
    const isFetch = access.kind === 'fetch';
    const write = access.kind === 'write';
    const ownSide = isFetch && this.#l1i.length > 0;
    const l1 = ownSide ? this.#l1i : this.#l1d;

    const l1Hit = this.#probe(l1, access.page);
    const stlbHit = l1Hit ? undefined : this.#probe(this.#stlb, access.page);
    const hit = l1Hit ?? stlbHit;
    let translation: Translation;
    let frame: number;
    let walked = false;
    if (hit && !(write && !(hit.slot.value.writable && hit.slot.value.dirty))) {
      hit.array.structure.promote(hit.slot);
      translation = hit.slot.value;
      if (stlbHit) this.#fill(l1, hit.slot.size, access.page, translation);
      frame = translation.frame + (access.page % framesOf(hit.slot.size));
    } else {
      if (hit) this.#dropTranslations([...l1, ...this.#stlb], access.page, [hit.slot.size]);
      const result = this.#walk(access);
      if (!result) return false;
      walked = true;
      this.#fill(this.#stlb, result.size, access.page, result.translation);
      this.#fill(l1, result.size, access.page, result.translation);
      frame = result.translation.frame + (access.page % framesOf(result.size));
    }

    counters.accesses++;
    if (isFetch) counters.fetches++;
    else if (write) counters.writes++;
    else counters.reads++;
    const l1Hits = ownSide ? counters.l1iHits : counters.l1Hits;
    if (l1Hit) l1Hits[l1Hit.slot.size]++;
    else if (ownSide) counters.l1iMisses++;
    else counters.l1Misses++;
    if (stlbHit) counters.stlbHits[stlbHit.slot.size]++;
    else if (!l1Hit) counters.stlbMisses++;
    if (walked) counters.walks++;
    if (walked && hit) counters.dirtyWalks++;

    if (this.#settings.machine.dataThroughCaches)
      counters.dataHits[this.#caches.serve(frame * 4096 + access.offset)]++;
    this.#noteReuse(access.page);
    return true;
  }

  // ---- TLBs

  #probe(arrays: TlbArray[], page: number): TlbHit | undefined {
    for (const array of arrays) {
      for (const size of array.sizes) {
        const slot = array.structure.find(this.#settings.tag, size, Math.floor(page / framesOf(size)));
        if (slot) return { array, slot };
      }
    }
    return undefined;
  }

  #fill(arrays: TlbArray[], size: string, page: number, translation: Translation): void {
    const array = arrays.find(({ sizes }) => sizes.includes(size));
    array?.structure.fill(this.#settings.tag, size, Math.floor(page / framesOf(size)), translation);
  }

  #dropTranslations(
    arrays: TlbArray[],
    page: number,
    sizes: string[] = PAGE_SIZES.map(({ name }) => name),
  ): void {
    for (const { structure } of arrays) {
      for (const size of sizes) structure.drop(this.#settings.tag, size, Math.floor(page / framesOf(size)));
    }
  }

  /** CR3 write without PCID, INVVPID: TLBs and (linear, combined) PSCs of the tag; the PWC is emptied. */
  #flushTag(): void {
    const { tag } = this.#settings;
    for (const { structure } of [...this.#l1d, ...this.#l1i, ...this.#stlb]) structure.dropOwner(tag);
    for (const structure of this.#psc.values()) structure.dropOwner(tag);
    this.#pwc?.clear();
  }

  // ---- The walk, its faults, and its references

  /** Walks; on a fault drops what the hardware drops, lets the software handle it, and gives nothing. */
  #walk(access: Access): { translation: Translation; size: string } | undefined {
    const write = access.kind === 'write';
    this.#references = [];
    try {
      const result =
        this.#settings.mode === 'nested'
          ? this.#walk2d(access.page, write)
          : this.#walk1d(access.page, write);
      for (const { row, column, hpa } of this.#references) {
        this.counters.refs[row][column]++;
        this.#noteUnique(row, column, hpa);
      }
      return result;
    } catch (fault) {
      if (!(fault instanceof WalkFault)) throw fault;
      for (const { row, column } of this.#references) this.counters.faultRefs[row][column]++;
      this.#fault(access.page, write, fault.violatedFrame);
      return undefined;
    }
  }

  #fault(page: number, write: boolean, violatedFrame: number | undefined): void {
    const { tag, vm, vpid } = this.#settings;
    this.#dropTranslations([...this.#l1d, ...this.#l1i, ...this.#stlb], page);
    for (const [level, structure] of this.#psc) structure.drop(tag, 'path', pscNumber(page, level));
    if (violatedFrame === undefined) {
      this.counters.guestFaults++;
      const exited = this.#software.onPageFault(page, write);
      if (exited && !vpid) this.#flushTag();
      return;
    }
    for (const { name, frames } of PAGE_SIZES) this.#ntlb?.drop(vm, name, Math.floor(violatedFrame / frames));
    for (const [level, structure] of this.#nestedPsc)
      structure.drop(vm, 'path', pscNumber(violatedFrame, level));
    this.counters.nestedViolations++;
    this.#software.onNestedViolation(violatedFrame);
    if (!vpid) this.#flushTag();
  }

  /** One reference to an entry, unless the PWC absorbs it. */
  #reference(
    dimension: 'guest' | 'nested',
    row: string,
    column: string,
    hpa: number,
    entry: Entry | undefined,
  ): void {
    const eligible = entry !== undefined && !entry.leaf && (dimension === 'guest' || this.#pwcForNested);
    if (this.#pwc && eligible) {
      const number = hpa / 8;
      const slot = this.#pwc.find(0, 'entry', number);
      if (slot) {
        this.#pwc.promote(slot);
        this.counters.pwcHits[row][column]++;
        return;
      }
      this.counters.pwcMisses[row][column]++;
      this.#pwc.fill(0, 'entry', number, null);
    }
    this.#references.push({ row, column, hpa });
    this.counters.refHits[dimension][this.#caches.serve(hpa)]++;
  }

  /** Probes a group of PSCs from level 2 up; the first hit is promoted and counted. */
  #probePsc(
    psc: PscLevels,
    levels: number,
    owner: number,
    page: number,
    hits: Record<string, number>,
  ): { level: number; path: PathEntry } | undefined {
    for (let level = 2; level <= levels; level++) {
      const structure = psc.get(level);
      const slot = structure?.find(owner, 'path', pscNumber(page, level));
      if (structure && slot) {
        structure.promote(slot);
        hits[level]++;
        return { level, path: slot.value };
      }
    }
    return undefined;
  }

  #walk1d(page: number, write: boolean): { translation: Translation; size: string } {
    const { tag, guestLevels } = this.#settings;
    const table = this.#software.walked;
    const start = this.#probePsc(this.#psc, guestLevels, tag, page, this.counters.pscHits);
    let level = start ? start.level - 1 : guestLevels;
    let frame = start ? start.path.table : table.root;
    let writable = start ? start.path.writable : true;
    for (;;) {
      const entry = table.read(frame, page, level);
      this.#reference('guest', 'pt', `L${level}`, hpaOfEntry(frame, page, level), entry);
      if (!entry) throw new WalkFault();
      entry.accessed = true;
      writable = writable && entry.writable;
      if (entry.leaf) {
        if (write && !writable) throw new WalkFault();
        if (write) entry.dirty = true;
        return {
          translation: { frame: entry.frame, writable, dirty: entry.dirty },
          size: sizeOfLevel(level),
        };
      }
      this.#psc.get(level)?.fill(tag, 'path', pscNumber(page, level), { table: entry.frame, writable });
      frame = entry.frame;
      level--;
    }
  }

  #walk2d(page: number, write: boolean): { translation: Translation; size: string } {
    const { tag, guestLevels, nestedAD } = this.#settings;
    const { table } = this.#software.kernel;
    const start = this.#probePsc(this.#psc, guestLevels, tag, page, this.counters.pscHits);
    let level = start ? start.level - 1 : guestLevels;
    let frame = start ? start.path.table : table.root;
    let writable = start ? start.path.writable : true;
    let backing = start?.path.backing;
    for (;;) {
      const row = `gL${level}`;
      const entry = table.read(frame, page, level);
      const setsBit = needsBit(entry, write, writable);
      if (!backing) {
        backing = this.#nested(frame, row, nestedAD || setsBit);
        this.#psc
          .get(level + 1)
          ?.fill(tag, 'path', pscNumber(page, level + 1), { table: frame, writable, backing });
      } else if (!nestedAD && setsBit && !backing.writable) {
        backing = this.#nested(frame, row, true);
        const slot = this.#psc.get(level + 1)?.find(tag, 'path', pscNumber(page, level + 1));
        if (slot) slot.value.backing = backing;
      }
      this.#reference('guest', row, 'g', hpaOfEntry(backing.frame, page, level), entry);
      if (!entry) throw new WalkFault();
      entry.accessed = true;
      writable = writable && entry.writable;
      if (entry.leaf) {
        if (write && !writable) throw new WalkFault();
        if (write) entry.dirty = true;
        return this.#translate(page, entry, level, writable, write);
      }
      frame = entry.frame;
      level--;
      backing = undefined;
    }
  }

  /** The end of a 2-D walk: the data page's own nested translation, and the translation that the TLBs keep. */
  #translate(
    page: number,
    leaf: Entry,
    guestLevel: number,
    writable: boolean,
    write: boolean,
  ): { translation: Translation; size: string } {
    const data = this.#nested(leaf.frame + (page % framesOf(sizeOfLevel(guestLevel))), 'gPA', write);
    const size = sizeOfLevel(Math.min(guestLevel, data.level));
    return {
      translation: {
        frame: data.frame - (page % framesOf(size)),
        writable: writable && data.writable,
        dirty: leaf.dirty && (data.dirty || !this.#settings.nestedAD),
      },
      size,
    };
  }

  /** Translates one guest frame. `write` is the intent. */
  #nested(guestFrame: number, row: string, write: boolean): Backing {
    const { vm, nestedAD } = this.#settings;
    const ntlb = row !== 'gPA' || this.#ntlbForData ? this.#ntlb : undefined;
    if (ntlb) {
      for (const { name, frames, level } of PAGE_SIZES) {
        const slot = ntlb.find(vm, name, Math.floor(guestFrame / frames));
        if (!slot) continue;
        const { frame, writable, dirty } = slot.value;
        if (write && (!writable || (nestedAD && !dirty))) {
          ntlb.drop(vm, name, slot.number);
          break;
        }
        ntlb.promote(slot);
        this.counters.ntlbHits[row]++;
        return { frame: frame + (guestFrame % frames), writable, dirty, level };
      }
      this.counters.ntlbMisses[row]++;
    }
    const { translation, level } = this.#walkNested(guestFrame, row, write);
    const size = sizeOfLevel(level);
    const offset = guestFrame % framesOf(size);
    ntlb?.fill(vm, size, Math.floor(guestFrame / framesOf(size)), translation);
    return { ...translation, frame: translation.frame + offset, level };
  }

  #walkNested(guestFrame: number, row: string, write: boolean): { translation: Translation; level: number } {
    const { vm, nestedLevels, nestedAD } = this.#settings;
    const table = this.#software.nestedTable as Table;
    const start = this.#probePsc(this.#nestedPsc, nestedLevels, vm, guestFrame, this.counters.nestedPscHits);
    let level = start ? start.level - 1 : nestedLevels;
    let frame = start ? start.path.table : table.root;
    let writable = start ? start.path.writable : true;
    for (;;) {
      const entry = table.read(frame, guestFrame, level);
      this.#reference('nested', row, `nL${level}`, hpaOfEntry(frame, guestFrame, level), entry);
      if (!entry) throw new WalkFault(guestFrame);
      if (nestedAD) entry.accessed = true;
      writable = writable && entry.writable;
      if (entry.leaf) {
        if (write && !writable) throw new WalkFault(guestFrame);
        if (write && nestedAD) entry.dirty = true;
        return { translation: { frame: entry.frame, writable, dirty: entry.dirty }, level };
      }
      this.#nestedPsc
        .get(level)
        ?.fill(vm, 'path', pscNumber(guestFrame, level), { table: entry.frame, writable });
      frame = entry.frame;
      level--;
    }
  }

  // ---- Optional counters

  #noteUnique(row: string, column: string, hpa: number): void {
    if (!this.counters.unique) return;
    const key = `${row} ${column} ${hpa}`;
    if (this.#uniqueSeen.has(key)) return;
    this.#uniqueSeen.add(key);
    this.counters.unique[row][column]++;
  }

  #noteReuse(page: number): void {
    const { reuse } = this.counters;
    if (!reuse) return;
    const position = this.#recency.lastIndexOf(page);
    if (position < 0) {
      reuse.cold++;
    } else {
      const distance = this.#recency.length - 1 - position;
      reuse.distances[distance] = (reuse.distances[distance] ?? 0) + 1;
      this.#recency.splice(position, 1);
    }
    this.#recency.push(page);
  }
}

/** Host physical address of an entry, from the host frame of its table. */
function hpaOfEntry(tableFrame: number, page: number, level: number): number {
  return tableFrame * 4096 + indexAt(page, level) * 8;
}

/** Whether the walk has to set A, or D at the leaf for a write that is allowed, in this guest entry. */
function needsBit(entry: Entry | undefined, write: boolean, pathWritable: boolean): boolean {
  if (!entry) return false;
  if (!entry.accessed) return true;
  return entry.leaf && write && pathWritable && entry.writable && !entry.dirty;
}
