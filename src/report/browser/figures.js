/**
 * The figures of a report, drawn by Observable Plot: by Node for the static page and for files, and by the page again when its
 * reader chooses something else.
 */

import { BEHIND_ROWS, chosenRows, exactly, isDone, labelOf, measureOf, seriesOf, shown } from './figure.js';
import { count } from './format.js';
import { measureLabel } from './frame.js';
import { drawClaims, drawCurve, drawDots, drawSpread } from './lines.js';
import { drawHeat, drawMatrix } from './maps.js';
import { drawStack } from './stack.js';

/** @typedef {import('./figure.js').Choice} Choice */
/** @typedef {import('./frame.js').Drawing} Drawing */
/** @typedef {import('./figure.js').Figure} Figure */
/** @typedef {import('./figure.js').Point} Point */
/** @typedef {import('./figure.js').Row} Row */
/** @typedef {import('./figure.js').Shown} Shown */
/** @typedef {import('./figure.js').Value} Value */

const DRAW = {
  curve: drawCurve,
  heat: drawHeat,
  square: drawHeat,
  matrix: drawMatrix,
  stack: drawStack,
  dots: drawDots,
  spread: drawSpread,
  claims: drawClaims,
};

/**
 * The table behind a figure: a row a mark, as text and as values.
 * @param {Figure} figure @param {Choice} choice @param {readonly Point[]} points
 * @returns {Pick<Shown, 'heads' | 'numeric' | 'rows' | 'values'>}
 */
function tableOf(figure, choice, points) {
  const { kind, x, y, facet } = figure;
  const measure = measureOf(figure, choice);
  const isParts = kind === 'stack' || kind === 'matrix';
  const series = isParts ? undefined : seriesOf(figure, choice);
  const hasX =
    x !== undefined && (kind === 'curve' || kind === 'heat' || kind === 'square' || kind === 'matrix');
  /** @type {{head: string, numeric: boolean, value: (point: Point) => Value, text?: (point: Point) => string}[]} */
  const columns = [];
  if (facet) columns.push({ head: facet.label, numeric: false, value: (point) => point.facet });
  if (series) columns.push({ head: series.label, numeric: false, value: (point) => point.series });
  if (y) columns.push({ head: y.label, numeric: false, value: (point) => point.y });
  if (hasX)
    columns.push({
      head: labelOf(x),
      numeric: x.format !== 'text',
      value: (point) => point.x,
      text: (point) => shown(x, point.x),
    });
  if (kind === 'stack') columns.push({ head: 'part', numeric: false, value: (point) => point.series });
  if (columns.length === 0)
    columns.push({ head: 'cell', numeric: false, value: ({ tip }) => /cell (\d+)/.exec(tip)?.[1] ?? '' });
  columns.push({
    head: measureLabel(measure),
    numeric: true,
    value: ({ value, reason }) => reason ?? value,
    text: ({ value, reason }) => reason ?? exactly(measure, value),
  });
  return {
    heads: columns.map(({ head }) => head),
    numeric: columns.map(({ numeric }) => numeric),
    rows: points.map((point) => columns.map(({ value, text }) => text?.(point) ?? String(value(point)))),
    values: points.map((point) => columns.map(({ value }) => value(point))),
  };
}

/**
 * Draws a figure.
 * @param {Figure} figure
 * @param {readonly Row[]} rows of the whole sweep
 * @param {Choice} choice
 * @param {Drawing} drawing
 * @returns {{svg: SVGElement, shown: Shown} | {why: string}} the drawing and what it stands on; or why there is nothing to draw
 */
export function drawFigure(figure, rows, choice, drawing) {
  const chosen = chosenRows(figure, rows, choice);
  if (!chosen.some(isDone)) {
    const reason = chosen.find((row) => row.reason)?.reason;
    const what =
      chosen.length === 0
        ? 'no cell of the grid is like this'
        : `none of these ${count(chosen.length)} cells is done`;
    return { why: reason ? `${what}: ${reason}` : what };
  }
  const measure = measureOf(figure, choice);
  const hasValue =
    figure.parts !== undefined || chosen.some((row) => typeof row[measure.column] === 'number');
  const made = hasValue ? DRAW[figure.kind](figure, rows, choice, drawing) : undefined;
  if (!made) return { why: `${measure.label} is not known for this` };
  const { svg, points, summary } = made;
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${figure.title}. ${summary}`);
  const table = tableOf(figure, choice, points);
  const isCut = table.rows.length > BEHIND_ROWS;
  const note = isCut
    ? ` The first ${count(BEHIND_ROWS)} of ${count(table.rows.length)} rows; the CSV has all.`
    : '';
  return { svg, shown: { ...table, summary, caption: `${summary}${note}` } };
}
