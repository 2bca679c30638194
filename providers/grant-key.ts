import { createHash } from "node:crypto";
import { objectOf, textOf } from "./acp-tools.ts";
import type { Json } from "./acp-tools.ts";
import { jsonOf } from "./bounded.ts";

/** Which texts and numbers of a call's input may differ: what is said of a command, what is read or written of a file. Everything else, known or not, must be the same. */
const mayDiffer: Record<string, readonly string[]> = {
  execute: ["description"],
  read: ["offset", "limit"],
  edit: ["content", "old_string", "new_string", "oldString", "newString", "old_str", "new_str", "oldText", "newText"],
};

/**
 * What `allow_always` covers, as a hash: the same tool, kind and title with the same command or the same files; of other kinds only the very same
 * request. Null: it does not say its command or files, so that no two requests are known to be the same.
 */
export function grantKey(call: Json): string | null {
  const kind = textOf(call["kind"]);
  const input = call["rawInput"] ?? {};
  const locations = Array.isArray(call["locations"]) ? call["locations"] : [];
  const content = Array.isArray(call["content"]) ? call["content"] : [];
  const free = mayDiffer[kind];
  const named =
    kind === "execute" ? hasCommand(input) : free ? locations.length > 0 || content.some(namesFile) : hasAny(input) || locations.length + content.length > 0;
  if (!named) return null;
  const same = [
    call["name"] ?? "",
    call["title"] ?? "",
    kind,
    free && isPlain(input) ? Object.entries(input).filter(([name, value]) => !free.includes(name) || typeof value === "object") : input,
    locations,
    free ? content.map(shapeOf) : content,
  ];
  const text = jsonOf(same);
  return text === null ? null : createHash("sha256").update(text).digest("hex");
}

const isPlain = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const hasAny = (value: unknown): boolean => typeof value !== "object" || Object.keys(objectOf(value)).length > 0 || (Array.isArray(value) && value.length > 0);

const namesFile = (content: unknown): boolean => textOf(objectOf(content)["path"]) !== "";

function hasCommand(input: unknown): boolean {
  const command = objectOf(input)["command"];
  return Array.isArray(command) ? command.length > 0 : textOf(command).trim() !== "";
}

/** A text by its kind, a change by what it does to which file; what is neither, whole. */
function shapeOf(content: unknown): unknown {
  const one = objectOf(content);
  if (one["type"] === "content") return "content";
  if (one["type"] !== "diff") return content;
  const { oldText, newText, type, ...rest } = one;
  return [type, typeof oldText, typeof newText, rest];
}
