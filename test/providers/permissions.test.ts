import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LaunchSpec } from "../../contracts/provider.ts";
import type { Json } from "../../providers/acp-tools.ts";
import { until } from "../support/until.ts";
import { driven } from "./driven.ts";

const cwd = process.cwd();
const options = [
  { optionId: "yes", name: "Allow", kind: "allow_once" },
  { optionId: "no", name: "Reject", kind: "reject_once" },
];
const ask = (toolCall: Json): Json => ({ method: "session/request_permission", params: { toolCall, options } });
const diff = (path: string, newText = "x"): Json => ({ type: "diff", path: join(cwd, path), oldText: null, newText });
/** As codex-acp says them: the request repeats nothing of the call. */
const codexEdit = (id: string, ...content: Json[]): Json[] => [
  { sessionUpdate: "tool_call", toolCallId: id, kind: "edit", title: "Editing files", status: "in_progress", content },
  ask({ toolCallId: id, kind: "edit", status: "pending" }),
];
const recorded = readFileSync(join(import.meta.dirname, "../runner/samples/acp-gemini-cancel_tool.jsonl"), "utf8")
  .split("\n")
  .find((line) => line.includes('"session/request_permission"'));
const geminiAsks = JSON.parse(recorded ?? "") as { params: { toolCall: Json } };

/** What the agent is told of each of these calls. */
async function answers(says: Json[], changes: Partial<LaunchSpec>): Promise<string[]> {
  const agent = await driven([{ says, result: { stopReason: "end_turn" } }], { permissionMode: "approve-all", ...changes });
  const { finalMessage } = await agent.prompt("T1");
  return [...finalMessage.matchAll(/"optionId":"(\w+)"/g)].map((found) => found[1] ?? "");
}

/** What people are asked. */
async function asked(...says: Json[]): Promise<{ title: string; requestKey: string; detail?: unknown }> {
  const agent = await driven([{ says }]);
  void agent.prompt("T1");
  return until("the question", () => agent.events("approval.requested")[0]);
}

test("a request is judged with all that was said of its call before", async () => {
  const permissionRules: LaunchSpec["permissionRules"] = [{ tool: "edit", pathGlob: ".github/**", decision: "deny" }];
  expect(await answers(codexEdit("a", diff(".github/x")), { permissionRules })).toEqual(["no"]);
  expect(await answers(codexEdit("a", diff("src/x")), { permissionRules })).toEqual(["yes"]);
  expect(await answers(codexEdit("a", diff("../x")), { outsideWorkspace: "deny" })).toEqual(["no"]);
  // Said after its start, and only then.
  const [begun, request] = codexEdit("a") as [Json, Json];
  const late = { sessionUpdate: "tool_call_update", toolCallId: "a", rawInput: { path: ".github/x" } };
  expect(await answers([begun, late, request], { permissionRules })).toEqual(["no"]);
});

test("a command that Gemini says only as the title is judged", async () => {
  const call = ask(geminiAsks.params.toolCall);
  expect(await answers([call], { permissionRules: [{ tool: "execute", commandPrefix: "sleep", decision: "deny" }] })).toEqual(["no"]);
  expect(await answers([call], { permissionRules: [{ tool: "execute", commandPrefix: "git", decision: "deny" }] })).toEqual(["yes"]);
});

test("people see the paths and the diff that the request does not repeat", async () => {
  const { title, detail } = await asked(...codexEdit("a", diff("src/x")));
  expect(title).toBe("Editing files");
  expect(detail).toMatchObject({ kind: "edit", content: [diff("src/x")] });
  const gemini = await asked(ask(geminiAsks.params.toolCall));
  expect(gemini).toMatchObject({ title: "echo started; sleep 25; echo finished", detail: { content: geminiAsks.params.toolCall["content"] } });
});

test("an answer fits only a request with the same arguments, of whatever piece of the call; none fits one that has none", async () => {
  const key = async (...says: Json[]): Promise<string> => (await asked(...says)).requestKey;
  const first = await key(...codexEdit("a", diff("src/x")));
  expect(await key(...codexEdit("b", diff("src/x")))).toBe(first);
  for (const other of [diff("src/y"), diff("src/x", "y")]) expect(await key(...codexEdit("a", other))).not.toBe(first);
  const located = (path: string): Json => ask({ toolCallId: "a", kind: "read", title: "Read", locations: [{ path }] });
  expect(await key(located("x"))).not.toBe(await key(located("y")));
  const gemini = ask(geminiAsks.params.toolCall);
  expect(await key(gemini)).not.toBe(await key(gemini));
});
