import { ActivityFailure, ApplicationFailure, CancelledFailure, RetryState, TimeoutFailure, TimeoutType } from "@temporalio/common";
import { failureTypes } from "../../contracts/failures.ts";
import type { TurnEnded } from "../../contracts/messages.ts";
import { attemptPause, readAttemptError } from "../../workflows/attempt-outcome.ts";
import { dequeue, enqueue, openQueue, readInputSignal, removeFrom } from "../../workflows/input-queue.ts";
import { maxMessageBytes, messageBytes, sending, small } from "../../workflows/message-size.ts";
import { allPassed, endByProgress, endByRounds, endByTurn, endByVerdicts, stableCandidate } from "../../workflows/round-rules.ts";
import { readTurnEnded, shortNews } from "../../workflows/turn-news.ts";
import { candidate } from "./chain-world.ts";

describe("input queue", () => {
  test("first in, first out; an interrupt goes first; each id once, even after it left", () => {
    const queue = openQueue();
    expect([enqueue(queue, "a", "queue"), enqueue(queue, "b", "steer"), enqueue(queue, "c", "interrupt"), enqueue(queue, "a", "interrupt")]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect([dequeue(queue), dequeue(queue)]).toEqual(["c", "a"]);
    expect(enqueue(queue, "c", "queue")).toBe(false);
    expect(removeFrom(queue, ["b", "never"])).toEqual(["b"]);
    expect(enqueue(queue, "b", "queue")).toBe(false);
    expect(dequeue(queue)).toBeUndefined();
  });
  test("what is carried over is a copy and still known", () => {
    const carried = { queue: ["a"], seen: ["z"] };
    const queue = openQueue(carried);
    dequeue(queue);
    expect(carried).toEqual({ queue: ["a"], seen: ["z"] });
    expect([enqueue(queue, "z", "queue"), enqueue(queue, "a", "queue")]).toEqual([false, false]);
  });
  test("a full queue and its memory stay far below a message's limit", () => {
    const queue = openQueue();
    const id = (n: number): string => String(n).padStart(64, "0");
    for (let n = 0; n < 300; n += 1) {
      enqueue(queue, id(n), "queue");
      dequeue(queue);
    }
    let taken = 0;
    for (let n = 1_000; n < 9_000; n += 1) if (enqueue(queue, id(n), "queue")) taken += 1;
    expect(taken).toBe(1_000);
    expect(queue.seen).toHaveLength(200);
    expect(enqueue(queue, id(0), "queue")).toBe(false);
    expect(messageBytes(queue)).toBeLessThan(maxMessageBytes / 2);
  });
  test.each([[{ inputId: "a" }], [{ inputId: "a", delivery: "interrupt" }], [{ prompt: "x" }], [{ prompt: "x", requestId: "r", delivery: "steer" }]])(
    "%j is an input",
    (body) => {
      expect(readInputSignal(body)).toEqual(body);
    },
  );
  test.each([
    [null],
    [7],
    ["a"],
    [[]],
    [{}],
    [{ inputId: "" }],
    [{ inputId: "../a" }],
    [{ prompt: "  " }],
    [{ prompt: "x", requestId: "" }],
    [{ prompt: "x", requestId: "r".repeat(201) }],
    [{ inputId: "a", delivery: "now" }],
  ])("%j is none", (body) => {
    expect(readInputSignal(body)).toBeNull();
  });
});

describe("what the end of an attempt means", () => {
  const inActivity = (cause: Error): ActivityFailure => new ActivityFailure("failed", "runTurn", "1", RetryState.MAXIMUM_ATTEMPTS_REACHED, "w", cause);
  const lost = (details: unknown[]): ActivityFailure =>
    inActivity(ApplicationFailure.create({ type: failureTypes.attemptLost, message: "lost", nonRetryable: true, details }));
  test.each([
    ["our cancel", inActivity(new CancelledFailure("x")), { kind: "cancelled" }],
    ["rows that are gone", inActivity(ApplicationFailure.nonRetryable("x", failureTypes.sessionGone)), { kind: "gone" }],
    ["a host that went silent", inActivity(new TimeoutFailure("x", undefined, TimeoutType.HEARTBEAT)), { kind: "lost", counts: false, wait: false }],
    ["a second claim", inActivity(ApplicationFailure.nonRetryable("x", failureTypes.fenced)), { kind: "lost", counts: false, wait: true }],
    ["an agent that had to start again", lost([{ respawned: true }]), { kind: "lost", counts: true, wait: false }],
    ["an agent that lived on", lost([{ respawned: false }]), { kind: "lost", counts: false, wait: false }],
    ["a loss without details", lost([]), { kind: "lost", counts: false, wait: false }],
    ["any other failure", inActivity(ApplicationFailure.nonRetryable("x", "Other")), { kind: "lost", counts: true, wait: true }],
    ["no failure of Temporal's", new Error("x"), { kind: "lost", counts: true, wait: true }],
  ])("%s", (_name, error, expected) => {
    expect(readAttemptError(error)).toMatchObject(expected);
  });
  test("pauses: none for three tries that may go at once, then doubling to 30 s", () => {
    expect([1, 2, 3, 4, 5, 6, 20].map((n) => attemptPause(n, false))).toEqual([0, 0, 0, 1, 2, 4, 30]);
    expect([1, 2, 5, 6, 20].map((n) => attemptPause(n, true))).toEqual([1, 2, 16, 30, 30]);
  });
});

describe("rules of a round", () => {
  const turn = (outcome: TurnEnded["outcome"]): TurnEnded => ({
    sessionUlid: "s",
    turnId: "t",
    outcome,
    failure: { class: "auth", message: "no key", retryable: false },
  });
  test("outcomes", () => {
    expect((["completed", "interrupted", "failed", "limit", "unknown"] as const).map((o) => endByTurn("executor", turn(o))?.reason)).toEqual([
      undefined,
      "aborted",
      "failed",
      "failed",
      "needs_human",
    ]);
    expect(endByTurn("executor", turn("failed"))?.why).toContain("auth: no key");
  });
  test("only a tree that held still counts", () => {
    expect(stableCandidate({ ...turn("completed"), candidate: candidate("a") })?.tree).toBe("a");
    expect(stableCandidate({ ...turn("completed"), candidate: candidate("unstable") })).toBeNull();
    expect(stableCandidate(turn("completed"))).toBeNull();
  });
  test("verdicts, gates, rounds, progress", () => {
    const verdict = (decision: "approved" | "changes_requested" | "rejected") => ({ decision, score: 1, findings: 0, blockers: 0, tree: "t" });
    expect(endByVerdicts("reviewer", [verdict("approved"), verdict("rejected")])?.reason).toBe("rejected");
    expect(endByVerdicts("reviewer", [verdict("approved"), verdict("changes_requested")])).toBeNull();
    expect([
      allPassed([]),
      allPassed([{ name: "a", passed: true, why: "" }]),
      allPassed([
        { name: "a", passed: true, why: "" },
        { name: "b", passed: false, why: "" },
      ]),
    ]).toEqual([false, true, false]);
    expect(endByRounds(1, 2, [])).toBeNull();
    expect(
      endByRounds(2, 2, [
        { name: "b", passed: false, why: "low" },
        { name: "a", passed: true, why: "fine" },
      ]),
    ).toEqual({ reason: "exhausted", why: "Round 2 of 2 did not pass (b: low)" });
    expect(endByProgress(candidate("a"), { ...candidate("a"), commit: "other" })?.reason).toBe("no_progress");
    expect(endByProgress(candidate("a"), candidate("b"))).toBeNull();
  });
});

describe("messages", () => {
  test("a message has at most 256 KB, in bytes and not in characters", async () => {
    const fits = "x".repeat(maxMessageBytes - 2);
    expect(small(fits)).toBe(fits);
    expect(() => small(`${fits}x`)).toThrow("limit");
    expect(() => small("ä".repeat(maxMessageBytes / 2))).toThrow("limit");
    const sent: unknown[] = [];
    const out = sending({
      tell: async (a: unknown) => {
        sent.push(a);
        return 1;
      },
    });
    expect(await out.tell("a")).toBe(1);
    await expect(out.tell(`${fits}x`)).rejects.toThrow("limit");
    expect(sent).toEqual(["a"]);
  });
  test("news of a turn: checked when it comes, cut before it goes", () => {
    const news: TurnEnded = { sessionUlid: "s", turnId: "t", outcome: "completed", candidate: candidate("a") };
    expect(readTurnEnded(news)).toEqual(news);
    for (const nonsense of [
      null,
      7,
      [],
      { ...news, turnId: 1 },
      { ...news, outcome: "fine" },
      { ...news, candidate: null },
      { ...news, candidate: { tree: "a" } },
      { ...news, failure: "x" },
    ])
      expect(readTurnEnded(nonsense)).toBeNull();
    const long = shortNews({
      ...news,
      candidate: { ...candidate("a"), diffStat: "x".repeat(9_000) },
      failure: { class: "c", message: "y".repeat(9_000), retryable: true },
    });
    expect([long.candidate?.diffStat.length, long.failure?.message.length, long.candidate?.tree]).toEqual([2_000, 2_000, "a"]);
    expect(shortNews({ sessionUlid: "s", turnId: "t", outcome: "failed" })).toEqual({ sessionUlid: "s", turnId: "t", outcome: "failed" });
  });
});
