/**
 * Paging-structure caches, Intel's manner (SDM vol. 3A 4.10.3; Barr et al., ISCA 2010, split translation cache):
 * PSC[k] holds non-leaf entries read at level k, keyed by the address bits above that level's index, so that a walk
 * may start at level k-1. The same class serves linear, combined and nested (guest-physical) mappings.
 */
import { MAX_TABLE_LEVELS, REPLACEMENTS } from '../schema.ts';
import { SetAssoc } from './setAssoc.ts';

/** Payload flag: AND of R/W from the root down to and including the entry. */
export const PATH_WRITABLE = 1;
/** Payload flag (combined mappings): the nested mapping of the next table's page allows writes. */
export const HOST_WRITABLE = 2;

/** One level. Payload: next table's frame in its own space, its host frame, flags. */
export class PscLevel {
  readonly cache: SetAssoc;
  readonly tables: Float64Array;
  readonly hosts: Float64Array;
  readonly flags: Uint8Array;

  constructor(entries: number, ways: number) {
    this.cache = new SetAssoc({ sets: entries / ways, ways, policy: REPLACEMENTS.indexOf('lru'), arrayId: 0, seedLow: 0, seedHigh: 0 });
    this.tables = new Float64Array(entries);
    this.hosts = new Float64Array(entries);
    this.flags = new Uint8Array(entries);
  }
}

/** The caches of one dimension, levels 2 to 5; `levels[k]` is undefined where level k has none. */
export class Psc {
  readonly levels: (PscLevel | undefined)[] = new Array(MAX_TABLE_LEVELS + 1);

  /** Reads the geometry from a machine block; levels above the table's are left out. */
  constructor(block: Float64Array, at: number, tableLevels: number) {
    for (let k = 2; k <= tableLevels; k++) {
      const entries = block[at + 2 * (k - 2)]!;
      const ways = block[at + 2 * (k - 2) + 1]!;
      if (entries > 0) this.levels[k] = new PscLevel(entries, ways);
    }
  }

  /** The slot at level k of a number (the page number shifted right by 9(k-1)), or -1. */
  find(k: number, number: number, owner: number): number {
    const level = this.levels[k];
    return level ? level.cache.find(level.cache.setOf(number), number, owner) : -1;
  }

  /** Fills level k where it has a cache. */
  fill(k: number, number: number, owner: number, table: number, host: number, flags: number): void {
    const level = this.levels[k];
    if (!level) return;
    const slot = level.cache.fill(level.cache.setOf(number), number, owner, 0);
    level.tables[slot] = table;
    level.hosts[slot] = host;
    level.flags[slot] = flags;
  }

  /** Drops the entries of an owner for a page, at every level. */
  dropPage(page: number, owner: number): void {
    let number = page;
    for (let k = 2; k <= MAX_TABLE_LEVELS; k++) {
      number = Math.floor(number / 512);
      const cache = this.levels[k]?.cache;
      cache?.dropKey(cache.setOf(number), number, owner);
    }
  }

  dropOwner(owner: number): void {
    for (const level of this.levels) level?.cache.dropOwner(owner);
  }

  clear(): void {
    for (const level of this.levels) level?.cache.clear();
  }
}
