/**
 * Replacement: which way of a full set goes, and what a hit or a fill does to the set's state.
 *
 * Policies: `lru`, `fifo` (an order of the contents), `plru` (a binary tree over the way numbers, each node pointing at
 * the victim's side), `nru` (one bit a way), `srrip` (two bits a way; Jaleel et al., ISCA 2010), `random` (Philox, so
 * that a victim is a function of seed, array and index in the stream).
 */
import { PURPOSES, REPLACEMENTS } from '../schema.ts';
import { below, philoxWord0 } from './philox.ts';

const LRU = REPLACEMENTS.indexOf('lru');
const FIFO = REPLACEMENTS.indexOf('fifo');
const PLRU = REPLACEMENTS.indexOf('plru');
const NRU = REPLACEMENTS.indexOf('nru');
const SRRIP = REPLACEMENTS.indexOf('srrip');

/** Value that srrip gives a filled way. */
const SRRIP_FILL = 2;
/** Value at which srrip evicts a way. */
const SRRIP_VICTIM = 3;

/** Whether a policy keeps contents in an order ({@link ContentOrder}), so that way numbers cannot be seen. */
export const isOrdered = (policy: number): boolean => policy === LRU || policy === FIFO;

/**
 * lru, fifo: the slots of each set in the order of their last hit or fill (fifo: fill). Each set is a ring, newest to
 * oldest and round to the newest: a fill over the oldest only turns the ring by one place. Dropped slots are the oldest,
 * so that they are filled first.
 */
export class ContentOrder {
  /** The newest slot of each set. */
  private readonly newest: Int32Array;
  private readonly setOf: Int32Array;
  private readonly older: Int32Array;
  private readonly newer: Int32Array;
  private readonly promotes: boolean;

  constructor(policy: number, sets: number, ways: number) {
    this.promotes = policy === LRU;
    this.newest = new Int32Array(sets);
    this.setOf = new Int32Array(sets * ways);
    this.older = new Int32Array(sets * ways);
    this.newer = new Int32Array(sets * ways);
    for (let set = 0; set < sets; set++) {
      const first = set * ways;
      this.newest[set] = first;
      for (let way = 0; way < ways; way++) {
        this.setOf[first + way] = set;
        this.older[first + way] = first + ((way + 1) % ways);
        this.newer[first + way] = first + ((way + ways - 1) % ways);
      }
    }
  }

  /** A hit on a slot. */
  hit(slot: number): void {
    if (this.promotes) this.toFront(slot);
  }

  /** The oldest slot, which is the newest from now on. */
  turn(set: number): number {
    const oldest = this.newer[this.newest[set]!]!;
    this.newest[set] = oldest;
    return oldest;
  }

  /** A dropped slot becomes the oldest. */
  drop(slot: number): void {
    this.toFront(slot);
    this.newest[this.setOf[slot]!] = this.older[slot]!;
  }

  private toFront(slot: number): void {
    const { older, newer } = this;
    const set = this.setOf[slot]!;
    const first = this.newest[set]!;
    if (slot === first) return;
    const before = newer[slot]!;
    const after = older[slot]!;
    older[before] = after;
    newer[after] = before;
    const last = newer[first]!;
    older[last] = slot;
    newer[slot] = last;
    older[slot] = first;
    newer[first] = slot;
    this.newest[set] = slot;
  }

  /** Calls `visit` with each slot of a set, newest first. */
  forEach(set: number, visit: (slot: number) => void): void {
    const first = this.newest[set]!;
    let slot = first;
    do {
      visit(slot);
      slot = this.older[slot]!;
    } while (slot !== first);
  }
}

/** plru, nru, srrip, random: state by way number of one array of `sets × ways`. Slots are `set · ways + way`. */
export class WayState {
  readonly policy: number;
  readonly ways: number;
  /** nru, srrip: a value for each slot. plru: node k (1 … ways-1) of a set's tree at `set · ways + k`; 1 = victim on the right. */
  readonly values: Uint8Array;
  readonly arrayId: number;
  readonly seedLow: number;
  readonly seedHigh: number;

  constructor(
    policy: number,
    sets: number,
    ways: number,
    arrayId: number,
    seedLow: number,
    seedHigh: number,
  ) {
    this.policy = policy;
    this.ways = ways;
    this.values = new Uint8Array(policy === PLRU || policy === NRU || policy === SRRIP ? sets * ways : 0);
    this.arrayId = arrayId;
    this.seedLow = seedLow;
    this.seedHigh = seedHigh;
  }

  /** Whether the state is a tree over the ways. */
  get tree(): boolean {
    return this.policy === PLRU;
  }

  /** A hit on a slot. */
  hit(slot: number): void {
    switch (this.policy) {
      case PLRU:
        this.pointAway(slot);
        break;
      case NRU:
        this.values[slot] = 1;
        break;
      case SRRIP:
        this.values[slot] = 0;
        break;
      default:
    }
  }

  /** A fill of a slot. */
  fill(slot: number): void {
    switch (this.policy) {
      case PLRU:
        this.pointAway(slot);
        break;
      case NRU:
        this.values[slot] = 1;
        break;
      case SRRIP:
        this.values[slot] = SRRIP_FILL;
        break;
      default:
    }
  }

  /** The victim's slot in a full set. `index` is the index of the access in the stream. */
  victim(set: number, index: number): number {
    const first = set * this.ways;
    switch (this.policy) {
      case PLRU:
        return first + this.treeVictim(first);
      case NRU:
        return this.notRecentlyUsed(first);
      case SRRIP:
        return this.farthest(first);
      default: {
        const low = index >>> 0;
        const high = Math.floor(index / 2 ** 32);
        const word = philoxWord0(low, high, this.arrayId, PURPOSES.replacement, this.seedLow, this.seedHigh);
        return first + below(word, this.ways);
      }
    }
  }

  private treeVictim(first: number): number {
    let node = 1;
    while (node < this.ways) node = 2 * node + this.values[first + node]!;
    return node - this.ways;
  }

  private pointAway(slot: number): void {
    const way = slot % this.ways;
    const first = slot - way;
    for (let node = this.ways + way; node > 1; node >>= 1) this.values[first + (node >> 1)] = (node & 1) ^ 1;
  }

  private notRecentlyUsed(first: number): number {
    const end = first + this.ways;
    for (let slot = first; slot < end; slot++) if (this.values[slot] === 0) return slot;
    this.values.fill(0, first, end);
    return first;
  }

  private farthest(first: number): number {
    const end = first + this.ways;
    for (;;) {
      for (let slot = first; slot < end; slot++) if (this.values[slot] === SRRIP_VICTIM) return slot;
      for (let slot = first; slot < end; slot++) this.values[slot]!++;
    }
  }
}
