/**
 * What the software did, counted by cause. Hardware counts, software counts, results price: a cause has no cycles here;
 * a cost preset (src/machines/costs.ts) gives them and src/results prices the events.
 */

/** Who had to act: the guest kernel itself, the hypervisor after a VM exit, or the hypervisor when it was called. */
export type LedgerKind = 'guest' | 'exit' | 'work' | 'hypercall';

/** Every cause: who acts, and what one event is. In the order of results. */
export const LEDGER = {
  // What the guest kernel does, on every platform alike.
  guestFaults: { kind: 'guest', about: 'page faults that the guest kernel handled' },
  syscalls: { kind: 'guest', about: 'system calls' },
  contextSwitches: {
    kind: 'guest',
    about: 'times that a virtual processor went from one process to another',
  },
  tableWrites: { kind: 'guest', about: 'entries that the guest kernel wrote into its page tables' },
  cr3Writes: { kind: 'guest', about: 'loads of CR3 by the guest, those of page-table isolation among them' },
  invlpgs: { kind: 'guest', about: 'INVLPG instructions of the guest' },
  ipis: {
    kind: 'guest',
    about: 'interrupts between virtual processors for shootdowns, one for each that received one',
  },
  zeroedFrames: { kind: 'guest', about: '4 KiB frames that the guest kernel cleared' },
  copiedFrames: { kind: 'guest', about: '4 KiB frames that the guest kernel copied' },
  pageOuts: { kind: 'guest', about: '4 KiB pages that the guest kernel wrote to its disk' },
  majorFaults: { kind: 'guest', about: '4 KiB pages that the guest kernel read from its disk' },
  // VM exits of nested paging; shadow paging has those for table pages too.
  nestedViolations: {
    kind: 'exit',
    about: 'violations reported by the hardware and handled by the hypervisor',
  },
  tableBackings: {
    kind: 'exit',
    about: 'exits taken when the guest kernel allocated a table page in a host page not there yet',
  },
  tableViolations: {
    kind: 'work',
    about:
      'those of nestedViolations that were for a guest table page; the hardware never meets one, so this stays 0',
  },
  // VM exits of shadow paging.
  guestFaultExits: {
    kind: 'exit',
    about: "page faults that the hypervisor found to be the guest's own and reinjected",
  },
  hiddenFaultExits: {
    kind: 'exit',
    about: 'page faults hidden from the guest: a shadow entry was absent (or out of date) and was filled',
  },
  dirtyFaultExits: {
    kind: 'exit',
    about: "hidden faults of a first write: the guest's D was set, and its shadow entry made writable",
  },
  spuriousFaultExits: {
    kind: 'exit',
    about: 'page faults after which nothing was left to do: the processor held an older right',
  },
  tableWriteExits: { kind: 'exit', about: 'writes to a write-protected guest table page, emulated' },
  unsyncExits: { kind: 'exit', about: 'first writes to a guest table page, which then went out of sync' },
  unshadowExits: {
    kind: 'exit',
    about: 'shadowed guest table pages that the guest kernel took back for other use',
  },
  cr3Exits: { kind: 'exit', about: 'loads of CR3 that exited' },
  invlpgExits: { kind: 'exit', about: 'INVLPG instructions that exited' },
  ipiExits: {
    kind: 'exit',
    about: 'interrupts between virtual processors that exited, one for each receiver',
  },
  shadowKicks: { kind: 'exit', about: 'virtual processors interrupted since a shadow entry was taken away' },
  vmSwitches: { kind: 'exit', about: 'times that a core went from one virtual machine to another' },
  // What the hypervisor did after an exit or a call.
  hostFrames: { kind: 'work', about: 'host pages that the hypervisor put behind the guest' },
  shadowTables: { kind: 'work', about: 'shadow table pages built' },
  shadowZaps: { kind: 'work', about: 'shadow table pages thrown away' },
  floodZaps: {
    kind: 'work',
    about: 'those of shadowZaps that the guest wrote to so often that they were not worth keeping',
  },
  resyncedTables: { kind: 'work', about: 'shadow table pages brought back in sync' },
  resyncedEntries: {
    kind: 'work',
    about: 'shadow entries that differed when their page was brought back in sync',
  },
  // Hypercalls of paravirtual paging.
  updateHypercalls: { kind: 'hypercall', about: 'hypercalls that carried page-table updates, a batch each' },
  validatedEntries: { kind: 'work', about: 'entries that the hypervisor checked before they took effect' },
  pinHypercalls: { kind: 'hypercall', about: 'hypercalls that pinned or unpinned a table' },
  cr3Hypercalls: { kind: 'hypercall', about: 'hypercalls that loaded CR3' },
  flushHypercalls: { kind: 'hypercall', about: 'hypercalls that flushed translations' },
  faultBounces: {
    kind: 'hypercall',
    about: 'page faults that bounced through the hypervisor into the guest',
  },
  syscallBounces: {
    kind: 'hypercall',
    about: 'system calls that bounced through the hypervisor into the guest',
  },
} as const satisfies Record<string, { kind: LedgerKind; about: string }>;

/** A cause; {@link LEDGER} says what one event of it is. */
export type LedgerCause = keyof typeof LEDGER;

/** Causes that the ledger knows, in the order of results. */
export const LEDGER_CAUSES = Object.keys(LEDGER) as LedgerCause[];

/** Events by cause. */
export class Ledger {
  readonly events = Object.fromEntries(LEDGER_CAUSES.map((cause) => [cause, 0])) as Record<
    LedgerCause,
    number
  >;

  /** Counts events of a cause. */
  count(cause: LedgerCause, times = 1): void {
    this.events[cause] += times;
  }

  /** Forgets everything counted so far: what was done before a run is no part of it. */
  clear(): void {
    for (const cause of LEDGER_CAUSES) this.events[cause] = 0;
  }
}
