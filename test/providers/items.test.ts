import { driven } from "./driven.ts";

/** As codex-acp says it: a command that only reads is announced as a reading, and its request says that it is executed. */
const read = {
  sessionUpdate: "tool_call",
  toolCallId: "c",
  name: "exec_command",
  kind: "read",
  title: "Read file '/etc/hosts'",
  status: "in_progress",
  locations: [{ path: "/etc/hosts" }],
};
const request = {
  method: "session/request_permission",
  params: {
    toolCall: { toolCallId: "c", kind: "execute", status: "pending", rawInput: { command: "cat /etc/hosts", cwd: "/" } },
    options: [{ optionId: "yes", name: "Allow", kind: "allow_once" }],
  },
};

test("a call ends as what it began as, whatever kind its request says", async () => {
  const end = { sessionUpdate: "tool_call_update", toolCallId: "c", status: "completed", rawOutput: { output: "localhost", exit_code: 0 } };
  const agent = await driven([{ says: [read, request, end], result: { stopReason: "end_turn" } }], { permissionMode: "approve-all" });
  await agent.prompt("T1");
  expect(agent.events("tool.completed")).toEqual([{ status: "completed", output: "localhost" }]);
  const types = (["tool.started", "tool.completed", "command.started", "command.completed"] as const).map((type) => agent.events(type).length);
  expect(types).toEqual([1, 1, 0, 0]);
});

test("what two attempts of a turn stream are items of their own", async () => {
  const says = [
    { sessionUpdate: "agent_message_chunk", content: { type: "text", text: "half a sen" } },
    { sessionUpdate: "tool_call", toolCallId: "1", kind: "execute", status: "in_progress", rawInput: { command: "make" } },
    { sessionUpdate: "tool_call_update", toolCallId: "1", _meta: { terminal_output_delta: { data: "made" } } },
  ];
  const items = async (): Promise<string[]> => {
    const agent = await driven([{ says, result: { stopReason: "end_turn" } }]);
    await agent.prompt("T1");
    return [...new Set(agent.records.flatMap((one) => (one.kind === "delta" ? [one.itemId] : (one.kind === "event" && one.event.itemId) || [])))];
  };
  const [first, second] = [await items(), await items()];
  expect([first.length, second.length]).toEqual([2, 2]);
  expect(second.filter((item) => first.includes(item))).toEqual([]);
});
