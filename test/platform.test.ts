import { describe, expect, it } from 'vitest';
import { Ledger } from '../src/hypervisor/ledger.ts';
import { NativePlatform } from '../src/hypervisor/native.ts';
import { NestedPlatform } from '../src/hypervisor/nested.ts';
import { ParavirtPlatform } from '../src/hypervisor/paravirt.ts';
import type { AddressSpace, Platform } from '../src/hypervisor/platform.ts';
import { ShadowPlatform } from '../src/hypervisor/shadow.ts';
import { type Tagged, Tags } from '../src/hypervisor/tags.ts';
import type { HardwareContext, Processor } from '../src/memory/hardwareInterface.ts';
import { entryPages } from '../src/memory/pageTable.ts';
import { SimulatedMemory } from '../src/memory/simulatedMemory.ts';
import { ENTRY } from '../src/schema.ts';
import { ENGINES, TWIN } from './support/engines.ts';
import {
  DATA_FRAMES,
  GUEST_ZONE,
  Host,
  OddFrames,
  SHADOWS,
  TABLE,
  unmapRange,
  VARIANTS,
} from './support/hosts.ts';

/** A page in the middle of the address space, the first of its tables at every level. */
const B = 2 ** 28;
/** 4 KiB pages of what one entry of level 2, 3 and 4 reaches. */
const [L2, L3, L4] = [2, 3, 4].map(entryPages);
/** Flags of a leaf that has not been touched. */
const CLEAN = TABLE;
const READ_ONLY = TABLE & ~ENTRY.writable;
const LARGE = TABLE | ENTRY.pageSize;
const AD = ENTRY.accessed | ENTRY.dirty;

/** Maps a page, frame k behind page B + k unless told otherwise. */
const map = (space: AddressSpace, page: number, frame = page - B, flags = CLEAN): void =>
  space.table.map(page, 0, frame, flags);
const mapLarge = (space: AddressSpace, page: number, frame: number, sizeIndex = 1): void =>
  space.table.map(page / entryPages(sizeIndex + 1), sizeIndex, frame, LARGE);
const unmap = (space: AddressSpace, page: number): void => {
  unmapRange(space.table, page, 1);
};
/** Writes a leaf where one is. */
function rewrite(space: AddressSpace, page: number, frame: number, flags = CLEAN): void {
  const place = { table: 0, level: 1, index: 0, page: 0, flags: 0, frame: 0, writable: false };
  if (!space.table.walk(page, place)) throw new Error(`page ${page} is not mapped`);
  space.table.write(place, frame, flags);
}
const flagsOf = (space: AddressSpace, page: number): number => {
  const found = space.table.lookup(page);
  return found.present ? found.flags & AD : -1;
};

/** A host on the twin with one address space loaded. */
function loaded(options: Partial<ConstructorParameters<typeof Host>[0]> = {}): {
  host: Host;
  space: AddressSpace;
} {
  const host = new Host({ variant: 'shadow', engine: TWIN, ...options });
  const space = host.space();
  for (let vcpu = 0; vcpu < (options.vcpus ?? 1); vcpu++) {
    host.platform.onVcpu(vcpu);
    host.platform.switchTo(space);
  }
  host.platform.onVcpu(0);
  host.ledger.clear();
  return { host, space };
}

describe.each(ENGINES)('a miss under shadow paging, $name', (engine) => {
  it('takes two exits, and a third where the guest table has a shadow, each counted', () => {
    const host = new Host({ variant: 'shadow', engine });
    let space!: AddressSpace;
    // The root is backed when the kernel takes it, and gets a shadow when it is loaded.
    expect(
      host.counted(() => {
        space = host.space();
      }),
    ).toEqual({ tableBackings: 1, hostFrames: 1 });
    expect(host.counted(() => host.platform.switchTo(space))).toEqual({
      cr3Writes: 1,
      cr3Exits: 1,
      shadowTables: 1,
    });
    // Fault, exit, walk: the guest's entry is absent, so the fault is the guest's.
    const touch = (page: number, kind: 'read' | 'write', answer: string): object =>
      host.counted(() => expect(host.access(page, kind)).toBe(answer));
    expect(touch(B, 'read', 'fault')).toEqual({ guestFaultExits: 1 });
    // The guest takes three table pages. Of its four writes the one into the root is seen, since the root has a shadow.
    expect(host.counted(() => map(space, B))).toEqual({
      tableBackings: 3,
      hostFrames: 3,
      tableWrites: 4,
      tableWriteExits: 1,
    });
    // Retry: the shadow lacks what the guest has. Three shadow pages, one host frame, one entry.
    expect(touch(B, 'read', 'done')).toEqual({ hiddenFaultExits: 1, hostFrames: 1, shadowTables: 3 });
    expect(touch(B, 'read', 'done')).toEqual({});

    // The next page of the same table: its entry is written into a table that has a shadow.
    expect(touch(B + 1, 'write', 'fault')).toEqual({ guestFaultExits: 1 });
    expect(host.counted(() => map(space, B + 1))).toEqual({ tableWrites: 1, tableWriteExits: 1 });
    expect(touch(B + 1, 'write', 'done')).toEqual({ hiddenFaultExits: 1, hostFrames: 1 });
    expect(touch(B + 1, 'write', 'done')).toEqual({});
  });

  it('keeps A and D of the guest by faults: absent until accessed, read-only until written', () => {
    const host = new Host({ variant: 'shadow', engine });
    const space = host.space();
    host.platform.switchTo(space);
    map(space, B);
    map(space, B + 1);
    map(space, B + 2, 2, READ_ONLY);
    expect(flagsOf(space, B)).toBe(0);
    expect(host.access(B, 'read')).toBe('done');
    expect(flagsOf(space, B)).toBe(ENTRY.accessed);
    expect(host.counted(() => host.access(B, 'write'))).toEqual({ dirtyFaultExits: 1 });
    expect(flagsOf(space, B)).toBe(AD);
    // A write at once: one hidden fault sets both.
    expect(host.counted(() => host.access(B + 1, 'write'))).toEqual({ hiddenFaultExits: 1, hostFrames: 1 });
    expect(flagsOf(space, B + 1)).toBe(AD);
    // A write that the guest forbids is the guest's to handle; the walk has set A, as the hardware's does.
    expect(host.counted(() => expect(host.access(B + 2, 'write')).toBe('fault'))).toEqual({
      guestFaultExits: 1,
    });
    expect(flagsOf(space, B + 2)).toBe(ENTRY.accessed);

    // A guest that clears D gets it set again by the next write, and so with A.
    rewrite(space, B, 0, CLEAN | ENTRY.accessed);
    host.platform.flushPage(space, B);
    expect(host.counted(() => host.access(B, 'read'))).toEqual({ hiddenFaultExits: 1 });
    expect(host.counted(() => host.access(B, 'write'))).toEqual({ dirtyFaultExits: 1 });
    rewrite(space, B, 0, CLEAN);
    host.platform.flushPage(space, B);
    expect(host.counted(() => host.access(B, 'read'))).toEqual({ hiddenFaultExits: 1 });
    expect(flagsOf(space, B)).toBe(ENTRY.accessed);
  });
});

describe('shadow pages', () => {
  it.each(SHADOWS)('%s: are as many as the guest has tables: twice the memory', (variant) => {
    const { host, space } = loaded({ variant });
    for (let k = 0; k < 8; k++) {
      map(space, B + k * L2, k);
      host.access(B + k * L2);
    }
    map(space, B + L3, 8);
    host.access(B + L3);
    // Root, two tables of level 2 below one of level 3, nine leaf tables.
    expect(host.zone.used).toBe(13);
    expect(host.shadow.shadowPagesOf(space)).toBe(13);
    expect(host.shadow.shadowPages).toBe(13);
  });

  it('stay when another root is loaded, and are found again: a CR3 load builds nothing', () => {
    const { host, space } = loaded();
    const other = host.space();
    map(space, B);
    host.access(B);
    expect(host.counted(() => host.platform.switchTo(other))).toMatchObject({ shadowTables: 1 });
    const back = host.counted(() => {
      host.platform.switchTo(space);
      expect(host.access(B)).toBe('done');
    });
    expect(back).toEqual({ cr3Writes: 1, cr3Exits: 1 });
  });

  it('go when the guest takes their table page back', () => {
    const { host, space } = loaded();
    map(space, B);
    host.access(B);
    unmap(space, B);
    expect(host.shadow.shadowPages).toBe(4);
    // Each of the three tables costs the write that unlinks it, and the end of its shadow.
    const freed = host.counted(() => expect(space.table.freeTables(B, 1, 0, 2 * B)).toBe(3));
    expect(freed).toEqual({ tableWrites: 3, tableWriteExits: 3, unshadowExits: 3, shadowZaps: 3 });
    expect(host.shadow.shadowPages).toBe(1);
    const other = host.space();
    host.platform.switchTo(other);
    expect(host.counted(() => host.platform.destroyAddressSpace(space))).toEqual({
      unshadowExits: 1,
      shadowZaps: 1,
    });
    expect(host.shadow.shadowPages).toBe(1);
    expect(host.zone.used).toBe(1);
  });

  it('below a guest page larger than host pages are shared by all who map that memory, and go with the last', () => {
    const { host, space } = loaded();
    const other = host.space();
    for (const each of [space, other]) mapLarge(each, B, 512);
    host.access(B + 3, 'write');
    expect(host.shadow.shadowPagesOf(space)).toBe(4);
    expect(flagsOf(space, B)).toBe(AD);
    host.platform.switchTo(other);
    // Levels 3 and 2 of its own, the direct page of level 1 as it is; nothing has written through this table.
    expect(host.counted(() => host.access(B + 3, 'read'))).toEqual({ hiddenFaultExits: 1, shadowTables: 2 });
    expect(flagsOf(other, B)).toBe(ENTRY.accessed);
    expect(host.counted(() => host.access(B + 3, 'write'))).toEqual({ dirtyFaultExits: 1 });
    expect(host.counted(() => host.access(B + 4, 'write'))).toEqual({ hiddenFaultExits: 1, hostFrames: 1 });
    const before = host.shadow.shadowPages;
    expect(host.counted(() => unmap(other, B))).toEqual({ tableWrites: 1, tableWriteExits: 1 });
    expect(host.shadow.shadowPages).toBe(before);
    expect(host.counted(() => unmap(space, B))).toEqual({
      tableWrites: 1,
      tableWriteExits: 1,
      shadowZaps: 1,
    });
    expect(host.shadow.shadowPages).toBe(before - 1);
  });

  it('are forgotten by whoever unmaps first, in the middle or last', () => {
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [2, 0, 1],
    ]) {
      const { host } = loaded();
      const spaces = [0, 1, 2].map(() => host.space());
      for (const each of spaces) {
        mapLarge(each, B, 512);
        host.platform.switchTo(each);
        host.access(B, 'write');
      }
      const before = host.shadow.shadowPages;
      const left = order.map((k) => {
        unmap(spaces[k], B);
        return host.shadow.shadowPages;
      });
      expect(left).toEqual([before, before, before - 1]);
    }
  });

  it('of 1 GiB guest pages are two levels of direct pages on 4 KiB host pages, one on 2 MiB, none on 1 GiB', () => {
    for (const [hostSize, pages] of [
      [0, 4],
      [1, 3],
      [2, 2],
    ]) {
      const { host, space } = loaded({ hostSize });
      mapLarge(space, B, L3, 2);
      expect(host.access(B + 5 * L2 + 1)).toBe('done');
      expect(host.shadow.shadowPagesOf(space)).toBe(pages);
      expect(host.cached(B + 5 * L2 + 1)).toMatchObject({
        frame: host.platform.translate(space, B + 5 * L2 + 1)!.hpaFrame,
        sizeIndex: hostSize,
      });
      unmap(space, B);
      // What is left is the guest's tables of levels 4 and 3.
      expect(host.shadow.shadowPages).toBe(2);
    }
  });

  it('say so when their zone is full', () => {
    const memory = new SimulatedMemory([
      { name: 'guest zone', base: GUEST_ZONE, frames: 8 },
      { name: 'shadow zone', base: 2 ** 22, frames: 2 },
    ]);
    const [guestZone, zone] = memory.zones;
    const platform = new ShadowPlatform({
      tagged: [],
      ledger: new Ledger(),
      sizeIndex: 0,
      frames: new OddFrames(),
      footprint: { dataFrames: 8, guestZone },
      populate: 'demand',
      zone,
    });
    const space = platform.createAddressSpace({ levels: 4, zone: guestZone, tableFlags: TABLE });
    platform.switchTo(space);
    map(space, B);
    const fault = {
      kind: 'guestFault',
      page: B,
      offset: 0,
      access: 'read',
      gpaFrame: 0,
      intent: 'read',
      row: 0,
    } as const;
    expect(() => platform.onFault(fault)).toThrow(/shadow zone holds 2 table pages/);
  });
});

describe('write-protect and trace', () => {
  it('costs an exit for each entry of a table that has a shadow, in runs too', () => {
    const { host, space } = loaded();
    map(space, B);
    host.access(B);
    const frames = {
      take: (_r: number, _s: number, count: number, out: Float64Array) => out.fill(9, 0, count),
    };
    expect(host.counted(() => space.table.mapRange(B + 1, 100, 0, CLEAN, frames, 0))).toEqual({
      tableWrites: 100,
      tableWriteExits: 100,
    });
    // A table that the hardware never walked has no shadow.
    expect(host.counted(() => space.table.mapRange(B + L2, 100, 0, CLEAN, frames, 0))).toMatchObject({
      tableWrites: 101,
      tableWriteExits: 1,
    });
  });

  it('takes effect at once: the entry is gone, and what the processor had of it', () => {
    const { host, space } = loaded();
    map(space, B);
    host.access(B);
    expect(host.cached(B)).toBeDefined();
    rewrite(space, B, 7);
    expect(host.cached(B)).toBeUndefined();
    expect(host.counted(() => host.access(B))).toEqual({ hiddenFaultExits: 1, hostFrames: 1 });
    expect(host.cached(B)!.frame).toBe(host.platform.translate(space, B)!.hpaFrame);
  });

  it('never floods: only with unsync is a page thrown away for being written', () => {
    const { host, space } = loaded();
    map(space, B);
    host.access(B);
    for (let k = 1; k < 9; k++) map(space, B + k * L2, k);
    expect(host.ledger.events.floodZaps).toBe(0);
  });

  it('interrupts the other virtual processors that run the address space', () => {
    const { host, space } = loaded({ vcpus: 3 });
    const other = host.space();
    host.platform.onVcpu(2);
    host.platform.switchTo(other);
    host.platform.onVcpu(0);
    map(space, B);
    host.access(B, 'read', 0);
    expect(host.counted(() => host.access(B, 'read', 1))).toEqual({});
    expect(host.cached(B, 1)).toBeDefined();
    expect(host.counted(() => unmap(space, B))).toEqual({
      tableWrites: 1,
      tableWriteExits: 1,
      shadowKicks: 1,
    });
    expect(host.cached(B, 1)).toBeUndefined();
    // An entry that had no shadow takes nothing away.
    expect(host.counted(() => map(space, B))).toEqual({ tableWrites: 1, tableWriteExits: 1 });
  });
});

describe('unsync', () => {
  const start = (): ReturnType<typeof loaded> => {
    const made = loaded({ variant: 'unsync' });
    for (let k = 0; k < 4; k++) map(made.space, B + k);
    for (let k = 0; k < 4; k++) made.host.access(B + k, 'write');
    made.host.ledger.clear();
    return made;
  };
  const hpa = (host: Host, space: AddressSpace, page: number) =>
    host.platform.translate(space, page)!.hpaFrame;

  it('the first write to a leaf table exits, later ones are free and leave the shadow stale', () => {
    const { host, space } = start();
    const before = hpa(host, space, B);
    expect(host.counted(() => rewrite(space, B, 7))).toEqual({ tableWrites: 1, unsyncExits: 1 });
    expect(host.shadow.unsyncedPages).toBe(1);
    expect(host.counted(() => rewrite(space, B + 1, 8))).toEqual({ tableWrites: 1 });
    host.access(B);
    expect(host.cached(B)!.frame).toBe(before);
  });

  it('INVLPG brings one entry back in sync, a CR3 load all of them, and then writes are seen again', () => {
    const { host, space } = start();
    for (let k = 0; k < 3; k++) rewrite(space, B + k, 7 + k, CLEAN | AD);
    expect(host.counted(() => host.platform.flushPage(space, B))).toEqual({
      invlpgs: 1,
      invlpgExits: 1,
      resyncedEntries: 1,
    });
    expect(host.shadow.unsyncedPages).toBe(1);
    expect(host.counted(() => host.access(B))).toEqual({ hiddenFaultExits: 1, hostFrames: 1 });
    expect(host.cached(B)!.frame).toBe(hpa(host, space, B));
    // An entry that is as it was differs in nothing.
    expect(host.counted(() => host.platform.flushPage(space, B + 3))).toEqual({ invlpgs: 1, invlpgExits: 1 });
    expect(host.counted(() => host.platform.switchTo(space))).toEqual({
      cr3Writes: 1,
      cr3Exits: 1,
      resyncedTables: 1,
      resyncedEntries: 2,
    });
    expect(host.shadow.unsyncedPages).toBe(0);
    for (let k = 0; k < 4; k++) {
      host.access(B + k);
      expect(host.cached(B + k)!.frame).toBe(hpa(host, space, B + k));
    }
    expect(host.counted(() => rewrite(space, B, 9))).toEqual({ tableWrites: 1, unsyncExits: 1 });
  });

  it('a shadow entry follows the rights of the same frame instead of going', () => {
    const { host, space } = start();
    rewrite(space, B, 0, READ_ONLY | AD);
    expect(host.counted(() => host.platform.flushSpace(space))).toMatchObject({ resyncedEntries: 1 });
    expect(host.counted(() => expect(host.access(B, 'read')).toBe('done'))).toEqual({});
    expect(host.counted(() => expect(host.access(B, 'write')).toBe('fault'))).toEqual({ guestFaultExits: 1 });
    rewrite(space, B, 0, CLEAN | AD);
    host.platform.flushSpace(space);
    expect(host.counted(() => expect(host.access(B, 'write')).toBe('done'))).toEqual({});
  });

  it('knows which tables are out of sync, whatever order they leave that state in', () => {
    const { host, space } = loaded({ variant: 'unsync' });
    const pages = [0, 1, 2, 3].map((k) => B + k * L2);
    for (const [k, page] of pages.entries()) {
      map(space, page, k);
      host.access(page);
    }
    for (const [k, page] of pages.entries()) rewrite(space, page, 100 + k);
    expect(host.shadow.unsyncedPages).toBe(4);
    // The first and the last go with their tables, in that order: the last has taken the first one's place by then.
    for (const k of [0, 3]) {
      unmap(space, pages[k]);
      space.table.freeTables(pages[k], 1, pages[k], pages[k] + L2);
    }
    expect(host.shadow.unsyncedPages).toBe(2);
    expect(host.counted(() => host.platform.switchTo(space))).toMatchObject({
      resyncedTables: 2,
      resyncedEntries: 2,
    });
    for (const k of [1, 2]) {
      host.access(pages[k]);
      expect(host.cached(pages[k])!.frame).toBe(hpa(host, space, pages[k]));
    }
  });

  it('brings in sync what a space reaches before its root is used, and leaves others alone', () => {
    const { host, space } = start();
    const other = host.space();
    rewrite(space, B, 7);
    expect(host.counted(() => host.platform.switchTo(other))).not.toHaveProperty('resyncedTables');
    expect(host.counted(() => host.platform.switchTo(space))).toMatchObject({ resyncedTables: 1 });
  });

  it('tells other virtual processors of rights taken away', () => {
    const { host, space } = loaded({ variant: 'unsync', vcpus: 2 });
    map(space, B);
    for (const vcpu of [0, 1]) host.access(B, 'write', vcpu);
    host.platform.onVcpu(0);
    unmap(space, B);
    expect(host.cached(B, 1)).toBeDefined();
    expect(host.counted(() => host.platform.flushSpace(space))).toMatchObject({
      resyncedEntries: 1,
      shadowKicks: 1,
    });
    expect(host.cached(B, 1)).toBeUndefined();
  });

  it('the third write to a table above the leaves without a use throws its shadow away; what is below stays', () => {
    const { host, space } = start();
    const links = (from: number, count: number): object =>
      host.counted(() => {
        for (let k = from; k < from + count; k++) map(space, B + k * L2, k);
      });
    expect(links(1, 2)).toMatchObject({ tableWriteExits: 2 });
    expect(host.ledger.events.floodZaps).toBe(0);
    expect(links(3, 1)).toMatchObject({ tableWriteExits: 1, floodZaps: 1, shadowZaps: 1 });
    expect(links(4, 3)).not.toHaveProperty('tableWriteExits');
    // Root, level 3 and the leaf table are left; one page of level 2 is built again, and no entry filled but the link.
    expect(host.shadow.shadowPages).toBe(3);
    expect(host.counted(() => host.access(B))).toEqual({ hiddenFaultExits: 1, shadowTables: 1 });
  });

  it('a table that is linked again is brought in sync first: an INVLPG meanwhile did not find its shadow', () => {
    const { host, space } = start();
    rewrite(space, B, 7, CLEAN | AD);
    for (let k = 1; k <= 3; k++) map(space, B + k * L2, k);
    expect(host.ledger.events.floodZaps).toBe(1);
    host.platform.flushPage(space, B);
    expect(host.counted(() => host.access(B + 1))).toMatchObject({ resyncedTables: 1, resyncedEntries: 1 });
    host.access(B);
    expect(host.cached(B)!.frame).toBe(hpa(host, space, B));
  });

  it('a hidden fault on its path counts as a use', () => {
    const { host, space } = start();
    for (let k = 1; k < 12; k++) {
      map(space, B + k * L2, k);
      if (k % 2 === 0) host.access(B + k * L2);
    }
    expect(host.ledger.events.floodZaps).toBe(0);
    expect(host.ledger.events.tableWriteExits).toBe(11);
  });

  it('a loaded root that is thrown away is replaced on every virtual processor that runs it', () => {
    const { host, space } = loaded({ variant: 'unsync', vcpus: 2 });
    map(space, B);
    host.access(B, 'read', 0);
    host.access(B, 'read', 1);
    const before = { ...host.platform.contextOf(space) };
    expect(before.root).not.toBe(0);
    for (let k = 1; k <= 3; k++) map(space, B + k * L4, k);
    expect(host.ledger.events.floodZaps).toBe(1);
    for (const vcpu of [0, 1]) {
      for (let k = 1; k <= 3; k++) expect(host.access(B + k * L4, 'write', vcpu)).toBe('done');
      expect(host.access(B, 'write', vcpu)).toBe('done');
      expect(host.cached(B, vcpu)!.frame).toBe(hpa(host, space, B));
    }
    expect(host.shadow.shadowPagesOf(space)).toBe(host.shadow.shadowPages);
  });
});

describe('paravirt', () => {
  const start = (batch?: number): ReturnType<typeof loaded> => loaded({ variant: 'paravirt', batch });

  it("holds host frames in the guest's own table, and knows the guest's numbers for them", () => {
    const { host, space } = start();
    map(space, B, 5);
    const found = host.platform.translate(space, B)!;
    expect(found.gpaFrame).toBe(5);
    expect(found.hpaFrame).not.toBe(5);
    expect(space.table.translate(B)).toBe(5);
    expect(host.platform.guestFrame(found.hpaFrame!)).toBe(5);
    host.access(B);
    expect(host.cached(B)!.frame).toBe(found.hpaFrame);
    // Host memory is there from the start, so the only faults are the guest's own.
    expect(host.counted(() => expect(host.access(B + 1)).toBe('fault'))).toEqual({ faultBounces: 1 });
  });

  it("a new table is the guest's to write; its first load pins it and checks all its entries", () => {
    const host = new Host({ variant: 'paravirt', engine: TWIN });
    const built = host.counted(() => {
      const space = host.space();
      for (let k = 0; k < 40; k++) map(space, B + k);
    });
    expect(built).toEqual({ tableWrites: 43 });
    const space = host.space();
    for (let k = 0; k < 40; k++) map(space, B + k);
    unmap(space, B);
    expect(host.counted(() => host.platform.switchTo(space))).toEqual({
      cr3Writes: 1,
      cr3Hypercalls: 1,
      pinHypercalls: 1,
      validatedEntries: 42,
    });
    expect(host.counted(() => host.platform.switchTo(space))).toEqual({ cr3Writes: 1, cr3Hypercalls: 1 });
    // Cleared after it was unpinned, a table costs no hypercalls.
    const torn = host.counted(() => {
      host.platform.beforeTeardown(space);
      unmapRange(space.table, B, 40);
      space.table.freeTables(B, 40, 0, 2 * B);
      host.platform.destroyAddressSpace(space);
    });
    expect(torn).toEqual({ tableWrites: 42, pinHypercalls: 1 });
  });

  it.each([
    [1, 32, 1],
    [31, 32, 1],
    [32, 32, 1],
    [33, 32, 2],
    [100, 32, 4],
    [100, 7, 15],
  ])('%i updates in a batch section, up to %i a hypercall, take %i', (updates, batch, hypercalls) => {
    const { host, space } = start(batch);
    map(space, B + 511, 511);
    const batched = host.counted(() => {
      host.platform.beginBatch();
      for (let k = 0; k < updates; k++) map(space, B + k);
      host.platform.endBatch();
    });
    expect(batched).toEqual({
      tableWrites: updates,
      updateHypercalls: hypercalls,
      validatedEntries: updates,
    });
    // Outside, each entry is a hypercall of its own.
    expect(host.counted(() => unmapRange(space.table, B, updates))).toEqual({
      tableWrites: updates,
      updateHypercalls: updates,
      validatedEntries: updates,
    });
  });

  it('pins a new table page of a pinned tree, unpins one that goes, and bounces system calls', () => {
    const { host, space } = start();
    // Three table pages, their links and the leaf.
    expect(host.counted(() => map(space, B))).toEqual({
      pinHypercalls: 3,
      tableWrites: 4,
      updateHypercalls: 4,
      validatedEntries: 4,
    });
    unmap(space, B);
    expect(host.counted(() => space.table.freeTables(B, 1, 0, 2 * B))).toMatchObject({ pinHypercalls: 3 });
    expect(host.counted(() => host.platform.onSyscall())).toEqual({ syscalls: 1, syscallBounces: 1 });
  });

  it('one hypercall flushes other virtual processors, whatever their number', () => {
    const { host, space } = loaded({ variant: 'paravirt', vcpus: 3 });
    map(space, B);
    for (const vcpu of [0, 1, 2]) host.access(B, 'read', vcpu);
    host.platform.onVcpu(0);
    const shot = host.counted(() => host.platform.shootdown(space, [B], [1, 2]));
    expect(shot).toEqual({ flushHypercalls: 1, ipis: 2, invlpgs: 2 });
    expect([0, 1, 2].map((vcpu) => host.cached(B, vcpu) === undefined)).toEqual([false, true, true]);
    expect(host.counted(() => host.platform.flushPage(space, B))).toEqual({ flushHypercalls: 1, invlpgs: 1 });
    expect(host.counted(() => host.platform.shootdown(space, 'all', []))).toEqual({});
  });

  it('refuses memory that the guest does not have, and leaves larger than its host pages', () => {
    const { host, space } = start();
    expect(() => map(space, B, DATA_FRAMES)).toThrow(/no memory of the guest/);
    expect(() => host.platform.guestFrame(2 ** 30)).toThrow(/not the guest's/);
    const memory = new SimulatedMemory([{ name: 'zone', base: GUEST_ZONE, frames: 8 }]);
    const platform = new ParavirtPlatform({
      tagged: [],
      ledger: new Ledger(),
      sizeIndex: 0,
      frames: new OddFrames(),
      dataFrames: 1024,
    });
    const small = platform.createAddressSpace({ levels: 4, zone: memory.zones[0], tableFlags: TABLE });
    expect(() => mapLarge(small, B, 512)).toThrow(
      /a page of 2MiB, larger than its host pages.*`largestPage`/,
    );
  });
});

/** Writes down what a processor is told. */
class Recorder implements Processor {
  readonly log: string[] = [];
  load(context: HardwareContext): void {
    this.log.push(`load ${context.tag}`);
  }
  invlpg(tag: number, page: number): void {
    this.log.push(`invlpg ${tag} ${page}`);
  }
  flushTag(tag: number): void {
    this.log.push(`flush ${tag}`);
  }
  invept(vm: number): void {
    this.log.push(`invept ${vm}`);
  }
  flushAll(): void {
    this.log.push('flushAll');
  }
  /** What was told since the last time. */
  told(): string[] {
    return this.log.splice(0);
  }
}

describe('tags', () => {
  it('fold vm and PCID into one number; numbers come back, and who comes too late shares number 0', () => {
    const tags = new Tags(['pcid'], 3);
    expect([tags.take(), tags.take()]).toEqual([3 * 4096 + 1, 3 * 4096 + 2]);
    tags.give(3 * 4096 + 1);
    expect([tags.take(), tags.take()]).toEqual([3 * 4096 + 1, 3 * 4096 + 3]);
    for (let k = 4; k < 4096; k++) tags.take();
    expect([tags.take(), tags.take(), tags.shared]).toEqual([3 * 4096, 3 * 4096, 3 * 4096]);
    tags.give(tags.shared);
    expect(tags.take()).toBe(3 * 4096);
    const untagged = new Tags([], 3);
    expect([untagged.take(), untagged.take()]).toEqual([3 * 4096, 3 * 4096]);
  });

  const make = (
    variant: (typeof VARIANTS)[number],
    tagged: Tagged,
    vm = 1,
  ): { host: Host; processor: Recorder } => {
    const host = new Host({ variant, engine: TWIN, tagged, vm });
    const processor = new Recorder();
    host.platform.attach(0, processor);
    return { host, processor };
  };

  it.each(VARIANTS)('%s: a CR3 load flushes without PCIDs, and with them nothing', (variant) => {
    for (const pcid of [true, false]) {
      const { host, processor } = make(variant, pcid ? ['vpid', 'pcid'] : ['vpid']);
      const [a, b] = [host.space(), host.space()];
      host.platform.switchTo(a);
      processor.told();
      host.platform.switchTo(b);
      expect(processor.told()).toEqual(pcid ? [`load ${b.tag}`] : [`load ${b.tag}`, `flush ${b.tag}`]);
      expect(a.tag === b.tag).toBe(!pcid);
    }
  });

  it.each([
    ['native', false],
    ['paravirt', false],
    ['nested', false],
    ['shadow', true],
    ['unsync', true],
  ] as const)('%s: without VPIDs an INVLPG flushes all where it exits (%s)', (variant, exits) => {
    for (const vpid of [true, false]) {
      const { host, processor } = make(variant, vpid ? ['vpid', 'pcid'] : ['pcid']);
      const space = host.space();
      host.platform.switchTo(space);
      processor.told();
      host.platform.flushPage(space, B);
      const flush = exits && !vpid ? [`flush ${space.tag}`] : [];
      expect(processor.told()).toEqual([...flush, `invlpg ${space.tag} ${B}`, ...flush]);
    }
  });

  it('an exit without VPIDs drops every PCID of the guest, not only the one that runs', () => {
    const { host, processor } = make('shadow', ['pcid']);
    const [a, b] = [host.space(), host.space()];
    host.platform.switchTo(a);
    processor.told();
    host.platform.switchTo(b);
    // The exit finds entries of a, the entry those of both.
    expect(processor.told()).toEqual([`flush ${a.tag}`, `load ${b.tag}`, `flush ${a.tag}`, `flush ${b.tag}`]);
    host.platform.flushPage(b, B);
    expect(processor.told()).toEqual([`flush ${b.tag}`, `invlpg ${b.tag} ${B}`, `flush ${b.tag}`]);
  });

  it('an address space that ends leaves nothing, and its tag is used again', () => {
    const { host, processor } = make('native', ['pcid']);
    const [a, b] = [host.space(), host.space()];
    host.platform.switchTo(a);
    host.platform.switchTo(b);
    processor.told();
    host.platform.destroyAddressSpace(a);
    expect(processor.told()).toEqual([`flush ${a.tag}`]);
    expect(host.space().tag).toBe(a.tag);
    // What never ran has left nothing to flush.
    host.platform.destroyAddressSpace(host.space());
    expect(processor.told()).toEqual([]);
  });

  /** Two virtual machines whose one virtual processor each has the same core. */
  function consolidated(
    variant: (typeof VARIANTS)[number],
    tagged: Tagged,
  ): { hosts: Host[]; spaces: AddressSpace[]; processor: Recorder } {
    const processor = new Recorder();
    const hosts = [1, 2].map((vm) => new Host({ variant, engine: TWIN, tagged, vm }));
    const spaces = hosts.map((host) => {
      host.platform.attach(0, processor);
      host.platform.enterCore(0);
      const space = host.space();
      host.platform.switchTo(space);
      host.platform.leaveCore(0);
      host.ledger.clear();
      return space;
    });
    hosts[0].platform.enterCore(0);
    hosts[0].ledger.clear();
    processor.told();
    return { hosts, spaces, processor };
  }

  it.each([
    ['nested', 'vpid'],
    ['shadow', 'vpid'],
    ['unsync', 'vpid'],
    ['paravirt', 'pcid'],
  ] as const)('%s: a VM switch costs the TLB without %s alone', (variant, needed) => {
    for (const tagged of [[], ['vpid'], ['pcid'], ['vpid', 'pcid']] as Tagged[]) {
      const { hosts, spaces, processor } = consolidated(variant, tagged);
      hosts[0].platform.leaveCore(0);
      hosts[1].platform.enterCore(0);
      const flushes = tagged.includes(needed) ? [] : spaces.map(({ tag }) => `flush ${tag}`);
      expect(processor.told()).toEqual([...flushes, `load ${spaces[1].tag}`]);
      expect(spaces[0].tag).not.toBe(spaces[1].tag);
      expect(hosts.map((host) => host.events())).toEqual([{}, { vmSwitches: 1 }]);
    }
  });

  it('what is off the core loads nothing there', () => {
    const { hosts, spaces, processor } = consolidated('native', ['pcid']);
    hosts[0].platform.leaveCore(0);
    hosts[1].platform.enterCore(0);
    processor.told();
    hosts[0].platform.attach(0, processor);
    expect(processor.told()).toEqual([]);
    hosts[1].platform.leaveCore(0);
    hosts[0].platform.enterCore(0);
    expect(processor.told()).toEqual([`load ${spaces[0].tag}`]);
  });
});

describe('many virtual processors', () => {
  it.each([
    ['native', {}],
    ['nested', { ipiExits: 2 }],
    ['shadow', { ipiExits: 2, invlpgExits: 4 }],
    ['unsync', { ipiExits: 2, invlpgExits: 4 }],
    ['paravirt', { flushHypercalls: 1 }],
  ] as const)('%s: a shootdown of two pages on two others', (variant, beyond) => {
    const { host, space } = loaded({ variant, vcpus: 4 });
    for (const page of [B, B + 1]) {
      map(space, page);
      for (const vcpu of [0, 1, 2, 3]) host.access(page, 'read', vcpu);
    }
    host.platform.onVcpu(3);
    const shot = host.counted(() => host.platform.shootdown(space, [B, B + 1], [0, 2]));
    expect(shot).toEqual({ ipis: 2, invlpgs: 4, ...beyond });
    expect([0, 1, 2, 3].map((vcpu) => host.cached(B, vcpu) === undefined)).toEqual([
      true,
      false,
      true,
      false,
    ]);
    // The kernel still runs where it did.
    host.platform.flushPage(space, B);
    expect(host.cached(B, 3)).toBeUndefined();
  });

  it('interrupts exit no more where the machine posts them', () => {
    const { host, space } = loaded({ variant: 'nested', vcpus: 2, postedInterrupts: true });
    expect(host.counted(() => host.platform.shootdown(space, 'all', [1]))).toEqual({ ipis: 1, cr3Writes: 1 });
  });

  it.each(VARIANTS)('%s: each has its own address space', (variant) => {
    const { host, space } = loaded({ variant, vcpus: 2 });
    const other = host.space();
    host.platform.onVcpu(1);
    host.platform.switchTo(other);
    map(space, B, 1);
    map(other, B, 2);
    const frames = [0, 1].map((vcpu) => {
      host.access(B, 'write', vcpu);
      return host.cached(B, vcpu)!.frame;
    });
    expect(frames).toEqual([space, other].map((each) => host.platform.translate(each, B)!.hpaFrame));
    expect(host.platform.current).toBe(other);
    host.platform.onVcpu(0);
    expect(host.platform.current).toBe(space);
  });
});

describe('nested', () => {
  it('takes no exit for table writes, CR3, INVLPG and guest faults; one for each host page that is touched first', () => {
    const { host, space } = loaded({ variant: 'nested' });
    const quiet = host.counted(() => {
      host.access(B);
      map(space, B);
      host.platform.flushPage(space, B);
      host.platform.switchTo(space);
    });
    expect(quiet).toEqual({ tableWrites: 4, tableBackings: 3, hostFrames: 3, invlpgs: 1, cr3Writes: 1 });
    for (const kind of ['read', 'write'] as const) {
      expect(host.counted(() => expect(host.access(B, kind)).toBe('done'))).toEqual(
        kind === 'read' ? { nestedViolations: 1, hostFrames: 1 } : {},
      );
    }
  });
});

describe('faults that cannot be', () => {
  const violation = {
    kind: 'nestedViolation',
    page: B,
    offset: 0,
    access: 'read',
    gpaFrame: 0,
    intent: 'read',
    row: 0,
  } as const;

  it.each(VARIANTS.filter((variant) => variant !== 'nested'))('%s: a nested violation', (variant) => {
    const { host } = loaded({ variant });
    expect(() => host.platform.onFault(violation)).toThrow(/without a nested table/);
  });

  it('shadow: a guest that maps what is no memory of its own', () => {
    const { host, space } = loaded();
    map(space, B, DATA_FRAMES);
    expect(() => host.access(B)).toThrow(/where it has no memory for data/);
  });
});

describe('the platforms', () => {
  it('are made without a processor: what has run nothing has nothing cached', () => {
    const ledger = new Ledger();
    const memory = new SimulatedMemory([
      { name: 'guest zone', base: GUEST_ZONE, frames: 8 },
      { name: 'nested zone', base: 2 ** 22, frames: 8 },
    ]);
    const [guestZone, zone] = memory.zones;
    const footprint = { dataFrames: 8, guestZone };
    const platforms: Platform[] = [
      new NativePlatform({ tagged: [], ledger }),
      new NestedPlatform({
        tagged: [],
        ledger,
        sizeIndex: 0,
        frames: new OddFrames(),
        footprint,
        populate: 'demand',
        zone,
        levels: 4,
        ad: 'clear',
      }),
    ];
    for (const platform of platforms) {
      const space = platform.createAddressSpace({ levels: 2, zone: guestZone, tableFlags: TABLE });
      platform.switchTo(space);
      platform.flushPage(space, 0);
      platform.flushSpace(space);
      expect(platform.current).toBe(space);
      platform.switchTo(platform.createAddressSpace({ levels: 2, zone: guestZone, tableFlags: TABLE }));
      platform.destroyAddressSpace(space);
    }
    expect(guestZone.used).toBe(2);
  });
});
