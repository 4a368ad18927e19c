/**
 * Proof that the suite in this folder runs what it says it runs. Without it a broken build, or a loader that falls back,
 * would let every other file test the twin twice.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.ts';
import { Core } from '../../src/hardware/core.ts';
import { execute } from '../../src/run/execute.ts';
import { SCHEMA_FINGERPRINT } from '../../src/schema.ts';
import { Bed, FULL } from '../support/bed.ts';
import { addon, ENGINES, NATIVE_ENGINES, TWIN } from '../support/engines.ts';

const BUILT = fileURLToPath(new URL('../../build/Release/nestwalk.node', import.meta.url));

const { config } = resolveConfig({ seed: 1, accesses: 1000, workload: 'uniform', footprint: '1MiB' });

/** What stands behind the face of a machine: the engine's own object. */
const innards = (hardware: object): unknown[] => Object.values(hardware);

describe('the engines', () => {
  it('are the twin, and the native one in every tier of this processor', () => {
    expect(ENGINES[0]).toBe(TWIN);
    expect(NATIVE_ENGINES.map(({ tier }) => tier)).toEqual(addon?.tiers ?? []);
    expect(new Set(ENGINES.map(({ name }) => name)).size).toBe(ENGINES.length);
  });

  it.skipIf(!existsSync(BUILT))('include the native one where it was built', () => {
    expect(addon?.fingerprint).toBe(SCHEMA_FINGERPRINT);
    expect(NATIVE_ENGINES.length).toBeGreaterThan(0);
    expect(NATIVE_ENGINES[0].tier).toBe('base');
  });
});

describe.each(ENGINES)('$name', (engine) => {
  it('is what a run says that it ran on', async () => {
    const outcome = await engine.execute(config);
    expect([outcome.engine, outcome.tier]).toEqual([engine.engine, engine.tier]);
    expect(outcome.engineReason).toBe('asked for');
  });

  it('is what makes machines: a C++ object of the addon, or a TypeScript core, and never the other', () => {
    const { hardware } = new Bed({ mode: 'native' }).machine(engine);
    expect([hardware.engine, hardware.tier]).toEqual([engine.engine, engine.tier]);
    const isCore = innards(hardware).some((value) => value instanceof Core);
    const native = addon?.Hardware;
    const isAddon = native !== undefined && innards(hardware).some((value) => value instanceof native);
    expect([isCore, isAddon]).toEqual(engine.engine === 'ts' ? [true, false] : [false, true]);
  });

  it('walks the very memory that it was given', () => {
    const bed = new Bed({ mode: 'native' }).map(5, 7, { flags: FULL & ~0x60 });
    const rig = bed.machine(engine);
    expect(rig.write(5)).toMatchObject({ status: 'done', refs: 4 });
    expect(bed.entry(bed.guest, 5, 1).ad).toBe('AD');
  });
});

describe.skipIf(!addon)('NESTWALK_ISA', () => {
  it('that names no tier of this processor is an error that lists them', async () => {
    const before = process.env.NESTWALK_ISA;
    process.env.NESTWALK_ISA = 'sse9';
    try {
      await expect(execute(config, 'native')).rejects.toThrow(/"sse9"; this processor has base/);
    } finally {
      if (before === undefined) delete process.env.NESTWALK_ISA;
      else process.env.NESTWALK_ISA = before;
    }
  });
});
