/**
 * Tips over the marks of figures: by pointer, by finger and by keyboard. A mark's text is its `<title>`, which browsers show
 * by themselves, late, where this script does not run.
 */

/** Pixels from a mark in which a pointer finds it. */
const REACH = 28;

/** @type {HTMLElement | undefined} */
let bubble;

function tipBubble() {
  bubble ??= Object.assign(document.createElement('div'), { className: 'tip', hidden: true });
  bubble.setAttribute('role', 'status');
  if (!bubble.isConnected) document.body.append(bubble);
  return bubble;
}

/** @type {Element | undefined} */
let lit;

/** Hides the tip. */
export function hideTip() {
  lit?.classList.remove('lit');
  lit = undefined;
  if (bubble) bubble.hidden = true;
}

/** @param {Element} mark */
function showTip(mark) {
  if (mark === lit) return;
  hideTip();
  lit = mark;
  mark.classList.add('lit');
  const tip = tipBubble();
  tip.textContent = mark.getAttribute('data-tip');
  tip.hidden = false;
  const at = mark.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.max(8, Math.min(innerWidth - width - 8, at.left + at.width / 2 - width / 2));
  const above = at.top - height - 10;
  tip.style.left = `${left}px`;
  tip.style.top = `${above >= 8 ? above : Math.min(innerHeight - height - 8, at.bottom + 10)}px`;
}

/** @param {Element} holder */
const marksOf = (holder) => [...holder.querySelectorAll('[data-tip]')];

/**
 * The mark under a point, else the nearest in reach.
 * @param {Element} holder
 * @param {PointerEvent} event
 */
function markAt(holder, event) {
  const under = event.target instanceof Element ? event.target.closest('[data-tip]') : null;
  if (under) return under;
  let best;
  let least = REACH;
  for (const mark of marksOf(holder)) {
    const { left, top, width, height } = mark.getBoundingClientRect();
    const far = Math.hypot(left + width / 2 - event.clientX, top + height / 2 - event.clientY);
    if (far < least) [best, least] = [mark, far];
  }
  return best;
}

/**
 * Moves the texts of marks to where tips read them, so that browsers do not show them a second time.
 * @param {Element} holder
 */
export function takeTitles(holder) {
  for (const title of holder.querySelectorAll('svg title')) {
    title.parentElement?.setAttribute('data-tip', title.textContent ?? '');
    title.remove();
  }
}

/**
 * The mark that a key leads to.
 * @param {Element} holder
 * @param {string} key
 */
function markByKey(holder, key) {
  const marks = marksOf(holder);
  if (marks.length === 0) return undefined;
  const now = lit ? marks.indexOf(lit) : -1;
  const last = marks.length - 1;
  if (key === 'ArrowRight' || key === 'ArrowDown') return marks[Math.min(last, now + 1)];
  if (key === 'ArrowLeft' || key === 'ArrowUp') return marks[Math.max(0, now < 0 ? last : now - 1)];
  if (key === 'Home') return marks[0];
  return key === 'End' ? marks[last] : undefined;
}

/**
 * Shows tips over the marks of a figure, also of drawings that replace the first one: arrow keys, Home and End step through
 * them, Escape hides.
 * @param {HTMLElement} holder of the drawing
 */
export function workTips(holder) {
  takeTitles(holder);
  holder.addEventListener('pointermove', (event) => {
    const mark = markAt(holder, event);
    if (mark) showTip(mark);
    else hideTip();
  });
  holder.addEventListener('pointerleave', hideTip);
  holder.addEventListener('blur', hideTip);
  holder.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') return hideTip();
    const mark = markByKey(holder, event.key);
    if (!mark) return;
    event.preventDefault();
    mark.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    showTip(mark);
  });
}

addEventListener('scroll', hideTip, { passive: true });
