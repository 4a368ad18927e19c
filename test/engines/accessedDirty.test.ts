/** Accessed and dirty bits: who sets them, when a write walks again to set D, and which intent a nested walk has. */
import { describe, expect, it } from 'vitest';
import type { MachineConfig } from '../../src/config/resolved.ts';
import { ENTRY } from '../../src/schema.ts';
import { Bed, CLEAN, FULL } from '../support/bed.ts';
import { EVERY_WAY } from '../support/engines.ts';

const TLB = [
  {
    entries: 8,
    ways: 8,
    sizes: ['4KiB' as const, '2MiB' as const, '1GiB' as const],
    replacement: 'lru' as const,
  },
];
const EIGHT = { entries: 8, ways: 8 };
/** Present and writable, A set, D clear. */
const ACCESSED = CLEAN | ENTRY.accessed;
const READ_ONLY = FULL & ~ENTRY.writable;

/** A and D of a path, root first: `A A A AD`. */
function path(bed: Bed, table: 'guest' | 'nested', page: number, leafLevel = 1): string {
  const levels: string[] = [];
  for (let level = bed[table].levels; level >= leafLevel; level--)
    levels.push(bed.entry(bed[table], page, level).ad);
  return levels.join(' ');
}

describe.each(EVERY_WAY)('$name: one dimension', (engine) => {
  const clean = (machine: Partial<MachineConfig> = {}): Bed =>
    new Bed({ mode: 'native', machine, tableFlags: CLEAN }).map(1, 10, { flags: CLEAN });

  it('a read sets A in every entry of the path and D in none', () => {
    const bed = clean();
    bed.machine(engine).read(1);
    expect(path(bed, 'guest', 1)).toBe('A A A A');
  });

  it('a fetch does as a read', () => {
    const bed = clean();
    bed.machine(engine).fetch(1);
    expect(path(bed, 'guest', 1)).toBe('A A A A');
  });

  it('a write sets D too, in the leaf only', () => {
    const bed = clean();
    bed.machine(engine).write(1);
    expect(path(bed, 'guest', 1)).toBe('A A A AD');
  });

  it.each([1, 2])('a large leaf (size index %i) gets them where it stands', (size) => {
    const bed = new Bed({ mode: 'native', tableFlags: CLEAN }).map(0, 0, { size, flags: CLEAN });
    bed.machine(engine).write(7);
    expect(path(bed, 'guest', 7, size + 1)).toBe(size === 1 ? 'A A AD' : 'A AD');
  });

  it('what is set stays; nothing else of the entry changes', () => {
    const bed = new Bed({ mode: 'native' }).map(1, 10, { flags: CLEAN | 0x600 });
    bed.machine(engine).write(1);
    const entry = bed.entry(bed.guest, 1, 1);
    expect([entry.flags, entry.frame]).toEqual([FULL | 0x600, 10]);
  });

  it('a write that hits a clean entry walks again; the level that hit has counted its hit', () => {
    const rig = clean({ l1d: TLB, stlb: TLB }).machine(engine);
    rig.read(1);
    expect(rig.write(1)).toMatchObject({
      refs: 4,
      counts: { accesses: 1, writes: 1, 'l1Hits.4KiB': 1, walks: 1, dirtyWalks: 1 },
    });
    expect(rig.write(1).counts).toEqual({ accesses: 1, writes: 1, 'l1Hits.4KiB': 1 });
    expect(rig.read(1).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
  });

  it('so does one that hits it in the STLB, which counts an L1 miss and an STLB hit', () => {
    const rig = clean({ stlb: TLB }).machine(engine);
    rig.read(1);
    const { counts, refs } = rig.write(1);
    expect(refs).toBe(4);
    expect(counts).toMatchObject({ l1Misses: 1, 'stlbHits.4KiB': 1, walks: 1, dirtyWalks: 1 });
    expect(counts.stlbMisses).toBeUndefined();
    expect(rig.write(1).counts).toEqual({ accesses: 1, writes: 1, l1Misses: 1, 'stlbHits.4KiB': 1 });
  });

  it('the dirty walk drops the entry from the STLB too, though only the L1 was looked in', () => {
    // The L1 entry is dropped and filled anew; so is the STLB's, or else the STLB would still call the page clean.
    const bed = clean({ l1d: [{ ...TLB[0], entries: 1, ways: 1 }], stlb: TLB }).map(2, 11);
    const rig = bed.machine(engine);
    rig.read(1);
    rig.write(1);
    rig.read(2);
    expect(rig.write(1).counts).toEqual({ accesses: 1, writes: 1, l1Misses: 1, 'stlbHits.4KiB': 1 });
  });

  it('a dirty walk of one side leaves the other side alone', () => {
    const rig = clean({ l1d: TLB, l1i: TLB, stlb: TLB }).machine(engine);
    rig.fetch(1);
    expect(rig.write(1).counts).toMatchObject({ l1Misses: 1, 'stlbHits.4KiB': 1, dirtyWalks: 1 });
    expect(rig.fetch(1).counts).toEqual({ accesses: 1, fetches: 1, 'l1iHits.4KiB': 1 });
  });

  it('a page first touched by a write is dirty at once', () => {
    const rig = clean({ l1d: TLB }).machine(engine);
    rig.write(1);
    expect(rig.write(1).counts).toEqual({ accesses: 1, writes: 1, 'l1Hits.4KiB': 1 });
  });

  it('a page whose D was set already is dirty after a read', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB } }).map(1, 10, { flags: FULL });
    const rig = bed.machine(engine);
    rig.read(1);
    expect(rig.write(1).counts).toEqual({ accesses: 1, writes: 1, 'l1Hits.4KiB': 1 });
  });

  it('an entry in a paging-structure cache is not read, so its A bit is not set again', () => {
    const bed = clean({ psc: { l2: EIGHT, latency: 0 } }).map(2, 11, { flags: CLEAN });
    const rig = bed.machine(engine);
    rig.read(1);
    bed.entry(bed.guest, 1, 2).change({ clear: ENTRY.accessed });
    expect(rig.read(2).refs).toBe(1);
    expect(path(bed, 'guest', 2)).toBe('A A - A');
  });

  it('a page-walk cache saves the reference but not the step: A is set', () => {
    const bed = clean({ pwc: { ...EIGHT, holds: '1d', latency: 0 } }).map(2, 11, { flags: CLEAN });
    const rig = bed.machine(engine);
    rig.read(1);
    bed.entry(bed.guest, 1, 2).change({ clear: ENTRY.accessed });
    expect(rig.read(2)).toMatchObject({ refs: 1, counts: { 'pwcHits.pt.L2': 1 } });
    expect(path(bed, 'guest', 2)).toBe('A A A A');
  });
});

describe.each(EVERY_WAY)('$name: two dimensions', (engine) => {
  const GPA = 100;
  /** Page 1 on GPA frame 100, nothing accessed; guest tables are backed from host frame 400. */
  function bed(machine: Partial<MachineConfig>, { guest = CLEAN, data = CLEAN, tables = CLEAN } = {}): Bed {
    return new Bed({ mode: 'nested', machine, tableFlags: CLEAN })
      .map(1, GPA, { flags: guest })
      .back(GPA, 300, { flags: data })
      .backTables(400, { flags: tables });
  }
  const tableFrame = (b: Bed, level: number): number => b.entry(b.guest, 1, level).tableFrame;

  it('with nestedAD a read sets A on every nested entry, and D where a guest table lies: its reads are writes', () => {
    const b = bed({ nestedAD: true });
    expect(b.machine(engine).read(1).refs).toBe(24);
    expect(path(b, 'guest', 1)).toBe('A A A A');
    expect(path(b, 'nested', GPA)).toBe('A A A A');
    for (const level of [4, 3, 2, 1]) expect(path(b, 'nested', tableFrame(b, level))).toBe('A A A AD');
  });

  it('with nestedAD a write sets D in both leaves', () => {
    const b = bed({ nestedAD: true });
    b.machine(engine).write(1);
    expect(path(b, 'guest', 1)).toBe('A A A AD');
    expect(path(b, 'nested', GPA)).toBe('A A A AD');
  });

  it('without it the hardware sets nothing in the nested table, and all in the guest', () => {
    const b = bed({ nestedAD: false });
    b.machine(engine).write(1);
    expect(path(b, 'guest', 1)).toBe('A A A AD');
    expect(path(b, 'nested', GPA)).toBe('- - - -');
    for (const level of [4, 3, 2, 1]) expect(path(b, 'nested', tableFrame(b, level))).toBe('- - - -');
  });

  it.each([
    // Dirty = the guest's D and, where the hardware keeps it, the nested one.
    { nestedAD: true, guest: FULL, data: FULL, dirtyWalks: 0 },
    { nestedAD: true, guest: FULL, data: ACCESSED, dirtyWalks: 1 },
    { nestedAD: true, guest: ACCESSED, data: FULL, dirtyWalks: 1 },
    { nestedAD: false, guest: FULL, data: ACCESSED, dirtyWalks: 0 },
    { nestedAD: false, guest: ACCESSED, data: FULL, dirtyWalks: 1 },
  ])('a read, then a write: nestedAD $nestedAD, guest $guest, nested $data', ({ dirtyWalks, ...how }) => {
    const rig = bed({ l1d: TLB, nestedAD: how.nestedAD }, how).machine(engine);
    rig.read(1);
    expect(rig.write(1).counts.dirtyWalks ?? 0).toBe(dirtyWalks);
    expect(rig.write(1).counts).toEqual({ accesses: 1, writes: 1, 'l1Hits.4KiB': 1 });
  });

  it.each([
    { nestedAD: true, misses: 1 },
    { nestedAD: false, misses: 0 },
  ])('the nested TLB drops a clean entry that a write hits: nestedAD $nestedAD', ({ nestedAD, misses }) => {
    const rig = bed({ nestedAD, ntlb: { ...EIGHT, holds: 'all', latency: 0 } }).machine(engine);
    expect(rig.read(1).counts['ntlbMisses.gPA']).toBe(1);
    const { counts, refs } = rig.write(1);
    expect(counts['ntlbMisses.gPA'] ?? 0).toBe(misses);
    expect(counts['ntlbHits.gPA'] ?? 0).toBe(1 - misses);
    expect(refs).toBe(4 + 4 * misses);
    expect(rig.write(1)).toMatchObject({ refs: 4, counts: { 'ntlbHits.gPA': 1 } });
  });

  describe('intent towards a guest table page', () => {
    /** Nested R/W is clear for the table of a level alone. */
    function guarded(level: number, nestedAD: boolean, guest: number, tableFlags: number): Bed {
      const b = new Bed({ mode: 'nested', machine: { nestedAD }, tableFlags });
      b.map(1, GPA, { flags: guest }).back(GPA, 300).backTables(400);
      b.entry(b.nested, tableFrame(b, level), 1).flags = READ_ONLY;
      return b;
    }
    const tablesAccessed = FULL & ~ENTRY.dirty;

    it.each([4, 3, 2, 1])('with nestedAD it is write, whatever is set: a violation in row gL%i', (level) => {
      const b = guarded(level, true, FULL, tablesAccessed);
      const rig = b.machine(engine);
      expect(rig.read(1)).toMatchObject({ status: 'nestedViolation', faultRefs: 5 * (4 - level) + 4 });
      expect(rig.fault()).toMatchObject({
        row: `gL${level}`,
        gpaFrame: tableFrame(b, level),
        intent: 'write',
      });
    });

    it.each([4, 3, 2, 1])('without it is read where nothing is to be set: gL%i', (level) => {
      const rig = guarded(level, false, FULL, tablesAccessed).machine(engine);
      expect(rig.read(1)).toMatchObject({ status: 'done', refs: 24 });
      expect(rig.write(1)).toMatchObject({ status: 'done', refs: 24 });
    });

    it.each([4, 3, 2, 1])('without it is write where A is to be set: gL%i', (level) => {
      const b = guarded(level, false, FULL, tablesAccessed);
      b.entry(b.guest, 1, level).change({ clear: ENTRY.accessed });
      const rig = b.machine(engine);
      expect(rig.read(1)).toMatchObject({ status: 'nestedViolation', faultRefs: 5 * (4 - level) + 4 });
      expect(rig.fault()).toMatchObject({
        row: `gL${level}`,
        gpaFrame: tableFrame(b, level),
        intent: 'write',
      });
      // Nothing was set: the entry had not been reached.
      expect(b.entry(b.guest, 1, level).flags & ENTRY.accessed).toBe(0);
    });

    it('without it is write where D is to be set: a write, and not a read, of a clean page', () => {
      const rig = guarded(1, false, ACCESSED, tablesAccessed).machine(engine);
      expect(rig.read(1).status).toBe('done');
      expect(rig.write(1)).toMatchObject({ status: 'nestedViolation', faultRefs: 19 });
      expect(rig.fault()).toMatchObject({ row: 'gL1', intent: 'write' });
    });

    it.each([4, 3, 2, 1])(
      'without it is read for a write that will fault anyway, R/W being clear at level %i: no D is to be set',
      (level) => {
        const b = guarded(1, false, ACCESSED, tablesAccessed);
        b.entry(b.guest, 1, level).change({ clear: ENTRY.writable });
        expect(b.machine(engine).write(1)).toMatchObject({ status: 'guestFault', faultRefs: 20 });
      },
    );

    it('without it is read for an entry that is not present', () => {
      const rig = guarded(1, false, 0, tablesAccessed).machine(engine);
      expect(rig.read(1)).toMatchObject({ status: 'guestFault', faultRefs: 20 });
    });
  });

  describe('a combined PSC entry of a table that the nested mapping does not let be written', () => {
    /**
     * Pages 1, 2, 3 and 4 in one guest table, whose nested mapping is read-only; A is set for page 1 only. `psc` keeps
     * one entry, so that the saved state is [1, key, owner, table, host, flags]; flags 1 path, 2 host writable.
     */
    function readOnlyTable(machine: Partial<MachineConfig> = {}): Bed {
      const b = new Bed({
        mode: 'nested',
        machine: { nestedAD: false, psc: { l2: { entries: 1, ways: 1 }, latency: 0 }, ...machine },
      });
      b.map(1, GPA, { flags: ACCESSED });
      for (const page of [2, 3, 4]) b.map(page, GPA + page - 1, { flags: CLEAN });
      for (const k of [0, 1, 2, 3]) b.back(GPA + k, 300 + k);
      b.backTables(400);
      b.entry(b.nested, tableFrame(b, 1), 1).change({ clear: ENTRY.writable });
      return b;
    }

    it('serves walks that set nothing', () => {
      const b = readOnlyTable();
      const rig = b.machine(engine);
      rig.read(1);
      expect(rig.state()).toEqual([1, 0, 1, tableFrame(b, 1), 403, 1]);
      expect(rig.read(1)).toMatchObject({ refs: 1 + 4, counts: { 'pscHits.2': 1 } });
    });

    it('asks again when a bit is to be set; where that is refused, is a violation with intent write, and goes', () => {
      const b = readOnlyTable();
      const rig = b.machine(engine);
      rig.read(1);
      // The PSC hit is counted, and the nested walk in row gL1 that finds R/W clear.
      expect(rig.read(2)).toMatchObject({
        status: 'nestedViolation',
        faultRefs: 4,
        counts: { 'pscHits.2': 1 },
      });
      expect(rig.fault()).toMatchObject({ row: 'gL1', gpaFrame: tableFrame(b, 1), intent: 'write' });
      expect(rig.state()).toEqual([0]);
    });

    it('is renewed when the answer has changed: host address and right, and nobody asks a third time', () => {
      const b = readOnlyTable();
      const rig = b.machine(engine);
      rig.read(1);
      const backing = b.entry(b.nested, tableFrame(b, 1), 1);
      backing.change({ set: ENTRY.writable });
      backing.frame = 777;
      // Nested walk of the table (4), its entry (1), the data page (4).
      expect(rig.read(2)).toMatchObject({
        status: 'done',
        refs: 9,
        counts: { 'pscHits.2': 1, 'refs.gL1.nL1': 1, 'refs.gL1.g': 1 },
      });
      expect(rig.state()).toEqual([1, 0, 1, tableFrame(b, 1), 777, 3]);
      expect(rig.read(3)).toMatchObject({ status: 'done', refs: 5, counts: { 'pscHits.2': 1 } });
    });

    it('the second asking goes through the nested TLB, whose entry lacks the right and is dropped', () => {
      const b = readOnlyTable({ ntlb: { ...EIGHT, holds: 'tables', latency: 0 } });
      const rig = b.machine(engine);
      rig.read(1);
      b.entry(b.nested, tableFrame(b, 1), 1).change({ set: ENTRY.writable });
      expect(rig.read(2)).toMatchObject({
        refs: 9,
        counts: { 'ntlbMisses.gL1': 1, 'refs.gL1.nL4': 1, 'refs.gL1.nL1': 1 },
      });
      expect(rig.read(3)).toMatchObject({ refs: 5 });
    });

    it('with nestedAD is never asked about again: the walk that filled it had the intent to write', () => {
      const b = readOnlyTable({ nestedAD: true });
      b.entry(b.nested, tableFrame(b, 1), 1).change({ set: ENTRY.writable });
      const rig = b.machine(engine);
      rig.read(1);
      b.entry(b.nested, tableFrame(b, 1), 1).change({ clear: ENTRY.writable });
      // The right is stale, as on the real machine.
      expect(rig.read(2)).toMatchObject({ status: 'done', refs: 5, counts: { 'pscHits.2': 1 } });
    });
  });
});
