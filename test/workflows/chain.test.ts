import { quietTemporal } from "../support/quiet-temporal.ts";
import { until } from "../support/until.ts";
import { candidate, onChains } from "./chain-world.ts";
import type { Play } from "./chain-world.ts";
import { done, history, untilCancelled } from "./trial.ts";

quietTemporal();

const on = onChains();
const begin = on.begin;
const callsOf = (name: string, chainId: string): Record<string, unknown>[] =>
  (on.trial.of(name) as Record<string, unknown>[]).filter((a) => a["chainId"] === chainId || String(a["sessionUlid"]).startsWith(`${chainId}-`));
const turnsOf = (chainId: string): string[] =>
  callsOf("runTurn", chainId).map((a) => `${String(a["sessionUlid"]).slice(chainId.length + 1)}:${String(a["turnId"])}`);
const endOf = async (workflowId: string): Promise<unknown> => on.trial.client.workflow.getHandle(workflowId).result();
const approved = { "reviewer-1": ["approved"], "auditor-1": ["approved"] } satisfies Play["answers"];

describe("chain", () => {
  test("approved at once: executor, reviewer, auditor, last look; every session is closed", async () => {
    const handle = await begin({ trees: ["a"], answers: approved });
    const id = handle.workflowId;
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(turnsOf(id)).toEqual(["executor:first", "reviewer-1:review_1_reviewer-1", "auditor-1:audit_1_auditor-1"]);
    expect(callsOf("finishChain", id)).toEqual([expect.objectContaining({ chainId: id, reason: "approved" })]);
    expect(callsOf("startRound", id)).toEqual([
      { chainId: id, round: 1 },
      { chainId: id, round: 1, candidate: candidate("a") },
    ]);
    expect(callsOf("verifyCandidate", id)).toEqual([{ sessionUlid: `${id}-executor`, tree: "a" }]);
    for (const member of ["executor", "reviewer/1", "auditor/1"])
      expect(await endOf(`${id}/${member}`)).toMatchObject({ state: "closed", reason: "chain ended: approved" });
  });

  test("findings go back to the same executor, the second round is approved; a turn costs at most 20 events", async () => {
    const handle = await begin(
      { trees: ["a", "b"], answers: { "reviewer-1": ["changes_requested", "approved"], "reviewer-2": ["approved"], "auditor-1": ["approved"] } },
      { reviewers: 2 },
    );
    const id = handle.workflowId;
    expect(await handle.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 2") });
    expect(turnsOf(id).filter((t) => t.startsWith("executor"))).toEqual(["executor:first", "executor:findings_1"]);
    expect(turnsOf(id).filter((t) => t.startsWith("auditor"))).toEqual(["auditor-1:audit_2_auditor-1"]);
    expect(turnsOf(id).filter((t) => t.startsWith("reviewer"))).toHaveLength(4);
    // The round's prompt is made from the refused candidate, its review from the new one.
    expect(
      callsOf("recordChainInput", id)
        .map((a) => [a["kind"], a["round"], (a["candidate"] as { tree: string }).tree])
        .toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    ).toEqual([
      ["audit", 2, "b"],
      ["findings", 1, "a"],
      ["review", 1, "a"],
      ["review", 1, "a"],
      ["review", 2, "b"],
      ["review", 2, "b"],
    ]);
    await history(on.trial.client, id, "chain-two-rounds");
    await history(on.trial.client, `${id}/executor`, "chain-executor");
    await history(on.trial.client, `${id}/reviewer/1`, "chain-reviewer");
  });

  test("a turn of a chain's executor costs at most 20 events", async () => {
    const handle = await begin({ trees: ["a", "b", "c", "d", "e"], answers: { "reviewer-1": ["changes_requested"] } }, { maxRounds: 5 });
    expect(await handle.result()).toMatchObject({ reason: "exhausted" });
    const { activities } = await history(on.trial.client, `${handle.workflowId}/executor`);
    const starts = activities.filter((a) => a.name === "runTurn").map((a) => a.at);
    expect(starts).toHaveLength(5);
    const costs = starts.slice(1).map((at, n) => at - (starts[n] ?? 0));
    expect(Math.max(...costs)).toBeLessThanOrEqual(20);
    // Nothing that is not counted may hide between: a turn has its schedule, start, end and one workflow task at least.
    expect(Math.min(...costs)).toBeGreaterThan(6);
  });

  test("a rejection ends it, whatever the others say", async () => {
    const handle = await begin({ trees: ["a"], answers: { "reviewer-1": ["approved"], "reviewer-2": ["rejected"] } }, { reviewers: 2 });
    expect(await handle.result()).toMatchObject({ reason: "rejected" });
    expect(callsOf("evaluateGates", handle.workflowId)).toEqual([]);
    expect(turnsOf(handle.workflowId)).toHaveLength(3);
  });

  test("the auditor's rejection ends it, its request for changes is another round", async () => {
    const rejected = await begin({ trees: ["a"], answers: { "auditor-1": ["rejected"] } });
    expect(await rejected.result()).toMatchObject({ reason: "rejected", why: expect.stringContaining("auditor") });
    const again = await begin({ trees: ["a", "b"], answers: { "auditor-1": ["changes_requested", "approved"] } });
    expect(await again.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 2") });
  });

  test("exhausted after the last round, unless people add some", async () => {
    const handle = await begin({ trees: ["a", "b"], answers: { "reviewer-1": ["changes_requested"] } }, { maxRounds: 2 });
    expect(await handle.result()).toMatchObject({ reason: "exhausted" });
    expect(turnsOf(handle.workflowId).filter((t) => t.startsWith("executor"))).toHaveLength(2);
    expect(callsOf("finishChain", handle.workflowId)).toHaveLength(1);
  });

  test("no progress: the refused tree again is not reviewed again", async () => {
    const handle = await begin({ trees: ["a", "a"], answers: { "reviewer-1": ["changes_requested"] } });
    expect(await handle.result()).toMatchObject({ reason: "no_progress" });
    expect(turnsOf(handle.workflowId).filter((t) => t.startsWith("reviewer"))).toHaveLength(1);
  });

  test("a verdict after the repair turn counts; none twice needs a human", async () => {
    const repaired = await begin({ trees: ["a"], answers: { "reviewer-1": [null, "approved"] } });
    expect(await repaired.result()).toMatchObject({ reason: "approved" });
    expect(turnsOf(repaired.workflowId)).toContain("reviewer-1:repair_review_1_reviewer-1");
    const mute = await begin({ trees: ["a"], answers: { "reviewer-1": [null] } });
    expect(await mute.result()).toMatchObject({ reason: "needs_human" });
    expect(turnsOf(mute.workflowId).filter((t) => t.startsWith("reviewer"))).toHaveLength(2);
  });

  test("a change after the approval voids it: another round on the new tree", async () => {
    const handle = await begin({ trees: ["a", "b"], answers: approved, unchanged: [false, true] });
    expect(await handle.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 2") });
    expect(callsOf("verifyCandidate", handle.workflowId).map((a) => a["tree"])).toEqual(["a", "b"]);
  });

  /** People write to the executor during the review; its agent is at it until the last look has been there. */
  const spokenTo = async (play: Pick<Play, "trees" | "unchanged">, more = {}) => {
    const handle = await begin(
      {
        ...play,
        answers: approved,
        turn: async (who, { turnId }) => {
          if (who === "reviewer-1") await until("the late turn", () => turnsOf(handle.workflowId).includes("executor:late"));
          if (turnId === "late") await until("the last look", () => callsOf("verifyCandidate", handle.workflowId).length > 0);
          return undefined;
        },
      },
      more,
    );
    await until("the first turn", () => turnsOf(handle.workflowId).length > 0);
    await on.trial.client.workflow.getHandle(`${handle.workflowId}/executor`).signal("input", { inputId: "late" });
    return handle;
  };

  test("the last look waits for the executor's agent: a turn that changed nothing costs no round", async () => {
    const handle = await spokenTo({ trees: ["a"], unchanged: ["busy", true] }, { maxRounds: 1 });
    expect(await handle.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 1") });
    expect(callsOf("verifyCandidate", handle.workflowId)).toHaveLength(2);
    expect(turnsOf(handle.workflowId)).toHaveLength(4);
  });

  test("what a turn of the executor made during the review is judged in the next round, without asking for it", async () => {
    const handle = await spokenTo({ trees: ["a", "b"], unchanged: ["busy", { made: "b" }, true] });
    expect(await handle.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 2") });
    expect(turnsOf(handle.workflowId).filter((turn) => turn.startsWith("executor"))).toHaveLength(2);
    expect(callsOf("startRound", handle.workflowId)).toContainEqual({ chainId: handle.workflowId, round: 2, candidate: candidate("b") });
    expect(callsOf("verifyCandidate", handle.workflowId).map((a) => a["tree"])).toEqual(["a", "a", "b"]);
  });

  test("a chain that waits for its executor's agent is closed at once; after the turn's deadline the executor is asked", async () => {
    const play: Play = { trees: ["a", "b"], answers: approved, unchanged: ["busy", true] };
    const [closed, late] = await Promise.all([begin(play), begin(play, { turnDeadlineSeconds: 8 })]);
    await until("it waits", async () => ((await closed.query("state")) as { phase: string }).phase.includes("waits for the executor"));
    await closed.signal("close", { reason: "enough" });
    expect(await closed.result()).toMatchObject({ reason: "aborted", why: "enough" });
    expect(await late.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 2") });
    expect(turnsOf(late.workflowId)).toContain("executor:findings_1");
  });

  test.each([
    ["findings/1", { trees: ["a"], answers: { "reviewer-1": ["changes_requested"] } }],
    ["review/1/reviewer-1", { trees: ["a"], answers: approved }],
  ] satisfies [string, Play][])(
    "a close does not wait until a full queue has room for %s",
    async (of, play) => {
      let asked = 0;
      const handle = await begin({ ...play, full: (key) => key === of && (asked += 1) > 0 });
      await until("it is asked", () => asked > 0);
      await handle.signal("close", { reason: "enough" });
      await until("it is over", async () => (await handle.describe()).status.name === "COMPLETED");
      expect(await handle.result()).toEqual({ reason: "aborted", why: "enough" });
    },
    15_000,
  );

  test.each([
    ["failed", "failed"],
    ["limit", "failed"],
    ["unknown", "needs_human"],
    ["interrupted", "aborted"],
  ] as const)("an executor's turn that ended %s ends the chain as %s", async (outcome, reason) => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: async (_who, a) => done(a.turnId, { outcome }) });
    expect(await handle.result()).toMatchObject({ reason });
    expect(turnsOf(handle.workflowId)).toHaveLength(1);
  });

  test("without a stable tree there is nothing to review", async () => {
    const handle = await begin({ trees: ["unstable"], answers: approved });
    expect(await handle.result()).toMatchObject({ reason: "failed", why: expect.stringContaining("stable") });
  });

  test("a turn that does not end in time fails the chain and is cancelled, unless people wait on", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: untilCancelled }, { turnDeadlineSeconds: 1 });
    expect(await handle.result()).toMatchObject({ reason: "failed", why: expect.stringContaining("1 s") });
    expect(await endOf(`${handle.workflowId}/executor`)).toMatchObject({ state: "closed" });
  });

  test.each(["cancel", "abort", "close"] as const)("%s ends the work of every session, then the chain", async (how) => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: async (who) => (who === "executor" ? undefined : untilCancelled()) }, { reviewers: 2 });
    const id = handle.workflowId;
    await until("both reviewers at work", () => turnsOf(id).filter((t) => t.startsWith("reviewer")).length === 2);
    if (how === "cancel") await handle.cancel();
    else await handle.signal(how, { reason: "enough" });
    expect(await handle.result()).toEqual({ reason: "aborted", why: how === "cancel" ? "the chain was cancelled" : "enough" });
    for (const member of ["executor", "reviewer/1", "reviewer/2"]) {
      // Not a cancel that races with the close: the sessions were closed before the chain was over.
      expect((await on.trial.client.workflow.getHandle(`${id}/${member}`).describe()).status.name).toBe("COMPLETED");
      expect(await endOf(`${id}/${member}`)).toMatchObject({ state: "closed", reason: "chain ended: aborted" });
    }
    expect(callsOf("finishChain", id)).toHaveLength(1);
    if (how === "cancel") await history(on.trial.client, id, "chain-cancelled");
  });

  test("a chain that is terminated takes its sessions along", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: untilCancelled });
    await until("the executor at work", () => turnsOf(handle.workflowId).length === 1);
    await handle.terminate("test");
    expect(await endOf(`${handle.workflowId}/executor`)).toMatchObject({ state: "closed", reason: "cancelled" });
  });

  test("a session that somebody closes ends the chain", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: async (who) => (who === "executor" ? undefined : untilCancelled()) });
    await until("the reviewer at work", () => turnsOf(handle.workflowId).length === 2);
    await on.trial.client.workflow.getHandle(`${handle.workflowId}/reviewer/1`).signal("close", { reason: "by hand" });
    expect(await handle.result()).toMatchObject({ reason: "aborted" });
  });

  test("the executor's session that somebody closes during the review ends the chain, and the review with it", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: async (who) => (who === "executor" ? undefined : untilCancelled()) });
    await until("the reviewer at work", () => turnsOf(handle.workflowId).length === 2);
    await on.trial.client.workflow.getHandle(`${handle.workflowId}/executor`).signal("close", { reason: "by hand" });
    expect(await handle.result()).toMatchObject({ reason: "aborted", why: expect.stringContaining("by hand") });
    expect(await endOf(`${handle.workflowId}/reviewer/1`)).toMatchObject({ state: "closed" });
  });

  test("a candidate's long statistics are cut on their way to the chain", async () => {
    const handle = await begin({
      trees: [],
      answers: approved,
      turn: async (who, a) => (who === "executor" ? done(a.turnId, { candidate: { ...candidate("a"), diffStat: "x".repeat(300_000) } }) : undefined),
    });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect((await history(on.trial.client, handle.workflowId)).bytes).toBeLessThan(100_000);
  });

  test("nonsense from outside changes nothing", async () => {
    const handle = await begin({
      trees: ["a"],
      answers: approved,
      turn: async (who) => {
        if (who !== "executor") return undefined;
        await new Promise((r) => setTimeout(r, 500));
        return undefined;
      },
    });
    for (const nonsense of [
      null,
      undefined,
      7,
      "text",
      {},
      { sessionUlid: 3 },
      { sessionUlid: `${handle.workflowId}-executor`, turnId: "first", outcome: "completed", candidate: { tree: 3 } },
      { sessionUlid: `${handle.workflowId}-executor`, turnId: "first", outcome: "nonsense" },
    ])
      await handle.signal("turnEnded", nonsense);
    expect(await handle.result()).toMatchObject({ reason: "approved" });
  });
});
