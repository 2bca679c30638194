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
const pathNames = ["path", "file_path", "filePath", "absolute_path", "abs_path", "directory"];

/**
 * What the preset says to a call that an agent asks permission for: the first rule that matches, else the mode; then the rule about paths outside the
 * workspace, which only a rule with an absolute path lifts. It judges what the agent says it will do: what it cannot say otherwise is a sandbox's to hold.
 */
export function decide(permissions: Permissions, call: Json): Decision {
  const paths = pathsOf(call, permissions.cwd);
  const rule = (permissions.permissionRules ?? []).find((one) => matches(one, call, paths));
  const found: Decision = rule ? { decision: rule.decision, why: `rule ${JSON.stringify(rule)}` } : byMode(permissions.permissionMode, call);
  const limit = permissions.outsideWorkspace;
  const lifted = rule?.pathGlob !== undefined && isAbsolute(rule.pathGlob);
  if (limit === undefined || lifted || found.decision === "deny" || !paths.some((path) => isAbsolute(path))) return found;
  return { decision: limit, why: `outsideWorkspace: ${limit}` };
}

function byMode(mode: LaunchSpec["permissionMode"], call: Json): Decision {
  const why = `mode ${mode}`;
  if (mode === "ask") return { decision: "ask", why };
  const allow = mode === "approve-all" || (mode === "approve-reads" && reads.has(textOf(call["kind"])));
  return { decision: allow ? "allow" : "deny", why };
}

/** A permission must hold for all that the call touches, a refusal or a question for any of it. */
function matches(rule: Rule, call: Json, paths: string[]): boolean {
  const names = [textOf(call["name"]), textOf(call["kind"]), textOf(call["title"])].map((name) => name.toLowerCase());
  if (rule.tool !== "*" && !names.includes(rule.tool.toLowerCase())) return false;
  if (rule.pathGlob !== undefined) {
    const fits = paths.map((path) => glob(rule.pathGlob ?? "").test(path));
    if (fits.length === 0 || !(rule.decision === "allow" ? fits.every(Boolean) : fits.some(Boolean))) return false;
  }
  return rule.commandPrefix === undefined || commandFits(rule, commandOf(call), rule.commandPrefix);
}

/** What a shell would make of a second command is not covered by a permission for the first. */
function commandFits(rule: Rule, command: string | null, prefix: string): boolean {
  if (command === null) return false;
  if (rule.decision !== "allow") return command.split(/[;&|\n]+|\$\(|`/).some((part) => begins(part.trim(), prefix));
  return begins(command, prefix) && !/[;&|<>`\n]|\$\(/.test(command);
}

function begins(command: string, prefix: string): boolean {
  return command === prefix || command.startsWith(prefix.endsWith(" ") ? prefix : `${prefix} `);
}

function commandOf(call: Json): string | null {
  const command = objectOf(call["rawInput"])["command"];
  if (typeof command === "string") return command.trim();
  return Array.isArray(command) && command.every((word) => typeof word === "string") ? command.join(" ") : null;
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
