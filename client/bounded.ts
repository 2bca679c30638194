/** Default and largest size of a result. Bytes. */
export const defaultBytes = 32_768;
export const mostBytes = 204_800;

/** What is no longer than this is never cut. Characters of a text, bytes of anything else. */
const shortest = 500;

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

/** Within `maxBytes`: the longest of the named parts are cut (text) or said by their size alone, each marked under `truncated`. `resource`: where they are whole. */
export function cutParts(data: Record<string, unknown>, parts: string[], a: { maxBytes?: number; resource?: string } = {}): Record<string, unknown> {
  const budget = Math.min(a.maxBytes ?? defaultBytes, mostBytes);
  const marks: Record<string, unknown> = {};
  const result = { ...data };
  for (const part of parts.toSorted((one, other) => sizeOf(data[other]) - sizeOf(data[one]))) {
    const over = sizeOf(result) - budget;
    if (over <= 0) break;
    const value = result[part];
    if (typeof value === "string" ? value.length <= shortest : sizeOf(value) <= shortest) continue;
    const bytes = typeof value === "string" ? Buffer.byteLength(value) : sizeOf(value);
    marks[part] = { truncated: true, bytes, ...(a.resource === undefined ? {} : { resource: a.resource }) };
    result[part] = typeof value === "string" ? value.slice(0, Math.max(shortest, value.length - over - 200)).toWellFormed() : null;
  }
  return Object.keys(marks).length > 0 ? { ...result, truncated: marks } : result;
}
