/** Parameters of scenarios: what each is, what it may be, and reading what a user gave for them. */

import { didYouMean } from '../config/suggest.ts';
import { formatBytes, parseBytes, parseCount, show } from '../config/units.ts';
import { NestwalkError, type Problem } from '../errors.ts';

/** What all parameters have. */
interface Described {
  /** What it is, for `--help` and the documentation. */
  readonly about: string;
}

/** One parameter: what it is, its default, and its limits. */
export type Parameter =
  | (Described & {
      /** A whole number, also `1e6` or `2M`. */
      readonly kind: 'count';
      /** What is counted: `pages`, `writes`. */
      readonly unit: string;
      readonly default: number;
      /** Smallest value allowed; default 0. */
      readonly min?: number;
      /** Largest value allowed; default 2^53 - 1. */
      readonly max?: number;
    })
  | (Described & {
      /** Bytes, also `64MiB`. */
      readonly kind: 'bytes';
      readonly default: number;
      /** Smallest value allowed; default 4096. */
      readonly min?: number;
      /** Largest value allowed; default 16 TiB. */
      readonly max?: number;
      /** What it must be a multiple of; default 4096. */
      readonly multipleOf?: number;
    })
  | (Described & {
      /** A number that need not be whole. */
      readonly kind: 'number';
      readonly default: number;
      /** Smallest value allowed; default 0. */
      readonly min?: number;
      /** Largest value allowed; default 1. */
      readonly max?: number;
    })
  | (Described & {
      /** On or off. */
      readonly kind: 'flag';
      readonly default: boolean;
    })
  | (Described & {
      /** One of several words. */
      readonly kind: 'choice';
      readonly default: string;
      readonly choices: readonly string[];
    });

/** Parameters by name. */
export type Parameters = Readonly<Record<string, Parameter>>;

/** A value of a parameter. */
export type ParameterValue = number | boolean | string;

/** The type of a value, by the kind of its parameter. */
type ValueOfKind<Kind> = Kind extends 'flag' ? boolean : Kind extends 'choice' ? string : number;

/** The values of parameters, each of the type of its kind. */
export type ValuesOf<P extends Parameters> = { readonly [Name in keyof P]: ValueOfKind<P[Name]['kind']> };

const LARGEST_BYTES = 2 ** 44;
const FLAG_WORDS: Readonly<Record<string, boolean>> = {
  true: true,
  on: true,
  yes: true,
  false: false,
  off: false,
  no: false,
};

/** What a parameter may be, in words: `a count of pages from 1 to 1,048,576`. */
export function allowedText(parameter: Parameter): string {
  const number = (value: number): string => value.toLocaleString('en-GB', { maximumFractionDigits: 6 });
  switch (parameter.kind) {
    case 'flag':
      return 'on or off';
    case 'choice':
      return `one of ${parameter.choices.join(', ')}`;
    case 'bytes': {
      const { min = 4096, max = LARGEST_BYTES, multipleOf = 4096 } = parameter;
      return `bytes from ${number(min)} to ${number(max)}, a multiple of ${number(multipleOf)}`;
    }
    case 'count': {
      const { min = 0, max, unit } = parameter;
      return `a count of ${unit} from ${number(min)}${max === undefined ? '' : ` to ${number(max)}`}`;
    }
    default: {
      const { min = 0, max = 1 } = parameter;
      return `a number from ${number(min)} to ${number(max)}`;
    }
  }
}

/** A value of a parameter of a kind, as people write it: `on`, `64MiB`, `20,000`. */
export function valueText(kind: Parameter['kind'], value: ParameterValue): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'string') return value;
  return kind === 'bytes' ? formatBytes(value) : value.toLocaleString('en-GB', { maximumFractionDigits: 6 });
}

/** A value in its limits, or a complaint. */
function inLimits(value: number, min: number, max: number): number | string {
  return value >= min && value <= max ? value : 'is out of range';
}

/** The value that was given, or a complaint. */
function readValue(parameter: Parameter, given: unknown): { value: ParameterValue } | string {
  const checked = (value: number | string): { value: ParameterValue } | string =>
    typeof value === 'string' ? value : { value };
  switch (parameter.kind) {
    case 'flag': {
      const value = typeof given === 'boolean' ? given : FLAG_WORDS[String(given)];
      return value === undefined ? 'is neither on nor off' : { value };
    }
    case 'choice':
      return typeof given === 'string' && parameter.choices.includes(given)
        ? { value: given }
        : `is not known${typeof given === 'string' ? didYouMean(given, parameter.choices) : ''}`;
    case 'bytes': {
      const { min = 4096, max = LARGEST_BYTES, multipleOf = 4096 } = parameter;
      const value = parseBytes(given);
      if (value % multipleOf !== 0) return `is no multiple of ${multipleOf}`;
      return checked(inLimits(value, min, max));
    }
    case 'count':
      return checked(
        inLimits(parseCount(given), parameter.min ?? 0, parameter.max ?? Number.MAX_SAFE_INTEGER),
      );
    default: {
      const value = typeof given === 'string' && given.trim() !== '' ? Number(given) : given;
      if (typeof value !== 'number' || !Number.isFinite(value)) return 'is not a number';
      return checked(inLimits(value, parameter.min ?? 0, parameter.max ?? 1));
    }
  }
}

/**
 * The values of all parameters: what was given, read and checked, and defaults for the rest.
 * @param scenario name of the scenario, for messages
 * @param given values by name, as text or as they are; `undefined` counts as not given
 * @throws NestwalkError `config.invalid` with every problem at once: an unknown parameter, or a value out of its limits
 */
export function readParameters<P extends Parameters>(
  scenario: string,
  parameters: P,
  given: Readonly<Record<string, unknown>>,
): ValuesOf<P> {
  const problems: Problem[] = [];
  const values: Record<string, ParameterValue> = {};
  for (const [name, parameter] of Object.entries(parameters)) values[name] = parameter.default;
  const names = Object.keys(parameters);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const parameter = Object.hasOwn(parameters, name) ? parameters[name] : undefined;
    if (parameter === undefined) {
      const hint = didYouMean(name, names) || (names.length > 0 ? `; it has ${names.join(', ')}` : '');
      problems.push({ path: name, message: `${scenario} has no such parameter${hint}` });
      continue;
    }
    const read = readGiven(parameter, value);
    if (typeof read === 'string')
      problems.push({ path: name, message: `${show(value)} ${read}: it must be ${allowedText(parameter)}` });
    else values[name] = read.value;
  }
  if (problems.length > 0) {
    const lines = problems.map(({ path, message }) => `${path}: ${message}`);
    throw new NestwalkError('config.invalid', lines.join('\n'), { problems });
  }
  return values as ValuesOf<P>;
}

/** As {@link readValue}; what the readers of units complain of is a complaint too. */
function readGiven(parameter: Parameter, given: unknown): { value: ParameterValue } | string {
  try {
    return readValue(parameter, given);
  } catch (error) {
    if (error instanceof NestwalkError) return 'cannot be read';
    throw error;
  }
}
