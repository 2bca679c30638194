import { openBaton, type Baton } from "../../client/open-baton.ts";
import { batch, claimedTurn, freshStore, said } from "../store/rows.ts";
import { until } from "../support/until.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
let baton: Baton;
beforeAll(async () => {
  fresh = await freshStore();
  baton = await openBaton({
    databaseUrl: fresh.url,
    temporalAddress: "127.0.0.1:1",
    temporalNamespace: "default",
    instance: "test",
    home: "/nonexistent",
    hostId: "h",
    hostBeatTimeoutMs: 15_000,
    turnAttempts: 3,
    inputQueue: 50,
    inspectRepository: () => Promise.reject(new Error("not here")),
    searchPath: "",
  });
});
afterAll(async () => {
  await baton?.close();
  await fresh?.end();
});

const delta = (turnId: string, text: string) => ({ kind: "delta" as const, turnId, itemId: "i", stream: "message" as const, text });

/** Follows until `count` deltas came; what came, in order, and the cursors at the end. */
async function followUntil(sessionUlid: string, count: number, from: { sinceSeq?: number; sinceDelta?: number } = {}) {
  const seqs: number[] = [];
  const texts: string[] = [];
  for await (const news of baton.sessions.follow({ sessionUlid, ...from })) {
    seqs.push(...news.events.map((event) => event.seq));
    texts.push(...news.deltas.map((one) => one.text));
    if (texts.length >= count) return { seqs, texts, sinceSeq: news.sinceSeq, sinceDelta: news.sinceDelta };
  }
  throw new Error("the feed ended by itself");
}

test("many followers of many sessions see everything once, in order, while it is written, and go on by cursor elsewhere", async () => {
  const turns = await Promise.all(Array.from({ length: 5 }, () => claimedTurn(fresh.store)));
  const followers = turns.flatMap((turn) => [followUntil(turn.sessionUlid, 40), followUntil(turn.sessionUlid, 40)]);
  await Promise.all(
    turns.map(async (turn) => {
      for (let n = 0, start = 0; n < 40; n += 1) {
        const next = batch(turn, start, [delta(turn.turnId, `piece ${n}`), said(`message ${n}`)]);
        expect(await fresh.store.lane.append(next)).toMatchObject({ kind: "applied" });
        start = next.records.at(-1)!.end;
      }
    }),
  );
  for (const { seqs, texts } of await Promise.all(followers)) {
    expect(texts).toEqual(Array.from({ length: 40 }, (_, n) => `piece ${n}`));
    expect(seqs).toEqual(seqs.map((_, n) => n + 1));
  }
  const [turn] = turns;
  const half = await followUntil(turn!.sessionUlid, 1, { sinceDelta: 20 });
  expect(half.texts).toEqual(Array.from({ length: 20 }, (_, n) => `piece ${n + 20}`));
});

test("an abort ends it, also while nothing happens; an unknown session is an error", async () => {
  const turn = await claimedTurn(fresh.store);
  const stop = new AbortController();
  let pieces = 0;
  let over = false;
  const following = (async () => {
    for await (const news of baton.sessions.follow({ sessionUlid: turn.sessionUlid }, stop.signal)) pieces += news.events.length;
    over = true;
  })();
  await until("what is there was read", () => pieces > 0, 10_000);
  expect(over).toBe(false);
  stop.abort();
  await following;
  await expect(baton.sessions.follow({ sessionUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV" }).next()).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("live_deltas with gatherMs 0 answers with the first piece, before there is a second", async () => {
  const turn = await claimedTurn(fresh.store);
  const answer = baton.sessions.liveDeltas({ sessionUlid: turn.sessionUlid, sinceSeq: 0, waitMs: 20_000, gatherMs: 0 });
  await fresh.store.lane.append(batch(turn, 0, [delta(turn.turnId, "first")]));
  expect((await answer)["deltas"]).toMatchObject([{ text: "first" }]);
});
