import { constants } from "node:fs";
import { open, readdir, readlink, realpath } from "node:fs/promises";
import { isAbsolute, join, relative } from "node:path";

/** A Markdown file with front matter: what stands between the two `---` lines, and the text below. */
export interface Definition {
  name: string;
  fields: Record<string, string | string[]>;
  body: string;
  /** where it is from, for people: `home:agents/x.md` */
  source: string;
}
export interface Place {
  /** `home` or `repository`, as shown in `source` */
  label: string;
  /** the directory that holds `agents/` and `capabilities/` */
  directory: string;
  /** nothing is read that lies, behind all links, outside this directory */
  within: string;
}
export type Kind = "agents" | "capabilities";

/** Files beyond this size, in bytes, are no definitions. */
const largest = 65_536;
const mostFiles = 200;
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** `<place>/<kind>/<name>.md`; null when there is none. A file that cannot be one (too large, a link out of the place, no file) is a problem: a sentence. */
export async function readDefinition(place: Place, kind: Kind, name: string): Promise<Definition | string | null> {
  if (!namePattern.test(name)) return null;
  const source = `${place.label}:${kind}/${name}.md`;
  const text = await readInside(place.within, join(place.directory, kind, `${name}.md`));
  if (text === null) return null;
  return typeof text === "string" ? { name, source, ...parse(text) } : `${source} ${text.problem} and was not read.`;
}

/** The names for which `<place>/<kind>` has a file, at most 200. */
export async function definitionNames(place: Place, kind: Kind): Promise<string[]> {
  const files = await readdir(join(place.directory, kind)).catch(() => []);
  return files
    .filter((file) => file.endsWith(".md") && namePattern.test(file.slice(0, -3)))
    .sort()
    .slice(0, mostFiles)
    .map((file) => file.slice(0, -3));
}

/**
 * A repository's files are written by agents and strangers: a link may not lead out of the place, a pipe must not be waited for, and nobody
 * can exchange the file between check and read, since both are of the one that is open.
 */
async function readInside(within: string, path: string): Promise<string | { problem: string } | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW).catch((error: NodeJS.ErrnoException) => error.code ?? "EIO");
  if (typeof file === "string") {
    if (file === "ENOENT" || file === "ENOTDIR") return null;
    return { problem: file === "ELOOP" ? "is a symbolic link" : `cannot be opened (${file})` };
  }
  try {
    // Where the open file really is; without /proc where its name leads now.
    const [root, real] = await Promise.all([realpath(within), readlink(`/proc/self/fd/${file.fd}`).catch(() => realpath(path))]);
    const below = relative(root, real);
    if (below.startsWith("..") || isAbsolute(below)) return { problem: "lies outside its folder" };
    const found = await file.stat();
    if (!found.isFile()) return { problem: "is not a plain file" };
    const read = await file.read(Buffer.alloc(largest + 1), 0, largest + 1, 0);
    if (read.bytesRead > largest) return { problem: `is larger than ${largest} bytes` };
    return read.buffer.subarray(0, read.bytesRead).toString("utf8");
  } catch (error) {
    return { problem: `cannot be read (${(error as Error).message})` };
  } finally {
    await file.close();
  }
}

/** The little of YAML that front matter needs: `key: value`, `key: [a, b]`, and `- item` lines below a key. */
function parse(text: string): { fields: Record<string, string | string[]>; body: string } {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const end = lines[0]?.trim() === "---" ? lines.indexOf("---", 1) : -1;
  if (end < 0) return { fields: {}, body: text.trim() };
  const fields: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  let last = "";
  for (const line of lines.slice(1, end)) {
    const item = /^\s*-\s+(.+)$/.exec(line)?.[1];
    const [, key, value] = /^([A-Za-z][A-Za-z0-9_]*)\s*:\s*(.*)$/.exec(line) ?? [];
    if (item !== undefined && last !== "") fields[last] = [...listOf(fields[last]), unquoted(item)];
    else if (key !== undefined && value !== undefined) {
      last = key;
      const inner = /^\[(.*)\]$/.exec(value.trim())?.[1];
      fields[key] = inner === undefined ? unquoted(value) : inner.split(",").map(unquoted).filter(Boolean);
    }
  }
  return {
    fields,
    body: lines
      .slice(end + 1)
      .join("\n")
      .trim(),
  };
}

/** A field as a list, whichever way it was written. */
export function listOf(value: string | string[] | undefined): string[] {
  return value === undefined || value === "" ? [] : Array.isArray(value) ? value : [value];
}

const unquoted = (text: string): string => text.trim().replace(/^(["'])(.*)\1$/, "$2");
