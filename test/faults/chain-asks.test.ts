import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sweepOnce } from "../../client/sweeper.ts";
import { openStore } from "../../store/open-store.ts";
import { agentStarts } from "./support/agent-words.ts";
import { launchChain } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const verdict = (decision: string, score: number) => [{ verdict: { decision, score, summary: decision, findings: [] } }];
const works = [{ edit: { path: "work.txt", content: "work\n" } }, { say: "done" }];
const worksOn = [{ edit: { path: "more.txt", content: "more\n" } }, { say: "done" }];
const on = onStack({
  start: ["engine", "host"],
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    const scenarios = { "judge-late": [verdict("changes_requested", 40), verdict("approved", 95)], "judge-never": [verdict("changes_requested", 40)] };
    for (const [key, turns] of Object.entries(scenarios))
      writeFileSync(join(stack.home, "presets", `${key}.json`), JSON.stringify({ key, providerType: "scripted", config: { scenario: { turns } } }));
  },
});

interface Asked {
  approvalId: string;
  kind: string;
  title: string;
  options: { id: string }[];
  state: string;
}
let launched = 0;
async function launch(
  turns: unknown[],
  chain: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Promise<{ chainId: string; sessionUlid: string; taskKey: string }> {
  launched += 1;
  const taskKey = `ASKS-${launched}`;
  return { ...(await launchChain(on.baton, on.stack, { taskKey, turns, chain, more })), taskKey };
}
const sdk = () => on.baton.sdk;
const approvals = async (of: { chainId?: string; sessionUlid?: string }): Promise<Asked[]> =>
  (await sdk().sessions.approvals({ ...of, state: "open" })).data["approvals"] as Asked[];
const open = (chainId: string): Promise<Asked[]> => approvals({ chainId });
async function theQuestion(chainId: string): Promise<Asked> {
  await on.baton.eventually(`${chainId} asks`, async () => (await open(chainId)).length > 0, 60_000);
  return (await open(chainId))[0]!;
}
async function theBudget(sessionUlid: string): Promise<Asked> {
  const open = async () => (await approvals({ sessionUlid })).filter((one) => one.kind === "budget");
  await on.baton.eventually("the session asks", async () => (await open()).length === 1, 60_000);
  return (await open())[0]!;
}
const atWork = (sessionUlid: string): Promise<void> =>
  on.baton.eventually(
    "it is at work",
    async () => (await on.baton.query("select 1 from event where session_ulid = $1 and type = 'input.delivered'", [sessionUlid])).length > 0,
    60_000,
  );
const chainNow = async (chainId: string) => (await sdk().sessions.get({ chainId }))["chain"] as Record<string, unknown>;
const ended = (chainId: string): Promise<void> => on.baton.eventually(`${chainId} ends`, async () => (await chainNow(chainId))["state"] === "ended", 60_000);
const respond = (approvalId: string, more: Record<string, unknown>) => sdk().sessions.respond(caller, { approvalId, ...more });

test("the last round did not pass: people add rounds, and the work goes on to its approval", async () => {
  const { chainId, sessionUlid, taskKey } = await launch([works, worksOn], { reviewers: [{ launcherConfigKey: "judge-late" }], maxRounds: 1 });
  const asked = await theQuestion(chainId);
  expect(asked).toMatchObject({ kind: "rounds", title: expect.stringContaining("Round 1 of 1 did not pass") });
  // Whoever waits for the chain, looks at it or at its executor is told, with the call that answers.
  const waited = await sdk().sessions.wait({ chainId, waitMs: 0 });
  expect(waited).toMatchObject({ met: true, sessions: expect.arrayContaining([expect.objectContaining({ sessionUlid, state: "idle" })]) });
  expect(await chainNow(chainId)).toMatchObject({
    state: "open",
    maxRounds: 1,
    gates: expect.arrayContaining([expect.objectContaining({ name: "rounds", state: "open", approvalId: asked.approvalId })]),
  });
  const session = await sdk().sessions.get({ sessionUlid });
  expect(session["attention"]).toEqual([
    expect.objectContaining({
      kind: "rounds",
      next: [
        expect.objectContaining({ args: { action: "respond", approvalId: asked.approvalId, decision: "allow", add: { rounds: 1 } } }),
        expect.objectContaining({ args: { action: "respond", approvalId: asked.approvalId, decision: "deny" } }),
      ],
    }),
  ]);
  for (const [wrong, field] of [
    [{ decision: "perhaps" }, "decision"],
    [{ decision: "allow", add: { rounds: 21 } }, "add.rounds"],
    [{ decision: "allow", add: { tokens: 5 } }, "add.rounds"],
    [{ decision: "deny", add: { rounds: 1 } }, "add"],
  ] as const)
    await expect(respond(asked.approvalId, wrong)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field } });
  const answer = { decision: "allow", add: { rounds: 2 }, clientRequestId: `${chainId}-more` };
  expect(await respond(asked.approvalId, answer)).toMatchObject({ applied: true, by: "local" });
  expect(await respond(asked.approvalId, answer)).toMatchObject({ applied: true, replayed: true });
  expect(await respond(asked.approvalId, { decision: "deny" })).toMatchObject({ applied: false });
  await ended(chainId);
  expect(await chainNow(chainId)).toMatchObject({ reason: "approved", maxRounds: 3, round: 2 });
  expect(await sdk().tasks.get(taskKey)).toMatchObject({ task: { status: "verified" } });
}, 180_000);

test("nobody adds rounds: it ends as exhausted, and says so in its log", async () => {
  const { chainId, sessionUlid } = await launch([works], { reviewers: [{ launcherConfigKey: "judge-never" }], maxRounds: 1 });
  const { approvalId } = await theQuestion(chainId);
  await respond(approvalId, { decision: "deny", reason: "enough" });
  await ended(chainId);
  expect(await chainNow(chainId)).toMatchObject({ reason: "exhausted" });
  const events = (await sdk().sessions.events({ sessionUlid, types: ["approval.requested", "approval.resolved", "chain.ended"] }))["events"] as {
    type: string;
  }[];
  expect(events.map((event) => event.type)).toEqual(["approval.requested", "approval.resolved", "chain.ended"]);
}, 120_000);

test("an aborted executor: the chain asks, also when the engine is killed meanwhile and the answer's Signal is lost", async () => {
  const { chainId, sessionUlid } = await launch([[{ say: "at work" }, "hang"], works], { reviewers: [], maxRounds: 1 });
  await atWork(sessionUlid);
  expect(await sdk().sessions.abort(caller, { sessionUlid })).toMatchObject({ aborted: true });
  const asked = await theQuestion(chainId);
  expect(asked).toMatchObject({ kind: "gate", title: expect.stringContaining("aborted") });
  await kill(on.engine);
  // What a door stored that died before it told the chain.
  const store = await openStore({ databaseUrl: on.stack.databaseUrl, instance: on.stack.env["BATON_INSTANCE"] ?? "" });
  try {
    await store.transaction(async (tx) => {
      await store.approvals.answer(tx, { approvalId: asked.approvalId, decision: "allow", by: "local", actor: "test" });
    });
    on.engine = await on.stack.startEngine();
    const told: unknown[] = [];
    const starter = { signal: async (...signal: unknown[]) => told.push(signal) === 0, session: async () => undefined, chain: async () => undefined };
    await sweepOnce(store, starter as never, undefined, 0);
    expect(told).toEqual(expect.arrayContaining([[(await chainNow(chainId))["workflowId"], "answered", { approvalId: asked.approvalId }]]));
  } finally {
    await store.close();
  }
  // The engine's own sweeper tells it, once.
  await ended(chainId);
  expect(await on.baton.query("select state from approval where approval_id = $1", [asked.approvalId])).toEqual([{ state: "delivered" }]);
  expect(await chainNow(chainId)).toMatchObject({ reason: "approved" });
  expect(agentStarts(on.stack, sessionUlid).prompts).toBe(2);
}, 180_000);

test("an aborted chain that is closed while it asks ends, and the question expires", async () => {
  const { chainId, sessionUlid } = await launch([[{ say: "at work" }, "hang"]], { reviewers: [] });
  await atWork(sessionUlid);
  await sdk().sessions.abort(caller, { sessionUlid });
  const { approvalId } = await theQuestion(chainId);
  await sdk().sessions.close(caller, { sessionUlid });
  await ended(chainId);
  expect(await chainNow(chainId)).toMatchObject({ reason: "aborted" });
  expect(await on.baton.query("select state from approval where approval_id = $1", [approvalId])).toEqual([{ state: "expired" }]);
  expect(await respond(approvalId, { decision: "allow" })).toMatchObject({ applied: false, state: "expired" });
}, 120_000);

test.each([
  ["allow", "approved"],
  ["deny", "failed"],
])(
  "a used-up limit of the executor: %s, and the chain ends as %s",
  async (decision, reason) => {
    const { chainId, sessionUlid } = await launch([[{ say: "at work" }, "hang"], works], { reviewers: [] }, { limits: { wallSeconds: 2 } });
    const { approvalId } = await theBudget(sessionUlid);
    // Its own question is the chain's, too: there is no second one, and the chain shows it.
    expect(await chainNow(chainId)).toMatchObject({
      state: "open",
      gates: expect.arrayContaining([expect.objectContaining({ name: "budget", state: "open" })]),
    });
    expect(await open(chainId)).toEqual([]);
    await respond(approvalId, { decision, ...(decision === "allow" ? { add: { wallSeconds: 60 } } : {}) });
    await ended(chainId);
    expect(await chainNow(chainId)).toMatchObject({ reason });
  },
  120_000,
);

test("a limit that let a turn begin is not taken for an answer about its end", async () => {
  const { chainId, sessionUlid } = await launch(
    [works, [{ say: "again" }, "hang"], worksOn],
    { reviewers: [{ launcherConfigKey: "judge-late" }] },
    { limits: { turns: 1 } },
  );
  // The findings' turn waits for the limit first, and is aborted then.
  const budget = await theBudget(sessionUlid);
  await respond(budget.approvalId, { decision: "allow", add: { turns: 5 } });
  await on.baton.eventually(
    "the second turn is at work",
    async () => (await on.baton.query("select 1 from event where session_ulid = $1 and type = 'input.delivered'", [sessionUlid])).length === 2,
    60_000,
  );
  await sdk().sessions.abort(caller, { sessionUlid });
  const asked = await theQuestion(chainId);
  expect(asked).toMatchObject({ kind: "gate", title: expect.stringContaining("aborted") });
  await respond(asked.approvalId, { decision: "allow" });
  await ended(chainId);
  expect(await chainNow(chainId)).toMatchObject({ reason: "approved" });
}, 120_000);

test("a question is taken back once, however often that is repeated; an answer that came first is heard", async () => {
  const { chainId } = await launch([[{ say: "at work" }, "hang"]], { reviewers: [] });
  const store = await openStore({ databaseUrl: on.stack.databaseUrl, instance: on.stack.env["BATON_INSTANCE"] ?? "" });
  try {
    const ask = (key: string) => store.chainQuestions.ask({ chainId, key, kind: "gate", end: { reason: "aborted", why: key } });
    const [taken, answered] = [await ask("taken"), await ask("answered")];
    expect(await ask("taken")).toEqual(taken);
    for (const _ of [1, 2]) expect(await store.chainQuestions.withdraw(taken!.approvalId)).toBeNull();
    await store.transaction(async (tx) => {
      await store.approvals.answer(tx, { approvalId: answered!.approvalId, decision: "deny", by: "local", actor: "me" });
    });
    for (const _ of [1, 2]) expect(await store.chainQuestions.withdraw(answered!.approvalId)).toMatchObject({ decision: "deny", by: "me" });
  } finally {
    await store.close();
  }
}, 60_000);
