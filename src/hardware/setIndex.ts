/**
 * How a TLB array picks the set of a page. With S = 2^s sets:
 *
 * - `low`: the low s bits of the page's number at its size.
 * - `xor`: these XOR the next s bits. With 128 sets this is the STLB of Skylake as measured ("XOR-7": Gras et al.,
 *   USENIX Security 2018; Tatar et al., USENIX Security 2022). Bits above 2s pick nothing.
 *
 * Either way the set follows from the number alone, and as many numbers map to each set.
 */
import { INDEXINGS } from '../schema.ts';

const XOR = INDEXINGS.indexOf('xor');

/** Whether an indexing (an index into `INDEXINGS`) takes more than the low bits. */
export const isFolded = (indexing: number): boolean => indexing === XOR;

/**
 * The set of a number under `xor`. Bit operations take the low 32 bits of a safe integer, and the quotient by a power
 * of two has an exact integer part.
 */
export const foldedSet = (number: number, sets: number): number =>
  (number ^ Math.floor(number / sets)) & (sets - 1);
