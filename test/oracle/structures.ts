/** Set-associative structures with every replacement policy, and the caches that hold page-table entries. */

import { type Indexing, type Policy, toBytes, type WholePteCache } from './config.ts';

/** What one set remembers to choose a victim. The set is full whenever `victim` is asked. */
interface Replacement {
  hit(way: number): void;
  fill(way: number): void;
  victim(): number;
}

/** Ways from the least to the most recently used (or, for fifo, filled). */
class Ordered implements Replacement {
  #ways: number[] = [];
  readonly #promotes: boolean;

  constructor(promotes: boolean) {
    this.#promotes = promotes;
  }

  hit(way: number): void {
    if (this.#promotes) this.fill(way);
  }

  fill(way: number): void {
    this.#ways = [...this.#ways.filter((other) => other !== way), way];
  }

  victim(): number {
    return this.#ways[0];
  }
}

/** A binary tree over the way numbers; a node is named by the range of ways under it and points to one half. */
class Tree implements Replacement {
  readonly #ways: number;
  readonly #pointsRight = new Map<string, boolean>();

  constructor(ways: number) {
    this.#ways = ways;
  }

  hit(way: number): void {
    let first = 0;
    for (let span = this.#ways; span > 1; span /= 2) {
      const inRightHalf = way >= first + span / 2;
      this.#pointsRight.set(`${first}+${span}`, !inRightHalf);
      if (inRightHalf) first += span / 2;
    }
  }

  fill(way: number): void {
    this.hit(way);
  }

  victim(): number {
    let first = 0;
    for (let span = this.#ways; span > 1; span /= 2) {
      if (this.#pointsRight.get(`${first}+${span}`)) first += span / 2;
    }
    return first;
  }
}

/** One bit a way: recently used. */
class NotRecentlyUsed implements Replacement {
  readonly #used: boolean[];

  constructor(ways: number) {
    this.#used = new Array(ways).fill(false);
  }

  hit(way: number): void {
    this.#used[way] = true;
  }

  fill(way: number): void {
    this.#used[way] = true;
  }

  victim(): number {
    if (this.#used.every((used) => used)) this.#used.fill(false);
    return this.#used.indexOf(false);
  }
}

/** Two bits a way: the predicted distance of its next use (Jaleel et al., ISCA 2010, SRRIP with hit priority). */
class Srrip implements Replacement {
  readonly #distance: number[];

  constructor(ways: number) {
    this.#distance = new Array(ways).fill(3);
  }

  hit(way: number): void {
    this.#distance[way] = 0;
  }

  fill(way: number): void {
    this.#distance[way] = 2;
  }

  victim(): number {
    while (!this.#distance.includes(3)) {
      for (let way = 0; way < this.#distance.length; way++) this.#distance[way]++;
    }
    return this.#distance.indexOf(3);
  }
}

class RandomWay implements Replacement {
  readonly #choose: () => number;

  constructor(choose: () => number) {
    this.#choose = choose;
  }

  hit(): void {}

  fill(): void {}

  victim(): number {
    return this.#choose();
  }
}

function createReplacement(policy: Policy, ways: number, chooseWay: () => number): Replacement {
  switch (policy) {
    case 'lru':
      return new Ordered(true);
    case 'fifo':
      return new Ordered(false);
    case 'plru':
      if (!Number.isInteger(Math.log2(ways))) throw new Error('oracle: plru needs a power of two of ways');
      return new Tree(ways);
    case 'nru':
      return new NotRecentlyUsed(ways);
    case 'srrip':
      return new Srrip(ways);
    case 'random':
      return new RandomWay(chooseWay);
    default:
      throw new Error(`oracle: there is no replacement policy "${policy}"`);
  }
}

/** An entry of a structure. `owner` (a tag or a vm) and `number` together with `size` are its key. */
export interface Slot<Value> {
  owner: number;
  size: string;
  number: number;
  value: Value;
}

interface OneSet<Value> {
  ways: (Slot<Value> | undefined)[];
  replacement: Replacement;
}

/** The set of a number: its remainder, or with `xor` that, bit by bit against the remainder of what is left of it. */
function pickSet(number: number, sets: number, indexing: Indexing): number {
  if (indexing === 'low') return number % sets;
  return Number(BigInt(number % sets) ^ BigInt(Math.floor(number / sets) % sets));
}

/**
 * A set-associative array: set = number mod sets, or hashed. `find` changes nothing; promoting, filling and dropping are the
 * caller's decisions, so that each sentence of docs/model.md is one line where it is used.
 */
export class Structure<Value> {
  readonly #sets = new Map<number, OneSet<Value>>();
  readonly #setCount: number;
  readonly #ways: number;
  readonly #policy: Policy;
  readonly #chooseWay: () => number;
  readonly #indexing: Indexing;

  constructor(
    entries: number,
    ways: number,
    policy: Policy = 'lru',
    chooseWay: () => number = () => 0,
    indexing: Indexing = 'low',
  ) {
    if (!Number.isInteger(entries / ways)) throw new Error('oracle: entries are not a multiple of ways');
    this.#setCount = entries / ways;
    this.#ways = ways;
    this.#policy = policy;
    this.#chooseWay = chooseWay;
    this.#indexing = indexing;
  }

  find(owner: number, size: string, number: number): Slot<Value> | undefined {
    return this.#setOf(number).ways.find(
      (slot) => slot !== undefined && slot.number === number && slot.owner === owner && slot.size === size,
    );
  }

  promote(slot: Slot<Value>): void {
    const set = this.#setOf(slot.number);
    set.replacement.hit(set.ways.indexOf(slot));
  }

  /** Fills the lowest invalid way, or the victim's. The key must not be there: no step of docs/model.md does that. */
  fill(owner: number, size: string, number: number, value: Value): void {
    if (this.find(owner, size, number)) throw new Error('oracle: filled a key that is there already');
    const set = this.#setOf(number);
    const invalid = set.ways.indexOf(undefined);
    const way = invalid >= 0 ? invalid : set.replacement.victim();
    set.ways[way] = { owner, size, number, value };
    set.replacement.fill(way);
  }

  drop(owner: number, size: string, number: number): void {
    const slot = this.find(owner, size, number);
    if (!slot) return;
    const set = this.#setOf(number);
    set.ways[set.ways.indexOf(slot)] = undefined;
  }

  dropOwner(owner: number): void {
    for (const set of this.#sets.values()) {
      set.ways = set.ways.map((slot) => (slot?.owner === owner ? undefined : slot));
    }
  }

  clear(): void {
    this.#sets.clear();
  }

  #setOf(number: number): OneSet<Value> {
    const index = pickSet(number, this.#setCount, this.#indexing);
    let set = this.#sets.get(index);
    if (!set) {
      const ways = new Array(this.#ways).fill(undefined);
      set = { ways, replacement: createReplacement(this.#policy, this.#ways, this.#chooseWay) };
      this.#sets.set(index, set);
    }
    return set;
  }
}

/** The hierarchy of caches that a reference goes through, from nearest to farthest. */
export class PteCaches {
  readonly #levels: { name: string; line: number; lines: Structure<null> }[];

  constructor(caches: WholePteCache[]) {
    this.#levels = caches.map(({ name, size, ways, line }) => {
      const lineBytes = toBytes(line);
      const entries = toBytes(size) / lineBytes;
      return { name, line: lineBytes, lines: new Structure<null>(entries, ways === 'full' ? entries : ways) };
    });
  }

  /** Sends a host physical address through; returns the name of the level that served it, or `memory`. */
  serve(hpa: number): string {
    const missed: (() => void)[] = [];
    let servedBy = 'memory';
    for (const { name, line, lines } of this.#levels) {
      const number = Math.floor(hpa / line);
      const slot = lines.find(0, 'line', number);
      if (slot) {
        lines.promote(slot);
        servedBy = name;
        break;
      }
      missed.push(() => lines.fill(0, 'line', number, null));
    }
    for (const fillNearer of missed) fillNearer();
    return servedBy;
  }
}
