/** Claims about single walks: how many references there are, and which caches spare which of them. All are exact. */
import type { ConfigInput } from '../../config/schema.ts';
import type { PageSize } from '../../schema.ts';
import type { Claim, Experiment, Outcomes, Reading } from '../claim.ts';

/** A machine that caches nothing: no TLB, no walk cache. */
const BARE = {};
const ADDRESS = 2 ** 40;
const GIB = 2 ** 30;

/** One page of a size, or two neighbouring 4 KiB pages, in a region that is mapped beforehand. */
const walkOf = (
  paging: NonNullable<ConfigInput['paging']>,
  machine: ConfigInput['machine'] = BARE,
  more: { warm?: number; address?: number; base?: number } = {},
): Experiment => {
  const base = more.base ?? ADDRESS;
  return {
    kind: 'walk',
    address: more.address ?? base,
    ...(more.warm === undefined ? {} : { warm: more.warm }),
    config: {
      machine,
      paging,
      regions: [{ bytes: GIB, base }],
      // The first access, at index 0, goes to the first page of the region.
      workload: { pattern: 'stride', bytes: 4096 },
      accesses: 1,
      seed: 1,
    },
  };
};

const refs = (outcomes: Outcomes, name: string): number => outcomes.walk(name).steps.length;

/** Readings of the number of references of walks, each exactly as published. */
const exactly =
  (published: Readonly<Record<string, number>>) =>
  (outcomes: Outcomes): { readings: Reading[] } => ({
    readings: Object.entries(published).map(([name, count]) => ({
      name,
      paper: `${count}`,
      ours: refs(outcomes, name),
      unit: 'references',
      gate: { equals: count },
    })),
  });

const short = (size: PageSize): string => size.replace('iB', '');

/** Guest and nested page of each row of the table, with its references. */
const SQUARE: readonly [PageSize, PageSize, number][] = [
  ['4KiB', '4KiB', 24],
  ['2MiB', '4KiB', 19],
  ['4KiB', '2MiB', 19],
  ['2MiB', '2MiB', 15],
  ['1GiB', '4KiB', 14],
  ['4KiB', '1GiB', 14],
  ['1GiB', '2MiB', 11],
  ['2MiB', '1GiB', 11],
  ['1GiB', '1GiB', 8],
];
const squareName = (guest: PageSize, nested: PageSize): string => `${short(guest)} on ${short(nested)}`;

/** Guest and nested levels, with the references of a 4 KiB page on 4 KiB. */
const DEPTHS: readonly [number, number, number][] = [
  [5, 4, 29],
  [4, 5, 29],
  [5, 5, 35],
  [3, 3, 15],
];
const depthName = (guest: number, nested: number): string => `${guest} levels on ${nested}`;

/** Regions of tables that are not deep enough for GVA 2^40 begin at 1 GiB. */
const baseFor = (levels: number): number => (levels >= 4 ? ADDRESS : GIB);

const PSC = { l2: { entries: 32, ways: 4 } };

/** References of a cached walk on 4 levels of 4 KiB pages by what was cached, and the machine that caches just that. */
const STATES: readonly {
  name: string;
  count: number;
  machine: NonNullable<ConfigInput['machine']>;
  warm: number;
  /** The page after the one that warmed the machine, where its own translation must not be cached. */
  isNext: boolean;
}[] = [
  { name: 'nothing cached', count: 24, machine: {}, warm: 0, isNext: false },
  {
    name: 'nested TLB holds the table pages',
    count: 8,
    machine: { ntlb: { entries: 16, ways: 'full', holds: 'tables' } },
    warm: 1,
    isNext: true,
  },
  {
    name: 'nested TLB holds everything',
    count: 4,
    machine: { ntlb: { entries: 16, ways: 'full', holds: 'all' } },
    warm: 1,
    isNext: false,
  },
  { name: 'combined PDE cache', count: 5, machine: { psc: PSC }, warm: 1, isNext: true },
  {
    name: 'and the nested PDE cache',
    count: 2,
    machine: { psc: PSC, nestedPsc: PSC },
    warm: 1,
    isNext: true,
  },
  {
    name: 'and the nested TLB',
    count: 1,
    machine: { psc: PSC, nestedPsc: PSC, ntlb: { entries: 16, ways: 'full', holds: 'all' } },
    warm: 1,
    isNext: false,
  },
  {
    name: 'TLB hit',
    count: 0,
    machine: { l1d: [{ entries: 16, ways: 'full', sizes: ['4KiB'] }] },
    warm: 1,
    isNext: false,
  },
];

const ARITHMETIC = 'g(h+1)+h for g guest and h nested levels; printed by DMT, vMitosis, POM-TLB';

/** Claims about single walks. */
export const WALK_CLAIMS: readonly Claim[] = [
  {
    id: 'C01',
    title: 'references of a two-dimensional walk that nothing shortens',
    source: ARITHMETIC,
    mark: 'D',
    paper: '24, 19, 19, 15, 14, 14, 11, 11, 8; 29, 29, 35; Sv39x4 15',
    trial: {
      experiments: () =>
        Object.fromEntries([
          ...SQUARE.map(([guestPage, nestedPage]) => [
            squareName(guestPage, nestedPage),
            walkOf({ mode: 'nested', guestPage, nestedPage }),
          ]),
          ...DEPTHS.map(([guestLevels, nestedLevels]) => [
            depthName(guestLevels, nestedLevels),
            walkOf({ mode: 'nested', guestLevels, nestedLevels }, BARE, { base: baseFor(guestLevels) }),
          ]),
        ]),
      read: exactly(
        Object.fromEntries([
          ...SQUARE.map(([guest, nested, count]) => [squareName(guest, nested), count]),
          ...DEPTHS.map(([guest, nested, count]) => [depthName(guest, nested), count]),
        ]),
      ),
    },
  },
  {
    id: 'C02',
    title: 'references of a walk by what is cached',
    source: 'from the definitions; Intel SDM vol. 3C 28.3 for what each kind of mapping spares',
    mark: 'D',
    paper: '24, 8, 4, 5, 2, 1, 0',
    trial: {
      experiments: () =>
        Object.fromEntries(
          STATES.map(({ name, machine, warm, isNext }) => [
            name,
            walkOf({ mode: 'nested' }, machine, { warm, address: ADDRESS + (isNext ? 4096 : 0) }),
          ]),
        ),
      read: exactly(Object.fromEntries(STATES.map(({ name, count }) => [name, count]))),
    },
  },
  {
    id: 'C03',
    title: 'references of a native walk and of a walk of shadow tables',
    source: 'one for each level down to the leaf',
    mark: 'D',
    paper: '4, 3 for 2 MiB, 2 for 1 GiB; 4 for shadow',
    trial: {
      experiments: () => ({
        'native 4K': walkOf({ mode: 'native' }),
        'native 2M': walkOf({ mode: 'native', guestPage: '2MiB' }),
        'native 1G': walkOf({ mode: 'native', guestPage: '1GiB' }),
        'shadow 4K': walkOf({ mode: 'shadow' }),
        'shadow 2M on 2M': walkOf({ mode: 'shadow', guestPage: '2MiB', nestedPage: '2MiB' }),
        'shadow 2M on 4K': walkOf({ mode: 'shadow', guestPage: '2MiB' }),
        'paravirt 4K': walkOf({ mode: 'paravirt' }),
      }),
      read: exactly({
        'native 4K': 4,
        'native 2M': 3,
        'native 1G': 2,
        'shadow 4K': 4,
        'shadow 2M on 2M': 3,
        'shadow 2M on 4K': 4,
        'paravirt 4K': 4,
      }),
    },
  },
  {
    id: 'C04',
    title: 'agile paging: references by switching level',
    source: 'Gandhi, Hill and Swift, ISCA 2016',
    mark: 'D',
    paper: '4, 8, 12, 16, 20, 24',
    trial: { notModelled: 'walks that change dimension half way are not built' },
  },
  {
    id: 'C05',
    title: 'direct segments: references by dimension replaced',
    source: 'Gandhi, Basu, Hill and Swift, MICRO 2014',
    mark: 'M',
    paper: '4, 4, 0',
    trial: { notModelled: 'segments are not built' },
  },
  {
    id: 'C06',
    title: 'flat, flattened, hashed and contiguous tables: references in sequence',
    source:
      'arithmetic on Ahn et al., ISCA 2012; Park et al., ASPLOS 2022; Yaniv and Tsafrir, SIGMETRICS 2016; read at Stojkovic et al., ASPLOS 2022; Zhang et al., ASPLOS 2024',
    mark: 'D',
    paper: 'flat 9, flattened 8, hashed 3, cuckoo 3, contiguous 3, paravirtual 2',
    trial: { notModelled: 'only radix tables are built' },
  },
  {
    id: 'C35',
    title: 'a fifth level: dear uncached, cheap with walk caches',
    source: 'g(h+1)+h for g guest and h nested levels',
    mark: 'D',
    paper: '24 → 29 → 35 references; with walk caches a small change',
    trial: {
      experiments: () => {
        const machine = { psc: { l2: { entries: 32, ways: 4 }, l3: { entries: 4, ways: 'full' as const } } };
        const levels = (guestLevels: number, nestedLevels: number) =>
          ({ mode: 'nested', guestLevels, nestedLevels }) as const;
        const uniform = (count: number): Experiment => ({
          kind: 'run',
          config: {
            machine: { ...machine, nestedPsc: machine.psc },
            paging: levels(count, count),
            workload: 'uniform',
            footprint: '1GiB',
            accesses: 100_000,
            seed: 1,
          },
        });
        return {
          '4 on 4': walkOf(levels(4, 4)),
          '5 on 4': walkOf(levels(5, 4)),
          '5 on 5': walkOf(levels(5, 5)),
          'cached 4 on 4': uniform(4),
          'cached 5 on 5': uniform(5),
        };
      },
      read: (outcomes) => {
        const cached = (name: string): number => outcomes.run(name).metrics.refsPerWalk.total;
        const [four, five] = [cached('cached 4 on 4'), cached('cached 5 on 5')];
        return {
          readings: [
            ...exactly({ '4 on 4': 24, '5 on 4': 29, '5 on 5': 35 })(outcomes).readings,
            { name: 'walk caches, 4 on 4', ours: four, unit: 'references a walk', gate: 'shown' },
            { name: 'walk caches, 5 on 5', ours: five, unit: 'references a walk', gate: 'shown' },
          ],
          statements: [
            {
              says: 'with walk caches a fifth level in both dimensions adds less than a twentieth of a reference',
              holds: five - four < 0.05 && five >= four,
            },
          ],
        };
      },
    },
  },
];
