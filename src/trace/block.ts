/** Blocks of accesses: what every trace reader yields, and the one place where readers fill them. */

import { NestwalkError } from '../errors.ts';
import { ACCESS_KINDS, KIND_SHIFT } from '../schema.ts';

/** Most accesses that one block holds. */
export const BLOCK_ACCESSES = 65_536;

/** Code of each kind in an access word. */
export const READ = ACCESS_KINDS.indexOf('read');
export const WRITE = ACCESS_KINDS.indexOf('write');
export const FETCH = ACCESS_KINDS.indexOf('fetch');

/** Consecutive accesses. The first `count` places of both arrays are filled; a block belongs to whoever got it. */
export interface AccessBlock {
  /** 4 KiB page numbers (GVA >> 12), safe integers below 2^52. */
  pages: Float64Array;
  /** Offset in the page (bits 0 to 11) and kind (bits 12 and 13: 0 read, 1 write, 2 fetch). */
  words: Uint16Array;
  count: number;
}

/** Which accesses of a trace are kept. */
export interface ReadOptions {
  /** Keep instruction fetches; default true. */
  fetches?: boolean;
  /** Levels n of the guest's table: an access kept outside [0, 2^(11+9n)) is an error. Absent: any 64-bit address. */
  levels?: number;
  /** Accesses to keep; reading stops there, and nothing after it is looked at. Absent: to the end. */
  limit?: number;
}

/** First page number that lies outside the address space of `levels` levels (2^(11+9n) bytes). */
export const pageBound = (levels: number | undefined): number =>
  levels === undefined ? 2 ** 52 : 2 ** (9 * levels - 1);

/** An address as people write it, exact for all 64 bits: `0x7f12345678`. */
export function addressText(page: number, offset: number): string {
  if (page === 0) return `0x${offset.toString(16)}`;
  return `0x${page.toString(16)}${offset.toString(16).padStart(3, '0')}`;
}

/** The error for an access outside the address space. `where` names the trace and the record. */
export function addressError(
  where: string,
  page: number,
  offset: number,
  kind: number,
  levels: number | undefined,
): NestwalkError {
  const bits = 11 + 9 * (levels ?? 5);
  const cures = [
    (levels ?? 5) < 5 ? 'use more table levels (paging.guestLevels, up to 5)' : '',
    kind === FETCH ? 'leave the fetches out (fetches: false)' : '',
  ].filter((cure) => cure !== '');
  const mend = cures.length > 0 ? cures.join(', or ') : 'record the trace again without it';
  return new NestwalkError(
    'trace.address',
    `${where}: the ${ACCESS_KINDS[kind]} of address ${addressText(page, offset)} is outside the address space ` +
      `[0, 2^${bits}) of ${levels ?? 5}-level tables; ${mend}`,
  );
}

/** Fills blocks one after the other and counts what is still wanted. */
export class BlockFiller {
  pages = new Float64Array(BLOCK_ACCESSES);
  words = new Uint16Array(BLOCK_ACCESSES);
  count = 0;
  /** Places left in the block at hand, never more than the limit leaves. */
  room: number;
  #wanted: number;

  constructor(limit: number | undefined) {
    this.#wanted = limit ?? Number.POSITIVE_INFINITY;
    this.room = Math.min(BLOCK_ACCESSES, this.#wanted);
  }

  /** Whether the limit is reached (with the block at hand). */
  get complete(): boolean {
    return this.#wanted === this.count;
  }

  /** Adds one access; the caller has seen that there is `room`. */
  add(page: number, word: number): void {
    this.pages[this.count] = page;
    this.words[this.count] = word;
    this.count += 1;
    this.room -= 1;
  }

  /** The block filled so far, and a fresh one begun. */
  take(): AccessBlock {
    const block = { pages: this.pages, words: this.words, count: this.count };
    this.#wanted -= this.count;
    this.pages = new Float64Array(BLOCK_ACCESSES);
    this.words = new Uint16Array(BLOCK_ACCESSES);
    this.count = 0;
    this.room = Math.min(BLOCK_ACCESSES, this.#wanted);
    return block;
  }
}

/** One access as the text line of `trace dump`: `R 0x…`, `W 0x…` or `F 0x…`. */
export function accessLine(page: number, word: number): string {
  return `${'RWF'[word >> KIND_SHIFT]} ${addressText(page, word & 0xfff)}`;
}

/** Text of a trace in an error message: quoted, escaped, cut to a readable length. */
export function quoted(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, 60)).toString('latin1');
  return JSON.stringify(text) + (bytes.length > 60 ? '…' : '');
}
