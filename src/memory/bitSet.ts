/** A set of small integers that finds its lowest member in a few steps, whatever its size. */

/** Bits of a word. */
const WORD_BITS = 32;
const ALL_BITS = 0xffffffff;

/**
 * A set of integers below a bound, as a tree of bit words: a bit of each level above the lowest says whether the word
 * below it has any. All operations take as many steps as the tree has levels, 2^30 members six.
 */
export class BitSet {
  /** Lowest level first; the highest has one word. */
  readonly #levels: Uint32Array[] = [];

  /** @param bound members are below it */
  constructor(bound: number) {
    let words = Math.max(1, Math.ceil(bound / WORD_BITS));
    this.#levels.push(new Uint32Array(words));
    while (words > 1) {
      words = Math.ceil(words / WORD_BITS);
      this.#levels.push(new Uint32Array(words));
    }
  }

  /** Whether `member` is in the set. */
  has(member: number): boolean {
    return (this.#levels[0][member >>> 5] & (1 << (member & 31))) !== 0;
  }

  /** Puts a member in. */
  add(member: number): void {
    this.#raise(0, member);
  }

  /** Takes a member out. */
  delete(member: number): void {
    const words = this.#levels[0];
    const at = member >>> 5;
    words[at] &= ~(1 << (member & 31));
    if (words[at] === 0) this.#lower(1, at);
  }

  /** Puts consecutive members in; both ends are multiples of 32. */
  addWords(first: number, end: number): void {
    const words = this.#levels[0];
    for (let at = first >>> 5; at < end >>> 5; at++) {
      words[at] = ALL_BITS;
      this.#raise(1, at);
    }
  }

  /** Takes consecutive members out; both ends are multiples of 32. */
  deleteWords(first: number, end: number): void {
    const words = this.#levels[0];
    for (let at = first >>> 5; at < end >>> 5; at++) {
      words[at] = 0;
      this.#lower(1, at);
    }
  }

  /** The lowest member, or -1. */
  lowest(): number {
    const levels = this.#levels;
    let at = 0;
    for (let level = levels.length - 1; level >= 0; level--) {
      const word = levels[level][at];
      if (word === 0) return -1;
      at = at * WORD_BITS + (31 - Math.clz32(word & -word));
    }
    return at;
  }

  /** Sets a bit of a level, and those above that say so. */
  #raise(level: number, bit: number): void {
    for (let k = level, at = bit; k < this.#levels.length; k++, at >>>= 5) {
      const words = this.#levels[k];
      const before = words[at >>> 5];
      words[at >>> 5] = before | (1 << (at & 31));
      if (before !== 0) return;
    }
  }

  /** Clears a bit of a level, and those above whose words are empty then. */
  #lower(level: number, bit: number): void {
    for (let k = level, at = bit; k < this.#levels.length; k++, at >>>= 5) {
      const words = this.#levels[k];
      words[at >>> 5] &= ~(1 << (at & 31));
      if (words[at >>> 5] !== 0) return;
    }
  }
}
