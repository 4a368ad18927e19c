/** Small charts of block characters, for the ends of reports on a terminal. */
import { type Style, visibleWidth } from './table.ts';

/** Narrowest terminal that charts are drawn on, in columns. */
const NARROWEST = 60;
/** Bars get no longer than this: beyond it they are harder to compare, not easier. */
const LONGEST_BAR = 60;
/** Shortest bar that still tells anything. */
const SHORTEST_BAR = 10;

/** Eighths of a character cell, from the left. */
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/** Heights of a sparkline, lowest first. */
const HEIGHTS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** One bar. */
export interface Bar {
  /** What it is of, to its left. */
  label: string;
  /** Its length; not negative. */
  value: number;
  /** The value as people read it, to its right. */
  shown: string;
}

/** A bar of `cells` character cells, in steps of an eighth; something that is not zero is never invisible. */
function bar(cells: number): string {
  const eighths = Math.max(cells > 0 ? 1 : 0, Math.round(cells * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
}

/**
 * Horizontal bars from zero, in one scale, the longest as long as there is room.
 * @param width columns of the terminal
 */
export function barChart(bars: readonly Bar[], width: number, style: Style): string {
  const labels = Math.max(...bars.map(({ label }) => visibleWidth(label)));
  const values = Math.max(...bars.map(({ shown }) => visibleWidth(shown)));
  const room = Math.min(LONGEST_BAR, Math.max(SHORTEST_BAR, width - labels - values - 4));
  const most = Math.max(...bars.map(({ value }) => value));
  return bars
    .map(({ label, value, shown }) => {
      const cells = most > 0 ? (room * value) / most : 0;
      const drawn = bar(cells);
      const gap = ' '.repeat(labels - visibleWidth(label));
      return `${label}${gap}  ${drawn}${drawn === '' ? '' : ' '}${style.faint(shown)}`;
    })
    .join('\n');
}

/** Values as a row of blocks, from zero to the largest; one value is a full block. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values);
  return values
    .map((value) => HEIGHTS[most > 0 ? Math.min(7, Math.max(0, Math.ceil((8 * value) / most) - 1)) : 0])
    .join('');
}

/**
 * Columns that charts may take on a stream; 0 where there are to be none: pipes and files, terminals that are narrow,
 * dumb, or whose locale has no UTF-8.
 */
export function chartWidth(
  stream: { isTTY?: boolean; columns?: number },
  env: NodeJS.ProcessEnv = process.env,
): number {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  // A terminal of unknown width says 0.
  const columns = stream.columns || 80;
  const able = stream.isTTY === true && env.TERM !== 'dumb' && /utf-?8/i.test(locale);
  return able && columns >= NARROWEST ? columns : 0;
}
