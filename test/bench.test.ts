/**
 * The yardstick of the benchmarks is a third implementation of the machine (4 KiB pages, prefaulted, contiguous):
 * closed-form facts of it here, and its counters against the oracle and both engines of nestwalk on random machines.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { median, summarise } from '../bench/measure.ts';
import { configOf, memoryLimitMebibytes, type Subject, TRIALS, yardstickArguments } from '../bench/trials.ts';
import {
  buildYardstick,
  differences,
  flatten,
  runYardstick,
  type YardstickResult,
} from '../bench/yardstick.ts';
import { simulate } from '../src/index.ts';
import { oracle } from './oracle/index.ts';

const PAGE = 4096;
const REGION_BASE = 2 ** 40;

/** Without a compiler there is no yardstick, and nothing to test. */
const compiles = spawnSync(process.env.CXX ?? 'g++', ['--version']).status === 0;

let program: string;
beforeAll(() => {
  if (compiles) program = buildYardstick();
}, 120_000);

const subject = (part: Partial<Subject>): Subject => ({
  mode: '2d',
  stream: 'uniform',
  bytes: 2 ** 30,
  walkCaches: 'none',
  pteCaches: false,
  seed: 1,
  ...part,
});

const run = (part: Partial<Subject>, accesses: number): YardstickResult =>
  runYardstick(program, yardstickArguments(subject(part), accesses));

/** Region offsets of the first accesses of a stream. */
function dump(...args: string[]): number[] {
  const text = execFileSync(program, ['--dump', ...args], { encoding: 'utf8' });
  const lines = text.trimEnd().split('\n');
  return lines.map((line) => Number(line.slice('R '.length)) - REGION_BASE);
}

/** Philox4x32-10 in big integers, after the paper, for comparison with the yardstick's. */
function philox(counter: bigint[], key: bigint[]): bigint[] {
  const low = (value: bigint) => value & 0xffffffffn;
  let [c0, c1, c2, c3] = counter as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const product0 = 0xd2511f53n * c0;
    const product1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [
      (product1 >> 32n) ^ c1 ^ k0,
      low(product1),
      (product0 >> 32n) ^ c3 ^ k1,
      low(product0),
    ];
    k0 = low(k0 + 0x9e3779b9n);
    k1 = low(k1 + 0xbb67ae85n);
  }
  return [c0, c1, c2, c3];
}

const words = (index: number, seed: bigint): bigint[] =>
  philox([BigInt(index), 0n, 0n, 0n], [seed & 0xffffffffn, seed >> 32n]);

describe.skipIf(!compiles)('streams of the yardstick', () => {
  it('draws the published Philox words at counter 0, key 0', () => {
    // Known answer of Random123: 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
    expect(philox([0n, 0n, 0n, 0n], [0n, 0n])).toEqual([0x6627e8d5n, 0xe169c58dn, 0xbc57ac4cn, 0x9b00dbd8n]);
    const pages = 1000;
    const page = Math.floor((0x6627e8d5 * pages) / 2 ** 32);
    const offset = 8 * (0x9b00dbd8 >>> 23);
    const args = ['--stream', 'uniform', '--bytes', String(pages * PAGE), '--seed', '0', '--accesses', '1'];
    expect(dump(...args)).toEqual([page * PAGE + offset]);
  });

  it('draws uniform pages from every index and both halves of the seed', () => {
    const seed = 0x0123456789abcdefn;
    const pages = 12345n;
    const expected = Array.from({ length: 200 }, (_, index) => {
      const [w0, , , w3] = words(index, seed) as [bigint, bigint, bigint, bigint];
      return Number(((w0 * pages) >> 32n) * BigInt(PAGE) + 8n * (w3 >> 23n));
    });
    const args = ['--bytes', String(Number(pages) * PAGE), '--seed', String(seed), '--accesses', '200'];
    expect(dump('--stream', 'uniform', ...args)).toEqual(expected);
  });

  it('goes through a region line by line, and again', () => {
    const expected = Array.from({ length: 200 }, (_, index) => (index * 64) % (2 * PAGE));
    expect(dump('--stream', 'sequential', '--bytes', String(2 * PAGE), '--accesses', '200')).toEqual(
      expected,
    );
  });

  it('takes Zipf ranks by the alias table of two pages at exponent 1', () => {
    // Weights 1 and 1/2, masses 4/3 and 2/3: column 1 keeps itself below 2/3 of 2^32, else it gives rank 0.
    const expected = Array.from({ length: 300 }, (_, index) => {
      const [w0, w1] = words(index, 7n) as [bigint, bigint];
      return w0 >> 31n === 1n && w1 < 2863311530n ? 1 : 0;
    });
    const args = ['--bytes', String(2 * PAGE), '--theta', '1', '--seed', '7', '--accesses', '300'];
    const pages = dump('--stream', 'zipf', '--clustered', ...args).map((offset) => Math.floor(offset / PAGE));
    expect(pages).toEqual(expected);
    expect(new Set(pages).size).toBe(2);
  });

  it('scatters ranks by a permutation', () => {
    // At exponent 0 every rank is its own column, so both dumps show the same ranks, plain and permuted.
    const args = ['--stream', 'zipf', '--theta', '0', '--bytes', String(100 * PAGE), '--accesses', '3000'];
    const pageOf = (offset: number) => Math.floor(offset / PAGE);
    const ranks = dump(...args, '--clustered').map(pageOf);
    const pages = dump(...args).map(pageOf);
    const pageOfRank = new Map(ranks.map((rank, index) => [rank, pages[index]!]));
    expect(pageOfRank.size).toBe(100);
    expect(new Set(pageOfRank.values()).size).toBe(100);
    expect(pages).toEqual(ranks.map((rank) => pageOfRank.get(rank)));
    expect(pages).not.toEqual(ranks);
  });
});

describe.skipIf(!compiles)('the machine of the yardstick', () => {
  it('makes 24 references on a cold 2-D walk and 4 on a 1-D walk without walk caches', () => {
    const nested = run({ mode: '2d' }, 1).counters;
    const refs = [...flatten(nested.refs as never).values()];
    expect(refs).toEqual(Array(24).fill(1));
    const native = flatten(run({ mode: '1d' }, 1).counters.refs as never);
    expect(Object.fromEntries(native)).toEqual({ 'pt.L4': 1, 'pt.L3': 1, 'pt.L2': 1, 'pt.L1': 1 });
  });

  it('hits on the first walk what it has just filled', () => {
    // Nested: the root's translation reads 4 entries, the three other tables lie in the same 2 MiB (1 each), the
    // data in another GiB of the same 512 GiB (3 levels). Guest: 4.
    const { counters } = run({ mode: '2d', walkCaches: 'narrow' }, 1);
    const refs = counters.refs as Record<string, Record<string, number>>;
    const total = (row: string) => Object.values(refs[row]!).reduce((sum, count) => sum + count, 0);
    expect(['gL4', 'gL3', 'gL2', 'gL1', 'gPA'].map(total)).toEqual([5, 2, 2, 2, 3]);
    expect(counters.nestedPscHits).toEqual({ '2': 3, '3': 0, '4': 1 });
    expect(counters.ntlbMisses).toEqual({ gL4: 1, gL3: 1, gL2: 1, gL1: 1, gPA: 1 });
  });

  it('reads entries of one line from the first cache', () => {
    // Lines of one cold walk: 4 of the guest's tables, which are the first four frames of their zone; nested, one
    // each at levels 4 and 3 (entries 0 and 1 share a line), two each at levels 2 and 1 (tables and data).
    const { counters } = run({ mode: '2d', pteCaches: true, bytes: 2 ** 20 }, 1);
    expect(counters.refHits).toEqual({
      guest: { L1: 0, L2: 0, LLC: 0, memory: 4 },
      nested: { L1: 14, L2: 0, LLC: 0, memory: 6 },
    });
  });

  it('misses once a page on the first pass and finds all in the STLB on the second', () => {
    // 256 pages in turn defeat an LRU L1 of 64 and fit an STLB of 1536.
    const { counters } = run({ mode: 'tlb', stream: 'sequential', bytes: 2 ** 20 }, 2 * (2 ** 20 / 64));
    expect(counters.l1Misses).toBe(512);
    expect(counters.stlbHits).toEqual({ '4KiB': 256 });
    expect(counters.walks).toBe(256);
  });

  it('hits at random as often as its reach says', () => {
    const { counters } = run({ mode: 'tlb' }, 1_000_000);
    const l1Hits = (counters.l1Hits as Record<string, number>)['4KiB']!;
    // A binomial with p = 64 / 262144: mean 244, deviation 15.6; six deviations.
    expect(Math.abs(l1Hits - 244)).toBeLessThan(94);
    // p = 1536 / 262144, a little more because the L1 holds pages that the STLB has evicted: mean 5859, deviation 76.
    const hits = 1_000_000 - (counters.walks as number);
    expect(hits).toBeGreaterThan(5859 - 6 * 76);
    expect(hits).toBeLessThan(5859 + 6 * 76 + 244);
  });

  it('refuses what it does not know', () => {
    expect(() => runYardstick(program, ['--mode', '3d'])).toThrow(/--mode is tlb, 1d or 2d/);
    expect(() => runYardstick(program, ['--bytes', '5000'])).toThrow(/multiple of 4096/);
    expect(() => runYardstick(program, ['--accesses', '1e6'])).toThrow(/--accesses 1e6 is no whole number/);
    expect(() => runYardstick(program, ['--fast'])).toThrow(/unknown option --fast/);
  });
});

describe('comparison and statistics', () => {
  const result = (counters: YardstickResult['counters'], mode: YardstickResult['mode'] = '1d') =>
    ({ mode, counters }) as YardstickResult;

  it('reports a counter that differs, that only nestwalk has, and that it lacks', () => {
    const yardstick = result({ walks: 3, refs: { pt: { L1: 3 } }, reads: 5 });
    const found = differences(yardstick, { walks: 3, refs: { pt: { L1: 4, L2: 1 } } });
    expect(found).toEqual([
      'refs.pt.L1: yardstick 3, nestwalk 4',
      'reads: yardstick 5, nestwalk without it',
      'refs.pt.L2: yardstick 0, nestwalk 1',
    ]);
  });

  it('leaves out the references of TLBs alone and nothing else', () => {
    expect(differences(result({ walks: 3 }, 'tlb'), { walks: 3, refs: { pt: { L1: 3 } } })).toEqual([]);
    expect(differences(result({ walks: 3 }, 'tlb'), { walks: 2, refs: { pt: { L1: 2 } } })).toHaveLength(1);
  });

  it('takes medians of odd and even numbers of samples', () => {
    expect(median([10, 9, 2])).toBe(9);
    expect(median([4, 1, 100, 2])).toBe(3);
    expect(summarise([10, 9, 2])).toEqual({ median: 9, min: 2, max: 10, samples: [10, 9, 2] });
  });

  it('allows 9 bytes per mapped page and dimension and 200 MiB', () => {
    // 16 GiB = 2^22 pages: 36 MiB a dimension; nested, the 2 + 16 + 8192 guest tables are mapped as well.
    expect(memoryLimitMebibytes(subject({ mode: '1d', bytes: 2 ** 34 }))).toBe(236);
    expect(memoryLimitMebibytes(subject({ mode: '2d', bytes: 2 ** 34 }))).toBe(272 + (9 * 8210) / 2 ** 20);
  });

  it('names every trial once', () => {
    const names = TRIALS.map((trial) => trial.name);
    expect(new Set(names).size).toBe(names.length);
  });
});

/** Machines and streams of the trials, and smaller ones. */
const subjects: fc.Arbitrary<Subject> = fc.record({
  mode: fc.constantFrom('tlb' as const, '1d' as const, '2d' as const),
  stream: fc.constantFrom('uniform' as const, 'zipf' as const, 'sequential' as const),
  // Up to 1.5 GiB, so that spaces of one and of two level-2 tables occur, and sizes that are no power of two.
  bytes: fc
    .oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 393_216 }))
    .map((p) => p * PAGE),
  walkCaches: fc.constantFrom('narrow' as const, 'full' as const, 'none' as const),
  pteCaches: fc.boolean(),
  seed: fc.maxSafeNat(),
});

describe.skipIf(!compiles)('counters of the yardstick and of the oracle', () => {
  it('agree on random machines and streams', () => {
    fc.assert(
      fc.property(subjects, (part) => {
        const counters = oracle(configOf(part, 3000) as Parameters<typeof oracle>[0]);
        const yardstick = runYardstick(program, yardstickArguments(part, 3000));
        expect(differences(yardstick, counters as never)).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });
});

/** `NESTWALK_ENGINE` forces one engine; without an addon the loader says so, and the native half fails loudly. */
const engines = (['native', 'ts'] as const).filter(
  (engine) => (process.env.NESTWALK_ENGINE ?? engine) === engine,
);

describe.skipIf(!compiles).each(engines)('counters of the yardstick and of the %s engine', (engine) => {
  const agree = async (part: Subject, accesses: number) => {
    const config = configOf(part, accesses);
    const { counters, provenance } = await simulate(config as Parameters<typeof simulate>[0], {
      engine,
      workers: 1,
    });
    expect(provenance.engine).toBe(engine);
    const yardstick = runYardstick(program, yardstickArguments(part, accesses));
    expect(differences(yardstick, counters as never)).toEqual([]);
  };

  it('agree on random machines and streams', async () => {
    await fc.assert(
      fc.asyncProperty(subjects, (part) => agree(part, 20_000)),
      { numRuns: 25 },
    );
  });

  it.each(['tlb', '1d', '2d'] as const)('agree on 1 GiB, %s', async (mode) => {
    await agree(subject({ mode, walkCaches: 'narrow', stream: 'zipf' }), 300_000);
  });
});
