/**
 * Random guests on every platform against what x86 promises them: what a table says, the hardware does, at the latest
 * after the flush that the architecture asks for. A model keeps what was asked for; nothing of it is read from the code
 * under test but the host frame behind a guest frame.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stateDigest } from '../src/engine/hardware.ts';
import type { AddressSpace } from '../src/hypervisor/platform.ts';
import type { Tagged } from '../src/hypervisor/tags.ts';
import { entryPages, newPlace } from '../src/memory/pageTable.ts';
import { type AccessKind, ENTRIES_PER_TABLE, ENTRY } from '../src/schema.ts';
import { ENGINES, type Engine, NATIVE_ENGINES, TWIN } from './support/engines.ts';
import {
  entriesOf,
  Host,
  SHADOWS,
  TABLE,
  unmapRange,
  updateRange,
  VARIANTS,
  type Variant,
} from './support/hosts.ts';

/** Cases of each property. */
const RUNS = Number(process.env.NESTWALK_FUZZ_RUNS ?? 40);
/** Milliseconds that a property may take. */
const PATIENCE = 30_000 + RUNS * 1000;

/** Places in the address space that pages are mapped at: first 4 KiB page, and size. Neighbours, and pages far apart. */
const SLOTS: readonly { page: number; sizeIndex: number }[] = [
  ...[0, 1, 2, 3, 511, 512, 513].map((page) => ({ page, sizeIndex: 0 })),
  ...[2, 3, 9].map((large) => ({ page: large * entryPages(2), sizeIndex: 1 })),
  { page: 4 * entryPages(3), sizeIndex: 2 },
  { page: 5 * entryPages(3) + 7, sizeIndex: 0 },
  { page: 3 * entryPages(4) + 600, sizeIndex: 0 },
  { page: 3 * entryPages(4) + 4 * entryPages(2), sizeIndex: 1 },
  { page: 5 * entryPages(4), sizeIndex: 0 },
  { page: 7 * entryPages(4), sizeIndex: 0 },
];
/** Guest frames of each size to map, never one for two sizes. */
const FRAMES = [
  [1, 2, 3, 700, 701, 5000],
  [entryPages(2) * 20, entryPages(2) * 33, entryPages(2) * 34],
  [entryPages(3)],
];
const SPACES = 2;
const MOST_VCPUS = 3;

type Change =
  | { do: 'map'; slot: number; frame: number; writable: boolean }
  | { do: 'move'; slot: number; frame: number }
  | { do: 'protect'; slot: number; writable: boolean }
  | { do: 'age'; slot: number }
  | { do: 'split'; slot: number }
  | { do: 'unmap'; slot: number; freeing: boolean };
/** Spaces, slots and processors are counted modulo how many there are. */
type Step =
  | ({ space: number; vcpu: number; flush: 'none' | 'page' | 'space'; batched: boolean } & Change)
  | { do: 'access'; vcpu: number; slot: number; offset: number; kind: AccessKind }
  | { do: 'switch'; vcpu: number; space: number }
  | { do: 'renew'; vcpu: number; space: number };

const slot = fc.nat(SLOTS.length - 1);
const vcpu = fc.nat(MOST_VCPUS - 1);
const space = fc.nat(SPACES - 1);
const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('map' as const), slot, frame: fc.nat(5), writable: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('move' as const), slot, frame: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('protect' as const), slot, writable: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('age' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('split' as const), slot }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('unmap' as const), slot, freeing: fc.boolean() }) },
);
const access: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('access' as const),
  vcpu,
  slot,
  offset: fc.constantFrom(0, 1, 511, 512, 5000, 2 ** 18 - 1),
  kind: fc.constantFrom('read' as const, 'write' as const, 'fetch' as const),
});
const steps = (flushes: readonly ('none' | 'page' | 'space')[]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc
          .tuple(
            fc.record({ space, vcpu, flush: fc.constantFrom(...flushes), batched: fc.boolean() }),
            change,
          )
          .map(([where, what]): Step => ({ ...where, ...what })),
      },
      { weight: 12, arbitrary: access },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('switch' as const), vcpu, space }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), vcpu, space }) },
    ),
    { minLength: 40, maxLength: 120, size: 'max' },
  );

interface Setting {
  variant: Variant;
  hostSize: number;
  tagged: Tagged;
  vcpus: number;
}
const setting = (variants: readonly Variant[]): fc.Arbitrary<Setting> =>
  fc.record({
    variant: fc.constantFrom(...variants),
    hostSize: fc.nat(2),
    tagged: fc.constantFrom<Tagged[]>([], ['vpid'], ['pcid'], ['vpid', 'pcid']),
    vcpus: fc.integer({ min: 1, max: MOST_VCPUS }),
  });

const flagsOf = (sizeIndex: number, writable: boolean): number =>
  (writable ? TABLE : TABLE & ~ENTRY.writable) | (sizeIndex > 0 ? ENTRY.pageSize : 0);

/** What the guest has asked for at a slot. */
interface Mapping {
  frame: number;
  writable: boolean;
}

/** One guest address space, as it is meant to be. */
class Meant {
  readonly space: AddressSpace;
  readonly mappings = new Map<number, Mapping>();
  /** By virtual processor: slots whose entries there may be older than the table, as nothing has been flushed since. */
  readonly stale: Set<number>[] = Array.from({ length: MOST_VCPUS }, () => new Set());

  constructor(made: AddressSpace) {
    this.space = made;
  }
}

/** A guest that takes steps. */
class Guest {
  readonly host: Host;
  readonly setting: Setting;
  readonly spaces: Meant[];
  readonly loaded: Meant[];
  /** What each access came to, and what was counted: to be held against another engine. */
  readonly log: string[] = [];
  readonly #checks: boolean;

  /** @param checks whether accesses are held against the model, which looks into the twin */
  constructor(of: Setting, engine: Engine, checks: boolean) {
    this.setting = of;
    this.host = new Host({ ...of, engine });
    this.#checks = checks;
    this.spaces = Array.from({ length: SPACES }, () => new Meant(this.host.space()));
    // Most slots of the first are mapped from the start, half of those of the second, so that there is something to change.
    for (const [number, { space: made, mappings }] of this.spaces.entries()) {
      for (let at = number; at < SLOTS.length; at += 1 + number) {
        const { page, sizeIndex } = SLOTS[at];
        const frame = FRAMES[sizeIndex][at % FRAMES[sizeIndex].length];
        made.table.map(page / entryPages(sizeIndex + 1), sizeIndex, frame, flagsOf(sizeIndex, at % 5 !== 4));
        mappings.set(at, { frame, writable: at % 5 !== 4 });
      }
    }
    this.loaded = Array.from({ length: of.vcpus }, () => this.spaces[0]);
    for (let cpu = 0; cpu < of.vcpus; cpu++) this.#load(cpu, this.spaces[0]);
  }

  take(sequence: readonly Step[]): this {
    for (const step of sequence) this.#step(step);
    return this;
  }

  #step(step: Step): void {
    const cpu = step.vcpu % this.setting.vcpus;
    this.host.platform.onVcpu(cpu);
    if (step.do === 'access') this.access(cpu, step.slot, step.offset, step.kind);
    else if (step.do === 'switch') this.#load(cpu, this.spaces[step.space]);
    else if (step.do === 'renew') this.#renew(cpu, step.space);
    else {
      if (step.batched) this.host.platform.beginBatch();
      const required = this.#change(this.spaces[step.space], step);
      if (step.batched) this.host.platform.endBatch();
      if (required !== 'nothing') this.#flush(cpu, this.spaces[step.space], step, required);
    }
  }

  /** @returns what has to be flushed before it can be relied on */
  #change(meant: Meant, step: Change): 'nothing' | 'page' | 'space' {
    const { page, sizeIndex } = SLOTS[step.slot];
    const { table } = meant.space;
    const known = meant.mappings.get(step.slot);
    const count = entryPages(sizeIndex + 1);
    const size = sizeIndex > 0 ? 'space' : 'page';
    const frameOf = (frame: number): number => FRAMES[sizeIndex][frame % FRAMES[sizeIndex].length];
    if (step.do === 'map') {
      if (known !== undefined || this.#covered(meant, step.slot)) return 'nothing';
      table.map(page / count, sizeIndex, frameOf(step.frame), flagsOf(sizeIndex, step.writable));
      meant.mappings.set(step.slot, { frame: frameOf(step.frame), writable: step.writable });
      return 'nothing';
    }
    if (known === undefined) return 'nothing';
    const place = newPlace();
    table.walk(page, place);
    const whole = place.level === sizeIndex + 1;
    switch (step.do) {
      case 'move':
        // What has been split would take many writes.
        if (!whole) return 'nothing';
        table.write(place, frameOf(step.frame), flagsOf(sizeIndex, known.writable));
        known.frame = frameOf(step.frame);
        return size;
      case 'protect': {
        const given = step.writable && !known.writable;
        updateRange(
          table,
          page,
          count,
          step.writable ? 0 : ENTRY.writable,
          step.writable ? ENTRY.writable : 0,
        );
        known.writable = step.writable;
        return given ? 'nothing' : size;
      }
      case 'age':
        updateRange(table, page, count, ENTRY.accessed | ENTRY.dirty, 0);
        return size;
      case 'split':
        if (!whole || sizeIndex === 0) return 'nothing';
        table.split(place);
        return 'space';
      case 'unmap': {
        unmapRange(table, page, count);
        meant.mappings.delete(step.slot);
        if (!step.freeing) return size;
        // All of the gap, so that what an unmap without this has left goes too.
        const [floor, ceiling] = this.#gap(meant, page, count);
        table.freeTables(floor, ceiling - floor, floor, ceiling);
        return 'space';
      }
      default:
        throw new Error('no such change');
    }
  }

  /** Whether a table page stands where a large page is to be mapped: an unmap that freed none has left it. */
  #covered(meant: Meant, at: number): boolean {
    const { page, sizeIndex } = SLOTS[at];
    const place = newPlace();
    meant.space.table.walk(page, place);
    return place.level < sizeIndex + 1;
  }

  /** Pages around a slot that nothing is mapped at. */
  #gap(meant: Meant, page: number, count: number): [floor: number, ceiling: number] {
    let floor = 0;
    let ceiling = 512 ** 4;
    for (const at of meant.mappings.keys()) {
      const other = SLOTS[at];
      const end = other.page + entryPages(other.sizeIndex + 1);
      if (end <= page) floor = Math.max(floor, end);
      else if (other.page >= page + count) ceiling = Math.min(ceiling, other.page);
    }
    return [floor, ceiling];
  }

  /** Flushes as far as the step says; what is left of what was required makes the slot stale. */
  #flush(
    cpu: number,
    meant: Meant,
    step: { slot: number; flush: 'none' | 'page' | 'space' },
    required: 'page' | 'space',
  ): void {
    const { platform } = this.host;
    for (const stale of meant.stale) stale.add(step.slot);
    if (step.flush === 'none') return;
    const { page } = SLOTS[step.slot];
    const whole = step.flush === 'space' || required === 'space';
    const others = this.loaded.flatMap((each, other) => (each === meant && other !== cpu ? [other] : []));
    if (whole) platform.flushSpace(meant.space);
    else platform.flushPage(meant.space, page);
    platform.shootdown(meant.space, whole ? 'all' : [page], others);
    for (const flushed of [cpu, ...others]) {
      if (whole) meant.stale[flushed].clear();
      else meant.stale[flushed].delete(step.slot);
    }
  }

  /** Loads an address space; what went stale while it was away is flushed, as Linux does with its generations. */
  #load(cpu: number, meant: Meant): void {
    const { platform } = this.host;
    platform.onVcpu(cpu);
    platform.switchTo(meant.space);
    this.loaded[cpu] = meant;
    if (meant.stale[cpu].size > 0) this.flushAll(cpu, meant);
  }

  flushAll(cpu: number, meant: Meant): void {
    this.host.platform.onVcpu(cpu);
    this.host.platform.flushSpace(meant.space);
    meant.stale[cpu].clear();
  }

  /** Ends an address space that nobody runs, and begins another. */
  #renew(cpu: number, which: number): void {
    const meant = this.spaces[which];
    if (this.loaded.includes(meant)) return;
    this.#end(meant);
    this.spaces[which] = new Meant(this.host.space());
    this.host.platform.onVcpu(cpu);
  }

  #end(meant: Meant): void {
    const { table } = meant.space;
    this.host.platform.beforeTeardown(meant.space);
    this.host.platform.beginBatch();
    unmapRange(table, 0, 512 ** 4);
    this.host.platform.endBatch();
    table.freeTables(0, 512 ** 4, 0, 512 ** 4);
    this.host.platform.destroyAddressSpace(meant.space);
  }

  /** Loads the first address space everywhere and ends the others, then it too is emptied. */
  endAll(): void {
    const last = new Meant(this.host.space());
    for (let cpu = 0; cpu < this.setting.vcpus; cpu++) this.#load(cpu, last);
    for (const meant of this.spaces) this.#end(meant);
  }

  /** One access; held against the model where nothing is stale. */
  access(cpu: number, at: number, offset: number, kind: AccessKind): void {
    const meant = this.loaded[cpu];
    const { page: first, sizeIndex } = SLOTS[at];
    const page = first + (offset % entryPages(sizeIndex + 1));
    const answer = this.host.access(page, kind, cpu);
    this.log.push(`${cpu} ${kind} ${page}: ${answer}`);
    if (!this.#checks || meant.stale[cpu].has(at)) return;
    const mapping = meant.mappings.get(at);
    const allowed = mapping !== undefined && (mapping.writable || kind !== 'write');
    expect(answer, `${kind} of slot ${at}`).toBe(allowed ? 'done' : 'fault');
    if (!allowed) return;
    const says = this.host.platform.translate(meant.space, page)!;
    expect(says.gpaFrame).toBe(mapping.frame + (page - first));
    expect(says.writable).toBe(mapping.writable);
    const cached = this.host.cached(page, cpu)!;
    expect(cached.frame, 'host frame').toBe(says.hpaFrame);
    expect(cached.sizeIndex, 'size').toBe(says.sizeIndex);
    if (!mapping.writable) expect(cached.writable).toBe(false);
    const entry = meant.space.table.lookup(page);
    const flags = entry.present ? entry.flags : 0;
    expect(flags & ENTRY.accessed, 'A').toBe(ENTRY.accessed);
    if (kind === 'write') expect(flags & ENTRY.dirty, 'D').toBe(ENTRY.dirty);
  }

  /** Every slot of every address space, on every virtual processor, after a flush of all. */
  checkAll(): void {
    for (const meant of this.spaces) {
      for (let cpu = 0; cpu < this.setting.vcpus; cpu++) {
        this.#load(cpu, meant);
        this.flushAll(cpu, meant);
        for (const kind of ['read', 'write'] as const)
          for (let at = 0; at < SLOTS.length; at++)
            for (const offset of [0, 513]) this.access(cpu, at, offset, kind);
      }
    }
  }

  /** What the guest sees of its tables: every entry's place, flags and (its own) frame. */
  tables(): string[][] {
    return this.spaces.map(({ space: made }) => entriesOf(this.host.platform, made));
  }
}

describe.each(VARIANTS)('%s', (variant) => {
  it('translates as the tables say, at the latest after the flush that x86 asks for', {
    timeout: PATIENCE,
  }, () => {
    fc.assert(
      fc.property(setting([variant]), steps(['none', 'page', 'space']), (of, sequence) => {
        const guest = new Guest(of, TWIN, true).take(sequence);
        guest.checkAll();
      }),
      { numRuns: RUNS },
    );
  });

  it('leaves nothing behind', { timeout: PATIENCE }, () => {
    fc.assert(
      fc.property(setting([variant]), steps(['none', 'space']), (of, sequence) => {
        const guest = new Guest(of, TWIN, false).take(sequence);
        guest.endAll();
        expect(guest.host.zone.used).toBe(1);
        const [, , shadowZone] = guest.host.memory.zones;
        // The root of what is loaded.
        expect(shadowZone.used).toBe(variant === 'shadow' || variant === 'unsync' ? 1 : 0);
      }),
      { numRuns: RUNS },
    );
  });

  it.skipIf(NATIVE_ENGINES.length === 0)('does the same on every engine', { timeout: PATIENCE }, () => {
    fc.assert(
      fc.property(setting([variant]), steps(['none', 'page', 'space']), (of, sequence) => {
        const [twin, ...others] = ENGINES.map((engine) => {
          const { host, log } = new Guest(of, engine, false).take(sequence);
          return [
            ...log,
            JSON.stringify(host.events()),
            ...host.hardware.flatMap((each) => [stateDigest(each.saveState()), each.counters().join()]),
            stateDigest(new Float64Array(host.memory.buffer.slice(0))),
          ];
        });
        for (const other of others) expect(other).toEqual(twin);
      }),
      { numRuns: RUNS },
    );
  });
});

describe.each(SHADOWS)('a fault hidden from the guest, %s', (variant) => {
  /** Leaves and links of the shadow tables, as they are now. */
  const shadowEntries = ({ memory }: Host): Uint32Array => {
    const { halves, word, peak } = memory.zones[2];
    return halves.slice(2 * word, 2 * (word + peak * ENTRIES_PER_TABLE));
  };

  it('is a spurious one exactly where it leaves the shadow tables as they were', {
    timeout: PATIENCE,
  }, () => {
    fc.assert(
      fc.property(setting([variant]), steps(['none', 'page', 'space']), (of, sequence) => {
        const guest = new Guest(of, TWIN, false);
        const { platform, ledger } = guest.host;
        const onFault = platform.onFault.bind(platform);
        platform.onFault = (fault) => {
          const before = shadowEntries(guest.host);
          const { spuriousFaultExits } = ledger.events;
          const answer = onFault(fault);
          const after = shadowEntries(guest.host);
          const same = before.length === after.length && before.every((half, at) => half === after[at]);
          const spurious = ledger.events.spuriousFaultExits - spuriousFaultExits;
          expect(spurious).toBe(answer === 'retry' && same ? 1 : 0);
          return answer;
        };
        guest.take(sequence);
      }),
      { numRuns: RUNS },
    );
  });

  it('is a spurious one for a processor that holds an older right than another has got', () => {
    const { host } = new Guest({ variant, hostSize: 0, tagged: ['vpid', 'pcid'], vcpus: 2 }, TWIN, false);
    // Both read two pieces of one large page; then one writes, which makes the entry above the pieces writable.
    const { page } = SLOTS[8];
    for (const cpu of [0, 1]) for (const piece of [0, 1]) host.access(page + piece, 'read', cpu);
    expect(host.counted(() => host.access(page, 'write', 0))).toEqual({ dirtyFaultExits: 1 });
    expect(host.counted(() => host.access(page + 1, 'write', 1))).toEqual({ spuriousFaultExits: 1 });
    expect(host.counted(() => host.access(page + 1, 'write', 1))).toEqual({});
  });
});

describe('a guest that flushes as it must', () => {
  it('cannot tell by its tables which platform it runs on', { timeout: PATIENCE }, () => {
    fc.assert(
      fc.property(setting(['native']), steps(['space']), (of, sequence) => {
        const [native, ...others] = VARIANTS.map((variant) => {
          const guest = new Guest({ ...of, variant }, TWIN, true).take(sequence);
          return { tables: guest.tables(), log: guest.log };
        });
        for (const other of others) expect(other).toEqual(native);
      }),
      { numRuns: RUNS },
    );
  });
});
