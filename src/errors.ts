/** One catalogue of the errors that a user can meet: a stable code, what it means, how to mend it. */

/** Code to summary and mend; `nestwalk` prints the mend after the message where the message has none of its own. */
export const ERRORS = {
  'config.invalid': {
    summary: 'the configuration has errors',
    mend: 'correct each place named; nothing was run',
  },
  'config.file': {
    summary: 'a configuration file cannot be read',
    mend: 'check the path and that the file is YAML or JSON',
  },
  'trace.file': { summary: 'a trace file cannot be read', mend: 'check the path and the permissions' },
  'trace.corrupt': {
    summary: 'a trace is damaged or not of its format',
    mend: 'name the right format, or record the trace again',
  },
  'trace.address': {
    summary: 'a trace has an address outside the address space',
    mend: 'use more levels, or leave such records out',
  },
  'trace.tool': {
    summary: 'a program that reads or records traces is missing or failed',
    mend: 'install the package named',
  },
  'memory.full': {
    summary: 'simulated memory ran out of frames',
    mend: 'give paging.guestMemory (a scenario: --memory) more, or fewer regions',
  },
  'memory.limit': {
    summary: 'the page tables would need more real memory than allowed',
    mend: 'use larger pages or a smaller footprint',
  },
  'process.segfault': {
    summary: 'a process of the guest did what its regions do not allow',
    mend: 'let it touch its regions only, or give it a region there that allows it',
  },
  'table.corrupt': {
    summary: 'a page table holds an impossible entry',
    mend: 'report this with the configuration',
  },
  'engine.missing': {
    summary: 'the native engine is not there',
    mend: 'run `npm rebuild`, or use the TypeScript engine',
  },
  'engine.stale': {
    summary: 'the native engine was built from other sources',
    mend: 'run `npm run build:native`',
  },
  'engine.failed': { summary: 'the native engine failed', mend: 'report this with the configuration' },
  'run.cancelled': { summary: 'the run was interrupted', mend: 'start it again' },
  'run.failed': { summary: 'a worker failed', mend: 'report this with the configuration' },
  'sweep.none': {
    summary: 'a folder holds no sweep',
    mend: 'correct the path, or begin a sweep there with `nestwalk sweep FILE --out FOLDER`',
  },
  'sweep.folder': {
    summary: 'the folder of a sweep cannot be read or written',
    mend: 'give it room and permissions, then start the same command again: what was finished is kept',
  },
  'sweep.plan': {
    summary: 'the folder holds another sweep',
    mend: 'give another folder to --out, or go on with the sweep that the folder holds',
  },
  'sweep.conflict': {
    summary: 'two results of one cell differ',
    mend: 'one of the machines that wrote them is at fault: delete the line or file that is wrong',
  },
  'sweep.failed': {
    summary: 'a sweep cannot go on',
    mend: 'see the reason, then start the same command again: what was finished is kept',
  },
  'serve.port': {
    summary: 'the live page cannot listen on a port',
    mend: 'give another --port, or leave it out for one that is free',
  },
  'scenario.file': {
    summary: 'a file is no scenario',
    mend: 'export one scenario as its default; docs/scenarios.md has an example',
  },
  'scenario.failed': {
    summary: 'the driver of a scenario threw',
    mend: 'correct the driver; NESTWALK_DEBUG=1 shows where it was',
  },
  'store.missing': {
    summary: 'the results store (DuckDB) cannot be loaded',
    mend: 'install @duckdb/node-api; CSV and JSON need no store',
  },
  'store.failed': {
    summary: 'the results store (DuckDB) failed',
    mend: 'make room in memory and on the disk; CSV and JSON need no store',
  },
  'export.file': {
    summary: 'an exported file cannot be written',
    mend: 'give another path to --out, or make room there',
  },
  'report.missing': {
    summary: 'what draws figures or makes images cannot be loaded',
    mend: 'install the packages again with npm ci; export gives the numbers without them',
  },
  'report.input': {
    summary: 'a report was asked of what holds no results',
    mend: 'give the folder of a sweep, or what run, compare, scenario or reproduce print with --json',
  },
  'store.query': { summary: 'the store refused a query', mend: 'the table is `cells`; see docs/sweeps.md' },
  usage: { summary: 'wrong use of a command', mend: 'see --help' },
} as const;

/** A stable error code. */
export type ErrorCode = keyof typeof ERRORS;

/** One problem of a configuration: where, what was given, what is allowed. */
export interface Problem {
  /** Path of the field, for example `machine.stlb[0].ways`. */
  path: string;
  /** What is wrong, what is allowed, and how to mend it, in one sentence or two. */
  message: string;
  /** File, line and column (from 1) where the value stands, when it came from a file. */
  file?: string;
  line?: number;
  column?: number;
}

/** An error that the user can mend. `code` is stable; `problems` lists all configuration errors at once. */
export class NestwalkError extends Error {
  override readonly name = 'NestwalkError';
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly Problem[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options.problems ?? [];
  }
}
