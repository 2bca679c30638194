import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ulid } from "ulid";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import { repository } from "../client/support.ts";
import { agent, below, db, home, launch, local, person, repositoryPath, sdk, task } from "./trust-world.ts";

// What a call reaches by a way round: through its context, a chain of its own, a preset, a subtree.

/** A preset's file; its key. */
function preset(key: string, more: object): string {
  mkdirSync(join(home, "presets"), { recursive: true });
  writeFileSync(join(home, "presets", `${key}.json`), JSON.stringify({ providerType: "scripted", permissions: { mode: "approve-all" }, ...more }));
  return key;
}

test("a start names its task by contextRef, and reaches no task that its caller does not", async () => {
  const owners = await person("erin", ["session:read", "session:control", "session:launch"]);
  expect((await owners({ action: "create", taskKey: "SECRET-1", title: "x", repositoryPath }, "pm_task")).ok).toBe(true);
  const executor = await launch(local, task("CONTEXT-1"));
  const start = (contextRef: string) => ({
    action: "start",
    clientRequestId: `${executor}-${contextRef}`,
    contextRef,
    role: "helper",
    provider: "scripted",
    systemPrompt: "x",
    launcherConfigKey: "demo-executor",
  });
  const callers = [
    [await agent(executor), { actor: "@demo-executor" }],
    [await person("frank", ["session:read", "session:launch"]), { actor: "@frank", repositoryPath }],
  ] as const;
  for (const [call, who] of callers) {
    for (const contextRef of ["TASK-SECRET-1", "SECRET-1"])
      expect(await call({ ...start(contextRef), ...who })).toMatchObject({ error: { code: "NOT_FOUND", field: "contextRef" } });
    expect(await call({ ...start(`spike-${who.actor.slice(1)}`), ...who })).toMatchObject({ ok: true });
  }
  expect(await callers[0][0]({ ...start("TASK-CONTEXT-1"), actor: "@demo-executor" })).toMatchObject({ ok: true });
});

test("an agent launches no chain on the task that it works on, and chains on others as before", async () => {
  const executor = await launch(local, task("JUDGED-1"));
  const call = await agent(executor);
  const launches = (taskKey: string, more: object) =>
    call({ action: "launch_task", actor: "@demo-executor", ...task(taskKey, { agentHandle: "helper" }), ...more });
  for (const more of [{ chain: {} }, { chain: { reviewers: [{ launcherConfigKey: "demo-reviewer" }] } }, { chain: {}, dryRun: true }])
    expect(await launches("JUDGED-1", more)).toMatchObject({ error: { code: "PERMISSION_DENIED", field: "chain" } });
  expect(await launches("JUDGED-1", {})).toMatchObject({ ok: true });
  // a task that it makes is not the one that it works on
  expect(await launches("JUDGED-2", { chain: {} })).toMatchObject({ ok: true, data: { chainId: expect.any(String) } });
  expect((await call({ action: "create", taskKey: "JUDGED-3", title: "x", repositoryPath }, "pm_task")).ok).toBe(true);
  expect(await launches("JUDGED-3", { chain: {}, task: null })).toMatchObject({ ok: true, data: { chainId: expect.any(String) } });
});

test("an agent whose own rules or bounds would ask a person grants no permission to what it launched", async () => {
  const answer = async (taskKey: string, launcherConfigKey: string) => {
    const top = await launch(local, task(taskKey, { launcherConfigKey }));
    const child = await launch(below(top), task(`${taskKey}0`, { launcherConfigKey }));
    const approvalId = ulid();
    await db.query("insert into approval (approval_id, session_ulid, kind, title, request_key) values ($1, $2, 'permission', 'may I', 'k')", [
      approvalId,
      child,
    ]);
    return (await agent(top))({ action: "respond", approvalId, decision: "allow" });
  };
  const limited = [
    preset("asks-outside", { permissions: { mode: "approve-all", outsideWorkspace: "ask" } }),
    preset("asks-to-run", { permissions: { mode: "approve-all", rules: [{ tool: "execute", decision: "ask" }] } }),
  ];
  for (const [n, key] of limited.entries())
    expect(await answer(`GRANT-${n + 1}`, key)).toMatchObject({ error: { code: "PERMISSION_DENIED", field: "approvalId" } });
  expect(await answer("GRANT-3", preset("asks-nobody", {}))).toMatchObject({ ok: true, data: { applied: true } });
});

test("an agent launches nobody with more scopes, past its bounds, with commands of the host's, or where it may not go", async () => {
  const bounded = { permissions: { mode: "approve-all", outsideWorkspace: "ask" } };
  const wrapped = { config: { wrapper: ["env"] } };
  const rules = [{ tool: "edit", pathGlob: "src/**", decision: "allow" }];
  const bootstrapCommands = ["true"];
  const other = repository(join(home, "another-repository"));
  const elsewhere = { task: { title: "x", repositoryPath: other } };
  const all = preset("w-all", {});
  const boots = preset("w-all-boots", { bootstrapCommands });
  const scoped = preset("w-scoped", { agentScopes: ["session:read", "session:launch"] });
  const inside = preset("w-inside", bounded);
  const boxed = preset("w-boxed", wrapped);
  const ruled = preset("w-ruled", { permissions: { mode: "ask", rules } });
  const asks = preset("w-asks", { permissions: { mode: "ask" } });
  const lifts = preset("w-lifts", { permissions: { ...bounded.permissions, rules: [{ tool: "*", pathGlob: "/**", decision: "allow" }] } });
  const refused: [string, Partial<LaunchArgs> & { launcherConfigKey: string }, object][] = [
    [scoped, { launcherConfigKey: all }, { field: "launcherConfigKey", allowed: ["session:read", "session:launch"] }],
    [scoped, { launcherConfigKey: scoped, chain: { reviewers: [{ launcherConfigKey: all }] } }, { field: "chain.reviewers" }],
    [inside, { launcherConfigKey: lifts }, { field: "launcherConfigKey" }],
    [inside, { launcherConfigKey: all }, { field: "launcherConfigKey" }],
    [inside, { launcherConfigKey: preset("w-inside-boots", { ...bounded, bootstrapCommands }) }, { field: "launcherConfigKey" }],
    [boxed, { launcherConfigKey: preset("w-boxed-boots", { ...wrapped, bootstrapCommands }) }, { field: "launcherConfigKey" }],
    ...[inside, boxed, ruled].map((key): (typeof refused)[number] => [
      key,
      { launcherConfigKey: key, ...elsewhere },
      { field: "repositoryPath", allowed: repositoryPath },
    ]),
  ];
  const launchers: Record<string, string> = {};
  for (const [at, key] of [all, scoped, inside, boxed, ruled, asks].entries())
    launchers[key] = await launch(local, task(`WIDER-${at}`, { launcherConfigKey: key }));
  // A project of each repository, which no agent makes.
  for (const [projectKey, path] of [
    ["HERE", repositoryPath],
    ["THERE", other],
  ] as const)
    await sdk.tasks.create(local, { taskKey: `${projectKey}-0`, title: "x", repositoryPath: path });
  let n = 0;
  const given = (key: string, args: Partial<LaunchArgs>) => launch(below(launchers[key] ?? ""), task(`${args.task ? "THERE" : "HERE"}-${(n += 1)}`, args));
  const outcomes = await Promise.all(refused.map(([key, args]) => given(key, args).catch((error: unknown) => error)));
  expect(outcomes).toEqual(refused.map(([, , detail]) => expect.objectContaining({ code: "PERMISSION_DENIED", detail: expect.objectContaining(detail) })));
  await given(all, { launcherConfigKey: boots, ...elsewhere });
  await given(all, { launcherConfigKey: lifts });
  await given(scoped, { launcherConfigKey: preset("w-looks", { agentScopes: ["session:read"] }) });
  await given(inside, { launcherConfigKey: inside });
  // who may ask to go to another repository may launch others there, who ask as well
  await given(asks, { launcherConfigKey: asks, ...elsewhere });
});

test("a subtree that an executor aborts or looks at is without those who judge it; who launched it has all", async () => {
  const top = await launch(local, task("CASCADE-1"));
  const executor = await launch(below(top), task("CASCADE-2"));
  const helper = await launch(below(executor), task("CASCADE-3"));
  const judge = await launch(local, task("CASCADE-2", { role: "reviewer", agentHandle: "judge" }));
  // as a chain makes them
  await db.query("update session set chain_id = 'CASCADE' where session_ulid = any($1)", [[executor, judge]]);
  await db.query("update session set parent_ulid = $1, root_ulid = $2, owner = 'local' where session_ulid = $3", [executor, top, judge]);
  const [judged, above] = [await agent(executor), await agent(top)];
  const hit = async (call: typeof judged, sessionUlid: string) => {
    const { cascade } = (await call({ action: "abort", sessionUlid, cascade: true, dropQueue: false })).data;
    return (cascade as { sessionUlid: string }[]).map((one) => one.sessionUlid).toSorted();
  };
  const shown = async (call: typeof judged, args: object) =>
    ((await call({ action: "tree", ...args })).data["sessions"] as { sessionUlid: string }[]).map((one) => one.sessionUlid).toSorted();
  expect(await shown(judged, { sessionUlid: "self" })).toEqual([executor, helper].toSorted());
  expect(await shown(judged, { rootUlid: executor })).toEqual([executor, helper].toSorted());
  expect(await shown(above, { sessionUlid: executor })).toEqual([executor, helper, judge].toSorted());
  expect(await hit(judged, "self")).toEqual([helper]);
  expect(await hit(above, executor)).toEqual([helper, judge].toSorted());
});
