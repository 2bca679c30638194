import { ApplicationFailure } from "@temporalio/common";
import { ulid } from "ulid";
import { failureTypes } from "../../contracts/failures.ts";
import { quietTemporal } from "../support/quiet-temporal.ts";
import { until } from "../support/until.ts";
import { idle, onSessions } from "./session-world.ts";
import { done, history } from "./trial.ts";

quietTemporal();

const on = onSessions();

describe("session", () => {
  test("a turn costs at most 15 events and 12 KB", async () => {
    const args = on.trial.args({ inputId: ulid() });
    const handle = await on.trial.startSession(args);
    await until("first turn", () => on.turnsOf(args.sessionUlid).length === 1);
    await idle(handle);
    const before = await history(on.trial.client, handle.workflowId);
    const rounds = 5;
    for (let n = 0; n < rounds; n += 1) {
      await handle.signal("input", { inputId: ulid() });
      await until("turn", () => on.turnsOf(args.sessionUlid).length === n + 2);
      await idle(handle);
    }
    const after = await history(on.trial.client, handle.workflowId);
    expect((after.events - before.events) / rounds).toBeLessThanOrEqual(15);
    expect((after.bytes - before.bytes) / rounds).toBeLessThanOrEqual(12 * 1024);
    await handle.signal("close", { reason: "done" });
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "done", turns: rounds + 1 });
    expect(on.trial.of("endSession")).toContainEqual({ sessionUlid: args.sessionUlid, generation: 1, state: "closed", reason: "done", waiting: [] });
    await history(on.trial.client, handle.workflowId, "session-turns");
  });

  test("a repeated signal opens no second turn", async () => {
    const args = on.trial.args();
    const handle = await on.trial.startSession(args);
    const ids = [ulid(), ulid()];
    for (const inputId of [...ids, ...ids, ...ids]) await handle.signal("input", { inputId });
    await until("both turns", () => on.turnsOf(args.sessionUlid).length === 2);
    await handle.signal("input", { inputId: ids[0] });
    await idle(handle);
    expect(on.turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual(ids);
    await handle.cancel();
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "cancelled", turns: 2 });
    expect(on.trial.of("endSession")).toContainEqual(expect.objectContaining({ sessionUlid: args.sessionUlid, state: "closed" }));
  });

  test("an operator's prompt is recorded, nonsense is dropped", async () => {
    const args = on.trial.args();
    const handle = await on.trial.startSession(args);
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
    await until("the operator's turn", () => on.turnsOf(args.sessionUlid).length === 1);
    await idle(handle);
    expect(on.turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual(["op-r1"]);
    expect(await handle.executeUpdate("submit", { args: [{ inputId: "by-update" }] })).toMatchObject({ inputId: "by-update" });
    await expect(handle.executeUpdate("submit", { args: [{ nothing: 1 }] })).rejects.toMatchObject({ cause: { type: "INVALID_ARGUMENT" } });
    await until("the update's turn", () => on.turnsOf(args.sessionUlid).length === 2);
    await handle.signal("close", null);
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 2 });
    await history(on.trial.client, handle.workflowId, "session-operator");
  });

  test("only attempts that had to start the agent again count", async () => {
    const [patient, poison] = [ulid(), ulid()];
    const lost = (respawned: boolean) =>
      ApplicationFailure.create({ type: failureTypes.attemptLost, message: "lost", nonRetryable: true, details: [{ respawned }] });
    on.turns.set(patient, async (a) => {
      if (a.attempt < 4) throw lost(a.attempt === 1);
      return done(a.turnId);
    });
    on.turns.set(poison, async () => {
      throw lost(true);
    });
    const args = on.trial.args({ inputId: patient, turnAttempts: 2 });
    const handle = await on.trial.startSession(args);
    await until("four attempts", () => on.turnsOf(args.sessionUlid).length === 4);
    await handle.signal("input", { inputId: poison });
    await until("two attempts", () => on.failedOf(args.sessionUlid).length === 1);
    expect(on.turnsOf(args.sessionUlid).map((a) => a.attempt)).toEqual([1, 2, 3, 4, 1, 2]);
    expect(on.failedOf(args.sessionUlid)).toEqual([{ sessionUlid: args.sessionUlid, inputIds: [poison], reason: "attempts_exhausted" }]);
    await handle.signal("input", { inputId: "goes-on" });
    await until("the session goes on", () => on.turnsOf(args.sessionUlid).some((a) => a.turnId === "goes-on"));
    await handle.signal("close", {});
    await handle.result();
    await history(on.trial.client, handle.workflowId, "session-attempts");
  });

  test("a host that goes silent costs no counted attempt: the turn waits for it", async () => {
    const first = ulid();
    on.turns.set(first, async (a) => {
      if (a.attempt <= 2) await new Promise((resolve) => setTimeout(resolve, 2_500));
      return done(a.turnId);
    });
    const args = on.trial.args({ inputId: first, beatTimeoutMs: 1_000, turnAttempts: 1 });
    const handle = await on.trial.startSession(args);
    await until("the third attempt", () => on.turnsOf(args.sessionUlid).length === 3);
    await idle(handle);
    expect(on.turnsOf(args.sessionUlid).map((a) => a.attempt)).toEqual([1, 2, 3]);
    expect(on.failedOf(args.sessionUlid)).toEqual([]);
    await handle.terminate();
  });

  test("a workspace that cannot be made fails the session, with all that waited for it", async () => {
    const other = await on.openAnother({
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

  test("a run goes on with what the run before carried over", async () => {
    const args = on.trial.args({ carried: { queue: ["x", "y"], seen: ["done"], workspaceReady: true, turns: 7 } });
    const handle = await on.trial.startSession(args);
    await handle.signal("input", { inputId: "done" });
    await handle.signal("input", { inputId: "z" });
    await until("three turns", () => on.turnsOf(args.sessionUlid).length === 3);
    await idle(handle);
    await handle.signal("close", {});
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 10 });
    expect(on.turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual(["x", "y", "z"]);
    expect(on.trial.of("prepareWorkspace")).not.toContainEqual({ sessionUlid: args.sessionUlid });
    await history(on.trial.client, handle.workflowId, "session-carried");
  });

  test("an idle session that may not close yet is looked at less and less often, and from the start again after a turn", async () => {
    let looks = 0;
    const other = await on.openAnother({ closeIfIdle: async () => (looks += 1) > 4 });
    await other.startHost();
    const handle = await other.startSession(other.args({ idleCloseMs: 250 }));
    const timers = async () => (await history(other.client, handle.workflowId)).timers;
    await until("it waits after three looks", async () => (await timers()).length === 4);
    await handle.signal("input", { inputId: ulid() });
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "idle for 0 s", turns: 1 });
    expect(await timers()).toEqual([250, 500, 1_000, 2_000, 250, 500]);
  });

  test("an idle session that may not close yet hands over to the next run when its history is long", async () => {
    const other = await on.openAnother({ closeIfIdle: async () => false });
    const handle = await other.startSession(other.args({ idleCloseMs: 1_000 }));
    // They do nothing. From 4 MB on Temporal suggests another run.
    const late = { turnId: "over", reason: "x".repeat(200_000) };
    await Promise.all(Array.from({ length: 25 }, () => handle.signal("abort", late)));
    const latest = other.client.workflow.getHandle(handle.workflowId);
    await until("another run", async () => (await latest.describe()).runId !== handle.firstExecutionRunId);
    await latest.terminate();
  });

  test("continue-as-new carries the queue: every input runs once, in order", async () => {
    const args = on.trial.args();
    const handle = await on.trial.startSession(args);
    const ids = Array.from({ length: 400 }, (_, n) => `input-${n}`);
    // One after the other, so that there is an order; turns run meanwhile.
    for (const inputId of ids) await handle.signal("input", { inputId });
    await until("all turns", () => on.turnsOf(args.sessionUlid).length >= ids.length, 150_000);
    await idle(on.trial.client.workflow.getHandle(handle.workflowId) as never);
    const ran = on.turnsOf(args.sessionUlid).map((a) => a.turnId);
    expect(ran).toEqual(ids);
    const runs = await on.trial.client.workflow.getHandle(handle.workflowId).describe();
    expect(runs.runId).not.toBe(handle.firstExecutionRunId);
    const latest = on.trial.client.workflow.getHandle(handle.workflowId);
    await latest.signal("input", { inputId: ids.at(-1) });
    await latest.signal("close", {});
    expect(await latest.result()).toMatchObject({ state: "closed", turns: ids.length });
  }, 180_000);
});
