import { ulid } from "ulid";
import { onBaton } from "../client/on-baton.ts";
import { claimedTurn } from "../store/rows.ts";

const on = onBaton();

const ask = (sessionUlid: string, turnId: string, approvalId: string) => {
  const data = { approvalId, kind: "permission" as const, title: "May I?", options: [], requestKey: "k" };
  return on.store.events.append(sessionUlid, [{ key: approvalId, event: { type: "approval.requested", turnId, data } }]);
};

test("a final message that is cut says so, and where it is whole; a row of a list says what to answer", async () => {
  const turn = await claimedTurn(on.store);
  const { sessionUlid, turnId } = turn;
  const whole = `It is done.\n\n${"More of it. ".repeat(600)}`;
  const usage = { inputTokens: 1, outputTokens: 1, cachedTokens: 0, costMicros: 0 };
  await on.store.turns.complete({ ...turn, result: { outcome: "completed", usage, providerSessionId: "t" }, finalMessage: whole });
  await ask(sessionUlid, turnId, "asked");
  type Turn = { finalMessage: string; truncated: { finalMessage: { resource: string } } };
  const { lastTurn } = (await on.baton.sessions.get({ sessionUlid })) as { lastTurn: Turn };
  expect(lastTurn).toMatchObject({ finalMessage: whole.slice(0, 4_000), truncated: { finalMessage: { truncated: true, bytes: Buffer.byteLength(whole) } } });
  const sinceSeq = Number(/^session:\/\/\w+\/events\/(\d+)$/.exec(lastTurn.truncated.finalMessage.resource)?.[1]);
  const { events } = (await on.baton.sessions.events({ sessionUlid, sinceSeq, maxBytes: 204_800 })) as { events: unknown[] };
  expect(events[0]).toMatchObject({ type: "turn.completed", data: { finalMessage: whole } });
  const { sessions } = (await on.baton.sessions.list({})).data;
  expect(sessions).toMatchObject([{ attention: [{ kind: "approval", approvalId: "asked", seq: expect.any(Number), say: "May I?" }] }]);
  // An older turn, cut in the middle of a character.
  await on.sql.query("update turn set final_message = $2 where session_ulid = $1", [sessionUlid, `${"x".repeat(3_999)}\u{1F642}`]);
  const { lastTurn: odd } = (await on.baton.sessions.get({ sessionUlid, turnId })) as { lastTurn: Turn };
  expect([odd.finalMessage.isWellFormed(), odd.truncated.finalMessage.resource]).toEqual([true, `session://${sessionUlid}/transcript`]);
});

test("a page goes on at its place, also when what was there has gone; what is no cursor, state or status is refused", async () => {
  const { sessionUlid, turnId } = await claimedTurn(on.store);
  const ids = Array.from({ length: 5 }, () => ulid());
  for (const approvalId of ids) await ask(sessionUlid, turnId, approvalId);
  const page = async (cursor: string) =>
    ((await on.baton.sessions.approvals({ sessionUlid, limit: 2, cursor, state: "OPEN" })).data["approvals"] as { approvalId: string }[]).map(
      (one) => one.approvalId,
    );
  const { page: first } = await on.baton.sessions.approvals({ sessionUlid, limit: 2 });
  expect(await page(ids[3]!)).toEqual([ids[2], ids[1]]);
  await on.sql.query("delete from approval where approval_id = $1", [ids[3]]);
  expect(await page(first!.nextCursor)).toEqual([ids[2], ids[1]]);
  for (const cursor of ["bogus", ids[3]!, "", "12."])
    await expect(page(cursor)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "cursor" } });
  // Another's approval is no place of one's own.
  await expect(on.baton.sessions.approvals({ cursor: ids[0]!, reach: { owner: "somebody else" } })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(on.baton.sessions.approvals({ state: "nonsense" })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { allowed: expect.any(Array) } });
  for (const cursor of ["zzz", "", "NONE-1/executor-1"])
    await expect(on.baton.sessions.list({ cursor })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "cursor" } });
  const newest = (await on.baton.sessions.list({ limit: 500 })).data["sessions"] as { sessionUlid: string }[];
  const behind = (await on.baton.sessions.list({ limit: 1, cursor: newest[0]!.sessionUlid.toLowerCase() })).data["sessions"] as { sessionUlid: string }[];
  expect(behind.map((one) => one.sessionUlid)).toEqual([newest[1]!.sessionUlid]);
});
