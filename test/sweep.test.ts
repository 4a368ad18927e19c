/** Sweeps without processes: grids, conditions, plans, the journal, the table and the store. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { parseConfigText } from '../src/config/file.ts';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ResolvedConfig } from '../src/config/resolved.ts';
import { NestwalkError } from '../src/errors.ts';
import { blockFromCounters } from '../src/results/counters.ts';
import { countersFromFlat, flatCounters, slotColumns } from '../src/results/flat.ts';
import { queryStore, toCsv, writeParquet } from '../src/results/store.ts';
import { execute, machineMemoryBytes } from '../src/run/execute.ts';
import { ungroupable } from '../src/run/group.ts';
import { COUNTER, COUNTER_SLOTS } from '../src/schema.ts';
import { comparable, plainPath, readCondition } from '../src/sweep/condition.ts';
import { freezePlan, readPlan } from '../src/sweep/folder.ts';
import {
  formatLine,
  type JournalFiles,
  type JournalLine,
  JournalWriter,
  journalFolder,
  makeFolder,
  parseLine,
  readJournal,
} from '../src/sweep/journal.ts';
import { configOf, type PassLimits, type Plan, planSweep } from '../src/sweep/plan.ts';
import { sweepTable } from '../src/sweep/rows.ts';
import { pendingCells, runShare } from '../src/sweep/shard.ts';
import { slurmScript } from '../src/sweep/slurm.ts';
import { exportSweep, querySweep, sweepStatus } from '../src/sweep/status.ts';

const root = mkdtempSync(path.join(tmpdir(), 'nestwalk-sweep-'));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = (): string => path.join(root, `f${++folders}`);

const BASE = 'workload: uniform\nfootprint: 1MiB\naccesses: 1000\nseed: 3\n';
const ONE_STLB = 'machine: {preset: skylake-sp, stlb: [{entries: 16, ways: 4, sizes: [4KiB, 2MiB]}]}\n';
const planText = (text: string, limits?: PassLimits): Promise<Plan> =>
  planSweep({ ...parseConfigText(text, 'sweep.yaml'), directory: root }, limits);

/** Lines of the problems of a sweep file. */
async function problemsOf(text: string): Promise<string[]> {
  const error = await planText(text).catch((reason: unknown) => reason);
  if (!(error instanceof NestwalkError)) throw new Error(`no problems in\n${text}`);
  return error.message.split('\n');
}

describe('a condition', () => {
  const fields: Record<string, unknown> = { 'a.b[0].c': 1024, 'a.w': 4, page: '2MiB', name: 'gups' };
  const holds = (text: string): boolean =>
    readCondition(text, (name) => name in fields)((name) => fields[name]);

  it.each([
    ['a.b[0].c / a.w == 256', true],
    ['a.b.0.c / a.w > 256', false],
    ['1 + 2 * 3 == 7 and (1 + 2) * 3 == 9', true],
    ['not page == 2MiB or name == "gups"', true],
    ["!(page == 2MiB) || name != 'gups'", false],
    ['page == "2MiB" and page == 2097152 and page > 4KiB', true],
    ['a.w in [1, 2, 4] and not name in ["stream"]', true],
    ['-a.w < 0 && 7 % 4 == 3 && 1e3 == 1000', true],
    ['a.w - 1 - 1 == 2', true],
    ['1 == 2 and 1 == 1 or 1 == 1', true],
  ])('reads %s', (text, expected) => expect(holds(text)).toBe(expected));

  it.each([
    ['a.w >', /ends too early/],
    ['a.w > 1)', /one too many/],
    ['(a.w > 1', /"\)" is missing/],
    ['a.x > 1', /a\.x is not varied/],
    ['a.w ; 1', /";" means nothing/],
    ['a.w > 4KB', /4KB is not a number/],
    ['name > 1', /needs numbers, not "gups"/],
    ['a.w', /neither true nor false/],
    ['process.exit(1) == 1', /process.exit is not varied/],
  ])('refuses %s', (text, message) => expect(() => holds(text)).toThrow(message));

  it('computes like JavaScript, whatever the numbers and signs', () => {
    const number = fc.integer({ min: 0, max: 999 }).map(String);
    const sum = fc.letrec<{ term: string }>((tie) => ({
      term: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        number,
        fc.tuple(tie('term'), fc.constantFrom('+', '-', '*'), tie('term')).map((parts) => parts.join(' ')),
        tie('term').map((inner) => `(${inner})`),
      ),
    })).term;
    fc.assert(
      fc.property(sum, fc.constantFrom('<', '<=', '==', '!=', '>', '>='), sum, (left, sign, right) => {
        const text = `${left} ${sign} ${right}`;
        // biome-ignore lint/security/noGlobalEval: the texts are made here, of digits and signs alone.
        const expected: unknown = eval(text);
        expect(readCondition(text, () => false)(() => 0)).toBe(expected);
      }),
    );
  });

  it('knows one spelling of a path and of a quantity', () => {
    expect(plainPath('machine.stlb.0.ways')).toBe('machine.stlb[0].ways');
    expect(comparable('4KiB')).toBe(4096);
    expect(comparable({ b: 1, a: 2 })).toBe('{"a":2,"b":1}');
  });
});

describe('a plan', () => {
  it('has the product of the lists in order, the last field fastest', async () => {
    const plan = await planText(`${BASE}vary:\n  seed: [1, 2]\n  paging.guestPage: [4KiB, 2MiB]\n`);
    const seen = plan.cells.map((cell) => [configOf(plan, cell).seed, configOf(plan, cell).paging.guestPage]);
    expect(seen).toEqual([
      [1, '4KiB'],
      [1, '2MiB'],
      [2, '4KiB'],
      [2, '2MiB'],
    ]);
    expect(plan.cells.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(new Set(plan.cells.map(({ name }) => name)).size).toBe(4);
  });

  it('resolves each cell as a single run would be resolved', async () => {
    const text = `${BASE}vary:
  workload: [gups, {pattern: zipf, theta: 0.5}]
  machine: [skylake-sp, {preset: icelake-sp, stlbLatency: 9}]
  machine.stlb: [[{entries: 16, ways: 4, sizes: [4KiB]}], []]
  paging.mode: [native, nested]
`;
    const plan = await planText(text);
    expect(plan.cells).toHaveLength(16);
    for (const cell of plan.cells) {
      const [workload, machine, stlb, mode] = cell.values.map((value, axis) => plan.axes[axis].values[value]);
      const whole = typeof machine === 'string' ? { preset: machine } : (machine as object);
      const input = {
        workload,
        footprint: '1MiB',
        accesses: 1000,
        seed: 3,
        machine: { ...whole, stlb },
        paging: { mode },
      };
      expect(configOf(plan, cell)).toEqual(resolveConfig(input).config);
    }
  });

  it('names cells by content: run never counts, everything else does', async () => {
    const name = async (text: string): Promise<string> =>
      (await planText(`${text}vary: {paging.ad: [set]}\n`)).cells[0].name!;
    const first = await name(BASE);
    expect(await name(`${BASE}run: {engine: ts, workers: 3}\n`)).toBe(first);
    expect(await name(BASE.replace('uniform', '{pattern: uniform}'))).toBe(first);
    for (const other of [
      BASE.replace('1000', '1001'),
      BASE.replace('seed: 3', 'seed: 4'),
      `${BASE}optional: [unique]\n`,
    ])
      expect(await name(other)).not.toBe(first);
  });

  it('gives cells one name where a native run has no use for what differs', async () => {
    const plan = await planText(
      `${BASE}vary: {paging.mode: [native, nested], paging.nestedPage: [4KiB, 2MiB]}\n`,
    );
    const names = plan.cells.map(({ name }) => name);
    expect(names[0]).toBe(names[1]);
    expect(new Set(names).size).toBe(3);
    expect(plan.passes.flatMap(({ cells }) => cells)).toEqual([0, 2, 3]);
  });

  it('has every name in exactly one pass, and groups only what may be grouped', async () => {
    const sets = fc.uniqueArray(fc.constantFrom(1, 2, 8, 64), { minLength: 1 });
    const ways = fc.uniqueArray(fc.constantFrom(1, 3, 4, 12), { minLength: 1 });
    const policies = fc.uniqueArray(fc.constantFrom('lru', 'fifo', 'random'), { minLength: 1 });
    const populate = fc.constantFrom('prefault', 'demand');
    const pages = fc.uniqueArray(fc.constantFrom('4KiB', '2MiB'), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(
        sets,
        ways,
        policies,
        pages,
        populate,
        fc.integer({ min: 1, max: 4 }),
        async (s, w, r, g, p, workers) => {
          const text = `${BASE}${ONE_STLB}paging: {populate: ${p}}
vary: {"machine.stlb[0].sets": [${s}], paging.guestPage: [${g}], "machine.stlb[0].ways": [${w}], "machine.stlb[0].replacement": [${r}]}\n`;
          const plan = await planText(text, { workers });
          expect(plan.cells).toHaveLength(s.length * w.length * r.length * g.length);
          const run = plan.passes.flatMap(({ cells }) => cells);
          expect([...run].sort((a, b) => a - b)).toEqual(plan.cells.map(({ index }) => index));
          for (const { kind, cells } of plan.passes) {
            const configs = cells.map((index) => configOf(plan, plan.cells[index]));
            expect(kind).toBe(cells.length > 1 ? 'group' : 'single');
            if (kind === 'group') for (const config of configs) expect(ungroupable(config)).toBeUndefined();
            const others = configs.map(withoutGeometry);
            for (const other of others) expect(other).toEqual(others[0]);
          }
          if (p === 'prefault' && workers === 1 && r.includes('lru') && s.length * w.length > 1)
            expect(plan.passes.filter(({ kind }) => kind === 'group')).toHaveLength(g.length);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('tells invalid cells instead of dropping them', async () => {
    const text = `${BASE}${ONE_STLB}vary: {"machine.stlb[0].entries": [12, 16], "machine.stlb[0].ways": [3, 4]}\n`;
    const { cells, passes } = await planText(text);
    // 12 entries in 4 ways make 3 sets, 16 in 3 ways no whole number of sets.
    expect(cells.map(({ invalid }) => invalid?.slice(0, 20))).toEqual([
      undefined,
      'machine.stlb[0].ways',
      'machine.stlb[0].ways',
      undefined,
    ]);
    expect(passes.flatMap(({ cells: run }) => run)).toEqual([0, 3]);
  });

  it('skips what conditions name, in text and in maps', async () => {
    const plan = await planText(`${BASE}vary: {seed: [1, 2, 3, 4], paging.guestPage: [4KiB, 2MiB]}
skip: [{seed: [1, 2], paging.guestPage: 2MiB}, "seed == 4 and paging.guestPage < 1MiB"]\n`);
    expect(plan.cells.map(({ values }) => values)).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
      [2, 1],
      [3, 1],
    ]);
    expect(plan.skipped).toBe(3);
  });

  it('takes ranges', async () => {
    const { axes } = await planText(
      `${BASE}vary: {seed: {from: 1, to: 10, step: 4}, machine.stlbLatency: {from: 2, to: 17, times: 2}}\n`,
    );
    expect(axes.map(({ values }) => values)).toEqual([
      [1, 5, 9],
      [2, 4, 8, 16],
    ]);
  });

  it('takes ranges of fractions to their last value, as they are written, and keeps large numbers exact', async () => {
    const text = BASE.replace('uniform', 'zipf');
    const { axes } = await planText(`${text}vary:
  workload.theta: {from: 0, to: 0.3, step: 0.1}
  machine.memoryLatency: {from: 0.1, to: 2.7, times: 3}
  seed: {from: 1099511627776, to: 4398046511103, times: 2}
`);
    expect(axes.map(({ values }) => values)).toEqual([
      [0, 0.1, 0.2, 0.3],
      [0.1, 0.3, 0.9, 2.7],
      [2 ** 40, 2 ** 41],
    ]);
  });

  it('estimates for the engine that is asked for', async () => {
    const seconds = async (engine: string, limits?: PassLimits): Promise<number> => {
      const { passes } = await planText(
        `${BASE.replace('1000', '1e9')}run: {engine: ${engine}}\nvary: {seed: [1]}\n`,
        limits,
      );
      return passes[0].estimate.seconds;
    };
    expect(await seconds('native', { engine: 'ts' })).toBe(await seconds('ts'));
    expect(await seconds('ts', { engine: 'native' })).toBe(await seconds('native'));
  });

  it('estimates 100 KiB for each walker', async () => {
    const text = `${BASE}${ONE_STLB}vary: {"machine.stlb[0].ways": [1, 2, 4, 8]}\n`;
    const memory = async (more: string): Promise<number> =>
      (await planText(text + more)).passes[0].estimate.memoryBytes;
    expect((await memory('')) - (await memory('counters: tlb\n'))).toBe(4 * 100 * 1024);
  });

  it('sees no more memory than its container has', () => {
    const limit = vi.spyOn(process, 'constrainedMemory');
    try {
      for (const [constrained, expected] of [
        [2 ** 20, 2 ** 20],
        [0, totalmem()],
        [2 ** 64, totalmem()],
      ]) {
        limit.mockReturnValue(constrained);
        expect(machineMemoryBytes()).toBe(expected);
      }
    } finally {
      limit.mockRestore();
    }
  });

  it('cuts groups that do not fit into memory, and refuses a cell that does not', async () => {
    const text = `${BASE}${ONE_STLB}vary: {"machine.stlb[0].ways": [1, 2, 4, 8]}\n`;
    const whole = await planText(text);
    expect(whole.passes).toHaveLength(1);
    const { memoryBytes } = whole.passes[0].estimate;
    const halves = await planText(text, { memoryBytes: memoryBytes - 1 });
    expect(halves.passes.map(({ cells }) => cells)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(halves.identity).toBe(whole.identity);
    await expect(planText(text, { memoryBytes: 2 ** 20 })).rejects.toMatchObject({ code: 'memory.limit' });
  });

  it('of ten thousand cells is made in under five seconds', async () => {
    const text = `${BASE}${ONE_STLB}vary:
  workload: [gups, uniform, {pattern: zipf}, canneal, redis]
  paging.guestPage: [4KiB, 2MiB]
  paging.nestedPage: [4KiB, 2MiB, 1GiB]
  machine.stlb[0].sets: {from: 1, to: 1048576, times: 2}
  machine.stlb[0].ways: {from: 1, to: 16, step: 1}
`.replace(BASE, '');
    const begun = performance.now();
    const { cells, passes } = await planText(BASE.replace('1MiB', '1GiB') + text);
    expect(performance.now() - begun).toBeLessThan(5000);
    expect(cells).toHaveLength(5 * 2 * 3 * 21 * 16);
    // 2^20 sets of 16 ways are the 2^24 entries that a machine may have: all are valid.
    expect(passes).toHaveLength(5 * 2 * 3);
  });
});

/** A configuration with the geometry of its STLB taken out. */
function withoutGeometry(config: ResolvedConfig): unknown {
  const stlb = config.machine.stlb.map(({ entries: _e, ways: _w, ...array }) => array);
  return { ...config, machine: { ...config.machine, stlb } };
}

describe('a sweep file that is wrong', () => {
  it('is told of all at once, each with its place', async () => {
    const text = `workload: gups
footprint: 1GiB
acceses: 1e6
machine: skylake-sp
vary:
  workload: [gups, btre, uniform]
  paging.guestPage: [4KiB, 3MiB]
  machine.stlb[0].entres: [1, 2]
  machine.stlb[1].ways: [4, x]
`;
    const problems = await problemsOf(text);
    expect(problems).toHaveLength(5);
    expect(problems[0]).toMatch(/^sweep\.yaml:3:1\d?: acceses: .*did you mean "accesses"/);
    expect(problems[1]).toMatch(/^sweep\.yaml:6:20: workload: .*did you mean "btree"/);
    expect(problems[2]).toMatch(/^sweep\.yaml:7:28: paging\.guestPage: .*did you mean "2MiB"/);
    expect(problems[3]).toMatch(/^sweep\.yaml:8:3: machine\.stlb\[0\]\.entres: .*did you mean "entries"/);
    expect(problems[4]).toMatch(/^sweep\.yaml:9:29: machine\.stlb\[1\]\.ways: must be/);
  });

  it.each([
    ['', /sweep\.yaml:1:1: vary: is missing/],
    ['vary: []', /:5:7: vary: must be a map/],
    ['vary: {seed: []}', /vary\.seed: is an empty list/],
    ['vary: {seed: 1}', /vary\.seed: must be a list of values, or a range/],
    ['vary: {seed: [1, 1]}', /:5:18: .*in this list already/],
    ['vary: {run.workers: [1, 2]}', /changes no counter/],
    ['vary: {sed: [1, 2]}', /did you mean "seed"/],
    ['vary: {"machine.stlb[": [1]}', /is no path of a field/],
    ['vary: {machine.stlb.0.ways: [1], "machine.stlb[0].ways": [2]}', /is varied twice/],
    [
      'vary: {"machine.stlb[9].ways": [1]}',
      /machine\.stlb has 2 elements, the first is \[0\]: there is no \[9\]/,
    ],
    ['vary: {workload.theta: [1]}', /workload\.theta: is not a field of the pattern uniform/],
    ['vary: {seed: {from: 3, to: 1, step: 1}}', /ends \(1\) before it begins \(3\)/],
    ['vary: {seed: {from: 0, to: 9, times: 2}}', /times above 1, and from above 0/],
    ['vary: {seed: {from: 0, to: 9, by: 2}}', /"by" is no field of a range/],
    ['vary: {seed: {from: 1, to: 1e9, step: 1}}', /more than 1000000 values/],
    ['vary: {seed: [1]}\ncounters: tbl', /:6:11: counters: must be one of tlb, all/],
    ['vary: {seed: [1]}\nskip: seed >', /:6:7: skip: it ends too early/],
    ['vary: {seed: [1]}\nskip: {sed: 1}', /:6:8: skip\.sed: sed is not varied; did you mean "seed"/],
    ['vary: {seed: [1]}\nskip: seed > 0', /skip: leaves no cell/],
  ])('%s', async (text, message) => {
    expect((await problemsOf(BASE + text)).join('\n')).toMatch(message);
  });

  it('with a value that no cell can have is an error, one that some combinations lack is not', async () => {
    const levels = 'paging: {guestLevels: 2}\nvary: {paging.guestPage: [4KiB, 1GiB]}\n';
    expect((await problemsOf(BASE + levels)).join()).toMatch(
      /^sweep\.yaml:6:33: paging\.guestPage: 1GiB is a leaf at level 3/,
    );
    const both = 'vary: {paging.guestLevels: [2, 4], paging.guestPage: [4KiB, 1GiB]}\n';
    const { cells } = await planText(BASE + both);
    expect(cells.map(({ invalid }) => invalid === undefined)).toEqual([true, false, true, true]);
  });
});

const done = (cell: string, count = 1): JournalLine => ({
  t: 'done',
  cell,
  result: { counters: { accesses: count }, events: {} },
});

/** Journal files by content. */
function journalOf(files: Record<string, string | Buffer>): string {
  const sweep = folder();
  mkdirSync(journalFolder(sweep), { recursive: true });
  for (const [name, content] of Object.entries(files))
    writeFileSync(path.join(journalFolder(sweep), name), content);
  return sweep;
}

const textOf = (lines: readonly JournalLine[]): string =>
  lines.map((line) => `${formatLine(line)}\n`).join('');

describe('the journal', () => {
  const three = [done('a', 1), done('b', 2), done('c', 3)];

  it('is lines of JSON, each with a checksum of its own', () => {
    for (const line of textOf(three).trimEnd().split('\n')) {
      expect(Object.keys(JSON.parse(line))[0]).toBe('sum');
      expect(parseLine(line)).toEqual(
        three.find(({ t: _t, ...rest }) => 'cell' in rest && line.includes(`"${rest.cell}"`)),
      );
    }
  });

  it('torn at any byte gives the lines that are whole, and nothing else', () => {
    const text = textOf(three);
    const ends = [...text].flatMap((sign, at) => (sign === '\n' ? [at] : []));
    for (let length = 0; length <= text.length; length++) {
      const { results, damaged, torn } = readJournal(journalOf({ 'a.jsonl': text.slice(0, length) }));
      const whole = ends.filter((end) => end <= length).length;
      expect([...results.keys()]).toEqual(['a', 'b', 'c'].slice(0, whole));
      expect(damaged).toEqual([]);
      const rest = length - (whole === 0 ? 0 : ends[whole - 1] + 1);
      expect(torn).toBe(rest > 0 ? 1 : 0);
    }
  });

  it('with any bit turned over loses no other line, invents none, and tells', () => {
    const bytes = Buffer.from(textOf(three));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damagedBytes = Buffer.from(bytes);
        damagedBytes[at] ^= 1 << bit;
        const { results, damaged, torn } = readJournal(journalOf({ 'a.jsonl': damagedBytes }));
        for (const [cell, { counters }] of results)
          expect(counters.accesses).toBe({ a: 1, b: 2, c: 3 }[cell]);
        const hit = damagedBytes.subarray(0, at).toString('latin1').split('\n').length - 1;
        const neighbours = bytes[at] === 0x0a ? [hit, hit + 1] : [hit];
        for (const [index, cell] of ['a', 'b', 'c'].entries())
          expect(results.has(cell) || neighbours.includes(index)).toBe(true);
        expect(results.size < 3 ? damaged.length + torn : 1).toBeGreaterThan(0);
      }),
    );
  });

  it('takes equal results twice, and names both places of unequal ones', () => {
    expect(readJournal(journalOf({ 'a.jsonl': textOf(three), 'b.jsonl': textOf(three) })).results.size).toBe(
      3,
    );
    const sweep = journalOf({ 'a.jsonl': textOf(three), 'b.jsonl': textOf([done('x'), done('b', 7)]) });
    expect(() => readJournal(sweep)).toThrow(
      /cell b has two results.*a\.jsonl:2 and .*b\.jsonl:2.*accesses \(2 and 7\)/s,
    );
    expect(() => readJournal(sweep)).toThrow(expect.objectContaining({ code: 'sweep.conflict' }));
  });

  it('gives a result precedence over a failure, and counts what was begun in vain', () => {
    const { failed, unfinished } = readJournal(
      journalOf({
        'a.jsonl': textOf([
          { t: 'start', cells: ['a', 'b'] },
          { t: 'failed', cells: ['a'], reason: 'no' },
        ]),
        'b.jsonl': textOf([
          { t: 'start', cells: ['b', 'c'] },
          { t: 'stop', cells: ['c'] },
        ]),
        'c.jsonl': textOf([done('a'), { t: 'failed', cells: ['d'], reason: 'why' }]),
      }),
    );
    expect([...failed]).toEqual([['d', 'why']]);
    expect([...unfinished]).toEqual([['b', 2]]);
  });

  it('has a file for each writer, also of one process', () => {
    const sweep = folder();
    const writers = [new JournalWriter(sweep), new JournalWriter(sweep)];
    for (const [at, writer] of writers.entries()) writer.append([done(`cell${at}`)], true);
    for (const writer of writers) writer.close();
    expect(readdirSync(journalFolder(sweep))).toHaveLength(2);
    expect([...readJournal(sweep).results.keys()].sort()).toEqual(['cell0', 'cell1']);
  });

  it('on a disk that is full at any byte keeps what was acknowledged, and says so', () => {
    const first = textOf([done('a', 1)]).length;
    const all = textOf(three).length;
    for (let room = 0; room <= all; room += 7) {
      const sweep = folder();
      const writer = new JournalWriter(sweep, diskOf(room));
      const acknowledged: string[] = [];
      let failure: unknown;
      for (const line of three as {
        t: 'done';
        cell: string;
        result: { counters: { accesses: number }; events: object };
      }[]) {
        try {
          writer.append([line as JournalLine], true);
          acknowledged.push(line.cell);
        } catch (error) {
          failure = error;
        }
      }
      expect(acknowledged.length).toBe(room < first ? 0 : Math.min(3, Math.floor(room / first)));
      expect([...readJournal(sweep).results.keys()]).toEqual(acknowledged);
      if (acknowledged.length < 3) {
        expect(failure).toMatchObject({ code: 'sweep.folder' });
        expect((failure as Error).message).toMatch(/no space is left.*finished before is kept/);
      }
    }
  });
});

/** Files on a disk with so many bytes of room, which cannot even cut a torn line away. */
function diskOf(room: number): JournalFiles {
  let left = room;
  return {
    open: (file) => openSync(file, 'wx'),
    write(fd, bytes, offset) {
      const fits = Math.min(left, bytes.length - offset);
      if (fits === 0) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
      left -= fits;
      return writeSync(fd, bytes, offset, fits);
    },
    sync() {},
    truncate() {
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    },
    close: closeSync,
  };
}

describe('the folder of a sweep', () => {
  it.runIf(existsSync('/proc/self'))('is refused where none can be made, instead of tried for ever', () => {
    expect(() => makeFolder('/proc/nestwalk/night')).toThrow(/ENOENT/);
  });

  it('is refused where a file of its name is in the way', () => {
    const file = folder();
    writeFileSync(file, '');
    expect(() => makeFolder(file)).toThrow(/EEXIST/);
    expect(() => makeFolder(path.join(file, 'night'))).toThrow(/ENOTDIR/);
  });

  it('keeps the plan it was begun with, and refuses another', async () => {
    const sweep = folder();
    const plan = await planText(`${BASE}vary: {seed: [1, 2]}\n`);
    freezePlan(plan, sweep);
    freezePlan(plan, sweep);
    expect(readPlan(sweep)).toEqual(JSON.parse(JSON.stringify(plan)));
    const other = await planText(`${BASE}vary: {seed: [1, 2, 3]}\n`);
    expect(() => freezePlan(other, sweep)).toThrow(
      /holds another sweep: it varies seed \(2\), and the file now seed \(3\).*--out/,
    );
    expect(() => freezePlan({ ...plan, version: '0.0.1', identity: 'x' }, sweep)).toThrow(
      /was begun by nestwalk/,
    );
    expect(readPlan(sweep).identity).toBe(plan.identity);
  });

  it('that is none is told', () => {
    expect(() => readPlan(folder())).toThrow(
      expect.objectContaining({ code: 'sweep.none', message: expect.stringMatching(/holds no sweep/) }),
    );
  });

  it('that was begun by another version is not added to', async () => {
    const sweep = folder();
    freezePlan({ ...(await planText(`${BASE}vary: {seed: [1]}\n`)), version: '0.0.1' }, sweep);
    await expect(runShare({ sweep, index: 0, of: 1 })).rejects.toMatchObject({ code: 'sweep.plan' });
  });
});

describe('flat counters', () => {
  it('name every slot that results have once, and come back', () => {
    const names = slotColumns(['L2', 'LLC']);
    expect(new Set(names.map(([name]) => name)).size).toBe(names.length);
    expect(Object.fromEntries(names)).toMatchObject({
      accesses: COUNTER.accesses,
      refs_gL4_nL4: COUNTER.refs + 2 * 6 + 1,
    });
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: COUNTER_SLOTS, maxLength: COUNTER_SLOTS }), (slots) => {
        const block = new Float64Array(COUNTER_SLOTS);
        for (const [, slot] of names) block[slot] = slots[slot];
        const flat = flatCounters(block, ['L2', 'LLC']);
        expect(Object.values(flat)).not.toContain(0);
        expect(blockFromCounters(countersFromFlat(flat, ['L2', 'LLC']), ['L2', 'LLC'])).toEqual(block);
      }),
      { numRuns: 20 },
    );
  });
});

const SMALL = `workload: {pattern: zipf, theta: 0.9, writeFraction: 0.3}
footprint: 1MiB
accesses: 3000
seed: 5
machine: {preset: tiny, stlb: [{entries: 16, ways: 4, sizes: [4KiB, 2MiB]}]}
run: {engine: ts}
vary:
  paging.mode: [native, nested]
  paging.nestedPage: [4KiB, 2MiB]
  machine.stlb[0].replacement: [lru, fifo]
  machine.stlb[0].entries: [8, 16, 24]
  machine.stlb[0].ways: [2, 4]
`;

/** A sweep in a folder of its own, run to the end in this process. */
async function finished(text: string, of = 1): Promise<string> {
  const sweep = folder();
  freezePlan(await planText(text), sweep);
  for (let index = 0; index < of; index++) await runShare({ sweep, index, of });
  return sweep;
}

describe('a share', () => {
  it('leaves every cell with the counters of its single run, whatever the pass', async () => {
    const sweep = await finished(SMALL);
    const plan = readPlan(sweep);
    const { results } = readJournal(sweep);
    expect(plan.passes.some(({ kind }) => kind === 'group')).toBe(true);
    expect(plan.passes.some(({ kind }) => kind === 'single')).toBe(true);
    let compared = 0;
    for (const cell of plan.cells) {
      if (cell.invalid !== undefined) continue;
      const config = configOf(plan, cell);
      const { counters } = await execute(config, 'ts');
      const names = config.machine.caches.map(({ name }) => name);
      expect(results.get(cell.name!)!.counters).toEqual(flatCounters(counters, names));
      compared += 1;
    }
    // 24 entries in 2 or 4 ways make 12 or 6 sets: a third of the 48 cells is invalid.
    expect(compared).toBe(32);
  });

  it('of one, or of seven in any order: the same table, byte for byte', async () => {
    const whole = await exportSweep(await finished(SMALL), 'csv');
    const sweep = folder();
    freezePlan(await planText(SMALL, { workers: 3 }), sweep);
    for (const index of [6, 2, 5, 0, 1, 4, 3, 2, 6]) await runShare({ sweep, index, of: 7 });
    expect(await exportSweep(sweep, 'csv')).toBe(whole);
    expect(whole!.split('\n')).toHaveLength(1 + 48 + 1);
  });

  it('begins nothing that the journal has, and goes on after a stop', async () => {
    const sweep = folder();
    freezePlan(await planText(SMALL), sweep);
    const stop = new AbortController();
    let passes = 0;
    const onEvent = ({ t }: { t: string }): void => {
      if (t === 'done' && ++passes === 2) stop.abort();
    };
    await expect(runShare({ sweep, index: 0, of: 1, signal: stop.signal, onEvent })).rejects.toMatchObject({
      code: 'run.cancelled',
    });
    const before = readJournal(sweep).results.size;
    expect(before).toBeGreaterThan(1);
    const started: string[] = [];
    await runShare({
      sweep,
      index: 0,
      of: 1,
      onEvent: (event) => event.t === 'start' && started.push(...event.cells),
    });
    expect(readJournal(sweep).results.size).toBe(before + started.length);
    expect(await exportSweep(sweep, 'csv')).toBe(await exportSweep(await finished(SMALL), 'csv'));
    expect((await runShare({ sweep, index: 0, of: 1 })).cells).toBe(0);
  });

  it('on a full disk ends with a clear error, keeps what it told of, and goes on later', async () => {
    const sweep = folder();
    freezePlan(await planText(SMALL), sweep);
    const told: string[] = [];
    const run = runShare({
      sweep,
      index: 0,
      of: 1,
      files: diskOf(9000),
      onEvent: (event) => event.t === 'done' && told.push(...event.cells),
    });
    await expect(run).rejects.toMatchObject({
      code: 'sweep.folder',
      message: expect.stringMatching(/no space is left/),
    });
    expect(told.length).toBeGreaterThan(0);
    expect([...readJournal(sweep).results.keys()].sort()).toEqual(told.sort());
    await runShare({ sweep, index: 0, of: 1 });
    expect(await exportSweep(sweep, 'csv')).toBe(await exportSweep(await finished(SMALL), 'csv'));
  });

  it('notes a pass that fails with its reason, and goes on', async () => {
    const begun = Date.now();
    // A guest memory that a demand run does not fit into is only met when it is used up.
    const trace = path.join(root, 'wide.lackey');
    writeFileSync(trace, '==1== x\n L 1000,8\n L 2000,8\n L 3000,8\n');
    const text = `workload: {trace: ${trace}}\nseed: 1\nmachine: tiny\nrun: {engine: ts}\nvary: {paging.guestMemory: [8KiB, 1MiB]}\n`;
    const sweep = await finished(text);
    const { failed, done: count } = sweepStatus(sweep);
    expect(count).toBe(1);
    expect(failed).toEqual([{ index: 0, reason: expect.stringMatching(/^memory\.full: /) }]);
    const { plan, journal } = { plan: readPlan(sweep), journal: readJournal(sweep) };
    expect(pendingCells(plan, plan.passes[0], journal)).toEqual([]);
    expect(pendingCells(plan, plan.passes[0], journal, Date.now() + 1)).toHaveLength(1);
    // A session that began before the failure leaves it alone, or a pass that fails would be begun without end.
    expect(pendingCells(plan, plan.passes[0], journal, begun)).toEqual([]);
    expect(await runShare({ sweep, index: 0, of: 1, retryBefore: begun })).toMatchObject({ failed: 0 });
    expect(await runShare({ sweep, index: 0, of: 1, retryBefore: Date.now() + 1 })).toMatchObject({
      failed: 1,
    });
  });

  it.each([
    [0, 0, /--of must be at least 1, not 0/],
    [1, 1, /no share 1 of 1/],
    [-1, 2, /no share -1 of 2/],
    [0.5, 2, /no share 0.5 of 2/],
  ])('%d of %d is none', async (index, of, message) => {
    await expect(runShare({ sweep: folder(), index, of })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(message),
    });
  });
});

describe('the script of a Slurm array', () => {
  const scriptOf = async (sweep: string, retryFailed: boolean): Promise<string> =>
    slurmScript(await planText(`${BASE}vary: {seed: [1]}\n`), { sweep, workers: 1, sbatch: [], retryFailed });

  it('quotes its folder wherever it stands', async () => {
    const script = await scriptOf(path.join(root, 'a night, 50%'), false);
    expect(script).toContain(`#SBATCH --output='${root}/a night, 50%%/slurm/%A_%a.log'\n`);
    expect(script).toContain(` --sweep '${root}/a night, 50%' `);
    expect(script).not.toContain('--retry-failed');
  });

  it('takes up only what failed before it was written, however often a task is requeued', async () => {
    const before = Date.now();
    const [, time] = /--retry-failed (\S+)/.exec(await scriptOf(folder(), true))!;
    expect(Date.parse(time)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(time)).toBeLessThanOrEqual(Date.now());
  });
});

describe('the table of a sweep', () => {
  it('has columns for what is varied, configured, counted and derived, and a row for each cell', async () => {
    const sweep = await finished(SMALL);
    const { columns, rows } = sweepTable(readPlan(sweep), readJournal(sweep));
    const names = columns.map(({ name }) => name);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(names.length);
    expect(names.slice(0, 6)).toEqual([
      'cell',
      'index',
      'status',
      'reason',
      'paging_mode',
      'paging_nestedPage',
    ]);
    for (const name of ['config_stlbEntries', 'refs_gL4_nL4', 'refs_pt_L1', 'walkCyclesPerAccess_total'])
      expect(names).toContain(name);
    expect(rows.map((row) => row[1])).toEqual(rows.map((_, index) => index));
    const at = (name: string): number => names.indexOf(name);
    for (const row of rows) {
      if (row[at('status')] !== 'done') continue;
      expect(row[at('accesses')]).toBe(3000);
      expect(row[at('missRatio_overall')]).toBe((row[at('stlbMisses')] as number) / 3000);
    }
  });

  it('has a name of its own for a varied field that is called like a counter', async () => {
    const sweep = await finished(
      `${BASE.replace('accesses: 1000\n', '')}run: {engine: ts}\nvary: {accesses: [10, 20]}\n`,
    );
    const { rows } = await querySweep(sweep, 'SELECT vary_accesses, accesses FROM cells ORDER BY "index"');
    expect(rows).toEqual([
      [10, 10],
      [20, 20],
    ]);
  });

  it('with counters: tlb has the TLB counters of counters: all, and no others', async () => {
    const all = await finished(SMALL);
    const tlb = await finished(`${SMALL}counters: tlb\n`);
    const select =
      'SELECT l1Hits_4KiB, stlbHits_2MiB, stlbMisses, missRatio_overall FROM cells ORDER BY "index"';
    expect((await querySweep(tlb, select)).rows).toEqual((await querySweep(all, select)).rows);
    await expect(querySweep(tlb, 'SELECT walks FROM cells')).rejects.toMatchObject({ code: 'store.query' });
  });

  it('keeps optional counters', async () => {
    const text = `${BASE}optional: [unique, reuse]\nmachine: tiny\nrun: {engine: ts}\nvary: {seed: [1]}\n`;
    const { rows } = await querySweep(await finished(text), 'SELECT unique_gL1_g, reuse FROM cells');
    // 1 MiB are 256 pages, and so 256 entries of guest level 1, each with a first access.
    expect(rows[0][0]).toBeGreaterThan(0);
    const { cold, distances } = JSON.parse(rows[0][1] as string);
    expect(cold).toBeLessThanOrEqual(256);
    expect(cold + Object.values<number>(distances).reduce((a, b) => a + b, 0)).toBe(1000);
  });

  it('is the same in DuckDB and in Parquet', async () => {
    const sweep = await finished(SMALL);
    const file = path.join(root, 'it.parquet');
    await exportSweep(sweep, 'parquet', file);
    const own = await querySweep(sweep, 'SELECT cell, refs_gPA_nL1, missRatio_l1 FROM cells');
    const parquet = await querySweep(sweep, `SELECT cell, refs_gPA_nL1, missRatio_l1 FROM '${file}'`);
    expect(parquet).toEqual(own);
    const json = JSON.parse((await exportSweep(sweep, 'json'))!) as Record<string, unknown>[];
    expect(json.map(({ cell, refs_gPA_nL1: refs, missRatio_l1: ratio }) => [cell, refs, ratio])).toEqual(
      own.rows,
    );
  });
});

describe('the store', () => {
  const table = {
    columns: [
      { name: 'n', type: 'UBIGINT' as const, meaning: 'count' },
      { name: 'x', type: 'DOUBLE' as const, meaning: 'ratio' },
      { name: 't', type: 'VARCHAR' as const, meaning: 'text' },
    ],
    rows: [
      [2 ** 53 - 1, 1 / 3, 'a "b", c'],
      [0, null, null],
      [5, 1e-300, 'd\ne'],
    ],
  };

  it('gives back what it was given, exactly', async () => {
    expect((await queryStore(table, 'FROM cells')).rows).toEqual(table.rows);
    expect((await queryStore(table, 'SELECT name, meaning FROM columns')).rows[2]).toEqual(['t', 'text']);
  });

  it('says what is wrong with a query', async () => {
    await expect(queryStore(table, 'SELECT y FROM cells')).rejects.toMatchObject({
      code: 'store.query',
      message: expect.stringMatching(/"y" not found/),
    });
    for (const [sql, message] of [
      ['', /there is none/],
      ['-- a comment', /there is none/],
      ['SELECT 1; SELECT 2', /these are 2/],
      ["COPY cells TO 'x.csv'", /asks and changes nothing.*COPY/],
      ['DROP TABLE cells', /asks and changes nothing.*DROP/],
    ] as const)
      await expect(queryStore(table, sql), sql).rejects.toMatchObject({
        code: 'store.query',
        message: expect.stringMatching(message),
      });
    expect((await queryStore(table, 'DESCRIBE cells; -- and a comment')).rows[0][0]).toBe('n');
  });

  it('tells in words what DuckDB does not take, and what it cannot write', async () => {
    const column = { name: 'N', type: 'VARCHAR' as const, meaning: '' };
    const twice = { columns: [...table.columns, column], rows: [] };
    for (const failing of [
      () => queryStore(twice, 'FROM cells'),
      () => writeParquet(path.join(root, 'x.parquet'), twice),
    ])
      await expect(failing()).rejects.toMatchObject({
        name: 'NestwalkError',
        code: 'store.failed',
        message: expect.stringMatching(/already exists/),
      });
    await expect(writeParquet(path.join(root, 'no', 'x.parquet'), table)).rejects.toMatchObject({
      code: 'export.file',
    });
    const sweep = await finished(SMALL);
    await expect(exportSweep(sweep, 'csv', root)).rejects.toMatchObject({
      code: 'export.file',
      message: `${root} cannot be written: it is a folder`,
    });
  });

  it('writes CSV that keeps every sign', () => {
    expect(toCsv(['n', 'x', 't'], table.rows)).toBe(
      'n,x,t\n9007199254740991,0.3333333333333333,"a ""b"", c"\n0,,\n5,1e-300,"d\ne"\n',
    );
  });
});

describe('docs/sweeps.md', () => {
  const page = readFileSync(new URL('../docs/sweeps.md', import.meta.url), 'utf8');

  it('has a sweep file that is right', async () => {
    const file = /^ {4}workload: gups\n(?: {4}.*\n)+/m.exec(page)![0].replace(/^ {4}/gm, '');
    const { cells, skipped, passes } = await planText(file);
    const geometries = [];
    for (let sets = 16; sets <= 16384; sets *= 2)
      for (let ways = 1; ways <= 16; ways++) geometries.push(sets * ways);
    const kept = geometries.filter((entries) => entries <= 65536).length;
    // Three workloads on four pairs of page sizes, of which one is left out.
    expect(cells).toHaveLength(3 * 3 * kept);
    expect(skipped).toBe(3 * 4 * geometries.length - cells.length);
    expect(cells.filter(({ invalid }) => invalid !== undefined)).toEqual([]);
    expect(passes).toHaveLength(3 * 3);
  });

  it('names columns that there are', async () => {
    const sweep = await finished(`${SMALL}optional: [unique]\n`);
    const names = sweepTable(readPlan(sweep), readJournal(sweep)).columns.map(({ name }) => name);
    const dictionary = page.slice(page.indexOf('## Columns'), page.indexOf('## pandas'));
    const first = [...dictionary.matchAll(/^\| (`[^|]+`)[^|]*\|/gm)].flatMap(
      ([, cell]) => cell.match(/[A-Za-z]\w+(?![\w…])/g) ?? [],
    );
    const named = first.filter((name) => !['reuse', 'events_'].includes(name));
    expect(named.length).toBeGreaterThan(14);
    expect(named.filter((name) => !names.includes(name))).toEqual([]);
  });
});
