/**
 * nestwalk simulates virtualised address translation: TLBs, native and nested (2-D) page walks, and the caches that
 * shorten them. {@link simulate} runs one configuration, {@link compare} the square of guest and nested page sizes,
 * {@link walk} shows one translation reference by reference.
 *
 * @packageDocumentation
 */
export { loadConfigFile, parseConfigText } from './config/file.ts';
export { resolveConfig } from './config/resolve.ts';
export type * from './config/resolved.ts';
export { type ConfigInput, jsonSchema } from './config/schema.ts';
export { ERRORS, type ErrorCode, NestwalkError, type Problem } from './errors.ts';
export { MACHINE_PRESETS } from './machines/presets.ts';
export { renderComparison } from './report/comparison.ts';
export { COLOURED, PLAIN, type Style, styleFor } from './report/table.ts';
export { renderRun } from './report/terminal.ts';
export { renderTraceInfo } from './report/trace.ts';
export { renderWalk } from './report/walk.ts';
export { computeMetrics } from './results/metrics.ts';
export type * from './results/types.ts';
export {
  type CompareOptions,
  type CompareProgress,
  type Comparison,
  type ComparisonCell,
  compare,
} from './run/compare.ts';
export { simulate } from './run/simulate.ts';
export { walkOnce as walk } from './run/walkOnce.ts';
export { type PageSize, SCHEMA_FINGERPRINT } from './schema.ts';
export { freezePlan, readPlan } from './sweep/folder.ts';
export { type Journal, readJournal } from './sweep/journal.ts';
export { type LocalOptions, runLocal, type SweepProgress } from './sweep/local.ts';
export { configOf, type Pass, type PassLimits, type Plan, type PlanCell, planSweep } from './sweep/plan.ts';
export { runShare, type ShareEvent, type ShareOptions, type ShareResult } from './sweep/shard.ts';
export { collectSweep, exportSweep, querySweep, type SweepStatus, sweepStatus } from './sweep/status.ts';
