/**
 * TLBs against software that others wrote: valgrind's cachegrind with lines of 4 KiB is a set-associative LRU TLB. The same
 * program is recorded with lackey and simulated here, and run under cachegrind; both count its misses, and both counts
 * have to be the same. docs/independent-checks.md says which rules differ, and why nothing is left to a tolerance.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import { countersFromBlock } from '../src/results/counters.ts';
import { captureTrace } from '../src/trace/capture.ts';
import {
  type CacheCounts,
  cachegrind,
  count,
  hasValgrind,
  type LackeyLine,
  lackeyLines,
  type TlbGeometry,
} from './support/cachegrind.ts';
import { ENGINES, type Engine } from './support/engines.ts';

const CXX = process.env.CXX ?? 'g++';
const here = process.platform === 'linux' && process.arch === 'x64';
const hasCompiler = spawnSync(CXX, ['--version']).status === 0;
// Without valgrind these are shown as skipped; continuous integration must have it, and fails without.
const comparing = here && ((hasValgrind && hasCompiler) || process.env.CI) ? describe : describe.skip;

/** As Intel's: 64 entries of 4 ways before 1,536 to 2,048; small ones that all programs overflow; one way; one set. */
const GEOMETRIES: Record<string, TlbGeometry> = {
  '64/4 and 2048/16': {
    i1: { entries: 64, ways: 4 },
    d1: { entries: 64, ways: 4 },
    ll: { entries: 2048, ways: 16 },
  },
  '16/2 and 64/4': {
    i1: { entries: 8, ways: 8 },
    d1: { entries: 16, ways: 2 },
    ll: { entries: 64, ways: 4 },
  },
  '32/1 and 256/1': {
    i1: { entries: 16, ways: 1 },
    d1: { entries: 32, ways: 1 },
    ll: { entries: 256, ways: 1 },
  },
  '16/16 and 96/3': {
    i1: { entries: 4, ways: 4 },
    d1: { entries: 16, ways: 16 },
    ll: { entries: 96, ways: 3 },
  },
};

const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-cachegrind-'));
const environment = { ...process.env };
afterAll(() => {
  process.env = environment;
  rmSync(folder, { recursive: true });
});

/** A program with its recording, and what pads its environment. */
interface Recorded {
  command: string[];
  padding: string;
  trace: string;
  lines: LackeyLine[];
}

/** Both tools have to see one environment, since it lies on the program's stack, and `sort` asks for the locale. */
function setEnvironment(padding: string): void {
  process.env.LC_ALL = 'C';
  process.env.NESTWALK_TEST_PADDING = padding;
}

/** Bytes of the table in which the dynamic loader looks bytes of a string up. */
const TABLE_BYTES = 256;

/**
 * Whether two recordings are of one execution, page for page. One thing is random in a program: the dynamic loader reads
 * the name of valgrind's library four bytes at a time, past its end into random bytes from the kernel, and looks each up
 * in a table on its stack. Where the accesses that differ lie a table's length from the ends of their page, so does the
 * table. Now and then such a byte sends the loader another way, and the recordings differ in length.
 */
function settled(one: string, other: string): boolean {
  const [left, right] = [one, other].map((text) => text.split('\n').filter((line) => !line.startsWith('==')));
  return (
    left.length === right.length &&
    left.every((line, index) => {
      if (line === right[index]) return true;
      const offset = Number.parseInt(line.slice(3), 16) % 4096;
      return / L [0-9a-f]+,1$/.test(line) && offset >= TABLE_BYTES && offset < 4096 - TABLE_BYTES;
    })
  );
}

/** Records a program until two recordings are of one execution, with more in its environment each time. */
async function record(name: string, command: string[]): Promise<Recorded> {
  const traces = ['once', 'again'].map((which) => path.join(folder, `${name}-${which}.lackey`));
  for (const pad of [0, 700, 1400, 2100, 2800]) {
    const padding = '.'.repeat(pad);
    setEnvironment(padding);
    for (const trace of traces) expect((await captureTrace(command, trace)).exitCode).toBe(0);
    const [once, again] = traces.map((trace) => readFileSync(trace, 'utf8'));
    if (settled(once, again)) return { command, padding, trace: traces[0], lines: [...lackeyLines(once)] };
  }
  throw new Error(`${name} is executed in another way each time`);
}

/** Counts of cachegrind. A rare execution that has other instructions than the recording has is not compared with it. */
function underCachegrind({ command, padding, lines }: Recorded, geometry: TlbGeometry): CacheCounts {
  setEnvironment(padding);
  const fetches = lines.filter(({ kind }) => kind === 'I').length;
  const run = () => cachegrind(command, geometry, path.join(folder, 'cachegrind.out'));
  let counts = run();
  for (let again = 0; again < 4 && counts.Ir !== fetches; again++) counts = run();
  return counts;
}

/** Holds an engine's tier until a run is over: one that opens a trace makes its machine only after that. */
async function onTier<T>(engine: Engine, run: () => Promise<T>): Promise<T> {
  const before = process.env.NESTWALK_ISA;
  if (engine.engine === 'native') process.env.NESTWALK_ISA = engine.tier;
  try {
    return await run();
  } finally {
    if (before === undefined) delete process.env.NESTWALK_ISA;
    else process.env.NESTWALK_ISA = before;
  }
}

/** What an engine counts of a recording: fetches have an L1 of their own, and what misses either L1 comes to the STLB. */
async function simulated(engine: Engine, { trace }: Recorded, { i1, d1, ll }: TlbGeometry) {
  const { config } = resolveConfig({
    seed: 1,
    workload: { trace },
    machine: {
      l1i: [{ ...i1, sizes: ['4KiB'] }],
      l1d: [{ ...d1, sizes: ['4KiB'] }],
      stlb: [{ ...ll, sizes: ['4KiB'] }],
    },
    paging: { mode: 'native' },
  });
  const outcome = await onTier(engine, () => engine.execute(config));
  expect([outcome.engine, outcome.tier]).toEqual([engine.engine, engine.tier]);
  const { fetches, reads, writes, l1iMisses, l1Misses, stlbMisses } = countersFromBlock(outcome.counters, []);
  return { fetches, reads, writes, l1iMisses, l1Misses, stlbMisses };
}

/** Counts under the names of the simulator, which does not tell whose misses come to the STLB. */
const named = (counts: CacheCounts) => ({
  fetches: counts.Ir,
  reads: counts.Dr,
  writes: counts.Dw,
  l1iMisses: counts.I1mr,
  l1Misses: counts.D1mr + counts.D1mw,
  stlbMisses: counts.ILmr + counts.DLmr + counts.DLmw,
});

const crossings = (lines: readonly LackeyLine[], kinds: string): number =>
  lines.filter(({ kind, firstPage, lastPage }) => kinds.includes(kind) && firstPage !== lastPage).length;

const cases = Object.keys(GEOMETRIES);

comparing('a program whose accesses never cross a page', () => {
  let program: Recorded;

  beforeAll(async () => {
    const binary = path.join(folder, 'pageTouches');
    const source = path.join(import.meta.dirname, 'native/pageTouches.cc');
    const alone = [
      '-static',
      '-nostdlib',
      '-fno-pic',
      '-no-pie',
      '-fno-stack-protector',
      '-fcf-protection=none',
    ];
    const flags = ['-std=c++20', '-O1', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra', '-Werror'];
    const { status, stderr } = spawnSync(CXX, [...flags, ...alone, source, '-o', binary], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    program = await record('pageTouches', [binary]);
  }, 120_000);

  it('is what it says, and has reads, writes and modifications', () => {
    expect(crossings(program.lines, 'ILSM')).toBe(0);
    for (const kind of 'ILSM')
      expect(program.lines.filter((line) => line.kind === kind).length, kind).toBeGreaterThan(3000);
  });

  describe.each(cases)('%s', (name) => {
    const geometry = GEOMETRIES[name];
    let theirs: CacheCounts;
    beforeAll(() => {
      theirs = underCachegrind(program, geometry);
    }, 120_000);

    it('misses in every cache', () => {
      // 96 pages of code and 3,000 of data are more than any of them holds; the largest LL still keeps all code.
      for (const field of ['I1mr', 'D1mr', 'D1mw', 'DLmr', 'DLmw'] as const)
        expect(theirs[field], field).toBeGreaterThan(1000);
      expect(theirs.ILmr).toBeGreaterThanOrEqual(96);
    });

    it.each(ENGINES.map((engine) => [engine.name, engine] as const))(
      'counts as %s does',
      async (_, engine) => {
        const modified = program.lines.filter(({ kind }) => kind === 'M').length;
        const expected = named(theirs);
        // cachegrind takes a modification for one read; the write that follows it here hits what it has just touched.
        expect(await simulated(engine, program, geometry)).toEqual({
          ...expected,
          writes: expected.writes + modified,
        });
      },
    );
  });
});

comparing('programs as they are', () => {
  const programs = new Map<string, Recorded>();
  const records = path.join(folder, 'records.txt');

  beforeAll(async () => {
    // 500 records of 500 bytes, keys by the generator of Park and Miller.
    let key = 1;
    const lines = Array.from({ length: 500 }, () => {
      key = (key * 16807) % 2147483647;
      return String(key).padStart(10, '0').padEnd(499, '.');
    });
    writeFileSync(records, `${lines.join('\n')}\n`);
    programs.set('true', await record('true', ['/bin/true']));
    // Without a size it would ask how much memory is free, and the digits of that number are not always as many.
    const options = ['--parallel=1', '--buffer-size=16M', '--output=/dev/null'];
    programs.set('sort', await record('sort', ['sort', ...options, records]));
    programs.set('uniq', await record('uniq', ['uniq', '--skip-chars=3', records, '/dev/null']));
  }, 120_000);

  it('cross pages, in their code and in their data', () => {
    for (const { lines } of programs.values()) expect(crossings(lines, 'I')).toBeGreaterThan(100);
    expect(crossings(programs.get('sort')!.lines, 'LSM')).toBeGreaterThan(0);
  });

  describe.each(['true', 'sort', 'uniq'])('%s', (which) => {
    it.each(cases)('%s: cachegrind counts as the library does under its rule for crossings', (name) => {
      const program = programs.get(which)!;
      expect(underCachegrind(program, GEOMETRIES[name])).toEqual(
        count(program.lines, GEOMETRIES[name], 'together'),
      );
    });

    // The largest and a small one: the program above has been through all of them.
    describe.each(cases.slice(0, 2))('%s', (name) => {
      let apart: CacheCounts;
      beforeAll(() => {
        apart = count(programs.get(which)!.lines, GEOMETRIES[name], 'apart');
      }, 120_000);

      it('shows that the rules differ', () => {
        expect(apart).not.toEqual(count(programs.get(which)!.lines, GEOMETRIES[name], 'together'));
      });

      it.each(ENGINES.map((engine) => [engine.name, engine] as const))(
        '%s counts as the library does under ours',
        async (_, engine) => {
          const program = programs.get(which)!;
          expect(await simulated(engine, program, GEOMETRIES[name])).toEqual(named(apart));
        },
      );
    });
  });
});
