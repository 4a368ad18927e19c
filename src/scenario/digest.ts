/** What a guest's programs can see of their memory, as one number: the same on every platform. */
import { createHash } from 'node:crypto';
import type { GuestKernel } from '../kernel/guestKernel.ts';
import { entryPages } from '../memory/pageTable.ts';

/** Numbers of a mapping in the digest: its page, its frame in the order of first sight, level, flags. */
const NUMBERS = 4;
/** Mappings that are digested at a time. */
const BATCH = 4096;

/**
 * A digest (16 hex digits) of every page that every process maps: where, in which size, with which rights, accessed and
 * dirty bits, and which pages share a frame. Frames count in the order in which they are met, so that guests with
 * memory of their own and guests that share one machine's compare equal.
 * @param kernels each once
 */
export function memoryDigest(kernels: readonly GuestKernel[]): string {
  const hash = createHash('sha256');
  const batch = new Float64Array(BATCH * NUMBERS);
  let filled = 0;
  let met = 0;
  const add = (page: number, frame: number, level: number, flags: number): void => {
    batch[filled++] = page;
    batch[filled++] = frame;
    batch[filled++] = level;
    batch[filled++] = flags;
    if (filled < batch.length) return;
    hash.update(new Uint8Array(batch.buffer, 0, filled * 8));
    filled = 0;
  };
  for (const kernel of kernels) {
    const frames = new Map<number, number>();
    for (const process of kernel.processes) {
      add(-1, process.regions.length, 0, 0);
      const { table } = process.space;
      for (const region of process.regions) {
        const end = region.page + region.pages;
        for (let page = region.page; page < end; ) {
          const found = table.lookup(page);
          const reach = entryPages(found.level);
          const next = Math.min(end, (Math.floor(page / reach) + 1) * reach);
          if (found.present) {
            let number = frames.get(found.frame);
            if (number === undefined) {
              number = met++;
              frames.set(found.frame, number);
            }
            add(page, number, found.level, found.flags * 2 + Number(found.writable));
          }
          page = next;
        }
      }
    }
  }
  hash.update(new Uint8Array(batch.buffer, 0, filled * 8));
  return hash.digest('hex').slice(0, 16);
}
