/** A report as one self-contained page: it reads without scripts, and with them answers questions. */
import { packed } from '../browser/columns.js';
import {
  BEHIND_ROWS,
  type Figure,
  firstChoice,
  type Row,
  type Shown,
  shortened,
  shown,
  slicesOf,
} from '../browser/figure.js';
import { count } from '../browser/format.js';
import { FIRST_ROWS, MOST_CELL_LETTERS, type TableColumn } from '../browser/table.js';
import { type Draw, loadDraw } from '../figures/render.ts';
import { type Html, html, page, raw } from '../page.ts';
import { type ReportData, rowsOf } from './data.ts';

/** CSS of the report beside the look of all pages. */
const REPORT_STYLE = `
.findings p { font-size: 1.08rem; max-width: 80ch; }
.notice { border-inline-start: 4px solid var(--focus); padding: .5rem .8rem; background: var(--raised); border-radius: 0 6px 6px 0; max-width: 80ch; }
.figure { display: grid; grid-template-columns: minmax(0, 760px) minmax(13rem, 1fr); gap: .4rem 1.6rem; margin: 0 0 1.4rem; align-items: start; }
.figure > h3 { grid-column: 1 / -1; margin: 0; font-size: 1.08rem; }
.figure .drawing { min-width: 0; overflow-x: auto; }
.figure .beside { display: grid; gap: .7rem; align-content: start; }
.figure .beside p { margin: 0; font-size: .9rem; color: var(--soft); }
.figure .chosen:empty { display: none; }
.figure .chosen { color: var(--ink) !important; font-weight: 600; }
@media screen { [data-ready] .figure .chosen { display: none; } }
.figure .behind { grid-column: 1 / -1; }
.figure .behind .scroll { max-height: 26rem; overflow: auto; margin-top: .5rem; }
.controls { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .5rem .6rem; align-items: end; } .controls[hidden], .saves[hidden], .tools[hidden] { display: none; }
.choice { display: grid; gap: .1rem; font-size: .8rem; min-width: 0; } .choice.wide { grid-column: 1 / -1; }
.choice span { overflow-wrap: anywhere; color: var(--soft); } .choice select { width: 100%; min-width: 0; }
.saves { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; font-size: .88rem; }
.nothing { padding: 2rem 1rem; border: 1px dashed var(--line); border-radius: 8px; color: var(--soft); }
.lit { stroke: var(--ink) !important; stroke-width: 2px !important; }
[data-tip] { cursor: default; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; margin-bottom: .6rem; }
.tools input[type="search"] { flex: 1 1 18rem; max-width: 34rem; }
.chooser { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .1rem .8rem; max-height: 18rem; overflow: auto; font-size: .85rem; padding: .5rem 0; }
.chooser label { overflow-wrap: anywhere; }
#cells .scroll { width: fit-content; max-width: 100%; max-height: 44rem; overflow: auto; border: 1px solid var(--line); border-radius: 8px; }
#cells thead th { position: sticky; top: 0; z-index: 1; }
#cells caption { padding: .5rem .7rem; }
.sort { background: none; border: 0; padding: 0; font-weight: 600; text-align: inherit; color: inherit; white-space: nowrap; }
th[aria-sort="ascending"] .sort::after { content: " ▲"; } th[aria-sort="descending"] .sort::after { content: " ▼"; }
.more { margin-top: .6rem; }
pre { overflow-x: auto; background: var(--raised); padding: .8rem; border-radius: 8px; font-size: .8rem; max-height: 30rem; white-space: pre-wrap; overflow-wrap: anywhere; }
td { max-width: 26rem; overflow-wrap: break-word; }
@media (max-width: 62rem) { .figure { grid-template-columns: minmax(0, 1fr); } }
@media print {
  .figure { display: block; border: 0; border-top: 1px solid var(--line); border-radius: 0; padding: .6rem 0; }
  .figure .behind .scroll, #cells .scroll, pre, .chooser { max-height: none; overflow: visible; }
  #cells thead th { position: static; white-space: normal; } .sort { white-space: normal; overflow-wrap: anywhere; }
  #cells .scroll { width: auto; border: 0; } #cells table { font-size: 8px; } #cells th, #cells td { padding: .15rem .35rem; overflow-wrap: anywhere; }
  details:not([open]) { display: none; }
}
`;

/** The table behind a figure. The page's script draws the same. */
const behindTable = ({ heads, numeric, rows, caption }: Shown): Html => html`<table>
<caption>${caption}</caption>
<thead><tr>${heads.map((head, at) => html`<th scope="col"${numeric[at] && raw(' class="number"')}>${head}</th>`)}</tr></thead>
<tbody>${rows.slice(0, BEHIND_ROWS).map((row) => html`<tr>${row.map((cell, at) => html`<td${numeric[at] && raw(' class="number"')}>${cell}</td>`)}</tr>\n`)}</tbody>
</table>`;

/** One figure as it is without scripts: its first slice. */
function figureSection(figure: Figure, rows: readonly Row[], draw: Draw): Html {
  const choice = firstChoice(figure, rows);
  const drawn = draw(figure, rows, choice);
  const slices = slicesOf(figure, choice)
    .map((field) => `${field.label}: ${shortened(shown(field, choice.slice[field.column]), 60)}`)
    .join(' · ');
  const [drawing, behind] =
    'svg' in drawn
      ? [raw(drawn.svg), behindTable(drawn.shown)]
      : [html`<p class="nothing">Nothing to draw: ${drawn.why}.</p>`, null];
  const label = `${figure.title}: arrow keys step through the values`;
  return html`<figure class="card figure" data-figure="${figure.id}" aria-labelledby="title-${figure.id}">
<h3 id="title-${figure.id}">${figure.title}</h3>
<div class="drawing" tabindex="0" role="group" aria-label="${label}">${drawing}</div>
<figcaption class="beside">
<p class="chosen">${slices}</p>
<p>${figure.about}</p>
<div class="controls no-print" hidden></div>
<div class="saves no-print" hidden><span class="soft">Save as</span></div>
</figcaption>
<details class="behind"><summary>The numbers behind it</summary><div class="scroll" tabindex="0">${behind}</div></details>
</figure>
`;
}

/** Columns that figures draw from. */
function columnsOfFigures(figures: readonly Figure[]): Set<string> {
  const fields = figures.flatMap(({ measures, x, y, series = [], facet, slices }) => [
    ...measures,
    ...[x, y, facet].filter((field) => field !== undefined),
    ...series,
    ...slices,
  ]);
  const others = figures.flatMap(({ parts = [], per }) => [
    ...parts.map(({ column }) => column),
    ...(per ? [per] : []),
  ]);
  return new Set([...fields.map(({ column }) => column), ...others]);
}

/** Columns that every figure may look at. */
const ALWAYS = ['cell', 'index', 'status', 'reason', 'verdict', 'tip', 'bandFrom', 'bandTo'];

const formatOf = (name: string, type: string): TableColumn['format'] => {
  if (type === 'VARCHAR') return 'text';
  if (/^missRatio/.test(name)) return 'percent';
  if (/(Bytes|^tableBytes_.*|^reachBytes_.*)$/.test(name)) return 'bytes';
  return type === 'UBIGINT' ? 'count' : 'fine';
};

/** What the page's script works with. */
function contentOf(data: ReportData, file: string): object {
  const { table, rows, figures, shown: first } = data;
  const labels = new Map(first.map(({ column, label }) => [column, label]));
  const places = table.columns.map(({ name, type }, at) =>
    packed(
      { name, type },
      table.rows.map((row) => row[at]),
    ),
  );
  const needed = columnsOfFigures(figures);
  // Figures of most reports are drawn from the rows of the table, with a few columns beside.
  const isSame = rows.length === table.rows.length;
  const known = new Set(isSame ? table.columns.map(({ name }) => name) : []);
  const made = [...needed, ...(isSame ? [] : ALWAYS)]
    .filter((name) => !known.has(name) && rows.some((row) => row[name] !== undefined))
    .map((name) =>
      packed(
        { name, type: 'VARCHAR', made: true },
        rows.map((row) => row[name] ?? null),
      ),
    );
  const varying = places.filter(({ values }) => values !== undefined || table.rows.length === 1);
  return {
    columns: isSame ? [...places, ...made] : places,
    count: table.rows.length,
    ...(isSame ? {} : { drawn: made }),
    drawnCount: rows.length,
    figures,
    table: [
      ...first.flatMap(({ column }) => table.columns.filter(({ name }) => name === column)),
      ...varying.filter(({ name }) => !labels.has(name)),
    ].map(
      ({ name, type }): TableColumn => ({
        name,
        label: labels.get(name) ?? name,
        numeric: type !== 'VARCHAR',
        format: formatOf(name, type),
      }),
    ),
    visible: [...labels.keys()],
    file,
  };
}

/** The table of all cells: its first rows, which the page's script takes over. */
function cellsSection({ table, shown: first, rowName }: ReportData): Html {
  const columns = first.flatMap(({ column, label }) => {
    const found = table.columns.find(({ name }) => name === column);
    return found
      ? [{ label, column, numeric: found.type !== 'VARCHAR', format: formatOf(column, found.type) }]
      : [];
  });
  const all = rowsOf(table);
  const some = all.slice(0, FIRST_ROWS);
  const left = all.length - some.length;
  return html`<section id="cells" aria-labelledby="cells-title">
<h2 id="cells-title">${all.length === 1 ? `The ${rowName}` : `All ${rowName}s`}</h2>
<div class="tools no-print" hidden>
<input type="search" aria-label="Filter: words, or conditions such as ways=8 or miss<10%" placeholder="Filter: words, or conditions such as ways=8 miss&lt;10%">
<span class="counted soft" role="status"></span>
<span class="saves"></span>
</div>
<details class="no-print"><summary>Columns</summary><div class="chooser"></div></details>
<div class="scroll" tabindex="0" role="region" aria-label="Table of all ${rowName}s">
<table>
<caption class="visually-hidden">All ${rowName}s${left > 0 && `, the first ${count(some.length)} of ${count(all.length)}`}</caption>
<thead><tr>${columns.map(({ label, numeric }) => html`<th scope="col"${numeric && raw(' class="number"')}>${label}</th>`)}</tr></thead>
<tbody>${some.map((row) => html`<tr>${columns.map((column) => html`<td${column.numeric ? raw(' class="number"') : raw(' dir="auto"')}>${shortened(shown(column, row[column.column]), MOST_CELL_LETTERS)}</td>`)}</tr>\n`)}</tbody>
</table></div>
<button type="button" class="more no-print" hidden>Show more</button>
${left > 0 && html`<noscript><p class="soft">The first ${count(some.length)} of ${count(all.length)} rows; scripts show the others.</p></noscript>`}
</section>
`;
}

const MOST_PLACES = 20;

const placesText = (cells: readonly number[]): string => {
  const some = cells.slice(0, MOST_PLACES).map(count).join(', ');
  return cells.length > MOST_PLACES ? `${some}, … (${count(cells.length)})` : some;
};

const troublesSection = ({ troubles }: ReportData): Html | false =>
  troubles.length > 0 &&
  html`<section aria-labelledby="troubles-title">
<h2 id="troubles-title">Cells without results</h2>
<div class="scroll"><table><thead><tr><th scope="col">status</th><th scope="col">reason</th><th scope="col">cells</th></tr></thead>
<tbody>${troubles.map(({ status, reason, cells }) => html`<tr><td>${status}</td><td dir="auto">${reason}</td><td>${placesText(cells)}</td></tr>\n`)}</tbody></table></div>
</section>
`;

const provenanceSection = ({
  provenance,
  documents,
}: ReportData): Html => html`<section aria-labelledby="provenance-title">
<h2 id="provenance-title">Where this comes from</h2>
<dl class="facts">${provenance.map(([name, value]) => html`<dt>${name}</dt><dd dir="auto">${value}</dd>\n`)}</dl>
${documents.map(({ title, value }) => html`<details><summary>${title}</summary><pre>${JSON.stringify(value, null, 2)}</pre></details>\n`)}
</section>
`;

/**
 * A report as a page.
 * @param file name of the files that readers save, without ending
 * @throws {NestwalkError} `report.missing` when what draws figures cannot be loaded
 */
export async function reportPage(data: ReportData, file: string): Promise<string> {
  const draw = await loadDraw();
  const { title, about, findings, notices, figures, rows } = data;
  const body = html`<section class="findings" aria-label="Findings">
${findings.map((sentence) => html`<p>${sentence}</p>\n`)}
${notices.map((sentence) => html`<p class="notice">${sentence}</p>\n`)}
</section>
${figures.length > 0 && html`<section aria-label="Figures">${figures.map((figure) => figureSection(figure, rows, draw))}</section>\n`}
${cellsSection(data)}
${troublesSection(data)}
${provenanceSection(data)}`;
  return page({
    title: shortened(title, 120),
    lead: html`${about.map((line) => html`<p class="soft">${line}</p>`)}`,
    body,
    data: { report: contentOf(data, file) },
    libraries: ['d3', 'plot'],
    scripts: ['report'],
    style: REPORT_STYLE,
  });
}
