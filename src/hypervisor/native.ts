/** No virtualisation: the hardware walks the kernel's own table, and the kernel's faults are its own. */
import { NestwalkError } from '../errors.ts';
import type { Fault, Hardware } from '../memory/hardwareInterface.ts';
import { PageTable } from '../memory/pageTable.ts';
import type { EntryRun } from '../memory/simulatedMemory.ts';
import type { AddressSpace, AddressSpaceOptions, Platform } from './platform.ts';
import { COLD_HARDWARE } from './platform.ts';

/** Tags that the machine's TLBs keep apart. */
export type Tagged = readonly ('vpid' | 'pcid')[];

/** The platform `native`; also what the guest sees of platforms on which its paging is not trapped. */
export class NativePlatform implements Platform {
  /** Where invalidations go: what faulted last. */
  protected hardware: Hardware = COLD_HARDWARE;
  protected readonly tagged: Tagged;
  #current: AddressSpace | undefined;

  /** @param tagged tags of the machine, see `MachineConfig` */
  constructor(tagged: Tagged) {
    this.tagged = tagged;
  }

  get current(): AddressSpace | undefined {
    return this.#current;
  }

  get nestedRoot(): number {
    return 0;
  }

  createAddressSpace(options: AddressSpaceOptions): AddressSpace {
    const { tag, levels, zone, tableFlags } = options;
    const table = new PageTable({
      levels,
      zone,
      tableFlags,
      onTablePage: (frame, level) => this.onTablePage(frame, level),
      setEntries: (run) => this.setEntries(space, run),
    });
    const space: AddressSpace = { tag, table };
    return space;
  }

  /** Nothing: the frame is real memory. */
  onTablePage(_frame: number, _level: number): void {}

  setEntries(space: AddressSpace, run: EntryRun): void {
    space.table.zone.write(run);
  }

  flushPage(space: AddressSpace, page: number): void {
    this.hardware.invlpg(space.tag, page);
  }

  flushSpace(space: AddressSpace): void {
    this.hardware.flushTag(space.tag);
  }

  switchTo(space: AddressSpace): void {
    this.#current = space;
    if (!this.tagged.includes('pcid')) this.hardware.flushTag(space.tag);
  }

  /** Nothing: writes take effect at once. */
  beginBatch(): void {}

  /** Nothing: writes took effect at once. */
  endBatch(): void {}

  /** Nothing: the memory is real. */
  backGuest(): void {}

  onFault(fault: Fault, hardware: Hardware): 'retry' | 'deliver' {
    this.hardware = hardware;
    if (fault.kind === 'guestFault') return 'deliver';
    throw new NestwalkError(
      'engine.failed',
      'the hardware reported a nested violation without a nested table',
    );
  }
}
