import { beforeEach, describe, expect, it } from 'vitest';
import { NestwalkError } from '../src/errors.ts';
import { GuestKernel, type GuestKernelOptions } from '../src/kernel/guestKernel.ts';
import type { Process } from '../src/kernel/process.ts';
import { type PageSpan, type Region, SharedMemory } from '../src/kernel/region.ts';
import { FrameAllocator } from '../src/memory/frameAllocator.ts';
import { ContiguousFrames } from '../src/memory/frames.ts';
import { SimulatedMemory, type Zone } from '../src/memory/simulatedMemory.ts';
import { A, D, flagsAt, P, PS, TestPlatform, W } from './support/testPlatform.ts';

/** First page of the first region that mmap places: GVA 2^40. */
const FIRST = 2 ** 28;
const MIB_PAGES = 256;
/** 4 KiB pages of a page of 2 MiB. */
const HUGE = 512;
const TABLES_AT = 2 ** 20;

let platform: TestPlatform;
let frames: FrameAllocator;
let zone: Zone;
let kernel: GuestKernel;
/** A process on virtual processor 0. */
let shell: Process;

function start(
  options: Partial<GuestKernelOptions> & { memoryFrames?: number; tablePages?: number } = {},
): void {
  const { memoryFrames = 16 * HUGE, tablePages = 64, ...rest } = options;
  platform = new TestPlatform({ pcid: rest.pcid ?? true });
  frames = new FrameAllocator('guest memory', memoryFrames);
  [zone] = new SimulatedMemory([{ name: 'guest tables', base: TABLES_AT, frames: tablePages }]).zones;
  kernel = new GuestKernel({ platform, zone, frames, ledger: platform, ...rest });
  shell = kernel.createProcess({ name: 'shell' });
  kernel.switchTo(0, shell);
}

function failure(action: () => unknown): NestwalkError {
  try {
    action();
  } catch (error) {
    if (error instanceof NestwalkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const read = (page: number, vcpu = 0): number => platform.access(kernel, vcpu, page, 'read');
const write = (page: number, vcpu = 0): number => platform.access(kernel, vcpu, page, 'write');
const part = ({ page }: PageSpan, from: number, pages: number): PageSpan => ({ page: page + from, pages });
const shape = ({ page, pages, writable }: Region) => [page - FIRST, pages, writable ? 'rw' : 'r'];
const shapes = (process: Process) => process.regions.map(shape);
const rights = (process: Process, page: number) => flagsAt(process.space, page) & (P | W);

beforeEach(() => start());

describe('a first touch', () => {
  it('maps one page with one write, and one for each table page that it takes', () => {
    const heap = kernel.mmap(shell, { bytes: 64 * 1024 });
    expect(heap).toEqual({ page: FIRST, pages: 16 });
    expect(platform.counted(() => read(FIRST))).toEqual({
      guestFaults: 1,
      zeroedFrames: 1,
      tableWrites: 3 + 1,
    });
    expect(platform.counted(() => write(FIRST + 1))).toEqual({
      guestFaults: 1,
      zeroedFrames: 1,
      tableWrites: 1,
    });
    expect([read(FIRST), read(FIRST + 1)]).toEqual([0, 1]);
    expect(frames.used).toBe(2);
    expect(shell.residentPages).toBe(2);
  });

  it('by a write makes the entry accessed and dirty, else A and D are as the kernel writes them', () => {
    kernel.mmap(shell, { pages: 2 });
    for (const access of ['read', 'write'] as const) {
      const page = access === 'read' ? FIRST : FIRST + 1;
      kernel.onFault({ kind: 'guestFault', page, offset: 0, access, gpaFrame: 0, intent: 'read', row: 0 });
    }
    expect(flagsAt(shell.space, FIRST) & (A | D)).toBe(0);
    expect(flagsAt(shell.space, FIRST + 1) & (A | D)).toBe(A | D);
  });

  it('in a region of large pages maps one of them, and says when there is none', () => {
    start({ memoryFrames: 3 * HUGE - 1 });
    const { page } = kernel.mmap(shell, { bytes: 3 * 2 ** 21, pageSize: '2MiB' });
    expect(platform.counted(() => read(page + 7))).toMatchObject({ zeroedFrames: HUGE, tableWrites: 2 + 1 });
    read(page + HUGE);
    const error = failure(() => read(page + 2 * HUGE));
    expect(error.code).toBe('memory.full');
    expect(error.message).toContain('1535 frames');
    expect(error.message).toContain('511 are free, but none of 2MiB');
  });

  it('in a region of 1 GiB pages takes two table pages and maps 2^18 small ones', () => {
    start({ memoryFrames: 2 ** 19 });
    const { page } = kernel.mmap(shell, { pages: 1, pageSize: '1GiB' });
    expect(page % 2 ** 18).toBe(0);
    expect(platform.counted(() => write(page + 12345))).toEqual({
      guestFaults: 1,
      zeroedFrames: 2 ** 18,
      tableWrites: 1 + 1,
    });
    expect(read(page + 77)).toBe(77);
    expect(shell.residentPages).toBe(2 ** 18);
  });

  it('outside the regions, or a write to a read-only one, names process, address and regions', () => {
    kernel.mmap(shell, { pages: 4, writable: false });
    const outside = failure(() => read(FIRST + 4));
    expect(outside.code).toBe('process.segfault');
    expect(outside.message).toContain('process 1 (shell) read from 0x10000004000');
    expect(outside.message).toContain('0x10000000000-0x10000004000 r');
    expect(read(FIRST)).toBe(0);
    expect(failure(() => write(FIRST)).message).toContain('wrote to 0x10000000000, which is read-only');
    // The kernel goes on.
    expect(read(FIRST + 1)).toBe(1);
  });

  it('without a free frame says how many there are and what to do', () => {
    start({ memoryFrames: 3 });
    kernel.mmap(shell, { pages: 4 });
    for (let k = 0; k < 3; k++) read(FIRST + k);
    const error = failure(() => read(FIRST + 3));
    expect(error.code).toBe('memory.full');
    expect(error.message).toContain('3 frames of 4 KiB');
    expect(error.message).toContain('all are in use; give the guest more memory');
  });
});

describe('populate', () => {
  it('maps all that is not mapped yet, with a batch for each new table page', () => {
    kernel.mmap(shell, { pages: HUGE + 10 });
    write(FIRST + 3);
    const asked = platform.asked(() => kernel.populate(shell));
    // The first table page has an entry already; the second has none, and is mapped at once.
    expect(asked).toEqual([
      'leaf 1:0+1',
      'leaf 1:1+1',
      'leaf 1:2+1',
      ...Array.from({ length: 508 }, (_, k) => `leaf 1:${k + 4}+1`),
      '[',
      'table 1',
      'link 2:1+1',
      'leaf 1:0+10',
      ']',
    ]);
    expect(shell.residentPages).toBe(HUGE + 10);
    expect(platform.counted(() => kernel.populate(shell))).toEqual({});
  });

  it('for writes leaves nothing that a write would fault on', () => {
    const heap = kernel.mmap(shell, { pages: 20 });
    kernel.populate(shell);
    const child = kernel.fork(shell);
    kernel.populate(shell, heap, 'write');
    expect(platform.counts.copiedFrames).toBe(20);
    expect(
      platform.counted(() => {
        for (let k = 0; k < 20; k++) write(FIRST + k);
      }),
    ).toEqual({});
    kernel.exit(child);
    expect(frames.used).toBe(20);
  });

  it('over a read-only region for writes is refused', () => {
    const heap = kernel.mmap(shell, { pages: 20, writable: false });
    expect(failure(() => kernel.populate(shell, heap, 'write')).code).toBe('process.segfault');
  });
});

describe('fork', () => {
  it('writes two entries for each writable page, and links for the table pages of the child', () => {
    for (const pages of [1, 100, 1000]) {
      start();
      kernel.mmap(shell, { pages });
      kernel.populate(shell);
      const leafTables = Math.ceil(pages / HUGE);
      const counted = platform.counted(() => kernel.fork(shell));
      // Tables of levels 3 and 2, and the leaf tables; then the parent is flushed, by a load of CR3.
      expect(counted).toEqual({ syscalls: 1, tableWrites: 2 * pages + 2 + leafTables, cr3Writes: 1 });
    }
  });

  it('has one batch for each table page, links outside, and flushes the parent once', () => {
    kernel.mmap(shell, { pages: HUGE + 2 });
    kernel.populate(shell);
    expect(platform.asked(() => kernel.fork(shell))).toEqual([
      'syscall',
      'table 4',
      ...['table 3', 'link 4:2+1', 'table 2', 'link 3:0+1', 'table 1', 'link 2:0+1'],
      ...['[', 'leaf 1:0+512', 'leaf 1:0+512', ']'],
      ...['table 1', 'link 2:1+1'],
      ...['[', 'leaf 1:0+2', 'leaf 1:0+2', ']'],
      'flush',
    ]);
  });

  it('a second time writes one entry a page: the parent can write none any more', () => {
    kernel.mmap(shell, { pages: 100 });
    kernel.populate(shell);
    kernel.fork(shell);
    expect(platform.counted(() => kernel.fork(shell))).toEqual({ syscalls: 1, tableWrites: 100 + 3 });
    expect(frames.used).toBe(100);
    expect(frames.sharers(0)).toBe(3);
  });

  it('shares frames until one of both writes: the first copies, the second has it left', () => {
    const heap = kernel.mmap(shell, { pages: 10 });
    kernel.populate(shell);
    const child = kernel.fork(shell, { name: 'child' });
    expect(child.name).toBe('child');
    kernel.switchTo(0, child);
    expect(read(FIRST + 4)).toBe(4);
    expect(frames.sharers(4)).toBe(2);
    const first = platform.counted(() => expect(write(FIRST + 4)).toBe(10));
    expect(first).toEqual({ guestFaults: 1, copiedFrames: 1, tableWrites: 1, invlpgs: 1 });
    expect(frames.sharers(4)).toBe(1);
    kernel.switchTo(0, shell);
    const second = platform.counted(() => expect(write(FIRST + 4)).toBe(4));
    expect(second).toEqual({ guestFaults: 1, tableWrites: 1 });
    expect(frames.used).toBe(11);
    kernel.munmap(shell, heap);
    expect(frames.used).toBe(10);
  });

  it('clears A in the child and keeps D in both', () => {
    kernel.mmap(shell, { pages: 2 });
    write(FIRST);
    read(FIRST + 1);
    const child = kernel.fork(shell);
    const bits = (process: Process) => [0, 1].map((k) => flagsAt(process.space, FIRST + k) & (A | D | W));
    expect(bits(shell)).toEqual([A | D, A]);
    expect(bits(child)).toEqual([D, 0]);
  });

  it('leaves shared memory out; the child finds the same frames when it touches them', () => {
    kernel.mmap(shell, { pages: 10, shared: true });
    kernel.populate(shell);
    expect(platform.counted(() => kernel.fork(shell))).toEqual({ syscalls: 1 });
    const child = kernel.fork(shell);
    kernel.switchTo(0, child);
    expect(platform.counted(() => write(FIRST + 3))).toEqual({ guestFaults: 1, tableWrites: 3 + 1 });
    expect(read(FIRST + 3)).toBe(3);
    expect(frames.used).toBe(10);
  });

  it('copies 2 MiB leaves as they are; the first write splits one and copies a small page', () => {
    start({ hugePages: 'always' });
    kernel.mmap(shell, { pages: HUGE });
    write(FIRST);
    const counted = platform.counted(() => kernel.fork(shell));
    expect(counted).toEqual({ syscalls: 1, tableWrites: 2 + 2, cr3Writes: 1 });
    expect(platform.counted(() => write(FIRST + 9))).toEqual({
      guestFaults: 1,
      // 512 entries, the link, and the entry of the copy.
      tableWrites: 512 + 1 + 1,
      copiedFrames: 1,
      cr3Writes: 1,
    });
    expect(frames.used).toBe(HUGE + 1);
    expect([frames.sharers(8), frames.sharers(9)]).toEqual([2, 1]);
  });

  it('of a region of large pages copies a large page whole', () => {
    kernel.mmap(shell, { pages: HUGE, pageSize: '2MiB' });
    write(FIRST);
    kernel.fork(shell);
    expect(platform.counted(() => write(FIRST))).toMatchObject({ copiedFrames: HUGE, tableWrites: 1 });
    expect(frames.used).toBe(2 * HUGE);
  });

  it('without room for the tables makes nothing', () => {
    start({ tablePages: 2 + 3 + 2 });
    kernel.mmap(shell, { pages: 10 });
    kernel.populate(shell);
    expect(failure(() => kernel.fork(shell)).code).toBe('memory.full');
    expect(zone.used).toBe(2 + 3);
    expect(kernel.processes).toEqual([shell]);
    expect(frames.sharers(0)).toBe(1);
    write(FIRST);
  });
});

describe('exit', () => {
  it('gives back all frames and table pages, whatever the process did', () => {
    start({ hugePages: 'always' });
    const before = zone.used;
    const child = kernel.createProcess({
      regions: [{ pages: 2000 }, { pages: 5 }, { pages: 3, shared: true }],
    });
    kernel.switchTo(0, child);
    kernel.populate(child);
    kernel.pageOut(child, part(child.regions[0], 100, 50));
    kernel.fork(child);
    kernel.fork(child);
    for (const process of kernel.processes) if (process !== shell) kernel.exit(process);
    expect(frames.used).toBe(0);
    // The root of the process on virtual processor 0 stays until that goes elsewhere.
    expect(zone.used).toBe(before + 1);
    kernel.switchTo(0, shell);
    expect(zone.used).toBe(before);
    expect([...platform.tables.keys()].sort()).toEqual(platform.reachable().sort());
  });

  it('clears each entry and each link once, flushes, and leaves the root to the next load', () => {
    kernel.mmap(shell, { pages: 600 });
    kernel.populate(shell);
    const asked = platform.asked(() => kernel.exit(shell));
    expect(asked).toEqual([
      'syscall',
      'beforeTeardown',
      ...['[', 'clear 1:0+512', ']', '[', 'clear 1:0+88', ']'],
      ...['clear 2:0+1', 'free 1', 'clear 2:1+1', 'free 1', 'clear 3:0+1', 'free 2', 'clear 4:2+1', 'free 3'],
      'flush',
    ]);
    expect(shell.alive).toBe(false);
    expect(kernel.running()).toBeUndefined();
    expect(platform.asked(() => kernel.idle(0))).toEqual(['load', 'destroy', 'free 4']);
  });

  it('of a process that runs nowhere is no system call, and needs no flush', () => {
    kernel.mmap(shell, { pages: 3 });
    const child = kernel.fork(shell);
    expect(platform.asked(() => kernel.exit(child))).toEqual(['beforeTeardown', 'destroy', 'free 4']);
  });

  it('ends a process for good', () => {
    const child = kernel.fork(shell);
    kernel.exit(child);
    const error = failure(() => kernel.switchTo(0, child));
    expect([error.code, error.message]).toEqual(['usage', 'process 2 (shell) has exited']);
  });

  it('on several virtual processors waits for all of them before the root goes', () => {
    start({ vcpus: 3 });
    const threads = kernel.createProcess({ regions: [{ pages: 4 }] });
    for (const vcpu of [0, 1, 2]) kernel.switchTo(vcpu, threads);
    read(FIRST, 1);
    expect(platform.asked(() => kernel.exit(threads)).at(-1)).toBe('shootdown all of 0 2');
    expect(platform.asked(() => kernel.switchTo(0, shell))).toEqual(['load']);
    expect(platform.asked(() => kernel.idle(1))).toEqual(['load']);
    expect(platform.asked(() => kernel.idle(2))).toEqual(['load', 'destroy', 'free 4']);
  });
});

describe('munmap', () => {
  it('clears what was mapped, frees table pages that no region needs, and flushes', () => {
    const heap = kernel.mmap(shell, { pages: 100 });
    for (const k of [0, 1, 50]) write(FIRST + k);
    expect(platform.asked(() => kernel.munmap(shell, heap))).toEqual([
      'syscall',
      ...['[', 'clear 1:0+2', 'clear 1:50+1', ']'],
      ...['clear 2:0+1', 'free 1', 'clear 3:0+1', 'free 2', 'clear 4:2+1', 'free 3'],
      ...[`invlpg ${FIRST}`, `invlpg ${FIRST + 1}`, `invlpg ${FIRST + 50}`],
    ]);
    expect([frames.used, zone.used]).toEqual([0, 2]);
  });

  it('flushes up to 33 pages one by one, more as a whole', () => {
    for (const [pages, counted] of [
      [33, { invlpgs: 33 }],
      [34, { cr3Writes: 1 }],
    ] as const) {
      const heap = kernel.mmap(shell, { pages: 100 });
      kernel.populate(shell, { page: FIRST, pages });
      expect(platform.counted(() => kernel.munmap(shell, heap))).toEqual({
        syscalls: 1,
        tableWrites: pages + 3,
        ...counted,
      });
    }
  });

  it('splits a region and keeps table pages that a neighbour needs', () => {
    kernel.mmap(shell, { pages: 100 });
    kernel.populate(shell);
    kernel.munmap(shell, { page: FIRST + 10, pages: 20 });
    expect(shapes(shell)).toEqual([
      [0, 10, 'rw'],
      [30, 70, 'rw'],
    ]);
    expect([frames.used, zone.used]).toEqual([80, 5]);
    expect(failure(() => read(FIRST + 10)).code).toBe('process.segfault');
    // The gap is the lowest that takes 20 pages.
    expect(kernel.mmap(shell, { pages: 20 })).toEqual({ page: FIRST + 10, pages: 20 });
    expect(shapes(shell)).toEqual([[0, 100, 'rw']]);
  });

  it('of a part of a huge page splits it first', () => {
    start({ hugePages: 'always' });
    kernel.mmap(shell, { pages: 2 * HUGE });
    kernel.populate(shell);
    expect(shell.residentPages).toBe(2 * HUGE);
    const counted = platform.counted(() => kernel.munmap(shell, { page: FIRST + 100, pages: HUGE }));
    // Both huge pages are split; of them 412 and 100 small pages go.
    expect(counted.tableWrites).toBe(2 * (512 + 1) + 412 + 100);
    expect(frames.used).toBe(HUGE);
    expect(read(FIRST + 99)).toBe(99);
    expect(failure(() => read(FIRST + 100)).code).toBe('process.segfault');
    expect(read(FIRST + HUGE + 100)).toBe(HUGE + 100);
  });

  it('flushes for a table page that goes even if nothing was mapped on it', () => {
    const heap = kernel.mmap(shell, { pages: 10 });
    write(FIRST);
    kernel.madvise(shell, heap, 'dontNeed');
    expect(platform.counted(() => kernel.munmap(shell, heap))).toEqual({
      syscalls: 1,
      tableWrites: 3,
      invlpgs: 1,
    });
  });

  it('refuses a span without a region, that is none, or that cuts a large page', () => {
    kernel.mmap(shell, { pages: 10 });
    const large = kernel.mmap(shell, { pages: HUGE, pageSize: '2MiB' });
    const codes = [
      { page: FIRST + 10, pages: 5 },
      { page: FIRST, pages: 0 },
      { page: FIRST + 0.5, pages: 1 },
      part(large, 0, 1),
    ].map((span) => {
      const { code, message } = failure(() => kernel.munmap(shell, span));
      expect(message).toContain('munmap of process 1 (shell)');
      return code;
    });
    expect(codes).toEqual(['usage', 'usage', 'usage', 'usage']);
    expect(failure(() => kernel.munmap(shell, { page: FIRST + 10, pages: 5 })).message).toContain(
      'its regions: 0x10000000000-0x1000000a000',
    );
    expect(shell.regions).toHaveLength(2);
  });
});

describe('mprotect', () => {
  it('to read-only writes each writable entry, splits the region, and joins it again', () => {
    const heap = kernel.mmap(shell, { pages: 100 });
    kernel.populate(shell);
    const middle = part(heap, 20, 30);
    expect(platform.counted(() => kernel.mprotect(shell, middle, { writable: false }))).toEqual({
      syscalls: 1,
      tableWrites: 30,
      invlpgs: 30,
    });
    expect(shapes(shell)).toEqual([
      [0, 20, 'rw'],
      [20, 30, 'r'],
      [50, 50, 'rw'],
    ]);
    expect(failure(() => write(FIRST + 20)).code).toBe('process.segfault');
    // To writable again: only the region changes; the first write of each page faults, and copies nothing.
    expect(platform.counted(() => kernel.mprotect(shell, middle, { writable: true }))).toEqual({
      syscalls: 1,
    });
    expect(shapes(shell)).toEqual([[0, 100, 'rw']]);
    expect(platform.counted(() => write(FIRST + 20))).toEqual({ guestFaults: 1, tableWrites: 1 });
  });

  it('does nothing to entries that are read-only already', () => {
    const heap = kernel.mmap(shell, { pages: 100, writable: false });
    kernel.populate(shell);
    expect(platform.counted(() => kernel.mprotect(shell, heap, { writable: false }))).toEqual({
      syscalls: 1,
    });
  });

  it('of a part of a huge page splits it', () => {
    start({ hugePages: 'always' });
    const heap = kernel.mmap(shell, { pages: HUGE });
    write(FIRST);
    kernel.mprotect(shell, part(heap, 0, 10), { writable: false });
    expect(rights(shell, FIRST + 9)).toBe(P);
    expect(rights(shell, FIRST + 10)).toBe(P | W);
  });

  it('refuses a span that is not covered', () => {
    kernel.mmap(shell, { pages: 10 });
    const { code, message } = failure(() =>
      kernel.mprotect(shell, { page: FIRST, pages: 11 }, { writable: false }),
    );
    expect(code).toBe('usage');
    expect(message).toContain('not all lies in a region');
  });
});

describe('regions', () => {
  it('lie one behind the other, from 2 MiB on at multiples of 2 MiB', () => {
    const first = kernel.mmap(shell, { pages: 3 });
    const second = kernel.mmap(shell, { pages: 4, writable: false });
    const large = kernel.mmap(shell, { bytes: 2 ** 21 + 1 });
    expect([first.page, second.page, large.page, large.pages]).toEqual([FIRST, FIRST + 3, FIRST + HUGE, 513]);
    expect(kernel.mmap(shell, { pages: 2 }).page).toBe(FIRST + 7);
  });

  it('of an executable keep their order and stay apart; those of mmap become one', () => {
    const child = kernel.createProcess({
      regions: [{ pages: 3 }, { pages: 600 }, { pages: 2 }, { pages: 1, page: FIRST + 2000 }, { pages: 1 }],
    });
    const places = (process: Process) => process.regions.map(({ page, pages }) => [page - FIRST, pages]);
    expect(places(child)).toEqual([
      [0, 3],
      [HUGE, 600],
      [HUGE + 600, 2],
      [2000, 1],
      [2001, 1],
    ]);
    kernel.switchTo(0, child);
    kernel.mmap(child, { pages: 10 });
    kernel.mmap(child, { pages: 10 });
    expect(places(child)).toContainEqual([3, 20]);
    kernel.mprotect(child, { page: FIRST + HUGE + 10, pages: 5 }, { writable: false });
    kernel.mprotect(child, { page: FIRST + HUGE + 10, pages: 5 }, { writable: true });
    expect(child.regions).toHaveLength(6);
  });

  it('begin at 1 GiB with three levels', () => {
    start({ levels: 3 });
    expect(kernel.mmap(shell, { pages: 1 }).page).toBe(2 ** 18);
  });

  it('are refused when they cannot be', () => {
    kernel.mmap(shell, { pages: 10 });
    const messages = [
      {},
      { pages: 1, bytes: 4096 },
      { pages: 0 },
      { pages: 1.5 },
      { pages: 1, page: FIRST + 9 },
      { pages: 1, page: -1 },
      { pages: HUGE, page: 3, pageSize: '2MiB' as const },
      { pages: 1, pageSize: '3MiB' as never },
      { pages: 2, page: 2 ** 36 - 1 },
      { pages: HUGE, pageSize: '2MiB' as const, shared: true },
      { pages: 5, shared: new SharedMemory(4) },
    ].map((options) => {
      const { code, message } = failure(() => kernel.mmap(shell, options));
      expect(code).toBe('usage');
      return message;
    });
    expect(messages[4]).toContain('lies over its region 0x10000000000-0x1000000a000');
    expect(messages[8]).toContain('2^48 bytes');
    expect(new Set(messages).size).toBeGreaterThanOrEqual(9);
    expect(shell.regions).toHaveLength(1);
  });

  it('show shared memory from its first page on, which stays while any of them does', () => {
    const memory = new SharedMemory(8);
    const other = kernel.createProcess({ regions: [{ pages: 8, shared: memory }] });
    const view = kernel.mmap(shell, { pages: 4, shared: memory });
    const frame = write(FIRST + 2);
    kernel.switchTo(0, other);
    expect(read(FIRST + 2)).toBe(frame);
    kernel.mprotect(other, { page: FIRST + 1, pages: 2 }, { writable: false });
    kernel.munmap(other, { page: FIRST, pages: 2 });
    expect(read(FIRST + 2)).toBe(frame);
    kernel.exit(other);
    expect(frames.used).toBe(1);
    kernel.switchTo(0, shell);
    kernel.munmap(shell, view);
    expect(frames.used).toBe(0);
  });
});

describe('views of shared memory', () => {
  it('show it from its first page on, and keep their place when they are cut', () => {
    const memory = new SharedMemory(8);
    const view = kernel.mmap(shell, { pages: 4, shared: memory });
    const again = kernel.mmap(shell, { pages: 4, shared: memory });
    // They touch, and are not one: page 4 shows page 0 of the memory.
    expect(again.page).toBe(view.page + 4);
    expect(shell.regions).toHaveLength(2);
    kernel.munmap(shell, part(view, 0, 2));
    kernel.mprotect(shell, part(again, 1, 1), { writable: false });
    const seen = (span: PageSpan, k: number) => read(span.page + k);
    expect(seen(view, 2)).toBe(seen(again, 2));
    expect(seen(view, 3)).toBe(seen(again, 3));
    expect(seen(again, 1)).not.toBe(seen(view, 2));
    kernel.mprotect(shell, part(again, 1, 1), { writable: true });
    expect(shell.regions.map(({ sharedPage, pages }) => [sharedPage, pages])).toEqual([
      [2, 2],
      [0, 4],
    ]);
    expect(frames.used).toBe(3);
  });
});

describe('huge pages', () => {
  const whole = (options: { pages: number; page?: number; hugePages?: boolean; shared?: boolean }) => {
    const heap = kernel.mmap(shell, options);
    kernel.populate(shell, heap);
    return heap;
  };
  const leaves = (span: PageSpan) =>
    Array.from({ length: Math.ceil(span.pages / HUGE) }, (_, k) => {
      const found = shell.space.table.lookup(span.page + k * HUGE);
      return found.present ? found.level : 0;
    });

  it('come by policy and advice', () => {
    const cases = [
      ['never', undefined, 1],
      ['never', true, 1],
      ['madvise', undefined, 1],
      ['madvise', true, 2],
      ['madvise', false, 1],
      ['always', undefined, 2],
      ['always', false, 1],
    ] as const;
    for (const [hugePages, advice, level] of cases) {
      start({ hugePages });
      const heap = kernel.mmap(shell, { pages: HUGE });
      if (advice !== undefined) kernel.madvise(shell, heap, advice ? 'hugePages' : 'noHugePages');
      expect(platform.counted(() => write(FIRST)).zeroedFrames, `${hugePages} ${advice}`).toBe(
        level === 2 ? HUGE : 1,
      );
      expect(leaves(heap)).toEqual([level]);
    }
  });

  it('come only where the region holds them whole and nothing is mapped', () => {
    start({ hugePages: 'always' });
    const heap = whole({ page: FIRST + 100, pages: 3 * HUGE });
    // 412 small pages, two huge ones, 100 small pages.
    expect(leaves({ page: FIRST + 100, pages: 3 * HUGE })).toEqual([1, 2, 2]);
    expect(shell.space.table.lookup(FIRST + 3 * HUGE)).toMatchObject({ level: 1 });
    expect(shell.residentPages).toBe(heap.pages);
    expect(shell.space.table.lookup(FIRST + HUGE)).toMatchObject({
      frame: expect.toSatisfy((f) => f % HUGE === 0),
    });

    kernel.munmap(shell, heap);
    kernel.mmap(shell, { page: FIRST, pages: HUGE, hugePages: false });
    write(FIRST);
    kernel.madvise(shell, { page: FIRST, pages: HUGE }, 'hugePages');
    write(FIRST + 1);
    expect(leaves({ page: FIRST, pages: HUGE })).toEqual([1]);
  });

  it('give way to small ones when no huge frame is free', () => {
    start({ hugePages: 'always', memoryFrames: 2 * HUGE - 1 });
    const heap = kernel.mmap(shell, { pages: 2 * HUGE });
    write(FIRST);
    write(FIRST + HUGE);
    expect(leaves(heap)).toEqual([2, 1]);
  });

  it('split: 512 entries in one run and a link; translations stay', () => {
    start({ hugePages: 'always' });
    const heap = whole({ pages: 3 * HUGE });
    write(FIRST + 5);
    const before = [0, 5, 511].map((k) => shell.space.table.translate(FIRST + k));
    expect(platform.asked(() => expect(kernel.split(shell, part(heap, 5, 1))).toBe(1))).toEqual([
      ...['[', 'table 1', 'leaf 1:0+512', 'link 2:0+1', ']'],
      'flush',
    ]);
    expect(leaves(heap)).toEqual([1, 2, 2]);
    expect([0, 5, 511].map((k) => shell.space.table.translate(FIRST + k))).toEqual(before);
    expect(flagsAt(shell.space, FIRST) & (A | D | W | PS)).toBe(A | D | W);
    expect(kernel.split(shell)).toBe(2);
    expect(kernel.split(shell)).toBe(0);
    kernel.munmap(shell, heap);
    expect([frames.used, zone.used]).toEqual([0, 2]);
  });

  it('collapse: what is there is copied, the rest cleared, the table page goes', () => {
    const heap = whole({ pages: 3 * HUGE });
    expect(platform.counted(() => expect(kernel.collapse(shell)).toBe(3))).toEqual({
      copiedFrames: 3 * HUGE,
      tableWrites: 3 * 2,
      cr3Writes: 1,
    });
    expect(leaves(heap)).toEqual([2, 2, 2]);
    expect(zone.used).toBe(2 + 2);
    expect(frames.used).toBe(3 * HUGE);
    expect(kernel.collapse(shell)).toBe(0);
  });

  it('collapse a part that is mapped in part', () => {
    const heap = kernel.mmap(shell, { pages: HUGE });
    for (let k = 0; k < 5; k++) write(FIRST + 100 * k);
    expect(platform.counted(() => expect(kernel.collapse(shell, heap)).toBe(1))).toEqual({
      copiedFrames: 5,
      zeroedFrames: HUGE - 5,
      tableWrites: 2,
      invlpgs: 5,
    });
    expect(shell.residentPages).toBe(HUGE);
    expect(flagsAt(shell.space, FIRST) & (A | D | W | PS)).toBe(A | D | W | PS);
  });

  it('do not come of shared memory, of pages on the disk, of parts, or without a huge frame', () => {
    start({ memoryFrames: 3 * HUGE });
    const shared = whole({ pages: HUGE, shared: true });
    const short = whole({ pages: HUGE - 1 });
    expect(kernel.collapse(shell, shared) + kernel.collapse(shell, short)).toBe(0);
    kernel.munmap(shell, short);
    const heap = whole({ page: FIRST + 2 * HUGE, pages: HUGE });
    kernel.pageOut(shell, part(heap, 3, 1));
    expect(kernel.collapse(shell, heap)).toBe(0);
    read(heap.page + 3);
    kernel.populate(shell, kernel.mmap(shell, { pages: 1 }));
    expect(kernel.collapse(shell, heap)).toBe(0);
  });

  it('break a sharing when they are collapsed', () => {
    const heap = whole({ pages: HUGE });
    const child = kernel.fork(shell);
    expect(kernel.collapse(shell, heap)).toBe(1);
    expect(frames.used).toBe(2 * HUGE);
    expect(rights(shell, FIRST)).toBe(P | W);
    kernel.exit(child);
    expect(frames.used).toBe(HUGE);
  });
});

describe('paging out', () => {
  it('gives frames back; the next touch is a major fault', () => {
    const heap = kernel.mmap(shell, { pages: 40 });
    kernel.populate(shell);
    expect(platform.counted(() => expect(kernel.pageOut(shell, part(heap, 0, 10))).toBe(10))).toEqual({
      pageOuts: 10,
      tableWrites: 10,
      invlpgs: 10,
    });
    expect(frames.used).toBe(30);
    expect(kernel.pageOut(shell, part(heap, 0, 10))).toBe(0);
    expect(platform.counted(() => write(FIRST))).toEqual({ guestFaults: 1, majorFaults: 1, tableWrites: 1 });
    expect(platform.counted(() => kernel.populate(shell, part(heap, 1, 4)))).toEqual({
      majorFaults: 4,
      tableWrites: 4,
    });
    // What is on the disk goes with its region.
    kernel.munmap(shell, heap);
    expect([frames.used, zone.used]).toEqual([0, 2]);
  });

  it('splits huge pages, and leaves shared memory and regions of large pages alone', () => {
    start({ hugePages: 'always' });
    kernel.mmap(shell, { pages: HUGE });
    kernel.mmap(shell, { pages: HUGE, pageSize: '2MiB' });
    kernel.mmap(shell, { pages: 8, shared: true });
    kernel.populate(shell);
    expect(platform.counted(() => expect(kernel.pageOut(shell)).toBe(HUGE)).tableWrites).toBe(513 + 512);
    expect(frames.used).toBe(HUGE + 8);
  });

  it('is copied by fork: each has its page read back for itself', () => {
    kernel.mmap(shell, { pages: 4 });
    kernel.populate(shell);
    kernel.pageOut(shell);
    const child = kernel.fork(shell);
    kernel.switchTo(0, child);
    expect(platform.counted(() => read(FIRST + 2)).majorFaults).toBe(1);
    kernel.switchTo(0, shell);
    expect(platform.counted(() => read(FIRST + 2)).majorFaults).toBe(1);
    expect(frames.used).toBe(2);
  });

  it('and dontNeed of a part of a huge page leave the rest', () => {
    start({ hugePages: 'always' });
    const heap = kernel.mmap(shell, { pages: HUGE });
    for (const [forget, count] of [
      [() => kernel.madvise(shell, part(heap, 0, 10), 'dontNeed'), 10],
      [() => kernel.madvise(shell, part(heap, 500, 12), 'dontNeed'), 12],
      [() => kernel.madvise(shell, part(heap, 100, 5), 'dontNeed'), 5],
    ] as const) {
      kernel.madvise(shell, heap, 'dontNeed');
      kernel.munmap(shell, heap);
      kernel.mmap(shell, { pages: HUGE });
      write(FIRST);
      forget();
      expect(shell.residentPages).toBe(HUGE - count);
      expect(frames.used).toBe(HUGE - count);
    }
  });

  it('is forgotten with dontNeed: the next touch finds zeros', () => {
    const heap = kernel.mmap(shell, { pages: 4 });
    kernel.populate(shell);
    kernel.pageOut(shell, part(heap, 0, 2));
    expect(platform.counted(() => kernel.madvise(shell, heap, 'dontNeed'))).toEqual({
      syscalls: 1,
      tableWrites: 4,
      invlpgs: 2,
    });
    expect(platform.counted(() => read(FIRST))).toMatchObject({ zeroedFrames: 1 });
    expect(zone.used).toBe(5);
  });
});

describe('virtual processors', () => {
  it('count a context switch from one process to another, one CR3 load each', () => {
    const other = kernel.createProcess();
    expect(platform.counted(() => kernel.switchTo(0, other))).toEqual({ contextSwitches: 1, cr3Writes: 1 });
    expect(platform.counted(() => kernel.switchTo(0, other))).toEqual({});
    expect(platform.counted(() => kernel.idle(0))).toEqual({ cr3Writes: 1 });
    expect(kernel.running(0)).toBeUndefined();
    expect(platform.counted(() => kernel.switchTo(0, shell))).toEqual({ cr3Writes: 1 });
    expect(kernel.space).toBe(shell.space);
  });

  it('with KPTI load CR3 at each kernel entry from user mode and each return', () => {
    start({ kpti: true });
    const other = kernel.createProcess({ regions: [{ pages: 4 }] });
    kernel.mmap(shell, { pages: 4 });
    expect(platform.counted(() => kernel.syscall(shell))).toEqual({ syscalls: 1, cr3Writes: 2 });
    expect(platform.counted(() => read(FIRST)).cr3Writes).toBe(2);
    // An interrupt: entry, the switch, return.
    expect(platform.counted(() => kernel.switchTo(0, other)).cr3Writes).toBe(3);
    // A system call that waits: entry, the switch, the other's return.
    expect(platform.counted(() => kernel.syscall(other, () => kernel.switchTo(0, shell))).cr3Writes).toBe(3);
    // A segfault returns too.
    expect(platform.counted(() => failure(() => read(FIRST + 4))).cr3Writes).toBe(2);
    // Exit never returns; an idle processor stays in the kernel.
    expect(platform.asked(() => kernel.exit(shell)).filter((what) => what === 'load')).toHaveLength(1);
    expect(platform.counted(() => kernel.idle(0)).cr3Writes).toBe(1);
    expect(platform.counted(() => kernel.switchTo(0, other)).cr3Writes).toBe(2);
    expect(platform.counted(() => kernel.syscall(other, () => kernel.idle(0))).cr3Writes).toBe(2);
    expect(platform.counted(() => kernel.switchTo(0, other)).cr3Writes).toBe(2);
  });

  it('have calls made where the process runs', () => {
    start({ vcpus: 3 });
    const other = kernel.createProcess();
    kernel.switchTo(2, other);
    kernel.onVcpu(1);
    kernel.syscall(shell, () => expect(kernel.vcpu).toBe(0));
    kernel.syscall(other, () => expect(kernel.vcpu).toBe(2));
    kernel.switchTo(0, other);
    kernel.syscall(other, () => expect(kernel.vcpu).toBe(0));
    kernel.onVcpu(2);
    kernel.syscall(other, () => expect(kernel.vcpu).toBe(2));
    const error = failure(() => kernel.syscall(shell));
    expect(error.code).toBe('usage');
    expect(error.message).toContain('process 1 (shell) runs on no virtual processor');
    expect(failure(() => kernel.onVcpu(3)).message).toContain('this kernel has 0 to 2');
  });

  it('and other options are refused when they cannot be', () => {
    for (const [wrong, allowed] of [
      [{ vcpus: 0 }, 'from 1 to 4096'],
      [{ vcpus: 1.5 }, 'from 1 to 4096'],
      [{ levels: 6 }, 'give 2 to 5'],
      [{ hugePages: 'sometimes' as never }, 'never, madvise, always'],
    ] as const) {
      const { code, message } = failure(() => new GuestKernel({ platform, zone, frames, ...wrong }));
      expect([code, message.includes(allowed)], message).toEqual(['usage', true]);
    }
  });

  it('are shot down when they have the address space loaded, and only they', () => {
    start({ vcpus: 4 });
    const heap = kernel.mmap(shell, { pages: 100 });
    const other = kernel.createProcess();
    kernel.switchTo(1, shell);
    kernel.switchTo(2, other);
    kernel.switchTo(3, shell);
    kernel.onVcpu(1);
    kernel.populate(shell);
    expect(
      platform.asked(() => kernel.mprotect(shell, part(heap, 0, 2), { writable: false })).slice(-3),
    ).toEqual([`invlpg ${FIRST}`, `invlpg ${FIRST + 1}`, 'shootdown 2 of 0 3']);
    expect(platform.asked(() => kernel.munmap(shell, heap)).slice(-2)).toEqual([
      'flush',
      'shootdown all of 0 3',
    ]);
    // From elsewhere: nothing here, all others.
    kernel.onVcpu(2);
    kernel.populate(shell, kernel.mmap(shell, { pages: 1 }));
    kernel.onVcpu(2);
    expect(platform.asked(() => kernel.pageOut(shell)).at(-1)).toBe('shootdown 1 of 0 1 3');
  });

  it('are shot down for the copy of a page, not for a page that is left alone', () => {
    start({ vcpus: 2 });
    kernel.mmap(shell, { pages: 4 });
    kernel.switchTo(1, shell);
    write(FIRST);
    const child = kernel.fork(shell);
    expect(platform.counted(() => write(FIRST))).toMatchObject({ copiedFrames: 1, ipis: 1 });
    kernel.exit(child);
    kernel.exit(kernel.fork(shell));
    expect(platform.counted(() => write(FIRST))).toEqual({ guestFaults: 1, tableWrites: 1 });
  });

  it('flush what went stale while they ran others, when they have PCIDs', () => {
    for (const pcid of [true, false]) {
      start({ vcpus: 2, pcid });
      const heap = kernel.mmap(shell, { pages: 4 });
      kernel.populate(shell);
      const other = kernel.createProcess();
      kernel.switchTo(1, shell);
      kernel.switchTo(1, other);
      kernel.mprotect(shell, heap, { writable: false });
      expect(platform.asked(() => kernel.switchTo(1, shell))).toEqual(pcid ? ['load', 'flush'] : ['load']);
      kernel.switchTo(1, other);
      expect(platform.asked(() => kernel.switchTo(1, shell))).toEqual(['load']);
    }
  });
});

describe('exec', () => {
  it('gives a process a new address space and takes the old one apart', () => {
    start({ kpti: true });
    const before = zone.used;
    kernel.mmap(shell, { pages: 100 });
    kernel.populate(shell);
    const old = shell.space;
    const asked = platform.asked(() => kernel.exec(shell, { name: 'cc', regions: [{ pages: 7 }] }));
    expect(asked.slice(0, 5)).toEqual(['syscall', 'load', 'table 4', 'load', 'beforeTeardown']);
    expect(asked.slice(-3)).toEqual(['destroy', 'free 4', 'load']);
    expect(shell.space).not.toBe(old);
    expect([shell.id, shell.name, shell.residentPages, frames.used, zone.used]).toEqual([
      1,
      'cc',
      0,
      0,
      before,
    ]);
    expect(shapes(shell)).toEqual([[0, 7, 'rw']]);
    write(FIRST);
    expect(frames.used).toBe(1);
  });

  it('leaves nothing to be flushed where the process was before', () => {
    start({ vcpus: 2 });
    const heap = kernel.mmap(shell, { pages: 4 });
    kernel.switchTo(1, shell);
    kernel.idle(1);
    kernel.onVcpu(0);
    kernel.populate(shell);
    kernel.munmap(shell, heap);
    kernel.exec(shell);
    expect(platform.asked(() => kernel.switchTo(1, shell))).toEqual(['load']);
  });

  it('leaves the process as it was when it cannot be', () => {
    start({ vcpus: 2 });
    kernel.mmap(shell, { pages: 4 });
    write(FIRST);
    const before = zone.used;
    expect(failure(() => kernel.exec(shell, { regions: [{ pages: 0 }] })).code).toBe('usage');
    kernel.switchTo(1, shell);
    expect(failure(() => kernel.exec(shell)).message).toContain('several virtual processors');
    expect([shell.alive, shell.residentPages, zone.used, kernel.processes.length]).toEqual([
      true,
      1,
      before,
      1,
    ]);
    expect(read(FIRST)).toBe(0);
  });
});

describe('a kernel whose frames are given out once', () => {
  it('maps and protects, and refuses what would give a frame back', () => {
    start({ frames: new ContiguousFrames('guest memory', 100) });
    const heap = kernel.mmap(shell, { pages: 8 });
    kernel.populate(shell);
    kernel.mprotect(shell, heap, { writable: false });
    kernel.mprotect(shell, heap, { writable: true });
    expect(write(FIRST)).toBe(0);
    for (const action of [
      () => kernel.munmap(shell, heap),
      () => kernel.madvise(shell, heap, 'dontNeed'),
      () => kernel.fork(shell),
      () => kernel.exec(shell),
      () => kernel.exit(shell),
      () => kernel.collapse(shell),
      () => kernel.pageOut(shell),
      () => kernel.idle(0),
    ]) {
      const { code, message } = failure(action);
      expect([code, message.includes('start it with a FrameAllocator')]).toEqual(['usage', true]);
    }
    expect(shell.residentPages).toBe(8);
  });
});

describe('processes', () => {
  it('belong to one kernel', () => {
    const mine = kernel;
    const foreign = shell;
    start();
    expect(failure(() => kernel.switchTo(0, foreign)).code).toBe('usage');
    expect(mine.processes).toEqual([foreign]);
  });

  it('that cannot be made leave nothing', () => {
    const before = zone.used;
    const error = failure(() =>
      kernel.createProcess({
        regions: [
          { pages: 4, page: 8 },
          { pages: 4, page: 10 },
        ],
      }),
    );
    expect(error.code).toBe('usage');
    expect([zone.used, kernel.processes.length]).toEqual([before, 1]);
  });

  it('keep 1 MiB of 4 KiB pages apart from one another', () => {
    const other = kernel.createProcess({ regions: [{ pages: MIB_PAGES }] });
    kernel.mmap(shell, { pages: MIB_PAGES });
    kernel.populate(shell);
    kernel.populate(other);
    const all = [shell, other].flatMap(({ space }) =>
      Array.from({ length: MIB_PAGES }, (_, k) => space.table.translate(FIRST + k)),
    );
    expect(new Set(all).size).toBe(2 * MIB_PAGES);
  });
});
