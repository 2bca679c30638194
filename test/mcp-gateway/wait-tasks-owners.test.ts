import { ulid } from "ulid";
import { agentScopes, sessionPrincipal } from "../../contracts/scopes.ts";
import { newSecret } from "../../contracts/token-secret.ts";
import { idle, onTasks, said } from "./tasks-world.ts";

const { on, doors, at, rows, waited } = onTasks();
const person = async (principal: string) => (await on.baton.tokens.create({ principal: "local" }, { principal, scopes: ["session:read"] })).secret;
const noSuchTask = { code: -32602, message: expect.stringContaining("There is no such task") };

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
