/**
 * One pass for many STLBs. Over one stream, an lru set of W ways holds the W most recent of the numbers that map to it
 * (Mattson et al., 1970; Hill and Smith, 1989), so one stack of the deepest W for each number of sets tells hits and
 * misses of every cell: a number found at depth d hits in each cell of more than d ways. That asks nothing of how a
 * number picks its set, so hashed STLBs are no exception. Each cell's misses go on to a walker of its own, which sees
 * them in order.
 */
import { MACHINE, PAGE_SHIFT } from '../schema.ts';
import type { Core } from './core.ts';
import { foldedSet, isFolded } from './setIndex.ts';

/** Slot of the indexing of the only STLB array in a machine block. */
const STLB_INDEXING = MACHINE.stlb + 4;

/** Most ways of a cell; cells with more are run by themselves. */
export const STACK_MOST_WAYS = 32;

/** Geometry of a cell's STLB. No entries: an STLB that does not take pages of the run's size. */
export interface StackCell {
  readonly entries: number;
  readonly ways: number;
}

/** The stacks of one number of sets: numbers of each set, most recent first; -1 where there is none. */
class StackSets {
  readonly sets: number;
  readonly ways: number;
  private readonly folded: boolean;
  private readonly numbers: Float64Array;

  constructor(sets: number, ways: number, folded: boolean) {
    this.sets = sets;
    this.ways = ways;
    this.folded = folded;
    this.numbers = new Float64Array(sets * ways).fill(-1);
  }

  /** How many numbers of its set are more recent than this one (`ways` when it is not there); makes it the most recent. */
  access(number: number): number {
    const numbers = this.numbers;
    const set = this.folded ? foldedSet(number, this.sets) : number & (this.sets - 1);
    const first = set * this.ways;
    let before = number;
    for (let depth = 0; depth < this.ways; depth++) {
      const current = numbers[first + depth]!;
      numbers[first + depth] = before;
      if (current === number) return depth;
      before = current;
    }
    return this.ways;
  }
}

/** The cells of one pass, fed with the pages that missed L1. */
export class Stack {
  /** STLB misses by cell. */
  readonly misses: Float64Array;
  private readonly cells: readonly StackCell[];
  private readonly walkers: readonly Core[];
  private readonly stacks: StackSets[] = [];
  /** For each cell the place of its stacks in `stacks`, -1 for a cell without entries. */
  private readonly stackOfCell: Int32Array;
  private readonly depths: Int32Array;
  private readonly span: number;

  /** `machine` tells the size of pages and the indexing of its one STLB array; `walkers`: a core for each cell, or none when only TLBs are counted. */
  constructor(machine: Float64Array, cells: readonly StackCell[], walkers: readonly Core[]) {
    this.cells = cells;
    this.walkers = walkers;
    this.span = 2 ** (PAGE_SHIFT[machine[MACHINE.staticSize]!]! - PAGE_SHIFT[0]);
    this.misses = new Float64Array(cells.length);
    const setsOf = (cell: StackCell): number => (cell.ways === 0 ? 0 : cell.entries / cell.ways);
    const distinct = [...new Set(cells.map(setsOf))].filter((sets) => sets > 0);
    for (const sets of distinct) {
      const ways = Math.max(...cells.filter((cell) => setsOf(cell) === sets).map((cell) => cell.ways));
      this.stacks.push(new StackSets(sets, ways, isFolded(machine[STLB_INDEXING]!)));
    }
    this.stackOfCell = Int32Array.from(cells, (cell) => distinct.indexOf(setsOf(cell)));
    this.depths = new Int32Array(this.stacks.length);
  }

  /** Takes the next page that missed L1. False when a walk broke the promise of a static run. */
  take(page: number): boolean {
    const number = Math.floor(page / this.span);
    for (let s = 0; s < this.stacks.length; s++) this.depths[s] = this.stacks[s]!.access(number);
    for (let i = 0; i < this.cells.length; i++) {
      const stack = this.stackOfCell[i]!;
      if (stack >= 0 && this.depths[stack]! < this.cells[i]!.ways) continue;
      this.misses[i]!++;
      if (this.walkers.length > 0 && !this.walkers[i]!.walkPage(page)) return false;
    }
    return true;
  }
}
