import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { costOf, turnMapping, usageOf } from "../../providers/acp-mapping.ts";
import type { Json } from "../../providers/acp-tools.ts";

interface Turn {
  events: { type: string; data: unknown; itemId?: string | undefined; synthetic?: boolean | undefined }[];
  deltas: string;
  finalMessage: string;
  usage: unknown;
  cost: number | null;
}

/** Maps a recorded conversation as the driver does, turn by turn. `>>>` is what went to the agent. */
function mapped(name: string): Turn[] {
  const turns: Turn[] = [];
  let turn: { id: unknown; mapping: ReturnType<typeof turnMapping>; records: SpoolRecord[]; cost: number | null } | null = null;
  for (const line of readFileSync(join(import.meta.dirname, "samples", name), "utf8")
    .trimEnd()
    .split("\n")) {
    const sent = line.startsWith(">>> ");
    const message = JSON.parse(sent ? line.slice(4) : line) as { id?: unknown; method?: string; params?: { update?: Json }; result?: Json };
    if (sent && message.method === "session/prompt") turn = { id: message.id, mapping: turnMapping(`T${turns.length + 1}`), records: [], cost: null };
    if (sent || !turn) continue;
    const update = message.method === "session/update" ? message.params?.update : undefined;
    if (update) {
      turn.records.push(...turn.mapping.update(update));
      turn.cost = costOf(update) ?? turn.cost;
    }
    if (message.id !== turn.id || !message.result) continue;
    turn.records.push(...turn.mapping.end());
    turns.push({
      events: turn.records.flatMap((one) =>
        one.kind === "event" ? [{ type: one.event.type, data: one.event.data, itemId: one.event.itemId, synthetic: one.event.synthetic }] : [],
      ),
      deltas: turn.records.flatMap((one) => (one.kind === "delta" && one.stream === "message" ? [one.text] : [])).join(""),
      finalMessage: turn.mapping.finalMessage(),
      usage: usageOf(message.result),
      cost: turn.cost,
    });
    turn = null;
  }
  return turns;
}
const brief = (turn: Turn | undefined): unknown[] => (turn?.events ?? []).map(({ type, data }) => [type, data]);

test("a recorded Codex turn: plan, two edits, one reading", () => {
  const [turn, ...more] = mapped("acp-codex-multi.jsonl");
  expect(more).toEqual([]);
  const message = (text: string): unknown => ["message.completed", { role: "agent", text }];
  const edit = expect.objectContaining({ kind: "edit", title: "Editing files" });
  expect(brief(turn)).toEqual([
    ["thought.completed", { text: "\n\nFirst think about the task." }],
    message("Plan first."),
    [
      "plan.updated",
      {
        entries: [
          { text: "Write file", status: "in_progress" },
          { text: "Run it", status: "pending" },
        ],
      },
    ],
    message("Write."),
    ["tool.started", edit],
    ["file.changed", { path: "/repo/acp-codex/multi.txt", change: "added", diff: "+line1\n+line2" }],
    ["tool.completed", { status: "completed" }],
    message("Edit."),
    ["tool.started", edit],
    ["file.changed", { path: "/repo/acp-codex/multi.txt", change: "modified", diff: "-line1\n-line2\n+line1\n+line2 changed" }],
    ["tool.completed", { status: "completed" }],
    message("Run."),
    ["tool.started", { name: "exec_command", title: "Read file '/repo/acp-codex/multi.txt'", kind: "read", locations: ["/repo/acp-codex/multi.txt"] }],
    ["tool.completed", { status: "completed", output: "line1\nline2 changed\n" }],
    message("All finished."),
  ]);
  // A call's start and end are one item; no two calls or texts share one.
  const starts = turn?.events.filter((one) => one.type === "tool.started").map((one) => one.itemId) ?? [];
  expect(turn?.events.filter((one) => one.type === "tool.completed").map((one) => one.itemId)).toEqual(starts);
  expect(new Set(starts).size).toBe(3);
  expect(turn).toMatchObject({
    deltas: "Plan first.Write.Edit.Run.All finished.",
    finalMessage: "All finished.",
    usage: { inputTokens: 2_000, outputTokens: 210, cachedTokens: 4_000 },
    cost: null,
  });
});

test("a recorded OpenCode turn that was cancelled in a command, and the one after it", () => {
  const [first, second, ...more] = mapped("acp-opencode-cancel_tool.jsonl");
  expect(more).toEqual([]);
  expect(brief(first)).toEqual([
    ["message.completed", { role: "agent", text: "Starting long command." }],
    ["command.started", { command: "echo started; sleep 25; echo finished", cwd: "/repo/acp-opencode" }],
    ["command.completed", expect.objectContaining({ status: "completed", output: expect.stringMatching(/^started\n[\s\S]*User aborted the command/) })],
  ]);
  expect(first).toMatchObject({ usage: { inputTokens: 0, outputTokens: 0, cachedTokens: 0 }, cost: 0 });
  expect(brief(second)).toEqual([["message.completed", { role: "agent", text: "Stub echo (2 user msgs, 1 tool results): after #S:echo" }]]);
  expect(second).toMatchObject({
    finalMessage: "Stub echo (2 user msgs, 1 tool results): after #S:echo",
    usage: { inputTokens: 400, outputTokens: 35, cachedTokens: 800 },
    cost: 1_830,
  });
});
