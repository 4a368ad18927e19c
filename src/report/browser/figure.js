/**
 * What a figure is, before it is drawn: which cells it shows by what its reader chose, and how they are written. Nothing here
 * computes a result; a mark shows one cell, or the mean of cells that differ in their seed alone.
 */
import { bytes, count, decimal, fine } from './format.js';

/**
 * A value of a table.
 * @typedef {number | string | null} Value
 */

/**
 * A cell by column.
 * @typedef {Record<string, Value>} Row
 */

/**
 * A column as figures show it.
 * @typedef {object} Field
 * @property {string} column name in the rows
 * @property {string} label in the words of the glossary, with no unit
 * @property {string} [unit] what its values are, where that is not plain: `cycles`, `% of accesses`
 * @property {'count' | 'fine' | 'percent' | 'bytes' | 'text'} format how a value is written; `percent` values are ratios
 * @property {'log' | 'linear'} [scale] of an axis of numbers; absent where values stand side by side
 * @property {Value[]} [values] what it can be, in the order of showing
 * @property {Value} [first] the value that is shown first where nothing speaks for another; else the first text, the middle number
 */

/**
 * A part of what a figure adds up or lays out.
 * @typedef {object} Part
 * @property {string} column its column
 * @property {string} label what it is
 * @property {string} [row] row of the reference matrix
 * @property {string} [place] column of the reference matrix
 * @property {string} [bar] bar that it belongs to, in a figure whose bars are not cells
 */

/**
 * What a figure shows, decided once (`figures/choose.ts`); with a {@link Choice} and rows it can be drawn.
 * @typedef {object} Figure
 * @property {string} id name in the page and of its files
 * @property {'curve' | 'heat' | 'square' | 'matrix' | 'stack' | 'dots' | 'spread' | 'claims'} kind way of drawing
 * @property {string} title heading
 * @property {string} about what one sees, in a sentence or two
 * @property {Field[]} measures what may be shown; the first is shown first. Of a stack: what all parts together are
 * @property {Field} [x] across: numbers of a curve, columns of a map
 * @property {Field} [y] down: rows of a map, categories of dots, bars of a stack
 * @property {Field[]} [series] fields that may be told apart by colour; the first is at first, the others are slices then
 * @property {Field} [facet] panels side by side
 * @property {Field[]} slices fields of which one value is shown at a time
 * @property {Part[]} [parts] of a stack and of the matrix
 * @property {string} [per] column that parts are divided by
 * @property {{x: Value, y: Value}} [base] cell that is 100 %
 */

/**
 * What a reader chose.
 * @typedef {object} Choice
 * @property {string} measure column of the measure
 * @property {string} [series] column of the field told apart by colour
 * @property {Record<string, Value>} slice the value of each slice, by column
 */

/**
 * A mark: a cell, or several that differ in their seed alone.
 * @typedef {object} Point
 * @property {Value} x
 * @property {string} y
 * @property {string} series
 * @property {string} facet
 * @property {number} value as drawn: per cent where the field is a ratio; NaN where there is none
 * @property {number} low
 * @property {number} high
 * @property {string} tip
 * @property {string} [mark] what stands in the mark
 * @property {string} [reason] why there is no value
 */

/**
 * What a drawn figure stands on.
 * @typedef {object} Shown
 * @property {string[]} heads of the table behind it
 * @property {boolean[]} numeric which columns of the table are numbers
 * @property {string[][]} rows of the table behind it, as text
 * @property {Value[][]} values of that table, as drawn: per cent where the field is a ratio
 * @property {string} summary the figure in words
 * @property {string} caption of the table behind it
 */

/** Rows of the table behind a figure that a page shows; what is saved has all. */
export const BEHIND_ROWS = 500;
/** Width of a figure where nothing else is said, in pixels. */
export const FIGURE_WIDTH = 760;

/** Letters of a label at a tick or in a legend. */
const MOST_LETTERS = 30;

/** Letters of a label in a tip. */
export const MOST_TIP_LETTERS = 400;

/**
 * Text cut in its middle, where two of a kind differ least often. Whole characters, also those of two units.
 * @param {string} text
 * @param {number} [most]
 */
export function shortened(text, most = MOST_LETTERS) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const end = Math.floor((most - 1) / 3);
  return `${letters.slice(0, most - 1 - end).join('')}…${letters.slice(letters.length - end).join('')}`;
}

/**
 * A value as its field is written.
 * @param {Pick<Field, 'format'>} field
 * @param {Value | undefined} value
 */
export function shown({ format }, value) {
  if (value === null || value === undefined) return '–';
  if (typeof value !== 'number') return value;
  if (format === 'percent') return `${fine(100 * value)} %`;
  if (format === 'bytes') return bytes(value);
  if (format === 'count' && Number.isInteger(value)) return count(value);
  return format === 'text' ? String(value) : fine(value);
}

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'];

/**
 * A large number with a prefix: `63.2k`, `367M`.
 * @param {number} value
 * @param {number} digits that count
 */
export function prefixed(value, digits) {
  const step = Math.min(PREFIXES.length - 1, Math.floor(Math.log10(Math.abs(value)) / 3));
  const scaled = value / 1000 ** step;
  return `${scaled.toLocaleString('en-GB', { maximumSignificantDigits: digits })}${PREFIXES[step]}`;
}

/**
 * A number in few signs, for the inside of a mark.
 * @param {number} value
 */
export function compact(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e4) return prefixed(value, 3);
  if (size >= 100) return decimal(value, 0);
  if (size >= 10) return decimal(value, 1);
  if (size >= 0.1) return decimal(value, 2);
  if (size >= 0.001) return decimal(value, 3);
  return value > 0 ? '<0.001' : '>-0.001';
}

/**
 * A value as it is drawn (per cent where the field is a ratio), in full.
 * @param {Field} field
 * @param {number} value
 */
export const exactly = (field, value) =>
  field.format === 'percent' ? `${fine(value)} %` : shown(field, value);

/**
 * A value as it is drawn, in few signs.
 * @param {Field} field
 * @param {number} value
 */
export function briefly({ format }, value) {
  if (format === 'bytes') return bytes(value);
  return format === 'percent' ? `${compact(value)} %` : compact(value);
}

/**
 * A field's label with its unit: `walk cycles per access (cycles)`.
 * @param {Field} field
 */
export const labelOf = ({ label, unit }) => (unit ? `${label} (${unit})` : label);

/**
 * Whether a cell has results. What is no cell of a sweep has no status.
 * @param {Row} row
 */
export const isDone = ({ status }) => status === undefined || status === 'done';

/** @param {Field | undefined} field @param {Row} row */
export const textOf = (field, row) => (field ? shown(field, row[field.column]) : '');

/**
 * A ratio as per cent, without the last digits that the multiplication made up.
 * @param {number} value
 */
const perCentOf = (value) => Number((100 * value).toPrecision(14));

/** @param {Field} field @param {Value | undefined} value */
const drawn = (field, value) =>
  typeof value === 'number' ? (field.format === 'percent' ? perCentOf(value) : value) : Number.NaN;

/**
 * The field told apart by colour.
 * @param {Figure} figure @param {Choice} choice
 */
export const seriesOf = (figure, choice) => figure.series?.find(({ column }) => column === choice.series);

/**
 * Fields of which the reader picks one value: the slices, and what could be colour and is not.
 * @param {Figure} figure @param {Choice} choice
 */
export const slicesOf = (figure, choice) => [
  ...(figure.series ?? []).filter(({ column }) => column !== choice.series),
  ...figure.slices,
];

/**
 * The measure that is shown.
 * @param {Figure} figure @param {Choice} choice
 */
export const measureOf = (figure, choice) =>
  figure.measures.find(({ column }) => column === choice.measure) ?? figure.measures[0];

/**
 * Rows that a choice shows.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice
 */
export function chosenRows(figure, rows, choice) {
  const slices = slicesOf(figure, choice);
  return rows.filter((row) => slices.every(({ column }) => row[column] === choice.slice[column]));
}

/**
 * Rows by a key, in the order of their first.
 * @template T
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @returns {T[][]}
 */
export function grouped(items, keyOf) {
  /** @type {Map<string, T[]>} */
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return [...groups.values()];
}

/**
 * The choice to begin with: of the slices that have finished cells, those with most of them; of equals, the one that has most
 * to show, that is the most values that differ; of equals, the one nearest to what fields are to show first.
 * @param {Figure} figure @param {readonly Row[]} rows
 * @returns {Choice}
 */
export function firstChoice(figure, rows) {
  /** @type {Choice} */
  const choice = { measure: figure.measures[0].column, series: figure.series?.[0]?.column, slice: {} };
  const slices = slicesOf(figure, choice);
  /** @param {Field} field @param {Value} value */
  const distance = ({ values = [], format, first }, value) => {
    const middle = format === 'text' ? 0 : Math.floor(values.length / 2);
    return Math.abs(values.indexOf(value) - (first === undefined ? middle : values.indexOf(first)));
  };
  const done = rows.filter(isDone);
  const groups = grouped(done.length > 0 ? done : rows, (row) =>
    JSON.stringify(slices.map(({ column }) => row[column])),
  );
  /** @param {Row[]} group */
  const different = (group) => new Set(group.map((row) => Number(row[choice.measure]).toPrecision(2))).size;
  const [best] = groups
    .map((group) => ({
      group,
      different: different(group),
      far: slices.reduce((sum, field) => sum + distance(field, group[0][field.column]), 0),
    }))
    .sort((a, b) => b.group.length - a.group.length || b.different - a.different || a.far - b.far);
  for (const { column } of slices) choice.slice[column] = best?.group[0][column] ?? null;
  return choice;
}

/** @param {readonly number[]} values */
export const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Marks of a figure of which a mark is a cell. Cells with one name are one; cells alike in all that the figure shows
 * are their mean.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice
 * @returns {Point[]}
 */
export function pointsOf(figure, rows, choice) {
  const measure = measureOf(figure, choice);
  const { x, y, facet } = figure;
  const series = seriesOf(figure, choice);
  const fields = [x, y, series, facet].filter((field) => field !== undefined);
  // A cell that was not built may have no place.
  const chosen = chosenRows(figure, rows, choice).filter((row) =>
    fields.every(({ column }) => row[column] !== null && row[column] !== undefined),
  );
  const groups = grouped(chosen, (row) => JSON.stringify(fields.map(({ column }) => row[column])));
  return groups.map((group) => {
    const own = grouped(group, (row) => String(row.cell ?? row.index)).map(([first]) => first);
    const values = own
      .map((row) => drawn(measure, row[measure.column]))
      .filter((value) => !Number.isNaN(value));
    const [row] = own;
    const place = fields.map((field) => `${field.label}: ${shortened(textOf(field, row), MOST_TIP_LETTERS)}`);
    const value = values.length === 0 ? Number.NaN : meanOf(values);
    const reason =
      values.length > 0 ? undefined : `${row.status ?? 'none'}${row.reason ? `: ${row.reason}` : ''}`;
    const text = reason ?? exactly(measure, value);
    const range =
      values.length > 1
        ? [
            `mean of ${values.length} cells, ${exactly(measure, Math.min(...values))} to ${exactly(measure, Math.max(...values))}`,
          ]
        : [];
    const cells = own.length === 1 && row.index !== undefined ? [`cell ${row.index}`] : [];
    return {
      x: x ? row[x.column] : null,
      y: textOf(y, row),
      series: textOf(series, row),
      facet: textOf(facet, row),
      value,
      low: Math.min(...values, value),
      high: Math.max(...values, value),
      reason,
      tip: [...place, `${measure.label}: ${text}`, ...range, ...cells].join('\n'),
    };
  });
}

/**
 * Points that have a value.
 * @template {{value: number}} P
 * @param {readonly P[]} points
 * @returns {P[]}
 */
export const finite = (points) => points.filter(({ value }) => Number.isFinite(value));

/**
 * Values of a field in its order, as they are written; only those that occur.
 * @param {Field} field @param {ReadonlySet<string>} present
 */
export const domainOf = (field, present) => {
  const texts = (field.values ?? []).map((value) => shown(field, value));
  return [...new Set([...texts, ...present])].filter((text) => present.has(text));
};

/** @param {Iterable<string>} texts */
export const longest = (texts) => Math.max(0, ...[...texts].map((text) => [...shortened(text)].length));

/** @param {Field} measure @param {readonly Point[]} points */
export function extremes(measure, points) {
  const order = [...finite(points)].sort((a, b) => a.value - b.value);
  if (order.length === 0) return '';
  /** @param {Point} point */
  const say = ({ tip, value }) =>
    `${compact(value)} (${tip
      .split('\n')
      .filter((line) => !/^(cell |mean of )/.test(line) && !line.startsWith(`${measure.label}:`))
      .join(', ')})`;
  if (order.length === 1) return `${labelOf(measure)}: ${say(order[0])}.`;
  return `${labelOf(measure)}: least ${say(order[0])}, most ${say(order[order.length - 1])}.`;
}
