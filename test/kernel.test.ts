import { describe, expect, it } from 'vitest';
import type { PagingConfig, RegionConfig, ResolvedConfig } from '../src/config/resolved.ts';
import { NestwalkError } from '../src/errors.ts';
import { permute } from '../src/hardware/philox.ts';
import { NestedPlatform } from '../src/hypervisor/nested.ts';
import { COLD_HARDWARE } from '../src/hypervisor/platform.ts';
import { createSystem, type System } from '../src/hypervisor/system.ts';
import type { Fault, Hardware } from '../src/memory/hardwareInterface.ts';
import { ENTRY, ROW_GPA } from '../src/schema.ts';
import { config } from './support/result.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** 4 KiB frames of a GiB. */
const G = 2 ** 18;
/** First page of the region at GVA 2^40. */
const FIRST = 2 ** 28;
const AD = ENTRY.accessed | ENTRY.dirty;

const synthetic = (paging: Partial<PagingConfig>, ...regions: RegionConfig[]): ResolvedConfig => ({
  ...config({ nestedPage: '4KiB', ...paging }),
  regions: regions.length > 0 ? regions : [{ bytes: 64 * KIB, base: 2 ** 40 }],
});

const demand = { populate: 'demand', ad: 'clear' } as const;

const trace = (paging: Partial<PagingConfig>): ResolvedConfig => ({
  ...config({ nestedPage: '4KiB', ...paging }),
  regions: [],
  workload: { trace: '/some.lackey', format: 'lackey', fetches: true },
});

const guestFault = (page: number, access: Fault['access'] = 'read'): Fault => ({
  kind: 'guestFault',
  page,
  offset: 0,
  access,
  gpaFrame: 0,
  intent: 'read',
  row: 5,
});

const violation = (gpaFrame: number, row = ROW_GPA): Fault => ({
  kind: 'nestedViolation',
  page: FIRST,
  offset: 0,
  access: 'read',
  gpaFrame,
  intent: 'read',
  row,
});

function nestedOf(system: System): NestedPlatform {
  expect(system.platform).toBeInstanceOf(NestedPlatform);
  return system.platform as NestedPlatform;
}

const guestTable = (system: System) => system.kernel.space.table;
const gpaOf = (system: System, page: number) => guestTable(system).translate(page);
const hpaOf = (system: System, gpaFrame: number) => nestedOf(system).nestedTable.translate(gpaFrame);

/** What the hardware would do with one access: walk by software, fault, retry. Returns the frame in HPA space. */
function touch(
  system: System,
  page: number,
  access: Fault['access'] = 'read',
  hardware = COLD_HARDWARE,
): number {
  for (let tries = 0; tries < 3; tries++) {
    const gpa = gpaOf(system, page);
    if (gpa === undefined) {
      system.handleFault(guestFault(page, access), hardware);
      continue;
    }
    const hpa = hpaOf(system, gpa);
    if (hpa !== undefined) return hpa;
    system.handleFault({ ...violation(gpa), page, access }, hardware);
  }
  throw new Error('the access never completed');
}

function failure(action: () => unknown): NestwalkError {
  try {
    action();
  } catch (error) {
    if (error instanceof NestwalkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** What the ledger has counted at all. */
const happened = (system: System) =>
  Object.fromEntries(Object.entries(system.ledger.events).filter(([, times]) => times > 0));

class Recorder implements Hardware {
  readonly log: string[] = [];
  invlpg(tag: number, page: number): void {
    this.log.push(`invlpg ${tag} ${page}`);
  }
  flushTag(tag: number): void {
    this.log.push(`flushTag ${tag}`);
  }
  invept(vm: number): void {
    this.log.push(`invept ${vm}`);
  }
  flushAll(): void {
    this.log.push('flushAll');
  }
}

describe('prefault', () => {
  it('maps page k to GPA frame k to HPA frame k, tables behind the data in host memory', () => {
    const system = createSystem(synthetic({}));
    for (let k = 0; k < 16; k++) {
      expect(gpaOf(system, FIRST + k)).toBe(k);
      expect(hpaOf(system, k)).toBe(k);
    }
    expect(gpaOf(system, FIRST - 1)).toBeUndefined();
    expect(gpaOf(system, FIRST + 16)).toBeUndefined();
    for (let j = 0; j < 4; j++) expect(hpaOf(system, G + j)).toBe(16 + j);
    expect(hpaOf(system, G + 4)).toBeUndefined();
    expect(happened(system)).toEqual({});
  });

  it('hands the hardware both roots, the tags and both zones', () => {
    const system = createSystem({ ...synthetic({}), context: { tag: 7, vm: 9 } });
    expect(system.context).toEqual({
      root: G,
      nestedRoot: G,
      tag: 7,
      vm: 9,
      guestZone: { base: G, frames: 4, word: 0 },
      // 20 pages in two GiB: two tables each of levels 1 and 2, one each of 3 and 4.
      nestedZone: { base: G, frames: 6, word: 4 * 512 },
    });
    expect(system.memory.buffer.byteLength).toBe(10 * 4096);
    for (const zone of system.memory.zones) expect(zone.used).toBe(zone.frames);
  });

  it('natively: one table, no nested root, an empty nested zone', () => {
    const system = createSystem(synthetic({ mode: 'native' }));
    expect(gpaOf(system, FIRST + 5)).toBe(5);
    expect(system.context).toMatchObject({
      root: G,
      nestedRoot: 0,
      nestedZone: { base: 0, frames: 0, word: 0 },
    });
    expect(system.memory.zones).toHaveLength(1);
  });

  it('composes all page sizes: 4 KiB guest pages in 2 MiB nested pages and the reverse', () => {
    const region = { bytes: 4 * MIB, base: 2 ** 40 };
    const splinter = createSystem(synthetic({ nestedPage: '2MiB' }, region));
    const large = createSystem(synthetic({ guestPage: '2MiB' }, region));
    for (const k of [0, 1, 511, 512, 700, 1023]) {
      for (const system of [splinter, large]) {
        expect(gpaOf(system, FIRST + k)).toBe(k);
        expect(hpaOf(system, k)).toBe(k);
      }
    }
    expect(nestedOf(splinter).nestedTable.lookup(700)).toMatchObject({ level: 2, frame: 512 });
    expect(guestTable(large).lookup(FIRST + 700)).toMatchObject({ level: 2, frame: 512 });
    // Guest tables lie in the third nested page of 2 MiB.
    expect(hpaOf(splinter, G + 1)).toBe(2 * 512 + 1);
  });

  it('maps in ascending GVA, whatever the order of the configuration', () => {
    const low = { bytes: 8 * KIB, base: 2 ** 40 };
    const high = { bytes: 12 * KIB, base: 2 ** 40 + 2 * GIB };
    const system = createSystem(synthetic({}, high, low));
    expect([0, 1].map((k) => gpaOf(system, FIRST + k))).toEqual([0, 1]);
    expect([0, 1, 2].map((k) => gpaOf(system, FIRST + 2 * G + k))).toEqual([2, 3, 4]);
    // Tables in the order first needed, top level first: root, then levels 3, 2, 1 for the low region, 2, 1 for the high.
    const { halves } = system.memory;
    const pointer = (table: number, index: number) => halves[2 * (table * 512 + index)] >>> 12;
    expect(pointer(0, 2)).toBe(G + 1);
    expect(pointer(1, 0)).toBe(G + 2);
    expect(pointer(2, 0)).toBe(G + 3);
    expect(pointer(1, 2)).toBe(G + 4);
    expect(pointer(4, 0)).toBe(G + 5);
  });

  it('scatters regions by their number in the configuration, the host as one region', () => {
    const low = { bytes: 80 * KIB, base: 2 ** 40 };
    const high = { bytes: 120 * KIB, base: 2 ** 40 + 2 * GIB };
    const of = { ...synthetic({ placement: 'scattered' }, high, low), seed: '0x1234567800000009' };
    const system = createSystem(of);
    const key = [9, 0x12345678] as const;
    for (let k = 0; k < 20; k++) expect(gpaOf(system, FIRST + k)).toBe(30 + permute(k, 20, 1, 1, ...key));
    for (let k = 0; k < 30; k++) expect(gpaOf(system, FIRST + 2 * G + k)).toBe(permute(k, 30, 1, 0, ...key));
    // Nested pages are mapped in ascending GPA: 50 of data, then 6 of tables.
    for (let k = 0; k < 50; k++) expect(hpaOf(system, k)).toBe(permute(k, 56, 2, 0, ...key));
    for (let j = 0; j < 6; j++) expect(hpaOf(system, G + j)).toBe(permute(50 + j, 56, 2, 0, ...key));
  });

  it('writes A and D as paging.ad says, in both dimensions', () => {
    for (const [ad, bits] of [
      ['set', AD],
      ['clear', 0],
    ] as const) {
      const system = createSystem(synthetic({ ad }));
      for (const found of [guestTable(system).lookup(FIRST), nestedOf(system).nestedTable.lookup(0)]) {
        expect(found).toMatchObject({ present: true, writable: true });
        expect(found.present && found.flags & AD).toBe(bits);
      }
      const root = system.memory.halves[2 * 2];
      expect(root & AD).toBe(bits & ENTRY.accessed);
    }
  });

  it('is static with ad set, and only then', () => {
    const flags = [
      createSystem(synthetic({})),
      createSystem(synthetic({ ad: 'clear' })),
      createSystem(synthetic({ populate: 'demand', ad: 'set' })),
      createSystem(synthetic(demand)),
    ].map((system) => system.static);
    expect(flags).toEqual([true, false, false, false]);
  });

  it('takes at most 9 bytes a page and dimension', () => {
    const pages = 2 ** 16;
    const system = createSystem(synthetic({}, { bytes: pages * 4096, base: 2 ** 40 }));
    expect(system.memory.buffer.byteLength / pages / 2).toBeLessThan(9);
  });

  it('stops at the memory limit', () => {
    const error = failure(() => createSystem(synthetic({}), { memoryLimitBytes: 10 * 4096 - 1 }));
    expect(error.code).toBe('memory.limit');
    expect(createSystem(synthetic({}), { memoryLimitBytes: 10 * 4096 }).static).toBe(true);
  });
});

describe('demand', () => {
  it('maps one leaf at a time; table pages are backed when allocated, the root before the first access', () => {
    const system = createSystem(synthetic(demand));
    expect(hpaOf(system, G)).toBe(0);
    expect(system.ledger.events.tableBackings).toBe(1);
    expect(gpaOf(system, FIRST)).toBeUndefined();

    // Levels 3, 2 and 1 get host frames 1 to 3; data then takes the fifth host frame, by a nested violation.
    expect(touch(system, FIRST + 3)).toBe(4);
    expect(gpaOf(system, FIRST + 3)).toBe(0);
    expect([1, 2, 3].map((j) => hpaOf(system, G + j))).toEqual([1, 2, 3]);
    expect(touch(system, FIRST)).toBe(5);
    expect(gpaOf(system, FIRST)).toBe(1);
    expect(gpaOf(system, FIRST + 1)).toBeUndefined();
    // Of the guest: CR3 once, links of three table pages and two leaves. Of the host: four table pages and two of data.
    expect(happened(system)).toEqual({
      guestFaults: 2,
      zeroedFrames: 2,
      cr3Writes: 1,
      tableWrites: 3 + 2,
      nestedViolations: 2,
      tableBackings: 4,
      hostFrames: 4 + 2,
    });
  });

  it('with 2 MiB nested pages one backing serves all tables, one violation 512 guest pages', () => {
    const system = createSystem(
      synthetic({ ...demand, nestedPage: '2MiB' }, { bytes: 4 * MIB, base: 2 ** 40 }),
    );
    expect(touch(system, FIRST + 9)).toBe(512);
    expect(touch(system, FIRST + 1000)).toBe(513);
    expect(hpaOf(system, G + 3)).toBe(3);
    expect(system.ledger.events).toMatchObject({ guestFaults: 2, nestedViolations: 1, tableBackings: 1 });
  });

  it('with 2 MiB guest pages one fault maps 512 pages, each nested page on its own', () => {
    const system = createSystem(
      synthetic({ ...demand, guestPage: '2MiB' }, { bytes: 4 * MIB, base: 2 ** 40 }),
    );
    // Tables of levels 4, 3 and 2 take host frames 0 to 2.
    expect(touch(system, FIRST + 513)).toBe(3);
    expect(touch(system, FIRST + 512)).toBe(4);
    expect(gpaOf(system, FIRST + 512)).toBe(0);
    expect(system.ledger.events).toMatchObject({ guestFaults: 1, nestedViolations: 2, tableBackings: 3 });
  });

  it('touched in ascending order it maps data as prefault does', () => {
    const region = { bytes: 3 * MIB, base: 2 ** 40 };
    const system = createSystem(synthetic({ ...demand, ad: 'set', mode: 'native' }, region));
    const before = createSystem(synthetic({ mode: 'native' }, region));
    for (let k = 0; k < 768; k++) system.handleFault(guestFault(FIRST + k), COLD_HARDWARE);
    expect(Buffer.from(system.memory.buffer).equals(Buffer.from(before.memory.buffer))).toBe(true);
    expect(system.ledger.events.guestFaults).toBe(768);
  });

  it('scatters in the order mapped, region by region', () => {
    const regions = [
      { bytes: 40 * KIB, base: 2 ** 40 },
      { bytes: 40 * KIB, base: 2 ** 40 + 2 * GIB },
    ];
    const system = createSystem(synthetic({ ...demand, placement: 'scattered', mode: 'native' }, ...regions));
    for (const page of [FIRST + 7, FIRST + 2 * G + 1, FIRST]) {
      system.handleFault(guestFault(page), COLD_HARDWARE);
    }
    expect(gpaOf(system, FIRST + 7)).toBe(permute(0, 10, 1, 0, 1, 0));
    expect(gpaOf(system, FIRST)).toBe(permute(1, 10, 1, 0, 1, 0));
    expect(gpaOf(system, FIRST + 2 * G + 1)).toBe(10 + permute(0, 10, 1, 1, 1, 0));
  });

  it('a write makes a guest leaf accessed and dirty, a read or fetch leaves both as ad says; nested entries stay', () => {
    const system = createSystem(synthetic(demand));
    touch(system, FIRST, 'read');
    touch(system, FIRST + 1, 'write');
    touch(system, FIRST + 2, 'fetch');
    const bits = [0, 1, 2].map((k) => {
      const found = guestTable(system).lookup(FIRST + k);
      return found.present && found.flags & AD;
    });
    expect(bits).toEqual([0, AD, 0]);
    const nested = nestedOf(system).nestedTable.lookup(gpaOf(system, FIRST + 1)!);
    expect(nested.present && nested.flags & AD).toBe(0);
  });

  it('flushes the tag at every exit and entry on a machine without VPIDs, not on one with', () => {
    for (const [tagged, flushes] of [
      [['pcid'], ['flushTag 1', 'flushTag 1']],
      [['vpid', 'pcid'], []],
    ] as const) {
      const of = synthetic(demand);
      const system = createSystem({ ...of, machine: { ...of.machine, tagged: [...tagged] } });
      const hardware = new Recorder();
      // A guest fault is no exit, but each of the three table pages that it allocates is one.
      system.handleFault(guestFault(FIRST), hardware);
      expect(hardware.log).toEqual([...flushes, ...flushes, ...flushes]);
      hardware.log.length = 0;
      system.handleFault(violation(0), hardware);
      expect(hardware.log).toEqual(flushes);
      hardware.log.length = 0;
      system.handleFault(guestFault(FIRST + 1), hardware);
      expect(hardware.log).toEqual([]);
    }
  });

  it('counts a violation for a table page apart, should the hardware ever report one', () => {
    const system = createSystem(synthetic(demand));
    system.handleFault(violation(G + 1, 5), COLD_HARDWARE);
    expect(system.ledger.events).toMatchObject({ nestedViolations: 1, tableViolations: 1 });
  });
});

describe('beside a trace', () => {
  // Pages of two GiB apart and back, one of them twice at 2 MiB.
  const pages = Float64Array.of(5 * G + 3, 9, 5 * G + 700, 8, 5 * G + 4);

  it('prefault maps in the order of first touch, then nested pages in ascending GPA', () => {
    const system = createSystem(trace({}), { tracePages: pages });
    expect([...pages].map((page) => gpaOf(system, page))).toEqual([0, 1, 2, 3, 4]);
    expect([...pages].map((_, k) => hpaOf(system, k))).toEqual([0, 1, 2, 3, 4]);
    expect(gpaOf(system, 7)).toBeUndefined();
    expect(system.context.root).toBe(64 * G);
    expect(system.context.nestedRoot).toBe(128 * G);
    expect(hpaOf(system, 64 * G)).toBe(5);
    expect(system.static).toBe(true);
  });

  it('the first touch of a large page maps all of it', () => {
    const system = createSystem(trace({ guestPage: '2MiB', nestedPage: '2MiB' }), { tracePages: pages });
    expect([...pages].map((page) => gpaOf(system, page))).toEqual([3, 512 + 9, 1024 + 188, 512 + 8, 4]);
    expect(hpaOf(system, 1024 + 188)).toBe(1024 + 188);
    expect(hpaOf(system, 64 * G + 1)).toBe(3 * 512 + 1);
  });

  it('demand takes frames in the order of first touch', () => {
    const system = createSystem(trace({ ...demand, mode: 'native' }), { tracePages: pages });
    expect(gpaOf(system, 9)).toBeUndefined();
    for (const page of pages) system.handleFault(guestFault(page), COLD_HARDWARE);
    expect([...pages].map((page) => gpaOf(system, page))).toEqual([0, 1, 2, 3, 4]);
  });

  it('has room for the pages listed only', () => {
    const system = createSystem(trace({ ...demand, mode: 'native' }), { tracePages: Float64Array.of(1) });
    system.handleFault(guestFault(1), COLD_HARDWARE);
    expect(failure(() => system.handleFault(guestFault(5 * G), COLD_HARDWARE)).code).toBe('memory.full');
  });
});

describe('faults that cannot be', () => {
  it('an access outside every region, or of a page that the guest maps', () => {
    const system = createSystem(synthetic({}));
    const codes = [FIRST, FIRST + 16].map(
      (page) => failure(() => system.handleFault(guestFault(page), COLD_HARDWARE)).code,
    );
    expect(codes).toEqual(['engine.failed', 'process.segfault']);
  });

  it('a nested violation without a nested table, or where the nested table maps', () => {
    const native = createSystem(synthetic({ mode: 'native' }));
    expect(failure(() => native.handleFault(violation(0), COLD_HARDWARE)).code).toBe('engine.failed');
    const nested = createSystem(synthetic({}));
    expect(failure(() => nested.handleFault(violation(0), COLD_HARDWARE)).code).toBe('engine.failed');
  });

  it('a nested violation at a GPA that is no guest memory tells of a corrupt guest table', () => {
    const system = createSystem(synthetic(demand));
    for (const gpa of [16, G - 1, G + 4]) {
      expect(failure(() => system.handleFault(violation(gpa), COLD_HARDWARE)).code).toBe('table.corrupt');
    }
    system.handleFault(violation(15), COLD_HARDWARE);
    expect(hpaOf(system, 15)).toBe(1);
  });
});

describe('the platform that a guest kernel sees', () => {
  it('turns flushes into invalidations of the space, CR3 loads too where there are no PCIDs', () => {
    for (const [tagged, loads] of [
      [['vpid'], ['flushTag 1']],
      [['vpid', 'pcid'], []],
    ] as const) {
      const of = synthetic(demand);
      const { platform, kernel, handleFault } = createSystem({
        ...of,
        machine: { ...of.machine, tagged: [...tagged] },
      });
      const hardware = new Recorder();
      handleFault(guestFault(FIRST), hardware);
      expect(hardware.log).toEqual([]);
      platform.switchTo(kernel.space);
      platform.flushPage(kernel.space, FIRST);
      platform.flushSpace(kernel.space);
      expect(hardware.log).toEqual([...loads, `invlpg 1 ${FIRST}`, 'flushTag 1']);
    }
  });
});
