import { isAbsolute, relative, resolve } from "node:path";
import type { LaunchSpec } from "../contracts/provider.ts";
import { objectOf, textOf } from "./acp-tools.ts";
import type { Json } from "./acp-tools.ts";

export type Permissions = Pick<LaunchSpec, "permissionMode" | "outsideWorkspace" | "permissionRules"> & { cwd: string };
export interface Decision {
  decision: "allow" | "deny" | "ask";
  /** the rule or mode that decided */
  why: string;
}
type Rule = NonNullable<LaunchSpec["permissionRules"]>[number];

const reads = new Set(["read", "search"]);
const changes = new Set(["edit", "delete", "move"]);
/** One that names no file hides which it touches; of other kinds many touch none. */
const touchesFiles = new Set(["read", ...changes]);
const pathNames = ["path", "file_path", "filePath", "filepath", "absolute_path", "abs_path", "directory"];

/**
 * What the preset says to a call that an agent asks permission for: the first rule that matches, else the mode; then the rule about paths outside the
 * workspace, which only a rule with an absolute path lifts. It judges what the agent says it will do: what it cannot say otherwise is a sandbox's to hold.
 */
export function decide(permissions: Permissions, call: Json): Decision {
  const paths = pathsOf(call, permissions.cwd);
  const rule = (permissions.permissionRules ?? []).find((one) => matches(one, call, paths));
  const found: Decision = rule ? { decision: rule.decision, why: `rule ${JSON.stringify(rule)}` } : byMode(permissions.permissionMode, call);
  const limit = permissions.outsideWorkspace;
  // A change of files that nobody named may be anywhere, and a limit that is evaded by saying less is none. All agents that were recorded name theirs.
  const hidden = paths.length === 0 && changes.has(textOf(call["kind"]));
  const lifted = !hidden && rule?.pathGlob !== undefined && isAbsolute(rule.pathGlob);
  if (limit === undefined || lifted || found.decision === "deny" || !(hidden || paths.some((path) => isAbsolute(path)))) return found;
  return { decision: limit, why: `outsideWorkspace: ${limit}${hidden ? ", it names no path" : ""}` };
}

function byMode(mode: LaunchSpec["permissionMode"], call: Json): Decision {
  const why = `mode ${mode}`;
  if (mode === "ask") return { decision: "ask", why };
  const allow = mode === "approve-all" || (mode === "approve-reads" && reads.has(textOf(call["kind"])));
  return { decision: allow ? "allow" : "deny", why };
}

/**
 * A permission must hold for all that the call touches, a refusal or a question for any of it. So what the call does not say fits no permission, and
 * every refusal or question that is about it: one for its tool by name, or for any tool if calls of its kind have such paths or commands.
 */
function matches(rule: Rule, call: Json, paths: string[]): boolean {
  const names = [textOf(call["name"]), textOf(call["kind"]), textOf(call["title"])].map((name) => name.toLowerCase());
  if (rule.tool !== "*" && !names.includes(rule.tool.toLowerCase())) return false;
  const unsaid = (hasSuch: boolean): boolean => rule.decision !== "allow" && (rule.tool !== "*" || hasSuch);
  if (rule.pathGlob !== undefined) {
    const fits = paths.map((path) => glob(rule.pathGlob ?? "").test(path));
    const fit = rule.decision === "allow" ? fits.every(Boolean) : fits.some(Boolean);
    if (!(fits.length === 0 ? unsaid(touchesFiles.has(textOf(call["kind"]))) : fit)) return false;
  }
  if (rule.commandPrefix === undefined) return true;
  const command = commandOf(call);
  return command === null ? unsaid(call["kind"] === "execute") : commandFits(rule, command, rule.commandPrefix);
}

/** What a shell would make of a second command is not covered by a permission for the first. */
function commandFits(rule: Rule, command: string, prefix: string): boolean {
  if (rule.decision !== "allow") return command.split(/[;&|\n]+|\$\(|`/).some((part) => begins(part.trim(), prefix));
  return begins(command, prefix) && !/[;&|<>`\n]|\$\(/.test(command);
}

function begins(command: string, prefix: string): boolean {
  return command === prefix || command.startsWith(prefix.endsWith(" ") ? prefix : `${prefix} `);
}

/** Null: it does not say. Some agents say a command only as its call's title. */
function commandOf(call: Json): string | null {
  const command = objectOf(call["rawInput"])["command"];
  const said = Array.isArray(command) && command.every((word) => typeof word === "string") ? command.join(" ") : textOf(command);
  return said.trim() || (call["kind"] === "execute" && textOf(call["title"]).trim()) || null;
}

/** Relative to the workspace; absolute: outside of it. */
function pathsOf(call: Json, cwd: string): string[] {
  const input = objectOf(call["rawInput"]);
  const listed = (value: unknown) => (Array.isArray(value) ? value.map((one) => textOf(objectOf(one)["path"])) : []);
  const found = [...listed(call["locations"]), ...listed(call["content"]), ...pathNames.map((name) => textOf(input[name]))].filter((path) => path !== "");
  return [...new Set(found)].map((path) => {
    const inside = relative(cwd, resolve(cwd, path));
    return inside === ".." || inside.startsWith("../") || isAbsolute(inside) ? resolve(cwd, path) : inside === "" ? "." : inside;
  });
}

/** `**` is anything, `*` and `?` stop at a slash; unlike a shell's, hidden names are not spared. */
function glob(pattern: string): RegExp {
  const source = pattern.replaceAll(/\*\*\/|\*\*|\*|\?|[.+^${}()|[\]\\]/g, (found) => {
    if (found === "**/") return "(?:.*/)?";
    if (found === "**") return ".*";
    if (found === "*") return "[^/]*";
    return found === "?" ? "[^/]" : `\\${found}`;
  });
  return new RegExp(`^${source}$`, "s");
}
