/** The report's page: figures that can be asked for other slices, tips, the table of all cells, downloads. */

import { toCsv, unpacked } from './columns.js';
import { BEHIND_ROWS, firstChoice, measureOf, seriesOf, shortened, shown, slicesOf } from './figure.js';
import { drawFigure } from './figures.js';
import { embedded } from './page.js';
import { pngBlob, saveBlob, saveText, svgText } from './save.js';
import { workTable } from './table.js';
import { hideTip, takeTitles, workTips } from './tips.js';

/** @typedef {import('./figure.js').Choice} Choice */
/** @typedef {import('./figure.js').Field} Field */
/** @typedef {import('./figure.js').Figure} Figure */
/** @typedef {import('./figure.js').Row} Row */
/** @typedef {import('./figure.js').Shown} Shown */
/** @typedef {import('./figure.js').Value} Value */
/** @typedef {import('./table.js').TableColumn} TableColumn */

/**
 * What the page carries.
 * @typedef {object} ReportContent
 * @property {import('./columns.js').PackedColumn[]} columns
 * @property {number} count of rows
 * @property {import('./columns.js').PackedColumn[]} [drawn] columns that figures are drawn from, where their rows are not those of the table
 * @property {number} drawnCount of rows that figures are drawn from
 * @property {Figure[]} figures
 * @property {TableColumn[]} table every column of the table
 * @property {string[]} visible names of those shown at first
 * @property {string} file name of files without their ending
 */

/** Widths of a drawing, in pixels. */
const LEAST_WIDTH = 320;
const MOST_WIDTH = 760;

/** @type {ReportContent} */
const content = embedded('report');
const rows = unpacked(content.columns, content.count);
const drawnRows = content.drawn ? unpacked(content.drawn, content.drawnCount) : rows;

/**
 * @template {Element} E
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {E}
 */
function one(root, selector) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page lacks ${selector}`);
  return /** @type {E} */ (found);
}

/** @param {string} text @param {() => void} action */
function button(text, action) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  made.addEventListener('click', action);
  return made;
}

/**
 * A choice of one of a few.
 * @param {string} label
 * @param {readonly {text: string, chosen: boolean}[]} options
 * @param {(at: number) => void} choose
 */
function select(label, options, choose) {
  const holder = document.createElement('label');
  holder.className = options.some(({ text }) => text.length > 12) ? 'choice wide' : 'choice';
  const name = document.createElement('span');
  name.textContent = label;
  const list = document.createElement('select');
  list.setAttribute('aria-label', label);
  list.append(
    ...options.map(({ text, chosen }, at) => {
      const option = document.createElement('option');
      option.value = String(at);
      option.textContent = shortened(text, 60);
      option.selected = chosen;
      return option;
    }),
  );
  list.addEventListener('change', () => choose(Number(list.value)));
  holder.append(name, list);
  return holder;
}

/**
 * An element with what is in it.
 * @param {string} name
 * @param {(Node | string)[]} content
 * @param {Record<string, string>} [attributes]
 */
function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...content);
  return made;
}

/**
 * The table behind a figure.
 * @param {Shown} behind
 */
function behindTable({ heads, numeric, rows: lines, caption }) {
  /** @param {number} at @returns {Record<string, string>} */
  const look = (at) => (numeric[at] ? { class: 'number' } : {});
  return element('table', [
    element('caption', [caption]),
    element('thead', [
      element(
        'tr',
        heads.map((text, at) => element('th', [text], { scope: 'col', ...look(at) })),
      ),
    ]),
    element(
      'tbody',
      lines.slice(0, BEHIND_ROWS).map((line) =>
        element(
          'tr',
          line.map((text, at) => element('td', [text], look(at))),
        ),
      ),
    ),
  ]);
}

/**
 * What is shown of all that could be, in words.
 * @param {Figure} figure @param {Choice} choice
 */
const sliceWords = (figure, choice) =>
  slicesOf(figure, choice).map((field) => ({
    label: field.label,
    text: shown(field, choice.slice[field.column]),
  }));

/**
 * A name for files of a figure.
 * @param {Figure} figure @param {Choice} choice
 */
export const fileName = (figure, choice) =>
  [
    content.file,
    figure.id,
    measureOf(figure, choice).column.replace(/_(total|overall)$/, ''),
    ...sliceWords(figure, choice).map(({ label, text }) => `${label}-${text}`),
  ]
    .map((part) => part.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, ''))
    .filter(Boolean)
    .join('_')
    .slice(0, 120);

/**
 * Makes a figure live.
 * @param {Figure} figure
 */
function workFigure(figure) {
  const holder = /** @type {HTMLElement} */ (one(document, `[data-figure="${figure.id}"]`));
  const drawing = /** @type {HTMLElement} */ (one(holder, '.drawing'));
  const controls = /** @type {HTMLElement} */ (one(holder, '.controls'));
  const words = /** @type {HTMLElement} */ (one(holder, '.chosen'));
  const behind = /** @type {HTMLElement} */ (one(holder, '.behind .scroll'));
  const saves = /** @type {HTMLElement} */ (one(holder, '.saves'));
  const choice = firstChoice(figure, drawnRows);
  let width = MOST_WIDTH;
  /** @type {Shown | undefined} */
  let table;

  const draw = () => {
    hideTip();
    const drawn = drawFigure(figure, drawnRows, choice, {
      Plot: /** @type {any} */ (globalThis).Plot,
      document,
      width,
    });
    const isDrawn = 'svg' in drawn;
    table = isDrawn ? drawn.shown : undefined;
    for (const save of saves.querySelectorAll('button')) save.disabled = !isDrawn;
    words.textContent = sliceWords(figure, choice)
      .map(({ label, text }) => `${label}: ${shortened(text, 60)}`)
      .join(' · ');
    if (!isDrawn) {
      const nothing = document.createElement('p');
      nothing.className = 'nothing';
      nothing.textContent = `Nothing to draw: ${drawn.why}.`;
      drawing.replaceChildren(nothing);
      behind.replaceChildren();
      return;
    }
    drawing.replaceChildren(drawn.svg);
    takeTitles(drawing);
    behind.replaceChildren(behindTable(drawn.shown));
  };

  /** What can be chosen; again after a change of what is told apart by colour. */
  const fill = () => {
    /** @type {HTMLElement[]} */
    const made = [];
    if (figure.measures.length > 1)
      made.push(
        select(
          'shown',
          figure.measures.map((field) => ({ text: field.label, chosen: field.column === choice.measure })),
          (at) => {
            choice.measure = figure.measures[at].column;
            draw();
          },
        ),
      );
    const series = figure.series ?? [];
    if (series.length > 1)
      made.push(
        select(
          'colours',
          series.map((field) => ({ text: field.label, chosen: field.column === choice.series })),
          (at) => {
            const before = seriesOf(figure, choice);
            choice.series = series[at].column;
            // What was colour becomes a slice, of its first value.
            if (before) choice.slice[before.column] = before.values?.[0] ?? null;
            fill();
            draw();
          },
        ),
      );
    for (const field of slicesOf(figure, choice))
      made.push(
        select(
          field.label,
          (field.values ?? []).map((value) => ({
            text: shown(field, value),
            chosen: value === choice.slice[field.column],
          })),
          (at) => {
            choice.slice[field.column] = field.values?.[at] ?? null;
            draw();
          },
        ),
      );
    controls.replaceChildren(...made);
    controls.hidden = made.length === 0;
  };

  const svg = () => /** @type {SVGElement | null} */ (drawing.querySelector('svg'));
  saves.append(
    button('SVG', () => {
      const image = svg();
      if (image) saveText(`${fileName(figure, choice)}.svg`, svgText(image), 'image/svg+xml');
    }),
    button('PNG', () => {
      const image = svg();
      if (image) void pngBlob(image).then((blob) => saveBlob(`${fileName(figure, choice)}.png`, blob));
    }),
    button('CSV', () => {
      if (table) saveText(`${fileName(figure, choice)}.csv`, toCsv(table.heads, table.values), 'text/csv');
    }),
  );
  saves.hidden = false;
  fill();
  draw();
  workTips(drawing);

  /** Draws anew where the room is not that of the drawing. */
  const fit = () => {
    const room = Math.max(LEAST_WIDTH, Math.min(MOST_WIDTH, Math.floor(drawing.clientWidth)));
    if (Math.abs(room - width) < 8) return;
    width = room;
    draw();
  };
  new ResizeObserver(fit).observe(drawing);
}

/** Makes the table of all cells live. */
function workCells() {
  const section = document.getElementById('cells');
  if (!section) return;
  const table = /** @type {HTMLTableElement} */ (one(section, 'table'));
  const tools = /** @type {HTMLElement} */ (one(section, '.tools'));
  const input = /** @type {HTMLInputElement} */ (one(section, 'input[type="search"]'));
  const counted = /** @type {HTMLElement} */ (one(section, '.counted'));
  const more = /** @type {HTMLButtonElement} */ (one(section, '.more'));
  const chooser = /** @type {HTMLElement} */ (one(section, '.chooser'));
  let visible = content.table.filter(({ name }) => content.visible.includes(name));
  const live = workTable(table, rows, content.table, visible, {
    told: (text) => {
      counted.textContent = text;
    },
    more,
  });
  input.addEventListener('input', () => live.filter(input.value));
  chooser.append(
    ...content.table.map((column) => {
      const label = document.createElement('label');
      const box = document.createElement('input');
      box.type = 'checkbox';
      box.checked = visible.includes(column);
      box.addEventListener('change', () => {
        visible = content.table.filter((other) => (other === column ? box.checked : visible.includes(other)));
        live.show(visible);
      });
      label.append(box, ` ${shortened(column.label, 60)}`);
      return label;
    }),
  );
  const names = content.columns.filter(({ made }) => !made).map(({ name }) => name);
  /** @param {readonly Row[]} chosen @param {string} suffix */
  const save = (chosen, suffix) => {
    const lines = chosen.map((row) => names.map((name) => row[name] ?? null));
    saveText(`${content.file}${suffix}.csv`, toCsv(names, lines), 'text/csv');
  };
  const buttons = one(section, '.saves');
  buttons.append(
    button('CSV of all', () => save(rows, '')),
    button('CSV of the rows filtered', () => save(live.chosen(), '-filtered')),
  );
  tools.hidden = false;
}

for (const figure of content.figures) workFigure(figure);
workCells();
document.documentElement.dataset.ready = 'yes';
