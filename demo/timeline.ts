import type { BatonEvent, EventData, EventType } from "../contracts/event.ts";

/** An event in a few words, or null when it is of no interest to somebody who watches. */
export function describeEvent(event: BatonEvent): string | null {
  const say = wording[event.type] as ((data: unknown) => string | null) | undefined;
  const text = say ? say(event.data) : null;
  return text === null ? null : oneLine(text, 160);
}

/** `  +12.3s  reviewer  text`; milliseconds since the start. */
export function timelineLine(sinceStartMs: number, role: string, text: string): string {
  return `${`+${(Math.max(0, sinceStartMs) / 1000).toFixed(1)}s`.padStart(8)}  ${role.padEnd(9)} ${text}`;
}

/** One line without control characters: agents' output is not trusted with a terminal. */
export function oneLine(text: string, limit: number): string {
  const flat = printable(text).replace(/\s+/g, " ").trim();
  return flat.length > limit ? `${flat.slice(0, limit - 1)}…` : flat;
}

/** The text without what a terminal would obey; line ends and tabs stay. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "");
}

const wording: { [T in EventType]?: (data: EventData[T]) => string | null } = {
  "session.workspace_ready": (d) => `worktree ready${d.branch ? ` on ${d.branch}` : ""}`,
  "session.workspace_failed": (d) => `no worktree: ${d.message}`,
  "session.agent_ready": (d) => (d.resumed ? "agent resumed" : "agent ready"),
  "session.closed": (d) => `closed (${d.reason})`,
  "session.failed": (d) => `failed: ${d.message}`,
  "turn.started": () => "turn started",
  "turn.attempt_lost": (d) => `attempt lost (${d.reason}), tries again`,
  "turn.completed": (d) => `turn ${d.outcome}${d.failure ? `: ${d.failure.message}` : ""}`,
  "message.completed": (d) => (d.role === "agent" ? `says: ${d.text}` : null),
  "thought.completed": (d) => `thinks: ${d.text}`,
  "command.started": (d) => `runs: ${d.command}`,
  "command.completed": (d) => `command ${d.status}${d.exitCode === undefined ? "" : `, exit code ${d.exitCode}`}`,
  "tool.started": (d) => `uses: ${d.title || d.name}`,
  "tool.completed": (d) => (d.status === "completed" ? null : `tool ${d.status}`),
  "file.changed": (d) => `${d.change === "unknown" ? "changed" : d.change} ${d.path}`,
  "approval.requested": (d) => `asks (${d.kind}): ${d.title}`,
  "approval.resolved": (d) => `answer: ${d.decision} by ${d.by}`,
  "retry.scheduled": (d) => `waits ${Math.round(d.delayMs / 1000)} s: ${d.reason}`,
  "notice.raised": (d) => d.message,
  "error.raised": (d) => `error: ${d.message}`,
  "candidate.captured": (d) => `candidate ${d.commit.slice(0, 8)} (${d.diffStat})${d.stable ? "" : ", unstable"}`,
  "candidate.checked_out": (d) => `looks at candidate ${d.commit.slice(0, 8)}`,
  "chain.round_started": (d) => `round ${d.round}`,
  "chain.ended": (d) => `chain ended: ${d.reason}`,
  "verdict.recorded": (d) => `verdict: ${d.decision}, score ${d.score}: ${d.summary}`,
  "gate.passed": (d) => `gate ${d.name} passed: ${d.why}`,
  "gate.failed": (d) => `gate ${d.name} failed: ${d.why}`,
};
