import type { Database } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { holds } from "./holds.ts";
import type { Store, Tx } from "./store.ts";

type Conversation = Awaited<ReturnType<Store["sessions"]["conversation"]>>;

/** What the log says of the agent's own conversations. */
export async function conversation(db: Database, sessionUlid: string): Promise<Conversation> {
  const ready = "from event where session_ulid = $1 and type = 'session.agent_ready'";
  const fresh = `select seq ${ready} and data->'resumed' = 'false' order by seq desc limit 1`;
  const row = await db.row<Conversation>(
    `select (select seq ${ready} order by seq limit 1) as first_seq, (${fresh}) as fresh_seq,
      (select data->'resumable' ${ready} order by seq desc limit 1) as resumable,
      (select seq from event where session_ulid = $1 and type = 'input.delivered' order by seq desc limit 1) as delivered_seq,
      (select coalesce(sum((data->'usage'->>'costMicros')::numeric), 0)::bigint
        from event where session_ulid = $1 and type = 'turn.completed' and seq > coalesce((${fresh}), 0)) as cost_micros`,
    [sessionUlid],
  );
  return row ?? { firstSeq: null, freshSeq: null, deliveredSeq: null, resumable: null, costMicros: 0 };
}

/** The conversation is over for good. A repeat says nothing new. */
export async function forgetConversation(db: Database, tx: Tx, a: Parameters<Store["sessions"]["forgetConversation"]>[0]): Promise<boolean> {
  if (!holds(await lockHead(tx, a.sessionUlid), a)) return false;
  await tx.query("update session set provider_session_id = null where session_ulid = $1", [a.sessionUlid]);
  await appendEvents(db, tx, a.sessionUlid, [
    {
      key: `conversation.lost:${a.turnId}`,
      event: { type: "notice.raised", turnId: a.turnId, data: { message: `The agent's conversation cannot be gone on with: ${a.why}.` } },
    },
  ]);
  return true;
}
