/**
 * Nested paging (Intel EPT, AMD NPT): the guest's paging is as native, and the hypervisor keeps a second table, GPA to
 * HPA, to which it adds a nested page when the guest first needs it.
 */
import { NestwalkError } from '../errors.ts';
import { leafFlags, tableFlags } from '../memory/entry.ts';
import type { Fault, Hardware } from '../memory/hardwareInterface.ts';
import { entryPages, type FrameSource, PageTable } from '../memory/pageTable.ts';
import type { Zone } from '../memory/simulatedMemory.ts';
import { ROW_GPA, ROWS } from '../schema.ts';
import type { Ledger } from './ledger.ts';
import { NativePlatform, type Tagged } from './native.ts';

/** Where a fully populated guest has its pages, in 4 KiB frames of GPA space: data from frame 0, and its tables. */
export interface GuestFootprint {
  dataFrames: number;
  guestZone: { base: number; frames: number };
}

/** What nested paging is set up with. Frames are of 4 KiB. */
export interface NestedPlatformOptions {
  tagged: Tagged;
  ledger: Ledger;
  /** Zone of the nested table, in HPA space. */
  zone: Zone;
  levels: number;
  /** Page-size index of nested pages. */
  sizeIndex: number;
  /** Where host frames come from. */
  frames: FrameSource;
  /** A and D of the entries that the hypervisor writes. */
  ad: 'set' | 'clear';
  /** Where the guest may have pages. */
  footprint: GuestFootprint;
  /** Whether guest table pages are backed when allocated from the start (`demand`), or only after `backGuest`. */
  populate: 'prefault' | 'demand';
}

/** The platform `nested`. */
export class NestedPlatform extends NativePlatform {
  /** The nested table. */
  readonly nestedTable: PageTable;
  readonly #options: NestedPlatformOptions;
  readonly #framesPerPage: number;
  readonly #leafFlags: number;
  #backing: boolean;

  /** @throws NestwalkError `memory.full` when there is no frame for the nested root */
  constructor(options: NestedPlatformOptions) {
    super(options.tagged);
    const { levels, zone, ad, sizeIndex, populate } = options;
    this.#options = options;
    this.#framesPerPage = entryPages(sizeIndex + 1);
    this.#leafFlags = leafFlags(ad, sizeIndex);
    this.#backing = populate === 'demand';
    this.nestedTable = new PageTable({ levels, zone, tableFlags: tableFlags(ad) });
  }

  override get nestedRoot(): number {
    return this.nestedTable.root;
  }

  /** Backs a new guest table page at once, so that the hardware never faults on one. */
  override onTablePage(frame: number, _level: number): void {
    if (!this.#backing || this.nestedTable.mapped(frame)) return;
    this.#exit();
    this.#options.ledger.count('tableBackings');
    this.#back(frame, 1);
    this.#enter();
  }

  override backGuest(): void {
    const { dataFrames, guestZone } = this.#options.footprint;
    this.#back(0, dataFrames);
    this.#back(guestZone.base, guestZone.frames);
    this.#backing = true;
  }

  override onFault(fault: Fault, hardware: Hardware): 'retry' | 'deliver' {
    this.hardware = hardware;
    if (fault.kind === 'guestFault') return 'deliver';
    this.#checkViolation(fault);
    this.#exit();
    this.#options.ledger.count('nestedViolations');
    if (fault.row !== ROW_GPA) this.#options.ledger.count('tableViolations');
    this.#back(fault.gpaFrame, 1);
    this.#enter();
    return 'retry';
  }

  /** Maps the nested pages that hold `count` guest frames; there are none of them yet. */
  #back(gpaFrame: number, count: number): void {
    const first = Math.floor(gpaFrame / this.#framesPerPage);
    const end = Math.ceil((gpaFrame + count) / this.#framesPerPage);
    const { sizeIndex, frames } = this.#options;
    this.nestedTable.mapRange(first, end - first, sizeIndex, this.#leafFlags, frames, 0);
  }

  #checkViolation({ gpaFrame, row }: Fault): void {
    const { dataFrames, guestZone } = this.#options.footprint;
    const place = `GPA 0x${gpaFrame.toString(16)}000 (row ${ROWS[row]})`;
    if (
      gpaFrame >= dataFrames &&
      !(gpaFrame >= guestZone.base && gpaFrame < guestZone.base + guestZone.frames)
    ) {
      throw new NestwalkError(
        'table.corrupt',
        `the guest's table leads to ${place}, which is no memory of the guest`,
      );
    }
    if (this.nestedTable.mapped(gpaFrame)) {
      throw new NestwalkError('engine.failed', `a nested violation at ${place}, which the nested table maps`);
    }
  }

  /** A VM exit: without VPIDs the hardware keeps nothing of the guest. */
  #exit(): void {
    this.#flushUntagged();
  }

  /** A VM entry, likewise. */
  #enter(): void {
    this.#flushUntagged();
  }

  #flushUntagged(): void {
    if (this.current !== undefined && !this.tagged.includes('vpid')) this.hardware.flushTag(this.current.tag);
  }
}
