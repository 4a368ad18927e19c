/**
 * Paravirtual paging as Xen's direct paging (Linux arch/x86/xen/mmu_pv.c): the guest's own tables hold host frames and
 * are what the hardware walks. The guest may only read them; it asks the hypervisor for every change by hypercall.
 */
import { NestwalkError } from '../errors.ts';
import { entryLeaf, entryPresent } from '../memory/entry.ts';
import { newRun } from '../memory/entryWriter.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import { entryPages, type FrameSource, type PageTable } from '../memory/pageTable.ts';
import type { EntryRun, Zone } from '../memory/simulatedMemory.ts';
import { ENTRIES_PER_TABLE, ENTRY, PAGE_SIZES } from '../schema.ts';
import { Backing } from './backing.ts';
import { GuestSpace, NativePlatform, type PlatformOptions } from './native.ts';
import type { AddressSpace, Translation } from './platform.ts';

/** What paravirtual paging is set up with. */
export interface ParavirtPlatformOptions extends PlatformOptions {
  /** Page-size index of host pages: at least that of the largest page that the guest maps. */
  sizeIndex: number;
  /** Where host frames come from; several virtual machines may share one source. */
  frames: FrameSource;
  /** Data frames of the guest, from GPA 0; all have host memory behind them from the start. */
  dataFrames: number;
  /** Updates that one hypercall carries at most; default 32 (Linux, MC_BATCH). */
  batch?: number;
}

/** Updates that Linux puts into one hypercall (arch/x86/xen/multicalls.c, MC_BATCH). */
const DEFAULT_BATCH = 32;
/** Guest pages in a piece of the map from host to guest frames. */
const PIECE = 512;

/** An address space, pinned once the hypervisor has checked all of its table pages. */
class ParavirtSpace extends GuestSpace {
  pinned = false;
  /** Entries of its table pages that are present. */
  presentEntries = 0;
}

/** The platform `paravirt`. */
export class ParavirtPlatform extends NativePlatform {
  readonly #backing: Backing;
  /** Guest page (in host pages) behind each host page, + 1, by pieces of host pages: Xen's m2p. */
  readonly #guestPages: (Uint32Array | undefined)[] = [];
  readonly #batch: number;
  readonly #pcid: boolean;
  readonly #hostRun: EntryRun = newRun(ENTRIES_PER_TABLE);
  #batching = false;
  /** Updates of the batch section that no hypercall has carried yet. */
  #waiting = 0;

  /** @throws NestwalkError `memory.full` when there is not so much host memory */
  constructor(options: ParavirtPlatformOptions) {
    super(options);
    this.#batch = options.batch ?? DEFAULT_BATCH;
    this.#pcid = options.tagged.includes('pcid');
    const { dataFrames, frames, sizeIndex } = options;
    this.#backing = new Backing({
      frames,
      sizeIndex,
      footprint: { dataFrames, guestZone: { base: dataFrames, frames: 0 } },
    });
    this.#backing.back(0, dataFrames, (gpaFrame, hostFrame) => this.#noteGuest(gpaFrame, hostFrame));
  }

  override guestFrame(frame: number): number {
    const { framesPerPage } = this.#backing;
    const page = Math.floor(frame / framesPerPage);
    const held = this.#guestPages[Math.floor(page / PIECE)]?.[page % PIECE] ?? 0;
    if (held === 0) {
      throw new NestwalkError(
        'table.corrupt',
        `an entry of the guest holds host frame 0x${frame.toString(16)}, which is not the guest's`,
      );
    }
    return (held - 1) * framesPerPage + (frame % framesPerPage);
  }

  override translate(space: AddressSpace, page: number): Translation | undefined {
    const found = super.translate(space, page);
    if (found === undefined) return undefined;
    return { ...found, hpaFrame: this.#backing.hostFrame(found.gpaFrame) };
  }

  override onTablePage(space: AddressSpace | undefined, _frame: number, _level: number): void {
    if (space !== undefined && (space as ParavirtSpace).pinned) this.ledger.count('pinHypercalls');
  }

  override onTableFree(space: AddressSpace, frame: number, _level: number): void {
    const own = space as ParavirtSpace;
    if (own.pinned) this.ledger.count('pinHypercalls');
    own.presentEntries -= presentIn(own.table.zone, frame, 0, ENTRIES_PER_TABLE);
  }

  /** Unpins, so that the guest may clear its table by itself (Linux: xen_exit_mmap). */
  override beforeTeardown(space: AddressSpace): void {
    const own = space as ParavirtSpace;
    if (!own.pinned) return;
    own.pinned = false;
    this.ledger.count('pinHypercalls');
  }

  override destroyAddressSpace(space: AddressSpace): void {
    this.beforeTeardown(space);
    super.destroyAddressSpace(space);
  }

  override setEntries(space: AddressSpace, run: EntryRun): void {
    const own = space as ParavirtSpace;
    if (own.pinned) this.#update(run.count);
    const before = presentIn(own.table.zone, run.table, run.index, run.count);
    own.presentEntries += (entryPresent(run.flags) ? run.count : 0) - before;
    super.setEntries(space, this.#asHost(run));
  }

  override flushPage(space: AddressSpace, page: number): void {
    this.ledger.count('flushHypercalls');
    super.flushPage(space, page);
  }

  override flushSpace(space: AddressSpace): void {
    this.ledger.count('flushHypercalls');
    super.flushSpace(space);
  }

  override shootdown(space: AddressSpace, pages: readonly number[] | 'all', vcpus: readonly number[]): void {
    if (vcpus.length > 0) this.ledger.count('flushHypercalls');
    super.shootdown(space, pages, vcpus);
  }

  override switchTo(space: AddressSpace): void {
    const own = space as ParavirtSpace;
    if (!own.pinned) {
      own.pinned = true;
      this.ledger.count('pinHypercalls');
      this.ledger.count('validatedEntries', own.presentEntries);
    }
    this.ledger.count('cr3Hypercalls');
    super.switchTo(space);
  }

  override onSyscall(): void {
    super.onSyscall();
    this.ledger.count('syscallBounces');
  }

  override beginBatch(): void {
    this.#batching = true;
  }

  override endBatch(): void {
    this.#batching = false;
    if (this.#waiting > 0) this.ledger.count('updateHypercalls');
    this.#waiting = 0;
  }

  override onFault(fault: Fault): 'retry' | 'deliver' {
    const answer = super.onFault(fault);
    this.ledger.count('faultBounces');
    return answer;
  }

  /** A domain switch loads CR3, and only PCIDs tell one domain's entries from another's: it runs without VPID. */
  override enterCore(vcpu: number): void {
    this.ledger.count('vmSwitches');
    if (!this.#pcid) this.forget(this.vcpuAt(vcpu));
    super.enterCore(vcpu);
  }

  override leaveCore(vcpu: number): void {
    super.leaveCore(vcpu);
    if (!this.#pcid) this.forget(this.vcpuAt(vcpu));
  }

  protected override makeSpace(tag: number, table: PageTable): GuestSpace {
    return new ParavirtSpace(tag, this.vm, table);
  }

  /** The hypervisor itself sends the interrupts and flushes on the other side: one hypercall has asked for all. */
  protected override onShootdown(space: AddressSpace, pages: readonly number[] | 'all'): void {
    this.ledger.count('ipis');
    if (pages === 'all') super.flushSpace(space);
    else for (const page of pages) super.flushPage(space, page);
  }

  /** Hypercalls for updates of a pinned table: full ones at once, what is left over at the end of the batch section. */
  #update(entries: number): void {
    this.ledger.count('validatedEntries', entries);
    if (!this.#batching) {
      this.ledger.count('updateHypercalls', entries);
      return;
    }
    this.#waiting += entries;
    const full = Math.floor(this.#waiting / this.#batch);
    this.ledger.count('updateHypercalls', full);
    this.#waiting -= full * this.#batch;
  }

  /** The same run with host frames in leaves. Table pages are host frames as they are. */
  #asHost(run: EntryRun): EntryRun {
    if (!entryPresent(run.flags) || !entryLeaf(run.flags, run.level)) return run;
    const { framesPerPage } = this.#backing;
    if (entryPages(run.level) > framesPerPage) {
      throw new NestwalkError(
        'usage',
        `a paravirtual guest maps a page of ${PAGE_SIZES[run.level - 1]}, larger than its host pages, which need not lie in a row; ` +
          'give it host pages of that size (in the `setup` of a scenario: `largestPage`)',
      );
    }
    const own = this.#hostRun;
    own.table = run.table;
    own.level = run.level;
    own.index = run.index;
    own.page = run.page;
    own.count = run.count;
    own.flags = run.flags;
    for (let k = 0; k < run.count; k++) {
      const frame = this.#backing.hostFrame(run.frames[k]);
      if (frame < 0) {
        throw new NestwalkError(
          'table.corrupt',
          `the guest maps GPA 0x${run.frames[k].toString(16)}000, which is no memory of the guest`,
        );
      }
      own.frames[k] = frame;
    }
    return own;
  }

  #noteGuest(gpaFrame: number, hostFrame: number): void {
    const { framesPerPage } = this.#backing;
    const page = hostFrame / framesPerPage;
    const piece = Math.floor(page / PIECE);
    this.#guestPages[piece] ??= new Uint32Array(PIECE);
    this.#guestPages[piece][page % PIECE] = gpaFrame / framesPerPage + 1;
  }
}

/** Present entries among `count` of a table page, from an index on. */
function presentIn(zone: Zone, frame: number, index: number, count: number): number {
  const { halves } = zone;
  let present = 0;
  for (let k = 0, at = zone.halfOf(frame, index); k < count; k++, at += 2)
    present += halves[at] & ENTRY.present;
  return present;
}
