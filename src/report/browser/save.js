/** Saving what a page shows: text, figures as SVG and as PNG. */
import { withPaperColours } from './palette.js';

/** Pixels of a PNG for each of the drawing. */
const PNG_SCALE = 2;

/**
 * Gives the reader a file.
 * @param {string} name
 * @param {Blob} blob
 */
export function saveBlob(name, blob) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Not at once: the browser begins to read after this returns.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {string} name @param {string} text @param {string} type */
export const saveText = (name, text, type) => saveBlob(name, new Blob([text], { type }));

/**
 * A figure as a file of its own: light colours, on no ground, marks with their texts.
 * @param {SVGElement} figure
 */
export function svgText(figure) {
  const copy = /** @type {SVGElement} */ (figure.cloneNode(true));
  for (const mark of copy.querySelectorAll('[data-tip]')) {
    const title = document.createElementNS('http://www.w3.org/2000/svg', 'title');
    title.textContent = mark.getAttribute('data-tip');
    mark.removeAttribute('data-tip');
    mark.classList.remove('lit');
    mark.append(title);
  }
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  const text = withPaperColours(new XMLSerializer().serializeToString(copy));
  return `<?xml version="1.0" encoding="UTF-8"?>\n${text.replaceAll('currentColor', withPaperColours('var(--ink)'))}\n`;
}

/**
 * A figure as a PNG on white.
 * @param {SVGElement} figure
 * @returns {Promise<Blob>}
 */
export async function pngBlob(figure) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(figure))}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = PNG_SCALE * image.naturalWidth;
  canvas.height = PNG_SCALE * image.naturalHeight;
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser draws no images');
  context.fillStyle = 'white';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no image was made'))), 'image/png');
  });
}
