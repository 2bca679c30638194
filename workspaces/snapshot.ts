import { BatonError } from "../contracts/failures.ts";
import type { WorkspacePlan } from "../contracts/workspaces.ts";
import { keepTree } from "./candidate.ts";
import type { Git } from "./git.ts";
import { inRepository, treeOf, type Repository } from "./repository.ts";
import { readTree } from "./tree.ts";
import type { View } from "./view.ts";

/**
 * Keeps what would be lost with the worktree's files: changes that are in no commit, and commits that no ref holds.
 * Gives the ref, or null when there is nothing to lose, and the directories that a ref cannot hold. Error: CONFLICT_STATE while something still writes there.
 */
export async function snapshotIfDirty(
  git: Git,
  repository: Repository,
  view: View,
  plan: WorkspacePlan,
  worktreeGitDir: string,
  head: string,
): Promise<{ ref: string | null; left: string[] }> {
  const { tree, stable, left } = await readTree(git, view, head, worktreeGitDir);
  if (!stable) throw new BatonError("CONFLICT_STATE", `Something still writes in ${plan.path}. End what runs there, then repeat.`);
  if (tree === (await treeOf(git, repository, head)) && (await isHeld(git, repository, head))) return { ref: null, left };
  // Dated by its parent, so that a repeat is the same commit.
  const at = await git.run(["show", "--no-patch", "--no-notes", "--no-show-signature", "--format=%cI", head, "--"], inRepository(repository));
  const kept = await keepTree(git, repository, {
    ref: `refs/baton/${plan.sessionUlid}/snapshot`,
    tree,
    parent: head,
    at,
    message: `Snapshot of ${plan.sessionUlid}`,
  });
  return { ref: kept.ref, left };
}

async function isHeld(git: Git, repository: Repository, commit: string): Promise<boolean> {
  const refs = await git.run(["for-each-ref", "--count=1", "--format=%(refname)", "--contains", commit], inRepository(repository));
  return refs !== "";
}
