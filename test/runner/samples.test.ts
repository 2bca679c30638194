import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { textMask } from "../../contracts/text-mask.ts";
import { costOf, turnMapping, usageOf } from "../../providers/acp-mapping.ts";
import type { Json } from "../../providers/acp-tools.ts";

interface Turn {
  events: { type: string; data: unknown; itemId?: string | undefined; synthetic?: boolean | undefined }[];
  deltas: string;
  output: string[];
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
    const message = JSON.parse(sent ? line.slice(4) : line) as {
      id?: unknown;
      method?: string;
      params?: { update?: Json; toolCall?: Json };
      result?: Json;
    };
    if (sent && message.method === "session/prompt")
      turn = { id: message.id, mapping: turnMapping(`T${turns.length + 1}`, "R1", textMask()), records: [], cost: null };
    if (sent || !turn) continue;
    const update = message.method === "session/update" ? message.params?.update : undefined;
    if (update) {
      turn.records.push(...turn.mapping.update(update));
      turn.cost = costOf(update) ?? turn.cost;
    }
    const asked = message.method === "session/request_permission" ? message.params?.toolCall : undefined;
    if (asked) turn.records.push(...turn.mapping.flush(), ...turn.mapping.tools.upsert(asked, true));
    if (message.id !== turn.id || !message.result) continue;
    turn.records.push(...turn.mapping.end());
    turns.push({
      events: turn.records.flatMap((one) =>
        one.kind === "event" ? [{ type: one.event.type, data: one.event.data, itemId: one.event.itemId, synthetic: one.event.synthetic }] : [],
      ),
      deltas: turn.records.flatMap((one) => (one.kind === "delta" && one.stream === "message" ? [one.text] : [])).join(""),
      output: turn.records.flatMap((one) => (one.kind === "delta" && one.stream === "output" ? [one.text] : [])),
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

test("what an agent says of a command before it runs is no output of it: Gemini's working directory, Claude's description", () => {
  const [gemini] = mapped("../../faults/hostile/recordings/acp-gemini-multi.jsonl");
  const commands = (turn: Turn | undefined): unknown[] => brief(turn).filter((one) => String((one as unknown[])[0]).startsWith("command."));
  expect(commands(gemini)).toEqual([
    ["command.started", { command: "cat multi.txt" }],
    ["command.completed", { status: "completed" }],
  ]);
  expect(gemini?.output).toEqual([]);
  const [claude] = mapped("../../faults/hostile/recordings/acp-claude-multi.jsonl");
  expect(commands(claude)).toEqual([
    ["command.started", { command: "echo no-plan-tool" }],
    ["command.completed", { status: "completed", output: "no-plan-tool" }],
    ["command.started", { command: "cat multi.txt" }],
    ["command.completed", { status: "completed", output: "line1\nline2 changed" }],
  ]);
  expect(claude?.output).toEqual(["no-plan-tool", "line1\nline2 changed"]);
});

test("content replaces what content said before, also by nothing; what came as a terminal's output stays", () => {
  const run = (...pieces: Json[]): unknown[] => {
    const { tools } = turnMapping("T1", "R1", textMask());
    const call = { toolCallId: "c", kind: "execute", title: "x", rawInput: { command: "x" }, status: "in_progress" };
    return [call, ...pieces]
      .flatMap((piece) => tools.upsert({ toolCallId: "c", ...piece }))
      .flatMap((one) => (one.kind === "event" && one.event.type === "command.completed" ? [one.event.data] : []));
  };
  const text = (said: string): Json[] => [{ type: "content", content: { type: "text", text: said } }];
  expect(run({ content: text("a") }, { status: "completed" })).toEqual([{ status: "completed", output: "a" }]);
  expect(run({ content: text("a") }, { status: "completed", content: [] })).toEqual([{ status: "completed" }]);
  expect(run({ _meta: { terminal_output_delta: { data: "b" } } }, { status: "completed", content: [] })).toEqual([{ status: "completed", output: "b" }]);
  expect(run({ status: "failed", content: text("a") })).toEqual([{ status: "failed", output: "a" }]);
});
