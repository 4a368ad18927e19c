/** One scenario on one platform, in this thread. */
import { NestwalkError } from '../errors.ts';
import { buildHost, type HostOptions } from './build.ts';
import { type Checkpoint, PROGRESS_STEPS } from './host.ts';
import type { Parameters, ValuesOf } from './parameters.ts';
import type { Scenario } from './scenario.ts';
import { setupOf } from './setup.ts';

/** What a run is given beside the scenario: a host's options without what the scenario itself says. */
export type ExecuteOptions = Omit<HostOptions, 'setup'>;

/** What one run leaves: a counter block (src/schema.ts), events, and the rest as in `PlatformResult`. */
export interface ScenarioOutcome {
  counters: Float64Array;
  events: Record<string, number>;
  operations: number;
  checkpoints: Checkpoint[];
  tableBytes: { guest: number; nested: number; shadow: number };
  seconds: number;
  engine: 'native' | 'ts';
  tier: string;
  engineReason: string;
}

/** An error of a driver, its platform named; memory that ran out says what to give more of. */
function inScenario(name: string, platform: string, error: unknown): NestwalkError {
  const where = `Scenario ${name} on platform ${platform}`;
  if (!(error instanceof NestwalkError))
    return new NestwalkError(
      'scenario.failed',
      `${where} threw: ${(error as Error)?.message ?? String(error)}`,
      {
        cause: error,
      },
    );
  if (error.code === 'run.cancelled') return error;
  return new NestwalkError(error.code, `${where}: ${error.message}`, {
    cause: error,
    problems: error.problems,
  });
}

/**
 * Runs a scenario on one platform.
 * @throws NestwalkError what the driver's kernels and platforms threw, the platform named; `scenario.failed` when the
 *   driver itself threw; `run.cancelled`
 */
export async function executeScenario<P extends Parameters>(
  scenario: Scenario<P>,
  values: ValuesOf<P>,
  options: ExecuteOptions,
): Promise<ScenarioOutcome> {
  try {
    const setup = setupOf(scenario, values);
    const { host, tableBytes, engine, tier, engineReason } = buildHost({ ...options, setup });
    await scenario.run(host, values);
    const measured = host.measured();
    host.checkpoint('end');
    options.control.progress(PROGRESS_STEPS);
    return {
      ...measured,
      checkpoints: host.measured().checkpoints,
      tableBytes: tableBytes(),
      engine,
      tier,
      engineReason,
    };
  } catch (error) {
    throw inScenario(scenario.name, options.platform, error);
  }
}
