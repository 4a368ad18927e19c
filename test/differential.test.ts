/**
 * The engines against each other and against the oracle (test/oracle) on random configurations and streams: counters,
 * optional counters, the ledger and the complete state must be equal, after any chunking, after a save in one engine
 * and a load in another, and between random edits of tables and invalidations.
 *
 * `NESTWALK_FUZZ_RUNS` scales this file: it is the number of random cases of each property (default 60), and time grows
 * in proportion. `NESTWALK_FUZZ_SEED` repeats a sequence of cases: a failure prints its seed and the shrunk case.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ResolvedConfig } from '../src/config/resolved.ts';
import type { ConfigInput } from '../src/config/schema.ts';
import { seedWords } from '../src/config/units.ts';
import { stateDigest } from '../src/engine/hardware.ts';
import { contextBlock, machineBlock } from '../src/engine/machineBlock.ts';
import { AccessGenerator } from '../src/hardware/access.ts';
import { createSystem, type System } from '../src/hypervisor/system.ts';
import { countersFromBlock } from '../src/results/counters.ts';
import type { Counters } from '../src/results/types.ts';
import { type PreparedRun, RunLoop } from '../src/run/execute.ts';
import { ACCESS_KINDS, KIND_SHIFT } from '../src/schema.ts';
import { encodeWorkload } from '../src/workload/encode.ts';
import { oracle, type TraceAccess, type WholeConfig } from './oracle/index.ts';
import { bareMachine, configuration, plainMachine, prefaulted, promised } from './support/arbitraries.ts';
import { flushes, type Step, SteppedRun, steps } from './support/edits.ts';
import { ENGINES, type Engine, NATIVE_ENGINES, TWIN } from './support/engines.ts';
import { expectFullWalks, expectIdentities } from './support/identities.ts';

const RUNS = Number(process.env.NESTWALK_FUZZ_RUNS ?? 60);
const SEED = process.env.NESTWALK_FUZZ_SEED;
/** Milliseconds that a property may take, the search for a smaller failing case included. */
const LIMIT = 30_000 + RUNS * 500;
const PARAMETERS = {
  numRuns: RUNS,
  interruptAfterTimeLimit: LIMIT,
  markInterruptAsFailure: true,
  ...(SEED === undefined ? {} : { seed: Number(SEED) }),
};
/**
 * A property of random cases. Between cases the event loop gets its turn: Node frees native machines, and the memory that
 * they hold, only then.
 */
async function forAll<Case extends [unknown, ...unknown[]]>(
  cases: { [K in keyof Case]: fc.Arbitrary<Case[K]> },
  holds: (...of: Case) => void,
): Promise<void> {
  const property = fc.asyncProperty(...cases, async (...of: Case) => {
    holds(...of);
    await new Promise((resolve) => setImmediate(resolve));
  });
  await fc.assert(property, PARAMETERS);
}

/** What vitest waits for: a property's own limit comes first, and reports what it has found. */
const PATIENCE = 2 * LIMIT;

/** The part of a run that is not a workload: system, machine, and the loop between them. */
interface Prepared extends PreparedRun {
  loop: RunLoop;
}

/** A machine for a configuration. A promise that nothing changes may be kept back: no count depends on it. */
function hardwareFor(
  engine: Engine,
  config: ResolvedConfig,
  system: System,
  synthetic: boolean,
  isStatic = system.static,
): Prepared {
  const workload = synthetic
    ? encodeWorkload(config.workload as never, config.regions, seedWords(config.seed))
    : undefined;
  const hardware = engine.create({
    machine: machineBlock(config, system.bounds, isStatic),
    memory: system.memory.buffer,
    ...(workload ? { workload } : {}),
  });
  hardware.loadContext(contextBlock(system.context));
  const run: PreparedRun = { system, hardware, engineReason: 'a test', ...(workload ? { workload } : {}) };
  return { ...run, loop: new RunLoop(run) };
}

const prepare = (engine: Engine, config: ResolvedConfig, isStatic?: boolean): Prepared =>
  hardwareFor(engine, config, createSystem(config), true, isStatic);

/** Everything that two engines must agree on. */
interface Snapshot {
  counters: Counters;
  events: Record<string, number>;
  digest: string;
  state: Float64Array;
  /** Page tables, as they were left. */
  tables: string;
}

/** Counters by name with the optional ones, as a result has them. */
function countersOf({ hardware }: PreparedRun, config: ResolvedConfig): Counters {
  const [cold, ...pairs] = hardware.reuse();
  const distances = new Map<number, number>();
  for (let i = 0; i < pairs.length; i += 2) distances.set(pairs[i], pairs[i + 1]);
  return countersFromBlock(
    hardware.counters(),
    config.machine.caches.map(({ name }) => name),
    {
      ...(config.optional.includes('unique') ? { unique: hardware.unique() } : {}),
      ...(config.optional.includes('reuse') ? { reuse: { cold, distances } } : {}),
    },
  );
}

function snapshot(run: PreparedRun, config: ResolvedConfig): Snapshot {
  const state = run.hardware.saveState();
  return {
    counters: countersOf(run, config),
    events: { ...run.system.ledger.events },
    digest: stateDigest(state),
    state,
    tables: stateDigest(new Float64Array(run.system.memory.buffer.slice(0))),
  };
}

/** Compares with messages that name the engine; the whole state is shown only when its digest differs. */
function expectSame(actual: Snapshot, expected: Snapshot, who: string): void {
  expect(actual.counters, `${who}: counters`).toEqual(expected.counters);
  expect(actual.events, `${who}: ledger`).toEqual(expected.events);
  expect([...actual.state], `${who}: state`).toEqual([...expected.state]);
  expect(actual.digest, `${who}: digest`).toBe(expected.digest);
  expect(actual.tables, `${who}: page tables`).toBe(expected.tables);
}

/** Cuts `count` into pieces; `cuts` are taken round and round. */
function* pieces(count: number, cuts: readonly number[]): Generator<[number, number]> {
  for (let from = 0, k = 0; from < count; k++) {
    const size = Math.min(cuts[k % cuts.length], count - from);
    yield [from, size];
    from += size;
  }
}

const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 1500 })), {
  minLength: 1,
  maxLength: 4,
});

/** Where a stream begins: its first access, or far out, on both sides of what 32 bits hold. */
const beginning = fc.constantFrom(0, 0, 0, 2 ** 32 - 700, 2 ** 41 + 12345);

describe('random configurations', () => {
  it(
    'count the same in every engine and tier, in one go or in pieces, and leave the same state',
    async () => {
      await forAll([configuration(3000), cuts, beginning], (input, sizes, begin) => {
        const { config } = resolveConfig(input);
        const run = (engine: Engine, cut: readonly number[], isStatic?: boolean): Snapshot => {
          const prepared = prepare(engine, config, isStatic);
          for (const [from, count] of pieces(config.accesses!, cut))
            prepared.loop.synthetic(begin + from, count);
          return snapshot(prepared, config);
        };
        const whole = [config.accesses!];
        const expected = run(TWIN, whole);
        expectIdentities(expected.counters, config);
        for (const engine of ENGINES) {
          expectSame(run(engine, sizes), expected, `${engine.name} in pieces`);
          if (engine !== TWIN) expectSame(run(engine, whole), expected, `${engine.name} in one go`);
        }
      });
    },
    PATIENCE,
  );

  it(
    'that promise to change nothing count the same as if they had not promised, and as the oracle counts',
    async () => {
      await forAll([configuration(2500, fc.oneof(plainMachine, bareMachine)), cuts], (input, sizes) => {
        const { config } = resolveConfig(promised(input));
        const wary = prepare(TWIN, config, false);
        wary.loop.synthetic(0, config.accesses!);
        const expected = snapshot(wary, config);
        for (const engine of ENGINES) {
          const run = prepare(engine, config);
          expect(run.system.static).toBe(true);
          for (const [from, count] of pieces(config.accesses!, sizes)) run.loop.synthetic(from, count);
          expectSame(snapshot(run, config), expected, engine.name);
        }
        if (config.accesses! < 400)
          expect(expected.counters).toEqual(pruned(oracle(promised(input) as unknown as WholeConfig)));
      });
    },
    PATIENCE,
  );

  it(
    'count what the oracle counts',
    async () => {
      await forAll([configuration(300)], (input) => {
        const { config } = resolveConfig(input);
        const run = prepare(TWIN, config);
        run.loop.synthetic(0, config.accesses!);
        const counters = countersOf(run, config);
        expect(counters).toEqual(pruned(oracle(input as unknown as WholeConfig)));
        expectFullWalks(counters, config);
      });
    },
    PATIENCE,
  );

  it(
    'go on from a state saved in another engine as if nothing had happened',
    async () => {
      const engine = fc.nat(ENGINES.length - 1).map((k) => ENGINES[k]);
      await forAll(
        [configuration(2000), engine, engine, fc.double({ min: 0, max: 1, noNaN: true })],
        (input, first, second, at) => {
          const { config } = resolveConfig({ ...input, optional: [] });
          const whole = prepare(TWIN, config);
          whole.loop.synthetic(0, config.accesses!);
          const expected = snapshot(whole, config);

          const half = Math.floor(config.accesses! * at);
          const before = prepare(first, config);
          before.loop.synthetic(0, half);
          const saved = before.hardware.saveState();
          const after = hardwareFor(second, config, before.system, true);
          after.hardware.loadState(saved);
          expect([...after.hardware.saveState()], 'a state loaded and saved again').toEqual([...saved]);
          after.loop.synthetic(half, config.accesses! - half);

          const sum = before.hardware.counters();
          after.hardware.counters().forEach((count, slot) => {
            sum[slot] += count;
          });
          expect([...sum], `${first.name}, then ${second.name}: counters`).toEqual([
            ...whole.hardware.counters(),
          ]);
          expect([...after.hardware.saveState()], `${first.name}, then ${second.name}: state`).toEqual([
            ...expected.state,
          ]);
        },
      );
    },
    PATIENCE,
  );
});

/** The oracle's counters as results have them: no fields that were not asked for. */
const pruned = (counters: object): object => JSON.parse(JSON.stringify(counters)) as object;

/** A block of accesses out of a workload, some of its reads made fetches. */
function record(config: ResolvedConfig, fetchEvery: number) {
  const workload = encodeWorkload(config.workload as never, config.regions, seedWords(config.seed));
  const pages = new Float64Array(config.accesses!);
  const words = new Uint16Array(config.accesses!);
  new AccessGenerator(workload).fill(0, config.accesses!, pages, words);
  const fetch = ACCESS_KINDS.indexOf('fetch') << KIND_SHIFT;
  words.forEach((word, i) => {
    if (word >> KIND_SHIFT === 0 && i % fetchEvery === 0) words[i] = word | fetch;
  });
  return { pages, words };
}

describe('random recorded streams', () => {
  it(
    'count the same in every engine and tier, in any pieces, fetches and all',
    async () => {
      await forAll(
        [configuration(3000), cuts, fc.integer({ min: 1, max: 5 })],
        (input, sizes, fetchEvery) => {
          const { config } = resolveConfig(input);
          const { pages, words } = record(config, fetchEvery);
          const run = (engine: Engine, cut: readonly number[]): Snapshot => {
            const prepared = hardwareFor(engine, config, createSystem(config), false);
            for (const [from, count] of pieces(pages.length, cut)) {
              const end = from + count;
              prepared.loop.recorded(pages.subarray(from, end), words.subarray(from, end), count, from);
            }
            return snapshot(prepared, config);
          };
          const expected = run(TWIN, [pages.length]);
          expectIdentities(expected.counters, config);
          for (const engine of ENGINES) expectSame(run(engine, sizes), expected, engine.name);
        },
      );
    },
    PATIENCE,
  );

  it(
    'of a trace count what the oracle counts',
    async () => {
      await forAll(
        [configuration(250), fc.integer({ min: 1, max: 5 }), fc.boolean()],
        (input, fetchEvery, fetches) => {
          const { pages, words } = record(resolveConfig(input).config, fetchEvery);
          // A trace has one region, the lower half of the address space, and no scattered placement.
          const { regions: _, ...rest } = input;
          const { guestMemory: __, ...shape } = input.paging!;
          const levels = shape.guestLevels as number;
          const half = 512 ** levels / 2;
          const written = {
            ...rest,
            paging: {
              ...shape,
              placement: 'contiguous',
              nestedLevels: Math.max(4, shape.nestedLevels as number),
            },
            workload: { trace: 'random.lackey', format: 'lackey', fetches },
          } as ConfigInput;
          const trace = [...pages].map(
            (page, i): TraceAccess => ({
              address: BigInt(page % half) * 4096n + BigInt(words[i] & 4095),
              kind: ACCESS_KINDS[words[i] >> KIND_SHIFT],
            }),
          );
          const kept = trace.filter(({ kind }) => fetches || kind !== 'fetch');
          const { config } = resolveConfig(written);
          const keptPages = Float64Array.from(kept, ({ address }) => Number(address >> 12n));
          const keptWords = Uint16Array.from(
            kept,
            ({ address, kind }) => Number(address & 4095n) | (ACCESS_KINDS.indexOf(kind) << KIND_SHIFT),
          );
          const expected = pruned(oracle(written as unknown as WholeConfig, trace));
          const tracePages = Float64Array.from(new Set(keptPages));
          for (const engine of ENGINES) {
            const prepared = hardwareFor(engine, config, createSystem(config, { tracePages }), false);
            prepared.loop.recorded(keptPages, keptWords, kept.length, 0);
            expect(countersOf(prepared, config), engine.name).toEqual(expected);
          }
        },
      );
    },
    PATIENCE,
  );
});

describe('random edits and invalidations', () => {
  const prepared = (input: ConfigInput, isStatic: boolean): ConfigInput => ({
    ...input,
    accesses: 2000,
    optional: [],
    paging: { ...input.paging, ...prefaulted(input), ...(isStatic ? { ad: 'set' } : {}) },
  });

  function expectSameSteps(
    input: ConfigInput,
    sequence: readonly Step[],
    isStatic: boolean,
    engines: readonly Engine[],
  ) {
    const { config } = resolveConfig(prepared(input, isStatic));
    const { pages, words } = record(config, 3);
    const expected = new SteppedRun(TWIN, config, isStatic, pages, words).take(sequence);
    for (const engine of engines) {
      const { log } = new SteppedRun(engine, config, isStatic, pages, words).take(sequence);
      expect(log, engine.name).toEqual(expected.log);
    }
  }

  it(
    'of tables that nothing else protects leave the same counters, faults, states and tables',
    async () => {
      await forAll([configuration(1), steps], (input, sequence) =>
        expectSameSteps(input, sequence, false, NATIVE_ENGINES),
      );
    },
    PATIENCE,
  );

  it(
    'in a run where nothing else changes leave the same counters and states',
    async () => {
      await forAll([configuration(1, fc.oneof(plainMachine, bareMachine)), flushes], (input, sequence) =>
        expectSameSteps(input, sequence, true, NATIVE_ENGINES),
      );
    },
    PATIENCE,
  );
});
