/**
 * Optional observers of a run: distinct entries behind each position of the reference matrix (`unique`, Bhargava et
 * al., Figure 3) and exact LRU stack distances of pages (`reuse`, Mattson et al., 1970).
 */
import { POSITIONS } from '../schema.ts';

/** Distinct entries, by host physical address / 8, behind `refs` at each position; faulted walks excluded. */
export class UniqueEntries {
  readonly words: readonly Set<number>[] = Array.from({ length: POSITIONS }, () => new Set<number>());

  /** Takes the references of one completed walk. */
  record(positions: Uint8Array, words: Float64Array, length: number): void {
    for (let i = 0; i < length; i++) this.words[positions[i]!]!.add(words[i]!);
  }

  /** Distinct entries by position. */
  counts(): Float64Array {
    return Float64Array.from(this.words, (set) => set.size);
  }
}

/** Smallest capacity of the time line; it grows with the number of distinct pages. */
const MIN_CAPACITY = 1024;

/**
 * Stack distances: for each access, the number of other pages of its tag touched since the last access to its own.
 * A Fenwick tree over a time line that holds a mark at each page's last access; the line is renumbered when full.
 */
class DistanceStack {
  private readonly lastTimes = new Map<number, number>();
  private tree = new Float64Array(MIN_CAPACITY + 1);
  private now = 0;

  /** The distance of an access to a page, or -1 for the first one; then marks the page as the newest. */
  access(page: number): number {
    if (this.now === this.tree.length - 1) this.renumber();
    const last = this.lastTimes.get(page);
    let distance = -1;
    if (last !== undefined) {
      distance = this.lastTimes.size - this.marksUpTo(last);
      this.add(last, -1);
    }
    // Deleted first, so that the map's own order is the order of last access, which renumbering relies on.
    this.lastTimes.delete(page);
    this.lastTimes.set(page, ++this.now);
    this.add(this.now, 1);
    return distance;
  }

  private add(time: number, by: number): void {
    for (let t = time; t < this.tree.length; t += t & -t) this.tree[t]! += by;
  }

  private marksUpTo(time: number): number {
    let sum = 0;
    for (let t = time; t > 0; t -= t & -t) sum += this.tree[t]!;
    return sum;
  }

  private renumber(): void {
    const capacity = Math.max(MIN_CAPACITY, 2 * this.lastTimes.size);
    this.tree = new Float64Array(capacity + 1);
    this.now = 0;
    for (const page of this.lastTimes.keys()) this.lastTimes.set(page, ++this.now);
    for (let t = 1; t <= capacity; t++) {
      this.tree[t]! += t <= this.now ? 1 : 0;
      const parent = t + (t & -t);
      if (parent <= capacity) this.tree[parent]! += this.tree[t]!;
    }
  }
}

/** Reuse distances of all tags: how many accesses had each distance, and how many were first touches. */
export class ReuseDistances {
  cold = 0;
  readonly distances = new Map<number, number>();
  private readonly stacks = new Map<number, DistanceStack>();

  /** Takes one completed access. */
  record(page: number, tag: number): void {
    let stack = this.stacks.get(tag);
    if (!stack) {
      stack = new DistanceStack();
      this.stacks.set(tag, stack);
    }
    const distance = stack.access(page);
    if (distance < 0) this.cold++;
    else this.distances.set(distance, (this.distances.get(distance) ?? 0) + 1);
  }

  /** Accesses `count` more to the page that was accessed last: distance 0 each. */
  recordRepeats(count: number): void {
    if (count > 0) this.distances.set(0, (this.distances.get(0) ?? 0) + count);
  }

  /** Pairs (distance, count), ascending, after the number of cold accesses. */
  flat(): Float64Array {
    const pairs = [...this.distances].sort((a, b) => a[0] - b[0]);
    return Float64Array.from([this.cold, ...pairs.flat()]);
  }
}
