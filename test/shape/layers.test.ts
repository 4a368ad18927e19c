/** The layers of `src/`: imports point down only, and every file is reached from an entry. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { describe, expect, it } from 'vitest';
import config, { LAYERS } from '../../.dependency-cruiser.mjs';
import { ROOT, text, textFiles } from './files.ts';

/** All modules of `src/` below a folder, judged by the rules of `.dependency-cruiser.mjs`. */
async function cruised(baseDir: string): Promise<ICruiseResult> {
  const { tsConfig: _, ...options } = config.options;
  const rules = { ...options, baseDir, validate: true, ruleSet: { forbidden: config.forbidden } };
  const { output } = await cruise(['src'], rules as Parameters<typeof cruise>[1]);
  return output as ICruiseResult;
}

/** `rule: from → to` of each violation. */
const violations = (result: ICruiseResult): string[] =>
  result.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);

const project = await cruised(ROOT);
const own = project.modules.filter(({ source }) => source.startsWith('src/'));

describe('the layers', () => {
  it('are kept by every file', () => {
    expect(own.length).toBeGreaterThan(20);
    expect(violations(project)).toEqual([]);
  });

  it('would catch an import that points up, a stray import of the hardware, a worker below run, and a circle', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'nestwalk-layers-'));
    const files: Record<string, string> = {
      'schema.ts': 'export const one = 1;',
      'errors.ts': 'export class Oops extends Error {}',
      'hardware/core.ts': "import { Oops } from '../errors.ts'; export const core = Oops;",
      'memory/frames.ts': "import type { Run } from '../run/run.ts'; export type Frames = Run;",
      'run/run.ts': 'export type Run = number;',
      'kernel/threads.ts': "import { Worker } from 'node:worker_threads'; export const worker = Worker;",
      'report/a.ts': "import { b } from './b.ts'; export const a = () => b;",
      'report/b.ts': "import { a } from './a.ts'; export const b = () => a;",
    };
    try {
      for (const [name, source] of Object.entries(files)) {
        mkdirSync(path.dirname(path.join(folder, 'src', name)), { recursive: true });
        writeFileSync(path.join(folder, 'src', name), source);
      }
      expect(violations(await cruised(folder)).sort()).toEqual([
        'hardware-imports-only-schema: src/hardware/core.ts → src/errors.ts',
        'memory-import-nothing-above: src/memory/frames.ts → src/run/run.ts',
        'no-circle: src/report/a.ts → src/report/b.ts',
        'workers-only-from-run-up: src/kernel/threads.ts → worker_threads',
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('name each room once', () => {
    const rooms = LAYERS.flat();
    expect(new Set(rooms).size).toBe(rooms.length);
  });
});

describe('dead files', () => {
  /** What users and threads start from. */
  const ENTRIES = ['src/index.ts', 'src/cli/main.ts', 'src/run/worker.ts'];
  /** Scripts that pages carry: read as text, not imported. */
  const BROWSER = 'src/report/browser/';
  const imports = new Map(
    own.map(({ source, dependencies }) => [source, dependencies.map((to) => to.resolved)]),
  );

  it('there are none: an entry reaches every file of src', () => {
    expect(ENTRIES.filter((entry) => !imports.has(entry))).toEqual([]);
    const reached = new Set(ENTRIES);
    for (const file of reached) for (const next of imports.get(file) ?? []) reached.add(next);
    const unreached = own.map(({ source }) => source).filter((source) => !reached.has(source));
    expect(unreached.filter((source) => !source.startsWith(BROWSER))).toEqual([]);
  });

  it('there are none: every script of the browser is put into a page, or imported by one that is', () => {
    const scripts = own.map(({ source }) => source).filter((source) => source.startsWith(BROWSER));
    const imported = new Set(scripts.flatMap((source) => imports.get(source) ?? []));
    const pages = textFiles('src').filter((name) => name.endsWith('.ts'));
    const named = (source: string): boolean => {
      const name = `'${path.basename(source, '.js')}'`;
      return pages.some((page) => text(page).includes(name));
    };
    expect(scripts.length).toBeGreaterThan(0);
    expect(scripts.filter((source) => !imported.has(source) && !named(source))).toEqual([]);
  });
});
