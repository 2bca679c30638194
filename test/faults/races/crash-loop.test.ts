import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type KeptUp, keepUp } from "../../../local/keep-up.ts";
import { startPart } from "../../../local/part.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered } from "../support/launch.ts";
import { onStack } from "../support/on-stack.ts";

const failures = process.env["BATON_TEST_FULL"] === "1" ? 7 : 4;
const numbers = 150;
const on = onStack({ start: ["engine"] });
let kept: KeptUp | undefined;

test(`the supervisor's host dies and then does not start ${failures} times (a wrong configuration, mended later): growing pauses, and no session fails by it (row 30)`, async () => {
  const script = join(import.meta.dirname, "../../../workers/host.ts");
  const log = join(on.stack.home, "host.log");
  const said: string[] = [];
  const starts: number[] = [];
  let broken = 0;
  kept = await keepUp({
    name: "host",
    start: () => {
      starts.push(performance.now());
      // The first start is good: a supervisor whose very first start fails says so and ends.
      const wrong = starts.length > 1 && broken < failures;
      if (wrong) broken += 1;
      return startPart({ script, env: { ...on.stack.env, ...(wrong ? { BATON_HOST_BEAT_MS: "soon" } : {}) }, log });
    },
    say: (line) => said.push(line),
    changed: () => undefined,
  });
  try {
    const session = await launchNumbered(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-loop`, count: numbers, everyMs: 100 });
    await on.baton.eventually(
      "the agent works",
      async () => (await on.baton.query("select 1 from event where session_ulid = $1 and type = 'tool.completed'", [session])).length >= 3,
      60_000,
    );
    process.kill(kept.pid() ?? 0, "SIGKILL");
    await on.baton.eventually("the host is up again", async () => said.some((line) => line.startsWith("host is up again")), 120_000);
    expect(said.filter((line) => line.startsWith("host does not start"))).toHaveLength(failures);
    // Each pause at least the one before it, up to the longest; never a busy loop.
    const pauses = starts.slice(2).map((start, at) => start - (starts[at + 1] ?? 0));
    pauses.forEach((pause, at) => expect(pause).toBeGreaterThanOrEqual(Math.min(900 * 2 ** at, 9_900)));
    // What is wrong is in the log, in words.
    expect(readFileSync(log, "utf8")).toContain("BATON_HOST_BEAT_MS");

    await on.baton.turnsEnded(session, 1, 90_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [session], turnsPerSession: 1 })).toEqual([]);
    expect(await on.baton.query("select 1 from session where failed")).toEqual([]);
    // The agent never noticed: one start, one prompt, every number once.
    const agent = readFileSync(join(on.stack.home, "agents", session, "agent.log"), "utf8");
    expect([agent.match(/ start$/gm)?.length, agent.match(/ prompt turn /g)?.length]).toEqual([1, 1]);
    const stored = await on.baton.query("select 1 from event where session_ulid = $1 and type = 'tool.completed'", [session]);
    expect(stored).toHaveLength(numbers);
    await on.baton.closeSession(session);
  } finally {
    await kept.stop(10_000);
  }
}, 240_000);
