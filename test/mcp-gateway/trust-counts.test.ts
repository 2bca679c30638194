import { agent, below, db, launch, local, sdk, task } from "./trust-world.ts";

// What an agent may use up, whichever call asks for it.

/** As if its work were done and the session closed. */
const closed = async (sessionUlid: string) => {
  await db.query("update input set state = 'consumed' where session_ulid = $1", [sessionUlid]);
  await db.query("update session set closed_at = clock_timestamp() where session_ulid = $1", [sessionUlid]);
};
const open = async (parent: string) => (await db.query("select session_ulid from session where parent_ulid = $1 and closed_at is null", [parent])).rows.length;
/** A session at the top that may use 1000, and of which 1500 are used. */
const limited = (sessionUlid: string, limits: object) =>
  db.query("update session set args = jsonb_set(args, '{effective,limits}', $2) where session_ulid = $1", [sessionUlid, JSON.stringify(limits)]);

test("at most so many are open at once, also when closed ones are woken", async () => {
  const top = await launch(local, task("WAKE-1"));
  const children = [];
  for (let n = 2; n < 5; n += 1) children.push(await launch(below(top), task(`WAKE-${n}`)));
  const [first = ""] = children;
  await closed(first);
  const last = await launch(below(top), task("WAKE-5"));
  // The counts that this file's SDK is opened with; the gateway has others.
  const wakes = [
    () => sdk.sessions.input(below(top), { sessionUlid: first, prompt: "go on" }),
    () => sdk.sessions.run(below(top), { sessionUlid: first }),
    () => sdk.sessions.restart(below(top), { sessionUlid: first, actor: "demo-executor", clientRequestId: first, run: false }),
  ] as const;
  for (const wake of wakes) await expect(wake()).rejects.toMatchObject({ code: "LIMIT_EXCEEDED", detail: { field: "children", used: 3, allowed: 3 } });
  expect(await open(top)).toBe(3);
  // With room it wakes one; what people wake is not counted against it.
  await closed(last);
  await wakes[0]();
  await closed(first);
  await launch(local, task("WAKE-6", { parentUlid: top }));
  await sdk.sessions.input(local, { sessionUlid: first, prompt: "go on" });
  expect(await open(top)).toBe(4);
});

test("a tree whose budget is used up is given no more work by its agents", async () => {
  const top = await launch(local, task("SPENT-1"));
  const child = await launch(below(top), task("SPENT-2"));
  await limited(top, { costMicros: 1_000 });
  await db.query("insert into turn (session_ulid, turn_id, input_id, n, generation, attempt, state, result) values ($1, 't', 't', 1, 1, 1, 'done', $2)", [
    child,
    JSON.stringify({ outcome: "completed", usage: { inputTokens: 1, outputTokens: 1, cachedTokens: 0, costMicros: 1_500 }, providerSessionId: null }),
  ]);
  await db.query("update input set state = 'consumed' where session_ulid = $1", [child]);
  const call = await agent(top);
  for (const args of [
    { action: "input", prompt: "and now the rest" },
    { action: "run" },
    { action: "restart", actor: "@demo-executor", clientRequestId: child },
    { action: "launch_task", actor: "@demo-executor", ...task("SPENT-3") },
  ])
    expect([args.action, (await call({ sessionUlid: child, ...args, ...("taskKey" in args ? { sessionUlid: null } : {}) })).error]).toEqual([
      args.action,
      expect.objectContaining({ code: "LIMIT_EXCEEDED", field: "costMicros", used: 1_500 }),
    ]);
  await sdk.sessions.input(local, { sessionUlid: child, prompt: "a person may" });
});

test("what an agent launches is limited as it is itself, its chain's members too", async () => {
  const top = await launch(local, task("NARROW-1", { limits: { turns: 2, tokens: 500 } }));
  const limits = async (sessionUlid: string) =>
    (await db.query<{ limits: object }>("select args->'effective'->'limits' as limits from session where session_ulid = $1", [sessionUlid])).rows[0]?.limits;
  expect(await limits(await launch(below(top), task("NARROW-2", { limits: { turns: 9, tokens: 100, wallSeconds: 60 } })))).toEqual({
    turns: 2,
    tokens: 100,
    wallSeconds: 60,
  });
  const reviewers = [{ launcherConfigKey: "demo-reviewer" }];
  const chained = await launch(below(top), task("NARROW-3", { chain: { reviewers } }));
  expect(await limits(chained)).toEqual({ turns: 2, tokens: 500 });
  const { rows } = await db.query<{ config: { reviewers: { effective: { limits: object } }[] } }>(
    "select c.config from chain c join session s using (chain_id) where s.session_ulid = $1",
    [chained],
  );
  expect(rows[0]?.config.reviewers[0]?.effective.limits).toEqual({ turns: 2, tokens: 500 });
});
