import { sizeOf } from "./bounded.ts";

/** How much of a value is kept: bytes of a text as JSON, items of a list or record, levels. */
export interface Room {
  text: number;
  items: number;
  depth: number;
}

/** The same value with long texts, lists and records cut; each cut says so in its place. */
export function shrink(value: unknown, room: Room): unknown {
  if (typeof value === "string") return shortText(value, room.text);
  if (typeof value !== "object" || value === null) return value;
  if (room.depth === 0) return "…";
  const below = { ...room, depth: room.depth - 1 };
  if (Array.isArray(value)) {
    const kept = value.slice(0, room.items).map((one) => shrink(one, below));
    return kept.length < value.length ? [...kept, `… [${value.length - kept.length} more]`] : kept;
  }
  const entries = Object.entries(value);
  const kept = entries.slice(0, room.items).map(([name, one]) => [shortText(name, room.text), shrink(one, below)]);
  return Object.fromEntries(kept.length < entries.length ? [...kept, ["…", `${entries.length - kept.length} more`]] : kept);
}

function shortText(text: string, bytes: number): string {
  if (sizeOf(text) <= bytes) return text;
  let kept = text.slice(0, bytes);
  for (let size = sizeOf(kept); size > bytes; size = sizeOf(kept)) kept = kept.slice(0, Math.min(kept.length - 1, Math.floor((kept.length * bytes) / size)));
  return `${kept.toWellFormed()}… [${text.length - kept.length} characters more]`;
}
