/**
 * The complete state of the hardware in canonical form: a flat list of safe integers, so that both engines write the
 * same one and a digest compares them. Equal states have equal futures, and where way numbers cannot be seen the other
 * way round: lru and fifo keep their contents in order, most recent first; policies that choose by way number go by way.
 * Each structure is a section: the count of its numbers, then these.
 *
 * plru is canonical in part. A full set is listed victim side first at each node, which is all that hits and evictions
 * can see; but holes are filled lowest way first, and the list does not tell which way is lower. Two full sets with
 * equal lists may therefore go apart once something drops two or more, but not all, of their entries (INVLPG, a flush
 * of one of several tags, a fault). A set with holes goes by way with every tree bit: equal then means equal, but sets
 * may differ in bits that are overwritten before they are read (all of them in an empty set) and still have one future.
 */
import type { Core } from './core.ts';
import type { ContentOrder, WayState } from './replacement.ts';
import type { SetAssoc } from './setAssoc.ts';

/** Payload arrays of a structure, each indexed by slot. */
type Payloads = readonly (Float64Array | Uint8Array | number[])[];

/** Stands before a plru set that is not full. */
const BY_WAY = -1;

/** Every structure of a core with its payloads, in the order of the saved state. */
function structures(core: Core): [SetAssoc, Payloads][] {
  const list: [SetAssoc, Payloads][] = [];
  for (const side of [core.l1d, core.l1i, core.stlb]) {
    for (const array of side?.arrays ?? []) list.push([array.cache, [array.frames, array.flags]]);
  }
  for (const psc of [core.table.psc, core.nested?.table.psc]) {
    for (const level of psc?.present ?? [])
      list.push([level.cache, [level.tables, level.hosts, level.flags]]);
  }
  const ntlb = core.nested?.ntlb;
  if (ntlb) list.push([ntlb.cache, [ntlb.frames, ntlb.flags]]);
  if (core.state.pwc) list.push([core.state.pwc.cache, []]);
  for (const cache of core.state.caches.caches) list.push([cache, []]);
  return list;
}

/** Valid slots of a set of an ordered array, newest first. */
function orderedSlots(cache: SetAssoc, order: ContentOrder, set: number): number[] {
  const slots: number[] = [];
  order.forEach(set, (slot) => {
    if (cache.valid(slot)) slots.push(slot);
  });
  return slots;
}

/** Slots of a full plru set, victim side first at each node. */
function treeSlots(cache: SetAssoc, { values }: WayState, set: number): number[] {
  const first = set * cache.ways;
  const slots: number[] = [];
  const visit = (node: number): void => {
    if (node >= cache.ways) {
      slots.push(first + node - cache.ways);
      return;
    }
    const victimSide = values[first + node]!;
    visit(2 * node + victimSide);
    visit(2 * node + (victimSide ^ 1));
  };
  visit(1);
  return slots;
}

/** Whether all ways of a set are valid. */
function isFull(cache: SetAssoc, set: number): boolean {
  const first = set * cache.ways;
  for (let slot = first; slot < first + cache.ways; slot++) if (!cache.valid(slot)) return false;
  return true;
}

function saveSlot(cache: SetAssoc, payloads: Payloads, slot: number, out: number[]): void {
  out.push(cache.keys[slot]!, cache.owners[slot]!);
  for (const payload of payloads) out.push(payload[slot]!);
}

function saveListed(cache: SetAssoc, payloads: Payloads, slots: readonly number[], out: number[]): void {
  out.push(slots.length);
  for (const slot of slots) saveSlot(cache, payloads, slot, out);
}

function saveByWay(
  cache: SetAssoc,
  payloads: Payloads,
  { values, tree }: WayState,
  set: number,
  out: number[],
): void {
  const first = set * cache.ways;
  for (let slot = first; slot < first + cache.ways; slot++) {
    const valid = cache.valid(slot);
    out.push(valid ? 1 : 0);
    if (valid) saveSlot(cache, payloads, slot, out);
    if (values.length > 0 && (tree || valid)) out.push(values[slot]!);
  }
}

function saveSet(cache: SetAssoc, payloads: Payloads, set: number, out: number[]): void {
  const { order, wayState } = cache;
  if (order) {
    saveListed(cache, payloads, orderedSlots(cache, order, set), out);
  } else if (wayState!.tree && isFull(cache, set)) {
    saveListed(cache, payloads, treeSlots(cache, wayState!, set), out);
  } else {
    if (wayState!.tree) out.push(BY_WAY);
    saveByWay(cache, payloads, wayState!, set, out);
  }
}

/** The complete state in canonical form. */
export function saveState(core: Core): Float64Array {
  core.settle();
  const out: number[] = [];
  for (const [cache, payloads] of structures(core)) {
    const at = out.push(0);
    for (let set = 0; set < cache.sets; set++) saveSet(cache, payloads, set, out);
    out[at - 1] = out.length - at;
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

/** What is saved of one slot: key, owner, payloads. */
interface Saved {
  key: number;
  owner: number;
  payload: number[];
}

function readSlot(payloads: Payloads, reader: Reader): Saved {
  return { key: reader.next(), owner: reader.next(), payload: payloads.map(() => reader.next()) };
}

function loadPayload(payloads: Payloads, slot: number, { payload }: Saved): void {
  payloads.forEach((values, i) => {
    values[slot] = payload[i]!;
  });
}

function loadOrdered(cache: SetAssoc, payloads: Payloads, set: number, reader: Reader): void {
  const saved = Array.from({ length: reader.next() }, () => readSlot(payloads, reader));
  // Oldest first, so that the order of the fills is the order of the contents.
  for (const entry of saved.reverse())
    loadPayload(payloads, cache.fill(set, entry.key, entry.owner, 0), entry);
}

function loadSlot(cache: SetAssoc, payloads: Payloads, slot: number, reader: Reader): void {
  const entry = readSlot(payloads, reader);
  cache.put(slot, entry.key, entry.owner);
  loadPayload(payloads, slot, entry);
}

function loadByWay(
  cache: SetAssoc,
  payloads: Payloads,
  { values, tree }: WayState,
  set: number,
  reader: Reader,
): void {
  const first = set * cache.ways;
  if (tree && reader.next() !== BY_WAY) {
    for (let slot = first; slot < first + cache.ways; slot++) loadSlot(cache, payloads, slot, reader);
    // The list begins with the victim: all nodes point left.
    values.fill(0, first, first + cache.ways);
    return;
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
  core.nested?.ntlb?.expectAllSizes();
  for (const [cache, payloads] of structures(core)) {
    cache.clear();
    reader.next();
    for (let set = 0; set < cache.sets; set++) {
      if (cache.order) loadOrdered(cache, payloads, set, reader);
      else loadByWay(cache, payloads, cache.wayState!, set, reader);
    }
  }
  if (!reader.finished)
    throw new RangeError('a saved state is longer than this machine: it is of another one');
}
