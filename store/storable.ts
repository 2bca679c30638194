import { storableText } from "../contracts/storable-text.ts";

export { storableText };

const maxDepth = 64;

/**
 * A value that Postgres's jsonb takes: NUL and lone surrogates become U+FFFD, deeper than 64 is said in a word, and the
 * longest texts are cut (and say so) until the whole has at most `maxBytes` of JSON.
 */
export function storable<T>(value: T, maxBytes = 1_048_576): T {
  const clean = cleaned(value, 0, Infinity);
  if (bytes(clean) <= maxBytes) return clean as T;
  for (let limit = maxBytes >> 1; limit >= 64; limit >>= 1) {
    const cut = cleaned(clean, 0, limit);
    if (bytes(cut) <= maxBytes) return cut as T;
  }
  return { cut: `[${bytes(clean)} bytes, too many parts to keep]` } as T;
}

function cleaned(value: unknown, depth: number, limit: number): unknown {
  if (typeof value === "string") {
    const text = storableText(value);
    return text.length <= limit ? text : `${text.slice(0, limit).toWellFormed()}… [cut: ${Buffer.byteLength(text)} bytes in all]`;
  }
  if (value === null || typeof value !== "object") return value;
  if (depth >= maxDepth) return "[too deep]";
  if (Array.isArray(value)) return value.map((item) => cleaned(item, depth + 1, limit));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [storableText(key), cleaned(item, depth + 1, limit)]));
}

function bytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? "");
}
