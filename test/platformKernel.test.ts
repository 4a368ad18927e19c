/**
 * The guest kernel on every platform, with real accesses between its system calls: programs cannot tell platforms apart,
 * what the hardware has cached is what the tables say, and nothing is left when all processes have ended.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stateDigest } from '../src/engine/hardware.ts';
import { NestwalkError } from '../src/errors.ts';
import { LEDGER, LEDGER_CAUSES, type LedgerCause } from '../src/hypervisor/ledger.ts';
import type { Tagged } from '../src/hypervisor/tags.ts';
import { GuestKernel, type HugePagePolicy } from '../src/kernel/guestKernel.ts';
import type { Process } from '../src/kernel/process.ts';
import type { PageSpan } from '../src/kernel/region.ts';
import { FrameAllocator } from '../src/memory/frameAllocator.ts';
import type { AccessKind } from '../src/schema.ts';
import { ENGINES, type Engine, NATIVE_ENGINES, TWIN } from './support/engines.ts';
import { entriesOf, Host, VARIANTS, type Variant } from './support/hosts.ts';

/** Cases of each property. */
const RUNS = Number(process.env.NESTWALK_FUZZ_RUNS ?? 40);
/** Milliseconds that a property may take. */
const PATIENCE = 30_000 + RUNS * 1000;

/** 4 KiB frames of guest memory: room for all that the processes of a test map, huge pages too. */
const FRAMES = 2 ** 15;
const MOST_VCPUS = 3;
const MOST_PROCESSES = 6;

/** Places are fractions, so that a step makes sense wherever there is something. */
type Step =
  | { do: 'access'; vcpu: number; region: number; at: number; kind: AccessKind }
  | { do: 'make'; pages: number; shared: boolean }
  | { do: 'fork' | 'exec' | 'exit' | 'collapse' | 'split' | 'pageOut'; process: number }
  | { do: 'switch'; vcpu: number; process: number }
  | { do: 'idle'; vcpu: number }
  | { do: 'mmap'; process: number; pages: number; shared: boolean; large: boolean }
  | { do: 'munmap' | 'dontNeed' | 'hugePages'; process: number; region: number; from: number; to: number }
  | { do: 'mprotect'; process: number; region: number; from: number; to: number; writable: boolean };

const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });
const vcpu = fc.nat(MOST_VCPUS - 1);
const pages = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 500, max: 1300 }));
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 14,
    arbitrary: fc.record({
      do: fc.constant('access' as const),
      vcpu,
      region: fraction,
      at: fc.oneof(fraction, fc.constantFrom(0, 0.001, 0.4)),
      kind: fc.constantFrom<AccessKind[]>('read', 'write', 'write', 'fetch'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('make' as const), pages, shared: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('fork' as const, 'fork' as const, 'exec' as const, 'exit' as const),
      process: fraction,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('collapse' as const, 'split' as const, 'pageOut' as const),
      process: fraction,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('switch' as const), vcpu, process: fraction }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('idle' as const), vcpu }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('mmap' as const),
      process: fraction,
      pages,
      shared: fc.boolean(),
      large: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('munmap' as const, 'dontNeed' as const, 'hugePages' as const),
      process: fraction,
      region: fraction,
      from: fraction,
      to: fraction,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('mprotect' as const),
      process: fraction,
      region: fraction,
      from: fraction,
      to: fraction,
      writable: fc.boolean(),
    }),
  },
);
const steps = fc.array(step, { minLength: 30, maxLength: 90, size: 'max' });

/** What platforms have in common. */
interface Setting {
  hostSize: number;
  tagged: Tagged;
  vcpus: number;
  kpti: boolean;
  hugePages: HugePagePolicy;
}
const setting: fc.Arbitrary<Setting> = fc.record({
  hostSize: fc.nat(1),
  tagged: fc.constantFrom<Tagged[]>([], ['vpid'], ['pcid'], ['vpid', 'pcid']),
  vcpus: fc.integer({ min: 1, max: MOST_VCPUS }),
  kpti: fc.boolean(),
  hugePages: fc.constantFrom<HugePagePolicy[]>('never', 'madvise', 'always'),
});

/** Causes that are the guest kernel's own doing. */
const GUEST_CAUSES = LEDGER_CAUSES.filter((cause) => LEDGER[cause].kind === 'guest');

/** A virtual machine with a kernel and programs. */
class Guest {
  readonly host: Host;
  readonly kernel: GuestKernel;
  readonly frames = new FrameAllocator('guest memory', FRAMES);
  readonly setting: Setting;
  /** What each step came to. */
  readonly log: string[] = [];
  readonly #looks: boolean;

  /** @param looks whether the twin's TLB is looked into after each access */
  constructor(variant: Variant, of: Setting, engine: Engine, looks: boolean) {
    this.setting = of;
    this.#looks = looks;
    this.host = new Host({ ...of, variant, engine, zoneFrames: 400 });
    this.kernel = new GuestKernel({
      platform: this.host.platform,
      zone: this.host.zone,
      frames: this.frames,
      ledger: this.host.ledger,
      vcpus: of.vcpus,
      pcid: of.tagged.includes('pcid'),
      kpti: of.kpti,
      hugePages: of.hugePages,
    });
    for (let cpu = 0; cpu < of.vcpus; cpu++) this.kernel.idle(cpu);
    const first = this.kernel.createProcess({ regions: [{ pages: 40 }, { pages: 1100 }] });
    for (let cpu = 0; cpu < of.vcpus; cpu++) this.kernel.switchTo(cpu, first);
  }

  take(sequence: readonly Step[]): this {
    for (const each of sequence) {
      try {
        this.log.push(`${each.do} ${this.#step(each)}`);
      } catch (error) {
        // What cannot be is refused, and on every platform alike.
        if (!(error instanceof NestwalkError) || !['usage', 'process.segfault'].includes(error.code))
          throw error;
        this.log.push(`${each.do} ${error.code}`);
      }
    }
    return this;
  }

  #pick<T>(list: readonly T[], at: number): T | undefined {
    return list[Math.floor(at * list.length)];
  }

  #process(at: number): Process {
    const process = this.#pick(this.kernel.processes, at);
    if (process === undefined) throw new NestwalkError('usage', 'no process');
    return process;
  }

  #step(each: Step): string | number {
    const { kernel } = this;
    switch (each.do) {
      case 'access':
        return this.#access(each.vcpu % this.setting.vcpus, each.region, each.at, each.kind);
      case 'make':
        if (kernel.processes.length >= MOST_PROCESSES) return 'enough';
        kernel.createProcess({ regions: [{ pages: each.pages, shared: each.shared }] });
        return 'made';
      case 'fork':
        if (kernel.processes.length >= MOST_PROCESSES) return 'enough';
        return kernel.fork(this.#process(each.process)).id;
      case 'exec':
        kernel.exec(this.#process(each.process), { regions: [{ pages: 7 }, { pages: 600 }] });
        return 'done';
      case 'exit':
        kernel.exit(this.#process(each.process));
        return 'done';
      case 'collapse':
      case 'split':
      case 'pageOut':
        return kernel[each.do](this.#process(each.process));
      case 'switch':
        kernel.switchTo(each.vcpu % this.setting.vcpus, this.#process(each.process));
        return 'done';
      case 'idle':
        kernel.idle(each.vcpu % this.setting.vcpus);
        return 'done';
      case 'mmap': {
        const { pages: count, shared, large } = each;
        const made = kernel.mmap(this.#process(each.process), {
          pages: count,
          shared,
          ...(large ? { pageSize: '2MiB' as const } : {}),
        });
        return `${made.page} ${made.pages}`;
      }
      default: {
        const process = this.#process(each.process);
        const region = this.#pick(process.regions, each.region);
        if (region === undefined) return 'no region';
        const span = within(region, each.from, each.to);
        if (each.do === 'munmap') kernel.munmap(process, span);
        else if (each.do === 'mprotect') kernel.mprotect(process, span, { writable: each.writable });
        else kernel.madvise(process, span, each.do);
        return `${span.page} ${span.pages}`;
      }
    }
  }

  /** An access of the program on a virtual processor; then the TLB must have what the tables say. */
  #access(cpu: number, region: number, at: number, kind: AccessKind): string {
    const process = this.kernel.running(cpu);
    const place = process && this.#pick(process.regions, region);
    if (place === undefined) return 'nothing to access';
    const page = place.page + Math.floor(at * place.pages);
    // The kernel is where its program is, whether or not that faults: hidden faults must not tell it.
    this.kernel.onVcpu(cpu);
    this.host.access(page, kind, cpu, this.kernel);
    if (this.#looks) this.#look(process!, page, kind, cpu);
    return `${cpu} ${kind} ${page}`;
  }

  #look(process: Process, page: number, kind: AccessKind, cpu: number): void {
    const says = this.host.platform.translate(process.space, page)!;
    const cached = this.host.cached(page, cpu)!;
    expect(cached.frame).toBe(says.hpaFrame);
    expect(cached.sizeIndex).toBe(says.sizeIndex);
    if (kind === 'write') expect(cached.writable).toBe(true);
    if (!says.writable) expect(cached.writable).toBe(false);
  }

  /** Everything that the programs and their kernel can know. */
  seen(): object {
    const counted = GUEST_CAUSES.map((cause: LedgerCause) => `${cause} ${this.host.ledger.events[cause]}`);
    const tables = this.kernel.processes.map(({ id, space }) => [
      id,
      ...entriesOf(this.host.platform, space),
    ]);
    return { log: this.log, counted, tables, frames: this.frames.used, zone: this.host.zone.used };
  }

  /** Reads and writes what every process has, wherever it is mapped. */
  readAll(): void {
    for (const process of this.kernel.processes) {
      this.kernel.switchTo(0, process);
      for (const { page, pages: count, writable } of process.regions) {
        for (const at of new Set([0, count >> 1, count - 1])) {
          const kinds: AccessKind[] = writable ? ['read', 'write'] : ['read'];
          for (const kind of kinds) {
            this.host.access(page + at, kind, 0, this.kernel);
            this.#look(process, page + at, kind, 0);
          }
        }
      }
    }
  }

  endAll(): void {
    for (const process of this.kernel.processes) this.kernel.exit(process);
    for (let cpu = 0; cpu < this.setting.vcpus; cpu++) this.kernel.idle(cpu);
  }
}

/** A part of a region, page-aligned to 2 MiB where that leaves anything, so that large pages are met whole too. */
function within(region: PageSpan, from: number, to: number): PageSpan {
  const [first, last] = [Math.min(from, to), Math.max(from, to)].map((at) => Math.floor(at * region.pages));
  return { page: region.page + first, pages: last - first + 1 };
}

describe('the same programs on every platform', () => {
  it('see the same memory and cost the kernel the same; what is cached is what the tables say', {
    timeout: PATIENCE,
  }, () => {
    fc.assert(
      fc.property(setting, steps, (of, sequence) => {
        const [native, ...others] = VARIANTS.map((variant) => {
          const guest = new Guest(variant, of, TWIN, true).take(sequence);
          const seen = guest.seen();
          guest.readAll();
          return seen;
        });
        for (const [k, other] of others.entries()) expect(other, VARIANTS[k + 1]).toEqual(native);
      }),
      { numRuns: RUNS },
    );
  });

  it('leave nothing behind: frames, table pages and shadow pages are those of the idle kernel', {
    timeout: PATIENCE,
  }, () => {
    fc.assert(
      fc.property(setting, fc.constantFrom(...VARIANTS), steps, (of, variant, sequence) => {
        const idle = new Guest(variant, of, TWIN, false);
        idle.endAll();
        const guest = new Guest(variant, of, TWIN, false).take(sequence);
        guest.endAll();
        expect(guest.kernel.processes).toEqual([]);
        expect(guest.frames.used).toBe(0);
        const used = ({ host }: Guest): number[] => host.memory.zones.map((zone) => zone.used);
        const [zone, , shadow] = used(guest);
        expect([zone, shadow]).toEqual([used(idle)[0], used(idle)[2]]);
      }),
      { numRuns: RUNS },
    );
  });

  it.skipIf(NATIVE_ENGINES.length === 0)('do the same on every engine', { timeout: PATIENCE }, () => {
    fc.assert(
      fc.property(setting, fc.constantFrom(...VARIANTS), steps, (of, variant, sequence) => {
        const [twin, ...others] = ENGINES.map((engine) => {
          const guest = new Guest(variant, of, engine, false).take(sequence);
          const { hardware, memory, ledger } = guest.host;
          return {
            seen: guest.seen(),
            events: { ...ledger.events },
            hardware: hardware.map((each) => [stateDigest(each.saveState()), each.counters().join()]),
            memory: stateDigest(new Float64Array(memory.buffer.slice(0))),
          };
        });
        for (const other of others) expect(other).toEqual(twin);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('the ledger of a guest with a kernel', () => {
  const identities: Record<Variant, (events: Record<LedgerCause, number>) => void> = {
    native: (events) => {
      const others = LEDGER_CAUSES.filter((cause) => LEDGER[cause].kind !== 'guest' && events[cause] > 0);
      expect(others).toEqual([]);
    },
    nested: (events) => {
      expect(events.hostFrames).toBe(events.nestedViolations + events.tableBackings);
      expect(events.tableViolations).toBe(0);
      expect(events.ipiExits).toBe(events.ipis);
    },
    shadow: (events) => {
      expect(events.guestFaultExits).toBe(events.guestFaults);
      expect(events.cr3Exits).toBe(events.cr3Writes);
      expect(events.invlpgExits).toBe(events.invlpgs);
      expect(events.ipiExits).toBe(events.ipis);
      expect(events.tableWriteExits).toBeLessThanOrEqual(events.tableWrites);
      expect(events.hostFrames).toBeLessThanOrEqual(events.hiddenFaultExits + events.tableBackings);
      expect([events.unsyncExits, events.floodZaps, events.resyncedTables]).toEqual([0, 0, 0]);
    },
    unsync: (events) => {
      expect(events.guestFaultExits).toBe(events.guestFaults);
      expect(events.cr3Exits).toBe(events.cr3Writes);
      // A table goes out of sync once before it is brought back, or goes.
      expect(events.resyncedTables).toBeLessThanOrEqual(events.unsyncExits);
      expect(events.unsyncExits + events.tableWriteExits).toBeLessThanOrEqual(events.tableWrites);
      expect(events.floodZaps).toBeLessThanOrEqual(events.shadowZaps);
    },
    paravirt: (events) => {
      expect(events.faultBounces).toBe(events.guestFaults);
      expect(events.syscallBounces).toBe(events.syscalls);
      // One hypercall asks for the flushes of all that receive an interrupt.
      expect(events.cr3Writes).toBeLessThanOrEqual(
        events.cr3Hypercalls + events.flushHypercalls + events.ipis,
      );
      expect(events.updateHypercalls).toBeLessThanOrEqual(events.validatedEntries);
    },
  };

  it.each(VARIANTS)('%s', { timeout: PATIENCE }, (variant) => {
    fc.assert(
      fc.property(setting, steps, (of, sequence) => {
        const guest = new Guest(variant, of, TWIN, false);
        guest.take(sequence);
        identities[variant](guest.host.ledger.events);
        const { shadowTables, shadowZaps } = guest.host.ledger.events;
        expect(shadowTables - shadowZaps).toBe(guest.host.memory.zones[2].used);
      }),
      { numRuns: RUNS },
    );
  });
});
