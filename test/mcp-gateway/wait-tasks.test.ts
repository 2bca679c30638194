import { readFileSync } from "node:fs";
import { join } from "node:path";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { agentScopes, sessionPrincipal } from "../../contracts/scopes.ts";
import { newSecret } from "../../contracts/token-secret.ts";
import { onRows } from "../control/session-rows.ts";
import { endNodeProcesses, type NodeProcess, nodeProcess } from "../support/node-process.ts";
import { type TasksClient, tasksClient } from "./tasks-client.ts";
import { ulid } from "ulid";

const on = onRows();
const root = join(import.meta.dirname, "../..");
const open: TasksClient[] = [];
/** Two gateways of one database. */
let doors: URL[];
let env: Record<string, string>;
let operator: string;

beforeAll(async () => {
  env = {
    BATON_HOME: on.home,
    BATON_PORT: "0",
    BATON_INSTANCE: "test",
    BATON_HOST_ID: "h",
    DATABASE_URL: on.databaseUrl,
    TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "",
  };
  doors = await Promise.all([0, 1].map(async () => (await gateway()).url));
  operator = readFileSync(join(on.home, "token"), "utf8").trim();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ client }) => client.close().catch(() => {})));
  await on.sql.query("delete from mcp_task");
});
afterAll(() => endNodeProcesses());

async function gateway(): Promise<{ process: NodeProcess; url: URL }> {
  const started = nodeProcess(join(root, "mcp-gateway/main.ts"), { env });
  return { process: started, url: new URL((JSON.parse((await started.line(/^ready (.*)$/m))[1] ?? "{}") as { url: string }).url) };
}

async function at(door: URL | undefined, a: { secret?: string; knows?: boolean; mode?: "auto" | "legacy" } = {}): Promise<TasksClient> {
  const headers = { authorization: `Bearer ${a.secret ?? operator}` };
  const made = await tasksClient(new StreamableHTTPClientTransport(door!, { requestInit: { headers } }), a.knows, a.mode);
  open.push(made);
  return made;
}
const person = async (principal: string) => (await on.baton.tokens.create({ principal: "local" }, { principal, scopes: ["session:read"] })).secret;
const rows = async () => (await on.sql.query<{ state: string; answer: unknown }>("select state, answer from mcp_task order by task_id")).rows;
const idle = (sessionUlid: string) => ({ action: "wait", sessionUlids: [sessionUlid], until: "idle" });
/** What the agent of `onRows` says at the end of its turns. */
const said = "It is done.";
const noSuchTask = { code: -32602, message: expect.stringContaining("There is no such task") };

/** A session at work, and the task that a wait for its idleness became. */
async function waited(by: TasksClient, session?: string) {
  const sessionUlid = session ?? (await on.session());
  const turn = await on.turn(sessionUlid);
  const { task } = await by.call(idle(sessionUlid));
  return { sessionUlid, turn, taskId: task!.taskId, task: task! };
}

describe.each(["HTTP", "stdio"])("over %s", (way) => {
  const connect = async (): Promise<TasksClient> => {
    if (way === "HTTP") return at(doors[0]);
    const args = [join(root, "mcp-gateway/stdio-main.ts")];
    const made = await tasksClient(new StdioClientTransport({ command: process.execPath, args, env: { PATH: process.env["PATH"] ?? "", ...env } }));
    open.push(made);
    return made;
  };

  test("a wait becomes a task, works until its condition is met, and then says what the wait would have said, for good", async () => {
    const by = await connect();
    expect(by.client.getServerCapabilities()).toMatchObject({ extensions: { "io.modelcontextprotocol/tasks": {} } });
    const { sessionUlid, turn, taskId, task } = await waited(by);
    const times = { createdAt: expect.stringMatching(/^\d{4}-.*Z$/), lastUpdatedAt: task.createdAt, ttlMs: 86_400_000, pollIntervalMs: 2_000 };
    const working = { taskId, status: "working", statusMessage: expect.stringMatching(/^running · seq \d+$/), ...times };
    expect(task).toMatchObject({ resultType: "task", ...working });
    expect(await by.get(taskId)).toMatchObject(working);
    expect(await by.update(taskId)).toEqual({});
    await turn.end();
    const { result: now } = await by.call(idle(sessionUlid));
    expect(now.structuredContent.data).toMatchObject({ met: true, sessions: [{ sessionUlid, lastTurn: { finalMessage: expect.stringContaining(said) } }] });
    const done = await by.get(taskId);
    expect(done).toMatchObject({ taskId, status: "completed", createdAt: task.createdAt });
    expect(done.result).toEqual({ resultType: "complete", content: now.content, structuredContent: now.structuredContent });
    // What happens later is none of its news.
    await (await on.turn(sessionUlid)).end();
    expect(await by.get(taskId)).toEqual(done);
    expect(await by.cancel(taskId)).toEqual({});
    expect(await by.get(taskId)).toEqual(done);
  });

  test("what is met at once, what asks for a look, and every other action are answered as ever", async () => {
    const by = await connect();
    const sessionUlid = await on.session();
    expect((await by.call(idle(sessionUlid))).result.structuredContent).toMatchObject({ ok: true, data: { met: true } });
    await on.turn(sessionUlid);
    expect((await by.call({ ...idle(sessionUlid), waitMs: 0 })).result.structuredContent).toMatchObject({ ok: true, data: { met: false } });
    expect((await by.call({ action: "live_deltas", sessionUlid, sinceSeq: 0, waitMs: 50 })).result.structuredContent).toMatchObject({ ok: true });
    expect((await by.call({ action: "wait", sessionUlid: "X-1/executor-1" })).result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: "NOT_FOUND" } },
    });
    expect((await by.call({ action: "wait", until: "whenever" })).result).toMatchObject({ structuredContent: { error: { code: "INVALID_ARGUMENT" } } });
    expect(await rows()).toEqual([]);
    expect((await by.call(idle(sessionUlid), "pm_session_read")).task).toMatchObject({ status: "working" });
  });
});

test("who does not say that it knows tasks gets none, in either revision, and is told so where it asks for one", async () => {
  const sessionUlid = await on.session();
  await on.turn(sessionUlid);
  const { task } = await (await at(doors[0])).call(idle(sessionUlid));
  for (const mode of ["auto", "legacy"] as const) {
    const by = await at(doors[0], { knows: mode === "legacy", mode });
    expect((await by.call({ ...idle(sessionUlid), waitMs: 50 })).result.structuredContent).toMatchObject({ ok: true, data: { met: false } });
    expect(JSON.stringify(by.client.getServerCapabilities()).includes("modelcontextprotocol/tasks")).toBe(mode === "auto");
    for (const ask of [by.get, by.cancel, by.update]) await expect(ask(task!.taskId)).rejects.toMatchObject({ code: mode === "auto" ? -32021 : -32601 });
  }
  expect(await rows()).toEqual([{ state: "working", answer: null }]);
});

test("news of tasks are not sent; who does not know tasks and asks for them is told so", async () => {
  const listen = async (clientCapabilities: object) => {
    const over = new AbortController();
    const prefix = "io.modelcontextprotocol/";
    const meta = {
      [`${prefix}protocolVersion`]: "2026-07-28",
      [`${prefix}clientCapabilities`]: clientCapabilities,
      [`${prefix}clientInfo`]: { name: "t", version: "1" },
    };
    const answer = await fetch(doors[0]!, {
      method: "POST",
      headers: {
        authorization: `Bearer ${operator}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "subscriptions/listen",
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: 7, method: "subscriptions/listen", params: { _meta: meta, notifications: { taskIds: [ulid()] } } }),
      signal: over.signal,
    });
    const { value } = await answer.body!.getReader().read();
    over.abort();
    return { status: answer.status, text: new TextDecoder().decode(value) };
  };
  const refused = await listen({});
  const requiredCapabilities = { extensions: { "io.modelcontextprotocol/tasks": {} } };
  expect([refused.status, JSON.parse(refused.text)]).toMatchObject([400, { id: 7, error: { code: -32021, data: { requiredCapabilities } } }]);
  const heard = await listen(requiredCapabilities);
  expect([heard.status, heard.text]).toEqual([200, expect.stringContaining("notifications/subscriptions/acknowledged")]);
  expect(heard.text).not.toContain("taskIds");
});

test("another gateway answers for one that was killed right behind its reply", async () => {
  const doomed = await gateway();
  const { turn, taskId } = await waited(await at(doomed.url));
  doomed.process.signal("SIGKILL");
  await doomed.process.ended;
  const by = await at(doors[1]);
  expect(await by.get(taskId)).toMatchObject({ status: "working" });
  await turn.end();
  expect(await by.get(taskId)).toMatchObject({ status: "completed", result: { structuredContent: { data: { met: true } } } });
});

test("of looks that race, at both gateways, one writes the result that all say", async () => {
  const [one, two] = [await at(doors[0]), await at(doors[1])];
  for (let round = 0; round < 5; round += 1) {
    const { sessionUlid, turn, taskId } = await waited(one);
    await turn.end();
    // It goes on working and resting: each of them may find another thing.
    const goOn = async () => {
      for (let n = 0; n < 3; n += 1) await (await on.turn(sessionUlid)).end();
    };
    const [, ...seen] = await Promise.all([goOn(), ...Array.from({ length: 8 }, (_, n) => (n % 2 ? one : two).get(taskId))]);
    const last = await one.get(taskId);
    const completed = seen.filter((task) => task.status === "completed");
    expect(last.status).toBe("completed");
    expect(completed).toEqual(completed.map(() => last));
  }
});

test("what was so as the wait began ends it at no later look; what has come since does", async () => {
  const by = await at(doors[0]);
  const member = (agentHandle: string) => on.session({ contextRef: "TASK-BASE-1", taskKey: "BASE-1", agentHandle });
  await on.turn(await member("a"));
  await on.close(await member("b"));
  const { task } = await by.call({ action: "wait", taskKey: "BASE-1", until: "closed" });
  expect(await by.get(task!.taskId)).toMatchObject({ status: "working" });
  const late = await member("c");
  await on.close(late);
  const { result } = await by.get(task!.taskId);
  const { sessions } = result!.structuredContent.data as { sessions: { sessionUlid: string; met: boolean }[] };
  expect(sessions.filter((one) => one.met).map((one) => one.sessionUlid)).toEqual([late]);
});

test("a cancelled task stays cancelled, and its session hears nothing of it", async () => {
  const by = await at(doors[0]);
  const { sessionUlid, turn, taskId } = await waited(by);
  const before = await on.last(sessionUlid);
  expect(await by.cancel(taskId)).toEqual({});
  expect(await by.cancel(taskId)).toEqual({});
  expect(await on.last(sessionUlid)).toBe(before);
  await turn.end();
  const cancelled = await by.get(taskId);
  expect(cancelled).toMatchObject({ status: "cancelled" });
  expect(cancelled.result).toBeUndefined();
  expect(await rows()).toEqual([{ state: "cancelled", answer: null }]);
});

test("a task is its maker's alone, and one that is not the caller's looks like one that never was", async () => {
  const [alice, bob] = [await person("alice"), await person("bob")];
  const sessionUlid = await on.session();
  await on.sql.query("update session set owner = 'alice' where session_ulid = $1", [sessionUlid]);
  const { turn, taskId } = await waited(await at(doors[0], { secret: alice }), sessionUlid);
  const others = [await at(doors[0], { secret: bob }), await at(doors[0])];
  for (const other of others)
    for (const ask of [other.get, other.cancel, other.update]) {
      const refusal = await ask(taskId).catch((error: Error) => error.message);
      expect(refusal).toMatch("There is no such task");
      for (const none of [ulid(), "nonsense", "\u0000"]) expect(await ask(none).catch((error: Error) => error.message)).toBe(refusal);
    }
  await turn.end();
  expect(await (await at(doors[1], { secret: alice })).get(taskId)).toMatchObject({ status: "completed", result: { structuredContent: { ok: true } } });
});

test("a right that is taken away reads no further, neither before the result nor behind it", async () => {
  const secret = await person("carol");
  const by = await at(doors[0], { secret });
  const own = async () => {
    const sessionUlid = await on.session();
    await on.sql.query("update session set owner = 'carol' where session_ulid = $1", [sessionUlid]);
    return sessionUlid;
  };
  const take = (sessionUlid: string) => on.sql.query("update session set owner = 'dave' where session_ulid = $1", [sessionUlid]);
  const refused = { status: "completed", result: { isError: true, structuredContent: { ok: false, error: { code: "NOT_FOUND" } } } };
  const working = await waited(by, await own());
  await take(working.sessionUlid);
  expect(await by.get(working.taskId)).toMatchObject(refused);
  const done = await waited(by, await own());
  await done.turn.end();
  expect(JSON.stringify(await by.get(done.taskId))).toContain(said);
  await take(done.sessionUlid);
  const behind = await by.get(done.taskId);
  expect(behind).toMatchObject(refused);
  expect(JSON.stringify(behind)).not.toContain(said);
  // A token that is revoked is nobody's.
  const [token] = (await on.baton.tokens.list({ principal: "local" })).filter((one) => one.principal === "carol");
  await on.baton.tokens.revoke({ principal: "local" }, { tokenId: token!.tokenId });
  await expect(by.get(done.taskId)).rejects.toThrow();
});

test("a purge takes the text out of a result, and ends a task that still works", async () => {
  const by = await at(doors[0]);
  const purge = async (sessionUlid: string) => {
    const what = { at: new Date().toISOString(), by: "local", actor: "a", deleteFiles: false } as never;
    await on.store.transaction((tx) => on.store.purge.begin(tx, { sessionUlid, purge: what }));
    return {
      erase: async () => {
        while (await on.store.purge.eraseSome(sessionUlid));
      },
    };
  };
  const refused = { status: "completed", result: { isError: true, structuredContent: { error: { code: "NOT_FOUND", currentState: "purged" } } } };
  const done = await waited(by);
  await done.turn.end();
  expect(await by.get(done.taskId)).toMatchObject({ status: "completed", result: { structuredContent: { ok: true } } });
  expect(JSON.stringify(await rows())).toContain(said);
  await (await purge(done.sessionUlid)).erase();
  expect(JSON.stringify(await rows())).not.toContain(said);
  expect(await by.get(done.taskId)).toMatchObject(refused);

  const working = await waited(by);
  await working.turn.end();
  const { erase } = await purge(working.sessionUlid);
  // A result that was found before the purge began comes too late to be written.
  await on.store.mcpTasks.complete({ taskId: working.taskId, answer: { ok: true, late: "text" }, shown: [working.sessionUlid] });
  expect(JSON.stringify(await rows())).not.toContain("late");
  expect(await by.get(working.taskId)).toMatchObject(refused);
  await erase();
  expect(await by.get(working.taskId)).toMatchObject(refused);
});

test("a task whose time is over is no task, and leaves as the next one comes", async () => {
  const by = await at(doors[0]);
  const { sessionUlid, taskId } = await waited(by);
  await on.sql.query("update mcp_task set expires_at = clock_timestamp()");
  for (const ask of [by.get, by.cancel, by.update]) await expect(ask(taskId)).rejects.toMatchObject(noSuchTask);
  const { task } = await by.call(idle(sessionUlid));
  expect((await on.sql.query("select task_id from mcp_task")).rows).toEqual([{ task_id: task!.taskId }]);
});

test("who has a hundred open ones waits as ever until one of them ends; of ended ones the newest stay", async () => {
  const by = await at(doors[0]);
  const fill = (state: string, count: number) =>
    on.sql.query(
      `insert into mcp_task (task_id, principal, owner, arguments, marks, state, ended_at, expires_at)
      select $1 || n, 'local', 'o', '{}', '{}', $1, case when $1 <> 'working' then clock_timestamp() - n * interval '1 s' end, clock_timestamp() + interval '1 h' from generate_series(1, $2) n`,
      [state, count],
    );
  await fill("working", 99);
  await fill("cancelled", 510);
  const { sessionUlid, taskId } = await waited(by);
  const count = async () =>
    (await on.sql.query("select state, count(*)::int as n, max(length(task_id)) as _ from mcp_task group by state order by state")).rows;
  expect(await count()).toMatchObject([
    { state: "cancelled", n: 500 },
    { state: "working", n: 100 },
  ]);
  expect((await on.sql.query("select 1 from mcp_task where task_id in ('cancelled1', 'cancelled501')")).rowCount).toBe(1);
  expect((await by.call({ ...idle(sessionUlid), waitMs: 50 })).result.structuredContent).toMatchObject({ ok: true, data: { met: false } });
  const secret = await person("erin");
  const hers = await on.session();
  await on.sql.query("update session set owner = 'erin' where session_ulid = $1", [hers]);
  await waited(await at(doors[0], { secret }), hers);
  await by.cancel(taskId);
  expect((await by.call(idle(sessionUlid))).task).toMatchObject({ status: "working" });
});

test("arguments that are longer than fifty names are not kept: such a wait waits as ever", async () => {
  const by = await at(doors[0]);
  const { sessionUlid } = await waited(by);
  const cursors = { ["x".repeat(20_000)]: 1 };
  expect((await by.call({ ...idle(sessionUlid), cursors, waitMs: 50 })).result.structuredContent).toMatchObject({ ok: true, data: { met: false } });
  expect(await rows()).toHaveLength(1);
});

test("an agent's wait is never a task: while it waits it gives its turn's slot to what it waits for", async () => {
  const parent = await on.session();
  await on.turn(parent);
  const child = await on.session({ parentUlid: parent });
  await on.turn(child);
  const tokenId = ulid();
  const { secret, secretSha256 } = newSecret(tokenId);
  await on.sql.query("insert into token (token_id, principal, name, scopes, secret_sha256, session_ulid) values ($1, $2, 'agent', $3, $4, $5)", [
    tokenId,
    sessionPrincipal(parent),
    JSON.stringify(agentScopes),
    secretSha256,
    parent,
  ]);
  const by = await at(doors[0], { secret });
  expect((await by.call({ ...idle(child), waitMs: 50 })).result.structuredContent).toMatchObject({ ok: true, data: { met: false } });
  expect(await rows()).toEqual([]);
});
