/**
 * What the software promises the hardware, and what happens when it does not keep it: page numbers inside their address
 * space, and a run in which nothing faults or changes.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.ts';
import type { ComponentConfig } from '../../src/config/resolved.ts';
import { seedWords } from '../../src/config/units.ts';
import { contextBlock, machineBlock } from '../../src/engine/machineBlock.ts';
import { createSystem } from '../../src/hypervisor/system.ts';
import { encodeWorkload } from '../../src/workload/encode.ts';
import { configuration, plainMachine, promised } from '../support/arbitraries.ts';
import { Bed, CLEAN, FULL } from '../support/bed.ts';
import { ENGINES, TWIN } from '../support/engines.ts';

describe.each(ENGINES)('$name: beyond the address space', (engine) => {
  it.each([2, 3, 4, 5])('a virtual page beyond %i levels is never taken for another one', (levels) => {
    const bed = new Bed({ mode: 'native', guestLevels: levels, pageBound: 512 ** levels + 8 }).map(5, 7);
    const rig = bed.machine(engine);
    expect(rig.read(5).status).toBe('done');
    expect(rig.read(512 ** levels + 5)).toMatchObject({ status: 'corruptTable', counts: {} });
  });

  it('nor is a guest-physical one', () => {
    const beyond = 512 ** 2 + 7;
    const bed = new Bed({ mode: 'nested', nestedLevels: 2 })
      .map(5, 7)
      .map(6, beyond)
      .back(7, 300)
      .backTables(400);
    const rig = bed.machine(engine);
    expect(rig.read(5).status).toBe('done');
    const walk = rig.read(6);
    expect(walk).toMatchObject({ status: 'corruptTable', refs: 0 });
    // The walk went as far as the guest's leaf; nothing of the page itself was read.
    expect(Object.keys(walk.counts).filter((path) => path.includes('gPA'))).toEqual([]);
  });
});

// The native engine takes the promise at its word where that saves the walk; the twin is what holds runs to it.
describe('ts: a run that is promised to change nothing', () => {
  it.each([
    ['a read', 'A', CLEAN],
    ['a write', 'D', FULL & ~0x40],
  ] as const)('ends at %s that would set %s', (_, bit, flags) => {
    const bed = new Bed({ mode: 'native', isStatic: true }).map(5, 7, { flags }).map(6, 8);
    const rig = bed.machine(TWIN);
    expect(rig.read(6).status).toBe('done');
    const { status } = bit === 'A' ? rig.read(5) : rig.write(5);
    expect(status).toBe('notStatic');
  });

  it('ends at a fault', () => {
    const rig = new Bed({ mode: 'native', isStatic: true }).map(6, 8).machine(TWIN);
    expect(rig.read(6).status).toBe('done');
    expect(rig.read(5).status).toBe('notStatic');
  });
});

describe('ts: a run with and without the promise', () => {
  it('counts the same and leaves the same state, though TLBs take a promised one in passes', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(
        fc.oneof(configuration(4000), configuration(4000, plainMachine)),
        sizes,
        (input, pieces) => {
          const { config } = resolveConfig({ ...promised(input), optional: input.optional });
          const taken = (isStatic: boolean) => {
            const system = createSystem(config);
            expect(system.static).toBe(true);
            const workload = encodeWorkload(
              config.workload as ComponentConfig,
              config.regions,
              seedWords(config.seed),
            );
            const setup = {
              machine: machineBlock(config, system.bounds, isStatic),
              memory: system.memory.buffer,
              workload,
            };
            const hardware = TWIN.create(setup);
            hardware.loadContext(contextBlock(system.context));
            for (let from = 0, k = 0; from < config.accesses!; k++) {
              const count = Math.min(pieces[k % pieces.length], config.accesses! - from);
              expect(hardware.runSynthetic(from, count)).toBe(count);
              from += count;
            }
            const { unique, reuse } = { unique: hardware.unique(), reuse: hardware.reuse() };
            return [hardware.counters(), unique, reuse, hardware.saveState()].map((block) => [...block]);
          };
          expect(taken(true)).toEqual(taken(false));
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);
});
