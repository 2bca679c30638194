import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "./support/auditor.ts";
import { launchNumbered } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";

const agents = 5;
const kills = 20;
const numbers = 500;

describe("kill -9 of the host worker", () => {
  // On a slow machine one turn ends long before the last, and its agent is not to be ended for that.
  const on = onStack({ start: ["engine"], numbers: { BATON_KEEP_ALIVE_MS: "600000" } });

  test(`${kills} times while ${agents} agents work: every event once, in order, and no agent notices (row 1)`, async () => {
    let host = await on.stack.startHost();
    const sessions = await Promise.all(
      Array.from({ length: agents }, (_, n) => launchNumbered(on.baton, on.stack, { key: `kills-${n}`, count: numbers, everyMs: 100 })),
    );
    await on.baton.eventually(
      "all agents at work",
      async () => (await on.baton.query("select distinct session_ulid from event where type = 'tool.completed'")).length === agents,
      30_000,
    );
    for (let n = 0; n < kills; n++) {
      await sleep(Math.random() * 700);
      await kill(host);
      host = await on.stack.startHost();
    }
    const running = await on.baton.query<{ n: string }>("select count(*) n from turn where result is null");
    console.log(`${running[0]?.n} of ${agents} turns still ran after the last kill`);
    expect(Number(running[0]?.n)).toBeGreaterThan(0);
    for (const session of sessions) await on.baton.turnsEnded(session, 1, 90_000);

    expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions, turnsPerSession: 1 })).toEqual([]);
    for (const session of sessions) {
      expect(await on.baton.outcomes(session)).toEqual(["completed"]);
      const agentHome = join(on.stack.home, "agents", session);
      // What the agent itself says it emitted is what is stored, number by number.
      const emitted = readFileSync(join(agentHome, "emitted.log"), "utf8")
        .trim()
        .split("\n")
        .map((line) => /(\d+)\s*$/.exec(line)?.[1]);
      const stored = await on.baton.query<{ output: string }>(
        "select data->>'output' output from event where session_ulid = $1 and type = 'tool.completed' order by seq",
        [session],
      );
      expect(stored.map((row) => row.output.trim())).toEqual(emitted);
      expect(emitted).toEqual(Array.from({ length: numbers }, (_, at) => String(at + 1)));
      const log = readFileSync(join(agentHome, "agent.log"), "utf8");
      expect(log.match(/start/g)).toHaveLength(1);
      expect(log).not.toMatch(/signal|SIG|stdin|error/i);
    }
  }, 240_000);
});
