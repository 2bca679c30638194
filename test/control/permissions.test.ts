import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchScripted } from "../faults/support/launch.ts";
import { onStack } from "../faults/support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({
  start: ["engine", "host"],
  numbers: { BATON_KEEP_ALIVE_MS: "60000" },
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    for (const preset of [
      { key: "ask", permissions: { mode: "ask" } },
      {
        key: "as-it-is",
        permissions: { mode: "ask" },
        allowAdhocOverrides: false,
        config: { model: "small", scenario: { turns: [[{ say: "one" }], [{ say: "two" }]] } },
      },
    ])
      writeFileSync(join(stack.home, "presets", `${preset.key}.json`), JSON.stringify({ providerType: "scripted", ...preset }));
  },
});
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const sessions = () => on.baton.sdk.sessions;
const asks = (name: string, turns: unknown[], preset = "ask"): Promise<string> => launchScripted(on.baton, on.stack, { key: key(name), turns, preset });
const approvals = (session: string) =>
  on.baton.query<{ id: string; state: string; title: string }>(
    "select approval_id id, state, title from approval where session_ulid = $1 order by asked_at, approval_id",
    [session],
  );
const asked = async (session: string, n: number): Promise<string> => {
  await on.baton.eventually(`question ${n}`, async () => (await approvals(session)).length === n, 30_000);
  return (await approvals(session)).at(-1)!.id;
};

describe("an input while a permission is open", () => {
  test("queued it waits, and both answers are ready", async () => {
    const session = await asks("queued", [[{ ask: { title: "rm -rf x" } }, { say: "asked" }], [{ say: "then" }]]);
    const approvalId = await asked(session, 1);
    const { data, next } = await sessions().input(caller, { sessionUlid: session, prompt: "more", clientRequestId: key("queued-1") });
    expect(data).toMatchObject({ delivery: "queue", state: "waiting_for_approval" });
    expect(next.map((one) => one.args).slice(0, 2)).toEqual(["allow", "deny"].map((decision) => ({ action: "respond", approvalId, decision })));
    await sessions().respond(caller, next[1]!.args as { approvalId: string });
    await on.baton.turnsEnded(session, 2, 30_000);
  }, 120_000);

  test("an interrupt waits for nothing, and grants nothing", async () => {
    const session = await asks("interrupt", [[{ ask: { title: "rm -rf x" } }, { say: "asked" }], [{ say: "stopped" }]]);
    await asked(session, 1);
    const { data, next } = await sessions().input(caller, { sessionUlid: session, prompt: "stop that", delivery: "interrupt" });
    expect(data["state"]).not.toBe("waiting_for_approval");
    expect(next.filter((one) => one.args["action"] === "respond")).toEqual([]);
    await on.baton.turnsEnded(session, 2, 30_000);
    expect(await approvals(session)).toEqual([expect.objectContaining({ state: "expired" })]);
  }, 120_000);

  test("one that a turn has taken is repeated as it is, whatever is asked now", async () => {
    const session = await asks("repeated", [[{ say: "one" }], [{ say: "two" }], [{ ask: { title: "rm -rf x" } }]]);
    await on.baton.turnsEnded(session, 1, 30_000);
    const args = { sessionUlid: session, prompt: "second", clientRequestId: key("repeated-1") };
    await sessions().input(caller, args);
    await on.baton.turnsEnded(session, 2, 30_000);
    await sessions().input(caller, { sessionUlid: session, prompt: "third" });
    await asked(session, 1);
    const { data, next } = await sessions().input(caller, args);
    expect(data).toMatchObject({ replayed: true, state: "consumed" });
    expect(next.filter((one) => one.args["action"] === "respond")).toEqual([]);
    await sessions().abort(caller, { sessionUlid: session });
  }, 120_000);
});

test("a preset that allows no overrides has its model in each turn", async () => {
  const { data } = await sessions().launch(caller, {
    clientRequestId: key("as-it-is"),
    actor: "@test",
    taskKey: key("as-it-is"),
    launcherConfigKey: "as-it-is",
    agentHandle: "executor",
    prompt: "go",
    task: { title: "x", repositoryPath: on.stack.repository },
  });
  const sessionUlid = String(data["sessionUlid"]);
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  const run = (configuration: { model?: string; mode?: "deny-all" }) => sessions().run(caller, { sessionUlid, configuration });
  await expect(run({ model: "large" })).rejects.toMatchObject({ code: "PERMISSION_DENIED", detail: { field: "configuration.model", allowed: ["small"] } });
  expect((await run({ model: "small", mode: "deny-all" })).data).toMatchObject({ status: "RUNNING" });
  await on.baton.turnsEnded(sessionUlid, 2, 30_000);
}, 120_000);

describe("allow_always", () => {
  const notices = async (session: string) =>
    (
      await on.baton.query<{ message: string }>("select data->>'message' message from event where session_ulid = $1 and type = 'notice.raised' order by seq", [
        session,
      ])
    ).map((row) => row.message);
  const outcome = async (session: string, n: number) => {
    await on.baton.turnsEnded(session, n, 30_000);
    return on.baton.query<{ status: string }>("select data->>'status' status from event where session_ulid = $1 and type = 'command.completed' order by seq", [
      session,
    ]);
  };
  const always = async (session: string) => {
    const approvalId = await asked(session, 1);
    await sessions().respond(caller, { approvalId, decision: "allow_always" });
    return approvalId;
  };

  test("holds for the equal request of the same session, says which answer it was, and for no other", async () => {
    const ask = (title: string) => ({ ask: { title } });
    const session = await asks("always", [[ask("npm test"), ask("npm test"), ask("npm test -- --all"), { say: "done" }]]);
    const first = await always(session);
    const second = await asked(session, 2);
    expect((await approvals(session)).map((one) => one.title)).toEqual(["npm test", "npm test -- --all"]);
    expect(await notices(session)).toEqual([expect.stringContaining(first)]);
    await sessions().respond(caller, { approvalId: second, decision: "allow" });
    expect(await outcome(session, 1)).toEqual([{ status: "completed" }, { status: "completed" }, { status: "completed" }]);
    const spec = (await sessions().spec({ sessionUlid: session })) as { permissions: Record<string, unknown> };
    expect(spec.permissions).toMatchObject({ mode: "ask", remembered: [{ approvalId: first, title: "npm test", by: "local" }] });
    // Another session of the same task knows nothing of it.
    const other = await asks("always-other", [[ask("npm test")]]);
    await asked(other, 1);
    await sessions().abort(caller, { sessionUlid: other });
  }, 120_000);

  test("outlives the agent, and gives way to a rule that denies", async () => {
    const ask = { ask: { title: "npm test", onDeny: [{ say: "no" }] } };
    const session = await asks("outlives", [[ask], [ask, { ask: { title: "npm ci" } }], [ask]]);
    const first = await always(session);
    await on.baton.turnsEnded(session, 1, 30_000);
    const again = async (n: number) => {
      await on.baton.closeSession(session);
      await sessions().restart(caller, { sessionUlid: session, clientRequestId: key(`outlives-${n}`), actor: "@test" });
    };
    await again(1);
    await sessions().respond(caller, { approvalId: await asked(session, 2), decision: "allow" });
    expect(await outcome(session, 2)).toEqual([{ status: "completed" }, { status: "completed" }, { status: "completed" }]);
    expect((await approvals(session)).map((one) => one.title)).toEqual(["npm test", "npm ci"]);
    expect(await notices(session)).toEqual(expect.arrayContaining([expect.stringContaining(first)]));
    const deny = JSON.stringify([{ tool: "*", commandPrefix: "npm", decision: "deny" }]);
    await on.baton.query("update session set args = jsonb_set(args, '{effective,permissions,rules}', $2::jsonb) where session_ulid = $1", [session, deny]);
    await again(2);
    expect((await outcome(session, 3)).at(-1)).toEqual({ status: "denied" });
  }, 120_000);
});
