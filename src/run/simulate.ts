/** One simulation as a function: resolve, run in a worker, name the counters, derive the metrics. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { resolveConfig } from '../config/resolve.ts';
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import { chooseEngine, type EngineRequest } from '../engine/loader.ts';
import { countersFromBlock } from '../results/counters.ts';
import { computeMetrics } from '../results/metrics.ts';
import type { Provenance, Result, RunOptions } from '../results/types.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';
import { fileDigest } from '../trace/digest.ts';
import { type WatchOptions, withListener } from './control.ts';
import { planCut, workersOf } from './cut.ts';
import type { RunOutcome } from './execute.ts';
import { runInWorker, WorkerPool } from './pool.ts';
import { runSegments } from './segments.ts';

/** The package's version, for provenance. */
export function packageVersion(): string {
  return (
    JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  ).version;
}

/** Cold accesses and distances from the flat list that the engines give. */
function reuseOf(flat: Float64Array): { cold: number; distances: Map<number, number> } {
  const distances = new Map<number, number>();
  for (let i = 1; i < flat.length; i += 2) distances.set(flat[i]!, flat[i + 1]!);
  return { cold: flat[0] ?? 0, distances };
}

/** The counters of an outcome, by name. */
export function countersOf(config: ResolvedConfig, outcome: RunOutcome): Result['counters'] {
  return countersFromBlock(
    outcome.counters,
    config.machine.caches.map((cache) => cache.name),
    {
      ...(outcome.unique ? { unique: outcome.unique } : {}),
      ...(outcome.reuse ? { reuse: reuseOf(outcome.reuse) } : {}),
    },
  );
}

/** Tells progress in accesses, rate and time left, a rate over the whole run so far. */
function reporter(
  config: ResolvedConfig,
  onProgress: RunOptions['onProgress'],
): ((done: number) => void) | undefined {
  if (!onProgress) return undefined;
  const total = config.accesses;
  let begun = 0;
  let first = 0;
  return (done) => {
    const now = performance.now() / 1000;
    if (begun === 0 && done > 0) {
      begun = now;
      first = done;
    }
    const rate = now > begun && begun > 0 ? (done - first) / (now - begun) : 0;
    onProgress({
      done,
      total,
      accessesPerSecond: rate,
      ...(total !== undefined && rate > 0 ? { secondsLeft: (total - done) / rate } : {}),
    });
  };
}

/**
 * Runs one configuration and returns its whole result. The counters depend on the configuration alone; engine, tier,
 * time and machine are in `provenance`.
 *
 * @param input a configuration as `resolveConfig` takes it; paths of traces are relative to the working directory
 * @throws NestwalkError `config.invalid` with all problems; `run.cancelled` after `signal`; those of traces, memory, engine
 */
export async function simulate(input: unknown, options: RunOptions = {}): Promise<Result> {
  const { config } = resolveConfig(input);
  const engine: EngineRequest = options.engine ?? config.run.engine;
  // A missing or stale engine is told here, before a worker is started for it.
  chooseEngine(engine);
  const { outcome, counters } = await withListener(
    options.onProgress,
    options.signal,
    async (tell, signal) => {
      const onDone = reporter(config, tell);
      const outcome = await runOnWorkers(config, engine, options, {
        ...(signal ? { signal } : {}),
        ...(onDone ? { onDone } : {}),
      });
      const counters = countersOf(config, outcome);
      onDone?.(counters.accesses);
      return { outcome, counters };
    },
  );
  return {
    schema: SCHEMA_FINGERPRINT,
    config,
    counters,
    ledger: { events: outcome.events },
    metrics: computeMetrics(counters, config),
    provenance: await provenanceOf(config, outcome),
  };
}

/** Runs a configuration in segments where it may be cut, else in one worker. */
async function runOnWorkers(
  config: ResolvedConfig,
  engine: EngineRequest,
  options: RunOptions,
  watch: WatchOptions,
): Promise<RunOutcome> {
  const cut = await planCut(config, options);
  if (!cut) return runInWorker({ config, engine }, watch);
  const workers = Math.min(workersOf(config, options), Math.ceil(cut.accesses / cut.segmentAccesses));
  const pool = new WorkerPool(workers, {
    startAtOnce: true,
    ...(watch.signal ? { signal: watch.signal } : {}),
  });
  try {
    return await runSegments(config, engine, cut, pool, watch);
  } finally {
    await pool.close();
  }
}

async function provenanceOf(config: ResolvedConfig, outcome: RunOutcome): Promise<Provenance> {
  const accesses = outcome.counters[0]!;
  const hashes = { ...outcome.hashes };
  if (isTrace(config.workload)) hashes.trace = await fileDigest(config.workload.trace);
  return {
    version: packageVersion(),
    schema: SCHEMA_FINGERPRINT,
    engine: outcome.engine,
    tier: outcome.tier,
    engineReason: outcome.engineReason,
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    workers: outcome.workers,
    seconds: outcome.seconds,
    prepareSeconds: outcome.prepareSeconds,
    accessesPerSecond: outcome.seconds > 0 ? accesses / outcome.seconds : 0,
    segments: outcome.segments,
    hashes,
  };
}
