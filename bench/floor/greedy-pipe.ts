import pg from "pg";
import { type Figures, latencies } from "../benchmark.ts";
import type { Ground } from "../ground.ts";
import { msSince } from "../orders.ts";

/** Pieces of text from a timer to a table to a listening reader, as plainly as it can be done and still be durable. */
export async function greedyPipe(
  ground: Ground,
  a: { sources: number; perSecond: number; seconds: number },
): Promise<{ run(): Promise<Figures>; close(): Promise<void> }> {
  const admin = new pg.Client(ground.postgresUrl);
  const writer = new pg.Client(ground.postgresUrl);
  const reader = new pg.Client(ground.postgresUrl);
  await Promise.all([admin.connect(), writer.connect(), reader.connect()]);
  await admin.query("create table floor_piece (id bigint generated always as identity primary key, source int not null, text text not null)");
  await reader.query("listen floor");

  async function run(): Promise<Figures> {
    const samples: number[] = [];
    let queue: { source: number; text: string }[] = [];
    let flushing = false;
    let cursor = Number((await admin.query<{ id: string | null }>("select max(id) id from floor_piece")).rows[0]?.id ?? 0);
    let reading: Promise<void> | null = null;
    const read = async (): Promise<void> => {
      for (let more = true; more;) {
        const { rows } = await reader.query<{ id: string; text: string }>("select id, text from floor_piece where id > $1 order by id", [cursor]);
        for (const row of rows) samples.push(msSince(BigInt(row.text)));
        more = rows.length > 0;
        cursor = Number(rows.at(-1)?.id ?? cursor);
      }
      reading = null;
    };
    const heard = (): void => void (reading ??= read());
    reader.on("notification", heard);
    const flush = async (): Promise<void> => {
      flushing = true;
      while (queue.length > 0) {
        const round = queue;
        queue = [];
        await writer.query(
          "with i as (insert into floor_piece (source, text) select * from unnest($1::int[], $2::text[]) returning 1) select pg_notify('floor', '') from i limit 1",
          [round.map((one) => one.source), round.map((one) => one.text)],
        );
      }
      flushing = false;
    };
    const start = performance.now();
    const total = a.seconds * a.perSecond;
    // Each source at its own moments, so that they do not come in step.
    const due = Array.from({ length: a.sources }, (_, source) => ({ source, n: 0, at: start + (source * 1_000) / a.perSecond / a.sources }));
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        const now = performance.now();
        for (const one of due) {
          while (one.n < total && one.at <= now) {
            queue.push({ source: one.source, text: String(process.hrtime.bigint()) });
            one.n += 1;
            one.at += 1_000 / a.perSecond;
          }
        }
        if (queue.length > 0 && !flushing) void flush();
        if (due.every((one) => one.n >= total)) resolve();
        else setTimeout(tick, 1);
      };
      tick();
    });
    for (const end = performance.now() + 5_000; samples.length < total * a.sources && performance.now() < end;) {
      heard();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    reader.off("notification", heard);
    await (reading as Promise<void> | null);
    return latencies(samples);
  }

  return {
    run,
    async close() {
      await admin.query("drop table floor_piece");
      await Promise.all([admin.end(), writer.end(), reader.end()]);
    },
  };
}
