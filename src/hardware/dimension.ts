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
import { HOST_WRITABLE, PATH_WRITABLE, type Psc } from './psc.ts';
import type { PteCaches } from './pteCaches.ts';
import type { Pwc } from './pwc.ts';
import { DIRTY, WRITABLE } from './tlb.ts';

/** How a walk ends: `RUN_STATUS` of the schema by name. `notStatic`: it changed a table that was promised not to change. */
export const WALK = { done: 0, guestFault: 1, nestedViolation: 2, corruptTable: 3, notStatic: 4 } as const;

/** A zone of simulated memory that holds table pages: first frame, frames, first 64-bit word. */
export interface TableZone {
  base: number;
  frames: number;
  word: number;
}

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

/** Most references of one walk: 35 at 5×5 levels, and as many translations again for stale writable bits. */
const LOG_SLOTS = 128;

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

  constructor(memory: Uint32Array, counters: Float64Array, caches: PteCaches, pwc: Pwc | undefined) {
    this.memory = memory;
    this.counters = counters;
    this.caches = caches;
    this.pwc = pwc;
  }

  /** Counts the read of an entry that no PSC or nested TLB saved, unless the page-walk cache has it. */
  reference(row: number, column: number, tableFrame: number, hostFrame: number, index: number, low: number, high: number, level: number, nested: boolean): void {
    const position = row * COLUMNS.length + column;
    const word = hostFrame * ENTRIES_PER_TABLE + index;
    const pwc = this.pwc;
    let servedBy = -1;
    const eligible = pwc !== undefined && (low & ENTRY.present) !== 0 && !isLeaf(low, level) && (!nested || pwc.holdsNested);
    if (eligible && pwc.probe(word)) {
      this.counters[COUNTER.pwcHits + position]!++;
    } else {
      if (eligible) this.counters[COUNTER.pwcMisses + position]!++;
      this.counters[COUNTER.refs + position]!++;
      this.logPositions[this.logLength] = position;
      this.logWords[this.logLength++] = word;
      servedBy = this.caches.access(word * 8);
      this.counters[COUNTER.refHits + (nested ? MAX_CACHES + 1 : 0) + servedBy]!++;
    }
    this.probe?.step({ row, column, level, tableFrame, hostFrame, index, valueLow: low, valueHigh: high, servedBy });
  }

  /** Moves the references of the walk under way from `refs` to `faultRefs`. */
  moveToFaultRefs(): void {
    for (let i = 0; i < this.logLength; i++) {
      const position = this.logPositions[i]!;
      this.counters[COUNTER.refs + position]!--;
      this.counters[COUNTER.faultRefs + position]!++;
    }
  }
}

/** Frame field (bits 12 to 51) of an entry. */
export const frameOf = (low: number, high: number): number => (high & 0xfffff) * 2 ** 20 + (low >>> 12);

/** Whether a present entry at a level ends the walk. Bit 7 of a level-1 entry is no page-size bit. */
export const isLeaf = (low: number, level: number): boolean => level === 1 || (low & ENTRY.pageSize) !== 0;

/** Power 512^k: pages that one entry at level k+1 covers. */
const SPAN = [1, 512, 512 ** 2, 512 ** 3, 512 ** 4, 512 ** 5] as const;

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
    return WALK.done;
  }
}

/** Which entries a radix dimension belongs to, and how its references are counted. */
export type RadixRole = 'only' | 'guest' | 'nested';

/** A radix page table and its paging-structure caches: the one walk loop. */
export class Radix implements Translation {
  readonly levels: number;
  readonly role: RadixRole;
  readonly psc: Psc;
  readonly below: Below;
  readonly state: WalkState;
  /** Whether the walk sets A and D. Always, but for nested tables of first-generation EPT. */
  readonly setsBits: boolean;
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
    this.setsBits = setsBits;
  }

  /** Translates a page number; the result is left in this object. `row` is the row of a nested walk. Returns a WALK code. */
  translate(page: number, write: boolean, row: number): number {
    // What lies beyond the address space has no index in the table: it is never taken for another page.
    if (page >= SPAN[this.levels]!) return WALK.corruptTable;
    const state = this.state;
    const memory = state.memory;
    const below = this.below;
    const physical = below.physical;
    const nested = this.role === 'nested';
    let level = this.levels;
    let table = this.root;
    let host = -1;
    let pathWritable = true;
    let hostWritable = false;
    let pscSlot = -1;

    // A hit at level k says where the table of level k-1 is; for combined mappings also its host address.
    for (let k = 2; k <= this.levels; k++) {
      const slot = this.psc.find(k, Math.floor(page / SPAN[k - 1]!), this.owner);
      if (slot < 0) continue;
      const psc = this.psc.levels[k]!;
      psc.cache.promote(slot);
      state.counters[(nested ? COUNTER.nestedPscHits : COUNTER.pscHits) + k - 2]!++;
      state.probe?.structure({ structure: nested ? 'nestedPsc' : 'psc', hit: true, row: nested ? row : ROW_PT, level: k });
      level = k - 1;
      table = psc.tables[slot]!;
      host = psc.hosts[slot]!;
      pathWritable = (psc.flags[slot]! & PATH_WRITABLE) !== 0;
      hostWritable = (psc.flags[slot]! & HOST_WRITABLE) !== 0;
      pscSlot = slot;
      break;
    }

    for (;;) {
      const position = table - this.zone.base;
      if (position < 0 || position >= this.zone.frames) return WALK.corruptTable;
      const index = Math.floor(page / SPAN[level - 1]!) & (ENTRIES_PER_TABLE - 1);
      const at = 2 * (this.zone.word + position * ENTRIES_PER_TABLE + index);
      const stepRow = this.role === 'only' ? ROW_PT : nested ? row : rowOfGuestLevel(level);

      if (host < 0) {
        const intent = !physical && (below.tableReadsAreWrites || this.willSet(memory[at]!, level, pathWritable, write));
        const status = below.translate(table, intent, stepRow);
        if (status !== WALK.done) return status;
        host = below.frame;
        if (level < this.levels) {
          const flags = (pathWritable ? PATH_WRITABLE : 0) | (below.writable ? HOST_WRITABLE : 0);
          this.psc.fill(level + 1, Math.floor(page / SPAN[level]!), this.owner, table, host, flags);
        }
      } else if (!physical && !hostWritable && !below.tableReadsAreWrites && this.willSet(memory[at]!, level, pathWritable, write)) {
        const status = below.translate(table, true, stepRow);
        if (status !== WALK.done) return status;
        host = below.frame;
        const psc = this.psc.levels[level + 1]!;
        psc.hosts[pscSlot] = host;
        psc.flags[pscSlot]! |= HOST_WRITABLE;
      }

      let low = memory[at]!;
      const high = memory[at + 1]!;
      const column = this.role === 'guest' ? COLUMN_G : columnOfLevel(level);
      state.reference(stepRow, column, table, host, index, low, high, level, nested);
      if ((low & ENTRY.present) === 0) return this.fault(page, write, row);
      if (this.setsBits && (low & ENTRY.accessed) === 0) {
        low |= ENTRY.accessed;
        memory[at] = low;
        state.changed = true;
      }
      if ((low & ENTRY.writable) === 0) pathWritable = false;
      if (isLeaf(low, level)) {
        if (level > 3) return WALK.corruptTable;
        if (write && !pathWritable) return this.fault(page, write, row);
        if (write && this.setsBits && (low & ENTRY.dirty) === 0) {
          low |= ENTRY.dirty;
          memory[at] = low;
          state.changed = true;
        }
        const span = SPAN[level - 1]!;
        const frame = frameOf(low, high);
        this.frame = frame - (frame % span) + (page % span);
        this.size = level - 1;
        this.writable = pathWritable;
        this.dirty = (low & ENTRY.dirty) !== 0;
        return WALK.done;
      }
      table = frameOf(low, high);
      host = -1;
      level--;
    }
  }

  /** Whether the walk will set A or D in an entry, if it may. Looks without a reference, as the hardware's write does. */
  private willSet(low: number, level: number, pathWritable: boolean, write: boolean): boolean {
    if ((low & ENTRY.present) === 0) return false;
    if ((low & ENTRY.accessed) === 0) return true;
    return write && isLeaf(low, level) && pathWritable && (low & ENTRY.writable) !== 0 && (low & ENTRY.dirty) === 0;
  }

  private fault(page: number, write: boolean, row: number): number {
    if (this.role !== 'nested') return WALK.guestFault;
    this.state.faultGpaFrame = page;
    this.state.faultWrite = write;
    this.state.faultRow = row;
    return WALK.nestedViolation;
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
    this.tableReadsAreWrites = table.setsBits;
  }

  translate(frame: number, write: boolean, row: number): number {
    const ntlb = this.ntlb;
    if (ntlb === undefined || (ntlb.tablesOnly && row === ROW_GPA)) return this.walk(frame, write, row);
    const counters = this.state.counters;
    const vm = this.table.owner;
    const slot = ntlb.find(frame, vm);
    if (slot >= 0) {
      const flags = ntlb.flags[slot]!;
      const enough = !write || ((flags & WRITABLE) !== 0 && (!this.table.setsBits || (flags & DIRTY) !== 0));
      if (enough) {
        ntlb.cache.promote(slot);
        counters[COUNTER.ntlbHits + row]!++;
        this.state.probe?.structure({ structure: 'ntlb', hit: true, row, level: ntlb.hitSize });
        this.frame = ntlb.frames[slot]! + (frame % SPAN[ntlb.hitSize]!);
        this.size = ntlb.hitSize;
        this.writable = (flags & WRITABLE) !== 0;
        this.dirty = (flags & DIRTY) !== 0;
        return WALK.done;
      }
      ntlb.cache.drop(slot);
    }
    counters[COUNTER.ntlbMisses + row]!++;
    this.state.probe?.structure({ structure: 'ntlb', hit: false, row, level: -1 });
    const status = this.walk(frame, write, row);
    if (status !== WALK.done) return status;
    const span = SPAN[this.size]!;
    const number = Math.floor(frame / span);
    const flags = (this.writable ? WRITABLE : 0) | (this.dirty ? DIRTY : 0);
    // After a hit that was dropped, the walk's size may be another one, and there already: the fill takes its place.
    if (slot >= 0) ntlb.drop(number, this.size, vm);
    ntlb.fill(number, this.size, vm, this.frame - (frame % span), flags);
    return WALK.done;
  }

  private walk(frame: number, write: boolean, row: number): number {
    const status = this.table.translate(frame, write, row);
    this.frame = this.table.frame;
    this.size = this.table.size;
    this.writable = this.table.writable;
    this.dirty = this.table.dirty;
    return status;
  }
}

/** Assertion beside the fact: a position fits the log's byte. */
if (POSITIONS > 256) throw new Error('a position of the reference matrix must fit one byte');
