import { lstat, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Git } from "./git.ts";
import { isEmpty } from "./on-disk.ts";
import type { TreeReading } from "./tree.ts";
import type { View } from "./view.ts";

/** So many are looked into; a tree with more of them holds work. */
const mostProofs = 20;

type ReadTree = (git: Git, view: View, head: string, gitDir: string) => Promise<TreeReading>;

/**
 * Which of these directories hold a repository, or what is left of one, whose work may be nowhere else: no tree of the repository around it has
 * more of them than a commit's name. Work is everything but what is proven to be clean and at a remote. Nothing that such a repository's config
 * says is run: its files are read through a view of our own. Sorted.
 */
export async function holdingWork(git: Git, view: View, paths: readonly string[], readTree: ReadTree): Promise<string[]> {
  const holding: string[] = [];
  for (const [at, path] of [...new Set(paths)].sort().entries())
    if (at >= mostProofs || !(await isElsewhere(git, view, join(view.on().cwd, path), readTree).catch(() => false))) holding.push(path);
  return holding;
}

/** The directories among these that have a `.git`, whatever that is: files in it may be tracked by the repository around it. */
export async function withGitEntry(workTree: string, directories: readonly string[]): Promise<string[]> {
  const found = await Promise.all(directories.map((path) => lstat(join(workTree, path, ".git")).catch(() => null)));
  return directories.filter((_, at) => found[at] != null);
}

async function isElsewhere(git: Git, view: View, dir: string, readTree: ReadTree): Promise<boolean> {
  const gitDir = await gitDirIn(dir);
  // A submodule that nobody fetched; files in it are in no tree.
  if (gitDir === null) return isEmpty(dir);
  const where = { cwd: dir, env: { GIT_DIR: gitDir, GIT_WORK_TREE: dir, GIT_CEILING_DIRECTORIES: dirname(dir) } };
  const head = await git.run(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], where);
  const own = await git.run(["rev-list", "--max-count=1", head, "--all", "--not", "--remotes", "--"], where);
  if (own !== "") return false;
  const commonDir = await readFile(join(gitDir, "commondir"), "utf8").then(
    (said) => resolve(gitDir, said.trim()),
    () => gitDir,
  );
  return view.inside(dir, commonDir, async (inner) => {
    const { tree, stable, left } = await readTree(git, inner, head, gitDir);
    return stable && left.length === 0 && tree === (await git.run(["rev-parse", "--verify", `${head}^{tree}`], inner.on()));
  });
}

async function gitDirIn(dir: string): Promise<string | null> {
  const entry = join(dir, ".git");
  const found = await lstat(entry).catch(() => null);
  if (found === null) return null;
  if (found.isDirectory()) return entry;
  const [, to] = /^gitdir: (.+?)\n*$/s.exec(found.isFile() ? await readFile(entry, "utf8") : "") ?? [];
  if (to === undefined) throw new Error(`${entry} names no repository`);
  return resolve(dir, to);
}
