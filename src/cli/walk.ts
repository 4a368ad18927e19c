/** `nestwalk walk`: one translation, as text, as JSON, or as a page to step through. */
import { type Command, Option } from 'commander';
import { NAMED_WORKLOADS } from '../config/named.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { NestwalkError } from '../errors.ts';
import { styleFor } from '../report/table.ts';
import { renderWalk } from '../report/walk.ts';
import { walkPage } from '../report/walkPage.ts';
import { walkGallery } from '../run/walkGallery.ts';
import { walkOnce } from '../run/walkOnce.ts';
import { ACCESS_KINDS, type AccessKind } from '../schema.ts';
import { writeWhole } from '../sweep/folder.ts';
import { readAddress, readConfig, walkDefaults } from './input.ts';
import { addConfigFlags, type ConfigFlags, readCount, reader } from './options.ts';
import { note, print, showProgress } from './streams.ts';

interface WalkFlags extends ConfigFlags {
  kind: AccessKind;
  warm: number;
  html?: string;
  json?: boolean;
  quiet?: boolean;
}

/** The configuration of a walk. */
function configOf(address: number, file: string | undefined, flags: WalkFlags): ResolvedConfig {
  if (flags.trace !== undefined)
    throw new NestwalkError(
      'usage',
      'walk needs regions to walk in, and a trace has none: leave --trace out, or give a synthetic workload',
    );
  const { config, notes } = file === undefined ? aroundAddress(address, flags) : readConfig(file, flags);
  if (!flags.quiet) for (const line of notes) note(`note: ${line}`);
  return config;
}

/** A configuration of flags alone: the footprint is laid around the address; a named workload lays out its own regions. */
function aroundAddress(address: number, flags: WalkFlags): ReturnType<typeof readConfig> {
  const { footprint: _, ...others } = flags;
  const { regions, ...rest } = walkDefaults(address, flags);
  const isNamed = flags.workload !== undefined && Object.hasOwn(NAMED_WORKLOADS, flags.workload);
  return isNamed ? readConfig(undefined, flags, rest) : readConfig(undefined, others, { ...rest, regions });
}

/** The page of a walk, on stdout for `-`, else in a file whose path is printed. */
async function writePage(
  config: ResolvedConfig,
  address: number,
  { html: file = '', kind, warm, quiet }: WalkFlags,
  signal: AbortSignal,
): Promise<void> {
  if (file === '') throw new NestwalkError('usage', '--html needs the name of a file, or - for stdout');
  const show = showProgress(quiet ?? false);
  const start = performance.now();
  let text: string;
  try {
    const onProgress = (done: number, total: number): void => {
      const seconds = (performance.now() - start) / 1000;
      show.update({ done, total, accessesPerSecond: seconds > 0 ? done / seconds : 0 }, 'walks: ');
    };
    text = walkPage(await walkGallery(config, address, { kind, warm, signal, onProgress }));
  } finally {
    show.end();
  }
  if (file === '-') return print(text.trimEnd());
  writeWhole(file, text, 'export.file');
  await print(file);
  if (!quiet) note('open it in a browser: arrow keys step, space plays');
}

/** Adds `walk`. */
export function addWalk(program: Command, signal: AbortSignal): void {
  addConfigFlags(
    program
      .command('walk')
      .argument('<address>', 'guest virtual address, e.g. 0x7f5a12345678', reader(readAddress))
      .argument('[config]', 'configuration file, YAML or JSON'),
  )
    .addOption(new Option('--kind <kind>', 'what the access does').choices([...ACCESS_KINDS]).default('read'))
    .option('--warm <count>', 'accesses of the workload to run first, which warm the caches', readCount, 0)
    .addOption(new Option('--html <file>', 'a page to step through, - for stdout').conflicts('json'))
    .option('--json', 'the steps as JSON')
    .option('--quiet', 'no notes')
    .description('one translation, step by step: each reference with its place, addresses, and what answered')
    .addHelpText(
      'after',
      `
Without a configuration: a machine without any TLB or cache, and 1 GiB of memory around the address (or --footprint
of it). With one, the address must be in one of its regions; those without a base begin at 0x10000000000.

The page has all modes and page sizes, and the machine without caches, cold, and warm (after --warm accesses, or
1,000); the machine is a Skylake where the configuration names none.

Examples:
  nestwalk walk 0x7f5a12345678
  nestwalk walk 0x7f5a12345678 --nested-page 2MiB --machine skylake-sp --warm 1000
  nestwalk walk 0x7f5a12345678 --html walk.html`,
    )
    .action(async (address: number, file: string | undefined, flags: WalkFlags) => {
      const config = configOf(address, file, flags);
      if (flags.html !== undefined) return writePage(config, address, flags, signal);
      const walk = await walkOnce(config, address, { kind: flags.kind, warm: flags.warm, signal });
      await print(
        flags.json ? JSON.stringify(walk, null, 2) : renderWalk(walk, config, styleFor(process.stdout)),
      );
    });
}
