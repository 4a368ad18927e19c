import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { captureTrace } from '../src/trace/capture.ts';
import { dumpTrace, openTrace, traceInfo } from '../src/trace/trace.ts';

const folder = mkdtempSync(join(tmpdir(), 'nestwalk-capture-'));
const path = process.env.PATH;
let own = '';
beforeEach(() => {
  own = mkdtempSync(join(folder, 'out-'));
});
afterEach(() => {
  process.env.PATH = path;
});
afterAll(() => rmSync(folder, { recursive: true }));

const installed = spawnSync('valgrind', ['--version']).status === 0;
// Without valgrind these are shown as skipped; continuous integration must have it.
const recording = installed || process.env.CI ? describe : describe.skip;

async function dump(name: string, options = {}): Promise<string[]> {
  const all: string[] = [];
  for await (const line of dumpTrace(name, options)) all.push(line);
  return all;
}

async function touched(name: string): Promise<number[]> {
  const trace = await openTrace(name);
  try {
    return [...(await trace.firstTouch())];
  } finally {
    await trace.close();
  }
}

/** A `valgrind` that runs a shell script with its log on the descriptor that it is given. */
function fakeValgrind(script: string): void {
  const tools = join(own, 'bin');
  mkdirSync(tools);
  writeFileSync(
    join(tools, 'valgrind'),
    `#!/bin/sh\n[ "$1" = --version ] && exit 0\nexport PATH='${path}'\n${script}\n`,
  );
  chmodSync(join(tools, 'valgrind'), 0o755);
  process.env.PATH = `${tools}:${path}`;
}

recording('recording a program', () => {
  it('records /bin/true as .nwt, on the same pages each time', async () => {
    const [first, second] = [join(own, 'first.nwt'), join(own, 'second.nwt')];
    const capture = await captureTrace(['/bin/true'], first);
    expect(capture).toMatchObject({ exitCode: 0, exitSignal: null, limited: false });
    const { header } = capture;
    expect(header).toMatchObject({
      source: 'true',
      command: '/bin/true',
      sourceFormat: 'lackey',
      fetchesKept: true,
    });
    // The dynamic loader alone runs some hundred thousand instructions; each has a fetch, fewer have data.
    expect(header.fetches).toBeGreaterThan(10_000);
    expect(header.reads + header.writes).toBeGreaterThan(1000);
    expect(header.fetches).toBeGreaterThan(header.reads + header.writes);
    await captureTrace(['/bin/true'], second);
    // A few accesses depend on random bytes that the system hands to each process; where things lie does not.
    expect(await touched(second)).toEqual(await touched(first));
  });

  it('leaves fetches out', async () => {
    const out = join(own, 'data.nwt');
    const { header } = await captureTrace(['/bin/true'], out, { fetches: false });
    expect(header).toMatchObject({ fetches: 0, fetchesKept: false });
    expect(header.reads).toBeGreaterThan(1000);
  });

  it.each(['text.lackey', 'text.lackey.gz'])('records to %s what it tells', async (name) => {
    const out = join(own, name);
    const { header } = await captureTrace(['/bin/true'], out);
    expect(readdirSync(own)).toEqual([name]);
    const { accesses, reads, writes, fetches, pages, dataPages, highestPage } = header;
    expect(await traceInfo(out)).toMatchObject({
      accesses,
      reads,
      writes,
      fetches,
      pages,
      dataPages,
      highestPage,
    });
  });

  it('reports how the program ended', async () => {
    expect(await captureTrace(['sh', '-c', 'exit 7'], join(own, 'a.nwt'))).toMatchObject({ exitCode: 7 });
    const killed = await captureTrace(['sh', '-c', 'kill -TERM $$'], join(own, 'b.nwt'));
    expect(killed).toMatchObject({ exitCode: null, exitSignal: 'SIGTERM', limited: false });
    expect(killed.header.command).toBe("sh -c 'kill -TERM $$'");
  });

  it('stops at the limit', async () => {
    const out = join(own, 'limit.nwt');
    const capture = await captureTrace(['sh', '-c', 'while :; do :; done'], out, { limit: 100_000 });
    expect(capture).toMatchObject({ limited: true, header: { accesses: 100_000 } });
    expect(await dump(out)).toHaveLength(100_000);
  });

  it('removes what it has when it is interrupted', async () => {
    const control = new AbortController();
    const capture = captureTrace(['sh', '-c', 'while :; do :; done'], join(own, 'cut.nwt'), {
      signal: control.signal,
      onProgress: () => control.abort(),
    });
    await expect(capture).rejects.toMatchObject({ code: 'run.cancelled' });
    expect(readdirSync(own)).toEqual([]);
  });

  it('ends within a second when it is interrupted while the program waits', async () => {
    const control = new AbortController();
    const capture = captureTrace(['sleep', '60'], join(own, 'wait.lackey'), { signal: control.signal });
    setTimeout(() => control.abort(), 1500);
    const begun = Date.now();
    await expect(capture).rejects.toMatchObject({ code: 'run.cancelled' });
    expect(Date.now() - begun).toBeLessThan(5000);
    expect(readdirSync(own)).toEqual([]);
  });

  it('does not wait for children that outlive the program', async () => {
    // The subshell is a fork, which holds valgrind's log open until its sleep is over.
    const script = '(sleep 8; :) < /dev/null > /dev/null 2>&1 & exit 0';
    const begun = Date.now();
    await captureTrace(['sh', '-c', script], join(own, 'a.nwt'));
    expect(Date.now() - begun).toBeLessThan(7000);
  });

  it('says so when the program cannot be run, or replaces itself', async () => {
    await expect(captureTrace(['./no-such-program'], join(own, 'a.nwt'))).rejects.toThrow(
      'valgrind recorded nothing',
    );
    const replaced = captureTrace(['sh', '-c', 'exec true'], join(own, 'a.nwt'));
    await expect(replaced).rejects.toMatchObject({ code: 'trace.tool' });
    await expect(replaced).rejects.toThrow('replaced itself');
    expect(readdirSync(own)).toEqual([]);
  });
});

describe('recording without a good valgrind', () => {
  it('names the Debian package when it is missing', async () => {
    process.env.PATH = own;
    const capture = captureTrace(['/bin/true'], join(own, 'a.nwt'));
    await expect(capture).rejects.toMatchObject({ code: 'trace.tool' });
    await expect(capture).rejects.toThrow("the Debian package 'valgrind'");
    expect(readdirSync(own)).toEqual([]);
  });

  it('does not take a recording that was cut off for a whole one', async () => {
    fakeValgrind('printf " L 1000,4\\n" >&3; kill -9 $$');
    const capture = captureTrace(['/bin/true'], join(own, 'a.nwt'));
    await expect(capture).rejects.toMatchObject({ code: 'trace.tool' });
    await expect(capture).rejects.toThrow(/closing line is missing \(signal SIGKILL\)/);
    expect(readdirSync(own)).toEqual(['bin']);
  });

  it('refuses a log with other lines in it', async () => {
    fakeValgrind('printf " L 1000,4\\noops\\n==1== Exit code: 0\\n" >&3');
    await expect(captureTrace(['/bin/true'], join(own, 'a.lackey'))).rejects.toThrow(
      'the log of valgrind: line 2 (byte 10)',
    );
    expect(readdirSync(own)).toEqual(['bin']);
  });

  it.each([
    ['an empty command', [], 'a.nwt', {}],
    ['another kind of file', ['/bin/true'], 'a.txt', {}],
    ['a limit for text', ['/bin/true'], 'a.lackey', { limit: 5 }],
    ['text without fetches', ['/bin/true'], 'a.lackey.gz', { fetches: false }],
  ])('refuses %s', async (_, command, out, options) => {
    await expect(captureTrace(command, join(own, out), options)).rejects.toMatchObject({ code: 'usage' });
  });

  it('refuses a folder that is not there', async () => {
    fakeValgrind('exit 0');
    for (const name of ['no/a.nwt', 'no/a.lackey']) {
      const capture = captureTrace(['/bin/true'], join(own, name));
      await expect(capture).rejects.toMatchObject({ name: 'NestwalkError' });
    }
  });
});
