import type { EventData } from "../contracts/event.ts";
import { type Database, txRow, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { expireApprovals } from "./expire-approvals.ts";
import { budgetQuestion } from "./limits.ts";
import { storable, storableText } from "./storable.ts";
import type { StoredResult, TurnRow } from "./rows.ts";
import type { KeyedEvent, Store, Tx } from "./store.ts";
import { holds } from "./holds.ts";

type CompleteArgs = Parameters<Store["turns"]["complete"]>[0];

/** A turn's end in one transaction: everything that hangs open is settled, then the result is stored. A repeat returns what is stored. */
export async function completeTurn(db: Database, tx: Tx, a: CompleteArgs): Promise<{ lastSeq: number; result: StoredResult } | null> {
  const head = await lockHead(tx, a.sessionUlid);
  if (!holds(head, a)) return null;
  const turn = await txRow<Pick<TurnRow, "state" | "attempt" | "inputId" | "result">>(
    tx,
    "select state, attempt, input_id, result from turn where session_ulid = $1 and turn_id = $2",
    [a.sessionUlid, a.turnId],
  );
  if (!turn) return null;
  if (turn.state === "done" && turn.result) return { lastSeq: head!.lastSeq, result: turn.result };
  const result = storable(a.result);
  const events = [
    ...(await openItems(tx, a.sessionUlid, a.turnId)),
    ...(await expireApprovals(tx, a.sessionUlid, a.turnId, "turn_ended")),
    ...(await settleInputs(tx, a.sessionUlid, a.turnId, turn.inputId)),
    ...(result.candidate ? [candidateEvent(a.turnId, result)] : []),
    { key: `turn.completed:${a.turnId}`, event: { type: "turn.completed", data: completed(a, result) } } satisfies KeyedEvent,
  ];
  const asked = a.reached && !a.reached.turnOnly ? [budgetQuestion(a.turnId, a.reached)] : [];
  const lastSeq = await appendEvents(db, tx, a.sessionUlid, [
    ...events.map(({ key, event }) => ({ key, event: { ...event, turnId: a.turnId, attempt: turn.attempt } })),
    ...asked,
  ]);
  await tx.query(
    "update turn set state = 'done', ended_at = clock_timestamp(), result = $3, final_message = $4, agent_ms = greatest(agent_ms, $5) where session_ulid = $1 and turn_id = $2",
    [a.sessionUlid, a.turnId, JSON.stringify(result), storableText(a.finalMessage), Math.round(a.agentMs ?? 0)],
  );
  // an unstable tree binds nothing
  const bound = result.candidate && result.stable !== false ? JSON.stringify(result.candidate) : null;
  await tx.query("update session set provider_session_id = coalesce($2, provider_session_id), candidate = coalesce($3, candidate) where session_ulid = $1", [
    a.sessionUlid,
    result.providerSessionId,
    bound,
  ]);
  // streaming text is kept for the newest turn only; the finished text is in the events
  await tx.query("delete from delta where session_ulid = $1 and turn_id <> $2", [a.sessionUlid, a.turnId]);
  return { lastSeq, result };
}

function completed(a: CompleteArgs, result: StoredResult): EventData["turn.completed"] {
  return {
    outcome: result.outcome,
    usage: result.usage,
    finalMessage: a.finalMessage,
    ...(a.stopReason === undefined ? {} : { stopReason: a.stopReason }),
    ...(result.failure ? { failure: result.failure } : {}),
    ...(result.candidate ? { candidate: result.candidate } : {}),
  };
}

function candidateEvent(turnId: string, result: StoredResult): KeyedEvent {
  return { key: `candidate.captured:${turnId}`, event: { type: "candidate.captured", data: { ...result.candidate!, stable: result.stable !== false } } };
}

/** Tool calls and commands of the turn that began and never ended. */
export async function openItems(tx: Tx, sessionUlid: string, turnId: string): Promise<KeyedEvent[]> {
  const open = await txRows<{ type: string; itemId: string }>(
    tx,
    // One pass. A join of the calls with their ends was planned as a loop in a loop: with 10,000 calls it ran into the statement's time limit, and the turn never ended.
    `select type, item_id from (
      select seq, type, item_id, bool_or(type like '%.completed') over (partition by item_id, split_part(type, '.', 1)) ended from event
      where session_ulid = $1 and turn_id = $2 and item_id is not null and type in ('tool.started', 'tool.completed', 'command.started', 'command.completed')
    ) item where not ended and type like '%.started' order by seq`,
    [sessionUlid, turnId],
  );
  return open.map(({ type, itemId }) => ({
    key: `settled:${turnId}:${type}:${itemId}`,
    event: { type: type === "tool.started" ? "tool.completed" : "command.completed", itemId, synthetic: true, data: { status: "interrupted" } },
  }));
}

/** What the turn's agent got is consumed; a steer on its way is ambiguous and never resent; one that waits becomes `queue`. */
export async function settleInputs(tx: Tx, sessionUlid: string, turnId: string, inputId: string): Promise<KeyedEvent[]> {
  const ambiguous = await txRows<{ inputId: string }>(
    tx,
    "update input set state = 'ambiguous', reason = 'turn_ended' where session_ulid = $1 and turn_id = $2 and input_id <> $3 and state = 'delivering' returning input_id",
    [sessionUlid, turnId, inputId],
  );
  const consumed = await txRows<{ inputId: string }>(
    tx,
    `update input set state = 'consumed' where session_ulid = $1 and ((input_id = $3 and state in ('recorded', 'accepted', 'delivering', 'delivered')) or (turn_id = $2 and state = 'delivered')) returning input_id`,
    [sessionUlid, turnId, inputId],
  );
  await tx.query("update input set delivery = 'queue' where session_ulid = $1 and delivery = 'steer' and state in ('recorded', 'accepted')", [sessionUlid]);
  return [
    ...ambiguous.map((row): KeyedEvent => ({ key: `input.ambiguous:${row.inputId}`, event: { type: "input.ambiguous", data: { inputId: row.inputId } } })),
    ...consumed.map((row): KeyedEvent => ({ key: `input.consumed:${row.inputId}`, event: { type: "input.consumed", data: { inputId: row.inputId } } })),
  ];
}
