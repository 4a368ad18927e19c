import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderComparison } from '../src/report/comparison.ts';
import { bytes, decimal, duration, fine, mean, perCent, rate, ratio } from '../src/report/format.ts';
import { COLOURED, numeric, PLAIN, styleFor, table, text, visibleWidth } from '../src/report/table.ts';
import { renderRun } from '../src/report/terminal.ts';
import { renderWalk } from '../src/report/walk.ts';
import type { WalkSteps } from '../src/results/types.ts';
import type { Comparison } from '../src/run/compare.ts';
import { COLUMNS, COUNTER, COUNTER_SLOTS, columnOfLevel, rowOfGuestLevel } from '../src/schema.ts';
import { config, resultOf } from './support/result.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f]/;

/** Lines of the table whose heading starts so, up to the next empty line. */
function tableAt(report: string, heading: string): string[] {
  const lines = report.split('\n');
  const from = lines.findIndex((line) => line.startsWith(heading));
  const to = lines.indexOf('', from);
  return lines.slice(from, to < 0 ? undefined : to);
}

describe('quantities', () => {
  it('read as people write them', () => {
    expect(bytes(4096)).toBe('4 KiB');
    expect(bytes(1.5 * 2 ** 30)).toBe('1.5 GiB');
    expect(bytes(0)).toBe('0 B');
    expect(rate(12_340_000)).toBe('12.3 M/s');
    expect(rate(999)).toBe('999 /s');
    expect(duration(0.344)).toBe('0.34 s');
    expect(duration(59.6)).toBe('1 min 0 s');
    expect(duration(7500)).toBe('2 h 5 min');
    expect(decimal(1234.5, 2)).toBe('1,234.50');
    expect(perCent(null)).toBe('–');
    expect([0, 12.345, 0.1, 0.0123, 0.000114].map(fine)).toEqual([
      '0.00',
      '12.35',
      '0.10',
      '0.012',
      '0.00011',
    ]);
    expect(ratio(0.1234)).toBe('12.34 %');
    expect(ratio(1e-6)).toBe('0.00010 %');
    expect([0.0001, 1].map(mean)).toEqual(['<0.001', '1.000']);
  });
});

describe('a table', () => {
  const columns = [text('name'), numeric('count')];
  const rows = [
    ['a', '1,000'],
    ['longer', '5'],
  ];

  it('has text to the left and numbers to the right, and a rule as wide as it is', () => {
    expect(table(columns, rows, PLAIN).split('\n')).toEqual([
      'name    count',
      '─────────────',
      'a       1,000',
      'longer      5',
    ]);
  });

  it('takes the same places in colour', () => {
    const coloured = table(columns, rows, COLOURED);
    expect(coloured).not.toBe(table(columns, rows, PLAIN));
    expect(stripVTControlCharacters(coloured)).toBe(table(columns, rows, PLAIN));
    expect(visibleWidth(coloured.split('\n')[0])).toBe(13);
  });
});

describe('style', () => {
  it('is coloured on a terminal only, and not with NO_COLOR', () => {
    expect(styleFor({ isTTY: true }, {})).toBe(COLOURED);
    expect(styleFor({ isTTY: false }, {})).toBe(PLAIN);
    expect(styleFor({}, { FORCE_COLOR: '1' })).toBe(PLAIN);
    expect(styleFor({ isTTY: true }, { NO_COLOR: '1' })).toBe(PLAIN);
    expect(styleFor({ isTTY: true }, { NO_COLOR: '' })).toBe(COLOURED);
    expect(styleFor({ isTTY: true }, { TERM: 'dumb' })).toBe(PLAIN);
  });
});

describe('a run', () => {
  const block = new Float64Array(COUNTER_SLOTS);
  block[COUNTER.accesses] = 1e12;
  block[COUNTER.l1Misses] = 1e12;
  block[COUNTER.stlbMisses] = 1e12;
  block[COUNTER.walks] = 1e12;
  for (let level = 1; level <= 4; level++)
    block[COUNTER.refs + rowOfGuestLevel(2) * COLUMNS.length + columnOfLevel(level)] = 5e11;
  const report = renderRun(resultOf(config(), block), PLAIN);

  it('has no control characters and fits 100 columns even with a million million accesses', () => {
    expect(report).not.toMatch(CONTROL);
    expect(Math.max(...report.split('\n').map(visibleWidth))).toBeLessThanOrEqual(100);
    expect(report.split('\n').filter((line) => line !== line.trimEnd())).toEqual([]);
  });

  it('shows the matrix of the tables that there are, per walk', () => {
    expect(tableAt(report, 'guest \\ nested')).toEqual([
      'guest \\ nested    nL4    nL3    nL2    nL1  g    sum',
      '────────────────────────────────────────────────────',
      'gL4                 ·      ·      ·      ·  ·      ·',
      'gL3                 ·      ·      ·      ·  ·      ·',
      'gL2             0.500  0.500  0.500  0.500  ·  2.000',
      'gL1                 ·      ·      ·      ·  ·      ·',
      'gPA                 ·      ·      ·      ·         ·',
      'sum             0.500  0.500  0.500  0.500  ·  2.000',
    ]);
  });

  it('shows one row for a native run, and no nested structure', () => {
    const native = renderRun(resultOf(config({ mode: 'native' })), PLAIN);
    expect(native).toMatch(/^ +L4 +L3 +L2 +L1 +sum$/m);
    expect(native).not.toMatch(/nested/);
  });

  it('names what was chosen', () => {
    expect(report).toContain('uniform over 1 GiB, 1,000 accesses, seed 1');
    expect(report).toContain('nested: 4KiB guest pages on 2MiB nested pages, 4 × 4 levels');
    expect(report).toContain('TypeScript engine');
  });

  it('shows reach for the smaller page of both dimensions', () => {
    expect(tableAt(report, 'TLB')[0]).toMatch(/reach \(4KiB\)$/);
    expect(tableAt(report, 'TLB')[2]).toMatch(/256 KiB$/);
    expect(tableAt(report, 'TLB')[3]).toMatch(/6 MiB$/);
  });
});

describe('a comparison', () => {
  it('lists every cell and draws the square in per cent', () => {
    const cell = (
      guestPage: '4KiB' | '2MiB',
      nestedPage: '4KiB' | '2MiB' | undefined,
      value: number | null,
    ) => ({
      mode: nestedPage ? ('nested' as const) : ('native' as const),
      guestPage,
      nestedPage,
      perCent: { misses: value, refsPerWalk: value, walkCyclesPerAccess: value },
      result: resultOf(config({ guestPage, nestedPage })),
    });
    const comparison: Comparison = {
      guestPages: ['4KiB', '2MiB'],
      nestedPages: ['4KiB', '2MiB'],
      baseline: { guestPage: '4KiB', nestedPage: '4KiB' },
      cells: [
        cell('4KiB', undefined, 30),
        cell('2MiB', undefined, null),
        cell('4KiB', '4KiB', 100),
        cell('2MiB', '4KiB', 90.04),
        cell('4KiB', '2MiB', 80),
        cell('2MiB', '2MiB', 25),
      ],
    };
    const report = renderComparison(comparison, PLAIN);
    expect(tableAt(report, 'nested \\ guest')).toEqual([
      'nested \\ guest     4KiB    2MiB',
      '───────────────────────────────',
      'native           30.0 %       –',
      '4KiB            100.0 %  90.0 %',
      '2MiB             80.0 %  25.0 %',
    ]);
    expect(tableAt(report, 'guest ')).toHaveLength(2 + 6);
    expect(Math.max(...report.split('\n').map(visibleWidth))).toBeLessThanOrEqual(100);
  });
});

describe('a walk', () => {
  const small = config({ guestPage: '4KiB', nestedPage: '4KiB' });
  // The first nested step, the nested TLB for the rest of the row, and the guest's entry; then the walk faults.
  const step = {
    row: 'gL4',
    level: 4,
    leaf: false,
    note: 'table at frame 0x40001',
  } as const;
  const walk: WalkSteps = {
    address: '0x5123',
    kind: 'read',
    steps: [
      {
        ...step,
        step: 1,
        col: 'nL4',
        dimension: 'nested',
        index: 0,
        entryHpa: '0x40000000',
        gpa: '0x1000',
        value: '0x40001027',
        servedBy: 'memory',
        target: '0x40001000',
        cycles: 200,
      },
      {
        ...step,
        step: 2,
        col: 'g',
        dimension: 'guest',
        index: 0,
        entryHpa: '0x1000',
        entryGpa: '0x1000',
        value: '0x2027',
        servedBy: 'L2',
        target: '0x2000',
        cycles: 215,
      },
    ],
    skipped: [
      {
        beforeStep: 2,
        structure: 'ntlb',
        row: 'gL4',
        gpa: '0x1000',
        size: '4KiB',
        message: 'hit',
        cycles: 201,
      },
    ],
    references: 2,
    cycles: 215,
    gpa: '0x123',
    hpa: '0x7123',
    size: '4KiB',
  };

  it('numbers the references in order, with what answered and what was spared between them', () => {
    const report = renderWalk(walk, small, PLAIN);
    expect(report.split('\n')[0]).toBe(
      '0x5123 → GPA 0x123 → HPA 0x7123, 4KiB page, 2 references, 215 cycles',
    );
    const lines = tableAt(report, '#').slice(2);
    expect(lines[0]).toBe('    gL4: the guest’s level-4 table, GPA 0x1000');
    expect(lines[1]).toMatch(/^1 {2}gL4 nL4 +0x40000000 +0x40001027 +memory +200 {2}table → 0x40001000$/);
    expect(lines[2]).toBe('    nested TLB: hit, 3 spared');
    expect(lines[3]).toMatch(/^2 {2}gL4 g +0x1000 +0x1000 +0x2027 +L2 +215 {2}table → 0x2000$/);
    expect(report.split('\n').slice(-2)).toEqual(['served 2: memory 1, L2 1', 'spared 3: nested TLB 3']);
  });

  it('puts their numbers into the matrix, and who spared the others', () => {
    const lines = tableAt(renderWalk(walk, small, PLAIN), 'guest \\ nested');
    expect(lines[2]).toMatch(/^gL4 +1 +nTLB +nTLB +nTLB +2$/);
    expect(lines[3]).toMatch(/^gL3( +·){5}$/);
  });

  it('leaves places empty that no walk of these page sizes has', () => {
    const large = config({ guestPage: '2MiB', nestedPage: '4KiB' });
    expect(tableAt(renderWalk(walk, large, PLAIN), 'guest \\ nested')[5]).toBe('gL1');
  });

  it('tells the same in colour, and has no control characters without', () => {
    const coloured = renderWalk(walk, small, COLOURED);
    expect(coloured).toContain(COLOURED.bad('memory'));
    expect(coloured).toContain(COLOURED.good('nested TLB'));
    expect(stripVTControlCharacters(coloured)).toBe(renderWalk(walk, small, PLAIN));
  });

  it('says why there is no translation', () => {
    const fault = { cause: 'guestFault' as const, message: 'guest page fault: gL4 is not present' };
    const report = renderWalk({ ...walk, hpa: undefined, fault }, small, PLAIN);
    expect(report.split('\n')[0]).toBe('guest page fault: gL4 is not present');
  });
});
