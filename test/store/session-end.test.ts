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
