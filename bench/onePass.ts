/**
 * One pass for many STLBs against single runs: 11 numbers of sets × 16 ways = 176 cells, each repetition one group and one
 * single run (64 sets, 12 ways) in turn, in one process. `npx tsx bench/onePass.ts [--accesses N] [--repetitions K] [--json FILE]`.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ResolvedConfig } from '../src/config/resolved.ts';
import { execute } from '../src/run/execute.ts';
import { executeGroup } from '../src/run/group.ts';
import { COUNTER } from '../src/schema.ts';
import { median } from './measure.ts';

const SETS = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
const WAYS = Array.from({ length: 16 }, (_, i) => i + 1);
const CELLS = SETS.flatMap((sets) => WAYS.map((ways) => ({ entries: sets * ways, ways })));

const psc = { l2: { entries: 32, ways: 4 }, l3: { entries: 4, ways: 4 }, l4: { entries: 2, ways: 2 } };
const ZIPF = { pattern: 'zipf', theta: 0.99 };
const LOCAL = { pattern: 'hotcold', hot: 32 / 2 ** 20, weight: 0.985 };

/** A trial: what is counted, on which machine and stream, and how many times faster than its single runs a pass must be. */
interface Trial {
  name: string;
  counters: 'tlb' | 'all';
  mode: 'native' | 'nested';
  cached: boolean;
  workload: object;
  target: number;
}

const TRIALS: Trial[] = [
  { name: 'TLB counters, zipf', counters: 'tlb', mode: 'native', cached: false, workload: ZIPF, target: 25 },
  {
    name: 'all, nothing caches walks, zipf',
    counters: 'all',
    mode: 'nested',
    cached: false,
    workload: ZIPF,
    target: 25,
  },
  {
    name: 'all, a walker per cell, zipf',
    counters: 'all',
    mode: 'nested',
    cached: true,
    workload: ZIPF,
    target: 2,
  },
  {
    name: 'all, a walker per cell, few misses',
    counters: 'all',
    mode: 'nested',
    cached: true,
    workload: LOCAL,
    target: 8,
  },
  {
    name: 'all, a walker per cell, sequential',
    counters: 'all',
    mode: 'nested',
    cached: true,
    workload: { pattern: 'stride', bytes: 64 },
    target: 8,
  },
];

function configOf({ mode, cached, workload }: Trial, accesses: number): ResolvedConfig {
  return resolveConfig({
    seed: 1,
    accesses,
    machine: {
      l1d: [{ entries: 64, ways: 4, sizes: ['4KiB'] }],
      stlb: [{ entries: 768, ways: 12, sizes: ['4KiB'] }],
      ...(cached ? { psc, nestedPsc: psc, ntlb: { entries: 64, ways: 4 } } : {}),
    },
    paging: { mode },
    regions: [{ bytes: 4 * 2 ** 30 }],
    workload,
  }).config;
}

const { values } = parseArgs({
  options: {
    accesses: { type: 'string', default: '2000000' },
    repetitions: { type: 'string', default: '3' },
    json: { type: 'string' },
  },
});
const accesses = Number(values.accesses);
const rows: object[] = [];
for (const trial of TRIALS) {
  const config = configOf(trial, accesses);
  const ratios: number[] = [];
  const passes: number[] = [];
  let missRatio = 0;
  for (let k = 0; k < Number(values.repetitions); k++) {
    const group = await executeGroup(config, CELLS, { counters: trial.counters, engine: 'native' });
    const single = await execute(config, 'native');
    ratios.push((CELLS.length * single.seconds) / group.seconds);
    passes.push((group.seconds / accesses) * 1e9);
    missRatio = single.counters[COUNTER.walks] / accesses;
  }
  const row = {
    trial: trial.name,
    cells: CELLS.length,
    misses: Number(missRatio.toFixed(4)),
    'pass ns/access': Number(median(passes).toFixed(1)),
    'ratio median': Number(median(ratios).toFixed(1)),
    target: trial.target,
    met: median(ratios) >= trial.target,
  };
  rows.push(row);
  process.stderr.write(`${trial.name}\n`);
}
process.stdout.write(`${rows.map((row) => JSON.stringify(row)).join('\n')}\n`);
if (values.json) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
