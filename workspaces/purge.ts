import type { WorkspacePlan } from "../contracts/workspaces.ts";
import { keepTree } from "./candidate.ts";
import { changedFiles, diffStat } from "./diff.ts";
import type { Git } from "./git.ts";
import { createRef, inRepository, readRef, treeOf, type Repository } from "./repository.ts";
import { resolveStart } from "./worktree.ts";

/** Work that no base has: `tree`, as `parent` has it or not committed on it. */
interface Lost {
  parent: string;
  tree: string;
  /** of Baton's own making: nothing but its tree matters, while an agent's commit has a history too */ ours: boolean;
}

/** What a session has in its repository, and what of it is nowhere else. */
export interface Holdings {
  /** its branch, if it is its own and nobody else has it checked out */ branch: string | null;
  /** the commit of its branch, whoever has it */ tip: string | null;
  /** candidates, snapshots, the start */ refs: string[];
  /** what would be lost, none of it within another; `left`: directories with repositories of their own, which no ref can hold */
  unmerged: { lost: Lost[]; left: string[]; stat: string } | null;
}

const own = (plan: WorkspacePlan): string => `refs/baton/${plan.sessionUlid}/`;
/** Holds what a purge took away and no base has; stays when all others go. More than one: `purged-2`, `purged-3`… */
export const purgedRef = (plan: WorkspacePlan): string => `${own(plan)}purged`;

/** `live`: the worktree's commit and tree, while there is one. Merged is what a commit that a base reaches has, or nothing changed. */
export async function holdings(
  git: Git,
  repository: Repository,
  plan: WorkspacePlan,
  live: { head: string; tree: string; left: string[] } | null,
  candidate: string | null,
): Promise<Holdings> {
  const where = inRepository(repository);
  const refs = await ownRefs(git, repository, plan);
  const start = await resolveStart(git, repository, plan);
  // Before its start was written down a branch of this name is somebody else's.
  const isOwn = refs.includes(`${own(plan)}start`);
  const tip = plan.branch !== null && (isOwn || plan.start !== undefined) ? await readRef(git, repository, `refs/heads/${plan.branch}`) : null;
  const lost = await notInBases(git, repository, plan, start, await worksOf(git, repository, live, tip, live ? null : candidate));
  const from = lost.length === 0 ? "" : (start ?? (await git.run(["mktree"], where)));
  const files = await Promise.all(lost.map(({ tree }) => changedFiles(git, where, from, tree)));
  const left = live?.left ?? [];
  const stat = [...(lost.length > 0 ? [diffStat(files.flat())] : []), ...(left.length > 0 ? [`repositories inside: ${nameSome(left)}`] : [])].join("; ");
  const free = isOwn && tip !== null && plan.branch !== null && !(await isCheckedOutElsewhere(git, repository, plan)) ? plan.branch : null;
  return { branch: free, tip, refs, unmerged: lost.length + left.length > 0 ? { lost, left, stat } : null };
}

/** As many names as somebody reads, each on one line. */
export function nameSome(names: readonly string[]): string {
  const some = names.slice(0, 10).map((name) => name.replace(/\p{Cc}/gu, "?").slice(0, 200));
  return [...some, ...(names.length > some.length ? [`and ${names.length - some.length} more`] : [])].join(", ");
}

async function ownRefs(git: Git, repository: Repository, plan: WorkspacePlan): Promise<string[]> {
  const listed = await git.run(["for-each-ref", "--format=%(refname)", own(plan)], inRepository(repository));
  return listed.split("\n").filter(Boolean);
}

/** All that a session came to, the newest first. An agent may have left its branch and gone on elsewhere: one need not be in the other. */
async function worksOf(
  git: Git,
  repository: Repository,
  live: { head: string; tree: string } | null,
  tip: string | null,
  candidate: string | null,
): Promise<Lost[]> {
  const works: Lost[] = live ? [{ parent: live.head, tree: live.tree, ours: true }] : [];
  for (const [commit, ours] of [[live?.head, false] as const, [tip, false] as const, [candidate, true] as const]) {
    const tree = commit ? await treeOf(git, repository, commit) : null;
    if (!commit || tree === null) continue;
    // Nothing is uncommitted: then it is the agent's commit that counts.
    if (commit === live?.head && tree === live.tree) works.shift();
    works.push({ parent: commit, tree, ours });
  }
  return works;
}

/** Those that differ from the start and that no commit of a base has; without what another of them holds. */
async function notInBases(git: Git, repository: Repository, plan: WorkspacePlan, start: string | null, works: Lost[]): Promise<Lost[]> {
  const before = start === null ? null : await treeOf(git, repository, start);
  const changed = works.filter(({ tree }) => tree !== before);
  if (changed.length === 0) return [];
  const known = new Set<string>();
  for (const base of [plan.baseRef, "HEAD"]) {
    const log = await git.try(
      ["rev-list", "--no-commit-header", "--format=%T", "--max-count=20000", "--end-of-options", base, ...(start === null ? [] : [`^${start}`]), "--"],
      inRepository(repository),
    );
    if (log.code === 0) for (const tree of log.stdout.toString("utf8").split("\n")) known.add(tree);
  }
  const lost: Lost[] = [];
  for (const work of changed.filter(({ tree }) => !known.has(tree))) if (!(await isHeldBy(git, repository, work, lost))) lost.push(work);
  return lost;
}

async function isHeldBy(git: Git, repository: Repository, { parent, tree, ours }: Lost, others: Lost[]): Promise<boolean> {
  for (const other of others) if (ours ? other.tree === tree : await isAncestor(git, repository, parent, other.parent)) return true;
  return false;
}

async function isAncestor(git: Git, repository: Repository, commit: string, of: string): Promise<boolean> {
  return (await git.try(["merge-base", "--is-ancestor", commit, of], inRepository(repository))).code === 0;
}

async function isCheckedOutElsewhere(git: Git, repository: Repository, plan: WorkspacePlan): Promise<boolean> {
  const listed = await git.run(["worktree", "list", "--porcelain"], inRepository(repository));
  return listed.split("\n\n").some((one) => {
    const lines = one.split("\n");
    return lines.includes(`branch refs/heads/${plan.branch}`) && !lines.includes(`worktree ${plan.path}`);
  });
}

/** Keeps each work that is nowhere else on a ref of its own; all such refs of the session. Before anything is removed; a repeat finds them. */
export async function keepUnmerged(git: Git, repository: Repository, plan: WorkspacePlan, unmerged: Holdings["unmerged"], at: string): Promise<string[]> {
  for (const work of unmerged?.lost ?? []) {
    const { parent, tree } = work;
    if ((await treeOf(git, repository, parent)) === tree) await keepCommit(git, repository, plan, work);
    else await keepTree(git, repository, { ref: purgedRef(plan), tree, parent, at, message: `What was not merged of ${plan.sessionUlid}` });
  }
  return (await ownRefs(git, repository, plan)).filter((ref) => ref.startsWith(purgedRef(plan)));
}

/** The commit itself on the next free ref, unless one of them holds it already. */
async function keepCommit(git: Git, repository: Repository, plan: WorkspacePlan, work: Lost): Promise<void> {
  for (let n = 1; ; n += 1) {
    const ref = n === 1 ? purgedRef(plan) : `${purgedRef(plan)}-${n}`;
    const there = await readRef(git, repository, ref);
    if (there === null) {
      if (await createRef(git, repository, ref, work.parent)) return;
    } else {
      const tree = await treeOf(git, repository, there);
      if (tree !== null && (await isHeldBy(git, repository, work, [{ parent: there, tree, ours: false }]))) return;
    }
  }
}

/** The branch, then Baton's refs, the start last: it says that the branch is the session's. */
export async function dropRefs(git: Git, repository: Repository, plan: WorkspacePlan, { branch, refs }: Holdings): Promise<void> {
  const gone = refs.filter((ref) => !ref.startsWith(purgedRef(plan)) && ref !== `${own(plan)}start`);
  const names = [...(branch === null ? [] : [`refs/heads/${branch}`]), ...gone, ...(refs.includes(`${own(plan)}start`) ? [`${own(plan)}start`] : [])];
  for (const ref of names) await git.run(["update-ref", "--no-deref", "-d", ref], inRepository(repository));
}
