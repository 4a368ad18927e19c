/**
 * Closed forms of walks without caches: (n-g+1)(m-h+2) + (m-h+1) references for guest leaves at level g of n and nested
 * ones at level h of m, n-g+1 in one dimension; every cell of the matrix; and what the TLBs keep of such a walk.
 */
import { describe, expect, it } from 'vitest';
import type { TlbArrayConfig } from '../../src/config/resolved.ts';
import { PAGE_SIZES } from '../../src/schema.ts';
import { Bed, type Counts } from '../support/bed.ts';
import { ENGINES } from '../support/engines.ts';

/** One array for each size, so that the size of what was filled shows in the counters. */
const TLBS: TlbArrayConfig[] = PAGE_SIZES.map((size) => ({
  entries: 4,
  ways: 4,
  sizes: [size],
  replacement: 'lru',
}));

const LEVELS = [2, 3, 4, 5];
const levelsDown = (from: number, to: number): number[] =>
  Array.from({ length: from - to + 1 }, (_, k) => from - k);
/** Levels at which a table of so many levels can have leaves. */
const leafLevels = (levels: number): number[] => levelsDown(Math.min(3, levels), 1);

/** Every pair of table depths and leaf levels that there is. */
const SHAPES = LEVELS.flatMap((n) =>
  LEVELS.flatMap((m) => leafLevels(n).flatMap((g) => leafLevels(m).map((h) => ({ n, m, g, h })))),
);

/** A page inside the second page of each size. */
const PAGE = 512 ** 2 + 512 + 5;
/** The same for a space of two levels, which has only one page of 1 GiB. */
const pageOf = (levels: number): number => (levels === 2 ? 512 + 5 : PAGE);

/** Frame of a page under a leaf of a size. */
const frameIn = (leafFrame: number, page: number, size: number): number => leafFrame + (page % 512 ** size);

function bedOf(n: number, m: number, g: number, h: number): { bed: Bed; page: number } {
  const page = pageOf(n);
  const bed = new Bed({ mode: 'nested', guestLevels: n, nestedLevels: m, machine: { l1d: TLBS } });
  // Guest leaves at GPA 0 of a space of 1 GiB, at 1 GiB of a larger one; tables are elsewhere, or below what is touched.
  const leaf = m === 2 ? 0 : 512 ** 2;
  bed.map(page - (page % 512 ** (g - 1)), leaf, { size: g - 1 });
  const gpa = frameIn(leaf, page, g - 1);
  bed.backTables(2 ** 19, { size: h - 1 });
  const span = 512 ** (h - 1);
  if (!bed.nested.mapped(gpa)) bed.back(gpa - (gpa % span), 2 ** 18, { size: h - 1 });
  return { bed, page };
}

/** One reference at each position that a full 2-D walk visits. */
function fullMatrix(n: number, m: number, g: number, h: number): Counts {
  const nested = levelsDown(m, h).map((level) => `nL${level}`);
  const rows = levelsDown(n, g).map((level) => [`gL${level}`, [...nested, 'g']] as const);
  const cells = [...rows, ['gPA', nested] as const].flatMap(([row, columns]) =>
    columns.map((column) => [`refs.${row}.${column}`, 1] as const),
  );
  return Object.fromEntries(cells);
}

const onlyRefs = (counts: Counts): Counts =>
  Object.fromEntries(Object.entries(counts).filter(([path]) => path.startsWith('refs.')));

describe.each(ENGINES)('$name', (engine) => {
  it.each(SHAPES)('2-D: $n × $m levels, leaves at $g and $h', ({ n, m, g, h }) => {
    const { bed, page } = bedOf(n, m, g, h);
    const rig = bed.machine(engine);
    const walk = rig.read(page);
    expect(walk.status).toBe('done');
    expect(walk.refs).toBe((n - g + 1) * (m - h + 2) + (m - h + 1));
    expect(onlyRefs(walk.counts)).toEqual(fullMatrix(n, m, g, h));
    expect(walk.counts['refHits.guest.memory']).toBe(n - g + 1);
    expect(walk.counts['refHits.nested.memory']).toBe((n - g + 2) * (m - h + 1));
    // The TLB holds the smaller of the two leaves.
    const size = PAGE_SIZES[Math.min(g, h) - 1];
    expect(rig.read(page).counts).toEqual({ accesses: 1, reads: 1, [`l1Hits.${size}`]: 1 });
  });

  it.each(LEVELS.flatMap((n) => leafLevels(n).map((g) => ({ n, g }))))(
    '1-D: $n levels, leaf at $g',
    ({ n, g }) => {
      const page = pageOf(n);
      const bed = new Bed({ mode: 'native', guestLevels: n, machine: { l1d: TLBS } });
      bed.map(page - (page % 512 ** (g - 1)), 0, { size: g - 1 });
      const rig = bed.machine(engine);
      const walk = rig.read(page);
      const cells = levelsDown(n, g).map((level) => [`refs.pt.L${level}`, 1]);
      expect(onlyRefs(walk.counts)).toEqual(Object.fromEntries(cells));
      expect(walk.refs).toBe(n - g + 1);
      expect(walk.counts['refHits.guest.memory']).toBe(n - g + 1);
      expect(rig.read(page).counts).toEqual({ accesses: 1, reads: 1, [`l1Hits.${PAGE_SIZES[g - 1]}`]: 1 });
    },
  );

  // The numbers that everybody quotes: 24, 19, 19, 15 at four levels each, 35 at five.
  it.each([
    [4, 4, 1, 1, 24],
    [4, 4, 2, 1, 19],
    [4, 4, 1, 2, 19],
    [4, 4, 2, 2, 15],
    [5, 5, 1, 1, 35],
    [2, 2, 1, 1, 8],
  ])('the published count: %i × %i levels, leaves at %i and %i: %i', (n, m, g, h, refs) => {
    const { bed, page } = bedOf(n, m, g, h);
    expect(bed.machine(engine).read(page).refs).toBe(refs);
  });
});
