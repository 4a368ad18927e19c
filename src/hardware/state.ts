/**
 * The complete state of the hardware in canonical form: a flat list of safe integers, so that both engines write the
 * same one and a digest compares them. Equal states have equal futures, and where way numbers cannot be seen the other
 * way round: lru and fifo keep their contents in order, most recent first; policies that choose by way number go by way.
 *
 * plru is canonical in part. A full set is listed victim side first at each node, which is all that hits and evictions
 * can see; but holes are filled lowest way first, and the list does not tell which way is lower. Two full sets with
 * equal lists may therefore go apart once something drops two or more, but not all, of their entries (INVLPG, a flush
 * of one of several tags, a fault). A set with holes goes by way with every tree bit: equal then means equal, but sets
 * may differ in bits that are overwritten before they are read (all of them in an empty set) and still have one future.
 */
import type { Core } from './core.ts';
import type { SetAssoc } from './setAssoc.ts';

/** Payload arrays of a structure, each indexed by slot. */
type Payloads = readonly (Float64Array | Uint8Array)[];

/** Stands before a plru set that is not full. */
const BY_WAY = -1;

/** Every structure of a core with its payloads, in the order of the saved state. */
function structures(core: Core): [SetAssoc, Payloads][] {
  const list: [SetAssoc, Payloads][] = [];
  for (const side of [core.l1d, core.l1i, core.stlb]) {
    for (const array of side?.arrays ?? []) list.push([array.cache, [array.frames, array.flags]]);
  }
  for (const psc of [core.table.psc, core.nested?.table.psc]) {
    for (const level of psc?.levels ?? []) if (level) list.push([level.cache, [level.tables, level.hosts, level.flags]]);
  }
  const ntlb = core.nested?.ntlb;
  if (ntlb) list.push([ntlb.cache, [ntlb.frames, ntlb.flags]]);
  if (core.state.pwc) list.push([core.state.pwc.cache, []]);
  for (const cache of core.state.caches.caches) list.push([cache, []]);
  return list;
}

/** Slots of a set in the order of the canonical form; invalid ones left out. */
function orderedSlots(cache: SetAssoc, set: number): number[] {
  const first = set * cache.ways;
  const slots: number[] = [];
  for (let slot = first; slot < first + cache.ways; slot++) if (cache.valid(slot)) slots.push(slot);
  const { stamps, values, ordered } = cache.replacement;
  if (ordered) return slots.sort((a, b) => stamps[b]! - stamps[a]!);
  const visit = (node: number, out: number[]): number[] => {
    if (node >= cache.ways) out.push(first + node - cache.ways);
    else {
      const victimSide = values[first + node]!;
      visit(2 * node + victimSide, out);
      visit(2 * node + (victimSide ^ 1), out);
    }
    return out;
  };
  return visit(1, []);
}

function saveSlot(cache: SetAssoc, payloads: Payloads, slot: number, out: number[]): void {
  out.push(cache.keys[slot]!, cache.owners[slot]!);
  for (const payload of payloads) out.push(payload[slot]!);
}

function saveByWay(cache: SetAssoc, payloads: Payloads, set: number, out: number[]): void {
  const { values, tree } = cache.replacement;
  const first = set * cache.ways;
  for (let slot = first; slot < first + cache.ways; slot++) {
    const valid = cache.valid(slot);
    out.push(valid ? 1 : 0);
    if (valid) saveSlot(cache, payloads, slot, out);
    if (values.length > 0 && (tree || valid)) out.push(values[slot]!);
  }
}

function saveSet(cache: SetAssoc, payloads: Payloads, set: number, out: number[]): void {
  const { ordered, tree } = cache.replacement;
  if (ordered || tree) {
    const first = set * cache.ways;
    let valid = 0;
    for (let slot = first; slot < first + cache.ways; slot++) if (cache.valid(slot)) valid++;
    if (ordered || valid === cache.ways) {
      out.push(valid);
      for (const slot of orderedSlots(cache, set)) saveSlot(cache, payloads, slot, out);
      return;
    }
    out.push(BY_WAY);
  }
  saveByWay(cache, payloads, set, out);
}

/** The complete state in canonical form. */
export function saveState(core: Core): Float64Array {
  const out: number[] = [];
  for (const [cache, payloads] of structures(core)) {
    for (let set = 0; set < cache.sets; set++) saveSet(cache, payloads, set, out);
  }
  return Float64Array.from(out);
}

/** Reads a saved state back, one number after the other. */
class Reader {
  private at = 0;
  private readonly state: Float64Array;

  constructor(state: Float64Array) {
    this.state = state;
  }

  next(): number {
    return this.state[this.at++]!;
  }

  get finished(): boolean {
    return this.at === this.state.length;
  }
}

function loadSlot(cache: SetAssoc, payloads: Payloads, slot: number, reader: Reader): void {
  cache.keys[slot] = reader.next();
  cache.owners[slot] = reader.next();
  for (const payload of payloads) payload[slot] = reader.next();
}

function loadSet(cache: SetAssoc, payloads: Payloads, set: number, reader: Reader): void {
  const { values, ordered, tree } = cache.replacement;
  const first = set * cache.ways;
  if (ordered || tree) {
    const valid = reader.next();
    if (valid !== BY_WAY) {
      // Least recent first, so that the order of the fills is the order of the contents; a full tree points left.
      for (let i = 0; i < valid; i++) loadSlot(cache, payloads, first + i, reader);
      if (ordered) for (let i = valid - 1; i >= 0; i--) cache.replacement.fill(first + i);
      else values.fill(0, first, first + cache.ways);
      return;
    }
  }
  for (let slot = first; slot < first + cache.ways; slot++) {
    const valid = reader.next() === 1;
    if (valid) loadSlot(cache, payloads, slot, reader);
    if (values.length > 0 && (tree || valid)) values[slot] = reader.next();
  }
}

/** Puts a saved state of a core with the same machine into a core. Counters are left alone. */
export function loadState(core: Core, state: Float64Array): void {
  const reader = new Reader(state);
  for (const [cache, payloads] of structures(core)) {
    cache.clear();
    for (let set = 0; set < cache.sets; set++) loadSet(cache, payloads, set, reader);
  }
  if (!reader.finished) throw new RangeError('a saved state is longer than this machine: it is of another one');
}
