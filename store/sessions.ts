import { BatonError } from "../contracts/failures.ts";
import { generationId } from "../contracts/generation-id.ts";
import { camel, type Database, txRow, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { conversation, forgetConversation } from "./conversation.ts";
import { countLineage } from "./lineage.ts";
import { seenBy } from "./reach.ts";
import { endGeneration, endIfIdle, failNeverStarted, failUnmakeable, isBusy } from "./session-end.ts";
import type { NewSession, SessionRow } from "./rows.ts";
import type { Store, Tx } from "./store.ts";
import { workTaken } from "./work-taken.ts";

/** What an insert sets; the rest has defaults. */
const columnNames: (keyof NewSession)[] = [
  "sessionUlid",
  "name",
  "workflowId",
  "principal",
  "clientRequestId",
  "contextRef",
  "taskKey",
  "projectKey",
  "role",
  "provider",
  "agentHandle",
  "actor",
  "launcherConfigKey",
  "presetRevision",
  "presetSha256",
  "hostId",
  "repositoryPath",
  "worktreePath",
  "branchName",
  "baseRef",
  "systemPrompt",
  "args",
  "labels",
  "launchReason",
  "parentUlid",
  "chainId",
];
const snake = (name: string) => (name === "presetSha256" ? "preset_sha256" : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
const laterColumns = [
  "root_ulid",
  "depth",
  "owner",
  "generation",
  "head_at_start",
  "workspace",
  "provider_session_id",
  "created_at",
  "started_at",
  "closed_at",
  "close_reason",
  "failed",
  "candidate",
  "purge",
  "purged_at",
];

/** Columns by name, never `*`: a statement is planned once a connection, and a newer Baton may add a column meanwhile. */
export const sessionSelect = `select ${[...columnNames.map(snake), ...laterColumns].map((name) => `s.${name}`).join(", ")}, h.last_seq, h.updated_at as last_activity_at from session s join head h using (session_ulid)`;

/** Sessions and their generations. */
export function sessionStore(db: Database): Store["sessions"] {
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
    list: (filter) => listSessions(db, filter),
    async nextOrdinal(tx, contextRef, role) {
      // until the transaction's end: two callers must not get one name
      await tx.query("select pg_advisory_xact_lock(hashtextextended($1, 1))", [`${contextRef}/${role}`]);
      const last = await txRow<{ n: number }>(
        tx,
        "select coalesce(max(substring(name from '-([0-9]{1,9})$')::integer), 0) as n from session where context_ref = $1 and role = $2",
        [contextRef, role],
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

async function insertSession(db: Database, tx: Tx, row: NewSession): Promise<SessionRow> {
  const branchName = row.branchName === null ? null : await reserveBranch(tx, row.repositoryPath, row.branchName);
  const { args, labels, ...plain } = row;
  const values: Record<string, unknown> = { ...plain, branchName, args: JSON.stringify(args), labels: JSON.stringify(labels) };
  const names = columnNames.filter((name) => name in values);
  try {
    await tx.query(
      `insert into session (${names.map(snake).join(", ")}) values (${names.map((_, i) => `$${i + 1}`).join(", ")})`,
      names.map((name) => values[name]),
    );
  } catch (error) {
    throw (error as { code?: string }).code === "23505" ? conflict(row, (error as { constraint?: string }).constraint) : error;
  }
  await tx.query("insert into generation (session_ulid, generation, workflow_id) values ($1, 1, $2)", [row.sessionUlid, row.workflowId]);
  await tx.query("insert into head (session_ulid) values ($1)", [row.sessionUlid]);
  await appendEvents(db, tx, row.sessionUlid, [
    {
      key: "session.created",
      event: {
        type: "session.created",
        data: { role: row.role, provider: row.provider, agentHandle: row.agentHandle, contextRef: row.contextRef, branchName: branchName ?? "" },
      },
    },
  ]);
  return (await txRow<SessionRow>(tx, `${sessionSelect} where s.session_ulid = $1`, [row.sessionUlid]))!;
}

function conflict(row: NewSession, constraint: string | undefined): BatonError {
  if (constraint === "session_in_repository")
    return new BatonError("CONFLICT_STATE", `Another session works in ${row.repositoryPath} itself: close it first, or work in a worktree.`, {
      field: "worktree.disabled",
      currentState: "open",
    });
  return constraint === "session_open"
    ? new BatonError(
        "CONFLICT_STATE",
        `${row.agentHandle} has an open ${row.role} session for ${row.contextRef} already. Send it an input, or close it first.`,
        { currentState: "open" },
      )
    : new BatonError("CONFLICT_STATE", `A session named ${row.name} exists already. Repeat the call.`);
}

/** The first free of `name`, `name-1`, … in the repository; the lock makes two at once choose different ones. */
async function reserveBranch(tx: Tx, repositoryPath: string, name: string): Promise<string> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended($1, 2))", [repositoryPath]);
  const taken = new Set(
    (
      await txRows<{ branchName: string }>(
        tx,
        "select branch_name from session where repository_path = $1 and (branch_name = $2 or starts_with(branch_name, $2 || '-'))",
        [repositoryPath, name],
      )
    ).map((r) => r.branchName),
  );
  if (!taken.has(name)) return name;
  for (let n = 1; ; n += 1) if (!taken.has(`${name}-${n}`)) return `${name}-${n}`;
}

async function listSessions(db: Database, f: Parameters<Store["sessions"]["list"]>[0]): Promise<SessionRow[]> {
  const open = f.open === undefined ? "true" : f.open ? "s.closed_at is null" : "s.closed_at is not null";
  const seen = seenBy(f.reach, 9);
  return db.rows<SessionRow>(
    `${sessionSelect} where s.purge is null and ${open} and ${seen.sql}
    and ($2::text is null or s.context_ref = $2) and ($3::text is null or s.role = $3) and ($4::text is null or s.agent_handle = $4) and ($5::text is null or s.project_key = $5)
    and ($6::text is null or s.parent_ulid = $6) and ($7::text is null or s.chain_id = $7) and ($8::text is null or s.session_ulid < $8)
    order by s.session_ulid desc limit $1`,
    [f.limit, ...[f.contextRef, f.role, f.agentHandle, f.projectKey, f.parentUlid, f.chainId, f.before].map((value) => value ?? null), seen.value],
  );
}

/**
 * An input that was recorded after the close was asked for, and before it was done: its sender was told that it will run, and the
 * workflow that ends takes it no more. An open chain decides for itself when its sessions are over.
 */
async function hasLateInput(tx: Tx, sessionUlid: string, waiting: string[]): Promise<boolean> {
  const late = await txRow(
    tx,
    `select 1 as one from input i join session s using (session_ulid)
    where i.session_ulid = $1 and i.state = 'recorded' and i.input_id <> all($2)
      and not exists (select 1 from chain c where c.chain_id = s.chain_id and c.state = 'open') limit 1`,
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
  await appendEvents(db, tx, sessionUlid, [{ key: `session.woken:${generation}`, event: { type: "session.woken", data: { generation } } }]);
  return camel((await tx.query<Record<string, unknown>>(`${sessionSelect} where s.session_ulid = $1`, [sessionUlid])).rows[0]!) as unknown as SessionRow;
}
