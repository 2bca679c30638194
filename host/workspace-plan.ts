import type { WorkspacePlan } from "../contracts/workspaces.ts";
import type { SessionRow } from "../store/rows.ts";

/** The workspace that the session's row reserved. */
export const workspacePlan = (session: SessionRow): WorkspacePlan => ({
  sessionUlid: session.sessionUlid,
  repositoryPath: session.repositoryPath,
  path: session.worktreePath,
  branch: session.branchName,
  baseRef: session.baseRef,
});
