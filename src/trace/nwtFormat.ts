/**
 * Layout of `.nwt`, the project's own trace format. All integers are little-endian. In order, without gaps:
 *
 *     head    8 bytes magic, u16 version, u16 0, u32 bytes of the JSON text, u32 its CRC-32, u32 CRC-32 of these 20 bytes
 *     header  the JSON text (NwtHeader), padded with spaces
 *     blocks  each: u32 accesses, u32 raw bytes, u32 stored bytes, u32 CRC-32 of those 12 bytes and the payload; payload
 *     touches two lists of first touches, with and without fetches, each framed like a block
 *     index   for each block: u64 position, u32 accesses, u32 fetches; framed like a block
 *     footer  u64 position of the first list, u64 of the second, u64 of the index, u32 number of blocks, u32 CRC-32 of
 *             these 28 bytes, 8 bytes end magic
 *
 * A payload is raw deflate. Every byte stands under a checksum and the parts touch each other, so that a file that is cut,
 * altered or extended is always noticed.
 *
 * A block decodes alone. It holds one byte for each access, 32·kind + rank, then the addresses of its reads, its writes and
 * its fetches. For each kind the 16 pages touched last are kept, the latest first, each with the offset touched last (at
 * the start of a block 16 times page 0, offset 0); rank is the page's place there, and the address is a varint of
 * zigzag(difference to that offset). Rank 16 is a page that is not there: varint of zigzag(difference to the latest
 * page), varint of zigzag(offset). Programs go to and fro between stack, heap and code, so that a plain difference to the
 * address before takes three times the room.
 */

import { promisify } from 'node:util';
import { crc32, deflateRaw, inflateRawSync } from 'node:zlib';
import { ACCESS_KINDS, KIND_SHIFT } from '../schema.ts';
import type { AccessBlock } from './block.ts';
import { BLOCK_ACCESSES } from './block.ts';

/** First bytes of a file: not text, and damaged by any line-end conversion (as PNG's). */
export const MAGIC = Uint8Array.of(0x89, 0x4e, 0x57, 0x54, 0x0d, 0x0a, 0x1a, 0x0a);
/** Last bytes of a file. */
export const END_MAGIC = Uint8Array.of(0x0a, 0x4e, 0x57, 0x54, 0x65, 0x6e, 0x64, 0x0a);
/** The version of the format that is written and read here. */
export const VERSION = 1;
/** Bytes of the head, of the frame before each payload, of the footer, of one index entry. */
export const HEAD_BYTES = 24;
export const FRAME_BYTES = 16;
export const FOOTER_BYTES = 40;
export const INDEX_ENTRY_BYTES = 16;
/** Pages remembered for each kind, and how far apart the kinds are in the byte of an access. */
const RECENT = 16;
const KIND_STEP = 32;
/** Most bytes that one access takes in a raw payload, after that byte: page varint, offset varint. */
const ADDRESS_BYTES = 8 + 2;
/** Most bytes that one first touch takes: page varint, index varint. */
const TOUCH_BYTES = 8 + 8;
/** Most bytes that one member of any part takes in a raw payload. */
const MEMBER_BYTES = Math.max(1 + ADDRESS_BYTES, TOUCH_BYTES, INDEX_ENTRY_BYTES);

/** What a `.nwt` file says of its trace. */
export interface NwtHeader {
  /** Name of the file (without folders) or of the recording that it was made from. */
  source: string;
  /** Format that it was made from. */
  sourceFormat: 'lackey' | 'champsim';
  /** SHA-256 (hex) of the original, decompressed; null when that was not read to its end. */
  sourceSha256: string | null;
  /** The command that was recorded, if known. */
  command: string | null;
  /** Whether fetches were kept when it was made. */
  fetchesKept: boolean;
  /** Accesses in all, and by kind. */
  accesses: number;
  reads: number;
  writes: number;
  fetches: number;
  /** Distinct 4 KiB pages, with and without fetches. */
  pages: number;
  dataPages: number;
  /** The highest page number touched; 0 for an empty trace. */
  highestPage: number;
}

/** First touches: page numbers in order, and for each the index of the access that made it. */
export interface Touches {
  pages: Float64Array;
  indexes: Float64Array;
}

/** What the index says of one block: where its frame begins and what it holds. */
export interface IndexEntry {
  position: number;
  accesses: number;
  fetches: number;
}

const deflate = promisify(deflateRaw);

/** Frames a payload: counts, lengths, checksum, compressed bytes. */
export async function frame(count: number, raw: Uint8Array): Promise<Uint8Array> {
  const stored = (await deflate(raw, { level: 9 })) as Buffer;
  const bytes = new Uint8Array(FRAME_BYTES + stored.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, count, true);
  view.setUint32(4, raw.length, true);
  view.setUint32(8, stored.length, true);
  bytes.set(stored, FRAME_BYTES);
  view.setUint32(12, frameCrc(bytes), true);
  return bytes;
}

/** Checksum of a framed payload: of its first three numbers, then of what follows the checksum. */
const frameCrc = (bytes: Uint8Array): number =>
  crc32(bytes.subarray(FRAME_BYTES), crc32(bytes.subarray(0, 12)));

/**
 * Payload of a framed part that should hold `count` members.
 * @throws Error when it is not what its frame says
 */
export function unframe(bytes: Uint8Array, count: number): Uint8Array {
  if (bytes.length < FRAME_BYTES) throw new Error('it is too short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_BYTES);
  if (view.getUint32(12, true) !== frameCrc(bytes)) throw new Error('its checksum is wrong');
  const rawBytes = view.getUint32(4, true);
  const stored = view.getUint32(8, true);
  if (
    stored !== bytes.length - FRAME_BYTES ||
    rawBytes > MEMBER_BYTES * count ||
    view.getUint32(0, true) !== count
  ) {
    throw new Error('its lengths disagree');
  }
  const raw = inflateRawSync(bytes.subarray(FRAME_BYTES), { maxOutputLength: Math.max(1, rawBytes) });
  if (raw.length !== rawBytes) throw new Error('its lengths disagree');
  return raw;
}

/** Writes varints (seven bits a byte, lowest first) of safe integers that are not negative. */
class VarintWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }

  put(value: number): void {
    while (value >= 128) {
      this.bytes[this.length++] = (value % 128) + 128;
      value = Math.floor(value / 128);
    }
    this.bytes[this.length++] = value;
  }

  putSigned(value: number): void {
    this.put(value < 0 ? -2 * value - 1 : 2 * value);
  }

  taken(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Reads them back, and throws on what no writer wrote. */
class VarintReader {
  at: number;
  #bytes: Uint8Array;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.at++];
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let scale = 128; byte >= 128; scale *= 128) {
      byte = bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte === undefined || value > Number.MAX_SAFE_INTEGER)
        throw new Error('it holds an impossible number');
    }
    return value;
  }

  getSigned(): number {
    const value = this.get();
    if (value < 2 ** 31) return (value >>> 1) ^ -(value & 1);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** All bytes must have been used. */
  finish(): void {
    if (this.at !== this.#bytes.length) throw new Error('it is not as long as its numbers');
  }
}

/** The pages that one kind of access touched last, the latest first, and the last offset in each. */
class RecentPages {
  readonly pages = new Float64Array(RECENT);
  readonly offsets = new Int32Array(RECENT);

  /** Place of a page; {@link RECENT} when it is not there. */
  rank(page: number): number {
    let rank = 0;
    while (rank < RECENT && this.pages[rank] !== page) rank += 1;
    return rank;
  }

  /** Puts the page at this place (or a new one, which drops the oldest) in front. */
  use(rank: number, page: number, offset: number): void {
    const { pages, offsets } = this;
    for (let i = Math.min(rank, RECENT - 1); i > 0; i--) {
      pages[i] = pages[i - 1];
      offsets[i] = offsets[i - 1];
    }
    pages[0] = page;
    offsets[0] = offset;
  }
}

/** Raw payload of a block. */
export function encodeBlock({ pages, words, count }: AccessBlock): Uint8Array {
  const ranks = new Uint8Array(count);
  const columns = ACCESS_KINDS.map(() => new VarintWriter(ADDRESS_BYTES * count));
  const recents = ACCESS_KINDS.map(() => new RecentPages());
  for (let i = 0; i < count; i++) {
    const kind = words[i] >> KIND_SHIFT;
    const offset = words[i] & 0xfff;
    const recent = recents[kind];
    const rank = recent.rank(pages[i]);
    ranks[i] = KIND_STEP * kind + rank;
    if (rank === RECENT) columns[kind].putSigned(pages[i] - recent.pages[0]);
    columns[kind].putSigned(offset - (rank === RECENT ? 0 : recent.offsets[rank]));
    recent.use(rank, pages[i], offset);
  }
  return Buffer.concat([ranks, ...columns.map((column) => column.taken())]);
}

/**
 * The accesses of a block.
 * @throws Error when the payload is none that {@link encodeBlock} makes
 */
export function decodeBlock(raw: Uint8Array, count: number): AccessBlock {
  if (count > BLOCK_ACCESSES || raw.length < count) throw new Error('its lengths disagree');
  const block = { pages: new Float64Array(count), words: new Uint16Array(count), count };
  const reader = new VarintReader(raw, count);
  let decoded = 0;
  for (let kind = 0; kind < ACCESS_KINDS.length; kind++) decoded += decodeColumn(raw, kind, reader, block);
  if (decoded !== count) throw new Error('it holds an impossible kind');
  reader.finish();
  return block;
}

/** Decodes the accesses of one kind to their places in the block; returns how many there were. */
function decodeColumn(
  raw: Uint8Array,
  kind: number,
  reader: VarintReader,
  { pages, words, count }: AccessBlock,
): number {
  const recent = new RecentPages();
  let decoded = 0;
  for (let i = 0; i < count; i++) {
    const rank = raw[i] - KIND_STEP * kind;
    if (rank < 0 || rank > RECENT) continue;
    const page = rank === RECENT ? recent.pages[0] + reader.getSigned() : recent.pages[rank];
    const offset = reader.getSigned() + (rank === RECENT ? 0 : recent.offsets[rank]);
    if (!(offset >= 0 && offset < 4096 && page >= 0 && page < 2 ** 52)) {
      throw new Error('it holds an impossible address');
    }
    recent.use(rank, page, offset);
    pages[i] = page;
    words[i] = offset | (kind << KIND_SHIFT);
    decoded += 1;
  }
  return decoded;
}

/** Raw payload of a list of first touches. */
export function encodeTouches({ pages, indexes }: Touches): Uint8Array {
  const writer = new VarintWriter(TOUCH_BYTES * pages.length);
  for (let i = 0; i < pages.length; i++) {
    writer.putSigned(pages[i] - (i > 0 ? pages[i - 1] : 0));
    writer.put(indexes[i] - (i > 0 ? indexes[i - 1] : 0));
  }
  return writer.taken();
}

/**
 * The list of first touches again.
 * @throws Error when the payload is none that {@link encodeTouches} makes
 */
export function decodeTouches(raw: Uint8Array, count: number): Touches {
  if (2 * count > raw.length) throw new Error('its lengths disagree');
  const pages = new Float64Array(count);
  const indexes = new Float64Array(count);
  const reader = new VarintReader(raw, 0);
  let page = 0;
  let index = 0;
  for (let i = 0; i < count; i++) {
    page += reader.getSigned();
    index += reader.get();
    if (!(page >= 0 && page < 2 ** 52 && index <= Number.MAX_SAFE_INTEGER)) {
      throw new Error('it holds an impossible first touch');
    }
    pages[i] = page;
    indexes[i] = index;
  }
  reader.finish();
  return { pages, indexes };
}

/** Raw payload of the index. */
export function encodeIndex(entries: readonly IndexEntry[]): Uint8Array {
  const bytes = new Uint8Array(INDEX_ENTRY_BYTES * entries.length);
  const view = new DataView(bytes.buffer);
  entries.forEach((entry, i) => {
    view.setBigUint64(INDEX_ENTRY_BYTES * i, BigInt(entry.position), true);
    view.setUint32(INDEX_ENTRY_BYTES * i + 8, entry.accesses, true);
    view.setUint32(INDEX_ENTRY_BYTES * i + 12, entry.fetches, true);
  });
  return bytes;
}

/**
 * The index again.
 * @throws Error when its length is wrong
 */
export function decodeIndex(raw: Uint8Array, count: number): IndexEntry[] {
  if (raw.length !== INDEX_ENTRY_BYTES * count) throw new Error('its lengths disagree');
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: count }, (_, i) => ({
    position: Number(view.getBigUint64(INDEX_ENTRY_BYTES * i, true)),
    accesses: view.getUint32(INDEX_ENTRY_BYTES * i + 8, true),
    fetches: view.getUint32(INDEX_ENTRY_BYTES * i + 12, true),
  }));
}
