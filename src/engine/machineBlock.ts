/** Writes what the engines read: the machine block and the context block (src/schema.ts). */
import {
  entryPage,
  type GeometryConfig,
  type PscConfig,
  type ResolvedConfig,
  type TlbArrayConfig,
} from '../config/resolved.ts';
import { seedWords } from '../config/units.ts';
import type { TableZone } from '../hardware/dimension.ts';
import {
  ARRAY_SLOTS,
  CACHE_SLOTS,
  CONTEXT,
  CONTEXT_SLOTS,
  INDEXINGS,
  MACHINE,
  MACHINE_SLOTS,
  NTLB_HOLDS,
  PAGE_SIZES,
  PWC_HOLDS,
  REPLACEMENTS,
} from '../schema.ts';

/** Exclusive upper bounds of the page and frame numbers that can occur, tables included. */
export interface NumberBounds {
  pageBound: number;
  guestFrameBound: number;
  hostFrameBound: number;
}

function writeSide(block: Float64Array, at: number, arrays: readonly TlbArrayConfig[]): void {
  arrays.forEach((array, i) => {
    const mask = array.sizes.reduce((bits, size) => bits | (1 << PAGE_SIZES.indexOf(size)), 0);
    const indexing = INDEXINGS.indexOf(array.index ?? 'low');
    block.set(
      [array.entries, array.ways, mask, REPLACEMENTS.indexOf(array.replacement), indexing],
      at + i * ARRAY_SLOTS,
    );
  });
}

function writePsc(block: Float64Array, at: number, psc: PscConfig | null): void {
  for (const k of [2, 3, 4, 5] as const) {
    const level: GeometryConfig | undefined = psc?.[`l${k}`];
    if (level) block.set([level.entries, level.ways], at + 2 * (k - 2));
  }
}

/** The machine block of a configuration. `isStatic`: nothing can fault or change an entry in this run. */
export function machineBlock(config: ResolvedConfig, bounds: NumberBounds, isStatic: boolean): Float64Array {
  const { machine, paging } = config;
  const nested = paging.mode === 'nested';
  const seed = seedWords(config.seed);
  const block = new Float64Array(MACHINE_SLOTS);
  const set = (field: keyof typeof MACHINE, value: number | boolean): void => {
    block[MACHINE[field]] = Number(value);
  };
  set('nested', nested);
  set('guestLevels', paging.guestLevels);
  set('nestedLevels', paging.nestedLevels);
  set('nestedAD', machine.nestedAD);
  set('dataThroughCaches', machine.dataThroughCaches);
  set('staticRun', isStatic);
  set('unique', config.optional.includes('unique'));
  set('reuse', config.optional.includes('reuse'));
  set('seedLow', seed.low);
  set('seedHigh', seed.high);
  set('l1dCount', machine.l1d.length);
  set('l1iCount', machine.l1i?.length ?? 0);
  set('stlbCount', machine.stlb.length);
  writeSide(block, MACHINE.l1d, machine.l1d);
  writeSide(block, MACHINE.l1i, machine.l1i ?? []);
  writeSide(block, MACHINE.stlb, machine.stlb);
  writePsc(block, MACHINE.psc, machine.psc);
  if (nested) {
    writePsc(block, MACHINE.nestedPsc, machine.nestedPsc);
    set('ntlbEntries', machine.ntlb?.entries ?? 0);
    set('ntlbWays', machine.ntlb?.ways ?? 0);
    set('ntlbHolds', machine.ntlb ? NTLB_HOLDS.indexOf(machine.ntlb.holds) : 0);
  }
  set('pwcEntries', machine.pwc?.entries ?? 0);
  set('pwcWays', machine.pwc?.ways ?? 0);
  set('pwcHolds', machine.pwc ? PWC_HOLDS.indexOf(machine.pwc.holds) : 0);
  set('cacheCount', machine.caches.length);
  machine.caches.forEach((cache, i) => {
    block.set(
      [cache.size / (cache.ways * cache.line), cache.ways, cache.line],
      MACHINE.caches + i * CACHE_SLOTS,
    );
  });
  set('pageBound', bounds.pageBound);
  set('guestFrameBound', bounds.guestFrameBound);
  set('hostFrameBound', bounds.hostFrameBound);
  const entrySize = PAGE_SIZES.indexOf(entryPage(paging));
  set('staticSize', entrySize);
  // The table of a 1-D walk has leaves of the size that TLB entries are of.
  set('guestLeaf', nested ? PAGE_SIZES.indexOf(paging.guestPage) + 1 : entrySize + 1);
  set('nestedLeaf', PAGE_SIZES.indexOf(paging.nestedPage) + 1);
  return block;
}

/** Roots, tags and zones of an address space. */
export interface ContextNumbers {
  root: number;
  nestedRoot: number;
  tag: number;
  vm: number;
  guestZone: TableZone;
  nestedZone: TableZone;
}

/**
 * The context block of an address space.
 * @param block filled and returned, where the caller loads contexts so often that it keeps one
 */
export function contextBlock(
  context: ContextNumbers,
  block: Float64Array = new Float64Array(CONTEXT_SLOTS),
): Float64Array {
  block[CONTEXT.root] = context.root;
  block[CONTEXT.nestedRoot] = context.nestedRoot;
  block[CONTEXT.tag] = context.tag;
  block[CONTEXT.vm] = context.vm;
  writeZone(block, CONTEXT.guestZoneBase, context.guestZone);
  writeZone(block, CONTEXT.nestedZoneBase, context.nestedZone);
  return block;
}

function writeZone(block: Float64Array, at: number, zone: TableZone): void {
  block[at] = zone.base;
  block[at + 1] = zone.frames;
  block[at + 2] = zone.word;
}
