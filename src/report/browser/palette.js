/** The colours of pages and figures, by what they are for. A page has them as custom properties, `var(--s1)`. */

/** How many series have a colour of their own. */
export const SERIES = 8;

/** Light colours, on a screen and on paper. The series differ in lightness too, so that a print without colours tells them apart. */
export const LIGHT = {
  paper: '#ffffff',
  raised: '#f5f6f8',
  ink: '#1b1f24',
  soft: '#57606a',
  line: '#d3d9e0',
  accent: '#1f5fbf',
  focus: '#b35900',
  good: '#1a7f37',
  bad: '#c0262d',
  mark: '#fff3c4',
  s1: '#1f5fbf',
  s2: '#d9730d',
  s3: '#1c7c54',
  s4: '#d4659a',
  s5: '#6a4bb8',
  s6: '#a98a14',
  s7: '#0e7f95',
  s8: '#8a929e',
};

/** Colours on a dark ground, by the same names. */
export const DARK = {
  paper: '#14171b',
  raised: '#1e2329',
  ink: '#e8ebef',
  soft: '#a2abb6',
  line: '#3a424c',
  accent: '#7fb0ff',
  focus: '#ffb454',
  good: '#57c875',
  bad: '#ff7b7f',
  mark: '#4a3d10',
  s1: '#6ea8ff',
  s2: '#f2994a',
  s3: '#56c48a',
  s4: '#f0709a',
  s5: '#b193f5',
  s6: '#d0b04c',
  s7: '#4fc3d6',
  s8: '#9aa3af',
};

/**
 * Relative luminance (WCAG 2.2).
 * @param {readonly number[]} colour red, green, blue, 0 to 255
 */
function luminance(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/**
 * Black or white, whichever stands out more: the contrast is 4.5 or more on any colour.
 * @param {readonly number[]} colour red, green, blue, 0 to 255
 */
export const inkOn = (colour) =>
  (luminance(colour) + 0.05) / 0.05 > 1.05 / (luminance(colour) + 0.05) ? '#000000' : '#ffffff';

/** @param {string} hex `#rrggbb` */
const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

/**
 * All custom properties of a set of colours: its own, and `on1` … `on8` for text on the colours of series.
 * @param {Record<string, string>} colours
 * @returns {Record<string, string>}
 */
export const properties = (colours) => ({
  ...colours,
  ...Object.fromEntries(
    Array.from({ length: SERIES }, (_, at) => [`on${at + 1}`, inkOn(channels(colours[`s${at + 1}`]))]),
  ),
});

/**
 * A figure's markup with the light colours themselves instead of the page's properties: for files and for paper.
 * @param {string} markup
 */
export function withPaperColours(markup) {
  const colours = properties(LIGHT);
  return markup.replace(/var\(--([a-z]\w*)\)/g, (whole, name) => colours[name] ?? whole);
}
