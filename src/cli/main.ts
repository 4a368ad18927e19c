#!/usr/bin/env node
/** The program `nestwalk`: signals, broken pipes, exit codes. What the commands are stands in `program.ts`. */
import { describeFailure, EXIT, exitCodeOf } from './failure.ts';
import { makeProgram } from './program.ts';
import { note } from './streams.ts';

/** Milliseconds that a run has to stop by itself after Ctrl-C, before the process ends anyway. */
const STOP_WITHIN_MS = 900;

const controller = new AbortController();

/** The first signal asks the run to stop; a second one, or a run that does not listen, ends the process. */
function interrupt(): void {
  if (controller.signal.aborted) process.exit(EXIT.interrupted);
  controller.abort();
  setTimeout(() => process.exit(EXIT.interrupted), STOP_WITHIN_MS).unref();
}

/** A reader that has seen enough (`| head`) is no error. */
function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.done);
  note(`nestwalk: the output cannot be written: ${error.message}`);
  process.exit(EXIT.failed);
}

process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
process.stdout.on('error', endQuietly);
process.stderr.on('error', () => {});

try {
  await makeProgram(controller.signal).parseAsync();
} catch (error) {
  const text = controller.signal.aborted ? 'nestwalk: interrupted' : describeFailure(error);
  if (text !== '') note(text);
  process.exitCode = exitCodeOf(error);
}
if (controller.signal.aborted) process.exitCode = EXIT.interrupted;
