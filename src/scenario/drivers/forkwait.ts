/** A loop of fork and wait: a process makes a child, the child writes a little and ends. */
import { defineScenario } from '../scenario.ts';
import { KPTI, MEMORY, memoryOf } from './shared.ts';

/** `forkwait`. */
export const forkwait = defineScenario({
  name: 'forkwait',
  title: 'a process forks, the child reads and writes a little and exits, the parent waits for it',
  claim: {
    statement:
      'Fork and wait 40,000 times took 6.0 s natively, 36.9 s under binary translation and 106.4 s under first-generation hardware virtualisation with shadow paging, which exits at every page-table write',
    source:
      'Adams and Agesen (ASPLOS 2006), Pentium 4 672; the three times as cited in lecture notes, so S-2nd',
  },
  operation: 'fork and wait',
  parameters: {
    forks: { kind: 'count', about: 'how often', unit: 'forks', default: 500, min: 1, max: 1e7 },
    dataPages: {
      kind: 'count',
      about: 'writable pages of the parent (assumed: stack, heap and library data of a small C program)',
      unit: 'pages',
      default: 48,
      min: 1,
      max: 1e6,
    },
    textPages: {
      kind: 'count',
      about: 'pages of program text that the child reads (assumed: the same program and its libraries)',
      unit: 'pages',
      default: 24,
      min: 1,
      max: 1e6,
    },
    childWrites: {
      kind: 'count',
      about: 'pages that the child writes, each of which is copied (assumed)',
      unit: 'pages',
      default: 12,
      max: 1e6,
    },
    parentWrites: {
      kind: 'count',
      about: 'pages that the parent writes between two forks (assumed)',
      unit: 'pages',
      default: 8,
      max: 1e6,
    },
    kpti: KPTI,
    memory: MEMORY,
  },
  setup: ({ memory, dataPages, textPages, kpti }) => ({
    memoryBytes: memoryOf(memory, 2 * dataPages + textPages),
    kpti,
  }),
  run(host, { forks, dataPages, textPages, childWrites, parentWrites }) {
    const { guest } = host;
    const { kernel } = guest;
    const parent = kernel.createProcess({
      name: 'parent',
      regions: [{ pages: dataPages }, { pages: textPages, writable: false, shared: true }],
    });
    const [data, text] = [parent.regions[0]!, parent.regions[1]!];
    const part = (page: number, wanted: number) => ({ page, pages: Math.min(wanted, dataPages) });
    kernel.switchTo(0, parent);
    guest.touch(parent, { page: data.page, pages: dataPages }, { access: 'write' });
    guest.touch(parent, { page: text.page, pages: textPages });
    host.measure();
    for (let done = 0; done < forks; done++) {
      const child = kernel.fork(parent, { name: 'child' });
      kernel.syscall(parent, () => kernel.switchTo(0, child));
      guest.touch(child, { page: text.page, pages: textPages });
      guest.touch(child, part(data.page, childWrites), { access: 'write' });
      kernel.exit(child);
      kernel.switchTo(0, parent);
      guest.touch(parent, part(data.page, parentWrites), { access: 'write' });
      host.operations();
      host.progress(done + 1, forks);
    }
  },
});
