import { BatonError } from "../contracts/failures.ts";
import { txRow } from "./database.ts";
import type { Tx } from "./store.ts";

/** CONFLICT_STATE: a closed session cannot be woken while another one has its work, or its repository. Names that one only in `by`: not every caller may know it. */
export class WorkTaken extends BatonError {
  /** null: it has closed just now */
  readonly by: { sessionUlid: string; name: string } | null;
  constructor(by: WorkTaken["by"]) {
    super("CONFLICT_STATE", "This session is closed, and another open one has its work (or its repository).", { currentState: "closed" });
    this.by = by;
  }
}

/** Finds the session that the unique indexes `session_open` and `session_in_repository` protect against the waking one. */
export async function workTaken(tx: Tx, sessionUlid: string): Promise<WorkTaken> {
  const by = await txRow<{ sessionUlid: string; name: string }>(
    tx,
    `select o.session_ulid, o.name from session s join session o on o.session_ulid <> s.session_ulid and o.closed_at is null
    where s.session_ulid = $1 and (
      (o.context_ref = s.context_ref and o.role = s.role and o.agent_handle = s.agent_handle and (s.chain_id is null or s.role = 'executor') and (o.chain_id is null or o.role = 'executor'))
      or (s.worktree_path = s.repository_path and o.repository_path = s.repository_path and o.worktree_path = o.repository_path))
    limit 1`,
    [sessionUlid],
  );
  return new WorkTaken(by);
}
