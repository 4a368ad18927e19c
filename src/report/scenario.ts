/** A scenario as text: one table of cycles by cause, exits by cause and table memory, a column for each platform. */
import { LEDGER, LEDGER_CAUSES, type LedgerCause, type LedgerKind } from '../hypervisor/ledger.ts';
import { COST_FIGURES, type CostPreset, unverified } from '../machines/costs.ts';
import { nanobenchmarks, PRICES, type Situation } from '../results/costs.ts';
import { columnSum } from '../results/counters.ts';
import { type ParameterValue, valueText } from '../scenario/parameters.ts';
import type { PlatformResult, ScenarioResult, ScenarioSweep } from '../scenario/types.ts';
import { describeHardware } from './describe.ts';
import { bytes, count, decimal, duration, fine, rate } from './format.ts';
import { facts, numeric, type Style, table, text } from './table.ts';

/** Words of causes that are no plain English when taken apart. */
const WORDS: Readonly<Record<string, string>> = {
  cr3: 'CR3',
  invlpg: 'INVLPG',
  invlpgs: 'INVLPGs',
  ipi: 'IPI',
  ipis: 'IPIs',
  vm: 'VM',
};

/** A cause in words: `hidden fault exits`, `CR3 writes`. */
export const causeText = (cause: string): string =>
  cause
    .replace(/([A-Z])/g, ' $1')
    .toLowerCase()
    .split(' ')
    .map((word) => WORDS[word] ?? word)
    .join(' ');

/** Kinds of causes in the order of the table, each with its heading. */
const KINDS: readonly (readonly [LedgerKind, string])[] = [
  ['guest', 'guest kernel'],
  ['exit', 'VM exits, with their handlers'],
  ['work', 'hypervisor, behind an exit or a call'],
  ['hypercall', 'hypercalls and bounces'],
];

/** Cycles of a cause, in whichever part of the split it is. */
const cyclesOf = ({ cycles }: PlatformResult, cause: LedgerCause): number =>
  cycles.software[cause] ?? cycles.exits[cause] ?? cycles.hypercalls[cause] ?? 0;

/** Cycles with as many decimals as are worth reading. */
const cyclesText = (value: number): string => decimal(value, value !== 0 && Math.abs(value) < 100 ? 2 : 0);

/** A factor with as many decimals as are worth reading. */
const factor = (value: number): string => decimal(value, value < 100 ? 2 : 0);

/** Rows of one section: a heading, and a line for each value that is not nothing everywhere. */
class Rows {
  readonly rows: string[][] = [];
  readonly #platforms: readonly PlatformResult[];
  readonly #style: Style;

  constructor(platforms: readonly PlatformResult[], style: Style) {
    this.#platforms = platforms;
    this.#style = style;
  }

  /** A heading over everything that follows. */
  heading(title: string): void {
    if (this.rows.length > 0) this.rows.push(['']);
    this.rows.push([this.#style.strong(title)]);
  }

  /** A line of numbers, unless all are 0; a dot stands for 0. */
  line(
    name: string,
    quantityOf: (platform: PlatformResult) => number,
    show: (value: number) => string,
  ): boolean {
    const values = this.#platforms.map(quantityOf);
    if (values.every((value) => value === 0)) return false;
    this.rows.push([name, ...values.map((value) => (value === 0 ? this.#style.faint('·') : show(value)))]);
    return true;
  }

  /** A line of texts. */
  texts(name: string, textOf: (platform: PlatformResult) => string): void {
    this.rows.push([name, ...this.#platforms.map(textOf)]);
  }
}

function cycleRows(result: ScenarioResult, rows: Rows, style: Style): void {
  const each = ({ operations }: PlatformResult): number => Math.max(1, operations);
  const line = (name: string, quantityOf: (platform: PlatformResult) => number): boolean =>
    rows.line(name, (platform) => quantityOf(platform) / each(platform), cyclesText);
  line('accesses', ({ cycles }) => cycles.base);
  line('guest walk', ({ cycles }) => cycles.guestWalk);
  line('nested walk', ({ cycles }) => cycles.nestedWalk);
  line('STLB look-ups', ({ cycles }) => cycles.stlb);
  for (const [kind, title] of KINDS) {
    const causes = LEDGER_CAUSES.filter((cause) => LEDGER[cause].kind === kind);
    const sum = (platform: PlatformResult): number =>
      causes.reduce((cycles, cause) => cycles + cyclesOf(platform, cause), 0);
    if (!line(title, sum)) continue;
    for (const cause of causes) line(`  ${causeText(cause)}`, (platform) => cyclesOf(platform, cause));
  }
  rows.texts(style.strong('total'), (platform) =>
    style.strong(cyclesText(platform.cycles.total / each(platform))),
  );
  const native = result.platforms.find(({ platform }) => platform === 'native');
  if (!native || native.cycles.total === 0 || result.platforms.length === 1) return;
  rows.texts('against native', ({ cycles }) => `${factor(cycles.total / native.cycles.total)}×`);
}

function exitRows(rows: Rows, style: Style): void {
  const causes = LEDGER_CAUSES.filter((cause) => LEDGER[cause].kind === 'exit');
  const some = causes.filter((cause) =>
    rows.line(`  ${causeText(cause)}`, ({ exits }) => exits[cause] ?? 0, count),
  );
  if (some.length === 0) rows.texts('  none', () => style.faint('·'));
  else rows.texts(style.strong('  all'), ({ exits }) => style.strong(count(columnSum(exits))));
}

function translationRows(rows: Rows): void {
  const each = ({ counters, operations }: PlatformResult, missed: number): number =>
    counters.accesses === 0 ? 0 : missed / Math.max(1, operations);
  rows.line('  L1 TLB', (it) => each(it, it.counters.l1Misses + it.counters.l1iMisses), cyclesText);
  rows.line('  STLB', (it) => each(it, it.counters.stlbMisses), cyclesText);
}

function memoryRows(rows: Rows): void {
  rows.line('  guest tables', ({ tableBytes }) => tableBytes.guest, bytes);
  rows.line('  nested tables', ({ tableBytes }) => tableBytes.nested, bytes);
  rows.line('  shadow tables', ({ tableBytes }) => tableBytes.shadow, bytes);
}

/** A parameter's value, as people write it. */
const parameterText = (
  { parameters, kinds }: Pick<ScenarioResult, 'parameters' | 'kinds'>,
  name: string,
): string => valueText(kinds[name]!, parameters[name]!);

/** Parameters as they were, `memory` only where it was given: `forks 500, kpti off`. */
export const parametersText = (
  result: Pick<ScenarioResult, 'parameters' | 'kinds'>,
  except: readonly string[] = [],
): string =>
  Object.keys(result.parameters)
    .filter((name) => !except.includes(name) && !(name === 'memory' && result.parameters[name] === 0))
    .map((name) => `${name} ${parameterText(result, name)}`)
    .join(', ');

/** The figures behind the cycles that nobody has verified, with their marks. */
function footnote(results: readonly ScenarioResult[]): string[] {
  const { costs } = results[0]!;
  const behind = new Set(results.flatMap(({ unverified: names }) => names));
  const names = Object.keys(costs.figures).filter((name) => behind.has(name));
  if (names.length === 0) return [];
  const marked = names.map((name) => {
    const { mark } = costs.figures[name as keyof typeof costs.figures];
    return mark === 'M' ? `${name} (M)` : name;
  });
  return [
    `Not verified: ${marked.join(', ')}; assumed, or from memory (M). All figures with their sources: nestwalk list costs ${costs.name}`,
  ];
}

function provenanceText({ platforms, version }: ScenarioResult): string {
  const [first] = platforms;
  const seconds = platforms.reduce((sum, { provenance }) => sum + provenance.seconds, 0);
  const done = platforms.reduce(
    (sum, { provenance }) => sum + provenance.eventsPerSecond * provenance.seconds,
    0,
  );
  const { engine, tier } = first!.provenance;
  const name = engine === 'native' ? `native engine (${tier})` : 'TypeScript engine';
  return `nestwalk ${version}, ${name}, ${duration(seconds)}, ${rate(seconds > 0 ? done / seconds : 0)} events and accesses`;
}

/** A scenario's result as text. */
export function renderScenario(result: ScenarioResult, style: Style): string {
  const { name, title, claim, operation, platforms, costs, machine, hostPage, seed } = result;
  const rows = new Rows(platforms, style);
  rows.heading(`Cycles, per ${operation}`);
  cycleRows(result, rows, style);
  if (platforms.some(({ counters }) => counters.l1Misses > 0)) {
    rows.heading(`TLB misses, per ${operation}`);
    translationRows(rows);
  }
  rows.heading('VM exits, in all');
  exitRows(rows, style);
  rows.heading('Page tables, at the most');
  memoryRows(rows);
  const operations = platforms[0]!.operations;
  const notes = [
    result.sameMemory
      ? `Every platform left the guests’ programs the same memory (${platforms[0]!.checkpoints.length} checkpoint${platforms[0]!.checkpoints.length === 1 ? '' : 's'}).`
      : style.bad('The platforms left the guests’ programs DIFFERENT memory: report this with the command.'),
    ...footnote([result]),
  ];
  return [
    [
      style.strong(`${name}: ${title}`),
      `${count(operations)} × ${operation}; ${parametersText(result)}; seed ${seed}`,
      `${describeHardware(machine)}, ${hostPage} host pages; costs of ${costs.name}: ${costs.title}, ${costs.gigahertz.cycles} GHz`,
      ...(claim ? [style.faint(`published: ${claim.statement}`), style.faint(`  (${claim.source})`)] : []),
    ].join('\n'),
    table(
      [text(''), ...platforms.map(({ platform }) => numeric(platform))],
      rows.rows.map((row) => [...row, ...new Array<string>(platforms.length + 1 - row.length).fill('')]),
      style,
    ),
    notes.join('\n'),
    style.faint(provenanceText(result)),
  ].join('\n\n');
}

/** A quantity of an operation on a platform of a result; `undefined` where it was not run there. */
function perOperation(
  { platforms }: ScenarioResult,
  wanted: string,
  quantity: (platform: PlatformResult) => number = ({ cycles }) => cycles.total,
): number | undefined {
  const found = platforms.find(({ platform }) => platform === wanted);
  return found && quantity(found) / Math.max(1, found.operations);
}

/** Misses of the second-level TLB for each combination; nothing where nothing misses it. */
function missTable({ vary, results }: ScenarioSweep, style: Style): string[] {
  if (results.every(({ platforms }) => platforms.every(({ counters }) => counters.stlbMisses === 0)))
    return [];
  const names = Object.keys(vary);
  const platforms = results[0]!.platforms.map(({ platform }) => platform);
  const rows = results.map((result) => [
    ...names.map((name) => parameterText(result, name)),
    ...platforms.map((platform) =>
      fine(perOperation(result, platform, ({ counters }) => counters.stlbMisses)!),
    ),
  ]);
  const heads = [...names.map(text), ...platforms.map(numeric)];
  return [`${style.strong(`STLB misses, per ${results[0]!.operation}`)}\n${table(heads, rows, style)}`];
}

/** Cycles for each combination, and the platform with the fewest; native apart, which is no choice of a guest. */
function sweepTable({ vary, results }: ScenarioSweep, style: Style): string {
  const names = Object.keys(vary);
  const platforms = results[0]!.platforms.map(({ platform }) => platform);
  const guests = platforms.filter((platform) => platform !== 'native');
  const rows = results.map((result) => {
    const cycles = platforms.map((platform) => perOperation(result, platform)!);
    const least = guests.toSorted((a, b) => perOperation(result, a)! - perOperation(result, b)!)[0];
    return [
      ...names.map((name) => parameterText(result, name)),
      ...cycles.map(cyclesText),
      ...(guests.length > 1 ? [least!] : []),
    ];
  });
  return table(
    [...names.map(text), ...platforms.map(numeric), ...(guests.length > 1 ? [text('least')] : [])],
    rows,
    style,
  );
}

/** Shadow paging in per cent of nested paging, over two parameters; nothing where there are not both or not two. */
function crossoverTable({ vary, results }: ScenarioSweep, style: Style): string[] {
  const names = Object.keys(vary);
  const shadow = ['shadow', 'shadow-unsync'].find((name) => perOperation(results[0]!, name) !== undefined);
  if (names.length !== 2 || shadow === undefined || perOperation(results[0]!, 'nested') === undefined)
    return [];
  const [down, across] = names as [string, string];
  const textOf = (name: string, value: ParameterValue): string => valueText(results[0]!.kinds[name]!, value);
  const cell = (row: unknown, column: unknown): string => {
    const result = results.find(
      ({ parameters }) => parameters[down] === row && parameters[across] === column,
    )!;
    const share = (100 * perOperation(result, shadow)!) / perOperation(result, 'nested')!;
    const shown = `${decimal(share, 1)} %`;
    return share < 100 ? style.good(shown) : style.bad(shown);
  };
  return [
    `${style.strong(`${shadow} in per cent of nested: below 100, ${shadow} is faster`)}\n${table(
      [text(`${down} \\ ${across}`), ...vary[across]!.map((value) => numeric(textOf(across, value)))],
      vary[down]!.map((row) => [textOf(down, row), ...vary[across]!.map((column) => cell(row, column))]),
      style,
    )}`,
  ];
}

/** Several values of a scenario's parameters as text: cycles for each, and who needs the fewest. */
export function renderScenarioSweep(sweep: ScenarioSweep, style: Style): string {
  const { name, title, vary, results } = sweep;
  const [first] = results as [ScenarioResult];
  const different = results.filter(({ sameMemory }) => !sameMemory);
  return [
    [
      style.strong(`${name}: ${title}`),
      `${parametersText(first, Object.keys(vary))}; seed ${first.seed}`,
      `${describeHardware(first.machine)}, ${first.hostPage} host pages; costs of ${first.costs.name}: ${first.costs.title}`,
    ].join('\n'),
    `${style.strong(`Cycles, per ${first.operation}`)}\n${sweepTable(sweep, style)}`,
    ...missTable(sweep, style),
    ...crossoverTable(sweep, style),
    [
      different.length === 0
        ? 'Every platform left the guests’ programs the same memory.'
        : style.bad(
            'Some platforms left the guests’ programs DIFFERENT memory: report this with the command.',
          ),
      ...footnote(results),
    ].join('\n'),
  ].join('\n\n');
}

/** What a figure of a price is multiplied with, in words. */
const FACTORS: Readonly<Record<keyof Situation, string>> = {
  hostPageFrames: '× frames of a host page',
  shadowedKernel: '(shadow paging)',
  hardwareExits: '(not paravirtual)',
};

/** What one event of a cause costs, as a sum of figures: `vmExit + exitDispatch + emulateWrite`. */
function priceText(cause: LedgerCause): string {
  const price = PRICES[cause];
  if ('free' in price) return `nothing: ${price.free}`;
  return price.sum
    .map(({ figure, times }) => (times === undefined ? figure : `${figure} ${FACTORS[times]}`))
    .join(' + ');
}

/** A cost preset: every figure with mark and source, what each event costs, and the nanobenchmarks that follow. */
export function renderCosts(costs: CostPreset, style: Style): string {
  const figures = [
    ['gigahertz', costs.gigahertz, 'clock'] as const,
    ...Object.entries(costs.figures).map(
      ([name, figure]) => [name, figure, COST_FIGURES[name as keyof typeof COST_FIGURES]] as const,
    ),
  ];
  return [
    style.strong(`${costs.name}: ${costs.title}`),
    table(
      [text('figure'), numeric('cycles'), text('mark'), text('what it is, and where the figure is from')],
      figures.flatMap(([name, figure, about]) => [
        [
          name,
          Number.isInteger(figure.cycles) ? count(figure.cycles) : String(figure.cycles),
          unverified(figure) ? style.bad(figure.mark) : figure.mark,
          about,
        ],
        ['', '', '', style.faint(`  ${figure.source}`)],
      ]),
      style,
    ),
    style.faint(
      'S read at the place named, S-2nd read where it is cited, D computed from others, M from memory, assumed: nobody says',
    ),
    `${style.strong('What an event costs')}\n${facts(
      LEDGER_CAUSES.map((cause) => [cause, priceText(cause)] as const),
      style,
    )}`,
    `${style.strong('Nanobenchmarks, after Adams and Agesen (ASPLOS 2006)')}\n${table(
      [text('name'), text('what'), numeric('native'), numeric('shadow')],
      nanobenchmarks(costs).map(({ name, about, native, shadow }) => [
        name,
        about,
        count(native),
        count(shadow),
      ]),
      style,
    )}`,
  ].join('\n\n');
}
