/** What several claims share: workloads of the literature at their published footprints, and readings of ratios. */
import type { ConfigInput } from '../../config/schema.ts';
import type { Result } from '../../results/types.ts';
import type { PageSize } from '../../schema.ts';
import type { Experiment, Scale } from '../claim.ts';

/** Page sizes of both dimensions; natively the nested one is absent. */
export interface Pages {
  guestPage: PageSize;
  nestedPage?: PageSize;
}

/** Accesses of a run. */
const ACCESSES: Readonly<Record<Scale, number>> = { quick: 4e6, full: 1e8 };

/** A run of a workload on a machine, natively or nested. */
export function trial(
  scale: Scale,
  machine: NonNullable<ConfigInput['machine']>,
  workload: NonNullable<ConfigInput['workload']>,
  footprint: string,
  { guestPage, nestedPage }: Pages,
): Experiment {
  return {
    kind: 'run',
    config: {
      machine,
      workload,
      footprint,
      accesses: ACCESSES[scale],
      seed: 1,
      paging: nestedPage ? { mode: 'nested', guestPage, nestedPage } : { mode: 'native', guestPage },
    },
  };
}

/** Cycles of all walks, STLB hits left out. */
export const walkCycles = (result: Result): number => result.metrics.walkCycles.total;

/** Share of walk cycles that went into the nested table, 0 to 1. */
export const nestedShare = (result: Result): number =>
  result.metrics.walkCycles.nested / result.metrics.walkCycles.total;

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Whether values fall, each strictly below the one before. */
export const falls = (values: readonly number[]): boolean =>
  values.every((value, index) => index === 0 || value < values[index - 1]);
