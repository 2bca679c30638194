import { setTimeout as sleep } from "node:timers/promises";
import { agentStarts, stored } from "../support/agent-words.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered, launchScripted } from "../support/launch.ts";
import { type McpDoor, openMcpDoor } from "../support/mcp-door.ts";
import { onOwnServers } from "../support/own-servers.ts";
import { steadyRequests } from "../support/steady-requests.ts";

const full = process.env["BATON_TEST_FULL"] === "1";
const kills = full ? 20 : 3;
const cycleMs = full ? 30_000 : 2_500;
/** Above the beat's time-out: when Temporal is back it takes the running turns for lost. */
const awayMs = full ? 60_000 : 7_000;
const bothMs = full ? 60_000 : 3_000;
const on = onOwnServers({ postgres: {}, temporal: true, start: ["engine", "host"] });
let door: McpDoor;
beforeAll(async () => {
  door = await openMcpDoor(on.stack);
}, 60_000);
afterAll(() => door?.close());
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;

/** Agents that work and callers that ask, while `fault` does its worst; then each request has had exactly one effect. */
async function underFire(name: string, numbers: number, fault: () => Promise<void>): Promise<void> {
  const agents = await Promise.all(["a", "b"].map((n) => launchNumbered(on.baton, on.stack, { key: key(`${name}-${n}`), count: numbers, everyMs: 50 })));
  const talker = await launchScripted(on.baton, on.stack, { key: key(`${name}-talker`), turns: [[{ say: "ok" }]] });
  await on.baton.eventually("the agents work", async () => Math.min(...(await Promise.all(agents.map((one) => stored(on.baton, one))))) > 3, 60_000);
  const inputs = steadyRequests(
    door,
    (n) => ({ action: "input", sessionUlid: talker, prompt: `question ${n}`, clientRequestId: key(`${name}-input-${n}`), actor: "@test" }),
    full ? 1_500 : 250,
  );
  const launches = steadyRequests(
    door,
    (n) => ({
      action: "launch_task",
      clientRequestId: key(`${name}-launch-${n}`),
      actor: "@test",
      taskKey: `${name}-${n}`,
      launcherConfigKey: "demo-executor",
      agentHandle: "executor",
      prompt: "go",
      config: { scenario: { turns: [[{ say: "done" }]] } },
      task: { title: `${name} ${n}`, repositoryPath: on.stack.repository, projectKey: "FIRE" },
    }),
    full ? 12_000 : 2_500,
  );
  try {
    await fault();
  } finally {
    await Promise.all([inputs.stop(), launches.stop()]);
  }
  console.log(`${name}: ${inputs.acknowledged.size} inputs, ${launches.acknowledged.size} launches, ${inputs.hints + launches.hints} hints to repeat`);
  expect([...inputs.wrong, ...launches.wrong]).toEqual([]);
  expect(inputs.hints + launches.hints).toBeGreaterThan(0);
  // Each acknowledged input is one row and one turn, the launch's first one included.
  const ids = [...inputs.acknowledged.values()].map((data) => String(data["inputId"]));
  await on.baton.turnsEnded(talker, ids.length + 1, 120_000);
  const rows = await on.baton.query<{ input_id: string }>("select input_id from input where session_ulid = $1 order by created_at, input_id", [talker]);
  expect(
    rows
      .map((row) => row.input_id)
      .slice(1)
      .toSorted(),
  ).toEqual(ids.toSorted());
  expect(agentStarts(on.stack, talker).prompts).toBe(ids.length + 1);
  const sessions = [...launches.acknowledged.values()].map((data) => String(data["sessionUlid"]));
  expect(new Set(sessions).size).toBe(launches.acknowledged.size);
  for (const session of [...sessions, ...agents]) await on.baton.turnsEnded(session, 1, 120_000);
  const made = await on.baton.query("select 1 from session where client_request_id like $1", [`${key(`${name}-launch-`)}%`]);
  expect(made).toHaveLength(sessions.length);
  const place = { databaseUrl: on.stack.databaseUrl, home: on.stack.home };
  expect(await audit({ ...place, sessions: [...sessions, ...agents], turnsPerSession: 1 })).toEqual([]);
  expect(await audit({ ...place, sessions: [talker], turnsPerSession: ids.length + 1 })).toEqual([]);
  for (const session of agents) {
    expect(await stored(on.baton, session)).toBe(numbers);
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
  }
  for (const session of [...sessions, ...agents, talker]) await on.baton.closeSession(session);
}

test(`Postgres killed ${kills} times under work: no acknowledged request lost, nothing twice, doors say when to repeat (row 9)`, async () => {
  await underFire("postgres", Math.ceil((kills * cycleMs + 4_000) / 50), async () => {
    for (let n = 0; n < kills; n++) {
      const until = Date.now() + cycleMs;
      await on.postgres.kill();
      await sleep(300 + Math.random() * 700);
      await on.postgres.start();
      await sleep(Math.max(0, until - Date.now()));
    }
  });
}, 900_000);

test(`Temporal down for ${awayMs / 1_000} s: running turns go on, what was asked is done once (row 13)`, async () => {
  await underFire("temporal", Math.ceil((awayMs + 6_000) / 50), async () => {
    const ending = await launchNumbered(on.baton, on.stack, { key: key("ending"), count: 40, everyMs: 50 });
    await on.baton.eventually("it works", async () => (await stored(on.baton, ending)) > 3, 30_000);
    await on.temporal.kill();
    // Its turn ends while nobody can be told: the result is stored, the agent is let go.
    await on.baton.eventually("the result is stored", async () => (await on.baton.outcomes(ending)).length === 1, 30_000);
    await sleep(awayMs);
    await on.temporal.start();
    await on.baton.turnsEnded(ending, 1, 60_000);
    await on.baton.sdk.sessions.input({ principal: "local", actor: "@test" }, { sessionUlid: ending, prompt: "and on" });
    await on.baton.turnsEnded(ending, 2, 60_000);
    expect(await on.baton.outcomes(ending)).toEqual(["completed", "completed"]);
    // Each prompt went out once. (An idle agent may have been ended by its keep-alive in a long outage, so its starts are not counted.)
    expect(agentStarts(on.stack, ending).prompts).toBe(2);
  });
}, 400_000);

test("both killed at once: no acknowledged request lost, nothing twice (row 13)", async () => {
  await underFire("both", Math.ceil((bothMs + 6_000) / 50), async () => {
    await Promise.all([on.postgres.kill(), on.temporal.kill()]);
    await sleep(bothMs);
    await Promise.all([on.postgres.start(), on.temporal.start()]);
    await sleep(2_000);
  });
}, 400_000);
