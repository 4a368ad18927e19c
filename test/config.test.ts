import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfigText } from '../src/config/file.ts';
import { NAMED_WORKLOADS, split } from '../src/config/named.ts';
import { tablePages } from '../src/config/paging.ts';
import { configHash, resolveConfig } from '../src/config/resolve.ts';
import { type ComponentConfig, isTrace, type ResolvedConfig } from '../src/config/resolved.ts';
import { type ConfigInput, jsonSchema } from '../src/config/schema.ts';
import { compressionByName, formatByName } from '../src/config/traceFormat.ts';
import { MACHINE_PRESETS } from '../src/machines/presets.ts';
import { dumpWorkload } from '../src/run/dumpWorkload.ts';
import { PAGE_SIZES } from '../src/schema.ts';

const GIB = 2 ** 30;
const base = { workload: 'uniform', footprint: '1MiB', accesses: '1k', seed: 1 };
const resolve = (input: unknown): ResolvedConfig => resolveConfig(input).config;
const withBase = (changes: Record<string, unknown>): ResolvedConfig => resolve({ ...base, ...changes });
const withRegions = (changes: Record<string, unknown>): ResolvedConfig =>
  resolve({ workload: 'uniform', accesses: 1, seed: 1, ...changes });

describe('defaults', () => {
  it('are those of the documentation', () => {
    expect(withBase({ machine: {} })).toEqual({
      seed: 1,
      accesses: 1000,
      optional: [],
      machine: {
        l1d: [],
        l1i: null,
        stlb: [],
        psc: null,
        nestedPsc: null,
        ntlb: null,
        pwc: null,
        caches: [],
        memoryLatency: 200,
        stlbLatency: 7,
        dataThroughCaches: false,
        nestedAD: true,
        tagged: ['vpid', 'pcid'],
      },
      paging: {
        mode: 'nested',
        guestPage: '4KiB',
        nestedPage: '4KiB',
        guestLevels: 4,
        nestedLevels: 4,
        populate: 'prefault',
        placement: 'contiguous',
        ad: 'set',
      },
      context: { tag: 1, vm: 1 },
      regions: [{ bytes: 2 ** 20, base: 2 ** 40 }],
      workload: { pattern: 'uniform', region: 0, writeFraction: 0 },
      run: { engine: 'auto', workers: 'auto', warmup: 1_000_000 },
    });
  });

  it('the machine is a Skylake-SP when none is named', () => {
    expect(withBase({}).machine).toEqual({ preset: 'skylake-sp', ...MACHINE_PRESETS['skylake-sp'].machine });
  });

  it('A and D follow populate', () => {
    expect(withBase({ paging: { populate: 'demand' } }).paging.ad).toBe('clear');
    expect(withBase({ paging: { populate: 'demand', ad: 'set' } }).paging.ad).toBe('set');
  });

  it('a default seed is said', () => {
    const { config, notes } = resolveConfig({ ...base, seed: undefined }, { defaultSeed: 1 });
    expect(config.seed).toBe(1);
    expect(notes).toEqual(['seed: 1, since none was given']);
    expect(resolveConfig(base, { defaultSeed: 7 })).toMatchObject({ config: { seed: 1 }, notes: [] });
  });

  it('guest memory that the regions exceed is said to be without effect', () => {
    expect(resolveConfig({ ...base, paging: { guestMemory: '4KiB' } }).notes).toEqual([
      'paging.guestMemory: without effect, the regions take 1MiB',
    ]);
  });
});

describe('machines', () => {
  it('a change replaces a field of a preset whole, null takes it away', () => {
    const stlb = [{ entries: 2048, ways: 16, sizes: ['2MiB', '4KiB'] }];
    const { machine } = withBase({
      machine: { preset: 'zen4', stlb, ntlb: null, pwc: { entries: 8, ways: 'full' } },
    });
    expect(machine).toEqual({
      preset: 'zen4',
      ...MACHINE_PRESETS.zen4.machine,
      stlb: [{ entries: 2048, ways: 16, sizes: ['4KiB', '2MiB'], replacement: 'lru' }],
      ntlb: null,
      pwc: { entries: 8, ways: 8, holds: '2d', latency: 0 },
    });
  });

  it('a hashed index stays in the whole form, the default is left out of it', () => {
    const array = { entries: 1536, ways: 12, sizes: ['4KiB'] };
    const indexed = (index?: string) =>
      withBase({ machine: { stlb: [{ ...array, ...(index ? { index } : {}) }] } }).machine.stlb;
    const plain = [{ ...array, replacement: 'lru' }];
    expect(indexed()).toEqual(plain);
    expect(indexed('low')).toEqual(plain);
    expect(indexed('low')[0]).not.toHaveProperty('index');
    expect(indexed('xor')).toEqual([{ ...plain[0], index: 'xor' }]);
  });

  it('a PTE cache may have any number of sets, other structures a power of two', () => {
    const cache = { name: 'LLC', size: '22MiB', ways: 11, line: 64, latency: 54 };
    expect(withBase({ machine: { caches: [cache] } }).machine.caches).toEqual([
      { ...cache, size: 22 * 2 ** 20 },
    ]);
    const three = { name: 'LLC', size: 3 * 64, ways: 1, line: 64, latency: 54 };
    expect(
      withBase({ machine: { caches: [three, { ...three, name: 'F', ways: 'full' }] } }).machine.caches[1]
        .ways,
    ).toBe(3);
  });

  it('accepts exactly the geometries whose number of sets is a power of two', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 40 }), (entries, ways) => {
        const sets = entries / ways;
        const sound = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].includes(sets);
        for (const machine of [
          { l1d: [{ entries, ways, sizes: ['4KiB'] }] },
          { psc: { l2: { entries, ways } } },
          { ntlb: { entries, ways } },
          { pwc: { entries, ways } },
        ]) {
          if (sound) expect(() => withBase({ machine })).not.toThrow();
          else expect(() => withBase({ machine })).toThrowError(/\.ways: /);
        }
      }),
    );
  });

  it('the mends that a wrong geometry names are right', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 5000 }), fc.integer({ min: 1, max: 64 }), (entries, ways) => {
        const array = (changes: object) => ({
          machine: { l1d: [{ entries, ways, sizes: ['4KiB'], ...changes }] },
        });
        let message = '';
        try {
          withBase(array({}));
        } catch (error) {
          message = (error as Error).message;
        }
        const [, fewer, more] = /give (\d+) or (\d+) entries/.exec(message) ?? [];
        for (const offered of fewer ? [fewer, more] : [])
          expect(() => withBase(array({ entries: Number(offered) }))).not.toThrow();
        for (const [, offered] of message.matchAll(/(\d+)(?: or \d+)? ways with/g))
          expect(() => withBase(array({ ways: Number(offered) }))).not.toThrow();
      }),
    );
  });

  it('takes any structure in a native run, which ignores it', () => {
    const { machine } = withBase({
      machine: 'opteron-2008',
      paging: { mode: 'native', nestedLevels: 2, nestedPage: '1GiB' },
    });
    expect(machine.ntlb).not.toBeNull();
  });
});

describe('regions', () => {
  it('begin at 2^40, 1 GiB or 0, each further one at the next 1 GiB boundary after a gap of 1 GiB', () => {
    const regions = [{ bytes: '4KiB' }, { bytes: '1GiB' }, { bytes: '4KiB' }];
    const bases = (guestLevels: number) =>
      withRegions({ regions, paging: { guestLevels } }).regions.map(({ base }) => base);
    // 4 KiB end inside the first GiB: up to its boundary, then the gap; 1 GiB ends on a boundary.
    expect(bases(5)).toEqual([2 ** 40, 2 ** 40 + 2 * GIB, 2 ** 40 + 4 * GIB]);
    expect(bases(4)).toEqual(bases(5));
    expect(bases(3)).toEqual([GIB, 3 * GIB, 5 * GIB]);
    expect(withRegions({ footprint: '512MiB', paging: { guestLevels: 2 } }).regions).toEqual([
      { bytes: GIB / 2, base: 0 },
    ]);
  });

  it('keep a base of their own, exact up to 57 bits', () => {
    const high = `0x${(2n ** 57n - 4096n).toString(16)}`;
    const { regions } = withRegions({ regions: [{ bytes: 4096, base: high }], paging: { guestLevels: 5 } });
    expect(BigInt(regions[0].base)).toBe(2n ** 57n - 4096n);
    expect(() =>
      withRegions({ regions: [{ bytes: 8192, base: high }], paging: { guestLevels: 5 } }),
    ).toThrowError('57 bits');
  });

  it('fill an address space to the last byte, and not one page more', () => {
    const whole = (bytes: string) =>
      withRegions({ regions: [{ bytes, base: 0 }], paging: { guestLevels: 2, nestedLevels: 4 } });
    expect(() => whole('1GiB')).not.toThrow();
    expect(() => whole(`${GIB + 4096}`)).toThrowError('30 bits');
  });

  it('leave room for the guest tables in the nested address space', () => {
    // Two nested levels reach 1 GiB; a root entry reaches 2 MiB. 1022 MiB of data end on such a boundary, and their
    // tables begin there: a root, one table a level, and 511 of the last level need 514 pages, 2 MiB and 8 KiB.
    const fits = (bytes: string) => withRegions({ footprint: bytes, paging: { nestedLevels: 2 } });
    expect(() => fits('1020MiB')).not.toThrow();
    expect(() => fits('1022MiB')).toThrowError('do not fit the 1GiB that 2 nested levels reach');
  });

  it('counts the table pages of a guest', () => {
    const pages = (regions: { bytes: number; base: number }[], levels = 4) =>
      tablePages(regions, '4KiB', levels);
    expect(pages([{ bytes: 4096, base: 0 }])).toBe(4);
    expect(pages([{ bytes: 2 ** 21, base: 0 }])).toBe(4);
    expect(pages([{ bytes: 2 ** 21 + 4096, base: 0 }])).toBe(5);
    expect(pages([{ bytes: GIB, base: 0 }])).toBe(3 + 512);
    expect(pages([{ bytes: GIB, base: 0 }], 2)).toBe(1 + 512);
    // Two regions in one last-level table share all tables; 1 GiB apart they share the root and the third level.
    expect(
      pages([
        { bytes: 4096, base: 0 },
        { bytes: 4096, base: 8192 },
      ]),
    ).toBe(4);
    expect(
      pages([
        { bytes: 4096, base: GIB },
        { bytes: 4096, base: 0 },
      ]),
    ).toBe(6);
    expect(tablePages([{ bytes: GIB, base: 0 }], '1GiB', 3)).toBe(1);
    expect(tablePages([{ bytes: GIB, base: 0 }], '2MiB', 4)).toBe(3);
  });
});

describe('components', () => {
  it('take region and writeFraction from their parent unless they have their own', () => {
    const { workload } = withRegions({
      regions: [{ bytes: 4096 }, { bytes: 8192 }],
      workload: {
        pattern: 'interleave',
        writeFraction: 0.4,
        region: 1,
        parts: [
          { pattern: 'uniform', region: 0 },
          { pattern: 'burst', k: '2', writeFraction: 0, of: { pattern: 'chase' } },
        ],
      },
    });
    expect(workload).toEqual({
      pattern: 'interleave',
      region: 1,
      writeFraction: 0.4,
      parts: [
        { pattern: 'uniform', region: 0, writeFraction: 0.4 },
        {
          pattern: 'burst',
          k: 2,
          region: 1,
          writeFraction: 0,
          of: { pattern: 'chase', region: 1, writeFraction: 0 },
        },
      ],
    });
  });

  it('have short forms', () => {
    expect(withBase({ workload: 'sequential' }).workload).toMatchObject({ pattern: 'stride', bytes: 64 });
    expect(withBase({ workload: 'zipf' }).workload).toMatchObject({
      pattern: 'zipf',
      theta: 0.99,
      clustered: false,
    });
    expect(withBase({ workload: { pattern: 'sequential', writeFraction: 1 } }).workload).toEqual({
      pattern: 'stride',
      bytes: 64,
      region: 0,
      writeFraction: 1,
    });
  });

  it('draw the line where the pattern ends', () => {
    const pages = (count: number, workload: unknown) =>
      withRegions({ regions: [{ bytes: count * 4096 }], workload });
    expect(() => pages(2, { pattern: 'hotcold', hot: 0.99, weight: 1 })).not.toThrow();
    expect(() => pages(1, { pattern: 'hotcold', hot: 0, weight: 1 })).toThrowError('no cold page');
    expect(() => pages(8, { pattern: 'window', pages: 8, shift: 0, every: 1 })).not.toThrow();
    // 1 + 3 + 9 nodes.
    expect(() => pages(13, { pattern: 'btree', fanout: 3, levels: 3 })).not.toThrow();
    expect(() => pages(12, { pattern: 'btree', fanout: 3, levels: 3 })).toThrowError('13 nodes');
  });
});

describe('traces', () => {
  const trace = (changes: object, options = {}) =>
    resolveConfig(
      { seed: 1, workload: { trace: 'a.lackey', ...changes } },
      { directory: '/data', ...options },
    ).config;

  it('are found from the directory of the configuration', () => {
    expect(trace({}).workload).toEqual({ trace: '/data/a.lackey', format: 'lackey', fetches: true });
    expect(trace({ trace: '/abs/b.nwt', fetches: false }).workload).toEqual({
      trace: '/abs/b.nwt',
      format: 'nwt',
      fetches: false,
    });
    expect(trace({})).not.toHaveProperty('accesses');
    expect(trace({}).regions).toEqual([]);
  });

  it.each([
    ['sort.lackey', 'lackey'],
    ['sort.LACKEY.gz', 'lackey'],
    ['600.perlbench_s-210B.champsimtrace.xz', 'champsim'],
    ['x.nwt.zst', 'nwt'],
    ['dir.nwt/SORT.NWT', 'nwt'],
    ['x.xz', undefined],
    ['lackey', undefined],
    ['a.lackey.txt', undefined],
    ['dir.nwt/x', undefined],
  ])('%s is of format %s by its name', (name, format) => {
    expect(formatByName(name)).toBe(format);
    expect(trace({ trace: name }).workload).toMatchObject({ format: format ?? 'auto' });
  });

  it.each([
    ['sort.lackey.GZ', '.gz'],
    ['x.nwt.zst', '.zst'],
    ['x.xz', '.xz'],
    ['x.nwt', ''],
    ['dir.gz/x', ''],
  ])('%s is compressed as %j by its name', (name, compression) => {
    expect(compressionByName(name)).toBe(compression);
  });

  it('say their format where the name does not, or leave it to the content', () => {
    expect(trace({ trace: 'x.bin', format: 'champsim' }).workload).toMatchObject({ format: 'champsim' });
    expect(trace({ trace: 'x.bin' }).workload).toMatchObject({ format: 'auto' });
    expect(trace({ format: 'auto' }).workload).toMatchObject({ format: 'lackey' });
    expect(trace({ format: 'nwt' }).workload).toMatchObject({ format: 'nwt' });
  });
});

describe('named workloads', () => {
  const names = Object.keys(NAMED_WORKLOADS);
  const leaves = (component: ComponentConfig): ComponentConfig[] => {
    if ('of' in component) return leaves(component.of);
    return 'parts' in component ? component.parts.flatMap(leaves) : [component];
  };

  it('has those that are promised', () => {
    for (const name of ['gups', 'memcached', 'graph500', 'xsbench', 'btree', 'canneal', 'redis', 'stream'])
      expect(names).toContain(name);
    for (const name of ['memcached-uniform', 'redis-uniform']) expect(names).toContain(name);
  });

  it.each(names)('%s: resolves by its name alone and says its footprint', (workload) => {
    const { config, notes } = resolveConfig({ workload, accesses: 1, seed: 1 });
    expect(config.regions.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(
      NAMED_WORKLOADS[workload].footprint,
    );
    expect(notes).toEqual([expect.stringMatching(`^footprint: \\dGiB, the default of ${workload}$`)]);
  });

  it.each(names)(
    '%s: stays in its regions, uses all of them, from the least footprint to 512 GiB',
    (workload) => {
      const { minimum } = NAMED_WORKLOADS[workload];
      fc.assert(
        fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (where) => {
          const pages = Math.floor((minimum / 4096) * ((512 * GIB) / minimum) ** where);
          const config = resolve({
            workload,
            footprint: pages * 4096,
            accesses: 1,
            seed: 1,
            paging: { guestPage: '2MiB' },
          });
          expect(config.regions.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(pages * 4096);
          expect(config.regions.every(({ bytes }) => bytes > 0 && bytes % 4096 === 0)).toBe(true);
          if (isTrace(config.workload)) throw new Error('a named workload is no trace');
          const used = new Set(leaves(config.workload).map(({ region }) => region));
          expect([...used].sort()).toEqual(config.regions.map((_, index) => index));
        }),
        { numRuns: 40 },
      );
    },
  );

  it.each(names)('%s: every parameter says where it is from', (workload) => {
    const { title, source, parameters } = NAMED_WORKLOADS[workload];
    expect(title.length * source.length).toBeGreaterThan(0);
    expect(Object.keys(parameters)).toContain('footprint');
    expect(Object.values(parameters).every((text) => text.length > 0)).toBe(true);
  });

  it('cuts a footprint in proportion, each part at least a page', () => {
    expect(split(34 * 4096, [32, 1, 1])).toEqual([{ bytes: 32 * 4096 }, { bytes: 4096 }, { bytes: 4096 }]);
    expect(split(3 * 4096, [32, 1, 1])).toEqual([{ bytes: 4096 }, { bytes: 4096 }, { bytes: 4096 }]);
  });

  it('takes btree for the workload and {pattern: btree} for the pattern', () => {
    const { workload } = resolve({ workload: 'btree', footprint: '4GiB', accesses: 1, seed: 1 });
    expect(workload).toMatchObject({ pattern: 'mix', parts: [{ of: { pattern: 'btree' } }, {}, {}] });
    const pattern = resolve({
      workload: { pattern: 'btree', fanout: 8, levels: 3 },
      footprint: '1MiB',
      accesses: 1,
      seed: 1,
    });
    expect(pattern.workload).toMatchObject({ pattern: 'btree', fanout: 8, levels: 3 });
  });

  it('fills the nodes of a btree with the largest tree of 8 to 16 children a node', () => {
    const treeOf = (footprint: number) => {
      const { workload, regions } = resolve({ workload: 'btree', footprint, accesses: 1, seed: 1 });
      return { pages: regions[0].bytes / 4096, tree: JSON.parse(JSON.stringify(workload)).parts[0].of };
    };
    // 2^20 pages less twice 16/75 of them. 9^6 + … + 1 = 597,871 fill it best; 14^5 + … = 579,195 fit too.
    expect(treeOf(4 * GIB)).toMatchObject({ pages: 2 ** 20 - 2 * 223_696, tree: { fanout: 9, levels: 7 } });
    for (const pages of [3, 4, 5, 30, 1000, 123_456]) {
      const { pages: room, tree } = treeOf(pages * 4096);
      const nodes = (fanout: number, levels: number): number =>
        Array.from({ length: levels }, (_, level) => fanout ** level).reduce((sum, count) => sum + count, 0);
      const own = nodes(tree.fanout, tree.levels);
      expect(own).toBeLessThanOrEqual(room);
      for (let fanout = 8; fanout <= 16; fanout++)
        for (let levels = 1; nodes(fanout, levels) <= room; levels++)
          expect(own, `${pages} pages: ${fanout}, ${levels}`).toBeGreaterThanOrEqual(nodes(fanout, levels));
    }
  });

  it.each(names)('%s: can be made as large as it was measured', (workload) => {
    for (const { bytes, source } of NAMED_WORKLOADS[workload].published) {
      expect(source.length).toBeGreaterThan(20);
      const config = resolve({ workload, footprint: bytes, accesses: 1, seed: 1 });
      expect(config.regions.reduce((sum, region) => sum + region.bytes, 0)).toBe(bytes);
    }
  });

  it('gives XSBench the published footprints by the sizes of its structures', () => {
    // 355 nuclides: a row of 355 4-byte indices and 8 bytes of energy a union point, 48 bytes a nuclide point.
    const bytesFor = (points: number): number => 355 * points * (355 * 4 + 8 + 48);
    const published = NAMED_WORKLOADS.xsbench.published.map(({ bytes }) => Math.round(bytes / GIB));
    expect(bytesFor(170_000) / GIB).toBeCloseTo(published[0] - 1, 0);
    expect(bytesFor(680_000) / GIB).toBeCloseTo(published[1], 0);
  });

  /** Accesses of an operation of each program, and the pages that one goes to in regions where chance decides, by hand. */
  it.each([
    ['gups', 2, [1]],
    ['canneal', 94, [1 + 10, 2, 11]],
    // The edges of a vertex and its offset; parents are as popular as vertices, and the queue goes on in order.
    ['graph500', 68, [1, 1, undefined, undefined]],
    ['memcached-uniform', 27, [1, 1]],
    ['redis-uniform', 15, [1, 1, 1, 1, 1]],
    ['xsbench', 56 * 13 + 2 * 19, [1, 56, undefined]],
  ])('%s: goes to as many pages in %i accesses as the program', (workload, operation, visits) => {
    const config = resolve({ workload, footprint: 512 * GIB, accesses: 1, seed: 1 });
    const operations = 4000;
    const pages = config.regions.map(() => new Set<number>());
    const starts = config.regions.map(({ base }) => base);
    for (const line of dumpWorkload(config, { from: 12_345, count: operations * operation })) {
      const address = Number(line.slice(2));
      const region = starts.findLastIndex((start) => address >= start);
      pages[region].add(Math.floor(address / 4096));
    }
    for (const [region, expected] of visits.entries()) {
      if (expected === undefined) continue;
      // Few pages come twice among so many. A window is a whole number of accesses, 7 for 7.5 at worst.
      const found = pages[region].size / operations / expected;
      expect(found, `region ${region}`).toBeGreaterThan(0.9);
      expect(found, `region ${region}`).toBeLessThan(1.1);
    }
  });
});

/** Components whose parameters fit the smallest of the regions, 16 pages. */
const component: fc.Arbitrary<Record<string, unknown>> = fc.letrec<{ any: Record<string, unknown> }>(
  (tie) => {
    const common = {
      region: fc.option(fc.nat(1), { nil: undefined }),
      writeFraction: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    };
    const parts = fc.array(tie('any'), { minLength: 1, maxLength: 3 });
    const count = fc.constantFrom(1, 3, '2k', '1e3');
    return {
      any: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.record({ pattern: fc.constantFrom('uniform', 'chase', 'sequential'), ...common }),
        fc.record({ pattern: fc.constant('stride'), bytes: fc.constantFrom(8, '4KiB', '1e4'), ...common }),
        fc.record({
          pattern: fc.constant('zipf'),
          theta: fc.constantFrom(undefined, 0, 1.25),
          clustered: fc.constantFrom(undefined, true),
          ...common,
        }),
        fc.record({
          pattern: fc.constant('hotcold'),
          hot: fc.constantFrom(0, 0.5, 0.9),
          weight: fc.constantFrom(0, 0.5, 1),
          ...common,
        }),
        fc.record({
          pattern: fc.constant('window'),
          pages: fc.constantFrom(1, 16, '7'),
          shift: fc.nat(99),
          every: count,
          ...common,
        }),
        fc.record({
          pattern: fc.constant('btree'),
          fanout: fc.constant(2),
          levels: fc.integer({ min: 1, max: 4 }),
          ...common,
        }),
        fc.record({ pattern: fc.constant('burst'), k: count, of: tie('any'), ...common }),
        fc.record({ pattern: fc.constant('interleave'), parts, ...common }),
        parts.map((list) => ({ pattern: 'mix', weights: list.map((_, index) => index + 0.5), parts: list })),
        parts.map((list) => ({ pattern: 'phases', lengths: list.map(() => '5k'), parts: list })),
      ),
    };
  },
).any;

const machine = fc.oneof(
  fc.constantFrom(undefined, ...Object.keys(MACHINE_PRESETS)),
  fc.record({
    preset: fc.constantFrom(undefined, 'tiny', 'icelake-sp'),
    l1i: fc.constantFrom(undefined, null, [
      { entries: 12, ways: 3, sizes: ['1GiB', '4KiB'], replacement: 'nru' },
    ]),
    psc: fc.constantFrom(undefined, null, { l3: { entries: 4, ways: 'full' }, l2: { entries: 8, ways: 2 } }),
    caches: fc.constantFrom(
      undefined,
      [],
      [{ latency: 4, line: '64B', ways: 'full', size: '4KiB', name: 'L1' }],
    ),
    tagged: fc.constantFrom(undefined, [], ['pcid', 'vpid']),
    memoryLatency: fc.constantFrom(undefined, 0, 123.5),
  }),
);

const configInput = fc.record({
  seed: fc.oneof(fc.nat(), fc.constantFrom('0xFFFFFFFFFFFFFFFF', '0x0001', '9007199254740993')),
  accesses: fc.constantFrom(1, '1e9', '2M'),
  optional: fc.constantFrom(undefined, [], ['reuse', 'unique']),
  machine,
  workload: component,
  regions: fc.constantFrom<unknown[]>(
    [{ bytes: '64KiB' }, { bytes: '1GiB' }],
    [{ bytes: 65536, base: 0 }, { bytes: '2MiB' }],
    [
      { bytes: '1MiB', base: 2 ** 46 },
      { bytes: '64KiB', base: '0x40000000' },
    ],
  ),
  paging: fc.record({
    mode: fc.constantFrom(undefined, 'native', 'nested'),
    guestPage: fc.constantFrom(undefined, ...PAGE_SIZES),
    nestedPage: fc.constantFrom(undefined, ...PAGE_SIZES),
    guestLevels: fc.constantFrom(undefined, 4, 5),
    nestedLevels: fc.constantFrom(undefined, 3, 4, 5),
    populate: fc.constantFrom(undefined, 'prefault', 'demand'),
    ad: fc.constantFrom(undefined, 'set', 'clear'),
    guestMemory: fc.constantFrom(undefined, '8GiB'),
  }),
  context: fc.constantFrom(undefined, { tag: 3 }),
  run: fc.constantFrom(undefined, {}, { engine: 'ts', workers: 2, warmup: '1k' }),
});

/** Every object and array below a value. */
function structures(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value, ...Object.values(value).flatMap(structures)];
}

describe('the resolved form', () => {
  it('resolves to itself, with the same keys in the same order, also through a file', () => {
    fc.assert(
      fc.property(configInput, (input) => {
        const config = resolve(input);
        const text = JSON.stringify(config);
        expect(JSON.stringify(resolve(config))).toBe(text);
        expect(JSON.stringify(resolve(parseConfigText(text, 'c.json').input))).toBe(text);
        expect(configHash(resolve(config))).toBe(configHash(config));
      }),
    );
  });

  it('of a trace resolves to itself wherever it is read', () => {
    for (const trace of ['a.lackey', 'b.bin', '/c/d.champsimtrace.xz']) {
      const { config } = resolveConfig({ workload: { trace }, seed: 1 }, { directory: '/data' });
      expect(resolveConfig(config, { directory: '/elsewhere' }).config).toEqual(config);
    }
  });

  it('survives a file with addresses above 2^53', () => {
    const config = withRegions({
      regions: [{ bytes: 4096, base: '0x123456789abc000' }],
      paging: { guestLevels: 5 },
    });
    expect(resolve(parseConfigText(JSON.stringify(config), 'c.json').input)).toEqual(config);
  });

  it('is frozen throughout and leaves presets and input alone', () => {
    const input = { ...base, machine: { preset: 'tiny', tagged: ['pcid'] } };
    const before = JSON.stringify(input);
    expect(structures(resolve(input)).every(Object.isFrozen)).toBe(true);
    expect(JSON.stringify(input)).toBe(before);
    expect(Object.isFrozen(input.machine.tagged)).toBe(false);
    expect(Object.isFrozen(MACHINE_PRESETS.tiny.machine.l1d)).toBe(false);
  });

  it('does not depend on the order in which fields are written', () => {
    const input = { ...base, paging: { mode: 'native', guestPage: '2MiB' }, machine: 'tiny' };
    const reversed = Object.fromEntries(Object.entries(input).reverse());
    expect(JSON.stringify(resolve(reversed))).toBe(JSON.stringify(resolve(input)));
  });

  it('has a hash that changes with what is counted, not with how it is run', () => {
    const hash = (changes: Record<string, unknown>) => configHash(withBase(changes));
    expect(hash({})).toMatch(/^[0-9a-f]{64}$/);
    expect(hash({ run: { engine: 'ts', workers: 3 } })).toBe(hash({}));
    expect(hash({ footprint: 2 ** 20, accesses: 1000 })).toBe(hash({}));
    for (const other of [
      { seed: 2 },
      { accesses: 999 },
      { machine: 'tiny' },
      { footprint: '2MiB' },
      { optional: ['unique'] },
    ])
      expect(hash(other)).not.toBe(hash({}));
  });
});

describe('YAML', () => {
  it('reads a configuration as it is documented', () => {
    const { input, source } = parseConfigText(
      `workload: gups                  # a name
footprint: 4GiB
accesses: 1e9
seed: 18446744073709551615
machine: {preset: skylake-sp, stlb: [{entries: 2048, ways: 16, sizes: [4KiB, 2MiB]}]}
paging: {mode: nested, guestPage: 4KiB, nestedPage: 2MiB, guestLevels: 4, nestedLevels: 4}
run: {engine: auto, workers: auto, warmup: 1e6}
`,
      'c.yaml',
    );
    const { config } = resolveConfig(input, { source });
    expect(config).toMatchObject({
      seed: '0xffffffffffffffff',
      accesses: 1e9,
      paging: { nestedPage: '2MiB' },
      regions: [{ bytes: 4 * GIB, base: 2 ** 40 }],
      run: { warmup: 1e6 },
    });
    expect(config.machine.stlb).toHaveLength(1);
  });

  it('keeps 64 bits of a hex seed without quotes, and follows aliases', () => {
    const text =
      'seed: 0x9e3779b97f4a7c15\naccesses: &n 10\nworkload: uniform\nfootprint: 1MiB\nrun: {warmup: *n}\n';
    const config = resolve(parseConfigText(text, 'c.yaml').input);
    expect([config.seed, config.run.warmup]).toEqual(['0x9e3779b97f4a7c15', 10]);
  });
});

describe('the JSON Schema', () => {
  it('names every field, draft 7, and refuses others', () => {
    const schema = jsonSchema() as {
      $schema: string;
      properties: object;
      required: string[];
      additionalProperties: boolean;
    };
    expect(schema.$schema).toContain('draft-07');
    const resolved: (keyof ConfigInput)[] = [
      'seed',
      'accesses',
      'optional',
      'workload',
      'footprint',
      'regions',
      'machine',
      'paging',
      'context',
      'run',
    ];
    expect(Object.keys(schema.properties).sort()).toEqual([...resolved].sort());
    expect(schema.required).toEqual(['workload']);
    expect(schema.additionalProperties).toBe(false);
    expect(() => JSON.stringify(schema)).not.toThrow();
  });
});
