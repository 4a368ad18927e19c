/**
 * The trials, as data: what is measured, against what, and the target. {@link configOf} and
 * {@link yardstickArguments} turn one description of a machine and its stream into both programs' terms, so that
 * the yardstick and nestwalk cannot drift apart.
 */

/** What a trial simulates: one machine of the speed targets, on one stream. */
export interface Subject {
  /** `tlb`: L1 and STLB alone; `1d`: and a native walk; `2d`: and a nested walk, 4 KiB on 4 KiB. */
  mode: 'tlb' | '1d' | '2d';
  stream: 'uniform' | 'zipf' | 'sequential';
  bytes: number;
  /** Paging-structure caches, in 2-D also nested ones and a nested TLB: 4 ways at most, one set, or none at all. */
  walkCaches: 'narrow' | 'full' | 'none';
  /** Whether page-table entries are read through three caches. */
  pteCaches: boolean;
  seed: number;
}

/** One program's part in a trial. */
export interface Side {
  program: 'yardstick' | 'native' | 'ts';
  accesses: number;
  /** Threads of nestwalk, on any processors; absent: one, pinned. */
  workers?: number;
}

/**
 * What has to be reached. `ratio`: rate of the subject over the other side's, at least; `rate`: million accesses a
 * second, at least; `twin`: rate of the native side over the twin's, at most; `memory`: peak resident MiB of the
 * process, at most.
 */
export interface Target {
  measure: 'ratio' | 'rate' | 'twin' | 'memory';
  value: number;
}

/** One row of the table. `side` is measured, `other` runs in turn with it (a memory trial has none). */
export interface Trial {
  name: string;
  subject: Subject;
  side: Side;
  other?: Side;
  target: Target;
}

const GIB = 2 ** 30;
const PAGE_BYTES = 4096;

/** Names and geometry of the three caches of `pteCaches`; the yardstick has the same (32 KiB, 1 MiB, 32 MiB). */
const PTE_CACHES = [
  { name: 'L1', size: 32 * 2 ** 10, ways: 8, line: 64, latency: 4 },
  { name: 'L2', size: 2 ** 20, ways: 16, line: 64, latency: 14 },
  { name: 'LLC', size: 32 * 2 ** 20, ways: 16, line: 64, latency: 50 },
];

const TLB = { sizes: ['4KiB'], replacement: 'lru' };

const workloads = {
  uniform: { pattern: 'uniform' },
  zipf: { pattern: 'zipf', theta: 0.99, clustered: false },
  sequential: { pattern: 'stride', bytes: 64 },
};

/** Walk caches of a subject in nestwalk's terms. A machine of TLBs alone has none. */
function walkCachesOf(subject: Subject): object {
  if (subject.mode === 'tlb' || subject.walkCaches === 'none') return {};
  const ways = (entries: number) => (subject.walkCaches === 'full' ? entries : Math.min(4, entries));
  const psc = {
    l2: { entries: 32, ways: ways(32) },
    l3: { entries: 4, ways: ways(4) },
    l4: { entries: 2, ways: ways(2) },
  };
  if (subject.mode === '1d') return { psc };
  return { psc, nestedPsc: psc, ntlb: { entries: 64, ways: ways(64), holds: 'all' } };
}

/**
 * The subject as a whole nestwalk configuration. TLBs alone are a native machine without walk caches: its walks
 * are counted, and cost as good as nothing to simulate, since every one has the same four references.
 */
export function configOf(subject: Subject, accesses: number) {
  return {
    seed: subject.seed,
    accesses,
    machine: {
      l1d: [{ entries: 64, ways: 4, ...TLB }],
      stlb: [{ entries: 1536, ways: 12, ...TLB }],
      ...walkCachesOf(subject),
      ...(subject.pteCaches ? { caches: PTE_CACHES, memoryLatency: 200 } : {}),
    },
    paging: {
      mode: subject.mode === '2d' ? 'nested' : 'native',
      guestPage: '4KiB',
      nestedPage: '4KiB',
      populate: 'prefault',
      placement: 'contiguous',
      ad: 'set',
    },
    regions: [{ bytes: subject.bytes }],
    workload: workloads[subject.stream],
  };
}

/** The subject as arguments of the yardstick. */
export function yardstickArguments(subject: Subject, accesses: number): string[] {
  const values = {
    mode: subject.mode,
    stream: subject.stream,
    bytes: subject.bytes,
    seed: subject.seed,
    accesses,
  };
  const flags = [
    ...(subject.walkCaches === 'full' ? ['--full'] : []),
    ...(subject.walkCaches === 'none' ? ['--bare'] : []),
    ...(subject.pteCaches ? ['--caches'] : []),
  ];
  return [...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]), ...flags];
}

/** The most memory, in MiB, that a run may take: 9 bytes per mapped page and dimension, and 200 MiB. */
export function memoryLimitMebibytes(subject: Subject): number {
  const dataPages = subject.bytes / PAGE_BYTES;
  const guestTables = 1 + 1 + Math.ceil(dataPages / 2 ** 18) + Math.ceil(dataPages / 512);
  const mapped = subject.mode === '2d' ? dataPages + (dataPages + guestTables) : dataPages;
  return (9 * mapped) / 2 ** 20 + 200;
}

const subjectOf = (part: Partial<Subject>): Subject => ({
  mode: '2d',
  stream: 'uniform',
  bytes: GIB,
  walkCaches: 'narrow',
  pteCaches: false,
  seed: 1,
  ...part,
});

const MODE_NAMES = { tlb: 'TLBs', '1d': '1-D walk', '2d': '2-D walk' };

function nameOf(subject: Subject): string {
  const extra = subject.walkCaches === 'full' ? ', full' : subject.pteCaches ? ', 3 caches' : '';
  return `${MODE_NAMES[subject.mode]}${extra}, ${subject.stream} ${subject.bytes / GIB} GiB`;
}

/** Rate against the yardstick, at least `value` times as fast. */
function ratio(part: Partial<Subject>, accesses: number, value: number): Trial {
  const subject = subjectOf(part);
  return {
    name: nameOf(subject),
    subject,
    side: { program: 'native', accesses },
    other: { program: 'yardstick', accesses },
    target: { measure: 'ratio', value },
  };
}

/** At least `value` million accesses a second; the yardstick runs beside it for comparison. */
function rate(part: Partial<Subject>, accesses: number, value: number): Trial {
  return { ...ratio(part, accesses, 0), target: { measure: 'rate', value } };
}

/** The TypeScript twin, at most 30 times slower than the C++ core. */
function twin(part: Partial<Subject>, accesses: number): Trial {
  const subject = subjectOf(part);
  return {
    name: `twin: ${nameOf(subject)}`,
    subject,
    side: { program: 'ts', accesses },
    other: { program: 'native', accesses: accesses * 5 },
    target: { measure: 'twin', value: 30 },
  };
}

/** Two workers against one, tables built before; long enough that a run is cut. */
function scaling(part: Partial<Subject>, accesses: number, value: number): Trial {
  const subject = subjectOf(part);
  return {
    name: `two workers: ${nameOf(subject)}`,
    subject,
    side: { program: 'native', accesses, workers: 2 },
    other: { program: 'native', accesses, workers: 1 },
    target: { measure: 'ratio', value },
  };
}

/** Peak memory of a process that simulates the subject. */
function memory(part: Partial<Subject>): Trial {
  const subject = subjectOf(part);
  return {
    name: `memory: ${nameOf(subject)}`,
    subject,
    side: { program: 'native', accesses: 1_000_000 },
    target: { measure: 'memory', value: Math.round(memoryLimitMebibytes(subject)) },
  };
}

const FOOTPRINTS = [GIB, 4 * GIB];
const RANDOM_STREAMS = ['uniform', 'zipf'] as const;
const onRandomStreams = (make: (part: Partial<Subject>) => Trial): Trial[] =>
  RANDOM_STREAMS.flatMap((stream) => FOOTPRINTS.map((bytes) => make({ stream, bytes })));

/** Every trial, in the order of the table. */
export const TRIALS: readonly Trial[] = [
  ...onRandomStreams((part) => ratio({ ...part, mode: 'tlb' }, 30e6, 3)),
  ...onRandomStreams((part) => ratio({ ...part, mode: '1d' }, 20e6, 2)),
  ...onRandomStreams((part) => ratio({ ...part, mode: '2d' }, 15e6, 2)),
  ...onRandomStreams((part) => ratio({ ...part, mode: '2d', walkCaches: 'full' }, 5e6, 6)),
  ratio({ mode: 'tlb', stream: 'sequential' }, 400e6, 3),
  ratio({ mode: '1d', stream: 'sequential' }, 400e6, 3),
  ratio({ mode: '2d', stream: 'sequential' }, 400e6, 3),
  rate({ mode: '1d', pteCaches: true }, 10e6, 10),
  ...onRandomStreams((part) => rate({ ...part, mode: '2d', pteCaches: true }, 5e6, 10)),
  twin({ mode: 'tlb' }, 2e6),
  twin({ mode: '1d' }, 2e6),
  twin({ mode: '2d' }, 2e6),
  twin({ mode: '2d', stream: 'zipf' }, 2e6),
  twin({ mode: '2d', walkCaches: 'full' }, 1e6),
  twin({ mode: '2d', pteCaches: true }, 1e6),
  twin({ mode: '2d', stream: 'sequential' }, 20e6),
  scaling({ mode: '2d', stream: 'zipf', bytes: 4 * GIB }, 1e9, 1.85),
  memory({ mode: '1d', bytes: 16 * GIB }),
  memory({ mode: '2d', bytes: 16 * GIB }),
];
