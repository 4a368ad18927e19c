/** The live page of a sweep: the journal followed as it grows, what is told of it, who is answered, and the page in a browser. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseConfigText } from '../src/config/file.ts';
import { Follower } from '../src/serve/follow.ts';
import {
  checkLiveFolder,
  type LiveCell,
  type LivePlan,
  type LiveStatus,
  LiveSweep,
} from '../src/serve/liveSweep.ts';
import { type LiveServer, serveSweep } from '../src/serve/server.ts';
import { freezePlan } from '../src/sweep/folder.ts';
import { type CellResult, formatLine, type JournalLine, readJournal } from '../src/sweep/journal.ts';
import { runLocal } from '../src/sweep/local.ts';
import { type Plan, planSweep } from '../src/sweep/plan.ts';
import { sweepStatus } from '../src/sweep/status.ts';
import { inBrowser, launch, watchedPage } from './support/chromium.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const folder = mkdtempSync(path.join(tmpdir(), 'nestwalk-serve-'));
afterAll(() => rmSync(folder, { recursive: true }));
let folders = 0;
/** A folder of its own for a sweep; not made. */
const fresh = (name = 'night'): string => path.join(folder, String(++folders), name);

const SWEEP = `
workload: uniform
footprint: 8MiB
accesses: 20000
seed: 1
machine: {preset: tiny, stlb: [{entries: 64, ways: 4, sizes: [4KiB, 2MiB], replacement: fifo}]}
vary:
  paging.guestPage: [4KiB, 2MiB]
  machine.stlb[0].entries: [16, 32, 64, 128]
`;

/** Plans a sweep of eight cells, each a pass of its own, and freezes it in a folder. */
async function planned(sweep: string, text = SWEEP): Promise<Plan> {
  const plan = await planSweep({ ...parseConfigText(text, 'sweep.yaml'), directory: folder });
  mkdirSync(path.dirname(sweep), { recursive: true });
  freezePlan(plan, sweep);
  return plan;
}

/** What a cell may have counted. */
const resultOf = (misses: number): CellResult => ({
  counters: { accesses: 20_000, reads: 20_000, l1Misses: 10_000, stlbMisses: misses, walks: misses },
  events: {},
});
const doneLine = (plan: Plan, index: number, misses = 1000 + index): JournalLine => ({
  t: 'done',
  cell: plan.cells[index].name!,
  result: resultOf(misses),
});
const passLine = (seconds: number): JournalLine => ({
  t: 'pass',
  cells: 1,
  accesses: 20_000,
  seconds,
  prepareSeconds: 0,
  engine: 'ts',
  tier: 'none',
  host: hostname(),
});

/** A journal file, by the name that its writer would give it. */
class Journal {
  readonly file: string;

  constructor(sweep: string, { pid = process.pid, host = hostname(), time = '20260101T000000000Z' } = {}) {
    mkdirSync(path.join(sweep, 'journal'), { recursive: true });
    this.file = path.join(sweep, 'journal', `${host}-${pid}-${time}.jsonl`);
  }

  add(...lines: JournalLine[]): this {
    return this.addText(lines.map((line) => `${formatLine(line)}\n`).join(''));
  }

  addText(text: string): this {
    appendFileSync(this.file, text);
    return this;
  }
}

/** Every file of a folder with its content's digest and its times: what a reader must leave as it is. */
function snapshot(sweep: string): string[] {
  return readdirSync(sweep, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const file = path.join(sweep, name);
      const stats = statSync(file);
      const digest = stats.isFile() ? createHash('sha256').update(readFileSync(file)).digest('hex') : '';
      return `${name} ${stats.size} ${stats.mtimeMs} ${digest}`;
    });
}

describe('a journal that is followed', () => {
  it('gives what is new, line by line, and leaves a torn tail until it is whole', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const follower = new Follower(sweep);
    expect(await follower.look()).toEqual({ facts: [], isNew: false });
    const journal = new Journal(sweep).add({ t: 'start', cells: [plan.cells[0].name!] }, doneLine(plan, 0));
    expect((await follower.look()).facts).toMatchObject([
      { cell: plan.cells[0].name, result: resultOf(1000) },
    ]);
    // A line with signs of several bytes, cut inside one of them.
    const line: JournalLine = {
      t: 'failed',
      cells: [plan.cells[1].name!],
      reason: 'ohne Überlauf: 4 × 2',
      time: 5,
    };
    const bytes = Buffer.from(`${formatLine(line)}\n`);
    const cut = bytes.indexOf(Buffer.from('Ü')) + 1;
    appendFileSync(journal.file, bytes.subarray(0, cut));
    expect((await follower.look()).facts).toEqual([]);
    appendFileSync(journal.file, bytes.subarray(cut));
    expect((await follower.look()).facts).toMatchObject([{ cell: plan.cells[1].name, reason: line.reason }]);
    expect((await follower.look()).facts).toEqual([]);
    expect(follower.damaged).toBe(0);
    // Without its line end, but whole by its checksum: what a writer left that lost only that.
    journal.addText(formatLine(doneLine(plan, 2)));
    expect((await follower.look()).facts).toHaveLength(1);
    journal.addText(`\n${formatLine(doneLine(plan, 3))}\n`);
    expect((await follower.look()).facts).toHaveLength(1);
    expect(follower.damaged).toBe(0);
  });

  it('reads nothing twice: what it has read may be gone from under it', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const journal = new Journal(sweep).add(doneLine(plan, 0), doneLine(plan, 1));
    const follower = new Follower(sweep);
    expect((await follower.look()).facts).toHaveLength(2);
    // Other bytes where it has been: who reads them again finds damage.
    writeFileSync(journal.file, 'x'.repeat(statSync(journal.file).size));
    journal.add(doneLine(plan, 2));
    expect(await follower.look()).toMatchObject({ facts: [{ cell: plan.cells[2].name }], isNew: false });
    expect(follower.damaged).toBe(0);
  });

  it('counts damage, and goes on behind it', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const wrong = `${formatLine(doneLine(plan, 0)).replace('1000', '1001')}\n`;
    new Journal(sweep).addText(wrong).addText('\n').add(doneLine(plan, 1));
    const follower = new Follower(sweep);
    expect((await follower.look()).facts.map(({ cell }) => cell)).toEqual([plan.cells[1].name]);
    expect(follower.damaged).toBe(1);
  });

  it('begins anew when a file has become shorter', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const journal = new Journal(sweep).add(doneLine(plan, 0));
    const { size } = statSync(journal.file);
    journal.add(doneLine(plan, 1));
    const follower = new Follower(sweep);
    await follower.look();
    truncateSync(journal.file, size);
    expect(await follower.look()).toMatchObject({ facts: [{ cell: plan.cells[0].name }], isNew: true });
  });

  it('knows equal results of a cell from those that differ', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const follower = new Follower(sweep);
    new Journal(sweep, { pid: 11 }).add(doneLine(plan, 0), doneLine(plan, 1));
    new Journal(sweep, { pid: 12 }).add(doneLine(plan, 0), doneLine(plan, 1, 5));
    const { facts } = await follower.look();
    expect(facts).toHaveLength(2);
    expect(follower.conflicts).toEqual([
      expect.stringMatching(/two results that differ: .*-11-.*:2 and .*-12-.*:2$/),
    ]);
    expect(() => readJournal(sweep)).toThrow(/two results that differ/);
  });

  it('dates what was there before by its writer, and what it sees by when it sees it', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const began = Date.UTC(2026, 0, 1);
    const journal = new Journal(sweep).add(doneLine(plan, 0), passLine(10), doneLine(plan, 1), passLine(20));
    const follower = new Follower(sweep);
    expect((await follower.look()).facts.map(({ time }) => time)).toEqual([began + 10_000, began + 30_000]);
    const before = Date.now();
    journal.add(doneLine(plan, 2), passLine(1));
    const [{ time }] = (await follower.look()).facts;
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
  });
});

describe('how a sweep stands', () => {
  const look = async (sweep: string): Promise<LiveSweep> => {
    const live = new LiveSweep(sweep);
    await live.look();
    return live;
  };
  /** A process that has been, and is no more. */
  const deadPid = async (): Promise<number> => {
    const child = spawn(process.execPath, ['-e', '0']);
    await new Promise((resolve) => child.on('close', resolve));
    return child.pid!;
  };

  it('waits for a folder and for a plan, and takes up both', async () => {
    const sweep = fresh();
    const live = await look(sweep);
    expect(live.status().phase).toBe('waiting');
    mkdirSync(sweep, { recursive: true });
    await live.look();
    expect(live.status().phase).toBe('waiting');
    await planned(sweep);
    await live.look();
    expect(live.status()).toMatchObject({ phase: 'planned', cells: 8, missing: 8, done: 0 });
    expect(live.plan).toMatchObject({ name: 'night', cells: 8 });
  });

  it('says what the command for a terminal says, at every stage', async () => {
    const sweep = fresh();
    const text = SWEEP.replace('[16, 32, 64, 128]', '[16, 24, 64, 128]');
    const plan = await planned(sweep, text);
    const live = await look(sweep);
    const journal = new Journal(sweep, { pid: await deadPid() });
    const agree = async (): Promise<LiveStatus> => {
      await live.look();
      const status = live.status();
      const { done, failed, invalid, missing, cells } = sweepStatus(sweep);
      expect(status).toMatchObject({ cells, done, missing, failed: failed.length, invalid: invalid.length });
      return status;
    };
    const valid = plan.cells.filter((cell) => cell.invalid === undefined).map(({ index }) => index);
    expect(valid).toHaveLength(6);
    await agree();
    journal.add({ t: 'failed', cells: [plan.cells[valid[0]].name!], reason: 'no luck', time: 7 });
    expect((await agree()).phase).toBe('stopped');
    for (const index of valid) {
      journal.add(doneLine(plan, index));
      await agree();
    }
    expect(live.status()).toMatchObject({ phase: 'finished', failed: 0, invalid: 2 });
    expect(live.plan!.invalid.map(({ index }) => index)).toEqual([1, 5]);
    // The failure, and then the result that holds.
    expect(live.cells.map(([index, , outcome]) => [index, typeof outcome])).toEqual([
      [valid[0], 'string'],
      ...valid.map((index) => [index, 'object']),
    ]);
  });

  it('tells a writer at work from one that is gone', async () => {
    const [here, gone, elsewhere] = [fresh(), fresh(), fresh()];
    for (const [sweep, writer, phase] of [
      [here, {}, 'running'],
      [gone, { pid: await deadPid() }, 'stopped'],
      [elsewhere, { host: 'another-host', pid: 1 }, 'running'],
    ] as const) {
      const plan = await planned(sweep);
      new Journal(sweep, writer).add({ t: 'start', cells: [plan.cells[0].name!] });
      const live = await look(sweep);
      expect(live.status().phase, phase).toBe(phase);
      // Nobody can ask another machine; in the end its silence speaks.
      if (sweep === elsewhere) expect(live.status(Date.now() + 3_600_000).phase).toBe('stopped');
      expect(live.status().passes).toHaveLength(phase === 'running' ? 1 : 0);
    }
  });

  it('works out rates and the time left from what was finished', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const journal = new Journal(sweep, { pid: await deadPid() });
    // Four of eight cells, 10 s each, from 0:00 on.
    for (const index of [0, 1, 2, 3]) journal.add(doneLine(plan, index), passLine(10));
    const began = Date.UTC(2026, 0, 1);
    utimesSync(journal.file, new Date(began + 40_000), new Date(began + 40_000));
    const live = await look(sweep);
    const stopped = live.status();
    expect(stopped).toMatchObject({ phase: 'stopped', began, heard: began + 40_000, cellsPerSecond: 4 / 40 });
    expect(stopped.accessesPerSecond).toBeCloseTo((4 * 20_000) / 40, 6);
    expect(stopped.secondsLeft).toBeUndefined();
    // The same, by a process that goes on: at 0:50 the cells that are left take as long for their estimates as these did.
    const running = fresh();
    await planned(running);
    const own = new Journal(running);
    for (const index of [0, 1, 2, 3]) own.add(doneLine(plan, index), passLine(10));
    own.add({ t: 'start', cells: [plan.cells[4].name!] });
    utimesSync(own.file, new Date(began + 40_000), new Date(began + 40_000));
    const status = (await look(running)).status(began + 50_000);
    const seconds = plan.passes.map(({ estimate }) => estimate.seconds);
    const sum = (list: number[]): number => list.reduce((total, value) => total + value, 0);
    expect(status).toMatchObject({ phase: 'running', cellsPerSecond: 4 / 50 });
    expect(status.secondsLeft).toBeCloseTo((50 * sum(seconds.slice(4))) / sum(seconds.slice(0, 4)), 6);
  });

  it('gives figures the metrics of each finished cell', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    new Journal(sweep).add(doneLine(plan, 3, 4000));
    const live = await look(sweep);
    const { measures, figures, columns, rows } = live.plan!;
    expect(figures.map(({ kind }) => kind)).toContain('curve');
    const [[index, , outcome]] = live.cells as unknown as [number, number, number[]][];
    expect(index).toBe(3);
    expect(outcome[measures.indexOf('missRatio_overall')]).toBe(4000 / 20_000);
    expect(rows).toHaveLength(8);
    expect(rows[3][columns.indexOf('paging_guestPage')]).toBe('4KiB');
    expect(rows[3][columns.indexOf('machine_stlb_0_entries')]).toBe(128);
  });

  it('forgets all when another sweep takes the folder, and nothing when the same is planned anew', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    new Journal(sweep).add(doneLine(plan, 0));
    const live = await look(sweep);
    const { generation } = live.plan!;
    writeFileSync(path.join(sweep, 'sweep.json'), `${JSON.stringify({ ...plan, notes: ['cut anew'] })}\n`);
    await live.look();
    expect(live.plan!.generation).toBe(generation);
    rmSync(sweep, { recursive: true });
    await live.look();
    expect(live.status()).toMatchObject({ done: 1, trouble: [expect.stringMatching(/is gone/)] });
    await planned(sweep, SWEEP.replace('seed: 1', 'seed: 2'));
    await live.look();
    expect(live.plan!.generation).not.toBe(generation);
    expect(live.status()).toMatchObject({ done: 0, missing: 8, trouble: [] });
  });

  it('stands a plan that cannot be read, until it can', async () => {
    const sweep = fresh();
    const live = await look(sweep);
    mkdirSync(sweep, { recursive: true });
    writeFileSync(path.join(sweep, 'sweep.json'), '{ "format": 1,');
    await live.look();
    expect(live.status()).toMatchObject({
      phase: 'unreadable',
      trouble: [expect.stringMatching(/sweep\.json/)],
    });
    rmSync(sweep, { recursive: true });
    await planned(sweep);
    await live.look();
    expect(live.status()).toMatchObject({ phase: 'planned', trouble: [] });
  });

  it('takes only folders that are, or may become, those of a sweep', async () => {
    const sweep = fresh();
    expect(() => checkLiveFolder(sweep)).toThrow(/nor a folder/);
    mkdirSync(sweep, { recursive: true });
    checkLiveFolder(sweep);
    checkLiveFolder(path.join(sweep, 'later'));
    writeFileSync(path.join(sweep, 'notes.txt'), '');
    expect(() => checkLiveFolder(sweep)).toThrow(/no sweep but other files \(notes\.txt\)/);
    expect(() => checkLiveFolder(path.join(sweep, 'notes.txt'))).toThrow(/is a file/);
    await planned(sweep);
    checkLiveFolder(sweep);
  });
});

/** One event of a stream. */
interface StreamEvent {
  id?: string;
  event: string;
  data: unknown;
}

/** Asks, and gives the answer's head; its body is left to the caller. */
const ask = (
  url: string,
  { method = 'GET', headers = {} as Record<string, string> } = {},
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const { hostname: host, port, pathname } = new URL(url);
    request({ host, port, path: pathname, method, headers }, resolve).on('error', reject).end();
  });

/** Says something to a port, and gives the first line of the answer: for what no client of HTTP would send. */
const firstLine = (port: string, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
    socket.setEncoding('utf8').once('data', (answer: string) => {
      resolve(answer.split('\r\n')[0]);
      socket.destroy();
    });
    socket.on('error', reject);
  });

const bodyOf = async (answer: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) text += piece;
  return text;
};

/** Listens to a stream until enough was said. */
async function listen(
  url: string,
  isEnough: (events: StreamEvent[]) => boolean,
  headers: Record<string, string> = {},
): Promise<StreamEvent[]> {
  const answer = await ask(`${url}events`, { headers });
  const events: StreamEvent[] = [];
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) {
    text += piece;
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
      if (fields.event) events.push({ id: fields.id, event: fields.event, data: JSON.parse(fields.data) });
    }
    if (isEnough(events)) break;
  }
  answer.destroy();
  return events;
}

const cellsOf = (events: StreamEvent[]): LiveCell[] =>
  events.filter(({ event }) => event === 'cells').flatMap(({ data }) => data as LiveCell[]);
const lastStatus = (events: StreamEvent[]): LiveStatus | undefined =>
  events.filter(({ event }) => event === 'status').at(-1)?.data as LiveStatus | undefined;

describe('the server', () => {
  let server: LiveServer | undefined;
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });

  it('answers this machine alone: no other name, no other site, no other method, no other path', async () => {
    const sweep = fresh();
    await planned(sweep);
    server = await serveSweep({ sweep });
    const { url } = server;
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    const { host, port } = new URL(url);
    const codeOf = async (headers: Record<string, string>, method = 'GET', at = '') => {
      const answer = await ask(`${url}${at}`, { headers: { host, ...headers }, method });
      answer.resume();
      return answer.statusCode;
    };
    expect(await codeOf({})).toBe(200);
    expect(await codeOf({ host: `localhost:${port}` })).toBe(200);
    // Through a tunnel the browser knows another port.
    expect(await codeOf({ host: 'localhost:8080' })).toBe(200);
    expect(await codeOf({ host: `evil.example:${port}` })).toBe(403);
    expect(await codeOf({ host: `127.0.0.1.evil.example:${port}` })).toBe(403);
    expect(await firstLine(port, 'GET / HTTP/1.0\r\n\r\n')).toBe('HTTP/1.1 403 Forbidden');
    expect(await firstLine(port, 'GET / HTTP/1.1\r\n\r\n')).toBe('HTTP/1.1 400 Bad Request');
    for (const at of ['', 'events']) {
      expect(await codeOf({ origin: 'http://evil.example' }, 'GET', at)).toBe(403);
      expect(await codeOf({ origin: 'null' }, 'GET', at)).toBe(403);
      expect(await codeOf({ origin: `http://localhost:${Number(port) + 1}` }, 'GET', at)).toBe(403);
      expect(await codeOf({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 'GET', at)).toBe(
        403,
      );
      expect(await codeOf({ 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' }, 'GET', at)).toBe(403);
    }
    expect(await codeOf({ origin: `http://${host}` })).toBe(200);
    // A link on another page may lead here.
    const link = {
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
    };
    expect(await codeOf(link)).toBe(200);
    expect(await codeOf({ ...link, 'sec-fetch-dest': 'iframe' })).toBe(403);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'])
      expect(await codeOf({}, method)).toBe(405);
    for (const at of ['sweep.json', 'events/', '..%2fsweep.json', 'favicon.ico'])
      expect(await codeOf({}, 'GET', at), at).toBe(404);
  });

  it('sends a page that may do nothing but listen to it', async () => {
    const sweep = fresh('a "<b>" &');
    await planned(sweep);
    server = await serveSweep({ sweep });
    const answer = await ask(server.url);
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-resource-policy': 'same-origin',
      'cache-control': 'no-store',
    });
    const html = await bodyOf(answer);
    const [, policy] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)!;
    const rules = policy.replaceAll('&#39;', "'").split('; ');
    expect(rules).toEqual(
      expect.arrayContaining(["default-src 'none'", "connect-src 'self'", "base-uri 'none'"]),
    );
    expect(policy).not.toMatch(/script-src[^;]*unsafe/);
    expect(html).not.toContain('<b>');
  });

  it('gives every viewer the same, a late one too, and who comes back what he missed', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const journal = new Journal(sweep).add(doneLine(plan, 0), doneLine(plan, 1));
    server = await serveSweep({ sweep });
    const { url } = server;
    const isDone = (count: number) => (events: StreamEvent[]) => (lastStatus(events)?.done ?? 0) >= count;
    const early = [listen(url, isDone(4)), listen(url, isDone(4))];
    const [first] = await Promise.all([listen(url, isDone(2))]);
    journal.add(doneLine(plan, 2), doneLine(plan, 3));
    const seen = await Promise.all(early);
    const late = await listen(url, isDone(4));
    for (const events of [...seen, late]) {
      expect(events.filter(({ event }) => event === 'plan')).toHaveLength(1);
      expect(cellsOf(events).map(([index]) => index)).toEqual([0, 1, 2, 3]);
      expect(cellsOf(events)).toEqual(cellsOf(late));
    }
    const id = first.findLast((event) => event.id !== undefined)!.id!;
    const back = await listen(url, isDone(4), { 'Last-Event-ID': id });
    expect(back.filter(({ event }) => event === 'plan')).toEqual([]);
    expect(cellsOf(back).map(([index]) => index)).toEqual([2, 3]);
    // The number of another server, or none that makes sense: everything.
    for (const other of [`${crypto.randomUUID()}:2`, 'x', `${(late[0].data as LivePlan).generation}:-1`]) {
      const all = await listen(url, isDone(4), { 'Last-Event-ID': other });
      expect(
        cellsOf(all).map(([index]) => index),
        other,
      ).toEqual([0, 1, 2, 3]);
    }
  });

  it('survives the end of the sweep, and takes up one that begins after it', async () => {
    const sweep = fresh();
    mkdirSync(path.dirname(sweep), { recursive: true });
    server = await serveSweep({ sweep });
    const events = listen(server.url, (all) => lastStatus(all)?.phase === 'finished');
    const plan = await planned(sweep);
    new Journal(sweep).add(...plan.cells.map(({ index }) => doneLine(plan, index)));
    const all = await events;
    expect(all.map(({ event }) => event)[0]).toBe('status');
    expect((all[0].data as LiveStatus).phase).toBe('waiting');
    expect(cellsOf(all)).toHaveLength(8);
    expect(lastStatus(await listen(server.url, (late) => lastStatus(late) !== undefined))!.phase).toBe(
      'finished',
    );
  });

  it('says when a port is taken', async () => {
    const sweep = fresh();
    await planned(sweep);
    server = await serveSweep({ sweep });
    const port = Number(new URL(server.url).port);
    await expect(serveSweep({ sweep, port })).rejects.toMatchObject({
      code: 'serve.port',
      message: `port ${port} of 127.0.0.1 cannot be had: another program listens there`,
    });
  });
});

describe('the command', () => {
  const children = new Set<ChildProcess>();
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
  });
  /** Starts `nestwalk serve`; gives what it prints until its first line, and a promise of its end. */
  function start(...args: string[]) {
    const main = path.join(ROOT, 'src/cli/main.ts');
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, 'serve', ...args], {
      cwd: ROOT,
    });
    children.add(child);
    let [out, err] = ['', ''];
    child.stderr.setEncoding('utf8').on('data', (text) => {
      err += text;
    });
    const line = new Promise<string>((resolve) => {
      child.stdout.setEncoding('utf8').on('data', (text) => {
        out += text;
        if (out.includes('\n')) resolve(out);
      });
    });
    const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
      child.on('close', (code) => {
        children.delete(child);
        resolve({ code, out, err });
      });
    });
    return { child, line, ended };
  }

  it('prints the address, serves, changes nothing, and ends with 130 on Ctrl-C', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    new Journal(sweep).add(doneLine(plan, 0));
    const before = snapshot(sweep);
    const { child, line, ended } = start(sweep);
    const url = (await line).trim();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect((await listen(url, (events) => lastStatus(events)?.done === 1)).length).toBeGreaterThan(0);
    const viewer = listen(url, () => false).catch(() => []);
    child.kill('SIGINT');
    const begun = Date.now();
    expect(await ended).toMatchObject({ code: 130, out: `${url}\n`, err: expect.stringMatching(/Ctrl-C/) });
    expect(Date.now() - begun).toBeLessThan(3000);
    await viewer;
    expect(snapshot(sweep)).toEqual(before);
  });

  it.each([
    ['a folder of something else', () => ROOT, 1, /holds no sweep but other files/],
    ['a file', () => path.join(ROOT, 'package.json'), 2, /is a file/],
    ['a path that leads nowhere', () => path.join(folder, 'no', 'such', 'place'), 2, /nor a folder/],
  ] as const)('refuses %s', async (_, sweep, code, message) => {
    const { ended } = start(sweep());
    expect(await ended).toMatchObject({ code, out: '', err: expect.stringMatching(message) });
  });

  it('says what a port is', async () => {
    const { ended } = start(folder, '--port', '65536');
    expect(await ended).toMatchObject({ code: 2, err: expect.stringMatching(/at most 65535/) });
  });
});

inBrowser('the page', () => {
  let browser: Browser;
  let server: LiveServer | undefined;
  beforeAll(async () => {
    browser = await launch();
  }, 60_000);
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await server?.close();
    server = undefined;
  });
  afterAll(() => browser?.close());

  const slow = { timeout: 60_000, interval: 100 };

  it('follows a real sweep from before its beginning to its end, for two viewers', async () => {
    const sweep = fresh();
    mkdirSync(path.dirname(sweep), { recursive: true });
    server = await serveSweep({ sweep });
    const [one, two] = await Promise.all([
      watchedPage(browser),
      watchedPage(browser, { colorScheme: 'dark' }),
    ]);
    for (const { page } of [one, two]) await page.goto(server.url);
    await expect.poll(() => one.page.locator('#phase').textContent(), slow).toMatch(/^Waiting/);
    const plan = await planned(sweep, SWEEP.replace('accesses: 20000', 'accesses: 60000'));
    await expect
      .poll(() => one.page.locator('#counts').textContent(), slow)
      .toBe('0 of 8 cells done, 8 to go');
    const counts: number[] = [];
    const watching = setInterval(async () => {
      const value = await one.page
        .locator('#bar')
        .getAttribute('aria-valuenow')
        .catch(() => null);
      if (value !== null && Number(value) !== counts.at(-1)) counts.push(Number(value));
    }, 50);
    const phases = new Set<string>();
    const seeing = setInterval(async () => {
      const name = await one.page
        .locator('#phase')
        .getAttribute('class')
        .catch(() => null);
      if (name) phases.add(name);
    }, 50);
    await runLocal(plan, { sweep, workers: 1, memoryBytes: 2 ** 30, engine: 'ts' });
    for (const { page } of [one, two]) {
      await expect.poll(() => page.locator('#phase').textContent(), slow).toBe('Finished.');
      expect(await page.locator('#counts').textContent()).toBe('8 of 8 cells done');
    }
    clearInterval(watching);
    clearInterval(seeing);
    // The counter moved on the way, and never back.
    expect(counts.length).toBeGreaterThan(2);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(phases).toContain('running');
    // Both draw the cells: two curves of four points, as the journal has them.
    for (const { page } of [one, two]) {
      await expect.poll(() => page.locator('#result [data-tip]').count(), slow).toBe(8);
      expect(await page.locator('#result svg').first().getAttribute('aria-label')).toMatch(/STLB entries/);
      expect(await page.locator('#curve svg').getAttribute('aria-label')).toBe(
        'Cells done over time: 8 of 8, 0 failed.',
      );
      expect(await page.locator('#latestRows tr').count()).toBe(8);
    }
    const ratio = (index: number): string => {
      const { counters } = readJournal(sweep).results.get(plan.cells[index].name!)!;
      return `${((100 * counters.stlbMisses) / counters.accesses).toFixed(2)} %`;
    };
    const cells = await one.page
      .locator('#latestRows tr')
      .evaluateAll((rows) =>
        rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)),
      );
    for (const [index, , , , missRatio] of cells)
      if (!missRatio!.startsWith('0.0')) expect(missRatio).toBe(ratio(Number(index)));
    for (const { complaints, requests } of [one, two]) {
      expect(complaints).toEqual([]);
      expect(new Set(requests)).toEqual(new Set([server.url, `${server.url}events`]));
    }
  }, 180_000);

  it('comes back after the server was away, with what happened meanwhile', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    const journal = new Journal(sweep).add(doneLine(plan, 0));
    server = await serveSweep({ sweep });
    const { url } = server;
    const { page } = await watchedPage(browser);
    await page.goto(url);
    await expect.poll(() => page.locator('#counts').textContent(), slow).toMatch(/^1 of 8/);
    await server.close();
    await expect.poll(() => page.locator('#lost').isVisible(), slow).toBe(true);
    expect(await page.locator('#counts').textContent()).toMatch(/^1 of 8/);
    journal.add(doneLine(plan, 1), {
      t: 'failed',
      cells: [plan.cells[2].name!],
      reason: 'out of luck',
      time: 1,
    });
    server = await serveSweep({ sweep, port: Number(new URL(url).port) });
    await expect
      .poll(() => page.locator('#counts').textContent(), slow)
      .toBe('2 of 8 cells done, 1 failed, 5 to go');
    expect(await page.locator('#lost').isVisible()).toBe(false);
  }, 120_000);

  it('shows failures with their reasons and cells, and hostile words as text', async () => {
    const words = '</script><img src=x onerror="document.title=1"><!-- ';
    const sweep = fresh('<img src=x onerror=alert(1)>');
    const plan = await planned(sweep);
    const journal = new Journal(sweep).add({
      t: 'failed',
      cells: [plan.cells[1].name!, plan.cells[2].name!],
      reason: `run.failed: ${words}`,
      time: 1,
    });
    const before = snapshot(sweep);
    server = await serveSweep({ sweep });
    const { page, complaints } = await watchedPage(browser);
    await page.goto(server.url);
    const failures = page.locator('#failed details');
    await expect.poll(() => failures.count(), slow).toBe(1);
    expect(await failures.locator('summary').textContent()).toBe(`2 × failed: run.failed: ${words}`);
    await failures.locator('summary').click();
    expect(await failures.locator('li').first().textContent()).toBe(
      'cell 1, paging.guestPage 4KiB, machine.stlb[0].entries 32',
    );
    expect(await page.locator('h1').textContent()).toBe(path.basename(sweep));
    expect(await page.locator('img').count()).toBe(0);
    expect(snapshot(sweep)).toEqual(before);
    // What was opened stays open when more comes.
    journal.add(doneLine(plan, 0));
    await expect.poll(() => page.locator('#counts').textContent(), slow).toMatch(/^1 of 8/);
    await page.waitForTimeout(800);
    expect(await failures.getAttribute('open')).not.toBeNull();
    expect(complaints).toEqual([]);
  }, 60_000);

  it('lets its reader choose what the figure shows, and fits a narrow screen', async () => {
    const sweep = fresh();
    const plan = await planned(sweep);
    new Journal(sweep).add(...plan.cells.map(({ index }) => doneLine(plan, index)));
    server = await serveSweep({ sweep });
    const { page, complaints } = await watchedPage(browser, { viewport: { width: 390, height: 800 } });
    await page.goto(server.url);
    await expect.poll(() => page.locator('#result svg').count(), slow).toBeGreaterThan(0);
    const measure = page.locator('#controls label', { hasText: 'shows' }).locator('select');
    await measure.selectOption('missesPerThousandAccesses_stlb');
    await expect.poll(() => page.locator('#result').textContent(), slow).toMatch(/misses per 1,000 accesses/);
    // Cell 3 has 1003 misses in 20,000 accesses.
    const tips = await page
      .locator('#result [data-tip]')
      .evaluateAll((marks) => marks.map((mark) => mark.getAttribute('data-tip')));
    expect(tips.filter((tip) => tip?.includes('50.15'))).toHaveLength(1);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    expect(complaints).toEqual([]);
  }, 60_000);
});
