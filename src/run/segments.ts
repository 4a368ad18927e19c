/**
 * One static run on many workers, with the counters of one: segments start from a guessed state and are accepted, in
 * order, when their start is the true end of the one before; else their beginning is run again from the true state until
 * both meet. See "Sharding" in docs/model.md for why this is exact.
 */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { EngineRequest } from '../engine/loader.ts';
import { NestwalkError } from '../errors.ts';
import { SharedControl, type WatchOptions, watch } from './control.ts';
import type { Cut } from './cut.ts';
import type { RunOutcome } from './execute.ts';
import { carryOver, sameSections, sectionDigests } from './sections.ts';
import type { Preparation, Speculation, Stretch } from './segment.ts';
import type { JobInput, JobKind, JobOutput, WorkerJob } from './worker.ts';

/** Something that runs jobs: a pool of workers, or a test's stand-in for one. */
export interface Executor {
  /** Jobs that it runs at a time. */
  readonly workers: number;
  /** @throws NestwalkError of the job; `run.failed` when its worker died */
  submit<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>>;
  /** The same in a worker that has run nothing else. */
  submitFresh<Kind extends JobKind>(job: WorkerJob<Kind>): Promise<JobOutput<Kind>>;
}

/** Segments that may be ahead of the one to be looked at, for each worker: bounds the end states that are kept. */
const AHEAD_PER_WORKER = 4;

/** Lets at most so many jobs run at a time; urgent ones overtake. */
class Gate {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  constructor(free: number) {
    this.free = free;
  }

  async through<T>(urgent: boolean, work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else
      await new Promise<void>((enter) => (urgent ? this.waiting.unshift(enter) : this.waiting.push(enter)));
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}

/** The true run so far: what it has counted, and the state that it has come to. */
interface Truth {
  counters: Float64Array;
  state: Float64Array;
  digests: string[];
}

function add(into: Float64Array, what: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i]! += what[i]!;
}

/** One run that is cut. */
class SegmentedRun {
  readonly segments = { accepted: 0, repaired: 0, rerun: 0 };
  private readonly config: ResolvedConfig;
  private readonly engine: EngineRequest;
  private readonly cut: Cut;
  private readonly executor: Executor;
  /** Stops and watches all of it. */
  readonly control: SharedControl;
  private readonly gate: Gate;
  private readonly count: number;
  private readonly guesses: Promise<Speculation>[] = [];
  private readonly underway = new Set<Promise<unknown>>();
  private rerunInARow = 0;
  private ended = false;

  constructor(config: ResolvedConfig, engine: EngineRequest, cut: Cut, executor: Executor) {
    this.config = config;
    this.engine = engine;
    this.cut = cut;
    this.executor = executor;
    this.count = Math.ceil(cut.accesses / cut.segmentAccesses);
    // A slot for each segment, one for what is run from a true state.
    this.control = new SharedControl(this.count + 1);
    this.gate = new Gate(executor.workers);
  }

  get workers(): number {
    return Math.min(this.executor.workers, this.count);
  }

  /** Accesses done: never more than there are, though some are run twice. */
  done(): number {
    return Math.min(this.control.done(), this.cut.accesses);
  }

  /** Builds what all segments share. */
  prepare(): Promise<Preparation> {
    const input = { config: this.config, engine: this.engine };
    return this.attempt('prepare', input, this.count, Number.POSITIVE_INFINITY);
  }

  /** Runs everything; the counters are those of the whole run. */
  async run(prepared: Preparation): Promise<Float64Array> {
    let truth: Truth | undefined;
    for (let s = 0; s < this.count; s++) {
      this.guessAhead(s, prepared);
      const guess = await this.guesses[s]!;
      truth = truth === undefined ? this.begin(guess) : await this.extend(truth, s, guess, prepared);
      if (this.rerunInARow >= this.cut.patience && s + 1 < this.count) {
        truth = await this.finishInOrder(truth, s + 1, prepared);
        break;
      }
    }
    return truth!.counters;
  }

  /** Stops what still runs, and waits for it. */
  async end(): Promise<void> {
    this.ended = true;
    this.control.cancel();
    await Promise.allSettled([...this.underway]);
  }

  private stretch(s: number): Stretch {
    const from = s * this.cut.segmentAccesses;
    return { from, to: Math.min(from + this.cut.segmentAccesses, this.cut.accesses) };
  }

  /** Starts segments up to a few beyond segment `s`. */
  private guessAhead(s: number, { run }: Preparation): void {
    const until = Math.min(this.count, s + 1 + AHEAD_PER_WORKER * this.executor.workers);
    for (let i = this.guesses.length; i < until; i++) {
      const { warmup, checkpoint } = this.cut;
      const stretch = this.stretch(i);
      const guess = this.gate.through(false, () =>
        this.attempt('segment', { run, piece: { ...stretch, warmup, checkpoint } }, i, stretch.from),
      );
      // Whoever comes to this segment sees its error; until then nobody does.
      guess.catch(() => {});
      this.guesses.push(guess);
    }
  }

  /** The first segment starts as the run does. */
  private begin(guess: Speculation): Truth {
    this.segments.accepted++;
    return { counters: guess.counters.slice(), state: guess.state, digests: guess.end };
  }

  /** Takes segment `s` into the true run, as it is, with a new beginning, or run again. */
  private async extend(truth: Truth, s: number, guess: Speculation, prepared: Preparation): Promise<Truth> {
    const carried = guess.end.map((digest, i) => digest === prepared.fresh[i]);
    const { counters } = truth;
    if (sameSections(truth.digests, guess.start, carried)) {
      this.segments.accepted++;
      this.rerunInARow = 0;
      add(counters, guess.counters);
      return { counters, ...joined(guess, truth.state, carried) };
    }
    const checkpoints = guess.checkpoints.map(({ at, digests }) => ({ at, digests }));
    const piece = { ...this.stretch(s), state: truth.state, checkpoints, carried };
    // What is run twice is no progress.
    const again = await this.gate.through(true, () =>
      this.attempt('repair', { run: prepared.run, piece }, this.count, Number.POSITIVE_INFINITY),
    );
    add(counters, again.counters);
    if (again.met < 0) {
      this.segments.rerun++;
      this.rerunInARow++;
      return { counters, state: again.state, digests: sectionDigests(again.state) };
    }
    this.segments.repaired++;
    this.rerunInARow = 0;
    const { counters: before } = guess.checkpoints[again.met]!;
    add(
      counters,
      guess.counters.map((count, i) => count - before[i]!),
    );
    return { counters, ...joined(guess, again.state, carried) };
  }

  /** Runs all segments from `s` on in one go: guessing their starts has not paid. */
  private async finishInOrder(truth: Truth, s: number, { run }: Preparation): Promise<Truth> {
    for (let i = s; i < this.guesses.length; i++) this.control.stop(i);
    const { from } = this.stretch(s);
    const piece = { from, to: this.cut.accesses, state: truth.state, checkpoints: [], carried: [] };
    const rest = await this.gate.through(true, () =>
      this.attempt('repair', { run, piece }, this.count, from),
    );
    this.segments.rerun += this.count - s;
    add(truth.counters, rest.counters);
    return { counters: truth.counters, state: rest.state, digests: [] };
  }

  /** Runs a job, and once more in a fresh worker when its worker failed. */
  private async attempt<Kind extends JobKind>(
    kind: Kind,
    input: JobInput<Kind>,
    slot: number,
    progressFrom: number,
  ): Promise<JobOutput<Kind>> {
    if (this.ended) throw new NestwalkError('run.cancelled', 'The run has ended.');
    const job: WorkerJob<Kind> = { kind, input, control: this.control.buffer, slot, progressFrom };
    const answer = this.executor.submit(job).catch((error: unknown) => {
      if (this.ended || !(error instanceof NestwalkError) || error.code !== 'run.failed') throw error;
      return this.executor.submitFresh(job);
    });
    const settled: Promise<unknown> = answer.then(
      () => this.underway.delete(settled),
      () => this.underway.delete(settled),
    );
    this.underway.add(settled);
    return answer;
  }
}

/** The end of a segment that was guessed right from somewhere on, where the true state was `state`. */
function joined(
  guess: Speculation,
  state: Float64Array,
  carried: readonly boolean[],
): Omit<Truth, 'counters'> {
  const end = carryOver(guess.state, state, carried);
  return { state: end, digests: end === guess.state ? guess.end : sectionDigests(end) };
}

/**
 * Runs a configuration in segments. Its counters are those of `execute`, bit for bit, whatever the cut.
 * @throws NestwalkError `run.cancelled` after the signal; `run.failed` when a worker failed twice; as `execute`
 */
export async function runSegments(
  config: ResolvedConfig,
  engine: EngineRequest,
  cut: Cut,
  executor: Executor,
  options: WatchOptions = {},
): Promise<RunOutcome> {
  const run = new SegmentedRun(config, engine, cut, executor);
  const unwatch = watch(run.control, options, () => run.done());
  try {
    const prepared = await run.prepare();
    const begun = performance.now();
    const counters = await run.run(prepared);
    const { tier, engineReason, events, hashes } = prepared;
    return {
      engine: prepared.run.engine,
      tier,
      engineReason,
      counters,
      events,
      seconds: (performance.now() - begun) / 1000,
      prepareSeconds: prepared.seconds,
      hashes,
      workers: run.workers,
      segments: run.segments,
    };
  } finally {
    unwatch();
    await run.end();
  }
}
