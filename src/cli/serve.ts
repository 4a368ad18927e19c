/** `nestwalk serve`: the live page of a sweep. */
import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { parseCount } from '../config/units.ts';
import { serveSweep } from '../serve/server.ts';
import { planFile } from '../sweep/folder.ts';
import { reader } from './options.ts';
import { note, print } from './streams.ts';

const HIGHEST_PORT = 65_535;

function portOf(value: string): number {
  const port = parseCount(value);
  if (port > HIGHEST_PORT) throw new InvalidArgumentError(`it must be at most ${HIGHEST_PORT}`);
  return port;
}

/** Resolves when the signal is given, at once if it was before. */
const interrupted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Adds `serve`. */
export function addServe(program: Command, signal: AbortSignal): void {
  program
    .command('serve')
    .argument('<folder>', 'folder of a sweep, or where one will begin')
    .option('--port <port>', 'port to listen on (default: one that is free)', reader(portOf))
    .option('--quiet', 'no notes')
    .description('the live page of a sweep, in a browser of this machine, until Ctrl-C')
    .addHelpText(
      'after',
      `
The page is for this machine alone. From elsewhere, through ssh:
  ssh -L 8080:127.0.0.1:8080 cluster nestwalk serve night --port 8080

Example:
  nestwalk serve night`,
    )
    .action(async (sweep: string, { port, quiet }: { port?: number; quiet?: boolean }) => {
      const server = await serveSweep({ sweep, port });
      try {
        await print(server.url);
        if (!quiet) {
          if (!existsSync(planFile(sweep)))
            note(`note: there is no sweep in ${sweep} yet: waiting for one to begin`);
          note('open the address in a browser; Ctrl-C ends the server, not the sweep');
        }
        await interrupted(signal);
      } finally {
        await server.close();
      }
    });
}
