/** The access generator: encoding, patterns, runs, and that TypeScript, C++ and the oracle give one stream. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ComponentConfig, RegionConfig } from '../src/config/resolved.ts';
import { MAX_WORKLOAD_DEPTH } from '../src/config/workload.ts';
import { AccessGenerator, type WorkloadBlock } from '../src/hardware/access.ts';
import { permute, philox } from '../src/hardware/philox.ts';
import { COMPONENT_SLOTS, KIND_SHIFT, PURPOSES } from '../src/schema.ts';
import { encodeWorkload } from '../src/workload/encode.ts';
import { zipfDigest, zipfTable } from '../src/workload/zipf.ts';
import { Workload } from './oracle/workload.ts';

const BASE = 2 ** 40;
const BASE_PAGE = BASE / 4096;
const TWO_32 = 2 ** 32;
const SEED = { low: 0x01234567, high: 0x89abcdef };

const pagesOf = (pages: number, base = BASE): RegionConfig => ({ bytes: pages * 4096, base });

/** Pages in the region, offsets and kinds of a span of accesses. */
function stream(block: WorkloadBlock, from: number, count: number) {
  const pages = new Float64Array(count);
  const words = new Uint16Array(count);
  new AccessGenerator(block).fill(from, count, pages, words);
  return {
    pages: Array.from(pages, (page) => page - BASE_PAGE),
    offsets: Array.from(words, (word) => word & 4095),
    writes: Array.from(words, (word) => word >> KIND_SHIFT),
  };
}

const encode = (workload: ComponentConfig, ...regions: RegionConfig[]) =>
  encodeWorkload(workload, regions, SEED);

const common = { region: 0, writeFraction: 0 };
const strideOf = (bytes: number): ComponentConfig => ({ ...common, pattern: 'stride', bytes });
const chase: ComponentConfig = { ...common, pattern: 'chase' };

/** The four words of purpose 0, or another, at an index. */
function draw(index: number, component: number, purpose: number = PURPOSES.access): Uint32Array {
  const out = new Uint32Array(4);
  philox(index % TWO_32, Math.floor(index / TWO_32), component, purpose, SEED.low, SEED.high, out);
  return out;
}

describe('patterns worked out by hand', () => {
  it('stride: address = i · s mod bytes, exact where i · s is far above 2^53', () => {
    const block = encode(strideOf(3000), pagesOf(3));
    const addresses = [0, 3000, 6000, 9000, 12000 % 12288, 15000 % 12288, 18000 % 12288];
    const { pages, offsets } = stream(block, 0, 7);
    expect(pages.map((page, k) => page * 4096 + offsets[k])).toEqual(addresses);
    const from = 2 ** 53 - 3;
    const late = stream(block, from, 2);
    const exact = [0n, 1n].map((k) => Number(((BigInt(from) + k) * 3000n) % 12288n));
    expect(late.pages.map((page, k) => page * 4096 + late.offsets[k])).toEqual(exact);
  });

  it('stride: keeps offsets in a region above 2^53 bytes, where no double holds the address', () => {
    const bytes = 2 ** 55;
    const step = 2 ** 40 + 1;
    const from = 2 ** 53 - 9;
    const { pages, offsets } = stream(encode(strideOf(step), { bytes, base: BASE }), from, 5);
    for (let k = 0; k < 5; k++) {
      const address = ((BigInt(from) + BigInt(k)) * BigInt(step)) % BigInt(bytes);
      expect([pages[k], offsets[k]]).toEqual([Number(address >> 12n), Number(address & 4095n)]);
    }
  });

  it('phases: each part begins at 0 again whenever its turn comes', () => {
    const workload: ComponentConfig = {
      ...common,
      pattern: 'phases',
      lengths: [2, 3],
      parts: [strideOf(4096), strideOf(8192)],
    };
    // Indices 0 … 9: part 0 sees 0 1, part 1 sees 0 1 2, and so again.
    expect(stream(encode(workload, pagesOf(8)), 0, 10).pages).toEqual([0, 1, 0, 2, 4, 0, 1, 0, 2, 4]);
  });

  it('interleave: component i mod c sees ⌊i/c⌋', () => {
    const workload: ComponentConfig = {
      ...common,
      pattern: 'interleave',
      parts: [strideOf(4096), strideOf(8192), strideOf(12288)],
    };
    expect(stream(encode(workload, pagesOf(100)), 0, 9).pages).toEqual([0, 0, 0, 1, 2, 3, 2, 4, 6]);
  });

  it('burst: page, and a stride’s offset, from ⌊i/k⌋; bursts of bursts divide twice', () => {
    const once: ComponentConfig = { ...common, pattern: 'burst', k: 3, of: strideOf(5000) };
    const { pages, offsets } = stream(encode(once, pagesOf(10)), 0, 7);
    expect(pages).toEqual([0, 0, 0, 1, 1, 1, 2]);
    expect(offsets).toEqual([0, 0, 0, 904, 904, 904, 10000 - 8192]);
    const twice: ComponentConfig = { ...common, pattern: 'burst', k: 2, of: { ...once, of: strideOf(4096) } };
    expect(stream(encode(twice, pagesOf(10)), 5, 9).pages).toEqual([0, 1, 1, 1, 1, 1, 1, 2, 2]);
  });

  it('burst: kind and offset from what the outermost burst sees, in the leaf’s stream', () => {
    const leaf: ComponentConfig = { region: 0, writeFraction: 0.5, pattern: 'uniform' };
    const inner: ComponentConfig = { ...common, pattern: 'burst', k: 2, of: leaf };
    const outer: ComponentConfig = { ...common, pattern: 'burst', k: 3, of: inner };
    const workload: ComponentConfig = { ...common, pattern: 'interleave', parts: [strideOf(64), outer] };
    // Streams: 0 interleave, 1 stride, 2 outer burst, 3 inner burst, 4 uniform. Odd i: the outer burst sees ⌊i/2⌋.
    const { pages, offsets, writes } = stream(encode(workload, pagesOf(1000)), 0, 40);
    for (let i = 1; i < 40; i += 2) {
      const seen = Math.floor(i / 2);
      const own = draw(seen, 4);
      expect(pages[i]).toBe(Math.floor((draw(Math.floor(seen / 6), 4)[0] * 1000) / TWO_32));
      expect(offsets[i]).toBe(8 * (own[3] >>> 23));
      expect(writes[i]).toBe(own[2] < TWO_32 / 2 ? 1 : 0);
    }
  });

  it('mix: the first part whose share of purpose 7 holds the word, and that part sees i', () => {
    const workload: ComponentConfig = {
      ...common,
      pattern: 'mix',
      weights: [1, 0, 3],
      parts: [strideOf(4096), chase, strideOf(8192)],
    };
    const { pages } = stream(encode(workload, pagesOf(10000)), 0, 3000);
    for (let i = 0; i < 3000; i++) {
      expect(pages[i]).toBe(draw(i, 0, PURPOSES.mixture)[0] < TWO_32 / 4 ? i : 2 * i);
    }
  });

  it('chase: one cycle through all pages, in the order of the permutation', () => {
    const pages = 777;
    const seen = stream(encode(chase, pagesOf(pages)), 5 * pages, 2 * pages).pages;
    expect(new Set(seen.slice(0, pages)).size).toBe(pages);
    expect(seen.slice(pages)).toEqual(seen.slice(0, pages));
    expect(seen[3]).toBe(permute(3, pages, PURPOSES.chase, 0, SEED.low, SEED.high));
  });

  it('btree: root first, each node the parent of the next', () => {
    const [fanout, levels] = [4, 4];
    const nodes = 1 + 4 + 16 + 64;
    const workload: ComponentConfig = { ...common, pattern: 'btree', fanout, levels };
    const { pages } = stream(encode(workload, pagesOf(nodes)), 0, levels * 300);
    const firstOf = [0, 1, 5, 21];
    for (let lookup = 0; lookup < 300; lookup++) {
      const nodesOf = firstOf.map((first, level) => pages[lookup * levels + level] - first);
      expect(nodesOf[0]).toBe(0);
      for (let level = 1; level < levels; level++)
        expect(Math.floor(nodesOf[level] / fanout)).toBe(nodesOf[level - 1]);
      expect(nodesOf[3]).toBe(draw(lookup, 0, PURPOSES.lookupKey)[0] >>> 26);
    }
  });

  it('window: slides by its shift every so many accesses, around the end of the region', () => {
    const workload: ComponentConfig = { ...common, pattern: 'window', pages: 10, shift: 30, every: 100 };
    const { pages } = stream(encode(workload, pagesOf(64)), 0, 1000);
    const start = (i: number) => (Math.floor(i / 100) * 30) % 64;
    pages.forEach((page, i) => {
      expect((page - start(i) + 64) % 64).toBeLessThan(10);
    });
    expect(new Set(pages.slice(200, 300)).size).toBe(10);
  });

  it('hotcold: the weight goes to the hot pages', () => {
    const workload: ComponentConfig = { ...common, pattern: 'hotcold', hot: 0.1, weight: 0.9 };
    const { pages } = stream(encode(workload, pagesOf(100)), 0, 50_000);
    const hot = pages.filter((page) => page < 10).length;
    // Binomial: standard deviation sqrt(50000 · 0.9 · 0.1) = 67; six of them.
    expect(Math.abs(hot - 45_000)).toBeLessThan(403);
    expect(new Set(pages).size).toBe(100);
  });

  it('write fractions 0, 1 and a half', () => {
    const writes = (writeFraction: number) => {
      const block = encode({ region: 0, writeFraction, pattern: 'uniform' }, pagesOf(9));
      return stream(block, 0, 10_000).writes.reduce((sum, write) => sum + write, 0);
    };
    expect(writes(0)).toBe(0);
    expect(writes(1)).toBe(10_000);
    // Standard deviation 50; six of them.
    expect(Math.abs(writes(0.5) - 5000)).toBeLessThan(300);
  });
});

describe('the Zipf table', () => {
  it('of two pages with θ = 1 is 1 : 2, as the definition works out', () => {
    expect([...zipfTable(2, 1)]).toEqual([4294967295, 0, 2863311530, 0]);
  });

  it('of θ = 0 sends every rank to itself', () => {
    const table = zipfTable(100, 0);
    for (let r = 0; r < 100; r++) expect([table[2 * r], table[2 * r + 1]]).toEqual([TWO_32 - 1, r]);
  });

  it.each([
    { pages: 1, theta: 1 },
    { pages: 7, theta: 0.5 },
    { pages: 1000, theta: 0.99 },
    { pages: 1000, theta: 1 + 2 ** -24 },
    { pages: 1000, theta: 0.9 },
    { pages: 3001, theta: 1.5 },
    { pages: 3001, theta: 2 },
  ])('gives rank r the share 1/(r+1)^$theta of $pages pages', ({ pages, theta }) => {
    const table = zipfTable(pages, theta);
    const share = new Float64Array(pages);
    for (let j = 0; j < pages; j++) {
      share[j] += table[2 * j] / TWO_32 / pages;
      share[table[2 * j + 1]] += (TWO_32 - table[2 * j]) / TWO_32 / pages;
    }
    let total = 0;
    for (let r = 0; r < pages; r++) total += (r + 1) ** -theta;
    // Each threshold is cut to 32 bits, which moves at most 2^-32 of a slot's 1/pages; θ is cut to 2^-25.
    for (let r = 0; r < pages; r++) expect(Math.abs(share[r] - (r + 1) ** -theta / total)).toBeLessThan(1e-6);
  });

  it('is digested as all thresholds, then all aliases, little-endian', () => {
    // sha256sum of the 16 bytes ff ff ff ff aa aa aa aa 00 00 00 00 00 00 00 00.
    expect(zipfDigest(zipfTable(2, 1))).toBe(
      '9574b04f1529136de26ec5f76c4323bf52d2bc495793996161e297f6820ce853',
    );
  });

  it('is built once for the same pages and exponent', () => {
    const zipf = (theta: number, clustered: boolean): ComponentConfig => ({
      ...common,
      pattern: 'zipf',
      theta,
      clustered,
    });
    const workload: ComponentConfig = {
      ...common,
      pattern: 'interleave',
      parts: [zipf(0.9, true), zipf(0.9, false), zipf(0.9 + 2 ** -30, true), zipf(0.8, true)],
    };
    expect(encode(workload, pagesOf(100)).tables.length).toBe(2);
  });

  it('lies in shared memory, so that workers get the same one', () => {
    const block = encode({ ...common, pattern: 'zipf', theta: 1, clustered: true }, pagesOf(100));
    const clone = structuredClone(block);
    expect(clone.tables[0].buffer).toBeInstanceOf(SharedArrayBuffer);
    block.tables[0][0] = 17;
    expect(clone.tables[0][0]).toBe(17);
  });
});

describe('what does not fit is refused', () => {
  const refused = (workload: ComponentConfig, pages: number, message: RegExp) =>
    expect(() => encode(workload, pagesOf(pages))).toThrow(message);

  it('names the place and what is allowed', () => {
    refused(
      { ...common, region: 2, pattern: 'uniform' },
      10,
      /workload\.region is 2, but there are 1 regions/,
    );
    refused({ ...common, pattern: 'hotcold', hot: 0.5, weight: 0.5 }, 1, /no cold page/);
    refused({ ...common, pattern: 'window', pages: 11, shift: 1, every: 1 }, 10, /workload\.pages is 11/);
    refused({ ...common, pattern: 'btree', fanout: 4, levels: 3 }, 20, /more nodes than the 20 pages/);
    refused(
      { ...common, pattern: 'burst', k: 2, of: { ...chase, region: 1 } },
      10,
      /workload\.of\.region is 1/,
    );
    refused({ ...common, pattern: 'uniform' }, TWO_32 + 1, /16 TiB/);
    refused({ ...common, pattern: 'zipf', theta: 1, clustered: true }, TWO_32, /1 TiB/);
    expect(
      stream(encode({ ...common, pattern: 'btree', fanout: 4, levels: 3 }, pagesOf(21)), 0, 3).pages[0],
    ).toBe(0);
  });

  it('nests as deep as it says, and no deeper', () => {
    const nested = (depth: number): ComponentConfig =>
      depth === 1 ? chase : { ...common, pattern: 'burst', k: 1, of: nested(depth - 1) };
    expect(stream(encode(nested(MAX_WORKLOAD_DEPTH), pagesOf(10)), 0, 1).pages.length).toBe(1);
    refused(nested(MAX_WORKLOAD_DEPTH + 1), 10, /nested deeper than 16/);
  });
});

describe('runs', () => {
  it('are told for a stride shorter than a page that never writes, and for nothing else', () => {
    const hasRuns = (workload: ComponentConfig) => new AccessGenerator(encode(workload, pagesOf(10))).hasRuns;
    expect(hasRuns(strideOf(64))).toBe(true);
    expect(hasRuns(strideOf(4095))).toBe(true);
    expect(hasRuns(strideOf(4096))).toBe(false);
    expect(hasRuns(strideOf(0))).toBe(false);
    expect(hasRuns({ ...strideOf(64), writeFraction: 0.1 })).toBe(false);
    expect(hasRuns({ ...common, pattern: 'burst', k: 2, of: strideOf(64) })).toBe(false);
    expect(new AccessGenerator(encode(strideOf(4096), pagesOf(10))).nextRun(0, 5)).toBe(0);
  });

  it('follow the stream page by page', () => {
    const start = fc.oneof(fc.nat(10_000), fc.integer({ min: 2 ** 53 - 10_000, max: 2 ** 53 - 5000 }));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4095 }),
        fc.integer({ min: 1, max: 40 }),
        start,
        (step, pages, from) => {
          const block = encode(strideOf(step), pagesOf(pages));
          const generator = new AccessGenerator(block);
          const expected = stream(block, from, 500).pages;
          for (let done = 0; done < 500; ) {
            const length = generator.nextRun(from + done, 500 - done);
            expect(length).toBeGreaterThan(0);
            const run = expected.slice(done, done + length);
            expect(new Set([...run, generator.runPage - BASE_PAGE]).size).toBe(1);
            done += length;
            if (done < 500 && pages > 1) expect(expected[done]).not.toBe(run[0]);
          }
        },
      ),
    );
  });
});

// --- Random workloads -------------------------------------------------------------------------------------------

interface Scene {
  workload: ComponentConfig;
  regions: RegionConfig[];
  seed: { low: number; high: number };
  from: number;
  count: number;
}

const word = fc.integer({ min: 0, max: TWO_32 - 1 });
const fraction = fc.oneof(fc.constantFrom(0, 0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const regionPages = fc.oneof(
  fc.constantFrom(1, 2, 1024, 4096, 65536),
  fc.integer({ min: 1, max: 5000 }),
  fc.constantFrom(TWO_32, TWO_32 - 1, 2 ** 26 + 1),
);

/** A leaf that fits a region of so many pages. */
function leafOf(pages: number, region: number): fc.Arbitrary<ComponentConfig> {
  const any = fraction.map((writeFraction) => ({ region, writeFraction }));
  const step = fc.oneof(fc.integer({ min: 0, max: 10_000 }), fc.integer({ min: 0, max: 2 ** 50 }));
  const shared = <P extends object>(own: fc.Arbitrary<P>) =>
    fc.tuple(any, own).map(([left, right]) => ({ ...left, ...right }) as unknown as ComponentConfig);
  const leaves = [
    shared(fc.constant({ pattern: 'uniform' })),
    shared(fc.constant({ pattern: 'chase' })),
    shared(fc.record({ pattern: fc.constant('stride'), bytes: step })),
    shared(
      fc.record({
        pattern: fc.constant('window'),
        pages: fc.integer({ min: 1, max: pages }),
        shift: step,
        every: fc.integer({ min: 1, max: 700 }),
      }),
    ),
  ];
  if (pages > 1) {
    const hot = fc.double({ min: 0, max: 0.5, noNaN: true });
    leaves.push(shared(fc.record({ pattern: fc.constant('hotcold'), hot, weight: fraction })));
  }
  if (pages <= 5000) {
    const theta = fc.double({ min: 0, max: 3, noNaN: true });
    leaves.push(shared(fc.record({ pattern: fc.constant('zipf'), theta, clustered: fc.boolean() })));
  }
  const trees = [
    [1, 1],
    [1, 2],
    [2, 6],
    [3, 4],
    [512, 3],
    [2, 26],
  ].filter(
    ([fanout, levels]) =>
      Array.from({ length: levels }, (_, l) => fanout ** l).reduce((a, b) => a + b) <= pages,
  );
  leaves.push(
    shared(fc.constantFrom(...trees).map(([fanout, levels]) => ({ pattern: 'btree', fanout, levels }))),
  );
  return fc.oneof(...leaves);
}

/** A workload over regions of so many pages each, composites at most so deep. */
function workloadOver(pages: number[], depth: number): fc.Arbitrary<ComponentConfig> {
  const leaf = fc.nat(pages.length - 1).chain((region) => leafOf(pages[region], region));
  if (depth === 0) return leaf;
  const part = workloadOver(pages, depth - 1);
  const parts = fc.oneof(
    { arbitrary: fc.array(part, { minLength: 1, maxLength: 4 }), weight: 9 },
    { arbitrary: fc.array(leaf, { minLength: 9, maxLength: 12 }), weight: 1 },
  );
  const weight = fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 10, noNaN: true }));
  const length = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 100_000 }));
  const beside = <P>(numbers: fc.Arbitrary<P>) =>
    parts.chain((all) =>
      fc.record({
        parts: fc.constant(all),
        numbers: fc.array(numbers, { minLength: all.length, maxLength: all.length }),
      }),
    );
  return fc.oneof(
    { arbitrary: leaf, weight: 2 },
    {
      arbitrary: fc
        .record({ k: fc.integer({ min: 1, max: 20 }), of: part })
        .map(({ k, of }): ComponentConfig => ({ ...common, pattern: 'burst', k, of })),
      weight: 2,
    },
    {
      arbitrary: beside(weight).map(
        ({ parts, numbers }): ComponentConfig => ({
          ...common,
          pattern: 'mix',
          weights: [...numbers.slice(0, -1), numbers.at(-1)! + 1],
          parts,
        }),
      ),
      weight: 2,
    },
    {
      arbitrary: beside(length).map(
        ({ parts, numbers }): ComponentConfig => ({ ...common, pattern: 'phases', lengths: numbers, parts }),
      ),
      weight: 1,
    },
    {
      arbitrary: parts.map((all): ComponentConfig => ({ ...common, pattern: 'interleave', parts: all })),
      weight: 1,
    },
  );
}

const start = fc.oneof(
  fc.constant(0),
  fc.nat(100_000),
  fc.integer({ min: TWO_32 - 1000, max: TWO_32 + 10 }),
  fc.integer({ min: TWO_32, max: 2 ** 53 - 5000 }),
);
const scene: fc.Arbitrary<Scene> = fc.array(regionPages, { minLength: 1, maxLength: 3 }).chain((pages) =>
  fc.record({
    workload: workloadOver(pages, 3),
    regions: fc.constant(pages.map((count, k) => pagesOf(count, (k + 1) * BASE))),
    seed: fc.record({ low: word, high: word }),
    from: start,
    count: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 500, max: 1300 })),
  }),
);

function generated({ workload, regions, seed, from, count }: Scene) {
  const block = encodeWorkload(workload, regions, seed);
  const pages = new Float64Array(count);
  const words = new Uint16Array(count);
  const generator = new AccessGenerator(block);
  generator.fill(from, count, pages, words);
  return { block, generator, pages, words };
}

describe('the TypeScript generator', () => {
  it('gives what the oracle gives, one access at a time', () => {
    fc.assert(
      fc.property(scene, (all) => {
        const { pages, words } = generated(all);
        const places = all.regions.map(({ bytes, base }) => ({
          firstPage: base / 4096,
          bytes,
          frames: bytes / 4096,
        }));
        const seed = (BigInt(all.seed.high) << 32n) | BigInt(all.seed.low);
        const oracle = new Workload(all.workload, places, seed);
        for (let k = 0; k < all.count; k += 1 + (k % 7)) {
          const { page, offset, kind } = oracle.access(all.from + k);
          expect([k, pages[k], words[k]]).toEqual([
            k,
            page,
            offset | (kind === 'write' ? 1 << KIND_SHIFT : 0),
          ]);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('gives the same pages to those who want no kinds and offsets, and says whether there are writes', () => {
    fc.assert(
      fc.property(scene, (all) => {
        const { generator, pages, words } = generated(all);
        const alone = new Float64Array(all.count);
        generator.fill(all.from, all.count, alone);
        expect(alone).toEqual(pages);
        if (!generator.hasWrites) expect(words.every((word) => word >> KIND_SHIFT === 0)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('is a pure function of the index: any cut of the stream, in any order, gives the same', () => {
    fc.assert(
      fc.property(scene, fc.array(fc.nat(1299), { maxLength: 5 }), (all, cuts) => {
        const { generator, pages, words } = generated(all);
        const ends = [...new Set([0, ...cuts.map((cut) => cut % all.count), all.count])].sort(
          (a, b) => a - b,
        );
        for (let k = ends.length - 1; k > 0; k--) {
          const size = ends[k] - ends[k - 1];
          const somePages = new Float64Array(size);
          const someWords = new Uint16Array(size);
          generator.fill(all.from + ends[k - 1], size, somePages, someWords);
          expect(somePages).toEqual(pages.slice(ends[k - 1], ends[k]));
          expect(someWords).toEqual(words.slice(ends[k - 1], ends[k]));
        }
      }),
      { numRuns: 60 },
    );
  });
});

// --- The C++ twin -----------------------------------------------------------------------------------------------

const CXX = process.env.CXX ?? 'g++';
const hasCompiler = spawnSync(CXX, ['--version']).status === 0;

function cpuFlags(): Set<string> {
  try {
    return new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].trim().split(' '));
  } catch {
    return new Set();
  }
}

const flags = cpuFlags();
const TIERS = [
  { tier: 'base', needs: [], options: [] },
  { tier: 'avx2', needs: ['avx2', 'bmi1', 'bmi2'], options: ['-mavx2', '-mbmi', '-mbmi2'] },
  {
    tier: 'avx512',
    needs: ['avx512f', 'avx512bw', 'avx512dq', 'avx512vl'],
    options: ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl'],
  },
];

it.runIf(process.env.CI === 'true')('a compiler is there to test the C++ generator', () => {
  expect(hasCompiler).toBe(true);
});

/** A block as the check program reads it. */
function blockText(block: WorkloadBlock): string {
  const counts = [block.components.length / COMPONENT_SLOTS, block.links.length, block.tables.length];
  const tables = block.tables.flatMap((table) => [table.length, ...table]);
  return [
    'workload',
    block.seedLow,
    block.seedHigh,
    ...counts,
    ...block.components,
    ...block.links,
    ...tables,
  ].join(' ');
}

describe.each(TIERS)('the C++ generator, $tier', ({ tier, needs, options }) => {
  const runs = hasCompiler && needs.every((flag) => flags.has(flag));
  let folder = '';

  beforeAll(() => {
    if (!runs) return;
    folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-access-'));
    const source = path.join(import.meta.dirname, 'native/access_check.cc');
    const general = ['-O3', '-std=c++20', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra', '-Werror'];
    const compiled = spawnSync(
      CXX,
      [...general, ...options, `-DNESTWALK_TIER=${tier}`, source, '-o', path.join(folder, 'check')],
      { encoding: 'utf8' },
    );
    expect(compiled.stderr).toBe('');
    expect(compiled.status).toBe(0);
  }, 180_000);

  afterAll(() => {
    if (folder !== '') rmSync(folder, { recursive: true });
  });

  /** What the program prints for these commands, line by line, as numbers. */
  function check(...commands: string[]): number[][] {
    const { status, stdout } = spawnSync(path.join(folder, 'check'), {
      input: `${commands.join('\n')}\n`,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    expect(status).toBe(0);
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().split(' ').map(Number));
  }

  it.runIf(runs)('draws as TypeScript does, alone and over lanes', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 6, maxLength: 6 }), (numbers) => {
        const [c0, c1, c2, c3, k0, k1] = numbers;
        const words = new Uint32Array(4);
        philox(c0, c1, c2, c3, k0, k1, words);
        expect(check(`philox ${numbers.join(' ')}`)).toEqual([[...words], [...words]]);
      }),
      {
        // The published vectors (see philox.test.ts) first.
        examples: [
          [[0, 0, 0, 0, 0, 0]],
          [Array(6).fill(0xffffffff)],
          [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0]],
        ],
        numRuns: 50,
      },
    );
  });

  it.runIf(runs)('permutes as TypeScript does, tabulated or not', () => {
    const sizes = fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 2 ** 34 }));
    fc.assert(
      fc.property(sizes, word, word, (n, low, high) => {
        const count = Math.min(n, 50);
        const expected = Array.from({ length: count }, (_, x) =>
          permute(x, n, PURPOSES.rankPermutation, 9, low, high),
        );
        const command = `permute ${n} ${PURPOSES.rankPermutation} 9 ${low} ${high} ${count}`;
        expect(check(command)).toEqual([expected]);
      }),
      { numRuns: 30 },
    );
  });

  it.runIf(runs)('gives the stream that TypeScript gives, pages and words, and counts its writes', () => {
    fc.assert(
      fc.property(scene, (all) => {
        const { block, pages, words } = generated(all);
        const [both, alone] = check(
          blockText(block),
          `words ${all.from} ${all.count}`,
          `pages ${all.from} ${all.count}`,
        );
        const writes = words.reduce((sum, each) => sum + (each >> KIND_SHIFT), 0);
        expect(both.at(-1)).toBe(writes);
        expect(alone.at(-1)).toBe(writes);
        for (let k = 0; k < all.count; k++) {
          expect([k, both[2 * k], both[2 * k + 1]]).toEqual([k, pages[k], words[k]]);
          expect([k, alone[k]]).toEqual([k, pages[k] % TWO_32]);
        }
      }),
      { numRuns: 150 },
    );
  });

  it.runIf(runs)('tells the runs that TypeScript tells', () => {
    const strides = fc.record({
      bytes: fc.integer({ min: 0, max: 5000 }),
      pages: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(strides, start, fc.integer({ min: 1, max: 100 }), ({ bytes, pages }, from, limit) => {
        const block = encode(strideOf(bytes), pagesOf(pages));
        const generator = new AccessGenerator(block);
        const length = generator.nextRun(from, limit);
        const expected = length === 0 ? [Number.NaN] : [generator.runPage, length];
        expect(check(blockText(block), `run ${from} ${limit}`)).toEqual([expected]);
      }),
      { numRuns: 40 },
    );
  });
});
