/** Figures of shaded cells in rows and columns. */

import {
  chosenRows,
  compact,
  domainOf,
  extremes,
  FIGURE_WIDTH,
  finite,
  grouped,
  isDone,
  labelOf,
  longest,
  measureOf,
  pointsOf,
  shortened,
  shown,
} from './figure.js';
import { decimal, fine } from './format.js';
import { below, LETTER, measureLabel, namesDown, plotted } from './frame.js';
import { inkOn } from './palette.js';

/** @typedef {import('./figure.js').Choice} Choice */
/** @typedef {import('./frame.js').Drawing} Drawing */
/** @typedef {import('./figure.js').Field} Field */
/** @typedef {import('./figure.js').Figure} Figure */
/** @typedef {import('./figure.js').Part} Part */
/** @typedef {import('./figure.js').Point} Point */
/** @typedef {import('./figure.js').Row} Row */

/** A map's colours from nothing to the most, red, green, blue. Their lightness only falls, so that a print without colours is in order too. */
const SHADES = [
  [236, 243, 253],
  [126, 174, 233],
  [38, 99, 190],
  [10, 40, 92],
];

/** @param {number} part from 0 to 1 */
function shade(part) {
  const at = Math.min(SHADES.length - 2, Math.floor(part * (SHADES.length - 1)));
  const within = part * (SHADES.length - 1) - at;
  return SHADES[at].map((from, colour) => Math.round(from + within * (SHADES[at + 1][colour] - from)));
}

/** @param {readonly number[]} colour */
const css = (colour) => `rgb(${colour.join(', ')})`;

/**
 * Cells in rows and columns, shaded by their value, which stands in them.
 * @param {Drawing} drawing
 * @param {object} map
 * @param {readonly (Point & {across: string})[]} map.points
 * @param {readonly string[]} map.across
 * @param {readonly string[]} map.down
 * @param {string} map.acrossLabel
 * @param {string} map.downLabel
 * @param {number} map.cellHeight
 * @param {Field} map.measure
 * @param {string} [map.title] what the numbers are, where it is not the measure alone
 * @param {readonly string[]} [map.plain] names of sums: no shade
 */
function drawMap(drawing, map) {
  const { Plot, width = FIGURE_WIDTH } = drawing;
  const { points, across, down, measure, cellHeight, plain = [] } = map;
  const there = finite(points);
  const shaded = there.filter((point) => !plain.includes(point.across) && !plain.includes(point.y));
  const top = Math.max(0, ...shaded.map(({ value }) => value));
  const marginLeft = Math.max(40, longest(down) * LETTER + 16);
  const cellWidth = Math.min(120, (width - marginLeft - 20) / across.length);
  const marks = there.map(({ mark, value }) => mark ?? compact(value));
  const isReadable = Math.max(...marks.map((text) => longest(text.split('\n')))) * LETTER + 4 <= cellWidth;
  /** @param {{value: number}} point */
  const part = ({ value }) => (top > 0 ? Math.max(0, Math.min(1, value / top)) : 0);
  const title = { label: map.title ?? measureLabel(measure), colour: 'none', symbol: 'square' };
  const items = isReadable
    ? [title]
    : [
        title,
        ...[0, 0.25, 0.5, 0.75, 1].map((step) => ({
          label: `${compact(step * top)}${measure.format === 'percent' ? ' %' : ''}`,
          colour: css(shade(step)),
          symbol: 'square',
        })),
      ];
  const tickLetters = longest(across);
  const isTurned = tickLetters * LETTER > cellWidth + 4;
  const foot = 44 + (isTurned ? tickLetters * 4.6 : 0);
  return plotted(drawing, items, {
    width: Math.max(
      Math.min(width, title.label.length * LETTER + 8),
      marginLeft + 20 + cellWidth * across.length,
    ),
    height: 24 + down.length * cellHeight + foot,
    marginLeft,
    marginRight: 20,
    marginTop: 24,
    marginBottom: foot,
    x: {
      type: 'band',
      domain: [...across],
      ...below(map.acrossLabel, foot - 8),
      tickSize: 0,
      tickRotate: isTurned ? -40 : 0,
      tickFormat: (name) => shortened(name),
      padding: 0.04,
    },
    y: { type: 'band', ...namesDown(down, map.downLabel), padding: 0.04 },
    marks: [
      Plot.cell(shaded, {
        x: 'across',
        y: 'y',
        fill: (point) => css(shade(part(point))),
        stroke: 'var(--line)',
        title: 'tip',
      }),
      ...(isReadable
        ? [
            Plot.text(shaded, {
              x: 'across',
              y: 'y',
              text: (point) => point.mark ?? compact(point.value),
              fill: (point) => inkOn(shade(part(point))),
              pointerEvents: 'none',
            }),
            Plot.text(
              there.filter((point) => !shaded.includes(point)),
              {
                x: 'across',
                y: 'y',
                text: (point) => point.mark ?? compact(point.value),
                fill: 'currentColor',
                title: 'tip',
              },
            ),
          ]
        : []),
      Plot.cell(
        points.filter(({ reason }) => reason !== undefined),
        {
          x: 'across',
          y: 'y',
          fill: 'none',
          stroke: 'var(--bad)',
          strokeDasharray: '3 3',
          title: 'tip',
          pointerEvents: 'all',
        },
      ),
      Plot.text(
        points.filter(({ reason }) => reason !== undefined),
        { x: 'across', y: 'y', text: () => '×', fill: 'var(--bad)', pointerEvents: 'none' },
      ),
    ],
  });
}

/**
 * Two fields across and down.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawHeat(figure, rows, choice, drawing) {
  const x = /** @type {Field} */ (figure.x);
  const y = /** @type {Field} */ (figure.y);
  const measure = measureOf(figure, choice);
  const isSquare = figure.kind === 'square';
  const points = pointsOf(figure, rows, choice).map((point) => ({ ...point, across: shown(x, point.x) }));
  const its = figure.base;
  const hundred =
    its &&
    points.find((point) => point.x === its.x && point.y === shown(y, its.y) && Number.isFinite(point.value));
  if (isSquare && hundred && hundred.value > 0)
    for (const point of finite(points)) {
      const share = `${decimal((100 * point.value) / hundred.value, 1)} %`;
      point.mark = `${compact(point.value)}${measure.format === 'percent' ? ' %' : ''}\n${share}`;
      point.tip += `\n${share} of ${hundred.across} on ${hundred.y}`;
    }
  const svg = drawMap(drawing, {
    points,
    across: domainOf(x, new Set(points.map(({ across }) => across))),
    down: domainOf(y, new Set(points.map((point) => point.y))),
    acrossLabel: labelOf(x),
    downLabel: labelOf(y),
    cellHeight: isSquare ? 62 : 30,
    measure,
    title: hundred ? `${measureLabel(measure)}, % of ${hundred.across} on ${hundred.y}` : undefined,
  });
  return { svg, points, summary: extremes(measure, points) };
}

/**
 * The reference matrix of a cell, with the sums of its rows and columns.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawMatrix(figure, rows, choice, drawing) {
  const measure = measureOf(figure, choice);
  const chosen = chosenRows(figure, rows, choice).filter(isDone);
  const own = grouped(chosen, (row) => String(row.cell ?? row.index)).map(([first]) => first);
  /** @param {string | undefined} column */
  const total = (column) => own.reduce((sum, row) => sum + Number(row[column ?? ''] ?? 0), 0);
  const divisor = figure.per ? Math.max(1, total(figure.per)) : own.length;
  const parts = (figure.parts ?? []).filter(({ column }) =>
    own.some((row) => typeof row[column] === 'number'),
  );
  /** @param {Iterable<string>} names @param {(part: Part) => string | undefined} of */
  const occurring = (names, of) =>
    [...new Set(names)].filter((name) => parts.some((part) => of(part) === name && total(part.column) > 0));
  const down = occurring(
    parts.map((part) => part.row ?? ''),
    (part) => part.row,
  );
  const across = occurring(
    parts.map((part) => part.place ?? ''),
    (part) => part.place,
  );
  /** @param {readonly Part[]} which */
  const share = (which) => which.reduce((sum, { column }) => sum + total(column), 0) / divisor;
  /** @param {string} y @param {string} place @param {number} value @param {string} what */
  const point = (y, place, value, what) => ({
    x: place,
    across: place,
    y,
    series: '',
    facet: '',
    value,
    low: value,
    high: value,
    tip: `${what}\n${measure.label}: ${fine(value)}`,
  });
  const laid = parts.filter((part) => down.includes(part.row ?? '') && across.includes(part.place ?? ''));
  const points = laid.map((part) => point(part.row ?? '', part.place ?? '', share([part]), part.label));
  const all = [
    ...points,
    ...(across.length > 1
      ? down.map((name) =>
          point(name, 'sum', share(laid.filter((part) => part.row === name)), `row ${name}, all columns`),
        )
      : []),
    ...(down.length > 1
      ? across.map((name) =>
          point('sum', name, share(laid.filter((part) => part.place === name)), `column ${name}, all rows`),
        )
      : []),
    ...(across.length > 1 && down.length > 1 ? [point('sum', 'sum', share(laid), 'all places')] : []),
  ];
  if (points.length === 0) return undefined;
  const svg = drawMap(drawing, {
    points: all,
    across: [...across, ...(across.length > 1 ? ['sum'] : [])],
    down: [...down, ...(down.length > 1 ? ['sum'] : [])],
    acrossLabel: figure.x?.label ?? '',
    downLabel: figure.y?.label ?? '',
    cellHeight: 36,
    measure,
    plain: ['sum'],
  });
  return {
    svg,
    points: all,
    summary: `${labelOf(measure)}: ${fine(share(laid))} in all. ${extremes(measure, points)}`,
  };
}
