/**
 * Named workloads: well-known programs as compositions in the pattern language. They keep what decides translation
 * (footprint split into structures, how pages are chosen in each, how often the program comes back to a page, share of
 * writes), not the program's arithmetic. Each parameter says where it is from: the work it is credited to (cited from
 * memory, not checked against the text), or "assumed" where no source is known.
 *
 * Footprints are scaled down from published runs (tens to hundreds of GiB) to what a page table in memory holds easily.
 */
import type { ComponentInput } from './schema.ts';

/** A workload known by name, as data. */
export interface NamedWorkload {
  title: string;
  /** The program that it is after, and where that is described. */
  source: string;
  /** Where each parameter is from. */
  parameters: Readonly<Record<string, string>>;
  /** Bytes touched where the user does not say. */
  footprint: number;
  /** Fewest bytes that can be composed. */
  minimum: number;
  /**
   * Regions and component for a footprint of whole 4 KiB pages, at least `minimum`. The regions add up to it.
   * A pure function.
   */
  compose(bytes: number): { regions: { bytes: number }[]; component: ComponentInput };
}

const PAGE = 4096;
const GIB = 2 ** 30;

/** Cuts a footprint into regions of whole pages, in proportion to weights; each gets at least one page. */
export function split(bytes: number, weights: readonly number[]): { bytes: number }[] {
  const pages = bytes / PAGE;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const parts = weights.map((weight) => Math.max(1, Math.floor((pages * weight) / total)));
  // The largest takes what rounding leaves over, or gives what the smallest were granted.
  const rest = pages - parts.reduce((sum, part) => sum + part, 0);
  parts[weights.indexOf(Math.max(...weights))] += rest;
  return parts.map((part) => ({ bytes: part * PAGE }));
}

/** The largest fanout with which a tree of four levels, a page a node, fits so many pages. */
function fanoutOfFourLevels(pages: number): number {
  const nodes = (fanout: number): number => 1 + fanout + fanout ** 2 + fanout ** 3;
  let fanout = Math.max(2, Math.floor(Math.cbrt(pages)));
  while (fanout > 2 && nodes(fanout) > pages) fanout -= 1;
  return fanout;
}

const YCSB = 'zipf exponent 0.99: the default of YCSB (Cooper et al., SoCC 2010)';

/** All named workloads. */
export const NAMED_WORKLOADS: Readonly<Record<string, NamedWorkload>> = {
  gups: {
    title: 'GUPS: random updates of one table',
    source: 'RandomAccess of the HPC Challenge benchmark (Luszczek et al., SC 2006)',
    parameters: {
      uniform: 'the table is indexed by pseudo-random numbers (HPC Challenge, RandomAccess)',
      'burst.k': '2: each update reads a word and writes it back (HPC Challenge, RandomAccess)',
      writeFraction: '0.5: one of the two is the write',
      footprint: 'assumed; SagePTE measures 128 GB',
    },
    footprint: 4 * GIB,
    minimum: PAGE,
    compose: (bytes) => ({
      regions: [{ bytes }],
      component: { pattern: 'burst', k: 2, writeFraction: 0.5, of: { pattern: 'uniform' } },
    }),
  },
  btree: {
    title: 'BTree: lookups of random keys in an index',
    source: 'BTree of the Mitosis and vMitosis workloads (Panwar et al., ASPLOS 2021)',
    parameters: {
      'btree.levels': 'assumed: 4 levels, the fanout the largest that fits',
      'btree.fanout': 'follows from the footprint: one node a page, leaves fill most of it',
      writeFraction: '0: lookups only',
      footprint: 'assumed; SagePTE measures 125 GB',
    },
    footprint: 4 * GIB,
    minimum: 15 * PAGE,
    compose: (bytes) => ({
      regions: [{ bytes }],
      component: { pattern: 'btree', fanout: fanoutOfFourLevels(bytes / PAGE), levels: 4 },
    }),
  },
  canneal: {
    title: 'canneal: swaps of random elements of a netlist',
    source: 'canneal of PARSEC (Bienia et al., PACT 2008)',
    parameters: {
      uniform: 'elements to swap are picked at random, and their nets lead anywhere (PARSEC)',
      weights: 'assumed: 2 elements and 5 neighbours of each a swap',
      'burst.k': 'assumed: 4 accesses to the fields of an element that is swapped',
      writeFraction: 'assumed: 0.25 of the accesses to swapped elements; neighbours are only read',
      regions: 'assumed: element records, and an eighth for their positions',
      footprint: 'assumed; SagePTE measures 62 GB',
    },
    footprint: 4 * GIB,
    minimum: 2 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [7, 1]),
      component: {
        pattern: 'mix',
        weights: [8, 10],
        parts: [
          { pattern: 'burst', k: 4, region: 0, writeFraction: 0.25, of: { pattern: 'uniform' } },
          { pattern: 'uniform', region: 1 },
        ],
      },
    }),
  },
  graph500: {
    title: 'Graph500: breadth-first search of a Kronecker graph',
    source: 'Graph500 benchmark specification, kernel 2; the search of its reference code, top down',
    parameters: {
      regions:
        '16 edges a vertex (Graph500), kept in both directions at 8 bytes: 256 bytes; 16 for offset and parent',
      'burst.k': '32: the neighbours of a vertex stand one after another, 2 x 16 on average',
      'zipf.theta': 'assumed: 0.6 for how often a vertex is a neighbour in a skewed graph',
      weights: 'a vertex visited: 1 offset, 32 neighbours, 32 looks at a parent',
      writeFraction: '1/32 of the looks at a parent set it: each vertex is reached once, looked at 32 times',
      footprint: 'assumed; SagePTE measures 123 GB (scale 27)',
    },
    footprint: 4 * GIB,
    minimum: 3 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [32, 1, 1]),
      component: {
        pattern: 'mix',
        weights: [32, 1, 32],
        parts: [
          { pattern: 'burst', k: 32, region: 0, of: { pattern: 'uniform' } },
          { pattern: 'uniform', region: 1 },
          { pattern: 'zipf', theta: 0.6, region: 2, writeFraction: 1 / 32 },
        ],
      },
    }),
  },
  memcached: {
    title: 'memcached: gets and sets of popular keys',
    source: 'memcached under the ETC pool of Atikoglu et al. (SIGMETRICS 2012) with the popularity of YCSB',
    parameters: {
      'zipf.theta': YCSB,
      writeFraction: '1/31: 30 gets for a set (Atikoglu et al.), in the items',
      regions: 'assumed: a sixteenth is the hash table, the rest items',
      'burst.k': 'assumed: 6 accesses to an item (header, key, value of some 300 bytes)',
      footprint: 'assumed; SagePTE measures 95 GB',
    },
    footprint: 4 * GIB,
    minimum: 2 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [1, 15]),
      component: {
        pattern: 'mix',
        weights: [1, 6],
        parts: [
          { pattern: 'zipf', theta: 0.99, region: 0 },
          { pattern: 'burst', k: 6, region: 1, writeFraction: 1 / 31, of: { pattern: 'zipf', theta: 0.99 } },
        ],
      },
    }),
  },
  redis: {
    title: 'Redis: reads and updates through a chain of objects',
    source: 'Redis under workload A of YCSB (Cooper et al., SoCC 2010)',
    parameters: {
      'zipf.theta': YCSB,
      writeFraction: '0.5: half reads, half updates (YCSB workload A), in the values',
      interleave: 'assumed: bucket, entry, object, value, one after another, each on a page of its own',
      regions: 'assumed: 1/16 buckets, 2/16 entries, 2/16 objects, 11/16 values',
      footprint: 'assumed; SagePTE measures 155 GB',
    },
    footprint: 4 * GIB,
    minimum: 4 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [1, 2, 2, 11]),
      component: {
        pattern: 'interleave',
        parts: [
          { pattern: 'zipf', theta: 0.99, region: 0 },
          { pattern: 'zipf', theta: 0.99, region: 1 },
          { pattern: 'zipf', theta: 0.99, region: 2 },
          { pattern: 'zipf', theta: 0.99, region: 3, writeFraction: 0.5 },
        ],
      },
    }),
  },
  stream: {
    title: 'STREAM triad: a(i) = b(i) + q c(i)',
    source: 'STREAM benchmark (McCalpin, 1995)',
    parameters: {
      regions: 'three arrays of the same size (STREAM)',
      'stride.bytes': '8: arrays of doubles, in order (STREAM)',
      writeFraction: '1 for a, 0 for b and c (triad)',
      footprint: 'assumed',
    },
    footprint: 3 * GIB,
    minimum: 3 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [1, 1, 1]),
      component: {
        pattern: 'interleave',
        parts: [
          { pattern: 'stride', bytes: 8, region: 1 },
          { pattern: 'stride', bytes: 8, region: 2 },
          { pattern: 'stride', bytes: 8, region: 0, writeFraction: 1 },
        ],
      },
    }),
  },
  xsbench: {
    title: 'XSBench: cross-section lookups in a unionised grid',
    source: 'XSBench (Tramm et al., PHYSOR 2014), problem size large',
    parameters: {
      regions:
        '355 nuclides of 11303 points (XSBench large): 4 bytes x 355 of index a union point, 8 of energy; 48 bytes a nuclide point',
      weights:
        'a lookup: 22 steps of binary search over 4 million energies; assumed: 55 nuclides in a material, 2 points each',
      search: 'assumed: the steps of a binary search as half on a hot hundredth, half anywhere',
      'burst.k': '55: a row of indices stands in one place; 2: the points around the energy are neighbours',
      writeFraction: '0: tables are read only',
      footprint: 'assumed; the benchmark takes 5.6 GB, SagePTE measures 84 GB',
    },
    footprint: 4 * GIB,
    minimum: 8 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [1420, 48, 8]),
      component: {
        pattern: 'mix',
        weights: [55, 110, 22],
        parts: [
          { pattern: 'burst', k: 55, region: 0, of: { pattern: 'uniform' } },
          { pattern: 'burst', k: 2, region: 1, of: { pattern: 'uniform' } },
          searchOf(split(bytes, [1420, 48, 8])[2].bytes),
        ],
      },
    }),
  },
};

/** The binary search of xsbench; a region of a single page has no cold part. */
function searchOf(bytes: number): ComponentInput {
  if (bytes === PAGE) return { pattern: 'uniform', region: 2 };
  return { pattern: 'hotcold', hot: 0.01, weight: 0.5, region: 2 };
}
