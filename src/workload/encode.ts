/**
 * Turns a resolved workload into the block that both access generators read: one record a component, numbered depth
 * first (the number is the stream of its random draws), with everything that can be computed beforehand.
 */
import type { ComponentConfig, RegionConfig } from '../config/resolved.ts';
import { MAX_WORKLOAD_DEPTH } from '../config/workload.ts';
import { NestwalkError } from '../errors.ts';
import { COMPONENT, type WorkloadBlock } from '../hardware/access.ts';
import { COMPONENT_SLOTS, PATTERNS } from '../schema.ts';
import { zipfExponentUnits, zipfTable } from './zipf.ts';

const TWO_32 = 2 ** 32;
const PAGE = 4096;

/** Numbers for slots of a record, by name. */
type Slots = Partial<Record<keyof typeof COMPONENT, number>>;

/** The parts of a composite, in order; none of a leaf. */
function partsOf(component: ComponentConfig): ComponentConfig[] {
  if ('parts' in component) return component.parts;
  return 'of' in component ? [component.of] : [];
}

/** Greatest common divisor; exact for integers that doubles hold, because the remainder is. */
function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** A fraction of 2^32, rounded down: what a 32-bit word is compared with. */
const thresholdOf = (fraction: number): number => Math.floor(fraction * TWO_32);

/** The slots of the progression `i * step mod modulus`. */
function progressionSlots(step: number, modulus: number): Slots {
  const reduced = step % modulus;
  return { step: reduced, modulus, repeat: modulus / greatestCommonDivisor(modulus, reduced) };
}

/** `base` to the power of `exponent` by multiplication, which is exact up to 2^53 (`**` need not be). */
function powerOf(base: number, exponent: number): number {
  let power = 1;
  for (let k = 0; k < exponent && power <= Number.MAX_SAFE_INTEGER; k++) power *= base;
  return power;
}

/** For each level of a tree: the pages before it, and the leaves under one of its nodes. */
function btreeLimits(fanout: number, levels: number): number[] {
  const limits: number[] = [];
  let before = 0;
  let nodes = 1;
  let leavesBelow = powerOf(fanout, levels - 1);
  for (let level = 0; level < levels; level++) {
    limits.push(before, leavesBelow);
    before += nodes;
    nodes *= fanout;
    leavesBelow /= fanout;
  }
  return limits;
}

/** Thresholds of all parts but the last of a mix: partial sums of the weights, from the left, as fractions of 2^32. */
function mixLimits(weights: readonly number[]): number[] {
  const sums: number[] = [];
  let sum = 0;
  for (const weight of weights) {
    sum += weight;
    sums.push(sum);
  }
  return sums.slice(0, -1).map((partial) => thresholdOf(partial / sum));
}

/** Where each phase starts, and after the last their period. */
function phaseStarts(lengths: readonly number[]): number[] {
  const starts = [0];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  return starts;
}

/** Builds one block: records, links and tables grow as components are encoded. */
class Encoder {
  readonly records: number[] = [];
  readonly links: number[] = [];
  readonly tables: Uint32Array[] = [];
  readonly #regions: RegionConfig[];
  readonly #tableOf = new Map<string, number>();

  constructor(regions: RegionConfig[]) {
    this.#regions = regions;
  }

  /** Encodes a component and all below it; returns its number. */
  encode(component: ComponentConfig, path: string, depth: number): number {
    refuseUnless(
      depth <= MAX_WORKLOAD_DEPTH,
      path,
      `is nested deeper than ${MAX_WORKLOAD_DEPTH} components. Flatten it`,
    );
    const region = this.#regions[component.region];
    refuseUnless(
      region !== undefined,
      `${path}.region`,
      `is ${component.region}, but there are ${this.#regions.length} regions`,
    );
    const stream = this.records.length / COMPONENT_SLOTS;
    this.records.length += COMPONENT_SLOTS;
    this.records.fill(0, stream * COMPONENT_SLOTS);
    const pages = region.bytes / PAGE;
    refuseUnless(
      Number.isInteger(pages) && pages > 0,
      path,
      `uses a region of ${region.bytes} bytes, which is not a whole number of pages of 4 KiB`,
    );
    this.#write(stream, {
      pattern: PATTERNS.indexOf(component.pattern),
      basePage: region.base / PAGE,
      pages,
      writeThreshold: thresholdOf(component.writeFraction),
    });
    this.#write(stream, this.#parameters(component, pages, path));
    const parts = partsOf(component);
    const children = parts.map((part, k) =>
      this.encode(part, 'of' in component ? `${path}.of` : `${path}.parts[${k}]`, depth + 1),
    );
    this.#write(stream, { firstChild: this.#link(children), children: children.length });
    return stream;
  }

  #write(stream: number, slots: Slots): void {
    for (const [name, value] of Object.entries(slots)) {
      this.records[stream * COMPONENT_SLOTS + COMPONENT[name as keyof typeof COMPONENT]] = value;
    }
  }

  #link(numbers: readonly number[]): number {
    const first = this.links.length;
    for (const number of numbers) this.links.push(number);
    return first;
  }

  #limits(numbers: readonly number[]): Slots {
    return { firstLimit: this.#link(numbers), limits: numbers.length };
  }

  /** The slots that only this pattern has. */
  #parameters(component: ComponentConfig, pages: number, path: string): Slots {
    switch (component.pattern) {
      case 'uniform':
        refuseUnless(pages <= TWO_32, path, 'draws from a region of more than 16 TiB. Use a smaller region');
        return {};
      case 'stride': {
        const slots = progressionSlots(component.bytes, pages * PAGE);
        const repeatsPages = component.bytes > 0 && component.bytes < PAGE && component.writeFraction === 0;
        return { ...slots, repeatsPages: Number(repeatsPages) };
      }
      case 'zipf':
        return { table: this.#zipfTable(pages, component.theta), clustered: Number(component.clustered) };
      case 'hotcold': {
        refuseUnless(pages <= TWO_32, path, 'draws from a region of more than 16 TiB. Use a smaller region');
        const hotPages = Math.max(1, Math.floor(pages * component.hot));
        refuseUnless(
          hotPages < pages,
          path,
          `has ${hotPages} hot pages, which leaves no cold page among ${pages}. Use a smaller \`hot\` or a larger region`,
        );
        return { hotPages, hotThreshold: thresholdOf(component.weight) };
      }
      case 'window':
        refuseUnless(
          component.pages <= Math.min(pages, TWO_32),
          `${path}.pages`,
          `is ${component.pages}, more than the ${pages} pages of the region (or than 2^32)`,
        );
        return {
          ...progressionSlots(component.shift, pages),
          windowPages: component.pages,
          every: component.every,
        };
      case 'btree': {
        const leaves = powerOf(component.fanout, component.levels - 1);
        const limits =
          leaves <= TWO_32 && component.levels <= pages
            ? btreeLimits(component.fanout, component.levels)
            : [];
        refuseUnless(
          limits.length > 0 && limits.at(-2)! + leaves <= pages,
          path,
          `has more nodes than the ${pages} pages of the region (or more than 2^32 leaves). Use fewer levels or a larger region`,
        );
        return { levels: component.levels, leaves, ...this.#limits(limits) };
      }
      case 'burst':
        return { length: component.k };
      case 'mix':
        return this.#limits(mixLimits(component.weights));
      case 'phases': {
        const starts = phaseStarts(component.lengths);
        return { period: starts.at(-1)!, ...this.#limits(starts.slice(0, -1)) };
      }
      default:
        return {};
    }
  }

  /** Index of the table over so many pages with this exponent; built once. */
  #zipfTable(pages: number, theta: number): number {
    const key = `${pages} ${zipfExponentUnits(theta)}`;
    const known = this.#tableOf.get(key);
    if (known !== undefined) return known;
    this.#tableOf.set(key, this.tables.length);
    this.tables.push(zipfTable(pages, theta));
    return this.tables.length - 1;
  }
}

/**
 * What the generators rely on to stay inside their tables. `resolveConfig` makes sure of all of it, with the place of
 * each mistake: only a workload that was put together without it fails here.
 */
function refuseUnless(holds: boolean, path: string, message: string): void {
  if (holds) return;
  throw new NestwalkError('config.invalid', `${path} ${message}.`, {
    problems: [{ path, message: `${message}.` }],
  });
}

/**
 * Encodes a resolved synthetic workload over its regions. `seed` is given as its low and high 32-bit word.
 *
 * Throws `config.invalid` where the workload does not fit its regions or is nested deeper than
 * {@link MAX_WORKLOAD_DEPTH}, and `memory.limit` where a Zipf table would be too large.
 */
export function encodeWorkload(
  workload: ComponentConfig,
  regions: RegionConfig[],
  seed: { low: number; high: number },
): WorkloadBlock {
  const encoder = new Encoder(regions);
  encoder.encode(workload, 'workload', 1);
  return {
    components: Float64Array.from(encoder.records),
    links: Float64Array.from(encoder.links),
    tables: encoder.tables,
    seedLow: seed.low >>> 0,
    seedHigh: seed.high >>> 0,
  };
}
