/**
 * Writes the reference of the library, `docs/api`, from the docstrings (`npm run docs`); with `--check` says whether the
 * committed pages are stale (`npm run docs:check`).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from './install.mjs';

const PAGES = path.join(ROOT, 'docs', 'api');

/**
 * Generates all pages into a folder; warnings about docstrings are errors.
 * @param {string} folder
 */
function generate(folder) {
  const args = [
    path.join(ROOT, 'node_modules/typedoc/bin/typedoc'),
    '--treatWarningsAsErrors',
    '--out',
    folder,
  ];
  const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0 || pagesIn(folder).size === 0) throw new Error('the pages could not be generated');
}

/** @param {string} folder path of each page to its text */
const pagesIn = (folder) =>
  new Map(
    (existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [])
      .filter((name) => name.endsWith('.md'))
      .sort()
      .map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]),
  );

/** Names of the pages that are missing, superfluous or different. */
function stalePages() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'nestwalk-docs-'));
  try {
    generate(folder);
    const [want, have] = [pagesIn(folder), pagesIn(PAGES)];
    return [...new Set([...want.keys(), ...have.keys()])].filter((name) => want.get(name) !== have.get(name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  if (process.argv.includes('--check')) {
    const stale = stalePages();
    if (stale.length > 0) throw new Error(`stale: ${stale.join(', ')}. Run \`npm run docs\`.`);
  } else {
    generate(PAGES);
  }
} catch (error) {
  console.error(`docs/api: ${/** @type {Error} */ (error).message}`);
  process.exitCode = 1;
}
