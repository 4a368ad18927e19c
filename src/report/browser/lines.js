/** Figures of dots and lines. */

import {
  compact,
  domainOf,
  exactly,
  extremes,
  FIGURE_WIDTH,
  finite,
  grouped,
  labelOf,
  longest,
  meanOf,
  measureOf,
  pointsOf,
  seriesOf,
  shortened,
  shown,
} from './figure.js';
import { count, fine } from './format.js';
import {
  below,
  COLOURS,
  LETTER,
  measureLabel,
  namesDown,
  plotted,
  SYMBOLS,
  seriesItems,
  tick,
  ticksAt,
} from './frame.js';

/** @typedef {import('./figure.js').Choice} Choice */
/** @typedef {import('./frame.js').Drawing} Drawing */
/** @typedef {import('./figure.js').Field} Field */
/** @typedef {import('./figure.js').Figure} Figure */
/** @typedef {import('./figure.js').Point} Point */
/** @typedef {import('./figure.js').Row} Row */

/** Pixels that a panel needs beside others. */
const LEAST_PANEL = 180;
/** Categories that dots can show in rows; of more, the best and the worst. */
const MOST_CATEGORIES = 60;

/**
 * Lines over an axis of numbers.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawCurve(figure, rows, choice, drawing) {
  const { Plot, width = FIGURE_WIDTH } = drawing;
  const x = /** @type {Field} */ (figure.x);
  const measure = measureOf(figure, choice);
  const points = pointsOf(figure, rows, choice)
    .filter((point) => typeof point.x === 'number')
    .sort((a, b) => Number(a.x) - Number(b.x));
  const there = finite(points);
  const series = seriesOf(figure, choice);
  const names = series ? domainOf(series, new Set(there.map((point) => point.series))) : [''];
  const panels = figure.facet ? domainOf(figure.facet, new Set(points.map(({ facet }) => facet))) : [];
  const values = [...new Set(points.map((point) => Number(point.x)))];
  const isLog = x.scale === 'log';
  const top = Math.max(...there.map(({ high }) => high));
  /** @param {number} value */
  const format = (value) => shown(x, value);
  // Panels stand side by side where they have room, else one below the other.
  const isBeside = panels.length > 0 && width / panels.length >= LEAST_PANEL;
  const isBelow = panels.length > 0 && !isBeside;
  const right = isBelow ? longest(panels) * LETTER + 26 : 26;
  const room = (width - 64 - right) / (isBeside ? panels.length : 1) - (isBeside ? 24 : 16);
  const facet = isBeside ? { fx: 'facet' } : isBelow ? { fy: 'facet' } : {};
  const panelAxis = {
    domain: panels,
    label: isBelow ? null : (figure.facet?.label ?? null),
    labelArrow: /** @type {const} */ ('none'),
    tickFormat: (/** @type {string} */ name) => shortened(name),
    padding: 0.12,
  };
  const marks = [
    Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
    Plot.ruleX(
      there.filter(({ low, high }) => high > low),
      { x: 'x', y1: 'low', y2: 'high', stroke: 'series', strokeOpacity: 0.6, ...facet },
    ),
    Plot.line(points, { x: 'x', y: 'value', z: 'series', stroke: 'series', strokeWidth: 1.8, ...facet }),
    Plot.dot(there, { x: 'x', y: 'value', fill: 'series', symbol: 'series', r: 3.6, title: 'tip', ...facet }),
    Plot.text(
      points.filter(({ reason }) => reason !== undefined),
      { x: 'x', y: 0, text: () => '×', fill: 'var(--bad)', dy: -6, title: 'tip', ...facet },
    ),
  ];
  const svg = plotted(drawing, seriesItems(series, names), {
    height: isBelow ? 80 + 170 * panels.length : 320,
    marginLeft: 56,
    marginRight: right,
    marginBottom: 44,
    marginTop: isBeside ? 52 : 30,
    x: {
      type: isLog ? 'log' : 'linear',
      ...(isLog ? { base: 2 } : {}),
      ...below(labelOf(x)),
      ticks: ticksAt(values, isLog, room, format),
      tickFormat: format,
      inset: 8,
    },
    y: {
      label: measureLabel(measure),
      labelArrow: 'none',
      domain: [0, top > 0 ? top : 1],
      nice: true,
      grid: true,
      ticks: 6,
      tickFormat: tick,
    },
    ...(isBeside ? { fx: panelAxis } : isBelow ? { fy: panelAxis } : {}),
    color: { domain: names, range: COLOURS.slice(0, names.length) },
    symbol: { domain: names, range: SYMBOLS.slice(0, names.length) },
    marks,
  });
  const ends = names.slice(0, 4).map((name) => {
    const own = there.filter((point) => point.series === name);
    const [first, last] = [own[0], own[own.length - 1]];
    if (!first) return '';
    const who = name === '' ? '' : `${series?.label} ${shortened(name)}: `;
    return `${who}${compact(first.value)} at ${format(Number(first.x))} to ${compact(last.value)} at ${format(Number(last.x))}`;
  });
  return { svg, points, summary: `${labelOf(measure)} over ${x.label}. ${ends.filter(Boolean).join('; ')}.` };
}

/**
 * Categories down, a dot for each series.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawDots(figure, rows, choice, drawing) {
  const { Plot, width = FIGURE_WIDTH } = drawing;
  const y = /** @type {Field} */ (figure.y);
  const measure = measureOf(figure, choice);
  const points = pointsOf(figure, rows, choice);
  const there = finite(points);
  const series = seriesOf(figure, choice);
  const names = series ? domainOf(series, new Set(there.map((point) => point.series))) : [''];
  let domain = domainOf(y, new Set(points.map((point) => point.y)));
  const cut = domain.length > MOST_CATEGORIES;
  if (cut) {
    const order = [...new Set([...there].sort((a, b) => a.value - b.value).map((point) => point.y))];
    domain = [...order.slice(0, MOST_CATEGORIES / 2), ...order.slice(-MOST_CATEGORIES / 2)];
  }
  const visible = points.filter((point) => domain.includes(point.y));
  const marginLeft = Math.max(40, longest(domain) * LETTER + 24);
  const top = Math.max(0, ...there.map(({ high }) => high));
  const isSingle = names.length === 1;
  /** Series beside one another, so that none hides another. @param {number} at */
  const beside = (at) => (at - (names.length - 1) / 2) * 8;
  const svg = plotted(drawing, seriesItems(series, names), {
    height: 62 + domain.length * (20 + 8 * names.length),
    marginLeft,
    marginRight: isSingle ? 64 : 24,
    marginTop: 24,
    marginBottom: 40,
    x: {
      ...below(measureLabel(measure)),
      domain: [0, top > 0 ? top : 1],
      nice: true,
      grid: true,
      ticks: Math.max(2, Math.floor((width - marginLeft) / 90)),
      tickFormat: tick,
    },
    y: { type: 'point', ...namesDown(domain, y.label), padding: 0.7 },
    color: { domain: names, range: COLOURS.slice(0, names.length) },
    symbol: { domain: names, range: SYMBOLS.slice(0, names.length) },
    marks: [
      Plot.ruleX([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
      Plot.ruleY(domain, { stroke: 'var(--line)' }),
      ...names.map((name, at) =>
        Plot.ruleY(
          finite(visible).filter(({ series: own, low, high }) => own === name && high > low),
          {
            y: 'y',
            x1: 'low',
            x2: 'high',
            dy: beside(at),
            stroke: 'series',
            strokeWidth: 3,
            strokeOpacity: 0.5,
          },
        ),
      ),
      ...names.map((name, at) =>
        Plot.dot(
          finite(visible).filter((point) => point.series === name),
          { x: 'value', y: 'y', dy: beside(at), fill: 'series', symbol: 'series', r: 4.5, title: 'tip' },
        ),
      ),
      ...(isSingle
        ? [
            Plot.text(finite(visible), {
              x: 'high',
              y: 'y',
              text: (point) => compact(point.value),
              textAnchor: 'start',
              dx: 10,
              fill: 'currentColor',
            }),
          ]
        : []),
      Plot.text(
        visible.filter(({ reason }) => reason !== undefined),
        { x: 0, y: 'y', text: () => '×', dx: 8, fill: 'var(--bad)', title: 'tip' },
      ),
    ],
  });
  const note = cut
    ? ` The ${MOST_CATEGORIES / 2} least and the ${MOST_CATEGORIES / 2} most of ${count(new Set(points.map((point) => point.y)).size)} are shown; the table has all.`
    : '';
  return { svg, points, summary: `${extremes(measure, points)}${note}` };
}

/** Radius of a dot of a spread, and most dots in its highest pile; more cells are counted in bins. */
const SPREAD_RADIUS = 4.5;
const MOST_PILED = 30;

/**
 * Dots in the highest pile: those whose places along the axis overlap.
 * @param {readonly number[]} values
 * @param {(value: number) => number} place in pixels
 */
function highestPile(values, place) {
  const piles = grouped(values, (value) => String(Math.round(place(value) / (2 * SPREAD_RADIUS))));
  return Math.max(...piles.map(({ length }) => length));
}

/**
 * How cells lie along a measure: every cell a dot, beside one another where they would lie on one another; of too many
 * for that, how many there are in each bin.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawSpread(figure, rows, choice, drawing) {
  const { Plot, width = FIGURE_WIDTH } = drawing;
  const measure = measureOf(figure, choice);
  const points = pointsOf(figure, rows, choice);
  const there = finite(points);
  const values = there.map(({ value }) => value);
  const low = values.reduce((least, value) => Math.min(least, value));
  const high = values.reduce((most, value) => Math.max(most, value));
  const middle = meanOf(values);
  const pad = high > low ? 0.05 * (high - low) : Math.max(Math.abs(low) * 0.1, 0.5);
  const room = width - 90;
  const pile = highestPile(values, (value) => ((value - low + pad) / (high - low + 2 * pad)) * room);
  const isPiled = pile <= MOST_PILED;
  const bars = { x: 'value', thresholds: 40, fill: 'var(--s1)', insetLeft: 0.5, insetRight: 0.5 };
  const marks = isPiled
    ? [
        Plot.dot(
          there,
          Plot.dodgeY({ x: 'value', r: SPREAD_RADIUS, fill: 'var(--s1)', title: 'tip', padding: 1 }),
        ),
      ]
    : [
        Plot.rectY(
          there,
          Plot.binX(
            {
              y: 'count',
              title: (/** @type {Point[]} */ bin, /** @type {{x1: number, x2: number}} */ { x1, x2 }) =>
                `${measure.label}: ${exactly(measure, x1)} to ${exactly(measure, x2)}\n${count(bin.length)} cells`,
            },
            bars,
          ),
        ),
        Plot.ruleY([0], { stroke: 'currentColor', strokeOpacity: 0.4 }),
      ];
  const svg = plotted(drawing, [], {
    height: isPiled ? 96 + pile * (2 * SPREAD_RADIUS + 2) : 300,
    marginLeft: isPiled ? 45 : 56,
    marginRight: 45,
    marginTop: 38,
    marginBottom: 44,
    x: {
      ...below(measureLabel(measure)),
      domain: [low - pad, high + pad],
      ticks: Math.max(2, Math.floor(room / 110)),
      grid: true,
    },
    ...(isPiled
      ? {}
      : { y: { label: 'cells', labelArrow: /** @type {const} */ ('none'), tickFormat: tick, grid: true } }),
    marks: [
      ...marks,
      Plot.ruleX([middle], { stroke: 'var(--s2)', strokeWidth: 2, strokeDasharray: '5 3' }),
      Plot.text([middle], {
        x: (value) => value,
        frameAnchor: 'top',
        dy: -12,
        text: (value) => `mean ${fine(value)}`,
        fill: 'currentColor',
      }),
    ],
  });
  const range =
    high > low ? `from ${fine(low)} to ${fine(high)}, mean ${fine(middle)}` : `all of them ${fine(low)}`;
  return { svg, points, summary: `${labelOf(measure)} of ${count(there.length)} cells: ${range}.` };
}

/** Verdicts of a claim that have a colour of their own; every other is grey. */
const VERDICT_COLOURS = /** @type {Record<string, string>} */ ({
  reproduced: 'var(--good)',
  failed: 'var(--bad)',
  differs: 'var(--s2)',
});

const VERDICT_SYMBOLS = /** @type {Record<string, string>} */ ({
  reproduced: 'circle',
  failed: 'cross',
  differs: 'triangle',
});

/**
 * Ticks of an axis of multiples: few, and 1 among them.
 * @param {number} reach the axis goes from 1 / reach to reach
 */
function multiples(reach) {
  const steps = [
    { from: 1, ticks: [0.8, 0.9, 1, 1.1, 1.25] },
    { from: 1.4, ticks: [0.5, 0.75, 1, 1.5, 2] },
    { from: 3, ticks: [0.1, 0.2, 0.5, 1, 2, 5, 10] },
    { from: 15, ticks: Array.from({ length: 25 }, (_, at) => 10 ** (at - 12)) },
  ];
  const { ticks } = steps.findLast(({ from }) => reach >= from) ?? steps[0];
  return ticks.filter((value) => value >= 1 / reach && value <= reach);
}

/** @param {readonly {verdict: string}[]} points */
const claimsSummary = (points) =>
  `${grouped(points, ({ verdict }) => verdict)
    .map((group) => `${count(group.length)} ${group[0].verdict}`)
    .join(', ')} of ${count(points.length)} published figures.`;

/**
 * Published figures and ours: how many times the paper's ours is, and the paper's band.
 * @param {Figure} figure @param {readonly Row[]} rows @param {Choice} choice @param {Drawing} drawing
 */
export function drawClaims(figure, rows, choice, drawing) {
  const { Plot } = drawing;
  const measure = measureOf(figure, choice);
  const y = /** @type {Field} */ (figure.y);
  const points = rows.map((row) => {
    const value = Number(row[measure.column]);
    return {
      x: null,
      y: shown(y, row[y.column]),
      series: String(row.verdict),
      facet: '',
      value,
      low: value,
      high: value,
      from: Number(row.bandFrom ?? Number.NaN),
      to: Number(row.bandTo ?? Number.NaN),
      verdict: String(row.verdict),
      tip: `${row.tip}\n${row.verdict}, ${compact(value)}×`,
    };
  });
  const there = finite(points).filter(({ value }) => value > 0);
  if (there.length === 0) return undefined;
  const verdicts = [...new Set(there.map(({ verdict }) => verdict))];
  const ends = there
    .flatMap(({ value, from, to }) => [value, from, to])
    .filter((value) => value > 0 && Number.isFinite(value));
  const reach = Math.max(1.25, ...ends.map((value) => Math.max(value, 1 / value))) * 1.05;
  const domain = [...new Set(there.map((point) => point.y))];
  const marginLeft = Math.max(60, longest(domain) * LETTER + 24);
  const symbolOf = (/** @type {string} */ verdict) => VERDICT_SYMBOLS[verdict] ?? 'square';
  const colourOf = (/** @type {string} */ verdict) => VERDICT_COLOURS[verdict] ?? 'var(--s8)';
  const svg = plotted(
    drawing,
    verdicts.map((label) => ({ label, colour: colourOf(label), symbol: symbolOf(label) })),
    {
      height: 62 + domain.length * 24,
      marginLeft,
      marginRight: 60,
      marginTop: 24,
      marginBottom: 40,
      x: {
        type: 'log',
        domain: [1 / reach, reach],
        ...below(labelOf(measure)),
        grid: true,
        ticks: multiples(reach),
        tickFormat: (/** @type {number} */ value) => `${tick(value)}×`,
      },
      y: { type: 'point', ...namesDown(domain, y.label), padding: 0.7 },
      symbol: { type: 'identity' },
      marks: [
        Plot.ruleX([1], { stroke: 'currentColor', strokeWidth: 1.5 }),
        Plot.ruleY(domain, { stroke: 'var(--line)' }),
        Plot.ruleY(
          there.filter(({ from, to }) => to > from),
          { y: 'y', x1: 'from', x2: 'to', stroke: 'currentColor', strokeWidth: 9, strokeOpacity: 0.18 },
        ),
        Plot.dot(there, {
          x: 'value',
          y: 'y',
          r: 5,
          fill: ({ verdict }) => colourOf(verdict),
          symbol: ({ verdict }) => symbolOf(verdict),
          title: 'tip',
        }),
      ],
    },
  );
  return { svg, points: there, summary: claimsSummary(there) };
}
