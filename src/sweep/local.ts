/**
 * A sweep on this machine: shares run in child processes, so that what crashes one (the engine, the memory, a kill) costs
 * no more than the pass under way. A pass that ends its process three times is given up, and the sweep goes on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { EngineRequest } from '../engine/loader.ts';
import { ERRORS, type ErrorCode, NestwalkError } from '../errors.ts';
import { withListener } from '../run/control.ts';
import { JournalWriter, readJournal } from './journal.ts';
import type { Plan } from './plan.ts';
import type { ShareEvent } from './shard.ts';

/** How far a sweep is. Accesses are counted once for each cell that they are simulated for. */
export interface SweepProgress {
  cells: number;
  cellsDone: number;
  cellsFailed: number;
  accesses: number;
  accessesDone: number;
  /** Over this session. */
  accessesPerSecond: number;
  secondsLeft?: number;
}

/** How a local sweep is run. */
export interface LocalOptions {
  sweep: string;
  /** Processes at a time. */
  workers: number;
  /** Most bytes that all of them may take together, by estimate. */
  memoryBytes: number;
  engine?: EngineRequest;
  /** Takes up cells that were given up before this session; what fails in it stays given up. */
  retryFailed?: boolean;
  signal?: AbortSignal;
  /** Told how far the sweep is. What it throws stops the sweep, which then rejects with it. */
  onProgress?: (progress: SweepProgress) => void;
  /** Told what the user should know at once: a process that died, a pass that failed. */
  onNote?: (text: string) => void;
}

/** What a child says: events of its share, or the error that ended it. */
export type ChildMessage = ShareEvent | { t: 'error'; code: ErrorCode; message: string };

/** Times that a pass may end its process. */
const MOST_DEATHS = 3;
/** Shares for each worker: enough that no worker idles long at the end, few enough that starting them costs nothing. */
const SHARES_PER_WORKER = 4;
/** Milliseconds that children have to stop by themselves. */
const STOP_WITHIN_MS = 700;
const PROGRESS_MS = 200;
/** Characters of a dead child's last words that are kept, and lines of them that say why. */
const LAST_WORDS = 4000;
const TELLING = /nestwalk:|FATAL|Error|terminate called/;

/** The command line of this program, from sources and from `dist` alike. */
export function ownCommand(): string[] {
  const isSource = import.meta.url.endsWith('.ts');
  const main = fileURLToPath(new URL(`../cli/main.${isSource ? 'ts' : 'js'}`, import.meta.url));
  const loader = isSource ? ['--import', import.meta.resolve('tsx')] : [];
  return [process.execPath, ...loader, main];
}

/** A share with something left to do. */
interface Share {
  index: number;
  memoryBytes: number;
  seconds: number;
  /** Deaths before any pass began. */
  deaths: number;
}

/** A child at work. */
interface Child {
  share: Share;
  process: ChildProcess;
  /** Cells of the pass under way, and how far its stream is. */
  cells: string[];
  done: number;
  error?: NestwalkError;
  words: string;
}

/** What a cell costs, by estimate. */
export interface Cost {
  /** Accesses simulated for it; 0 where the length of its trace is not known. */
  accesses: number;
  /** Seconds of one worker, its share of the pass. */
  seconds: number;
}

/** What every cell of a plan costs, by name. */
export function costsOf(plan: Plan): Map<string, Cost> {
  const costs = new Map<string, Cost>();
  for (const { cells, estimate } of plan.passes)
    for (const index of cells)
      costs.set(plan.cells[index].name!, {
        accesses: estimate.accesses ?? 0,
        seconds: estimate.seconds / cells.length,
      });
  return costs;
}

/**
 * Runs what is left of a sweep, and returns when every cell is done or given up.
 * @throws {NestwalkError} `run.cancelled` after `signal`; `sweep.folder` and `sweep.conflict`; `sweep.failed` when the
 * children cannot even start. What was finished is kept.
 */
export async function runLocal(plan: Plan, options: LocalOptions): Promise<SweepProgress> {
  const { onProgress, signal } = options;
  return withListener(onProgress, signal, (tell, stop) =>
    new Supervisor(plan, { ...options, onProgress: tell, signal: stop }).run(),
  );
}

class Supervisor {
  private readonly plan: Plan;
  private readonly options: LocalOptions;
  private readonly costs: Map<string, Cost>;
  private readonly shares: Share[];
  private readonly of: number;
  private readonly children = new Set<Child>();
  private readonly deaths = new Map<string, number>();
  private readonly finished = new Set<string>();
  private readonly failed = new Set<string>();
  private readonly journal: JournalWriter;
  private readonly begun = performance.now() / 1000;
  /** Failures from here on are of this session. */
  private readonly session = new Date();
  private readonly doneBefore: number;
  private readonly secondsToDo: number;
  private fatal: NestwalkError | undefined;
  private settle: (() => void) | undefined;

  constructor(plan: Plan, options: LocalOptions) {
    this.plan = plan;
    this.options = options;
    this.costs = costsOf(plan);
    this.journal = new JournalWriter(options.sweep);
    const journal = readJournal(options.sweep);
    for (const name of this.costs.keys()) {
      if (journal.results.has(name)) this.finished.add(name);
      else if (journal.failed.has(name) && !options.retryFailed) this.failed.add(name);
    }
    this.of = Math.max(1, Math.min(plan.passes.length, options.workers * SHARES_PER_WORKER));
    this.shares = Array.from({ length: this.of }, (_, index) => this.shareOf(index)).filter(
      ({ seconds }) => seconds > 0,
    );
    // The longest first: what is short fills the end.
    this.shares.sort((a, b) => b.seconds - a.seconds);
    this.doneBefore = this.accessesOf(this.finished);
    this.secondsToDo = this.shares.reduce((sum, share) => sum + share.seconds, 0);
  }

  async run(): Promise<SweepProgress> {
    const { signal, onProgress } = this.options;
    const stop = (): void => this.stopAll();
    signal?.addEventListener('abort', stop, { once: true });
    const timer = setInterval(() => onProgress?.(this.progress()), PROGRESS_MS);
    try {
      await new Promise<void>((resolve) => {
        this.settle = resolve;
        this.fill();
      });
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', stop);
      this.journal.close();
    }
    if (this.fatal) throw this.fatal;
    if (signal?.aborted)
      throw new NestwalkError(
        'run.cancelled',
        'The sweep was interrupted; the same command goes on with it.',
      );
    const progress = this.progress();
    onProgress?.(progress);
    return progress;
  }

  private shareOf(index: number): Share {
    const passes = this.plan.passes.filter((_, number) => number % this.of === index);
    let seconds = 0;
    let memoryBytes = 0;
    for (const pass of passes) {
      const pending = pass.cells.filter((cell) => {
        const name = this.plan.cells[cell].name!;
        return !this.finished.has(name) && !this.failed.has(name);
      });
      if (pending.length === 0) continue;
      seconds += pass.estimate.seconds;
      memoryBytes = Math.max(memoryBytes, pass.estimate.memoryBytes);
    }
    return { index, seconds, memoryBytes, deaths: 0 };
  }

  private get isStopping(): boolean {
    return this.fatal !== undefined || this.options.signal?.aborted === true;
  }

  /** Starts children while there are shares, free workers and memory; ends when there is nothing left. */
  private fill(): void {
    while (!this.isStopping && this.shares.length > 0 && this.children.size < this.options.workers) {
      const used = [...this.children].reduce((sum, child) => sum + child.share.memoryBytes, 0);
      const at = this.shares.findIndex((share) => used + share.memoryBytes <= this.options.memoryBytes);
      if (at < 0 && this.children.size > 0) break;
      const [share] = this.shares.splice(Math.max(0, at), 1);
      this.start(share);
    }
    if (this.children.size === 0 && (this.isStopping || this.shares.length === 0)) this.settle?.();
  }

  /** Threads of each child: more than one where there are fewer shares than workers. */
  private threads(): number {
    const atATime = Math.min(this.options.workers, this.of);
    return Math.max(1, Math.floor(this.options.workers / atATime));
  }

  private start(share: Share): void {
    const { sweep, engine, retryFailed } = this.options;
    const [command, ...args] = ownCommand();
    const shard = ['shard', 'run', '--sweep', sweep, '--index', String(share.index), '--of', String(this.of)];
    const flags = ['--workers', String(this.threads()), '--quiet'];
    if (engine) flags.push('--engine', engine);
    if (retryFailed) flags.push('--retry-failed', this.session.toISOString());
    const started = spawn(command, [...args, ...shard, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const child: Child = { share, process: started, cells: [], done: 0, words: '' };
    this.children.add(child);
    started.stderr!.setEncoding('utf8').on('data', (text: string) => {
      child.words = (child.words + text).slice(-LAST_WORDS);
    });
    started.on('message', (message) => this.hear(child, message as ChildMessage));
    let isOver = false;
    const end = (how: string, isClean: boolean): void => {
      if (isOver) return;
      isOver = true;
      this.children.delete(child);
      this.ended(child, how, isClean);
      this.fill();
    };
    started.on('error', (error) => end(error.message, false));
    started.on('close', (code, signal) => end(signal ?? `exit code ${code}`, code === 0));
  }

  private hear(child: Child, message: ChildMessage): void {
    switch (message.t) {
      case 'start':
        child.cells = message.cells;
        child.done = 0;
        break;
      case 'progress':
        child.done = message.done;
        break;
      case 'done':
        for (const name of message.cells) this.finished.add(name);
        child.cells = [];
        break;
      case 'failed':
        for (const name of message.cells) this.failed.add(name);
        child.cells = [];
        this.options.onNote?.(`${many(message.cells.length)} failed: ${message.reason}`);
        break;
      case 'error':
        child.error = new NestwalkError(
          message.code in ERRORS ? message.code : 'sweep.failed',
          message.message,
        );
    }
  }

  private ended(child: Child, how: string, isClean: boolean): void {
    if (isClean || this.isStopping) return;
    if (child.error) {
      this.fatal = child.error;
      this.stopAll();
      return;
    }
    this.mourn(child, how);
  }

  /** A child that died without a word of its own: its share is begun again, unless the same pass ended it too often. */
  private mourn(child: Child, how: string): void {
    const { share, cells } = child;
    const lines = child.words.trim().split('\n');
    const words = lines.find((line) => TELLING.test(line)) ?? lines.at(-1) ?? '';
    const reason = words === '' ? how : `${how}: ${words}`;
    this.options.onNote?.(
      `a worker process died (${reason}); ${cells.length > 0 ? 'its pass' : 'its share'} is begun again`,
    );
    if (cells.length === 0) share.deaths += 1;
    else this.countDeath(cells, reason);
    if (share.deaths < MOST_DEATHS) {
      this.shares.push(share);
      return;
    }
    this.fatal = new NestwalkError(
      'sweep.failed',
      `a worker process died ${share.deaths} times before it began: ${reason}`,
    );
    this.stopAll();
  }

  private countDeath(cells: string[], reason: string): void {
    const key = cells.join();
    const deaths = (this.deaths.get(key) ?? 0) + 1;
    this.deaths.set(key, deaths);
    if (deaths < MOST_DEATHS) return;
    const why = `its process died ${MOST_DEATHS} times, at last of ${reason}`;
    try {
      this.journal.append([{ t: 'failed', cells, reason: why, time: Date.now() }], true);
    } catch (error) {
      this.fatal = error as NestwalkError;
      this.stopAll();
      return;
    }
    for (const name of cells) this.failed.add(name);
    this.options.onNote?.(`${many(cells.length)} failed: ${why}`);
  }

  /** Asks all children to stop, and ends those that do not. */
  private stopAll(): void {
    for (const child of this.children) {
      child.process.kill('SIGTERM');
      setTimeout(() => child.process.kill('SIGKILL'), STOP_WITHIN_MS).unref();
    }
    if (this.children.size === 0) this.settle?.();
  }

  private accessesOf(names: Iterable<string>): number {
    let sum = 0;
    for (const name of names) sum += this.costs.get(name)?.accesses ?? 0;
    return sum;
  }

  private progress(): SweepProgress {
    const running = [...this.children].reduce((sum, child) => sum + child.done * child.cells.length, 0);
    const accesses = this.accessesOf(this.costs.keys());
    const accessesDone = this.accessesOf(this.finished) + running;
    const elapsed = performance.now() / 1000 - this.begun;
    const rate = elapsed > 0 ? (accessesDone - this.doneBefore) / elapsed : 0;
    const secondsLeft = this.secondsLeft(elapsed);
    return {
      cells: this.costs.size,
      cellsDone: this.finished.size,
      cellsFailed: this.failed.size,
      accesses,
      accessesDone,
      accessesPerSecond: rate,
      ...(secondsLeft === undefined ? {} : { secondsLeft }),
    };
  }

  /** By the estimates of what is left, stretched as what is done was. */
  private secondsLeft(elapsed: number): number | undefined {
    let left = 0;
    for (const [name, cost] of this.costs)
      if (!this.finished.has(name) && !this.failed.has(name)) left += cost.seconds;
    for (const child of this.children) {
      const [first] = child.cells;
      const cost = first === undefined ? undefined : this.costs.get(first);
      if (cost && cost.accesses > 0) left -= cost.seconds * child.cells.length * (child.done / cost.accesses);
    }
    const done = this.secondsToDo - left;
    return done > 0 ? (elapsed * Math.max(0, left)) / done : undefined;
  }
}

const many = (cells: number): string => (cells === 1 ? '1 cell' : `${cells} cells`);
