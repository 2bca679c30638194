import { type Database, txRow, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { postInbox } from "./hosts.ts";
import { failInputs } from "./inputs.ts";
import type { SessionRow } from "./rows.ts";
import type { KeyedEvent, Tx } from "./store.ts";

/** Closes a generation if it is the current one and open: columns, event, open approvals expired, the host told. */
export async function endGeneration(
  db: Database,
  tx: Tx,
  a: { sessionUlid: string; generation: number; state: "closed" | "failed"; reason: string; message?: string },
): Promise<boolean> {
  if (!(await lockHead(tx, a.sessionUlid))) return false;
  const session = await txRow<Pick<SessionRow, "hostId">>(
    tx,
    `update session set closed_at = clock_timestamp(), close_reason = $3, failed = $4
    where session_ulid = $1 and generation = $2 and closed_at is null returning host_id`,
    [a.sessionUlid, a.generation, a.reason, a.state === "failed"],
  );
  if (!session) return false;
  await tx.query("update generation set closed_at = clock_timestamp(), close_reason = $3, failed = $4 where session_ulid = $1 and generation = $2", [
    a.sessionUlid,
    a.generation,
    a.reason,
    a.state === "failed",
  ]);
  const ended: KeyedEvent =
    a.state === "failed"
      ? { key: `session.ended:${a.generation}`, event: { type: "session.failed", data: { reason: a.reason, message: a.message ?? a.reason } } }
      : { key: `session.ended:${a.generation}`, event: { type: "session.closed", data: { reason: a.reason } } };
  await appendEvents(db, tx, a.sessionUlid, [...(await expireApprovals(tx, a.sessionUlid, null, "session_ended")), ended]);
  await postInbox(db, tx, { hostId: session.hostId, kind: "close_runner", sessionUlid: a.sessionUlid, body: { generation: a.generation } });
  return true;
}

/** Expires the open approvals of a turn, or of the session (null); returns the events to append. */
export async function expireApprovals(tx: Tx, sessionUlid: string, turnId: string | null, reason: string): Promise<KeyedEvent[]> {
  const expired = await txRows<{ approvalId: string; turnId: string | null }>(
    tx,
    "update approval set state = 'expired', reason = $3 where session_ulid = $1 and state = 'open' and ($2::text is null or turn_id = $2) returning approval_id, turn_id",
    [sessionUlid, turnId, reason],
  );
  return expired.map((row) => ({
    key: `approval.expired:${row.approvalId}`,
    event: { type: "approval.expired", data: { approvalId: row.approvalId, reason }, ...(row.turnId === null ? {} : { turnId: row.turnId }) },
  }));
}

/** Ends what was recorded but never started within `olderThanMs`, with its inputs; returns the ULIDs. */
export async function failNeverStarted(db: Database, olderThanMs: number): Promise<string[]> {
  const old = await db.rows<{ sessionUlid: string; generation: number }>(
    `select s.session_ulid, s.generation from session s join generation g on g.session_ulid = s.session_ulid and g.generation = s.generation
    where s.started_at is null and s.closed_at is null and g.created_at < clock_timestamp() - $1 * interval '1 ms' limit 200`,
    [olderThanMs],
  );
  const failed: string[] = [];
  for (const { sessionUlid, generation } of old) {
    const ended = await db.transaction(async (tx) => {
      await lockHead(tx, sessionUlid);
      // looked at again under the lock: a starter may have been faster
      if (await txRow(tx, "select 1 as one from session where session_ulid = $1 and started_at is not null for update", [sessionUlid])) return false;
      if (!(await endGeneration(db, tx, { sessionUlid, generation, state: "failed", reason: "never_started" }))) return false;
      const waiting = await txRows<{ inputId: string }>(tx, "select input_id from input where session_ulid = $1 and state in ('recorded', 'accepted')", [
        sessionUlid,
      ]);
      await failInputs(
        db,
        tx,
        sessionUlid,
        waiting.map((w) => w.inputId),
        "never_started",
      );
      return true;
    });
    if (ended) failed.push(sessionUlid);
  }
  return failed;
}
