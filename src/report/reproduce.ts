/** Published claims and what became of them, as text and as Markdown. */
import type { ClaimResult, Reproduction, Verdict } from '../reproduce/claim.ts';
import { figureText, gateText } from '../reproduce/verdict.ts';
import { countOf, duration } from './format.ts';
import { facts, type Style, table, text } from './table.ts';

/** Characters of a column of the table where it is to fit on a terminal. */
const TITLE_WIDTH = 46;
const FIGURE_WIDTH = 34;

const VERDICTS: readonly Verdict[] = ['reproduced', 'differs', 'shown', 'held by test', 'not modelled'];

const cut = (value: string, width: number): string =>
  value.length > width ? `${value.slice(0, width - 1)}…` : value;

function marked(verdict: Verdict, style: Style): string {
  if (verdict === 'reproduced' || verdict === 'held by test') return style.good(verdict);
  return verdict === 'differs' ? style.bad(verdict) : style.faint(verdict);
}

/** How many claims there are of each verdict: `31 reproduced, 4 differ…`. */
export function tallyText({ claims }: Reproduction): string {
  const counts = VERDICTS.map(
    (verdict) => [verdict, claims.filter((it) => it.verdict === verdict).length] as const,
  );
  return counts
    .filter(([, count]) => count > 0)
    .map(([verdict, count]) => `${count} ${verdict}`)
    .join(', ');
}

/** One claim with every number, its gate, and the reason. */
function wholeClaim(claim: ClaimResult, style: Style): string {
  const parts = [
    `${style.strong(`${claim.id}  ${claim.title}`)}  ${marked(claim.verdict, style)}`,
    facts(
      [
        ['source', `[${claim.mark}] ${claim.source}`],
        ['published', claim.paper],
        ...(claim.reason === undefined ? [] : [['why', claim.reason] as const]),
      ],
      style,
    ),
  ];
  if (claim.readings.length > 0)
    parts.push(
      table(
        [text('reading'), text('published'), text('ours'), text('gate'), text('')],
        claim.readings.map(({ name, paper, ours, unit, gate, holds }) => [
          name,
          paper ?? '–',
          `${figureText(ours)} ${unit}`,
          gateText(gate),
          holds === undefined ? '' : holds ? style.good('holds') : style.bad('does not hold'),
        ]),
        style,
      ),
    );
  for (const { says, holds } of claim.statements)
    parts.push(`${holds ? style.good('holds') : style.bad('does not hold')}: ${says}`);
  return parts.join('\n');
}

/**
 * A reproduction as text: one claim whole; several as a table, with the reasons of those that differ.
 * @param fits whether columns are cut, so that the table fits on a terminal
 */
export function renderReproduction(reproduction: Reproduction, style: Style, fits = false): string {
  const { claims, scale, version } = reproduction;
  if (claims.length === 1) return wholeClaim(claims[0], style);
  const most = (width: number): number => (fits ? width : Number.POSITIVE_INFINITY);
  const rows = claims.map(({ id, title, mark, paper, ours, verdict }) => [
    id,
    cut(title, most(TITLE_WIDTH)),
    mark,
    cut(paper, most(FIGURE_WIDTH)),
    cut(ours, most(FIGURE_WIDTH)),
    marked(verdict, style),
  ]);
  const reasons = claims.filter(({ verdict, reason }) => verdict === 'differs' && reason !== undefined);
  return [
    table(
      [text('claim'), text(''), text('mark'), text('published'), text('ours'), text('verdict')],
      rows,
      style,
    ),
    ...(reasons.length > 0
      ? [
          `${style.strong('Why figures differ')}\n${facts(
            reasons.map(({ id, reason }) => [id, reason!] as const),
            style,
          )}`,
        ]
      : []),
    `${tallyText(reproduction)}\n${style.faint(
      `nestwalk ${version}, ${scale} scale, ${duration(claims.reduce((sum, { seconds }) => sum + seconds, 0))}; ` +
        'marks: S read at the source, S-2nd in a secondary source, D derived, M from memory and never gated; ' +
        'one claim with all its numbers: nestwalk reproduce C08',
    )}`,
  ].join('\n\n');
}

const cell = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('|', '\\|').replaceAll('\n', ' ');

/** A reproduction as Markdown: a table, then each claim that differs with its numbers. The same for the same figures. */
export function reproductionMarkdown(reproduction: Reproduction): string {
  const { claims, scale } = reproduction;
  const lines = [
    `${countOf(claims.length, 'claim')}, ${scale} scale: ${tallyText(reproduction)}.`,
    '',
    '| claim | | mark | published | ours | verdict |',
    '|---|---|---|---|---|---|',
    ...claims.map(
      ({ id, title, source, mark, paper, ours, verdict }) =>
        `| ${id} | ${cell(title)} (${cell(source)}) | ${mark} | ${cell(paper)} | ${cell(ours)} | ${verdict} |`,
    ),
  ];
  for (const claim of claims.filter(({ reason }) => reason !== undefined))
    lines.push('', `**${claim.id}, ${claim.verdict}.** ${claim.reason}`);
  return `${lines.join('\n')}\n`;
}
