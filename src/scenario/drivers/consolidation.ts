/** Several virtual machines on one core. */
import { defineScenario } from '../scenario.ts';
import { BUFFER_PAGES, KPTI, MEMORY, memoryOf, pagesOf, partOf } from './shared.ts';

/** `consolidation`. */
export const consolidation = defineScenario({
  name: 'consolidation',
  title: 'virtual machines take turns on one core, with tagged TLBs or without',
  claim: {
    statement:
      'Twice as many contexts on a core miss the second-level TLB more than five times as often; without tags every exit and entry empties it',
    source: 'Marathe et al., CSALT (MICRO 2017), abstract; Intel SDM vol. 3C 28.3',
  },
  operation: 'turn',
  parameters: {
    guests: { kind: 'count', about: 'that share the core', unit: 'guests', default: 4, min: 1, max: 64 },
    turns: { kind: 'count', about: 'of each guest', unit: 'turns', default: 500, min: 1, max: 1e7 },
    accesses: {
      kind: 'count',
      about: 'of a guest in its turn',
      unit: 'accesses',
      default: 2000,
      min: 1,
      max: 1e9,
    },
    footprint: {
      kind: 'bytes',
      about:
        'memory of the process in each guest; four times 1 MiB are two thirds of the STLB of the default machine',
      default: 2 ** 20,
    },
    buffers: {
      kind: 'count',
      about:
        'small buffers that a guest gives back and maps anew in its turn: exits within the turn (assumed)',
      unit: 'buffers',
      default: 4,
      max: 1e6,
    },
    theta: {
      kind: 'number',
      about: 'Zipf exponent of the accesses; 0 is uniform',
      default: 0.6,
      min: 0,
      max: 16,
    },
    tags: { kind: 'flag', about: 'whether TLB entries carry VPID (ASID) and PCID', default: true },
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ guests, footprint, tags, kpti, memory }) => ({
    memoryBytes: memoryOf(memory, pagesOf(footprint) + BUFFER_PAGES),
    guests,
    kpti,
    ...(tags ? {} : { tagged: [] }),
  }),
  run(host, { turns, accesses, footprint, buffers, theta }) {
    const running = host.guests.map((guest) => {
      guest.enter();
      const { kernel } = guest;
      const process = kernel.createProcess({
        name: `guest ${guest.number + 1}`,
        regions: [{ bytes: footprint }],
      });
      const heap = process.regions[0]!;
      kernel.switchTo(0, process);
      guest.touch(process, heap, { access: 'write' });
      const stream = guest.stream(process, heap, { pattern: 'zipf', theta, writeFraction: 0.3 });
      return { guest, process, stream };
    });
    host.measure();
    for (let done = 0; done < turns; done++) {
      for (const { guest, process, stream } of running) {
        guest.enter();
        guest.kernel.switchTo(0, process);
        // The accesses of a turn in as many parts, each before a buffer.
        const parts = buffers + 1;
        for (let part = 0; part < parts; part++) {
          guest.run(stream, partOf(accesses, part, parts));
          if (part === buffers) break;
          const buffer = guest.kernel.mmap(process, { pages: BUFFER_PAGES });
          guest.touch(process, buffer, { access: 'write' });
          guest.kernel.munmap(process, buffer);
        }
        host.operations();
      }
      host.progress(done + 1, turns);
    }
  },
});
