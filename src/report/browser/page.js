/** What every page has: the data embedded in it, and the switch between light and dark. */

/**
 * Data that the page carries.
 * @param {string} id of its element
 * @returns {any}
 */
export function embedded(id) {
  return JSON.parse(document.getElementById(id)?.textContent ?? 'null');
}

const COLOURS_KEY = 'nestwalk-colours';

/** Whether the page is dark now, by the reader's choice here or else by their system. */
function isDark() {
  const chosen = document.documentElement.dataset.colours;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

/** What is kept may not be there: a browser can forbid it, and does for some files. */
function keptColours() {
  try {
    return localStorage.getItem(COLOURS_KEY);
  } catch {
    return null;
  }
}

/** @param {string} colours */
function keepColours(colours) {
  try {
    localStorage.setItem(COLOURS_KEY, colours);
  } catch {
    // The choice holds for this page alone.
  }
}

/** Makes the button switch the colours, and say what it switches to. */
function workColours() {
  const button = document.getElementById('colours');
  if (!button || button.dataset.works) return;
  button.dataset.works = 'yes';
  const kept = keptColours();
  if (kept === 'dark' || kept === 'light') document.documentElement.dataset.colours = kept;
  const label = () => {
    button.textContent = isDark() ? 'Light' : 'Dark';
    button.title = `Switch to ${isDark() ? 'light' : 'dark'} colours`;
  };
  button.addEventListener('click', () => {
    const next = isDark() ? 'light' : 'dark';
    document.documentElement.dataset.colours = next;
    keepColours(next);
    label();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', label);
  label();
  button.hidden = false;
}

workColours();
