import { lstat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Git, GitOptions } from "./git.ts";
import { holdingWork, withGitEntry } from "./nested.ts";
import type { View } from "./view.ts";

/** What a work tree holds, as a git tree. `stable`: two readings in a row agreed. */
export interface TreeReading {
  tree: string;
  stable: boolean;
  /** directories with a repository of their own whose work is in no tree of this one, and maybe nowhere else */
  left: string[];
}

/**
 * Writes the work tree as a tree object: tracked (in `head` or in the worktree's own index) and untracked files, not ignored ones.
 * Starts from an index of our own, since an agent can mark entries of its index as unchanged and so hide them.
 * A repository inside the work tree that is no submodule is left out: git has no tree for it. What may be lost with it, or with a submodule, is in `left`.
 * `sparse`: the work tree is the operator's, who may have only a part of the files there.
 */
export async function readTree(git: Git, view: View, head: string, worktreeGitDir: string, sparse = false): Promise<TreeReading> {
  await git.run(["read-tree", head], view.on());
  if (sparse) await leaveOutside(git, view, worktreeGitDir);
  let before = await addEverything(git, view, worktreeGitDir);
  let stable = false;
  for (let reading = 2; reading <= 3 && !stable; reading += 1) {
    const now = await addEverything(git, view, worktreeGitDir);
    stable = now.tree === before.tree;
    before = now;
  }
  const left = await holdingWork(git, view, before.repositories, readTree);
  return { tree: before.tree, stable, left };
}

/** What the operator's index says is not checked out, and is not there, is no deletion. */
async function leaveOutside(git: Git, view: View, worktreeGitDir: string): Promise<void> {
  const marked = await list(git, ["-t", "--cached"], view.on(join(worktreeGitDir, "index")));
  const paths = marked.filter((line) => line.startsWith("S ")).map((line) => line.slice(2));
  const there = await Promise.all(paths.map((path) => isThere(view.on().cwd, path, "file")));
  const ours = new Set(await list(git, ["--cached"], view.on()));
  const outside = paths.filter((path, at) => !there[at] && ours.has(path));
  if (outside.length > 0) await git.run(["update-index", "--skip-worktree", "-z", "--stdin"], { ...view.on(), input: bytes(outside) });
}

async function addEverything(git: Git, view: View, worktreeGitDir: string): Promise<{ tree: string; repositories: string[] }> {
  // `git add` refuses everything because of one repository without a commit inside the tree; found first, they are left out.
  const nested = (await list(git, ["--others", "--exclude-standard"], view.on())).filter((path) => path.endsWith("/"));
  // Into a submodule `git add` would go by itself: it starts a git there that obeys the submodule's own config, filters and all.
  const submodules = await submodulesIn(git, view);
  const left = [...nested.map((path) => path.slice(0, -1)), ...submodules];
  const pathspecs = [".", ...left.map((path) => `:(exclude,literal,top)${path}`)];
  const add = await git.try(["add", "--all", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul"], { ...view.on(), input: bytes(pathspecs) });
  if (add.code !== 0) throw new Error(`The work tree cannot be read: ${add.stderr}`);

  for (const path of submodules) await noteCommit(git, view, path);

  // What the agent added in spite of an ignore rule is in its own index only.
  const known = new Set(await list(git, ["--cached"], view.on()));
  const forced: string[] = [];
  for (const path of await list(git, ["--cached"], view.on(join(worktreeGitDir, "index")))) {
    if (!known.has(path) && (await isThere(view.on().cwd, path, "file"))) forced.push(path);
  }
  if (forced.length > 0) await git.try(["update-index", "--add", "-z", "--stdin"], { ...view.on(), input: bytes(forced) });
  const tree = await git.run(["write-tree"], view.on());
  const inTree = await withGitEntry(view.on().cwd, foldersOf([...known]));
  return { tree, repositories: [...left.map(named), ...inTree] };
}

/** All folders on the way to these files, below the top. */
function foldersOf(paths: readonly string[]): string[] {
  const folders = new Set<string>();
  for (const path of paths)
    for (let end = path.lastIndexOf("/"); end > 0 && !folders.has(path.slice(0, end)); end = path.lastIndexOf("/", end - 1)) folders.add(path.slice(0, end));
  return [...folders].map(named);
}

const named = (bytesOfName: string): string => Buffer.from(bytesOfName, "latin1").toString("utf8");

/** Submodules of the index that are directories in the work tree. */
async function submodulesIn(git: Git, view: View): Promise<string[]> {
  const entries = (await list(git, ["--stage"], view.on())).filter((entry) => entry.startsWith("160000 "));
  const paths = entries.map((entry) => entry.slice(entry.indexOf("\t") + 1));
  const there = await Promise.all(paths.map((path) => isThere(view.on().cwd, path, "directory")));
  return paths.filter((_, at) => there[at]);
}

/** What of a submodule belongs to the tree: the commit that is checked out there. Reading a name runs nothing that its config could say. */
async function noteCommit(git: Git, view: View, path: string): Promise<void> {
  const { cwd } = view.on();
  const dir = join(cwd, named(path));
  // Not found in it, git must not look for a repository around it. Gone meanwhile, it is as it was.
  const head = await git
    .try(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], { cwd: dir, env: { GIT_CEILING_DIRECTORIES: dirname(dir) } })
    .catch(() => null);
  if (head === null || head.code !== 0) return;
  const commit = head.stdout.toString("latin1").trim();
  if (/^[0-9a-f]{40,64}$/.test(commit))
    await git.try(["update-index", "-z", "--index-info"], { ...view.on(), input: Buffer.from(`160000 ${commit}\t${path}\0`, "latin1") });
}

/** Names as latin1, which keeps every byte of a name that is not UTF-8. Nothing when the index cannot be read: an agent's may be locked or broken. */
async function list(git: Git, which: string[], options: GitOptions): Promise<string[]> {
  const found = await git.try(["ls-files", "-z", ...which], options);
  return found.code === 0
    ? found.stdout
        .toString("latin1")
        .split("\0")
        .filter((path) => path !== "")
    : [];
}

const bytes = (paths: readonly string[]): Buffer => Buffer.from(paths.map((path) => `${path}\0`).join(""), "latin1");

/** Below real directories only: git refuses what lies beyond a symbolic link. */
async function isThere(workTree: string, path: string, kind: "file" | "directory"): Promise<boolean> {
  const parts = path.split("/");
  for (let n = 1; n <= parts.length; n += 1) {
    const found = await lstat(Buffer.concat([Buffer.from(`${workTree}/`), Buffer.from(parts.slice(0, n).join("/"), "latin1")])).catch(() => null);
    if (!found) return false;
    const fits = n < parts.length || kind === "directory" ? found.isDirectory() : found.isFile() || found.isSymbolicLink();
    if (!fits) return false;
  }
  return true;
}
