/** Sweeps for tests of what shows them: a real one, and ones whose journals are made up. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { parseConfigText } from '../../src/config/file.ts';
import { freezePlan } from '../../src/sweep/folder.ts';
import { type CellResult, JournalWriter } from '../../src/sweep/journal.ts';
import { type Plan, type PlanCell, planSweep } from '../../src/sweep/plan.ts';
import { runShare } from '../../src/sweep/shard.ts';

/** Plans a sweep in a folder, which is made. */
export async function planned(folder: string, text: string, directory = path.dirname(folder)): Promise<Plan> {
  mkdirSync(folder, { recursive: true });
  const plan = await planSweep({ ...parseConfigText(text, 'sweep.yaml'), directory });
  freezePlan(plan, folder);
  return plan;
}

/** 2 workloads × 2 × 2 page sizes × 5 sizes × 3 associativities, 4,000 accesses each. */
const REAL = `
seed: 1
accesses: 4000
footprint: 8MiB
machine:
  l1d: [{entries: 8, ways: 4, sizes: [4KiB, 2MiB]}]
  stlb: [{entries: 64, ways: 4, sizes: [4KiB, 2MiB]}]
  psc: {l2: {entries: 8, ways: 4}, l3: {entries: 4, ways: full}}
  ntlb: {entries: 16, ways: full}
  caches: [{name: L2, size: 64KiB, ways: 8, line: 64, latency: 14}]
paging: {mode: nested}
vary:
  workload: [uniform, {pattern: zipf, theta: 0.99}]
  paging.guestPage: [4KiB, 2MiB]
  paging.nestedPage: [4KiB, 2MiB]
  machine.stlb[0].entries: [16, 32, 64, 128, 256]
  machine.stlb[0].ways: [1, 4, 16]
`;

/** A small sweep, run to its end. */
export async function realSweep(folder: string): Promise<void> {
  await planned(folder, REAL);
  await runShare({ sweep: folder, index: 0, of: 1 });
}

/** Writes results, or reasons why there are none, into a sweep's journal; cells for which nothing comes back stay missing. */
export function makeUp(
  folder: string,
  plan: Plan,
  of: (cell: PlanCell) => CellResult | string | undefined,
): void {
  const journal = new JournalWriter(folder);
  for (const cell of plan.cells) {
    const name = cell.name;
    const result = name === undefined ? undefined : of(cell);
    if (name === undefined || result === undefined) continue;
    journal.append(
      [
        typeof result === 'string'
          ? { t: 'failed', cells: [name], reason: result }
          : { t: 'done', cell: name, result },
      ],
      false,
    );
  }
  journal.close();
}
