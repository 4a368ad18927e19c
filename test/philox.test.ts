/** Philox, numbers below n, and the permutation of pages, in TypeScript (the C++ twin: access.test.ts). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below, Permutation, permute, philox, philoxPair, philoxWord0 } from '../src/hardware/philox.ts';
import { PURPOSES } from '../src/schema.ts';

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
/** Numbers to draw below: small ones, those around 2^21, where the product of a word stops being exact, and large ones. */
const factor = fc.oneof(
  fc.integer({ min: 1, max: 2 ** 22 }),
  fc.integer({ min: 1, max: 2 ** 32 }),
  fc.constantFrom(2 ** 21 - 1, 2 ** 21, 2 ** 21 + 1, 2 ** 32),
);

function draw(counter: number[], key: number[]): number[] {
  const out = new Uint32Array(6);
  const [c0, c1, c2, c3] = counter;
  philox(c0, c1, c2, c3, key[0], key[1], out, 1);
  expect(out[0]).toBe(0);
  expect(out[5]).toBe(0);
  return [...out.subarray(1, 5)];
}

describe('philox', () => {
  // Known-answer vectors that are published with Random123 (Salmon et al., SC 2011), `philox4x32 10`.
  it.each([
    {
      counter: [0, 0, 0, 0],
      key: [0, 0],
      words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])('gives the published words for counter $counter', ({ counter, key, words }) => {
    expect(draw(counter, key)).toEqual(words);
  });

  it('takes words signed or unsigned, and gives the first alone', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 6, maxLength: 6 }), ([c0, c1, c2, c3, k0, k1]) => {
        const words = draw([c0, c1, c2, c3], [k0, k1]);
        expect(draw([c0 | 0, c1 | 0, c2 | 0, c3 | 0], [k0 | 0, k1 | 0])).toEqual(words);
        expect(philoxWord0(c0, c1, c2, c3, k0, k1)).toBe(words[0]);
      }),
    );
  });
});

describe('a pair', () => {
  it('is two draws of one stream, side by side', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), ([a0, a1, b0, b1, c2, c3, k0, k1]) => {
        const out = new Uint32Array(10);
        philoxPair(a0, a1, b0 | 0, b1 | 0, c2, c3, k0, k1, out, 1);
        const words = [...draw([a0, a1, c2, c3], [k0, k1]), ...draw([b0, b1, c2, c3], [k0, k1])];
        expect([...out]).toEqual([0, ...words, 0]);
      }),
    );
  });
});

describe('below', () => {
  it('is the high half of the 64-bit product, up to n = 2^32', () => {
    fc.assert(
      fc.property(word, factor, (w, n) => {
        expect(below(w, n)).toBe(Number((BigInt(w) * BigInt(n)) >> 32n));
        expect(below(w | 0, n)).toBe(below(w, n));
      }),
    );
  });
});

describe('permute', () => {
  const key = [PURPOSES.chase, 7, 0x12345678, 0x9abcdef0] as const;

  it.each([1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4096, 5000])(
    'is a permutation of %i numbers',
    (n) => {
      const images = Array.from({ length: n }, (_, x) => permute(x, n, ...key));
      expect(images.toSorted((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, x) => x));
    },
  );

  it('is another permutation for another purpose, stream or seed', () => {
    const images = (purpose: number, stream: number, low: number, high: number) =>
      Array.from({ length: 1000 }, (_, x) => permute(x, 1000, purpose, stream, low, high)).join();
    const [purpose, stream, low, high] = key;
    const all = [
      images(purpose, stream, low, high),
      images(purpose - 1, stream, low, high),
      images(purpose, stream + 1, low, high),
      images(purpose, stream, low ^ 1, high),
      images(purpose, stream, low, high ^ 1),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('stays below n and never meets itself above 2^32 either', () => {
    const n = 2 ** 33 + 12345;
    const images = Array.from({ length: 200 }, (_, x) => permute(n - 1 - x, n, ...key));
    expect(images.every((image) => Number.isInteger(image) && image >= 0 && image < n)).toBe(true);
    expect(new Set(images).size).toBe(200);
  });

  it('is what a tabulated permutation gives, at every width', () => {
    const numbers = fc.oneof(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 2 ** 32 }),
      fc.constantFrom(2 ** 32, 2 ** 32 + 1, 2 ** 40 - 3),
    );
    const cases = numbers.chain((n) =>
      fc.record({ n: fc.constant(n), x: fc.maxSafeNat().map((x) => x % n) }),
    );
    fc.assert(
      fc.property(cases, word, word, ({ n, x }, low, high) => {
        const tabulated = new Permutation(n, PURPOSES.rankPermutation, 3, low, high);
        expect(tabulated.at(x)).toBe(permute(x, n, PURPOSES.rankPermutation, 3, low, high));
      }),
      { numRuns: 60 },
    );
  });
});
