/**
 * Documents that run. A Markdown file is a heading, why it is there, and sections (`## …`) of three fences:
 *
 * - `yaml`: a configuration as `resolveConfig` takes it (`seed: 1`, `accesses: 1` and `workload: uniform` where it does not
 *   say). A section without one takes that of the section before it.
 * - `accesses`: one a line, `R`, `W` or `F` and an address; or `invlpg 0x…`, `flushTag`, `invept`, `flushAll`.
 * - `log`: what the hardware does, line by line:
 *   - `R 0x…`: the access, once for each try;
 *   - `l1d hit`, `l1i hit`, `stlb hit`;
 *   - `psc 2`, `nestedPsc 2 gL3`: a paging-structure cache of that level answers (for that row); `ntlb gL3 4KiB`: so does
 *     the nested TLB, with a page of that size;
 *   - `gL4 nL3 3 0x…`: a reference: row, column, level, and the entry's host physical address; for an entry of the guest
 *     under nested paging then `gpa 0x…`; and last who served it, unless memory did (`pwc`, or the name of a cache);
 *   - `guest fault`, `nested violation gPA gpa 0x… read`: the walk stops, software does its work, the access is retried;
 *   - `done`, on a machine with an L1 TLB `done 4KiB 0x…`: the size of the entry that holds the page, and the address.
 *
 * Spaces do not matter; lines of a fence that begin with `#` are remarks.
 */
import { parse } from 'yaml';
import { resolveConfig } from '../../src/config/resolve.ts';
import type { ResolvedConfig } from '../../src/config/resolved.ts';
import type { SimulatedHardware } from '../../src/engine/hardware.ts';
import { contextBlock, machineBlock } from '../../src/engine/machineBlock.ts';
import { Core } from '../../src/hardware/core.ts';
import type { Probe, StructureEvent, WalkStep } from '../../src/hardware/dimension.ts';
import { createSystem, type System } from '../../src/hypervisor/system.ts';
import type { Fault } from '../../src/memory/hardwareInterface.ts';
import {
  ACCESS_KINDS,
  COLUMN_G,
  COLUMNS,
  COUNTER,
  FAULT,
  KIND_SHIFT,
  PAGE_BYTES,
  PAGE_SIZES,
  POSITIONS,
  ROW_PT,
  ROWS,
  RUN_STATUS,
} from '../../src/schema.ts';
import type { Engine } from './engines.ts';

/** A line of a fence and where it stands in its file, from 1. */
export interface Line {
  text: string;
  line: number;
}

/** One section of a document. */
export interface Section {
  title: string;
  line: number;
  config: object;
  accesses: Line[];
  log: Line[];
}

const LANGUAGES = ['yaml', 'accesses', 'log'];

/**
 * Reads a document.
 * @throws Error that names file and line, for a document that could not fail: no sections, or a section without its fences
 */
export function parseDocument(file: string, text: string): Section[] {
  const lines = text.split('\n');
  const wrong = (line: number, what: string): Error => new Error(`${file}:${line}: ${what}`);
  if (!lines[0].startsWith('# ')) throw wrong(1, 'a document begins with a heading');
  const sections: (Section & { fences: Set<string> })[] = [];
  let config: object | undefined;
  for (let at = 1; at < lines.length; at++) {
    const title = /^## (.+)/.exec(lines[at])?.[1];
    if (title)
      sections.push({ title, line: at + 1, config: config ?? {}, accesses: [], log: [], fences: new Set() });
    const language = /^```(.*)/.exec(lines[at])?.[1];
    if (language === undefined) continue;
    const section = sections.at(-1);
    if (!section) throw wrong(at + 1, 'a fence stands before the first section');
    if (!LANGUAGES.includes(language) || section.fences.has(language))
      throw wrong(
        at + 1,
        `a section has one fence each of ${LANGUAGES.join(', ')}, not another "${language}"`,
      );
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw wrong(at + 1, 'the fence has no end');
    section.fences.add(language);
    const body = lines.slice(at + 1, end).map((line, k): Line => ({ text: line, line: at + 2 + k }));
    if (language === 'yaml')
      config = section.config = parse(body.map((line) => line.text).join('\n')) as object;
    else section[language as 'log'] = body.flatMap(withoutRemark);
    at = end;
  }
  for (const section of sections) {
    if (section.log.length === 0 || section.accesses.length === 0)
      throw wrong(section.line, 'a section needs accesses and a log');
  }
  if (sections.length === 0) throw wrong(1, 'the document has no section');
  return sections;
}

/** A line with its spaces made single; none for an empty one and a remark. */
function withoutRemark({ text, line }: Line): Line[] {
  const words = text.trim().split(/\s+/).join(' ');
  return words === '' || words.startsWith('#') ? [] : [{ text: words, line }];
}

const hex = (frame: number, offset: number): string =>
  `0x${(BigInt(frame) * 4096n + BigInt(offset)).toString(16)}`;

/** Writes down what a core tells its probe. */
class Logger implements Probe {
  readonly lines: string[] = [];
  private readonly config: ResolvedConfig;

  constructor(config: ResolvedConfig) {
    this.config = config;
  }

  step(step: WalkStep): void {
    const only = step.row === ROW_PT;
    const column = only ? `L${step.level}` : COLUMNS[step.column];
    const words = [ROWS[step.row], column, step.level, hex(step.hostFrame, step.index * 8)];
    if (step.column === COLUMN_G && !only) words.push('gpa', hex(step.tableFrame, step.index * 8));
    const { caches } = this.config.machine;
    if (step.servedBy < caches.length) words.push(step.servedBy < 0 ? 'pwc' : caches[step.servedBy].name);
    this.lines.push(words.join(' '));
  }

  structure({ structure, hit, row, level }: StructureEvent): void {
    if (!hit) return;
    if (structure === 'psc') this.lines.push(`psc ${level}`);
    else if (structure === 'nestedPsc') this.lines.push(`nestedPsc ${level} ${ROWS[row]}`);
    else this.lines.push(`ntlb ${ROWS[row]} ${PAGE_SIZES[level]}`);
  }
}

const DEFAULTS = { seed: 1, accesses: 1, workload: 'uniform' };
const KINDS: Record<string, number> = { R: 0, W: 1, F: 2 };

/** The configuration of a section, resolved. */
const configOf = (section: Section): ResolvedConfig =>
  resolveConfig({ ...DEFAULTS, ...section.config }).config;

/** Accesses and invalidations of a section on one machine; `told` hears of each try and how it ended. */
function play(
  section: Section,
  system: System,
  hardware: Pick<SimulatedHardware, 'runRecorded' | 'invlpg' | 'flushTag' | 'invept' | 'flushAll'>,
  faultBlock: () => Float64Array,
  told: { begun(line: Line): void; ended(page: number, word: number, fault?: Fault): void },
): void {
  const { tag, vm } = system.context;
  let index = 0;
  for (const line of section.accesses) {
    const [word, address = '0'] = line.text.split(' ');
    const offset = Number(BigInt(address) & 4095n);
    const page = Number(BigInt(address) >> 12n);
    if (word === 'invlpg') hardware.invlpg(tag, page);
    else if (word === 'flushTag') hardware.flushTag(tag);
    else if (word === 'invept') hardware.invept(vm);
    else if (word === 'flushAll') hardware.flushAll();
    else {
      const kind = KINDS[word];
      if (kind === undefined)
        throw new Error(`line ${line.line}: "${line.text}" is no access and no invalidation`);
      const access = offset | (kind << KIND_SHIFT);
      for (let tries = 0; ; tries++) {
        if (tries === 16) throw new Error(`line ${line.line}: the access faults without end`);
        told.begun(line);
        if (hardware.runRecorded(Float64Array.of(page), Uint16Array.of(access), 0, 1, index) === 1) break;
        const fault = faultOf(faultBlock());
        told.ended(page, access, fault);
        system.handleFault(fault, hardware);
      }
      told.ended(page, access);
      index++;
    }
  }
}

function faultOf(block: Float64Array): Fault {
  const status = RUN_STATUS[block[FAULT.detail]];
  if (status !== 'guestFault' && status !== 'nestedViolation') throw new Error(`the walk ended as ${status}`);
  return {
    kind: status,
    page: block[FAULT.page],
    offset: block[FAULT.offset],
    access: ACCESS_KINDS[block[FAULT.kind]],
    gpaFrame: block[FAULT.gpaFrame],
    intent: block[FAULT.intentWrite] === 1 ? 'write' : 'read',
    row: block[FAULT.row],
  };
}

/** The log of a section as the twin writes it. */
export function logOf(section: Section): string[] {
  const config = configOf(section);
  const system = createSystem(config);
  const core = new Core(machineBlock(config, system.bounds, false), system.memory.buffer, undefined);
  core.loadContext(contextBlock(system.context));
  const logger = new Logger(config);
  const hits = (): number[] =>
    [COUNTER.l1Hits, COUNTER.l1iHits, COUNTER.stlbHits].map((at) => sumOf(core.readCounters(), at, 3));
  let before = hits();
  let walkFrom = 0;
  core.setProbe(logger);
  play(section, system, core, () => core.fault.slice(), {
    begun(line) {
      logger.lines.push(line.text);
      before = hits();
      walkFrom = logger.lines.length;
    },
    ended(page, access, fault) {
      const where = ['l1d', 'l1i', 'stlb'].filter((_, side) => hits()[side] > before[side]);
      // What a TLB answered came before the walk, if a write then walked.
      logger.lines.splice(walkFrom, 0, ...where.map((side) => `${side} hit`));
      if (!fault) logger.lines.push(doneLine(core, page, access));
      else if (fault.kind === 'guestFault') logger.lines.push('guest fault');
      else
        logger.lines.push(
          `nested violation ${ROWS[fault.row]} gpa ${hex(fault.gpaFrame, 0)} ${fault.intent}`,
        );
    },
  });
  return logger.lines;
}

const sumOf = (block: Float64Array, at: number, slots: number): number =>
  block.subarray(at, at + slots).reduce((sum, count) => sum + count, 0);

/** `done`, with what the L1 TLB now holds for the page if there is one. */
function doneLine(core: Core, page: number, access: number): string {
  const fetch = access >> KIND_SHIFT === ACCESS_KINDS.indexOf('fetch');
  const side = fetch && core.l1i ? core.l1i : core.l1d;
  const numbers = Float64Array.of(page, Math.floor(page / 512), Math.floor(page / 512 ** 2));
  if (!side.find(numbers, core.table.owner)) return 'done';
  const size = PAGE_SIZES[side.hitSize];
  const frame = side.hitArray!.frames[side.hitSlot] + (page % (PAGE_BYTES[size] / 4096));
  return `done ${size} ${hex(frame, access & 4095)}`;
}

/**
 * References and page-walk cache hits by position, as an engine counts them for a section: what the lines of its log must
 * add up to, on engines that have no probe.
 */
export function positionsOf(section: Section, engine: Engine): Record<string, number> {
  const config = configOf(section);
  const system = createSystem(config);
  const hardware = engine.create({
    machine: machineBlock(config, system.bounds, false),
    memory: system.memory.buffer,
  });
  hardware.loadContext(contextBlock(system.context));
  play(section, system, hardware, () => hardware.fault(), { begun() {}, ended() {} });
  const counters = hardware.counters();
  const positions: Record<string, number> = {};
  for (let position = 0; position < POSITIONS; position++) {
    const row = Math.floor(position / COLUMNS.length);
    const column = COLUMNS[position % COLUMNS.length];
    const name = `${ROWS[row]} ${row === ROW_PT ? column.slice(1) : column}`;
    const count = [COUNTER.refs, COUNTER.faultRefs, COUNTER.pwcHits].reduce(
      (sum, at) => sum + counters[at + position],
      0,
    );
    if (count > 0) positions[name] = count;
  }
  return positions;
}

/** The same from the lines of a log. */
export function positionsIn(log: readonly string[]): Record<string, number> {
  const positions: Record<string, number> = {};
  for (const text of log) {
    const [row, column] = text.split(' ');
    if (!(ROWS as readonly string[]).includes(row)) continue;
    const name = `${row} ${column}`;
    positions[name] = (positions[name] ?? 0) + 1;
  }
  return positions;
}

/** The first difference of a log and what was expected, as `file:line: …`; `undefined` when there is none. */
export function firstDifference(
  file: string,
  section: Section,
  actual: readonly string[],
): string | undefined {
  const expected = section.log;
  const many = Math.max(expected.length, actual.length);
  for (let k = 0; k < many; k++) {
    if (expected[k]?.text === actual[k]) continue;
    const line = expected[k]?.line ?? expected[expected.length - 1].line + 1;
    const wanted = expected[k] ? `"${expected[k].text}"` : 'the end of the log';
    const given = actual[k] === undefined ? 'nothing more' : `"${actual[k]}"`;
    return `${file}:${line}: expected ${wanted}, got ${given}`;
  }
  return undefined;
}
