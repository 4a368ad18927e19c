/** Whole runs in the modes that a hypervisor's software makes: configuration, layout, counters beside native ones. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseConfigText } from '../src/config/file.ts';
import { resolveConfig } from '../src/config/resolve.ts';
import { PAGING_MODES, type PagingMode, type ResolvedConfig } from '../src/config/resolved.ts';
import { type ConfigInput, jsonSchema } from '../src/config/schema.ts';
import { seedWords } from '../src/config/units.ts';
import { NestwalkError } from '../src/errors.ts';
import { AccessGenerator } from '../src/hardware/access.ts';
import { createSystem } from '../src/hypervisor/system.ts';
import { planLayout } from '../src/memory/layout.ts';
import { PLAIN } from '../src/report/table.ts';
import { renderRun } from '../src/report/terminal.ts';
import { countersFromBlock } from '../src/results/counters.ts';
import { computeMetrics } from '../src/results/metrics.ts';
import type { Counters } from '../src/results/types.ts';
import { execute } from '../src/run/execute.ts';
import { executeGroup } from '../src/run/group.ts';
import { runSegments } from '../src/run/segments.ts';
import { simulate } from '../src/run/simulate.ts';
import { walkOnce } from '../src/run/walkOnce.ts';
import { ACCESS_KINDS, COUNTER, KIND_SHIFT, PAGE_SIZES, type PageSize } from '../src/schema.ts';
import { planSweep } from '../src/sweep/plan.ts';
import { encodeWorkload } from '../src/workload/encode.ts';
import { addon } from './support/engines.ts';
import { InlineExecutor } from './support/inline.ts';

const ENGINES = addon ? (['ts', 'native'] as const) : (['ts'] as const);
const MIB = 2 ** 20;
const GIB = 2 ** 30;

const folder = mkdtempSync(join(tmpdir(), 'nestwalk-platform-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** TLBs of all sizes and no cache behind them: what is counted depends on pages and page sizes alone. */
type MachineInput = Exclude<ConfigInput['machine'], string | undefined>;
const UNCACHED: MachineInput = {
  l1d: [{ entries: 16, ways: 4, sizes: [...PAGE_SIZES] }],
  stlb: [{ entries: 64, ways: 4, sizes: [...PAGE_SIZES] }],
};
/** A machine with everything that depends on addresses. */
const CACHED: MachineInput = {
  ...UNCACHED,
  psc: { l2: { entries: 8, ways: 2 }, l3: { entries: 2, ways: 2 } },
  caches: [{ name: 'L2', size: '32KiB', ways: 4, line: 64, latency: 14 }],
  dataThroughCaches: true,
};

const input = (paging: ConfigInput['paging'], changes: Partial<ConfigInput> = {}): ConfigInput => ({
  seed: 5,
  accesses: 4000,
  workload: { pattern: 'uniform', writeFraction: 0.4 },
  regions: [{ bytes: 3 * MIB }, { bytes: 6 * MIB }],
  machine: UNCACHED,
  paging,
  ...changes,
});
const resolved = (paging: ConfigInput['paging'], changes?: Partial<ConfigInput>): ResolvedConfig =>
  resolveConfig(input(paging, changes)).config;

async function countersOf(config: ResolvedConfig, engine: 'ts' | 'native'): Promise<Counters> {
  const { counters } = await execute(config, engine);
  return countersFromBlock(
    counters,
    config.machine.caches.map(({ name }) => name),
  );
}

const smaller = (a: PageSize, b: PageSize): PageSize =>
  PAGE_SIZES[Math.min(PAGE_SIZES.indexOf(a), PAGE_SIZES.indexOf(b))];

describe('configuration', () => {
  it('has options only under the mode that has a use for them', () => {
    const paging = { unsync: true, batch: 8 };
    for (const mode of PAGING_MODES) {
      const { paging: echoed } = resolved({ mode, ...paging });
      expect(echoed.unsync).toBe(mode === 'shadow' ? true : undefined);
      expect(echoed.batch).toBe(mode === 'paravirt' ? 8 : undefined);
      expect(resolveConfig(resolved({ mode, ...paging })).config.paging).toEqual(echoed);
    }
    expect(resolved({ mode: 'shadow' }).paging.unsync).toBe(false);
    expect(resolved({ mode: 'paravirt' }).paging.batch).toBe(32);
  });

  it.each([
    [
      'mode: shadw',
      'paging.mode',
      'must be one of native, nested, shadow, paravirt, not "shadw"; did you mean "shadow"?',
    ],
    ['{mode: shadow, unsync: 1}', 'paging.unsync', 'must be true or false, not 1'],
    [
      '{mode: paravirt, batch: 0}',
      'paging.batch',
      'must be a number of updates from 1 to 1048576, such as 32, not 0',
    ],
    [
      '{mode: native, batch: 2M}',
      'paging.batch',
      'must be a number of updates from 1 to 1048576, such as 32, not 2000000',
    ],
    [
      '{mode: shadow, nestedPage: 1GiB, nestedLevels: 2}',
      'paging.nestedPage',
      '1GiB is a leaf at level 3, but nestedLevels is 2: give nestedLevels at least 3, or smaller pages',
    ],
  ])('says what is wrong with %s', (paging, path, message) => {
    const text = `seed: 1\naccesses: 10\nworkload: uniform\nfootprint: 1MiB\npaging: ${paging.includes('{') ? paging : `{${paging}}`}\n`;
    const { input: written, source } = parseConfigText(text, 'bad.yaml');
    try {
      resolveConfig(written, { source });
    } catch (error) {
      expect(error).toBeInstanceOf(NestwalkError);
      expect((error as NestwalkError).problems).toMatchObject([{ path, message, line: 5 }]);
      return;
    }
    throw new Error('nothing is wrong');
  });

  it('ignores what a mode has no use for', () => {
    expect(() => resolved({ mode: 'paravirt', nestedPage: '1GiB', nestedLevels: 2 })).not.toThrow();
  });

  it('is in the schema for editors', () => {
    const { properties } = jsonSchema() as { properties: { paging: { properties: Record<string, object> } } };
    expect(properties.paging.properties.mode).toMatchObject({ enum: [...PAGING_MODES] });
    expect(properties.paging.properties).toHaveProperty('unsync.type', 'boolean');
    expect(properties.paging.properties).toHaveProperty('batch');
  });
});

describe('layout', () => {
  it('of shadow tables: the guest and host memory of a nested run, the shadow where the nested table would end', () => {
    const paging = { guestPage: '2MiB', nestedPage: '4KiB' } as const;
    const nested = planLayout(resolved({ mode: 'nested', ...paging }));
    const shadow = planLayout(resolved({ mode: 'shadow', ...paging }));
    expect(shadow.guestZone).toEqual(nested.guestZone);
    expect(shadow.nested).toEqual(nested.nested);
    expect(shadow.shadow!.base).toBe(nested.nested!.shadowZoneBase);
    expect(shadow.shadow!.base % shadow.unitFrames).toBe(0);
    // Of the guest: root, a table of level 3, two of level 2 (the regions are in two GiB); below them two and three leaf tables.
    expect(shadow.guestZone.frames).toBe(4);
    expect(shadow.shadow!.frames).toBe(4 + 2 + 3);
    expect(shadow.bounds.hostFrameBound).toBe(shadow.shadow!.base + 9);
    expect(shadow.bounds.guestFrameBound).toBe(shadow.bounds.hostFrameBound);
    expect(nested.shadow).toBeNull();
  });

  it('of a paravirtual guest is a native one', () => {
    const { guestZone, nested, shadow, bounds } = planLayout(resolved({ mode: 'paravirt' }));
    const native = planLayout(resolved({ mode: 'native' }));
    expect({ ...guestZone, name: '' }).toEqual({ ...native.guestZone, name: '' });
    expect([nested, shadow]).toEqual([null, null]);
    expect(bounds).toEqual(native.bounds);
  });

  it.each([
    ['4KiB', '2MiB'],
    ['2MiB', '4KiB'],
    ['1GiB', '4KiB'],
    ['1GiB', '2MiB'],
    ['1GiB', '1GiB'],
  ] as const)(
    '%s guest pages on %s: the shadow zone has exactly the pages of the full shadow',
    (guestPage, nestedPage) => {
      const { memory } = createSystem(resolved({ mode: 'shadow', guestPage, nestedPage }));
      for (const zone of memory.zones) expect(zone.used).toBe(zone.frames);
    },
  );

  it('refuses what does not fit its space, as nested paging does', () => {
    const error = (() => {
      try {
        resolved({ mode: 'shadow', nestedLevels: 2, guestMemory: 2 * GIB });
      } catch (caught) {
        return caught;
      }
      throw new Error('it fits');
    })();
    expect((error as NestwalkError).message).toMatch(/do not fit the 1 ?GiB that 2 nested levels reach/);
  });
});

describe.each(ENGINES)('static runs, %s', (engine) => {
  const sizes = PAGE_SIZES.flatMap((guestPage) =>
    PAGE_SIZES.map((nestedPage) => [guestPage, nestedPage] as const),
  );

  it.each(sizes)(
    'shadow, %s guest pages on %s: counts what a native run of the smaller page counts',
    async (guestPage, nestedPage) => {
      for (const placement of ['contiguous', 'scattered'] as const) {
        for (const unsync of [false, true]) {
          const shadow = resolved({ mode: 'shadow', guestPage, nestedPage, placement, unsync });
          const native = resolved({ mode: 'native', guestPage: smaller(guestPage, nestedPage), placement });
          expect(createSystem(shadow).static).toBe(true);
          const counted = await execute(shadow, engine);
          expect(counted.counters).toEqual((await execute(native, engine)).counters);
          expect(Object.values(counted.events).every((times) => times === 0)).toBe(true);
        }
      }
    },
  );

  it('shadow tables have the shape of native ones: with caches too, moved as they are, they count the same', async () => {
    // One whole unit apart, so that no cache can tell the places apart.
    const shadow = resolved({ mode: 'shadow' }, { machine: CACHED });
    const native = resolved({ mode: 'native' }, { machine: CACHED });
    expect(await countersOf(shadow, engine)).toEqual(await countersOf(native, engine));
  });

  it('paravirt in order: counts everything that a native run counts, addresses and all', async () => {
    for (const guestPage of PAGE_SIZES) {
      const paravirt = resolved({ mode: 'paravirt', guestPage }, { machine: CACHED });
      const native = resolved({ mode: 'native', guestPage }, { machine: CACHED });
      expect(await countersOf(paravirt, engine)).toEqual(await countersOf(native, engine));
    }
  });

  it.each(['shadow', 'paravirt'] as const)('%s: cut into segments they count the same', async (mode) => {
    const config = resolved({ mode, nestedPage: '2MiB' }, { machine: CACHED });
    const whole = await execute(config, engine);
    const cut = { accesses: 4000, segmentAccesses: 700, warmup: 100, checkpoint: 20, patience: 2 };
    const parts = await runSegments(config, engine, cut, new InlineExecutor(2));
    expect(parts.segments.accepted + parts.segments.repaired + parts.segments.rerun).toBe(6);
    expect([...parts.counters]).toEqual([...whole.counters]);
    expect(parts.events).toEqual(whole.events);
  });

  it.each(['shadow', 'paravirt'] as const)(
    '%s: in one pass with other geometries they count the same',
    async (mode) => {
      const config = resolved(
        { mode, guestPage: '2MiB', nestedPage: '4KiB' },
        { machine: { ...CACHED, dataThroughCaches: false } },
      );
      const cells = [16, 64, 128].map((entries) => ({ entries, ways: 4 }));
      const { counters } = await executeGroup(config, cells, { counters: 'all', engine });
      for (const [k, { entries, ways }] of cells.entries()) {
        const single = structuredClone(config) as ResolvedConfig;
        Object.assign(single.machine.stlb[0], { entries, ways });
        expect(counters[k]).toEqual((await execute(single, engine)).counters);
      }
    },
  );

  it('a trace is filled in the order of first touch', async () => {
    const path = join(folder, 'order.lackey');
    const lines = [5, 3, 700, 5, 2 ** 20, 4, 3].map((page) => ` L ${(page * 4096).toString(16)},8`);
    writeFileSync(path, `${lines.join('\n')}\n`);
    for (const guestPage of ['4KiB', '2MiB'] as const) {
      const run = (mode: PagingMode): Promise<Counters> =>
        countersOf(
          resolveConfig({
            seed: 1,
            workload: { trace: path },
            machine: { ...CACHED, dataThroughCaches: false },
            paging: { mode, guestPage: mode === 'native' ? '4KiB' : guestPage },
          }).config,
          engine,
        );
      const [shadow, native] = [await run('shadow'), await run('native')];
      if (guestPage === '4KiB') expect(shadow).toEqual(native);
      else expect({ ...shadow, refHits: 0 }).toEqual({ ...native, refHits: 0 });
    }
  });
});

describe.each(ENGINES)('demand runs, %s', (engine) => {
  /** Pages that a run touches, and those of them that are read first and written later. */
  function touchedBy(config: ResolvedConfig): { pages: number; readFirst: number } {
    const { accesses, regions, seed } = config;
    const pages = new Float64Array(accesses!);
    const words = new Uint16Array(accesses!);
    const workload = encodeWorkload(config.workload as never, regions, seedWords(seed));
    new AccessGenerator(workload).fill(0, accesses!, pages, words);
    const clean = new Map<number, boolean>();
    let readFirst = 0;
    pages.forEach((page, i) => {
      const write = words[i] >> KIND_SHIFT === ACCESS_KINDS.indexOf('write');
      if (write && clean.get(page)) readFirst++;
      clean.set(page, !write && clean.get(page) !== false);
    });
    return { pages: clean.size, readFirst };
  }

  /** One region, all of it touched: nine MiB in five leaf tables. */
  const demand = (paging: ConfigInput['paging'], machine: MachineInput = UNCACHED): ResolvedConfig =>
    resolved({ populate: 'demand', ...paging }, { regions: [{ bytes: 9 * MIB }], machine, accesses: 20_000 });

  it('shadow: each guest fault is an exit and is followed by a hidden one, which fills one entry', async () => {
    const config = demand({ mode: 'shadow' });
    const { events, counters } = await execute(config, engine);
    const { pages, readFirst } = touchedBy(config);
    expect(events.guestFaults).toBe(pages);
    expect(events.guestFaultExits).toBe(pages);
    expect(events.hiddenFaultExits).toBe(pages);
    expect(events.dirtyFaultExits).toBe(readFirst);
    expect(counters[COUNTER.guestFaults]).toBe(2 * pages + events.dirtyFaultExits);
    // The root has its shadow before the first fault, and the tables above the leaves soon after.
    const { guestZone } = planLayout(config);
    expect(events.tableWrites).toBe(pages + guestZone.frames - 1);
    expect(events.shadowTables).toBe(guestZone.frames);
    expect(events.tableBackings).toBe(guestZone.frames);
    expect(events.hostFrames).toBe(pages + guestZone.frames);
    // A leaf table is written first before it has a shadow; with three or more pages a table, the rest is traced.
    expect(events.tableWriteExits).toBeLessThan(events.tableWrites);
    expect(events.tableWriteExits).toBeGreaterThan(pages / 2);
  });

  it('unsync: a leaf table exits once, whatever is written to it', async () => {
    const config = demand({ mode: 'shadow', unsync: true });
    const { events } = await execute(config, engine);
    expect(events.unsyncExits).toBe(5);
    expect(events.tableWriteExits).toBeLessThan(planLayout(config).guestZone.frames);
    expect(events.hiddenFaultExits).toBe(events.guestFaultExits);
  });

  it('nested: violations are at most the host pages touched', async () => {
    const { events } = await execute(demand({ mode: 'nested' }), engine);
    expect(events.nestedViolations).toBe(events.guestFaults);
    expect(events.hostFrames).toBe(events.nestedViolations + events.tableBackings);
  });

  it('paravirt: faults bounce, each of their updates is a hypercall, and all else is native', async () => {
    const paravirt = demand({ mode: 'paravirt' }, CACHED);
    const native = demand({ mode: 'native' }, CACHED);
    const { events, counters } = await execute(paravirt, engine);
    const other = await execute(native, engine);
    expect(counters).toEqual(other.counters);
    expect(counters[COUNTER.guestFaults]).toBe(events.faultBounces);
    expect(events.updateHypercalls).toBe(events.tableWrites);
    expect(events.validatedEntries).toBe(events.tableWrites);
    // One to pin the root, then one for each further table page.
    expect(events.pinHypercalls).toBe(planLayout(native).guestZone.frames);
  });
});

describe('a run in these modes', () => {
  it('walks in one dimension: its cycles are the guest’s', async () => {
    for (const mode of ['shadow', 'paravirt'] as const) {
      const config = resolved({ mode }, { machine: CACHED });
      const metrics = computeMetrics(await countersOf(config, 'ts'), config);
      expect(metrics.walkCycles.nested).toBe(0);
      expect(metrics.walkCycles.guest).toBeGreaterThan(0);
    }
  });

  it('is headed by what it is', async () => {
    const text = async (paging: ConfigInput['paging']): Promise<string> =>
      renderRun(await simulate(input(paging), { engine: 'ts', workers: 1 }), PLAIN);
    expect(await text({ mode: 'shadow', nestedPage: '2MiB', unsync: true })).toContain(
      'shadow (unsync): 4KiB guest pages on 2MiB host pages, 4 levels',
    );
    expect(await text({ mode: 'paravirt', batch: 8 })).toContain(
      'paravirt: 4KiB pages, 4 levels, up to 8 updates a hypercall',
    );
  });

  it('shows where an address ends, and who learns of a fault', async () => {
    const walk = (paging: ConfigInput['paging']) =>
      walkOnce(input({ placement: 'scattered', ...paging }), 2 ** 40 + 0x5123);
    const [nested, shadow, paravirt, native] = await Promise.all(
      (['nested', 'shadow', 'paravirt', 'native'] as const).map((mode) => walk({ mode, guestPage: '2MiB' })),
    );
    expect([shadow.gpa, shadow.hpa, shadow.size]).toEqual([nested.gpa, nested.hpa, '4KiB']);
    expect(shadow.steps.map(({ row, col }) => `${row} ${col}`)).toEqual(['pt L4', 'pt L3', 'pt L2', 'pt L1']);
    expect(paravirt.gpa).toBe(native.hpa);
    expect(paravirt.hpa).not.toBe(native.hpa);
    expect([paravirt.size, native.gpa]).toEqual(['2MiB', undefined]);
    const faulted = await walk({ mode: 'shadow', populate: 'demand' });
    expect(faulted.fault).toMatchObject({ cause: 'guestFault', message: expect.stringContaining('VM exit') });
  });
});

describe('a sweep over modes', () => {
  it('gives cells one name only where a mode has no use for what differs', async () => {
    const text =
      'seed: 3\naccesses: 1000\nworkload: uniform\nfootprint: 1MiB\nvary: {paging.mode: [native, shadow, paravirt], ' +
      'paging.nestedPage: [4KiB, 2MiB]}\n';
    const plan = await planSweep({ ...parseConfigText(text, 'sweep.yaml'), directory: folder });
    const names = plan.cells.map(({ name }) => name);
    expect(names[0]).toBe(names[1]);
    expect(names[2]).not.toBe(names[3]);
    expect(names[4]).toBe(names[5]);
    expect(new Set(names).size).toBe(4);
  });
});
