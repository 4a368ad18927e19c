/** Reads `.nwt` files: any block alone, the lists of first touches without a pass over the trace. */
import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { NestwalkError } from '../errors.ts';
import { KIND_SHIFT } from '../schema.ts';
import type { AccessBlock, ReadOptions } from './block.ts';
import { addressError, BLOCK_ACCESSES, FETCH, pageBound, quoted } from './block.ts';
import type { IndexEntry, NwtHeader, Touches } from './nwtFormat.ts';
import {
  decodeBlock,
  decodeIndex,
  decodeTouches,
  END_MAGIC,
  FOOTER_BYTES,
  FRAME_BYTES,
  HEAD_BYTES,
  MAGIC,
  unframe,
  VERSION,
} from './nwtFormat.ts';
import type { ByteSource } from './source.ts';
import { fileError } from './source.ts';

/** Whether a file begins as a `.nwt` file does. */
export const looksLikeNwt = (head: Uint8Array): boolean => MAGIC.every((byte, i) => head[i] === byte);

/** Where the parts of a file begin; each reaches to where the next begins. */
interface Layout {
  blocks: number;
  allTouches: number;
  dataTouches: number;
  index: number;
  footer: number;
  /** Number of blocks. */
  blockCount: number;
}

/** An open `.nwt` file. Whatever is read from it is checked: 'trace.corrupt' names the part and its bytes. */
export class NwtFile {
  readonly header: NwtHeader;
  /** What each block holds; blocks follow each other without gaps. */
  readonly entries: readonly IndexEntry[];
  #input: Input;
  #layout: Layout;

  private constructor(input: Input, header: NwtHeader, layout: Layout, entries: readonly IndexEntry[]) {
    this.#input = input;
    this.header = header;
    this.#layout = layout;
    this.entries = entries;
  }

  /**
   * Opens a file and checks all but the blocks and the lists, which are checked when read. A compressed file is first
   * decompressed into a temporary file, since blocks are read from anywhere.
   * @throws NestwalkError 'trace.corrupt' when it is truncated, altered or no `.nwt` file; 'trace.file'
   */
  static async open(source: ByteSource): Promise<NwtFile> {
    const input = await Input.open(source);
    try {
      const { header, end } = await readHeader(input);
      const layout = await readLayout(input, header, end);
      const part = { what: 'its index', from: layout.index, to: layout.footer };
      const entries = await readPart(input, part, layout.blockCount, decodeIndex);
      checkIndex(input, header, layout, entries);
      return new NwtFile(input, header, layout, entries);
    } catch (error) {
      await input.close();
      throw error;
    }
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#input.close();
  }

  /** Accesses that are kept with or without fetches. */
  kept(fetches: boolean): number {
    return this.header.accesses - (fetches ? 0 : this.header.fetches);
  }

  /**
   * The accesses kept, from index `from` on: blocks before it are not read.
   * @throws NestwalkError 'trace.corrupt', 'trace.address'
   */
  async *blocks(options: ReadOptions = {}, from = 0): AsyncGenerator<AccessBlock, void, undefined> {
    const fetches = options.fetches ?? true;
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    let first = 0;
    for (const [i, entry] of this.entries.entries()) {
      if (first >= limit) return;
      const kept = entry.accesses - (fetches ? 0 : entry.fetches);
      const next = first + kept;
      if (next > from && kept > 0) {
        const block = await this.#readBlock(i);
        if (!fetches) dropFetches(block);
        this.#checkAddresses(block, first, limit, options.levels);
        yield cut(block, Math.max(0, from - first), Math.min(kept, limit - first));
      }
      first = next;
    }
  }

  /**
   * The 4 KiB pages that the accesses kept touch, in the order of first touch, from the list that the file carries.
   * @throws NestwalkError 'trace.corrupt', 'trace.address'
   */
  async firstTouch(options: ReadOptions = {}): Promise<Float64Array> {
    const { pages, indexes } = await this.#readTouches(options.fetches ?? true);
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    let count = pages.length;
    while (count > 0 && indexes[count - 1] >= limit) count -= 1;
    const outside = pages.subarray(0, count).findIndex((page) => page >= pageBound(options.levels));
    if (outside >= 0) {
      // The list has no kinds and offsets; reading up to the access gives the same error as a run would.
      for await (const _ of this.blocks({ ...options, limit: indexes[outside] + 1 }, indexes[outside]));
      throw new NestwalkError('trace.corrupt', `${this.#input.name}: its lists and its blocks disagree`);
    }
    return pages.slice(0, count);
  }

  async #readBlock(i: number): Promise<AccessBlock> {
    const entry = this.entries[i];
    const to = this.entries[i + 1]?.position ?? this.#layout.allTouches;
    const part = { what: `block ${i + 1} of ${this.entries.length}`, from: entry.position, to };
    return readPart(this.#input, part, entry.accesses, (raw, count) => {
      const block = decodeBlock(raw, count);
      const fetches = block.words.reduce((n, word) => n + (word >> KIND_SHIFT === FETCH ? 1 : 0), 0);
      if (fetches !== entry.fetches) throw new Error('it does not hold what the index says');
      return block;
    });
  }

  #readTouches(fetches: boolean): Promise<Touches> {
    const { allTouches, dataTouches, index } = this.#layout;
    const part = fetches
      ? { what: 'its list of first touches with fetches', from: allTouches, to: dataTouches }
      : { what: 'its list of first touches without fetches', from: dataTouches, to: index };
    return readPart(this.#input, part, fetches ? this.header.pages : this.header.dataPages, decodeTouches);
  }

  #checkAddresses(block: AccessBlock, first: number, limit: number, levels: number | undefined): void {
    const bound = pageBound(levels);
    if (this.header.highestPage < bound) return;
    const count = Math.min(block.count, limit - first);
    for (let i = 0; i < count; i++) {
      if (block.pages[i] < bound) continue;
      const where = `${this.#input.name}: access ${first + i} (counted from 0 among those kept)`;
      throw addressError(where, block.pages[i], block.words[i] & 0xfff, block.words[i] >> KIND_SHIFT, levels);
    }
  }
}

/** Takes the fetches out of a block, in place. */
function dropFetches(block: AccessBlock): void {
  const { pages, words } = block;
  let kept = 0;
  for (let i = 0; i < block.count; i++) {
    if (words[i] >> KIND_SHIFT === FETCH) continue;
    pages[kept] = pages[i];
    words[kept] = words[i];
    kept += 1;
  }
  block.count = kept;
}

function cut({ pages, words, count }: AccessBlock, from: number, to: number): AccessBlock {
  if (from === 0) return { pages, words, count: Math.min(count, to) };
  return { pages: pages.slice(from, to), words: words.slice(from, to), count: to - from };
}

/** A file to read from anywhere. */
class Input {
  readonly name: string;
  readonly bytes: number;
  #handle: FileHandle;

  private constructor(name: string, bytes: number, handle: FileHandle) {
    this.name = name;
    this.bytes = bytes;
    this.#handle = handle;
  }

  static async open(source: ByteSource): Promise<Input> {
    if (source.compression !== 'none') return Input.#decompress(source);
    const handle = await open(source.path).catch((cause: unknown) => {
      throw fileError(source.path, cause);
    });
    return new Input(source.path, (await handle.stat()).size, handle);
  }

  /** The temporary file loses its name at once, so that nothing is left behind however the program ends. */
  static async #decompress(source: ByteSource): Promise<Input> {
    const path = join(tmpdir(), `nestwalk-${process.pid}-${randomBytes(6).toString('hex')}.nwt`);
    const handle = await open(path, 'wx+', 0o600).catch((cause: unknown) => {
      throw fileError(path, cause, 'write');
    });
    try {
      await rm(path, { force: true });
      let bytes = 0;
      for await (const chunk of source.chunks()) {
        await handle.writeFile(chunk).catch((cause: unknown) => {
          throw fileError(path, cause, 'write');
        });
        bytes += chunk.length;
      }
      return new Input(source.path, bytes, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Bytes [from, to), as many of them as there are. */
  async read(from: number, to: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.max(0, Math.min(to, this.bytes) - from));
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.#handle
        .read(bytes, done, bytes.length - done, from + done)
        .catch((cause: unknown) => {
          throw fileError(this.name, cause);
        });
      if (bytesRead === 0)
        throw new NestwalkError('trace.corrupt', `${this.name} became shorter while it was read`);
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

const damaged = (input: Input, what: string, why: string, cause?: unknown): NestwalkError =>
  new NestwalkError(
    'trace.corrupt',
    `${input.name}: ${what}: ${why}; copy the file again, or convert the original trace again`,
    { cause },
  );

/** A part of a file that is framed: what to call it and where its frame begins and ends. */
interface Part {
  what: string;
  from: number;
  to: number;
}

async function readPart<Value>(
  input: Input,
  { what, from, to }: Part,
  count: number,
  decode: (raw: Uint8Array, count: number) => Value,
): Promise<Value> {
  const bytes = await input.read(from, to);
  try {
    return decode(unframe(bytes, count), count);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw damaged(input, `${what} (bytes ${from} to ${to}) is damaged`, why, cause);
  }
}

async function readHeader(input: Input): Promise<{ header: NwtHeader; end: number }> {
  const head = await input.read(0, HEAD_BYTES);
  if (!looksLikeNwt(head)) {
    const begins = `it begins with ${quoted(head.subarray(0, MAGIC.length))}`;
    throw damaged(input, 'this is no .nwt trace, or its first bytes are damaged', begins);
  }
  if (head.length < HEAD_BYTES) throw truncated(input, 'inside its head');
  const view = new DataView(head.buffer);
  if (view.getUint32(20, true) !== crc32(head.subarray(0, 20))) {
    throw damaged(input, `its head (bytes 0 to ${HEAD_BYTES}) is damaged`, 'its checksum is wrong');
  }
  const version = view.getUint16(8, true);
  if (version !== VERSION) {
    throw damaged(input, `it has version ${version} of the format`, `this nestwalk reads version ${VERSION}`);
  }
  const end = HEAD_BYTES + view.getUint32(12, true);
  const text = await input.read(HEAD_BYTES, end);
  if (text.length < end - HEAD_BYTES) throw truncated(input, `inside its header, which ends at byte ${end}`);
  if (view.getUint32(16, true) !== crc32(text)) {
    throw damaged(input, `its header (bytes ${HEAD_BYTES} to ${end}) is damaged`, 'its checksum is wrong');
  }
  return { header: JSON.parse(Buffer.from(text).toString()) as NwtHeader, end };
}

async function readLayout(input: Input, header: NwtHeader, blocks: number): Promise<Layout> {
  const footer = input.bytes - FOOTER_BYTES;
  const bytes = await input.read(Math.max(blocks, footer), input.bytes);
  const view = new DataView(bytes.buffer);
  const ended = bytes.length === FOOTER_BYTES && END_MAGIC.every((byte, i) => bytes[32 + i] === byte);
  if (!ended) throw truncated(input, await whereCut(input, header, blocks));
  const [allTouches, dataTouches, index] = [0, 8, 16].map((at) => Number(view.getBigUint64(at, true)));
  const ordered = [blocks, allTouches, dataTouches, index, footer].every(
    (at, i, all) => i === 0 || all[i - 1] <= at,
  );
  if (view.getUint32(28, true) !== crc32(bytes.subarray(0, 28)) || !ordered) {
    throw damaged(
      input,
      `its last record (bytes ${footer} to ${input.bytes}) is damaged`,
      'its checksum is wrong',
    );
  }
  return { blocks, allTouches, dataTouches, index, footer, blockCount: view.getUint32(24, true) };
}

const truncated = (input: Input, where: string): NestwalkError =>
  damaged(
    input,
    'it has no end mark',
    `it is truncated or damaged; it ends at byte ${input.bytes}, ${where}`,
  );

/** Where a file without its end mark stops, found by going from frame to frame. */
async function whereCut(input: Input, header: NwtHeader, blocks: number): Promise<string> {
  const expected = Math.ceil(header.accesses / BLOCK_ACCESSES);
  let position = blocks;
  for (let block = 1; block <= expected; block++) {
    const bytes = await input.read(position, position + FRAME_BYTES);
    const stored = bytes.length < FRAME_BYTES ? 0 : new DataView(bytes.buffer).getUint32(8, true);
    const end = position + FRAME_BYTES + stored;
    if (bytes.length < FRAME_BYTES || end > input.bytes) {
      return `inside block ${block} of ${expected}, which begins at byte ${position}`;
    }
    position = end;
  }
  return `after its ${expected} blocks, inside its lists or its index`;
}

/** The index must agree with the header, and its blocks must fill the room between header and lists. */
function checkIndex(input: Input, header: NwtHeader, layout: Layout, entries: readonly IndexEntry[]): void {
  let accesses = 0;
  let fetches = 0;
  let position = layout.blocks;
  let sound = entries.length > 0 || layout.allTouches === layout.blocks;
  for (const entry of entries) {
    sound &&=
      entry.position >= position && entry.position < layout.allTouches && entry.fetches <= entry.accesses;
    position = entry.position + FRAME_BYTES;
    accesses += entry.accesses;
    fetches += entry.fetches;
  }
  sound &&= entries.length === 0 || entries[0].position === layout.blocks;
  const { reads, writes } = header;
  if (
    !sound ||
    accesses !== header.accesses ||
    fetches !== header.fetches ||
    reads + writes + fetches !== accesses
  ) {
    const part = `its index (bytes ${layout.index} to ${layout.footer}) is damaged`;
    throw damaged(input, part, 'it does not agree with the header and the blocks');
  }
}
