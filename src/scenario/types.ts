/** The shapes of what a scenario gives back. */
import type { MachineConfig } from '../config/resolved.ts';
import type { CostPreset } from '../machines/costs.ts';
import type { Counters, CycleSplit, Ledger } from '../results/types.ts';
import type { PageSize } from '../schema.ts';
import type { Checkpoint } from './host.ts';
import type { Parameter, ParameterValue } from './parameters.ts';
import type { ScenarioClaim } from './scenario.ts';
import type { ScenarioPlatform } from './setup.ts';

/** How one platform's part came about; the only part that may differ between two runs of one scenario. */
export interface ScenarioProvenance {
  /** Engine that ran it. */
  engine: 'native' | 'ts';
  /** Instruction-set tier of the native engine; `none` for TypeScript. */
  tier: string;
  /** Why this engine was chosen. */
  engineReason: string;
  /** Seconds of what was measured. */
  seconds: number;
  /** Events of the ledger and accesses in one of those seconds. */
  eventsPerSecond: number;
}

/** What a scenario did on one platform. */
export interface PlatformResult {
  /** Which platform. */
  platform: ScenarioPlatform;
  /** What the hardware of all cores counted. */
  counters: Counters;
  /** What the software did. */
  ledger: Ledger;
  /** Where the cycles went. */
  cycles: CycleSplit;
  /** VM exits by cause, zeros included; none natively and under paravirtual paging. */
  exits: Record<string, number>;
  /** Bytes of table pages, the most that were in use at a time: the guests' own, nested tables, shadow tables. */
  tableBytes: { guest: number; nested: number; shadow: number };
  /** Operations done; see {@link ScenarioResult.operation}. */
  operations: number;
  /** What the guests' programs saw of their memory: the same on every platform. */
  checkpoints: Checkpoint[];
  /** How it came about. */
  provenance: ScenarioProvenance;
}

/** A scenario on one platform or several. */
export interface ScenarioResult {
  /** Tells what this is, in a file of any kind. */
  kind: 'scenario';
  /** Fingerprint of the schema that the counters follow. */
  schema: string;
  /** Version of nestwalk. */
  version: string;
  /** The scenario's name. */
  name: string;
  /** What it does, in a line. */
  title: string;
  /** What one operation is, in the singular. */
  operation: string;
  /** The published claim that it speaks to; `null` where there is none. */
  claim: ScenarioClaim | null;
  /** Value of every parameter. */
  parameters: Record<string, ParameterValue>;
  /** Kind of every parameter, which says how its value reads: `bytes`, `count`… */
  kinds: Record<string, Parameter['kind']>;
  /** Memory of each guest in bytes, guests, and virtual processors of each. */
  guests: { memoryBytes: number; count: number; vcpus: number };
  /** Up to 64 bits. */
  seed: number | string;
  /** The prices: name, clock, every figure with its source. */
  costs: CostPreset;
  /** Figures behind these cycles that nobody has verified, by name. */
  unverified: string[];
  /** The machine, as asked for; a scenario's parameters may have taken tags from it. */
  machine: MachineConfig;
  /** Page size of the host. */
  hostPage: PageSize;
  /** Updates that a hypercall of a paravirtual guest carries at the most. */
  batch: number;
  /** Whether all platforms' checkpoints are equal. */
  sameMemory: boolean;
  /** One for each platform, in the order asked for. */
  platforms: PlatformResult[];
}

/** A scenario with several values of its parameters. */
export interface ScenarioSweep {
  /** Tells what this is, in a file of any kind. */
  kind: 'scenario-sweep';
  /** Fingerprint of the schema that the counters follow. */
  schema: string;
  /** The scenario's name. */
  name: string;
  /** What it does, in a line. */
  title: string;
  /** What was varied: each parameter's values, in order. */
  vary: Record<string, ParameterValue[]>;
  /** One for each combination, the last parameter's values running fastest. */
  results: ScenarioResult[];
}
