/**
 * What experiments gave, kept in a folder: one file an experiment, named by what was asked for and by the version that
 * answered. Each is written whole or not at all, so that an interrupted reproduction goes on where it stopped.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { canonicalJson, resolveConfig } from '../config/resolve.ts';
import { packageVersion } from '../run/simulate.ts';
import { SCHEMA_FINGERPRINT } from '../schema.ts';
import { writeWhole } from '../sweep/folder.ts';
import type { Experiment } from './claim.ts';

/** What an experiment gave, and the seconds that it took. */
export interface Outcome {
  value: unknown;
  seconds: number;
}

/** Name of an experiment: the same for all that ask for the same, whatever short form they wrote it in. */
export function experimentName(experiment: Experiment): string {
  const asked =
    experiment.kind === 'scenario'
      ? experiment
      : {
          ...experiment,
          config: { ...resolveConfig(experiment.config, { defaultSeed: 1 }).config, run: undefined },
        };
  return createHash('sha256').update(canonicalJson(asked)).digest('hex');
}

/** Outcomes by experiment, in memory and, where there is a folder, on disk. */
export class Outcomes {
  readonly #known = new Map<string, Outcome>();
  readonly #folder: string | undefined;

  /** @param folder where outcomes are kept between runs; nothing is kept without one */
  constructor(folder?: string) {
    this.#folder = folder;
  }

  /** What is known of an experiment. A file that cannot be read counts as absent: its experiment is run again. */
  get(name: string): Outcome | undefined {
    const known = this.#known.get(name);
    if (known || this.#folder === undefined) return known;
    try {
      const { version, schema, outcome } = JSON.parse(readFileSync(this.#file(name), 'utf8'));
      if (version !== packageVersion() || schema !== SCHEMA_FINGERPRINT || outcome === undefined)
        return undefined;
      this.#known.set(name, outcome);
      return outcome;
    } catch {
      return undefined;
    }
  }

  /** @throws {NestwalkError} `export.file` when the folder cannot be written */
  put(name: string, outcome: Outcome): void {
    this.#known.set(name, outcome);
    if (this.#folder === undefined) return;
    const text = JSON.stringify({ version: packageVersion(), schema: SCHEMA_FINGERPRINT, outcome });
    writeWhole(this.#file(name), text, 'export.file');
  }

  #file(name: string): string {
    return path.join(this.#folder!, `${name}.json`);
  }
}
