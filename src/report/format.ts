/** Numbers, bytes and times as people read them. */

const GROUPS = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });

/** A count with its thousands apart: `1,234,567`. */
export const count = (value: number): string => GROUPS.format(value);

/** A number with so many decimals, thousands apart. */
export const decimal = (value: number, digits: number): string =>
  value.toLocaleString('en-GB', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A quantity with two decimals, or with two significant digits where it is small: `12.34`, `0.012`, `0.00011`. */
export function fine(value: number): string {
  const small = value > 0 && value < 0.1;
  return small ? decimal(value, Math.min(12, 1 - Math.floor(Math.log10(value)))) : decimal(value, 2);
}

/** A ratio as per cent: `12.34 %`, `0.012 %`. */
export const ratio = (value: number): string => `${fine(100 * value)} %`;

/** A per cent value, or a dash where there is none. */
export const perCent = (value: number | null): string => (value === null ? '–' : `${decimal(value, 1)} %`);

/** A mean number of references, with three decimals; what is less than that is not shown as nothing. */
export const mean = (value: number): string => (value > 0 && value < 0.0005 ? '<0.001' : decimal(value, 3));

const BINARY_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes in the largest binary unit that keeps them at 1 or more: `64 KiB`, `1.5 GiB`. */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 1024 && unit < BINARY_UNITS.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${scaled.toLocaleString('en-GB', { maximumFractionDigits: 2 })} ${BINARY_UNITS[unit]}`;
}

/** A rate in accesses a second: `12.3 M/s`. */
export function rate(perSecond: number): string {
  if (perSecond >= 1e9) return `${decimal(perSecond / 1e9, 2)} G/s`;
  if (perSecond >= 1e6) return `${decimal(perSecond / 1e6, 1)} M/s`;
  return perSecond >= 1e3 ? `${decimal(perSecond / 1e3, 1)} k/s` : `${decimal(perSecond, 0)} /s`;
}

/** A time span: `0.34 s`, `42 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 9.995) return `${decimal(seconds, 2)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
