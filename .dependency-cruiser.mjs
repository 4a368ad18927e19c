/**
 * The layers of `src/`: imports point down only. `npm run check` and test/shape/layers.test.ts apply these rules.
 */

/** Rows from the bottom up. A room may import rooms of lower rows, and rooms of its own row. */
export const LAYERS = [
  ['schema', 'errors'],
  ['machines', 'config'],
  ['hardware'],
  ['engine'],
  ['memory'],
  ['kernel'],
  ['hypervisor'],
  ['workload', 'trace'],
  ['run', 'results'],
  ['sweep', 'report', 'scenario', 'reproduce'],
  ['serve'],
  ['index'],
  ['cli'],
];

/** @param {readonly string[]} rooms pattern for every file of these rooms: a folder, or one file of that name */
const filesOf = (rooms) => `^src/(${rooms.join('|')})(/|\\.ts$)`;

const upward = LAYERS.slice(0, -1).map((row, index) => ({
  name: `${row.join('-and-')}-import-nothing-above`,
  severity: 'error',
  from: { path: filesOf(row) },
  to: { path: filesOf(LAYERS.slice(index + 1).flat()) },
}));

const belowRun = LAYERS.slice(
  0,
  LAYERS.findIndex((row) => row.includes('run')),
).flat();

export default {
  forbidden: [
    ...upward,
    {
      name: 'every-file-has-a-layer',
      comment: 'A new room needs a row in LAYERS.',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: filesOf(LAYERS.flat()) },
    },
    {
      name: 'hardware-imports-only-schema',
      comment: 'The twin is read beside the C++ core: it depends on what the core depends on.',
      severity: 'error',
      from: { path: '^src/hardware/' },
      to: { pathNot: '^src/(hardware/|schema\\.ts$)' },
    },
    {
      name: 'schema-and-errors-stand-alone',
      severity: 'error',
      from: { path: '^src/(schema|errors)\\.ts$' },
      to: { path: '^src/' },
    },
    {
      name: 'workers-only-from-run-up',
      comment: 'Nothing below `run` knows that there are threads.',
      severity: 'error',
      from: { path: filesOf(belowRun) },
      to: { path: '(^|/)(worker_threads|piscina)(/|$)' },
    },
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'everything-resolves', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    combinedDependencies: true,
  },
};
