/** The folder of a sweep: `sweep.json`, the frozen plan, beside `journal/`. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { NestwalkError } from '../errors.ts';
import { packageVersion } from '../run/simulate.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';
import { folderError, makeFolder, reasonOf } from './journal.ts';
import type { Plan } from './plan.ts';

/** File of the frozen plan. */
export const planFile = (sweep: string): string => path.join(sweep, 'sweep.json');

/**
 * Writes a file so that readers see the old one or the new one, never a part.
 * @param code of the error, for files that are not in the folder of a sweep
 * @throws {NestwalkError} `sweep.folder`, or `code`
 */
export function writeWhole(file: string, text: string, code?: 'export.file'): void {
  const partial = `${file}.${process.pid}.partial`;
  try {
    makeFolder(path.dirname(file));
    const fd = openSync(partial, 'w');
    try {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(partial, file);
  } catch (cause) {
    try {
      rmSync(partial, { force: true });
    } catch {
      // What could not be made cannot be taken away either; the reason is told below.
    }
    if (code) throw new NestwalkError(code, `${file} cannot be written: ${reasonOf(cause)}`, { cause });
    throw folderError(`${file} cannot be written`, cause);
  }
}

/**
 * The plan of a sweep's folder.
 * @throws {NestwalkError} `sweep.none` when there is none; `sweep.folder` when it is no plan; `sweep.plan` when another version made it
 */
export function readPlan(sweep: string): Plan {
  const file = planFile(sweep);
  let plan: Plan;
  try {
    plan = JSON.parse(readFileSync(file, 'utf8')) as Plan;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
      throw new NestwalkError('sweep.none', `${sweep} holds no sweep: there is no ${file}.`, { cause });
    throw folderError(`${file} cannot be read`, cause);
  }
  if (plan.format !== 1)
    throw new NestwalkError('sweep.plan', `${file} is of a format that this version does not know`);
  return plan;
}

/**
 * Refuses to add to a sweep that another version began: its results must not be mixed with this one's.
 * @throws {NestwalkError} `sweep.plan`
 */
export function checkVersion(plan: Plan, sweep: string): void {
  if (plan.version === packageVersion() && plan.schema === SCHEMA_FINGERPRINT) return;
  throw new NestwalkError(
    'sweep.plan',
    `${sweep} was begun by nestwalk ${plan.version} (schema ${plan.schema}), and this is ${packageVersion()} (schema ` +
      `${SCHEMA_FINGERPRINT}): results of two versions are not mixed. Go on with that version, or start anew in another folder.`,
  );
}

/** What a plan differs in from another, for people. */
function difference(mine: Plan, theirs: Plan): string {
  const axes = (plan: Plan): string =>
    plan.axes.map(({ path: field, values }) => `${field} (${values.length})`).join(', ');
  if (mine.version !== theirs.version || mine.schema !== theirs.schema)
    return `it was begun by nestwalk ${theirs.version} (schema ${theirs.schema})`;
  if (axes(mine) !== axes(theirs)) return `it varies ${axes(theirs)}, and the file now ${axes(mine)}`;
  if (mine.cells.length !== theirs.cells.length)
    return `it has ${theirs.cells.length} cells, and the file now ${mine.cells.length}`;
  if (mine.counters !== theirs.counters)
    return `its counters are "${theirs.counters}", and the file's now "${mine.counters}"`;
  return 'its cells have other configurations (or a trace was changed)';
}

/**
 * Freezes a plan in its folder, or takes up the one that is there when it has the same cells.
 * @throws {NestwalkError} `sweep.plan` when the folder holds another sweep; `sweep.folder`
 */
export function freezePlan(plan: Plan, sweep: string): void {
  if (sweep.trim() === '')
    throw new NestwalkError('usage', 'the folder of a sweep has an empty name; give --out DIR');
  if (existsSync(sweep) && !statSync(sweep).isDirectory())
    throw new NestwalkError('usage', `${sweep} is a file; a sweep needs a folder of its own, which it makes`);
  if (existsSync(planFile(sweep))) {
    const frozen = readPlan(sweep);
    if (frozen.identity !== plan.identity)
      throw new NestwalkError(
        'sweep.plan',
        `${sweep} holds another sweep: ${difference(plan, frozen)}. Give --out another folder, or the file that it was begun with.`,
      );
  }
  const text = `${JSON.stringify(plan)}\n`;
  // What is there already is left alone: a sweep that is done can be looked at where nothing can be written.
  const isThere = existsSync(planFile(sweep)) && readFileSync(planFile(sweep), 'utf8') === text;
  if (!isThere) writeWhole(planFile(sweep), text);
}
