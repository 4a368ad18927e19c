/** Running scenarios: parameters, hosts, files, workers, interruption, errors, and the text that people see. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { NestwalkError } from '../src/errors.ts';
import { COST_PRESETS } from '../src/machines/costs.ts';
import { renderCosts, renderScenario, renderScenarioSweep } from '../src/report/scenario.ts';
import { PLAIN } from '../src/report/table.ts';
import { SCENARIOS } from '../src/scenario/catalogue.ts';
import type { Host } from '../src/scenario/host.ts';
import { loadScenario } from '../src/scenario/load.ts';
import { allowedText, type Parameter, readParameters } from '../src/scenario/parameters.ts';
import { runScenario, runScenarioSweep } from '../src/scenario/runScenario.ts';
import { defineScenario, type Scenario } from '../src/scenario/scenario.ts';
import { SCENARIO_PLATFORMS, type ScenarioSetup } from '../src/scenario/setup.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-scenario-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file of these tests. */
function file(name: string, content: string): string {
  const at = path.join(folder, name);
  writeFileSync(at, content);
  return at;
}

/** The error that something ends with. */
async function failure(work: Promise<unknown>): Promise<NestwalkError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(NestwalkError);
  return error as NestwalkError;
}

/** A scenario without parameters. */
const scenario = (run: (host: Host) => void | Promise<void>, setup: Partial<ScenarioSetup> = {}): Scenario =>
  defineScenario({
    name: 'own',
    title: 'for a test',
    operation: 'step',
    parameters: {},
    setup: () => ({ memoryBytes: 2 ** 20, ...setup }),
    run,
  }) as Scenario;

/** Runs a driver on some platforms, in this thread. */
const drive = (
  run: (host: Host) => void | Promise<void>,
  setup: Partial<ScenarioSetup> = {},
  platforms: readonly string[] = ['native', 'nested', 'shadow'],
) => runScenario({ scenario: scenario(run, setup), platforms }, { workers: 0 });

describe('parameters', () => {
  const parameters = {
    pages: { kind: 'count', about: '', unit: 'pages', default: 3, min: 1, max: 1000 },
    memory: { kind: 'bytes', about: '', default: 4096, max: 2 ** 30 },
    share: { kind: 'number', about: '', default: 0.5 },
    kpti: { kind: 'flag', about: '', default: false },
    access: { kind: 'choice', about: '', default: 'read', choices: ['read', 'write'] },
  } as const satisfies Record<string, Parameter>;
  const read = (given: Record<string, unknown>) => readParameters('own', parameters, given);

  it('take what people write, and defaults for the rest', () => {
    expect(read({})).toEqual({ pages: 3, memory: 4096, share: 0.5, kpti: false, access: 'read' });
    expect(read({ pages: '1e2', memory: '64KiB', share: '0.25', kpti: 'on', access: 'write' })).toEqual({
      pages: 100,
      memory: 65_536,
      share: 0.25,
      kpti: true,
      access: 'write',
    });
    expect(read({ pages: 7, kpti: true, share: undefined })).toMatchObject({
      pages: 7,
      kpti: true,
      share: 0.5,
    });
  });

  it('tell everything that is wrong at once, with what is allowed', () => {
    const problems = (given: Record<string, unknown>) => {
      try {
        read(given);
      } catch (error) {
        expect((error as NestwalkError).code).toBe('config.invalid');
        return (error as NestwalkError).problems.map(({ path: at, message }) => `${at}: ${message}`);
      }
      throw new Error('nothing was wrong');
    };
    expect(
      problems({
        pages: 0,
        memory: '5000',
        share: 'much',
        kpti: 'perhaps',
        access: 'wriet',
        pagse: 1,
        pages2: '-',
      }),
    ).toEqual([
      'pages: 0 is out of range: it must be a count of pages from 1 to 1,000',
      'memory: "5000" is no multiple of 4096: it must be bytes from 4,096 to 1,073,741,824, a multiple of 4,096',
      'share: "much" is not a number: it must be a number from 0 to 1',
      'kpti: "perhaps" is neither on nor off: it must be on or off',
      'access: "wriet" is not known; did you mean "write"?: it must be one of read, write',
      'pagse: own has no such parameter; did you mean "pages"?',
      'pages2: own has no such parameter; did you mean "pages"?',
    ]);
    expect(problems({ pages: '4KiB' })[0]).toMatch(
      /^pages: "4KiB" cannot be read: it must be a count of pages/,
    );
  });

  it('of every scenario have a default within their limits', () => {
    for (const { name, parameters: own } of SCENARIOS)
      for (const [key, parameter] of Object.entries(own)) {
        expect(readParameters(name, own, { [key]: parameter.default })[key], `${name} ${key}`).toBe(
          parameter.default,
        );
        expect(allowedText(parameter).length).toBeGreaterThan(5);
      }
  });
});

describe('a host', () => {
  it('counts from measure() on', async () => {
    const result = await drive((host) => {
      const process = host.guest.kernel.createProcess({ regions: [{ pages: 30 }] });
      host.guest.kernel.switchTo(0, process);
      const { page } = process.regions[0]!;
      host.guest.touch(process, { page, pages: 20 }, { access: 'write' });
      host.operations(5);
      host.measure();
      host.guest.touch(process, { page, pages: 30 }, { access: 'write' });
      host.operations();
    });
    for (const { counters, ledger, operations } of result.platforms) {
      expect(operations).toBe(1);
      expect(counters.accesses).toBe(30);
      expect(ledger.events.guestFaults).toBe(10);
    }
  });

  it('touches pages at a step, in lists, and on the processor named', async () => {
    const result = await drive(
      (host) => {
        const { guest } = host;
        const process = guest.kernel.createProcess({ regions: [{ pages: 12 }] });
        guest.kernel.switchTo(0, process);
        guest.kernel.switchTo(1, process);
        guest.kernel.onVcpu(0);
        const { page } = process.regions[0]!;
        guest.touch(process, { page, pages: 12 }, { step: 5 });
        expect(process.residentPages).toBe(3);
        guest.touchPages(process, [page + 1, page + 1, page + 2], { access: 'write', vcpu: 1 });
        expect(process.residentPages).toBe(5);
      },
      { vcpus: 2 },
    );
    for (const { counters } of result.platforms) {
      expect(counters.accesses).toBe(6);
      expect(counters.writes).toBe(3);
    }
  });

  it('draws the same numbers on every platform, and others with another seed', async () => {
    const draw = async (seed: number): Promise<number[][]> => {
      const drawn: number[][] = [];
      const own = scenario((host) => {
        drawn.push(Array.from({ length: 50 }, () => host.random(10)));
      });
      await runScenario({ scenario: own, platforms: ['native', 'shadow'], seed }, { workers: 0 });
      return drawn;
    };
    const [first, second] = await draw(1);
    expect(second).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(5);
    expect(first!.every((number) => number >= 0 && number < 10)).toBe(true);
    expect((await draw(2))[0]).not.toEqual(first);
  });

  it('notices when a driver leaves different memory on different platforms', async () => {
    const touches = (pages: number) => (host: Host) => {
      const process = host.guest.kernel.createProcess({ regions: [{ pages: 9 }] });
      host.guest.kernel.switchTo(0, process);
      const { page } = process.regions[0]!;
      host.guest.touch(process, { page, pages: host.platform === 'native' ? pages : 5 });
      host.checkpoint('touched');
    };
    const same = await drive(touches(5));
    expect(same.sameMemory).toBe(true);
    expect(same.platforms[0]!.checkpoints.map(({ label }) => label)).toEqual(['touched', 'end']);
    expect((await drive(touches(6))).sameMemory).toBe(false);
  });

  it('digests which pages share a frame, and rights', async () => {
    const memory = async (work: (host: Host) => void): Promise<string> =>
      (await drive(work, {}, ['native'])).platforms[0]!.checkpoints.at(-1)!.memory;
    const start = (host: Host) => {
      const { kernel } = host.guest;
      const parent = kernel.createProcess({ regions: [{ pages: 4 }] });
      kernel.switchTo(0, parent);
      host.guest.touch(parent, parent.regions[0]!, { access: 'write' });
      return { kernel, parent };
    };
    const forked = (host: Host) => {
      const { kernel, parent } = start(host);
      kernel.fork(parent);
      return { kernel, parent };
    };
    const shared = await memory(forked);
    expect(await memory(forked)).toBe(shared);
    expect(await memory(start)).not.toBe(shared);
    const broken = await memory((host) => {
      const { parent } = forked(host);
      host.guest.touch(parent, { page: parent.regions[0]!.page, pages: 1 }, { access: 'write' });
    });
    expect(broken).not.toBe(shared);
  });

  it('lets several guests share a core, whose kernels keep out of each other’s way', async () => {
    const result = await drive(
      (host) => {
        const started = host.guests.map((guest) => {
          guest.enter();
          const process = guest.kernel.createProcess({ regions: [{ pages: 4 }] });
          guest.kernel.switchTo(0, process);
          return { guest, process };
        });
        host.measure();
        for (let round = 0; round < 3; round++)
          for (const { guest, process } of started) {
            guest.enter();
            guest.kernel.switchTo(0, process);
            guest.touch(process, process.regions[0]!, { access: 'write' });
          }
      },
      { guests: 2 },
      ['native', 'nested', 'shadow', 'shadow-unsync', 'paravirt'],
    );
    expect(result.sameMemory).toBe(true);
    for (const { counters, ledger } of result.platforms) {
      expect(counters.accesses).toBe(24);
      // Each guest touches its pages for the first time once.
      expect(ledger.events.guestFaults).toBe(8);
    }
  });

  it('refuses the work of a guest that is not on its core', async () => {
    const error = await failure(
      drive(
        ({ guests: [first, second] }) => {
          first!.enter();
          const ours = first!.kernel.createProcess({ regions: [{ pages: 1 }] });
          first!.kernel.switchTo(0, ours);
          first!.touch(ours, ours.regions[0]!);
          const theirs = second!.kernel.createProcess({ regions: [{ pages: 1 }] });
          second!.kernel.switchTo(0, theirs);
          first!.touch(ours, ours.regions[0]!);
        },
        { guests: 2 },
        ['nested'],
      ),
    );
    expect(error.code).toBe('usage');
    expect(error.message).toContain('call guest.enter() before');
  });

  it('refuses accesses of a process that is loaded nowhere', async () => {
    const error = await failure(
      drive(({ guest }) => {
        const process = guest.kernel.createProcess({ name: 'lazy', regions: [{ pages: 1 }] });
        guest.touch(process, process.regions[0]!);
      }),
    );
    expect(error.code).toBe('usage');
    expect(error.message).toMatch(/lazy.*kernel\.switchTo\(0, process\)/);
  });
});

describe('errors', () => {
  it('name what is unknown, and what there is', async () => {
    const message = async (request: Parameters<typeof runScenario>[0]): Promise<string> =>
      (await failure(runScenario(request, { workers: 0 }))).message;
    expect(await message({ name: 'forkwiat' })).toBe('forkwiat is no scenario; did you mean "forkwait"?');
    expect(await message({ name: 'dance' })).toMatch(/^dance is no scenario; there are ptemod, page-fault, /);
    expect(await message({ name: 'ptemod', platforms: ['nested', 'ept'] })).toBe(
      `ept is no platform; there are ${SCENARIO_PLATFORMS.join(', ')}`,
    );
    expect(await message({ name: 'ptemod', platforms: [] })).toMatch(
      /^no platform is named; there are native, /,
    );
    expect(await message({ name: 'ptemod', costs: 'zen33' })).toBe(
      'zen33 is no cost preset; did you mean "zen3"?',
    );
    expect(await message({ name: 'ptemod', batch: 0 })).toMatch(
      /^a batch of 0 is none: give a whole number from 1/,
    );
    expect(await message({ name: 'ptemod', machine: 'skylake' })).toMatch(/skylake/);
    expect(await message({ name: 'ptemod', hostPage: '3KiB' as never })).toMatch(/not a page size/);
    expect(await message({ name: 'ptemod', parameters: { writs: 3 } })).toMatch(/did you mean "writes"/);
  });

  it('of memory that runs out name scenario, platform and memory', async () => {
    const error = await failure(
      runScenario(
        { name: 'page-fault', parameters: { pages: 100, memory: '64KiB' }, platforms: ['shadow'] },
        { workers: 0 },
      ),
    );
    expect(error.code).toBe('memory.full');
    expect(error.message).toMatch(/^Scenario page-fault on platform shadow: guest memory has 16 frames/);
  });

  it('of a driver name scenario and platform, and keep the reason', async () => {
    const thrown = await failure(
      drive(() => {
        throw new TypeError('no such thing');
      }),
    );
    expect(thrown.code).toBe('scenario.failed');
    expect(thrown.message).toBe('Scenario own on platform native threw: no such thing');
    const stray = await failure(
      drive(({ guest }) => {
        const process = guest.kernel.createProcess({ regions: [{ pages: 1 }] });
        guest.kernel.switchTo(0, process);
        guest.touchPages(process, [process.regions[0]!.page + 7]);
      }),
    );
    expect(stray.code).toBe('process.segfault');
  });

  it('of a sweep: no values, too many combinations', async () => {
    const sweep = (vary: Record<string, unknown[]>) =>
      failure(runScenarioSweep({ name: 'ptemod', parameters: {} }, vary, { workers: 0 }));
    expect((await sweep({ writes: [] })).message).toBe('writes is varied and has no values');
    const many = Array.from({ length: 1001 }, (_, index) => index + 1);
    expect((await sweep({ writes: many })).message).toMatch(/^1001 combinations are more than 1000/);
    expect((await sweep({ wirtes: [1] })).message).toMatch(/did you mean "writes"/);
  });

  it('interruption ends it with run.cancelled, in workers too', async () => {
    for (const workers of [0, 2]) {
      const controller = new AbortController();
      const parameters = { pages: 2e6 };
      const options = { workers, signal: controller.signal, onProgress: () => controller.abort() };
      const begun = performance.now();
      const error = await failure(runScenario({ name: 'page-fault', parameters }, options));
      expect(error.code, `${workers}`).toBe('run.cancelled');
      expect(performance.now() - begun).toBeLessThan(20_000);
    }
  });
});

describe('workers', () => {
  it('change nothing but provenance, and tell progress', async () => {
    const request = { name: 'forkwait', parameters: { forks: 40 }, platforms: ['native', 'shadow'] };
    const told: number[] = [];
    const plain = async (workers: number) => {
      const result = await runScenario(request, {
        workers,
        onProgress: ({ done, total }) => {
          expect(total).toBe(2);
          told.push(done);
        },
      });
      return { ...result, platforms: result.platforms.map(({ provenance: _, ...rest }) => rest) };
    };
    const here = await plain(0);
    expect(told.at(-1)).toBe(2);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(await plain(2)).toEqual(here);
  });

  it('load a scenario of a user’s file', async () => {
    const name = path.join(ROOT, 'examples/myScenario.mjs');
    const parameters = { objects: '256KiB', snapshots: 2, requests: 500 };
    const result = await runScenario({ name, parameters }, { workers: 2 });
    expect(result.name).toBe('snapshot');
    expect(result.sameMemory).toBe(true);
    for (const { operations, counters } of result.platforms) {
      expect(operations).toBe(2);
      expect(counters.accesses).toBe(2 * (500 + 64));
    }
  });

  it('tell what went wrong in a user’s file', async () => {
    const name = file(
      'throws.mjs',
      `export default { name: 'throws', title: '', operation: 'step', parameters: {},
        setup: () => ({ memoryBytes: 1e6 }), run() { undefined.nothing; } };`,
    );
    const error = await failure(runScenario({ name, platforms: ['native', 'nested'] }, { workers: 2 }));
    expect(error.code).toBe('scenario.failed');
    expect(error.message).toMatch(/^Scenario throws on platform (native|nested) threw: /);
  });
});

describe('files', () => {
  const refusal = async (content: string): Promise<string> => {
    const name = file(`bad${Math.random()}.mjs`, content);
    const error = await failure(loadScenario(name));
    expect(error.code).toBe('scenario.file');
    return error.message.replace(name, 'FILE');
  };

  it('that are no scenario say what is missing', async () => {
    expect((await failure(loadScenario('./none.mjs'))).message).toMatch(/^\.\/none\.mjs does not exist/);
    expect(await refusal('export const scenario = {};')).toMatch(/^FILE has no default export/);
    expect(await refusal('export default 3;')).toMatch(/it is not an object/);
    expect(await refusal('export default {')).toMatch(/^FILE cannot be loaded: /);
    const whole = 'title: "", operation: "", parameters: {}, setup: () => ({ memoryBytes: 1 }), run() {}';
    expect(await refusal(`export default { name: 'two words', ${whole} };`)).toMatch(/`name` must be/);
    expect(await refusal(`export default { name: 'x', ${whole.replace('run() {}', '')} };`)).toMatch(
      /`run` must be a function/,
    );
    expect(
      await refusal(
        `export default { name: 'x', ${whole.replace('{}', '{ n: { kind: "integer", about: "", default: 1 } }')} };`,
      ),
    ).toMatch(/parameter `n` must have a `kind`: one of count, bytes/);
    expect(
      await refusal(
        `export default { name: 'x', ${whole.replace('{}', '{ seed: { kind: "flag", about: "", default: true } }')} };`,
      ),
    ).toMatch(/parameter `seed` cannot be called so/);
  });

  it('of the documentation run', async () => {
    const page = readFileSync(path.join(ROOT, 'docs/scenarios.md'), 'utf8');
    const [, example] = /```js\n([\s\S]*?)```/.exec(page)!;
    const name = file('fromTheDocs.mjs', example!);
    const result = await runScenario({ name, parameters: { pages: 70 } }, { workers: 0 });
    for (const { counters, ledger, operations } of result.platforms) {
      expect(counters.writes).toBe(70);
      expect(ledger.events.guestFaults).toBe(70);
      expect(operations).toBe(70);
    }
  });
});

describe('the documentation', () => {
  const page = readFileSync(path.join(ROOT, 'docs/scenarios.md'), 'utf8');
  const prose = page.replace(/```[\s\S]*?```/g, '');
  const named = new Set([...prose.matchAll(/`([^`]+)`/g)].map(([, code]) => code));

  it.each([
    ['scenario', SCENARIOS.map(({ name }) => name)],
    ['platform', SCENARIO_PLATFORMS],
    ['cost preset', Object.keys(COST_PRESETS)],
    ['kind of parameter', ['count', 'bytes', 'number', 'flag', 'choice']],
  ])('names every %s', (_, names) => {
    expect(names.filter((name) => !named.has(name))).toEqual([]);
  });
});

describe('the table', () => {
  const lines = (text: string): string[] => text.split('\n');

  it('has a column for each platform, the split, exits, memory, and what nobody has verified', async () => {
    const result = await runScenario({ name: 'mmap-munmap', parameters: { rounds: 5 } }, { workers: 0 });
    const text = renderScenario(result, PLAIN);
    const row = (name: string): string[] =>
      lines(text)
        .find((line) => line.trim().startsWith(name))!
        .trim()
        .slice(name.length)
        .trim()
        .split(/\s+/);
    expect(text).toMatch(/native +nested +shadow +shadow-unsync +paravirt/);
    const totals = result.platforms.map(({ cycles, operations }) => Math.round(cycles.total / operations));
    expect(row('total').map((cell) => Number(cell.replaceAll(',', '')))).toEqual(totals);
    expect(row('against native')[0]).toBe('1.00×');
    expect(row('INVLPG exits')).toContain('·');
    expect(row('all').map(Number)[0]).toBe(0);
    expect(text).toContain('Every platform left the guests’ programs the same memory (1 checkpoint).');
    expect(text).toMatch(/Not verified: .*emulateWrite.*nestwalk list costs skylake/);
    // What was read somewhere is no footnote.
    expect(/Not verified: (.*?);/.exec(text)![1]!.split(', ')).not.toContain('cr3Write');
    expect(text).toContain('published: INVLPG exits appear under shadow paging alone');
    expect(text).not.toMatch(/ +\n/);
  });

  it('says so when platforms differ', async () => {
    const result = await drive((host) => {
      host.checkpoint(host.platform);
    });
    expect(renderScenario(result, PLAIN)).toContain('DIFFERENT memory');
  });

  it('of a sweep has a row for each combination, and shadow in per cent of nested', async () => {
    const sweep = await runScenarioSweep(
      { name: 'page-fault', platforms: ['nested', 'shadow'] },
      { pages: [10, 20], access: ['read', 'write'] },
      { workers: 0 },
    );
    expect(sweep.results.map(({ parameters }) => [parameters.pages, parameters.access])).toEqual([
      [10, 'read'],
      [10, 'write'],
      [20, 'read'],
      [20, 'write'],
    ]);
    const text = renderScenarioSweep(sweep, PLAIN);
    const [nested, shadow] = sweep.results[2]!.platforms.map(({ cycles }) => cycles.total / 20);
    const percent = ((100 * shadow!) / nested!).toFixed(1);
    expect(lines(text).find((line) => /^20 +read/.test(line))).toContain(
      `${Math.round(shadow!).toLocaleString('en-GB')}`,
    );
    expect(lines(text).find((line) => /^20 +\d/.test(line))).toContain(
      `${Number(percent).toLocaleString('en-GB', { minimumFractionDigits: 1 })} %`,
    );
  });

  it('of costs shows every figure with mark and source, and what follows', () => {
    const text = renderCosts(COST_PRESETS['pentium4-2005']!, PLAIN);
    expect(text).toMatch(/faultDelivery +1,093 +S /);
    expect(text).toMatch(/vmExit +3,963 +M /);
    expect(text).toMatch(/tableWriteExits +vmExit \+ exitDispatch \+ emulateWrite/);
    expect(text).toMatch(/ptemod .* 1 +12,733/);
    expect(text).toMatch(/pgfault .* 1,093 +11,242/);
  });
});
