import { noUsage, type TurnOutcome } from "../contracts/event.ts";
import { type Database, txRow, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { expireApprovals } from "./expire-approvals.ts";
import { failInputs } from "./fail-inputs.ts";
import { postInbox } from "./hosts.ts";
import type { StoredResult } from "./rows.ts";
import type { Tx } from "./store.ts";
import { openItems, settleInputs } from "./turn-completion.ts";

/**
 * Ends open turns (null: all of the session) in the name of a workflow that has given up on them: no keeper will. The epoch moves
 * on, so that a keeper that still holds one (frozen, or cut off) is fenced; the host is told to end the agent that may be at it.
 * A turn that has its result keeps it.
 */
export async function abandonTurns(
  db: Database,
  tx: Tx,
  a: { sessionUlid: string; turnIds: string[] | null; reason: string; outcome?: TurnOutcome },
): Promise<void> {
  if (!(await lockHead(tx, a.sessionUlid))) return;
  const open = await txRows<{ turnId: string; inputId: string; attempt: number }>(
    tx,
    "select turn_id, input_id, attempt from turn where session_ulid = $1 and state <> 'done' and ($2::text[] is null or turn_id = any($2)) order by n",
    [a.sessionUlid, a.turnIds],
  );
  if (open.length === 0) return;
  const session = await txRow<{ hostId: string; providerSessionId: string | null; generation: number }>(
    tx,
    "update head h set epoch = epoch + 1, owner = null from session s where h.session_ulid = $1 and s.session_ulid = $1 returning s.host_id, s.provider_session_id, s.generation",
    [a.sessionUlid],
  );
  const outcome = a.outcome ?? (a.reason === "aborted" ? "interrupted" : "failed");
  for (const { turnId, inputId, attempt } of open) {
    const failure =
      outcome === "failed"
        ? { failure: { class: a.reason.split(":", 1)[0] ?? a.reason, message: `The turn was given up: ${a.reason}.`, retryable: true } }
        : {};
    const result: StoredResult = { outcome, ...failure, usage: noUsage, providerSessionId: session?.providerSessionId ?? null };
    // What no agent got is said to have failed; only what reached one is consumed.
    await failInputs(db, tx, a.sessionUlid, [inputId], a.reason);
    const events = [
      ...(await openItems(tx, a.sessionUlid, turnId)),
      ...(await expireApprovals(tx, a.sessionUlid, turnId, "turn_ended")),
      ...(await settleInputs(tx, a.sessionUlid, turnId, inputId)),
      { key: `turn.completed:${turnId}`, event: { type: "turn.completed", data: { outcome, usage: noUsage, finalMessage: "", ...failure } } } as const,
    ];
    await appendEvents(
      db,
      tx,
      a.sessionUlid,
      events.map(({ key, event }) => ({ key, event: { ...event, turnId, attempt } })),
    );
    await tx.query(
      "update turn set state = 'done', ended_at = clock_timestamp(), reported_at = clock_timestamp(), task_token = null, result = $3 where session_ulid = $1 and turn_id = $2",
      [a.sessionUlid, turnId, JSON.stringify(result)],
    );
    if (session)
      await postInbox(db, tx, { hostId: session.hostId, kind: "close_runner", sessionUlid: a.sessionUlid, body: { generation: session.generation, turnId } });
  }
}
