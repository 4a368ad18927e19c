/**
 * The core: one access at a time through L1, STLB and the walker; faults end the stream and are retried by the
 * caller; invalidations from the software. This file is the specification of `native/hardware/core.h`. The sentences of
 * docs/model.md are in `access`; `runPasses` gives the same in runs where nothing can change, and faster.
 */
import {
  ACCESS_KINDS,
  CONTEXT,
  COUNTER,
  COUNTER_SLOTS,
  FAULT,
  FAULT_SLOTS,
  KIND_SHIFT,
  MACHINE,
  NTLB_HOLDS,
  ROW_GPA,
  RUN_STATUS,
} from '../schema.ts';
import { AccessGenerator, type WorkloadBlock } from './access.ts';
import {
  NestedDimension,
  offsetIn,
  Physical,
  type Probe,
  Radix,
  type TableZone,
  WALK,
  WalkState,
} from './dimension.ts';
import { NestedTlb } from './nestedTlb.ts';
import { ReuseDistances, UniqueEntries } from './observers.ts';
import { Psc } from './psc.ts';
import { PteCaches } from './pteCaches.ts';
import { Pwc } from './pwc.ts';
import type { SetAssoc } from './setAssoc.ts';
import { TLB_FLAGS, TlbSide } from './tlb.ts';

/** Accesses generated at a time. */
const BATCH = 512;
// Names of this module's own: they are constants to the JavaScript engine, and what is imported is looked up.
const {
  accesses: ACCESSES,
  dataHits: DATA_HITS,
  dirtyWalks: DIRTY_WALKS,
  fetches: FETCHES,
  guestFaults: GUEST_FAULTS,
  l1Hits: L1_HITS,
  l1Misses: L1_MISSES,
  l1iHits: L1I_HITS,
  l1iMisses: L1I_MISSES,
  nestedViolations: NESTED_VIOLATIONS,
  reads: READS,
  stlbHits: STLB_HITS,
  stlbMisses: STLB_MISSES,
  walks: WALKS,
  writes: WRITES,
} = COUNTER;
const { writable: WRITABLE, dirty: DIRTY } = TLB_FLAGS;
const SHIFT = KIND_SHIFT;
const DONE = WALK.done;
/** Flags of an entry that every access may hit. */
const UNRESTRICTED = WRITABLE | DIRTY;
const WRITE = ACCESS_KINDS.indexOf('write');
const FETCH = ACCESS_KINDS.indexOf('fetch');
const OFFSET_MASK = (1 << KIND_SHIFT) - 1;

/** Tags that may be known before it is looked which are still in use. */
const FEWEST_TAGS = 4096;
/** Words of a batch of reads. */
const PLAIN_READS = new Uint16Array(BATCH);
/** Places of a whole batch. */
const EVERY_PLACE = Int32Array.from({ length: BATCH }, (_, place) => place);
/** The same number, as a 32-bit integer to the JavaScript engine where it is one. */
const asInteger = (value: number): number => ((value | 0) === value ? value | 0 : value);

/** The zone whose three slots begin at one of a context block. */
const zoneAt = (context: Float64Array, slot: number): TableZone => ({
  base: asInteger(context[slot]!),
  frames: asInteger(context[slot + 1]!),
  word: asInteger(context[slot + 2]!),
});

/** The core: hardware state, counters and the way they change. */
export class Core {
  private readonly counters = new Float64Array(COUNTER_SLOTS);
  readonly fault = new Float64Array(FAULT_SLOTS);
  readonly l1d: TlbSide;
  readonly l1i: TlbSide | undefined;
  readonly stlb: TlbSide;
  readonly state: WalkState;
  /** The guest's (or only) table. */
  readonly table: Radix;
  /** The second dimension, under nested paging. */
  readonly nested: NestedDimension | undefined;
  readonly unique: UniqueEntries | undefined;
  readonly reuse: ReuseDistances | undefined;
  private readonly dataThroughCaches: boolean;
  private readonly staticRun: boolean;
  private readonly staticSize: number;
  /** Takes the pages that miss L1 in place of the STLB and the walker; false ends the stream (one-pass sweeps). */
  missSink: ((page: number) => boolean) | undefined;
  private tag = 0;
  private readonly vmOfTag = new Map<number, number>();
  /** Tags that {@link vmOfTag} may hold before it is looked which are still in use. */
  private mostTags = FEWEST_TAGS;
  private generator: AccessGenerator | undefined;
  /** Of every workload that was loaded. */
  private readonly generators = new WeakMap<WorkloadBlock, AccessGenerator>();
  private readonly pages = new Float64Array(BATCH);
  private readonly words = new Uint16Array(BATCH);
  /** Of a batch that goes in passes: the places of what missed, its pages, and the frames that were read ahead. */
  private readonly places = new Int32Array(BATCH);
  private readonly missedPages = new Float64Array(BATCH);
  private readonly frames = new Float64Array(BATCH);
  /** Whether all TLB entries have their payloads. */
  private isSettled = true;
  private readonly numbers = new Float64Array(3);
  /** Result of the walk under way: frame of the page at its size, flags, size, and the frame of the access itself. */
  private walkFrame = 0;
  private walkFlags = 0;
  private walkSize = 0;
  private dataFrame = 0;

  constructor(machine: Float64Array, memory: SharedArrayBuffer, workload: WorkloadBlock | undefined) {
    // Everything that is read here fits 32 bits, and what is an integer to the JavaScript engine is computed as one.
    const block = Int32Array.from(machine);
    const at = (field: keyof typeof MACHINE): number => block[MACHINE[field]]!;
    const seeds = [at('seedLow'), at('seedHigh')] as const;
    const l1dCount = at('l1dCount');
    const l1iCount = at('l1iCount');
    this.l1d = TlbSide.fromBlock(block, MACHINE.l1d, l1dCount, 0, ...seeds);
    this.l1i = l1iCount > 0 ? TlbSide.fromBlock(block, MACHINE.l1i, l1iCount, l1dCount, ...seeds) : undefined;
    this.stlb = TlbSide.fromBlock(block, MACHINE.stlb, at('stlbCount'), l1dCount + l1iCount, ...seeds);
    const pwc = at('pwcEntries') > 0 ? new Pwc(at('pwcEntries'), at('pwcWays'), at('pwcHolds')) : undefined;
    this.state = new WalkState(
      new Uint32Array(memory),
      this.counters,
      new PteCaches(block),
      pwc,
      at('unique') === 1 || at('staticRun') === 0,
    );
    const psc = new Psc(block, MACHINE.psc, at('guestLevels'));
    if (at('nested') === 1) {
      const nestedPsc = new Psc(block, MACHINE.nestedPsc, at('nestedLevels'));
      const nestedTable = new Radix(
        at('nestedLevels'),
        'nested',
        nestedPsc,
        new Physical(),
        this.state,
        at('nestedAD') === 1,
      );
      const tablesOnly = NTLB_HOLDS[at('ntlbHolds')] === 'tables';
      const ntlb =
        at('ntlbEntries') > 0 ? new NestedTlb(at('ntlbEntries'), at('ntlbWays'), tablesOnly) : undefined;
      this.nested = new NestedDimension(nestedTable, ntlb, this.state);
      this.table = new Radix(at('guestLevels'), 'guest', psc, this.nested, this.state, true);
    } else {
      this.table = new Radix(at('guestLevels'), 'only', psc, new Physical(), this.state, true);
    }
    this.unique = at('unique') === 1 ? new UniqueEntries() : undefined;
    this.reuse = at('reuse') === 1 ? new ReuseDistances() : undefined;
    this.dataThroughCaches = at('dataThroughCaches') === 1;
    this.staticRun = at('staticRun') === 1;
    this.staticSize = at('staticSize');
    if (workload) this.loadWorkload(workload);
  }

  /** A copy of the counters, laid out by the schema. */
  readCounters(): Float64Array {
    const counters = this.counters.slice();
    this.state.complete(counters);
    return counters;
  }

  /** Attaches an observer of walks, or none. */
  setProbe(probe: Probe | undefined): void {
    this.state.probe = probe;
  }

  /** Loads a context block: what CR3 and the nested root pointer hold, and the zones that the tables live in. */
  loadContext(context: Float64Array): void {
    this.settle();
    this.tag = asInteger(context[CONTEXT.tag]!);
    const vm = asInteger(context[CONTEXT.vm]!);
    this.noteVm(this.tag, vm);
    const { table, nested } = this;
    table.root = asInteger(context[CONTEXT.root]!);
    table.owner = this.tag;
    table.zone = zoneAt(context, CONTEXT.guestZoneBase);
    if (nested === undefined) return;
    nested.table.root = asInteger(context[CONTEXT.nestedRoot]!);
    nested.table.owner = vm;
    nested.table.zone = zoneAt(context, CONTEXT.nestedZoneBase);
  }

  /** Notes which vm a tag belongs to. Tags that no structure holds any more are forgotten before they become too many. */
  private noteVm(tag: number, vm: number): void {
    const { vmOfTag } = this;
    if (vmOfTag.size >= this.mostTags && !vmOfTag.has(tag)) {
      const held = new Set<number>();
      for (const cache of this.taggedCaches()) cache.addOwners(held);
      for (const known of vmOfTag.keys()) if (!held.has(known)) vmOfTag.delete(known);
      this.mostTags = Math.max(FEWEST_TAGS, 2 * vmOfTag.size);
    }
    vmOfTag.set(tag, vm);
  }

  /** The structures whose entries carry tags. */
  private *taggedCaches(): Generator<SetAssoc, void, undefined> {
    for (const side of [this.l1d, this.l1i, this.stlb])
      for (const array of side?.arrays ?? []) yield array.cache;
    for (const level of this.table.psc.present) yield level.cache;
  }

  /** What {@link runSynthetic} draws from, from now on. */
  loadWorkload(workload: WorkloadBlock): void {
    let generator = this.generators.get(workload);
    if (generator === undefined) {
      generator = new AccessGenerator(workload);
      this.generators.set(workload, generator);
    }
    this.generator = generator;
  }

  /** Runs accesses [from, from + count) of the workload. Returns how many completed; fewer than `count` after a fault. */
  runSynthetic(from: number, count: number): number {
    const { generator } = this;
    if (generator === undefined) return 0;
    if (generator.hasRuns && !this.dataThroughCaches) return this.runPages(from, count);
    // Passes look at no offsets, and kinds matter to them only if any access writes.
    const isPlain = this.goesInPasses() && !generator.hasWrites;
    for (let done = 0; done < count; done += BATCH) {
      const batch = Math.min(BATCH, count - done);
      generator.fill(from + done, batch, this.pages, isPlain ? undefined : this.words);
      const completed = this.runRecorded(
        this.pages,
        isPlain ? PLAIN_READS : this.words,
        0,
        batch,
        from + done,
      );
      if (completed < batch) return done + completed;
    }
    this.fault[FAULT.detail] = DONE;
    return count;
  }

  /**
   * Runs accesses `first … first + count` of a block of recorded accesses; `index` is the stream index of the first.
   * Returns how many completed.
   */
  runRecorded(pages: Float64Array, words: Uint16Array, first: number, count: number, index: number): number {
    if (this.goesInPasses()) return this.runPasses(pages, words, first, count, index);
    this.settle();
    for (let i = 0; i < count; i++) {
      const status = this.access(pages[first + i]!, words[first + i]!, index + i);
      if (status !== DONE) {
        this.report(pages[first + i]!, words[first + i]!, index + i, status);
        return i;
      }
    }
    this.fault[FAULT.detail] = DONE;
    return count;
  }

  /**
   * Whether the TLBs may take a batch at a time. In a run where nothing can fault or change, all entries have one size
   * and every right: what a walk finds decides no hit.
   */
  private goesInPasses(): boolean {
    const observed = this.dataThroughCaches || this.reuse !== undefined || this.missSink !== undefined;
    return this.staticRun && !observed && this.l1i === undefined && this.l1d.isOrdered && this.stlb.isOrdered;
  }

  /**
   * {@link runRecorded} in passes: L1 takes the whole batch, the STLB what missed L1, the walker what missed both. A batch
   * in which a walk breaks the promise ends the stream, and nothing of it counts but the walks.
   */
  private runPasses(
    pages: Float64Array,
    words: Uint16Array,
    first: number,
    count: number,
    index: number,
  ): number {
    const { counters, places, tag, staticSize: size } = this;
    this.isSettled = false;
    for (let done = 0; done < count; done += BATCH) {
      const batch = Math.min(BATCH, count - done);
      const start = first + done;
      places.set(EVERY_PLACE);
      const l1 = this.l1d.ofSize[size];
      const missed = l1 === undefined ? batch : l1.pass(pages, start, places, batch, size, tag);
      const stlb = this.stlb.ofSize[size];
      const walks = stlb === undefined ? missed : stlb.pass(pages, start, places, missed, size, tag);
      if (!this.walkPlaces(pages, words, start, walks)) {
        this.fault[FAULT.index] = index + done;
        return done;
      }
      this.countKinds(words, start, batch);
      counters[L1_HITS + size]! += batch - missed;
      counters[L1_MISSES]! += missed;
      counters[STLB_HITS + size]! += missed - walks;
      counters[STLB_MISSES]! += walks;
      counters[WALKS]! += walks;
    }
    this.fault[FAULT.detail] = DONE;
    return count;
  }

  /** Walks for the pages at the first so many `places`; false when one breaks the promise. */
  private walkPlaces(pages: Float64Array, words: Uint16Array, first: number, count: number): boolean {
    const { places, missedPages, state } = this;
    for (let i = 0; i < count; i++) missedPages[i] = pages[first + places[i]!]!;
    this.table.readAhead(missedPages, count, this.frames);
    this.nested?.table.readAhead(this.frames, count, this.frames);
    for (let i = 0; i < count; i++) {
      const word = words[first + places[i]!]!;
      const status = this.walk(missedPages[i]!, word >> SHIFT === WRITE);
      if (status !== DONE) {
        this.report(missedPages[i]!, word, 0, status);
        return false;
      }
      this.unique?.record(state.logPositions, state.logWords, state.logLength);
    }
    return true;
  }

  /** Writes the payloads that passes have left out: in a run where nothing changes, they are what the tables say. */
  settle(): void {
    if (this.isSettled) return;
    this.isSettled = true;
    const frameOf = (page: number): number => {
      const frame = this.table.lookup(page);
      return this.nested ? this.nested.table.lookup(frame) : frame;
    };
    for (const side of [this.l1d, this.stlb])
      side.ofSize[this.staticSize]?.settle(this.staticSize, this.tag, frameOf);
  }

  private countKinds(words: Uint16Array, first: number, count: number): void {
    let writes = 0;
    let fetches = 0;
    for (let i = first; i < first + count; i++) {
      const kind = words[i]! >> SHIFT;
      if (kind === WRITE) writes++;
      else if (kind === FETCH) fetches++;
    }
    const { counters } = this;
    counters[ACCESSES]! += count;
    counters[READS]! += count - writes - fetches;
    counters[WRITES]! += writes;
    counters[FETCHES]! += fetches;
  }

  /**
   * A workload whose pages repeat back to back: each run of one page takes two accesses through the core. The second
   * one's hit leaves every policy's state as any further hit would, so the rest are counted as hits like it.
   */
  private runPages(from: number, count: number): number {
    const generator = this.generator!;
    this.settle();
    let done = 0;
    while (done < count) {
      const length = generator.nextRun(from + done, count - done);
      const page = generator.runPage;
      for (let i = 0; i < Math.min(length, 2); i++) {
        const status = this.access(page, 0, from + done);
        if (status !== DONE) {
          this.report(page, 0, from + done, status);
          return done;
        }
        done++;
      }
      if (length > 2) done += this.repeat(page, from + done, length - 2);
    }
    this.fault[FAULT.detail] = DONE;
    return count;
  }

  /** Repeats a read of a page that was just read: as hits at once if it hits in L1, else one by one. */
  private repeat(page: number, index: number, count: number): number {
    this.setNumbers(page);
    if (this.l1d.find(this.numbers, this.tag)) {
      this.counters[ACCESSES]! += count;
      this.counters[READS]! += count;
      this.counters[L1_HITS + this.l1d.hitSize]! += count;
      this.reuse?.recordRepeats(count);
      return count;
    }
    for (let i = 0; i < count; i++) this.access(page, 0, index + i);
    return count;
  }

  /** One access: L1, then STLB, then the walk. Nothing of an access that faults is counted but the walk's own events. */
  private access(page: number, word: number, index: number): number {
    const counters = this.counters;
    const numbers = this.numbers;
    const kind = word >> SHIFT;
    const write = kind === WRITE;
    const instruction = kind === FETCH && this.l1i !== undefined;
    const l1 = instruction ? this.l1i! : this.l1d;
    const tag = this.tag;
    this.setNumbers(page);

    let hitL1 = -1;
    let hitStlb = -1;
    let walked = false;
    if (l1.find(numbers, tag)) {
      hitL1 = l1.hitSize;
      const array = l1.hitArray!;
      const slot = l1.hitSlot;
      if (!write || array.flags[slot] === UNRESTRICTED) {
        array.cache.promote(slot);
        this.dataFrame = array.frames[slot]! + offsetIn(page, hitL1);
      } else {
        const status = this.walkForWrite(l1, hitL1, page, index);
        if (status !== DONE) return status;
        walked = true;
      }
    } else if (this.stlb.find(numbers, tag)) {
      hitStlb = this.stlb.hitSize;
      const array = this.stlb.hitArray!;
      const slot = this.stlb.hitSlot;
      const flags = array.flags[slot]!;
      if (!write || flags === UNRESTRICTED) {
        array.cache.promote(slot);
        const frame = array.frames[slot]!;
        l1.fill(numbers, hitStlb, tag, frame, flags, index);
        this.dataFrame = frame + offsetIn(page, hitStlb);
      } else {
        const status = this.walkForWrite(l1, hitStlb, page, index);
        if (status !== DONE) return status;
        walked = true;
      }
    } else if (this.missSink !== undefined) {
      return this.giveAway(l1, kind, index);
    } else {
      const status = this.walk(page, write);
      if (status !== DONE) return status;
      this.fillTlbs(l1, index);
      walked = true;
    }

    counters[ACCESSES]!++;
    counters[kind === WRITE ? WRITES : kind === FETCH ? FETCHES : READS]!++;
    if (hitL1 >= 0) {
      counters[(instruction ? L1I_HITS : L1_HITS) + hitL1]!++;
    } else {
      counters[instruction ? L1I_MISSES : L1_MISSES]!++;
      if (hitStlb >= 0) counters[STLB_HITS + hitStlb]!++;
      else counters[STLB_MISSES]!++;
    }
    if (walked) {
      counters[WALKS]!++;
      if (hitL1 >= 0 || hitStlb >= 0) counters[DIRTY_WALKS]!++;
      this.unique?.record(this.state.logPositions, this.state.logWords, this.state.logLength);
    }
    if (this.dataThroughCaches) {
      const hpa = this.dataFrame * 4096 + (word & OFFSET_MASK);
      counters[DATA_HITS + this.state.caches.access(hpa / 8)]!++;
    }
    this.reuse?.record(page, tag);
    return DONE;
  }

  /** An L1 miss of a static run whose STLB and walker are many: the sink has them, here only L1 is filled and counted. */
  private giveAway(l1: TlbSide, kind: number, index: number): number {
    if (!this.missSink!(this.numbers[0]!)) return WALK.corruptTable;
    l1.fill(this.numbers, this.staticSize, this.tag, 0, UNRESTRICTED, index);
    this.counters[ACCESSES]!++;
    this.counters[kind === WRITE ? WRITES : kind === FETCH ? FETCHES : READS]!++;
    this.counters[L1_MISSES]!++;
    return DONE;
  }

  /**
   * Walks for a page that missed every TLB: counts what the walk does, no TLB and no walk itself. False when the walk
   * faults or changes memory, which a static run never does.
   */
  walkPage(page: number): boolean {
    if (this.walk(page, false) !== DONE || this.state.changed) return false;
    this.unique?.record(this.state.logPositions, this.state.logWords, this.state.logLength);
    return true;
  }

  private setNumbers(page: number): void {
    this.numbers[0] = page;
    this.numbers[1] = Math.floor(page / 512);
    this.numbers[2] = Math.floor(page / 512 ** 2);
  }

  /** A write that hit an entry without the right or the dirty bit: drops the entry, unpromoted, and walks. */
  private walkForWrite(l1: TlbSide, size: number, page: number, index: number): number {
    l1.drop(this.numbers, size, this.tag);
    this.stlb.drop(this.numbers, size, this.tag);
    const status = this.walk(page, true);
    if (status !== DONE) return status;
    // The walk may give another size, which an array that did not decide the hit holds already: the fill takes its place.
    l1.drop(this.numbers, this.walkSize, this.tag);
    this.stlb.drop(this.numbers, this.walkSize, this.tag);
    this.fillTlbs(l1, index);
    return status;
  }

  private fillTlbs(l1: TlbSide, index: number): void {
    this.stlb.fill(this.numbers, this.walkSize, this.tag, this.walkFrame, this.walkFlags, index);
    l1.fill(this.numbers, this.walkSize, this.tag, this.walkFrame, this.walkFlags, index);
  }

  /** Walks for a page. On a fault drops what the hardware drops and moves the references to `faultRefs`. */
  private walk(page: number, write: boolean): number {
    const state = this.state;
    const table = this.table;
    state.logLength = 0;
    state.changed = false;
    let status = table.translate(page, write, 0);
    let frame = table.frame;
    let size = table.size;
    let writable = table.writable;
    let dirty = table.dirty;
    if (status === DONE && this.nested) {
      status = this.nested.translate(frame, write, ROW_GPA);
      frame = this.nested.frame;
      size = Math.min(size, this.nested.size);
      writable &&= this.nested.writable;
      dirty &&= this.nested.dirty || !this.nested.tableReadsAreWrites;
    }
    if (status === DONE && this.staticRun && state.changed) status = WALK.notStatic;
    if (status !== DONE) {
      this.drop(page, status);
      return status;
    }
    this.dataFrame = frame;
    this.walkFrame = frame - offsetIn(page, size);
    this.walkSize = size;
    this.walkFlags = (writable ? WRITABLE : 0) | (dirty ? DIRTY : 0);
    return status;
  }

  /** What the hardware drops before it reports a fault (SDM vol. 3A 4.10.4.1, vol. 3C 28.3.3.1). */
  private drop(page: number, status: number): void {
    this.state.moveToFaultRefs();
    this.dropPage(page, this.tag);
    this.table.psc.dropPage(page, this.tag);
    if (status === WALK.nestedViolation) {
      this.counters[NESTED_VIOLATIONS]!++;
      const nested = this.nested!;
      nested.ntlb?.dropPage(this.state.faultGpaFrame, nested.table.owner);
      nested.table.psc.dropPage(this.state.faultGpaFrame, nested.table.owner);
    } else if (status === WALK.guestFault) {
      this.counters[GUEST_FAULTS]!++;
    }
  }

  private report(page: number, word: number, index: number, status: number): void {
    const fault = this.fault;
    fault[FAULT.index] = index;
    fault[FAULT.page] = page;
    fault[FAULT.offset] = word & OFFSET_MASK;
    fault[FAULT.kind] = word >> KIND_SHIFT;
    fault[FAULT.gpaFrame] = this.state.faultGpaFrame;
    fault[FAULT.intentWrite] = this.state.faultWrite ? 1 : 0;
    fault[FAULT.row] = this.state.faultRow;
    fault[FAULT.detail] = this.staticRun && status !== WALK.corruptTable ? WALK.notStatic : status;
  }

  private dropPage(page: number, tag: number): void {
    this.setNumbers(page);
    this.l1d.dropPage(this.numbers, tag);
    this.l1i?.dropPage(this.numbers, tag);
    this.stlb.dropPage(this.numbers, tag);
  }

  /** INVLPG: TLB entries of the tag that cover the page, and all of the tag's paging-structure cache entries. */
  invlpg(tag: number, page: number): void {
    this.dropPage(page, tag);
    this.table.psc.dropOwner(tag);
    this.state.pwc?.cache.clear();
  }

  /** CR3 write without PCID, INVVPID: all linear and combined mappings of a tag. */
  flushTag(tag: number): void {
    this.l1d.dropTag(tag);
    this.l1i?.dropTag(tag);
    this.stlb.dropTag(tag);
    this.table.psc.dropOwner(tag);
    this.state.pwc?.cache.clear();
  }

  /** INVEPT: combined mappings of all tags of a vm, and its guest-physical mappings. A 1-D walk's hardware has only the PWC to empty. */
  invept(vm: number): void {
    this.state.pwc?.cache.clear();
    if (!this.nested) return;
    const isOfVm = (tag: number): boolean => this.vmOfTag.get(tag) === vm;
    for (const cache of this.taggedCaches()) cache.dropOwners(isOfVm);
    this.nested.ntlb?.cache.dropOwner(vm);
    this.nested.table.psc.dropOwner(vm);
  }

  /** Everything but the PTE caches. */
  flushAll(): void {
    this.l1d.clear();
    this.l1i?.clear();
    this.stlb.clear();
    this.table.psc.clear();
    this.nested?.ntlb?.cache.clear();
    this.nested?.table.psc.clear();
    this.state.pwc?.cache.clear();
  }
}

/** Assertion beside the fact: walk codes and run status are the same numbers. */
for (const name of RUN_STATUS) {
  if (WALK[name] !== RUN_STATUS.indexOf(name)) throw new Error('WALK and RUN_STATUS must agree');
}
