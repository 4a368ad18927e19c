/** The accesses of a synthetic workload as text. */
import { isTrace, type ResolvedConfig } from '../config/resolved.ts';
import { seedWords } from '../config/units.ts';
import { NestwalkError } from '../errors.ts';
import { AccessGenerator } from '../hardware/access.ts';
import { accessLine } from '../trace/block.ts';
import { encodeWorkload } from '../workload/encode.ts';

/** Accesses that are made at a time. */
const PIECE = 4096;

/** Which accesses {@link dumpWorkload} gives. */
export interface DumpWorkloadOptions {
  /** Index of the first; default 0. */
  from?: number;
  /** How many; default: up to the configuration's `accesses`. */
  count?: number;
}

/**
 * The accesses of a synthetic workload as lines `R 0x…` and `W 0x…`, without line ends.
 * @throws {NestwalkError} `usage` for a trace, and for a span that does not end below 2^53
 */
export function* dumpWorkload(
  config: ResolvedConfig,
  { from = 0, count = Math.max(0, (config.accesses ?? 0) - from) }: DumpWorkloadOptions = {},
): Generator<string, void, undefined> {
  if (isTrace(config.workload))
    throw new NestwalkError(
      'usage',
      'this workload is a trace: use `nestwalk trace dump` to see its accesses',
    );
  if (!Number.isSafeInteger(from + count))
    throw new NestwalkError(
      'usage',
      `accesses are numbered below 2^53; ${count} from ${from} on go beyond that`,
    );
  const generator = new AccessGenerator(
    encodeWorkload(config.workload, config.regions, seedWords(config.seed)),
  );
  const pages = new Float64Array(PIECE);
  const words = new Uint16Array(PIECE);
  for (let done = 0; done < count; done += PIECE) {
    const size = Math.min(PIECE, count - done);
    generator.fill(from + done, size, pages, words);
    for (let i = 0; i < size; i++) yield accessLine(pages[i], words[i]);
  }
}
