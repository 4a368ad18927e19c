/** `nestwalk workload`: the accesses of a synthetic workload. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { parseConfigText } from '../config/file.ts';
import { dumpWorkload } from '../run/dumpWorkload.ts';
import { readConfig } from './input.ts';
import { addWorkloadFlags, type ConfigFlags, readCount } from './options.ts';
import { note, printLines } from './streams.ts';

/** Lines where `--count` does not say. */
const DEFAULT_COUNT = 20;

interface DumpFlags extends ConfigFlags {
  count: number;
  from: number;
  quiet?: boolean;
}

/** A workload as the command takes it: a configuration file, a component in braces, or a name. */
function readSpec(spec: string, flags: DumpFlags) {
  const accesses = flags.from + flags.count;
  if (spec.trimStart().startsWith('{')) {
    const workload = parseConfigText(spec, 'the workload').input;
    return readConfig(undefined, flags, { workload, accesses });
  }
  if (/\.(ya?ml|json)$/.test(spec) || existsSync(spec)) return readConfig(spec, flags);
  return readConfig(undefined, flags, { workload: spec, accesses });
}

/** Adds `workload dump`. */
export function addWorkloadCommands(program: Command): void {
  const workload = program
    .command('workload')
    .description('synthetic workloads: dump')
    .addHelpText('after', '\nExample:\n  nestwalk workload dump gups --count 10');
  addWorkloadFlags(
    workload.command('dump').argument('<spec>', 'a name, {pattern: …}, or a configuration file'),
  )
    .option('--count <count>', 'how many accesses', readCount, DEFAULT_COUNT)
    .option('--from <index>', 'index of the first', readCount, 0)
    .option('--quiet', 'no notes')
    .description('accesses as lines: R 0x…, W 0x…, F 0x… (read, write, fetch)')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk workload dump gups --footprint 1GiB --count 10 --from 1e9
  nestwalk workload dump '{pattern: stride, bytes: 4096}' --footprint 1MiB`,
    )
    .action(async (spec: string, flags: DumpFlags) => {
      const { config, notes } = readSpec(spec, flags);
      if (!flags.quiet) for (const line of notes) note(`note: ${line}`);
      await printLines(dumpWorkload(config, { from: flags.from, count: flags.count }));
    });
}
