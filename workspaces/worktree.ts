import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BatonError } from "../contracts/failures.ts";
import type { WorkspacePlan } from "../contracts/workspaces.ts";
import type { Git } from "./git.ts";
import { exists, isEmpty } from "./on-disk.ts";
import { checkObjectId } from "./names.ts";
import { createRef, createRefs, inRepository, readRef, readRefs, resolveCommit, treeOf, worktreesDir, type Repository } from "./repository.ts";
import type { View } from "./view.ts";

/** Written into the worktree's administrative directory after its files are complete; before that no agent has run in it. */
const readyMark = "baton-ready";
/** A git whose caller was killed may still be writing there, for some milliseconds. */
const removal = { recursive: true, force: true, maxRetries: 10, retryDelay: 50 };
const startRef = (plan: WorkspacePlan): string => `refs/baton/${plan.sessionUlid}/start`;

/** The administrative directory (`.git/worktrees/<name>`) of the worktree at `path`; null when git knows none. */
export async function findWorktree(repository: Repository, path: string): Promise<string | null> {
  for (const name of await readdir(worktreesDir(repository)).catch(() => [])) {
    const dir = join(worktreesDir(repository), name);
    const points = await readFile(join(dir, "gitdir"), "utf8").catch(() => "");
    if (points.trim() === join(path, ".git")) return dir;
  }
  return null;
}

/**
 * The commit at which the session starts, the same at every repeat, and its branch. The ref is written before the branch:
 * it tells a retry after a crash that the branch is ours. `fresh`: no former try had come this far; `untouched`: and the branch was made just now.
 * Error: CONFLICT_STATE when somebody else has the branch.
 */
export async function reserveStart(git: Git, repository: Repository, plan: WorkspacePlan): Promise<{ start: string; fresh: boolean; untouched: boolean }> {
  const branchRef = plan.branch === null ? null : `refs/heads/${plan.branch}`;
  const own = branchRef === null ? [startRef(plan)] : [startRef(plan), branchRef];
  // Asked at once, whether or not it will be needed: each is a process, and a launch waits for all of them.
  const base = resolveCommit(git, repository, "baseRef", plan.baseRef);
  base.catch(() => undefined);
  const held = await readRefs(git, repository, own);
  const stored = held.get(startRef(plan)) ?? null;
  if (stored === null && branchRef !== null && held.has(branchRef)) throw branchTaken(plan);

  const start = stored ?? (await base);
  if (stored === null && (await createRefs(git, repository, own, start))) return { start, fresh: true, untouched: true };
  const fresh = stored === null && (await createRef(git, repository, startRef(plan), start));
  if (branchRef === null) return { start, fresh, untouched: false };
  try {
    await createRef(git, repository, branchRef, start); // false: made by a former try, maybe with work on it by now
  } catch (error) {
    throw new BatonError("CONFLICT_STATE", `The branch ${plan.branch} cannot be made: ${(error as Error).message}`, { field: "branch" });
  }
  return { start, fresh, untouched: false };
}

/**
 * The commit at which the session started; null: nobody can say. Without the ref (somebody tidied `refs/baton`) it is the one in the plan, then the base:
 * what a session holds is never compared with nothing.
 */
export async function resolveStart(git: Git, repository: Repository, plan: WorkspacePlan): Promise<string | null> {
  const stored = await readRef(git, repository, startRef(plan));
  if (stored !== null) return stored;
  for (const revision of [plan.start, plan.baseRef]) {
    const found = revision === undefined ? null : await resolveCommit(git, repository, "baseRef", revision).catch(() => null);
    if (found !== null) return found;
  }
  return null;
}

/** Takes back what `reserveStart` wrote for a session that is refused: of two that race for a branch the loser leaves nothing. */
export async function forgetStart(git: Git, repository: Repository, plan: WorkspacePlan): Promise<void> {
  await git.try(["update-ref", "-d", startRef(plan)], inRepository(repository));
}

/** True: complete, as left by a former `populate`; an agent may have worked in it. */
export async function isReady(worktreeGitDir: string, plan: WorkspacePlan): Promise<boolean> {
  return (await exists(join(worktreeGitDir, readyMark))) && (await exists(plan.path));
}

/** `git worktree add` without files, after what a killed try left is gone. Under the repository's lock. */
export async function addWorktree(git: Git, repository: Repository, plan: WorkspacePlan, start: string): Promise<string> {
  const left = await findWorktree(repository, plan.path);
  if (left) {
    // Without its mark no agent has worked there. With it the directory is what is missing, and only the record is left.
    if (!(await exists(join(left, readyMark)))) await rm(plan.path, removal);
    await rm(left, { recursive: true, force: true }); // not `worktree prune`: it would also forget the operator's worktrees on an unmounted disk
  }
  await setAside(plan.path);
  await mkdir(dirname(plan.path), { recursive: true, mode: 0o700 });
  const target = plan.branch === null ? ["--detach", "--", plan.path, start] : ["--", plan.path, plan.branch];
  const added = await git.try(["worktree", "add", "--no-checkout", "--quiet", ...target], inRepository(repository));
  if (added.code !== 0) {
    if (/already checked out|already used by worktree/.test(added.stderr))
      throw new BatonError("CONFLICT_STATE", `The branch ${plan.branch} is checked out elsewhere (${added.stderr}). Switch that checkout to another branch.`, {
        field: "branch",
      });
    throw new Error(`git worktree add failed: ${added.stderr}`);
  }
  const dir = await findWorktree(repository, plan.path);
  if (!dir) throw new Error(`git worktree add left no record of ${plan.path}`);
  return dir;
}

/** The tree that a worktree made again is to hold beside its commit; null: only that. */
export async function treeToRestore(git: Git, repository: Repository, plan: WorkspacePlan, head: string): Promise<string | null> {
  if (!plan.restore) return null;
  const { commit, until } = plan.restore;
  checkObjectId("restore.commit", commit);
  // Somebody has gone on with the branch: over its files the older candidate would be a change back.
  const committed = await git.run(["show", "--no-patch", "--no-notes", "--no-show-signature", "--format=%ct", head, "--"], inRepository(repository));
  if (Number(committed) * 1_000 > Date.parse(until)) return null;
  return treeOf(git, repository, commit);
}

/** Writes the files of the worktree's commit (or of `restored`, as uncommitted changes; else those of `template` over them) and marks it complete. A repeat starts over. */
export async function populate(git: Git, view: View, worktreeGitDir: string, head: string, restored: string | null = null, template?: string): Promise<void> {
  const index = join(worktreeGitDir, "index");
  await git.run(["read-tree", "--reset", "-u", head], view.on(index));
  if (restored !== null) {
    await git.run(["read-tree", "--reset", "-u", restored], view.on(index));
    await git.run(["read-tree", head], view.on(index));
  } else if (template !== undefined) {
    // Through an index of the view's own: for the worktree's they are changes that nobody has committed.
    await git.run(["read-tree", template], view.on());
    await git.run(["checkout-index", "--all", "--force", "--quiet"], view.on());
  }
  await writeFile(join(worktreeGitDir, readyMark), `${head}\n`, { flush: true });
}

/**
 * Removes the directory, then git's record of it; a killed try is finished by the next. The branch stays. Under the repository's lock.
 * Gives where a directory is now that git did not know; null: there was none.
 */
export async function dropWorktree(repository: Repository, path: string): Promise<string | null> {
  const dir = await findWorktree(repository, path);
  if (!dir) return setAside(path);
  await rm(join(dir, readyMark), { force: true }); // first: a repeat must not take a half deleted tree for somebody's changes
  await rm(path, removal);
  await rm(dir, { recursive: true, force: true });
  return null;
}

/**
 * Instead of `dropWorktree`, for a directory with what no ref can hold: it stays under another name, as a worktree at a commit that git still knows
 * (submodules have their objects in git's record of it). Gives where it is. A killed try is finished by the next. Under the repository's lock.
 */
export async function keepAside(git: Git, repository: Repository, path: string, head: string): Promise<string | null> {
  const dir = await findWorktree(repository, path);
  if (!dir) return setAside(path);
  const to = await asideName(path);
  await rm(join(dir, "HEAD.lock"), { force: true }); // nothing runs there any more: a killed git's
  await git.run(["update-ref", "--no-deref", "-m", "baton: purged", "HEAD", head], {
    cwd: repository.commonDir,
    env: { GIT_DIR: dir, GIT_COMMON_DIR: repository.commonDir },
  });
  await rm(join(dir, readyMark), { force: true });
  await writeFile(join(dir, "gitdir"), `${join(to, ".git")}\n`, { flush: true }); // first: a directory that git does not know is set aside by the next try
  await rename(path, to);
  return to;
}

/** The commit a worktree is at; `fallback` when an agent left its HEAD without one. */
export async function headOf(git: Git, repository: Repository, worktreeGitDir: string, fallback: string): Promise<string> {
  const found = await git.try(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], {
    cwd: repository.commonDir,
    env: { GIT_DIR: worktreeGitDir, GIT_COMMON_DIR: repository.commonDir },
  });
  return found.code === 0 ? found.stdout.toString("utf8").trim() : fallback;
}

/** A directory that git does not know may hold work (`git worktree prune` while it was away): it is kept under another name. Gives that; null: nothing was there. */
export async function setAside(path: string): Promise<string | null> {
  if (await isEmpty(path)) return null;
  const to = await asideName(path);
  await rename(path, to);
  return to;
}

async function asideName(path: string): Promise<string> {
  for (let n = 1; ; n += 1) if (!(await exists(`${path}.left-${n}`))) return `${path}.left-${n}`;
}

const branchTaken = (plan: WorkspacePlan): BatonError =>
  new BatonError(
    "CONFLICT_STATE",
    `The branch ${plan.branch} exists and was not made for this session. Rename or delete it, or choose another worktree.branchPrefix.`,
    { field: "branch" },
  );
