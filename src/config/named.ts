/**
 * Named workloads: well-known programs as compositions in the pattern language. They keep what decides translation
 * (footprint split into structures, how pages are chosen in each, how often the program comes back to a page, share of
 * writes), not the program's arithmetic: what a program keeps in registers, on its stack or in a few hot lines is left out.
 *
 * Each parameter says where it is from: the source of a program (named, read), a paper (cited from memory unless it says
 * otherwise), or "assumed" where no source is known.
 *
 * Default footprints are scaled down to what is simulated in seconds; `published` has those that papers measured, which
 * can be asked for (docs/model.md, named workloads).
 */
import type { ComponentInput } from './schema.ts';

/** A footprint that a published measurement has used. */
export interface PublishedFootprint {
  /** Bytes, a multiple of 4 KiB. */
  bytes: number;
  /** The work that measured it, and with which arguments. */
  source: string;
}

/** A workload known by name, as data. */
export interface NamedWorkload {
  /** What it is, in a line. */
  title: string;
  /** The program that it is after, and where that is described. */
  source: string;
  /** Where each parameter is from. */
  parameters: Readonly<Record<string, string>>;
  /** Bytes touched where the user does not say. */
  footprint: number;
  /** Footprints of published measurements, the one that is cited most first; empty where none is known. */
  published: readonly PublishedFootprint[];
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

/**
 * A part of a mix sees the index of the whole, so that a burst in it is a window of `k` accesses of all parts. How many of
 * them are this part's is about Poisson distributed, and may be none. For windows that are visited at all to get 2, 3 …
 * accesses on average, the mean over all windows has to be x, with x / (1 - exp(-x)) = 2, 3 …; from 6 on both are the same.
 */
const WINDOW: Readonly<Record<number, number>> = { 2: 1.594, 3: 2.821, 4: 3.921, 5: 4.965 };

/**
 * The `k` of a burst in a mix whose weights add up to the accesses of one operation of the program.
 * @param operation accesses of an operation, of all parts
 * @param accesses those of this part
 * @param visits pages that this part goes to in an operation, each for `accesses / visits` accesses
 */
function windowOf(operation: number, accesses: number, visits: number): number {
  const each = accesses / visits;
  return Math.max(1, Math.round((operation * (WINDOW[each] ?? each)) / accesses));
}

/** Nodes of a tree in which every node above the leaves has `fanout` children. */
function nodesOf(fanout: number, levels: number): number {
  let nodes = 0;
  for (let level = 0; level < levels; level++) nodes += fanout ** level;
  return nodes;
}

/** Most levels of a tree with that fanout, a page a node, that fit so many pages. */
function levelsWithin(pages: number, fanout: number): number {
  let levels = 1;
  while (nodesOf(fanout, levels + 1) <= pages) levels += 1;
  return levels;
}

/**
 * The tree, a page a node, that fills so many pages best, with at least `least` and at most `most` children a node; where
 * not even a root and `least` children fit, a root with as many as do, or alone.
 */
function treeWithin(pages: number, least: number, most: number): { fanout: number; levels: number } {
  if (pages < least + 1) return pages < 3 ? { fanout: 2, levels: 1 } : { fanout: pages - 1, levels: 2 };
  let best = { fanout: least, levels: 1 };
  for (let fanout = least; fanout <= most; fanout++) {
    const levels = levelsWithin(pages, fanout);
    if (nodesOf(fanout, levels) > nodesOf(best.fanout, best.levels)) best = { fanout, levels };
  }
  return best;
}

const YCSB = 'zipf exponent 0.99: the default of YCSB (Cooper et al., SoCC 2010)';
const PROGRAMS = 'mitosis-project/vmitosis-workloads';
/** Where the footprints of SagePTE are from. Its "GB" are GiB: 10^8 records of 1 KiB are 95 GiB, and it says 95 GB. */
const sagePte = (gibibytes: number, how: string): PublishedFootprint => ({
  bytes: gibibytes * GIB,
  source: `SagePTE (artifact amirmnoohi/SagePTE-AE, Workloads): ${how}`,
});
const vMitosis = (gibibytes: number, how: string): PublishedFootprint => ({
  bytes: gibibytes * GIB,
  source: `vMitosis (Panwar et al., ASPLOS 2021; ${PROGRAMS}): ${how}`,
});
const DEFAULT_FOOTPRINT = 'assumed: what is simulated in seconds; see the published ones';

/** All named workloads. */
export const NAMED_WORKLOADS: Readonly<Record<string, NamedWorkload>> = {
  gups: {
    title: 'GUPS: random updates of one table',
    source: 'RandomAccess of the HPC Challenge benchmark (Luszczek et al., SC 2006)',
    parameters: {
      uniform: 'the table is indexed by pseudo-random numbers (HPC Challenge, RandomAccess)',
      'burst.k': '2: each update reads a word and writes it back (HPC Challenge, RandomAccess)',
      writeFraction: '0.5: one of the two is the write',
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [
      sagePte(128, 'argument 128, a table of that many GiB'),
      vMitosis(64, 'gups.c without an argument'),
    ],
    minimum: PAGE,
    compose: (bytes) => ({
      regions: [{ bytes }],
      component: { pattern: 'burst', k: 2, writeFraction: 0.5, of: { pattern: 'uniform' } },
    }),
  },
  btree: {
    title: 'BTree: look-ups of random keys in an index in memory',
    source: `BTree of the Mitosis and vMitosis workloads (Panwar et al., ASPLOS 2021), ${PROGRAMS}, btree/btree.c`,
    parameters: {
      'btree.fanout':
        '8 to 16, whichever fills the region best: nodes of order 16, at least half full (btree.c). A page holds 9 nodes, and keys come in order, so that a page is about the children of one node',
      'btree.levels': 'follow from the footprint',
      'burst.k':
        'assumed: 12 accesses to a node: 4 fields, half of its keys and one more, one pointer (btree.c); a window of the mix in which they fall',
      weights:
        'a look-up: 12 for each level, 1 for the record, 1 for the element that it points to (btree.c)',
      regions:
        'a key takes 43 bytes of nodes (48 + 2 x 192 bytes a node with the allocator’s headers, assumed three quarters full), 16 of record, 16 of element (btree.c)',
      writeFraction: '0: look-ups only',
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [sagePte(125, 'about 125 GB')],
    minimum: 3 * PAGE,
    compose: (bytes) => {
      const regions = split(bytes, [43, 16, 16]);
      const tree = treeWithin(regions[0].bytes / PAGE, 8, 16);
      return {
        regions,
        component: {
          pattern: 'mix',
          weights: [12 * tree.levels, 1, 1],
          parts: [
            {
              pattern: 'burst',
              k: windowOf(12 * tree.levels + 2, 12 * tree.levels, tree.levels),
              region: 0,
              of: { pattern: 'btree', ...tree },
            },
            { pattern: 'uniform', region: 1 },
            { pattern: 'uniform', region: 2 },
          ],
        },
      };
    },
  },
  canneal: {
    title: 'canneal: swaps of random elements of a netlist',
    source: 'canneal of PARSEC (Bienia et al., PACT 2008), annealer_thread.cpp and netlist_elem.cpp',
    parameters: {
      uniform: 'a move takes a new element at random, and its nets lead anywhere (annealer_thread.cpp)',
      'burst.k':
        'each element takes part in two moves, one after the other, so everything is touched twice: 5 fields of the element, 5 pointers of a list, the place of a neighbour’s location, 2 co-ordinates (netlist_elem.cpp, swap_cost). Windows of the mix in which so many accesses fall',
      weights:
        'an element: 10 accesses to itself, 20 to its lists of inputs and outputs, 20 to 10 neighbours, 44 to 11 locations',
      neighbours: 'M: 5 inputs an element, as the netlists of PARSEC have; so 5 outputs on average',
      writeFraction: 'assumed: half of the moves are made, which writes the place of both elements: 1 of 10',
      regions:
        '88 bytes an element, 160 for its two lists with the allocator’s headers, 8 for a location (netlist_elem.h, location_t.h); the map of names, which only loading reads, is left out',
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [
      sagePte(
        62,
        '150000 swaps a temperature, from 2000, 10000 steps; vMitosis makes its netlist of 10^8 elements',
      ),
    ],
    minimum: 3 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [88, 160, 8]),
      component: {
        pattern: 'mix',
        weights: [10, 20, 20, 44],
        parts: [
          {
            pattern: 'burst',
            k: windowOf(94, 10, 1),
            region: 0,
            writeFraction: 0.1,
            of: { pattern: 'uniform' },
          },
          { pattern: 'burst', k: windowOf(94, 20, 2), region: 1, of: { pattern: 'uniform' } },
          { pattern: 'burst', k: windowOf(94, 20, 10), region: 0, of: { pattern: 'uniform' } },
          { pattern: 'burst', k: windowOf(94, 44, 11), region: 2, of: { pattern: 'uniform' } },
        ],
      },
    }),
  },
  graph500: {
    title: 'Graph500: breadth-first search of a Kronecker graph',
    source: 'Graph500 benchmark specification, kernel 2; its reference code, seq-csr/seq-csr.c, top down',
    parameters: {
      regions:
        '16 edges a vertex (Graph500), kept in both directions at 8 bytes: 256 bytes; 8 each for offset, parent and place in the queue (seq-csr.c)',
      'burst.k':
        '32: the neighbours of a vertex stand one after another, 2 x 16 on average; 2: offsets of its first neighbour and of the next vertex’s (seq-csr.c). Windows of the mix in which so many accesses fall',
      'zipf.theta':
        '0.4: fitted to how often a vertex is a neighbour. The generator picks each bit of a vertex as 0 with 0.57 + 0.19 (Graph500); with vertices shuffled and 512 parents a page, at scale 24, the 1,536 most popular pages get 15.4 % of the looks, with 0.4 they get 15.8 %',
      weights:
        'a vertex visited: 2 offsets, 32 neighbours, 32 looks at a parent, 1 read and 1 write of the queue',
      writeFraction: '1/32 of the looks at a parent set it: each vertex is reached once, looked at 32 times',
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [sagePte(123, '-s 27 -e 32: scale 27, 32 edges a vertex, with the list of edges')],
    minimum: 4 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [256, 8, 8, 8]),
      component: {
        pattern: 'mix',
        weights: [32, 2, 32, 2],
        parts: [
          { pattern: 'burst', k: windowOf(68, 32, 1), region: 0, of: { pattern: 'uniform' } },
          { pattern: 'burst', k: windowOf(68, 2, 1), region: 1, of: { pattern: 'uniform' } },
          { pattern: 'zipf', theta: 0.4, region: 2, writeFraction: 1 / 32 },
          { pattern: 'burst', k: 68, region: 3, writeFraction: 0.5, of: { pattern: 'stride', bytes: 8 } },
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
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [],
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
  'memcached-uniform': {
    title: 'memcached: gets of all keys alike, as DMT and SagePTE measure it',
    source:
      'memcached under YCSB as in DMT (Jiyuan Zhang et al., ASPLOS 2024) and SagePTE (memcached-client.sh): 10^8 records of 1 KB, reads only, uniform',
    parameters: {
      uniform: 'keys are drawn uniformly (SagePTE, memcached-client.sh)',
      regions:
        '8 bytes of hash table, 1184 of item: the slab class that takes 1 KB, a key of YCSB and a header (memcached’s growth factor of 1.25)',
      'burst.k':
        'assumed: 26 accesses to an item: its header 7, its key 3, a value of 1 KB by cache lines 16; a window of the mix in which they fall',
      writeFraction: '1/13: of the 26, the count of references is raised and lowered (memcached, items.c)',
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [sagePte(95, '10^8 records of 1 KB')],
    minimum: 2 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [8, 1184]),
      component: {
        pattern: 'mix',
        weights: [1, 26],
        parts: [
          { pattern: 'uniform', region: 0 },
          {
            pattern: 'burst',
            k: windowOf(27, 26, 1),
            region: 1,
            writeFraction: 1 / 13,
            of: { pattern: 'uniform' },
          },
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
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [],
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
  'redis-uniform': {
    title: 'Redis: gets and sets of all keys alike, as vMitosis, DMT and SagePTE measure it',
    source: `Redis with a load of its own in place of clients, ${PROGRAMS}, redis/src/server.c: one thread gets, one sets`,
    parameters: {
      uniform: 'keys are drawn uniformly by both threads (server.c)',
      regions:
        'a key takes 8 bytes of bucket, 32 of entry, 32 of key, 16 of object, 80 of value: what the allocator gives for a key of 27 and a value of 64 bytes (server.c, sds.h, dict.h)',
      'burst.k':
        'assumed: 1 access to the bucket, 3 to the entry, 4 to the key, 2 to the object, 5 to the value; windows of the mix in which they fall',
      weights: 'one of each a look-up',
      writeFraction:
        '1/6 of entries: a set changes the pointer; 1/2 of objects: each look-up notes its time; 4/5 of values: a set writes 8 words, a get reads 1, in 10 (server.c, db.c)',
      footprint: DEFAULT_FOOTPRINT,
    },
    footprint: 4 * GIB,
    published: [
      sagePte(155, '2^29 keys, 3 x 10^7 look-ups'),
      vMitosis(256, '2^30 keys; the program’s own estimate of 256 bytes a key'),
    ],
    minimum: 5 * PAGE,
    compose: (bytes) => ({
      regions: split(bytes, [8, 32, 32, 16, 80]),
      component: {
        pattern: 'mix',
        weights: [1, 3, 4, 2, 5],
        parts: [
          { pattern: 'uniform', region: 0 },
          ...[3, 4, 2, 5].map((accesses, index) => ({
            pattern: 'burst' as const,
            k: windowOf(15, accesses, 1),
            region: index + 1,
            writeFraction: [1 / 6, 0, 1 / 2, 4 / 5][index],
            of: { pattern: 'uniform' as const },
          })),
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
    published: [],
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
    title: 'XSBench: cross-section look-ups in a unionised grid',
    source: 'XSBench (Tramm et al., PHYSOR 2014), ANL-CESAR/XSBench, problem size large',
    parameters: {
      regions:
        '355 nuclides (XSBench large): 4 bytes x 355 of index a union point, 8 of energy; 48 bytes a nuclide point',
      weights:
        'a look-up reads 56 indices and 12 words of each of 56 nuclides: the mean of materials by their share of the core and their nuclides, 55.7 (Simulation.c, pick_mat; Materials.c); and searches the energies',
      'burst.k':
        '56: a row of indices stands in one place; 12: energy and 5 cross sections of 2 neighbouring points (calculate_micro_xs); 2: the search goes on within its last page as often as it changed pages before. Windows of the mix in which so many accesses fall',
      btree: 'a binary search of energies, page by page: each step halves what is left (grid_search)',
      writeFraction: '0: tables are read only',
      footprint: `${DEFAULT_FOOTPRINT}; the benchmark’s own, 11,303 points, is 5.6 GB`,
    },
    footprint: 4 * GIB,
    published: [
      sagePte(84, '-g 170000 -p 4000000: 83 GiB by the sizes above'),
      vMitosis(332, '-g 680000 -p 15000000: by the sizes above'),
    ],
    minimum: 3 * PAGE,
    compose: (bytes) => {
      const regions = split(bytes, [1420, 48, 8]);
      const levels = levelsWithin(regions[2].bytes / PAGE, 2);
      const lookup = 56 + 56 * 12 + 2 * levels;
      return {
        regions,
        component: {
          pattern: 'mix',
          weights: [56, 56 * 12, 2 * levels],
          parts: [
            { pattern: 'burst', k: windowOf(lookup, 56, 1), region: 0, of: { pattern: 'uniform' } },
            { pattern: 'burst', k: windowOf(lookup, 56 * 12, 56), region: 1, of: { pattern: 'uniform' } },
            {
              pattern: 'burst',
              k: windowOf(lookup, 2 * levels, levels),
              region: 2,
              of: { pattern: 'btree', fanout: 2, levels },
            },
          ],
        },
      };
    },
  },
};
