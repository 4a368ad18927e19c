/** Finds a scenario: one that is built in, by name, or one of a user's own, by its file. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { didYouMean } from '../config/suggest.ts';
import { NestwalkError } from '../errors.ts';
import { SCENARIOS } from './catalogue.ts';
import type { Parameter } from './parameters.ts';
import type { Scenario } from './scenario.ts';

const KINDS: readonly Parameter['kind'][] = ['count', 'bytes', 'number', 'flag', 'choice'];
/** Flags of the command itself, which no parameter can be called. */
const RESERVED = [
  'platforms',
  'costs',
  'machine',
  'hostPage',
  'batch',
  'seed',
  'vary',
  'engine',
  'workers',
  'json',
  'quiet',
  'help',
];
/** Names that the command line can make a flag of. */
const PARAMETER_NAME = /^[a-z][a-zA-Z0-9]*$/;
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/i;

/** Whether a text means a file: it has a folder or an ending. */
const isPath = (text: string): boolean => /[/\\]|\.[cm]?[jt]s$/.test(text);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** What is wrong with something that should be a scenario; `undefined` when nothing is. */
function flawOf(value: unknown): string | undefined {
  if (!isObject(value)) return 'it is not an object';
  if (typeof value.name !== 'string' || !NAME.test(value.name))
    return '`name` must be a name of letters, digits and hyphens';
  for (const field of ['title', 'operation'])
    if (typeof value[field] !== 'string') return `\`${field}\` must be a text`;
  for (const field of ['setup', 'run'])
    if (typeof value[field] !== 'function') return `\`${field}\` must be a function`;
  if (!isObject(value.parameters)) return '`parameters` must be an object, {} for none';
  for (const [name, parameter] of Object.entries(value.parameters)) {
    if (!PARAMETER_NAME.test(name) || RESERVED.includes(name))
      return `parameter \`${name}\` cannot be called so: names are words in camelCase, other than ${RESERVED.join(', ')}`;
    if (!isObject(parameter) || !KINDS.includes(parameter.kind as Parameter['kind']))
      return `parameter \`${name}\` must have a \`kind\`: one of ${KINDS.join(', ')}`;
    if (parameter.default === undefined) return `parameter \`${name}\` must have a \`default\``;
    if (parameter.kind === 'choice' && !Array.isArray(parameter.choices))
      return `parameter \`${name}\` must list its \`choices\``;
    if (typeof parameter.about !== 'string') return `parameter \`${name}\` must say what it is \`about\``;
  }
  return undefined;
}

/**
 * Makes sure that something is a scenario.
 * @param what how to call it in a message
 * @throws NestwalkError `scenario.file`, with what is missing
 */
export function checkScenario(value: unknown, what: string): Scenario {
  const flaw = flawOf(value);
  if (flaw === undefined) return value as Scenario;
  throw new NestwalkError('scenario.file', `${what} is no scenario: ${flaw}; see docs/scenarios.md`);
}

async function loadFile(text: string): Promise<Scenario> {
  const file = path.resolve(text);
  if (!existsSync(file))
    throw new NestwalkError('scenario.file', `${text} does not exist; give the path of a scenario`);
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new NestwalkError('scenario.file', `${text} cannot be loaded: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (module.default === undefined)
    throw new NestwalkError(
      'scenario.file',
      `${text} has no default export: a scenario file exports one scenario so`,
    );
  return checkScenario(module.default, text);
}

/**
 * A scenario by its name, or by the path of a file whose default export it is (`./mine.mjs`).
 * @throws NestwalkError `usage` for a name that is none; `scenario.file` for a file that is none
 */
export async function loadScenario(nameOrPath: string): Promise<Scenario> {
  const builtIn = SCENARIOS.find(({ name }) => name === nameOrPath);
  if (builtIn) return builtIn;
  if (isPath(nameOrPath)) return loadFile(nameOrPath);
  const names = SCENARIOS.map(({ name }) => name);
  throw new NestwalkError(
    'usage',
    `${nameOrPath} is no scenario${didYouMean(nameOrPath, names) || `; there are ${names.join(', ')}, or give a file such as ./mine.mjs`}`,
  );
}
