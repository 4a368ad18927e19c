/**
 * The table of a sweep: one row a cell, in the order of the plan. Nothing in it depends on when, where or how often a cell
 * was run, so that the table of a sweep that was interrupted is that of one that was not, byte for byte.
 */
import { canonicalJson } from '../config/resolve.ts';
import { hasHostPages, isTrace, type ResolvedConfig, type TlbArrayConfig } from '../config/resolved.ts';
import { describePattern } from '../report/describe.ts';
import { countersFromFlat, flatMetrics, isTlbSlot, slotColumns } from '../results/flat.ts';
import { computeMetrics } from '../results/metrics.ts';
import type { ColumnType, StoreColumn, StoreTable, StoreValue } from '../results/store.ts';
import type { CellResult, Journal } from './journal.ts';
import { configOf, type Plan, type PlanCell } from './plan.ts';

/** What became of a cell. */
export type CellStatus = 'done' | 'failed' | 'invalid' | 'missing';

/** What became of a cell, and why. */
export function statusOf(cell: PlanCell, journal: Journal): { status: CellStatus; reason: string | null } {
  if (cell.invalid !== undefined) return { status: 'invalid', reason: cell.invalid };
  if (journal.results.has(cell.name!)) return { status: 'done', reason: null };
  const failed = journal.failed.get(cell.name!);
  return failed === undefined ? { status: 'missing', reason: null } : { status: 'failed', reason: failed };
}

const entriesOf = (arrays: readonly TlbArrayConfig[] | null | undefined): number =>
  (arrays ?? []).reduce((sum, { entries }) => sum + entries, 0);

type ConfigColumn = readonly [
  name: string,
  type: ColumnType,
  meaning: string,
  value: (config: ResolvedConfig) => StoreValue,
];

/** Columns of a cell's configuration, whether varied or not. */
const CONFIG_COLUMNS: readonly ConfigColumn[] = [
  [
    'config_workload',
    'VARCHAR',
    'pattern of the workload, or name of the trace',
    ({ workload }) =>
      isTrace(workload) ? (workload.trace.split(/[\\/]/).pop() ?? '') : describePattern(workload),
  ],
  [
    'config_footprintBytes',
    'UBIGINT',
    'bytes of all regions; of a trace none',
    ({ regions }) => (regions.length === 0 ? null : regions.reduce((sum, { bytes }) => sum + bytes, 0)),
  ],
  [
    'config_accesses',
    'UBIGINT',
    'accesses asked for; none for a trace that is read to its end',
    ({ accesses }) => accesses ?? null,
  ],
  ['config_seed', 'VARCHAR', 'seed of every random choice', ({ seed }) => String(seed)],
  ['config_machine', 'VARCHAR', 'preset that the machine came from', ({ machine }) => machine.preset ?? null],
  [
    'config_l1dEntries',
    'UBIGINT',
    'entries of all L1 arrays for data',
    ({ machine }) => entriesOf(machine.l1d),
  ],
  [
    'config_l1iEntries',
    'UBIGINT',
    'entries of all L1 arrays for fetches',
    ({ machine }) => entriesOf(machine.l1i),
  ],
  ['config_stlbEntries', 'UBIGINT', 'entries of all STLB arrays', ({ machine }) => entriesOf(machine.stlb)],
  [
    'config_stlbWays',
    'UBIGINT',
    'ways of the STLB, if it is one array',
    ({ machine }) => (machine.stlb.length === 1 ? machine.stlb[0].ways : null),
  ],
  [
    'config_stlbReplacement',
    'VARCHAR',
    'replacement of the STLB, if it is one array',
    ({ machine }) => (machine.stlb.length === 1 ? machine.stlb[0].replacement : null),
  ],
  ['config_mode', 'VARCHAR', 'native, nested, shadow or paravirt', ({ paging }) => paging.mode],
  [
    'config_guestPage',
    'VARCHAR',
    'page size of the guest’s (or only) table',
    ({ paging }) => paging.guestPage,
  ],
  [
    'config_nestedPage',
    'VARCHAR',
    'page size of the nested table, or of host pages behind shadow tables; else none',
    ({ paging }) => (hasHostPages(paging.mode) ? paging.nestedPage : null),
  ],
  [
    'config_guestLevels',
    'UBIGINT',
    'levels of the guest’s (or only) table',
    ({ paging }) => paging.guestLevels,
  ],
  [
    'config_nestedLevels',
    'UBIGINT',
    'levels of the nested table; else none',
    ({ paging }) => (paging.mode === 'nested' ? paging.nestedLevels : null),
  ],
  ['config_populate', 'VARCHAR', 'prefault or demand', ({ paging }) => paging.populate],
  ['config_placement', 'VARCHAR', 'contiguous or scattered frames', ({ paging }) => paging.placement],
];

/** The columns of a configuration, as the table of a sweep has them. */
export const configColumns = (): StoreColumn[] =>
  CONFIG_COLUMNS.map(([name, type, meaning]) => ({ name, type, meaning }));

/** The values of {@link configColumns}. */
export const configValues = (config: ResolvedConfig): StoreValue[] =>
  CONFIG_COLUMNS.map(([, , , value]) => value(config));

/** Metrics that follow from TLB counters alone. */
const TLB_METRIC = /^(missRatio|missesPerThousandAccesses|stlbHitCycles|reachBytes)/;

/** A varied field's column: its path with `_` for every sign, `vary_` before it where a counter has that name. */
export function axisColumn(path: string, taken: ReadonlySet<string>): string {
  const name = path.replace(/[^A-Za-z0-9]+/g, '_').replace(/_$/, '');
  return taken.has(name.toLowerCase()) ? `vary_${name}` : name;
}

function axisType(values: readonly unknown[]): ColumnType {
  if (values.every((value) => Number.isSafeInteger(value) && (value as number) >= 0)) return 'UBIGINT';
  return values.every((value) => typeof value === 'number') ? 'DOUBLE' : 'VARCHAR';
}

/** A varied value as it stands in its column: structures as JSON. */
export function axisValue(value: unknown, type: ColumnType): StoreValue {
  if (type !== 'VARCHAR') return value as number;
  return typeof value === 'string' ? value : canonicalJson(value);
}

/** Names in the order in which the lists have them; what is new in a later list comes after its neighbour to the left. */
function merged(lists: readonly (readonly string[])[]): string[] {
  const all: string[] = [];
  for (const list of lists) {
    let at = -1;
    for (const name of list) {
      const known = all.indexOf(name);
      if (known < 0) all.splice(++at, 0, name);
      else at = known;
    }
  }
  return all;
}

const cacheNamesOf = (plan: Plan, cell: PlanCell): string[] =>
  plan.machines[cell.machine!].caches.map(({ name }) => name);

/** Counter columns of a plan: those of every machine in it. */
function counterColumns(plan: Plan): string[] {
  const kinds = new Map<string, string[]>();
  for (const { caches } of plan.machines) {
    const names = caches.map(({ name }) => name);
    kinds.set(names.join('\n'), names);
  }
  const lists = [...kinds.values()].map((names) =>
    slotColumns(names)
      .filter(([, slot]) => plan.counters === 'all' || isTlbSlot(slot))
      .map(([name]) => name),
  );
  return merged(lists);
}

/** All values of one cell by column. */
function valuesOf(plan: Plan, cell: PlanCell, result: CellResult): Record<string, StoreValue> {
  const names = cacheNamesOf(plan, cell);
  const zeros = Object.fromEntries(slotColumns(names).map(([name]) => [name, 0]));
  const metrics = flatMetrics(computeMetrics(countersFromFlat(result.counters, names), configOf(plan, cell)));
  const events = Object.fromEntries(
    Object.entries(result.events).map(([name, value]) => [`events_${name}`, value]),
  );
  return {
    ...zeros,
    ...result.counters,
    ...events,
    ...metrics,
    ...(result.reuse ? { reuse: result.reuse } : {}),
  };
}

/** Columns that only some sweeps have: optional counters, events, metrics. */
function foundColumns(
  values: readonly Record<string, StoreValue>[],
  known: ReadonlySet<string>,
): StoreColumn[] {
  const found = new Map<string, StoreColumn>();
  for (const row of values)
    for (const name of Object.keys(row)) {
      if (known.has(name) || found.has(name)) continue;
      if (name === 'reuse') found.set(name, { name, type: 'VARCHAR', meaning: 'stack distances, as JSON' });
      else if (name.startsWith('unique_'))
        found.set(name, { name, type: 'UBIGINT', meaning: 'distinct entries referenced' });
      else if (name.startsWith('events_'))
        found.set(name, { name, type: 'UBIGINT', meaning: 'event of the software' });
    }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Columns of metrics, in the order of results: those of every machine, with and without an L1 for fetches. */
function metricColumns(plan: Plan): StoreColumn[] {
  const lists = new Map<boolean, string[]>();
  for (const cell of plan.cells) {
    if (cell.invalid !== undefined) continue;
    const hasL1i = plan.machines[cell.machine!].l1i !== null;
    if (lists.has(hasL1i)) continue;
    const nothing = countersFromFlat({}, cacheNamesOf(plan, cell));
    lists.set(hasL1i, Object.keys(flatMetrics(computeMetrics(nothing, configOf(plan, cell)))));
  }
  return merged([...lists.values()])
    .filter((name) => plan.counters === 'all' || TLB_METRIC.test(name))
    .map((name) => ({ name, type: 'DOUBLE' as const, meaning: 'metric, from the counters' }));
}

/** The table of a sweep, also of one that is not at its end: cells that are missing have a row without counters. */
export function sweepTable(plan: Plan, journal: Journal): StoreTable {
  const values = plan.cells.map((cell) => {
    const result = cell.name === undefined ? undefined : journal.results.get(cell.name);
    return result ? valuesOf(plan, cell, result) : undefined;
  });
  const present = values.filter((row) => row !== undefined);
  const counters = counterColumns(plan).map((name) => ({
    name,
    type: 'UBIGINT' as const,
    meaning: 'counter',
  }));
  const everyCounter = new Set(
    plan.machines.flatMap(({ caches }) => slotColumns(caches.map(({ name }) => name)).map(([name]) => name)),
  );
  const others = foundColumns(present, everyCounter);
  const metrics = metricColumns(plan);
  const heads = headColumns(
    plan,
    new Set(['cell', 'index', 'status', 'reason', ...everyCounter].map((name) => name.toLowerCase())),
  );
  const tail = [...counters, ...others, ...metrics];
  const rows = plan.cells.map((cell, at) => {
    const own = values[at];
    const zero = (name: string): StoreValue =>
      name.startsWith('unique_') || name.startsWith('events_') ? 0 : null;
    const end = tail.map(({ name }) => (own ? (own[name] ?? zero(name)) : null));
    return [...headValues(plan, cell, journal, heads.axes), ...end];
  });
  return { columns: [...heads.fixed, ...heads.axes, ...heads.config, ...tail], rows };
}

interface Heads {
  fixed: StoreColumn[];
  axes: StoreColumn[];
  config: StoreColumn[];
}

function headColumns(plan: Plan, taken: ReadonlySet<string>): Heads {
  return {
    fixed: [
      { name: 'cell', type: 'VARCHAR', meaning: 'name of the cell: hash of what its counters depend on' },
      { name: 'index', type: 'UBIGINT', meaning: 'place in the grid without what is skipped, from 0' },
      { name: 'status', type: 'VARCHAR', meaning: 'done, failed, invalid or missing' },
      { name: 'reason', type: 'VARCHAR', meaning: 'why it failed or is invalid' },
    ],
    axes: plan.axes.map(({ path, values }) => ({
      name: axisColumn(path, taken),
      type: axisType(values),
      meaning: `varied: ${path}`,
    })),
    config: configColumns(),
  };
}

function headValues(
  plan: Plan,
  cell: PlanCell,
  journal: Journal,
  axes: readonly StoreColumn[],
): StoreValue[] {
  const { status, reason } = statusOf(cell, journal);
  const config = cell.invalid === undefined ? configOf(plan, cell) : undefined;
  return [
    cell.name ?? null,
    cell.index,
    status,
    reason,
    ...axes.map(({ type }, at) => axisValue(plan.axes[at].values[cell.values[at]], type)),
    ...(config ? configValues(config) : CONFIG_COLUMNS.map(() => null)),
  ];
}
