/**
 * x86-64 page-table entries as two unsigned 32-bit halves (Intel SDM vol. 3A 4.5; AMD's nested tables alike). Halves
 * rather than a `BigInt`: an entry costs about a nanosecond this way.
 */
import { ENTRY } from '../schema.ts';

/** 2^20: a frame number is `high part * FRAME_SPLIT + low part`. */
const FRAME_SPLIT = 2 ** 20;
/** Mask of the part of the frame (bits 32 to 51 of an entry) that lies in the high half. */
const HIGH_FRAME_MASK = 0xfffff;

/** Exclusive upper bound of a frame number: bits 12 to 51 of an entry, 40 bits. */
export const FRAME_BOUND = 2 ** 40;

/**
 * Low half of an entry.
 * @param frame frame number, a safe integer below {@link FRAME_BOUND}
 * @param flags bits 0 to 11 of the entry, of `ENTRY`
 */
export const entryLow = (frame: number, flags: number): number => ((frame << 12) | flags) >>> 0;

/** High half of an entry: frame bits 20 to 39. */
export const entryHigh = (frame: number): number => Math.floor(frame / FRAME_SPLIT) & HIGH_FRAME_MASK;

/** Frame number in an entry (bits 12 to 51). */
export const entryFrame = (low: number, high: number): number =>
  (high & HIGH_FRAME_MASK) * FRAME_SPLIT + (low >>> 12);

/** Whether an entry is present. */
export const entryPresent = (low: number): boolean => (low & ENTRY.present) !== 0;

/** Whether a present entry at `level` ends the walk: every one at level 1 (bit 7 is ignored there), above it those with PS. */
export const entryLeaf = (low: number, level: number): boolean => level === 1 || (low & ENTRY.pageSize) !== 0;

/** Flags (bits 0 to 11) of an entry. */
export const entryFlags = (low: number): number => low & 0xfff;

/**
 * The flags that software writes: present, writable, user, and accessed and dirty as `paging.ad` says. D is written in
 * leaves only, PS in leaves above level 1.
 * @param ad `set` or `clear`
 */
export function tableFlags(ad: 'set' | 'clear'): number {
  return ENTRY.present | ENTRY.writable | ENTRY.user | (ad === 'set' ? ENTRY.accessed : 0);
}

/** Flags of a leaf of page-size index `sizeIndex`; as {@link tableFlags}, with D and PS. */
export function leafFlags(ad: 'set' | 'clear', sizeIndex: number): number {
  return tableFlags(ad) | (ad === 'set' ? ENTRY.dirty : 0) | (sizeIndex > 0 ? ENTRY.pageSize : 0);
}

/** An entry as text, for messages: `0x0000000000001067`. */
export const entryText = (low: number, high: number): string =>
  `0x${(high >>> 0).toString(16).padStart(8, '0')}${(low >>> 0).toString(16).padStart(8, '0')}`;
