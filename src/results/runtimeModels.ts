/**
 * Runtime models: from what was counted to cycles of run time. Pure functions over numbers; hardware counts, results price.
 *
 * The models of the literature are lines through what a program was measured to do with 4 KiB pages only and with 2 MiB
 * pages only: R, the cycles of its run time; C, its walk cycles; M, its STLB misses; H, its STLB hits. Forms and
 * calibrations are those that Mosmodel compares (Agbarya et al., MICRO 2020; artifact technion-csl/mosmodel), which finds
 * them wrong by 25 % to 192 % at worst. The papers: Basu et al., ISCA 2013; Gandhi et al., MICRO 2014; Pham et al., MICRO
 * 2015; Alam et al., ISCA 2017; Yaniv and Tsafrir, SIGMETRICS 2016.
 */
import { NestwalkError } from '../errors.ts';
import { columnSum } from './counters.ts';
import type { ByDimension, Result, Slowdown } from './types.ts';

/** What a runtime model reads of one run. */
export interface RuntimeSample {
  /** C: walk cycles of both dimensions. */
  walkCycles: number;
  /** M: look-ups that missed every TLB level. */
  stlbMisses: number;
  /** H: look-ups that missed the L1 and hit the STLB. */
  stlbHits: number;
}

/** A sample with the run time that goes with it. */
export interface RuntimeMeasurement extends RuntimeSample {
  /** R: cycles of the whole run. */
  runtimeCycles: number;
}

/** What the models are calibrated on: one program, measured twice. */
export interface RuntimeCalibration {
  /** With 4 KiB pages only. */
  pages4KiB: RuntimeMeasurement;
  /** With 2 MiB pages only. */
  pages2MiB: RuntimeMeasurement;
}

/** The published models, each called after its first author. */
export const RUNTIME_MODEL_NAMES = ['basu', 'gandhi', 'pham', 'alam', 'yaniv'] as const;
/** See {@link RUNTIME_MODEL_NAMES}. */
export type RuntimeModelName = (typeof RUNTIME_MODEL_NAMES)[number];

/** A calibrated model: `runtimeCycles = base + slope × what it reads`. */
export interface RuntimeModel {
  /** Which model. */
  name: RuntimeModelName;
  /** A: cycles a unit of what the model reads (a miss, or a walk cycle). */
  slope: number;
  /** B: cycles of the run without what the model reads. */
  baseCycles: number;
}

/** STLB hit penalty of Pham et al., in cycles. It is the model's, whatever `stlbLatency` the simulated machine has. */
const PHAM_HIT_CYCLES = 7;

const per = (count: number, of: number): number => (of === 0 ? 0 : count / of);

/** What each model reads of a sample, in units of its slope, and the rest that it takes at a fixed price, in cycles. */
const READS: Record<RuntimeModelName, (sample: RuntimeSample) => { units: number; restCycles: number }> = {
  basu: ({ stlbMisses }) => ({ units: stlbMisses, restCycles: 0 }),
  gandhi: ({ stlbMisses }) => ({ units: stlbMisses, restCycles: 0 }),
  pham: ({ walkCycles, stlbHits }) => ({ units: walkCycles, restCycles: PHAM_HIT_CYCLES * stlbHits }),
  alam: ({ walkCycles }) => ({ units: walkCycles, restCycles: 0 }),
  yaniv: ({ walkCycles }) => ({ units: walkCycles, restCycles: 0 }),
};

const CALIBRATIONS: Record<
  RuntimeModelName,
  (calibration: RuntimeCalibration) => Omit<RuntimeModel, 'name'> | undefined
> = {
  // R = A M + B, A = C4k / M4k, B = R4k - C4k.
  basu: ({ pages4KiB: small }) => ({
    slope: per(small.walkCycles, small.stlbMisses),
    baseCycles: small.runtimeCycles - small.walkCycles,
  }),
  // R = A M + B, A = C4k / M4k, B = R2m - C2m.
  gandhi: ({ pages4KiB: small, pages2MiB: large }) => ({
    slope: per(small.walkCycles, small.stlbMisses),
    baseCycles: large.runtimeCycles - large.walkCycles,
  }),
  // R = C + 7 H + B, B = R4k - 7 H4k - C4k.
  pham: ({ pages4KiB: small }) => ({
    slope: 1,
    baseCycles: small.runtimeCycles - PHAM_HIT_CYCLES * small.stlbHits - small.walkCycles,
  }),
  // R = C + B, B = R2m - C2m.
  alam: ({ pages2MiB: large }) => ({ slope: 1, baseCycles: large.runtimeCycles - large.walkCycles }),
  // R = A C + B, the line through both points.
  yaniv: ({ pages4KiB: small, pages2MiB: large }) => {
    if (small.walkCycles === large.walkCycles) return undefined;
    const slope = (small.runtimeCycles - large.runtimeCycles) / (small.walkCycles - large.walkCycles);
    return { slope, baseCycles: small.runtimeCycles - slope * small.walkCycles };
  },
};

/**
 * Calibrates a model.
 * @returns the model; `undefined` for `yaniv` where both measurements have as many walk cycles, so that there is no line
 * @throws {NestwalkError} `usage` for a measurement with a number that is negative or not finite
 */
export function calibrateModel(
  name: RuntimeModelName,
  calibration: RuntimeCalibration,
): RuntimeModel | undefined {
  for (const pages of ['pages4KiB', 'pages2MiB'] as const)
    for (const [field, value] of Object.entries(calibration[pages]))
      checkNumber(`${pages}.${field}`, value as number, value >= 0, 'a number from 0');
  const line = CALIBRATIONS[name](calibration);
  return line && { name, ...line };
}

/** Cycles of run time that a calibrated model foresees for a run of the same program. */
export function predictRuntime(model: RuntimeModel, sample: RuntimeSample): number {
  const { units, restCycles } = READS[model.name](sample);
  return model.baseCycles + model.slope * units + restCycles;
}

/** What run time is made of beside the walks: what a simulation without a clock cannot know, and has to be told. */
export interface RuntimeCost {
  /** Cycles of run time that an access takes beside translation: instructions around it, data caches, all of it. */
  baseCyclesPerAccess: number;
  /** Cycles of run time that one more walk cycle costs, above 0 and below 1. The others pass while other work is done. */
  overlapFactor: number;
  /** Walks that the machine can do at a time. However well they overlap, C walk cycles take C / `walkers` cycles. */
  walkers: number;
}

/**
 * Marginal run time of a walk cycle: (R virtual - R native) / (C virtual - C native) from the performance counters that
 * the artifact of vMitosis has (Panwar et al., ASPLOS 2021; Cascade Lake, tables local; 4K: 4 KiB pages, THP: huge pages
 * in guest and host).
 */
export const MEASURED_OVERLAP_FACTORS: Readonly<Record<string, number>> = {
  'GUPS 4K': 0.52,
  'GUPS THP': 0.38,
  'BTree 4K': 0.8,
  'Canneal 4K': 0.62,
  'Canneal THP': 0.6,
  'XSBench 4K': 0.84,
  'XSBench THP': 0.72,
};

/**
 * What is assumed where nobody says otherwise.
 * - `overlapFactor` 0.62: the median of {@link MEASURED_OVERLAP_FACTORS}.
 * - `walkers` 2: as on the machine that they were measured on (and since Broadwell).
 * - `baseCyclesPerAccess` 17: the median of what {@link baseCycles} gives for GUPS, BTree, canneal and XSBench on
 *   `skylake-sp`, native, 4 KiB pages, at published footprints, with the walk cycles a cycle and the factors that were
 *   measured for them: 12, 12, 26 and 22. A rough number: compare configurations of one workload by it, not workloads.
 */
export const DEFAULT_RUNTIME_COST: Readonly<RuntimeCost> = {
  baseCyclesPerAccess: 17,
  overlapFactor: 0.62,
  walkers: 2,
};

/**
 * Fills a cost up with {@link DEFAULT_RUNTIME_COST}.
 * @throws {NestwalkError} `usage` for base cycles that are not above 0, an overlap factor that is not between 0 and 1, or
 *   a number of walkers that is no whole number from 1
 */
export function runtimeCost(given: Partial<RuntimeCost> = {}): RuntimeCost {
  const cost = { ...DEFAULT_RUNTIME_COST, ...given };
  const { baseCyclesPerAccess, overlapFactor, walkers } = cost;
  checkNumber('baseCyclesPerAccess', baseCyclesPerAccess, baseCyclesPerAccess > 0, 'a number above 0');
  checkNumber(
    'overlapFactor',
    overlapFactor,
    overlapFactor > 0 && overlapFactor < 1,
    'a number above 0 and below 1; the model that exposes every walk cycle is alam',
  );
  checkNumber('walkers', walkers, Number.isInteger(walkers) && walkers > 0, 'a whole number from 1');
  return cost;
}

function checkNumber(name: string, value: number, sound: boolean, allowed: string): void {
  if (Number.isFinite(value) && sound) return;
  throw new NestwalkError('usage', `${name} is ${value}; it must be ${allowed}`);
}

/**
 * The linear model: R = B + overlap factor × C, and never less than the walkers need for C.
 * @param baseCycles B, cycles of the run beside translation
 * @param cost whole, from {@link runtimeCost}
 */
export function linearRuntime(baseCycles: number, walkCycles: number, cost: RuntimeCost): number {
  return Math.max(baseCycles + cost.overlapFactor * walkCycles, walkCycles / cost.walkers);
}

/**
 * Base cycles of a program of which it is known how large a part of its native run time walks were: B = C / w - factor × C.
 * With it the linear model gives for the same run that run time, and for other runs what they would have taken.
 * @param walkCycles C of the simulated native run
 * @param walkCyclesPerCycle w, measured: walk cycles a cycle of run time, of all walkers (`walk_pending` / `cycles`)
 * @throws {NestwalkError} `usage` where walks alone would take longer than the run did
 */
export function baseCycles(walkCycles: number, walkCyclesPerCycle: number, overlapFactor: number): number {
  checkNumber('walkCyclesPerCycle', walkCyclesPerCycle, walkCyclesPerCycle > 0, 'a number above 0');
  const base = walkCycles / walkCyclesPerCycle - overlapFactor * walkCycles;
  if (base >= 0) return base;
  throw new NestwalkError(
    'usage',
    `${walkCyclesPerCycle} walk cycles a cycle, each exposed to ${overlapFactor}, are more than the whole run: give a smaller overlap factor`,
  );
}

/** Walk cycles a cycle of run time: how many walkers were busy on average, for each dimension and in all. */
export const walkerLoad = (walkCycles: ByDimension, runtimeCycles: number): ByDimension => ({
  guest: per(walkCycles.guest, runtimeCycles),
  nested: per(walkCycles.nested, runtimeCycles),
  total: per(walkCycles.total, runtimeCycles),
});

/**
 * Holds walk cycles of both dimensions against what so many walkers can do: counts that are disjoint never come to more
 * than `walkers` a cycle (1.91 at most, on two, in the 202 logs of the artifact of vMitosis).
 * @returns the {@link walkerLoad}
 * @throws {NestwalkError} `usage` when they are more
 */
export function checkWalkerLoad(
  walkCycles: ByDimension,
  runtimeCycles: number,
  walkers: number,
): ByDimension {
  const load = walkerLoad(walkCycles, runtimeCycles);
  // A run time that is exactly what the walkers need may be off by a rounding.
  if (load.total <= walkers * (1 + 2 ** -40)) return load;
  throw new NestwalkError(
    'usage',
    `${walkCycles.total} walk cycles in ${runtimeCycles} cycles keep ${load.total.toFixed(2)} walkers busy, but there are ${walkers}: ` +
      'a longer run time, or more walkers',
  );
}

/**
 * What a single run says of its run time, against one in which translation costs nothing (R / B). Without a second run
 * there is nothing to calibrate on, so B is assumed: accesses × `baseCyclesPerAccess`.
 * - linear: {@link linearRuntime}
 * - alam: B + C, every walk cycle exposed; what Basu's and Gandhi's models give too when they are calibrated on this run
 * - pham: B + C + 7 H
 */
export function slowdownOf(sample: RuntimeSample, accesses: number, cost: RuntimeCost): Slowdown {
  const base = accesses * cost.baseCyclesPerAccess;
  const of = (name: 'alam' | 'pham'): number =>
    per(predictRuntime({ name, slope: 1, baseCycles: base }, sample), base);
  return {
    linear: per(linearRuntime(base, sample.walkCycles, cost), base),
    alam: of('alam'),
    pham: of('pham'),
  };
}

/** The sample of a run. */
export const sampleOf = ({ counters, metrics }: Pick<Result, 'counters' | 'metrics'>): RuntimeSample => ({
  walkCycles: metrics.walkCycles.total,
  stlbMisses: counters.stlbMisses,
  stlbHits: columnSum(counters.stlbHits),
});

/**
 * Amdahl's law on the share of walks, as SagePTE and DMT go from faster walks to a faster program: 1 / ((1 - f) + f / s).
 * It takes every walk cycle for lost time, so it promises rather much.
 * @param walkShare f, share of the run time that walks take, 0 to 1
 * @param walkSpeedUp s, how many times faster the walks get; below 1 they get slower
 * @returns how many times faster the program gets
 * @throws {NestwalkError} `usage` for a share outside 0 to 1, or a speed-up that is not above 0
 */
export function amdahl(walkShare: number, walkSpeedUp: number): number {
  checkNumber('walkShare', walkShare, walkShare >= 0 && walkShare <= 1, 'a number from 0 to 1');
  checkNumber('walkSpeedUp', walkSpeedUp, walkSpeedUp > 0, 'a number above 0');
  return 1 / (1 - walkShare + walkShare / walkSpeedUp);
}

/** One run of a comparison, as far as run times go. */
export interface RuntimeCell {
  /** Paging mode; `native` runs calibrate. */
  mode: string;
  /** Page size of the guest's, or only, table. */
  guestPage: string;
  /** What the run gave. */
  result: Pick<Result, 'counters' | 'metrics'>;
}

/** Run times of several runs of one workload by every model, in units of the native run with 4 KiB pages. */
export interface RuntimeComparison {
  /** What was assumed. */
  cost: RuntimeCost;
  /** The models as calibrated; `null` where there is no line (see {@link calibrateModel}). */
  models: Record<RuntimeModelName, RuntimeModel | null>;
  /** For each run, in order: R by each model / R of the native run with 4 KiB pages by the linear model. */
  relative: Record<RuntimeModelName | 'linear', number | null>[];
}

/**
 * Run times of the runs of a comparison. The linear model prices each run; its native ones with 4 KiB and with 2 MiB
 * pages stand for the measurements on which the published models are calibrated, which then foresee all runs. So it
 * shows what each of them would have said of virtualisation, had it been calibrated on that machine without it: models of
 * misses do not see that a nested walk is longer.
 * @returns `undefined` where one of the two native runs is missing, or nothing was accessed
 */
export function compareRuntimes(
  cells: readonly RuntimeCell[],
  given?: Partial<RuntimeCost>,
): RuntimeComparison | undefined {
  const cost = runtimeCost(given);
  const measure = (cell: RuntimeCell): RuntimeMeasurement => {
    const sample = sampleOf(cell.result);
    const base = cell.result.counters.accesses * cost.baseCyclesPerAccess;
    const runtimeCycles = linearRuntime(base, sample.walkCycles, cost);
    checkWalkerLoad(cell.result.metrics.walkCycles, runtimeCycles, cost.walkers);
    return { ...sample, runtimeCycles };
  };
  const native = (page: string): RuntimeCell | undefined =>
    cells.find(({ mode, guestPage }) => mode === 'native' && guestPage === page);
  const [small, large] = [native('4KiB'), native('2MiB')];
  if (!small || !large || small.result.counters.accesses === 0) return undefined;
  const calibration = { pages4KiB: measure(small), pages2MiB: measure(large) };
  const models = Object.fromEntries(
    RUNTIME_MODEL_NAMES.map((name) => [name, calibrateModel(name, calibration) ?? null]),
  ) as RuntimeComparison['models'];
  const unit = calibration.pages4KiB.runtimeCycles;
  const relative = cells.map((cell) => {
    const measured = measure(cell);
    const foreseen = RUNTIME_MODEL_NAMES.map((name) => {
      const model = models[name];
      return [name, model && predictRuntime(model, measured) / unit];
    });
    return { linear: measured.runtimeCycles / unit, ...Object.fromEntries(foreseen) };
  });
  return { cost, models, relative };
}
