import type { Database } from "./database.ts";

/** How the installation stands. */
export interface HealthStore {
  versions(): Promise<{ postgres: string; schema: number }>;
  /** how much is open, waits or runs, in the whole installation */
  depths(): Promise<{
    openSessions: number;
    inputsWaiting: number;
    turnsQueued: number;
    turnsRunning: number;
    turnsUnreported: number;
    approvalsOpen: number;
    hostInbox: number;
  }>;
  /** runners that have not ended, newest first, at most 500 */
  runners(): Promise<{ runnerId: string; sessionUlid: string; hostId: string; pid: number; createdAt: string }[]>;
}

/** What the doors tell of the installation: versions, and how much waits. */
export function healthStore(db: Database): HealthStore {
  return {
    async versions() {
      const row = await db.row<{ postgres: string; schema: number }>(
        "select current_setting('server_version') as postgres, (select version from schema_info) as schema",
      );
      return row ?? { postgres: "unknown", schema: 0 };
    },
    async depths() {
      const row = await db.row<Awaited<ReturnType<HealthStore["depths"]>>>(
        `select (select count(*)::int from session where closed_at is null) as open_sessions,
          (select count(*)::int from input where state in ('recorded', 'accepted', 'delivering')) as inputs_waiting,
          (select count(*)::int from turn where reported_at is null and state = 'queued') as turns_queued,
          (select count(*)::int from turn where reported_at is null and state = 'running') as turns_running,
          (select count(*)::int from turn where reported_at is null and state = 'done') as turns_unreported,
          (select count(*)::int from approval where state = 'open') as approvals_open,
          (select count(*)::int from host_inbox) as host_inbox`,
      );
      return row!;
    },
    runners: () =>
      db.rows("select runner_id, session_ulid, host_id, pid, created_at from runner where ended_at is null order by created_at desc, runner_id limit 500"),
  };
}
