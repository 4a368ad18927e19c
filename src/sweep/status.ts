/** What is done of a sweep, what failed, what is left; and its results as files. */
import path from 'node:path';
import { NestwalkError } from '../errors.ts';
import {
  type QueryAnswer,
  queryStore,
  type StoreTable,
  toCsv,
  toJson,
  writeParquet,
  writeStore,
} from '../results/store.ts';
import { readPlan, writeWhole } from './folder.ts';
import { type Journal, type JournalPlace, readJournal } from './journal.ts';
import type { Plan } from './plan.ts';
import { statusOf, sweepTable } from './rows.ts';

/** How a sweep stands. Cells of one name count once each. */
export interface SweepStatus {
  sweep: string;
  cells: number;
  done: number;
  failed: { index: number; reason: string }[];
  invalid: { index: number; reason: string }[];
  missing: number;
  passes: number;
  /** Passes of which nothing is missing. */
  passesDone: number;
  /** Seconds that finished passes took, all workers together. */
  seconds: number;
  files: number;
  torn: number;
  damaged: JournalPlace[];
}

/** Plan and journal of a sweep's folder. */
export interface SweepData {
  plan: Plan;
  journal: Journal;
}

/** @throws {NestwalkError} `sweep.none`, `sweep.folder`, `sweep.plan`, `sweep.conflict` */
export const readSweep = (sweep: string): SweepData => ({
  plan: readPlan(sweep),
  journal: readJournal(sweep),
});

/** How a sweep stands. @throws {NestwalkError} `sweep.none`, `sweep.folder`, `sweep.plan`, `sweep.conflict` */
export function sweepStatus(sweep: string, { plan, journal }: SweepData = readSweep(sweep)): SweepStatus {
  const all = plan.cells.map((cell) => ({ index: cell.index, ...statusOf(cell, journal) }));
  const withReason = (wanted: string): { index: number; reason: string }[] =>
    all
      .filter(({ status }) => status === wanted)
      .map(({ index, reason }) => ({ index, reason: reason ?? '' }));
  const count = (wanted: string): number => all.filter(({ status }) => status === wanted).length;
  const { seconds, files, torn, damaged } = journal;
  return {
    sweep,
    cells: plan.cells.length,
    done: count('done'),
    failed: withReason('failed'),
    invalid: withReason('invalid'),
    missing: count('missing'),
    passes: plan.passes.length,
    passesDone: plan.passes.filter(({ cells }) => cells.every((index) => all[index].status !== 'missing'))
      .length,
    seconds,
    files,
    torn,
    damaged,
  };
}

/** File of the store in a sweep's folder. */
export const storeFile = (sweep: string): string => path.join(sweep, 'results.duckdb');

/**
 * Rebuilds the store of a sweep from its journal.
 * @throws {NestwalkError} `store.missing`, `store.failed`; as {@link readSweep}
 */
export async function collectSweep(sweep: string): Promise<SweepStatus> {
  const data = readSweep(sweep);
  await writeStore(storeFile(sweep), sweepTable(data.plan, data.journal));
  return sweepStatus(sweep, data);
}

/** Formats of an export. */
export const EXPORT_FORMATS = ['csv', 'parquet', 'json'] as const;
/** One of {@link EXPORT_FORMATS}. */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

const textOf = ({ columns, rows }: StoreTable, format: 'csv' | 'json'): string => {
  const names = columns.map(({ name }) => name);
  return format === 'csv' ? toCsv(names, rows) : toJson(names, rows);
};

/**
 * The results of a sweep as CSV or JSON text, or in a file.
 * @returns the text, or `undefined` when it went to `file`
 * @throws {NestwalkError} `usage` for Parquet without a file; `export.file`; `store.missing` and `store.failed` for Parquet; as {@link readSweep}
 */
export async function exportSweep(
  sweep: string,
  format: ExportFormat,
  file?: string,
): Promise<string | undefined> {
  const { plan, journal } = readSweep(sweep);
  const table = sweepTable(plan, journal);
  if (format === 'parquet') {
    if (file === undefined)
      throw new NestwalkError('usage', 'Parquet is not text: say where to with --out FILE');
    await writeParquet(file, table);
    return undefined;
  }
  const text = textOf(table, format);
  if (file === undefined) return text;
  writeWhole(file, text, 'export.file');
  return undefined;
}

/**
 * Asks a sweep's results a question in SQL; the table is `cells`.
 * @throws {NestwalkError} `store.query`, `store.missing`, `store.failed`; as {@link readSweep}
 */
export function querySweep(sweep: string, sql: string): Promise<QueryAnswer> {
  const { plan, journal } = readSweep(sweep);
  return queryStore(sweepTable(plan, journal), sql);
}
