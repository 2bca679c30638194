import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { agentStarts, emitted } from "../support/agent-words.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered, openTestBaton } from "../support/launch.ts";
import { onOwnServers } from "../support/own-servers.ts";

const most = process.env["BATON_TEST_FULL"] === "1" ? 320 : 40;
const on = onOwnServers({ postgres: { settings: { max_connections: String(most) } }, start: ["engine", "host"] });

/** Takes every connection that Postgres gives. */
async function takeAll(): Promise<pg.Client[]> {
  const held: pg.Client[] = [];
  for (;;) {
    const client = new pg.Client(on.stack.databaseUrl);
    client.on("error", () => undefined);
    try {
      await client.connect();
      held.push(client);
    } catch (error) {
      expect((error as { code?: string }).code).toBe("53300");
      return held;
    }
  }
}

test("with every other connection of Postgres taken the appends go on, and a new reader is told when to come again (row 29)", async () => {
  const count = 250;
  const session = await launchNumbered(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-taken`, count, everyMs: 40 });
  await on.baton.eventually("the agent works", async () => emitted(on.stack, session) > 10, 30_000);
  let held = await takeAll();
  const late = await openTestBaton(on.stack);
  try {
    expect(held.length).toBeGreaterThan(most / 2);
    const behind: number[] = [];
    for (const end = Date.now() + 6_000; Date.now() < end; await sleep(300)) {
      const { rows } = await held[0]!.query<{ n: string }>("select count(*) n from event where session_ulid = $1 and type = 'tool.completed'", [session]);
      behind.push(emitted(on.stack, session) - Number(rows[0]?.n));
      // What Baton gives back is taken at once.
      if (behind.length % 5 === 0) held = [...held, ...(await takeAll())];
    }
    console.log(`${held.length} connections held; numbers that the table was behind the agent: ${behind.join(" ")}`);
    // 25 numbers a second: never seconds behind for long.
    expect(behind.filter((n) => n > 75).length).toBeLessThan(behind.length / 3);
    // What Baton gave back since the last time would be the new reader's.
    held = [...held, ...(await takeAll())];
    await expect(late.sdk.sessions.get({ sessionUlid: session })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      detail: { retryable: true, retryAfterMs: expect.any(Number) },
    });
  } finally {
    await Promise.all(held.map((client) => client.end()));
  }
  expect(await late.sdk.sessions.get({ sessionUlid: session })).toBeDefined();
  await late.close();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await on.baton.query("select attempt from turn where session_ulid = $1", [session])).toEqual([{ attempt: 1 }]);
  expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [session], turnsPerSession: 1 })).toEqual([]);
}, 180_000);
