/** Results as text for a terminal. Every function returns the text; nothing here prints. */
import { entryPage, type PagingMode, type ResolvedConfig } from '../config/resolved.ts';
import { columnSum, levelNames, matrixSum, NESTED_ROWS, PSC_LEVELS } from '../results/counters.ts';
import { probeCounts } from '../results/metrics.ts';
import { DEFAULT_RUNTIME_COST } from '../results/runtimeModels.ts';
import type { Counters, Matrix, Metrics, Provenance, ReachBytes, Result } from '../results/types.ts';
import type { Row } from '../schema.ts';
import { barChart } from './charts.ts';
import { describeMachine, describeWorkload } from './describe.ts';
import { bytes, count, duration, fine, mean, rate, ratio } from './format.ts';
import { facts, numeric, type Style, table, text } from './table.ts';

const section = (title: string, body: string, style: Style): string => `${style.strong(title)}\n${body}`;

function tlbTable(result: Result, style: Style): string {
  const { counters, config, metrics } = result;
  const page = entryPage(config.paging);
  const hits = (level: 'l1Hits' | 'l1iHits' | 'stlbHits'): number => columnSum(counters[level]);
  const line = (name: string, hit: number, miss: number, level: keyof ReachBytes): string[] => [
    name,
    count(hit + miss),
    count(hit),
    count(miss),
    hit + miss === 0 ? '–' : ratio(miss / (hit + miss)),
    bytes(metrics.reachBytes[level]?.[page] ?? 0),
  ];
  const rows = [line(config.machine.l1i ? 'L1 data' : 'L1', hits('l1Hits'), counters.l1Misses, 'l1d')];
  if (config.machine.l1i && counters.fetches > 0)
    rows.push(line('L1 instruction', hits('l1iHits'), counters.l1iMisses, 'l1i'));
  if (config.machine.stlb.length > 0) rows.push(line('STLB', hits('stlbHits'), counters.stlbMisses, 'stlb'));
  return table(
    [
      text('TLB'),
      numeric('look-ups'),
      numeric('hits'),
      numeric('misses'),
      numeric('miss ratio'),
      numeric(`reach (${page})`),
    ],
    rows,
    style,
  );
}

const split = (values: { guest: number; nested: number; total: number }, nested: boolean): string =>
  nested
    ? `${fine(values.total)}  (guest ${fine(values.guest)}, nested ${fine(values.nested)})`
    : fine(values.total);

/** Run time by the models that need no second run, with what they rest on. */
function slowdownText({ slowdown: { linear, alam, pham } }: Metrics): string {
  const { baseCyclesPerAccess } = DEFAULT_RUNTIME_COST;
  const models = `${fine(linear)} linear, ${fine(alam)} Alam, ${fine(pham)} Pham`;
  return `${models}; ${baseCyclesPerAccess} cycles an access assumed`;
}

function walkFacts(counters: Counters, metrics: Metrics, mode: PagingMode, style: Style): string {
  const nested = mode === 'nested';
  const stlbCycles = counters.accesses === 0 ? 0 : metrics.stlbHitCycles / counters.accesses;
  const dirty = counters.dirtyWalks > 0 ? ` (${count(counters.dirtyWalks)} to set a dirty bit)` : '';
  const pairs: [string, string][] = [
    ['walks', `${count(counters.walks)}${dirty}`],
    ['misses per 1000 accesses', fine(metrics.missesPerThousandAccesses.stlb)],
    ['references per walk', split(metrics.refsPerWalk, nested)],
    ['walk cycles per access', split(metrics.walkCyclesPerAccess, nested)],
    ['STLB hit cycles per access', fine(stlbCycles)],
    ['run time (no walks = 1)', slowdownText(metrics)],
  ];
  // Under shadow paging the hardware cannot tell the guest's own faults from those that are hidden from it.
  const faults = mode === 'shadow' ? 'page faults, hidden ones too' : 'guest page faults';
  if (counters.guestFaults > 0) pairs.push([faults, count(counters.guestFaults)]);
  if (counters.nestedViolations > 0) pairs.push(['nested violations', count(counters.nestedViolations)]);
  return facts(pairs, style);
}

/** Rows and columns of the reference matrix that a configuration's walks can have. */
export function matrixShape(paging: ResolvedConfig['paging']): { rows: Row[]; columns: string[] } {
  const levels = (prefix: string, from: number): string[] =>
    Array.from({ length: from }, (_, index) => `${prefix}${from - index}`);
  if (paging.mode !== 'nested') return { rows: ['pt'], columns: levels('L', paging.guestLevels) };
  return {
    rows: [...levels('gL', paging.guestLevels), 'gPA'] as Row[],
    columns: [...levels('nL', paging.nestedLevels), 'g'],
  };
}

/**
 * A reference matrix with the sums of its rows and columns.
 * @param show turns a value, already divided, into text
 * @param divisor what every count is divided by
 */
export function renderMatrix(
  matrix: Matrix,
  paging: ResolvedConfig['paging'],
  style: Style,
  show: (value: number) => string = count,
  divisor = 1,
): string {
  const { rows, columns } = matrixShape(paging);
  const cell = (value: number | undefined): string => {
    if (value === undefined) return '';
    return value === 0 ? style.faint('·') : show(value / divisor);
  };
  const sum = (values: number[]): string => cell(values.reduce((total, value) => total + value, 0));
  const body = rows.map((row) => [
    row,
    ...columns.map((column) => cell(matrix[row][column])),
    sum(columns.map((column) => matrix[row][column] ?? 0)),
  ]);
  const foot = [
    'sum',
    ...columns.map((column) => sum(rows.map((row) => matrix[row][column] ?? 0))),
    sum([matrixSum(matrix)]),
  ];
  return table(
    [text(paging.mode === 'nested' ? 'guest \\ nested' : ''), ...columns.map(numeric), numeric('sum')],
    rows.length > 1 ? [...body, foot] : body,
    style,
  );
}

function walkCacheTable(result: Result, style: Style): string | undefined {
  const { counters, config } = result;
  const { machine, paging } = config;
  const probes = probeCounts(counters, config);
  const rows: string[][] = [];
  const line = (name: string, hits: number, of: number): void => {
    rows.push([name, count(hits), of === 0 ? '–' : ratio(hits / of)]);
  };
  const nested = paging.mode === 'nested';
  const pscRows = (name: string, hits: Counters['pscHits'], levels: object, of: number): void => {
    for (const level of PSC_LEVELS) if (`l${level}` in levels) line(`${name}[${level}]`, hits[level], of);
  };
  if (machine.psc) pscRows('PSC', counters.pscHits, machine.psc, probes.psc);
  if (machine.nestedPsc && nested)
    pscRows('nested PSC', counters.nestedPscHits, machine.nestedPsc, probes.nestedPsc);
  if (machine.ntlb && nested) {
    const hits = counters.ntlbHits;
    const tables = NESTED_ROWS.filter((row) => row !== 'gPA');
    const sum = (of: Counters['ntlbHits']): number => tables.reduce((total, row) => total + of[row], 0);
    line('nested TLB, table pages', sum(hits), sum(hits) + sum(counters.ntlbMisses));
    if (machine.ntlb.holds === 'all')
      line('nested TLB, data pages', hits.gPA, hits.gPA + counters.ntlbMisses.gPA);
  }
  if (machine.pwc) {
    const hits = matrixSum(counters.pwcHits);
    line('page-walk cache', hits, hits + matrixSum(counters.pwcMisses));
  }
  if (rows.length === 0) return undefined;
  return table([text('walk cache'), numeric('hits'), numeric('of its probes')], rows, style);
}

function servedTable(result: Result, style: Style): string {
  const { counters, config } = result;
  const names = levelNames(config.machine.caches.map((cache) => cache.name));
  const { guest, nested } = counters.refHits;
  const all = columnSum(guest) + columnSum(nested);
  const latencies = [...config.machine.caches.map((cache) => cache.latency), config.machine.memoryLatency];
  const rows = names.map((name, level) => [
    name,
    `${latencies[level]}`,
    count(guest[name]),
    ...(config.paging.mode === 'nested' ? [count(nested[name])] : []),
    all === 0 ? '–' : ratio((guest[name] + nested[name]) / all),
    ...(config.machine.dataThroughCaches ? [count(counters.dataHits[name])] : []),
  ]);
  return table(
    [
      text('references served by'),
      numeric('cycles'),
      ...(config.paging.mode === 'nested' ? [numeric('guest'), numeric('nested')] : [numeric('references')]),
      numeric('share'),
      ...(config.machine.dataThroughCaches ? [numeric('data accesses')] : []),
    ],
    rows,
    style,
  );
}

/** Where a result comes from, on one line. */
export function renderProvenance(provenance: Provenance, style: Style): string {
  const engine = provenance.engine === 'native' ? `native engine (${provenance.tier})` : 'TypeScript engine';
  const workers = provenance.workers === 1 ? '1 worker' : `${provenance.workers} workers`;
  const before = provenance.prepareSeconds < 0.1 ? '' : `, ${duration(provenance.prepareSeconds)} to prepare`;
  const time = `${duration(provenance.seconds)}${before}`;
  return style.faint(
    `nestwalk ${provenance.version}, ${engine}, ${workers}, ${time}, ${rate(provenance.accessesPerSecond)}`,
  );
}

function optionalSections(result: Result, style: Style): string[] {
  const { unique, reuse } = result.counters;
  const sections: string[] = [];
  if (unique)
    sections.push(
      section('Distinct entries, by place', renderMatrix(unique, result.config.paging, style), style),
    );
  if (reuse) {
    const again = columnSum(reuse.distances);
    const farthest = Math.max(0, ...Object.keys(reuse.distances).map(Number));
    sections.push(
      section(
        'Stack distances (4 KiB pages)',
        facts(
          [
            ['first touches', count(reuse.cold)],
            ['touched again', count(again)],
            ['farthest', `${count(farthest)} pages (every distance: --json)`],
          ],
          style,
        ),
        style,
      ),
    );
  }
  return sections;
}

/** Where accesses were answered, and what translation cost, as bars. */
function runCharts({ counters, metrics }: Result, width: number, style: Style): string[] {
  const { accesses, walks } = counters;
  if (accesses === 0) return [];
  const stlb = columnSum(counters.stlbHits);
  const answered = [
    { label: 'L1', value: accesses - stlb - walks },
    { label: 'STLB', value: stlb },
    { label: 'walk', value: walks },
  ];
  const cycles = [
    { label: 'STLB hits', value: metrics.stlbHitCycles / accesses },
    { label: 'guest walk', value: metrics.walkCyclesPerAccess.guest },
    { label: 'nested walk', value: metrics.walkCyclesPerAccess.nested },
  ].filter(({ value }) => value > 0);
  return [
    section(
      'Accesses, by what translated them',
      barChart(
        answered.map(({ label, value }) => ({ label, value, shown: ratio(value / accesses) })),
        width,
        style,
      ),
      style,
    ),
    ...(cycles.length > 0
      ? [
          section(
            'Cycles of translation per access',
            barChart(
              cycles.map(({ label, value }) => ({ label, value, shown: fine(value) })),
              width,
              style,
            ),
            style,
          ),
        ]
      : []),
  ];
}

/** What the software did, where it did anything. */
function eventsSection(result: Result, style: Style): string[] {
  const events = Object.entries(result.ledger.events).filter(([, times]) => times > 0);
  if (events.length === 0) return [];
  const pairs = events.map(([name, times]) => [name, count(times)] as const);
  return [section('Software', facts(pairs, style), style)];
}

/** Where the cycles went: hardware, then the software's events, each with how often it happened. */
function cyclesTable(result: Result, cycles: NonNullable<Result['cycles']>, style: Style): string {
  const { counters, ledger } = result;
  const share = (value: number): string => (cycles.total === 0 ? '–' : ratio(value / cycles.total));
  const line = (name: string, times: string, value: number): string[] => [
    name,
    times,
    count(value),
    share(value),
  ];
  const causes = Object.entries({ ...cycles.software, ...cycles.exits, ...cycles.hypercalls });
  const rows = [
    line('accesses', count(counters.accesses), cycles.base),
    line('guest walk', '', cycles.guestWalk),
    ...(cycles.nestedWalk > 0 ? [line('nested walk', '', cycles.nestedWalk)] : []),
    line('STLB look-ups', count(columnSum(counters.stlbHits) + counters.stlbMisses), cycles.stlb),
    ...causes
      .filter(([cause]) => (ledger.events[cause] ?? 0) > 0)
      .map(([cause, value]) => line(cause, count(ledger.events[cause]!), value)),
    ['total', '', count(cycles.total), ''],
  ];
  const heads = [text('cycles'), numeric('times'), numeric(`cycles (${cycles.costs})`), numeric('share')];
  return table(heads, rows, style);
}

/**
 * One run as text: TLBs, walks, the reference matrix, walk caches, where references were served, provenance.
 * @param width columns that bars may take, see `chartWidth`; 0 for none
 */
export function renderRun(result: Result, style: Style, width = 0): string {
  const { counters, metrics, config } = result;
  const caches = walkCacheTable(result, style);
  return [
    `${style.strong(describeWorkload(config))}\n${describeMachine(config)}`,
    facts(
      [
        [
          'accesses',
          `${count(counters.accesses)}  (${count(counters.reads)} reads, ${count(counters.writes)} writes, ${count(counters.fetches)} fetches)`,
        ],
      ],
      style,
    ),
    tlbTable(result, style),
    walkFacts(counters, metrics, config.paging.mode, style),
    section(
      'References per walk, by place',
      renderMatrix(counters.refs, config.paging, style, mean, Math.max(1, counters.walks)),
      style,
    ),
    ...(caches ? [caches] : []),
    servedTable(result, style),
    ...optionalSections(result, style),
    ...(result.cycles ? [cyclesTable(result, result.cycles, style)] : eventsSection(result, style)),
    ...(width > 0 ? runCharts(result, width, style) : []),
    renderProvenance(result.provenance, style),
  ].join('\n\n');
}
