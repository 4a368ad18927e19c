/** Page tables that are changed after they were built, and their zones. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leafFlags } from '../src/memory/entry.ts';
import { ContiguousFrames } from '../src/memory/frames.ts';
import {
  entryPages,
  newPlace,
  newStretch,
  PageTable,
  type PageTableOptions,
  spacePages,
  stretchEnd,
} from '../src/memory/pageTable.ts';
import { type EntryRun, SimulatedMemory, type Zone } from '../src/memory/simulatedMemory.ts';
import { ENTRY } from '../src/schema.ts';

const { present: P, writable: W, accessed: A, dirty: D, pageSize: PS } = ENTRY;
const TABLE = P | W | ENTRY.user | A;
const LEAF = leafFlags('set', 0);
const BASE = 1 << 20;
/** A mark that software keeps in entries that are not present. */
const MARK = 1 << 9;

function zoneOf(frames = 64): Zone {
  return new SimulatedMemory([{ name: 'test zone', base: BASE, frames }]).zones[0];
}

function tableOf(options: Partial<PageTableOptions> = {}): PageTable {
  return new PageTable({ levels: 4, zone: zoneOf(), tableFlags: TABLE, ...options });
}

/** A table that tells of what it writes and of the table pages that go. */
function tellingTable(): { table: PageTable; log: string[] } {
  const log: string[] = [];
  const zone = zoneOf();
  const table = tableOf({
    zone,
    onTableFree: (frame, level) => log.push(`free ${frame - BASE} of ${level}`),
    setEntries: (run: EntryRun) => {
      log.push(`${run.level}: ${run.index}+${run.count} flags ${run.flags.toString(16)} page ${run.page}`);
      zone.write(run);
    },
  });
  return { table, log };
}

const frames = () => new ContiguousFrames('test memory', Number.MAX_SAFE_INTEGER);

/** Maps pages of a size from a page on. */
function fill(table: PageTable, page: number, count: number, sizeIndex = 0): void {
  const size = entryPages(sizeIndex + 1);
  table.mapRange(page / size, count, sizeIndex, leafFlags('set', sizeIndex), frames(), 0);
}

/** All stretches of a range: level, first page, entries. */
function stretches(table: PageTable, first: number, end: number): [number, number, number][] {
  const found: [number, number, number][] = [];
  const stretch = newStretch();
  for (let page = first; table.nextStretch(page, end, stretch); page = stretchEnd(stretch)) {
    found.push([stretch.level, stretch.page, stretch.count]);
  }
  return found;
}

/** Every stretch of a range, one after the other. */
function over(
  table: PageTable,
  first: number,
  end: number,
  act: (stretch: ReturnType<typeof newStretch>) => void,
): void {
  const stretch = newStretch();
  for (let page = first; table.nextStretch(page, end, stretch); page = stretchEnd(stretch)) act(stretch);
}

describe('a zone', () => {
  it('hands out again what came back, last first, with all entries clear', () => {
    const zone = zoneOf(4);
    const [a, b, c] = [zone.take(), zone.take(), zone.take()];
    const entries = (frame: number) =>
      zone.halves.subarray(zone.halfOf(frame, 0), zone.halfOf(frame, 0) + 1024);
    for (const frame of [a, b, c]) entries(frame).fill(0xffffffff);
    zone.release(a);
    zone.release(c);
    expect([zone.used, zone.peak]).toEqual([1, 3]);
    expect([zone.take(), zone.take(), zone.take()]).toEqual([c, a, BASE + 3]);
    expect(entries(a).every((half) => half === 0)).toBe(true);
    expect(entries(b).every((half) => half === 0xffffffff)).toBe(true);
    expect([zone.used, zone.peak]).toEqual([4, 4]);
    expect(() => zone.take()).toThrow('test zone');
    expect(() => zone.release(BASE + 4)).toThrow(RangeError);
  });
});

describe('going through a range', () => {
  it('finds table pages of leaves, and runs of large leaves', () => {
    const table = tableOf();
    fill(table, 10, 5);
    fill(table, 512, 3, 1);
    fill(table, 5 * 512, 1, 1);
    fill(table, 2 ** 18, 2, 2);
    expect(stretches(table, 0, spacePages(4))).toEqual([
      [1, 0, 512],
      [2, 512, 3],
      [2, 5 * 512, 1],
      [3, 2 ** 18, 2],
    ]);
    // From and to the middle: small pages are cut there, large leaves that reach over come whole.
    expect(stretches(table, 12, 700)).toEqual([
      [1, 12, 500],
      [2, 512, 1],
    ]);
    expect(stretches(table, 2 * 512, 3 * 512)).toEqual([[2, 2 * 512, 1]]);
    expect(stretches(table, 6 * 512, 2 ** 18)).toEqual([]);
    expect(stretches(table, 7, 7)).toEqual([]);
    expect(() => stretches(table, 0, spacePages(4) + 1)).toThrow(RangeError);
  });

  it('covers exactly what is mapped, at any level count', () => {
    const pieces = fc.array(fc.record({ at: fc.nat(4000), count: fc.integer({ min: 1, max: 900 }) }), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 5 }),
        pieces,
        fc.nat(5000),
        fc.nat(5000),
        (levels, given, from, length) => {
          const table = tableOf({ levels });
          const mapped = new Set<number>();
          for (const { at, count } of given) {
            for (let page = at; page < at + count; page++) {
              if (!mapped.has(page)) table.map(page, 0, page, LEAF);
              mapped.add(page);
            }
          }
          const seen: number[] = [];
          over(table, from, from + length, (stretch) => {
            table.visitStretch(stretch, (page, level, frame) => {
              expect([level, frame]).toEqual([1, page]);
              seen.push(page);
            });
          });
          expect(seen).toEqual(
            [...mapped].filter((p) => p >= from && p < from + length).sort((a, b) => a - b),
          );
        },
      ),
      { numRuns: 40 },
    );
  });

  it('walks without allocating to the leaf, or to what is missing', () => {
    const table = tableOf();
    fill(table, 512, 1, 1);
    const place = newPlace();
    expect(table.walk(512 + 77, place)).toBe(true);
    expect(place).toMatchObject({
      level: 2,
      index: 1,
      page: 512,
      frame: 0,
      flags: LEAF | PS,
      writable: true,
    });
    expect(table.walk(3 * 512 + 5, place)).toBe(false);
    expect(place).toMatchObject({ level: 2, index: 3, page: 3 * 512, frame: 0, flags: 0 });
    expect(table.walk(2 ** 27, place)).toBe(false);
    expect(place).toMatchObject({ level: 4, index: 1, page: 2 ** 27 });
  });
});

describe('changing flags', () => {
  it('writes the leaves that change, in runs that get the same flags, and keeps frames', () => {
    const { table, log } = tellingTable();
    fill(table, 0, 10);
    const place = newPlace();
    table.walk(4, place);
    table.write(place, place.frame, P | W);
    log.length = 0;
    const changed: number[] = [];
    over(table, 2, 8, (stretch) => {
      expect(table.updateStretch(stretch, W | A, 0, (page) => changed.push(page))).toBe(6);
      expect(table.updateStretch(stretch, W | A, 0)).toBe(0);
    });
    expect(log).toEqual(['1: 2+2 flags 45 page 2', '1: 4+1 flags 1 page 4', '1: 5+3 flags 45 page 5']);
    expect(changed).toEqual([2, 3, 4, 5, 6, 7]);
    expect([1, 2, 4, 8].map((page) => table.lookup(page))).toMatchObject([
      { frame: 1, flags: LEAF },
      { frame: 2, flags: LEAF & ~(W | A) },
      { frame: 4, flags: P },
      { frame: 8, flags: LEAF },
    ]);
  });

  it('leaves gaps and marks alone, and reaches large leaves', () => {
    const { table, log } = tellingTable();
    fill(table, 512, 2, 1);
    fill(table, 5, 1);
    fill(table, 9, 1);
    over(table, 9, 10, (stretch) => table.unmapStretch(stretch, () => {}, MARK));
    log.length = 0;
    over(table, 0, 2 * 512, (stretch) => table.updateStretch(stretch, D, 0));
    expect(log).toEqual(['1: 5+1 flags 27 page 5', '2: 1+1 flags a7 page 512']);
    const place = newPlace();
    table.walk(9, place);
    expect([place.flags, place.level]).toEqual([MARK, 1]);
  });
});

describe('taking leaves away', () => {
  it('clears entries and marks, tells of each as it was, and leaves table pages', () => {
    const { table, log } = tellingTable();
    fill(table, 3, 4);
    over(table, 4, 5, (stretch) => table.unmapStretch(stretch, () => {}, MARK));
    log.length = 0;
    const taken: number[][] = [];
    over(table, 0, 512, (stretch) => {
      expect(table.unmapStretch(stretch, (...entry) => taken.push(entry))).toBe(4);
    });
    expect(taken).toEqual([
      [3, 1, 0, LEAF],
      [4, 1, 0, MARK],
      [5, 1, 2, LEAF],
      [6, 1, 3, LEAF],
    ]);
    expect(log).toEqual(['1: 3+4 flags 0 page 3']);
    expect(table.zone.used).toBe(4);
    table.map(4, 0, 99, LEAF);
    expect(table.translate(4)).toBe(99);
  });

  it('frees table pages that lie in the gap whole, bottom up, and no others', () => {
    const cases: [floor: number, ceiling: number, freed: number, log: string[]][] = [
      [
        0,
        spacePages(4),
        3,
        [
          '2: 0+1 flags 0 page 0',
          'free 3 of 1',
          '3: 0+1 flags 0 page 0',
          'free 2 of 2',
          '4: 0+1 flags 0 page 0',
          'free 1 of 3',
        ],
      ],
      [0, 2 ** 18, 2, ['2: 0+1 flags 0 page 0', 'free 3 of 1', '3: 0+1 flags 0 page 0', 'free 2 of 2']],
      [0, 512, 1, ['2: 0+1 flags 0 page 0', 'free 3 of 1']],
      [0, 511, 0, []],
      [1, spacePages(4), 0, []],
    ];
    for (const [floor, ceiling, freed, expected] of cases) {
      const { table, log } = tellingTable();
      fill(table, 3, 4);
      over(table, 0, 512, (stretch) => table.unmapStretch(stretch, () => {}));
      log.length = 0;
      expect(table.freeTables(3, 4, floor, ceiling)).toBe(freed);
      expect(log).toEqual(expected);
      expect(table.zone.used).toBe(4 - freed);
    }
  });

  it('gives all back but the root, which goes last', () => {
    const zone = zoneOf();
    const table = tableOf({ zone });
    fill(table, 100, 2000);
    fill(table, 2 ** 20, 3, 1);
    over(table, 0, spacePages(4), (stretch) => table.unmapStretch(stretch, () => {}));
    table.freeTables(0, spacePages(4), 0, spacePages(4));
    expect(zone.used).toBe(1);
    table.freeRoot();
    expect(zone.used).toBe(0);
    expect(zone.halves.every((half) => half === 0)).toBe(true);
  });
});

describe('splitting and collapsing', () => {
  it('splits 2 MiB in 512 leaves that translate and allow the same, before they are linked', () => {
    const { table, log } = tellingTable();
    table.map(1, 1, 1024, (LEAF | PS) & ~W);
    log.length = 0;
    const place = newPlace();
    table.walk(700, place);
    table.split(place);
    expect(log).toEqual(['1: 0+512 flags 65 page 512', '2: 1+1 flags 27 page 512']);
    for (const page of [512, 700, 1023]) {
      expect(table.lookup(page)).toMatchObject({
        level: 1,
        frame: 512 + page,
        flags: LEAF & ~W,
        writable: false,
      });
    }
    expect(table.lookup(1024)).toMatchObject({ present: false });
    table.walk(700, place);
    expect(() => table.split(place)).toThrow(RangeError);
  });

  it('splits 1 GiB in 512 leaves of 2 MiB', () => {
    const table = tableOf();
    fill(table, 2 ** 18, 1, 2);
    const place = newPlace();
    table.walk(2 ** 18, place);
    table.split(place);
    expect(table.lookup(2 ** 18 + 513)).toMatchObject({ level: 2, frame: 512, flags: LEAF | PS });
  });

  it('collapses a table page into a leaf: the link goes, the page goes with all in it, the leaf comes', () => {
    const { table, log } = tellingTable();
    fill(table, 512, 512);
    log.length = 0;
    table.collapse(512, 1, 2048, LEAF | PS);
    expect(log).toEqual(['2: 1+1 flags 0 page 512', 'free 3 of 1', '2: 1+1 flags e7 page 512']);
    expect(table.translate(600)).toBe(2048 + 88);
    expect(table.zone.used).toBe(3);
    expect(table.zone.take()).toBe(BASE + 3);
    expect(table.zone.halves.subarray(3 * 1024).every((half) => half === 0)).toBe(true);
    expect(() => table.collapse(512, 1, 2048, LEAF | PS)).toThrow('is no table where one is to be collapsed');
  });

  it('without a table page for a split leaves the leaf', () => {
    const table = tableOf({ zone: zoneOf(3) });
    fill(table, 0, 1, 1);
    const place = newPlace();
    table.walk(0, place);
    expect(() => table.split(place)).toThrow('all are in use');
    expect(table.lookup(5)).toMatchObject({ level: 2 });
  });
});

describe('a table whose leaves hold other frames than it speaks of', () => {
  const HOST = 2 ** 24;
  const zone = zoneOf();
  const table = tableOf({
    zone,
    guestFrame: (frame) => frame - HOST,
    setEntries: (run) => {
      const leaf = (run.flags & P) !== 0 && (run.level === 1 || (run.flags & PS) !== 0);
      zone.write(leaf ? { ...run, frames: run.frames.map((frame) => frame + HOST) } : run);
    },
  });

  it('reads and rewrites them by its own numbers', () => {
    fill(table, 0, 8);
    fill(table, 512, 1, 1);
    expect(
      zone.halves[zone.halfOf(BASE + 3, 7) + 1] * 2 ** 20 + (zone.halves[zone.halfOf(BASE + 3, 7)] >>> 12),
    ).toBe(HOST + 7);
    expect([table.translate(7), table.translate(700)]).toEqual([7, 188]);
    over(table, 0, 1024, (stretch) => table.updateStretch(stretch, W, 0));
    const place = newPlace();
    table.walk(700, place);
    table.split(place);
    expect([table.translate(7), table.translate(700)]).toEqual([7, 188]);
    const taken: number[] = [];
    over(table, 6, 514, (stretch) =>
      table.unmapStretch(stretch, (_page, _level, frame) => taken.push(frame)),
    );
    expect(taken).toEqual([6, 7, 0, 1]);
  });
});
