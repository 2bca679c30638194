import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import pg from "pg";
import { type Baton, openBaton } from "../../client/open-baton.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { batonOptions, repository } from "./support.ts";

const home = temporaryDirectory();
const bin = join(home, "bin");
const presets = join(home, "presets");
const caller = { principal: "local" };
let database: { url: string; drop(): Promise<void> };
let one: Baton, two: Baton;

beforeAll(async () => {
  database = await freshDatabase();
  mkdirSync(bin);
  const options = { ...batonOptions({ home, databaseUrl: database.url, instance: "presets" }), searchPath: `${bin}:/usr/bin:/bin` };
  one = await openBaton(options);
  two = await openBaton(options);
});
afterAll(async () => {
  await Promise.allSettled([one.close(), two.close()]);
  await database.drop();
});

const key = () => randomBytes(8).toString("hex");
const file = (name: string) => JSON.parse(readFileSync(join(presets, `${name}.json`), "utf8")) as Record<string, unknown>;
const acp = (name: string) => ({ key: name, providerType: "acp" as const, config: { command: ["my-agent", "--acp"] } });
const keys = (data: Record<string, unknown>) => (data["presets"] as { key: string }[]).map((preset) => preset.key);
function program(name: string, script: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
}

test("the built-in ones are always there; reviewers and auditors read", async () => {
  const found = (await one.presets.list())["presets"] as { key: string; builtIn: boolean; permissions: { mode: string } }[];
  for (const agent of ["codex", "claude", "opencode", "gemini"])
    for (const role of ["coder", "reviewer", "auditor"]) {
      const preset = found.find((p) => p.key === `${role}-${agent}`);
      expect(preset).toMatchObject({ builtIn: true, permissions: { mode: role === "coder" ? "approve-all" : "approve-reads" } });
    }
  expect(keys(await one.presets.list({ includeProviderDefaults: false }))).toEqual([]);
  expect(found.find((p) => p.key === "coder-codex")).toMatchObject({ available: false, install: expect.stringContaining("npm install") });
  expect(found.find((p) => p.key === "demo-executor")).toMatchObject({ available: true });
});

test("create, update, delete: a file of the same shape, a revision more with each change, the former ones kept", async () => {
  const created = await one.presets.create(caller, { ...acp("mine"), tags: ["fast"], env: [{ name: "KEY", valueRef: "env:MY_KEY" }] });
  expect(created).toMatchObject({
    revision: 1,
    preset: { key: "mine", permissions: { mode: "ask" }, config: { env: [{ name: "KEY", valueRef: "env:MY_KEY" }] } },
  });
  const updated = await one.presets.update(caller, {
    key: "mine",
    permissions: { mode: "approve-reads", outsideWorkspace: "deny", rules: [{ tool: "*", decision: "deny" }] },
  });
  expect(updated).toMatchObject({ revision: 2, preset: { revision: 2, tags: ["fast"], permissions: { mode: "approve-reads" } } });
  expect((updated["preset"] as { sha256: string }).sha256).not.toBe((created["preset"] as { sha256: string }).sha256);
  expect(file("mine")).toMatchObject({ key: "mine", revision: 2 });
  expect(readdirSync(join(presets, ".history", "mine"))).toEqual([expect.stringMatching(/^1-[0-9a-f]{12}\.json$/)]);
  expect(await two.presets.get("mine")).toEqual({ preset: updated["preset"] });
  expect(await one.presets.delete(caller, { key: "mine" })).toMatchObject({ deleted: true, builtInAgain: false });
  await expect(one.presets.get("mine")).rejects.toMatchObject({ code: "NOT_FOUND" });
  // One that was here is gone: what was asked for. A later one of the name never gets a revision that was another's.
  expect(await one.presets.delete(caller, { key: "mine" })).toMatchObject({ deleted: true });
  expect(await one.presets.create(caller, acp("mine"))).toMatchObject({ revision: 3 });
});

test("a built-in one gets a file by its first update, and comes back when that is deleted", async () => {
  await expect(one.presets.create(caller, acp("coder-gemini"))).rejects.toMatchObject({
    code: "CONFLICT_STATE",
    detail: { next: [{ args: { action: "update_preset" } }] },
  });
  await expect(one.presets.delete(caller, { key: "coder-gemini" })).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  const { preset } = await one.presets.update(caller, { key: "coder-gemini", permissions: { mode: "ask" } });
  expect(preset).toMatchObject({ revision: 2, permissions: { mode: "ask" }, config: { command: ["gemini", "--acp"] } });
  expect(await one.presets.delete(caller, { key: "coder-gemini" })).toMatchObject({ builtInAgain: true });
  expect(await one.presets.get("coder-gemini")).toMatchObject({ preset: { permissions: { mode: "approve-all" } } });
});

test("one key, one change; another request with it is refused; what is refused takes no key and no file", async () => {
  const clientRequestId = key();
  const first = await one.presets.create(caller, { ...acp("keyed"), clientRequestId });
  expect(await two.presets.create(caller, { ...acp("keyed"), clientRequestId })).toEqual({ ...first, replayed: true });
  await expect(one.presets.create(caller, { ...acp("keyed2"), clientRequestId })).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
  const bad: [object, string][] = [
    [{ key: "../x", providerType: "acp" }, "key"],
    [{ key: "bad", providerType: "acp", permissions: { mode: "sometimes" } }, "permissions.mode"],
    [{ key: "bad", providerType: "acp", permissions: { mode: "ask", rules: [{ tool: "*", decision: "perhaps" }] } }, "permissions.rules.0.decision"],
    [{ key: "reviewer-bad", providerType: "acp", permissions: { mode: "approve-all" } }, "permissions.mode"],
    [{ key: "bad", providerType: "acp", env: [{ name: "KEY", valueRef: "a secret itself" }] }, "env.0.valueRef"],
    [{ key: "bad", providerType: "acp", limits: { wallSeconds: 0 } }, "limits.wallSeconds"],
    [{ key: "bad" }, "providerType"],
  ];
  const refused = key();
  for (const [args, field] of bad)
    await expect(one.presets.create(caller, { ...(args as { key: string }), clientRequestId: refused })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      detail: { field },
    });
  const long = { key: "bad", providerType: "scripted" as const, config: { scenario: { turns: [[{ say: "x".repeat(200_000) }]] } } };
  await expect(one.presets.create(caller, long)).rejects.toMatchObject({ code: "LIMIT_EXCEEDED", detail: { field: "config" } });
  expect(keys(await one.presets.list())).not.toContain("bad");
  expect(await one.presets.create(caller, { ...acp("bad"), clientRequestId: refused })).toMatchObject({ revision: 1 });
});

test("writers at once, through two doors: each change is a revision of its own, or is refused by the revision it asked for; nothing is torn", async () => {
  await one.presets.create(caller, acp("raced"));
  const changed = await Promise.all(Array.from({ length: 12 }, (_, i) => (i % 2 ? one : two).presets.update(caller, { key: "raced", description: `n ${i}` })));
  expect(changed.map((answer) => answer["revision"]).toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 12 }, (_, i) => i + 2));
  const outcomes = await Promise.allSettled([one, two].map((baton, i) => baton.presets.update(caller, { key: "raced", revision: 13, displayName: `w ${i}` })));
  expect(outcomes.filter((o) => o.status === "fulfilled")).toHaveLength(1);
  expect(outcomes.find((o) => o.status === "rejected")?.reason).toMatchObject({ code: "CONFLICT_STATE", detail: { field: "revision", currentState: "14" } });
  const kept = readdirSync(join(presets, ".history", "raced"));
  expect(kept.map((name) => Number(name.split("-")[0])).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 13 }, (_, i) => i + 1));
  expect(readdirSync(presets).filter((name) => name.startsWith(".raced"))).toEqual([]);
});

test("a file that a hand broke is a problem of its own, and is not written over", async () => {
  writeFileSync(join(presets, "broken.json"), "{");
  expect(await one.presets.list()).toMatchObject({ problems: [expect.stringContaining("broken.json")] });
  await expect(one.presets.update(caller, { key: "broken", description: "x" })).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  expect(readFileSync(join(presets, "broken.json"), "utf8")).toBe("{");
});

test("a session stores the revision and hash of what it was launched with", async () => {
  const { preset } = await one.presets.create(caller, { key: "stored", providerType: "scripted", config: { scenario: { turns: [[{ say: "x" }]] } } });
  const args = {
    clientRequestId: key(),
    actor: "@me",
    taskKey: "STORED-1",
    launcherConfigKey: "stored",
    task: { title: "x", repositoryPath: repository(join(home, "repo")) },
  };
  const { data } = await one.sessions.start(caller, { ...args, run: false });
  await one.presets.update(caller, { key: "stored", description: "later" });
  const sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
  const { rows } = await sql.query("select preset_revision, preset_sha256 from session where session_ulid = $1", [data["sessionUlid"]]);
  await sql.end();
  expect(rows).toEqual([{ preset_revision: 1, preset_sha256: (preset as { sha256: string }).sha256 }]);
  expect(await one.presets.get("stored")).toMatchObject({ preset: { revision: 2 } });
  await one.sessions.close(caller, { sessionUlid: String(data["sessionUlid"]) });
});

test("a preset without a worktree works in the repository itself", async () => {
  const repositoryPath = repository(join(home, "in-place"));
  await one.presets.create(caller, { key: "in-place", providerType: "scripted", worktree: { shouldCreateWorktree: false } });
  const args = { clientRequestId: key(), actor: "@me", taskKey: "PLACE-1", launcherConfigKey: "in-place", task: { title: "x", repositoryPath } };
  const { data } = await one.sessions.start(caller, args);
  expect(data).toMatchObject({ worktreePath: repositoryPath, branchName: null });
  await one.sessions.close(caller, { sessionUlid: String(data["sessionUlid"]) });
});

test("list_providers says what is here, in which version, and what to install", async () => {
  const asked = join(home, "asked-for-its-version");
  program("opencode", `echo once >> "${asked}"; sleep 0.2; echo "1.18.33"`);
  const [{ providers }] = (await Promise.all([one, one, two].map((baton) => baton.providers.list()))) as [{ providers: Record<string, unknown>[] }];
  const of = (name: string) => providers.find((p) => p["provider"] === name);
  expect(of("opencode")).toMatchObject({ available: true, version: "1.18.33", path: join(bin, "opencode") });
  expect(of("codex")).toMatchObject({ available: false, missing: ["codex-acp", "codex"], install: expect.stringContaining("npm install -g") });
  // One process for those who ask at once, and its answer for those who ask soon after.
  await two.providers.list();
  expect(readFileSync(asked, "utf8")).toBe("once\n");
});

test("test_preset shakes hands and ends the agent; one that is not here, dies, or talks nonsense is told", async () => {
  expect(await one.presets.test("demo-executor")).toMatchObject({ ok: true, agent: { name: "scripted" }, capabilities: { resume: "resume" } });
  expect(await one.presets.test("coder-claude")).toMatchObject({
    ok: false,
    say: expect.stringContaining("not on PATH"),
    install: expect.stringContaining("claude-agent-acp"),
  });
  program("dies", "echo no key >&2; exit 3");
  program("old", 'read line; echo \'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":0}}\'; sleep 60');
  await one.presets.create(caller, { key: "dies", providerType: "acp", config: { command: ["dies"] } });
  await one.presets.create(caller, { key: "old", providerType: "acp", config: { command: ["old"] } });
  expect(await one.presets.test("dies")).toMatchObject({ ok: false, say: expect.stringContaining("no key") });
  expect(await one.presets.test("old")).toMatchObject({ ok: false, say: expect.stringContaining("ACP version 0") });
});
