import { agentProcesses } from "./support/auditor.ts";
import { onStack } from "./support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine", "host"] });
let launched = 0;
async function launch(config: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<string> {
  launched += 1;
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-idle-${launched}`,
    actor: "@test",
    taskKey: `IDLE-${launched}`,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: [[{ say: "done" }]] }, ...config },
    task: { title: "idle", repositoryPath: on.stack.repository, projectKey: "IDLE" },
    ...more,
  });
  return String(data["sessionUlid"]);
}
const session = (sessionUlid: string) => on.baton.sdk.sessions.get({ sessionUlid });
const closed = (sessionUlid: string, generation: number): Promise<void> =>
  on.baton.eventually(
    `generation ${generation} closes by itself`,
    async () => {
      const now = await session(sessionUlid);
      return now["status"] === "CLOSED" && now["generation"] === generation;
    },
    30_000,
  );

test("a session whose preset or launch says so closes when nothing has come for its time; an input wakes it, and it closes again", async () => {
  const sessionUlid = await launch({ sessionIdleCloseMs: 1_500 });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect(await session(sessionUlid)).toMatchObject({ status: "IDLE" });
  await closed(sessionUlid, 1);
  expect(await session(sessionUlid)).toMatchObject({ statusReason: "idle for 2 s", resumable: { can: true } });
  await on.baton.sdk.sessions.input(caller, { sessionUlid, prompt: "and on" });
  await on.baton.turnsEnded(sessionUlid, 2, 30_000);
  await closed(sessionUlid, 2);
  // Another process of the agent, which counts on over the whole conversation.
  const costs = await on.baton.query("select (result->'usage'->>'costMicros')::int cost from turn where session_ulid = $1 order by n", [sessionUlid]);
  expect(costs).toEqual([{ cost: 1_000 }, { cost: 1_000 }]);
  const config = await on.baton.sdk.sessions.config({ sessionUlid });
  expect(config).toMatchObject({
    effective: { sessionIdleCloseMs: 1_500 },
    overrides: expect.arrayContaining([expect.objectContaining({ path: "config.sessionIdleCloseMs", to: 1_500 })]),
  });
}, 90_000);

test("not while somebody is asked: it closes after the answer", async () => {
  const sessionUlid = await launch({ sessionIdleCloseMs: 1_000, scenario: { turns: [["hang"]] } }, { limits: { wallSeconds: 1 } });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  const [asked] = (await on.baton.sdk.sessions.approvals({ sessionUlid, state: "open" })).data["approvals"] as { approvalId: string }[];
  await new Promise((resolve) => setTimeout(resolve, 3_500));
  expect(await session(sessionUlid)).toMatchObject({ status: "RUNNING", state: "waiting" });
  await on.baton.sdk.sessions.respond(caller, { approvalId: asked!.approvalId, decision: "deny" });
  await closed(sessionUlid, 1);
}, 60_000);

test("an idle agent's process is kept as long as its preset says", async () => {
  const [short, long] = [await launch({ keepAliveMs: 0 }), await launch({ keepAliveMs: 600_000 })];
  for (const sessionUlid of [short, long]) await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  await on.baton.eventually("the one is gone", async () => agentProcesses([short]).length === 0, 10_000);
  expect(agentProcesses([long]).length).toBeGreaterThan(0);
  expect(await session(short)).toMatchObject({ status: "IDLE" });
}, 60_000);
