/**
 * The guest kernel against a plain model, over random sequences of operations: what a process finds in its memory is what it
 * put there, whatever forks, huge pages, the disk and other processes did meanwhile; no frame is used twice unless shared;
 * nothing cached outlives what it was cached of; nothing is left at the end.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NestwalkError } from '../src/errors.ts';
import { GuestKernel, type GuestKernelOptions } from '../src/kernel/guestKernel.ts';
import type { Process } from '../src/kernel/process.ts';
import { type PageSpan, SharedMemory } from '../src/kernel/region.ts';
import { FrameAllocator } from '../src/memory/frameAllocator.ts';
import { entryPages, newPlace } from '../src/memory/pageTable.ts';
import { SimulatedMemory, type Zone } from '../src/memory/simulatedMemory.ts';
import { flagsAt, TestPlatform } from './support/testPlatform.ts';

const FIRST = 2 ** 28;
/** Pages that the sequences play with: three huge ones. */
const ROOM = 3 * 512;
const WHOLE = { page: FIRST, pages: ROOM };
/** Frames for all that five processes can have mapped at a time, in huge pages that hold little too. */
const AMPLE = 24 * 512;
const VCPUS = 3;
/** Sequences of each kind. */
const RUNS = 25;

/** What a process may do with a page, and what it finds there. */
interface ModelPage {
  writable: boolean;
  /** Content of private memory; 0 until written. */
  content: number;
  /** Shared memory that it shows instead, and which page of it. */
  shared?: { content: number[]; page: number };
}

/** A process in the model. */
interface Actor {
  process: Process;
  pages: Map<number, ModelPage>;
}

type Draw = { pick: number; page: number; pages: number; vcpu: number; flag: boolean };
const OPERATIONS = [
  'read',
  'write',
  'write',
  'write',
  'mmap',
  'mmapShared',
  'munmap',
  'mprotect',
  'fork',
  'exit',
  'exec',
  'switchTo',
  'idle',
  'pageOut',
  'collapse',
  'split',
  'dontNeed',
  'advise',
  'populate',
] as const;

class Bed {
  readonly platform: TestPlatform;
  readonly frames: FrameAllocator;
  readonly zone: Zone;
  readonly kernel: GuestKernel;
  readonly actors: Actor[] = [];
  /** What stands in each frame. Where the kernel copies or clears, this does so by what mapped what before and after. */
  readonly ram = new Map<number, number>();
  readonly #shared = new SharedMemory(64);
  readonly #sharedContent: number[] = Array.from({ length: 64 }, () => 0);
  readonly #sharedFrames = new Map<number, number>();
  readonly #tablesAtStart: number;
  #content = 0;

  constructor(options: Partial<GuestKernelOptions>, memoryFrames: number) {
    this.frames = new FrameAllocator('guest memory', memoryFrames);
    this.platform = new TestPlatform({ pcid: options.pcid, hostBase: 2 ** 24 });
    [this.zone] = new SimulatedMemory([{ name: 'tables', base: 2 ** 20, frames: 200 }]).zones;
    const { platform, frames, zone } = this;
    this.kernel = new GuestKernel({ platform, zone, frames, ledger: platform, vcpus: VCPUS, ...options });
    this.#tablesAtStart = zone.used;
    this.#adopt(this.kernel.createProcess({ name: 'first', regions: [{ page: FIRST, pages: ROOM }] }), () =>
      Array.from({ length: ROOM }, (_, k) => [FIRST + k, { writable: true, content: 0 }]),
    );
    this.kernel.switchTo(0, this.actors[0].process);
  }

  /** One operation of a sequence; those that make no sense as drawn do nothing. */
  step(operation: (typeof OPERATIONS)[number], draw: Draw): void {
    const { kernel } = this;
    if (this.actors.length === 0) return;
    const actor = this.actors[draw.pick % this.actors.length];
    const { process, pages } = actor;
    const runsOn = Array.from({ length: VCPUS }, (_, k) => k).filter(
      (vcpu) => kernel.running(vcpu) === process,
    );
    const span: PageSpan = { page: FIRST + draw.page, pages: Math.min(draw.pages, ROOM - draw.page) };
    const own = spanPages(span).filter((page) => pages.has(page));
    const covered = own.length === span.pages;
    const asks = runsOn.length > 0;
    kernel.onVcpu(draw.vcpu);
    switch (operation) {
      case 'read':
      case 'write':
        if (asks) this.#access(actor, runsOn[draw.vcpu % runsOn.length], span.page, operation);
        break;
      case 'mmap':
        if (asks && own.length === 0) {
          kernel.mmap(process, { ...span, writable: draw.flag });
          for (const page of spanPages(span)) pages.set(page, { writable: draw.flag, content: 0 });
        }
        break;
      case 'mmapShared': {
        const view = { page: span.page, pages: Math.min(span.pages, 64) };
        if (!asks || spanPages(view).some((page) => pages.has(page))) break;
        kernel.mmap(process, { ...view, shared: this.#shared });
        spanPages(view).forEach((page, k) => {
          pages.set(page, { writable: true, content: 0, shared: { content: this.#sharedContent, page: k } });
        });
        break;
      }
      case 'munmap':
        if (asks && own.length > 0) {
          kernel.munmap(process, span);
          for (const page of own) pages.delete(page);
        }
        break;
      case 'mprotect':
        if (asks && covered) {
          kernel.mprotect(process, span, { writable: draw.flag });
          for (const page of own) pages.get(page)!.writable = draw.flag;
        }
        break;
      case 'dontNeed':
        if (asks && covered) {
          kernel.madvise(process, span, 'dontNeed');
          for (const page of own) pages.get(page)!.content = 0;
        }
        break;
      case 'advise':
        if (asks && covered) kernel.madvise(process, span, draw.flag ? 'hugePages' : 'noHugePages');
        break;
      case 'fork':
        if (asks && this.actors.length < 5) {
          const child = kernel.fork(process);
          this.#adopt(child, () => [...pages].map(([page, known]) => [page, { ...known }]));
        }
        break;
      case 'exit':
        if (this.actors.length > 1 || draw.flag) {
          kernel.exit(process);
          this.actors.splice(this.actors.indexOf(actor), 1);
        }
        break;
      case 'exec':
        if (runsOn.length === 1) {
          kernel.exec(process, { regions: [span] });
          pages.clear();
          for (const page of spanPages(span)) pages.set(page, { writable: true, content: 0 });
        }
        break;
      case 'switchTo':
        kernel.switchTo(draw.vcpu, process);
        break;
      case 'idle':
        kernel.idle(draw.vcpu);
        break;
      case 'populate':
        if (!own.some((page) => draw.flag && !pages.get(page)!.writable))
          this.#watched(actor, WHOLE, () => kernel.populate(process, span, draw.flag ? 'write' : 'read'));
        break;
      case 'pageOut':
        kernel.pageOut(process, span);
        break;
      case 'collapse':
        this.#watched(actor, WHOLE, () => kernel.collapse(process, draw.flag ? span : undefined));
        break;
      case 'split':
        kernel.split(process, span);
        break;
    }
  }

  /** Everything that holds after any operation. */
  check(): void {
    const place = newPlace();
    const owners = new Map<number, number>();
    for (const frame of this.#sharedFrames.values()) owners.set(frame, 1);
    if (this.#shared.views === 0) owners.clear();
    for (const { process, pages } of this.actors) {
      let resident = 0;
      for (let page = FIRST; page < FIRST + ROOM; page++) {
        if (!process.space.table.walk(page, place)) continue;
        const frame = place.frame + (page % entryPages(place.level));
        resident++;
        const known = pages.get(page);
        if (known === undefined) expect.fail(`${process} maps page ${page} of no region`);
        owners.set(frame, (owners.get(frame) ?? 0) + 1);
        if (place.writable && !known.writable) expect.fail(`${process} can write page ${page}`);
        if (place.writable && known.shared === undefined && this.frames.sharers(frame) !== 1)
          expect.fail(`${process} can write page ${page}, whose frame it shares`);
        if (this.ram.get(frame) !== contentOf(known))
          expect.fail(`${process} finds something else at page ${page}`);
      }
      expect(process.residentPages).toBe(resident);
      const listed = process.regions.flatMap((region) => spanPages(region));
      expect(listed).toEqual([...pages.keys()].sort((a, b) => a - b));
    }
    for (const [frame, count] of owners)
      if (this.frames.sharers(frame) !== count) expect.fail(`frame ${frame} has ${count} owners`);
    expect(this.frames.used).toBe(owners.size);
    const tables = this.platform.reachable();
    expect(new Set(tables).size).toBe(tables.length);
    expect(this.zone.used).toBe(tables.length);
    this.platform.checkCached();
  }

  /** Ends everything: all that was taken is there again. */
  finish(): void {
    for (const { process } of this.actors.splice(0)) this.kernel.exit(process);
    for (let vcpu = 0; vcpu < VCPUS; vcpu++) this.kernel.idle(vcpu);
    expect(this.frames.used).toBe(0);
    expect(this.zone.used).toBe(this.#tablesAtStart);
    // Nothing is left in pieces either.
    for (let k = 0; k < Math.floor(this.frames.frames / 512); k++)
      expect(this.frames.allocate(1)).toBe(512 * k);
  }

  #adopt(process: Process, pages: () => [number, ModelPage][]): void {
    this.actors.push({ process, pages: new Map(pages()) });
  }

  #access(actor: Actor, vcpu: number, page: number, access: 'read' | 'write'): void {
    const known = actor.pages.get(page);
    const huge = { page: page - (page % 512), pages: 512 };
    const touch = () =>
      this.#watched(actor, huge, () => this.platform.access(this.kernel, vcpu, page, access));
    if (known === undefined || (access === 'write' && !known.writable)) {
      let code: string | undefined;
      try {
        touch();
      } catch (error) {
        if (!(error instanceof NestwalkError)) throw error;
        code = error.code;
      }
      expect(code).toBe('process.segfault');
      return;
    }
    const frame = touch();
    expect(this.ram.get(frame)).toBe(contentOf(known));
    if (access === 'read') return;
    const content = ++this.#content;
    this.ram.set(frame, content);
    if (known.shared === undefined) known.content = content;
    else known.shared.content[known.shared.page] = content;
  }

  /**
   * Does something that may map frames, and then in `ram` what the kernel did to them: a page that had a frame and has another
   * one was copied, one that had none was read back from the disk or cleared.
   */
  #watched<T>(actor: Actor, span: PageSpan, action: () => T): T {
    const { space } = actor.process;
    const before = spanPages(span).map((page) => {
      const frame = space.table.translate(page);
      return { page, frame, content: this.ram.get(frame ?? -1), flags: flagsAt(space, page) };
    });
    try {
      return action();
    } finally {
      for (const { page, frame, content, flags } of before) {
        const now = space.table.translate(page);
        const shared = actor.pages.get(page)?.shared;
        if (now === undefined || now === frame) continue;
        if (shared !== undefined) this.#placeShared(shared.page, now);
        else if (frame !== undefined) this.ram.set(now, content!);
        else this.ram.set(now, flags === 0 ? 0 : actor.pages.get(page)!.content);
      }
    }
  }

  /** A page of shared memory has one frame for good, while any region shows it. */
  #placeShared(page: number, frame: number): void {
    const known = this.#sharedFrames.get(page);
    if (known === undefined) {
      this.#sharedFrames.set(page, frame);
      this.ram.set(frame, this.#sharedContent[page]);
    } else expect(frame).toBe(known);
  }

  /** Shared memory that nothing shows any more is empty when it is shown again. */
  forgetUnseen(): void {
    if (this.#shared.views > 0) return;
    this.#sharedFrames.clear();
    this.#sharedContent.fill(0);
  }
}

const contentOf = (page: ModelPage): number => page.shared?.content[page.shared.page] ?? page.content;
const spanPages = ({ page, pages }: PageSpan): number[] => Array.from({ length: pages }, (_, k) => page + k);

const draws = fc.record({
  pick: fc.nat(4),
  page: fc.oneof(fc.nat(ROOM - 1), fc.constantFrom(0, 512, 1024)),
  pages: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 512, 1024, ROOM)),
  vcpu: fc.nat(VCPUS - 1),
  flag: fc.boolean(),
});
const steps = fc.array(fc.tuple(fc.constantFrom(...OPERATIONS), draws), {
  minLength: 1,
  maxLength: 60,
  size: 'max',
});

/** Asks for all memory that there may be, then goes on: short of memory this runs out whatever chance brings. */
const GREEDY: [(typeof OPERATIONS)[number], Draw][] = (['populate', 'fork', 'write', 'exit'] as const).map(
  (operation) => [operation, { pick: 0, page: 0, pages: ROOM, vcpu: 0, flag: true }],
);

describe('random sequences of operations', () => {
  const agree = (options: Partial<GuestKernelOptions>, memoryFrames: number, numRuns: number) => {
    let ranOut = 0;
    fc.assert(
      fc.property(steps, (sequence) => {
        const bed = new Bed(options, memoryFrames);
        for (const [operation, draw] of sequence) {
          try {
            bed.step(operation, draw);
          } catch (error) {
            if (!(error instanceof NestwalkError && error.code === 'memory.full')) throw error;
            ranOut++;
          }
          bed.forgetUnseen();
          bed.check();
        }
        bed.finish();
      }),
      { numRuns, examples: [[GREEDY]] },
    );
    return ranOut;
  };

  it.each([
    ['small pages', { hugePages: 'never', pcid: true, kpti: true }],
    ['huge pages by advice', { hugePages: 'madvise', pcid: true, kpti: false }],
    ['huge pages', { hugePages: 'always', pcid: false, kpti: true }],
    ['huge pages, A and D set', { hugePages: 'always', pcid: true, kpti: false, ad: 'set' }],
  ] as const)('agree with the model: %s', (_, options) => {
    expect(agree(options, AMPLE, RUNS)).toBe(0);
  });

  it.each([
    ['never', 300],
    ['always', 700],
  ] as const)('agree with the model when memory runs out: huge pages %s', (hugePages, memoryFrames) => {
    expect(agree({ hugePages }, memoryFrames, RUNS)).toBeGreaterThan(0);
  });
});
