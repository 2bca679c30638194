import type { BatonEvent } from "../contracts/event.ts";
import { type Database, fromJson } from "./database.ts";
import { toEvent } from "./events.ts";

/** Reads of the log that stay small, however long it is. */
export interface EventPages {
  /** Up to `limit` events after `sinceSeq` (`newest`: the last ones), oldest first; texts cut at `textMost` characters. `most`: bytes of them, texts as they are cut, behind which it stops */
  read(
    session: { sessionUlid?: string; name?: string },
    a: { sinceSeq: number; limit: number; textMost: number; most: number; types?: string[]; turnId?: string; newest?: boolean },
  ): Promise<{ sessionUlid: string; lastSeq: number; closed: boolean; purged: boolean; events: PagedEvent[] } | null>;
  /** inputs' texts by id, cut at `most` characters */
  prompts(inputIds: string[], most: number): Promise<Map<string, string>>;
}

const plain = "seq, at, session_ulid, type, turn_id, attempt, item_id, parent_item_id, synthetic, raw_ref";
/** Some events and where the log stands, in one statement and one value. What does not fit is not read: only its size is looked at. */
const pageOf = (
  order: "asc" | "desc",
  session: string,
) => `select h.last_seq as last_seq, s.closed_at is not null as closed, s.purge is not null as purged, s.session_ulid, (select json_agg(e order by e.seq) from (
  select ${plain}, case when size > $4 then cut_event(data, $4) else data end as data, case when size > $4 then size end as bytes from (
    select ${plain}, data, size, sum(least(size, $4)) over (order by seq ${order} rows between unbounded preceding and current row) - least(size, $4) as before
    from event where session_ulid = s.session_ulid and seq > $2 and ($5::text[] is null or type = any($5)) and ($6::text is null or turn_id = $6) order by seq ${order} limit $3
  ) x where x.before < $7
) e) as events from session s join head h using (session_ulid) where s.${session} = $1`;

/** Reads of the log that stay small, however long it is. */
export function eventPages(db: Database): EventPages {
  return {
    async read(session, a) {
      const [page] = await db.wideRows<Page>(pageOf(a.newest ? "desc" : "asc", session.name === undefined ? "session_ulid" : "name"), [
        session.name ?? session.sessionUlid,
        a.sinceSeq,
        a.limit,
        a.textMost,
        a.types ?? null,
        a.turnId ?? null,
        a.most,
      ]);
      return page ? { ...page, events: (page.events ?? []).map((row) => toEvent(fromJson(row))) } : null;
    },
    async prompts(inputIds, most) {
      const rows = await db.rows<{ inputId: string; prompt: string }>("select input_id, left(prompt, $2) as prompt from input where input_id = any($1)", [
        inputIds,
        most,
      ]);
      return new Map(rows.map((row) => [row.inputId, row.prompt]));
    },
  };
}

interface Page {
  sessionUlid: string;
  lastSeq: number;
  closed: boolean;
  purged: boolean;
  /** oldest first; null: none */
  events: Record<string, unknown>[] | null;
}

/** `bytes`: of its data's JSON, when that was above the longest text that was asked for. */
export type PagedEvent = BatonEvent & { bytes?: number };
