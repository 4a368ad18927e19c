/**
 * The data caches as the walker sees them: a list from nearest to farthest, physically addressed, LRU. A miss fills
 * every nearer level; nothing is invalidated backwards.
 */
import { CACHE_SLOTS, MACHINE } from '../schema.ts';
import { SetAssoc } from './setAssoc.ts';

/** The PTE caches of a machine. Level `count` is memory. */
export class PteCaches {
  readonly caches: SetAssoc[] = [];
  /** What a word number is multiplied by, and then rounded down, for its line. */
  private readonly scales: number[] = [];

  constructor(block: Int32Array) {
    for (let i = 0; i < block[MACHINE.cacheCount]!; i++) {
      const [sets, ways, line] = block.subarray(
        MACHINE.caches + i * CACHE_SLOTS,
        MACHINE.caches + (i + 1) * CACHE_SLOTS,
      );
      this.caches.push(SetAssoc.lru(sets!, ways!));
      this.scales.push(8 / line!);
    }
  }

  /** The level that serves a word (HPA / 8, which need not be whole): 0 is the nearest, `caches.length` memory. */
  access(word: number): number {
    const caches = this.caches;
    for (let level = 0; level < caches.length; level++) {
      const cache = caches[level]!;
      const line = Math.floor(word * this.scales[level]!);
      const set = cache.setOf(line);
      const slot = cache.find(set, line, 0);
      if (slot >= 0) {
        cache.promote(slot);
        return level;
      }
      cache.fill(set, line, 0, 0);
    }
    return caches.length;
  }
}
