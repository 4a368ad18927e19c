/** Where a report comes from: the folder of a sweep, or a result in JSON, recognised by its shape. */
import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { NestwalkError } from '../../errors.ts';
import type { Result } from '../../results/types.ts';
import type { Comparison } from '../../run/compare.ts';
import { reasonOf } from '../../sweep/journal.ts';
import { compareReport, type ReportData, runReport, sweepReport } from './data.ts';
import { type ReproductionShape, reproduceReport } from './reproduce.ts';
import {
  type ScenarioShape,
  type ScenarioSweepShape,
  scenarioReport,
  scenarioSweepReport,
} from './scenario.ts';

const numbers = z.record(z.string(), z.number());
const byDimension = z.looseObject({ guest: z.number(), nested: z.number(), total: z.number() });

const ResultShape = z.looseObject({
  config: z.looseObject({
    machine: z.looseObject({ l1d: z.array(z.unknown()), stlb: z.array(z.unknown()) }),
    paging: z.looseObject({ mode: z.string(), guestPage: z.string(), nestedPage: z.string() }),
    regions: z.array(z.looseObject({ bytes: z.number() })),
    workload: z.looseObject({}),
  }),
  counters: z.looseObject({
    accesses: z.number(),
    stlbMisses: z.number(),
    walks: z.number(),
    refs: z.record(z.string(), numbers),
  }),
  ledger: z.looseObject({ events: numbers }),
  metrics: z.looseObject({
    missRatio: numbers,
    refsPerWalk: byDimension,
    walkCyclesPerAccess: byDimension,
    stlbHitCycles: z.number(),
  }),
  provenance: z.looseObject({
    version: z.string(),
    schema: z.string(),
    seconds: z.number(),
    prepareSeconds: z.number(),
    workers: z.number(),
    accessesPerSecond: z.number(),
    hashes: z.record(z.string(), z.string()),
  }),
});

const ComparisonShape = z.looseObject({
  baseline: z.looseObject({ guestPage: z.string(), nestedPage: z.string() }),
  cells: z
    .array(
      z.looseObject({
        mode: z.string(),
        guestPage: z.string(),
        perCent: z.record(z.string(), z.number().nullable()),
        result: ResultShape,
      }),
    )
    .min(1),
});

const ScenarioSchema = z.looseObject({
  name: z.string(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  platforms: z
    .array(
      z.looseObject({
        platform: z.string(),
        counters: z.looseObject({ accesses: z.number(), stlbMisses: z.number() }),
        ledger: z.looseObject({ events: numbers }),
        cycles: z.looseObject({ total: z.number() }),
        exits: numbers,
        tableBytes: numbers,
      }),
    )
    .min(1),
});

const ScenarioSweepSchema = z.looseObject({
  name: z.string(),
  vary: z.record(z.string(), z.array(z.union([z.string(), z.number(), z.boolean()]))),
  results: z.array(ScenarioSchema).min(1),
});

const ReproductionSchema = z.looseObject({
  claims: z.array(z.looseObject({ id: z.string(), title: z.string(), verdict: z.string() })).min(1),
});

/** A kind of result: how it is told from others, what it must have, and its report. */
interface Kind {
  name: string;
  fits: (value: Record<string, unknown>) => boolean;
  shape: z.ZodType;
  report: (value: never) => ReportData;
}

const KINDS: readonly Kind[] = [
  {
    name: 'scenario with --vary',
    fits: ({ kind, vary, results }) =>
      kind === 'scenario-sweep' || (typeof vary === 'object' && Array.isArray(results)),
    shape: ScenarioSweepSchema,
    report: (value: ScenarioSweepShape) => scenarioSweepReport(value),
  },
  {
    name: 'scenario',
    fits: ({ kind, platforms }) => kind === 'scenario' || Array.isArray(platforms),
    shape: ScenarioSchema,
    report: (value: ScenarioShape) => scenarioReport(value),
  },
  {
    name: 'reproduce',
    fits: ({ kind, claims }) => kind === 'reproduce' || Array.isArray(claims),
    shape: ReproductionSchema,
    report: (value: ReproductionShape) => reproduceReport(value),
  },
  {
    name: 'compare',
    fits: ({ baseline, cells }) => Array.isArray(cells) && typeof baseline === 'object',
    shape: ComparisonShape,
    report: (value: Comparison) => compareReport(value),
  },
  {
    name: 'run',
    fits: ({ config, counters }) => typeof config === 'object' && typeof counters === 'object',
    shape: ResultShape,
    report: (value: Result) => runReport(value),
  },
];

const refuse = (message: string, cause?: unknown): NestwalkError =>
  new NestwalkError('report.input', message, cause === undefined ? {} : { cause });

/**
 * The report of a result in JSON.
 * @param text what `run`, `compare`, `scenario` or `reproduce` printed with `--json`
 * @param name of the file, for errors
 * @throws {NestwalkError} `report.input`
 */
export function jsonReport(text: string, name: string): ReportData {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const what = text.trim() === '' ? 'is empty' : `is no JSON: ${(cause as Error).message}`;
    throw refuse(`${name} ${what}.`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse(
      `${name} holds ${Array.isArray(value) ? 'a list' : `a ${typeof value}`}, and a result is an object.`,
    );
  const kind = KINDS.find(({ fits }) => fits(value as Record<string, unknown>));
  if (!kind) {
    const hint =
      'axes' in value && 'passes' in value
        ? ' It is the plan of a sweep: give the folder that it is in.'
        : '';
    throw refuse(`${name} is JSON, but no result of run, compare, scenario or reproduce.${hint}`);
  }
  const { success, error } = kind.shape.safeParse(value);
  if (!success) {
    const [issue] = error.issues;
    throw refuse(
      `${name} looks like a result of ${kind.name}, but ${issue.path.join('.') || 'it'} is not as it should be: ${issue.message}.`,
    );
  }
  return kind.report(value as never);
}

/** Text of standard input. */
async function readInput(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

/** Name that stands for standard input. */
export const STDIN = '-';

/**
 * The report of what stands behind a path: the folder of a sweep, a file of JSON, or `-` for JSON on standard input.
 * @throws {NestwalkError} `report.input`; for a folder as `readSweep`
 */
export async function readReport(source: string): Promise<ReportData> {
  if (source === STDIN) return jsonReport(await readInput(), 'standard input');
  let isFolder: boolean;
  try {
    isFolder = statSync(source).isDirectory();
  } catch (cause) {
    throw refuse(`${source} cannot be read: ${reasonOf(cause)}.`, cause);
  }
  if (isFolder) return sweepReport(source);
  let text: string;
  try {
    text = readFileSync(source, 'utf8');
  } catch (cause) {
    throw refuse(`${source} cannot be read: ${reasonOf(cause)}.`, cause);
  }
  return jsonReport(text, source);
}
