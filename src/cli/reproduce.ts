/** `nestwalk reproduce`: published results beside what is simulated here. */
import { type Command, Option } from 'commander';
import { renderReproduction, reproductionMarkdown } from '../report/reproduce.ts';
import { styleFor } from '../report/table.ts';
import { reproduce } from '../reproduce/reproduce.ts';
import { addRunFlags, type RunFlags } from './options.ts';
import { note, print, showProgress } from './streams.ts';

/** Folder that keeps what the full run has done, where the user names none. */
const FOLDER = 'reproduction';

interface ReproduceFlags extends RunFlags {
  quick?: boolean;
  out?: string;
  json?: boolean;
  markdown?: boolean;
}

/** Adds `reproduce`. */
export function addReproduceCommand(program: Command, signal: AbortSignal): void {
  addRunFlags(
    program
      .command('reproduce')
      .argument('[claims...]', 'claims to try, e.g. C08 C14 (default: all; see: nestwalk list claims)')
      .option('--quick', 'shorter runs: minutes on two cores, instead of up to an hour')
      .option(
        '--out <folder>',
        `folder that keeps what was run, so that the same command goes on (default: ${FOLDER}; with --quick: none)`,
      )
      .addOption(new Option('--markdown', 'as Markdown').conflicts('json')),
  )
    .description(
      'the published results that this kind of simulator can speak to: the paper’s figure, ours, verdict, and why',
    )
    .addHelpText(
      'after',
      `
A claim is tried as its source describes it, and nothing is tuned to fit: one that fails stays in the table as failed.

Examples:
  nestwalk reproduce --quick
  nestwalk reproduce C01 C08
  nestwalk reproduce --out figures --json > figures.json`,
    )
    .action(async (claims: string[], flags: ReproduceFlags) => {
      const { quick, out, json, markdown, quiet, engine, workers } = flags;
      const folder = out ?? (quick ? undefined : FOLDER);
      if (folder !== undefined && !quiet)
        note(`note: what is run is kept in ${folder}; the same command goes on with it`);
      const show = showProgress(quiet ?? false);
      try {
        const found = await reproduce(claims, {
          scale: quick ? 'quick' : 'full',
          ...(folder === undefined ? {} : { folder }),
          ...(engine ? { engine } : {}),
          ...(workers === undefined ? {} : { workers }),
          signal,
          onProgress: ({ done, total, label, run }) =>
            show.update(run ?? { done, total, accessesPerSecond: 0 }, `${done} of ${total}, ${label}: `),
        });
        show.end();
        if (json) return await print(JSON.stringify(found, null, 2));
        if (markdown) return await print(reproductionMarkdown(found).trimEnd());
        await print(renderReproduction(found, styleFor(process.stdout), process.stdout.isTTY === true));
      } finally {
        show.end();
      }
    });
}
