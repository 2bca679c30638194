/**
 * The TOML text with `[<table>.<name>]` set to `entry`: tables of that name are replaced where they stand, else it is added at the end; no other line is
 * touched. Error: a sentence, when the server is written in a form that cannot be replaced line by line.
 */
export function mergeToml(text: string | null, table: string, name: string, entry: Record<string, unknown>): string {
  const wanted = `${table}.${name}`;
  const lines = (text ?? "").split("\n");
  const kept: string[] = [];
  let at: number | null = null;
  let current = "";
  let quote: string | null = null;
  for (const line of lines) {
    const header = quote === null ? headerOf(line) : null;
    if (header !== null) current = header;
    else if (quote === null && writtenOtherwise(line, current, table, name))
      throw new Error(`It has "${table}" in a form that cannot be changed safely: "${line.trim()}".`);
    quote = openQuote(line, quote);
    const ours = current === wanted || current.startsWith(`${wanted}.`);
    if (ours) at ??= kept.length;
    else kept.push(line);
  }
  if (quote !== null) throw new Error("It is no valid TOML: a string of several lines does not end.");
  const section = write(wanted, entry);
  if (at === null) {
    const before = kept.join("\n").trimEnd();
    return `${before}${before === "" ? "" : "\n\n"}${section.join("\n")}\n`;
  }
  const after = kept.slice(at).join("\n").trimStart();
  return `${[...kept.slice(0, at), ...section].join("\n")}\n${after === "" ? "" : `\n${after}`}`;
}

/** `[a."b".c]` → `a.b.c`; null: no header. */
function headerOf(line: string): string | null {
  const found = /^\s*\[\[?([^\]]+)\]\]?\s*(#.*)?$/.exec(line)?.[1];
  return found === undefined
    ? null
    : found
        .split(".")
        .map((part) => part.trim().replace(/^(["'])(.*)\1$/, "$2"))
        .join(".");
}

/** `mcp_servers = {…}`, `mcp_servers.baton.command = …` at the top, or `baton = {…}` under `[mcp_servers]`. */
function writtenOtherwise(line: string, current: string, table: string, name: string): boolean {
  const key = /^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=/.exec(line)?.[1];
  if (key === undefined) return false;
  const path = [...(current === "" ? [] : current.split(".")), ...key.split(".").map((part) => part.trim().replace(/^(["'])(.*)\1$/, "$2"))];
  if (current === `${table}.${name}` || current.startsWith(`${table}.${name}.`)) return false;
  return path[0] === table && (path.length === 1 || path[1] === name);
}

/** Which string of several lines is open after this line; null: none. */
function openQuote(line: string, open: string | null): string | null {
  let quote = open;
  for (let at = 0; at < line.length; at += 1) {
    const three = line.slice(at, at + 3);
    if (quote !== null) {
      if (quote === '"""' && line[at] === "\\") at += 1;
      else if (three === quote) {
        quote = null;
        at += 2;
      }
    } else if (three === '"""' || three === "'''") {
      quote = three;
      at += 2;
    } else if (line[at] === "#") return null;
    else if (line[at] === '"' || line[at] === "'") {
      // A string of one line: to its end.
      const end = line[at];
      for (at += 1; at < line.length && line[at] !== end; at += 1) if (end === '"' && line[at] === "\\") at += 1;
    }
  }
  return quote;
}

function write(path: string, entry: Record<string, unknown>): string[] {
  const tables = Object.entries(entry).filter(([, value]) => typeof value === "object" && !Array.isArray(value));
  const values = Object.entries(entry).filter(([, value]) => typeof value !== "object" || Array.isArray(value));
  return [
    `[${path}]`,
    // A JSON string, number or list of strings is written the same way in TOML.
    ...values.map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
    ...tables.flatMap(([key, value]) => ["", ...write(`${path}.${key}`, value as Record<string, unknown>)]),
  ];
}
