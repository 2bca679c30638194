import { BatonError } from "../contracts/failures.ts";
import { type Database, txRow } from "./database.ts";
import type { AuditEntry } from "./rows.ts";
import type { RequestKey, Store, Tx } from "./store.ts";

/** One transaction takes the key. */
export function requestStore(db: Database): Store["recordRequest"] {
  return (key, audit, effect) =>
    db.transaction(async (tx) => {
      if (key.key !== null && !(await takeKey(tx, key))) return { ids: await storedIds(tx, key), replayed: true };
      const ids = await effect(tx);
      if (key.key !== null)
        await tx.query("update client_request set ids = $4 where principal = $1 and scope = $2 and key = $3", [
          key.principal,
          key.scope,
          key.key,
          JSON.stringify(ids),
        ]);
      await writeAudit(tx, audit);
      return { ids, replayed: false };
    });
}

/** Waits while another transaction holds the same key; a refusal there rolls the key back, and this one gets it. */
async function takeKey(tx: Tx, key: RequestKey): Promise<boolean> {
  const done = await tx.query("insert into client_request (principal, scope, key, fingerprint) values ($1, $2, $3, $4) on conflict do nothing", [
    key.principal,
    key.scope,
    key.key,
    key.fingerprint,
  ]);
  return done.rowCount === 1;
}

/** A statement of its own: the insert's snapshot does not see the row it ran into. */
async function storedIds<T>(tx: Tx, key: RequestKey): Promise<T> {
  const stored = await txRow<{ fingerprint: string; ids: T }>(
    tx,
    "select fingerprint, ids from client_request where principal = $1 and scope = $2 and key = $3",
    [key.principal, key.scope, key.key],
  );
  if (!stored) throw new BatonError("UNAVAILABLE", "The request with this key was purged just now. Repeat the call.");
  if (stored.fingerprint !== key.fingerprint && stored.fingerprint !== key.former)
    throw new BatonError("IDEMPOTENCY_MISMATCH", `The key ${key.key} was used for another request. Use a new clientRequestId, or send the same arguments.`, {
      field: "clientRequestId",
    });
  return stored.ids;
}

/** What was refused has no transaction to be audited in. */
export async function recordRefusal(db: Database, entry: AuditEntry & { outcome: string }): Promise<void> {
  await db.rows("insert into audit (principal, actor, action, target, outcome) values ($1, $2, $3, $4, $5)", [
    entry.principal,
    entry.actor,
    entry.action,
    entry.target,
    entry.outcome,
  ]);
}

async function writeAudit(tx: Tx, entry: AuditEntry): Promise<void> {
  await tx.query("insert into audit (principal, actor, action, target, detail) values ($1, $2, $3, $4, $5)", [
    entry.principal,
    entry.actor,
    entry.action,
    entry.target,
    entry.detail === undefined ? null : JSON.stringify(entry.detail),
  ]);
}

export async function lockName(tx: Tx, name: string): Promise<void> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [name]);
}
