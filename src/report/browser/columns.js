/** The data that a report carries, column by column: what repeats is there once. */

/** @typedef {import('./figure.js').Row} Row */
/** @typedef {import('./figure.js').Value} Value */

/**
 * A column as a page carries it: one value for all rows; or values and, for each row, which of them; or the rows' values.
 * @typedef {object} PackedColumn
 * @property {string} name
 * @property {'UBIGINT' | 'DOUBLE' | 'VARCHAR'} type
 * @property {true} [made] for figures alone: no column of the results
 * @property {Value} [all] the value of all rows
 * @property {Value[]} [values] the values, of the rows or of `at`
 * @property {number[]} [at] of each row, the place of its value in `values`
 */

/**
 * Packs a column the smallest of three ways.
 * @param {Pick<PackedColumn, 'name' | 'type' | 'made'>} column
 * @param {Value[]} values of the rows
 * @returns {PackedColumn}
 */
export function packed(column, values) {
  const places = new Map([...new Set(values)].map((value, at) => [value, at]));
  if (places.size === 1) return { ...column, all: values[0] };
  const plain = { ...column, values };
  const different = [...places.keys()];
  const indexed = { ...column, values: different, at: values.map((value) => places.get(value) ?? 0) };
  return JSON.stringify(indexed).length < JSON.stringify(plain).length ? indexed : plain;
}

/**
 * The rows of packed columns.
 * @param {readonly PackedColumn[]} columns
 * @param {number} count of rows
 * @returns {Row[]}
 */
export function unpacked(columns, count) {
  /** @type {Row[]} */
  const rows = Array.from({ length: count }, () => ({}));
  for (const { name, all, values, at } of columns)
    rows.forEach((row, index) => {
      row[name] = values === undefined ? (all ?? null) : values[at === undefined ? index : at[index]];
    });
  return rows;
}

/** @param {Value} value */
const csvField = (value) => {
  if (value === null) return '';
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/**
 * Rows as CSV (RFC 4180, lines end in `\n`), heading first; what is missing is empty. The same as `export` writes.
 * @param {readonly string[]} names
 * @param {readonly (readonly Value[])[]} rows
 */
export const toCsv = (names, rows) =>
  [names, ...rows].map((row) => `${row.map(csvField).join(',')}\n`).join('');
