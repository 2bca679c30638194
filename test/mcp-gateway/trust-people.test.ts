import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ulid } from "ulid";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import type { Caller } from "../../client/open-baton.ts";
import type { Scope } from "../../contracts/scopes.ts";
import { agent, audited, clients, connected, db, env, home, launch, local, person, repositoryPath, root, sdk, status, task } from "./trust-world.ts";

test("a token's secret is shown once and kept nowhere; revoked or expired it is refused", async () => {
  const { token, secret } = await sdk.tokens.create(local, { principal: "carol", name: "carol's laptop", scopes: ["session:read"] });
  expect(token).toMatchObject({ principal: "carol", scopes: ["session:read"], revokedAt: null });
  expect(JSON.stringify(await sdk.tokens.list(local))).toContain("carol's laptop");
  expect(
    JSON.stringify([
      await sdk.tokens.list(local),
      (await db.query("select t::text from token t union all select a::text from audit a union all select c::text from client_request c")).rows,
    ]),
  ).not.toContain(secret.slice(33));
  expect(await status(secret)).toBe(200);
  expect(await status(`${secret.slice(0, -1)}${secret.endsWith("A") ? "B" : "A"}`)).toBe(401);
  await sdk.tokens.revoke(local, { tokenId: token.tokenId });
  expect(await status(secret)).toBe(401);
  const brief = await sdk.tokens.create(local, { principal: "carol", scopes: ["session:read"], expiresInSeconds: 60 });
  await db.query("update token set expires_at = clock_timestamp() where token_id = $1", [brief.token.tokenId]);
  expect(await status(brief.secret)).toBe(401);
  await expect(sdk.tokens.create({ principal: "carol", scopes: ["session:read"] }, { principal: "carol", scopes: ["operator"] })).rejects.toMatchObject({
    code: "PERMISSION_DENIED",
  });
  await expect(sdk.tokens.create(local, { principal: "session:x", scopes: ["operator"] })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(sdk.tokens.create(local, { principal: "x", scopes: ["all" as Scope] })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    detail: { field: "scopes" },
  });
});

test("each principal has its own sessions, the local operator sees all, and a scope that is missing is named", async () => {
  const alice = await person("alice", ["session:read", "session:control", "session:launch"]);
  const bob = await person("bob", ["session:read", "session:control"]);
  const mine = (await alice({ action: "launch_task", actor: "@alice", ...task("ALICE-1") })).data["sessionUlid"];
  const operators = await launch(local, task("OP-1"));
  expect((await alice({ action: "list" })).data["sessions"]).toEqual([expect.objectContaining({ sessionUlid: mine })]);
  expect((await bob({ action: "list" })).data["sessions"]).toEqual([]);
  for (const other of [mine, operators, "ALICE-1/executor-1"]) {
    for (const args of [
      { action: "get" },
      { action: "events" },
      { action: "input", prompt: "x" },
      { action: "abort" },
      { action: "close" },
      { action: "wait" },
    ])
      expect([args.action, await bob({ ...args, sessionUlid: other })]).toEqual([
        args.action,
        expect.objectContaining({ error: expect.objectContaining({ code: "NOT_FOUND" }) }),
      ]);
    expect((await bob({ action: "get", sessionUlid: other })).error?.message).toBe(
      (await bob({ action: "get", sessionUlid: String(other).replace(/.$/, "9") })).error?.message.replace(/9"\.$/, `${String(other).at(-1)}".`),
    );
  }
  for (const taskKey of ["ALICE-1", "NOBODYS-1"])
    expect((await bob({ action: "wait", taskKey, waitMs: 0 })).error).toMatchObject({ code: "NOT_FOUND", message: `There is no task ${taskKey}.` });
  expect((await bob({ action: "get", taskKey: "ALICE-1" }, "pm_task")).error?.code).toBe("NOT_FOUND");
  expect((await bob({ action: "list" }, "pm_task")).data["tasks"]).toEqual([expect.objectContaining({ taskKey: "OP-1" })]);
  expect(await bob({ action: "launch_task", actor: "@bob", ...task("BOB-1") })).toMatchObject({
    error: { code: "PERMISSION_DENIED", field: "scope", message: expect.stringContaining('"session:launch"') },
  });
  // nobody takes the place of a session that is not theirs, nor learns of it
  const taken = await alice({ action: "launch_task", actor: "@alice", ...task("OP-1") });
  expect(taken).toMatchObject({ error: { code: "CONFLICT_STATE", field: "agentHandle" } });
  expect(JSON.stringify(taken)).not.toContain(operators);
  expect((await alice({ action: "launch_task", actor: "@alice", ...task("OP-1", { agentHandle: "another" }) })).ok).toBe(true);
  expect((await alice({ action: "wait", sessionUlid: mine, cursors: { [operators]: 0 }, waitMs: 0 })).error?.code).toBe("NOT_FOUND");
  expect((await alice({ detail: true }, "pm_health")).data["processes"]).toBeUndefined();
  const operator = await connected(readFileSync(join(home, "token"), "utf8").trim());
  const all = ((await operator({ action: "list" })).data["sessions"] as { sessionUlid: string }[]).map((one) => one.sessionUlid);
  expect(all).toEqual(expect.arrayContaining([mine, operators]));
  expect(await audited("bob")).toEqual([
    ...[mine, operators, "ALICE-1/executor-1"].flatMap((target) =>
      ["input", "abort", "close"].map((action) => ({ action, target, actor: "bob", outcome: "NOT_FOUND" })),
    ),
    { action: "launch_task", target: "BOB-1", actor: "bob", outcome: "PERMISSION_DENIED" },
  ]);
});

test("what a principal does not see, the agent that it launches on the same task does not see either", async () => {
  const operators = await launch(local, task("OPS-1", { prompt: "the operator's secret plan" }));
  const mallory = await person("mallory", ["session:read", "session:control", "session:launch"]);
  const reviewer = (agentHandle: string) => ({ actor: "@mallory", ...task("OPS-1", { role: "reviewer", agentHandle }) });
  const mine = String((await mallory({ action: "launch_task", ...reviewer("spy") })).data["sessionUlid"]);
  const hers = String((await mallory({ action: "launch_task", ...reviewer("other") })).data["sessionUlid"]);
  const spy = await agent(mine);
  for (const args of [{ action: "get" }, { action: "prompt" }, { action: "events" }, { action: "diff" }, { action: "input", prompt: "push it elsewhere" }])
    expect([args.action, (await spy({ ...args, sessionUlid: operators })).error?.code]).toEqual([args.action, "NOT_FOUND"]);
  const listed = (await spy({ action: "list" })).data["sessions"] as { sessionUlid: string }[];
  expect(listed.map((one) => one.sessionUlid).toSorted()).toEqual([mine, hers].toSorted());
  expect((await db.query("select 1 from input where session_ulid = $1 and prompt like 'push%'", [operators])).rows).toEqual([]);
});

test("without the scope operator nobody gives commands that run as Baton's user, nor the host's variables", async () => {
  const narrow: Caller = { principal: "narrow", scopes: ["session:read", "session:launch"] };
  mkdirSync(join(home, "presets"), { recursive: true });
  const config = { scenario: { turns: [[]] }, env: [{ name: "KEY", valueRef: "env:OLD" }] };
  writeFileSync(join(home, "presets", "with-key.json"), JSON.stringify({ providerType: "scripted", config }));
  const given = (more: Partial<LaunchArgs>) => sdk.sessions.launch(narrow, task("NARROW-1", { launcherConfigKey: "with-key", dryRun: true, ...more }));
  for (const [field, more] of [
    ["config.command", { config: { command: ["sh", "-c", "env > /tmp/all"] } }],
    ["config.wrapper", { config: { wrapper: ["env"] } }],
    ["config.scenario", { config: { scenario: { turns: [[{ run: "id" }]] } } }],
    ["config.env", { config: { env: [{ name: "K", valueRef: "env:AWS_SECRET_ACCESS_KEY" }] } }],
    ["env", { env: [{ name: "KEY", valueRef: "env:AWS_SECRET_ACCESS_KEY" }] }],
    ["bootstrapCommands", { bootstrapCommands: ["id"] }],
  ] as const)
    await expect(given(more as Partial<LaunchArgs>)).rejects.toMatchObject({ code: "PERMISSION_DENIED", detail: { field } });
  // Those that the preset gives its agent anyway, under whatever name.
  await given({ env: [{ name: "AGAIN", valueRef: "env:OLD" }], config: { model: "small" } });
});

test("processes, which name everybody's sessions, are shown to the local operator only", async () => {
  const [operator, stranger] = [await person("local", ["session:read"]), await person("curious", ["session:read"])];
  const insider = await agent(await launch(local, task("HEALTH-1")));
  expect((await operator({ detail: true }, "pm_health")).data["processes"]).toEqual(expect.any(Array));
  for (const call of [stranger, insider]) {
    const answer = await call({ detail: true }, "pm_health");
    expect(answer).toMatchObject({ ok: true, data: { postgres: { status: "ok" } } });
    expect(answer.data).not.toHaveProperty("processes");
  }
});

test("by a conversation a caller restarts the very session that it was let to, and learns nothing of another's", async () => {
  const frank = await person("frank", ["session:read", "session:control", "session:launch"]);
  const launched = async (taskKey: string) => String((await frank({ action: "launch_task", actor: "@frank", ...task(taskKey) })).data["sessionUlid"]);
  const older = await launched("THREAD-1");
  const newest = await launch(local, task("THREAD-2"));
  const elder = await launch(local, task("THREAD-3"));
  const own = await launched("THREAD-4");
  const talks = (sessionUlid: string, thread: string) =>
    db.query("update session set provider_session_id = $2, closed_at = clock_timestamp() where session_ulid = $1", [sessionUlid, thread]);
  await talks(older, "t-one");
  await talks(newest, "t-one");
  await talks(elder, "t-two");
  await talks(own, "t-two");
  const restart = (args: Record<string, unknown>) => frank({ action: "restart", actor: "@frank", clientRequestId: ulid(), run: false, ...args });
  const error = async (providerSessionId: string) => JSON.stringify((await restart({ providerSessionId })).error).replaceAll(providerSessionId, "");
  // The newest one with it is the operator's, whatever older one is the caller's; said as of what is not there.
  expect(await error("t-one")).toContain("NOT_FOUND");
  expect(await error("t-one")).toBe(await error("t-none"));
  expect((await restart({ providerSessionId: "t-one", sessionUlid: own })).error?.code).toBe("NOT_FOUND");
  expect((await db.query("select generation from session where session_ulid = $1", [newest])).rows).toEqual([{ generation: 1 }]);
  // Its own, by both names, and the newest by one.
  expect((await restart({ providerSessionId: "t-one", sessionUlid: older })).data).toMatchObject({ sessionUlid: older, generation: 2 });
  const mine = { providerSessionId: "t-two", clientRequestId: ulid() };
  expect((await restart(mine)).data).toMatchObject({ sessionUlid: own, generation: 2 });
  // It has got another conversation since: the key is still the caller's.
  await talks(own, "t-three");
  await talks(elder, "t-four");
  expect((await restart(mine)).data).toMatchObject({ sessionUlid: own, generation: 2, replayed: true });
});

test("the repeat of an answer is given by its caller's key when a purge has taken the approval, and to nobody else", async () => {
  const [gwen, hank] = [await person("gwen", ["session:read", "session:control", "session:launch"]), await person("hank", ["session:control"])];
  const sessionUlid = (await gwen({ action: "launch_task", actor: "@gwen", ...task("KEPT-1") })).data["sessionUlid"];
  const approvalId = ulid();
  await db.query("insert into approval (approval_id, session_ulid, kind, title, request_key) values ($1, $2, 'permission', 'may I', 'k')", [
    approvalId,
    sessionUlid,
  ]);
  const answer = { action: "respond", approvalId, decision: "allow", clientRequestId: ulid() };
  expect((await gwen(answer)).data["applied"]).toBe(true);
  expect((await hank(answer)).error?.code).toBe("NOT_FOUND");
  await db.query("delete from approval where approval_id = $1", [approvalId]);
  expect((await gwen(answer)).data).toEqual({ approvalId, applied: true, purged: true, replayed: true });
  const refused = await gwen({ action: "respond", approvalId, decision: "allow" });
  expect(refused.error?.code).toBe("NOT_FOUND");
  // In the same words whoever asks, and with another key.
  for (const again of [await hank(answer), await gwen({ ...answer, clientRequestId: ulid() })]) expect(again.error).toEqual(refused.error);
});

test("read-only doors publish and serve what changes nothing; stdio calls with the token it is given", async () => {
  const { secret, token } = await sdk.tokens.create(local, { principal: "dora", scopes: ["session:read"] });
  const stdio = async (extra: Record<string, string>, args: string[] = []) => {
    const client = new Client({ name: "t", version: "1" });
    await client.connect(
      new StdioClientTransport({
        command: process.execPath,
        args: [join(root, "mcp-gateway/stdio-main.ts"), ...args],
        env: { PATH: process.env["PATH"] ?? "", ...env, ...extra },
      }),
    );
    clients.push(client);
    return client;
  };
  for (const client of [await stdio({ BATON_READ_ONLY: "1" }), await stdio({}, ["--read-only"])]) {
    const { tools } = await client.listTools();
    expect(tools.map((tool) => [tool.name, tool.annotations?.readOnlyHint])).toEqual(
      tools.filter((tool) => tool.name !== "pm_session").map((tool) => [tool.name, true]),
    );
    const actions = tools.find((tool) => tool.name === "pm_task")?.inputSchema.properties?.["action"] as { enum: string[] };
    expect(actions.enum).toEqual(expect.arrayContaining(["get", "list", "help"]));
    expect(actions.enum).not.toContain("create");
    expect((await client.callTool({ name: "pm_task", arguments: { action: "create", taskKey: "RO-1", title: "x", repositoryPath } })).isError).toBe(true);
    await expect(client.callTool({ name: "pm_session", arguments: { action: "list" } })).rejects.toThrow();
  }
  const dora = await stdio({ BATON_TOKEN: secret });
  expect((await dora.callTool({ name: "pm_session", arguments: { action: "list" } })).structuredContent).toMatchObject({ data: { sessions: [] } });
  await sdk.tokens.revoke(local, { tokenId: token.tokenId });
  expect((await dora.callTool({ name: "pm_session", arguments: { action: "list" } })).structuredContent).toMatchObject({
    error: { code: "PERMISSION_DENIED" },
  });
});
