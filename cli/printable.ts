/** What commands a terminal, or turns the order of what it shows: control characters, of C1 too, and marks of direction. */
const commanding = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+/g;

/** Text of anybody's as one line of a terminal. What agents wrote must not command it. */
export function printable(text: string): string {
  return text.replaceAll(commanding, " ").slice(0, 2_000);
}

/** The same of a text of several lines. */
export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n");

/** A value as JSON that means the same and commands nothing: JSON itself leaves more than it escapes. */
export function printableJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replaceAll(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
