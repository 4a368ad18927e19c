/**
 * A saved state by its structures. A structure that a stretch of the stream never filled was never looked into either
 * (in a static run whatever misses is filled), so it can be carried over from the true state and need not be compared.
 */
import { stateDigest } from '../engine/hardware.ts';

/** The sections of a saved state, counts included, as views of it. */
export function sectionsOf(state: Float64Array): Float64Array[] {
  const sections: Float64Array[] = [];
  for (let at = 0; at < state.length; ) {
    const end = at + 1 + state[at]!;
    sections.push(state.subarray(at, end));
    at = end;
  }
  return sections;
}

/** A digest of 128 bits for each section. */
export const sectionDigests = (state: Float64Array): string[] => sectionsOf(state).map(stateDigest);

/** Whether two states of one machine are equal, leaving out the sections that are carried over. */
export const sameSections = (
  a: readonly string[],
  b: readonly string[],
  carried: readonly boolean[],
): boolean => a.every((digest, i) => carried[i] || digest === b[i]);

/** A state with the sections that are carried over taken from another one. */
export function carryOver(
  state: Float64Array,
  other: Float64Array,
  carried: readonly boolean[],
): Float64Array {
  if (!carried.includes(true)) return state;
  const others = sectionsOf(other);
  const chosen = sectionsOf(state).map((section, i) => (carried[i] ? others[i]! : section));
  const whole = new Float64Array(chosen.reduce((length, section) => length + section.length, 0));
  let at = 0;
  for (const section of chosen) {
    whole.set(section, at);
    at += section.length;
  }
  return whole;
}
