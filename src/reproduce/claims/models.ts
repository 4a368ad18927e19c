/** Claims about geometries of processors and about models of run time. */
import { amdahl } from '../../results/runtimeModels.ts';
import type { Claim, Experiment, Outcomes, Reading } from '../claim.ts';

/** Pages that agree in the folded index of 128 sets: page k × 129 has k in both of its lowest groups of seven bits. */
const CONFLICTING_PAGES = 129;
/** Pages that agree in the lowest seven bits alone. */
const ALIGNED_PAGES = 128;
/** Rounds over the pages. */
const ROUNDS = 100;

/** Pages a stride apart, in turn, on a second-level TLB of 128 sets of 12 ways with a folded index. */
const rounds = (pages: number, stridePages: number): Experiment => ({
  kind: 'run',
  config: {
    machine: { stlb: [{ entries: 1536, ways: 12, sizes: ['4KiB'], index: 'xor' }] },
    paging: { mode: 'native' },
    regions: [{ bytes: pages * stridePages * 4096 }],
    workload: { pattern: 'stride', bytes: stridePages * 4096 },
    accesses: pages * ROUNDS,
    seed: 1,
  },
});
const misses = (outcomes: Outcomes, name: string): number => outcomes.run(name).counters.stlbMisses;

/** Walk shares and walk speed-ups of the artifact of SagePTE, and the program speed-ups that it derives, by scheme. */
const SCHEMES = ['SagePTE', 'DMT', 'ECPT', 'FPT', 'ASAP', 'Agile'] as const;
const AMDAHL: readonly {
  name: string;
  share: number;
  walk: readonly number[];
  program: readonly number[];
}[] = [
  {
    name: 'gups',
    share: 0.963,
    walk: [1.79, 1.31, 1.3, 1.28, 1.15, 1.26],
    program: [1.74, 1.29, 1.29, 1.27, 1.15, 1.25],
  },
  {
    name: 'canneal',
    share: 0.782,
    walk: [1.89, 1.2, 1.2, 1.14, 1.11, 1.16],
    program: [1.58, 1.15, 1.15, 1.1, 1.08, 1.12],
  },
  {
    name: 'xsbench',
    share: 0.614,
    walk: [1.79, 1.3, 1.29, 1.22, 1.17, 1.22],
    program: [1.37, 1.16, 1.16, 1.13, 1.1, 1.12],
  },
  {
    name: 'redis',
    share: 0.478,
    walk: [1.73, 1.36, 1.35, 1.31, 1.2, 1.3],
    program: [1.25, 1.14, 1.14, 1.13, 1.09, 1.12],
  },
  {
    name: 'btree',
    share: 0.445,
    walk: [1.81, 1.3, 1.28, 1.24, 1.18, 1.23],
    program: [1.25, 1.11, 1.11, 1.1, 1.07, 1.09],
  },
  {
    name: 'graph500',
    share: 0.204,
    walk: [1.39, 2.12, 1.77, 1.59, 1.36, 1.59],
    program: [1.06, 1.12, 1.1, 1.08, 1.06, 1.08],
  },
  {
    name: 'memcached',
    share: 0.139,
    walk: [1.74, 1.4, 1.38, 1.32, 1.21, 1.33],
    program: [1.06, 1.04, 1.04, 1.03, 1.02, 1.04],
  },
];
/** Half of the last printed digit of a speed-up, and what the same half of its inputs can add to it. */
const PRINTED = 0.0105;

export const MODEL_CLAIMS: readonly Claim[] = [
  {
    id: 'C32',
    title: 'TLBs of the presets are those of the processors',
    source: 'CPUID dumps of InstLatx64, decoded',
    mark: 'S',
    paper: 'entries and ways, array by array',
    trial: { heldByTest: 'a table of the dumps against the presets: test/machines.test.ts' },
  },
  {
    id: 'C33',
    title: 'index of Skylake’s second-level TLB: seven bits folded, 12 ways',
    source: 'Tatar et al., USENIX Security 2022; vusec/tlbdr, README',
    mark: 'S',
    paper: '12 ways are an eviction set of 128 sets, found by XOR-7',
    trial: {
      experiments: () => ({
        'twelve conflicting': rounds(12, CONFLICTING_PAGES),
        'thirteen conflicting': rounds(13, CONFLICTING_PAGES),
        'thirteen aligned': rounds(13, ALIGNED_PAGES),
      }),
      read: (outcomes) => ({
        readings: [
          {
            name: '12 pages of one set, 100 rounds',
            ours: misses(outcomes, 'twelve conflicting'),
            unit: 'misses',
            gate: { equals: 12 },
          },
          {
            name: '13 pages of one set',
            ours: misses(outcomes, 'thirteen conflicting'),
            unit: 'misses',
            gate: { equals: 13 * ROUNDS },
          },
          {
            name: '13 pages alike in their low seven bits alone',
            ours: misses(outcomes, 'thirteen aligned'),
            unit: 'misses',
            gate: { equals: 13 },
          },
        ],
      }),
    },
  },
  {
    id: 'C34',
    title: 'published models of run time',
    source: 'Mosmodel, MICRO 2020, artifact technion-csl/mosmodel',
    mark: 'S',
    paper: 'errors of 25–192 % (Basu, Gandhi, Pham, Alam, Yaniv); < 3 % (Mosmodel)',
    trial: {
      heldByTest:
        'their forms and calibrations: test/runtimeModels.test.ts; their errors need measured run times, of which there are none here',
    },
  },
  {
    id: 'C37',
    title: 'published speed-ups of programs follow Amdahl’s law on the share of walks',
    source: 'artifact of SagePTE (amirmnoohi/SagePTE-AE), parse_walk_stats.py',
    mark: 'S',
    paper: '42 speed-ups, as printed',
    trial: {
      experiments: () => ({}),
      read: () => {
        const errors = AMDAHL.flatMap(({ share, walk, program }) =>
          walk.map((faster, index) => Math.abs(amdahl(share, faster) - program[index])),
        );
        return {
          readings: [
            ...AMDAHL.map(
              ({ name, share, walk, program }): Reading => ({
                name: `${name}, ${SCHEMES[0]}`,
                paper: `${program[0]}`,
                ours: amdahl(share, walk[0]),
                unit: '×',
                gate: { from: program[0] - PRINTED, to: program[0] + PRINTED },
              }),
            ),
            {
              name: 'largest difference of all 42',
              ours: Math.max(...errors),
              unit: '×',
              gate: { to: PRINTED },
            },
          ],
        };
      },
    },
  },
];
