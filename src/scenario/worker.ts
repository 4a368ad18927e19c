/** What a pool's worker runs for scenarios: one platform, watched and stopped through shared words. */
import { SharedControl } from '../run/control.ts';
import { type Answer, answer } from '../run/worker.ts';
import { type ExecuteOptions, executeScenario, type ScenarioOutcome } from './execute.ts';
import { loadScenario } from './load.ts';
import { readParameters } from './parameters.ts';

/** A job for a worker: functions do not cross between threads, so a scenario comes by its name or file. */
export interface ScenarioJob {
  /** Name or path, as `loadScenario` takes it. */
  scenario: string;
  /** Values of its parameters. */
  values: Record<string, unknown>;
  /** As `executeScenario` takes them. */
  options: Omit<ExecuteOptions, 'control'>;
  /** Buffer of a `SharedControl`. */
  control: SharedArrayBuffer;
  /** This job's slot there. */
  slot: number;
}

/** Runs a job. */
export default function work(job: ScenarioJob): Promise<Answer<ScenarioOutcome>> {
  const control = new SharedControl(job.control).slot(job.slot);
  return answer(control, async () => {
    const scenario = await loadScenario(job.scenario);
    const values = readParameters(scenario.name, scenario.parameters, job.values);
    return executeScenario(scenario, values, { ...job.options, control });
  });
}
