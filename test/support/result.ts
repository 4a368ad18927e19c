/** A made-up result for tests of what only reads results. */
import type { ResolvedConfig } from '../../src/config/resolved.ts';
import { countersFromBlock } from '../../src/results/counters.ts';
import { computeMetrics } from '../../src/results/metrics.ts';
import type { Result } from '../../src/results/types.ts';
import { COUNTER_SLOTS, SCHEMA_FINGERPRINT } from '../../src/schema.ts';

/** A small machine with every kind of structure that may go together. */
export const config = (paging: Partial<ResolvedConfig['paging']> = {}): ResolvedConfig => ({
  seed: 1,
  accesses: 1000,
  optional: [],
  machine: {
    l1d: [
      { entries: 64, ways: 4, sizes: ['4KiB'], replacement: 'lru' },
      { entries: 32, ways: 4, sizes: ['2MiB'], replacement: 'lru' },
    ],
    l1i: null,
    stlb: [{ entries: 1536, ways: 12, sizes: ['4KiB', '2MiB'], replacement: 'lru' }],
    psc: { l2: { entries: 32, ways: 4 }, l3: { entries: 4, ways: 4 }, latency: 1 },
    nestedPsc: { l2: { entries: 16, ways: 4 }, latency: 2 },
    ntlb: { entries: 16, ways: 16, holds: 'all', latency: 3 },
    pwc: null,
    caches: [
      { name: 'L2', size: 2 ** 20, ways: 16, line: 64, latency: 14 },
      { name: 'LLC', size: 2 ** 25, ways: 16, line: 64, latency: 50 },
    ],
    memoryLatency: 200,
    stlbLatency: 7,
    dataThroughCaches: false,
    nestedAD: true,
    tagged: ['vpid', 'pcid'],
  },
  paging: {
    mode: 'nested',
    guestPage: '4KiB',
    nestedPage: '2MiB',
    guestLevels: 4,
    nestedLevels: 4,
    populate: 'prefault',
    placement: 'contiguous',
    ad: 'set',
    ...paging,
  },
  context: { tag: 1, vm: 1 },
  regions: [{ bytes: 2 ** 30, base: 2 ** 40 }],
  workload: { pattern: 'uniform', region: 0, writeFraction: 0 },
  run: { engine: 'auto', workers: 1, warmup: 1e6 },
});

/** A result with the counters of a block (all zero by default). */
export function resultOf(of = config(), block = new Float64Array(COUNTER_SLOTS)): Result {
  const counters = countersFromBlock(
    block,
    of.machine.caches.map((cache) => cache.name),
  );
  return {
    schema: SCHEMA_FINGERPRINT,
    config: of,
    counters,
    ledger: { events: {} },
    metrics: computeMetrics(counters, of),
    provenance: {
      version: '0.0.0',
      schema: SCHEMA_FINGERPRINT,
      engine: 'ts',
      tier: 'none',
      engineReason: 'asked for',
      node: 'v20',
      cpu: 'test',
      workers: 1,
      prepareSeconds: 0,
      seconds: 2,
      accessesPerSecond: 500,
      segments: { accepted: 1, repaired: 0, rerun: 0 },
      hashes: {},
    },
  };
}
