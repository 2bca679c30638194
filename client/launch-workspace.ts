import { BatonError } from "../contracts/failures.ts";
import { branchPattern, revisionPattern } from "../contracts/workspaces.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { type Caller, viewerOf } from "./caller.ts";
import type { Deps } from "./deps.ts";
import type { RepositoryFacts } from "./inspect-repository.ts";

export interface WorktreeArgs {
  baseRef?: string;
  branchPrefix?: string;
  templateRef?: string;
  projectKey?: string;
  disabled?: boolean;
}
/** Where a session is to work. `branch` null: in the repository itself. */
export interface PlannedWorkspace {
  repositoryPath: string;
  baseRef: string;
  branch: string | null;
  /** commit whose tree is laid over the fresh worktree */
  template: string | null;
  /** the caller said where to start: a superseded session's candidate gives way */
  baseAsked: boolean;
}

/**
 * Checks repository, base, template and branch. `base`: what the task says. `about`: what the branch is named after.
 * Errors: INVALID_ARGUMENT with its field.
 */
export async function planWorkspace(
  deps: Deps,
  store: Store,
  a: { caller: Caller; worktree: WorktreeArgs; repositoryPath: string | undefined; base: string | undefined; audited: SessionRow | null; about: string },
): Promise<PlannedWorkspace> {
  const { worktree } = a;
  const asked = a.repositoryPath ?? (await projectPath(store, worktree.projectKey));
  if (!asked) throw wrong("task.repositoryPath", "Give the absolute path of the git repository to work in.");
  if (worktree.disabled) return inRepository(worktree, await deps.options.inspectRepository(asked));
  const base = (await sessionTree(store, a.caller, worktree.baseRef)) ?? worktree.baseRef ?? a.audited?.candidate?.commit ?? a.base;
  const repository = await deps.options.inspectRepository(asked, base);
  const branch = `${worktree.branchPrefix ?? "baton/"}${a.about.replace(/[^A-Za-z0-9._-]+/g, "-")}`;
  if (!branchPattern.test(branch)) throw wrong("worktree.branchPrefix", `"${branch}" is no branch name that Baton makes.`);
  return {
    repositoryPath: repository.path,
    baseRef: storedBase(base, repository),
    branch,
    template: worktree.templateRef === undefined ? null : await templateCommit(deps, asked, worktree.templateRef),
    baseAsked: worktree.baseRef !== undefined,
  };
}

/**
 * A branch by its name: what it has at the end counts as merged. A HEAD is each worktree's own, and the host would ask another one than was asked
 * here: it is the branch that is checked out, and relative to it a commit.
 */
function storedBase(base: string | undefined, repository: RepositoryFacts): string {
  if (base === undefined || base === "HEAD") return asRevision(repository.headBranch, repository.head);
  return /^(?:[A-Z_]+_)?HEAD(?:[~^@]|$)/.test(base) ? repository.base : asRevision(base, repository.base);
}

/** Git has names (`fix/#12`, `user/@x`) that the host would refuse, long after the launch was accepted: then the commit that it means now. */
const asRevision = (name: string | null, commit: string): string => (name !== null && revisionPattern.test(name) ? name : commit);

function inRepository(worktree: WorktreeArgs, repository: RepositoryFacts): PlannedWorkspace {
  const idle = (["baseRef", "templateRef", "branchPrefix"] as const).find((name) => worktree[name] !== undefined);
  if (idle !== undefined)
    throw wrong(`worktree.${idle}`, `worktree.${idle} means nothing with disabled: the session works on what the repository's directory holds now.`);
  return { repositoryPath: repository.path, baseRef: repository.head, branch: null, template: null, baseAsked: true };
}

async function projectPath(store: Store, projectKey: string | undefined): Promise<string | undefined> {
  if (projectKey === undefined) return undefined;
  const project = await store.tasks.project(projectKey);
  if (project) return project.repositoryPath;
  throw new BatonError("NOT_FOUND", `There is no project "${projectKey}": give repositoryPath, or make a task in it first.`, { field: "worktree.projectKey" });
}

/** A session as a base means the tree it came to last. */
async function sessionTree(store: Store, caller: Caller, baseRef: string | undefined): Promise<string | undefined> {
  if (baseRef === undefined || !/^[0-9A-HJKMNP-TV-Z]{26}$/.test(baseRef)) return undefined;
  const viewer = viewerOf(caller);
  const reached = viewer === null || (await store.reach.session(viewer, { ulid: baseRef })) !== null;
  const row = reached ? await store.sessions.get(baseRef) : null;
  return row === null ? undefined : (row.candidate?.commit ?? row.headAtStart ?? row.baseRef);
}

async function templateCommit(deps: Deps, repositoryPath: string, templateRef: string): Promise<string> {
  try {
    return (await deps.options.inspectRepository(repositoryPath, templateRef)).base;
  } catch (error) {
    if (error instanceof BatonError && error.detail.field === "baseRef") throw wrong("worktree.templateRef", error.message);
    throw error;
  }
}

const wrong = (field: string, message: string): BatonError => new BatonError("INVALID_ARGUMENT", message, { field });
