/** From what was read to a verdict: the same rule for every claim. */
import { fine } from '../report/format.ts';
import type { Claim, ClaimResult, Finding, Gate, JudgedReading, Reading, Verdict } from './claim.ts';

/** Whether a number passes its gate; nothing where there is none. */
export function passes(ours: number, gate: Gate): boolean | undefined {
  if (gate === 'shown') return undefined;
  if ('equals' in gate) return ours === gate.equals;
  return ours >= (gate.from ?? Number.NEGATIVE_INFINITY) && ours <= (gate.to ?? Number.POSITIVE_INFINITY);
}

/** A bound without the dust of binary fractions. */
const boundText = (bound: number): string => `${Number(bound.toPrecision(6))}`;

/** A gate as people read it. */
export function gateText(gate: Gate): string {
  if (gate === 'shown') return 'not gated';
  if ('equals' in gate) return `exactly ${gate.equals}`;
  const { from, to } = gate;
  if (from === undefined) return to === undefined ? 'any' : `at most ${boundText(to)}`;
  return to === undefined ? `at least ${boundText(from)}` : `${boundText(from)} to ${boundText(to)}`;
}

/** A number as people read it: whole numbers whole. */
export const figureText = (value: number): string => (Number.isInteger(value) ? `${value}` : fine(value));

/** Judges what was read. A number that is none (no walk was made, say) passes no gate. */
export function judge(claim: Claim, finding: Finding, seconds: number): ClaimResult {
  // Nothing may be gated on what nobody verified, whatever the claim's author wrote.
  const gateOf = ({ gate }: Reading): Gate => (claim.mark === 'M' ? 'shown' : gate);
  const readings = finding.readings.map((reading): JudgedReading => {
    const gate = gateOf(reading);
    const holds = passes(reading.ours, gate);
    return { ...reading, gate, ...(holds === undefined ? {} : { holds }) };
  });
  const statements = finding.statements ?? [];
  const gated = [
    ...readings.flatMap(({ holds }) => (holds === undefined ? [] : [holds])),
    ...(claim.mark === 'M' ? [] : statements.map(({ holds }) => holds)),
  ];
  const verdict: Verdict =
    gated.length === 0 ? 'shown' : gated.every((holds) => holds) ? 'reproduced' : 'differs';
  const reason = 'reason' in claim.trial ? claim.trial.reason : undefined;
  return {
    ...described(claim),
    ours: oursText(readings, statements),
    verdict,
    ...(reason === undefined || verdict === 'reproduced' ? {} : { reason }),
    readings,
    statements,
    seconds,
  };
}

/** The result of a claim that nothing is run for. */
export function untried(claim: Claim, verdict: 'held by test' | 'not modelled', reason: string): ClaimResult {
  return { ...described(claim), ours: '–', verdict, reason, readings: [], statements: [], seconds: 0 };
}

const described = ({ id, title, source, mark, paper }: Claim) => ({ id, title, source, mark, paper });

/** Readings of one unit as `gups 2.2, btree 2.1 ×`; statements that fail, as they stand. */
function oursText(
  readings: readonly JudgedReading[],
  statements: readonly { says: string; holds: boolean }[],
): string {
  const units = [...new Set(readings.map(({ unit }) => unit))];
  const figures = units.map((unit) => {
    const own = readings.filter((reading) => reading.unit === unit);
    return `${own.map(({ name, ours }) => (own.length === 1 && readings.length === 1 ? figureText(ours) : `${name} ${figureText(ours)}`)).join(', ')} ${unit}`;
  });
  const said = statements.map(({ says, holds }) => (holds ? says : `not so: ${says}`));
  return [...figures, ...said].join('; ') || '–';
}
