/**
 * The one schema of what a user may write: the short form and the whole form alike. It says what each field may hold
 * by itself; what fields mean to each other (geometry, regions, address spaces) is checked in `resolve.ts`.
 *
 * Every message is written here, next to its field: "must be …, not …", or "is missing: give …".
 */
import { z } from 'zod';
import {
  INDEXINGS,
  MAX_CACHES,
  MAX_TABLE_LEVELS,
  MIN_TABLE_LEVELS,
  PAGE_SIZES,
  REPLACEMENTS,
} from '../schema.ts';
import { PAGING_MODES } from './resolved.ts';
import { didYouMean, nearest } from './suggest.ts';
import { TRACE_FORMATS } from './traceFormat.ts';
import { parseAddress, parseBytes, parseCount, parsePageSize, parseSeed, show } from './units.ts';

/** Most entries of one TLB array or walk cache: beyond any machine, and small enough to simulate. */
const MAX_ENTRIES = 2 ** 24;
/** Highest tag or vm of a context: a VPID of 16 bits and a PCID of 12 bits folded into one number. */
const MAX_TAG = 2 ** 28 - 1;
const MAX_LATENCY = 1e9;
const MAX_WORKERS = 1024;
/** Updates of one hypercall: more than a table of any size has entries that are worth one call. */
const MAX_BATCH = 2 ** 20;
/** The integer part of a Zipf exponent costs that many multiplications a page; from 16 on the first page has it all. */
const MAX_THETA = 16;

const must = (what: string) => ({
  error: ({ input }: { input?: unknown }) => {
    if (input === undefined) return `is missing: give ${what}`;
    return input === null ? `is empty: give ${what}` : `must be ${what}, not ${show(input)}`;
  },
});

/** A scalar in a unit: what the reader refuses becomes the message. */
function quantity<T>(what: string, read: (value: unknown) => T) {
  return z.union([z.number(), z.string()], must(what)).transform((value, context): T => {
    try {
      return read(value);
    } catch (error) {
      context.issues.push({ code: 'custom', message: (error as Error).message, input: value });
      return z.NEVER;
    }
  });
}

/** A quantity with bounds. */
const bounded = (
  what: string,
  read: (value: unknown) => number,
  low: number,
  high = Number.MAX_SAFE_INTEGER,
) => quantity(what, read).refine((value) => value >= low && value <= high, must(what));

function integer(what: string, low: number, high: number) {
  return z.int(must(what)).min(low, must(what)).max(high, must(what));
}

function real(what: string, low: number, high: number) {
  return z.number(must(what)).min(low, must(what)).max(high, must(what));
}

function oneOf<const Names extends readonly string[]>(names: Names) {
  return z.enum(names, {
    error: ({ input }) =>
      input === undefined
        ? `is missing: give one of ${names.join(', ')}`
        : `must be one of ${names.join(', ')}, not ${show(input)}${typeof input === 'string' ? didYouMean(input, names) : ''}`,
  });
}

/** A map of known fields. The message for unknown ones has one line for each, in the order of the issue's `keys`. */
function fields<Shape extends z.core.$ZodLooseShape>(what: string, shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => unknownField(key, what, known)).join('\n')
        : must(what).error(issue),
  });
}

const unknownField = (key: string, what: string, known: readonly string[]): string =>
  `is not a field of ${what.replace(/^(an?|the) /, 'the ').replace(/ with .*$/, '')}${didYouMean(key, known) || `; it has ${known.join(', ')}`}`;

const flag = z.boolean(must('true or false'));
const list = <T extends z.ZodType>(what: string, element: T) => z.array(element, must(what));

/** Bytes, in any byte unit. */
const bytes = bounded('a byte quantity above 0, such as 4KiB, 1.5GiB or 1e9', parseBytes, 1);
const count = (low: number) =>
  bounded(`a count of at least ${low}, such as 1000000, 1e6 or 2M`, parseCount, low);
const pageSize = quantity(`a page size: ${PAGE_SIZES.join(', ')}`, parsePageSize);
const latency = real('a number of cycles from 0', 0, MAX_LATENCY);
const entries = integer(`a whole number of entries from 1 to ${MAX_ENTRIES}`, 1, MAX_ENTRIES);
const waysText = 'a whole number of ways from 1, or "full"';
const ways = z.union([integer(waysText, 1, MAX_ENTRIES), z.literal('full', must(waysText))], must(waysText));

const geometry = fields('a geometry with entries and ways', { entries, ways });

/** One TLB array. */
export const TlbArraySchema = fields('a TLB array with entries, ways and sizes', {
  entries,
  ways,
  sizes: list('a list of page sizes, such as [4KiB, 2MiB]', pageSize).min(
    1,
    must('a list of at least one page size'),
  ),
  replacement: oneOf(REPLACEMENTS).optional(),
  index: oneOf(INDEXINGS).optional(),
});

/** Paging-structure caches of one dimension. */
export const PscSchema = fields('a set of paging-structure caches', {
  l2: geometry.optional(),
  l3: geometry.optional(),
  l4: geometry.optional(),
  l5: geometry.optional(),
  latency: latency.optional(),
});

/** The nested TLB. */
export const NtlbSchema = fields('a nested TLB with entries and ways', {
  entries,
  ways,
  holds: oneOf(['all', 'tables']).optional(),
  latency: latency.optional(),
});

/** The page-walk cache. */
export const PwcSchema = fields('a page-walk cache with entries and ways', {
  entries,
  ways,
  holds: oneOf(['1d', '2d', '2d+nt']).optional(),
  latency: latency.optional(),
});

/** One PTE cache. */
export const CacheSchema = fields('a cache with name, size, ways, line and latency', {
  name: z
    .string(must('a name, such as L2'))
    .regex(/^[A-Za-z][A-Za-z0-9_-]{0,31}$/, must('a name of letters, digits, "-" and "_", such as L2')),
  size: bytes,
  ways,
  line: bounded('bytes of a line: a power of two from 8 to 4096', parseBytes, 8, 4096),
  latency,
});

const arrays = list('a list of TLB arrays', TlbArraySchema);

/** A machine: a preset with changes, or whole. `null` takes a structure of the preset away. */
export const MachineSchema = fields('a machine', {
  preset: z.string(must('the name of a machine preset')).optional().describe('Name of a machine preset'),
  l1d: arrays.optional().describe('L1 TLB arrays for data (for fetches too unless l1i is given)'),
  l1i: arrays.nullable().optional().describe('L1 TLB arrays for fetches'),
  stlb: arrays.optional().describe('Second-level TLB arrays'),
  psc: PscSchema.nullable().optional().describe('Paging-structure caches of the guest (or only) table'),
  nestedPsc: PscSchema.nullable().optional().describe('Paging-structure caches of the nested table'),
  ntlb: NtlbSchema.nullable().optional().describe('Nested TLB: guest-physical to host-physical'),
  pwc: PwcSchema.nullable().optional().describe('Page-walk cache, AMD style, instead of psc and nestedPsc'),
  caches: list('a list of caches, nearest first', CacheSchema)
    .max(MAX_CACHES, {
      error: () => `must have at most ${MAX_CACHES} caches; memory comes after the last of them`,
    })
    .optional()
    .describe('Caches that serve page-table references, nearest first'),
  memoryLatency: latency.optional().describe('Cycles of a reference served by memory'),
  stlbLatency: latency.optional().describe('Cycles of an STLB hit'),
  dataThroughCaches: flag.optional().describe('Send each access itself through the caches too'),
  nestedAD: flag
    .optional()
    .describe('Whether the hardware keeps accessed and dirty bits in the nested table'),
  tagged: list('a list of vpid and pcid, or an empty one', oneOf(['vpid', 'pcid'])).optional(),
});

const levelsText = `levels from ${MIN_TABLE_LEVELS} to ${MAX_TABLE_LEVELS}`;

/** How memory is paged. */
export const PagingSchema = fields('the paging section', {
  mode: oneOf(PAGING_MODES).optional(),
  guestPage: pageSize.optional(),
  nestedPage: pageSize.optional(),
  guestLevels: integer(levelsText, MIN_TABLE_LEVELS, MAX_TABLE_LEVELS).optional(),
  nestedLevels: integer(levelsText, MIN_TABLE_LEVELS, MAX_TABLE_LEVELS).optional(),
  populate: oneOf(['prefault', 'demand']).optional(),
  placement: oneOf(['contiguous', 'scattered']).optional(),
  ad: oneOf(['set', 'clear']).optional(),
  guestMemory: bytes.optional(),
  unsync: flag.optional().describe('Mode shadow: whether leaf tables may go out of sync, as in KVM'),
  batch: bounded(`a number of updates from 1 to ${MAX_BATCH}, such as 32`, parseCount, 1, MAX_BATCH)
    .optional()
    .describe('Mode paravirt: most page-table updates in one hypercall'),
});

/** One region of the virtual address space. */
export const RegionSchema = fields('a region with bytes', {
  bytes,
  base: quantity('an address, such as "0x10000000000"', parseAddress).optional(),
});

/** How to run it. */
export const RunSchema = fields('the run section', {
  engine: oneOf(['auto', 'native', 'ts']).optional(),
  workers: z
    .union(
      [
        integer(`a number of workers from 1 to ${MAX_WORKERS}, or auto`, 1, MAX_WORKERS),
        z.literal('auto', must(`a number of workers from 1 to ${MAX_WORKERS}, or auto`)),
      ],
      must(`a number of workers from 1 to ${MAX_WORKERS}, or auto`),
    )
    .optional(),
  warmup: count(0).optional(),
});

/** What marks the address space. */
export const ContextSchema = fields('the context section', {
  tag: integer(`a whole number from 0 to ${MAX_TAG}`, 0, MAX_TAG).optional(),
  vm: integer(`a whole number from 0 to ${MAX_TAG}`, 0, MAX_TAG).optional(),
});

/** A recorded stream. */
export const TraceSchema = fields('a trace with trace, format and fetches', {
  trace: z.string(must('the path of a trace')).min(1, must('the path of a trace')),
  format: oneOf([...TRACE_FORMATS, 'auto']).optional(),
  fetches: flag.optional(),
});

const fraction = real('a fraction from 0 to 1', 0, 1);
/** Parts of a composite are components again; the reference is resolved when first used. */
const component: z.ZodType<ComponentInput, ComponentInput> = z.lazy(() => ComponentSchema);
const parts = list('a list of components', component).min(1, must('a list of at least one component'));

/** Fields of every component. */
const COMMON = {
  region: integer('the index of a region, from 0', 0, Number.MAX_SAFE_INTEGER).optional(),
  writeFraction: fraction.optional(),
};

/** Fields of each pattern by its name. `sequential` is short for a stride of 64 bytes. */
export const PATTERN_FIELDS = {
  uniform: {},
  sequential: {},
  chase: {},
  stride: { bytes },
  zipf: {
    theta: real(`an exponent from 0 (uniform) to ${MAX_THETA}`, 0, MAX_THETA).optional(),
    clustered: flag.optional(),
  },
  hotcold: { hot: fraction, weight: fraction },
  window: { pages: count(1), shift: count(0), every: count(1) },
  btree: {
    fanout: integer('a whole number from 2', 2, Number.MAX_SAFE_INTEGER),
    levels: integer('a whole number from 1 to 64', 1, 64),
  },
  burst: { k: count(1), of: component },
  mix: { weights: list('a list of weights', real('a weight from 0', 0, Number.MAX_VALUE)), parts },
  phases: { lengths: list('a list of lengths', count(1)), parts },
  interleave: { parts },
} as const;
/** A pattern's name as a user may write it. */
export type PatternInput = keyof typeof PATTERN_FIELDS;
/** All pattern names that a user may write. */
export const PATTERN_INPUTS = Object.keys(PATTERN_FIELDS) as PatternInput[];

/** One component of a synthetic workload, as a user may write it: quantities in any unit, defaults left out. */
export type ComponentInput = { region?: number; writeFraction?: number } & (
  | { pattern: 'uniform' | 'sequential' | 'chase' }
  | { pattern: 'stride'; bytes: number | string }
  | { pattern: 'zipf'; theta?: number; clustered?: boolean }
  | { pattern: 'hotcold'; hot: number; weight: number }
  | { pattern: 'window'; pages: number | string; shift: number | string; every: number | string }
  | { pattern: 'btree'; fanout: number; levels: number }
  | { pattern: 'burst'; k: number | string; of: ComponentInput }
  | { pattern: 'mix'; weights: number[]; parts: ComponentInput[] }
  | { pattern: 'phases'; lengths: (number | string)[]; parts: ComponentInput[] }
  | { pattern: 'interleave'; parts: ComponentInput[] }
);

function patternSchema<Name extends PatternInput>(name: Name) {
  return fields(`the pattern ${name}`, { pattern: z.literal(name), ...COMMON, ...PATTERN_FIELDS[name] });
}

/** One component of a synthetic workload. */
export const ComponentSchema = z
  .discriminatedUnion(
    'pattern',
    [
      patternSchema('uniform'),
      patternSchema('sequential'),
      patternSchema('chase'),
      patternSchema('stride'),
      patternSchema('zipf'),
      patternSchema('hotcold'),
      patternSchema('window'),
      patternSchema('btree'),
      patternSchema('burst'),
      patternSchema('mix'),
      patternSchema('phases'),
      patternSchema('interleave'),
    ],
    { error: ({ input }) => patternMessage(input) },
  )
  .meta({ id: 'component' }) as unknown as z.ZodType<ComponentInput, ComponentInput>;

/** What is wrong with an object that names no known pattern, or is no object. */
function patternMessage(input: unknown): string {
  const names = PATTERN_INPUTS.join(', ');
  if (input === undefined) return 'is missing: give a component such as {pattern: uniform}';
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return `must be a component such as {pattern: uniform}, not ${show(input)}`;
  const given = (input as { pattern?: unknown }).pattern;
  if (given === undefined) {
    const slip = Object.keys(input).find((key) => nearest(key, ['pattern', 'trace']) !== undefined);
    if (slip !== undefined)
      return `is missing, but there is "${slip}"${didYouMean(slip, ['pattern', 'trace'])}`;
    return `is missing: give one of ${names}`;
  }
  const hint = typeof given === 'string' ? didYouMean(given, PATTERN_INPUTS) : '';
  return `${show(given)} is no pattern${hint || `; there are ${names}`}`;
}

/** A whole configuration as a user may write it. */
export const ConfigSchema = fields('a configuration', {
  seed: quantity('a seed: a whole number from 0, or a hex string of up to 64 bits', parseSeed)
    .optional()
    .describe('Seed of every random choice, up to 64 bits'),
  accesses: count(1).optional().describe('How many accesses; may be left out for a trace only'),
  optional: list('a list of unique and reuse, or an empty one', oneOf(['unique', 'reuse']))
    .optional()
    .describe('Optional counters'),
  workload: z
    .union(
      [z.string(), TraceSchema, ComponentSchema],
      must('the name of a workload or pattern, a component such as {pattern: uniform}, or {trace: FILE}'),
    )
    .describe('A named workload, a pattern, a component or a trace'),
  footprint: bytes.optional().describe('Bytes of a workload that lists no regions'),
  regions: list('a list of regions such as [{bytes: 1GiB}]', RegionSchema).optional(),
  machine: z
    .union(
      [z.string(), MachineSchema],
      must('the name of a machine preset, {preset: NAME, …changes}, or a machine written whole'),
    )
    .optional()
    .describe('A preset, a preset with changes, or a machine written whole'),
  paging: PagingSchema.optional(),
  context: ContextSchema.optional(),
  run: RunSchema.optional(),
});

/** What a user may write, as a type. */
export type ConfigInput = z.input<typeof ConfigSchema>;
/** What a user may write of a machine. */
export type MachineInput = z.input<typeof MachineSchema>;

/** The schema as JSON Schema (draft 7), for editors: `# yaml-language-server: $schema=…`. */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(ConfigSchema, { io: 'input', target: 'draft-7' });
  return { ...schema, title: 'nestwalk configuration' };
}
