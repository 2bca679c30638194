import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { launchScripted } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";
import { signalByHand, temporalCli } from "./support/temporal-cli.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({
  start: ["engine", "host"],
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    writeFileSync(join(stack.home, "presets", "ask.json"), JSON.stringify({ key: "ask", providerType: "scripted", permissions: { mode: "ask" } }));
  },
});

/** Keys are workflow ids in a Temporal that all test files share. */
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const launch = (name: string, turns: unknown[]): Promise<string> => launchScripted(on.baton, on.stack, { key: key(name), turns });
const said = async (session: string): Promise<string[]> =>
  (
    await on.baton.query<{ text: string }>(
      "select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' and data->>'role' = 'agent' order by seq",
      [session],
    )
  ).map((row) => row.text);
const prompted = (session: string, n: number): Promise<void> =>
  on.baton.eventually(
    `prompt ${n} of ${session} sent`,
    async () => (await on.baton.query("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null", [session])).length >= n,
    20_000,
  );
/** What the agent itself logged, over all its processes. */
const agentLog = (session: string, text: string): string[] =>
  readFileSync(join(on.stack.home, "agents", session, "agent.log"), "utf8")
    .split("\n")
    .filter((line) => line.includes(text));

describe("by hand, with Temporal's own program", () => {
  test("an input opens a turn, its repeat does not; an abort interrupts; the session goes on", async () => {
    const session = await launch("hand", [[{ say: "one" }], [{ say: "two" }], [{ say: "three " }, "hang"], [{ say: "four" }]]);
    await on.baton.turnsEnded(session, 1, 20_000);
    const operators = JSON.stringify({ prompt: "from the operator", requestId: "r-1" });
    await signalByHand(key("hand"), "input", operators);
    await signalByHand(key("hand"), "input", operators);
    await on.baton.turnsEnded(session, 2, 20_000);
    await signalByHand(key("hand"), "input", '{"prompt":"hang now"}');
    await prompted(session, 3);
    await signalByHand(key("hand"), "abort", "{}");
    await on.baton.turnsEnded(session, 3, 20_000);
    await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "and on" });
    await on.baton.turnsEnded(session, 4, 20_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed", "completed", "interrupted", "completed"]);
    const prompts = await on.baton.query<{ prompt: string }>("select prompt from input where session_ulid = $1 order by created_at", [session]);
    expect(prompts.map((row) => row.prompt)).toEqual(["go", "from the operator", "hang now", "and on"]);
    expect((await said(session)).at(-1)).toBe("four");
  }, 90_000);

  test.each([
    ["no JSON object", "input", '"text"'],
    ["a list", "input", "[1,2]"],
    ["null", "input", "null"],
    ["an empty prompt", "input", '{"prompt":"  "}'],
    ["a prompt that is a number", "input", '{"prompt":7}'],
    ["an unknown delivery", "input", '{"prompt":"x","delivery":"soon"}'],
    ["the id of no input", "input", '{"inputId":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}'],
    ["an abort of nothing", "abort", '"what"'],
    ["an unknown Signal", "nonsense", "{}"],
  ])(
    "%s is dropped and the session stays usable",
    async (what, name, body) => {
      const at = key(`nonsense-${what.replaceAll(" ", "-")}`);
      const session = await launchScripted(on.baton, on.stack, { key: at, turns: [[{ say: "one" }], [{ say: "two" }]] });
      await on.baton.turnsEnded(session, 1, 20_000);
      await signalByHand(at, name, body);
      await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "go on" });
      await on.baton.turnsEnded(session, 2, 15_000);
      expect((await said(session)).at(-1)).toBe("two");
      const inputs = await on.baton.query<{ prompt: string }>("select prompt from input where session_ulid = $1 order by created_at", [session]);
      expect(inputs.map((row) => row.prompt)).toEqual(["go", "go on"]);
      expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
      expect(await temporalCli("workflow", "describe", "--workflow-id", at, "--output", "json")).toContain("WORKFLOW_EXECUTION_STATUS_RUNNING");
      await on.baton.closeSession(session);
    },
    60_000,
  );
});

test("a closed session is woken by an input: same ULID, worktree and conversation", async () => {
  const session = await launch("wake", [
    [{ edit: { path: "kept.txt", content: "kept\n" } }, { say: "one" }],
    [{ run: "cat kept.txt" }, { say: "two" }],
  ]);
  await on.baton.turnsEnded(session, 1, 20_000);
  await on.baton.closeSession(session);
  const about = () =>
    on.baton.query<{ generation: number; worktree_path: string; workflow_id: string; provider_session_id: string }>(
      "select generation, worktree_path, workflow_id, provider_session_id from session where session_ulid = $1",
      [session],
    );
  const [before] = await about();
  const { data } = await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "wake up" });
  expect(data["sessionUlid"]).toBe(session);
  await on.baton.turnsEnded(session, 2, 30_000);
  const [after] = await about();
  expect(Number(after?.generation)).toBe(2);
  expect(after).toMatchObject({
    worktree_path: before?.worktree_path,
    provider_session_id: before?.provider_session_id,
    workflow_id: `${before?.workflow_id}~2`,
  });
  expect(await said(session)).toEqual(["one", "two"]);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  const ready = await on.baton.query<{ resumed: string; id: string }>(
    "select data->>'resumed' resumed, data->>'providerSessionId' id from event where session_ulid = $1 and type = 'session.agent_ready' order by seq",
    [session],
  );
  expect(ready).toEqual([
    { resumed: "false", id: before?.provider_session_id },
    { resumed: "true", id: before?.provider_session_id },
  ]);
  const output = await on.baton.query<{ output: string }>(
    "select data->>'output' as output from event where session_ulid = $1 and type in ('command.completed', 'tool.completed') and turn_id = $2",
    [session, data["inputId"]],
  );
  expect(output.map((row) => row.output?.trim())).toContain("kept");
}, 90_000);

test("an operator's input that comes while the end of its session is being written wakes it", async () => {
  const session = await launch("late-hand", [[{ say: "one" }], [{ say: "two" }]]);
  await on.baton.turnsEnded(session, 1, 20_000);
  const lock = new pg.Client({ connectionString: on.stack.databaseUrl });
  await lock.connect();
  try {
    await lock.query("begin");
    await lock.query("select 1 from head where session_ulid = $1 for update", [session]);
    await signalByHand(key("late-hand"), "close", "{}");
    const waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    await on.baton.eventually("the end waits for the lock", async () => (await on.baton.query(waiting)).length > 0, 10_000);
    await signalByHand(key("late-hand"), "input", '{"prompt":"from the operator"}');
    await lock.query("commit");
    await on.baton.turnsEnded(session, 2, 30_000);
  } finally {
    await lock.end();
  }
  expect(await said(session)).toEqual(["one", "two"]);
  expect(await on.baton.query("select generation, state from input where session_ulid = $1 and source = 'operator'", [session])).toEqual([
    { generation: expect.any(Number), state: "consumed" },
  ]);
}, 90_000);

describe("a permission request", () => {
  const asks = async (name: string): Promise<{ session: string; approvalId: string }> => {
    const scenario = { turns: [[{ ask: { title: "rm -rf build", onDeny: [{ say: "denied" }] } }, { say: "went on" }]] };
    const { data } = await on.baton.sdk.sessions.launch(caller, {
      clientRequestId: key(name),
      actor: "@test",
      taskKey: key(name),
      launcherConfigKey: "ask",
      prompt: "go",
      config: { scenario },
      task: { title: name, repositoryPath: on.stack.repository, projectKey: "FAULTS" },
    });
    const session = String(data["sessionUlid"]);
    let approvalId = "";
    await on.baton.eventually(
      "a request",
      async () => {
        const [row] = await on.baton.query<{ approval_id: string; title: string }>(
          "select approval_id, title from approval where session_ulid = $1 and state = 'open'",
          [session],
        );
        approvalId = row?.approval_id ?? "";
        return row?.title === "rm -rf build";
      },
      20_000,
    );
    return { session, approvalId };
  };
  /** One prompt, one request, one answer, whatever happened to the on.host. */
  const answeredOnce = async (session: string, decision: string): Promise<void> => {
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    expect(agentLog(session, " prompt turn ")).toHaveLength(1);
    expect(agentLog(session, " start")).toHaveLength(1);
    const events = await on.baton.query<{ type: string; decision: string | null }>(
      "select type, data->>'decision' decision from event where session_ulid = $1 and type like 'approval.%' order by seq",
      [session],
    );
    expect(events).toEqual([
      { type: "approval.requested", decision: null },
      { type: "approval.resolved", decision },
    ]);
  };

  test.each([
    ["allow", "went on"],
    ["deny", "denied"],
  ])(
    "is answered with %s; a second answer changes nothing",
    async (decision, words) => {
      const { session, approvalId } = await asks(`answer-${decision}`);
      expect(await on.baton.sdk.sessions.respond(caller, { approvalId, decision })).toMatchObject({ applied: true });
      expect(await on.baton.sdk.sessions.respond(caller, { approvalId, decision: decision === "allow" ? "deny" : "allow" })).toMatchObject({
        applied: false,
        by: "local",
      });
      await on.baton.turnsEnded(session, 1, 20_000);
      expect((await said(session))[0]).toBe(words);
      await answeredOnce(session, decision);
    },
    60_000,
  );

  test("is answered while its killed host is away: the next one gives the answer to the agent that still waits", async () => {
    const { session, approvalId } = await asks("killed-before");
    await kill(on.host);
    expect(await on.baton.sdk.sessions.respond(caller, { approvalId, decision: "allow" })).toMatchObject({ applied: true });
    on.host = await on.stack.startHost();
    await on.baton.turnsEnded(session, 1, 40_000);
    expect(await said(session)).toEqual(["went on"]);
    await answeredOnce(session, "allow");
  }, 90_000);

  test("is answered after its killed host was replaced", async () => {
    const { session, approvalId } = await asks("killed-after");
    await kill(on.host);
    on.host = await on.stack.startHost();
    expect(await on.baton.sdk.sessions.respond(caller, { approvalId, decision: "deny" })).toMatchObject({ applied: true });
    await on.baton.turnsEnded(session, 1, 40_000);
    expect(await said(session)).toEqual(["denied", "went on"]);
    await answeredOnce(session, "deny");
  }, 90_000);
});
