/**
 * Simulated physical memory. Only page tables have contents, so only they take room: one `SharedArrayBuffer` that
 * holds the zones of table pages back to back, read by the hardware and edited by the software.
 */
import { NestwalkError } from '../errors.ts';
import { ENTRIES_PER_TABLE } from '../schema.ts';
import { entryHigh, entryLow } from './entry.ts';

/** Bytes of a table page: one 4 KiB frame. */
const TABLE_BYTES = 4096;

/** A zone to make room for: its first frame number, the exact number of table pages, and a name for messages. */
export interface ZonePlan {
  name: string;
  base: number;
  frames: number;
}

/** What the hardware needs to know of a zone: first frame, frames, first 64-bit word in simulated memory. */
export interface ZoneExtent {
  base: number;
  frames: number;
  word: number;
}

/**
 * Consecutive entries of one table page, written at once. `frames` holds the frame numbers of the first `count`
 * entries; all get the same flags, so where flags change a writer begins a new run. Without P in `flags` the entries are
 * cleared (frames and flags 0) or keep a mark of the software's own, and `frames` are no frames.
 */
export interface EntryRun {
  /** Frame number of the table page, in the space that the table lives in. */
  table: number;
  /** Level of that table page. */
  level: number;
  /** Index of the first entry, 0 to 511. */
  index: number;
  /** Address >> 12 that the first entry translates. */
  page: number;
  /** Entries; `index + count` is at most 512. */
  count: number;
  /** Frame numbers (address >> 12); only the first `count` count. */
  frames: Float64Array;
  /** Bits 0 to 11 of each entry. */
  flags: number;
}

/** A run of frames that holds table pages: frame `f` index `i` is the 64-bit word `word + (f - base) * 512 + i`. */
export class Zone implements ZoneExtent {
  readonly name: string;
  readonly base: number;
  readonly frames: number;
  readonly word: number;
  /** All of simulated memory as 32-bit halves: word `w` has its low half at `2w`. */
  readonly halves: Uint32Array;
  /** Pages handed out at least once: those from here on have never been written. */
  #fresh = 0;
  /** Pages given back, to be taken again last first. */
  readonly #free: number[] = [];

  constructor(plan: ZonePlan, word: number, halves: Uint32Array) {
    this.name = plan.name;
    this.base = plan.base;
    this.frames = plan.frames;
    this.word = word;
    this.halves = halves;
  }

  /** Table pages in use. */
  get used(): number {
    return this.#fresh - this.#free.length;
  }

  /** Most table pages that were ever in use at a time. */
  get peak(): number {
    return this.#fresh;
  }

  /** Whether a frame lies in this zone. */
  contains(frame: number): boolean {
    return frame >= this.base && frame < this.base + this.frames;
  }

  /** Position of the low half of an entry in {@link halves}; the frame must lie in the zone. */
  halfOf(frame: number, index: number): number {
    return (this.word + (frame - this.base) * ENTRIES_PER_TABLE + index) * 2;
  }

  /**
   * A free table page, all its entries clear: the one given back last, else the next in ascending order.
   * @returns its frame number
   * @throws NestwalkError `memory.full` when the zone has no free page
   */
  take(): number {
    const again = this.#free.pop();
    if (again !== undefined) return again;
    if (this.#fresh === this.frames) {
      throw new NestwalkError(
        'memory.full',
        `the ${this.name} holds ${this.frames} table pages and all are in use; it is sized for what is to be mapped ` +
          '(the regions, the trace, the memory of a guest), so something beyond that was mapped',
      );
    }
    return this.base + this.#fresh++;
  }

  /**
   * Takes a table page back that nothing points at any more.
   * @param clear whether all its entries are clear already; otherwise they are cleared
   */
  release(frame: number, clear = false): void {
    if (!this.contains(frame)) throw new RangeError(`frame ${frame} is no page of the ${this.name}`);
    if (!clear) {
      const at = this.halfOf(frame, 0);
      this.halves.fill(0, at, at + 2 * ENTRIES_PER_TABLE);
    }
    this.#free.push(frame);
  }

  /** Writes a run of entries. No invalidation is implied. */
  write(run: EntryRun): void {
    const { halves } = this;
    const { frames, flags, count } = run;
    let at = this.halfOf(run.table, run.index);
    for (let k = 0; k < count; k++, at += 2) {
      const frame = frames[k];
      halves[at] = entryLow(frame, flags);
      halves[at + 1] = entryHigh(frame);
    }
  }

  /** The plain extent, as the hardware's context wants it. */
  extent(): ZoneExtent {
    return { base: this.base, frames: this.frames, word: this.word };
  }
}

/** Bytes as people read them: `513.0 MiB`. */
function bytesText(bytes: number): string {
  const mebibytes = bytes / 2 ** 20;
  return mebibytes < 1024 ? `${mebibytes.toFixed(1)} MiB` : `${(mebibytes / 1024).toFixed(1)} GiB`;
}

/** All table pages of a run. */
export class SimulatedMemory {
  /** What the hardware is given (as a view): the zones, back to back, in the order planned. */
  readonly buffer: SharedArrayBuffer;
  /** View of {@link buffer}: 64-bit word `w` has its low half at `2w`, its high half at `2w + 1`. */
  readonly halves: Uint32Array;
  /** Zones in the order planned. */
  readonly zones: readonly Zone[];

  /**
   * Takes the memory for all zones at once; it never grows, and stays untouched (so without real memory behind it on
   * the usual systems) until tables are written.
   * @param plans zones with the exact number of their table pages
   * @param limitBytes most bytes that the buffer may take; default: what the platform allows
   * @throws NestwalkError `memory.limit`, before anything is allocated, when the tables would exceed the limit
   */
  constructor(plans: readonly ZonePlan[], limitBytes = Number.POSITIVE_INFINITY) {
    const estimate = plans.reduce((bytes, plan) => bytes + plan.frames * TABLE_BYTES, 0);
    if (estimate > limitBytes)
      throw tooLarge(plans, estimate, `at most ${bytesText(limitBytes)} are allowed`);
    try {
      this.buffer = new SharedArrayBuffer(estimate);
      this.halves = new Uint32Array(this.buffer);
    } catch (cause) {
      throw tooLarge(plans, estimate, 'this process cannot have that much in one block', cause);
    }
    this.zones = this.#placeZones(plans);
  }

  #placeZones(plans: readonly ZonePlan[]): Zone[] {
    let word = 0;
    return plans.map((plan) => {
      const zone = new Zone(plan, word, this.halves);
      word += plan.frames * ENTRIES_PER_TABLE;
      return zone;
    });
  }
}

function tooLarge(plans: readonly ZonePlan[], estimate: number, why: string, cause?: unknown): NestwalkError {
  const parts = plans.map((plan) => `${plan.name} ${bytesText(plan.frames * TABLE_BYTES)}`).join(', ');
  return new NestwalkError(
    'memory.limit',
    `the page tables need about ${bytesText(estimate)} of real memory (${parts}); ${why}. Use larger pages, ` +
      'smaller regions, or allow more memory',
    { cause },
  );
}
