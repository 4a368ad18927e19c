/** Figures of bars made of parts. */

import {
  briefly,
  chosenRows,
  compact,
  domainOf,
  exactly,
  FIGURE_WIDTH,
  grouped,
  isDone,
  labelOf,
  longest,
  MOST_TIP_LETTERS,
  measureOf,
  shortened,
  textOf,
} from './figure.js';
import { bytes, count, decimal } from './format.js';
import { below, COLOURS, LETTER, measureLabel, namesDown, plotted, valueTicks } from './frame.js';
import { SERIES } from './palette.js';

/** @typedef {import('./figure.js').Choice} Choice */
/** @typedef {import('./frame.js').Drawing} Drawing */
/** @typedef {import('./figure.js').Figure} Figure */
/** @typedef {import('./figure.js').Point} Point */
/** @typedef {import('./figure.js').Row} Row */

/**
 * What parts come to in each bar: of cells alike, their mean; per something, all of it over all of that.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice
 * @returns {{bar: string, label: string, value: number}[]}
 */
function partsIn(figure, rows, choice) {
  const { y, parts = [], per } = figure;
  const scale = measureOf(figure, choice).format === 'percent' ? 100 : 1;
  const groups = grouped(chosenRows(figure, rows, choice).filter(isDone), (row) => textOf(y, row));
  return groups.flatMap((group) => {
    const own = grouped(group, (row) => String(row.cell ?? row.index)).map(([first]) => first);
    /** @param {string} column */
    const total = (column) => own.reduce((sum, row) => sum + Number(row[column] ?? 0), 0);
    const divisor = per ? Math.max(1, total(per)) : own.length;
    return parts
      .filter(({ column }) => own.some((row) => typeof row[column] === 'number'))
      .map(({ column, label, bar }) => ({
        bar: bar ?? textOf(y, own[0]),
        label,
        value: (scale * total(column)) / divisor,
      }));
  });
}

/**
 * As many labels as there are colours: the smallest go into one.
 * @param {readonly {bar: string, label: string, value: number}[]} parts
 */
function fewLabels(parts) {
  const labels = grouped(parts, ({ label }) => label).map((group) => ({
    label: group[0].label,
    total: group.reduce((sum, { value }) => sum + value, 0),
  }));
  const used = labels.filter(({ total }) => total > 0);
  if (used.length <= SERIES) return { names: used.map(({ label }) => label), parts };
  const order = [...used].sort((a, b) => b.total - a.total);
  const kept = new Set(order.slice(0, SERIES - 1).map(({ label }) => label));
  const other = `${count(used.length - kept.size)} others`;
  const merged = grouped(
    parts.map((part) => (kept.has(part.label) ? part : { ...part, label: other })),
    ({ bar, label }) => JSON.stringify([bar, label]),
  ).map((group) => ({ ...group[0], value: group.reduce((sum, { value }) => sum + value, 0) }));
  return {
    names: [...used.map(({ label }) => label).filter((label) => kept.has(label)), other],
    parts: merged,
  };
}

/**
 * Bars made of parts.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawStack(figure, rows, choice, drawing) {
  const { Plot, width = FIGURE_WIDTH } = drawing;
  const measure = measureOf(figure, choice);
  const { y } = figure;
  const { names, parts } = fewLabels(partsIn(figure, rows, choice));
  /** @type {Map<string, number>} */
  const totals = new Map();
  const points = parts.map(({ bar, label, value }) => {
    const from = totals.get(bar) ?? 0;
    totals.set(bar, from + value);
    const colour = COLOURS[Math.max(0, names.indexOf(label))];
    const ends = { value, low: value, high: value, from, to: from + value };
    return { x: value, y: bar, series: label, facet: '', ...ends, colour, tip: '' };
  });
  if (points.length === 0) return undefined;
  for (const point of points) {
    const total = totals.get(point.y) ?? 0;
    const share = total > 0 ? `, ${decimal((100 * point.value) / total, 1)} % of the bar` : '';
    const where = point.y === '' ? [] : [`${y?.label ?? ''}: ${shortened(point.y, MOST_TIP_LETTERS)}`];
    point.tip = [
      ...where,
      `${point.series}: ${exactly(measure, point.value)}${share}`,
      `all: ${exactly(measure, total)}`,
    ].join('\n');
  }
  const domain = y ? domainOf(y, new Set(points.map((point) => point.y))) : [...totals.keys()];
  const marginLeft = Math.max(14, longest(domain) * LETTER + 24);
  const most = Math.max(...totals.values());
  const marginRight = 70;
  const room = width - marginLeft - marginRight;
  /** @param {number} value */
  const inside = (value) => (measure.format === 'bytes' ? bytes(value) : compact(value));
  /** @param {Point} point */
  const fits = (point) => most > 0 && (point.value / most) * room > inside(point.value).length * LETTER + 8;
  const items = names.map((label, at) => ({ label, colour: COLOURS[at], symbol: 'square' }));
  const sums = [...totals].map(([bar, total]) => ({ y: bar, total }));
  const svg = plotted(drawing, items, {
    height: 62 + domain.length * 32,
    marginLeft,
    marginRight,
    marginTop: 24,
    marginBottom: 40,
    x: {
      ...below(measureLabel(measure)),
      domain: [0, most > 0 ? most : 1],
      grid: true,
      ...valueTicks(measure, most, room),
    },
    y: { type: 'band', ...namesDown(domain, y?.label ?? null), padding: 0.22 },
    marks: [
      Plot.barX(
        points.filter(({ value }) => value > 0),
        { x1: 'from', x2: 'to', y: 'y', fill: 'colour', stroke: 'var(--paper)', title: 'tip' },
      ),
      Plot.text(points.filter(fits), {
        x: (point) => (point.from + point.to) / 2,
        y: 'y',
        text: (point) => inside(point.value),
        fill: ({ colour }) => colour.replace('--s', '--on'),
        pointerEvents: 'none',
      }),
      Plot.text(sums, {
        x: 'total',
        y: 'y',
        text: ({ total }) => briefly(measure, total),
        textAnchor: 'start',
        dx: 6,
        fontWeight: 600,
        fill: 'currentColor',
      }),
      Plot.ruleX([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
    ],
  });
  const said = sums
    .slice(0, 6)
    .map(({ y: bar, total }) => `${bar === '' ? '' : `${shortened(bar)} `}${briefly(measure, total)}`);
  return { svg, points, summary: `${labelOf(measure)}, in parts (${names.join(', ')}): ${said.join(', ')}.` };
}
