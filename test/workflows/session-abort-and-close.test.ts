import { ulid } from "ulid";
import { generationId } from "../../contracts/generation-id.ts";
import { engineQueue } from "../../contracts/messages.ts";
import { quietTemporal } from "../support/quiet-temporal.ts";
import { until } from "../support/until.ts";
import { idle, onSessions } from "./session-world.ts";
import { done, history, untilCancelled } from "./trial.ts";

quietTemporal();

const on = onSessions();

describe("session", () => {
  test("an abort cancels its own turn and nothing else", async () => {
    const [first, dropped, later] = [ulid(), ulid(), ulid()];
    on.turns.set(first, untilCancelled);
    const args = on.trial.args({ inputId: first });
    const handle = await on.trial.startSession(args);
    await until("first turn", () => on.turnsOf(args.sessionUlid).length === 1);
    await handle.signal("input", { inputId: dropped });
    await handle.signal("abort", { turnId: "another", dropQueue: true });
    expect(await handle.query("state")).toMatchObject({ turnId: first, waiting: [dropped] });
    await handle.signal("abort", { turnId: first, dropQueue: true });
    await handle.signal("input", { inputId: later });
    await until("the later turn", () => on.turnsOf(args.sessionUlid).some((a) => a.turnId === later));
    await idle(handle);
    expect(on.turnsOf(args.sessionUlid).map((a) => a.turnId)).toEqual([first, later]);
    expect(
      on
        .failedOf(args.sessionUlid)
        .flatMap((f) => f.inputIds)
        .sort(),
    ).toEqual([first, dropped].sort());
    // Late: its turn is over.
    await handle.signal("abort", { turnId: first });
    await handle.signal("close", {});
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 2 });
    await history(on.trial.client, handle.workflowId, "session-abort");
  });

  test("a result beats the cancel", async () => {
    const first = ulid();
    on.turns.set(first, async (a) => {
      await untilCancelled().catch(() => undefined);
      return done(a.turnId);
    });
    const args = on.trial.args({ inputId: first });
    const handle = await on.trial.startSession(args);
    await until("first turn", () => on.turnsOf(args.sessionUlid).length === 1);
    await handle.signal("abort", { turnId: first });
    await idle(handle);
    expect(on.failedOf(args.sessionUlid)).toEqual([]);
    await handle.terminate();
  });

  test("a result beats the cancel also when its host died before it could tell of it", async () => {
    const first = ulid();
    const candidate = { commit: "c", tree: "t", ref: "r", base: "b", diffStat: "", files: 1 };
    const other = await on.openAnother({
      // It comes too late: the host is silent for longer than it may.
      runTurn: async () => {
        await new Promise((resolve) => setTimeout(resolve, 2_500));
        return done(first);
      },
      failInputs: async () => [{ turnId: first, outcome: "completed", candidate }],
    });
    await other.startHost();
    const chain = await other.startSession(other.args());
    const args = other.args({ inputId: first, beatTimeoutMs: 1_000, chainWorkflowId: chain.workflowId });
    const handle = await other.startSession(args);
    await until("first turn", () => other.of("runTurn").length === 1);
    await handle.signal("abort", { turnId: first });
    const told = async () =>
      (await chain.fetchHistory()).events?.flatMap((event) => event.workflowExecutionSignaledEventAttributes?.input?.payloads ?? []) ?? [];
    await until("the chain is told", async () => (await told()).length > 0);
    expect((await told()).map((payload) => JSON.parse(Buffer.from(payload.data ?? []).toString()) as unknown)).toEqual([
      { sessionUlid: args.sessionUlid, turnId: first, outcome: "completed", candidate },
    ]);
    await Promise.all([handle.terminate(), chain.terminate()]);
  });

  test("a close does not wait for a host that is away", async () => {
    const other = await on.openAnother({});
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
    const other = await on.openAnother({
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
    const other = await on.openAnother({
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
    const other = await on.openAnother({});
    const handle = await other.startSession(other.args({ inputId: first }));
    await until("the turn is scheduled", async () => ((await handle.query("state")) as { turnId: string | null }).turnId === first);
    await Promise.all([handle.signal("abort", { turnId: first, drop: [] }), handle.signal("close", {})]);
    await handle.result();
    expect((other.of("failInputs") as { inputIds: string[] }[]).flatMap((a) => a.inputIds)).toContain(first);
  });

  test("an abort reaches what waited when it was sent, also when that has got its turn since", async () => {
    const [over, since] = [ulid(), ulid()];
    on.turns.set(since, untilCancelled);
    const args = on.trial.args({ inputId: over });
    const handle = await on.trial.startSession(args);
    await handle.signal("input", { inputId: since });
    await until("the second turn", () => on.turnsOf(args.sessionUlid).length === 2);
    await handle.signal("abort", { turnId: over, drop: [since] });
    await until("it is aborted", () => on.failedOf(args.sessionUlid).some((f) => f.inputIds.includes(since)));
    await handle.terminate();
  });
});
