/** What the software did, counted by cause. */

/** Causes that the ledger knows, in the order of results. */
export const LEDGER_CAUSES = ['guestFaults', 'nestedViolations', 'tableBackings', 'tableViolations'] as const;
/**
 * A cause. `guestFaults`: page faults that the guest kernel handled. `nestedViolations`: violations reported by the
 * hardware and handled by the hypervisor. `tableBackings`: violations that the hypervisor took when the guest kernel
 * allocated a table page in a nested page not mapped yet (the hardware does not report these). `tableViolations`: those
 * of `nestedViolations` that were for a guest table page; the hardware never meets one, so this stays 0.
 */
export type LedgerCause = (typeof LEDGER_CAUSES)[number];

/** Events by cause. */
export class Ledger {
  readonly events: Record<LedgerCause, number> = {
    guestFaults: 0,
    nestedViolations: 0,
    tableBackings: 0,
    tableViolations: 0,
  };

  /** Counts one event. */
  count(cause: LedgerCause): void {
    this.events[cause]++;
  }
}
