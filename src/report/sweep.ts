/** Sweeps as text: the plan before the start, how it stands, and the summary at the end. */
import type { StoreTable, StoreValue } from '../results/store.ts';
import type { Plan } from '../sweep/plan.ts';
import type { SweepStatus } from '../sweep/status.ts';
import { barChart, sparkline } from './charts.ts';
import { bytes, count, decimal, duration, fine, perCent, ratio } from './format.ts';
import { facts, numeric, type Style, table, text } from './table.ts';

/** Lines of a list before it is cut. */
const MOST_LINES = 12;
/** Cells shown at each end of the order. */
const ENDS = 5;
/** Characters of a varied value. */
const MOST_CHARACTERS = 28;

const cut = (value: string): string =>
  value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS - 1)}…` : value;

const valueText = (value: unknown): string =>
  cut(typeof value === 'object' ? JSON.stringify(value) : String(value));

/** A list, cut where it is long. */
function listed(lines: readonly string[]): string {
  const more = lines.length - MOST_LINES;
  return [...lines.slice(0, MOST_LINES), ...(more > 0 ? [`… and ${count(more)} more`] : [])].join('\n');
}

/** How many of each, most frequent first: `12 × why`. */
function tally(reasons: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([reason, times]) => `${count(times)} × ${reason}`);
}

const section = (title: string, body: string, style: Style): string => `${style.strong(title)}\n${body}`;

/** What a plan will take, for so many workers. */
export interface PlanOutlook {
  workers: number;
  memoryBytes: number;
  /** Cells that the journal has already. */
  done: number;
}

/** Time of a plan by its estimates: no shorter than its longest pass. */
function planSeconds(plan: Plan, workers: number): number {
  const all = plan.passes.map(({ estimate }) => estimate.seconds);
  const sum = all.reduce((total, seconds) => total + seconds, 0);
  return Math.max(sum / workers, ...all);
}

/** A plan as text: cells, passes and why, estimates. */
export function renderPlan(plan: Plan, outlook: PlanOutlook, style: Style): string {
  const groups = plan.passes.filter(({ kind }) => kind === 'group');
  const singles = plan.passes.filter(({ kind }) => kind === 'single');
  const invalid = plan.cells.filter((cell) => cell.invalid !== undefined);
  const accesses = plan.passes.reduce((sum, { estimate }) => sum + (estimate.accesses ?? 0), 0);
  const simulated = plan.passes.reduce(
    (sum, { estimate, cells }) => sum + (estimate.accesses ?? 0) * cells.length,
    0,
  );
  const unknown = plan.passes.filter(({ estimate }) => estimate.accesses === undefined).length;
  const largest = Math.max(0, ...plan.passes.map(({ estimate }) => estimate.memoryBytes));
  const together = Math.min(outlook.memoryBytes, largest * Math.min(outlook.workers, plan.passes.length));
  const inGroups = groups.reduce((sum, { cells }) => sum + cells.length, 0);
  const distinct = new Set(plan.cells.flatMap(({ name }) => name ?? [])).size;
  const valid = plan.cells.length - invalid.length;
  const pairs: [string, string][] = [
    ['cells', cellsText(plan, invalid.length, valid - distinct)],
    ['done already', count(outlook.done)],
    [
      'passes',
      `${count(plan.passes.length)}: ${count(groups.length)} groups of ${count(inGroups)} cells, ${count(singles.length)} single runs`,
    ],
    ['accesses', `${count(accesses)} in the streams, ${count(simulated)} over all cells`],
    [
      'time, about',
      `${duration(planSeconds(plan, outlook.workers))} with ${count(outlook.workers)} workers${unknown > 0 ? `, and ${count(unknown)} passes over traces of unknown length` : ''}`,
    ],
    [
      'memory, about',
      `${bytes(largest)} for the largest pass, ${bytes(Math.max(largest, together))} together`,
    ],
  ];
  const parts = [
    section('Plan', facts(pairs, style), style),
    section('Varied', listed(plan.axes.map(({ path, values }) => `${path}: ${cutList(values)}`)), style),
    section(
      'Passes',
      listed(
        tally(
          plan.passes.map(({ kind, cells, reason }) =>
            kind === 'group' ? `group of ${count(cells.length)} cells: ${reason}` : `single run: ${reason}`,
          ),
        ),
      ),
      style,
    ),
  ];
  if (invalid.length > 0)
    parts.push(
      section(
        'Invalid cells, not run',
        listed(invalid.map((cell) => `${cell.index}: ${cell.invalid}`)),
        style,
      ),
    );
  return parts.join('\n\n');
}

function cellsText(plan: Plan, invalid: number, same: number): string {
  const notes = [
    ...(plan.skipped > 0 ? [`${count(plan.skipped)} more skipped`] : []),
    ...(invalid > 0 ? [`${count(invalid)} of them invalid`] : []),
    ...(same > 0 ? [`${count(same)} of them the same as another`] : []),
  ];
  return [count(plan.cells.length), ...notes].join(', ');
}

const cutList = (values: readonly unknown[]): string => {
  const shown = values.slice(0, MOST_LINES).map(valueText);
  return values.length > MOST_LINES ? `${shown.join(', ')}, … (${values.length})` : shown.join(', ');
};

/** How a sweep stands, as text. */
export function renderSweepStatus(status: SweepStatus, style: Style): string {
  const { cells, done, failed, invalid, missing, passes, passesDone, seconds, files, torn, damaged } = status;
  const pairs: [string, string][] = [
    [
      'cells',
      `${count(done)} of ${count(cells)} done, ${count(failed.length)} failed, ${count(invalid.length)} invalid, ${count(missing)} missing`,
    ],
    ['passes', `${count(passesDone)} of ${count(passes)} done`],
    ['work so far', `${duration(seconds)}, all workers together`],
    ['journal', `${count(files)} files${torn > 0 ? `, ${count(torn)} with a torn end (no harm)` : ''}`],
  ];
  const parts = [facts(pairs, style)];
  if (damaged.length > 0)
    parts.push(
      section(
        'Damaged lines; their cells count as missing',
        listed(damaged.map(({ file, line }) => `${file}:${line}`)),
        style,
      ),
    );
  if (failed.length > 0)
    parts.push(
      section('Failed', listed(failed.map(({ index, reason }) => `cell ${index}: ${reason}`)), style),
    );
  if (missing > 0) parts.push('The same `nestwalk sweep` command goes on with what is missing.');
  return parts.join('\n\n');
}

/** A row of the results, by column. */
type Row = Record<string, StoreValue>;

const rowsOf = ({ columns, rows }: StoreTable): Row[] =>
  rows.map((row) => Object.fromEntries(columns.map(({ name }, at) => [name, row[at]])));

const number = (row: Row, name: string): number => Number(row[name] ?? 0);

/** What cells are ordered by: cycles of walks, or misses where walks were not counted. */
const measureOf = (counters: Plan['counters']): string =>
  counters === 'all' ? 'walkCyclesPerAccess_total' : 'missRatio_overall';

/** The best and the worst cells. */
function endsTable(plan: Plan, data: StoreTable, done: readonly Row[], style: Style): string {
  const measure = measureOf(plan.counters);
  const order = [...done].sort(
    (a, b) => number(a, measure) - number(b, measure) || number(a, 'index') - number(b, 'index'),
  );
  const ends =
    order.length <= 2 * ENDS
      ? order.map((row) => row)
      : [...order.slice(0, ENDS), undefined, ...order.slice(-ENDS)];
  const axes = data.columns.filter(({ meaning }) => meaning.startsWith('varied: '));
  const isAll = plan.counters === 'all';
  const heads = [
    numeric('cell'),
    ...axes.map(({ meaning, type }) =>
      (type === 'VARCHAR' ? text : numeric)(meaning.replace(/^varied: /, '')),
    ),
    numeric('TLB misses'),
    numeric('miss ratio'),
    ...(isAll ? [numeric('refs/walk'), numeric('walk cycles/access')] : []),
  ];
  const body = ends.map((row) => {
    if (!row) return heads.map(() => '…');
    return [
      count(number(row, 'index')),
      ...axes.map(({ name }) => cut(String(row[name] ?? ''))),
      count(number(row, 'stlbMisses')),
      ratio(number(row, 'missRatio_overall')),
      ...(isAll ? [decimal(number(row, 'refsPerWalk_total'), 2), fine(number(row, measure))] : []),
    ];
  });
  return table(heads, body, style);
}

/** Sums over cells that are there with both nested pages. */
interface PageGroup {
  workload: string;
  guestPage: string;
  pairs: number;
  misses: [number, number];
  missRatio: [number, number];
  cycles: [number, number];
}

/** Cells that differ in nothing but the nested page, in pairs of 4 KiB and 2 MiB, by workload and guest page. */
function pageGroups(data: StoreTable, done: readonly Row[]): PageGroup[] {
  const axes = data.columns.filter(
    ({ meaning }) => meaning.startsWith('varied: ') && meaning !== 'varied: paging.nestedPage',
  );
  const workloadAxis = axes.find(({ meaning }) => meaning === 'varied: workload')?.name ?? 'config_workload';
  const pairs = new Map<string, [Row?, Row?]>();
  for (const row of done) {
    const at = ['4KiB', '2MiB'].indexOf(String(row.config_nestedPage));
    if (row.config_mode !== 'nested' || at < 0) continue;
    const key = JSON.stringify(axes.map(({ name }) => row[name]));
    const pair = pairs.get(key) ?? [];
    pair[at] = row;
    pairs.set(key, pair);
  }
  const groups = new Map<string, PageGroup>();
  for (const [small, large] of pairs.values()) {
    if (!small || !large) continue;
    const [workload, guestPage] = [String(small[workloadAxis]), String(small.config_guestPage)];
    const key = `${workload}\n${guestPage}`;
    const group: PageGroup = groups.get(key) ?? {
      workload,
      guestPage,
      pairs: 0,
      misses: [0, 0],
      missRatio: [0, 0],
      cycles: [0, 0],
    };
    groups.set(key, group);
    group.pairs += 1;
    [small, large].forEach((row, at) => {
      group.misses[at] += number(row, 'stlbMisses');
      group.missRatio[at] += number(row, 'missRatio_overall');
      group.cycles[at] += number(row, 'walkCyclesPerAccess_total');
    });
  }
  return [...groups.values()];
}

const share = ([small, large]: [number, number]): string =>
  perCent(small === 0 ? null : (100 * large) / small);

function pageTable(plan: Plan, groups: readonly PageGroup[], style: Style): string {
  const isAll = plan.counters === 'all';
  const body = groups.map(({ workload, guestPage, pairs, misses, missRatio, cycles }) => [
    cut(workload),
    guestPage,
    count(pairs),
    ratio(missRatio[0] / pairs),
    ratio(missRatio[1] / pairs),
    share(misses),
    ...(isAll ? [fine(cycles[0] / pairs), fine(cycles[1] / pairs), share(cycles)] : []),
  ]);
  const heads = [
    text('workload'),
    text('guest'),
    numeric('pairs'),
    numeric('miss ratio 4KiB'),
    numeric('2MiB'),
    numeric('of 4KiB'),
    ...(isAll ? [numeric('walk cycles/access 4KiB'), numeric('2MiB'), numeric('of 4KiB')] : []),
  ];
  return table(heads, body, style);
}

/** Values of an axis beyond which its bars become a sparkline. */
const MOST_BARS = 8;

/** For each axis with several values: the mean of the measure at each of them, in the order of the sweep file. */
function axisCharts(
  plan: Plan,
  data: StoreTable,
  done: readonly Row[],
  width: number,
  style: Style,
): string[] {
  const measure = measureOf(plan.counters);
  const show = plan.counters === 'all' ? fine : ratio;
  const axes = data.columns.filter(({ meaning }) => meaning.startsWith('varied: '));
  return axes.flatMap(({ name, meaning }) => {
    const sums = new Map<string, { sum: number; cells: number }>();
    for (const row of done) {
      const key = String(row[name] ?? '');
      const { sum, cells } = sums.get(key) ?? { sum: 0, cells: 0 };
      sums.set(key, { sum: sum + number(row, measure), cells: cells + 1 });
    }
    if (sums.size < 2) return [];
    const means = [...sums].map(([label, { sum, cells }]) => ({ label: cut(label), value: sum / cells }));
    const chart =
      means.length <= MOST_BARS
        ? barChart(
            means.map(({ label, value }) => ({ label, value, shown: show(value) })),
            width,
            style,
          )
        : `${means[0].label} ${sparkline(means.map(({ value }) => value))} ${means[means.length - 1].label}` +
          `  ${style.faint(`${show(means[0].value)} … ${show(means[means.length - 1].value)}`)}`;
    return [section(`by ${meaning.replace(/^varied: /, '')}`, chart, style)];
  });
}

/**
 * The end of a sweep: how it stands, the best and worst cells, and 4 KiB against 2 MiB nested pages where both are there.
 * @param width columns that charts may take, see `chartWidth`; 0 for none
 */
export function renderSweepSummary(
  plan: Plan,
  data: StoreTable,
  status: SweepStatus,
  style: Style,
  width = 0,
): string {
  const done = rowsOf(data).filter((row) => row.status === 'done');
  const parts = [renderSweepStatus(status, style)];
  if (done.length > 0) {
    const what = plan.counters === 'all' ? 'walk cycles per access' : 'miss ratio';
    const title =
      done.length > 2 * ENDS
        ? `Best and worst of ${count(done.length)} cells, by ${what}`
        : `Cells by ${what}`;
    parts.push(section(title, endsTable(plan, data, done, style), style));
  }
  const groups = pageGroups(data, done);
  if (groups.length > 0)
    parts.push(
      section(
        'Nested pages of 4 KiB and of 2 MiB, means over cells that differ in nothing else',
        pageTable(plan, groups, style),
        style,
      ),
    );
  const charts = width > 0 ? axisCharts(plan, data, done, width, style) : [];
  if (charts.length > 0) {
    const what = plan.counters === 'all' ? 'Walk cycles per access' : 'Miss ratio';
    parts.push(style.strong(`${what}, mean over the cells of each value`), ...charts);
  }
  return parts.join('\n\n');
}
