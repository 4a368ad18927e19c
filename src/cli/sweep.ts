/** `nestwalk sweep` and `nestwalk shard`: grids of configurations, overnight. */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadConfigFile } from '../config/file.ts';
import { parseBytes, parseCount } from '../config/units.ts';
import type { EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { chartWidth } from '../report/charts.ts';
import { count } from '../report/format.ts';
import { renderPlan, renderSweepStatus, renderSweepSummary } from '../report/sweep.ts';
import { styleFor } from '../report/table.ts';
import { machineMemoryBytes } from '../run/execute.ts';
import { freezePlan } from '../sweep/folder.ts';
import { readJournal } from '../sweep/journal.ts';
import { type ChildMessage, runLocal, type SweepProgress } from '../sweep/local.ts';
import { type PassLimits, type Plan, planSweep } from '../sweep/plan.ts';
import { sweepTable } from '../sweep/rows.ts';
import { runShare } from '../sweep/shard.ts';
import { scriptFile, slurmScript, submitToSlurm } from '../sweep/slurm.ts';
import { collectSweep, readSweep, storeFile, sweepStatus } from '../sweep/status.ts';
import { reader } from './options.ts';
import { note, print, showProgress } from './streams.ts';

/** Share of the machine's memory that a sweep may take where nothing else is said. */
const MEMORY_SHARE = 0.7;

interface SweepFlags {
  out?: string;
  dryRun?: boolean;
  executor: 'local' | 'slurm';
  shares?: number;
  sbatch: string[];
  workers: number | 'auto';
  memory?: number;
  engine?: EngineRequest;
  retryFailed?: boolean;
  json?: boolean;
  quiet?: boolean;
}

function positive(value: string): number {
  const whole = parseCount(value);
  if (whole < 1) throw new InvalidArgumentError('it must be at least 1');
  return whole;
}

const workersOption = (command: Command, standard: number | 'auto'): Command =>
  command
    .option(
      '--workers <count>',
      'passes at a time (of a Slurm task: its threads), or auto for all cores',
      reader((value) => (value === 'auto' ? value : positive(value))),
      standard,
    )
    .addOption(new Option('--engine <engine>', 'which engine runs').choices(['auto', 'native', 'ts']))
    .option('--quiet', 'neither progress nor notes');

const workersOf = (workers: number | 'auto'): number =>
  workers === 'auto' ? availableParallelism() : workers;

/** Most bytes that passes may take here. */
const memoryOf = ({ memory }: SweepFlags): number => memory ?? MEMORY_SHARE * machineMemoryBytes();

/** What passes are fitted to. The machine that submits to Slurm says nothing of those that will run. */
function limitsOf(flags: SweepFlags): PassLimits {
  const { memory, engine, executor } = flags;
  const isLocal = executor === 'local';
  return {
    workers: isLocal ? workersOf(flags.workers) : 1,
    ...(isLocal || memory !== undefined ? { memoryBytes: memoryOf(flags) } : {}),
    ...(engine ? { engine } : {}),
  };
}

async function planOf(file: string, flags: SweepFlags): Promise<Plan> {
  const { quiet } = flags;
  const plan = await planSweep(loadConfigFile(file), limitsOf(flags));
  if (!quiet) for (const line of plan.notes) note(`note: ${line}`);
  const invalid = plan.cells.filter((cell) => cell.invalid !== undefined);
  if (!quiet && invalid.length > 0)
    note(
      `note: ${count(invalid.length)} of ${count(plan.cells.length)} cells are invalid and are not run, the first is ${invalid[0].invalid}`,
    );
  return plan;
}

/** The plan before the start; nothing is written. */
async function dryRun(plan: Plan, flags: SweepFlags): Promise<void> {
  const { out, executor, json, sbatch, retryFailed, engine, shares } = flags;
  const workers = workersOf(flags.workers);
  const memoryBytes = memoryOf(flags);
  const results = out === undefined ? new Map() : readJournal(out).results;
  const done = plan.cells.filter(({ name }) => name !== undefined && results.has(name)).length;
  if (json) {
    const { cells, passes, axes, skipped } = plan;
    await print(
      JSON.stringify(
        {
          axes,
          skipped,
          cells: cells.map(({ index, name, values, invalid }) => ({ index, name, values, invalid })),
          passes,
          done,
        },
        null,
        2,
      ),
    );
    return;
  }
  await print(renderPlan(plan, { workers, memoryBytes, done }, styleFor(process.stdout)));
  if (executor === 'slurm')
    await print(
      `\n${slurmScript(plan, { sweep: out ?? 'DIR', workers: threadsOf(flags), sbatch, retryFailed, engine, shares })}`.trimEnd(),
    );
}

/** Threads of a Slurm task: one unless more are asked for. */
const threadsOf = ({ workers }: SweepFlags): number => (workers === 'auto' ? 1 : workers);

async function submit(plan: Plan, sweep: string, flags: SweepFlags): Promise<void> {
  const { sbatch, retryFailed, engine, shares } = flags;
  const job = submitToSlurm(plan, { sweep, workers: threadsOf(flags), sbatch, retryFailed, engine, shares });
  await print(
    flags.json
      ? JSON.stringify({ job, script: scriptFile(sweep) })
      : `submitted as job ${job}: ${scriptFile(sweep)}`,
  );
  if (!flags.quiet) note(`see how it stands with: nestwalk sweep status ${sweep}`);
}

const progressLabel = ({ cells, cellsDone, cellsFailed }: SweepProgress): string =>
  `${count(cellsDone)} of ${count(cells)} cells${cellsFailed > 0 ? `, ${count(cellsFailed)} failed` : ''}: `;

async function runHere(plan: Plan, sweep: string, flags: SweepFlags, signal: AbortSignal): Promise<void> {
  const show = showProgress(flags.quiet ?? false);
  try {
    await runLocal(plan, {
      sweep,
      workers: workersOf(flags.workers),
      memoryBytes: memoryOf(flags),
      ...(flags.engine ? { engine: flags.engine } : {}),
      ...(flags.retryFailed ? { retryFailed: true } : {}),
      signal,
      onProgress: (progress) => {
        const { accessesDone, accesses, accessesPerSecond, secondsLeft } = progress;
        show.update(
          { done: accessesDone, total: accesses || undefined, accessesPerSecond, secondsLeft },
          progressLabel(progress),
        );
      },
      onNote: (text) => {
        if (flags.quiet) return;
        show.end();
        note(`note: ${text}`);
      },
    });
  } finally {
    show.end();
  }
  const data = readSweep(sweep);
  const status = sweepStatus(sweep, data);
  const summary = (): string =>
    renderSweepSummary(
      plan,
      sweepTable(data.plan, data.journal),
      status,
      styleFor(process.stdout),
      chartWidth(process.stdout),
    );
  await print(flags.json ? JSON.stringify(status, null, 2) : summary());
  if (status.failed.length > 0)
    throw new NestwalkError(
      'sweep.failed',
      `${count(status.failed.length)} of ${count(status.cells)} cells failed; --retry-failed runs them again`,
    );
}

function addSweepRun(program: Command, signal: AbortSignal): Command {
  const sweep = program
    .command('sweep')
    .argument('<file>', 'sweep file: a configuration with vary, YAML or JSON')
    .option('--out <folder>', 'folder of the sweep: plan, journal, store')
    .option('--dry-run', 'cells, passes, time and memory; runs and writes nothing')
    .addOption(
      new Option('--executor <executor>', 'where it runs').choices(['local', 'slurm']).default('local'),
    )
    .option(
      '--shares <count>',
      'tasks of the Slurm array (default: one for each pass, at most 1000)',
      reader(positive),
    )
    .option(
      '--sbatch <option>',
      'a further option for sbatch, e.g. --partition=long; may be repeated',
      (value: string, all: string[]) => [...all, value],
      [],
    )
    .option(
      '--memory <bytes>',
      'most memory, e.g. 16GiB (default: 70 % of the machine’s)',
      reader(parseBytes),
    )
    .option('--retry-failed', 'run cells again that were given up before')
    .option('--json', 'the outcome as JSON');
  return workersOption(sweep, 'auto')
    .description('a grid of configurations; what was interrupted goes on by the same command')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk sweep tlb.yaml --dry-run
  nestwalk sweep tlb.yaml --out night --memory 16GiB
  nestwalk sweep tlb.yaml --out night --executor slurm --shares 64 --sbatch=--partition=long`,
    )
    .action(async (file: string, flags: SweepFlags) => {
      const plan = await planOf(file, flags);
      if (flags.dryRun) return dryRun(plan, flags);
      if (flags.out === undefined)
        throw new NestwalkError(
          'usage',
          'a sweep needs a folder for its journal: give --out DIR, or --dry-run to see the plan alone',
        );
      freezePlan(plan, flags.out);
      if (flags.executor === 'slurm') return submit(plan, flags.out, flags);
      return runHere(plan, flags.out, flags, signal);
    });
}

function addSweepFolder(sweep: Command): void {
  sweep
    .command('status')
    .argument('<folder>', 'folder of a sweep')
    .option('--json', 'as JSON')
    .description('what is done, failed, missing')
    .addHelpText('after', '\nExample:\n  nestwalk sweep status night')
    .action(async (folder: string, _flags: unknown, command: Command) => {
      const status = sweepStatus(folder);
      const { json } = command.optsWithGlobals<{ json?: boolean }>();
      await print(
        json ? JSON.stringify(status, null, 2) : renderSweepStatus(status, styleFor(process.stdout)),
      );
    });
  sweep
    .command('collect')
    .argument('<folder>', 'folder of a sweep')
    .option('--quiet', 'no notes')
    .description('journals into the store, results.duckdb, with a table of cells')
    .addHelpText('after', '\nExample:\n  nestwalk sweep collect night')
    .action(async (folder: string, _flags: unknown, command: Command) => {
      const status = await collectSweep(folder);
      const { quiet } = command.optsWithGlobals<{ quiet?: boolean }>();
      await print(storeFile(folder));
      if (!quiet && status.missing > 0)
        note(`note: ${count(status.missing)} of ${count(status.cells)} cells are missing`);
    });
}

interface ShardFlags {
  sweep: string;
  index: number;
  of: number;
  workers: number | 'auto';
  engine?: EngineRequest;
  /** `true`: whatever failed before this share. */
  retryFailed?: boolean | number;
  quiet?: boolean;
}

/** Tells the supervisor of a local sweep something; waits until it is on its way. */
const tell = (message: ChildMessage): Promise<void> =>
  new Promise((resolve) => {
    if (!process.send || !process.connected) return resolve();
    process.send(message, () => resolve());
  });

/** A child whose supervisor is gone stops like one that was told to. */
function endWithSupervisor(): () => void {
  const stop = (): void => {
    process.kill(process.pid, 'SIGTERM');
  };
  process.on('disconnect', stop);
  return () => {
    process.off('disconnect', stop);
    if (process.connected) process.disconnect();
  };
}

async function runShardHere(flags: ShardFlags, signal: AbortSignal): Promise<void> {
  const leave = endWithSupervisor();
  const show = showProgress(flags.quiet ?? false);
  let begun = Date.now();
  const { retryFailed, ...rest } = flags;
  try {
    const result = await runShare({
      ...rest,
      ...(retryFailed ? { retryBefore: retryFailed === true ? begun : retryFailed } : {}),
      workers: workersOf(flags.workers),
      signal,
      onEvent: (event) => {
        void tell(event);
        if (event.t === 'failed' && !flags.quiet)
          note(`note: ${count(event.cells.length)} cells failed: ${event.reason}`);
        if (event.t === 'start') begun = Date.now();
        if (event.t === 'progress')
          show.update(
            {
              done: event.done,
              total: undefined,
              accessesPerSecond: (1000 * event.done) / (Date.now() - begun + 1),
            },
            `share ${flags.index} of ${flags.of}: `,
          );
      },
    });
    show.end();
    if (!flags.quiet)
      note(
        `share ${flags.index} of ${flags.of}: ${count(result.cells)} cells done, ${count(result.failed)} failed`,
      );
  } catch (error) {
    if (error instanceof NestwalkError && error.code !== 'run.cancelled')
      await tell({ t: 'error', code: error.code, message: error.message });
    throw error;
  } finally {
    show.end();
    leave();
  }
}

/** A whole number from 0. */
const index = reader(parseCount);

/** A moment, in milliseconds since 1970. */
function timeOf(value: string): number {
  const time = Date.parse(value);
  if (Number.isNaN(time)) throw new InvalidArgumentError('it must be a time such as 2026-01-31T20:00Z');
  return time;
}

function addShard(program: Command, signal: AbortSignal): void {
  const shard = program
    .command('shard')
    .description('one share of a sweep: what Slurm arrays, GNU parallel and indexed jobs launch')
    .addHelpText('after', '\nExample:\n  nestwalk shard run --sweep night --index 0 --of 4');
  workersOption(
    shard
      .command('run')
      .requiredOption('--sweep <folder>', 'folder of the sweep')
      .requiredOption('--index <index>', 'which share, from 0', index)
      .requiredOption('--of <count>', 'shares in all', index)
      .option(
        '--retry-failed [time]',
        'run cells again that were given up before, or before a time such as 2026-01-31T20:00Z',
        reader(timeOf),
      ),
    1,
  )
    .description('runs the passes whose number is INDEX modulo OF, without those that the journal has')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk shard run --sweep night --index "$SLURM_ARRAY_TASK_ID" --of 64
  parallel nestwalk shard run --sweep night --index {} --of 8 ::: 0 1 2 3 4 5 6 7`,
    )
    .action(async (flags: ShardFlags) =>
      runShardHere({ ...flags, sweep: path.resolve(flags.sweep) }, signal),
    );
}

/** Adds `sweep`, `sweep status`, `sweep collect` and `shard run`. */
export function addSweepCommands(program: Command, signal: AbortSignal): void {
  addSweepFolder(addSweepRun(program, signal));
  addShard(program, signal);
}
