import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "./support/auditor.ts";
import { launchNumbered } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";

const agents = 5;

describe("a host worker that is frozen past its beat timeout, and resumed", () => {
  const on = onStack({ start: ["engine"], numbers: { BATON_HOST_BEAT_TIMEOUT_MS: "4000" } });

  test("spawns nothing, beats nothing, appends nothing: its successor's claims stand (row 2)", async () => {
    const frozen = await on.stack.startHost();
    const sessions = await Promise.all(
      Array.from({ length: agents }, (_, n) => launchNumbered(on.baton, on.stack, { key: `frozen-${n}`, count: 250, everyMs: 100 })),
    );
    await on.baton.eventually(
      "all agents at work",
      async () => (await on.baton.query("select distinct session_ulid from event where type = 'tool.completed'")).length === agents,
      30_000,
    );
    const heads = () =>
      on.baton.query<{ session_ulid: string; epoch: string; owner: string }>("select session_ulid, epoch, owner from head order by session_ulid");
    const before = await heads();
    frozen.kill("SIGSTOP");
    await sleep(5_000);
    await on.stack.startHost();
    await on.baton.eventually("the successor owns every turn", async () => (await heads()).every((row, at) => row.owner !== before[at]?.owner), 20_000);
    // The successor may claim once more: the beats that failed let Temporal hand out a next attempt. The frozen one never may.
    const owners = async () => (await heads()).map((row) => row.owner);
    const after = await owners();
    const runners = await on.baton.query("select runner_id from runner order by 1");

    frozen.kill("SIGCONT");
    await on.baton.eventually("the resumed worker leaves by itself", async () => frozen.exitCode !== null, 15_000);
    expect(frozen.exitCode).toBe(75);
    expect(await owners()).toEqual(after);
    expect(await on.baton.query("select runner_id from runner order by 1")).toEqual(runners);

    for (const session of sessions) await on.baton.turnsEnded(session, 1, 60_000);
    expect(await owners()).toEqual(after);
    expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions, turnsPerSession: 1 })).toEqual([]);
    for (const session of sessions) expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    const stored = await on.baton.query<{ n: string }>("select count(*) n from event where type = 'tool.completed'");
    expect(Number(stored[0]?.n)).toBe(agents * 250);
  }, 180_000);
});
