import type { BatonEvent, Delta } from "../contracts/event.ts";
import type { Database } from "./database.ts";
import { eventColumns, toEvent } from "./events.ts";

/** What one follower has already: everything up to and including `seq` and `delta`. */
export interface Cursor {
  sessionUlid: string;
  seq: number;
  delta: number;
}
export interface News {
  events: BatonEvent[];
  deltas: Delta[];
}

/** At most so many of each kind for one follower in one read, and events of so many bytes, but always one. */
const most = 500;
const mostBytes = 1_048_576;

interface Waiting {
  cursor: Cursor;
  resolve(news: News): void;
  reject(error: unknown): void;
}

/**
 * The reading counterpart of the append lane: what all followers of this process want goes in one statement a kind, the next
 * when the former has returned. A hundred followers of busy sessions cost two queries a round trip, not two hundred.
 */
export function openReadLane(db: Database): { read(cursor: Cursor): Promise<News> } {
  let queue: Waiting[] = [];
  let running = false;

  async function drain(): Promise<void> {
    running = true;
    while (queue.length > 0) {
      const round = queue;
      queue = [];
      try {
        const found = await readAll(
          db,
          round.map((one) => one.cursor),
        );
        round.forEach((one, at) => one.resolve(found[at]!));
      } catch (error) {
        for (const one of round) one.reject(error);
      }
    }
    running = false;
  }

  return {
    read: (cursor) =>
      new Promise((resolve, reject) => {
        queue.push({ cursor, resolve, reject });
        // After the callbacks of this turn of the loop: a notification wakes many followers at once.
        if (!running) {
          running = true;
          setImmediate(() => void drain());
        }
      }),
  };
}

async function readAll(db: Database, cursors: Cursor[]): Promise<News[]> {
  const wanted = (after: (cursor: Cursor) => number) => [cursors.map((one) => one.sessionUlid), cursors.map(after)];
  const from = "from unnest($1::text[], $2::bigint[]) with ordinality as w(session, after, ord) cross join lateral";
  const [events, deltas] = await Promise.all([
    db.rows<Record<string, unknown> & { ord: number }>(
      `select w.ord, found.* ${from} (select ${eventColumns} from (
        select ${eventColumns}, sum(size) over (order by seq) - size as before from event where session_ulid = w.session and seq > w.after order by seq limit ${most}
      ) page where before < ${mostBytes}) found order by w.ord, found.seq`,
      wanted((one) => one.seq),
    ),
    db.rows<Delta & { ord: number }>(
      `select w.ord, found.* ${from} (select seq, turn_id, item_id, kind, text from delta where session_ulid = w.session and seq > w.after order by seq limit ${most}) found order by w.ord, found.seq`,
      wanted((one) => one.delta),
    ),
  ]);
  const news: News[] = cursors.map(() => ({ events: [], deltas: [] }));
  for (const { ord, ...row } of events) news[ord - 1]?.events.push(toEvent(row));
  for (const { ord, ...row } of deltas) news[ord - 1]?.deltas.push(row as unknown as Delta);
  return news;
}
