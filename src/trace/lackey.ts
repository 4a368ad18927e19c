/**
 * Text of valgrind's tool lackey with `--trace-mem=yes`: `I  addr,size` (fetch), ` L addr,size` (read),
 * ` S addr,size` (write), ` M addr,size` (reads, then writes); addresses in hex, sizes in decimal.
 */

import { NestwalkError } from '../errors.ts';
import { KIND_SHIFT } from '../schema.ts';
import type { AccessBlock, ReadOptions } from './block.ts';
import { addressError, BlockFiller, FETCH, pageBound, quoted, READ, WRITE } from './block.ts';

const NEWLINE = 0x0a;
const COMMA = 0x2c;
const EQUALS = 0x3d;
const SPACE = 0x20;
const LETTER_I = 0x49;
const LETTER_L = 0x4c;
const LETTER_S = 0x53;
const LETTER_M = 0x4d;
/** What is kept of an unfinished line stays bounded; valgrind prints whole command lines, of up to 2 MiB. */
const LINE_BYTES = 1 << 22;
/** ` M` while parsing: reads, then writes. */
const MODIFY = 3;
const NOT_HEX = -0x80000000;

/** Value of each hex digit; any other byte gives a negative number. */
const HEX = new Int32Array(256).fill(NOT_HEX);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/** What of one line is still to be given out: an access of several pages, or one that is read and then written. */
interface Pending {
  kind: number;
  offset: number;
  firstPage: number;
  lastPage: number;
  nextPage: number;
  /** Once `lastPage` is given out, the same again as writes. */
  writesFollow: boolean;
}

/** Parses whole lines into blocks; keeps its place across blocks and chunks. */
class LackeyParser {
  readonly filler: BlockFiller;
  #name: string;
  #bound: number;
  #levels: number | undefined;
  #fetches: boolean;
  #onComment: (line: string) => void;
  #pending: Pending | undefined;
  /** Lines parsed, and where the bytes handed to `parse` begin in the text: for messages. */
  #lines = 0;
  #base = 0;
  #lineByte = 0;

  constructor(name: string, options: ReadOptions, onComment: (line: string) => void) {
    this.filler = new BlockFiller(options.limit);
    this.#name = name;
    this.#levels = options.levels;
    this.#bound = pageBound(options.levels);
    this.#fetches = options.fetches ?? true;
    this.#onComment = onComment;
  }

  /** Says that `bytes` of the text lie behind: positions in messages count from the start of the text. */
  advance(bytes: number): void {
    this.#base += bytes;
  }

  /** Gives out what is left of the last line, as far as there is room; true when nothing is left. */
  #drain(): boolean {
    const pending = this.#pending;
    if (pending === undefined) return true;
    while (this.filler.room > 0) {
      const offset = pending.nextPage === pending.firstPage ? pending.offset : 0;
      if (pending.nextPage >= this.#bound) throw this.#outside(pending.nextPage, offset, pending.kind);
      this.filler.add(pending.nextPage, offset | (pending.kind << KIND_SHIFT));
      pending.nextPage += 1;
      if (pending.nextPage <= pending.lastPage) continue;
      if (!pending.writesFollow) {
        this.#pending = undefined;
        return true;
      }
      this.#pending = { ...pending, kind: WRITE, nextPage: pending.firstPage, writesFollow: false };
      return this.#drain();
    }
    return false;
  }

  /** Parses whole lines from bytes[at] on until the block is full; returns where it stopped. */
  parse(bytes: Uint8Array, at: number): number {
    const { filler } = this;
    const end = bytes.length;
    if (!this.#drain()) return at;
    while (at < end && filler.room > 0) {
      const start = at;
      const kind = kindOf(bytes, at);
      if (kind < 0) {
        at = this.#otherLine(bytes, start, end);
        continue;
      }
      at += 3;
      // The address: the page from all digits but the last three, so that all 64 bits stay exact.
      const digits = at;
      let bad = 0;
      while (bytes[at] !== COMMA && bytes[at] !== NEWLINE) at++;
      const comma = at;
      const split = comma - 3;
      let page = 0;
      at = digits;
      for (; at < split; at++) {
        const digit = HEX[bytes[at]];
        bad |= digit;
        page = page * 16 + digit;
      }
      let offset = 0;
      for (; at < comma; at++) {
        const digit = HEX[bytes[at]];
        bad |= digit;
        offset = offset * 16 + digit;
      }
      at = comma + 1;
      let size = 0;
      let byte = bytes[at];
      while (byte >= 0x30 && byte <= 0x39) {
        size = size * 10 + (byte - 0x30);
        byte = bytes[++at];
      }
      if (bad < 0 || comma === digits || bytes[comma] !== COMMA || at === comma + 1 || byte !== NEWLINE) {
        throw this.#badLine(bytes, start, end);
      }
      at += 1;
      this.#lines += 1;
      if (kind === FETCH && !this.#fetches) continue;
      if (page >= 2 ** 52 || size > Number.MAX_SAFE_INTEGER)
        throw this.#badLine(bytes, start, end, this.#lines);
      if (kind !== MODIFY && offset + size <= 4096 && page < this.#bound) {
        filler.add(page, offset | (kind << KIND_SHIFT));
        continue;
      }
      this.#lineByte = this.#base + start;
      this.#pending = {
        kind: kind === MODIFY ? READ : kind,
        offset,
        firstPage: page,
        lastPage: page + Math.floor((offset + Math.max(size, 1) - 1) / 4096),
        nextPage: page,
        writesFollow: kind === MODIFY,
      };
      if (!this.#drain()) return at;
    }
    return at;
  }

  /** A line that is no access: blank and `==` lines are passed over, any other is an error. */
  #otherLine(bytes: Uint8Array, start: number, end: number): number {
    const next = bytes.indexOf(NEWLINE, start) + 1;
    const marked = bytes[start] === EQUALS && bytes[start + 1] === EQUALS;
    if (!marked && !blank(bytes, start, next - 1)) throw this.#badLine(bytes, start, end);
    if (marked) this.#onComment(Buffer.from(bytes.subarray(start, next - 1)).toString());
    this.#lines += 1;
    return next;
  }

  #badLine(bytes: Uint8Array, start: number, end: number, line = this.#lines + 1): NestwalkError {
    const newline = bytes.indexOf(NEWLINE, start);
    const text = bytes.subarray(start, newline < 0 ? end : newline);
    return this.lineError(text, line, this.#base + start);
  }

  /** The error for a line that is not lackey's; lines are counted from 1, bytes from 0, in the decompressed text. */
  lineError(text: Uint8Array, line = this.#lines + 1, byte = this.#base): NestwalkError {
    return new NestwalkError(
      'trace.corrupt',
      `${this.#name}: line ${line} (byte ${byte}) is no line of a lackey trace: ${quoted(text)}; allowed are 'I  addr,size', ` +
        `' L addr,size', ' S addr,size', ' M addr,size' (addr up to 64 bits in hex), blank lines and lines that begin '=='`,
    );
  }

  #outside(page: number, offset: number, kind: number): NestwalkError {
    const where = `${this.#name}: line ${this.#lines} (byte ${this.#lineByte})`;
    return addressError(where, page, offset, kind, this.#levels);
  }
}

/** Kind by the first three bytes of a line; negative for a line that is no access. */
function kindOf(bytes: Uint8Array, at: number): number {
  if (bytes[at + 2] !== SPACE) return -1;
  if (bytes[at] === SPACE) {
    const letter = bytes[at + 1];
    if (letter === LETTER_L) return READ;
    if (letter === LETTER_S) return WRITE;
    return letter === LETTER_M ? MODIFY : -1;
  }
  return bytes[at] === LETTER_I && bytes[at + 1] === SPACE ? FETCH : -1;
}

function blank(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== SPACE && bytes[i] !== 0x09) return false;
  return true;
}

/**
 * Reads lackey text. An access that crosses 4 KiB boundaries is one access per 4 KiB page, ascending, the first at
 * its own address, the others at the first byte of their page; size 0 counts as 1 (docs/model.md, traces).
 *
 * @param chunks the decompressed text, cut anywhere
 * @param name what to call the trace in messages
 * @param onComment is given each line that begins `==` (valgrind's own, with the command and the exit code)
 * @throws NestwalkError 'trace.corrupt' for a line that is not lackey's, 'trace.address' for an access kept that lies
 *   outside the address space; both name the line (from 1) and its byte (from 0) in the decompressed text
 */
export async function* readLackey(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  options: ReadOptions = {},
  onComment: (line: string) => void = () => {},
): AsyncGenerator<AccessBlock, void, undefined> {
  const parser = new LackeyParser(name, options, onComment);
  const { filler } = parser;
  if (filler.complete) return;
  for await (const bytes of wholeLines(chunks, parser)) {
    // With room left, everything in `bytes` is parsed and nothing is pending.
    for (let at = parser.parse(bytes, 0); filler.room === 0; at = parser.parse(bytes, at)) {
      const last = filler.complete;
      yield filler.take();
      if (last) return;
    }
    parser.advance(bytes.length);
  }
  if (filler.count > 0) yield filler.take();
}

/** Joins chunks so that each piece ends with a newline; one is added where the text ends without. */
async function* wholeLines(
  chunks: AsyncIterable<Uint8Array>,
  parser: LackeyParser,
): AsyncGenerator<Uint8Array, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const first = chunk.indexOf(NEWLINE) + 1;
    if (first === 0) {
      rest = Buffer.concat([rest, chunk]);
      if (rest.length > LINE_BYTES) throw parser.lineError(rest);
      continue;
    }
    let from = 0;
    if (rest.length > 0) {
      yield Buffer.concat([rest, chunk.subarray(0, first)]);
      from = first;
    }
    const last = chunk.lastIndexOf(NEWLINE) + 1;
    if (last > from) yield chunk.subarray(from, last);
    rest = chunk.subarray(last);
  }
  if (rest.length > 0) yield Buffer.concat([rest, Uint8Array.of(NEWLINE)]);
}
