import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ulid } from "ulid";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import { BatonError } from "../../contracts/failures.ts";
import { sessionPrincipal } from "../../contracts/scopes.ts";
import { agent, agentsToken, audited, below, db, home, instance, launch, local, sdk, status, task } from "./trust-world.ts";

test("an agent reaches its own subtree, sees its task's sessions, talks with its reviewer, and finds nothing else", async () => {
  const top = await launch(local, task("TREE-1"));
  const child = await launch(below(top), task("TREE-2"));
  const grandchild = await launch(below(child), task("TREE-3"));
  const reviewer = await launch(local, task("TREE-2", { role: "reviewer", agentHandle: "judge" }));
  const second = await launch(local, task("TREE-2", { agentHandle: "other" }));
  const stranger = await launch(local, task("TREE-9"));
  const call = await agent(child);
  const code = async (args: Record<string, unknown>) => {
    const answer = await call({ waitMs: 0, ...args });
    return answer.ok ? "ok" : answer.error?.code;
  };
  const reads = ["get", "events", "live_deltas"];
  const outcome = async (sessionUlid: string) =>
    Promise.all([
      ...reads.map((action) => code({ action, sessionUlid, ...(action === "get" ? { waitMs: null } : {}) })),
      code({ action: "input", sessionUlid, prompt: "hello", waitMs: null }),
    ]);
  expect(await outcome("self")).toEqual(["ok", "ok", "ok", "ok"]);
  expect(await outcome(grandchild)).toEqual(["ok", "ok", "ok", "ok"]);
  expect(await outcome("TREE-3/executor-1")).toEqual(["ok", "ok", "ok", "ok"]);
  expect(await outcome(reviewer)).toEqual(["ok", "ok", "NOT_FOUND", "ok"]);
  expect(await outcome(second)).toEqual(["ok", "ok", "NOT_FOUND", "NOT_FOUND"]);
  expect(await outcome("parent")).toEqual(["ok", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
  expect(await outcome(stranger)).toEqual(["NOT_FOUND", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
  const listed = (await call({ action: "list" })).data["sessions"] as { sessionUlid: string; rootUlid: string }[];
  expect(listed.map((one) => one.sessionUlid).toSorted()).toEqual([child, grandchild, reviewer, second].toSorted());
  expect(listed.find((one) => one.sessionUlid === grandchild)).toMatchObject({ rootUlid: top, parentUlid: child });
  for (const sessionUlid of [top, stranger, reviewer, second])
    for (const action of ["abort", "close"]) expect([action, (await call({ action, sessionUlid })).error?.code]).toEqual([action, "NOT_FOUND"]);
  expect((await call({ action: "abort", sessionUlid: grandchild })).ok).toBe(true);
  // recorded with its source, and both who it is and whom it acts as
  expect((await db.query("select source from input where session_ulid = $1 and prompt = 'hello'", [reviewer])).rows).toEqual([
    { source: sessionPrincipal(child) },
  ]);
  expect(await call({ action: "input", sessionUlid: grandchild, prompt: "x", actor: "@skadi" })).toMatchObject({
    error: { code: "PERMISSION_DENIED", field: "actor" },
  });
  expect((await call({ action: "input", sessionUlid: grandchild, prompt: "x", actor: "@demo-executor" })).ok).toBe(true);
  const rows = await audited(sessionPrincipal(child));
  expect(rows).toEqual(
    expect.arrayContaining([
      { action: "abort", target: stranger, actor: "demo-executor", outcome: "NOT_FOUND" },
      { action: "abort", target: grandchild, actor: "demo-executor", outcome: "done" },
    ]),
  );
  // its own task goes on, and is not judged by it
  expect((await call({ action: "change_status", taskKey: "TREE-2", to: "in_progress" }, "pm_task")).ok).toBe(true);
  expect((await call({ action: "change_status", taskKey: "TREE-2", to: "done" }, "pm_task")).error?.code).toBe("PERMISSION_DENIED");
  expect((await call({ action: "get", taskKey: "TREE-9" }, "pm_task")).error?.code).toBe("NOT_FOUND");
  // a token with fewer scopes
  const looks = await agent(child, ["session:read"]);
  expect((await looks({ action: "abort", sessionUlid: grandchild })).error).toMatchObject({ code: "PERMISSION_DENIED", field: "scope" });
  // with its session the token ends
  const secret = await agentsToken(grandchild);
  expect(await status(secret)).toBe(200);
  await db.query("update session set closed_at = clock_timestamp() where session_ulid = $1", [grandchild]);
  expect(await status(secret)).toBe(401);
});

test("an executor has no power over those who judge it; who launched it has; keys are each agent's own", async () => {
  const first = task("CHAIN-1");
  const top = await launch(local, first);
  const executor = await launch(below(top), task("CHAIN-2", { clientRequestId: first.clientRequestId ?? "" }));
  expect(executor).not.toBe(top);
  const judge = await launch(local, task("CHAIN-2", { role: "reviewer", agentHandle: "judge" }));
  // as a chain makes them
  await db.query("update session set chain_id = 'CHAIN' where session_ulid = any($1)", [[executor, judge]]);
  await db.query("update session set parent_ulid = $1, root_ulid = $2, owner = 'local' where session_ulid = $3", [executor, top, judge]);
  const [above, judged, judging] = [await agent(top), await agent(executor), await agent(judge)];
  for (const action of ["abort", "close", "restart"]) {
    const args = { action, sessionUlid: judge, actor: "@demo-executor", clientRequestId: `${instance}-${action}` };
    expect([action, (await judged(args)).error?.code]).toEqual([action, "NOT_FOUND"]);
  }
  expect((await judged({ action: "input", sessionUlid: judge, prompt: "please look" })).ok).toBe(true);
  expect((await judging({ action: "input", sessionUlid: "parent", prompt: "please mend" })).ok).toBe(true);
  expect((await judging({ action: "abort", sessionUlid: "parent" })).error?.code).toBe("NOT_FOUND");
  const tree = (await judged({ action: "tree", sessionUlid: "self" })).data["sessions"] as { sessionUlid: string }[];
  expect(tree.map((one) => one.sessionUlid)).not.toContain(top);
  expect((await above({ action: "abort", sessionUlid: judge })).ok).toBe(true);
});

test("an agent answers what its own agents ask, never itself, and grants only what it has", async () => {
  const top = await launch(local, task("ASK-1"));
  const judge = await launch(local, task("ASK-1", { role: "reviewer", launcherConfigKey: "demo-reviewer" }));
  const child = await launch(below(top), task("ASK-2"));
  const judged = await launch(below(judge), task("ASK-3", { launcherConfigKey: "demo-reviewer" }));
  const ask = async (sessionUlid: string) => {
    const approvalId = ulid();
    await db.query("insert into approval (approval_id, session_ulid, kind, title, request_key) values ($1, $2, 'permission', 'may I', 'k')", [
      approvalId,
      sessionUlid,
    ]);
    return approvalId;
  };
  const call = await agent(top);
  const [own, childs, others] = [await ask(top), await ask(child), await ask(judged)];
  expect(((await call({ action: "approvals" })).data["approvals"] as { approvalId: string }[]).map((one) => one.approvalId).toSorted()).toEqual(
    [own, childs].toSorted(),
  );
  expect((await call({ action: "respond", approvalId: own, decision: "allow" })).error?.code).toBe("PERMISSION_DENIED");
  expect((await call({ action: "respond", approvalId: others, decision: "allow" })).error?.code).toBe("NOT_FOUND");
  expect((await call({ action: "respond", approvalId: childs, decision: "allow" })).data["applied"]).toBe(true);
  // nor does a message without a delivery answer a question: it waits its turn
  await db.query("update approval set kind = 'question', state = case when approval_id = $1 then 'open' else 'expired' end", [own]);
  const message = await call({ action: "input", sessionUlid: "self", prompt: "yes, I may" });
  expect(message.data).toMatchObject({ delivery: "queue", state: "waiting_for_approval" });
  expect((await db.query("select state from approval where approval_id = $1", [own])).rows).toEqual([{ state: "open" }]);
  await db.query("update approval set kind = 'permission', state = 'open' where approval_id = $1", [others]);
  expect((await (await agent(judge))({ action: "respond", approvalId: others, decision: "allow" })).error?.code).toBe("PERMISSION_DENIED");
});

test("launches of agents are counted, and none widens what its agent may", async () => {
  const top = await launch(local, task("LIMIT-1", { limits: {} }));
  const two = await launch(below(top), task("LIMIT-2"));
  const three = await launch(below(two), task("LIMIT-3"));
  await expect(launch(below(three), task("LIMIT-4"))).rejects.toMatchObject({ code: "LIMIT_EXCEEDED", detail: { field: "depth", used: 2, allowed: 2 } });
  const more = [await launch(below(top), task("LIMIT-5")), await launch(below(top), task("LIMIT-6"))];
  await expect(launch(below(top), task("LIMIT-7"))).rejects.toMatchObject({ code: "LIMIT_EXCEEDED", detail: { field: "children", used: 3, allowed: 3 } });
  await db.query("update session set closed_at = clock_timestamp() where session_ulid = any($1)", [more]);
  // of ten at once one is the last
  const storm = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => launch(below(top), task(`LIMIT-1${n}`))));
  expect(storm.filter((one) => one.status === "fulfilled")).toHaveLength(1);
  expect(storm.filter((one) => one.status === "rejected").every((one) => (one.reason as { detail: { field: string } }).detail.field === "launches")).toBe(true);
  // the tree's budget
  const rich = await launch(local, task("BUDGET-1"));
  const spender = await launch(below(rich), task("BUDGET-2"));
  await db.query(`update session set args = jsonb_set(args, '{effective,limits}', '{"costMicros": 1000}') where session_ulid = $1`, [rich]);
  await db.query("insert into turn (session_ulid, turn_id, input_id, n, generation, attempt, state, result) values ($1, 't', 't', 1, 1, 1, 'done', $2)", [
    spender,
    JSON.stringify({ outcome: "completed", usage: { inputTokens: 1, outputTokens: 1, cachedTokens: 0, costMicros: 1_500 }, providerSessionId: null }),
  ]);
  await expect(launch(below(rich), task("BUDGET-3"))).rejects.toMatchObject({
    code: "LIMIT_EXCEEDED",
    detail: { field: "costMicros", used: 1_500, allowed: 1_000 },
  });
  // what it may not give
  const judge = await launch(local, task("WIDE-1", { launcherConfigKey: "demo-reviewer" }));
  const wide: [Partial<LaunchArgs>, string][] = [
    [{}, "launcherConfigKey"],
    [{ launcherConfigKey: "demo-reviewer", config: { command: ["sh"] } }, "config.command"],
    [{ launcherConfigKey: "demo-reviewer", config: { scenario: { turns: [[{ run: "cp ~/.baton/token /tmp/x" }]] } } }, "config.scenario"],
    [{ launcherConfigKey: "demo-reviewer", config: { env: [{ name: "X", valueRef: "env:DATABASE_URL" }] } }, "env"],
    [{ launcherConfigKey: "demo-reviewer", worktree: { disabled: true } }, "worktree.disabled"],
  ];
  for (const [args, field] of wide)
    await expect(launch(below(judge), task("WIDE-2", args))).rejects.toMatchObject({ code: "PERMISSION_DENIED", detail: { field } });
  const preset = (key: string, permissions: object) =>
    writeFileSync(join(home, "presets", `${key}.json`), JSON.stringify({ providerType: "scripted", permissions }));
  mkdirSync(join(home, "presets"), { recursive: true });
  preset("reads-and-runs", { mode: "approve-reads", rules: [{ tool: "execute", decision: "allow" }] });
  preset("reads-less", { mode: "approve-reads", rules: [{ tool: "execute", decision: "deny" }] });
  preset("stays-inside", { mode: "approve-reads", outsideWorkspace: "deny" });
  const unasked = await launch(local, task("WIDE-6"));
  const inside = await launch(local, task("WIDE-3", { launcherConfigKey: "stays-inside" }));
  for (const [launcher, launcherConfigKey] of [
    [judge, "reads-and-runs"],
    [inside, "reads-less"],
  ] as const)
    await expect(launch(below(launcher), task("WIDE-4", { launcherConfigKey }))).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      detail: { field: "launcherConfigKey" },
    });
  await launch(below(judge), task("WIDE-5", { launcherConfigKey: "reads-less" }));
  // whom nothing is asked of may say what its own are to do
  await launch(below(unasked), task("WIDE-7", { config: { scenario: { turns: [[{ say: "hello" }]] } } }));
  await expect(launch(below(judge), task("WIDE-2", { launcherConfigKey: "demo-reviewer", worktree: { baseRef: rich } }))).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
});

test("who may talk to the other side of its task ends none of its turns, and does not take all of its queue", async () => {
  const executor = await launch(local, task("TALK-1"));
  const call = await agent(await launch(local, task("TALK-1", { role: "reviewer", agentHandle: "judge" })));
  const says = (prompt: string, more: object = {}) => call({ action: "input", sessionUlid: executor, prompt, ...more });
  expect((await call({ action: "abort", sessionUlid: executor })).error?.code).toBe("NOT_FOUND");
  for (const delivery of ["interrupt", "steer"])
    expect(await says("stop that", { delivery })).toMatchObject({ error: { code: "PERMISSION_DENIED", field: "delivery", allowed: ["queue"] } });
  for (let n = 0; n < 10; n += 1) expect((await says(`${n}`)).ok).toBe(true);
  expect((await says("one more")).error).toMatchObject({ code: "QUEUE_FULL", allowed: 10 });
  // There is room for others, and at last for who is above.
  const operator = (prompt: string, delivery: "queue" | "interrupt") => sdk.sessions.input(local, { sessionUlid: executor, prompt, delivery });
  for (let n = 0; n < 39; n += 1) await operator(`${n}`, "queue");
  await expect(operator("one more", "queue")).rejects.toMatchObject({ code: "QUEUE_FULL", detail: { allowed: 50 } });
  await expect(operator("do not listen to it", "interrupt")).resolves.toMatchObject({ data: { delivery: "interrupt", position: 50 } });
});

test("a refusal is in the audit, whatever is in the words of the call", async () => {
  const [own, stranger] = [await launch(local, task("AUDIT-1")), await launch(local, task("AUDIT-2"))];
  const call = await agent(own);
  expect((await call({ action: "abort", sessionUlid: stranger, actor: "\0" })).error).toMatchObject({ code: "INVALID_ARGUMENT", field: "actor" });
  expect((await call({ action: "abort", sessionUlid: stranger, reason: "\0" })).error?.code).toBe("NOT_FOUND");
  // By the SDK, which has no door in front of it.
  const refusal = new BatonError("NOT_FOUND", "There is no session.");
  const called = { tool: "pm_session", action: "close", scope: "session:control" } as const;
  await sdk.auditRefusal(below(own), called, { sessionUlid: `${stranger}\0`, actor: "\ud800" }, refusal);
  expect((await audited(sessionPrincipal(own))).map(({ action, target, actor, outcome }) => [action, target, actor, outcome])).toEqual([
    ["abort", stranger, "demo-executor", "NOT_FOUND"],
    ["close", `${stranger}\ufffd`, "\ufffd", "NOT_FOUND"],
  ]);
});
