/** The pages of docs/: they name files that exist, their tables say what the schema says, their examples are right, and recipes keep their budgets. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { LAYERS } from '../../.dependency-cruiser.mjs';
import { NAMED_WORKLOADS } from '../../src/config/named.ts';
import { MachineSchema, PATTERN_FIELDS, PagingSchema } from '../../src/config/schema.ts';
import { TRACE_FORMATS } from '../../src/config/traceFormat.ts';
import { philox } from '../../src/hardware/philox.ts';
import { LEDGER_CAUSES } from '../../src/hypervisor/ledger.ts';
import { MACHINE_PRESETS } from '../../src/machines/presets.ts';
import {
  COLUMNS,
  COUNTER_FIELDS,
  ENTRY,
  INDEXINGS,
  NTLB_HOLDS,
  PATTERNS,
  PURPOSES,
  PWC_HOLDS,
  REPLACEMENTS,
  ROWS,
} from '../../src/schema.ts';
import { zipfTable } from '../../src/workload/zipf.ts';
import { linesMatching, ROOT, text, textFiles } from './files.ts';

const own = textFiles('docs').filter((name) => /^docs\/[^/]+\.md$/.test(name));
const pages = [...own, 'README.md', 'CONTRIBUTING.md'];

/** Cells of a table below a heading, the first one unless `nth` says otherwise, without its head. */
function tableBelow(page: string, heading: string, nth = 0): string[][] {
  const lines = text(page).split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  if (start < 0) throw new Error(`${page} has no heading "${heading}"`);
  const heads = lines.flatMap((line, index) =>
    index > start && line.startsWith('|') && !lines[index - 1].startsWith('|') ? [index] : [],
  );
  const first = heads[nth];
  const behind = lines.findIndex((line, index) => index > first && !line.startsWith('|'));
  return lines.slice(first + 2, behind < 0 ? undefined : behind).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** What stands in code marks. */
const coded = (markdown: string): string[] => [...markdown.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

/** First words in code marks of the first column of a table. */
const firstColumn = (page: string, heading: string): string[] =>
  tableBelow(page, heading).flatMap(([cell]) => coded(cell));

const model = text('docs/model.md');

describe('every page', () => {
  it('is in the index, and has one title', () => {
    const index = text('docs/README.md');
    expect(own.length).toBeGreaterThan(5);
    for (const page of own.filter((name) => name !== 'docs/README.md'))
      expect(index, page).toContain(`](${path.posix.basename(page)})`);
    for (const page of own) expect(text(page).match(/^# /gm), page).toHaveLength(1);
  });

  it('names files that exist', () => {
    const missing = pages.flatMap((page) =>
      [...text(page).matchAll(/(?<![\w./-])(?:src|native|test|bench|scripts|docs)\/[\w./-]*\w/g)]
        .map(([name]) => name)
        .filter((name) => !name.includes('NAME') && name !== 'docs/api' && !existsSync(path.join(ROOT, name)))
        .map((name) => `${page}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('links to headings that exist', () => {
    const slugs = (page: string): string[] =>
      [...text(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
        heading
          .toLowerCase()
          .replace(/[^\w\s-]/g, '')
          .trim()
          .replace(/\s/g, '-'),
      );
    const broken = pages.flatMap((page) =>
      [...text(page).matchAll(/\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)/g)]
        .filter(([, target, slug]) => {
          const name = target === '' ? page : path.posix.join(path.posix.dirname(page), target);
          return !slugs(name).includes(slug);
        })
        .map(([link]) => `${page}: ${link}`),
    );
    expect(broken).toEqual([]);
  });
});

describe('docs/model.md', () => {
  it('has a row for exactly the counters that there are', () => {
    const names = [...COUNTER_FIELDS.map(([name]) => name), 'unique', 'reuse'];
    expect(firstColumn('docs/model.md', 'Counters').sort()).toEqual(names.sort());
  });

  it('has a row for exactly the patterns that there are, with their parameters', () => {
    const rows = tableBelow('docs/model.md', 'Components');
    expect(rows.map(([cell]) => coded(cell)[0]).sort()).toEqual([...PATTERNS].sort());
    for (const [cell] of rows) {
      const [name, fields = ''] = coded(cell);
      const given = Object.keys(PATTERN_FIELDS[name as keyof typeof PATTERN_FIELDS]);
      expect(fields.match(/[a-z]{2,}|\bk\b/g) ?? [], name).toEqual(given);
    }
  });

  it('has a row for exactly the replacement policies, purposes, trace formats and ledger events', () => {
    expect(firstColumn('docs/model.md', 'Replacement')).toEqual([...REPLACEMENTS]);
    expect(firstColumn('docs/model.md', 'Index')).toEqual([...INDEXINGS]);
    const purposes = tableBelow('docs/model.md', 'Random numbers').map(([value, name]) => [
      coded(name)[0],
      Number(value),
    ]);
    expect(Object.fromEntries(purposes)).toEqual(PURPOSES);
    expect(firstColumn('docs/model.md', 'Traces')).toEqual([...TRACE_FORMATS]);
    const events = firstColumn('docs/model.md', 'The guest kernel and the hypervisor');
    expect(events).toEqual([...LEDGER_CAUSES]);
  });

  it('has the bits of an entry', () => {
    const rows = tableBelow('docs/model.md', 'Addresses, entries, page tables', 1);
    const bits = rows.flatMap(([bit, name]) => coded(name).map((entry) => [entry, 2 ** Number(bit)]));
    expect(Object.fromEntries(bits)).toEqual(ENTRY);
  });

  it.each([
    ['machine preset', Object.keys(MACHINE_PRESETS)],
    ['named workload', Object.keys(NAMED_WORKLOADS)],
    ['field of a machine', Object.keys(MachineSchema.shape)],
    ['field of paging', Object.keys(PagingSchema.shape)],
    ['row', ROWS],
    ['column', COLUMNS],
    ['holding of a nested TLB', NTLB_HOLDS],
    ['holding of a page-walk cache', PWC_HOLDS],
  ])('mentions every %s', (_, names) => {
    const mentioned = new Set(coded(model).flatMap((code) => code.split(/[^\w+-]+/)));
    expect(names.filter((name) => !mentioned.has(name))).toEqual([]);
  });

  it('gives numbers of references that follow from its formula', () => {
    const rows = tableBelow('docs/model.md', 'How many references').map((row) => row.map(Number));
    expect(rows.length).toBeGreaterThan(4);
    for (const [n, m, g, h, references] of rows)
      expect(references).toBe((n - g + 1) * (m - h + 2) + (m - h + 1));
  });

  it('gives the words of Philox and the Zipf table that the code gives', () => {
    const words = new Uint32Array(4);
    philox(0, 0, 0, 0, 0, 0, words);
    expect(model).toContain([...words].map((word) => word.toString(16).padStart(8, '0')).join(' '));
    const [threshold0, alias0, threshold1, alias1] = zipfTable(2, 1);
    expect(model.replace(/\s+/g, ' ')).toContain(
      `thresholds ${threshold0}, ${threshold1} and aliases ${alias0}, ${alias1}`,
    );
  });
});

describe('docs/architecture.md', () => {
  it('has the layers that are enforced', () => {
    const block = /Imports point down only[\s\S]*?\n\n((?: {4}.*\n)+)/.exec(text('docs/architecture.md'))![1];
    const rows = block
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().split(', ').sort());
    expect(rows).toEqual([...LAYERS].reverse().map((row) => [...row].sort()));
  });

  it('describes every room, and none that is not there', () => {
    const rooms = firstColumn('docs/architecture.md', 'Rooms');
    const inSource = rooms.flatMap((room) => /^src\/([^/.]+)/.exec(room)?.[1] ?? []);
    const real = new Set(textFiles('src').map((name) => name.split('/')[1].replace(/\.ts$/, '')));
    expect(inSource.sort()).toEqual([...real].sort());
  });

  it('has exactly the native files without a twin', () => {
    const alone = textFiles('native/hardware').filter(
      (name) => !existsSync(path.join(ROOT, name.replace(/^native/, 'src').replace(/\.h$/, '.ts'))),
    );
    expect(firstColumn('docs/architecture.md', 'Twins').sort()).toEqual(alone);
  });
});

describe('docs/extending.md', () => {
  const recipes = [...text('docs/extending.md').matchAll(/^## ((?:A|An) .+): (\d+) files$/gm)];
  const filesOf = (name: string): string[] => {
    const recipe = recipes.find(([, title]) => title === name);
    if (!recipe) throw new Error(`no recipe "${name}"`);
    return firstColumn('docs/extending.md', recipe[0].slice(3));
  };

  it.each(recipes.map(([, title, budget]) => [title, Number(budget)] as const))(
    '%s: has %i files, all of which exist',
    (title, budget) => {
      const files = filesOf(title);
      expect(files).toHaveLength(budget);
      expect(files.filter((name) => !existsSync(path.join(ROOT, name)))).toEqual([]);
    },
  );

  /** Something of each kind that is there already, how it is mentioned, and files that only use it. */
  it.each([
    ['A replacement policy', /srrip/i, []],
    ['A counter', /dirtyWalks/i, []],
    ['A pattern', /hotcold/i, ['src/config/named.ts']],
    ['An index', /'xor'|kXor/, ['src/machines/preset.ts', 'src/reproduce/claims/models.ts']],
    ['A machine preset', /opteron-2008/, ['src/reproduce/claims/opteron.ts']],
    [
      'A named workload',
      /xsbench/,
      ['src/reproduce/claims/cascadeLake.ts', 'src/reproduce/claims/models.ts'],
    ],
    ['A trace format', /'champsim'|readChampsim|looksLikeChampsim|\.champsimtrace'/, []],
    ['A command', /walkOnce|renderWalk/, ['src/run/walkGallery.ts', 'src/reproduce/reproduce.ts']],
    ['A scenario', /forkwait/, ['src/cli/scenario.ts', 'src/reproduce/claims/software.ts']],
    ['A cause of the ledger', /unshadowExits/, []],
    ['A published claim', /'C31'/, []],
    [
      'A paging platform',
      /NestedPlatform|PAGING_MODES|'native' \| 'nested'/,
      ['src/run/compare.ts', 'src/cli/options.ts'],
    ],
  ])('%s: one that is there is mentioned in no other file', (title, mention, users) => {
    const code = [...textFiles('src'), ...textFiles('native')];
    const files = new Set(linesMatching(code, mention).map((line) => line.slice(0, line.indexOf(':'))));
    expect(files.size).toBeGreaterThan(0);
    const allowed = [...filesOf(title), ...users];
    expect([...files].filter((name) => !allowed.includes(name))).toEqual([]);
  });
});

describe('docs/glossary.md', () => {
  const rows = text('docs/glossary.md')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| word'))
    .map((line) => line.slice(1, -1).split('|'));

  it('defines no word twice', () => {
    const words = rows.map(([word]) => word.trim());
    expect(words.length).toBeGreaterThan(50);
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
  });

  it('spells words as the code does', () => {
    const code = [
      ...textFiles('src'),
      ...textFiles('native'),
      ...textFiles('bench'),
      ...textFiles('test/oracle'),
    ]
      .map((name) => text(name))
      .join('\n');
    const unused = rows
      .flatMap(([, spelt]) => coded(spelt))
      .filter((name) => !new RegExp(name, 'i').test(code));
    expect(unused).toEqual([]);
  });
});
