import { batch, claimedTurn, freshStore, said } from "./rows.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
beforeAll(async () => {
  fresh = await freshStore();
});
afterAll(() => fresh.end());

test("many sessions and a door append at once: gapless, each record once", async () => {
  const turns = await Promise.all(Array.from({ length: 5 }, () => claimedTurn(fresh.store)));
  await Promise.all(
    turns.map(async (turn) => {
      for (let i = 0; i < 10; i += 1) {
        const [done] = await Promise.all([
          fresh.store.lane.append(batch(turn, i * 20, [said(`${i}a`), said(`${i}b`)])),
          fresh.store.events.append(turn.sessionUlid, [{ key: `door${i}`, event: { type: "notice.raised", data: { message: "x" } } }]),
        ]);
        expect(done.kind).toBe("applied");
      }
    }),
  );
  for (const { sessionUlid } of turns) {
    const events = await fresh.store.events.read(sessionUlid, { sinceSeq: 0, limit: 1_000 });
    expect(events.map((e) => e.seq)).toEqual(events.map((_, i) => i + 1));
    expect(events.filter((e) => e.type === "message.completed")).toHaveLength(20);
  }
});

test("a repeat after a lost reply is applied once; a wrong offset is told; an old owner is fenced", async () => {
  const turn = await claimedTurn(fresh.store);
  const first = batch(turn, 0, [said("x"), { kind: "delta", turnId: turn.turnId, itemId: "i", stream: "message", text: "d\u0000" }]);
  const done = await fresh.store.lane.append(first);
  expect(await fresh.store.lane.append(first)).toEqual(done);
  expect(await fresh.store.lane.append(batch(turn, 50, [said("y")]))).toEqual({ kind: "retail", offset: 20 });
  await fresh.store.turns.claim({ ...turn, inputId: turn.turnId, generation: 1, attempt: 1, taskToken: null, owner: "keeper-2", minEpoch: 7 });
  expect(await fresh.store.lane.append(batch(turn, 20, [said("z")]))).toEqual({ kind: "fenced" });
  expect(await fresh.store.turns.start({ ...turn, runnerId: "r", pid: 1 })).toBe(false);
  const texts = (await fresh.store.events.read(turn.sessionUlid, { sinceSeq: 0, limit: 100, types: ["message.completed"] })).map((e) => e.data);
  expect(texts).toEqual([{ role: "agent", text: "x" }]);
  expect(await fresh.store.events.deltas(turn.sessionUlid, { sinceSeq: 0, limit: 9 })).toMatchObject([{ seq: 1, text: "d\ufffd" }]);
});

test("a poison record becomes line.unparsed at its place, others go on", async () => {
  const [sick, well] = await Promise.all([claimedTurn(fresh.store), claimedTurn(fresh.store)]);
  const poison = { kind: "event" as const, event: { ...said("p").event, at: "not a time" } };
  const results = await Promise.all([
    fresh.store.lane.append(batch(sick, 0, [said("a"), poison, said("b")])),
    fresh.store.lane.append(batch(well, 0, [said("c")])),
  ]);
  expect(results.map((r) => r.kind)).toEqual(["applied", "applied"]);
  expect((await fresh.store.events.tail(sick.sessionUlid, 3)).map((e) => e.type)).toEqual(["message.completed", "line.unparsed", "message.completed"]);
});

test("the end of a turn settles what hangs open", async () => {
  const turn = await claimedTurn(fresh.store);
  await fresh.store.lane.append(
    batch(turn, 0, [
      { kind: "mark", mark: "prompt.written", turnId: turn.turnId, inputId: turn.turnId },
      { kind: "event", event: { type: "tool.started", itemId: "t1", data: { name: "n", title: "t", kind: "k" } } },
      {
        kind: "event",
        event: { type: "approval.requested", data: { approvalId: `ap-${turn.turnId}`, kind: "permission", title: "t", options: [], requestKey: "r" } },
      },
    ]),
  );
  expect((await fresh.store.inputs.get(turn.turnId))?.state).toBe("delivered");
  const result = { outcome: "completed" as const, usage: { inputTokens: 1, outputTokens: 2, cachedTokens: 0, costMicros: 0 }, providerSessionId: "ps" };
  const end = await fresh.store.turns.complete({ ...turn, result, finalMessage: "done" });
  expect(await fresh.store.turns.complete({ ...turn, result: { ...result, outcome: "failed" }, finalMessage: "" })).toEqual(end);
  expect((await fresh.store.events.tail(turn.sessionUlid, 4)).map((e) => e.type)).toEqual([
    "tool.completed",
    "approval.expired",
    "input.consumed",
    "turn.completed",
  ]);
  expect((await fresh.store.sessions.get(turn.sessionUlid))?.providerSessionId).toBe("ps");
  expect((await fresh.store.turns.claim({ ...turn, inputId: turn.turnId, generation: 1, attempt: 2, taskToken: "t2", owner: "k", minEpoch: 0 })).kind).toBe(
    "done",
  );
});

test("a reader is woken by an append, and by the deadline", async () => {
  const turn = await claimedTurn(fresh.store);
  const head = await fresh.store.events.head(turn.sessionUlid);
  const waiting = fresh.store.feed.wait(turn.sessionUlid, { seq: head!.lastSeq }, 10_000);
  await fresh.store.lane.append(batch(turn, 0, [said("news")]));
  expect((await waiting)?.lastSeq).toBe(head!.lastSeq + 1);
  expect((await fresh.store.feed.wait(turn.sessionUlid, { seq: head!.lastSeq + 1 }, 50))?.lastSeq).toBe(head!.lastSeq + 1);
});
