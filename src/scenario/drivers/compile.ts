/** Many short processes, as a build or a boot makes them. */
import type { Process } from '../../kernel/process.ts';
import { SharedMemory } from '../../kernel/region.ts';
import type { Host } from '../host.ts';
import type { ValuesOf } from '../parameters.ts';
import { defineScenario } from '../scenario.ts';
import { BUFFER_PAGES, HUGE_PAGES, KPTI, MEMORY, memoryOf, partOf } from './shared.ts';

/** Pages of `make` itself, all of them written. */
const MAKE_PAGES = 64;
/** Parts that a process's life is cut into: in each it touches, calls, computes and waits. */
const PARTS = 16;

const PARAMETERS = {
  processes: {
    kind: 'count',
    about: 'started one after the other',
    unit: 'processes',
    default: 200,
    min: 1,
    max: 1e6,
  },
  textPages: {
    kind: 'count',
    about: 'pages of program text, shared by all (assumed: a compiler’s working set)',
    unit: 'pages',
    default: 256,
    min: 1,
    max: 1e6,
  },
  dataPages: {
    kind: 'count',
    about: 'pages of heap, stack and data that each writes (assumed)',
    unit: 'pages',
    default: 384,
    min: 1,
    max: 1e6,
  },
  syscalls: {
    kind: 'count',
    about: 'system calls of each (assumed: opening, reading, allocating)',
    unit: 'calls',
    default: 1000,
    max: 1e7,
  },
  waits: {
    kind: 'count',
    about: 'times that each waits for the disk while make runs',
    unit: 'waits',
    default: 16,
    max: 1e6,
  },
  buffers: {
    kind: 'count',
    about: 'small buffers of 8 pages that each maps, writes and gives back (assumed: files read, malloc)',
    unit: 'buffers',
    default: 32,
    max: 1e6,
  },
  accesses: {
    kind: 'count',
    about: 'further accesses of each to its data, Zipf-distributed',
    unit: 'accesses',
    default: 20_000,
    max: 1e9,
  },
  hugePages: HUGE_PAGES,
  kpti: { ...KPTI, default: true },
  memory: MEMORY,
} as const;

/** The life of one process after it has been executed. */
function live(host: Host, make: Process, child: Process, values: ValuesOf<typeof PARAMETERS>): void {
  const { guest } = host;
  const { kernel } = guest;
  const [text, data] = [child.regions[0]!, child.regions[1]!];
  const stream = guest.stream(child, data, { pattern: 'zipf', theta: 0.8, writeFraction: 0.4 });
  let [textDone, dataDone] = [0, 0];
  for (let part = 0; part < PARTS; part++) {
    const [textNow, dataNow] = [partOf(values.textPages, part, PARTS), partOf(values.dataPages, part, PARTS)];
    guest.touch(child, { page: text.page + textDone, pages: textNow });
    guest.touch(child, { page: data.page + dataDone, pages: dataNow }, { access: 'write' });
    textDone += textNow;
    dataDone += dataNow;
    for (let left = partOf(values.syscalls, part, PARTS); left > 0; left--) kernel.syscall(child);
    guest.run(stream, partOf(values.accesses, part, PARTS));
    for (let left = partOf(values.buffers, part, PARTS); left > 0; left--) {
      const buffer = kernel.mmap(child, { pages: BUFFER_PAGES });
      guest.touch(child, buffer, { access: 'write' });
      kernel.munmap(child, buffer);
    }
    for (let left = partOf(values.waits, part, PARTS); left > 0; left--) {
      kernel.syscall(child, () => kernel.switchTo(0, make));
      guest.touch(make, { page: make.regions[0]!.page, pages: 4 }, { access: 'write' });
      kernel.switchTo(0, child);
    }
  }
}

/** `compile`. */
export const compile = defineScenario({
  name: 'compile',
  title: 'make starts many short processes: fork, exec, page faults, system calls, exit',
  claim: {
    statement:
      'A Linux boot took 24.8 times as many exits with shadow paging as with EPT: control registers first, then exceptions, INVLPG only there; EPT violations are a matter of warming up',
    source:
      'Exit counts of an Ubuntu 20.04 boot under KVM 5.11 with EPT and with ept=0 (nicolashanout/linux, README)',
  },
  operation: 'process',
  parameters: PARAMETERS,
  setup: ({ memory, textPages, dataPages, hugePages, kpti }) => ({
    memoryBytes: memoryOf(
      memory,
      textPages + BUFFER_PAGES + 2 * (dataPages + MAKE_PAGES) + (hugePages === 'never' ? 0 : 2048),
    ),
    hugePages: hugePages as 'never' | 'always',
    kpti,
  }),
  run(host, values) {
    const { guest } = host;
    const { kernel } = guest;
    const { processes, textPages, dataPages } = values;
    const shared = new SharedMemory(textPages);
    const make = kernel.createProcess({ name: 'make', regions: [{ pages: MAKE_PAGES }] });
    kernel.switchTo(0, make);
    guest.touch(make, make.regions[0]!, { access: 'write' });
    host.measure();
    for (let done = 0; done < processes; done++) {
      const child = kernel.fork(make, { name: 'cc' });
      kernel.syscall(make, () => kernel.switchTo(0, child));
      kernel.exec(child, {
        name: 'cc',
        regions: [{ pages: textPages, writable: false, shared }, { pages: dataPages }],
      });
      live(host, make, child, values);
      if (done === Math.floor(processes / 2)) host.checkpoint('halfway');
      kernel.exit(child);
      kernel.switchTo(0, make);
      guest.touch(make, { page: make.regions[0]!.page, pages: 8 }, { access: 'write' });
      host.operations();
      host.progress(done + 1, processes);
    }
  },
});
