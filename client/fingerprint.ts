import { createHash } from "node:crypto";

/** Arguments that say how to answer, not what to do. */
const aside = new Set(["clientRequestId", "waitMs", "maxBytes"]);

/** Hash of a call's parsed arguments before defaults; equal calls have equal ones whatever the order of their keys. `v1:` lets a later rule live beside this one. */
export function fingerprint(args: Record<string, unknown>): string {
  const kept = Object.fromEntries(Object.entries(args).filter(([name]) => !aside.has(name)));
  return `v1:${createHash("sha256").update(canonical(kept)).digest("hex")}`;
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined && v !== null);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([name, v]) => `${JSON.stringify(name)}:${canonical(v)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
