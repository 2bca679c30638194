import type { SpoolRecord } from "../contracts/runner-protocol.ts";
import { secretTexts, textMask } from "../contracts/text-mask.ts";
import type { TextMask } from "../contracts/text-mask.ts";

type Delta = Extract<SpoolRecord, { kind: "delta" }>;

/** Takes secrets out of what is written down. */
export interface Mask {
  text: TextMask;
  /** The records to write instead: a delta that ends with what may be the beginning of a secret is held back to there until its item says more or ends. */
  records(record: SpoolRecord): SpoolRecord[];
}

/** Of items that are held back at once: more are put out as they are, the oldest first. */
const mostHeld = 64;

export function maskOf(secrets: readonly string[]): Mask {
  const known = secretTexts(secrets);
  const text = textMask(secrets);
  if (known.length === 0) return { text, records: (record) => [record] };
  // By item: others speak between two pieces of one.
  const held = new Map<string, Delta>();
  const putOut = (which: (one: Delta) => boolean): Delta[] => {
    const out = [...held].filter(([, one]) => which(one));
    for (const [key] of out) held.delete(key);
    return out.map(([, one]) => one);
  };

  return {
    text,
    records(record) {
      if (record.kind !== "delta") return [...putOut((one) => endsItem(record, one.itemId)), record];
      const key = `${record.stream} ${record.itemId}`;
      const whole = text((held.get(key)?.text ?? "") + record.text);
      const kept = whole.length - beginning(whole, known);
      held.delete(key);
      if (kept < whole.length) held.set(key, { ...record, text: whole.slice(kept) });
      const oldest = held.size > mostHeld ? held.values().next().value : undefined;
      return [...(oldest ? putOut((one) => one === oldest) : []), ...(kept > 0 ? [{ ...record, text: whole.slice(0, kept) }] : [])];
    },
  };
}

/** Is nothing more said of the item after this record? */
function endsItem(record: Exclude<SpoolRecord, Delta>, itemId: string): boolean {
  if (record.kind === "mark") return record.mark === "turn.ended";
  const { type, itemId: its } = record.event;
  return type === "process.exited" || (its === itemId && type.endsWith(".completed"));
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
