import { launchNumbered, openTestBaton, type TestBaton } from "./support/launch.ts";
import { openStack, type Stack } from "./support/stack.ts";

describe("a door that dies between the request's row and the start of its workflow", () => {
  let stack: Stack;
  let baton: TestBaton;
  beforeAll(async () => {
    stack = await openStack();
    baton = await openTestBaton(stack);
  }, 120_000);
  afterAll(async () => {
    await baton?.close();
    await stack?.close();
  }, 60_000);

  test("is healed by the engine alone; what is older than an hour fails and is never launched", async () => {
    // A door that reaches Postgres but not Temporal leaves the same rows as one that was killed in between.
    const cutOff = await openTestBaton({ ...stack, env: { ...stack.env, TEMPORAL_ADDRESS: "127.0.0.1:1" } });
    try {
      for (const key of ["heals", "too-old"]) {
        await expect(launchNumbered(cutOff, stack, { key, count: 3, everyMs: 1 })).rejects.toMatchObject({
          code: "UNAVAILABLE",
          detail: { applied: "unknown" },
        });
      }
    } finally {
      await cutOff.close();
    }
    const rows = await baton.query<{ session_ulid: string; task_key: string }>("select session_ulid, task_key from session order by task_key");
    expect(rows.map((row) => row.task_key)).toEqual(["heals", "too-old"]);
    const [heals, tooOld] = rows.map((row) => row.session_ulid);
    // Time passes: only the rows' age tells the sweeper.
    const age = (session: string | undefined, by: string) =>
      baton.query("update generation set created_at = created_at - $2::interval where session_ulid = $1", [session, by]);
    await age(heals, "2 minutes");
    await age(tooOld, "2 hours");

    await stack.startEngine();
    await stack.startHost();
    await baton.turnsEnded(heals ?? "", 1, 60_000);
    expect(await baton.outcomes(heals ?? "")).toEqual(["completed"]);
    await baton.eventually(
      "the old one failed",
      async () => (await baton.query("select 1 from session where session_ulid = $1 and closed_at is not null and started_at is null", [tooOld])).length === 1,
      20_000,
    );
    expect(await baton.query("select 1 from turn where session_ulid = $1", [tooOld])).toEqual([]);
    expect(
      await baton.query("select 1 from event where session_ulid = $1 and type = 'session.failed' and data->>'reason' = 'never_started'", [tooOld]),
    ).toHaveLength(1);
  }, 180_000);
});
