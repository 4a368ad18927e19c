/**
 * Random whole configurations that are valid by construction: every feature of the machine, every shape of paging, and
 * nested workloads. Small enough that a run takes milliseconds, odd enough to reach every layout of every structure.
 */
import fc from 'fast-check';
import { hasHostPages, type PagingMode } from '../../src/config/resolved.ts';
import type { ConfigInput } from '../../src/config/schema.ts';

const PAGE_BYTES = { '4KiB': 2 ** 12, '2MiB': 2 ** 21, '1GiB': 2 ** 30 } as const;
type Size = keyof typeof PAGE_BYTES;
const SIZES: readonly Size[] = ['4KiB', '2MiB', '1GiB'];

type MachineInput = Exclude<ConfigInput['machine'], string | undefined>;
type WorkloadInput = Exclude<ConfigInput['workload'], string>;
type ComponentInput = Extract<WorkloadInput, { pattern: string }>;
type ArrayInput = NonNullable<MachineInput['l1d']>[number];

/** Sets are a power of two; ways on both sides of every limit of a layout (4, 8, 16, 32). */
const sets = fc.constantFrom(1, 1, 2, 4, 16);
const ways = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 40);
const geometry = fc.tuple(sets, ways).map(([s, w]) => ({ entries: s * w, ways: w }));
const fullGeometry = ways.map((w) => ({ entries: w, ways: 'full' as const }));
const anyGeometry = fc.oneof({ weight: 3, arbitrary: geometry }, { weight: 1, arbitrary: fullGeometry });

const replacement = fc.oneof(
  { weight: 3, arbitrary: fc.constant('lru' as const) },
  { weight: 4, arbitrary: fc.constantFrom('fifo', 'plru', 'nru', 'srrip', 'random') },
) as fc.Arbitrary<'lru' | 'fifo' | 'plru' | 'nru' | 'srrip' | 'random'>;

/** Hashed arrays among others; the default stands written and left out. */
const index = fc.constantFrom({}, {}, { index: 'low' as const }, { index: 'xor' as const });

const tlbArray = (sizes: readonly Size[], policy = replacement): fc.Arbitrary<ArrayInput> =>
  fc.tuple(sets, ways, policy, index).map(([s, w, chosen, indexing]) => {
    // A tree needs a power of two of ways.
    const count = chosen === 'plru' ? 2 ** Math.floor(Math.log2(w)) : w;
    return { entries: s * count, ways: count, sizes: [...sizes], replacement: chosen, ...indexing };
  });

/** How a side's arrays share the page sizes; a size may have none. */
const SHARES: readonly (readonly (readonly Size[])[])[] = [
  [['4KiB'], ['2MiB'], ['1GiB']],
  [['4KiB', '2MiB'], ['1GiB']],
  [['1GiB'], ['2MiB', '4KiB']],
  [['4KiB', '2MiB', '1GiB']],
  [['2MiB', '1GiB']],
  [['4KiB']],
  [],
];
const sideOf = (policy = replacement): fc.Arbitrary<ArrayInput[]> =>
  fc
    .constantFrom(...SHARES)
    .chain((share) => fc.tuple(...share.map((sizes) => tlbArray(sizes, policy)))) as fc.Arbitrary<
    ArrayInput[]
  >;
const side = sideOf();
const lruSide = sideOf(fc.constant('lru' as const));

const psc = fc.record(
  { l2: anyGeometry, l3: anyGeometry, l4: anyGeometry, l5: anyGeometry },
  { requiredKeys: [] },
);
const ntlb = fc
  .tuple(anyGeometry, fc.constantFrom('all' as const, 'tables' as const))
  .map(([shape, holds]) => ({ ...shape, holds }));

const walkCaches: fc.Arbitrary<Partial<MachineInput>> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ psc, nestedPsc: psc, ntlb }, { requiredKeys: [] }) },
  {
    weight: 1,
    arbitrary: fc.tuple(anyGeometry, fc.constantFrom('1d', '2d', '2d+nt'), anyGeometry).map(
      ([shape, holds, nt]): Partial<MachineInput> => ({
        pwc: { ...shape, holds: holds as '1d' },
        ...(holds === '2d+nt' ? { ntlb: { ...nt, holds: 'tables' as const } } : {}),
      }),
    ),
  },
);

/** Any number of sets, odd ones too; lines of 8 bytes (one entry) to a whole page. */
const pteCache = fc
  .tuple(fc.constantFrom(1, 2, 3, 5, 7, 8, 12), fc.constantFrom(1, 2, 3, 11, 16, 17, 32, 33))
  .chain(([cacheSets, cacheWays]) =>
    fc
      .constantFrom(8, 64, 128, 4096)
      .map((line) => ({ size: cacheSets * cacheWays * line, ways: cacheWays, line })),
  );
const caches = fc
  .oneof(
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(pteCache, { minLength: 1, maxLength: 3 }) },
  )
  .map((list) => list.map((cache, i) => ({ ...cache, name: `C${i + 1}`, latency: 10 * (i + 1) })));

const TAGGED: ('vpid' | 'pcid')[][] = [['vpid', 'pcid'], ['pcid'], ['vpid'], []];

const common = { caches, nestedAD: fc.boolean(), tagged: fc.constantFrom(...TAGGED) };

/** A machine with everything that there is. */
const fullMachine: fc.Arbitrary<MachineInput> = fc
  .tuple(
    fc.record({ ...common, l1d: side, stlb: side, dataThroughCaches: fc.boolean() }),
    fc.record({ l1i: side }, { requiredKeys: [] }),
    walkCaches,
  )
  .map(([base, l1i, walks]) => ({ ...base, ...l1i, ...walks }));

/** A machine whose TLBs an engine may take a short way through when nothing in a run can change. */
export const plainMachine: fc.Arbitrary<MachineInput> = fc
  .tuple(fc.record({ ...common, l1d: lruSide, stlb: lruSide }), walkCaches)
  .map(([base, walks]) => ({ ...base, ...walks }));

/** The same without what keeps single entries: TLBs, paging-structure caches and nested TLB alone. */
export const bareMachine: fc.Arbitrary<MachineInput> = fc
  .record({ l1d: lruSide, stlb: lruSide })
  .chain((base) =>
    fc.record({ psc, nestedPsc: psc, ntlb }, { requiredKeys: [] }).map((walks) => ({ ...base, ...walks })),
  );

/** A machine written whole. */
const machine = fc.oneof({ weight: 2, arbitrary: fullMachine }, { weight: 1, arbitrary: plainMachine });

/** Paging that fits, in some of the modes: what lies in GPA space must not be wider than the nested table. */
const pagingIn = (...modes: readonly PagingMode[]) =>
  fc
    .record({
      mode: fc.constantFrom(...modes),
      guestLevels: fc.constantFrom(4, 4, 2, 3, 5),
      nestedLevels: fc.constantFrom(4, 4, 2, 3, 5),
      guestSize: fc.constantFrom(0, 0, 1, 2),
      nestedSize: fc.constantFrom(0, 0, 1, 2),
      populate: fc.constantFrom('prefault' as const, 'demand' as const),
      placement: fc.constantFrom('contiguous' as const, 'scattered' as const),
      ad: fc.constantFrom(undefined, 'set' as const, 'clear' as const),
      memoryPower: fc.constantFrom(0, 0, 0, 28, 33, 45),
      unsync: fc.constantFrom(undefined, false, true),
      batch: fc.constantFrom(undefined, 1, 2, 3, 32),
    })
    .map(({ guestSize, nestedSize, memoryPower, ad, unsync, batch, ...shape }) => {
      const { mode, guestLevels, nestedLevels, populate } = shape;
      const nested = hasHostPages(mode);
      // 1 GiB of guest data leaves no room for its tables in a space of 1 GiB.
      const widest = nested && nestedLevels === 2 ? 1 : 2;
      const largest = Math.min(guestSize, widest, guestLevels - 1);
      // A prefaulted gigabyte in 4 KiB pages is right, and slow to build and to check.
      const smallest = nested && largest === 2 && populate === 'prefault' ? 1 : 0;
      const space = nested ? 11 + 9 * nestedLevels : 51;
      return {
        ...shape,
        guestPage: SIZES[largest],
        nestedPage: SIZES[Math.max(smallest, Math.min(nestedSize, nestedLevels - 1))],
        ...(ad === undefined ? {} : { ad }),
        ...(memoryPower === 0 ? {} : { guestMemory: 2 ** Math.min(memoryPower, space - 1) }),
        ...(mode === 'shadow' && unsync !== undefined ? { unsync } : {}),
        ...(mode === 'paravirt' && batch !== undefined ? { batch } : {}),
      };
    });
/** Paging without a hypervisor, or with a nested table. */
export const paging = pagingIn('native', 'nested', 'nested');
/** Paging whose tables a hypervisor makes or checks. */
export const softwarePaging = pagingIn('shadow', 'shadow', 'paravirt');
export type PagingInput = typeof paging extends fc.Arbitrary<infer T> ? T : never;

/** Regions at bases of their own, anywhere in the address space, or at the default ones. */
export function regionsFor({ guestLevels, guestPage }: PagingInput): fc.Arbitrary<ConfigInput['regions']> {
  const page = PAGE_BYTES[guestPage as Size];
  const slot = 2 ** (12 + 9 * guestLevels) / 16;
  // Two levels reach 1 GiB: a gigabyte page leaves no second region, and defaults have gaps of 1 GiB.
  const most = guestLevels === 2 && page >= 2 ** 21 ? 2 : 6;
  const bytes = fc
    .oneof(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 600 }),
      fc.integer({ min: 1, max: 2000 }),
    )
    .map((pages) => pages * 4096)
    .chain((small) => (page === 2 ** 21 ? fc.constantFrom(small, small + 2 ** 21) : fc.constant(small)));
  const placed = fc
    .uniqueArray(fc.record({ slot: fc.nat(15), skip: fc.constantFrom(0, 1, 5, 500), bytes: bytes }), {
      minLength: 1,
      maxLength: most,
      selector: (region) => region.slot,
    })
    .map((regions) =>
      regions.map((region) => {
        const room = slot / page - Math.ceil(region.bytes / page);
        const base = BigInt(region.slot) * BigInt(slot) + BigInt(Math.min(region.skip, room) * page);
        return { bytes: region.bytes, base: `0x${base.toString(16)}` };
      }),
    );
  const unplaced = fc
    .array(bytes, { minLength: 1, maxLength: guestLevels === 2 ? 1 : most })
    .map((list) => list.map((size) => ({ bytes: size })));
  return fc.oneof({ weight: 2, arbitrary: placed }, { weight: 1, arbitrary: unplaced });
}

const fraction = fc.constantFrom(0, 0.25, 0.5, 1);

/** A leaf pattern that its region can hold. */
function leafFor(pages: number): fc.Arbitrary<ComponentInput> {
  const choices: fc.Arbitrary<ComponentInput>[] = [
    fc.constant({ pattern: 'uniform' }),
    fc.constant({ pattern: 'chase' }),
    fc.constant({ pattern: 'sequential' }),
    fc.constantFrom(8, 72, 512, 4096, 4104, 12288, 1_000_000).map((bytes) => ({ pattern: 'stride', bytes })),
    fc.record({
      pattern: fc.constant('zipf' as const),
      theta: fc.constantFrom(0, 0.5, 0.99, 1.2),
      clustered: fc.boolean(),
    }),
    fc
      .tuple(fc.integer({ min: 1, max: Math.min(pages, 20) }), fc.nat(pages), fc.integer({ min: 1, max: 9 }))
      .map(([width, shift, every]) => ({ pattern: 'window', pages: width, shift, every })),
  ];
  if (pages > 1)
    choices.push(
      fc.record({
        pattern: fc.constant('hotcold' as const),
        hot: fc.constantFrom(0, 0.1, 0.4),
        weight: fc.constantFrom(0, 0.7, 1),
      }),
    );
  const trees = [
    [2, 1],
    [2, 2],
    [3, 3],
    [2, 6],
  ].filter(([fanout, levels]) => (fanout ** levels - 1) / (fanout - 1) <= pages);
  if (trees.length > 0)
    choices.push(fc.constantFrom(...trees).map(([fanout, levels]) => ({ pattern: 'btree', fanout, levels })));
  return fc.oneof(...choices);
}

/** A component over regions of so many pages each: a leaf, or composites up to a depth. */
export function componentFor(pages: readonly number[], depth: number): fc.Arbitrary<ComponentInput> {
  const leaf = fc.nat(pages.length - 1).chain((region) =>
    fc.tuple(leafFor(pages[region]), fc.option(fraction, { nil: undefined })).map(
      ([component, writeFraction]): ComponentInput => ({
        ...component,
        region,
        ...(writeFraction === undefined ? {} : { writeFraction }),
      }),
    ),
  );
  if (depth === 0) return leaf;
  const part = componentFor(pages, depth - 1);
  const parts = fc.array(part, { minLength: 1, maxLength: 3 });
  const weights = fc.constantFrom(0, 0.1, 1, 3);
  const composite: fc.Arbitrary<ComponentInput> = fc.oneof(
    fc
      .tuple(fc.integer({ min: 1, max: 20 }), part)
      .map(([k, of]): ComponentInput => ({ pattern: 'burst', k, of })),
    parts.chain((list) =>
      fc
        .array(weights, { minLength: list.length, maxLength: list.length })
        // Not all of them 0.
        .map((given): ComponentInput => {
          const [first, ...others] = given;
          return { pattern: 'mix', weights: [first + 0.5, ...others], parts: list };
        }),
    ),
    parts.chain((list) =>
      fc
        .array(fc.integer({ min: 1, max: 300 }), { minLength: list.length, maxLength: list.length })
        .map((lengths): ComponentInput => ({ pattern: 'phases', lengths, parts: list })),
    ),
    parts.map((list): ComponentInput => ({ pattern: 'interleave', parts: list })),
  );
  const withFraction = fc
    .tuple(composite, fraction)
    .map(([component, writeFraction]): ComponentInput => ({ ...component, writeFraction }));
  return fc.oneof({ weight: 2, arbitrary: leaf }, { weight: 1, arbitrary: withFraction });
}

const OPTIONAL: ('unique' | 'reuse')[][] = [[], [], ['unique'], ['reuse'], ['unique', 'reuse']];

/** Bytes of a region as regionsFor writes them. */
const pagesOf = (regions: ConfigInput['regions']): number[] =>
  regions!.map(({ bytes }) => (bytes as number) / 4096);

/** A whole configuration; `most` bounds its accesses. */
export const configuration = (most: number, hardware = machine, modes = paging): fc.Arbitrary<ConfigInput> =>
  modes.chain((shape) =>
    regionsFor(shape).chain((regions) =>
      fc.record({
        seed: fc.oneof(fc.nat(), fc.constantFrom('0xfedcba9876543210', 2 ** 40 + 1)),
        accesses: fc.integer({ min: 1, max: most }),
        optional: fc.constantFrom(...OPTIONAL),
        machine: hardware,
        paging: fc.constant(shape as ConfigInput['paging']),
        context: fc.constantFrom({ tag: 1, vm: 1 }, { tag: 0, vm: 0 }, { tag: 268435455, vm: 9 }),
        regions: fc.constant(regions),
        workload: componentFor(pagesOf(regions), 2),
      }),
    ),
  ) as fc.Arbitrary<ConfigInput>;

/** The same configuration with a promise: all mapped, all bits set, nothing optional. */
export const promised = (input: ConfigInput): ConfigInput => ({
  ...input,
  optional: [],
  paging: { ...input.paging, ...prefaulted(input), ad: 'set' },
});

/** What prefaults a configuration. A prefaulted gigabyte in 4 KiB pages is right, and slow: it takes larger ones. */
export function prefaulted({
  paging: shape,
}: ConfigInput): Pick<NonNullable<ConfigInput['paging']>, 'populate' | 'nestedPage'> {
  const { guestPage, nestedPage } = shape!;
  return {
    populate: 'prefault',
    nestedPage: guestPage === '1GiB' && nestedPage === '4KiB' ? '2MiB' : nestedPage,
  };
}
