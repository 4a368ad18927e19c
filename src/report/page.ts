/**
 * Self-contained pages: one HTML file that asks the network for nothing. Markup is made by a template that escapes, data
 * goes in as JSON that cannot end its element, scripts run by their hash alone.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { packageVersion } from '../run/simulate.ts';
import { STYLE } from './style.ts';

/** Markup that is safe to put into a page. Made by {@link html} and {@link raw} alone. */
export class Html {
  /** The markup. */
  readonly markup: string;

  /** @param markup taken as it is */
  constructor(markup: string) {
    this.markup = markup;
  }

  toString(): string {
    return this.markup;
  }
}

/** What a template takes: text and numbers are escaped, lists are joined, `null`, `undefined` and `false` are nothing. */
export type HtmlValue = Html | string | number | bigint | null | undefined | false | readonly HtmlValue[];

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as it may stand in an element or between the quotes of an attribute. Control characters, which HTML forbids, are shown as �. */
export const escapeHtml = (text: string): string =>
  text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it looks for
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, '\ufffd')
    .replace(/[&<>"']/g, (sign) => ENTITIES[sign]);

function markupOf(value: HtmlValue): string {
  if (value instanceof Html) return value.markup;
  if (value === null || value === undefined || value === false) return '';
  return Array.isArray(value) ? value.map(markupOf).join('') : escapeHtml(String(value));
}

/**
 * A template of markup: whatever is put in is escaped, unless it is markup itself. Attributes need their quotes.
 * @example html`<td title="${reason}">${cells.map((cell) => html`<b>${cell}</b>`)}</td>`
 */
export const html = (parts: TemplateStringsArray, ...values: HtmlValue[]): Html =>
  new Html(parts.reduce((markup, part, at) => markup + markupOf(values[at - 1]) + part));

/** Markup from elsewhere, taken as it is: an SVG that a library drew. Never for what a user wrote. */
export const raw = (markup: string): Html => new Html(markup);

/** A value as JSON that may stand inside `<script type="application/json">`: no `<`, so neither `</script` nor `<!--`. */
export const embeddedJson = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

/** A script that cannot end its own element. Only strings and regular expressions of real programs hold such text. */
const embeddedScript = (script: string): string =>
  script
    .replaceAll('\r\n', '\n')
    .replace(/<\/(script)/gi, '<\\/$1')
    .replaceAll('<!--', '<\\!--');

const cspHash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Folder of the browser's code, beside this file in `src` and in `dist`. */
const BROWSER = new URL('./browser/', import.meta.url);

/** An import between browser files, on one line. */
const IMPORT = /^import\s*\{[^}]*\}\s*from\s*'\.\/([\w-]+)\.js';\s*$/gm;

function withImports(name: string, done: Set<string>): string {
  if (done.has(name)) return '';
  done.add(name);
  const source = readFileSync(new URL(`${name}.js`, BROWSER), 'utf8');
  const before = [...source.matchAll(IMPORT)].map(([, imported]) => withImports(imported, done));
  const own = source
    .replace(IMPORT, '')
    .replace(/^export\s*\{\s*\};?\s*$/gm, '')
    .replace(/^export (?=(async )?function|const|let|class)/gm, '');
  return `${before.join('')}${own}\n`;
}

/**
 * The text of a browser script, `src/report/browser/NAME.js`, with the files that it imports before it. These files are
 * ECMAScript modules that import one another as `import { a, b } from './name.js';` (braces, no renaming, no default
 * exports); what they declare at the top must have different names in files that go into one page.
 * @param name without `.js`
 */
export const browserScript = (name: string): string => withImports(name, new Set());

/** Libraries that a page may carry: the package, and its minified file for browsers, which sets a global (`d3`, `Plot`). */
const LIBRARIES = {
  d3: ['d3', '../dist/d3.min.js'],
  plot: ['@observablehq/plot', '../dist/plot.umd.min.js'],
} as const;

/**
 * The text of a library for browsers, found as Node finds the package: `d3` sets `window.d3`; `plot` sets `window.Plot`
 * and needs `d3` before it. Together they are 490 KB.
 */
export function libraryScript(name: keyof typeof LIBRARIES): string {
  const [packageName, file] = LIBRARIES[name];
  const entry = createRequire(import.meta.url).resolve(packageName);
  return readFileSync(path.join(path.dirname(entry), file), 'utf8');
}

/** What a page is made of. */
export interface PageSpec {
  /** Title of the window, and the heading of the page. */
  title: string;
  /** What stands below the heading. */
  lead?: Html;
  /** The page's content, put into `<main>`. Styles in attributes are allowed, scripts in attributes never run. */
  body: Html;
  /** Data by the id of the `<script type="application/json">` that carries it; browser code reads it with `embedded(id)` of `browser/page.js`. */
  data?: Readonly<Record<string, unknown>>;
  /** Libraries, before the scripts. */
  libraries?: readonly (keyof typeof LIBRARIES)[];
  /** Names of browser scripts ({@link browserScript}), each one module. `page`, which works the switch of the colours, is always there. */
  scripts?: readonly string[];
  /** CSS of this page beside the shared look. */
  style?: string;
  /** Whether scripts may ask the server that the page came from (`connect-src 'self'`): for the live page alone. */
  live?: boolean;
}

/** What a page may do: run the scripts whose hashes are named, look as its styles say, show images that it made itself, and nothing else. */
function policyOf(scripts: readonly string[], live: boolean): string {
  return [
    "default-src 'none'",
    `script-src ${scripts.map(cspHash).join(' ')}`,
    // Plot puts a style element into each figure that it draws. A style can fetch nothing under this policy.
    "style-src 'unsafe-inline'",
    'img-src data: blob:',
    ...(live ? ["connect-src 'self'"] : []),
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}

/**
 * One self-contained page in the shared look: light and dark after the reader's setting, with a switch; printable; no
 * request to anywhere. Whatever is in `title` and `data` is shown or carried as text.
 */
export function page({
  title,
  lead,
  body,
  data = {},
  libraries = [],
  scripts = [],
  style = '',
  live = false,
}: PageSpec): string {
  const classic = libraries.map((name) => embeddedScript(libraryScript(name)));
  const modules = ['page', ...scripts].map((name) => embeddedScript(browserScript(name)));
  const markup = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policyOf([...classic, ...modules], live)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="nestwalk ${packageVersion()}">
<title>${title}</title>
<style>${raw(STYLE + style)}</style>
</head>
<body>
<header class="masthead">
<div><h1>${title}</h1>${lead}</div>
<button type="button" id="colours" hidden>Dark</button>
</header>
<main>
${body}
</main>
${Object.entries(data).map(([id, value]) => html`<script type="application/json" id="${id}">${raw(embeddedJson(value))}</script>\n`)}
${classic.map((script) => html`<script>${raw(script)}</script>\n`)}
${modules.map((script) => html`<script type="module">${raw(script)}</script>\n`)}
</body>
</html>
`;
  return markup.markup;
}
