import { ApplicationFailure } from "@temporalio/common";
import { ulid } from "ulid";
import { failureTypes } from "../../contracts/failures.ts";
import { generationId } from "../../contracts/generation-id.ts";
import { engineQueue } from "../../contracts/messages.ts";
import type { RunTurnArgs } from "../../contracts/messages.ts";
import { quietTemporal } from "../support/quiet-temporal.ts";
import { until } from "../support/until.ts";
import { done, history, openTrial, untilCancelled } from "./trial.ts";

quietTemporal();

type Trial = Awaited<ReturnType<typeof openTrial>>;
let trial: Trial;
/** What `runTurn` does, by turn; a turn that is not here completes at once. */
const turns = new Map<string, (a: RunTurnArgs) => Promise<ReturnType<typeof done>>>();

beforeAll(async () => {
  trial = await openTrial({ runTurn: (a) => (turns.get(a.turnId) ?? (async () => done(a.turnId)))(a) });
  await trial.startHost();
});
afterAll(() => trial.close());

/** For one test alone; closed behind it, whether it passes or not. */
const others: Trial[] = [];
async function openAnother(activities: Parameters<typeof openTrial>[0]): Promise<Trial> {
  const other = await openTrial(activities);
  others.push(other);
  return other;
}
afterEach(() => Promise.all(others.splice(0).map((other) => other.close())));

const turnsOf = (sessionUlid: string): RunTurnArgs[] => (trial.of("runTurn") as RunTurnArgs[]).filter((a) => a.sessionUlid === sessionUlid);
const failedOf = (sessionUlid: string): { inputIds: string[]; reason: string }[] =>
  (trial.of("failInputs") as { sessionUlid: string; inputIds: string[]; reason: string }[]).filter((a) => a.sessionUlid === sessionUlid);

describe("session", () => {
  test("a turn costs at most 15 events and 12 KB", async () => {
    const args = trial.args({ inputId: ulid() });
    const handle = await trial.startSession(args);
    await until("first turn", () => turnsOf(args.sessionUlid).length === 1);
    await idle(handle);
    const before = await history(trial.client, handle.workflowId);
    const rounds = 5;
    for (let n = 0; n < rounds; n += 1) {
      await handle.signal("input", { inputId: ulid() });
      await until("turn", () => turnsOf(args.sessionUlid).length === n + 2);
      await idle(handle);
    }
    const after = await history(trial.client, handle.workflowId);
    expect((after.events - before.events) / rounds).toBeLessThanOrEqual(15);
    expect((after.bytes - before.bytes) / rounds).toBeLessThanOrEqual(12 * 1024);
    await handle.signal("close", { reason: "done" });
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "done", turns: rounds + 1 });
    expect(trial.of("endSession")).toContainEqual({ sessionUlid: args.sessionUlid, generation: 1, state: "closed", reason: "done", waiting: [] });
    await history(trial.client, handle.workflowId, "session-turns");
  });

  test("a repeated signal opens no second turn", async () => {
    const args = trial.args();
    const handle = await trial.startSession(args);
    const ids = [ulid(), ulid()];
    for (const inputId of [...ids, ...ids, ...ids]) await handle.signal("input", { inputId });
    await until("both turns", () => turnsOf(args.sessionUlid).length === 2);
    await handle.signal("input", { inputId: ids[0] });
    await idle(handle);
    expect(turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual(ids);
    await handle.cancel();
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "cancelled", turns: 2 });
    expect(trial.of("endSession")).toContainEqual(expect.objectContaining({ sessionUlid: args.sessionUlid, state: "closed" }));
  });

  test("an abort cancels its own turn and nothing else", async () => {
    const [first, dropped, later] = [ulid(), ulid(), ulid()];
    turns.set(first, untilCancelled);
    const args = trial.args({ inputId: first });
    const handle = await trial.startSession(args);
    await until("first turn", () => turnsOf(args.sessionUlid).length === 1);
    await handle.signal("input", { inputId: dropped });
    await handle.signal("abort", { turnId: "another", dropQueue: true });
    expect(await handle.query("state")).toMatchObject({ turnId: first, waiting: [dropped] });
    await handle.signal("abort", { turnId: first, dropQueue: true });
    await handle.signal("input", { inputId: later });
    await until("the later turn", () => turnsOf(args.sessionUlid).some((a) => a.turnId === later));
    await idle(handle);
    expect(turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual([first, later]);
    expect(
      failedOf(args.sessionUlid)
        .flatMap((f) => f.inputIds)
        .sort(),
    ).toEqual([first, dropped].sort());
    // Late: its turn is over.
    await handle.signal("abort", { turnId: first });
    await handle.signal("close", {});
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 2 });
    await history(trial.client, handle.workflowId, "session-abort");
  });

  test("a result beats the cancel", async () => {
    const first = ulid();
    turns.set(first, async (a) => {
      await untilCancelled().catch(() => undefined);
      return done(a.turnId);
    });
    const args = trial.args({ inputId: first });
    const handle = await trial.startSession(args);
    await until("first turn", () => turnsOf(args.sessionUlid).length === 1);
    await handle.signal("abort", { turnId: first });
    await idle(handle);
    expect(failedOf(args.sessionUlid)).toEqual([]);
    await handle.terminate();
  });

  test("an operator's prompt is recorded, nonsense is dropped", async () => {
    const args = trial.args();
    const handle = await trial.startSession(args);
    for (const nonsense of [
      undefined,
      null,
      7,
      "text",
      [],
      {},
      { prompt: 3 },
      { inputId: { a: 1 } },
      { prompt: "x", delivery: "now" },
      { inputId: "no spaces here" },
    ])
      await handle.signal("input", nonsense);
    for (const nonsense of [null, 7, "text"]) {
      await handle.signal("abort", nonsense);
    }
    await handle.signal("input", { prompt: "please", requestId: "r1" });
    await handle.signal("input", { prompt: "please", requestId: "r1" });
    await until("the operator's turn", () => turnsOf(args.sessionUlid).length === 1);
    await idle(handle);
    expect(turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual(["op-r1"]);
    expect(await handle.executeUpdate("submit", { args: [{ inputId: "by-update" }] })).toMatchObject({ inputId: "by-update" });
    await expect(handle.executeUpdate("submit", { args: [{ nothing: 1 }] })).rejects.toMatchObject({ cause: { type: "INVALID_ARGUMENT" } });
    await until("the update's turn", () => turnsOf(args.sessionUlid).length === 2);
    await handle.signal("close", null);
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 2 });
    await history(trial.client, handle.workflowId, "session-operator");
  });

  test("only attempts that had to start the agent again count", async () => {
    const [patient, poison] = [ulid(), ulid()];
    const lost = (respawned: boolean) =>
      ApplicationFailure.create({ type: failureTypes.attemptLost, message: "lost", nonRetryable: true, details: [{ respawned }] });
    turns.set(patient, async (a) => {
      if (a.attempt < 4) throw lost(a.attempt === 1);
      return done(a.turnId);
    });
    turns.set(poison, async () => {
      throw lost(true);
    });
    const args = trial.args({ inputId: patient, turnAttempts: 2 });
    const handle = await trial.startSession(args);
    await until("four attempts", () => turnsOf(args.sessionUlid).length === 4);
    await handle.signal("input", { inputId: poison });
    await until("two attempts", () => failedOf(args.sessionUlid).length === 1);
    expect(turnsOf(args.sessionUlid).map((a) => a.attempt)).toEqual([1, 2, 3, 4, 1, 2]);
    expect(failedOf(args.sessionUlid)).toEqual([{ sessionUlid: args.sessionUlid, inputIds: [poison], reason: "attempts_exhausted" }]);
    await handle.signal("input", { inputId: "goes-on" });
    await until("the session goes on", () => turnsOf(args.sessionUlid).some((a) => a.turnId === "goes-on"));
    await handle.signal("close", {});
    await handle.result();
    await history(trial.client, handle.workflowId, "session-attempts");
  });

  test("a host that goes silent costs no counted attempt: the turn waits for it", async () => {
    const first = ulid();
    turns.set(first, async (a) => {
      if (a.attempt <= 2) await new Promise((resolve) => setTimeout(resolve, 2_500));
      return done(a.turnId);
    });
    const args = trial.args({ inputId: first, beatTimeoutMs: 1_000, turnAttempts: 1 });
    const handle = await trial.startSession(args);
    await until("the third attempt", () => turnsOf(args.sessionUlid).length === 3);
    await idle(handle);
    expect(turnsOf(args.sessionUlid).map((a) => a.attempt)).toEqual([1, 2, 3]);
    expect(failedOf(args.sessionUlid)).toEqual([]);
    await handle.terminate();
  });

  test("a workspace that cannot be made fails the session, with all that waited for it", async () => {
    const other = await openAnother({
      runTurn: async () => {
        throw ApplicationFailure.nonRetryable("no such commit", failureTypes.workspaceFailed);
      },
    });
    await other.startHost();
    const [first, second] = [ulid(), ulid()];
    const args = other.args({ carried: { queue: [first, second], seen: [], workspaceReady: false, turns: 0 } });
    const handle = await other.startSession(args);
    expect(await handle.result()).toMatchObject({ state: "failed", reason: "workspace_failed: no such commit" });
    expect(other.of("endSession")).toHaveLength(1);
    expect(other.of("runTurn")).toHaveLength(1);
    expect(other.of("failInputs")).toEqual([{ sessionUlid: args.sessionUlid, inputIds: [first, second], reason: "workspace_failed" }]);
    await history(other.client, handle.workflowId, "session-workspace-failed");
  });

  test("a close does not wait for a host that is away", async () => {
    const other = await openAnother({});
    const args = other.args({ inputId: ulid() });
    const handle = await other.startSession(args);
    await until("the turn is scheduled", async () => ((await handle.query("state")) as { turnId: string | null }).turnId === args.inputId);
    await handle.signal("close", { reason: "no host" });
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "no host", turns: 1 });
  });

  test("a second close while the session ends takes the turn along that no host had, with what came after it", async () => {
    const [first, late] = [ulid(), ulid()];
    let ends = 0;
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const other = await openAnother({
      endSession: async () => {
        ends += 1;
        if (ends === 1) await held;
      },
    });
    // No host: the close leaves the first input recorded, for a next generation.
    const args = other.args({ carried: { queue: [first], seen: [], workspaceReady: true, turns: 0 } });
    const handle = await other.startSession(args);
    await until("the turn is scheduled", async () => ((await handle.query("state")) as { turnId: string | null }).turnId === first);
    await handle.signal("close", { reason: "first" });
    await until("it ends", () => ends === 1);
    await handle.signal("input", { inputId: late });
    await handle.signal("close", { reason: "second" });
    // What the late input woke: it takes all that waits, and no host is there for it either.
    const next = await other.client.workflow.start("session", {
      workflowId: generationId(args.sessionUlid, 2),
      taskQueue: engineQueue(other.instance),
      args: [{ ...args, generation: 2, carried: { queue: [first, late], seen: [], workspaceReady: true, turns: 0 } }],
    });
    release();
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "first" });
    expect(await next.result()).toMatchObject({ state: "closed" });
  });

  test.each(["before", "after"])("an abort that names the turn of a closing session ends its input, %s the session's end is written", async (when) => {
    const first = ulid();
    const held = Promise.withResolvers<void>();
    let ends = 0;
    const other = await openAnother({
      endSession: async () => {
        ends += 1;
        if (ends === 1) await held.promise;
      },
    });
    const args = other.args({ inputId: first });
    const handle = await other.startSession(args);
    await until("the turn is scheduled", async () => ((await handle.query("state")) as { turnId: string | null }).turnId === first);
    await handle.signal("close", { reason: "first" });
    if (when === "after") await until("it ends", () => ends === 1);
    await handle.signal("abort", { turnId: first, drop: [] });
    // What another input woke has taken the first one over: the rows alone would be too late for it.
    const next = await other.client.workflow.start("session", {
      workflowId: generationId(args.sessionUlid, 2),
      taskQueue: engineQueue(other.instance),
      args: [{ ...args, inputId: undefined, generation: 2, carried: { queue: [first], seen: [], workspaceReady: true, turns: 0 } }],
    });
    await until("the next has its turn", async () => ((await next.query("state")) as { turnId: string | null }).turnId === first);
    held.resolve();
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "first" });
    const failed = () =>
      (other.of("failInputs") as { inputIds: string[]; reason: string }[]).filter((a) => a.reason === "aborted" && a.inputIds.includes(first));
    expect(failed()).not.toEqual([]);
    await until("its turn is cancelled there", async () => ((await next.query("state")) as { turnId: string | null }).turnId === null);
    await next.signal("close", {});
    await next.result();
  });

  test("an abort and then at once a close: the input that no host had is aborted, not left for a next generation", async () => {
    const first = ulid();
    const other = await openAnother({});
    const handle = await other.startSession(other.args({ inputId: first }));
    await until("the turn is scheduled", async () => ((await handle.query("state")) as { turnId: string | null }).turnId === first);
    await Promise.all([handle.signal("abort", { turnId: first, drop: [] }), handle.signal("close", {})]);
    await handle.result();
    expect((other.of("failInputs") as { inputIds: string[] }[]).flatMap((a) => a.inputIds)).toContain(first);
  });

  test("an abort reaches what waited when it was sent, also when that has got its turn since", async () => {
    const [over, since] = [ulid(), ulid()];
    turns.set(since, untilCancelled);
    const args = trial.args({ inputId: over });
    const handle = await trial.startSession(args);
    await handle.signal("input", { inputId: since });
    await until("the second turn", () => turnsOf(args.sessionUlid).length === 2);
    await handle.signal("abort", { turnId: over, drop: [since] });
    await until("it is aborted", () => failedOf(args.sessionUlid).some((f) => f.inputIds.includes(since)));
    await handle.terminate();
  });

  test("a run goes on with what the run before carried over", async () => {
    const args = trial.args({ carried: { queue: ["x", "y"], seen: ["done"], workspaceReady: true, turns: 7 } });
    const handle = await trial.startSession(args);
    await handle.signal("input", { inputId: "done" });
    await handle.signal("input", { inputId: "z" });
    await until("three turns", () => turnsOf(args.sessionUlid).length === 3);
    await idle(handle);
    await handle.signal("close", {});
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 10 });
    expect(turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual(["x", "y", "z"]);
    expect(trial.of("prepareWorkspace")).not.toContainEqual({ sessionUlid: args.sessionUlid });
    await history(trial.client, handle.workflowId, "session-carried");
  });

  test("continue-as-new carries the queue: every input runs once, in order", async () => {
    const args = trial.args();
    const handle = await trial.startSession(args);
    const ids = Array.from({ length: 400 }, (_, n) => `input-${n}`);
    // One after the other, so that there is an order; turns run meanwhile.
    for (const inputId of ids) await handle.signal("input", { inputId });
    await until("all turns", () => turnsOf(args.sessionUlid).length >= ids.length, 55_000);
    await idle(trial.client.workflow.getHandle(handle.workflowId) as never);
    const ran = turnsOf(args.sessionUlid).map((a) => a.turnId);
    expect(ran).toEqual(ids);
    const runs = await trial.client.workflow.getHandle(handle.workflowId).describe();
    expect(runs.runId).not.toBe(handle.firstExecutionRunId);
    const latest = trial.client.workflow.getHandle(handle.workflowId);
    await latest.signal("input", { inputId: ids.at(-1) });
    await latest.signal("close", {});
    expect(await latest.result()).toMatchObject({ state: "closed", turns: ids.length });
  });
});

async function idle(handle: { query(name: string): Promise<unknown> }): Promise<void> {
  await until("idle", async () => {
    const state = (await handle.query("state")) as { turnId: string | null; waiting: string[] };
    return state.turnId === null && state.waiting.length === 0;
  });
}
