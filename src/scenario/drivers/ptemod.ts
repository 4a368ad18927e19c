/** Writes to an entry of a page table in use, and nothing else. */
import { entryFrame, entryPresent } from '../../memory/entry.ts';
import { entryPages, type PageTable } from '../../memory/pageTable.ts';
import type { EntryRun } from '../../memory/simulatedMemory.ts';
import { ENTRIES_PER_TABLE } from '../../schema.ts';
import { defineScenario } from '../scenario.ts';

/** Writes between two looks at whether the run is to stop. */
const WRITES_AT_A_TIME = 16_384;

/** The entry that maps a page in 4 KiB, as it stands, ready to be written again. */
function leafOf(table: PageTable, page: number): EntryRun {
  const indexAt = (level: number): number => Math.floor(page / entryPages(level)) % ENTRIES_PER_TABLE;
  let at = table.root;
  for (let level = table.levels; level > 1; level--) {
    const half = table.zone.halfOf(at, indexAt(level));
    if (!entryPresent(table.zone.halves[half]!)) throw new RangeError(`page ${page} is not mapped in 4 KiB`);
    at = entryFrame(table.zone.halves[half]!, table.zone.halves[half + 1]!);
  }
  const found = table.lookup(page);
  if (!found.present) throw new RangeError(`page ${page} is not mapped`);
  return {
    table: at,
    level: 1,
    index: indexAt(1),
    page,
    count: 1,
    frames: Float64Array.of(found.frame),
    flags: found.flags,
  };
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
