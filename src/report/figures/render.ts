/** Figures as files: SVG by Observable Plot over jsdom, PNG by resvg. All of them are loaded when the first figure is drawn. */
import { NestwalkError } from '../../errors.ts';
import type { Choice, Figure, Row, Shown } from '../browser/figure.js';
import { drawFigure } from '../browser/figures.js';
import { withPaperColours } from '../browser/palette.js';

/** A figure that was drawn, or why there is nothing to draw. */
export type Drawn = { svg: string; shown: Shown } | { why: string };

/** Draws figures, one after the other. */
export type Draw = (figure: Figure, rows: readonly Row[], choice: Choice, width?: number) => Drawn;

const missing = (what: string, cause: unknown): NestwalkError =>
  new NestwalkError(
    'report.missing',
    `${what} cannot be loaded: ${(cause as Error).message.split('\n')[0]}.`,
    {
      cause,
    },
  );

/**
 * Loads what draws figures.
 * @throws {NestwalkError} `report.missing`
 */
export async function loadDraw(): Promise<Draw> {
  const [Plot, { JSDOM }] = await Promise.all([import('@observablehq/plot'), import('jsdom')]).catch(
    (cause) => {
      throw missing('What draws figures (Observable Plot, jsdom)', cause);
    },
  );
  const { document } = new JSDOM('').window;
  return (figure, rows, choice, width) => {
    const drawn = drawFigure(figure, rows, choice, { Plot, document, ...(width ? { width } : {}) });
    if ('why' in drawn) return drawn;
    return { svg: drawn.svg.outerHTML, shown: drawn.shown };
  };
}

/** A drawn figure as a file of its own: light colours, on no ground. */
export const svgFile = (svg: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${withPaperColours(svg)
    .replaceAll('currentColor', withPaperColours('var(--ink)'))
    .replace(/^<svg(?![^>]*xmlns=)/, '<svg xmlns="http://www.w3.org/2000/svg"')}\n`;

/** Pixels of a PNG for each of the SVG: sharp in print at the width of a column. */
const PNG_SCALE = 2;

/** Turns SVG files into PNG images on white. */
export interface Rasteriser {
  /** A PNG of an SVG file. */
  png: (svg: string) => Uint8Array;
  /** Whether there is a font: without one, images have no text. */
  hasFont: boolean;
}

/**
 * Loads what makes PNG images.
 * @throws {NestwalkError} `report.missing`
 */
export async function loadRasteriser(): Promise<Rasteriser> {
  const { Resvg } = await import('@resvg/resvg-js').catch((cause) => {
    throw missing('What makes PNG images (resvg)', cause);
  });
  const font = { loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans', sansSerifFamily: 'DejaVu Sans' };
  const probe = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text y="12">x</text></svg>';
  return {
    hasFont: new Resvg(probe, { font }).getBBox() !== undefined,
    png: (svg) =>
      new Resvg(svg, { background: 'white', fitTo: { mode: 'zoom', value: PNG_SCALE }, font })
        .render()
        .asPng(),
  };
}
