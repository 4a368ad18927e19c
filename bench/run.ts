/**
 * The benchmark: builds the yardstick, checks that both programs count the same, measures every trial, prints the
 * table. See README.md beside this file; `--help` lists the options.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { compilerVersion, pinning, provenance, runNestwalk, type Summary, summarise } from './measure.ts';
import type { OneResult } from './one.ts';
import { configOf, type Side, type Target, TRIALS, type Trial, yardstickArguments } from './trials.ts';
import {
  buildYardstick,
  differences,
  runYardstick,
  YARDSTICK_FLAGS,
  type YardstickResult,
} from './yardstick.ts';

const HELP = `Usage: npx tsx bench/run.ts [options]

  --quick             a fifth of the accesses, 3 repetitions: a look, not a measurement
  --only REGEX        only the trials whose name matches (see --list)
  --list              print the trials and their targets
  --repetitions N     repetitions of each measurement (default 5)
  --json FILE         write the results as JSON ("-" for stdout, instead of the table)
  --cpu N             processor to pin the children to (default the last one)
  --cxxflags "FLAGS"  more flags for the yardstick, such as -march=native

Example: npx tsx bench/run.ts --only "2-D walk, uniform" --json 2d.json`;

/** Accesses of the comparison of counters before anything is measured. */
const CHECKED_ACCESSES = 200_000;

interface Settings {
  yardstick: string;
  prefix: string[];
  repetitions: number;
}

/** One measurement of either program. */
type Sample = YardstickResult | OneResult;
const isYardstick = (sample: Sample): sample is YardstickResult => 'mode' in sample;

/** What one trial gave. Rates in million accesses a second, memory in MiB. */
interface Outcome extends Trial {
  rate: Summary;
  otherRate?: Summary;
  /** The compared quantity, pair by pair. */
  compared: Summary;
  met: boolean;
  engine: string;
  tier: string;
  /** Seconds of nestwalk's whole call, tables and all (median). */
  wholeSeconds: number;
}

function runSide(trial: Trial, side: Side, accesses: number, settings: Settings): Sample {
  if (side.program === 'yardstick') {
    return runYardstick(settings.yardstick, yardstickArguments(trial.subject, accesses), settings.prefix);
  }
  const { program: engine, workers } = side;
  // Workers need a processor each.
  const prefix = trial.side.workers === undefined ? settings.prefix : [];
  return runNestwalk({ config: configOf(trial.subject, accesses), engine, workers }, prefix);
}

/** Counters that differ between the yardstick and nestwalk's engine of this trial, on a short run. */
function check(trial: Trial, settings: Settings): string[] {
  const yardstick = runSide(trial, { program: 'yardstick', accesses: 0 }, CHECKED_ACCESSES, settings);
  const nestwalk = runSide(trial, trial.side, CHECKED_ACCESSES, settings);
  return differences(yardstick as YardstickResult, nestwalk.counters);
}

/** A measured pair is compared too where both ran the same number of accesses: it costs nothing. */
function checkPair(trial: Trial, side: Sample, other: Sample | undefined): void {
  if (!other || !isYardstick(other)) return;
  const found = differences(other, side.counters);
  if (found.length > 0) throw new Error(`${trial.name}: counters differ\n  ${found.join('\n  ')}`);
}

const millions = (samples: Sample[]) => summarise(samples.map((sample) => sample.accessesPerSecond / 1e6));

function comparedQuantity(target: Target, side: Sample, other: Sample | undefined): number {
  if (target.measure === 'memory') return (side as OneResult).peakMebibytes;
  if (target.measure === 'rate') return side.accessesPerSecond / 1e6;
  const quotient = side.accessesPerSecond / other!.accessesPerSecond;
  return target.measure === 'twin' ? 1 / quotient : quotient;
}

const isUpperBound = (target: Target) => target.measure === 'twin' || target.measure === 'memory';

/** Repeats a trial, both programs in turn, so that a slow minute of the machine falls on both. */
function measure(trial: Trial, settings: Settings): Outcome {
  const sides: OneResult[] = [];
  const others: Sample[] = [];
  const compared: number[] = [];
  for (let repetition = 0; repetition < settings.repetitions; repetition++) {
    const { side, other } = trial;
    const otherSample = other && runSide(trial, other, other.accesses, settings);
    const sample = runSide(trial, side, side.accesses, settings) as OneResult;
    checkPair(trial, sample, otherSample);
    sides.push(sample);
    if (otherSample) others.push(otherSample);
    compared.push(comparedQuantity(trial.target, sample, otherSample));
  }
  const summary = summarise(compared);
  const { target } = trial;
  return {
    ...trial,
    rate: millions(sides),
    ...(others.length > 0 ? { otherRate: millions(others) } : {}),
    compared: summary,
    met: isUpperBound(target) ? summary.median <= target.value : summary.median >= target.value,
    engine: sides[0]!.engine,
    tier: sides[0]!.tier,
    wholeSeconds: summarise(sides.map((sample) => sample.wholeSeconds)).median,
  };
}

const UNITS = { ratio: '×', twin: '×', rate: ' M/s', memory: ' MiB' };
const digits = (value: number) => value.toFixed(value < 100 ? (value < 10 ? 2 : 1) : 0);
const spread = (summary: Summary | undefined) =>
  summary ? `${digits(summary.median)} (${digits(summary.min)}–${digits(summary.max)})` : '–';
const targetText = (target: Target) =>
  `${isUpperBound(target) ? '≤' : '≥'} ${target.value}${UNITS[target.measure]}`;

function row(outcome: Outcome): string[] {
  return [
    outcome.name,
    spread(outcome.otherRate),
    spread(outcome.rate),
    `${spread(outcome.compared)}${UNITS[outcome.target.measure]}`,
    targetText(outcome.target),
    outcome.met ? 'met' : 'MISSED',
  ];
}

const HEADINGS = ['trial', 'against, M/s', 'measured, M/s', 'result', 'target', ''];

/** An aligned Markdown table: readable here, and pasted into README.md as it is. */
function table(rows: string[][]): string {
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((cells) => cells[column]!.length)),
  );
  const line = (cells: string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(HEADINGS), rule, ...rows.map(line)].join('\n');
}

function readArguments() {
  return parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      repetitions: { type: 'string' },
      json: { type: 'string' },
      cpu: { type: 'string', default: String(availableParallelism() - 1) },
      cxxflags: { type: 'string', default: '' },
    },
  }).values;
}

const fifth = (side: Side): Side => ({ ...side, accesses: Math.ceil(side.accesses / 5) });

/** A trial as `--quick` runs it. */
function shortened(trial: Trial): Trial {
  return { ...trial, side: fifth(trial.side), ...(trial.other ? { other: fifth(trial.other) } : {}) };
}

/** Checks and measures the trials; results, and a message for each trial whose counters differ. */
function measureAll(trials: Trial[], settings: Settings): { outcomes: Outcome[]; failures: string[] } {
  const outcomes: Outcome[] = [];
  const failures: string[] = [];
  for (const [index, trial] of trials.entries()) {
    process.stderr.write(`[${index + 1}/${trials.length}] ${trial.name} …`);
    try {
      const found = check(trial, settings);
      if (found.length > 0) throw new Error(`counters differ\n  ${found.join('\n  ')}`);
      const outcome = measure(trial, settings);
      outcomes.push(outcome);
      process.stderr.write(` ${row(outcome).slice(3).join(' ')}\n`);
    } catch (error) {
      failures.push(`${trial.name}: ${(error as Error).message}`);
      process.stderr.write(` FAILED: ${(error as Error).message}\n`);
    }
  }
  return { outcomes, failures };
}

function main(): number {
  const options = readArguments();
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const pattern = new RegExp(options.only);
  const trials = TRIALS.filter(({ name }) => pattern.test(name)).map(
    options.quick ? shortened : (trial) => trial,
  );
  if (options.list) {
    for (const trial of trials) console.log(`${trial.name}: ${targetText(trial.target)}`);
    return 0;
  }
  if (trials.length === 0)
    throw new Error(`no trial matches --only ${options.only}; --list prints their names`);
  const extraFlags = options.cxxflags.split(/\s+/).filter(Boolean);
  const settings: Settings = {
    yardstick: buildYardstick(extraFlags),
    prefix: pinning(Number(options.cpu)),
    repetitions: Number(options.repetitions ?? (options.quick ? 3 : 5)),
  };
  if (!(settings.repetitions >= 1)) throw new Error('--repetitions is a number, at least 1');
  const from = {
    ...provenance(),
    compiler: compilerVersion(),
    flags: [...YARDSTICK_FLAGS, ...extraFlags],
    pinned: settings.prefix.length > 0,
    repetitions: settings.repetitions,
    quick: options.quick,
  };
  const { outcomes, failures } = measureAll(trials, settings);
  if (options.json) {
    const text = `${JSON.stringify({ provenance: from, results: outcomes, failures }, null, 2)}\n`;
    if (options.json === '-') process.stdout.write(text);
    else writeFileSync(options.json, text);
  }
  if (options.json !== '-') {
    const { engine, tier } = outcomes.find((outcome) => outcome.engine === 'native') ?? {
      engine: '–',
      tier: '–',
    };
    console.log(
      `\n${from.cpu}, Node ${from.node}, ${from.compiler}, engine ${engine}, tier ${tier}, ${from.commit}\n`,
    );
    console.log(table(outcomes.map(row)));
    const missed = outcomes.filter((outcome) => !outcome.met).length;
    console.log(
      `\n${outcomes.length - missed} targets met, ${missed} missed, ${failures.length} trials failed`,
    );
  }
  return failures.length > 0 ? 1 : 0;
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 2;
}
