/**
 * ChampSim's trace records: 64 bytes each, little-endian, one per instruction: u64 ip; u8 is_branch, branch_taken;
 * u8 dest_regs[2], src_regs[4]; u64 dest_mem[2], src_mem[4] (ChampSim, inc/trace_instruction.h: input_instr).
 */

import { NestwalkError } from '../errors.ts';
import { KIND_SHIFT } from '../schema.ts';
import type { AccessBlock, ReadOptions } from './block.ts';
import { addressError, BlockFiller, FETCH, pageBound, READ, WRITE } from './block.ts';

/** Bytes of one record. */
const RECORD_BYTES = 64;

/** Where the addresses stand in a record, in the order in which they count as accesses. */
const SLOTS: readonly { at: number; kind: number; zeroCounts: boolean }[] = [
  { at: 0, kind: FETCH, zeroCounts: true },
  ...[32, 40, 48, 56].map((at) => ({ at, kind: READ, zeroCounts: false })),
  ...[16, 24].map((at) => ({ at, kind: WRITE, zeroCounts: false })),
];

/**
 * Reads ChampSim records. Each is a fetch of ip (zero too), a read for each source address that is not zero, a write
 * for each destination address that is not zero, slots in array order; their sizes are not recorded.
 *
 * @param chunks the decompressed records, cut anywhere
 * @param name what to call the trace in messages
 * @throws NestwalkError 'trace.corrupt' when the last record is cut, 'trace.address' for an access kept that lies
 *   outside the address space; both name the record (from 1) and the byte at which it begins (from 0)
 */
export async function* readChampsim(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  options: ReadOptions = {},
): AsyncGenerator<AccessBlock, void, undefined> {
  const filler = new BlockFiller(options.limit);
  const bound = pageBound(options.levels);
  const slots = options.fetches === false ? SLOTS.slice(1) : SLOTS;
  if (filler.complete) return;
  let record = 0;
  for await (const { bytes, cut } of wholeRecords(chunks)) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let start = 0; start < bytes.length; start += RECORD_BYTES) {
      record += 1;
      for (const { at, kind, zeroCounts } of slots) {
        const low = view.getUint32(start + at, true);
        const high = view.getUint32(start + at + 4, true);
        if (low === 0 && high === 0 && !zeroCounts) continue;
        const page = high * 2 ** 20 + (low >>> 12);
        if (page >= bound) {
          throw addressError(place(name, record), page, low & 0xfff, kind, options.levels);
        }
        filler.add(page, (low & 0xfff) | (kind << KIND_SHIFT));
        if (filler.room > 0) continue;
        const last = filler.complete;
        yield filler.take();
        if (last) return;
      }
    }
    if (cut > 0) {
      throw new NestwalkError(
        'trace.corrupt',
        `${place(name, record + 1)} is cut: ${cut} of ${RECORD_BYTES} bytes; a ChampSim trace is a whole number of records`,
      );
    }
  }
  if (filler.count > 0) yield filler.take();
}

const place = (name: string, record: number): string =>
  `${name}: record ${record} (byte ${(record - 1) * RECORD_BYTES})`;

/** Joins chunks so that each piece holds whole records; the last piece says how many bytes of a record follow it. */
async function* wholeRecords(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ bytes: Uint8Array; cut: number }, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    const whole = bytes.length - (bytes.length % RECORD_BYTES);
    if (whole > 0) yield { bytes: bytes.subarray(0, whole), cut: 0 };
    rest = bytes.subarray(whole);
  }
  yield { bytes: new Uint8Array(0), cut: rest.length };
}

/** Whether these first bytes look like ChampSim records: the two flag bytes of each are 0 or 1. */
export function looksLikeChampsim(head: Uint8Array): boolean {
  const records = Math.floor(head.length / RECORD_BYTES);
  for (let record = 0; record < records; record++) {
    const [branch, taken] = head.subarray(record * RECORD_BYTES + 8, record * RECORD_BYTES + 10);
    if (branch > 1 || taken > 1) return false;
  }
  return records > 0;
}
