/** Writes `.nwt` files: into a temporary file beside the target, renamed when whole. */
import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { KIND_SHIFT } from '../schema.ts';
import type { AccessBlock } from './block.ts';
import { BLOCK_ACCESSES, FETCH } from './block.ts';
import type { IndexEntry, NwtHeader } from './nwtFormat.ts';
import {
  END_MAGIC,
  encodeBlock,
  encodeIndex,
  encodeTouches,
  FOOTER_BYTES,
  frame,
  HEAD_BYTES,
  MAGIC,
  VERSION,
} from './nwtFormat.ts';
import { PageSet } from './pageSet.ts';
import { fileError } from './source.ts';

/** What the header says of where the trace came from. */
export type NwtOrigin = Pick<
  NwtHeader,
  'source' | 'sourceFormat' | 'sourceSha256' | 'command' | 'fetchesKept'
>;

/** Room that the header keeps for what is known only at the end: a hash, a command line, numbers. */
const COMMAND_CHARACTERS = 2000;
const HEADER_BYTES = 4096;

/** Counts accesses and notes pages: what a header and the lists of first touches say. */
export class Census {
  readonly kinds = [0, 0, 0];
  readonly all = new PageSet();
  readonly data = new PageSet();
  highestPage = 0;

  /** Accesses counted so far. */
  get accesses(): number {
    return this.kinds[0] + this.kinds[1] + this.kinds[2];
  }

  add({ pages, words, count }: AccessBlock): void {
    const { kinds, all, data } = this;
    let index = this.accesses;
    for (let i = 0; i < count; i++, index++) {
      const page = pages[i];
      const kind = words[i] >> KIND_SHIFT;
      all.touch(page, index);
      // Without fetches an access has the index that it has among reads and writes alone.
      if (kind !== FETCH) data.touch(page, kinds[0] + kinds[1]);
      kinds[kind] += 1;
      if (page > this.highestPage) this.highestPage = page;
    }
  }

  /** The part of a header that counting gives. */
  counts(): Omit<NwtHeader, keyof NwtOrigin> {
    const [reads, writes, fetches] = this.kinds;
    const { accesses, highestPage } = this;
    return { accesses, reads, writes, fetches, pages: this.all.size, dataPages: this.data.size, highestPage };
  }
}

/** Writes one `.nwt` file. Call `add` for the accesses in order, then `finish`; or `abandon`, which leaves nothing. */
export class NwtWriter {
  readonly census = new Census();
  #path: string;
  #temporary: string;
  #handle: FileHandle;
  #position: number;
  #entries: IndexEntry[] = [];
  #pages = new Float64Array(BLOCK_ACCESSES);
  #words = new Uint16Array(BLOCK_ACCESSES);
  #count = 0;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#position = HEAD_BYTES + HEADER_BYTES;
  }

  /**
   * Begins a file.
   * @throws NestwalkError 'trace.file' when the folder cannot be written to
   */
  static async create(path: string): Promise<NwtWriter> {
    const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
    const handle = await open(temporary, 'wx').catch((cause: unknown) => {
      throw fileError(path, cause, 'write');
    });
    return new NwtWriter(path, temporary, handle);
  }

  /** Adds accesses. */
  async add(block: AccessBlock): Promise<void> {
    this.census.add(block);
    for (let from = 0; from < block.count; ) {
      const count = Math.min(block.count - from, BLOCK_ACCESSES - this.#count);
      this.#pages.set(block.pages.subarray(from, from + count), this.#count);
      this.#words.set(block.words.subarray(from, from + count), this.#count);
      this.#count += count;
      from += count;
      if (this.#count === BLOCK_ACCESSES) await this.#writeBlock();
    }
  }

  /** Writes what is left, the lists, the index, the header; the file then appears under its name. Returns the header. */
  async finish(origin: NwtOrigin): Promise<NwtHeader> {
    if (this.#count > 0) await this.#writeBlock();
    const { all, data } = this.census;
    const lists: number[] = [];
    for (const set of [all, data]) {
      lists.push(this.#position);
      const touches = { pages: set.pages(), indexes: set.indexes() };
      await this.#append(await frame(set.size, encodeTouches(touches)));
    }
    const index = this.#position;
    await this.#append(await frame(this.#entries.length, encodeIndex(this.#entries)));
    await this.#append(footer([...lists, index], this.#entries.length));
    const command = origin.command?.slice(0, COMMAND_CHARACTERS) ?? null;
    const header: NwtHeader = {
      ...origin,
      source: origin.source.slice(-255),
      command,
      ...this.census.counts(),
    };
    await this.#write(head(header), 0);
    await this.#handle.sync();
    await this.#handle.close();
    await rename(this.#temporary, this.#path).catch((cause: unknown) => {
      throw fileError(this.#path, cause, 'write');
    });
    return header;
  }

  /** Gives up: the temporary file goes, a file that had the name before stays. */
  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }

  async #writeBlock(): Promise<void> {
    const block = { pages: this.#pages, words: this.#words, count: this.#count };
    const fetches = this.#words
      .subarray(0, this.#count)
      .reduce((n, word) => n + (word >> KIND_SHIFT === FETCH ? 1 : 0), 0);
    this.#entries.push({ position: this.#position, accesses: this.#count, fetches });
    await this.#append(await frame(this.#count, encodeBlock(block)));
    this.#count = 0;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await this.#write(bytes, this.#position);
    this.#position += bytes.length;
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle
        .write(bytes, done, bytes.length - done, position + done)
        .catch((cause: unknown) => {
          throw fileError(this.#path, cause, 'write');
        });
      done += bytesWritten;
    }
  }
}

/** Head and header of a file, always of the same length: they are written last, to the front. */
function head(header: NwtHeader): Uint8Array {
  const text = Buffer.alloc(HEADER_BYTES, ' ');
  // Characters beyond ASCII are escaped, so that lengths in characters are lengths in bytes.
  const json = JSON.stringify(header).replaceAll(
    /[\u0080-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  if (json.length >= HEADER_BYTES)
    return head({ ...header, command: null, source: header.source.slice(-20) });
  text.write(`${json}`, 'latin1');
  text[HEADER_BYTES - 1] = 0x0a;
  const bytes = new Uint8Array(HEAD_BYTES + HEADER_BYTES);
  bytes.set(MAGIC);
  bytes.set(text, HEAD_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(8, VERSION, true);
  view.setUint32(12, HEADER_BYTES, true);
  view.setUint32(16, crc32(text), true);
  view.setUint32(20, crc32(bytes.subarray(0, 20)), true);
  return bytes;
}

function footer(positions: readonly number[], blocks: number): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(bytes.buffer);
  positions.forEach((position, i) => {
    view.setBigUint64(8 * i, BigInt(position), true);
  });
  view.setUint32(24, blocks, true);
  view.setUint32(28, crc32(bytes.subarray(0, 28)), true);
  bytes.set(END_MAGIC, 32);
  return bytes;
}
