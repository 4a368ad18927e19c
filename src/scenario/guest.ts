/** A guest of a scenario's host: its kernel, its platform, and the accesses of its programs. */
import { resolveConfig } from '../config/resolve.ts';
import { type ComponentConfig, isTrace } from '../config/resolved.ts';
import type { ComponentInput } from '../config/schema.ts';
import { NestwalkError } from '../errors.ts';
import type { WorkloadBlock } from '../hardware/access.ts';
import type { Platform } from '../hypervisor/platform.ts';
import type { GuestKernel } from '../kernel/guestKernel.ts';
import type { Process } from '../kernel/process.ts';
import type { PageSpan } from '../kernel/region.ts';
import { ACCESS_KINDS, type AccessKind, KIND_SHIFT } from '../schema.ts';
import { encodeWorkload } from '../workload/encode.ts';
import { type Core, type FaultHandler, TOUCH_BATCH } from './core.ts';

const PAGE = 4096;

/** How pages are touched; all may be left out. */
export interface TouchOptions {
  /** What each access does; default `read`. */
  access?: AccessKind;
  /** Pages from one access to the next; default 1, which is every page. */
  step?: number;
  /** Virtual processor; default: the lowest that the process is loaded on. */
  vcpu?: number;
}

/** A synthetic stream of one process, which goes on where it stopped. */
export interface Stream {
  /** Whose accesses these are. */
  readonly process: Process;
  /** The workload, as the hardware takes it. */
  readonly workload: WorkloadBlock;
  /** Index of the next access. */
  position: number;
}

/** What a guest is made of. */
export interface GuestParts {
  /** Its number on the host, from 0. */
  number: number;
  kernel: GuestKernel;
  platform: Platform;
  /** Its virtual processor i runs on core i. */
  cores: readonly Core[];
  /** Puts this guest on a core, if another is there. */
  enter: (guest: Guest, vcpu: number) => void;
  /** Two words of the seed, for streams. */
  seed: { low: number; high: number };
}

/** A guest. Natively all guests of a host have the one kernel that there is. */
export class Guest {
  /** Its number on the host, from 0. */
  readonly number: number;
  /** Its kernel: processes, memory, system calls. A process must be loaded (`switchTo`) to make accesses. */
  readonly kernel: GuestKernel;
  /** What its kernel runs on. */
  readonly platform: Platform;
  readonly #cores: readonly Core[];
  readonly #enter: GuestParts['enter'];
  readonly #seed: { low: number; high: number };
  readonly #onFault: FaultHandler;
  #streams = 0;

  constructor(parts: GuestParts) {
    this.number = parts.number;
    this.kernel = parts.kernel;
    this.platform = parts.platform;
    this.#cores = parts.cores;
    this.#enter = parts.enter;
    this.#seed = parts.seed;
    this.#onFault = (fault) => {
      if (this.platform.onFault(fault) === 'deliver') this.kernel.onFault(fault);
    };
  }

  /**
   * Puts this guest on the core of one of its virtual processors, where another guest was before: a switch of virtual
   * machines. Accesses do this by themselves; before kernel work that follows another guest's, call it.
   */
  enter(vcpu = 0): void {
    this.#enter(this, vcpu);
    this.kernel.onVcpu(vcpu);
  }

  /**
   * Accesses pages in ascending order, each once.
   * @throws NestwalkError `usage` when the process is loaded nowhere; what its faults throw
   */
  touch(process: Process, span: PageSpan, options: TouchOptions = {}): void {
    const { step = 1 } = options;
    const count = Math.ceil(span.pages / step);
    this.#each(process, count, options, (index) => span.page + index * step);
  }

  /**
   * Accesses pages in the order listed.
   * @param pages GVA >> 12
   * @throws NestwalkError as {@link touch}
   */
  touchPages(process: Process, pages: ArrayLike<number>, options: Omit<TouchOptions, 'step'> = {}): void {
    this.#each(process, pages.length, options, (index) => pages[index]!);
  }

  /**
   * A synthetic stream over memory of a process, to be run in pieces. Streams of a guest draw differently.
   * @param spans what the pattern's regions 0, 1, … are
   * @param pattern as in a configuration, such as `{ pattern: 'zipf', theta: 0.99, writeFraction: 0.1 }`
   * @throws NestwalkError `config.invalid` for a pattern that is none or does not fit
   */
  stream(process: Process, spans: PageSpan | readonly PageSpan[], pattern: ComponentInput): Stream {
    const listed: readonly PageSpan[] = Array.isArray(spans) ? spans : [spans as PageSpan];
    const { config } = resolveConfig({
      workload: pattern,
      regions: listed.map(({ page, pages }) => ({ base: page * PAGE, bytes: pages * PAGE })),
      accesses: 1,
      seed: 1,
      machine: {},
    });
    if (isTrace(config.workload))
      throw new NestwalkError('usage', 'a stream of a scenario is a pattern: it cannot be a recorded trace');
    // The upper word tells streams apart, and guests, so that no two draw the same.
    const high = (this.#seed.high ^ Math.imul(this.#streams++ * 65_536 + this.number + 1, 0x9e3779b1)) >>> 0;
    const workload = encodeWorkload(config.workload as ComponentConfig, config.regions, {
      low: this.#seed.low,
      high,
    });
    return { process, workload, position: 0 };
  }

  /**
   * Runs the next accesses of a stream.
   * @throws NestwalkError as {@link touch}; `run.cancelled`
   */
  run(stream: Stream, accesses: number, options: Pick<TouchOptions, 'vcpu'> = {}): void {
    const core = this.#coreOf(stream.process, options.vcpu);
    core.stream(stream.workload, stream.position, accesses, this.#onFault);
    stream.position += accesses;
  }

  #each(process: Process, count: number, options: TouchOptions, pageAt: (index: number) => number): void {
    const core = this.#coreOf(process, options.vcpu);
    const word = ACCESS_KINDS.indexOf(options.access ?? 'read') << KIND_SHIFT;
    const { pages, words } = core;
    for (let first = 0; first < count; first += TOUCH_BATCH) {
      const batch = Math.min(TOUCH_BATCH, count - first);
      for (let k = 0; k < batch; k++) pages[k] = pageAt(first + k);
      words.fill(word, 0, batch);
      core.touch(batch, this.#onFault);
    }
  }

  /** The core where a process runs, with this guest on it. */
  #coreOf(process: Process, wanted: number | undefined): Core {
    const vcpu = wanted ?? this.#vcpuOf(process);
    if (this.kernel.running(vcpu) !== process) throw this.#notLoaded(process, vcpu);
    this.enter(vcpu);
    return this.#cores[vcpu]!;
  }

  #vcpuOf(process: Process): number {
    for (let vcpu = 0; vcpu < this.#cores.length; vcpu++)
      if (this.kernel.running(vcpu) === process) return vcpu;
    return 0;
  }

  #notLoaded(process: Process, vcpu: number): NestwalkError {
    return new NestwalkError(
      'usage',
      `process ${process.id}${process.name === '' ? '' : ` (${process.name})`} was to access memory and is not loaded on ` +
        `virtual processor ${vcpu}; call kernel.switchTo(${vcpu}, process) first`,
    );
  }
}
