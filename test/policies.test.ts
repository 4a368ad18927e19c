/**
 * Victim tables, worked out by hand from each policy's definition (docs/model.md, TLBs; srrip: Jaleel et al., ISCA 2010):
 * one set, a short stream over pages A to L, and who goes at each access.
 *
 * `X+` X fills a free way; `X=` X hits; `X-Y` X takes the place of Y.
 */
import { describe, expect, it } from 'vitest';
import type { TlbArrayConfig } from '../src/config/resolved.ts';
import type { Replacement } from '../src/schema.ts';
import { below, philox } from './oracle/index.ts';
import { Bed, FULL, type Rig } from './support/bed.ts';
import { ENGINES } from './support/engines.ts';

const LETTERS = [...'ABCDEFGHIJKL'];
const pageOf = (letter: string): number => LETTERS.indexOf(letter);
/** Frames lie above every other number of a saved state: they tell its entries. */
const FRAMES = 10_000;

/** Whether fills and hits are seen in the L1D, in the L1I (by fetches), or in the STLB. */
type Side = 'l1d' | 'l1i' | 'stlb';
const SIDES: Side[] = ['l1d', 'l1i', 'stlb'];

function bedOf(side: Side, replacement: Replacement, ways: number, isStatic = false, seed = 1): Bed {
  const array: TlbArrayConfig = { entries: ways, ways, sizes: ['4KiB'], replacement };
  const bed = new Bed({ mode: 'native', machine: { [side]: [array] }, isStatic, seed, pageBound: 16 });
  for (const letter of LETTERS) bed.map(pageOf(letter), FRAMES + pageOf(letter));
  return bed;
}

/**
 * Letters in the one array of a machine. The canonical form is a count (-1 for a plru set that is not full) and entries of
 * (key, owner, frame, flags), or for each way whether it holds one, the entry, and the policy's value if it has one.
 */
function contents(rig: Rig): string[] {
  return framesIn(rig)
    .map((frame) => LETTERS[frame - FRAMES])
    .sort();
}

/** Frames in a saved state, in its order. */
const framesIn = (rig: Rig): number[] => rig.state().filter((value) => value >= FRAMES);

/** Takes a stream letter by letter and writes down what happened. */
function played(rig: Rig, side: Side, letters: string): string {
  let before = contents(rig);
  const events = [...letters].map((letter) => {
    const { counts } = rig.access(side === 'l1i' ? 'fetch' : 'read', pageOf(letter), 0);
    const after = contents(rig);
    const gone = before.filter((other) => !after.includes(other));
    before = after;
    if (!counts.walks) return `${letter}=`;
    return gone.length === 0 ? `${letter}+` : `${letter}-${gone.join('')}`;
  });
  return events.join(' ');
}

const lettersOf = (table: string): string =>
  table
    .split(' ')
    .map((event) => event[0])
    .join('');

describe.each(ENGINES)('$name: victims', (engine) => {
  const TABLES: [Replacement, number, string][] = [
    // The least recently used: A was hit, so B is older than it when E comes after D.
    ['lru', 4, 'A+ B+ C+ D+ A= E-B B-C F-D A= G-E H-B C-F I-A D-G J-H K-C L-I A-D'],
    // The first filled, hit or not.
    ['fifo', 4, 'A+ B+ C+ D+ A= E-A B= F-B A-C G-D H-E C-F I-A D-G J-H K-C L-I A-D'],
    // After A B C D the tree points left, left; the hit of A turns it right, where the node points at C.
    ['plru', 4, 'A+ B+ C+ D+ A= E-C B= F-D A= G-E H-B C-F I-A D-G J-H K-C L-I A-D'],
    // All bits are set after D: E clears them and takes way 0. B's hit sets its bit, so F finds way 2.
    ['nru', 4, 'A+ B+ C+ D+ A= E-A B= F-C A-D G-E H-B C-F I-A D-G J-H K-C L-I A-D'],
    // Filled at 2, hit to 0: E ages B, C and D to 3. A survives two agings after its second hit, until K.
    ['srrip', 4, 'A+ B+ C+ D+ A= E-B B-C F-D A= G-E H-B C-F I-G D-H J-C K-A L-I A-D'],
    // Numbers of ways that are no power of two.
    ['lru', 3, 'A+ B+ C+ A= D-B C= E-A A-D C= D-E'],
    ['fifo', 3, 'A+ B+ C+ A= D-A C= E-B A-C D= C-D'],
    ['nru', 3, 'A+ B+ C+ D-A A-B B-C C-D A= D-B'],
    ['srrip', 3, 'A+ B+ C+ B= D-A E-C B= A-D C-E D-A'],
    // Eight ways: three levels of tree. The eighth fill leaves every node pointing left; A's hit turns the nodes above it.
    ['plru', 8, 'A+ B+ C+ D+ E+ F+ G+ H+ A= I-E J-C K-G L-B'],
    ['plru', 2, 'A+ B+ C-A A-B C= B-A'],
    ['plru', 1, 'A+ B-A B= A-B'],
    ['nru', 1, 'A+ B-A B= A-B'],
    ['srrip', 1, 'A+ B-A B= A-B'],
    ['random', 1, 'A+ B-A B= A-B'],
  ];

  it.each(TABLES.flatMap((row) => SIDES.map((side) => [side, ...row] as const)))(
    '%s, %s, %i ways: %s',
    (side, replacement, ways, table) => {
      const rig = bedOf(side, replacement, ways).machine(engine);
      expect(played(rig, side, lettersOf(table))).toBe(table);
    },
  );

  it.each(TABLES.filter(([policy]) => policy === 'lru'))(
    '%s, %i ways, in a run where nothing changes',
    (policy, ways, table) => {
      const rig = bedOf('l1d', policy, ways, true).machine(engine);
      expect(played(rig, 'l1d', lettersOf(table))).toBe(table);
    },
  );

  it.each([17, 24, 40])('wide sets (%i ways) of fifo, nru and srrip', (ways) => {
    for (const policy of ['fifo', 'nru', 'srrip'] as const) {
      const array: TlbArrayConfig = { entries: ways, ways, sizes: ['4KiB'], replacement: policy };
      const bed = new Bed({ mode: 'native', machine: { l1d: [array] } });
      for (let page = 0; page < 2 * ways; page++) bed.map(page, page);
      const rig = bed.machine(engine);
      const walks = (page: number): number => rig.walked(page);
      for (let page = 0; page < ways; page++) expect(walks(page)).toBe(1);
      // Page 0 is hit. fifo: it goes all the same. nru: all bits are set, are cleared, way 0 goes. srrip: it stays.
      expect(walks(0)).toBe(0);
      expect(walks(ways)).toBe(1);
      expect(walks(policy === 'srrip' ? 0 : 1)).toBe(0);
      expect(walks(policy === 'srrip' ? 1 : 0)).toBe(1);
    }
  });
});

describe.each(ENGINES)('$name: free ways', (engine) => {
  it.each(['fifo', 'plru', 'nru', 'srrip', 'random'] as const)(
    '%s fills the lowest free way before any victim',
    (policy) => {
      const rig = bedOf('l1d', policy, 4).machine(engine);
      played(rig, 'l1d', 'ABCD');
      rig.hardware.invlpg(1, pageOf('C'));
      rig.hardware.invlpg(1, pageOf('B'));
      expect(played(rig, 'l1d', 'EFE')).toBe('E+ F+ E=');
      if (policy === 'fifo') return;
      // By way: A E F D. The canonical form is by way too, for a plru set that is full by its tree.
      if (policy !== 'plru') {
        const frames = framesIn(rig);
        expect(frames).toEqual(['A', 'E', 'F', 'D'].map((letter) => FRAMES + pageOf(letter)));
      }
    },
  );

  it('what a dropped way leaves behind counts for nothing; the other ways keep their bits', () => {
    // nru: A B C D all set; B's way is dropped and filled by E, which sets its bit. F clears all and takes way 0, G way 1.
    const rig = bedOf('l1d', 'nru', 4).machine(engine);
    played(rig, 'l1d', 'ABCD');
    rig.hardware.invlpg(1, pageOf('B'));
    expect(played(rig, 'l1d', 'EFGC')).toBe('E+ F-A G-E C=');
  });

  it('a plru set that is not full keeps its tree', () => {
    // A B C D, then B goes: the tree points left, left. E fills way 1 and turns it right: F takes C's place, not A's.
    const rig = bedOf('l1d', 'plru', 4).machine(engine);
    played(rig, 'l1d', 'ABCD');
    rig.hardware.invlpg(1, pageOf('B'));
    expect(played(rig, 'l1d', 'EF')).toBe('E+ F-C');
  });
});

describe.each(ENGINES)('$name: random', (engine) => {
  /** Philox as the oracle has it, which is checked against the published vectors. */
  const drawnWay = (seed: bigint, index: number, array: number, ways: number): number => {
    const counter = [index % 2 ** 32, Math.floor(index / 2 ** 32), array, 3];
    const [word] = philox(counter as never, [Number(seed & 0xffffffffn), Number(seed >> 32n)] as never);
    return below(word, ways);
  };

  it.each([
    [4, 1n],
    [5, 7n],
    [24, 0xfedcba9876543210n],
  ])('%i ways, seed %i: the way that Philox draws for the index of the access', (ways, seed) => {
    const array: TlbArrayConfig = { entries: ways, ways, sizes: ['4KiB'], replacement: 'random' };
    const bed = new Bed({ mode: 'native', machine: { l1d: [array] }, seed: `0x${seed.toString(16)}` });
    for (let page = 0; page < ways + 60; page++) bed.map(page, FRAMES + page);
    const rig = bed.machine(engine);
    const set = Array.from({ length: ways }, (_, page) => page);
    for (const page of set) rig.read(page);
    // The second half lies beyond 2^32 accesses.
    for (let k = 0; k < 60; k++) {
      if (k === 30) rig.index = 2 ** 32 + 5;
      set[drawnWay(seed, rig.index, 0, ways)] = ways + k;
      rig.read(ways + k);
      const frames = framesIn(rig);
      expect(frames, `fill ${k}`).toEqual(set.map((page) => FRAMES + page));
    }
  });

  it('arrays are numbered l1d, l1i, stlb, in the order of the configuration', () => {
    const random = (sizes: TlbArrayConfig['sizes']): TlbArrayConfig => ({
      entries: 4,
      ways: 4,
      sizes,
      replacement: 'random',
    });
    const machine = {
      l1d: [random(['2MiB']), random(['4KiB'])],
      l1i: [random(['4KiB'])],
      stlb: [random(['1GiB']), random(['4KiB'])],
    };
    const bed = new Bed({ mode: 'native', machine });
    for (let page = 0; page < 40; page++) bed.map(page, FRAMES + page);
    const rig = bed.machine(engine);
    // Arrays 1 (l1d, 4 KiB), 2 (l1i) and 4 (stlb, 4 KiB) fill; fetches fill 2, reads 1, both 4.
    const sets: Record<number, number[]> = { 1: [], 2: [], 4: [] };
    for (let page = 0; page < 40; page++) {
      const arrays = page % 2 === 0 ? [1, 4] : [2, 4];
      for (const array of arrays) {
        const way = sets[array].length < 4 ? sets[array].length : drawnWay(1n, rig.index, array, 4);
        sets[array][way] = page;
      }
      rig.access(page % 2 === 0 ? 'read' : 'fetch', page, 0);
    }
    const frames = framesIn(rig);
    expect(frames).toEqual([...sets[1], ...sets[2], ...sets[4]].map((page) => FRAMES + page));
  });

  it('a retry draws for the same index', () => {
    const bed = new Bed({
      mode: 'native',
      machine: { l1d: [{ entries: 4, ways: 4, sizes: ['4KiB'], replacement: 'random' }] },
    });
    for (let page = 0; page < 4; page++) bed.map(page, FRAMES + page);
    const rig = bed.machine(engine);
    for (let page = 0; page < 4; page++) rig.read(page);
    expect(rig.read(9).status).toBe('guestFault');
    expect(rig.read(9).status).toBe('guestFault');
    bed.map(9, FRAMES + 9, { flags: FULL });
    const set = [0, 1, 2, 3];
    set[drawnWay(1n, 4, 0, 4)] = 9;
    rig.read(9);
    expect(framesIn(rig)).toEqual(set.map((page) => FRAMES + page));
  });
});
