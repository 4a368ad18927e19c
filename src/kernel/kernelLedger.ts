/** What a guest kernel counts itself; all else is counted by the platform that it runs on. */

/** A cause that the kernel counts; src/hypervisor/ledger.ts says what one event is. */
export type KernelCause =
  | 'guestFaults'
  | 'contextSwitches'
  | 'zeroedFrames'
  | 'copiedFrames'
  | 'pageOuts'
  | 'majorFaults';

/** Where a kernel counts. */
export interface KernelLedger {
  /** Counts events of a cause; default: one. */
  count(cause: KernelCause, times?: number): void;
}
