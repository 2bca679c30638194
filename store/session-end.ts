import { abandonTurns } from "./abandon-turns.ts";
import { type Database, txRow, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { expireApprovals } from "./expire-approvals.ts";
import { failInputs } from "./fail-inputs.ts";
import { postInbox } from "./hosts.ts";
import type { SessionRow } from "./rows.ts";
import type { KeyedEvent, Tx } from "./store.ts";

/** Closes a generation if it is the current one and open: columns, event, open turns and approvals ended, the host told. */
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
  // A turn whose host is away cannot end by itself any more: no keeper may claim a turn of a closed session.
  await abandonTurns(db, tx, { sessionUlid: a.sessionUlid, turnIds: null, reason: a.reason, outcome: a.state === "failed" ? "failed" : "interrupted" });
  const ended: KeyedEvent =
    a.state === "failed"
      ? { key: `session.ended:${a.generation}`, event: { type: "session.failed", data: { reason: a.reason, message: a.message ?? a.reason } } }
      : { key: `session.ended:${a.generation}`, event: { type: "session.closed", data: { reason: a.reason } } };
  await appendEvents(db, tx, a.sessionUlid, [...(await expireApprovals(tx, a.sessionUlid, null, "session_ended")), ended]);
  await postInbox(db, tx, { hostId: session.hostId, kind: "close_runner", sessionUlid: a.sessionUlid, body: { generation: a.generation } });
  return true;
}

/** Closes a generation in which nothing runs, waits or is asked, and that no open chain has. False: left as it is. */
export async function endIfIdle(db: Database, tx: Tx, a: { sessionUlid: string; generation: number; reason: string }): Promise<boolean> {
  if (!(await lockHead(tx, a.sessionUlid))) return false;
  // Under the lock: an input or a turn that comes now waits for it, and then finds the session closed.
  const held = await txRow(
    tx,
    `select 1 as one from session s where s.session_ulid = $1 and (s.workspace = 'failed' or exists (select 1 from chain c where c.chain_id = s.chain_id and c.state = 'open'))`,
    [a.sessionUlid],
  );
  return held === null && !(await isBusy(tx, a.sessionUlid)) && endGeneration(db, tx, { ...a, state: "closed" });
}

/** Does something run, wait or ask in the session? */
export async function isBusy(tx: Tx, sessionUlid: string): Promise<boolean> {
  const busy = await txRow(
    tx,
    `select 1 as one where exists (select 1 from turn t where t.session_ulid = $1 and t.state <> 'done')
      or exists (select 1 from input i where i.session_ulid = $1 and i.state in ('recorded', 'accepted', 'delivering'))
      or exists (select 1 from approval a where a.session_ulid = $1 and a.state = 'open' and a.chain_id is null)`,
    [sessionUlid],
  );
  return busy !== null;
}

/** Ends what was recorded but never started within `olderThanMs`, with its inputs; returns the ULIDs. The sessions of a running chain are its own to start and to end. */
export async function failNeverStarted(db: Database, olderThanMs: number): Promise<string[]> {
  const old = await db.rows<{ sessionUlid: string; generation: number }>(
    `select s.session_ulid, s.generation from session s join generation g on g.session_ulid = s.session_ulid and g.generation = s.generation
    where s.started_at is null and s.closed_at is null and g.created_at < clock_timestamp() - $1 * interval '1 ms'
      and not (s.generation = 1 and exists (select 1 from chain c where c.chain_id = s.chain_id and c.state = 'open' and c.started_at is not null)) limit 200`,
    [olderThanMs],
  );
  const failed: string[] = [];
  for (const row of old) if (await failUnstarted(db, { ...row, reason: "never_started" })) failed.push(row.sessionUlid);
  return failed;
}

/** Ends a generation that has not begun, with its inputs. False: it has, or is over. */
export function failUnstarted(db: Database, a: { sessionUlid: string; generation: number; reason: string }): Promise<boolean> {
  return db.transaction(async (tx) => {
    await lockHead(tx, a.sessionUlid);
    // looked at again under the lock: a starter may have been faster
    if (await txRow(tx, "select 1 as one from session where session_ulid = $1 and started_at is not null for update", [a.sessionUlid])) return false;
    if (!(await endGeneration(db, tx, { ...a, state: "failed" }))) return false;
    const waiting = await txRows<{ inputId: string }>(tx, "select input_id from input where session_ulid = $1 and state in ('recorded', 'accepted')", [
      a.sessionUlid,
    ]);
    const inputIds = waiting.map((input) => input.inputId);
    await failInputs(db, tx, a.sessionUlid, inputIds, a.reason);
    return true;
  });
}

/** Without a workspace there is no next generation: what came too late for the workflow to fail it waits for nobody. */
export async function failUnmakeable(db: Database, tx: Tx, sessionUlid: string): Promise<void> {
  const waiting = await txRows<{ inputId: string }>(
    tx,
    "select i.input_id from input i join session s using (session_ulid) where s.session_ulid = $1 and s.workspace = 'failed' and i.state in ('recorded', 'accepted')",
    [sessionUlid],
  );
  const inputIds = waiting.map((input) => input.inputId);
  if (inputIds.length > 0) await failInputs(db, tx, sessionUlid, inputIds, "workspace_failed");
}
