/** From what a user wrote of a machine to a whole one, with every check of geometry. */
import { MACHINE_PRESETS } from '../machines/presets.ts';
import { PAGE_SIZES } from '../schema.ts';
import type { Path, Reader } from './problems.ts';
import type { CacheConfig, GeometryConfig, MachineConfig, PscConfig, TlbArrayConfig } from './resolved.ts';
import { CacheSchema, MachineSchema, NtlbSchema, PscSchema, PwcSchema, TlbArraySchema } from './schema.ts';
import { didYouMean } from './suggest.ts';
import { formatBytes, show } from './units.ts';

/** The preset of a configuration that does not speak of a machine. */
const DEFAULT_PRESET = 'skylake-sp';

/** A machine written whole starts from this: no TLB, no walk cache, no PTE cache. */
const BARE_MACHINE: MachineConfig = {
  l1d: [],
  l1i: null,
  stlb: [],
  psc: null,
  nestedPsc: null,
  ntlb: null,
  pwc: null,
  caches: [],
  memoryLatency: 200,
  stlbLatency: 7,
  dataThroughCaches: false,
  nestedAD: true,
  tagged: ['vpid', 'pcid'],
};

const PSC_LEVELS = ['l2', 'l3', 'l4', 'l5'] as const;
const TAGS = ['vpid', 'pcid'] as const;

type Side = 'l1d' | 'l1i' | 'stlb';

/**
 * The machine of a configuration, whole. Problems go to the reader; what is wrong is replaced by a default, so that
 * the rest can still be checked.
 */
export function resolveMachine(reader: Reader, path: Path): MachineConfig {
  const written = reader.raw(path);
  const inline = typeof written === 'object' && written !== null;
  const preset = presetName(reader, path, inline);
  const base = preset === undefined ? BARE_MACHINE : structuredClone(MACHINE_PRESETS[preset].machine);
  const machine = inline ? withChanges(reader, path, base) : base;
  if (inline) checkWalkCaches(reader, path, machine);
  return preset === undefined ? machine : { preset, ...machine };
}

function presetName(reader: Reader, path: Path, inline: boolean): string | undefined {
  if (!reader.given(path)) return DEFAULT_PRESET;
  const at = inline ? [...path, 'preset'] : path;
  const name = reader.raw(at);
  if (typeof name !== 'string') return undefined;
  if (Object.hasOwn(MACHINE_PRESETS, name)) return name;
  const names = Object.keys(MACHINE_PRESETS);
  reader.report(
    at,
    `there is no machine ${show(name)}${didYouMean(name, names) || `; there are ${names.join(', ')}`}`,
  );
  return undefined;
}

/** The base with each field that is given replaced whole. */
function withChanges(reader: Reader, path: Path, base: MachineConfig): MachineConfig {
  const field = <Name extends keyof typeof MachineSchema.shape & keyof MachineConfig>(name: Name) => {
    const value = reader.read([...path, name], MachineSchema.shape[name]);
    return (value === undefined ? base[name] : value) as MachineConfig[Name];
  };
  const change = <T>(name: keyof MachineConfig, resolve: (at: Path) => T, otherwise: T): T =>
    reader.given([...path, name]) ? resolve([...path, name]) : otherwise;
  return {
    l1d: change('l1d', (at) => tlbArrays(reader, at, 'l1d') ?? [], base.l1d),
    l1i: change('l1i', (at) => tlbArrays(reader, at, 'l1i'), base.l1i),
    stlb: change('stlb', (at) => tlbArrays(reader, at, 'stlb') ?? [], base.stlb),
    psc: change('psc', (at) => psc(reader, at), base.psc),
    nestedPsc: change('nestedPsc', (at) => psc(reader, at), base.nestedPsc),
    ntlb: change('ntlb', (at) => ntlb(reader, at), base.ntlb),
    pwc: change('pwc', (at) => pwc(reader, at), base.pwc),
    caches: change('caches', (at) => caches(reader, at), base.caches),
    memoryLatency: field('memoryLatency'),
    stlbLatency: field('stlbLatency'),
    dataThroughCaches: field('dataThroughCaches'),
    nestedAD: field('nestedAD'),
    tagged: TAGS.filter((tag) => field('tagged').includes(tag)),
  };
}

const plural = (many: number, noun: string): string => `${many} ${noun}${many === 1 ? '' : 's'}`;
const entriesText = (entries: number): string => (entries === 1 ? '1 entry' : `${entries} entries`);
const powerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));

/** Stands in for a geometry that is wrong; a machine with one is never handed out. */
const NO_GEOMETRY: GeometryConfig = { entries: 1, ways: 1 };

/** Entries and ways at a path, ways as a number: at most the entries, and a number of sets that is a power of two. */
function geometry(reader: Reader, path: Path): GeometryConfig {
  const entries = reader.read([...path, 'entries'], TlbArraySchema.shape.entries);
  const written = reader.read([...path, 'ways'], TlbArraySchema.shape.ways);
  if (entries === undefined || written === undefined) return NO_GEOMETRY;
  const ways = written === 'full' ? entries : written;
  const at = [...path, 'ways'];
  if (ways > entries)
    reader.report(
      at,
      `${plural(ways, 'way')}, but only ${entriesText(entries)}: give at most ${entries}, or "full"`,
    );
  else if (!powerOfTwo(entries / ways)) reader.report(at, setsMessage(entries, ways));
  return { entries, ways };
}

function setsMessage(entries: number, ways: number): string {
  const sets = entries / ways;
  const makes = Number.isInteger(sets) ? `make ${sets} sets` : 'do not divide into whole sets';
  const below = 2 ** Math.floor(Math.log2(sets));
  const otherWays = [below * 2, below]
    .filter((count) => entries % count === 0)
    .map((count) => entries / count);
  const byWays = otherWays.length > 0 ? `, or ${otherWays.join(' or ')} ways with ${entries} entries` : '';
  return (
    `${entries} entries in ${plural(ways, 'way')} ${makes}, but sets must be a power of two: ` +
    `give ${below * ways} or ${below * 2 * ways} entries with ${plural(ways, 'way')}${byWays}`
  );
}

/** One side's arrays; each page size may be in one of them only. */
function tlbArrays(reader: Reader, path: Path, side: Side): TlbArrayConfig[] | null {
  const written = reader.raw(path);
  if (!Array.isArray(written)) return null;
  const holder = new Map<string, number>();
  return written.map((_, index): TlbArrayConfig => {
    const at = [...path, index];
    const sizes = reader.read([...at, 'sizes'], TlbArraySchema.shape.sizes) ?? [];
    for (const size of new Set(sizes)) {
      const other = holder.get(size);
      if (other === undefined) holder.set(size, index);
      else
        reader.report(
          [...at, 'sizes'],
          `${size} is in ${side}[${other}] already; each page size is in at most one array of a side`,
        );
    }
    const { entries, ways } = geometry(reader, at);
    const replacement = reader.read([...at, 'replacement'], TlbArraySchema.shape.replacement) ?? 'lru';
    if (replacement === 'plru' && !powerOfTwo(ways))
      reader.report(
        [...at, 'replacement'],
        `plru is a tree over the ways, which must be a power of two, not ${ways}; lru takes any number`,
      );
    const indexing = reader.read([...at, 'index'], TlbArraySchema.shape.index) ?? 'low';
    return {
      entries,
      ways,
      sizes: PAGE_SIZES.filter((size) => sizes.includes(size)),
      replacement,
      ...(indexing === 'low' ? {} : { index: indexing }),
    };
  });
}

function psc(reader: Reader, path: Path): PscConfig | null {
  if (!isMap(reader.raw(path))) return null;
  const levels = PSC_LEVELS.filter((level) => reader.given([...path, level]));
  const geometries = levels.map((level) => [level, geometry(reader, [...path, level])] as const);
  return { ...Object.fromEntries(geometries), latency: latencyOf(reader, path) };
}

const latencyOf = (reader: Reader, path: Path): number =>
  reader.read([...path, 'latency'], PscSchema.shape.latency) ?? 0;

function ntlb(reader: Reader, path: Path): MachineConfig['ntlb'] {
  if (!isMap(reader.raw(path))) return null;
  const holds = reader.read([...path, 'holds'], NtlbSchema.shape.holds) ?? 'all';
  return { ...geometry(reader, path), holds, latency: latencyOf(reader, path) };
}

function pwc(reader: Reader, path: Path): MachineConfig['pwc'] {
  if (!isMap(reader.raw(path))) return null;
  const holds = reader.read([...path, 'holds'], PwcSchema.shape.holds) ?? '2d';
  return { ...geometry(reader, path), holds, latency: latencyOf(reader, path) };
}

const isMap = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function caches(reader: Reader, path: Path): CacheConfig[] {
  const written = reader.raw(path);
  if (!Array.isArray(written)) return [];
  const names = new Map<string, number>();
  return written.map((_, index): CacheConfig => {
    const at = [...path, index];
    const name = reader.read([...at, 'name'], CacheSchema.shape.name) ?? '';
    // Results have columns by these names, and SQL does not tell capitals from small letters.
    const other = names.get(name.toLowerCase());
    if (name.toLowerCase() === 'memory')
      reader.report([...at, 'name'], '"memory" is what comes after the last cache; give another name');
    else if (other !== undefined)
      reader.report(
        [...at, 'name'],
        `"${name}" is the name of caches[${other}] already; names must differ in more than capitals`,
      );
    if (name !== '') names.set(name.toLowerCase(), index);
    return { name, ...cacheGeometry(reader, at), latency: latencyOf(reader, at) };
  });
}

/** Most lines of one cache: 4 GiB of 64-byte lines. */
const MAX_LINES = 2 ** 26;

/** A PTE cache may have any number of sets, but whole ones. */
function cacheGeometry(reader: Reader, path: Path): Pick<CacheConfig, 'size' | 'ways' | 'line'> {
  const size = reader.read([...path, 'size'], CacheSchema.shape.size);
  const line = reader.read([...path, 'line'], CacheSchema.shape.line);
  const written = reader.read([...path, 'ways'], CacheSchema.shape.ways);
  if (line !== undefined && !powerOfTwo(line))
    reader.report([...path, 'line'], `a line is a power of two from 8 to 4096 bytes, not ${line}`);
  else if (line !== undefined && size !== undefined && written !== undefined) {
    const lines = size / line;
    const ways = written === 'full' ? lines : written;
    const { field, message } = cacheProblem(size, line, lines, ways) ?? {};
    if (field) reader.report([...path, field], message!);
    return { size, ways, line };
  }
  return { size: 64, ways: 1, line: 64 };
}

/** What is wrong with a cache of so many bytes, bytes a line, lines and ways, if anything. */
function cacheProblem(size: number, line: number, lines: number, ways: number) {
  const bytes = formatBytes(size);
  if (!Number.isInteger(lines))
    return { field: 'size', message: `${bytes} is not a whole number of ${line}-byte lines` };
  if (lines > MAX_LINES)
    return {
      field: 'size',
      message: `${bytes} makes ${lines} lines of ${line} bytes; at most ${MAX_LINES} can be simulated`,
    };
  if (ways > lines)
    return {
      field: 'ways',
      message: `${ways} ways, but ${bytes} has only ${plural(lines, 'line')} of ${line} bytes: give at most ${lines}, or "full"`,
    };
  if (lines % ways === 0) return undefined;
  let below = ways - 1;
  while (lines % below !== 0) below -= 1;
  let above = ways + 1;
  while (lines % above !== 0) above += 1;
  return {
    field: 'ways',
    message:
      `${bytes} makes ${lines} lines of ${line} bytes, which do not divide into ${ways} ways: ` +
      `give ${below} or ${above} ways, or a size that is a multiple of ${formatBytes(ways * line)}`,
  };
}

/** What may stand beside what: a machine walks with paging-structure caches or with a page-walk cache. */
function checkWalkCaches(reader: Reader, path: Path, { psc, nestedPsc, ntlb, pwc }: MachineConfig): void {
  const at = (name: string): Path => (reader.given([...path, name]) ? [...path, name] : path);
  const known = ['preset', 'psc', 'nestedPsc', 'ntlb', 'pwc'].every((name) => reader.sound([...path, name]));
  if (!pwc || !known) return;
  const beside = [psc && 'psc', nestedPsc && 'nestedPsc'].filter((name) => name !== null);
  if (beside.length > 0)
    reader.report(
      at('pwc'),
      `a page-walk cache stands in the place of paging-structure caches, but this machine has ${beside.join(' and ')} too: ` +
        `${beside.map((name) => `${name}: null`).join(', ')} takes ${beside.length > 1 ? 'them' : 'it'} away`,
    );
  if (pwc.holds !== '2d+nt' && ntlb)
    reader.report(
      at('pwc'),
      `holds ${pwc.holds} goes without a nested TLB: give ntlb: null, or holds: 2d+nt`,
    );
  if (pwc.holds === '2d+nt' && ntlb?.holds !== 'tables')
    reader.report(
      at('pwc'),
      ntlb
        ? 'holds 2d+nt needs a nested TLB that holds the tables only: give ntlb holds: tables'
        : 'holds 2d+nt needs a nested TLB: give ntlb: {entries: 16, ways: full, holds: tables}, or holds: 2d',
    );
}
