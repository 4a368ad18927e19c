/** What a run and a host need of a platform beyond what its guest kernel asks of it. */
import type { AddressSpace, PagingPlatform } from '../kernel/pagingPlatform.ts';
import type { HardwareContext, Processor } from '../memory/hardwareInterface.ts';

export type { AddressSpace, AddressSpaceOptions, PagingPlatform } from '../kernel/pagingPlatform.ts';

/** Where a guest may have pages, in 4 KiB frames of GPA space: data from frame 0 on, and the zone of its tables. */
export interface GuestFootprint {
  /** Frames from GPA 0 that may hold data. */
  dataFrames: number;
  /** Where its table pages lie: first frame, and how many. */
  guestZone: {
    /** First frame. */
    base: number;
    /** Frames. */
    frames: number;
  };
}

/** What the tables say of a page, whatever the hardware has cached: the guest's translation, then the platform's. */
export interface Translation {
  /** The guest's own frame, GPA >> 12. */
  gpaFrame: number;
  /** The host frame behind it, HPA >> 12; `undefined` where the hypervisor has put none there yet. */
  hpaFrame: number | undefined;
  /** Page-size index of a TLB entry for the page: the smaller of both dimensions. */
  sizeIndex: number;
  /** Whether a write is allowed. */
  writable: boolean;
}

/**
 * One way to run a guest kernel's paging: what keeps the tables true that the hardware walks. An object is one virtual
 * machine (natively: the machine) with as many virtual processors as are named to it; the first is number 0.
 */
export interface Platform extends PagingPlatform {
  /** The address space loaded on the virtual processor that the kernel runs on. */
  readonly current: AddressSpace | undefined;
  /** Tag of guest-physical mappings, and the part of every tag that is the virtual machine's. */
  readonly vm: number;
  /**
   * From now on this is what a virtual processor runs on: loads and invalidations go there. It is loaded with what the
   * virtual processor has loaded. Before, they are ignored: a processor that has run nothing has nothing cached.
   */
  attach(vcpu: number, processor: Processor): void;
  /** The core goes to this virtual processor from one of another virtual machine: a VM switch, and a VM entry. */
  enterCore(vcpu: number): void;
  /** The core leaves this virtual processor for one of another virtual machine: a VM exit. */
  leaveCore(vcpu: number): void;
  /** What the hardware is loaded with to run an address space. The object stays the same; what is in it may change. */
  contextOf(space: AddressSpace): HardwareContext;
  /**
   * What the tables of an address space say of a page; `undefined` where the guest maps nothing.
   * @param page GVA >> 12
   * @throws NestwalkError `table.corrupt`
   */
  translate(space: AddressSpace, page: number): Translation | undefined;
  /**
   * Puts real memory behind a guest that was mapped before the run: data, then tables, in ascending GPA. From then on
   * (and from the start when it is never called and the guest is mapped on demand) a table page is backed when allocated.
   * @param order GVA >> 12 of the guest's pages in the order in which they were mapped; default: ascending
   * @throws NestwalkError `memory.full`
   */
  backGuest(order?: Float64Array): void;
}

/** Stands for a processor before the first access: nothing is cached, so nothing is dropped. */
export const COLD_HARDWARE: Processor = { load() {}, invlpg() {}, flushTag() {}, invept() {}, flushAll() {} };
