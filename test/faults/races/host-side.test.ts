import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agentProcesses, audit } from "../support/auditor.ts";
import { launchMute, launchNumbered, launchScripted } from "../support/launch.ts";
import { kill, onStack } from "../support/on-stack.ts";

const on = onStack({ start: ["engine", "host"] });
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const turnRows = (session: string) =>
  on.baton.query<{ state: string; attempt: number; outcome: string; why: string | null }>(
    "select state, attempt, result->>'outcome' outcome, result#>>'{failure,class}' why from turn where session_ulid = $1",
    [session],
  );
function agentLog(session: string): string {
  try {
    return readFileSync(join(on.stack.home, "agents", session, "agent.log"), "utf8");
  } catch {
    return "";
  }
}
async function killAgents(sessions: string[]): Promise<void> {
  for (const { pid } of agentProcesses(sessions)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      /* its parent took it along */
    }
  }
  await on.baton.eventually("all are dead", async () => agentProcesses(sessions).length === 0, 10_000);
}
/** Runner and agent carry the session's mark; the runner is the one that holds the spool. */
const runnerPid = async (session: string): Promise<number> =>
  (
    await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null and pid > 0 order by runner_id desc limit 1", [
      session,
    ])
  )[0]?.pid ?? 0;

test("kill -9 of worker, runners and agents at once: each turn is tried again in the agent's own conversation, what was said stays, marked by its attempt (row 3)", async () => {
  const sessions = await Promise.all([0, 1, 2].map((n) => launchNumbered(on.baton, on.stack, { key: key(`all-${n}`), count: 60, everyMs: 50 })));
  await on.baton.eventually(
    "all agents at work",
    async () =>
      (await on.baton.query("select session_ulid from event where type = 'tool.completed' group by 1 having count(*) >= 5")).length === sessions.length,
    60_000,
  );
  const runners = await Promise.all(sessions.map(runnerPid));
  on.host.kill("SIGKILL");
  for (const pid of runners) process.kill(pid, "SIGKILL");
  await killAgents(sessions);
  await kill(on.host);
  on.host = await on.stack.startHost();
  for (const session of sessions) await on.baton.turnsEnded(session, 1, 90_000);
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions, turnsPerSession: 1 })).toEqual([]);
  for (const session of sessions) {
    expect(await turnRows(session)).toEqual([{ state: "done", attempt: 2, outcome: "completed", why: null }]);
    const stored = await on.baton.query<{ attempt: number; n: string }>(
      "select attempt, count(*) n from event where session_ulid = $1 and type = 'tool.completed' group by 1 order by 1",
      [session],
    );
    expect(stored.map((row) => row.attempt)).toEqual([1, 2]);
    // The agent went on where it was: the same conversation, no number twice.
    const ready = await on.baton.query<{ resumed: string; id: string }>(
      "select data->>'resumed' resumed, data->>'providerSessionId' id from event where session_ulid = $1 and type = 'session.agent_ready' order by seq",
      [session],
    );
    expect(ready.map((row) => row.resumed)).toEqual(["false", "true"]);
    expect(new Set(ready.map((row) => row.id)).size).toBe(1);
    expect(agentLog(session).match(/ start/g)).toHaveLength(2);
  }
}, 180_000);

test("when every attempt is killed the turn ends as failed with a reason, its row with it, and the session stays usable (row 3)", async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: key("thrice"),
    turns: [{ on: "go", steps: [{ say: "at work" }, "hang"] }, [{ say: "well again" }]],
  });
  let last = 0;
  for (let n = 0; n < 3; n++) {
    await on.baton.eventually(
      `attempt ${n + 1} has its prompt`,
      async () => {
        const pid = await runnerPid(session);
        const said = await on.baton.query("select 1 from event where session_ulid = $1 and type = 'turn.started'", [session]);
        return pid !== last && pid > 0 && said.length > n && agentLog(session).match(/ prompt turn /g)?.length === n + 1;
      },
      60_000,
    );
    last = await runnerPid(session);
    process.kill(last, "SIGKILL");
    await killAgents([session]);
  }
  await on.baton.eventually("the turn is over in its row", async () => (await turnRows(session))[0]?.state === "done", 60_000);
  expect(await turnRows(session)).toEqual([{ state: "done", attempt: 3, outcome: "failed", why: "attempts_exhausted" }]);
  expect(await on.baton.outcomes(session)).toEqual(["failed"]);
  const view = await on.baton.sdk.sessions.get({ sessionUlid: session });
  expect(view["status"]).toBe("IDLE");
  await on.baton.sdk.sessions.input({ principal: "local", actor: "@test" }, { sessionUlid: session, prompt: "again" });
  await on.baton.turnsEnded(session, 2, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["failed", "completed"]);
  expect((await on.baton.query("select 1 from turn where session_ulid = $1 and state <> 'done'", [session])).length).toBe(0);
}, 180_000);

test("a runner that dies again and again while its agent opens ends the turn as failed, too (row 3)", async () => {
  const session = await launchMute(on.baton, on.stack, key("mute"));
  const prompts = async (): Promise<number> =>
    (await on.baton.query("select 1 from event where session_ulid = $1 and type = 'turn.started'", [session])).length;
  let last = 0;
  for (let n = 0; n < 3; n++) {
    await on.baton.eventually(`attempt ${n + 1}`, async () => (await prompts()) > n && ![0, last].includes(await runnerPid(session)), 60_000);
    last = await runnerPid(session);
    process.kill(last, "SIGKILL");
  }
  await on.baton.turnsEnded(session, 1, 30_000);
  expect(await turnRows(session)).toEqual([{ state: "done", attempt: 3, outcome: "failed", why: "attempts_exhausted" }]);
  await killAgents([session]);
}, 150_000);

test("a later attempt that finds its agent at work goes on with it, and the turn is shown as running (row 1)", async () => {
  const session = await launchNumbered(on.baton, on.stack, { key: key("later"), count: 300, everyMs: 100 });
  const state = async () => (await turnRows(session))[0];
  await on.baton.eventually("the agent works", async () => (await state())?.state === "running", 30_000);
  const pid = await runnerPid(session);
  await kill(on.host);
  // Longer than the worker's silence may last: Temporal gives the attempt up, and the next one waits for the host.
  await new Promise((resolve) => setTimeout(resolve, Number(on.stack.env["BATON_HOST_BEAT_TIMEOUT_MS"]) + 2_000));
  on.host = await on.stack.startHost();
  await on.baton.eventually("the second attempt runs", async () => JSON.stringify(await state()).includes('"running","attempt":2'), 15_000);
  expect(await runnerPid(session)).toBe(pid);
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
}, 150_000);
