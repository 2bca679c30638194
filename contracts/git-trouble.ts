import { resolve } from "node:path";

/** Why git reads no repository at `path`, and what to do, from its own words (`stderr`, in English; empty: it was ended before it said any). */
export function gitTrouble(path: string, stderr: string): string {
  const said = /^fatal: (.*)$/m.exec(stderr)?.[1] ?? stderr.split("\n")[0] ?? "";
  if (/dubious ownership/.test(stderr)) {
    const owned = /safe\.directory '?(.+?)'?$/m.exec(stderr)?.[1] ?? path;
    return `"${path}" belongs to another user, and git does not read it: run git config --global --add safe.directory '${owned}' as the user that Baton runs as.`;
  }
  const config = /^(?:fatal|error): bad (?:numeric |boolean )?config .* in (?:file )?(.+?)(?:: .*)?$/m.exec(stderr)?.[1];
  if (config !== undefined) return `Git cannot read the configuration of "${path}" (${said}): mend ${resolve(path, config)}.`;
  if (/not a git repository/.test(stderr))
    return `"${path}" is not a git repository (with files checked out): run "git init" there and make a first commit, or give another path.`;
  if (/must be run in a work tree/.test(stderr)) return `"${path}" is a repository without files checked out: give the path of a clone or worktree of it.`;
  if (/cannot change to .*(?:No such file|Not a directory)/.test(stderr))
    return `"${path}" is no directory on this machine: give the absolute path of a git repository.`;
  return `Git cannot read the repository at "${path}" (${said || "it gave no answer in time"}).`;
}
