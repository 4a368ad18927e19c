/** The report of published results beside ours. */
import type { Reproduction } from '../../reproduce/claim.ts';
import type { Field, Figure, Row } from '../browser/figure.js';
import { countOf, duration, fine } from '../browser/format.js';
import { type ReportData, tableOf } from './data.ts';
import { reproduceFindings } from './findings.ts';

/** What a reproduction's report reads of its result. */
export type ReproductionShape = Pick<Reproduction, 'claims'> & Partial<Omit<Reproduction, 'claims'>>;

type Reading = Reproduction['claims'][number]['readings'][number];

/** A published figure as a number: `2.22`, `51 %`, `≈ 4.4`. Ranges and lists are none. */
export function publishedNumber(paper: string | undefined): number | undefined {
  const found = /^[^\d]*?(-?\d[\d,]*(?:\.\d+)?)[^\d]*$/.exec(paper ?? '');
  if (!found) return undefined;
  const value = Number(found[1].replaceAll(',', ''));
  return Number.isFinite(value) ? value : undefined;
}

/** What a reading is compared with, and what its gate allows. */
function reference({ paper, gate }: Reading): { of: number; from: number; to: number } | undefined {
  const bounds =
    typeof gate !== 'object' ? {} : 'equals' in gate ? { from: gate.equals, to: gate.equals } : gate;
  const { from, to } = bounds;
  const middle = from !== undefined && to !== undefined ? (from + to) / 2 : undefined;
  const of = publishedNumber(paper) ?? middle;
  if (of === undefined || of <= 0) return undefined;
  return { of, from: (from ?? Number.NaN) / of, to: (to ?? Number.NaN) / of };
}

const MEASURE: Field = {
  column: 'ratio',
  label: 'ours, in multiples of the published figure',
  format: 'fine',
};

/** Readings that can be set against a published number, a row each. */
function readingRows(claims: ReproductionShape['claims']): Row[] {
  return claims.flatMap(({ id, title, readings = [] }) =>
    readings.flatMap((reading): Row[] => {
      const against = reference(reading);
      if (!against || !(reading.ours > 0)) return [];
      const { name, ours, unit, paper, holds } = reading;
      return [
        {
          status: 'done',
          claim: id,
          reading: name,
          verdict: holds === undefined ? 'shown' : holds ? 'reproduced' : 'differs',
          ratio: ours / against.of,
          bandFrom: Number.isNaN(against.from) ? null : against.from,
          bandTo: Number.isNaN(against.to) ? null : against.to,
          tip: `${id}: ${title}\n${name}: ours ${fine(ours)} ${unit}, published ${paper ?? `${fine(against.of)} (middle of the band)`}`,
        },
      ];
    }),
  );
}

/** The report of a reproduction. */
export function reproduceReport(result: ReproductionShape): ReportData {
  const { claims, version, schema, scale } = result;
  const plain = claims.map(({ readings: _, statements: __, ...claim }, index): Row => {
    const { id, title, paper, ours, verdict, reason, source, mark, seconds } = claim;
    return {
      id,
      index,
      title,
      paper,
      ours,
      verdict,
      reason: reason ?? null,
      source,
      mark,
      seconds: seconds ?? null,
    };
  });
  const rows = readingRows(claims);
  const order = [...new Set(rows.map(({ claim }) => claim))];
  const figure: Figure = {
    id: 'claims',
    kind: 'claims',
    title: 'Ours against the published figures',
    about:
      'Each dot is a figure that a paper gives; at 1× ours is the same. A grey band is what the claim allows. Nothing is fitted to the papers.',
    measures: [MEASURE],
    y: { column: 'claim', label: 'claim', format: 'text', values: order },
    slices: [],
  };
  const seconds = claims.reduce((sum, claim) => sum + (claim.seconds ?? 0), 0);
  return {
    title: 'Published results, reproduced',
    about: [`${countOf(claims.length, 'claim')}${scale === undefined ? '' : `, ${scale} runs`}`],
    findings: reproduceFindings(plain),
    notices: [],
    troubles: [],
    figures: rows.length > 0 ? [figure] : [],
    rows,
    table: tableOf(plain),
    rowName: 'claim',
    shown: ['id', 'title', 'paper', 'ours', 'verdict', 'reason', 'source', 'mark'].map((column) => ({
      column,
      label: column === 'id' ? 'claim' : column,
    })),
    provenance: [
      ...(version === undefined ? [] : ([['nestwalk', version]] as [string, string][])),
      ...(schema === undefined ? [] : ([['schema', schema]] as [string, string][])),
      ...(seconds > 0 ? ([['time', duration(seconds)]] as [string, string][]) : []),
    ],
    documents: [],
  };
}
