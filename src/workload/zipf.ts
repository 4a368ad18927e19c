/**
 * The Zipf table: an alias table (Walker 1977, in the queue form of Vose 1991) over ranks with weight 1 / (r+1)^θ.
 * It uses only + − × ÷ and sqrt of IEEE doubles, which every machine rounds alike, so the table is the same everywhere.
 */
import { createHash } from 'node:crypto';
import { NestwalkError } from '../errors.ts';

/** Most pages of a Zipf region: 1 TiB; the table takes 8 bytes a page, and 12 more while it is built. */
export const ZIPF_MAX_PAGES = 2 ** 28;

const TWO_32 = 2 ** 32;
const TWO_24 = 2 ** 24;
/** Ranks whose powers are computed side by side, so that the square roots of a chain overlap with those of others. */
const BLOCK = 1024;
/** Table entries handed to the hash at a time. */
const DIGEST_CHUNK = 1 << 16;

/** θ in units of 2^-24, as the table uses it: two θ with the same number of units have the same table. */
export const zipfExponentUnits = (theta: number): number => Math.floor(theta * TWO_24 + 0.5);

/** Weights 1 / (r+1)^(units / 2^24), by whole powers and then square roots for the bits of the fraction. */
function zipfWeights(pages: number, units: number): Float64Array {
  const weights = new Float64Array(pages);
  const powers = new Float64Array(BLOCK);
  const roots = new Float64Array(BLOCK);
  const whole = Math.floor(units / TWO_24);
  const fraction = units % TWO_24;
  for (let first = 0; first < pages; first += BLOCK) {
    const count = Math.min(BLOCK, pages - first);
    for (let k = 0; k < count; k++) {
      const x = first + k + 1;
      let power = 1;
      for (let factor = 0; factor < whole; factor++) power *= x;
      powers[k] = power;
      roots[k] = x;
    }
    // Below the lowest bit that is set, the square roots would be taken for nothing.
    for (let bit = 23; bit >= 0 && (fraction & ((2 << bit) - 1)) !== 0; bit--) {
      if ((fraction >>> bit) & 1) {
        for (let k = 0; k < count; k++) {
          roots[k] = Math.sqrt(roots[k]);
          powers[k] *= roots[k];
        }
      } else {
        for (let k = 0; k < count; k++) roots[k] = Math.sqrt(roots[k]);
      }
    }
    for (let k = 0; k < count; k++) weights[first + k] = 1 / powers[k];
  }
  return weights;
}

/** Turns weights into masses in place: `(w * pages) / total`, the total summed from the first on. */
function toMasses(weights: Float64Array): void {
  const pages = weights.length;
  let total = 0;
  for (let r = 0; r < pages; r++) total += weights[r];
  for (let r = 0; r < pages; r++) weights[r] = (weights[r] * pages) / total;
}

/**
 * The table over `pages` ranks with exponent `theta` ≥ 0, in shared memory: entry r is the pair threshold
 * (`table[2r]`) and alias (`table[2r + 1]`). A draw j with second word w has rank `w < threshold ? j : alias`.
 * Throws `memory.limit` above {@link ZIPF_MAX_PAGES}.
 */
export function zipfTable(pages: number, theta: number): Uint32Array {
  if (pages > ZIPF_MAX_PAGES) {
    throw new NestwalkError(
      'memory.limit',
      `a zipf pattern over ${pages} pages needs a table of ${pages * 8} bytes; at most ${ZIPF_MAX_PAGES} pages ` +
        '(a region of 1 TiB) are allowed. Use a smaller region',
    );
  }
  const mass = zipfWeights(pages, zipfExponentUnits(theta));
  toMasses(mass);
  const table = new Uint32Array(new SharedArrayBuffer(pages * 8));
  // Every rank enters the small queue once at the most: at the start, or when it leaves the large one.
  const small = new Uint32Array(pages);
  let head = 0;
  let tail = 0;
  for (let r = 0; r < pages; r++) {
    table[2 * r] = TWO_32 - 1;
    table[2 * r + 1] = r;
    if (mass[r] < 1) small[tail++] = r;
  }
  // The large queue is never appended to: it is the ranks from `large` on whose mass is at least 1.
  let large = 0;
  while (large < pages && mass[large] < 1) large++;
  while (head < tail && large < pages) {
    const j = small[head++];
    table[2 * j] = Math.floor(mass[j] * TWO_32);
    table[2 * j + 1] = large;
    mass[large] = mass[large] + mass[j] - 1;
    if (mass[large] < 1) {
      small[tail++] = large;
      while (large < pages && mass[large] < 1) large++;
    }
  }
  return table;
}

/** SHA-256 (hex) over all thresholds, then all aliases of a table, ascending, 4 bytes little-endian each. */
export function zipfDigest(table: Uint32Array): string {
  const hash = createHash('sha256');
  const pages = table.length / 2;
  const bytes = Buffer.alloc(DIGEST_CHUNK * 4);
  for (let column = 0; column < 2; column++) {
    for (let first = 0; first < pages; first += DIGEST_CHUNK) {
      const count = Math.min(DIGEST_CHUNK, pages - first);
      for (let k = 0; k < count; k++) bytes.writeUInt32LE(table[2 * (first + k) + column], k * 4);
      hash.update(bytes.subarray(0, count * 4));
    }
  }
  return hash.digest('hex');
}
