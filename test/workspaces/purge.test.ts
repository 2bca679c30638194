import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openWorkspaces } from "../../workspaces/open-workspaces.ts";
import { scratch } from "./scratch.ts";

const at = "2030-01-02T03:04:05.678Z";

async function prepared(branch: string | null = "baton/T-1") {
  const s = scratch(),
    plan = s.plan(branch);
  await s.workspaces.inspectRepository(s.repo);
  await s.workspaces.prepare(plan);
  return {
    s,
    plan,
    again: () => openWorkspaces({ home: s.home, environment: { PATH: process.env["PATH"], HOME: s.home } }),
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

describe("a repository that cannot be read", () => {
  test("gone: what the worktree holds is unknown, and it is set aside, not deleted", async () => {
    const { s, plan, write, again } = await prepared();
    write("precious.txt", "precious\n");
    renameSync(s.repo, `${s.repo}-away`);
    for (const workspaces of [s.workspaces, again()])
      expect(await workspaces.inspect({ plan, candidate: null })).toEqual({ refs: 0, unmerged: "unknown: the repository cannot be read" });
    expect(readFileSync(join(plan.path, "precious.txt"), "utf8")).toBe("precious\n");
    const leftAt = `${plan.path}.left-1`;
    expect(await s.workspaces.purge({ plan, candidate: null, at })).toMatchObject({ leftAt });
    expect(readFileSync(join(leftAt, "precious.txt"), "utf8")).toBe("precious\n");
    expect(await s.workspaces.inspect({ plan, candidate: null })).toEqual({ refs: 0, unmerged: null });
    expect(await s.workspaces.purge({ plan, candidate: null, at })).toMatchObject({ leftAt: null });
  });

  test.each([
    ["a bad line in its config", (repo: string) => appendFileSync(join(repo, ".git/config"), "[broken\n")],
    ["without its .git", (repo: string) => renameSync(join(repo, ".git"), join(repo, "moved"))],
  ])("%s: an error, and nothing is touched", async (_what, spoil) => {
    const { s, plan, write, again } = await prepared();
    write("precious.txt", "precious\n");
    spoil(s.repo);
    for (const workspaces of [s.workspaces, again()]) {
      await expect(workspaces.inspect({ plan, candidate: null })).rejects.toThrow();
      await expect(workspaces.purge({ plan, candidate: null, at })).rejects.toThrow();
    }
    expect(readFileSync(join(plan.path, "precious.txt"), "utf8")).toBe("precious\n");
  });
});
