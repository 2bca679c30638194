import { type Database, txRow } from "./database.ts";
import type { Tx } from "./store.ts";

/** Whose eyes: a session's agent (`subtree`: without the other sessions of its task), or the principal that owns whole trees. */
export type Viewer = { session: string; subtree?: true } | { owner: string };
/** What a session is to the viewer, the nearest of what holds. */
export type Relation = "owned" | "self" | "below" | "sibling" | "above";
export interface Reached {
  sessionUlid: string;
  relation: Relation;
  role: string;
  /** the viewing session's own */
  viewerRole: string | null;
  viewerChainId: string | null;
}
/** `parent`: of the viewing session */
export type SessionReference = { ulid: string } | { name: string } | { parent: true };

export interface ReachStore {
  /** null: there is none, or none that the viewer reaches: nobody can tell which */
  session(viewer: Viewer, reference: SessionReference): Promise<Reached | null>;
  /** whether the session is the viewer's own to close: owned, or below the viewing session */
  rules(tx: Tx, viewer: Viewer, sessionUlid: string): Promise<boolean>;
  /** `absent`: the key is free */
  task(viewer: Viewer, taskKey: string): Promise<"absent" | "hidden" | "seen" | "own">;
}

/** A condition on `s.session_ulid` for what lists show to the viewer, with one parameter; null viewer: everything. */
export function seenBy(viewer: Viewer | undefined, parameter: number): { sql: string; value: string | null } {
  if (viewer === undefined) return { sql: `$${parameter}::text is null`, value: null };
  if ("owner" in viewer) return { sql: `s.owner = $${parameter}`, value: viewer.owner };
  const seen = viewer.subtree ? "subtree_of" : "seen_by_session";
  return { sql: `s.session_ulid in (select seen.session_ulid from ${seen}($${parameter}) seen)`, value: viewer.session };
}

/** Who reaches what (DESIGN section 10). Reads only. */
export function reachStore(db: Database): ReachStore {
  return {
    async session(viewer, reference) {
      const [where, value] = condition(reference);
      if ("owner" in viewer)
        return db.row<Reached>(
          `select s.session_ulid, 'owned' as relation, s.role, null as viewer_role, null as viewer_chain_id from session s where s.${where} = $2 and s.owner = $1`,
          [viewer.owner, value],
        );
      const found = await db.row<Omit<Reached, "relation"> & { relation: Relation | null }>(
        `select s.session_ulid, s.role, me.role as viewer_role, me.chain_id as viewer_chain_id,
          case when s.session_ulid = me.session_ulid then 'self'
            when exists (select 1 from subtree_of(me.session_ulid) t where t.session_ulid = s.session_ulid) then 'below'
            when s.task_key = me.task_key and s.owner = me.owner then 'sibling'
            when s.session_ulid = me.parent_ulid then 'above' end as relation
        from session me, session s where me.session_ulid = $1 and ${"parent" in reference ? "s.session_ulid = me.parent_ulid" : `s.${where} = $2`}`,
        "parent" in reference ? [viewer.session] : [viewer.session, value],
      );
      return found?.relation ? { ...found, relation: found.relation } : null;
    },
    async rules(tx, viewer, sessionUlid) {
      const sql =
        "owner" in viewer
          ? "select 1 as one from session where session_ulid = $2 and owner = $1"
          : "select 1 as one from subtree_of($1) t where t.session_ulid = $2 and t.session_ulid <> $1";
      return (await txRow(tx, sql, ["owner" in viewer ? viewer.owner : viewer.session, sessionUlid])) !== null;
    },
    async task(viewer, taskKey) {
      const session = "session" in viewer ? viewer.session : null;
      const owner = "owner" in viewer ? viewer.owner : null;
      const found = await db.row<{ own: boolean; seen: boolean }>(
        `select coalesce(me.task_key = t.task_key, false) as own,
          ($3::text is not null and (t.principal in ($3, 'local') or exists (select 1 from session s where s.task_key = t.task_key and s.owner = $3)))
          or ($2::text is not null and (t.principal = 'session:' || $2 or exists (select 1 from session s join subtree_of($2) b using (session_ulid) where s.task_key = t.task_key))) as seen
        from task t left join session me on me.session_ulid = $2 where t.task_key = $1`,
        [taskKey, session, owner],
      );
      return found === null ? "absent" : found.own ? "own" : found.seen ? "seen" : "hidden";
    },
  };
}

function condition(reference: SessionReference): [string, string] {
  if ("ulid" in reference) return ["session_ulid", reference.ulid];
  return "name" in reference ? ["name", reference.name] : ["parent_ulid", ""];
}
