import type { WorkspacePlan } from "../contracts/workspaces.ts";
import type { SessionRow } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";

/** The workspace that the session's row reserved. */
export function workspacePlan(session: SessionRow): WorkspacePlan {
  const { template } = (session.args["workspace"] ?? {}) as { template?: string };
  return {
    sessionUlid: session.sessionUlid,
    repositoryPath: session.repositoryPath,
    path: session.worktreePath,
    branch: session.branchName,
    baseRef: session.baseRef,
    ...(session.headAtStart === null ? {} : { start: session.headAtStart }),
    ...(template ? { template } : {}),
  };
}

/** The same, with what a worktree that has gone is to hold again. */
export async function restorePlan(deps: HostDeps, session: SessionRow): Promise<WorkspacePlan> {
  if (!session.candidate) return workspacePlan(session);
  const ended = (await deps.store.facts.get(session.sessionUlid))?.lastDone?.endedAt;
  return { ...workspacePlan(session), ...(ended ? { restore: { commit: session.candidate.commit, until: ended } } : {}) };
}
