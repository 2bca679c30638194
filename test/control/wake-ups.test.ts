import { ulid } from "ulid";
import type { Baton } from "../../client/open-baton.ts";
import { onRows } from "./session-rows.ts";

const on = onRows();
/** An event that changes no status. */
const say = (sessionUlid: string, text: string) =>
  on.store.events.append(sessionUlid, [{ key: ulid(), event: { type: "message.completed", data: { role: "agent", text } } }]);

describe("wait", () => {
  test("idle, turn, attention and closed come after the cursor; any and all; by root and by task", async () => {
    const one = await on.session({ contextRef: "TASK-W-1" });
    const two = await on.session({ contextRef: "TASK-W-1", role: "reviewer", parentUlid: one });
    const now = async (args: Parameters<Baton["sessions"]["wait"]>[0]) => (await on.baton.sessions.wait({ waitMs: 0, ...args }))["met"];
    const first = await on.turn(one);
    expect(await now({ sessionUlids: [one, two], until: "idle" })).toBe(true);
    expect(await now({ sessionUlids: [one, two], until: "idle", mode: "all" })).toBe(false);
    expect(await now({ sessionUlids: [one], until: "turn" })).toBe(false);
    await first.end();
    expect(await now({ sessionUlids: [one], until: "turn" })).toBe(true);
    const { sessions } = (await on.baton.sessions.wait({ sessionUlids: [one], until: "idle" })) as { sessions: { cursors: { events: number } }[] };
    const cursor = sessions[0]!.cursors.events;
    for (const until of ["idle", "turn", "attention"] as const) expect(await now({ sessionUlids: [one], until, cursors: { [one]: cursor } })).toBe(false);
    // The cursor may be given by name, too.
    const { name } = (await on.baton.sessions.get({ sessionUlid: one })) as { name: string };
    expect(await now({ sessionUlids: [name], until: "turn", cursors: { [name]: cursor - 1 } })).toBe(true);
    const queued = await on.turn(one);
    expect(await now({ sessionUlids: [one], until: "idle", cursors: { [one]: 0 } })).toBe(false);
    await queued.end({ outcome: "unknown" });
    expect(await now({ sessionUlids: [one], until: "attention", cursors: { [one]: cursor } })).toBe(true);
    expect(await now({ sessionUlids: [one], until: "attention", cursors: { [one]: 1_000_000 } })).toBe(false);
    expect(await now({ rootUlid: one, until: "idle", mode: "all" })).toBe(true);
    expect(await now({ taskKey: "W-1", until: "closed" })).toBe(false);
    const closing = now({ taskKey: "W-1", until: "closed", waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await on.store.sessions.end({ sessionUlid: two, generation: 1, state: "closed", reason: "test" });
    expect(await closing).toBe(true);
    expect(await now({ taskKey: "W-1", until: "closed", mode: "all" })).toBe(false);
    await expect(on.baton.sessions.wait({})).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(on.baton.sessions.wait({ sessionUlids: [one], taskKey: "W-1" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      detail: { field: "taskKey" },
    });
    await expect(on.baton.sessions.wait({ sessionUlids: ["no-such"] })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("no wake-up is lost: what happens while it looks ends it", async () => {
    for (let round = 0; round < 20; round += 1) {
      const sessionUlid = await on.session({ contextRef: `TASK-L-${round}` });
      const running = await on.turn(sessionUlid);
      const head = (await on.store.events.head(sessionUlid))!.lastSeq;
      const waiting = on.baton.sessions.wait({ sessionUlids: [sessionUlid], until: "turn", cursors: { [sessionUlid]: head }, waitMs: 25_000 });
      await new Promise((resolve) => setTimeout(resolve, round));
      await running.end();
      expect(await waiting).toMatchObject({ met: true, sessions: [{ sessionUlid, lastTurn: { outcome: "completed" } }] });
    }
  }, 60_000);
});

test("live_deltas sleeps through events that change no status, and ends at one that does", async () => {
  const sessionUlid = await on.session();
  const running = await on.turn(sessionUlid);
  let done = false;
  const waiting = on.baton.sessions.liveDeltas({ sessionUlid, waitMs: 20_000 }).finally(() => (done = true));
  for (let i = 0; i < 5; i += 1) await say(sessionUlid, "news");
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(done).toBe(false);
  await running.end();
  expect(await waiting).toMatchObject({ deltas: [], status: "IDLE", done: false });
});
