import { launchScripted } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";
import { temporalCli } from "./support/temporal-cli.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine", "host"] });

/** A launch for the same task, role and agent under a key of its own. */
const again = (key: string, task: string, more: Record<string, unknown> = {}) =>
  on.baton.sdk.sessions.launch(caller, {
    clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-${key}`,
    actor: "@test",
    taskKey: task,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go on",
    config: { scenario: { turns: [[{ run: "cat made.txt" }, { say: "seen" }]] } },
    ...more,
  });
const session = async (ulid: string) =>
  (
    await on.baton.query<{ closed: boolean; close_reason: string | null; base_ref: string; workflow_id: string }>(
      "select closed_at is not null closed, close_reason, base_ref, workflow_id from session where session_ulid = $1",
      [ulid],
    )
  )[0];

test("an idle session gives way to a new launch, which goes on from its candidate; a launch that fails leaves it open", async () => {
  const task = `${on.stack.env["BATON_INSTANCE"]}-idle`;
  const first = await launchScripted(on.baton, on.stack, { key: task, turns: [[{ edit: { path: "made.txt", content: "made\n" } }]] });
  await on.baton.turnsEnded(first, 1, 30_000);
  const [captured] = await on.baton.query<{ commit: string }>("select candidate->>'commit' as commit from session where session_ulid = $1", [first]);

  // The last thing of the launch's transaction fails: nothing of it may stay, the closed session neither.
  await on.baton.query("create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused by the test'; end $$");
  await on.baton.query("create trigger refuse before insert on host_inbox for each row when (new.kind = 'prepare') execute function refuse()");
  await expect(again("fails", task)).rejects.toThrow();
  await on.baton.query("drop trigger refuse on host_inbox");
  expect(await session(first)).toMatchObject({ closed: false });

  const second = String((await again("wins", task)).data["sessionUlid"]);
  expect(await session(first)).toMatchObject({ closed: true, close_reason: "superseded" });
  expect(await session(second)).toMatchObject({ closed: false, base_ref: captured?.commit });
  await on.baton.turnsEnded(second, 1, 30_000);
  const output = await on.baton.query<{ output: string }>(
    "select data->>'output' as output from event where session_ulid = $1 and type = 'command.completed'",
    [second],
  );
  expect(output.map((row) => row.output.trim())).toEqual(["made"]);
  await on.baton.eventually(
    "the former one's workflow ended",
    async () =>
      (await temporalCli("workflow", "describe", "--workflow-id", String((await session(first))?.workflow_id), "--output", "json")).includes(
        "WORKFLOW_EXECUTION_STATUS_COMPLETED",
      ),
    20_000,
  );
}, 120_000);

test("one that works does not", async () => {
  const task = `${on.stack.env["BATON_INSTANCE"]}-busy`;
  const first = await launchScripted(on.baton, on.stack, { key: task, turns: [["hang"]] });
  await on.baton.eventually(
    "it works",
    async () => (await on.baton.query("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null", [first])).length === 1,
    30_000,
  );
  await expect(again("too-early", task)).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  expect(await session(first)).toMatchObject({ closed: false });
}, 60_000);
