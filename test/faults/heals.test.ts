import { launchNumbered, openTestBaton } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";

describe("a door that dies between the request's row and the start of its workflow", () => {
  const on = onStack({ start: [] });

  test("is healed by the engine alone; what is older than an hour fails and is never launched", async () => {
    // A door that reaches Postgres but not Temporal leaves the same rows as one that was killed in between.
    const cutOff = await openTestBaton({ ...on.stack, env: { ...on.stack.env, TEMPORAL_ADDRESS: "127.0.0.1:1" } });
    try {
      const away = { code: "UNAVAILABLE", detail: { applied: "unknown" } };
      for (const key of ["heals", "too-old"]) await expect(launchNumbered(cutOff, on.stack, { key, count: 3, everyMs: 1 })).rejects.toMatchObject(away);
      const chain = { clientRequestId: "too-old-chain", actor: "@test", taskKey: "too-old-chain", launcherConfigKey: "demo-executor", agentHandle: "executor" };
      const task = { title: "x", repositoryPath: on.stack.repository, projectKey: "FAULTS" };
      await expect(cutOff.sdk.sessions.launch({ principal: "local" }, { ...chain, task, chain: {} })).rejects.toMatchObject(away);
    } finally {
      await cutOff.close();
    }
    const rows = await on.baton.query<{ session_ulid: string; task_key: string }>("select session_ulid, task_key from session order by task_key");
    expect(rows.map((row) => row.task_key)).toEqual(["heals", "too-old", "too-old-chain"]);
    const [heals, tooOld, oldChain] = rows.map((row) => row.session_ulid);
    // Time passes: only the rows' age tells the sweeper.
    const age = (session: string | undefined, by: string) =>
      on.baton.query("update generation set created_at = created_at - $2::interval where session_ulid = $1", [session, by]);
    await age(heals, "2 minutes");
    await age(tooOld, "2 hours");
    await age(oldChain, "2 hours");
    await on.baton.query("update chain set created_at = created_at - interval '2 hours'");

    await on.stack.startEngine();
    await on.stack.startHost();
    await on.baton.turnsEnded(heals ?? "", 1, 60_000);
    expect(await on.baton.outcomes(heals ?? "")).toEqual(["completed"]);
    await on.baton.eventually(
      "the old one failed",
      async () =>
        (await on.baton.query("select 1 from session where session_ulid = $1 and closed_at is not null and started_at is null", [tooOld])).length === 1,
      20_000,
    );
    expect(await on.baton.query("select 1 from turn where session_ulid = $1", [tooOld])).toEqual([]);
    expect(
      await on.baton.query("select 1 from event where session_ulid = $1 and type = 'session.failed' and data->>'reason' = 'never_started'", [tooOld]),
    ).toHaveLength(1);
    // A chain has nobody else who would end it.
    await on.baton.eventually(
      "so did the chain",
      async () => (await on.baton.query("select 1 from chain where reason = 'failed' and why = 'never_started'")).length === 1,
      20_000,
    );
  }, 180_000);
});
