/** The name that was probably meant; null when nothing is close (more than a third of it differs). */
export function nearest(asked: string, names: string[]): string | null {
  // No name of ours is so long, and the comparison takes its time.
  if (asked.length > 100) return null;
  const wanted = asked.toLowerCase();
  const [best] = names.map((name) => ({ name, far: distance(wanted, name.toLowerCase()) })).sort((a, b) => a.far - b.far);
  return best && best.far <= Math.max(2, Math.floor(wanted.length / 3)) ? best.name : null;
}

/** Edits (insert, delete, replace) between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] ?? 0;
}
