/**
 * The packed tarball, installed elsewhere with install scripts off (as npm 12 does by itself): the program and the library
 * work on the native engine from the prebuild, and on the TypeScript engine where there is no prebuild.
 *
 * The tarball is packed from a folder of its own, with the same compiler options and scripts as `npm pack` in the
 * repository, so that `dist/` does not change under other tests.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILT, builtFromHere } from '../scripts/install.mjs';

const root = path.resolve(fileURLToPath(new URL('..', import.meta.url)));
const scratch = mkdtempSync(path.join(os.tmpdir(), 'nestwalk-pack-'));
const staging = path.join(scratch, 'staging');
const elsewhere = path.join(scratch, 'elsewhere');
const installed = path.join(elsewhere, 'node_modules/nestwalk');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  version: string;
  files: string[];
};

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs a program and returns what it printed; fails the test, with the output, when the program fails. */
function must(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): string {
  const { NESTWALK_ENGINE: _, ...rest } = process.env;
  const child = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...rest, ...env },
    maxBuffer: 2 ** 26,
  });
  expect(child.status, `${program} ${args.join(' ')}\n${child.stdout}${child.stderr}`).toBe(0);
  return child.stdout;
}

/** Copies what is packed, builds `dist/` and the prebuild there, packs, and installs the tarball without scripts. */
function packAndInstall(): void {
  const sources = [
    'package.json',
    'README.md',
    'LICENSE',
    'binding.gyp',
    'scripts',
    'tsconfig.json',
    'tsconfig.build.json',
    'tsconfig.page.json',
    'src',
  ];
  const kept = manifest.files.filter((name) => name !== 'dist' && name !== 'prebuilds');
  for (const name of new Set([...sources, ...kept])) {
    if (existsSync(path.join(root, name)))
      cpSync(path.join(root, name), path.join(staging, name), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(staging, 'node_modules'));
  cpSync(path.dirname(BUILT), path.join(staging, 'build/Release'), { recursive: true });
  for (const options of ['tsconfig.build.json', 'tsconfig.page.json'])
    must(process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', options], staging);
  must(process.execPath, ['scripts/prebuild.mjs'], staging);
  must('npm', ['pack', '--ignore-scripts', '--pack-destination', scratch], staging);

  mkdirSync(elsewhere);
  writeFileSync(path.join(elsewhere, 'package.json'), '{"private":true,"type":"module"}');
  const tarball = path.join(scratch, `nestwalk-${manifest.version}.tgz`);
  must(
    'npm',
    ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball],
    elsewhere,
  );
}

/** Runs the installed program. */
const nestwalk = (args: readonly string[], env: Record<string, string> = {}): string =>
  must(path.join(elsewhere, 'node_modules/.bin/nestwalk'), args, elsewhere, env);

const SMALL_RUN = [
  'run',
  '--workload',
  'uniform',
  '--footprint',
  '64MiB',
  '--accesses',
  '20000',
  '--machine',
  'tiny',
  '--mode',
  'nested',
  '--json',
  '--quiet',
];

interface Answer {
  counters: { accesses: number; walks: number };
  provenance: { engine: string; version: string };
}

describe.skipIf(!builtFromHere(BUILT))('the packed tarball', () => {
  beforeAll(packAndInstall, 240_000);

  it('holds what is needed to run and to build, and nothing of the workshop', () => {
    const top = readdirSync(installed).sort();
    expect(top).toEqual(
      expect.arrayContaining([
        'LICENSE',
        'README.md',
        'binding.gyp',
        'dist',
        'native',
        'prebuilds',
        'traces',
      ]),
    );
    expect(top.filter((name) => ['src', 'test', 'bench', 'build', 'node_modules'].includes(name))).toEqual(
      [],
    );
    expect(readdirSync(path.join(installed, 'scripts'))).toEqual(['install.mjs']);
    expect(readdirSync(path.join(installed, 'prebuilds'))).toEqual([`${os.platform()}-${os.arch()}`]);
    expect(existsSync(path.join(installed, 'build'))).toBe(false);
  });

  it('is a package that others can import (publint)', async () => {
    const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  it('says its version', () => {
    expect(nestwalk(['--version']).trim()).toBe(manifest.version);
  });

  it('runs on the native engine from the prebuild, without having been built', () => {
    const { counters, provenance } = JSON.parse(nestwalk(SMALL_RUN, { NESTWALK_ENGINE: 'native' })) as Answer;
    expect(provenance.engine).toBe('native');
    expect(counters.accesses).toBe(20_000);
  });

  it('gives the same counters on the TypeScript engine when there is no prebuild for the platform', () => {
    const native = JSON.parse(nestwalk(SMALL_RUN)) as Answer;
    rmSync(path.join(installed, 'prebuilds'), { recursive: true });
    const ts = JSON.parse(nestwalk(SMALL_RUN)) as Answer;
    expect([native.provenance.engine, ts.provenance.engine]).toEqual(['native', 'ts']);
    expect(ts.counters).toEqual(native.counters);
    expect(ts.counters.walks).toBeGreaterThan(0);
  });

  it('can be imported as a library', () => {
    const code = "import { simulate } from 'nestwalk'; console.log(typeof simulate);";
    expect(must(process.execPath, ['--input-type=module', '-e', code], elsewhere).trim()).toBe('function');
  });
});
