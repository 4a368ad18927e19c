/** A configuration from a file and flags: flags override the file's fields, and only the file has places for errors. */
import path from 'node:path';
import { loadConfigFile } from '../config/file.ts';
import { type Locator, pathText } from '../config/problems.ts';
import { resolveConfig } from '../config/resolve.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { parseAddress } from '../config/units.ts';
import { NestwalkError } from '../errors.ts';
import type { ConfigFlags } from './options.ts';

/** The seed of the command line where neither flag nor file gives one. */
const DEFAULT_SEED = 1;

/** Fields of a configuration as a user writes them. */
type Input = Record<string, unknown>;

/** Fields that the flags give, as paths with values. */
function givenBy(flags: ConfigFlags): [readonly string[], unknown][] {
  const fields: [readonly string[], unknown][] = [
    [['workload'], flags.trace === undefined ? flags.workload : { trace: path.resolve(flags.trace) }],
    [['footprint'], flags.footprint],
    [['accesses'], flags.accesses],
    [['seed'], flags.seed],
    [['machine'], flags.machine],
    [['paging', 'mode'], flags.mode],
    [['paging', 'guestPage'], flags.guestPage],
    [['paging', 'nestedPage'], flags.nestedPage],
  ];
  return fields.filter(([, value]) => value !== undefined);
}

const isMap = (value: unknown): value is Input =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A copy of the input with one field replaced. */
function withField(input: Input, [head, ...rest]: readonly string[], value: unknown): Input {
  if (rest.length === 0) return { ...input, [head]: value };
  return { ...input, [head]: withField(isMap(input[head]) ? input[head] : {}, rest, value) };
}

/** Regions or a footprint of the file mean nothing beside a trace or a footprint of the flags. */
function without(input: Input, flags: ConfigFlags): Input {
  const { regions, footprint, ...rest } = input;
  if (flags.trace !== undefined) return rest;
  if (flags.footprint !== undefined) return { ...rest, footprint };
  return input;
}

/** Places of the file's values; what the flags replaced stands in no file. */
function placesOf(source: Locator, replaced: readonly (readonly string[])[]): Locator {
  const starts = replaced.map((field) => pathText(field));
  return (at, part) => {
    const text = pathText(at);
    const byFlag = starts.some((start) => text === start || text.startsWith(`${start}.`));
    return byFlag ? undefined : source(at, part);
  };
}

/**
 * The configuration that a command runs, with notes for the user (a seed that was chosen for him, and the like).
 * @param defaults fields for what neither file nor flags give, used without a file only
 * @throws {NestwalkError} all errors of the configuration at once; `usage` when nothing names a workload
 */
export function readConfig(
  file: string | undefined,
  flags: ConfigFlags,
  defaults: Input = {},
): { config: ResolvedConfig; notes: string[] } {
  if (flags.trace !== undefined && flags.workload !== undefined)
    throw new NestwalkError('usage', '--trace and --workload name two workloads: give one of them');
  if (flags.trace !== undefined && flags.footprint !== undefined)
    throw new NestwalkError('usage', 'a trace has its own footprint: leave --footprint out beside --trace');
  const parsed = file === undefined ? undefined : loadConfigFile(file);
  if (parsed && !isMap(parsed.input)) return resolveConfig(parsed.input, parsed);
  const fields = givenBy(flags);
  const start = without(isMap(parsed?.input) ? parsed.input : defaults, flags);
  const input = fields.reduce((merged, [at, value]) => withField(merged, at, value), start);
  if (input.workload === undefined && !parsed)
    throw new NestwalkError(
      'usage',
      'nothing says what to run: give a configuration file, --workload NAME with --footprint and --accesses, or --trace FILE',
    );
  const source =
    parsed &&
    placesOf(
      parsed.source,
      fields.map(([at]) => at),
    );
  return resolveConfig(input, { source, directory: parsed?.directory, defaultSeed: DEFAULT_SEED });
}

/** Bytes of the region that a walk without a configuration has around its address: one root entry's reach at 3 levels. */
const WALK_REGION_BYTES = 2 ** 30;

/** An address of the command line. */
export function readAddress(text: string): number {
  const address = parseAddress(text);
  if (!Number.isSafeInteger(address))
    throw new NestwalkError('usage', `${text} is above 2^53: give an address below it`);
  return address;
}

/**
 * What `walk` shows where nothing else is said: a machine without TLBs and walk caches, so that every reference is
 * seen, and 1 GiB of mapped memory around the address.
 */
export function walkDefaults(address: number): Input {
  const base = Math.floor(address / WALK_REGION_BYTES) * WALK_REGION_BYTES;
  return {
    workload: { pattern: 'uniform' },
    accesses: 1,
    seed: DEFAULT_SEED,
    machine: {},
    regions: [{ bytes: WALK_REGION_BYTES, base }],
  };
}
