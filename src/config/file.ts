/** Configuration files: YAML (and JSON, which is YAML), with the place of every value. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';
import { NestwalkError, type Problem } from '../errors.ts';
import { invalidConfig, type Locator, type Path } from './problems.ts';

/** What a file says, and where it says it: both go to `resolveConfig`. */
export interface ParsedConfig {
  input: unknown;
  source: Locator;
}

/**
 * Reads YAML or JSON text.
 * @param file How the text is called in messages.
 * @throws NestwalkError `config.invalid` with every syntax error: bad indentation, duplicate keys, …
 */
export function parseConfigText(text: string, file: string): ParsedConfig {
  const lines = new LineCounter();
  // Whole numbers are read as bigints: a seed of 64 bits in plain digits stays exact.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, intAsBigInt: true });
  if (document.errors.length > 0)
    throw invalidConfig(document.errors.map((error) => syntaxProblem(error, text, lines, file)));
  let input: unknown;
  try {
    input = document.toJS();
  } catch (error) {
    // Aliases are expanded here; the package refuses those that would multiply without end.
    throw invalidConfig([{ path: '', message: (error as Error).message, file, line: 1, column: 1 }]);
  }
  const source: Locator = (at, part) => {
    const { line, col } = lines.linePos(offsetOf(document, at, part));
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  return { input, source };
}

/**
 * Reads a configuration file. A trace's path in it is relative to `directory`.
 * @throws NestwalkError `config.file` when it cannot be read, `config.invalid` for errors of syntax.
 */
export function loadConfigFile(file: string): ParsedConfig & { directory: string } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new NestwalkError('config.file', `${file}: cannot read this configuration: ${reason(error)}`, {
      cause: error,
    });
  }
  return { ...parseConfigText(text, file), directory: path.dirname(path.resolve(file)) };
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission is denied',
};

function reason(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}

/** Messages of the YAML package that can be said better. */
const SYNTAX: Readonly<Record<string, string>> = {
  BAD_INDENT:
    'bad indentation: fields of one map begin in the same column, and brackets close where they stand',
  TAB_AS_INDENT: 'a tab cannot indent YAML: use blanks',
  MULTIPLE_DOCS: 'a second document begins here: a file holds one configuration',
  MISSING_CHAR: 'something is not closed or separated here: a quote, a bracket, a comma or a colon',
};

function syntaxProblem(error: YAMLError, text: string, lines: LineCounter, file: string): Problem {
  const { line, col } = lines.linePos(error.pos[0]);
  const place = { file, line, column: col };
  if (error.code === 'DUPLICATE_KEY') {
    const key = /^\s*["']?([^\s"':,]*)/.exec(text.slice(error.pos[0]))?.[1] ?? '';
    return { path: key, message: 'is given twice in the same map: keep one of the two', ...place };
  }
  return { path: '', message: SYNTAX[error.code] ?? error.message, ...place };
}

/** Offset of the value at a path, or of its key; of what is nearest around it where the path ends early. */
function offsetOf(document: Document.Parsed, at: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [index, step] of at.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (!isCollection(node)) return offset;
    const pair = isMap(node) ? (node.items as Pair[]).find((item) => keyOf(item) === step) : undefined;
    const next = pair ? pair.value : node.get(step, true);
    const wanted = pair && part === 'key' && index === at.length - 1 ? pair.key : (next ?? pair?.key);
    if (!isNode(wanted)) return offset;
    offset = wanted.range?.[0] ?? offset;
    node = next;
  }
  return offset;
}

const keyOf = (pair: Pair): string => String(isNode(pair.key) ? pair.key.toJSON() : pair.key);
