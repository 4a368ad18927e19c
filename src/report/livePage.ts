/** The page that follows a sweep. It holds no results: they come from the server that it came from. */
import path from 'node:path';
import { html, page } from './page.ts';

/**
 * The live page of a sweep, as HTML text.
 * @param sweep the sweep's folder; its name is the title
 */
export function livePage(sweep: string): string {
  const name = path.basename(path.resolve(sweep));
  return page({
    title: name,
    lead: html`
<p id="phase" role="status" aria-live="polite">Asking for the sweep …</p>
<p id="axes" class="soft"></p>`,
    body: html`
<noscript><p class="bad">This page needs its own scripts, and the browser does not run them. <code>nestwalk sweep status</code> tells the same in a terminal.</p></noscript>
<p id="lost" class="banner bad" hidden></p>
<div id="trouble" class="banner bad" role="alert" hidden></div>
<section class="progress" aria-label="Progress">
<div id="bar" class="bar" role="progressbar" aria-label="Cells finished" aria-valuemin="0"><i class="done"></i><i class="failed"></i><i class="invalid"></i></div>
<p id="counts"></p>
<dl id="facts" class="tiles"></dl>
</section>
<section aria-label="Results" id="results" hidden>
<h2 id="resultTitle"></h2>
<p id="resultAbout" class="soft"></p>
<div id="controls" class="controls no-print"></div>
<div id="result" class="plot scroll" tabindex="0" aria-label="Figure: arrow keys step through its marks"></div>
</section>
<section aria-label="Cells over time" id="time" hidden>
<h2>Cells over time</h2>
<div id="curve" class="plot"></div>
</section>
<section aria-label="Failed and invalid cells" id="failures" hidden>
<h2>Failed and invalid cells</h2>
<div id="failed"></div>
</section>
<section aria-label="Latest cells" id="latest" hidden>
<h2>Finished last</h2>
<div class="scroll"><table><thead id="latestHead"></thead><tbody id="latestRows"></tbody></table></div>
</section>`,
    libraries: ['d3', 'plot'],
    scripts: ['live'],
    style: STYLE,
    live: true,
  });
}

const STYLE = `
.masthead p { margin-bottom: .3rem; } #phase { font-weight: 600; }
#phase i { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-inline-end: .5em; background: var(--soft); }
#phase.running i { background: var(--good); animation: beat 2s ease-in-out infinite; } #phase.finished i { background: var(--accent); } #phase.stopped i, #phase.unreadable i { background: var(--bad); }
@keyframes beat { 50% { opacity: .35; } }
.banner { border: 1px solid currentColor; border-radius: 8px; padding: .6rem .9rem; margin: 1rem 0; max-width: none; } .banner p { margin: 0; max-width: none; }
.bar { display: flex; height: 1.1rem; border-radius: 6px; overflow: hidden; background: var(--raised); border: 1px solid var(--line); }
.bar i { display: block; width: 0; transition: width .4s; } .bar .done { background: var(--s1); } .bar .failed { background: var(--bad); } .bar .invalid { background: repeating-linear-gradient(-45deg, var(--line) 0 4px, transparent 4px 8px); }
#counts { margin: .5rem 0 1rem; max-width: none; font-variant-numeric: tabular-nums; }
.tiles { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); margin: 0; }
.tiles > div { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .8rem; min-width: 0; } .tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin-bottom: .8rem; font-size: .9rem; } .controls label { display: flex; gap: .4rem; align-items: center; color: var(--soft); }
.plot { min-height: 12rem; } .plot svg { overflow: visible; }
#failed details { border-block-end: 1px solid var(--line); padding: .4rem 0; } #failed summary { overflow-wrap: anywhere; color: var(--ink); } #failed ul { margin: .3rem 0; padding-inline-start: 1.4rem; font-size: .9rem; overflow-wrap: anywhere; }
#latest td { white-space: nowrap; max-width: 16rem; overflow: hidden; text-overflow: ellipsis; }
.lit { stroke: var(--ink) !important; stroke-width: 2px !important; }
`;
