/**
 * Nested paging (Intel EPT, AMD NPT): the guest's paging is as native, and the hypervisor keeps a second table, GPA to
 * HPA, to which it adds a nested page when the guest first needs it.
 */
import { NestwalkError } from '../errors.ts';
import { leafFlags, tableFlags } from '../memory/entry.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import { PageTable } from '../memory/pageTable.ts';
import type { Zone } from '../memory/simulatedMemory.ts';
import { ROW_GPA, ROWS } from '../schema.ts';
import type { GuestSpace } from './native.ts';
import type { AddressSpace, Translation } from './platform.ts';
import { type VirtualisedOptions, VirtualisedPlatform } from './virtualised.ts';

/** What nested paging is set up with. */
export interface NestedPlatformOptions extends VirtualisedOptions {
  /** Zone of the nested table, in HPA space. */
  zone: Zone;
  /** Levels of the nested table. */
  levels: number;
  /** A and D of the entries that the hypervisor writes. */
  ad: 'set' | 'clear';
}

/** The platform `nested`. */
export class NestedPlatform extends VirtualisedPlatform {
  /** The nested table. */
  readonly nestedTable: PageTable;
  readonly #leafFlags: number;

  /** @throws NestwalkError `memory.full` when there is no frame for the nested root */
  constructor(options: NestedPlatformOptions) {
    super(options);
    const { levels, zone, ad } = options;
    this.#leafFlags = leafFlags(ad, options.sizeIndex);
    this.nestedTable = new PageTable({ levels, zone, tableFlags: tableFlags(ad) });
  }

  override translate(space: AddressSpace, page: number): Translation | undefined {
    const guest = super.translate(space, page);
    if (guest === undefined) return undefined;
    const nested = this.nestedTable.lookup(guest.gpaFrame);
    return {
      gpaFrame: guest.gpaFrame,
      hpaFrame: this.nestedTable.translate(guest.gpaFrame),
      sizeIndex: Math.min(guest.sizeIndex, nested.present ? nested.level - 1 : this.sizeIndex),
      writable: guest.writable,
    };
  }

  override onFault(fault: Fault): 'retry' | 'deliver' {
    if (fault.kind === 'guestFault') return 'deliver';
    this.#checkViolation(fault);
    this.exit();
    this.ledger.count('nestedViolations');
    if (fault.row !== ROW_GPA) this.ledger.count('tableViolations');
    this.back(fault.gpaFrame, 1);
    this.enter();
    return 'retry';
  }

  protected override makeSpace(tag: number, table: PageTable): GuestSpace {
    const space = super.makeSpace(tag, table);
    space.context.nestedRoot = this.nestedTable.root;
    space.context.nestedZone = this.nestedTable.zone.extent();
    return space;
  }

  protected override isBacked(gpaFrame: number): boolean {
    return this.nestedTable.mapped(gpaFrame);
  }

  protected override back(gpaFrame: number, count: number): void {
    const first = Math.floor(gpaFrame / this.framesPerPage);
    const pages = Math.ceil((gpaFrame + count) / this.framesPerPage) - first;
    this.ledger.count('hostFrames', pages);
    this.nestedTable.mapRange(first, pages, this.sizeIndex, this.#leafFlags, this.frames, 0);
  }

  #checkViolation({ gpaFrame, row }: Fault): void {
    const place = `GPA 0x${gpaFrame.toString(16)}000 (row ${ROWS[row]})`;
    const { dataFrames, guestZone } = this.footprint;
    const inTables = gpaFrame >= guestZone.base && gpaFrame < guestZone.base + guestZone.frames;
    if (gpaFrame >= dataFrames && !inTables)
      throw new NestwalkError(
        'table.corrupt',
        `the guest's table leads to ${place}, which is no memory of the guest`,
      );
    if (this.nestedTable.mapped(gpaFrame)) {
      throw new NestwalkError('engine.failed', `a nested violation at ${place}, which the nested table maps`);
    }
  }
}
