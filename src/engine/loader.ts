/**
 * The one place that finds and loads the native engine, and the one place that says which engine a run takes.
 * Only a file that is not there makes the TypeScript engine step in; a file that is there but does not load, or
 * was built from another schema, is an error: silently slow or silently wrong is worse than stopped.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { NestwalkError } from '../errors.ts';
import type { WorkloadBlock } from '../hardware/access.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';

/**
 * Blocks (src/schema.ts) through which a machine of the native engine and its caller speak in small calls: to look at
 * an array that crosses the border takes as long as a few accesses.
 */
export interface NativeExchange {
  /** Context block that `loadContext` reads. */
  readonly context: Float64Array;
  /** Fault block of the last run. */
  readonly fault: Float64Array;
  /** Pages of the accesses of `runShort`. */
  readonly pages: Float64Array;
  /** Their words; as long as `pages`. */
  readonly words: Uint16Array;
}

/** A workload made ready for machines of the native engine. */
export type NativeWorkload = object;

/** A machine of the native engine: blocks as in src/schema.ts. `SimulatedHardware` says what each method does. */
export interface NativeHardware {
  loadContext(): void;
  loadWorkload(workload: NativeWorkload | undefined): void;
  runSynthetic(from: number, count: number): number;
  runRecorded(pages: Float64Array, words: Uint16Array, first: number, count: number, index: number): number;
  runShort(count: number, index: number): number;
  invlpg(tag: number, page: number): void;
  flushTag(tag: number): void;
  invept(vm: number): void;
  flushAll(): void;
  readCounters(counters: Float64Array): void;
  writeCounters(counters: Float64Array): void;
  readUnique(): Float64Array;
  readReuse(): Float64Array;
  saveState(): Float64Array;
  loadState(state: Float64Array): void;
}

/** What the addon exports. */
export interface NativeAddon {
  /** Fingerprint of the schema that the addon was compiled with. */
  readonly fingerprint: string;
  /** The best instruction-set tier that this processor has. */
  readonly tier: string;
  /** The tiers that this processor has, the plainest first. */
  readonly tiers: readonly string[];
  /** Asks the system for huge pages behind memory that is not touched yet: a hint for speed. */
  readonly adviseHugePages: (memory: Uint32Array) => void;
  readonly Hardware: new (
    tier: string,
    machine: Float64Array,
    memory: Uint32Array,
    exchange: NativeExchange,
  ) => NativeHardware;
  readonly Workload: new (tier: string, block: WorkloadBlock) => NativeWorkload;
  /** `SimulatedStack` of src/engine/hardware.ts; `cells` are pairs (entries, ways). */
  readonly Stack: new (
    tier: string,
    machine: Float64Array,
    front: NativeHardware,
    cells: Float64Array,
    walkers: NativeHardware[],
  ) => { finish(): boolean; misses(): Float64Array };
}

/**
 * The instruction-set tier that runs take: the best one, or the one that `NESTWALK_ISA` names.
 * @throws NestwalkError `usage` when it names one that this processor lacks
 */
export function nativeTier(addon: NativeAddon): string {
  const wish = process.env.NESTWALK_ISA;
  if (wish === undefined || wish === '') return addon.tier;
  if (addon.tiers.includes(wish)) return wish;
  throw new NestwalkError(
    'usage',
    `NESTWALK_ISA is "${wish}"; this processor has ${addon.tiers.join(', ')}. Correct or unset it.`,
  );
}

/** What a caller may ask for; `auto` takes the native engine where it is there. */
export const ENGINE_REQUESTS = ['auto', 'native', 'ts'] as const;
/** One of {@link ENGINE_REQUESTS}. */
export type EngineRequest = (typeof ENGINE_REQUESTS)[number];

/** Which engine runs, and why; `addon` is there when `engine` is `native`. */
export type EngineChoice =
  | { readonly engine: 'native'; readonly reason: string; readonly addon: NativeAddon }
  | { readonly engine: 'ts'; readonly reason: string; readonly addon?: undefined };

const require = createRequire(import.meta.url);
/** Two folders up, from `src/engine` and from `dist/engine` alike. */
const PACKAGE_ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Path of the addon file (`build/Release` before `prebuilds`), or why there is none. */
function locate(root: string): { file: string } | { missing: string } {
  const { path } = require('node-gyp-build') as { path(root: string): string };
  try {
    return { file: path(root) };
  } catch (error) {
    const firstLine = (error as Error).message.split('\n')[0];
    return { missing: firstLine.replace(/^No native build was found/, 'no native engine was found') };
  }
}

/** Loads an addon file and makes sure that it is ours and of this schema. */
function load(file: string): NativeAddon {
  let addon: Partial<NativeAddon> | null | undefined;
  try {
    addon = require(file);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new NestwalkError(
      'engine.failed',
      `The native engine ${file} is there but does not load: ${why}. Run \`npm run build:native\` (in a clone) or \`npm rebuild nestwalk\`, or set NESTWALK_ENGINE=ts to do without it.`,
      { cause },
    );
  }
  const fingerprint = addon?.fingerprint;
  if (fingerprint !== SCHEMA_FINGERPRINT) {
    const carries = typeof fingerprint === 'string' ? `carries ${fingerprint}` : 'carries none';
    throw new NestwalkError(
      'engine.stale',
      `The native engine ${file} was not built from these sources: schema fingerprint ${SCHEMA_FINGERPRINT} is needed, the file ${carries}. Run \`npm run build:native\` (in a clone) or \`npm rebuild nestwalk\`, or set NESTWALK_ENGINE=ts to do without it.`,
    );
  }
  return addon as NativeAddon;
}

/** A loaded addon by package folder: a process loads it once. */
const loaded = new Map<string, NativeAddon>();

/** The addon, or why there is none; throws when a file is there but is not fit. */
function find(root: string): { addon: NativeAddon } | { missing: string } {
  const known = loaded.get(root);
  if (known) return { addon: known };
  const place = locate(root);
  if ('missing' in place) return place;
  const addon = load(place.file);
  loaded.set(root, addon);
  return { addon };
}

/**
 * Loads the native engine, once in a process.
 *
 * @param root folder that holds `build/` or `prebuilds/`; the package itself unless a test says otherwise
 * @throws NestwalkError `engine.missing` when there is no file for this platform, `engine.failed` when the file does not
 * load, `engine.stale` when it was built from another schema or is not nestwalk's
 */
export function loadNative(root: string = PACKAGE_ROOT): NativeAddon {
  const found = find(root);
  if ('addon' in found) return found.addon;
  throw new NestwalkError(
    'engine.missing',
    `The native engine was asked for, but ${found.missing}. Install g++, make and python3 and run \`npm rebuild nestwalk\` (in a clone: \`npm run build:native\`), or use the TypeScript engine.`,
  );
}

/** The wish of the environment variable `NESTWALK_ENGINE`. */
function environmentRequest(): EngineRequest {
  const value = process.env.NESTWALK_ENGINE;
  if (value === undefined || value === '') return 'auto';
  if ((ENGINE_REQUESTS as readonly string[]).includes(value)) return value as EngineRequest;
  throw new NestwalkError(
    'usage',
    `NESTWALK_ENGINE is "${value}"; it may be "auto", "native" or "ts". Correct or unset it.`,
  );
}

/**
 * Chooses the engine of a run. A request of `native` or `ts` is obeyed; `auto` leaves it to `NESTWALK_ENGINE`, and
 * where that too says `auto` or nothing, the native engine runs if it is there.
 *
 * @param request what the configuration or the caller asks for
 * @param root folder of the addon, as in {@link loadNative}
 * @throws NestwalkError as {@link loadNative} does, but `engine.missing` only when `native` was asked for;
 * `usage` when `NESTWALK_ENGINE` has another value
 */
export function chooseEngine(request: EngineRequest = 'auto', root: string = PACKAGE_ROOT): EngineChoice {
  const asked = request !== 'auto';
  const wish = asked ? request : environmentRequest();
  const because = asked ? 'asked for' : `NESTWALK_ENGINE=${wish}`;
  if (wish === 'ts') return { engine: 'ts', reason: because };
  if (wish === 'native') return { engine: 'native', reason: because, addon: loadNative(root) };
  const found = find(root);
  if ('addon' in found) return { engine: 'native', reason: 'found', addon: found.addon };
  return { engine: 'ts', reason: found.missing };
}
