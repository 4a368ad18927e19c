/** Bytes of a trace file, decompressed on the way, with bounded memory: whoever reads sets the pace. */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import type { Gunzip } from 'node:zlib';
import { createGunzip } from 'node:zlib';
import { NestwalkError } from '../errors.ts';

/** How a trace file is compressed, as its first bytes tell. */
export type Compression = 'none' | 'gzip' | 'xz' | 'zstd';

const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];

/** Debian package of each program that traces need. */
const PACKAGES: Readonly<Record<string, string>> = { xz: 'xz-utils', zstd: 'zstd', valgrind: 'valgrind' };

const CHUNK_BYTES = 1 << 20;
/** Compressed bytes handed to zlib at a time: deflate expands at most 1032-fold, so at most 32 MiB wait. */
const GUNZIP_SLICE_BYTES = 1 << 15;

/** A trace file as a stream of decompressed bytes that can be read more than once. */
export interface ByteSource {
  path: string;
  compression: Compression;
  /** Bytes of the file as it lies on the disk. */
  fileBytes: number;
  /** Bytes of the file that the latest reading has taken so far. */
  readBytes: () => number;
  /** Reads from the start. Ending early closes everything, child processes too, without an error. */
  chunks: () => AsyncGenerator<Uint8Array, void, undefined>;
}

/** The error for a program that is not installed, naming the Debian package that has it. */
export function missingTool(tool: string, purpose: string): NestwalkError {
  return new NestwalkError(
    'trace.tool',
    `${purpose} needs the program '${tool}', which is not installed: install the Debian package ` +
      `'${PACKAGES[tool] ?? tool}' (apt install ${PACKAGES[tool] ?? tool})`,
  );
}

/**
 * Opens a trace file and tells its compression by its first bytes, whatever its name.
 * @throws NestwalkError 'trace.file' when it cannot be read or is no file, 'trace.corrupt' when it is empty
 */
export async function openSource(path: string): Promise<ByteSource> {
  const fileBytes = await sizeOf(path);
  if (fileBytes === 0)
    throw new NestwalkError('trace.corrupt', `${path}: the file is empty; it holds no trace`);
  const compression = compressionOf(await firstBytes(path, 6));
  let taken = 0;
  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    taken = 0;
    const raw = fileChunks(path, (bytes) => {
      taken += bytes;
    });
    if (compression === 'none') yield* raw;
    else if (compression === 'gzip') yield* gunzipChunks(path, raw);
    else yield* toolChunks(path, compression, raw);
  }
  return { path, compression, fileBytes, readBytes: () => taken, chunks };
}

function compressionOf(head: Uint8Array): Compression {
  const found = MAGICS.find(([, magic]) => magic.every((byte, i) => head[i] === byte));
  return found ? found[0] : 'none';
}

async function sizeOf(path: string): Promise<number> {
  const stats = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (!stats.isFile())
    throw new NestwalkError('trace.file', `${path} is not a regular file; a trace is read from a file`);
  return stats.size;
}

/** The error for a file that the system refuses, with the system's reason in words. */
export function fileError(path: string, cause: unknown, verb = 'read'): NestwalkError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  const reasons: Record<string, string> = {
    ENOENT: verb === 'read' ? 'there is no such file' : 'its folder does not exist',
    EACCES: 'permission is denied',
    EPERM: 'permission is denied',
    EISDIR: 'it is a folder',
    ENOSPC: 'the disk is full',
  };
  const reason = reasons[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new NestwalkError('trace.file', `cannot ${verb} ${path}: ${reason}`, { cause });
}

async function firstBytes(path: string, bytes: number): Promise<Uint8Array> {
  for await (const chunk of fileChunks(path, () => {})) return chunk.subarray(0, bytes);
  return new Uint8Array(0);
}

async function* fileChunks(
  path: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Buffer, void, undefined> {
  const handle = await open(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES).catch((cause: unknown) => {
        throw fileError(path, cause);
      });
      if (bytesRead === 0) return;
      onBytes(bytesRead);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/**
 * Gunzips slice by slice. What came out before a fault is yielded before the fault is thrown (a pipe would drop it),
 * so that a reader which needs only the sound beginning of a damaged file gets it.
 */
async function* gunzipChunks(
  path: string,
  raw: AsyncIterable<Buffer>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const ready: Uint8Array[] = [];
  let failure: Error | undefined;
  gunzip.on('data', (chunk: Buffer) => ready.push(chunk));
  gunzip.on('error', (error) => {
    failure = error;
  });
  try {
    for await (const chunk of raw) {
      for (let at = 0; at < chunk.length; at += GUNZIP_SLICE_BYTES) {
        await settled(gunzip, (done) => gunzip.write(chunk.subarray(at, at + GUNZIP_SLICE_BYTES), done));
        yield* ready.splice(0);
        if (failure) throw gzipError(path, failure);
      }
    }
    await settled(gunzip, (done) => gunzip.once('end', done).end());
    yield* ready.splice(0);
    if (failure) throw gzipError(path, failure);
  } finally {
    gunzip.destroy();
  }
}

/** Resolves when the step is done or the stream has failed; zlib never calls the callback of a step that fails. */
function settled(gunzip: Gunzip, step: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      gunzip.off('error', done);
      resolve();
    };
    gunzip.once('error', done);
    step(done);
  });
}

function gzipError(path: string, cause: Error): NestwalkError {
  const cut = (cause as NodeJS.ErrnoException).code === 'Z_BUF_ERROR';
  const what = cut
    ? 'the gzip file is truncated: it ends before its end mark'
    : `the gzip file is damaged (${cause.message})`;
  return new NestwalkError('trace.corrupt', `${path}: ${what}; copy or record it again`, { cause });
}

/** Decompresses by a child process. Its exit is checked, since one that was killed looks like the end of the data. */
async function* toolChunks(
  path: string,
  tool: 'xz' | 'zstd',
  raw: AsyncIterable<Buffer>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const child = spawn(tool, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const exit = exitOf(child);
  await started(child, () => missingTool(tool, `reading ${path}`));
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(0, 500);
  });
  let inputFailure: unknown;
  const fed = feed(raw, child.stdin).catch((error: unknown) => {
    inputFailure = error;
  });
  let ended = false;
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    ended = true;
  } finally {
    // A reader that has enough, or that failed, ends the child; how the child takes that is of no interest.
    if (!ended) child.kill('SIGKILL');
    child.stdin.destroy();
    await Promise.all([fed, exit]);
  }
  if (inputFailure !== undefined) throw inputFailure;
  checkExit(path, tool, await exit, complaint.trim());
}

interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** How a child process ended, once it and its pipes have. A child that never started ends with neither. */
export function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('error', () => {
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
}

/** Waits until a child process runs. */
export async function started(child: ChildProcess, missing: () => NestwalkError): Promise<void> {
  try {
    await once(child, 'spawn');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw missing();
    throw new NestwalkError('trace.tool', `cannot start '${child.spawnfile}': ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Writes all chunks, waiting whenever the pipe is full. A pipe closed by its reader is no error here. */
async function feed(raw: AsyncIterable<Buffer>, pipe: Writable): Promise<void> {
  const closed = new Promise<void>((resolve) => pipe.once('close', resolve));
  pipe.on('error', () => {});
  for await (const chunk of raw) {
    if (pipe.destroyed) return;
    if (!pipe.write(chunk)) await Promise.race([once(pipe, 'drain').catch(() => {}), closed]);
  }
  pipe.end();
}

function checkExit(path: string, tool: string, { code, signal }: Exit, complaint: string): void {
  if (signal !== null) {
    throw new NestwalkError(
      'trace.tool',
      `${path}: '${tool} -dc' was killed by ${signal} before it was done, so the trace would be short; read it again`,
    );
  }
  if (code !== 0) {
    const said = complaint === '' ? '' : `: ${complaint.replaceAll(/\s+/g, ' ')}`;
    throw new NestwalkError(
      'trace.corrupt',
      `${path}: '${tool} -dc' failed with exit code ${code}${said}; the file is truncated or damaged, copy or record it again`,
    );
  }
}
