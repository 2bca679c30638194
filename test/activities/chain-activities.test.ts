import { ulid } from "ulid";
import { createEngineActivities } from "../../activities/engine-activities.ts";
import { readConfig } from "../../contracts/config.schema.ts";
import { noUsage } from "../../contracts/event.ts";
import type { Candidate, EventType } from "../../contracts/event.ts";
import type { Store } from "../../store/store.ts";
import { freshStore, newSession } from "../store/rows.ts";

let opened: Awaited<ReturnType<typeof freshStore>>;
let store: Store;
let activities: ReturnType<typeof createEngineActivities>;
const started: string[] = [];

beforeAll(async () => {
  opened = await freshStore();
  store = opened.store;
  activities = createEngineActivities({
    store,
    config: readConfig({ BATON_HOME: "/nowhere", BATON_INSTANCE: "test", BATON_HOST_ID: "h" }),
    startSession: async (row) => void started.push(row.workflowId),
  });
});
afterAll(() => opened.end());

const candidate: Candidate = { commit: "c".repeat(40), tree: "t".repeat(40), ref: "refs/baton/x", base: "b".repeat(40), diffStat: "1 file, +1 -0", files: 1 };
const role = { agentHandle: "r", launcherConfigKey: "k", effective: {}, presetRevision: 1, presetSha256: "x", provider: "scripted", permissions: {} };

/** A chain with one reviewer and an auditor; its executor's session exists. */
async function newChain() {
  const chainId = ulid();
  const taskKey = `T-${chainId}`;
  const executor = await newSession(store, { contextRef: taskKey, taskKey, chainId });
  await store.transaction(async (tx) => {
    await store.tasks.insert(tx, {
      taskKey,
      projectKey: `P-${chainId}`,
      title: "Greet",
      description: "d",
      acceptanceCriteria: ["says hello"],
      requirements: [],
      baseRef: null,
      assigneeHandle: null,
      reviewerHandles: [],
      metadata: {},
      repositoryPath: "/r",
    });
    await store.chains.insert(tx, {
      chainId,
      workflowId: `w-${chainId}`,
      taskKey,
      principal: "p",
      executorUlid: executor.sessionUlid,
      config: { reviewers: [role], auditor: role, maxRounds: 3, gates: { reviews: { quorum: 1, minScore: 80 }, audit: { minScore: 80 } } },
    });
  });
  return { chainId, taskKey, executor };
}

const findingsFor = (chainId: string, sessionUlid: string) =>
  activities.recordChainInput({ chainId, sessionUlid, key: "findings/1", kind: "findings", round: 1, candidate });

/** The session of the chain's reviewer with a finished turn that said `text`. */
async function reviewed(chainId: string, text: string) {
  const {
    args: { sessionUlid },
  } = await activities.openRoleSession({ chainId, role: "reviewer", n: 1 });
  const { inputId } = await activities.recordChainInput({ chainId, sessionUlid, key: `review/${ulid()}`, kind: "review", round: 1, candidate });
  const turn = { sessionUlid, turnId: inputId };
  const claim = await store.turns.claim({ ...turn, inputId, generation: 1, attempt: 1, taskToken: "t", owner: "o", minEpoch: 0 });
  if (claim.kind !== "claimed") throw new Error(claim.kind);
  const result = { turnId: inputId, outcome: "completed" as const, lastSeq: 0, providerSessionId: null, usage: noUsage, consumedInputIds: [inputId] };
  if ((await store.turns.complete({ ...turn, epoch: claim.head.epoch, owner: "o", result, finalMessage: text })) === null) throw new Error("fenced");
  return turn;
}
const events = async (sessionUlid: string, ...types: EventType[]) =>
  (await store.events.read(sessionUlid, { sinceSeq: 0, limit: 200, types })).map((e) => e.data);
const answer = (decision: string, score = 90, findings: unknown[] = []): string =>
  `Done.\n\n\`\`\`json\n${JSON.stringify({ decision, score, summary: "s", findings })}\n\`\`\`\n`;

describe("effects of a chain, on rows", () => {
  test("a round that is started twice keeps its candidate and is told once; an older round changes no number", async () => {
    const { chainId, executor } = await newChain();
    await activities.startRound({ chainId, round: 1 });
    await activities.startRound({ chainId, round: 1, candidate });
    await activities.startRound({ chainId, round: 1 });
    expect(await store.chains.get(chainId)).toMatchObject({ round: 1, candidate });
    await activities.startRound({ chainId, round: 2, candidate });
    await activities.startRound({ chainId, round: 1 });
    expect(await store.chains.get(chainId)).toMatchObject({ round: 2 });
    expect(await events(executor.sessionUlid, "chain.round_started")).toEqual([
      { chainId, round: 1 },
      { chainId, round: 2 },
    ]);
  });

  test("a session that a message has woken is started when its chain is over: the chain's close is not meant for it", async () => {
    const { chainId, executor } = await newChain();
    const { sessionUlid, workflowId } = executor;
    const input = { inputId: ulid(), sessionUlid, prompt: "x", delivery: "queue", source: "test", requestId: null, limit: 50 } as const;
    await store.transaction((tx) => store.inputs.insert(tx, input));
    for (const _repeat of [1, 2]) await activities.endSession({ sessionUlid, generation: 1, state: "closed", reason: "by hand", waiting: [] });
    expect(await store.sessions.get(sessionUlid)).toMatchObject({ generation: 2, closedAt: null });
    expect(started).toEqual([]);
    await activities.finishChain({ chainId, reason: "aborted", why: "x" });
    expect(started).toEqual([`${workflowId}~2`]);
  });

  test("a role's session is made once, even when two tries run at once", async () => {
    const { chainId, executor, taskKey } = await newChain();
    await activities.startRound({ chainId, round: 1, candidate });
    const made = await Promise.all(Array.from({ length: 5 }, () => activities.openRoleSession({ chainId, role: "reviewer", n: 1 })));
    expect(new Set(made.map((m) => m.args.sessionUlid)).size).toBe(1);
    expect(made[0]).toMatchObject({
      workflowId: `w-${chainId}/reviewer/1`,
      args: { generation: 1, chainWorkflowId: `w-${chainId}`, hostQueue: "test.host.h" },
    });
    expect(await store.sessions.get(made[0]?.args.sessionUlid ?? "")).toMatchObject({
      role: "reviewer",
      chainId,
      parentUlid: executor.sessionUlid,
      baseRef: candidate.commit,
      branchName: null,
      contextRef: taskKey,
    });
    await expect(activities.openRoleSession({ chainId, role: "reviewer", n: 2 })).rejects.toMatchObject({ type: "NOT_FOUND", nonRetryable: true });
    await expect(activities.openRoleSession({ chainId: "gone", role: "reviewer", n: 1 })).rejects.toMatchObject({
      type: "baton.session_gone",
      nonRetryable: true,
    });
  });

  test("a chain's input is stored once by its key, and only a judge's moves its worktree", async () => {
    const { chainId, executor } = await newChain();
    const {
      args: { sessionUlid },
    } = await activities.openRoleSession({ chainId, role: "reviewer", n: 1 });
    const ask = (key: string) => activities.recordChainInput({ chainId, sessionUlid, key, kind: "review", round: 1, candidate });
    const [first, second, other] = await Promise.all([ask("review/1"), ask("review/1"), ask("review/2")]);
    expect(second).toEqual(first);
    expect(other).not.toEqual(first);
    const row = await store.inputs.get(first.inputId);
    expect(row).toMatchObject({ source: "chain", checkout: candidate });
    expect(row?.prompt).toContain("says hello");
    expect(row?.prompt).toContain(candidate.commit);
    const findings = await findingsFor(chainId, executor.sessionUlid);
    expect(await store.inputs.get(findings.inputId)).toMatchObject({ checkout: null });
  });

  test("a verdict comes from the final message, once; gates and the findings' prompt read it", async () => {
    const { chainId, executor } = await newChain();
    const turn = await reviewed(chainId, answer("approved", 90, [{ severity: "blocker", title: "it burns" }]));
    const give = () => activities.recordVerdict({ chainId, ...turn, role: "reviewer", round: 1, candidate });
    const expected = { decision: "changes_requested", score: 90, findings: 1, blockers: 1, tree: candidate.tree };
    expect(await Promise.all([give(), give()])).toEqual([expected, expected]);
    expect(await store.chains.verdicts(chainId)).toHaveLength(1);
    expect(await events(turn.sessionUlid, "verdict.recorded")).toHaveLength(1);
    const gates = await activities.evaluateGates({ chainId, round: 1, tree: candidate.tree, stage: "review" });
    expect(gates.filter((g) => !g.passed).map((g) => g.name)).toEqual(["reviews.quorum", "reviews.blockers"]);
    expect((await store.chains.get(chainId))?.gates).toEqual(gates);
    const { inputId } = await findingsFor(chainId, executor.sessionUlid);
    expect((await store.inputs.get(inputId))?.prompt).toContain("it burns");
  });

  test("no verdict without a readable one; one given for another tree does not count", async () => {
    const { chainId } = await newChain();
    const mute = await reviewed(chainId, "Looks fine to me.");
    expect(await activities.recordVerdict({ chainId, ...mute, role: "reviewer", round: 1, candidate })).toBeNull();
    expect(await store.chains.verdicts(chainId)).toEqual([]);
    await store.chains.recordVerdict({
      chainId,
      ...mute,
      role: "reviewer",
      round: 1,
      decision: "approved",
      score: 99,
      summary: "",
      findings: [],
      tree: "another",
    });
    expect(await activities.recordVerdict({ chainId, ...mute, role: "reviewer", round: 1, candidate })).toBeNull();
  });

  test("an end is final", async () => {
    const { chainId, taskKey, executor } = await newChain();
    await activities.finishChain({ chainId, reason: "approved", why: "all passed" });
    await activities.finishChain({ chainId, reason: "failed", why: "late" });
    expect(await store.chains.get(chainId)).toMatchObject({ state: "ended", reason: "approved", why: "all passed" });
    expect(await store.tasks.get(taskKey)).toMatchObject({ status: "verified" });
    expect(await events(executor.sessionUlid, "chain.ended")).toEqual([{ chainId, reason: "approved" }]);
  });
});

describe("effects of a session, on rows", () => {
  test("an operator's prompt is stored once by its request; another prompt under it is refused with a notice", async () => {
    const { sessionUlid } = await newSession(store);
    const ask = (prompt: string) => activities.recordOperatorInput({ sessionUlid, requestId: "r", prompt, delivery: "queue" });
    const [first, second] = await Promise.all([ask("go"), ask("go")]);
    expect(first).not.toBeNull();
    expect(second).toEqual(first);
    expect(await ask("stop")).toBeNull();
    expect(await ask("stop")).toBeNull();
    expect(await events(sessionUlid, "input.recorded")).toHaveLength(1);
    expect(await events(sessionUlid, "notice.raised")).toEqual([{ message: expect.stringContaining("IDEMPOTENCY_MISMATCH") }]);
    expect(await activities.recordOperatorInput({ sessionUlid: "gone", requestId: "r", prompt: "go", delivery: "queue" })).toBeNull();
  });

  test("inputs fail once; the end is recorded once, also of a session whose rows are gone", async () => {
    const { sessionUlid } = await newSession(store);
    const input = await activities.recordOperatorInput({ sessionUlid, requestId: "r", prompt: "go", delivery: "queue" });
    const fail = () => activities.failInputs({ sessionUlid, inputIds: [input?.inputId ?? "", "never"], reason: "aborted" });
    await fail();
    await fail();
    expect(await events(sessionUlid, "input.failed")).toEqual([{ inputId: input?.inputId, reason: "aborted" }]);
    const end = (of: string) => activities.endSession({ sessionUlid: of, generation: 1, state: "closed", reason: "done" });
    await end(sessionUlid);
    await end(sessionUlid);
    expect(await events(sessionUlid, "session.closed")).toHaveLength(1);
    await end("gone").catch((error: unknown) => expect(error).toMatchObject({ nonRetryable: true }));
  });
});
