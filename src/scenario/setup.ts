/** What a scenario runs on: platforms by name, and what it needs of its host. */
import { NestwalkError } from '../errors.ts';
import { PAGE_SIZES, type PageSize } from '../schema.ts';
import type { Parameters, ValuesOf } from './parameters.ts';

/** Platforms that a scenario runs on, by name: those of `paging.mode`, and shadow paging as KVM does it. */
export const SCENARIO_PLATFORMS = ['native', 'nested', 'shadow', 'shadow-unsync', 'paravirt'] as const;
/** One of {@link SCENARIO_PLATFORMS}. */
export type ScenarioPlatform = (typeof SCENARIO_PLATFORMS)[number];

/** What a scenario needs of its host; the same on every platform. */
export interface ScenarioSetup {
  /** Memory that each guest believes it has, in bytes; rounded up to its largest page. */
  memoryBytes: number;
  /** Virtual machines; default 1. Natively they are one machine, with the memory of all. */
  guests?: number;
  /** Virtual processors of each guest; default 1. Number i of every guest runs on core i. */
  vcpus?: number;
  /** Whether guest kernels isolate their page tables (KPTI); default false. */
  kpti?: boolean;
  /** When guest kernels map anonymous memory in 2 MiB pages by themselves; default `never`. */
  hugePages?: 'never' | 'madvise' | 'always';
  /** Largest page that a guest maps; default 2 MiB where `hugePages` lets it, else 4 KiB. */
  largestPage?: PageSize;
  /** Table pages that each guest can have at a time; default one for each 64 pages of its memory, at least 4,096. */
  tablePages?: number;
  /** Which tags the TLBs know; default: what the machine has. */
  tagged?: readonly ('vpid' | 'pcid')[];
}

/** Guests, and virtual processors of each, that a host can have. */
const MOST_GUESTS = 4096;

const isWhole = (value: unknown, from: number, to: number): boolean =>
  Number.isInteger(value) && (value as number) >= from && (value as number) <= to;
const isOneOf = (names: readonly unknown[], value: unknown): boolean => names.includes(value);

/** What each field may be, and whether a value is that. */
const FIELDS: Readonly<Record<keyof ScenarioSetup, readonly [string, (value: unknown) => boolean]>> = {
  memoryBytes: ['a whole number of bytes from 4096 to 2^52', (value) => isWhole(value, 4096, 2 ** 52)],
  guests: [`a whole number from 1 to ${MOST_GUESTS}`, (value) => isWhole(value, 1, MOST_GUESTS)],
  vcpus: [`a whole number from 1 to ${MOST_GUESTS}`, (value) => isWhole(value, 1, MOST_GUESTS)],
  kpti: ['true or false', (value) => typeof value === 'boolean'],
  hugePages: ['never, madvise or always', (value) => isOneOf(['never', 'madvise', 'always'], value)],
  largestPage: [PAGE_SIZES.join(', '), (value) => isOneOf(PAGE_SIZES, value)],
  tablePages: ['a whole number from 1', (value) => isWhole(value, 1, 2 ** 40)],
  tagged: [
    'a list of vpid and pcid',
    (value) => Array.isArray(value) && value.every((tag) => isOneOf(['vpid', 'pcid'], tag)),
  ],
};

/**
 * What a scenario needs of its host, checked: a user's own may give anything.
 * @throws NestwalkError `scenario.failed` that names every field that cannot be
 */
export function setupOf<P extends Parameters>(
  scenario: { readonly name: string; setup(values: ValuesOf<P>): ScenarioSetup },
  values: ValuesOf<P>,
): ScenarioSetup {
  const setup: unknown = scenario.setup(values);
  if (typeof setup !== 'object' || setup === null)
    throw new NestwalkError(
      'scenario.failed',
      `setup of scenario ${scenario.name} must give an object with memoryBytes`,
    );
  const given = setup as Record<string, unknown>;
  const flaws = Object.entries(FIELDS).flatMap(([name, [allowed, sound]]) => {
    const value = given[name];
    if (sound(value) || (value === undefined && name !== 'memoryBytes')) return [];
    return [`${name} is ${String(value)}; it must be ${allowed}`];
  });
  if (flaws.length === 0) return setup as ScenarioSetup;
  throw new NestwalkError('scenario.failed', `setup of scenario ${scenario.name}: ${flaws.join('. ')}`);
}
