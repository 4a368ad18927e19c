/**
 * The optional native engine: how it is built, when it is not, and what the loader makes of what it finds. The addon
 * here is a stand-in of a few lines, built by the project's own install script in a folder of its own.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { chooseEngine, loadNative } from '../src/engine/loader.ts';
import { NestwalkError } from '../src/errors.ts';
import { SCHEMA_FINGERPRINT } from '../src/schema.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(path.join(os.tmpdir(), 'nestwalk-install-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const compilerThere =
  spawnSync('g++', ['--version']).status === 0 && spawnSync('make', ['--version']).status === 0;

/** An addon that exports `fingerprint` and nothing else, or nothing at all. */
const source = (fingerprint?: string) => `
#include <node_api.h>
static napi_value init(napi_env env, napi_value exports) {
  ${fingerprint === undefined ? '' : `napi_value text; napi_create_string_utf8(env, "${fingerprint}", NAPI_AUTO_LENGTH, &text); napi_set_named_property(env, exports, "fingerprint", text);`}
  return exports;
}
NAPI_MODULE(nestwalk, init)
`;

/** A package folder with the real install script and schema header, and a stand-in for the addon's source. */
function packageFolder(name: string, fingerprint?: string): string {
  const folder = path.join(scratch, name);
  mkdirSync(path.join(folder, 'native'), { recursive: true });
  mkdirSync(path.join(folder, 'scripts'));
  cpSync(path.join(root, 'scripts/install.mjs'), path.join(folder, 'scripts/install.mjs'));
  cpSync(path.join(root, 'native/schema.h'), path.join(folder, 'native/schema.h'));
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  writeFileSync(path.join(folder, 'package.json'), '{"name":"nestwalk","type":"module"}');
  writeFileSync(
    path.join(folder, 'binding.gyp'),
    '{"targets":[{"target_name":"nestwalk","sources":["native/addon.cc"]}]}',
  );
  writeFileSync(path.join(folder, 'native/addon.cc'), source(fingerprint));
  return folder;
}

/** Runs the install script of a package folder. */
function install(folder: string, env: Record<string, string> = {}, args: readonly string[] = []) {
  const { NESTWALK_NATIVE: _, NESTWALK_PREBUILD: __, CXX: ___, ...rest } = process.env;
  const child = spawnSync(process.execPath, ['scripts/install.mjs', ...args], {
    cwd: folder,
    env: { ...rest, ...env },
    encoding: 'utf8',
  });
  return {
    code: child.status,
    lines: child.stderr.split('\n').filter((line) => line !== ''),
    out: child.stdout,
  };
}

const addonOf = (folder: string) => path.join(folder, 'build/Release/nestwalk.node');

/** The error that a call throws. */
function errorOf(call: () => unknown): NestwalkError {
  try {
    call();
  } catch (error) {
    if (error instanceof NestwalkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('installing without a compiler', () => {
  const folder = packageFolder('bare', SCHEMA_FINGERPRINT);
  const emptyPath = path.join(scratch, 'empty');
  mkdirSync(emptyPath);

  it('succeeds, and says in two lines what is missing and what that means', () => {
    const { code, lines, out } = install(folder, { PATH: emptyPath });
    expect(code).toBe(0);
    expect(out).toBe('');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      /native engine not built \(missing: a C\+\+ compiler \(g\+\+\), make, python3\)/,
    );
    expect(lines[1]).toMatch(/TypeScript engine, with the same counters/);
    expect(existsSync(addonOf(folder))).toBe(false);
  });

  it('fails when the native engine is required', () => {
    expect(install(folder, { PATH: emptyPath, NESTWALK_NATIVE: 'required' }).code).toBe(1);
  });

  it('fails when a rebuild was asked for', () => {
    expect(install(folder, { PATH: emptyPath }, ['--rebuild']).code).toBe(1);
  });

  it('does nothing and says nothing when told to skip', () => {
    expect(install(folder, { PATH: emptyPath, NESTWALK_NATIVE: 'skip' })).toEqual({
      code: 0,
      lines: [],
      out: '',
    });
  });

  it('names the allowed values of NESTWALK_NATIVE', () => {
    const { code, lines } = install(folder, { PATH: emptyPath, NESTWALK_NATIVE: 'yes' });
    expect(code).toBe(1);
    expect(lines).toEqual(['nestwalk: NESTWALK_NATIVE is "yes"; it may be "required", "skip" or absent']);
  });
});

describe.skipIf(!compilerThere)('installing with a compiler', () => {
  const folder = packageFolder('built', SCHEMA_FINGERPRINT);
  beforeAll(() => {
    const first = install(folder);
    expect(first.lines).toEqual(['nestwalk: native engine built']);
    expect(first.code).toBe(0);
  });

  it('leaves an addon that the loader takes', () => {
    expect(loadNative(folder).fingerprint).toBe(SCHEMA_FINGERPRINT);
    expect(chooseEngine('native', folder).engine).toBe('native');
  });

  it('leaves an addon of the same sources alone, and builds again when they change', () => {
    const before = statSync(addonOf(folder)).mtimeMs;
    expect(install(folder)).toEqual({ code: 0, lines: [], out: '' });
    expect(statSync(addonOf(folder)).mtimeMs).toBe(before);

    writeFileSync(path.join(folder, 'native/addon.cc'), `${source(SCHEMA_FINGERPRINT)}// another\n`);
    expect(install(folder).lines).toEqual(['nestwalk: native engine built']);
    expect(statSync(addonOf(folder)).mtimeMs).toBeGreaterThan(before);
  });

  it('takes a prebuild of these sources without building, and builds where it is of others', () => {
    const other = packageFolder('prebuilt', SCHEMA_FINGERPRINT);
    cpSync(path.join(folder, 'native/addon.cc'), path.join(other, 'native/addon.cc'));
    const prebuilds = path.join(other, 'prebuilds', `${os.platform()}-${os.arch()}`);
    mkdirSync(prebuilds, { recursive: true });
    cpSync(addonOf(folder), path.join(prebuilds, 'nestwalk.node'));
    cpSync(addonOf(folder).replace('.node', '.sources'), path.join(prebuilds, 'nestwalk.sources'));
    expect(install(other, { NESTWALK_NATIVE: 'required' })).toEqual({ code: 0, lines: [], out: '' });
    expect(existsSync(addonOf(other))).toBe(false);
    expect(chooseEngine('native', other).engine).toBe('native');

    writeFileSync(path.join(other, 'native/addon.cc'), source(SCHEMA_FINGERPRINT));
    expect(install(other, { NESTWALK_NATIVE: 'required' }).code).toBe(0);
    expect(existsSync(addonOf(other))).toBe(true);
  });

  it('survives sources that do not compile, and shows the error only where the engine is required', () => {
    const broken = packageFolder('broken', SCHEMA_FINGERPRINT);
    writeFileSync(path.join(broken, 'native/addon.cc'), '#error "deliberate"\n');
    const lax = install(broken);
    expect(lax.code).toBe(0);
    expect(lax.lines).toHaveLength(2);
    const strict = install(broken, { NESTWALK_NATIVE: 'required' });
    expect(strict.code).toBe(1);
    expect(strict.lines.join('\n')).toContain('deliberate');
  });

  it('does not call an addon built that carries another fingerprint', () => {
    const stale = packageFolder('stale-build', '0123456789abcdef');
    const { code, lines } = install(stale, { NESTWALK_NATIVE: 'required' });
    expect(code).toBe(1);
    expect(lines[0]).toContain('does not load here');
  });
});

describe('what the loader makes of what it finds', () => {
  afterEach(() => vi.unstubAllEnvs());

  /** A folder with `build/Release/nestwalk.node` of the given bytes. */
  function folderWith(name: string, write: (file: string) => void): string {
    const folder = path.join(scratch, name);
    mkdirSync(path.join(folder, 'build/Release'), { recursive: true });
    write(addonOf(folder));
    return folder;
  }

  /** Compiles a stand-in addon straight to a file. */
  function compile(file: string, fingerprint?: string): void {
    const include = path.resolve(
      process.env.npm_config_nodedir ?? path.join(process.execPath, '../..'),
      'include/node',
    );
    const args = ['-shared', '-fPIC', '-x', 'c++', '-', '-o', file, `-I${include}`];
    const { status, stderr } = spawnSync('g++', args, { input: source(fingerprint), encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  }

  const nowhere = path.join(scratch, 'nowhere');
  mkdirSync(nowhere);

  it('falls back to TypeScript only when there is no file, and says so', () => {
    vi.stubEnv('NESTWALK_ENGINE', '');
    const choice = chooseEngine('auto', nowhere);
    expect(choice.engine).toBe('ts');
    expect(choice.reason).toMatch(/^no native engine was found for platform=/);
    expect(choice.addon).toBeUndefined();
  });

  it.each([
    ['by the caller', 'native', ''],
    ['by the environment', 'auto', 'native'],
  ] as const)(
    'says how to get the native engine when it was asked for %s and is missing',
    (_, request, variable) => {
      vi.stubEnv('NESTWALK_ENGINE', variable);
      const error = errorOf(() => chooseEngine(request, nowhere));
      expect(error.code).toBe('engine.missing');
      expect(error.message).toMatch(/npm run build:native/);
    },
  );

  it('takes the TypeScript engine when told, without looking for the other', () => {
    const broken = folderWith('unread', (file) => writeFileSync(file, 'rubbish'));
    vi.stubEnv('NESTWALK_ENGINE', '');
    expect(chooseEngine('ts', broken)).toEqual({ engine: 'ts', reason: 'asked for' });
    vi.stubEnv('NESTWALK_ENGINE', 'ts');
    expect(chooseEngine('auto', broken)).toEqual({ engine: 'ts', reason: 'NESTWALK_ENGINE=ts' });
  });

  it('lets a caller who names an engine prevail over the environment', () => {
    vi.stubEnv('NESTWALK_ENGINE', 'native');
    expect(chooseEngine('ts', nowhere).engine).toBe('ts');
  });

  it('refuses another value of NESTWALK_ENGINE', () => {
    vi.stubEnv('NESTWALK_ENGINE', 'c++');
    const error = errorOf(() => chooseEngine('auto', nowhere));
    expect(error.code).toBe('usage');
    expect(error.message).toContain('"c++"');
  });

  it('refuses a file that is not an addon, rather than falling back', () => {
    vi.stubEnv('NESTWALK_ENGINE', '');
    const folder = folderWith('rubbish', (file) => writeFileSync(file, 'this is no shared library'));
    const error = errorOf(() => chooseEngine('auto', folder));
    expect(error.code).toBe('engine.failed');
    expect(error.message).toContain(addonOf(folder));
    expect(error.message).toContain('NESTWALK_ENGINE=ts');
  });

  it.skipIf(!compilerThere)("refuses another project's addon", () => {
    const folder = folderWith('foreign', (file) => compile(file));
    const error = errorOf(() => chooseEngine('auto', folder));
    expect(error.code).toBe('engine.stale');
    expect(error.message).toContain('carries none');
  });

  it.skipIf(!compilerThere)('refuses an addon of another schema, and says how to build it again', () => {
    const folder = folderWith('stale', (file) => compile(file, '0123456789abcdef'));
    const error = errorOf(() => chooseEngine('auto', folder));
    expect(error.code).toBe('engine.stale');
    expect(error.message).toContain('0123456789abcdef');
    expect(error.message).toContain(SCHEMA_FINGERPRINT);
    expect(error.message).toContain('npm run build:native');
  });

  it('has a header of the same fingerprint as the definition', () => {
    expect(readFileSync(path.join(root, 'native/schema.h'), 'utf8')).toContain(`"${SCHEMA_FINGERPRINT}"`);
  });
});
