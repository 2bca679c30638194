const instead = "[secret]";
/** A shorter value is no secret, and would take words out of every text. Characters. */
const shortest = 6;
/** A line of a secret that has several. */
const shortestLine = 16;

/** Takes secrets out of plain text, or of a line of JSON. It is for whole texts: of a secret that was cut the half stays. */
export type TextMask = (text: string) => string;

/** What to look for, the longest first: the values and the lines of those that have several, also as JSON writes them. */
export function secretTexts(secrets: readonly string[]): string[] {
  const values = secrets
    .flatMap((secret) => [secret, ...(secret.includes("\n") ? secret.split("\n").filter((line) => line.length >= shortestLine) : [])])
    .filter((value) => value.length >= shortest);
  return [...new Set([...values, ...values.map((value) => JSON.stringify(value).slice(1, -1))])].toSorted((a, b) => b.length - a.length);
}

export function textMask(secrets: readonly string[] = []): TextMask {
  const texts = secretTexts(secrets);
  if (texts.length === 0) return (text) => text;
  const pattern = new RegExp(texts.map((value) => value.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  return (text) => text.replace(pattern, instead);
}
