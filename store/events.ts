import type { BatonEvent, Delta } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import { type Database, txRow } from "./database.ts";
import { storable } from "./storable.ts";
import type { HeadRow } from "./rows.ts";
import type { KeyedEvent, Tx } from "./store.ts";

/** The event log: reads, and appends of what has no spool position. */
export interface EventStore {
  read(sessionUlid: string, a: { sinceSeq: number; limit: number; types?: string[]; turnId?: string }): Promise<BatonEvent[]>;
  tail(sessionUlid: string, count: number): Promise<BatonEvent[]>;
  deltas(sessionUlid: string, a: { sinceSeq: number; limit: number }): Promise<Delta[]>;
  head(sessionUlid: string): Promise<HeadRow | null>;
  /** allocates seqs under the head's row lock */
  append(sessionUlid: string, events: KeyedEvent[]): Promise<number>;
  appendTx(tx: Tx, sessionUlid: string, events: KeyedEvent[]): Promise<number>;
}

export const headColumns = "session_ulid, last_seq, epoch, owner, spool_id, spool_offset, last_delta";
export const eventColumns = "seq, at, session_ulid, type, data, turn_id, attempt, item_id, parent_item_id, synthetic, raw_ref";

/** The event log: reads, and appends of what has no spool position. */
export function eventStore(db: Database): EventStore {
  return {
    async read(sessionUlid, a) {
      const found = await db.rows<Record<string, unknown>>(
        `select ${eventColumns} from event where session_ulid = $1 and seq > $2 and ($4::text[] is null or type = any($4)) and ($5::text is null or turn_id = $5) order by seq limit $3`,
        [sessionUlid, a.sinceSeq, a.limit, a.types ?? null, a.turnId ?? null],
      );
      return found.map(toEvent);
    },
    async tail(sessionUlid, count) {
      return (
        await db.rows<Record<string, unknown>>(`select ${eventColumns} from event where session_ulid = $1 order by seq desc limit $2`, [sessionUlid, count])
      )
        .map(toEvent)
        .reverse();
    },
    deltas: (sessionUlid, a) =>
      db.rows<Delta>("select seq, turn_id, item_id, kind, text from delta where session_ulid = $1 and seq > $2 order by seq limit $3", [
        sessionUlid,
        a.sinceSeq,
        a.limit,
      ]),
    head: (sessionUlid) => db.row<HeadRow>(`select ${headColumns} from head where session_ulid = $1`, [sessionUlid]),
    append: (sessionUlid, events) => db.transaction((tx) => appendEvents(db, tx, sessionUlid, events)),
    appendTx: (tx, sessionUlid, events) => appendEvents(db, tx, sessionUlid, events),
  };
}

/** Appends in the caller's transaction; holds the head's row lock until its end. Returns last_seq. Error NOT_FOUND: no such session. */
export async function appendEvents(db: Database, tx: Tx, sessionUlid: string, events: KeyedEvent[]): Promise<number> {
  const list = JSON.stringify(events.map(({ key, event }) => ({ ...storable(event), key })));
  const done = await txRow<{ lastSeq: number | null }>(tx, "select append_events($1, $2::jsonb) as last_seq, pg_notify($3, $4)", [
    sessionUlid,
    list,
    db.channel,
    `s:${sessionUlid}`,
  ]);
  if (done?.lastSeq == null) throw new BatonError("NOT_FOUND", `There is no session ${sessionUlid}.`);
  return done.lastSeq;
}

/** The head under its row lock, until the end of the transaction: first lock of every transaction that writes a session. */
export function lockHead(tx: Tx, sessionUlid: string): Promise<HeadRow | null> {
  return txRow<HeadRow>(tx, `select ${headColumns} from head where session_ulid = $1 for update`, [sessionUlid]);
}

/** A row of `event` as the event it is. */
export function toEvent(row: Record<string, unknown>): BatonEvent {
  // what an event does not have is absent, not null
  const event: Record<string, unknown> = {};
  for (const name in row) if (row[name] !== null && !(name === "synthetic" && row[name] === false)) event[name] = row[name];
  return event as unknown as BatonEvent;
}
