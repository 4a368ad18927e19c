/**
 * The access generator: a pure function from (workload, seed, index) to an access. Nothing that it keeps between
 * calls changes an answer, so any worker may begin at any index. Twin of `native/hardware/access.h`.
 */

import type { PatternName } from '../schema.ts';
import { COMPONENT_SLOTS, KIND_SHIFT, PATTERNS, PURPOSES } from '../schema.ts';
import { below, Permutation, philox, philoxPair } from './philox.ts';

/** A synthetic workload as the generators read it; a structured clone of it shares the tables between workers. */
export interface WorkloadBlock {
  /** Records of `COMPONENT_SLOTS` numbers ({@link COMPONENT}), depth first: the index is the component's stream number. */
  components: Float64Array;
  /** Children (component numbers) and limits, as the records point at them. */
  links: Float64Array;
  /** Zipf tables over shared memory: entry r is the pair threshold (`2r`), alias (`2r + 1`). */
  tables: Uint32Array[];
  /** Low word of the seed. */
  seedLow: number;
  /** High word of the seed. */
  seedHigh: number;
}

/**
 * Slots of a component record. Pages are 4 KiB; `pages`, `basePage` are those of its region. `writeThreshold` is
 * ⌊writeFraction · 2^32⌋. The limits in `links` are, for `mix`, the thresholds of all parts but the last; for
 * `phases`, the start of each part; for `btree`, two numbers a level: pages before it, and leaves under one of its nodes.
 * From slot 8 on each pattern has its own.
 */
export const COMPONENT = {
  pattern: 0,
  basePage: 1,
  pages: 2,
  writeThreshold: 3,
  firstChild: 4,
  children: 5,
  firstLimit: 6,
  limits: 7,
  /** stride (bytes, reduced modulo the region's), window (pages, reduced modulo the region's): what a step adds. */
  step: 8,
  /** stride: bytes of the region; window: pages of the region. */
  modulus: 9,
  /** stride, window: steps after which the progression repeats. */
  repeat: 10,
  /** stride: 1 when accesses repeat a page back to back and none of them writes. */
  repeatsPages: 11,
  /** window: its pages, and the accesses between two steps. */
  windowPages: 11,
  every: 12,
  /** zipf: index of its table, and 1 when rank and page are the same number. */
  table: 8,
  clustered: 9,
  /** hotcold: hot pages, ⌊weight · 2^32⌋. */
  hotPages: 8,
  hotThreshold: 9,
  /** btree: levels and leaves. */
  levels: 8,
  leaves: 9,
  /** burst: accesses to one page. */
  length: 8,
  /** phases: sum of the lengths. */
  period: 8,
} as const;

/** Accesses generated at once: what bounds the scratch space. */
const BATCH = 512;
/** Shift and mask that turn the fourth word of a draw into the offset 8 · (word >>> 23). */
const OFFSET_SHIFT = 20;
const OFFSET_MASK = 0xff8;
const WRITE = 1 << KIND_SHIFT;
const TWO_32 = 2 ** 32;

const ACCESS = PURPOSES.access;
const LOOKUP_KEY = PURPOSES.lookupKey;
const MIXTURE = PURPOSES.mixture;

/** `i * step mod modulus`, exact; `step` < `modulus`, and `i` already below the number of steps that repeat. */
function multiplyModulo(i: number, step: number, modulus: number): number {
  const product = i * step;
  if (product <= Number.MAX_SAFE_INTEGER) return product % modulus;
  return Number((BigInt(i) * BigInt(step)) % BigInt(modulus));
}

/** Quotient and remainder of an index, cheap when it is at most one divisor ahead of the one before. */
class Divider {
  quotient = -1;
  remainder: number;
  readonly #divisor: number;
  /** The one before index 0, to begin with. */
  #index = -1;

  constructor(divisor: number) {
    this.#divisor = divisor;
    this.remainder = divisor - 1;
  }

  seek(index: number): void {
    const ahead = index - this.#index;
    if (ahead >= 0 && ahead <= this.#divisor) {
      // The subtraction comes first: a sum might leave the exact integers.
      const wraps = this.remainder >= this.#divisor - ahead;
      this.remainder += wraps ? ahead - this.#divisor : ahead;
      if (wraps) this.quotient++;
    } else {
      this.remainder = index % this.#divisor;
      this.quotient = (index - this.remainder) / this.#divisor;
    }
    this.#index = index;
  }
}

/** `index * step mod modulus`, exact, cheap when the steps from the index before are together less than the modulus. */
class Progression {
  value: number;
  readonly #step: number;
  readonly #modulus: number;
  readonly #repeat: number;
  /** Most steps that are together less than the modulus. */
  readonly #reach: number;
  /** The one before index 0, to begin with. */
  #index = -1;

  constructor(step: number, modulus: number, repeat: number) {
    this.#step = step;
    this.#modulus = modulus;
    this.#repeat = repeat;
    this.#reach = step === 0 ? Number.POSITIVE_INFINITY : Math.floor((modulus - 1) / step);
    this.value = modulus - step;
  }

  seek(index: number): void {
    const ahead = index - this.#index;
    if (ahead >= 0 && ahead <= this.#reach) {
      const advance = ahead * this.#step;
      this.value += this.value >= this.#modulus - advance ? advance - this.#modulus : advance;
    } else {
      this.value = multiplyModulo(index % this.#repeat, this.#step, this.#modulus);
    }
    this.#index = index;
  }
}

/** One component, decoded from its record; `children` and `limits` from the links. */
class Component {
  readonly pattern: PatternName;
  readonly stream: number;
  readonly basePage: number;
  readonly pages: number;
  readonly bytes: number;
  readonly writeThreshold: number;
  readonly children: Component[];
  /** Where each child's share of a batch ends, once {@link AccessGenerator} has routed it. */
  readonly ends: Uint32Array;
  readonly limits: Float64Array;
  /** Of the indices, by what the pattern divides them by. */
  readonly divider: Divider;
  /** Of stride and window; no other pattern looks at it. */
  readonly progression: Progression;
  /** Of chase and scattered zipf. */
  readonly permutation: Permutation | null;
  readonly #record: Float64Array;

  constructor(block: WorkloadBlock, stream: number) {
    const record = block.components.subarray(stream * COMPONENT_SLOTS, (stream + 1) * COMPONENT_SLOTS);
    const linked = (first: number, count: number): Float64Array =>
      block.links.subarray(record[first], record[first] + record[count]);
    this.#record = record;
    this.pattern = PATTERNS[record[COMPONENT.pattern]];
    this.stream = stream;
    this.basePage = record[COMPONENT.basePage];
    this.pages = record[COMPONENT.pages];
    this.bytes = this.pages * 4096;
    this.writeThreshold = record[COMPONENT.writeThreshold];
    this.children = Array.from(
      linked(COMPONENT.firstChild, COMPONENT.children),
      (child) => new Component(block, child),
    );
    this.ends = new Uint32Array(this.children.length);
    this.limits = linked(COMPONENT.firstLimit, COMPONENT.limits);
    this.divider = new Divider(this.#divisor());
    this.progression = new Progression(
      this.parameter('step'),
      this.parameter('modulus'),
      this.parameter('repeat'),
    );
    this.permutation = this.#permutation(block);
  }

  /** A slot of the record. */
  parameter(name: keyof typeof COMPONENT): number {
    return this.#record[COMPONENT[name]];
  }

  /** Whether it or a component below it writes. */
  hasWrites(): boolean {
    return this.writeThreshold > 0 || this.children.some((child) => child.hasWrites());
  }

  /** Composites on the longest path from here down, this one included. */
  depth(): number {
    return this.children.length === 0 ? 0 : 1 + Math.max(...this.children.map((child) => child.depth()));
  }

  #permutation(block: WorkloadBlock): Permutation | null {
    const isZipf = this.pattern === 'zipf' && this.parameter('clustered') === 0;
    if (this.pattern !== 'chase' && !isZipf) return null;
    const purpose = isZipf ? PURPOSES.rankPermutation : PURPOSES.chase;
    return new Permutation(this.pages, purpose, this.stream, block.seedLow, block.seedHigh);
  }

  #divisor(): number {
    switch (this.pattern) {
      case 'window':
        return this.parameter('every');
      case 'btree':
        return this.parameter('levels');
      case 'burst':
        return this.parameter('length');
      case 'phases':
        return this.parameter('period');
      case 'interleave':
        return this.children.length;
      default:
        return this.pages;
    }
  }
}

/**
 * Scratch of one depth: for each access the index that the component sees, the index that its kind and offset come
 * from, where it belongs one depth up, and the access itself.
 */
class Level {
  readonly indices = new Float64Array(BATCH);
  readonly kinds = new Float64Array(BATCH);
  readonly positions = new Uint32Array(BATCH);
  readonly pages = new Float64Array(BATCH);
  readonly words = new Uint16Array(BATCH);
}

/**
 * Generates the accesses of a workload block: `fill` writes any span of them, `nextRun` tells how many stay on a page.
 * A page is absolute (GVA >> 12), a word is offset | kind << 12.
 */
export class AccessGenerator {
  /** Whether {@link nextRun} answers: the workload is one `stride` shorter than a page, and never writes. */
  readonly hasRuns: boolean;
  /** Whether any access writes. */
  readonly hasWrites: boolean;
  /** Page of the run that {@link nextRun} found last. */
  runPage = 0;
  readonly #seedLow: number;
  readonly #seedHigh: number;
  readonly #tables: Uint32Array[];
  readonly #root: Component;
  readonly #levels: Level[];
  /** Four words for each access of a batch. */
  readonly #drawn = new Uint32Array(4 * BATCH);
  /** Child of each access of a batch, and the index which that child sees. */
  readonly #choices = new Uint32Array(BATCH);
  readonly #childIndices = new Float64Array(BATCH);
  #wantsWords = true;
  /** Page in the region and offset that {@link #locate} found. */
  #page = 0;
  #offset = 0;

  constructor(block: WorkloadBlock) {
    this.#seedLow = block.seedLow | 0;
    this.#seedHigh = block.seedHigh | 0;
    this.#tables = block.tables;
    this.#root = new Component(block, 0);
    this.#levels = Array.from({ length: this.#root.depth() + 1 }, () => new Level());
    this.hasWrites = this.#root.hasWrites();
    this.hasRuns = this.#root.pattern === 'stride' && this.#root.parameter('repeatsPages') === 1;
  }

  /**
   * Writes the accesses `from` to `from + count - 1` to the first `count` places of `pages` and `words`; without `words`
   * kinds and offsets are not even drawn.
   */
  fill(from: number, count: number, pages: Float64Array, words?: Uint16Array): void {
    this.#wantsWords = words !== undefined;
    const level = this.#levels[0];
    for (let done = 0; done < count; done += BATCH) {
      const size = Math.min(BATCH, count - done);
      const { indices } = level;
      for (let k = 0; k < size; k++) indices[k] = from + done + k;
      this.#component(this.#root, 0, 0, size, false);
      pages.set(level.pages.subarray(0, size), done);
      words?.set(level.words.subarray(0, size), done);
    }
  }

  /**
   * How many accesses from `from` on, at most `limit`, stay on one page, which is left in `runPage`; 0 when the
   * workload has no runs. Offsets are not told.
   */
  nextRun(from: number, limit: number): number {
    if (!this.hasRuns) return 0;
    const root = this.#root;
    this.#locate(root, from);
    this.runPage = root.basePage + this.#page;
    if (root.pages === 1) return limit;
    return Math.min(limit, Math.floor((4095 - this.#offset) / root.parameter('step')) + 1);
  }

  /**
   * The accesses of one component at `indices[start]` and on of its level. Under a `burst`, kinds and offsets have
   * indices of their own, those that the outermost burst sees.
   */
  #component(c: Component, depth: number, start: number, count: number, burst: boolean): void {
    if (c.children.length > 0) this.#composite(c, depth, start, count, burst);
    else this.#leaf(c, this.#levels[depth], start, count, burst);
  }

  /** Sends each access to a child, lets each child fill its share one depth down, and brings the accesses back. */
  #composite(c: Component, depth: number, start: number, count: number, burst: boolean): void {
    const level = this.#levels[depth];
    const next = this.#levels[depth + 1];
    this.#choose(c, level.indices, start, count);
    this.#partition(c, burst ? level.kinds : level.indices, next, start, count);
    let first = 0;
    for (let child = 0; child < c.children.length; child++) {
      const size = c.ends[child] - first;
      if (size > 0)
        this.#component(c.children[child], depth + 1, first, size, burst || c.pattern === 'burst');
      first = c.ends[child];
    }
    for (let k = 0; k < count; k++) {
      level.pages[start + next.positions[k]] = next.pages[k];
      level.words[start + next.positions[k]] = next.words[k];
    }
  }

  /** The child of each access, and the index which that child sees. */
  #choose(c: Component, indices: Float64Array, start: number, count: number): void {
    switch (c.pattern) {
      case 'burst':
        for (let k = 0; k < count; k++) {
          c.divider.seek(indices[start + k]);
          this.#choices[k] = 0;
          this.#childIndices[k] = c.divider.quotient;
        }
        break;
      case 'mix':
        this.#chooseMix(c, indices, start, count);
        break;
      case 'phases':
        this.#choosePhase(c, indices, start, count);
        break;
      default:
        for (let k = 0; k < count; k++) {
          c.divider.seek(indices[start + k]);
          this.#choices[k] = c.divider.remainder;
          this.#childIndices[k] = c.divider.quotient;
        }
    }
  }

  #chooseMix(c: Component, indices: Float64Array, start: number, count: number): void {
    this.#draws(c.stream, MIXTURE, indices, start, count);
    for (let k = 0; k < count; k++) {
      const word = this.#drawn[4 * k];
      let child = 0;
      while (child < c.limits.length && word >= c.limits[child]) child++;
      this.#choices[k] = child;
      this.#childIndices[k] = indices[start + k];
    }
  }

  #choosePhase(c: Component, indices: Float64Array, start: number, count: number): void {
    let phase = 0;
    for (let k = 0; k < count; k++) {
      c.divider.seek(indices[start + k]);
      const at = c.divider.remainder;
      if (at < c.limits[phase]) phase = 0;
      while (phase + 1 < c.limits.length && at >= c.limits[phase + 1]) phase++;
      this.#choices[k] = phase;
      this.#childIndices[k] = at - c.limits[phase];
    }
  }

  /** Sorts the accesses by child, in their order, into the next level; `c.ends` then tells where each share ends. */
  #partition(c: Component, kinds: Float64Array, next: Level, start: number, count: number): void {
    const ends = c.ends.fill(0);
    for (let k = 0; k < count; k++) ends[this.#choices[k]]++;
    let first = 0;
    for (let child = 0; child < ends.length; child++) {
      const size = ends[child];
      ends[child] = first;
      first += size;
    }
    for (let k = 0; k < count; k++) {
      const place = ends[this.#choices[k]]++;
      next.indices[place] = this.#childIndices[k];
      next.kinds[place] = kinds[start + k];
      next.positions[place] = k;
    }
  }

  #leaf(c: Component, level: Level, start: number, count: number, burst: boolean): void {
    const kinds = burst ? level.kinds : level.indices;
    if (c.pattern === 'stride') {
      this.#stride(c, level, kinds, start, count);
      return;
    }
    if (this.#wantsWords) this.#kinds(c, kinds, level.words, start, count);
    switch (c.pattern) {
      case 'chase':
        this.#chase(c, level, start, count);
        return;
      case 'btree':
        this.#btree(c, level, start, count);
        return;
      default:
    }
    if (burst || !this.#wantsWords) this.#draws(c.stream, ACCESS, level.indices, start, count);
    switch (c.pattern) {
      case 'zipf':
        this.#zipf(c, level.pages, start, count);
        return;
      case 'hotcold':
        this.#hotcold(c, level.pages, start, count);
        return;
      case 'window':
        this.#window(c, level, start, count);
        return;
      default:
        this.#uniform(c, level.pages, start, count);
    }
  }

  /** The four words of each access for a purpose; an index that repeats (under a burst) is drawn once. */
  #draws(stream: number, purpose: number, indices: Float64Array, start: number, count: number): void {
    const drawn = this.#drawn;
    const seedLow = this.#seedLow;
    const seedHigh = this.#seedHigh;
    let last = -1;
    for (let k = 0; k < count; k++) {
      const index = indices[start + k];
      if (index === last) {
        drawn.copyWithin(4 * k, 4 * k - 4, 4 * k);
        continue;
      }
      const next = k + 1 < count ? indices[start + k + 1] : index;
      last = next;
      if (next === index) {
        this.#draw(index, stream, purpose, 4 * k);
      } else {
        const high = (index / TWO_32) | 0;
        philoxPair(
          index | 0,
          high,
          next | 0,
          (next / TWO_32) | 0,
          stream,
          purpose,
          seedLow,
          seedHigh,
          drawn,
          4 * k,
        );
        k++;
      }
    }
  }

  #draw(index: number, stream: number, purpose: number, at: number): void {
    philox(index | 0, (index / TWO_32) | 0, stream, purpose, this.#seedLow, this.#seedHigh, this.#drawn, at);
  }

  /** Kind and offset of each access, out of the third and the fourth word. */
  #kinds(c: Component, indices: Float64Array, words: Uint16Array, start: number, count: number): void {
    this.#draws(c.stream, ACCESS, indices, start, count);
    const drawn = this.#drawn;
    const { writeThreshold } = c;
    for (let k = 0; k < count; k++) {
      const offset = (drawn[4 * k + 3] >>> OFFSET_SHIFT) & OFFSET_MASK;
      words[start + k] = drawn[4 * k + 2] < writeThreshold ? offset | WRITE : offset;
    }
  }

  /** A stride has offsets of its own; only the kinds are drawn. */
  #stride(c: Component, level: Level, kinds: Float64Array, start: number, count: number): void {
    if (c.writeThreshold > 0 && this.#wantsWords) this.#kinds(c, kinds, level.words, start, count);
    else level.words.fill(0, start, start + count);
    for (let k = start; k < start + count; k++) {
      this.#locate(c, level.indices[k]);
      level.pages[k] = c.basePage + this.#page;
      level.words[k] = (level.words[k] & WRITE) | this.#offset;
    }
  }

  /** Page and offset of a stride at an index. A region above 2^53 bytes has addresses that no double holds. */
  #locate(c: Component, index: number): void {
    if (c.bytes <= Number.MAX_SAFE_INTEGER) {
      c.progression.seek(index);
      this.#offset = c.progression.value % 4096;
      this.#page = (c.progression.value - this.#offset) / 4096;
    } else {
      const address = (BigInt(index) * BigInt(c.parameter('step'))) % BigInt(c.bytes);
      this.#offset = Number(address & 4095n);
      this.#page = Number(address >> 12n);
    }
  }

  #chase(c: Component, level: Level, start: number, count: number): void {
    for (let k = start; k < start + count; k++) {
      c.divider.seek(level.indices[k]);
      level.pages[k] = c.basePage + c.permutation!.at(c.divider.remainder);
    }
  }

  /** Each lookup takes `levels` accesses, from the root down to the leaf that its key has. */
  #btree(c: Component, level: Level, start: number, count: number): void {
    const leaves = c.parameter('leaves');
    let lookup = -1;
    let leaf = 0;
    for (let k = start; k < start + count; k++) {
      c.divider.seek(level.indices[k]);
      if (c.divider.quotient !== lookup) {
        lookup = c.divider.quotient;
        this.#draw(lookup, c.stream, LOOKUP_KEY, 0);
        leaf = below(this.#drawn[0], leaves);
      }
      const before = c.limits[2 * c.divider.remainder];
      const leavesBelow = c.limits[2 * c.divider.remainder + 1];
      level.pages[k] = c.basePage + before + Math.floor(leaf / leavesBelow);
    }
  }

  #uniform(c: Component, pages: Float64Array, start: number, count: number): void {
    const drawn = this.#drawn;
    const { basePage, pages: number } = c;
    for (let k = 0; k < count; k++) pages[start + k] = basePage + below(drawn[4 * k], number);
  }

  #zipf(c: Component, pages: Float64Array, start: number, count: number): void {
    const table = this.#tables[c.parameter('table')];
    const clustered = c.parameter('clustered') === 1;
    for (let k = 0; k < count; k++) {
      const j = below(this.#drawn[4 * k], c.pages);
      const rank = this.#drawn[4 * k + 1] < table[2 * j] ? j : table[2 * j + 1];
      pages[start + k] = c.basePage + (clustered ? rank : c.permutation!.at(rank));
    }
  }

  #hotcold(c: Component, pages: Float64Array, start: number, count: number): void {
    const hot = c.parameter('hotPages');
    const threshold = c.parameter('hotThreshold');
    for (let k = 0; k < count; k++) {
      const word = this.#drawn[4 * k];
      const isHot = this.#drawn[4 * k + 1] < threshold;
      pages[start + k] = c.basePage + (isHot ? below(word, hot) : hot + below(word, c.pages - hot));
    }
  }

  #window(c: Component, level: Level, start: number, count: number): void {
    const size = c.parameter('windowPages');
    for (let k = 0; k < count; k++) {
      c.divider.seek(level.indices[start + k]);
      c.progression.seek(c.divider.quotient);
      const page = c.progression.value + below(this.#drawn[4 * k], size);
      level.pages[start + k] = c.basePage + (page < c.pages ? page : page - c.pages);
    }
  }
}
