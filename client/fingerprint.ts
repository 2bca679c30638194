import { createHash } from "node:crypto";

/** Arguments that say how to answer, not what to do. */
const aside = ["clientRequestId", "waitMs", "maxBytes"];
/** What is somebody else's material, whatever its keys are called. */
const material = ["config", "labels", "env", "answers"];

/**
 * Hash of a call's parsed arguments before defaults; equal calls have equal ones whatever the order of their keys, and whether or not an
 * actor or handle has its `@`. A dry run's is that of the call itself. `former`: the hash that calls were recorded with before.
 */
export function fingerprint(args: Record<string, unknown>): { fingerprint: string; former: string } {
  const kept = without(args, aside);
  return { fingerprint: `v2:${hash(named(without(kept, ["dryRun"])))}`, former: `v1:${hash(kept)}` };
}

const without = (args: Record<string, unknown>, names: string[]) => Object.fromEntries(Object.entries(args).filter(([name]) => !names.includes(name)));
const hash = (value: unknown): string => createHash("sha256").update(canonical(value)).digest("hex");

/** The same with handles as they are compared: without a leading `@`. */
function named(value: unknown, name = ""): unknown {
  if (material.includes(name)) return value;
  if (typeof value === "string") return /^actor$|Handles?$/.test(name) ? value.replace(/^@/, "") : value;
  if (Array.isArray(value)) return value.map((one) => named(one, name));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, named(one, key)]));
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
