/** The formats of traces, and what the name of a file tells of them. */
import { extname } from 'node:path';

/** Formats of recorded streams. */
export const TRACE_FORMATS = ['lackey', 'champsim', 'nwt'] as const;
/** A format of recorded streams. */
export type TraceFormat = (typeof TRACE_FORMATS)[number];

const COMPRESSIONS = ['.gz', '.xz', '.zst'];
const FORMAT_BY_EXTENSION: Readonly<Record<string, TraceFormat>> = {
  '.lackey': 'lackey',
  '.champsimtrace': 'champsim',
  '.nwt': 'nwt',
};

/** The name of a file as its extensions are read: without that of its compression, in lower case. */
function bareName(file: string): { name: string; compression: string } {
  const name = file.toLowerCase();
  const last = extname(name);
  return COMPRESSIONS.includes(last)
    ? { name: name.slice(0, -last.length), compression: last }
    : { name, compression: '' };
}

/** The format that a file's name tells, its compression and its case aside; undefined where it tells nothing. */
export function formatByName(file: string): TraceFormat | undefined {
  return FORMAT_BY_EXTENSION[extname(bareName(file).name)];
}

/** The compression that a file's name tells (`.gz`, `.xz`, `.zst`), or an empty string. */
export const compressionByName = (file: string): string => bareName(file).compression;
