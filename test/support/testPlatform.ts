/**
 * A platform for tests of the guest kernel: writes entries, counts what it is asked, checks that the kernel keeps the rules of
 * the seam, and stands for processors that cache as much as any could: each translation in 4 KiB pieces, and where each table
 * page lies, until told to drop them.
 */
import { expect } from 'vitest';
import type { GuestKernel } from '../../src/kernel/guestKernel.ts';
import type { AddressSpace, AddressSpaceOptions, PagingPlatform } from '../../src/kernel/pagingPlatform.ts';
import { entryPages, newPlace, PageTable } from '../../src/memory/pageTable.ts';
import type { EntryRun, Zone } from '../../src/memory/simulatedMemory.ts';
import { type AccessKind, ENTRY } from '../../src/schema.ts';

const { present: P, writable: W, accessed: A, dirty: D, pageSize: PS } = ENTRY;

/** What the platform and the kernel count. */
export type Counts = Record<string, number>;

interface Space extends AddressSpace {
  readonly zone: Zone;
}

/** What a virtual processor has cached, by tag. */
interface Cached {
  /** GVA >> 12 to what a walk found. */
  pages: Map<number, { frame: number; writable: boolean }>;
  /** Level and part of the address to where the table page below lies. */
  links: Map<string, { level: number; page: number; table: number }>;
}

interface Vcpu {
  space: Space | undefined;
  cached: Map<number, Cached>;
}

/** See the head of the file. */
export class TestPlatform implements PagingPlatform {
  readonly counts: Counts = {};
  /** What was asked, in order, when this is an array. */
  log: string[] | undefined;
  /** Table pages in use, and of which level. */
  readonly tables = new Map<number, number>();
  readonly spaces = new Set<Space>();
  readonly vcpus: Vcpu[] = [];
  readonly #pcid: boolean;
  readonly #hostBase: number;
  #vcpu = 0;
  #batch = false;
  #tags = 0;

  /**
   * @param pcid whether address spaces have tags of their own
   * @param hostBase what leaves hold above the guest's frame numbers
   */
  constructor({ pcid = true, hostBase = 0 } = {}) {
    this.#pcid = pcid;
    this.#hostBase = hostBase;
  }

  count(cause: string, times = 1): void {
    this.counts[cause] = (this.counts[cause] ?? 0) + times;
  }

  /** What `action` has counted, without what it has not. */
  counted(action: () => void): Counts {
    const before = { ...this.counts };
    action();
    return Object.fromEntries(
      Object.entries(this.counts)
        .map(([cause, times]) => [cause, times - (before[cause] ?? 0)] as const)
        .filter(([, times]) => times !== 0),
    );
  }

  /** What `action` has asked, in order. */
  asked(action: () => void): string[] {
    const log: string[] = [];
    this.log = log;
    action();
    this.log = undefined;
    return log;
  }

  createAddressSpace(options: AddressSpaceOptions): AddressSpace {
    const { levels, zone, tableFlags } = options;
    let space: Space | undefined;
    const table = new PageTable({
      levels,
      zone,
      tableFlags,
      onTablePage: (frame, level) => this.onTablePage(space, frame, level),
      onTableFree: (frame, level) => this.onTableFree(space!, frame, level),
      setEntries: (run) => this.setEntries(space!, run),
      guestFrame: (frame) => this.guestFrame(frame),
    });
    space = { tag: options.tag ?? (this.#pcid ? ++this.#tags : 0), table, zone };
    this.spaces.add(space);
    return space;
  }

  beforeTeardown(space: AddressSpace): void {
    this.#note('beforeTeardown');
    expect(this.spaces).toContain(space);
  }

  destroyAddressSpace(space: AddressSpace): void {
    this.#note('destroy');
    expect(this.vcpus.filter((vcpu) => vcpu?.space === space)).toEqual([]);
    const { table, zone } = space as Space;
    const at = zone.halfOf(table.root, 0);
    expect(zone.halves.subarray(at, at + 1024).every((half) => half === 0)).toBe(true);
    for (const vcpu of this.vcpus) if (this.#pcid) vcpu?.cached.delete(space.tag);
    expect(this.spaces.delete(space as Space)).toBe(true);
    table.freeRoot();
  }

  onTablePage(_space: AddressSpace | undefined, frame: number, level: number): void {
    this.#note(`table ${level}`);
    expect(this.tables.has(frame)).toBe(false);
    this.tables.set(frame, level);
  }

  onTableFree(_space: AddressSpace, frame: number, level: number): void {
    this.#note(`free ${level}`);
    expect(this.tables.get(frame)).toBe(level);
    this.tables.delete(frame);
  }

  setEntries(space: AddressSpace, run: EntryRun): void {
    const { zone } = space as Space;
    const { table, level, index, count, flags, page } = run;
    const what = (flags & P) === 0 ? 'clear' : level > 1 && (flags & PS) === 0 ? 'link' : 'leaf';
    this.#note(`${what} ${level}:${index}+${count}`);
    this.count('tableWrites', count);
    expect(this.tables.get(table)).toBe(level);
    expect(index + count).toBeLessThanOrEqual(512);
    expect((page / entryPages(level)) % 512).toBe(index);
    if (what !== 'leaf') {
      zone.write(run);
      return;
    }
    for (let k = 0; k < count; k++) expect(run.frames[k] % entryPages(level)).toBe(0);
    zone.write({ ...run, frames: run.frames.map((frame) => frame + this.#hostBase) });
  }

  guestFrame(frame: number): number {
    return frame - this.#hostBase;
  }

  onVcpu(vcpu: number): void {
    this.#vcpu = vcpu;
  }

  flushPage(space: AddressSpace, page: number): void {
    this.#note(`invlpg ${page}`);
    this.count('invlpgs');
    this.#drop(this.#at(this.#vcpu), space, [page]);
  }

  flushSpace(space: AddressSpace): void {
    this.#note('flush');
    this.count('cr3Writes');
    this.#drop(this.#at(this.#vcpu), space, 'all');
  }

  shootdown(space: AddressSpace, pages: readonly number[] | 'all', vcpus: readonly number[]): void {
    this.#note(`shootdown ${pages === 'all' ? 'all' : pages.length} of ${vcpus.join(' ')}`);
    this.count('ipis', vcpus.length);
    for (const vcpu of vcpus) {
      expect(vcpu).not.toBe(this.#vcpu);
      expect(this.#at(vcpu).space).toBe(space);
      this.#drop(this.#at(vcpu), space, pages);
    }
  }

  switchTo(space: AddressSpace): void {
    this.#note('load');
    this.count('cr3Writes');
    expect(this.spaces).toContain(space);
    const vcpu = this.#at(this.#vcpu);
    vcpu.space = space as Space;
    if (!this.#pcid) vcpu.cached.clear();
  }

  onSyscall(): void {
    this.#note('syscall');
    this.count('syscalls');
  }

  beginBatch(): void {
    this.#note('[');
    expect(this.#batch).toBe(false);
    this.#batch = true;
  }

  endBatch(): void {
    this.#note(']');
    expect(this.#batch).toBe(true);
    this.#batch = false;
  }

  onFault(): 'deliver' {
    return 'deliver';
  }

  /**
   * An access on a virtual processor: by what it has cached, else by a walk, which is cached; what faults is the kernel's.
   * @returns the guest's frame
   */
  access(kernel: GuestKernel, vcpu: number, page: number, access: AccessKind = 'read'): number {
    const { space, cached } = this.#at(vcpu);
    if (space === undefined) throw new Error(`nothing is loaded on ${vcpu}`);
    const { pages, links } = cachedOf(cached, space.tag);
    const write = access === 'write';
    const known = pages.get(page);
    if (known !== undefined && (!write || known.writable)) return known.frame;
    for (let tries = 0; tries < 3; tries++) {
      const place = newPlace();
      const found = space.table.walk(page, place);
      for (const link of linksTo(space, page, place.level)) links.set(`${link.level} ${link.page}`, link);
      if (found && (!write || place.writable)) {
        const at = space.zone.halfOf(place.table, place.index);
        space.zone.halves[at] |= write ? A | D : A;
        const frame = place.frame + (page % entryPages(place.level));
        pages.set(page, { frame, writable: place.writable && (write || (place.flags & D) !== 0) });
        return frame;
      }
      this.onVcpu(vcpu);
      kernel.onVcpu(vcpu);
      // As the hardware does before it reports a fault: nothing of the address stays.
      pages.delete(page);
      links.clear();
      kernel.onFault({ kind: 'guestFault', page, offset: 0, access, gpaFrame: 0, intent: 'read', row: 0 });
    }
    throw new Error(`the ${access} of page ${page} never completed`);
  }

  /** What is cached of address spaces that are loaded says no more than their tables do. */
  checkCached(): void {
    for (const { space, cached } of this.vcpus.filter((vcpu) => vcpu !== undefined)) {
      if (space === undefined || !this.spaces.has(space)) continue;
      const { pages, links } = cachedOf(cached, space.tag);
      for (const [page, { frame, writable }] of pages) {
        expect(space.table.translate(page), `page ${page}`).toBe(frame);
        const found = space.table.lookup(page);
        if (writable) expect(found.present && found.writable, `page ${page}`).toBe(true);
      }
      for (const { level, page, table } of links.values()) {
        const now = linksTo(space, page, level).find((link) => link.level === level);
        expect(now?.table, `link of level ${level} for page ${page}`).toBe(table);
      }
    }
  }

  /** Table pages that can be reached from the roots. */
  reachable(): number[] {
    const found: number[] = [];
    const visit = (space: Space, table: number, level: number): void => {
      found.push(table);
      if (level === 1) return;
      for (let index = 0; index < 512; index++) {
        const at = space.zone.halfOf(table, index);
        const low = space.zone.halves[at];
        if ((low & P) !== 0 && (low & PS) === 0)
          visit(space, (low >>> 12) + space.zone.halves[at + 1] * 2 ** 20, level - 1);
      }
    };
    for (const space of this.spaces) visit(space, space.table.root, space.table.levels);
    return found;
  }

  #at(vcpu: number): Vcpu {
    this.vcpus[vcpu] ??= { space: undefined, cached: new Map() };
    return this.vcpus[vcpu];
  }

  #drop(vcpu: Vcpu, space: AddressSpace, pages: readonly number[] | 'all'): void {
    const found = cachedOf(vcpu.cached, space.tag);
    found.links.clear();
    if (pages === 'all') found.pages.clear();
    else for (const page of pages) found.pages.delete(page);
  }

  #note(what: string): void {
    this.log?.push(what);
  }
}

function cachedOf(cached: Map<number, Cached>, tag: number): Cached {
  const found = cached.get(tag) ?? { pages: new Map(), links: new Map() };
  cached.set(tag, found);
  return found;
}

/** Where the table pages below the entries for a page lie, down to the table page of a level. */
function linksTo(
  space: Space,
  page: number,
  level: number,
): { level: number; page: number; table: number }[] {
  const links = [];
  let table = space.table.root;
  for (let above = space.table.levels; above > level; above--) {
    const reach = entryPages(above);
    const at = space.zone.halfOf(table, Math.floor(page / reach) % 512);
    const low = space.zone.halves[at];
    if ((low & P) === 0 || (low & PS) !== 0) break;
    table = (low >>> 12) + space.zone.halves[at + 1] * 2 ** 20;
    links.push({ level: above - 1, page: Math.floor(page / reach) * reach, table });
  }
  return links;
}

/** Flags of the entry where a walk for a page ends, whether it is present or not. */
export function flagsAt(space: AddressSpace, page: number): number {
  const place = newPlace();
  space.table.walk(page, place);
  return place.flags;
}

export { A, D, P, PS, W };
