import { type Database, txRow } from "./database.ts";
import { lockName } from "./requests.ts";

/** A wait that its caller looks after: a task of MCP. */
export interface McpTaskRow {
  taskId: string;
  state: "working" | "completed" | "cancelled";
  /** as they were sent */
  arguments: Record<string, unknown>;
  /** what was so as the wait began */
  marks: string[];
  /** what it came to; null: nothing yet, or a session that it shows was purged */
  answer: Record<string, unknown> | null;
  /** the sessions in `answer` */
  shown: string[];
  createdAt: string;
  endedAt: string | null;
}

export interface McpTaskStore {
  /** null: the principal has as many open ones as it may */
  insert(task: Pick<McpTaskRow, "taskId" | "arguments" | "marks"> & { principal: string; owner: string; lifeMs: number }): Promise<McpTaskRow | null>;
  /** null: there is none, it is somebody else's, or its time is over */
  get(a: { taskId: string; owner: string }): Promise<McpTaskRow | null>;
  /** The first answer stays. Nothing happens while a session that it shows is on its way out. */
  complete(a: { taskId: string; answer: Record<string, unknown>; shown: string[] }): Promise<void>;
  /** what has ended stays as it is */
  cancel(taskId: string): Promise<void>;
}

/** Of one principal: open ones, */
const mostOpen = 100;
/** and ended ones that are kept for whoever asks once more. An answer has up to 32 KB. */
const mostEnded = 500;
const expiredAtOnce = 100;

const columns = "task_id, state, arguments, marks, answer, shown, created_at, ended_at";

/** Tasks of MCP. Expired ones go as new ones come. */
export function mcpTaskStore(db: Database): McpTaskStore {
  return {
    insert: (t) =>
      db.transaction(async (tx) => {
        // Of two at once the second counts the first.
        await lockName(tx, `mcp_task ${t.principal}`);
        await tx.query(
          `delete from mcp_task where task_id in (select task_id from mcp_task where expires_at < clock_timestamp() order by expires_at limit ${expiredAtOnce} for update skip locked)`,
        );
        await tx.query(
          `delete from mcp_task where task_id in (select task_id from mcp_task where principal = $1 and state <> 'working' order by ended_at desc offset ${mostEnded})`,
          [t.principal],
        );
        return txRow<McpTaskRow>(
          tx,
          `insert into mcp_task (task_id, principal, owner, arguments, marks, expires_at)
          select $1, $2, $3, $4, $5, clock_timestamp() + $6 * interval '1 ms'
          where (select count(*) from mcp_task where principal = $2 and state = 'working' and expires_at > clock_timestamp()) < ${mostOpen}
          returning ${columns}`,
          [t.taskId, t.principal, t.owner, JSON.stringify(t.arguments), t.marks, t.lifeMs],
        );
      }),
    get: (a) => db.row<McpTaskRow>(`select ${columns} from mcp_task where task_id = $1 and owner = $2 and expires_at > clock_timestamp()`, [a.taskId, a.owner]),
    async complete(a) {
      // Shared locks: a purge of one of them begins before this, and is seen here, or after, and then takes the answer away.
      await db.rows(
        `with shown as materialized (select purge from session where session_ulid = any($3) order by session_ulid for share)
        update mcp_task set state = 'completed', answer = $2, shown = $3, ended_at = clock_timestamp()
        where task_id = $1 and state = 'working' and not exists (select 1 from shown where purge is not null)`,
        [a.taskId, JSON.stringify(a.answer), a.shown],
      );
    },
    async cancel(taskId) {
      await db.rows("update mcp_task set state = 'cancelled', ended_at = clock_timestamp() where task_id = $1 and state = 'working'", [taskId]);
    },
  };
}
