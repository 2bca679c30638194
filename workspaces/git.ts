import { execFile } from "node:child_process";
import { devNull } from "node:os";
import { BatonError } from "../contracts/failures.ts";

/** What a call of git came to. `code` is its exit status. */
export interface GitResult {
  code: number;
  stdout: Buffer;
  stderr: string;
  /** stdout was cut at `maxBytes` */ cut: boolean;
}

export interface GitOptions {
  cwd: string;
  /** GIT_* variables for this call only */
  env?: Record<string, string>;
  input?: string | Buffer;
  /** of stdout; beyond it git is ended and `cut` is set. Default 256 MB */
  maxBytes?: number;
}

/** Runs git with nothing of ours or the repository's that could run a program. */
export interface Git {
  /** Any exit status is an answer. Error: UNAVAILABLE when git itself cannot be started. */
  try(args: readonly string[], options: GitOptions): Promise<GitResult>;
  /** stdout without the last line end. Error: git's own words. */
  run(args: readonly string[], options: GitOptions): Promise<string>;
}

const hardened = [
  "-c",
  `core.hooksPath=${devNull}`,
  "-c",
  "core.fsmonitor=false",
  "-c",
  "core.pager=cat",
  "-c",
  "core.sparseCheckout=false",
  // It would refuse a whole tree because of one file's line ends.
  "-c",
  "core.safecrlf=false",
  // Worktrees are found again by the text of their record.
  "-c",
  "worktree.useRelativePaths=false",
  "-c",
  "gc.auto=0",
  "-c",
  "maintenance.auto=false",
  "-c",
  "log.showSignature=false",
  "-c",
  "gpg.program=false",
  "-c",
  "advice.detachedHead=false",
  "--no-pager",
];

/** Nothing is inherited but what finds git and the operator's own ~/.gitconfig: a GIT_DIR around us must not redirect a command. */
function baseEnvironment(environment: Record<string, string | undefined>): Record<string, string> {
  const kept = ["PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "USER", "LOGNAME"];
  const env: Record<string, string> = {};
  for (const name of kept) if (environment[name]) env[name] = environment[name];
  return {
    ...env,
    LC_ALL: "C",
    TZ: "UTC",
    GIT_TERMINAL_PROMPT: "0",
    GIT_OPTIONAL_LOCKS: "0",
    GIT_EDITOR: "true",
    GIT_ASKPASS: "true",
    // A planted promisor remote would make a missing object run its transport; no transport is called "none".
    GIT_ALLOW_PROTOCOL: "none",
    GIT_NO_LAZY_FETCH: "1",
    GIT_NO_REPLACE_OBJECTS: "1",
  };
}

/** Git of this machine, with `environment` giving PATH and HOME. */
export function openGit(environment: Record<string, string | undefined>): Git {
  const env = baseEnvironment(environment);

  function attempt(args: readonly string[], options: GitOptions): Promise<GitResult> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        "git",
        [...hardened, ...args],
        {
          cwd: options.cwd,
          env: { ...env, ...options.env },
          encoding: "buffer",
          maxBuffer: options.maxBytes ?? 268_435_456,
        },
        (error, stdout, stderr) => {
          const cut = error !== null && error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER";
          if (error !== null && !cut && typeof error.code === "string") {
            reject(
              new BatonError(
                "UNAVAILABLE",
                `git cannot be run in ${options.cwd}: ${error.message}. Install git 2.39 or newer and see that the directory exists.`,
              ),
            );
            return;
          }
          resolve({ code: error === null || cut ? 0 : typeof error.code === "number" ? error.code : 128, stdout, stderr: stderr.toString("utf8").trim(), cut });
        },
      );
      child.stdin?.on("error", () => {}); // git may end before it read everything; its exit status tells why
      child.stdin?.end(options.input ?? "");
    });
  }

  return {
    try: attempt,
    async run(args, options) {
      const result = await attempt(args, options);
      if (result.cut) throw new Error(`git ${args[0]}: the answer is too long`);
      if (result.code !== 0) throw new Error(`git ${args[0]} failed (${result.code}): ${result.stderr || "no message"}`);
      return result.stdout.toString("utf8").replace(/\n$/, "");
    },
  };
}
