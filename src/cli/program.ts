/** The commands: arguments in, a function of the library called, its result printed. No logic of their own. */
import { Command } from 'commander';
import { costsOfMachine } from '../machines/costs.ts';
import { chartWidth } from '../report/charts.ts';
import { renderComparison } from '../report/comparison.ts';
import { styleFor } from '../report/table.ts';
import { renderRun } from '../report/terminal.ts';
import { costsNamed, withCycles } from '../results/costs.ts';
import type { Result } from '../results/types.ts';
import { compare } from '../run/compare.ts';
import { packageVersion, simulate } from '../run/simulate.ts';
import type { PageSize } from '../schema.ts';
import { demo } from './demo.ts';
import { readConfig } from './input.ts';
import { addListCommand } from './lists.ts';
import { addConfigFlags, addRunFlags, type ConfigFlags, type RunFlags, readPageSizes } from './options.ts';
import { addReportCommand } from './report.ts';
import { addReproduceCommand } from './reproduce.ts';
import { addScenarioCommand } from './scenario.ts';
import { addServe } from './serve.ts';
import { note, print, showProgress } from './streams.ts';
import { addSweepCommands } from './sweep.ts';
import { addResultCommands } from './sweepResults.ts';
import { addTraceCommands } from './traces.ts';
import { addWalk } from './walk.ts';
import { addWorkloadCommands } from './workloads.ts';

interface Output extends RunFlags {
  json?: boolean;
}

const json = (value: unknown): string => JSON.stringify(value, null, 2);

/** Fields of the simulation's options that the flags give. */
const runOptions = ({ engine, workers }: RunFlags): Pick<RunFlags, 'engine' | 'workers'> => ({
  ...(engine && { engine }),
  ...(workers !== undefined && { workers }),
});

function configOf(file: string | undefined, flags: ConfigFlags & Output) {
  const { config, notes } = readConfig(file, flags);
  if (!flags.quiet) for (const line of notes) note(`note: ${line}`);
  return config;
}

/** Runs something long under a progress display. */
async function watched<Value>(
  quiet: boolean | undefined,
  work: (show: ReturnType<typeof showProgress>) => Promise<Value>,
): Promise<Value> {
  const show = showProgress(quiet ?? false);
  try {
    return await work(show);
  } finally {
    show.end();
  }
}

/**
 * A result with its cycles where the software did anything, or where the user asks for them: at the prices that he names,
 * or of the machine's generation, which a note tells him.
 */
function priced(result: Result, { costs: wanted, quiet }: { costs?: string; quiet?: boolean }): Result {
  const idle = Object.values(result.ledger.events).every((times) => times === 0);
  if (idle && wanted === undefined) return result;
  const costs = wanted === undefined ? costsOfMachine(result.config.machine.preset) : costsNamed(wanted);
  if (wanted === undefined && !quiet)
    note(`note: cycles at the costs of ${costs.name}; --costs takes others`);
  return withCycles(result, costs);
}

function addRun(program: Command, signal: AbortSignal): void {
  addRunFlags(addConfigFlags(program.command('run').argument('[config]', 'configuration file, YAML or JSON')))
    .option(
      '--costs <name>',
      'what software costs (see: nestwalk list costs; default: the machine’s generation)',
    )
    .description('one simulation: a table on a terminal, the full result with --json')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk run --workload uniform --footprint 4GiB --accesses 1e7 --mode nested --nested-page 2MiB
  nestwalk run experiment.yaml --guest-page 2MiB --json > result.json`,
    )
    .action(async (file: string | undefined, flags: ConfigFlags & Output & { costs?: string }) => {
      const config = configOf(file, flags);
      if (flags.costs !== undefined) costsNamed(flags.costs);
      const result = await watched(flags.quiet, (show) =>
        simulate(config, { ...runOptions(flags), signal, onProgress: (progress) => show.update(progress) }),
      );
      const shown = priced(result, flags);
      await print(
        flags.json ? json(shown) : renderRun(shown, styleFor(process.stdout), chartWidth(process.stdout)),
      );
    });
}

function addCompare(program: Command, signal: AbortSignal): void {
  addRunFlags(
    addConfigFlags(program.command('compare').argument('[config]', 'configuration file, YAML or JSON')),
  )
    .option('--guest-pages <sizes>', 'guest page sizes, with commas (default: all)', readPageSizes)
    .option('--nested-pages <sizes>', 'nested page sizes, with commas (default: all)', readPageSizes)
    .description('the guest × nested page-size square of one workload, beside its native runs')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk compare --workload gups --footprint 4GiB --accesses 1e7 --guest-pages 4KiB,2MiB --nested-pages 4KiB,2MiB
  nestwalk compare --trace program.nwt --machine icelake-sp`,
    )
    .action(
      async (
        file: string | undefined,
        flags: ConfigFlags & Output & { guestPages?: PageSize[]; nestedPages?: PageSize[] },
      ) => {
        const config = configOf(file, { ...flags, mode: 'nested' });
        const comparison = await watched(flags.quiet, (show) =>
          compare(config, {
            ...runOptions(flags),
            guestPages: flags.guestPages,
            nestedPages: flags.nestedPages,
            signal,
            onProgress: (progress) =>
              show.update(progress, `${progress.cell} of ${progress.cells}, ${progress.label}: `),
          }),
        );
        await print(
          flags.json
            ? json(comparison)
            : renderComparison(comparison, styleFor(process.stdout), chartWidth(process.stdout)),
        );
      },
    );
}

function addDemo(program: Command, signal: AbortSignal): void {
  program
    .command('demo')
    .description('the main job in about a minute: a real trace and a synthetic workload, native and nested')
    .option('--quiet', 'neither progress nor notes')
    .addHelpText('after', '\nExample:\n  nestwalk demo')
    .action(async (flags: { quiet?: boolean }) => {
      await watched(flags.quiet, (show) => demo(show, signal, flags.quiet ?? false));
    });
}

/**
 * The command-line parser with every command. Parsing rejects with a `CommanderError` or a `NestwalkError`; it never
 * ends the process.
 * @param signal asks whatever runs to stop
 */
export function makeProgram(signal: AbortSignal): Command {
  const program = new Command('nestwalk');
  program
    .description('simulates virtualised address translation: TLBs, nested page walks, walk caches')
    .version(packageVersion())
    .exitOverride()
    // What follows a scenario's name is the scenario's.
    .enablePositionalOptions()
    .showHelpAfterError('(--help shows the options and an example)')
    .addHelpText(
      'after',
      '\nExample:\n  nestwalk demo\n\nExit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted',
    );
  addRun(program, signal);
  addCompare(program, signal);
  addWalk(program, signal);
  addScenarioCommand(program, signal);
  addReproduceCommand(program, signal);
  addSweepCommands(program, signal);
  addResultCommands(program);
  addReportCommand(program);
  addServe(program, signal);
  addTraceCommands(program, signal);
  addWorkloadCommands(program);
  addListCommand(program);
  addDemo(program, signal);
  return program;
}
