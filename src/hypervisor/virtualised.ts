/** What platforms have in common on which the guest runs in a mode of its own, left by VM exits: nested and shadow. */
import { entryPages, type FrameSource } from '../memory/pageTable.ts';
import { NativePlatform, type PlatformOptions, type VirtualCpu } from './native.ts';
import type { AddressSpace, GuestFootprint } from './platform.ts';

/** What such a platform is set up with. Frames are of 4 KiB. */
export interface VirtualisedOptions extends PlatformOptions {
  /** Page-size index of host pages: nested pages, and what the hypervisor puts behind the guest at a time. */
  sizeIndex: number;
  /** Where host frames come from; several virtual machines may share one source. */
  frames: FrameSource;
  /** Where the guest may have pages. */
  footprint: GuestFootprint;
  /** Whether guest table pages are backed when allocated from the start (`demand`), or only after `backGuest`. */
  populate: 'prefault' | 'demand';
  /** Whether interrupts between virtual processors are delivered without a VM exit (posted interrupts, AVIC); default false. */
  postedInterrupts?: boolean;
}

/** A platform whose guest exits to a hypervisor, which has host memory to put behind the guest's. */
export abstract class VirtualisedPlatform extends NativePlatform {
  protected readonly footprint: GuestFootprint;
  protected readonly sizeIndex: number;
  protected readonly frames: FrameSource;
  /** 4 KiB frames of a host page. */
  protected readonly framesPerPage: number;
  readonly #vpid: boolean;
  readonly #postedInterrupts: boolean;
  #backing: boolean;

  constructor(options: VirtualisedOptions) {
    super(options);
    this.footprint = options.footprint;
    this.sizeIndex = options.sizeIndex;
    this.frames = options.frames;
    this.framesPerPage = entryPages(options.sizeIndex + 1);
    this.#vpid = options.tagged.includes('vpid');
    this.#postedInterrupts = options.postedInterrupts ?? false;
    this.#backing = options.populate === 'demand';
  }

  /** Backs a new guest table page at once, so that no access ever faults on one. */
  override onTablePage(_space: unknown, frame: number, _level: number): void {
    if (!this.#backing || this.isBacked(frame)) return;
    this.exit();
    this.ledger.count('tableBackings');
    this.back(frame, 1);
    this.enter();
  }

  override backGuest(_order?: Float64Array): void {
    const { dataFrames, guestZone } = this.footprint;
    this.back(0, dataFrames);
    this.back(guestZone.base, guestZone.frames);
    this.#backing = true;
  }

  override enterCore(vcpu: number): void {
    this.ledger.count('vmSwitches');
    this.enter(this.vcpuAt(vcpu));
    super.enterCore(vcpu);
  }

  override leaveCore(vcpu: number): void {
    super.leaveCore(vcpu);
    this.exit(this.vcpuAt(vcpu));
  }

  /** Puts host pages behind `count` guest frames that have none yet. */
  protected abstract back(gpaFrame: number, count: number): void;

  /** Whether a guest frame has a host page behind it. */
  protected abstract isBacked(gpaFrame: number): boolean;

  /** A VM exit of a virtual processor: without VPIDs the hardware keeps nothing of the guest (Intel SDM vol. 3C 28.3.3.1). */
  protected exit(vcpu: VirtualCpu = this.vcpu): void {
    if (!this.#vpid) this.forget(vcpu);
  }

  /** A VM entry, likewise. */
  protected enter(vcpu: VirtualCpu = this.vcpu): void {
    this.exit(vcpu);
  }

  protected override onShootdown(space: AddressSpace, pages: readonly number[] | 'all'): void {
    if (!this.#postedInterrupts) {
      this.exit();
      this.ledger.count('ipiExits');
      this.enter();
    }
    super.onShootdown(space, pages);
  }
}
