import { txRows } from "./database.ts";
import type { KeyedEvent, Tx } from "./store.ts";

/** Expires the open approvals of a turn, or of the session (null; `ofTurns`: only those that an agent asked in a turn); returns the events to append. */
export async function expireApprovals(
  tx: Tx,
  sessionUlid: string,
  turnId: string | null,
  reason: string,
  { ofTurns = false }: { ofTurns?: boolean } = {},
): Promise<KeyedEvent[]> {
  const expired = await txRows<{ approvalId: string; turnId: string | null }>(
    tx,
    "update approval set state = 'expired', reason = $3 where session_ulid = $1 and state = 'open' and ($2::text is null or turn_id = $2) and (turn_id is not null or not $4) returning approval_id, turn_id",
    [sessionUlid, turnId, reason, ofTurns],
  );
  return expired.map((row) => ({
    key: `approval.expired:${row.approvalId}`,
    event: { type: "approval.expired", data: { approvalId: row.approvalId, reason }, ...(row.turnId === null ? {} : { turnId: row.turnId }) },
  }));
}
