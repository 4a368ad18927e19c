/**
 * Invalidations, structure by structure: what INVLPG, a flush of a tag, INVEPT and a flush of everything drop, what they
 * keep, and what stays stale when software edits a table and says nothing.
 */
import { describe, expect, it } from 'vitest';
import type { MachineConfig, TlbArrayConfig } from '../../src/config/resolved.ts';
import { ENTRY } from '../../src/schema.ts';
import { Bed, FULL, type Rig } from '../support/bed.ts';
import { EVERY_WAY } from '../support/engines.ts';

const EIGHT = { entries: 8, ways: 8 };
const ARRAY = (sizes: TlbArrayConfig['sizes']): TlbArrayConfig => ({
  entries: 16,
  ways: 16,
  sizes,
  replacement: 'lru',
});
const TLB = [ARRAY(['4KiB', '2MiB', '1GiB'])];
const PSC = { l2: EIGHT, l3: EIGHT, l4: EIGHT, latency: 0 };
const NTLB = { entries: 16, ways: 16, holds: 'all' as const, latency: 0 };
const READ_ONLY = FULL & ~ENTRY.writable;

/** Pages A and B share every table. */
const A = 1;
const B = 2;

const OPERATIONS: Record<string, (rig: Rig) => void> = {
  'invlpg(1, A)': ({ hardware }) => hardware.invlpg(1, A),
  'flushTag(1)': ({ hardware }) => hardware.flushTag(1),
  'invept(1)': ({ hardware }) => hardware.invept(1),
  'flushAll()': ({ hardware }) => hardware.flushAll(),
};
type Operation = keyof typeof OPERATIONS;

/** Tags 1 and 2 belong to vm 1, tag 3 to vm 2. */
const CONTEXTS = [
  { tag: 1, vm: 1 },
  { tag: 2, vm: 1 },
  { tag: 3, vm: 2 },
];

function bedOf(mode: 'native' | 'nested', machine: Partial<MachineConfig>): Bed {
  const bed = new Bed({ mode, machine }).map(A, 10).map(B, 11);
  return mode === 'nested' ? bed.back(10, 300).back(11, 301).backTables(400) : bed;
}

/** Every context has touched A and B, fetched and read. */
function warm(rig: Rig): Rig {
  for (const context of CONTEXTS) {
    rig.load(context);
    for (const page of [A, B]) {
      rig.read(page);
      rig.fetch(page);
    }
  }
  return rig;
}

describe.each(EVERY_WAY)('$name: TLBs', (engine) => {
  /** Whether each context still hits: A and B of tag 1, of tag 2, of tag 3. */
  const KEPT: Record<'native' | 'nested', Record<Operation, string>> = {
    nested: {
      'invlpg(1, A)': '1:-B 2:AB 3:AB',
      'flushTag(1)': '1:-- 2:AB 3:AB',
      'invept(1)': '1:-- 2:-- 3:AB',
      'flushAll()': '1:-- 2:-- 3:--',
    },
    // Without a nested table there are no combined mappings: INVEPT leaves linear ones alone.
    native: {
      'invlpg(1, A)': '1:-B 2:AB 3:AB',
      'flushTag(1)': '1:-- 2:AB 3:AB',
      'invept(1)': '1:AB 2:AB 3:AB',
      'flushAll()': '1:-- 2:-- 3:--',
    },
  };

  /** The sides: which arrays a machine has, and how an access looks at that side. */
  const SIDES = {
    L1D: { machine: { l1d: TLB }, kind: 'read' },
    L1I: { machine: { l1d: TLB, l1i: TLB }, kind: 'fetch' },
    STLB: { machine: { stlb: TLB }, kind: 'read' },
  } as const;

  const cases = (['native', 'nested'] as const).flatMap((mode) =>
    Object.keys(SIDES).flatMap((side) =>
      Object.keys(OPERATIONS).map((operation) => ({ mode, side, operation })),
    ),
  );
  it.each(cases)('$mode, $side after $operation', ({ mode, side, operation }) => {
    const { machine, kind } = SIDES[side as 'L1D'];
    const rig = warm(bedOf(mode, machine).machine(engine));
    OPERATIONS[operation](rig);
    const seen = CONTEXTS.map((context) => {
      rig.load(context);
      const hits = [A, B].map((page, i) => (rig.access(kind, page, 0).counts.walks ? '-' : 'AB'[i]));
      return `${context.tag}:${hits.join('')}`;
    });
    expect(seen.join(' ')).toBe(KEPT[mode][operation]);
  });

  it.each([
    ['2MiB', 1],
    ['1GiB', 2],
  ] as const)(
    'invlpg drops the %s entry that covers the address, wherever in it the address lies',
    (size, index) => {
      const bed = new Bed({ mode: 'native', machine: { l1d: [ARRAY([size])], stlb: [ARRAY([size])] } });
      const rig = bed.map(0, 0, { size: index }).machine(engine);
      rig.read(3);
      rig.hardware.invlpg(1, 400);
      expect(rig.state()).toEqual([0, 0]);
    },
  );

  it('invlpg of another tag, or of a page that is not there, drops nothing', () => {
    const rig = bedOf('native', { l1d: TLB }).machine(engine);
    rig.read(A);
    const before = rig.state();
    rig.hardware.invlpg(7, A);
    rig.hardware.invlpg(1, 12345);
    rig.hardware.flushTag(7);
    rig.hardware.invept(1);
    expect(rig.state()).toEqual(before);
  });

  it('the other ways keep their order', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: [{ ...TLB[0], entries: 4, ways: 4 }] } });
    for (let page = 0; page < 8; page++) bed.map(page, 10 + page);
    const rig = bed.machine(engine);
    for (const page of [0, 1, 2, 3]) rig.read(page);
    rig.hardware.invlpg(1, 2);
    // 0, 1 and 3 are there; 4 takes the free place; then 0, the oldest, goes.
    expect(rig.read(4).counts.walks).toBe(1);
    rig.read(5);
    expect([1, 3, 4, 5].map((page) => rig.read(page).counts.walks ?? 0)).toEqual([0, 0, 0, 0]);
    expect(rig.read(0).counts.walks).toBe(1);
  });
});

describe.each(EVERY_WAY)('$name: paging-structure caches', (engine) => {
  /** References of a read of A by tags 1, 2, 3 (vm 2), from the level where a walk can start. */
  it.each([
    ['native', 'invlpg(1, A)', [4, 1, 1]],
    ['native', 'flushTag(1)', [4, 1, 1]],
    ['native', 'invept(1)', [1, 1, 1]],
    ['native', 'flushAll()', [4, 4, 4]],
    // A full walk is 24; with the combined PSC the leaf entry and the data page remain.
    ['nested', 'invlpg(1, A)', [24, 5, 5]],
    ['nested', 'flushTag(1)', [24, 5, 5]],
    ['nested', 'invept(1)', [24, 24, 5]],
    ['nested', 'flushAll()', [24, 24, 24]],
  ] as const)('%s, after %s', (mode, operation, refs) => {
    const rig = warm(bedOf(mode, { psc: PSC }).machine(engine));
    OPERATIONS[operation](rig);
    expect(CONTEXTS.map((context) => rig.load(context).read(A).refs)).toEqual(refs);
  });

  it('invlpg drops all of the tag, not only those for the address', () => {
    const far = 512 ** 3;
    const rig = bedOf('native', { psc: PSC }).map(far, 12).machine(engine);
    rig.read(far);
    rig.hardware.invlpg(1, A);
    expect(rig.read(far).refs).toBe(4);
  });

  it('a tag has its own entries', () => {
    const rig = bedOf('native', { psc: PSC }).machine(engine);
    expect(rig.load({ tag: 1 }).read(A).refs).toBe(4);
    expect(rig.load({ tag: 2 }).read(A).refs).toBe(4);
    expect(rig.load({ tag: 1 }).read(A).refs).toBe(1);
  });
});

describe.each(EVERY_WAY)('$name: nested TLB and nested PSC', (engine) => {
  it.each([
    // 4 guest references remain where the nested TLB has all five translations.
    ['invlpg(1, A)', 4, 4],
    ['flushTag(1)', 4, 4],
    ['invept(1)', 24, 4],
    ['flushAll()', 24, 24],
  ] as const)('nested TLB after %s: vm 1 and vm 2', (operation, first, second) => {
    const rig = warm(bedOf('nested', { ntlb: NTLB }).machine(engine));
    OPERATIONS[operation](rig);
    expect(rig.load({ tag: 2, vm: 1 }).read(A).refs).toBe(first);
    expect(rig.load({ tag: 3, vm: 2 }).read(A).refs).toBe(second);
  });

  it.each([
    // With every nested PSC: 4 guest references and 5 nested leaves. Cold: 4 levels for the root's row, which leaves all of the
    // way but the leaf to the other tables and (the data lies under the same nL2 entry as nothing else) 4 for the data page.
    ['invlpg(1, A)', 9, 9],
    ['flushTag(1)', 9, 9],
    ['invept(1)', 4 + 4 + 3 + 4, 9],
    ['flushAll()', 4 + 4 + 3 + 4, 4 + 4 + 3 + 4],
  ] as const)('nested PSC after %s: vm 1 and vm 2', (operation, first, second) => {
    // The data page in a 512 GiB of GPA space of its own: it shares no nested entry with the tables.
    const far = 512 ** 3;
    const bed = new Bed({ mode: 'nested', machine: { nestedPsc: PSC } }).map(A, far).map(B, far + 1);
    const rig = warm(
      bed
        .back(far, 300)
        .back(far + 1, 301)
        .backTables(400)
        .machine(engine),
    );
    OPERATIONS[operation](rig);
    expect(rig.load({ tag: 2, vm: 1 }).read(A).refs).toBe(first);
    expect(rig.load({ tag: 3, vm: 2 }).read(A).refs).toBe(second);
  });

  it('tags of one vm share them, vms do not', () => {
    const rig = bedOf('nested', { ntlb: NTLB }).machine(engine);
    expect(rig.load({ tag: 1, vm: 1 }).read(A).refs).toBe(24);
    expect(rig.load({ tag: 2, vm: 1 }).read(A).refs).toBe(4);
    expect(rig.load({ tag: 3, vm: 2 }).read(A).refs).toBe(24);
  });
});

describe.each(EVERY_WAY)('$name: page-walk cache and PTE caches', (engine) => {
  const PWC = { entries: 16, ways: 16, holds: '2d' as const, latency: 0 };
  const modes = (['native', 'nested'] as const).flatMap((mode) =>
    Object.keys(OPERATIONS).map((operation) => [mode, operation] as const),
  );

  it.each(modes)('%s: the page-walk cache is emptied by %s', (mode, operation) => {
    const rig = bedOf(mode, { pwc: PWC }).machine(engine);
    rig.read(A);
    expect(rig.state()[0]).toBeGreaterThan(0);
    OPERATIONS[operation](rig);
    expect(rig.state()).toEqual([0]);
  });

  it('even an invlpg of a page and tag that nobody knows empties it', () => {
    const rig = bedOf('native', { pwc: PWC }).machine(engine);
    rig.read(A);
    rig.hardware.invlpg(9, 4711);
    expect(rig.state()).toEqual([0]);
  });

  it.each(modes)('%s: PTE caches are kept by %s', (mode, operation) => {
    const caches = [{ name: 'L2', size: 8192, ways: 128, line: 64, latency: 1 }];
    const rig = bedOf(mode, { caches, l1d: TLB }).machine(engine);
    rig.read(A);
    OPERATIONS[operation](rig);
    rig.hardware.flushAll();
    const { counts, refs } = rig.read(A);
    expect(refs).toBe(mode === 'native' ? 4 : 24);
    expect((counts['refHits.guest.L2'] ?? 0) + (counts['refHits.nested.L2'] ?? 0)).toBe(refs);
  });
});

describe.each(EVERY_WAY)('$name: an edit without an invalidation', (engine) => {
  it('a TLB entry goes on with the old frame until it is invalidated', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB } }).map(A, 10);
    const rig = bed.machine(engine);
    rig.read(A);
    bed.entry(bed.guest, A, 1).frame = 20;
    rig.read(A);
    expect(rig.state()).toEqual([1, A * 4, 1, 10, 3]);
    rig.hardware.invlpg(1, A);
    rig.read(A);
    expect(rig.state()).toEqual([1, A * 4, 1, 20, 3]);
  });

  it('a page that is gone is still there; a right that is gone still lets write', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: TLB } }).map(A, 10).map(B, 11);
    const rig = bed.machine(engine);
    rig.read(A);
    rig.read(B);
    bed.entry(bed.guest, A, 1).flags = 0;
    bed.entry(bed.guest, B, 1).flags = READ_ONLY;
    expect(rig.read(A).status).toBe('done');
    expect(rig.write(B).status).toBe('done');
    rig.hardware.flushTag(1);
    expect(rig.read(A).status).toBe('guestFault');
    expect(rig.write(B).status).toBe('guestFault');
  });

  it('a PSC entry leads to the old table', () => {
    const bed = bedOf('native', { psc: { l2: EIGHT, latency: 0 } });
    const rig = bed.machine(engine);
    rig.read(A);
    bed.entry(bed.guest, A, 2).flags = 0;
    expect(rig.read(B)).toMatchObject({ status: 'done', refs: 1 });
    rig.hardware.invlpg(1, 99999);
    expect(rig.read(B)).toMatchObject({ status: 'guestFault', faultRefs: 3 });
  });

  it('a combined PSC entry keeps the old host address of the table, whatever the nested table says now', () => {
    const bed = bedOf('nested', { psc: { l2: EIGHT, latency: 0 } });
    const rig = bed.machine(engine);
    rig.read(A);
    const table = bed.entry(bed.guest, A, 1).tableFrame;
    bed.entry(bed.nested, table, 1).flags = 0;
    expect(rig.read(B)).toMatchObject({ status: 'done', refs: 5 });
    rig.hardware.invept(1);
    expect(rig.read(B)).toMatchObject({ status: 'nestedViolation' });
    expect(rig.fault()).toMatchObject({ row: 'gL1', gpaFrame: table });
  });

  it('a nested-TLB entry keeps the old frame; invlpg does not reach it, invept does', () => {
    const bed = bedOf('nested', { ntlb: NTLB, l1d: TLB });
    const rig = bed.machine(engine);
    rig.read(A);
    bed.entry(bed.nested, 10, 1).frame = 777;
    rig.hardware.invlpg(1, A);
    rig.read(A);
    expect(rig.state().slice(0, 5)).toEqual([1, A * 4, 1, 300, 3]);
    rig.hardware.invept(1);
    rig.read(A);
    expect(rig.state().slice(0, 5)).toEqual([1, A * 4, 1, 777, 3]);
  });

  it('a nested page taken away is found out only when nothing holds it any more', () => {
    const bed = bedOf('nested', { ntlb: NTLB, l1d: TLB });
    const rig = bed.machine(engine);
    rig.read(A);
    bed.entry(bed.nested, 10, 1).flags = 0;
    expect(rig.read(A).status).toBe('done');
    rig.hardware.flushTag(1);
    expect(rig.read(A)).toMatchObject({ status: 'done', refs: 4 });
    rig.hardware.flushAll();
    expect(rig.read(A)).toMatchObject({ status: 'nestedViolation', faultRefs: 24 });
  });
});

describe.each(EVERY_WAY)(
  '$name: entries of two sizes for one address, after an edit without an invalidation',
  (engine) => {
    /** Page 512 as a clean 4 KiB page; then the guest makes the region one large page and says nothing. */
    function grown(machine: Partial<MachineConfig>): { bed: Bed; rig: Rig } {
      const bed = new Bed({ mode: 'native', machine }).map(512, 1024, { flags: FULL & ~ENTRY.dirty });
      const rig = bed.machine(engine);
      rig.read(512);
      const entry = bed.entry(bed.guest, 512, 2);
      entry.frame = 1024;
      entry.flags = (FULL & ~ENTRY.dirty) | ENTRY.pageSize;
      rig.read(514);
      return { bed, rig };
    }

    it('stand side by side, the smaller one answers first', () => {
      const { rig } = grown({ stlb: TLB });
      expect(rig.state()).toEqual([2, 4 + 1, 1, 1024, 1, 512 * 4, 1, 1024, 1]);
      expect(rig.read(512).counts).toMatchObject({ 'stlbHits.4KiB': 1 });
      expect(rig.read(513).counts).toMatchObject({ 'stlbHits.2MiB': 1 });
    });

    it('invlpg drops both', () => {
      const { rig } = grown({ stlb: TLB });
      rig.hardware.invlpg(1, 512);
      expect(rig.state()).toEqual([0]);
    });

    it('a dirty walk that finds the large page leaves one entry of it, not two', () => {
      const { rig } = grown({ stlb: TLB });
      // The small entry is clean, goes, and the walk fills the large page, which is there already.
      expect(rig.write(512)).toMatchObject({ refs: 3, counts: { dirtyWalks: 1 } });
      expect(rig.state()).toEqual([1, 4 + 1, 1, 1024, 3]);
      rig.hardware.invlpg(1, 512);
      expect(rig.state()).toEqual([0]);
    });

    it('so it is in the nested TLB', () => {
      const bed = new Bed({ mode: 'nested', machine: { ntlb: NTLB } })
        .map(A, 512)
        .map(B, 514)
        .backTables(4096);
      bed.back(512, 1024, { flags: FULL & ~ENTRY.dirty }).back(514, 1026);
      const rig = bed.machine(engine);
      rig.read(A);
      const entry = bed.entry(bed.nested, 512, 2);
      entry.frame = 1024;
      entry.flags = (FULL & ~ENTRY.dirty) | ENTRY.pageSize;
      rig.read(B);
      const dataEntries = (): number[] => {
        const [count, ...slots] = rig.state();
        return Array.from({ length: count }, (_, k) => slots[4 * k]).filter(
          (key) => key < 4 * 4096 && key % 4 < 2 && key !== 0,
        );
      };
      const large = 4 + 1;
      expect(dataEntries().sort((a, b) => a - b)).toEqual([large, 512 * 4].sort((a, b) => a - b));
      rig.write(A);
      expect(dataEntries()).toEqual([large]);
    });
  },
);

describe.each(EVERY_WAY)('$name: in a run that is promised to change nothing', (engine) => {
  /** L1 and STLB that an engine may lay out in a shorter way for such a run. */
  const bed = (): Bed =>
    new Bed({
      mode: 'native',
      isStatic: true,
      machine: { l1d: [{ entries: 4, ways: 4, sizes: ['4KiB'], replacement: 'lru' }], stlb: TLB },
    })
      .map(A, 10)
      .map(B, 11);

  it('flushTag and flushAll drop all of the tag', () => {
    const rig = bed().machine(engine);
    for (const flush of [OPERATIONS['flushTag(1)'], OPERATIONS['flushAll()']]) {
      rig.read(A);
      flush(rig);
      expect(rig.state()).toEqual([0, 0]);
      expect(rig.read(A).refs).toBe(4);
    }
  });

  it('a flush of another tag drops nothing', () => {
    const rig = bed().machine(engine);
    rig.read(A);
    rig.hardware.flushTag(2);
    expect(rig.read(A).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
  });

  it('invlpg drops the page, and only it', () => {
    const rig = bed().machine(engine);
    rig.read(A);
    rig.read(B);
    rig.hardware.invlpg(1, A);
    expect(rig.read(B).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
    expect(rig.read(A).refs).toBe(4);
  });

  it('a context switch does not hit what another tag has filled', () => {
    const rig = bed().machine(engine);
    rig.read(A);
    rig.load({ tag: 2 });
    expect(rig.read(A).refs).toBe(4);
    rig.load({ tag: 1 });
    expect(rig.read(A).counts).toEqual({ accesses: 1, reads: 1, 'l1Hits.4KiB': 1 });
  });
});
