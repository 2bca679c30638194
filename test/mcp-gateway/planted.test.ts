import { ulid } from "ulid";
import { agent, db, launch, local, person, repositoryPath, sdk, task } from "./trust-world.ts";

// What an agent, or another principal, left where somebody else's launch would find it.

const commit = "c".repeat(40);
const idleWithWork = (sessionUlid: unknown) =>
  db.query("update session set workspace = 'ready', head_at_start = base_ref, candidate = $2 where session_ulid = $1", [
    sessionUlid,
    JSON.stringify({ commit, tree: "d".repeat(40), base: "e".repeat(40), ref: "refs/baton/x", files: 1 }),
  ]);
/** As `launch_task` does, but without a turn. */
const start = (contextRef: string, actor: string) => ({
  action: "start",
  clientRequestId: ulid(),
  actor,
  contextRef,
  role: "executor",
  provider: "scripted",
  systemPrompt: "x",
  launcherConfigKey: "demo-executor",
  agentHandle: "demo-executor",
});

test("what an agent left under a coming task's context is not what the operator's session begins with", async () => {
  const call = await agent(await launch(local, task("NEXT-1")));
  const planted = (await call(start("TASK-NEXT-2", "@demo-executor"))).data["sessionUlid"];
  await idleWithWork(planted);
  const refused = await sdk.sessions.launch(local, task("NEXT-2")).catch((error: unknown) => error);
  expect(refused).toMatchObject({
    code: "CONFLICT_STATE",
    message: expect.stringContaining("worktree.baseRef"),
    detail: { field: "worktree.baseRef", next: [{ tool: "pm_session", args: { action: "close", sessionUlid: planted } }] },
  });
  expect((await db.query("select closed_at from session where session_ulid = $1", [planted])).rows).toEqual([{ closed_at: null }]);
  // With a base of its own it may take the place.
  const dry = await sdk.sessions.launch(local, task("NEXT-2", { dryRun: true, worktree: { baseRef: "main" } }));
  expect(dry.data).toMatchObject({ baseRef: "main", supersedes: planted });
  // The agent that launched it goes on from it, and so does whoever says so.
  const more = { agentHandle: "demo-executor", task: { title: "x", repositoryPath }, dryRun: true };
  expect((await call({ action: "launch_task", actor: "@demo-executor", ...task("NEXT-2", more) })).data).toMatchObject({
    baseRef: commit,
    supersedes: planted,
  });
  const named = await sdk.sessions
    .launch(local, task("NEXT-2", { dryRun: true, worktree: { baseRef: String(planted) } }))
    .catch((error: Error) => error.message);
  expect(named).not.toContain("launched by an agent");
  // Its own session's work the operator goes on with, as ever.
  const own = await launch(local, task("NEXT-3", { run: false }));
  await idleWithWork(own);
  expect((await sdk.sessions.launch(local, task("NEXT-3", { dryRun: true }))).data).toMatchObject({ baseRef: commit, supersedes: own });
});

test("the operator's session does not begin with another principal's work", async () => {
  const mallory = await person("mallory", ["session:read", "session:control", "session:launch"]);
  await launch(local, task("NEXT-4", { agentHandle: "other" }));
  const hers = await mallory({ action: "launch_task", actor: "@mallory", ...task("NEXT-4", { run: false }) });
  await idleWithWork(hers.data["sessionUlid"]);
  await expect(sdk.sessions.launch(local, task("NEXT-4"))).rejects.toMatchObject({ code: "CONFLICT_STATE", detail: { field: "worktree.baseRef" } });
  expect((await mallory({ action: "launch_task", actor: "@mallory", ...task("NEXT-4", { dryRun: true }) })).data["baseRef"]).toBe(commit);
});
