/** `nestwalk list`: what is built in. */
import { Argument, type Command } from 'commander';
import { NAMED_WORKLOADS, type PublishedFootprint } from '../config/named.ts';
import type { MachineConfig } from '../config/resolved.ts';
import type { PatternInput } from '../config/schema.ts';
import { didYouMean } from '../config/suggest.ts';
import { NestwalkError } from '../errors.ts';
import { COST_PRESETS, type CostPreset } from '../machines/costs.ts';
import { MACHINE_PRESETS } from '../machines/presets.ts';
import { bytes } from '../report/format.ts';
import { renderPreset } from '../report/machine.ts';
import { renderCosts } from '../report/scenario.ts';
import { facts, type Style, styleFor, table, text } from '../report/table.ts';
import { CLAIMS } from '../reproduce/claims/index.ts';
import { SCENARIOS } from '../scenario/catalogue.ts';
import { allowedText, valueText } from '../scenario/parameters.ts';
import { print } from './streams.ts';

/** One thing that is built in. */
interface Entry {
  name: string;
  title: string;
  /** A machine's numbers. */
  machine?: MachineConfig;
  /** Where each number is from. */
  sources?: Readonly<Record<string, string>>;
  /** What the real machine has beyond it. */
  lost?: readonly string[];
  footprint?: string;
  /** Footprints that published measurements used. */
  published?: readonly PublishedFootprint[];
  fields?: string;
  /** A cost preset, whole. */
  costs?: CostPreset;
  /** Parameters of a scenario: what each is, and its default. */
  parameters?: Readonly<Record<string, string>>;
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
    Object.entries(MACHINE_PRESETS).map(([name, { title, machine, sources, lost }]) => ({
      name,
      title,
      machine,
      sources,
      lost,
    })),
  workloads: (): Entry[] =>
    Object.entries(NAMED_WORKLOADS).map(([name, { title, source, parameters, footprint, published }]) => ({
      name,
      title,
      sources: { 'the program': source, ...parameters },
      footprint: bytes(footprint),
      published,
    })),
  claims: (): Entry[] =>
    CLAIMS.map(({ id, title, source, mark, paper }) => ({
      name: id,
      title,
      sources: { source: `${mark}: ${source}`, published: paper },
    })),
  scenarios: (): Entry[] =>
    SCENARIOS.map(({ name, title, claim, parameters }) => ({
      name,
      title,
      ...(claim ? { sources: { published: claim.statement, source: claim.source } } : {}),
      parameters: Object.fromEntries(
        Object.entries(parameters).map(([key, parameter]) => [
          key,
          `${parameter.about}: ${allowedText(parameter)}; default ${valueText(parameter.kind, parameter.default)}`,
        ]),
      ),
    })),
  costs: (): Entry[] =>
    Object.values(COST_PRESETS).map((costs) => ({ name: costs.name, title: costs.title, costs })),
  patterns: (): Entry[] =>
    Object.entries(PATTERN_TEXTS).map(([name, { fields, about }]) => ({ name, title: about, fields })),
} as const;
type ListName = keyof typeof LISTS;

/** All entries, a line each. */
function overview(entries: readonly Entry[], style: Style): string {
  const [first] = entries;
  const last =
    first.fields === undefined ? (first.footprint === undefined ? undefined : 'footprint') : 'fields';
  const measured = ({ published = [] }: Entry): string => published.map((it) => bytes(it.bytes)).join(', ');
  return table(
    [
      text('name'),
      text('what'),
      ...(last ? [text(last)] : []),
      ...(first.published ? [text('published')] : []),
    ],
    entries.map((entry) => [
      entry.name,
      entry.title,
      ...(last ? [entry[last] ?? ''] : []),
      ...(first.published ? [measured(entry)] : []),
    ]),
    style,
  );
}

/** One entry with the source of each of its numbers. */
function whole(entry: Entry, style: Style): string {
  const { name, title, machine, sources, lost = [], fields, published = [] } = entry;
  if (machine && sources) return renderPreset({ name, title, machine, sources, lost }, style);
  if (entry.costs) return renderCosts(entry.costs, style);
  const parts = [style.strong(`${name}: ${title}`)];
  if (fields) parts.push(`fields: ${fields}`);
  if (sources) parts.push(facts(Object.entries(sources), style));
  if (entry.parameters) parts.push(`Parameters:\n${facts(Object.entries(entry.parameters), style)}`);
  if (published.length > 0)
    parts.push(
      `Footprints of published measurements:\n${published.map((it) => `  ${bytes(it.bytes)}: ${it.source}`).join('\n')}`,
    );
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

/** Adds `list machines|workloads|scenarios|costs|claims|patterns`. */
export function addListCommand(program: Command): void {
  program
    .command('list')
    .addArgument(new Argument('<what>', 'what to list').choices(Object.keys(LISTS)))
    .argument('[name]', 'one of them, with the source of each number')
    .option('--verbose', 'all of them, with the source of each number')
    .option('--json', 'as JSON')
    .description(
      'what is built in: machines, workloads, scenarios, costs and claims with their sources, patterns with their fields',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  nestwalk list machines\n  nestwalk list machines skylake-sp\n  nestwalk list machines --verbose\n  nestwalk list costs pentium4-2005',
    )
    .action(
      async (what: ListName, name: string | undefined, flags: { json?: boolean; verbose?: boolean }) => {
        const shown = name === undefined ? LISTS[what]() : entryNamed(what, name);
        if (flags.json) return print(JSON.stringify(shown, null, 2));
        const style = styleFor(process.stdout);
        if (!Array.isArray(shown)) return print(whole(shown, style));
        await print(
          flags.verbose ? shown.map((entry) => whole(entry, style)).join('\n\n') : overview(shown, style),
        );
      },
    );
}
