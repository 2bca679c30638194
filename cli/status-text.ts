import { printable } from "./printable.ts";
import type { Status, Waiting, Working } from "./read-status.ts";

/** A status for a terminal. `command`: how this program is called here; `now`: ms. */
export function statusText(status: Status, a: { command: string; now: number }): string {
  const hosts = status.hosts.map(({ hostId, alive }) => (alive ? hostId : `${hostId} (away)`)).join(", ") || "no host";
  const lines = [`Baton ${status.version} at ${status.url}: ${status.status}; ${hosts}`];
  const number = (name: "waiting" | "running" | "idle"): string =>
    status.cut.includes(name) ? `${status[name].length} and more, which are not shown` : String(status[name].length || "nothing");
  lines.push("", `Waits for somebody: ${number("waiting")}`);
  for (const one of status.waiting) {
    lines.push(`  ${printable(one.name)}  ${one.kind}, since ${ago(one.since, a.now)}: ${printable(one.say)}`);
    for (const line of nextCalls(one, a.command)) lines.push(`      ${line}`);
  }
  lines.push("", `Runs: ${number("running")}`, ...status.running.map((one) => worker(one, a.now)));
  if (status.idle.length > 0) lines.push("", `Idle: ${number("idle")}`, ...status.idle.map((one) => worker(one, a.now)));
  return lines.join("\n");
}

function worker(one: Working, now: number): string {
  return `  ${printable(one.name)}  ${one.state}  ${one.provider}  last heard of ${ago(one.since, now)} ago`;
}

/** An approval is answered in few words; anything else is a call to paste. */
function nextCalls({ approvalId, next }: Waiting, command: string): string[] {
  const answers = next.flatMap(({ args: { action, decision, add } }) =>
    action === "respond" && typeof decision === "string" ? [[quoted(decision), ...sums(add)].join(" ")] : [],
  );
  if (approvalId !== null && answers.length > 0) return answers.map((answer) => `${command} answer ${approvalId} ${answer}`);
  if (approvalId !== null) return [`${command} answer ${approvalId} ${quoted("your answer")}`];
  return next.map(({ tool, args }) => `${command} call ${tool} ${quoted(JSON.stringify(args))}`);
}

/** What an answer adds to a limit, as `baton answer` takes it. */
const sums = (add: unknown): string[] =>
  Object.entries((add ?? {}) as Record<string, unknown>).map(([name, sum]) => `--add ${quoted(`${name}=${String(sum)}`)}`);

/** One word of a shell. */
function quoted(text: string): string {
  return /^[A-Za-z0-9_./:@=-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", "'\\''")}'`;
}

function ago(since: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(since)) / 1_000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return seconds < 36 * 3_600 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}
