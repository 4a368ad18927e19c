/** The host of a scenario, as its driver sees it: cores, guests, and what is counted. */
import { philox } from '../hardware/philox.ts';
import type { Ledger } from '../hypervisor/ledger.ts';
import type { GuestKernel } from '../kernel/guestKernel.ts';
import type { RunControl } from '../run/control.ts';
import { COUNTER_SLOTS } from '../schema.ts';
import type { Core } from './core.ts';
import { memoryDigest } from './digest.ts';
import type { Guest } from './guest.ts';
import type { ScenarioPlatform } from './setup.ts';

/** Steps of progress that one run of a scenario counts as. */
export const PROGRESS_STEPS = 1000;

/** What the guests' programs saw of their memory at one moment. */
export interface Checkpoint {
  /** What the driver calls the moment; the end is `end`. */
  label: string;
  /** Digest of all mappings of all processes (16 hex digits): the same on every platform. */
  memory: string;
}

/** What a host is made of. */
export interface HostParts {
  /** Name of the platform. */
  platform: ScenarioPlatform;
  cores: readonly Core[];
  guests: readonly Guest[];
  /** Counts for all guests. */
  ledger: Ledger;
  control: RunControl;
  seed: { low: number; high: number };
}

/** The host. */
export class Host {
  /** The platform that this run is on; a driver that asks does not do the same everywhere. */
  readonly platform: ScenarioPlatform;
  /** Its guests, as many as `setup` asked for. */
  readonly guests: readonly Guest[];
  readonly #cores: readonly Core[];
  readonly #ledger: Ledger;
  readonly #control: RunControl;
  readonly #seed: { low: number; high: number };
  readonly #words = new Uint32Array(4);
  readonly #checkpoints: Checkpoint[] = [];
  #before: Float64Array[];
  #started = performance.now();
  #operations = 0;
  #drawn = 0;

  constructor(parts: HostParts) {
    this.platform = parts.platform;
    this.guests = parts.guests;
    this.#cores = parts.cores;
    this.#ledger = parts.ledger;
    this.#control = parts.control;
    this.#seed = parts.seed;
    this.#before = this.#cores.map((core) => core.counters());
  }

  /** The first guest; of most scenarios the only one. */
  get guest(): Guest {
    return this.guests[0]!;
  }

  /** Forgets what was counted so far: from here on the scenario is measured. */
  measure(): void {
    this.#ledger.clear();
    this.#operations = 0;
    this.#before = this.#cores.map((core) => core.counters());
    this.#started = performance.now();
  }

  /** Counts operations done, of the scenario's own kind; cycles are shown for each of them. */
  operations(count = 1): void {
    this.#operations += count;
  }

  /**
   * Tells how far the driver is, and stops it when somebody has asked for that.
   * @throws NestwalkError `run.cancelled`
   */
  progress(done: number, total: number): void {
    this.#control.progress(Math.round((PROGRESS_STEPS * done) / Math.max(1, total)));
    this.#cores[0]!.stopIfCancelled();
  }

  /** Lets everything else in this thread have its turn, where a scenario runs in the caller's own: signals, timers. */
  breathe(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Notes what the guests' programs see of their memory now, to be compared between platforms. */
  checkpoint(label: string): void {
    const kernels: GuestKernel[] = [...new Set(this.guests.map(({ kernel }) => kernel))];
    this.#checkpoints.push({ label, memory: memoryDigest(kernels) });
  }

  /**
   * The next number drawn from the seed: the same sequence on every platform.
   * @returns a whole number from 0, below `bound`
   * @param bound from 1 to 2^32
   */
  random(bound: number): number {
    const { low, high } = this.#seed;
    // Purpose 8 is no purpose of the hardware's: nothing else draws these words.
    philox(this.#drawn % 2 ** 32, Math.floor(this.#drawn / 2 ** 32), 0, 8, low, high, this.#words);
    this.#drawn += 1;
    return Math.floor((this.#words[0]! * bound) / 2 ** 32);
  }

  /** What was counted since {@link measure}. */
  measured(): {
    counters: Float64Array;
    events: Record<string, number>;
    operations: number;
    checkpoints: Checkpoint[];
    seconds: number;
  } {
    const counters = new Float64Array(COUNTER_SLOTS);
    this.#cores.forEach((core, number) => {
      const now = core.counters();
      const before = this.#before[number]!;
      for (let slot = 0; slot < counters.length; slot++) counters[slot]! += now[slot]! - before[slot]!;
    });
    return {
      counters,
      events: { ...this.#ledger.events },
      operations: this.#operations,
      checkpoints: [...this.#checkpoints],
      seconds: (performance.now() - this.#started) / 1000,
    };
  }
}
