/** First touches: every access is a page fault. */
import { defineScenario } from '../scenario.ts';
import { HUGE_PAGES, KPTI, MEMORY, memoryOf } from './shared.ts';

/** Pages touched between two looks at whether the run is to stop. */
const PAGES_AT_A_TIME = 4096;

/** `page-fault`. */
export const pageFault = defineScenario({
  name: 'page-fault',
  title: 'a process touches every page of fresh memory once',
  claim: {
    statement:
      'A true page fault took 1,093 cycles natively, 3,927 under binary translation and 11,242 under hardware virtualisation with shadow paging',
    source: 'Adams and Agesen (ASPLOS 2006), nanobenchmark pgfault, Pentium 4 672',
  },
  operation: 'page touched',
  parameters: {
    pages: { kind: 'count', about: 'touched', unit: 'pages', default: 20_000, min: 1, max: 1e8 },
    access: {
      kind: 'choice',
      about: 'what each touch does',
      default: 'write',
      choices: ['read', 'write'],
    },
    hugePages: HUGE_PAGES,
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ pages, hugePages, kpti, memory }) => ({
    memoryBytes: memoryOf(memory, pages),
    hugePages: hugePages as 'never' | 'always',
    kpti,
  }),
  run(host, { pages, access }) {
    const { guest } = host;
    const { kernel } = guest;
    const process = kernel.createProcess({ name: 'toucher', regions: [{ pages }] });
    const { page } = process.regions[0]!;
    kernel.switchTo(0, process);
    host.measure();
    for (let done = 0; done < pages; ) {
      const part = Math.min(PAGES_AT_A_TIME, pages - done);
      guest.touch(process, { page: page + done, pages: part }, { access: access as 'read' | 'write' });
      done += part;
      host.operations(part);
      host.progress(done, pages);
    }
  },
});
