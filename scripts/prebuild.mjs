/**
 * Puts the addon that was built here into `prebuilds/`, stripped, for the packed tarball (`npm run prebuild`).
 * The name's tags are those that node-gyp-build reads: an addon linked with glibc is not offered to musl.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BUILT, builtFromHere, ROOT, stampOf } from './install.mjs';

/**
 * Runs a program and stops this one when it fails.
 * @param {string} program
 * @param {string[]} args
 */
function must(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`);
}

if (!builtFromHere(BUILT)) must(process.execPath, ['scripts/install.mjs', '--rebuild']);

const folder = path.join(ROOT, 'prebuilds', `${os.platform()}-${os.arch()}`);
const libc = os.platform() !== 'linux' ? '' : existsSync('/etc/alpine-release') ? '.musl' : '.glibc';
const target = path.join(folder, `nestwalk${libc}.node`);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
copyFileSync(BUILT, target);
copyFileSync(stampOf(BUILT), stampOf(target));
if (os.platform() === 'linux') must('strip', ['--strip-unneeded', target]);
