/**
 * The results store: DuckDB, loaded only when it is asked for. A table of typed columns becomes a database file, a Parquet
 * file, or the answer to a query. The store is never the truth: it is rebuilt from what it was made of.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import type { DuckDBConnection, DuckDBType } from '@duckdb/node-api';
import { NestwalkError } from '../errors.ts';

/** Type of a column: whole numbers from 0, numbers, text. */
export type ColumnType = 'UBIGINT' | 'DOUBLE' | 'VARCHAR';

/** One column of a table. */
export interface StoreColumn {
  name: string;
  type: ColumnType;
  /** What it holds, in a few words. */
  meaning: string;
}

/** A value of a table; whole numbers are exact to 2^53. */
export type StoreValue = number | string | null;

/** A table: as many values in each row as there are columns. */
export interface StoreTable {
  columns: StoreColumn[];
  rows: StoreValue[][];
}

/** Name of the table of results. */
export const CELLS_TABLE = 'cells';
/** Name of the table that says what each column holds. */
const COLUMNS_TABLE = 'columns';
/** DuckDB's name for a database that is no file. */
const IN_MEMORY = ':memory:';
/** Rows that DuckDB takes at a time. */
const CHUNK_ROWS = 2048;

type Duck = typeof import('@duckdb/node-api');

async function loadDuck(): Promise<Duck> {
  try {
    return await import('@duckdb/node-api');
  } catch (cause) {
    throw new NestwalkError(
      'store.missing',
      `DuckDB cannot be loaded: ${(cause as Error).message.split('\n')[0]}.`,
      { cause },
    );
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Fills a new table. */
async function fillTable(
  duck: Duck,
  connection: DuckDBConnection,
  name: string,
  table: StoreTable,
): Promise<void> {
  const { columns, rows } = table;
  const list = columns.map((column) => `${quoted(column.name)} ${column.type}`).join(', ');
  await connection.run(`CREATE TABLE ${name} (${list})`);
  const types: DuckDBType[] = columns.map(({ type }) => duck[type]);
  const appender = await connection.createAppender(name);
  for (let from = 0; from < rows.length; from += CHUNK_ROWS) {
    const part = rows.slice(from, from + CHUNK_ROWS);
    const chunk = duck.DuckDBDataChunk.create(types, part.length);
    const exact = (value: StoreValue, at: number) =>
      columns[at].type === 'UBIGINT' && value !== null ? BigInt(value) : value;
    chunk.setColumns(columns.map((_, at) => part.map((row) => exact(row[at], at))));
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

const firstLine = ({ message }: Error): string => message.split('\n')[0]!;

const storeFailed = (cause: Error): NestwalkError =>
  new NestwalkError('store.failed', `DuckDB does not take the results: ${firstLine(cause)}`, { cause });

const dictionary = ({ columns }: StoreTable): StoreTable => ({
  columns: ['name', 'type', 'meaning'].map((name) => ({ name, type: 'VARCHAR' as const, meaning: '' })),
  rows: columns.map(({ name, type, meaning }) => [name, type, meaning]),
});

/** Opens a database with the tables `cells` and `columns`, and closes it after use. */
async function withStore<T>(
  file: string,
  table: StoreTable,
  use: (connection: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const duck = await loadDuck();
  // One thread: the order of rows is then that of the table wherever a query does not ask for another.
  const instance = await duck.DuckDBInstance.create(file, { threads: '1' }).catch((cause: Error) => {
    throw file === IN_MEMORY ? storeFailed(cause) : cause;
  });
  try {
    const connection = await instance.connect();
    try {
      try {
        await fillTable(duck, connection, CELLS_TABLE, table);
        await fillTable(duck, connection, COLUMNS_TABLE, dictionary(table));
      } catch (cause) {
        throw storeFailed(cause as Error);
      }
      return await use(connection);
    } finally {
      connection.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

/**
 * Writes a database file with the tables `cells` and `columns`; one that is there is replaced whole.
 * @throws {NestwalkError} `store.missing`; `store.failed`; `sweep.folder` when the file cannot be written
 */
export async function writeStore(file: string, table: StoreTable): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  try {
    rmSync(partial, { force: true });
    await withStore(partial, table, async (connection) => {
      await connection.run('CHECKPOINT');
    });
    renameSync(partial, file);
  } catch (cause) {
    throw cause instanceof NestwalkError ? cause : unwritten('sweep.folder', file, cause as Error);
  } finally {
    for (const left of [partial, `${partial}.wal`]) if (existsSync(left)) rmSync(left, { force: true });
  }
}

/**
 * Writes a Parquet file (zstd).
 * @throws {NestwalkError} `store.missing`; `store.failed`; `export.file` when the file cannot be written
 */
export async function writeParquet(file: string, table: StoreTable): Promise<void> {
  await withStore(IN_MEMORY, table, async (connection) => {
    const copy = `COPY ${CELLS_TABLE} TO ${literal(file)} (FORMAT parquet, COMPRESSION zstd)`;
    await connection.run(copy).catch((cause: Error) => {
      throw unwritten('export.file', file, cause);
    });
  });
}

const unwritten = (code: 'sweep.folder' | 'export.file', file: string, cause: Error): NestwalkError =>
  new NestwalkError(code, `${file} cannot be written: ${firstLine(cause)}`, { cause });

/** What a query gave. Whole numbers beyond 2^53 are text. */
export interface QueryAnswer {
  columns: { name: string; isNumeric: boolean }[];
  rows: (StoreValue | boolean)[][];
}

const NUMERIC = /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL)/;

function plainValue(value: unknown): StoreValue | boolean {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  // Decimals and the like: as a number where that is what they are.
  const text = String(value);
  return typeof value === 'object' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/**
 * Asks a question in SQL; the table is `cells`, and `columns` says what its columns hold.
 * @throws {NestwalkError} `store.missing`; `store.failed`; `store.query` with what DuckDB says
 */
export async function queryStore(table: StoreTable, sql: string): Promise<QueryAnswer> {
  const refuse = (cause: Error): never => {
    throw new NestwalkError('store.query', cause.message.trim(), { cause });
  };
  return withStore(IN_MEMORY, table, async (connection) => {
    // DuckDB fails without a reason where there is nothing but blanks and comments.
    const statements = await connection.extractStatements(`${sql}\n;`).catch((cause: Error) => {
      if (/native callback/.test(cause.message)) return { count: 0 } as const;
      return refuse(cause);
    });
    if (statements.count !== 1) {
      throw new NestwalkError(
        'store.query',
        `a query is one statement, and ${statements.count === 0 ? 'there is none' : `these are ${statements.count}`}; ` +
          'ask one after the other',
      );
    }
    const prepared = await statements.prepare(0).catch(refuse);
    const { StatementType } = await loadDuck();
    const asking: number[] = [StatementType.SELECT, StatementType.EXPLAIN];
    if (!asking.includes(prepared.statementType)) {
      throw new NestwalkError(
        'store.query',
        `a query asks and changes nothing: SELECT, FROM, EXPLAIN or DESCRIBE, and this is ${StatementType[prepared.statementType] ?? 'another'}; ` +
          'to write files there is `nestwalk export`',
      );
    }
    const answer = await prepared.runAndReadAll().catch(refuse);
    const types = answer.columnTypes();
    const columns = answer
      .deduplicatedColumnNames()
      .map((name, at) => ({ name, isNumeric: NUMERIC.test(String(types[at])) }));
    return { columns, rows: answer.getRows().map((row) => row.map(plainValue)) };
  });
}

const csvField = (value: StoreValue | boolean): string => {
  if (value === null) return '';
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** A table as CSV (RFC 4180, lines end in `\n`), heading first; what is missing is empty. */
export function toCsv(
  names: readonly string[],
  rows: readonly (readonly (StoreValue | boolean)[])[],
): string {
  return [names, ...rows].map((row) => `${row.map(csvField).join(',')}\n`).join('');
}

/** A table as a JSON array of records, a record a line; what is missing is null. */
export function toJson(
  names: readonly string[],
  rows: readonly (readonly (StoreValue | boolean)[])[],
): string {
  const records = rows.map((row) =>
    JSON.stringify(Object.fromEntries(names.map((name, at) => [name, row[at]]))),
  );
  return records.length === 0 ? '[]\n' : `[\n${records.join(',\n')}\n]\n`;
}
