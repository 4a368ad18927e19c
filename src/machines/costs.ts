/**
 * What software costs, by processor generation, as data: each figure with a mark and its source. Nothing here knows of
 * events: `PRICES` in src/results/costs.ts says which figures an event of the ledger costs.
 */

/**
 * How far a figure can be trusted. `S` = read at the place named; `S-2nd` = read where somebody else cites it; `M` = from
 * memory, not verified; `D` = computed from figures named; `assumed` = nobody says, with what it is borrowed from.
 */
export type CostMark = 'S' | 'S-2nd' | 'M' | 'D' | 'assumed';

/** One figure. */
export interface CostFigure {
  /** Cycles of the processor; gigahertz in {@link CostPreset.gigahertz}. */
  readonly cycles: number;
  /** How far it can be trusted. */
  readonly mark: CostMark;
  /** Where it is from, or how it was computed. */
  readonly source: string;
}

/** Figures that every preset has, and what each is the price of. */
export const COST_FIGURES = {
  access: 'an access of the program with all the work around it, translation apart',
  walkCycle: 'what a cycle of a walk adds to the run time: the rest passes while other work is done',
  faultDelivery: 'a page fault natively: exception, an empty handler, IRET',
  faultHandler: 'the guest kernel’s own path of a page fault, without entries, pages and delivery',
  syscall: 'a system call natively: entry and return',
  virtualSyscall:
    'what a system call costs more in a guest whose kernel does not run natively (binary translation)',
  contextSwitch: 'the scheduler’s choice and the change of registers, without the load of CR3',
  tableWrite: 'an entry written into a page table natively',
  cr3Write: 'a load of CR3 natively, without the misses that follow',
  invlpg: 'an INVLPG natively, without the misses that follow',
  ipi: 'an interrupt to one other processor, natively, until it has been answered',
  pageZero: 'clearing a 4 KiB frame',
  pageCopy: 'copying a 4 KiB frame',
  pageOut: 'giving a 4 KiB page to the disk’s queue; the write itself goes on beside',
  majorFault: 'waiting for a 4 KiB page from the disk',
  vmExit: 'the hardware’s part of a VM exit: to the hypervisor and back',
  exitDispatch: 'what the hypervisor does at every exit: saving, finding the reason, restoring',
  violation: 'handling a nested violation, without the host page',
  reinject: 'finding that a page fault is the guest’s own, and injecting it',
  hiddenFault: 'walking the guest’s table and filling the shadow entry',
  dirtyFault: 'walking the guest’s table, setting D there, making the shadow entry writable',
  emulateWrite: 'decoding a write to a guest table, doing it, mending the shadow entry',
  unsync: 'letting a guest table page go out of sync',
  unshadow: 'finding that a guest table page is none any more; its zap is apart',
  cr3Load: 'finding the root of the shadow table, without bringing pages back in sync',
  emulateInvlpg: 'dropping or bringing back in sync one shadow entry',
  emulateIpi: 'sending a guest’s interrupt on to another virtual processor',
  vmSwitch: 'the hypervisor’s scheduler and the change from one virtual machine’s state to another’s',
  hostPage: 'taking a page of the host, without clearing it',
  shadowTable: 'taking and linking a shadow table page, without clearing it',
  shadowZap: 'unlinking a shadow table page and giving it back',
  resyncTable: 'comparing the 512 entries of a guest table page with their shadow',
  resyncEntry: 'mending one shadow entry that differed',
  hypercall: 'a hypercall that does nothing: in and out',
  validateEntry: 'checking one entry: whose frame, of which type, and counting it',
  pinTable: 'pinning or unpinning a table, without its entries',
  faultBounce: 'what a page fault costs more that goes through the hypervisor',
  syscallBounce: 'what a system call costs more that goes through the hypervisor',
} as const satisfies Record<string, string>;

/** Name of a figure. */
export type CostFigureName = keyof typeof COST_FIGURES;
/** All figures of a preset. */
export type CostFigures = Readonly<Record<CostFigureName, CostFigure>>;

/** What software costs on one generation of processors. */
export interface CostPreset {
  /** Its name on the command line. */
  readonly name: string;
  /** Processor and year. */
  readonly title: string;
  /** The machine preset of this generation, which a scenario takes that names costs and no machine. */
  readonly machine: string;
  /** Clock; `cycles` are gigahertz here. No price depends on it: it turns cycles into time. */
  readonly gigahertz: CostFigure;
  /** Every figure. */
  readonly figures: CostFigures;
}

const figure =
  (mark: CostMark) =>
  (cycles: number, source: string): CostFigure => ({ cycles, mark, source });
const read = figure('S');
const cited = figure('S-2nd');
const remembered = figure('M');
const derived = figure('D');
const assumed = figure('assumed');

const ADAMS = 'Adams and Agesen (ASPLOS 2006), Pentium 4 672';
const ADAMS_CODE = `${ADAMS}, as cited in ligurio/openbsd-tests (at_vmm.cc)`;
const AGESEN = 'Agesen, Mattson, Rugina and Sheldon (USENIX ATC 2012), round trips by generation';
const TORVALDS = 'Torvalds, “the cost of Linux’s page fault handling” (2014)';
const PTI = 'Linux, Documentation/arch/x86/pti.rst: moves to CR3 are on the order of a hundred cycles';
const SPLITX = 'Landau, Ben-Yehuda and Gordon, SplitX (WIOV 2011), table 1: Xeon X5570, KVM of Linux 2.6.34';
const VMCALL =
  'kvm-unit-tests vmcall in Linux commit b7ffc44d5b2e (2017): 1,181 cycles on a processor that is not named';
const NULL_EXIT =
  'null hypercall on an i7-3960X, Linux 3.13: 1,610 to 1,690 cycles (yshalabi.github.io, read off a plot)';
const SVM =
  'Linux kernel mailing list, December 2020 (lkml 2012.2/00527): VMRUN to exit 1,344 to 1,376 cycles';
const CLEAR_PAGE =
  'Linux, “introduce clear_pages()”, as cited by lexplain.net: 13.7 GB/s in pieces of 4 KiB on a Milan';
const XEN_SYSCALL =
  'Xen, “faster int 0x80 for compat mode guests” (Campbell 2007): lmbench’s system call 0.327 µs direct, 0.550 µs through the hypervisor';
const IPI_MEMORY =
  'between one and three microseconds in studies of shootdowns (Kumar et al., LATR, ASPLOS 2018)';
const NO_TRANSLATION = 'the guest kernel runs natively, apart from what exits';

const VMITOSIS =
  'counters of vMitosis (Panwar et al., ASPLOS 2021, artifact), a Cascade Lake with GUPS, BTree, Canneal and XSBench';
/** An access beside its translation, and a walk beside other work: measured on one machine only. */
const ACCESS_ON_SKYLAKE = {
  access: derived(17, `what ${VMITOSIS} leave beside translation for a simulated access: 12 to 26 cycles`),
  walkCycle: derived(
    0.62,
    `${VMITOSIS}: 0.38 to 0.84 cycles of run time for a further walk cycle, their median`,
  ),
};
const ACCESS_AS_ON_SKYLAKE = {
  access: assumed(17, `as on Skylake, where it comes from ${VMITOSIS}`),
  walkCycle: assumed(0.62, `as on Skylake, where it comes from ${VMITOSIS}`),
};

/** Cycles of so many nanoseconds, whole. */
const atClock = (nanoseconds: number, gigahertz: number): number => Math.round(nanoseconds * gigahertz);

/** What a disk of spinning platters costs: a seek and half a turn. */
const disk = (gigahertz: number) => ({
  pageOut: assumed(5000, 'the block layer’s path of one request'),
  majorFault: assumed(atClock(8e6, gigahertz), `a disk that answers in 8 ms, at ${gigahertz} GHz`),
});

/** What a disk of flash costs. */
const flash = (gigahertz: number) => ({
  pageOut: assumed(5000, 'the block layer’s path of one request'),
  majorFault: assumed(atClock(1e5, gigahertz), `a disk that answers in 100 µs, at ${gigahertz} GHz`),
});

const LIKE_KVM = 'the order of a few hundred instructions of KVM’s path, whose caches are warm';
/** What a hypervisor like KVM does after an exit, on processors since 2006: the same guesses for all. */
const KVM_HANDLERS = {
  violation: assumed(1500, `${LIKE_KVM}: memory slot, host page, nested entry`),
  reinject: assumed(1000, `${LIKE_KVM}: a walk by software and an injection`),
  hiddenFault: assumed(1800, `${LIKE_KVM}: a walk by software, memory slot, shadow entry, reverse map`),
  dirtyFault: assumed(1200, `${LIKE_KVM}: a walk by software and one entry`),
  emulateWrite: assumed(
    2500,
    `${LIKE_KVM}: fetching and decoding the instruction, the write, the shadow entry`,
  ),
  unsync: assumed(1500, `${LIKE_KVM}: a walk by software, a mark on every page above`),
  unshadow: assumed(1500, `${LIKE_KVM}: fetching and decoding the instruction, finding the shadow page`),
  cr3Load: assumed(600, `${LIKE_KVM}: one look-up in the hash of shadow pages`),
  emulateInvlpg: assumed(900, `${LIKE_KVM}: a walk of the shadow table`),
  emulateIpi: assumed(1000, `${LIKE_KVM}: decoding the interrupt command, finding the receiver`),
  hostPage: assumed(500, 'the allocator’s path and the reverse map'),
  shadowTable: assumed(700, 'the allocator’s path, the hash of shadow pages, the entry that links it'),
  shadowZap: assumed(800, 'a reverse-map entry for each parent; its own entries are cleared with it'),
  resyncTable: assumed(1500, 'about three cycles for each of 512 entries'),
  resyncEntry: assumed(100, 'an entry and its reverse-map entry'),
  virtualSyscall: derived(0, NO_TRANSLATION),
};

/** What Xen does for a paravirtual guest, in parts of what the processor itself takes. */
const xen = (syscall: number, iret: number, gigahertz: number) => ({
  hypercall: assumed(syscall + 100, `a system call of the processor (${syscall}) and a table of calls`),
  validateEntry: assumed(100, 'the frame’s owner and type, two atomic counts'),
  pinTable: assumed(400, 'the type of the root’s frame; its entries are validated apart'),
  faultBounce: assumed(
    iret + syscall + 300,
    `an IRET into the guest (${iret}), a hypercall for the guest’s own IRET (${syscall}), and the frame in between`,
  ),
  syscallBounce: derived(atClock(223, gigahertz), `${XEN_SYSCALL}; the difference at ${gigahertz} GHz`),
});

/** Processor, scheduler and copying of the Pentium 4 of 2005. */
const PENTIUM4 = {
  ...ACCESS_AS_ON_SKYLAKE,
  faultDelivery: read(1093, `${ADAMS_CODE}: pgfault, native`),
  faultHandler: assumed(3000, 'Linux’s path on a processor of one instruction a cycle or less'),
  syscall: remembered(242, `${ADAMS}: syscall, native`),
  contextSwitch: remembered(
    7600,
    'Li, Ding and Shen, “Quantifying the cost of context switch” (ExpCS 2007): 3.8 µs on a Xeon of 2.0 GHz, with the pipe that measures it',
  ),
  tableWrite: read(1, `${ADAMS_CODE}: ptemod, native`),
  cr3Write: assumed(500, 'the TLB has no tags, and serialising empties a pipeline of 31 stages'),
  invlpg: assumed(500, 'serialising empties a pipeline of 31 stages'),
  ipi: assumed(5000, `${IPI_MEMORY}, at 3.8 GHz and on one socket`),
  pageZero: assumed(2000, 'two bytes a cycle'),
  pageCopy: assumed(3000, 'two bytes read and two bytes written in three cycles'),
  ...disk(3.8),
};

/** Price of a VM exit on the Pentium 4, which its totals below contain. */
const PENTIUM4_EXIT = 3963;

const PENTIUM4_2005: CostPreset = {
  name: 'pentium4-2005',
  title: 'Intel Pentium 4 672 (2005), hypervisor on VT-x: the hardware VMM of Adams and Agesen',
  machine: 'pentium4-prescott',
  gigahertz: read(3.8, ADAMS),
  figures: {
    ...PENTIUM4,
    vmExit: remembered(PENTIUM4_EXIT, `${AGESEN}: Prescott`),
    exitDispatch: derived(0, 'part of the handlers, which are what the published totals leave'),
    emulateWrite: derived(
      12_733 - 1 - PENTIUM4_EXIT,
      `${ADAMS_CODE}: ptemod 12,733, less the write itself (1) and the exit (${PENTIUM4_EXIT})`,
    ),
    reinject: derived(
      11_242 - 1093 - PENTIUM4_EXIT,
      `${ADAMS_CODE}: pgfault 11,242, less its delivery natively (1,093) and the exit (${PENTIUM4_EXIT})`,
    ),
    hiddenFault: assumed(
      6186,
      'as reinject: both walk the guest’s table, then one fills and the other injects',
    ),
    dirtyFault: assumed(6186, 'as reinject'),
    violation: assumed(
      6186,
      'as reinject; this processor has no nested paging, the figure serves comparisons',
    ),
    unsync: assumed(6186, 'as reinject'),
    unshadow: assumed(8769, 'as emulateWrite'),
    cr3Load: assumed(3000, 'a look-up and new registers, without decoding an instruction'),
    emulateInvlpg: assumed(3000, 'as cr3Load'),
    emulateIpi: assumed(3000, 'as cr3Load'),
    vmSwitch: assumed(10_000, 'a context switch of the hypervisor and two sets of VMCS loads'),
    hostPage: assumed(1000, 'the allocator’s path'),
    shadowTable: assumed(1500, 'the allocator’s path, and the entry that links it'),
    shadowZap: assumed(2000, 'its entries and its parents’ are cleared'),
    resyncTable: assumed(3000, 'about six cycles for each of 512 entries'),
    resyncEntry: assumed(200, 'an entry and its reverse-map entry'),
    virtualSyscall: derived(0, `${NO_TRANSLATION}: “near native” in ${ADAMS}`),
    ...xen(242, 500, 3.8),
  },
};

const PENTIUM4_BT: CostPreset = {
  name: 'pentium4-2005-bt',
  title: 'Intel Pentium 4 672 (2005), hypervisor by binary translation: the software VMM of Adams and Agesen',
  machine: 'pentium4-prescott',
  gigahertz: read(3.8, ADAMS),
  figures: {
    ...PENTIUM4_2005.figures,
    vmExit: derived(0, 'there is no VM exit: translated code calls the monitor'),
    emulateWrite: derived(390, `${ADAMS_CODE}: ptemod 391, less the write itself (1)`),
    reinject: derived(3927 - 1093, `${ADAMS_CODE}: pgfault 3,927, less its delivery natively (1,093)`),
    hiddenFault: assumed(
      3927,
      'as a fault of the guest’s own: the same fault into the monitor, then one fills and the other injects',
    ),
    dirtyFault: assumed(3927, 'as hiddenFault'),
    violation: assumed(3927, 'as hiddenFault; this processor has no nested paging'),
    unsync: assumed(3927, 'as hiddenFault'),
    unshadow: assumed(390, 'as emulateWrite'),
    cr3Load: assumed(1000, 'a call of translated code, without an exit'),
    emulateInvlpg: assumed(390, 'as emulateWrite'),
    emulateIpi: assumed(1000, 'as cr3Load'),
    virtualSyscall: remembered(2308 - 242, `${ADAMS}: syscall 2,308, “native + 2000”, less 242 natively`),
  },
};

/** Copying and clearing where string instructions move 16 bytes a cycle from warm caches. */
const SIXTEEN_BYTES_A_CYCLE = {
  pageZero: assumed(600, '16 bytes a cycle, started, and with misses beyond the L1'),
  pageCopy: assumed(1000, '8 bytes a cycle, started, and with misses beyond the L1'),
};

const MEROM: CostPreset = {
  name: 'merom',
  title: 'Intel Merom and Conroe (Core 2, 2006)',
  machine: 'merom',
  gigahertz: remembered(2.4, 'Core 2 Duo E6600'),
  figures: {
    ...KVM_HANDLERS,
    ...ACCESS_AS_ON_SKYLAKE,
    faultDelivery: assumed(940, `after ${TORVALDS}: 700 and an IRET of 240 on a Core Duo`),
    faultHandler: assumed(1000, 'Linux’s path at one instruction a cycle'),
    syscall: assumed(200, 'between the Pentium 4 (242) and later processors'),
    contextSwitch: assumed(3000, 'a microsecond and a quarter'),
    tableWrite: assumed(1, 'a store, as on the Pentium 4'),
    cr3Write: assumed(200, `twice what ${PTI}`),
    invlpg: assumed(300, 'between the Pentium 4 (500) and later processors (200)'),
    ipi: assumed(3600, `${IPI_MEMORY}, 1.5 µs at 2.4 GHz`),
    ...SIXTEEN_BYTES_A_CYCLE,
    pageZero: assumed(800, '8 bytes a cycle, started, and with misses beyond the L1'),
    pageCopy: assumed(1400, '6 bytes a cycle, started, and with misses beyond the L1'),
    ...disk(2.4),
    vmExit: remembered(1579, `${AGESEN}: Merom`),
    exitDispatch: assumed(900, 'as on Nehalem'),
    vmSwitch: assumed(4500, 'a context switch of the host and two VMCS loads'),
    ...xen(200, 240, 2.4),
  },
};

const NEHALEM: CostPreset = {
  name: 'nehalem',
  title: 'Intel Nehalem-EP (Xeon 5500, 2009)',
  machine: 'nehalem',
  gigahertz: read(2.93, SPLITX),
  figures: {
    ...KVM_HANDLERS,
    ...ACCESS_AS_ON_SKYLAKE,
    faultDelivery: assumed(1000, `after ${TORVALDS}: 940 on a Core Duo, 1,050 on a Haswell`),
    faultHandler: assumed(800, 'Linux’s path at somewhat over one instruction a cycle'),
    syscall: assumed(150, 'between Merom (200) and later processors (100)'),
    contextSwitch: assumed(3000, 'a microsecond'),
    tableWrite: assumed(1, 'a store, as on the Pentium 4'),
    cr3Write: assumed(150, `one and a half times what ${PTI}`),
    invlpg: cited(200, 'about 200 cycles, third-party measurements of several Intel processors'),
    ipi: assumed(4400, `${IPI_MEMORY}, 1.5 µs at 2.93 GHz`),
    ...SIXTEEN_BYTES_A_CYCLE,
    ...disk(2.93),
    vmExit: remembered(1009, `${AGESEN}: Nehalem`),
    exitDispatch: derived(
      2000 - 1009,
      `${SPLITX}: a direct cost of 2,000 cycles, less the hardware’s part (1,009)`,
    ),
    vmSwitch: assumed(4000, 'a context switch of the host and two VMCS loads'),
    ...xen(150, 300, 2.93),
  },
};

const SANDY_BRIDGE: CostPreset = {
  name: 'sandy-bridge',
  title: 'Intel Sandy Bridge-E (Core i7-3960X, 2011)',
  machine: 'sandy-bridge',
  gigahertz: remembered(3.3, 'Core i7-3960X'),
  figures: {
    ...KVM_HANDLERS,
    ...ACCESS_AS_ON_SKYLAKE,
    faultDelivery: assumed(1050, `after ${TORVALDS}: 715 and an IRET of 330 on a Haswell`),
    faultHandler: assumed(700, 'Linux’s path at one and a half instructions a cycle'),
    syscall: assumed(110, 'somewhat above later processors (100)'),
    contextSwitch: assumed(2500, 'three quarters of a microsecond'),
    tableWrite: assumed(1, 'a store, as on the Pentium 4'),
    cr3Write: read(100, PTI),
    invlpg: cited(200, 'about 200 cycles, third-party measurements of several Intel processors'),
    ipi: assumed(5000, `${IPI_MEMORY}, 1.5 µs at 3.3 GHz`),
    ...SIXTEEN_BYTES_A_CYCLE,
    ...flash(3.3),
    vmExit: remembered(784, `${AGESEN}: Sandy Bridge`),
    exitDispatch: derived(1650 - 784, `${NULL_EXIT}; their middle less the hardware’s part (784)`),
    vmSwitch: assumed(3500, 'a context switch of the host and two VMCS loads'),
    ...xen(110, 330, 3.3),
  },
};

const SKYLAKE: CostPreset = {
  name: 'skylake',
  title: 'Intel Skylake-SP and Cascade Lake (Xeon Scalable, 2017)',
  machine: 'skylake-sp',
  gigahertz: read(2.5, 'the “Xeon Skylake 2.5GHz” of Linux commit 4180bf1b655a (2018)'),
  figures: {
    ...KVM_HANDLERS,
    ...ACCESS_ON_SKYLAKE,
    faultDelivery: cited(
      1050,
      `${TORVALDS}: 715 and an IRET of 330 on a Haswell, the nearest that was measured`,
    ),
    faultHandler: assumed(500, `Linux’s path; ${TORVALDS} finds it “much lower” than the fault itself`),
    syscall: assumed(100, 'SYSCALL and SYSRET with a minimal path, without page-table isolation'),
    contextSwitch: assumed(2000, 'eight tenths of a microsecond'),
    tableWrite: assumed(1, 'a store, as on the Pentium 4'),
    cr3Write: read(100, PTI),
    invlpg: cited(200, 'about 200 cycles, third-party measurements of several Intel processors'),
    ipi: assumed(4000, `${IPI_MEMORY}, 1.6 µs at 2.5 GHz`),
    pageZero: assumed(400, 'REP STOSB at 32 bytes a cycle, started, and with misses beyond the L1'),
    pageCopy: assumed(700, 'REP MOVSB at 16 bytes a cycle, started, and with misses beyond the L1'),
    ...flash(2.5),
    vmExit: assumed(784, 'as on Sandy Bridge, the last of the published round trips'),
    exitDispatch: derived(1181 - 784, `${VMCALL}; less the hardware’s part (784)`),
    vmSwitch: assumed(3000, 'a context switch of the host and two VMCS loads'),
    ...xen(100, 330, 2.5),
  },
};

const ZEN3: CostPreset = {
  name: 'zen3',
  title: 'AMD Zen 3 (EPYC Milan, 2021)',
  machine: 'zen3',
  gigahertz: remembered(3.5, 'EPYC 7763 under load'),
  figures: {
    ...KVM_HANDLERS,
    ...ACCESS_AS_ON_SKYLAKE,
    faultDelivery: assumed(1050, `after ${TORVALDS}: 715 and an IRET of 330 on a Haswell`),
    faultHandler: assumed(500, 'as on Skylake'),
    syscall: assumed(100, 'as on Skylake'),
    contextSwitch: assumed(2000, 'as on Skylake'),
    tableWrite: assumed(1, 'a store, as on the Pentium 4'),
    cr3Write: assumed(100, `after ${PTI}`),
    invlpg: assumed(200, 'as on Intel’s processors'),
    ipi: assumed(5000, `${IPI_MEMORY}, 1.4 µs at 3.5 GHz`),
    pageZero: derived(atClock(4096 / 13.7, 3.5), `${CLEAR_PAGE}, at 3.5 GHz`),
    pageCopy: assumed(1500, 'somewhat less than one and a half times clearing'),
    ...flash(3.5),
    vmExit: read(1360, `${SVM}, the middle; that it was a Zen 3 is not said`),
    exitDispatch: assumed(400, 'as on Skylake'),
    vmSwitch: assumed(3000, 'as on Skylake'),
    ...xen(100, 330, 3.5),
  },
};

/** The figures of a preset in the order of {@link COST_FIGURES}, whatever it was put together from. */
const inOrder = (figures: CostFigures): CostFigures =>
  Object.fromEntries(
    (Object.keys(COST_FIGURES) as CostFigureName[]).map((name) => [name, figures[name]]),
  ) as Record<CostFigureName, CostFigure>;

/** All cost presets by name, in the order of years. */
export const COST_PRESETS: Readonly<Record<string, CostPreset>> = Object.fromEntries(
  [PENTIUM4_2005, PENTIUM4_BT, MEROM, NEHALEM, SANDY_BRIDGE, SKYLAKE, ZEN3].map((preset) => [
    preset.name,
    { ...preset, figures: inOrder(preset.figures) },
  ]),
);

/** The preset of machines that none is nearer to. */
export const DEFAULT_COSTS = 'skylake';

/** Machine presets and the cost preset of their generation, or of the nearest one: no Arm processor's costs are here. */
const COSTS_OF_MACHINES: Readonly<Record<string, string>> = {
  'pentium4-prescott': 'pentium4-2005',
  merom: 'merom',
  nehalem: 'nehalem',
  westmere: 'nehalem',
  'sandy-bridge': 'sandy-bridge',
  'opteron-2008-1d': 'nehalem',
  'opteron-2008-2d': 'nehalem',
  'opteron-2008': 'nehalem',
  shanghai: 'nehalem',
  zen2: 'zen3',
  zen3: 'zen3',
  zen4: 'zen3',
  zen5: 'zen3',
};

/**
 * The cost preset of a machine's generation.
 * @param machine name of a machine preset; absent for a machine written whole
 */
export function costsOfMachine(machine: string | undefined): CostPreset {
  return COST_PRESETS[COSTS_OF_MACHINES[machine ?? ''] ?? DEFAULT_COSTS];
}

/** Whether a figure is one that nobody has verified: from memory, or assumed. */
export const unverified = ({ mark }: CostFigure): boolean => mark === 'M' || mark === 'assumed';
