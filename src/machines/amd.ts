/** AMD's processors, oldest first. */
import type { MachineConfig } from '../config/resolved.ts';
import {
  ASSUMED,
  CITED,
  cache,
  dump,
  fullTlb,
  geometry,
  latencies,
  type MachinePreset,
  tlb,
} from './preset.ts';

const BARCELONA = dump('a Barcelona', 'AuthenticAMD0100F2A');
const SHANGHAI = dump('a Shanghai', 'AuthenticAMD0100F42');
const ROME = dump('a Rome', 'AuthenticAMD0830F10');
const MILAN = dump('a Milan', 'AuthenticAMD0A00F11');
const GENOA = dump('a Genoa', 'AuthenticAMD0A10F11');
const TURIN = dump('a Turin', 'AuthenticAMD0B00F21');

const SECOND_ITLB = (entries: string): string =>
  `the second-level TLB of instructions (${entries}): fetches share the STLB here`;
const APART =
  'whether 4 KiB and 2 MiB pages share the entries of the second level (a unified one, says wikichip of Zen 2): CPUID lists them apart, and so does this machine';
const PDES_IN_L2 =
  'page-directory entries are cached in the L2 data TLB (Zen 2, wikichip): here the page-walk cache holds them';
const SMASHED =
  '1 GiB pages in the second level, which holds them as 2 MiB pieces: here they are in the first level alone';
const WALKERS = 'the second page walker, and more on later ones';

const range = (dumped: string, entries: number, code: string, ways: number): string =>
  `S: ${dumped}: ${entries} entries, code for ${code} ways; ${ways} is the one that gives a power of two of sets`;

const COMMON = {
  replacement: ASSUMED.replacement,
  psc: 'M: these processors cache single entries by physical address (pwc), not paths',
  nestedPsc: 'M: these processors cache single entries by physical address (pwc), not paths',
  memoryLatency: ASSUMED.memoryLatency,
  stlbLatency: 'assumed, after about 7 cycles on a Sandy Bridge (text of the perf event)',
  dataThroughCaches: ASSUMED.dataThroughCaches,
  nestedAD: 'M: the processor sets A and D in nested tables (AMD APM vol. 2, 15.25)',
} as const;

const BASE = {
  psc: null,
  nestedPsc: null,
  memoryLatency: 200,
  stlbLatency: 7,
  dataThroughCaches: false,
  nestedAD: true,
} satisfies Partial<MachineConfig>;

const OPTERON: MachineConfig = {
  ...BASE,
  l1d: [fullTlb(48, '4KiB', '2MiB', '1GiB')],
  l1i: [fullTlb(32, '4KiB'), fullTlb(16, '2MiB')],
  stlb: [tlb(512, 4, '4KiB'), tlb(128, 2, '2MiB')],
  ntlb: { ...geometry(16, 16), holds: 'tables', latency: 1 },
  pwc: { ...geometry(24, 24), holds: '2d+nt', latency: 1 },
  caches: [cache('L2', 512, 16, 15), cache('LLC', 2048, 32, 45)],
  tagged: ['vpid'],
};
const PWC_24 = `S: 24 entries by physical address on several AMD processors (${CITED.revanc})`;
/** Without the nested TLB, which one of the variants has. */
const OPTERON_SHARED = {
  ...COMMON,
  l1d: `S: ${BARCELONA}`,
  l1i: `S: ${BARCELONA}`,
  stlb: `S: ${BARCELONA}`,
  pwc: `${PWC_24}; M: the same in ${CITED.bhargava}`,
  'pwc.latency': ASSUMED.probe,
  caches:
    'M: 512 KiB/16 and 2 MiB/32 with latencies of a Barcelona; that walks go past the L1 data cache is from memory too',
  memoryLatency: `${ASSUMED.memoryLatency}; the paper's is not known`,
  tagged: `S: 64 ASIDs (${BARCELONA}); M: no PCID`,
} as const;
const OPTERON_SOURCES = {
  ...OPTERON_SHARED,
  ntlb: `M: 16 entries of ${CITED.bhargava}; assumed to be fully associative`,
  'ntlb.latency': `assumed, after ${CITED.victima}: 1 cycle`,
} as const;
const WITHOUT_NTLB = {
  ...OPTERON_SHARED,
  ntlb: `S: the nested TLB comes on top in ${CITED.bhargava} (abstract)`,
} as const;
const OPTERON_LOST = [SECOND_ITLB('512 entries of 4 ways')];

const OPTERON_2008_1D: MachinePreset = {
  name: 'opteron-2008-1d',
  title: 'opteron-2008, page-walk cache for the guest’s entries alone (1d)',
  machine: { ...OPTERON, ntlb: null, pwc: { ...geometry(24, 24), holds: '1d', latency: 1 } },
  sources: WITHOUT_NTLB,
  lost: OPTERON_LOST,
};

const OPTERON_2008_2D: MachinePreset = {
  name: 'opteron-2008-2d',
  title: 'opteron-2008, page-walk cache for both dimensions (2d), no nested TLB',
  machine: { ...OPTERON, ntlb: null, pwc: { ...geometry(24, 24), holds: '2d', latency: 1 } },
  sources: WITHOUT_NTLB,
  lost: OPTERON_LOST,
};

const OPTERON_2008: MachinePreset = {
  name: 'opteron-2008',
  title: 'AMD Opteron of 2008 (Barcelona), as in Bhargava et al. (2d+nt)',
  machine: OPTERON,
  sources: OPTERON_SOURCES,
  lost: OPTERON_LOST,
};

const SHANGHAI_PRESET: MachinePreset = {
  name: 'shanghai',
  title: 'AMD Shanghai (Opteron, 2008)',
  machine: {
    ...OPTERON,
    stlb: [tlb(512, 4, '4KiB'), tlb(128, 2, '2MiB'), tlb(16, 8, '1GiB')],
    caches: [cache('L2', 512, 16, 15), cache('LLC', 6144, 48, 50)],
  },
  sources: {
    ...OPTERON_SOURCES,
    l1d: `S: ${SHANGHAI}`,
    l1i: `S: ${SHANGHAI}`,
    stlb: `S: ${SHANGHAI}`,
    ntlb: 'assumed, as in opteron-2008',
    'ntlb.latency': 'assumed, as in opteron-2008',
    pwc: PWC_24,
    caches:
      'M: 512 KiB/16, 6 MiB/48, with latencies of a Shanghai; that walks go past the L1 data cache is from memory too',
    memoryLatency: ASSUMED.memoryLatency,
    tagged: `S: 64 ASIDs (${SHANGHAI}); M: no PCID`,
  },
  lost: [SECOND_ITLB('512 entries of 4 ways')],
};

/** What is told of all Zen processors alike. */
const ZEN_SOURCES = {
  ...COMMON,
  ntlb: ASSUMED.ntlb,
  pwc: `M: 64 entries (Zen); that it works by the physical address of entries in both dimensions is assumed, after ${CITED.bhargava}`,
  'pwc.latency': ASSUMED.probe,
} as const;
const ZEN_BASE = {
  ...BASE,
  ntlb: { ...geometry(64, 4), holds: 'tables', latency: 1 },
  pwc: { ...geometry(64, 64), holds: '2d+nt', latency: 1 },
} satisfies Partial<MachineConfig>;
const ZEN_TAGS = 'S: 32768 ASIDs (CPUID dumps of Zen); M: PCID since Zen 3';

const ZEN2: MachinePreset = {
  name: 'zen2',
  title: 'AMD Zen 2 (EPYC Rome, 2019)',
  machine: {
    ...ZEN_BASE,
    l1d: [fullTlb(64, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(64, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(2048, 8, '4KiB'), tlb(2048, 4, '2MiB')],
    caches: [cache('L1', 32, 8, 4), cache('L2', 512, 8, 12), cache('LLC', 16384, 16, 39)],
    tagged: ['vpid'],
  },
  sources: {
    ...ZEN_SOURCES,
    l1d: `S: ${ROME}`,
    l1i: `S: ${ROME}`,
    'stlb[0]': range(ROME, 2048, '8 to 15', 8),
    'stlb[1]': range(ROME, 2048, '4 to 5', 4),
    caches: 'S: 7-cpu.com, Zen 2',
    ...latencies(3, 'M: of a Zen 2'),
    tagged: ZEN_TAGS,
  },
  lost: [SECOND_ITLB('1024 entries of 8 ways'), APART, PDES_IN_L2, SMASHED, WALKERS],
};

const ZEN3: MachinePreset = {
  name: 'zen3',
  title: 'AMD Zen 3 (EPYC Milan, 2021)',
  machine: {
    ...ZEN_BASE,
    l1d: [fullTlb(64, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(64, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(2048, 8, '4KiB'), tlb(2048, 4, '2MiB'), fullTlb(64, '1GiB')],
    caches: [cache('L1', 32, 8, 4), cache('L2', 512, 8, 12), cache('LLC', 32768, 16, 46)],
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    ...ZEN_SOURCES,
    l1d: `S: ${MILAN}`,
    l1i: `S: ${MILAN}`,
    'stlb[0]': range(MILAN, 2048, '8 to 15', 8),
    'stlb[1]': range(MILAN, 2048, '4 to 5', 4),
    'stlb[2]': `S: ${MILAN}`,
    caches: 'M: 32 KiB/8, 512 KiB/8, 32 MiB/16 a complex of cores; latencies of a Milan',
    tagged: ZEN_TAGS,
  },
  lost: [SECOND_ITLB('512 entries of 4 ways'), APART, PDES_IN_L2, WALKERS],
};

const ZEN4: MachinePreset = {
  name: 'zen4',
  title: 'AMD Zen 4 (EPYC Genoa, 2022)',
  machine: {
    ...ZEN_BASE,
    l1d: [fullTlb(72, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(64, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(3072, 12, '4KiB'), tlb(3072, 6, '2MiB'), fullTlb(64, '1GiB')],
    caches: [cache('L1', 32, 8, 4), cache('L2', 1024, 8, 14), cache('LLC', 32768, 16, 50)],
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    ...ZEN_SOURCES,
    l1d: `S: ${GENOA}`,
    l1i: `S: ${GENOA}`,
    'stlb[0]': range(GENOA, 3072, '8 to 15', 12),
    'stlb[1]': range(GENOA, 3072, '6 to 7', 6),
    'stlb[2]': `S: ${GENOA}`,
    caches: `S: ${GENOA}`,
    ...latencies(3, 'M: of a Genoa'),
    tagged: ZEN_TAGS,
  },
  lost: [SECOND_ITLB('512 entries of 4 ways'), APART, PDES_IN_L2, WALKERS],
};

const ZEN5: MachinePreset = {
  name: 'zen5',
  title: 'AMD Zen 5 (EPYC Turin, 2024)',
  machine: {
    ...ZEN_BASE,
    l1d: [fullTlb(96, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(64, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(4096, 16, '4KiB'), tlb(4096, 16, '2MiB'), tlb(1024, 16, '1GiB')],
    caches: [cache('L1', 48, 12, 4), cache('L2', 1024, 16, 14), cache('LLC', 32768, 16, 50)],
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    ...ZEN_SOURCES,
    l1d: `S: ${TURIN}`,
    l1i: `S: ${TURIN}`,
    stlb: `D: ${TURIN}: the field of entries, times 32`,
    'stlb[0].ways': "M: 16 ways (AMD's optimisation guide for Zen 5, 58455)",
    'stlb[1].ways': 'assumed, as for 4 KiB pages',
    'stlb[2].ways': 'assumed, as for 4 KiB pages',
    caches: 'M: 48 KiB/12, 1 MiB/16, 32 MiB/16 a complex of cores; latencies of a Zen 5',
    tagged: ZEN_TAGS,
  },
  lost: [SECOND_ITLB('2048 entries'), APART, PDES_IN_L2, WALKERS],
};

/** AMD's processors, oldest first. */
export const AMD: readonly MachinePreset[] = [
  OPTERON_2008_1D,
  OPTERON_2008_2D,
  OPTERON_2008,
  SHANGHAI_PRESET,
  ZEN2,
  ZEN3,
  ZEN4,
  ZEN5,
];
