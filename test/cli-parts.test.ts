import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CommanderError } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { describeFailure, exitCodeOf } from '../src/cli/failure.ts';
import { readAddress, readConfig, walkDefaults } from '../src/cli/input.ts';
import { passProgress, progressBar, progressLine } from '../src/cli/streams.ts';
import { NestwalkError } from '../src/errors.ts';
import type { RunProgress } from '../src/results/types.ts';
import type { PageSize } from '../src/schema.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const at = path.join(folder, name);
  writeFileSync(at, text);
  return at;
}

const problemsOf = (work: () => unknown): readonly { path: string; line?: number }[] => {
  try {
    work();
  } catch (error) {
    return (error as NestwalkError).problems;
  }
  return [];
};

describe('exit codes', () => {
  it('tell wrong use, failure and interruption apart', () => {
    expect(exitCodeOf(new NestwalkError('usage', 'x'))).toBe(2);
    expect(exitCodeOf(new NestwalkError('config.invalid', 'x'))).toBe(2);
    expect(exitCodeOf(new NestwalkError('config.file', 'x'))).toBe(2);
    expect(exitCodeOf(new NestwalkError('trace.corrupt', 'x'))).toBe(1);
    expect(exitCodeOf(new NestwalkError('engine.missing', 'x'))).toBe(1);
    expect(exitCodeOf(new NestwalkError('run.cancelled', 'x'))).toBe(130);
    expect(exitCodeOf(new CommanderError(1, 'commander.unknownOption', 'x'))).toBe(2);
    expect(exitCodeOf(new CommanderError(0, 'commander.helpDisplayed', 'x'))).toBe(0);
    expect(exitCodeOf(new TypeError('x'))).toBe(1);
  });
});

describe('what a failure says', () => {
  it('is the message and how to mend it, without a stack trace', () => {
    const text = describeFailure(new NestwalkError('trace.file', 'cannot read a.nwt'), {});
    expect(text.split('\n')).toEqual([
      'nestwalk: cannot read a.nwt',
      '  (trace.file: check the path and the permissions)',
    ]);
  });

  it('lists the problems of a configuration with their places', () => {
    const problems = [
      { path: 'seed', message: 'is missing' },
      { path: 'foo', message: 'is unknown', file: 'a.yaml', line: 3, column: 1 },
    ];
    expect(describeFailure(new NestwalkError('config.invalid', 'x', { problems }), {}).split('\n')).toEqual([
      'nestwalk: 2 errors in the configuration; nothing was run',
      '  seed: is missing',
      '  a.yaml:3:1: foo: is unknown',
    ]);
  });

  it('shows stack and causes only when debugging', () => {
    const error = new NestwalkError('engine.failed', 'x', { cause: new Error('deep down') });
    expect(describeFailure(error, {})).not.toMatch(/\n\s+at |deep down/);
    expect(describeFailure(error, { NESTWALK_DEBUG: '1' })).toMatch(/\n\s+at .*deep down/s);
  });

  it('asks to report what should not happen', () => {
    expect(describeFailure(new TypeError('no such thing'), {})).toMatch(/no such thing.*report/s);
    expect(describeFailure(new TypeError('no such thing'), {})).not.toMatch(/\n\s+at /);
  });
});

describe('progress', () => {
  const half: RunProgress = { done: 50, total: 100, accessesPerSecond: 2e6, secondsLeft: 65 };

  it('tells share, rate and time left', () => {
    expect(progressLine(half, '1 of 6: ')).toBe('1 of 6: 50 %, 2.0 M/s, 1 min 5 s left');
    const open = { done: 5000, total: undefined, accessesPerSecond: 10 };
    expect(progressLine(open, '')).toBe('5,000 accesses, 10 /s');
  });

  it('draws a bar that never wraps', () => {
    expect(progressBar(half, '', 80)).toBe('[############............] 50 %, 2.0 M/s, 1 min 5 s left');
    for (const columns of [1, 10, 30, 50])
      expect(progressBar(half, '', columns).length).toBeLessThan(columns);
  });

  it('derives total and time left of a pass from the part of the file read', () => {
    const seen: RunProgress[] = [];
    const watch = passProgress({ update: (progress) => seen.push(progress), end: () => {} }, '');
    watch({ accesses: 100, fraction: 0.25 });
    watch({ accesses: 100, fraction: 0 });
    expect(seen[0]).toMatchObject({ done: 100, total: 400 });
    expect(seen[1].total).toBeUndefined();
    expect(seen[1].secondsLeft).toBeUndefined();
  });
});

describe('flags and files', () => {
  const yaml =
    'workload: uniform\nfootprint: 1GiB\naccesses: 10\nseed: 7\npaging: {mode: native, guestPage: 2MiB}\n';

  it('override field by field', () => {
    const at = file('good.yaml', yaml);
    const { config } = readConfig(at, {
      accesses: 20,
      nestedPage: '1GiB',
      mode: 'nested',
      footprint: 2 ** 21,
    });
    expect(config.accesses).toBe(20);
    expect(config.seed).toBe(7);
    expect(config.paging).toMatchObject({ mode: 'nested', guestPage: '2MiB', nestedPage: '1GiB' });
    expect(config.regions.map(({ bytes }) => bytes)).toEqual([2 ** 21]);
  });

  it('keep the places of the file, but not for what a flag gave', () => {
    const at = file('bad.yaml', `${yaml}foo: 1\n`);
    const problems = problemsOf(() => readConfig(at, { machine: 'nothing' }));
    expect(problems.map(({ path: field, line }) => [field, line])).toEqual(
      expect.arrayContaining([
        ['foo', 6],
        ['machine', undefined],
      ]),
    );
  });

  it('choose seed 1 and say so', () => {
    const { config, notes } = readConfig(undefined, { workload: 'uniform', footprint: 2 ** 20, accesses: 1 });
    expect(config.seed).toBe(1);
    expect(notes.join()).toMatch(/seed: 1/);
  });

  it('refuse two workloads, a footprint beside a trace, and none', () => {
    expect(() => readConfig(undefined, { workload: 'gups', trace: 'a.nwt' })).toThrow(/give one/);
    expect(() => readConfig(undefined, { footprint: 1, trace: 'a.nwt' })).toThrow(/--footprint/);
    expect(() => readConfig(undefined, {})).toThrow(/nothing says what to run/);
  });

  it('map memory around the address of a walk', () => {
    const address = 5 * 2 ** 30 + 4096;
    const { config } = readConfig(undefined, {}, walkDefaults(address));
    const [region] = config.regions;
    expect(region.base).toBeLessThanOrEqual(address);
    expect(region.base + region.bytes).toBeGreaterThan(address);
    expect(config.machine).toMatchObject({ l1d: [], stlb: [], psc: null, ntlb: null, pwc: null });
  });

  it('lay a footprint around the address of a walk', () => {
    const around = (address: number, footprint: number, guestPage?: PageSize) => {
      const { config } = readConfig(undefined, {}, walkDefaults(address, { footprint, guestPage }));
      const [{ base, bytes }] = config.regions;
      return { base, holds: base <= address && address < base + bytes, bytes };
    };
    expect(around(5 * 2 ** 30 + 4096, 2 ** 20)).toEqual({ base: 5 * 2 ** 30, holds: true, bytes: 2 ** 20 });
    expect(around(0x7f5a_1234_5678, 2 ** 20)).toMatchObject({ base: 0x7f5a_1234_5000, holds: true });
    expect(around(0x7f5a_1234_5678, 2 ** 22)).toMatchObject({ base: 0x7f5a_1220_0000, holds: true });
    expect(around(0x7f5a_1234_5678, 2 ** 22, '2MiB')).toMatchObject({ base: 0x7f5a_1220_0000, holds: true });
  });

  it('say of an address what is allowed, and what was probably meant', () => {
    expect(readAddress('0x7f5a12345678')).toBe(0x7f5a_1234_5678);
    expect(readAddress('4096')).toBe(4096);
    expect(readAddress('1GiB')).toBe(2 ** 30);
    expect(readAddress('1e9')).toBe(1e9);
    expect(() => readAddress('7f5a1234')).toThrow(/write 0x7f5a1234$/);
    expect(() => readAddress('here')).toThrow(/write an address as/);
    // A kernel address of Linux: bits 63 to 48 repeat bit 47.
    expect(() => readAddress('0xffff888000001234')).toThrow(/48 bits .* so write 0x888000001234$/);
    expect(() => readAddress('0x1234000000000000')).toThrow(/more than the 48 bits/);
    expect(() => walkDefaults(2 ** 48)).toThrow(
      /below 0x1000000000000, or a configuration with guestLevels: 5/,
    );
  });
});
