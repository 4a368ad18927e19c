/** A configuration from a file and flags: flags override the file's fields, and only the file has places for errors. */
import path from 'node:path';
import { loadConfigFile } from '../config/file.ts';
import { type Locator, pathText } from '../config/problems.ts';
import { resolveConfig } from '../config/resolve.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { parseAddress } from '../config/units.ts';
import { NestwalkError } from '../errors.ts';
import { PAGE_BYTES, PAGE_SIZES } from '../schema.ts';
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
/** Bits of an address that tables of four levels translate, which a configuration has where it does not say. */
const USUAL_BITS = 48;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/**
 * An address of the command line.
 * @throws {NestwalkError} `usage` with what is allowed, and the address that was probably meant
 */
export function readAddress(text: string): number {
  if (/^[0-9a-f]*[a-f][0-9a-f]*$/i.test(text) && /\d/.test(text) && !/^\d+e\d+$/i.test(text))
    throw new NestwalkError(
      'usage',
      `"${text}" looks like hexadecimal digits without their prefix: write 0x${text}`,
    );
  if (/^(0x[0-9a-f]+|\d+)$/i.test(text) && BigInt(text) > BigInt(Number.MAX_SAFE_INTEGER))
    throw new NestwalkError('usage', tooHigh(BigInt(text)));
  return parseAddress(text);
}

/** What is said of an address beyond every address space here; kernel addresses are what people mostly mean by one. */
function tooHigh(address: bigint): string {
  const low = address & (2n ** BigInt(USUAL_BITS) - 1n);
  const isCanonical = address >> BigInt(USUAL_BITS - 1) === 2n ** BigInt(64 - USUAL_BITS + 1) - 1n;
  const meant = isCanonical
    ? `: the upper 16 bits of such an address only repeat bit 47 and are not translated, so write ${hex(low)}`
    : ` (5 levels translate 57 bits, but addresses here end at 2^53)`;
  return `${hex(address)} has more than the ${USUAL_BITS} bits that 4 levels translate${meant}`;
}

/**
 * What `walk` shows where nothing else is said: a machine without TLBs and walk caches, so that every reference is
 * seen, and 1 GiB of mapped memory around the address, in scattered frames, so that no two kinds of address look alike.
 * @param footprint bytes around the address, in place of the 1 GiB
 * @throws {NestwalkError} `usage` for an address that four levels do not translate
 */
export function walkDefaults(
  address: number,
  { footprint = WALK_REGION_BYTES, guestPage = '4KiB' }: Pick<ConfigFlags, 'footprint' | 'guestPage'> = {},
): Input {
  if (address >= 2 ** USUAL_BITS)
    throw new NestwalkError(
      'usage',
      `${hex(address)} has more than the ${USUAL_BITS} bits that 4 levels translate: give an address below ${hex(2 ** USUAL_BITS)}, ` +
        'or a configuration with guestLevels: 5 and a region there',
    );
  const down = (align: number): number => Math.floor(address / align) * align;
  // As well aligned as can be, so that larger pages fit too.
  const aligned = PAGE_SIZES.map((size) => PAGE_BYTES[size]).filter((size) => size >= PAGE_BYTES[guestPage]);
  const best = aligned.findLast((size) => address - down(size) < footprint);
  const base = down(best ?? PAGE_BYTES[guestPage]);
  return {
    workload: { pattern: 'uniform' },
    accesses: 1,
    seed: DEFAULT_SEED,
    machine: {},
    paging: { placement: 'scattered' },
    regions: [{ bytes: footprint, base }],
  };
}
