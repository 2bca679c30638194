import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Git, GitOptions } from "./git.ts";
import type { View } from "./view.ts";

/** What a work tree holds, as a git tree. `stable`: two readings in a row agreed. */
export interface TreeReading {
  tree: string;
  stable: boolean;
}

/**
 * Writes the work tree as a tree object: tracked (in `head` or in the worktree's own index) and untracked files, not ignored ones.
 * Starts from an index of our own, since an agent can mark entries of its index as unchanged and so hide them.
 * A repository inside the work tree that is no submodule is left out: git has no tree for it.
 */
export async function readTree(git: Git, view: View, head: string, worktreeGitDir: string): Promise<TreeReading> {
  await git.run(["read-tree", head], view.on());
  let before = await addEverything(git, view, worktreeGitDir);
  for (let reading = 2; reading <= 3; reading += 1) {
    const tree = await addEverything(git, view, worktreeGitDir);
    if (tree === before) return { tree, stable: true };
    before = tree;
  }
  return { tree: before, stable: false };
}

async function addEverything(git: Git, view: View, worktreeGitDir: string): Promise<string> {
  // `git add` refuses everything because of one repository without a commit inside the tree; found first, they are left out.
  const nested = (await list(git, ["--others", "--exclude-standard"], view.on())).filter((path) => path.endsWith("/"));
  const pathspecs = [".", ...nested.map((path) => `:(exclude,literal,top)${path.slice(0, -1)}`)];
  const add = await git.try(["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"], { ...view.on(), input: bytes(pathspecs) });
  if (add.code !== 0) throw new Error(`The work tree cannot be read: ${add.stderr}`);

  // What the agent added in spite of an ignore rule is in its own index only.
  const known = new Set(await list(git, ["--cached"], view.on()));
  const forced: string[] = [];
  for (const path of await list(git, ["--cached"], view.on(join(worktreeGitDir, "index")))) {
    if (!known.has(path) && (await isPlainFile(view.on().cwd, path))) forced.push(path);
  }
  if (forced.length > 0) await git.try(["update-index", "--add", "-z", "--stdin"], { ...view.on(), input: bytes(forced) });
  return git.run(["write-tree"], view.on());
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
async function isPlainFile(workTree: string, path: string): Promise<boolean> {
  const parts = path.split("/");
  for (let n = 1; n <= parts.length; n += 1) {
    const found = await lstat(Buffer.concat([Buffer.from(`${workTree}/`), Buffer.from(parts.slice(0, n).join("/"), "latin1")])).catch(() => null);
    if (!found || (n < parts.length ? !found.isDirectory() : !found.isFile() && !found.isSymbolicLink())) return false;
  }
  return true;
}
