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
  expect(detail).toMatchObject({ kind: "edit", content: [diff("src/x")], paths: [join(cwd, "src/x")], diffStat: [{ added: 1, deleted: 0 }] });
  // Also of what is too long to be shown.
  const long = await asked(...codexEdit("a", diff("src/x", "line\n".repeat(20_000))));
  expect(long.detail).toMatchObject({ content: expect.any(String), paths: [join(cwd, "src/x")], diffStat: [{ added: 20_000, deleted: 0 }] });
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

describe("what was allowed for always", () => {
  const shell = (more: Json = {}, input: Json = {}): Json[] => [
    ask({ toolCallId: "s", name: "shell", kind: "execute", title: "npm test", rawInput: { command: "npm test", cwd, ...input }, ...more }),
  ];
  const edit = (path: string, more: Json = {}, change: Json = {}): Json[] => [
    ask({
      toolCallId: "e",
      name: "edit",
      kind: "edit",
      title: "Edit",
      rawInput: { file_path: path, old_string: "a", new_string: "b" },
      locations: [{ path }],
      content: [{ ...diff(path), oldText: "a", ...change }],
      ...more,
    }),
  ];
  /** Is the second call asked about, when the first was allowed for always? */
  async function askedAgain(first: Json[], second: Json[]): Promise<boolean> {
    const later = second.map((one) => JSON.parse(JSON.stringify(one).replaceAll('"toolCallId":"', '"toolCallId":"2')) as Json);
    const agent = await driven([{ says: [...first, ...later], result: { stopReason: "end_turn" } }]);
    let ended = false;
    const turn = agent.prompt("T1").then(() => (ended = true));
    const question = await until("the question", () => agent.events("approval.requested")[0]);
    agent.session.respond(question.approvalId, "allow_always");
    const more = await until("its end or the second question", () => ended || agent.events("approval.requested")[1]);
    if (more === true) return false;
    agent.session.respond(more.approvalId, "deny");
    await turn;
    return true;
  }

  test.each([
    ["ours, which holds for equal requests", { command: "npm test" }, "Allow this and every equal request of the session", "yes"],
    ["the agent's, where no two requests are known to be equal", {}, "Allow all of this session", "forever"],
  ])("the option is %s", async (_, rawInput, label, told) => {
    const wide = { optionId: "forever", name: "Allow all of this session", kind: "allow_always" };
    const request = {
      method: "session/request_permission",
      params: { toolCall: { toolCallId: "1", kind: "execute", title: "npm test", rawInput }, options: [wide, ...options] },
    };
    const agent = await driven([{ says: [request], result: { stopReason: "end_turn" } }]);
    const turn = agent.prompt("T1");
    const question = await until("the question", () => agent.events("approval.requested")[0]);
    expect((question as unknown as { options: Json[] }).options).toContainEqual({ id: "allow_always", label, kind: "allow_always" });
    agent.session.respond(question.approvalId, "allow_always");
    expect((await turn).finalMessage).toContain(`"optionId":"${told}"`);
  });

  test("is the same command, or the same files, and not what is said of them", async () => {
    expect(await askedAgain(shell(), shell())).toBe(false);
    expect(await askedAgain(shell({}, { description: "Run tests" }), shell({}, { description: "Run the tests" }))).toBe(false);
    expect(await askedAgain(edit("x"), edit("x"))).toBe(false);
    expect(await askedAgain(codexEdit("a", diff("x")), codexEdit("b", diff("x", "y")))).toBe(false);
    expect(await askedAgain(edit("x"), edit("x", { rawInput: { file_path: "x", old_string: "b", new_string: "c" } }, { oldText: "b", newText: "c" }))).toBe(
      false,
    );
  });

  /** As opencode says it: the directory is said of the call before, and its request says only the command. */
  const opencodeShell = (directory: string, between: Json[] = []): Json[] => [
    { sessionUpdate: "tool_call", toolCallId: "b", title: "bash", kind: "execute", status: "pending", locations: [{ path: directory }] },
    {
      sessionUpdate: "tool_call_update",
      toolCallId: "b",
      status: "in_progress",
      kind: "execute",
      title: "rm -rf build",
      locations: [{ path: directory }],
      rawInput: { command: "rm -rf build", description: "Clean", cwd: directory },
    },
    ...between,
    ask({ toolCallId: "b", title: "rm -rf build", kind: "execute", status: "pending", locations: [], rawInput: { command: "rm -rf build" } }),
  ];

  test("is not the command elsewhere, also where the request leaves its directory out", async () => {
    expect(await askedAgain(opencodeShell(cwd), opencodeShell(cwd))).toBe(false);
    expect(await askedAgain(opencodeShell(cwd), opencodeShell("/srv"))).toBe(true);
    const again = { sessionUpdate: "tool_call_update", toolCallId: "b", rawInput: { command: "rm -rf build" } };
    expect(await askedAgain(opencodeShell(cwd, [again]), opencodeShell("/srv", [again]))).toBe(true);
  });

  test("a directory that the request leaves out is judged, shown and part of what is answered", async () => {
    expect(await answers(opencodeShell("/srv"), { outsideWorkspace: "deny" })).toEqual(["no"]);
    expect(await answers(opencodeShell(cwd), { outsideWorkspace: "deny" })).toEqual(["yes"]);
    const { detail, requestKey } = await asked(...opencodeShell("/srv"));
    expect(detail).toMatchObject({ command: "rm -rf build", paths: ["/srv"], input: { cwd: "/srv" } });
    expect(requestKey).not.toBe((await asked(...opencodeShell(cwd))).requestKey);
  });

  test.each<[string, Json[], Json[]]>([
    ["another command", shell(), shell({}, { command: "npm test --all" })],
    ["the command as other words", shell({}, { command: ["npm", "test"] }), shell({}, { command: ["npm test"] })],
    ["the command elsewhere", shell(), shell({}, { cwd: "/" })],
    ["more than the command", shell(), shell({}, { env: { PATH: "/evil" } })],
    ["a command that only its title says", shell({ title: "npm test" }, { command: "" }), shell({ title: "npm publish" }, { command: "" })],
    ["titles that differ late", shell({ title: `${"x".repeat(3_000)}a` }), shell({ title: `${"x".repeat(3_000)}b` })],
    ["another tool", shell(), shell({ name: "root-shell" })],
    ["another kind", shell(), shell({ kind: "other" })],
    ["a file that comes with the command", shell(), shell({ locations: [{ path: "/etc/passwd" }] })],
    ["a change that comes with the command", shell(), shell({ content: [diff("x")] })],
    ["another path", edit("x"), edit("y")],
    ["a path more", edit("x"), edit("x", { locations: [{ path: "x" }, { path: "y" }] })],
    ["a path of the input", edit("x"), edit("x", { rawInput: { file_path: "y", old_string: "a", new_string: "b" } })],
    ["a path within what is written", edit("x", { rawInput: { content: { to: "y" } } }), edit("x", { rawInput: { content: { to: "z" } } })],
    ["a path of the change", edit("x"), edit("x", {}, { path: join(cwd, "y") })],
    ["a deletion", edit("x"), edit("x", {}, { newText: null })],
    ["content of another kind", edit("x"), edit("x", { content: [{ type: "terminal", terminalId: "t" }] })],
    ["another place to move to", edit("x", { kind: "move", rawInput: { path: "x", to: "y" } }), edit("x", { kind: "move", rawInput: { path: "x", to: "z" } })],
    [
      "an edit of what nobody names",
      [ask({ toolCallId: "a", kind: "edit", title: "Edit", rawInput: { n: 1 } })],
      [ask({ toolCallId: "a", kind: "edit", title: "Edit", rawInput: { n: 1 } })],
    ],
    ["a request without arguments", [ask(geminiAsks.params.toolCall)], [ask(geminiAsks.params.toolCall)]],
  ])("is not %s", async (_what, first, second) => {
    expect(await askedAgain(first, second)).toBe(true);
  });
});
