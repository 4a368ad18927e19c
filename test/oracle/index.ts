/**
 * The oracle: the machine of docs/model.md once more, written to be read beside that page and to be right rather than
 * fast. It imports nothing from the sources that it checks.
 */

import { readConfig, type Settings, type TraceAccess, type WholeConfig } from './config.ts';
import type { Counters } from './counters.ts';
import { Machine } from './machine.ts';
import { Software } from './software.ts';
import { type Access, Workload } from './workload.ts';

export type { TraceAccess, WholeConfig } from './config.ts';
export type { Counters, Matrix } from './counters.ts';
export { below, permute, philox, zipfTable } from './workload.ts';

/** The accesses of a trace that the run keeps: fetches as asked, at most `accesses`, checked against the region. */
function keep(config: WholeConfig, settings: Settings, trace: TraceAccess[]): Access[] {
  const wanted = trace.filter(({ kind }) => kind !== 'fetch' || config.workload.fetches !== false);
  return wanted.slice(0, settings.accesses ?? wanted.length).map(({ address, kind }, record) => {
    if (address < 0n || address >= 2n ** BigInt(11 + 9 * settings.guestLevels)) {
      throw new Error(`oracle: record ${record} of the trace lies outside its region`);
    }
    return { page: Number(address >> 12n), offset: Number(address & 4095n), kind };
  });
}

/** What a run leaves. */
export interface Outcome {
  counters: Counters;
  /** Events of the software by cause; those that have not occurred are absent. */
  events: Record<string, number>;
  /** Present entries of the guest's table by GPA (natively and paravirtually HPA); collected when asked for. */
  readonly guestTable: Map<bigint, bigint>;
  /** Present entries of the hypervisor's table, nested or shadow, by HPA; empty where there is none. Collected likewise. */
  readonly hostTable: Map<bigint, bigint>;
}

/** Runs a whole configuration and gives its counters; see {@link oracleRun}. */
export function oracle(config: WholeConfig, trace?: TraceAccess[]): Counters {
  return oracleRun(config, trace).counters;
}

/**
 * Runs a whole configuration.
 *
 * @param trace the accesses of `workload.trace`, already decoded, in order
 * @throws Error on a configuration that does not fit its address spaces or memories
 */
export function oracleRun(config: WholeConfig, trace?: TraceAccess[]): Outcome {
  const settings = readConfig(config, trace !== undefined);
  const kept = trace && keep(config, settings, trace);
  const workload = kept ? undefined : new Workload(settings.workload, settings.regions, settings.seed);
  const count = kept ? kept.length : settings.accesses;
  if (count === undefined) throw new Error('oracle: a synthetic workload needs "accesses"');
  const software = new Software(settings, kept ? kept.map(({ page }) => page) : []);
  const machine = new Machine(settings, software);
  for (let index = 0; index < count; index++) {
    machine.run(index, kept ? kept[index] : workload!.access(index));
  }
  const { kernel, walked, nestedTable, ledger } = software;
  const hostTable = walked === kernel.table ? nestedTable : walked;
  return {
    counters: machine.counters,
    events: ledger.events,
    get guestTable() {
      return kernel.table.words();
    },
    get hostTable() {
      return hostTable?.words() ?? new Map<bigint, bigint>();
    },
  };
}

/** The accesses `from` … `from + count - 1` of a synthetic workload. */
export function oracleStream(config: WholeConfig, from: number, count: number): TraceAccess[] {
  const settings = readConfig(config, false);
  const workload = new Workload(settings.workload, settings.regions, settings.seed);
  const stream: TraceAccess[] = [];
  for (let index = from; index < from + count; index++) {
    const { page, offset, kind } = workload.access(index);
    stream.push({ address: BigInt(page) * 4096n + BigInt(offset), kind });
  }
  return stream;
}
