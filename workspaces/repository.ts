import { lstat, realpath } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { BatonError } from "../contracts/failures.ts";
import { gitTrouble } from "../contracts/git-trouble.ts";
import type { Git } from "./git.ts";
import { checkAbsolute } from "./names.ts";

/** A repository on this machine. `commonDir` is shared by all its worktrees. */
export interface Repository {
  path: string;
  commonDir: string;
}

/** Finds the repository that holds a path. Error: INVALID_ARGUMENT with what to do. */
export type FindRepository = (path: string) => Promise<Repository>;

/** Asks git once for a repository: as long as the same directory is its `.git`, the answer is the same. */
export function repositoryFinder(git: Git): FindRepository {
  const known = new Map<string, { repository: Repository; gitDir: string }>();
  return async (path) => {
    checkAbsolute("repositoryPath", path);
    const real = await realpath(path).catch(() => refuse(`${path} does not exist. Give the absolute path of a git repository on this machine.`));
    const gitDir = await directoryId(join(real, ".git"));
    const before = known.get(real);
    if (before !== undefined && before.gitDir === gitDir) return before.repository;
    const repository = await findRepository(git, path, real);
    if (gitDir !== null && repository.commonDir === join(real, ".git")) known.set(real, { repository, gitDir });
    return repository;
  };
}

/** Tells one directory from another at the same place; null: there is none (a link or a file is none). */
async function directoryId(path: string): Promise<string | null> {
  const found = await lstat(path, { bigint: true }).catch(() => null);
  return found?.isDirectory() ? `${found.dev}:${found.ino}:${found.birthtimeNs}` : null;
}

async function findRepository(git: Git, path: string, real: string): Promise<Repository> {
  const found = await git.try(["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir"], { cwd: real });
  if (found.code !== 0) refuse(gitTrouble(path, found.stderr));
  const [top, commonDir] = found.stdout.toString("utf8").split("\n");
  if (!top || !commonDir || !isAbsolute(top)) refuse(`${path} is not a git repository with a working tree.`);
  return { path: top, commonDir: await realpath(commonDir) };
}

/** The git directory of the repository's own work tree: where its HEAD and index are. */
export function gitDirOf(git: Git, repository: Repository): Promise<string> {
  return git.run(["rev-parse", "--absolute-git-dir"], { cwd: repository.path });
}

/** The commit that `revision` (already checked) names. Error: INVALID_ARGUMENT when there is none. */
export async function resolveCommit(git: Git, repository: Repository, field: string, revision: string): Promise<string> {
  const found = await git.try(["rev-parse", "--verify", "--quiet", "--end-of-options", `${revision}^{commit}`], inRepository(repository));
  if (found.code !== 0) throw new BatonError("INVALID_ARGUMENT", `${field} "${revision}" names no commit in ${repository.path}.`, { field });
  return found.stdout.toString("utf8").trim();
}

/** The tree of a commit or tree id; null when there is none. */
export async function treeOf(git: Git, repository: Repository, revision: string): Promise<string | null> {
  const found = await git.try(["rev-parse", "--verify", "--quiet", "--end-of-options", `${revision}^{tree}`], inRepository(repository));
  return found.code === 0 ? found.stdout.toString("utf8").trim() : null;
}

/** The object that a ref holds; null when there is no such ref. */
export async function readRef(git: Git, repository: Repository, ref: string): Promise<string | null> {
  const found = await git.try(["show-ref", "--verify", "--hash", "--", ref], inRepository(repository));
  return found.code === 0 ? found.stdout.toString("utf8").trim() : null;
}

/** The objects that these refs hold, by full name; those that are not there are not in it. One process, however many. */
export async function readRefs(git: Git, repository: Repository, refs: string[]): Promise<Map<string, string>> {
  // A pattern also matches what lies below it, as if it were a folder.
  const found = await git.run(["for-each-ref", "--format=%(refname) %(objectname)", "--", ...refs], inRepository(repository));
  const held = found.split("\n").map((line) => line.split(" ") as [string, string]);
  return new Map(held.filter(([ref]) => refs.includes(ref)));
}

/** Creates refs at a commit, in this order, all or (unless git is killed in the middle) none. False: not done, whatever the reason. */
export async function createRefs(git: Git, repository: Repository, refs: string[], commit: string): Promise<boolean> {
  const input = refs.map((ref) => `create ${ref}\0${commit}\0`).join("");
  return (await git.try(["update-ref", "-m", "baton", "--stdin", "-z"], { ...inRepository(repository), input })).code === 0;
}

/** Creates a ref, never moves one. False: it is there already. */
export async function createRef(git: Git, repository: Repository, ref: string, commit: string): Promise<boolean> {
  const made = await git.try(["update-ref", "-m", "baton", "--", ref, commit, "0".repeat(commit.length)], inRepository(repository));
  if (made.code === 0) return true;
  if ((await readRef(git, repository, ref)) !== null) return false;
  throw new Error(`git update-ref ${ref} failed: ${made.stderr}`);
}

/** Options for commands about the repository itself. GIT_DIR is said, so that no `.git` file that an agent rewrote is followed. */
export function inRepository(repository: Repository): { cwd: string; env: Record<string, string> } {
  return { cwd: repository.commonDir, env: { GIT_DIR: repository.commonDir } };
}

/** The administrative directory of a linked worktree, by name. */
export const worktreesDir = (repository: Repository): string => join(repository.commonDir, "worktrees");

function refuse(message: string): never {
  throw new BatonError("INVALID_ARGUMENT", message, { field: "repositoryPath" });
}
