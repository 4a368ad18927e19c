/** Which figures a table of cells gets: a pure function of what it varies. */
import { COLUMNS, columnNames, PAGE_SIZES, type PageSize, ROWS } from '../../schema.ts';
import type { Field, Figure, Part, Row } from '../browser/figure.js';
import { SERIES } from '../browser/palette.js';
import { OUTCOMES, PAGING, STLB_CYCLES, type Varied } from './fields.ts';

/** Most figures over axes of numbers. */
const MOST_CURVES = 3;
/** Most figures over names. */
const MOST_DOTS = 2;
/** Most panels side by side. */
const MOST_PANELS = 4;
/** Most bars of a stack. */
const MOST_BARS = 24;
/** Fewest values that make an axis of numbers; fewer are told apart by name. */
const FEWEST_NUMBERS = 3;

const measure = (column: string, label: string, format: Field['format'], unit?: string): Field => ({
  column,
  label,
  format,
  ...(unit ? { unit } : {}),
});

/** Measures that follow from TLB counters alone. */
const TLB_MEASURES: readonly Field[] = [
  measure('missRatio_overall', 'miss ratio', 'percent', '% of accesses'),
  measure('missesPerThousandAccesses_stlb', 'misses per 1,000 accesses', 'fine'),
  measure('missRatio_stlb', 'STLB miss ratio', 'percent', '% of L1 misses'),
  measure('missRatio_l1', 'L1 miss ratio', 'percent', '% of accesses'),
];
/** Measures of walks. */
const WALK_MEASURES: readonly Field[] = [
  measure('walkCyclesPerAccess_total', 'walk cycles per access', 'fine'),
  measure('refsPerWalk_total', 'references per walk', 'fine'),
];

/** What figures are chosen by. */
export interface Given {
  /** What cells differ in. */
  varied: readonly Varied[];
  /** `tlb`: nothing is known of walks. */
  counters: 'tlb' | 'all';
  /** The cells: only whether columns are there, and hold anything. */
  rows: readonly Row[];
}

/** Measures of cells, the most telling one of a figure over TLB sizes first. */
export const measuresOf = ({ counters }: Pick<Given, 'counters'>): Field[] => [
  ...TLB_MEASURES.slice(0, 1),
  ...(counters === 'all' ? WALK_MEASURES : []),
  ...TLB_MEASURES.slice(1),
];

/** Measures with that of walks first, where it is known: what page sizes change. */
function costFirst(given: Given): Field[] {
  const all = measuresOf(given);
  const cost = all.find(({ column }) => column === 'walkCyclesPerAccess_total');
  return cost ? [cost, ...all.filter((field) => field !== cost)] : all;
}

/** How much a field deserves the colours of a figure; less is more. */
const COLOUR_ORDER: Record<Varied['role'], number> = {
  mode: 0,
  guestPage: 1,
  nestedPage: 2,
  text: 3,
  number: 4,
  ways: 5,
  entries: 6,
  seed: 9,
};

const plain = ({ role: _, ...field }: Varied): Field => field;

/** Colours, panels and slices for the fields that a figure has no other place for. */
function places(
  given: Given,
  used: readonly Varied[],
  withPanels: boolean,
): Pick<Figure, 'series' | 'facet' | 'slices'> {
  const free = given.varied.filter((field) => field.role !== 'seed' && !used.includes(field));
  const few = free
    .filter(({ values }) => values.length <= SERIES)
    .sort((a, b) => COLOUR_ORDER[a.role] - COLOUR_ORDER[b.role]);
  const facet =
    withPanels && few.length > 1
      ? few.find((field) => field.role === 'text' && field !== few[0] && field.values.length <= MOST_PANELS)
      : undefined;
  const series = few.filter((field) => field !== facet);
  return {
    ...(series.length > 0 ? { series: series.map(plain) } : {}),
    ...(facet ? { facet: plain(facet) } : {}),
    slices: free.filter((field) => field !== facet && !series.includes(field)).map(plain),
  };
}

const slicesWithout = (given: Given, used: readonly Varied[]): Field[] =>
  given.varied.filter((field) => field.role !== 'seed' && !used.includes(field)).map(plain);

const nameOf = (label: string): string =>
  label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40);

/** What a mark stands for. */
const cellWords = ({ varied }: Given): string =>
  varied.some(({ role }) => role === 'seed')
    ? 'the mean of cells that differ in their seed alone, with a line over their range'
    : 'a cell';

function curve(given: Given, x: Varied): Figure {
  const isSize = x.role === 'entries';
  return {
    id: `curve-${nameOf(x.label)}`,
    kind: 'curve',
    title: isSize ? `Miss ratio over ${x.label}` : `Over ${x.label}`,
    about: isSize
      ? `Each point is ${cellWords(given)}. Where a curve bends down, the TLB begins to hold what the workload touches.`
      : `Each point is ${cellWords(given)}.`,
    measures: isSize ? measuresOf(given) : costFirst(given),
    x: plain(x),
    ...places(given, [x], true),
  };
}

function heat(given: Given, x: Varied, y: Varied): Figure {
  return {
    id: `heat-${nameOf(x.label)}-${nameOf(y.label)}`,
    kind: 'heat',
    title: `${x.label} × ${y.label}`,
    about:
      'The darker, the more. Where rows look alike, associativity does not matter; a crossed cell was not finished.',
    measures: x.role === 'entries' ? measuresOf(given) : costFirst(given),
    x: plain(x),
    y: plain(y),
    slices: slicesWithout(given, [x, y]),
  };
}

function square(given: Given, guest: Varied, nested: Varied): Figure {
  const smallest = nested.values.find((value) => PAGE_SIZES.includes(value as PageSize)) ?? nested.values[0];
  const base = { x: guest.values[0], y: smallest };
  return {
    id: 'square',
    kind: 'square',
    title: 'Guest pages × nested pages',
    about: `Per cent are of ${base.x} guest pages on ${base.y} nested pages. A TLB entry covers the smaller of the two sizes, so large pages below small ones shorten walks and save no miss.`,
    measures: costFirst(given),
    x: plain(guest),
    y: plain(nested),
    base,
    slices: slicesWithout(given, [guest, nested]),
  };
}

function dots(given: Given, y: Varied): Figure {
  return {
    id: `dots-${nameOf(y.label)}`,
    kind: 'dots',
    title: `By ${y.label}`,
    about: `Each dot is ${cellWords(given)}.`,
    measures: costFirst(given),
    y: plain(y),
    ...places(given, [y], false),
  };
}

/** The field whose values become the bars of stacks: pages and modes first, else names, else a few numbers. */
function barField(given: Given): { field: Field; used: Varied[] } | undefined {
  const paging = given.varied.filter(
    ({ role }) => role === 'guestPage' || role === 'nestedPage' || role === 'mode',
  );
  if (paging.length > 1)
    return {
      field: {
        column: PAGING,
        label: 'guest page on nested page',
        format: 'text',
        values: pagingNames(given),
      },
      used: paging,
    };
  const order = ['guestPage', 'nestedPage', 'mode', 'text', 'number', 'entries', 'ways'];
  const [first] = given.varied
    .filter(({ role, values }) => role !== 'seed' && values.length <= MOST_BARS)
    .sort((a, b) => order.indexOf(a.role) - order.indexOf(b.role));
  return first ? { field: plain(first), used: [first] } : undefined;
}

/** Modes and page sizes of the cells in the order of the square. */
function pagingNames({ varied, rows }: Given): Field['values'] {
  const order = varied.filter(({ role }) => role === 'nestedPage' || role === 'guestPage').reverse();
  const key = (row: Row): number[] => order.map(({ column, values }) => values.indexOf(row[column]));
  const found = new Map(
    rows.filter((row) => typeof row[PAGING] === 'string').map((row) => [row[PAGING], key(row)]),
  );
  return [...found]
    .sort(([, a], [, b]) => a.map((at, index) => at - b[index]).find((step) => step !== 0) ?? 0)
    .map(([name]) => name);
}

/** Whether some cell has more than 0 in a column. */
const holds = ({ rows }: Given, column: string): boolean => rows.some((row) => Number(row[column] ?? 0) > 0);

/** A stack of columns, over bars if anything can be one. */
function stack(given: Given, figure: Omit<Figure, 'kind' | 'slices' | 'y'>): Figure | undefined {
  const parts = figure.parts?.filter(({ column }) => holds(given, column)) ?? [];
  if (parts.length === 0) return undefined;
  const bars = barField(given);
  return {
    ...figure,
    kind: 'stack',
    parts,
    ...(bars ? { y: bars.field } : {}),
    slices: slicesWithout(given, bars?.used ?? []),
  };
}

function cycles(given: Given): Figure | undefined {
  const isNested = holds(given, 'walkCyclesPerAccess_nested');
  return stack(given, {
    id: 'cycles',
    title: 'Where the cycles go',
    about: 'Cycles of address translation for each access, by cause. Hits in the first level cost nothing.',
    measures: [measure('walkCyclesPerAccess_total', 'cycles per access', 'fine')],
    parts: [
      { column: STLB_CYCLES, label: 'STLB hits' },
      { column: 'walkCyclesPerAccess_guest', label: isNested ? 'guest’s entries' : 'walks' },
      { column: 'walkCyclesPerAccess_nested', label: 'nested entries' },
    ],
  });
}

/** The columns whose names begin so, as parts. */
const partsOf = ({ rows }: Given, prefix: string, label: (rest: string) => string): Part[] =>
  [...new Set(rows.slice(0, 50).flatMap((row) => Object.keys(row)))]
    .filter((column) => column.startsWith(prefix))
    .map((column) => ({ column, label: label(column.slice(prefix.length)) }));

function exits(given: Given): Figure | undefined {
  return stack(given, {
    id: 'exits',
    title: 'Events of the software, by cause',
    about: 'How often the guest kernel and the hypervisor had to step in.',
    measures: [measure('events', 'events', 'count')],
    parts: partsOf(given, 'events_', (name) => name),
  });
}

function served(given: Given): Figure | undefined {
  const parts = [
    ...partsOf(given, 'refHits_guest_', (level) => `guest’s, ${level}`),
    ...partsOf(given, 'refHits_nested_', (level) => `nested, ${level}`),
  ];
  const levels = parts
    .filter(({ column }) => holds(given, column))
    .map(({ column }) => column.replace(/^refHits_(guest|nested)_/, ''));
  // All from one level: the matrix says as much.
  if (new Set(levels).size < 2) return undefined;
  return stack(given, {
    id: 'served',
    title: 'Where page-table entries were found',
    about: 'References for each walk, by what served them: a cache of the memory hierarchy, or memory.',
    measures: [measure('walks', 'references per walk', 'fine')],
    per: 'walks',
    parts,
  });
}

function outcomes(given: Given): Figure | undefined {
  const names = ['hit in the L1', 'hit in the STLB', 'walk'];
  return stack(given, {
    id: 'outcomes',
    title: 'What became of the accesses',
    about: 'Shares of the accesses by where their translation was found.',
    measures: [measure('accesses', 'share of accesses', 'percent', '%')],
    parts: OUTCOMES.map((column, at) => ({ column, label: names[at] })),
  });
}

function matrix(given: Given): Figure | undefined {
  const parts = ROWS.flatMap((row) =>
    columnNames(row).map((place) => ({
      column: `refs_${row}_${place}`,
      label:
        row === 'pt'
          ? `entry of level ${place.slice(1)}`
          : place === 'g'
            ? `the guest’s entry ${row}`
            : `${place} for ${row}`,
      row,
      place,
    })),
  ).filter(({ column }) => holds(given, column));
  if (parts.length === 0) return undefined;
  const isNested = parts.some(({ row }) => row !== 'pt');
  return {
    id: 'matrix',
    kind: 'matrix',
    title: 'References per walk, by place',
    about: isNested
      ? 'Down, for whose sake an entry is read: each level of the guest’s table, and the data page (gPA). Across, which entry: the levels of the nested table, then the guest’s own (g). Without walk caches every place is read once.'
      : 'Which level’s entries walks read. What walk caches save is missing on the left.',
    measures: [measure('walks', 'references per walk', 'fine')],
    x: { column: 'place', label: isNested ? 'entry read' : 'level', format: 'text', values: [...COLUMNS] },
    y: { column: 'row', label: isNested ? 'for' : '', format: 'text', values: [...ROWS] },
    per: 'walks',
    parts,
    slices: slicesWithout(given, []),
  };
}

function spread(given: Given, isSeeds: boolean): Figure {
  return {
    id: 'spread',
    kind: 'spread',
    title: isSeeds ? 'Spread over seeds' : 'All cells',
    about: isSeeds
      ? 'Each dot is a cell; where there are too many, bars count them. They differ in their seed alone, so this is how much chance changes. The axis does not begin at 0.'
      : 'Each dot is a cell; where there are too many, bars count them. The axis does not begin at 0.',
    measures: measuresOf(given),
    // Each cell is a mark of its own.
    x: { column: 'index', label: 'cell', format: 'count' },
    slices: [],
  };
}

/**
 * The figures for what is varied, the most telling first:
 * - sizes of a TLB: curves, and with ways a map of both;
 * - other numbers of three values and more: curves, and of two of them a map;
 * - guest and nested pages: the square;
 * - names, and whatever has too few values for an axis: dots;
 * - always, where walks were counted: cycles by cause, references by place, where they were served;
 * - seeds alone: how far they spread.
 */
export function chooseFigures(given: Given): Figure[] {
  const { varied, counters } = given;
  const of = (role: Varied['role']): Varied[] => varied.filter((field) => field.role === role);
  const [[entries], [ways], [guest], [nested]] = [
    of('entries'),
    of('ways'),
    of('guestPage'),
    of('nestedPage'),
  ];
  const isNumber = ({ role, values }: Varied): boolean =>
    role === 'entries' || ((role === 'number' || role === 'ways') && values.length >= FEWEST_NUMBERS);
  const numbers = varied
    .filter((field) => isNumber(field) && !(field === ways && entries))
    .sort((a, b) => Number(b.role === 'entries') - Number(a.role === 'entries'));
  const isSquare = guest !== undefined && nested !== undefined;
  const names = varied.filter(
    (field) =>
      !isNumber(field) &&
      !(field === ways && entries) &&
      field.role !== 'seed' &&
      !(isSquare && (field === guest || field === nested)),
  );
  const onlySeeds = varied.length > 0 && varied.every(({ role }) => role === 'seed');
  const many = given.rows.length > 1;
  const figures: (Figure | undefined)[] = [
    ...numbers.slice(0, MOST_CURVES).map((field) => curve(given, field)),
    entries && ways ? heat(given, entries, ways) : undefined,
    !(entries && ways) && numbers.length > 1 ? heat(given, numbers[0], numbers[1]) : undefined,
    isSquare ? square(given, guest, nested) : undefined,
    ...(numbers.length === 0 || names.some(({ role }) => role === 'text')
      ? names
          .filter(({ role }) => numbers.length === 0 || role === 'text')
          .slice(0, MOST_DOTS)
          .map((field) => dots(given, field))
      : []),
    onlySeeds || (varied.length === 0 && many) ? spread(given, onlySeeds) : undefined,
    ...(counters === 'all' ? [cycles(given), matrix(given), served(given)] : []),
    exits(given),
    ...(varied.length === 0 || onlySeeds ? [outcomes(given)] : []),
  ];
  return figures.filter((figure) => figure !== undefined);
}
