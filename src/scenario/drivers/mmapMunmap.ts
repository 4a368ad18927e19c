/** Memory that is mapped, touched and given back, over and over. */
import { defineScenario } from '../scenario.ts';
import { KPTI, MEMORY, memoryOf } from './shared.ts';

/** `mmap-munmap`. */
export const mmapMunmap = defineScenario({
  name: 'mmap-munmap',
  title: 'a process maps memory, touches it and gives it back, over and over',
  claim: {
    statement:
      'INVLPG exits appear under shadow paging alone: 171,510 in a Linux boot, none with EPT; EPT was up to 600 % faster in microbenchmarks of the MMU',
    source:
      'Exit counts of an Ubuntu 20.04 boot under KVM 5.11 (nicolashanout/linux, README); VMware, “Performance evaluation of Intel EPT hardware assist” (2009)',
  },
  operation: 'map and unmap',
  parameters: {
    rounds: { kind: 'count', about: 'how often', unit: 'rounds', default: 1000, min: 1, max: 1e8 },
    pages: {
      kind: 'count',
      about: 'mapped and touched in each; up to 33 are dropped from the TLB one by one, as in Linux',
      unit: 'pages',
      default: 16,
      min: 1,
      max: 1e6,
    },
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ pages, kpti, memory }) => ({ memoryBytes: memoryOf(memory, pages + 1), kpti }),
  run(host, { rounds, pages }) {
    const { guest } = host;
    const { kernel } = guest;
    const process = kernel.createProcess({ name: 'mapper', regions: [{ pages: 1 }] });
    kernel.switchTo(0, process);
    guest.touch(process, process.regions[0]!, { access: 'write' });
    host.measure();
    for (let done = 0; done < rounds; done++) {
      const span = kernel.mmap(process, { pages });
      guest.touch(process, span, { access: 'write' });
      kernel.munmap(process, span);
      host.operations();
      host.progress(done + 1, rounds);
    }
  },
});
