/** The live page: takes what the server sends, and shows how the sweep stands. */

import { chosenRows, firstChoice, isDone, labelOf, measureOf, seriesOf, shown, slicesOf } from './figure.js';
import { drawFigure } from './figures.js';
import { count, countOf, duration, fine, rate } from './format.js';
import { hideTip, takeTitles, workTips } from './tips.js';

/**
 * @typedef {import('./figure.js').Choice} Choice
 * @typedef {import('./figure.js').Field} Field
 * @typedef {import('./figure.js').Figure} Figure
 * @typedef {import('./figure.js').Row} Row
 * @typedef {import('./figure.js').Value} Value
 */

/**
 * @typedef {{ generation: string, name: string, cells: number, axes: { path: string, values: number }[], columns: string[],
 *   rows: Value[][], measures: string[], figures: Figure[], invalid: { index: number, reason: string }[] }} LivePlan
 * @typedef {[index: number, time: number, outcome: Value[] | string]} LiveCell
 * @typedef {{ phase: string, cells: number, done: number, failed: number, invalid: number, missing: number, began?: number,
 *   heard?: number, cellsPerSecond?: number, accessesPerSecond?: number, secondsLeft?: number,
 *   passes: { host: string, pid: number, cells: number, heard: number }[], damaged: number, trouble: string[] }} LiveStatus
 */

/** The library, which a script before this one has put there. */
const { Plot } = /** @type {{ Plot: typeof import('@observablehq/plot') }} */ (
  /** @type {unknown} */ (globalThis)
);

/** Most points of the curve over time. */
const MOST_POINTS = 400;
/** Cells in the table of the last ones, failures listed under one reason, and kinds of failures. */
const LATEST_CELLS = 12;
const MOST_FAILURES = 50;
const MOST_REASONS = 20;
/** Columns of measures in that table. */
const LATEST_MEASURES = 3;
/** Letters of a varied value. */
const MOST_VALUE_LETTERS = 60;
/** Milliseconds between two drawings, and how many times as long as the last one took. */
const DRAW_MS = 500;
const DRAW_REST = 6;

const PHASES = {
  waiting: 'Waiting: there is no sweep in this folder yet.',
  planned: 'Planned: nothing has begun yet.',
  running: 'Running.',
  stopped:
    'Stopped: cells are missing, and nothing is at work on them here. The command that began the sweep goes on with it.',
  finished: 'Finished.',
  unreadable: 'The folder cannot be read.',
};

/** @type {LivePlan | undefined} */
let plan;
/** @type {LiveStatus | undefined} */
let status;
/** The rows of the plan, filled with results as they come. @type {Row[]} */
let rows = [];
/** Every cell that was told of, in order. @type {LiveCell[]} */
let told = [];
/** @type {Figure | undefined} */
let figure;
/** @type {Choice | undefined} */
let choice;
/** Whether the reader has chosen: until then the choice follows the results. */
let isChosen = false;

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes] `text` is the content
 * @param {Node[]} [children]
 */
function build(tag, attributes = {}, children = []) {
  const built = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') built.textContent = value;
    else built.setAttribute(name, value);
  }
  built.append(...children);
  return built;
}

/** @param {string} id @param {string} content */
function write(id, content) {
  const at = part(id);
  if (at.textContent !== content) at.textContent = content;
}

/** @param {string} value */
const cut = (value) =>
  value.length > MOST_VALUE_LETTERS ? `${value.slice(0, MOST_VALUE_LETTERS - 1)}…` : value;

// What comes from the server.

/** @param {LivePlan} next */
function takePlan(next) {
  plan = next;
  rows = next.rows.map((values) => ({
    ...Object.fromEntries(next.columns.map((column, at) => [column, values[at]])),
    status: 'missing',
  }));
  for (const { index, reason } of next.invalid) Object.assign(rows[index], { status: 'invalid', reason });
  told = [];
  figure = next.figures[0];
  choice = undefined;
  isChosen = false;
  const axes = next.axes.map(({ path, values }) => `${path} (${count(values)})`);
  write('axes', axes.length > 0 ? `Varied: ${axes.join(', ')}` : 'Nothing is varied.');
  part('results').hidden = figure === undefined;
}

/** @param {LiveCell[]} cells */
function takeCells(cells) {
  for (const cell of cells) {
    const [index, , outcome] = cell;
    told.push(cell);
    if (typeof outcome === 'string') Object.assign(rows[index], { status: 'failed', reason: outcome });
    else {
      const values = Object.fromEntries((plan?.measures ?? []).map((column, at) => [column, outcome[at]]));
      Object.assign(rows[index], values, { status: 'done', reason: null });
    }
  }
}

// How it stands.

/** @param {number} ms */
const moment = (ms) => {
  const date = new Date(ms);
  const isToday = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(
    'en-GB',
    isToday ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' },
  );
};

/** A time span without parts of seconds. @param {number} ms */
const span = (ms) =>
  ms < 10_000 ? `${Math.max(0, Math.round(ms / 1000))} s` : duration(Math.round(ms / 1000));

/** @param {number} perSecond cells */
function cellRate(perSecond) {
  if (perSecond >= 1) return `${fine(perSecond)} cells/s`;
  return perSecond * 60 >= 1 ? `${fine(perSecond * 60)} cells/min` : `${fine(perSecond * 3600)} cells/h`;
}

/** @param {LiveStatus} now */
function phaseText({ phase, failed, heard, passes }) {
  const text = PHASES[/** @type {keyof typeof PHASES} */ (phase)] ?? phase;
  if (phase === 'finished' && failed > 0)
    return `Finished, with ${count(failed)} failed: --retry-failed runs them again.`;
  if (phase === 'running' && passes.length > 0) {
    const cells = passes.reduce((sum, pass) => sum + pass.cells, 0);
    return `Running: ${countOf(cells, 'cell')} under way in ${countOf(passes.length, 'process', 'processes')}.`;
  }
  return phase === 'stopped' && heard ? `${text} Last heard of at ${moment(heard)}.` : text;
}

/** @param {LiveStatus} now */
function showStatus(now) {
  status = now;
  const line = part('phase');
  if (line.className !== now.phase || line.dataset.text !== phaseText(now)) {
    line.className = now.phase;
    line.dataset.text = phaseText(now);
    line.replaceChildren(build('i', { 'aria-hidden': 'true' }), document.createTextNode(phaseText(now)));
  }
  const share = now.cells > 0 ? Math.floor((100 * (now.done + now.failed)) / now.cells) : 0;
  document.title = `${now.phase === 'finished' ? 'finished' : `${share} %`} · ${plan?.name ?? ''}`;
  const parts = [
    `${count(now.done)} of ${count(now.cells)} cells done`,
    ...(now.failed > 0 ? [`${count(now.failed)} failed`] : []),
    ...(now.invalid > 0 ? [`${count(now.invalid)} invalid`] : []),
    ...(now.missing > 0 ? [`${count(now.missing)} to go`] : []),
  ];
  write('counts', plan ? parts.join(', ') : '');
  const bar = part('bar');
  bar.setAttribute('aria-valuemax', String(now.cells));
  bar.setAttribute('aria-valuenow', String(now.done + now.failed));
  bar.setAttribute('aria-valuetext', parts.join(', '));
  const sizes = [now.done, now.failed, now.invalid];
  [...bar.children].forEach((piece, at) => {
    /** @type {HTMLElement} */ (piece).style.width = `${now.cells > 0 ? (100 * sizes[at]) / now.cells : 0}%`;
  });
  const trouble = [
    ...now.trouble,
    ...(now.damaged > 0
      ? [`${count(now.damaged)} lines of the journal are damaged; their cells count as not done.`]
      : []),
  ];
  part('trouble').hidden = trouble.length === 0;
  part('trouble').replaceChildren(...trouble.map((text) => build('p', { text })));
  showFacts();
}

/** Tiles with what changes by itself, too. */
function showFacts() {
  if (!status) return;
  const { phase, began, heard, cellsPerSecond, accessesPerSecond, secondsLeft, passes } = status;
  const isRunning = phase === 'running';
  /** @type {[string, string][]} */
  const facts = [];
  if (secondsLeft !== undefined && isRunning) {
    facts.push(
      ['time left, about', span(1000 * secondsLeft)],
      ['ends about', moment(Date.now() + 1000 * secondsLeft)],
    );
  } else if (isRunning) facts.push(['time left', 'after the first cells']);
  if (cellsPerSecond !== undefined)
    facts.push([isRunning ? 'rate' : 'rate of the last session', cellRate(cellsPerSecond)]);
  if (accessesPerSecond) facts.push(['accesses', rate(accessesPerSecond)]);
  if (began !== undefined) {
    const end = isRunning ? Date.now() : heard;
    facts.push([
      isRunning ? 'running for' : 'last session took',
      end && end > began ? span(end - began) : '–',
    ]);
  }
  if (heard !== undefined)
    facts.push(['last heard of', isRunning ? `${span(Date.now() - heard)} ago` : moment(heard)]);
  const hosts = new Set(passes.map(({ host }) => host));
  if (hosts.size > 1) facts.push(['machines', count(hosts.size)]);
  part('facts').replaceChildren(
    ...facts.map(([name, value]) =>
      build('div', {}, [build('dt', { text: name }), build('dd', { text: value })]),
    ),
  );
}

// What is finished.

/** Runs from 0 upwards over time, with as many points as a drawing needs. */
function curvePoints() {
  /** @type {{ time: Date, done: number, failed: number }[]} */
  const points = [];
  let done = 0;
  let failed = 0;
  /** @type {Map<number, string>} */
  const known = new Map();
  const every = Math.max(1, Math.floor(told.length / MOST_POINTS));
  told.forEach(([index, time, outcome], at) => {
    const next = typeof outcome === 'string' ? 'failed' : 'done';
    const before = known.get(index);
    if (before === 'failed') failed -= 1;
    if (before !== 'done') {
      if (next === 'done') done += 1;
      else failed += 1;
      known.set(index, next);
    }
    if (at % every === 0 || at === told.length - 1) {
      if (points.at(-1)?.time.getTime() === time) points.pop();
      points.push({ time: new Date(time), done, failed });
    }
  });
  return points;
}

function drawCurveOverTime() {
  const points = curvePoints();
  part('time').hidden = points.length === 0;
  if (points.length === 0 || !plan) return;
  const [first] = points;
  const began =
    status?.began !== undefined && status.began < first.time.getTime() ? new Date(status.began) : first.time;
  const end = status?.phase === 'running' ? new Date() : points[points.length - 1].time;
  const last = points[points.length - 1];
  const all = [{ time: began, done: 0, failed: 0 }, ...points, { ...last, time: end }];
  const total = plan.cells - plan.invalid.length;
  const width = widthOf('curve');
  const svg = Plot.plot({
    width,
    height: Math.max(180, Math.min(260, width * 0.35)),
    marginLeft: 56,
    marginRight: 16,
    style: 'font: 12px system-ui, sans-serif; background: none',
    x: { type: 'time', label: null },
    y: { domain: [0, total], label: 'cells', grid: true, tickFormat: count, nice: true },
    marks: [
      Plot.ruleY([total], { stroke: 'var(--soft)', strokeDasharray: '4 4' }),
      // With y1 and y2, since y alone would pile up the points of one moment.
      Plot.areaY(all, {
        x: 'time',
        y1: 0,
        y2: 'done',
        fill: 'var(--s1)',
        fillOpacity: 0.18,
        curve: 'step-after',
      }),
      Plot.lineY(all, { x: 'time', y: 'done', stroke: 'var(--s1)', strokeWidth: 2, curve: 'step-after' }),
      ...(last.failed > 0
        ? [
            Plot.lineY(all, {
              x: 'time',
              y: 'failed',
              stroke: 'var(--bad)',
              strokeWidth: 2,
              curve: 'step-after',
            }),
          ]
        : []),
      Plot.ruleY([0]),
    ],
  });
  svg.setAttribute('role', 'img');
  svg.setAttribute(
    'aria-label',
    `Cells done over time: ${count(last.done)} of ${count(total)}, ${count(last.failed)} failed.`,
  );
  part('curve').replaceChildren(svg);
}

/** @param {string} id */
const widthOf = (id) =>
  Math.max(280, Math.min(1080, Math.floor(part(id).getBoundingClientRect().width) || 760));

function drawResult() {
  if (!figure) return;
  const stale = choice !== undefined && !isChosen && !chosenRows(figure, rows, choice).some(isDone);
  if (choice === undefined || (stale && rows.some(isDone))) {
    choice = firstChoice(figure, rows);
    showControls();
  }
  write('resultTitle', figure.title);
  write('resultAbout', figure.about);
  const drawn = drawFigure(figure, rows, choice, { Plot, document, width: widthOf('result') });
  hideTip();
  part('result').replaceChildren(
    'svg' in drawn ? drawn.svg : build('p', { class: 'soft', text: `Nothing to draw yet: ${drawn.why}.` }),
  );
  takeTitles(part('result'));
}

/**
 * A list to choose from.
 * @param {string} label @param {readonly (readonly [string, string])[]} options value and text @param {string} chosen
 * @param {(value: string) => void} act
 */
function picker(label, options, chosen, act) {
  const select = /** @type {HTMLSelectElement} */ (
    build(
      'select',
      {},
      options.map(([value, text]) =>
        build('option', { value, text: cut(text), ...(value === chosen ? { selected: '' } : {}) }),
      ),
    )
  );
  select.addEventListener('change', () => {
    isChosen = true;
    act(select.value);
    showControls();
    drawResult();
  });
  return build('label', {}, [document.createTextNode(cut(label)), select]);
}

function showControls() {
  if (!plan || !figure || !choice) return;
  const [now, picked] = [figure, choice];
  const { figures } = plan;
  /** @type {Node[]} */
  const pickers = [];
  if (figures.length > 1)
    pickers.push(
      picker(
        'figure',
        figures.map(({ id, title }) => [id, title]),
        now.id,
        (id) => {
          figure = figures.find((other) => other.id === id) ?? now;
          choice = firstChoice(figure, rows);
        },
      ),
    );
  if (now.measures.length > 1)
    pickers.push(
      picker(
        'shows',
        now.measures.map((field) => [field.column, labelOf(field)]),
        measureOf(now, picked).column,
        (column) => {
          picked.measure = column;
        },
      ),
    );
  if (now.series && now.series.length > 1)
    pickers.push(
      picker(
        'colour',
        now.series.map((field) => [field.column, field.label]),
        seriesOf(now, picked)?.column ?? '',
        (column) => {
          picked.series = column;
          for (const { column: slice, values = [] } of slicesOf(now, picked))
            picked.slice[slice] ??= values[0] ?? null;
        },
      ),
    );
  for (const field of slicesOf(now, picked)) {
    const values = field.values ?? [];
    const at = values.indexOf(picked.slice[field.column] ?? null);
    pickers.push(
      picker(
        field.label,
        values.map((value, place) => [String(place), shown(field, value)]),
        String(at),
        (place) => {
          picked.slice[field.column] = values[Number(place)] ?? null;
        },
      ),
    );
  }
  part('controls').replaceChildren(...pickers);
}

/** A cell in words: its place in the grid, and its varied values. @param {number} index */
function cellText(index) {
  const values = axisFields().map(({ path, column }) => `${path} ${cut(String(rows[index][column] ?? '–'))}`);
  return [`cell ${index}`, ...values].join(', ');
}

/** The varied fields, with their columns: these stand first, behind the cell's place and name. */
const axisFields = () =>
  (plan?.axes ?? []).map(({ path }, at) => ({ path, column: plan?.columns[2 + at] ?? '' }));

function showFailures() {
  /** @type {Map<string, number[]>} */
  const reasons = new Map();
  rows.forEach(({ status: outcome, reason }, index) => {
    if (outcome !== 'failed' && outcome !== 'invalid') return;
    const why = `${outcome}: ${reason}`;
    const cells = reasons.get(why);
    if (cells) cells.push(index);
    else reasons.set(why, [index]);
  });
  part('failures').hidden = reasons.size === 0;
  const open = new Set(
    [...part('failed').querySelectorAll('details[open]')].map((item) => item.getAttribute('data-why')),
  );
  const sorted = [...reasons].sort((a, b) => b[1].length - a[1].length);
  const items = sorted.slice(0, MOST_REASONS).map(([why, cells]) => {
    const shownCells = cells.slice(0, MOST_FAILURES).map((index) => build('li', { text: cellText(index) }));
    if (cells.length > MOST_FAILURES)
      shownCells.push(build('li', { text: `… and ${count(cells.length - MOST_FAILURES)} more` }));
    return build('details', { 'data-why': why, ...(open.has(why) ? { open: '' } : {}) }, [
      build('summary', { text: `${count(cells.length)} × ${why}` }),
      build('ul', {}, shownCells),
    ]);
  });
  if (sorted.length > MOST_REASONS)
    items.push(build('p', { text: `… and ${count(sorted.length - MOST_REASONS)} more reasons` }));
  part('failed').replaceChildren(...items);
}

function showLatest() {
  const done = told
    .filter(([, , outcome]) => typeof outcome !== 'string')
    .slice(-LATEST_CELLS)
    .reverse();
  part('latest').hidden = done.length === 0;
  if (!plan || done.length === 0) return;
  const axes = axisFields();
  const measures = (figure?.measures ?? []).slice(0, LATEST_MEASURES);
  const heads = [
    'cell',
    'at',
    ...axes.map(({ path }) => path.replace(/^(machine|paging)\./, '')),
    ...measures.map(labelOf),
  ];
  part('latestHead').replaceChildren(
    build(
      'tr',
      {},
      heads.map((text, at) =>
        build('th', {
          scope: 'col',
          text,
          ...(at === 0 || at >= 2 + axes.length ? { class: 'number' } : {}),
        }),
      ),
    ),
  );
  part('latestRows').replaceChildren(
    ...done.map(([index, time]) =>
      build('tr', {}, [
        build('td', { class: 'number', text: count(index) }),
        build('td', { text: moment(time) }),
        ...axes.map(({ column }) => build('td', { text: cut(String(rows[index][column] ?? '–')) })),
        ...measures.map((field) =>
          build('td', { class: 'number', text: shown(field, rows[index][field.column]) }),
        ),
      ]),
    ),
  );
}

let isWaiting = false;
let lastDrawn = 0;
let lastTook = 0;

/** Draws soon, but no more often than the machine bears. */
function drawSoon() {
  if (isWaiting) return;
  isWaiting = true;
  const rest = Math.max(DRAW_MS, lastTook * DRAW_REST) - (performance.now() - lastDrawn);
  setTimeout(
    () => {
      isWaiting = false;
      const start = performance.now();
      drawResult();
      drawCurveOverTime();
      showFailures();
      showLatest();
      lastDrawn = performance.now();
      lastTook = lastDrawn - start;
    },
    Math.max(0, rest),
  );
}

// The stream. The browser itself asks again when it breaks, and says what it had last.

function follow() {
  const events = new EventSource('events');
  /** @param {string} name @param {(data: any) => void} take */
  const on = (name, take) =>
    events.addEventListener(name, (event) => {
      take(JSON.parse(event.data));
      if (name !== 'status') drawSoon();
    });
  on('plan', takePlan);
  on('cells', takeCells);
  on('status', (next) => {
    const before = status?.phase;
    showStatus(next);
    if (before !== next.phase) drawSoon();
  });
  events.addEventListener('open', () => {
    part('lost').hidden = true;
  });
  events.addEventListener('error', () => {
    part('lost').hidden = false;
    write(
      'lost',
      'The server does not answer: what is shown is as of then. This page tries again by itself; nestwalk serve starts it again.',
    );
    // After an answer that is no stream the browser gives up; this page does not.
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  });
}

addEventListener('resize', drawSoon);
setInterval(showFacts, 1000);
// The curve goes on while nothing is finished.
setInterval(() => status?.phase === 'running' && drawSoon(), 5000);
workTips(part('result'));
follow();
