import type { TurnEnd } from "../contracts/messages.ts";
import { type Database, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import type { StoredResult } from "./rows.ts";
import type { Tx } from "./store.ts";

/** Fails those of the inputs that no agent has yet, with their events. A repeat changes nothing. */
export async function failInputs(db: Database, tx: Tx, sessionUlid: string, inputIds: string[], reason: string): Promise<void> {
  if (!(await lockHead(tx, sessionUlid))) return;
  const failed = await txRows<{ inputId: string }>(
    tx,
    "update input set state = 'failed', reason = $3 where session_ulid = $1 and input_id = any($2) and state in ('recorded', 'accepted') returning input_id",
    [sessionUlid, inputIds, reason],
  );
  if (failed.length > 0)
    await appendEvents(
      db,
      tx,
      sessionUlid,
      failed.map(({ inputId }) => ({ key: `input.failed:${inputId}`, event: { type: "input.failed", data: { inputId, reason } } })),
    );
}

/** Condition on `input i`: a chain's workflow asked for it. Doors give no such id. */
export const askedByChain = "starts_with(i.request_id, 'chain:')";

/** Fails what a chain asked of a session and no turn has taken: the chain is over, or the session goes on without it. */
export async function failAskedByChain(db: Database, tx: Tx, sessionUlid: string): Promise<void> {
  const asked = await txRows<{ inputId: string }>(tx, `select i.input_id from input i where i.session_ulid = $1 and i.state = 'recorded' and ${askedByChain}`, [
    sessionUlid,
  ]);
  const inputIds = asked.map((input) => input.inputId);
  if (inputIds.length > 0) await failInputs(db, tx, sessionUlid, inputIds, "chain_ended");
}

/** The ends of those of the turns that are over. */
export async function endedTurns(tx: Tx, sessionUlid: string, turnIds: string[]): Promise<TurnEnd[]> {
  const ended = await txRows<{ turnId: string; result: StoredResult }>(
    tx,
    "select turn_id, result from turn where session_ulid = $1 and turn_id = any($2) and state = 'done' and result is not null",
    [sessionUlid, turnIds],
  );
  return ended.map(({ turnId, result: { outcome, failure, candidate, stable } }) => ({
    turnId,
    outcome,
    ...(failure && { failure: { ...failure, message: failure.message.slice(0, 500) } }),
    ...(candidate && stable !== false && { candidate }),
  }));
}
