/** The look of every page: light and dark, on a screen and on paper. */

import { DARK, LIGHT, properties } from './browser/palette.js';

const declared = (colours: Record<string, string>): string =>
  Object.entries(properties(colours))
    .map(([name, colour]) => `--${name}: ${colour};`)
    .join(' ');

const LIGHT_ROOT = `${declared(LIGHT)} color-scheme: light;`;
const DARK_ROOT = `${declared(DARK)} color-scheme: dark;`;

/**
 * CSS of every page. Colours are custom properties: `--paper`, `--raised`, `--ink`, `--soft`, `--line`, `--accent`,
 * `--focus`, `--good`, `--bad`, `--mark`, `--s1` … `--s8` for series, `--on1` … `--on8` for text on them. Classes: `masthead`, `soft`, `facts` (a definition
 * list in two columns), `scroll` (what is wider than the page), `number` (a cell of a table), `visually-hidden`, `tip`,
 * `no-print`, `card`, `grid`.
 */
export const STYLE = `
:root {${LIGHT_ROOT}}
@media (prefers-color-scheme: dark) { :root {${DARK_ROOT}} }
:root[data-colours="light"] {${LIGHT_ROOT}}
:root[data-colours="dark"] {${DARK_ROOT}}
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1120px; padding: 1.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink); }
h1, h2, h3 { line-height: 1.25; margin: 0 0 .4em; overflow-wrap: anywhere; text-wrap: balance; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; } h3 { font-size: 1rem; }
p { margin: 0 0 .8em; max-width: 75ch; overflow-wrap: anywhere; }
a { color: var(--accent); }
code, kbd, samp, pre { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; }
section { margin: 2.2rem 0; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: .92rem; }
svg { display: block; max-width: 100%; height: auto; }
.masthead { display: flex; gap: 1rem; justify-content: space-between; align-items: flex-start; border-bottom: 1px solid var(--line); padding-bottom: 1rem; }
.masthead > div { min-width: 0; }
.soft { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; background: var(--paper); }
.grid { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.facts { display: grid; grid-template-columns: fit-content(18rem) minmax(0, 1fr); gap: .15rem 1.2rem; margin: 0; }
.facts dt { color: var(--soft); overflow-wrap: anywhere; } .facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: start; color: var(--soft); padding-bottom: .4rem; }
th, td { text-align: start; padding: .28rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; background: var(--raised); }
th.number, td.number { text-align: end; white-space: nowrap; }
button, select, input { font: inherit; font-size: .9rem; color: var(--ink); background: var(--raised); border: 1px solid var(--line); border-radius: 6px; padding: .25rem .6rem; max-width: 100%; }
button { cursor: pointer; } button:hover { border-color: var(--soft); } button:disabled { opacity: .55; cursor: default; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
details > summary { cursor: pointer; color: var(--accent); }
.tip { position: fixed; z-index: 10; pointer-events: none; max-width: min(26rem, 90vw); padding: .4rem .6rem; border-radius: 6px; border: 1px solid var(--line); background: var(--raised); color: var(--ink); box-shadow: 0 4px 16px rgb(0 0 0 / .25); font-size: .85rem; line-height: 1.4; white-space: pre-line; overflow-wrap: anywhere; }
.visually-hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
@media (max-width: 40rem) { body { padding: 1rem .8rem 3rem; } .facts { grid-template-columns: 1fr; } .facts dd { margin-bottom: .4rem; } }
@media print {
  :root, :root[data-colours] {${LIGHT_ROOT}}
  html { font-size: 11px; } body { max-width: none; padding: 0; }
  .no-print, #colours, .tip { display: none !important; }
  section, figure, .card { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; } thead { display: table-header-group; } tr { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
@page { margin: 15mm; }
`;
