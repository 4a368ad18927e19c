/** Intel's processors, oldest first. */
import type { MachineConfig, PscConfig } from '../config/resolved.ts';
import {
  ASSUMED,
  CITED,
  cache,
  dump,
  fullTlb,
  geometry,
  hashedTlb,
  latencies,
  type MachinePreset,
  skylakePsc,
  tlb,
} from './preset.ts';

const PRESCOTT = dump('a Pentium 4 Prescott-2M', 'GenuineIntel0000F43');
const MEROM = dump('a Merom', 'GenuineIntel00006F6');
const NEHALEM = dump('a Nehalem-EP', 'GenuineIntel00106A2');
const WESTMERE = dump('a Westmere-EP', 'GenuineIntel00206C2');
const SANDY_BRIDGE = dump('a Sandy Bridge-E', 'GenuineIntel00206D6');
const HASWELL = dump('a Haswell-EP', 'GenuineIntel00306F2');
const BROADWELL = dump('a Broadwell-E', 'GenuineIntel00406F1');
const SKYLAKE = dump('a Skylake-SP', 'GenuineIntel0050654');
const CASCADE_LAKE = dump('a Cascade Lake-SP', 'GenuineIntel0050657');
const ICE_LAKE = dump('an Ice Lake-SP', 'GenuineIntel00606A6');
const SAPPHIRE_RAPIDS = dump('a Sapphire Rapids', 'GenuineIntel00806F8');
const GRANITE_RAPIDS = dump('a Granite Rapids', 'GenuineIntel00A06D1');
const SEVEN_CPU = '7-cpu.com, measured on a Xeon X5650 at 2.67 GHz';

const NO_EPT = 'M: EPT came with Nehalem';
const SDM_TAGS = 'Intel SDM vol. 3C 28.3 (VPID), vol. 3A 4.10.1 (PCID)';
const LARGE_AS_4MIB = 'M: 2 MiB pages use the entries that the manual lists for 4 MiB ones';
const MANUAL = "Intel's optimisation manual (248966)";
const LATENCY_M = `M: ${MANUAL}`;
const FULL_M = `M: ${MANUAL}: fully associative`;
const FEWER_PLRU = `assumed: LRU; measured as tree-PLRU in every TLB of a Haswell (${CITED.tlbdr})`;
const SKYLAKE_LRU = `assumed: LRU; measured as tree-PLRU in the L1 and a mixed policy in the STLB (${CITED.tlbdr})`;
const STORES_APART =
  'the 16 fully associative entries for stores beside the L1 (of all sizes): loads and stores share l1d here';
const SECOND_WALKER = 'the second page walker';
const NO_NESTED =
  'nested paging: the processor has none, and a nested run asks what it would have cost without walk caches';
const WALK_LARGE =
  '1 GiB pages, which the processor lacks: here they are in no TLB, so that each access to one walks';
const TWO_STLBS =
  'two STLB arrays of 1024 entries, one for 4 KiB and 2 MiB, one for 4 KiB and 1 GiB: here each size has an array of its own with as many entries as it can reach there, so that a run of one page size is right, and sizes that are mixed do not push each other out';

/** What no source says of any Intel processor alike. */
const COMMON = {
  pwc: 'S: paging-structure caches hold paths, not single entries (Intel SDM vol. 3A 4.10.3)',
  replacement: ASSUMED.replacement,
  memoryLatency: ASSUMED.memoryLatency,
  dataThroughCaches: ASSUMED.dataThroughCaches,
} as const;

/** Walk caches of a processor with EPT: sizes that are known of Skylake, if anywhere. */
const WALK_CACHES = {
  psc: 'assumed, as in skylake-sp',
  nestedPsc: 'assumed, as in skylake-sp',
  ntlb: ASSUMED.ntlb,
} as const;

/** Where the PDPTE cache was measured. */
const OLD_WALK_CACHES = {
  ...WALK_CACHES,
  'psc.l3.entries': `S: 4 entries on Ivy Bridge and older (${CITED.revanc})`,
} as const;

const EPT_WITHOUT_AD =
  'S: EPT has accessed and dirty bits since Haswell (Linux, Documentation/virt/kvm/x86/mmu.rst), not before';
const EPT_WITH_AD =
  'S: EPT has accessed and dirty bits since Haswell (Linux, Documentation/virt/kvm/x86/mmu.rst)';

/** With a cache for a fifth level. New at each call. */
function psc5(): PscConfig {
  const { latency, ...levels } = skylakePsc();
  return { ...levels, l5: geometry(2, 2), latency };
}
const NTLB: MachineConfig['ntlb'] = { ...geometry(64, 4), holds: 'all', latency: 1 };

/** What most of them have in common; every field that a preset does not name. */
const BASE = {
  pwc: null,
  memoryLatency: 200,
  dataThroughCaches: false,
  nestedAD: true,
  tagged: ['vpid', 'pcid'],
} satisfies Partial<MachineConfig>;

const PENTIUM4_PRESCOTT: MachinePreset = {
  name: 'pentium4-prescott',
  title: 'Intel Pentium 4 Prescott-2M (2005)',
  machine: {
    ...BASE,
    l1d: [fullTlb(64, '4KiB', '2MiB')],
    l1i: [fullTlb(64, '4KiB', '2MiB')],
    stlb: [],
    psc: null,
    nestedPsc: null,
    ntlb: null,
    caches: [cache('L1', 16, 8, 4), cache('L2', 2048, 8, 27)],
    stlbLatency: 0,
    nestedAD: false,
    tagged: [],
  },
  sources: {
    ...COMMON,
    'l1d[0].entries': `S: ${PRESCOTT}, descriptor 5Bh`,
    'l1d[0].ways': FULL_M,
    'l1d[0].sizes': LARGE_AS_4MIB,
    'l1i[0].entries': `S: ${PRESCOTT}, descriptor 50h`,
    'l1i[0].ways': FULL_M,
    'l1i[0].sizes': `S: ${PRESCOTT}, descriptor 50h`,
    stlb: `S: ${PRESCOTT} lists none`,
    stlbLatency: 'D: there is no second level',
    psc: 'assumed: none; a processor may have any or none of them (Intel SDM vol. 3A 4.10.3)',
    nestedPsc: NO_EPT,
    ntlb: NO_EPT,
    caches: `S: ${PRESCOTT}`,
    ...latencies(2, LATENCY_M),
    nestedAD: NO_EPT,
    tagged: 'M: VPID came with Nehalem, PCID with Westmere',
  },
  lost: [
    NO_NESTED,
    WALK_LARGE,
    'Hyper-Threading: the threads of a core share its TLBs, and here one has them all',
  ],
};

const MEROM_PRESET: MachinePreset = {
  name: 'merom',
  title: 'Intel Core 2 Merom (2006)',
  machine: {
    ...BASE,
    l1d: [tlb(16, 4, '4KiB'), tlb(16, 4, '2MiB')],
    l1i: [tlb(128, 4, '4KiB'), tlb(8, 4, '2MiB')],
    stlb: [tlb(256, 4, '4KiB'), tlb(32, 4, '2MiB')],
    psc: skylakePsc(),
    nestedPsc: null,
    ntlb: null,
    caches: [cache('L1', 32, 8, 3), cache('L2', 4096, 16, 14)],
    stlbLatency: 2,
    nestedAD: false,
    tagged: [],
  },
  sources: {
    ...COMMON,
    l1d: `S: ${MEROM}: DTLB0`,
    'l1d[1].sizes': LARGE_AS_4MIB,
    l1i: `S: ${MEROM}`,
    'l1i[1].ways': 'M: 4 ways, descriptor B1h (Intel SDM vol. 2A, CPUID)',
    stlb: `S: ${MEROM}: DTLB1`,
    'stlb[1].sizes': LARGE_AS_4MIB,
    stlbLatency: `M: ${MANUAL}: 2 cycles from DTLB0 to DTLB1`,
    psc: 'assumed, as in skylake-sp',
    nestedPsc: NO_EPT,
    ntlb: NO_EPT,
    caches: 'M: 32 KiB/8, 4 MiB/16',
    ...latencies(2, LATENCY_M),
    nestedAD: NO_EPT,
    tagged: 'M: VPID came with Nehalem, PCID with Westmere',
  },
  lost: [
    NO_NESTED,
    WALK_LARGE,
    'DTLB0 serves loads alone: stores use it here too',
    'DTLB1 serves data alone: fetches that miss use it here too',
  ],
};

/** Nehalem and Westmere differ in tags and large caches. */
const NEHALEM_TLBS = {
  l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB')],
  l1i: [tlb(64, 4, '4KiB'), fullTlb(7, '2MiB')],
  stlb: [tlb(512, 4, '4KiB')],
  psc: skylakePsc(),
  nestedPsc: skylakePsc(),
  ntlb: NTLB,
  nestedAD: false,
} satisfies Partial<MachineConfig>;
const SEVEN_CYCLES = 'about 7 cycles on a Sandy Bridge (text of the perf event)';

const NEHALEM_PRESET: MachinePreset = {
  name: 'nehalem',
  title: 'Intel Nehalem-EP (Xeon 5500, 2009)',
  machine: {
    ...BASE,
    ...NEHALEM_TLBS,
    caches: [cache('L1', 32, 8, 4), cache('L2', 256, 8, 10), cache('LLC', 8192, 16, 42)],
    stlbLatency: 7,
    tagged: ['vpid'],
  },
  sources: {
    ...COMMON,
    ...OLD_WALK_CACHES,
    l1d: `S: ${NEHALEM}`,
    l1i: `S: ${NEHALEM}`,
    stlb: `S: ${NEHALEM}: 512 entries for 4 KiB pages alone`,
    stlbLatency: `assumed, after ${SEVEN_CYCLES}`,
    caches: `S: ${NEHALEM}`,
    ...latencies(3, `assumed, as on a Westmere (${SEVEN_CPU})`),
    nestedAD: EPT_WITHOUT_AD,
    tagged: 'M: VPID came with Nehalem, PCID with Westmere',
  },
  lost: [WALK_LARGE],
};

const WESTMERE_PRESET: MachinePreset = {
  name: 'westmere',
  title: 'Intel Westmere-EP (Xeon 5600, 2010)',
  machine: {
    ...BASE,
    ...NEHALEM_TLBS,
    caches: [cache('L1', 32, 8, 4), cache('L2', 256, 8, 10), cache('LLC', 12288, 16, 42)],
    memoryLatency: 219,
    stlbLatency: 7,
  },
  sources: {
    ...COMMON,
    ...OLD_WALK_CACHES,
    l1d: `S: ${WESTMERE}`,
    l1i: `S: ${WESTMERE}`,
    stlb: `S: ${WESTMERE}: 512 entries for 4 KiB pages alone`,
    stlbLatency: `assumed, after ${SEVEN_CYCLES}`,
    caches: `S: ${SEVEN_CPU}`,
    memoryLatency: `D: 40 cycles + 67 ns of 2.67 GHz (${SEVEN_CPU})`,
    nestedAD: EPT_WITHOUT_AD,
    tagged: 'M: VPID came with Nehalem, PCID with Westmere',
  },
  lost: [
    '1 GiB pages, which use the 32 entries for 2 MiB pages piece by piece (7-cpu.com): here they are in no TLB',
  ],
};

const SANDY_BRIDGE_PRESET: MachinePreset = {
  name: 'sandy-bridge',
  title: 'Intel Sandy Bridge-EP (Xeon E5, 2012)',
  machine: {
    ...BASE,
    l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB'), fullTlb(4, '1GiB')],
    l1i: [tlb(64, 4, '4KiB'), fullTlb(8, '2MiB')],
    stlb: [tlb(512, 4, '4KiB')],
    psc: skylakePsc(),
    nestedPsc: skylakePsc(),
    ntlb: NTLB,
    caches: [cache('L1', 32, 8, 4), cache('L2', 256, 8, 12), cache('LLC', 20480, 20, 38)],
    stlbLatency: 7,
    nestedAD: false,
  },
  sources: {
    ...COMMON,
    ...OLD_WALK_CACHES,
    'l1d[0]': `S: ${SANDY_BRIDGE}`,
    'l1d[1]': `S: ${SANDY_BRIDGE}`,
    'l1d[2]': 'M: 4 entries for 1 GiB pages',
    l1i: `S: ${SANDY_BRIDGE}`,
    stlb: `S: ${SANDY_BRIDGE}: 512 entries for 4 KiB pages alone`,
    stlbLatency: `S: ${SEVEN_CYCLES}`,
    caches: 'M: 32 KiB/8, 256 KiB/8, 2.5 MiB/20 a slice with 8 slices; latencies of a Xeon E5-2600',
    nestedAD: EPT_WITHOUT_AD,
    tagged: `S: ${SDM_TAGS}`,
  },
  lost: [],
};

const HASWELL_EP: MachinePreset = {
  name: 'haswell-ep',
  title: 'Intel Haswell-EP (Xeon E5 v3, 2014)',
  machine: {
    ...BASE,
    l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB'), tlb(4, 4, '1GiB')],
    l1i: [tlb(64, 8, '4KiB'), fullTlb(8, '2MiB')],
    stlb: [tlb(1024, 8, '4KiB', '2MiB')],
    psc: skylakePsc(),
    nestedPsc: skylakePsc(),
    ntlb: NTLB,
    caches: [cache('L1', 32, 8, 4), cache('L2', 256, 8, 12), cache('LLC', 46080, 20, 54)],
    stlbLatency: 12,
  },
  sources: {
    ...COMMON,
    ...WALK_CACHES,
    replacement: FEWER_PLRU,
    l1d: `S: ${HASWELL}`,
    l1i: `S: ${HASWELL}`,
    stlb: `S: ${HASWELL}`,
    stlbLatency: 'S: about 12 cycles, measured (mynavi.jp)',
    caches: 'M: 32 KiB/8, 256 KiB/8, 2.5 MiB/20 a slice with 18 slices (Xeon E5-2699 v3)',
    ...latencies(2, LATENCY_M),
    'caches[2].latency': `assumed, after ${CITED.dmt}: 54 cycles`,
    nestedAD: EPT_WITH_AD,
    tagged: `S: ${SDM_TAGS}`,
  },
  lost: [],
};

const BROADWELL_EP: MachinePreset = {
  name: 'broadwell-ep',
  title: 'Intel Broadwell-EP (Xeon E5 v4, 2016)',
  machine: {
    ...BASE,
    l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB'), tlb(4, 4, '1GiB')],
    l1i: [tlb(64, 8, '4KiB'), fullTlb(8, '2MiB')],
    stlb: [hashedTlb(1536, 6, '4KiB', '2MiB'), tlb(16, 4, '1GiB')],
    psc: skylakePsc(),
    nestedPsc: skylakePsc(),
    ntlb: NTLB,
    caches: [cache('L1', 32, 8, 4), cache('L2', 256, 8, 12), cache('LLC', 15360, 20, 54)],
    stlbLatency: 9,
  },
  sources: {
    ...COMMON,
    ...WALK_CACHES,
    l1d: `S: ${BROADWELL}`,
    l1i: `S: ${BROADWELL}`,
    stlb: `S: ${BROADWELL}`,
    'stlb[0].index': `M: XOR of 8 bits over 256 sets of 6 ways on a Broadwell Xeon (${CITED.tlbleed})`,
    stlbLatency: 'assumed, as in skylake-sp',
    caches: `S: ${BROADWELL}, of 6 cores`,
    ...latencies(2, LATENCY_M),
    'caches[2].latency': `assumed, after ${CITED.dmt}: 54 cycles`,
    nestedAD: EPT_WITH_AD,
    tagged: `S: ${SDM_TAGS}`,
  },
  lost: [SECOND_WALKER],
};

const SKYLAKE_MACHINE: MachineConfig = {
  ...BASE,
  l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB'), tlb(4, 4, '1GiB')],
  l1i: [tlb(64, 8, '4KiB'), fullTlb(8, '2MiB')],
  stlb: [hashedTlb(1536, 12, '4KiB', '2MiB'), tlb(16, 4, '1GiB')],
  psc: skylakePsc(),
  nestedPsc: skylakePsc(),
  ntlb: NTLB,
  caches: [cache('L1', 32, 8, 4), cache('L2', 1024, 16, 14), cache('LLC', 22528, 11, 54)],
  stlbLatency: 9,
};
const skylakeSources = (dumped: string) =>
  ({
    ...COMMON,
    replacement: SKYLAKE_LRU,
    l1d: `S: ${dumped}`,
    l1i: `S: ${dumped}; the 4 KiB array measures as 16 sets of 8 ways on a client (${CITED.tlbdr})`,
    stlb: `S: ${dumped}`,
    'stlb[0].ways': `S: measured as 128 sets of 12 ways on a client (${CITED.tlbdr}); the CPUID descriptor C3h says 6`,
    'stlb[0].index': `S: measured as XOR of 7 bits, bits 0 to 6 of the page number with 7 to 13 (${CITED.tlbdr}); that 2 MiB pages are hashed alike by their own number is assumed`,
    psc: `S: ${CITED.dmt}; M for the processor`,
    nestedPsc: `assumed, after ${CITED.dmt}, which takes the same sizes in both dimensions`,
    ntlb: ASSUMED.ntlb,
    caches: `S: ${CITED.dmt}`,
    memoryLatency: `S: ${CITED.dmt}`,
    stlbLatency: 'S: lecture notes of the SAFARI group, ETH Zurich: 9 cycles on a Skylake',
    nestedAD: EPT_WITH_AD,
    tagged: `S: ${SDM_TAGS}`,
  }) as const;

const SKYLAKE_SP: MachinePreset = {
  name: 'skylake-sp',
  title: 'Intel Skylake-SP (Xeon Scalable, 2017)',
  machine: SKYLAKE_MACHINE,
  sources: skylakeSources(SKYLAKE),
  lost: [SECOND_WALKER],
};

const CASCADE_LAKE_PRESET: MachinePreset = {
  name: 'cascade-lake',
  title: 'Intel Cascade Lake-SP (Xeon Scalable, 2019)',
  machine: {
    ...SKYLAKE_MACHINE,
    caches: [cache('L1', 32, 8, 4), cache('L2', 1024, 16, 14), cache('LLC', 36608, 11, 54)],
  },
  sources: {
    ...skylakeSources(CASCADE_LAKE),
    'caches[2].size':
      'M: 35.75 MiB of a Xeon Gold 6252, the machine of vMitosis (Panwar et al., ASPLOS 2021)',
  },
  lost: [SECOND_WALKER],
};

const ICELAKE_STLB = [tlb(2048, 16, '4KiB'), tlb(1024, 8, '2MiB'), tlb(1024, 8, '1GiB')];
const icelakeSources = (dumped: string) =>
  ({
    ...COMMON,
    l1d: `S: ${dumped}`,
    l1i: `S: ${dumped}`,
    stlb: `S: ${dumped}`,
    'stlb[0]': `D: ${dumped}: 4 KiB pages may be in both arrays of 1024 entries and 8 ways`,
    psc: 'assumed, as in skylake-sp',
    'psc.l5': `assumed, after ${CITED.champsim} (PSCL5: 1 set of 2 ways)`,
    nestedPsc: 'assumed, as in skylake-sp',
    'nestedPsc.l5': `assumed, after ${CITED.champsim} (PSCL5: 1 set of 2 ways)`,
    ntlb: ASSUMED.ntlb,
    stlbLatency: 'assumed, as in skylake-sp',
    nestedAD: EPT_WITH_AD,
    tagged: `S: ${SDM_TAGS}`,
  }) as const;

const ICELAKE_SP: MachinePreset = {
  name: 'icelake-sp',
  title: 'Intel Ice Lake-SP (Xeon Scalable, 2021)',
  machine: {
    ...BASE,
    l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB'), fullTlb(8, '1GiB')],
    l1i: [tlb(128, 8, '4KiB'), fullTlb(8, '2MiB')],
    stlb: ICELAKE_STLB,
    psc: psc5(),
    nestedPsc: psc5(),
    ntlb: NTLB,
    caches: [cache('L1', 48, 12, 5), cache('L2', 1280, 20, 14), cache('LLC', 61440, 12, 70)],
    stlbLatency: 9,
  },
  sources: {
    ...icelakeSources(ICE_LAKE),
    'l1i[0]': 'M: 128 entries of 8 ways; the dump does not list the 4 KiB array',
    caches: 'M: 48 KiB/12, 1.25 MiB/20, 1.5 MiB/12 a slice with 40 slices; latencies of a Xeon Platinum 8380',
  },
  lost: [TWO_STLBS, STORES_APART, SECOND_WALKER],
};

const SAPPHIRE_CACHES = [cache('L1', 48, 12, 5), cache('L2', 2048, 16, 14), cache('LLC', 107520, 15, 70)];

const SAPPHIRE_RAPIDS_PRESET: MachinePreset = {
  name: 'sapphire-rapids',
  title: 'Intel Sapphire Rapids (Xeon Scalable, 2023)',
  machine: {
    ...BASE,
    l1d: [tlb(64, 4, '4KiB'), tlb(32, 4, '2MiB'), fullTlb(8, '1GiB')],
    l1i: [tlb(256, 8, '4KiB'), tlb(32, 8, '2MiB')],
    stlb: ICELAKE_STLB,
    psc: psc5(),
    nestedPsc: psc5(),
    ntlb: NTLB,
    caches: SAPPHIRE_CACHES,
    stlbLatency: 9,
  },
  sources: {
    ...icelakeSources(SAPPHIRE_RAPIDS),
    'l1d[0]': `S: ${SAPPHIRE_RAPIDS}; the press says 96 entries, which Granite Rapids lists`,
    caches: 'M: 48 KiB/12, 2 MiB/16, 1.875 MiB/15 a slice with 56 slices (Xeon Platinum 8480)',
    ...latencies(3, 'assumed, as in icelake-sp'),
  },
  lost: [TWO_STLBS, STORES_APART, SECOND_WALKER],
};

const GRANITE_RAPIDS_PRESET: MachinePreset = {
  name: 'granite-rapids',
  title: 'Intel Granite Rapids (Xeon 6, 2024)',
  machine: {
    ...SAPPHIRE_RAPIDS_PRESET.machine,
    l1d: [tlb(96, 6, '4KiB'), tlb(32, 4, '2MiB'), fullTlb(8, '1GiB')],
  },
  sources: {
    ...icelakeSources(GRANITE_RAPIDS),
    caches: 'assumed, as in sapphire-rapids',
  },
  lost: [TWO_STLBS, STORES_APART, SECOND_WALKER],
};

/** Intel's processors, oldest first. */
export const INTEL: readonly MachinePreset[] = [
  PENTIUM4_PRESCOTT,
  MEROM_PRESET,
  NEHALEM_PRESET,
  WESTMERE_PRESET,
  SANDY_BRIDGE_PRESET,
  HASWELL_EP,
  BROADWELL_EP,
  SKYLAKE_SP,
  CASCADE_LAKE_PRESET,
  ICELAKE_SP,
  SAPPHIRE_RAPIDS_PRESET,
  GRANITE_RAPIDS_PRESET,
];
