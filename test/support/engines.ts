/**
 * The engines that this processor can run, under one face, so that a suite is written once and bound to each: the
 * TypeScript twin, and the C++ core in every instruction-set tier. Without a built addon there is only the twin.
 */
import type { ResolvedConfig } from '../../src/config/resolved.ts';
import { createHardware, type HardwareSetup, type SimulatedHardware } from '../../src/engine/hardware.ts';
import { type EngineChoice, loadNative, type NativeAddon } from '../../src/engine/loader.ts';
import { NestwalkError } from '../../src/errors.ts';
import { execute, type RunOutcome } from '../../src/run/execute.ts';
import { MACHINE } from '../../src/schema.ts';

/** One engine, and for the native one its tier. */
export interface Engine {
  /** For titles of tests: `ts`, `native avx2`. */
  readonly name: string;
  readonly engine: 'native' | 'ts';
  /** Instruction-set tier; `none` for TypeScript. */
  readonly tier: string;
  /** Makes a machine on this engine. */
  create(setup: HardwareSetup): SimulatedHardware;
  /** Runs a configuration to its end on this engine. */
  execute(config: ResolvedConfig): Promise<RunOutcome>;
}

/** The addon, or `undefined` where none was built. A file that is there and does not load or fit is an error. */
export const addon: NativeAddon | undefined = (() => {
  try {
    return loadNative();
  } catch (error) {
    if (error instanceof NestwalkError && error.code === 'engine.missing') return undefined;
    throw error;
  }
})();

/** Calls something while `NESTWALK_ISA` names a tier: the loader looks there when it makes a machine. */
function withTier<T>(tier: string, call: () => T): T {
  const before = process.env.NESTWALK_ISA;
  process.env.NESTWALK_ISA = tier;
  try {
    return call();
  } finally {
    if (before === undefined) delete process.env.NESTWALK_ISA;
    else process.env.NESTWALK_ISA = before;
  }
}

const twin: Engine = {
  name: 'ts',
  engine: 'ts',
  tier: 'none',
  create: (setup) => createHardware({ engine: 'ts', reason: 'a test' }, setup),
  execute: (config) => execute(config, 'ts'),
};

function nativeEngine(found: NativeAddon, tier: string): Engine {
  const choice: EngineChoice = { engine: 'native', reason: 'a test', addon: found };
  return {
    name: `native ${tier}`,
    engine: 'native',
    tier,
    create: (setup) => withTier(tier, () => createHardware(choice, setup)),
    // A synthetic run makes its machine before it first waits.
    execute: (config) => withTier(tier, () => execute(config, 'native')),
  };
}

/** The same engine looking for lulls at every turn, however short. Its `execute` is the plain engine's. */
const eager = (engine: Engine): Engine => ({
  ...engine,
  name: `${engine.name}, eager`,
  create: (setup) => {
    const machine = setup.machine.slice();
    machine[MACHINE.eagerLulls] = 1;
    return engine.create({ ...setup, machine });
  },
});

/** Every engine that runs here, the twin first. */
export const ENGINES: readonly Engine[] = [
  twin,
  ...(addon?.tiers ?? []).map((tier) => nativeEngine(addon!, tier)),
];
/** The engines that are held against the twin. */
export const NATIVE_ENGINES = ENGINES.slice(1);
/**
 * Every engine, and those that find lulls once more as they look for them at every turn: what an access does must not
 * depend on the way that it takes.
 */
export const EVERY_WAY: readonly Engine[] = [...ENGINES, ...NATIVE_ENGINES.map(eager)];
/** The TypeScript twin. */
export const TWIN = twin;
