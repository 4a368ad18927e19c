/** The square of page sizes as text. */
import type { Provenance } from '../results/types.ts';
import type { Comparison, ComparisonCell } from '../run/compare.ts';
import type { PageSize } from '../schema.ts';
import { barChart } from './charts.ts';
import { describeHardware, describeWorkload } from './describe.ts';
import { count, decimal, fine, perCent, ratio } from './format.ts';
import { numeric, type Style, table, text } from './table.ts';
import { renderProvenance } from './terminal.ts';

/** Marks what is better than the baseline and what is worse. */
function marked(value: number | null, style: Style): string {
  const shown = perCent(value);
  if (value === null || Math.abs(value - 100) < 0.05) return shown;
  return value < 100 ? style.good(shown) : style.bad(shown);
}

function cellsTable(comparison: Comparison, style: Style): string {
  const rows = comparison.cells.map(({ guestPage, nestedPage, perCent: relative, result }) => [
    guestPage,
    nestedPage ?? 'native',
    count(result.counters.stlbMisses),
    ratio(result.metrics.missRatio.overall),
    marked(relative.misses, style),
    decimal(result.metrics.refsPerWalk.total, 2),
    fine(result.metrics.walkCyclesPerAccess.total),
    marked(relative.walkCyclesPerAccess, style),
  ]);
  return table(
    [
      text('guest'),
      text('nested'),
      numeric('TLB misses'),
      numeric('miss ratio'),
      numeric('of base'),
      numeric('refs/walk'),
      numeric('walk cycles/access'),
      numeric('of base'),
    ],
    rows,
    style,
  );
}

/** Where the results come from, with the time of all runs together. */
function provenanceOf({ cells }: Comparison): Provenance {
  const seconds = cells.reduce((sum, cell) => sum + cell.result.provenance.seconds, 0);
  const accesses = cells.reduce((sum, cell) => sum + cell.result.counters.accesses, 0);
  const prepareSeconds = cells.reduce((sum, cell) => sum + cell.result.provenance.prepareSeconds, 0);
  const last = cells[cells.length - 1].result.provenance;
  return { ...last, seconds, prepareSeconds, accessesPerSecond: seconds > 0 ? accesses / seconds : 0 };
}

/** Guest pages across, nested pages down (native first): one value a cell. */
function square(comparison: Comparison, show: (cell: ComparisonCell) => string, style: Style): string {
  const at = (guestPage: PageSize, nestedPage: PageSize | undefined): string => {
    const cell = comparison.cells.find((it) => it.guestPage === guestPage && it.nestedPage === nestedPage);
    return cell ? show(cell) : '';
  };
  const line = (name: string, nestedPage: PageSize | undefined): string[] => [
    name,
    ...comparison.guestPages.map((guestPage) => at(guestPage, nestedPage)),
  ];
  return table(
    [text('nested \\ guest'), ...comparison.guestPages.map(numeric)],
    [line('native', undefined), ...comparison.nestedPages.map((page) => line(page, page))],
    style,
  );
}

/** Walk cycles per access of every cell, as bars. */
function cycleBars({ cells }: Comparison, width: number, style: Style): string {
  const bars = cells.map(({ guestPage, nestedPage, result }) => {
    const value = result.metrics.walkCyclesPerAccess.total;
    return { label: `${guestPage} on ${nestedPage ?? 'native'}`, value, shown: fine(value) };
  });
  return `${style.strong('Walk cycles per access')}\n${barChart(bars, width, style)}`;
}

/** Models as columns: the one that prices the runs first. */
const RUNTIME_COLUMNS = [
  ['linear', 'linear'],
  ['basu', 'Basu'],
  ['gandhi', 'Gandhi'],
  ['pham', 'Pham'],
  ['alam', 'Alam'],
  ['yaniv', 'Yaniv'],
] as const;

/** Run times of every cell by every model, and what they rest on. */
function runtimesSection({ cells, runtimes }: Comparison, style: Style): string[] {
  if (!runtimes) return [];
  const { cost, relative } = runtimes;
  const shown = (value: number | null): string => (value === null ? '–' : decimal(value, 2));
  const rows = cells.map(({ guestPage, nestedPage }, index) => [
    guestPage,
    nestedPage ?? 'native',
    ...RUNTIME_COLUMNS.map(([name]) => shown(relative[index][name])),
  ]);
  const head = [text('guest'), text('nested'), ...RUNTIME_COLUMNS.map(([, title]) => numeric(title))];
  return [
    `${style.strong('Run time by published models, native with 4KiB pages = 1')}\n${table(head, rows, style)}\n${style.faint(
      `assumed: ${cost.baseCyclesPerAccess} cycles an access beside walks, overlap factor ${cost.overlapFactor}, ` +
        `${cost.walkers} ${cost.walkers === 1 ? 'walker' : 'walkers'};\n` +
        'published models calibrated on the native runs of 4KiB and 2MiB pages',
    )}`,
  ];
}

/**
 * A comparison as text: every cell with its misses, references per walk and walk cycles, then the square of walk
 * cycles in per cent of the baseline, then run times by the published models.
 * @param width columns that bars may take, see `chartWidth`; 0 for none
 */
export function renderComparison(comparison: Comparison, style: Style, width = 0): string {
  const { guestPage, nestedPage } = comparison.baseline;
  const last = comparison.cells[comparison.cells.length - 1].result;
  const machine = describeHardware(last.config.machine);
  return [
    `${style.strong(describeWorkload(last.config))}\n${machine}; base: ${guestPage} guest pages on ${nestedPage} nested pages`,
    cellsTable(comparison, style),
    `${style.strong('Walk cycles per access, per cent of the base')}\n${square(
      comparison,
      (cell) => marked(cell.perCent.walkCyclesPerAccess, style),
      style,
    )}`,
    ...(width > 0 ? [cycleBars(comparison, width, style)] : []),
    ...runtimesSection(comparison, style),
    renderProvenance(provenanceOf(comparison), style),
  ].join('\n\n');
}
