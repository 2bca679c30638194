import type { Database } from "./database.ts";
import type { RunnerRow } from "./rows.ts";

/** Runners: rows outlive their processes. */
export interface RunnerStore {
  upsert(row: Omit<RunnerRow, "createdAt" | "endedAt">): Promise<void>;
  live(hostId: string): Promise<RunnerRow[]>;
  bySession(sessionUlid: string): Promise<RunnerRow | null>;
  ended(runnerId: string): Promise<void>;
}

const columns = "runner_id, session_ulid, host_id, pid, boot_id, start_ticks, spec_hash, socket_path, spool_path, created_at, ended_at";

/** Runners: rows outlive their processes, so that a successor finds the spool to drain. */
export function runnerStore(db: Database): RunnerStore {
  return {
    async upsert(r) {
      await db.rows(
        `insert into runner (runner_id, session_ulid, host_id, pid, boot_id, start_ticks, spec_hash, socket_path, spool_path) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (runner_id) do update set pid = excluded.pid, boot_id = excluded.boot_id, start_ticks = excluded.start_ticks, spec_hash = excluded.spec_hash, socket_path = excluded.socket_path, spool_path = excluded.spool_path`,
        [r.runnerId, r.sessionUlid, r.hostId, r.pid, r.bootId, r.startTicks, r.specHash, r.socketPath, r.spoolPath],
      );
    },
    live: (hostId) => db.rows<RunnerRow>(`select ${columns} from runner where host_id = $1 and ended_at is null order by runner_id`, [hostId]),
    bySession: (sessionUlid) =>
      db.row<RunnerRow>(`select ${columns} from runner where session_ulid = $1 order by created_at desc, runner_id desc limit 1`, [sessionUlid]),
    async ended(runnerId) {
      await db.rows(
        `with r as (update runner set ended_at = coalesce(ended_at, clock_timestamp()) where runner_id = $1)
        update token set revoked_at = clock_timestamp() where runner_id = $1 and revoked_at is null`,
        [runnerId],
      );
    },
  };
}
