/** `nestwalk export` and `nestwalk query`: the results of a sweep for pandas, R and SQL. */
import { type Command, Option } from 'commander';
import { styleFor, table } from '../report/table.ts';
import { type QueryAnswer, toCsv, toJson } from '../results/store.ts';
import { EXPORT_FORMATS, type ExportFormat, exportSweep, querySweep } from '../sweep/status.ts';
import { print } from './streams.ts';

function addExport(program: Command): void {
  program
    .command('export')
    .argument('<folder>', 'folder of a sweep')
    .addOption(new Option('--format <format>', 'what to write').choices([...EXPORT_FORMATS]).default('csv'))
    .option('--out <file>', 'file to write (default: standard output; Parquet needs a file)')
    .description('the results of a sweep, one row a cell')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk export night --format csv > night.csv
  nestwalk export night --format parquet --out night.parquet`,
    )
    .action(async (folder: string, { format, out }: { format: ExportFormat; out?: string }) => {
      const text = await exportSweep(folder, format, out);
      if (text !== undefined) await print(text.replace(/\n$/, ''));
    });
}

/** Formats of an answer. */
const ANSWER_FORMATS = ['table', 'csv', 'json'] as const;
type AnswerFormat = (typeof ANSWER_FORMATS)[number];

function answerText({ columns, rows }: QueryAnswer, format: AnswerFormat): string {
  const names = columns.map(({ name }) => name);
  if (format === 'csv') return toCsv(names, rows);
  if (format === 'json') return toJson(names, rows);
  const cells = rows.map((row) => row.map((value) => (value === null ? '–' : String(value))));
  const heads = columns.map(({ name, isNumeric }) => ({ name, numeric: isNumeric }));
  return table(heads, cells, styleFor(process.stdout));
}

function addQuery(program: Command): void {
  program
    .command('query')
    .argument('<folder>', 'folder of a sweep')
    .argument('<sql>', 'a question in SQL; the table is cells, and columns says what its columns hold')
    .addOption(new Option('--format <format>', 'what to print').choices([...ANSWER_FORMATS]).default('table'))
    .description('the results of a sweep in SQL (DuckDB)')
    .addHelpText(
      'after',
      `
Examples:
  nestwalk query night "SELECT config_nestedPage, avg(missRatio_overall) FROM cells GROUP BY ALL"
  nestwalk query night "FROM columns"`,
    )
    .action(async (folder: string, sql: string, { format }: { format: AnswerFormat }) => {
      await print(answerText(await querySweep(folder, sql), format).replace(/\n$/, ''));
    });
}

/** Adds `export` and `query`. */
export function addResultCommands(program: Command): void {
  addExport(program);
  addQuery(program);
}
