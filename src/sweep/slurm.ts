/** A sweep on a Slurm cluster: one job array whose tasks are shares. Slurm only launches; the journal is the truth. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { NestwalkError } from '../errors.ts';
import { writeWhole } from './folder.ts';
import { ownCommand } from './local.ts';
import type { Plan } from './plan.ts';

/** How a sweep is given to Slurm. */
export interface SlurmOptions {
  sweep: string;
  /** Tasks of the array; default: as many as passes, at most {@link MOST_TASKS}. */
  shares?: number;
  /** Threads of each task. */
  workers: number;
  engine?: string;
  retryFailed?: boolean;
  /** Further lines of options for sbatch, such as `--partition=long`. */
  sbatch: readonly string[];
}

/** Most tasks where nothing else is said: many sites take no more, and each task does many passes. */
export const MOST_TASKS = 1000;
/** Headroom of a task's memory over its estimate. */
const HEADROOM = 1.5;
const MIB = 2 ** 20;

/** A word for a shell, in quotes. */
const word = (text: string): string =>
  /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** Tasks of the array. */
const sharesOf = (plan: Plan, { shares }: SlurmOptions): number =>
  Math.max(1, Math.min(plan.passes.length, shares ?? MOST_TASKS));

/** File of the array's script. */
export const scriptFile = (sweep: string): string => path.join(sweep, 'slurm', 'array.sh');

/** The script of the array. */
export function slurmScript(plan: Plan, options: SlurmOptions): string {
  const { workers, engine, retryFailed, sbatch } = options;
  const sweep = path.resolve(options.sweep);
  const shares = sharesOf(plan, options);
  const bytes = Math.max(...plan.passes.map(({ estimate }) => estimate.memoryBytes));
  const flags = ['--workers', String(workers), '--quiet'];
  if (engine) flags.push('--engine', engine);
  // Of failures only those before now: a task that Slurm requeues must not take up what failed in this job.
  if (retryFailed) flags.push('--retry-failed', new Date().toISOString());
  const command = [...ownCommand(), 'shard', 'run', '--sweep', sweep].map(word).join(' ');
  return [
    '#!/bin/bash',
    `#SBATCH --job-name=nestwalk-${plan.identity.slice(0, 8)}`,
    `#SBATCH --array=0-${shares - 1}`,
    // Slurm reads % in a path as a pattern, but for %%.
    `#SBATCH --output=${word(path.join(sweep.replaceAll('%', '%%'), 'slurm', '%A_%a.log'))}`,
    `#SBATCH --cpus-per-task=${workers}`,
    `#SBATCH --mem=${Math.ceil((HEADROOM * bytes) / MIB)}M`,
    // A task that is run again does only what the journal lacks.
    '#SBATCH --requeue',
    '#SBATCH --signal=B:TERM@60',
    ...sbatch.map((line) => `#SBATCH ${line}`),
    // The program itself gets the signal, not a shell around it.
    `exec ${command} --index "$SLURM_ARRAY_TASK_ID" --of ${shares} ${flags.map(word).join(' ')}`,
    '',
  ].join('\n');
}

/**
 * Writes the script and gives it to sbatch.
 * @returns the job's id
 * @throws {NestwalkError} `sweep.failed` when there is no sbatch or it refuses; `sweep.folder`
 */
export function submitToSlurm(plan: Plan, options: SlurmOptions): string {
  const file = scriptFile(options.sweep);
  writeWhole(file, slurmScript(plan, options));
  const { status, stdout, stderr, error } = spawnSync('sbatch', ['--parsable', file], { encoding: 'utf8' });
  if (error)
    throw new NestwalkError(
      'sweep.failed',
      `sbatch cannot be started (${error.message}): run this where Slurm is, or give ${file} to it by hand`,
      { cause: error },
    );
  if (status !== 0)
    throw new NestwalkError(
      'sweep.failed',
      `sbatch refused ${file}: ${stderr.trim() || `exit code ${status}`}`,
    );
  return stdout.trim().split(';')[0];
}
