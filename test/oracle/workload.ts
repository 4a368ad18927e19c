/** Philox4x32-10, the permutations, the Zipf table, and every pattern: a pure function from index to access. */

import { type Kind, type Region, toBytes, type WholeWorkload } from './config.ts';

const TWO_32 = 2 ** 32;

/** What a draw is for: the last word of Philox's counter. */
export const PURPOSE = {
  access: 0,
  guestPlacement: 1,
  hostPlacement: 2,
  replacement: 3,
  rankPermutation: 4,
  chase: 5,
  lookupKey: 6,
  mixture: 7,
} as const;

export type Words = [number, number, number, number];

/** The high half of the 64-bit product of a word and `b` ≤ 2^32: `below(w, n)` of docs/model.md. Every step is exact. */
export function below(word: number, b: number): number {
  const high = Math.floor(word / 65536);
  const low = word % 65536;
  return Math.floor((high * b + Math.floor((low * b) / 65536)) / 65536);
}

function lowProduct(a: number, b: number): number {
  return Math.imul(a, b) >>> 0;
}

/** Philox4x32 with ten rounds (Salmon et al., SC 2011). All words are unsigned 32-bit numbers. */
export function philox(counter: Words, key: [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = below(0xd2511f53, c0);
    const low0 = lowProduct(0xd2511f53, c0);
    const high1 = below(0xcd9e8d57, c2);
    const low1 = lowProduct(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) % TWO_32;
    k1 = (k1 + 0xbb67ae85) % TWO_32;
  }
  return [c0, c1, c2, c3];
}

function keyOf(seed: bigint): [number, number] {
  return [Number(seed & 0xffffffffn), Number((seed >> 32n) & 0xffffffffn)];
}

/** The four words drawn at an index of a stream for a purpose. */
export function draw(seed: bigint, index: number, stream: number, purpose: number): Words {
  return philox([index % TWO_32, Math.floor(index / TWO_32), stream, purpose], keyOf(seed));
}

/** π over [0, n): a Feistel network of four rounds with cycle walking. */
export function permute(seed: bigint, n: number, value: number, purpose: number, stream: number): number {
  let bits = 2;
  while (2 ** bits < n) bits += 2;
  const half = 2 ** (bits / 2);
  let result = value;
  do {
    let left = Math.floor(result / half);
    let right = result % half;
    for (let round = 0; round < 4; round++) {
      const mixed = philox([right, round, stream, purpose], keyOf(seed))[0] % half;
      [left, right] = [right, (left ^ mixed) >>> 0];
    }
    result = left * half + right;
  } while (result >= n);
  return result;
}

/** 1 / (rank + 1)^θ with θ in steps of 2^-24, from products and square roots alone. */
function zipfWeight(rank: number, theta: number): number {
  const t = Math.floor(theta * 2 ** 24 + 0.5);
  const whole = Math.floor(t / 2 ** 24);
  const x = rank + 1;
  let power = 1;
  for (let n = 0; n < whole; n++) power = power * x;
  let root = x;
  for (let bit = 23; bit >= 0; bit--) {
    root = Math.sqrt(root);
    if (Math.floor(t / 2 ** bit) % 2 === 1) power = power * root;
  }
  return 1 / power;
}

/** The alias table of a Zipf distribution over `pages` ranks (Vose's method, queues in rank order). */
export function zipfTable(pages: number, theta: number): { threshold: number[]; alias: number[] } {
  const weight: number[] = [];
  for (let r = 0; r < pages; r++) weight.push(zipfWeight(r, theta));
  let total = 0;
  for (const w of weight) total = total + w;
  const mass = weight.map((w) => (w * pages) / total);
  const ranks = mass.map((_, r) => r);
  const small = ranks.filter((r) => mass[r] < 1);
  const large = ranks.filter((r) => !(mass[r] < 1));
  const threshold = ranks.map(() => TWO_32 - 1);
  const alias = [...ranks];
  // Heads instead of shift(): the queues of a large region would make shift() quadratic.
  let smallHead = 0;
  let largeHead = 0;
  while (smallHead < small.length && largeHead < large.length) {
    const j = small[smallHead++];
    const g = large[largeHead];
    threshold[j] = Math.floor(mass[j] * TWO_32);
    alias[j] = g;
    mass[g] = mass[g] + mass[j] - 1;
    if (mass[g] < 1) {
      largeHead++;
      small.push(g);
    }
  }
  return { threshold, alias };
}

/** A component with its stream number, and region and write fraction taken from its parent where it has none. */
interface Component {
  spec: WholeWorkload;
  stream: number;
  region: Region;
  writeFraction: number;
  parts: Component[];
  zipf?: { threshold: number[]; alias: number[] };
}

/** A place in a region; the offset only where the pattern gives its own (a stride). */
interface Place {
  page: number;
  offset?: number;
}

/** An access: absolute page number (GVA >> 12), offset in the 4 KiB page, kind. */
export interface Access {
  page: number;
  offset: number;
  kind: Kind;
}

function number(component: Component, field: keyof WholeWorkload): number {
  const value = component.spec[field];
  if (typeof value !== 'number') throw new Error(`oracle: ${component.spec.pattern} needs "${field}"`);
  return value;
}

/** A synthetic workload. `access(i)` depends on the specification, the regions, the seed and i alone. */
export class Workload {
  readonly #seed: bigint;
  readonly #regions: Region[];
  readonly #root: Component;
  #streams = 0;

  constructor(spec: WholeWorkload, regions: Region[], seed: bigint) {
    this.#seed = seed;
    this.#regions = regions;
    this.#root = this.#number(spec, 0, 0);
  }

  access(index: number): Access {
    return this.#access(this.#root, index, undefined);
  }

  /** Numbers the components depth first, the parent before its parts. */
  #number(spec: WholeWorkload, parentRegion: number, parentWriteFraction: number): Component {
    const stream = this.#streams++;
    const regionIndex = spec.region ?? parentRegion;
    const writeFraction = spec.writeFraction ?? parentWriteFraction;
    const children = spec.of ? [spec.of] : (spec.parts ?? []);
    const parts = children.map((child) => this.#number(child, regionIndex, writeFraction));
    const region = this.#regions[regionIndex];
    if (!region) throw new Error(`oracle: there is no region ${regionIndex}`);
    return { spec, stream, region, writeFraction, parts };
  }

  /** `kindIndex` is the index that the outermost burst above sees, if there is a burst above. */
  #access(component: Component, index: number, kindIndex: number | undefined): Access {
    switch (component.spec.pattern) {
      case 'burst':
        return this.#access(
          component.parts[0],
          Math.floor(index / number(component, 'k')),
          kindIndex ?? index,
        );
      case 'mix':
        return this.#access(this.#chooseOfMix(component, index), index, kindIndex);
      case 'phases':
        return this.#accessOfPhases(component, index, kindIndex);
      case 'interleave': {
        const count = component.parts.length;
        return this.#access(component.parts[index % count], Math.floor(index / count), kindIndex);
      }
      default:
        return this.#accessOfLeaf(component, index, kindIndex ?? index);
    }
  }

  #chooseOfMix(component: Component, index: number): Component {
    const weights = component.spec.weights ?? [];
    const word = draw(this.#seed, index, component.stream, PURPOSE.mixture)[0];
    let total = 0;
    for (const weight of weights) total = total + weight;
    let sum = 0;
    for (let c = 0; c < component.parts.length; c++) {
      sum = sum + weights[c];
      if (word < Math.floor((sum / total) * TWO_32)) return component.parts[c];
    }
    return component.parts[component.parts.length - 1];
  }

  #accessOfPhases(component: Component, index: number, kindIndex: number | undefined): Access {
    const lengths = component.spec.lengths ?? [];
    let rest = index % lengths.reduce((sum, length) => sum + length, 0);
    let phase = 0;
    while (rest >= lengths[phase]) rest -= lengths[phase++];
    return this.#access(component.parts[phase], rest, kindIndex);
  }

  #accessOfLeaf(component: Component, index: number, kindIndex: number): Access {
    const place = this.#place(component, index);
    const words = draw(this.#seed, kindIndex, component.stream, PURPOSE.access);
    return {
      page: component.region.firstPage + place.page,
      offset: place.offset ?? 8 * Math.floor(words[3] / 2 ** 23),
      kind: words[2] < Math.floor(component.writeFraction * TWO_32) ? 'write' : 'read',
    };
  }

  #place(component: Component, index: number): Place {
    const pages = component.region.bytes / 4096;
    const [w0, w1] = draw(this.#seed, index, component.stream, PURPOSE.access);
    switch (component.spec.pattern) {
      case 'uniform':
        return { page: below(w0, pages) };
      case 'sequential':
        return stride(64, index, component.region.bytes);
      case 'stride':
        return stride(toBytes(component.spec.bytes ?? Number.NaN), index, component.region.bytes);
      case 'zipf':
        return { page: this.#pageOfZipf(component, pages, w0, w1) };
      case 'chase':
        return { page: permute(this.#seed, pages, index % pages, PURPOSE.chase, component.stream) };
      case 'hotcold': {
        const hot = Math.max(1, Math.floor(pages * number(component, 'hot')));
        if (hot >= pages) throw new Error('oracle: hotcold leaves no cold page');
        const isHot = w1 < Math.floor(number(component, 'weight') * TWO_32);
        return { page: isHot ? below(w0, hot) : hot + below(w0, pages - hot) };
      }
      case 'window': {
        const steps = BigInt(Math.floor(index / number(component, 'every')));
        const start = Number((steps * BigInt(number(component, 'shift'))) % BigInt(pages));
        return { page: (start + below(w0, number(component, 'pages'))) % pages };
      }
      case 'btree':
        return { page: this.#pageOfTree(component, index) };
      default:
        throw new Error(`oracle: there is no pattern "${component.spec.pattern}"`);
    }
  }

  #pageOfZipf(component: Component, pages: number, w0: number, w1: number): number {
    component.zipf ??= zipfTable(pages, number(component, 'theta'));
    const j = below(w0, pages);
    const rank = w1 < component.zipf.threshold[j] ? j : component.zipf.alias[j];
    if (component.spec.clustered) return rank;
    return permute(this.#seed, pages, rank, PURPOSE.rankPermutation, component.stream);
  }

  #pageOfTree(component: Component, index: number): number {
    const fanout = number(component, 'fanout');
    const levels = number(component, 'levels');
    const lookup = Math.floor(index / levels);
    const level = index % levels;
    const word = draw(this.#seed, lookup, component.stream, PURPOSE.lookupKey)[0];
    const leaf = below(word, fanout ** (levels - 1));
    let page = Math.floor(leaf / fanout ** (levels - 1 - level));
    for (let above = 0; above < level; above++) page += fanout ** above;
    return page;
  }
}

function stride(step: number, index: number, regionBytes: number): Place {
  const place = Number((BigInt(index) * BigInt(step)) % BigInt(regionBytes));
  return { page: Math.floor(place / 4096), offset: place % 4096 };
}
