/** What a report is made of, whatever it is about: a sweep, a run, a comparison, a scenario, published results. */
import path from 'node:path';
import { canonicalJson } from '../../config/resolve.ts';
import type { ResolvedConfig } from '../../config/resolved.ts';
import { flatten } from '../../results/flat.ts';
import type { StoreColumn, StoreTable } from '../../results/store.ts';
import type { Provenance, Result } from '../../results/types.ts';
import type { Comparison } from '../../run/compare.ts';
import { configOf, type Plan } from '../../sweep/plan.ts';
import { configColumns, configValues, sweepTable } from '../../sweep/rows.ts';
import { readSweep, type SweepStatus, sweepStatus } from '../../sweep/status.ts';
import { type Figure, isDone, type Row, shortened } from '../browser/figure.js';
import { count, duration, rate } from '../browser/format.js';
import { describeMachine, describeWorkload } from '../describe.ts';
import { chooseFigures } from '../figures/choose.ts';
import { type Axis, PAGING, type Varied, variedFields, withReportColumns } from '../figures/fields.ts';
import { compareFindings, runFindings, sweepFindings } from './findings.ts';

/** A column of the table of all cells that is shown at first, with its heading. */
export interface ShownColumn {
  /** Its column. */
  column: string;
  /** Its heading. */
  label: string;
}

/** Cells without results. */
export interface Trouble {
  /** What became of them. */
  status: string;
  /** Why. */
  reason: string;
  /** Their places in the grid. */
  cells: number[];
}

/** What a report shows. */
export interface ReportData {
  /** Heading. */
  title: string;
  /** Below the heading, a line each. */
  about: string[];
  /** What the results come to. */
  findings: string[];
  /** What is not as one would wish: cells that are missing, failed, invalid. */
  notices: string[];
  /** Cells without results, by reason. */
  troubles: Trouble[];
  /** The figures, the most telling first. */
  figures: Figure[];
  /** What figures are drawn from: the table's rows with what figures need beside them. */
  rows: Row[];
  /** The table of all cells, which is the data that can be downloaded. */
  table: StoreTable;
  /** What a row of the table is: `cell`, `platform`, `claim`. */
  rowName: string;
  /** Columns shown at first. */
  shown: ShownColumn[];
  /** Where the results come from, by name. */
  provenance: [string, string][];
  /** Configurations in full, by what they are. */
  documents: { title: string; value: unknown }[];
}

/** Rows by column from a table. */
export const rowsOf = ({ columns, rows }: StoreTable): Row[] =>
  rows.map((row) => Object.fromEntries(columns.map(({ name }, at) => [name, row[at]])));

const VARIED = 'varied: ';

/** The varied fields of a sweep's table. */
export const axesOf = ({ columns }: StoreTable): Axis[] =>
  columns
    .filter(({ meaning }) => meaning.startsWith(VARIED))
    .map(({ name, meaning }) => ({ column: name, path: meaning.slice(VARIED.length) }));

/** Results that the table shows at first, where it has them. */
const RESULT_COLUMNS: readonly ShownColumn[] = [
  { column: 'accesses', label: 'accesses' },
  { column: 'stlbMisses', label: 'TLB misses' },
  { column: 'missRatio_overall', label: 'miss ratio' },
  { column: 'refsPerWalk_total', label: 'refs/walk' },
  { column: 'walkCyclesPerAccess_total', label: 'walk cycles/access' },
];

/** Whether all rows with results have the same in a column. */
const isOne = (rows: readonly Row[], column: string): boolean =>
  rows.length > 1 && new Set(rows.filter(isDone).map((row) => row[column])).size === 1;

function shownColumns(table: StoreTable, axes: readonly Axis[], rows: readonly Row[]): ShownColumn[] {
  const names = new Set(table.columns.map(({ name }) => name));
  const hasTrouble = rows.some((row) => !isDone(row));
  return [
    { column: 'index', label: 'cell' },
    ...(hasTrouble ? [{ column: 'status', label: 'status' }] : []),
    ...axes.map(({ column, path: name }) => ({ column, label: name.replace(/^(machine|paging)\./, '') })),
    ...RESULT_COLUMNS.filter(
      ({ column }) => names.has(column) && !(column === 'accesses' && isOne(rows, column)),
    ),
    // Reasons are long, and stand below the table, each with its cells; "Columns" can show them here too.
  ];
}

/** Cells without results, those of one reason together. */
function troublesOf(rows: readonly Row[]): Trouble[] {
  const found = new Map<string, Trouble>();
  for (const row of rows) {
    if (isDone(row) || row.status === 'missing') continue;
    const [status, reason] = [String(row.status), String(row.reason ?? '')];
    const key = `${status}\n${reason}`;
    const trouble = found.get(key) ?? { status, reason, cells: [] };
    trouble.cells.push(Number(row.index));
    found.set(key, trouble);
  }
  return [...found.values()];
}

function noticesOf({ cells, failed, invalid, missing, damaged }: SweepStatus): string[] {
  const of = `of ${count(cells)} cells`;
  return [
    ...(missing > 0
      ? [
          `${count(missing)} ${of} are not run yet; this report shows the others. The same sweep command goes on with them.`,
        ]
      : []),
    ...(failed.length > 0 ? [`${count(failed.length)} ${of} failed; the reasons are below.`] : []),
    ...(invalid.length > 0
      ? [
          `${count(invalid.length)} ${of} have a geometry that cannot be built, and were not run; the reasons are below.`,
        ]
      : []),
    ...(damaged.length > 0
      ? [`${count(damaged.length)} lines of the journal are damaged; their cells count as not run.`]
      : []),
  ];
}

/** What the cells of a sweep have in common, in words. */
function commonWords(plan: Plan, axes: readonly Axis[]): string[] {
  const first = plan.cells.find(({ invalid }) => invalid === undefined);
  if (!first) return [];
  const config = configOf(plan, first);
  const varies = (pattern: RegExp): boolean => axes.some(({ path: name }) => pattern.test(name));
  return [
    ...(varies(/^(workload|footprint|regions|accesses|seed)\b/) ? [] : [describeWorkload(config)]),
    ...(varies(/^(machine|paging)\b/) ? [] : [describeMachine(config)]),
  ];
}

const grid = (varied: readonly Varied[]): string =>
  varied
    .map(({ values, label }) => `${count(values.length)} × ${label}`.replaceAll(' ', '\u00a0'))
    .join(', ');

const MOST_VALUES = 40;

/** The values that a field was given, for people. */
function valuesText(values: readonly unknown[]): string {
  const texts = values
    .slice(0, MOST_VALUES)
    .map((value) => shortened(typeof value === 'string' ? value : canonicalJson(value), 200));
  return values.length > MOST_VALUES
    ? `${texts.join(', ')}, … (${count(values.length)} in all)`
    : texts.join(', ');
}

/**
 * The report of a sweep, also of one that is not at its end.
 * @param sweep its folder
 * @throws {NestwalkError} as `readSweep`
 */
export function sweepReport(sweep: string): ReportData {
  const { plan, journal } = readSweep(sweep);
  const table = sweepTable(plan, journal);
  const status = sweepStatus(sweep, { plan, journal });
  const rows = withReportColumns(rowsOf(table));
  const axes = axesOf(table);
  const varied = variedFields(axes, rows);
  const { counters } = plan;
  const cells = `${count(status.done)} of ${count(status.cells)} cells done`;
  return {
    title: `Sweep ${path.basename(path.resolve(sweep))}`,
    about: [varied.length > 0 ? `${cells}: ${grid(varied)}` : cells, ...commonWords(plan, axes)],
    findings: sweepFindings(varied, rows, counters),
    notices: noticesOf(status),
    troubles: troublesOf(rows),
    figures: chooseFigures({ varied, counters, rows }),
    rows,
    table,
    rowName: 'cell',
    shown: shownColumns(table, axes, rows),
    provenance: [
      ['nestwalk', plan.version],
      ['schema', plan.schema],
      ['sweep', plan.identity],
      ['counters', counters === 'all' ? 'all' : 'those of the TLBs alone'],
      ...plan.axes.map(({ path: name, values }): [string, string] => [`varied: ${name}`, valuesText(values)]),
      ...Object.entries(plan.traces).map(([file, digest]): [string, string] => [
        `trace ${path.basename(file)}`,
        `SHA-256 ${digest}`,
      ]),
      ['work', `${duration(status.seconds)}, all workers together`],
      ...(plan.skipped > 0 ? [['skipped', `${count(plan.skipped)} cells`] as [string, string]] : []),
      ...plan.notes.map((text): [string, string] => ['note', text]),
    ],
    documents: documentsOf(plan),
  };
}

/** The whole configuration of the first cell that has one. */
function documentsOf(plan: Plan): ReportData['documents'] {
  const first = plan.cells.find(({ invalid }) => invalid === undefined);
  return first ? [{ title: `Configuration of cell ${first.index}`, value: configOf(plan, first) }] : [];
}

const provenanceOf = (provenance: Provenance): [string, string][] => [
  ['nestwalk', provenance.version],
  ['schema', provenance.schema],
  ['engine', `${provenance.engine} (${provenance.tier}): ${provenance.engineReason}`],
  ['processor', `${provenance.cpu}, Node ${provenance.node}`],
  ['workers', count(provenance.workers)],
  [
    'time',
    `${duration(provenance.seconds)}, ${rate(provenance.accessesPerSecond)}, and ${duration(provenance.prepareSeconds)} to prepare`,
  ],
  ...Object.entries(provenance.hashes).map(([name, digest]): [string, string] => [name, `SHA-256 ${digest}`]),
];

/** A result as a row of a sweep's table. */
function resultRow({ config, counters, ledger, metrics }: Result, index: number, cell: string): Row {
  const { reuse: _, ...others } = counters;
  const values = configValues(config as ResolvedConfig);
  return {
    cell,
    index,
    status: 'done',
    ...Object.fromEntries(configColumns().map(({ name }, at) => [name, values[at]])),
    ...flatten(others),
    ...flatten(ledger.events, 'events_'),
    ...flatten(metrics),
  };
}

/** A table of rows, with the columns that any of them has. */
export function tableOf(rows: readonly Row[]): StoreTable {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const columns = names.map((name): StoreColumn => {
    const values = rows.map((row) => row[name] ?? null).filter((value) => value !== null);
    const areNumbers = values.length > 0 && values.every((value) => typeof value === 'number');
    const areWhole = areNumbers && values.every((value) => Number.isSafeInteger(value) && Number(value) >= 0);
    return { name, type: areWhole ? 'UBIGINT' : areNumbers ? 'DOUBLE' : 'VARCHAR', meaning: '' };
  });
  return { columns, rows: rows.map((row) => names.map((name) => row[name] ?? null)) };
}

/** The report of one run. */
export function runReport(result: Result): ReportData {
  const plain = [resultRow(result, 0, 'run')];
  const rows = withReportColumns(plain);
  const table = tableOf(plain);
  return {
    title: describeWorkload(result.config),
    about: [describeMachine(result.config)],
    findings: runFindings(rows[0]),
    notices: [],
    troubles: [],
    figures: chooseFigures({ varied: [], counters: 'all', rows }),
    rows,
    table,
    rowName: 'run',
    shown: shownColumns(table, [], rows),
    provenance: provenanceOf(result.provenance),
    documents: [{ title: 'Configuration', value: result.config }],
  };
}

/** The report of a comparison of page sizes. */
export function compareReport(comparison: Comparison): ReportData {
  const { cells, baseline } = comparison;
  const plain = cells.map(({ mode, guestPage, nestedPage, result, perCent }, index) => ({
    ...resultRow(result, index, mode === 'native' ? `native, ${guestPage}` : `${guestPage} on ${nestedPage}`),
    ...flatten(perCent, 'perCent_'),
  }));
  const rows = withReportColumns(plain);
  const varied = variedFields([{ path: 'paging', column: PAGING }], rows);
  const table = tableOf(plain);
  const last = cells[cells.length - 1].result;
  const base = rows.find(
    (row) =>
      row.config_mode === 'nested' &&
      row.config_guestPage === baseline.guestPage &&
      row.config_nestedPage === baseline.nestedPage,
  );
  return {
    title: `Page sizes: ${describeWorkload(last.config)}`,
    about: [
      `${last.config.machine.preset ?? 'A machine of one’s own'}; base: ${baseline.guestPage} guest pages on ${baseline.nestedPage} nested pages`,
    ],
    findings: base ? compareFindings(rows, base) : [],
    notices: [],
    troubles: [],
    figures: chooseFigures({ varied, counters: 'all', rows }),
    rows,
    table,
    rowName: 'run',
    shown: [
      { column: 'cell', label: 'pages' },
      ...RESULT_COLUMNS,
      { column: 'perCent_misses', label: 'misses, % of base' },
      { column: 'perCent_walkCyclesPerAccess', label: 'walk cycles, % of base' },
    ],
    provenance: provenanceOf(last.provenance),
    documents: [{ title: 'Configuration of the last run', value: last.config }],
  };
}
