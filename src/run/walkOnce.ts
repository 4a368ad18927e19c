/** One translation, reference by reference, on the TypeScript engine with a probe attached. */
import { setImmediate } from 'node:timers/promises';
import { resolveConfig } from '../config/resolve.ts';
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
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
import { NestedPlatform } from '../hypervisor/nested.ts';
import { createSystem, type System } from '../hypervisor/system.ts';
import type { Fault } from '../memory/hardwareInterface.ts';
import type { WalkHit, WalkStep, WalkSteps } from '../results/types.ts';
import {
  ACCESS_KINDS,
  type AccessKind,
  COLUMN_G,
  COLUMNS,
  ENTRY,
  KIND_SHIFT,
  PAGE_SIZES,
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
  /** Stops the warming up; the walk then rejects with the code `run.cancelled`. */
  signal?: AbortSignal;
}

/** Accesses between two looks at the signal: a fraction of a second on any machine. */
const WARM_CHUNK = 100_000;

const hex = (frame: number, offset: number): string =>
  `0x${(BigInt(frame) * 4096n + BigInt(offset)).toString(16)}`;
const entryHex = (low: number, high: number): string =>
  `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;

/** Collects the steps of one walk as results show them. */
class Recorder implements Probe {
  readonly steps: WalkStep[] = [];
  readonly hits: WalkHit[] = [];
  private readonly nested: boolean;
  private readonly cacheNames: string[];

  constructor(config: ResolvedConfig) {
    this.nested = config.paging.mode === 'nested';
    this.cacheNames = [...config.machine.caches.map((cache) => cache.name), 'memory'];
  }

  step(step: ProbeStep): void {
    const guest = step.row === ROW_PT || step.column === COLUMN_G;
    const column = COLUMNS[step.column]!;
    const note =
      (step.valueLow & ENTRY.present) === 0
        ? 'not present'
        : isLeaf(step.valueLow, step.level)
          ? `leaf ${PAGE_SIZES[step.level - 1]}, frame 0x${frameOf(step.valueLow, step.valueHigh).toString(16)}`
          : `table at frame 0x${frameOf(step.valueLow, step.valueHigh).toString(16)}`;
    this.steps.push({
      step: this.steps.length + 1,
      row: ROWS[step.row]!,
      col: step.row === ROW_PT ? column.replace('n', '') : column,
      level: step.level,
      dimension: guest ? 'guest' : 'nested',
      entryHpa: hex(step.hostFrame, step.index * 8),
      ...(this.nested && guest ? { entryGpa: hex(step.tableFrame, step.index * 8) } : {}),
      value: entryHex(step.valueLow, step.valueHigh),
      servedBy: step.servedBy < 0 ? 'pwc' : this.cacheNames[step.servedBy]!,
      note,
    });
  }

  structure(event: StructureEvent): void {
    if (!event.hit) return;
    const where = event.row === ROW_PT ? '' : ` for row ${ROWS[event.row]}`;
    const message =
      event.structure === 'ntlb'
        ? `hit${where}: a ${PAGE_SIZES[event.level]} nested page; no nested reference`
        : `hit at level ${event.level}${where}: the walk goes on at level ${event.level - 1}`;
    this.hits.push({ beforeStep: this.steps.length + 1, structure: event.structure, message });
  }

  tlb(structure: string, message: string): void {
    this.hits.push({ beforeStep: this.steps.length + 1, structure, message });
  }
}

/** Where an access ends in the page tables, read by software. */
function translationOf(
  system: System,
  page: number,
  offset: number,
): Pick<WalkSteps, 'gpa' | 'hpa' | 'size'> {
  const guestTable = system.kernel.space.table;
  const guest = guestTable.lookup(page);
  const frame = guestTable.translate(page);
  if (!guest.present || frame === undefined) return {};
  if (!(system.platform instanceof NestedPlatform))
    return { hpa: hex(frame, offset), size: PAGE_SIZES[guest.level - 1]! };
  const nested = system.platform.nestedTable.lookup(frame);
  const hostFrame = system.platform.nestedTable.translate(frame);
  if (!nested.present || hostFrame === undefined) return { gpa: hex(frame, offset) };
  return {
    gpa: hex(frame, offset),
    hpa: hex(hostFrame, offset),
    size: PAGE_SIZES[Math.min(guest.level, nested.level) - 1]!,
  };
}

/** The regions of a configuration, for a message. */
const regionsText = (config: ResolvedConfig): string =>
  config.regions
    .map(({ base, bytes }) => `${hex(base / 4096, 0)} to ${hex((base + bytes) / 4096, 0)}`)
    .join(', ');

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
  if (!config.regions.some(({ base, bytes }) => address >= base && address < base + bytes)) {
    const { page, offset } = split(address);
    throw new NestwalkError(
      'usage',
      `Address ${hex(page, offset)} is in no region; there are: ${regionsText(config)}.`,
    );
  }
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

  const recorder = new Recorder(config);
  const { page, offset } = split(address);
  noteTlb(core, recorder, page, kind);
  core.setProbe(recorder);
  const word = offset | (ACCESS_KINDS.indexOf(kind) << KIND_SHIFT);
  const completed = core.runRecorded(Float64Array.of(page), Uint16Array.of(word), 0, 1, warm);
  const steps: WalkSteps = {
    address: hex(page, offset),
    kind,
    steps: recorder.steps,
    skipped: recorder.hits,
  };
  if (completed === 1) return { ...steps, ...translationOf(system, page, offset) };
  return { ...steps, fault: describeFault(faultFromBlock(core.fault)) };
}

/** Notes which TLB level holds the page before the access is made. */
function noteTlb(core: Core, recorder: Recorder, page: number, kind: AccessKind): void {
  const numbers = Float64Array.of(page, Math.floor(page / 512), Math.floor(page / 512 ** 2));
  const instruction = kind === 'fetch' && core.l1i !== undefined;
  const sides = [
    [instruction ? 'l1i' : 'l1d', instruction ? core.l1i! : core.l1d],
    ['stlb', core.stlb],
  ] as const;
  for (const [name, side] of sides) {
    if (!side.find(numbers, core.table.owner)) continue;
    recorder.tlb(
      name,
      `hit: a ${PAGE_SIZES[side.hitSize]} entry; no walk, unless a write needs rights that it lacks`,
    );
    return;
  }
}

function describeFault(fault: Fault): NonNullable<WalkSteps['fault']> {
  if (fault.kind === 'guestFault') {
    return {
      cause: 'guestFault',
      message: 'The guest has no mapping for this access: its kernel gets a page fault.',
    };
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
