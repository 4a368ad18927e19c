/**
 * The story of one translation: what happens in order, a sentence for each event, and which places of the reference
 * matrix it lights up or spares. The terminal and the page tell the same one.
 */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { WalkHit, WalkStep, WalkSteps } from '../results/types.ts';
import { PAGE_SIZES, type PageSize } from '../schema.ts';
import { count, countOf } from './format.ts';
import { matrixShape } from './terminal.ts';

/** Who answered: by this events are coloured. `none` where nobody was asked. */
export type StorySource = 'memory' | 'cache' | 'walkCache' | 'tlb' | 'fault' | 'none';

/** One event of a walk. */
export interface StoryEvent {
  /**
   * `start`: the access, before any reference; `reference`: an entry is read; `saved`: the page-walk cache has the entry;
   * `hit`: a structure spares references; `end`: the translation, or the fault.
   */
  kind: 'start' | 'reference' | 'saved' | 'hit' | 'end';
  /** Place in the matrix, `gL4/nL4`, of a reference or of what the page-walk cache saved. */
  place?: string;
  /** Number of the step, from 1, where an entry is read or saved. */
  step?: number;
  /** Who answered, in a word or two: `memory`, `L2`, `nested TLB`. */
  answer: string;
  source: StorySource;
  /** The hit that is told, for events of kind `hit`. */
  hit?: WalkHit;
  /** Places that this event spares. */
  spares: string[];
  /** Host physical address of the entry. */
  entryHpa?: string;
  /** Which address the event uses, and the index of which levels of it: from the highest down to the lowest. */
  uses?: { space: 'gva' | 'gpa'; address: string; highest: number; lowest: number };
  /** References so far. */
  references: number;
  /** Cycles of the walk so far. */
  cycles: number;
  /** What happens and why, in a sentence or two. */
  sentence: string;
}

/** A row of the picture. */
export interface StoryRow {
  row: string;
  /** What is read for its sake. */
  title: string;
  /** The address that the row translates; absent where the walk did not come to it, or in one dimension. */
  gpa?: string;
}

/** A column of the picture. */
export interface StoryColumn {
  column: string;
  title: string;
}

/** One translation as it is told. */
export interface Story {
  /** The access, and where it ended, on one line. */
  outcome: string;
  /** Where it ended alone: `→ GPA … → HPA …, 4KiB page`, or the fault. */
  reached: string;
  /** Whether it ended in a fault. */
  faulty: boolean;
  rows: StoryRow[];
  columns: StoryColumn[];
  /** Places without a reference in any walk of these page sizes, with the reason. */
  absent: Record<string, string>;
  events: StoryEvent[];
}

const placeOf = (row: string, column: string): string => `${row}/${column}`;

const ANSWERS: Record<WalkHit['structure'], string> = {
  l1d: 'L1 TLB',
  l1i: 'L1 instruction TLB',
  stlb: 'STLB',
  psc: 'PSC',
  nestedPsc: 'nested PSC',
  ntlb: 'nested TLB',
};
const TLBS: readonly string[] = ['l1d', 'l1i', 'stlb'];

const references = (number: number): string => countOf(number, 'reference');
const cycles = (number: number): string => countOf(number, 'cycle');

/** Level whose entries map pages of a size: 4KiB at 1, 2MiB at 2, 1GiB at 3. */
const leafLevel = (size: PageSize): number => PAGE_SIZES.indexOf(size) + 1;

/** What the tables of a mode are called, and which page sizes their leaves have. */
interface Tables {
  nested: boolean;
  shadow: boolean;
  /** Size of the leaves of the table that is walked by GVA, and of those of the nested one. */
  guestPage: PageSize;
  nestedPage: PageSize;
  /** A table of the walked dimension: `the guest’s level-4 table`. */
  table: (level: number) => string;
}

function tablesOf({ mode, guestPage, nestedPage }: ResolvedConfig['paging']): Tables {
  const smaller = PAGE_SIZES[Math.min(leafLevel(guestPage), leafLevel(nestedPage)) - 1]!;
  const nested = mode === 'nested';
  // A shadow table maps no more at a time than both of the tables that it was made from.
  const shadow = mode === 'shadow';
  const whose = nested ? 'the guest’s' : shadow ? 'the shadow’s' : 'the';
  return {
    nested,
    shadow,
    guestPage: shadow ? smaller : guestPage,
    nestedPage,
    table: (level) => `${whose} level-${level} table`,
  };
}

/** Tells one walk. */
class Teller {
  private readonly walk: WalkSteps;
  private readonly config: ResolvedConfig;
  private readonly tables: Tables;
  private readonly rows: readonly string[];
  private readonly columns: readonly string[];
  private readonly absent: Record<string, string> = {};
  /** Places in the order of a walk that nothing shortens. */
  private readonly order: string[] = [];
  private readonly events: StoryEvent[] = [];
  /** How many of `order` are behind. */
  private position = 0;
  private count = 0;
  private cycles = 0;

  constructor(walk: WalkSteps, config: ResolvedConfig) {
    this.walk = walk;
    this.config = config;
    this.tables = tablesOf(config.paging);
    const { rows, columns } = matrixShape(config.paging);
    this.rows = rows;
    this.columns = columns;
    this.layOut();
  }

  tell(): Story {
    const { walk } = this;
    this.start();
    for (const step of walk.steps) {
      this.hitsBefore(step.step);
      this.step(step);
    }
    this.hitsBefore(walk.steps.length + 1);
    this.end();
    const reached = this.reached();
    const cost = `${references(walk.references)}, ${cycles(walk.cycles)}`;
    return {
      outcome: walk.fault ? reached : `${walk.address} ${reached}, ${cost}`,
      reached,
      faulty: walk.fault !== undefined,
      rows: this.rows.map((row) => this.rowOf(row)),
      columns: this.columns.map((column) => ({ column, title: this.columnTitle(column) })),
      absent: this.absent,
      events: this.events,
    };
  }

  private columnTitle(column: string): string {
    if (column === 'g') return 'guest’s entry';
    const level = column.slice(-1);
    return this.tables.nested ? `nested level ${level}` : `level ${level}`;
  }

  private rowOf(row: string): StoryRow {
    const title =
      row === 'pt' ? '' : row === 'gPA' ? 'the data’s page' : `the guest’s level-${row.slice(-1)} table`;
    const known = [...this.walk.steps, ...this.walk.skipped].find((event) => event.row === row && event.gpa);
    return { row, title, ...(known?.gpa ? { gpa: known.gpa } : {}) };
  }

  /** Sorts all places into those that a walk of these page sizes has, in order, and those that it has not. */
  private layOut(): void {
    const { guestPage, nestedPage, nested } = this.tables;
    const guestLeaf = leafLevel(guestPage);
    const nestedLeaf = leafLevel(nestedPage);
    for (const row of this.rows)
      for (const column of this.columns) {
        if (row === 'gPA' && column === 'g') continue;
        const place = placeOf(row, column);
        const guestLevel = nested
          ? row === 'gPA'
            ? undefined
            : Number(row.slice(-1))
          : Number(column.slice(-1));
        const nestedLevel = nested && column !== 'g' ? Number(column.slice(-1)) : undefined;
        if (guestLevel !== undefined && guestLevel < guestLeaf)
          this.absent[place] =
            `a ${guestPage} page ends the walk${nested ? ' of the guest’s table' : ''} at level ${guestLeaf}`;
        else if (nestedLevel !== undefined && nestedLevel < nestedLeaf)
          this.absent[place] = `a ${nestedPage} nested page ends each nested walk at level ${nestedLeaf}`;
        else this.order.push(place);
      }
  }

  private push(event: Partial<StoryEvent> & Pick<StoryEvent, 'kind' | 'sentence'>): void {
    this.events.push({
      answer: '',
      source: 'none',
      spares: [],
      references: this.count,
      cycles: this.cycles,
      ...event,
    });
  }

  private start(): void {
    const { address, kind } = this.walk;
    const { machine, paging } = this.config;
    const does = kind === 'fetch' ? 'fetches an instruction from' : `${kind}s`;
    const hasStlb = machine.stlb.length > 0;
    const hasL1 = (kind === 'fetch' && machine.l1i ? machine.l1i : machine.l1d).length > 0;
    const isHit = this.walk.skipped.some(({ structure }) => TLBS.includes(structure));
    const misses = isHit
      ? ''
      : hasL1 || hasStlb
        ? ` ${hasL1 && hasStlb ? 'Neither the L1 TLB nor the STLB has' : 'The TLB does not have'} its page: the walk begins.`
        : ' Without a TLB every access walks.';
    const [first] = this.walk.steps;
    const isAtRoot =
      first !== undefined &&
      first.level ===
        (this.tables.nested && first.dimension === 'nested' ? paging.nestedLevels : paging.guestLevels);
    const root = first && isAtRoot && first.row !== 'gPA' ? this.rootSentence(first) : '';
    this.push({ kind: 'start', sentence: `The program ${does} ${address}.${misses}${root}` });
  }

  private rootSentence(first: WalkStep): string {
    if (this.tables.shadow)
      return ` The processor’s CR3 says where ${this.tables.table(first.level)} is, which the hypervisor made from the guest’s table and its own.`;
    if (!this.tables.nested) return ` CR3 says where ${this.tables.table(first.level)} is.`;
    if (first.gpa === undefined || first.row !== `gL${this.config.paging.guestLevels}`) return '';
    return ` CR3 says where the guest’s root is, GPA ${first.gpa}: but that is the guest’s idea of memory, and must be translated first.`;
  }

  /** Places between the last step and the next one, given to the structures that answered in between. */
  private hitsBefore(number: number): void {
    const hits = this.walk.skipped.filter(({ beforeStep }) => beforeStep === number);
    if (hits.length === 0) return;
    const next = this.walk.steps[number - 1];
    const at = next ? this.order.indexOf(placeOf(next.row, next.col)) : this.order.length;
    const isOver = next === undefined && this.walk.fault !== undefined;
    const between = isOver ? [] : this.order.slice(this.position, Math.max(this.position, at));
    const rows = new Set(hits.flatMap(({ row }) => row ?? []));
    for (const hit of hits) {
      // A TLB entry that lacks a right spares nothing: the walk is made all the same.
      const isVain = TLBS.includes(hit.structure) && this.walk.steps.length > 0;
      this.hit(hit, isVain ? [] : between.filter((place) => isSparedBy(hit, place, rows)));
    }
  }

  private hit(hit: WalkHit, spares: string[]): void {
    this.cycles = hit.cycles;
    const isTlb = TLBS.includes(hit.structure);
    this.push({
      kind: 'hit',
      hit,
      answer: ANSWERS[hit.structure],
      source: isTlb || hit.structure === 'ntlb' ? 'tlb' : 'walkCache',
      spares,
      uses: this.usedBy(hit),
      sentence: this.hitSentence(hit, spares.length),
    });
  }

  /** A PSC is looked into by the indices down to its level, a TLB by those down to its page's. */
  private usedBy({ gpa, level, size }: WalkHit): NonNullable<StoryEvent['uses']> {
    const { guestLevels, nestedLevels } = this.config.paging;
    const lowest = level ?? leafLevel(size!);
    return gpa === undefined
      ? { space: 'gva', address: this.walk.address, highest: guestLevels, lowest }
      : { space: 'gpa', address: gpa, highest: nestedLevels, lowest };
  }

  private hitSentence({ structure, gpa, level, size, message }: WalkHit, spared: number): string {
    const saves = spared > 0 ? ` ${references(spared)} spared.` : '';
    const address = gpa === undefined ? 'the address' : `GPA ${gpa}`;
    switch (structure) {
      case 'ntlb':
        return `The nested TLB knows where ${address} is: a ${size} nested page.${saves}`;
      case 'nestedPsc':
        return `A paging-structure cache of the nested table has the level-${level} entry for ${address}: this nested walk begins at level ${level! - 1}.${saves}`;
      case 'psc':
        return `The paging-structure cache has the level-${level} entry for this address${this.tables.nested ? ', with the host address behind it' : ''}: the walk begins at ${this.tables.table(level! - 1)}.${saves}`;
      default:
        return this.walk.steps.length > 0
          ? `The ${ANSWERS[structure]} has the page (${message.replace(/^hit: /, '')}).`
          : `The ${ANSWERS[structure]} has the page, with a ${size} entry: no walk at all.${saves}`;
    }
  }

  private step(step: WalkStep): void {
    const place = placeOf(step.row, step.col);
    const isSaved = step.servedBy === 'pwc';
    if (!isSaved) this.count += 1;
    const took = step.cycles - this.cycles;
    this.cycles = step.cycles;
    this.position = Math.max(this.position, this.order.indexOf(place) + 1);
    const isNested = this.tables.nested && step.dimension === 'nested';
    const address = isNested ? step.gpa : this.walk.address;
    const answered = isSaved
      ? `The page-walk cache has it (${cycles(took)}): no reference.`
      : this.answered(step.servedBy, took);
    this.push({
      kind: isSaved ? 'saved' : 'reference',
      place,
      step: step.step,
      answer: isSaved ? 'PWC' : step.servedBy,
      source: isSaved ? 'walkCache' : step.servedBy === 'memory' ? 'memory' : 'cache',
      entryHpa: step.entryHpa,
      ...(address === undefined
        ? {}
        : { uses: { space: isNested ? 'gpa' : 'gva', address, highest: step.level, lowest: step.level } }),
      sentence: `${isNested ? this.nestedSentence(step) : this.guestSentence(step)} ${answered}`,
    });
  }

  /** Who served a reference; what a step took beyond that went to walk caches that did not have what was looked for. */
  private answered(servedBy: string, took: number): string {
    const { caches, memoryLatency } = this.config.machine;
    const latency = caches.find(({ name }) => name === servedBy)?.latency ?? memoryLatency;
    const who = servedBy === 'memory' ? 'Memory' : `The ${servedBy} cache`;
    const probes = took > latency ? `, and ${count(took - latency)} before it for look-ups that missed` : '';
    return `${who} answers after ${cycles(latency)}${probes}.`;
  }

  private nestedSentence({ index, level, entryHpa, gpa, leaf, target, row }: WalkStep): string {
    const goal = row === 'gPA' ? 'the data' : `the guest’s level-${row.slice(-1)} table`;
    const read = `Read entry ${index} of the nested level-${level} table at HPA ${entryHpa}, on the way to GPA ${gpa} (${goal})`;
    if (target === undefined) return `${read}: it is not present.`;
    if (!leaf) return `${read}: it points at the nested level-${level - 1} table at HPA ${target}.`;
    return `${read}: it maps a ${PAGE_SIZES[level - 1]} page to HPA ${target}.`;
  }

  private guestSentence({ index, level, entryHpa, entryGpa, leaf, target }: WalkStep): string {
    const where =
      entryGpa === undefined
        ? `at HPA ${entryHpa}`
        : `at GPA ${entryGpa}, which the nested table maps to HPA ${entryHpa}`;
    const read = `Read entry ${index} of ${this.tables.table(level)} ${where}`;
    if (target === undefined) return `${read}: it is not present.`;
    const space = entryGpa === undefined ? 'HPA' : 'GPA';
    const next = leaf
      ? `it maps a ${PAGE_SIZES[level - 1]} page to ${space} ${target}`
      : `it points at ${this.tables.table(level - 1)} at ${space} ${target}`;
    return `${read}: ${next}${entryGpa === undefined ? '.' : ', which must be translated in turn.'}`;
  }

  private reached(): string {
    const { fault, gpa, hpa, size } = this.walk;
    if (fault) return fault.message;
    return `${gpa === undefined ? '' : `→ GPA ${gpa} `}→ HPA ${hpa}, ${size} page`;
  }

  private end(): void {
    const { walk, config } = this;
    this.cycles = walk.cycles;
    const cost = `${references(walk.references)}, ${cycles(walk.cycles)}`;
    if (walk.fault) {
      this.push({
        kind: 'end',
        source: 'fault',
        answer: 'fault',
        sentence: `${walk.fault.message} So far ${cost}.`,
      });
      return;
    }
    const hasTlb = config.machine.l1d.length + config.machine.stlb.length > 0;
    const filled =
      hasTlb && walk.steps.length > 0
        ? ` The TLB now holds the page, with a ${walk.size} entry${this.splintered()}.`
        : '';
    const spared = this.order.length - walk.references;
    const saves = spared > 0 ? ` A walk that nothing shortens takes ${references(this.order.length)}.` : '';
    const hidden = this.tables.shadow
      ? ' What this does not show: whenever the guest changes its table, the hypervisor must follow.'
      : '';
    this.push({
      kind: 'end',
      sentence: `Found: ${walk.address} is at HPA ${walk.hpa}. ${cost}.${saves}${filled}${hidden}`,
    });
  }

  /** Why the TLB entry is smaller than a page of one of the tables. */
  private splintered(): string {
    const { mode, guestPage, nestedPage } = this.config.paging;
    if (mode === 'native' || guestPage === nestedPage) return '';
    return `, the smaller of ${guestPage} and ${nestedPage}`;
  }
}

/** Whether a hit is what spared a place: a nested structure spares places of its row, the others what no nested one claims. */
function isSparedBy(hit: WalkHit, place: string, claimed: ReadonlySet<string>): boolean {
  const [row, column] = place.split('/') as [string, string];
  if (hit.row === undefined) return !claimed.has(row) || column === 'g';
  return hit.row === row && column !== 'g';
}

/** The story of one translation, in order. */
export const walkStory = (walk: WalkSteps, config: ResolvedConfig): Story => new Teller(walk, config).tell();
