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

/** Cuts every string in a value that is longer than `length` characters, and marks it. */
export function cutTexts<T>(value: T, length: number): T {
  if (typeof value === "string") return (value.length <= length ? value : `${value.slice(0, length)}… [cut, ${Buffer.byteLength(value)} bytes]`) as T;
  if (Array.isArray(value)) return value.map((item) => cutTexts(item as unknown, length)) as T;
  if (value !== null && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, v]) => [name, cutTexts(v as unknown, length)])) as T;
  return value;
}
