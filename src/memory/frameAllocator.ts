/**
 * The frames of a guest's memory, of all three page sizes, given out and taken back, with a count of who shares each.
 * Deterministic: which frame comes next depends on what was taken and given back before, and on nothing else.
 */
import { NestwalkError } from '../errors.ts';
import { PAGE_SIZES } from '../schema.ts';
import { BitSet } from './bitSet.ts';
import { entryPages, type FrameSource } from './pageTable.ts';

/** 4 KiB frames of 2 MiB and of 1 GiB. */
const LARGE_FRAMES = entryPages(2);
const GIANT_FRAMES = entryPages(3);
/** Most frames: 4 TiB of guest memory, whose bookkeeping is already larger than most scenarios. */
const MOST_FRAMES = 2 ** 30;
/** Bytes of a 4 KiB frame. */
const FRAME_BYTES = 4096;

/**
 * Guest memory from frame 0, as a buddy allocator whose sizes are the page sizes (as Linux's, which has all powers of
 * two): a small frame comes from the lowest large one that is broken already, else the lowest whole one is broken; a
 * large frame that is free again in all its parts is whole again. Everything takes a few steps, whatever the size.
 *
 * A frame that is given out has one owner; {@link share} adds owners and {@link release} takes them away, each 4 KiB
 * frame of a large one by itself, so that a large page can be split and its parts go back one by one.
 */
export class FrameAllocator implements FrameSource {
  /** 4 KiB frames that there are. */
  readonly frames: number;
  readonly #name: string;
  /** Free 4 KiB frames of broken large ones. */
  readonly #small: BitSet;
  /** Whole free large frames (2 MiB) of broken giant ones, by number of the large frame. */
  readonly #large: BitSet;
  /** Whole free giant frames (1 GiB). */
  readonly #giant: BitSet;
  /** Free 4 KiB frames in each large frame. */
  readonly #freeSmall: Uint16Array;
  /** Whole free large frames in each giant frame. */
  readonly #freeLarge: Uint16Array;
  /** Owners of each 4 KiB frame; 0: free. */
  readonly #owners: Uint32Array;
  #used = 0;

  /**
   * @param name what the frames are of, for messages: `guest memory`
   * @param frames 4 KiB frames that there are, from frame 0
   * @throws NestwalkError `memory.limit` for more than 2^30 (4 TiB)
   */
  constructor(name: string, frames: number) {
    if (!(Number.isInteger(frames) && frames >= 0 && frames <= MOST_FRAMES)) {
      throw new NestwalkError(
        'memory.limit',
        `${name} of ${frames} frames of 4 KiB cannot be managed; give a whole number up to 2^30 (4 TiB)`,
      );
    }
    this.frames = frames;
    this.#name = name;
    const large = Math.ceil(frames / LARGE_FRAMES);
    const giant = Math.ceil(frames / GIANT_FRAMES);
    this.#small = new BitSet(large * LARGE_FRAMES);
    this.#large = new BitSet(giant * LARGE_FRAMES);
    this.#giant = new BitSet(giant);
    this.#freeSmall = new Uint16Array(large);
    this.#freeLarge = new Uint16Array(giant);
    this.#owners = new Uint32Array(frames);
    this.#freeAll();
  }

  /** 4 KiB frames in use, each once however many share it. */
  get used(): number {
    return this.#used;
  }

  /** Owners of a 4 KiB frame; 0 when it is free. */
  sharers(frame: number): number {
    return this.#owners[frame];
  }

  /** Whether every part of a frame of a size has one owner. */
  exclusive(frame: number, sizeIndex: number): boolean {
    const end = frame + entryPages(sizeIndex + 1);
    for (let part = frame; part < end; part++) if (this.#owners[part] !== 1) return false;
    return true;
  }

  /**
   * Takes a frame, aligned to its size.
   * @throws NestwalkError `memory.full` when no frame of the size is free
   */
  allocate(sizeIndex: number): number {
    const frame = this.tryAllocate(sizeIndex);
    if (frame < 0) throw this.#full(sizeIndex);
    return frame;
  }

  /** As {@link allocate}; -1 when no frame of the size is free. */
  tryAllocate(sizeIndex: number): number {
    if (sizeIndex === 0) return this.#allocateSmall();
    const frame = sizeIndex === 1 ? this.#wholeLarge() * LARGE_FRAMES : this.#wholeGiant() * GIANT_FRAMES;
    if (frame < 0) return -1;
    const count = entryPages(sizeIndex + 1);
    if (sizeIndex === 2) this.#freeSmall.fill(0, frame / LARGE_FRAMES, (frame + count) / LARGE_FRAMES);
    this.#owners.fill(1, frame, frame + count);
    this.#used += count;
    return frame;
  }

  /** As {@link allocate}, `count` times. The region does not matter. */
  take(_region: number, sizeIndex: number, count: number, out: Float64Array): void {
    for (let k = 0; k < count; k++) {
      const frame = this.tryAllocate(sizeIndex);
      if (frame < 0) {
        for (let taken = 0; taken < k; taken++) this.release(out[taken], sizeIndex);
        throw this.#full(sizeIndex);
      }
      out[k] = frame;
    }
  }

  /** Adds an owner to a frame that is in use. */
  share(frame: number, sizeIndex: number): void {
    if (sizeIndex === 0) {
      this.#owners[frame]++;
      return;
    }
    const end = frame + entryPages(sizeIndex + 1);
    for (let part = frame; part < end; part++) this.#owners[part]++;
  }

  /** Takes an owner away; what has none left is free. */
  release(frame: number, sizeIndex: number): void {
    if (sizeIndex === 0) {
      this.#releaseSmall(frame);
      return;
    }
    const end = frame + entryPages(sizeIndex + 1);
    for (let large = frame; large < end; large += LARGE_FRAMES) {
      if (this.exclusive(large, 1)) this.#releaseLarge(large);
      else for (let part = large; part < large + LARGE_FRAMES; part++) this.#releaseSmall(part);
    }
  }

  /** Frees all memory: giant frames as far as they go, then large ones, then small ones. */
  #freeAll(): void {
    const giants = Math.floor(this.frames / GIANT_FRAMES);
    for (let giant = 0; giant < giants; giant++) {
      this.#freeLarge[giant] = LARGE_FRAMES;
      this.#giant.add(giant);
    }
    const larges = Math.floor(this.frames / LARGE_FRAMES);
    this.#freeSmall.fill(LARGE_FRAMES, 0, larges);
    for (let large = giants * LARGE_FRAMES; large < larges; large++) this.#addLarge(large);
    for (let frame = larges * LARGE_FRAMES; frame < this.frames; frame++) this.#addSmall(frame);
  }

  #allocateSmall(): number {
    let frame = this.#small.lowest();
    if (frame < 0) {
      const large = this.#wholeLarge();
      if (large < 0) return -1;
      frame = large * LARGE_FRAMES;
      this.#small.addWords(frame, frame + LARGE_FRAMES);
      this.#freeSmall[large] = LARGE_FRAMES;
    }
    this.#small.delete(frame);
    this.#freeSmall[Math.floor(frame / LARGE_FRAMES)]--;
    this.#owners[frame] = 1;
    this.#used++;
    return frame;
  }

  /** Number of a whole large frame, which is free no more; -1 when there is none. */
  #wholeLarge(): number {
    let large = this.#large.lowest();
    if (large < 0) {
      const giant = this.#wholeGiant();
      if (giant < 0) return -1;
      large = giant * LARGE_FRAMES;
      this.#large.addWords(large, large + LARGE_FRAMES);
      this.#freeLarge[giant] = LARGE_FRAMES;
    }
    this.#large.delete(large);
    this.#freeLarge[Math.floor(large / LARGE_FRAMES)]--;
    this.#freeSmall[large] = 0;
    return large;
  }

  #wholeGiant(): number {
    const giant = this.#giant.lowest();
    if (giant < 0) return -1;
    this.#giant.delete(giant);
    this.#freeLarge[giant] = 0;
    return giant;
  }

  #releaseSmall(frame: number): void {
    if (this.#owners[frame] === 0) throw new RangeError(`frame ${frame} of ${this.#name} is free already`);
    if (--this.#owners[frame] > 0) return;
    this.#used--;
    this.#addSmall(frame);
  }

  #releaseLarge(frame: number): void {
    this.#owners.fill(0, frame, frame + LARGE_FRAMES);
    this.#used -= LARGE_FRAMES;
    this.#addLarge(frame / LARGE_FRAMES);
  }

  #addSmall(frame: number): void {
    const large = Math.floor(frame / LARGE_FRAMES);
    this.#small.add(frame);
    if (++this.#freeSmall[large] < LARGE_FRAMES) return;
    this.#small.deleteWords(large * LARGE_FRAMES, (large + 1) * LARGE_FRAMES);
    this.#addLarge(large);
  }

  #addLarge(large: number): void {
    const giant = Math.floor(large / LARGE_FRAMES);
    this.#freeSmall[large] = LARGE_FRAMES;
    this.#large.add(large);
    if (++this.#freeLarge[giant] < LARGE_FRAMES) return;
    this.#large.deleteWords(giant * LARGE_FRAMES, (giant + 1) * LARGE_FRAMES);
    this.#giant.add(giant);
  }

  #full(sizeIndex: number): NestwalkError {
    const mebibytes = (this.frames * FRAME_BYTES) / 2 ** 20;
    const free = this.frames - this.#used;
    const state =
      free === 0 ? 'all are in use' : `${free} are free, but none of ${PAGE_SIZES[sizeIndex]} in one piece`;
    return new NestwalkError(
      'memory.full',
      `${this.#name} has ${this.frames} frames of 4 KiB (${mebibytes} MiB) and ${state}; give the guest more memory, or ` +
        'fewer processes, smaller regions or smaller pages',
    );
  }
}
