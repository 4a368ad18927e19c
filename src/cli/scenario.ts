/** `nestwalk scenario`: a scenario on every platform, its parameters as flags. */
import { Command, Option } from 'commander';
import { parseCount, parsePageSize, parseSeed } from '../config/units.ts';
import { NestwalkError } from '../errors.ts';
import { renderScenario, renderScenarioSweep } from '../report/scenario.ts';
import { styleFor } from '../report/table.ts';
import { loadScenario } from '../scenario/load.ts';
import { allowedText, type Parameter, valueText } from '../scenario/parameters.ts';
import {
  runScenario,
  runScenarioSweep,
  type ScenarioOptions,
  type ScenarioRequest,
} from '../scenario/runScenario.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { SCENARIO_PLATFORMS } from '../scenario/setup.ts';
import type { PageSize } from '../schema.ts';
import { addRunFlags, type RunFlags, reader } from './options.ts';
import { note, print, showProgress } from './streams.ts';

/** Flags beside the parameters. */
interface ScenarioFlags extends RunFlags {
  platforms?: string[];
  costs?: string;
  machine?: string;
  hostPage?: PageSize;
  batch?: number;
  seed?: number | string;
  vary?: Record<string, string[]>;
  json?: boolean;
}

/** `childWrites` as a flag: `--child-writes`. */
const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** What stands for a parameter's value in `--help`. */
const PLACEHOLDERS: Readonly<Record<Parameter['kind'], string>> = {
  count: '<count>',
  bytes: '<bytes>',
  number: '<number>',
  choice: '<word>',
  flag: '[on|off]',
};

const list = (value: string): string[] => value.split(',').map((part) => part.trim());

/** Collects `--vary name=value,value`, however often it is given. */
function varied(value: string, before: Record<string, string[]> = {}): Record<string, string[]> {
  const at = value.indexOf('=');
  if (at < 1)
    throw new NestwalkError(
      'usage',
      `--vary ${value}: write a parameter and its values, as in changes=0,10,100`,
    );
  const name = value.slice(0, at).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return { ...before, [name]: list(value.slice(at + 1)) };
}

/** The command of one scenario: its parameters as flags, then those of all scenarios. */
function commandOf(scenario: Scenario, source: string, signal: AbortSignal): Command {
  const command = new Command(`nestwalk scenario ${source}`)
    .exitOverride()
    .showHelpAfterError('(--help shows the parameters)');
  command.description(scenario.title);
  for (const [name, parameter] of Object.entries(scenario.parameters))
    command.addOption(
      new Option(
        `${flagOf(name)} ${PLACEHOLDERS[parameter.kind]}`,
        `${parameter.about}: ${allowedText(parameter)} (default: ${valueText(parameter.kind, parameter.default)})`,
      ),
    );
  const platforms = (scenario.platforms ?? SCENARIO_PLATFORMS).join(',');
  command
    .option('--platforms <names>', `platforms, with commas (default: ${platforms})`, list)
    .option('--costs <name>', 'cost preset (see: nestwalk list costs; default: the machine’s generation)')
    .option(
      '--machine <name>',
      'a machine (see: nestwalk list machines; default: of the costs, or skylake-sp)',
    )
    .option(
      '--host-page <size>',
      'page size of the host: 4KiB, 2MiB, 1GiB (default: 4KiB)',
      reader(parsePageSize),
    )
    .option('--batch <count>', 'updates of a paravirtual guest’s hypercall (default: 32)', reader(parseCount))
    .option('--seed <seed>', 'seed, a number or 0x… of up to 64 bits (default: 1)', reader(parseSeed))
    .option(
      '--vary <parameter=values>',
      'several values of a parameter, with commas; may be given again',
      varied,
    );
  return addRunFlags(command).action(async (flags: ScenarioFlags) => {
    await runAndPrint(scenario, source, flags, signal);
  });
}

/** What the flags ask for. */
function requestOf(scenario: Scenario, source: string, flags: ScenarioFlags): ScenarioRequest {
  const { platforms, costs, machine, hostPage, batch, seed } = flags;
  const given = Object.keys(scenario.parameters).map((name) => [name, flags[name as keyof ScenarioFlags]]);
  return {
    name: source,
    parameters: Object.fromEntries(given),
    ...(platforms && { platforms }),
    ...(costs !== undefined && { costs }),
    ...(machine !== undefined && { machine }),
    ...(hostPage && { hostPage }),
    ...(batch !== undefined && { batch }),
    ...(seed !== undefined && { seed }),
  };
}

/** What is varied: what the user says; else what the scenario does by itself, less what the user has set. */
function varyOf(scenario: Scenario, flags: ScenarioFlags): Record<string, readonly unknown[]> {
  if (flags.vary) return flags.vary;
  const own = Object.entries(scenario.vary ?? {}) as [string, readonly unknown[]][];
  return Object.fromEntries(own.filter(([name]) => flags[name as keyof ScenarioFlags] === undefined));
}

async function runAndPrint(
  scenario: Scenario,
  source: string,
  flags: ScenarioFlags,
  signal: AbortSignal,
): Promise<void> {
  const request = requestOf(scenario, source, flags);
  const vary = varyOf(scenario, flags);
  const show = showProgress(flags.quiet ?? false);
  const { engine, workers } = flags;
  const options: ScenarioOptions = {
    ...(engine && { engine }),
    ...(workers !== undefined && { workers }),
    signal,
    onProgress: ({ done, total }) => show.update({ done, total, accessesPerSecond: 0 }, `${scenario.name}: `),
  };
  const style = styleFor(process.stdout);
  try {
    if (Object.keys(vary).length > 0) {
      const sweep = await runScenarioSweep(request, vary, options);
      show.end();
      return await print(flags.json ? JSON.stringify(sweep, null, 2) : renderScenarioSweep(sweep, style));
    }
    const result = await runScenario(request, options);
    show.end();
    if (!flags.quiet && flags.costs === undefined)
      note(`note: costs of ${result.costs.name}, the generation of this machine; --costs takes another`);
    await print(flags.json ? JSON.stringify(result, null, 2) : renderScenario(result, style));
  } finally {
    show.end();
  }
}

/** Adds `scenario`. The program must have positional options, so that what follows the name is the scenario's. */
export function addScenarioCommand(program: Command, signal: AbortSignal): void {
  program
    .command('scenario')
    .argument(
      '<name>',
      'a scenario (see: nestwalk list scenarios), or a file with one of your own: ./mine.mjs',
    )
    .argument('[flags...]', 'its parameters, platforms, costs …: nestwalk scenario NAME --help')
    .passThroughOptions()
    .description(
      'software at work on every platform: one table of cycles by cause, exits by cause, table memory',
    )
    .addHelpText(
      'after',
      `
Examples:
  nestwalk scenario forkwait --costs pentium4-2005
  nestwalk scenario compile --platforms nested,shadow --kpti off
  nestwalk scenario consolidation --vary tags=on,off
  nestwalk scenario crossover
  nestwalk scenario ./mine.mjs --help`,
    )
    .action(async (name: string, rest: string[]) => {
      const scenario = await loadScenario(name);
      await commandOf(scenario, name, signal).parseAsync(rest, { from: 'user' });
    });
}
