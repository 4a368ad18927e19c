/** What all drawings share: type, legend, axes. */

import { FIGURE_WIDTH, labelOf, prefixed, shortened } from './figure.js';
import { bytes } from './format.js';
import { SERIES } from './palette.js';

/** @typedef {import('./figure.js').Field} Field */

/**
 * The library and the document that it draws into.
 * @typedef {object} Drawing
 * @property {typeof import('@observablehq/plot')} Plot
 * @property {Document} document
 * @property {number} [width] pixels
 */

const FONT_SIZE = 12;

/** Pixels of a letter, about: nothing here can measure text. */
export const LETTER = 7.2;

const FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';

export const SYMBOLS = ['circle', 'square', 'triangle', 'diamond', 'cross', 'star', 'wye', 'hexagon'];

export const COLOURS = Array.from({ length: SERIES }, (_, at) => `var(--s${at + 1})`);

/**
 * Plot's settings that all figures share.
 * @param {Drawing} drawing
 */
const base = ({ document, width = FIGURE_WIDTH }) => ({
  document,
  width,
  style: {
    fontFamily: FONT,
    fontSize: `${FONT_SIZE}px`,
    color: 'var(--ink)',
    background: 'none',
    overflow: 'visible',
  },
});

/**
 * A tick's text: few signs, no zeros that say nothing.
 * @param {number} value
 */
export const tick = (value) =>
  Math.abs(value) >= 1e5
    ? prefixed(value, 4)
    : value.toLocaleString('en-GB', { maximumSignificantDigits: 4 });

/**
 * Ticks of an axis from 0: of bytes at round numbers of them.
 * @param {Field} measure
 * @param {number} most end of the axis
 * @param {number} pixels of the axis
 */
export function valueTicks(measure, most, pixels) {
  const many = Math.max(2, Math.floor(pixels / 90));
  if (measure.format !== 'bytes' || most <= 0) return { ticks: many, tickFormat: tick };
  const step = 2 ** Math.ceil(Math.log2(most / many));
  return {
    ticks: Array.from({ length: Math.floor(most / step) + 1 }, (_, at) => at * step),
    tickFormat: bytes,
  };
}

/**
 * The label below an axis, in its middle.
 * @param {string} label
 * @param {number} [labelOffset] pixels below the axis
 */
export const below = (label, labelOffset = 36) => ({
  label,
  labelAnchor: /** @type {const} */ ('center'),
  labelArrow: /** @type {const} */ ('none'),
  labelOffset,
});

/**
 * Names down the left side, their label above them.
 * @param {readonly string[]} domain
 * @param {string | null} label
 */
export const namesDown = (domain, label) => ({
  domain: [...domain],
  label,
  labelAnchor: /** @type {const} */ ('top'),
  labelArrow: /** @type {const} */ ('none'),
  tickSize: 0,
  tickFormat: (/** @type {string} */ name) => shortened(name),
});

/**
 * The label of an axis of a measure.
 * @param {Field} measure
 */
export const measureLabel = (measure) =>
  labelOf(measure.format === 'percent' ? { unit: '%', ...measure } : measure);

/**
 * A legend as a drawing of its own, for the top of a figure: it is part of the file that is saved.
 * @param {Drawing} drawing
 * @param {readonly {label: string, colour: string, symbol: string}[]} items
 * @returns {{svg: SVGElement, height: number} | undefined}
 */
function legend(drawing, items) {
  if (items.length === 0) return undefined;
  const { Plot, width = FIGURE_WIDTH } = drawing;
  const lineHeight = 20;
  let [left, line] = [4, 0];
  const placed = items.map(({ label, ...item }) => {
    const text = shortened(label, item.colour === 'none' ? Math.floor((width - 8) / LETTER) : undefined);
    const before = item.colour === 'none' ? 0 : 10;
    const wide = 16 + before + [...text].length * LETTER;
    if (left + wide > width && left > 4) [left, line] = [4, line + 1];
    const place = {
      ...item,
      text,
      x: left + 5,
      textX: left + (before === 0 ? 0 : 15),
      y: line * lineHeight + 10,
    };
    left += wide + 8;
    return place;
  });
  const height = (line + 1) * lineHeight;
  const svg = Plot.plot({
    ...base(drawing),
    height,
    margin: 0,
    axis: null,
    x: { type: 'identity' },
    y: { type: 'identity' },
    symbol: { type: 'identity' },
    marks: [
      Plot.dot(
        placed.filter(({ colour }) => colour !== 'none'),
        { x: 'x', y: 'y', fill: 'colour', symbol: 'symbol', r: 4.5 },
      ),
      Plot.text(placed, { x: 'textX', y: 'y', text: 'text', textAnchor: 'start', fill: 'currentColor' }),
    ],
  });
  return { svg: /** @type {SVGElement} */ (svg), height };
}

/**
 * Puts a figure below its legend.
 * @param {Drawing} drawing
 * @param {readonly {label: string, colour: string, symbol: string}[]} items
 * @param {Omit<import('@observablehq/plot').PlotOptions, 'height'> & {height: number}} options
 * @returns {SVGElement}
 */
export function plotted(drawing, items, options) {
  const { Plot, document } = drawing;
  const width = options.width ?? drawing.width ?? FIGURE_WIDTH;
  const head = legend({ ...drawing, width }, items);
  const body = /** @type {SVGElement} */ (Plot.plot({ ...base(drawing), ...options }));
  if (!head) return body;
  const NS = 'http://www.w3.org/2000/svg';
  const height = head.height + options.height;
  const svg = /** @type {SVGElement} */ (document.createElementNS(NS, 'svg'));
  svg.setAttribute('width', String(width));
  svg.setAttribute('height', String(height));
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  body.setAttribute('y', String(head.height));
  svg.append(head.svg, body);
  return svg;
}

/**
 * Legend of the series, where there is more than one, with the field's name before it.
 * @param {Field | undefined} field
 * @param {readonly string[]} names
 */
export const seriesItems = (field, names) =>
  names.length < 2
    ? []
    : [
        { label: `${field?.label ?? ''}:`, colour: 'none', symbol: 'circle' },
        ...names.map((label, at) => ({
          label,
          colour: COLOURS[at % COLOURS.length],
          symbol: SYMBOLS[at % SYMBOLS.length],
        })),
      ];

/**
 * Ticks at values that occur, as many as have room.
 * @param {readonly number[]} values ascending
 * @param {boolean} isLog
 * @param {number} pixels of the axis
 * @param {(value: number) => string} format
 */
export function ticksAt(values, isLog, pixels, format) {
  const [low, high] = [values[0], values[values.length - 1]];
  /** @param {number} value */
  const at = (value) => {
    const part = isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return high === low ? 0 : part * pixels;
  };
  /** @type {number[]} */
  const ticks = [];
  let free = Number.NEGATIVE_INFINITY;
  // From the end, since the largest is what one looks for first.
  for (const value of [...values].reverse()) {
    const half = (format(value).length * LETTER) / 2 + 5;
    const place = pixels - at(value);
    if (place - half < free) continue;
    free = place + half;
    ticks.push(value);
  }
  return ticks.reverse();
}
