/** What a scenario is: data about itself, and a driver that makes a guest's kernel and programs do something. */
import type { Host } from './host.ts';
import type { Parameters, ParameterValue, ValuesOf } from './parameters.ts';
import type { ScenarioPlatform, ScenarioSetup } from './setup.ts';

/** Which published claim a scenario speaks to. */
export interface ScenarioClaim {
  /** What was published, in a sentence. */
  readonly statement: string;
  /** Where. */
  readonly source: string;
}

/**
 * A scenario. `setup` and `run` are functions of the parameters alone, so that every platform and both engines see the
 * same; what is drawn at random is drawn from {@link Host.random}.
 */
export interface Scenario<P extends Parameters = Parameters> {
  /** Its name: letters, digits and hyphens. */
  readonly name: string;
  /** What it does, in a line. */
  readonly title: string;
  /** The published claim that it speaks to, where there is one. */
  readonly claim?: ScenarioClaim;
  /** What one operation is, in the singular: `fork and wait`. */
  readonly operation: string;
  /** What can be set; every one has a default. */
  readonly parameters: P;
  /** Platforms that it runs on where nobody names any; default: all. */
  readonly platforms?: readonly ScenarioPlatform[];
  /** Parameters that the command line varies unless the user gives them, with their values; see `runScenarioSweep`. */
  readonly vary?: { readonly [Name in keyof P]?: readonly ParameterValue[] };
  /** What it needs of its host. */
  setup(values: ValuesOf<P>): ScenarioSetup;
  /**
   * Drives the guests. Nothing before {@link Host.measure} is counted; without that call everything is.
   * @throws NestwalkError what kernels and platforms throw; it ends the run
   */
  run(host: Host, values: ValuesOf<P>): void | Promise<void>;
}

/**
 * A scenario, checked by the compiler: the driver sees each parameter with its type.
 *
 * @example
 * export default defineScenario({
 *   name: 'first-writes',
 *   title: 'a process writes to every page of its memory',
 *   operation: 'page',
 *   parameters: { pages: { kind: 'count', about: 'pages written', unit: 'pages', default: 1000, min: 1 } },
 *   setup: ({ pages }) => ({ memoryBytes: (pages + 64) * 4096 }),
 *   run(host, { pages }) {
 *     const { kernel } = host.guest;
 *     const process = kernel.createProcess({ regions: [{ pages }] });
 *     kernel.switchTo(0, process);
 *     host.measure();
 *     host.guest.touch(process, process.regions[0], { access: 'write' });
 *     host.operations(pages);
 *   },
 * });
 */
export const defineScenario = <const P extends Parameters>(scenario: Scenario<P>): Scenario<P> => scenario;
