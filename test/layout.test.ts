import { describe, expect, it } from 'vitest';
import type { PagingConfig, RegionConfig, ResolvedConfig } from '../src/config/resolved.ts';
import { NestwalkError } from '../src/errors.ts';
import { planLayout } from '../src/memory/layout.ts';
import { config } from './support/result.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** 4 KiB frames of a GiB. */
const G = 2 ** 18;

const synthetic = (paging: Partial<PagingConfig>, ...regions: RegionConfig[]): ResolvedConfig => ({
  ...config({ nestedPage: '4KiB', ...paging }),
  regions,
});

const trace = (paging: Partial<PagingConfig>): ResolvedConfig => ({
  ...config({ nestedPage: '4KiB', ...paging }),
  regions: [],
  workload: { trace: '/some.lackey', format: 'lackey', fetches: true },
});

function failure(action: () => unknown): NestwalkError {
  try {
    action();
  } catch (error) {
    if (error instanceof NestwalkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('layout, worked out by hand', () => {
  it('1 GiB of 4 KiB on 4 KiB, 4 × 4 levels', () => {
    const layout = planLayout(synthetic({}, { bytes: GIB, base: 2 ** 40 }));
    expect(layout.unitFrames).toBe(G);
    expect(layout.dataFrames).toBe(G);
    // 512 tables of level 1 and one each of levels 2 to 4 (2^40 is a multiple of 512 GiB).
    expect(layout.guestZone).toMatchObject({ base: G, frames: 515 });
    // Data and tables adjoin in GPA space: G + 515 pages, so 514 tables of level 1, two of level 2, one of 3 and 4.
    expect(layout.nested).toMatchObject({
      pages: G + 515,
      memoryFrames: G + 515,
      zone: { base: 2 * G, frames: 514 + 2 + 1 + 1 },
      shadowZoneBase: 3 * G,
    });
    expect(layout.bounds).toEqual({
      pageBound: 2 ** 28 + G,
      guestFrameBound: G + 515,
      hostFrameBound: 2 * G + 518,
    });
  });

  it('3 MiB of 2 MiB on 2 MiB, 4 × 4: the region is rounded up to whole pages', () => {
    const layout = planLayout(
      synthetic({ guestPage: '2MiB', nestedPage: '2MiB' }, { bytes: 3 * MIB, base: 2 ** 40 }),
    );
    expect(layout.regions).toEqual([{ page: 2 ** 19, pages: 2 }]);
    expect(layout.dataFrames).toBe(1024);
    expect(layout.guestZone).toMatchObject({ base: G, frames: 3 });
    // Two nested pages of data and one of tables; leaf tables (level 2) reach 1 GiB each: two, then levels 3 and 4.
    expect(layout.nested).toMatchObject({
      pages: 3,
      memoryFrames: 3 * 512,
      zone: { base: G, frames: 4 },
      shadowZoneBase: 2 * G,
    });
  });

  it('1 MiB of 4 KiB on 4 KiB, 2 × 2: the unit is what a root entry of the nested table reaches, 2 MiB', () => {
    const layout = planLayout(synthetic({ guestLevels: 2, nestedLevels: 2 }, { bytes: MIB, base: 0 }));
    expect(layout.unitFrames).toBe(512);
    expect(layout.guestZone).toMatchObject({ base: 512, frames: 2 });
    expect(layout.nested).toMatchObject({ pages: 258, zone: { base: 512, frames: 3 }, shadowZoneBase: 1024 });
    expect(layout.bounds).toEqual({ pageBound: 256, guestFrameBound: 514, hostFrameBound: 515 });
  });

  it('4 KiB on 1 GiB, 4 × 4: one nested page for data, one for tables', () => {
    const layout = planLayout(synthetic({ nestedPage: '1GiB' }, { bytes: 4 * KIB, base: 2 ** 40 }));
    expect(layout.guestZone).toMatchObject({ base: G, frames: 4 });
    // Leaf tables are of level 3 and reach 512 GiB: one, and the root.
    expect(layout.nested).toMatchObject({
      pages: 2,
      zone: { base: 2 * G, frames: 2 },
      shadowZoneBase: 3 * G,
    });
  });

  it('4 KiB on 4 KiB, 5 × 5', () => {
    const layout = planLayout(
      synthetic({ guestLevels: 5, nestedLevels: 5 }, { bytes: 4 * KIB, base: 2 ** 40 }),
    );
    expect(layout.guestZone.frames).toBe(5);
    // Data at 0, tables at 1 GiB: two paths that share levels 3 to 5.
    expect(layout.nested).toMatchObject({ pages: 6, zone: { base: G, frames: 2 + 2 + 1 + 1 + 1 } });
  });

  it('3 × 4: the unit stays 1 GiB, regions in several GiB each need their own tables', () => {
    const layout = planLayout(
      synthetic({ guestLevels: 3 }, { bytes: 8 * KIB, base: GIB }, { bytes: 4 * KIB, base: 3 * GIB }),
    );
    expect(layout.guestZone).toMatchObject({ base: G, frames: 1 + 2 + 2 });
    expect(layout.dataFrames).toBe(3);
    expect(layout.bounds.pageBound).toBe(3 * G + 1);
  });

  it('a larger guest memory moves the table zone, and takes no host memory', () => {
    const layout = planLayout(synthetic({ guestMemory: 3.5 * GIB }, { bytes: 8 * KIB, base: 2 ** 40 }));
    expect(layout.memoryFrames).toBe(3.5 * G);
    expect(layout.guestZone).toMatchObject({ base: 4 * G, frames: 4 });
    expect(layout.nested).toMatchObject({ pages: 6, memoryFrames: 6, zone: { base: G } });
  });

  it('a smaller guest memory than the regions changes nothing', () => {
    const region = { bytes: 2 * GIB, base: 2 ** 40 };
    expect(planLayout(synthetic({ guestMemory: GIB }, region))).toEqual(planLayout(synthetic({}, region)));
  });

  it('natively: a unit of 1 GiB whatever the nested levels, no nested table, one space of frames', () => {
    const layout = planLayout(
      synthetic({ mode: 'native', nestedLevels: 2, guestLevels: 2 }, { bytes: MIB, base: 0 }),
    );
    expect(layout.nested).toBeNull();
    expect(layout.guestZone).toMatchObject({ base: G, frames: 2 });
    expect(layout.bounds).toEqual({ pageBound: 256, guestFrameBound: G + 2, hostFrameBound: G + 2 });
  });
});

describe('layout beside a trace', () => {
  it('64 GiB of guest memory and twice that of host memory, tables for the pages touched', () => {
    // Two pages of one level-1 table, and one in the uppermost page of the 47-bit half.
    const layout = planLayout(trace({}), Float64Array.of(2 ** 35 - 1, 6, 5));
    expect(layout.regions).toEqual([{ page: 0, pages: 2 ** 35 }]);
    expect(layout.dataFrames).toBe(3);
    expect(layout.guestZone).toMatchObject({ base: 64 * G, frames: 2 * 3 + 1 });
    expect(layout.nested).toMatchObject({
      pages: 3 + 7,
      memoryFrames: 128 * G,
      // GPA 0 and 64 GiB: two paths, which share levels 3 and 4.
      zone: { base: 128 * G, frames: 2 + 2 + 1 + 1 },
      shadowZoneBase: 129 * G,
    });
    expect(layout.bounds.pageBound).toBe(2 ** 35);
  });

  it('4 KiB pages of one large guest page count once', () => {
    const layout = planLayout(
      trace({ guestPage: '2MiB', mode: 'native' }),
      Float64Array.of(1023, 1, 2, 512, 511),
    );
    expect(layout.dataFrames).toBe(2 * 512);
    expect(layout.guestZone.frames).toBe(3);
    expect(layout.bounds.pageBound).toBe(1024);
  });

  it('a trace without accesses has a root and nothing else', () => {
    const layout = planLayout(trace({}), new Float64Array(0));
    expect(layout.dataFrames).toBe(0);
    expect(layout.guestZone.frames).toBe(1);
    expect(layout.nested).toMatchObject({ pages: 1, zone: { frames: 4 } });
  });

  it('more pages than guest memory holds are an error, exactly as many are none', () => {
    const pages = Float64Array.of(10, 20, 30);
    const of = (guestMemory: number) => trace({ guestMemory, mode: 'native' });
    expect(planLayout(of(12 * KIB), pages).dataFrames).toBe(3);
    const error = failure(() => planLayout(of(8 * KIB), pages));
    expect(error.code).toBe('memory.full');
    expect(error.message).toContain('3 guest pages of 4KiB');
    expect(error.message).toContain('holds 2');
  });

  it('more nested pages than host memory holds are an error', () => {
    // One data page and four table pages are five nested pages; 8 KiB × 2 holds four, 12 KiB × 2 six.
    const pages = Float64Array.of(10);
    expect(planLayout(trace({ guestMemory: 12 * KIB }), pages).nested?.pages).toBe(5);
    const error = failure(() => planLayout(trace({ guestMemory: 8 * KIB }), pages));
    expect(error.code).toBe('memory.full');
    expect(error.message).toContain('5 nested pages of 4KiB');
  });

  it('needs the list of pages', () => {
    expect(() => planLayout(trace({}))).toThrow(TypeError);
  });
});

describe('what does not fit its address space is a configuration error', () => {
  it('a region behind the end of the guest virtual space, all such regions at once', () => {
    const good = { bytes: 4 * KIB, base: GIB - 4 * KIB };
    const bad = { bytes: 8 * KIB, base: GIB - 4 * KIB };
    expect(planLayout(synthetic({ guestLevels: 2 }, good)).bounds.pageBound).toBe(G);
    const error = failure(() => planLayout(synthetic({ guestLevels: 2 }, bad, bad)));
    expect(error.code).toBe('config.invalid');
    expect(error.problems.map((problem) => problem.path)).toEqual(['regions[0]', 'regions[1]']);
  });

  it('guest memory and tables behind the end of the guest physical space', () => {
    // A nested table of two levels reaches 1 GiB: 1020 MiB of data leave 4 MiB for tables, behind 1023 MiB the table zone
    // would start at the end.
    const of = (mebibytes: number) =>
      synthetic({ nestedLevels: 2 }, { bytes: mebibytes * MIB, base: 2 ** 40 });
    expect(planLayout(of(1020)).guestZone).toMatchObject({ base: 1020 * 256, frames: 510 + 3 });
    const error = failure(() => planLayout(of(1023)));
    expect(error.code).toBe('config.invalid');
    expect(error.problems[0].path).toBe('paging.nestedLevels');
  });
});
