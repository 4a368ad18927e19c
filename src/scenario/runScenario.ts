/** Runs a scenario on its platforms, beside each other where there are workers, and prices what they did. */
import { availableParallelism } from 'node:os';
import { resolveConfig } from '../config/resolve.ts';
import type { MachineConfig, ResolvedConfig } from '../config/resolved.ts';
import type { ConfigInput } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { parsePageSize, parseSeed } from '../config/units.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { LEDGER, LEDGER_CAUSES } from '../hypervisor/ledger.ts';
import { type CostPreset, costsOfMachine } from '../machines/costs.ts';
import { costsNamed, splitCycles, unverifiedFigures } from '../results/costs.ts';
import { countersFromBlock } from '../results/counters.ts';
import type { RunOptions } from '../results/types.ts';
import { SharedControl, watch } from '../run/control.ts';
import { WorkerPool } from '../run/pool.ts';
import { packageVersion } from '../run/simulate.ts';
import { type PageSize, SCHEMA_FINGERPRINT } from '../schema.ts';
import { scenarioConfig } from './build.ts';
import { type ExecuteOptions, executeScenario, type ScenarioOutcome } from './execute.ts';
import { PROGRESS_STEPS } from './host.ts';
import { checkScenario, loadScenario } from './load.ts';
import { type Parameters, type ParameterValue, readParameters } from './parameters.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIO_PLATFORMS, type ScenarioPlatform, setupOf } from './setup.ts';
import type { PlatformResult, ScenarioResult, ScenarioSweep } from './types.ts';
import type { ScenarioJob } from './worker.ts';

/** The machine of a scenario that names none. */
const DEFAULT_MACHINE = 'skylake-sp';
/** Entries of a hypercall where nothing else is said: Linux's MC_BATCH (arch/x86/xen/multicalls.c). */
const DEFAULT_BATCH = 32;
const LARGEST_BATCH = 2 ** 20;

/** What is to be run, beside the scenario itself. Everything may be left out. */
export interface ScenarioSettings {
  /** Values of parameters, as numbers or as text (`64MiB`, `1e6`, `on`). */
  parameters?: Readonly<Record<string, unknown>>;
  /** Platforms, in the order of the result; default: all. */
  platforms?: readonly string[];
  /** Cost preset by its name, or one of your own; default: that of the machine's generation. */
  costs?: string | CostPreset;
  /** A machine's name, or a machine as a configuration has it; default: that of the costs' generation, else `skylake-sp`. */
  machine?: ConfigInput['machine'];
  /** Page size of the host; default `4KiB`. */
  hostPage?: PageSize;
  /** Updates that a hypercall of a paravirtual guest carries at the most; default 32. */
  batch?: number;
  /** Seed of every random choice; default 1. */
  seed?: number | string;
}

/** A scenario to run: one that is built in or in a file by `name`, or the `scenario` itself. */
export type ScenarioRequest = ScenarioSettings &
  (
    | {
        /** Name of a built-in scenario, or path of a file. */
        name: string;
      }
    | {
        /** A scenario of one's own. It runs in the caller's thread. */
        // biome-ignore lint/suspicious/noExplicitAny: parameters of any kind
        scenario: Scenario<any>;
      }
  );

/** How far a scenario is, in platforms. */
export interface ScenarioProgress {
  /** Platforms done, with the parts done of those that run. */
  done: number;
  /** Platforms to run. */
  total: number;
}

/** How it is to be run; nothing here changes a result. */
export interface ScenarioOptions extends Pick<RunOptions, 'engine' | 'signal'> {
  /** Threads; `auto` is one for each core, 0 the caller's own thread. */
  workers?: number | 'auto';
  /** Told ten times a second how far it is. It must not throw. */
  onProgress?: (progress: ScenarioProgress) => void;
}

/** A request with everything looked up and checked. */
interface Plan {
  scenario: Scenario;
  /** How a worker finds the scenario; absent for one that cannot cross between threads. */
  source: string | undefined;
  values: Record<string, ParameterValue>;
  platforms: ScenarioPlatform[];
  costs: CostPreset;
  machine: MachineConfig;
  hostPage: PageSize;
  batch: number;
  seed: number | string;
}

/**
 * The platforms of these names, each once.
 * @throws NestwalkError `usage` for a name that is none, or for none at all
 */
export function platformsNamed(names: readonly string[]): ScenarioPlatform[] {
  const known: readonly string[] = SCENARIO_PLATFORMS;
  for (const name of names)
    if (!known.includes(name))
      throw new NestwalkError(
        'usage',
        `${name || '(nothing)'} is no platform${didYouMean(name, known) || `; there are ${known.join(', ')}`}`,
      );
  if (names.length === 0)
    throw new NestwalkError('usage', `no platform is named; there are ${known.join(', ')}`);
  return [...new Set(names)] as ScenarioPlatform[];
}

/**
 * The machine of a request. The programs' own accesses go through the caches unless it says otherwise: else page tables
 * would have these to themselves, and a miss of the TLB would cost less than it should.
 * @throws NestwalkError `config.invalid`
 */
function machineOf(input: ConfigInput['machine']): MachineConfig {
  const { config } = resolveConfig({
    workload: 'uniform',
    footprint: '4KiB',
    accesses: 1,
    seed: 1,
    machine: typeof input === 'object' ? input : { preset: input ?? DEFAULT_MACHINE },
    paging: { mode: 'nested' },
  });
  const said = typeof input === 'object' && input.dataThroughCaches !== undefined;
  return said ? config.machine : { ...config.machine, dataThroughCaches: true };
}

function batchOf(given: number | undefined): number {
  const batch = given ?? DEFAULT_BATCH;
  if (Number.isInteger(batch) && batch >= 1 && batch <= LARGEST_BATCH) return batch;
  throw new NestwalkError(
    'usage',
    `a batch of ${batch} is none: give a whole number from 1 to ${LARGEST_BATCH}`,
  );
}

/** Looks everything up that a request names. @throws NestwalkError `usage`, `config.invalid`, `scenario.file` */
async function planOf(request: ScenarioRequest): Promise<Plan> {
  const own = 'scenario' in request;
  const scenario = own ? checkScenario(request.scenario, 'what was given') : await loadScenario(request.name);
  const { costs: wanted } = request;
  const named = typeof wanted === 'string' ? costsNamed(wanted) : wanted;
  const machine = machineOf(request.machine ?? named?.machine);
  return {
    scenario,
    source: own ? undefined : request.name,
    values: readParameters<Parameters>(scenario.name, scenario.parameters, request.parameters ?? {}),
    platforms: platformsNamed(request.platforms ?? scenario.platforms ?? SCENARIO_PLATFORMS),
    costs: named ?? costsOfMachine(machine.preset),
    machine,
    hostPage: parsePageSize(request.hostPage ?? '4KiB'),
    batch: batchOf(request.batch),
    seed: parseSeed(request.seed ?? 1),
  };
}

/** What a worker or this thread is given for one platform. */
const optionsOf = (plan: Plan, platform: ScenarioPlatform, engine: EngineRequest) => ({
  platform,
  machine: plan.machine,
  hostPage: plan.hostPage,
  batch: plan.batch,
  seed: plan.seed,
  engine,
});

/** One platform of one plan. */
interface Task {
  plan: Plan;
  platform: ScenarioPlatform;
}

/** The worker's file has the ending of this one, so that sources, `dist` and tests each find their own. */
const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const WORKER_FILE = new URL(`./worker${ending}`, import.meta.url);

/** Runs tasks in this thread, one after the other. */
async function runHere(
  tasks: readonly Task[],
  engine: EngineRequest,
  options: ScenarioOptions,
): Promise<ScenarioOutcome[]> {
  const outcomes: ScenarioOutcome[] = [];
  for (const { plan, platform } of tasks) {
    const control: ExecuteOptions['control'] = {
      progress: (steps) =>
        options.onProgress?.({ done: outcomes.length + steps / PROGRESS_STEPS, total: tasks.length }),
      cancelled: () => options.signal?.aborted ?? false,
    };
    outcomes.push(
      await executeScenario(plan.scenario, plan.values, { ...optionsOf(plan, platform, engine), control }),
    );
  }
  return outcomes;
}

/** Runs tasks in workers. */
async function runInWorkers(
  tasks: readonly Task[],
  engine: EngineRequest,
  workers: number,
  options: ScenarioOptions,
): Promise<ScenarioOutcome[]> {
  const { signal, onProgress } = options;
  const control = new SharedControl(tasks.length);
  const unwatch = watch(control, {
    ...(signal ? { signal } : {}),
    onDone: (steps) => onProgress?.({ done: steps / PROGRESS_STEPS, total: tasks.length }),
  });
  const pool = new WorkerPool(workers, { workerFile: WORKER_FILE, ...(signal ? { signal } : {}) });
  try {
    const running = tasks.map(({ plan, platform }, slot) => {
      const job: ScenarioJob = {
        scenario: plan.source!,
        values: plan.values,
        options: optionsOf(plan, platform, engine),
        control: control.buffer,
        slot,
      };
      return pool.ask<ScenarioOutcome>(job);
    });
    // The first failure stops the others, which then say that they were stopped: that is no reason.
    for (const task of running) task.catch(() => control.cancel());
    const settled = await Promise.allSettled(running);
    const failures = settled.flatMap((it) => (it.status === 'rejected' ? [it.reason as NestwalkError] : []));
    const failure = failures.find(({ code }) => code !== 'run.cancelled') ?? failures[0];
    if (failure) throw failure;
    return settled.map((it) => (it as PromiseFulfilledResult<ScenarioOutcome>).value);
  } finally {
    control.cancel();
    unwatch();
    await pool.close();
  }
}

/** Machine and paging that a platform of a plan had. */
const configOf = (plan: Plan, platform: ScenarioPlatform): ResolvedConfig =>
  scenarioConfig({ ...optionsOf(plan, platform, 'auto'), setup: setupOf(plan.scenario, plan.values) });

function platformResult(plan: Plan, platform: ScenarioPlatform, outcome: ScenarioOutcome): PlatformResult {
  const { events, operations, checkpoints, tableBytes, seconds, engine, tier, engineReason } = outcome;
  const config = configOf(plan, platform);
  const counters = countersFromBlock(
    outcome.counters,
    config.machine.caches.map(({ name }) => name),
  );
  const done = counters.accesses + Object.values(events).reduce((sum, count) => sum + count, 0);
  return {
    platform,
    counters,
    ledger: { events },
    cycles: splitCycles({ counters, events, config }, plan.costs),
    exits: Object.fromEntries(
      LEDGER_CAUSES.filter((cause) => LEDGER[cause].kind === 'exit').map((cause) => [
        cause,
        events[cause] ?? 0,
      ]),
    ),
    tableBytes,
    operations,
    checkpoints,
    provenance: {
      engine,
      tier,
      engineReason,
      seconds,
      eventsPerSecond: seconds > 0 ? done / seconds : 0,
    },
  };
}

/** Whether all have the same checkpoints. */
const allAlike = (platforms: readonly PlatformResult[]): boolean =>
  new Set(platforms.map(({ checkpoints }) => JSON.stringify(checkpoints))).size <= 1;

function resultOf(plan: Plan, outcomes: readonly ScenarioOutcome[]): ScenarioResult {
  const { scenario, costs, machine, hostPage, batch, seed } = plan;
  const { memoryBytes, guests = 1, vcpus = 1 } = setupOf(scenario, plan.values);
  const platforms = plan.platforms.map((platform, index) => platformResult(plan, platform, outcomes[index]!));
  const unverified = new Set(
    platforms.flatMap(({ platform, ledger, counters }) =>
      unverifiedFigures(ledger.events, configOf(plan, platform), costs, counters.accesses),
    ),
  );
  return {
    kind: 'scenario',
    schema: SCHEMA_FINGERPRINT,
    version: packageVersion(),
    name: scenario.name,
    title: scenario.title,
    operation: scenario.operation,
    claim: scenario.claim ?? null,
    parameters: plan.values,
    kinds: Object.fromEntries(Object.entries(scenario.parameters).map(([key, { kind }]) => [key, kind])),
    guests: { memoryBytes, count: guests, vcpus },
    seed,
    costs,
    unverified: Object.keys(costs.figures).filter((name) => unverified.has(name as never)),
    machine,
    hostPage,
    batch,
    sameMemory: allAlike(platforms),
    platforms,
  };
}

/** Runs plans, all platforms of all of them as one set of tasks. */
async function runPlans(plans: readonly Plan[], options: ScenarioOptions): Promise<ScenarioResult[]> {
  const engine = options.engine ?? 'auto';
  // A missing or stale engine is told here, before a worker is started for it.
  chooseEngine(engine);
  const tasks = plans.flatMap((plan) => plan.platforms.map((platform): Task => ({ plan, platform })));
  const here = options.workers === 0 || plans.some(({ source }) => source === undefined);
  const { workers: wanted = 'auto' } = options;
  const workers = Math.min(tasks.length, wanted === 'auto' ? availableParallelism() : wanted);
  const outcomes = here
    ? await runHere(tasks, engine, options)
    : await runInWorkers(tasks, engine, workers, options);
  let at = 0;
  return plans.map((plan) => {
    const own = outcomes.slice(at, at + plan.platforms.length);
    at += plan.platforms.length;
    return resultOf(plan, own);
  });
}

/**
 * Runs a scenario on its platforms.
 * @throws NestwalkError `usage` for an unknown scenario, platform or cost preset; `config.invalid` for an unknown
 *   parameter or an impossible value, all at once; `scenario.file`; `memory.full` when a guest runs out of memory;
 *   `scenario.failed` when the driver threw; `run.cancelled` after `signal`
 */
export async function runScenario(
  request: ScenarioRequest,
  options: ScenarioOptions = {},
): Promise<ScenarioResult> {
  const [result] = await runPlans([await planOf(request)], options);
  return result!;
}

/** Combinations that a sweep of a scenario may have: each is run on every platform. */
const MOST_COMBINATIONS = 1000;

/** All combinations of values, the last name's running fastest. */
function combinations(vary: Readonly<Record<string, readonly unknown[]>>): Record<string, unknown>[] {
  return Object.entries(vary).reduce<Record<string, unknown>[]>(
    (rows, [name, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  );
}

/**
 * Runs a scenario with every combination of some parameters' values.
 * @param vary values by parameter, as numbers or as text
 * @throws NestwalkError as {@link runScenario}; `usage` for a parameter without values, or too many combinations
 */
export async function runScenarioSweep(
  request: ScenarioRequest,
  vary: Readonly<Record<string, readonly unknown[]>>,
  options: ScenarioOptions = {},
): Promise<ScenarioSweep> {
  const empty = Object.keys(vary).find((name) => vary[name]!.length === 0);
  if (empty !== undefined) throw new NestwalkError('usage', `${empty} is varied and has no values`);
  const rows = combinations(vary);
  if (rows.length > MOST_COMBINATIONS)
    throw new NestwalkError(
      'usage',
      `${rows.length} combinations are more than ${MOST_COMBINATIONS}: vary less`,
    );
  const plans: Plan[] = [];
  for (const row of rows)
    plans.push(await planOf({ ...request, parameters: { ...request.parameters, ...row } }));
  const results = await runPlans(plans, options);
  const [first] = results;
  return {
    kind: 'scenario-sweep',
    schema: SCHEMA_FINGERPRINT,
    name: first!.name,
    title: first!.title,
    vary: Object.fromEntries(
      Object.keys(vary).map((name) => [
        name,
        [...new Set(results.map(({ parameters }) => parameters[name]!))],
      ]),
    ),
    results,
  };
}
