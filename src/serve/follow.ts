/**
 * Reads the journal of a sweep as it grows: of each file only what is new since the last look. Nothing is ever written,
 * and what a writer has not finished yet is left for the next look.
 */
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type CellResult,
  folderError,
  type JournalLine,
  journalFolder,
  parseLine,
} from '../sweep/journal.ts';

/** What a journal tells of a cell. */
export interface Fact {
  /** Name of the cell. */
  cell: string;
  /** What it counted; absent for a cell that was given up. */
  result?: CellResult;
  /** Why it was given up. */
  reason?: string;
  /** When, in milliseconds since 1970: as observed, or reconstructed from what its writer noted (see {@link Follower}). */
  time: number;
}

/** A process that writes, or wrote, to the journal. */
export interface Writer {
  host: string;
  pid: number;
  /** When it began, in milliseconds since 1970. */
  began: number;
  /** When it was last heard of. */
  heard: number;
  /** Cells that it has begun and not finished. */
  open: ReadonlySet<string>;
}

/** What a look at the journal found. */
export interface Look {
  facts: Fact[];
  /** The journal is not what it was: everything known of it is to be forgotten; `facts` begin anew. */
  isNew: boolean;
}

/** `HOST-PID-TIME.jsonl`, as writers name their files. */
const FILE_NAME = /^(.+)-(\d+)-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z(?:-\d+)?\.jsonl$/;
/** Bytes read at a time. */
const CHUNK_BYTES = 1 << 20;
const LINE_END = 0x0a;

/** One file, and how far it was read. */
class Followed implements Writer {
  readonly file: string;
  readonly host: string;
  readonly pid: number;
  readonly began: number;
  heard: number;
  readonly open = new Set<string>();
  /** Bytes that are understood. */
  offset = 0;
  /** Size at the last look. */
  size = 0;
  lines = 0;
  /** When its writer was, by the seconds of its passes: where the time was not observed. */
  clock: number;

  constructor(file: string) {
    this.file = file;
    const [, host = '', pid = '0', ...parts] = FILE_NAME.exec(path.basename(file)) ?? [];
    const [year, month, day, hour, minute, second, ms] = parts.map(Number);
    this.host = host;
    this.pid = Number(pid);
    this.began = parts.length === 7 ? Date.UTC(year, month - 1, day, hour, minute, second, ms) : 0;
    this.clock = this.began;
    this.heard = this.began;
  }
}

/**
 * Follows the journal of one sweep. What appears while it looks is dated by the moment at which it was seen; what was
 * there before, by its writer: the time in the file's name, and the seconds of the passes since.
 */
export class Follower {
  private readonly folder: string;
  private files = new Map<string, Followed>();
  /** Checksum and place of each cell's result: equal results have equal lines. */
  private results = new Map<string, { sum: string; place: string }>();
  /** Found, and not handed out yet: a look that fails half-way loses nothing. */
  private facts: Fact[] = [];
  private looks = 0;
  /** Damaged lines, but for torn tails. */
  damaged = 0;
  /** Cells with two results that differ, in words. */
  readonly conflicts: string[] = [];

  constructor(sweep: string) {
    this.folder = journalFolder(sweep);
  }

  /** Whoever has written. */
  get writers(): Iterable<Writer> {
    return this.files.values();
  }

  /**
   * Reads what is new.
   * @throws {NestwalkError} `sweep.folder` when the folder cannot be read; the next look goes on where this one stopped
   */
  async look(): Promise<Look> {
    const isNew = await this.hasShrunk();
    if (isNew) this.forget();
    for (const name of await this.names()) {
      const known = this.files.get(name);
      const followed = known ?? new Followed(path.join(this.folder, name));
      this.files.set(name, followed);
      await this.read(followed);
    }
    this.looks += 1;
    const facts = this.facts.sort((a, b) => a.time - b.time);
    this.facts = [];
    return { facts, isNew };
  }

  private forget(): void {
    this.files = new Map();
    this.results = new Map();
    this.facts = [];
    this.looks = 0;
    this.damaged = 0;
    this.conflicts.length = 0;
  }

  private async names(): Promise<string[]> {
    try {
      return (await readdir(this.folder)).filter((name) => name.endsWith('.jsonl')).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw folderError(`${this.folder} cannot be read`, error);
    }
  }

  /** Whether a file is gone or shorter than what was read of it: then what was read may not hold any more. */
  private async hasShrunk(): Promise<boolean> {
    for (const { file, offset } of this.files.values()) {
      const size = await stat(file).then(
        (stats) => stats.size,
        () => -1,
      );
      if (size < offset) return true;
    }
    return false;
  }

  private async read(followed: Followed): Promise<void> {
    const { file } = followed;
    let handle: FileHandle | undefined;
    try {
      const { size, mtimeMs } = await stat(file);
      if (size === followed.size) return;
      const isSeen = this.looks > 0;
      const now = isSeen ? Date.now() : undefined;
      handle = await open(file, 'r');
      const facts: Fact[] = [];
      for await (const line of newLines(handle, followed, size)) this.understand(followed, line, facts, now);
      followed.size = size;
      followed.heard = now ?? Math.max(followed.heard, mtimeMs);
      const latest = now ?? mtimeMs;
      this.facts.push(...facts.map((fact) => ({ ...fact, time: Math.min(fact.time, latest) })));
    } catch (error) {
      // A file that went away between two calls is one of the next look's.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw folderError(`${file} cannot be read`, error);
    } finally {
      await handle?.close();
    }
  }

  /** @param now when the line was seen; absent where it was there before anyone looked */
  private understand(followed: Followed, text: string, facts: Fact[], now: number | undefined): void {
    followed.lines += 1;
    const line = parseLine(text);
    if (!line) {
      this.damaged += 1;
      return;
    }
    if (line.t === 'pass') {
      followed.clock += 1000 * (line.seconds + line.prepareSeconds);
      // Results stand before the line of their pass.
      if (now === undefined)
        for (let at = facts.length - 1; at >= 0 && facts[at].time === Number.POSITIVE_INFINITY; at--)
          facts[at].time = followed.clock;
      return;
    }
    this.take(followed, line, text, facts, now);
  }

  private take(
    followed: Followed,
    line: Exclude<JournalLine, { t: 'pass' }>,
    text: string,
    facts: Fact[],
    now: number | undefined,
  ): void {
    const { open } = followed;
    switch (line.t) {
      case 'start':
        // A writer has one pass at a time: what is open of an earlier one was left.
        open.clear();
        for (const cell of line.cells) open.add(cell);
        break;
      case 'stop':
        for (const cell of line.cells) open.delete(cell);
        break;
      case 'failed':
        for (const cell of line.cells) {
          open.delete(cell);
          if (!this.results.has(cell))
            facts.push({ cell, reason: line.reason, time: now ?? line.time ?? followed.clock });
        }
        break;
      case 'done':
        open.delete(line.cell);
        if (this.isFirst(line.cell, text, `${followed.file}:${followed.lines}`))
          facts.push({ cell: line.cell, result: line.result, time: now ?? Number.POSITIVE_INFINITY });
    }
  }

  /** Whether a result is the first of its cell; a further one must be the same. */
  private isFirst(cell: string, text: string, place: string): boolean {
    const sum = text.slice(0, text.indexOf(','));
    const known = this.results.get(cell);
    if (known && known.sum !== sum)
      this.conflicts.push(`cell ${cell} has two results that differ: ${known.place} and ${place}`);
    if (known) return false;
    this.results.set(cell, { sum, place });
    return true;
  }
}

/**
 * The whole lines of a file between what is understood and its size; moves `offset` behind each. A tail without a line
 * end is a line if its checksum says so, and is left alone otherwise: its writer may be at it.
 */
async function* newLines(handle: FileHandle, followed: Followed, size: number): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for (let at = followed.offset; at < size; ) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - at));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    let bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END)) {
      followed.offset += end + 1;
      if (end > 0) yield bytes.toString('utf8', 0, end);
      bytes = bytes.subarray(end + 1);
    }
    rest = bytes;
  }
  const tail = rest.toString('utf8');
  if (tail === '' || parseLine(tail) === undefined) return;
  followed.offset += rest.length;
  yield tail;
}
