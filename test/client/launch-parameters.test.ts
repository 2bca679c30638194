import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import { onBaton } from "./on-baton.ts";

const caller = { principal: "local", actor: "@me" };
const instance = `t${randomBytes(4).toString("hex")}`;
const on = onBaton(instance);

beforeAll(() => {
  mkdirSync(join(on.home, "presets"));
  const preset = (key: string, more: object) =>
    writeFileSync(join(on.home, "presets", `${key}.json`), JSON.stringify({ providerType: "scripted", config: { scenario: { turns: [[]] } }, ...more }));
  preset("closed", { allowAdhocOverrides: false });
  preset("limited", {
    config: { scenario: { turns: [[]] }, model: "small", env: [{ name: "KEY", valueRef: "env:OLD" }] },
    limits: { wallSeconds: 60, turns: 5 },
    tools: ["read"],
  });
});

const key = () => `${instance}-${randomBytes(6).toString("hex")}`;
const file = (path: string, text: string) => {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
};
/** Not run: nothing here needs an agent. */
function task(taskKey: string, more: Partial<LaunchArgs> = {}): LaunchArgs {
  return {
    clientRequestId: key(),
    taskKey,
    launcherConfigKey: "demo-executor",
    run: false,
    task: { title: "A task", description: "Do it.", acceptanceCriteria: ["it works"], repositoryPath: on.repositoryPath },
    ...more,
  };
}
const launch = async (args: LaunchArgs) => String((await on.baton.sessions.launch(caller, args)).data["sessionUlid"]);
const written = async () =>
  (
    await on.sql.query(
      "select (select count(*) from session) s, (select count(*) from task) t, (select count(*) from launch) l, (select count(*) from client_request) r",
    )
  ).rows[0] as unknown;

test("agents and capabilities come from home, the repository and Baton; the record says which", async () => {
  file(
    join(on.home, "agents", "mender.md"),
    "---\nid: mender-1\ndisplayName: The Mender\nrole: mechanic\ncapabilityKeys: [tidy, valdr-executor]\n---\nYou mend things.\n",
  );
  file(join(on.home, "capabilities", "tidy.md"), "---\nkey: tidy\n---\nLeave no mess.\n");
  file(join(on.repositoryPath, ".baton", "capabilities", "tidy.md"), "from the repository\n");
  file(join(on.repositoryPath, ".baton", "capabilities", "local.md"), "Know this place.\n");
  const args = task("AGENT-1", { agentId: "mender-1", capabilityKeys: ["local", "no-such"], additionalInstructions: "Hurry." });
  const { data, warnings } = await on.baton.sessions.launch(caller, args);
  expect(warnings).toEqual([expect.stringContaining('"no-such"')]);
  expect(data).toMatchObject({ targetAgentHandle: "mender", name: "AGENT-1/mechanic-1" });
  const prompt = await on.baton.sessions.prompt({ sessionUlid: String(data["sessionUlid"]) });
  expect(prompt).toMatchObject({
    promptMode: "task",
    systemPrompt: expect.stringMatching(/The Mender[^]*You mend things\.[^]*Leave no mess\.[^]*Know this place\./),
  });
  expect(prompt["systemPrompt"]).not.toContain("from the repository");
  expect(prompt["firstPrompt"]).toMatch(/# AGENT-1: A task\n\nDo it\.\n\n## Acceptance criteria\n\n- it works\n\n## Additional instructions\n\nHurry\./);
  const sections = prompt["sections"] as { name: string; source: string; missing?: true; sha256: string }[];
  expect(sections.map(({ name, source, missing }) => [name, source, missing])).toEqual([
    ["identity", "built-in", undefined],
    ["agent mender", "home:agents/mender.md", undefined],
    ["capability tidy", "home:capabilities/tidy.md", undefined],
    ["capability valdr-executor", "built-in", undefined],
    ["capability local", "repository:capabilities/local.md", undefined],
    ["task", "task:AGENT-1", undefined],
    ["acceptance criteria", "task:AGENT-1", undefined],
    ["additional instructions", "caller", undefined],
    ["ending", "built-in", undefined],
    ["capability no-such", "none", true],
  ]);
  // What was used stays what it was, whatever becomes of the files.
  writeFileSync(join(on.home, "capabilities", "tidy.md"), "Something else.\n");
  expect(await on.baton.sessions.prompt({ sessionUlid: String(data["sessionUlid"]) })).toEqual(prompt);
});

test("a prompt of the caller's makes the system prompt minimal; a long one is cut in the answer, and says so", async () => {
  const long = "p".repeat(100_000);
  const sessionUlid = await launch(task("PROMPT-1", { prompt: long, agentHandle: "@whoever" }));
  const shown = await on.baton.sessions.prompt({ sessionUlid });
  expect(shown).toMatchObject({
    promptMode: "minimal",
    systemPrompt: expect.stringContaining("You are whoever, working as executor on TASK-PROMPT-1."),
    truncated: { firstPrompt: { truncated: true, bytes: 100_000, resource: `session://${sessionUlid}/prompt` } },
  });
  expect(JSON.stringify(shown).length).toBeLessThan(32_768);
  expect(await on.baton.sessions.prompt({ sessionUlid, maxBytes: 204_800 })).toMatchObject({ firstPrompt: long });
});

test("files of a repository cannot lead out of it, hold a launch up or be of any size", async () => {
  const folder = join(on.repositoryPath, ".baton", "capabilities");
  file(join(on.home, "secret.md"), "a secret\n");
  mkdirSync(folder, { recursive: true });
  symlinkSync(join(on.home, "secret.md"), join(folder, "linked.md"));
  execFileSync("mkfifo", [join(folder, "pipe.md")]);
  file(join(folder, "large.md"), "x".repeat(70_000));
  const names = ["linked", "pipe", "large", "../../secret"];
  const { data, warnings } = await on.baton.sessions.launch(caller, task("HOSTILE-1", { capabilityKeys: names }));
  expect(warnings.join("\n")).toMatch(/linked\.md is a symbolic link[^]*pipe\.md is not a plain file[^]*large\.md is larger/);
  const prompt = await on.baton.sessions.prompt({ sessionUlid: String(data["sessionUlid"]) });
  expect((prompt["sections"] as { missing?: true }[]).filter((section) => section.missing)).toHaveLength(names.length);
  expect(JSON.stringify(prompt)).not.toContain("a secret");

  rmSync(join(on.repositoryPath, ".baton"), { recursive: true });
  mkdirSync(join(on.home, "outside", "capabilities"), { recursive: true });
  writeFileSync(join(on.home, "outside", "capabilities", "beyond.md"), "a secret\n");
  symlinkSync(join(on.home, "outside"), join(on.repositoryPath, ".baton"));
  const beyond = await on.baton.sessions.launch(caller, task("HOSTILE-2", { capabilityKeys: ["beyond"] }));
  expect(beyond.warnings.join("\n")).toMatch(/lies outside/);
  rmSync(join(on.repositoryPath, ".baton"));
});

test("overrides are recorded, limits only narrow, and config shows no secret", async () => {
  const sessionUlid = await launch(
    task("OVER-1", {
      launcherConfigKey: "limited",
      config: { model: "large", env: [{ name: "KEY", valueRef: "env:NEW" }] },
      tools: ["read", "edit"],
      limits: { wallSeconds: 600, tokens: 1_000 },
      maxRuntimeSeconds: 30,
      labels: { team: "a" },
    }),
  );
  const config = await on.baton.sessions.config({ sessionUlid });
  expect(config).toMatchObject({
    preset: { key: "limited", revision: 1, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    effective: { model: "large", tools: ["read", "edit"], limits: { wallSeconds: 30, turns: 5, tokens: 1_000 } },
    overrides: [
      { path: "config.model", from: "small", to: "large", by: "me" },
      { path: "tools", from: ["read"], to: ["read", "edit"], by: "me" },
      { path: "env.KEY", from: "env:OLD", to: "env:NEW", by: "me" },
    ],
    env: [{ name: "KEY", valueRef: "env:NEW" }],
  });
  expect(await on.baton.sessions.spec({ sessionUlid })).toMatchObject({
    prompt: { promptMode: "task" },
    tools: ["read", "edit"],
    worktree: { policy: "branch", branchName: "baton/OVER-1", state: "pending" },
    provider: { type: "scripted", capabilities: { steer: "none" } },
    permissions: { mode: "ask" },
    limits: { turns: 5 },
    bootstrapCommands: [],
    lineage: { launchReason: "launch_task", parentUlid: null, generation: 1 },
  });
});

test("a dry run checks and shows everything, makes nothing and takes no key", async () => {
  const before = await written();
  const clientRequestId = key();
  const args = task("DRY-1", {
    clientRequestId,
    dryRun: true,
    capabilityKeys: ["executor"],
    run: true,
    chain: { reviewers: [{ launcherConfigKey: "demo-reviewer" }] },
  });
  const { data } = await on.baton.sessions.launch(caller, args);
  expect(data).toMatchObject({
    dryRun: true,
    contextRef: "TASK-DRY-1",
    branchName: "baton/DRY-1",
    promptMode: "task",
    firstPrompt: expect.stringContaining("# DRY-1"),
    systemPrompt: expect.stringContaining("You carry out the task."),
    effective: { providerType: "scripted" },
    chain: { reviewers: 1 },
  });
  await expect(on.baton.sessions.launch(caller, { ...args, launcherConfigKey: "no-such" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await written()).toEqual(before);
  const there = await launch(task("DRY-1", { clientRequestId }));
  // Now somebody is there, and a dry run says so as the launch would: one that has nothing to do gives way, one that has does not.
  const next = { dryRun: true, agentHandle: "demo-executor" };
  expect((await on.baton.sessions.launch(caller, task("DRY-1", next))).data).toMatchObject({ supersedes: there });
  await on.baton.sessions.input(caller, { sessionUlid: there, prompt: "work" });
  await expect(on.baton.sessions.launch(caller, task("DRY-1", next))).rejects.toMatchObject({ code: "CONFLICT_STATE" });
});

test("a dry run names the branch that the launch gets, and answers a taken key as it would be answered", async () => {
  const args = task("DRY-2", { agentHandle: "executor", run: false });
  const first = await on.baton.sessions.launch(caller, args);
  expect(first.data).toMatchObject({ branchName: "baton/DRY-2" });
  const dry = (more: Partial<LaunchArgs>) => on.baton.sessions.launch(caller, { ...args, ...more, dryRun: true });
  expect(await dry({})).toMatchObject({ replayed: true, data: { dryRun: true, replayed: true, sessionUlid: first.data["sessionUlid"] } });
  await expect(dry({ prompt: "something else" })).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
  const next = { agentHandle: "another", clientRequestId: key() };
  const before = await written();
  const { branchName } = (await dry(next)).data;
  expect([branchName, await written()]).toEqual(["baton/DRY-2-1", before]);
  expect((await on.baton.sessions.launch(caller, { ...args, ...next })).data).toMatchObject({ branchName });
});

test("a dry run fits: what is long is cut, or said by its size alone", async () => {
  const prompt = "p".repeat(250_000);
  const config = { scenario: { turns: [[{ say: "s".repeat(200_000) }]] } };
  const { data } = await on.baton.sessions.launch(caller, task("DRY-3", { prompt, config, dryRun: true }));
  expect(Buffer.byteLength(JSON.stringify(data))).toBeLessThanOrEqual(32_768);
  expect(data).toMatchObject({
    firstPrompt: expect.stringMatching(/^p{500,}$/),
    effective: null,
    truncated: { firstPrompt: { truncated: true, bytes: 250_000 }, effective: { truncated: true } },
  });
});

test("a bare contextRef that is a task's key means the task, with its repository; a project gives one too", async () => {
  await launch(task("CTX-1"));
  const start = (more: Partial<LaunchArgs>) =>
    on.baton.sessions.start(caller, {
      clientRequestId: key(),
      actor: "@me",
      taskKey: "CTX-1",
      contextRef: "CTX-1",
      role: "helper",
      systemPrompt: "Help.",
      launcherConfigKey: "limited",
      ...more,
    });
  const { data } = await start({});
  expect(data).toMatchObject({ contextRef: "TASK-CTX-1", taskKey: "CTX-1", branchName: "baton/CTX-1-1" });
  expect(await on.baton.sessions.prompt({ sessionUlid: String(data["sessionUlid"]) })).toMatchObject({ promptMode: "explicit", systemPrompt: "Help." });
  const spike = await start({ taskKey: "spike", contextRef: "spike", worktree: { projectKey: "CTX", branchPrefix: "try/" } });
  expect(spike.data).toMatchObject({ contextRef: "spike", taskKey: null, branchName: "try/spike" });
  await expect(start({ taskKey: "other", contextRef: "other", worktree: { projectKey: "NONE" } })).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(launch(task("CTX-1", { agentHandle: "x", worktree: { projectKey: "OTHER" } }))).rejects.toMatchObject({
    detail: { field: "worktree.projectKey" },
  });
});

test("the record to audit is named in the prompt, and parents are sessions that exist", async () => {
  const made = await launch(task("AUDIT-1"));
  const args = { agentHandle: "valdr-auditor", sessionUlidToAudit: made, parentUlid: "AUDIT-1/executor-1" };
  const sessionUlid = await launch(task("AUDIT-1", args));
  expect(await on.baton.sessions.prompt({ sessionUlid })).toMatchObject({ promptMode: "audit", systemPrompt: expect.stringContaining(`sessionUlid: ${made}`) });
  expect(await on.baton.sessions.get({ sessionUlid })).toMatchObject({ parentUlid: made, role: "auditor" });
});

test("one session at a time works in the repository itself", async () => {
  const sessionUlid = await launch(task("PLACE-1", { worktree: { disabled: true } }));
  expect(await on.baton.sessions.get({ sessionUlid })).toMatchObject({ worktreePath: on.repositoryPath, branchName: null });
  const second = task("PLACE-2", { worktree: { disabled: true } });
  await expect(launch({ ...second, prompt: "do this" })).rejects.toMatchObject({
    code: "CONFLICT_STATE",
    detail: { field: "worktree.disabled", next: [{ args: { action: "input", sessionUlid, prompt: "do this" } }, { args: { action: "close", sessionUlid } }] },
  });
  await expect(launch({ ...second, prompt: "x".repeat(5_000) })).rejects.toMatchObject({
    message: expect.stringContaining("send it an input"),
    detail: { next: [{ args: { action: "close", sessionUlid } }] },
  });
  await launch(task("PLACE-2"));
});

test.each<[string, Partial<LaunchArgs>, string, string, typeof caller?]>([
  ["an agent nobody defines", { agentId: "no-such" }, "NOT_FOUND", "agentId"],
  ["an id and another's handle", { agentId: "executor", agentHandle: "reviewer" }, "INVALID_ARGUMENT", "agentHandle"],
  ["an unknown tool", { tools: ["hammer"] }, "INVALID_ARGUMENT", "tools"],
  ["overrides of a closed preset", { launcherConfigKey: "closed", config: { model: "x" } }, "PERMISSION_DENIED", "config.model"],
  [
    "shell lines without the scope",
    { bootstrapCommands: ["id"] },
    "PERMISSION_DENIED",
    "bootstrapCommands",
    { ...caller, scopes: ["session:launch"] } as never,
  ],
  ["a value instead of a reference", { env: [{ name: "A", valueRef: "hunter2" }] }, "INVALID_ARGUMENT", "env"],
  ["Baton's own secrets", { env: [{ name: "A", valueRef: "env:DATABASE_URL" }] }, "PERMISSION_DENIED", "env"],
  ["a template that is not there", { worktree: { templateRef: "no-such" } }, "INVALID_ARGUMENT", "worktree.templateRef"],
  ["a template without a worktree", { worktree: { templateRef: "main", disabled: true } }, "INVALID_ARGUMENT", "worktree.templateRef"],
  ["a session to audit that is not there", { sessionUlidToAudit: "NONE-1/executor-1" }, "NOT_FOUND", "sessionUlid"],
  ["a parent that is not there", { parentUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV" }, "NOT_FOUND", "sessionUlid"],
  ["long labels", { labels: { a: "x".repeat(201) } }, "INVALID_ARGUMENT", "labels"],
])("%s is refused; nothing is made", async (_what, more, code, field, by = caller) => {
  const before = await written();
  await expect(on.baton.sessions.launch(by, task("REFUSED-1", more))).rejects.toMatchObject({ code, detail: { field } });
  expect(await written()).toEqual(before);
});
