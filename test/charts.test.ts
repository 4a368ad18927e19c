import { describe, expect, it } from 'vitest';
import { barChart, chartWidth, sparkline } from '../src/report/charts.ts';
import { COLOURED, PLAIN, visibleWidth } from '../src/report/table.ts';
import { renderRun } from '../src/report/terminal.ts';
import { COUNTER, COUNTER_SLOTS } from '../src/schema.ts';
import { config, resultOf } from './support/result.ts';

describe('a bar chart', () => {
  const bars = [
    { label: 'a', value: 4, shown: '4' },
    { label: 'long', value: 2, shown: '2' },
    { label: 'b', value: 0, shown: '0' },
  ];

  it('draws lengths in proportion, from zero', () => {
    const [whole, half, none] = barChart(bars, 80, PLAIN).split('\n');
    const blocks = (line: string): number => [...line].filter((character) => character === '█').length;
    expect(blocks(whole)).toBe(60);
    expect(blocks(half)).toBe(30);
    expect(blocks(none)).toBe(0);
    expect(none).toBe('b     0');
  });

  it('aligns what it draws and fits the terminal', () => {
    const lines = barChart(bars, 40, COLOURED).split('\n');
    expect(lines.map((line) => line.indexOf('█')).slice(0, 2)).toEqual([6, 6]);
    expect(Math.max(...lines.map(visibleWidth))).toBeLessThanOrEqual(40);
  });

  it('never makes something disappear that is there', () => {
    const [, tiny] = barChart(
      [
        { label: 'a', value: 1e9, shown: '' },
        { label: 'b', value: 1, shown: '' },
      ],
      80,
      PLAIN,
    ).split('\n');
    expect(tiny).toContain('▏');
  });

  it('draws nothing where all is zero', () => {
    expect(barChart([{ label: 'a', value: 0, shown: '0' }], 80, PLAIN)).toBe('a  0');
  });
});

describe('a sparkline', () => {
  it('goes from the lowest block to the highest', () => {
    expect(sparkline([0, 1, 2, 4, 8])).toBe('▁▁▂▄█');
    expect(sparkline([5, 5])).toBe('██');
    expect(sparkline([0, 0])).toBe('▁▁');
  });
});

describe('charts', () => {
  const utf8 = { LANG: 'en_GB.UTF-8' };

  it('are for terminals that can show them', () => {
    expect(chartWidth({ isTTY: true, columns: 100 }, utf8)).toBe(100);
    expect(chartWidth({ isTTY: true, columns: 0 }, utf8)).toBe(80);
    expect(chartWidth({ isTTY: true, columns: 100 }, { ...utf8, NO_COLOR: '1' })).toBe(100);
    for (const [stream, env] of [
      [{ columns: 100 }, utf8],
      [{ isTTY: true, columns: 40 }, utf8],
      [{ isTTY: true, columns: 100 }, { LANG: 'C' }],
      [
        { isTTY: true, columns: 100 },
        { ...utf8, LC_ALL: 'C' },
      ],
      [
        { isTTY: true, columns: 100 },
        { ...utf8, TERM: 'dumb' },
      ],
    ] as const)
      expect(chartWidth(stream, env)).toBe(0);
  });

  it('end a report only where there is room for them', () => {
    const block = new Float64Array(COUNTER_SLOTS);
    block[COUNTER.accesses] = 8;
    block[COUNTER.l1Misses] = 4;
    block[COUNTER.walks] = 2;
    block[COUNTER.stlbMisses] = 2;
    block[COUNTER.stlbHits] = 2;
    const result = resultOf(config({}), block);
    expect(renderRun(result, PLAIN)).not.toContain('█');
    const lines = renderRun(result, PLAIN, 100).split('\n');
    const lengths = ['L1  ', 'STLB  ', 'walk  '].map((label) => {
      const line = lines
        .slice(lines.indexOf('Accesses, by what translated them'))
        .find((it) => it.startsWith(label))!;
      return [...line].filter((character) => character === '█').length;
    });
    expect(lengths).toEqual([60, 30, 30]);
  });
});
