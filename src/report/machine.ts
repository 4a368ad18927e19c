/** A machine preset as text: each of its numbers with its source. */
import { type MachinePreset, sourcePath } from '../machines/preset.ts';
import { bytes } from './format.ts';
import { type Style, visibleWidth } from './table.ts';

/** One value of a machine: the structure that it is of, its name there, and itself; `undefined` for what is not there. */
interface Leaf {
  readonly structure: string;
  readonly field: string;
  readonly value: number | string | boolean | undefined;
}

/** All values below a field, in their order. */
function leaves(value: unknown, structure: string, field: string): Leaf[] {
  const path = structure === '' || field.startsWith('[') ? structure + field : `${structure}.${field}`;
  if (value === null || (Array.isArray(value) && value.length === 0))
    return [{ structure, field, value: undefined }];
  if (Array.isArray(value) && typeof value[0] === 'string')
    return [{ structure, field, value: value.join(', ') }];
  if (typeof value !== 'object') return [{ structure, field, value: value as number }];
  return Object.entries(value).flatMap(([key, inner]) =>
    leaves(inner, path, Array.isArray(value) ? `[${key}]` : key),
  );
}

const plural = (many: unknown, noun: string, nouns = `${noun}s`): string =>
  `${many} ${many === 1 ? noun : nouns}`;

/** What values of one structure say: `64/4 4KiB`, where they are of one source, else each by itself. */
function words(fields: ReadonlyMap<string, Leaf['value']>): string {
  const { entries, ways, sizes, size, line, holds, index, latency } = Object.fromEntries(fields);
  const lineText = line === undefined ? '' : `/${bytes(Number(line))}`;
  const parts: string[] = [];
  if (entries !== undefined && ways !== undefined) parts.push(`${entries}/${ways}`);
  else if (entries !== undefined) parts.push(plural(entries, 'entry', 'entries'));
  else if (size !== undefined && ways !== undefined) parts.push(`${bytes(Number(size))}/${ways}${lineText}`);
  else if (size !== undefined) parts.push(bytes(Number(size)));
  else if (ways !== undefined) parts.push(plural(ways, 'way'));
  else if (line !== undefined) parts.push(`lines of ${bytes(Number(line))}`);
  if (sizes !== undefined) parts.push(String(sizes).replaceAll(', ', '+'));
  if (index !== undefined) parts.push(`index ${index}`);
  if (holds !== undefined) parts.push(`holds ${holds}`);
  if (latency !== undefined) parts.push(plural(latency, 'cycle'));
  return parts.join(' ');
}

function ownValue({ field, value }: Leaf): string {
  if (value === undefined) return 'none';
  return field.endsWith('Latency') ? plural(value, 'cycle') : String(value);
}

/** Values that have one source: `l2 32/4, l3 4/4, 1 cycle`. */
function summary(path: string, owned: readonly Leaf[], nameOf: (structure: string) => string): string {
  if (path === 'replacement') return [...new Set(owned.map(({ value }) => value))].join(', ');
  const structures = new Map<string, Map<string, Leaf['value']>>();
  for (const { structure, field, value } of owned) {
    const fields = structures.get(structure) ?? new Map<string, Leaf['value']>();
    structures.set(structure, fields.set(field, value));
  }
  return [...structures]
    .map(([structure, fields]) => {
      if (structure === '') return owned.map(ownValue).join(', ');
      const name = path.startsWith(structure) ? '' : nameOf(structure);
      return [name, words(fields)].filter((part) => part !== '').join(' ');
    })
    .join(', ');
}

/** The path that a value's source stands under: replacement policies have one for all arrays. */
const ownerOf = (preset: MachinePreset, { structure, field }: Leaf): string => {
  if (field === 'replacement') return 'replacement';
  const path = structure === '' ? field : `${structure}.${field}`;
  return sourcePath(preset, path) ?? path;
};

/** The numbers of each source with the source below them, and what is not modelled. */
export function renderPreset(preset: MachinePreset, style: Style): string {
  const { name, title, machine, sources, lost } = preset;
  const groups = new Map<string, Leaf[]>();
  for (const leaf of Object.entries(machine).flatMap(([field, value]) => leaves(value, '', field))) {
    // A cache's name is no number: it heads the others.
    if (leaf.field === 'name') continue;
    const owner = ownerOf(preset, leaf);
    groups.set(owner, [...(groups.get(owner) ?? []), leaf]);
  }
  // What holds for all arrays stands behind them all.
  const policies = groups.get('replacement') ?? [];
  groups.delete('replacement');
  if (policies.length > 0) groups.set('replacement', policies);
  const nameOf = (structure: string): string => {
    const cache = /^caches\[(\d+)\]$/.exec(structure);
    return cache ? machine.caches[Number(cache[1])]!.name : (/\.(\w+)$/.exec(structure)?.[1] ?? '');
  };
  const width = Math.max(...[...groups.keys()].map(visibleWidth)) + 2;
  const rows = [...groups].map(([path, owned]) => {
    const source = style.faint(sources[path] ?? 'no source');
    return `${path.padEnd(width)}${summary(path, owned, nameOf)}\n${' '.repeat(width)}${source}`;
  });
  const heading = `${style.strong(`${name}: ${title}`)} ${style.faint('(entries/ways, size/ways/line)')}`;
  const missing = lost.length > 0 ? [`Not modelled:\n${lost.map((line) => `  ${line}`).join('\n')}`] : [];
  return [heading, ...rows, ...missing].join('\n');
}
