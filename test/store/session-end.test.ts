import { ulid } from "ulid";
import { freshStore, newSession } from "./rows.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
beforeAll(async () => {
  fresh = await freshStore();
});
afterAll(() => fresh.end());

async function withInput(): Promise<{ sessionUlid: string; inputId: string }> {
  const { sessionUlid } = await newSession(fresh.store);
  const { row } = await fresh.store.transaction((tx) =>
    fresh.store.inputs.insert(tx, { inputId: ulid(), sessionUlid, prompt: "x", delivery: "queue", source: "test", requestId: null, limit: 50 }),
  );
  return { sessionUlid, inputId: row.inputId };
}
const state = async (inputId: string) => (await fresh.store.inputs.get(inputId))?.state;

test("an input that came too late for a session without a workspace fails with it; one whose session can be woken waits on", async () => {
  const [never, gone] = [await withInput(), await withInput()];
  await fresh.store.sessions.workspaceFailed(never.sessionUlid, "no such commit");
  for (const { sessionUlid } of [never, gone]) await fresh.store.sessions.end({ sessionUlid, generation: 1, state: "failed", reason: "x" });
  expect([await state(never.inputId), await state(gone.inputId)]).toEqual(["failed", "recorded"]);
  const events = await fresh.store.events.read(never.sessionUlid, { sinceSeq: 0, limit: 100, types: ["input.failed"] });
  expect(events).toEqual([expect.objectContaining({ data: { inputId: never.inputId, reason: "workspace_failed" } })]);
});

test("who starts a workflow hears that its generation was closed meanwhile", async () => {
  const { sessionUlid } = await newSession(fresh.store);
  expect(await fresh.store.sessions.markStarted(sessionUlid, 1, "run")).toBeNull();
  await fresh.store.sessions.end({ sessionUlid, generation: 1, state: "closed", reason: "by hand" });
  expect(await fresh.store.sessions.markStarted(sessionUlid, 1, "run")).toBe("by hand");
});

describe("a chain's session that closes while its chain is open", () => {
  const put = (sessionUlid: string, source: string, requestId: string | null = null) =>
    fresh.store.transaction(async (tx) => {
      const input = { inputId: ulid(), sessionUlid, prompt: "x", delivery: "queue", source, requestId, limit: 50 } as const;
      return (await fresh.store.inputs.insert(tx, input)).row.inputId;
    });
  async function chained() {
    const chainId = ulid();
    const [executor, reviewer] = [await newSession(fresh.store, { chainId }), await newSession(fresh.store, { chainId, role: "reviewer" })];
    const chain = { chainId, workflowId: chainId, taskKey: chainId, principal: "p", config: {}, executorUlid: executor.sessionUlid };
    await fresh.store.transaction((tx) => fresh.store.chains.insert(tx, chain));
    return { chainId, sessionUlid: executor.sessionUlid, reviewer: reviewer.sessionUlid };
  }
  const close = (sessionUlid: string, waiting: string[] = []) =>
    fresh.store.sessions.end({ sessionUlid, generation: 1, state: "closed", reason: "x", waiting });
  const generation = async (sessionUlid: string) => (await fresh.store.sessions.get(sessionUlid))?.generation;

  test("goes on for a message that came meanwhile, not for what the chain had asked", async () => {
    const { chainId, sessionUlid } = await chained();
    const asked = await put(sessionUlid, "chain", `chain:${chainId}/findings/1`);
    const message = await put(sessionUlid, "somebody");
    await close(sessionUlid, [asked]);
    expect([await generation(sessionUlid), await state(asked), await state(message)]).toEqual([2, "failed", "recorded"]);
    await fresh.store.chains.finish(chainId, "aborted", "x");
    expect([await generation(sessionUlid), await state(message)]).toEqual([2, "recorded"]);
  });

  test("is not woken by its chain, by another session of it, or by what waited before", async () => {
    const { chainId, sessionUlid, reviewer } = await chained();
    const asked = await put(sessionUlid, "chain", `chain:${chainId}/findings/1`);
    const before = await put(sessionUlid, "somebody");
    await put(sessionUlid, `session:${reviewer}`);
    await close(sessionUlid, [before]);
    expect(await generation(sessionUlid)).toBe(1);
    await fresh.store.chains.finish(chainId, "aborted", "x");
    expect([await state(asked), await state(before)]).toEqual(["failed", "recorded"]);
    const events = await fresh.store.events.read(sessionUlid, { sinceSeq: 0, limit: 100, types: ["input.failed"] });
    expect(events).toEqual([expect.objectContaining({ data: { inputId: asked, reason: "chain_ended" } })]);
  });
});
