/**
 * Hardware as software sees it, and what it reports when an access faults. An engine has this shape without knowing of
 * it: hardware never looks up to software.
 */
import type { AccessKind } from '../schema.ts';
import type { ZoneExtent } from './simulatedMemory.ts';

/** Invalidations (docs/model.md): INVLPG, CR3 write or INVVPID, INVEPT, and everything. */
export interface Hardware {
  /** Drops what is cached for one page of a tag. @param page GVA >> 12 */
  invlpg(tag: number, page: number): void;
  /** Drops the linear and combined mappings of a tag. */
  flushTag(tag: number): void;
  /** Drops the guest-physical and combined mappings of a virtual machine. */
  invept(vm: number): void;
  /** Drops everything. */
  flushAll(): void;
}

/** What the hardware is loaded with. Without a nested table `nestedRoot` is 0 and `nestedZone` is empty. */
export interface HardwareContext {
  /** Root of the guest's (on a 1-D walk: the only) table: a frame number of `guestZone`'s space. */
  root: number;
  /** Root of the nested table: a frame number in HPA space. */
  nestedRoot: number;
  /** Tag of linear and combined mappings: VPID or ASID, and PCID, folded into one number. */
  tag: number;
  /** Tag of guest-physical mappings. */
  vm: number;
  /** Where the pages of the table that `root` belongs to lie. */
  guestZone: ZoneExtent;
  /** Where those of the nested table lie. */
  nestedZone: ZoneExtent;
}

/** One processor as a platform drives it: what a CR3 write or a VM entry loads, and invalidations. */
export interface Processor extends Hardware {
  /** Accesses from now on are translated in this context. Nothing is invalidated. */
  load(context: HardwareContext): void;
}

/** Why the hardware gave control back: the access at (page, offset) did not complete, and is retried. */
export interface Fault {
  kind: 'guestFault' | 'nestedViolation';
  /** GVA >> 12 of the access. */
  page: number;
  /** Offset in its 4 KiB page. */
  offset: number;
  access: AccessKind;
  /** Of a nested violation: GPA >> 12 that has no (or no sufficient) nested mapping. Else meaningless. */
  gpaFrame: number;
  /** Of a nested violation: what was to be done at that GPA. */
  intent: 'read' | 'write';
  /** Row of the reference matrix, index into `ROWS`, in which the walk stopped. */
  row: number;
}
