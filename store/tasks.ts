import type { Viewer } from "./reach.ts";
import { BatonError } from "../contracts/failures.ts";
import { type Database, txRow } from "./database.ts";
import type { ProjectRow, TaskRow } from "./rows.ts";
import type { Tx } from "./store.ts";

/** Tasks and their projects. */
export interface TaskStore {
  project(projectKey: string): Promise<ProjectRow | null>;
  /** sets projectKey → repository at the first task; another path: BatonError CONFLICT_STATE. `principal` (default: the local operator): whose task it is */
  insert(tx: Tx, task: Omit<TaskRow, "createdAt" | "updatedAt" | "status"> & { repositoryPath: string | null }, principal?: string): Promise<TaskRow>;
  get(taskKey: string): Promise<TaskRow | null>;
  /** whose it is; null: no such task */
  madeBy(taskKey: string): Promise<string | null>;
  list(filter: { projectKey?: string; status?: string; assigneeHandle?: string; limit: number; after?: string; reach?: Viewer }): Promise<TaskRow[]>;
  /** null: no such task; nobody else changes it until the transaction ends */
  lockedStatus(tx: Tx, taskKey: string): Promise<string | null>;
  setStatus(tx: Tx, a: { taskKey: string; to: string }): Promise<void>;
}

const columns =
  "task_key, project_key, title, description, acceptance_criteria, requirements, base_ref, status, assignee_handle, reviewer_handles, metadata, created_at, updated_at";

/** Projects and tasks. */
export function taskStore(db: Database): TaskStore {
  return {
    project: (projectKey) => db.row<ProjectRow>("select project_key, repository_path from project where project_key = $1", [projectKey]),
    insert: insertTask,
    get: (taskKey) => db.row<TaskRow>(`select ${columns} from task where task_key = $1`, [taskKey]),
    madeBy: async (taskKey) => (await db.row<{ principal: string }>("select principal from task where task_key = $1", [taskKey]))?.principal ?? null,
    list: (f) =>
      db.rows<TaskRow>(
        `select ${columns} from task where ($1::text is null or project_key = $1) and ($2::text is null or status = $2) and ($3::text is null or assignee_handle = $3) and ($4::text is null or task_key > $4)
        and ($6::text is null or principal in ($6, 'local') or exists (select 1 from session s where s.task_key = task.task_key and s.owner = $6))
        and ($7::text is null or principal = 'session:' || $7 or exists (select 1 from session s join seen_by_session($7) seen using (session_ulid) where s.task_key = task.task_key))
        order by task_key limit $5`,
        [
          f.projectKey ?? null,
          f.status ?? null,
          f.assigneeHandle ?? null,
          f.after ?? null,
          f.limit,
          f.reach && "owner" in f.reach ? f.reach.owner : null,
          f.reach && "session" in f.reach ? f.reach.session : null,
        ],
      ),
    async lockedStatus(tx, taskKey) {
      const row = await txRow<{ status: string }>(tx, "select status from task where task_key = $1 for update", [taskKey]);
      return row?.status ?? null;
    },
    async setStatus(tx, { taskKey, to }) {
      await tx.query("update task set status = $2, updated_at = clock_timestamp() where task_key = $1", [taskKey, to]);
    },
  };
}

async function insertTask(tx: Tx, t: Parameters<TaskStore["insert"]>[1], principal = "local"): Promise<TaskRow> {
  if (t.repositoryPath !== null) {
    await tx.query("insert into project (project_key, repository_path) values ($1, $2) on conflict do nothing", [t.projectKey, t.repositoryPath]);
    const project = await txRow<ProjectRow>(tx, "select project_key, repository_path from project where project_key = $1", [t.projectKey]);
    if (project && project.repositoryPath !== t.repositoryPath)
      throw new BatonError("CONFLICT_STATE", `Project ${t.projectKey} is in ${project.repositoryPath}. Use that repository, or another project key.`, {
        field: "repositoryPath",
        allowed: project.repositoryPath,
      });
  }
  const row = await txRow<TaskRow>(
    tx,
    `insert into task (task_key, project_key, title, description, acceptance_criteria, requirements, base_ref, assignee_handle, reviewer_handles, metadata, principal)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing returning ${columns}`,
    [
      t.taskKey,
      t.projectKey,
      t.title,
      t.description,
      JSON.stringify(t.acceptanceCriteria),
      JSON.stringify(t.requirements),
      t.baseRef,
      t.assigneeHandle,
      JSON.stringify(t.reviewerHandles),
      JSON.stringify(t.metadata),
      principal,
    ],
  );
  if (!row) throw new BatonError("CONFLICT_STATE", `Task ${t.taskKey} exists already.`, { field: "taskKey" });
  return row;
}
