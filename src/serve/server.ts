/**
 * The server of the live page, for this machine alone: one page, and one stream of server-sent events (HTML Living
 * Standard, 9.2). It answers nobody who came by another name or from another page, so that a site which a browser shows
 * cannot read a sweep behind its reader's back (DNS rebinding).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { NestwalkError } from '../errors.ts';
import { livePage } from '../report/livePage.ts';
import { checkLiveFolder, type LiveCell, LiveSweep } from './liveSweep.ts';

/** The one address that is listened on. */
const LOOPBACK = '127.0.0.1';
/** Names under which a browser of this machine asks. The port may be another one, at the near end of a tunnel. */
const OWN_NAMES: readonly string[] = [LOOPBACK, 'localhost', '[::1]'];
/** Milliseconds between two looks at the folder; more where looking takes long. */
const LOOK_MS = 500;
/** Part of the time that looking may take. */
const LOOK_SHARE = 0.05;
/** Milliseconds after which a browser tries again, and between two signs of life. */
const RETRY_MS = 1000;
const HEARTBEAT_MS = 15_000;
/** Cells of one event. */
const CELLS_AT_A_TIME = 1000;
/** Viewers at a time; a page that forgets to close its streams must not use up this process. */
const MOST_VIEWERS = 100;
/** Bytes that may wait for a viewer: one that does not read is dropped, and comes back by itself if it can. */
const MOST_WAITING_BYTES = 64 * 2 ** 20;

/** How a live page is served. */
export interface ServeOptions {
  /** Folder of a sweep, or where one will begin. */
  sweep: string;
  /** Port; 0 or absent: one that is free. */
  port?: number;
}

/** A live page that is being served. */
export interface LiveServer {
  /** Address of the page: `http://127.0.0.1:PORT/`. */
  url: string;
  /** Ends the server, and every viewer's stream. */
  close(): Promise<void>;
}

/** A browser that listens. */
interface Viewer {
  response: ServerResponse;
  /** Of what it has: the plan, and how many of its cells. */
  generation: string;
  cells: number;
  /** The status that it was told last. */
  status: string;
}

/**
 * Serves the live page of a sweep on the loopback interface, until {@link LiveServer.close}. Nothing is written.
 * @throws {NestwalkError} `serve.port`; `usage` and `sweep.none` for a folder that cannot be a sweep's; `sweep.folder` and
 *   `sweep.plan` for one whose plan cannot be read
 */
export async function serveSweep({ sweep, port = 0 }: ServeOptions): Promise<LiveServer> {
  checkLiveFolder(sweep);
  const live = new LiveSweep(sweep);
  const room = new ViewingRoom(live, livePage(sweep));
  const server = createServer((request, response) => room.answer(request, response));
  await listen(server, port);
  room.start();
  const { port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${LOOPBACK}:${chosen}/`,
    close: async () => {
      room.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(portError(port, cause)));
    server.listen(port, LOOPBACK, () => resolve());
  });

function portError(port: number, cause: NodeJS.ErrnoException): NestwalkError {
  const why =
    cause.code === 'EADDRINUSE'
      ? 'another program listens there'
      : cause.code === 'EACCES'
        ? 'this user may not listen there'
        : cause.message;
  return new NestwalkError('serve.port', `port ${port} of ${LOOPBACK} cannot be had: ${why}`, { cause });
}

/** Of every answer. The page itself says which scripts it runs; what only a header can forbid is to be framed. */
const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
} as const;

/** Who may ask, and for what. */
type Verdict = { status: number; text: string; headers?: Record<string, string> } | undefined;

/** Why a request is refused; `undefined` for one that is not. */
export function refusalOf({ method, url = '/', headers }: IncomingMessage): Verdict {
  const { host, origin } = headers;
  if (!OWN_NAMES.includes(hostOf(host)))
    return {
      status: 403,
      text: `this page is served to this machine alone: ask for ${LOOPBACK} or localhost\n`,
    };
  if (origin !== undefined && origin !== `http://${host}`)
    return { status: 403, text: 'this page answers no other site\n' };
  const site = headers['sec-fetch-site'];
  const isLink = headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !isLink)
    return { status: 403, text: 'this page answers no other site\n' };
  if (method !== 'GET')
    return { status: 405, text: 'there is nothing here but to read: GET\n', headers: { Allow: 'GET' } };
  if (!PATHS.includes(pathOf(url))) return { status: 404, text: 'there is nothing of that name\n' };
  return undefined;
}

const PATHS: readonly string[] = ['/', '/events'];
const pathOf = (url: string): string => url.split('?', 1)[0]!;
/** The name in a `Host` header, without its port. */
const hostOf = (host = ''): string => host.toLowerCase().replace(/:\d*$/, '');

/** The viewers of one sweep, and the clock that keeps them up to date. */
class ViewingRoom {
  private readonly live: LiveSweep;
  private readonly page: Buffer;
  private readonly viewers = new Set<Viewer>();
  private timer: NodeJS.Timeout | undefined;
  private heartbeat: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(live: LiveSweep, page: string) {
    this.live = live;
    this.page = Buffer.from(page);
  }

  start(): void {
    void this.tick();
    this.heartbeat = setInterval(() => {
      for (const viewer of this.viewers) this.send(viewer, ': still here\n\n');
    }, HEARTBEAT_MS);
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearInterval(this.heartbeat);
    for (const { response } of this.viewers) response.end();
    this.viewers.clear();
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const refusal = refusalOf(request);
    if (refusal) {
      const { status, text, headers } = refusal;
      response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain; charset=utf-8', ...headers });
      response.end(text);
    } else if (pathOf(request.url!) === '/events') this.admit(request, response);
    else {
      response.writeHead(200, {
        ...HEADERS,
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Length': this.page.length,
      });
      response.end(this.page);
    }
  }

  /** Opens a stream. Who comes back with the number of the last event goes on from there; anyone else gets all. */
  private admit(request: IncomingMessage, response: ServerResponse): void {
    if (this.viewers.size >= MOST_VIEWERS) {
      response.writeHead(503, {
        ...HEADERS,
        'Content-Type': 'text/plain; charset=utf-8',
        'Retry-After': '10',
      });
      response.end(`there are ${MOST_VIEWERS} viewers already\n`);
      return;
    }
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream; charset=utf-8' });
    const [generation = '', cells = '0'] = String(request.headers['last-event-id'] ?? '').split(':');
    const isKnown = generation === this.live.plan?.generation && /^\d{1,9}$/.test(cells);
    const viewer: Viewer = {
      response,
      generation: isKnown ? generation : '',
      cells: isKnown ? Math.min(Number(cells), this.live.cells.length) : 0,
      status: '',
    };
    this.viewers.add(viewer);
    response.on('close', () => this.viewers.delete(viewer));
    this.send(viewer, `retry: ${RETRY_MS}\n\n`);
    this.update(viewer, JSON.stringify(this.live.status()));
  }

  /** Looks at the folder and tells everyone, again and again; less often where looking takes long. */
  private async tick(): Promise<void> {
    const start = performance.now();
    await this.live.look();
    if (this.isClosed) return;
    const status = JSON.stringify(this.live.status());
    for (const viewer of this.viewers) this.update(viewer, status);
    const took = performance.now() - start;
    this.timer = setTimeout(() => void this.tick(), Math.max(LOOK_MS, took / LOOK_SHARE));
  }

  /** Tells a viewer what it does not know yet. */
  private update(viewer: Viewer, status: string): void {
    const { plan, cells } = this.live;
    if (plan && viewer.generation !== plan.generation) {
      viewer.generation = plan.generation;
      viewer.cells = 0;
      this.tell(viewer, 'plan', plan);
    }
    while (viewer.cells < cells.length) {
      const next: readonly LiveCell[] = cells.slice(viewer.cells, viewer.cells + CELLS_AT_A_TIME);
      viewer.cells += next.length;
      this.tell(viewer, 'cells', next);
    }
    if (status === viewer.status) return;
    viewer.status = status;
    this.send(viewer, `event: status\ndata: ${status}\n\n`);
  }

  private tell(viewer: Viewer, event: 'plan' | 'cells', data: unknown): void {
    const id = `${viewer.generation}:${viewer.cells}`;
    this.send(viewer, `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  private send(viewer: Viewer, text: string): void {
    const { response } = viewer;
    if (response.writableLength > MOST_WAITING_BYTES) {
      this.viewers.delete(viewer);
      response.destroy();
    } else response.write(text);
  }
}
