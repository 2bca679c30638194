import pg from "pg";
import { ulid } from "ulid";
import { batch, claimedTurn, freshStore, said } from "./rows.ts";

/** A newer Baton may add columns while an older one runs: connections keep the plans of their statements, and a plan must not depend on them. */
test("columns that are added while it runs do not disturb an open store", async () => {
  const { store, url, end } = await freshStore();
  const db = new pg.Client(url);
  await db.connect();
  try {
    const turn = await claimedTurn(store);
    const chainId = ulid();
    const taskKey = "T-1";
    const missing = ulid();
    const everything = async (): Promise<void> => {
      await store.sessions.get(turn.sessionUlid);
      await store.facts.list({ limit: 5 });
      await store.sessions.unstarted(0, 60_000);
      await store.inputs.get(turn.turnId);
      await store.inputs.pending(turn.sessionUlid);
      await store.inputs.unsignalled(0);
      await store.turns.get(turn.sessionUlid, turn.turnId);
      await store.turns.list(turn.sessionUlid);
      await store.turns.unreported("h");
      await claimAgain();
      await store.events.read(turn.sessionUlid, { sinceSeq: 0, limit: 5 });
      await store.events.tail(turn.sessionUlid, 5);
      await store.events.deltas(turn.sessionUlid, { sinceSeq: 0, limit: 5 });
      await store.events.head(turn.sessionUlid);
      await store.runners.live("h");
      await store.runners.bySession(turn.sessionUlid);
      await store.hosts.takeInbox("h");
      await store.approvals.get(missing);
      await store.approvals.list({ sessionUlid: turn.sessionUlid, limit: 5 });
      await store.approvals.undelivered(turn.sessionUlid);
      await store.tasks.project("P");
      await store.tasks.get(taskKey);
      await store.tasks.list({ limit: 5 });
      await store.transaction((tx) => store.tasks.setStatus(tx, { taskKey, to: "in_progress" })).catch(refusedByRule);
      await store.chains.get(chainId);
      await store.chains.unstarted(0, 60_000);
      await store.chains.verdicts(chainId);
    };
    const claimAgain = () =>
      store.turns.claim({
        sessionUlid: turn.sessionUlid,
        turnId: turn.turnId,
        inputId: turn.turnId,
        generation: 1,
        attempt: 1,
        taskToken: "t",
        owner: "o",
        minEpoch: 0,
      });
    // On every connection of the pool, so that the second round meets those plans again.
    const append = async (): Promise<void> => {
      const one = await claimedTurn(store);
      expect(await store.lane.append(batch(one, 0, [said("x")]))).toMatchObject({ kind: "applied" });
    };
    await Promise.all(Array.from({ length: 10 }, everything));
    await Promise.all(Array.from({ length: 10 }, append));
    const { rows } = await db.query<{ name: string }>("select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'schema_info'");
    for (const { name } of rows) await db.query(`alter table ${pg.escapeIdentifier(name)} add column of_a_newer_baton text not null default 'x'`);
    await Promise.all(Array.from({ length: 10 }, everything));
    await Promise.all(Array.from({ length: 10 }, append));
    // Nor do they show up in what is read.
    expect(Object.keys((await store.inputs.get(turn.turnId)) ?? {})).not.toContain("ofANewerBaton");
  } finally {
    await db.end();
    await end();
  }
}, 60_000);

/** A task that is not there, or is there already: what matters is that the statement ran. */
function refusedByRule(error: unknown): void {
  if ((error as { name?: string }).name !== "BatonError") throw error;
}
