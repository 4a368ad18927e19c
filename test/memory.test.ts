import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { permute } from '../src/hardware/philox.ts';
import {
  entryFlags,
  entryFrame,
  entryHigh,
  entryLeaf,
  entryLow,
  entryText,
  leafFlags,
  tableFlags,
} from '../src/memory/entry.ts';
import { ContiguousFrames, ScatteredFrames, seedHalves } from '../src/memory/frames.ts';
import { type FrameSource, PageTable } from '../src/memory/pageTable.ts';
import { SimulatedMemory, type Zone } from '../src/memory/simulatedMemory.ts';
import {
  countDistinct,
  countTablePages,
  countTablePagesOfList,
  type PageRange,
} from '../src/memory/tableCount.ts';

/** P, R/W, U, A and in leaves D: bits 0, 1, 2, 5, 6 (Intel SDM vol. 3A, table 4-20). */
const TABLE = 0b0010_0111;
const LEAF = 0b0110_0111;
const BASE = 1 << 20;

function zoneOf(frames: number, base = BASE): Zone {
  return new SimulatedMemory([{ name: 'test zone', base, frames }]).zones[0];
}

function tableOf(levels: number, zone: Zone): PageTable {
  return new PageTable({ levels, zone, tableFlags: TABLE });
}

const contiguous = (): FrameSource => new ContiguousFrames('test memory', Number.MAX_SAFE_INTEGER);

/** The code and message of what `action` throws. */
function thrown(action: () => unknown): { code: unknown; message: string } {
  try {
    action();
  } catch (error) {
    return { code: (error as { code?: unknown }).code, message: (error as Error).message };
  }
  throw new Error('nothing was thrown');
}

const levelsAndSize = fc
  .record({ levels: fc.integer({ min: 2, max: 5 }), sizeIndex: fc.integer({ min: 0, max: 2 }) })
  .filter(({ levels, sizeIndex }) => sizeIndex < levels);

describe('entries', () => {
  it('have the frame in bits 12 to 51 and the flags below', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 0, max: 0xfff }), (number, flags) => {
        const frame = Math.abs(number) % 2 ** 40;
        const low = entryLow(frame, flags);
        const high = entryHigh(frame);
        expect((BigInt(high) << 32n) | BigInt(low)).toBe((BigInt(frame) << 12n) | BigInt(flags));
        expect(entryFrame(low, high)).toBe(frame);
        expect(entryFlags(low)).toBe(flags);
      }),
    );
  });

  it('lose nothing of a frame when bits 52 to 63 are set beside it', () => {
    expect(entryFrame(0xfffff067, 0xfff12345)).toBe(0x12345fffff);
  });

  it('carry A and D as paging.ad says, D in leaves only, PS in large leaves only', () => {
    expect(tableFlags('set')).toBe(TABLE);
    expect(tableFlags('clear')).toBe(0b0000_0111);
    expect([0, 1, 2].map((size) => leafFlags('set', size))).toEqual([LEAF, LEAF | 0x80, LEAF | 0x80]);
    expect([0, 1, 2].map((size) => leafFlags('clear', size))).toEqual([0b111, 0b1000_0111, 0b1000_0111]);
  });

  it('end the walk at level 1 whatever bit 7 is, above it with PS', () => {
    expect([entryLeaf(0x01, 1), entryLeaf(0x81, 1), entryLeaf(0x01, 2), entryLeaf(0x81, 2)]).toEqual([
      true,
      true,
      false,
      true,
    ]);
  });

  it('are written as 16 hex digits', () => {
    expect(entryText(0x1067, 0)).toBe('0x0000000000001067');
    expect(entryText(0xffffffff, 0x80000000)).toBe('0x80000000ffffffff');
  });
});

describe('simulated memory', () => {
  it('holds its zones back to back, 512 words a table page', () => {
    const memory = new SimulatedMemory([
      { name: 'a', base: 100, frames: 3 },
      { name: 'b', base: 7, frames: 2 },
    ]);
    expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(memory.buffer.byteLength).toBe(5 * 4096);
    expect(memory.zones.map((zone) => zone.extent())).toEqual([
      { base: 100, frames: 3, word: 0 },
      { base: 7, frames: 2, word: 3 * 512 },
    ]);
    expect(memory.zones[1].halfOf(8, 5)).toBe((4 * 512 + 5) * 2);
  });

  it('refuses to exceed its limit, with the estimate, and accepts just that much', () => {
    const plans = [{ name: 'guest table zone', base: 0, frames: 1 << 18 }];
    const { code, message } = thrown(() => new SimulatedMemory(plans, 2 ** 30 - 1));
    expect(code).toBe('memory.limit');
    expect(message).toContain('about 1.0 GiB');
    expect(message).toContain('guest table zone');
    expect(new SimulatedMemory(plans, 2 ** 30).buffer.byteLength).toBe(2 ** 30);
  });

  it('refuses what no process can have, before or while allocating', () => {
    const plans = [{ name: 'zone', base: 0, frames: 2 ** 38 }];
    expect(thrown(() => new SimulatedMemory(plans)).code).toBe('memory.limit');
  });

  it('hands out table pages in ascending order and says when there are none left', () => {
    const zone = zoneOf(2);
    expect([zone.take(), zone.take()]).toEqual([BASE, BASE + 1]);
    const { code, message } = thrown(() => zone.take());
    expect(code).toBe('memory.full');
    expect(message).toContain('test zone');
    expect(zone.used).toBe(2);
  });
});

describe('page table', () => {
  it('links a first page with one table page a level, top level first, raw entries as in the manual', () => {
    const zone = zoneOf(4);
    const pages: [number, number][] = [];
    const table = new PageTable({
      levels: 4,
      zone,
      tableFlags: TABLE,
      onTablePage: (frame, level) => pages.push([frame, level]),
    });
    // GVA 0x0000_0080_4020_3000: indices 1, 1, 1 and 3 from level 4 down.
    table.map(0x8040203, 0, 0x300000005, LEAF);
    expect(pages).toEqual([
      [BASE, 4],
      [BASE + 1, 3],
      [BASE + 2, 2],
      [BASE + 3, 1],
    ]);
    const entries = new BigUint64Array(zone.halves.buffer);
    const at = (page: number, index: number) => entries[page * 512 + index];
    expect(at(0, 1)).toBe((BigInt(BASE + 1) << 12n) | 0x27n);
    expect(at(1, 1)).toBe((BigInt(BASE + 2) << 12n) | 0x27n);
    expect(at(2, 1)).toBe((BigInt(BASE + 3) << 12n) | 0x27n);
    expect(at(3, 3)).toBe((0x300000005n << 12n) | 0x67n);
    expect(entries.filter((entry) => entry !== 0n)).toHaveLength(4);
  });

  it('calls the hook before an entry points at the new table page', () => {
    const zone = zoneOf(3);
    const log: string[] = [];
    const table = new PageTable({
      levels: 3,
      zone,
      tableFlags: TABLE,
      onTablePage: (frame) => log.push(`page ${frame - BASE}`),
      setEntries: (run) => {
        log.push(`level ${run.level} of ${run.table - BASE} at ${run.index}, page ${run.page}`);
        zone.write(run);
      },
    });
    table.map(2 * 512 * 512 + 5 * 512 + 9, 0, 1, LEAF);
    expect(log).toEqual([
      'page 0',
      'page 1',
      `level 3 of 0 at 2, page ${2 * 512 * 512}`,
      'page 2',
      `level 2 of 1 at 5, page ${2 * 512 * 512 + 5 * 512}`,
      `level 1 of 2 at 9, page ${2 * 512 * 512 + 5 * 512 + 9}`,
    ]);
  });

  it('translates with the low bits of the page inside a large page, at every level count and size', () => {
    fc.assert(
      fc.property(
        levelsAndSize,
        fc.maxSafeInteger(),
        fc.nat(2 ** 20),
        fc.nat(),
        (shape, at, place, inside) => {
          const { levels, sizeIndex } = shape;
          const size = 512 ** sizeIndex;
          const page = Math.abs(at) % (512 ** levels / size);
          const table = tableOf(levels, zoneOf(5));
          table.map(page, sizeIndex, place * size, leafFlags('set', sizeIndex));
          const offset = inside % size;
          expect(table.translate(page * size + offset)).toBe(place * size + offset);
          expect(table.lookup(page * size)).toMatchObject({
            present: true,
            level: sizeIndex + 1,
            writable: true,
          });
          const other = page === 0 ? size : (page - 1) * size;
          expect(table.translate(other)).toBeUndefined();
          expect(table.zone.used).toBe(levels - sizeIndex);
        },
      ),
    );
  });

  it('says at which level nothing is present, and ANDs R/W along the path', () => {
    const table = tableOf(4, zoneOf(4));
    table.map(0, 0, 9, LEAF);
    expect(table.lookup(1)).toEqual({ present: false, level: 1 });
    expect(table.lookup(512)).toEqual({ present: false, level: 2 });
    expect(table.lookup(512 ** 2)).toEqual({ present: false, level: 3 });
    expect(table.lookup(512 ** 3)).toEqual({ present: false, level: 4 });
    expect(table.lookup(0)).toEqual({ present: true, level: 1, frame: 9, flags: LEAF, writable: true });
    table.zone.halves[table.zone.halfOf(table.root, 0)] &= ~2;
    expect(table.lookup(0)).toMatchObject({ present: true, writable: false });
  });

  it('maps in bulk exactly as one page after the other', () => {
    const ranges = fc.array(fc.record({ gap: fc.nat(600), count: fc.integer({ min: 1, max: 1200 }) }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(levelsAndSize, ranges, fc.boolean(), (shape, given, scattered) => {
        const { levels, sizeIndex } = shape;
        const frames = () =>
          scattered
            ? new ScatteredFrames(
                'test',
                sizeIndex,
                given.map((range) => range.count),
                { purpose: 1, seedLow: 3, seedHigh: 4 },
              )
            : contiguous();
        const bulk = tableOf(levels, zoneOf(64));
        const single = tableOf(levels, zoneOf(64));
        const bulkFrames = frames();
        const singleFrames = frames();
        const flags = leafFlags('set', sizeIndex);
        const one = new Float64Array(1);
        let next = 0;
        given.forEach(({ gap, count }, region) => {
          const first = next + gap;
          next = first + count;
          if (next > 512 ** (levels - sizeIndex)) return;
          bulk.mapRange(first, count, sizeIndex, flags, bulkFrames, region);
          for (let page = first; page < next; page++) {
            singleFrames.take(region, sizeIndex, 1, one);
            single.map(page, sizeIndex, one[0], flags);
          }
        });
        expect(Buffer.compare(bytes(bulk), bytes(single))).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  it('never maps over a mapping, large or small', () => {
    const small = tableOf(4, zoneOf(8));
    small.map(5, 0, 1, LEAF);
    expect(thrown(() => small.map(5, 0, 2, LEAF)).code).toBe('table.corrupt');
    expect(small.translate(5)).toBe(1);
    const large = tableOf(4, zoneOf(8));
    large.map(0, 1, 512, LEAF | 0x80);
    expect(thrown(() => large.map(5, 0, 2, LEAF))).toMatchObject({
      code: 'table.corrupt',
      message: expect.stringContaining('is a leaf'),
    });
  });

  it('refuses pages outside its space and leaves at levels that it has not', () => {
    const table = tableOf(2, zoneOf(8));
    expect(() => table.map(512 ** 2, 0, 0, LEAF)).toThrow(RangeError);
    expect(() => table.lookup(512 ** 2)).toThrow(RangeError);
    expect(() => table.map(0, 2, 0, LEAF)).toThrow(RangeError);
    expect(() => tableOf(6, zoneOf(8))).toThrow(RangeError);
  });

  it('is full when its zone is', () => {
    const table = tableOf(4, zoneOf(4));
    table.map(0, 0, 0, LEAF);
    expect(thrown(() => table.map(512, 0, 1, LEAF)).code).toBe('memory.full');
  });
});

describe('a corrupt page table', () => {
  const cases: [string, number, number, string][] = [
    ['a pointer below the zone', 3, BASE - 1, 'outside the test zone'],
    ['a pointer just behind the zone', 3, BASE + 4, 'outside the test zone'],
    ['a pointer far away, in the high half', 2, 2 ** 39, 'outside the test zone'],
  ];
  it.each(cases)('is told from a good one: %s', (_name, level, frame, message) => {
    const table = tableOf(4, zoneOf(4));
    table.map(0, 0, 0, LEAF);
    const at = table.zone.halfOf(BASE + 4 - level, 0);
    table.zone.halves[at] = entryLow(frame, TABLE);
    table.zone.halves[at + 1] = entryHigh(frame);
    for (const use of [() => table.lookup(0), () => table.map(1, 0, 1, LEAF)]) {
      const error = thrown(use);
      expect(error.code).toBe('table.corrupt');
      expect(error.message).toContain(message);
      expect(error.message).toContain(`level-${level} table`);
    }
  });

  it.each([4, 5])('has PS at level %i', (level) => {
    const table = tableOf(5, zoneOf(5));
    table.map(0, 0, 0, LEAF);
    table.zone.halves[table.zone.halfOf(BASE + 5 - level, 0)] |= 0x80;
    expect(thrown(() => table.lookup(0))).toMatchObject({
      code: 'table.corrupt',
      message: expect.stringContaining('has PS'),
    });
  });

  it('is none when bit 7 is set at level 1, or bits 52 to 63 anywhere', () => {
    const table = tableOf(2, zoneOf(2));
    table.map(0, 0, 77, LEAF | 0x80);
    table.zone.halves[table.zone.halfOf(BASE, 0) + 1] |= 0xfff00000;
    expect(table.translate(0)).toBe(77);
  });

  it('is never read beyond its zone: any entries end in a translation, nothing, or the error', () => {
    const entry = fc.record({ at: fc.nat(4 * 512 - 1), low: fc.integer(), high: fc.constantFrom(0, 1, -1) });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 30 }), fc.nat(600), (entries, page) => {
        const table = tableOf(4, zoneOf(4, 16));
        table.map(0, 0, 1, LEAF);
        for (const { at, low, high } of entries) {
          // Frames 0 to 31 only, so that many pointers stay inside the zone.
          table.zone.halves[2 * at] = low & 0x1f0ff;
          table.zone.halves[2 * at + 1] = high;
        }
        try {
          const frame = table.translate(page);
          if (frame !== undefined) expect(Number.isSafeInteger(frame) && frame >= 0).toBe(true);
        } catch (error) {
          expect((error as { code: unknown }).code).toBe('table.corrupt');
        }
      }),
    );
  });
});

describe('closed-form counts of table pages', () => {
  const ranges = fc.array(
    fc.record({ gap: fc.oneof(fc.nat(1000), fc.nat(2 ** 28)), count: fc.integer({ min: 1, max: 1100 }) }),
    { maxLength: 5 },
  );

  it('are what the builder takes', () => {
    fc.assert(
      fc.property(levelsAndSize, ranges, ({ levels, sizeIndex }, given) => {
        const size = 512 ** sizeIndex;
        const all: PageRange[] = [];
        let next = 0;
        for (const { gap, count } of given) {
          if (next + gap + count > 512 ** levels / size) break;
          all.push({ first: (next + gap) * size, count: count * size });
          next += gap + count;
        }
        const count = countTablePages(all.toReversed(), sizeIndex, levels);
        const table = tableOf(levels, zoneOf(count));
        const frames = contiguous();
        for (const range of all) {
          table.mapRange(
            range.first / size,
            range.count / size,
            sizeIndex,
            LEAF | (sizeIndex && 0x80),
            frames,
            0,
          );
        }
        expect(table.zone.used).toBe(count);
        const list = Float64Array.from(
          all.flatMap((range) => [...Array(range.count / size).keys()].map((k) => range.first + k * size)),
        );
        expect(countTablePagesOfList(list, sizeIndex, levels)).toBe(count);
      }),
      { numRuns: 60 },
    );
  });

  it('are n - g + 1 for one page, and 515 for an aligned GiB of 4 KiB pages', () => {
    for (const levels of [2, 3, 4, 5]) {
      for (let sizeIndex = 0; sizeIndex < Math.min(3, levels); sizeIndex++) {
        expect(countTablePages([{ first: 0, count: 1 }], sizeIndex, levels)).toBe(levels - sizeIndex);
      }
    }
    expect(countTablePages([{ first: 2 ** 28, count: 2 ** 18 }], 0, 4)).toBe(512 + 1 + 1 + 1);
  });

  it('count a root for nothing, and shared tables of neighbours or overlapping ranges once', () => {
    expect(countTablePages([], 0, 4)).toBe(1);
    expect(countTablePages([{ first: 0, count: 0 }], 0, 4)).toBe(1);
    const halves = [
      { first: 0, count: 256 },
      { first: 256, count: 256 },
    ];
    expect(countTablePages(halves, 0, 4)).toBe(4);
    expect(countTablePages([...halves, { first: 100, count: 500 }], 0, 4)).toBe(5);
  });

  it('count distinct pages of a larger size in a list that repeats', () => {
    expect(countDistinct(Float64Array.of(0, 1, 1, 511, 512, 2 ** 40, 2 ** 40 + 511), 512)).toBe(3);
  });
});

describe('frames', () => {
  it('contiguous: the k-th page gets the k-th frame; mixed sizes align and leave holes unused', () => {
    const frames = new ContiguousFrames('guest memory', 1536);
    const out = new Float64Array(3);
    frames.take(0, 0, 3, out);
    expect([...out]).toEqual([0, 1, 2]);
    frames.take(0, 1, 1, out);
    expect(out[0]).toBe(512);
    frames.take(0, 0, 1, out);
    expect(out[0]).toBe(1024);
    expect(thrown(() => frames.take(0, 1, 1, out)).code).toBe('memory.full');
    frames.take(0, 0, 1, out);
    expect(out[0]).toBe(1025);
  });

  it('contiguous: the last frame is given, the one behind it is not', () => {
    const frames = new ContiguousFrames('guest memory', 2);
    const out = new Float64Array(2);
    frames.take(0, 0, 2, out);
    expect(thrown(() => frames.take(0, 0, 1, out))).toMatchObject({
      code: 'memory.full',
      message: expect.stringContaining('guest memory'),
    });
  });

  it('scattered: first_r + π(k), every frame of the region once', () => {
    const pages = [7, 100, 1, 4096];
    fc.assert(
      fc.property(fc.nat(3), fc.nat(2), fc.nat(), (region, sizeIndex, seedLow) => {
        const frames = new ScatteredFrames('test', sizeIndex, pages, { purpose: 1, seedLow, seedHigh: 5 });
        const first = pages.slice(0, region).reduce((sum, count) => sum + count, 0);
        const out = new Float64Array(pages[region]);
        frames.take(region, sizeIndex, pages[region], out);
        const size = 512 ** sizeIndex;
        const order = [...out].map((frame) => frame / size - first);
        expect(order).toEqual(order.map((_, k) => permute(k, pages[region], 1, region, seedLow, 5)));
        expect(order.toSorted((a, b) => a - b)).toEqual(order.map((_, k) => k));
        expect(thrown(() => frames.take(region, sizeIndex, 1, out)).code).toBe('memory.full');
      }),
      { numRuns: 20 },
    );
  });

  it('scattered in several takes is scattered in one', () => {
    const key = { purpose: 2, seedLow: 1, seedHigh: 0 };
    const whole = new Float64Array(1000);
    new ScatteredFrames('test', 0, [1000], key).take(0, 0, 1000, whole);
    const pieces = new ScatteredFrames('test', 0, [1000], key);
    const out = new Float64Array(512);
    const taken: number[] = [];
    for (const count of [1, 511, 400, 88]) {
      pieces.take(0, 0, count, out);
      taken.push(...out.subarray(0, count));
    }
    expect(taken).toEqual([...whole]);
  });

  it('seeds are split in halves, from numbers and from hex strings', () => {
    expect(seedHalves(1)).toEqual({ seedLow: 1, seedHigh: 0 });
    expect(seedHalves(2 ** 53 - 1)).toEqual({ seedLow: 0xffffffff, seedHigh: 0x1fffff });
    expect(seedHalves('0xfedcba9876543210')).toEqual({ seedLow: 0x76543210, seedHigh: 0xfedcba98 });
  });
});

function bytes(table: PageTable): Buffer {
  const { halves } = table.zone;
  return Buffer.from(halves.buffer, halves.byteOffset, halves.byteLength);
}
