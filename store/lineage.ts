import { txRow } from "./database.ts";
import type { Tx } from "./store.ts";

/** What a session has used up of what it may launch. */
export interface Lineage {
  rootUlid: string;
  /** launches between it and the top */
  depth: number;
  /** its own, that are not closed */
  openChildren: number;
  /** its own, ever */
  launches: number;
  /** of the whole tree, and what the top may use (null: no limit) */
  costMicros: number;
  tokens: number;
  costLimit: number | null;
  tokenLimit: number | null;
}

/** Counts under the tree's lock, which the transaction keeps to its end: two launches at once cannot both be the last one. Null: the session is gone. */
export async function countLineage(tx: Tx, sessionUlid: string): Promise<Lineage | null> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended(root_ulid, 3)) from session where session_ulid = $1", [sessionUlid]);
  // A statement of its own: the one that waited for the lock does not see what was launched meanwhile.
  return txRow<Lineage>(
    tx,
    `select s.root_ulid, s.depth,
      (select count(*) from session c where c.parent_ulid = s.session_ulid and c.closed_at is null and (s.chain_id is null or c.chain_id is distinct from s.chain_id)) as open_children,
      (select count(*) from session c where c.parent_ulid = s.session_ulid and (s.chain_id is null or c.chain_id is distinct from s.chain_id)) as launches,
      used.cost_micros, used.tokens,
      (allowed.limits->>'costMicros')::bigint as cost_limit, (allowed.limits->>'tokens')::bigint as token_limit
    from session s join session top on top.session_ulid = s.root_ulid
      cross join lateral session_limits(top.session_ulid, top.args->'effective'->'limits') allowed(limits) cross join lateral (
      select coalesce(sum((t.result->'usage'->>'costMicros')::numeric), 0)::bigint as cost_micros,
        coalesce(sum((t.result->'usage'->>'inputTokens')::numeric + (t.result->'usage'->>'outputTokens')::numeric), 0)::bigint as tokens
      from session x join turn t using (session_ulid) where x.root_ulid = s.root_ulid) used
    where s.session_ulid = $1`,
    [sessionUlid],
  );
}
