/**
 * The journal of a sweep: what is finished, and where to go on. Each writer appends to a file of its own, so that no two
 * ever share one; each line carries a checksum; a finished pass is on the disk before it counts. What a crash tears is the
 * last line of a file, and its cells are simply run again.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { NestwalkError } from '../errors.ts';

/** What one cell counted: nothing here depends on engine, time, machine or the pass that it was run in. */
export interface CellResult {
  /** Counters by column name, without those that are 0. */
  counters: Record<string, number>;
  /** How often each event of the software happened. */
  events: Record<string, number>;
  /** Stack distances as JSON, where the configuration asks for them. */
  reuse?: string;
}

/** A line of the journal. */
export type JournalLine =
  | { t: 'done'; cell: string; result: CellResult }
  | {
      t: 'pass';
      cells: number;
      accesses: number;
      seconds: number;
      prepareSeconds: number;
      engine: string;
      tier: string;
      host: string;
    }
  | { t: 'start'; cells: string[] }
  | { t: 'stop'; cells: string[] }
  /** `time`: when, in milliseconds since 1970 (0 where left out): a session tells its own failures from older ones. */
  | { t: 'failed'; cells: string[]; reason: string; time?: number };

/** Characters of the checksum: 64 bits of SHA-256 as hex. */
const SUM_LENGTH = 16;
const SUM_HEAD = '{"sum":"';
/** Where the line's own content begins, without its brace: after `{"sum":"…",`. */
const CONTENT_AT = SUM_HEAD.length + SUM_LENGTH + 2;

const sumOf = (content: string): string =>
  createHash('sha256').update(content).digest('hex').slice(0, SUM_LENGTH);

/** A line as it stands in a file, without its end. The checksum is over the object as it is without `sum`. */
export function formatLine(line: JournalLine): string {
  const content = JSON.stringify(line);
  return `${SUM_HEAD}${sumOf(content)}",${content.slice(1)}`;
}

/** The line that a text is, or `undefined` where its checksum says that it is damaged. */
export function parseLine(text: string): JournalLine | undefined {
  if (!text.startsWith(SUM_HEAD) || text.slice(CONTENT_AT - 2, CONTENT_AT) !== '",') return undefined;
  const content = `{${text.slice(CONTENT_AT)}`;
  if (sumOf(content) !== text.slice(SUM_HEAD.length, CONTENT_AT - 2)) return undefined;
  return JSON.parse(content) as JournalLine;
}

/** What a writer needs of the file system; tests put a full disk in its place. */
export interface JournalFiles {
  open(file: string): number;
  write(fd: number, bytes: Uint8Array, offset: number): number;
  sync(fd: number): void;
  truncate(fd: number, length: number): void;
  close(fd: number): void;
}

const REAL_FILES: JournalFiles = {
  // `wx`: a file that is there belongs to another writer.
  open: (file) => openSync(file, 'wx'),
  write: (fd, bytes, offset) => writeSync(fd, bytes, offset),
  sync: fdatasyncSync,
  truncate: ftruncateSync,
  close: closeSync,
};

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the quota is used up',
  EACCES: 'permission is denied',
  EROFS: 'the file system is read-only',
  ENOENT: 'there is no such folder',
  ENOTDIR: 'it is no folder',
  EISDIR: 'it is a folder',
  EEXIST: 'a file of that name is in the way',
};

/** Why the file system refused something, in words. */
export function reasonOf(cause: unknown): string {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}

/** The error for a folder that cannot be read or written, in words. */
export function folderError(what: string, cause: unknown): NestwalkError {
  return new NestwalkError('sweep.folder', `${what}: ${reasonOf(cause)}. What was finished before is kept.`, {
    cause,
  });
}

/**
 * Makes a folder and those around it, the outermost that is missing by itself first: asked for all at once, Node says of a
 * read-only file system that there is no such folder, and never comes back where folders cannot be made at all (/proc).
 */
export function makeFolder(folder: string): void {
  let missing = path.resolve(folder);
  if (existsSync(missing) && statSync(missing).isDirectory()) return;
  while (!existsSync(path.dirname(missing))) missing = path.dirname(missing);
  try {
    mkdirSync(missing);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!existsSync(missing) || !statSync(missing).isDirectory()) throw error;
  }
  mkdirSync(folder, { recursive: true });
}

/** Makes the names of an entry of a folder durable; some systems cannot, and then it is not to be had. */
function syncFolder(folder: string): void {
  try {
    const fd = openSync(folder, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Windows and some network file systems refuse to sync a folder.
  }
}

/** Folder of a sweep's journal files. */
export const journalFolder = (sweep: string): string => path.join(sweep, 'journal');

let writers = 0;

/** Appends to one file that no other writer has. The file is made with the first line. */
export class JournalWriter {
  readonly file: string;
  private readonly files: JournalFiles;
  private fd: number | undefined;
  private length = 0;
  private broken: NestwalkError | undefined;

  constructor(sweep: string, files: JournalFiles = REAL_FILES) {
    const time = new Date().toISOString().replace(/[-:.]/g, '');
    writers += 1;
    const name = `${hostname()}-${process.pid}-${time}${writers > 1 ? `-${writers}` : ''}.jsonl`;
    this.file = path.join(journalFolder(sweep), name);
    this.files = files;
  }

  /**
   * Appends lines; with `durable` they are on the disk when this returns.
   * @throws {NestwalkError} `sweep.folder`; nothing of these lines then counts, all before them does
   */
  append(lines: readonly JournalLine[], durable: boolean): void {
    if (this.broken) throw this.broken;
    const bytes = Buffer.from(lines.map((line) => `${formatLine(line)}\n`).join(''));
    try {
      this.fd ??= this.open();
      for (let at = 0; at < bytes.length; ) at += this.files.write(this.fd, bytes.subarray(at), 0);
      if (durable) this.files.sync(this.fd);
      this.length += bytes.length;
    } catch (cause) {
      this.broken = folderError(`${this.file} cannot be written`, cause);
      this.cutBack();
      throw this.broken;
    }
  }

  close(): void {
    if (this.fd !== undefined) this.files.close(this.fd);
    this.fd = undefined;
  }

  private open(): number {
    makeFolder(path.dirname(this.file));
    const fd = this.files.open(this.file);
    syncFolder(path.dirname(this.file));
    return fd;
  }

  /** Takes a half-written line away; if that fails too, its checksum tells readers. */
  private cutBack(): void {
    if (this.fd === undefined) return;
    try {
      this.files.truncate(this.fd, this.length);
    } catch {
      // A torn tail is expected by every reader.
    }
  }
}

/** A place in the journal. */
export interface JournalPlace {
  file: string;
  /** From 1. */
  line: number;
}

/** What the files of a journal say together. */
export interface Journal {
  results: Map<string, CellResult>;
  /** Cells that were given up, with the reason; a cell that has a result too is in `results` alone. */
  failed: Map<string, string>;
  /** When each of these was given up last, in milliseconds since 1970. */
  failedAt: Map<string, number>;
  /** How often a cell was begun by a writer that then wrote nothing more of it. */
  unfinished: Map<string, number>;
  /** Sums over finished passes. */
  seconds: number;
  passes: number;
  /** Lines that are damaged, but for torn tails. Their cells count as not done. */
  damaged: JournalPlace[];
  /** Files that end in a torn line. */
  torn: number;
  files: number;
}

/** Collects lines of many files. */
class Collector implements Journal {
  readonly results = new Map<string, CellResult>();
  readonly failed = new Map<string, string>();
  readonly failedAt = new Map<string, number>();
  readonly unfinished = new Map<string, number>();
  readonly damaged: JournalPlace[] = [];
  seconds = 0;
  passes = 0;
  torn = 0;
  files = 0;
  private readonly places = new Map<string, JournalPlace>();

  addFile(file: string, text: string): void {
    this.files += 1;
    const lines = text.split('\n');
    // What stands behind the last line end was being written when its writer ended.
    const tail = lines.pop()!;
    if (tail !== '') lines.push(tail);
    const open = new Set<string>();
    lines.forEach((content, index) => {
      const place = { file, line: index + 1 };
      const line = parseLine(content);
      if (line) this.add(line, place, open);
      else if (index === lines.length - 1) this.torn += 1;
      else this.damaged.push(place);
    });
    for (const cell of open) this.unfinished.set(cell, (this.unfinished.get(cell) ?? 0) + 1);
  }

  private add(line: JournalLine, place: JournalPlace, open: Set<string>): void {
    switch (line.t) {
      case 'start':
        for (const cell of line.cells) open.add(cell);
        break;
      case 'stop':
        for (const cell of line.cells) open.delete(cell);
        break;
      case 'failed':
        for (const cell of line.cells) {
          open.delete(cell);
          this.failed.set(cell, line.reason);
          this.failedAt.set(cell, Math.max(line.time ?? 0, this.failedAt.get(cell) ?? 0));
        }
        break;
      case 'pass':
        this.passes += 1;
        this.seconds += line.seconds + line.prepareSeconds;
        break;
      case 'done':
        open.delete(line.cell);
        this.addResult(line.cell, line.result, place);
    }
  }

  private addResult(cell: string, result: CellResult, place: JournalPlace): void {
    const known = this.results.get(cell);
    if (known && JSON.stringify(known) !== JSON.stringify(result)) {
      const other = this.places.get(cell)!;
      throw new NestwalkError(
        'sweep.conflict',
        `cell ${cell} has two results that differ: ${other.file}:${other.line} and ${place.file}:${place.line}. ` +
          `They differ in ${differences(known, result).join(', ')}.`,
      );
    }
    if (known) return;
    this.results.set(cell, result);
    this.places.set(cell, place);
  }

  finish(): Journal {
    for (const cell of this.results.keys()) {
      this.failed.delete(cell);
      this.failedAt.delete(cell);
    }
    return this;
  }
}

/** Most differing counters that are named. */
const MOST_DIFFERENCES = 5;

function differences(a: CellResult, b: CellResult): string[] {
  const names = new Set([...Object.keys(a.counters), ...Object.keys(b.counters)]);
  const counters = [...names]
    .filter((name) => a.counters[name] !== b.counters[name])
    .map((name) => `${name} (${a.counters[name] ?? 0} and ${b.counters[name] ?? 0})`);
  return counters.length > 0 ? counters.slice(0, MOST_DIFFERENCES) : ['events or distances'];
}

/**
 * Reads all files of a sweep's journal; a sweep that has none has not begun.
 * @throws {NestwalkError} `sweep.conflict` naming both lines when two results of a cell differ; `sweep.folder`
 */
export function readJournal(sweep: string): Journal {
  const folder = journalFolder(sweep);
  const collector = new Collector();
  if (!existsSync(folder)) return collector.finish();
  try {
    const names = readdirSync(folder)
      .filter((name) => name.endsWith('.jsonl'))
      .sort();
    for (const name of names)
      collector.addFile(path.join(folder, name), readFileSync(path.join(folder, name), 'utf8'));
  } catch (error) {
    if (error instanceof NestwalkError) throw error;
    throw folderError(`${folder} cannot be read`, error);
  }
  return collector.finish();
}
