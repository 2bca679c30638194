import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Envelope } from "../../client/pm-client.ts";
import { onStack } from "../faults/support/on-stack.ts";

const root = join(import.meta.dirname, "../..");
const readme = readFileSync(join(root, "README.md"), "utf8");
// Without agents that this machine may have: what is missing is part of the story.
const searchPath = (process.env["PATH"] ?? "")
  .split(delimiter)
  .filter((directory) => !["codex-acp", "claude-agent-acp"].some((name) => existsSync(join(directory, name))))
  .join(delimiter);
let url: string;
let client: Client;
const on = onStack({
  start: ["engine", "host"],
  numbers: { PATH: searchPath },
  before: async (stack) => {
    ({ url } = await stack.startGateway());
    stack.env["BATON_GATEWAY_URL"] = url;
  },
});

beforeAll(async () => {
  client = new Client({ name: "story", version: "1" });
  const headers = { authorization: `Bearer ${readFileSync(join(on.stack.home, "token"), "utf8").trim()}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
}, 60_000);
afterAll(() => client?.close());

async function send(tool: string, args: Record<string, unknown>): Promise<Envelope> {
  return (await client.callTool({ name: tool, arguments: args })).structuredContent as unknown as Envelope;
}

/** The fenced blocks of a story in the README, as they stand there but for the repository's path. */
function blocks(story: string, language: string): string[] {
  const from = readme.indexOf(`<!-- story: ${story} -->`);
  expect(from).toBeGreaterThan(0);
  const text = readme.slice(from).split(/\n##+ /)[0] ?? "";
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map((found) =>
    (found[1] ?? "").replaceAll("/path/to/your/repository", on.stack.repository),
  );
}
/** `<name>` is the answer before's `name`. */
function filledIn(args: Record<string, unknown>, answer: Record<string, unknown>): Record<string, unknown> {
  return JSON.parse(JSON.stringify(args).replaceAll(/<(\w+)>/g, (_, name: string) => String(answer[name]))) as Record<string, unknown>;
}
const calls = (story: string) => blocks(story, "json").map((text) => JSON.parse(text) as { tool: string; args: Record<string, unknown> });

test("README: an orchestrator delivers a task", async () => {
  const [create, launch, wait, get, ...more] = calls("deliver");
  if (!create || !launch || !wait || !get) throw new Error("the story has four calls");
  expect(more).toEqual([]);
  expect(await send(create.tool, create.args)).toMatchObject({ ok: true });
  const launched = await send(launch.tool, launch.args);
  expect(launched).toMatchObject({ ok: true, data: { chainId: expect.any(String) } });
  // Who waits for the task instead of the chain waits for its end as well: the task's status is decided when the answer comes.
  const task = { action: "wait", taskKey: "GREET-1", until: "closed", mode: "all", waitMs: 25_000 };
  await on.baton.eventually("the end of the task", async () => (await send("pm_session", task)).data?.["met"] === true, 120_000);
  expect(await send(get.tool, get.args)).toMatchObject({ data: { task: { status: "verified" } } });
  const args = filledIn(wait.args, launched.data ?? {});
  await on.baton.eventually("the end of the chain", async () => (await send(wait.tool, args)).data?.["met"] === true, 120_000);
  expect(await send(get.tool, get.args)).toMatchObject({ ok: true, data: { task: { status: "verified" } } });
  // Once more from the beginning: the same task, the same session.
  for (const { tool, args } of [create, launch]) expect(await send(tool, args)).toMatchObject({ ok: true, data: { replayed: true } });
}, 150_000);

test("README: an agent launches an agent and sleeps until it is done", async () => {
  const [launch, look, ...more] = calls("sleep");
  if (!launch || !look) throw new Error("the story has two calls");
  expect(more).toEqual([]);
  // The scripted agent writes an earlier answer's field in its own way.
  const looked = { ...look, args: JSON.parse(JSON.stringify(look.args).replaceAll(/<(\w+)>/g, "{{$1}}")) as object };
  const turns = [[{ call: launch }, { say: "I sleep" }], { on: "has settled", steps: [{ say: "I am awake. " }, { call: looked }] }];
  const task = { title: "Lead", repositoryPath: on.stack.repository };
  const args = { clientRequestId: "lead-1", actor: "@me", taskKey: "LEAD-1", launcherConfigKey: "demo-executor", agentHandle: "lead", prompt: "go" };
  const launched = await send("pm_session", { action: "launch_task", ...args, config: { scenario: { turns } }, task });
  const lead = String(launched.data?.["sessionUlid"]);
  await on.baton.turnsEnded(lead, 2, 90_000);
  const said = await on.baton.query<{ text: string }>(
    "select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' and data->>'role' = 'agent' order by seq",
    [lead],
  );
  const text = said.map((row) => row.text).join("\n");
  expect(text.indexOf("I sleep")).toBeLessThan(text.indexOf("I am awake"));
  expect(text).toContain("src/greet.mjs");
  expect(await on.baton.query("select source from input where session_ulid = $1", [lead])).toHaveLength(2);
  const { data } = await on.baton.sdk.sessions.list({ contextRef: "LEAD-2" });
  expect(data).toMatchObject({ sessions: [{ parentUlid: lead, lastTurn: { outcome: "completed" } }] });
}, 150_000);

test("README: an operator comes back in the morning to three stuck sessions", async () => {
  mkdirSync(join(on.stack.home, "presets"), { recursive: true });
  writeFileSync(join(on.stack.home, "presets/night.json"), JSON.stringify({ key: "night", providerType: "scripted", permissions: { mode: "ask" } }));
  const night = async (n: number, turns: unknown[]): Promise<string> => {
    const key = `NIGHT-${n}`;
    const task = { title: key, repositoryPath: on.stack.repository };
    const args = {
      clientRequestId: key,
      actor: "@me",
      taskKey: key,
      launcherConfigKey: "night",
      agentHandle: "executor",
      prompt: "go",
      config: { scenario: { turns } },
      task,
    };
    return String((await on.baton.sdk.sessions.launch({ principal: "local" }, args)).data["sessionUlid"]);
  };
  const sessions = await Promise.all([
    night(1, [[{ ask: { title: "make install" } }, { say: "installed" }]]),
    night(2, [[{ error: "the model was away" }], [{ say: "went on" }]]),
    night(3, [[{ ask: { title: "curl example.com" } }, { say: "not allowed" }], [{ say: "without the network" }]]),
  ]);
  await on.baton.eventually("three that wait", async () => (await stuck()).length === 3, 60_000);
  const [script = "", ...more] = blocks("morning", "sh");
  expect(more).toEqual([]);
  const lines = script.trim().split("\n");
  const [first, ...rest] = lines;
  expect(rest.at(-1)).toBe(first);
  const before = await shell(first ?? "");
  for (const n of [1, 2, 3]) expect(before.stdout).toContain(`NIGHT-${n}/executor-1`);
  for (const line of rest.slice(0, -1)) expect([line, await shell(line)]).toEqual([line, expect.objectContaining({ code: 0 })]);
  for (const [at, turns] of [1, 2, 2].entries()) await on.baton.turnsEnded(sessions[at] ?? "", turns, 60_000);
  expect((await shell(first ?? "")).stdout).toContain("Waits for somebody: nothing");
  for (const [at, said] of ["installed", "went on", "without the network"].entries())
    expect(await on.baton.sdk.sessions.get({ sessionUlid: sessions[at] ?? "" })).toMatchObject({ lastTurn: { outcome: "completed", finalMessage: said } });
}, 150_000);

async function stuck(): Promise<unknown[]> {
  return (await on.baton.sdk.sessions.list({ attention: true })).data["sessions"] as unknown[];
}

/** A line of the README in a shell whose `npx baton` is this checkout's. */
function shell(line: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const bin = join(on.stack.home, "bin");
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, "npx"), `#!/bin/sh\n[ "$1" = baton ] || exit 99\nshift\nexec '${process.execPath}' '${join(root, "cli/main.ts")}' "$@"\n`);
  chmodSync(join(bin, "npx"), 0o755);
  const token = readFileSync(join(on.stack.home, "token"), "utf8").trim();
  const env = { PATH: `${bin}:${process.env["PATH"]}`, HOME: on.stack.home, BATON_URL: url, BATON_TOKEN: token };
  return new Promise((resolve) => {
    const child = execFile("sh", ["-c", line], { env }, (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }));
  });
}

describe("both calls of the published guides, verbatim", () => {
  const codex = {
    action: "launch_task",
    clientRequestId: "01HXYZ...",
    actor: "@skadi",
    taskKey: "VALDR-42",
    launcherConfigKey: "coder-codex",
    agentHandle: "coder-codex",
    capabilityKeys: ["valdr-executor"],
    additionalInstructions: "Focus on the failing build path first.",
  };
  const claude = {
    action: "launch_task",
    clientRequestId: "01HXYZ...",
    actor: "@skadi",
    taskKey: "MYAPI-42",
    launcherConfigKey: "coder-claude",
    agentHandle: "claude-coder",
  };
  const both = [
    [codex, "codex-acp", "VALDR-42/executor-1"],
    [claude, "claude-agent-acp", "MYAPI-42/executor-1"],
  ] as const;

  test("what is missing is said, with the call that mends it", async () => {
    for (const [guide, program] of both) {
      const { taskKey, launcherConfigKey: key } = guide;
      const noTask = await send("pm_session", guide);
      const create = { action: "create", taskKey };
      // Nobody knows its title and repository: an example, and no call to be sent as it is.
      expect(noTask).toMatchObject({ error: { code: "NOT_FOUND", field: "taskKey", example: { tool: "pm_task", args: create } } });
      expect(noTask.next ?? []).toEqual([]);
      expect(await send("pm_task", { ...create, title: "x", repositoryPath: on.stack.repository })).toMatchObject({ ok: true });
      const noAgent = await send("pm_session", guide);
      const message = expect.stringMatching(new RegExp(`"${program}" is not installed.*npm install -g`));
      expect(noAgent).toMatchObject({
        error: { code: "PROVIDER_UNAVAILABLE", message },
        next: [{ args: { action: "list_providers" } }, { args: { action: "test_preset", key } }],
      });
      for (const { tool, args } of noAgent.next ?? []) expect(await send(tool, args)).toMatchObject({ ok: true });
    }
  });

  test("with task and agent there, a session", async () => {
    for (const [guide, , name] of both) {
      const { action: _, ...args } = guide;
      const file = join(on.stack.home, `presets/${args.launcherConfigKey}.json`);
      mkdirSync(join(file, ".."), { recursive: true });
      writeFileSync(file, JSON.stringify({ key: args.launcherConfigKey, providerType: "scripted", config: { scenario: { turns: [[{ say: "done" }]] } } }));
      // Both guides write the same key, and keys are a caller's own: the second one is another caller's here.
      const launched = guide === codex ? await send("pm_session", guide) : await on.baton.sdk.sessions.launch({ principal: "guide" }, args);
      expect(launched).toMatchObject({ data: { name, contextRef: `TASK-${args.taskKey}`, targetAgentHandle: args.agentHandle } });
      await on.baton.turnsEnded(String(launched.data?.["sessionUlid"]), 1, 60_000);
      rmSync(file);
    }
  }, 120_000);
});

test("a preset's rules reach the agent", async () => {
  const rules = [{ tool: "*", decision: "deny" }];
  expect(
    await send("pm_provider", { action: "create_preset", key: "ruled", providerType: "scripted", permissions: { mode: "approve-all", rules } }),
  ).toMatchObject({ ok: true });
  const scenario = { turns: [[{ ask: { title: "rm", onDeny: [{ say: "was told no" }] } }]] };
  const task = { title: "x", repositoryPath: on.stack.repository };
  const args = { clientRequestId: "ruled", actor: "@me", taskKey: "RULED-1", launcherConfigKey: "ruled", prompt: "go", config: { scenario }, task };
  const sessionUlid = String((await send("pm_session", { action: "launch_task", ...args })).data?.["sessionUlid"]);
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect(await on.baton.sdk.sessions.get({ sessionUlid })).toMatchObject({ lastTurn: { finalMessage: expect.stringContaining("was told no") } });
});
