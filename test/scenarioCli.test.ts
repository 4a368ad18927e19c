/** `nestwalk scenario`, `list scenarios|costs` and `run --costs` as people type them. */
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Result } from '../src/results/types.ts';
import type { ScenarioResult, ScenarioSweep } from '../src/scenario/types.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const MAIN = path.join(ROOT, 'src/cli/main.ts');
const env = { ...process.env, NESTWALK_DEBUG: '' };
const node = (args: readonly string[]): string[] => ['--import', import.meta.resolve('tsx'), MAIN, ...args];

function nestwalk(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, node(args), {
    encoding: 'utf8',
    cwd: ROOT,
    env,
    timeout: 90_000,
    killSignal: 'SIGKILL',
  });
  return { code: status, out: stdout, err: stderr };
}

describe('scenario', () => {
  it('prints one table, with a note on the costs taken', () => {
    const { code, out, err } = nestwalk('scenario', 'mmap-munmap', '--rounds', '3', '--kpti');
    expect(code).toBe(0);
    expect(err).toBe('note: costs of skylake, the generation of this machine; --costs takes another\n');
    expect(out).toMatch(/^mmap-munmap: a process maps memory/);
    expect(out).toContain('3 × map and unmap; rounds 3, pages 16, kpti on; seed 1');
    expect(out).toMatch(/native +nested +shadow +shadow-unsync +paravirt/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
  });

  it('gives everything as JSON, by its documented names', () => {
    const { code, out, err } = nestwalk(
      ...['scenario', 'forkwait', '--forks', '3', '--child-writes', '2', '--platforms', 'native, shadow'],
      ...['--costs', 'pentium4-2005', '--seed', '0x10', '--host-page', '2MiB', '--json', '--engine', 'ts'],
    );
    expect(err).toBe('');
    expect(code).toBe(0);
    const result = JSON.parse(out) as ScenarioResult;
    expect(result).toMatchObject({
      kind: 'scenario',
      name: 'forkwait',
      parameters: { forks: 3, childWrites: 2, dataPages: 48 },
      seed: 16,
      costs: { name: 'pentium4-2005', figures: { vmExit: { cycles: 3963, mark: 'M' } } },
      machine: { preset: 'pentium4-prescott' },
      hostPage: '2MiB',
      sameMemory: true,
    });
    expect(result.platforms.map(({ platform }) => platform)).toEqual(['native', 'shadow']);
    for (const platform of result.platforms) {
      expect(Object.keys(platform)).toEqual([
        ...[
          'platform',
          'counters',
          'ledger',
          'cycles',
          'exits',
          'tableBytes',
          'operations',
          'checkpoints',
          'provenance',
        ],
      ]);
      expect(Object.keys(platform.cycles)).toEqual([
        ...['base', 'guestWalk', 'nestedWalk', 'stlb', 'software', 'exits', 'hypercalls', 'total'],
      ]);
      expect(platform.operations).toBe(3);
      expect(platform.provenance.engine).toBe('ts');
    }
  });

  it('varies parameters', () => {
    const { code, out } = nestwalk(
      ...[
        'scenario',
        'page-fault',
        '--vary',
        'pages=10,30',
        '--platforms',
        'nested,shadow',
        '--json',
        '--quiet',
      ],
    );
    expect(code).toBe(0);
    const sweep = JSON.parse(out) as ScenarioSweep;
    expect(sweep.kind).toBe('scenario-sweep');
    expect(sweep.vary).toEqual({ pages: [10, 30] });
    expect(sweep.results.map(({ platforms }) => platforms[0]!.ledger.events.guestFaults)).toEqual([10, 30]);
  });

  it('runs a file of one’s own, with its parameters in --help', () => {
    const help = nestwalk('scenario', 'examples/myScenario.mjs', '--help');
    expect(help.code).toBe(0);
    expect(help.out).toMatch(/--objects <bytes> +memory of the cache/);
    expect(help.out).toMatch(/--snapshots <count>/);
    const { code, out } = nestwalk(
      ...['scenario', './examples/myScenario.mjs', '--objects', '128KiB', '--requests', '100', '--quiet'],
    );
    expect(code).toBe(0);
    expect(out).toMatch(/^snapshot: a cache forks/);
  });

  it.each([
    [['ptemod', '--wirtes', '3'], /unknown option '--wirtes'[\s\S]*--writes/],
    [['ptemod', '--writes', 'many'], /writes: "many" cannot be read: it must be a count of writes from 1 to/],
    [
      ['forkwait', '--forks', '0', '--data-pages', '0'],
      /2 errors[\s\S]*forks: "0" is out of range[\s\S]*dataPages: "0"/,
    ],
    [['ptemod', '--platforms', 'xen'], /xen is no platform; there are native, nested, shadow/],
    [['ptemod', '--costs', 'pentium3'], /pentium3 is no cost preset; there are pentium4-2005, /],
    [['ptemod', '--vary', 'writes'], /--vary writes: write a parameter and its values/],
    [['pagefault'], /pagefault is no scenario; did you mean "page-fault"/],
    [[], /missing required argument 'name'/],
  ])('refuses %j with what is allowed', (args, message) => {
    const { code, out, err } = nestwalk('scenario', ...args);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n +at /);
    expect(out).toBe('');
    expect(code).toBe(2);
  });

  it('of a guest without memory fails with how to mend it', () => {
    const { code, err } = nestwalk('scenario', 'page-fault', '--memory', '64KiB', '--platforms', 'nested');
    expect(code).toBe(1);
    expect(err).toMatch(/Scenario page-fault on platform nested: guest memory has 16 frames/);
    expect(err).toMatch(/--memory/);
    expect(err).not.toMatch(/\n +at /);
  });

  it('stops at Ctrl-C with 130', async () => {
    const child = spawn(process.execPath, node(['scenario', 'page-fault', '--pages', '5e7']), {
      cwd: ROOT,
      env,
    });
    let err = '';
    child.stderr.on('data', (data) => {
      err += data;
    });
    const timer = setTimeout(() => child.kill('SIGINT'), 4000);
    const code = await new Promise<number | null>((resolve) => child.on('exit', resolve));
    clearTimeout(timer);
    expect(code).toBe(130);
    expect(err).toContain('nestwalk: interrupted');
  });
});

describe('list', () => {
  it('shows scenarios and costs, each whole with its sources', () => {
    expect(nestwalk('list', 'scenarios').out).toMatch(/forkwait +a process forks/);
    const forkwait = nestwalk('list', 'scenarios', 'forkwait').out;
    expect(forkwait).toMatch(/Adams and Agesen/);
    expect(forkwait).toMatch(/childWrites +pages that the child writes/);
    expect(nestwalk('list', 'costs').out).toMatch(/zen3 +AMD Zen 3/);
    const costs = nestwalk('list', 'costs', 'pentium4-2005-bt').out;
    expect(costs).toMatch(/emulateWrite +390 +D /);
    expect(costs).toMatch(/ptemod .* 1 +391/);
    const wrong = nestwalk('list', 'costs', 'pentium4-2006');
    expect(wrong.code).toBe(2);
    expect(wrong.err).toMatch(/did you mean "pentium4-2005"/);
  });
});

describe('run --costs', () => {
  const SMALL = [
    '--workload',
    'uniform',
    '--footprint',
    '1MiB',
    '--accesses',
    '2000',
    '--mode',
    'nested',
    '--quiet',
  ];

  it('shows where the cycles went', () => {
    const { code, out } = nestwalk('run', ...SMALL, '--costs', 'nehalem');
    expect(code).toBe(0);
    expect(out).toMatch(/cycles +times +cycles \(nehalem\) +share/);
    expect(out).toMatch(/accesses +2,000 +34,000 /);
    expect(out).toMatch(/\ntotal +[\d,]+\n/);
  });

  it('puts the split into the result', () => {
    const plain = JSON.parse(nestwalk('run', ...SMALL, '--json').out) as Result;
    expect(plain.cycles).toBeUndefined();
    const { cycles } = JSON.parse(nestwalk('run', ...SMALL, '--json', '--costs', 'zen3').out) as Result;
    expect(cycles).toMatchObject({ costs: 'zen3', base: 34_000 });
    expect(nestwalk('run', ...SMALL, '--costs', 'zen2').err).toMatch(
      /zen2 is no cost preset; did you mean "zen3"/,
    );
  });
});
