/** `nestwalk report`: results as one page, and as figures for papers. */
import { statSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { writeFigures } from '../report/figures/files.ts';
import { bytes, countOf } from '../report/format.ts';
import { reportPage } from '../report/html/report.ts';
import { readReport, STDIN } from '../report/html/sources.ts';
import { writeWhole } from '../sweep/folder.ts';
import { note, print } from './streams.ts';

interface ReportFlags {
  out?: string;
  figures?: string;
  quiet?: boolean;
}

/** Name of what the report is about, for files. */
const nameOf = (source: string): string =>
  source === STDIN ? 'report' : path.basename(path.resolve(source)).replace(/\.json$/i, '') || 'report';

/** Where the page goes where nothing is said: into the sweep's folder, beside the file, or here. */
function pageOf(source: string): string {
  if (source === STDIN) return 'report.html';
  if (statSync(source).isDirectory()) return path.join(source, 'report.html');
  return `${source.replace(/\.json$/i, '')}.html`;
}

async function report(source: string, { out, figures, quiet }: ReportFlags): Promise<void> {
  const data = await readReport(source);
  const html = await reportPage(data, nameOf(source));
  if (out === STDIN) await print(html.trimEnd());
  else {
    const file = out ?? pageOf(source);
    writeWhole(file, html, 'export.file');
    await print(file);
    if (!quiet)
      note(
        `note: ${bytes(Buffer.byteLength(html))}, ${countOf(data.figures.length, 'figure')}; open it in a browser`,
      );
  }
  if (figures === undefined) return;
  const { files, notes } = await writeFigures(data, figures);
  if (quiet) return;
  note(`note: ${countOf(files.length, 'file')} in ${figures}`);
  for (const line of notes) note(`note: ${line}`);
}

/** Adds `report`. */
export function addReportCommand(program: Command): void {
  program
    .command('report')
    .argument(
      '<results>',
      'folder of a sweep, or JSON of run, compare, scenario or reproduce; - reads it from standard input',
    )
    .option(
      '--out <file>',
      'page to write, or - for standard output (default: report.html in the folder; of a JSON file, beside it)',
    )
    .option('--figures <folder>', 'write every figure as SVG and PNG too')
    .option('--quiet', 'no notes')
    .description('results as one page to look at: figures, table, downloads; it needs no network')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk report night
  nestwalk report night --out night.html --figures figures
  nestwalk run experiment.yaml --json | nestwalk report - --out run.html`,
    )
    .action(report);
}
