/** The figures of a report as files for papers: SVG and PNG of every slice. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { NestwalkError } from '../../errors.ts';
import { makeFolder, reasonOf } from '../../sweep/journal.ts';
import {
  type Choice,
  type Figure,
  firstChoice,
  grouped,
  isDone,
  type Row,
  shown,
  slicesOf,
} from '../browser/figure.js';
import { loadDraw, loadRasteriser, svgFile } from './render.ts';

/** Most slices of one figure that are written; the page shows all. */
const MOST_SLICES = 36;
/** Letters of a file's name. */
const MOST_LETTERS = 100;

/** What was written. */
export interface FigureFiles {
  /** Paths of the files. */
  files: string[];
  /** What the user should know: slices left out, no font. */
  notes: string[];
}

/** Choices of a figure's slices that have finished cells, the first one first. */
function choicesOf(figure: Figure, rows: readonly Row[]): Choice[] {
  const first = firstChoice(figure, rows);
  const slices = slicesOf(figure, first);
  const key = (row: Row): string => JSON.stringify(slices.map(({ column }) => row[column] ?? null));
  const others = grouped(rows.filter(isDone), key).map(
    ([row]): Choice => ({
      ...first,
      slice: Object.fromEntries(slices.map(({ column }) => [column, row[column] ?? null])),
    }),
  );
  const same = (choice: Choice): boolean =>
    slices.every(({ column }) => choice.slice[column] === first.slice[column]);
  return [first, ...others.filter((choice) => !same(choice))];
}

/** A name that every file system takes. */
function fileName(figure: Figure, choice: Choice): string {
  const words = slicesOf(figure, choice).map(
    (field) => `${field.label}-${shown(field, choice.slice[field.column])}`,
  );
  return [figure.id, ...words]
    .map((word) => word.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, ''))
    .filter(Boolean)
    .join('_')
    .slice(0, MOST_LETTERS);
}

/** A name that is not taken yet. */
function freeName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let number = 2; taken.has(name.toLowerCase()); number += 1) name = `${wanted}-${number}`;
  taken.add(name.toLowerCase());
  return name;
}

/**
 * Writes the figures of a report as SVG and PNG.
 * @param folder made if it is not there; files of the same names are replaced
 * @param most slices of one figure
 * @throws {NestwalkError} `report.missing`; `export.file` when a file cannot be written
 */
export async function writeFigures(
  { figures, rows }: { figures: readonly Figure[]; rows: readonly Row[] },
  folder: string,
  most = MOST_SLICES,
): Promise<FigureFiles> {
  const [draw, { png, hasFont }] = await Promise.all([loadDraw(), loadRasteriser()]);
  const files: string[] = [];
  const notes: string[] = [];
  const taken = new Set<string>();
  const write = (name: string, content: string | Uint8Array): void => {
    const file = path.join(folder, name);
    try {
      makeFolder(folder);
      writeFileSync(file, content);
    } catch (cause) {
      throw new NestwalkError('export.file', `${file} cannot be written: ${reasonOf(cause)}`, { cause });
    }
    files.push(file);
  };
  for (const figure of figures) {
    const choices = choicesOf(figure, rows);
    if (choices.length > most)
      notes.push(
        `${figure.title}: the first ${most} of ${choices.length} slices were written; the page shows all`,
      );
    for (const choice of choices.slice(0, most)) {
      const drawn = draw(figure, rows, choice);
      if ('why' in drawn) continue;
      const name = freeName(fileName(figure, choice), taken);
      const svg = svgFile(drawn.svg);
      write(`${name}.svg`, svg);
      write(`${name}.png`, png(svg));
      // A long list of images is written without holding up signals.
      await new Promise(setImmediate);
    }
  }
  if (!hasFont)
    notes.push('there is no font on this machine, so the images have no text: install one, such as DejaVu');
  return { files, notes };
}
