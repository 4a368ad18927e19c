/** Sweeps as processes: the command line, kills of any process at any moment, full disks, read-only folders, Slurm. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { machineMemoryBytes } from '../src/run/execute.ts';
import { readPlan } from '../src/sweep/folder.ts';
import { readJournal } from '../src/sweep/journal.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const MAIN = path.join(ROOT, 'src/cli/main.ts');
const TSX = import.meta.resolve('tsx');
const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-sweeprun-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);

// The TypeScript engine is always there, so that these tests do not depend on a compiler.
const env: NodeJS.ProcessEnv = {
  ...process.env,
  NESTWALK_ENGINE: 'ts',
  NESTWALK_DEBUG: '',
  NODE_OPTIONS: '',
};

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function nestwalk(args: readonly string[], more: NodeJS.ProcessEnv = {}): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', TSX, MAIN, ...args], {
    encoding: 'utf8',
    cwd: ROOT,
    env: { ...env, ...more },
    timeout: 100_000,
    killSignal: 'SIGKILL',
  });
  return { code: status, out: stdout, err: stderr };
}

/** Groups over the STLB of two policies on two nested pages: ten passes. */
const sweepFile = (name: string, accesses: number): string => {
  writeFileSync(
    at(name),
    `workload: {pattern: zipf, theta: 0.9, writeFraction: 0.3}
footprint: 8MiB
accesses: ${accesses}
seed: 5
machine: {preset: tiny, stlb: [{entries: 16, ways: 4, sizes: [4KiB, 2MiB]}]}
vary:
  paging.nestedPage: [4KiB, 2MiB]
  machine.stlb[0].replacement: [lru, fifo]
  machine.stlb[0].entries: [8, 16, 24]
  machine.stlb[0].ways: [2, 4]
`,
  );
  return at(name);
};
const FEW = sweepFile('few.yaml', 2000);
/** Half a second a pass or so. */
const LONG = sweepFile('long.yaml', 300_000);
const CELLS = 24;

function exported(sweep: string): string {
  const { code, out } = nestwalk(['export', sweep]);
  expect(code).toBe(0);
  return out;
}

describe('sweep', () => {
  it('says what it would do, and writes nothing', () => {
    const { code, out, err } = nestwalk(['sweep', FEW, '--dry-run', '--out', at('dry'), '--workers', '1']);
    expect(code).toBe(0);
    expect(out).toMatch(/cells +24, 8 of them invalid/);
    expect(out).toMatch(/passes +10: 2 groups of 8 cells, 8 single runs/);
    expect(out).toMatch(/8 × single run: a TLB is not lru/);
    expect(out).toMatch(/time, about/);
    expect(out).toMatch(/memory, about/);
    expect(err).toMatch(/8 of 24 cells are invalid/);
    expect(existsSync(at('dry'))).toBe(false);
    const plan = JSON.parse(nestwalk(['sweep', FEW, '--dry-run', '--json', '--quiet']).out) as {
      cells: unknown[];
    };
    expect(plan.cells).toHaveLength(CELLS);
  });

  it('runs to the end, sums up, and has nothing to do the second time', () => {
    const first = nestwalk(['sweep', FEW, '--out', at('a'), '--workers', '2']);
    expect(first.err).not.toMatch(/failed/);
    expect(first.code).toBe(0);
    expect(first.out).toMatch(/16 of 24 done, 0 failed, 8 invalid, 0 missing/);
    expect(first.out).toMatch(/Best and worst of 16 cells, by walk cycles per access/);
    expect(first.out).toMatch(/Nested pages of 4 KiB and of 2 MiB/);
    const lines = readJournal(at('a')).passes;
    const second = nestwalk(['sweep', FEW, '--out', at('a'), '--json', '--quiet']);
    expect(second.code).toBe(0);
    expect(JSON.parse(second.out)).toMatchObject({ done: 16, missing: 0, passes: 10, passesDone: 10 });
    expect(readJournal(at('a')).passes).toBe(lines);
  });

  it('is collected, asked and exported', () => {
    expect(nestwalk(['sweep', 'status', at('a'), '--json']).out).toMatch(/"done": 16/);
    expect(nestwalk(['sweep', 'collect', at('a')]).out.trim()).toBe(path.join(at('a'), 'results.duckdb'));
    expect(existsSync(path.join(at('a'), 'results.duckdb'))).toBe(true);
    const { out } = nestwalk([
      'query',
      at('a'),
      'SELECT status, count(*) AS n FROM cells GROUP BY ALL ORDER BY ALL',
      '--format',
      'csv',
    ]);
    expect(out).toBe('status,n\ndone,16\ninvalid,8\n');
    expect(exported(at('a')).split('\n')).toHaveLength(1 + CELLS + 1);
    expect(JSON.parse(nestwalk(['export', at('a'), '--format', 'json']).out)).toHaveLength(CELLS);
    const parquet = nestwalk(['export', at('a'), '--format', 'parquet', '--out', at('a.parquet')]);
    expect(parquet.code).toBe(0);
    expect(readFileSync(at('a.parquet')).subarray(0, 4).toString()).toBe('PAR1');
  });

  it('in shares of any launcher gives the same table', () => {
    const { code, err } = nestwalk(['sweep', FEW, '--out', at('b'), '--executor', 'slurm'], {
      PATH: '/nowhere',
    });
    expect([code, err]).toEqual([1, expect.stringMatching(/sbatch cannot be started.*array\.sh/)]);
    for (const index of ['2', '0', '1'])
      expect(
        nestwalk(['shard', 'run', '--sweep', at('b'), '--index', index, '--of', '3', '--quiet']).code,
      ).toBe(0);
    expect(exported(at('b'))).toBe(exported(at('a')));
  });

  it('as a Slurm array submits a script whose tasks are shares', () => {
    mkdirSync(at('bin'));
    const sbatch = `#!/bin/bash
set -e
[ "$1" = --parsable ]
last=$(sed -n 's/^#SBATCH --array=0-//p' "$2")
for i in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$i bash "$2"; done
grep -q -- '--partition=long' "$2"
echo '4711;cluster'
`;
    writeFileSync(at('bin/sbatch'), sbatch);
    chmodSync(at('bin/sbatch'), 0o755);
    const { code, out } = nestwalk(
      [
        'sweep',
        FEW,
        '--out',
        at('slurm'),
        '--executor',
        'slurm',
        '--shares',
        '2',
        '--sbatch=--partition=long',
      ],
      { PATH: `${at('bin')}:${process.env.PATH}` },
    );
    expect(code).toBe(0);
    expect(out).toMatch(/submitted as job 4711: .*array\.sh/);
    expect(exported(at('slurm'))).toBe(exported(at('a')));
  });
});

it('cuts groups that this machine has no room for, without being asked', (context) => {
  // A PTE cache of 4 GiB has 2^26 lines: a GiB or so for each of 224 cells.
  if (machineMemoryBytes() < 4 * 2 ** 30 || machineMemoryBytes() > 200 * 2 ** 30) return context.skip();
  writeFileSync(
    at('large.yaml'),
    `workload: uniform
footprint: 1MiB
accesses: 1000
machine:
  preset: tiny
  stlb: [{entries: 16, ways: 4, sizes: [4KiB]}]
  caches: [{name: L3, size: 4GiB, ways: 16, line: 64, latency: 40}]
vary:
  machine.stlb[0].sets: {from: 1, to: 64, times: 2}
  machine.stlb[0].ways: {from: 1, to: 32, step: 1}
`,
  );
  const { out } = nestwalk(['sweep', at('large.yaml'), '--dry-run', '--json', '--workers', '1']);
  const { passes } = JSON.parse(out) as { passes: { estimate: { memoryBytes: number } }[] };
  expect(passes.length).toBeGreaterThan(1);
  for (const { estimate } of passes)
    expect(estimate.memoryBytes).toBeLessThanOrEqual(0.7 * machineMemoryBytes());
});

describe('help', () => {
  it.each(['sweep', 'sweep status', 'sweep collect', 'shard', 'shard run', 'export', 'query'])(
    'of %s has an example',
    (command) => {
      const { code, out } = nestwalk([...command.split(' '), '--help']);
      expect(code).toBe(0);
      expect(out).toMatch(/Examples?:\n {2}nestwalk /);
    },
  );
});

describe('wrong use of sweep', () => {
  it.each([
    ['no folder', ['sweep', FEW], 2, /give --out DIR/],
    ['no file', ['sweep', 'none.yaml', '--out', 'x'], 2, /none\.yaml.*no such file/],
    ['another sweep in the folder', ['sweep', LONG, '--out', at('a')], 1, /holds another sweep.*--out/s],
    ['too little memory', ['sweep', FEW, '--out', at('m'), '--memory', '1MiB'], 1, /memory\.limit/],
    ['a folder that is none', ['sweep', 'status', at('nothing')], 1, /holds no sweep/],
    [
      'a share beyond the last',
      ['shard', 'run', '--sweep', at('a'), '--index', '3', '--of', '3'],
      2,
      /no share 3 of 3/,
    ],
    ['a share of nothing', ['shard', 'run', '--sweep', at('a'), '--index', '0'], 2, /--of/],
    ['an unknown format', ['export', at('a'), '--format', 'xlsx'], 2, /csv, parquet, json/],
    ['Parquet to nowhere', ['export', at('a'), '--format', 'parquet'], 2, /--out FILE/],
    ['bad SQL', ['query', at('a'), 'SELEC'], 1, /Parser Error|syntax error/],
  ] as [string, string[], number, RegExp][])('%s', (_, args, code, message) => {
    const ended = nestwalk(args);
    expect(ended.err).toMatch(message);
    expect(ended.err).not.toMatch(/\n\s+at /);
    expect([ended.code, ended.out]).toEqual([code, '']);
  });

  it('tells all errors of a sweep file with their places', () => {
    writeFileSync(at('bad.yaml'), 'workload: gups\nvary:\n  sed: [1]\n  paging.mode: []\n');
    const { code, err } = nestwalk(['sweep', at('bad.yaml'), '--dry-run']);
    expect(code).toBe(2);
    expect(err).toMatch(/2 errors.*bad\.yaml:3:3: .*bad\.yaml:4:16: /s);
  });
});

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Processes that a process started. */
function childrenOf(pid: number): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  return stdout.trim().split(/\s+/).filter(Boolean).map(Number);
}

/** Kills without mercy; a process that has just ended needs none. */
function kill9(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was faster.
  }
}

function start(
  sweep: string,
  file: string,
  more: NodeJS.ProcessEnv = {},
  flags: readonly string[] = [],
): { child: ChildProcess; ended: Promise<Ended> } {
  const args = ['--import', TSX, MAIN, 'sweep', file, '--out', sweep, '--workers', '2', ...flags];
  const child = spawn(process.execPath, args, { cwd: ROOT, env: { ...env, ...more } });
  let [out, err] = ['', ''];
  child.stdout!.on('data', (text) => {
    out += text;
  });
  child.stderr!.on('data', (text) => {
    err += text;
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  return { child, ended };
}

describe('a sweep that is killed', () => {
  it('at random moments, orchestrator or child, resumes to the same bytes', {
    timeout: 180_000,
  }, async () => {
    const undisturbed = at('calm');
    expect((await start(undisturbed, LONG).ended).code).toBe(0);
    const whole = exported(undisturbed);
    const sweep = at('kills');
    const moments: string[] = [];
    for (let round = 0; round < 6; round++) {
      const { child, ended } = start(sweep, LONG);
      const wait = 500 + Math.random() * 2500;
      await sleep(wait);
      const children = childrenOf(child.pid!);
      const isChild = round % 2 === 0 && children.length > 0;
      moments.push(`${isChild ? 'child' : 'orchestrator'} after ${Math.round(wait)} ms`);
      kill9(isChild ? children[Math.floor(Math.random() * children.length)] : child.pid!);
      if (isChild) {
        await sleep(Math.random() * 500);
        kill9(child.pid!);
      }
      await ended;
    }
    const { code, err } = await start(sweep, LONG).ended;
    expect([code, err.match(/failed/)], moments.join(', ')).toEqual([0, null]);
    expect(exported(sweep), moments.join(', ')).toBe(whole);
  });

  it('loses a child and goes on by itself', { timeout: 100_000 }, async () => {
    const sweep = at('orphan');
    const { child, ended } = start(sweep, LONG);
    while (!existsSync(path.join(sweep, 'journal'))) await sleep(50);
    const [victim] = childrenOf(child.pid!);
    kill9(victim);
    const { code, err } = await ended;
    expect(err).toMatch(/a worker process died \(SIGKILL\)/);
    expect(code).toBe(0);
    expect(readJournal(sweep).results.size).toBe(16);
  });

  it('leaves no child behind when the orchestrator dies', { timeout: 100_000 }, async () => {
    const { child, ended } = start(at('widow'), LONG);
    while (!existsSync(path.join(at('widow'), 'journal'))) await sleep(50);
    const children = childrenOf(child.pid!);
    expect(children.length).toBeGreaterThan(0);
    kill9(child.pid!);
    await ended;
    const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);
    for (let tries = 0; tries < 50 && children.some(isAlive); tries++) await sleep(100);
    expect(children.filter(isAlive)).toEqual([]);
  });

  it('by Ctrl-C ends in 130, soon, and is resumable', { timeout: 100_000 }, async () => {
    const { child, ended } = start(at('stopped'), LONG);
    while (!existsSync(path.join(at('stopped'), 'journal'))) await sleep(50);
    const begun = performance.now();
    child.kill('SIGINT');
    const { code, err } = await ended;
    expect(performance.now() - begun).toBeLessThan(3000);
    expect(code).toBe(130);
    expect(err).toMatch(/interrupted/);
    expect(err).not.toMatch(/failed|died/);
    expect((await start(at('stopped'), LONG).ended).code).toBe(0);
    expect(exported(at('stopped'))).toBe(exported(at('calm')));
  });

  it('three times by the same pass gives that pass up, with the reason, and finishes the others', {
    timeout: 100_000,
  }, async () => {
    const sweep = at('lethal');
    nestwalk(['sweep', FEW, '--out', sweep, '--executor', 'slurm'], { PATH: '/nowhere' });
    const plan = readPlan(sweep);
    const lethal = plan.passes.find(({ kind }) => kind === 'single')!;
    const victim = plan.cells[lethal.cells[0]].name!;
    writeFileSync(
      at('lethal.mjs'),
      `const send = process.send;
if (send && process.argv.includes('shard')) process.send = (message, ...rest) => {
  const isLethal = message.t === 'start' && message.cells.includes('${victim}');
  return send.call(process, message, isLethal ? () => process.kill(process.pid, 'SIGKILL') : rest[0]);
};
`,
    );
    const lethalEnv = { NODE_OPTIONS: `--import ${at('lethal.mjs')}` };
    const { code, out, err } = await start(sweep, FEW, lethalEnv).ended;
    expect(err.match(/a worker process died \(SIGKILL\)/g)).toHaveLength(3);
    expect(out).toMatch(/15 of 24 done, 1 failed, 8 invalid, 0 missing/);
    expect(out).toMatch(/its process died 3 times, at last of SIGKILL/);
    expect(code).toBe(1);
    // Asked for while it still kills, it kills three times more, and no oftener.
    const again = await start(sweep, FEW, lethalEnv, ['--retry-failed']).ended;
    expect(again.err.match(/a worker process died \(SIGKILL\)/g)).toHaveLength(3);
    expect([again.code, again.out]).toEqual([1, expect.stringMatching(/15 of 24 done, 1 failed/)]);
    // The same command leaves it given up; asked for, it is run again, and the table is the usual one.
    expect(nestwalk(['sweep', FEW, '--out', sweep, '--quiet']).code).toBe(1);
    expect(nestwalk(['sweep', FEW, '--out', sweep, '--quiet', '--retry-failed']).code).toBe(0);
    expect(exported(sweep)).toBe(exported(at('a')));
  });
});

/** Mounts a small file system in memory; only where that is allowed. */
function mountSmall(name: string, options: string): string | undefined {
  mkdirSync(at(name));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', at(name)]);
  return status === 0 ? at(name) : undefined;
}

describe('a disk', () => {
  it('that is full gives a clear error, keeps what was acknowledged, and the sweep goes on when there is room', (context) => {
    // Room for the plan and two pages more: ten passes write some 20 KiB.
    const pages = Math.ceil(statSync(path.join(at('a'), 'sweep.json')).size / 4096) + 2;
    const disk = mountSmall('small', `size=${4 * pages}k`);
    if (!disk) return context.skip();
    try {
      const sweep = path.join(disk, 's');
      const first = nestwalk(['sweep', FEW, '--out', sweep, '--workers', '1']);
      expect(first.code).toBe(1);
      expect(first.err).toMatch(/no space is left on the device.*finished before is kept/s);
      expect(first.err).not.toMatch(/\n\s+at /);
      const kept = readJournal(sweep);
      expect(kept.damaged).toEqual([]);
      expect(spawnSync('mount', ['-o', 'remount,size=4m', disk]).status).toBe(0);
      expect(nestwalk(['sweep', FEW, '--out', sweep]).code).toBe(0);
      const { results } = readJournal(sweep);
      for (const [cell, result] of kept.results) expect(results.get(cell)).toEqual(result);
      expect(exported(sweep)).toBe(exported(at('a')));
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('that is read-only gives a clear error', (context) => {
    const disk = mountSmall('frozen', 'size=1m,ro');
    if (!disk) return context.skip();
    try {
      const { code, out, err } = nestwalk(['sweep', FEW, '--out', path.join(disk, 's')]);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(/the file system is read-only/);
    } finally {
      spawnSync('umount', [disk]);
    }
  });
});
