/** What is in a trace, and its conversion to `.nwt`. */
import { basename, resolve } from 'node:path';
import { compressionByName, formatByName, type TraceFormat } from '../config/traceFormat.ts';
import { NestwalkError } from '../errors.ts';
import type { AccessBlock, ReadOptions } from './block.ts';
import { pageBound } from './block.ts';
import { Notes, readStream, tellFormat } from './format.ts';
import { NwtFile } from './nwt.ts';
import type { NwtHeader } from './nwtFormat.ts';
import type { NwtOrigin } from './nwtWriter.ts';
import { Census, NwtWriter } from './nwtWriter.ts';
import type { PassOptions } from './pass.ts';
import { watched } from './pass.ts';
import type { ByteSource, Compression } from './source.ts';
import { openSource } from './source.ts';

/** What is in a trace. */
export interface TraceInfo extends NwtHeader {
  path: string;
  format: TraceFormat;
  compression: Compression;
  /** Bytes of the file as it lies on the disk. */
  fileBytes: number;
  /** Blocks that can be read alone; null in formats without an index. */
  blocks: number | null;
  /** Fewest levels (2 to 5) of a page table that reaches all addresses; null when five levels do not. */
  levels: number | null;
}

/**
 * Tells what is in a trace: by the header of a `.nwt` file, by a pass over any other.
 * @throws NestwalkError as `openTrace`, and 'run.cancelled'
 */
export async function traceInfo(
  path: string,
  { format, ...pass }: PassOptions & { format?: TraceFormat } = {},
): Promise<TraceInfo> {
  const source = await openSource(path);
  const { compression, fileBytes } = source;
  const told = format ?? (await tellFormat(source));
  const { header, blocks } = told === 'nwt' ? await headerOf(source) : await countStream(source, told, pass);
  const levels = [2, 3, 4, 5].find((n) => header.highestPage < pageBound(n)) ?? null;
  return { path, format: told, compression, fileBytes, ...header, blocks, levels };
}

async function headerOf(source: ByteSource): Promise<{ header: NwtHeader; blocks: number }> {
  const file = await NwtFile.open(source);
  await file.close();
  return { header: file.header, blocks: file.entries.length };
}

async function countStream(
  source: ByteSource,
  format: 'lackey' | 'champsim',
  pass: PassOptions,
): Promise<{ header: NwtHeader; blocks: null }> {
  const census = new Census();
  const origin = await scanStream(source, format, {}, pass, (block) => census.add(block));
  return { header: { ...origin, ...census.counts() }, blocks: null };
}

/** What to convert. */
export interface ConvertOptions extends PassOptions, Pick<ReadOptions, 'fetches' | 'limit'> {
  /** Format of the original; absent: told by name or content. */
  format?: TraceFormat;
}

/**
 * Converts a trace to `.nwt`. The target appears when it is whole; a conversion that fails leaves nothing. All 64-bit
 * addresses are kept; whether they fit an address space is checked when the trace is run.
 * @returns the header of the new file
 * @throws NestwalkError as `openTrace`, 'usage' when the target is not named `.nwt`, 'run.cancelled'
 */
export async function convertTrace(
  from: string,
  to: string,
  options: ConvertOptions = {},
): Promise<NwtHeader> {
  if (formatByName(to) !== 'nwt' || compressionByName(to) !== '') {
    throw new NestwalkError(
      'usage',
      `a trace is converted to a file named *.nwt (its blocks are compressed); ${to} was given`,
    );
  }
  if (resolve(from) === resolve(to)) {
    throw new NestwalkError(
      'usage',
      `${to} is the trace that is to be converted; give the new one another name`,
    );
  }
  if (options.limit !== undefined && options.limit < 1) {
    throw new NestwalkError(
      'usage',
      `a limit of ${options.limit} accesses would leave an empty trace; give at least 1`,
    );
  }
  const source = await openSource(from);
  const format = options.format ?? (await tellFormat(source));
  const writer = await NwtWriter.create(to);
  try {
    const add = (block: AccessBlock): Promise<void> => writer.add(block);
    const origin =
      format === 'nwt'
        ? await scanNwt(source, options, options, add)
        : await scanStream(source, format, options, options, add);
    return await writer.finish(origin);
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

type Use = (block: AccessBlock) => void | Promise<void>;

async function scanStream(
  source: ByteSource,
  format: 'lackey' | 'champsim',
  { fetches, limit }: ReadOptions,
  pass: PassOptions,
  use: Use,
): Promise<NwtOrigin> {
  const notes = new Notes();
  const reader = readStream(source, format, { fetches, limit }, notes);
  const fraction = (): number => source.readBytes() / source.fileBytes;
  for await (const block of watched(reader, fraction, pass)) await use(block);
  const { sha256, command } = notes;
  return {
    source: basename(source.path),
    sourceFormat: format,
    sourceSha256: sha256,
    command,
    fetchesKept: fetches ?? true,
  };
}

async function scanNwt(
  source: ByteSource,
  { fetches, limit }: ReadOptions,
  pass: PassOptions,
  use: Use,
): Promise<NwtOrigin> {
  const file = await NwtFile.open(source);
  try {
    const kept = file.kept(fetches ?? true);
    const total = Math.min(kept, limit ?? Number.POSITIVE_INFINITY);
    let given = 0;
    for await (const block of watched(file.blocks({ fetches, limit }), () => given / total, pass)) {
      given += block.count;
      await use(block);
    }
    const { source: name, sourceFormat, sourceSha256, command, fetchesKept } = file.header;
    return {
      source: name,
      sourceFormat,
      sourceSha256,
      command,
      fetchesKept: fetchesKept && (fetches ?? true),
    };
  } finally {
    await file.close();
  }
}
