import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openWorkspaces } from "../../workspaces/open-workspaces.ts";
import { scratch } from "./scratch.ts";

const invalid = expect.objectContaining({ name: "BatonError", code: "INVALID_ARGUMENT" });
const conflict = expect.objectContaining({ name: "BatonError", code: "CONFLICT_STATE" });

describe("inspectRepository", () => {
  test("finds top level, branch and head from a folder inside", async () => {
    const s = scratch();
    mkdirSync(join(s.repo, "sub"));
    expect(await s.workspaces.inspectRepository(join(s.repo, "sub"))).toEqual({ path: s.repo, headBranch: "main", head: s.first });
  });

  test("refuses what is no repository, has no commit, is relative or missing", async () => {
    const s = scratch();
    mkdirSync(s.home, { recursive: true });
    const empty = join(s.home, "empty");
    execFileSync("git", ["init", "-q", empty]);
    for (const path of [s.home, empty, "repo", `${s.repo}/../repo`, "/does/not/exist"])
      await expect(s.workspaces.inspectRepository(path)).rejects.toEqual(invalid);
  });
});

describe("prepare", () => {
  test("makes a worktree on its own branch; a repeat adopts it with the work in it", async () => {
    const s = scratch(),
      plan = s.plan("baton/T-1");
    expect(await s.workspaces.prepare(plan)).toEqual({ path: plan.path, head: s.first });
    expect(s.git(["symbolic-ref", "--short", "HEAD"], plan.path)).toBe("baton/T-1");
    expect(s.git(["status", "--porcelain"], plan.path)).toBe("");
    writeFileSync(join(plan.path, "a.txt"), "work\n");
    s.git(["commit", "-q", "--allow-empty", "-m", "moved on"]); // the base moves; the start does not
    expect(await s.workspaces.prepare(plan)).toEqual({ path: plan.path, head: s.first });
    expect(readFileSync(join(plan.path, "a.txt"), "utf8")).toBe("work\n");
  });

  test("makes a detached worktree", async () => {
    const s = scratch(),
      plan = s.plan(null);
    await s.workspaces.prepare(plan);
    expect(s.git(["rev-parse", "HEAD"], plan.path)).toBe(s.first);
    expect(() => s.git(["symbolic-ref", "-q", "HEAD"], plan.path)).toThrow();
  });

  test("makes 20 at once, and one session's 5 tries at once make one", async () => {
    const s = scratch(),
      plans = Array.from({ length: 20 }, (_, n) => s.plan(`baton/T-${n}`));
    await Promise.all(plans.map((plan) => s.workspaces.prepare(plan)));
    const same = s.plan("baton/same");
    await Promise.all(Array.from({ length: 5 }, () => s.workspaces.prepare(same)));
    expect(s.git(["worktree", "list", "--porcelain"]).match(/^worktree /gm)).toHaveLength(22);
    for (const plan of plans) expect(s.git(["status", "--porcelain"], plan.path)).toBe("");
  });

  test.each([
    [
      "only the start ref",
      (s: ReturnType<typeof scratch>, p: ReturnType<ReturnType<typeof scratch>["plan"]>) => s.git(["update-ref", `refs/baton/${p.sessionUlid}/start`, s.first]),
    ],
    [
      "ref and branch",
      (s, p) => {
        s.git(["update-ref", `refs/baton/${p.sessionUlid}/start`, s.first]);
        s.git(["branch", p.branch ?? ""]);
      },
    ],
    [
      "a worktree without files",
      (s, p) => {
        s.git(["update-ref", `refs/baton/${p.sessionUlid}/start`, s.first]);
        s.git(["worktree", "add", "-q", "--no-checkout", "-b", p.branch ?? "", p.path]);
      },
    ],
    [
      "half the files and a locked index",
      (s, p) => {
        s.git(["update-ref", `refs/baton/${p.sessionUlid}/start`, s.first]);
        s.git(["worktree", "add", "-q", "--no-checkout", "-b", p.branch ?? "", p.path]);
        writeFileSync(join(p.path, "a.txt"), "o");
        writeFileSync(join(s.repo, ".git/worktrees", p.sessionUlid, "index.lock"), "");
      },
    ],
    [
      "git's own half: a locked record, no directory",
      (s, p) => {
        s.git(["update-ref", `refs/baton/${p.sessionUlid}/start`, s.first]);
        s.git(["worktree", "add", "-q", "--no-checkout", "-b", p.branch ?? "", p.path]);
        writeFileSync(join(s.repo, ".git/worktrees", p.sessionUlid, "locked"), "initializing");
        rmSync(p.path, { recursive: true });
      },
    ],
    [
      "an empty directory",
      (_s, p) => {
        mkdirSync(p.path, { recursive: true });
      },
    ],
  ] as [string, (s: ReturnType<typeof scratch>, p: ReturnType<ReturnType<typeof scratch>["plan"]>) => void][])(
    "finishes what a crash left: %s",
    async (_name, crash) => {
      const s = scratch(),
        plan = s.plan("baton/T-1");
      crash(s, plan);
      expect(await s.workspaces.prepare(plan)).toEqual({ path: plan.path, head: s.first });
      expect(s.git(["symbolic-ref", "--short", "HEAD"], plan.path)).toBe("baton/T-1");
      expect(s.git(["status", "--porcelain"], plan.path)).toBe("");
      expect(readFileSync(join(plan.path, "a.txt"), "utf8")).toBe("one\n");
    },
  );

  test("rebuilds a lost worktree at its branch's tip and keeps a directory that git forgot", async () => {
    const s = scratch(),
      plan = s.plan("baton/T-1");
    await s.workspaces.prepare(plan);
    writeFileSync(join(plan.path, "b.txt"), "b\n");
    s.git(["add", "."], plan.path);
    s.git(["commit", "-q", "-m", "work"], plan.path);
    rmSync(plan.path, { recursive: true });
    await s.workspaces.prepare(plan);
    expect(readFileSync(join(plan.path, "b.txt"), "utf8")).toBe("b\n");

    writeFileSync(join(plan.path, "c.txt"), "not committed\n");
    rmSync(join(s.repo, ".git/worktrees", plan.sessionUlid), { recursive: true });
    await s.workspaces.prepare(plan);
    expect(readFileSync(join(`${plan.path}.left-1`, "c.txt"), "utf8")).toBe("not committed\n");
    expect(s.git(["status", "--porcelain"], plan.path)).toBe("");
  });

  test("leaves the operator's other worktrees alone, also missing ones", async () => {
    const s = scratch();
    s.git(["worktree", "add", "-q", "-b", "away", join(s.home, "away")]);
    rmSync(join(s.home, "away"), { recursive: true });
    await s.workspaces.prepare(s.plan("baton/T-1"));
    expect(s.git(["worktree", "list"])).toContain("away");
  });

  test("refuses a branch that is somebody else's", async () => {
    const s = scratch();
    s.git(["branch", "baton/T-1"]);
    await expect(s.workspaces.prepare(s.plan("baton/T-1"))).rejects.toEqual(conflict);
    s.git(["branch", "baton2"]);
    await expect(s.workspaces.prepare(s.plan("baton2/T-1"))).rejects.toEqual(conflict);
  });

  test("refuses tricks in names and paths before git sees them", async () => {
    const s = scratch(),
      good = s.plan("baton/T-1"),
      other = s.plan().sessionUlid;
    mkdirSync(join(s.home, "worktrees"), { recursive: true });
    symlinkSync(s.repo, join(s.home, "link"));
    const bad = [
      { branch: "--detach" },
      { branch: "a..b" },
      { branch: "a/.b" },
      { branch: "x.lock" },
      { branch: "a b" },
      { branch: "a\nb" },
      { baseRef: "--orphan" },
      { baseRef: "main..x" },
      { baseRef: ":/first" },
      { baseRef: "main:a.txt" },
      { baseRef: "@{-1}" },
      { baseRef: "none" },
      { sessionUlid: "../../x" },
      { path: join(s.home, "worktrees", other) },
      { path: `/tmp/${good.sessionUlid}` },
      { path: `${s.home}/../${good.sessionUlid}` },
      { path: join(s.home, "link", good.sessionUlid) },
      { path: good.sessionUlid },
      { repositoryPath: "repo" },
      { repositoryPath: s.home },
    ];
    for (const over of bad) await expect(s.workspaces.prepare({ ...good, ...over })).rejects.toEqual(invalid);
    expect(s.git(["worktree", "list", "--porcelain"]).match(/^worktree /gm)).toHaveLength(1);
    expect(existsSync(good.path)).toBe(false);
  });

  test("says what to do without git", async () => {
    const s = scratch();
    await expect(openWorkspaces({ home: s.home, environment: { PATH: "/nowhere" } }).inspectRepository(s.repo)).rejects.toEqual(
      expect.objectContaining({ code: "UNAVAILABLE" }),
    );
  });
});
