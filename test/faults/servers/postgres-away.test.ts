import { setTimeout as sleep } from "node:timers/promises";
import { agentStarts, emitted, spooled, stored } from "../support/agent-words.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered, launchScripted } from "../support/launch.ts";
import { type McpDoor, openMcpDoor } from "../support/mcp-door.ts";
import { onOwnServers } from "../support/own-servers.ts";
import { temporalCli } from "../support/temporal-cli.ts";

const awayMs = process.env["BATON_TEST_FULL"] === "1" ? 60_000 : 6_000;
const caller = { principal: "local", actor: "@test" };
const on = onOwnServers({ postgres: {}, start: ["engine", "host"] });
let door: McpDoor;
beforeAll(async () => {
  door = await openMcpDoor(on.stack);
}, 60_000);
beforeEach(async () => {
  if (!on.postgres.isUp()) await on.postgres.start();
}, 60_000);
afterAll(() => door?.close());

const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const rightly = async (session: string, turns = 1): Promise<void> =>
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [session], turnsPerSession: turns })).toEqual([]);
const away = { code: "UNAVAILABLE", retryable: true, retryAfterMs: expect.any(Number) };

test("while Postgres is down agents work on, the spool keeps what they say, doors say when to repeat; then all of it is there once (row 11)", async () => {
  const count = Math.ceil((awayMs + 3_000) / 50);
  const session = await launchNumbered(on.baton, on.stack, { key: key("away"), count, everyMs: 50 });
  await on.baton.eventually("the agent works", async () => (await stored(on.baton, session)) > 10, 60_000);
  await on.postgres.kill();
  const from = { at: Date.now(), said: emitted(on.stack, session), bytes: spooled(on.stack, session) };
  const launch = {
    action: "launch_task",
    clientRequestId: key("meanwhile"),
    actor: "@test",
    taskKey: "MEANWHILE",
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: [[{ say: "done" }]] } },
    task: { title: "meanwhile", repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  };
  expect(await door.call(launch)).toMatchObject({ ok: false, error: away });
  expect(await door.call({ action: "events", sessionUlid: session, sinceSeq: 0, waitMs: 5_000 })).toMatchObject({ ok: false, error: away });
  await expect(on.baton.sdk.sessions.get({ sessionUlid: session })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    detail: { retryAfterMs: expect.any(Number) },
  });
  await expect(on.baton.sdk.sessions.abort(caller, { sessionUlid: session })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const health = await fetch(door.url.replace("/mcp", "/health"));
  expect(health.status).toBe(503);
  await sleep(Math.max(0, awayMs - (Date.now() - from.at)));
  // The agent was not held up, and its spool grew by what it said.
  const said = emitted(on.stack, session) - from.said;
  expect(said).toBeGreaterThan(awayMs / 50 / 4);
  expect(spooled(on.stack, session) - from.bytes).toBeGreaterThan(said * 100);
  await on.postgres.start();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await stored(on.baton, session)).toBe(count);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  expect(await on.baton.query("select attempt from turn where session_ulid = $1", [session])).toEqual([{ attempt: 1 }]);
  expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
  await rightly(session);
  const launched = await door.call(launch);
  expect(launched.ok).toBe(true);
  expect(await on.baton.query("select 1 from session where client_request_id = $1", [launch.clientRequestId])).toHaveLength(1);
  await on.baton.turnsEnded(String(launched.data?.["sessionUlid"]), 1, 30_000);
}, 240_000);

test("a turn that Temporal hands out while Postgres is down waits for it and loses no attempt (row 11)", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("handed"), turns: [[{ say: "one" }], [{ say: "two" }]] });
  await on.baton.turnsEnded(session, 1, 30_000);
  // Frozen for a moment: the turn is on its way to the host, and the host has not claimed it.
  on.host.kill("SIGSTOP");
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "two" });
  await on.baton.eventually(
    "the turn is handed out",
    async () => (await temporalCli("workflow", "describe", "--workflow-id", key("handed"), "--output", "json")).includes("runTurn"),
    20_000,
  );
  await on.postgres.kill();
  on.host.kill("SIGCONT");
  // Three attempts with their pauses would be used up after 3 s.
  await sleep(5_000);
  await on.postgres.start();
  await on.baton.turnsEnded(session, 2, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  await rightly(session, 2);
}, 120_000);

test("a runner that dies while Postgres is down does not take the host worker with it (row 11)", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("runner"), turns: [[{ say: "one" }, { wait: 6_000 }, { say: "two" }]] });
  const other = await launchNumbered(on.baton, on.stack, { key: key("beside"), count: 80, everyMs: 100 });
  await on.baton.eventually("both work", async () => (await stored(on.baton, other)) > 3 && agentSaid(session), 30_000);
  const [runner] = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null and pid > 0", [session]);
  await on.postgres.kill();
  process.kill(runner!.pid, "SIGKILL");
  await sleep(2_500);
  expect([on.host.exitCode, on.host.signalCode]).toEqual([null, null]);
  await on.postgres.start();
  await on.baton.turnsEnded(session, 1, 60_000);
  await on.baton.turnsEnded(other, 1, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  // Only the one whose runner died was started again.
  expect(agentStarts(on.stack, session).starts).toBe(2);
  expect(agentStarts(on.stack, other)).toEqual({ starts: 1, prompts: 1 });
  await rightly(session);
  await rightly(other);
}, 150_000);

test("and the turn is beaten for all the while: Temporal does not take its host for dead (row 11)", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("beaten"), turns: [[{ say: "one" }, { wait: 12_000 }, { say: "two" }]] });
  await on.baton.eventually("it works", () => Promise.resolve(agentSaid(session)), 30_000);
  const [runner] = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null and pid > 0", [session]);
  await on.postgres.kill();
  process.kill(runner!.pid, "SIGKILL");
  await sleep(Number(on.stack.env["BATON_HOST_BEAT_TIMEOUT_MS"]) + 4_000);
  await on.postgres.start();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  const history = await temporalCli("workflow", "show", "--workflow-id", key("beaten"), "--output", "json");
  // It is told that the runner died, and does not find that out itself.
  expect([history.includes("EVENT_TYPE_ACTIVITY_TASK_FAILED"), history.includes("EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT")]).toEqual([true, false]);
}, 150_000);

const agentSaid = (session: string): boolean => {
  try {
    return agentStarts(on.stack, session).prompts === 1;
  } catch {
    return false;
  }
};

test("an agent that works while Postgres is down is not idle: its limit of silence is not reached (row 11)", async () => {
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: key("talks"),
    actor: "@test",
    taskKey: "TALKS",
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    limits: { idleSeconds: 4 },
    config: { scenario: { turns: [[{ numbered: { count: 150, everyMs: 100 } }]] } },
    task: { title: "talks", repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  });
  const session = String(data["sessionUlid"]);
  await on.baton.eventually("the agent works", async () => emitted(on.stack, session) > 20, 60_000);
  await on.postgres.kill();
  const before = emitted(on.stack, session);
  await sleep(6_000);
  expect(emitted(on.stack, session)).toBeGreaterThan(before);
  await on.postgres.start();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
}, 180_000);
