/** Default and largest size of a result. Bytes. */
export const defaultBytes = 32_768;
export const mostBytes = 204_800;

/** JSON size of a value. Bytes. */
export function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? "");
}

/** As many items from the front as fit; always at least one, so that a reader gets on. */
export function fitting<T>(items: T[], maxBytes: number): { kept: T[]; truncated: boolean } {
  let used = 0;
  const kept: T[] = [];
  for (const item of items) {
    used += sizeOf(item) + 1;
    if (used > maxBytes && kept.length > 0) break;
    kept.push(item);
  }
  return { kept, truncated: kept.length < items.length };
}
