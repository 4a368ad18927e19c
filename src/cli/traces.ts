/** `nestwalk trace`: record, look into, convert and print traces of real programs. */
import path from 'node:path';
import { type Command, Option } from 'commander';
import { TRACE_FORMATS, type TraceFormat } from '../config/traceFormat.ts';
import { count } from '../report/format.ts';
import { styleFor } from '../report/table.ts';
import { renderTraceInfo } from '../report/trace.ts';
import { type Capture, captureTrace } from '../trace/capture.ts';
import { convertTrace, dumpTrace, traceInfo } from '../trace/trace.ts';
import { readCount } from './options.ts';
import { note, passProgress, print, printLines, progressLines, showProgress } from './streams.ts';

interface TraceFlags {
  format?: TraceFormat;
  fetches: boolean;
  quiet?: boolean;
  json?: boolean;
}

const addFormat = (command: Command): Command =>
  command.addOption(
    new Option('--format <format>', 'format of the file (default: told by its name or content)').choices([
      ...TRACE_FORMATS,
    ]),
  );

/** How the recorded program ended, where that is worth a word. */
function endOf({ exitCode, exitSignal, limited }: Capture): string {
  if (limited) return '; the program was ended at the limit';
  if (exitSignal !== null) return `; the program was ended by ${exitSignal}`;
  return exitCode === 0 ? '' : `; the program ended with exit code ${exitCode}`;
}

function addCapture(trace: Command, signal: AbortSignal): void {
  trace
    .command('capture')
    .argument('<command...>', 'program and arguments, after --')
    .usage('[options] -- <command...>')
    .option('--out <file>', 'file to write: *.nwt, *.lackey or *.lackey.gz (default: PROGRAM.nwt)')
    .option('--no-fetches', 'leave instruction fetches out')
    .option('--limit <count>', 'end the program after so many accesses', readCount)
    .option('--quiet', 'neither progress nor notes')
    .description('runs a program under valgrind’s lackey and records every access of it')
    .addHelpText(
      'after',
      `
The program has the terminal to itself but for a line of progress every ten seconds; it runs some hundred times slower.

Example:
  nestwalk trace capture --out sort.nwt --limit 1e7 -- sort /usr/share/dict/words`,
    )
    .action(async (command: string[], flags: TraceFlags & { out?: string; limit?: number }) => {
      const { fetches, limit, quiet } = flags;
      const out = flags.out ?? `${path.basename(command[0])}.nwt`;
      const watch = passProgress(quiet ? showProgress(true) : progressLines(), 'recording: ');
      const onProgress = (accesses: number): void => watch({ accesses, fraction: 0 });
      const capture = await captureTrace(command, out, {
        fetches: fetches ? undefined : false,
        limit,
        signal,
        onProgress,
      });
      if (!quiet)
        note(
          `${out}: ${count(capture.header.accesses)} accesses, ${count(capture.header.pages)} pages${endOf(capture)}`,
        );
    });
}

function addInfo(trace: Command, signal: AbortSignal): void {
  addFormat(trace.command('info').argument('<file>', 'trace, plain or packed (.gz, .xz, .zst)'))
    .option('--json', 'as JSON')
    .option('--quiet', 'no progress')
    .description('what is in a trace: accesses by kind, pages, the table levels that it needs')
    .addHelpText('after', '\nExample:\n  nestwalk trace info program.lackey.xz')
    .action(async (file: string, { format, json, quiet }: TraceFlags) => {
      const show = showProgress(quiet ?? false);
      const info = await traceInfo(file, { format, signal, onProgress: passProgress(show, '') }).finally(
        show.end,
      );
      await print(json ? JSON.stringify(info, null, 2) : renderTraceInfo(info, styleFor(process.stdout)));
    });
}

function addConvert(trace: Command, signal: AbortSignal): void {
  addFormat(
    trace.command('convert').argument('<from>', 'trace to read').argument('<to>', 'file to write, *.nwt'),
  )
    .option('--no-fetches', 'leave instruction fetches out')
    .option('--limit <count>', 'stop after so many accesses', readCount)
    .option('--quiet', 'neither progress nor notes')
    .description('to nestwalk’s own format: small, indexed, with the pages in order of first touch')
    .addHelpText(
      'after',
      '\nExample:\n  nestwalk trace convert program.champsimtrace.xz program.nwt --limit 1e8',
    )
    .action(async (from: string, to: string, flags: TraceFlags & { limit?: number }) => {
      const { format, fetches, limit } = flags;
      const show = showProgress(flags.quiet ?? false);
      const onProgress = passProgress(show, '');
      const header = await convertTrace(from, to, { format, fetches, limit, signal, onProgress }).finally(
        show.end,
      );
      if (!flags.quiet) note(`${to}: ${count(header.accesses)} accesses, ${count(header.pages)} pages`);
    });
}

function addDump(trace: Command): void {
  addFormat(trace.command('dump').argument('<file>', 'trace, plain or packed'))
    .option('--count <count>', 'how many accesses (default: all)', readCount)
    .option('--from <index>', 'index of the first', readCount, 0)
    .option('--no-fetches', 'leave instruction fetches out')
    .description('accesses as lines: R 0x…, W 0x…, F 0x… (read, write, fetch)')
    .addHelpText('after', '\nExample:\n  nestwalk trace dump program.nwt --count 10 --no-fetches')
    .action(async (file: string, flags: TraceFlags & { count?: number; from: number }) => {
      const { format, fetches, count: wanted, from } = flags;
      await printLines(dumpTrace(file, { format, fetches, count: wanted, from }));
    });
}

/** Adds `trace capture|info|convert|dump`. */
export function addTraceCommands(program: Command, signal: AbortSignal): void {
  const trace = program
    .command('trace')
    .description('traces of real programs: capture, info, convert, dump')
    .addHelpText('after', '\nExample:\n  nestwalk trace capture --out ls.nwt -- ls /');
  addCapture(trace, signal);
  addInfo(trace, signal);
  addConvert(trace, signal);
  addDump(trace);
}
