/** The commands: arguments in, a function of the library called, its result printed. No logic of their own. */
import { Command, Option } from 'commander';
import type { ResolvedConfig } from '../config/resolved.ts';
import { chartWidth } from '../report/charts.ts';
import { renderComparison } from '../report/comparison.ts';
import { styleFor } from '../report/table.ts';
import { renderRun } from '../report/terminal.ts';
import { renderWalk } from '../report/walk.ts';
import { compare } from '../run/compare.ts';
import { packageVersion, simulate } from '../run/simulate.ts';
import { type WalkOptions, walkOnce } from '../run/walkOnce.ts';
import { ACCESS_KINDS, type PageSize } from '../schema.ts';
import { demo } from './demo.ts';
import { readAddress, readConfig, walkDefaults } from './input.ts';
import { addListCommand } from './lists.ts';
import {
  addConfigFlags,
  addRunFlags,
  type ConfigFlags,
  type RunFlags,
  readCount,
  reader,
  readPageSizes,
} from './options.ts';
import { note, print, showProgress } from './streams.ts';
import { addSweepCommands } from './sweep.ts';
import { addResultCommands } from './sweepResults.ts';
import { addTraceCommands } from './traces.ts';
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

function configOf(file: string | undefined, flags: ConfigFlags & Output, defaults?: Record<string, unknown>) {
  const { config, notes } = readConfig(file, flags, defaults);
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

function addRun(program: Command, signal: AbortSignal): void {
  addRunFlags(addConfigFlags(program.command('run').argument('[config]', 'configuration file, YAML or JSON')))
    .description('one simulation: a table on a terminal, the full result with --json')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk run --workload uniform --footprint 4GiB --accesses 1e7 --mode nested --nested-page 2MiB
  nestwalk run experiment.yaml --guest-page 2MiB --json > result.json`,
    )
    .action(async (file: string | undefined, flags: ConfigFlags & Output) => {
      const config = configOf(file, flags);
      const result = await watched(flags.quiet, (show) =>
        simulate(config, { ...runOptions(flags), signal, onProgress: (progress) => show.update(progress) }),
      );
      await print(
        flags.json ? json(result) : renderRun(result, styleFor(process.stdout), chartWidth(process.stdout)),
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

function addWalk(program: Command, signal: AbortSignal): void {
  addConfigFlags(
    program
      .command('walk')
      .argument('<address>', 'guest virtual address, e.g. 0x5123', reader(readAddress))
      .argument('[config]', 'configuration file, YAML or JSON'),
  )
    .addOption(new Option('--kind <kind>', 'what the access does').choices([...ACCESS_KINDS]).default('read'))
    .option('--warm <count>', 'accesses of the workload to run first, which warm the caches', readCount, 0)
    .option('--json', 'the steps as JSON')
    .option('--quiet', 'no notes')
    .description('one translation, step by step: each reference with its place, addresses, and what answered')
    .addHelpText(
      'after',
      `
Without a configuration: a machine without any TLB or walk cache, and 1 GiB of memory around the address.

Examples:
  nestwalk walk 0x5123
  nestwalk walk 0x5123 --nested-page 2MiB --machine skylake-sp --warm 1000`,
    )
    .action(async (address: number, file: string | undefined, flags: ConfigFlags & Output & WalkOptions) => {
      const config: ResolvedConfig = configOf(file, flags, walkDefaults(address));
      const walk = await walkOnce(config, address, { kind: flags.kind, warm: flags.warm, signal });
      await print(flags.json ? json(walk) : renderWalk(walk, config, styleFor(process.stdout)));
    });
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
    .showHelpAfterError('(--help shows the options and an example)')
    .addHelpText(
      'after',
      '\nExample:\n  nestwalk demo\n\nExit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted',
    );
  addRun(program, signal);
  addCompare(program, signal);
  addWalk(program, signal);
  addSweepCommands(program, signal);
  addResultCommands(program);
  addTraceCommands(program, signal);
  addWorkloadCommands(program);
  addListCommand(program);
  addDemo(program, signal);
  return program;
}
