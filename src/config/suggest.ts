/** "Did you mean …?" for names that are nearly right. */

/** Edit distance in which swapped neighbours count as one edit (Damerau 1964, restricted form). */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...new Array<number>(b.length).fill(0)]);
  for (let j = 0; j <= b.length; j++) rows[0][j] = j;
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differs);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2][j - 2] + 1);
      rows[i][j] = best;
    }
  return rows[a.length][b.length];
}

const plain = (name: string): string => name.toLowerCase().replace(/[\s_-]/g, '');

/** The candidate nearest to what was given, if one is near enough to be meant: a third of the letters may differ. */
export function nearest(given: string, candidates: readonly string[]): string | undefined {
  if (given.length > 60) return undefined;
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const edits = distance(plain(given), plain(candidate));
    if (edits < bestDistance) [best, bestDistance] = [candidate, edits];
  }
  const letters = plain(given).length;
  // Of two letters or fewer one that differs is half the name, as `l6` of `l2`: no slip of the pen.
  const allowed = letters <= 2 ? 0 : Math.max(1, Math.floor(Math.max(letters, best?.length ?? 0) / 3));
  return bestDistance <= allowed ? best : undefined;
}

/** `; did you mean "x"?` to append to a message, or nothing. */
export function didYouMean(given: string, candidates: readonly string[]): string {
  const candidate = nearest(given, candidates);
  return candidate === undefined ? '' : `; did you mean "${candidate}"?`;
}
