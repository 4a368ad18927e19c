/** Tags of address spaces: VPID or ASID and PCID folded into one number, so that a tag belongs to one vm for good. */

/** Tags that the machine's TLBs keep apart, see `MachineConfig`. */
export type Tagged = readonly ('vpid' | 'pcid')[];

/** PCIDs of a virtual machine: 12 bits (Intel SDM vol. 3A 4.10.1). */
const PCIDS = 2 ** 12;

/**
 * The tags of one virtual machine. Where the TLBs know PCIDs each address space has one of its own, and gives it back;
 * otherwise all share one, as an untagged TLB has nothing to tell them apart. When no PCID is left, those that come late
 * share number 0.
 */
export class Tags {
  readonly #first: number;
  readonly #pcid: boolean;
  /** Tags given back. */
  readonly #free: number[] = [];
  #next = 1;

  /** @param vm the virtual machine's number */
  constructor(tagged: Tagged, vm: number) {
    this.#first = vm * PCIDS;
    this.#pcid = tagged.includes('pcid');
  }

  /** The tag that address spaces share which have none of their own. */
  get shared(): number {
    return this.#first;
  }

  /** A tag for a new address space: its own, or the one that is {@link shared}. */
  take(): number {
    if (!this.#pcid) return this.#first;
    return this.#free.pop() ?? (this.#next < PCIDS ? this.#first + this.#next++ : this.#first);
  }

  /** Gives a tag back. Nothing may be cached for it any more. */
  give(tag: number): void {
    if (tag > this.#first && tag < this.#first + PCIDS) this.#free.push(tag);
  }
}
