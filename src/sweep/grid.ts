/**
 * The grid of a sweep file: the varied fields with their values, the conditions that drop cells, and what is wrong with
 * any of it, all at once and each with its place.
 */
import type { ParsedConfig } from '../config/file.ts';
import { invalidConfig, type Locator, type Path, pathText } from '../config/problems.ts';
import { didYouMean } from '../config/suggest.ts';
import { show } from '../config/units.ts';
import { BARE_PATTERNS } from '../config/workload.ts';
import type { Problem } from '../errors.ts';
import { type Condition, ConditionError, plainPath, readCondition, readMatch } from './condition.ts';

/** One varied field. */
export interface Axis {
  /** `machine.stlb[0].entries` */
  path: string;
  steps: Path;
  /** The key of `vary` as it is written, to find its place. */
  key: string;
  values: unknown[];
}

/** What a sweep file says. */
export interface Grid {
  /** The configuration beside `vary`, `skip` and `counters`, plain values only. */
  base: Record<string, unknown>;
  axes: Axis[];
  skip: Condition[];
  counters: 'tlb' | 'all';
  source?: Locator;
  /** What a trace's path is relative to. */
  directory: string;
}

/** Most cells of a grid, skipped ones included. */
export const MOST_CELLS = 1_000_000;
const COUNTERS = ['tlb', 'all'] as const;
const FIRST_STEPS = [
  'seed',
  'accesses',
  'optional',
  'workload',
  'footprint',
  'regions',
  'machine',
  'paging',
  'context',
];

type Map_ = Record<string, unknown>;
const isMap = (value: unknown): value is Map_ =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Big whole numbers as numbers where that is exact, else as their digits. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isMap(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}

/** The steps of a path: `machine.stlb[0].ways` is `machine`, `stlb`, 0, `ways`. `undefined` for what is no path. */
function stepsOf(path: string): Path | undefined {
  if (!/^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*$/.test(path)) return undefined;
  return [...path.matchAll(/(\w+)/g)].map(([step]) => (/^\d/.test(step) ? Number(step) : step));
}

/** Collects problems with their places. */
class Complaints {
  readonly problems: Problem[] = [];
  private readonly source: Locator | undefined;

  constructor(source: Locator | undefined) {
    this.source = source;
  }

  add(at: Path, message: string, part: 'key' | 'value' = 'value'): void {
    this.problems.push({ path: pathText(at), message, ...this.source?.(at, part) });
  }

  /** @throws {NestwalkError} when there were any */
  check(): void {
    if (this.problems.length > 0) throw invalidConfig(this.problems);
  }
}

const RANGE_FIELDS = ['from', 'to', 'step', 'times'];
const RANGE_TEXT = 'a range is {from: A, to: B, step: N} or {from: A, to: B, times: N}';

/** A number without what binary fractions add to it: 0.3 for 3 × 0.1. Whole numbers are exact as they are. */
const rounded = (value: number): number => (Number.isInteger(value) ? value : Number(value.toPrecision(12)));

/** The values of `{from, to, step}` or `{from, to, times}`, or what is wrong with it. */
function rangeValues(range: Map_): number[] | string {
  const unknown = Object.keys(range).find((key) => !RANGE_FIELDS.includes(key));
  if (unknown !== undefined) return `"${unknown}" is no field of a range; ${RANGE_TEXT}`;
  const { from, to, step, times } = range;
  if (typeof from !== 'number' || typeof to !== 'number') return `needs numbers from and to; ${RANGE_TEXT}`;
  if ((step === undefined) === (times === undefined)) return `needs either step or times; ${RANGE_TEXT}`;
  if (step !== undefined && !(typeof step === 'number' && step > 0)) return 'needs a step above 0';
  if (times !== undefined && !(typeof times === 'number' && times > 1 && from > 0))
    return 'needs times above 1, and from above 0';
  if (to < from) return `ends (${to}) before it begins (${from})`;
  const values: number[] = [];
  for (let i = 0; values.length <= MOST_CELLS; i++) {
    const value = rounded(step === undefined ? from * (times as number) ** i : from + i * (step as number));
    if (value > rounded(to)) return values;
    values.push(value);
  }
  return `has more than ${MOST_CELLS} values`;
}

/** The list that a varied field has, or `undefined` after a complaint. */
function axisValues(written: unknown, at: Path, complaints: Complaints): unknown[] | undefined {
  if (isMap(written) && 'from' in written) {
    const values = rangeValues(written);
    if (typeof values !== 'string') return values;
    complaints.add(at, values);
    return undefined;
  }
  if (!Array.isArray(written)) {
    complaints.add(at, `must be a list of values, or a range, not ${show(written)}; ${RANGE_TEXT}`);
    return undefined;
  }
  if (written.length === 0) complaints.add(at, 'is an empty list: give it at least one value');
  const seen = new Map<string, number>();
  written.forEach((value, index) => {
    const text = JSON.stringify(value);
    if (seen.has(text)) complaints.add([...at, index], `${show(value)} is in this list already`);
    seen.set(text, index);
  });
  return written;
}

function readAxes(vary: unknown, complaints: Complaints): Axis[] {
  if (vary === undefined) {
    complaints.add(
      ['vary'],
      'is missing: a sweep varies something; give a map from field to list, such as {paging.guestPage: [4KiB, 2MiB]}',
    );
    return [];
  }
  if (!isMap(vary) || Object.keys(vary).length === 0) {
    complaints.add(['vary'], `must be a map from field to list, not ${show(vary)}`);
    return [];
  }
  const axes: Axis[] = [];
  for (const [key, written] of Object.entries(vary)) {
    const at = ['vary', key];
    const path = plainPath(key);
    const steps = stepsOf(path);
    if (!steps) {
      complaints.add(at, 'is no path of a field; write it as machine.stlb[0].entries', 'key');
      continue;
    }
    complainOfPath(steps, at, complaints);
    if (axes.some((axis) => axis.path === path)) complaints.add(at, 'is varied twice', 'key');
    const values = axisValues(written, at, complaints);
    if (values) axes.push({ path, steps, key, values });
  }
  return axes;
}

function complainOfPath(steps: Path, at: Path, complaints: Complaints): void {
  const [first] = steps as [string];
  if (first === 'run') complaints.add(at, 'changes no counter: give it beside vary, or as a flag', 'key');
  else if (!FIRST_STEPS.includes(first))
    complaints.add(
      at,
      `begins with no field of a configuration${didYouMean(first, FIRST_STEPS) || `; it has ${FIRST_STEPS.join(', ')}`}`,
      'key',
    );
}

function readSkip(written: unknown, axes: readonly Axis[], complaints: Complaints): Condition[] {
  if (written === undefined) return [];
  const list = Array.isArray(written) ? written : [written];
  return list.flatMap((entry, index) => {
    const at: Path = Array.isArray(written) ? ['skip', index] : ['skip'];
    if (typeof entry === 'string') return conditionOf(entry, at, axes, complaints);
    if (isMap(entry)) return matchOf(entry, at, axes, complaints);
    complaints.add(
      at,
      `must be a condition such as "a.b > 4" or a map from field to value, not ${show(entry)}`,
    );
    return [];
  });
}

const notVaried = (path: string, axes: readonly Axis[]): string => {
  const paths = axes.map((axis) => axis.path);
  return `${path} is not varied${didYouMean(path, paths) || `; varied are ${paths.join(', ')}`}`;
};

function conditionOf(text: string, at: Path, axes: readonly Axis[], complaints: Complaints): Condition[] {
  try {
    return [readCondition(text, (path) => axes.some((axis) => axis.path === path))];
  } catch (error) {
    if (!(error instanceof ConditionError)) throw error;
    complaints.add(at, `${error.message}; varied are ${axes.map((axis) => axis.path).join(', ')}`);
    return [];
  }
}

function matchOf(match: Map_, at: Path, axes: readonly Axis[], complaints: Complaints): Condition[] {
  const unknown = Object.keys(match).filter((key) => !axes.some((axis) => axis.path === plainPath(key)));
  for (const key of unknown) complaints.add([...at, key], notVaried(plainPath(key), axes), 'key');
  return unknown.length > 0 ? [] : [readMatch(match)];
}

/**
 * Reads a sweep file that is already YAML: a configuration with `vary`, and `skip` and `counters` if wanted.
 * @throws {NestwalkError} `config.invalid` with every problem of these three; the configuration itself is looked at
 * cell by cell, in `plan.ts`
 */
export function readGrid(parsed: ParsedConfig & { directory: string }): Grid {
  const { source, directory } = parsed;
  const complaints = new Complaints(source);
  const input = plain(parsed.input);
  if (!isMap(input)) {
    complaints.add([], `a sweep is a map of fields: a configuration and vary, not ${show(input)}`);
    complaints.check();
    throw new Error('unreachable');
  }
  const { vary, skip: conditions, counters = 'all', ...base } = input;
  const axes = readAxes(vary, complaints);
  const skip = readSkip(conditions, axes, complaints);
  if (!(COUNTERS as readonly unknown[]).includes(counters))
    complaints.add(['counters'], `must be one of ${COUNTERS.join(', ')}, not ${show(counters)}`);
  const cells = axes.reduce((product, axis) => product * axis.values.length, 1);
  if (cells > MOST_CELLS)
    complaints.add(['vary'], `makes ${cells} cells; at most ${MOST_CELLS} are allowed: vary less at a time`);
  complaints.check();
  return { base, axes, skip, counters: counters as Grid['counters'], source, directory };
}

/** A field that cannot be varied because of what stands around it. */
export class PathError extends Error {}

/** What stands in a field's way, as something that has fields: a pattern's name is a component without parameters. */
function opened(value: unknown, step: string | number, at: Path): Map_ | unknown[] {
  if (typeof step === 'number') {
    if (Array.isArray(value) && step < value.length) return [...value];
    const has = Array.isArray(value) ? `${value.length} elements, the first is [0]` : 'no elements';
    throw new PathError(`${pathText(at)} has ${has}: there is no [${step}] to vary`);
  }
  if (isMap(value)) return { ...value };
  if (value === undefined || value === null) return {};
  if (at.length === 1 && at[0] === 'workload' && (BARE_PATTERNS as string[]).includes(value as string))
    return { pattern: value };
  throw new PathError(`${pathText(at)} is ${show(value)}, which has no ${step} to vary`);
}

/**
 * A copy of an input with one field set.
 * @throws {PathError} when the path leads through something that has no such field
 */
export function withField(input: unknown, steps: Path, value: unknown, at: Path = []): unknown {
  if (at.length === steps.length) return value;
  const step = steps[at.length];
  const copy = opened(input, step, at) as Map_;
  copy[step as string] = withField(copy[step as string], steps, value, [...at, step]);
  return copy;
}

/**
 * Turns `sets` beside `ways` into `entries`, anywhere in a machine: how geometries are varied by sets.
 * @throws {PathError} when `ways` is no number
 */
export function withoutSets(machine: unknown): unknown {
  if (Array.isArray(machine)) return machine.map(withoutSets);
  if (!isMap(machine)) return machine;
  const fields = Object.fromEntries(Object.entries(machine).map(([key, field]) => [key, withoutSets(field)]));
  if (!('sets' in fields)) return fields;
  const { sets, ...rest } = fields;
  if (typeof rest.ways !== 'number' || typeof sets !== 'number')
    throw new PathError(`sets needs a number of sets and of ways, not ${show(sets)} and ${show(rest.ways)}`);
  return { ...rest, entries: sets * rest.ways };
}
