/** Records a real program with valgrind's tool lackey. Its log, some 14 bytes an access, goes through a pipe only. */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, createWriteStream, openSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { compressionByName, formatByName } from '../config/traceFormat.ts';
import { NestwalkError } from '../errors.ts';
import type { AccessBlock } from './block.ts';
import { Notes } from './format.ts';
import { readLackey } from './lackey.ts';
import type { NwtHeader } from './nwtFormat.ts';
import type { NwtOrigin } from './nwtWriter.ts';
import { Census, NwtWriter } from './nwtWriter.ts';
import { checkSignal } from './pass.ts';
import { exitOf, fileError, missingTool, started } from './source.ts';

/** Descriptor on which valgrind writes its log; it moves it out of the program's way and closes this one. */
const LOG_FD = 3;
const VALGRIND = [
  '--tool=lackey',
  '--trace-mem=yes',
  `--log-fd=${LOG_FD}`,
  // Options from the environment or ~/.valgrindrc would put other lines into the log.
  '--command-line-only=yes',
  '--sigill-diagnostics=no',
  // One process is one address space: children are neither traced nor mixed in.
  '--trace-children=no',
  '--child-silent-after-fork=yes',
];

/** How to record. */
export interface CaptureOptions {
  /** Keep instruction fetches; default true. */
  fetches?: boolean;
  /** End the program, by SIGKILL, when so many accesses are recorded. Absent: record to its end. */
  limit?: number;
  /** Ends the program; nothing is left behind. */
  signal?: AbortSignal;
  /** Called with the accesses recorded so far, after each 65,536. */
  onProgress?: (accesses: number) => void;
}

/** What was recorded, and how the program ended. */
export interface Capture {
  /** What the trace holds; the same for a text file, which does not carry it. */
  header: NwtHeader;
  /** Exit code of the program; null when a signal ended it. */
  exitCode: number | null;
  /** The signal that ended the program; null when it exited. */
  exitSignal: NodeJS.Signals | null;
  /** Whether the program was ended because the limit was reached. */
  limited: boolean;
}

/**
 * Runs a program under valgrind's lackey and records its accesses: as `.nwt`, or as lackey's own text when `out` ends in
 * `.lackey` or `.lackey.gz`. The program has the caller's standard input, output and error. Address-space randomisation
 * is off where the system allows that, so that two recordings are alike.
 * @throws NestwalkError 'trace.tool' when valgrind is missing or failed, 'trace.file' when `out` cannot be written,
 *   'usage' for an empty command or another kind of file, 'run.cancelled'
 */
export async function captureTrace(
  command: readonly string[],
  out: string,
  options: CaptureOptions = {},
): Promise<Capture> {
  if (command.length === 0)
    throw new NestwalkError('usage', 'name the program to record: trace capture -- CMD [ARGS]');
  const textual = checkTarget(out, options);
  await need('valgrind');
  checkSignal(options.signal);
  const writer = textual ? new TextWriter(out) : await NwtWriter.create(out);
  try {
    const recorded = await record(command, writer, options);
    const header = await writer.finish(recorded.origin);
    return { header, ...recorded.end };
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Whether the target is text; an error when it is neither that nor `.nwt`, or when text cannot do what is asked. */
function checkTarget(out: string, { fetches, limit }: CaptureOptions): boolean {
  const format = formatByName(out);
  const compression = compressionByName(out);
  if (format === 'nwt' && compression === '') return false;
  if (format !== 'lackey' || !['', '.gz'].includes(compression)) {
    throw new NestwalkError(
      'usage',
      `a trace is recorded to *.nwt, *.lackey or *.lackey.gz; ${out} was given`,
    );
  }
  if (fetches === false || limit !== undefined) {
    throw new NestwalkError(
      'usage',
      `a text recording is the whole log of valgrind: for 'fetches' or 'limit' record to *.nwt`,
    );
  }
  return true;
}

async function need(tool: string): Promise<void> {
  const child = spawn(tool, ['--version'], { stdio: 'ignore' });
  const exit = exitOf(child);
  await started(child, () => missingTool(tool, 'recording a trace'));
  await exit;
}

/** `setarch -R`, which turns address-space randomisation off, where it is present and allowed. */
async function withoutRandomisation(): Promise<string[]> {
  const child = spawn('setarch', ['-R', 'true'], { stdio: 'ignore' });
  const { code } = await exitOf(child);
  return code === 0 ? ['setarch', '-R'] : [];
}

/** A pipe: `read` for here, `write` (a descriptor, to be closed once the child has it) for the child. */
interface Pipe {
  read: Readable;
  write: number;
}

/**
 * Makes a pipe by opening a FIFO twice and removing its name. What Node itself gives a child is a socket; valgrind
 * writes each line alone, and on a socket that takes three times as long as on a pipe.
 */
async function makePipe(): Promise<Pipe> {
  const folder = await mkdtemp(join(tmpdir(), 'nestwalk-')).catch((cause: unknown) => {
    throw fileError(tmpdir(), cause, 'write');
  });
  try {
    const fifo = join(folder, 'log');
    const child = spawn('mkfifo', [fifo], { stdio: 'ignore' });
    const { code } = await exitOf(child);
    if (code !== 0)
      throw new NestwalkError('trace.tool', `'mkfifo ${fifo}' failed; recording a trace needs a pipe`);
    // Opening the reading end does not wait for a writer; the writing end must be one whose writes wait.
    const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    return {
      read: new Socket({ fd, readable: true, writable: false }),
      write: openSync(fifo, constants.O_WRONLY),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a recording is written to. */
interface Writer {
  /** Takes the log as it comes, before it is parsed. */
  log?: (chunk: Uint8Array) => Promise<void>;
  add: (block: AccessBlock) => void | Promise<void>;
  finish: (origin: NwtOrigin) => Promise<NwtHeader>;
  abandon: () => Promise<void>;
}

async function record(
  command: readonly string[],
  writer: Writer,
  options: CaptureOptions,
): Promise<{ origin: NwtOrigin; end: Omit<Capture, 'header'> }> {
  const { fetches = true, limit, signal, onProgress } = options;
  const [program, ...args] = [...(await withoutRandomisation()), 'valgrind', ...VALGRIND, '--', ...command];
  const pipe = await makePipe();
  const child = spawn(program, args, { stdio: ['inherit', 'inherit', 'inherit', pipe.write] });
  closeSync(pipe.write);
  const exit = exitOf(child);
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  signal?.addEventListener('abort', kill, { once: true });
  if (signal?.aborted) kill();
  const notes = new Notes();
  let accesses = 0;
  try {
    const log = notes.hashed(untilClosed(pipe.read, notes, writer));
    const reader = readLackey(log, 'the log of valgrind', { fetches, limit }, (line) => notes.comment(line));
    for await (const block of reader) {
      await writer.add(block);
      accesses += block.count;
      onProgress?.(accesses);
    }
  } catch (error) {
    checkSignal(signal);
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
    pipe.read.destroy();
    if (!notes.closed) kill();
    await exit;
  }
  checkSignal(signal);
  const { code, signal: exitSignal } = await exit;
  const limited = accesses === limit && !notes.closed;
  if (!limited && !notes.closed) throw unfinished(accesses, code, exitSignal);
  const origin: NwtOrigin = {
    source: basename(command[0]),
    sourceFormat: 'lackey',
    sourceSha256: notes.sha256,
    command: command.map(shellWord).join(' '),
    fetchesKept: fetches,
  };
  return { origin, end: { exitCode: limited ? null : code, exitSignal, limited } };
}

/** The log up to valgrind's closing line: a child that the program leaves behind may hold the pipe open after it. */
async function* untilClosed(
  log: Readable,
  notes: Notes,
  writer: Writer,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of log as AsyncIterable<Buffer>) {
    await writer.log?.(chunk);
    yield chunk;
    if (notes.closed) return;
  }
}

function unfinished(accesses: number, code: number | null, signal: NodeJS.Signals | null): NestwalkError {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  if (accesses === 0) {
    return new NestwalkError(
      'trace.tool',
      `valgrind recorded nothing (${how}); what it printed above says why: does the program exist, and may it be run?`,
    );
  }
  return new NestwalkError(
    'trace.tool',
    `the recording is not whole: valgrind's closing line is missing (${how}). The program was killed, or it replaced itself ` +
      'by another (exec), as wrapper scripts do: record the real program',
  );
}

/** An argument as a shell would have to be given it. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Writes the log as it is, gzipped when the name says so, into a temporary file that is renamed at the end. */
class TextWriter implements Writer {
  #census = new Census();
  #path: string;
  #temporary: string;
  #input: Writable;
  #done: Promise<void>;
  #failure: unknown;

  constructor(path: string) {
    this.#path = path;
    this.#temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
    const file = createWriteStream(this.#temporary, { flags: 'wx' });
    const gzip = compressionByName(path) === '.gz' ? createGzip() : undefined;
    this.#input = gzip ?? file;
    this.#done = gzip ? pipeline(gzip, file) : finished(file);
    this.#done.catch((error: unknown) => {
      this.#failure = error;
    });
  }

  async log(chunk: Uint8Array): Promise<void> {
    if (!this.#input.destroyed && !this.#input.write(chunk)) {
      await Promise.race([once(this.#input, 'drain'), this.#done]).catch(() => {});
    }
    if (this.#failure !== undefined) throw fileError(this.#path, this.#failure, 'write');
  }

  add(block: AccessBlock): void {
    this.#census.add(block);
  }

  async finish(origin: NwtOrigin): Promise<NwtHeader> {
    this.#input.end();
    try {
      await this.#done;
      await rename(this.#temporary, this.#path);
    } catch (cause) {
      throw fileError(this.#path, cause, 'write');
    }
    return { ...origin, ...this.#census.counts() };
  }

  async abandon(): Promise<void> {
    this.#input.destroy();
    await this.#done.catch(() => {});
    await rm(this.#temporary, { force: true });
  }
}
