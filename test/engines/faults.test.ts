/** Faults: what stops a walk, what is counted of it, what the hardware drops before it reports, and what it leaves. */
import { describe, expect, it } from 'vitest';
import type { MachineConfig, TlbArrayConfig } from '../../src/config/resolved.ts';
import { ENTRY } from '../../src/schema.ts';
import { Bed, CLEAN, FULL } from '../support/bed.ts';
import { EVERY_WAY } from '../support/engines.ts';

const EIGHT = { entries: 8, ways: 8 };
const TLB: TlbArrayConfig[] = [{ ...EIGHT, sizes: ['4KiB', '2MiB', '1GiB'], replacement: 'lru' }];
const PSC = { l2: EIGHT, l3: EIGHT, l4: EIGHT, latency: 0 };
const NTLB = { ...EIGHT, holds: 'all' as const, latency: 0 };
const READ_ONLY = FULL & ~ENTRY.writable;
const LEVELS = [4, 3, 2, 1];

const native = (machine: Partial<MachineConfig> = {}): Bed => new Bed({ mode: 'native', machine }).map(1, 10);

const GPA = 100;
const nested = (machine: Partial<MachineConfig> = {}): Bed =>
  new Bed({ mode: 'nested', machine }).map(1, GPA).back(GPA, 300).backTables(400);
const tableFrame = (bed: Bed, level: number): number => bed.entry(bed.guest, 1, level).tableFrame;

describe.each(EVERY_WAY)('$name: where a walk stops', (engine) => {
  it.each(LEVELS)('1-D, entry of level %i absent: a guest fault, its own read counted', (level) => {
    const bed = native();
    bed.entry(bed.guest, 1, level).change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    const cells = LEVELS.filter((k) => k >= level).map((k) => [`faultRefs.pt.L${k}`, 1]);
    expect(rig.read(1)).toEqual({
      status: 'guestFault',
      refs: 0,
      faultRefs: 5 - level,
      counts: { ...Object.fromEntries(cells), guestFaults: 1, 'refHits.guest.memory': 5 - level },
    });
    expect(rig.fault()).toMatchObject({ page: 1, index: 0 });
  });

  it.each(LEVELS)('2-D, guest entry of level %i absent: a guest fault, nested walks counted', (level) => {
    const bed = nested();
    bed.entry(bed.guest, 1, level).change({ clear: ENTRY.present });
    const { status, faultRefs, counts } = bed.machine(engine).read(1);
    expect([status, faultRefs]).toEqual(['guestFault', 5 * (5 - level)]);
    expect(counts).toMatchObject({ guestFaults: 1, [`faultRefs.gL${level}.g`]: 1 });
    expect(counts['refHits.guest.memory']).toBe(5 - level);
    expect(counts['refHits.nested.memory']).toBe(4 * (5 - level));
  });

  it.each(LEVELS.flatMap((row) => LEVELS.map((level) => [row, level] as const)))(
    '2-D, nested entry of gL%i at level %i absent: a violation with its GPA',
    (row, level) => {
      const bed = nested();
      // All guest tables share their upper nested entries: a level of its own for one row is the leaf's only.
      const gpa = tableFrame(bed, row);
      bed.entry(bed.nested, gpa, level).change({ clear: ENTRY.present });
      const rig = bed.machine(engine);
      const { status, faultRefs, counts } = rig.read(1);
      const stoppedRow = level > 1 ? 4 : row;
      expect([status, faultRefs]).toEqual(['nestedViolation', 5 * (4 - stoppedRow) + 5 - level]);
      expect(counts).toMatchObject({ nestedViolations: 1, [`faultRefs.gL${stoppedRow}.nL${level}`]: 1 });
      expect(rig.fault()).toMatchObject({ row: `gL${stoppedRow}`, gpaFrame: tableFrame(bed, stoppedRow) });
    },
  );

  it.each(LEVELS)(
    '2-D, nested entry of the data page at level %i absent: row gPA, intent of the access',
    (level) => {
      for (const kind of ['read', 'write', 'fetch'] as const) {
        // The data page lies in a 512 GiB of its own, so that no table shares an entry with it.
        const far = 512 ** 3;
        const bed = new Bed({ mode: 'nested' }).map(1, far).back(far, 300).backTables(400);
        bed.entry(bed.nested, far, level).change({ clear: ENTRY.present });
        const rig = bed.machine(engine);
        const outcome = rig.access(kind, 1, 0);
        expect(outcome).toMatchObject({ status: 'nestedViolation', refs: 0, faultRefs: 20 + 5 - level });
        const intent = kind === 'write' ? 'write' : 'read';
        expect(rig.fault()).toMatchObject({ row: 'gPA', gpaFrame: far, intent });
      }
    },
  );

  it('at the very first step: the nested root has nothing for the guest root; one reference, and the retry goes on', () => {
    const bed = nested();
    const top = bed.entry(bed.nested, bed.guest.root, 4);
    top.change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    expect(rig.read(1)).toEqual({
      status: 'nestedViolation',
      refs: 0,
      faultRefs: 1,
      counts: { 'faultRefs.gL4.nL4': 1, nestedViolations: 1, 'refHits.nested.memory': 1 },
    });
    top.change({ set: ENTRY.present });
    expect(rig.read(1)).toMatchObject({ status: 'done', refs: 24 });
    expect(rig.counts()).toMatchObject({ accesses: 1, reads: 1, walks: 1, l1Misses: 1, stlbMisses: 1 });
  });

  it('a fault that nobody mends comes back for ever, one by one, and hangs nothing', () => {
    const bed = native();
    bed.entry(bed.guest, 1, 4).change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    for (let i = 0; i < 100; i++) expect(rig.read(1).status).toBe('guestFault');
    expect(rig.counts()).toEqual({ 'faultRefs.pt.L4': 100, guestFaults: 100, 'refHits.guest.memory': 100 });
  });

  it('stops a block in the middle; what came before is counted, what comes after is not run', () => {
    const bed = native().map(2, 11);
    const { hardware } = bed.machine(engine);
    const pages = Float64Array.of(1, 2, 3, 1);
    expect(hardware.runRecorded(pages, new Uint16Array(4), 0, 4, 70)).toBe(2);
    expect(hardware.counters()[0]).toBe(2);
    // Index 72 of the stream.
    expect(hardware.fault()[0]).toBe(72);
    expect(hardware.runRecorded(pages, new Uint16Array(4), 3, 1, 73)).toBe(1);
  });
});

describe.each(EVERY_WAY)('$name: rights', (engine) => {
  it.each(LEVELS)(
    '1-D, R/W clear at level %i: reads and fetches pass, a write faults at the leaf',
    (level) => {
      const bed = native();
      const entry = bed.entry(bed.guest, 1, level);
      entry.change({ clear: ENTRY.writable });
      bed.entry(bed.guest, 1, 1).change({ clear: ENTRY.dirty });
      const rig = bed.machine(engine);
      expect(rig.read(1).status).toBe('done');
      expect(rig.fetch(1).status).toBe('done');
      expect(rig.write(1)).toMatchObject({ status: 'guestFault', faultRefs: 4, counts: { guestFaults: 1 } });
      expect(bed.entry(bed.guest, 1, 1).flags & ENTRY.dirty).toBe(0);
    },
  );

  it.each([1, 2])('a large leaf (size index %i) without R/W', (size) => {
    const bed = new Bed({ mode: 'native' }).map(0, 0, { size, flags: READ_ONLY });
    expect(bed.machine(engine).write(3)).toMatchObject({ status: 'guestFault', faultRefs: 4 - size });
  });

  it('A is set though the walk then faults', () => {
    const bed = new Bed({ mode: 'native', tableFlags: CLEAN }).map(1, 10, { flags: CLEAN & ~ENTRY.writable });
    bed.machine(engine).write(1);
    expect(LEVELS.map((level) => bed.entry(bed.guest, 1, level).ad)).toEqual(['A', 'A', 'A', 'A']);
  });

  it.each(LEVELS)(
    '2-D, guest R/W clear at level %i: a guest fault before the data page is translated',
    (level) => {
      const bed = nested();
      bed.entry(bed.guest, 1, level).change({ clear: ENTRY.writable });
      const rig = bed.machine(engine);
      expect(rig.read(1).refs).toBe(24);
      expect(rig.write(1)).toMatchObject({ status: 'guestFault', faultRefs: 20 });
    },
  );

  it.each(LEVELS)(
    '2-D, nested R/W clear at level %i: a violation of a write; the guest D stays set',
    (level) => {
      const far = 512 ** 3;
      const bed = new Bed({ mode: 'nested' }).map(1, far, { flags: FULL & ~ENTRY.dirty });
      bed.back(far, 300, { flags: FULL & ~ENTRY.dirty }).backTables(400);
      bed.entry(bed.nested, far, level).change({ clear: ENTRY.writable });
      const rig = bed.machine(engine);
      expect(rig.read(1).refs).toBe(24);
      expect(rig.write(1)).toMatchObject({ status: 'nestedViolation', faultRefs: 24 });
      expect(rig.fault()).toMatchObject({ row: 'gPA', gpaFrame: far, intent: 'write' });
      expect(bed.entry(bed.guest, 1, 1).ad).toBe('AD');
      expect(bed.entry(bed.nested, far, 1).ad).toBe('A');
    },
  );

  it.each(LEVELS.slice(0, 3))('a PSC remembers that R/W was clear at level %i', (level) => {
    const bed = native({ psc: { l2: EIGHT, latency: 0 } }).map(2, 11);
    bed.entry(bed.guest, 1, level).change({ clear: ENTRY.writable });
    const rig = bed.machine(engine);
    rig.read(1);
    expect(rig.write(2)).toMatchObject({ status: 'guestFault', faultRefs: 1, counts: { 'pscHits.2': 1 } });
    // The entry went with the fault: the retry reads the tables anew, and finds what the kernel has mended.
    bed.entry(bed.guest, 1, level).change({ set: ENTRY.writable });
    expect(rig.write(2)).toMatchObject({ status: 'done', refs: 4 });
  });

  it.each(LEVELS.slice(0, 3))('a nested PSC remembers that R/W was clear at level %i', (level) => {
    const bed = nested({ nestedPsc: { l2: EIGHT, latency: 0 }, nestedAD: false })
      .map(2, GPA + 1)
      .back(GPA + 1, 301);
    const entry = bed.entry(bed.nested, GPA, level);
    entry.change({ clear: ENTRY.writable });
    const rig = bed.machine(engine);
    rig.read(1);
    // Four guest tables and the data page: PSC hit and leaf each.
    expect(rig.write(2)).toMatchObject({ status: 'nestedViolation', faultRefs: 4 * 2 + 1 });
    entry.change({ set: ENTRY.writable });
    expect(rig.write(2)).toMatchObject({ status: 'done', refs: 4 * 2 + 4 });
  });

  it('a TLB entry says whether both dimensions let the page be written', () => {
    for (const [guest, host] of [
      [READ_ONLY, FULL],
      [FULL, READ_ONLY],
    ]) {
      const bed = new Bed({ mode: 'nested', machine: { l1d: TLB } }).map(1, GPA, { flags: guest });
      bed.back(GPA, 300, { flags: host }).backTables(400);
      const rig = bed.machine(engine);
      rig.read(1);
      // Key 1·4, owner, frame, flags: dirty (2), not writable.
      expect(rig.state()).toEqual([1, 4, 1, 300, 2]);
      expect(rig.write(1).status).not.toBe('done');
    }
  });

  it('a write that a stale entry forbids walks, and passes where the tables allow it by now', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB, stlb: TLB } }).map(1, 10, {
      flags: READ_ONLY,
    });
    const rig = bed.machine(engine);
    rig.read(1);
    bed.entry(bed.guest, 1, 1).change({ set: ENTRY.writable });
    expect(rig.write(1)).toMatchObject({
      status: 'done',
      refs: 4,
      counts: { 'l1Hits.4KiB': 1, walks: 1, dirtyWalks: 1 },
    });
  });
});

describe.each(EVERY_WAY)('$name: bookkeeping of an access that faults', (engine) => {
  it('counts nothing but its references, the fault, and what caches saw', () => {
    const bed = nested({ l1d: TLB, stlb: TLB, psc: PSC, ntlb: NTLB });
    bed.entry(bed.guest, 1, 1).change({ clear: ENTRY.present });
    const { counts } = bed.machine(engine).read(1);
    const fields = [...new Set(Object.keys(counts).map((path) => path.split('.')[0]))].sort();
    expect(fields).toEqual(['faultRefs', 'guestFaults', 'ntlbMisses', 'refHits']);
    expect(counts['refHits.guest.memory'] + counts['refHits.nested.memory']).toBe(20);
  });

  it('a write to a read-only page that a TLB holds: no hit, no dirty walk, and the entry is gone', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB, stlb: TLB } }).map(1, 10, {
      flags: READ_ONLY,
    });
    const rig = bed.machine(engine);
    rig.read(1);
    expect(rig.write(1).counts).toMatchObject({ guestFaults: 1 });
    expect(rig.counts()).toMatchObject({ accesses: 1, l1Misses: 1, walks: 1 });
    expect(rig.counts().dirtyWalks).toBeUndefined();
    expect(rig.state()).toEqual([0, 0]);
  });

  it('PTE caches keep what the failed walk brought, and Σ refHits = Σ refs + Σ faultRefs', () => {
    const caches = [{ name: 'L2', size: 4096, ways: 64, line: 64, latency: 1 }];
    const bed = native({ caches });
    bed.entry(bed.guest, 1, 1).change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    expect(rig.read(1).counts['refHits.guest.memory']).toBe(4);
    bed.entry(bed.guest, 1, 1).change({ set: ENTRY.present });
    expect(rig.read(1).counts['refHits.guest.L2']).toBe(4);
  });

  it('`unique` leaves faulted walks out', () => {
    const bed = new Bed({ mode: 'native', optional: ['unique'] }).map(1, 10);
    const rig = bed.machine(engine);
    rig.read(2);
    expect([...rig.hardware.unique()].reduce((a, b) => a + b)).toBe(0);
    rig.read(1);
    expect([...rig.hardware.unique()].reduce((a, b) => a + b)).toBe(4);
  });
});

describe.each(EVERY_WAY)('$name: what goes before the fault is reported', (engine) => {
  it('TLB entries of the tag that cover the address, on every side and of every size', () => {
    const each: TlbArrayConfig[] = (['4KiB', '2MiB', '1GiB'] as const).map((size) => ({
      ...TLB[0],
      sizes: [size],
    }));
    const bed = new Bed({ mode: 'native', machine: { l1d: each, l1i: TLB, stlb: each } });
    bed.map(512, 512, { flags: READ_ONLY });
    const rig = bed.machine(engine);
    rig.fetch(512);
    expect(rig.write(512).status).toBe('guestFault');
    expect(rig.state()).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  it('a stale entry of another size too', () => {
    const arrays: TlbArrayConfig[] = [
      { ...TLB[0], sizes: ['4KiB'] },
      { ...TLB[0], sizes: ['2MiB'] },
    ];
    const bed = new Bed({ mode: 'native', machine: { l1d: arrays } });
    bed.map(512, 512, { flags: READ_ONLY });
    const rig = bed.machine(engine);
    rig.read(512);
    // The guest makes the region one large page and invalidates nothing; page 513 brings the large entry in.
    const entry = bed.entry(bed.guest, 512, 2);
    const { frame, flags } = entry;
    entry.frame = 512;
    entry.flags = READ_ONLY | ENTRY.pageSize;
    rig.read(513);
    entry.frame = frame;
    entry.flags = flags;
    // [4 KiB: one] [2 MiB: one]
    expect(rig.state()).toEqual([1, 512 * 4, 1, 512, 2, 1, 1 * 4 + 1, 1, 512, 2]);
    expect(rig.write(512).status).toBe('guestFault');
    expect(rig.state()).toEqual([0, 0]);
  });

  it('entries of other tags and other pages stay', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB } })
      .map(1, 10, { flags: READ_ONLY })
      .map(2, 11);
    const rig = bed.machine(engine);
    rig.read(1);
    rig.load({ tag: 2 });
    rig.read(1);
    rig.read(2);
    expect(rig.write(1).status).toBe('guestFault');
    expect(rig.read(2).counts['l1Hits.4KiB']).toBe(1);
    rig.load({ tag: 1 });
    expect(rig.read(1).counts['l1Hits.4KiB']).toBe(1);
  });

  it('PSC entries of the tag for the address, at every level; those for other addresses stay', () => {
    // Page `other` lies under other entries from level 4 down.
    const other = 512 ** 3;
    const bed = native({ psc: PSC }).map(other, 12);
    const rig = bed.machine(engine);
    rig.read(1);
    rig.read(other);
    expect(rig.read(2).status).toBe('guestFault');
    bed.map(2, 11);
    expect(rig.read(2).refs).toBe(4);
    expect(rig.read(other).refs).toBe(1);
  });

  it('PSC entries of another tag stay', () => {
    const bed = native({ psc: PSC });
    const rig = bed.machine(engine);
    rig.read(1);
    rig.load({ tag: 2 });
    expect(rig.read(2).status).toBe('guestFault');
    rig.load({ tag: 1 });
    expect(rig.read(1).refs).toBe(1);
  });

  it('a nested violation: nested-TLB and nested-PSC entries for its GPA at every level, and no others', () => {
    const bed = nested({ ntlb: NTLB, nestedPsc: PSC, nestedAD: false });
    bed.entry(bed.nested, GPA, 1).change({ clear: ENTRY.writable });
    const rig = bed.machine(engine);
    rig.read(1);
    const ntlbHits = { 'ntlbHits.gL4': 1, 'ntlbHits.gL3': 1, 'ntlbHits.gL2': 1, 'ntlbHits.gL1': 1 };
    // The entry for the data lacks R/W: a miss, then one reference at level 1 after the nested PSC[2] hit.
    const fault = rig.write(1);
    expect(fault).toMatchObject({ status: 'nestedViolation', faultRefs: 4 + 1 });
    expect(fault.counts).toMatchObject({ ...ntlbHits, 'ntlbMisses.gPA': 1, 'nestedPscHits.2': 1 });
    bed.entry(bed.nested, GPA, 1).change({ set: ENTRY.writable });
    // Every nested PSC entry for the data's GPA is gone: all four levels. The tables' nested-TLB entries are there.
    const retry = rig.write(1);
    expect(retry).toMatchObject({
      status: 'done',
      refs: 4 + 4,
      counts: { ...ntlbHits, 'ntlbMisses.gPA': 1 },
    });
    expect(retry.counts['nestedPscHits.2']).toBeUndefined();
  });

  it('the nested PSC entries of the guest tables stay: a failed walk has filled them for the next', () => {
    // Tables lie in a 512 GiB of GPA space of their own, so that no level is shared with the data.
    const far = 512 ** 3;
    const bed = new Bed({ mode: 'nested', machine: { nestedPsc: PSC } })
      .map(1, far)
      .back(far, 300)
      .backTables(400);
    bed.entry(bed.nested, far, 1).change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    // Row gL4 from the nested root: 4 and its entry; three rows with a hit: 1 and 1; the data page: 4.
    expect(rig.read(1)).toMatchObject({ status: 'nestedViolation', faultRefs: 5 + 3 * 2 + 4 });
    bed.entry(bed.nested, far, 1).change({ set: ENTRY.present });
    expect(rig.read(1)).toMatchObject({ status: 'done', refs: 4 * 2 + 4, counts: { 'nestedPscHits.2': 4 } });
  });

  it('a guest fault leaves nested TLB and nested PSC alone', () => {
    const bed = nested({ ntlb: NTLB });
    bed.entry(bed.guest, 1, 1).change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    expect(rig.read(1)).toMatchObject({ status: 'guestFault', faultRefs: 20 });
    bed.entry(bed.guest, 1, 1).change({ set: ENTRY.present });
    // Four tables are known; the data page is new.
    expect(rig.read(1)).toMatchObject({ status: 'done', refs: 4 + 4 });
  });

  it('a page-walk cache keeps what the failed walk filled', () => {
    const bed = native({ pwc: { ...EIGHT, holds: '1d', latency: 0 } });
    bed.entry(bed.guest, 1, 1).change({ clear: ENTRY.present });
    const rig = bed.machine(engine);
    expect(rig.read(1).faultRefs).toBe(4);
    expect(rig.read(1)).toMatchObject({ faultRefs: 1, counts: { 'pwcHits.pt.L4': 1, 'pwcHits.pt.L2': 1 } });
  });

  it('the dirty walk that faults has dropped the entry from the STLB as well', () => {
    const bed = new Bed({ mode: 'nested', machine: { stlb: TLB } })
      .map(1, GPA)
      .back(GPA, 300, { flags: READ_ONLY });
    const rig = bed.backTables(400).machine(engine);
    rig.read(1);
    expect(rig.write(1)).toMatchObject({ status: 'nestedViolation', faultRefs: 24 });
    expect(rig.state()).toEqual([0]);
    expect(rig.read(1).counts).toMatchObject({ stlbMisses: 1 });
  });
});
