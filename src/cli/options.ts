/** The flags of the commands: read here, named here in errors, turned into a configuration's fields in `input.ts`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { PAGING_MODES } from '../config/resolved.ts';
import { parseBytes, parseCount, parsePageSize, parseSeed } from '../config/units.ts';
import type { PageSize } from '../schema.ts';

/** Flags that stand for fields of a configuration, and override those of a file. */
export interface ConfigFlags {
  workload?: string;
  trace?: string;
  footprint?: number;
  accesses?: number;
  seed?: number | string;
  machine?: string;
  mode?: string;
  guestPage?: PageSize;
  nestedPage?: PageSize;
}

/** Flags of every command that runs something long. */
export interface RunFlags {
  engine?: 'auto' | 'native' | 'ts';
  workers?: number | 'auto';
  quiet?: boolean;
}

/** Makes a reader of units fit for a flag: its complaint becomes the parser's, with the flag's name. */
export function reader<Value>(parse: (value: string) => Value): (value: string) => Value {
  return (value) => {
    try {
      return parse(value);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}

/** A count from 1. */
function positive(value: string): number {
  const whole = parseCount(value);
  if (whole < 1) throw new InvalidArgumentError('it must be at least 1');
  return whole;
}

/** Page sizes with commas between them. */
const pageSizes = (value: string): PageSize[] => value.split(',').map((size) => parsePageSize(size.trim()));

/** Reader of `--count`. */
export const readCount = reader(parseCount);
/** Reader of `--guest-pages` and `--nested-pages`. */
export const readPageSizes = reader(pageSizes);

/** Adds the flags that name a workload. */
export function addWorkloadFlags(command: Command): Command {
  return command
    .option('--footprint <bytes>', 'memory that the workload touches, e.g. 4GiB', reader(parseBytes))
    .option('--seed <seed>', 'seed, a number or 0x… of up to 64 bits (default: 1)', reader(parseSeed));
}

/** Adds the flags that stand for fields of a configuration. */
export function addConfigFlags(command: Command): Command {
  return addWorkloadFlags(
    command
      .option('--workload <name>', 'a named workload or a pattern (see: nestwalk list workloads)')
      .option(
        '--trace <file>',
        'a recorded trace instead: lackey, ChampSim or nestwalk’s own, plain or packed',
      )
      .option('--accesses <count>', 'length of the run, e.g. 1e9 or 200M', reader(positive)),
  )
    .option('--machine <name>', 'a machine (see: nestwalk list machines)')
    .addOption(new Option('--mode <mode>', 'how memory is paged').choices([...PAGING_MODES]))
    .option(
      '--guest-page <size>',
      'page size of the guest’s (or only) table: 4KiB, 2MiB, 1GiB',
      reader(parsePageSize),
    )
    .option('--nested-page <size>', 'page size of the nested table: 4KiB, 2MiB, 1GiB', reader(parsePageSize));
}

/** Adds the flags of commands that simulate. */
export function addRunFlags(command: Command): Command {
  return command
    .addOption(new Option('--engine <engine>', 'which engine runs').choices(['auto', 'native', 'ts']))
    .option(
      '--workers <count>',
      'worker threads, or auto',
      reader((value) => (value === 'auto' ? value : positive(value))),
    )
    .option('--json', 'the full result as JSON')
    .option('--quiet', 'neither progress nor notes');
}
