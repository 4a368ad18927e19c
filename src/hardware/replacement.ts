/**
 * Replacement: which way of a full set goes, and what a hit or a fill does to the set's state.
 *
 * Policies: `lru`, `fifo` (time stamps), `plru` (a binary tree over the way numbers, each node pointing at the
 * victim's side), `nru` (one bit a way), `srrip` (two bits a way; Jaleel et al., ISCA 2010), `random` (Philox, so
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

/** Replacement state of one set-associative array of `sets × ways`. Slots are `set · ways + way`. */
export class ReplacementState {
  readonly policy: number;
  readonly ways: number;
  /** lru, fifo: time of the last hit or fill (fifo: fill) of each slot; 0 before the first. */
  readonly stamps: Float64Array;
  /** nru, srrip: a value for each slot. plru: node k (1 … ways-1) of a set's tree at `set · ways + k`; 1 = victim on the right. */
  readonly values: Uint8Array;
  readonly arrayId: number;
  readonly seedLow: number;
  readonly seedHigh: number;
  private clock = 0;

  constructor(policy: number, sets: number, ways: number, arrayId: number, seedLow: number, seedHigh: number) {
    this.policy = policy;
    this.ways = ways;
    this.stamps = new Float64Array(policy === LRU || policy === FIFO ? sets * ways : 0);
    this.values = new Uint8Array(policy === PLRU || policy === NRU || policy === SRRIP ? sets * ways : 0);
    this.arrayId = arrayId;
    this.seedLow = seedLow;
    this.seedHigh = seedHigh;
  }

  /** Whether contents are kept in an order (lru, fifo), so that way numbers cannot be seen. */
  get ordered(): boolean {
    return this.policy === LRU || this.policy === FIFO;
  }

  /** Whether the state is a tree over the ways. */
  get tree(): boolean {
    return this.policy === PLRU;
  }

  /** A hit on a slot. */
  hit(slot: number): void {
    switch (this.policy) {
      case LRU:
        this.stamps[slot] = ++this.clock;
        break;
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
      case LRU:
      case FIFO:
        this.stamps[slot] = ++this.clock;
        break;
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
      case LRU:
      case FIFO:
        return this.oldest(first);
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

  private oldest(first: number): number {
    const stamps = this.stamps;
    let victim = first;
    for (let slot = first + 1; slot < first + this.ways; slot++) {
      if (stamps[slot]! < stamps[victim]!) victim = slot;
    }
    return victim;
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
