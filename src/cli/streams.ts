/** What the commands write, and where: results to stdout, progress and notes to stderr. */
import { once } from 'node:events';
import { duration, rate } from '../report/format.ts';
import type { RunProgress } from '../results/types.ts';

/** Seconds between two lines of progress where stderr is no terminal. */
const LINE_INTERVAL_SECONDS = 10;
/** Milliseconds between two redraws of the bar on a terminal. */
const BAR_INTERVAL_MS = 100;
const BAR_WIDTH = 24;

/** Writes a result to stdout, with a line end, and waits while the reader is slow. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

/** Writes lines to stdout in pieces of a few thousand, waiting while the reader is slow. */
export async function printLines(lines: AsyncIterable<string> | Iterable<string>): Promise<void> {
  let piece: string[] = [];
  for await (const line of lines) {
    piece.push(line);
    if (piece.length < 4096) continue;
    await print(piece.join('\n'));
    piece = [];
    // A pipe is written without waiting: this lets signals and a reader that has gone away be noticed.
    await new Promise(setImmediate);
  }
  if (piece.length > 0) await print(piece.join('\n'));
}

/** Writes one line of notes to stderr. */
export const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** One line about how far a run is, at most as wide as asked. */
export function progressLine(progress: RunProgress, label: string): string {
  const { done, total, accessesPerSecond, secondsLeft } = progress;
  const share = total ? `${Math.floor((100 * done) / total)} %` : `${done.toLocaleString('en-GB')} accesses`;
  const left = secondsLeft === undefined ? '' : `, ${duration(secondsLeft)} left`;
  // What does not count in accesses has no rate in them.
  const pace = accessesPerSecond > 0 ? `, ${rate(accessesPerSecond)}` : '';
  return `${label}${share}${pace}${left}`;
}

/** A bar in front of the line, where the length of the run is known. */
export function progressBar(progress: RunProgress, label: string, columns: number): string {
  const line = progressLine(progress, label);
  const { done, total } = progress;
  if (!total || line.length + BAR_WIDTH + 4 > columns) return line.slice(0, Math.max(0, columns - 1));
  const full = Math.min(BAR_WIDTH, Math.round((BAR_WIDTH * done) / total));
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}] ${line}`;
}

/** Shows progress on stderr: a bar on a terminal, else a line every ten seconds, or nothing. */
export interface ProgressShow {
  update: (progress: RunProgress, label?: string) => void;
  /** Takes the bar off the terminal. */
  end: () => void;
}

function bar(stream: NodeJS.WriteStream): ProgressShow {
  let last = 0;
  let shown = false;
  return {
    update(progress, label = '') {
      const now = Date.now();
      if (now - last < BAR_INTERVAL_MS) return;
      last = now;
      shown = true;
      stream.write(`\r\u001b[K${progressBar(progress, label, stream.columns || 80)}`);
    },
    end() {
      if (shown) stream.write('\r\u001b[K');
      shown = false;
    },
  };
}

/** A line every ten seconds, for what shares the terminal with another program too. */
export function progressLines(): ProgressShow {
  let last = Date.now();
  return {
    update(progress, label = '') {
      const now = Date.now();
      if (now - last < 1000 * LINE_INTERVAL_SECONDS) return;
      last = now;
      note(progressLine(progress, label));
    },
    end() {},
  };
}

/** The way of showing progress that fits stderr. */
export function showProgress(quiet: boolean): ProgressShow {
  if (quiet) return { update() {}, end() {} };
  return process.stderr.isTTY && process.env.TERM !== 'dumb' ? bar(process.stderr) : progressLines();
}

/** Turns the progress of a pass over a file (accesses, and the part of the file read) into that of a run. */
export function passProgress(
  show: ProgressShow,
  label: string,
): (progress: { accesses: number; fraction: number }) => void {
  const start = Date.now();
  return ({ accesses, fraction }) => {
    const seconds = (Date.now() - start) / 1000;
    const known = fraction > 0;
    show.update(
      {
        done: accesses,
        total: known ? Math.max(accesses, Math.round(accesses / fraction)) : undefined,
        accessesPerSecond: seconds > 0 ? accesses / seconds : 0,
        secondsLeft: known ? (seconds * (1 - fraction)) / fraction : undefined,
      },
      label,
    );
  };
}
