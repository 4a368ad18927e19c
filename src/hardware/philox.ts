/**
 * Random numbers as a pure function of a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011), and what is drawn from its words. Twin of `native/hardware/philox.h`.
 */

/** Rounds of Philox4x32-10. */
const ROUNDS = 10;
/** Multipliers, whole and as 16-bit halves. */
const MULTIPLIER_0 = 0xd2511f53 | 0;
const MULTIPLIER_1 = 0xcd9e8d57 | 0;
const MULTIPLIER_0_LOW = 0x1f53;
const MULTIPLIER_0_HIGH = 0xd251;
const MULTIPLIER_1_LOW = 0x8d57;
const MULTIPLIER_1_HIGH = 0xcd9e;
/** Weyl constants: what each round adds to the two words of the key. */
const WEYL_0 = 0x9e3779b9 | 0;
const WEYL_1 = 0xbb67ae85 | 0;

const TWO_32 = 2 ** 32;

/** Upper half of the 64-bit product of `a` and a multiplier given in 16-bit halves, as an int32. */
function multiplyHigh(a: number, low: number, high: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const middle = (Math.imul(aHigh, low) + (Math.imul(aLow, low) >>> 16)) | 0;
  const carry = (Math.imul(aLow, high) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, high) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/**
 * The four words of Philox4x32-10 at a counter (`c0` to `c3`) under a key (`k0`, `k1`), all 32-bit words (signed or
 * not), written to `out[at]` to `out[at + 3]`. Allocates nothing.
 */
export function philox(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
  at = 0,
): void {
  let word0 = c0 | 0;
  let word1 = c1 | 0;
  let word2 = c2 | 0;
  let word3 = c3 | 0;
  let key0 = k0 | 0;
  let key1 = k1 | 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(word0, MULTIPLIER_0_LOW, MULTIPLIER_0_HIGH);
    const low0 = Math.imul(word0, MULTIPLIER_0);
    const high1 = multiplyHigh(word2, MULTIPLIER_1_LOW, MULTIPLIER_1_HIGH);
    const low1 = Math.imul(word2, MULTIPLIER_1);
    word0 = high1 ^ word1 ^ key0;
    word1 = low1;
    word2 = high0 ^ word3 ^ key1;
    word3 = low0;
    key0 = (key0 + WEYL_0) | 0;
    key1 = (key1 + WEYL_1) | 0;
  }
  out[at] = word0;
  out[at + 1] = word1;
  out[at + 2] = word2;
  out[at + 3] = word3;
}

/**
 * {@link philox} at two counters that differ in their first two words (`a0`, `a1` and `b0`, `b1`), written to `out[at]` to
 * `out[at + 7]`. The two do not wait for each other's products: together they take little longer than one.
 */
export function philoxPair(
  a0: number,
  a1: number,
  b0: number,
  b1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
  at: number,
): void {
  let word0 = a0 | 0;
  let word1 = a1 | 0;
  let word2 = c2 | 0;
  let word3 = c3 | 0;
  let other0 = b0 | 0;
  let other1 = b1 | 0;
  let other2 = c2 | 0;
  let other3 = c3 | 0;
  let key0 = k0 | 0;
  let key1 = k1 | 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(word0, MULTIPLIER_0_LOW, MULTIPLIER_0_HIGH);
    const low0 = Math.imul(word0, MULTIPLIER_0);
    const high1 = multiplyHigh(word2, MULTIPLIER_1_LOW, MULTIPLIER_1_HIGH);
    const low1 = Math.imul(word2, MULTIPLIER_1);
    word0 = high1 ^ word1 ^ key0;
    word1 = low1;
    word2 = high0 ^ word3 ^ key1;
    word3 = low0;
    const otherHigh0 = multiplyHigh(other0, MULTIPLIER_0_LOW, MULTIPLIER_0_HIGH);
    const otherLow0 = Math.imul(other0, MULTIPLIER_0);
    const otherHigh1 = multiplyHigh(other2, MULTIPLIER_1_LOW, MULTIPLIER_1_HIGH);
    const otherLow1 = Math.imul(other2, MULTIPLIER_1);
    other0 = otherHigh1 ^ other1 ^ key0;
    other1 = otherLow1;
    other2 = otherHigh0 ^ other3 ^ key1;
    other3 = otherLow0;
    key0 = (key0 + WEYL_0) | 0;
    key1 = (key1 + WEYL_1) | 0;
  }
  out[at] = word0;
  out[at + 1] = word1;
  out[at + 2] = word2;
  out[at + 3] = word3;
  out[at + 4] = other0;
  out[at + 5] = other1;
  out[at + 6] = other2;
  out[at + 7] = other3;
}

/** Largest n whose product with a word is an exact double. */
const EXACT_FACTOR = 2 ** 21;

/**
 * A number from 0 to n - 1 out of a 32-bit word: the high half of the 64-bit product of `word` and `n`. Exact for
 * every `n` up to 2^32.
 */
export function below(word: number, n: number): number {
  if (n <= EXACT_FACTOR) return Math.floor(((word >>> 0) * n) / TWO_32);
  // The word is split in 16-bit halves: both products stay below 2^49, where doubles are exact.
  return Math.floor(((word >>> 16) * n + Math.floor(((word & 0xffff) * n) / 65536)) / 65536);
}

/** Words of a single draw. */
const drawn = new Uint32Array(4);

/** The first word alone of {@link philox}, from 0 to 2^32 - 1. */
export function philoxWord0(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): number {
  philox(c0, c1, c2, c3, k0, k1, drawn);
  return drawn[0];
}

/** Rounds of the Feistel network. */
const FEISTEL_ROUNDS = 4;
/** Widest half whose round function is tabulated; a table then has at most 2^18 numbers. */
const TABULATED_BITS = 16;

/** Half the bits of the Feistel network over [0, n): the smallest even number ≥ 2 whose power of two holds n, halved. */
function halfBits(n: number): number {
  const last = n - 1;
  const bits = last < TWO_32 ? 32 - Math.clz32(last) : 64 - Math.clz32(Math.floor(last / TWO_32));
  return Math.max(1, Math.ceil(bits / 2));
}

/**
 * The image of `x` under the permutation π of [0, n): a Feistel network of four rounds keyed by Philox, with cycle
 * walking where 2^b exceeds `n` (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
 * `n` ≤ 2^52; `purpose` is one of `PURPOSES` of the schema, `stream` the number of the component or region.
 */
export function permute(
  x: number,
  n: number,
  purpose: number,
  stream: number,
  seedLow: number,
  seedHigh: number,
): number {
  const radix = 2 ** halfBits(n);
  const mask = radix - 1;
  let value = x;
  do {
    let left = Math.floor(value / radix);
    let right = value % radix;
    for (let round = 0; round < FEISTEL_ROUNDS; round++) {
      const next = left ^ (philoxWord0(right, round, stream, purpose, seedLow, seedHigh) & mask);
      left = right;
      right = next;
    }
    value = left * radix + right;
  } while (value >= n);
  return value;
}

/**
 * {@link permute} with everything but `x` fixed. The round function depends on the round and the right half alone, so
 * it is tabulated: a few thousand draws serve millions of images. Above 2^32 numbers it is drawn each time.
 */
export class Permutation {
  readonly #n: number;
  readonly #purpose: number;
  readonly #stream: number;
  readonly #seedLow: number;
  readonly #seedHigh: number;
  readonly #half: number;
  /** Round function by round, then by right half; empty when it is not tabulated. */
  readonly #rounds: Uint16Array;

  constructor(n: number, purpose: number, stream: number, seedLow: number, seedHigh: number) {
    this.#n = n;
    this.#purpose = purpose;
    this.#stream = stream;
    this.#seedLow = seedLow;
    this.#seedHigh = seedHigh;
    this.#half = halfBits(n);
    const radix = 2 ** this.#half;
    this.#rounds = new Uint16Array(this.#half <= TABULATED_BITS ? FEISTEL_ROUNDS * radix : 0);
    for (let at = 0; at < this.#rounds.length; at++) {
      const round = Math.floor(at / radix);
      this.#rounds[at] = philoxWord0(at % radix, round, stream, purpose, seedLow, seedHigh) & (radix - 1);
    }
  }

  /** π(x). */
  at(x: number): number {
    const rounds = this.#rounds;
    if (rounds.length === 0) {
      return permute(x, this.#n, this.#purpose, this.#stream, this.#seedLow, this.#seedHigh);
    }
    const half = this.#half;
    const radix = 1 << half;
    let value = x;
    do {
      // Both halves have at most 16 bits: 32-bit integers hold every step.
      let left = value >>> half;
      let right = value & (radix - 1);
      for (let base = 0; base < rounds.length; base += radix) {
        const next = left ^ rounds[base + right];
        left = right;
        right = next;
      }
      value = ((left << half) | right) >>> 0;
    } while (value >= this.#n);
    return value;
  }
}
