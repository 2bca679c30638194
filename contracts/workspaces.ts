import type { Candidate } from "./event.ts";

/** Where a session works. Absolute paths. */
export interface WorkspacePlan {
  sessionUlid: string;
  repositoryPath: string;
  /** Baton's worktree directory for the session (named by its ULID); equal to `repositoryPath`: the session works in the repository itself */
  path: string;
  /** null: detached (reviewer, auditor) */
  branch: string | null;
  /** commit-ish the worktree starts at */
  baseRef: string;
  /** commit that it started at, as its row says: for when somebody deleted the ref that holds it */
  start?: string;
  /** commit whose files are laid over the fresh worktree, as changes that nobody has committed */
  template?: string;
  /** a worktree that has to be made again holds this commit's files, uncommitted, unless its branch has newer commits than `until` (ISO 8601) */
  restore?: { commit: string; until: string };
}

/** Does the session work in the repository itself? Baton makes, moves and deletes nothing there. */
export const worksInRepository = (session: { worktreePath: string; repositoryPath: string }): boolean => session.worktreePath === session.repositoryPath;

/** Git on one host. All names are checked before git sees them; hooks, fsmonitor and planted filters never run. */
export interface Workspaces {
  /** Resolves `repositoryPath` to its top level and HEAD. BatonError INVALID_ARGUMENT with what to do when it is not a git repository (or has no commit). */
  inspectRepository(repositoryPath: string): Promise<{ path: string; headBranch: string | null; head: string }>;
  /** Makes the worktree or adopts what a former try left. Idempotent. */
  prepare(plan: WorkspacePlan): Promise<{ path: string; head: string }>;
  /** The whole tree (tracked and untracked, not ignored) as a commit on `refs/baton/<session>/<turn>.<attempt>`; branch, index and files stay untouched. `stable: false` after three differing tries. `left`: directories with a repository of their own whose work is not in it. */
  capture(a: { plan: WorkspacePlan; base: string; turnId: string; attempt: number; at: string }): Promise<Candidate & { stable: boolean; left: string[] }>;
  /** Moves a detached worktree to a candidate, discarding what is there (after a snapshot if dirty). */
  checkout(a: { plan: WorkspacePlan; commit: string }): Promise<{ commit: string; tree: string }>;
  /** Unified diff between two commits or trees. */
  diff(a: {
    repositoryPath: string;
    from: string;
    to: string;
    path?: string;
    maxBytes: number;
  }): Promise<{ diff: string; truncated: boolean; files: { path: string; added: number; deleted: number }[] }>;
  /** What a purge would take away: how many refs, and what of the work is in no commit of the base (as `2 files, +10 -3`, and the repositories inside). `candidate`: the last one's commit. A repository that is gone has no refs, and what its worktree holds is unknown. CONFLICT_STATE while something writes there. */
  inspect(a: { plan: WorkspacePlan; candidate: string | null }): Promise<{ refs: number; unmerged: string | null }>;
  /** Removes the worktree, the branch and Baton's refs of the session. What is in no commit of the base is kept first, on the refs `snapshots`; a branch that is checked out elsewhere, or of which no ref says that it is the session's, stays, and a directory that git does not know, or with repositories inside, is kept at `leftAt`. Idempotent. */
  purge(a: { plan: WorkspacePlan; candidate: string | null; at: string }): Promise<{ snapshots: string[]; branchKept: boolean; leftAt: string | null }>;
  /** Snapshot ref of a dirty tree, then `worktree remove`. The branch stays. */
  remove(plan: WorkspacePlan): Promise<{ snapshot: string | null }>;
}

/** `taskKey` pattern (pm-tools section 3). */
export const taskKeyPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** What we let into a branch name, before git's own check-ref-format. */
export const branchPattern = /^(?!-)(?!.*(?:\.\.|\/\/|@\{|\.lock(?:\/|$)|\/\.|\.\/))[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/;
/** Commit-ishes that a host takes: names, `HEAD~2`, `v1^`; no leading dash, no `..`, no `:path`, no reflog or search syntax. Git itself allows more. */
export const revisionPattern = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}(?:[~^][0-9]{0,4}){0,8}$/;
