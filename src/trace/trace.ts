/** Recorded streams: open one whatever its format, print it, tell what is in it, convert it. */
import type { TraceFormat } from '../config/traceFormat.ts';
import { NestwalkError } from '../errors.ts';
import type { AccessBlock, ReadOptions } from './block.ts';
import { accessLine } from './block.ts';
import { readStream, tellFormat } from './format.ts';
import { NwtFile } from './nwt.ts';
import type { NwtHeader } from './nwtFormat.ts';
import { PageSet } from './pageSet.ts';
import type { PassOptions } from './pass.ts';
import { watched } from './pass.ts';
import type { ByteSource, Compression } from './source.ts';
import { openSource } from './source.ts';

export type { AccessBlock } from './block.ts';
export type { ConvertOptions, TraceInfo } from './convert.ts';
export { convertTrace, traceInfo } from './convert.ts';
export type { PassOptions, TraceProgress } from './pass.ts';

/** How to read a trace. */
export interface TraceOptions extends ReadOptions {
  /** Absent: told by the name without `.gz`, `.xz`, `.zst` (`.lackey`, `.champsimtrace`, `.nwt`), else by content. */
  format?: TraceFormat;
}

/** An open trace. */
export interface Trace {
  path: string;
  format: TraceFormat;
  compression: Compression;
  /** What a `.nwt` file says of itself; undefined in other formats. */
  header: NwtHeader | undefined;
  /** Accesses that are kept, when that is known without reading: in a `.nwt` file. */
  accesses: number | undefined;
  /** The accesses kept, in order, from index `from` (default 0) on. May be called again. */
  blocks: (from?: number) => AsyncGenerator<AccessBlock, void, undefined>;
  /**
   * 4 KiB page numbers in the order of first touch among the accesses kept. A `.nwt` file carries them; in other
   * formats this is a pass over the trace, which can report progress and be cancelled.
   */
  firstTouch: (pass?: PassOptions) => Promise<Float64Array>;
  /** Part of the trace, 0 to 1, that the latest reading has taken. */
  fraction: () => number;
  /** Closes the file and ends what still reads it. */
  close: () => Promise<void>;
}

/**
 * Opens a trace.
 * @throws NestwalkError 'trace.file' when it cannot be read, 'trace.corrupt' when it is damaged or of no known format,
 *   'trace.tool' when it needs a program that is not installed, 'usage' for a senseless limit. Reading throws these too,
 *   and 'trace.address' for an access kept that lies outside the address space.
 */
export async function openTrace(path: string, options: TraceOptions = {}): Promise<Trace> {
  checkOptions(options);
  const source = await openSource(path);
  const format = options.format ?? (await tellFormat(source));
  return format === 'nwt' ? openNwt(source, options) : openStream(source, format, options);
}

function checkOptions({ limit, levels }: TraceOptions): void {
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw new NestwalkError(
      'usage',
      `the limit of a trace is a number of accesses, 0 or more; ${limit} was given`,
    );
  }
  if (levels !== undefined && ![2, 3, 4, 5].includes(levels)) {
    throw new NestwalkError('usage', `page tables have 2 to 5 levels; ${levels} was given`);
  }
}

async function openNwt(source: ByteSource, options: TraceOptions): Promise<Trace> {
  const { path, compression } = source;
  const file = await NwtFile.open(source);
  const accesses = Math.min(file.kept(options.fetches ?? true), options.limit ?? Number.POSITIVE_INFINITY);
  let given = 0;
  async function* blocks(from = 0): AsyncGenerator<AccessBlock, void, undefined> {
    given = from;
    for await (const block of file.blocks(options, from)) {
      given += block.count;
      yield block;
    }
  }
  return {
    path,
    format: 'nwt',
    compression,
    header: file.header,
    accesses,
    blocks,
    firstTouch: () => file.firstTouch(options),
    fraction: () => (accesses === 0 ? 1 : Math.min(1, given / accesses)),
    close: () => file.close(),
  };
}

function openStream(source: ByteSource, format: 'lackey' | 'champsim', options: TraceOptions): Trace {
  const { path, compression } = source;
  const running = new Set<AsyncGenerator<AccessBlock, void, undefined>>();
  const fraction = (): number => source.readBytes() / source.fileBytes;
  let closed = false;
  async function* blocks(from = 0): AsyncGenerator<AccessBlock, void, undefined> {
    const reader = readStream(source, format, options);
    running.add(reader);
    try {
      let first = 0;
      for await (const block of reader) {
        if (first + block.count > from) yield without(block, from - first);
        first += block.count;
      }
    } finally {
      running.delete(reader);
    }
    if (closed) throw new NestwalkError('trace.file', `${path} was closed while it was read`);
  }
  return {
    path,
    format,
    compression,
    header: undefined,
    accesses: undefined,
    blocks,
    firstTouch: async (pass = {}) => {
      const touched = new PageSet();
      let index = 0;
      for await (const { pages, count } of watched(blocks(), fraction, pass)) {
        for (let i = 0; i < count; i++) touched.touch(pages[i], index++);
      }
      return touched.pages().slice();
    },
    fraction,
    close: async () => {
      closed = true;
      await Promise.all([...running].map((reader) => reader.return()));
    },
  };
}

/** A block without its first accesses. */
function without(block: AccessBlock, first: number): AccessBlock {
  if (first <= 0) return block;
  const { pages, words, count } = block;
  return { pages: pages.slice(first, count), words: words.slice(first, count), count: count - first };
}

/** Which accesses `dumpTrace` prints. */
export interface DumpOptions extends Pick<TraceOptions, 'format' | 'fetches'> {
  /** Index of the first, among those kept; default 0. */
  from?: number;
  /** How many; absent: to the end. */
  count?: number;
}

/**
 * The accesses of a trace as text lines `R 0x…`, `W 0x…`, `F 0x…`, without line ends.
 * @throws NestwalkError as {@link openTrace}
 */
export async function* dumpTrace(
  path: string,
  { format, fetches, from = 0, count }: DumpOptions = {},
): AsyncGenerator<string, void, undefined> {
  const limit = count === undefined ? undefined : from + count;
  const trace = await openTrace(path, { format, fetches, limit });
  try {
    for await (const { pages, words, count } of trace.blocks(from)) {
      for (let i = 0; i < count; i++) yield accessLine(pages[i], words[i]);
    }
  } finally {
    await trace.close();
  }
}
