/**
 * The guest kernel: processes with regions of memory, demand paging in small and huge pages, fork with copy-on-write, system
 * calls, several virtual processors. It knows guest-physical frames only; every table write goes through its platform, which
 * makes the same kernel run natively and on any kind of virtual machine. Deterministic: what it does follows from what it was
 * asked, in that order. Where there was a choice it does as Linux does; each method says what it writes and flushes.
 */
import { tableFlags } from '../memory/entry.ts';
import type { FrameAllocator } from '../memory/frameAllocator.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import { entryPages, type FrameSource, newStretch, stretchEnd } from '../memory/pageTable.ts';
import type { Zone } from '../memory/simulatedMemory.ts';
import { ENTRY } from '../schema.ts';
import { checkOptions, checkRoom, checkSpan } from './checks.ts';
import { Faults } from './faults.ts';
import { Forker } from './forking.ts';
import { GuestMemory } from './guestMemory.ts';
import { Collapser, splitAll, splitAt } from './hugePages.ts';
import type { KernelLedger } from './kernelLedger.ts';
import type { AddressSpace, PagingPlatform } from './pagingPlatform.ts';
import { HUGE_PAGES, type HugePagePolicy, type KernelParts, unexpected } from './parts.ts';
import { OwnProcess, type Process } from './process.ts';
import { Processors } from './processors.ts';
import { checkedRegion, type PageSpan, type RegionOptions, SharedMemory, spanText, usage } from './region.ts';
import { type OwnRegion, regionLike, spanEnd } from './regions.ts';
import { Unmapper } from './unmapping.ts';

export type { KernelCause, KernelLedger } from './kernelLedger.ts';
export type { HugePagePolicy } from './parts.ts';

/** What a kernel is started with. */
export interface GuestKernelOptions {
  /** What it runs on. */
  platform: PagingPlatform;
  /** Where its table pages come from. */
  zone: Zone;
  /**
   * Its data frames. With a source that is no allocator frames are given out once: what shares them or gives them back
   * (fork, exec, exit, munmap, page-out, huge pages) is refused.
   */
  frames: FrameAllocator | FrameSource;
  /** Levels of its tables. Default 4. */
  levels?: number;
  /** Tag that all address spaces have. Default: the platform chooses. */
  tag?: number;
  /** Where it counts its share of events. Default: nowhere. */
  ledger?: KernelLedger;
  /** A and D of entries that it writes, unless for a write, which sets both. Default: clear. */
  ad?: 'set' | 'clear';
  /** Virtual processors. Default 1. */
  vcpus?: number;
  /**
   * Whether the machine has PCIDs: a load of CR3 leaves what is cached, so that a process that comes back to a virtual
   * processor has to flush what went stale meanwhile. Default: true.
   */
  pcid?: boolean;
  /**
   * Kernel page-table isolation: each entry of the kernel from user mode and each return loads CR3. Default: false. (The
   * kernel's half of the address space is not simulated: both loads are of the process's one table.)
   */
  kpti?: boolean;
  /** When private memory gets huge pages. Default: never. */
  hugePages?: HugePagePolicy;
}

/** Advice for {@link GuestKernel.madvise}. */
export type Advice = 'hugePages' | 'noHugePages' | 'dontNeed';

/** Number of all regions that mmap makes where frames come from an allocator, so that neighbours become one. */
const ANONYMOUS = -1;

/** A guest kernel. */
export class GuestKernel {
  readonly #parts: KernelParts;
  readonly #zone: Zone;
  readonly #levels: number;
  readonly #tag: number | undefined;
  readonly #processes = new Set<OwnProcess>();
  readonly #faults: Faults;
  readonly #unmapper: Unmapper;
  readonly #forker: Forker;
  readonly #collapser: Collapser;
  /** The kernel's own address space, for virtual processors without a process (Linux: init_mm). */
  readonly #idleSpace: AddressSpace | undefined;
  readonly #stretch = newStretch();
  #made = 0;

  /**
   * @throws NestwalkError `memory.full` when there is no table page for its own address space, which it has when processes
   *   can exit; `usage` for options that cannot be
   */
  constructor(options: GuestKernelOptions) {
    const { platform, zone, ledger = { count() {} }, vcpus = 1, pcid = true, kpti = false } = options;
    const { levels = 4, hugePages = 'never' } = options;
    checkOptions({ levels, hugePages });
    this.#zone = zone;
    this.#levels = levels;
    this.#tag = options.tag;
    this.#parts = {
      platform,
      ledger,
      memory: new GuestMemory(options.frames),
      processors: new Processors({ platform, ledger, vcpus, pcid, kpti }),
      ad: options.ad ?? 'clear',
      hugePages,
    };
    this.#faults = new Faults(this.#parts);
    this.#unmapper = new Unmapper(this.#parts);
    this.#forker = new Forker(this.#parts);
    this.#collapser = new Collapser(this.#parts);
    this.#idleSpace = this.#parts.memory.returnable ? this.#createSpace() : undefined;
  }

  /** Processes that have not exited, in the order of making. */
  get processes(): readonly Process[] {
    return [...this.#processes];
  }

  /** Virtual processors. */
  get vcpus(): number {
    return this.#parts.processors.count;
  }

  /** Number of the virtual processor that the kernel runs on now. */
  get vcpu(): number {
    return this.#parts.processors.chosen;
  }

  /**
   * The address space loaded there.
   * @throws NestwalkError `usage` before anything is
   */
  get space(): AddressSpace {
    const { space } = this.#parts.processors;
    if (space === undefined)
      throw usage(`virtual processor ${this.vcpu} has nothing loaded; switchTo(vcpu, process) first`);
    return space;
  }

  /**
   * The process on a virtual processor; `undefined` when there is none, or it has exited.
   * @param vcpu default: where the kernel runs
   */
  running(vcpu = this.vcpu): Process | undefined {
    return this.#parts.processors.running(vcpu);
  }

  // Setting up: no system call is counted.

  /**
   * Makes a process that is not loaded anywhere yet, with regions as an executable's.
   * @param options `regions`: without places of their own they lie one behind the other, and in that order in
   *   {@link Process.regions}; their order numbers them for a `FrameSource`. `name`: for messages
   * @throws NestwalkError `memory.full` when there is no table page for its root; `usage` for regions that cannot be
   */
  createProcess(options: { name?: string; regions?: readonly RegionOptions[] } = {}): Process {
    const process = this.#newProcess(options.name);
    try {
      this.#addRegions(process, options.regions ?? []);
    } catch (error) {
      this.#discard(process);
      throw error;
    }
    return process;
  }

  /**
   * Maps what is not mapped of a span, in ascending order, as accesses would make it: afterwards accesses of that kind do
   * not fault. No faults are counted. Batches: one for each table page on which nothing was mapped before (Linux:
   * MAP_POPULATE).
   * @param span default: all regions; gaps between them are left out
   * @param access default: read
   * @throws NestwalkError `memory.full`, `process.segfault` for writes to a read-only region; what was done before stays
   */
  populate(process: Process, span?: PageSpan, access: 'read' | 'write' = 'read'): void {
    const own = this.#own(process);
    this.#flushing(own, () => this.#faults.populate(own, span, access));
  }

  /**
   * Maps the page of each address listed, in that order, unless it is mapped already.
   * @param pages GVA >> 12
   * @throws NestwalkError as {@link populate}
   */
  populatePages(process: Process, pages: Float64Array): void {
    this.#faults.populatePages(this.#own(process), pages);
  }

  // Virtual processors.

  /**
   * The kernel runs on this virtual processor from now on: for the accesses made there, and for system calls.
   * @throws NestwalkError `usage` when there is no such one
   */
  onVcpu(vcpu: number): void {
    this.#parts.processors.choose(vcpu);
  }

  /**
   * Context switch: a virtual processor goes to a process, and the kernel runs there from then on. Nothing happens when it
   * runs it already. A process may be on several, as threads are. From user mode this is an interrupt; within
   * {@link syscall} the process that is left waits. One CR3 load, two more with KPTI from user mode; then a flush if
   * translations of the process were taken away since it was here last.
   * @throws NestwalkError `usage` when there is no such virtual processor, or the process has exited
   */
  switchTo(vcpu: number, process: Process): void {
    const own = this.#own(process);
    this.#parts.processors.switchTo(vcpu, own, own.space);
  }

  /**
   * A virtual processor leaves its process for nothing: the kernel's own address space, which has no pages.
   * @throws NestwalkError `usage` when there is no such virtual processor
   */
  idle(vcpu: number): void {
    this.#parts.memory.needReturns('idle');
    this.#parts.processors.switchTo(vcpu, undefined, this.#idleSpace!);
  }

  // System calls. Each counts one, on a virtual processor that runs the process: the one that the kernel runs on, else the
  // lowest; with KPTI two CR3 loads.

  /**
   * A system call of any other kind.
   * @param work what the kernel does in it; a context switch there is a call that waits
   * @returns what `work` returns
   * @throws NestwalkError `usage` when the process runs nowhere, and what `work` throws
   */
  syscall<T>(process: Process, work?: () => T): T | undefined {
    return this.#called(this.#own(process), 'a system call', () => work?.());
  }

  /**
   * Makes a region. Nothing is mapped before it is touched.
   * @returns its span, for the other calls
   * @throws NestwalkError `usage` for a region that cannot be, or lies over another
   */
  mmap(process: Process, options: RegionOptions): PageSpan {
    const own = this.#own(process);
    return this.#called(own, 'mmap', () => {
      const number = this.#parts.memory.returnable ? ANONYMOUS : own.regionsMade++;
      return this.#addRegion(own, options, this.#lowest, number);
    });
  }

  /**
   * Takes away what a span has of regions, with all that is mapped there. Entries are cleared in one batch for each table
   * page; table pages that no region needs any more go back, one write each; huge pages that reach out of the span are split.
   * Up to 33 pages are flushed one by one, more as a whole.
   * @throws NestwalkError `usage` for a span without a region, or that cuts a page of a region of large ones
   */
  munmap(process: Process, span: PageSpan): void {
    const own = this.#own(process);
    this.#parts.memory.needReturns('munmap');
    this.#called(own, 'munmap', () => {
      checkSpan(own, span, 'munmap', 'any');
      this.#cut(own, span);
      this.#unmapper.unmap(own, span);
    });
  }

  /**
   * Changes whether a span may be written. To read-only: each writable entry is written, in one batch for each table page,
   * and flushed as {@link munmap} does. To writable: nothing but the region changes, and the first write of each page faults.
   * @throws NestwalkError `usage` when not all of the span lies in regions, or it cuts a page of a region of large ones
   */
  mprotect(process: Process, span: PageSpan, options: { writable: boolean }): void {
    const own = this.#own(process);
    this.#called(own, 'mprotect', () => {
      this.#change(own, span, 'mprotect', (region) => {
        if (region.writable && !options.writable) this.#protect(own, region);
        region.writable = options.writable;
      });
    });
  }

  /**
   * Advice for a span. `hugePages`, `noHugePages`: what the policy `madvise` asks, for pages mapped from now on. `dontNeed`:
   * its contents go, as by {@link munmap}, but regions and table pages stay; the next touch finds zeros.
   * @throws NestwalkError `usage` as {@link mprotect}; for advice on huge pages in regions of large pages
   */
  madvise(process: Process, span: PageSpan, advice: Advice): void {
    const own = this.#own(process);
    this.#called(own, 'madvise', () => {
      if (advice === 'dontNeed') {
        this.#parts.memory.needReturns('madvise dontNeed');
        checkSpan(own, span, 'madvise', 'all');
        this.#unmapper.clear(own, span);
        return;
      }
      const large = own.layout.within(span).find((region) => region.sizeIndex > 0);
      if (large !== undefined)
        throw usage(
          `madvise ${advice} of ${own}: the region ${spanText(large)} is of one size of large pages`,
        );
      this.#change(own, span, 'madvise', (region) => {
        region.hugePages = advice === 'hugePages';
      });
    });
  }

  /**
   * Makes a copy of a process, whose memory is copied when either writes it. For each page mapped in memory that is not
   * shared: one write in the child's table, and one in the parent's to make a writable entry read-only; in batches, one for
   * each table page. Then the parent is flushed as a whole.
   * @param options `name` of the child; default: the parent's
   * @returns the child, which is not loaded anywhere yet
   * @throws NestwalkError `usage` when the parent runs nowhere; `memory.full` without table pages, and nothing is made
   */
  fork(parent: Process, options: { name?: string } = {}): Process {
    const own = this.#own(parent);
    this.#parts.memory.needReturns('fork');
    return this.#called(own, 'fork', () => {
      const child = this.#newProcess(options.name ?? own.name);
      try {
        this.#forker.copy(own, child);
      } catch (error) {
        this.#parts.processors.flush(own);
        this.#discard(child);
        throw error;
      }
      return child;
    });
  }

  /**
   * Gives a process another program: a new address space with regions as an executable's; the old one goes as by
   * {@link exit}.
   * @param options `regions` as of {@link createProcess}; `name`, default: as it was
   * @throws NestwalkError `usage` when the process does not run on exactly one virtual processor, or for regions that cannot
   *   be, and `memory.full` without a table page: it then stays as it was
   */
  exec(process: Process, options: { name?: string; regions?: readonly RegionOptions[] } = {}): void {
    const own = this.#own(process);
    const { memory, processors } = this.#parts;
    memory.needReturns('exec');
    this.#called(own, 'exec', () => {
      if (processors.loadedOn(own) > 1)
        throw usage(`${own} runs on several virtual processors; exec wants it on one only`);
      const next = new OwnProcess(this, own.id, options.name ?? own.name, this.#createSpace());
      try {
        this.#addRegions(next, options.regions ?? []);
        own.become(next);
        processors.reload(own.space);
      } finally {
        // What is in `next` now, the old address space or one that came to nothing, has no more use.
        this.#discard(next);
      }
    });
  }

  /**
   * Ends a process: all its memory goes back, then all its table pages but the root, which stays loaded until each virtual
   * processor goes elsewhere (Linux: lazy mm); then that goes too. Entries are cleared as by {@link munmap}, and flushed as
   * a whole. A process that runs nowhere is ended without a system call.
   * @throws NestwalkError `usage` when it has exited already
   */
  exit(process: Process): void {
    const own = this.#own(process);
    const { processors, platform, memory } = this.#parts;
    memory.needReturns('exit');
    if (processors.loadedOn(own) > 0) {
      processors.chooseFor(own, 'exit');
      platform.onSyscall();
      processors.enter();
    }
    this.#discard(own);
  }

  // Faults.

  /**
   * Handles a page fault that the platform left to the guest, of the process on the virtual processor that the kernel runs
   * on; the hardware then retries the access. As in Linux an entry made for a write is accessed and dirty at once. A first
   * touch is one write, and one for each table page that it takes. A write to a page shared since fork: one write, and if it
   * is shared still a copy and a flush of the page.
   * @throws NestwalkError `process.segfault` outside the regions or for a write to a read-only one; `memory.full`;
   *   `engine.failed` for a fault that this kernel cannot have caused
   */
  onFault(fault: Fault): void {
    const { processors, ledger } = this.#parts;
    const process = processors.running(processors.chosen);
    if (process === undefined)
      throw unexpected(`a ${fault.access} faulted on virtual processor ${this.vcpu}, which runs no process`);
    ledger.count('guestFaults');
    processors.enter();
    try {
      this.#faults.handle(process, fault.page, fault.access);
    } finally {
      processors.flush(process);
      processors.leave();
    }
  }

  // The kernel's own housekeeping: no system call.

  /**
   * Makes huge pages of 2 MiB of small ones (Linux: khugepaged, MADV_COLLAPSE), whatever the policy, where private memory of
   * a region holds them whole, anything of them is mapped and nothing on the disk, while there are huge frames. All that is
   * there is copied. Two writes each: the link to the table page is cleared, which goes back, and the leaf is written; then a
   * flush of what was mapped.
   * @param span default: all regions
   * @returns huge pages made
   */
  collapse(process: Process, span?: PageSpan): number {
    const own = this.#own(process);
    this.#parts.memory.needReturns('collapse');
    return this.#flushing(own, () => this.#collapser.collapse(own, span));
  }

  /**
   * Splits the huge pages that a span touches. Each: a table page is taken, its 512 entries written, then the link; a flush.
   * @param span default: all regions
   * @returns huge pages split
   * @throws NestwalkError `memory.full` without a table page; what was split before stays so
   */
  split(process: Process, span?: PageSpan): number {
    const own = this.#own(process);
    return this.#flushing(own, () => splitAll(this.#parts, own, span));
  }

  /**
   * Writes the pages that a span has mapped to the guest's disk: one entry write each, in one batch for each table page; huge
   * pages are split first. The next touch is a fault that reads it back. Shared memory and regions of large pages stay.
   * @param span default: all regions
   * @returns pages of 4 KiB written
   * @throws NestwalkError `memory.full` without a table page for a split
   */
  pageOut(process: Process, span?: PageSpan): number {
    const own = this.#own(process);
    this.#parts.memory.needReturns('pageOut');
    return this.#flushing(own, () => this.#unmapper.pageOut(own, span));
  }

  /** A process as the kernel keeps it. */
  #own(process: Process): OwnProcess {
    if (!(process instanceof OwnProcess) || process.kernel !== this)
      throw usage(`${String(process)} is no process of this kernel`);
    if (!process.alive) throw usage(`${process} has exited`);
    return process;
  }

  #createSpace(): AddressSpace {
    const { platform, ad } = this.#parts;
    return platform.createAddressSpace({
      tag: this.#tag,
      levels: this.#levels,
      zone: this.#zone,
      tableFlags: tableFlags(ad),
    });
  }

  #newProcess(name?: string): OwnProcess {
    const space = this.#createSpace();
    const id = ++this.#made;
    const process = new OwnProcess(this, id, name ?? 'unnamed', space);
    this.#processes.add(process);
    return process;
  }

  /** Takes all that a process has away. */
  #discard(process: OwnProcess): void {
    const { processors } = this.#parts;
    this.#unmapper.teardown(process);
    processors.flush(process);
    process.alive = false;
    this.#processes.delete(process);
    processors.strand(process);
  }

  /** A system call of a process: what it took away is flushed at the end. */
  #called<T>(process: OwnProcess, what: string, work: () => T): T {
    const { processors, platform } = this.#parts;
    processors.chooseFor(process, what);
    const vcpu = processors.chosen;
    platform.onSyscall();
    processors.enter();
    try {
      return this.#flushing(process, work);
    } finally {
      processors.choose(vcpu);
      processors.leave();
    }
  }

  #flushing<T>(process: OwnProcess, work: () => T): T {
    try {
      return work();
    } finally {
      this.#parts.processors.flush(process);
    }
  }

  /** Regions of an executable: those without a place lie one behind the other, and none is joined with another. */
  #addRegions(process: OwnProcess, regions: readonly RegionOptions[]): void {
    let behind = this.#lowest;
    regions.forEach((options, number) => {
      behind = spanEnd(this.#addRegion(process, options, behind, number));
    });
    process.regionsMade = regions.length;
  }

  #addRegion(process: OwnProcess, options: RegionOptions, from: number, number: number): PageSpan {
    const { pages, page, shared, sizeIndex, writable, hugePages } = checkedRegion(options, process);
    const unit = Math.max(entryPages(sizeIndex + 1), pages >= HUGE_PAGES ? HUGE_PAGES : 1);
    const span = { page: page ?? process.layout.room(from, pages, unit), pages };
    checkRoom(process, span, this.#levels);
    const shown = shared === true ? new SharedMemory(pages) : shared === false ? undefined : shared;
    const like = { writable, shared: shown, sharedPage: 0, sizeIndex, hugePages, number };
    process.layout.add(regionLike(like, span.page, pages, 0));
    return span;
  }

  /** Page from which on regions get their places. */
  get #lowest(): number {
    return this.#levels >= 4 ? 2 ** 28 : this.#levels === 3 ? 2 ** 18 : 0;
  }

  /** Makes a span begin and end where regions do; huge pages there are split. */
  #cut(process: OwnProcess, span: PageSpan): void {
    for (const page of [span.page, spanEnd(span)]) {
      splitAt(this.#parts, process, page);
      process.layout.cut(page);
    }
  }

  /** Changes all regions of a span, which lies in regions as a whole. */
  #change(process: OwnProcess, span: PageSpan, what: string, change: (region: OwnRegion) => void): void {
    checkSpan(process, span, what, 'all');
    this.#cut(process, span);
    for (const region of process.layout.within(span)) change(region);
    process.layout.join(span);
  }

  /** Makes what a region maps read-only. */
  #protect(process: OwnProcess, region: PageSpan): void {
    const { platform, processors } = this.#parts;
    const { table } = process.space;
    const stretch = this.#stretch;
    for (
      let page = region.page;
      table.nextStretch(page, spanEnd(region), stretch);
      page = stretchEnd(stretch)
    ) {
      platform.beginBatch();
      table.updateStretch(stretch, ENTRY.writable, 0, processors.gone.note);
      platform.endBatch();
    }
  }
}
