/** One address walked in many ways, for a page to switch between: modes, page sizes, and states of the machine. */
import { resolveConfig } from '../config/resolve.ts';
import type { MachineConfig, ResolvedConfig } from '../config/resolved.ts';
import { NestwalkError } from '../errors.ts';
import { MACHINE_PRESETS } from '../machines/presets.ts';
import type { WalkSteps } from '../results/types.ts';
import { type AccessKind, PAGE_SIZES, type PageSize } from '../schema.ts';
import { walkOnce } from './walkOnce.ts';

/** Ways of paging that are laid beside each other, where this version knows them. */
const MODES = ['native', 'shadow', 'nested'] as const;
/** Machine of the states with caches, where the configuration's has none. */
const TEACHING_PRESET = 'skylake-sp';
/** Accesses that warm a machine, where nothing else is said: enough to fill the walk caches, too few to touch every page. */
const WARM_ACCESSES = 1000;

/**
 * What the machine holds before the walk. `bare`: there is no TLB and no cache at all; `cold`: all are empty; `warm`:
 * accesses of the workload have been made; `again`: so has this very one.
 */
export type GalleryState = 'bare' | 'cold' | 'warm' | 'again';
/** All states, in the order in which they shorten a walk. */
export const GALLERY_STATES: readonly GalleryState[] = ['bare', 'cold', 'warm', 'again'];

/** One walk of a gallery: what was chosen, and what came of it. */
export interface GalleryWalk {
  mode: string;
  guestPage: PageSize;
  /** Absent natively, where there is no nested table. */
  nestedPage?: PageSize;
  state: GalleryState;
  /** The walk and its whole configuration; absent where {@link GalleryWalk.reason} says why there is none. */
  told?: { walk: WalkSteps; config: ResolvedConfig };
  /** Why the configuration cannot have this. */
  reason?: string;
}

/** One address, walked in every way that the configuration allows. */
export interface WalkGallery {
  /** Guest virtual address, `0x…`. */
  address: string;
  kind: AccessKind;
  /** The configuration that was asked for. */
  config: ResolvedConfig;
  /** Modes that this version knows, in the order of the picture. */
  modes: string[];
  /** Machine of the states `cold`, `warm` and `again`. */
  machine: MachineConfig;
  /** Accesses of the workload before the states `warm` and `again`. */
  warm: number;
  /** What was asked for: where the page begins. */
  shown: { mode: string; guestPage: PageSize; nestedPage: PageSize; state: GalleryState };
  walks: GalleryWalk[];
}

/** What {@link walkGallery} may be told beside the configuration. */
export interface GalleryOptions {
  kind?: AccessKind;
  /** Accesses of the workload that warm the machine; default 1,000. With a number the page begins with the warm machine. */
  warm?: number;
  /** Stops it; it then rejects with the code `run.cancelled`. */
  signal?: AbortSignal;
  /** Told before each walk how many are done. It must not throw. */
  onProgress?: (done: number, of: number) => void;
}

/** Whether a machine has nothing that could answer but memory. */
const isBare = ({ l1d, l1i, stlb, psc, nestedPsc, ntlb, pwc, caches }: MachineConfig): boolean =>
  l1d.length + stlb.length + caches.length === 0 && !(l1i || psc || nestedPsc || ntlb || pwc);

/** A machine without all that could answer before memory. */
const stripped = ({ preset: _, ...machine }: MachineConfig): MachineConfig => ({
  ...machine,
  l1d: [],
  l1i: null,
  stlb: [],
  psc: null,
  nestedPsc: null,
  ntlb: null,
  pwc: null,
  caches: [],
});

/** The configuration of one choice; its regions stay where they are. */
const variant = (
  config: ResolvedConfig,
  machine: MachineConfig,
  { mode, guestPage, nestedPage }: { mode: string; guestPage: PageSize; nestedPage?: PageSize },
): unknown => ({
  ...config,
  machine,
  paging: { ...config.paging, mode, guestPage, ...(nestedPage ? { nestedPage } : {}) },
});

/** Whether this version knows a mode. What else may be wrong with the configuration is no matter here. */
function isKnown(config: ResolvedConfig, mode: string): boolean {
  try {
    resolveConfig(variant(config, config.machine, { ...config.paging, mode }));
    return true;
  } catch (error) {
    if (!(error instanceof NestwalkError)) throw error;
    return !error.problems.some(({ path }) => path === 'paging.mode');
  }
}

/** Every choice of page sizes that a mode has. */
const sizesOf = (mode: string): { guestPage: PageSize; nestedPage?: PageSize }[] =>
  PAGE_SIZES.flatMap((guestPage): { guestPage: PageSize; nestedPage?: PageSize }[] =>
    mode === 'native' ? [{ guestPage }] : PAGE_SIZES.map((nestedPage) => ({ guestPage, nestedPage })),
  );

/**
 * Walks one address in every mode, with every pair of page sizes, on a machine bare, cold, warm, and after the same
 * access. A machine that has neither TLBs nor caches lends itself those of a Skylake for the states that need them.
 *
 * @param input a configuration as `resolveConfig` takes it, synthetic
 * @param address guest virtual address, in one of the configuration's regions
 * @throws NestwalkError as `walkOnce` for what was asked for; another choice that the configuration cannot have is
 *   noted with its reason
 */
export async function walkGallery(
  input: unknown,
  address: number,
  options: GalleryOptions = {},
): Promise<WalkGallery> {
  const { config } = resolveConfig(input, { defaultSeed: 1 });
  const { signal, onProgress, kind = 'read' } = options;
  const machine: MachineConfig = isBare(config.machine)
    ? { preset: TEACHING_PRESET, ...structuredClone(MACHINE_PRESETS[TEACHING_PRESET]!.machine) }
    : config.machine;
  const warm = options.warm || WARM_ACCESSES;
  const { mode, guestPage, nestedPage } = config.paging;
  const modes: string[] = MODES.filter((name) => isKnown(config, name));
  if (!modes.includes(mode)) modes.push(mode);
  const state = options.warm ? 'warm' : isBare(config.machine) ? 'bare' : 'cold';

  // First what was asked for: if there is something wrong with it, that is the answer.
  const asked = await walkOnce(config, address, { kind, warm: options.warm ?? 0, signal });
  const choices = modes.flatMap((name) =>
    sizesOf(name).flatMap((sizes) =>
      GALLERY_STATES.map((chosen): GalleryWalk => ({ mode: name, ...sizes, state: chosen })),
    ),
  );
  const walks: GalleryWalk[] = [];
  for (const choice of choices) {
    onProgress?.(walks.length, choices.length);
    const own = choice.state === 'bare' ? stripped(config.machine) : machine;
    const before = choice.state === 'bare' || choice.state === 'cold' ? 0 : warm;
    const again = choice.state === 'again';
    try {
      const resolved = resolveConfig(variant(config, own, choice)).config;
      const walk = await walkOnce(resolved, address, { kind, warm: before, again, signal });
      walks.push({ ...choice, told: { walk, config: resolved } });
    } catch (error) {
      if (!(error instanceof NestwalkError) || error.code === 'run.cancelled') throw error;
      walks.push({ ...choice, reason: error.message });
    }
  }
  return {
    address: asked.address,
    kind,
    config,
    modes,
    machine,
    warm,
    shown: { mode, guestPage, nestedPage, state },
    walks,
  };
}
