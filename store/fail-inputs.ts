import { type Database, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
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
