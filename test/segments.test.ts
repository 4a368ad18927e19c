/**
 * Runs cut into segments against runs in one piece: counters bit for bit, for any cut, warm-up, number of workers and
 * order of finishing, on both engines; and what becomes of segments whose guessed start is right, wrong, or hopeless.
 *
 * `NESTWALK_FUZZ_RUNS` and `NESTWALK_FUZZ_SEED` as in test/differential.test.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ResolvedConfig } from '../src/config/resolved.ts';
import type { ConfigInput } from '../src/config/schema.ts';
import { NestwalkError } from '../src/errors.ts';
import { type Cut, planCut } from '../src/run/cut.ts';
import { execute, prepareRun, type RunOutcome } from '../src/run/execute.ts';
import { carryOver, sectionDigests, sectionsOf } from '../src/run/sections.ts';
import { runSegments } from '../src/run/segments.ts';
import type { JobKind, JobOutput, WorkerJob } from '../src/run/worker.ts';
import { COUNTER } from '../src/schema.ts';
import { convertTrace } from '../src/trace/trace.ts';
import { configuration, plainMachine, promised } from './support/arbitraries.ts';
import { addon } from './support/engines.ts';
import { InlineExecutor } from './support/inline.ts';

const ENGINES = addon ? (['ts', 'native'] as const) : (['ts'] as const);
const RUNS = Number(process.env.NESTWALK_FUZZ_RUNS ?? 60);
const SEED = process.env.NESTWALK_FUZZ_SEED;
const LIMIT = 30_000 + RUNS * 1000;
const PARAMETERS = {
  numRuns: RUNS,
  interruptAfterTimeLimit: LIMIT,
  markInterruptAsFailure: true,
  ...(SEED === undefined ? {} : { seed: Number(SEED) }),
};
const PATIENCE = 2 * LIMIT;

const folder = mkdtempSync(join(tmpdir(), 'nestwalk-segments-'));
afterAll(() => rmSync(folder, { recursive: true }));

const resolved = (input: ConfigInput): ResolvedConfig => resolveConfig(input).config;

/** How to cut, with shares of the run instead of numbers of accesses. */
interface Shares {
  segment: number;
  warmup: number;
  checkpoint: number;
  patience: number;
  workers: number;
  order: number;
}

const shares: fc.Arbitrary<Shares> = fc.record({
  segment: fc.oneof(
    fc.double({ min: 0.02, max: 1, noNaN: true }),
    fc.double({ min: 0.1, max: 0.4, noNaN: true }),
  ),
  warmup: fc.oneof(fc.constantFrom(0, 1, 10, 100), fc.nat(2000)),
  checkpoint: fc.constantFrom(1, 2, 7, 50),
  patience: fc.constantFrom(1, 2, 1000, 1000),
  workers: fc.constantFrom(1, 2, 7),
  order: fc.nat(),
});

const cutOf = (accesses: number, { segment, warmup, checkpoint, patience }: Shares): Cut => ({
  accesses,
  segmentAccesses: Math.max(1, Math.ceil(segment * accesses)),
  warmup,
  checkpoint,
  patience,
});

/** Runs in segments and holds the result against the same run in one piece. */
async function expectSame(
  config: ResolvedConfig,
  cut: Cut,
  executor: InlineExecutor,
  engine: 'ts' | 'native',
  whole: RunOutcome,
): Promise<RunOutcome> {
  const outcome = await runSegments(config, engine, cut, executor);
  expect([...outcome.counters]).toEqual([...whole.counters]);
  expect(outcome.events).toEqual(whole.events);
  expect(outcome.hashes).toEqual(whole.hashes);
  expect(outcome.engine).toBe(engine);
  const { accepted, repaired, rerun } = outcome.segments;
  expect(accepted + repaired + rerun).toBe(Math.ceil(cut.accesses / cut.segmentAccesses));
  expect(executor.most).toBeLessThanOrEqual(executor.workers);
  return outcome;
}

describe('random static runs', () => {
  const seen = { accepted: 0, repaired: 0, rerun: 0 };

  for (const [what, machine, most] of [
    ['any machine', undefined, 3000],
    ['machines with a short way', plainMachine, 6000],
  ] as const) {
    it(
      `count the same in any segments, whatever they are guessed to start from (${what})`,
      async () => {
        const input = machine ? configuration(most, machine) : configuration(most);
        await fc.assert(
          fc.asyncProperty(input, shares, async (given, how) => {
            const config = resolved(promised(given));
            const whole = await execute(config, 'ts');
            for (const engine of ENGINES) {
              const executor = new InlineExecutor(how.workers, how.order);
              const { segments } = await expectSame(
                config,
                cutOf(config.accesses!, how),
                executor,
                engine,
                whole,
              );
              seen.accepted += segments.accepted - 1;
              seen.repaired += segments.repaired;
              seen.rerun += segments.rerun;
            }
          }),
          PARAMETERS,
        );
      },
      PATIENCE,
    );
  }

  it('meet every fate', () => {
    expect(seen.accepted, 'accepted beside the first').toBeGreaterThan(0);
    expect(seen.repaired, 'repaired').toBeGreaterThan(0);
    expect(seen.rerun, 'rerun').toBeGreaterThan(0);
  });
});

/** 64 pages in a circle, a new page with each access, and a TLB of 16: the last 16 accesses are its contents. */
const circle = (extra: Partial<ConfigInput> = {}): ResolvedConfig =>
  resolved({
    seed: 1,
    accesses: 4000,
    regions: [{ bytes: 64 * 4096 }],
    workload: { pattern: 'stride', bytes: 4096 },
    machine: { l1d: [{ entries: 16, ways: 'full', sizes: ['4KiB'], replacement: 'lru' }], stlb: [] },
    paging: { mode: 'nested', populate: 'prefault', ad: 'set' },
    ...extra,
  });

const CUT: Cut = { accesses: 4000, segmentAccesses: 500, warmup: 0, checkpoint: 1, patience: 1000 };

describe.each(ENGINES)('segments of a run (%s)', (engine) => {
  it('are accepted when the warm-up fills what the run had filled', async () => {
    const config = circle();
    const whole = await execute(config, engine);
    const { segments } = await expectSame(
      config,
      { ...CUT, warmup: 16 },
      new InlineExecutor(2),
      engine,
      whole,
    );
    expect(segments).toEqual({ accepted: 8, repaired: 0, rerun: 0 });
  });

  it('are repaired when it does not, and the accesses before the meeting are run again, no more', async () => {
    const config = circle();
    const whole = await execute(config, engine);
    const executor = new InlineExecutor(2);
    const { segments } = await expectSame(config, CUT, executor, engine, whole);
    // All but the first start cold, and meet the true run at the checkpoint at distance 16.
    expect(segments).toEqual({ accepted: 1, repaired: 7, rerun: 0 });
    expect(executor.log.filter((kind) => kind === 'repair')).toHaveLength(7);
  });

  // Pages of the phase before stay in a TLB that has room for both: no start but the true one holds them.
  const phases = circle({
    regions: [{ bytes: 8 * 4096 }, { bytes: 2 * 4096 }],
    workload: {
      pattern: 'phases',
      lengths: [500, 500],
      parts: [
        { pattern: 'stride', bytes: 4096, region: 0 },
        { pattern: 'stride', bytes: 4096, region: 1 },
      ],
    },
  });

  it('are run again when they never meet the true run', async () => {
    const whole = await execute(phases, engine);
    // Ten pages, and room for all of them.
    expect(whole.counters[COUNTER.l1Misses]).toBe(10);
    const executor = new InlineExecutor(2);
    const { segments } = await expectSame(phases, CUT, executor, engine, whole);
    expect(segments).toEqual({ accepted: 1, repaired: 0, rerun: 7 });
  });

  it('are no longer guessed at after two that never met', async () => {
    const whole = await execute(phases, engine);
    const executor = new InlineExecutor(2);
    const cut = { ...CUT, patience: 2 };
    const { segments } = await expectSame(phases, cut, executor, engine, whole);
    expect(segments).toEqual({ accepted: 1, repaired: 0, rerun: 7 });
    expect(executor.log.filter((kind) => kind === 'repair')).toHaveLength(3);
  });

  it('carry over what they never look into', async () => {
    // Code at the beginning and at the end: in between the TLB for it keeps what it has, and no segment can guess that.
    const lines = Array.from({ length: 4000 }, (_, i) => {
      if (i < 1000 || i >= 3800) return `I  ${(0x400000 + (i % 5) * 4096).toString(16)},4`;
      return ` L ${(0x800000 + (i % 64) * 4096).toString(16)},8`;
    });
    const text = join(folder, `carried-${engine}.lackey`);
    writeFileSync(text, `${lines.join('\n')}\n`);
    const trace = join(folder, `carried-${engine}.nwt`);
    await convertTrace(text, trace);
    const config = resolved({
      seed: 1,
      workload: { trace, fetches: true },
      machine: {
        l1d: [{ entries: 16, ways: 'full', sizes: ['4KiB'], replacement: 'lru' }],
        l1i: [{ entries: 8, ways: 'full', sizes: ['4KiB'], replacement: 'plru' }],
        stlb: [],
      },
      paging: { mode: 'nested', populate: 'prefault', ad: 'set' },
    });
    const whole = await execute(config, engine);
    const { segments } = await expectSame(
      config,
      { ...CUT, warmup: 100 },
      new InlineExecutor(2),
      engine,
      whole,
    );
    // The one that begins at 1000 warms up on code and holds no data, as the true run then does. The last one fetches,
    // and has to know which pages; that is after its last checkpoint, 256 accesses from its start.
    expect(segments).toEqual({ accepted: 7, repaired: 0, rerun: 1 });
    // Had nothing been carried, each page of code would have missed again at the end.
    expect(whole.counters[COUNTER.l1iMisses]).toBe(5);
  });

  it('of a trace may begin anywhere in its blocks, and fetches may be left out', async () => {
    const lines = Array.from({ length: 90_000 }, (_, i) => {
      const heap = (0x5000000 + ((i * 7919) % 300) * 4096).toString(16);
      return i % 3 === 0 ? `I  ${(0x400000 + i * 4).toString(16)},4` : ` S ${heap},8`;
    });
    const text = join(folder, `anywhere-${engine}.lackey`);
    writeFileSync(text, `${lines.join('\n')}\n`);
    const trace = join(folder, `anywhere-${engine}.nwt`);
    await convertTrace(text, trace);
    for (const [fetches, accesses] of [
      [true, 90_000],
      [false, 60_000],
    ] as const) {
      const config = { ...circle(), regions: [], workload: { trace, format: 'nwt' as const, fetches } };
      delete (config as { accesses?: number }).accesses;
      const whole = await execute(config, engine);
      expect(whole.counters[COUNTER.accesses]).toBe(accesses);
      const cut = await planCut(config, { workers: 2, segmentAccesses: 12_345 });
      expect(cut).toMatchObject({ accesses, segmentAccesses: 12_345 });
      await expectSame(config, { ...cut!, warmup: 500 }, new InlineExecutor(2), engine, whole);
    }
  });
});

describe('a state by sections', () => {
  it('is the same in both engines, and adds up to the whole', async () => {
    const config = circle({ machine: 'skylake-sp' });
    const digests = await Promise.all(
      ENGINES.map(async (engine) => {
        const { hardware } = await prepareRun(config, engine);
        hardware.runSynthetic(0, 1000);
        const state = hardware.saveState();
        const sections = sectionsOf(state);
        expect(sections.reduce((length, section) => length + section.length, 0)).toBe(state.length);
        for (const section of sections) expect(section[0]).toBe(section.length - 1);
        return sectionDigests(state);
      }),
    );
    for (const list of digests) expect(list).toEqual(digests[0]);
  });

  it('takes carried sections from the other state', () => {
    const mine = Float64Array.of(2, 7, 7, 0, 1, 5);
    const other = Float64Array.of(1, 9, 3, 1, 2, 3, 0);
    expect([...carryOver(mine, other, [false, true, false])]).toEqual([2, 7, 7, 3, 1, 2, 3, 1, 5]);
    expect([...carryOver(mine, other, [true, false, true])]).toEqual([1, 9, 0, 0]);
    expect(carryOver(mine, other, [false, false, false])).toBe(mine);
  });
});

describe('a cut', () => {
  const big = (extra: Partial<ConfigInput> = {}): ResolvedConfig => circle({ accesses: 1e9, ...extra });
  const segmentsOf = ({ accesses, segmentAccesses }: Cut): number => Math.ceil(accesses / segmentAccesses);

  it('gives every worker the same number of segments, each at least 32 warm-ups long', async () => {
    for (const workers of [2, 3, 7, 16]) {
      const cut = (await planCut(big(), { workers }))!;
      expect(segmentsOf(cut) % workers).toBe(0);
      expect(cut.segmentAccesses).toBeGreaterThanOrEqual(32 * cut.warmup);
    }
    // 31 segments are long enough, and 64 workers cannot all have one.
    expect(segmentsOf((await planCut(big(), { workers: 64 }))!)).toBe(31);
  });

  it('is made for large PTE caches when the warm-up is long, or when a length is named', async () => {
    const long = big({ machine: 'skylake-sp', accesses: 1e11, run: { warmup: 1e8 } });
    expect(await planCut(long, { workers: 2 })).toBeDefined();
    const named = await planCut(big({ machine: 'skylake-sp' }), { workers: 1, segmentAccesses: 1e6 });
    expect(named).toMatchObject({ segmentAccesses: 1e6 });
  });

  it.each<[string, Partial<ConfigInput>, number]>([
    ['one worker', {}, 1],
    ['a short run', { accesses: 1e7 }, 2],
    ['a run that faults', { paging: { mode: 'nested', populate: 'demand', ad: 'set' } }, 2],
    ['a run that sets bits', { paging: { mode: 'nested', populate: 'prefault', ad: 'clear' } }, 2],
    ['distinct entries', { optional: ['unique'] }, 2],
    ['stack distances', { optional: ['reuse'] }, 2],
    ['PTE caches that remember longer than a warm-up', { machine: 'skylake-sp' }, 2],
  ])('is not made for %s', async (_, extra, workers) => {
    expect(await planCut(big(extra), { workers })).toBeUndefined();
  });
});

describe('a worker that fails', () => {
  /** Fails the jobs of a kind so many times before it does them. */
  class Failing extends InlineExecutor {
    failures: number;
    constructor(failures: number) {
      super(2);
      this.failures = failures;
    }
    override async submit<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>> {
      if (job.kind === 'segment' && job.slot === 3 && this.failures-- > 0) {
        throw new NestwalkError('run.failed', 'A worker died: it was told to.');
      }
      return super.submit(job);
    }
  }

  it('fails its segment once, which a fresh worker then runs', async () => {
    const config = circle();
    const executor = new Failing(1);
    await expectSame(config, { ...CUT, warmup: 16 }, executor, 'ts', await execute(config, 'ts'));
    expect(executor.log.filter((kind) => kind === 'fresh')).toHaveLength(1);
  });

  it('ends the run with its reason when that one fails too', async () => {
    await expect(runSegments(circle(), 'ts', CUT, new Failing(2))).rejects.toMatchObject({
      code: 'run.failed',
      message: 'A worker died: it was told to.',
    });
  });
});
