import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "./support/auditor.ts";
import { launchNumbered, openTestBaton, type TestBaton } from "./support/launch.ts";
import { openStack, type Stack } from "./support/stack.ts";

const agents = 5;

describe("a host worker that is frozen past its beat timeout, and resumed", () => {
  let stack: Stack;
  let baton: TestBaton;
  beforeAll(async () => {
    stack = await openStack({ BATON_HOST_BEAT_TIMEOUT_MS: "4000" });
    await stack.startEngine();
    baton = await openTestBaton(stack);
  }, 120_000);
  afterAll(async () => {
    await baton?.close();
    await stack?.close();
  }, 60_000);

  test("spawns nothing, beats nothing, appends nothing: its successor's claims stand", async () => {
    const frozen = await stack.startHost();
    const sessions = await Promise.all(
      Array.from({ length: agents }, (_, n) => launchNumbered(baton, stack, { key: `frozen-${n}`, count: 250, everyMs: 100 })),
    );
    await baton.eventually(
      "all agents at work",
      async () => (await baton.query("select distinct session_ulid from event where type = 'tool.completed'")).length === agents,
      30_000,
    );
    const heads = () =>
      baton.query<{ session_ulid: string; epoch: string; owner: string }>("select session_ulid, epoch, owner from head order by session_ulid");
    const before = await heads();
    frozen.kill("SIGSTOP");
    await sleep(5_000);
    await stack.startHost();
    await baton.eventually("the successor owns every turn", async () => (await heads()).every((row, at) => row.owner !== before[at]?.owner), 20_000);
    // The successor may claim once more: the beats that failed let Temporal hand out a next attempt. The frozen one never may.
    const owners = async () => (await heads()).map((row) => row.owner);
    const after = await owners();
    const runners = await baton.query("select runner_id from runner order by 1");

    frozen.kill("SIGCONT");
    await baton.eventually("the resumed worker leaves by itself", async () => frozen.exitCode !== null, 15_000);
    expect(frozen.exitCode).toBe(75);
    expect(await owners()).toEqual(after);
    expect(await baton.query("select runner_id from runner order by 1")).toEqual(runners);

    for (const session of sessions) await baton.turnsEnded(session, 1, 60_000);
    expect(await owners()).toEqual(after);
    expect(await audit({ databaseUrl: stack.databaseUrl, home: stack.home, sessions, turnsPerSession: 1 })).toEqual([]);
    for (const session of sessions) expect(await baton.outcomes(session)).toEqual(["completed"]);
    const stored = await baton.query<{ n: string }>("select count(*) n from event where type = 'tool.completed'");
    expect(Number(stored[0]?.n)).toBe(agents * 250);
  }, 180_000);
});
