/**
 * Gets the native engine ready: npm runs this on `npm ci` in a clone and on installation by a consumer.
 *
 *   node scripts/install.mjs             use what is there and fits, else build with node-gyp; never fails
 *   node scripts/install.mjs --rebuild   build in any case and show the compiler's output; fails when that fails
 *
 * `NESTWALK_NATIVE=required` turns "not built" into exit code 1; `NESTWALK_NATIVE=skip` does nothing at all.
 * Only files of the packed tarball and Node's own modules are used here.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** Folder of the package. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
/** Where node-gyp leaves the addon. */
export const BUILT = path.join(ROOT, 'build', 'Release', 'nestwalk.node');

/** Command that tries again and shows why: a clone has scripts that the packed tarball has not. */
const AGAIN = existsSync(path.join(ROOT, 'src'))
  ? 'npm run build:native'
  : 'NESTWALK_NATIVE=required npm rebuild --foreground-scripts nestwalk';

/** @param {string} line */
const say = (line) => console.error(`nestwalk: ${line}`);

/**
 * Digest of everything that the addon is compiled from; a build and a prebuild keep it beside them.
 * @returns {string} 64 hexadecimal digits
 */
export function sourcesDigest() {
  const hash = createHash('sha256');
  const native = path.join(ROOT, 'native');
  const files = readdirSync(native, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(h|cc)$/.test(name))
    .map((name) => path.join(native, name));
  for (const file of [path.join(ROOT, 'binding.gyp'), ...files.sort()]) {
    hash.update(`${path.relative(ROOT, file).replaceAll('\\', '/')}\0`).update(readFileSync(file));
  }
  return hash.digest('hex');
}

/**
 * File beside an addon that holds the digest of its sources.
 * @param {string} addon
 */
export const stampOf = (addon) => `${addon.replace(/\.node$/, '')}.sources`;

/**
 * Whether an addon file was built from the sources that are here.
 * @param {string} addon
 */
export function builtFromHere(addon) {
  const stamp = stampOf(addon);
  return existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === sourcesDigest();
}

/** Fingerprint of the schema that the sources here define. */
function wantedFingerprint() {
  const header = readFileSync(path.join(ROOT, 'native', 'schema.h'), 'utf8');
  return /kFingerprint\[\] = "([0-9a-f]+)"/.exec(header)?.[1];
}

/**
 * Whether an addon file loads here and carries the right fingerprint. It is loaded in a process of its own, so
 * that a file which crashes on loading cannot take the installation with it.
 * @param {string} addon
 */
function loads(addon) {
  const code = 'process.stdout.write(String(require(process.argv[1]).fingerprint))';
  const child = spawnSync(process.execPath, ['-e', code, addon], { encoding: 'utf8' });
  return child.status === 0 && child.stdout === wantedFingerprint();
}

/** The addon file that the loader would take, when there is one. */
function present() {
  try {
    return /** @type {string} */ (require('node-gyp-build').path(ROOT));
  } catch {
    return undefined;
  }
}

/** Folder that holds Node's headers, when they are installed; otherwise node-gyp fetches them. */
function nodeDir() {
  const configured = process.env.npm_config_nodedir;
  if (configured) return configured;
  const beside = path.resolve(process.execPath, '../..');
  return existsSync(path.join(beside, 'include', 'node', 'node_api.h')) ? beside : undefined;
}

/** node-gyp: the clone's own, else the one that comes with npm. */
function nodeGyp() {
  try {
    return require.resolve('node-gyp/bin/node-gyp.js');
  } catch {
    return process.env.npm_config_node_gyp;
  }
}

/** @param {string} program */
function onPath(program) {
  const candidates = path.isAbsolute(program)
    ? [program]
    : (process.env.PATH ?? '').split(path.delimiter).map((folder) => path.join(folder, program));
  return candidates.some((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Build tools that are not on the path; node-gyp finds its own way on Windows. */
function missingTools() {
  if (process.platform === 'win32') return [];
  const compilers = process.env.CXX ? [process.env.CXX.split(' ')[0]] : ['g++', 'c++', 'clang++'];
  const missing = [];
  if (!compilers.some(onPath)) missing.push(`a C++ compiler (${compilers[0]})`);
  if (!onPath('make')) missing.push('make');
  if (!(process.env.npm_config_python ?? process.env.PYTHON) && !onPath('python3')) missing.push('python3');
  return missing;
}

/**
 * Builds the addon and leaves the digest of its sources beside it.
 * @param {boolean} loud whether the compiler's output goes straight to the terminal
 * @returns {string | undefined} why it was not built
 */
function build(loud) {
  const missing = missingTools();
  if (missing.length > 0) return `missing: ${missing.join(', ')}`;
  const gyp = nodeGyp();
  if (!gyp) return 'missing: node-gyp (run this through npm)';
  const headers = nodeDir();
  const args = [gyp, 'rebuild', '--jobs=max', ...(headers ? [`--nodedir=${headers}`] : [])];
  const child = spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: loud ? 'inherit' : 'pipe',
  });
  if (child.status !== 0) {
    if (!loud && process.env.NESTWALK_NATIVE === 'required') console.error(`${child.stdout}${child.stderr}`);
    return 'node-gyp failed';
  }
  if (!loads(BUILT)) return 'the addon was built but does not load here';
  writeFileSync(stampOf(BUILT), `${sourcesDigest()}\n`);
  return undefined;
}

/** @param {readonly string[]} args */
function main(args) {
  const wish = process.env.NESTWALK_NATIVE ?? '';
  if (!['', 'required', 'skip'].includes(wish)) {
    say(`NESTWALK_NATIVE is "${wish}"; it may be "required", "skip" or absent`);
    return 1;
  }
  const rebuild = args.includes('--rebuild');
  if (wish === 'skip' && !rebuild) return 0;
  const found = present();
  if (!rebuild && found && builtFromHere(found) && loads(found)) return 0;

  const reason = build(rebuild);
  if (reason === undefined) {
    say('native engine built');
    return 0;
  }
  say(`native engine not built (${reason}).`);
  say(
    `everything works on the TypeScript engine, with the same counters, only slower. \`${AGAIN}\` tries again.`,
  );
  return rebuild || wish === 'required' ? 1 : 0;
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = main(process.argv.slice(2));
}
