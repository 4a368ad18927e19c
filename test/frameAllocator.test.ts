import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NestwalkError } from '../src/errors.ts';
import { BitSet } from '../src/memory/bitSet.ts';
import { FrameAllocator } from '../src/memory/frameAllocator.ts';

const LARGE = 512;
const GIANT = 512 * 512;

function failure(action: () => unknown): NestwalkError {
  try {
    action();
  } catch (error) {
    if (error instanceof NestwalkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a bit set', () => {
  it('knows its members and the lowest of them, whatever its size', () => {
    const change = fc.record({ member: fc.nat(), count: fc.integer({ min: 1, max: 40 }), kind: fc.nat(3) });
    fc.assert(
      fc.property(
        fc.integer({ min: 32, max: 70_000 }),
        fc.array(change, { maxLength: 60 }),
        (size, changes) => {
          const bound = Math.floor(size / 32) * 32;
          const bits = new BitSet(bound);
          const model = new Set<number>();
          for (const { member, count, kind } of changes) {
            const one = member % bound;
            const first = Math.floor(one / 32) * 32;
            const end = Math.min(bound, first + 32 * count);
            if (kind === 0) bits.add(one);
            if (kind === 0) model.add(one);
            if (kind === 1) bits.delete(one);
            if (kind === 1) model.delete(one);
            if (kind === 2) bits.addWords(first, end);
            if (kind === 3) bits.deleteWords(first, end);
            for (let k = first; k < end; k++) {
              if (kind === 2) model.add(k);
              if (kind === 3) model.delete(k);
            }
            expect(bits.has(one)).toBe(model.has(one));
            expect(bits.lowest()).toBe(model.size === 0 ? -1 : Math.min(...model));
          }
        },
      ),
    );
  });
});

/** The allocator's rule said plainly: owners of each frame, looked through from the lowest. */
class PlainAllocator {
  readonly owners: Uint8Array;
  constructor(frames: number) {
    this.owners = new Uint8Array(frames);
  }

  allocate(sizeIndex: number): number {
    const frame = this.#find(sizeIndex);
    if (frame >= 0) this.owners.fill(1, frame, frame + 512 ** sizeIndex);
    return frame;
  }

  /** Free frames of 4 KiB in each frame of a size, the last one perhaps cut off. */
  #freeIn(sizeIndex: number): number[] {
    const size = 512 ** sizeIndex;
    const free = new Array<number>(Math.ceil(this.owners.length / size)).fill(0);
    for (let frame = 0; frame < this.owners.length; frame++)
      if (this.owners[frame] === 0) free[Math.floor(frame / size)]++;
    return free;
  }

  #find(sizeIndex: number): number {
    const size = 512 ** sizeIndex;
    const free = this.#freeIn(sizeIndex);
    if (sizeIndex === 2) return Math.max(-1, free.indexOf(size) * size);
    // In a larger frame that is broken already, else in the lowest one that is whole.
    const around = this.#freeIn(sizeIndex + 1);
    const inBroken = free.findIndex((count, k) => count === size && around[Math.floor(k / 512)] < size * 512);
    return inBroken >= 0 ? inBroken * size : this.#find(sizeIndex + 1);
  }
}

describe('the frame allocator', () => {
  it('takes small frames from the lowest broken large one, and breaks the lowest whole one after that', () => {
    const frames = new FrameAllocator('guest memory', 3 * LARGE);
    expect([frames.allocate(0), frames.allocate(0), frames.allocate(1), frames.allocate(0)]).toEqual([
      0,
      1,
      LARGE,
      2,
    ]);
    for (let k = 3; k < LARGE; k++) expect(frames.allocate(0)).toBe(k);
    expect(frames.allocate(0)).toBe(2 * LARGE);
    expect(frames.used).toBe(2 * LARGE + 1);
  });

  it('has a large frame whole again when all its parts are free', () => {
    const frames = new FrameAllocator('guest memory', LARGE);
    const small = Array.from({ length: LARGE }, () => frames.allocate(0));
    expect(frames.tryAllocate(1)).toBe(-1);
    for (const frame of small.toReversed()) frames.release(frame, 0);
    expect(frames.allocate(1)).toBe(0);
    // Given back in pieces, as after a split.
    for (const frame of small) frames.release(frame, 0);
    expect(frames.allocate(1)).toBe(0);
  });

  it('counts owners of each 4 KiB part; the last one frees it', () => {
    const frames = new FrameAllocator('guest memory', 2 * LARGE);
    const large = frames.allocate(1);
    frames.share(large, 1);
    frames.share(large + 7, 0);
    expect([frames.sharers(large), frames.sharers(large + 7)]).toEqual([2, 3]);
    frames.release(large, 1);
    expect([frames.exclusive(large, 1), frames.exclusive(large + 8, 0)]).toEqual([false, true]);
    frames.release(large, 1);
    expect([frames.used, frames.sharers(large + 7)]).toEqual([1, 1]);
    expect(frames.allocate(1)).toBe(LARGE);
    frames.release(large + 7, 0);
    expect(() => frames.release(large + 7, 0)).toThrow(RangeError);
    expect(frames.allocate(1)).toBe(0);
  });

  it('gives many at a time or none', () => {
    const frames = new FrameAllocator('guest memory', 5);
    const out = new Float64Array(8);
    frames.take(0, 0, 3, out);
    expect([...out.subarray(0, 3)]).toEqual([0, 1, 2]);
    expect(failure(() => frames.take(0, 0, 3, out)).code).toBe('memory.full');
    expect(frames.used).toBe(3);
  });

  it('says how many frames there are, and why none is left', () => {
    const frames = new FrameAllocator('guest memory', LARGE + 256);
    // The odd 1 MiB at the end is broken from the start, and goes first.
    for (let k = 0; k < 256 + 1; k++) frames.allocate(0);
    const { code, message } = failure(() => frames.allocate(1));
    expect(code).toBe('memory.full');
    expect(message).toContain(
      'guest memory has 768 frames of 4 KiB (3 MiB) and 511 are free, but none of 2MiB in one piece',
    );
    expect(failure(() => new FrameAllocator('guest memory', 2 ** 31)).code).toBe('memory.limit');
    expect(failure(() => new FrameAllocator('guest memory', 1.5)).code).toBe('memory.limit');
    expect(failure(() => new FrameAllocator('none', 0).allocate(0)).message).toContain('all are in use');
  });

  it('does as its rule says, over any sequence', () => {
    const step = fc.record({ kind: fc.nat(6), sizeIndex: fc.constantFrom(0, 0, 1, 1, 2), pick: fc.nat() });
    fc.assert(
      fc.property(
        fc.constantFrom(2 * GIANT + 3 * LARGE + 100, GIANT, 3 * LARGE + 1),
        fc.array(step, { maxLength: 40, size: 'max' }),
        (count, sequence) => {
          const frames = new FrameAllocator('guest memory', count);
          const plain = new PlainAllocator(count);
          const held: { frame: number; sizeIndex: number }[] = [];
          for (const { kind, sizeIndex, pick } of sequence) {
            const one = held[pick % Math.max(1, held.length)];
            if (kind < 3 || one === undefined) {
              const frame = frames.tryAllocate(sizeIndex);
              expect(frame).toBe(plain.allocate(sizeIndex));
              if (frame >= 0) held.push({ frame, sizeIndex });
              continue;
            }
            const end = one.frame + 512 ** one.sizeIndex;
            if (kind === 3) {
              frames.share(one.frame, one.sizeIndex);
              for (let part = one.frame; part < end; part++) plain.owners[part]++;
              held.push({ ...one });
              continue;
            }
            const parts = Math.max(0, one.sizeIndex - 1);
            if (kind === 4) {
              // A page is split: its parts are held and given back one by one.
              held.splice(held.indexOf(one), 1);
              for (let part = one.frame; part < end; part += 512 ** parts)
                held.push({ frame: part, sizeIndex: parts });
              continue;
            }
            const step = 512 ** (kind === 5 ? parts : one.sizeIndex);
            for (let part = one.frame; part < end; part += step)
              frames.release(part, kind === 5 ? parts : one.sizeIndex);
            for (let part = one.frame; part < end; part++) plain.owners[part]--;
            held.splice(held.indexOf(one), 1);
          }
          let used = 0;
          for (const owners of plain.owners) if (owners > 0) used++;
          expect(frames.used).toBe(used);
        },
      ),
      { numRuns: 25 },
    );
  });
});
