/**
 * The plan of a sweep: cells with their names, and the passes that answer them. A pass is a group of cells that differ
 * only in the geometry of an lru STLB, answered by one run over their stream, or a single cell.
 */

import { createHash } from 'node:crypto';
import type { ParsedConfig } from '../config/file.ts';
import { canonicalJson } from '../config/resolve.ts';
import { isTrace, type MachineConfig, type ResolvedConfig } from '../config/resolved.ts';
import type { EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { bytes } from '../report/format.ts';
import { ungroupable } from '../run/group.ts';
import { packageVersion } from '../run/simulate.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';
import { fileDigest } from '../trace/digest.ts';
import {
  type CellSet,
  cellName,
  type GridCell,
  type HalfNames,
  halfNamer,
  makeCells,
  type Surroundings,
} from './cells.ts';
import { type Estimate, estimator } from './estimate.ts';
import { readGrid } from './grid.ts';

/** One cell of a plan; `index` is its place in the plan and the row of the results. */
export interface PlanCell extends GridCell {
  index: number;
  /** Name by content; absent where the cell is invalid. Cells of one name have one result. */
  name?: string;
}

/** Cells that one run answers. */
export interface Pass {
  kind: 'group' | 'single';
  /** Indices of cells, each name once. */
  cells: number[];
  /** Why these cells are run like this. */
  reason: string;
  estimate: Estimate;
}

/** A frozen plan: what `sweep.json` in a sweep's folder holds. */
export interface Plan {
  format: 1;
  version: string;
  schema: string;
  /** Digest of everything that decides which cells there are. */
  identity: string;
  counters: 'tlb' | 'all';
  axes: { path: string; values: unknown[] }[];
  machines: MachineConfig[];
  surroundings: Surroundings[];
  cells: PlanCell[];
  passes: Pass[];
  /** SHA-256 of each trace by its path. */
  traces: Record<string, string>;
  skipped: number;
  notes: string[];
}

/** What the passes are fitted to. */
export interface PassLimits {
  /** Most bytes that one pass may take. */
  memoryBytes?: number;
  /** Passes that can run at a time: groups are cut until there are as many. */
  workers?: number;
  /** Instead of each configuration's own, for the estimates. */
  engine?: EngineRequest;
}

/** Fewest cells that a group is cut into for the sake of idle workers. */
const FEWEST_CELLS = 8;

/** The whole configuration of a cell. */
export function configOf(plan: Pick<Plan, 'machines' | 'surroundings'>, cell: GridCell): ResolvedConfig {
  return { ...plan.surroundings[cell.surroundings!], machine: plan.machines[cell.machine!] };
}

/** Digests of all traces that cells read. */
async function traceDigests(set: CellSet): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const { workload } of set.surroundings)
    if (isTrace(workload)) digests[workload.trace] ??= await fileDigest(workload.trace);
  return digests;
}

/**
 * Plans a sweep file.
 * @throws {NestwalkError} `config.invalid` with all that is wrong; `trace.file`; `memory.limit` when a single cell needs
 * more than `limits.memoryBytes`
 */
export async function planSweep(
  parsed: ParsedConfig & { directory: string },
  limits: PassLimits = {},
): Promise<Plan> {
  const grid = readGrid(parsed);
  const set = makeCells(grid);
  const traces = await traceDigests(set);
  const version = packageVersion();
  const namesOf = halfNamer(set, traces);
  const names = set.cells.map((cell) => (cell.invalid === undefined ? namesOf(cell) : undefined));
  const cells = set.cells.map((cell, index): PlanCell => {
    const half = names[index];
    return { index, ...(half ? { name: cellName(half, version) } : {}), ...cell };
  });
  const axes = grid.axes.map(({ path, values }) => ({ path, values }));
  const { counters } = grid;
  const known = { axes, counters, version, schema: SCHEMA_FINGERPRINT };
  const identity = identityOf({ ...known, cells });
  const plan: Plan = {
    format: 1,
    ...known,
    identity,
    machines: set.machines,
    surroundings: set.surroundings,
    cells,
    passes: [],
    traces,
    skipped: set.skipped,
    notes: set.notes,
  };
  plan.passes = makePasses(plan, names, limits);
  return plan;
}

function identityOf(plan: Pick<Plan, 'axes' | 'cells' | 'counters' | 'version' | 'schema'>): string {
  const { axes, counters, version, schema } = plan;
  const cells = plan.cells.map(({ name, invalid, values }) => [name ?? invalid ?? '', values]);
  return createHash('sha256').update(canonicalJson({ axes, counters, version, schema, cells })).digest('hex');
}

/** Cells under one key, in the order of their first. */
interface Bundle {
  cells: PlanCell[];
  /** Why they are alone; absent for cells that can be grouped. */
  alone?: string;
}

function bundles(plan: Plan, names: readonly (HalfNames | undefined)[]): Bundle[] {
  const found = new Map<string, Bundle>();
  const seen = new Set<string>();
  for (const cell of plan.cells) {
    if (cell.name === undefined || seen.has(cell.name)) continue;
    seen.add(cell.name);
    const alone = ungroupable(configOf(plan, cell));
    const half = names[cell.index]!;
    const key = alone === undefined ? `${half.rest} ${half.front}` : cell.name;
    const bundle = found.get(key);
    if (bundle) bundle.cells.push(cell);
    else found.set(key, { cells: [cell], ...(alone === undefined ? {} : { alone }) });
  }
  return [...found.values()];
}

function makePasses(plan: Plan, names: readonly (HalfNames | undefined)[], limits: PassLimits): Pass[] {
  const estimate = estimator(plan, limits.engine);
  const all = bundles(plan, names);
  const parts = all.length === 0 ? 1 : Math.ceil((limits.workers ?? 1) / all.length);
  return all.flatMap((bundle) => {
    const { cells, alone } = bundle;
    const most = Math.max(1, Math.min(parts, Math.floor(cells.length / FEWEST_CELLS)));
    const pieces = plan.counters === 'all' ? inPieces(cells, most) : [cells];
    return pieces
      .flatMap((piece) => fitting(piece, limits, estimate))
      .map((piece): Pass => {
        const isGroup = piece.length > 1;
        return {
          kind: isGroup ? 'group' : 'single',
          cells: piece.map((cell) => cell.index),
          reason: isGroup
            ? 'they differ in the geometry of an lru STLB alone'
            : aloneReason(alone, cells.length),
          estimate: estimate(piece),
        };
      });
  });
}

const aloneReason = (alone: string | undefined, bundle: number): string => {
  if (alone !== undefined) return alone;
  return bundle > 1
    ? 'more of its group would not fit into memory'
    : 'no other cell differs from it in the STLB alone';
};

/** A list in so many pieces of nearly the same length, in order. */
function inPieces<T>(list: readonly T[], pieces: number): T[][] {
  const cut = (piece: number): number => Math.round((piece * list.length) / pieces);
  return Array.from({ length: pieces }, (_, piece) => list.slice(cut(piece), cut(piece + 1)));
}

/** Halves a group until each part fits into memory. */
function fitting(
  cells: readonly PlanCell[],
  limits: PassLimits,
  estimate: (cells: readonly PlanCell[]) => Estimate,
): PlanCell[][] {
  const { memoryBytes } = estimate(cells);
  if (limits.memoryBytes === undefined || memoryBytes <= limits.memoryBytes) return [[...cells]];
  if (cells.length > 1) return inPieces(cells, 2).flatMap((part) => fitting(part, limits, estimate));
  throw new NestwalkError(
    'memory.limit',
    `cell ${cells[0].index} needs about ${bytes(memoryBytes)}, and passes may take ${bytes(limits.memoryBytes)}: ` +
      'give --memory more, use larger pages or a smaller footprint, or skip such cells',
  );
}
