/** One process with a thread on every virtual processor, which take memory from each other's TLBs. */
import { defineScenario } from '../scenario.ts';
import { KPTI, MEMORY, memoryOf, pagesOf } from './shared.ts';

/** `smp`. */
export const smp = defineScenario({
  name: 'smp',
  title:
    'a process with a thread on every virtual processor: shared memory, and buffers given back with shootdowns',
  claim: {
    statement:
      'Under shadow paging every virtual processor has to be kept in sync: shootdowns exit, and entries taken away interrupt the others',
    source: 'Linux, Documentation/virt/kvm/x86/mmu.rst',
  },
  operation: 'buffer given back',
  parameters: {
    vcpus: {
      kind: 'count',
      about: 'each on a core of its own',
      unit: 'processors',
      default: 4,
      min: 1,
      max: 64,
    },
    rounds: {
      kind: 'count',
      about: 'buffers that each thread gives back',
      unit: 'rounds',
      default: 200,
      min: 1,
      max: 1e7,
    },
    accesses: {
      kind: 'count',
      about: 'of each thread to the shared memory between two buffers',
      unit: 'accesses',
      default: 2000,
      max: 1e9,
    },
    footprint: { kind: 'bytes', about: 'shared memory', default: 16 * 2 ** 20 },
    pages: { kind: 'count', about: 'of a buffer', unit: 'pages', default: 16, min: 1, max: 1e5 },
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ vcpus, footprint, pages, kpti, memory }) => ({
    memoryBytes: memoryOf(memory, pagesOf(footprint) + vcpus * pages),
    vcpus,
    kpti,
  }),
  run(host, { vcpus, rounds, accesses, footprint, pages }) {
    const { guest } = host;
    const { kernel } = guest;
    const process = kernel.createProcess({ name: 'threads', regions: [{ pages: pagesOf(footprint) }] });
    const heap = process.regions[0]!;
    const streams = Array.from({ length: vcpus }, (_, vcpu) => {
      kernel.switchTo(vcpu, process);
      return guest.stream(process, heap, { pattern: 'uniform', writeFraction: 0.3 });
    });
    kernel.onVcpu(0);
    guest.touch(process, heap, { access: 'write', vcpu: 0 });
    host.measure();
    for (let done = 0; done < rounds; done++) {
      for (let vcpu = 0; vcpu < vcpus; vcpu++) {
        kernel.onVcpu(vcpu);
        guest.run(streams[vcpu]!, accesses, { vcpu });
        const buffer = kernel.mmap(process, { pages });
        guest.touch(process, buffer, { access: 'write', vcpu });
        kernel.munmap(process, buffer);
        host.operations();
      }
      host.progress(done + 1, rounds);
    }
  },
});
