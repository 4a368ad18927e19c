/** Long-lived processes with random accesses, whose memory changes now and then. */
import { defineScenario } from '../scenario.ts';
import { HUGE_PAGES, KPTI, MEMORY, memoryOf, pagesOf } from './shared.ts';

/** Accesses that changes are counted by. */
const MILLION = 1e6;

/** `server`. */
export const server = defineScenario({
  name: 'server',
  title: 'long-lived processes access much memory at random, and change a little of it now and then',
  claim: {
    statement:
      'Nested paging wins where page tables change often, by up to 48 % (EPT) and 42 % (RVI); where they do not, it loses or ties: no definite winner, gaps of up to 34 %',
    source:
      'VMware, “Performance evaluation of Intel EPT hardware assist” and “of AMD RVI” (2009); Wang et al. (VEE 2011)',
  },
  operation: 'access',
  parameters: {
    accesses: {
      kind: 'count',
      about: 'of all processes together',
      unit: 'accesses',
      default: 2e6,
      min: 1,
      max: 1e12,
    },
    footprint: {
      kind: 'bytes',
      about: 'memory of each process; more of it misses the TLB more often',
      default: 64 * 2 ** 20,
    },
    processes: { kind: 'count', about: 'that take turns', unit: 'processes', default: 2, min: 1, max: 256 },
    slice: {
      kind: 'count',
      about: 'accesses of a process before the next one’s turn',
      unit: 'accesses',
      default: 100_000,
      min: 1,
    },
    changes: {
      kind: 'number',
      about: 'in a million accesses: how often a buffer is given back, mapped anew and written',
      default: 50,
      min: 0,
      max: MILLION,
    },
    changePages: { kind: 'count', about: 'of such a buffer', unit: 'pages', default: 16, min: 1, max: 1e5 },
    theta: {
      kind: 'number',
      about: 'Zipf exponent of the accesses; 0 is uniform',
      default: 0,
      min: 0,
      max: 16,
    },
    writeFraction: { kind: 'number', about: 'share of writes', default: 0.3, min: 0, max: 1 },
    warm: { kind: 'flag', about: 'whether all memory is touched before anything is measured', default: true },
    hugePages: HUGE_PAGES,
    hugeShare: {
      kind: 'number',
      about:
        'share of the memory that is in 2 MiB pages where hugePages is always; the rest is in small ones',
      default: 1,
      min: 0,
      max: 1,
    },
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ memory, footprint, processes, changePages, hugePages, kpti }) => ({
    memoryBytes: memoryOf(
      memory,
      processes * (pagesOf(footprint) + changePages) + (hugePages === 'never' ? 0 : 4096),
    ),
    hugePages: hugePages as 'never' | 'always',
    kpti,
  }),
  run(
    host,
    { accesses, footprint, processes, slice, changes, changePages, theta, writeFraction, warm, hugeShare },
  ) {
    const { guest } = host;
    const { kernel } = guest;
    const pages = pagesOf(footprint);
    const pattern =
      theta === 0
        ? ({ pattern: 'uniform', writeFraction } as const)
        : ({ pattern: 'zipf', theta, writeFraction } as const);
    const workers = Array.from({ length: processes }, (_, number) => {
      const process = kernel.createProcess({ name: `server ${number + 1}`, regions: [{ pages }] });
      kernel.switchTo(0, process);
      // Kept apart from its regions, which advice splits.
      const heap = { page: process.regions[0]!.page, pages };
      const small = pages - Math.round(pages * hugeShare);
      if (small > 0)
        kernel.madvise(process, { page: heap.page + pages - small, pages: small }, 'noHugePages');
      const buffer = kernel.mmap(process, { pages: changePages });
      if (warm) guest.touch(process, heap, { access: 'write' });
      guest.touch(process, buffer, { access: 'write' });
      return { process, buffer, stream: guest.stream(process, heap, pattern) };
    });
    host.measure();
    // Accesses from one change to the next, as a fraction so that the rate is met in the long run.
    const between = changes === 0 ? Number.POSITIVE_INFINITY : MILLION / changes;
    let nextChange = between;
    for (let done = 0, turn = 0; done < accesses; turn++) {
      const worker = workers[turn % processes]!;
      kernel.switchTo(0, worker.process);
      const end = Math.min(accesses, done + slice);
      while (done < end) {
        const until = Math.min(end, Math.ceil(nextChange));
        guest.run(worker.stream, until - done);
        done = until;
        if (done < nextChange) continue;
        nextChange += between;
        kernel.munmap(worker.process, worker.buffer);
        worker.buffer = kernel.mmap(worker.process, { pages: changePages });
        guest.touch(worker.process, worker.buffer, { access: 'write' });
      }
      host.progress(done, accesses);
    }
    host.operations(accesses);
  },
});

/** Parameters of {@link server}, with fewer accesses, since it is run for every combination. */
const FEWER = {
  ...server.parameters,
  accesses: { ...server.parameters.accesses, default: 500_000 as number },
};

/** `crossover`: {@link server} over how often page tables change and how often the TLB misses. */
export const crossover = defineScenario({
  ...server,
  name: 'crossover',
  title: 'shadow against nested paging, as page tables change more often and the TLB misses more often',
  parameters: FEWER,
  platforms: ['nested', 'shadow'],
  vary: {
    changes: [0, 3, 10, 30, 100, 300],
    footprint: ['1MiB', '4MiB', '16MiB', '64MiB', '256MiB'],
  },
});
