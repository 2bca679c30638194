import { type Database, txRow } from "./database.ts";
import type { HostInboxRow } from "./rows.ts";
import type { Tx } from "./store.ts";

/** Hosts, their leases, and what waits for them. */
export interface HostStore {
  /** true: this instance holds the lease (Postgres's clock). A holder whose lease is older than `leaseMs` is replaced; `holderDead(pid, bootId, startTicks)` lets a same-boot caller replace a dead one at once. */
  acquire(a: {
    hostId: string;
    owner: string;
    pid: number;
    bootId: string;
    startTicks: string;
    leaseMs: number;
    holderDead: (h: { pid: number; bootId: string; startTicks: string }) => boolean;
  }): Promise<boolean>;
  renew(a: { hostId: string; owner: string; leaseMs: number }): Promise<boolean>;
  release(a: { hostId: string; owner: string }): Promise<void>;
  all(): Promise<{ hostId: string; owner: string; pid: number; leaseUntil: string; alive: boolean }[]>;
  post(tx: Tx | null, row: Omit<HostInboxRow, "id" | "createdAt">): Promise<void>;
  takeInbox(hostId: string): Promise<HostInboxRow[]>;
  ack(ids: number[]): Promise<void>;
}

/** Host leases (on Postgres's clock) and their inboxes. */
export function hostStore(db: Database): HostStore {
  return {
    acquire: (a) =>
      db.transaction(async (tx) => {
        const values = [a.hostId, a.owner, a.pid, a.bootId, a.startTicks, a.leaseMs];
        const first = await tx.query(
          "insert into host (host_id, owner, pid, boot_id, start_ticks, lease_until) values ($1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 ms') on conflict do nothing",
          values,
        );
        if (first.rowCount === 1) return true;
        // The row lock: of two that both find the lease old, the second one sees the first one's.
        const holder = await txRow<{ owner: string; pid: number; bootId: string; startTicks: string; expired: boolean }>(
          tx,
          "select owner, pid, boot_id, start_ticks, lease_until < clock_timestamp() as expired from host where host_id = $1 for update",
          [a.hostId],
        );
        if (!holder || !(holder.owner === a.owner || holder.expired || a.holderDead(holder))) return false;
        await tx.query(
          "update host set owner = $2, pid = $3, boot_id = $4, start_ticks = $5, lease_until = clock_timestamp() + $6 * interval '1 ms' where host_id = $1",
          values,
        );
        return true;
      }),
    async renew(a) {
      return (
        (await db.row("update host set lease_until = clock_timestamp() + $3 * interval '1 ms' where host_id = $1 and owner = $2 returning host_id", [
          a.hostId,
          a.owner,
          a.leaseMs,
        ])) !== null
      );
    },
    async release(a) {
      await db.rows("update host set lease_until = clock_timestamp() - interval '1 ms' where host_id = $1 and owner = $2", [a.hostId, a.owner]);
    },
    all: () => db.rows("select host_id, owner, pid, lease_until, lease_until > clock_timestamp() as alive from host order by host_id"),
    async post(tx, row) {
      if (tx) await postInbox(db, tx, row);
      else await db.transaction((own) => postInbox(db, own, row));
    },
    takeInbox: (hostId) =>
      db.rows<HostInboxRow>("select id, host_id, kind, session_ulid, body, created_at from host_inbox where host_id = $1 order by id limit 500", [hostId]),
    async ack(ids) {
      if (ids.length > 0) await db.rows("delete from host_inbox where id = any($1::bigint[])", [ids]);
    },
  };
}

/** A message to a host, in the transaction of what it follows from. */
export async function postInbox(db: Database, tx: Tx, row: Omit<HostInboxRow, "id" | "createdAt">): Promise<void> {
  await tx.query("insert into host_inbox (host_id, kind, session_ulid, body) values ($1, $2, $3, $4)", [
    row.hostId,
    row.kind,
    row.sessionUlid,
    JSON.stringify(row.body),
  ]);
  await tx.query("select pg_notify($1, $2)", [db.channel, `h:${row.hostId}`]);
}
