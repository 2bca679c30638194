import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agentProcesses } from "./support/auditor.ts";
import { launchScripted, openTestBaton, type TestBaton } from "./support/launch.ts";
import { endStack } from "./support/leftovers.ts";
import { openStack, type Stack } from "./support/stack.ts";

const caller = { principal: "local", actor: "@test" };
let stack: Stack;
let baton: TestBaton;
let host: ChildProcess;

beforeAll(async () => {
  stack = await openStack();
  await stack.startEngine();
  host = await stack.startHost();
  baton = await openTestBaton(stack);
}, 120_000);
afterAll(() => endStack(baton, stack), 60_000);

const deaf = [{ ignoreSignals: { children: 2 } }, { say: "deaf now" }, "hang"];
/** The agent that hears no signal, and its two children in sessions of their own. */
async function deafAgent(session: string): Promise<number[]> {
  await baton.eventually(
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
    return readFileSync(join(stack.home, "agents", session, "agent.log"), "utf8");
  } catch {
    return "";
  }
}
const osSession = (pid: number): string => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ")[3] ?? "";

test("an abort ends an agent that ignores every signal, with its children, and the session goes on", async () => {
  const session = await launchScripted(baton, stack, { key: `${stack.env["BATON_INSTANCE"]}-deaf`, turns: [deaf, [{ say: "well again" }]] });
  await deafAgent(session);
  const { aborted } = await baton.sdk.sessions.abort(caller, { sessionUlid: session, reason: "enough" });
  expect(aborted).toBe(true);
  await baton.turnsEnded(session, 1, 20_000);
  expect(await baton.outcomes(session)).toEqual(["interrupted"]);
  await baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
  expect((await baton.sdk.sessions.abort(caller, { sessionUlid: session }))["aborted"]).toBe(false);
  await baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "what else?" });
  await baton.turnsEnded(session, 2, 20_000);
  expect(await baton.outcomes(session)).toEqual(["interrupted", "completed"]);
  const [last] = await baton.query<{ text: string }>(
    "select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' order by seq desc limit 1",
    [session],
  );
  expect(last?.text).toBe("well again");
}, 90_000);

test("so does a close", async () => {
  const session = await launchScripted(baton, stack, { key: `${stack.env["BATON_INSTANCE"]}-closed`, turns: [deaf] });
  await deafAgent(session);
  await baton.closeSession(session);
  expect(await baton.outcomes(session)).toEqual(["interrupted"]);
  await baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
}, 60_000);

test("and an abort reaches the agent of a host that was killed meanwhile", async () => {
  const session = await launchScripted(baton, stack, { key: `${stack.env["BATON_INSTANCE"]}-hostless`, turns: [deaf, [{ say: "well again" }]] });
  await deafAgent(session);
  const gone = new Promise((resolve) => host.once("exit", resolve));
  host.kill("SIGKILL");
  await gone;
  expect((await baton.sdk.sessions.abort(caller, { sessionUlid: session }))["aborted"]).toBe(true);
  host = await stack.startHost();
  await baton.turnsEnded(session, 1, 30_000);
  expect(await baton.outcomes(session)).toEqual(["interrupted"]);
  await baton.eventually("no marked process", async () => agentProcesses([session]).length === 0, 10_000);
}, 90_000);
