/** The report of a scenario: platforms side by side, cycles by cause, exits by cause, memory of tables. */
import type { ParameterValue } from '../../scenario/parameters.ts';
import type { ScenarioResult, ScenarioSweep } from '../../scenario/types.ts';
import { type Field, type Figure, grouped, type Part, type Row } from '../browser/figure.js';
import { count, duration } from '../browser/format.js';
import { type ReportData, tableOf } from './data.ts';
import { scenarioFindings } from './findings.ts';

/** What a scenario's report reads of its result. */
export type ScenarioShape = Pick<ScenarioResult, 'name' | 'platforms'> &
  Partial<Omit<ScenarioResult, 'name' | 'platforms'>>;

/** A name of the code as words: `tableWriteExits` is `table write exits`. */
export const words = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .replace(/\b(cr3|stlb|tlb|ipis?|vm|pcid)\b/g, (short) => short.toUpperCase().replace(/S$/, 's'));

/** Parts that have names of their own. */
const PART_NAMES: Record<string, string> = {
  base: 'base',
  guestWalk: 'guest walk',
  nestedWalk: 'nested walk',
  stlb: 'STLB hits',
  software: 'software',
  exits: 'exits',
  hypercalls: 'hypercalls',
};

const sumOf = (record: object): number =>
  Object.values(record).reduce((sum, value) => sum + Number(value), 0);

/** Columns of a platform's cycles: each part as a whole, and each cause of the parts that have any. */
function cycleColumns(cycles: object): Row {
  const row: Row = {};
  for (const [name, value] of Object.entries(cycles)) {
    if (name === 'total') row.total = Number(value);
    else if (typeof value === 'number') row[`cycles_${name}`] = value;
    else if (typeof value === 'object' && value !== null) {
      row[`cycles_${name}`] = sumOf(value);
      for (const [cause, cycles] of Object.entries(value)) row[`cycles_${name}_${cause}`] = Number(cycles);
    }
  }
  return row;
}

const prefixed = (prefix: string, record: object): Row =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}${name}`, Number(value)]));

function platformRow(platform: ScenarioShape['platforms'][number], index: number): Row {
  const { counters, ledger, cycles, exits, tableBytes, operations } = platform;
  return {
    platform: platform.platform,
    index,
    status: 'done',
    ...(operations === undefined ? {} : { operations }),
    accesses: counters.accesses,
    stlbMisses: counters.stlbMisses,
    ...cycleColumns(cycles),
    exits: sumOf(exits),
    ...prefixed('exits_', exits),
    ...prefixed('tableBytes_', tableBytes),
    ...prefixed('events_', ledger.events),
  };
}

/** Columns like this in which some platform has something, the largest first. */
function partsOf(rows: readonly Row[], pattern: RegExp, label: (name: string) => string): Part[] {
  const totals = new Map<string, number>();
  for (const row of rows)
    for (const [column, value] of Object.entries(row))
      if (pattern.test(column) && Number(value) > 0)
        totals.set(column, (totals.get(column) ?? 0) + Number(value));
  return [...totals]
    .sort((a, b) => b[1] - a[1])
    .map(([column]) => ({ column, label: label(pattern.exec(column)?.[1] ?? column) }));
}

function stack(
  figure: Pick<Figure, 'id' | 'title' | 'about' | 'slices'>,
  measure: Field,
  parts: Part[],
  platforms: Field,
): Figure | undefined {
  if (parts.length === 0) return undefined;
  return { ...figure, kind: 'stack', measures: [measure], y: platforms, parts };
}

const platformField = (rows: readonly Row[]): Field => ({
  column: 'platform',
  label: 'platform',
  format: 'text',
  values: [...new Set(rows.map(({ platform }) => platform))],
});

/** @param slices parameters that were varied */
function figuresOf(rows: readonly Row[], slices: Field[]): Figure[] {
  const platforms = platformField(rows);
  const whole = Object.keys(PART_NAMES)
    .map((name) => ({ column: `cycles_${name}`, label: PART_NAMES[name] }))
    .filter(({ column }) => rows.some((row) => Number(row[column] ?? 0) > 0));
  const others = partsOf(rows, /^cycles_([^_]+)$/, words).filter(
    ({ column }) => !whole.some((part) => part.column === column),
  );
  const figures = [
    stack(
      {
        id: 'cycles',
        slices,
        title: 'Where the cycles go',
        about:
          'Base is what the accesses cost on a machine without address translation; the rest is paid for it, by hardware that walks and by software that keeps tables.',
      },
      { column: 'total', label: 'cycles', format: 'count' },
      [...whole, ...others],
      platforms,
    ),
    stack(
      {
        id: 'software',
        slices,
        title: 'Cycles of software, by cause',
        about:
          'What the guest kernel did, exits with their handlers, hypercalls: the most expensive causes, each with its price.',
      },
      { column: 'total', label: 'cycles', format: 'count' },
      partsOf(rows, /^cycles_(?:software|exits|hypercalls)_(.+)$/, words),
      platforms,
    ),
    stack(
      { id: 'exits', slices, title: 'Exits, by cause', about: 'How often control passed to the hypervisor.' },
      { column: 'exits', label: 'exits', format: 'count' },
      partsOf(rows, /^exits_(.+)$/, words),
      platforms,
    ),
    stack(
      {
        id: 'tables',
        slices,
        title: 'Memory of page tables',
        about: 'The most that was in use at a time: the guests’ own tables, nested tables, shadow tables.',
      },
      { column: 'tableBytes', label: 'bytes of tables', format: 'bytes' },
      partsOf(rows, /^tableBytes_(.+)$/, words),
      platforms,
    ),
  ];
  return figures.filter((figure) => figure !== undefined);
}

const parametersText = (parameters: object): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

/** Columns of the table that are shown at first. */
const shownOf = (rows: readonly Row[]): ReportData['shown'] => [
  { column: 'platform', label: 'platform' },
  { column: 'total', label: 'cycles' },
  ...Object.entries(PART_NAMES)
    .filter(([part]) => rows.some((row) => Number(row[`cycles_${part}`] ?? 0) > 0))
    .map(([part, label]) => ({ column: `cycles_${part}`, label })),
  { column: 'exits', label: 'exits (count)' },
];

/** The report of a scenario. */
export function scenarioReport(result: ScenarioShape): ReportData {
  const rows = result.platforms.map(platformRow);
  const table = tableOf(rows);
  const figures = figuresOf(rows, []);
  const { name, title, parameters = {}, costs, seed, version, schema, unverified = [], sameMemory } = result;
  const { provenance } = result.platforms[0] ?? {};
  return {
    title: `Scenario ${name}`,
    about: [
      ...(title === undefined ? [] : [title]),
      ...(Object.keys(parameters).length > 0 ? [parametersText(parameters)] : []),
    ],
    findings: scenarioFindings(rows, figures[0]?.parts ?? []),
    notices: [
      ...(sameMemory === false
        ? [
            'The platforms’ guests did not see the same memory: this is a mistake of the simulator, please report it.',
          ]
        : []),
      ...(unverified.length > 0
        ? [`Nobody has verified these figures behind the cycles: ${unverified.map(words).join(', ')}.`]
        : []),
    ],
    troubles: [],
    figures,
    rows,
    table,
    rowName: 'platform',
    shown: shownOf(rows),
    provenance: [
      ...(version === undefined ? [] : ([['nestwalk', version]] as [string, string][])),
      ...(schema === undefined ? [] : ([['schema', schema]] as [string, string][])),
      ...(costs === undefined ? [] : ([['costs', String(costs.name)]] as [string, string][])),
      ...(seed === undefined ? [] : ([['seed', String(seed)]] as [string, string][])),
      ...(provenance === undefined
        ? []
        : ([
            ['engine', `${provenance.engine} (${provenance.tier}): ${provenance.engineReason}`],
            [
              'time',
              result.platforms.map((it) => `${it.platform} ${duration(it.provenance.seconds)}`).join(', '),
            ],
          ] as [string, string][])),
    ],
    documents: [
      { title: 'Parameters', value: parameters },
      ...(costs === undefined ? [] : [{ title: 'Costs, with their sources', value: costs }]),
      ...(result.machine === undefined ? [] : [{ title: 'Machine', value: result.machine }]),
    ],
  };
}

/** What the report of a scenario over several parameters reads of its result. */
export type ScenarioSweepShape = Pick<ScenarioSweep, 'name' | 'vary'> &
  Partial<Pick<ScenarioSweep, 'title' | 'schema'>> & { results: ScenarioShape[] };

/** Fewest values that make an axis of numbers. */
const FEWEST_NUMBERS = 3;

function parameterField(name: string, values: readonly ParameterValue[], kind: string | undefined): Field {
  const areNumbers = values.every((value) => typeof value === 'number');
  const numbers = areNumbers ? [...new Set(values as number[])].sort((a, b) => a - b) : [];
  const isLog = numbers.length > 1 && numbers[0] > 0 && numbers[numbers.length - 1] / numbers[0] >= 8;
  return {
    column: `parameter_${name}`,
    label: words(name),
    format: areNumbers ? (kind === 'bytes' ? 'bytes' : 'count') : 'text',
    ...(areNumbers ? { scale: isLog ? 'log' : 'linear' } : {}),
    values: areNumbers ? numbers : [...new Set(values.map(String))],
  };
}

/** Platforms over one parameter: lines where it is a number, else dots. */
function overParameter(field: Field, others: readonly Field[], rows: readonly Row[]): Figure {
  const isAxis = field.scale !== undefined && (field.values?.length ?? 0) >= FEWEST_NUMBERS;
  return {
    id: `over-${field.column}`,
    kind: isAxis ? 'curve' : 'dots',
    title: `Cycles over ${field.label}`,
    about: isAxis
      ? 'Where two lines cross, another platform becomes the better one.'
      : 'Each dot is a platform with one value of the parameter.',
    measures: [
      { column: 'total', label: 'cycles', format: 'count' },
      { column: 'cyclesPerOperation', label: 'cycles per operation', format: 'fine' },
      { column: 'exits', label: 'exits', format: 'count' },
    ].filter(({ column }) => rows.some((row) => typeof row[column] === 'number')) as Field[],
    ...(isAxis ? { x: field } : { y: field }),
    series: [platformField(rows)],
    slices: [...others],
  };
}

/** The report of a scenario over several values of its parameters. */
export function scenarioSweepReport({ name, title, schema, vary, results }: ScenarioSweepShape): ReportData {
  const fields = Object.entries(vary).map(([parameter, values]) =>
    parameterField(parameter, values, results[0]?.kinds?.[parameter]),
  );
  const parametersOf = ({ parameters = {} }: ScenarioShape): Row =>
    Object.fromEntries(
      Object.keys(vary).map((parameter, at) => {
        const value = parameters[parameter] ?? null;
        return [fields[at].column, typeof value === 'number' || value === null ? value : String(value)];
      }),
    );
  const plain = results.flatMap((result) =>
    result.platforms.map((platform) => ({ ...parametersOf(result), ...platformRow(platform, 0) })),
  );
  const rows = plain.map((row, index): Row => {
    const operations = Number(row.operations ?? 0);
    return {
      ...row,
      index,
      ...(operations > 0 ? { cyclesPerOperation: Number(row.total) / operations } : {}),
    };
  });
  const best = grouped(rows, (row) => JSON.stringify(fields.map(({ column }) => row[column]))).map(
    (group) => [...group].sort((a, b) => Number(a.total) - Number(b.total))[0].platform,
  );
  const wins = grouped(best.map(String), (platform) => platform).sort((a, b) => b.length - a.length);
  return {
    title: `Scenario ${name}`,
    about: [
      ...(title === undefined ? [] : [title]),
      fields.map(({ label, values = [] }) => `${count(values.length)} × ${label}`).join(', '),
    ],
    findings: [
      `Fewest cycles: ${wins.map((group) => `${group[0]} in ${count(group.length)}`).join(', ')} of ${count(best.length)} combinations.`,
    ],
    notices: [],
    troubles: [],
    figures: [
      ...fields.map((field) =>
        overParameter(
          field,
          fields.filter((other) => other !== field),
          rows,
        ),
      ),
      ...figuresOf(rows, fields),
    ],
    rows,
    table: tableOf(rows),
    rowName: 'result',
    shown: [...fields.map(({ column, label }) => ({ column, label })), ...shownOf(rows)],
    provenance: schema === undefined ? [] : [['schema', schema]],
    documents: [{ title: 'Varied', value: vary }],
  };
}
