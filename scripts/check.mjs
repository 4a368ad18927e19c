/**
 * `npm run check`: everything that can be said of the sources without running them. Runs every check, prints one line
 * for each and the whole output of those that fail; exit code 1 when one does. A tool that is not installed is passed
 * over with a notice on a developer's machine and is a failure where `CI` is set.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './install.mjs';

/**
 * @typedef {object} Check
 * @property {string} name
 * @property {string[]} command
 * @property {boolean} [optional] whether the tool comes from the system, not from npm
 * @property {(output: string) => string | undefined} [doubt] why a success is not one
 */

const bin = (/** @type {string} */ name) => path.join(ROOT, 'node_modules', '.bin', name);

/**
 * All C++ of a folder.
 * @param {string} folder
 */
const cppOf = (folder) =>
  readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(h|cc)$/.test(name) && !name.startsWith('build'))
    .map((name) => path.join(folder, name))
    .sort();

const cppFiles = ['native', 'bench/baseline', 'test/native']
  .filter((folder) => existsSync(path.join(ROOT, folder)))
  .flatMap(cppOf);

const nodeHeaders = path.resolve(
  process.env.npm_config_nodedir ?? path.resolve(process.execPath, '../..'),
  'include/node',
);

/**
 * What is compiled, with which flags of its own: the targets of binding.gyp and programs beside the addon (one tier will do).
 * @returns {{ source: string, flags: string[] }[]}
 */
function cppTargets() {
  const { targets } = JSON.parse(readFileSync(path.join(ROOT, 'binding.gyp'), 'utf8'));
  const own = targets.flatMap((/** @type {any} */ { sources, defines = [], conditions = [] }) => {
    const here = conditions.filter((/** @type {any} */ [when]) => when === `target_arch=='${process.arch}'`);
    const flags = here.flatMap((/** @type {any} */ [, settings]) => settings.cflags_cc ?? []);
    const all = [...flags, ...defines.map((/** @type {string} */ name) => `-D${name}`)];
    return sources.map((/** @type {string} */ source) => ({ source, flags: all }));
  });
  const others = cppFiles.filter((name) => name.endsWith('.cc') && !name.startsWith('native'));
  return [...own, ...others.map((source) => ({ source, flags: ['-DNESTWALK_TIER=base'] }))];
}

/**
 * clang-tidy of one source file and of the headers that it includes.
 * @param {{ source: string, flags: string[] }} target
 * @returns {Check}
 */
const lintOf = ({ source, flags }) => ({
  name: `C++ lint of ${source}`,
  command: [
    'clang-tidy',
    '--quiet',
    source,
    '--',
    '-std=c++20',
    ...flags,
    `-isystem${nodeHeaders}`,
    '-isystemnode_modules/node-addon-api',
  ],
  optional: true,
});

/**
 * dependency-cruiser finds no modules, and so no violations, when it cannot use the TypeScript compiler.
 * @param {string} output
 */
function nothingCruised(output) {
  const modules = Number(/\((\d+) modules/.exec(output)?.[1] ?? 0);
  return modules > 0 ? undefined : 'no module was looked at';
}

/** @type {Check[]} */
const checks = [
  {
    name: 'format and lint',
    command: [bin('biome'), 'ci', '--error-on-warnings', '--colors=off', '--max-diagnostics=20'],
  },
  { name: 'types', command: [bin('tsc'), '--noEmit'] },
  { name: 'types in the browser', command: [bin('tsc'), '-p', 'tsconfig.page.json', '--noEmit'] },
  { name: 'generated C++ header', command: [bin('tsx'), 'scripts/schema.ts', '--check'] },
  {
    name: 'layers',
    command: [bin('depcruise'), '--config', '.dependency-cruiser.mjs', 'src'],
    doubt: nothingCruised,
  },
  { name: 'dead code', command: [bin('knip')] },
  { name: 'generated documents', command: [process.execPath, 'scripts/docs.mjs', '--check'] },
  { name: 'C++ format', command: ['clang-format', '--dry-run', '-Werror', ...cppFiles], optional: true },
  ...cppTargets().map(lintOf),
];

/**
 * Runs one check.
 * @param {Check} check
 * @returns {string | undefined} why it failed
 */
function run({ command, optional, doubt }) {
  const { status, error, stdout, stderr } = spawnSync(command[0], command.slice(1), {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (error && /** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') {
    if (optional && !process.env.CI) {
      console.log(`      ${command[0]} is not installed: passed over`);
      return undefined;
    }
    return `${command[0]} is not installed`;
  }
  const output = `${stdout}${stderr}`;
  if (status !== 0) return output || `exit code ${status}`;
  return doubt?.(output);
}

let failed = 0;
for (const check of checks) {
  const start = performance.now();
  const why = run(check);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${why === undefined ? 'ok  ' : 'FAIL'}  ${check.name} (${seconds} s)`);
  if (why === undefined) continue;
  failed++;
  console.log(why);
}
process.exitCode = failed > 0 ? 1 : 0;
