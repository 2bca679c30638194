import type { TextMask } from "./text-mask.ts";

/** What people judge a permission by, of all that its request says. Absent: it does not say that. */
export interface PermissionDetail {
  command?: string;
  paths?: string[];
  /** lines, per changed file */
  diffStat?: { path: string; added: number; deleted: number }[];
}

/** Of paths: how many, and characters of each. */
const most = { command: 8_000, paths: 50, path: 500 };

/** Derives it from a call as ACP says it: `input` with a command, `locations`, `content` with diffs. Whatever is of another shape says nothing. `mask` takes secrets out of what is cut. */
export function permissionDetail(call: { input?: unknown; locations?: unknown; content?: unknown }, mask: TextMask = (text) => text): PermissionDetail {
  const pathOf = (one: Record<string, unknown>): string => mask(textOf(one["path"])).slice(0, most.path);
  const said = recordOf(call.input)["command"];
  const command = Array.isArray(said) && said.every((word) => typeof word === "string") ? said.join(" ") : textOf(said);
  const diffs = recordsOf(call.content).filter((one) => one["type"] === "diff" && pathOf(one) !== "");
  const paths = [...new Set([...recordsOf(call.locations), ...diffs].map(pathOf))].filter((path) => path !== "").slice(0, most.paths);
  const diffStat = diffs
    .slice(0, most.paths)
    .map((one) => ({ path: pathOf(one), ...changedLines(linesOf(textOf(one["oldText"])), linesOf(textOf(one["newText"]))) }));
  return {
    ...(command === "" ? {} : { command: mask(command).slice(0, most.command) }),
    ...(paths.length > 0 ? { paths } : {}),
    ...(diffStat.length > 0 ? { diffStat } : {}),
  };
}

/** Lines that only one of the two has, each as often as it is there. A line that only moved is no change. */
function changedLines(before: string[], after: string[]): { added: number; deleted: number } {
  const left = new Map<string, number>();
  for (const line of before) left.set(line, (left.get(line) ?? 0) + 1);
  let kept = 0;
  for (const line of after) {
    const there = left.get(line) ?? 0;
    if (there === 0) continue;
    left.set(line, there - 1);
    kept += 1;
  }
  return { added: after.length - kept, deleted: before.length - kept };
}

const linesOf = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
const recordsOf = (value: unknown): Record<string, unknown>[] => (Array.isArray(value) ? value.map(recordOf) : []);
