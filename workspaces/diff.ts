import type { Git, GitOptions } from "./git.ts";

/** Lines added and deleted in a file; 0 and 0 for a binary one. */
export interface FileChange {
  path: string;
  added: number;
  deleted: number;
}

const plain = ["--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "-r"];

/** The files that differ between two trees. `path` limits it to a file or folder. */
export async function changedFiles(git: Git, options: GitOptions, from: string, to: string, path?: string): Promise<FileChange[]> {
  const listed = await git.run(["--literal-pathspecs", "diff-tree", ...plain, "--numstat", "-z", from, to, ...only(path)], options);
  return listed
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const [added = "-", deleted = "-", ...name] = line.split("\t");
      return { path: name.join("\t"), added: Number(added) || 0, deleted: Number(deleted) || 0 };
    });
}

/** Unified diff of two trees, cut at `maxBytes` between two characters. */
export async function unifiedDiff(
  git: Git,
  options: GitOptions,
  from: string,
  to: string,
  path: string | undefined,
  maxBytes: number,
): Promise<{ diff: string; truncated: boolean }> {
  const result = await git.try(["--literal-pathspecs", "diff-tree", ...plain, "-p", "--src-prefix=a/", "--dst-prefix=b/", from, to, ...only(path)], {
    ...options,
    maxBytes,
  });
  if (result.code !== 0) throw new Error(`git diff-tree failed: ${result.stderr}`);
  if (!result.cut) return { diff: result.stdout.toString("utf8"), truncated: false };
  let end = Math.min(maxBytes, result.stdout.length);
  while (end > 0 && ((result.stdout[end] ?? 0) & 0xc0) === 0x80) end -= 1; // inside a character of several bytes
  return {
    diff: result.stdout
      .subarray(0, end)
      .toString("utf8")
      .replace(/\uFFFD$/, ""),
    truncated: true,
  };
}

/** `2 files, +10 -3` */
export function diffStat(files: readonly FileChange[]): string {
  const sum = (of: (file: FileChange) => number): number => files.reduce((total, file) => total + of(file), 0);
  return `${files.length} ${files.length === 1 ? "file" : "files"}, +${sum((f) => f.added)} -${sum((f) => f.deleted)}`;
}

const only = (path: string | undefined): string[] => (path === undefined ? [] : ["--", path]);
