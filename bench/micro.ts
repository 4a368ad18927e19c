/**
 * Micro-benchmarks of single operations: random draws, TLB lookups, walks, trace parsing. Prints nanoseconds an
 * operation, or JSON rows with `--json FILE` ("-" for stdout). `--only REGEX` chooses, `--seconds S` is the time of each.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { resolveConfig } from '../src/config/resolve.ts';
import { NestwalkError } from '../src/errors.ts';
import { below, permute, philox } from '../src/hardware/philox.ts';
import { TlbArray } from '../src/hardware/tlb.ts';
import { prepareRun } from '../src/run/execute.ts';
import { COUNTER, PURPOSES, REPLACEMENTS, type Replacement } from '../src/schema.ts';
import { readLackey } from '../src/trace/lackey.ts';
import { type Micro, type MicroResult, runMicro } from './adapter.ts';
import { provenance } from './measure.ts';
import { configOf, type Subject } from './trials.ts';

/** Operations of one body: enough that the loop around them is not what is timed. */
const OPERATIONS = 1024;

/** Results go here, so that no body can be optimised away. */
let sink = 0;

function draws(): Micro[] {
  const out = new Uint32Array(4);
  const times = (name: string, one: (i: number) => number): Micro => ({
    name,
    operations: OPERATIONS,
    body: () => {
      let sum = 0;
      for (let i = 0; i < OPERATIONS; i++) sum += one(i);
      sink += sum;
    },
  });
  return [
    times('ts: Philox draw', (i) => {
      philox(i, 0, 0, PURPOSES.access, 1, 0, out);
      return out[0];
    }),
    times('ts: below', (i) => below(Math.imul(i, 0x9e3779b9), 262_144)),
    times('ts: permutation of 2^18 pages', (i) => permute(i, 262_144, PURPOSES.rankPermutation, 0, 1, 0)),
  ];
}

/** A full STLB array (1536 entries, 12 ways), looked up for pages that it holds, or filled with new ones. */
function lookups(policy: Replacement): Micro[] {
  const makeFull = () => {
    const shape = { sets: 128, ways: 12, policy: REPLACEMENTS.indexOf(policy), indexing: 0, arrayId: 0 };
    const array = new TlbArray({ ...shape, seedLow: 1, seedHigh: 0 }, 1);
    for (let page = 0; page < 1536; page++) array.fill(page, 0, 1, page, 3, page);
    return array;
  };
  const held = makeFull();
  const missed = makeFull();
  let next = 1536;
  return [
    {
      name: `ts: TLB 1536/12 ${policy}, hit`,
      operations: OPERATIONS,
      body: () => {
        for (let i = 0; i < OPERATIONS; i++) {
          const slot = held.find((i * 7) % 1536, 0, 1);
          held.cache.promote(slot);
          sink += slot;
        }
      },
    },
    {
      name: `ts: TLB 1536/12 ${policy}, miss and fill`,
      operations: OPERATIONS,
      body: () => {
        for (let i = 0; i < OPERATIONS; i++) {
          const page = next++;
          if (missed.find(page, 0, 1) < 0) missed.fill(page, 0, 1, page, 3, page);
        }
      },
    },
  ];
}

type Engine = 'native' | 'ts';
const PAGES = 2 ** 16;

/** Where a body's accesses go, and how many walks that takes. */
interface Access {
  what: string;
  subject: Pick<Subject, 'mode' | 'walkCaches'>;
  /** TLBs or none: without them every access walks. */
  tlbs: boolean;
  page: (i: number) => number;
  walks: number;
}

const scattered = (i: number) => Math.imul(i, 0x9e3779b9) >>> 16;
const ACCESSES: Access[] = [
  { what: 'L1 hit', subject: { mode: '1d', walkCaches: 'none' }, tlbs: true, page: (i) => i % 64, walks: 0 },
  {
    what: 'STLB hit',
    subject: { mode: '1d', walkCaches: 'none' },
    tlbs: true,
    page: (i) => i % 512,
    walks: 0,
  },
  ...(['1d', '2d'] as const).flatMap((mode) =>
    (['none', 'narrow', 'full'] as const).map((walkCaches) => ({
      what: `${mode === '1d' ? '1-D' : '2-D'} walk, walk caches ${walkCaches}`,
      subject: { mode, walkCaches },
      tlbs: false,
      page: scattered,
      walks: OPERATIONS,
    })),
  ),
];

/** Single accesses through a whole machine of either engine, given as recorded accesses of a prefaulted 256 MiB. */
async function accesses(engine: Engine): Promise<Micro[]> {
  return Promise.all(
    ACCESSES.map(async ({ what, subject, tlbs, page, walks }) => {
      const whole = configOf(
        { stream: 'uniform', bytes: PAGES * 4096, pteCaches: false, seed: 1, ...subject },
        1,
      );
      const machine = tlbs ? whole.machine : { ...whole.machine, l1d: [], stlb: [] };
      const { config } = resolveConfig({ ...whole, machine });
      const { hardware } = await prepareRun(config, engine);
      const first = config.regions[0]!.base / 4096;
      // The same scattered pages come round only after all of them: no walk finds what its forerunner left.
      const rounds = PAGES / OPERATIONS;
      const pages = Float64Array.from({ length: PAGES }, (_, i) => first + page(i));
      const words = new Uint16Array(PAGES);
      let round = 0;
      const body = () => {
        sink += hardware.runRecorded(pages, words, (round++ % rounds) * OPERATIONS, OPERATIONS, 0);
      };
      body();
      const before = hardware.counters()[COUNTER.walks]!;
      body();
      const walked = hardware.counters()[COUNTER.walks]! - before;
      if (walked !== walks) throw new Error(`${engine}: ${what}: ${walked} walks, not ${walks}`);
      return { name: `${engine}: ${what}`, operations: OPERATIONS, body };
    }),
  );
}

/** No addon: the other benchmarks go on without it. */
function withoutAddon(error: unknown): Micro[] {
  if (!(error instanceof NestwalkError) || error.code !== 'engine.missing') throw error;
  console.error(`bench: native engine left out: ${error.message}`);
  return [];
}

/** Lackey text as valgrind prints it: fetches, reads, writes and modifies of scattered addresses. */
function lackeyText(lines: number): Uint8Array {
  const kinds = ['I ', ' L', 'I ', ' S', 'I ', ' M'];
  const text: string[] = [];
  for (let i = 0; i < lines; i++) {
    const address = 0x4000000 + ((Math.imul(i, 0x9e3779b9) >>> 8) & ~7);
    text.push(`${kinds[i % kinds.length]} ${address.toString(16).padStart(8, '0')},8`);
  }
  return new TextEncoder().encode(`${text.join('\n')}\n`);
}

function parsing(): Micro[] {
  const lines = 20_000;
  const text = lackeyText(lines);
  async function* chunks() {
    yield text;
  }
  return [
    {
      name: 'ts: lackey line',
      operations: lines,
      body: async () => {
        for await (const block of readLackey(chunks(), 'made up')) sink += block.count;
      },
    },
  ];
}

const row = (result: MicroResult) =>
  `${result.name.padEnd(44)} ${result.nanosecondsPerOperation.toFixed(2).padStart(10)} ns ± ${result.rme.toFixed(2)} % (${result.samples} samples)`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      json: { type: 'string' },
      seconds: { type: 'string', default: '1' },
    },
  });
  const pattern = new RegExp(values.only);
  const micros = [
    ...draws(),
    ...lookups('lru'),
    ...lookups('plru'),
    ...parsing(),
    ...(await accesses('ts')),
    ...(await accesses('native').catch(withoutAddon)),
  ];
  const results: MicroResult[] = [];
  for (const micro of micros.filter(({ name }) => pattern.test(name))) {
    const result = await runMicro(micro, Number(values.seconds));
    results.push(result);
    if (values.json !== '-') console.log(row(result));
  }
  const text = `${JSON.stringify({ provenance: provenance(), results }, null, 2)}\n`;
  if (values.json === '-') process.stdout.write(text);
  else if (values.json) writeFileSync(values.json, text);
  if (Number.isNaN(sink)) throw new Error('a body gave no number');
}

await main();
