/** A configuration in a few words, for headings. */
import path from 'node:path';
import {
  type ComponentConfig,
  isTrace,
  type MachineConfig,
  type ResolvedConfig,
} from '../config/resolved.ts';
import { bytes, count } from './format.ts';

const PARAMETERS: Partial<Record<ComponentConfig['pattern'], readonly string[]>> = {
  stride: ['bytes'],
  zipf: ['theta'],
  hotcold: ['hot', 'weight'],
  window: ['pages', 'shift', 'every'],
  btree: ['fanout', 'levels'],
};

/** A pattern with its parameters, composites with their parts: `mix(zipf(theta 0.99), stride(bytes 64))`. */
export function describePattern(component: ComponentConfig): string {
  const inner =
    'parts' in component
      ? component.parts.map(describePattern)
      : 'of' in component
        ? [`${component.k} ×`, describePattern(component.of)]
        : (PARAMETERS[component.pattern] ?? []).map(
            (name) => `${name} ${(component as unknown as Record<string, unknown>)[name]}`,
          );
  if (inner.length === 0) return component.pattern;
  return `${component.pattern}(${inner.join('of' in component ? ' ' : ', ')})`;
}

/** Workload, its memory and length: `uniform over 4 GiB, 1,000,000 accesses, seed 1`. */
export function describeWorkload(config: ResolvedConfig): string {
  if (isTrace(config.workload)) {
    // A trace may end before.
    const length =
      config.accesses === undefined ? 'to its end' : `at most ${count(config.accesses)} accesses`;
    const { trace, format, fetches } = config.workload;
    return `trace ${path.basename(trace)} (${format}${fetches ? '' : ', without fetches'}), ${length}`;
  }
  const memory = config.regions.reduce((sum, region) => sum + region.bytes, 0);
  return `${describePattern(config.workload)} over ${bytes(memory)}, ${count(config.accesses!)} accesses, seed ${config.seed}`;
}

/** The machine's preset, or what it is without one. */
export function describeHardware({
  preset,
  l1d,
  l1i,
  stlb,
  psc,
  nestedPsc,
  ntlb,
  pwc,
}: MachineConfig): string {
  if (preset !== undefined) return preset;
  const bare = l1d.length === 0 && stlb.length === 0 && !(l1i || psc || nestedPsc || ntlb || pwc);
  return bare ? 'a machine without TLBs and walk caches' : 'a machine of one’s own';
}

/** Machine, mode and page sizes: `skylake-sp, nested: 4KiB guest pages on 2MiB nested pages, 4 × 4 levels`. */
export function describeMachine(config: ResolvedConfig): string {
  const { mode, guestPage, nestedPage, guestLevels, nestedLevels, populate, placement, unsync, batch } =
    config.paging;
  const machine = describeHardware(config.machine);
  const memory = [
    ...(populate === 'demand' ? ['demand paging'] : []),
    ...(placement === 'scattered' ? ['scattered frames'] : []),
  ].map((part) => `, ${part}`);
  const tables = {
    native: `native: ${guestPage} pages, ${guestLevels} levels`,
    nested: `nested: ${guestPage} guest pages on ${nestedPage} nested pages, ${guestLevels} × ${nestedLevels} levels`,
    shadow: `shadow${unsync ? ' (unsync)' : ''}: ${guestPage} guest pages on ${nestedPage} host pages, ${guestLevels} levels`,
    paravirt: `paravirt: ${guestPage} pages, ${guestLevels} levels, up to ${batch} updates a hypercall`,
  }[mode];
  return `${machine}, ${tables}${memory.join('')}`;
}
