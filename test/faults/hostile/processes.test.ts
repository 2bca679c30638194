import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { agentProcesses } from "../support/auditor.ts";
import { launchScripted } from "../support/launch.ts";
import { kill } from "../support/on-stack.ts";
import { caller, hostileStack } from "./hostile-stack.ts";

const hostile = hostileStack(["well", "deaf"], {});
const { on } = hostile;

const remembered = (session: string, text: string): Promise<void> =>
  on.baton.eventually(`"${text}" of ${session}`, () => Promise.resolve(tryMemory(session).includes(text)), 20_000);
function tryMemory(session: string): string {
  try {
    return hostile.memory(session);
  } catch {
    return "";
  }
}
const noneLeft = (session: string): Promise<void> =>
  on.baton.eventually(`no process of ${session}`, () => Promise.resolve(agentProcesses([session]).length === 0), 20_000);
/** Ended children that these processes have not taken note of. */
function zombiesOf(parents: number[]): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [state, parent] = readFileSync(`/proc/${name}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
        return state === "Z" && parents.includes(Number(parent));
      } catch {
        return false;
      }
    })
    .map(Number);
}

test("an agent that is killed in the middle of a line fails the turn at once; the half line is kept, the session goes on (row 6)", async () => {
  const session = await hostile.launch("killed", "well", "half-and-wait");
  await on.baton.eventually("a delta", async () => (await on.baton.query("select 1 from delta where session_ulid = $1", [session])).length > 0, 20_000);
  process.kill(Number(/start (\d+)/.exec(hostile.memory(session))?.[1]), "SIGKILL");
  await on.baton.turnsEnded(session, 1, 20_000);
  const [end] = await hostile.events<{ outcome: string; failure: { class: string } }>(session, "turn.completed");
  expect(end).toMatchObject({ outcome: "failed", failure: { class: "agent_exited" } });
  expect(await hostile.events(session, "process.exited")).toEqual([expect.objectContaining({ code: null, signal: "SIGKILL", expected: false })]);
  expect((await hostile.events<{ text: string }>(session, "line.unparsed")).map((one) => one.text.length)).toEqual([40]);
  await hostile.input(session, "go on");
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["failed", "completed"]);
  await hostile.expectKept([session], 2);
  await hostile.expectBystander();
}, 90_000);

test.each([["closed"], ["aborted"]])(
  "nothing is left of a storm of forks when its session is %s, no zombie either (row 7)",
  async (how) => {
    const session = await hostile.launch(`storm-${how}`, "well", "fork-storm");
    await on.baton.turnsEnded(session, 1, 30_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    expect(agentProcesses([session]).length).toBeGreaterThan(50);
    const runners = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1", [session]);
    if (how === "closed") await on.baton.closeSession(session);
    else {
      await hostile.input(session, "silence");
      await remembered(session, "prompt silence");
      expect((await on.baton.sdk.sessions.abort(caller, { sessionUlid: session }))["aborted"]).toBe(true);
      await on.baton.turnsEnded(session, 2, 40_000);
      expect(await on.baton.outcomes(session)).toEqual(["completed", "interrupted"]);
    }
    await noneLeft(session);
    expect(zombiesOf([on.host.pid ?? 0, ...runners.map((row) => row.pid)])).toEqual([]);
    await hostile.expectBystander();
  },
  90_000,
);

test("an abort before the handshake is over leaves nothing of an agent that hears no signal (row 7)", async () => {
  const session = await hostile.launch("deaf", "deaf", "go");
  await remembered(session, "start");
  await on.baton.eventually(
    "a prompt on its way",
    async () => (await on.baton.query("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null", [session])).length > 0,
    20_000,
  );
  expect((await on.baton.sdk.sessions.abort(caller, { sessionUlid: session }))["aborted"]).toBe(true);
  await on.baton.turnsEnded(session, 1, 40_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
  await noneLeft(session);
  await hostile.input(session, "go on");
  await on.baton.turnsEnded(session, 2, 40_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted", "completed"]);
}, 120_000);

test("a permission whose arguments are 100,000 deep can be answered (row 22)", async () => {
  const session = await hostile.launch("deep-ask", "well", "deep-ask");
  let approvalId = "";
  await on.baton.eventually(
    "a request",
    async () => {
      const [row] = await on.baton.query<{ approval_id: string }>("select approval_id from approval where session_ulid = $1 and state = 'open'", [session]);
      approvalId = row?.approval_id ?? "";
      return row !== undefined;
    },
    20_000,
  );
  expect(await on.baton.sdk.sessions.respond(caller, { approvalId, decision: "deny" })).toMatchObject({ applied: true });
  await on.baton.turnsEnded(session, 1, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  expect(hostile.memory(session)).toContain('answer d {"jsonrpc":"2.0","result":{"outcome":{"outcome":"selected","optionId":"no"}}}');
}, 90_000);

test.each([
  ["another start time", "update runner set pid = $2, start_ticks = '1' where session_ulid = $1"],
  ["another boot", "update runner set pid = $2, start_ticks = $3, boot_id = 'before' where session_ulid = $1"],
])(
  "a stranger that got a dead runner's pid is not taken for it: %s (row 8)",
  async (what, sql) => {
    const session = await launchScripted(on.baton, on.stack, {
      key: `${on.stack.env["BATON_INSTANCE"]}-stranger-${what.replaceAll(" ", "-")}`,
      turns: [[{ numbered: { count: 60, everyMs: 100 } }]],
    });
    await on.baton.eventually("work", async () => (await hostile.events(session, "tool.completed")).length > 3, 20_000);
    const [runner] = await on.baton.query<{ pid: number; runner_id: string }>("select pid, runner_id from runner where session_ulid = $1", [session]);
    await kill(on.host);
    process.kill(runner?.pid ?? -1, "SIGKILL");
    const stranger = spawn("sleep", ["600"], { stdio: "ignore" });
    try {
      const ticks = readFileSync(`/proc/${stranger.pid}/stat`, "latin1").split(") ")[1]?.split(" ")[19];
      await on.baton.query(sql, sql.includes("$3") ? [session, stranger.pid, ticks] : [session, stranger.pid]);
      on.host = await on.stack.startHost();
      await on.baton.turnsEnded(session, 1, 60_000);
      expect(await on.baton.outcomes(session)).toEqual(["completed"]);
      const [old] = await on.baton.query<{ ended: boolean }>("select ended_at is not null ended from runner where runner_id = $1", [runner?.runner_id]);
      expect(old?.ended).toBe(true);
      expect(stranger.exitCode ?? stranger.signalCode).toBe(null);
    } finally {
      const gone = once(stranger, "exit");
      stranger.kill("SIGKILL");
      await gone;
    }
  },
  120_000,
);
