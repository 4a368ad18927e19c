/** One translation as text: each reference in order, with its place in the matrix. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { WalkStep, WalkSteps } from '../results/types.ts';
import { describeMachine } from './describe.ts';
import { numeric, type Style, table, text } from './table.ts';
import { matrixShape } from './terminal.ts';

const place = (step: WalkStep): string => (step.row === 'pt' ? step.col : `${step.row} ${step.col}`);

function stepsTable(walk: WalkSteps, nested: boolean, style: Style): string {
  const rows = walk.steps.flatMap((step) => [
    ...hitLines(walk, step.step, nested, style),
    [
      `${step.step}`,
      place(step),
      step.entryHpa,
      ...(nested ? [step.entryGpa ?? ''] : []),
      step.value,
      step.servedBy,
      step.note,
    ],
  ]);
  rows.push(...hitLines(walk, walk.steps.length + 1, nested, style));
  return table(
    [
      numeric('#'),
      text('place'),
      text(nested ? 'entry at HPA' : 'entry at'),
      ...(nested ? [text('entry at GPA')] : []),
      text('value'),
      text('served by'),
      text('meaning'),
    ],
    rows,
    style,
  );
}

/** Lines for the structures that answered before a reference: no number, since nothing was read. */
function hitLines(walk: WalkSteps, beforeStep: number, nested: boolean, style: Style): string[][] {
  return walk.skipped
    .filter((hit) => hit.beforeStep === beforeStep)
    .map((hit) => [
      '',
      style.good(hit.structure),
      ...Array.from({ length: nested ? 4 : 3 }, () => ''),
      hit.message,
    ]);
}

/** The reference matrix with the number of each reference in its place. */
function orderMatrix(walk: WalkSteps, paging: ResolvedConfig['paging'], style: Style): string {
  const { rows, columns } = matrixShape(paging);
  const at = (row: string, column: string): string =>
    walk.steps
      .filter((step) => step.row === row && step.col === column)
      .map((step) => step.step)
      .join(' ') || style.faint('·');
  return table(
    [text(paging.mode === 'native' ? '' : 'guest \\ nested'), ...columns.map(numeric)],
    rows.map((row) => [
      row,
      ...columns.map((column) => (row === 'gPA' && column === 'g' ? '' : at(row, column))),
    ]),
    style,
  );
}

function outcome(walk: WalkSteps, style: Style): string {
  if (walk.fault) return style.bad(walk.fault.message);
  const guest = walk.gpa === undefined ? '' : ` → GPA ${walk.gpa}`;
  const references = walk.steps.length === 1 ? '1 reference' : `${walk.steps.length} references`;
  return `${walk.address}${guest} → HPA ${walk.hpa}, ${walk.size} page, ${references}`;
}

/** One translation as text: outcome, references in order, and the matrix with their numbers. */
export function renderWalk(walk: WalkSteps, config: ResolvedConfig, style: Style): string {
  const nested = config.paging.mode === 'nested';
  return [
    `${style.strong(outcome(walk, style))}\n${describeMachine(config)}`,
    stepsTable(walk, nested, style),
    ...(walk.steps.length > 0
      ? [`${style.strong('Order of the references')}\n${orderMatrix(walk, config.paging, style)}`]
      : []),
  ].join('\n\n');
}
