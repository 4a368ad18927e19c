/** The virtual processors of a kernel: what each has loaded, kernel entries, context switches, flushes and shootdowns. */
import { FlushList } from './flushList.ts';
import type { KernelLedger } from './kernelLedger.ts';
import type { AddressSpace, PagingPlatform } from './pagingPlatform.ts';
import type { OwnProcess } from './process.ts';
import { usage } from './region.ts';

/** Most virtual processors of a kernel: a bound against mistakes. */
const MOST_VCPUS = 4096;

/** What virtual processors are started with. */
export interface ProcessorsOptions {
  /** What the kernel runs on. */
  platform: PagingPlatform;
  /** Where context switches are counted. */
  ledger: KernelLedger;
  /** How many there are. */
  vcpus: number;
  /** Whether a load of CR3 leaves the translations of the tag that it loads. */
  pcid: boolean;
  /** Whether kernel entries from user mode, and returns, load CR3. */
  kpti: boolean;
}

/** One virtual processor. */
interface Vcpu {
  readonly number: number;
  /** Whose user mode it is in, or was before it entered the kernel; a process that exited until it is left. */
  process: OwnProcess | undefined;
  /** What is loaded. */
  space: AddressSpace | undefined;
  /** Kernel entries that it has not returned from: 0 in user mode. What has no living process is in the kernel: 1. */
  depth: number;
}

/** Whether it is in the kernel for want of a process to return to: it never ran one, it idles, or its process exited. */
const stranded = ({ process }: Vcpu): boolean => process === undefined || !process.alive;

/** Virtual processors. The kernel runs on one at a time, the chosen one. */
export class Processors {
  /** What the operation under way takes away; {@link flush} at its end. */
  readonly gone = new FlushList();
  readonly #options: ProcessorsOptions;
  readonly #vcpus: Vcpu[];
  readonly #targets: number[] = [];
  #chosen: Vcpu;

  /** @throws NestwalkError `usage` for a number of virtual processors that cannot be */
  constructor(options: ProcessorsOptions) {
    const { vcpus } = options;
    if (!(Number.isInteger(vcpus) && vcpus >= 1 && vcpus <= MOST_VCPUS))
      throw usage(
        `a kernel cannot have ${vcpus} virtual processors; give a whole number from 1 to ${MOST_VCPUS}`,
      );
    this.#options = options;
    this.#vcpus = Array.from({ length: vcpus }, (_, number) => ({
      number,
      process: undefined,
      space: undefined,
      depth: 1,
    }));
    this.#chosen = this.#vcpus[0];
  }

  /** How many there are. */
  get count(): number {
    return this.#vcpus.length;
  }

  /** Number of the chosen one. */
  get chosen(): number {
    return this.#chosen.number;
  }

  /** What the chosen one has loaded. */
  get space(): AddressSpace | undefined {
    return this.#chosen.space;
  }

  /** The process that one runs, if that lives. */
  running(vcpu: number): OwnProcess | undefined {
    const { process } = this.#at(vcpu);
    return process?.alive === true ? process : undefined;
  }

  /** The kernel runs on this one from now on. */
  choose(vcpu: number): void {
    if (vcpu === this.#chosen.number) return;
    this.#chosen = this.#at(vcpu);
    this.#options.platform.onVcpu(vcpu);
  }

  /**
   * Chooses one that runs a process: the chosen one, else the lowest.
   * @param what what is to be done there, for the message
   * @throws NestwalkError `usage` when none does
   */
  chooseFor(process: OwnProcess, what: string): void {
    if (this.#chosen.process === process) return;
    const host = this.#vcpus.find((vcpu) => vcpu.process === process);
    if (host === undefined) {
      throw usage(
        `${process} runs on no virtual processor and cannot ask for ${what}; switchTo(vcpu, process) first`,
      );
    }
    this.choose(host.number);
  }

  /** How many have an address space of a process loaded. */
  loadedOn(process: OwnProcess): number {
    let count = 0;
    for (const vcpu of this.#vcpus) if (vcpu.process === process) count++;
    return count;
  }

  /** The chosen one enters the kernel, by a system call, a fault or an interrupt. */
  enter(): void {
    const { depth, space } = this.#chosen;
    this.#chosen.depth = depth + 1;
    if (depth === 0 && this.#options.kpti) this.#options.platform.switchTo(space!);
  }

  /** The chosen one returns from its last entry. */
  leave(): void {
    const { depth, space } = this.#chosen;
    this.#chosen.depth = depth - 1;
    if (depth === 1 && this.#options.kpti) this.#options.platform.switchTo(space!);
  }

  /**
   * One goes to a process, or with none to the kernel's own address space; the kernel runs on it from then on. From user
   * mode that is an interrupt, within a system call the process that it leaves waits there.
   */
  switchTo(vcpu: number, process: OwnProcess | undefined, space: AddressSpace): void {
    this.choose(vcpu);
    const chosen = this.#chosen;
    const left = chosen.process;
    if (left === process && chosen.space === space) return;
    const wasStranded = stranded(chosen);
    const interrupts = chosen.depth === 0;
    if (!wasStranded && (interrupts || process === undefined)) this.enter();
    chosen.process = process;
    this.#load(space);
    if (left !== undefined && process !== undefined) this.#options.ledger.count('contextSwitches');
    if (process !== undefined && (wasStranded || interrupts)) this.leave();
    if (left !== undefined && !left.alive) this.bury(left);
  }

  /**
   * A process that the chosen one may run has exited, after a kernel entry that it will not return from. Others that run
   * it are interrupted for good.
   */
  strand(process: OwnProcess): void {
    for (const vcpu of this.#vcpus) if (vcpu.process === process && vcpu !== this.#chosen) vcpu.depth++;
    this.bury(process);
  }

  /** The process on the chosen one has another address space from now on. */
  reload(space: AddressSpace): void {
    this.#load(space);
  }

  /** Ends the address space of a process that exited, unless some virtual processor has it loaded still. */
  bury(process: OwnProcess): void {
    if (this.loadedOn(process) === 0) this.#options.platform.destroyAddressSpace(process.space);
  }

  /**
   * Flushes what {@link gone} names of a process, here and on all that have it loaded; those that had it before do so
   * when they load it again.
   */
  flush(process: OwnProcess): void {
    const { gone } = this;
    if (gone.empty) return;
    const { platform } = this.#options;
    const { pages } = gone;
    process.generation++;
    this.#targets.length = 0;
    for (const vcpu of this.#vcpus) {
      if (vcpu.process !== process) continue;
      process.seen[vcpu.number] = process.generation;
      if (vcpu !== this.#chosen) this.#targets.push(vcpu.number);
      else if (pages === 'all') platform.flushSpace(process.space);
      else for (const page of pages) platform.flushPage(process.space, page);
    }
    if (this.#targets.length > 0) platform.shootdown(process.space, pages, this.#targets);
    gone.clear();
  }

  /** Loads CR3 on the chosen one, and flushes what went stale while it ran others. */
  #load(space: AddressSpace): void {
    const { number, process } = this.#chosen;
    const { platform, pcid } = this.#options;
    this.#chosen.space = space;
    platform.switchTo(space);
    if (process === undefined) return;
    const seen = process.seen[number];
    if (pcid && seen !== undefined && seen !== process.generation) platform.flushSpace(space);
    process.seen[number] = process.generation;
  }

  #at(vcpu: number): Vcpu {
    const found = this.#vcpus[vcpu];
    if (found !== undefined) return found;
    throw usage(`there is no virtual processor ${vcpu}; this kernel has 0 to ${this.#vcpus.length - 1}`);
  }
}
