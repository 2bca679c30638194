import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
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

/** A scratch with a worktree on `branch` (null: detached), and what an agent does in it. */
export async function prepared(branch: string | null = "baton/T-1") {
  const s = scratch(),
    plan = s.plan(branch);
  await s.workspaces.inspectRepository(s.repo);
  await s.workspaces.prepare(plan);
  return {
    s,
    plan,
    write(path: string, text: string) {
      mkdirSync(join(plan.path, path, ".."), { recursive: true });
      writeFileSync(join(plan.path, path), text);
    },
    /** Commits all files; the commit. */
    commit(message: string, cwd = plan.path) {
      s.git(["add", "--all"], cwd);
      s.git(["commit", "-qm", message], cwd);
      return s.git(["rev-parse", "HEAD"], cwd);
    },
  };
}

/** When the host says that a capture or a purge is. */
export const at = "2030-01-02T03:04:05.678Z";

/** What is said of the turn whose work is captured. */
export const turn = (s: Scratch, n = 1) => ({ base: s.first, turnId: `TURN${n}`, attempt: 1, at });
