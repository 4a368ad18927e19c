/** Numbers, bytes and times as people read them: in a terminal, in a figure and in a page. */

const GROUPS = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });

/**
 * A count with its thousands apart: `1,234,567`.
 * @param {number} value
 */
export const count = (value) => GROUPS.format(value);

/**
 * So many of something: `1 figure`, `1,234 figures`.
 * @param {number} value
 * @param {string} noun
 * @param {string} [nouns] its plural
 */
export const countOf = (value, noun, nouns = `${noun}s`) => `${count(value)} ${value === 1 ? noun : nouns}`;

/**
 * A number with so many decimals, thousands apart.
 * @param {number} value
 * @param {number} digits
 */
export const decimal = (value, digits) =>
  value.toLocaleString('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/**
 * A quantity with two decimals, or with two significant digits where it is small: `12.34`, `0.012`, `0.00011`.
 * @param {number} value
 */
export function fine(value) {
  const isSmall = value > 0 && value < 0.1;
  return isSmall ? decimal(value, Math.min(12, 1 - Math.floor(Math.log10(value)))) : decimal(value, 2);
}

/**
 * A ratio as per cent: `12.34 %`, `0.012 %`.
 * @param {number} value
 */
export const ratio = (value) => `${fine(100 * value)} %`;

/**
 * A per cent value, or a dash where there is none.
 * @param {number | null} value
 */
export const perCent = (value) => (value === null ? '–' : `${decimal(value, 1)} %`);

/**
 * A mean number of references, with three decimals; what is less than that is not shown as nothing.
 * @param {number} value
 */
export const mean = (value) => (value > 0 && value < 0.0005 ? '<0.001' : decimal(value, 3));

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/**
 * Bytes in the largest binary unit that keeps them at 1 or more: `64 KiB`, `1.5 GiB`.
 * @param {number} value
 */
export function bytes(value) {
  let unit = 0;
  let scaled = value;
  while (scaled >= 1024 && unit < BINARY_UNITS.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${scaled.toLocaleString('en-GB', { maximumFractionDigits: 2 })} ${BINARY_UNITS[unit]}`;
}

/**
 * A rate in accesses a second: `12.3 M/s`.
 * @param {number} perSecond
 */
export function rate(perSecond) {
  if (perSecond >= 1e9) return `${decimal(perSecond / 1e9, 2)} G/s`;
  if (perSecond >= 1e6) return `${decimal(perSecond / 1e6, 1)} M/s`;
  return perSecond >= 1e3 ? `${decimal(perSecond / 1e3, 1)} k/s` : `${decimal(perSecond, 0)} /s`;
}

/**
 * A time span: `0.34 s`, `42 s`, `3 min 20 s`, `2 h 5 min`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 9.995) return `${decimal(seconds, 2)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
