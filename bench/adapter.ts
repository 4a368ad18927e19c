/** Between the `benchmark` package and a result file: one benchmark, one JSON row. */
import Benchmark from 'benchmark';

/** One micro-benchmark: `body` does `operations` operations of the named kind; it may be asynchronous. */
export interface Micro {
  name: string;
  operations: number;
  body: () => unknown;
}

/** What `benchmark` found: hz and mean are of the whole body, in 1/s and seconds; rme in per cent. */
export interface MicroResult {
  name: string;
  operations: number;
  hz: number;
  rme: number;
  samples: number;
  mean: number;
  nanosecondsPerOperation: number;
}

/**
 * Runs one micro-benchmark for about `maxTime` seconds. (`maxTime` is an option of each benchmark: the package
 * ignores it on a suite.) Rejects with what the body throws.
 */
export async function runMicro({ name, operations, body }: Micro, maxTime: number): Promise<MicroResult> {
  const isAsync = (await probe(body)) === 'async';
  const deferred = (handle: { resolve(): void }) => Promise.resolve(body()).then(() => handle.resolve());
  const { hz, stats } = await new Promise<Benchmark>((resolve, reject) => {
    const benchmark = new Benchmark(name, isAsync ? deferred : body, {
      maxTime,
      defer: isAsync,
      async: true,
    });
    benchmark.on('error', () => reject((benchmark as Benchmark & { error: Error }).error));
    benchmark.on('complete', () => resolve(benchmark));
    benchmark.run();
  });
  const nanosecondsPerOperation = (stats.mean * 1e9) / operations;
  return {
    name,
    operations,
    hz,
    rme: stats.rme,
    samples: stats.sample.length,
    mean: stats.mean,
    nanosecondsPerOperation,
  };
}

/** Runs a body once: the package needs to know beforehand whether it is asynchronous. */
async function probe(body: () => unknown): Promise<'async' | 'sync'> {
  const result = body();
  if (!(result instanceof Promise)) return 'sync';
  await result;
  return 'async';
}
