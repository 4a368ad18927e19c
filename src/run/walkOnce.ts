/** One translation, reference by reference, on the TypeScript engine with a probe attached. */
import { setImmediate } from 'node:timers/promises';
import { resolveConfig } from '../config/resolve.ts';
import { isTrace, type PagingMode, type ResolvedConfig } from '../config/resolved.ts';
import { seedWords } from '../config/units.ts';
import { TypeScriptHardware } from '../engine/hardware.ts';
import { contextBlock, machineBlock } from '../engine/machineBlock.ts';
import { NestwalkError } from '../errors.ts';
import type { Core } from '../hardware/core.ts';
import {
  frameOf,
  isLeaf,
  type Probe,
  type WalkStep as ProbeStep,
  type StructureEvent,
} from '../hardware/dimension.ts';
import { createSystem, type System } from '../hypervisor/system.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import { countersFromBlock, levelNames, matrixSum } from '../results/counters.ts';
import { walkCycles } from '../results/metrics.ts';
import type { WalkHit, WalkStep, WalkSteps } from '../results/types.ts';
import {
  ACCESS_KINDS,
  type AccessKind,
  COLUMN_G,
  COLUMNS,
  COUNTER,
  ENTRY,
  KIND_SHIFT,
  PAGE_SIZES,
  type PageSize,
  ROW_PT,
  ROWS,
  type Row,
} from '../schema.ts';
import { encodeWorkload } from '../workload/encode.ts';
import { faultFromBlock, RunLoop } from './execute.ts';

/** What {@link walkOnce} may be told beside the configuration. */
export interface WalkOptions {
  kind?: AccessKind;
  /** Accesses of the configuration's workload to run first, so that the caches are warm; default 0. */
  warm?: number;
  /** Makes the access itself once before the one that is shown, so that what it fills is there. */
  again?: boolean;
  /** Stops the warming up; the walk then rejects with the code `run.cancelled`. */
  signal?: AbortSignal;
}

/** Accesses between two looks at the signal: a fraction of a second on any machine. */
const WARM_CHUNK = 100_000;

const hex = (frame: number, offset: number): string =>
  `0x${(BigInt(frame) * 4096n + BigInt(offset)).toString(16)}`;
const entryHex = (low: number, high: number): string =>
  `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;

/** What a meter tells: references and cycles since it was set. */
interface Reading {
  references: number;
  cycles: number;
}

/** Reads what a walk has cost so far off the counters, by the formulas of the metrics: there is no other price list. */
class Meter {
  private readonly core: Core;
  private readonly config: ResolvedConfig;
  private readonly cacheNames: string[];
  private readonly start: Float64Array;

  constructor(core: Core, config: ResolvedConfig) {
    this.core = core;
    this.config = config;
    this.cacheNames = config.machine.caches.map((cache) => cache.name);
    this.start = core.readCounters();
  }

  /** @param isWalking the walk is under way, and not counted yet as one: its probe of the PSCs is a walk's all the same */
  read(isWalking: boolean): Reading {
    const block = this.core.readCounters().map((value, slot) => value - this.start[slot]!);
    if (isWalking) block[COUNTER.walks]! += 1;
    const counters = countersFromBlock(block, this.cacheNames);
    return {
      references: matrixSum(counters.refs) + matrixSum(counters.faultRefs),
      cycles: walkCycles(counters, this.config).total,
    };
  }
}

/** Collects the steps of one walk as results show them. */
class Recorder implements Probe {
  readonly steps: WalkStep[] = [];
  readonly hits: WalkHit[] = [];
  private readonly nested: boolean;
  private readonly cacheNames: string[];
  private readonly meter: Meter;

  constructor(config: ResolvedConfig, meter: Meter) {
    this.nested = config.paging.mode === 'nested';
    this.cacheNames = levelNames(config.machine.caches.map((cache) => cache.name));
    this.meter = meter;
  }

  step(step: ProbeStep): void {
    const isGuest = step.row === ROW_PT || step.column === COLUMN_G;
    const column = COLUMNS[step.column]!;
    const isPresent = (step.valueLow & ENTRY.present) !== 0;
    const leaf = isPresent && isLeaf(step.valueLow, step.level);
    const frame = frameOf(step.valueLow, step.valueHigh);
    const what = leaf ? `leaf ${PAGE_SIZES[step.level - 1]}, frame` : 'table at frame';
    this.steps.push({
      step: this.steps.length + 1,
      row: ROWS[step.row]!,
      col: step.row === ROW_PT ? column.replace('n', '') : column,
      level: step.level,
      dimension: isGuest ? 'guest' : 'nested',
      index: step.index,
      entryHpa: hex(step.hostFrame, step.index * 8),
      ...(this.nested && isGuest ? { entryGpa: hex(step.tableFrame, step.index * 8) } : {}),
      value: entryHex(step.valueLow, step.valueHigh),
      servedBy: step.servedBy < 0 ? 'pwc' : this.cacheNames[step.servedBy]!,
      leaf,
      ...(isPresent ? { target: hex(frame, 0) } : {}),
      note: isPresent ? `${what} 0x${frame.toString(16)}` : 'not present',
      cycles: this.meter.read(true).cycles,
    });
  }

  structure({ structure, hit, row, level }: StructureEvent): void {
    if (!hit) return;
    const where = row === ROW_PT ? '' : ` for row ${ROWS[row]}`;
    const size = PAGE_SIZES[level]!;
    this.hits.push({
      beforeStep: this.steps.length + 1,
      structure,
      ...(row === ROW_PT ? {} : { row: ROWS[row]! }),
      ...(structure === 'ntlb' ? { size } : { level }),
      message:
        structure === 'ntlb'
          ? `hit${where}: a ${size} nested page; no nested reference`
          : `hit at level ${level}${where}: the walk goes on at level ${level - 1}`,
      cycles: this.meter.read(true).cycles,
    });
  }

  /** Notes the TLB that held the page before the access. What was walked after all was walked for a right it lacked. */
  tlb(structure: WalkHit['structure'], size: PageSize): void {
    const end =
      this.steps.length > 0 ? 'it lacks the right to write or the dirty bit: a dirty walk' : 'no walk';
    this.hits.unshift({
      beforeStep: 1,
      structure,
      size,
      message: `hit: a ${size} entry; ${end}`,
      cycles: 0,
    });
  }

  /**
   * Writes to each nested step and hit the guest physical address that it helps to translate: that of the guest's entry
   * at the end of its row, of the data at the end of the walk, and of what a fault was about.
   */
  nameGpas(end: Pick<WalkSteps, 'gpa' | 'fault'>): void {
    const ofRow = new Map<Row, string | undefined>([['gPA', end.gpa]]);
    for (const { row, entryGpa } of this.steps) if (entryGpa !== undefined) ofRow.set(row, pageOf(entryGpa));
    if (end.fault?.row !== undefined) ofRow.set(end.fault.row, end.fault.gpa);
    for (const step of this.steps) {
      const gpa = ofRow.get(step.row);
      if (step.dimension === 'nested' && gpa !== undefined) step.gpa = gpa;
    }
    for (const hit of this.hits) {
      const gpa = hit.row && ofRow.get(hit.row);
      if (gpa !== undefined) hit.gpa = gpa;
    }
  }
}

/** The page that a hexadecimal address is in, 4 KiB grain. */
const pageOf = (address: string): string => `0x${(BigInt(address) & ~4095n).toString(16)}`;

/** Where an access ends in the page tables, read by software. */
function translationOf(
  system: System,
  mode: PagingMode,
  page: number,
  offset: number,
): Pick<WalkSteps, 'gpa' | 'hpa' | 'size'> {
  const { platform, kernel } = system;
  const found = platform.translate(kernel.space, page);
  if (found === undefined) return {};
  const gpa = hex(found.gpaFrame, offset);
  if (found.hpaFrame === undefined) return { gpa };
  const size = PAGE_SIZES[found.sizeIndex]!;
  const hpa = hex(found.hpaFrame, offset);
  return mode === 'native' ? { hpa, size } : { gpa, hpa, size };
}

/** What is said of an address that nothing is mapped around. */
function noRegion(config: ResolvedConfig, address: number): string {
  const { page, offset } = split(address);
  const regions = config.regions.map(
    ({ base, bytes }) => `${hex(base / 4096, 0)} to ${hex((base + bytes) / 4096 - 1, 4095)}`,
  );
  const [first] = config.regions;
  return (
    `Address ${hex(page, offset)} is in no region: the configuration has ${regions.join(' and ')}. Give an address in ` +
    `${regions.length === 1 ? 'it' : 'one of them'}, for example ${hex(first!.base / 4096, 0)}, or a configuration whose region has its base there`
  );
}

/**
 * Translates one address and records each reference in order. The walk is that of the first attempt: a fault ends it.
 *
 * @param input a configuration as `resolveConfig` takes it, synthetic
 * @param address guest virtual address, in one of the configuration's regions
 * @throws NestwalkError `config.invalid`, `usage` for an address outside all regions, and `table.corrupt`
 */
export async function walkOnce(
  input: unknown,
  address: number,
  options: WalkOptions = {},
): Promise<WalkSteps> {
  const { config } = resolveConfig(input, { defaultSeed: 1 });
  if (isTrace(config.workload)) {
    throw new NestwalkError(
      'usage',
      'A walk needs regions to walk in; a trace has none. Give a synthetic workload.',
    );
  }
  if (!config.regions.some(({ base, bytes }) => address >= base && address < base + bytes))
    throw new NestwalkError('usage', noRegion(config, address));
  const kind = options.kind ?? 'read';
  const system = createSystem(config);
  const workload = encodeWorkload(config.workload, config.regions, seedWords(config.seed));
  // Not static, so that the core takes every access by itself and A and D bits may change.
  const setup = {
    machine: machineBlock(config, system.bounds, false),
    memory: system.memory.buffer,
    workload,
  };
  const hardware = new TypeScriptHardware(setup);
  const { core } = hardware;
  hardware.loadContext(contextBlock(system.context));
  const warm = options.warm ?? 0;
  const loop = new RunLoop({ system, hardware, engineReason: 'it has probes' });
  for (let done = 0; done < warm; done += WARM_CHUNK) {
    loop.synthetic(done, Math.min(WARM_CHUNK, warm - done));
    // Lets the signal in.
    await setImmediate();
    if (options.signal?.aborted)
      throw new NestwalkError('run.cancelled', 'The walk was interrupted while warming up.');
  }

  const { page, offset } = split(address);
  const pages = Float64Array.of(page);
  const words = Uint16Array.of(offset | (ACCESS_KINDS.indexOf(kind) << KIND_SHIFT));
  if (options.again) loop.recorded(pages, words, 1, warm);
  const meter = new Meter(core, config);
  const recorder = new Recorder(config, meter);
  const tlb = tlbWith(core, page, kind);
  core.setProbe(recorder);
  const isDone = core.runRecorded(pages, words, 0, 1, warm + (options.again ? 1 : 0)) === 1;
  if (tlb) recorder.tlb(tlb.structure, tlb.size);
  const end = isDone
    ? translationOf(system, config.paging.mode, page, offset)
    : { fault: describeFault(faultFromBlock(core.fault), config.paging.mode) };
  recorder.nameGpas(end);
  return {
    address: hex(page, offset),
    kind,
    steps: recorder.steps,
    skipped: recorder.hits,
    ...meter.read(false),
    ...end,
  };
}

/** The TLB level that holds a page, and the size of its entry. Nothing is counted and nothing changes. */
function tlbWith(
  core: Core,
  page: number,
  kind: AccessKind,
): { structure: WalkHit['structure']; size: PageSize } | undefined {
  const numbers = Float64Array.of(page, Math.floor(page / 512), Math.floor(page / 512 ** 2));
  const instruction = kind === 'fetch' && core.l1i !== undefined;
  const sides = [
    [instruction ? 'l1i' : 'l1d', instruction ? core.l1i! : core.l1d],
    ['stlb', core.stlb],
  ] as const;
  for (const [structure, side] of sides)
    if (side.find(numbers, core.table.owner)) return { structure, size: PAGE_SIZES[side.hitSize]! };
  return undefined;
}

/** Who learns of a page fault first. */
const FAULT_MESSAGES: Record<PagingMode, string> = {
  native: 'The guest has no mapping for this access: its kernel gets a page fault.',
  nested: 'The guest has no mapping for this access: its kernel gets a page fault.',
  shadow:
    'The shadow table has no mapping for this access: a VM exit to the hypervisor, which fills it or hands the fault on.',
  paravirt:
    'The guest has no mapping for this access: its kernel gets a page fault, by way of the hypervisor.',
};

function describeFault(fault: Fault, mode: PagingMode): NonNullable<WalkSteps['fault']> {
  if (fault.kind === 'guestFault') {
    return { cause: 'guestFault', message: FAULT_MESSAGES[mode] };
  }
  const row: Row = ROWS[fault.row]!;
  return {
    cause: 'nestedViolation',
    row,
    gpa: hex(fault.gpaFrame, 0),
    message: `The nested table has no mapping for this ${fault.intent}: a VM exit to the hypervisor.`,
  };
}

const split = (address: number): { page: number; offset: number } => {
  const offset = address % 4096;
  return { page: (address - offset) / 4096, offset };
};
