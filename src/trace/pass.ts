/** A pass over a trace: its progress, and its end when it is cancelled. */
import { NestwalkError } from '../errors.ts';
import type { AccessBlock } from './block.ts';

/** How far a pass over a trace has come. */
export interface TraceProgress {
  /** Accesses kept so far. */
  accesses: number;
  /** Part of the trace that has been read, 0 to 1. */
  fraction: number;
}

/** Progress and cancelling of a pass over a trace. */
export interface PassOptions {
  /** Called after each block of up to 65,536 accesses. */
  onProgress?: (progress: TraceProgress) => void;
  /** Ends the pass with NestwalkError 'run.cancelled'. */
  signal?: AbortSignal;
}

/**
 * The blocks of a reader, with progress after each.
 * @throws NestwalkError 'run.cancelled' when the signal has been given; at the next block, or before the first
 */
export async function* watched(
  reader: AsyncIterable<AccessBlock>,
  fraction: () => number,
  { onProgress, signal }: PassOptions,
): AsyncGenerator<AccessBlock, void, undefined> {
  let accesses = 0;
  checkSignal(signal);
  for await (const block of reader) {
    yield block;
    checkSignal(signal);
    accesses += block.count;
    onProgress?.({ accesses, fraction: fraction() });
  }
}

/** @throws NestwalkError 'run.cancelled' when the signal has been given */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new NestwalkError('run.cancelled', 'interrupted while reading a trace; nothing was written');
}
