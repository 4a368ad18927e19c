/**
 * Tables that no software should write: simulated memory is not trusted, so every pointer is held against its zone before
 * it is followed. The stream stops with `corruptTable`; nothing is read outside, and the machine goes on with other pages.
 */
import { describe, expect, it } from 'vitest';
import { ENTRY } from '../../src/schema.ts';
import { Bed, FULL } from '../support/bed.ts';
import { EVERY_WAY } from '../support/engines.ts';

const GPA = 100;
const FAR = 512 ** 3;

/** Page 1 to be spoilt, page FAR (which shares nothing but the root) to show that the machine lives. */
function bedOf(mode: 'native' | 'nested', levels = 4): Bed {
  const bed = new Bed({ mode, guestLevels: levels, nestedLevels: levels }).map(1, GPA).map(FAR, GPA + 1);
  return mode === 'nested'
    ? bed
        .back(GPA, 300)
        .back(GPA + 1, 301)
        .backTables(400)
    : bed;
}

/** Frames that are no table: before the zone, right behind it, and as far away as an entry can say. */
function badFrames(bed: Bed, dimension: 'guest' | 'nested'): number[] {
  const { base, frames } = bed[dimension].zone;
  return [0, base - 1, base + frames, 2 ** 32 + base, 2 ** 40 - 1];
}

describe.each(EVERY_WAY)('$name', (engine) => {
  it.each([4, 3, 2])('a pointer of level %i out of its zone, in one dimension', (level) => {
    const bed = bedOf('native');
    const entry = bed.entry(bed.guest, 1, level);
    const good = entry.frame;
    for (const frame of badFrames(bed, 'guest')) {
      entry.frame = frame;
      const rig = bed.machine(engine);
      expect(rig.read(1).status, `frame ${frame}`).toBe('corruptTable');
      expect(rig.fault()).toMatchObject({ page: 1, index: 0 });
      entry.frame = good;
      expect(rig.read(1).status).toBe('done');
    }
  });

  it.each([4, 3, 2])('a guest pointer of level %i out of its zone, in two', (level) => {
    const bed = bedOf('nested');
    const entry = bed.entry(bed.guest, 1, level);
    for (const frame of badFrames(bed, 'guest')) {
      entry.frame = frame;
      const rig = bed.machine(engine);
      expect(rig.write(1).status, `frame ${frame}`).toBe('corruptTable');
      if (level < 4) expect(rig.read(FAR).status).toBe('done');
    }
  });

  it.each([4, 3, 2])(
    'a nested pointer of level %i out of its zone: at a guest table, at the data page',
    (level) => {
      for (const gpa of [bedOf('nested').guest.root, GPA]) {
        const bed = bedOf('nested');
        const entry = bed.entry(bed.nested, gpa, level);
        for (const frame of badFrames(bed, 'nested')) {
          entry.frame = frame;
          expect(bed.machine(engine).read(1).status, `frame ${frame}`).toBe('corruptTable');
        }
      }
    },
  );

  it.each([
    ['native', 4, 4],
    ['native', 5, 4],
    ['native', 5, 5],
    ['nested', 4, 4],
    ['nested', 5, 4],
    ['nested', 5, 5],
  ] as const)('%s, %i levels: PS at level %i, in either dimension', (mode, levels, level) => {
    for (const dimension of mode === 'native' ? (['guest'] as const) : (['guest', 'nested'] as const)) {
      const bed = bedOf(mode, levels);
      const entry = bed.entry(bed[dimension], dimension === 'guest' ? 1 : GPA, level);
      entry.change({ set: ENTRY.pageSize });
      expect(bed.machine(engine).read(1).status, dimension).toBe('corruptTable');
    }
  });

  it('PS is fine at levels 3 and 2', () => {
    for (const level of [3, 2]) {
      const bed = bedOf('native');
      const entry = bed.entry(bed.guest, 1, level);
      entry.change({ set: ENTRY.pageSize });
      entry.frame = 0;
      expect(bed.machine(engine).read(1)).toMatchObject({ status: 'done', refs: 5 - level });
    }
  });

  it('roots out of their zones', () => {
    const bed = bedOf('nested');
    for (const frame of badFrames(bed, 'guest'))
      expect(bed.machine(engine).load({ root: frame }).read(1).status, `root ${frame}`).toBe('corruptTable');
    for (const frame of badFrames(bed, 'nested'))
      expect(bed.machine(engine).load({ nestedRoot: frame }).read(1).status, `nested root ${frame}`).toBe(
        'corruptTable',
      );
  });

  it('a table that points at itself ends at level 1 all the same', () => {
    const bed = bedOf('native');
    bed.entry(bed.guest, 0, 4).frame = bed.guest.root;
    // Index 0 at every level: the root's own entry is read four times, and is the leaf at last.
    const outcome = bed.machine(engine).read(0);
    expect(outcome).toMatchObject({ status: 'done', refs: 4 });
  });

  it('a leaf frame is no pointer: it may be anything', () => {
    for (const frame of [0, 2 ** 39, 2 ** 40 - 1]) {
      const bed = new Bed({ mode: 'native' }).map(1, frame);
      expect(bed.machine(engine).read(1).status).toBe('done');
    }
  });

  it('a guest leaf beyond all nested mappings is a violation like any other', () => {
    const bed = bedOf('nested');
    bed.entry(bed.guest, 1, 1).frame = 512 ** 3 + 9;
    const rig = bed.machine(engine);
    expect(rig.read(1)).toMatchObject({ status: 'nestedViolation' });
    expect(rig.fault()).toMatchObject({ row: 'gPA', gpaFrame: 512 ** 3 + 9 });
  });

  it('what was cached before a table broke still answers; a corrupt walk leaves nothing behind', () => {
    const geometry = { entries: 8, ways: 8 };
    const bed = new Bed({
      mode: 'native',
      machine: { psc: { l2: geometry, l3: geometry, l4: geometry, latency: 0 } },
    });
    bed.map(1, 10).map(512, 11);
    const rig = bed.machine(engine);
    rig.read(1);
    bed.entry(bed.guest, 1, 2).frame = 0;
    expect(rig.read(1)).toMatchObject({ status: 'done', refs: 1 });
    bed.entry(bed.guest, 512, 2).frame = 0;
    expect(rig.read(512).status).toBe('corruptTable');
    bed.entry(bed.guest, 512, 2).flags = FULL & ~ENTRY.present;
    expect(rig.read(512).status).toBe('guestFault');
  });

  it('a zone that does not lie in memory is refused when the context is loaded, or faults: nothing is read', () => {
    const bed = bedOf('native');
    const rig = bed.machine(engine);
    const words = bed.memory.buffer.byteLength / 8;
    if (engine.engine === 'native') {
      const context = new Float64Array(10);
      context.set([bed.guest.root, 0, 1, 1, bed.guest.zone.base, 96, words]);
      expect(() => rig.hardware.loadContext(context)).toThrow(/zone/);
    }
    expect(rig.read(1).status).toBe('done');
  });
});
