/** Published claims: the rule that judges them, what may be gated, and going on after an interruption. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeProgram } from '../src/cli/program.ts';
import { renderReproduction, reproductionMarkdown } from '../src/report/reproduce.ts';
import { PLAIN } from '../src/report/table.ts';
import type { Claim, Finding, Gate, Mark } from '../src/reproduce/claim.ts';
import { CLAIMS } from '../src/reproduce/claims/index.ts';
import { claimsNamed, reproduce } from '../src/reproduce/reproduce.ts';
import { experimentName } from '../src/reproduce/results.ts';
import { gateText, judge, passes } from '../src/reproduce/verdict.ts';
import { ROOT } from './shape/files.ts';

const claimOf = (mark: Mark, finding: Finding): Claim => ({
  id: 'C00',
  title: 'a title',
  source: 'a paper',
  mark,
  paper: '1',
  trial: { experiments: () => ({}), read: () => finding, reason: 'because' },
});

const judged = (mark: Mark, finding: Finding) => judge(claimOf(mark, finding), finding, 0);
const reading = (ours: number, gate: Gate) => ({ name: 'it', ours, unit: '×', gate });

describe('a gate', () => {
  it('is a value, a band with both bounds in it, or nothing', () => {
    expect(passes(24, { equals: 24 })).toBe(true);
    expect(passes(24.0001, { equals: 24 })).toBe(false);
    expect([1.8, 3, 1.79, 3.01].map((ours) => passes(ours, { from: 1.8, to: 3 }))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(passes(100, { from: 5 })).toBe(true);
    expect(passes(1e9, 'shown')).toBeUndefined();
  });

  it('is not passed by what is no number', () => {
    for (const gate of [{ equals: 0 }, { from: 0, to: 1 }, { to: 1 }, { from: 0 }])
      expect(passes(Number.NaN, gate)).toBe(false);
  });

  it('reads as text', () => {
    expect(gateText({ from: 1.69 - 0.25, to: 2 })).toBe('1.44 to 2');
    expect(gateText({ from: 5 })).toBe('at least 5');
    expect(gateText({ to: 1.3 })).toBe('at most 1.3');
  });
});

describe('a verdict', () => {
  it('is that everything gated holds, or that something does not', () => {
    const [good, bad, shown] = [reading(2, { equals: 2 }), reading(3, { equals: 2 }), reading(9, 'shown')];
    expect(judged('S', { readings: [good, shown] }).verdict).toBe('reproduced');
    expect(judged('S', { readings: [good, bad] }).verdict).toBe('differs');
    expect(judged('S', { readings: [shown] }).verdict).toBe('shown');
    const says = (holds: boolean) => ({ readings: [good], statements: [{ says: 'a < b', holds }] });
    expect(judged('S', says(true)).verdict).toBe('reproduced');
    expect(judged('S', says(false)).verdict).toBe('differs');
    expect(judged('S', says(false)).ours).toContain('not so: a < b');
  });

  it('gives the reason where something differs, and not where nothing does', () => {
    expect(judged('S', { readings: [reading(3, { equals: 2 })] }).reason).toBe('because');
    expect(judged('S', { readings: [reading(2, { equals: 2 })] }).reason).toBeUndefined();
  });

  it('is never reached by what nobody verified', () => {
    const result = judged('M', {
      readings: [reading(3, { equals: 2 })],
      statements: [{ says: 'x', holds: false }],
    });
    expect(result.verdict).toBe('shown');
    expect(result.readings[0]).toMatchObject({ gate: 'shown' });
    expect(result.readings[0]).not.toHaveProperty('holds');
  });
});

describe('the claims', () => {
  it('have distinct numbers, a source and a published figure', () => {
    const ids = CLAIMS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, source, paper, title } of CLAIMS) {
      expect(source.length, id).toBeGreaterThan(10);
      expect(paper, id).not.toBe('');
      expect(title, id).not.toBe('');
    }
    for (let number = 1; number <= 38; number++) expect(ids).toContain(`C${`${number}`.padStart(2, '0')}`);
  });

  it('have experiments that are valid at both scales', () => {
    for (const { id, trial } of CLAIMS) {
      if (!('experiments' in trial)) continue;
      for (const scale of ['quick', 'full'] as const)
        for (const [name, experiment] of Object.entries(trial.experiments(scale)))
          expect(experimentName(experiment), `${id} ${name}`).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('name tests that exist where a test holds them', () => {
    for (const { id, trial } of CLAIMS) {
      if (!('heldByTest' in trial)) continue;
      const [file] = trial.heldByTest.match(/test\/[\w./]+/) ?? [''];
      expect(() => readdirOrRead(path.join(ROOT, file)), `${id}: ${file}`).not.toThrow();
    }
  });

  it('are found by number, in any case, and one that is none is told', () => {
    expect(claimsNamed(['c08']).map(({ id }) => id)).toEqual(['C08']);
    expect(claimsNamed([])).toHaveLength(CLAIMS.length);
    expect(() => claimsNamed(['C88'])).toThrow(/C88 is no claim; did you mean "C08"/);
  });
});

function readdirOrRead(file: string): unknown {
  return file.endsWith('.ts') ? readFileSync(file) : readdirSync(file);
}

describe('the command', () => {
  it('writes JSON or Markdown, not both', async () => {
    const program = makeProgram(new AbortController().signal);
    const reproduceCommand = program.commands.find((command) => command.name() === 'reproduce')!;
    reproduceCommand.configureOutput({ writeErr: () => {} });
    await expect(
      program.parseAsync(['node', 'nestwalk', 'reproduce', 'C13', '--quick', '--json', '--markdown']),
    ).rejects.toMatchObject({ code: 'commander.conflictingOption' });
  });
});

describe('reproducing', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'nestwalk-reproduce-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('finds the exact claims exact', async () => {
    const { claims } = await reproduce(['C01', 'C02', 'C03', 'C33', 'C35', 'C36', 'C37']);
    expect(claims.map(({ id, verdict }) => [id, verdict])).toEqual(
      ['C01', 'C02', 'C03', 'C33', 'C35', 'C36', 'C37'].map((id) => [id, 'reproduced']),
    );
    expect(claims[0].readings.map(({ ours }) => ours)).toEqual([
      24, 19, 19, 15, 14, 14, 11, 11, 8, 29, 29, 35, 15,
    ]);
  });

  it('goes on where it was interrupted, and ignores what is damaged', async () => {
    const kept = path.join(folder, 'kept');
    const stopper = new AbortController();
    const stopped = reproduce(['C36'], {
      folder: kept,
      signal: stopper.signal,
      onProgress: ({ done }) => {
        if (done === 1) stopper.abort();
      },
    });
    await expect(stopped).rejects.toMatchObject({ code: 'run.cancelled' });
    const [first] = readdirSync(kept);
    expect(readdirSync(kept)).toHaveLength(1);

    // What is kept is taken, not run again: a changed figure comes through.
    const file = path.join(kept, first);
    const text = readFileSync(file, 'utf8');
    const wrong = JSON.parse(text);
    wrong.outcome.value.ledger.events.nestedViolations += 1000;
    writeFileSync(file, JSON.stringify(wrong));
    const changed = await reproduce(['C36'], { folder: kept });
    expect(changed.claims[0].verdict).toBe('differs');
    expect(readdirSync(kept)).toHaveLength(2);

    for (const damaged of ['', text.slice(0, text.length / 2), '{}']) {
      writeFileSync(file, damaged);
      const again = await reproduce(['C36'], { folder: kept });
      expect(again.claims[0].verdict).toBe('reproduced');
      expect(readFileSync(file, 'utf8').length).toBeGreaterThan(100);
    }
  });

  it('does not take what another version kept', async () => {
    const kept = path.join(folder, 'other');
    await reproduce(['C36'], { folder: kept });
    for (const name of readdirSync(kept)) {
      const file = path.join(kept, name);
      const outcome = JSON.parse(readFileSync(file, 'utf8'));
      outcome.outcome.value.ledger.events.nestedViolations += 1000;
      writeFileSync(file, JSON.stringify({ ...outcome, version: '0.0.0' }));
    }
    expect((await reproduce(['C36'], { folder: kept })).claims[0].verdict).toBe('reproduced');
  });

  it('rejects with what its listener throws', async () => {
    const broken = reproduce(['C36'], {
      onProgress: () => {
        throw new Error('the caller has a bug');
      },
    });
    await expect(broken).rejects.toThrow('the caller has a bug');
  });

  it('reads as a table, as one claim whole, and as Markdown that no figure breaks', async () => {
    const two = await reproduce(['C01', 'C13']);
    expect(renderReproduction(two, PLAIN)).toMatch(
      /C01 .*reproduced\nC13 .*not modelled\n\n1 reproduced, 1 not modelled/,
    );
    const one = await reproduce(['C01']);
    expect(renderReproduction(one, PLAIN)).toMatch(/4K on 4K +24 +24 references +exactly 24 +holds/);
    expect(reproductionMarkdown(one)).toMatch(/^1 claim, quick scale: 1 reproduced\./);
    expect(reproductionMarkdown(two)).toMatch(/^2 claims, /);
    two.claims[0].title = 'a | b\nc';
    const rows = reproductionMarkdown(two)
      .split('\n')
      .filter((line) => line.startsWith('|'));
    expect(new Set(rows.map((row) => row.replaceAll('\\|', '').split('|').length))).toEqual(new Set([8]));
  });
});
