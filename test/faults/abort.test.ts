import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentProcesses } from "./support/auditor.ts";
import { launchScripted } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";
import type { Stack } from "./support/stack.ts";

const caller = { principal: "local", actor: "@test" };
// Nothing ends an agent here because it has been idle for a while.
const on = onStack({
  start: ["engine", "host"],
  numbers: { BATON_KEEP_ALIVE_MS: "600000", BATON_STOP_GRACE_MS: "2000" },
  before(stack) {
    mkdirSync(join(stack.home, "presets"));
    const slow = { key: "slow", providerType: "acp", config: { command: ["sh", "-c", slowAgent(heardFile(stack))] }, permissions: { mode: "ask" } };
    writeFileSync(join(stack.home, "presets", "slow.json"), JSON.stringify(slow));
  },
});

const heardFile = (stack: Stack): string => join(stack.home, "heard");
/** Opens a conversation when the file `open` is there, and soon after; writes down what it is asked. */
const slowAgent = (heard: string): string => `
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\\n' "$id" "$1"; }
note() { printf '%s\\n' "$line" >> ${heard}; }
while read -r line; do
  id=\${line#*'"id":'}; id=\${id%%[!0-9]*}
  case "$line" in
    *'"method":"initialize"'*) answer '{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":{"resume":{}}}}' ;;
    *'"method":"session/new"'*) note; while ! test -e ${heard}.open; do sleep 0.05; done; answer "{\\"sessionId\\":\\"s$$\\"}" ;;
    *'"method":"session/resume"'*) note; answer '{}' ;;
    *'"method":"session/prompt"'*) note; answer '{"stopReason":"end_turn"}' ;;
  esac
done`;

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
    // It talks on: what a runner that goes on has to pass on of that breaks the connection on which the abort lies.
    turns: [[{ numbered: { count: 100_000, everyMs: 5 } }], [{ say: "and on" }]],
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

test("a conversation that an aborted turn only opened is not gone on with: the next turn's agent hears the system prompt", async () => {
  const heard = (): string[] => (existsSync(heardFile(on.stack)) ? readFileSync(heardFile(on.stack), "utf8").trim().split("\n") : []);
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-slow`,
    actor: "@test",
    taskKey: "slow",
    launcherConfigKey: "slow",
    prompt: "first words",
    systemPrompt: "You are the slow one.",
    task: { title: "slow", repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  });
  const session = String(data["sessionUlid"]);
  const count = async (sql: string): Promise<number> => (await on.baton.query(sql, [session])).length;
  await on.baton.eventually(
    "the prompt waits",
    async () => (await count("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null")) === 1,
    30_000,
  );
  await on.baton.eventually("for the conversation", () => Promise.resolve(heard().length === 1), 20_000);
  // The agent answers while it is being closed: what it says is in the spool, behind the turn's end.
  const aborted = on.baton.sdk.sessions.abort(caller, { sessionUlid: session });
  await on.baton.eventually("the end is under way", () => Promise.resolve(runnerFiles(session).includes('"turn.ended"')), 20_000);
  writeFileSync(`${heardFile(on.stack)}.open`, "");
  await aborted;
  await on.baton.turnsEnded(session, 1, 20_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
  expect(runnerFiles(session)).toContain('"session.agent_ready"');
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "second words" });
  await on.baton.turnsEnded(session, 2, 20_000);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted", "completed"]);
  expect(heard().map((line) => (JSON.parse(line) as { method: string }).method)).toEqual(["session/new", "session/new", "session/prompt"]);
  const { params } = JSON.parse(heard().at(-1) ?? "") as { params: { prompt: { text: string }[] } };
  expect(params.prompt.map((part) => part.text)).toEqual([expect.stringContaining("You are the slow one."), "second words"]);
}, 90_000);

/** Everything in the session's spools. */
const runnerFiles = (session: string): string => {
  const dir = join(on.stack.home, "runners", session);
  if (!existsSync(dir)) return "";
  return readdirSync(dir)
    .filter((name) => name.startsWith("spool-"))
    .map((name) => readFileSync(join(dir, name), "utf8"))
    .join("");
};
