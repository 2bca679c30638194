import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agentProcesses } from "./support/auditor.ts";
import { launchScripted } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
// Nothing ends an agent here because it has been idle for a while.
const on = onStack({ start: ["engine", "host"], numbers: { BATON_KEEP_ALIVE_MS: "600000" } });

const deaf = [{ ignoreSignals: { children: 2 } }, { say: "deaf now" }, "hang"];
/** The agent that hears no signal, and its two children in sessions of their own. */
async function deafAgent(session: string): Promise<number[]> {
  await on.baton.eventually(
    "the agent and its children run",
    async () => agentLog(session).match(/ child \d+/g)?.length === 2 && agentLog(session).includes(" start"),
    20_000,
  );
  const children = [...agentLog(session).matchAll(/ child (\d+)/g)].map((found) => Number(found[1]));
  const agent = Number(/ (\d+) prompt turn/.exec(agentLog(session))?.[1]);
  // What is shown: each is in an OS session of its own, and all of them carry the marker.
  expect(new Set([agent, ...children].map(osSession)).size).toBe(3);
  expect(agentProcesses([session]).map((found) => found.pid)).toEqual(expect.arrayContaining([agent, ...children]));
  return [agent, ...children];
}
function agentLog(session: string): string {
  try {
    return readFileSync(join(on.stack.home, "agents", session, "agent.log"), "utf8");
  } catch {
    return "";
  }
}
const osSession = (pid: number): string => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ")[3] ?? "";

test("an abort ends an agent that ignores every signal, with its children, and the session goes on", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-deaf`, turns: [deaf, [{ say: "well again" }]] });
  await deafAgent(session);
  const { aborted } = await on.baton.sdk.sessions.abort(caller, { sessionUlid: session, reason: "enough" });
  expect(aborted).toBe(true);
  await on.baton.turnsEnded(session, 1, 20_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
  await on.baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
  expect((await on.baton.sdk.sessions.abort(caller, { sessionUlid: session }))["aborted"]).toBe(false);
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "what else?" });
  await on.baton.turnsEnded(session, 2, 20_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted", "completed"]);
  const [last] = await on.baton.query<{ text: string }>(
    "select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' order by seq desc limit 1",
    [session],
  );
  expect(last?.text).toBe("well again");
}, 90_000);

test("an agent that hears the abort is ended as well: it may have hidden processes (row 19)", async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: `${on.stack.env["BATON_INSTANCE"]}-hears`,
    turns: [[{ wait: 600_000 }], [{ say: "and on" }]],
  });
  await on.baton.eventually(
    "it has its prompt",
    async () => (await on.baton.query("select 1 from input where session_ulid = $1 and state = 'delivered'", [session])).length === 1,
    20_000,
  );
  await on.baton.sdk.sessions.abort(caller, { sessionUlid: session });
  await on.baton.turnsEnded(session, 1, 20_000);
  // By the protocol's word alone; nobody had to use force.
  expect(agentLog(session)).toContain(" cancel");
  await on.baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "go on" });
  await on.baton.turnsEnded(session, 2, 20_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted", "completed"]);
}, 60_000);

test("so does a close", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-closed`, turns: [deaf] });
  await deafAgent(session);
  await on.baton.closeSession(session);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
  await on.baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
}, 60_000);

test("and an abort reaches the agent of a host that was killed meanwhile", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-hostless`, turns: [deaf, [{ say: "well again" }]] });
  await deafAgent(session);
  await kill(on.host);
  expect((await on.baton.sdk.sessions.abort(caller, { sessionUlid: session }))["aborted"]).toBe(true);
  on.host = await on.stack.startHost();
  await on.baton.turnsEnded(session, 1, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
  await on.baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
}, 90_000);

test("an abort ends the turn also when its runner is stopped; when that goes on, its agent is told, and the session goes on (row 19)", async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: `${on.stack.env["BATON_INSTANCE"]}-stopped`,
    turns: [[{ wait: 600_000 }], [{ say: "and on" }]],
  });
  await on.baton.eventually("it has its prompt", () => Promise.resolve(agentLog(session).includes(" prompt turn ")), 20_000);
  const [runner] = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null and pid > 0", [session]);
  process.kill(runner!.pid, "SIGSTOP");
  try {
    await on.baton.sdk.sessions.abort(caller, { sessionUlid: session });
    await on.baton.turnsEnded(session, 1, 40_000);
    expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
  } finally {
    process.kill(runner!.pid, "SIGCONT");
  }
  await on.baton.eventually("it heard the abort", () => Promise.resolve(agentLog(session).includes(" cancel")), 10_000);
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "go on" });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted", "completed"]);
}, 120_000);
