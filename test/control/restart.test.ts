import { rmSync } from "node:fs";
import { agentProcesses } from "../faults/support/auditor.ts";
import { launchScripted } from "../faults/support/launch.ts";
import { kill, onStack } from "../faults/support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine", "host"], numbers: { BATON_KEEP_ALIVE_MS: "60000" } });
const key = (name: string) => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const sessions = () => on.baton.sdk.sessions;
const messages = async (sessionUlid: string): Promise<string[]> =>
  (
    await on.baton.query<{ text: string }>("select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' order by seq", [
      sessionUlid,
    ])
  ).map((row) => row.text);
const notices = async (sessionUlid: string): Promise<string[]> =>
  (
    await on.baton.query<{ message: string }>("select data->>'message' as message from event where session_ulid = $1 and type = 'notice.raised' order by seq", [
      sessionUlid,
    ])
  ).map((row) => row.message);
const restart = (name: string, more: Record<string, unknown>) => sessions().restart(caller, { clientRequestId: key(name), actor: "@test", ...more });

test("a closed session goes on: next generation, same workspace and conversation, by session or by thread; the key is answered as it was", async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: key("native"),
    turns: [[{ edit: { path: "made.txt", content: "made\n" } }], [{ run: "cat made.txt" }, { say: "again" }], [{ say: "third" }]],
  });
  await on.baton.turnsEnded(session, 1, 30_000);
  await on.baton.closeSession(session);
  const thread = String((await sessions().get({ sessionUlid: session }))["providerSessionId"]);

  const first = await restart("native-1", { providerSessionId: thread, sessionUlid: session, prompt: "look" });
  expect(first).toMatchObject({ sessionUlid: session, generation: 2, resumed: "native", status: "RUNNING", providerSessionId: thread });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await restart("native-1", { providerSessionId: thread, sessionUlid: session, prompt: "look" })).toMatchObject({
    replayed: true,
    generation: 2,
    inputId: first["inputId"],
  });
  await expect(restart("native-1", { sessionUlid: session, prompt: "other" })).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
  const view = await sessions().get({ sessionUlid: session });
  expect(view).toMatchObject({ status: "IDLE", generation: 2, turns: { total: 2, completed: 2 }, resumable: { can: true, how: "native" } });
  expect(view["restartedAt"]).toEqual(expect.stringMatching(/Z$/));
  expect((view["temporal"] as { runId: string }).runId).toMatch(/^[0-9a-f-]{36}$/);
  // The scripted agent keeps its place in its conversation: the second turn is the second one only if it was resumed.
  expect((await messages(session)).at(-1)).toBe("again");
  // Idle: as run.
  expect(await restart("native-2", { sessionUlid: session })).toMatchObject({ generation: 2, status: "RUNNING" });
  await on.baton.turnsEnded(session, 3, 30_000);
  expect((await messages(session)).at(-1)).toBe("third");
}, 120_000);

test("what cannot be restarted says why, and takes no key", async () => {
  const busy = await launchScripted(on.baton, on.stack, { key: key("busy"), turns: [["hang"], [{ say: "well" }]] });
  const idle = await launchScripted(on.baton, on.stack, { key: key("idle"), turns: [[{ say: "done" }]] });
  await on.baton.turnsEnded(idle, 1, 30_000);
  const thread = String((await sessions().get({ sessionUlid: idle }))["providerSessionId"]);
  await expect(restart("refused", { sessionUlid: busy, prompt: "now" })).rejects.toMatchObject({
    code: "CONFLICT_STATE",
    detail: { next: [{ args: { action: "input", sessionUlid: busy, prompt: "now" } }] },
  });
  await expect(restart("refused", { providerSessionId: "no-such-thread" })).rejects.toMatchObject({
    code: "NOT_FOUND",
    detail: { field: "providerSessionId" },
  });
  await expect(restart("refused", { providerSessionId: thread, sessionUlid: busy })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(restart("refused", {})).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(restart("refused", { sessionUlid: "01JNOSUCHSESSI0N0000000000" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await restart("refused", { providerSessionId: thread })).toMatchObject({ sessionUlid: idle });
  // Woken without a turn: it waits for one.
  await on.baton.turnsEnded(idle, 2, 30_000);
  await on.baton.closeSession(idle);
  expect(await restart("no-run", { sessionUlid: idle, run: false })).toMatchObject({ generation: 2, sessionUlid: idle });
  await on.baton.eventually("it is idle", async () => (await sessions().get({ sessionUlid: idle }))["state"] === "idle", 20_000);
  expect((await sessions().get({ sessionUlid: idle }))["turns"]).toEqual({ total: 2, completed: 2 });
  await sessions().abort(caller, { sessionUlid: busy });
}, 120_000);

test("an agent that cannot open its old conversation gets the transcript, and an event says so", async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: key("transcript"),
    prompt: "the first question",
    turns: [[{ say: "the first answer" }]],
    scenario: { resume: "none" },
  });
  await on.baton.turnsEnded(session, 1, 30_000);
  const thread = (await sessions().get({ sessionUlid: session }))["providerSessionId"];
  await on.baton.closeSession(session);
  expect((await sessions().get({ sessionUlid: session }))["resumable"]).toMatchObject({ how: "transcript" });
  expect(await restart("transcript-1", { sessionUlid: session, prompt: "the second question" })).toMatchObject({ resumed: "transcript" });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  expect((await sessions().get({ sessionUlid: session }))["providerSessionId"]).not.toBe(thread);
  expect(await notices(session)).toEqual([expect.stringContaining("cannot be gone on with"), expect.stringContaining("transcript of 1 turn")]);
  const [seen] = await on.baton.query<{ tokens: string }>("select result->'usage'->>'inputTokens' as tokens from turn where session_ulid = $1 and n = 2", [
    session,
  ]);
  // The agent counts what it is sent: the question alone would be 105.
  expect(Number(seen?.tokens)).toBeGreaterThan(150);
}, 120_000);

/** Closes the session and takes its agent's memory away. Not before the agent has gone: a close may be slower than we are, and one that lives knows its conversation by heart. */
async function loseConversation(session: string): Promise<void> {
  await on.baton.closeSession(session);
  await on.baton.eventually("its agent has gone", async () => agentProcesses([session]).length === 0, 30_000);
  rmSync(`${on.stack.home}/agents/${session}`, { recursive: true, force: true });
}

test("an agent that has lost its conversation goes on in the same turn with a new one", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("lost"), turns: [[{ say: "one" }], [{ say: "two" }]] });
  await on.baton.turnsEnded(session, 1, 30_000);
  await loseConversation(session);
  await sessions().input(caller, { sessionUlid: session, prompt: "go on" });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  expect(await notices(session)).toEqual([expect.stringContaining("session not found"), expect.stringContaining("transcript of 1 turn")]);
  // Its next turn is an ordinary one of the new conversation.
  await sessions().input(caller, { sessionUlid: session, prompt: "and on" });
  await on.baton.turnsEnded(session, 3, 30_000);
  expect(await notices(session)).toHaveLength(2);
}, 120_000);

test("a restart by a conversation is answered by its key, too, when the agent has got another one since, and after a purge", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("moved"), turns: [[{ say: "one" }], [{ say: "two" }]] });
  await on.baton.turnsEnded(session, 1, 30_000);
  const thread = async () => (await sessions().get({ sessionUlid: session }))["providerSessionId"];
  const providerSessionId = await thread();
  await loseConversation(session);
  const { inputId } = await restart("moved-1", { providerSessionId, prompt: "go on" });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await thread()).not.toBe(providerSessionId);
  const first = { sessionUlid: session, inputId, generation: 2, replayed: true };
  expect(await restart("moved-1", { providerSessionId, prompt: "go on" })).toMatchObject(first);
  await expect(restart("moved-1", { providerSessionId, prompt: "other" })).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
  await expect(restart("moved-2", { providerSessionId, prompt: "go on" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  await sessions().purge(caller, { sessionUlid: session, force: true });
  expect(await restart("moved-1", { providerSessionId, prompt: "go on" })).toMatchObject({ ...first, purgedAt: expect.any(String) });
}, 120_000);

test.each(["runner.spawn.before", "runner.spawn.after", "prompt.sent"])(
  "a host that is killed at %s while a new conversation begins: the next one goes on, the transcript is given once",
  async (name) => {
    const session = await launchScripted(on.baton, on.stack, { key: key(`killed-${name}`), turns: [[{ say: "one" }], [{ say: "two" }]] });
    await on.baton.turnsEnded(session, 1, 30_000);
    await loseConversation(session);
    await kill(on.host);
    // The first passing is the agent's that does not find its conversation.
    const host = await on.stack.startHost({ stop: { name, hit: 2, action: "kill" }, fired: `${on.stack.home}/fired-${name}` });
    const died = new Promise((resolve) => host.once("exit", resolve));
    await sessions().input(caller, { sessionUlid: session, prompt: "go on" });
    await died;
    on.host = await on.stack.startHost();
    await on.baton.turnsEnded(session, 2, 60_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
    expect(await notices(session)).toEqual([expect.stringContaining("session not found"), expect.stringContaining("transcript of 1 turn")]);
    const [seen] = await on.baton.query<{ tokens: string }>("select result->'usage'->>'inputTokens' as tokens from turn where session_ulid = $1 and n = 2", [
      session,
    ]);
    expect(Number(seen?.tokens)).toBeGreaterThan(150);
  },
  120_000,
);

test.each(["its session was closed", "its agent still waits in it"])(
  "a missing worktree is made again when %s: the branch's commits, and what the last turn left uncommitted",
  async (when) => {
    const session = await launchScripted(on.baton, on.stack, {
      key: key(`rebuilt ${when}`),
      turns: [
        [
          { edit: { path: "committed.txt", content: "committed\n" } },
          { run: "git add . && git -c user.name=a -c user.email=a@a commit -qm agent" },
          { edit: { path: "left.txt", content: "left\n" } },
        ],
        [{ run: "cat committed.txt left.txt; git status --porcelain" }],
      ],
    });
    await on.baton.turnsEnded(session, 1, 30_000);
    const worktree = String((await sessions().get({ sessionUlid: session }))["worktreePath"]);
    if (when === "its session was closed") await on.baton.closeSession(session);
    else expect(agentProcesses([session])).not.toEqual([]);
    rmSync(worktree, { recursive: true, force: true });
    if (when === "its session was closed") await restart(`rebuilt-${when}`, { sessionUlid: session, prompt: "look" });
    else await sessions().input(caller, { sessionUlid: session, prompt: "look" });
    await on.baton.turnsEnded(session, 2, 30_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
    const [last] = await on.baton.query<{ output: string }>(
      "select data->>'output' as output from event where session_ulid = $1 and type = 'command.completed' order by seq desc limit 1",
      [session],
    );
    expect(last?.output.trim()).toBe("committed\nleft\n?? left.txt");
    expect(await notices(session)).toContainEqual(expect.stringContaining("made again"));
  },
  120_000,
);
