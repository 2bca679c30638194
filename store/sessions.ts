import type { Lineage } from "./lineage.ts";
import type { EndOfSession } from "../contracts/messages.ts";
import { BatonError } from "../contracts/failures.ts";
import { generationId } from "../contracts/generation-id.ts";
import { camel, type Database, txRow } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { conversation, forgetConversation } from "./conversation.ts";
import { askedByChain, failAskedByChain } from "./fail-inputs.ts";
import { countLineage } from "./lineage.ts";
import { endGeneration, endIfIdle, failNeverStarted, failUnmakeable, failUnstarted, isBusy } from "./session-end.ts";
import type { NewSession, SessionRow, Cursors } from "./rows.ts";
import { insertSession, sessionSelect } from "./session-row.ts";
import type { Tx } from "./store.ts";
import { workTaken } from "./work-taken.ts";

/** Sessions: their rows, generations, names and ends. */
export interface SessionStore {
  /** Inserts session, generation 1, head; appends `session.created`. Reserves `branchName` (collision in the repository's reserved names: `-1`, `-2`…) and returns the row. */
  insert(tx: Tx, row: NewSession): Promise<SessionRow>;
  get(sessionUlid: string): Promise<SessionRow | null>;
  /** by readable name (`TASK-42/executor-2`) */
  byName(name: string): Promise<SessionRow | null>;
  byChainRole(chainId: string, role: string, n: number): Promise<SessionRow | null>;
  /** what a session has launched, under the tree's lock; null: it is gone */
  lineage(tx: Tx, sessionUlid: string): Promise<Lineage | null>;
  /** next `n` for `<context>/<role>-<n>`; the context with or without its `TASK-`, which no name has */
  nextOrdinal(tx: Tx, contextRef: string, role: string): Promise<number>;
  /** closes the generation if nothing runs, waits or is asked in it and no open chain has it; false: left as it is */
  endIfIdle(tx: Tx, a: { sessionUlid: string; generation: number; reason: string }): Promise<boolean>;
  /** something runs, waits or is asked in it; under its lock */
  isBusy(tx: Tx, sessionUlid: string): Promise<boolean>;
  /** closed as superseded or purged within the last `maxAgeMs`: their workflows may not have heard of it */
  superseded(maxAgeMs: number): Promise<SessionRow[]>;
  openFor(tx: Tx, a: { contextRef: string; role: string; agentHandle: string }): Promise<SessionRow | null>;
  /** `runId`: of its workflow, if it was started here. Returns why the generation was closed before it began; null: it is open */
  markStarted(sessionUlid: string, generation: number, runId?: string): Promise<string | null>;
  /** `started_at` null and created between minAge and maxAge ms ago, newest generation */
  unstarted(minAgeMs: number, maxAgeMs: number): Promise<SessionRow[]>;
  failNeverStarted(olderThanMs: number): Promise<string[]>;
  /** ends a generation that has not begun, with its inputs; false: it has, or is over */
  failUnstarted(a: { sessionUlid: string; generation: number; reason: string }): Promise<boolean>;
  /** started and not closed, by ULID, behind `after` ("": from the first) */
  startedAndOpen(a: { after: string; limit: number }): Promise<SessionRow[]>;
  /** workspace result with its event (keyed) */
  workspaceReady(sessionUlid: string, a: { path: string; head: string; branch: string | null }): Promise<void>;
  workspaceFailed(sessionUlid: string, message: string): Promise<void>;
  /** notes that the generation's workflow was told to close; the first time counts */
  closing(sessionUlid: string, generation: number): Promise<void>;
  /** closes the generation: columns, event, open turns are given up, waiting inputs stay recorded; inbox `close_runner`. Idempotent; only if `generation` is current. */
  end(a: EndOfSession): Promise<void>;
  /** what the log says of the agent's conversations: their first and their newest new one, the newest input an agent got, whether the newest can be gone on with elsewhere, what its finished turns cost */
  conversation(sessionUlid: string): Promise<{
    firstSeq: number | null;
    freshSeq: number | null;
    deliveredSeq: number | null;
    resumable: boolean | null;
    costMicros: number;
  }>;
  /** the agent cannot go on with its conversation: the next one begins anew, and a notice says so. False when fenced */
  forgetConversation(a: { sessionUlid: string; epoch: number; owner: string; turnId: string; why: string }): Promise<boolean>;
  /** a closed session goes on as its next generation, with `session.woken`; null: it is not closed. Of several wakers one finds it so. */
  wake(tx: Tx, sessionUlid: string): Promise<SessionRow | null>;
  /** locks the session's head until the transaction ends */
  cursors(tx: Tx, sessionUlid: string): Promise<Cursors>;
}

/** Sessions and their generations. */
export function sessionStore(db: Database): SessionStore {
  const one = (where: string, values: unknown[]) => db.row<SessionRow>(`${sessionSelect} where ${where}`, values);
  return {
    insert: (tx, row) => insertSession(db, tx, row),
    get: (sessionUlid) => one("s.session_ulid = $1", [sessionUlid]),
    byName: (name) => one("s.name = $1", [name]),
    // A role session is known by its first workflow id (`<chain>/<role>/<n>`): creation order may differ from n.
    byChainRole: (chainId, role, n) =>
      one(
        `s.chain_id = $1 and s.role = $2 and exists (select 1 from generation g where g.session_ulid = s.session_ulid and g.generation = 1
      and (right(g.workflow_id, length($3)) = $3 or ($2 = 'executor' and $4 = 1)))`,
        [chainId, role, `/${role}/${n}`, n],
      ),
    async nextOrdinal(tx, contextRef, role) {
      const bare = contextRef.replace(/^TASK-/, "");
      // until the transaction's end: two callers must not get one name
      await tx.query("select pg_advisory_xact_lock(hashtextextended($1, 1))", [`${bare}/${role}`]);
      const last = await txRow<{ n: number }>(
        tx,
        "select coalesce(max(substring(name from '-([0-9]{1,9})$')::integer), 0) as n from session where context_ref in ($1, 'TASK-' || $1) and role = $2",
        [bare, role],
      );
      return (last?.n ?? 0) + 1;
    },
    lineage: countLineage,
    openFor: (tx, a) =>
      txRow<SessionRow>(
        tx,
        `${sessionSelect} where s.context_ref = $1 and s.role = $2 and s.agent_handle = $3 and s.closed_at is null order by s.session_ulid limit 1`,
        [a.contextRef, a.role, a.agentHandle],
      ),
    async markStarted(sessionUlid, generation, runId) {
      const found = await db.row<{ closeReason: string | null }>(
        `with g as (update generation set started_at = coalesce(started_at, clock_timestamp()), run_id = coalesce(run_id, $3) where session_ulid = $1 and generation = $2 returning started_at),
        s as (update session set started_at = g.started_at from g where session_ulid = $1 and generation = $2 and session.started_at is null)
        select close_reason from generation where session_ulid = $1 and generation = $2 and closed_at is not null`,
        [sessionUlid, generation, runId ?? null],
      );
      return found && (found.closeReason ?? "closed");
    },
    unstarted: (minAgeMs, maxAgeMs) =>
      db.rows<SessionRow>(
        `${sessionSelect} join generation g on g.session_ulid = s.session_ulid and g.generation = s.generation
      where s.started_at is null and s.closed_at is null and g.created_at < clock_timestamp() - $1 * interval '1 ms' and g.created_at > clock_timestamp() - $2 * interval '1 ms' order by s.session_ulid limit 200`,
        [minAgeMs, maxAgeMs],
      ),
    failNeverStarted: (olderThanMs) => failNeverStarted(db, olderThanMs),
    failUnstarted: (a) => failUnstarted(db, a),
    startedAndOpen: ({ after, limit }) =>
      db.rows<SessionRow>(`${sessionSelect} where s.started_at is not null and s.closed_at is null and s.session_ulid > $1 order by s.session_ulid limit $2`, [
        after,
        limit,
      ]),
    workspaceReady: (sessionUlid, a) =>
      db.transaction(async (tx) => {
        if (!(await lockHead(tx, sessionUlid))) throw gone(sessionUlid);
        await tx.query("update session set workspace = 'ready', head_at_start = coalesce(head_at_start, $2) where session_ulid = $1", [sessionUlid, a.head]);
        await appendEvents(db, tx, sessionUlid, [
          { key: "session.workspace_ready", event: { type: "session.workspace_ready", data: { path: a.path, branch: a.branch, head: a.head } } },
        ]);
      }),
    workspaceFailed: (sessionUlid, message) =>
      db.transaction(async (tx) => {
        if (!(await lockHead(tx, sessionUlid))) throw gone(sessionUlid);
        const changed = await tx.query("update session set workspace = 'failed' where session_ulid = $1 and workspace = 'pending'", [sessionUlid]);
        if (changed.rowCount === 1)
          await appendEvents(db, tx, sessionUlid, [{ key: "session.workspace_failed", event: { type: "session.workspace_failed", data: { message } } }]);
      }),
    async closing(sessionUlid, generation) {
      await db.rows("update generation set closing_at = clock_timestamp() where session_ulid = $1 and generation = $2 and closing_at is null", [
        sessionUlid,
        generation,
      ]);
    },
    async end(a) {
      await db.transaction(async (tx) => {
        const ended = await endGeneration(db, tx, a);
        if (ended && a.state === "failed") await failUnmakeable(db, tx, a.sessionUlid);
        if (ended && a.state === "closed" && a.waiting !== undefined && (await hasLateInput(tx, a.sessionUlid, a.waiting))) await wake(db, tx, a.sessionUlid);
      });
    },
    endIfIdle: (tx, a) => endIfIdle(db, tx, a),
    isBusy: (tx, sessionUlid) => isBusy(tx, sessionUlid),
    superseded: (maxAgeMs) =>
      db.rows<SessionRow>(
        `${sessionSelect} where s.close_reason in ('superseded', 'purged') and s.closed_at > clock_timestamp() - $1 * interval '1 ms' order by s.session_ulid limit 200`,
        [maxAgeMs],
      ),
    conversation: (sessionUlid) => conversation(db, sessionUlid),
    forgetConversation: (a) => db.transaction((tx) => forgetConversation(db, tx, a)),
    wake: (tx, sessionUlid) => wake(db, tx, sessionUlid),
    async cursors(tx, sessionUlid) {
      const head = await lockHead(tx, sessionUlid);
      if (!head) throw gone(sessionUlid);
      return { events: head.lastSeq, deltas: head.lastDelta };
    },
  };
}

const gone = (sessionUlid: string) => new BatonError("NOT_FOUND", `There is no session ${sessionUlid}.`);

/**
 * An input that was recorded after the close was asked for, and before it was done: its sender was told that it will run, and the
 * workflow that ends takes it no more. What an open chain or one of its sessions has to say is over with the chain, which ends with this session.
 */
async function hasLateInput(tx: Tx, sessionUlid: string, waiting: string[]): Promise<boolean> {
  const late = await txRow(
    tx,
    `select 1 as one from input i join session s using (session_ulid)
    where i.session_ulid = $1 and i.state = 'recorded' and i.input_id <> all($2)
      and not exists (select 1 from chain c join session m using (chain_id)
        where c.chain_id = s.chain_id and c.state = 'open' and (${askedByChain} or i.source = 'session:' || m.session_ulid)) limit 1`,
    [sessionUlid, waiting],
  );
  return late !== null;
}

async function wake(db: Database, tx: Tx, sessionUlid: string): Promise<SessionRow | null> {
  if (!(await lockHead(tx, sessionUlid))) return null;
  const closed = await txRow<Pick<SessionRow, "generation" | "workflowId" | "purge">>(
    tx,
    "select generation, workflow_id, purge from session where session_ulid = $1 and closed_at is not null",
    [sessionUlid],
  );
  if (!closed) return null;
  if (closed.purge) throw new BatonError("NOT_FOUND", "The session was purged just now.", { currentState: "purged" });
  const generation = closed.generation + 1;
  const workflowId = generationId(closed.workflowId, generation);
  await tx.query("savepoint wake");
  try {
    await tx.query(
      "update session set generation = $2, workflow_id = $3, started_at = null, closed_at = null, close_reason = null, failed = false where session_ulid = $1",
      [sessionUlid, generation, workflowId],
    );
  } catch (error) {
    // Its agent may have got another open session meanwhile: the unique indexes decide, also between two that are woken at once.
    const { code, constraint = "" } = error as { code?: string; constraint?: string };
    if (code !== "23505" || !["session_open", "session_in_repository"].includes(constraint)) throw error;
    await tx.query("rollback to savepoint wake");
    throw await workTaken(tx, sessionUlid);
  }
  await tx.query("insert into generation (session_ulid, generation, workflow_id) values ($1, $2, $3)", [sessionUlid, generation, workflowId]);
  // The chain is its first generation's.
  await failAskedByChain(db, tx, sessionUlid);
  await appendEvents(db, tx, sessionUlid, [{ key: `session.woken:${generation}`, event: { type: "session.woken", data: { generation } } }]);
  return camel((await tx.query<Record<string, unknown>>(`${sessionSelect} where s.session_ulid = $1`, [sessionUlid])).rows[0]!) as unknown as SessionRow;
}
