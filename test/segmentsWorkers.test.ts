/** Runs cut into segments on real workers: results, progress, interruption, and workers that die. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { ConfigInput } from '../src/config/schema.ts';
import type { RunProgress } from '../src/results/types.ts';
import type { Cut } from '../src/run/cut.ts';
import { execute } from '../src/run/execute.ts';
import { WorkerPool } from '../src/run/pool.ts';
import { runSegments } from '../src/run/segments.ts';
import { simulate } from '../src/run/simulate.ts';
import { addon } from './support/engines.ts';

const ENGINES = addon ? (['ts', 'native'] as const) : (['ts'] as const);
const folder = mkdtempSync(join(tmpdir(), 'nestwalk-workers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const input = (accesses: number, warmup: number, extra: Partial<ConfigInput> = {}): ConfigInput => ({
  seed: 3,
  accesses,
  footprint: '64MiB',
  workload: { pattern: 'zipf', theta: 0.99 },
  machine: 'skylake-sp',
  paging: { mode: 'nested', guestPage: '4KiB', nestedPage: '4KiB' },
  run: { warmup },
  ...extra,
});

describe.each(ENGINES)('workers (%s)', (engine) => {
  it('count the same, however many there are', async () => {
    const given = input(300_000, 20_000);
    const one = await simulate(given, { engine, workers: 1 });
    expect(one.provenance.segments).toEqual({ accepted: 1, repaired: 0, rerun: 0 });
    for (const [workers, segmentAccesses, segments] of [
      [2, 100_000, 3],
      [7, 45_000, 7],
    ] as const) {
      const many = await simulate(given, { engine, workers, segmentAccesses });
      expect(many.counters).toEqual(one.counters);
      expect(many.ledger).toEqual(one.ledger);
      expect(many.metrics).toEqual(one.metrics);
      expect(many.provenance.hashes).toEqual(one.provenance.hashes);
      expect(many.provenance.workers).toBe(workers);
      const { accepted, repaired, rerun } = many.provenance.segments;
      expect(accepted + repaired + rerun).toBe(segments);
    }
  });
});

describe('a long run on workers', () => {
  const endless = input(1e12, 1000);

  it('tells its progress, and stops within a second of a signal', async () => {
    const stop = new AbortController();
    const told: RunProgress[] = [];
    let stopped = 0;
    const running = simulate(endless, {
      engine: 'ts',
      workers: 2,
      segmentAccesses: 1e9,
      signal: stop.signal,
      onProgress: (progress) => {
        told.push(progress);
        if (told.filter(({ done }) => done > 0).length === 5 && stopped === 0) {
          stopped = performance.now();
          stop.abort();
        }
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'run.cancelled' });
    expect(stopped).toBeGreaterThan(0);
    expect(performance.now() - stopped).toBeLessThan(1500);
    const done = told.map((progress) => progress.done);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(told[0]!.total).toBe(1e12);
  });

  it('stops while it builds page tables too', async () => {
    const stop = new AbortController();
    // A quarter of a gigabyte of page tables: seconds, in which the worker cannot look at anything.
    const large = { ...endless, footprint: '64GiB', workload: { pattern: 'uniform' } } as ConfigInput;
    const running = simulate(large, { engine: 'ts', workers: 2, segmentAccesses: 1e9, signal: stop.signal });
    const outcome = expect(running).rejects.toMatchObject({ code: 'run.cancelled' });
    await new Promise((later) => setTimeout(later, 1200));
    const stopped = performance.now();
    stop.abort();
    await outcome;
    expect(performance.now() - stopped).toBeLessThan(1500);
  });
});

describe('a worker that dies', () => {
  const { config } = resolveConfig(input(60_000, 5000));
  const cut: Cut = { accesses: 60_000, segmentAccesses: 20_000, warmup: 5000, checkpoint: 64, patience: 2 };

  async function withFailures(failures: readonly string[], heapMebibytes?: number) {
    const file = join(folder, 'failures');
    writeFileSync(file, failures.join('\n'));
    process.env.NESTWALK_TEST_FAILURES = file;
    const workerFile = new URL('./support/failingWorker.ts', import.meta.url);
    const pool = new WorkerPool(2, { workerFile, ...(heapMebibytes ? { heapMebibytes } : {}) });
    try {
      return await runSegments(config, 'ts', cut, pool);
    } finally {
      delete process.env.NESTWALK_TEST_FAILURES;
      await pool.close();
    }
  }

  it.each([
    ['ends', 'exit'],
    ['throws', 'throw'],
    ['runs out of memory', 'memory'],
  ])('because it %s loses its segment once, and nothing else', async (_, failure) => {
    const whole = await execute(config, 'ts');
    const outcome = await withFailures([failure], failure === 'memory' ? 64 : undefined);
    expect([...outcome.counters]).toEqual([...whole.counters]);
  });

  it('twice ends the run with the reason', async () => {
    await expect(withFailures(['exit', 'exit'])).rejects.toMatchObject({
      code: 'run.failed',
      message: expect.stringMatching(/exited with code: 3/),
    });
    await expect(withFailures(['throw', 'throw'])).rejects.toMatchObject({
      code: 'run.failed',
      message: expect.stringMatching(/it was told to throw/),
    });
    await expect(withFailures(['memory', 'memory'], 64)).rejects.toMatchObject({
      code: 'run.failed',
      message: expect.stringMatching(/memory/),
    });
  });
});
