/**
 * Quantities as people write them, read exactly: `4KiB`, `1.5GiB`, `1e9`, `2M`. Arithmetic is on whole numbers of any
 * size, so that nothing is rounded unseen; what does not come out whole is refused.
 *
 * Every reader here throws a `NestwalkError` of code `usage` whose message says what was given and what is allowed.
 */
import { NestwalkError } from '../errors.ts';
import { PAGE_BYTES, PAGE_SIZES, type PageSize } from '../schema.ts';
import { didYouMean } from './suggest.ts';

/** Byte units: powers of 1024 with an `i`, powers of 1000 without. */
const BYTE_UNITS: Readonly<Record<string, bigint>> = {
  B: 1n,
  KiB: 2n ** 10n,
  MiB: 2n ** 20n,
  GiB: 2n ** 30n,
  TiB: 2n ** 40n,
  PiB: 2n ** 50n,
  kB: 10n ** 3n,
  MB: 10n ** 6n,
  GB: 10n ** 9n,
  TB: 10n ** 12n,
};

/** Suffixes of counts, powers of 1000. */
const COUNT_SUFFIXES: Readonly<Record<string, bigint>> = {
  k: 10n ** 3n,
  M: 10n ** 6n,
  G: 10n ** 9n,
  T: 10n ** 12n,
};

const BYTES_ALLOWED = 'write bytes as 4096, 4KiB, 1.5GiB, 64MB or 1e9';
const COUNT_ALLOWED = 'write a count as 1000000, 1e6, 2M or 1.5G (k, M, G, T are powers of 1000)';
const SEED_ALLOWED =
  'a seed is a whole number from 0, or a hex string of up to 64 bits such as "0x9e3779b97f4a7c15"';

/** Exponents beyond this cannot give a number in range; refusing them keeps 10^n small. */
const MAX_EXPONENT = 30;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_SEED = 2n ** 64n - 1n;

const NUMBER = /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?\s*(.*)$/s;

/** How a value is shown in a message: strings quoted, long ones cut, structures named. */
export function show(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (value === null) return 'nothing (null)';
  return typeof value === 'object' ? 'a map of fields' : String(value);
}

const refuse = (message: string): never => {
  throw new NestwalkError('usage', message);
};

/** A decimal as the fraction numerator / denominator, and what stands behind it. */
function readDecimal(text: string): { numerator: bigint; denominator: bigint; rest: string } | undefined {
  const match = NUMBER.exec(text.trim());
  if (!match) return undefined;
  const [, whole, fraction = '', exponentText = '0', rest] = match;
  const exponent = Number(exponentText) - fraction.length;
  if (Math.abs(exponent) > MAX_EXPONENT) return undefined;
  const digits = BigInt(whole + fraction);
  return exponent >= 0
    ? { numerator: digits * 10n ** BigInt(exponent), denominator: 1n, rest }
    : { numerator: digits, denominator: 10n ** BigInt(-exponent), rest };
}

/** A plain number that is given for a quantity: whole, from 0, exact. */
function readNumber(value: number, noun: string, allowed: string): number {
  if (!Number.isFinite(value) || value < 0)
    return refuse(`${value} is not ${noun}: it must be from 0; ${allowed}`);
  if (!Number.isInteger(value)) return refuse(`${value} is not a whole number; ${allowed}`);
  if (!Number.isSafeInteger(value))
    return refuse(`${value} is too large: at most 2^53 - 1 can be kept exact`);
  return value;
}

/** A quantity in words: the decimal times its unit, which must come out whole. */
function readQuantity(
  text: string,
  noun: string,
  allowed: string,
  factorOf: (unit: string) => bigint | string,
): number {
  const decimal = readDecimal(text);
  if (!decimal) return refuse(`${show(text)} is not ${noun}; ${allowed}`);
  const factor = decimal.rest === '' ? 1n : factorOf(decimal.rest);
  if (typeof factor === 'string') return refuse(`${show(text)} is not ${noun}: ${factor}`);
  const scaled = decimal.numerator * factor;
  if (scaled % decimal.denominator !== 0n)
    return refuse(
      `${show(text)} is not a whole number: it makes ${Number(scaled) / Number(decimal.denominator)}`,
    );
  const value = scaled / decimal.denominator;
  if (value > MAX_SAFE) return refuse(`${show(text)} is too large: at most 2^53 - 1 can be kept exact`);
  return Number(value);
}

function byteFactor(unit: string): bigint | string {
  if (Object.hasOwn(BYTE_UNITS, unit)) return BYTE_UNITS[unit];
  const letter = unit[0].toUpperCase();
  if (/^[kmgtp]$/i.test(unit)) return `"${unit}" is no byte unit; write ${letter}iB (powers of 1024)`;
  if (unit === 'KB') return '"KB" is read in two ways; write KiB (1024 bytes) or kB (1000 bytes)';
  const units = Object.keys(BYTE_UNITS);
  return `"${unit}" is no byte unit${didYouMean(unit, units) || `; units are ${units.join(', ')}`}`;
}

function countFactor(unit: string): bigint | string {
  if (Object.hasOwn(COUNT_SUFFIXES, unit)) return COUNT_SUFFIXES[unit];
  if (Object.hasOwn(BYTE_UNITS, unit)) return `a count has no byte unit like "${unit}"; ${COUNT_ALLOWED}`;
  const words = /^(?:[kMGT](?=\s))?\s*([a-z]{2,}.*)$/is.exec(unit);
  if (words) return `write the number alone, without ${show(words[1])}, as in 2M or 2e6`;
  if (/^[Kmgt]$/.test(unit)) return `"${unit}" is no suffix of a count; ${COUNT_ALLOWED}`;
  return `"${unit}" means nothing here; ${COUNT_ALLOWED}`;
}

/**
 * A byte quantity: a whole number, or text such as `4KiB`, `1.5GiB`, `64MB`, `1e9`. One blank may stand before the unit.
 * @returns bytes, a safe integer from 0.
 */
export function parseBytes(value: unknown): number {
  if (typeof value === 'number') return readNumber(value, 'a byte quantity', BYTES_ALLOWED);
  if (typeof value === 'string') return readQuantity(value, 'a byte quantity', BYTES_ALLOWED, byteFactor);
  return refuse(`${show(value)} is not a byte quantity; ${BYTES_ALLOWED}`);
}

/**
 * A count: a whole number, or text such as `1e9`, `2M`, `1.5G`.
 * @returns a safe integer from 0.
 */
export function parseCount(value: unknown): number {
  if (typeof value === 'number') return readNumber(value, 'a count', COUNT_ALLOWED);
  if (typeof value === 'string') return readQuantity(value, 'a count', COUNT_ALLOWED, countFactor);
  return refuse(`${show(value)} is not a count; ${COUNT_ALLOWED}`);
}

/** A page size: `4KiB`, `2MiB` or `1GiB`, or any spelling of its bytes. */
export function parsePageSize(value: unknown): PageSize {
  if ((PAGE_SIZES as readonly unknown[]).includes(value)) return value as PageSize;
  const hint = typeof value === 'string' ? didYouMean(value, PAGE_SIZES) : '';
  let bytes: number | undefined;
  try {
    bytes = parseBytes(value);
  } catch {
    // What cannot be read as bytes is no page size either; the message below says what is.
  }
  const size = PAGE_SIZES.find((name) => PAGE_BYTES[name] === bytes);
  return (
    size ?? refuse(`${show(value)} is not a page size: it must be one of ${PAGE_SIZES.join(', ')}${hint}`)
  );
}

/**
 * A seed of up to 64 bits: a safe integer from 0, a string of hex digits after `0x`, a string of decimal digits, or a bigint.
 * @returns the number where it is safe, else a lower-case `0x…` string without leading zeros.
 */
export function parseSeed(value: unknown): number | string {
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value))
    return refuse(
      `${value} is above 2^53, where numbers are not exact: write the seed as a hex string, "0x…"`,
    );
  const whole =
    (typeof value === 'number' && Number.isSafeInteger(value)) ||
    typeof value === 'bigint' ||
    (typeof value === 'string' && /^(0[xX][0-9a-fA-F]+|\d+)$/.test(value));
  if (!whole) return refuse(`${show(value)} is not a seed: ${SEED_ALLOWED}`);
  const seed = BigInt(value as number | bigint | string);
  if (seed < 0n || seed > MAX_SEED) return refuse(`${show(value)} is out of range: ${SEED_ALLOWED}`);
  return seed <= MAX_SAFE ? Number(seed) : `0x${seed.toString(16)}`;
}

/** The two 32-bit words of a seed: the key of Philox. */
export function seedWords(seed: number | string): { low: number; high: number } {
  const value = BigInt(seed);
  return { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) };
}

/**
 * An address: a whole number, a hex string, or bytes as in {@link parseBytes} (`1GiB`). Above 2^53 it must be
 * representable as a double (page-aligned addresses are), in exact digits or in those that JSON writes for the double.
 */
export function parseAddress(value: unknown): number {
  const allowed = 'write an address as a whole number or a hex string such as "0x10000000000"';
  if (typeof value === 'number') {
    if (Number.isInteger(value) && value >= 0) return value;
    return refuse(`${value} is not an address; ${allowed}`);
  }
  if (typeof value !== 'string') return refuse(`${show(value)} is not an address; ${allowed}`);
  if (!/^(0[xX][0-9a-fA-F]+|\d+)$/.test(value)) {
    if (/^\d/.test(value) && !/^0[xX]/.test(value)) return parseBytes(value);
    return refuse(`${show(value)} is not an address; ${allowed}`);
  }
  const address = Number(BigInt(value));
  if (BigInt(address) !== BigInt(value) && String(address) !== value)
    return refuse(`${show(value)} is not an address that can be kept exact: it must be aligned to 4KiB`);
  return address;
}

/** Units for {@link formatBytes}, largest first. */
const FORMAT_UNITS = ['PiB', 'TiB', 'GiB', 'MiB', 'KiB'] as const;

/** Bytes in the largest unit that shows them as whole eighths, so that it is exact: `1.5GiB`, `4KiB`, `1000B`. */
export function formatBytes(bytes: number): string {
  for (const unit of FORMAT_UNITS) {
    const factor = Number(BYTE_UNITS[unit]);
    if (bytes >= factor && Number.isInteger((bytes / factor) * 8)) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
