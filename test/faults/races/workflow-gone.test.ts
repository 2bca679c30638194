import { createReconcile } from "../../../client/reconciler.ts";
import { lazyTemporal } from "../../../client/temporal.ts";
import { openStore } from "../../../store/open-store.ts";
import { agentProcesses, audit } from "../support/auditor.ts";
import { launchNumbered, launchScripted } from "../support/launch.ts";
import { kill, onStack } from "../support/on-stack.ts";
import { temporalCli } from "../support/temporal-cli.ts";

const caller = { principal: "local", actor: "@test" };
// The token's grace is above the beat's time-out: whoever waits inside a beat would cost the other turns theirs.
const on = onStack({
  start: ["engine", "host"],
  numbers: { BATON_RECONCILE_MS: "1000", BATON_TOKEN_GRACE_MS: "4000", BATON_HOST_BEAT_TIMEOUT_MS: "2000" },
});
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;

interface End {
  closed: boolean;
  failed: boolean;
  close_reason: string | null;
  generation: number;
}
const row = async (session: string): Promise<End | undefined> =>
  (await on.baton.query<End>("select closed_at is not null closed, failed, close_reason, generation from session where session_ulid = $1", [session]))[0];
const ended = (session: string) => on.baton.eventually(`${session} ended`, async () => (await row(session))?.closed === true, 60_000);
const failures = (session: string) =>
  on.baton.query<{ reason: string }>("select data->>'reason' reason from event where session_ulid = $1 and type in ('session.failed', 'session.closed')", [
    session,
  ]);
const openTurns = (session: string) => on.baton.query("select turn_id from turn where session_ulid = $1 and (state <> 'done' or result is null)", [session]);
/** `workflow delete` is carried out some time after its answer. */
const deleted = (id: string) =>
  on.baton.eventually(
    `${id} is deleted`,
    () =>
      temporalCli("workflow", "describe", "--workflow-id", id).then(
        () => false,
        () => true,
      ),
    30_000,
  );
async function isOver(session: string): Promise<void> {
  await ended(session);
  expect(await row(session)).toMatchObject({ closed: true, failed: true, close_reason: "workflow_gone", generation: 1 });
  expect(await failures(session)).toEqual([{ reason: "workflow_gone" }]);
  expect(await openTurns(session)).toEqual([]);
  await on.baton.eventually("no process of the session", async () => agentProcesses([session]).length === 0, 30_000);
}

test("sessions whose workflow was terminated or deleted end as workflow_gone, once, and are not launched again; the others do not notice (row 14)", async () => {
  const [idle, lost, busy, other] = await Promise.all([
    launchScripted(on.baton, on.stack, { key: key("idle"), turns: [[{ say: "one" }], [{ say: "two" }]] }),
    launchScripted(on.baton, on.stack, { key: key("lost"), turns: [[{ say: "one" }]] }),
    launchScripted(on.baton, on.stack, { key: key("busy"), turns: [[{ edit: { path: "work.txt", content: "work\n" } }, { say: "at work" }, "hang"]] }),
    launchNumbered(on.baton, on.stack, { key: key("other"), count: 200, everyMs: 50 }),
  ]);
  await Promise.all([idle, lost].map((session) => on.baton.turnsEnded(session!, 1, 60_000)));
  await on.baton.eventually(
    "the agent has worked",
    async () => (await on.baton.query("select 1 from event where session_ulid = $1 and type = 'file.changed'", [busy])).length > 0,
    60_000,
  );
  await temporalCli("workflow", "terminate", "--workflow-id", key("idle"), "--reason", "test");
  await temporalCli("workflow", "terminate", "--workflow-id", key("busy"), "--reason", "test");
  await temporalCli("workflow", "delete", "--workflow-id", key("lost"));
  await deleted(key("lost"));

  for (const session of [idle, lost, busy]) await isOver(session!);
  // The keeper stopped the agent, kept what it wrote and captured its work.
  const [turn] = await on.baton.query<{ outcome: string; why: string; tree: string }>(
    "select result->>'outcome' outcome, result#>>'{failure,class}' why, result#>>'{candidate,tree}' tree from turn where session_ulid = $1",
    [busy],
  );
  expect(turn).toEqual({ outcome: "failed", why: "workflow_gone", tree: expect.stringMatching(/^[0-9a-f]{40}$/) });

  await on.baton.turnsEnded(other!, 1, 60_000);
  expect(await on.baton.outcomes(other!)).toEqual(["completed"]);
  // Nobody's beat waited for the look at the others' workflows.
  expect(await on.baton.query("select attempt from turn where session_ulid = $1", [other])).toEqual([{ attempt: 1 }]);
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [idle!, busy!, other!], turnsPerSession: 1 })).toEqual([]);
  const running = await temporalCli("workflow", "list", "--query", `ExecutionStatus = "Running" and BatonSession in ("${idle}", "${lost}", "${busy}")`);
  expect(running.trim().split("\n").slice(1)).toEqual([]);

  // It is closed like any other: an input wakes it as the next generation.
  await on.baton.sdk.sessions.input(caller, { sessionUlid: idle!, prompt: "go on" });
  await on.baton.turnsEnded(idle!, 2, 60_000);
  expect(await row(idle!)).toMatchObject({ closed: false, generation: 2 });
}, 180_000);

test("a turn whose host is away as well is given up; the host that comes back ends its agent (row 14)", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("hostless"), turns: [[{ say: "at work" }, "hang"]] });
  await on.baton.eventually("an agent at work", async () => agentProcesses([session]).length > 0, 60_000);
  await on.baton.eventually(
    "it has its prompt",
    async () => (await on.baton.query("select 1 from input where session_ulid = $1 and state = 'delivered'", [session])).length === 1,
    30_000,
  );
  await kill(on.host);
  await temporalCli("workflow", "terminate", "--workflow-id", key("hostless"), "--reason", "test");
  await ended(session);
  expect(await openTurns(session)).toEqual([]);
  expect(await on.baton.outcomes(session)).toEqual(["failed"]);
  on.host = await on.stack.startHost();
  await isOver(session);
  expect(await on.baton.query("select 1 from turn where session_ulid = $1 and reported_at is null", [session])).toEqual([]);
}, 120_000);

test("while Temporal does not answer no session ends (row 14)", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("outage"), turns: [[{ say: "one" }]] });
  await on.baton.turnsEnded(session, 1, 60_000);
  const store = await openStore({ databaseUrl: on.stack.databaseUrl, instance: `${on.stack.env["BATON_INSTANCE"]}-x` });
  const cut = lazyTemporal({ address: "127.0.0.1:1", namespace: "default" });
  const foreign = lazyTemporal({ address: on.stack.env["TEMPORAL_ADDRESS"] ?? "", namespace: "no-such-namespace" });
  try {
    const errors: unknown[] = [];
    for (const { client } of [cut, foreign]) {
      const look = createReconcile({ client, store, everyMs: 1, keeperMs: 1, onError: (error) => errors.push(error) });
      for (let n = 0; n < 2; n++) await look();
    }
    expect(errors).toHaveLength(4);
  } finally {
    await Promise.all([cut.close(), foreign.close(), store.close()]);
  }
  expect(await row(session)).toMatchObject({ closed: false, failed: false });
}, 90_000);
