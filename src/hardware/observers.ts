/**
 * Optional observers of a run: distinct entries behind each position of the reference matrix (`unique`, Bhargava et
 * al., Figure 3) and exact LRU stack distances of pages (`reuse`, Mattson et al., 1970).
 */
import { POSITIONS } from '../schema.ts';

/** Shards of a large set or map. One of JavaScript's own ends at 2^24 members, and a run may touch more pages. */
const SHARDS = 64;
const SHARD_SHIFT = 26;

/** The shard of a safe integer: the top bits of a multiplicative hash, since the members may all have equal low bits. */
const shardOf = (member: number): number =>
  Math.imul((member | 0) ^ (member / 2 ** 32), 0x9e3779b1) >>> SHARD_SHIFT;

/** A map from safe integers to numbers, of any size. */
class LargeMap {
  private readonly shards: readonly Map<number, number>[] = Array.from({ length: SHARDS }, () => new Map());

  get(key: number): number | undefined {
    return this.shards[shardOf(key)]!.get(key);
  }

  set(key: number, value: number): void {
    this.shards[shardOf(key)]!.set(key, value);
  }

  /** All pairs, in no order that means anything. */
  *[Symbol.iterator](): Generator<[number, number], void, undefined> {
    for (const shard of this.shards) yield* shard;
  }
}

/** A set of safe integers, of any size. */
class LargeSet {
  /** A shard is made when it gets its first member: most positions of the matrix stay empty. */
  private readonly shards: (Set<number> | undefined)[] = Array.from({ length: SHARDS });

  get size(): number {
    return this.shards.reduce((sum, shard) => sum + (shard?.size ?? 0), 0);
  }

  add(member: number): void {
    const shard = shardOf(member);
    const members = this.shards[shard];
    if (members) members.add(member);
    else this.shards[shard] = new Set([member]);
  }
}

/** Distinct entries, by host physical address / 8, behind `refs` at each position; faulted walks excluded. */
export class UniqueEntries {
  private readonly words: readonly LargeSet[] = Array.from({ length: POSITIONS }, () => new LargeSet());

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
/** Stands at a time when no page was accessed last. */
const NO_PAGE = -1;

/**
 * Stack distances: for each access, the number of other pages of its tag touched since the last access to its own.
 * A Fenwick tree over a time line that holds a mark at each page's last access; the line is renumbered when full.
 */
class DistanceStack {
  private readonly lastTimes = new LargeMap();
  /** Members of `lastTimes`. */
  private pages = 0;
  private tree = new Float64Array(MIN_CAPACITY + 1);
  private now = 0;

  /** The distance of an access to a page, or -1 for the first one; then marks the page as the newest. */
  access(page: number): number {
    if (this.now === this.tree.length - 1) this.renumber();
    const last = this.lastTimes.get(page);
    let distance = -1;
    if (last !== undefined) {
      distance = this.pages - this.marksUpTo(last);
      this.add(last, -1);
    } else {
      this.pages++;
    }
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

  /** Gives the pages the times 1, 2, … in the order of their last access, on a line twice as long as they are many. */
  private renumber(): void {
    const pageAt = new Float64Array(this.now + 1).fill(NO_PAGE);
    for (const [page, time] of this.lastTimes) pageAt[time] = page;
    const capacity = Math.max(MIN_CAPACITY, 2 * this.pages);
    this.tree = new Float64Array(capacity + 1);
    this.now = 0;
    for (const page of pageAt) if (page !== NO_PAGE) this.lastTimes.set(page, ++this.now);
    for (let t = 1; t <= capacity; t++) {
      this.tree[t]! += t <= this.now ? 1 : 0;
      const parent = t + (t & -t);
      if (parent <= capacity) this.tree[parent]! += this.tree[t]!;
    }
  }
}

/** Reuse distances of all tags: how many accesses had each distance, and how many were first touches. */
export class ReuseDistances {
  private cold = 0;
  private readonly distances = new LargeMap();
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
    const distances = Float64Array.from(this.distances, ([distance]) => distance).sort();
    const flat = new Float64Array(1 + 2 * distances.length);
    flat[0] = this.cold;
    distances.forEach((distance, i) => {
      flat[1 + 2 * i] = distance;
      flat[2 + 2 * i] = this.distances.get(distance)!;
    });
    return flat;
  }
}
