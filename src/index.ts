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
export type { Platform } from './hypervisor/platform.ts';
export type { GuestKernel } from './kernel/guestKernel.ts';
export type { Process } from './kernel/process.ts';
export { type PageSpan, type Region, type RegionOptions, SharedMemory } from './kernel/region.ts';
export { COST_PRESETS, type CostFigure, type CostMark, type CostPreset } from './machines/costs.ts';
export { MACHINE_PRESETS } from './machines/presets.ts';
export { renderComparison } from './report/comparison.ts';
export { type FigureFiles, writeFigures } from './report/figures/files.ts';
export type { ReportData, ShownColumn, Trouble } from './report/html/data.ts';
export { reportPage } from './report/html/report.ts';
export { readReport } from './report/html/sources.ts';
export { renderScenario, renderScenarioSweep } from './report/scenario.ts';
export { COLOURED, PLAIN, type Style, styleFor } from './report/table.ts';
export { renderRun } from './report/terminal.ts';
export { renderTraceInfo } from './report/trace.ts';
export { renderWalk } from './report/walk.ts';
export { walkPage } from './report/walkPage.ts';
export { costsNamed, nanobenchmarks, splitCycles, withCycles } from './results/costs.ts';
export { computeMetrics } from './results/metrics.ts';
export {
  amdahl,
  baseCycles,
  calibrateModel,
  checkWalkerLoad,
  compareRuntimes,
  DEFAULT_RUNTIME_COST,
  linearRuntime,
  MEASURED_OVERLAP_FACTORS,
  predictRuntime,
  RUNTIME_MODEL_NAMES,
  type RuntimeCalibration,
  type RuntimeCell,
  type RuntimeComparison,
  type RuntimeCost,
  type RuntimeMeasurement,
  type RuntimeModel,
  type RuntimeModelName,
  type RuntimeSample,
  runtimeCost,
  sampleOf,
  slowdownOf,
  walkerLoad,
} from './results/runtimeModels.ts';
export type * from './results/types.ts';
export {
  type CompareOptions,
  type CompareProgress,
  type Comparison,
  type ComparisonCell,
  compare,
} from './run/compare.ts';
export { simulate } from './run/simulate.ts';
export {
  type GalleryOptions,
  type GalleryState,
  type GalleryWalk,
  type WalkGallery,
  walkGallery,
} from './run/walkGallery.ts';
export { type WalkOptions, walkOnce as walk } from './run/walkOnce.ts';
export type { Guest, Stream, TouchOptions } from './scenario/guest.ts';
export type { Checkpoint, Host } from './scenario/host.ts';
export { loadScenario } from './scenario/load.ts';
export type { Parameter, Parameters, ParameterValue, ValuesOf } from './scenario/parameters.ts';
export {
  runScenario,
  runScenarioSweep,
  type ScenarioOptions,
  type ScenarioProgress,
  type ScenarioRequest,
  type ScenarioSettings,
} from './scenario/runScenario.ts';
export { defineScenario, type Scenario, type ScenarioClaim } from './scenario/scenario.ts';
export { SCENARIO_PLATFORMS, type ScenarioPlatform, type ScenarioSetup } from './scenario/setup.ts';
export type * from './scenario/types.ts';
export { type PageSize, SCHEMA_FINGERPRINT } from './schema.ts';
export { type LiveServer, type ServeOptions, serveSweep } from './serve/server.ts';
export { freezePlan, readPlan } from './sweep/folder.ts';
export { type Journal, readJournal } from './sweep/journal.ts';
export { type LocalOptions, runLocal, type SweepProgress } from './sweep/local.ts';
export { configOf, type Pass, type PassLimits, type Plan, type PlanCell, planSweep } from './sweep/plan.ts';
export { runShare, type ShareEvent, type ShareOptions, type ShareResult } from './sweep/shard.ts';
export { collectSweep, exportSweep, querySweep, type SweepStatus, sweepStatus } from './sweep/status.ts';
