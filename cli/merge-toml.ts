/** A table as it stands in the file: what is above its header (blank lines and comments), the header, and what is below it. */
interface Section {
  name: string;
  above: string[];
  header: string[];
  entries: Entry[];
}
/** A key with its value, of one line or several; or (key null) a comment or a blank line. */
interface Entry {
  key: string | null;
  lines: string[];
}

/**
 * The TOML text with `[<table>.<name>]` set to `entry`: tables of that name are replaced where they stand, else it is added at the end; no other line is
 * touched. `ours` names the keys that we ever write there: any other key, table and comment of it stays. Error: a sentence, when the server is
 * written in a form that cannot be replaced line by line.
 */
export function mergeToml(text: string | null, table: string, name: string, entry: Record<string, unknown>, ours: string[]): string {
  const wanted = `${table}.${name}`;
  const sections = sectionsOf(text ?? "", table, name);
  const isOurs = (section: Section): boolean => section.name === wanted || section.name.startsWith(`${wanted}.`);
  const rest = (some: Section[]): string => some.flatMap((section) => [...section.above, ...section.header, ...linesOf(section.entries)]).join("\n");
  const at = sections.findIndex(isOurs);
  if (at === -1) {
    const before = rest(sections).trimEnd();
    return `${before}${before === "" ? "" : "\n\n"}${write(wanted, entry).join("\n")}\n`;
  }
  const mine = sections.filter(isOurs);
  const before = [...sections.slice(0, at).flatMap((section) => [...section.above, ...section.header, ...linesOf(section.entries)]), ...(mine[0]?.above ?? [])];
  const after = rest(sections.slice(at).filter((section) => !isOurs(section))).replace(/^(\s*\n)+/, "");
  return `${[...before, ...merged(wanted, entry, mine, ours)].join("\n")}\n${after.trim() === "" ? "" : `\n${after}${after.endsWith("\n") ? "" : "\n"}`}`;
}

/** Our table and those below it, with what in them is the user's. */
function merged(wanted: string, entry: Record<string, unknown>, mine: Section[], ours: string[]): string[] {
  const kept = (section: Section | undefined, written: (key: string) => boolean): string[] =>
    linesOf((section?.entries ?? []).filter(({ key, lines }) => (key === null ? lines[0]?.trim() !== "" : !written(key))));
  const { env, ...values } = entry;
  const main = mine.find((section) => section.name === wanted);
  const lines = [...write(wanted, values), ...kept(main, (key) => ours.includes(key))];
  for (const section of mine.filter((one) => one !== main && one.name !== `${wanted}.env`))
    lines.push("", ...section.above.filter((line) => line.trim() !== ""), ...section.header, ...kept(section, () => false));
  const own = mine.find((section) => section.name === `${wanted}.env`);
  // Variables are for a server that the host starts; for one that it calls, hosts refuse them.
  const variables = "command" in entry ? kept(own, (key) => key.startsWith("BATON_")) : [];
  if (env !== undefined || variables.length > 0) lines.push("", ...write(`${wanted}.env`, (env ?? {}) as Record<string, unknown>), ...variables);
  return lines;
}

const linesOf = (entries: Entry[]): string[] => entries.flatMap(({ lines }) => lines);

/** Error: a string or a list does not end, or the server stands there in another form. */
function sectionsOf(text: string, table: string, name: string): Section[] {
  let section: Section = { name: "", above: [], header: [], entries: [] };
  const sections = [section];
  let open: Open = { quote: null, depth: 0 };
  for (const line of text.split("\n")) {
    const inside = open.quote !== null || open.depth > 0;
    const header = inside ? null : headerOf(line);
    open = openAfter(line, open);
    if (header !== null) {
      section = { name: header, above: tail(section), header: [line], entries: [] };
      sections.push(section);
    } else if (inside) section.entries.at(-1)?.lines.push(line);
    else {
      if (writtenOtherwise(line, section.name, table, name)) throw new Error(`It has "${table}" in a form that cannot be changed safely: "${line.trim()}".`);
      section.entries.push({ key: keyOf(line)?.[0] ?? null, lines: [line] });
    }
  }
  if (open.quote !== null || open.depth > 0) throw new Error("It is no valid TOML: a string or a list of several lines does not end.");
  return sections;
}

/** Takes off what belongs to the header that follows: the blank lines and comments at the end. */
function tail(section: Section): string[] {
  const last = section.entries.findLastIndex(({ key }) => key !== null);
  return linesOf(section.entries.splice(last + 1));
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
  const key = keyOf(line);
  if (key === null) return false;
  const path = [...(current === "" ? [] : current.split(".")), ...key];
  if (current === `${table}.${name}` || current.startsWith(`${table}.${name}.`)) return false;
  return path[0] === table && (path.length === 1 || path[1] === name);
}

/** `a."b".c = 1` → a, b, c; null: no key stands there. */
function keyOf(line: string): string[] | null {
  const key = /^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=/.exec(line)?.[1];
  return key?.split(".").map((part) => part.trim().replace(/^(["'])(.*)\1$/, "$2")) ?? null;
}

/** What is open at the end of a line: a string of several lines, and how many lists or inline tables. */
interface Open {
  quote: string | null;
  depth: number;
}

function openAfter(line: string, before: Open): Open {
  let { quote, depth } = before;
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
    } else if (line[at] === "#") break;
    else if (line[at] === "[" || line[at] === "{") depth += 1;
    else if (line[at] === "]" || line[at] === "}") depth -= 1;
    else if (line[at] === '"' || line[at] === "'") {
      // A string of one line: to its end.
      const end = line[at];
      for (at += 1; at < line.length && line[at] !== end; at += 1) if (end === '"' && line[at] === "\\") at += 1;
    }
  }
  return { quote, depth };
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
