/** The data frames of a guest, as its kernel uses them: from an allocator that takes them back, or given out once. */
import { FrameAllocator } from '../memory/frameAllocator.ts';
import type { FrameSource } from '../memory/pageTable.ts';
import { usage } from './region.ts';

/** One frame's worth of a {@link FrameSource}. */
const ONE = new Float64Array(1);

/** Data frames. Without an allocator every frame has one owner for good, and what would give one back is refused. */
export class GuestMemory {
  /** For taking many at a time. */
  readonly source: FrameSource;
  readonly #allocator: FrameAllocator | undefined;

  constructor(frames: FrameSource) {
    this.source = frames;
    this.#allocator = frames instanceof FrameAllocator ? frames : undefined;
  }

  /** Whether frames can be given back and shared. */
  get returnable(): boolean {
    return this.#allocator !== undefined;
  }

  /**
   * Before anything that gives frames back or shares them.
   * @param what who would do so, for the message: `munmap`
   * @throws NestwalkError `usage`
   */
  needReturns(what: string): void {
    if (this.#allocator !== undefined) return;
    throw usage(
      `${what} gives frames back or shares them, and this kernel was started with frames that are given out once; ` +
        'start it with a FrameAllocator',
    );
  }

  /** A frame for a page of a region. @throws NestwalkError `memory.full` */
  take(region: number, sizeIndex: number): number {
    if (this.#allocator !== undefined) return this.#allocator.allocate(sizeIndex);
    this.source.take(region, sizeIndex, 1, ONE);
    return ONE[0];
  }

  /** A large frame that need not be had; -1 when none is free. */
  tryTake(sizeIndex: number): number {
    return this.#allocator?.tryAllocate(sizeIndex) ?? -1;
  }

  /** One more owner of a frame. */
  share(frame: number, sizeIndex: number): void {
    this.#allocator!.share(frame, sizeIndex);
  }

  /** One owner less; the last one frees the frame. */
  release(frame: number, sizeIndex: number): void {
    this.#allocator!.release(frame, sizeIndex);
  }

  /** Whether a frame of a size has one owner in all its parts. */
  exclusive(frame: number, sizeIndex: number): boolean {
    return this.#allocator === undefined || this.#allocator.exclusive(frame, sizeIndex);
  }
}
