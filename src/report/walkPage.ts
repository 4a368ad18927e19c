/** The page of a walk: native, shadow and nested beside each other, to be stepped through. */
import { isTrace } from '../config/resolved.ts';
import type { GalleryState, GalleryWalk, WalkGallery } from '../run/walkGallery.ts';
import { GALLERY_STATES } from '../run/walkGallery.ts';
import { type AccessKind, PAGE_SIZES } from '../schema.ts';
import { describeHardware, describePattern } from './describe.ts';
import { bytes, count } from './format.ts';
import { type Html, html, page } from './page.ts';
import { type Story, type StoryEvent, walkStory } from './walkStory.ts';

/** An event as the page carries it. */
type CarriedEvent = Omit<StoryEvent, 'hit'>;
/** A story as the page carries it, or why there is none. */
type CarriedStory = (Omit<Story, 'events'> & { events: CarriedEvent[] }) | { reason: string };

/** Names of the modes as headings. */
const MODE_TITLES: Record<string, string> = {
  native: 'Native: 1-D walk',
  shadow: 'Shadow: 1-D walk',
  nested: 'Nested: 2-D walk',
  paravirt: 'Paravirtual: 1-D walk',
};
const MODE_ABOUT: Record<string, string> = {
  native: 'No virtual machine: one table to HPAs.',
  shadow: 'A table to HPAs that the hypervisor keeps.',
  nested: 'Each address in the guest’s table is a GPA, which the nested table must translate first.',
  paravirt: 'The guest’s own table, which holds HPAs.',
};

/** Key of a choice; natively the nested page says nothing. */
const keyOf = ({ mode, guestPage, nestedPage, state }: Omit<GalleryWalk, 'told' | 'reason'>): string =>
  [mode, guestPage, ...(mode === 'native' ? [] : [nestedPage]), state].join(' ');

function carried({ told, reason }: GalleryWalk): CarriedStory {
  if (!told) return { reason: reason ?? '' };
  const { events, ...story } = walkStory(told.walk, told.config);
  return { ...story, events: events.map(({ hit: _, ...event }) => event) };
}

/** What a state of the machine is, in a sentence. */
function stateAbout(state: GalleryState, { machine, warm, config, address }: WalkGallery): string {
  const name = describeHardware(machine);
  const workload = isTrace(config.workload) ? 'a trace' : describePattern(config.workload);
  const memory = bytes(config.regions.reduce((sum, region) => sum + region.bytes, 0));
  switch (state) {
    case 'bare':
      return 'Without TLBs, walk caches and data caches: memory serves every reference.';
    case 'cold':
      return `${name}, with nothing in any TLB or cache.`;
    case 'warm':
      return `${name}, after ${count(warm)} accesses (${workload} over ${memory}).`;
    case 'again':
      return `${name}, after the same accesses and then one to ${address} itself.`;
  }
}

const STATE_TITLES: Record<GalleryState, string> = {
  bare: 'no caches',
  cold: 'cold',
  warm: 'warm',
  again: 'the same again',
};

/** One group of switches: radio buttons that look like one bar. */
const switches = (
  name: string,
  legend: string,
  choices: readonly (readonly [value: string, label: string])[],
  chosen: string,
): Html => html`
<fieldset class="switch"><legend>${legend}</legend><div>
${choices.map(
  ([value, label]) =>
    html`<label><input type="radio" name="${name}" value="${value}"${value === chosen ? html` checked` : ''}><span>${label}</span></label>`,
)}
</div></fieldset>`;

const LEGEND: readonly (readonly [string, string])[] = [
  ['memory', 'memory'],
  ['cache', 'a data cache'],
  ['walkCache', 'a walk cache: PSC or PWC'],
  ['tlb', 'a TLB or the nested TLB'],
  ['spared', 'spared, with who spared it'],
  ['absent', 'not in a walk of these page sizes'],
];

/** What an access does, as a noun. */
const ACCESS_NOUNS: Record<AccessKind, string> = {
  read: 'A read',
  write: 'A write',
  fetch: 'A fetch',
};

/**
 * The page of a gallery, as HTML text: self-contained, every walk precomputed. Switches for page sizes, machine and mode;
 * forward, back, play; arrow keys; the state is in the address after `#`, so that a link leads to a step.
 */
export function walkPage(gallery: WalkGallery): string {
  const { address, config, shown, modes } = gallery;
  const sizes = PAGE_SIZES.map((size) => [size, size] as const);
  const told = modes.includes(shown.mode) ? shown.mode : modes[0]!;
  const data = {
    address,
    levels: { guest: config.paging.guestLevels, nested: config.paging.nestedLevels },
    modes: modes.map((mode) => ({ mode, title: MODE_TITLES[mode] ?? mode, about: MODE_ABOUT[mode] ?? '' })),
    states: Object.fromEntries(GALLERY_STATES.map((state) => [state, stateAbout(state, gallery)])),
    walks: Object.fromEntries(gallery.walks.map((walk) => [keyOf(walk), carried(walk)])),
  };
  return page({
    title: `The walk for ${address}`,
    lead: html`<p class="soft">${ACCESS_NOUNS[gallery.kind]}, reference by reference: who answers, and what it costs. Space plays, arrow keys step.</p>`,
    body: html`
<noscript><p class="bad">This page needs its own scripts, and the browser does not run them. <code>nestwalk walk ${address}</code> tells the same in a terminal.</p></noscript>
<section class="switches no-print" aria-label="Switches">
${switches('guest', 'Guest’s pages', sizes, shown.guestPage)}
${switches('nested', 'Nested pages', sizes, shown.nestedPage)}
${switches(
  'machine',
  'Machine',
  GALLERY_STATES.map((state) => [state, STATE_TITLES[state]]),
  shown.state,
)}
${switches(
  'told',
  'Tell the walk',
  modes.map((mode) => [mode, mode]),
  told,
)}
<p id="state" class="soft"></p>
</section>
<section class="stage" aria-label="Walks" id="walks"></section>
<ul class="legend" aria-label="Colours">${LEGEND.map(([name, meaning]) => html`<li><i class="${name}"></i>${meaning}</li>`)}</ul>
<section class="player" aria-label="Steps">
<div id="bits" class="bits no-print"></div>
<p id="sentence" role="status" aria-live="polite" aria-atomic="true"></p>
<div class="buttons no-print">
<button type="button" id="first" title="To the beginning (Home)">First</button>
<button type="button" id="back" title="One step back (←)">Back</button>
<button type="button" id="play" title="Play or pause (space)">Play</button>
<button type="button" id="next" title="One step on (→)">Next</button>
<button type="button" id="last" title="To the end (End)">Last</button>
<input type="range" id="position" min="0" max="1" value="0" aria-label="Step">
<output id="count" for="position"></output>
<label class="speed">Speed <select id="speed"><option value="2000">½ ×</option><option value="1000" selected>1 ×</option><option value="500">2 ×</option><option value="250">4 ×</option></select></label>
</div>
</section>
<section><details id="all"><summary>Every step of this walk in words</summary><ol id="story"></ol></details></section>`,
    data: { walk: data },
    scripts: ['walk'],
    style: STYLE,
  });
}

const STYLE = `
html { scroll-padding-bottom: 15rem; }
.switches { display: flex; flex-wrap: wrap; gap: .6rem 1.4rem; margin: .8rem 0; align-items: flex-end; }
.switches p { flex-basis: 100%; margin: 0; max-width: none; }
.switch { border: 0; margin: 0; padding: 0; min-width: 0; }
.switch legend { padding: 0; font-size: .85rem; color: var(--soft); }
.switch div { display: flex; flex-wrap: wrap; border: 1px solid var(--line); border-radius: 8px; background: var(--raised); overflow: hidden; }
.switch label { position: relative; cursor: pointer; }
.switch input { position: absolute; opacity: 0; inset: 0; margin: 0; cursor: pointer; }
.switch span { display: block; padding: .3rem .75rem; font-size: .9rem; }
.switch input:checked + span { background: var(--accent); color: var(--paper); font-weight: 600; }
.switch input:focus-visible + span { outline: 3px solid var(--focus); outline-offset: -3px; border-radius: 8px; }
.stage { display: grid; gap: 1rem; grid-template-columns: repeat(12, minmax(0, 1fr)); margin: 1rem 0; align-items: start; }
.walk { grid-column: span 4; min-width: 0; border: 1px solid var(--line); border-radius: 10px; padding: .8rem .9rem; }
.walk.wide { grid-column: span 8; grid-row: span 3; }
.walk.told { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.walk h2 { font-size: 1.05rem; margin: 0; }
.walk h2 button { font: inherit; background: none; border: 0; padding: 0; text-align: start; }
.walk .about { font-size: .85rem; margin: .1rem 0 .5rem; }
.walk .cost { display: flex; justify-content: space-between; gap: .2rem 1rem; flex-wrap: wrap; font-variant-numeric: tabular-nums; font-weight: 600; }
.walk .meter { height: 6px; border-radius: 3px; background: var(--raised); margin: .25rem 0 .7rem; overflow: hidden; }
.walk .meter i { display: block; height: 100%; background: var(--s2); transition: width .25s; }
.walk .end { font-size: .88rem; margin: .5rem 0 0; min-height: 1.5em; }
.walk table { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 4px; font-size: .8rem; }
.walk th { background: none; border: 0; padding: 0; font-weight: 400; color: var(--soft); line-height: 1.25; overflow-wrap: anywhere; }
.walk thead th { text-align: center; vertical-align: bottom; }
.walk thead th b, .walk tbody th b { color: var(--ink); font-size: .95rem; display: block; }
.walk:not(.wide) th small { display: none; } .walk:not(.wide) td { height: 3.3rem; }
.walk tbody th { width: 8.6rem; vertical-align: middle; }
.walk.wide thead th:first-child { width: 8.6rem; text-align: start; }
.walk tbody th code { display: block; color: var(--ink); min-height: 1.25em; }
.walk td { border: 1px dashed var(--line); border-radius: 7px; padding: .15rem .1rem; height: 3.5rem; text-align: center; vertical-align: middle; line-height: 1.2; transition: background-color .25s, border-color .25s; overflow: hidden; }
.walk td b { display: block; font-size: 1.15rem; line-height: 1.1; }
.walk td code { display: block; font-size: .68rem; color: var(--soft); overflow: hidden; text-overflow: ellipsis; }
.walk td.guest { border-inline-start-width: 3px; }
.memory { --hue: var(--s2); } .cache { --hue: var(--s1); } .walkCache { --hue: var(--s5); } .tlb { --hue: var(--s3); }
.walk td.done, .legend i { background: color-mix(in srgb, var(--hue) 24%, var(--paper)); border: 1px solid var(--hue); }
.walk td.done.guest { border-inline-start-width: 3px; }
.walk td.spared, .legend i.spared { --hue: var(--s8); border: 1px solid var(--line); color: var(--soft); background: repeating-linear-gradient(-45deg, transparent 0 5px, color-mix(in srgb, var(--hue) 22%, transparent) 5px 7px); }
.walk td.spared.tlb { --hue: var(--s3); border-color: var(--hue); color: var(--ink); } .walk td.spared.walkCache { --hue: var(--s5); border-color: var(--hue); color: var(--ink); }
.walk td.absent, .legend i.absent { border: 0; background: var(--raised); color: var(--soft); }
.walk td.current { outline: 3px solid var(--focus); outline-offset: 0; }
.walk td.current.done { background: color-mix(in srgb, var(--hue) 52%, var(--paper)); }
.walk td.current code { color: var(--ink); }
.walk td.none { border: 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; margin: .2rem 0 1rem; font-size: .85rem; color: var(--soft); }
.legend i { display: inline-block; width: 1.1em; height: 1.1em; border-radius: 4px; margin-inline-end: .4em; vertical-align: -.15em; }
.masthead { padding-bottom: .3rem; } .masthead p { margin-bottom: .3rem; }
.player { position: sticky; bottom: 0; margin: 1rem -1.25rem; padding: .5rem 1.25rem; background: var(--raised); border-block: 1px solid var(--line); z-index: 2; }
.player p { font-size: 1.08rem; line-height: 1.4; min-height: 2.9em; margin: .25rem 0 .45rem; max-width: none; }
.player p code { font-weight: 600; }
.buttons { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; }
.buttons button { background: var(--paper); min-width: 4rem; min-height: 2.2rem; }
.buttons #play { background: var(--accent); color: var(--paper); border-color: var(--accent); font-weight: 600; }
.buttons input { flex: 1 1 9rem; min-width: 6rem; padding: 0; accent-color: var(--accent); }
.buttons output { font-variant-numeric: tabular-nums; color: var(--soft); font-size: .9rem; min-width: 7.5em; }
.speed { font-size: .9rem; color: var(--soft); }
.bits { display: flex; flex-wrap: wrap; gap: .25rem 1.6rem; font-size: .85rem; min-height: 1.9rem; }
.bits > div { display: flex; flex-wrap: wrap; gap: .2rem; align-items: center; }
.bits span { padding: 0 .35rem; border-radius: 4px; border: 1px solid var(--line); background: var(--paper); }
.bits span b { font-variant-numeric: tabular-nums; }
.bits span.used { background: var(--mark); border-color: var(--focus); }
#story { padding-inline-start: 0; list-style: none; } #story button { font: inherit; text-align: start; border: 0; background: none; padding: .2rem .4rem; }
#story [aria-current] button { background: var(--mark); }
@media (max-width: 56rem) { .walk, .walk.wide { grid-column: 1 / -1; grid-row: auto; } }
@media (max-width: 40rem) {
  .player { margin: 1rem -.8rem; padding: .4rem .8rem; } .player p { font-size: .92rem; line-height: 1.3; min-height: 5.2em; }
  .bits { font-size: .72rem; min-height: 0; } .bits > div { gap: .1rem; } .bits span { padding: 0 .2rem; } .bits .idle { display: none; } .bits .kind { display: none; }
  .walk { padding: .6rem .5rem; } .walk table { border-spacing: 2px; font-size: .72rem; }
  .walk td, .walk:not(.wide) td { height: 2.9rem; padding: 0; font-size: .64rem; } .walk td code { display: none; } .walk td b { font-size: 1rem; }
  .walk tbody th, .walk.wide thead th:first-child { width: 4.1rem; } .walk th small { display: none; } .walk th code { font-size: .66rem; }
  .buttons button { min-width: 3.2rem; padding: .25rem .4rem; } .buttons output { min-width: 0; }
}
@media print { .player { position: static; margin: 1rem 0; padding: .7rem 0; background: none; } .walk td, .legend i { print-color-adjust: exact; } }
`;
