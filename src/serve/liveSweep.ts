/**
 * A sweep as a live page shows it: what is finished, in the order of finishing, and how it stands. Everything comes from
 * the sweep's folder, which is only read.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { NestwalkError } from '../errors.ts';
import type { Figure, Value } from '../report/browser/figure.js';
import { chooseFigures } from '../report/figures/choose.ts';
import { variedFields, withReportColumns } from '../report/figures/fields.ts';
import { axesOf, rowsOf } from '../report/html/data.ts';
import { countersFromFlat, flatMetrics } from '../results/flat.ts';
import { computeMetrics } from '../results/metrics.ts';
import { planFile, readPlan } from '../sweep/folder.ts';
import type { CellResult } from '../sweep/journal.ts';
import { type Cost, costsOf } from '../sweep/local.ts';
import { configOf, type Plan, type PlanCell } from '../sweep/plan.ts';
import { sweepTable } from '../sweep/rows.ts';
import { type Fact, Follower, type Writer } from './follow.ts';

/** What does not change while a sweep runs. */
export interface LivePlan {
  /** Another one means: forget everything. */
  generation: string;
  /** Name of the folder. */
  name: string;
  cells: number;
  /** What is varied, and in how many values. */
  axes: { path: string; values: number }[];
  /** Names of the columns of `rows`. */
  columns: string[];
  /** Of each cell, by its place in the plan: what figures need beside the results. */
  rows: Value[][];
  /** Columns of the results that come with finished cells. */
  measures: string[];
  figures: Figure[];
  /** Cells that cannot be run, and why. */
  invalid: { index: number; reason: string }[];
}

/** A cell that was finished or given up: its place in the plan, when (milliseconds since 1970), and its measures or the reason. */
export type LiveCell = [index: number, time: number, outcome: Value[] | string];

/** A pass under way, as far as the journal tells. */
export interface LivePass {
  host: string;
  pid: number;
  cells: number;
  /** When its writer was last heard of, in milliseconds since 1970. */
  heard: number;
}

/**
 * How a sweep stands. `waiting`: there is no sweep in the folder yet; `planned`: nothing has begun; `running`; `stopped`:
 * cells are missing, and no process of this machine is at them; `finished`; `unreadable`.
 */
export type LivePhase = 'waiting' | 'planned' | 'running' | 'stopped' | 'finished' | 'unreadable';

/** How a sweep stands now. */
export interface LiveStatus {
  phase: LivePhase;
  cells: number;
  done: number;
  failed: number;
  invalid: number;
  missing: number;
  /** When the session began that is the last one, in milliseconds since 1970. */
  began?: number;
  /** When a writer was last heard of. */
  heard?: number;
  /** Cells finished in a second, lately. */
  cellsPerSecond?: number;
  /** Accesses simulated in a second, lately; each counted once for each cell. */
  accessesPerSecond?: number;
  /** By the estimates of what is left, stretched as those of what was finished lately. */
  secondsLeft?: number;
  passes: LivePass[];
  /** Damaged lines of the journal; their cells count as not done. */
  damaged: number;
  /** What is wrong with the folder, in words. */
  trouble: string[];
}

/** Shortest time over which a rate is taken, and the fewest finished batches. */
const WINDOW_MS = 5 * 60_000;
const WINDOW_BATCHES = 20;
/** Writers nearer to one another than this belong to one session. */
const SESSION_GAP_MS = 60_000;
/** A writer without anything open that was heard of within this is still there. */
const BETWEEN_PASSES_MS = 15_000;
/** A writer elsewhere, which cannot be asked, is taken to be at work for so long. */
const TRUSTED_MS = 10 * 60_000;
/** Kinds of figures that can be chosen before there is a result. */
const FROM_PLAN: readonly Figure['kind'][] = ['curve', 'heat', 'square', 'dots', 'spread'];

/** Files that a folder may hold before its sweep begins. */
const isHidden = (name: string): boolean => name.startsWith('.');

/**
 * Checks that a folder is, or may become, that of a sweep.
 * @throws {NestwalkError} `usage` for a file, and where not even the folder around it is there; `sweep.none` for a folder
 *   that holds something else
 */
export function checkLiveFolder(sweep: string): void {
  if (!existsSync(sweep)) {
    const around = path.dirname(path.resolve(sweep));
    if (existsSync(around) && statSync(around).isDirectory()) return;
    throw new NestwalkError(
      'usage',
      `there is no ${sweep}, nor a folder ${around} in which a sweep could make it: correct the path`,
    );
  }
  if (!statSync(sweep).isDirectory())
    throw new NestwalkError('usage', `${sweep} is a file: give the folder of a sweep, which --out named`);
  if (existsSync(planFile(sweep))) {
    readPlan(sweep);
    return;
  }
  const others = readdirSync(sweep).filter((name) => !isHidden(name) && !name.endsWith('.partial'));
  if (others.length > 0)
    throw new NestwalkError(
      'sweep.none',
      `${sweep} holds no sweep but other files (${others.slice(0, 3).join(', ')}${others.length > 3 ? ', …' : ''}): there is no ${planFile(sweep)}.`,
    );
}

/** Whether a process of this machine is there. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A batch of cells that were finished together, with what they cost by estimate. */
interface Batch {
  time: number;
  cells: number;
  accesses: number;
  seconds: number;
}

/** A plan with what the page needs of it. */
class Planned {
  readonly plan: Plan;
  readonly live: LivePlan;
  costs: Map<string, Cost>;
  /** Places in the plan of each name. */
  readonly places = new Map<string, number[]>();

  constructor(sweep: string, plan: Plan) {
    this.plan = plan;
    this.costs = costsOf(plan);
    for (const { index, name } of plan.cells)
      if (name !== undefined) this.places.set(name, [...(this.places.get(name) ?? []), index]);
    const { columns, rows, measures, figures } = figuresOf(plan);
    this.live = {
      generation: randomUUID(),
      name: path.basename(path.resolve(sweep)),
      cells: plan.cells.length,
      axes: plan.axes.map(({ path: field, values }) => ({ path: field, values: values.length })),
      columns,
      rows,
      measures,
      figures,
      invalid: plan.cells.flatMap(({ index, invalid }) =>
        invalid === undefined ? [] : [{ index, reason: invalid }],
      ),
    };
  }
}

const NOTHING_DONE = {
  results: new Map(),
  failed: new Map(),
  failedAt: new Map(),
  unfinished: new Map(),
  seconds: 0,
  passes: 0,
  damaged: [],
  torn: 0,
  files: 0,
};

/** Metrics of a finished cell by column: what figures over cells show. */
const metricsOf = (plan: Plan, cell: PlanCell, { counters }: CellResult): Record<string, number> => {
  const names = plan.machines[cell.machine!].caches.map(({ name }) => name);
  return flatMetrics(computeMetrics(countersFromFlat(counters, names), configOf(plan, cell)));
};

/** The figures that a plan's axes ask for, chosen as for a report, and the columns that they show. */
function figuresOf(plan: Plan): Pick<LivePlan, 'columns' | 'rows' | 'measures' | 'figures'> {
  const table = sweepTable(plan, NOTHING_DONE);
  const names = new Set(table.columns.map(({ name }) => name));
  const axes = axesOf(table);
  // Of a cell that is not finished only what stands before the counters is known.
  const head = table.columns.findIndex(({ meaning }) => meaning === 'counter');
  const known = { columns: table.columns.slice(0, head), rows: table.rows.map((row) => row.slice(0, head)) };
  const rows = withReportColumns(rowsOf(known));
  const varied = variedFields(axes, rows);
  const figures = chooseFigures({ varied, counters: plan.counters, rows }).filter(({ kind }) =>
    FROM_PLAN.includes(kind),
  );
  const measures = [...new Set(figures.flatMap((figure) => figure.measures.map(({ column }) => column)))];
  const shown = figures.flatMap(({ x, y, series = [], facet, slices }) => [
    x,
    y,
    facet,
    ...series,
    ...slices,
  ]);
  const columns = [
    ...new Set([
      'index',
      'cell',
      ...axes.map(({ column }) => column),
      ...shown.flatMap((field) => field?.column ?? []),
    ]),
  ].filter((column) => !measures.includes(column));
  return {
    columns,
    rows: rows.map((row) => columns.map((column) => row[column] ?? null)),
    measures: measures.filter((column) => names.has(column)),
    figures,
  };
}

/** Follows the folder of a sweep: from before there is one until long after its end. */
export class LiveSweep {
  private readonly sweep: string;
  private planned: Planned | undefined;
  /** Of the plan's file: it is read again when this changes. */
  private planMark = '';
  private follower: Follower;
  private readonly log: LiveCell[] = [];
  private done = new Set<string>();
  private failed = new Map<string, string>();
  private batches: Batch[] = [];
  private trouble: string[] = [];

  /** @param sweep folder of a sweep; see {@link checkLiveFolder} */
  constructor(sweep: string) {
    this.sweep = sweep;
    this.follower = new Follower(sweep);
  }

  /** The plan; absent while there is none. */
  get plan(): LivePlan | undefined {
    return this.planned?.live;
  }

  /** Cells that were finished or given up, in the order in which that became known. A later one of a cell holds. */
  get cells(): readonly LiveCell[] {
    return this.log;
  }

  /** Looks at the folder: takes up what is new. Never rejects: what is wrong is told by {@link LiveSweep.status}. */
  async look(): Promise<void> {
    try {
      if (!(await this.lookAtPlan())) return;
      const { facts, isNew } = await this.follower.look();
      if (isNew) this.forget(this.planned!.plan);
      for (const fact of facts) this.take(fact);
      this.trouble = [];
    } catch (error) {
      const { message } = error as Error;
      this.trouble = [error instanceof NestwalkError ? message : `this should not have happened: ${message}`];
    }
  }

  /** Whether there is a plan. One that was replaced by another sweep's begins everything anew. */
  private async lookAtPlan(): Promise<boolean> {
    const stats = await stat(planFile(this.sweep)).catch(() => undefined);
    const mark = stats ? `${stats.ino} ${stats.size} ${stats.mtimeMs}` : '';
    if (mark === this.planMark) return this.planned !== undefined;
    if (!stats) {
      // What was seen stays on the page: the folder may only be out of reach.
      if (this.planned) throw new NestwalkError('sweep.none', `${planFile(this.sweep)} is gone`);
      return false;
    }
    const plan = readPlan(this.sweep);
    this.planMark = mark;
    // The same cells may be cut into other passes: then only the estimates change.
    if (this.planned && this.planned.plan.identity === plan.identity) {
      this.planned.costs = costsOf(plan);
      return true;
    }
    this.follower = new Follower(this.sweep);
    this.forget(plan);
    return true;
  }

  private forget(plan: Plan): void {
    this.planned = new Planned(this.sweep, plan);
    this.log.length = 0;
    this.done = new Set();
    this.failed = new Map();
    this.batches = [];
  }

  private take({ cell, result, reason, time }: Fact): void {
    const { plan, places, costs, live } = this.planned!;
    const indices = places.get(cell);
    // Cells of another plan that was in this folder, or that has results beyond this one.
    if (!indices || this.done.has(cell)) return;
    if (!result) {
      this.failed.set(cell, reason ?? '');
      for (const index of indices) this.log.push([index, time, reason ?? '']);
      return;
    }
    this.done.add(cell);
    this.failed.delete(cell);
    const metrics = metricsOf(plan, plan.cells[indices[0]], result);
    const outcome = live.measures.map((column) => metrics[column] ?? null);
    for (const index of indices) this.log.push([index, time, outcome]);
    const cost = costs.get(cell) ?? { accesses: 0, seconds: 0 };
    const last = this.batches.at(-1);
    if (last?.time !== time) this.batches.push({ time, cells: indices.length, ...cost });
    else {
      last.cells += indices.length;
      last.accesses += cost.accesses;
      last.seconds += cost.seconds;
    }
  }

  /** How it stands at a moment, in milliseconds since 1970. */
  status(now = Date.now()): LiveStatus {
    const { planned, trouble } = this;
    const nothing = { cells: 0, done: 0, failed: 0, invalid: 0, missing: 0, passes: [], damaged: 0 };
    if (!planned) return { phase: trouble.length > 0 ? 'unreadable' : 'waiting', ...nothing, trouble };
    const { live, places } = planned;
    const countOf = (names: Iterable<string>): number =>
      [...names].reduce((sum, name) => sum + places.get(name)!.length, 0);
    const done = countOf(this.done);
    const failed = countOf(this.failed.keys());
    const missing = live.cells - live.invalid.length - done - failed;
    const writers = [...this.follower.writers];
    const working = missing > 0 ? writers.filter((writer) => isWorking(writer, now)) : [];
    const began = sessionStart(writers, working, now);
    const isRunning = working.length > 0;
    const phase =
      missing === 0 ? 'finished' : isRunning ? 'running' : writers.length === 0 ? 'planned' : 'stopped';
    const heard = Math.max(0, ...writers.map((writer) => writer.heard));
    return {
      phase,
      cells: live.cells,
      done,
      failed,
      invalid: live.invalid.length,
      missing,
      ...(began === undefined ? {} : { began }),
      ...(heard > 0 ? { heard } : {}),
      ...(began === undefined ? {} : this.pace(began, isRunning ? now : undefined)),
      passes: working
        .filter(({ open }) => open.size > 0)
        .map((writer) => ({
          host: writer.host,
          pid: writer.pid,
          cells: writer.open.size,
          heard: writer.heard,
        })),
      damaged: this.follower.damaged,
      trouble: [...trouble, ...this.follower.conflicts],
    };
  }

  /** Rates and the time left. @param now absent where nothing runs: then the rates are those of the last session */
  private pace(
    began: number,
    now: number | undefined,
  ): Pick<LiveStatus, 'cellsPerSecond' | 'accessesPerSecond' | 'secondsLeft'> {
    const session = this.batches.filter(({ time }) => time >= began);
    if (session.length === 0) return {};
    const end = now ?? session[session.length - 1].time;
    const before = session.at(-WINDOW_BATCHES - 1)?.time ?? began;
    const from = now === undefined ? began : Math.max(began, Math.min(now - WINDOW_MS, before));
    const seconds = (end - from) / 1000;
    const window = session.filter(({ time }) => time > from);
    if (seconds <= 0 || window.length === 0) return {};
    const sum = (of: keyof Batch): number => window.reduce((total, batch) => total + batch[of], 0);
    const estimated = sum('seconds');
    let left = 0;
    for (const [name, cost] of this.planned!.costs)
      if (!this.done.has(name) && !this.failed.has(name)) left += cost.seconds;
    return {
      cellsPerSecond: sum('cells') / seconds,
      accessesPerSecond: sum('accesses') / seconds,
      ...(now !== undefined && estimated > 0 ? { secondsLeft: (left * seconds) / estimated } : {}),
    };
  }
}

/** Whether a writer is at work, as far as can be told without asking it. */
function isWorking({ host, pid, heard, open }: Writer, now: number): boolean {
  if (host !== hostname()) return now - heard < TRUSTED_MS;
  return isAlive(pid) && (open.size > 0 || now - heard < BETWEEN_PASSES_MS);
}

/** When the last session began: the earliest of the writers that follow one another without a long gap. */
function sessionStart(
  writers: readonly Writer[],
  working: readonly Writer[],
  now: number,
): number | undefined {
  const spans = writers
    .map((writer) => ({ from: writer.began, to: working.includes(writer) ? now : writer.heard }))
    .sort((a, b) => b.to - a.to);
  const [last] = spans;
  if (!last) return undefined;
  return spans.reduce(
    (from, span) => (span.to >= from - SESSION_GAP_MS ? Math.min(from, span.from) : from),
    last.from,
  );
}
