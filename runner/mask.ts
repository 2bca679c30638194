import type { SpoolRecord } from "../contracts/runner-protocol.ts";

type Delta = Extract<SpoolRecord, { kind: "delta" }>;

/** Takes secrets out of what is written down. */
export interface Mask {
  /** plain text, or a line of JSON */
  text(text: string): string;
  /** The records to write instead: a delta that ends with what may be the beginning of a secret is held back to there until the next record. */
  records(record: SpoolRecord): SpoolRecord[];
}

const instead = "[secret]";
/** A shorter value is no secret, and would take words out of every text. Characters. */
const shortest = 6;
/** A line of a secret that has several. */
const shortestLine = 16;

/** Masks these values, also as JSON writes them. */
export function maskOf(secrets: readonly string[]): Mask {
  const values = secrets
    .flatMap((secret) => [secret, ...(secret.includes("\n") ? secret.split("\n").filter((line) => line.length >= shortestLine) : [])])
    .filter((value) => value.length >= shortest);
  const known = [...new Set([...values, ...values.map((value) => JSON.stringify(value).slice(1, -1))])].toSorted((a, b) => b.length - a.length);
  if (known.length === 0) return { text: (text) => text, records: (record) => [record] };
  const pattern = new RegExp(known.map((value) => value.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  const text = (whole: string): string => whole.replace(pattern, instead);
  let held: Delta | null = null;

  return {
    text,
    records(record) {
      const before = held;
      held = null;
      if (record.kind !== "delta") return before ? [before, record] : [record];
      const same = before !== null && before.itemId === record.itemId && before.stream === record.stream;
      const whole = text((same ? before.text : "") + record.text);
      const kept = whole.length - beginning(whole, known);
      if (kept < whole.length) held = { ...record, text: whole.slice(kept) };
      return [...(before && !same ? [before] : []), ...(kept > 0 ? [{ ...record, text: whole.slice(0, kept) }] : [])];
    },
  };
}

/** Length of the longest end of a text that is the beginning of one of the values, not all of it. */
function beginning(text: string, values: string[]): number {
  const longest = Math.min(text.length, (values[0]?.length ?? 1) - 1);
  for (let length = longest; length > 0; length -= 1) {
    const end = text.slice(-length);
    if (values.some((value) => value.length > length && value.startsWith(end))) return length;
  }
  return 0;
}
