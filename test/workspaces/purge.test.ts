import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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

describe("every lost work is kept, not only the first", () => {
  const holding = (s: ReturnType<typeof scratch>, session: string, commit: string) =>
    s
      .git(["for-each-ref", "--format=%(refname)", "--contains", commit, `refs/baton/${session}/`])
      .split("\n")
      .filter(Boolean);

  test("a branch with commits, and files in another checkout of it", async () => {
    const { s, plan, write, commit } = await prepared();
    write("branch.txt", "on the branch\n");
    const tip = commit("on the branch");
    s.git(["checkout", "-q", "--detach", "main"], plan.path);
    write("left.txt", "1\n2\n");
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toBe("2 files, +3 -0");
    for (let n = 0; n < 2; n += 1) {
      const { snapshots } = await s.workspaces.purge({ plan, candidate: null, at });
      expect(snapshots).toEqual([`refs/baton/${plan.sessionUlid}/purged`, `refs/baton/${plan.sessionUlid}/purged-2`]);
    }
    expect(s.git(["branch", "--list", "baton/*"])).toBe("");
    expect(holding(s, plan.sessionUlid, tip)).toEqual([`refs/baton/${plan.sessionUlid}/purged-2`]);
    expect(s.git(["show", `refs/baton/${plan.sessionUlid}/purged:left.txt`])).toBe("1\n2");
  });

  test("a tip with one half, and the newest candidate with the other, when the worktree is gone", async () => {
    const { s, plan, write, commit } = await prepared();
    write("half.txt", "half\n");
    const tip = commit("half");
    write("rest.txt", "rest\n");
    const candidate = await s.workspaces.capture({ plan, base: s.first, turnId: "T", attempt: 1, at });
    rmSync(plan.path, { recursive: true });
    const { snapshots } = await s.workspaces.purge({ plan, candidate: candidate.commit, at });
    expect(snapshots).toHaveLength(2);
    for (const one of [tip, candidate.commit]) expect(holding(s, plan.sessionUlid, one)).toHaveLength(1);
    expect(await s.workspaces.purge({ plan, candidate: candidate.commit, at })).toMatchObject({ snapshots });
  });

  test("one ref is enough for what lies within another", async () => {
    const { s, plan, write, commit } = await prepared();
    write("one.txt", "one\n");
    const tip = commit("one");
    write("two.txt", "two\n");
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toBe("2 files, +2 -0");
    const { snapshots } = await s.workspaces.purge({ plan, candidate: null, at });
    expect(holding(s, plan.sessionUlid, tip)).toEqual(snapshots);
    expect(snapshots).toHaveLength(1);
  });
});

describe("without the ref that says where it started", () => {
  const prune = (s: ReturnType<typeof scratch>) => {
    for (const ref of s.git(["for-each-ref", "--format=%(refname)", "refs/baton"]).split("\n")) s.git(["update-ref", "-d", ref]);
  };

  test.each([
    ["the row says it", (first: string) => ({ start: first })],
    ["only the base is left", () => ({})],
    ["not even the base", (first: string) => ({ start: first.replace(/^./, (c) => (c === "0" ? "1" : "0")), baseRef: "gone" })],
  ])("changes are still there to lose: %s", async (_what, over) => {
    const { s, plan: made, write } = await prepared();
    const plan = { ...made, ...over(s.first) };
    write("precious.txt", "precious\n");
    prune(s);
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toMatch(/^\d files?, \+\d -0$/);
    const { snapshots, branchKept } = await s.workspaces.purge({ plan, candidate: null, at });
    expect(s.git(["show", `${snapshots[0]}:precious.txt`])).toBe("precious");
    // Nothing says any more that it is the session's own.
    expect(s.git(["branch", "--list", "baton/T-1"])).toContain("baton/T-1");
    expect(branchKept).toBe("start" in plan);
  });

  test("commits on the branch, too, and no change is still none", async () => {
    const { s, plan: made, write, commit } = await prepared();
    const plan = { ...made, start: s.first };
    prune(s);
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toBeNull();
    write("precious.txt", "precious\n");
    const tip = commit("precious");
    rmSync(plan.path, { recursive: true });
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toBe("1 file, +1 -0");
    expect(s.git(["rev-parse", (await s.workspaces.purge({ plan, candidate: null, at })).snapshots[0] ?? ""])).toBe(tip);
  });
});
