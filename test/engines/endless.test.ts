/**
 * Streams that other simulators give up on: a dependent chase that misses everywhere, for as long as it runs (ChampSim's
 * livelock guard aborts it), and a stream whose every access faults first.
 */
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.ts';
import { countersFromBlock } from '../../src/results/counters.ts';
import { ENGINES } from '../support/engines.ts';

const PAGES = 4096;

describe.each(ENGINES)('$name', (engine) => {
  it('a chase round more pages than the TLBs hold misses for ever, and ends', async () => {
    const accesses = engine.engine === 'ts' ? 5 * PAGES : 200 * PAGES;
    const { config } = resolveConfig({
      seed: 1,
      accesses,
      machine: {
        l1d: [{ entries: 64, ways: 4, sizes: ['4KiB'] }],
        stlb: [{ entries: 1536, ways: 12, sizes: ['4KiB'] }],
      },
      paging: { mode: 'nested' },
      regions: [{ bytes: PAGES * 4096 }],
      workload: { pattern: 'chase' },
    });
    const counters = countersFromBlock((await engine.execute(config)).counters, []);
    // Round and round through 32 pages a set: least recently used is next used, so nothing ever hits.
    expect(counters).toMatchObject({ accesses, l1Misses: accesses, stlbMisses: accesses, walks: accesses });
    expect(counters.refs.gL1.g).toBe(accesses);
    expect(counters.refs.gPA.nL1).toBe(accesses);
    expect(counters.refHits.guest.memory + counters.refHits.nested.memory).toBe(24 * accesses);
  });

  it('a chase on demand faults twice a page, once for each dimension, and then never again', async () => {
    const { config } = resolveConfig({
      seed: 1,
      accesses: 2 * PAGES,
      machine: { tagged: [] },
      paging: { mode: 'nested', populate: 'demand' },
      regions: [{ bytes: PAGES * 4096 }],
      workload: { pattern: 'chase' },
    });
    const { counters: block, events } = await engine.execute(config);
    const counters = countersFromBlock(block, []);
    expect(counters).toMatchObject({ accesses: 2 * PAGES, guestFaults: PAGES, nestedViolations: PAGES });
    // Tables: the root, one of level 3, one of level 2, and one of level 1 for each 512 pages, backed as they are made. The
    // root is backed before the run starts.
    expect(events).toMatchObject({ guestFaults: PAGES, nestedViolations: PAGES, tableViolations: 0 });
    expect(events.tableBackings).toBe(1 + 1 + 1 + PAGES / 512);
  });
});
