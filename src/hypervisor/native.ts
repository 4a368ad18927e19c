/**
 * No virtualisation: the hardware walks the kernel's own table, and the kernel's faults are its own. What every platform
 * does alike is here too: virtual processors, tags, and what the guest's own instructions do to a TLB.
 */
import { NestwalkError } from '../errors.ts';
import type { Fault, HardwareContext, Processor } from '../memory/hardwareInterface.ts';
import { PageTable } from '../memory/pageTable.ts';
import type { EntryRun, ZoneExtent } from '../memory/simulatedMemory.ts';
import type { Ledger } from './ledger.ts';
import {
  type AddressSpace,
  type AddressSpaceOptions,
  COLD_HARDWARE,
  type Platform,
  type Translation,
} from './platform.ts';
import { type Tagged, Tags } from './tags.ts';

/** Zone of a table that is not there. */
export const NO_ZONE: ZoneExtent = { base: 0, frames: 0, word: 0 };

/** What every platform is set up with. */
export interface PlatformOptions {
  /** Tags that the machine's TLBs keep apart, see `MachineConfig`. */
  tagged: Tagged;
  /** Where events are counted; several virtual machines may share one. */
  ledger: Ledger;
  /** Number of the virtual machine, from 0 to 65,535; no two on one machine have the same. Default 1. */
  vm?: number;
}

/** An address space as platforms keep it. */
export class GuestSpace implements AddressSpace {
  readonly tag: number;
  readonly table: PageTable;
  /** What the hardware is loaded with to run it; platforms that walk other tables change it. */
  readonly context: HardwareContext;
  /** Virtual processors that may have something cached of it, by number. */
  readonly seen: boolean[] = [];
  /** Whether the tag was the platform's choice, to be given back. */
  ownTag = false;

  constructor(tag: number, vm: number, table: PageTable) {
    this.tag = tag;
    this.table = table;
    this.context = {
      root: table.root,
      nestedRoot: 0,
      tag,
      vm,
      guestZone: table.zone.extent(),
      nestedZone: NO_ZONE,
    };
  }
}

/** A virtual processor: what it runs on, and what it has loaded. */
export class VirtualCpu {
  processor: Processor = COLD_HARDWARE;
  space: GuestSpace | undefined;
  /** Whether it is what its processor runs; not while another virtual machine has the core. */
  running = true;
  /** Tags that something may be cached for, on machines where exits or switches drop everything. */
  readonly tags: number[] = [];

  /** Loads the processor with the address space, if both are there. */
  load(): void {
    if (this.running && this.space !== undefined) this.processor.load(this.space.context);
  }
}

/** The platform `native`; also what the guest sees of platforms on which its paging is not trapped. */
export class NativePlatform implements Platform {
  readonly vm: number;
  /** Where events are counted. */
  protected readonly ledger: Ledger;
  protected readonly tagged: Tagged;
  /** Virtual processors named so far, by number. */
  protected readonly vcpus: VirtualCpu[] = [new VirtualCpu()];
  /** Number of the one that the kernel runs on. */
  protected vcpuNumber = 0;
  /** The one that the kernel runs on. */
  protected vcpu: VirtualCpu = this.vcpus[0];
  readonly #tags: Tags;
  readonly #pcid: boolean;
  /** Whether a platform may have to drop all that a virtual processor has cached. */
  readonly #tracksTags: boolean;

  constructor(options: PlatformOptions) {
    this.vm = options.vm ?? 1;
    this.ledger = options.ledger;
    this.tagged = options.tagged;
    this.#tags = new Tags(options.tagged, this.vm);
    this.#pcid = options.tagged.includes('pcid');
    this.#tracksTags = !this.#pcid || !options.tagged.includes('vpid');
  }

  get current(): AddressSpace | undefined {
    return this.vcpu.space;
  }

  attach(vcpu: number, processor: Processor): void {
    const cpu = this.vcpuAt(vcpu);
    cpu.processor = processor;
    cpu.load();
  }

  onVcpu(vcpu: number): void {
    this.vcpu = this.vcpuAt(vcpu);
    this.vcpuNumber = vcpu;
  }

  /** Loads what the virtual processor had: natively there is nothing else to a switch. */
  enterCore(vcpu: number): void {
    const cpu = this.vcpuAt(vcpu);
    cpu.running = true;
    cpu.load();
  }

  leaveCore(vcpu: number): void {
    this.vcpuAt(vcpu).running = false;
  }

  contextOf(space: AddressSpace): HardwareContext {
    return (space as GuestSpace).context;
  }

  translate(space: AddressSpace, page: number): Translation | undefined {
    const { table } = space;
    const found = table.lookup(page);
    if (!found.present) return undefined;
    const frame = table.translate(page)!;
    return { gpaFrame: frame, hpaFrame: frame, sizeIndex: found.level - 1, writable: found.writable };
  }

  createAddressSpace(options: AddressSpaceOptions): AddressSpace {
    const { levels, zone, tableFlags } = options;
    let space: GuestSpace | undefined;
    const table = new PageTable({
      levels,
      zone,
      tableFlags,
      onTablePage: (frame, level) => this.onTablePage(space, frame, level),
      onTableFree: (frame, level) => this.onTableFree(space!, frame, level),
      setEntries: (run) => this.setEntries(space!, run),
      guestFrame: (frame) => this.guestFrame(frame),
    });
    space = this.makeSpace(options.tag ?? this.#tags.take(), table);
    space.ownTag = options.tag === undefined;
    return space;
  }

  /** Nothing: clearing entries costs what writing them costs. */
  beforeTeardown(_space: AddressSpace): void {}

  destroyAddressSpace(space: AddressSpace): void {
    const { tag, table, seen, ownTag } = space as GuestSpace;
    table.freeRoot();
    // Of a shared tag nothing is left: leaving the address space flushed it.
    if (this.#keepsOnLoad(tag)) {
      for (let vcpu = 0; vcpu < seen.length; vcpu++) if (seen[vcpu]) this.vcpus[vcpu].processor.flushTag(tag);
    }
    if (ownTag) this.#tags.give(tag);
  }

  /** Nothing: the frame is real memory. */
  onTablePage(_space: AddressSpace | undefined, _frame: number, _level: number): void {}

  /** Nothing: the frame stays real memory. */
  onTableFree(_space: AddressSpace, _frame: number, _level: number): void {}

  setEntries(space: AddressSpace, run: EntryRun): void {
    this.ledger.count('tableWrites', run.count);
    space.table.zone.write(run);
  }

  guestFrame(frame: number): number {
    return frame;
  }

  flushPage(space: AddressSpace, page: number): void {
    this.ledger.count('invlpgs');
    this.vcpu.processor.invlpg(space.tag, page);
  }

  flushSpace(space: AddressSpace): void {
    this.ledger.count('cr3Writes');
    this.vcpu.processor.flushTag(space.tag);
  }

  shootdown(space: AddressSpace, pages: readonly number[] | 'all', vcpus: readonly number[]): void {
    const sender = this.vcpuNumber;
    for (const vcpu of vcpus) {
      this.onVcpu(vcpu);
      this.onShootdown(space, pages);
    }
    this.onVcpu(sender);
  }

  switchTo(space: AddressSpace): void {
    const { vcpu } = this;
    const next = space as GuestSpace;
    this.ledger.count('cr3Writes');
    const left = vcpu.space;
    vcpu.space = next;
    next.seen[this.vcpuNumber] = true;
    if (this.#tracksTags && !vcpu.tags.includes(next.tag)) vcpu.tags.push(next.tag);
    vcpu.load();
    if (left !== undefined && left.tag !== next.tag && !this.#keepsOnLoad(left.tag))
      vcpu.processor.flushTag(left.tag);
    if (!this.#keepsOnLoad(next.tag)) vcpu.processor.flushTag(next.tag);
  }

  onSyscall(): void {
    this.ledger.count('syscalls');
  }

  /** Nothing: writes take effect at once. */
  beginBatch(): void {}

  /** Nothing: writes took effect at once. */
  endBatch(): void {}

  /** Nothing: the memory is real. */
  backGuest(_order?: Float64Array): void {}

  onFault(fault: Fault): 'retry' | 'deliver' {
    if (fault.kind === 'guestFault') return 'deliver';
    throw new NestwalkError(
      'engine.failed',
      'the hardware reported a nested violation without a nested table',
    );
  }

  /** The address space of a table. Several may have one tag. */
  protected makeSpace(tag: number, table: PageTable): GuestSpace {
    return new GuestSpace(tag, this.vm, table);
  }

  /** An interrupt for a shootdown arrives on this virtual processor. */
  protected onShootdown(space: AddressSpace, pages: readonly number[] | 'all'): void {
    this.ledger.count('ipis');
    if (pages === 'all') this.flushSpace(space);
    else for (const page of pages) this.flushPage(space, page);
  }

  /** A virtual processor by its number, made at the first mention. */
  protected vcpuAt(vcpu: number): VirtualCpu {
    while (this.vcpus.length <= vcpu) this.vcpus.push(new VirtualCpu());
    return this.vcpus[vcpu];
  }

  /** Drops all that is cached for the guest on a virtual processor. */
  protected forget({ tags, processor, space }: VirtualCpu): void {
    for (const tag of tags) processor.flushTag(tag);
    tags.length = 0;
    if (space !== undefined) tags.push(space.tag);
  }

  /** Whether a CR3 write leaves the entries of a tag: only of one that no other address space has. */
  #keepsOnLoad(tag: number): boolean {
    return this.#pcid && tag !== this.#tags.shared;
  }
}
