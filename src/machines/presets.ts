/**
 * Machines that are known by name, as data: each number with its source.
 *
 * A source text begins with a mark. `S` = read at the place named (a manual, a CPUID dump, an artifact); `M` = from
 * memory, not verified; `assumed` = no source says, with what it is borrowed from. A path names a number or everything
 * below it; the longest path that leads to a number is its source.
 */
import type { MachineConfig } from '../config/resolved.ts';

/** One machine and where its numbers are from. */
export interface MachinePreset {
  name: string;
  title: string;
  machine: MachineConfig;
  /** Path in `machine` (`stlb[0].entries`, or `stlb[0]` for all below) to mark and source. */
  sources: Readonly<Record<string, string>>;
  /** What the real processor has and this machine cannot say. */
  lost: readonly string[];
}

const DMT = 'the simulator of DMT (Jiyuan Zhang et al., ASPLOS 2024), artifact xlab-uiuc/dmt';
const VICTIMA = 'the Sniper configuration of Victima (Kanellopoulos et al., MICRO 2023)';
const CHAMPSIM = "ChampSim's default configuration";
const SKYLAKE_DUMP = 'CPUID dump of a Skylake-SP (InstLatx64, GenuineIntel0050654)';
const ICELAKE_DUMP = 'CPUID dump of an Ice Lake-SP (InstLatx64, GenuineIntel00606A6)';
const ZEN4_DUMP = 'CPUID dump of a Genoa (InstLatx64, AuthenticAMD0A10F11)';
const BARCELONA_DUMP = 'CPUID dump of a Barcelona (InstLatx64, AuthenticAMD0100F2A)';
const LRU_ASSUMED =
  'assumed: LRU; Skylake measures as tree-PLRU in the L1 and a mixed policy in the STLB (Tatar et al., USENIX Security 2022, vusec/tlbdr)';
const NO_DATA = 'assumed: data accesses are kept out of the caches, which is faster to simulate';

const SKYLAKE_SP: MachinePreset = {
  name: 'skylake-sp',
  title: 'Intel Skylake-SP and Cascade Lake (Xeon Scalable, 2017)',
  machine: {
    l1d: [
      { entries: 64, ways: 4, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 32, ways: 4, sizes: ['2MiB'], replacement: 'lru' },
      { entries: 4, ways: 4, sizes: ['1GiB'], replacement: 'lru' },
    ],
    l1i: [
      { entries: 64, ways: 8, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 8, ways: 8, sizes: ['2MiB'], replacement: 'lru' },
    ],
    stlb: [
      { entries: 1536, ways: 12, sizes: ['4KiB', '2MiB'], replacement: 'lru' },
      { entries: 16, ways: 4, sizes: ['1GiB'], replacement: 'lru' },
    ],
    psc: {
      l2: { entries: 32, ways: 4 },
      l3: { entries: 4, ways: 4 },
      l4: { entries: 2, ways: 2 },
      latency: 1,
    },
    nestedPsc: {
      l2: { entries: 32, ways: 4 },
      l3: { entries: 4, ways: 4 },
      l4: { entries: 2, ways: 2 },
      latency: 1,
    },
    ntlb: { entries: 64, ways: 4, holds: 'all', latency: 1 },
    pwc: null,
    caches: [
      { name: 'L1', size: 32 * 2 ** 10, ways: 8, line: 64, latency: 4 },
      { name: 'L2', size: 2 ** 20, ways: 16, line: 64, latency: 14 },
      { name: 'LLC', size: 22 * 2 ** 20, ways: 11, line: 64, latency: 54 },
    ],
    memoryLatency: 200,
    stlbLatency: 9,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    l1d: `S: ${SKYLAKE_DUMP}`,
    l1i: `S: ${SKYLAKE_DUMP}; measured as 16 sets of 8 ways on a Skylake client (vusec/tlbdr)`,
    'stlb[0].entries': `S: ${SKYLAKE_DUMP}`,
    'stlb[0].ways': 'S: measured as 128 sets of 12 ways (vusec/tlbdr); the CPUID descriptor says 6',
    'stlb[1]': `S: ${SKYLAKE_DUMP}`,
    replacement: LRU_ASSUMED,
    psc: `S: ${DMT}; M for the processor`,
    nestedPsc: `S: ${DMT}, which takes the same sizes in both dimensions; assumed for the processor`,
    ntlb: `assumed, after ${VICTIMA}; Intel does not publish it`,
    caches: `S: ${DMT}`,
    memoryLatency: `S: ${DMT}`,
    stlbLatency: 'S: lecture notes of the SAFARI group, ETH Zurich: 9 cycles on a Skylake',
    dataThroughCaches: NO_DATA,
    nestedAD: 'S: EPT has accessed and dirty bits since Haswell (Linux, Documentation/virt/kvm/x86/mmu.rst)',
    tagged: 'S: Intel SDM vol. 3C 28.3 (VPID), vol. 3A 4.10.1 (PCID)',
  },
  lost: [
    'the hash of the STLB index (XOR of 7 bits, vusec/tlbdr): sets are picked by the low bits here',
    'the second page walker',
  ],
};

const ICELAKE_SP: MachinePreset = {
  name: 'icelake-sp',
  title: 'Intel Ice Lake-SP (Xeon Scalable, 2021)',
  machine: {
    l1d: [
      { entries: 64, ways: 4, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 32, ways: 4, sizes: ['2MiB'], replacement: 'lru' },
      { entries: 8, ways: 8, sizes: ['1GiB'], replacement: 'lru' },
    ],
    l1i: [
      { entries: 128, ways: 8, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 8, ways: 8, sizes: ['2MiB'], replacement: 'lru' },
    ],
    stlb: [
      { entries: 1024, ways: 8, sizes: ['4KiB', '2MiB'], replacement: 'lru' },
      { entries: 1024, ways: 8, sizes: ['1GiB'], replacement: 'lru' },
    ],
    psc: {
      l2: { entries: 32, ways: 4 },
      l3: { entries: 4, ways: 4 },
      l4: { entries: 2, ways: 2 },
      l5: { entries: 2, ways: 2 },
      latency: 1,
    },
    nestedPsc: {
      l2: { entries: 32, ways: 4 },
      l3: { entries: 4, ways: 4 },
      l4: { entries: 2, ways: 2 },
      l5: { entries: 2, ways: 2 },
      latency: 1,
    },
    ntlb: { entries: 64, ways: 4, holds: 'all', latency: 1 },
    pwc: null,
    caches: [
      { name: 'L1', size: 48 * 2 ** 10, ways: 12, line: 64, latency: 5 },
      { name: 'L2', size: 1280 * 2 ** 10, ways: 20, line: 64, latency: 14 },
      { name: 'LLC', size: 60 * 2 ** 20, ways: 12, line: 64, latency: 70 },
    ],
    memoryLatency: 200,
    stlbLatency: 9,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    l1d: `S: ${ICELAKE_DUMP}`,
    'l1i[0]': 'M: 128 entries of 8 ways; the dump does not list the 4 KiB array',
    'l1i[1]': `S: ${ICELAKE_DUMP}`,
    stlb: `S: ${ICELAKE_DUMP}`,
    replacement: LRU_ASSUMED,
    psc: 'assumed, as in skylake-sp',
    'psc.l5': `assumed, after ${CHAMPSIM} (PSCL5: 1 set of 2 ways)`,
    nestedPsc: 'assumed, as in skylake-sp',
    'nestedPsc.l5': `assumed, after ${CHAMPSIM} (PSCL5: 1 set of 2 ways)`,
    ntlb: `assumed, after ${VICTIMA}; Intel does not publish it`,
    caches: 'M: 48 KiB/12, 1.25 MiB/20, 1.5 MiB/12 a slice with 40 slices; latencies of a Xeon Platinum 8380',
    memoryLatency: `assumed, after ${DMT}`,
    stlbLatency: 'assumed, as in skylake-sp',
    dataThroughCaches: NO_DATA,
    nestedAD: 'S: EPT has accessed and dirty bits since Haswell (Linux, Documentation/virt/kvm/x86/mmu.rst)',
    tagged: 'S: Intel SDM vol. 3C 28.3 (VPID), vol. 3A 4.10.1 (PCID)',
  },
  lost: [
    'the second STLB array holds 4 KiB pages too, 2048 in all; here a page size is in one array of a side, so 4 KiB pages have 1024',
    'the 16 fully associative entries for stores beside the L1 (of all sizes): loads and stores share l1d here',
    'the second page walker',
  ],
};

const ZEN4: MachinePreset = {
  name: 'zen4',
  title: 'AMD Zen 4 (EPYC Genoa, 2022)',
  machine: {
    l1d: [{ entries: 72, ways: 72, sizes: ['4KiB', '2MiB', '1GiB'], replacement: 'lru' }],
    l1i: [{ entries: 64, ways: 64, sizes: ['4KiB', '2MiB', '1GiB'], replacement: 'lru' }],
    stlb: [
      { entries: 3072, ways: 12, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 3072, ways: 6, sizes: ['2MiB'], replacement: 'lru' },
      { entries: 64, ways: 64, sizes: ['1GiB'], replacement: 'lru' },
    ],
    psc: null,
    nestedPsc: null,
    ntlb: { entries: 64, ways: 4, holds: 'tables', latency: 1 },
    pwc: { entries: 64, ways: 64, holds: '2d+nt', latency: 1 },
    caches: [
      { name: 'L1', size: 32 * 2 ** 10, ways: 8, line: 64, latency: 4 },
      { name: 'L2', size: 2 ** 20, ways: 8, line: 64, latency: 14 },
      { name: 'LLC', size: 32 * 2 ** 20, ways: 16, line: 64, latency: 50 },
    ],
    memoryLatency: 200,
    stlbLatency: 7,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid', 'pcid'],
  },
  sources: {
    l1d: `S: ${ZEN4_DUMP}`,
    l1i: `S: ${ZEN4_DUMP}`,
    'stlb[0]': `S: ${ZEN4_DUMP}: 3072 entries, code for 8 to 15 ways; 12 is the one that gives a power of two of sets`,
    'stlb[1]': `S: ${ZEN4_DUMP}: 3072 entries, code for 6 to 7 ways; 6 is the one that gives a power of two of sets`,
    'stlb[2]': `S: ${ZEN4_DUMP}`,
    replacement: 'assumed: LRU',
    ntlb: `assumed, after ${VICTIMA}; AMD does not publish it`,
    pwc: 'M: 64 entries (Zen); that it works by the physical address of entries in both dimensions is assumed, after Bhargava et al. (ASPLOS 2008)',
    'pwc.latency': `assumed, after ${DMT} (1 cycle)`,
    caches: 'M: 32 KiB/8, 1 MiB/8, 32 MiB/16 a complex of cores; latencies of a Genoa',
    memoryLatency: `assumed, after ${DMT}`,
    stlbLatency: 'assumed, after about 7 cycles on a Sandy Bridge (text of the perf event)',
    dataThroughCaches: NO_DATA,
    nestedAD: 'M: the processor sets A and D in nested tables (AMD APM vol. 2, 15.25)',
    tagged: 'S: 32768 ASIDs (CPUID dumps of Zen); M: PCID since Zen 3',
  },
  lost: [
    'the second-level TLB of instructions (512 entries, 4 ways): fetches share the STLB here',
    'whether 4 KiB and 2 MiB pages share the 3072 entries: CPUID lists them apart, and so does this machine',
    'page-directory entries are cached in the L2 data TLB (Zen 2): here the page-walk cache holds them',
  ],
};

const BHARGAVA = 'Bhargava et al. (ASPLOS 2008)';
const OPTERON_2008: MachinePreset = {
  name: 'opteron-2008',
  title: 'AMD Opteron of 2008 (Barcelona), as in Bhargava et al.',
  machine: {
    l1d: [{ entries: 48, ways: 48, sizes: ['4KiB', '2MiB', '1GiB'], replacement: 'lru' }],
    l1i: [
      { entries: 32, ways: 32, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 16, ways: 16, sizes: ['2MiB'], replacement: 'lru' },
    ],
    stlb: [
      { entries: 512, ways: 4, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 128, ways: 2, sizes: ['2MiB'], replacement: 'lru' },
    ],
    psc: null,
    nestedPsc: null,
    ntlb: { entries: 16, ways: 16, holds: 'tables', latency: 1 },
    pwc: { entries: 24, ways: 24, holds: '2d+nt', latency: 1 },
    caches: [
      { name: 'L2', size: 512 * 2 ** 10, ways: 16, line: 64, latency: 15 },
      { name: 'LLC', size: 2 * 2 ** 20, ways: 32, line: 64, latency: 45 },
    ],
    memoryLatency: 200,
    stlbLatency: 7,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid'],
  },
  sources: {
    l1d: `S: ${BARCELONA_DUMP}`,
    l1i: `S: ${BARCELONA_DUMP}`,
    stlb: `S: ${BARCELONA_DUMP}`,
    replacement: 'assumed: LRU',
    ntlb: `M: 16 entries of ${BHARGAVA}; assumed to be fully associative`,
    'ntlb.latency': `assumed, after ${VICTIMA} (1 cycle)`,
    pwc: `S: 24 entries by physical address on several AMD processors (vusec/revanc); M: the same in ${BHARGAVA}`,
    'pwc.latency': `assumed, after ${DMT} (1 cycle)`,
    caches:
      'M: 512 KiB/16 and 2 MiB/32 with latencies of a Barcelona; that walks go past the L1 data cache is from memory too',
    memoryLatency: `assumed, after ${DMT}; the paper's is not known`,
    stlbLatency: 'assumed, after about 7 cycles on a Sandy Bridge (text of the perf event)',
    dataThroughCaches: NO_DATA,
    nestedAD: 'M: the processor sets A and D in nested tables (AMD APM vol. 2, 15.25)',
    tagged: `S: 64 ASIDs (${BARCELONA_DUMP}); M: no PCID`,
  },
  lost: ['the second-level TLB of instructions (512 entries, 4 ways): fetches share the STLB here'],
};

const TINY: MachinePreset = {
  name: 'tiny',
  title: 'A machine small enough to follow by hand',
  machine: {
    l1d: [
      { entries: 4, ways: 2, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 2, ways: 2, sizes: ['2MiB'], replacement: 'lru' },
      { entries: 1, ways: 1, sizes: ['1GiB'], replacement: 'lru' },
    ],
    l1i: null,
    stlb: [{ entries: 16, ways: 4, sizes: ['4KiB', '2MiB'], replacement: 'lru' }],
    psc: {
      l2: { entries: 4, ways: 4 },
      l3: { entries: 2, ways: 2 },
      l4: { entries: 1, ways: 1 },
      latency: 1,
    },
    nestedPsc: {
      l2: { entries: 4, ways: 4 },
      l3: { entries: 2, ways: 2 },
      l4: { entries: 1, ways: 1 },
      latency: 1,
    },
    ntlb: { entries: 4, ways: 4, holds: 'all', latency: 1 },
    pwc: null,
    caches: [{ name: 'L1', size: 2048, ways: 2, line: 64, latency: 4 }],
    memoryLatency: 200,
    stlbLatency: 7,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid', 'pcid'],
  },
  sources: Object.fromEntries(
    [
      'l1d',
      'stlb',
      'psc',
      'nestedPsc',
      'ntlb',
      'caches',
      'memoryLatency',
      'stlbLatency',
      'replacement',
      'nestedAD',
      'tagged',
      'dataThroughCaches',
    ].map((path) => [path, 'assumed: chosen for teaching, after no processor']),
  ),
  lost: [],
};

/** All machine presets by name. */
export const MACHINE_PRESETS: Readonly<Record<string, MachinePreset>> = Object.fromEntries(
  [SKYLAKE_SP, ICELAKE_SP, ZEN4, OPTERON_2008, TINY].map((preset) => [preset.name, preset]),
);

/** The source of a number of a preset: that of the longest path that leads to it. */
export function sourceOf(preset: MachinePreset, path: string): string | undefined {
  let best = '';
  for (const prefix of Object.keys(preset.sources)) {
    const leads = path === prefix || (path.startsWith(prefix) && /^[.[]/.test(path.slice(prefix.length)));
    if (leads && prefix.length > best.length) best = prefix;
  }
  return preset.sources[best];
}
