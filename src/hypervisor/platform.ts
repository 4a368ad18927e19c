/** What a run needs of a platform beyond what its guest kernel asks of it. */
import type { AddressSpace, PagingPlatform } from '../kernel/pagingPlatform.ts';
import type { Hardware } from '../memory/hardwareInterface.ts';

export type { AddressSpace, AddressSpaceOptions, PagingPlatform } from '../kernel/pagingPlatform.ts';

/** One way to run a guest kernel's paging: what keeps the tables true that the hardware walks. */
export interface Platform extends PagingPlatform {
  /** The address space last loaded. */
  readonly current: AddressSpace | undefined;
  /** Root of the nested table, a frame number in HPA space; 0 on a platform without one. */
  readonly nestedRoot: number;
  /**
   * Puts real memory behind a guest that was mapped before the run: data, then tables, in ascending GPA. From then on
   * (and from the start when it is never called and the guest is mapped on demand) a table page is backed when allocated.
   * @throws NestwalkError `memory.full`
   */
  backGuest(): void;
}

/** Stands for the hardware before the first access: nothing is cached, so nothing is dropped. */
export const COLD_HARDWARE: Hardware = { invlpg() {}, flushTag() {}, invept() {}, flushAll() {} };
