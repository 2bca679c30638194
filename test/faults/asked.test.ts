import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentProcesses } from "./support/auditor.ts";
import { launchScripted } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({
  start: ["engine", "host"],
  numbers: { BATON_TURN_SLOTS: "1", BATON_KEEP_ALIVE_MS: "60000" },
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    writeFileSync(join(stack.home, "presets", "ask.json"), JSON.stringify({ key: "ask", providerType: "scripted", permissions: { mode: "ask" } }));
  },
});
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const asks = (name: string, turns: unknown[]): Promise<string> => launchScripted(on.baton, on.stack, { key: key(name), turns, preset: "ask" });
const approvals = (session: string) =>
  on.baton.query<{ id: string; state: string; decision: string | null }>(
    "select approval_id id, state, decision from approval where session_ulid = $1 order by asked_at, approval_id",
    [session],
  );
const asked = (session: string, n: number): Promise<void> => on.baton.eventually(`question ${n}`, async () => (await approvals(session)).length === n, 30_000);
const respond = (approvalId: string, decision: string) => on.baton.sdk.sessions.respond(caller, { approvalId, decision });

test("a turn that is taken over while its agent waits for an answer needs no slot until it has it (row 1)", async () => {
  const session = await asks("waits", [[{ ask: { title: "May I?" } }, { say: "thanks" }]]);
  await asked(session, 1);
  await kill(on.host);
  on.host = await on.stack.startHost();
  // The only slot is free for others, also behind the takeover.
  const other = await launchScripted(on.baton, on.stack, { key: key("other"), turns: [[{ say: "done" }]] });
  await on.baton.turnsEnded(other, 1, 30_000);
  const [question] = await approvals(session);
  expect(question?.state).toBe("open");
  expect(await respond(question!.id, "allow")).toMatchObject({ applied: true });
  await on.baton.turnsEnded(session, 1, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
}, 120_000);

test("what an agent asked that is gone cannot be answered any more; what it asks again can, and once (row 3)", async () => {
  const session = await asks("gone", [[{ ask: { title: "May I?" } }, { say: "thanks" }]]);
  await asked(session, 1);
  // The runner and its agent, with no chance to say anything.
  const [runner] = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null", [session]);
  for (const { pid } of [{ pid: Number(runner!.pid) }, ...agentProcesses([session])]) process.kill(pid, "SIGKILL");
  await asked(session, 2);
  const [former, now] = await approvals(session);
  expect(former).toMatchObject({ state: "expired" });
  expect(now).toMatchObject({ state: "open" });
  expect(await respond(former!.id, "allow")).toMatchObject({ applied: false });
  expect(await respond(now!.id, "allow")).toMatchObject({ applied: true });
  await on.baton.turnsEnded(session, 1, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
}, 120_000);

test("an answer that is faster than the keeper leaves the agent its slot (row 1)", async () => {
  await kill(on.host);
  // From the commit of the question, which readers see, to the keeper's look at it.
  on.host = await on.stack.startHost({ stop: { name: "lane.after", action: "slow", hit: 1 } });
  const session = await asks("fast", [[{ ask: { title: "May I?" } }, { wait: 5_000 }, { say: "thanks" }]]);
  await asked(session, 1);
  const [question] = await approvals(session);
  expect(await respond(question!.id, "allow")).toMatchObject({ applied: true });
  await on.baton.eventually("the agent has it", async () => (await approvals(session))[0]?.state === "delivered", 10_000);
  const other = await launchScripted(on.baton, on.stack, { key: key("behind"), turns: [[{ say: "done" }]] });
  await on.baton.turnsEnded(other, 1, 60_000);
  const [first] = await on.baton.query<{ type: string; session: string }>(
    "select type, session_ulid session from event where (session_ulid = $1 and type = 'message.completed') or (session_ulid = $2 and type = 'turn.started') order by at",
    [session, other],
  );
  expect(first).toEqual({ type: "message.completed", session });
}, 120_000);

test("one answer allows one request, also when the worker dies between telling the agent and writing it down (row 1)", async () => {
  const command = { title: "terraform apply", input: { command: "terraform apply" } };
  const session = await asks("once", [[{ ask: command }, { wait: 6_000 }, { ask: command }, { say: "applied twice" }]]);
  await asked(session, 1);
  // What says that the agent was told is slow, and fails: the worker dies meanwhile.
  await on.baton.query("create sequence told");
  await on.baton.query(`create function slowly() returns trigger language plpgsql as $$ begin
    if new.state = 'delivered' and nextval('told') = 1 then perform pg_sleep(2); raise exception 'the worker is gone'; end if; return new; end $$`);
  await on.baton.query("create trigger slowly before update on approval for each row execute function slowly()");
  expect(await respond((await approvals(session))[0]!.id, "allow")).toMatchObject({ applied: true });
  const told = async () => (await on.baton.query<{ is_called: boolean }>("select is_called from told"))[0]!.is_called;
  await on.baton.eventually("the agent is told", told, 20_000);
  await kill(on.host);
  on.host = await on.stack.startHost();
  await asked(session, 2);
  await on.baton.eventually("the first is noted", async () => (await approvals(session))[0]?.state === "delivered", 20_000);
  await on.baton.query("drop trigger slowly on approval");
  expect((await approvals(session))[1]).toMatchObject({ state: "open", decision: null });
  await respond((await approvals(session))[1]!.id, "deny");
  await on.baton.turnsEnded(session, 1, 30_000);
}, 120_000);
