import { execFile } from "node:child_process";
import { isAbsolute } from "node:path";
import { promisify } from "node:util";
import { BatonError } from "../contracts/failures.ts";
import { gitTrouble } from "../contracts/git-trouble.ts";

const run = promisify(execFile);

export interface RepositoryFacts {
  path: string;
  headBranch: string | null;
  head: string;
  /** commit of the base that was asked for */ base: string;
}

/** Checks a repository (and a base in it) before anything is made for it. */
export type InspectRepository = (repositoryPath: string, baseRef?: string) => Promise<RepositoryFacts>;
/** Null when it says no: then `trouble` has its words. */
type Git = (directory: string, args: string[]) => Promise<{ text: string | null; trouble: string }>;

/** The check with the git of this machine. `env`: where PATH and HOME (the operator's safe.directory) are taken from. */
export function repositoryInspector(env: Record<string, string | undefined>): InspectRepository {
  return (repositoryPath, baseRef) => inspect((directory, args) => runGit(env, directory, args), repositoryPath, baseRef);
}

/** Reads a repository's top level, HEAD and a base before anything is made for it. Error: BatonError INVALID_ARGUMENT that says what to do. */
async function inspect(git: Git, repositoryPath: string, baseRef?: string): Promise<RepositoryFacts> {
  if (!isAbsolute(repositoryPath)) throw wrong("repositoryPath", `"${repositoryPath}" is not an absolute path.`);
  if (baseRef !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._/@^~-]{0,199}$/.test(baseRef))
    throw wrong("baseRef", `"${baseRef}" is no name of a branch, tag or commit.`);
  // All in one process: a launch waits for it.
  const { text: all } = await git(repositoryPath, [
    "rev-parse",
    "--show-toplevel",
    "HEAD^{commit}",
    `${baseRef ?? "HEAD"}^{commit}`,
    "--abbrev-ref",
    "HEAD",
    "--",
  ]);
  const [path, head, base, branch, end, ...more] = all?.split("\n") ?? [];
  // A range is more than one commit, and a path may hold a line's end.
  if (path && branch && end === "--" && more.length === 0 && [head, base].every((id) => /^[0-9a-f]{40,64}$/.test(id ?? "")))
    return { path, head: head!, base: base!, headBranch: branch === "HEAD" ? null : branch };
  return pieceByPiece(git, repositoryPath, baseRef);
}

/** Git did not say all of it: what is missing? */
async function pieceByPiece(git: Git, repositoryPath: string, baseRef?: string): Promise<RepositoryFacts> {
  const [top, { text: head }, { text: headBranch }, asked] = await Promise.all([
    git(repositoryPath, ["rev-parse", "--show-toplevel"]),
    git(repositoryPath, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]),
    git(repositoryPath, ["symbolic-ref", "--quiet", "--short", "HEAD"]),
    baseRef === undefined ? null : git(repositoryPath, ["rev-parse", "--verify", "--quiet", "--end-of-options", `${baseRef}^{commit}`]),
  ]);
  const path = top.text;
  if (path === null) throw wrong("repositoryPath", gitTrouble(repositoryPath, top.trouble));
  if (head === null) throw wrong("repositoryPath", `"${path}" has no commit yet: make one, agents work on branches of it.`);
  const base = asked === null ? head : asked.text;
  if (base === null) throw wrong("baseRef", `"${baseRef}" is no branch, tag or commit of ${path}.`);
  return { path, headBranch, head, base };
}

/** Git's answer. No hook, pager, prompt, transport or fsmonitor of the repository runs. */
async function runGit(outer: Record<string, string | undefined>, directory: string, args: string[]): ReturnType<Git> {
  try {
    const env = {
      PATH: outer["PATH"] ?? "/usr/bin:/bin",
      HOME: outer["HOME"] ?? "/",
      GIT_TERMINAL_PROMPT: "0",
      GIT_OPTIONAL_LOCKS: "0",
      // A promisor remote that an agent planted would make a missing object run its transport; no transport is called "none".
      GIT_ALLOW_PROTOCOL: "none",
      GIT_NO_LAZY_FETCH: "1",
      GIT_NO_REPLACE_OBJECTS: "1",
      LC_ALL: "C",
    };
    const { stdout } = await run("git", ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", directory, ...args], {
      env,
      timeout: 5_000,
      maxBuffer: 65_536,
    });
    return { text: stdout.trim() || null, trouble: "" };
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") throw new BatonError("UNAVAILABLE", "git is not installed on this machine: install it and try again.");
    return { text: null, trouble: String((error as { stderr?: unknown }).stderr ?? "") };
  }
}

function wrong(field: string, message: string): BatonError {
  return new BatonError("INVALID_ARGUMENT", message, { field });
}
