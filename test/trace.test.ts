import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { AccessBlock, ReadOptions } from '../src/trace/block.ts';
import { accessLine, addressText, BLOCK_ACCESSES } from '../src/trace/block.ts';
import { readChampsim } from '../src/trace/champsim.ts';
import { readLackey } from '../src/trace/lackey.ts';
import { PageSet } from '../src/trace/pageSet.ts';
import { openSource } from '../src/trace/source.ts';
import type { TraceOptions } from '../src/trace/trace.ts';
import { dumpTrace, openTrace, traceInfo } from '../src/trace/trace.ts';

const folder = mkdtempSync(join(tmpdir(), 'nestwalk-trace-'));
const path = process.env.PATH;
afterEach(() => {
  process.env.PATH = path;
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string | Uint8Array): string => {
  const full = join(folder, name);
  writeFileSync(full, content);
  return full;
};

async function lines(blocks: AsyncIterable<AccessBlock>): Promise<string[]> {
  const all: string[] = [];
  for await (const { pages, words, count } of blocks) {
    for (let i = 0; i < count; i++) all.push(accessLine(pages[i], words[i]));
  }
  return all;
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const lackey = (text: string, options?: ReadOptions, size = 1 << 20): Promise<string[]> =>
  lines(readLackey(pieces(Buffer.from(text), size), 'a.lackey', options));

async function readAll(name: string, options?: TraceOptions): Promise<string[]> {
  const trace = await openTrace(name, options);
  try {
    return await lines(trace.blocks());
  } finally {
    await trace.close();
  }
}

/** A ChampSim record; addresses in array order. */
function record(ip: bigint, sources: bigint[] = [], destinations: bigint[] = []): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeBigUInt64LE(ip, 0);
  destinations.forEach((address, i) => {
    bytes.writeBigUInt64LE(address, 16 + 8 * i);
  });
  sources.forEach((address, i) => {
    bytes.writeBigUInt64LE(address, 32 + 8 * i);
  });
  return bytes;
}

const champsim = (bytes: Uint8Array, options?: ReadOptions, size = 1 << 20): Promise<string[]> =>
  lines(readChampsim(pieces(bytes, size), 'a.champsimtrace', options));

describe('lackey text', () => {
  it('gives a fetch, a read, a write, and for a modify reads then writes', async () => {
    const text = 'I  0401ab70,3\n L 1fff000698,8\n S 04a27a38,4\n M 0000beef,1\n';
    expect(await lackey(text)).toEqual([
      'F 0x401ab70',
      'R 0x1fff000698',
      'W 0x4a27a38',
      'R 0xbeef',
      'W 0xbeef',
    ]);
  });

  it('splits at 4 KiB boundaries, ascending, the later ones at the first byte of their page', async () => {
    // 0x1ffe + 4 bytes end at 0x2001; 0x1fff + 4098 bytes end at 0x3000; 0x1000 + 4096 end at 0x1fff.
    const text = ' L 1ffe,4\n M 1fff,4098\n S 1000,4096\n S 1001,4096\n L 1fff,1\n';
    expect(await lackey(text)).toEqual([
      ...['R 0x1ffe', 'R 0x2000'],
      ...['R 0x1fff', 'R 0x2000', 'R 0x3000', 'W 0x1fff', 'W 0x2000', 'W 0x3000'],
      ...['W 0x1000', 'W 0x1001', 'W 0x2000', 'R 0x1fff'],
    ]);
  });

  it('counts size 0 as 1, also at the last byte of a page', async () => {
    expect(await lackey(' L 1fff,0\n M 2000,0\n')).toEqual(['R 0x1fff', 'R 0x2000', 'W 0x2000']);
  });

  it('passes over blank lines and lines that begin with ==, and needs no last line end', async () => {
    expect(await lackey('==12== Lackey\n\n  \t\n==12== I  0401ab70,3\nI  0,1')).toEqual(['F 0x0']);
  });

  it('takes digits in either case and leading zeros', async () => {
    expect(await lackey(' L 00000000000000AbC,1\n')).toEqual(['R 0xabc']);
  });

  it.each([
    ['L 1000,4'],
    ['I 1000,4'],
    [' X 1000,4'],
    [' L  1000,4'],
    [' L 1000'],
    [' L 1000,'],
    [' L ,4'],
    [' L 10g0,4'],
    [' L 0x1000,4'],
    [' L -1000,4'],
    [' L 1000,-4'],
    [' L 1000,4 '],
    [' L 1000,4\r'],
    [' L 1000,4,4'],
    ['=12= Lackey'],
    ['--12-- warning'],
    ['hello'],
    [' L 10000000000000000,1'],
    [' L'],
    ['I'],
  ])('refuses the line %j and names line and byte', async (line) => {
    // Two lines of 10 bytes each stand before it.
    const text = ` L 1000,4\n S 1000,4\n${line}\nI  1000,4\n`;
    for (const size of [1 << 20, 1, 7]) {
      const failure = lackey(text, {}, size);
      await expect(failure).rejects.toMatchObject({ name: 'NestwalkError', code: 'trace.corrupt' });
      await expect(failure).rejects.toThrow(
        `a.lackey: line 3 (byte 20) is no line of a lackey trace: ${JSON.stringify(line)}`,
      );
    }
  });

  it('refuses a file without line ends, with bounded memory', async () => {
    async function* zeros(): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(1 << 20);
    }
    await expect(lines(readLackey(zeros(), 'z'))).rejects.toThrow('z: line 1 (byte 0)');
  });

  it.each([2, 3, 4, 5])('accepts the last address of %i levels and refuses the next', async (levels) => {
    const end = 2n ** BigInt(11 + 9 * levels);
    const inside = (end - 1n).toString(16);
    expect(await lackey(` L ${inside},1\n`, { levels })).toEqual([`R 0x${inside}`]);
    for (const text of [` L ${end.toString(16)},1\n`, ` L ${inside},2\n`]) {
      const failure = lackey(`\n${text}`, { levels });
      await expect(failure).rejects.toMatchObject({ code: 'trace.address' });
      await expect(failure).rejects.toThrow(
        `a.lackey: line 2 (byte 1): the read of address 0x${end.toString(16)} is outside the address space [0, 2^${11 + 9 * levels})`,
      );
    }
  });

  it('keeps all 64 bits exact where no levels are given', async () => {
    expect(await lackey(' L ffffffffffffffff,1\n S 8000000000000123,1\n')).toEqual([
      'R 0xffffffffffffffff',
      'W 0x8000000000000123',
    ]);
  });

  it('drops fetches, whatever their address, but not their syntax', async () => {
    const text = 'I  ffffffffff600000,3\n L 1000,4\nI  2000,3\n';
    expect(await lackey(text, { fetches: false, levels: 4 })).toEqual(['R 0x1000']);
    await expect(lackey(text, { levels: 4 })).rejects.toThrow('leave the fetches out');
    await expect(lackey('I  zz,3\n', { fetches: false })).rejects.toMatchObject({ code: 'trace.corrupt' });
  });

  it('stops at the limit and does not see what is wrong after it', async () => {
    const text = ' M 1fff,2\nrubbish\n';
    for (const size of [1 << 20, 1]) {
      expect(await lackey(text, { limit: 3 }, size)).toEqual(['R 0x1fff', 'R 0x2000', 'W 0x1fff']);
      expect(await lackey(text, { limit: 4 }, size)).toHaveLength(4);
      await expect(lackey(text, { limit: 5 }, size)).rejects.toThrow('line 2 (byte 10)');
    }
    expect(await lackey('rubbish\n', { limit: 0 })).toEqual([]);
    // An access that is half inside: only what is kept must fit.
    expect(await lackey(` L ${(2 ** 29 - 1).toString(16)},2\n`, { limit: 1, levels: 2 })).toEqual([
      'R 0x1fffffff',
    ]);
  });

  it('counts accesses, not lines, in blocks: a block may end inside an access of several pages', async () => {
    const pages = BLOCK_ACCESSES + 3;
    const counts: number[] = [];
    const reader = readLackey(pieces(Buffer.from(` L 0,${4096 * pages}\n S 5,1\n`), 5), 'a');
    let last = -1;
    for await (const block of reader) {
      counts.push(block.count);
      last = block.pages[block.count - 2];
    }
    expect(counts).toEqual([BLOCK_ACCESSES, 4]);
    expect(last).toBe(pages - 1);
  });

  it('stops exactly at a limit of whole blocks, reading nothing more', async () => {
    async function* text(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(` L 0,${4096 * BLOCK_ACCESSES}\n`);
      throw new Error('read beyond the limit');
    }
    expect(await lines(readLackey(text(), 'a', { limit: BLOCK_ACCESSES }))).toHaveLength(BLOCK_ACCESSES);
  });

  it('does not depend on how the text is cut (property)', async () => {
    const line = fc.oneof(
      fc
        .tuple(
          fc.constantFrom('I ', ' L', ' S', ' M'),
          fc.bigInt(0n, 2n ** 47n - 9000n),
          fc.integer({ min: 0, max: 9000 }),
        )
        .map(([kind, address, size]) => `${kind} ${address.toString(16).padStart(8, '0')},${size}`),
      fc.constantFrom('', '==1== note'),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 30 }),
        fc.integer({ min: 1, max: 40 }),
        async (all, size) => {
          const text = all.map((one) => `${one}\n`).join('');
          // A slow, obvious reading of the same lines.
          const expected = all.flatMap((one) => {
            const match = /^(?:(I) | (L)| (S)| (M)) ([0-9a-f]+),(\d+)$/.exec(one);
            if (!match) return [];
            const first = BigInt(`0x${match[5]}`);
            const end = first + BigInt(Math.max(1, Number(match[6]))) - 1n;
            const at: bigint[] = [first];
            for (let page = (first >> 12n) + 1n; page <= end >> 12n; page++) at.push(page << 12n);
            const give = (letter: string): string[] =>
              at.map((address) => `${letter} 0x${address.toString(16)}`);
            if (match[1]) return give('F');
            if (match[2]) return give('R');
            return match[3] ? give('W') : [...give('R'), ...give('W')];
          });
          expect(await lackey(text, { levels: 4 }, size)).toEqual(expected);
        },
      ),
    );
  });
});

describe('ChampSim records', () => {
  it('gives a fetch, reads, then writes, slots in array order, and passes over zero slots', async () => {
    const bytes = Buffer.concat([
      record(0x401000n, [0x10n, 0n, 0x30n, 0x40n], [0n, 0x60n]),
      record(0n, [], [0x7fff12345678n]),
    ]);
    for (const size of [1 << 20, 1, 100]) {
      expect(await champsim(bytes, { levels: 4 }, size)).toEqual([
        ...['F 0x401000', 'R 0x10', 'R 0x30', 'R 0x40', 'W 0x60'],
        ...['F 0x0', 'W 0x7fff12345678'],
      ]);
    }
    expect(await champsim(bytes, { fetches: false })).toEqual([
      'R 0x10',
      'R 0x30',
      'R 0x40',
      'W 0x60',
      'W 0x7fff12345678',
    ]);
  });

  it('keeps all 64 bits exact, and names the record of an address outside', async () => {
    const bytes = Buffer.concat([record(1n), record(2n, [0xfedcba9876543210n])]);
    expect(await champsim(bytes)).toEqual(['F 0x1', 'F 0x2', 'R 0xfedcba9876543210']);
    const failure = champsim(bytes, { levels: 5 });
    await expect(failure).rejects.toMatchObject({ code: 'trace.address' });
    await expect(failure).rejects.toThrow(
      'a.champsimtrace: record 2 (byte 64): the read of address 0xfedcba9876543210 is outside the address space [0, 2^56)',
    );
  });

  it('refuses a cut last record, naming record and byte, unless the limit comes before', async () => {
    const bytes = Buffer.concat([record(1n), record(2n)]).subarray(0, 101);
    for (const size of [1 << 20, 10]) {
      const failure = champsim(bytes, {}, size);
      await expect(failure).rejects.toMatchObject({ code: 'trace.corrupt' });
      await expect(failure).rejects.toThrow('a.champsimtrace: record 2 (byte 64) is cut: 37 of 64 bytes');
      expect(await champsim(bytes, { limit: 1 }, size)).toEqual(['F 0x1']);
    }
  });
});

describe('compressed files', () => {
  const line = (i: number): string =>
    ` ${'LS'[i % 2]} ${(4096 * ((i * 7919) % 5000) + (i % 4096)).toString(16)},4\n`;
  const text = Array.from({ length: 200_000 }, (_, i) => line(i)).join('');
  const plain = file('plain.lackey', text);
  const tools = { gz: ['gzip'], xz: ['xz', '-1'], zst: ['zstd', '-q'] };
  const packed = Object.entries(tools).map(([ending, command]): [string, string] => {
    const { stdout, status } = spawnSync(command[0], [...command.slice(1), '-c', plain], {
      maxBuffer: 1 << 28,
    });
    if (status !== 0) throw new Error(`these tests need ${command[0]}`);
    return [ending, file(`packed.lackey.${ending}`, stdout)];
  });
  const expected = readAll(plain);

  it.each(packed)('%s gives the same accesses as the plain file', async (_, name) => {
    expect(await readAll(name)).toEqual(await expected);
    // The offsets run through 48 whole pages and a part; at the last three of a page four bytes cross its end.
    expect((await expected).length).toBe(200_000 + 48 * 3);
  });

  it('tells compression by content, whatever the name', async () => {
    const name = file('mislabelled.lackey', readFileSync(packed[1][1]));
    expect((await openTrace(name)).compression).toBe('xz');
    expect(await readAll(name)).toEqual(await expected);
  });

  it('reads gzip files of several members', async () => {
    const name = file('members.lackey.gz', Buffer.concat([gzipSync(' L 1000,1\n'), gzipSync(' S 2000,1\n')]));
    expect(await readAll(name)).toEqual(['R 0x1000', 'W 0x2000']);
  });

  it.each(packed)('truncated %s is an error, never a short trace', async (ending, name) => {
    const bytes = readFileSync(name);
    for (const keep of [bytes.length - 1, bytes.length >> 1, 20]) {
      const cut = file(`cut.lackey.${ending}`, bytes.subarray(0, keep));
      await expect(readAll(cut)).rejects.toMatchObject({ name: 'NestwalkError', code: 'trace.corrupt' });
      await expect(readAll(cut)).rejects.toThrow('truncated');
    }
  });

  it.each(packed)('damaged %s is an error', async (ending, name) => {
    const bytes = Buffer.from(readFileSync(name));
    bytes[bytes.length >> 1] ^= 0x10;
    const broken = file(`broken.lackey.${ending}`, bytes);
    await expect(readAll(broken)).rejects.toMatchObject({ name: 'NestwalkError', code: 'trace.corrupt' });
  });

  it('reads the sound beginning of a truncated gzip file up to the limit', async () => {
    const cut = file('start.lackey.gz', readFileSync(packed[0][1]));
    truncateSync(cut, 100_000);
    expect(await readAll(cut, { limit: 1000 })).toEqual((await expected).slice(0, 1000));
  });

  it.each(packed)('ends early without an error: %s', async (_, name) => {
    expect(await readAll(name, { limit: 10 })).toEqual((await expected).slice(0, 10));
    const trace = await openTrace(name);
    const reader = trace.blocks();
    await reader.next();
    await trace.close();
    await expect(reader.next()).rejects.toMatchObject({ code: 'trace.file' });
  });

  it.each([
    ['xz', 'xz-utils'],
    ['zst', 'zstd'],
  ])('a missing tool for %s names its Debian package', async (ending, debian) => {
    process.env.PATH = folder;
    const failure = readAll(join(folder, `packed.lackey.${ending}`));
    await expect(failure).rejects.toMatchObject({ code: 'trace.tool' });
    await expect(failure).rejects.toThrow(`'${debian}'`);
  });

  it('a decompressor that is killed or fails is an error, also at a line end', async () => {
    const tools = mkdtempSync(join(folder, 'bin-'));
    const fake = (script: string): void => {
      writeFileSync(
        join(tools, 'xz'),
        `#!/bin/sh\nexport PATH='${path}'\nprintf ' L 1000,1\\n'\n${script}\n`,
      );
      chmodSync(join(tools, 'xz'), 0o755);
      process.env.PATH = `${tools}:${path}`;
    };
    fake('kill -9 $$');
    await expect(readAll(packed[1][1])).rejects.toMatchObject({ code: 'trace.tool' });
    await expect(readAll(packed[1][1])).rejects.toThrow('killed by SIGKILL');
    fake('echo "disk on fire" >&2; exit 3');
    await expect(readAll(packed[1][1])).rejects.toThrow(/exit code 3: disk on fire/);
    fake('cat > /dev/null; exit 0');
    expect(await readAll(packed[1][1])).toEqual(['R 0x1000']);
  });

  it('holds back the decompressor while nothing is read', async () => {
    // 256 MiB of blank lines are 40 kB of xz; with the first chunk taken, memory must not grow to all of them.
    const { stdout } = spawnSync('sh', ['-c', 'yes "" | head -c 268435456 | xz -0 -c'], {
      maxBuffer: 1 << 28,
    });
    const source = await openSource(file('blank.lackey.xz', stdout));
    const chunks = source.chunks();
    await chunks.next();
    const before = process.memoryUsage.rss();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20);
    await chunks.return();
  });
});

describe('openTrace', () => {
  const text = ' L 1000,4\nI  3000,2\n S 2ffe,4\nI  1000,1\n L 5000,1\n';

  it.each([
    ['a.lackey', 'lackey', text],
    ['anything', 'lackey', `==1== x\n${text}`],
    ['a.champsimtrace', 'champsim', record(0x1000n)],
    ['records', 'champsim', record(0x1000n, [5n])],
  ])('tells the format of %s', async (name, format, content) => {
    expect((await openTrace(file(name, content))).format).toBe(format);
  });

  it('asks when neither name nor content tells', async () => {
    const failure = openTrace(file('letter.txt', 'Dear reader,\nno trace is in here.\n'));
    await expect(failure).rejects.toMatchObject({ code: 'trace.corrupt' });
    await expect(failure).rejects.toThrow('lackey, champsim, nwt');
  });

  it('gives first touches in order, with and without fetches, within the limit', async () => {
    const name = file('touch.lackey', text);
    const touched = async (options: TraceOptions): Promise<number[]> => [
      ...(await (await openTrace(name, options)).firstTouch()),
    ];
    // Accesses kept: R1 F3 W2 W3 F1 R5, and without fetches R1 W2 W3 R5.
    expect(await touched({})).toEqual([1, 3, 2, 5]);
    expect(await touched({ fetches: false })).toEqual([1, 2, 3, 5]);
    expect(await touched({ limit: 2 })).toEqual([1, 3]);
    expect(await touched({ fetches: false, limit: 2 })).toEqual([1, 2]);
    expect(await touched({ limit: 0 })).toEqual([]);
  });

  it('starts at any index', async () => {
    const trace = await openTrace(file('from.lackey', text), { limit: 5 });
    expect(await lines(trace.blocks(3))).toEqual(['W 0x3000', 'F 0x1000']);
    expect(await lines(trace.blocks(9))).toEqual([]);
  });

  it('dumps', async () => {
    const name = file('dump.lackey', text);
    const all: string[] = [];
    for await (const line of dumpTrace(name, { from: 1, count: 2 })) all.push(line);
    expect(all).toEqual(['F 0x3000', 'W 0x2ffe']);
  });

  it('tells what is in a trace', async () => {
    const name = file('info.lackey', `==9== Command: /bin/ls -l\n${text} L 4000000000,1\n`);
    expect(await traceInfo(name)).toMatchObject({
      ...{
        format: 'lackey',
        compression: 'none',
        command: '/bin/ls -l',
        accesses: 7,
        reads: 3,
        writes: 2,
        fetches: 2,
      },
      // 2^38 is the first address that three levels do not reach.
      ...{ pages: 5, dataPages: 5, highestPage: 2 ** 26, levels: 4, blocks: null },
    });
  });

  it('reports progress and can be cancelled', async () => {
    const name = file('long.lackey', ` L 0,${4096 * 3 * BLOCK_ACCESSES}\n`);
    const seen: number[] = [];
    const info = await traceInfo(name, { onProgress: ({ accesses }) => seen.push(accesses) });
    expect(info.accesses).toBe(3 * BLOCK_ACCESSES);
    expect(seen).toEqual([1, 2, 3].map((n) => n * BLOCK_ACCESSES));
    const control = new AbortController();
    const cancelled = traceInfo(name, { signal: control.signal, onProgress: () => control.abort() });
    await expect(cancelled).rejects.toMatchObject({ code: 'run.cancelled' });
  });

  it.each([
    ['no such file', () => join(folder, 'missing.lackey'), 'trace.file', 'there is no such file'],
    ['a folder', () => folder, 'trace.file', 'is not a regular file'],
    ['an empty file', () => file('empty.lackey', ''), 'trace.corrupt', 'the file is empty'],
  ])('%s is one clear error', async (_, name, code, message) => {
    await expect(openTrace(name())).rejects.toMatchObject({ name: 'NestwalkError', code });
    await expect(openTrace(name())).rejects.toThrow(message);
  });

  it.each([{ limit: -1 }, { limit: 1.5 }, { levels: 6 }])('refuses the options %j', async (options) => {
    await expect(openTrace(file('o.lackey', text), options)).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('PageSet', () => {
  it('is a Map that remembers the first index (property)', () => {
    const page = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.bigInt(0n, 2n ** 52n - 1n).map(Number));
    fc.assert(
      fc.property(fc.array(page, { maxLength: 3000, size: 'max' }), (pages) => {
        const set = new PageSet();
        const map = new Map<number, number>();
        pages.forEach((page, i) => {
          set.touch(page, i);
          if (!map.has(page)) map.set(page, i);
        });
        expect([...set.pages()]).toEqual([...map.keys()]);
        expect([...set.indexes()]).toEqual([...map.values()]);
      }),
    );
  });
});

describe('addresses as text', () => {
  it('are those of BigInt, for all 64 bits (property)', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (address) => {
        expect(addressText(Number(address >> 12n), Number(address & 0xfffn))).toBe(
          `0x${address.toString(16)}`,
        );
      }),
    );
  });
});
