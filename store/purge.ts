import { BatonError } from "../contracts/failures.ts";
import { type Database, txRow } from "./database.ts";
import { lockHead } from "./events.ts";
import { postInbox } from "./hosts.ts";
import { endGeneration } from "./session-end.ts";
import type { Inspection, Purge, SessionRow } from "./rows.ts";
import type { Tx } from "./store.ts";

/** Sessions on their way out. */
export interface PurgeStore {
  /** rows by table, and the events' bytes as they are stored */
  counts(sessionUlid: string): Promise<{ counts: Record<string, number>; bytes: number }>;
  /** asks the session's host what it has of it */
  ask(a: { inspectionId: string; sessionUlid: string; hostId: string }): Promise<void>;
  tell(inspectionId: string, answer: Inspection): Promise<void>;
  /** the host's answer, once */
  heard(inspectionId: string): Promise<Inspection | null>;
  /** closes an idle session and says what is to go; the host is told. A repeat does nothing. Error: CONFLICT_STATE when it is not idle, or a chain has it */
  begin(tx: Tx, a: { sessionUlid: string; purge: Purge }): Promise<void>;
  /** tells the host again */
  remind(row: { sessionUlid: string; hostId: string }): Promise<void>;
  /** deletes some of the records; false: there are none left */
  eraseSome(sessionUlid: string): Promise<boolean>;
  finish(sessionUlid: string, found: { snapshot?: string | null; transcriptPath?: string; kept?: string[] }): Promise<void>;
}

/** What a purge says it deletes. */
const counted = ["event", "delta", "turn", "input", "approval", "runner"] as const;
/** What goes with a session; its own row, its head, its generations, and the verdicts of its chain stay. */
const tables = ["limit_raise", "settle_watch", "turn_wait", "token", "launch", ...counted] as const;
/** Rows in one transaction: fifty megabytes at once would run into the statement's time limit. */
const atOnce = 2_000;

/** Sessions on their way out. The row says what is to go before anything goes. */
export function purgeStore(db: Database): PurgeStore {
  return {
    async counts(sessionUlid) {
      const row = await db.row<Record<string, number>>(
        `select ${counted.map((table) => `(select count(*) from ${table} where session_ulid = $1) as ${table}`).join(", ")},
          (select coalesce(sum(pg_column_size(data)), 0)::bigint from event where session_ulid = $1) as stored`,
        [sessionUlid],
      );
      const { stored, ...counts } = row ?? {};
      return { counts: Object.fromEntries(Object.entries(counts).map(([table, n]) => [`${table}s`, n])), bytes: stored ?? 0 };
    },
    ask: (a) =>
      db.transaction(async (tx) => {
        await tx.query("delete from inspection where created_at < clock_timestamp() - interval '1 hour'");
        await tx.query("insert into inspection (inspection_id, session_ulid) values ($1, $2)", [a.inspectionId, a.sessionUlid]);
        await postInbox(db, tx, { hostId: a.hostId, kind: "inspect", sessionUlid: a.sessionUlid, body: { inspectionId: a.inspectionId } });
      }),
    async tell(inspectionId, answer) {
      await db.rows("update inspection set answer = $2 where inspection_id = $1", [inspectionId, JSON.stringify(answer)]);
    },
    async heard(inspectionId) {
      return (
        (await db.row<{ answer: Inspection }>("delete from inspection where inspection_id = $1 and answer is not null returning answer", [inspectionId]))
          ?.answer ?? null
      );
    },
    begin: (tx, a) => begin(db, tx, a),
    async remind(row) {
      await db.transaction((tx) => postInbox(db, tx, { hostId: row.hostId, kind: "purge", sessionUlid: row.sessionUlid, body: {} }));
    },
    async eraseSome(sessionUlid) {
      let erased = 0;
      for (const table of tables)
        erased += (
          await db.rows(`delete from ${table} where ctid = any(array(select ctid from ${table} where session_ulid = $1 limit ${atOnce})) returning 1 as one`, [
            sessionUlid,
          ])
        ).length;
      return erased > 0 || (await forgetAnswers(db, sessionUlid));
    },
    async finish(sessionUlid, found) {
      await db.rows(
        `update session set purged_at = coalesce(purged_at, clock_timestamp()), purge = purge || $2::jsonb, system_prompt = '', provider_session_id = null, candidate = null, labels = '{}',
          args = jsonb_build_object('fingerprint', coalesce(args->'fingerprint', '""'::jsonb), 'effective', '{"permissions": {"mode": "deny-all"}, "limits": {}}'::jsonb)
        where session_ulid = $1 and purge is not null`,
        [sessionUlid, JSON.stringify(found)],
      );
    },
  };
}

/** Of waits that show the session, maybe beside others: the task stays and says so. False: there are none left. */
async function forgetAnswers(db: Database, sessionUlid: string): Promise<boolean> {
  return (await db.rows("update mcp_task set answer = null where answer is not null and $1 = any(shown) returning 1 as one", [sessionUlid])).length > 0;
}

/** Under the session's lock: what comes later finds it gone. Errors: CONFLICT_STATE. */
async function begin(db: Database, tx: Tx, a: { sessionUlid: string; purge: Purge }): Promise<void> {
  await lockHead(tx, a.sessionUlid);
  const row = await txRow<Pick<SessionRow, "generation" | "hostId" | "closedAt" | "purge"> & { busy: boolean; chained: boolean }>(
    tx,
    `select s.generation, s.host_id, s.closed_at, s.purge,
      exists (select 1 from chain c where c.chain_id = s.chain_id and c.state = 'open') as chained,
      s.closed_at is null and (exists (select 1 from turn t where t.session_ulid = s.session_ulid and t.state <> 'done')
        or exists (select 1 from input i where i.session_ulid = s.session_ulid and i.state in ('recorded', 'accepted', 'delivering'))) as busy
    from session s where s.session_ulid = $1`,
    [a.sessionUlid],
  );
  if (!row) throw new BatonError("NOT_FOUND", `There is no session ${a.sessionUlid}.`);
  if (row.purge) return;
  if (row.busy || row.chained)
    throw new BatonError(
      "CONFLICT_STATE",
      row.chained ? "The session belongs to a chain that is open: end that first." : "Something began to run in the session just now.",
      {
        currentState: "running",
      },
    );
  if (row.closedAt === null) await endGeneration(db, tx, { sessionUlid: a.sessionUlid, generation: row.generation, state: "closed", reason: "purged" });
  await tx.query("update session set purge = $2 where session_ulid = $1", [a.sessionUlid, JSON.stringify(a.purge)]);
  await postInbox(db, tx, { hostId: row.hostId, kind: "purge", sessionUlid: a.sessionUlid, body: {} });
}
