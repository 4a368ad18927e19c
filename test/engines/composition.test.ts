/**
 * Addresses composed across leaf sizes. Public cores and simulators have lost the middle bits of a GPA here: a 4 KiB guest
 * page under a 2 MiB or 1 GiB nested leaf must keep the GPA's bits below the nested leaf, and a large guest page over small
 * nested ones the GVA's. Seen in the payload of the TLB entry, and in where the access itself goes.
 */
import { describe, expect, it } from 'vitest';
import type { TlbArrayConfig } from '../../src/config/resolved.ts';
import { ENTRY, PAGE_SIZES } from '../../src/schema.ts';
import { Bed, FULL, type Rig } from '../support/bed.ts';
import { EVERY_WAY } from '../support/engines.ts';

const L1D: TlbArrayConfig[] = [{ entries: 8, ways: 8, sizes: [...PAGE_SIZES], replacement: 'lru' }];
/** One line: after an access, the line of its own host physical address. */
const LAST_LINE = [{ name: 'last', size: 64, ways: 1, line: 64, latency: 1 }];
const MACHINE = { l1d: L1D, caches: LAST_LINE, dataThroughCaches: true };

const SPAN = [1, 512, 512 ** 2];

/** Bits of a frame number in [from, to), as they stand. */
const bits = (value: number, from: number, to: number): number =>
  Number((BigInt(value) >> BigInt(from)) & ((1n << BigInt(to - from)) - 1n)) * 2 ** from;

/** All nine pairs: (size index of the guest leaf, of the nested leaf). */
const PAIRS = [0, 1, 2].flatMap((g) =>
  [0, 1, 2].map((h) => ({ g, h, guest: PAGE_SIZES[g], nested: PAGE_SIZES[h] })),
);

/** A page and frames without a zero field: every 9-bit index of each differs from every other's. */
const PAGE = 3 * 512 ** 3 + 5 * 512 ** 2 + 7 * 512 + 11;
const GUEST = 2 * 512 ** 2 + 17 * 512 + 19;
const HOST = 6 * 512 ** 2 + 23 * 512 + 29;

const aligned = (frame: number, size: number): number => frame - (frame % SPAN[size]);

/** The page of PAGE's guest leaf that lies at GUEST's fields as far as the leaf leaves them free. */
function compose(g: number, h: number, page: number): { gpa: number; hpa: number } {
  // GPA: the guest leaf's bits above its size, the GVA's below. HPA likewise.
  const gpa = bits(GUEST, 9 * g, 40) + bits(page, 0, 9 * g);
  const hpa = bits(HOST, 9 * h, 40) + bits(gpa, 0, 9 * h);
  return { gpa, hpa };
}

function bedOf(g: number, h: number, machine = MACHINE): Bed {
  const bed = new Bed({ mode: 'nested', machine, hostFrameBound: 2 ** 24 });
  bed.map(aligned(PAGE, g), aligned(GUEST, g), { size: g });
  bed.back(aligned(compose(g, h, PAGE).gpa, h), aligned(HOST, h), { size: h });
  return bed.backTables(2 ** 22, { size: 0 });
}

/** The line that the last access went to. With one cache of one line the state ends [1, line, owner]. */
const lastLine = (rig: Rig): number => rig.state().at(-2)!;

describe.each(EVERY_WAY)('$name', (engine) => {
  it.each(PAIRS)('$guest guest page on $nested: the walk, and the TLB entry it leaves', ({ g, h }) => {
    const rig = bedOf(g, h).machine(engine);
    expect(rig.read(PAGE, 0x3c8).status).toBe('done');
    const { hpa } = compose(g, h, PAGE);
    expect(lastLine(rig)).toBe(hpa * 64 + Math.floor(0x3c8 / 64));
    // The TLB entry: the page at the smaller size, and the host frame where that page begins.
    const size = Math.min(g, h);
    const key = Math.floor(PAGE / SPAN[size]) * 4 + size;
    expect(rig.state().slice(0, 5)).toEqual([1, key, 1, aligned(hpa, size), 3]);
  });

  it.each(PAIRS)(
    '$guest guest page on $nested: a TLB hit elsewhere in the page goes where a walk would',
    ({ g, h }) => {
      const size = Math.min(g, h);
      const rig = bedOf(g, h).machine(engine);
      rig.read(PAGE);
      for (const other of [0, 1, 257, 511].flatMap((low) => [low, low * 512 + 3])) {
        const page = aligned(PAGE, size) + (other % SPAN[size]);
        const { counts } = rig.read(page, 64);
        expect(counts.walks).toBeUndefined();
        expect(lastLine(rig), `page ${page}`).toBe(compose(g, h, page).hpa * 64 + 1);
      }
    },
  );

  it.each(PAIRS)('$guest guest page on $nested: the same through a nested-TLB hit', ({ g, h }) => {
    const machine = {
      caches: LAST_LINE,
      dataThroughCaches: true,
      ntlb: { entries: 16, ways: 16, holds: 'all' as const, latency: 0 },
    };
    const rig = bedOf(g, h, machine as never).machine(engine);
    rig.read(PAGE);
    const size = Math.min(g, h);
    const page = aligned(PAGE, size) + (321 % SPAN[size]);
    const { counts } = rig.read(page, 64);
    expect(counts['ntlbHits.gPA']).toBe(1);
    expect(lastLine(rig)).toBe(compose(g, h, page).hpa * 64 + 1);
  });

  it.each([0, 1, 2])('1-D, size index %i', (size) => {
    const bed = new Bed({ mode: 'native', machine: MACHINE, hostFrameBound: 2 ** 24 });
    const rig = bed.map(aligned(PAGE, size), aligned(HOST, size), { size }).machine(engine);
    rig.read(PAGE, 128);
    expect(lastLine(rig)).toBe((bits(HOST, 9 * size, 40) + bits(PAGE, 0, 9 * size)) * 64 + 2);
  });

  it('several leaf sizes in one table of each dimension', () => {
    const bed = new Bed({ mode: 'nested', machine: { ...MACHINE, l1d: [] }, hostFrameBound: 2 ** 24 });
    // Guest: 4 KiB, 2 MiB and 1 GiB leaves side by side; nested: the other way round.
    bed
      .map(3, 5)
      .map(512, 1024, { size: 1 })
      .map(512 ** 2, 512 ** 2, { size: 2 });
    bed
      .back(0, 512 * 40, { size: 1 })
      .back(1024 + 7, 777)
      .back(512 ** 2, 5 * 512 ** 2, { size: 2 });
    const rig = bed.backTables(2 ** 22).machine(engine);
    const places = [
      [3, 512 * 40 + 5, 4 * 5 + 3],
      [512 + 7, 777, 3 * 5 + 4],
      [512 ** 2 + 4711, 5 * 512 ** 2 + 4711, 2 * 5 + 2],
    ];
    for (const [page, frame, refs] of places) {
      expect(rig.read(page)).toMatchObject({ status: 'done', refs });
      expect(lastLine(rig)).toBe(frame * 64);
    }
  });

  it('frames of 40 bits are whole', () => {
    const frame = 2 ** 40 - 3;
    const bed = new Bed({ mode: 'native', machine: { l1d: L1D } });
    const rig = bed.map(1, frame).machine(engine);
    rig.read(1);
    expect(rig.state()).toEqual([1, 4, 1, frame, 3]);
  });

  it('bit 7 of a level-1 entry is no page-size bit; it is ignored', () => {
    const bed = new Bed({ mode: 'native', machine: MACHINE }).map(1, 10, { flags: FULL | ENTRY.pageSize });
    const rig = bed.machine(engine);
    expect(rig.read(1)).toMatchObject({ status: 'done', refs: 4 });
    expect(rig.read(1).counts).toMatchObject({ 'l1Hits.4KiB': 1 });
  });

  it('bits 52 to 63 and the ignored bits of an entry are no part of an address', () => {
    const bed = new Bed({ mode: 'native', machine: { l1d: L1D } }).map(1, 10, { flags: FULL | 0xe00 });
    const { halves } = bed.memory;
    const { zone } = bed.guest;
    for (let level = 4; level >= 1; level--) {
      const { tableFrame, index } = bed.entry(bed.guest, 1, level);
      halves[zone.halfOf(tableFrame, index) + 1] |= 0xfff00000;
    }
    const rig = bed.machine(engine);
    expect(rig.read(1)).toMatchObject({ status: 'done', refs: 4 });
    expect(rig.state()).toEqual([1, 4, 1, 10, 3]);
  });

  it('the top of a space of five levels: page numbers above 2^41 reach the tables whole', () => {
    const page = 512 ** 5 - 2;
    const bed = new Bed({ mode: 'nested', guestLevels: 5, nestedLevels: 5, machine: { l1d: L1D } });
    const rig = bed.map(page, 10).back(10, 300).backTables(400).machine(engine);
    expect(rig.read(page)).toMatchObject({ status: 'done', refs: 35 });
    expect(rig.state()).toEqual([1, page * 4, 1, 300, 3]);
    expect(rig.read(page - 512 ** 4).status).toBe('guestFault');
  });
});
