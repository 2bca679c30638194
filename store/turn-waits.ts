import type { Database } from "./database.ts";

/** An agent's wait for what it launched. `resuming`: the wait is over, the slot is asked for again; `resumed`: the turn has it. */
export interface TurnWaitRow {
  waitId: string;
  sessionUlid: string;
  turnId: string;
  state: "waiting" | "resuming" | "resumed";
  /** the door that waits has shown itself within the last 15 s */
  fresh: boolean;
  /** something below the session runs, waits or is asked: there is something to wait for */
  below: boolean;
}

export interface TurnWaitStore {
  /** Tells the session's host. False: no turn of it is at work, so nothing is waited with. */
  begin(a: { waitId: string; sessionUlid: string }): Promise<boolean>;
  /** false: the turn that waited is over */
  beat(waitId: string): Promise<boolean>;
  resuming(waitId: string): Promise<void>;
  /** null: ended, or cleared away */
  state(waitId: string): Promise<TurnWaitRow["state"] | null>;
  end(waitId: string): Promise<void>;
  ofHost(hostId: string): Promise<TurnWaitRow[]>;
  resumed(waitId: string): Promise<void>;
}

/** Between its steps a chain's sessions are idle, and may be closed. */
const busyBelow = `exists (select 1 from subtree_of(w.session_ulid) b join session s using (session_ulid) where s.session_ulid <> w.session_ulid and (
    exists (select 1 from chain c where c.chain_id = s.chain_id and c.state = 'open') or s.closed_at is null and (
      exists (select 1 from turn t where t.session_ulid = s.session_ulid and t.state <> 'done')
      or exists (select 1 from input i where i.session_ulid = s.session_ulid and i.state in ('recorded', 'accepted', 'delivering'))
      or exists (select 1 from approval a where a.session_ulid = s.session_ulid and a.state = 'open'))))`;

/** What doors and hosts tell each other about agents that wait. */
export function turnWaitStore(db: Database): TurnWaitStore {
  const tell = `pg_notify('${db.channel}', 'h:' || w.host_id)`;
  const run = async (sql: string, values: unknown[]) => void (await db.rows(sql, values));
  return {
    async begin(a) {
      const made = await db.row(
        `with w as (insert into turn_wait (wait_id, session_ulid, turn_id, host_id)
          select $1, s.session_ulid, t.turn_id, s.host_id from session s join turn t using (session_ulid) where s.session_ulid = $2 and t.state = 'running' order by t.n desc limit 1
          returning host_id)
        select ${tell} from w`,
        [a.waitId, a.sessionUlid],
      );
      return made !== null;
    },
    async beat(waitId) {
      const alive = await db.row(
        `update turn_wait w set beat_at = clock_timestamp() where wait_id = $1
        and exists (select 1 from turn t where t.session_ulid = w.session_ulid and t.turn_id = w.turn_id and t.state <> 'done') returning wait_id`,
        [waitId],
      );
      return alive !== null;
    },
    resuming: (waitId) =>
      run(
        `with w as (update turn_wait set state = 'resuming', beat_at = clock_timestamp() where wait_id = $1 and state = 'waiting' returning host_id) select ${tell} from w`,
        [waitId],
      ),
    async state(waitId) {
      return (await db.row<Pick<TurnWaitRow, "state">>("select state from turn_wait where wait_id = $1", [waitId]))?.state ?? null;
    },
    end: (waitId) => run("delete from turn_wait where wait_id = $1", [waitId]),
    ofHost: (hostId) =>
      db.rows<TurnWaitRow>(
        `select wait_id, session_ulid, turn_id, state, beat_at > clock_timestamp() - interval '15 s' as fresh, state = 'waiting' and ${busyBelow} as below
        from turn_wait w where host_id = $1 order by wait_id`,
        [hostId],
      ),
    resumed: (waitId) => run("update turn_wait set state = 'resumed' where wait_id = $1", [waitId]),
  };
}
