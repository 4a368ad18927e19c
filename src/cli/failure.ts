/** What a failed command says, and the exit code that it leaves. */
import { CommanderError } from 'commander';
import { problemText } from '../config/problems.ts';
import { ERRORS, NestwalkError } from '../errors.ts';

/** Exit codes: done, failed, wrong use, interrupted. */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** The exit code that an error leaves. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (!(error instanceof NestwalkError)) return EXIT.failed;
  if (error.code === 'run.cancelled') return EXIT.interrupted;
  return error.code === 'usage' || error.code.startsWith('config.') ? EXIT.usage : EXIT.failed;
}

/** Errors whose messages say how to mend them, case by case. */
const OWN_MEND = /^(engine\.|trace\.tool$)/;

/** A configuration's problems one by one, each with its place; any other error as it is, with its mend. */
function linesOf(error: NestwalkError): string[] {
  const { problems, code, message } = error;
  if (problems.length === 0) {
    const hint = OWN_MEND.test(code) ? code : `${code}: ${ERRORS[code].mend}`;
    return [`nestwalk: ${message}`, `  (${hint})`];
  }
  const many = problems.length === 1 ? '1 error' : `${problems.length} errors`;
  return [
    `nestwalk: ${many} in the configuration; nothing was run`,
    ...problems.map((problem) => `  ${problemText(problem)}`),
  ];
}

/**
 * The lines to print for an error: what, where, how to mend it. A stack trace only where `NESTWALK_DEBUG=1` asks for
 * it. Empty for what the parser of the command line has printed itself.
 */
export function describeFailure(error: unknown, env: NodeJS.ProcessEnv = process.env): string {
  if (error instanceof CommanderError) return '';
  const debug = env.NESTWALK_DEBUG === '1';
  const lines: string[] = [];
  if (error instanceof NestwalkError) lines.push(...linesOf(error));
  else {
    const message = error instanceof Error ? error.message : String(error);
    lines.push(
      `nestwalk: this should not have happened: ${message}`,
      '  (please report it with the command and its configuration; NESTWALK_DEBUG=1 shows where it was)',
    );
  }
  if (debug && error instanceof Error) lines.push(error.stack ?? '', ...causes(error));
  return lines.join('\n');
}

function causes(error: Error): string[] {
  return error.cause instanceof Error
    ? [`caused by ${error.cause.stack ?? error.cause.message}`, ...causes(error.cause)]
    : [];
}
