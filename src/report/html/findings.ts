/** What results come to, in a sentence or two: computed from the same rows as the figures. */

import { type Field, grouped, isDone, type Row, shortened, shown } from '../browser/figure.js';
import { countOf, decimal, fine, ratio } from '../browser/format.js';
import { measuresOf } from '../figures/choose.ts';
import { BELOW_GUEST, type Varied } from '../figures/fields.ts';

/** Letters of a value in a sentence. */
const MOST_LETTERS = 60;
/** A field whose worst value costs less than this many times its best hardly matters. */
const HARDLY = 1.02;

const say = (field: Field, row: Row): string => shortened(shown(field, row[field.column]), MOST_LETTERS);

const where = (varied: readonly Field[], row: Row): string =>
  varied.map((field) => `${field.label} ${say(field, row)}`).join(', ');

const valueIn = (column: string, row: Row): number => Number(row[column]);

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const times = (factor: number): string =>
  factor >= 100 ? decimal(factor, 0) : factor >= 10 ? decimal(factor, 1) : decimal(factor, 2);

const median = (values: readonly number[]): number => {
  const order = [...values].sort((a, b) => a - b);
  const middle = order.length >> 1;
  return order.length % 2 === 1 ? order[middle] : (order[middle - 1] + order[middle]) / 2;
};

/** How much a field matters: its worst value over its best, all else equal. */
export interface Influence {
  field: Varied;
  /** Median over all comparisons; at least 1. */
  factor: number;
  /** Sets of cells that differ in the field alone. */
  comparisons: number;
}

/**
 * How much each varied field matters, most first. A comparison is a set of cells alike in all other fields; one with a
 * best value of 0 is left out, since nothing is a multiple of nothing.
 * @param measure column of what is compared
 */
export function influences(varied: readonly Varied[], rows: readonly Row[], measure: string): Influence[] {
  return varied
    .map((field): Influence => {
      const others = varied.filter((other) => other !== field);
      const sets = grouped(rows, (row) => JSON.stringify(others.map(({ column }) => row[column])));
      const factors = sets.flatMap((set) => {
        const values = set.map((row) => valueIn(measure, row));
        const best = Math.min(...values);
        return set.length > 1 && best > 0 ? [Math.max(...values) / best] : [];
      });
      return { field, factor: factors.length === 0 ? 1 : median(factors), comparisons: factors.length };
    })
    .filter(({ comparisons }) => comparisons > 0)
    .sort((a, b) => b.factor - a.factor);
}

function rangeSentence(varied: readonly Varied[], done: readonly Row[], measure: Field): string {
  const cost = (row: Row): number => valueIn(measure.column, row);
  const best = done.reduce((found, row) => (cost(row) < cost(found) ? row : found));
  const worst = done.reduce((found, row) => (cost(row) > cost(found) ? row : found));
  const value = (row: Row): string => shown(measure, row[measure.column]);
  if (done.length === 1) return `One cell is done: ${value(best)} ${measure.label}.`;
  if (cost(best) === cost(worst))
    return `All ${decimal(done.length, 0)} finished cells have the same ${measure.label}, ${value(best)}.`;
  const what = capital(measure.label);
  return `${what} goes from ${value(best)} (${where(varied, best)}) to ${value(worst)} (${where(varied, worst)}).`.replace(
    /^(Walk cycles|Misses|References)(.*?) goes/,
    '$1$2 go',
  );
}

function influenceSentence(all: readonly Influence[], measure: Field): string | undefined {
  const [first, ...rest] = all.filter(({ field }) => field.role !== 'seed');
  if (!first || rest.length === 0) return undefined;
  const worth = rest.filter(({ factor }) => factor >= HARDLY);
  const little = rest.filter(({ factor }) => factor < HARDLY);
  if (first.factor < HARDLY) return `Nothing that was varied changes ${measure.label} much, all else equal.`;
  const factor = (it: Influence): string => `${times(it.factor)}×`;
  const then =
    worth.length === 0 ? '' : `, then ${worth.map((it) => `${it.field.label} (${factor(it)})`).join(', ')}`;
  const hardly =
    little.length === 0
      ? ''
      : `; ${little.map(({ field }) => field.label).join(', ')} hardly matter${little.length === 1 ? 's' : ''}`;
  return `Of what was varied, ${first.field.label} matters most: all else equal, ${measure.label} at its worst value is ${factor(first)} that at its best (the median of ${decimal(first.comparisons, 0)} comparisons)${then}${hardly}.`;
}

/** Sums of a column over cells that are there with both nested pages. */
function nestedSentence(varied: readonly Varied[], done: readonly Row[]): string | undefined {
  const guest = varied.find(({ role }) => role === 'guestPage');
  const nested = varied.find(({ column }) => column === BELOW_GUEST);
  if (!nested?.values.includes('4KiB') || !nested.values.includes('2MiB')) return undefined;
  const others = varied.filter((field) => field !== nested);
  const sets = grouped(done, (row) => JSON.stringify(others.map(({ column }) => row[column])));
  const pairs = sets.flatMap((set) => {
    const of = (page: string): Row | undefined => set.find((row) => row[BELOW_GUEST] === page);
    const [small, large] = [of('4KiB'), of('2MiB')];
    return small && large ? [{ small, large }] : [];
  });
  const share = (list: typeof pairs, column: string): string => {
    const sum = (size: 'small' | 'large'): number =>
      list.reduce((all, pair) => all + valueIn(column, pair[size]), 0);
    return sum('small') === 0 ? 'none' : ratio(sum('large') / sum('small'));
  };
  const hasWalks = done.some((row) => typeof row.walkCyclesPerAccess_total === 'number');
  const clauses = grouped(pairs, ({ small }) => String(guest ? small[guest.column] : '')).map((list) => {
    const page = guest ? ` below ${list[0].small[guest.column]} guest pages` : '';
    const cycles = hasWalks ? ` and ${share(list, 'walkCyclesPerAccess_total')} of the walk cycles` : '';
    return `${share(list, 'stlbMisses')} of the misses${cycles}${page}`;
  });
  if (clauses.length === 0) return undefined;
  return `2MiB nested pages in the place of 4KiB ones leave ${clauses.join('; ')}.`;
}

/** A sweep in a few sentences. */
export function sweepFindings(
  varied: readonly Varied[],
  rows: readonly Row[],
  counters: 'tlb' | 'all',
): string[] {
  const done = rows.filter(isDone);
  if (done.length === 0) return ['No cell is done yet, so there is nothing to show.'];
  const measures = measuresOf({ counters });
  const measure = measures.find(({ column }) => column === 'walkCyclesPerAccess_total') ?? measures[0];
  const all = influences(varied, done, measure.column);
  const worth = varied.filter((field) => all.some((it) => it.field === field && it.factor >= HARDLY));
  return [
    rangeSentence(worth.length > 0 ? worth : varied, done, measure),
    influenceSentence(all, measure),
    nestedSentence(varied, done),
  ].filter((sentence) => sentence !== undefined);
}

/** One run in a few sentences. */
export function runFindings(row: Row): string[] {
  const number = (column: string): number => valueIn(column, row);
  const [walks, total, nested] = [
    number('walks'),
    number('walkCyclesPerAccess_total'),
    number('walkCyclesPerAccess_nested'),
  ];
  const missing = `${ratio(number('missRatio_overall'))} of the accesses miss every TLB level.`;
  if (walks === 0) return [missing, 'There was no walk.'];
  const ofThem =
    row.config_mode === 'native' ? '' : `, ${fine(number('refsPerWalk_nested'))} of them to the nested table`;
  const share =
    row.config_mode === 'native' || total === 0
      ? ''
      : `, ${ratio(nested / total)} of it for the nested table`;
  return [
    missing,
    `A walk reads ${fine(number('refsPerWalk_total'))} entries${ofThem}; walks cost ${fine(total)} cycles per access${share}.`,
  ];
}

/** A comparison in a few sentences. */
export function compareFindings(rows: readonly Row[], base: Row): string[] {
  const cost = (row: Row): number => valueIn('walkCyclesPerAccess_total', row);
  const nested = rows.filter(({ config_mode }) => config_mode === 'nested');
  const best = [...nested].sort((a, b) => cost(a) - cost(b))[0];
  const pages = (row: Row): string =>
    `${row.config_guestPage} guest pages on ${row.config_nestedPage} nested pages`;
  if (!best || cost(base) === 0) return ['Walks cost nothing here: every translation is found in the TLBs.'];
  const same = rows.find(
    (row) => row.config_mode === 'native' && row.config_guestPage === base.config_guestPage,
  );
  const against =
    same && cost(same) > 0
      ? ` Natively, with ${same.config_guestPage} pages, walks cost ${fine(cost(same))}: nesting makes them ${times(cost(base) / cost(same))} times as dear.`
      : '';
  const cheapest =
    best === base
      ? `No other pages make walks cheaper than ${pages(base)}: ${fine(cost(base))} cycles per access.`
      : `Walks are cheapest with ${pages(best)}: ${fine(cost(best))} cycles per access, ${ratio(cost(best) / cost(base))} of ${fine(cost(base))} with ${pages(base)}.`;
  return [`${cheapest}${against}`];
}

/** A scenario on several platforms in a few sentences. @param rows a platform each, with `total` and the column of every part */
export function scenarioFindings(
  rows: readonly Row[],
  parts: readonly { column: string; label: string }[],
): string[] {
  const order = [...rows]
    .filter((row) => valueIn('total', row) > 0)
    .sort((a, b) => valueIn('total', a) - valueIn('total', b));
  if (order.length === 0) return ['No platform took any cycles.'];
  const [best, ...others] = order;
  const largest = (row: Row): string => {
    const [most] = [...parts].sort((a, b) => Number(row[b.column] ?? 0) - Number(row[a.column] ?? 0));
    return `${most.label}, ${ratio(Number(row[most.column] ?? 0) / valueIn('total', row))} of it`;
  };
  const first = `${capital(String(best.platform))} takes the fewest cycles, ${decimal(valueIn('total', best), 0)}.`;
  const then = others.map(
    (row) =>
      `${row.platform} takes ${times(valueIn('total', row) / valueIn('total', best))} times as many (most for ${largest(row)})`,
  );
  return then.length === 0 ? [first] : [first, `${capital(then.join('; '))}.`];
}

/** Claims by verdict, and those that were not met. */
export function reproduceFindings(rows: readonly Row[]): string[] {
  const groups = grouped(rows, ({ verdict }) => String(verdict));
  const counts = groups.map((group) => `${decimal(group.length, 0)} ${group[0].verdict}`).join(', ');
  const unmet = rows.filter(({ verdict }) => verdict === 'failed' || verdict === 'differs');
  const named = unmet.map(({ id, ours, paper }) => `${id} (ours ${ours}, the paper’s ${paper})`).slice(0, 8);
  const more = unmet.length - named.length;
  return [
    `Of ${countOf(rows.length, 'claim')}: ${counts}.`,
    ...(named.length > 0
      ? [`Not as published: ${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}.`]
      : []),
  ];
}
