/**
 * What a table of cells varies, as fields that figures can show: sizes as numbers, structures by what they come to, labels in
 * the words of the glossary. Fields that figures need and results do not have are added to the rows, with `:` in their names,
 * which no column of an export has.
 */
import { parseBytes } from '../../config/units.ts';
import { PAGE_SIZES, type PageSize } from '../../schema.ts';
import type { Field, Row, Value } from '../browser/figure.js';

/** What a varied field is to a figure. */
export type Role = 'entries' | 'ways' | 'guestPage' | 'nestedPage' | 'mode' | 'seed' | 'number' | 'text';

/** A field of which the cells have at least two values. */
export interface Varied extends Field {
  /** What it is to a figure. */
  role: Role;
  /** All values that cells have: numbers ascending, page sizes from small to large, text in the order of the cells. */
  values: Value[];
}

/** A varied field as the table has it. */
export interface Axis {
  /** Path in the configuration: `machine.stlb[0].ways`. */
  path: string;
  /** Its column. */
  column: string;
}

/** What lies below the guest: the nested page, or the mode of cells without a nested table (`native`, `shadow on 2MiB`). */
export const BELOW_GUEST = 'report:belowGuest';
/** Mode and page sizes in one: `2MiB on 4KiB`, `native, 2MiB`, `shadow, 4KiB on 4KiB`. */
export const PAGING = 'report:paging';
/** Cycles of STLB hits, for each access. */
export const STLB_CYCLES = 'report:stlbHitCyclesPerAccess';
/** Shares of the accesses that ended in the L1, in the STLB and in a walk. */
export const OUTCOMES = ['report:l1Share', 'report:stlbShare', 'report:missShare'] as const;

/** From this ratio of the largest to the smallest on, sizes stand on a logarithmic axis. */
const LOG_FROM = 8;

/** Mode and page sizes of a cell in words: of all of it, and of what lies below the guest. */
function pagingWords({
  config_mode: mode,
  config_guestPage: guest,
  config_nestedPage: nested,
}: Row): [string, string] {
  const host = nested === null || nested === undefined ? '' : ` on ${nested}`;
  if (mode === 'nested') return [`${guest}${host}`, String(nested)];
  return [`${mode}, ${guest}${host}`, `${mode}${host}`];
}

/** Adds to each row what figures need beside the results. */
export function withReportColumns(rows: readonly Row[]): Row[] {
  return rows.map((row) => {
    const { config_mode: mode, accesses } = row;
    const made: Row = { ...row };
    if (mode !== undefined && mode !== null) [made[PAGING], made[BELOW_GUEST]] = pagingWords(row);
    if (typeof accesses === 'number' && accesses > 0 && typeof row.missRatio_l1 === 'number') {
      const overall = Number(row.missRatio_overall);
      made[STLB_CYCLES] = Number(row.stlbHitCycles) / accesses;
      [1 - row.missRatio_l1, row.missRatio_l1 - overall, overall].forEach((share, at) => {
        made[OUTCOMES[at]] = share;
      });
    }
    return made;
  });
}

/** Page sizes from small to large, behind what is no page size. */
const pageOrder = (value: Value): number => PAGE_SIZES.indexOf(value as PageSize);

const valuesOf = (rows: readonly Row[], column: string): Value[] => {
  const found = [...new Set(rows.map((row) => row[column] ?? null))].filter((value) => value !== null);
  if (found.every((value) => typeof value === 'number')) return found.sort((a, b) => a - b);
  // Other texts keep the order in which they occur.
  return found.some((value) => pageOrder(value) >= 0)
    ? found.sort((a, b) => pageOrder(a) - pageOrder(b))
    : found;
};

/** Whether rows that differ in the one list of columns differ in the other, and the other way round. */
function sameDistinctions(rows: readonly Row[], from: readonly string[], to: readonly string[]): boolean {
  const there = new Map<string, string>();
  const back = new Map<string, string>();
  for (const row of rows) {
    const a = JSON.stringify(from.map((column) => row[column] ?? null));
    const b = JSON.stringify(to.map((column) => row[column] ?? null));
    if ((there.get(a) ?? b) !== b || (back.get(b) ?? a) !== a) return false;
    there.set(a, b);
    back.set(b, a);
  }
  return true;
}

const isPositive = (values: readonly Value[]): values is number[] =>
  values.every((value) => typeof value === 'number' && value > 0);

/** Logarithmic where sizes spread widely. */
function scaleOf(values: readonly Value[]): 'log' | 'linear' {
  return isPositive(values) && values[values.length - 1] / values[0] >= LOG_FROM ? 'log' : 'linear';
}

/** A path without the section that says nothing: `psc.l2.entries`. */
const labelOfPath = (path: string): string => path.replace(/^(machine|paging)\./, '');

const BYTES_TEXT = /^\s*\d+(\.\d+)?\s*[KMGTP]i?B\s*$/;
const BYTES_PATH = /(bytes|footprint|size|guestMemory)$/i;

/** A column of byte sizes written as text, as numbers in a column of its own. */
function numericColumn(rows: readonly Row[], column: string): string {
  const values = valuesOf(rows, column);
  const areSizes = values.every((value) => typeof value === 'string' && BYTES_TEXT.test(value));
  if (!areSizes || values.every((value) => pageOrder(value) >= 0)) return column;
  const made = `report:${column}`;
  for (const row of rows) row[made] = row[column] === null ? null : parseBytes(String(row[column]));
  return made;
}

/** The plain field of an axis: numbers where it has numbers, else text. */
function plainField(rows: readonly Row[], { path, column }: Axis): Varied {
  const own = numericColumn(rows, column);
  const values = valuesOf(rows, own);
  const areNumbers = values.every((value) => typeof value === 'number');
  const areBytes =
    own !== column || (areNumbers && BYTES_PATH.test(path) && values.some((value) => Number(value) >= 4096));
  return {
    column: own,
    label: labelOfPath(path),
    role: areNumbers ? 'number' : 'text',
    format: areBytes ? 'bytes' : areNumbers ? 'count' : 'text',
    ...(areNumbers ? { scale: scaleOf(values) } : {}),
    values,
  };
}

/** Columns of the configuration that stand for axes whose values are structures, or less telling. */
interface Stand {
  /** Axes that it may stand for, by path. */
  of: RegExp;
  columns: readonly { column: string; label: string; role: Role; format: Field['format'] }[];
}

const STANDS: readonly Stand[] = [
  {
    of: /^machine\.stlb\b/,
    columns: [
      { column: 'config_stlbEntries', label: 'STLB entries', role: 'entries', format: 'count' },
      { column: 'config_stlbWays', label: 'STLB ways', role: 'ways', format: 'count' },
    ],
  },
  {
    of: /^machine\.l1d\b/,
    columns: [{ column: 'config_l1dEntries', label: 'L1 entries', role: 'entries', format: 'count' }],
  },
  {
    of: /^(footprint|regions)\b/,
    columns: [{ column: 'config_footprintBytes', label: 'footprint', role: 'number', format: 'bytes' }],
  },
  {
    of: /^accesses$/,
    columns: [{ column: 'config_accesses', label: 'accesses', role: 'number', format: 'count' }],
  },
  {
    of: /^workload$/,
    columns: [{ column: 'config_workload', label: 'workload', role: 'text', format: 'text' }],
  },
  { of: /^seed$/, columns: [{ column: 'config_seed', label: 'seed', role: 'seed', format: 'text' }] },
  {
    of: /^paging(\.(mode|guestPage|nestedPage))?$/,
    columns: [
      { column: 'config_guestPage', label: 'guest page', role: 'guestPage', format: 'text' },
      { column: BELOW_GUEST, label: 'nested page', role: 'nestedPage', format: 'text' },
    ],
  },
];

/** Names of workloads say more than what they stand for. */
const keepsItsNames = (rows: readonly Row[], { path, column }: Axis): boolean =>
  path === 'workload' && !valuesOf(rows, column).some((value) => String(value).startsWith('{'));

/** Cells that are one, such as native ones for every nested page: they tell nothing of the axes. */
const distinctCells = (rows: readonly Row[]): Row[] => {
  const seen = new Set<Value>();
  return rows.filter(({ cell }) => {
    if (cell === null || cell === undefined) return true;
    const isNew = !seen.has(cell);
    seen.add(cell);
    return isNew;
  });
};

/** What a column holds for each value of an axis, where it follows from the axis alone. */
function followsFrom(
  rows: readonly Row[],
  axis: string,
  column: string,
): ((value: Value) => Value) | undefined {
  const found = new Map<Value, Value>();
  for (const row of rows) {
    const [from, to] = [row[axis] ?? null, row[column] ?? null];
    if ((found.get(from) ?? to) !== to) return undefined;
    found.set(from, to);
  }
  const isSame = [...found].every(([from, to]) => from === to);
  return (value) => found.get(value) ?? (isSame ? value : null);
}

/**
 * A column that cells without a configuration (invalid ones) have too, as far as it follows from one of the axes; what is
 * made is a column of its own, since the results do not have it.
 */
function filledColumn(
  rows: readonly Row[],
  known: readonly Row[],
  axes: readonly Axis[],
  column: string,
): string {
  const lacking = rows.filter((row) => (row[column] ?? null) === null && row.status === 'invalid');
  if (lacking.length === 0) return column;
  const follow = axes.flatMap((axis) => {
    const of = followsFrom(known, axis.column, column);
    return of ? [{ axis, of }] : [];
  })[0];
  const made = column.startsWith('report:') ? column : `report:${column}`;
  for (const row of rows) row[made] = row[column] ?? null;
  for (const row of lacking) row[made] = follow ? follow.of(row[follow.axis.column] ?? null) : null;
  return made;
}

/** The fields that stand for some axes, where they tell cells apart exactly as the axes do. */
function standFor(rows: readonly Row[], axes: readonly Axis[], { columns }: Stand): Varied[] | undefined {
  const known = distinctCells(rows).filter((row) =>
    columns.some(({ column }) => (row[column] ?? null) !== null),
  );
  const names = columns.map(({ column }) => column);
  const own = axes.map(({ column }) => column);
  if (known.length === 0 || !sameDistinctions(known, own, names)) return undefined;
  return columns.flatMap((stand) => {
    const column = filledColumn(rows, known, axes, stand.column);
    const values = valuesOf(rows, column);
    if (values.length < 2) return [];
    const isNumber = stand.format !== 'text';
    const hasModes = stand.role === 'nestedPage' && values.some((value) => pageOrder(value) < 0);
    const label = hasModes ? 'nested page or mode' : stand.label;
    const first = stand.role === 'nestedPage' ? values.find((value) => pageOrder(value) >= 0) : undefined;
    return [
      {
        ...stand,
        column,
        label,
        ...(first === undefined ? {} : { first }),
        ...(isNumber ? { scale: scaleOf(values) } : {}),
        values,
      },
    ];
  });
}

const fallbackLabel = (axis: Axis): string =>
  ({ 'paging.guestPage': 'guest page', 'paging.nestedPage': 'nested page', 'paging.mode': 'mode' })[
    axis.path
  ] ?? '';

const fallbackRole = (axis: Axis): Role | undefined =>
  (
    ({
      'paging.guestPage': 'guestPage',
      'paging.nestedPage': 'nestedPage',
      'paging.mode': 'mode',
      seed: 'seed',
    }) as const
  )[axis.path as 'seed'];

/** The STLB's ways tell less than its entries where both follow from one another; a sweep over ways alone shows ways. */
function withoutFollowers(rows: readonly Row[], fields: Varied[]): Varied[] {
  const entries = fields.find(({ column }) => column.endsWith('config_stlbEntries'));
  const ways = fields.find(({ role }) => role === 'ways');
  if (!entries || !ways) return fields;
  const isOne = sameDistinctions(
    rows.filter((row) => typeof row[entries.column] === 'number'),
    [entries.column],
    [ways.column],
  );
  return isOne ? fields.filter((field) => field !== ways) : fields;
}

/**
 * What cells differ in, in the order of the axes. A field of one value is left out.
 * @param rows of {@link withReportColumns}; numbers for sizes written as text are added to them
 */
export function variedFields(axes: readonly Axis[], rows: readonly Row[]): Varied[] {
  const open = axes.filter(({ column }) => valuesOf(rows, column).length > 1);
  const fields: { at: number; varied: Varied }[] = [];
  const taken = new Set<Axis>();
  for (const stand of STANDS) {
    const own = open.filter((axis) => stand.of.test(axis.path) && !taken.has(axis));
    if (own.length === 0 || own.every((axis) => keepsItsNames(rows, axis))) continue;
    const found = standFor(rows, own, stand);
    if (!found || found.length === 0) continue;
    for (const axis of own) taken.add(axis);
    fields.push(...found.map((varied) => ({ at: axes.indexOf(own[0]), varied })));
  }
  for (const axis of open) {
    if (taken.has(axis)) continue;
    const plain = plainField(rows, axis);
    const role = fallbackRole(axis) ?? plain.role;
    fields.push({
      at: axes.indexOf(axis),
      varied: { ...plain, role, label: fallbackLabel(axis) || plain.label },
    });
  }
  const inOrder = [...fields].sort((a, b) => a.at - b.at).map(({ varied }) => varied);
  return withoutFollowers(rows, inOrder);
}
