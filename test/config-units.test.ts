import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearest } from '../src/config/suggest.ts';
import {
  formatBytes,
  parseAddress,
  parseBytes,
  parseCount,
  parsePageSize,
  parseSeed,
  seedWords,
} from '../src/config/units.ts';
import { NestwalkError } from '../src/errors.ts';

const UNITS = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
};

describe('byte quantities', () => {
  it.each([
    ['4KiB', 4096],
    ['1.5GiB', 1610612736],
    ['64MB', 64_000_000],
    ['1e9', 1_000_000_000],
    ['2.5e-1KiB', 256],
    ['4 KiB', 4096],
    [' 8192 ', 8192],
    [4096, 4096],
    ['0.1kB', 100],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%j is %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each([
    ['4Kib', 'did you mean "KiB"'],
    ['4K', 'write KiB'],
    ['4KB', 'KiB (1024 bytes) or kB (1000 bytes)'],
    ['4.0001KiB', 'not a whole number'],
    ['-4KiB', 'not a byte quantity'],
    ['', 'not a byte quantity'],
    ['1e400', 'not a byte quantity'],
    ['8PiB', 'too large'],
    ['4 parsecs', 'units are B, KiB'],
    [1.5, 'not a whole number'],
    [-1, 'from 0'],
    [2 ** 53, 'too large'],
    [Number.NaN, 'NaN'],
    [true, 'not a byte quantity'],
  ])('%j is refused: %s', (value, text) => {
    expect(() => parseBytes(value)).toThrowError(text);
    expect(() => parseBytes(value)).toThrowError(NestwalkError);
  });

  it('reads every whole multiple of every unit exactly', () => {
    const unit = fc.constantFrom(...(Object.keys(UNITS) as (keyof typeof UNITS)[]));
    fc.assert(
      fc.property(unit, fc.nat(8000), (name, many) => {
        expect(parseBytes(`${many}${name}`)).toBe(many * UNITS[name]);
      }),
    );
  });

  it('writes bytes so that they read back the same', () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(50), (value, shift) => {
        const bytes = Math.floor(value / 2 ** shift) * 2 ** Math.min(shift, 12);
        fc.pre(Number.isSafeInteger(bytes));
        expect(parseBytes(formatBytes(bytes))).toBe(bytes);
      }),
    );
    expect([formatBytes(4096), formatBytes(1.5 * 2 ** 30), formatBytes(1000)]).toEqual([
      '4KiB',
      '1.5GiB',
      '1000B',
    ]);
  });
});

describe('counts', () => {
  it.each([
    ['1e9', 1e9],
    ['2M', 2e6],
    ['1.5G', 1.5e9],
    ['300k', 3e5],
    ['1T', 1e12],
    [7, 7],
  ])('%j is %d', (text, count) => {
    expect(parseCount(text)).toBe(count);
  });

  it.each([
    ['2M accesses', 'write the number alone, without "accesses", as in 2M or 2e6'],
    ['2 accesses', 'without "accesses"'],
    ['4KiB', 'no byte unit'],
    ['2m', 'no suffix'],
    ['1.5', 'not a whole number'],
    ['many', 'not a count'],
  ])('%j is refused: %s', (value, text) => {
    expect(() => parseCount(value)).toThrowError(text);
  });
});

describe('page sizes', () => {
  it('knows the three sizes in any spelling of their bytes', () => {
    expect(['4KiB', 4096, '4 KiB', '2048KiB', '1GiB', 2 ** 30].map(parsePageSize)).toEqual([
      '4KiB',
      '4KiB',
      '4KiB',
      '2MiB',
      '1GiB',
      '1GiB',
    ]);
  });

  it('refuses others and names the three', () => {
    for (const value of ['4MiB', '4K', 8192, true])
      expect(() => parsePageSize(value)).toThrowError('one of 4KiB, 2MiB, 1GiB');
  });
});

describe('seeds', () => {
  it('keeps 64 bits exactly, as a number where that is safe, else as hex', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (seed) => {
        const forms = [seed, String(seed), `0x${seed.toString(16)}`, `0X${seed.toString(16).toUpperCase()}`];
        for (const form of forms) {
          const parsed = parseSeed(form);
          expect(BigInt(parsed)).toBe(seed);
          expect(typeof parsed).toBe(seed < 2n ** 53n ? 'number' : 'string');
          expect(parseSeed(parsed)).toBe(parsed);
        }
        const { low, high } = seedWords(parseSeed(seed));
        expect(BigInt(high) * 2n ** 32n + BigInt(low)).toBe(seed);
        expect(low === low >>> 0 && high === high >>> 0).toBe(true);
      }),
    );
  });

  it.each([[-1], [1.5], ['0x1ffffffffffffffff'], ['18446744073709551616'], ['abc'], ['0x'], [null], [1e30]])(
    'refuses %j',
    (value) => {
      expect(() => parseSeed(value)).toThrowError(NestwalkError);
    },
  );
});

describe('addresses', () => {
  it('reads hex, digits, quantities, and what JSON writes for a double above 2^53', () => {
    expect(parseAddress('0x10000000000')).toBe(2 ** 40);
    expect(parseAddress('1GiB')).toBe(2 ** 30);
    expect(parseAddress(JSON.stringify(2 ** 56))).toBe(2 ** 56);
    expect(parseAddress(String(2n ** 56n))).toBe(2 ** 56);
    expect(() => parseAddress(String(2n ** 56n + 1n))).toThrowError('exact');
    expect(() => parseAddress('somewhere')).toThrowError('hex string');
  });
});

describe('did you mean', () => {
  it('forgives a slip and stays silent for another word', () => {
    expect(nearest('acesses', ['accesses', 'seed'])).toBe('accesses');
    expect(nearest('guestpage', ['guestPage', 'nestedPage'])).toBe('guestPage');
    expect(nearest('skylake_sp', ['skylake-sp', 'zen4'])).toBe('skylake-sp');
    expect(nearest('unifrom', ['uniform', 'window'])).toBe('uniform');
    expect(nearest('weather', ['accesses', 'seed'])).toBeUndefined();
    expect(nearest('l6', ['l2', 'l3'])).toBeUndefined();
  });
});
