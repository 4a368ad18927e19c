/**
 * From what a user wrote to the whole, resolved configuration: defaults, presets, named workloads, and every check of
 * what fields mean to each other. All problems are found at once, each with its place.
 */
import { createHash } from 'node:crypto';
import type { Problem } from '../errors.ts';
import { resolveMachine } from './machine.ts';
import { NAMED_WORKLOADS } from './named.ts';
import {
  checkPhysicalSpace,
  placeRegions,
  readRegions,
  resolvePaging,
  type UnplacedRegion,
  wholePages,
} from './paging.ts';
import { createReader, invalidConfig, type Locator, type Path, type Reader } from './problems.ts';
import type { ComponentConfig, PagingConfig, RegionConfig, ResolvedConfig, TraceConfig } from './resolved.ts';
import {
  type ComponentInput,
  ComponentSchema,
  ConfigSchema,
  ContextSchema,
  PATTERN_INPUTS,
  RunSchema,
} from './schema.ts';
import { didYouMean } from './suggest.ts';
import { formatBytes, show } from './units.ts';
import { BARE_PATTERNS, checkBesideTrace, resolveComponent, resolveTrace } from './workload.ts';

/** Options of {@link resolveConfig}. */
export interface ResolveOptions {
  /** Tells where each value stands in a file; see `parseConfigText`. */
  source?: Locator;
  /** What a trace's path is relative to; default: the working directory. */
  directory?: string;
  /** The seed where the configuration has none; without it a missing seed is a problem. */
  defaultSeed?: number;
}

/** A resolved configuration, frozen throughout, and what the user should be told about it. */
export interface Resolution {
  config: ResolvedConfig;
  notes: string[];
}

/** Accesses that a worker runs uncounted before its segment, where the configuration does not say. */
const DEFAULT_WARMUP = 1_000_000;
/** Deepest nesting of maps and lists that is read. */
const MAX_DEPTH = 64;
const OPTIONAL = ['unique', 'reuse'] as const;

/**
 * Resolves a configuration in any form; the resolved form resolves to itself. Keys come in a fixed order.
 * @throws NestwalkError `config.invalid` whose `problems` are all that is wrong, and whose message has a line for each.
 */
export function resolveConfig(input: unknown, options: ResolveOptions = {}): Resolution {
  const { source, directory = process.cwd(), defaultSeed } = options;
  const plain = plainInput(input, source);
  const reader = createReader(plain, ConfigSchema, source);
  const notes: string[] = [];
  // A configuration that is no map has said so already; nothing in it can be missing.
  if (!isMap(plain)) throw invalidConfig(reader.problems);

  const seed = resolveSeed(reader, defaultSeed, notes);
  const machine = resolveMachine(reader, ['machine']);
  const paging = resolvePaging(reader);
  const kind = workloadKind(reader);
  const { workload, regions } = resolveWorkload(reader, kind, paging, directory, notes);
  const accesses = resolveAccesses(reader, kind);
  const optional = reader.read(['optional'], ConfigSchema.shape.optional) ?? [];
  const config: ResolvedConfig = {
    seed,
    ...(accesses === undefined ? {} : { accesses }),
    optional: OPTIONAL.filter((name) => optional.includes(name)),
    machine,
    paging,
    context: { tag: contextNumber(reader, 'tag'), vm: contextNumber(reader, 'vm') },
    regions,
    workload,
    run: resolveRun(reader),
  };
  if (reader.problems.length > 0) throw invalidConfig(reader.problems);
  notes.push(...memoryNotes(config));
  return { config: deepFreeze(config), notes };
}

/** Guest memory that is smaller than the regions is not what the user gets. */
function memoryNotes({ paging, regions }: ResolvedConfig): string[] {
  const sum = regions.reduce((total, region) => total + region.bytes, 0);
  if (paging.guestMemory === undefined || paging.guestMemory >= sum) return [];
  return [`paging.guestMemory: without effect, the regions take ${formatBytes(sum)}`];
}

/**
 * The name of a configuration: SHA-256 (hex) of its canonical JSON, keys sorted, without `run`, which never changes
 * a counter.
 */
export function configHash(resolved: ResolvedConfig): string {
  const { run: _, ...counted } = resolved;
  return createHash('sha256').update(canonicalJson(counted)).digest('hex');
}

/** JSON that is the same for equal values: keys sorted, no spaces. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    isMap(inner)
      ? Object.fromEntries(Object.entries(inner as object).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

const isMap = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The input as plain maps, lists and scalars: absent fields dropped, bigints as numbers where that is exact, else as
 * their digits. What has no end (a YAML alias to itself) is refused here.
 */
function plainInput(input: unknown, source: Locator | undefined): unknown {
  const tooDeep: Problem[] = [];
  const copy = (value: unknown, path: Path): unknown => {
    if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
    if (typeof value !== 'object' || value === null) return value;
    if (path.length > MAX_DEPTH) {
      tooDeep.push({
        path: '',
        message: `nested deeper than ${MAX_DEPTH} maps and lists`,
        ...source?.([], 'value'),
      });
      return undefined;
    }
    if (Array.isArray(value)) return value.map((element, index) => copy(element, [...path, index]));
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    return Object.fromEntries(fields.map(([key, field]) => [key, copy(field, [...path, key])]));
  };
  const plain = copy(input, []);
  if (tooDeep.length > 0) throw invalidConfig(tooDeep.slice(0, 1));
  return plain;
}

function resolveSeed(reader: Reader, defaultSeed: number | undefined, notes: string[]): number | string {
  const seed = reader.read(['seed'], ConfigSchema.shape.seed);
  if (seed !== undefined) return seed;
  if (defaultSeed === undefined) {
    if (!reader.given(['seed']))
      reader.report(
        ['seed'],
        'is missing: give a whole number, so that the run can be repeated; any will do',
      );
    return 0;
  }
  notes.push(`seed: ${defaultSeed}, since none was given`);
  return defaultSeed;
}

function resolveAccesses(reader: Reader, kind: WorkloadKind): number | undefined {
  if (!reader.given(['accesses']) && kind !== 'trace' && kind !== 'unknown')
    reader.report(
      ['accesses'],
      'is missing: a synthetic workload goes on for ever; give a count, such as 1e6 or 10M',
    );
  return reader.read(['accesses'], ConfigSchema.shape.accesses);
}

const contextNumber = (reader: Reader, name: 'tag' | 'vm'): number =>
  reader.read(['context', name], ContextSchema.shape[name]) ?? 1;

function resolveRun(reader: Reader): ResolvedConfig['run'] {
  const {
    engine = 'auto',
    workers = 'auto',
    warmup = DEFAULT_WARMUP,
  } = reader.read(['run'], RunSchema) ?? {};
  return { engine, workers, warmup };
}

/** What a workload is meant to be, right or wrong. */
type WorkloadKind = 'trace' | 'component' | 'named' | 'bare' | 'unknown';

function workloadKind(reader: Reader): WorkloadKind {
  const written = reader.raw(['workload']);
  if (typeof written === 'string') {
    if (Object.hasOwn(NAMED_WORKLOADS, written)) return 'named';
    return (BARE_PATTERNS as string[]).includes(written) ? 'bare' : 'unknown';
  }
  if (reader.given(['workload', 'pattern'])) return 'component';
  return reader.given(['workload', 'trace']) ? 'trace' : 'unknown';
}

type Resolved = { workload: ComponentConfig | TraceConfig; regions: RegionConfig[] };
/** Stands in for a workload that is wrong; it never leaves this module. */
const NO_WORKLOAD: ComponentConfig = { pattern: 'uniform', region: 0, writeFraction: 0 };

function resolveWorkload(
  reader: Reader,
  kind: WorkloadKind,
  paging: PagingConfig,
  directory: string,
  notes: string[],
): Resolved {
  if (kind === 'trace') return traceWorkload(reader, paging, directory);
  const written = reader.raw(['workload']);
  if (kind === 'named') return namedWorkload(reader, paging, written as string, notes);
  if (kind === 'unknown' && typeof written === 'string')
    reader.report(['workload'], unknownWorkload(written));
  const regions = syntheticRegions(reader, paging, kind);
  const workload = (): ComponentConfig => {
    if (kind === 'component') return resolveComponent(reader, ['workload'], regions);
    if (kind === 'unknown') return NO_WORKLOAD;
    return innerComponent(reader, { pattern: written } as ComponentInput, regions, ['workload']);
  };
  return { workload: workload(), regions: regions ?? [] };
}

/** A name that is no workload: a pattern that needs parameters, or a slip. */
function unknownWorkload(name: string): string {
  if ((PATTERN_INPUTS as string[]).includes(name))
    return `the pattern ${name} needs parameters: write it as a component, {pattern: ${name}, …}`;
  if (/[./\\]/.test(name))
    return `there is no workload ${show(name)}; a trace is written as {trace: ${name}}`;
  const names = [...new Set([...Object.keys(NAMED_WORKLOADS), ...BARE_PATTERNS])];
  const hint = didYouMean(name, [...names, ...PATTERN_INPUTS]);
  return `there is no workload or pattern ${show(name)}${hint || `; there are ${names.join(', ')}`}`;
}

function traceWorkload(reader: Reader, paging: PagingConfig, directory: string): Resolved {
  checkBesideTrace(reader);
  if (reader.sound(['paging'])) checkPhysicalSpace(reader, [], paging, { path: ['workload'], trace: true });
  return { workload: resolveTrace(reader, ['workload'], directory), regions: [] };
}

/** Resolves a component that is not in the user's own words; what is wrong with it is said at a path that is. */
function innerComponent(
  reader: Reader,
  composed: ComponentInput,
  regions: readonly RegionConfig[] | undefined,
  blame: Path,
): ComponentConfig {
  const inner = createReader(composed, ComponentSchema);
  const workload = resolveComponent(inner, [], regions);
  for (const problem of inner.problems) reader.report(blame, problem.message);
  return workload;
}

/** Regions of a workload that is no named one: the list, or a single one of `footprint`. `undefined`: not sound. */
function syntheticRegions(
  reader: Reader,
  paging: PagingConfig,
  kind: WorkloadKind,
): RegionConfig[] | undefined {
  const listed = reader.given(['regions']);
  const footprint = reader.given(['footprint']);
  if (listed && footprint) {
    reader.report(
      ['footprint'],
      'stands beside regions, which say the same in another way: leave one of them out',
      'key',
    );
    return undefined;
  }
  if (listed) return listedRegions(reader, paging);
  if (footprint) return footprintRegions(reader, paging);
  if (kind !== 'unknown')
    reader.report(
      ['footprint'],
      'is missing: give the bytes that the workload touches, such as 4GiB, or list regions',
    );
  return undefined;
}

function listedRegions(reader: Reader, paging: PagingConfig): RegionConfig[] | undefined {
  const regions = readRegions(reader);
  if (Array.isArray(reader.raw(['regions'])) && regions.length === 0 && reader.sound(['regions']))
    reader.report(['regions'], 'is empty: a synthetic workload needs a region, such as [{bytes: 1GiB}]');
  if (regions.length === 0 || regions.includes(undefined)) return undefined;
  return placed(reader, regions as UnplacedRegion[], paging, ['regions']);
}

function footprintRegions(reader: Reader, paging: PagingConfig): RegionConfig[] | undefined {
  const bytes = footprintBytes(reader);
  return bytes === undefined
    ? undefined
    : placed(reader, [{ bytes, path: ['footprint'] }], paging, ['footprint']);
}

/** The footprint that is given, in whole pages. */
function footprintBytes(reader: Reader): number | undefined {
  const bytes = reader.read(['footprint'], ConfigSchema.shape.footprint);
  if (bytes === undefined || bytes % 4096 === 0) return bytes;
  reader.report(['footprint'], wholePages(bytes));
  return undefined;
}

/** Places regions and holds them against both address spaces, if the paging is known. */
function placed(
  reader: Reader,
  unplaced: UnplacedRegion[],
  paging: PagingConfig,
  blame: Path,
): RegionConfig[] | undefined {
  if (!reader.sound(['paging', 'guestPage']) || !reader.sound(['paging', 'guestLevels'])) return undefined;
  const before = reader.problems.length;
  const regions = placeRegions(reader, unplaced, paging);
  if (reader.problems.length === before && reader.sound(['paging']) && reader.sound(['regions']))
    checkPhysicalSpace(reader, regions, paging, { path: blame, trace: false });
  return regions;
}

function namedWorkload(reader: Reader, paging: PagingConfig, name: string, notes: string[]): Resolved {
  const named = NAMED_WORKLOADS[name];
  const nothing: Resolved = { workload: NO_WORKLOAD, regions: [] };
  if (reader.given(['regions'])) {
    reader.report(
      ['regions'],
      `the workload ${name} lays out its own regions: give footprint instead`,
      'key',
    );
    return nothing;
  }
  const bytes = reader.given(['footprint']) ? footprintBytes(reader) : named.footprint;
  if (bytes === undefined) return nothing;
  if (bytes < named.minimum) {
    reader.report(
      ['footprint'],
      `${formatBytes(bytes)} is too little for ${name}: give at least ${formatBytes(named.minimum)}`,
    );
    return nothing;
  }
  const blame: Path = reader.given(['footprint']) ? ['footprint'] : ['workload'];
  if (!reader.given(['footprint'])) notes.push(`footprint: ${formatBytes(bytes)}, the default of ${name}`);
  const { regions: unplaced, component } = named.compose(bytes);
  const regions = placed(
    reader,
    unplaced.map((region) => ({ ...region, path: blame })),
    paging,
    blame,
  );
  return { workload: innerComponent(reader, component, regions, blame), regions: regions ?? [] };
}

/** Freezes a tree of plain values throughout. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
