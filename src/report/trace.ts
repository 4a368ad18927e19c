/** What is in a trace, as text. */
import type { TraceInfo } from '../trace/trace.ts';
import { bytes, count } from './format.ts';
import { facts, type Style } from './table.ts';

const PAGE_BYTES = 4096;

/** A trace's facts, one a line: format, accesses by kind, pages, the levels that its addresses need. */
export function renderTraceInfo(info: TraceInfo, style: Style): string {
  const packed = info.compression === 'none' ? '' : `, ${info.compression}`;
  const pages = (number: number): string => `${count(number)} (${bytes(number * PAGE_BYTES)})`;
  const perAccess =
    info.accesses === 0 ? '' : `, ${((8 * info.fileBytes) / info.accesses).toFixed(2)} bits an access`;
  const pairs: [string, string][] = [
    ['format', `${info.format}${packed}`],
    ['file', `${bytes(info.fileBytes)}${perAccess}`],
    ['accesses', count(info.accesses)],
    ['  reads', count(info.reads)],
    ['  writes', count(info.writes)],
    ['  fetches', info.fetchesKept ? count(info.fetches) : 'left out'],
    ['4 KiB pages touched', pages(info.pages)],
    ['  by data alone', pages(info.dataPages)],
    ['levels needed', info.levels === null ? 'more than 5' : `${info.levels}`],
    ['made from', `${info.source} (${info.sourceFormat})`],
  ];
  if (info.command !== null) pairs.push(['command', info.command]);
  if (info.sourceSha256 !== null) pairs.push(['SHA-256 of the original', info.sourceSha256]);
  if (info.blocks !== null) pairs.push(['blocks', count(info.blocks)]);
  return `${style.strong(info.path)}\n${facts(pairs, style)}`;
}
