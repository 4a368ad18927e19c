/**
 * A published claim as data: who says what, how it is tried here, which number is read, and what that number has to be.
 * Nothing is tuned to a claim: the configurations say what the source says of its machine and workload, and a claim
 * that fails stays in the table as failed.
 */
import type { ConfigInput } from '../config/schema.ts';
import type { Result, WalkSteps } from '../results/types.ts';
import type { ScenarioSettings } from '../scenario/runScenario.ts';
import type { PlatformResult } from '../scenario/types.ts';

/**
 * How far a published figure can be trusted. `S`: read at the place named. `S-2nd`: read in a secondary source. `M`: from
 * memory, unverified. `D`: derived by arithmetic from definitions or from raw data. Nothing is gated on an `M`.
 */
export type Mark = 'S' | 'S-2nd' | 'M' | 'D';

/** How much is simulated: minutes on two cores, or up to an hour. */
export type Scale = 'quick' | 'full';

/** A built-in scenario to run, as `nestwalk scenario` would. */
export type ScenarioTrial = ScenarioSettings & { name: string };

/** Something that is simulated for a claim. */
export type Experiment =
  | { kind: 'run'; config: ConfigInput }
  | { kind: 'walk'; config: ConfigInput; address: number; warm?: number }
  | { kind: 'scenario'; scenario: ScenarioTrial };

/** What an experiment gave, by its kind. */
export interface Outcomes {
  run(name: string): Result;
  walk(name: string): WalkSteps;
  /** The platforms of a scenario by name. */
  scenario(name: string): Record<string, PlatformResult>;
}

/** What a number has to be for the claim to hold. */
export type Gate =
  /** Exactly this. */
  | { equals: number }
  /** Within these bounds, both included. A bound that is absent does not bind. */
  | { from?: number; to?: number }
  /** Nothing: the figure is shown, and the claim does not rest on it. */
  | 'shown';

/** One number beside its published counterpart. */
export interface Reading {
  /** What it is: `gups`, `4 KiB on 2 MiB`… */
  name: string;
  /** The published figure as it is printed; absent where only an order or a sign is published. */
  paper?: string;
  ours: number;
  /** Unit of both: `references`, `×`, `%`, `cycles`… */
  unit: string;
  gate: Gate;
}

/** A yes or no beside the numbers: an order, a sign, an identity. */
export interface Statement {
  /** A sentence that is true when the claim holds. */
  says: string;
  holds: boolean;
}

/** What was found for one claim. */
export interface Finding {
  readings: Reading[];
  statements?: Statement[];
}

/** What can be tried. */
export interface TriedClaim {
  /** Experiments by name. The same experiment of several claims is run once. */
  experiments(scale: Scale): Record<string, Experiment>;
  /** Reads the numbers. A pure function. */
  read(outcomes: Outcomes): Finding;
  /** Why the figures differ, or may; shown when they do. */
  reason?: string;
}

/** A published claim. */
export interface Claim {
  /** `C01`… */
  id: string;
  /** The claim in a few words. */
  title: string;
  /** Paper, manual or artifact, and where in it. */
  source: string;
  mark: Mark;
  /** The published figure or band, as it is printed. */
  paper: string;
  /** How it is tried, or why it cannot be tried here. */
  trial: TriedClaim | { notModelled: string } | { heldByTest: string };
}

/**
 * What became of a claim. `reproduced`: all that is gated holds. `differs`: something gated does not. `shown`: nothing is
 * gated, the figures stand side by side. `held by test`: the test suite holds it. `not modelled`: the simulated machine has
 * nothing to say.
 */
export type Verdict = 'reproduced' | 'differs' | 'shown' | 'held by test' | 'not modelled';

/** A reading with what its gate says. */
export interface JudgedReading extends Reading {
  /** Absent when the gate is `shown`. */
  holds?: boolean;
}

/** A claim with its verdict: one element of the result of `reproduce`. */
export interface ClaimResult {
  id: string;
  title: string;
  source: string;
  mark: Mark;
  paper: string;
  /** Our figures in one line of text. */
  ours: string;
  verdict: Verdict;
  /** Why figures differ, why nothing was tried, or which test holds it. */
  reason?: string;
  readings: JudgedReading[];
  statements: Statement[];
  /** Seconds that its experiments took, those shared with other claims included. */
  seconds: number;
}

/** What `nestwalk reproduce` finds. */
export interface Reproduction {
  kind: 'reproduce';
  /** Fingerprint of the schema (`SCHEMA_FINGERPRINT`). */
  schema: string;
  version: string;
  scale: Scale;
  claims: ClaimResult[];
}
