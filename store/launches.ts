import type { Override } from "../contracts/preset.ts";
import { type Database, txRow } from "./database.ts";
import type { SessionRow } from "./rows.ts";
import { storable, storableText } from "./storable.ts";
import type { Tx } from "./store.ts";

/** What a session was launched with; a session that a chain opened has no such row. */
export interface LaunchRow {
  sessionUlid: string;
  firstPrompt: string;
  promptMode: string;
  sections: { name: string; source: string; sha256: string; missing?: true }[];
  overrides: Override[];
  bootstrap: string[];
}

/** Launches as they were. */
export interface LaunchStore {
  insert(tx: Tx, row: LaunchRow): Promise<void>;
  get(sessionUlid: string): Promise<LaunchRow | null>;
  /** the text of a session's first input */
  firstInput(sessionUlid: string): Promise<string | null>;
  /** the open session that works in the repository itself */
  inRepository(tx: Tx, repositoryPath: string): Promise<Pick<SessionRow, "sessionUlid" | "name"> | null>;
}

export function launchStore(db: Database): LaunchStore {
  return {
    async insert(tx, row) {
      await tx.query("insert into launch (session_ulid, first_prompt, prompt_mode, sections, overrides, bootstrap) values ($1, $2, $3, $4, $5, $6)", [
        row.sessionUlid,
        storableText(row.firstPrompt),
        row.promptMode,
        JSON.stringify(row.sections),
        JSON.stringify(storable(row.overrides)),
        JSON.stringify(row.bootstrap),
      ]);
    },
    get: (sessionUlid) =>
      db.row<LaunchRow>("select session_ulid, first_prompt, prompt_mode, sections, overrides, bootstrap from launch where session_ulid = $1", [sessionUlid]),
    firstInput: async (sessionUlid) =>
      (await db.row<{ prompt: string }>("select prompt from input where session_ulid = $1 order by input_id limit 1", [sessionUlid]))?.prompt ?? null,
    inRepository: (tx, repositoryPath) =>
      txRow(tx, "select session_ulid, name from session where repository_path = $1 and worktree_path = repository_path and closed_at is null", [
        repositoryPath,
      ]),
  };
}
