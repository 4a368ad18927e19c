/** Plain tables for a terminal, and the little colour they have. */
import { stripVTControlCharacters, styleText } from 'node:util';
import Table from 'cli-table3';

/** How text is marked. The plain one returns it unchanged. */
export interface Style {
  /** Headings and what matters most. */
  strong: (text: string) => string;
  /** What may be overlooked. */
  faint: (text: string) => string;
  /** Better than what it is compared with. */
  good: (text: string) => string;
  /** Worse than what it is compared with. */
  bad: (text: string) => string;
}

const same = (text: string): string => text;
/** No control characters at all: for pipes and files. */
export const PLAIN: Style = { strong: same, faint: same, good: same, bad: same };
/** Colours of a terminal. */
export const COLOURED: Style = {
  strong: (text) => styleText('bold', text, { validateStream: false }),
  faint: (text) => styleText('dim', text, { validateStream: false }),
  good: (text) => styleText('green', text, { validateStream: false }),
  bad: (text) => styleText('red', text, { validateStream: false }),
};

/** The style for a stream: colours on a terminal only, and never where `NO_COLOR` is set and not empty. */
export const styleFor = (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Style =>
  stream.isTTY && !env.NO_COLOR && env.TERM !== 'dumb' ? COLOURED : PLAIN;

/** One column: its heading, and whether its cells are numbers, which stand to the right. */
export interface Column {
  name: string;
  numeric?: boolean;
}

/** Column of numbers. */
export const numeric = (name: string): Column => ({ name, numeric: true });
/** Column of text. */
export const text = (name: string): Column => ({ name });

const RULES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  right: '',
  'right-mid': '',
  mid: '',
  'mid-mid': '',
  middle: '  ',
};

/**
 * A table without a frame: a heading, a rule, the rows; no spaces at line ends, no line end after the last row.
 * @param rows as many cells as there are columns
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
): string {
  const grid = new Table({
    chars: RULES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
    colAligns: columns.map((column) => (column.numeric ? 'right' : 'left')),
  });
  grid.push(columns.map((column) => style.strong(column.name)));
  for (const row of rows) grid.push([...row]);
  const [heading, ...body] = grid
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
  const width = Math.max(...[heading, ...body].map(visibleWidth));
  return [heading, style.faint('─'.repeat(width)), ...body].join('\n');
}

/** Characters that a line takes on the screen, without the escape sequences of its colours. */
export const visibleWidth = (line: string): number => [...stripVTControlCharacters(line)].length;

/** Two columns without heading: names and values, the values aligned. */
export function facts(pairs: readonly (readonly [string, string])[], style: Style): string {
  const width = Math.max(...pairs.map(([name]) => visibleWidth(name)));
  return pairs
    .map(([name, value]) =>
      `${style.faint(name)}${' '.repeat(width - visibleWidth(name))}  ${value}`.trimEnd(),
    )
    .join('\n');
}
