/** A table of cells that sorts, filters and shows as many rows as asked for. */
import { shortened, shown } from './figure.js';
import { count } from './format.js';

/** @typedef {import('./figure.js').Row} Row */
/** @typedef {import('./figure.js').Value} Value */

/**
 * A column of the table.
 * @typedef {object} TableColumn
 * @property {string} name
 * @property {string} label
 * @property {boolean} numeric
 * @property {'count' | 'fine' | 'percent' | 'bytes' | 'text'} format
 */

/** Rows shown at first, and more at each asking. */
export const FIRST_ROWS = 50;
const MORE_ROWS = 500;
/** Letters of a value in the table; all of it is in the cell's title. */
export const MOST_CELL_LETTERS = 240;

const CONDITION = /^([\w:.[\]-]+)(<=|>=|!=|=|<|>)(.+)$/;

/**
 * The column that a name means: itself, its label, the only one whose label or name begins with it, or the only one that
 * has it in it. So `miss` is the miss ratio beside the TLB misses.
 * @param {readonly TableColumn[]} columns
 * @param {string} name
 */
function columnNamed(columns, name) {
  const wanted = name.toLowerCase();
  /** @param {TableColumn} column */
  const texts = (column) => [column.name.toLowerCase(), column.label.toLowerCase()];
  const same = columns.find((column) => texts(column).includes(wanted));
  if (same) return same;
  const beginning = columns.filter((column) => texts(column).some((text) => text.startsWith(wanted)));
  if (beginning.length === 1) return beginning[0];
  const holding = columns.filter((column) => texts(column).some((text) => text.includes(wanted)));
  return holding.length === 1 ? holding[0] : undefined;
}

/**
 * Whether a value stands in a relation to what the reader wrote: numbers as numbers (per cent with its sign), else text.
 * @param {Value} value
 * @param {string} sign
 * @param {string} wanted
 */
function holds(value, sign, wanted) {
  if (value === null || value === undefined) return sign === '!=';
  const isPerCent = wanted.endsWith('%');
  const number = Number(wanted.replace(/%$/, '').replaceAll(',', '')) / (isPerCent ? 100 : 1);
  const areNumbers = typeof value === 'number' && !Number.isNaN(number);
  /** @type {number | string} */
  const own = areNumbers ? value : String(value ?? '').toLowerCase();
  /** @type {number | string} */
  const other = areNumbers ? number : wanted.toLowerCase();
  if (sign === '=') return own === other;
  if (sign === '!=') return own !== other;
  if (sign === '<') return own < other;
  if (sign === '>') return own > other;
  return sign === '<=' ? own <= other : own >= other;
}

/**
 * Names in conditions of a filter that mean no column, or several.
 * @param {string} text
 * @param {readonly TableColumn[]} visible
 * @param {readonly TableColumn[]} all
 */
export function unclearNames(text, visible, all) {
  return text.split(/\s+/).flatMap((word) => {
    const name = CONDITION.exec(word)?.[1];
    return name === undefined || columnNamed(visible, name) || columnNamed(all, name) ? [] : [name];
  });
}

/**
 * What a filter lets through: every word must occur in a shown column, every condition (`ways=8`, `cycles<100`) must hold.
 * @param {string} text
 * @param {readonly TableColumn[]} visible columns that words are looked for in
 * @param {readonly TableColumn[]} all columns that conditions may name
 * @returns {(row: Row) => boolean}
 */
export function filterOf(text, visible, all) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [, name, sign, wanted] = CONDITION.exec(word) ?? [];
      const column = name === undefined ? undefined : (columnNamed(visible, name) ?? columnNamed(all, name));
      if (column) return (/** @type {Row} */ row) => holds(row[column.name], sign, wanted);
      const part = word.toLowerCase();
      return (/** @type {Row} */ row) =>
        visible.some((own) => {
          const value = row[own.name];
          return (
            String(value ?? '')
              .toLowerCase()
              .includes(part) || shown(own, value).toLowerCase().includes(part)
          );
        });
    });
  return (row) => tests.every((test) => test(row));
}

/**
 * An order of rows by a column: numbers by size, text as people order it (4KiB before 16KiB), nothing last.
 * @param {string} name
 * @param {1 | -1} direction
 * @returns {(a: Row, b: Row) => number}
 */
export function orderBy(name, direction) {
  const collator = new Intl.Collator('en', { numeric: true });
  return (a, b) => {
    const [one, other] = [a[name], b[name]];
    if (one === other) return 0;
    if (one === null || one === undefined) return 1;
    if (other === null || other === undefined) return -1;
    const areNumbers = typeof one === 'number' && typeof other === 'number';
    return direction * (areNumbers ? one - other : collator.compare(String(one), String(other)));
  };
}

/**
 * @typedef {object} TableState
 * @property {readonly TableColumn[]} columns that are shown
 * @property {string} [sorted] column that rows are ordered by
 * @property {1 | -1} direction
 * @property {string} filter
 * @property {number} most rows shown
 */

/** @param {TableColumn} column @param {Value} value */
function cellOf(column, value) {
  const cell = document.createElement('td');
  if (column.numeric) cell.className = 'number';
  const text = shown(column, value);
  cell.textContent = shortened(text, MOST_CELL_LETTERS);
  if (cell.textContent !== text) cell.title = text;
  if (!column.numeric) cell.dir = 'auto';
  return cell;
}

/**
 * Makes the table live.
 * @param {HTMLTableElement} table with its caption
 * @param {readonly Row[]} rows
 * @param {readonly TableColumn[]} all every column that there is
 * @param {readonly TableColumn[]} first those shown at first
 * @param {{told: (text: string) => void, more: HTMLButtonElement}} parts where the number of rows is told, and what shows more
 * @returns {{filter: (text: string) => void, show: (columns: readonly TableColumn[]) => void, chosen: () => Row[]}}
 */
export function workTable(table, rows, all, first, { told, more }) {
  /** @type {TableState} */
  const state = { columns: first, direction: 1, filter: '', most: FIRST_ROWS };
  const head = table.tHead ?? table.createTHead();
  const body = table.tBodies[0] ?? table.createTBody();

  const chosen = () => {
    const passed = rows.filter(filterOf(state.filter, state.columns, all));
    return state.sorted === undefined ? passed : passed.sort(orderBy(state.sorted, state.direction));
  };

  /** @param {TableColumn} column */
  const sort = (column) => {
    const isAgain = state.sorted === column.name;
    state.direction = isAgain && state.direction === 1 ? -1 : 1;
    state.sorted = column.name;
    draw();
    const at = state.columns.indexOf(column);
    head.querySelectorAll('button')[at]?.focus();
  };

  const drawHead = () => {
    const line = document.createElement('tr');
    for (const column of state.columns) {
      const cell = document.createElement('th');
      cell.scope = 'col';
      if (column.numeric) cell.className = 'number';
      const isSorted = state.sorted === column.name;
      const direction = state.direction === 1 ? 'ascending' : 'descending';
      cell.setAttribute('aria-sort', isSorted ? direction : 'none');
      const button = document.createElement('button');
      button.type = 'button';
      button.className = 'sort';
      button.textContent = shortened(column.label, 40);
      button.title = `Order by ${column.label}`;
      button.addEventListener('click', () => sort(column));
      cell.append(button);
      line.append(cell);
    }
    head.replaceChildren(line);
  };

  const draw = () => {
    drawHead();
    const passed = chosen();
    const visible = passed.slice(0, state.most);
    body.replaceChildren(
      ...visible.map((row) => {
        const line = document.createElement('tr');
        line.append(...state.columns.map((column) => cellOf(column, row[column.name])));
        return line;
      }),
    );
    const left = passed.length - visible.length;
    const of =
      passed.length === rows.length ? count(rows.length) : `${count(passed.length)} of ${count(rows.length)}`;
    const name = rows.length === 1 ? 'row' : 'rows';
    const unclear = passed.length > 0 ? [] : unclearNames(state.filter, state.columns, all);
    const hint = unclear.length > 0 ? `: ${unclear.join(', ')} names no column, or several` : '';
    told(left > 0 ? `${of} ${name}, the first ${count(visible.length)} shown` : `${of} ${name}${hint}`);
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(left, MORE_ROWS)} more`;
  };

  more.addEventListener('click', () => {
    state.most += MORE_ROWS;
    draw();
  });
  draw();
  return {
    filter: (text) => {
      state.filter = text;
      state.most = FIRST_ROWS;
      draw();
    },
    show: (columns) => {
      state.columns = columns;
      draw();
    },
    chosen,
  };
}
