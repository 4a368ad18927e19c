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
import type { Zone } from '../src/memory/simulatedMemory.ts';
import { countersFromBlock } from '../src/results/counters.ts';
import type { Counters } from '../src/results/types.ts';
import { type PreparedRun, RunLoop } from '../src/run/execute.ts';
import { ACCESS_KINDS, ENTRIES_PER_TABLE, KIND_SHIFT } from '../src/schema.ts';
import { encodeWorkload } from '../src/workload/encode.ts';
import { type Outcome, oracleRun, type TraceAccess, type WholeConfig } from './oracle/index.ts';
import {
  bareMachine,
  configuration,
  paging,
  plainMachine,
  prefaulted,
  promised,
  softwarePaging,
} from './support/arbitraries.ts';
import { flushes, type Step, SteppedRun, steps } from './support/edits.ts';
import { ENGINES, type Engine, EVERY_WAY, TWIN } from './support/engines.ts';
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

/** Present entries of a zone of tables, by address: what {@link Outcome} has of the oracle's tables. */
function entriesOf(zone: Zone | undefined): Map<bigint, bigint> {
  const entries = new Map<bigint, bigint>();
  for (let frame = zone?.base ?? 0; zone?.contains(frame); frame++) {
    for (let index = 0; index < ENTRIES_PER_TABLE; index++) {
      const half = zone.halfOf(frame, index);
      const [low, high] = [zone.halves[half], zone.halves[half + 1]];
      if (low !== 0 || high !== 0)
        entries.set(BigInt(frame) * 4096n + BigInt(index) * 8n, BigInt(high) * 2n ** 32n + BigInt(low));
    }
  }
  return entries;
}

/** Holds a run against the oracle: counters, what the software did, and every entry of every table. */
function expectAsTheOracle(run: PreparedRun, config: ResolvedConfig, expected: Outcome, who: string): void {
  const { ledger, memory } = run.system;
  const events = Object.fromEntries(Object.entries(ledger.events).filter(([, count]) => count !== 0));
  expect(events, `${who}: ledger`).toEqual(expected.events);
  expect(countersOf(run, config), `${who}: counters`).toEqual(pruned(expected.counters));
  expect(entriesOf(memory.zones[0]), `${who}: guest table`).toEqual(expected.guestTable);
  expect(entriesOf(memory.zones[1]), `${who}: table of the hypervisor`).toEqual(expected.hostTable);
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

/** Ways to page that have little in common, so that each has as many cases as the other. */
const PAGINGS = [
  { modes: 'native and nested', shapes: paging },
  { modes: 'shadow and paravirtual', shapes: softwarePaging },
];

describe.each(PAGINGS)('random configurations, $modes', ({ shapes }) => {
  it(
    'count the same in every engine and tier, in one go or in pieces, and leave the same state',
    async () => {
      await forAll([configuration(3000, undefined, shapes), cuts, beginning], (input, sizes, begin) => {
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
        for (const engine of EVERY_WAY) {
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
      await forAll(
        [configuration(2500, fc.oneof(plainMachine, bareMachine), shapes), cuts],
        (input, sizes) => {
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
            expectAsTheOracle(wary, config, oracleRun(promised(input) as unknown as WholeConfig), 'ts');
        },
      );
    },
    PATIENCE,
  );

  it(
    'count what the oracle counts',
    async () => {
      await forAll([configuration(300, undefined, shapes)], (input) => {
        const { config } = resolveConfig(input);
        const run = prepare(TWIN, config);
        run.loop.synthetic(0, config.accesses!);
        expectAsTheOracle(run, config, oracleRun(input as unknown as WholeConfig), 'ts');
        expectFullWalks(countersOf(run, config), config);
      });
    },
    PATIENCE,
  );

  it(
    'go on from a state saved in another engine as if nothing had happened',
    async () => {
      const engine = fc.nat(EVERY_WAY.length - 1).map((k) => EVERY_WAY[k]);
      await forAll(
        [configuration(2000, undefined, shapes), engine, engine, fc.double({ min: 0, max: 1, noNaN: true })],
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

describe('a case that random ones seldom meet', () => {
  it('a shadow entry above the leaves becomes writable, and a PSC keeps an old right to what is below it', () => {
    // Two 4 KiB pieces of one guest page, 2 MiB apart.
    const input = {
      seed: 3,
      accesses: 40,
      machine: { l1d: [], stlb: [], psc: { l2: { entries: 8, ways: 8 } } },
      paging: { mode: 'shadow', guestPage: '1GiB', populate: 'demand' },
      regions: [{ bytes: 2 ** 22 }],
      workload: { pattern: 'stride', bytes: 2 ** 21, writeFraction: 0.25 },
    } satisfies ConfigInput;
    const expected = oracleRun(input);
    // The first piece is read, then the second is written, whose fault sets D with the fill; a write to the first meets its
    // old right.
    expect(expected.events).toMatchObject({ hiddenFaultExits: 2, spuriousFaultExits: 1 });
    expect(expected.events.dirtyFaultExits).toBeUndefined();
    const { config } = resolveConfig(input);
    for (const engine of ENGINES) {
      const run = prepare(engine, config);
      run.loop.synthetic(0, config.accesses!);
      expectAsTheOracle(run, config, expected, engine.name);
    }
  });
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

describe.each(PAGINGS)('random recorded streams, $modes', ({ shapes }) => {
  it(
    'count the same in every engine and tier, in any pieces, fetches and all',
    async () => {
      await forAll(
        [configuration(3000, undefined, shapes), cuts, fc.integer({ min: 1, max: 5 })],
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
          for (const engine of EVERY_WAY) expectSame(run(engine, sizes), expected, engine.name);
        },
      );
    },
    PATIENCE,
  );

  it(
    'of a trace count what the oracle counts',
    async () => {
      await forAll(
        [configuration(250, undefined, shapes), fc.integer({ min: 1, max: 5 }), fc.boolean()],
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
          const expected = oracleRun(written as unknown as WholeConfig, trace);
          const tracePages = Float64Array.from(new Set(keptPages));
          for (const engine of ENGINES) {
            const prepared = hardwareFor(engine, config, createSystem(config, { tracePages }), false);
            prepared.loop.recorded(keptPages, keptWords, kept.length, 0);
            expectAsTheOracle(prepared, config, expected, engine.name);
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
        expectSameSteps(input, sequence, false, EVERY_WAY.slice(1)),
      );
    },
    PATIENCE,
  );

  it(
    'in a run where nothing else changes leave the same counters and states',
    async () => {
      await forAll([configuration(1, fc.oneof(plainMachine, bareMachine)), flushes], (input, sequence) =>
        expectSameSteps(input, sequence, true, EVERY_WAY.slice(1)),
      );
    },
    PATIENCE,
  );
});
