/** The square of page sizes: one workload under every guest page size on every nested page size, and natively. */
import { resolveConfig } from '../config/resolve.ts';
import { NestwalkError } from '../errors.ts';
import {
  compareRuntimes,
  type RuntimeComparison,
  type RuntimeCost,
  runtimeCost,
} from '../results/runtimeModels.ts';
import type { Result, RunOptions, RunProgress } from '../results/types.ts';
import { PAGE_SIZES, type PageSize } from '../schema.ts';
import { simulate } from './simulate.ts';

/** One run of a comparison, with what it is in per cent of the baseline (`null` where the baseline has none of it). */
export interface ComparisonCell {
  mode: 'native' | 'nested';
  guestPage: PageSize;
  /** Absent in mode `native`. */
  nestedPage?: PageSize;
  /** Misses of every TLB level, references per walk, walk cycles per access; 100 is the baseline. */
  perCent: { misses: number | null; refsPerWalk: number | null; walkCyclesPerAccess: number | null };
  result: Result;
}

/** All runs of a comparison: the native ones first, then nested ones by nested page, then guest page, each ascending. */
export interface Comparison {
  guestPages: PageSize[];
  nestedPages: PageSize[];
  /** The nested run that is 100 %: 4 KiB on 4 KiB, or the smallest sizes asked for. */
  baseline: { guestPage: PageSize; nestedPage: PageSize };
  cells: ComparisonCell[];
  /** Run times by the published models; absent without native runs of 4 KiB and of 2 MiB pages to calibrate them on. */
  runtimes?: RuntimeComparison;
}

/** How far a comparison is: the run under way, and the runs in all. */
export interface CompareProgress extends RunProgress {
  /** Number of the run under way, from 1. */
  cell: number;
  cells: number;
  /** For people: `nested, 4KiB on 2MiB`. */
  label: string;
}

/** Options of {@link compare}. */
export interface CompareOptions extends Omit<RunOptions, 'onProgress'> {
  /** Guest page sizes; default: all that the guest's table has levels for. */
  guestPages?: readonly PageSize[];
  /** Nested page sizes; default: all that the nested table has levels for. */
  nestedPages?: readonly PageSize[];
  /** What run times are made of beside walks, where the defaults are not wanted. */
  cost?: Partial<RuntimeCost>;
  /** Told how far the run under way is. It must not throw. */
  onProgress?: (progress: CompareProgress) => void;
}

type CellPlan = Pick<ComparisonCell, 'mode' | 'guestPage' | 'nestedPage'>;

/** How a cell is called: `native, 4KiB` or `nested, 4KiB on 2MiB` (guest page on nested page). */
export const cellLabel = (cell: CellPlan): string =>
  cell.nestedPage ? `nested, ${cell.guestPage} on ${cell.nestedPage}` : `native, ${cell.guestPage}`;

/** Page sizes that a table of so many levels can map: a leaf at level 1, 2 or 3. */
const sizesOf = (levels: number): PageSize[] => PAGE_SIZES.filter((_, index) => index < levels);

/** The sizes asked for, each once, ascending. */
function chosen(asked: readonly PageSize[] | undefined, levels: number): PageSize[] {
  const sizes = asked ? PAGE_SIZES.filter((size) => asked.includes(size)) : sizesOf(levels);
  if (sizes.length === 0)
    throw new NestwalkError(
      'usage',
      `a comparison needs at least one page size of each dimension; allowed are ${PAGE_SIZES.join(', ')}`,
    );
  return sizes;
}

/** The input with other paging. The square varies mode and page sizes only; all else is the user's. */
function withPaging(input: object, cell: CellPlan): object {
  const paging = 'paging' in input && typeof input.paging === 'object' ? input.paging : {};
  return { ...input, paging: { ...paging, ...cell } };
}

function plan(guestPages: readonly PageSize[], nestedPages: readonly PageSize[]): CellPlan[] {
  const native = guestPages.map((guestPage): CellPlan => ({ mode: 'native', guestPage }));
  const nested = nestedPages.flatMap((nestedPage) =>
    guestPages.map((guestPage): CellPlan => ({ mode: 'nested', guestPage, nestedPage })),
  );
  return [...native, ...nested];
}

const perCent = (value: number, of: number): number | null => (of === 0 ? null : (100 * value) / of);

function relative(result: Result, base: Result): ComparisonCell['perCent'] {
  const [mine, its] = [result.metrics, base.metrics];
  return {
    misses: perCent(result.counters.stlbMisses, base.counters.stlbMisses),
    refsPerWalk: perCent(mine.refsPerWalk.total, its.refsPerWalk.total),
    walkCyclesPerAccess: perCent(mine.walkCyclesPerAccess.total, its.walkCyclesPerAccess.total),
  };
}

/**
 * Runs one configuration natively under each guest page size, and nested under each pair of guest and nested page size.
 * `paging.mode`, `guestPage` and `nestedPage` of the configuration are replaced; all else stays. The cells are run one
 * after the other, each as `simulate` would.
 *
 * @param input a configuration as `simulate` takes it
 * @throws {NestwalkError} `config.invalid` before anything is run, when the configuration fits no or not every cell;
 * whatever `simulate` throws
 */
export async function compare(input: unknown, options: CompareOptions = {}): Promise<Comparison> {
  const { guestPages: askedGuest, nestedPages: askedNested, cost: given, onProgress, ...run } = options;
  const cost = runtimeCost(given);
  if (typeof input !== 'object' || input === null)
    throw new NestwalkError('usage', 'the configuration must be an object');
  const { paging } = resolveConfig(
    withPaging(input, { mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB' }),
  ).config;
  const guestPages = chosen(askedGuest, paging.guestLevels);
  const nestedPages = chosen(askedNested, paging.nestedLevels);
  const cells = plan(guestPages, nestedPages);
  const configs = cells.map((cell) => resolveConfig(withPaging(input, cell)).config);
  const results: Result[] = [];
  for (const [index, config] of configs.entries()) {
    const place = { cell: index + 1, cells: cells.length, label: cellLabel(cells[index]) };
    const report = onProgress && ((progress: RunProgress) => onProgress({ ...progress, ...place }));
    results.push(await simulate(config, { ...run, onProgress: report }));
  }
  const baseline = { guestPage: guestPages[0], nestedPage: nestedPages[0] };
  const base = results[cells.findIndex((cell) => cell.mode === 'nested')];
  const compared = cells.map((cell, index) => ({
    ...cell,
    perCent: relative(results[index], base),
    result: results[index],
  }));
  const runtimes = compareRuntimes(compared, cost);
  return { guestPages, nestedPages, baseline, cells: compared, ...(runtimes && { runtimes }) };
}
