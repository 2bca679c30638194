import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openWorkspaces } from "../../workspaces/open-workspaces.ts";
import { at, prepared, type Scratch } from "./scratch.ts";

describe("a repository that cannot be read", () => {
  /** As a next process has them: nothing was learned of the repository yet. */
  const again = ({ home }: Scratch) => openWorkspaces({ home, environment: { PATH: process.env["PATH"], HOME: home } });

  test("gone: what the worktree holds is unknown, and it is set aside, not deleted", async () => {
    const { s, plan, write } = await prepared();
    write("precious.txt", "precious\n");
    renameSync(s.repo, `${s.repo}-away`);
    for (const workspaces of [s.workspaces, again(s)])
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
    const { s, plan, write } = await prepared();
    write("precious.txt", "precious\n");
    spoil(s.repo);
    for (const workspaces of [s.workspaces, again(s)]) {
      await expect(workspaces.inspect({ plan, candidate: null })).rejects.toThrow();
      await expect(workspaces.purge({ plan, candidate: null, at })).rejects.toThrow();
    }
    expect(readFileSync(join(plan.path, "precious.txt"), "utf8")).toBe("precious\n");
  });
});

describe("every lost work is kept, not only the first", () => {
  const holding = (s: Scratch, session: string, commit: string) =>
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
  const prune = (s: Scratch) => {
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

describe("repositories inside the worktree", () => {
  /** A purge of such a worktree says so, and keeps all of it, with what each of its repositories holds. */
  async function isKept(made: Awaited<ReturnType<typeof prepared>>, names: string) {
    const { s, plan } = made;
    const { left } = await s.workspaces.capture({ plan, base: s.first, turnId: "L", attempt: 1, at });
    expect(left.join(", ")).toBe(names);
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toContain(`repositories inside: ${names}`);
    const leftAt = `${plan.path}.left-1`;
    expect(await s.workspaces.purge({ plan, candidate: null, at })).toMatchObject({ leftAt, branchKept: false });
    expect(existsSync(plan.path)).toBe(false);
    expect(s.git(["branch", "--list", "baton/*"])).toBe("");
    return leftAt;
  }

  test("a nested one with a commit", async () => {
    const made = await prepared();
    const { s, plan, write, commit } = made;
    write("app/main.ts", "work\n");
    s.git(["init", "-q", join(plan.path, "app")]);
    const inner = commit("inner", join(plan.path, "app"));
    expect(s.git(["rev-parse", "HEAD"], join(await isKept(made, "app"), "app"))).toBe(inner);
  });

  test("one made around files that the outer one has, and one without a commit below another name", async () => {
    const made = await prepared();
    const { s, plan, write, commit } = made;
    write("src/deep/a.ts", "a\n");
    commit("outer");
    s.git(["init", "-q", join(plan.path, "src")]);
    s.git(["commit", "-q", "--allow-empty", "-m", "inner"], join(plan.path, "src"));
    write("über/x", "x\n");
    s.git(["init", "-q", join(plan.path, "über")]);
    await isKept(made, "src, über");
  });

  test("nor does the end of a worktree, or the next candidate in a reviewer's, take it", async () => {
    const { s, plan, write, commit } = await prepared();
    const reviewer = s.plan(null);
    await s.workspaces.prepare(reviewer);
    write("new.txt", "new\n");
    const candidate = await s.workspaces.capture({ plan, base: s.first, turnId: "L", attempt: 1, at });
    for (const { path } of [plan, reviewer]) {
      s.git(["init", "-q", join(path, "app")]);
      writeFileSync(join(path, "app/main.ts"), "work\n");
      commit("inner", join(path, "app"));
    }
    await s.workspaces.checkout({ plan: reviewer, commit: candidate.commit });
    expect(existsSync(join(reviewer.path, "new.txt"))).toBe(true);
    expect(existsSync(join(reviewer.path, "app/main.ts"))).toBe(true);
    // A killed git's.
    writeFileSync(join(s.repo, ".git/worktrees", plan.sessionUlid, "HEAD.lock"), "");
    await s.workspaces.remove(plan);
    expect(existsSync(plan.path)).toBe(false);
    expect(existsSync(join(`${plan.path}.left-1`, "app/main.ts"))).toBe(true);
  });

  /** A worktree with a submodule that came from elsewhere; its files are there. */
  async function withSubmodule() {
    const made = await prepared(null);
    const { s, commit } = made;
    const origin = join(s.home, "origin");
    s.git(["init", "-q", "-b", "main", origin], s.home);
    writeFileSync(join(origin, "lib.txt"), "lib\n");
    commit("lib", origin);
    const allow = ["-c", "protocol.file.allow=always"];
    s.git([...allow, "submodule", "--quiet", "add", origin, "lib"]);
    commit("with a submodule", s.repo);
    const plan = s.plan("baton/S-1");
    await s.workspaces.prepare(plan);
    s.git([...allow, "submodule", "--quiet", "update", "--init"], plan.path);
    return { ...made, plan, sub: join(plan.path, "lib"), write: (path: string, text: string) => writeFileSync(join(plan.path, path), text) };
  }

  test("a submodule as it was fetched is no work", async () => {
    const { s, plan } = await withSubmodule();
    expect(await s.workspaces.inspect({ plan, candidate: null })).toMatchObject({ unmerged: null });
    expect(await s.workspaces.purge({ plan, candidate: null, at })).toMatchObject({ snapshots: [], leftAt: null });
    expect(existsSync(plan.path)).toBe(false);
  });

  test("a submodule with a commit of its own, with a file, with a stash", async () => {
    const made = await withSubmodule();
    const { s, sub, write, commit } = made;
    write("lib/lib.txt", "changed\n");
    const inspected = async () => (await s.workspaces.inspect({ plan: made.plan, candidate: null })).unmerged;
    expect(await inspected()).toContain("lib");
    s.git(["stash", "-q"], sub);
    expect(await inspected()).toContain("lib");
    s.git(["stash", "drop", "-q"], sub);
    expect(await inspected()).toBeNull();
    write("lib/new.txt", "new\n");
    expect(await inspected()).toContain("lib");
    const inner = commit("inner", sub);
    const at = await isKept(made, "lib");
    expect(readFileSync(join(at, "lib/new.txt"), "utf8")).toBe("new\n");
    // Its objects are in git's record of the worktree, which stays.
    expect(s.git(["--work-tree=.", "cat-file", "-t", inner], join(at, "lib"))).toBe("commit");
    expect(s.git(["worktree", "list"])).toContain(at);
  });

  test("files in a submodule that was never fetched", async () => {
    const { s } = await withSubmodule();
    const plan = s.plan("baton/S-2");
    await s.workspaces.prepare(plan);
    writeFileSync(join(plan.path, "lib/mine.txt"), "mine\n");
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toContain("lib");
  });

  test("nothing that its config says is run by the look", async () => {
    const { s, plan, sub, write } = await withSubmodule();
    const mark = join(s.home, "ran");
    for (const [key, value] of [
      ["filter.evil.clean", `touch ${mark}; cat`],
      ["core.fsmonitor", `touch ${mark}; false`],
      ["core.hooksPath", s.home],
    ] as const)
      s.git(["config", key, value], sub);
    writeFileSync(join(s.home, "post-index-change"), `#!/bin/sh\ntouch ${mark}\n`, { mode: 0o755 });
    write("lib/.gitattributes", "* filter=evil\n");
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toContain("lib");
    expect(existsSync(mark)).toBe(false);
    s.git(["add", "--all"], sub);
    expect(existsSync(mark)).toBe(true);
  });
});
