/**
 * From a grid to its cells: each one a whole, resolved configuration with a name, or the reason why its geometry cannot
 * be built. What is wrong with the file is told all at once.
 *
 * A machine does not depend on the rest of a configuration, nor the rest on the machine, so that the two halves are
 * resolved once for each distinct input: ten thousand cells are mostly a few hundred halves.
 */
import { createHash } from 'node:crypto';
import { invalidConfig, type Path, pathText } from '../config/problems.ts';
import { canonicalJson, resolveConfig } from '../config/resolve.ts';
import { hasHostPages, isTrace, type MachineConfig, type ResolvedConfig } from '../config/resolved.ts';
import { MachineSchema } from '../config/schema.ts';
import { NestwalkError, type Problem } from '../errors.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';
import { type Axis, type Grid, PathError, withField, withoutSets } from './grid.ts';

/** A configuration without its machine. */
export type Surroundings = Omit<ResolvedConfig, 'machine'>;

/** One point of the grid. */
export interface GridCell {
  /** Position in each axis' list of values. */
  values: number[];
  /** Index into {@link CellSet.machines} and {@link CellSet.surroundings}; absent where the cell is invalid. */
  machine?: number;
  surroundings?: number;
  /** Why there is no such machine. */
  invalid?: string;
}

/** All cells of a grid in row-major order, the last axis fastest, without those skipped. */
export interface CellSet {
  cells: GridCell[];
  machines: MachineConfig[];
  surroundings: Surroundings[];
  skipped: number;
  /** What the user should be told, each thing once. */
  notes: string[];
}

/** The seed where the file gives none. */
const DEFAULT_SEED = 1;

interface Half<T> {
  index: number;
  value?: T;
  problems: readonly Problem[];
  notes: readonly string[];
}

/** Resolves halves of configurations, each distinct input once, and numbers what comes out. */
class Resolver {
  readonly machines: MachineConfig[] = [];
  readonly surroundings: Surroundings[] = [];
  private readonly known = new Map<string, Half<unknown>>();
  private readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  machine(input: unknown): Half<MachineConfig> {
    const whole = {
      workload: 'uniform',
      footprint: 4096,
      accesses: 1,
      seed: 1,
      ...(input === undefined ? {} : { machine: input }),
    };
    return this.half('machine', input, whole, this.machines, (config) => config.machine);
  }

  rest(input: object): Half<Surroundings> {
    return this.half('rest', input, input, this.surroundings, ({ machine: _, ...rest }) => rest);
  }

  private half<T>(
    kind: string,
    key: unknown,
    input: object,
    into: T[],
    part: (config: ResolvedConfig) => T,
  ): Half<T> {
    const text = kind + JSON.stringify(key);
    const before = this.known.get(text);
    if (before) return before as Half<T>;
    const half: Half<T> = { index: -1, problems: [], notes: [] };
    try {
      const { config, notes } = resolveConfig(input, {
        directory: this.directory,
        defaultSeed: DEFAULT_SEED,
      });
      half.value = part(config);
      half.index = into.push(half.value) - 1;
      half.notes = notes;
    } catch (error) {
      if (!(error instanceof NestwalkError) || error.problems.length === 0) throw error;
      half.problems = error.problems;
    }
    this.known.set(text, half);
    return half;
  }
}

/** Axes in the order in which they are applied: what replaces a whole before what changes a part of it. */
const byDepth = (axes: readonly Axis[]): { axis: Axis; at: number }[] =>
  axes.map((axis, at) => ({ axis, at })).sort((a, b) => a.axis.steps.length - b.axis.steps.length);

/** Whether an axis changes a part of a machine, so that the machine must be there whole. */
const insideMachine = ({ steps }: Axis): boolean =>
  steps[0] === 'machine' && steps.length > 1 && steps[1] !== 'preset';

type Input = Record<string, unknown>;

/** The input of one cell, or what is in the way of a varied field. */
function inputOf(
  grid: Grid,
  order: ReturnType<typeof byDepth>,
  values: readonly number[],
  resolver: Resolver,
): Input | Problem {
  let input: unknown = grid.base;
  let isWhole = false;
  for (const { axis, at } of order) {
    if (insideMachine(axis) && !isWhole) {
      const written = asMachine((input as Input).machine);
      const { value } = resolver.machine(written);
      // A machine that is wrong by itself stays as it is and is told of later.
      input = { ...(input as Input), machine: value ?? written ?? {} };
      isWhole = true;
    }
    try {
      input = withField(input, axis.steps, axis.values[values[at]]);
      if (axis === order[order.length - 1].axis && isWhole)
        input = { ...(input as Input), machine: withoutSets((input as Input).machine) };
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      return { path: axis.path, message: error.message };
    }
  }
  return input as Input;
}

/** A machine's name as the map that it is short for. */
const asMachine = (machine: unknown): unknown =>
  typeof machine === 'string' ? { preset: machine } : machine;

/** Every problem of the grid with the cells that have it. */
type Occurrences = Map<string, { problem: Problem; isGeometry: boolean; cells: GridCell[] }>;

const GEOMETRY = /^machine\.(l1d|l1i|stlb|psc|nestedPsc|ntlb|pwc|caches)\b/;

/** Whether a problem is one of a machine whose fields are all sound by themselves: a geometry that cannot be built. */
const isGeometry = ({ path }: Problem, input: Input): boolean =>
  GEOMETRY.test(path) && MachineSchema.safeParse(input.machine).success;

/** Makes the cells of a grid. @throws {NestwalkError} `config.invalid` with all that is wrong with the file */
export function makeCells(grid: Grid): CellSet {
  const { axes } = grid;
  const resolver = new Resolver(grid.directory);
  const order = byDepth(axes);
  const cells: GridCell[] = [];
  const occurrences: Occurrences = new Map();
  const notes = new Set<string>();
  let skipped = 0;
  for (const values of product(axes.map((axis) => axis.values.length))) {
    if (isSkipped(grid, values)) {
      skipped += 1;
      continue;
    }
    const cell: GridCell = { values };
    cells.push(cell);
    const input = inputOf(grid, order, values, resolver);
    if ('message' in input && !('workload' in input)) {
      note(occurrences, input as unknown as Problem, false, cell);
      continue;
    }
    const { machine: written, ...others } = input as Input;
    const machine = resolver.machine(written);
    const rest = resolver.rest(others);
    for (const problem of [...machine.problems, ...rest.problems])
      note(occurrences, problem, isGeometry(problem, input as Input), cell);
    for (const text of rest.notes) notes.add(text);
    if (machine.value && rest.value)
      Object.assign(cell, { machine: machine.index, surroundings: rest.index });
  }
  complain(grid, cells, occurrences);
  return {
    cells,
    machines: resolver.machines,
    surroundings: resolver.surroundings,
    skipped,
    notes: [...notes],
  };
}

/** All tuples of indices below some lengths, the last index fastest. */
function* product(lengths: readonly number[]): Generator<number[]> {
  const total = lengths.reduce((count, length) => count * length, 1);
  for (let number = 0; number < total; number++) {
    const tuple = new Array<number>(lengths.length);
    let left = number;
    for (let axis = lengths.length - 1; axis >= 0; axis--) {
      tuple[axis] = left % lengths[axis];
      left = Math.floor(left / lengths[axis]);
    }
    yield tuple;
  }
}

function isSkipped({ axes, skip, source }: Grid, values: readonly number[]): boolean {
  const field = (path: string): unknown => {
    const at = axes.findIndex((axis) => axis.path === path);
    return axes[at].values[values[at]];
  };
  return skip.some((condition, index) => {
    try {
      return condition(field);
    } catch (error) {
      const at: Path = ['skip', index];
      throw invalidConfig([
        { path: pathText(at), message: (error as Error).message, ...source?.(at, 'value') },
      ]);
    }
  });
}

function note(occurrences: Occurrences, problem: Problem, geometry: boolean, cell: GridCell): void {
  const key = `${problem.path}\n${problem.message}`;
  const known = occurrences.get(key);
  if (known) known.cells.push(cell);
  else occurrences.set(key, { problem, isGeometry: geometry, cells: [cell] });
  cell.invalid ??= `${problem.path}: ${problem.message}`;
}

const related = (axis: Axis, path: string): boolean =>
  path.startsWith(axis.path) || axis.path.startsWith(path);

/** Most problems that are told where no cell is left. */
const MOST_PROBLEMS = 20;

/**
 * Throws what is an error of the file: a problem of every cell, or of every cell with one value of one axis. What only
 * some combinations have, and what is a matter of geometry, makes a cell invalid, which the plan tells.
 */
function complain(grid: Grid, cells: readonly GridCell[], occurrences: Occurrences): void {
  const found: Problem[] = [];
  for (const { problem, isGeometry: geometry, cells: having } of occurrences.values()) {
    const blame = geometry ? undefined : blamed(grid, cells, problem, having);
    if (blame) found.push({ ...problem, ...blame });
  }
  const hasValid = cells.some((cell) => cell.invalid === undefined);
  if (found.length === 0 && !hasValid) {
    for (const { problem } of [...occurrences.values()].slice(0, MOST_PROBLEMS)) found.push(problem);
    const at: Path = grid.axes.length > 0 && cells.length === 0 ? ['skip'] : ['vary'];
    const message = cells.length === 0 ? 'leaves no cell of the grid' : 'makes no cell that can be run';
    found.push({ path: pathText(at), message, ...grid.source?.(at, 'key') });
  }
  if (found.length > 0) throw invalidConfig(found);
}

/** The place to blame for a problem: a value of an axis, an axis, or a field of the configuration. */
function blamed(
  { axes, source }: Grid,
  cells: readonly GridCell[],
  { path }: Problem,
  having: readonly GridCell[],
): Partial<Problem> | undefined {
  const concerned = axes.map((axis, at) => ({ axis, at })).filter(({ axis }) => related(axis, path));
  const others = axes.map((axis, at) => ({ axis, at })).filter(({ axis }) => !related(axis, path));
  const byOneValue = (candidates: typeof others): Partial<Problem> | undefined => {
    for (const { axis, at } of candidates) {
      const value = having[0].values[at];
      if (having.some((cell) => cell.values[at] !== value)) continue;
      if (having.length === cells.filter((cell) => cell.values[at] === value).length)
        return source?.(['vary', axis.key, value], 'value') ?? {};
    }
    return undefined;
  };
  const byValue = byOneValue(concerned);
  if (byValue) return byValue;
  if (having.length === cells.length) {
    if (concerned.length > 0) return source?.(['vary', concerned[0].axis.key], 'key') ?? {};
    return source?.(stepsIn(path), 'value') ?? {};
  }
  return byOneValue(others);
}

/** The steps of a problem's path. */
const stepsIn = (path: string): Path =>
  [...path.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, name]) =>
    index === undefined ? name : Number(index),
  );

/** What a mode has no use for is no part of a cell's name: in that mode such cells are one. */
function counted(machine: MachineConfig, rest: Surroundings): { machine: object; rest: object } {
  const { run: _, ...others } = rest;
  const { mode } = rest.paging;
  if (mode === 'nested') return { machine, rest: others };
  const { nestedPage: _page, nestedLevels: _levels, ...paging } = rest.paging;
  const surroundings = hasHostPages(mode) ? others : { ...others, paging };
  return { machine: { ...machine, nestedPsc: null, ntlb: null }, rest: surroundings };
}

const digest = (value: unknown): string => createHash('sha256').update(canonicalJson(value)).digest('hex');

/** The two names of a cell's halves; the front is the machine without the geometry of its one STLB array. */
export interface HalfNames {
  rest: string;
  machine: string;
  front: string;
}

/**
 * A function that names the halves of cells by their content. A trace counts by its bytes, not by its path.
 * @param traces digest of each trace by its path
 */
export function halfNamer(
  set: CellSet,
  traces: Readonly<Record<string, string>>,
): (cell: GridCell) => HalfNames {
  const machines = new Map<string, { machine: string; front: string }>();
  const rests = new Map<number, string>();
  const once = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
    if (!map.has(key)) map.set(key, make());
    return map.get(key)!;
  };
  return (cell) => {
    const machine = set.machines[cell.machine!];
    const rest = set.surroundings[cell.surroundings!];
    const { mode } = rest.paging;
    const half = (): { machine: string; front: string } => {
      const whole = counted(machine, rest).machine as MachineConfig;
      const stlb = whole.stlb.map(({ entries: _e, ways: _w, ...array }) => array);
      return {
        machine: digest(whole),
        front: digest({ ...whole, stlb: whole.stlb.length === 1 ? stlb : whole.stlb }),
      };
    };
    return {
      ...once(machines, `${mode} ${cell.machine}`, half),
      rest: once(rests, cell.surroundings!, () => {
        const plain = counted(machine, rest).rest as Surroundings;
        if (!isTrace(plain.workload)) return digest(plain);
        return digest({ ...plain, workload: { ...plain.workload, trace: traces[plain.workload.trace] } });
      }),
    };
  };
}

/** The name of a cell: what its counters depend on, and which program counted. 32 hex digits. */
export const cellName = ({ machine, rest }: HalfNames, version: string): string =>
  digest([machine, rest, version, SCHEMA_FINGERPRINT]).slice(0, 32);
