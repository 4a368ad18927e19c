/**
 * Random sequences of what software does to a running machine: runs of accesses, edits of table entries with and without
 * invalidations, context switches. For tests that hold engines against each other: the same sequence on each must leave
 * the same counters, faults, states and tables.
 */
import fc from 'fast-check';
import type { ResolvedConfig } from '../../src/config/resolved.ts';
import { type SimulatedHardware, stateDigest } from '../../src/engine/hardware.ts';
import { contextBlock, machineBlock } from '../../src/engine/machineBlock.ts';
import { NestedPlatform } from '../../src/hypervisor/nested.ts';
import { createSystem, type System } from '../../src/hypervisor/system.ts';
import type { PageTable } from '../../src/memory/pageTable.ts';
import { ENTRY, FAULT, ROW_GPA, RUN_STATUS } from '../../src/schema.ts';
import { EntryHandle } from './bed.ts';
import type { Engine } from './engines.ts';

const BITS = [
  ENTRY.writable,
  ENTRY.writable,
  ENTRY.accessed,
  ENTRY.dirty,
  ENTRY.present,
  ENTRY.accessed | ENTRY.dirty,
] as const;

/** One step. Places are fractions, so that a sequence makes sense for any configuration. */
export type Step =
  | { do: 'run'; count: number }
  | { do: 'invlpg'; tag: number; at: number }
  | { do: 'flushTag'; tag: number }
  | { do: 'invept'; vm: number }
  | { do: 'flushAll' }
  | { do: 'context'; tag: number }
  | { do: 'edit'; nested: boolean; table: boolean; at: number; level: number; bits: number; on: boolean }
  | { do: 'exchange'; nested: boolean; at: number; with: number }
  | { do: 'resize'; at: number };

const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });
const tag = fc.nat(2);
const run = fc.integer({ min: 1, max: 200 }).map((count): Step => ({ do: 'run', count }));
const invalidation: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('invlpg' as const), tag, at: fraction }),
  fc.record({ do: fc.constant('flushTag' as const), tag }),
  fc.record({ do: fc.constant('invept' as const), vm: fc.nat(1) }),
  fc.constant({ do: 'flushAll' as const }),
);
const edit: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('edit' as const),
      nested: fc.boolean(),
      table: fc.boolean(),
      at: fraction,
      level: fraction,
      bits: fc.constantFrom(...BITS),
      on: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resize' as const), at: fraction }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('exchange' as const),
      nested: fc.boolean(),
      at: fraction,
      with: fraction,
    }),
  },
);

/** A sequence of steps that ends with accesses. */
export const steps = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: run },
      { weight: 2, arbitrary: invalidation },
      { weight: 3, arbitrary: edit },
      { weight: 1, arbitrary: tag.map((t): Step => ({ do: 'context', tag: t })) },
    ),
    { minLength: 3, maxLength: 30 },
  )
  .map((list): Step[] => [...list, { do: 'run', count: 300 }]);

/** Invalidations alone, between runs: what a run in which nothing changes may see. */
export const flushes = fc
  .array(fc.oneof(run, invalidation), { minLength: 3, maxLength: 20 })
  .map((list): Step[] => [...list, { do: 'run', count: 300 }]);

/** A tag belongs to one vm for good. */
const vmOf = (t: number): number => t % 2;

/** Most faults of one access before it is called endless. */
const MOST_FAULTS = 64;

/** A machine on a prefaulted system, taking steps. Every observation goes to `log`. */
export class SteppedRun {
  readonly log: string[] = [];
  readonly hardware: SimulatedHardware;
  readonly system: System;
  private readonly pages: Float64Array;
  private readonly words: Uint16Array;
  private readonly guest: PageTable;
  private readonly nested: PageTable | undefined;
  /** Where an entry led that is a large page for now, by its place. */
  private readonly tablesBelow = new Map<string, number>();
  private at = 0;

  constructor(
    engine: Engine,
    config: ResolvedConfig,
    isStatic: boolean,
    pages: Float64Array,
    words: Uint16Array,
  ) {
    this.system = createSystem(config);
    this.pages = pages;
    this.words = words;
    this.guest = this.system.kernel.space.table;
    const { platform } = this.system;
    this.nested = platform instanceof NestedPlatform ? platform.nestedTable : undefined;
    this.hardware = engine.create({
      machine: machineBlock(config, this.system.bounds, isStatic),
      memory: this.system.memory.buffer,
    });
    this.context(isStatic ? config.context.tag : 0);
  }

  private context(tagNumber: number): void {
    this.hardware.loadContext(contextBlock({ ...this.system.context, tag: tagNumber, vm: vmOf(tagNumber) }));
  }

  /** Takes all steps; the log then ends with the digest of the tables. */
  take(sequence: readonly Step[]): this {
    for (const step of sequence) {
      this.step(step);
      this.log.push(`${JSON.stringify(step)} → ${stateDigest(this.hardware.saveState())}`);
    }
    this.log.push(`tables ${stateDigest(new Float64Array(this.system.memory.buffer.slice(0)))}`);
    this.log.push(`counters ${this.hardware.counters().join()}`);
    return this;
  }

  private step(step: Step): void {
    const { hardware } = this;
    switch (step.do) {
      case 'run':
        this.run(step.count);
        break;
      case 'invlpg':
        hardware.invlpg(step.tag, this.pageAt(step.at));
        break;
      case 'flushTag':
        hardware.flushTag(step.tag);
        break;
      case 'invept':
        hardware.invept(step.vm);
        break;
      case 'flushAll':
        hardware.flushAll();
        break;
      case 'context':
        this.context(step.tag);
        break;
      case 'edit': {
        const entries = this.path(step.nested, this.place(step.nested, step.table, step.at));
        const entry = entries[Math.floor(step.level * entries.length)];
        entry.change(step.on ? { set: step.bits } : { clear: step.bits });
        break;
      }
      case 'exchange': {
        const [a, b] = [step.at, step.with].map(
          (at) => this.path(step.nested, this.place(step.nested, false, at)).at(-1)!,
        );
        [a.frame, b.frame] = [b.frame, a.frame];
        break;
      }
      case 'resize':
        this.resize(step.at);
        break;
      default:
    }
  }

  /**
   * Makes a table of level 1 in the last dimension one large page, or the large page that table again. Only there: what
   * a guest's large page leads to need not have a nested mapping.
   */
  private resize(at: number): void {
    const path = this.path(true, this.place(true, false, at));
    const leaf = path.at(-1)!;
    const name = (entry: EntryHandle): string => `${entry.tableFrame} ${entry.index}`;
    const table = this.tablesBelow.get(name(leaf));
    if (table !== undefined) {
      this.tablesBelow.delete(name(leaf));
      leaf.frame = table;
      leaf.change({ clear: ENTRY.pageSize });
    } else if (path.length === (this.nested ?? this.guest).levels) {
      const parent = path.at(-2)!;
      this.tablesBelow.set(name(parent), parent.frame);
      parent.frame = 0;
      parent.change({ set: ENTRY.pageSize });
    }
  }

  private pageAt(at: number): number {
    return this.pages[Math.floor(at * this.pages.length)];
  }

  /** A page to edit the path of: of the stream, or a frame of the guest: its data's or a table's. */
  private place(nested: boolean, table: boolean, at: number): number {
    if (!nested || this.nested === undefined) return this.pageAt(at);
    if (table) return this.guest.zone.base + Math.floor(at * this.guest.zone.used);
    return Math.floor(at * this.system.layout.dataFrames);
  }

  /** Entries of a path from the root down to the leaf, present or not. */
  private path(nested: boolean, page: number): EntryHandle[] {
    const table = (nested ? this.nested : undefined) ?? this.guest;
    const entries: EntryHandle[] = [];
    let frame = table.root;
    for (let level = table.levels; ; level--) {
      const entry = new EntryHandle(table.zone, frame, page, level);
      entries.push(entry);
      if (level === 1 || (entry.flags & ENTRY.pageSize) !== 0) return entries;
      frame = entry.frame;
    }
  }

  private run(count: number): void {
    const end = Math.min(this.at + count, this.pages.length);
    let faults = 0;
    while (this.at < end) {
      const done = this.hardware.runRecorded(this.pages, this.words, this.at, end - this.at, this.at);
      faults = done > 0 ? 1 : faults + 1;
      this.at += done;
      if (this.at === end) return;
      if (faults > MOST_FAULTS) throw new Error(`access ${this.at} faults without end: ${this.log.at(-1)}`);
      this.mend();
    }
  }

  /** Gives the faulting path all rights, with the one invalidation that Linux would do: none. */
  private mend(): void {
    const fault = this.hardware.fault();
    const status = RUN_STATUS[fault[FAULT.detail]];
    const violation = status === 'nestedViolation';
    if (!violation && status !== 'guestFault') throw new Error(`unexpected status ${status}`);
    const seen = [status, fault[FAULT.index], fault[FAULT.page], fault[FAULT.offset], fault[FAULT.kind]];
    if (violation) seen.push(fault[FAULT.gpaFrame], fault[FAULT.intentWrite], fault[FAULT.row]);
    this.log.push(seen.join(' '));
    if (violation && fault[FAULT.row] > ROW_GPA) throw new Error('no such row');
    const page = violation ? fault[FAULT.gpaFrame] : fault[FAULT.page];
    for (const entry of this.path(violation, page)) entry.change({ set: ENTRY.present | ENTRY.writable });
  }
}
