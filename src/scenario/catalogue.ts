/** All scenarios that are built in. */
import { compile } from './drivers/compile.ts';
import { consolidation } from './drivers/consolidation.ts';
import { contextSwitch } from './drivers/contextSwitch.ts';
import { forkwait } from './drivers/forkwait.ts';
import { mmapMunmap } from './drivers/mmapMunmap.ts';
import { pageFault } from './drivers/pageFault.ts';
import { ptemod } from './drivers/ptemod.ts';
import { crossover, server } from './drivers/server.ts';
import { smp } from './drivers/smp.ts';
import type { Scenario } from './scenario.ts';

/** Scenarios by name, from the smallest operation to whole machines. */
export const SCENARIOS: readonly Scenario[] = [
  ptemod,
  pageFault,
  contextSwitch,
  mmapMunmap,
  forkwait,
  compile,
  server,
  crossover,
  smp,
  consolidation,
] as readonly unknown[] as readonly Scenario[];
