import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import type { MachineConfig, TlbArrayConfig } from '../src/config/resolved.ts';
import { MACHINE_PRESETS, sourceOf } from '../src/machines/presets.ts';
import { renderPreset } from '../src/report/machine.ts';
import { PLAIN } from '../src/report/table.ts';
import { COUNTER, PAGE_SIZES } from '../src/schema.ts';
import { ENGINES } from './support/engines.ts';

const PRESETS = Object.entries(MACHINE_PRESETS);
const SIDES = ['l1d', 'l1i', 'stlb'] as const;
const MARK = /^(S|S-2nd|M|D): \S|^assumed[:,] \S/;

/** Paths of all numbers below a value, and of what is left out, as sources name them. */
function numbers(value: unknown, path: string): string[] {
  if (typeof value === 'number' || value === null) return [path];
  if (typeof value !== 'object') return [];
  const inner = Object.entries(value);
  if (inner.length === 0) return [path];
  return inner.flatMap(([key, below]) => {
    const step = Array.isArray(value) ? `[${key}]` : path === '' ? key : `.${key}`;
    return numbers(below, path + step);
  });
}

/** Paths of what is no number but was chosen all the same. */
function choices(machine: MachineConfig): string[] {
  const arrays = SIDES.flatMap((side) =>
    (machine[side] ?? []).flatMap(({ index }, i) => [
      `${side}[${i}].sizes`,
      ...(index ? [`${side}[${i}].index`] : []),
    ]),
  );
  return [...arrays, 'replacement', 'dataThroughCaches', 'nestedAD', 'tagged'];
}

const base = { workload: 'uniform', footprint: '1MiB', accesses: 1, seed: 1 };

describe('presets', () => {
  it('has those that are promised', () => {
    expect(Object.keys(MACHINE_PRESETS)).toEqual([
      'pentium4-prescott',
      'merom',
      'nehalem',
      'westmere',
      'sandy-bridge',
      'haswell-ep',
      'broadwell-ep',
      'skylake-sp',
      'cascade-lake',
      'icelake-sp',
      'sapphire-rapids',
      'granite-rapids',
      'opteron-2008-1d',
      'opteron-2008-2d',
      'opteron-2008',
      'shanghai',
      'zen2',
      'zen3',
      'zen4',
      'zen5',
      'cortex-a72',
      'cortex-a78',
      'neoverse-n1',
      'tiny',
    ]);
  });

  it.each(PRESETS)('%s: every number has a source with a mark', (name, preset) => {
    expect(preset.name).toBe(name);
    const paths = [...numbers(preset.machine, ''), ...choices(preset.machine)];
    expect(paths.length).toBeGreaterThan(20);
    for (const path of paths) expect(sourceOf(preset, path) ?? 'nothing', path).toMatch(MARK);
  });

  it.each(PRESETS)('%s: a hashed index has a source of its own', (_, preset) => {
    for (const path of choices(preset.machine).filter((it) => it.endsWith('.index')))
      expect(Object.keys(preset.sources)).toContain(path);
  });

  it.each(PRESETS)('%s: no source is for something that is not there', (_, preset) => {
    const paths = [...numbers(preset.machine, ''), ...choices(preset.machine)];
    const used = new Set(paths.map((path) => sourceOf(preset, path)));
    for (const text of Object.values(preset.sources)) expect(used).toContain(text);
  });

  it.each(PRESETS)('%s: no two structures are one object, so that a change of one is of one', (_, preset) => {
    const seen = new Set<object>();
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      expect(seen.has(value)).toBe(false);
      seen.add(value);
      Object.values(value).forEach(visit);
    };
    visit(preset.machine);
  });

  it.each(PRESETS)('%s: as text has every number and every source', (_, preset) => {
    const text = renderPreset(preset, PLAIN);
    expect(text).not.toMatch(/undefined|no source|NaN/);
    for (const source of Object.values(preset.sources)) expect(text).toContain(source);
    for (const line of preset.lost) expect(text).toContain(line);
    const { machine } = preset;
    for (const side of SIDES)
      for (const { entries, ways } of machine[side] ?? [])
        for (const number of [entries, ways]) expect(text).toMatch(new RegExp(`\\b${number}\\b`));
    for (const { name, latency } of machine.caches)
      expect(text, name).toMatch(new RegExp(`\\b${latency} cycle`));
  });

  it.each(PRESETS)(
    '%s: resolves in every mode, with every page size and number of levels',
    (name, preset) => {
      for (const mode of ['native', 'nested'])
        for (const guestPage of PAGE_SIZES)
          for (const nestedPage of PAGE_SIZES)
            for (const levels of [3, 4, 5]) {
              const paging = { mode, guestPage, nestedPage, guestLevels: levels, nestedLevels: levels };
              const { config } = resolveConfig({ ...base, machine: name, paging });
              expect(config.machine).toEqual({ preset: name, ...preset.machine });
            }
    },
  );

  it.each(PRESETS)('%s: written whole, it passes every check of geometry and stays itself', (_, preset) => {
    const { config } = resolveConfig({ ...base, machine: preset.machine });
    expect(config.machine).toEqual(preset.machine);
    // Configurations are compared as text too: fields have one order.
    expect(JSON.stringify(config.machine)).toBe(JSON.stringify(preset.machine));
  });
});

/** Geometry of a side by page size, in the order 4 KiB, 2 MiB, 1 GiB; `null`: pages of this size have no array. */
type Row = readonly (string | null)[];
interface Dumped {
  /** File of InstLatx64's collection, or another place where the row was read. */
  dump: string;
  l1d: Row;
  l1i: Row;
  stlb: Row;
}

const NONE: Row = [null, null, null];
/**
 * What the sources say, transcribed from them (CPUID leaves 2, 4 and 18h; 8000_0005h, 8000_0006h and 8000_0019h), before
 * anybody looked at a preset. `a/b` entries and ways, `full` fully associative, `a/b-c` a range of ways, `?` not told,
 * `+` arrays side by side.
 */
const SOURCES: Record<string, Dumped> = {
  'pentium4-prescott': {
    dump: 'GenuineIntel0000F43',
    l1d: ['64/?', '64/?', null],
    l1i: ['64/?', '64/?', null],
    stlb: NONE,
  },
  merom: {
    dump: 'GenuineIntel00006F6',
    l1d: ['16/4', '16/4', null],
    l1i: ['128/4', '8/?', null],
    stlb: ['256/4', '32/4', null],
  },
  nehalem: {
    dump: 'GenuineIntel00106A2',
    l1d: ['64/4', '32/4', null],
    l1i: ['64/4', '7/full', null],
    stlb: ['512/4', null, null],
  },
  westmere: {
    dump: 'GenuineIntel00206C2',
    l1d: ['64/4', '32/4', null],
    l1i: ['64/4', '7/full', null],
    stlb: ['512/4', null, null],
  },
  'sandy-bridge': {
    dump: 'GenuineIntel00206D6',
    l1d: ['64/4', '32/4', '4/?'],
    l1i: ['64/4', '8/full', null],
    stlb: ['512/4', null, null],
  },
  'haswell-ep': {
    dump: 'GenuineIntel00306F2',
    l1d: ['64/4', '32/4', '4/4'],
    l1i: ['64/8', '8/full', null],
    stlb: ['1024/8', '1024/8', null],
  },
  'broadwell-ep': {
    dump: 'GenuineIntel00406F1',
    l1d: ['64/4', '32/4', '4/4'],
    l1i: ['64/8', '8/full', null],
    stlb: ['1536/6', '1536/6', '16/4'],
  },
  'skylake-sp': {
    dump: 'GenuineIntel0050654',
    l1d: ['64/4', '32/4', '4/4'],
    l1i: ['64/8', '8/full', null],
    stlb: ['1536/6', '1536/6', '16/4'],
  },
  'cascade-lake': {
    dump: 'GenuineIntel0050657',
    l1d: ['64/4', '32/4', '4/4'],
    l1i: ['64/8', '8/full', null],
    stlb: ['1536/6', '1536/6', '16/4'],
  },
  'icelake-sp': {
    dump: 'GenuineIntel00606A6',
    l1d: ['64/4', '32/4', '8/full'],
    l1i: ['?/?', '8/full', null],
    stlb: ['1024/8+1024/8', '1024/8', '1024/8'],
  },
  'sapphire-rapids': {
    dump: 'GenuineIntel00806F8',
    l1d: ['64/4', '32/4', '8/full'],
    l1i: ['256/8', '32/8', null],
    stlb: ['1024/8+1024/8', '1024/8', '1024/8'],
  },
  'granite-rapids': {
    dump: 'GenuineIntel00A06D1',
    l1d: ['96/6', '32/4', '8/full'],
    l1i: ['256/8', '32/8', null],
    stlb: ['1024/8+1024/8', '1024/8', '1024/8'],
  },
  ...Object.fromEntries(
    ['opteron-2008-1d', 'opteron-2008-2d', 'opteron-2008'].map((name): [string, Dumped] => [
      name,
      {
        dump: 'AuthenticAMD0100F2A',
        l1d: ['48/full', '48/full', '48/full'],
        l1i: ['32/full', '16/full', null],
        stlb: ['512/4', '128/2', null],
      },
    ]),
  ),
  shanghai: {
    dump: 'AuthenticAMD0100F42',
    l1d: ['48/full', '48/full', '48/full'],
    l1i: ['32/full', '16/full', null],
    stlb: ['512/4', '128/2', '16/8'],
  },
  zen2: {
    dump: 'AuthenticAMD0830F10',
    l1d: ['64/full', '64/full', '64/full'],
    l1i: ['64/full', '64/full', '64/full'],
    stlb: ['2048/8-15', '2048/4-5', null],
  },
  zen3: {
    dump: 'AuthenticAMD0A00F11',
    l1d: ['64/full', '64/full', '64/full'],
    l1i: ['64/full', '64/full', '64/full'],
    stlb: ['2048/8-15', '2048/4-5', '64/full'],
  },
  zen4: {
    dump: 'AuthenticAMD0A10F11',
    l1d: ['72/full', '72/full', '72/full'],
    l1i: ['64/full', '64/full', '64/full'],
    stlb: ['3072/8-15', '3072/6-7', '64/full'],
  },
  zen5: {
    dump: 'AuthenticAMD0B00F21',
    l1d: ['96/full', '96/full', '96/full'],
    l1i: ['64/full', '64/full', '64/full'],
    stlb: ['4096/?', '4096/?', '1024/?'],
  },
  'cortex-a72': {
    dump: 'technical reference manual',
    l1d: ['32/full', '32/full', '32/full'],
    l1i: ['48/full', '48/full', '48/full'],
    stlb: ['1024/4', '1024/4', '1024/4'],
  },
  'cortex-a78': {
    dump: 'technical reference manual',
    l1d: ['32/full', '32/full', '32/full'],
    l1i: ['32/full', '32/full', '32/full'],
    stlb: ['1024/4', '1024/4', '1024/4'],
  },
  'neoverse-n1': {
    dump: 'SagePTE',
    l1d: ['48/full', '48/full', '48/full'],
    l1i: ['?/?', '?/?', '?/?'],
    stlb: ['1280/5', '1280/5', '1280/5'],
  },
};

/** Where a measurement contradicts the registers: the source that a preset has to name, and what it measured. */
const MEASURED: Record<string, { by: string; side: 'stlb'; sizes: number[]; geometry: string }> = {
  'skylake-sp': { by: 'vusec/tlbdr', side: 'stlb', sizes: [0, 1], geometry: '1536/12' },
  'cascade-lake': { by: 'vusec/tlbdr', side: 'stlb', sizes: [0, 1], geometry: '1536/12' },
};

/** Whether an array has a geometry of {@link SOURCES}. */
function fits(array: TlbArrayConfig | undefined, told: string | null): boolean {
  if (told === null || array === undefined) return told === null && array === undefined;
  const parts = told.split('+').map((part) => part.split('/') as [string, string]);
  const entries = parts.reduce((sum, [part]) => sum + Number(part), 0);
  if (parts[0][0] !== '?' && array.entries !== entries) return false;
  const [low, high] = parts
    .map(([, ways]) => {
      if (ways === '?') return [1, array.entries];
      if (ways === 'full') return [entries, entries];
      const [least, most = least] = ways.split('-').map(Number);
      return [least, most];
    })
    .reduce((sum, range) => [sum[0] + range[0], sum[1] + range[1]]);
  return array.ways >= low && array.ways <= high;
}

const arrayOf = (machine: MachineConfig, side: (typeof SIDES)[number], size: number) =>
  machine[side]?.find(({ sizes }) => sizes.includes(PAGE_SIZES[size]));

describe('geometries against their sources', () => {
  it('has a row for every processor', () => {
    expect(Object.keys(SOURCES)).toEqual(Object.keys(MACHINE_PRESETS).filter((name) => name !== 'tiny'));
  });

  it.each(Object.entries(SOURCES))('%s', (name, row) => {
    const preset = MACHINE_PRESETS[name];
    const { machine, sources } = preset;
    expect(Object.values(sources).join('\n')).toContain(row.dump);
    const measured = MEASURED[name];
    if (measured) expect(sources[`${measured.side}[0].ways`]).toContain(measured.by);
    for (const side of SIDES)
      row[side].forEach((told, size) => {
        const other =
          measured?.side === side && measured.sizes.includes(size) ? measured.geometry : undefined;
        const array = arrayOf(machine, side, size);
        expect(
          fits(array, other ?? told),
          `${side} ${PAGE_SIZES[size]}: ${JSON.stringify(array)}, ${told}`,
        ).toBe(true);
      });
  });

  it.each(Object.entries(SOURCES))(
    '%s: what its source does not tell is marked as not from there',
    (name, row) => {
      const preset = MACHINE_PRESETS[name];
      for (const side of SIDES)
        row[side].forEach((told, size) => {
          if (!told?.includes('?')) return;
          const index = preset.machine[side]!.findIndex(({ sizes }) => sizes.includes(PAGE_SIZES[size]));
          expect(sourceOf(preset, `${side}[${index}].ways`)).toMatch(/^(M:|assumed)/);
        });
    },
  );
});

/** Meanings of the descriptors of CPUID leaf 2 that occur below (Intel SDM vol. 2A, table 3-12). */
const DESCRIPTORS: Record<number, { side: 'l1d' | 'l1i' | 'stlb'; sizes: number[]; geometry: string }[]> = {
  3: [{ side: 'l1d', sizes: [0], geometry: '64/4' }],
  80: [{ side: 'l1i', sizes: [0, 1], geometry: '64/?' }],
  85: [{ side: 'l1i', sizes: [1], geometry: '7/full' }],
  90: [{ side: 'l1d', sizes: [1], geometry: '32/4' }],
  91: [{ side: 'l1d', sizes: [0, 1], geometry: '64/?' }],
  99: [
    { side: 'l1d', sizes: [1], geometry: '32/4' },
    { side: 'l1d', sizes: [2], geometry: '4/4' },
  ],
  118: [{ side: 'l1i', sizes: [1], geometry: '8/full' }],
  178: [{ side: 'l1i', sizes: [0], geometry: '64/4' }],
  181: [{ side: 'l1i', sizes: [0], geometry: '64/8' }],
  195: [
    { side: 'stlb', sizes: [0, 1], geometry: '1536/6' },
    { side: 'stlb', sizes: [2], geometry: '16/4' },
  ],
  202: [{ side: 'stlb', sizes: [0], geometry: '512/4' }],
};
/** Descriptors of caches, prefetching, the trace cache, and of other leaves. */
const NO_TLB = [0x00, 0x01, 0x09, 0x21, 0x2c, 0x40, 0x60, 0x70, 0x7d, 0xe4, 0xf0, 0xff];

/** Leaf 2 in the dumps: EAX, EBX, ECX, EDX. */
const LEAF_2: Record<string, number[]> = {
  'pentium4-prescott': [0x605b5001, 0, 0, 0x007d7040],
  nehalem: [0x55035a01, 0x00f0b2e4, 0, 0x09ca212c],
  'broadwell-ep': [0x76036301, 0x00f0b5ff, 0, 0x00c30000],
  'skylake-sp': [0x76036301, 0x00f0b5ff, 0, 0x00c30000],
};

describe('the table against registers of the dumps', () => {
  it.each(Object.entries(LEAF_2))('%s: leaf 2', (name, registers) => {
    const bytes = registers.flatMap((register) => [0, 8, 16, 24].map((shift) => (register >>> shift) & 0xff));
    const unknown = bytes.filter((byte) => !(byte in DESCRIPTORS) && !NO_TLB.includes(byte));
    expect(unknown).toEqual([]);
    const found = { l1d: [...NONE], l1i: [...NONE], stlb: [...NONE] };
    for (const byte of bytes)
      for (const { side, sizes, geometry } of DESCRIPTORS[byte] ?? [])
        for (const size of sizes) found[side][size] = geometry;
    const { l1d, l1i, stlb } = SOURCES[name];
    expect(found).toEqual({ l1d, l1i, stlb });
  });

  it('zen4: 8000_0005h, 8000_0006h and 8000_0019h of a Genoa', () => {
    /** An array in a register: entries in the low 8 or 12 bits of each half, above them the code of its ways. */
    const halves = (register: number, bits: 8 | 12): string[] => {
      const ways: Record<number, string> = { 2: '2', 4: '4-5', 5: '6-7', 6: '8-15', 15: 'full', 255: 'full' };
      return [register >>> 16, register & 0xffff].map(
        (half) => `${half & (2 ** bits - 1)}/${ways[half >>> bits]}`,
      );
    };
    // Data in the high half, instructions in the low one; 2 MiB pages in EAX, 4 KiB pages in EBX.
    const [l1d2m, l1i2m] = halves(0xff48ff40, 8);
    const [l1d4k, l1i4k] = halves(0xff48ff40, 8);
    const [l2d2m] = halves(0x5c002200, 12);
    const [l2d4k] = halves(0x6c004200, 12);
    const [l1d1g, l1i1g] = halves(0xf048f040, 12);
    const [l2d1g] = halves(0xf0400000, 12);
    expect({ l1d: [l1d4k, l1d2m, l1d1g], l1i: [l1i4k, l1i2m, l1i1g], stlb: [l2d4k, l2d2m, l2d1g] }).toEqual({
      l1d: SOURCES.zen4.l1d,
      l1i: SOURCES.zen4.l1i,
      stlb: SOURCES.zen4.stlb,
    });
  });

  it.each([
    // Leaf 4 (AMD: 8000_001Dh): in EBX ways, partitions and line, each less one; ECX sets less one.
    ['pentium4-prescott', 0, 0x01c0003f, 0x1f],
    ['pentium4-prescott', 1, 0x01c0103f, 0x7ff],
    ['broadwell-ep', 0, 0x01c0003f, 0x3f],
    ['broadwell-ep', 1, 0x01c0003f, 0x1ff],
    ['broadwell-ep', 2, 0x04c0003f, 0x2fff],
    ['skylake-sp', 0, 0x01c0003f, 0x3f],
    ['skylake-sp', 1, 0x03c0003f, 0x3ff],
    ['zen4', 0, 0x01c0003f, 0x3f],
    ['zen4', 1, 0x01c0003f, 0x7ff],
    ['zen4', 2, 0x03c0003f, 0x7fff],
  ] as const)('%s: cache %i', (name, level, ebx, ecx) => {
    const ways = (ebx >>> 22) + 1;
    const partitions = ((ebx >>> 12) & 0x3ff) + 1;
    const line = (ebx & 0xfff) + 1;
    const { size, ...rest } = MACHINE_PRESETS[name].machine.caches[level];
    expect({ size, ways: rest.ways, line: rest.line }).toEqual({
      size: ways * partitions * line * (ecx + 1),
      ways,
      line,
    });
  });
});

describe('walk caches', () => {
  it('Barcelona is the machine of Bhargava et al.: 24 entries by physical address, a nested TLB of 16 for tables', () => {
    const { pwc, ntlb, psc, nestedPsc } = MACHINE_PRESETS['opteron-2008'].machine;
    expect(pwc).toMatchObject({ entries: 24, ways: 24, holds: '2d+nt' });
    expect(ntlb).toMatchObject({ entries: 16, holds: 'tables' });
    expect([psc, nestedPsc]).toEqual([null, null]);
  });

  it('its variants differ in what the page-walk cache holds and in the nested TLB alone', () => {
    const { pwc, ntlb: _, ...rest } = MACHINE_PRESETS['opteron-2008'].machine;
    for (const holds of ['1d', '2d'] as const) {
      const variant = MACHINE_PRESETS[`opteron-2008-${holds}`].machine;
      expect(variant).toEqual({ ...rest, ntlb: null, pwc: { ...pwc, holds } });
    }
  });

  it('Intel’s have paging-structure caches, AMD’s a page-walk cache, never both', () => {
    for (const [name, { machine }] of PRESETS) {
      if (name === 'pentium4-prescott') continue;
      const paths = machine.psc !== null;
      expect(machine.pwc !== null, name).toBe(!paths);
      expect(paths, name).toBe(!/^(opteron|shanghai|zen)/.test(name));
    }
  });

  it('a processor without nested paging has nothing that serves it', () => {
    for (const name of ['pentium4-prescott', 'merom'])
      expect(MACHINE_PRESETS[name].machine).toMatchObject({
        nestedPsc: null,
        ntlb: null,
        nestedAD: false,
        tagged: [],
      });
  });

  it('the most telling path is the source of a number', () => {
    const { sources } = MACHINE_PRESETS['skylake-sp'];
    expect(sourceOf(MACHINE_PRESETS['skylake-sp'], 'stlb[0].ways')).toBe(sources['stlb[0].ways']);
    expect(sourceOf(MACHINE_PRESETS['skylake-sp'], 'psc.l2.entries')).toBe(sources.psc);
    expect(sourceOf(MACHINE_PRESETS['skylake-sp'], 'pscore')).toBeUndefined();
  });
});

describe.each(ENGINES)('$name: what presets do', (engine) => {
  const MIB = 2 ** 20;

  /** Second-level misses of two rounds over so many pages, in order. */
  async function missesOf(machine: string, guestPage: '4KiB' | '2MiB', pages: number): Promise<number> {
    const stride = guestPage === '4KiB' ? 4096 : 2 * MIB;
    const config = resolveConfig({
      seed: 1,
      accesses: 2 * pages,
      regions: [{ bytes: pages * stride }],
      workload: { pattern: 'stride', bytes: stride },
      machine,
      paging: { mode: 'native', guestPage },
    }).config;
    return (await engine.execute(config)).counters[COUNTER.stlbMisses];
  }

  it.each([
    ['nehalem', 512],
    ['haswell-ep', 1024],
    ['broadwell-ep', 1536],
    ['skylake-sp', 1536],
    ['icelake-sp', 2048],
    ['zen2', 2048],
    ['zen4', 3072],
    ['neoverse-n1', 1280],
  ])('%s reaches over %i pages of 4 KiB, and not over twice as many', async (machine, entries) => {
    expect(await missesOf(machine, '4KiB', entries)).toBe(entries);
    expect(await missesOf(machine, '4KiB', 2 * entries)).toBe(4 * entries);
  });

  it('Nehalem walks for 2 MiB pages that miss L1, Haswell finds them in the STLB', async () => {
    expect(await missesOf('nehalem', '2MiB', 64)).toBe(128);
    expect(await missesOf('haswell-ep', '2MiB', 64)).toBe(64);
  });

  it('a page-walk cache that holds more saves more references of a nested walk', async () => {
    const refs = async (machine: unknown): Promise<number> => {
      const config = resolveConfig({
        seed: 1,
        accesses: 20_000,
        regions: [{ bytes: 256 * MIB }],
        workload: { pattern: 'uniform' },
        machine,
        paging: { mode: 'nested' },
      }).config;
      const { counters } = await engine.execute(config);
      return counters.slice(COUNTER.refs, COUNTER.faultRefs).reduce((sum, count) => sum + count, 0);
    };
    const bare = { preset: 'opteron-2008', ntlb: null, pwc: null };
    const [none, one, two, all] = [
      await refs(bare),
      await refs('opteron-2008-1d'),
      await refs('opteron-2008-2d'),
      await refs('opteron-2008'),
    ];
    expect(none).toBeGreaterThan(one);
    expect(one).toBeGreaterThan(two);
    expect(two).toBeGreaterThan(all);
  });
});
