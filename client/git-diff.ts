import { execFile } from "node:child_process";
import { homedir } from "node:os";
import { isAbsolute } from "node:path";
import { BatonError } from "../contracts/failures.ts";

export interface FileChange {
  path: string;
  added: number;
  deleted: number;
  binary?: true;
}
export interface TreeDiff {
  diff: string;
  /** the diff, or the list of files, was cut */ truncated: boolean;
  files: FileChange[];
}

const longestGitMs = 15_000;
/** A binary file or a submodule that changed has no lines; a list of names longer than this is cut. Bytes. */
const mostNames = 1_048_576;
const plain = ["--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "-r"];
/**
 * Two trees are compared, never files: no filter, attribute or hook is looked at, and git runs from its own directory, so that nothing an
 * agent wrote in a worktree is read as configuration. What it may have put into the repository's config is switched off by name.
 */
const hardened = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.attributesFile=/dev/null", "--no-pager", "--literal-pathspecs"];

/** Compares two commits of a repository with the git of this machine. Errors: INVALID_ARGUMENT, NOT_FOUND when a commit or the repository is gone, UNAVAILABLE without git, or when it takes too long. */
export async function diffOfCommits(a: {
  repositoryPath: string;
  from: string;
  to: string;
  path?: string | undefined;
  /** PATH to find git on */ searchPath: string;
  /** only the files */ stat: boolean;
  maxBytes: number;
}): Promise<TreeDiff> {
  if (a.path !== undefined) checkPath(a.path);
  for (const commit of [a.from, a.to]) if (!/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(commit)) throw new BatonError("NOT_FOUND", `"${commit}" is no commit.`);
  const found = await git(a, a.repositoryPath, {}, ["rev-parse", "--path-format=absolute", "--git-common-dir"], 65_536);
  const gitDir = found.text.trim();
  if (found.failed || gitDir === "") throw gone(a.repositoryPath, found.stderr);
  const only = a.path === undefined ? [] : ["--", a.path];
  const names = await git(a, gitDir, { GIT_DIR: gitDir }, ["diff-tree", ...plain, "--numstat", "-z", a.from, a.to, ...only], mostNames);
  if (names.failed) throw gone(a.repositoryPath, names.stderr);
  const files = parseNumstat(names.text, names.cut);
  if (a.stat) return { diff: "", truncated: names.cut, files };
  const text = await git(
    a,
    gitDir,
    { GIT_DIR: gitDir },
    ["diff-tree", ...plain, "-p", "--src-prefix=a/", "--dst-prefix=b/", a.from, a.to, ...only],
    a.maxBytes,
  );
  if (text.failed) throw gone(a.repositoryPath, text.stderr);
  return { diff: text.cut ? text.text.replace(/\uFFFD?$/, "") : text.text, truncated: text.cut || names.cut, files };
}

function checkPath(path: string): void {
  const parts = path.split("/");
  if (path === "" || path.includes("\0") || isAbsolute(path) || parts.includes("..") || parts[0] === ".git")
    throw new BatonError("INVALID_ARGUMENT", `path "${path}" must be a path inside the repository.`, { field: "path" });
}

function parseNumstat(text: string, cut: boolean): FileChange[] {
  const lines = text.split("\0").filter(Boolean);
  if (cut) lines.pop();
  return lines.map((line) => {
    const [added = "-", deleted = "-", ...name] = line.split("\t");
    return { path: name.join("\t"), added: Number(added) || 0, deleted: Number(deleted) || 0, ...(added === "-" ? { binary: true as const } : {}) };
  });
}

const gone = (repositoryPath: string, why: string): BatonError =>
  new BatonError("NOT_FOUND", `The candidate cannot be read in ${repositoryPath}: ${why.split("\n")[0] || "git gave no reason"}.`);

interface Said {
  text: string;
  stderr: string;
  cut: boolean;
  failed: boolean;
}

function git(a: { searchPath: string }, cwd: string, more: Record<string, string>, args: string[], maxBytes: number): Promise<Said> {
  const env = {
    PATH: a.searchPath,
    HOME: homedir(),
    LC_ALL: "C",
    GIT_TERMINAL_PROMPT: "0",
    GIT_OPTIONAL_LOCKS: "0",
    // A planted promisor remote would make a missing object run its transport.
    GIT_ALLOW_PROTOCOL: "none",
    GIT_NO_LAZY_FETCH: "1",
    GIT_NO_REPLACE_OBJECTS: "1",
    ...more,
  };
  return new Promise((resolve, reject) => {
    execFile("git", [...hardened, ...args], { cwd, env, encoding: "buffer", maxBuffer: maxBytes, timeout: longestGitMs }, (error, stdout, stderr) => {
      const cut = error !== null && error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER";
      if (error !== null && error.code === "ENOENT" && error.path === "git")
        return reject(new BatonError("UNAVAILABLE", `git cannot be run in ${cwd}: the directory is gone, or git is not installed on this machine.`));
      if (error !== null && !cut && error.killed)
        return reject(
          new BatonError("UNAVAILABLE", `git did not answer within ${longestGitMs / 1_000} s in ${cwd}: try again in a moment, or ask for one path.`),
        );
      // Bytes that begin a character at the cut are not one.
      return resolve({ text: stdout.subarray(0, maxBytes).toString("utf8"), stderr: stderr.toString("utf8").trim(), cut, failed: error !== null && !cut });
    });
  });
}
