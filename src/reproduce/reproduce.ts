/** Published claims against this simulator: experiments run once each, numbers read, verdicts given. */
import { didYouMean } from '../config/suggest.ts';
import { NestwalkError } from '../errors.ts';
import type { Result, RunOptions, RunProgress, WalkSteps } from '../results/types.ts';
import { packageVersion, simulate } from '../run/simulate.ts';
import { walkOnce } from '../run/walkOnce.ts';
import { runScenario } from '../scenario/runScenario.ts';
import type { ScenarioResult } from '../scenario/types.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';
import type {
  Claim,
  ClaimResult,
  Experiment,
  Outcomes as Read,
  Reproduction,
  Scale,
  TriedClaim,
} from './claim.ts';
import { CLAIMS } from './claims/index.ts';
import { experimentName, Outcomes } from './results.ts';
import { judge, untried } from './verdict.ts';

/** How far a reproduction is. */
export interface ReproduceProgress {
  /** Experiments done, of those that the claims chosen need, each once. */
  done: number;
  total: number;
  /** What runs now: claim and experiment. */
  label: string;
  /** How far its run is; absent where it is none, or has not begun. */
  run?: RunProgress;
}

/** What {@link reproduce} may be told. */
export interface ReproduceOptions extends Pick<RunOptions, 'engine' | 'workers' | 'signal'> {
  /** Default `quick`. */
  scale?: Scale;
  /** Folder that keeps what each experiment gave; the same call goes on with it. Nothing is kept without one. */
  folder?: string;
  /** Told how far it is. What it throws stops the reproduction, which then rejects with it. */
  onProgress?: (progress: ReproduceProgress) => void;
}

/**
 * The claims of these ids, or all.
 * @throws {NestwalkError} `usage` for an id that is none
 */
export function claimsNamed(ids: readonly string[]): Claim[] {
  if (ids.length === 0) return [...CLAIMS];
  const known = CLAIMS.map(({ id }) => id);
  return ids.map((id) => {
    const claim = CLAIMS.find((it) => it.id === id.toUpperCase());
    if (claim) return claim;
    throw new NestwalkError(
      'usage',
      `${id} is no claim${didYouMean(id.toUpperCase(), known) || `; there are ${known.join(', ')}`}`,
    );
  });
}

/** One experiment of a claim that is tried. */
interface Task {
  label: string;
  name: string;
  experiment: Experiment;
}

function tasksOf(claims: readonly Claim[], scale: Scale): Task[] {
  const tasks = new Map<string, Task>();
  for (const { id, trial } of claims) {
    if (!('experiments' in trial)) continue;
    for (const [key, experiment] of Object.entries(trial.experiments(scale))) {
      const name = experimentName(experiment);
      if (!tasks.has(name)) tasks.set(name, { label: `${id} ${key}`, name, experiment });
    }
  }
  return [...tasks.values()];
}

/** Runs an experiment. */
async function run(
  experiment: Experiment,
  options: ReproduceOptions,
  onProgress: RunOptions['onProgress'],
): Promise<unknown> {
  const { engine, workers, signal } = options;
  const shared = {
    ...(engine ? { engine } : {}),
    ...(workers !== undefined ? { workers } : {}),
    ...(signal ? { signal } : {}),
  };
  if (experiment.kind === 'run') {
    const { counters, metrics, config, ledger, schema } = await simulate(
      { seed: 1, ...experiment.config },
      { ...shared, onProgress },
    );
    return { counters, metrics, config, ledger, schema };
  }
  if (experiment.kind === 'walk') {
    const { config, address, warm } = experiment;
    return walkOnce(config, address, {
      ...(warm === undefined ? {} : { warm }),
      ...(signal ? { signal } : {}),
    });
  }
  return runScenario(experiment.scenario, shared);
}

/** What a claim reads its numbers from. */
function outcomesOf(experiments: Record<string, Experiment>, outcomes: Outcomes, id: string): Read {
  const at = (name: string, kind: Experiment['kind']): unknown => {
    const experiment = experiments[name];
    if (experiment?.kind !== kind) throw new TypeError(`claim ${id} has no ${kind} named ${name}`);
    return outcomes.get(experimentName(experiment))!.value;
  };
  return {
    run: (name) => at(name, 'run') as Result,
    walk: (name) => at(name, 'walk') as WalkSteps,
    scenario: (name) => {
      const { platforms } = at(name, 'scenario') as ScenarioResult;
      return Object.fromEntries(platforms.map((result) => [result.platform, result]));
    },
  };
}

function resultOf(claim: Claim, trial: TriedClaim, outcomes: Outcomes, scale: Scale): ClaimResult {
  const experiments = trial.experiments(scale);
  const names = new Set(Object.values(experiments).map(experimentName));
  const seconds = [...names].reduce((sum, name) => sum + outcomes.get(name)!.seconds, 0);
  return judge(claim, trial.read(outcomesOf(experiments, outcomes, claim.id)), seconds);
}

/**
 * Tries published claims.
 * @param ids `C01`…; all where there are none
 * @throws {NestwalkError} `usage` for an id that is none; `run.cancelled` (with a folder: what was done is kept); whatever
 * `simulate`, `walk` and `runScenario` throw
 */
export async function reproduce(
  ids: readonly string[] = [],
  options: ReproduceOptions = {},
): Promise<Reproduction> {
  const { scale = 'quick', folder, onProgress } = options;
  const claims = claimsNamed(ids);
  const outcomes = new Outcomes(folder);
  const tasks = tasksOf(claims, scale);
  for (const [done, { label, name, experiment }] of tasks.entries()) {
    const progress = { done, total: tasks.length, label };
    onProgress?.(progress);
    if (outcomes.get(name)) continue;
    const begun = performance.now();
    const value = await run(experiment, options, onProgress && ((run) => onProgress({ ...progress, run })));
    outcomes.put(name, { value, seconds: (performance.now() - begun) / 1000 });
  }
  onProgress?.({ done: tasks.length, total: tasks.length, label: 'done' });
  return {
    kind: 'reproduce',
    schema: SCHEMA_FINGERPRINT,
    version: packageVersion(),
    scale,
    claims: claims.map((claim): ClaimResult => {
      const { trial } = claim;
      if ('notModelled' in trial) return untried(claim, 'not modelled', trial.notModelled);
      if ('heldByTest' in trial) return untried(claim, 'held by test', trial.heldByTest);
      return resultOf(claim, trial, outcomes, scale);
    }),
  };
}
