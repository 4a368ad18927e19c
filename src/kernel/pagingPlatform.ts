/**
 * The seam between a guest kernel and what it runs on, after Linux's paravirt operations: the kernel performs all its
 * page-table work through it, and each virtualisation technique is one implementation (src/hypervisor).
 */
import type { Fault, Hardware } from '../memory/hardwareInterface.ts';
import type { PageTable } from '../memory/pageTable.ts';
import type { EntryRun, Zone } from '../memory/simulatedMemory.ts';

/** One address space of the guest. */
export interface AddressSpace {
  /** What the hardware tags its linear and combined mappings with. */
  readonly tag: number;
  /** The kernel's own table; its pages lie in guest memory, its entries are written by the platform. */
  readonly table: PageTable;
}

/** How a kernel's address space is to be built. */
export interface AddressSpaceOptions {
  tag: number;
  levels: number;
  /** Where the kernel takes its table pages from. */
  zone: Zone;
  /** Bits 0 to 11 of entries that point at a table page. */
  tableFlags: number;
}

/** What a guest kernel asks of its platform. */
export interface PagingPlatform {
  /** A new address space, with a root table page. */
  createAddressSpace(options: AddressSpaceOptions): AddressSpace;
  /** The kernel has taken a frame (GPA >> 12) for a table page of a level; no entry points at it yet. */
  onTablePage(frame: number, level: number): void;
  /** Every page-table write of the kernel: one entry, or consecutive ones of a table page. The run is reused. */
  setEntries(space: AddressSpace, run: EntryRun): void;
  /** INVLPG. @param page GVA >> 12 */
  flushPage(space: AddressSpace, page: number): void;
  /** All of an address space: a CR3 reload. */
  flushSpace(space: AddressSpace): void;
  /** Loads CR3. */
  switchTo(space: AddressSpace): void;
  /** Writes until {@link endBatch} may take effect together (Linux: lazy MMU mode). */
  beginBatch(): void;
  /** All writes since {@link beginBatch} have taken effect. */
  endBatch(): void;
  /**
   * The hardware stopped. `retry`: dealt with unseen by the guest; `deliver`: the guest kernel's own fault.
   * @param hardware what stopped, and what invalidations go to from now on
   */
  onFault(fault: Fault, hardware: Hardware): 'retry' | 'deliver';
}
