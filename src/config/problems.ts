/** Collecting the problems of a configuration, each with its place, so that all of them are told at once. */
import type { z } from 'zod';
import { NestwalkError, type Problem } from '../errors.ts';

/** Keys and indices from the root of a configuration to a value. */
export type Path = readonly (string | number)[];

/** Where something stands in a file: line and column from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/**
 * Tells the place of a value, or of the key that leads to it. A path that the file does not have (a missing field)
 * gives the place of the nearest thing around it.
 */
export type Locator = (path: Path, part: 'key' | 'value') => Place | undefined;

/** A path as people read it: `machine.stlb[0].ways`. */
export function pathText(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/** One line for a problem: `file:line:column: path: message`, as far as they are known. */
export function problemText(problem: Problem): string {
  const place = problem.file === undefined ? '' : `${problem.file}:${problem.line}:${problem.column}: `;
  return `${place}${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`;
}

/** The error that carries all problems; its message has one line for each, in the order of the file. */
export function invalidConfig(problems: readonly Problem[]): NestwalkError {
  const sorted = [...problems].sort(
    (a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return new NestwalkError('config.invalid', sorted.map(problemText).join('\n'), { problems: sorted });
}

/** Reads what a user wrote, field by field, and remembers what is wrong with it. */
export interface Reader {
  /** What stands at a path; `undefined` for nothing. */
  raw(path: Path): unknown;
  /** Whether there is something at a path. */
  given(path: Path): boolean;
  /** Whether nothing is known to be wrong at, in or around a path. */
  sound(path: Path): boolean;
  /** The value at a path by its schema; `undefined` where nothing is given or something is wrong with it. */
  read<Schema extends z.ZodType>(path: Path, schema: Schema): z.output<Schema> | undefined;
  /** Notes a problem; the same one twice counts once. */
  report(path: Path, message: string, part?: 'key' | 'value'): void;
  /** All problems so far. */
  readonly problems: readonly Problem[];
}

/** A reader of an input that first holds it against a schema. */
export function createReader(input: unknown, schema: z.ZodType, source?: Locator): Reader {
  const problems: Problem[] = [];
  const badPaths: Path[] = [];
  const raw = (path: Path): unknown => path.reduce(child, input);

  const report = (path: Path, message: string, part: 'key' | 'value' = 'value'): void => {
    const text = pathText(path);
    if (problems.some((problem) => problem.path === text && problem.message === message)) return;
    badPaths.push(path);
    problems.push({ path: text, message, ...source?.(path, part) });
  };
  const sound = (path: Path): boolean =>
    !badPaths.some((bad) => startsWith(bad, path) || startsWith(path, bad));
  const result = schema.safeParse(input);
  for (const issue of result.error?.issues ?? []) reportIssue(issue, [], raw, report);

  return {
    raw,
    sound,
    report,
    problems,
    given: (path) => raw(path) !== undefined,
    read: (path, fieldSchema) =>
      raw(path) === undefined || !sound(path) ? undefined : fieldSchema.safeParse(raw(path)).data,
  };
}

function child(value: unknown, step: string | number): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
  return (value as Record<string | number, unknown>)[step];
}

const startsWith = (path: Path, start: Path): boolean =>
  start.length <= path.length && start.every((step, index) => step === path[index]);

type Issue = z.core.$ZodIssue;

/** One issue of the schema as problems: one for each unknown field; of a union's branches the one that was meant. */
function reportIssue(issue: Issue, around: Path, raw: Reader['raw'], report: Reader['report']): void {
  const path = [...around, ...(issue.path as Path)];
  if (issue.code === 'unrecognized_keys') {
    const messages = issue.message.split('\n');
    issue.keys.forEach((key, index) => {
      report([...path, key], messages[index], 'key');
    });
    return;
  }
  const value = raw(path);
  const structured = typeof value === 'object' && value !== null;
  const branch =
    issue.code === 'invalid_union' && structured ? meantBranch(issue.errors, path, raw) : undefined;
  if (branch) for (const inner of branch) reportIssue(inner, path, raw, report);
  else report(path, issue.message);
}

/** Fields that tell what a workload is meant to be: a trace, or a component. */
const MARKS = ['trace', 'pattern'];

/** The branch of a union that fits best: of the right type, its mark given, and with the fewest unknown fields. */
function meantBranch(branches: readonly Issue[][], path: Path, raw: Reader['raw']): Issue[] | undefined {
  const misfit = (issue: Issue): number => {
    if (issue.path.length === 0 && issue.code === 'invalid_type') return Number.POSITIVE_INFINITY;
    if (issue.path.length === 0 && issue.code === 'unrecognized_keys') return issue.keys.length;
    const unmarked = issue.path.length === 1 && MARKS.includes(String(issue.path[0]));
    return unmarked && raw([...path, ...(issue.path as Path)]) === undefined ? 1000 : 0;
  };
  let best: Issue[] | undefined;
  let bestMisfit = Number.MAX_VALUE;
  for (const branch of branches) {
    const total = branch.reduce((sum, issue) => sum + misfit(issue), 0);
    if (total <= bestMisfit) [best, bestMisfit] = [branch, total];
  }
  return best;
}
