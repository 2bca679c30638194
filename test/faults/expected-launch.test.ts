import { agentStarts } from "./support/agent-words.ts";
import { agentProcesses } from "./support/auditor.ts";
import { launchScripted } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";

/** Without an engine no turn comes: what is there then was begun ahead of it. */
const on = onStack({ start: ["host"], numbers: { BATON_TURN_SLOTS: "2" } });

const runners = (session: string) =>
  on.baton.query<{ pid: number; ended: boolean }>("select pid, ended_at is not null ended from runner where session_ulid = $1 order by runner_id", [session]);
const launch = (name: string) => launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-${name}`, turns: [[{ say: "here" }]] });
/** The agent lives, and its runner is written down. */
const agentOf = (session: string) =>
  on.baton.eventually("the agent is there", async () => agentProcesses([session]).length > 0 && (await runners(session)).some((one) => one.pid > 0), 20_000);
const withEngine = async (body: () => Promise<void>) => {
  const engine = await on.stack.startEngine();
  try {
    await body();
  } finally {
    await kill(engine, "SIGTERM");
  }
};

test("the agent is started while its first turn is on its way, and the turn takes it", async () => {
  const session = await launch("taken");
  await agentOf(session);
  const [before] = await runners(session);
  await withEngine(() => on.baton.turnsEnded(session, 1, 30_000));
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  expect(await runners(session)).toEqual([before]);
  expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
}, 90_000);

test("a worker that is killed before the turn came leaves an agent that its successor's turn takes", async () => {
  const session = await launch("killed");
  await agentOf(session);
  await kill(on.host);
  on.host = await on.stack.startHost();
  await withEngine(() => on.baton.turnsEnded(session, 1, 30_000));
  expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
}, 90_000);

test("a turn that comes while its agent is being started ahead does not wait for a runner that never was", async () => {
  // What a claim does, exactly between the runner's row and its process.
  await on.baton.query(`create function claim_between() returns trigger language plpgsql as $$ begin
    if new.pid = 0 then update head set epoch = epoch + 1 where session_ulid = new.session_ulid and epoch = 1; end if; return new; end $$`);
  await on.baton.query("create trigger claim_between after insert on runner for each row execute function claim_between()");
  const session = await launch("between");
  await on.baton.eventually("the start ahead gave up", async () => (await runners(session)).some((one) => one.ended), 20_000);
  await on.baton.query("drop trigger claim_between on runner");
  expect(agentProcesses([session])).toEqual([]);
  await withEngine(() => on.baton.turnsEnded(session, 1, 30_000));
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
}, 90_000);

test("a session that is closed before its turn leaves no agent, and one without a free slot gets none ahead", async () => {
  const sessions = [await launch("first"), await launch("second"), await launch("third")];
  const all = () => new Set(agentProcesses(sessions).map((one) => one.session)).size;
  await on.baton.eventually("two agents are there", async () => all() === 2, 20_000);
  const ready = "select 1 from session where session_ulid = any($1) and workspace = 'ready'";
  await on.baton.eventually("all have their workspaces", async () => (await on.baton.query(ready, [sessions])).length === 3, 20_000);
  // A start ahead takes well below a second.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(all()).toBe(2);
  await Promise.all(sessions.map((sessionUlid) => on.baton.sdk.sessions.close({ principal: "local", actor: "@test" }, { sessionUlid })));
  // It stays up: the file's end closes what is open.
  on.engine = await on.stack.startEngine();
  await on.baton.eventually("their agents are gone", async () => all() === 0, 20_000);
  for (const session of sessions) expect(await on.baton.outcomes(session)).toEqual([]);
}, 90_000);
