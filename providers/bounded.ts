import type { TextMask } from "../contracts/text-mask.ts";

/** Characters of one text that an agent says piece by piece: what follows is counted, not kept. */
const textCap = 1 << 20;
/** Characters of a secret, at most. */
const mayBeHalf = 4_096;

/** A text that grows in pieces and takes a bounded room, whatever an agent says. */
export interface GrowingText {
  readonly kept: string;
  readonly dropped: number;
}

export const noText: GrowingText = { kept: "", dropped: 0 };

export function grown(text: GrowingText, piece: string): GrowingText {
  const room = textCap - text.kept.length;
  if (piece.length <= room) return { kept: text.kept + piece, dropped: text.dropped };
  return { kept: room > 0 ? text.kept + piece.slice(0, room) : text.kept, dropped: text.dropped + piece.length - Math.max(0, room) };
}

/** Of a text that was cut the last of what is left goes too: it may be the half of a secret, which no mask knows. */
export function whole({ kept, dropped }: GrowingText, mask: TextMask): string {
  return dropped === 0 ? kept : `${mask(kept).slice(0, -mayBeHalf)}\u2026 [${dropped + mayBeHalf} characters more]`;
}

/** JSON of anything that was parsed from JSON; null when it is nested too deep to be written again. */
export function jsonOf(value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? "null";
  } catch {
    return null;
  }
}

/** The value, or a text that says what it begins with: what people are asked must fit into an event. */
export function shown(value: unknown, mask: TextMask, limit = 32_768): unknown {
  const text = jsonOf(value);
  if (text === null) return "[nested too deep to be shown]";
  return text.length <= limit ? value : `${mask(text).slice(0, limit)}\u2026 [${text.length - limit} characters more]`;
}

/** A number that agents count with: what no column could hold (1e400) counts as the most or as nothing. */
export const countOf = (value: number): number => (value > 0 ? Math.min(Math.floor(value), 1e12) : 0);
