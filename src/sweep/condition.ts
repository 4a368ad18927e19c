/**
 * Conditions of `skip:` over the varied fields. Two forms: a map from field to a value or a list of values, all of which
 * must hold; and a text such as `machine.stlb[0].entries / machine.stlb[0].ways > 4096`, read by a parser of its own.
 */

import { canonicalJson } from '../config/resolve.ts';
import { parseBytes } from '../config/units.ts';

/** What a condition computes with: numbers, text, and the truth of a comparison. */
type Value = number | string | boolean;

/** Gives the value of a varied field in the cell at hand. */
export type FieldValue = (path: string) => unknown;

/** A condition, ready to be asked for any number of cells. */
export type Condition = (field: FieldValue) => boolean;

/** A text that is no condition; the message says why, and where in the text. */
export class ConditionError extends Error {}

type Term = (field: FieldValue) => Value;

const TOKEN =
  /\s*(?:(?<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[A-Za-z]*)|(?<path>[A-Za-z_]\w*(?:\.\w+|\[\d+\])*)|(?<text>"[^"]*"|'[^']*')|(?<sign><=|>=|==|!=|&&|\|\||[<>()[\],+\-*/%!]))/y;

interface Token {
  kind: 'number' | 'path' | 'text' | 'sign';
  text: string;
  at: number;
}

/** Words and signs that mean the same. */
const SAME: Readonly<Record<string, string>> = { '&&': 'and', '||': 'or', '!': 'not' };
const WORDS = ['and', 'or', 'not', 'in'];

function tokens(source: string): Token[] {
  const found: Token[] = [];
  let at = 0;
  while (source.slice(at).trim() !== '') {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(source);
    if (!match) throw new ConditionError(`${JSON.stringify(source.slice(at).trim()[0])} means nothing here`);
    const [kind, text] = Object.entries(match.groups!).find(([, group]) => group !== undefined)!;
    at = TOKEN.lastIndex;
    const word = SAME[text] ?? text;
    found.push({
      kind: WORDS.includes(word) ? 'sign' : (kind as Token['kind']),
      text: word,
      at: at - text.length,
    });
  }
  return found;
}

/** `machine.stlb.0.ways` as `machine.stlb[0].ways`: the one spelling of a path. */
export const plainPath = (path: string): string => path.replace(/\.(\d+)(?=\.|\[|$)/g, '[$1]');

/** A value as conditions see it: text that is a quantity (`4KiB`, `1e6`) is its number, a structure its JSON. */
export function comparable(value: unknown): Value {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value !== 'string') return canonicalJson(value);
  try {
    return parseBytes(value);
  } catch {
    return value;
  }
}

const numberOf = (value: Value, sign: string): number => {
  if (typeof value === 'number') return value;
  throw new ConditionError(`"${sign}" needs numbers, not ${JSON.stringify(value)}`);
};

const truthOf = (value: Value): boolean => {
  if (typeof value === 'boolean') return value;
  throw new ConditionError(`${JSON.stringify(value)} is neither true nor false: compare it with something`);
};

type Operation = (left: Term, right: Term) => Term;

const arithmetic =
  (sign: string, compute: (a: number, b: number) => Value): Operation =>
  (left, right) =>
  (field) =>
    compute(numberOf(left(field), sign), numberOf(right(field), sign));

/** Operators from the loosest to the tightest. */
const LEVELS: readonly Readonly<Record<string, Operation>>[] = [
  { or: (left, right) => (field) => truthOf(left(field)) || truthOf(right(field)) },
  { and: (left, right) => (field) => truthOf(left(field)) && truthOf(right(field)) },
  {
    '==': (left, right) => (field) => left(field) === right(field),
    '!=': (left, right) => (field) => left(field) !== right(field),
    '<': arithmetic('<', (a, b) => a < b),
    '<=': arithmetic('<=', (a, b) => a <= b),
    '>': arithmetic('>', (a, b) => a > b),
    '>=': arithmetic('>=', (a, b) => a >= b),
  },
  { '+': arithmetic('+', (a, b) => a + b), '-': arithmetic('-', (a, b) => a - b) },
  {
    '*': arithmetic('*', (a, b) => a * b),
    '/': arithmetic('/', (a, b) => a / b),
    '%': arithmetic('%', (a, b) => a % b),
  },
];
const COMPARISON = 2;

class Parser {
  private readonly list: Token[];
  private readonly known: (path: string) => boolean;
  private next = 0;

  constructor(list: Token[], known: (path: string) => boolean) {
    this.list = list;
    this.known = known;
  }

  whole(): Term {
    const term = this.level(0);
    const rest = this.list[this.next];
    if (rest) throw new ConditionError(`"${rest.text}" at column ${rest.at + 1} is one too many`);
    return term;
  }

  private sign(...texts: string[]): string | undefined {
    const token = this.list[this.next];
    if (token?.kind !== 'sign' || !texts.includes(token.text)) return undefined;
    this.next += 1;
    return token.text;
  }

  private expect(text: string): void {
    if (!this.sign(text)) throw new ConditionError(`a "${text}" is missing`);
  }

  private level(depth: number): Term {
    if (depth === LEVELS.length) return this.unary();
    if (depth === COMPARISON && this.sign('not')) {
      const inner = this.level(COMPARISON);
      return (field) => !truthOf(inner(field));
    }
    let left = this.level(depth + 1);
    for (;;) {
      if (depth === COMPARISON && this.sign('in')) {
        left = this.membership(left);
        continue;
      }
      const sign = this.sign(...Object.keys(LEVELS[depth]));
      if (!sign) return left;
      left = LEVELS[depth][sign](left, this.level(depth + 1));
    }
  }

  private membership(left: Term): Term {
    this.expect('[');
    const members = [this.level(0)];
    while (this.sign(',')) members.push(this.level(0));
    this.expect(']');
    return (field) => members.some((member) => member(field) === left(field));
  }

  private unary(): Term {
    if (this.sign('-')) {
      const inner = this.unary();
      return (field) => -numberOf(inner(field), '-');
    }
    if (this.sign('(')) {
      const inner = this.level(0);
      this.expect(')');
      return inner;
    }
    return this.leaf();
  }

  private leaf(): Term {
    const token = this.list[this.next++];
    if (!token) throw new ConditionError('it ends too early');
    const { kind, text, at } = token;
    if (kind === 'sign') throw new ConditionError(`"${text}" at column ${at + 1} is not expected there`);
    if (kind === 'number') return this.quantity(text);
    if (kind === 'text') {
      const value = comparable(text.slice(1, -1));
      return () => value;
    }
    if (text === 'true' || text === 'false') return () => text === 'true';
    const path = plainPath(text);
    if (!this.known(path))
      throw new ConditionError(`${text} is not varied here; text stands in quotes, as in workload == "gups"`);
    return (field) => comparable(field(path));
  }

  private quantity(text: string): Term {
    const value = /^[\d.]+$/.test(text) ? Number(text) : comparable(text);
    if (typeof value !== 'number') throw new ConditionError(`${text} is not a number`);
    return () => value;
  }
}

/**
 * Reads a condition's text: comparisons (`== != < <= > >=`, `in [a, b]`), `and`, `or`, `not`, `+ - * / %`, parentheses;
 * numbers may have byte units, text stands in quotes, everything else is a varied field.
 * @param known whether a path (in its plain spelling) is varied
 * @throws {ConditionError} saying what is wrong
 */
export function readCondition(source: string, known: (path: string) => boolean): Condition {
  const term = new Parser(tokens(source), known).whole();
  return (field) => truthOf(term(field));
}

/** The condition of a map: every field has the value given, or one of the list given. */
export function readMatch(match: Readonly<Record<string, unknown>>): Condition {
  const wanted = Object.entries(match).map(([path, value]) => {
    const values = (Array.isArray(value) ? value : [value]).map(comparable);
    return [plainPath(path), values] as const;
  });
  return (field) => wanted.every(([path, values]) => values.includes(comparable(field(path))));
}
