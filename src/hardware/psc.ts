/**
 * Paging-structure caches, Intel's manner (SDM vol. 3A 4.10.3; Barr et al., ISCA 2010, split translation cache):
 * PSC[k] holds non-leaf entries read at level k, keyed by the address bits above that level's index, so that a walk
 * may start at level k-1. The same class serves linear, combined and nested (guest-physical) mappings.
 */
import { ENTRIES_PER_TABLE, MAX_TABLE_LEVELS } from '../schema.ts';
import { SetAssoc } from './setAssoc.ts';

/** Payload flags. */
export const PSC_FLAGS = {
  /** AND of R/W from the root down to and including the entry. */
  pathWritable: 1,
  /** Combined mappings: the nested mapping of the next table's page allows writes. */
  hostWritable: 2,
} as const;

/** One level. Payload: next table's frame in its own space, its host frame, flags. */
export class PscLevel {
  /** Level at which its entries are read. */
  readonly level: number;
  /** What a page number is multiplied by, and then rounded down, for the number that is looked for. */
  private readonly scale: number;
  readonly cache: SetAssoc;
  readonly tables: number[];
  readonly hosts: number[];
  readonly flags: Uint8Array;

  constructor(level: number, entries: number, ways: number) {
    this.level = level;
    this.scale = ENTRIES_PER_TABLE ** (1 - level);
    this.cache = SetAssoc.lru(entries / ways, ways);
    this.tables = new Array<number>(entries).fill(0);
    this.hosts = new Array<number>(entries).fill(0);
    this.flags = new Uint8Array(entries);
  }

  /** The slot of a page, or -1. */
  find(page: number, owner: number): number {
    const number = Math.floor(page * this.scale);
    return this.cache.find(this.cache.setOf(number), number, owner);
  }

  /** Fills what leads to the next table for a page. */
  fill(page: number, owner: number, table: number, host: number, flags: number): void {
    const number = Math.floor(page * this.scale);
    const slot = this.cache.fill(this.cache.setOf(number), number, owner, 0);
    this.tables[slot] = table;
    this.hosts[slot] = host;
    this.flags[slot] = flags;
  }

  /** Drops the entry of an owner for a page, if it is there. */
  drop(page: number, owner: number): void {
    const number = Math.floor(page * this.scale);
    this.cache.dropKey(this.cache.setOf(number), number, owner);
  }
}

/** The caches of one dimension, of table levels 2 to 5. */
export class Psc {
  /** Those that there are, the lowest level first. */
  readonly present: readonly PscLevel[];
  /** By level; undefined where a level has none. */
  private readonly ofLevel: readonly (PscLevel | undefined)[];

  /** Reads the geometry from a machine block; levels above the table's are left out. */
  constructor(block: Int32Array, at: number, tableLevels: number) {
    const present: PscLevel[] = [];
    for (let k = 2; k <= tableLevels; k++) {
      const entries = block[at + 2 * (k - 2)]!;
      const ways = block[at + 2 * (k - 2) + 1]!;
      if (entries > 0) present.push(new PscLevel(k, entries, ways));
    }
    this.present = present;
    this.ofLevel = Array.from({ length: MAX_TABLE_LEVELS + 1 }, (_, k) =>
      present.find(({ level }) => level === k),
    );
  }

  /** Fills level k, where it has a cache, with what leads to the page's next table. */
  fill(k: number, page: number, owner: number, table: number, host: number, flags: number): void {
    const level = this.ofLevel[k];
    if (level !== undefined) level.fill(page, owner, table, host, flags);
  }

  /** Drops the entries of an owner for a page, at every level. */
  dropPage(page: number, owner: number): void {
    for (const level of this.present) level.drop(page, owner);
  }

  dropOwner(owner: number): void {
    for (const level of this.present) level.cache.dropOwner(owner);
  }

  clear(): void {
    for (const level of this.present) level.cache.clear();
  }
}
