import type { WorkspacePlan } from "../contracts/workspaces.ts";
import type { SessionRow } from "../store/rows.ts";

/** The workspace that the session's row reserved. */
export function workspacePlan(session: SessionRow): WorkspacePlan {
  const { template } = (session.args["workspace"] ?? {}) as { template?: string };
  return {
    sessionUlid: session.sessionUlid,
    repositoryPath: session.repositoryPath,
    path: session.worktreePath,
    branch: session.branchName,
    baseRef: session.baseRef,
    ...(template ? { template } : {}),
  };
}
