import type { TasksClient } from "./tasks-client.ts";
import { idle, onTasks, said } from "./tasks-world.ts";
import { ulid } from "ulid";

const { on, doors, gateway, operator, at, overStdio, rows, waited } = onTasks();

describe.each(["HTTP", "stdio"])("over %s", (way) => {
  const connect = (): Promise<TasksClient> => (way === "HTTP" ? at(doors[0]) : overStdio());

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
        authorization: `Bearer ${operator()}`,
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
