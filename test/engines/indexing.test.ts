/** How pages pick their set: eviction sets under `index: xor`, as on the STLB of Skylake, in every engine. */
import { describe, expect, it } from 'vitest';
import type { TlbArrayConfig } from '../../src/config/resolved.ts';
import { MACHINE_PRESETS } from '../../src/machines/presets.ts';
import { Bed } from '../support/bed.ts';
import { ENGINES } from '../support/engines.ts';

/** The second-level TLB of Skylake: 128 sets of 12 ways, XOR of bits 0 to 6 with bits 7 to 13. */
const SKYLAKE: TlbArrayConfig = { ...MACHINE_PRESETS['skylake-sp'].machine.stlb[0], sizes: ['4KiB'] };
const WAYS = SKYLAKE.ways;
const SETS = SKYLAKE.entries / WAYS;

/** Whether the run is promised static does not show; engines may lay out arrays differently. */
const PROMISES = [
  { isStatic: false, pageBound: 2 ** 24, promise: 'anything may change' },
  { isStatic: true, pageBound: 2 ** 24, promise: 'nothing changes' },
  { isStatic: true, pageBound: 2 ** 36, promise: 'nothing changes, wide page numbers' },
];

const count = (n: number): number[] => Array.from({ length: n }, (_, k) => k);

it('the preset has the STLB that was measured', () => {
  expect([SETS, WAYS, SKYLAKE.index]).toEqual([128, 12, 'xor']);
});

describe.each(ENGINES)('$name: index xor', (engine) => {
  describe.each(PROMISES)('$promise', ({ isStatic, pageBound }) => {
    /** Says of a page whether an access to it walks, on a machine of one array that all pages are mapped for. */
    function walksOf(
      array: TlbArrayConfig,
      pages: readonly number[],
      side: 'l1d' | 'stlb' = 'stlb',
    ): (page: number) => number {
      const bed = new Bed({ mode: 'native', machine: { [side]: [array] }, isStatic, pageBound });
      for (const [frame, page] of pages.entries()) bed.map(page, frame);
      const rig = bed.machine(engine);
      return (page) => rig.walked(page);
    }

    it.each(['l1d', 'stlb'] as const)(
      '%s: pages of one folded index are an eviction set: 12 fit, the 13th takes the place of the oldest',
      (side) => {
        for (const target of [0, 1, 83, 127]) {
          // Bits 7 to 13 are k, and bits 0 to 6 undo them.
          const pages = count(WAYS + 1).map((k) => k * SETS + (k ^ target));
          const walks = walksOf(SKYLAKE, pages, side);
          for (const page of pages.slice(0, WAYS)) expect(walks(page)).toBe(1);
          for (const page of pages.slice(0, WAYS)) expect(walks(page), `page ${page} again`).toBe(0);
          expect(walks(pages[WAYS])).toBe(1);
          for (const page of pages.slice(1)) expect(walks(page), `page ${page} stays`).toBe(0);
          expect(walks(pages[0])).toBe(1);
        }
      },
    );

    it('pages that agree in the low 7 bits and differ in the next 7 are no eviction set', () => {
      const pages = count(SETS).map((k) => k * SETS + 5);
      const walks = walksOf(SKYLAKE, pages);
      for (const page of pages) expect(walks(page)).toBe(1);
      for (const page of pages) expect(walks(page), `page ${page} again`).toBe(0);
      // With the low bits alone, 13 of them are one too many.
      const low = walksOf({ ...SKYLAKE, index: undefined }, pages.slice(0, WAYS + 1));
      for (const page of pages.slice(0, WAYS + 1)) low(page);
      expect(low(pages[0])).toBe(1);
    });

    it('bits above the 14th pick nothing', () => {
      const pages = count(WAYS + 1).map((k) => k * SETS ** 2 + 77);
      const walks = walksOf(SKYLAKE, pages);
      for (const page of pages) walks(page);
      for (const page of [...pages, ...pages]) expect(walks(page)).toBe(1);
    });

    it.each([
      [64, 4],
      [1536, 12],
      [17, 17],
      [40, 5],
    ])('%i entries, %i ways: as many consecutive pages as entries fill all sets evenly', (entries, ways) => {
      const pages = count(entries);
      const walks = walksOf({ ...SKYLAKE, entries, ways }, pages);
      for (const page of pages) walks(page);
      for (const page of pages) expect(walks(page), `page ${page}`).toBe(0);
    });
  });

  it('a large page picks its set by its number at its size', () => {
    const array: TlbArrayConfig = { ...SKYLAKE, entries: 4, ways: 1, sizes: ['4KiB', '2MiB'] };
    const bed = new Bed({ mode: 'native', machine: { l1d: [array] } });
    // Numbers with 4 sets: large page 6 = 01 10 is of set 01 xor 10 = 3, large page 3 of set 3, large page 2 of set 2.
    for (const large of [2, 3, 6]) bed.map(large * 512, large * 512, { size: 1 });
    const rig = bed.machine(engine);
    expect([3, 2, 3, 6, 2, 3, 6].map((large) => rig.walked(large * 512))).toEqual([1, 1, 0, 1, 0, 1, 1]);
  });

  it('folds bits above the 32nd too, where there are so many sets', () => {
    const sets = 2 ** 20;
    const array: TlbArrayConfig = { ...SKYLAKE, entries: sets, ways: 1 };
    const high = 2 ** 19 + 5;
    const target = 9;
    const same = high * sets + Number(BigInt(high) ^ BigInt(target));
    const other = high * sets + target;
    for (const isStatic of [false, true]) {
      const bed = new Bed({ mode: 'native', guestLevels: 5, machine: { l1d: [array] }, isStatic });
      bed.map(target, 1).map(same, 2).map(other, 3);
      const rig = bed.machine(engine);
      expect([target, other, target, same, target, other].map((page) => rig.walked(page))).toEqual([
        1, 1, 0, 1, 1, 0,
      ]);
    }
  });
});
