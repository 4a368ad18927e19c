/** Which format a trace file has, and how to read the formats that are streams. */
import { createHash } from 'node:crypto';
import { formatByName, TRACE_FORMATS, type TraceFormat } from '../config/traceFormat.ts';
import { NestwalkError } from '../errors.ts';
import type { AccessBlock, ReadOptions } from './block.ts';
import { looksLikeChampsim, readChampsim } from './champsim.ts';
import { readLackey } from './lackey.ts';
import { looksLikeNwt } from './nwt.ts';
import type { ByteSource } from './source.ts';

/**
 * Format of a trace: by its name where that tells it, else by its content.
 * @throws NestwalkError 'trace.corrupt' when neither tells
 */
export async function tellFormat(source: ByteSource): Promise<TraceFormat> {
  const format = formatByName(source.path) ?? formatByContent(await firstPart(source));
  if (format !== undefined) return format;
  throw new NestwalkError(
    'trace.corrupt',
    `${source.path}: neither its name nor its content tells the format of this trace; say which it is: ` +
      TRACE_FORMATS.join(', '),
  );
}

function formatByContent(head: Uint8Array): TraceFormat | undefined {
  if (looksLikeNwt(head)) return 'nwt';
  const text = Buffer.from(head).toString('latin1');
  if (!head.includes(0) && /^(==|I {2}[\da-f]| [LSM] [\da-f])/m.test(text)) return 'lackey';
  return looksLikeChampsim(head) ? 'champsim' : undefined;
}

async function firstPart(source: ByteSource): Promise<Uint8Array> {
  for await (const chunk of source.chunks()) return chunk.subarray(0, 4096);
  return new Uint8Array(0);
}

/** What a reading can note besides the accesses: a hash of the original, and the command that valgrind names. */
export class Notes {
  /** SHA-256 (hex) of all bytes; null until they have been read to the end. */
  sha256: string | null = null;
  /** From valgrind's line `==pid== Command: …`. */
  command: string | null = null;
  /** Whether valgrind's closing line `==pid== Exit code: …` came: it wrote all it had to write. */
  closed = false;

  async *hashed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = createHash('sha256');
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
    this.sha256 = hash.digest('hex');
  }

  comment(line: string): void {
    this.command ??= /^==\d+== Command: (.+)$/.exec(line)?.[1] ?? null;
    this.closed ||= /^==\d+== Exit code: /.test(line);
  }
}

/** Reads lackey text or ChampSim records; notes what it is asked to note. */
export function readStream(
  source: ByteSource,
  format: 'lackey' | 'champsim',
  options: ReadOptions,
  notes?: Notes,
): AsyncGenerator<AccessBlock, void, undefined> {
  const chunks = notes ? notes.hashed(source.chunks()) : source.chunks();
  if (format === 'champsim') return readChampsim(chunks, source.path, options);
  return readLackey(chunks, source.path, options, notes && ((line) => notes.comment(line)));
}
