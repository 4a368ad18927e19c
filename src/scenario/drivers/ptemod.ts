/** Writes to an entry of a page table in use, and nothing else. */
import { newPlace, type PageTable } from '../../memory/pageTable.ts';
import type { EntryRun } from '../../memory/simulatedMemory.ts';
import { defineScenario } from '../scenario.ts';

/** Writes between two looks at whether the run is to stop. */
const WRITES_AT_A_TIME = 16_384;

/** The entry that maps a page, as it stands, ready to be written again. */
function leafOf(table: PageTable, page: number): EntryRun {
  const place = newPlace();
  if (!table.walk(page, place)) throw new RangeError(`page ${page} is not mapped`);
  const { frame, flags, ...where } = place;
  return { ...where, count: 1, frames: Float64Array.of(frame), flags };
}

/** `ptemod`. */
export const ptemod = defineScenario({
  name: 'ptemod',
  title: 'the kernel writes one entry of a page table in use, over and over',
  claim: {
    statement:
      'A page-table write took 1 cycle natively, 391 under binary translation and 12,733 under hardware virtualisation with shadow paging',
    source: 'Adams and Agesen (ASPLOS 2006), nanobenchmark ptemod, Pentium 4 672',
  },
  operation: 'table write',
  parameters: {
    writes: { kind: 'count', about: 'how many', unit: 'writes', default: 100_000, min: 1, max: 1e9 },
    batched: {
      kind: 'flag',
      about:
        'whether the kernel makes them in lazy MMU mode, which lets a paravirtual platform put them together',
      default: false,
    },
  },
  setup: () => ({ memoryBytes: 2 ** 20 }),
  run(host, { writes, batched }) {
    const { guest } = host;
    const { kernel, platform } = guest;
    const process = kernel.createProcess({ name: 'target', regions: [{ pages: 1 }] });
    kernel.switchTo(0, process);
    const { page } = process.regions[0]!;
    guest.touch(process, { page, pages: 1 }, { access: 'write' });
    const entry = leafOf(process.space.table, page);
    host.measure();
    if (batched) platform.beginBatch();
    for (let done = 0; done < writes; ) {
      const end = Math.min(writes, done + WRITES_AT_A_TIME);
      for (; done < end; done++) platform.setEntries(process.space, entry);
      host.progress(done, writes);
    }
    if (batched) platform.endBatch();
    host.operations(writes);
  },
});
