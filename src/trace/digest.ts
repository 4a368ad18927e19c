/** What a trace file is known by in results. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { NestwalkError } from '../errors.ts';

/**
 * SHA-256 of a file's bytes, compressed as they are (64 hex digits).
 * @throws NestwalkError `trace.file` when it cannot be read
 */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash);
  } catch (cause) {
    throw new NestwalkError('trace.file', `${path} cannot be read: ${(cause as Error).message}.`, { cause });
  }
  return hash.digest('hex');
}
