import pg from "pg";
import { openStore } from "../../store/open-store.ts";
import type { Store } from "../../store/store.ts";
import { freshDatabase } from "../../test/support/fresh-database.ts";
import { batch as laneBatch, claimedTurn } from "../../test/store/rows.ts";
import type { Benchmark, Figures } from "../benchmark.ts";
import type { Ground } from "../ground.ts";

const batch = 100;
const payload = { text: "x".repeat(240), n: 0 };

/** Append throughput with `sessions` that each keep one batch of 100 events of 300 bytes outstanding. */
export function append(sessions: number): Benchmark {
  return {
    name: `append-${sessions}`,
    what: `events per second into the same table with ${sessions} session${sessions === 1 ? "" : "s"}, each with one batch of ${batch} events of about 300 bytes outstanding. Floor: one INSERT from unnest and one UPDATE of the head a batch, on ${connectionsFor(sessions)} connections. Baton: the append lane, fence, offsets and notification included`,
    units: { "events/s": "" },
    steady: "events/s",
    targets: [{ figure: "events/s", of: "ratio", least: 0.25 }],
    open: (ground) => open(ground, sessions),
  };
}

const connectionsFor = (sessions: number): number => (sessions === 1 ? 1 : sessions === 10 ? 10 : 20);
const seconds = 4;

async function open(_ground: Ground, sessions: number) {
  const database = await freshDatabase();
  const store = await openStore({ databaseUrl: database.url, instance: "bench" });
  const pool = new pg.Pool({ connectionString: database.url, max: connectionsFor(sessions) });
  pool.on("error", () => undefined); // its connections are ended with the database
  return {
    floor: () => raw(store, pool, sessions),
    product: () => lane(store, sessions),
    async close() {
      await pool.end();
      await store.close();
      await database.drop();
    },
  };
}

/** The least that keeps a gapless log: the head's row lock, then the rows. */
async function raw(store: Store, pool: pg.Pool, sessions: number): Promise<Figures> {
  const ids = await Promise.all(Array.from({ length: sessions }, async () => (await claimedTurn(store)).sessionUlid));
  const data = Array.from({ length: batch }, (_, n) => JSON.stringify({ ...payload, n }));
  return perSecond(ids, async (id) => {
    await pool.query(
      `with h as (update head set last_seq = last_seq + ${batch} where session_ulid = $1 returning last_seq - ${batch} as base)
       insert into event (session_ulid, seq, at, type, data) select $1, h.base + d.ord, clock_timestamp(), 'notice.raised', d.x::jsonb
       from h, unnest($2::text[]) with ordinality as d(x, ord)`,
      [id, data],
    );
  });
}

async function lane(store: Store, sessions: number): Promise<Figures> {
  const turns = new Map((await Promise.all(Array.from({ length: sessions }, () => claimedTurn(store)))).map((turn) => [turn.sessionUlid, turn]));
  const offsets = new Map<string, number>();
  const at = new Date().toISOString();
  const records = Array.from({ length: batch }, (_, n) => ({
    kind: "event" as const,
    event: { type: "notice.raised" as const, data: { message: payload.text, n }, at },
  }));
  return perSecond([...turns.keys()], async (id) => {
    const next = laneBatch(turns.get(id)!, offsets.get(id) ?? 0, records);
    const result = await store.lane.append(next);
    if (result.kind !== "applied") throw new Error(`the lane refused a batch: ${JSON.stringify(result)}`);
    offsets.set(id, next.records.at(-1)!.end);
  });
}

async function perSecond(ids: string[], once: (id: string) => Promise<void>): Promise<Figures> {
  let count = 0;
  const started = performance.now();
  const end = started + seconds * 1_000;
  await Promise.all(
    ids.map(async (id) => {
      while (performance.now() < end) {
        await once(id);
        count += batch;
      }
    }),
  );
  return { "events/s": count / ((performance.now() - started) / 1_000) };
}
