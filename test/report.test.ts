/** Reports without a browser: pages that keep what is in them, which figures a sweep gets, numbers in figures, files. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { JSDOM } from 'jsdom';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeProgram } from '../src/cli/program.ts';
import { packed, toCsv, unpacked } from '../src/report/browser/columns.js';
import {
  compact,
  type Figure,
  firstChoice,
  type Row,
  shortened,
  type Value,
} from '../src/report/browser/figure.js';
import { DARK, LIGHT, properties, SERIES } from '../src/report/browser/palette.js';
import { filterOf, orderBy, type TableColumn, unclearNames } from '../src/report/browser/table.js';
import { chooseFigures } from '../src/report/figures/choose.ts';
import { type Axis, BELOW_GUEST, variedFields, withReportColumns } from '../src/report/figures/fields.ts';
import { writeFigures } from '../src/report/figures/files.ts';
import { type Draw, loadDraw, svgFile } from '../src/report/figures/render.ts';
import { axesOf, type ReportData, rowsOf, sweepReport } from '../src/report/html/data.ts';
import { influences, scenarioFindings, sweepFindings } from '../src/report/html/findings.ts';
import { reportPage } from '../src/report/html/report.ts';
import { publishedNumber } from '../src/report/html/reproduce.ts';
import { jsonReport } from '../src/report/html/sources.ts';
import { embeddedJson, html, page, raw } from '../src/report/page.ts';
import { toCsv as storeCsv } from '../src/results/store.ts';
import { compare } from '../src/run/compare.ts';
import { simulate } from '../src/run/simulate.ts';
import { readPlan } from '../src/sweep/folder.ts';
import { readJournal } from '../src/sweep/journal.ts';
import { sweepTable } from '../src/sweep/rows.ts';
import { exportSweep } from '../src/sweep/status.ts';
import { makeUp, planned, realSweep } from './support/reportSweeps.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-report-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);

const HOSTILE = `</script><script>alert(1)</script><!-- "'&\u0000\u202e🦙`;

let draw: Draw;
beforeAll(async () => {
  draw = await loadDraw();
  await realSweep(at('real'));
}, 60_000);

/** The rows of a sweep, from its journal and not through the report. */
const storeRows = (sweep: string): Row[] => rowsOf(sweepTable(readPlan(sweep), readJournal(sweep)));

describe('a page', () => {
  it('escapes what a template takes, and takes markup as it is', () => {
    const list = [html`<i>${'<'}</i>`, null, undefined, false as const, 3];
    expect(html`<p title="${`"'&`}">${list}${raw('<b>')}</p>`.markup).toBe(
      '<p title="&quot;&#39;&amp;"><i>&lt;</i>3<b></p>',
    );
  });

  it('shows hostile text as text, and carries it unchanged', () => {
    const text = page({
      title: HOSTILE,
      body: html`<p id="told" title="${HOSTILE}">${HOSTILE}</p>`,
      data: { carried: { [HOSTILE]: HOSTILE } },
    });
    const { document } = new JSDOM(text).window;
    // A character that HTML forbids is shown as what it is: replaced.
    const told = HOSTILE.replace('\u0000', '\ufffd');
    expect(document.querySelector('h1')?.textContent).toBe(told);
    expect(document.title).toBe(told);
    expect(document.getElementById('told')?.textContent).toBe(told);
    expect(document.getElementById('told')?.getAttribute('title')).toBe(told);
    expect(JSON.parse(document.getElementById('carried')!.textContent)).toEqual({ [HOSTILE]: HOSTILE });
    expect(document.querySelectorAll('script')).toHaveLength(2);
  });

  it('never lets JSON end its element', () => {
    fc.assert(
      fc.property(fc.json(), fc.string(), (json, string) => {
        const value = [JSON.parse(json), string, `<!--${string}</ScRiPt>`];
        const text = embeddedJson(value);
        expect(text).not.toMatch(/<\/script|<!--/i);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('allows exactly the scripts that are in it, and no address', () => {
    const text = page({ title: 't', body: html``, libraries: ['d3', 'plot'], scripts: ['report'] });
    const { document } = new JSDOM(text).window;
    const policy = document.querySelector('meta[http-equiv]')!.getAttribute('content')!;
    const allowed = [...policy.matchAll(/'sha256-([^']+)'/g)].map(([, hash]) => hash);
    const scripts = [...document.querySelectorAll('script:not([type="application/json"])')];
    const own = scripts.map((script) => createHash('sha256').update(script.textContent).digest('base64'));
    expect(scripts.length).toBe(4);
    expect(own.sort()).toEqual(allowed.sort());
    expect(policy).toMatch(/^default-src 'none'; script-src 'sha256-/);
    expect(policy).not.toMatch(/script-src[^;]*unsafe|connect-src|https?:|\*/);
    for (const script of scripts) expect(script.hasAttribute('src')).toBe(false);
    expect(document.querySelectorAll('link, iframe, object, embed, base, form')).toHaveLength(0);
  });

  it('may ask its server only where it is live', () => {
    const policy = (live: boolean): string =>
      /content="(default-src[^"]+)"/.exec(page({ title: '', body: html``, live }))![1];
    expect(policy(true)).toContain('connect-src &#39;self&#39;');
    expect(policy(false)).not.toContain('connect-src');
  });

  /** Contrast of two colours (WCAG 2.2, 1.4.3). */
  function contrast(one: string, other: string): number {
    const [light, dark] = [one, other]
      .map((hex) => {
        const [red, green, blue] = [1, 3, 5].map((from) => {
          const part = Number.parseInt(hex.slice(from, from + 2), 16) / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      })
      .sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }

  it.each([
    ['light', LIGHT],
    ['dark', DARK],
  ])('has colours that can be read: %s', (_, colours) => {
    for (const name of ['ink', 'soft', 'accent', 'good', 'bad'] as const)
      for (const ground of ['paper', 'raised'] as const)
        expect(contrast(colours[name], colours[ground]), `${name} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    const all = properties(colours);
    for (let at = 1; at <= SERIES; at += 1) {
      // Graphics need 3 (1.4.11), text on them 4.5.
      expect(contrast(all[`s${at}`], all.paper), `s${at}`).toBeGreaterThanOrEqual(3);
      expect(contrast(all[`on${at}`], all[`s${at}`]), `on${at}`).toBeGreaterThanOrEqual(4.5);
    }
  });
});

/** Cells of a grid, as the table of a sweep has them. */
function gridRows(axes: Record<string, readonly Value[]>, made: (row: Row) => Row = () => ({})): Row[] {
  const combinations = Object.entries(axes).reduce<Row[]>(
    (rows, [name, values]) => rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value }))),
    [{}],
  );
  const rows = combinations.map((row, index) => ({
    ...row,
    cell: `cell${index}`,
    index,
    status: 'done',
    ...made(row),
  }));
  return withReportColumns(
    rows.map((row) => ({
      config_mode: 'nested',
      config_guestPage: '4KiB',
      config_nestedPage: '4KiB',
      accesses: 100,
      walks: 10,
      stlbMisses: 10,
      missRatio_overall: 0.1,
      missRatio_l1: 0.3,
      stlbHitCycles: 140,
      walkCyclesPerAccess_guest: 3,
      walkCyclesPerAccess_nested: 5,
      walkCyclesPerAccess_total: 8,
      refs_gL1_g: 10,
      refs_gPA_nL1: 10,
      refHits_guest_memory: 4,
      refHits_guest_L2: 6,
      ...row,
    })),
  );
}

/** Names of fields, for short. */
const axis = (path: string, column = path): Axis => ({ path, column });

const kinds = (figures: readonly Figure[]): string[] =>
  figures.map(({ kind, x, y }) =>
    [kind, ...[x, y].filter((it) => it !== undefined).map(({ label }) => label)].join(' '),
  );

describe('the figures that a sweep gets', () => {
  const chosen = (axes: Axis[], rows: Row[], counters: 'tlb' | 'all' = 'tlb'): Figure[] =>
    chooseFigures({ varied: variedFields(axes, rows), counters, rows });
  const entries = axis('machine.stlb[0].entries', 'e');
  const ways = axis('machine.stlb[0].ways', 'w');
  const sets = axis('machine.stlb[0].sets', 's');
  const geometry = ({ e, w, s }: Row): Row => ({
    config_stlbEntries: e === undefined ? Number(s) * Number(w ?? 4) : e,
    config_stlbWays: w ?? 4,
  });
  const guest = axis('paging.guestPage', 'g');
  const nested = axis('paging.nestedPage', 'n');
  const paging = ({ g, n, m }: Row): Row => ({
    config_mode: m ?? 'nested',
    config_guestPage: g ?? '4KiB',
    config_nestedPage: m === 'native' ? null : (n ?? '4KiB'),
    ...(m === 'native' ? { cell: `native ${g}` } : {}),
  });
  const sizes = ['4KiB', '2MiB', '1GiB'];

  it.each<[string, Axis[], Row[], string[]]>([
    ['sizes', [entries], gridRows({ e: [64, 128, 256] }, geometry), ['curve STLB entries']],
    ['two sizes', [entries], gridRows({ e: [64, 128] }, geometry), ['curve STLB entries']],
    [
      'sizes and ways',
      [entries, ways],
      gridRows({ e: [64, 128], w: [1, 2] }, geometry),
      ['curve STLB entries', 'heat STLB entries STLB ways'],
    ],
    [
      'sets and ways',
      [sets, ways],
      gridRows({ s: [16, 32], w: [1, 2, 4] }, geometry),
      ['curve STLB entries', 'heat STLB entries STLB ways'],
    ],
    ['sets alone', [sets], gridRows({ s: [16, 32] }, geometry), ['curve STLB entries']],
    [
      'ways alone',
      [ways],
      gridRows({ w: [1, 2, 4] }, (row) => ({ ...geometry({ ...row, e: 64 }) })),
      ['curve STLB ways'],
    ],
    ['pages', [guest, nested], gridRows({ g: sizes, n: sizes }, paging), ['square guest page nested page']],
    ['nested pages alone', [nested], gridRows({ n: sizes }, paging), ['dots nested page']],
    [
      'modes and pages',
      [axis('paging.mode', 'm'), guest, nested],
      gridRows({ m: ['native', 'nested'], g: sizes, n: sizes }, paging),
      ['square guest page nested page or mode'],
    ],
    [
      'a number',
      [axis('memoryLatency')],
      gridRows({ memoryLatency: [100, 200, 300] }),
      ['curve memoryLatency'],
    ],
    [
      'a number of two values',
      [axis('memoryLatency')],
      gridRows({ memoryLatency: [100, 200] }),
      ['dots memoryLatency'],
    ],
    [
      'two numbers',
      [axis('a'), axis('b')],
      gridRows({ a: [1, 2, 3], b: [1, 2, 3] }),
      ['curve a', 'curve b', 'heat a b'],
    ],
    ['names', [axis('replacement')], gridRows({ replacement: ['lru', 'fifo'] }), ['dots replacement']],
    [
      'names and sizes',
      [axis('workload'), entries],
      gridRows({ workload: ['a', 'b'], e: [64, 128] }, geometry),
      ['curve STLB entries', 'dots workload'],
    ],
    [
      'seeds alone',
      [axis('seed', 'config_seed')],
      gridRows({ config_seed: ['1', '2', '3'] }),
      ['spread cell', 'stack'],
    ],
    [
      'seeds and sizes',
      [axis('seed', 'config_seed'), entries],
      gridRows({ config_seed: ['1', '2'], e: [64, 128] }, geometry),
      ['curve STLB entries'],
    ],
    ['one cell', [], gridRows({}), ['stack']],
  ])('that varies %s', (_, axes, rows, expected) => {
    expect(kinds(chosen(axes, rows))).toEqual(expected);
  });

  it('has walks where they were counted: cycles, the matrix, what served them', () => {
    const figures = chosen([guest, nested], gridRows({ g: sizes, n: sizes }, paging), 'all');
    expect(figures.map(({ id }) => id)).toEqual(['square', 'cycles', 'matrix', 'served']);
    expect(chosen([guest, nested], gridRows({ g: sizes, n: sizes }, paging)).map(({ id }) => id)).toEqual([
      'square',
    ]);
  });

  it('has events of the software where there are any', () => {
    const rows = gridRows({ g: sizes }, (row) => ({ ...paging(row), events_guestFaults: 3 }));
    expect(chosen([guest], rows, 'all').map(({ id }) => id)).toContain('exits');
  });

  it('gives every field one place: an axis, colours, panels or a slice', () => {
    const axes = [axis('workload'), guest, nested, entries, ways];
    const rows = gridRows(
      { workload: ['a', 'b', 'c'], g: sizes, n: sizes, e: [64, 128], w: [1, 2] },
      (row) => ({ ...paging(row), ...geometry(row) }),
    );
    const fields = variedFields(axes, rows);
    expect(fields.map(({ label }) => label)).toEqual([
      'workload',
      'guest page',
      'nested page',
      'STLB entries',
      'STLB ways',
    ]);
    for (const figure of chosen(axes, rows, 'all')) {
      const { x, y, series = [], facet, slices, kind } = figure;
      const placed = [x, y, facet, ...series, ...slices]
        .filter((it) => it !== undefined)
        .map(({ label }) => label);
      // A bar stands for both page sizes; rows and columns of the matrix are none of the fields.
      const words = placed.flatMap((label) =>
        label === 'guest page on nested page' ? ['guest page', 'nested page'] : [label],
      );
      const own =
        kind === 'matrix' ? words.filter((label) => label !== 'for' && label !== 'entry read') : words;
      expect(own.sort(), figure.id).toEqual(fields.map(({ label }) => label).sort());
    }
  });

  it('puts sizes of wide range on a logarithmic axis, others on a linear one', () => {
    const scale = (values: number[]): string | undefined =>
      variedFields([axis('a')], gridRows({ a: values }))[0].scale;
    expect(scale([64, 128, 256, 512])).toBe('log');
    expect(scale([100, 200, 300])).toBe('linear');
    expect(scale([0, 1, 1000])).toBe('linear');
  });

  it('reads sizes written as text as numbers, and structures as what they come to', () => {
    const written = gridRows({ size: ['1MiB', '512KiB', '2MiB'] });
    expect(variedFields([axis('machine.caches[0].size', 'size')], written)[0]).toMatchObject({
      role: 'number',
      format: 'bytes',
      values: [2 ** 19, 2 ** 20, 2 ** 21],
    });
    const stlb = gridRows({ stlb: ['[{"entries":64}]', '[{"entries":128}]'] }, ({ stlb }) => ({
      config_stlbEntries: String(stlb).includes('64') ? 64 : 128,
      config_stlbWays: 4,
    }));
    expect(variedFields([axis('machine.stlb', 'stlb')], stlb)).toMatchObject([
      { label: 'STLB entries', values: [64, 128] },
    ]);
  });

  it('gives a cell that cannot be built its place all the same', () => {
    const rows = gridRows({ e: [64, 96, 128], w: [4, 8] }, (row) =>
      row.e === 96
        ? {
            status: 'invalid',
            cell: null,
            reason: 'no power of two',
            config_stlbEntries: null,
            config_stlbWays: null,
          }
        : geometry(row),
    );
    const [size] = variedFields([entries, ways], rows);
    expect(size.values).toEqual([64, 96, 128]);
    expect(rows.filter((row) => row[size.column] === 96)).toHaveLength(2);
  });

  it('tells modes from one another below the guest', () => {
    const modes = [
      { m: 'native', n: null },
      { m: 'nested', n: '2MiB' },
      { m: 'shadow', n: '4KiB' },
      { m: 'paravirt', n: null },
    ];
    const rows = withReportColumns(
      modes.map(({ m, n }) => ({ config_mode: m, config_guestPage: '4KiB', config_nestedPage: n })),
    );
    expect(rows.map((row) => row[BELOW_GUEST])).toEqual(['native', '2MiB', 'shadow on 4KiB', 'paravirt']);
  });
});

describe('what a figure draws', () => {
  const titles = (svg: string): string[] =>
    [...new JSDOM(svg).window.document.querySelectorAll('title')].map((title) => title.textContent);

  it('is every cell of its slice, once, with the value of the store', () => {
    const data = sweepReport(at('real'));
    const rows = storeRows(at('real'));
    const curve = data.figures.find(({ kind }) => kind === 'curve')!;
    const choice = firstChoice(curve, data.rows);
    const drawn = draw(curve, data.rows, choice);
    if (!('svg' in drawn)) throw new Error(drawn.why);
    const cells = titles(drawn.svg).map((tip) => Number(/cell (\d+)/.exec(tip)![1]));
    const slices = Object.values(choice.slice);
    expect(slices.length).toBeGreaterThan(0);
    // Entries × the colour × panels.
    expect(cells.length).toBe(new Set(cells).size);
    expect(cells.length).toBe(5 * 2 * 2);
    for (const tip of titles(drawn.svg)) {
      const row = rows[Number(/cell (\d+)/.exec(tip)![1])];
      const shown = Number(/miss ratio: ([\d.]+) %/.exec(tip)![1]);
      expect(shown).toBeCloseTo((100 * Number(row.stlbMisses)) / Number(row.accesses), 1);
      expect(tip).toContain(`STLB entries: ${row.config_stlbEntries}`);
    }
  });

  it('is never empty: a slice without finished cells says why', async () => {
    const plan = await planned(
      at('half'),
      'seed: 1\naccesses: 10\nfootprint: 1MiB\nworkload: uniform\nmachine: tiny\nvary: {seed: [1, 2], paging.guestPage: [4KiB, 2MiB, 1GiB]}\n',
    );
    makeUp(at('half'), plan, ({ index }) =>
      index === 0 ? 'out of luck' : index === 3 ? { counters: { accesses: 10 }, events: {} } : undefined,
    );
    const data = sweepReport(at('half'));
    for (const figure of data.figures) {
      const choice = firstChoice(figure, data.rows);
      expect(draw(figure, data.rows, choice), figure.id).toHaveProperty('svg');
      if (Object.keys(choice.slice).length === 0) continue;
      const [column] = Object.keys(choice.slice);
      const nowhere = draw(figure, data.rows, { ...choice, slice: { ...choice.slice, [column]: 'nowhere' } });
      expect(nowhere).toEqual({ why: 'no cell of the grid is like this' });
    }
    expect(data.notices[0]).toMatch(/^4 of 6 cells are not run yet/);
    expect(data.troubles).toEqual([{ status: 'failed', reason: 'out of luck', cells: [0] }]);
  });

  it('says of a sweep without a finished cell that there is nothing yet', async () => {
    await planned(
      at('none'),
      'seed: 1\naccesses: 10\nworkload: uniform\nfootprint: 1MiB\nmachine: tiny\nvary: {seed: [1, 2]}\n',
    );
    const data = sweepReport(at('none'));
    expect(data.findings).toEqual(['No cell is done yet, so there is nothing to show.']);
    const text = await reportPage(data, 'none');
    expect(text).toContain('none of these 2 cells is done');
  });

  it('is the mean of cells that differ in their seed alone, with their range', () => {
    const rows = gridRows(
      { config_seed: ['1', '2', '3'], workload: ['a', 'b'] },
      ({ config_seed: seed, workload }) => ({
        walkCyclesPerAccess_total: (workload === 'a' ? 10 : 100) + Number(seed),
      }),
    );
    const axes = [axis('seed', 'config_seed'), axis('workload')];
    const [dots] = chooseFigures({ varied: variedFields(axes, rows), counters: 'all', rows });
    const drawn = draw(dots, rows, firstChoice(dots, rows));
    if (!('svg' in drawn)) throw new Error(drawn.why);
    expect(drawn.shown.values).toEqual([
      ['a', 12],
      ['b', 102],
    ]);
    expect(titles(drawn.svg)[0]).toContain('mean of 3 cells, 11.00 to 13.00');
  });

  it('counts cells in bins where dots would pile up, and every cell in one bin', () => {
    const rows = gridRows(
      { config_seed: Array.from({ length: 1000 }, (_, index) => `${index}`) },
      ({ config_seed: seed }) => ({
        missRatio_overall: (Number(seed) % 20) / 1000,
      }),
    );
    const [spread] = chooseFigures({
      varied: variedFields([axis('seed', 'config_seed')], rows),
      counters: 'tlb',
      rows,
    });
    const drawn = draw(spread, rows, firstChoice(spread, rows));
    if (!('svg' in drawn)) throw new Error(drawn.why);
    const bins = titles(drawn.svg).map((tip) => Number(/\n([\d,]+) cells/.exec(tip)![1].replaceAll(',', '')));
    expect(bins.length).toBeGreaterThan(10);
    expect(bins.reduce((sum, count) => sum + count, 0)).toBe(1000);
    expect(drawn.shown.caption).toContain('The first 500 of 1,000 rows');
    expect(drawn.shown.values).toHaveLength(1000);
  });

  it('sums parts to what they are parts of, and the matrix to references per walk', () => {
    const data = sweepReport(at('real'));
    const find = (id: string): Figure => data.figures.find((figure) => figure.id === id)!;
    const rows = storeRows(at('real'));
    const cycles = draw(find('cycles'), data.rows, firstChoice(find('cycles'), data.rows));
    if (!('svg' in cycles)) throw new Error(cycles.why);
    const choice = firstChoice(find('cycles'), data.rows);
    const inSlice = rows.filter((row) =>
      Object.entries(choice.slice).every(
        ([column, value]) => (column in row ? row[column] : value) === value,
      ),
    );
    for (const row of inSlice) {
      const bar = `${row.config_guestPage} on ${row.config_nestedPage}`;
      const sum = cycles.shown.values
        .filter(([name]) => name === bar)
        .reduce((all, [, , value]) => all + Number(value), 0);
      const expected = (Number(row.walkCycles_total) + Number(row.stlbHitCycles)) / Number(row.accesses);
      expect(sum, bar).toBeCloseTo(expected, 9);
    }
    const matrix = find('matrix');
    const { slice } = firstChoice(matrix, data.rows);
    const [cell] = data.rows.filter((row) =>
      Object.entries(slice).every(([column, value]) => row[column] === value),
    );
    const shown = draw(matrix, data.rows, firstChoice(matrix, data.rows));
    if (!('svg' in shown)) throw new Error(shown.why);
    const total = shown.shown.values.find(([down, across]) => down === 'sum' && across === 'sum')!;
    expect(total[2]).toBeCloseTo(Number(cell.refsPerWalk_total), 9);
  });

  it('has a label, text for who does not see, and colours of its own in a file', () => {
    const data = sweepReport(at('real'));
    for (const figure of data.figures) {
      const drawn = draw(figure, data.rows, firstChoice(figure, data.rows));
      if (!('svg' in drawn)) throw new Error(drawn.why);
      const file = svgFile(drawn.svg);
      const { document } = new JSDOM(file, { contentType: 'image/svg+xml' }).window;
      const root = document.documentElement;
      expect(root.getAttribute('role'), figure.id).toBe('img');
      expect(root.getAttribute('aria-label'), figure.id).toMatch(new RegExp(`^${figure.title}\\. .{20}`));
      expect(file).not.toMatch(/var\(|currentColor|NaN|undefined|Infinity/);
      expect(drawn.shown.rows.length).toBeGreaterThan(0);
    }
  });

  it('writes numbers in few signs', () => {
    expect([0, 0.00002, 0.0123, 0.5, 12.34, 123.4, 9999, 12_345, 4.2e7].map(compact)).toEqual([
      '0',
      '<0.001',
      '0.012',
      '0.50',
      '12.3',
      '123',
      '9,999',
      '12.3k',
      '42M',
    ]);
    expect(shortened('abcdefghij', 7)).toBe('abcd…ij');
    expect(shortened('🦙🦙🦙🦙', 3)).toBe('🦙🦙…');
  });
});

describe('findings', () => {
  it('rank fields by how much they change, all else equal', () => {
    // cycles = size × pages: size changes them by 8, pages by 2, ways by nothing.
    const rows = gridRows({ size: [1, 2, 8], pages: [1, 2], ways: [1, 2] }, ({ size, pages }) => ({
      walkCyclesPerAccess_total: Number(size) * Number(pages),
    }));
    const varied = variedFields([axis('size'), axis('pages'), axis('ways')], rows);
    const found = influences(varied, rows, 'walkCyclesPerAccess_total');
    expect(found.map(({ field, factor, comparisons }) => [field.label, factor, comparisons])).toEqual([
      ['size', 8, 4],
      ['pages', 2, 6],
      ['ways', 1, 6],
    ]);
    const [range, most] = sweepFindings(varied, rows, 'all');
    expect(range).toBe('Walk cycles per access go from 1.00 (size 1, pages 1) to 16.00 (size 8, pages 2).');
    expect(most).toContain(
      'size matters most: all else equal, walk cycles per access at its worst value is 8.00×',
    );
    expect(most).toContain('then pages (2.00×); ways hardly matters.');
  });

  it('compare 2 MiB nested pages with 4 KiB ones by sums over pairs', () => {
    const rows = gridRows({ n: ['4KiB', '2MiB'], workload: ['a', 'b'] }, ({ n, workload }) => ({
      config_nestedPage: n,
      stlbMisses: workload === 'a' ? 30 : 10,
      walkCyclesPerAccess_total: n === '4KiB' ? 8 : workload === 'a' ? 2 : 4,
    }));
    const varied = variedFields([axis('paging.nestedPage', 'n'), axis('workload')], rows);
    // (2 + 4) / (8 + 8)
    expect(sweepFindings(varied, rows, 'all')[2]).toBe(
      '2MiB nested pages in the place of 4KiB ones leave 100.00 % of the misses and 37.50 % of the walk cycles.',
    );
  });

  it('tell platforms by their total and what most of it is for', () => {
    const rows = [
      { platform: 'shadow', total: 300, exits: 240, walk: 60 },
      { platform: 'native', total: 100, exits: 0, walk: 100 },
    ];
    const parts = [
      { column: 'exits', label: 'exits' },
      { column: 'walk', label: 'walks' },
    ];
    expect(scenarioFindings(rows, parts)).toEqual([
      'Native takes the fewest cycles, 100.',
      'Shadow takes 3.00 times as many (most for exits, 80.00 % of it).',
    ]);
  });
});

describe('the data of a page', () => {
  it('comes back as it was, however it is packed', () => {
    const value = fc.oneof(
      fc.constantFrom(null, 0, 'a'),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value), { minLength: 1 }), (rows) => {
        const columns = ['one', 'other'].map((name, index) =>
          packed(
            { name, type: 'VARCHAR' },
            rows.map((row) => row[index]),
          ),
        );
        const back = unpacked(JSON.parse(JSON.stringify(columns)), rows.length);
        const plain = rows.map((row) => row.map((it) => (Object.is(it, -0) ? 0 : it)));
        expect(back.map(({ one, other }) => [one, other])).toEqual(plain);
      }),
    );
  });

  it('is written as the export writes it', async () => {
    const table = sweepTable(readPlan(at('real')), readJournal(at('real')));
    expect(
      toCsv(
        table.columns.map(({ name }) => name),
        table.rows,
      ),
    ).toBe(await exportSweep(at('real'), 'csv'));
    const odd = [['a,b', 'say "so"', 'two\nlines', null, 1.5]];
    expect(toCsv(['v', 'w', 'x', 'y', 'z'], odd)).toBe(storeCsv(['v', 'w', 'x', 'y', 'z'], odd));
  });

  const columns: TableColumn[] = [
    { name: 'stlbWays', label: 'ways', numeric: true, format: 'count' },
    { name: 'stlbMisses', label: 'TLB misses', numeric: true, format: 'count' },
    { name: 'missRatio', label: 'miss ratio', numeric: true, format: 'percent' },
    { name: 'workload', label: 'workload', numeric: false, format: 'text' },
  ];
  const hidden: TableColumn = { name: 'config_seed', label: 'config_seed', numeric: false, format: 'text' };
  const rows: Row[] = [
    { stlbWays: 4, stlbMisses: 8, missRatio: 0.05, workload: 'gups', config_seed: '7' },
    { stlbWays: 16, stlbMisses: 9, missRatio: 0.5, workload: 'btree', config_seed: '8' },
    { stlbWays: null, stlbMisses: null, missRatio: null, workload: 'Gups 16', config_seed: '9' },
  ];

  it.each([
    ['gups', [0, 2]],
    ['GUPS 16', [2]],
    ['ways=4', [0]],
    ['ways>=4', [0, 1]],
    ['miss<10%', [0]],
    ['TLB=9', [1]],
    ['missRatio>0.1', [1]],
    ['workload!=gups', [1, 2]],
    ['config_seed=8', [1]],
    ['50.00', [1]],
    ['nothing=here', []],
    ['  ', [0, 1, 2]],
  ])('is filtered by %s', (text, expected) => {
    const passes = filterOf(text, columns, [...columns, hidden]);
    expect(rows.flatMap((row, index) => (passes(row) ? [index] : []))).toEqual(expected);
  });

  it('tells of a condition whose name is no column’s, or several', () => {
    const unclear = (text: string): string[] => unclearNames(text, columns, [...columns, hidden]);
    // "miss" begins one label, though another has it in it; "s" is in several.
    expect(unclear('gups miss<10% config_seed=8')).toEqual([]);
    expect(unclear('nothing=here s>1 nothing')).toEqual(['nothing', 's']);
  });

  it('is put in order, what is missing last either way', () => {
    const order = (name: string, direction: 1 | -1): Value[] =>
      [...rows].sort(orderBy(name, direction)).map((row) => row[name]);
    expect(order('stlbWays', 1)).toEqual([4, 16, null]);
    expect(order('stlbWays', -1)).toEqual([16, 4, null]);
    expect([{ p: '16KiB' }, { p: '4KiB' }].sort(orderBy('p', 1)).map(({ p }) => p)).toEqual([
      '4KiB',
      '16KiB',
    ]);
  });
});

const SMALL_RUN = {
  workload: 'uniform',
  footprint: '4MiB',
  accesses: 2000,
  seed: 1,
  machine: 'tiny',
  paging: { mode: 'nested' },
} as const;

/** A scenario's result as `scenario --json` prints it, with few causes. */
const SCENARIO = {
  kind: 'scenario',
  name: HOSTILE,
  parameters: { forks: 5 },
  platforms: ['native', 'shadow'].map((platform, at) => ({
    platform,
    counters: { accesses: 10, stlbMisses: 1 },
    ledger: { events: { tableWriteExits: 7 * at } },
    cycles: {
      base: 100,
      guestWalk: 50,
      software: { syscalls: 50 },
      exits: { tableWriteExits: 800 * at },
      total: 200 + 800 * at,
    },
    exits: { tableWriteExits: 7 * at },
    tableBytes: { guest: 4096, nested: 0, shadow: 8192 * at },
  })),
};

const REPRODUCTION = {
  kind: 'reproduce',
  claims: [
    {
      id: 'C01',
      title: HOSTILE,
      source: 's',
      mark: 'D',
      paper: '24',
      ours: '24',
      verdict: 'reproduced',
      readings: [{ name: 'r', paper: '24', ours: 24, unit: 'references', gate: { equals: 24 }, holds: true }],
    },
    {
      id: 'C08',
      title: 't',
      source: 's',
      mark: 'D',
      paper: '2.2',
      ours: '4.4',
      verdict: 'differs',
      readings: [{ name: 'r', paper: '2.2', ours: 4.4, unit: '×', gate: { from: 1.8, to: 3 }, holds: false }],
    },
    {
      id: 'C99',
      title: 'nothing was run',
      source: 's',
      mark: 'M',
      paper: '?',
      ours: '–',
      verdict: 'not modelled',
    },
  ],
};

describe('what a report is asked of', () => {
  const figureIds = ({ figures }: ReportData): string[] => figures.map(({ id }) => id);
  const json = (value: unknown): ReportData => jsonReport(JSON.stringify(value), 'it.json');

  it('is a run', async () => {
    const result = await simulate(SMALL_RUN);
    const data = json(result);
    expect(figureIds(data)).toEqual(['cycles', 'matrix', 'served', 'outcomes']);
    const missing = (100 * result.counters.stlbMisses) / result.counters.accesses;
    expect(data.findings[0]).toBe(`${missing.toFixed(2)} % of the accesses miss every TLB level.`);
    expect(data.rows[0].refs_gPA_nL1).toBe(result.counters.refs.gPA.nL1);
  });

  it('is a comparison', async () => {
    const comparison = await compare(SMALL_RUN, { guestPages: ['4KiB', '2MiB'], nestedPages: ['4KiB'] });
    const data = json(comparison);
    expect(figureIds(data)).toEqual(['square', 'cycles', 'matrix', 'served']);
    const [figure] = data.figures;
    const drawn = draw(figure, data.rows, firstChoice(figure, data.rows));
    if (!('svg' in drawn)) throw new Error(drawn.why);
    const expected = comparison.cells.map(({ mode, guestPage, nestedPage, result }) => [
      mode === 'native' ? 'native' : nestedPage,
      guestPage,
      result.metrics.walkCyclesPerAccess.total,
    ]);
    expect(drawn.shown.values).toEqual(expected);
    // Per cent against 4 KiB on 4 KiB, as compare itself has them.
    const large = comparison.cells.find(({ mode, guestPage }) => mode === 'nested' && guestPage === '2MiB')!;
    expect(drawn.svg).toContain(`${large.perCent.walkCyclesPerAccess!.toFixed(1)} % of 4KiB on 4KiB`);
  });

  it('is a scenario', async () => {
    const data = json(SCENARIO);
    expect(figureIds(data)).toEqual(['cycles', 'software', 'exits', 'tables']);
    const [cycles] = data.figures;
    const drawn = draw(cycles, data.rows, firstChoice(cycles, data.rows));
    if (!('svg' in drawn)) throw new Error(drawn.why);
    expect(drawn.shown.values).toEqual([
      ['native', 'base', 100],
      ['native', 'guest walk', 50],
      ['native', 'software', 50],
      ['native', 'exits', 0],
      ['shadow', 'base', 100],
      ['shadow', 'guest walk', 50],
      ['shadow', 'software', 50],
      ['shadow', 'exits', 800],
    ]);
    expect(data.findings[1]).toBe('Shadow takes 5.00 times as many (most for exits, 80.00 % of it).');
    expect((await reportPage(data, 'scenario')).match(/<script>alert/g)).toBeNull();
  });

  it('is a scenario over several values of its parameters', () => {
    const results = [1, 10, 100].map((forks) => ({ ...SCENARIO, parameters: { forks } }));
    const data = json({ kind: 'scenario-sweep', name: 'n', vary: { forks: [1, 10, 100] }, results });
    expect(kinds(data.figures)[0]).toBe('curve forks');
    expect(data.findings).toEqual(['Fewest cycles: native in 3 of 3 combinations.']);
  });

  it('is a reproduction', async () => {
    const data = json(REPRODUCTION);
    const [figure] = data.figures;
    const drawn = draw(figure, data.rows, firstChoice(figure, data.rows));
    if (!('svg' in drawn)) throw new Error(drawn.why);
    expect(drawn.shown.values).toEqual([
      ['C01', 1],
      ['C08', 2],
    ]);
    expect(data.findings).toEqual([
      'Of 3 claims: 1 reproduced, 1 differs, 1 not modelled.',
      'Not as published: C08 (ours 4.4, the paper’s 2.2).',
    ]);
    expect(data.table.rows).toHaveLength(3);
  });

  it.each([
    ['2.22', 2.22],
    ['51 %', 51],
    ['≈ 4.4', 4.4],
    ['12,733 cycles', 12733],
    ['2.1 to 2.5', undefined],
    ['24, 19, 19', undefined],
    ['gups first', undefined],
    [undefined, undefined],
  ])('has a published number in %s: %s', (paper, expected) => {
    expect(publishedNumber(paper)).toBe(expected);
  });

  it.each([
    ['', 'it.json is empty.'],
    ['{', 'it.json is no JSON: '],
    ['[]', 'it.json holds a list, and a result is an object.'],
    ['{"a":1}', 'it.json is JSON, but no result of run, compare, scenario or reproduce.'],
    ['{"axes":[],"passes":[]}', 'It is the plan of a sweep: give the folder that it is in.'],
    [
      '{"kind":"scenario","platforms":[]}',
      'looks like a result of scenario, but name is not as it should be',
    ],
    ['{"config":{},"counters":{}}', 'looks like a result of run, but config.machine is not as it should be'],
  ])('is refused where it is none: %s', (text, message) => {
    expect(() => jsonReport(text, 'it.json')).toThrow(
      expect.objectContaining({ code: 'report.input', message: expect.stringContaining(message) }),
    );
  });
});

describe('files', () => {
  it('has every slice of a figure as SVG and as PNG of twice its size', async () => {
    const { figures, rows } = sweepReport(at('real'));
    const some = rows.filter(({ config_stlbWays: ways, workload }) => ways === 4 && workload === 'uniform');
    const square = figures.filter(({ kind }) => kind === 'square');
    const { files, notes } = await writeFigures({ figures: square, rows: some }, at('figures'));
    const names = readdirSync(at('figures'));
    expect(notes).toEqual([]);
    expect(files.map((file) => path.basename(file)).sort()).toEqual(names.sort());
    // A slice for each of 5 sizes.
    expect(
      names.filter((name) => /^square_workload-uniform_STLB-entries-\d+_STLB-ways-4\.svg$/.test(name)),
    ).toHaveLength(5);
    expect(names).toHaveLength(10);
    for (const name of names.filter((it) => it.endsWith('.png'))) {
      const png = readFileSync(path.join(at('figures'), name));
      const svg = readFileSync(path.join(at('figures'), name.replace(/png$/, 'svg')), 'utf8');
      expect(png.subarray(1, 4).toString()).toBe('PNG');
      const width = Number(/width="([\d.]+)"/.exec(svg)![1]);
      expect(Math.abs(png.readUInt32BE(16) - 2 * width)).toBeLessThan(1);
    }
  }, 60_000);

  it('says which slices were left out, and never gives two the same name', async () => {
    const rows = gridRows(
      { e: [64, 128], w: Array.from({ length: 9 }, (_, index) => '?'.repeat(index)) },
      ({ e }) => ({
        config_stlbEntries: e,
        config_stlbWays: 4,
      }),
    );
    const varied = variedFields([axis('machine.stlb[0].entries', 'e'), axis('machine.other', 'w')], rows);
    const [curve] = chooseFigures({ varied, counters: 'tlb', rows });
    const { files, notes } = await writeFigures({ figures: [curve], rows }, at('many'), 3);
    expect(new Set(files).size).toBe(6);
    expect(notes[0]).toContain('the first 3 of 9 slices');
  }, 60_000);

  /** Runs the command in this process. */
  const command = async (...args: string[]): Promise<void> => {
    await makeProgram(new AbortController().signal).parseAsync(['node', 'nestwalk', ...args]);
  };

  it('go where the command says', async () => {
    await command('report', at('real'), '--quiet');
    expect(existsSync(at('real/report.html'))).toBe(true);
    writeFileSync(at('scenario.json'), JSON.stringify(SCENARIO));
    await command('report', at('scenario.json'), '--quiet', '--figures', at('scenario'));
    expect(existsSync(at('scenario.html'))).toBe(true);
    expect(readdirSync(at('scenario'))).toContain('exits.svg');
    await expect(command('report', at('nowhere'), '--quiet')).rejects.toMatchObject({ code: 'report.input' });
    mkdirSync(at('empty'));
    await expect(command('report', at('empty'), '--quiet')).rejects.toMatchObject({ code: 'sweep.none' });
    await expect(
      command('report', at('real'), '--quiet', '--out', at('real/report.html/x.html')),
    ).rejects.toMatchObject({ code: 'export.file' });
    await expect(
      command('report', at('scenario.json'), '--quiet', '--figures', at('scenario.json')),
    ).rejects.toMatchObject({
      code: 'export.file',
      message: expect.stringContaining('a file of that name is in the way'),
    });
  });

  it('stay below 2 MiB for 1,000 cells whose every counter differs', async () => {
    const one = await simulate({ ...SMALL_RUN, machine: 'skylake-sp', accesses: 20_000, footprint: '64MiB' });
    const { flatten } = await import('../src/results/flat.ts');
    const counters = Object.fromEntries(
      Object.entries(flatten(one.counters)).filter(([, value]) => value > 0),
    );
    expect(Object.keys(counters).length).toBeGreaterThan(25);
    const plan = await planned(
      at('thousand'),
      'seed: 1\naccesses: 1e6\nfootprint: 1GiB\nworkload: uniform\npaging: {mode: nested}\nmachine: {preset: skylake-sp, stlb: [{entries: 64, ways: 4, sizes: [4KiB]}]}\n' +
        'vary:\n  machine.stlb[0].entries: {from: 16, to: 8192, times: 2}\n  machine.stlb[0].ways: [1, 2, 4, 8, 16]\n  paging.guestPage: [4KiB, 2MiB]\n  paging.nestedPage: [4KiB, 2MiB]\n  seed: [1, 2, 3, 4, 5]\n',
    );
    expect(plan.cells).toHaveLength(1000);
    makeUp(at('thousand'), plan, ({ index }) => ({
      counters: Object.fromEntries(
        Object.entries(counters).map(([name, value], column) => [
          name,
          100_000 * value + 97 * index + column,
        ]),
      ),
      events: {},
    }));
    const text = await reportPage(sweepReport(at('thousand')), 'thousand');
    expect(Buffer.byteLength(text)).toBeLessThan(2 * 2 ** 20);
  }, 60_000);
});

describe('axes', () => {
  it('are what the table says is varied', () => {
    const table = sweepTable(readPlan(at('real')), readJournal(at('real')));
    expect(axesOf(table).map(({ path: name }) => name)).toEqual(
      readPlan(at('real')).axes.map(({ path: name }) => name),
    );
  });
});
