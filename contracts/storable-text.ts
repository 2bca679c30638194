/** Text as Postgres stores it: without NUL and lone surrogates. */
export function storableText(text: string): string {
  return text.replaceAll("\u0000", "\ufffd").toWellFormed();
}
