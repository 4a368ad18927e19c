/** Runtime models: worked by hand, against the published table of Amdahl's law, and against the published counters that they come from. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { computeMetrics } from '../src/results/metrics.ts';
import {
  amdahl,
  baseCycles,
  calibrateModel,
  checkWalkerLoad,
  compareRuntimes,
  DEFAULT_RUNTIME_COST,
  linearRuntime,
  MEASURED_OVERLAP_FACTORS,
  predictRuntime,
  type RuntimeCalibration,
  type RuntimeModel,
  type RuntimeModelName,
  runtimeCost,
  sampleOf,
  slowdownOf,
  walkerLoad,
} from '../src/results/runtimeModels.ts';
import type { ByDimension } from '../src/results/types.ts';
import { compare } from '../src/run/compare.ts';
import { COUNTER, COUNTER_SLOTS, MAX_CACHES } from '../src/schema.ts';
import { config, resultOf } from './support/result.ts';

const CALIBRATION: RuntimeCalibration = {
  pages4KiB: { runtimeCycles: 1000, walkCycles: 400, stlbMisses: 20, stlbHits: 30 },
  pages2MiB: { runtimeCycles: 700, walkCycles: 50, stlbMisses: 2, stlbHits: 5 },
};
const SAMPLE = { walkCycles: 100, stlbMisses: 10, stlbHits: 12 };

const calibrated = (name: RuntimeModelName, calibration = CALIBRATION): RuntimeModel =>
  calibrateModel(name, calibration)!;

describe('the published models, by hand', () => {
  it.each([
    // A = 400/20, B = 1000 - 400; 20 x 10 + 600.
    ['basu', 20, 600, 800],
    // A = 400/20, B = 700 - 50; 20 x 10 + 650.
    ['gandhi', 20, 650, 850],
    // B = 1000 - 7 x 30 - 400; 100 + 7 x 12 + 390.
    ['pham', 1, 390, 574],
    // B = 700 - 50; 100 + 650.
    ['alam', 1, 650, 750],
    // A = (1000 - 700) / (400 - 50), B = 1000 - A x 400.
    ['yaniv', 6 / 7, 1000 - 2400 / 7, 1000 - 1800 / 7],
  ] as const)('%s', (name, slope, base, runtime) => {
    const model = calibrated(name);
    expect(model.slope).toBeCloseTo(slope, 12);
    expect(model.baseCycles).toBeCloseTo(base, 9);
    expect(predictRuntime(model, SAMPLE)).toBeCloseTo(runtime, 9);
  });

  const measurement = fc.record({
    runtimeCycles: fc.integer({ min: 1, max: 1e9 }),
    walkCycles: fc.integer({ min: 0, max: 1e9 }),
    stlbMisses: fc.integer({ min: 1, max: 1e6 }),
    stlbHits: fc.nat(1e6),
  });

  it('foresee the runs that they were calibrated on: Basu and Pham 4 KiB, Alam 2 MiB, Yaniv both', () => {
    fc.assert(
      fc.property(measurement, measurement, (pages4KiB, pages2MiB) => {
        fc.pre(pages4KiB.walkCycles !== pages2MiB.walkCycles);
        const calibration = { pages4KiB, pages2MiB };
        const error = (name: RuntimeModelName, pages: keyof RuntimeCalibration): number =>
          Math.abs(
            predictRuntime(calibrated(name, calibration), calibration[pages]) -
              calibration[pages].runtimeCycles,
          ) / 1e9;
        expect(error('basu', 'pages4KiB')).toBeLessThan(1e-9);
        expect(error('pham', 'pages4KiB')).toBeLessThan(1e-9);
        expect(error('alam', 'pages2MiB')).toBeLessThan(1e-9);
        // The line of two points that lie close together is steep, and its rounding error grows with the slope.
        const steepness = 1 + Math.abs(calibrated('yaniv', calibration).slope);
        expect(error('yaniv', 'pages4KiB') / steepness).toBeLessThan(1e-9);
        expect(error('yaniv', 'pages2MiB') / steepness).toBeLessThan(1e-9);
      }),
    );
  });

  it('have no line where walks took as long in both runs, and no misses to price where there were none', () => {
    const { pages4KiB } = CALIBRATION;
    expect(calibrateModel('yaniv', { pages4KiB, pages2MiB: pages4KiB })).toBeUndefined();
    const idle = { ...pages4KiB, walkCycles: 0, stlbMisses: 0 };
    expect(calibrated('basu', { pages4KiB: idle, pages2MiB: idle })).toMatchObject({
      slope: 0,
      baseCycles: 1000,
    });
  });

  it('refuse measurements that cannot be', () => {
    const { pages4KiB, pages2MiB } = CALIBRATION;
    const broken = { pages4KiB, pages2MiB: { ...pages2MiB, walkCycles: -1 } };
    expect(() => calibrateModel('alam', broken)).toThrow('pages2MiB.walkCycles is -1');
    const absent = { pages4KiB: { ...pages4KiB, runtimeCycles: Number.NaN }, pages2MiB };
    expect(() => calibrateModel('alam', absent)).toThrow('pages4KiB.runtimeCycles is NaN');
  });
});

/**
 * What SagePTE publishes (artifact amirmnoohi/SagePTE-AE, Simulator/scripts/parse_walk_stats.py): share of the run time
 * that walks take, measured; then walk speed-up and speed-up of the program under SagePTE, DMT, ECPT, FPT, ASAP and agile
 * paging. Four decimals are printed.
 */
const SAGE_PTE: Record<string, Record<'4K' | 'THP', [share: number, walks: number[], programs: number[]]>> = {
  btree: {
    '4K': [
      0.4447275661443071,
      [1.8107, 1.2968, 1.2821, 1.2442, 1.1811, 1.2337],
      [1.2486, 1.1133, 1.1085, 1.0956, 1.0732, 1.092],
    ],
    THP: [
      0.4014285714285717,
      [1.6951, 1.4264, 1.2716, 1.1193, 1.0761, 1.2081],
      [1.197, 1.1364, 1.0938, 1.0447, 1.0292, 1.0743],
    ],
  },
  canneal: {
    '4K': [
      0.7815695864828817,
      [1.8881, 1.1979, 1.1969, 1.1363, 1.106, 1.1616],
      [1.5813, 1.1483, 1.1475, 1.1035, 1.081, 1.122],
    ],
    THP: [
      0.41477434277766256,
      [1.7358, 1.3685, 1.2909, 0.9569, 1.056, 1.1703],
      [1.2133, 1.1257, 1.1031, 0.9817, 1.0225, 1.0642],
    ],
  },
  graph500: {
    '4K': [
      0.20428433372704805,
      [1.3883, 2.1198, 1.7716, 1.585, 1.3649, 1.585],
      [1.0606, 1.121, 1.0977, 1.0815, 1.0578, 1.0815],
    ],
    THP: [
      0.07927987884844695,
      [1.2681, 2.9094, 1.5024, 1.2707, 1.1216, 1.4729],
      [1.017, 1.0549, 1.0272, 1.0172, 1.0087, 1.0261],
    ],
  },
  gups: {
    '4K': [
      0.9628,
      [1.7919, 1.3087, 1.3036, 1.2806, 1.1531, 1.2628],
      [1.7406, 1.2938, 1.289, 1.2674, 1.1465, 1.2505],
    ],
    THP: [
      0.9447,
      [1.9071, 1.226, 1.2169, 1.0753, 1.0731, 1.121],
      [1.816, 1.2109, 1.2025, 1.0709, 1.0687, 1.1136],
    ],
  },
  memcached: {
    '4K': [
      0.13883162668596255,
      [1.7402, 1.3995, 1.3766, 1.3206, 1.2112, 1.3257],
      [1.0628, 1.0413, 1.0395, 1.0349, 1.0248, 1.0353],
    ],
    THP: [
      0.12693070655496,
      [1.6994, 1.4178, 1.2925, 1.1058, 1.1337, 1.2396],
      [1.0551, 1.0389, 1.0296, 1.0123, 1.0152, 1.0251],
    ],
  },
  redis: {
    '4K': [
      0.47845267237862116,
      [1.7305, 1.3592, 1.3487, 1.313, 1.2017, 1.3004],
      [1.2531, 1.1448, 1.1412, 1.1287, 1.0873, 1.1243],
    ],
    THP: [
      0.44707524157988565,
      [1.8444, 1.3141, 1.2725, 1.0947, 1.1386, 1.1617],
      [1.2573, 1.1196, 1.1059, 1.0402, 1.0575, 1.0663],
    ],
  },
  xsbench: {
    '4K': [
      0.6144562334217507,
      [1.7859, 1.2989, 1.2897, 1.223, 1.1655, 1.2184],
      [1.3706, 1.1647, 1.1601, 1.1262, 1.0956, 1.1238],
    ],
    THP: [
      0.25554253284806605,
      [1.5427, 1.6656, 1.4303, 1.1424, 1.0898, 1.2601],
      [1.0988, 1.1137, 1.0833, 1.0329, 1.0215, 1.0557],
    ],
  },
};

describe("Amdahl's law on the share of walks", () => {
  const cases = Object.entries(SAGE_PTE).flatMap(([workload, pages]) =>
    Object.entries(pages).map(([size, row]) => [`${workload} ${size}`, row] as const),
  );

  it.each(cases)(
    'gives the published speed-ups of %s, to the digits printed',
    (_, [share, walks, programs]) => {
      const half = 0.5e-4;
      expect(walks).toHaveLength(6);
      for (const [index, printed] of programs.entries()) {
        // The walk speed-up was rounded to four decimals before it was printed, and so was the result.
        expect(amdahl(share, walks[index] - half) - half).toBeLessThanOrEqual(printed);
        expect(amdahl(share, walks[index] + half) + half).toBeGreaterThanOrEqual(printed);
        // Three decimals never differ by more than one in the last.
        expect(Math.abs(amdahl(share, walks[index]) - printed)).toBeLessThan(1e-3);
      }
    },
  );

  it('has the ends that it must have', () => {
    expect(amdahl(0, 100)).toBe(1);
    expect(amdahl(1, 3)).toBeCloseTo(3, 12);
    expect(amdahl(0.5, 1)).toBe(1);
    expect(amdahl(0.5, 0.5)).toBeCloseTo(2 / 3, 12);
  });

  it.each([
    [-0.1, 2, 'walkShare is -0.1'],
    [1.1, 2, 'walkShare is 1.1'],
    [0.5, 0, 'walkSpeedUp is 0'],
    [0.5, Number.NaN, 'walkSpeedUp is NaN'],
  ])('refuses a share of %s and a speed-up of %s', (share, speedUp, message) => {
    expect(() => amdahl(share, speedUp)).toThrow(message);
  });
});

/**
 * The perf logs of the artifact of vMitosis, reduced (4-socket Xeon Gold 6252, tables local): cycles virtual / native,
 * walk cycles a cycle of the native run, those of guest and EPT a cycle of the virtual run, walk cycles virtual / native.
 */
const VMITOSIS = {
  'GUPS 4K': { cycles: 1.98, native: 1.55, guest: 0.844, nested: 0.892, walks: 2.22 },
  'GUPS THP': { cycles: 1.23, native: 0.605, guest: 0.522, nested: 0.457, walks: 1.99 },
  'BTree 4K': { cycles: 1.47, native: 0.525, guest: 0.364, nested: 0.393, walks: 2.12 },
  'Canneal 4K': { cycles: 1.62, native: 0.737, guest: 0.502, nested: 0.57, walks: 2.36 },
  'Canneal THP': { cycles: 1.2, native: 0.408, guest: 0.422, nested: 0.199, walks: 1.83 },
  'XSBench 4K': { cycles: 1.43, native: 0.345, guest: 0.294, nested: 0.304, walks: 2.48 },
  'XSBench THP': { cycles: 1.04, native: 0.108, guest: 0.099, nested: 0.062, walks: 1.56 },
} as const;

describe('the linear model with an overlap factor', () => {
  it.each(Object.entries(VMITOSIS))('gives the measured run time of %s from its native one', (name, row) => {
    const overlapFactor = MEASURED_OVERLAP_FACTORS[name];
    const cost = runtimeCost({ overlapFactor });
    const native = 1e9;
    const base = baseCycles(native, row.native, overlapFactor);
    const before = linearRuntime(base, native, cost);
    expect(native / before).toBeCloseTo(row.native, 9);
    // Two printed decimals, from factors that have two themselves.
    expect(linearRuntime(base, native * row.walks, cost) / before).toBeCloseTo(row.cycles, 1.7);
  });

  it('has a default that is documented: the median of what was measured, between 0.38 and 0.84', () => {
    const factors = Object.values(MEASURED_OVERLAP_FACTORS).sort((a, b) => a - b);
    expect(Object.keys(MEASURED_OVERLAP_FACTORS)).toEqual(Object.keys(VMITOSIS));
    expect([factors[0], factors[6]]).toEqual([0.38, 0.84]);
    expect(DEFAULT_RUNTIME_COST.overlapFactor).toBe(factors[3]);
  });

  it.each([
    [{ overlapFactor: 1 }, 'overlapFactor is 1'],
    [{ overlapFactor: 0 }, 'overlapFactor is 0'],
    [{ walkers: 0 }, 'walkers is 0'],
    [{ walkers: 1.5 }, 'walkers is 1.5'],
    [{ baseCyclesPerAccess: 0 }, 'baseCyclesPerAccess is 0'],
    [{ baseCyclesPerAccess: Number.POSITIVE_INFINITY }, 'baseCyclesPerAccess is Infinity'],
  ])('refuses %j', (cost, message) => {
    expect(() => runtimeCost(cost)).toThrow(message);
    const result = resultOf();
    expect(() => computeMetrics(result.counters, result.config, cost)).toThrow(message);
  });

  it('refuses walks that alone took longer than the run', () => {
    // 2 walk cycles a cycle, 0.6 of each exposed, would be 1.2 of the run.
    expect(() => baseCycles(100, 2, 0.6)).toThrow('more than the whole run');
    expect(baseCycles(100, 2, 0.5)).toBe(0);
  });

  const cycles = fc.integer({ min: 0, max: 1e12 });
  const factor = fc.double({ min: 0.01, max: 0.99, noNaN: true });

  it('never keeps more walkers busy than there are, and a second one saves half of the run at most', () => {
    fc.assert(
      fc.property(cycles, cycles, cycles, factor, (base, guest, nested, overlapFactor) => {
        const walks: ByDimension = { guest, nested, total: guest + nested };
        const [one, two] = [1, 2].map((walkers) => {
          const runtime = linearRuntime(base, walks.total, runtimeCost({ overlapFactor, walkers }));
          const load = checkWalkerLoad(walks, runtime, walkers);
          expect(load.guest + load.nested).toBeCloseTo(load.total, 9);
          return runtime;
        });
        expect(two).toBeLessThanOrEqual(one);
        expect(one).toBeLessThanOrEqual(2 * two * (1 + 1e-12));
      }),
    );
  });
});

describe('walkers', () => {
  it.each(Object.entries(VMITOSIS))('two can do what was counted on %s', (_, { guest, nested }) => {
    const walks = { guest, nested, total: guest + nested };
    expect(checkWalkerLoad(walks, 1, 2)).toEqual(walks);
    expect(walkerLoad(walks, 2).total).toBeCloseTo(walks.total / 2, 12);
  });

  it('one cannot do what GUPS counts natively', () => {
    const walks = { guest: 1.55, nested: 0, total: 1.55 };
    expect(() => checkWalkerLoad(walks, 1, 1)).toThrow('keep 1.55 walkers busy, but there are 1');
  });
});

/** A result of 1000 accesses whose walks take so many references to memory, at 200 cycles each and nothing else. */
function resultWith(misses: number, guestRefs: number, nestedRefs: number, paging = {}) {
  const block = new Float64Array(COUNTER_SLOTS);
  block[COUNTER.accesses] = 1000;
  block[COUNTER.stlbMisses] = misses;
  block[COUNTER.stlbHits] = 10;
  const whole = config(paging);
  const memory = whole.machine.caches.length;
  block[COUNTER.refHits + memory] = guestRefs;
  block[COUNTER.refHits + MAX_CACHES + 1 + memory] = nestedRefs;
  const bare = { ...whole.machine, psc: null, nestedPsc: null, ntlb: null };
  return resultOf({ ...whole, machine: bare }, block);
}

describe('what one run says', () => {
  it('is priced by assumed base cycles, on a run of 1000 accesses with 100 references', () => {
    const { counters, metrics, config: machine } = resultWith(60, 70, 30);
    expect(metrics.walkCycles).toEqual({ guest: 14_000, nested: 6000, total: 20_000 });
    expect(sampleOf({ counters, metrics })).toEqual({ walkCycles: 20_000, stlbMisses: 60, stlbHits: 10 });
    // B = 17,000; 0.62 of 20,000 are 12,400.
    expect(metrics.slowdown.linear).toBeCloseTo(29_400 / 17_000, 12);
    expect(metrics.slowdown.alam).toBeCloseTo(37_000 / 17_000, 12);
    expect(metrics.slowdown.pham).toBeCloseTo(37_070 / 17_000, 12);
    const cheap = computeMetrics(counters, machine, { baseCyclesPerAccess: 1, walkers: 1 });
    // 1,000 + 12,400 cycles do not suffice one walker for 20,000.
    expect(cheap.slowdown.linear).toBe(20);
    expect(cheap.slowdown.alam).toBe(21);
    expect({ ...cheap, slowdown: null }).toEqual({ ...metrics, slowdown: null });
  });

  it('is nothing for a run of nothing', () => {
    expect(slowdownOf({ walkCycles: 0, stlbMisses: 0, stlbHits: 0 }, 0, runtimeCost())).toEqual({
      linear: 0,
      alam: 0,
      pham: 0,
    });
  });
});

describe('run times of a comparison', () => {
  const cell = (mode: 'native' | 'nested', guestPage: '4KiB' | '2MiB', misses: number, refs: number) => ({
    mode,
    guestPage,
    result: resultWith(misses, refs, mode === 'nested' ? refs : 0, { mode, guestPage }),
  });
  // R = 17,000 + 0.62 x 200 x references: 29,400 natively, 18,240 with 2 MiB, 41,800 nested.
  const cells = [
    cell('native', '4KiB', 50, 100),
    cell('native', '2MiB', 5, 10),
    cell('nested', '4KiB', 50, 100),
  ];

  it('models of misses see no longer walks, models of walk cycles do', () => {
    const { models, relative } = compareRuntimes(cells)!;
    expect(relative[0].linear).toBe(1);
    expect(relative[1].linear).toBeCloseTo(18_240 / 29_400, 12);
    expect(relative[2].linear).toBeCloseTo(41_800 / 29_400, 12);
    expect(relative[2].basu).toBe(relative[0].basu);
    expect(relative[2].gandhi).toBe(relative[0].gandhi);
    // Alam: 40,000 + (18,240 - 2,000); Pham: 40,000 + 70 + (29,400 - 70 - 20,000); Yaniv's line is the linear model.
    expect(relative[2].alam).toBeCloseTo(56_240 / 29_400, 12);
    expect(relative[2].pham).toBeCloseTo(49_400 / 29_400, 12);
    expect(relative[2].yaniv).toBeCloseTo(41_800 / 29_400, 12);
    expect(models.yaniv!.slope).toBeCloseTo(0.62, 12);
    expect(models.yaniv!.baseCycles).toBeCloseTo(17_000, 8);
  });

  it('say nothing without both native runs, and leave Yaniv out where no walk differs', () => {
    expect(compareRuntimes(cells.slice(1))).toBeUndefined();
    expect(compareRuntimes([cells[0], cells[2]])).toBeUndefined();
    expect(compareRuntimes([])).toBeUndefined();
    const same = [cells[0], cell('native', '2MiB', 50, 100)];
    expect(compareRuntimes(same)!.relative[0]).toMatchObject({ yaniv: null, linear: 1, basu: 1 });
  });

  it('come with `compare` where it ran both', async () => {
    const input = { workload: 'uniform', footprint: '64MiB', accesses: 3000, seed: 1, machine: 'tiny' };
    const run = { engine: 'ts', workers: 1, nestedPages: ['4KiB'], cost: { walkers: 1 } } as const;
    const whole = await compare(input, { ...run, guestPages: ['4KiB', '2MiB'] });
    expect(whole.runtimes!.relative).toHaveLength(whole.cells.length);
    expect(whole.runtimes!.relative[0].linear).toBe(1);
    expect(whole.runtimes!.cost).toEqual({ ...DEFAULT_RUNTIME_COST, walkers: 1 });
    expect((await compare(input, { ...run, guestPages: ['4KiB'] })).runtimes).toBeUndefined();
    await expect(compare(input, { ...run, cost: { walkers: 0 } })).rejects.toThrow('walkers is 0');
  });
});
