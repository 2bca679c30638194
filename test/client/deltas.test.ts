import pg from "pg";
import { ulid } from "ulid";
import { batch, claimedTurn } from "../store/rows.ts";
import { onBaton } from "./on-baton.ts";

const on = onBaton();

type Turn = Awaited<ReturnType<typeof claimedTurn>>;
const delta = (turnId: string, text: string) => ({ kind: "delta" as const, turnId, itemId: "i", stream: "message" as const, text });
async function nextTurn({ sessionUlid, owner }: Turn): Promise<Turn> {
  const turnId = ulid();
  await on.store.transaction((tx) =>
    on.store.inputs.insert(tx, { inputId: turnId, sessionUlid, prompt: "on", delivery: "queue", source: "test", requestId: null, limit: 50 }),
  );
  const claim = await on.store.turns.claim({ sessionUlid, turnId, inputId: turnId, generation: 1, attempt: 1, taskToken: "t", owner, minEpoch: 0 });
  if (claim.kind !== "claimed") throw new Error(claim.kind);
  await on.store.turns.switchSpool({ sessionUlid, epoch: claim.head.epoch, owner, spoolId: "spool" });
  return { sessionUlid, turnId, epoch: claim.head.epoch, owner };
}
async function end(turn: Turn): Promise<void> {
  const usage = { inputTokens: 0, outputTokens: 0, cachedTokens: 0, costMicros: 0 };
  await on.store.turns.complete({ ...turn, result: { outcome: "completed", usage, providerSessionId: "thread" }, finalMessage: "" });
}
/** A session whose turn spoke `pieces` pieces, of which later turns that said nothing have left none. */
async function silentSince(pieces: number): Promise<Turn> {
  let turn = await claimedTurn(on.store);
  await on.store.lane.append(
    batch(
      turn,
      0,
      Array.from({ length: pieces }, (_, n) => delta(turn.turnId, `piece ${n}`)),
    ),
  );
  await end(turn);
  for (let n = 0; n < 2; n += 1) await end((turn = await nextTurn(turn)));
  return turn;
}
/** How many statements this process sends to any Postgres while `body` runs. */
async function statements(body: () => Promise<unknown>): Promise<number> {
  const real = Reflect.get(pg.Client.prototype, "query") as (...args: unknown[]) => unknown;
  let sent = 0;
  Reflect.set(pg.Client.prototype, "query", function count(this: pg.Client, ...args: unknown[]) {
    sent += 1;
    return real.apply(this, args);
  });
  try {
    await body();
    return sent;
  } finally {
    Reflect.set(pg.Client.prototype, "query", real);
  }
}

test("a cursor before deltas of which none are kept says so after a wait that asks Postgres now and then", async () => {
  const { sessionUlid } = await silentSince(5);
  let answer: Record<string, unknown> = {};
  const sent = await statements(async () => {
    answer = await on.baton.sessions.liveDeltas({ sessionUlid, sinceSeq: 2, waitMs: 3_000 });
  });
  expect(answer).toMatchObject({ deltas: [], expired: true, firstSeq: 6, nextSeq: 5, truncated: false });
  // Three rounds of the safety poll and what they are opened with, not one statement after the other.
  expect(sent).toBeLessThan(40);
  // The cursor that was answered is one to go on from.
  const again = await on.baton.sessions.liveDeltas({ sessionUlid, sinceSeq: 5 });
  expect(again).toMatchObject({ deltas: [], nextSeq: 5 });
  expect(again).not.toHaveProperty("expired");
  // Nothing was missed by who asks for the first time.
  const first = await on.baton.sessions.liveDeltas({ sessionUlid });
  expect(first).toMatchObject({ deltas: [], nextSeq: 5 });
  expect(first).not.toHaveProperty("expired");
}, 30_000);

test("an expired cursor hears of the next piece, and from where they are kept", async () => {
  const turn = await nextTurn(await silentSince(5));
  const waiting = on.baton.sessions.liveDeltas({ sessionUlid: turn.sessionUlid, sinceSeq: 0, waitMs: 20_000 });
  await on.store.lane.append(batch(turn, (await on.store.events.head(turn.sessionUlid))!.spoolOffset, [delta(turn.turnId, "new")]));
  expect(await waiting).toMatchObject({ deltas: [{ seq: 6, text: "new" }], expired: true, firstSeq: 6, nextSeq: 6 });
});
