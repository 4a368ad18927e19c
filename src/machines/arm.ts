/**
 * Arm's processors, as far as their TLBs are known. Tables have the x86-64 layout here as everywhere; with 4 KiB
 * granules Arm's have as many levels of as many entries.
 */
import type { MachineConfig } from '../config/resolved.ts';
import { ASSUMED, CITED, cache, fullTlb, geometry, type MachinePreset, skylakePsc, tlb } from './preset.ts';

const TRM = "Arm's technical reference manual";
const SECOND_HAND = 'S-2nd: comparisons that cite the technical reference manual';

const SOURCES = {
  replacement: ASSUMED.replacement,
  psc: `assumed, as in skylake-sp: there are walk caches (${TRM}), of no published size`,
  nestedPsc: 'assumed, as in skylake-sp',
  ntlb: `assumed, after ${CITED.victima}: 64 entries of 4 ways, 1 cycle; the manuals speak of an IPA cache without its size`,
  pwc: 'assumed: none beside the walk caches above',
  memoryLatency: ASSUMED.memoryLatency,
  dataThroughCaches: ASSUMED.dataThroughCaches,
  tagged: 'M: VMID and ASID (Arm Architecture Reference Manual)',
} as const;

const BASE = {
  psc: skylakePsc(),
  nestedPsc: skylakePsc(),
  ntlb: { ...geometry(64, 4), holds: 'all', latency: 1 },
  pwc: null,
  memoryLatency: 200,
  stlbLatency: 7,
  dataThroughCaches: false,
  tagged: ['vpid', 'pcid'],
} satisfies Partial<MachineConfig>;
const LOST = ['pages of 16 KiB and 64 KiB, and contiguous ranges that share an entry'];
const STLB_LATENCY = 'assumed, after about 7 cycles on a Sandy Bridge (text of the perf event)';

const CORTEX_A72: MachinePreset = {
  name: 'cortex-a72',
  title: 'Arm Cortex-A72 (2016)',
  machine: {
    ...BASE,
    l1d: [fullTlb(32, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(48, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(1024, 4, '4KiB', '2MiB', '1GiB')],
    caches: [cache('L1', 32, 2, 4), cache('L2', 1024, 16, 18)],
    nestedAD: false,
  },
  sources: {
    ...SOURCES,
    l1d: SECOND_HAND,
    l1i: SECOND_HAND,
    stlb: `${SECOND_HAND}; that it holds all three sizes is assumed`,
    stlbLatency: STLB_LATENCY,
    caches: 'M: 32 KiB/2, 1 MiB/16 of 512 KiB to 4 MiB; latencies of a Cortex-A72',
    nestedAD: 'M: Armv8.0 has no hardware management of the access flag and dirty state',
  },
  lost: [
    ...LOST,
    'that the hardware leaves A and D of the guest’s tables to the software too: here it sets them',
  ],
};

const CORTEX_A78: MachinePreset = {
  name: 'cortex-a78',
  title: 'Arm Cortex-A78 (2020)',
  machine: {
    ...BASE,
    l1d: [fullTlb(32, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(32, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(1024, 4, '4KiB', '2MiB', '1GiB')],
    caches: [cache('L1', 64, 4, 4), cache('L2', 512, 8, 10), cache('LLC', 4096, 16, 54)],
    nestedAD: true,
  },
  sources: {
    ...SOURCES,
    l1d: SECOND_HAND,
    l1i: SECOND_HAND,
    stlb: `${SECOND_HAND}; that it holds all three sizes is assumed`,
    stlbLatency: STLB_LATENCY,
    caches: 'M: 64 KiB/4, 512 KiB/8, 4 MiB/16 of a shared unit; latencies of a Cortex-A78',
    'caches[2].latency': `assumed, after ${CITED.dmt}: 54 cycles`,
    nestedAD: 'M: FEAT_HAFDBS (Armv8.1), at both stages',
  },
  lost: LOST,
};

const NEOVERSE_N1: MachinePreset = {
  name: 'neoverse-n1',
  title: 'Arm Neoverse N1 (2019)',
  machine: {
    ...BASE,
    l1d: [fullTlb(48, '4KiB', '2MiB', '1GiB')],
    l1i: [fullTlb(48, '4KiB', '2MiB', '1GiB')],
    stlb: [tlb(1280, 5, '4KiB', '2MiB', '1GiB')],
    caches: [cache('L1', 64, 4, 4), cache('L2', 1024, 8, 11), cache('LLC', 32768, 16, 54)],
    nestedAD: true,
  },
  sources: {
    ...SOURCES,
    l1d: `S: ${CITED.sagepte}; that it holds all three sizes is assumed`,
    l1i: `M: ${TRM}: 48 entries, fully associative`,
    stlb: `S: ${CITED.sagepte}; that it holds all three sizes is assumed`,
    stlbLatency: STLB_LATENCY,
    caches: 'M: 64 KiB/4, 1 MiB/8, a system cache of 32 MiB (Graviton2); latencies of a Neoverse N1',
    'caches[2].ways': 'assumed: 16',
    'caches[2].latency': `assumed, after ${CITED.dmt}: 54 cycles`,
    nestedAD: 'M: FEAT_HAFDBS (Armv8.1), at both stages',
  },
  lost: LOST,
};

/** Arm's processors. */
export const ARM: readonly MachinePreset[] = [CORTEX_A72, CORTEX_A78, NEOVERSE_N1];
