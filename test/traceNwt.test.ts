import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { NestwalkError } from '../src/errors.ts';
import { BLOCK_ACCESSES } from '../src/trace/block.ts';
import { decodeBlock, encodeBlock } from '../src/trace/nwtFormat.ts';
import type { TraceOptions } from '../src/trace/trace.ts';
import { convertTrace, dumpTrace, openTrace, traceInfo } from '../src/trace/trace.ts';

const folder = mkdtempSync(join(tmpdir(), 'nestwalk-nwt-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string | Uint8Array): string => {
  const full = join(folder, name);
  writeFileSync(full, content);
  return full;
};

async function dump(name: string, options: Parameters<typeof dumpTrace>[1] = {}): Promise<string[]> {
  const all: string[] = [];
  for await (const line of dumpTrace(name, options)) all.push(line);
  return all;
}

async function touched(name: string, options: TraceOptions): Promise<number[]> {
  const trace = await openTrace(name, options);
  try {
    return [...(await trace.firstTouch())];
  } finally {
    await trace.close();
  }
}

async function convert(name: string, text: string | Uint8Array, options = {}): Promise<[string, string]> {
  const from = file(name, text);
  const to = join(folder, `${name}.nwt`);
  await convertTrace(from, to, options);
  return [from, to];
}

/** Lackey text of three blocks and a bit: code, stack, and a heap that is jumped about in. */
const longText = Array.from({ length: 70_000 }, (_, i) => {
  const heap = 0x5000000 + ((i * 7919) % 3000) * 4096 + ((i * 8) % 4000);
  const code = (0x400000 + ((i * 4) % 40_000)).toString(16);
  return `I  ${code},4\n L ${heap.toString(16)},8\n S 1fff000${(i % 256).toString(16).padStart(3, '0')},4\n`;
}).join('');

describe('a block', () => {
  const access = fc.tuple(
    fc.oneof(fc.integer({ min: 0, max: 40 }), fc.bigInt(0n, 2n ** 52n - 1n).map(Number)),
    fc.integer({ min: 0, max: 4095 }),
    fc.integer({ min: 0, max: 2 }),
  );

  it('decodes to what was encoded (property)', () => {
    fc.assert(
      fc.property(fc.array(access, { maxLength: 300 }), (accesses) => {
        const pages = Float64Array.from(accesses, ([page]) => page);
        const words = Uint16Array.from(accesses, ([, offset, kind]) => offset | (kind << 12));
        const block = { pages, words, count: accesses.length };
        expect(decodeBlock(encodeBlock(block), accesses.length)).toEqual(block);
      }),
    );
  });

  it('is refused, without a crash, when it is any other bytes (property)', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(100), (raw, count) => {
        try {
          const { pages, words } = decodeBlock(raw, count);
          // Random bytes that happen to be a block hold possible accesses only.
          for (const page of pages)
            expect(Number.isSafeInteger(page) && page >= 0 && page < 2 ** 52).toBe(true);
          for (const word of words) expect(word >> 12).toBeLessThan(3);
        } catch (error) {
          expect((error as Error).message).toMatch(
            /^it(s lengths disagree| holds an impossible| is not as long)/,
          );
        }
      }),
    );
  });
});

describe('conversion to .nwt', () => {
  it('keeps every access, in order (property: lackey → nwt → dump)', async () => {
    const line = fc
      .tuple(
        fc.constantFrom('I ', ' L', ' S', ' M'),
        fc.bigInt(0n, 2n ** 64n - 20_000n),
        fc.integer({ min: 0, max: 9000 }),
      )
      .map(([kind, address, size]) => `${kind} ${address.toString(16)},${size}\n`);
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 60 }), async (all) => {
        const [from, to] = await convert('property.lackey', all.join(''));
        for (const fetches of [true, false]) {
          expect(await dump(to, { fetches })).toEqual(await dump(from, { fetches }));
          for (const limit of [undefined, 0, 1, 7]) {
            expect(await touched(to, { fetches, limit })).toEqual(await touched(from, { fetches, limit }));
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('keeps traces of several blocks, reads them from anywhere, and cuts them at any limit', async () => {
    const [from, to] = await convert('long.lackey', longText);
    const all = await dump(from);
    expect(all).toHaveLength(210_000);
    expect(await dump(to)).toEqual(all);
    for (const [first, count] of [
      [0, 1],
      [BLOCK_ACCESSES - 1, 2],
      [BLOCK_ACCESSES, BLOCK_ACCESSES],
      [209_999, 5],
      [300_000, 1],
    ]) {
      expect(await dump(to, { from: first, count })).toEqual(all.slice(first, first + count));
    }
    const data = all.filter((line) => !line.startsWith('F'));
    expect(await dump(to, { fetches: false, from: 43_000, count: 60_000 })).toEqual(
      data.slice(43_000, 103_000),
    );
    for (const options of [{}, { fetches: false }, { limit: 5000 }, { fetches: false, limit: 70_001 }]) {
      expect(await touched(to, options)).toEqual(await touched(from, options));
    }
  });

  it('knows what is in it without reading it', async () => {
    const name = 'known.lackey.gz';
    const text = `==1== Command: ls\n${longText}`;
    const [, to] = await convert(name, gzipSync(text));
    const pages = new Set(
      [...longText.matchAll(/ ([0-9a-f]+),/g)].map(([, hex]) => Number.parseInt(hex, 16) >> 12),
    );
    const info = await traceInfo(to);
    expect(info).toMatchObject({
      ...{ format: 'nwt', compression: 'none', fileBytes: statSync(to).size, blocks: 4, levels: 3 },
      ...{ source: name, sourceFormat: 'lackey', command: 'ls', fetchesKept: true },
      ...{ accesses: 210_000, reads: 70_000, writes: 70_000, fetches: 70_000, highestPage: 0x1fff000 },
      // SHA-256 of the text, not of the gzip file.
      sourceSha256: createHash('sha256').update(text).digest('hex'),
    });
    expect(info.pages).toBe(pages.size);
    const trace = await openTrace(to, { fetches: false, limit: 150_000 });
    expect(trace.accesses).toBe(140_000);
    await trace.close();
  });

  it('drops fetches and cuts when asked, and says so', async () => {
    const [from, to] = await convert('part.lackey', longText, { fetches: false, limit: 100_000 });
    expect(await dump(to)).toEqual(await dump(from, { fetches: false, count: 100_000 }));
    expect(await traceInfo(to)).toMatchObject({
      fetchesKept: false,
      fetches: 0,
      accesses: 100_000,
      sourceSha256: null,
    });
  });

  it('converts .nwt again, keeping what is known of the original', async () => {
    const [, first] = await convert('again.lackey', longText);
    const second = join(folder, 'second.nwt');
    await convertTrace(first, second, { fetches: false });
    const { sourceSha256 } = await traceInfo(first);
    expect(await dump(second)).toEqual(await dump(first, { fetches: false }));
    expect(await traceInfo(second)).toMatchObject({
      source: 'again.lackey',
      sourceSha256,
      fetchesKept: false,
    });
    expect(await touched(second, {})).toEqual(await touched(first, { fetches: false }));
  });

  it('holds an empty trace', async () => {
    const [, to] = await convert('none.lackey', '==1== nothing\n');
    expect(await dump(to)).toEqual([]);
    expect(await touched(to, {})).toEqual([]);
  });

  it('is read through gzip, xz and zstd, named .nwt.gz or not', async () => {
    const [from, to] = await convert('packed.lackey', longText);
    const expected = await dump(from);
    for (const [tool, ending] of [
      ['gzip', 'gz'],
      ['xz', 'xz'],
      ['zstd', 'zst'],
    ]) {
      const { stdout } = spawnSync(tool, ['-c', to], { maxBuffer: 1 << 26 });
      for (const name of [`packed.nwt.${ending}`, `packed-${ending}`]) {
        expect(await dump(file(name, stdout))).toEqual(expected);
      }
    }
  });

  it('checks addresses when it is run, not when it is made', async () => {
    const [, to] = await convert('high.lackey', ` L 1000,1\nI  ffffffffff600000,1\n S 800000000000,4\n`);
    const run = async (options: TraceOptions): Promise<number> => {
      const trace = await openTrace(to, options);
      try {
        let count = 0;
        for await (const block of trace.blocks()) count += block.count;
        return count;
      } finally {
        await trace.close();
      }
    };
    await expect(run({ levels: 4 })).rejects.toMatchObject({ code: 'trace.address' });
    await expect(run({ levels: 4 })).rejects.toThrow(
      'access 1 (counted from 0 among those kept): the fetch of address 0xffffffffff600000',
    );
    await expect(run({ levels: 4, fetches: false })).rejects.toThrow(
      'access 1 (counted from 0 among those kept): the write of',
    );
    await expect(touched(to, { levels: 4 })).rejects.toThrow('the fetch of address 0xffffffffff600000');
    expect(await run({ levels: 5, fetches: false })).toBe(2);
    expect(await run({ levels: 4, limit: 1 })).toBe(1);
    expect(await touched(to, { levels: 4, limit: 1 })).toEqual([1]);
  });

  it('leaves nothing behind when it fails or is cancelled, and the old file as it was', async () => {
    const own = join(folder, 'own');
    mkdirSync(own);
    const to = join(own, 'target.nwt');
    writeFileSync(to, 'old');
    await expect(convertTrace(file('bad.lackey', `${longText}rubbish\n`), to)).rejects.toThrow('line 210001');
    const control = new AbortController();
    const options = { signal: control.signal, onProgress: () => control.abort() };
    await expect(convertTrace(file('ok.lackey', longText), to, options)).rejects.toMatchObject({
      code: 'run.cancelled',
    });
    expect(readdirSync(own)).toEqual(['target.nwt']);
    expect(readFileSync(to, 'utf8')).toBe('old');
  });

  it('refuses other targets and folders that are not there', async () => {
    const from = file('t.lackey', ' L 0,1\n');
    await expect(convertTrace(from, join(folder, 't.txt'))).rejects.toMatchObject({ code: 'usage' });
    await expect(convertTrace(from, join(folder, 't.nwt.gz'))).rejects.toMatchObject({ code: 'usage' });
    await expect(convertTrace(from, join(folder, 'no/t.nwt'))).rejects.toThrow('its folder does not exist');
  });
});

describe('a damaged .nwt file', () => {
  /** Reads everything that a file holds. */
  async function readAll(name: string): Promise<{ accesses: string[]; all: number[]; data: number[] }> {
    const accesses = await dump(name, { fetches: true });
    return { accesses, all: await touched(name, {}), data: await touched(name, { fetches: false }) };
  }

  async function refused(name: string): Promise<string> {
    const failure = await readAll(name).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(NestwalkError);
    expect((failure as NestwalkError).code).toBe('trace.corrupt');
    return (failure as NestwalkError).message;
  }

  const short = `${' L 1000,4\nI  400000,3\n S 7ffe,4\n'.repeat(20)} L 123456000,8\n`;

  it('is refused for every single bit that is flipped, in every byte', async () => {
    const [, to] = await convert('flip.lackey', short);
    const whole = readFileSync(to);
    const padding = whole.indexOf('  ');
    for (let byte = 0; byte < whole.length; byte++) {
      // Of the spaces that pad the header one in a hundred is enough.
      if (byte > padding && byte < 4100 && byte % 100 !== 0) continue;
      const bytes = Buffer.from(whole);
      bytes[byte] ^= 1 << (byte % 8);
      expect(await refused(file('flipped.nwt', bytes)), `byte ${byte}`).toContain('flipped.nwt: ');
    }
  });

  it('is refused at every length', async () => {
    const [, to] = await convert('cut.lackey', short);
    const whole = readFileSync(to);
    for (let length = 1; length < whole.length; length += length < 4100 ? 97 : 1) {
      await refused(file('cut.nwt', whole.subarray(0, length)));
    }
    await refused(file('longer.nwt', Buffer.concat([whole, Buffer.of(0)])));
  });

  it('is refused after any change, cut or addition (property), or gives exactly what it held', async () => {
    const [, to] = await convert('random.lackey', longText);
    const whole = readFileSync(to);
    const expected = await readAll(to);
    const change = fc.record({
      at: fc.nat(whole.length - 1),
      drop: fc.nat(50),
      add: fc.uint8Array({ maxLength: 50 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let bytes: Buffer = whole;
        for (const { at, drop, add } of changes) {
          bytes = Buffer.concat([bytes.subarray(0, at), add, bytes.subarray(at + drop)]);
        }
        const name = file('random.nwt', bytes);
        if (bytes.equals(whole)) expect(await readAll(name)).toEqual(expected);
        else await refused(name);
      }),
      { numRuns: 60 },
    );
  });

  it('names the block and its bytes', async () => {
    const [, to] = await convert('where.lackey', longText);
    const whole = readFileSync(to);
    // Frames follow the header, of 24 + 4096 bytes; a frame's third number is the bytes after its 16.
    const begins = [24 + 4096];
    for (let i = 0; i < 4; i++) begins.push(begins[i] + 16 + whole.readUInt32LE(begins[i] + 8));
    const flipped = Buffer.from(whole);
    flipped[begins[2] + 100] ^= 4;
    const range = `block 3 of 4 (bytes ${begins[2]} to ${begins[3]})`;
    expect(await refused(file('where.nwt', flipped))).toContain(
      `where.nwt: ${range} is damaged: its checksum is wrong`,
    );
    const cut = file('where.nwt', whole.subarray(0, begins[1] + 500));
    expect(await refused(cut)).toContain(
      `it is truncated or damaged; it ends at byte ${begins[1] + 500}, inside block 2 of 4, which begins at byte ${begins[1]}`,
    );
    // What lies before the damage can still be read.
    const sound = await dump(file('where.nwt', flipped), { count: 2 * BLOCK_ACCESSES });
    expect(sound).toHaveLength(2 * BLOCK_ACCESSES);
  });

  it.each([
    ['text', Buffer.from(longText)],
    ['one byte', Buffer.of(0x89)],
    ['zeros', Buffer.alloc(10_000)],
    ['a PNG image', Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')],
  ])('that is %s is called foreign', async (_, content) => {
    expect(await refused(file('foreign.nwt', content))).toContain('this is no .nwt trace');
  });

  it('of a later version says so', async () => {
    const [, to] = await convert('later.lackey', short);
    const bytes = readFileSync(to);
    bytes.writeUInt16LE(2, 8);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 20)), 20);
    expect(await refused(file('later.nwt', bytes))).toContain(
      'it has version 2 of the format: this nestwalk reads version 1',
    );
  });
});

describe('the shipped trace', () => {
  const shipped = new URL('../traces/sort-records.nwt', import.meta.url).pathname;
  const readme = readFileSync(new URL('../traces/README.md', import.meta.url), 'utf8');
  const figure = (row: string): number =>
    Number(new RegExp(`\\| ${row} \\| ([\\d,]+)`).exec(readme)?.[1].replaceAll(',', ''));

  it('is small, whole, and what its README says', async () => {
    expect(statSync(shipped).size).toBeLessThan(2 ** 20);
    const info = await traceInfo(shipped);
    expect(readme).toContain(` -- ${info.command}\n`);
    const trace = await openTrace(shipped, { levels: 4 });
    const kinds = [0, 0, 0];
    const pages = new Set<number>();
    for await (const block of trace.blocks()) {
      for (let i = 0; i < block.count; i++) {
        kinds[block.words[i] >> 12] += 1;
        pages.add(block.pages[i]);
      }
    }
    expect(kinds).toEqual([figure('reads'), figure('writes'), figure('instruction fetches')]);
    expect(kinds[0] + kinds[1] + kinds[2]).toBe(figure('accesses'));
    expect([info.accesses, info.pages]).toEqual([figure('accesses'), figure('4 KiB pages touched')]);
    // The list that the file carries is what a pass over it finds.
    expect([...(await trace.firstTouch())]).toEqual([...pages]);
    await trace.close();
  });
});
