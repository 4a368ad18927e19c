/**
 * A set-associative array of keys with an owner (a tag or a vm) each. Users keep their payloads in arrays of their
 * own, indexed by slot. Set = number mod sets, a power of two except in PTE caches.
 */
import { ReplacementState } from './replacement.ts';

/** Key of an invalid slot. */
const INVALID = -1;

/** Shape of an array: `entries / ways` sets; `policy` an index into `REPLACEMENTS`. */
export interface SetAssocShape {
  readonly sets: number;
  readonly ways: number;
  readonly policy: number;
  readonly arrayId: number;
  readonly seedLow: number;
  readonly seedHigh: number;
}

/** Set-associative array; slot = `set · ways + way`, -1 where there is none. */
export class SetAssoc {
  readonly sets: number;
  readonly ways: number;
  readonly keys: Float64Array;
  readonly owners: Float64Array;
  readonly replacement: ReplacementState;
  private readonly mask: number;

  constructor(shape: SetAssocShape) {
    this.sets = shape.sets;
    this.ways = shape.ways;
    this.mask = (shape.sets & (shape.sets - 1)) === 0 ? shape.sets - 1 : -1;
    this.keys = new Float64Array(shape.sets * shape.ways).fill(INVALID);
    this.owners = new Float64Array(shape.sets * shape.ways);
    this.replacement = new ReplacementState(shape.policy, shape.sets, shape.ways, shape.arrayId, shape.seedLow, shape.seedHigh);
  }

  /** The set of a number. The bit operation takes the low 32 bits of a safe integer, which is exact. */
  setOf(number: number): number {
    return this.mask >= 0 ? number & this.mask : number % this.sets;
  }

  /** The slot that holds (key, owner) in a set, or -1. Changes nothing. */
  find(set: number, key: number, owner: number): number {
    const first = set * this.ways;
    const end = first + this.ways;
    for (let slot = first; slot < end; slot++) {
      if (this.keys[slot] === key && this.owners[slot] === owner) return slot;
    }
    return -1;
  }

  /** A hit: tells the replacement policy. */
  promote(slot: number): void {
    this.replacement.hit(slot);
  }

  /** Fills (key, owner) into a set, into the lowest invalid way or over the victim; returns the slot. */
  fill(set: number, key: number, owner: number, index: number): number {
    const first = set * this.ways;
    let slot = -1;
    for (let s = first; s < first + this.ways; s++) {
      if (this.keys[s] === INVALID) {
        slot = s;
        break;
      }
    }
    if (slot < 0) slot = this.replacement.victim(set, index);
    this.keys[slot] = key;
    this.owners[slot] = owner;
    this.replacement.fill(slot);
    return slot;
  }

  /** Drops one slot; the other ways' replacement state stays. */
  drop(slot: number): void {
    this.keys[slot] = INVALID;
  }

  /** Drops (key, owner) if it is there. */
  dropKey(set: number, key: number, owner: number): void {
    const slot = this.find(set, key, owner);
    if (slot >= 0) this.drop(slot);
  }

  /** Drops all of an owner. */
  dropOwner(owner: number): void {
    for (let slot = 0; slot < this.keys.length; slot++) {
      if (this.owners[slot] === owner) this.keys[slot] = INVALID;
    }
  }

  /** Drops everything. */
  clear(): void {
    this.keys.fill(INVALID);
  }

  /** Whether a slot holds something. */
  valid(slot: number): boolean {
    return this.keys[slot] !== INVALID;
  }
}
