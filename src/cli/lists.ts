/** `nestwalk list`: what is built in. */
import { Argument, type Command } from 'commander';
import { NAMED_WORKLOADS } from '../config/named.ts';
import type { PatternInput } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { NestwalkError } from '../errors.ts';
import { MACHINE_PRESETS } from '../machines/presets.ts';
import { bytes } from '../report/format.ts';
import { facts, type Style, styleFor, table, text } from '../report/table.ts';
import { print } from './streams.ts';

/** One thing that is built in. */
interface Entry {
  name: string;
  title: string;
  /** Where each number is from. */
  sources?: Readonly<Record<string, string>>;
  /** What the real machine has beyond it. */
  lost?: readonly string[];
  footprint?: string;
  fields?: string;
}

/** Every pattern: its fields, and the page that access i goes to. */
const PATTERN_TEXTS: Record<PatternInput, { fields: string; about: string }> = {
  uniform: { fields: '', about: 'any page of the region, all alike' },
  sequential: { fields: '', about: 'stride of 64 bytes' },
  stride: { fields: 'bytes', about: 'address i × bytes, round the region' },
  zipf: {
    fields: 'theta, clustered',
    about: 'rank r with weight 1 / r^theta; ranks scattered unless clustered',
  },
  chase: { fields: '', about: 'one cycle through all pages in random order' },
  hotcold: { fields: 'hot, weight', about: 'a share of pages (hot) gets a share of accesses (weight)' },
  window: {
    fields: 'pages, shift, every',
    about: 'uniform in a window that moves on by shift pages every so often',
  },
  btree: { fields: 'fanout, levels', about: 'look-ups from root to leaf, a node a page' },
  burst: { fields: 'k, of', about: 'k accesses to each page that another pattern gives' },
  mix: { fields: 'weights, parts', about: 'one of several patterns, by weight' },
  phases: { fields: 'lengths, parts', about: 'several patterns in turn, each for its length' },
  interleave: { fields: 'parts', about: 'several patterns, one access each in turn' },
};

const LISTS = {
  machines: (): Entry[] =>
    Object.entries(MACHINE_PRESETS).map(([name, { title, sources, lost }]) => ({
      name,
      title,
      sources,
      lost,
    })),
  workloads: (): Entry[] =>
    Object.entries(NAMED_WORKLOADS).map(([name, { title, source, parameters, footprint }]) => ({
      name,
      title,
      sources: { 'the program': source, ...parameters },
      footprint: bytes(footprint),
    })),
  patterns: (): Entry[] =>
    Object.entries(PATTERN_TEXTS).map(([name, { fields, about }]) => ({ name, title: about, fields })),
} as const;
type ListName = keyof typeof LISTS;

/** All entries, a line each. */
function overview(entries: readonly Entry[], style: Style): string {
  const [first] = entries;
  const last =
    first.fields === undefined ? (first.footprint === undefined ? undefined : 'footprint') : 'fields';
  return table(
    [text('name'), text('what'), ...(last ? [text(last)] : [])],
    entries.map((entry) => [entry.name, entry.title, ...(last ? [entry[last] ?? ''] : [])]),
    style,
  );
}

/** One entry with the source of each of its numbers. */
function whole({ name, title, sources, lost, fields }: Entry, style: Style): string {
  const parts = [style.strong(`${name}: ${title}`)];
  if (fields) parts.push(`fields: ${fields}`);
  if (sources) parts.push(facts(Object.entries(sources), style));
  if (lost && lost.length > 0) parts.push(`Not modelled:\n${lost.map((line) => `  ${line}`).join('\n')}`);
  return parts.join('\n');
}

function entryNamed(what: ListName, name: string): Entry {
  const entries = LISTS[what]();
  const entry = entries.find((it) => it.name === name);
  if (entry) return entry;
  const names = entries.map((it) => it.name);
  throw new NestwalkError(
    'usage',
    `${name} is none of the ${what}${didYouMean(name, names) || `; there are ${names.join(', ')}`}`,
  );
}

/** Adds `list machines|workloads|patterns`. */
export function addListCommand(program: Command): void {
  program
    .command('list')
    .addArgument(new Argument('<what>', 'what to list').choices(Object.keys(LISTS)))
    .argument('[name]', 'one of them, with the source of each number')
    .option('--json', 'as JSON')
    .description('what is built in: machines and workloads with their sources, patterns with their fields')
    .addHelpText('after', '\nExamples:\n  nestwalk list machines\n  nestwalk list machines skylake-sp')
    .action(async (what: ListName, name: string | undefined, flags: { json?: boolean }) => {
      const shown = name === undefined ? LISTS[what]() : entryNamed(what, name);
      if (flags.json) return print(JSON.stringify(shown, null, 2));
      const style = styleFor(process.stdout);
      await print(Array.isArray(shown) ? overview(shown, style) : whole(shown, style));
    });
}
