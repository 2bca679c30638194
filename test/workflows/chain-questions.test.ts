import type { ChainQuestion } from "../../contracts/messages.ts";
import { quietTemporal } from "../support/quiet-temporal.ts";
import { until } from "../support/until.ts";
import { agents, candidate, onChains } from "./chain-world.ts";
import type { Play } from "./chain-world.ts";
import { done, history, untilCancelled } from "./trial.ts";

quietTemporal();

const on = onChains();
const begin = on.begin;
const asked = (chainId: string): ChainQuestion[] => (on.trial.of("askPeople") as ChainQuestion[]).filter((q) => q.chainId === chainId);
const inputs = (chainId: string): Record<string, unknown>[] =>
  (on.trial.of("recordChainInput") as Record<string, unknown>[]).filter((a) => a["chainId"] === chainId && a["kind"] === "again");
const withdrawn = (chainId: string): unknown[] =>
  (on.trial.of("readAnswer") as { approvalId: string; withdraw?: boolean }[]).filter((a) => a.withdraw === true && a.approvalId.startsWith(chainId));
const atWork = (chainId: string, who: string) => () => (on.trial.of("runTurn") as { sessionUlid: string }[]).some((a) => a.sessionUlid === `${chainId}-${who}`);
const verdictTurns = (chainId: string): string[] =>
  (on.trial.of("recordVerdict") as { chainId: string; turnId: string }[]).filter((a) => a.chainId === chainId).map((a) => a.turnId);
const executorOf = (id: string) => on.trial.client.workflow.getHandle(`${id}/executor`);
const approved = { "reviewer-1": ["approved"], "auditor-1": ["approved"] } satisfies Play["answers"];
/** A first turn that ends only when it is cancelled; the others as the play says. */
const firstHangs: Play["turn"] = async (who, a) => (who === "executor" && a.turnId === "first" ? untilCancelled() : undefined);

describe("rounds", () => {
  test("used up, people add some: the findings go back, and the chain goes on", async () => {
    const handle = await begin(
      { trees: ["a", "b"], answers: { "reviewer-1": ["changes_requested", "approved"] }, people: () => ({ decision: "allow", maxRounds: 2 }) },
      { maxRounds: 1 },
    );
    expect(await handle.result()).toMatchObject({ reason: "approved", why: expect.stringContaining("Round 2") });
    expect(asked(handle.workflowId)).toEqual([
      expect.objectContaining({ kind: "rounds", key: "rounds/1", end: { reason: "exhausted", why: expect.stringContaining("Round 1 of 1") } }),
    ]);
    await history(on.trial.client, handle.workflowId, "chain-added-rounds");
  });

  test("the answer may come late, and again when they are used up once more", async () => {
    const given: (2 | 3)[] = [];
    const handle = await begin(
      {
        trees: ["a", "b", "c"],
        answers: { "reviewer-1": ["changes_requested"] },
        people: (q) => (q.key === "rounds/3" ? {} : given.length === 0 ? null : { decision: "allow", maxRounds: q.key === "rounds/1" ? 2 : 3 }),
      },
      { maxRounds: 1 },
    );
    await until("it asks", () => asked(handle.workflowId).length === 1);
    // A hint without an answer behind it changes nothing.
    await handle.signal("answered", {});
    given.push(2);
    await handle.signal("answered", "nonsense");
    expect(await handle.result()).toMatchObject({ reason: "exhausted", why: expect.stringContaining("Round 3 of 3") });
    expect(asked(handle.workflowId).map((q) => q.key)).toEqual(["rounds/1", "rounds/2", "rounds/3"]);
  });
});

describe("a turn that was stopped", () => {
  test("an abort: the chain asks; 'go on' gives the executor its prompt again", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: firstHangs, people: () => ({ decision: "allow" }) });
    const id = handle.workflowId;
    await until("the executor is at work", () => on.trial.of("runTurn").some((a) => (a as { sessionUlid: string }).sessionUlid === `${id}-executor`));
    await executorOf(id).signal("abort", { turnId: "first", drop: [] });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(asked(id)).toEqual([
      expect.objectContaining({ kind: "gate", end: expect.objectContaining({ reason: "aborted" }), turn: { sessionUlid: `${id}-executor`, turnId: "first" } }),
    ]);
    expect(inputs(id)).toEqual([expect.objectContaining({ of: { stopped: "first", asked: "first" }, round: 1, sessionUlid: `${id}-executor` })]);
    await history(on.trial.client, id, "chain-aborted-turn");
  });

  test("an abort: 'end' ends it, by the name of who said so", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: firstHangs });
    await until("the executor is at work", () =>
      on.trial.of("runTurn").some((a) => (a as { sessionUlid: string }).sessionUlid === `${handle.workflowId}-executor`),
    );
    await executorOf(handle.workflowId).signal("abort", { turnId: "first", drop: [] });
    expect(await handle.result()).toMatchObject({ reason: "aborted", why: expect.stringMatching(/executor was aborted; me ended the chain/) });
  });

  test("an interrupting input: its turn takes the place of the first, and nobody is asked", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: firstHangs });
    const id = handle.workflowId;
    await until("the executor is at work", () => on.trial.of("runTurn").some((a) => (a as { sessionUlid: string }).sessionUlid === `${id}-executor`));
    await executorOf(id).signal("input", { inputId: "instead", delivery: "interrupt" });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(asked(id)).toEqual([]);
    expect(on.trial.of("runTurn").filter((a) => (a as { turnId: string }).turnId === "instead")).toHaveLength(1);
  });

  test("an interrupting input that is aborted in its turn: the chain asks then", async () => {
    const handle = await begin({
      trees: ["a"],
      answers: approved,
      turn: async (who, a) => (who === "executor" && ["first", "instead"].includes(a.turnId) ? untilCancelled() : undefined),
    });
    const id = handle.workflowId;
    const works = (turnId: string) => () =>
      on.trial
        .of("runTurn")
        .some((a) => (a as { sessionUlid: string; turnId: string }).sessionUlid === `${id}-executor` && (a as { turnId: string }).turnId === turnId);
    await until("the executor is at work", works("first"));
    await executorOf(id).signal("input", { inputId: "instead", delivery: "interrupt" });
    await until("the interrupting input has its turn", works("instead"));
    await executorOf(id).signal("abort", { turnId: "instead", drop: [] });
    expect(await handle.result()).toMatchObject({ reason: "aborted" });
    expect(asked(id).map((q) => q.turn?.turnId)).toEqual(["instead"]);
  });

  test("somebody gives the aborted session something else to do: its turn is the candidate, the question is taken back", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: firstHangs, people: () => null });
    const id = handle.workflowId;
    await until("the executor is at work", () => on.trial.of("runTurn").some((a) => (a as { sessionUlid: string }).sessionUlid === `${id}-executor`));
    await executorOf(id).signal("abort", { turnId: "first", drop: [] });
    await until("it asks", () => asked(id).length === 1);
    await executorOf(id).signal("input", { inputId: "other", delivery: "queue" });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(withdrawn(id)).toHaveLength(1);
    expect(inputs(id)).toEqual([]);
  });

  test("a reviewer's turn: its verdict is that of the turn that took its place", async () => {
    const handle = await begin({
      trees: ["a"],
      answers: approved,
      turn: async (who, a) => (who === "reviewer-1" && a.turnId.startsWith("review") ? done(a.turnId, { outcome: "interrupted" }) : undefined),
      people: () => ({ decision: "allow" }),
    });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    const id = handle.workflowId;
    const asks = "review_1_reviewer-1";
    expect(inputs(id)).toEqual([expect.objectContaining({ of: { stopped: asks, asked: asks }, sessionUlid: `${id}-reviewer-1` })]);
    expect(verdictTurns(id)[0]).toMatch(/reviewer-1_review_1_reviewer-1_1$/);
  });

  test("a reviewer that is spoken to gives no verdict in that turn: it is asked for one again", async () => {
    const handle = await begin({
      trees: ["a"],
      answers: approved,
      turn: async (who, a) => (who === "reviewer-1" && a.turnId === "review_1_reviewer-1" ? untilCancelled() : undefined),
    });
    const id = handle.workflowId;
    await until("the reviewer is at work", atWork(id, "reviewer-1"));
    agents.add("instead-say-yes");
    await on.trial.client.workflow.getHandle(`${id}/reviewer/1`).signal("input", { inputId: "instead-say-yes", delivery: "interrupt" });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(asked(id)).toEqual([]);
    expect(inputs(id)).toEqual([expect.objectContaining({ of: { stopped: "review_1_reviewer-1", asked: "review_1_reviewer-1" } })]);
    expect(verdictTurns(id)).not.toContain("instead-say-yes");
  });

  test("what an agent asks the stopped session to do answers nothing; people do", async () => {
    const said: string[] = [];
    const handle = await begin({ trees: ["a"], answers: approved, turn: firstHangs, people: () => (said.length === 0 ? null : { decision: "allow" }) });
    const id = handle.workflowId;
    await until("the executor is at work", atWork(id, "executor"));
    await executorOf(id).signal("abort", { turnId: "first", drop: [] });
    await until("it asks", () => asked(id).length === 1);
    agents.add("child-is-done");
    await executorOf(id).signal("input", { inputId: "child-is-done", delivery: "queue" });
    await until("that turn is looked at", () => (on.trial.of("readOrigin") as { inputId: string }[]).some((a) => a.inputId === "child-is-done"));
    expect(withdrawn(id)).toEqual([]);
    said.push("go on");
    await handle.signal("answered", {});
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(inputs(id)).toEqual([expect.objectContaining({ of: { stopped: "first", asked: "first" } })]);
  });

  test("of two stopped reviewers one 'end' is enough, whatever the other one does", async () => {
    const handle = await begin(
      {
        trees: ["a"],
        answers: {},
        turn: async (who, a) => (who === "reviewer-1" ? done(a.turnId, { outcome: "interrupted" }) : who === "reviewer-2" ? untilCancelled() : undefined),
      },
      { reviewers: 2 },
    );
    expect(await handle.result()).toMatchObject({ reason: "aborted", why: expect.stringContaining("me ended the chain") });
    expect(asked(handle.workflowId)).toHaveLength(1);
  });

  test("the failure of one reviewer does not wait for the other", async () => {
    const handle = await begin(
      {
        trees: ["a"],
        answers: {},
        turn: async (who, a) => (who === "reviewer-1" ? done(a.turnId, { outcome: "failed" }) : who === "reviewer-2" ? untilCancelled() : undefined),
      },
      { reviewers: 2 },
    );
    expect(await handle.result()).toMatchObject({ reason: "failed" });
  });

  test("while it asks, a close ends the chain, and so does the end of the session", async () => {
    const turn: Play["turn"] = async (_who, a) => done(a.turnId, { outcome: "interrupted" });
    const closed = await begin({ trees: ["a"], answers: approved, turn, people: () => null });
    await until("it asks", () => asked(closed.workflowId).length === 1);
    await closed.signal("close", { reason: "enough" });
    expect(await closed.result()).toEqual({ reason: "aborted", why: "enough" });
    const left = await begin({ trees: ["a"], answers: approved, turn, people: () => null });
    await until("it asks", () => asked(left.workflowId).length === 1);
    await executorOf(left.workflowId).signal("close", { reason: "by hand" });
    expect(await left.result()).toMatchObject({ reason: "aborted", why: expect.stringContaining("ended before the chain") });
  });
});

describe("limits and deadlines", () => {
  /** The first turn reaches a limit that its session asks about. */
  const limited: Play["turn"] = async (who, a) => (who === "executor" && a.turnId === "first" ? done(a.turnId, { outcome: "limit" }) : undefined);

  test("a raised limit: the session goes on by itself, and the chain with it", async () => {
    const handle = await begin({ trees: ["a"], answers: approved, turn: limited, people: () => ({ decision: "allow", budget: true }) });
    const id = handle.workflowId;
    await until("it asks", () => asked(id).length === 1);
    // What the answer sends.
    await executorOf(id).signal("input", { inputId: "continue", delivery: "queue" });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(inputs(id)).toEqual([]);
  });

  test("reached again in the turn that went on: it is asked again, and 'no' ends it as failed", async () => {
    const handle = await begin({
      trees: ["a"],
      answers: approved,
      turn: async (who, a) => (who === "executor" ? done(a.turnId, { outcome: "limit" }) : undefined),
      people: (q) => (q.turn?.turnId === "first" ? { decision: "allow", budget: true } : { budget: true }),
    });
    const id = handle.workflowId;
    await until("it asks", () => asked(id).length === 1);
    await executorOf(id).signal("input", { inputId: "continue", delivery: "queue" });
    expect(await handle.result()).toMatchObject({ reason: "failed", why: expect.stringContaining("limit") });
    expect(asked(id).map((q) => q.turn?.turnId)).toEqual(["first", "continue"]);
  });

  test("a raised limit, and the turn that goes on is aborted: that is asked about, too", async () => {
    const handle = await begin({
      trees: ["a"],
      answers: approved,
      turn: async (who, a) =>
        who === "executor" && a.turnId === "first"
          ? done(a.turnId, { outcome: "limit" })
          : a.turnId === "continue"
            ? done(a.turnId, { outcome: "interrupted" })
            : undefined,
      people: (q) => ({ decision: "allow", budget: q.turn?.turnId === "first" }),
    });
    const id = handle.workflowId;
    await until("it asks", () => asked(id).length === 1);
    await executorOf(id).signal("input", { inputId: "continue", delivery: "queue" });
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(asked(id).map((q) => q.turn?.turnId)).toEqual(["first", "continue"]);
  });

  test("no end in time: asked whether to wait on; the turn's end is an answer, too", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const handle = await begin(
      {
        trees: ["a"],
        answers: approved,
        turn: async (who, a) => {
          if (who !== "executor") return undefined;
          await held;
          return done(a.turnId, { candidate: candidate("late") });
        },
        // Twice "wait on", then silence.
        people: (q) => (q.key.endsWith("/3") ? null : { decision: "allow" }),
      },
      { turnDeadlineSeconds: 1 },
    );
    const id = handle.workflowId;
    await until("it asks for the third time", () => asked(id).length === 3, 30_000);
    release();
    expect(await handle.result()).toMatchObject({ reason: "approved" });
    expect(new Set(asked(id).map((q) => q.key)).size).toBe(3);
    expect(withdrawn(id)).toHaveLength(1);
  }, 60_000);
});
