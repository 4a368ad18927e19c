/**
 * One share of a sweep: the one entry of every launcher. Takes the passes whose number is its index modulo the number of
 * shares, leaves out what the journal has, and writes what it finishes to a journal file of its own.
 */
import { hostname } from 'node:os';
import type { ResolvedConfig } from '../config/resolved.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { blockFromCounters, matrixFromSlots } from '../results/counters.ts';
import { flatCounters, flatten, isTlbSlot } from '../results/flat.ts';
import { simulate } from '../run/simulate.ts';
import { checkVersion, readPlan } from './folder.ts';
import { type CellResult, type Journal, type JournalFiles, JournalWriter, readJournal } from './journal.ts';
import { PassThread } from './passThread.ts';
import type { PassOutcome } from './passWorker.ts';
import { configOf, type Pass, type Plan, type PlanCell } from './plan.ts';

/** What a share tells while it works. */
export type ShareEvent =
  | { t: 'start'; cells: string[] }
  /** Accesses of the stream under way. */
  | { t: 'progress'; done: number }
  | { t: 'done'; cells: string[] }
  | { t: 'failed'; cells: string[]; reason: string };

/** Which share, and how it is run. */
export interface ShareOptions {
  /** Folder of the sweep. */
  sweep: string;
  /** From 0, below `of`. */
  index: number;
  of: number;
  /** Instead of the configuration's own. */
  engine?: EngineRequest;
  /** Threads for runs that may be cut into segments; 1 where left out. */
  workers?: number;
  /**
   * Takes up cells that were given up before this time, in milliseconds since 1970. A time, and not all of them: a share
   * that is begun again must not meet what ended it a moment ago.
   */
  retryBefore?: number;
  signal?: AbortSignal;
  /** Told of each pass begun, finished or given up. It must not throw. */
  onEvent?: (event: ShareEvent) => void;
  /** Instead of the file system, for tests. */
  files?: JournalFiles;
}

/** What a share did. */
export interface ShareResult {
  cells: number;
  failed: number;
  /** Passes of this share that the journal had whole. */
  skippedPasses: number;
}

/** The cells of a pass that are still to be run; of those that failed, the ones that did before `retryBefore`. */
export function pendingCells(plan: Plan, pass: Pass, journal: Journal, retryBefore = 0): PlanCell[] {
  const isGivenUp = (name: string): boolean => (journal.failedAt.get(name) ?? -1) >= retryBefore;
  return pass.cells
    .map((index) => plan.cells[index])
    .filter(({ name }) => !journal.results.has(name!) && !isGivenUp(name!));
}

/** The passes of a share that have something left to do; those that were begun in vain most often come last. */
function passesOf(
  plan: Plan,
  journal: Journal,
  { index, of, retryBefore }: ShareOptions,
): { pass: Pass; cells: PlanCell[] }[] {
  const trials = ({ cells }: { cells: PlanCell[] }): number =>
    Math.max(...cells.map(({ name }) => journal.unfinished.get(name!) ?? 0));
  return plan.passes
    .filter((_, number) => number % of === index)
    .map((pass) => ({ pass, cells: pendingCells(plan, pass, journal, retryBefore) }))
    .filter(({ cells }) => cells.length > 0)
    .sort((a, b) => trials(a) - trials(b));
}

/** Failures of the whole share, which no other pass would be spared. */
const OF_THE_SHARE = /^(run\.cancelled|sweep\.|engine\.missing|engine\.stale|usage)/;

/**
 * Runs a share to its end. A pass that fails is noted in the journal with its reason, and the share goes on.
 * @throws {NestwalkError} `sweep.none`, `sweep.folder`, `sweep.plan`, `sweep.conflict`; `run.cancelled` after `signal`; `usage`; those of
 * the engine. What was finished before is kept.
 */
export async function runShare(options: ShareOptions): Promise<ShareResult> {
  const { sweep, index, of } = options;
  if (!(Number.isInteger(of) && of >= 1))
    throw new NestwalkError('usage', `a sweep has at least one share, so --of must be at least 1, not ${of}`);
  if (!(Number.isInteger(index) && index >= 0 && index < of))
    throw new NestwalkError(
      'usage',
      `there is no share ${index} of ${of}: shares are numbered from 0 to ${of - 1}`,
    );
  const plan = readPlan(sweep);
  checkVersion(plan, sweep);
  chooseEngine(options.engine ?? 'auto');
  const passes = passesOf(plan, readJournal(sweep), options);
  const total = plan.passes.filter((_, number) => number % of === index).length;
  const share = new Share(plan, options);
  try {
    for (const { cells } of passes) await share.pass(cells);
  } finally {
    await share.close();
  }
  return { cells: share.done, failed: share.failed, skippedPasses: total - passes.length };
}

class Share {
  done = 0;
  failed = 0;
  private readonly plan: Plan;
  private readonly options: ShareOptions;
  private readonly journal: JournalWriter;
  private readonly thread = new PassThread();
  private isStuck = false;

  constructor(plan: Plan, options: ShareOptions) {
    this.plan = plan;
    this.options = options;
    this.journal = new JournalWriter(options.sweep, options.files);
  }

  async pass(cells: readonly PlanCell[]): Promise<void> {
    const names = cells.map(({ name }) => name!);
    const { onEvent, signal } = this.options;
    if (signal?.aborted)
      throw new NestwalkError(
        'run.cancelled',
        'The sweep was interrupted; the same command goes on with it.',
      );
    this.journal.append([{ t: 'start', cells: names }], false);
    onEvent?.({ t: 'start', cells: names });
    let outcome: PassOutcome;
    try {
      outcome = await this.run(cells);
    } catch (error) {
      this.giveUp(names, error as Error);
      return;
    }
    this.keep(cells, outcome);
    this.done += names.length;
    onEvent?.({ t: 'done', cells: names });
  }

  async close(): Promise<void> {
    this.journal.close();
    // A thread that was interrupted may still be in C++, and ends with the process.
    if (!this.isStuck) await this.thread.close();
  }

  private run(cells: readonly PlanCell[]): Promise<PassOutcome> {
    const { workers = 1, engine, signal, onEvent } = this.options;
    const config = configOf(this.plan, cells[0]);
    const chosen = engine ?? config.run.engine;
    const onDone = (done: number): void => onEvent?.({ t: 'progress', done });
    if (cells.length === 1 && workers > 1 && config.optional.length === 0)
      return this.runOnWorkers(config, workers, chosen, onDone);
    const group = cells.map((cell) => this.plan.machines[cell.machine!].stlb[0]);
    const geometries = group.map((array) => ({ entries: array?.entries, ways: array?.ways }));
    return this.thread.run(
      {
        config,
        ...(cells.length > 1 ? { cells: geometries } : {}),
        counters: this.plan.counters,
        engine: chosen,
      },
      { ...(signal ? { signal } : {}), onDone },
    );
  }

  /** A single run in segments on several threads. */
  private async runOnWorkers(
    config: ResolvedConfig,
    workers: number,
    engine: EngineRequest,
    onDone: (done: number) => void,
  ): Promise<PassOutcome> {
    const { signal } = this.options;
    const { counters, ledger, provenance } = await simulate(config, {
      workers,
      engine,
      ...(signal ? { signal } : {}),
      onProgress: ({ done }) => onDone(done),
    });
    const names = config.machine.caches.map((cache) => cache.name);
    return { ...provenance, counters: [blockFromCounters(counters, names)], events: ledger.events };
  }

  /** Notes a pass that failed, or throws on what would fail every other pass too. */
  private giveUp(names: string[], error: Error): void {
    const code = error instanceof NestwalkError ? error.code : 'run.failed';
    if (OF_THE_SHARE.test(code)) {
      this.isStuck = code === 'run.cancelled';
      if (code === 'run.cancelled') this.journal.append([{ t: 'stop', cells: names }], false);
      throw error;
    }
    const reason = `${code}: ${error.message}`;
    this.journal.append([{ t: 'failed', cells: names, reason, time: Date.now() }], true);
    this.failed += names.length;
    this.options.onEvent?.({ t: 'failed', cells: names, reason });
  }

  /** Writes a pass to the journal: when this returns, it is on the disk. */
  private keep(cells: readonly PlanCell[], outcome: PassOutcome): void {
    const { engine, tier, seconds, prepareSeconds } = outcome;
    const results = cells.map((cell, at) => cellResult(this.plan, cell, outcome, at));
    this.journal.append(
      [
        ...cells.map((cell, at) => ({ t: 'done' as const, cell: cell.name!, result: results[at] })),
        {
          t: 'pass',
          cells: cells.length,
          accesses: outcome.counters[0][0],
          seconds,
          prepareSeconds,
          engine,
          tier,
          host: hostname(),
        },
      ],
      true,
    );
  }
}

/** What is kept of one cell of a pass. */
function cellResult(plan: Plan, cell: PlanCell, outcome: PassOutcome, at: number): CellResult {
  const names = plan.machines[cell.machine!].caches.map((cache) => cache.name);
  const isKept = plan.counters === 'tlb' ? isTlbSlot : undefined;
  const { unique, reuse } = outcome;
  return {
    counters: {
      ...flatCounters(outcome.counters[at], names, isKept),
      ...(unique ? nonZero(flatten(matrixFromSlots(unique), 'unique_')) : {}),
    },
    events: nonZero(outcome.events),
    ...(reuse ? { reuse: reuseText(reuse) } : {}),
  };
}

const nonZero = (flat: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(flat).filter(([, value]) => value !== 0));

/** Stack distances as JSON: cold accesses, then distance to accesses, ascending. */
function reuseText(flat: Float64Array): string {
  const distances = new Map<number, number>();
  for (let i = 1; i < flat.length; i += 2) distances.set(flat[i], flat[i + 1]);
  return JSON.stringify({
    cold: flat[0] ?? 0,
    distances: Object.fromEntries([...distances].sort(([a], [b]) => a - b)),
  });
}
