/** Processes that take turns on one virtual processor. */
import { defineScenario } from '../scenario.ts';
import { KPTI, MEMORY, memoryOf } from './shared.ts';

/** `context-switch`. */
export const contextSwitch = defineScenario({
  name: 'context-switch',
  title: 'processes take turns on one virtual processor, each touching a few pages',
  claim: {
    statement:
      'Under shadow paging loads of CR3 exit: 8.6 of 11.2 million exits of a Linux boot were accesses to control registers, 474 times as many as with EPT',
    source:
      'Exit counts of an Ubuntu 20.04 boot under KVM 5.11 with EPT and with ept=0 (nicolashanout/linux, README)',
  },
  operation: 'context switch',
  parameters: {
    switches: { kind: 'count', about: 'how many', unit: 'switches', default: 10_000, min: 1, max: 1e8 },
    processes: { kind: 'count', about: 'that take turns', unit: 'processes', default: 2, min: 2, max: 1000 },
    pages: {
      kind: 'count',
      about: 'that each touches in a turn',
      unit: 'pages',
      default: 16,
      max: 1e5,
    },
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ processes, pages, kpti, memory }) => ({
    memoryBytes: memoryOf(memory, processes * Math.max(1, pages)),
    kpti,
  }),
  run(host, { switches, processes, pages }) {
    const { guest } = host;
    const { kernel } = guest;
    const all = Array.from({ length: processes }, (_, number) =>
      kernel.createProcess({ name: `process ${number + 1}`, regions: [{ pages: Math.max(1, pages) }] }),
    );
    for (const process of all) {
      kernel.switchTo(0, process);
      guest.touch(process, process.regions[0]!, { access: 'write' });
    }
    // The last one is loaded: the first switch goes to the first.
    host.measure();
    for (let done = 0; done < switches; done++) {
      const process = all[done % processes]!;
      kernel.switchTo(0, process);
      if (pages > 0) guest.touch(process, { page: process.regions[0]!.page, pages }, { access: 'write' });
      host.operations();
      if (done % 256 === 255) host.progress(done, switches);
    }
  },
});
