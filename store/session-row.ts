import { BatonError } from "../contracts/failures.ts";
import { txRow, txRows, type Database } from "./database.ts";
import { appendEvents } from "./events.ts";
import type { NewSession, SessionRow } from "./rows.ts";
import type { Tx } from "./store.ts";

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

/** The session, its first generation and its head; the branch's name is reserved. Error: CONFLICT_STATE when another open session has its place. */
export async function insertSession(db: Database, tx: Tx, row: NewSession): Promise<SessionRow> {
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
