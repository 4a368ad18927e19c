/**
 * The walker. A dimension translates a page of one space into one of the space below. There is one walk loop,
 * `Radix`; what lies below it is either `Physical` (its table pages are real) or a `NestedDimension` (each table
 * page, and the final page, is translated first). `Radix` over `Physical` is the 1-D walk that native, shadow and
 * paravirtual paging share; `Radix` over `NestedDimension`, which holds a `Radix` over `Physical`, is the 2-D walk
 * (Bhargava et al., ASPLOS 2008; AMD APM vol. 2, nested paging; Intel SDM vol. 3C 28.2, 28.3).
 */
import {
  COLUMN_G,
  COLUMNS,
  COUNTER,
  columnOfLevel,
  ENTRIES_PER_TABLE,
  ENTRY,
  MAX_CACHES,
  POSITIONS,
  ROW_GPA,
  ROW_PT,
  rowOfGuestLevel,
} from '../schema.ts';
import type { NestedTlb } from './nestedTlb.ts';
import { PSC_FLAGS, type Psc, type PscLevel } from './psc.ts';
import type { PteCaches } from './pteCaches.ts';
import type { Pwc } from './pwc.ts';
import { TLB_FLAGS } from './tlb.ts';

/** How a walk ends: `RUN_STATUS` of the schema by name. `notStatic`: it changed a table that was promised not to change. */
export const WALK = { done: 0, guestFault: 1, nestedViolation: 2, corruptTable: 3, notStatic: 4 } as const;

/** A zone of simulated memory that holds table pages: first frame, frames, first 64-bit word. */
export interface TableZone {
  base: number;
  frames: number;
  word: number;
}

// Names of this module's own: they are constants to the JavaScript engine, and what is imported is looked up.
const DONE = WALK.done;
const GUEST_FAULT = WALK.guestFault;
const NESTED_VIOLATION = WALK.nestedViolation;
const CORRUPT_TABLE = WALK.corruptTable;
const COLUMN_COUNT = COLUMNS.length;
const ENTRIES = ENTRIES_PER_TABLE;
const GPA_ROW = ROW_GPA;
const { pathWritable: PATH_WRITABLE, hostWritable: HOST_WRITABLE } = PSC_FLAGS;
const { writable: WRITABLE, dirty: DIRTY } = TLB_FLAGS;

/** What a probe sees of one step of a walk. Absent in production. */
export interface WalkStep {
  row: number;
  column: number;
  /** Level of the table read. */
  level: number;
  /** Frame of the table in its own space (GPA for a guest table under nested paging). */
  tableFrame: number;
  hostFrame: number;
  index: number;
  valueLow: number;
  valueHigh: number;
  /** Level of the PTE caches that served the reference, `caches.length` for memory, -1 for the page-walk cache. */
  servedBy: number;
}

/** A structure that answered or missed. */
export interface StructureEvent {
  structure: 'psc' | 'nestedPsc' | 'ntlb';
  hit: boolean;
  row: number;
  /** PSC level, or page size index of a nested TLB hit. */
  level: number;
}

/** Observer of a walk, for `nestwalk walk` and for tests. */
export interface Probe {
  step(step: WalkStep): void;
  structure(event: StructureEvent): void;
}

const {
  present: PRESENT,
  writable: IS_WRITABLE,
  accessed: ACCESSED,
  dirty: IS_DIRTY,
  pageSize: PAGE_SIZE,
} = ENTRY;

/** Most references of one walk: 35 at 5×5 levels, and as many translations again for stale writable bits. */
const LOG_SLOTS = 128;

const REFS = COUNTER.refs;
const FAULT_REFS = COUNTER.faultRefs;
const PWC_HITS = COUNTER.pwcHits;
const PWC_MISSES = COUNTER.pwcMisses;
const REF_HITS = COUNTER.refHits;
const NESTED_REF_HITS = COUNTER.refHits + MAX_CACHES + 1;
const PSC_HITS = COUNTER.pscHits;
const NESTED_PSC_HITS = COUNTER.nestedPscHits;
const NTLB_HITS = COUNTER.ntlbHits;
const NTLB_MISSES = COUNTER.ntlbMisses;

/** What all dimensions of one walker share: memory, counters, and the log of the walk under way. */
export class WalkState {
  readonly memory: Uint32Array;
  readonly counters: Float64Array;
  readonly caches: PteCaches;
  readonly pwc: Pwc | undefined;
  probe: Probe | undefined;
  /** Positions, and word numbers (HPA / 8), of the references of the walk under way. */
  readonly logPositions = new Uint8Array(LOG_SLOTS);
  readonly logWords = new Float64Array(LOG_SLOTS);
  logLength = 0;
  /** Of the last fault: GPA frame, whether a write was wanted, and the row, for a nested violation. */
  faultGpaFrame = 0;
  faultWrite = false;
  faultRow = 0;
  /** Whether the walk under way has set an A or D bit. */
  changed = false;

  /** Whether there is a log: where no walk can fault and nothing observes them, nobody reads it. */
  private readonly logs: boolean;
  /** Whether there are PTE caches. Without, memory serves every reference, and {@link complete} counts them. */
  private readonly hasCaches: boolean;

  constructor(
    memory: Uint32Array,
    counters: Float64Array,
    caches: PteCaches,
    pwc: Pwc | undefined,
    logs: boolean,
  ) {
    this.logs = logs;
    this.hasCaches = caches.caches.length > 0;
    this.memory = memory;
    this.counters = counters;
    this.caches = caches;
    this.pwc = pwc;
  }

  /**
   * Counts the read of an entry that no PSC or nested TLB saved, unless the page-walk cache has it, which holds entries
   * that point at tables. The entry is at an index of a host frame. Returns the level of the PTE caches that served it, or -1 for the PWC.
   */
  reference(
    position: number,
    hostFrame: number,
    index: number,
    low: number,
    leaf: boolean,
    nested: boolean,
  ): number {
    const { counters, pwc } = this;
    if (pwc !== undefined && !leaf && (low & PRESENT) !== 0 && (!nested || pwc.holdsNested)) {
      if (pwc.probe(hostFrame * ENTRIES + index)) {
        counters[PWC_HITS + position]!++;
        return -1;
      }
      counters[PWC_MISSES + position]!++;
    }
    counters[REFS + position]!++;
    if (this.logs) {
      this.logPositions[this.logLength] = position;
      this.logWords[this.logLength++] = hostFrame * ENTRIES + index;
    }
    if (!this.hasCaches) return 0;
    const servedBy = this.caches.access(hostFrame * ENTRIES + index);
    counters[(nested ? NESTED_REF_HITS : REF_HITS) + servedBy]!++;
    return servedBy;
  }

  /** Completes a copy of the counters: `refHits` of a machine without PTE caches are the sums of the references. */
  complete(counters: Float64Array): void {
    if (this.hasCaches) return;
    for (let position = 0; position < POSITIONS; position++) {
      const isGuest = position < (ROW_PT + 1) * COLUMN_COUNT || position % COLUMN_COUNT === COLUMN_G;
      const references = counters[REFS + position]! + counters[FAULT_REFS + position]!;
      counters[isGuest ? REF_HITS : NESTED_REF_HITS]! += references;
    }
  }

  /** Moves the references of the walk under way from `refs` to `faultRefs`. */
  moveToFaultRefs(): void {
    for (let i = 0; i < this.logLength; i++) {
      const position = this.logPositions[i]!;
      this.counters[REFS + position]!--;
      this.counters[FAULT_REFS + position]!++;
    }
  }
}

/** Frame field (bits 12 to 51) of an entry. */
export const frameOf = (low: number, high: number): number => (high & 0xfffff) * 2 ** 20 + (low >>> 12);

/** Whether a present entry at a level ends the walk. Bit 7 of a level-1 entry is no page-size bit. */
export const isLeaf = (low: number, level: number): boolean => level === 1 || (low & PAGE_SIZE) !== 0;

/** What a page number is multiplied by for the number of its entry at level k+1, below the point: exact, as a power of two. */
const SCALE = [1, 512 ** -1, 512 ** -2, 512 ** -3, 512 ** -4] as const;

/** Index of a page at a level. The bit operation drops what is below the point, and takes the low 32 bits of the rest. */
const indexAt = (page: number, level: number): number => (page * SCALE[level - 1]!) & (ENTRIES - 1);

/** Offset of a page or frame in its page of a size, in 4 KiB units: the low 0, 9 or 18 bits. */
export const offsetIn = (page: number, size: number): number => page & ((1 << (9 * size)) - 1);

/** A translation: `frame` of the page itself (4 KiB grain), and the leaf that gave it. */
export interface Translation {
  frame: number;
  /** Page-size index of the leaf (of the smaller leaf for the whole 2-D walk). */
  size: number;
  writable: boolean;
  dirty: boolean;
}

/** What lies below a radix dimension. */
export interface Below extends Translation {
  /** Whether a table page's address is host physical already. */
  readonly physical: boolean;
  /** Whether its A/D bits make every access to a guest table page a write. */
  readonly tableReadsAreWrites: boolean;
  /** Translates a frame; the result is left in this object. Returns a WALK code. */
  translate(frame: number, write: boolean, row: number): number;
}

/** The bottom: an address is what it is. */
export class Physical implements Below {
  readonly physical = true;
  readonly tableReadsAreWrites = false;
  frame = 0;
  size = 2;
  writable = true;
  dirty = true;

  translate(frame: number): number {
    this.frame = frame;
    return DONE;
  }
}

/** Which entries a radix dimension belongs to, and how its references are counted. */
export type RadixRole = 'only' | 'guest' | 'nested';

/** Level-1 tables that are remembered: those of 8 GiB. */
const LEAF_TABLES = 4096;
/** Stands for a host address that is to be found. */
const UNKNOWN = -1;

/** A radix page table and its paging-structure caches: the one walk loop. */
export class Radix implements Translation {
  readonly levels: number;
  readonly role: RadixRole;
  readonly psc: Psc;
  readonly below: Below;
  readonly state: WalkState;
  /** Which of A and D the walk sets: both, but for nested tables of first-generation EPT. */
  readonly sets: number;
  /** Pages of the address space. */
  private readonly pages: number;
  /** Of its references' positions in the matrix: of level 0 in row 0, and how far apart the levels are. */
  private readonly origin: number;
  private readonly stride: number;
  private lowestLevel = 1;
  /** For {@link readAhead}: by the low bits of a number of 512 pages, that number and the first word of their table. */
  private readonly leafTables = {
    regions: new Float64Array(LEAF_TABLES).fill(-1),
    words: new Uint32Array(LEAF_TABLES),
  };
  root = 0;
  owner = 0;
  zone: TableZone = { base: 0, frames: 0, word: 0 };

  frame = 0;
  size = 0;
  writable = false;
  dirty = false;

  constructor(levels: number, role: RadixRole, psc: Psc, below: Below, state: WalkState, setsBits: boolean) {
    this.levels = levels;
    this.role = role;
    this.psc = psc;
    this.below = below;
    this.state = state;
    this.sets = setsBits ? ACCESSED | IS_DIRTY : 0;
    this.pages = ENTRIES ** levels;
    const isGuest = role === 'guest';
    this.origin = isGuest ? rowOfGuestLevel(0) * COLUMN_COUNT + COLUMN_G : columnOfLevel(0);
    this.stride = isGuest ? COLUMN_COUNT : 1;
  }

  /** Translates a page number; the result is left in this object. `row` is the row of a nested walk, else 0. Returns a WALK code. */
  translate(page: number, write: boolean, row: number): number {
    // What lies beyond the address space has no index in the table: it is never taken for another page.
    if (page >= this.pages) return CORRUPT_TABLE;
    const { state, psc, below, owner, sets, levels, stride } = this;
    const { memory, probe } = state;
    const { base, frames, word } = this.zone;
    const nested = this.role === 'nested';
    const physical = this.role !== 'guest';
    const hasPsc = psc.present.length > 0;
    let level = levels;
    let table = this.root;
    let host = UNKNOWN;
    let pathWritable = true;
    let hostWritable = false;
    let hit: PscLevel | undefined;
    let hitSlot = -1;

    // A hit at level k says where the table of level k-1 is; for combined mappings also its host address.
    for (let i = 0; i < psc.present.length; i++) {
      const entries = psc.present[i]!;
      const slot = entries.find(page, owner);
      if (slot < 0) continue;
      entries.cache.promote(slot);
      state.counters[(nested ? NESTED_PSC_HITS : PSC_HITS) + entries.level - 2]!++;
      probe?.structure({
        structure: nested ? 'nestedPsc' : 'psc',
        hit: true,
        row: nested ? row : ROW_PT,
        level: entries.level,
      });
      level = entries.level - 1;
      table = entries.tables[slot]!;
      host = entries.hosts[slot]!;
      pathWritable = (entries.flags[slot]! & PATH_WRITABLE) !== 0;
      hostWritable = (entries.flags[slot]! & HOST_WRITABLE) !== 0;
      hit = entries;
      hitSlot = slot;
      break;
    }

    let scale = SCALE[level - 1]!;
    let cell = this.origin + row * COLUMN_COUNT - stride * level;
    for (;;) {
      const position = table - base;
      if (position < 0 || position >= frames) return CORRUPT_TABLE;
      const index = (page * scale) & (ENTRIES - 1);
      const at = 2 * (word + position * ENTRIES + index);
      let low = memory[at]!;

      if (host === UNKNOWN) {
        if (physical) {
          host = table;
        } else {
          const intent = below.tableReadsAreWrites || this.willSet(low, level, pathWritable, write);
          const status = below.translate(table, intent, rowOfGuestLevel(level));
          if (status !== DONE) return status;
          host = below.frame;
          hostWritable = below.writable;
        }
        if (hasPsc && level < levels) {
          const flags = (pathWritable ? PATH_WRITABLE : 0) | (physical || hostWritable ? HOST_WRITABLE : 0);
          psc.fill(level + 1, page, owner, table, host, flags);
        }
      } else if (
        !physical &&
        !hostWritable &&
        !below.tableReadsAreWrites &&
        this.willSet(low, level, pathWritable, write)
      ) {
        const status = below.translate(table, true, rowOfGuestLevel(level));
        if (status !== DONE) return status;
        host = below.frame;
        hit!.hosts[hitSlot] = host;
        hit!.flags[hitSlot]! |= HOST_WRITABLE;
      }

      const high = memory[at + 1]!;
      const leaf = isLeaf(low, level);
      const servedBy = state.reference(cell, host, index, low, leaf, nested);
      if (probe !== undefined) {
        const place = { row: Math.floor(cell / COLUMN_COUNT), column: cell % COLUMN_COUNT, level, index };
        probe.step({
          ...place,
          tableFrame: table,
          hostFrame: host,
          valueLow: low,
          valueHigh: high,
          servedBy,
        });
      }
      if ((low & PRESENT) === 0) return this.fault(page, write, row);
      if ((~low & sets & ACCESSED) !== 0) {
        low |= ACCESSED;
        memory[at] = low;
        state.changed = true;
      }
      if ((low & IS_WRITABLE) === 0) pathWritable = false;
      if (leaf) {
        if (level > 3) return CORRUPT_TABLE;
        if (write && !pathWritable) return this.fault(page, write, row);
        if (write && (~low & sets & IS_DIRTY) !== 0) {
          low |= IS_DIRTY;
          memory[at] = low;
          state.changed = true;
        }
        const frame = frameOf(low, high);
        this.frame = frame - offsetIn(frame, level - 1) + offsetIn(page, level - 1);
        this.size = level - 1;
        this.writable = pathWritable;
        this.dirty = (low & IS_DIRTY) !== 0;
        return DONE;
      }
      table = frameOf(low, high);
      host = UNKNOWN;
      level--;
      scale *= ENTRIES;
      cell += stride;
    }
  }

  /**
   * Reads the level-1 entries of so many pages, so that they are near when the walks come: these reads do not wait for one
   * another, as those of a walk do. Leaves the frames that they lead to in `frames`. Nothing is counted and nothing
   * changes; what is remembered of the way, or is not there, may be wrong, and then the reads are in vain.
   */
  readAhead(pages: Float64Array, count: number, frames: Float64Array): void {
    const { memory } = this.state;
    const { regions, words } = this.leafTables;
    for (let i = 0; i < count; i++) {
      const page = pages[i]!;
      const region = Math.floor(page / ENTRIES);
      const place = region & (LEAF_TABLES - 1);
      if (regions[place] !== region) {
        regions[place] = region;
        words[place] = this.leafTableWord(page);
      }
      const at = 2 * (words[place]! + (page & (ENTRIES - 1)));
      frames[i] = frameOf(memory[at]!, memory[at + 1]!);
    }
  }

  /** The frame of a page of which it is promised that it is mapped. Nothing is counted and nothing changes. */
  lookup(page: number): number {
    const { memory } = this.state;
    const at = 2 * (this.leafTableWord(page) + indexAt(page, this.lowestLevel));
    const frame = frameOf(memory[at]!, memory[at + 1]!);
    return frame - offsetIn(frame, this.lowestLevel - 1) + offsetIn(page, this.lowestLevel - 1);
  }

  /** First word of the lowest table on the way to a page; leaves its level in `lowestLevel`. */
  private leafTableWord(page: number): number {
    const { memory } = this.state;
    const { base, frames, word } = this.zone;
    let tableWord = word;
    let table = this.root;
    for (let level = this.levels; level > 0; level--) {
      const position = table - base;
      if (position < 0 || position >= frames) break;
      this.lowestLevel = level;
      tableWord = word + position * ENTRIES;
      const at = 2 * (tableWord + indexAt(page, level));
      if ((memory[at]! & PRESENT) === 0 || isLeaf(memory[at]!, level)) break;
      table = frameOf(memory[at]!, memory[at + 1]!);
    }
    return tableWord;
  }

  /** Whether the walk will set A or D in an entry, if it may. Looks without a reference, as the hardware's write does. */
  private willSet(low: number, level: number, pathWritable: boolean, write: boolean): boolean {
    if ((low & PRESENT) === 0) return false;
    if ((low & ACCESSED) === 0) return true;
    return write && isLeaf(low, level) && pathWritable && (low & IS_WRITABLE) !== 0 && (low & IS_DIRTY) === 0;
  }

  private fault(page: number, write: boolean, row: number): number {
    if (this.role !== 'nested') return GUEST_FAULT;
    this.state.faultGpaFrame = page;
    this.state.faultWrite = write;
    this.state.faultRow = row;
    return NESTED_VIOLATION;
  }
}

/** The second dimension: the nested TLB in front of the nested table. */
export class NestedDimension implements Below {
  readonly physical = false;
  readonly tableReadsAreWrites: boolean;
  readonly table: Radix;
  readonly ntlb: NestedTlb | undefined;
  readonly state: WalkState;
  frame = 0;
  size = 0;
  writable = false;
  dirty = false;

  constructor(table: Radix, ntlb: NestedTlb | undefined, state: WalkState) {
    this.table = table;
    this.ntlb = ntlb;
    this.state = state;
    this.tableReadsAreWrites = table.sets !== 0;
  }

  translate(frame: number, write: boolean, row: number): number {
    const { ntlb, table, state } = this;
    if (ntlb === undefined || (ntlb.tablesOnly && row === GPA_ROW)) return this.walk(frame, write, row);
    const { counters, probe } = state;
    const vm = table.owner;
    const slot = ntlb.find(frame, vm);
    if (slot >= 0) {
      const flags = ntlb.flags[slot]!;
      const size = ntlb.hitSize;
      const enough =
        !write || ((flags & WRITABLE) !== 0 && (!this.tableReadsAreWrites || (flags & DIRTY) !== 0));
      if (enough) {
        ntlb.cache.promote(slot);
        counters[NTLB_HITS + row]!++;
        probe?.structure({ structure: 'ntlb', hit: true, row, level: size });
        this.frame = ntlb.frames[slot]! + offsetIn(frame, size);
        this.size = size;
        this.writable = (flags & WRITABLE) !== 0;
        this.dirty = (flags & DIRTY) !== 0;
        return DONE;
      }
      ntlb.cache.drop(slot);
    }
    counters[NTLB_MISSES + row]!++;
    probe?.structure({ structure: 'ntlb', hit: false, row, level: -1 });
    const status = this.walk(frame, write, row);
    if (status !== DONE) return status;
    const flags = (this.writable ? WRITABLE : 0) | (this.dirty ? DIRTY : 0);
    // After a hit that was dropped, the walk's size may be another one, and there already: the fill takes its place.
    if (slot >= 0) ntlb.drop(frame, this.size, vm);
    ntlb.fill(frame, this.size, vm, this.frame - offsetIn(frame, this.size), flags);
    return DONE;
  }

  private walk(frame: number, write: boolean, row: number): number {
    const { table } = this;
    const status = table.translate(frame, write, row);
    this.frame = table.frame;
    this.size = table.size;
    this.writable = table.writable;
    this.dirty = table.dirty;
    return status;
  }
}

/** Assertion beside the fact: a position fits the log's byte. */
if (POSITIONS > 256) throw new Error('a position of the reference matrix must fit one byte');
