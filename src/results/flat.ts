/** Counters as flat columns, `refs_gL4_nL4`: what the journal of a sweep keeps and the store shows. */
import { COUNTER, COUNTER_SLOTS } from '../schema.ts';
import { countersFromBlock } from './counters.ts';
import type { Counters, Metrics } from './types.ts';

/** Leaves of nested records by their names, joined with `_`. */
export function flatten(value: object, prefix = ''): Record<string, number> {
  const flat: Record<string, number> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === 'number') flat[prefix + name] = inner;
    else if (typeof inner === 'object' && inner !== null)
      Object.assign(flat, flatten(inner, `${prefix}${name}_`));
  }
  return flat;
}

const namesOf = new Map<string, readonly (readonly [string, number])[]>();

/** Every column of a counter block with its slot, in the order of results. A block of slot numbers tells which is which. */
export function slotColumns(cacheNames: readonly string[]): readonly (readonly [string, number])[] {
  const key = cacheNames.join('\n');
  const known = namesOf.get(key);
  if (known) return known;
  const numbers = Float64Array.from({ length: COUNTER_SLOTS }, (_, slot) => slot);
  const columns = Object.entries(flatten(countersFromBlock(numbers, cacheNames)));
  namesOf.set(key, columns);
  return columns;
}

/** Whether a column is known to `counters: tlb`: accesses and what the TLBs did, nothing of the walks. */
export const isTlbSlot = (slot: number): boolean => slot < COUNTER.walks;

/** The counters of a block that are not 0, by column. */
export function flatCounters(
  block: Float64Array,
  cacheNames: readonly string[],
  only: (slot: number) => boolean = () => true,
): Record<string, number> {
  return Object.fromEntries(
    slotColumns(cacheNames)
      .filter(([, slot]) => block[slot] !== 0 && only(slot))
      .map(([name, slot]) => [name, block[slot]]),
  );
}

/** The counters by name that flat ones came from; what a block does not carry is left out. */
export function countersFromFlat(
  flat: Readonly<Record<string, number>>,
  cacheNames: readonly string[],
): Counters {
  const block = new Float64Array(COUNTER_SLOTS);
  for (const [name, slot] of slotColumns(cacheNames)) block[slot] = flat[name] ?? 0;
  return countersFromBlock(block, cacheNames);
}

/** Metrics as flat columns. */
export const flatMetrics = (metrics: Metrics): Record<string, number> => flatten(metrics);
