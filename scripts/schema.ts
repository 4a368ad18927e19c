/**
 * Writes `native/schema.h` from `src/schema.ts` (`npm run schema`), or with `--check` says whether the committed
 * header is stale (`npm run schema:check`: exit code 1 and the first line that differs).
 *
 * Names: a field `l1Hits` of the counter block becomes `kCounterL1Hits`; a value `2d+nt` of an enumeration becomes
 * `PwcHolds::k2dNt`. What a list's order means is said once, in `src/schema.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as schema from '../src/schema.ts';

/** Where the generated header is kept. */
export const HEADER_PATH = fileURLToPath(new URL('../native/schema.h', import.meta.url));

const pascal = (name: string): string =>
  name
    .split(/[^A-Za-z0-9]+/)
    .filter((word) => word !== '')
    .map((word) => word[0].toUpperCase() + word.slice(1))
    .join('');

const constant = (name: string, value: number, type = 'std::size_t'): string =>
  `inline constexpr ${type} ${name} = ${value};`;

const quoted = (text: string): string => JSON.stringify(text);

/** `enum class Name : std::uint8_t { kFirst = 0, ... };` and how many values it has. */
function enumeration(name: string, values: Readonly<Record<string, number>>, comment: string): string[] {
  const entries = Object.entries(values);
  return [
    `// ${comment}`,
    `enum class ${name} : std::uint8_t {`,
    ...entries.map(([key, value]) => `  k${pascal(key)} = ${value},`),
    '};',
    constant(`k${name}Count`, entries.length),
    '',
  ];
}

const indexed = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries(names.map((name, index) => [name, index]));

/** First slot of each field, how many slots a field of several has, and the length of the block. */
function block(
  prefix: string,
  fields: readonly (readonly [string, number])[],
  length: number,
  comment: string,
): string[] {
  const lines = [`// ${comment}`];
  let slot = 0;
  for (const [name, slots] of fields) {
    lines.push(constant(`k${prefix}${pascal(name)}`, slot));
    if (slots > 1) lines.push(constant(`k${prefix}${pascal(name)}Slots`, slots));
    slot += slots;
  }
  const [lastName, lastSlots] = fields[fields.length - 1];
  const last = `k${prefix}${pascal(lastName)}`;
  lines.push(
    constant(`k${prefix}Slots`, length),
    `static_assert(${last} + ${lastSlots} == k${prefix}Slots, "the last field must end the block");`,
    '',
  );
  return lines;
}

/** An array of names, for messages and for tests. */
function names(name: string, values: readonly string[]): string[] {
  return [`inline constexpr const char* ${name}[] = {${values.map(quoted).join(', ')}};`];
}

function array(name: string, values: readonly number[], type: string): string {
  return `inline constexpr ${type} ${name}[] = {${values.join(', ')}};`;
}

function geometry(): string[] {
  return [
    '// Page sizes: a page-size index is an index into these lists.',
    constant('kPageSizes', schema.PAGE_SIZES.length),
    ...names('kPageSizeNames', schema.PAGE_SIZES),
    array('kPageShift', schema.PAGE_SHIFT, 'unsigned'),
    array(
      'kPageBytes',
      schema.PAGE_SIZES.map((size) => schema.PAGE_BYTES[size]),
      'std::uint64_t',
    ),
    'static_assert(kPageBytes[0] == std::uint64_t{1} << kPageShift[0]);',
    'static_assert(kPageBytes[1] == std::uint64_t{1} << kPageShift[1]);',
    'static_assert(kPageBytes[2] == std::uint64_t{1} << kPageShift[2]);',
    '',
    '// Page tables.',
    constant('kMinTableLevels', schema.MIN_TABLE_LEVELS),
    constant('kMaxTableLevels', schema.MAX_TABLE_LEVELS),
    constant('kEntriesPerTable', schema.ENTRIES_PER_TABLE),
    'static_assert(kEntriesPerTable * 8 == kPageBytes[0], "a table is one 4 KiB page of 8-byte entries");',
    constant('kMaxCaches', schema.MAX_CACHES),
    '',
    '// Bits of an entry; all lie in its low half.',
    ...Object.entries(schema.ENTRY).map(([key, bit]) =>
      constant(`kEntry${pascal(key)}`, bit, 'std::uint32_t'),
    ),
    '',
  ];
}

function matrix(): string[] {
  return [
    '// The reference matrix: position = row * kColumns + column.',
    constant('kRows', schema.ROWS.length),
    constant('kColumns', schema.COLUMNS.length),
    constant('kPositions', schema.POSITIONS),
    ...names('kRowNames', schema.ROWS),
    ...names('kColumnNames', schema.COLUMNS),
    constant('kRowPt', schema.ROW_PT),
    constant('kRowGpa', schema.ROW_GPA),
    constant('kColumnG', schema.COLUMN_G),
    `constexpr std::size_t row_of_guest_level(std::size_t level) { return ${schema.rowOfGuestLevel(0)} - level; }`,
    `constexpr std::size_t column_of_level(std::size_t level) { return ${schema.columnOfLevel(0)} - level; }`,
    ...[1, schema.MAX_TABLE_LEVELS].flatMap((level) => [
      `static_assert(row_of_guest_level(${level}) == ${schema.rowOfGuestLevel(level)});`,
      `static_assert(column_of_level(${level}) == ${schema.columnOfLevel(level)});`,
    ]),
    'static_assert(kPositions == kRows * kColumns);',
    'static_assert(kRowGpa == kRows - 1 && kColumnG == kColumns - 1);',
    '',
  ];
}

function enumerations(): string[] {
  return [
    ...enumeration(
      'AccessKind',
      indexed(schema.ACCESS_KINDS),
      'What an access does: bits 12 and 13 of its word.',
    ),
    constant('kKindShift', schema.KIND_SHIFT, 'unsigned'),
    'static_assert(kKindShift == kPageShift[0], "the offset in a 4 KiB page fills the bits below the kind");',
    '',
    ...enumeration('Replacement', indexed(schema.REPLACEMENTS), 'Replacement policies.'),
    ...enumeration('Indexing', indexed(schema.INDEXINGS), 'How a TLB array picks the set of a page.'),
    ...enumeration('NtlbHolds', indexed(schema.NTLB_HOLDS), 'What a nested TLB holds.'),
    ...enumeration('PwcHolds', indexed(schema.PWC_HOLDS), 'What a page-walk cache holds.'),
    ...enumeration('Purpose', schema.PURPOSES, 'Philox purposes: the last word of the counter.'),
    ...enumeration('Pattern', indexed(schema.PATTERNS), 'Access patterns.'),
    ...enumeration('RunStatus', indexed(schema.RUN_STATUS), 'Why a stream stopped.'),
  ];
}

function blocks(): string[] {
  const caches = 'kMaxCaches + 1';
  return [
    ...block(
      'Counter',
      schema.COUNTER_FIELDS,
      schema.COUNTER_SLOTS,
      'Counter block: doubles holding integers.',
    ),
    'static_assert(kCounterRefsSlots == kPositions && kCounterFaultRefsSlots == kPositions);',
    'static_assert(kCounterPwcHitsSlots == kPositions && kCounterPwcMissesSlots == kPositions);',
    'static_assert(kCounterNtlbHitsSlots == kRows && kCounterNtlbMissesSlots == kRows);',
    `static_assert(kCounterRefHitsSlots == 2 * (${caches}) && kCounterDataHitsSlots == ${caches});`,
    '',
    constant('kArraysPerSide', schema.ARRAYS_PER_SIDE),
    constant('kArraySlots', schema.ARRAY_SLOTS),
    constant('kCacheSlots', schema.CACHE_SLOTS),
    ...block(
      'Machine',
      schema.MACHINE_FIELDS,
      schema.MACHINE_SLOTS,
      'Machine block: doubles; 0 stands for "none".',
    ),
    'static_assert(kMachineL1dSlots == kArraysPerSide * kArraySlots);',
    'static_assert(kMachineL1iSlots == kMachineL1dSlots && kMachineStlbSlots == kMachineL1dSlots);',
    'static_assert(kMachineCachesSlots == kMaxCaches * kCacheSlots);',
    '',
    ...block('Context', schema.CONTEXT_FIELDS, schema.CONTEXT_SLOTS, 'Context block: roots, tags, zones.'),
    ...block('Fault', schema.FAULT_FIELDS, schema.FAULT_SLOTS, 'Fault block: what stopped a stream.'),
    '// Workload block.',
    constant('kComponentSlots', schema.COMPONENT_SLOTS),
  ];
}

/** The whole header as text. */
export function header(): string {
  return `${[
    '// Generated from src/schema.ts by `npm run schema`. Do not edit: `npm run schema:check` compares.',
    '// clang-format off',
    '#pragma once',
    '',
    '#include <cstddef>',
    '#include <cstdint>',
    '',
    'namespace nestwalk::schema {',
    '',
    '// Digest of the definition; the loader refuses an addon that carries another.',
    `inline constexpr char kFingerprint[] = ${quoted(schema.SCHEMA_FINGERPRINT)};`,
    'static_assert(sizeof kFingerprint == 17, "16 hexadecimal digits");',
    '',
    ...geometry(),
    ...matrix(),
    ...enumerations(),
    ...blocks(),
    '',
    '}  // namespace nestwalk::schema',
  ].join('\n')}\n`;
}

/** Number and text of the first line of `committed` that differs from `expected`; undefined when none does. */
export function staleLine(committed: string, expected: string): { line: number; text: string } | undefined {
  if (committed === expected) return undefined;
  const [have, want] = [committed.split('\n'), expected.split('\n')];
  const at = want.findIndex((text, index) => text !== have[index]);
  return at < 0 ? { line: want.length + 1, text: '(end of file)' } : { line: at + 1, text: want[at] };
}

function main(): void {
  const expected = header();
  if (!process.argv.includes('--check')) {
    writeFileSync(HEADER_PATH, expected);
    return;
  }
  const stale = staleLine(readFileSync(HEADER_PATH, 'utf8'), expected);
  if (stale === undefined) return;
  console.error(
    `native/schema.h is stale: line ${stale.line} should read\n  ${stale.text}\nRun \`npm run schema\`.`,
  );
  process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
