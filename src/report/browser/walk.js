/** Steps through walks that are told already: nothing is worked out here, all of it comes with the page. */
import { embedded } from './page.js';

/**
 * @typedef {{ kind: string, place?: string, step?: number, answer: string, source: string, spares: string[],
 *   entryHpa?: string, uses?: { space: 'gva' | 'gpa', address: string, highest: number, lowest: number }, references: number, cycles: number,
 *   sentence: string }} WalkEvent
 * @typedef {{ reached: string, faulty: boolean, rows: { row: string, title: string, gpa?: string }[],
 *   columns: { column: string, title: string }[], absent: Record<string, string>, events: WalkEvent[] }} WalkStory
 * @typedef {{ mode: string, title: string, about: string }} WalkMode
 * @typedef {{ mode: WalkMode, story: WalkStory | undefined, root: HTMLElement, references: HTMLElement, cycles: HTMLElement,
 *   meter: HTMLElement, end: HTMLElement, cells: Map<string, HTMLElement>, gpas: Map<string, HTMLElement> }} WalkPanel
 */

/**
 * @type {{ address: string, levels: { guest: number, nested: number }, modes: WalkMode[], states: Record<string, string>,
 *   walks: Record<string, WalkStory | { reason: string }> }}
 */
const gallery = embedded('walk');
const numbers = new Intl.NumberFormat('en-GB');

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes] `text` is the content
 * @param {Node[]} [children]
 */
function make(tag, attributes = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') made.textContent = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** What the switches say. @param {string} name */
function chosen(name) {
  const input = /** @type {HTMLInputElement | null} */ (
    document.querySelector(`input[name="${name}"]:checked`)
  );
  return input?.value ?? '';
}

/** @param {string} name @param {string | null} value */
function choose(name, value) {
  for (const input of document.querySelectorAll(`input[name="${name}"]`))
    if (input instanceof HTMLInputElement && input.value === value) input.checked = true;
}

/** @param {string} mode @returns {WalkStory | { reason: string }} */
function storyOf(mode) {
  const sizes = mode === 'native' ? [chosen('guest')] : [chosen('guest'), chosen('nested')];
  return gallery.walks[[mode, ...sizes, chosen('machine')].join(' ')] ?? { reason: 'There is no such walk.' };
}

/** @type {WalkPanel[]} */
let panels = [];
let position = 0;
/** @type {ReturnType<typeof setInterval> | undefined} */
let playing;

const lastPosition = () => Math.max(1, ...panels.map(({ story }) => (story ? story.events.length - 1 : 0)));
const toldPanel = () => panels.find(({ mode }) => mode.mode === chosen('told')) ?? panels[0];

/** Where a panel is: its own end, once the others go on. @param {WalkPanel} panel */
const reached = ({ story }) => (story ? Math.min(position, story.events.length - 1) : 0);

/** @param {WalkMode} mode @returns {WalkPanel} */
function makePanel(mode) {
  const found = storyOf(mode.mode);
  const story = 'events' in found ? found : undefined;
  const heading = make('button', { type: 'button', text: mode.title, title: 'Tell this walk' });
  heading.addEventListener('click', () => {
    choose('told', mode.mode);
    render();
  });
  const references = make('span');
  const cycles = make('span');
  const meter = make('i');
  const end = make('p', { class: 'end' });
  const wide = story !== undefined && story.rows.length > 1;
  const root = make('article', { class: `walk${wide ? ' wide' : ''}`, 'data-mode': mode.mode }, [
    make('h2', {}, [heading]),
    make('p', { class: 'about soft', text: mode.about }),
  ]);
  /** @type {WalkPanel} */
  const panel = { mode, story, root, references, cycles, meter, end, cells: new Map(), gpas: new Map() };
  if (story) {
    const cost = make('div', { class: 'cost' }, [references, cycles]);
    root.append(
      cost,
      make('div', { class: 'meter', 'aria-hidden': 'true' }, [meter]),
      makeMatrix(panel, story),
      end,
    );
  } else if ('reason' in found) {
    root.append(make('p', { text: `This configuration cannot have it: ${found.reason}` }));
  }
  return panel;
}

/** @param {WalkPanel} panel @param {WalkStory} story */
function makeMatrix(panel, story) {
  const isFlat = story.rows.length === 1;
  const corner = isFlat ? [] : [make('th', { text: 'guest ↓ nested →' })];
  const head = story.columns.map(({ column, title }) =>
    make('th', { scope: 'col' }, [make('b', { text: column }), make('small', { text: title })]),
  );
  const rows = story.rows.map(({ row, title }) => {
    const gpa = make('code');
    panel.gpas.set(row, gpa);
    const names = [make('b', { text: row }), make('small', { text: title }), gpa];
    const cells = story.columns.map(({ column }) => makeCell(panel, story, row, column));
    return make('tr', {}, [...(isFlat ? [] : [make('th', { scope: 'row' }, names)]), ...cells]);
  });
  return make('table', {}, [
    make('caption', { class: 'visually-hidden', text: `${panel.mode.title}: references by place` }),
    make('thead', {}, [make('tr', {}, [...corner, ...head])]),
    make('tbody', {}, rows),
  ]);
}

/** @param {WalkPanel} panel @param {WalkStory} story @param {string} row @param {string} column */
function makeCell(panel, story, row, column) {
  if (row === 'gPA' && column === 'g') return make('td', { class: 'none' });
  const place = `${row}/${column}`;
  const why = story.absent[place];
  const cell = make('td', { 'data-place': place, ...(why ? { class: 'absent', title: why } : {}) });
  if (why)
    cell.append(
      make('span', { 'aria-hidden': 'true', text: '–' }),
      make('span', { class: 'visually-hidden', text: why }),
    );
  else panel.cells.set(place, cell);
  return cell;
}

/** Shows a panel as it is at the position. @param {WalkPanel} panel */
function drawPanel(panel) {
  const { story, cells, gpas } = panel;
  panel.root.classList.toggle('told', panel === toldPanel());
  if (!story) return;
  const at = reached(panel);
  const now = story.events[at];
  const seen = story.events.slice(0, at + 1);
  const rows = new Set(
    seen.flatMap(({ place, spares }) => [place, ...spares]).map((place) => place?.split('/')[0]),
  );
  for (const { row, gpa } of story.rows) {
    const shown = gpas.get(row);
    if (shown) shown.textContent = gpa && rows.has(row) ? gpa : '';
  }
  for (const [place, cell] of cells) drawCell(cell, place, seen, now);
  panel.references.textContent = `${numbers.format(now.references)} ${now.references === 1 ? 'reference' : 'references'}`;
  panel.cycles.textContent = `${numbers.format(now.cycles)} walk cycles`;
  const most = Math.max(1, ...panels.map((other) => other.story?.events.at(-1)?.cycles ?? 0));
  panel.meter.style.width = `${(100 * now.cycles) / most}%`;
  panel.end.textContent = at === story.events.length - 1 ? `${story.reached}${besideNative(panel, now)}` : '';
  panel.end.classList.toggle('bad', story.faulty);
}

/** What a whole walk costs beside the native one. @param {WalkPanel} panel @param {WalkEvent} end */
function besideNative({ mode }, end) {
  const native = panels.find((other) => other.mode.mode === 'native')?.story?.events.at(-1)?.cycles;
  if (mode.mode === 'native' || !native || native === end.cycles) return '';
  return `, ${numbers.format(Math.round((10 * end.cycles) / native) / 10)} × the native cycles`;
}

/** @param {HTMLElement} cell @param {string} place @param {WalkEvent[]} seen @param {WalkEvent} now */
function drawCell(cell, place, seen, now) {
  const read = seen.filter((event) => event.place === place);
  const last = read.at(-1);
  const sparing = last ? undefined : seen.find(({ spares }) => spares.includes(place));
  const isNow = now.place === place || now.spares.includes(place);
  cell.className = place.endsWith('/g') ? 'guest' : '';
  cell.replaceChildren();
  if (last) {
    cell.classList.add('done', last.source);
    const steps = read.map(({ step }) => step).join(' ');
    cell.append(
      make('b', { text: steps }),
      make('span', { text: last.answer }),
      make('code', { text: last.entryHpa ?? '' }),
    );
    cell.title = `entry at HPA ${last.entryHpa}`;
  } else if (sparing) {
    cell.classList.add('spared', sparing.source);
    cell.append(
      make('span', { class: 'visually-hidden', text: 'spared by the ' }),
      make('span', { text: sparing.answer }),
    );
    cell.title = `spared by the ${sparing.answer}`;
  } else {
    cell.removeAttribute('title');
  }
  cell.classList.toggle('current', isNow);
  if (isNow) cell.setAttribute('aria-current', 'step');
  else cell.removeAttribute('aria-current');
}

/** Level whose entries map pages of a size. @param {string} size */
const leafLevelOf = (size) => ['4KiB', '2MiB', '1GiB'].indexOf(size) + 1;

/**
 * An address in its parts: an index for each level of the table, and the offset in the page.
 * @param {'gva' | 'gpa'} space @param {string} address @param {number} levels @param {number} leaf lowest level
 * @param {WalkEvent['uses']} uses
 */
function drawBits(space, address, levels, leaf, uses) {
  const isUsed = uses?.space === space;
  const value = BigInt(address);
  const parts = Array.from({ length: levels - leaf + 1 }, (_, at) => {
    const level = levels - at;
    const index = (value >> BigInt(12 + 9 * (level - 1))) & 511n;
    const isLit = isUsed && level <= uses.highest && level >= uses.lowest;
    return make('span', isLit ? { class: 'used' } : {}, [
      make('small', { text: `L${level} ` }),
      make('b', { text: String(index) }),
    ]);
  });
  const offset = value & ((1n << BigInt(12 + 9 * (leaf - 1))) - 1n);
  return make('div', isUsed ? {} : { class: 'idle' }, [
    make('span', { class: 'whole' }, [
      make('small', { text: `${space.toUpperCase()} ` }),
      make('code', { text: address }),
    ]),
    make('small', { text: '=' }),
    ...parts,
    make('span', {}, [
      make('small', { text: 'offset ' }),
      make('code', { text: `0x${offset.toString(16)}` }),
    ]),
  ]);
}

/** @param {WalkEvent | undefined} now @param {string} mode */
function showBits(now, mode) {
  const { guest, nested } = gallery.levels;
  const guestLeaf = leafLevelOf(chosen('guest'));
  const nestedLeaf = leafLevelOf(chosen('nested'));
  const walked = mode === 'shadow' ? Math.min(guestLeaf, nestedLeaf) : guestLeaf;
  const uses = now?.uses;
  const shown = [drawBits('gva', gallery.address, guest, walked, uses)];
  if (uses?.space === 'gpa') shown.push(drawBits('gpa', uses.address, nested, nestedLeaf, uses));
  element('bits').replaceChildren(...shown);
}

/** Addresses in a sentence stand out. @param {string} sentence */
const withCode = (sentence) =>
  sentence
    .split(/(0x[0-9a-f]+)/)
    .map((part, at) => (at % 2 === 1 ? make('code', { text: part }) : document.createTextNode(part)));

/** Shows everything as it is at the position. */
function render() {
  const last = lastPosition();
  position = Math.max(0, Math.min(position, last));
  for (const panel of panels) drawPanel(panel);
  const told = toldPanel();
  const at = reached(told);
  const now = told.story?.events[at];
  showBits(now, told.mode.mode);
  element('sentence').replaceChildren(
    ...withCode(now?.sentence ?? 'This configuration cannot have this walk.'),
  );
  const slider = /** @type {HTMLInputElement} */ (element('position'));
  slider.max = String(last);
  slider.value = String(position);
  element('count').textContent = `${position} of ${last}`;
  for (const id of ['first', 'back', 'next', 'last'])
    element(id).toggleAttribute('disabled', position === (id === 'first' || id === 'back' ? 0 : last));
  markStory(told);
  if (position === last) pause();
  keepPlace();
}

/** @type {WalkStory | undefined} */
let listed;

/** The story as a list, with the event of now. @param {WalkPanel} told */
function markStory(told) {
  const list = element('story');
  const { story } = told;
  if (story !== listed) {
    listed = story;
    list.replaceChildren(...(story?.events ?? []).map((event, at) => storyItem(event, at)));
  }
  const at = reached(told);
  [...list.children].forEach((item, index) => {
    if (index === at) item.setAttribute('aria-current', 'step');
    else item.removeAttribute('aria-current');
  });
}

/** @param {WalkEvent} event @param {number} at */
function storyItem(event, at) {
  const number = event.step === undefined ? '' : `${event.step}. `;
  const button = make('button', { type: 'button', text: `${number}${event.sentence}` });
  button.addEventListener('click', () => go(at));
  return make('li', {}, [button]);
}

/** @param {number} to */
function go(to) {
  position = to;
  render();
  toldPanel().root.querySelector('td.current')?.scrollIntoView({ block: 'nearest' });
}

/** Makes the panels anew after a switch; who was at the end stays at the end. */
function rebuild() {
  const wasLast = panels.length > 0 && position === lastPosition();
  panels = gallery.modes.map(makePanel);
  // The widest comes first on the page, whatever the order of the modes.
  panels.sort((a, b) => (b.story?.rows.length ?? 0) - (a.story?.rows.length ?? 0));
  element('walks').replaceChildren(...panels.map(({ root }) => root));
  element('state').textContent = gallery.states[chosen('machine')] ?? '';
  if (wasLast) position = lastPosition();
  render();
}

function pause() {
  clearInterval(playing);
  playing = undefined;
  element('play').textContent = 'Play';
}

function play() {
  if (position === lastPosition()) position = 0;
  clearInterval(playing);
  const { value } = /** @type {HTMLSelectElement} */ (element('speed'));
  playing = setInterval(() => go(position + 1), Number(value));
  element('play').textContent = 'Pause';
  render();
}

const SWITCHES = ['guest', 'nested', 'machine', 'told'];

/** Writes the state behind the `#`, so that a link leads here. */
function keepPlace() {
  const place = new URLSearchParams(SWITCHES.map((name) => [name, chosen(name)]));
  place.set('at', String(position));
  history.replaceState(null, '', `#${place}`);
}

/** Takes up the state behind the `#`. */
function readPlace() {
  const place = new URLSearchParams(location.hash.slice(1));
  for (const name of SWITCHES) if (place.has(name)) choose(name, place.get(name));
  const at = Number(place.get('at'));
  position = Number.isInteger(at) && at > 0 ? at : 0;
}

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowRight: () => go(position + 1),
  ArrowLeft: () => go(position - 1),
  Home: () => go(0),
  End: () => go(lastPosition()),
  ' ': () => (playing === undefined ? play() : pause()),
};

/** Keys step, but where the focus is on something that has a use for them itself. @param {KeyboardEvent} event */
function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || !(key in KEYS)) return;
  const isSlider = target instanceof HTMLInputElement && target.type === 'range';
  if (target instanceof HTMLSelectElement) return;
  if (target instanceof HTMLInputElement && !(isSlider && key === ' ')) return;
  if (key === ' ' && target instanceof HTMLElement && target.matches('button, summary')) return;
  event.preventDefault();
  if (key !== ' ') pause();
  KEYS[key]();
}

/** @param {string} id @param {() => void} act */
const onClick = (id, act) => element(id).addEventListener('click', act);

/** Whether the pointer was used last: then a switch gives the focus back, so that the arrow keys step at once. */
let isPointed = false;
addEventListener('pointerdown', () => {
  isPointed = true;
});
addEventListener(
  'keydown',
  () => {
    isPointed = false;
  },
  true,
);

for (const name of SWITCHES)
  for (const input of document.querySelectorAll(`input[name="${name}"]`))
    input.addEventListener('change', () => {
      if (isPointed && input instanceof HTMLElement) input.blur();
      if (name === 'told') render();
      else rebuild();
    });
for (const [id, key] of [
  ['first', 'Home'],
  ['back', 'ArrowLeft'],
  ['next', 'ArrowRight'],
  ['last', 'End'],
])
  onClick(id, () => {
    pause();
    KEYS[key]();
  });
onClick('play', KEYS[' ']);
element('speed').addEventListener('change', () => playing !== undefined && play());
element('position').addEventListener('input', () => {
  pause();
  go(Number(/** @type {HTMLInputElement} */ (element('position')).value));
});
document.addEventListener('keydown', onKey);
addEventListener('hashchange', () => {
  readPlace();
  rebuild();
});
addEventListener('beforeprint', () => element('all').setAttribute('open', ''));
readPlace();
rebuild();
