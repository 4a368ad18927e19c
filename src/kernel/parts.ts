/** What the parts of a guest kernel share. */
import { NestwalkError } from '../errors.ts';
import { leafFlags } from '../memory/entry.ts';
import type { AccessKind } from '../schema.ts';
import { ENTRY } from '../schema.ts';
import type { GuestMemory } from './guestMemory.ts';
import type { KernelLedger } from './kernelLedger.ts';
import type { PagingPlatform } from './pagingPlatform.ts';
import type { OwnProcess } from './process.ts';
import type { Processors } from './processors.ts';
import { addressText, type PageSpan, regionsText } from './region.ts';
import { type OwnRegion, spanEnd } from './regions.ts';

/** When anonymous memory gets huge pages of 2 MiB (Linux: transparent_hugepage/enabled). */
export type HugePagePolicy = (typeof HUGE_PAGE_POLICIES)[number];
/** Policies of {@link HugePagePolicy}. */
export const HUGE_PAGE_POLICIES = ['never', 'madvise', 'always'] as const;

/** A kernel taken apart. */
export interface KernelParts {
  /** What it runs on. */
  readonly platform: PagingPlatform;
  /** Its data frames. */
  readonly memory: GuestMemory;
  /** Where it counts. */
  readonly ledger: KernelLedger;
  /** Its virtual processors, and what the operation under way has to flush there. */
  readonly processors: Processors;
  /** A and D of entries that the kernel writes; after a write both are set in any case. */
  readonly ad: 'set' | 'clear';
  /** When private memory gets huge pages. */
  readonly hugePages: HugePagePolicy;
}

/** Size index of a huge page, 2 MiB, and the level of its leaf. */
export const HUGE = 1;
export const HUGE_LEVEL = 2;
/** 4 KiB pages of a huge page. */
export const HUGE_PAGES = 512;

/** A and D, as a write leaves them. */
export const TOUCHED = ENTRY.accessed | ENTRY.dirty;
/**
 * What stands in the entry of a page that is on the guest's disk: bit 9, which is the software's own. Not present, so to
 * the hardware it is as good as clear.
 */
export const ON_DISK = 1 << 9;

/** Flags of a leaf of a region that the kernel makes for an access of a kind. */
export function flagsFor(region: OwnRegion, sizeIndex: number, ad: 'set' | 'clear', write: boolean): number {
  const flags = leafFlags(ad, sizeIndex) | (write ? TOUCHED : 0);
  return region.writable ? flags : flags & ~ENTRY.writable;
}

/** The part of a span that lies in a region. */
export function overlap(region: PageSpan, span: PageSpan | undefined): PageSpan {
  if (span === undefined) return region;
  const page = Math.max(region.page, span.page);
  return { page, pages: Math.min(spanEnd(region), spanEnd(span)) - page };
}

/** The first and the end of the huge pages that lie in a span whole. */
export function hugeSpan(span: PageSpan): { first: number; end: number } {
  return {
    first: Math.ceil(span.page / HUGE_PAGES) * HUGE_PAGES,
    end: Math.floor(spanEnd(span) / HUGE_PAGES) * HUGE_PAGES,
  };
}

/** A process did what its regions do not allow. */
export function segfault(process: OwnProcess, page: number, access: AccessKind, why: string): NestwalkError {
  const done = { read: 'read from', write: 'wrote to', fetch: 'fetched code from' }[access];
  return new NestwalkError(
    'process.segfault',
    `${process} ${done} ${addressText(page)}, ${why}; its regions: ${regionsText(process.regions)}`,
  );
}

/** Something happened that no program can cause. */
export function unexpected(what: string): NestwalkError {
  return new NestwalkError('engine.failed', `the guest kernel cannot go on: ${what}`);
}
