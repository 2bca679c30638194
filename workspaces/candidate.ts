import type { Candidate } from "../contracts/event.ts";
import { changedFiles, diffStat } from "./diff.ts";
import type { Git } from "./git.ts";
import { createRef, inRepository, readRef, treeOf, type Repository } from "./repository.ts";

/** A commit of Baton's own. Same arguments: the same commit, whoever runs it and when. `at` is ISO 8601. */
export async function commitTree(git: Git, repository: Repository, a: { tree: string; parent: string; message: string; at: string }): Promise<string> {
  const seconds = Math.floor(Date.parse(a.at) / 1000);
  if (!Number.isFinite(seconds)) throw new Error(`"${a.at}" is not a time`);
  const who = (kind: string): Record<string, string> => ({
    [`GIT_${kind}_NAME`]: "Baton",
    [`GIT_${kind}_EMAIL`]: "baton@localhost",
    [`GIT_${kind}_DATE`]: `${seconds} +0000`,
  });
  const where = inRepository(repository);
  return git.run(["-c", "i18n.commitEncoding=UTF-8", "commit-tree", "--no-gpg-sign", "-p", a.parent, "-m", a.message, a.tree], {
    cwd: where.cwd,
    env: { ...where.env, ...who("AUTHOR"), ...who("COMMITTER") },
  });
}

/**
 * Keeps a tree as a commit on `ref`, create-only. A repeat with an equal tree gives the commit that is there already, even with another `at`
 * (the one before was killed after it wrote the ref). Has the tree changed since, then what is bound to the old commit must stay: the next free of `<ref>-2`, `<ref>-3`… is taken.
 */
export async function keepTree(
  git: Git,
  repository: Repository,
  a: { ref: string; tree: string; parent: string; message: string; at: string },
): Promise<{ ref: string; commit: string }> {
  for (let n = 1; ; n += 1) {
    const ref = n === 1 ? a.ref : `${a.ref}-${n}`;
    let there = await readRef(git, repository, ref);
    if (there === null) {
      const commit = await commitTree(git, repository, a);
      if (await createRef(git, repository, ref, commit)) return { ref, commit };
      there = await readRef(git, repository, ref); // lost the race for this name
    }
    if (there !== null && (await treeOf(git, repository, there)) === a.tree) return { ref, commit: there };
  }
}

/** The tree as a candidate of the turn. */
export async function makeCandidate(
  git: Git,
  repository: Repository,
  a: { sessionUlid: string; turnId: string; attempt: number; tree: string; base: string; at: string },
): Promise<Candidate> {
  const kept = await keepTree(git, repository, {
    ref: `refs/baton/${a.sessionUlid}/${a.turnId}.${a.attempt}`,
    tree: a.tree,
    parent: a.base,
    at: a.at,
    message: `Candidate of turn ${a.turnId}, attempt ${a.attempt}\n\nSession: ${a.sessionUlid}`,
  });
  const files = await changedFiles(git, inRepository(repository), a.base, a.tree);
  return { commit: kept.commit, tree: a.tree, ref: kept.ref, base: a.base, diffStat: diffStat(files), files: files.length };
}
