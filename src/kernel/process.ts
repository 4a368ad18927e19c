/** A process of a guest kernel: what users see of it, and what the kernel keeps. */
import type { AddressSpace } from './pagingPlatform.ts';
import type { Region } from './region.ts';
import { Regions } from './regions.ts';

/** A process, as users see it; a kernel makes and changes it. */
export interface Process {
  /** Its number, from 1 in the order of making; no two of a kernel have the same. */
  readonly id: number;
  /** Its name, for messages; another one after exec, perhaps. */
  readonly name: string;
  /** Its address space; another one after exec. */
  readonly space: AddressSpace;
  /** Its regions as they are now, in ascending order. */
  readonly regions: readonly Region[];
  /** Whether it has not exited yet. */
  readonly alive: boolean;
  /** Pages of 4 KiB that it has mapped now, those of large pages each. */
  readonly residentPages: number;
  /** As messages name it: `process 3 (worker)`. */
  toString(): string;
}

/** A process as its kernel keeps it. */
export class OwnProcess implements Process {
  readonly id: number;
  /** The kernel that made it. */
  readonly kernel: object;
  /** See {@link Process.name}. */
  name: string;
  /** See {@link Process.space}. */
  space: AddressSpace;
  /** See {@link Process.regions}. */
  layout = new Regions();
  /** Regions made so far, which numbers them for a `FrameSource`. */
  regionsMade = 0;
  /** See {@link Process.alive}. */
  alive = true;
  /** See {@link Process.residentPages}. */
  residentPages = 0;
  /** Raised whenever translations of the address space were taken away. */
  generation = 0;
  /** By virtual processor: the generation that it has seen; nothing where it was never loaded. */
  readonly seen: number[] = [];

  constructor(kernel: object, id: number, name: string, space: AddressSpace) {
    this.kernel = kernel;
    this.id = id;
    this.name = name;
    this.space = space;
  }

  get regions(): readonly Region[] {
    return this.layout.list;
  }

  /** Changes places with another one in all but number and life, for exec. Nothing is cached of the other yet. */
  become(other: OwnProcess): void {
    const { name, space, layout, residentPages } = this;
    this.name = other.name;
    this.space = other.space;
    this.layout = other.layout;
    this.residentPages = other.residentPages;
    this.seen.length = 0;
    other.name = name;
    other.space = space;
    other.layout = layout;
    other.residentPages = residentPages;
  }

  toString(): string {
    return `process ${this.id} (${this.name})`;
  }
}
