/**
 * A set-associative array of keys with an owner (a tag or a vm) each. Users keep their payloads in arrays of their
 * own, indexed by slot. Set = number mod sets, a power of two except in PTE caches; TLB arrays may have another
 * indexing (setIndex.ts).
 */
import { INDEXINGS, REPLACEMENTS } from '../schema.ts';
import { ContentOrder, isOrdered, WayState } from './replacement.ts';
import { foldedSet, isFolded } from './setIndex.ts';

const LRU = REPLACEMENTS.indexOf('lru');
const LOW = INDEXINGS.indexOf('low');
/** Key of an invalid slot. */
const INVALID = -1;
/** Stands for no slot. */
const NONE = -1;
/** Widest set that is looked through way by way. */
const MAX_SCANNED_WAYS = 16;

/** Shape of an array: `entries / ways` sets; `policy` an index into `REPLACEMENTS`, `indexing` one into `INDEXINGS`. */
export interface SetAssocShape {
  readonly sets: number;
  readonly ways: number;
  readonly policy: number;
  readonly indexing: number;
  readonly arrayId: number;
  readonly seedLow: number;
  readonly seedHigh: number;
}

/** Where each key is, for arrays whose sets are too wide to look through: slots in chains by a hash of their keys. */
class KeyIndex {
  /** First slot of each chain, and the slot that follows each slot. */
  readonly first: Int32Array;
  readonly next: Int32Array;
  private readonly shift: number;

  constructor(slots: number) {
    const bits = 34 - Math.clz32(slots - 1);
    this.first = new Int32Array(2 ** bits).fill(NONE);
    this.next = new Int32Array(slots).fill(NONE);
    this.shift = 32 - bits;
  }

  /** The chain that a key is in: the top bits of a multiplicative hash. */
  chainOf(key: number): number {
    return Math.imul((key | 0) ^ (key / 2 ** 32), 0x9e3779b1) >>> this.shift;
  }

  add(slot: number, key: number): void {
    const chain = this.chainOf(key);
    this.next[slot] = this.first[chain]!;
    this.first[chain] = slot;
  }

  remove(slot: number, key: number): void {
    const chain = this.chainOf(key);
    let before = this.first[chain]!;
    if (before === slot) {
      this.first[chain] = this.next[slot]!;
      return;
    }
    while (this.next[before] !== slot) before = this.next[before]!;
    this.next[before] = this.next[slot]!;
  }

  clear(): void {
    this.first.fill(NONE);
  }
}

/** The slot, from `first` on, that holds (key, owner), or -1. */
export function scan(
  keys: Float64Array,
  owners: Float64Array,
  first: number,
  ways: number,
  key: number,
  owner: number,
): number {
  for (let slot = first; slot < first + ways; slot++) {
    if (keys[slot] === key && owners[slot] === owner) return slot;
  }
  return NONE;
}

/** Set-associative array; slot = `set · ways + way`, -1 where there is none. */
export class SetAssoc {
  readonly sets: number;
  readonly ways: number;
  readonly keys: Float64Array;
  readonly owners: Float64Array;
  /** lru, fifo: the order of each set's contents; other policies: state by way. */
  readonly order: ContentOrder | undefined;
  readonly wayState: WayState | undefined;
  /** Whether sets are looked through; else there is an index. */
  readonly isScanned: boolean;
  private readonly index: KeyIndex | undefined;
  /** Low bits that are the set; -1 where there is more to it. */
  private readonly mask: number;
  private readonly folded: boolean;

  constructor({ sets, ways, policy, indexing, arrayId, seedLow, seedHigh }: SetAssocShape) {
    this.sets = sets;
    this.ways = ways;
    this.folded = isFolded(indexing);
    this.mask = (sets & (sets - 1)) === 0 && !this.folded ? sets - 1 : -1;
    this.keys = new Float64Array(sets * ways).fill(INVALID);
    this.owners = new Float64Array(sets * ways);
    this.order = isOrdered(policy) ? new ContentOrder(policy, sets, ways) : undefined;
    this.wayState = isOrdered(policy)
      ? undefined
      : new WayState(policy, sets, ways, arrayId, seedLow, seedHigh);
    this.isScanned = ways <= MAX_SCANNED_WAYS;
    this.index = this.isScanned ? undefined : new KeyIndex(sets * ways);
  }

  /** An array that replaces the least recent, as all but TLBs do. */
  static lru(sets: number, ways: number): SetAssoc {
    return new SetAssoc({ sets, ways, policy: LRU, indexing: LOW, arrayId: 0, seedLow: 0, seedHigh: 0 });
  }

  /**
   * The set of a number. The bit operation takes the low 32 bits of a safe integer, which is exact; so is the rounded
   * quotient's integer part, and it is much faster than the remainder of doubles.
   */
  setOf(number: number): number {
    if (this.mask >= 0) return number & this.mask;
    return this.folded ? foldedSet(number, this.sets) : number - Math.floor(number / this.sets) * this.sets;
  }

  /** The slot that holds (key, owner) in a set, or -1. Changes nothing. */
  find(set: number, key: number, owner: number): number {
    const { keys, owners, index } = this;
    if (index !== undefined) {
      // Equal keys are of equal sets.
      let slot = index.first[index.chainOf(key)]!;
      while (slot !== NONE && (keys[slot] !== key || owners[slot] !== owner)) slot = index.next[slot]!;
      return slot;
    }
    return scan(keys, owners, set * this.ways, this.ways, key, owner);
  }

  /** A hit: tells the replacement policy. */
  promote(slot: number): void {
    if (this.order !== undefined) this.order.hit(slot);
    else this.wayState!.hit(slot);
  }

  /** Fills (key, owner) into a set, into the lowest invalid way or over the victim; returns the slot. */
  fill(set: number, key: number, owner: number, index: number): number {
    if (this.order !== undefined) {
      // Which way it is cannot be seen, and the oldest slot is an invalid one if there is any.
      const slot = this.order.turn(set);
      this.put(slot, key, owner);
      return slot;
    }
    let slot = this.lowestInvalid(set);
    if (slot === NONE) slot = this.wayState!.victim(set, index);
    this.put(slot, key, owner);
    this.wayState!.fill(slot);
    return slot;
  }

  private lowestInvalid(set: number): number {
    const first = set * this.ways;
    for (let slot = first; slot < first + this.ways; slot++) if (!this.valid(slot)) return slot;
    return NONE;
  }

  /** Writes (key, owner) to a slot, whatever was there, and leaves the replacement state alone. */
  put(slot: number, key: number, owner: number): void {
    if (this.index !== undefined) {
      if (this.valid(slot)) this.index.remove(slot, this.keys[slot]!);
      this.index.add(slot, key);
    }
    this.keys[slot] = key;
    this.owners[slot] = owner;
  }

  /** Drops one slot, which is valid; the other ways' replacement state stays. */
  drop(slot: number): void {
    this.index?.remove(slot, this.keys[slot]!);
    this.keys[slot] = INVALID;
    this.order?.drop(slot);
  }

  /** Drops (key, owner) if it is there. */
  dropKey(set: number, key: number, owner: number): void {
    const slot = this.find(set, key, owner);
    if (slot >= 0) this.drop(slot);
  }

  /** Drops all of an owner. */
  dropOwner(owner: number): void {
    const { owners } = this;
    for (let slot = 0; slot < owners.length; slot++) {
      if (owners[slot] === owner && this.valid(slot)) this.drop(slot);
    }
  }

  /** Drops all of the owners that a predicate holds of. */
  dropOwners(isDropped: (owner: number) => boolean): void {
    for (let slot = 0; slot < this.keys.length; slot++) {
      if (this.valid(slot) && isDropped(this.owners[slot]!)) this.drop(slot);
    }
  }

  /** Adds every owner that it holds something of to a set. */
  addOwners(to: Set<number>): void {
    for (let slot = 0; slot < this.keys.length; slot++) if (this.valid(slot)) to.add(this.owners[slot]!);
  }

  /** Drops everything. */
  clear(): void {
    this.keys.fill(INVALID);
    this.index?.clear();
  }

  /** Whether a slot holds something. */
  valid(slot: number): boolean {
    return this.keys[slot] !== INVALID;
  }
}
