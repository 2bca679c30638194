import { createSessionActivities } from "../../activities/session-activities.ts";
import { readConfig } from "../../contracts/config.schema.ts";
import { BatonError } from "../../contracts/failures.ts";
import type { SessionRow } from "../../store/rows.ts";
import { freshStore, newSession } from "../store/rows.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
beforeAll(async () => {
  fresh = await freshStore();
});
afterAll(() => fresh.end());

const started: string[] = [];
let startSession = async (row: SessionRow): Promise<void> => void started.push(row.workflowId);
const activities = () =>
  createSessionActivities({
    store: fresh.store,
    config: readConfig({ BATON_HOME: "/nowhere", BATON_INSTANCE: "test", BATON_HOST_ID: "h" }),
    startSession: (row) => startSession(row),
  });
const record = ({ sessionUlid }: SessionRow) => activities().recordOperatorInput({ sessionUlid, requestId: "r", prompt: "on", delivery: "queue" });
const close = ({ sessionUlid }: SessionRow) => fresh.store.sessions.end({ sessionUlid, generation: 1, state: "closed", reason: "x" });
const notices = async ({ sessionUlid }: SessionRow) =>
  (await fresh.store.events.read(sessionUlid, { sinceSeq: 0, limit: 100, types: ["notice.raised"] })).map(
    (event) => (event.data as { message: string }).message,
  );
const now = async ({ sessionUlid }: SessionRow) => {
  const row = (await fresh.store.sessions.get(sessionUlid))!;
  return { generation: row.generation, open: row.closedAt === null, waits: (await fresh.store.inputs.pending(sessionUlid)).length };
};

describe("an operator's input that is recorded behind the end of its session", () => {
  test("wakes it, and its generation is started, also by the repeat of one that died there", async () => {
    const session = await newSession(fresh.store);
    await close(session);
    const living = startSession;
    startSession = () => Promise.reject(new BatonError("UNAVAILABLE", "killed here"));
    await expect(record(session)).rejects.toThrow("killed here");
    startSession = living;
    const { inputId } = (await record(session))!;
    expect(await now(session)).toEqual({ generation: 2, open: true, waits: 1 });
    expect((await fresh.store.inputs.get(inputId))?.generation).toBe(2);
    expect(started).toEqual([`${session.workflowId}~2`]);
  });

  test("is refused with a notice when another session has its work", async () => {
    const session = await newSession(fresh.store);
    await close(session);
    await newSession(fresh.store, { contextRef: session.contextRef });
    expect(await record(session)).toBeNull();
    expect(await now(session)).toEqual({ generation: 1, open: false, waits: 0 });
    expect(await notices(session)).toEqual([expect.stringContaining("another open one has its work")]);
  });

  test("is refused with a notice when the workspace could not be made", async () => {
    const session = await newSession(fresh.store);
    await fresh.store.sessions.workspaceFailed(session.sessionUlid, "no such commit");
    await fresh.store.sessions.end({ sessionUlid: session.sessionUlid, generation: 1, state: "failed", reason: "workspace_failed" });
    expect(await record(session)).toBeNull();
    expect(await now(session)).toEqual({ generation: 1, open: false, waits: 0 });
    expect(await notices(session)).toEqual([expect.stringContaining("workspace could not be made")]);
  });

  test("leaves nothing in a session that was purged", async () => {
    const session = await newSession(fresh.store);
    const purge = { at: "x", by: "p", actor: "a", deleteFiles: true, counts: {}, bytes: {}, worktreePath: "/w", branchName: null };
    await fresh.store.transaction((tx) => fresh.store.purge.begin(tx, { sessionUlid: session.sessionUlid, purge }));
    expect(await record(session)).toBeNull();
    expect(await now(session)).toEqual({ generation: 1, open: false, waits: 0 });
    expect(await notices(session)).toEqual([]);
  });
});
