import { BatonError } from "../../contracts/failures.ts";
import { waitLimit } from "../../mcp-gateway/long-polls.ts";
import { tools } from "../../mcp-gateway/registry/index.ts";
import { callTool } from "../../mcp-gateway/server.ts";
import { onBaton } from "../client/on-baton.ts";

type Args = Record<string, unknown>;
const instance = `t${process.pid}${Date.now()}`;
const on = onBaton(instance);

interface Envelope {
  ok: boolean;
  data?: Args;
  error?: { code: string; message: string; field?: string; example?: Args };
  next?: { args: Args }[];
}
async function call(tool: string, args: Args, up = true): Promise<{ envelope: Envelope; text: string }> {
  const away = () => Promise.reject(new BatonError("UNAVAILABLE", "Not now."));
  const parts = {
    baton: up ? () => Promise.resolve(on.baton) : away,
    caller: { principal: "local" },
    report: () => {},
    waits: waitLimit(4, 4),
    progressMs: 10_000,
  };
  const { structuredContent, content } = await callTool(
    parts,
    tools.find((one) => one.name === tool)!,
    args,
  );
  return { envelope: structuredContent as unknown as Envelope, text: content[0]!.text };
}
const large = 32_768;
const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** Whatever the action takes, as large as it may come. */
const texts = ["x".repeat(120_000), "ä\n".repeat(60_000), "\u{1F642}".repeat(30_000)];
const shapes: ((text: string) => unknown)[] = [
  (text) => text,
  (text) => [text],
  (text) => ({ text }),
  (text) => Array.from({ length: 300 }, (_, n) => text.slice(n, n + 300)),
  (text) => Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`k${n}`, text.slice(n, n + 300)])),
];

test("a refusal fits where hosts cut text, whatever of it was sent; every call in it is whole", async () => {
  const fits = async (tool: string, args: Args, up?: boolean): Promise<void> => {
    const { envelope, text } = await call(tool, args, up);
    expect([tool, Object.keys(args), envelope.ok, Buffer.byteLength(text) < 10_000 || text.slice(0, 300)]).toEqual([tool, Object.keys(args), false, true]);
    for (const one of envelope.next ?? []) expect(JSON.stringify(one)).not.toMatch(/[^"]…"/);
  };
  // Nothing behind the door: what the arguments say is all that a refusal can tell.
  for (const tool of tools)
    for (const { action, schema, example } of tool.actions)
      for (const [n, field] of Object.keys(schema.shape).entries()) {
        // Without its key: the refusal then shows how the same call would look with one.
        const { clientRequestId: _, ...rest } = example;
        for (const shape of shapes)
          await fits(tool.name, { ...rest, ...(tool.takesAction ? { action } : {}), [field]: shape(texts[n % texts.length]!) }, false);
      }
  for (const text of texts.map((one) => one.slice(0, 20_000))) {
    await fits("pm_session", { action: text });
    await fits("pm_session", { action: "list", [text]: 1 });
    for (const field of ["status", "cursor", "parentUlid", "rootUlid"]) await fits("pm_session", { action: "list", [field]: text });
    await fits("pm_session", { action: "input", sessionUlid: text, prompt: text });
    await fits("pm_session", { action: "approvals", state: text });
    await fits("pm_task", { action: "list", status: text });
    const launch = { action: "launch_task", clientRequestId: "k", actor: "@me", taskKey: "NONE-1", launcherConfigKey: "demo-executor", prompt: text };
    await fits("pm_session", launch);
    for (const field of ["role", "agentId", "parentUlid", "sessionUlidToAudit"])
      await fits("pm_session", { ...launch, task: { title: "x", repositoryPath: on.repositoryPath }, [field]: text });
    await fits("pm_session", { ...launch, task: { title: "x", repositoryPath: text } });
    await fits("pm_session", { ...launch, task: { title: "x", repositoryPath: on.repositoryPath }, worktree: { baseRef: text } });
  }
}, 120_000);

test("the example of a call without a key shows its short arguments whole and its long ones cut", async () => {
  const args = { action: "start", actor: "@me", contextRef: "c", role: "executor", provider: "scripted", systemPrompt: "s".repeat(120_000) };
  const { envelope } = await call("pm_session", args);
  const example = envelope.error?.example;
  expect(example).toMatchObject({ contextRef: "c", clientRequestId: expect.any(String), systemPrompt: `${"s".repeat(400)}…` });
});

test("start without a preset's key takes that of provider and role, and asks for one where there is none", async () => {
  const start = (role: string, provider: string) =>
    call("pm_session", {
      action: "start",
      clientRequestId: `${role}-${provider}`,
      actor: "@me",
      contextRef: "c",
      role,
      provider,
      systemPrompt: "s",
      repositoryPath: on.repositoryPath,
    });
  // The agent is not here: the refusal says for which preset it would be.
  for (const [role, key] of Object.entries({ executor: "coder-claude", reviewer: "reviewer-claude", auditor: "auditor-claude", helper: "coder-claude" })) {
    const { envelope } = await start(role, "claude");
    expect([role, envelope.error?.code, JSON.stringify(envelope)]).toEqual([role, "PROVIDER_UNAVAILABLE", expect.stringContaining(key)]);
  }
  expect((await start("executor", "acp")).envelope.error).toMatchObject({ code: "INVALID_ARGUMENT", field: "launcherConfigKey" });
});

test("what a caller has to say is bounded in what he is told: tasks and dry runs", async () => {
  const task = {
    title: "t".repeat(300),
    description: "d".repeat(90_000),
    repositoryPath: on.repositoryPath,
    acceptanceCriteria: Array.from({ length: 100 }, () => "c".repeat(1_000)),
  };
  for (let n = 0; n < 20; n += 1) {
    const { envelope } = await call("pm_task", { action: "create", taskKey: `BIG-${n}`, ...task });
    expect([envelope.error, bytes(envelope.data ?? null) < large + 100]).toEqual([undefined, true]);
  }
  const status = { action: "change_status", taskKey: "BIG-1", to: "to_do" };
  for (const args of [{ action: "list" }, { action: "get", taskKey: "BIG-1" }, status])
    expect([args.action, bytes((await call("pm_task", args)).envelope.data ?? null) < large + 100]).toEqual([args.action, true]);
  const launch = { action: "launch_task", clientRequestId: "dry", actor: "@me", taskKey: "BIG-1", launcherConfigKey: "demo-executor", dryRun: true };
  const says = [
    { prompt: "p".repeat(250_000) },
    { additionalInstructions: "\n".repeat(40_000) },
    { config: { scenario: { turns: [[{ say: "s".repeat(200_000) }]] } } },
  ];
  for (const more of says) {
    const { envelope } = await call("pm_session", { ...launch, ...more });
    expect([envelope.error, bytes(envelope.data ?? null) <= large]).toEqual([undefined, true]);
  }
}, 60_000);
