import type { WorkspacePlan } from "../contracts/workspaces.ts";
import { keepTree } from "./candidate.ts";
import { changedFiles, diffStat } from "./diff.ts";
import type { Git } from "./git.ts";
import { createRef, inRepository, readRef, treeOf, type Repository } from "./repository.ts";

/** What a session has in its repository, and what of it is nowhere else. */
export interface Holdings {
  /** its branch, if it is its own and nobody else has it checked out */ branch: string | null;
  /** the commit of its branch, whoever has it */ tip: string | null;
  /** candidates, snapshots, the start */ refs: string[];
  /** what would be lost: commit to be the parent of what keeps it, and the tree */ unmerged: { parent: string; tree: string; stat: string } | null;
}

const own = (plan: WorkspacePlan): string => `refs/baton/${plan.sessionUlid}/`;
/** Holds what a purge took away and no base has; stays when all others go. */
export const purgedRef = (plan: WorkspacePlan): string => `${own(plan)}purged`;

/** `live`: the worktree's commit and tree, while there is one. Merged is what a commit that a base reaches has, or nothing changed. */
export async function holdings(
  git: Git,
  repository: Repository,
  plan: WorkspacePlan,
  live: { head: string; tree: string } | null,
  candidate: string | null,
): Promise<Holdings> {
  const where = inRepository(repository);
  const listed = await git.run(["for-each-ref", "--format=%(refname)", own(plan)], where);
  const refs = listed.split("\n").filter(Boolean);
  const start = await readRef(git, repository, `${own(plan)}start`);
  const branchRef = plan.branch === null || start === null ? null : `refs/heads/${plan.branch}`;
  const tip = branchRef === null ? null : await readRef(git, repository, branchRef);
  const parent = live?.head ?? tip ?? candidate ?? start;
  const commits = [live?.head, tip, live ? null : candidate].filter((commit) => typeof commit === "string");
  const trees = [...(live ? [live.tree] : []), ...(await Promise.all(commits.map((commit) => treeOf(git, repository, commit))))];
  const lost = start === null ? [] : await notInBases(git, repository, plan, start, [...new Set(trees.filter((tree) => tree !== null))]);
  const tree = lost[0];
  const unmerged = tree && parent && start ? { parent, tree, stat: diffStat(await changedFiles(git, where, start, tree)) } : null;
  const free = tip !== null && plan.branch !== null && !(await isCheckedOutElsewhere(git, repository, plan)) ? plan.branch : null;
  return { branch: free, tip, refs, unmerged };
}

/** Those of the trees that differ from the start's and that no commit of a base has. */
async function notInBases(git: Git, repository: Repository, plan: WorkspacePlan, start: string, trees: string[]): Promise<string[]> {
  const before = await treeOf(git, repository, start);
  const changed = trees.filter((tree) => tree !== before);
  if (changed.length === 0) return [];
  const known = new Set<string>();
  for (const base of [plan.baseRef, "HEAD"]) {
    const log = await git.try(
      ["rev-list", "--no-commit-header", "--format=%T", "--max-count=20000", "--end-of-options", base, `^${start}`, "--"],
      inRepository(repository),
    );
    if (log.code === 0) for (const tree of log.stdout.toString("utf8").split("\n")) known.add(tree);
  }
  return changed.filter((tree) => !known.has(tree));
}

async function isCheckedOutElsewhere(git: Git, repository: Repository, plan: WorkspacePlan): Promise<boolean> {
  const listed = await git.run(["worktree", "list", "--porcelain"], inRepository(repository));
  return listed.split("\n\n").some((one) => {
    const lines = one.split("\n");
    return lines.includes(`branch refs/heads/${plan.branch}`) && !lines.includes(`worktree ${plan.path}`);
  });
}

/** Keeps what is nowhere else on one ref; the ref, or null when there is nothing. Before anything is removed; a repeat finds it. */
export async function keepUnmerged(git: Git, repository: Repository, plan: WorkspacePlan, unmerged: Holdings["unmerged"], at: string): Promise<string | null> {
  const ref = purgedRef(plan);
  if (unmerged) {
    const { parent, tree } = unmerged;
    if ((await treeOf(git, repository, parent)) === tree && (await createRef(git, repository, ref, parent))) return ref;
    return (await keepTree(git, repository, { ref, tree, parent, at, message: `What was not merged of ${plan.sessionUlid}` })).ref;
  }
  return (await readRef(git, repository, ref)) === null ? null : ref;
}

/** The branch, then Baton's refs, the start last: it says that the branch is the session's. */
export async function dropRefs(git: Git, repository: Repository, plan: WorkspacePlan, { branch, refs }: Holdings): Promise<void> {
  const gone = refs.filter((ref) => !ref.startsWith(purgedRef(plan)) && ref !== `${own(plan)}start`);
  const names = [...(branch === null ? [] : [`refs/heads/${branch}`]), ...gone, ...(refs.includes(`${own(plan)}start`) ? [`${own(plan)}start`] : [])];
  for (const ref of names) await git.run(["update-ref", "--no-deref", "-d", ref], inRepository(repository));
}
