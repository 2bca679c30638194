import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Client, Connection } from "@temporalio/client";
import pg from "pg";
import { fingerprint } from "../../client/fingerprint.ts";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import { type Baton, openBaton } from "../../client/open-baton.ts";
import { checkRevision } from "../../workspaces/names.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { batonOptions, repository } from "./support.ts";

const home = temporaryDirectory();
const instance = `t${randomBytes(4).toString("hex")}`;
const caller = { principal: "local" };
let database: { url: string; drop(): Promise<void> };
let one: Baton, two: Baton;
let sql: pg.Client;
let connection: Connection;
let repositoryPath: string;

beforeAll(async () => {
  database = await freshDatabase();
  repositoryPath = repository(join(home, "repo"));
  one = await openBaton(batonOptions({ home, databaseUrl: database.url, instance }));
  two = await openBaton(batonOptions({ home, databaseUrl: database.url, instance }));
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
  connection = await Connection.connect({ address: process.env["TEST_TEMPORAL_ADDRESS"] ?? "" });
});
afterAll(async () => {
  const client = new Client({ connection });
  for (const { workflow_id: id } of (await sql.query<{ workflow_id: string }>("select workflow_id from session")).rows)
    await client.workflow
      .getHandle(id)
      .terminate()
      .catch(() => {});
  await Promise.allSettled([one.close(), two.close(), sql.end(), connection.close()]);
  await database.drop();
});

const key = () => `${instance}-${randomBytes(6).toString("hex")}`;
function task(taskKey: string, more: Partial<LaunchArgs> = {}): LaunchArgs {
  return { clientRequestId: key(), actor: "@me", taskKey, launcherConfigKey: "demo-executor", task: { title: "A task", repositoryPath }, ...more };
}
async function counts(tables: string[]): Promise<number[]> {
  const found: number[] = [];
  for (const table of tables) found.push(Number((await sql.query(`select count(*) as n from ${table}`)).rows[0].n));
  return found;
}

test("fifty calls with one key through two doors make one session and one workflow", async () => {
  const args = task("RACE-1");
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? one : two).sessions.launch(caller, args)));
  const ulids = new Set(answers.map(({ data }) => data["sessionUlid"]));
  expect(ulids.size).toBe(1);
  expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
  expect(Number((await sql.query("select count(*) as n from session where context_ref = 'TASK-RACE-1'")).rows[0].n)).toBe(1);
  const found = await new Client({ connection }).workflow.getHandle(args.clientRequestId ?? "").describe();
  expect(found.memo).toMatchObject({ sessionUlid: [...ulids][0] });
  expect(answers[0]?.data).toMatchObject({
    branchName: "baton/RACE-1",
    contextRef: "TASK-RACE-1",
    name: "RACE-1/executor-1",
    workflowId: args.clientRequestId,
    status: "RUNNING",
  });
});

test("the same key with other arguments is refused, and with the same ones answered from rows", async () => {
  const args = task("MISMATCH-1");
  const first = await one.sessions.launch(caller, args);
  await expect(two.sessions.launch(caller, { ...args, prompt: "something else" })).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
  const again = await two.sessions.launch(caller, args);
  expect([again.replayed, again.data["sessionUlid"]]).toEqual([true, first.data["sessionUlid"]]);
});

test("a repeat warns of what the first answer warned of, and an @ before a name makes no other request", async () => {
  const args = task("REPEAT-1", {
    agentHandle: "@executor",
    capabilityKeys: ["no-such-skill"],
    task: { title: "A task", repositoryPath, assigneeHandle: "@nora" },
  });
  const first = await one.sessions.launch(caller, args);
  expect(first.warnings).toEqual([expect.stringContaining("no-such-skill")]);
  expect(await two.sessions.launch(caller, args)).toMatchObject({ replayed: true, warnings: first.warnings });
  const plain = { ...args, actor: "me", agentHandle: "executor", task: { title: "A task", repositoryPath, assigneeHandle: "nora" } };
  expect(await two.sessions.launch(caller, plain)).toMatchObject({ replayed: true, data: { sessionUlid: first.data["sessionUlid"] } });
  // As it was recorded by the rule before.
  const { former } = fingerprint({ action: "launch_task", ...args });
  await sql.query("update client_request set fingerprint = $2, ids = ids - 'warnings' where key = $1", [args.clientRequestId, former]);
  expect(await two.sessions.launch(caller, args)).toMatchObject({ replayed: true, warnings: [], data: { sessionUlid: first.data["sessionUlid"] } });
  await expect(two.sessions.launch(caller, { ...args, prompt: "more" })).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
});

test("what is refused leaves nothing and does not take the key", async () => {
  const tables = ["session", "task", "client_request", "input"];
  const before = await counts(tables);
  const bad: [Partial<LaunchArgs>, string, string?][] = [
    [{ task: { title: "x", repositoryPath: join(home, "nowhere") } }, "INVALID_ARGUMENT", "repositoryPath"],
    [{ task: { title: "x" } }, "INVALID_ARGUMENT"],
    [{ launcherConfigKey: "no-such" }, "NOT_FOUND", "launcherConfigKey"],
    [{ provider: "gemini" }, "INVALID_ARGUMENT", "provider"],
    [{ launcherConfigKey: "coder-claude" }, "PROVIDER_UNAVAILABLE"],
    [{ launcherConfigKey: "coder-claude", config: { command: ["no-such-program-here"] } }, "PROVIDER_UNAVAILABLE"],
    [{ worktree: { baseRef: "no-such-branch" } }, "INVALID_ARGUMENT", "baseRef"],
    [{ worktree: { baseRef: "--upload-pack=x" } }, "INVALID_ARGUMENT", "baseRef"],
    [{ worktree: { baseRef: "main..HEAD" } }, "INVALID_ARGUMENT", "baseRef"],
    [{ worktree: { branchPrefix: "../" } }, "INVALID_ARGUMENT"],
    [{ taskKey: "../../etc" }, "INVALID_ARGUMENT", "taskKey"],
    [{ prompt: "x".repeat(262_145) }, "LIMIT_EXCEEDED", "prompt"],
    [{ systemPrompt: "x".repeat(262_145) }, "LIMIT_EXCEEDED", "systemPrompt"],
    [{ chain: { reviewers: [{ launcherConfigKey: "no-such" }] } }, "NOT_FOUND"],
    [{ clientRequestId: "x".repeat(121) }, "INVALID_ARGUMENT", "clientRequestId"],
  ];
  for (const [more, code, field] of bad)
    await expect(one.sessions.launch(caller, task("BAD-1", more))).rejects.toMatchObject({ code, ...(field ? { detail: { field } } : {}) });
  const long = { code: "LIMIT_EXCEEDED", message: expect.stringContaining("system prompt has 262145"), detail: { used: 262_145, allowed: 262_144 } };
  await expect(one.sessions.launch(caller, task("BAD-1", { systemPrompt: "x".repeat(262_145), prompt: "x" }))).rejects.toMatchObject(long);
  expect(await counts(tables)).toEqual(before);
  const clientRequestId = key();
  await expect(one.sessions.launch(caller, task("BAD-1", { clientRequestId, launcherConfigKey: "no-such" }))).rejects.toThrow();
  expect((await one.sessions.launch(caller, task("BAD-1", { clientRequestId }))).replayed).toBe(false);
});

test("a base whose name no host takes is stored as its commit, any other by its name", async () => {
  const odd = repository(join(home, "odd"));
  const git = (...args: string[]) => execFileSync("git", ["-C", odd, ...args], { encoding: "utf8" }).trim();
  const head = git("rev-parse", "HEAD");
  const baseOf = async (taskKey: string, more: Partial<LaunchArgs> = {}): Promise<string> => {
    const { data } = await one.sessions.launch(caller, task(taskKey, { task: { title: "x", repositoryPath: odd }, ...more }));
    const { rows } = await sql.query<{ base_ref: string }>("select base_ref from session where session_ulid = $1", [data["sessionUlid"]]);
    return rows[0]?.base_ref ?? "";
  };
  for (const [n, branch] of ["fix/#12", "feat(x)", "user/@x", "müller"].entries()) {
    git("switch", "-q", "-c", branch);
    const base = await baseOf(`ODD-${n}`);
    expect([branch, base]).toEqual([branch, head]);
    expect(() => checkRevision("baseRef", base)).not.toThrow();
  }
  expect(await baseOf("ODD-GIVEN", { worktree: { baseRef: "user/@x" } })).toBe(head);
  expect(await baseOf("ODD-MAIN", { worktree: { baseRef: "main" } })).toBe("main");
  git("switch", "-q", "-c", "fix/12");
  expect(await baseOf("ODD-PLAIN")).toBe("fix/12");
});

test("the HEAD of a linked worktree is that worktree's own", async () => {
  const main = repository(join(home, "linked"));
  const linked = join(home, "linked-2");
  const git = (at: string, ...args: string[]) =>
    execFileSync("git", ["-C", at, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" }).trim();
  git(main, "worktree", "add", "-q", "-b", "HEADLINE", linked);
  git(linked, "commit", "-q", "--allow-empty", "-m", "second");
  git(linked, "commit", "-q", "--allow-empty", "-m", "third");
  const baseOf = async (taskKey: string, baseRef?: string): Promise<string> => {
    const launch = { task: { title: "x", repositoryPath: linked }, ...(baseRef === undefined ? {} : { worktree: { baseRef } }) };
    const { data } = await one.sessions.launch(caller, task(taskKey, launch));
    const { rows } = await sql.query<{ base_ref: string }>("select base_ref from session where session_ulid = $1", [data["sessionUlid"]]);
    return rows[0]?.base_ref ?? "";
  };
  expect(await baseOf("LINKED-NONE")).toBe("HEADLINE");
  expect(await baseOf("LINKED-HEAD", "HEAD")).toBe("HEADLINE");
  expect(await baseOf("LINKED-NAME", "HEADLINE")).toBe("HEADLINE");
  expect(await baseOf("LINKED-BEFORE", "HEAD~1")).toBe(git(linked, "rev-parse", "HEAD~1"));
  git(linked, "reset", "-q", "--hard", "HEAD~1");
  expect(await baseOf("LINKED-ORIG", "ORIG_HEAD")).toBe(git(linked, "rev-parse", "ORIG_HEAD"));
  git(linked, "switch", "-q", "--detach");
  expect(await baseOf("LINKED-DETACHED", "HEAD")).toBe(git(linked, "rev-parse", "HEAD"));
});

test("one open session per task, role and agent; the refusal names it, with calls that can be sent as they are", async () => {
  const first = await one.sessions.launch(caller, task("BUSY-1"));
  const { sessionUlid } = first.data as { sessionUlid: string };
  const refused = async (more: Partial<LaunchArgs> = {}) =>
    (await one.sessions.launch(caller, task("BUSY-1", more)).catch((error: unknown) => error)) as {
      code: string;
      message: string;
      detail: { next: { args: { action: string; sessionUlid: string; prompt?: string } }[] };
    };
  const { code, detail } = await refused({ additionalInstructions: "Hurry." });
  expect(code).toBe("CONFLICT_STATE");
  expect(detail.next.map((call) => call.args)).toEqual([
    { action: "input", sessionUlid, prompt: expect.stringMatching(/A task[^]*Hurry\./) },
    { action: "close", sessionUlid },
  ]);
  // What is too long to be repeated is said in the sentence alone.
  const long = await refused({ prompt: "x".repeat(5_000) });
  expect(long.message).toContain("send it an input");
  expect(long.detail.next.map((call) => call.args)).toEqual([{ action: "close", sessionUlid }]);
  const [input, close] = detail.next.map((call) => call.args);
  expect((await one.sessions.input(caller, input as { sessionUlid: string; prompt: string })).data).toMatchObject({
    sessionUlid,
    position: expect.any(Number),
  });
  expect(await one.sessions.close(caller, close as { sessionUlid: string })).toMatchObject({ sessionUlid });
});

test("a start with a bare context leaves the task of that name launchable", async () => {
  const bare = { contextRef: "SPIKE-1", role: "executor", provider: "scripted", systemPrompt: "x", launcherConfigKey: "demo-executor", repositoryPath };
  const first = await one.sessions.start(caller, { clientRequestId: key(), actor: "@me", taskKey: "SPIKE-1", ...bare });
  const second = await one.sessions.launch(caller, task("SPIKE-1"));
  expect([first.data["name"], second.data["name"]]).toEqual(["SPIKE-1/executor-1", "SPIKE-1/executor-2"]);
});

test("an input is recorded, has a position, and is replayed by its key", async () => {
  const { data } = await one.sessions.launch(caller, task("INPUT-1"));
  const sessionUlid = String(data["sessionUlid"]);
  const args = { sessionUlid, prompt: "And this.", clientRequestId: key() };
  const [first, again] = [await one.sessions.input(caller, args), await two.sessions.input(caller, args)];
  expect(again.data).toMatchObject({ inputId: first.data["inputId"], replayed: true });
  await expect(one.sessions.input(caller, { sessionUlid, prompt: "x", delivery: "steer" })).rejects.toMatchObject({ code: "UNSUPPORTED_BY_PROVIDER" });
  await expect(one.sessions.run(caller, { sessionUlid })).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  const events = await one.sessions.events({ sessionUlid });
  expect((events["events"] as { seq: number }[]).map((e) => e.seq)).toEqual((events["events"] as unknown[]).map((_, i) => i + 1));
  expect(await one.sessions.get({ sessionUlid: "INPUT-1/executor-1" })).toMatchObject({ sessionUlid, attention: [], turns: { total: 0 } });
});

test("a chain's executor is its child: the chain is started, under the request's key", async () => {
  const args = task("CHAIN-1", { chain: { reviewers: [{ launcherConfigKey: "demo-reviewer" }], auditor: { launcherConfigKey: "demo-auditor" } } });
  const { data } = await one.sessions.launch(caller, args);
  expect(data["workflowId"]).toBe(args.clientRequestId);
  const handle = new Client({ connection }).workflow.getHandle(args.clientRequestId ?? "");
  expect(await handle.describe()).toMatchObject({ type: "chain", memo: { sessionUlid: data["sessionUlid"] } });
  expect(await one.chains.get(String(data["chainId"]))).toMatchObject({ state: "open", sessions: [{ role: "executor" }], taskKey: "CHAIN-1" });
  expect(await one.sessions.get({ sessionUlid: String(data["sessionUlid"]) })).toMatchObject({ workflowId: `${args.clientRequestId}/executor` });
  await handle.terminate();
});

test("with Temporal away the request is recorded and the door says so; a repeat finishes it", async () => {
  const away = await openBaton(batonOptions({ home, databaseUrl: database.url, instance, temporalAddress: "127.0.0.1:9" }));
  const args = task("AWAY-1");
  await expect(away.sessions.launch(caller, args)).rejects.toMatchObject({ code: "UNAVAILABLE", detail: { applied: "unknown" } });
  await away.close();
  expect((await one.sessions.launch(caller, args)).replayed).toBe(true);
  expect((await new Client({ connection }).workflow.getHandle(args.clientRequestId ?? "").describe()).status.name).toBe("RUNNING");
});

test("with Postgres away a door comes up and answers UNAVAILABLE", async () => {
  const away = await openBaton(batonOptions({ home, databaseUrl: "postgres://nobody@127.0.0.1:9/none", instance }));
  await expect(away.sessions.list({})).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(await away.health()).toMatchObject({ status: "degraded", postgres: { status: "down" }, temporal: { status: "ok" } });
  await away.close();
});
