import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import pg from "pg";
import { freshDatabase } from "../support/fresh-database.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

const home = temporaryDirectory();
const repositoryPath = join(home, "repository");
let database: { url: string; drop(): Promise<void> };
let client: Client;
let db: pg.Client;

beforeAll(async () => {
  execFileSync("git", ["init", "-q", "-b", "main", repositoryPath]);
  execFileSync("git", ["-C", repositoryPath, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "--allow-empty", "-m", "first"]);
  database = await freshDatabase();
  const gateway = nodeProcess(join(import.meta.dirname, "../../mcp-gateway/main.ts"), {
    env: { BATON_HOME: home, BATON_PORT: "0", BATON_HOST_ID: "h1", DATABASE_URL: database.url, TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "" },
  });
  const url = new URL((JSON.parse((await gateway.line(/^ready (.*)$/m))[1] ?? "{}") as { url: string }).url);
  const authorization = `Bearer ${readFileSync(join(home, "token"), "utf8").trim()}`;
  client = new Client({ name: "t", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers: { authorization } } }));
  db = new pg.Client(database.url);
  await db.connect();
});
afterAll(async () => {
  await client?.close();
  await db?.end();
  await endNodeProcesses();
  await database?.drop();
});

const launch = {
  action: "launch_task",
  clientRequestId: "bad-input",
  actor: "@test",
  taskKey: "BAD-1",
  launcherConfigKey: "demo-executor",
  agentHandle: "executor",
  prompt: "go",
  task: { title: "x", repositoryPath, projectKey: "BAD" },
};
const written = async (): Promise<unknown> =>
  (
    await db.query(
      "select (select count(*) from session) s, (select count(*) from task) t, (select count(*) from input) i, (select count(*) from client_request) r, (select count(*) from project) p",
    )
  ).rows[0];
/** What the caller is told, as text for a model and as data for a program. */
async function refused(tool: string, args: Record<string, unknown>): Promise<{ code: string; message: string; field?: string }> {
  const result = (await client.callTool({ name: tool, arguments: args })) as unknown as {
    isError?: boolean;
    structuredContent: { ok: boolean; error: { code: string; message: string; field?: string } };
  };
  expect([result.isError, result.structuredContent.ok]).toEqual([true, false]);
  return result.structuredContent.error;
}

const start = {
  action: "start",
  clientRequestId: "bad-start",
  actor: "@test",
  contextRef: "bad-1",
  role: "executor",
  provider: "scripted",
  systemPrompt: "x",
  repositoryPath,
};

/** What Postgres stores no text with, in each of the fields. */
function unstored(tool: string, args: Record<string, unknown>, fields: string[]): [string, string, Record<string, unknown>, string, RegExp][] {
  return fields.flatMap((field, n) => {
    const [text, what] = n % 2 ? ["a\ud800b", "half a surrogate pair"] : ["a\0b", "NUL"];
    const [name = "", ...rest] = field.split(".");
    const below = rest.reduceRight<unknown>((value, part) => (part === "0" ? [value] : { [part]: value }), text);
    const former = args[name];
    const value = rest.length > 0 && typeof former === "object" ? { ...former, ...(below as object) } : below;
    return [[`${what} in ${String(args["action"])}'s ${field}`, tool, { ...args, [name]: value }, "INVALID_ARGUMENT", new RegExp(`^${field} .*NUL`)]];
  });
}

// each: what is wrong, tool, arguments, code, and what the message must offer
test.each<[string, string, Record<string, unknown>, string, RegExp]>([
  ["an unknown action", "pm_session", { action: "lunch_task" }, "UNKNOWN_ACTION", /launch_task/],
  ["an action that is a number", "pm_session", { action: 7 }, "UNKNOWN_ACTION", /action/],
  ["an unknown key", "pm_session", { ...launch, worktreee: {} }, "INVALID_ARGUMENT", /worktree/],
  ["an unknown key below", "pm_session", { ...launch, worktree: { branchPrefixx: "a/" } }, "INVALID_ARGUMENT", /branchPrefix/],
  ["a wrong type", "pm_session", { ...launch, prompt: { text: "go" } }, "INVALID_ARGUMENT", /prompt/],
  ["a prompt of 2 MB", "pm_session", { ...launch, prompt: "x".repeat(2 * 1024 * 1024) }, "LIMIT_EXCEEDED", /prompt/],
  ["a key of 10,000 characters", "pm_session", { ...launch, clientRequestId: "k".repeat(10_000) }, "INVALID_ARGUMENT", /clientRequestId/],
  ["a key that is missing", "pm_session", { ...launch, clientRequestId: undefined }, "INVALID_ARGUMENT", /clientRequestId/],
  ["a path as task key", "pm_session", { ...launch, taskKey: "../../etc/passwd" }, "INVALID_ARGUMENT", /taskKey/],
  ["an absolute path as task key", "pm_session", { ...launch, taskKey: "/etc" }, "INVALID_ARGUMENT", /taskKey/],
  ["NUL in a task key", "pm_session", { ...launch, taskKey: "a\0b" }, "INVALID_ARGUMENT", /taskKey/],
  ["a path as branch prefix", "pm_session", { ...launch, worktree: { branchPrefix: "../../x" } }, "INVALID_ARGUMENT", /branchPrefix/],
  ["an option as branch prefix", "pm_session", { ...launch, worktree: { branchPrefix: "--force" } }, "INVALID_ARGUMENT", /branchPrefix/],
  ["an option as base", "pm_session", { ...launch, worktree: { baseRef: "--upload-pack=touch" } }, "INVALID_ARGUMENT", /baseRef/],
  ["a base that is not there", "pm_session", { ...launch, worktree: { baseRef: "nope" } }, "INVALID_ARGUMENT", /nope/],
  [
    "a repository that does not exist",
    "pm_session",
    { ...launch, task: { ...launch.task, repositoryPath: "/nonexistent/repository" } },
    "INVALID_ARGUMENT",
    /\/nonexistent\/repository/,
  ],
  ["a repository by a relative path", "pm_session", { ...launch, task: { ...launch.task, repositoryPath: "repository" } }, "INVALID_ARGUMENT", /absolute/],
  ["an unknown preset", "pm_session", { ...launch, launcherConfigKey: "demo-executer" }, "NOT_FOUND", /demo-executor/],
  [
    "an unknown session",
    "pm_session",
    { action: "input", sessionUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV", prompt: "x", clientRequestId: "i" },
    "NOT_FOUND",
    /01ARZ3/,
  ],
  [
    "a wait with more cursors than sessions that it may be for",
    "pm_session",
    { action: "wait", taskKey: "NONE-1", waitMs: 0, cursors: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`BAD-1/executor-${n}`, 0])) },
    "INVALID_ARGUMENT",
    /at most 50/,
  ],
  [
    "more capabilities than a prompt has room for",
    "pm_session",
    { ...launch, capabilityKeys: Array.from({ length: 51 }, (_, n) => `c${n}`) },
    "INVALID_ARGUMENT",
    /capabilityKeys/,
  ],
  ...unstored("pm_session", launch, ["clientRequestId", "actor", "agentHandle", "role", "labels.pr", "task.title", "launcherConfigKey", "config.scenario.x"]),
  ...unstored("pm_session", { ...start, launcherConfigKey: "demo-executor" }, ["contextRef", "tools.0", "worktree.branchPrefix"]),
  ...unstored("pm_session", { action: "list" }, ["contextRef", "role", "status", "label", "cursor", "parentUlid"]),
  ...unstored("pm_session", { action: "get" }, ["sessionUlid"]),
  ...unstored("pm_session", { action: "respond", decision: "allow" }, ["approvalId"]),
  ...unstored("pm_task", { action: "create", taskKey: "BAD-2", title: "x", repositoryPath }, ["title", "actorHandle", "assigneeHandle", "reviewerHandles.0"]),
  ...unstored("pm_task", { action: "list" }, ["projectKey", "assigneeHandle"]),
  ["NUL in a label's name", "pm_session", { ...launch, labels: { "a\0b": "x" } }, "INVALID_ARGUMENT", /^labels .*NUL/],
  ["an unknown task", "pm_task", { action: "get", taskKey: "NONE-1" }, "NOT_FOUND", /NONE-1/],
])("%s is refused with what to do, and nothing is half made", async (_what, tool, args, code, offers) => {
  const before = await written();
  const error = await refused(tool, args);
  expect(error.code).toBe(code);
  expect(`${error.field ?? ""} ${error.message}`).toMatch(offers);
  expect(await written()).toEqual(before);
});

test("prose with what Postgres does not store is taken, with U+FFFD in its place", async () => {
  const call = async (tool: string, args: Record<string, unknown>) =>
    (await client.callTool({ name: tool, arguments: args })).structuredContent as unknown as { ok: boolean; error?: unknown; data: Record<string, unknown> };
  const prose = { description: "a\0b", acceptanceCriteria: ["a\0b", "a\ud800b"], requirements: ["a\0b"] };
  const made = await call("pm_task", { action: "create", taskKey: "PROSE-1", title: "x", repositoryPath, ...prose });
  expect(made.data["task"]).toMatchObject({ description: "a\ufffdb", acceptanceCriteria: ["a\ufffdb", "a\ufffdb"], requirements: ["a\ufffdb"] });
  const said = { prompt: "a\0b", additionalInstructions: "a\ud800b", run: false };
  const launched = await call("pm_session", { ...launch, ...said, clientRequestId: "prose-1", taskKey: "PROSE-1", task: undefined });
  expect(launched).toMatchObject({ ok: true });
  const { sessionUlid } = launched.data;
  expect((await call("pm_session", { action: "prompt", sessionUlid })).data["firstPrompt"]).toContain("a\ufffdb");
  const approvalId = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  await db.query("insert into approval (approval_id, session_ulid, kind, title, request_key) values ($1, $2, 'question', 'what', 'k')", [
    approvalId,
    sessionUlid,
  ]);
  expect(await call("pm_session", { action: "respond", approvalId, decision: "a\0b", reason: "a\0b" })).toMatchObject({ ok: true });
  expect(await call("pm_session", { action: "close", sessionUlid, reason: "a\0b" })).toMatchObject({ ok: true });
});
