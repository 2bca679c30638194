import { launchScripted } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";

// Agents that leave a wait open and work on. One turn at a time on the whole host.
const on = onStack({ start: ["engine", "host"], numbers: { BATON_TURN_SLOTS: "1" } });
const local = { principal: "local", actor: "@test" };

const eventsOf = async (sessions: string[], types: string[]): Promise<[string, string][]> =>
  (
    await on.baton.query<{ sessionUlid: string; type: string }>(
      `select session_ulid as "sessionUlid", type from event where session_ulid = any($1) and type = any($2) order by at`,
      [sessions, types],
    )
  ).map((row) => [row.sessionUlid, row.type]);

/** At work on `steps` with a wall limit, from the first command on. */
async function limited(key: string, steps: unknown[]): Promise<string> {
  const { data } = await on.baton.sdk.sessions.launch(local, {
    clientRequestId: key,
    taskKey: key,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    limits: { wallSeconds: 3 },
    config: { scenario: { turns: [steps] } },
    task: { title: key, repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  });
  const session = String(data["sessionUlid"]);
  await on.baton.eventually("it works", async () => (await eventsOf([session], ["command.started"])).length > 0, 30_000);
  return session;
}

/** As its own agent asks, from a process that it left behind: for all below itself. */
function leaveWait(session: string): { end(): Promise<void> } {
  const over = new AbortController();
  const asked = { rootUlid: session, until: "closed" as const, waitMs: 3_600_000, reach: { session, subtree: true as const } };
  const waits = on.baton.sdk.sessions.wait(asked, over.signal).catch(() => undefined);
  return {
    async end() {
      over.abort();
      await waits;
    },
  };
}

test("an agent that waits for nothing keeps its slot, and its wall limit ends it", async () => {
  const worker = await limited("NOTHING-1", [{ run: "true" }, { wait: 12_000 }]);
  const wait = leaveWait(worker);
  const other = await launchScripted(on.baton, on.stack, { key: "NOTHING-2", turns: [[{ say: "my turn" }]] });
  await on.baton.turnsEnded(worker, 1, 30_000);
  await wait.end();
  await on.baton.turnsEnded(other, 1, 30_000);
  expect(await eventsOf([worker, other], ["turn.limit_reached", "turn.started"])).toEqual([
    [worker, "turn.started"],
    [worker, "turn.limit_reached"],
    [other, "turn.started"],
  ]);
}, 90_000);

test.each([
  ["a command of its own runs", "BUSY", [{ run: "sleep 15" }]],
  ["it calls tools", "TOOLS", [{ run: "true" }, { wait: 4_000 }, { numbered: { count: 60, everyMs: 200 } }]],
])(
  "an agent that waits for a session at work is not taken to wait while %s",
  async (_what, key, steps) => {
    const worker = await limited(`${key}-1`, steps);
    const child = await launchScripted(on.baton, on.stack, { key: `${key}-2`, turns: [[{ wait: 20_000 }]] });
    await on.baton.query("update session set parent_ulid = $2, root_ulid = $2 where session_ulid = $1", [child, worker]);
    const wait = leaveWait(worker);
    await on.baton.turnsEnded(worker, 1, 60_000);
    await wait.end();
    expect(await eventsOf([worker], ["turn.limit_reached"])).toEqual([[worker, "turn.limit_reached"]]);
    await on.baton.closeSession(child);
  },
  120_000,
);
