import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Result, WalkSteps } from '../src/results/types.ts';
import type { Comparison } from '../src/run/compare.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const MAIN = path.join(ROOT, 'src/cli/main.ts');
const TSX = import.meta.resolve('tsx');
const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

// The TypeScript engine is always there, so that these tests do not depend on a compiler.
const env = { ...process.env, NESTWALK_ENGINE: 'ts', NESTWALK_DEBUG: '' };
const node = (args: readonly string[]): string[] => ['--import', TSX, MAIN, ...args];

/** Runs a command and waits for it, but not for ever. */
function nestwalk(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, node(args), {
    encoding: 'utf8',
    cwd: ROOT,
    env,
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  return { code: status, out: stdout, err: stderr };
}

/** Where a file of these tests lies. */
const at = (name: string): string => path.join(folder, name);

function file(name: string, content: string): string {
  writeFileSync(at(name), content);
  return at(name);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f]/;
const SMALL = ['--workload', 'uniform', '--footprint', '8MiB', '--accesses', '2000', '--seed', '3'];

const LACKEY = [
  '==1== Command: demo',
  'I  00400000,4',
  ' L 1ffe000,8',
  ' S 1ffe008,8',
  ' M 1fff000,4',
  '',
].join('\n');

describe('run', () => {
  it('prints a table without control characters, notes apart', () => {
    const { code, out, err } = nestwalk('run', ...SMALL.slice(0, -2), '--machine', 'tiny');
    expect(code).toBe(0);
    expect(out).toContain('uniform over 8 MiB, 2,000 accesses, seed 1');
    expect(out).not.toMatch(CONTROL);
    expect(err).toMatch(/^note: seed: 1/);
    expect(err).not.toMatch(CONTROL);
  });

  it('gives the full result as JSON, from a file that flags override', () => {
    file('run.yaml', 'workload: uniform\nfootprint: 8MiB\naccesses: 10\nseed: 3\nmachine: tiny\n');
    const { code, out, err } = nestwalk(
      'run',
      at('run.yaml'),
      '--accesses',
      '2e3',
      '--json',
      '--mode',
      'nested',
    );
    expect(err).toBe('');
    expect(code).toBe(0);
    const result = JSON.parse(out) as Result;
    expect(Object.keys(result)).toEqual(['schema', 'config', 'counters', 'ledger', 'metrics', 'provenance']);
    expect(result.counters.accesses).toBe(2000);
    expect(result.counters.reads).toBe(2000);
    expect(result.config.seed).toBe(3);
    expect(result.provenance.engine).toBe('ts');
  });

  it('repeats itself from the configuration that it echoes', () => {
    const first = nestwalk('run', ...SMALL, '--json', '--mode', 'nested');
    const result = JSON.parse(first.out) as Result;
    file('echo.json', JSON.stringify(result.config));
    const second = JSON.parse(nestwalk('run', at('echo.json'), '--json').out) as Result;
    expect(second.counters).toEqual(result.counters);
    expect(second.config).toEqual(result.config);
  });
});

describe('compare', () => {
  it('runs the square of the sizes asked for, beside native runs', () => {
    const args = [
      '--guest-pages',
      '4KiB,2MiB',
      '--nested-pages',
      '2MiB',
      '--machine',
      'tiny',
      '--json',
      '--quiet',
    ];
    const { code, out, err } = nestwalk('compare', ...SMALL, ...args);
    expect(err).toBe('');
    expect(code).toBe(0);
    const { cells, baseline } = JSON.parse(out) as Comparison;
    expect(cells.map(({ guestPage, nestedPage }) => [guestPage, nestedPage])).toEqual([
      ['4KiB', undefined],
      ['2MiB', undefined],
      ['4KiB', '2MiB'],
      ['2MiB', '2MiB'],
    ]);
    expect(baseline).toEqual({ guestPage: '4KiB', nestedPage: '2MiB' });
    expect(cells[2].perCent.misses).toBe(100);
    for (const cell of cells) expect(cell.result.counters.accesses).toBe(2000);
  });
});

describe('walk', () => {
  // (n - g + 1)(m - h + 2) + (m - h + 1) references for leaf levels g and h.
  it.each([
    ['4KiB', '4KiB', 24],
    ['2MiB', '4KiB', 19],
    ['4KiB', '2MiB', 19],
    ['2MiB', '2MiB', 15],
  ])('shows every reference of %s on %s', (guest, nested, references) => {
    const sizes = ['--mode', 'nested', '--guest-page', guest, '--nested-page', nested];
    const { code, out } = nestwalk('walk', '0x5123', ...sizes, '--json');
    expect(code).toBe(0);
    const walk = JSON.parse(out) as WalkSteps;
    expect(walk.steps.map(({ step }) => step)).toEqual(Array.from({ length: references }, (_, i) => i + 1));
    expect(walk.fault).toBeUndefined();
  });

  it('prints them in order', () => {
    const { code, out } = nestwalk('walk', '0x5123');
    expect(code).toBe(0);
    expect(out).toMatch(/24 references/);
    expect(out).toMatch(/^ ?1 {2}gL4 nL4 /m);
    expect(out).toMatch(/^24 {2}gPA nL1 /m);
  });

  it('writes a page, to a file whose name it prints or to stdout', () => {
    const args = ['walk', '0x7f5a12345678', '--footprint', '4MiB', '--quiet', '--html'];
    const page = nestwalk(...args, at('walk.html'));
    expect(page).toEqual({ code: 0, out: `${at('walk.html')}\n`, err: '' });
    const html = readFileSync(at('walk.html'), 'utf8');
    expect(html).toMatch(/^<!doctype html>[\s\S]*The walk for 0x7f5a12345678[\s\S]*<\/html>\n$/);
    expect(nestwalk(...args, '-').out).toBe(html);
  });

  it('says which addresses there are, where one is in no region', () => {
    const { code, err } = nestwalk('walk', '0x5123', '--workload', 'gups', '--footprint', '1MiB');
    expect(code).toBe(2);
    expect(err).toMatch(
      /0x5123 is in no region: the configuration has 0x10000000000 to 0x100000fffff\. Give/,
    );
  });
});

describe('trace', () => {
  it('converts, tells and dumps', () => {
    file('demo.lackey', LACKEY);
    expect(nestwalk('trace', 'convert', at('demo.lackey'), at('demo.nwt'))).toMatchObject({
      code: 0,
      out: '',
    });
    const info = nestwalk('trace', 'info', at('demo.nwt'));
    expect(info.code).toBe(0);
    expect(info.out).toMatch(/^accesses +5$/m);
    const dump = nestwalk('trace', 'dump', at('demo.nwt'), '--no-fetches', '--from', '1', '--count', '3');
    expect(dump.out).toBe('W 0x1ffe008\nR 0x1fff000\nW 0x1fff000\n');
    const run = nestwalk('run', '--trace', at('demo.nwt'), '--json', '--quiet');
    expect((JSON.parse(run.out) as Result).counters).toMatchObject({ reads: 2, writes: 2, fetches: 1 });
  });

  it('names the record of a damaged trace', () => {
    file('bad.lackey', `${LACKEY} X 1000,4\n`);
    const { code, out, err } = nestwalk('run', '--trace', at('bad.lackey'));
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toMatch(/bad\.lackey.*line 6/s);
    expect(err).not.toMatch(/\n\s+at /);
  });
});

describe('workload dump', () => {
  it('starts anywhere', () => {
    const all = nestwalk('workload', 'dump', 'gups', '--footprint', '1MiB', '--count', '8', '--quiet').out;
    const tail = nestwalk(
      'workload',
      'dump',
      'gups',
      '--footprint',
      '1MiB',
      '--from',
      '5',
      '--count',
      '3',
      '--quiet',
    ).out;
    expect(all.split('\n').slice(5, 8)).toEqual(tail.trimEnd().split('\n'));
  });

  it('takes a component in braces', () => {
    const spec = '{pattern: stride, bytes: 4096}';
    const { out } = nestwalk('workload', 'dump', spec, '--footprint', '8KiB', '--count', '3', '--quiet');
    expect(out).toBe('R 0x10000000000\nR 0x10000001000\nR 0x10000000000\n');
  });
});

describe('list', () => {
  it.each(['machines', 'workloads', 'patterns'])('shows %s, and one of them whole', (what) => {
    const entries = JSON.parse(nestwalk('list', what, '--json').out) as { name: string }[];
    expect(entries.length).toBeGreaterThanOrEqual(5);
    const one = nestwalk('list', what, entries[0].name);
    expect(one.code).toBe(0);
    expect(one.out).toContain(entries[0].name);
  });
});

describe('help', () => {
  const commands = [
    [],
    ['run'],
    ['compare'],
    ['walk'],
    ['trace'],
    ['trace', 'capture'],
    ['trace', 'info'],
    ['trace', 'convert'],
    ['trace', 'dump'],
    ['workload'],
    ['workload', 'dump'],
    ['list'],
    ['demo'],
  ];
  it.each(commands.map((command) => [command.join(' ') || 'nestwalk', command] as const))(
    'of %s has an example',
    (_, command) => {
      const { code, out } = nestwalk(...command, '--help');
      expect(code).toBe(0);
      expect(out).toMatch(/Examples?:\n {2}nestwalk /);
    },
  );
});

describe('wrong use', () => {
  const cases: [string, string[], RegExp][] = [
    ['an unknown command', ['rnu'], /unknown command 'rnu'.*Did you mean run\?/s],
    ['an unknown flag', ['run', '--machin', 'tiny'], /unknown option '--machin'.*--machine/s],
    ['nothing to run', ['run'], /nothing says what to run/],
    ['a missing file', ['run', 'none.yaml'], /none\.yaml.*no such file/],
    ['a count with a word', ['run', '--accesses', '2M accesses'], /--accesses.*2M accesses.*2M or 2e6/],
    ['a wrong unit', ['run', '--footprint', '4GG'], /--footprint.*4GG/],
    ['a wrong page size', ['run', '--guest-page', '3KiB'], /--guest-page.*4KiB, 2MiB, 1GiB/],
    ['a wrong mode', ['run', '--mode', 'nestd'], /--mode.*native, nested/],
    ['no workers', ['run', '--workers', '0'], /--workers.*at least 1/],
    ['no address', ['walk'], /missing required argument 'address'/],
    ['a senseless address', ['walk', 'here'], /"here" is not an address/],
    ['an unknown list', ['list', 'things'], /machines, workloads, claims, scenarios, costs, patterns/],
    ['an unknown machine', ['list', 'machines', 'tiney'], /did you mean "tiny"/],
    ['two workloads', ['run', '--workload', 'gups', '--trace', 'a.nwt'], /give one/],
    ['a trace to dump as a workload', ['workload', 'dump', at('trace.yaml')], /nestwalk trace dump/],
    ['a target of another name', ['trace', 'convert', at('demo.lackey'), at('a.txt')], /\.nwt/],
  ];
  it.each(cases)('%s: says so, exit code 2', (_, args, expected) => {
    file('trace.yaml', 'workload: {trace: demo.lackey}\nseed: 1\n');
    file('demo.lackey', LACKEY);
    const { code, out, err } = nestwalk(...args);
    expect(err).toMatch(expected);
    expect(err).not.toMatch(/\n\s+at |this should not have happened/);
    expect(out).toBe('');
    expect(code).toBe(2);
  });

  it('tells all errors of a file at once, each with its line', () => {
    file(
      'wrong.yaml',
      'workload: gusp\naccesses: 2e6 times\nseed: 1\nmachine: {stlb: [{entries: 8, ways: 3, sizes: [4KiB]}]}\nfoo: 1\n',
    );
    const { code, err } = nestwalk('run', at('wrong.yaml'));
    expect(code).toBe(2);
    for (const line of [1, 2, 4, 5])
      expect(err).toMatch(new RegExp(`^ {2}\\S*wrong\\.yaml:${line}:\\d+: `, 'm'));
    expect(err).toMatch(/did you mean "gups"/);
    expect(err).toMatch(/^nestwalk: 4 errors/);
  });

  it('shows a stack trace only on demand', () => {
    const result = spawnSync(process.execPath, node(['run', 'none.yaml']), {
      encoding: 'utf8',
      cwd: ROOT,
      env: { ...env, NESTWALK_DEBUG: '1' },
    });
    expect(result.stderr).toMatch(/\n\s+at /);
  });
});

describe('the process', () => {
  it('stops within a second of Ctrl-C, with exit code 130 and nothing on stdout', async () => {
    // No seed is given, so that a note tells when the command has begun.
    const long = ['--workload', 'uniform', '--footprint', '64MiB', '--accesses', '1e12'];
    const child = spawn(process.execPath, node(['run', ...long]), { cwd: ROOT, env });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    const ended = new Promise<number | null>((resolve) => {
      child.on('close', resolve);
    });
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk) => {
        err += chunk;
        resolve();
      });
      child.on('close', () => resolve());
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const from = performance.now();
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(performance.now() - from).toBeLessThan(1000);
    expect(out).toBe('');
    expect(err).toMatch(/^note: seed.*\nnestwalk: interrupted\n$/);
  });

  it('ends quietly when the reader has seen enough', () => {
    const command = `"${process.execPath}" --import "${TSX}" "${MAIN}" workload dump gups --count 1e9 --quiet | head -n 1`;
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', cwd: ROOT, env });
    expect(stdout).toMatch(/^[RW] 0x[0-9a-f]+\n$/);
    expect(stderr).toBe('');
  });

  it('is the version of the package', () => {
    const { version } = JSON.parse(
      readFileSync(path.resolve(import.meta.dirname, '../package.json'), 'utf8'),
    );
    expect(nestwalk('--version').out).toBe(`${version}\n`);
  });
});
