import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfigFile, parseConfigText } from '../src/config/file.ts';
import { type ResolveOptions, resolveConfig } from '../src/config/resolve.ts';
import { ERRORS, NestwalkError } from '../src/errors.ts';

/** The error of a text; fails the test when there is none. */
function errorOf(text: string, options: ResolveOptions = {}): NestwalkError {
  try {
    const { input, source } = parseConfigText(text, 'c.yaml');
    resolveConfig(input, { source, ...options });
  } catch (error) {
    expect(error).toBeInstanceOf(NestwalkError);
    return error as NestwalkError;
  }
  throw new Error(`no error from:\n${text}`);
}

/** A sound configuration to which one line is added; the marker ▲ is where the problem must be located. */
const SOUND = 'seed: 1\naccesses: 1000\n';
const UNIFORM = `${SOUND}workload: uniform\nfootprint: 1MiB\n`;
const MACHINE = `${UNIFORM}machine:\n`;
const WORKLOAD = `${SOUND}regions: [{bytes: 64KiB}, {bytes: 1MiB}]\nworkload: `;

/** Text with one ▲: the text without it, and the line and column of what follows it. */
function marked(text: string): { text: string; line: number; column: number } {
  const before = text.slice(0, text.indexOf('▲')).split('\n');
  return { text: text.replace('▲', ''), line: before.length, column: before.at(-1)!.length + 1 };
}

/** Name, text with the place marked, path, and what the message says. */
const CASES: [string, string, string, string][] = [
  ['unknown field', `${UNIFORM}▲footprnt: 4KiB`, 'footprnt', 'did you mean "footprint"?'],
  [
    'unknown inner field',
    `${UNIFORM}paging: {▲guestpage: 4KiB}`,
    'paging.guestpage',
    'did you mean "guestPage"?',
  ],
  ['field of no likeness', `${UNIFORM}run: {▲colour: red}`, 'run.colour', 'it has engine, workers, warmup'],
  ['unknown preset', `${UNIFORM}machine: ▲skylake`, 'machine', 'did you mean "skylake-sp"?'],
  [
    'unknown preset with changes',
    `${UNIFORM}machine: {preset: ▲zenn4}`,
    'machine.preset',
    'did you mean "zen4"?',
  ],
  ['unknown workload', `${SOUND}footprint: 1MiB\nworkload: ▲gupps`, 'workload', 'did you mean "gups"?'],
  ['workload of no likeness', `${SOUND}workload: ▲weatherforecast`, 'workload', 'there are gups, btree'],
  ['file in place of a workload', `${SOUND}workload: ▲sort.lackey`, 'workload', '{trace: sort.lackey}'],
  [
    'pattern without parameters',
    `${SOUND}footprint: 1MiB\nworkload: ▲hotcold`,
    'workload',
    'needs parameters',
  ],
  ['unknown pattern', `${WORKLOAD}{pattern: ▲unifrom}`, 'workload.pattern', 'did you mean "uniform"?'],
  [
    'slip in pattern',
    `${WORKLOAD}▲{patern: uniform}`,
    'workload.pattern',
    'there is "patern"; did you mean "pattern"?',
  ],
  ['workload of no type', `${WORKLOAD}▲5`, 'workload', 'must be the name of a workload'],
  ['empty field', `${SOUND}workload: uniform\nfootprint:▲`, 'footprint', 'is empty: give a byte quantity'],
  ['wrong unit', `${SOUND}workload: uniform\nfootprint: ▲4Kib`, 'footprint', 'did you mean "KiB"?'],
  ['footprint not in pages', `${SOUND}workload: uniform\nfootprint: ▲5000`, 'footprint', 'give 4KiB or 8KiB'],
  [
    'words behind a count',
    `seed: 1\nworkload: uniform\nfootprint: 1MiB\naccesses: ▲2M accesses`,
    'accesses',
    'without "accesses"',
  ],
  ['no accesses', `▲seed: 1\nworkload: uniform\nfootprint: 1MiB`, 'accesses', 'is missing'],
  [
    'no accesses at all',
    `seed: 1\nworkload: uniform\nfootprint: 1MiB\naccesses: ▲0`,
    'accesses',
    'at least 1',
  ],
  ['no seed', `▲accesses: 1\nworkload: uniform\nfootprint: 1MiB`, 'seed', 'is missing'],
  ['inexact seed', `seed: ▲1e30\naccesses: 1\nworkload: uniform\nfootprint: 1MiB`, 'seed', 'hex string'],
  ['no footprint', `▲${SOUND}workload: uniform`, 'footprint', 'is missing'],
  [
    'footprint beside regions',
    `${SOUND}workload: uniform\nregions: [{bytes: 4KiB}]\n▲footprint: 4KiB`,
    'footprint',
    'beside regions',
  ],
  ['no region', `${SOUND}workload: uniform\nregions: ▲[]`, 'regions', 'is empty'],
  [
    'named workload with regions',
    `${SOUND}workload: gups\n▲regions: [{bytes: 4KiB}]`,
    'regions',
    'its own regions',
  ],
  ['footprint too small', `${SOUND}workload: btree\nfootprint: ▲4KiB`, 'footprint', 'at least 12KiB'],

  [
    'ways above entries',
    `${MACHINE}  l1d: [{entries: 8, ways: ▲16, sizes: [4KiB]}]`,
    'machine.l1d[0].ways',
    'give at most 8, or "full"',
  ],
  [
    'sets no power of two',
    `${MACHINE}  stlb: [{entries: 1536, ways: ▲8, sizes: [4KiB]}]`,
    'machine.stlb[0].ways',
    '192 sets',
  ],
  [
    'ways that do not divide',
    `${MACHINE}  stlb: [{entries: 12, ways: ▲5, sizes: [4KiB]}]`,
    'machine.stlb[0].ways',
    'give 10 or 20 entries',
  ],
  [
    'ways of a word',
    `${MACHINE}  l1d: [{entries: 8, ways: ▲all, sizes: [4KiB]}]`,
    'machine.l1d[0].ways',
    '"full"',
  ],
  [
    'no entries',
    `${MACHINE}  l1d: [{entries: ▲0, ways: 1, sizes: [4KiB]}]`,
    'machine.l1d[0].entries',
    'from 1',
  ],
  ['missing ways', `${MACHINE}  l1d: [▲{entries: 8, sizes: [4KiB]}]`, 'machine.l1d[0].ways', 'is missing'],
  [
    'no sizes',
    `${MACHINE}  l1d: [{entries: 8, ways: 8, sizes: ▲[]}]`,
    'machine.l1d[0].sizes',
    'at least one',
  ],
  [
    'page size twice',
    `${MACHINE}  l1i: [{entries: 8, ways: 8, sizes: [4KiB]}, {entries: 8, ways: 8, sizes: ▲[2MiB, 4KiB]}]`,
    'machine.l1i[1].sizes',
    '4KiB is in l1i[0] already',
  ],
  [
    'unknown page size',
    `${MACHINE}  l1d: [{entries: 8, ways: 8, sizes: [4KiB, ▲4MiB]}]`,
    'machine.l1d[0].sizes[1]',
    'one of 4KiB, 2MiB, 1GiB',
  ],
  [
    'plru over 12 ways',
    `${MACHINE}  l1d: [{entries: 96, ways: 12, sizes: [4KiB], replacement: ▲plru}]`,
    'machine.l1d[0].replacement',
    'power of two, not 12',
  ],
  [
    'unknown policy',
    `${MACHINE}  l1d: [{entries: 8, ways: 8, sizes: [4KiB], replacement: ▲fifoo}]`,
    'machine.l1d[0].replacement',
    'did you mean "fifo"?',
  ],
  [
    'unknown index',
    `${MACHINE}  stlb: [{entries: 8, ways: 4, sizes: [4KiB], index: ▲xor7}]`,
    'machine.stlb[0].index',
    'did you mean "xor"?',
  ],
  ['psc sets', `${MACHINE}  psc: {l3: {entries: 24, ways: ▲4}}`, 'machine.psc.l3.ways', '6 sets'],
  [
    'psc level',
    `${MACHINE}  psc: {▲l1: {entries: 4, ways: 4}}`,
    'machine.psc.l1',
    'it has l2, l3, l4, l5, latency',
  ],
  ['ntlb ways', `${MACHINE}  ntlb: {entries: 16, ways: ▲17}`, 'machine.ntlb.ways', 'only 16 entries'],
  ['negative latency', `${MACHINE}  memoryLatency: ▲-1`, 'machine.memoryLatency', 'from 0'],
  [
    'pwc beside psc',
    `${MACHINE}  preset: skylake-sp\n  ntlb: null\n  pwc: ▲{entries: 24, ways: full}`,
    'machine.pwc',
    'psc: null, nestedPsc: null takes them away',
  ],
  [
    'ntlb with pwc 2d',
    `${MACHINE}  ntlb: {entries: 16, ways: full, holds: tables}\n  pwc: ▲{entries: 24, ways: full, holds: 2d}`,
    'machine.pwc',
    'ntlb: null, or holds: 2d+nt',
  ],
  [
    'ntlb with pwc 1d',
    `${MACHINE}  ntlb: {entries: 16, ways: full}\n  pwc: ▲{entries: 24, ways: full, holds: 1d}`,
    'machine.pwc',
    'without a nested TLB',
  ],
  [
    'pwc 2d+nt without ntlb',
    `${MACHINE}  pwc: ▲{entries: 24, ways: full, holds: 2d+nt}`,
    'machine.pwc',
    'needs a nested TLB',
  ],
  [
    'pwc 2d+nt with ntlb all',
    `${MACHINE}  ntlb: {entries: 16, ways: full}\n  pwc: ▲{entries: 24, ways: full, holds: 2d+nt}`,
    'machine.pwc',
    'holds: tables',
  ],
  [
    'cache called memory',
    `${MACHINE}  caches: [{name: ▲memory, size: 1MiB, ways: 8, line: 64, latency: 4}]`,
    'machine.caches[0].name',
    'another name',
  ],
  [
    'two caches of one name',
    `${MACHINE}  caches: [{name: L2, size: 1MiB, ways: 8, line: 64, latency: 4}, {name: ▲L2, size: 2MiB, ways: 8, line: 64, latency: 9}]`,
    'machine.caches[1].name',
    'caches[0] already',
  ],
  [
    'two caches of one name but for capitals',
    `${MACHINE}  caches: [{name: L2, size: 1MiB, ways: 8, line: 64, latency: 4}, {name: ▲l2, size: 2MiB, ways: 8, line: 64, latency: 9}]`,
    'machine.caches[1].name',
    'must differ in more than capitals',
  ],
  [
    'line no power of two',
    `${MACHINE}  caches: [{name: L2, size: 1MiB, ways: 8, line: ▲96, latency: 4}]`,
    'machine.caches[0].line',
    'power of two',
  ],
  [
    'size not in lines',
    `${MACHINE}  caches: [{name: L2, size: ▲1000, ways: 1, line: 64, latency: 4}]`,
    'machine.caches[0].size',
    'whole number of 64-byte lines',
  ],
  [
    'cache ways',
    `${MACHINE}  caches: [{name: L2, size: 1MiB, ways: ▲7, line: 64, latency: 4}]`,
    'machine.caches[0].ways',
    'give 4 or 8 ways',
  ],
  [
    'cache of fewer lines than ways',
    `${MACHINE}  caches: [{name: L2, size: 128, ways: ▲4, line: 64, latency: 4}]`,
    'machine.caches[0].ways',
    'only 2 lines',
  ],
  [
    'eight caches',
    `${MACHINE}  caches: ▲[${Array.from({ length: 8 }, (_, i) => `{name: C${i}, size: 1MiB, ways: 8, line: 64, latency: 4}`)}]`,
    'machine.caches',
    'at most 7',
  ],
  ['tag unknown', `${MACHINE}  tagged: [▲asid]`, 'machine.tagged[0]', 'one of vpid, pcid'],

  ['unknown mode', `${UNIFORM}paging: {mode: ▲nestd}`, 'paging.mode', 'did you mean "nested"?'],
  ['levels', `${UNIFORM}paging: {guestLevels: ▲6}`, 'paging.guestLevels', 'from 2 to 5'],
  [
    '1 GiB pages in two levels',
    `${SOUND}workload: uniform\nfootprint: 1MiB\npaging: {guestLevels: 2, guestPage: ▲1GiB}`,
    'paging.guestPage',
    'leaf at level 3',
  ],
  [
    'nested 1 GiB pages in two levels',
    `${UNIFORM}paging: {nestedLevels: 2, nestedPage: ▲1GiB}`,
    'paging.nestedPage',
    'nestedLevels at least 3',
  ],
  [
    'guest memory not in pages',
    `${UNIFORM}paging: {guestMemory: ▲5000000}`,
    'paging.guestMemory',
    'multiple of 4KiB',
  ],
  [
    'region not in pages',
    `${SOUND}workload: uniform\nregions: [{bytes: ▲4097}]`,
    'regions[0].bytes',
    'give 4KiB or 8KiB',
  ],
  [
    'base not aligned',
    `${SOUND}workload: uniform\npaging: {guestPage: 2MiB}\nregions: [{bytes: 4KiB, base: ▲0x1000}]`,
    'regions[0].base',
    'give 0x200000',
  ],
  [
    'overlap',
    `${SOUND}workload: uniform\nregions: [{bytes: 8KiB, base: 0x2000}, ▲{bytes: 8KiB, base: 0x1000}]`,
    'regions[1]',
    'overlaps regions[0]',
  ],
  [
    'overlap by rounding up',
    `${SOUND}workload: uniform\npaging: {guestPage: 2MiB}\nregions: [{bytes: 4KiB, base: 0}, ▲{bytes: 4KiB, base: 0}]`,
    'regions[1]',
    'overlaps regions[0]',
  ],
  [
    'beyond the guest space',
    `${SOUND}workload: uniform\npaging: {guestLevels: 3}\nfootprint: ▲512GiB`,
    'footprint',
    'at most 511GiB fit there',
  ],
  [
    'base beyond the guest space',
    `${SOUND}workload: uniform\nregions: [▲{bytes: 4KiB, base: 0x1000000000000}]`,
    'regions[0]',
    '48 bits',
  ],
  [
    'beyond the nested space',
    `${SOUND}workload: uniform\npaging: {nestedLevels: 2}\nfootprint: ▲1GiB`,
    'footprint',
    '2 nested levels',
  ],
  [
    'guest memory beyond the nested space',
    `${UNIFORM}paging: {nestedLevels: 3, guestMemory: ▲512GiB}`,
    'paging.guestMemory',
    '3 nested levels',
  ],

  [
    'nesting',
    `${WORKLOAD}${'{pattern: burst, k: 2, of: '.repeat(16)}▲{pattern: uniform}${'}'.repeat(16)}`,
    `workload${'.of'.repeat(16)}`,
    'nested deeper than 16 components',
  ],
  [
    'nesting in parts',
    `${WORKLOAD}${'{pattern: interleave, parts: ['.repeat(16)}▲{pattern: chase}${']}'.repeat(16)}`,
    `workload${'.parts[0]'.repeat(16)}`,
    'nested deeper than 16 components',
  ],
  ['region index', `${WORKLOAD}{pattern: uniform, region: ▲2}`, 'workload.region', 'regions go from 0 to 1'],
  [
    'write fraction',
    `${WORKLOAD}{pattern: uniform, writeFraction: ▲1.5}`,
    'workload.writeFraction',
    'from 0 to 1',
  ],
  ['everything hot', `${WORKLOAD}{pattern: hotcold, hot: ▲1, weight: 0.5}`, 'workload.hot', 'no cold page'],
  ['hot weight', `${WORKLOAD}{pattern: hotcold, hot: 0.5, weight: ▲2}`, 'workload.weight', 'from 0 to 1'],
  [
    'window too wide',
    `${WORKLOAD}{pattern: window, pages: ▲17, shift: 1, every: 1}`,
    'workload.pages',
    '17 pages (68KiB) does not fit its region of 16 pages',
  ],
  [
    'window for ever',
    `${WORKLOAD}{pattern: window, pages: 1, shift: 1, every: ▲0}`,
    'workload.every',
    'at least 1',
  ],
  ['btree too large', `${WORKLOAD}{pattern: btree, fanout: 4, levels: ▲3}`, 'workload.levels', '21 nodes'],
  [
    'burst of nothing',
    `${WORKLOAD}{pattern: burst, k: ▲0, of: {pattern: uniform}}`,
    'workload.k',
    'at least 1',
  ],
  ['burst without of', `${WORKLOAD}▲{pattern: burst, k: 2}`, 'workload.of', 'is missing'],
  ['zipf exponent', `${WORKLOAD}{pattern: zipf, theta: ▲-1}`, 'workload.theta', 'from 0'],
  [
    'zipf table too large',
    `${SOUND}footprint: 2TiB\nworkload: {pattern: ▲zipf}`,
    'workload.pattern',
    'at most 268435456 pages (1TiB)',
  ],
  [
    'draw too large',
    `${SOUND}footprint: 32TiB\nworkload: {pattern: ▲uniform}`,
    'workload.pattern',
    'at most 4294967296 pages',
  ],
  [
    'weights for parts',
    `${WORKLOAD}{pattern: mix, weights: ▲[1], parts: [{pattern: uniform}, {pattern: chase}]}`,
    'workload.weights',
    '1 weight for 2 parts',
  ],
  [
    'weights of nothing',
    `${WORKLOAD}{pattern: mix, weights: ▲[0], parts: [{pattern: uniform}]}`,
    'workload.weights',
    'all weights are 0',
  ],
  [
    'lengths for parts',
    `${WORKLOAD}{pattern: phases, lengths: ▲[1, 2], parts: [{pattern: uniform}]}`,
    'workload.lengths',
    '2 lengths for 1 part',
  ],
  ['no parts', `${WORKLOAD}{pattern: interleave, parts: ▲[]}`, 'workload.parts', 'at least one'],
  [
    'deep part',
    `${WORKLOAD}\n  pattern: interleave\n  parts:\n    - {pattern: uniform}\n    - pattern: burst\n      k: 2\n      of: {pattern: uniform, ▲regin: 1}`,
    'workload.parts[1].of.regin',
    'did you mean "region"?',
  ],

  [
    'trace with regions',
    `seed: 1\nworkload: {trace: a.nwt}\n▲regions: [{bytes: 4KiB}]`,
    'regions',
    'leave regions out',
  ],
  [
    'trace with footprint',
    `seed: 1\nworkload: {trace: a.nwt}\n▲footprint: 4KiB`,
    'footprint',
    'leave footprint out',
  ],
  [
    'trace scattered',
    `seed: 1\nworkload: {trace: a.nwt}\npaging: {placement: ▲scattered}`,
    'paging.placement',
    'scattered',
  ],
  [
    'trace format',
    `seed: 1\nworkload: {trace: a.nwt, format: ▲lacky}`,
    'workload.format',
    'did you mean "lackey"?',
  ],
  [
    'trace field',
    `seed: 1\nworkload: {trace: a.nwt, ▲fetchs: true}`,
    'workload.fetchs',
    'did you mean "fetches"?',
  ],
  [
    'trace in a small space',
    `seed: 1\nworkload: ▲{trace: a.nwt}\npaging: {nestedLevels: 2}`,
    'workload',
    'the default of a trace',
  ],

  ['engine', `${UNIFORM}run: {engine: ▲cpp}`, 'run.engine', 'one of auto, native, ts'],
  ['workers', `${UNIFORM}run: {workers: ▲0}`, 'run.workers', 'or auto'],
  ['context', `${UNIFORM}context: {tag: ▲-1}`, 'context.tag', 'from 0'],
  ['optional', `${UNIFORM}optional: [▲uniqe]`, 'optional[0]', 'did you mean "unique"?'],
];

describe('each error has its exact place', () => {
  it.each(CASES)('%s', (_, text, path, says) => {
    const place = marked(text);
    const error = errorOf(place.text);
    expect(error.code).toBe('config.invalid');
    expect(error.problems.map((problem) => problem.path)).toEqual([path]);
    const [problem] = error.problems;
    expect(problem.message).toContain(says);
    expect([problem.file, problem.line, problem.column]).toEqual(['c.yaml', place.line, place.column]);
    expect(error.message).toBe(`c.yaml:${place.line}:${place.column}: ${path}: ${problem.message}`);
  });
});

describe('syntax', () => {
  it.each([
    ['duplicate key', 'a: 1\n▲a: 2\n', 'a: is given twice'],
    ['bad indentation', 'a:\n  b: 1\n▲ c: 2\n', 'bad indentation'],
    ['tab', '▲\ta: 1\n', 'a tab cannot indent'],
    ['two documents', 'a: 1\n▲---\nb: 2\n', 'a second document begins here'],
  ])('%s', (_, text, says) => {
    const place = marked(text);
    const error = errorOf(place.text);
    expect(error.message).toContain(`c.yaml:${place.line}:${place.column}: ${says}`);
  });

  it('tells every syntax error at once', () => {
    expect(errorOf('a: 1\na: 2\nb: 1\nb: 2\n').problems.map(({ path, line }) => [path, line])).toEqual([
      ['a', 2],
      ['b', 4],
    ]);
  });

  it('refuses what is no configuration', () => {
    expect(errorOf('').message).toContain('is empty');
    expect(errorOf('[1, 2]').message).toContain('not a list');
    expect(errorOf('a: &x [*x]').message).toContain('nested deeper than 64');
    expect(() => resolveConfig(undefined)).toThrowError('is missing: give a configuration');
    expect(errorOf(`${UNIFORM}__proto__: {a: 1}`).problems.map(({ path }) => path)).toEqual(['__proto__']);
  });

  it('reads JSON, tabs and all, and locates in it', () => {
    const error = errorOf(
      '{\n\t"seed": 1,\n\t"accesses": 5,\n\t"workload": "uniform",\n\t"footprint": "4Kib"\n}',
    );
    expect(error.problems.map(({ path, line, column }) => [path, line, column])).toEqual([
      ['footprint', 5, 15],
    ]);
  });
});

describe('all at once', () => {
  it('finds what the schema and what the semantics refuse in one go, in the order of the file', () => {
    const error =
      errorOf(`workload: {pattern: mix, weights: [1], parts: [{pattern: zippf}, {pattern: uniform, region: 7}]}
regions: [{bytes: 1MiB}]
acesses: 2M
machine:
  preset: skylake-sp
  stlb: [{entries: 1536, ways: 8, sizes: [4KiB], colour: red}]
  psc: {l2: {entries: 12, ways: 5}, l6: {entries: 1, ways: 1}}
  caches: [{name: memory, size: 1MiB, ways: 7, line: 64, latency: -1}]
paging: {mode: nestd, guestPage: 1GiB, guestLevels: 2}
run: {workers: 0}
`);
    expect(error.problems.map(({ path }) => path).sort()).toEqual(
      [
        'acesses',
        'accesses',
        'machine.caches[0].latency',
        'machine.caches[0].name',
        'machine.caches[0].ways',
        'machine.psc.l2.ways',
        'machine.psc.l6',
        'machine.stlb[0].colour',
        'machine.stlb[0].ways',
        'paging.guestPage',
        'paging.mode',
        'run.workers',
        'seed',
        'workload.parts[0].pattern',
        'workload.weights',
      ].sort(),
    );
    const lines = error.problems.map(({ line }) => line!);
    expect(lines).toEqual([...lines].sort((a, b) => a - b));
    expect(error.message.split('\n')).toHaveLength(error.problems.length);
    expect(error.message).not.toMatch(/undefined|\[object|Zod|Invalid input/);
  });

  it('says nothing twice and blames nothing on what follows from another error', () => {
    expect(errorOf(`${SOUND}workload: uniform\nfootprint: 4Kib`).problems).toHaveLength(1);
    expect(errorOf(`${SOUND}workload: gupps`).problems).toHaveLength(1);
    expect(
      errorOf(`${UNIFORM}machine: {preset: zenn4, pwc: {entries: 8, ways: 8, holds: 2d+nt}}`).problems,
    ).toHaveLength(1);
  });

  it('works without a file: paths only', () => {
    expect(() =>
      resolveConfig({ workload: 'uniform', footprint: '4Kib', accesses: 1, seed: 1 }),
    ).toThrowError(/^footprint: "4Kib" is not a byte quantity/);
  });
});

describe('files', () => {
  it('says why a file cannot be read', () => {
    for (const [file, why] of [
      ['/nonexistent/c.yaml', 'there is no such file'],
      [tmpdir(), 'it is a directory'],
    ])
      expect(() => loadConfigFile(file)).toThrowError(
        expect.objectContaining({
          code: 'config.file',
          message: `${file}: cannot read this configuration: ${why}`,
        }),
      );
  });

  it('gives the directory that a trace is relative to', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'nestwalk-config-'));
    try {
      const file = path.join(directory, 'c.yaml');
      writeFileSync(file, 'seed: 1\nworkload: {trace: t/sort.lackey.xz}\n');
      const { input, ...options } = loadConfigFile(file);
      const { config } = resolveConfig(input, options);
      expect(config.workload).toEqual({
        trace: path.join(directory, 't/sort.lackey.xz'),
        format: 'lackey',
        fetches: true,
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('the catalogue', () => {
  it('has a summary and a mend for every code', () => {
    for (const [code, { summary, mend }] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[a-z]+(\.[a-z]+)?$/);
      expect(summary.length * mend.length).toBeGreaterThan(0);
    }
  });
});
