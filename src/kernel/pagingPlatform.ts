/**
 * The seam between a guest kernel and what it runs on, after Linux's paravirt operations: the kernel performs all its
 * page-table work through it, and each virtualisation technique is one implementation (src/hypervisor).
 */
import type { Fault } from '../memory/hardwareInterface.ts';
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
  /** See {@link AddressSpace.tag}; default: the platform finds one, of its own where the machine has PCIDs. */
  tag?: number;
  /** Levels of its table. */
  levels: number;
  /** Where the kernel takes its table pages from. */
  zone: Zone;
  /** Bits 0 to 11 of entries that point at a table page. */
  tableFlags: number;
}

/**
 * What a guest kernel asks of its platform. Operations that act on a processor act on the one chosen with
 * {@link PagingPlatform.onVcpu}: the virtual processor that the kernel runs on at that moment.
 */
export interface PagingPlatform {
  /** A new address space, with a root table page. It is not loaded. */
  createAddressSpace(options: AddressSpaceOptions): AddressSpace;
  /**
   * The kernel is about to take an address space apart: it will clear its entries and give its table pages back, all but
   * the root, which a processor may still have loaded (Linux: arch_exit_mmap; Xen's guests unpin here, so that taking a
   * tree apart costs no hypercalls).
   */
  beforeTeardown(space: AddressSpace): void;
  /**
   * Ends an address space that no processor has loaded and whose entries the kernel has cleared: its root goes back to
   * its zone, and nothing is cached of it any more on any virtual processor.
   */
  destroyAddressSpace(space: AddressSpace): void;
  /** The kernel has taken a frame (GPA >> 12) for a table page of a level; no entry points at it yet (Linux: alloc_pte). */
  onTablePage(space: AddressSpace | undefined, frame: number, level: number): void;
  /** The kernel gives a table page back; no entry points at it any more (Linux: release_pte). */
  onTableFree(space: AddressSpace, frame: number, level: number): void;
  /** Every page-table write of the kernel: one entry, or consecutive ones of a table page. The run is reused. */
  setEntries(space: AddressSpace, run: EntryRun): void;
  /**
   * The guest's own number of a frame that stands in an entry (Linux: pte_pfn). The same number, except where the
   * guest's tables hold host frames.
   */
  guestFrame(frame: number): number;
  /** From now on the kernel runs on this virtual processor, counted from 0. */
  onVcpu(vcpu: number): void;
  /** INVLPG on this virtual processor. @param page GVA >> 12 */
  flushPage(space: AddressSpace, page: number): void;
  /** All of an address space on this virtual processor: a CR3 reload. */
  flushSpace(space: AddressSpace): void;
  /**
   * Drops translations on other virtual processors, which have the address space loaded: a shootdown.
   * @param pages GVA >> 12 of each page, or everything; the list is reused
   * @param vcpus the others; without any nothing happens; the list is reused
   */
  shootdown(space: AddressSpace, pages: readonly number[] | 'all', vcpus: readonly number[]): void;
  /** Loads CR3 on this virtual processor. */
  switchTo(space: AddressSpace): void;
  /** The kernel is entered by a system call (not by a fault). */
  onSyscall(): void;
  /** Writes until {@link endBatch} may take effect together (Linux: lazy MMU mode). Batches do not nest. */
  beginBatch(): void;
  /** All writes since {@link beginBatch} have taken effect. */
  endBatch(): void;
  /** The hardware stopped on this virtual processor. `retry`: dealt with unseen by the guest; `deliver`: the guest kernel's own fault. */
  onFault(fault: Fault): 'retry' | 'deliver';
}
