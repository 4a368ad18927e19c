/** From what a user wrote of a workload to components with every field given, each parameter checked against its region. */
import path from 'node:path';
import type { z } from 'zod';
import type { Path, Reader } from './problems.ts';
import type { ComponentConfig, RegionConfig, TraceConfig } from './resolved.ts';
import { PATTERN_FIELDS, PATTERN_INPUTS, type PatternInput, TraceSchema } from './schema.ts';
import { formatByName } from './traceFormat.ts';
import { formatBytes } from './units.ts';

/** Words of the generator have 32 bits: nothing is drawn from among more. */
const MAX_DRAW = 2 ** 32;
/** Most pages under a Zipf distribution (1 TiB): its table takes some 30 bytes a page while it is built. */
const MAX_ZIPF_PAGES = 2 ** 28;
/** Most components of a workload. */
const MAX_COMPONENTS = 4096;
/** Most components on a path from the whole workload down to a leaf, both counted: what the generators make room for. */
export const MAX_WORKLOAD_DEPTH = 16;
/** A `sequential` component goes in steps of a cache line. */
const SEQUENTIAL_BYTES = 64;
/** YCSB's exponent (Cooper et al., SoCC 2010). */
const DEFAULT_THETA = 0.99;

/** Patterns whose name alone is a workload, since their parameters have defaults. */
export const BARE_PATTERNS = PATTERN_INPUTS.filter((name) =>
  ['uniform', 'sequential', 'chase', 'zipf'].includes(name),
);

type Inherited = { region: number; writeFraction: number };
/** A parameter's value; `undefined` where it is not sound, so that checks that need it are left out. */
type Parameters = Record<string, unknown>;

/** What a component is resolved against. `regions` is unknown where they are not sound. */
interface Surroundings {
  reader: Reader;
  regions: readonly RegionConfig[] | undefined;
  components: number;
}

/** Resolves the component at a path, parts included. Problems go to the reader; then the value returned means nothing. */
export function resolveComponent(
  reader: Reader,
  at: Path,
  regions: readonly RegionConfig[] | undefined,
): ComponentConfig {
  return component({ reader, regions, components: 0 }, at, { region: 0, writeFraction: 0 }, 1);
}

/** `depth` counts the components from the whole workload down to this one. */
function component(around: Surroundings, at: Path, inherited: Inherited, depth: number): ComponentConfig {
  const { reader } = around;
  if (depth > MAX_WORKLOAD_DEPTH) {
    // What is below is not looked at: one report a branch says it all.
    reader.report(at, `is nested deeper than ${MAX_WORKLOAD_DEPTH} components: flatten it`);
    return { pattern: 'uniform', ...inherited };
  }
  around.components += 1;
  if (around.components === MAX_COMPONENTS + 1)
    reader.report(at, `a workload has at most ${MAX_COMPONENTS} components`);
  const name = reader.raw([...at, 'pattern']) as PatternInput;
  const known = PATTERN_INPUTS.includes(name);
  const own: Inherited = {
    region:
      (reader.sound([...at, 'region']) ? (reader.raw([...at, 'region']) as number) : undefined) ??
      inherited.region,
    writeFraction: (reader.raw([...at, 'writeFraction']) as number | undefined) ?? inherited.writeFraction,
  };
  const pages = pagesOf(around, at, own.region);
  const parameters: Parameters = {};
  for (const [field, schema] of Object.entries<z.ZodType>(known ? PATTERN_FIELDS[name] : {}))
    if (field !== 'of' && field !== 'parts') parameters[field] = reader.read([...at, field], schema);
  if (known) CHECKS[name]?.(parameters, pages, (field, message) => reader.report([...at, field], message));
  return { ...describe(name, parameters), ...own, ...partsOf(around, at, own, depth + 1) } as ComponentConfig;
}

/** Pattern and parameters with their defaults; `sequential` becomes the stride that it is short for. */
function describe(name: PatternInput, parameters: Parameters): Parameters {
  if (name === 'sequential') return { pattern: 'stride', bytes: SEQUENTIAL_BYTES };
  if (name === 'zipf')
    return {
      pattern: name,
      theta: parameters.theta ?? DEFAULT_THETA,
      clustered: parameters.clustered ?? false,
    };
  return { pattern: name, ...parameters };
}

/** Resolved parts of a composite, which are at `depth`, and the lists that must be as long as they are many. */
function partsOf(
  around: Surroundings,
  at: Path,
  own: Inherited,
  depth: number,
): Partial<{ of: ComponentConfig; parts: ComponentConfig[] }> {
  const { reader } = around;
  if (isMap(reader.raw([...at, 'of']))) return { of: component(around, [...at, 'of'], own, depth) };
  const written = reader.raw([...at, 'parts']);
  if (!Array.isArray(written)) return {};
  for (const field of ['weights', 'lengths']) {
    const values = reader.raw([...at, field]);
    if (Array.isArray(values) && values.length !== written.length)
      reader.report(
        [...at, field],
        `${count(values.length, field)} for ${count(written.length, 'parts')}: give one for each part`,
      );
  }
  return {
    parts: written.flatMap((part, index) =>
      isMap(part) ? [component(around, [...at, 'parts', index], own, depth)] : [],
    ),
  };
}

const isMap = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const count = (many: number, nouns: string): string => `${many} ${many === 1 ? nouns.slice(0, -1) : nouns}`;

/** Pages of 4 KiB of the component's region, or `undefined` where there is none. */
function pagesOf({ reader, regions }: Surroundings, at: Path, region: number): number | undefined {
  if (!regions) return undefined;
  if (region < regions.length) {
    const pages = regions[region].bytes / 4096;
    return Number.isInteger(pages) ? pages : undefined;
  }
  const there =
    regions.length === 1 ? 'there is only region 0' : `regions go from 0 to ${regions.length - 1}`;
  if (reader.given([...at, 'region']))
    reader.report([...at, 'region'], `there is no region ${region}: ${there}`);
  return undefined;
}

type Complain = (field: string, message: string) => void;
type Check = (parameters: Parameters, pages: number | undefined, complain: Complain) => void;

const pagesText = (pages: number): string => `${count(pages, 'pages')} (${formatBytes(pages * 4096)})`;

function checkDraw(pages: number | undefined, complain: Complain, limit = MAX_DRAW): void {
  if (pages !== undefined && pages > limit)
    complain(
      'pattern',
      `the region has ${pagesText(pages)}, but this pattern draws from at most ${pagesText(limit)}`,
    );
}

/** Checks of parameters against each other and the region's pages. A check whose values are not all sound is left out. */
const CHECKS: Partial<Record<PatternInput, Check>> = {
  uniform: (_, pages, complain) => checkDraw(pages, complain),
  zipf: (_, pages, complain) => checkDraw(pages, complain, MAX_ZIPF_PAGES),
  hotcold: ({ hot }, pages, complain) => {
    checkDraw(pages, complain);
    if (typeof hot !== 'number' || pages === undefined) return;
    if (Math.max(1, Math.floor(pages * hot)) >= pages)
      complain(
        'hot',
        `${hot} of ${count(pages, 'pages')} leaves no cold page: give a smaller fraction, or a larger region`,
      );
  },
  window: ({ pages: width }, pages, complain) => {
    if (typeof width !== 'number') return;
    if (width > MAX_DRAW) complain('pages', `a window has at most ${MAX_DRAW} pages, not ${width}`);
    else if (pages !== undefined && width > pages)
      complain('pages', `a window of ${pagesText(width)} does not fit its region of ${pagesText(pages)}`);
  },
  btree: ({ fanout, levels }, pages, complain) => {
    if (typeof fanout !== 'number' || typeof levels !== 'number') return;
    const leaves = fanout ** (levels - 1);
    let nodes = 0;
    for (let level = 0; level < levels; level++) nodes += fanout ** level;
    if (leaves > MAX_DRAW)
      complain(
        'levels',
        `fanout ${fanout} with ${levels} levels makes ${leaves} leaves; at most 2^32 can be drawn from`,
      );
    else if (pages !== undefined && nodes > pages)
      complain(
        'levels',
        `a tree of fanout ${fanout} with ${levels} levels has ${nodes} nodes of a page each, but its region has only ${pagesText(pages)}`,
      );
  },
  mix: ({ weights }, _, complain) => {
    if (!Array.isArray(weights)) return;
    const sum = (weights as number[]).reduce((total, weight) => total + weight, 0);
    if (sum <= 0) complain('weights', 'all weights are 0: at least one must be above');
    else if (!Number.isFinite(sum)) complain('weights', 'the weights add up to more than a number can hold');
  },
  phases: ({ lengths }, _, complain) => {
    if (!Array.isArray(lengths)) return;
    if (!Number.isSafeInteger((lengths as number[]).reduce((total, length) => total + length, 0)))
      complain('lengths', 'the lengths add up to more than 2^53 - 1');
  },
};

/** A trace with its path made absolute from the configuration's directory. */
export function resolveTrace(reader: Reader, at: Path, directory: string): TraceConfig {
  const { trace = '', format = 'auto', fetches = true } = reader.read(at, TraceSchema) ?? {};
  return {
    trace: path.resolve(directory, trace),
    format: format === 'auto' ? (formatByName(trace) ?? 'auto') : format,
    fetches,
  };
}

/** What the trace excludes is a mistake when it is given. */
export function checkBesideTrace(reader: Reader): void {
  const regions = reader.raw(['regions']);
  if (Array.isArray(regions) && regions.length > 0)
    reader.report(['regions'], 'a trace brings its own addresses: leave regions out', 'key');
  if (reader.given(['footprint']))
    reader.report(['footprint'], 'a trace brings its own addresses: leave footprint out', 'key');
  if (reader.raw(['paging', 'placement']) === 'scattered')
    reader.report(
      ['paging', 'placement'],
      `scattered needs to know all pages beforehand, which a trace does not tell: leave it out`,
    );
}
