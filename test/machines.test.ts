import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../src/config/resolve.ts';
import { MACHINE_PRESETS, sourceOf } from '../src/machines/presets.ts';
import { PAGE_SIZES } from '../src/schema.ts';

const PRESETS = Object.entries(MACHINE_PRESETS);

/** Paths of all numbers below a value, as sources name them. */
function numbers(value: unknown, path: string): string[] {
  if (typeof value === 'number') return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const step = Array.isArray(value) ? `[${key}]` : path === '' ? key : `.${key}`;
    return numbers(inner, path + step);
  });
}

const base = { workload: 'uniform', footprint: '1MiB', accesses: 1, seed: 1 };

describe('presets', () => {
  it('has those that are promised', () => {
    expect(Object.keys(MACHINE_PRESETS)).toEqual([
      'skylake-sp',
      'icelake-sp',
      'zen4',
      'opteron-2008',
      'tiny',
    ]);
  });

  it.each(PRESETS)('%s: every number has a source with a mark', (name, preset) => {
    expect(preset.name).toBe(name);
    const paths = numbers(preset.machine, '');
    expect(paths.length).toBeGreaterThan(15);
    for (const path of paths) expect(sourceOf(preset, path), path).toMatch(/^(S: |M: |assumed[:,] ?)\S/);
    for (const path of ['dataThroughCaches', 'nestedAD', 'tagged'])
      expect(sourceOf(preset, path), path).toBeDefined();
  });

  it.each(PRESETS)('%s: no source is for something that is not there', (_, preset) => {
    const paths = [...numbers(preset.machine, ''), 'replacement', 'dataThroughCaches', 'nestedAD', 'tagged'];
    const used = new Set(paths.map((path) => sourceOf(preset, path)));
    for (const text of Object.values(preset.sources)) expect(used).toContain(text);
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
    expect(resolveConfig({ ...base, machine: preset.machine }).config.machine).toEqual(preset.machine);
  });
});

/** Geometries of the CPUID dumps as published by InstLatx64: entries and ways by page size, in the order 4 KiB, 2 MiB, 1 GiB. */
const CPUID: Record<string, Record<'l1d' | 'stlb', (string | null)[]>> = {
  'skylake-sp': { l1d: ['64/4', '32/4', '4/4'], stlb: ['1536/12', '1536/12', '16/4'] },
  'icelake-sp': { l1d: ['64/4', '32/4', '8/8'], stlb: ['1024/8', '1024/8', '1024/8'] },
  zen4: { l1d: ['72/72', '72/72', '72/72'], stlb: ['3072/12', '3072/6', '64/64'] },
  'opteron-2008': { l1d: ['48/48', '48/48', '48/48'], stlb: ['512/4', '128/2', null] },
};

describe('geometries against CPUID', () => {
  it.each(Object.entries(CPUID))('%s', (name, sides) => {
    for (const side of ['l1d', 'stlb'] as const) {
      const geometries = PAGE_SIZES.map((size) => {
        const array = MACHINE_PRESETS[name].machine[side].find(({ sizes }) => sizes.includes(size));
        return array ? `${array.entries}/${array.ways}` : null;
      });
      expect(geometries).toEqual(sides[side]);
    }
  });

  it('Barcelona is the machine of Bhargava et al.: 24 entries by physical address, a nested TLB of 16 for tables', () => {
    const { pwc, ntlb, psc, nestedPsc } = MACHINE_PRESETS['opteron-2008'].machine;
    expect(pwc).toMatchObject({ entries: 24, ways: 24, holds: '2d+nt' });
    expect(ntlb).toMatchObject({ entries: 16, holds: 'tables' });
    expect([psc, nestedPsc]).toEqual([null, null]);
  });

  it('the most telling path is the source of a number', () => {
    const { sources } = MACHINE_PRESETS['skylake-sp'];
    expect(sourceOf(MACHINE_PRESETS['skylake-sp'], 'stlb[0].ways')).toBe(sources['stlb[0].ways']);
    expect(sourceOf(MACHINE_PRESETS['skylake-sp'], 'psc.l2.entries')).toBe(sources.psc);
    expect(sourceOf(MACHINE_PRESETS['skylake-sp'], 'pscore')).toBeUndefined();
  });
});
