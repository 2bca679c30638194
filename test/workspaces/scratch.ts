import { execFileSync } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkspacePlan, Workspaces } from "../../contracts/workspaces.ts";
import { openWorkspaces } from "../../workspaces/open-workspaces.ts";

/** A repository with one commit (a.txt, .gitignore), a Baton home, and both gone after the test. */
export interface Scratch {
  repo: string;
  home: string;
  first: string;
  workspaces: Workspaces;
  git(args: string[], cwd?: string): string;
  plan(branch?: string | null, over?: Partial<WorkspacePlan>): WorkspacePlan;
}

let made: string[] = [];
let count = 0;
afterEach(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
  made = [];
});

export function scratch(): Scratch {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "baton-ws-")));
  made.push(root);
  const repo = join(root, "repo"),
    home = join(root, "home");
  const environment = { PATH: process.env["PATH"], HOME: root };
  const git = (args: string[], cwd = repo): string =>
    execFileSync("git", args, {
      cwd,
      encoding: "utf8",
      env: { ...environment, GIT_AUTHOR_NAME: "T", GIT_AUTHOR_EMAIL: "t@t", GIT_COMMITTER_NAME: "T", GIT_COMMITTER_EMAIL: "t@t" } as NodeJS.ProcessEnv,
      stdio: ["ignore", "pipe", "pipe"],
    }).trim();
  git(["init", "-q", "-b", "main", repo], root);
  writeFileSync(join(repo, "a.txt"), "one\n");
  writeFileSync(join(repo, ".gitignore"), "ignored/\n*.log\n");
  git(["add", "."]);
  git(["commit", "-q", "-m", "first"]);
  return {
    repo,
    home,
    git,
    first: git(["rev-parse", "HEAD"]),
    workspaces: openWorkspaces({ home, environment }),
    plan(branch = null, over = {}) {
      const sessionUlid = `01J0000000000000000000${String((count += 1)).padStart(4, "0")}`;
      return { sessionUlid, repositoryPath: repo, path: join(home, "worktrees", sessionUlid), branch, baseRef: "main", ...over };
    },
  };
}
