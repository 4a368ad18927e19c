/** What `npm start` shows: the main job on a recorded program and on a synthetic workload, with a word on what is seen. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { resolveConfig } from '../config/resolve.ts';
import { chooseEngine } from '../engine/loader.ts';
import { renderComparison } from '../report/comparison.ts';
import { decimal, fine, ratio } from '../report/format.ts';
import { styleFor } from '../report/table.ts';
import { type Comparison, type ComparisonCell, compare } from '../run/compare.ts';
import { note, type ProgressShow, print } from './streams.ts';

/** The traces that come with the package. */
const TRACES = fileURLToPath(new URL('../../traces/', import.meta.url));
const TRACE_NAME = /\.(nwt|lackey|champsimtrace)(\.(gz|xz|zst))?$/;
/** Page sizes of the demonstration's square, in both dimensions. */
const SIZES = ['4KiB', '2MiB'] as const;
/** Accesses of the synthetic workload, so that either engine needs less than half a minute for its six runs. */
const SYNTHETIC_ACCESSES = { native: 10_000_000, ts: 1_000_000 } as const;

/** The shipped trace, or nothing in an installation that has none. */
function shippedTrace(): string | undefined {
  const name = existsSync(TRACES)
    ? readdirSync(TRACES)
        .sort()
        .find((file) => TRACE_NAME.test(file))
    : undefined;
  return name && `${TRACES}${name}`;
}

function cellOf(comparison: Comparison, guestPage: string, nestedPage: string | undefined): ComparisonCell {
  return comparison.cells.find((cell) => cell.guestPage === guestPage && cell.nestedPage === nestedPage)!;
}

/** What the numbers of one square say, in sentences. */
function explain(comparison: Comparison): string {
  const cell = (guestPage: string, nestedPage?: string) =>
    cellOf(comparison, guestPage, nestedPage).result.metrics;
  const [native, small, large] = [cell('4KiB'), cell('4KiB', '4KiB'), cell('2MiB', '2MiB')];
  const cycles = (metrics: typeof small): string => fine(metrics.walkCyclesPerAccess.total);
  const times = (more: number, less: number): string =>
    less > 0 ? `${decimal(more / less, 1)} times` : 'beyond measure';
  const [nativeCycles, smallCycles, largeCycles] = [native, small, large].map(
    (it) => it.walkCyclesPerAccess.total,
  );
  return [
    `A TLB miss costs ${decimal(native.refsPerWalk.total, 2)} references natively, ${decimal(small.refsPerWalk.total, 2)} under nested paging (4 KiB pages in both):`,
    `${cycles(native)} against ${cycles(small)} walk cycles an access, ${times(smallCycles, nativeCycles)} as much.`,
    `With 2 MiB pages in guest and host the miss ratio goes from ${ratio(small.missRatio.overall)} to ${ratio(large.missRatio.overall)},`,
    `references per walk to ${decimal(large.refsPerWalk.total, 2)}, walk cycles an access to ${cycles(large)}: ${times(smallCycles, largeCycles)} less.`,
  ].join('\n');
}

/**
 * Runs the demonstration and prints it piece by piece.
 * @throws whatever `compare` throws
 */
export async function demo(show: ProgressShow, signal: AbortSignal, quiet: boolean): Promise<void> {
  const { engine, reason } = chooseEngine();
  if (!quiet && engine === 'ts') note(`note: running on the slower TypeScript engine: ${reason}`);
  const trace = shippedTrace();
  const inputs = [
    ...(trace ? [{ title: 'A recorded program', input: { workload: { trace } } }] : []),
    {
      title: 'A synthetic workload: keys of a large hash table, some much hotter than others',
      input: { workload: 'zipf', footprint: '4GiB', accesses: SYNTHETIC_ACCESSES[engine] },
    },
  ];
  const style = styleFor(process.stdout);
  await print(
    'The square of page sizes: guest and host each with 4 KiB and with 2 MiB pages, beside the same program run natively.\n',
  );
  for (const { title, input } of inputs) {
    const { config } = resolveConfig({ ...input, seed: 1, machine: 'skylake-sp' });
    const comparison = await compare(config, {
      guestPages: SIZES,
      nestedPages: SIZES,
      signal,
      onProgress: (progress) =>
        show.update(progress, `${progress.cell} of ${progress.cells}, ${progress.label}: `),
    });
    show.end();
    await print(`${style.strong(title)}\n${renderComparison(comparison, style)}\n\n${explain(comparison)}\n`);
  }
  await print(
    'Next: nestwalk walk 0x5123 (one walk, reference by reference), nestwalk run --help, nestwalk list machines',
  );
}
