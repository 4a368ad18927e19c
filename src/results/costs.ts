/**
 * Prices: what counters and events of the ledger cost on a generation of processors. Engines and software count
 * integers; every cycle of software comes from here, always split by cause, and a total is the sum of its parts.
 */
import { hasHostPages, type ResolvedConfig } from '../config/resolved.ts';
import { didYouMean } from '../config/suggest.ts';
import { NestwalkError } from '../errors.ts';
import { LEDGER, LEDGER_CAUSES, type LedgerCause, type LedgerKind } from '../hypervisor/ledger.ts';
import { COST_PRESETS, type CostFigureName, type CostPreset, unverified } from '../machines/costs.ts';
import { PAGE_BYTES } from '../schema.ts';
import { columnSum } from './counters.ts';
import { walkCycles } from './metrics.ts';
import type { Counters, CycleSplit, Result } from './types.ts';

/** What a price may depend on beside the figures. */
export interface Situation {
  /** 4 KiB frames of a page that the host puts behind a guest. */
  hostPageFrames: number;
  /** 1 where the guest's kernel runs under a shadow-paging hypervisor, which may have to translate it; else 0. */
  shadowedKernel: number;
  /** 1 where a guest is left by VM exits of the hardware; 0 under paravirtual paging, whose hypervisor is called. */
  hardwareExits: number;
}

/** One term of a price: a figure, perhaps so many times. */
export interface PriceTerm {
  /** Which figure. */
  readonly figure: CostFigureName;
  /** What it is multiplied with; absent: once. */
  readonly times?: keyof Situation;
}

/** What an event costs: a sum of figures, or nothing, with the reason. */
export type Price = { readonly sum: readonly PriceTerm[] } | { readonly free: string };

const sum = (...figures: CostFigureName[]): Price => ({ sum: figures.map((figure) => ({ figure })) });
const exit = (...handler: CostFigureName[]): Price => sum('vmExit', 'exitDispatch', ...handler);
const call = (...handler: CostFigureName[]): Price => sum('hypercall', ...handler);

/**
 * The price of one event of every cause. An exit or a hypercall costs what it takes *beyond* the guest's own event, which
 * is counted and priced as on a native machine: a table write under shadow paging is one `tableWrites` and, where it
 * is trapped, one `tableWriteExits`.
 */
export const PRICES: Readonly<Record<LedgerCause, Price>> = {
  guestFaults: sum('faultDelivery', 'faultHandler'),
  syscalls: { sum: [{ figure: 'syscall' }, { figure: 'virtualSyscall', times: 'shadowedKernel' }] },
  contextSwitches: sum('contextSwitch'),
  tableWrites: sum('tableWrite'),
  cr3Writes: sum('cr3Write'),
  invlpgs: sum('invlpg'),
  ipis: sum('ipi'),
  zeroedFrames: sum('pageZero'),
  copiedFrames: sum('pageCopy'),
  pageOuts: sum('pageOut'),
  majorFaults: sum('majorFault'),
  nestedViolations: exit('violation'),
  tableBackings: exit('violation'),
  tableViolations: { free: 'each is one of nestedViolations' },
  guestFaultExits: exit('reinject'),
  hiddenFaultExits: exit('hiddenFault'),
  dirtyFaultExits: exit('dirtyFault'),
  // To know that nothing is left to do, the hypervisor has to walk the guest's table and look at the shadow entry.
  spuriousFaultExits: exit('hiddenFault'),
  tableWriteExits: exit('emulateWrite'),
  unsyncExits: exit('unsync'),
  unshadowExits: exit('unshadow'),
  cr3Exits: exit('cr3Load'),
  invlpgExits: exit('emulateInvlpg'),
  ipiExits: exit('emulateIpi'),
  shadowKicks: exit('ipi'),
  vmSwitches: {
    sum: [
      { figure: 'vmExit', times: 'hardwareExits' },
      { figure: 'exitDispatch', times: 'hardwareExits' },
      { figure: 'vmSwitch' },
    ],
  },
  hostFrames: { sum: [{ figure: 'hostPage' }, { figure: 'pageZero', times: 'hostPageFrames' }] },
  shadowTables: sum('shadowTable', 'pageZero'),
  shadowZaps: sum('shadowZap'),
  floodZaps: { free: 'each is one of shadowZaps' },
  resyncedTables: sum('resyncTable'),
  resyncedEntries: sum('resyncEntry'),
  updateHypercalls: call(),
  validatedEntries: sum('validateEntry'),
  pinHypercalls: call('pinTable'),
  cr3Hypercalls: call(),
  flushHypercalls: call(),
  faultBounces: sum('faultBounce'),
  syscallBounces: sum('syscallBounce'),
};

const NATIVE: Situation = { hostPageFrames: 1, shadowedKernel: 0, hardwareExits: 1 };
const SHADOWED: Situation = { ...NATIVE, shadowedKernel: 1 };

const timesOf = ({ times }: PriceTerm, situation: Situation): number =>
  times === undefined ? 1 : situation[times];

const termsOf = (cause: LedgerCause): readonly PriceTerm[] => {
  const price = PRICES[cause];
  return 'sum' in price ? price.sum : [];
};

/** Cycles of one event. */
export function eventCycles(cause: LedgerCause, costs: CostPreset, situation: Situation): number {
  return termsOf(cause).reduce(
    (cycles, term) => cycles + costs.figures[term.figure].cycles * timesOf(term, situation),
    0,
  );
}

/** What prices depend on in a configuration. */
export function situationOf({ paging }: Pick<ResolvedConfig, 'paging'>): Situation {
  return {
    hostPageFrames: hasHostPages(paging.mode) ? PAGE_BYTES[paging.nestedPage] / PAGE_BYTES['4KiB'] : 1,
    shadowedKernel: Number(paging.mode === 'shadow'),
    hardwareExits: Number(paging.mode !== 'paravirt'),
  };
}

/** Look-ups of the second-level TLB: those that miss it pay for it too, before they walk. */
const stlbLookUps = (counters: Counters, { machine }: Pick<ResolvedConfig, 'machine'>): number =>
  machine.stlb.length === 0 ? 0 : columnSum(counters.stlbHits) + counters.stlbMisses;

/** The part of a split that a kind of cause belongs to. */
const PART = {
  guest: 'software',
  work: 'software',
  exit: 'exits',
  hypercall: 'hypercalls',
} as const satisfies Record<LedgerKind, keyof CycleSplit>;

/** Parts of a split that go by cause, in the order in which they are shown. */
export const CAUSE_PARTS = ['software', 'exits', 'hypercalls'] as const;

/** Events by cause, as results hold them. */
export type LedgerEvents = Readonly<Partial<Record<string, number>>>;

/**
 * Prices a run: what its hardware counted and its software did.
 * @param run counters and ledger events of a run, and the machine and paging that it had
 */
export function splitCycles(
  run: { counters: Counters; events: LedgerEvents; config: ResolvedConfig },
  costs: CostPreset,
): CycleSplit {
  const { counters, events, config } = run;
  const walk = walkCycles(counters, config);
  const situation = situationOf(config);
  const exposed = costs.figures.walkCycle.cycles;
  const split: CycleSplit = {
    base: counters.accesses * costs.figures.access.cycles,
    guestWalk: walk.guest * exposed,
    nestedWalk: walk.nested * exposed,
    stlb: stlbLookUps(counters, config) * config.machine.stlbLatency,
    software: {},
    exits: {},
    hypercalls: {},
    total: 0,
  };
  for (const cause of LEDGER_CAUSES) {
    const cycles = (events[cause] ?? 0) * eventCycles(cause, costs, situation);
    split[PART[LEDGER[cause].kind]][cause] = cycles;
  }
  split.total =
    split.base +
    split.guestWalk +
    split.nestedWalk +
    split.stlb +
    CAUSE_PARTS.reduce((cycles, part) => cycles + columnSum(split[part] as Record<string, number>), 0);
  return split;
}

/**
 * The figures that stand behind a price of these events and that nobody has verified, in the order of presets. The
 * figures `access` and `walkCycle` are among them whenever there were accesses.
 */
export function unverifiedFigures(
  events: LedgerEvents,
  config: Pick<ResolvedConfig, 'paging'>,
  costs: CostPreset,
  accesses = 0,
): CostFigureName[] {
  const situation = situationOf(config);
  const used = new Set<CostFigureName>(accesses > 0 ? ['access', 'walkCycle'] : []);
  for (const cause of LEDGER_CAUSES) {
    if (!events[cause]) continue;
    for (const term of termsOf(cause)) if (timesOf(term, situation) > 0) used.add(term.figure);
  }
  return (Object.keys(costs.figures) as CostFigureName[]).filter(
    (name) => used.has(name) && unverified(costs.figures[name]),
  );
}

/**
 * The cost preset of this name.
 * @throws NestwalkError `usage` for a name that is none
 */
export function costsNamed(name: string): CostPreset {
  if (Object.hasOwn(COST_PRESETS, name)) return COST_PRESETS[name];
  const names = Object.keys(COST_PRESETS);
  throw new NestwalkError(
    'usage',
    `${name} is no cost preset${didYouMean(name, names) || `; there are ${names.join(', ')}`}`,
  );
}

/** A run's result with what it cost. */
export const withCycles = (result: Result, costs: CostPreset): Result => ({
  ...result,
  cycles: {
    costs: costs.name,
    ...splitCycles({ counters: result.counters, events: result.ledger.events, config: result.config }, costs),
  },
});

/** One operation natively and under shadow paging, in cycles. */
export interface Nanobenchmark {
  /** Its name, after Adams and Agesen (ASPLOS 2006). */
  name: 'syscall' | 'pgfault' | 'ptemod';
  /** What it does. */
  about: string;
  /** Natively. */
  native: number;
  /** In a guest of a hypervisor with shadow paging. */
  shadow: number;
}

/**
 * The nanobenchmarks of Adams and Agesen (ASPLOS 2006) as a preset has them: sums of its figures, by which one sees
 * whether it reproduces what was published.
 */
export function nanobenchmarks(costs: CostPreset): Nanobenchmark[] {
  const natively = (cause: LedgerCause): number => eventCycles(cause, costs, NATIVE);
  const shadowed = (cause: LedgerCause): number => eventCycles(cause, costs, SHADOWED);
  const delivery = costs.figures.faultDelivery.cycles;
  return [
    {
      name: 'syscall',
      about: 'a system call that does nothing',
      native: natively('syscalls'),
      shadow: shadowed('syscalls'),
    },
    {
      name: 'pgfault',
      about: 'a page fault of the guest’s own, with an empty handler',
      native: delivery,
      shadow: delivery + shadowed('guestFaultExits'),
    },
    {
      name: 'ptemod',
      about: 'one entry of a page table in use written',
      native: natively('tableWrites'),
      shadow: shadowed('tableWrites') + shadowed('tableWriteExits'),
    },
  ];
}
