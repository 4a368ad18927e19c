/** One translation as text: each reference in order, with its place in the matrix, and what answered. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { WalkHit, WalkStep, WalkSteps } from '../results/types.ts';
import { describeMachine } from './describe.ts';
import { count } from './format.ts';
import { numeric, type Style, table, text } from './table.ts';
import { type Story, type StoryEvent, type StorySource, walkStory } from './walkStory.ts';

const place = (step: WalkStep): string => (step.row === 'pt' ? step.col : `${step.row} ${step.col}`);

/** What an answer looks like: memory is what costs, what spares a reference is good. */
const shade = (source: StorySource, style: Style): ((text: string) => string) =>
  source === 'memory' || source === 'fault'
    ? style.bad
    : source === 'walkCache' || source === 'tlb'
      ? style.good
      : (plain) => plain;

/** Where an entry leads, in the words of the story. */
function meaning({ leaf, target, note }: WalkStep): string {
  if (target === undefined) return note;
  return leaf ? note.replace(/, frame .*/, ` → ${target}`) : `table → ${target}`;
}

/** The references as a table, with lines between them for the rows of the matrix and for what spared references. */
function stepsTable(walk: WalkSteps, story: Story, nested: boolean, style: Style): string {
  const rows: string[][] = [];
  /** Lines that stand before a row of the table, by its number. */
  const between = new Map<number, string[]>();
  const say = (line: string): void => {
    between.set(rows.length, [...(between.get(rows.length) ?? []), line]);
  };
  let under: string | undefined;
  for (const event of story.events) {
    const step = event.step === undefined ? undefined : walk.steps[event.step - 1]!;
    const row = step?.row ?? event.hit?.row;
    if (nested && row !== undefined && row !== under) say(style.strong(rowHeading(row, story)));
    under = row ?? under;
    if (event.hit) say(hitLine(event.hit, event, style));
    if (step) rows.push(stepRow(step, event, nested, style));
  }
  const columns = [
    numeric('#'),
    text('place'),
    text(nested ? 'entry at HPA' : 'entry at'),
    ...(nested ? [text('entry at GPA')] : []),
    text('value'),
    text('served by'),
    numeric('cycles'),
    text('meaning'),
  ];
  const after = between.get(rows.length) ?? [];
  if (rows.length === 0) return after.join('\n');
  const [heading, rule, ...body] = table(columns, rows, style).split('\n');
  const lines = body.flatMap((line, at) => [...(between.get(at) ?? []), line]);
  return [heading, rule, ...lines, ...after].join('\n');
}

function stepRow(
  step: WalkStep,
  { source, answer, cycles }: StoryEvent,
  nested: boolean,
  style: Style,
): string[] {
  return [
    `${step.step}`,
    step.dimension === 'guest' ? style.strong(place(step)) : place(step),
    step.entryHpa,
    ...(nested ? [step.entryGpa ?? ''] : []),
    step.value,
    shade(source, style)(answer),
    count(cycles),
    meaning(step),
  ];
}

/** What the references of a row are read for. */
function rowHeading(row: string, story: Story): string {
  const { title, gpa } = story.rows.find((known) => known.row === row)!;
  return `    ${row}: ${title}${gpa === undefined ? '' : `, GPA ${gpa}`}`;
}

/** What a hit says, with the references that it spared. */
function hitLine(hit: WalkHit, { answer, spares }: StoryEvent, style: Style): string {
  const saved = spares.length === 0 ? '' : `, ${spares.length} spared`;
  return `    ${style.good(answer)}: ${hit.message}${saved}`;
}

/** What stands at a place of the matrix: the numbers of its steps, or who spared it. */
function atPlace(placeName: string, story: Story, style: Style): string {
  const steps = story.events.filter((event) => event.place === placeName);
  if (steps.length > 0)
    return steps
      .map((event) => shade(event.source, style)(event.kind === 'saved' ? event.answer : `${event.step}`))
      .join(' ');
  const sparing = story.events.find(({ spares }) => spares.includes(placeName));
  if (sparing) return style.good(shortName(sparing));
  return placeName in story.absent ? '' : style.faint('·');
}

/** A structure in a cell of the matrix: `PSC`, `nTLB`, `L1`. */
const shortName = ({ answer }: StoryEvent): string =>
  answer.replace('nested ', 'n').replace(/ (instruction )?TLB$/, '');

/** The reference matrix with the number of each reference in its place, and what was spared by whom. */
function orderMatrix(story: Story, nested: boolean, style: Style): string {
  return table(
    [text(nested ? 'guest \\ nested' : ''), ...story.columns.map(({ column }) => numeric(column))],
    story.rows.map(({ row }) => [
      row,
      ...story.columns.map(({ column }) =>
        row === 'gPA' && column === 'g' ? '' : atPlace(`${row}/${column}`, story, style),
      ),
    ]),
    style,
  );
}

/** A heading with the numbers of each name, largest first: `spared 19: PSC 14, nested PSC 5`. */
function tally(heading: string, entries: readonly (readonly [string, number])[]): string[] {
  const sums = new Map<string, number>();
  for (const [name, number] of entries) sums.set(name, (sums.get(name) ?? 0) + number);
  const parts = [...sums].filter(([, number]) => number > 0).sort(([, a], [, b]) => b - a);
  if (parts.length === 0) return [];
  const all = parts.reduce((sum, [, number]) => sum + number, 0);
  return [`${heading} ${all}: ${parts.map(([name, number]) => `${name} ${number}`).join(', ')}`];
}

/** How many references each level served, and how many each structure spared. */
function tallies({ events }: Story, style: Style): string {
  const served = events.filter(({ kind }) => kind === 'reference');
  const sparing = events.filter(({ kind }) => kind === 'saved' || kind === 'hit');
  const named = ({ source, answer }: StoryEvent): string => shade(source, style)(answer);
  return [
    ...tally(
      'served',
      served.map((event) => [named(event), 1]),
    ),
    ...tally(
      'spared',
      sparing.map((event) => [named(event), event.kind === 'saved' ? 1 : event.spares.length]),
    ),
  ].join('\n');
}

/** One translation as text: outcome, references in order, and the matrix with their numbers. */
export function renderWalk(walk: WalkSteps, config: ResolvedConfig, style: Style): string {
  const story = walkStory(walk, config);
  const nested = config.paging.mode === 'nested';
  const title = story.faulty ? style.bad(story.outcome) : story.outcome;
  return [
    `${style.strong(title)}\n${describeMachine(config)}`,
    stepsTable(walk, story, nested, style),
    `${style.strong('Order of the references')}\n${orderMatrix(story, nested, style)}`,
    tallies(story, style),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}
