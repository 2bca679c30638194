import { openIn } from "./chain-questions.ts";
import { type Database } from "./database.ts";
import type { Tx } from "./store.ts";

/** Who wants to be told, by an input, each time a session has settled. */
export interface SettleWatch {
  sessionUlid: string;
  parentUlid: string;
  /** the session is a chain's executor: it settles with the chain */
  chainId: string | null;
  /** what was told last */
  lastKey: string | null;
}
export interface SettleStore {
  watch(tx: Tx, a: { sessionUlid: string; parentUlid: string; chainId: string | null }): Promise<void>;
  /** those whose session has news that were not looked at, the longest unseen first */
  changed(limit: number): Promise<SettleWatch[]>;
  /** looked at up to `seq`; `key`: what the parent was told of */
  seen(sessionUlid: string, seq: number, key: string | null): Promise<void>;
}

export function settleStore(db: Database): SettleStore {
  return {
    async watch(tx, a) {
      await tx.query("insert into settle_watch (session_ulid, parent_ulid, chain_id) values ($1, $2, $3)", [a.sessionUlid, a.parentUlid, a.chainId]);
    },
    changed: (limit) =>
      db.rows<SettleWatch>(
        `select w.session_ulid, w.parent_ulid, w.chain_id, w.last_key from settle_watch w join head h using (session_ulid) left join chain c using (chain_id)
        where h.last_seq > w.seen_seq or (c.state = 'ended' and w.last_key is distinct from 'chain:' || c.chain_id)
          or (c.state is not distinct from 'open' and (select 'approval:' || a.approval_id from approval a where ${openIn("w.chain_id")} order by a.asked_at desc, a.approval_id desc limit 1) <> coalesce(w.last_key, ''))
        order by h.updated_at limit $1`,
        [limit],
      ),
    async seen(sessionUlid, seq, key) {
      await db.rows("update settle_watch set seen_seq = greatest(seen_seq, $2), last_key = coalesce($3, last_key) where session_ulid = $1", [
        sessionUlid,
        seq,
        key,
      ]);
    },
  };
}
