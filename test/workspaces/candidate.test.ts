import { appendFileSync, chmodSync, existsSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setInterval } from "node:timers";
import { prepared, turn } from "./scratch.ts";

const conflict = expect.objectContaining({ name: "BatonError", code: "CONFLICT_STATE" });

describe("capture", () => {
  test("takes tracked and untracked files, not ignored ones; branch, index and files stay", async () => {
    const { s, plan, write } = await prepared();
    write("a.txt", "two\n");
    write("new/deep.txt", "x\ny\n");
    write("ignored/x", "no");
    write("x.log", "no");
    write("forced.log", "yes\n");
    write("staged.txt", "s\n");
    s.git(["add", "-f", "forced.log", "staged.txt"], plan.path);
    symlinkSync("/etc/passwd", join(plan.path, "link"));
    chmodSync(join(plan.path, "new/deep.txt"), 0o755);
    const before = [s.git(["status", "--porcelain"], plan.path), s.git(["rev-parse", "baton/T-1"]), s.git(["ls-files", "--stage"], plan.path)];
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect(s.git(["ls-tree", "-r", "--name-only", c.commit]).split("\n")).toEqual([".gitignore", "a.txt", "forced.log", "link", "new/deep.txt", "staged.txt"]);
    expect(s.git(["ls-tree", c.commit, "link"])).toMatch(/^120000/);
    expect(s.git(["ls-tree", c.commit, "new/deep.txt"])).toMatch(/^100755/);
    expect([s.git(["status", "--porcelain"], plan.path), s.git(["rev-parse", "baton/T-1"]), s.git(["ls-files", "--stage"], plan.path)]).toEqual(before);
    expect(c).toEqual({
      commit: s.git(["rev-parse", c.ref]),
      tree: s.git(["rev-parse", `${c.ref}^{tree}`]),
      ref: `refs/baton/${plan.sessionUlid}/TURN1.1`,
      base: s.first,
      diffStat: "5 files, +6 -1",
      files: 5,
      stable: true,
      left: [],
    });
    expect(s.git(["show", "-s", "--format=%an <%ae> %aI %cI %P", c.commit])).toBe(
      `Baton <baton@localhost> 2030-01-02T03:04:05+00:00 2030-01-02T03:04:05+00:00 ${s.first}`,
    );
    expect(readdirSync(join(s.home, "git-views"))).toEqual([]);
  });

  test("a repeat is the same commit, also without its ref or at another time; a changed tree never moves the ref", async () => {
    const { s, plan, write } = await prepared();
    write("b.txt", "b\n");
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect(await s.workspaces.capture({ plan, ...turn(s) })).toEqual(c);
    expect(await s.workspaces.capture({ plan, ...turn(s), at: "2031-01-01T00:00:00.000Z" })).toEqual(c);
    s.git(["update-ref", "-d", c.ref]);
    expect(await s.workspaces.capture({ plan, ...turn(s) })).toEqual(c);
    write("b.txt", "changed\n");
    const later = await s.workspaces.capture({ plan, ...turn(s) });
    expect(later.tree).not.toBe(c.tree);
    expect(later.ref).toBe(`${c.ref}-2`);
    expect(s.git(["rev-parse", c.ref])).toBe(c.commit);
  });

  test("nothing changed: a candidate with the base's tree", async () => {
    const { s, plan } = await prepared();
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect([c.tree, c.diffStat, c.files]).toEqual([s.git(["rev-parse", "main^{tree}"]), "0 files, +0 -0", 0]);
  });

  test("what the agent committed counts from the base; deletions and a folder that became a link are seen", async () => {
    const { s, plan, write } = await prepared();
    write("d/one.txt", "1\n");
    s.git(["add", "."], plan.path);
    s.git(["commit", "-q", "-m", "agent"], plan.path);
    rmSync(join(plan.path, "d"), { recursive: true });
    symlinkSync(".", join(plan.path, "d"));
    rmSync(join(plan.path, "a.txt"));
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect(s.git(["ls-tree", "-r", "--name-only", c.commit]).split("\n")).toEqual([".gitignore", "d"]);
    expect(c.base).toBe(s.first);
  });

  test("an agent cannot hide a change in its index, nor stop the capture with a repository inside", async () => {
    const { s, plan, write } = await prepared();
    s.git(["update-index", "--assume-unchanged", "a.txt"], plan.path);
    write("a.txt", "hidden\n");
    s.git(["init", "-q", join(plan.path, "nested")]);
    write("after.txt", "x\n");
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect(s.git(["show", `${c.commit}:a.txt`])).toBe("hidden");
    expect(s.git(["ls-tree", "-r", "--name-only", c.commit]).split("\n")).toEqual([".gitignore", "a.txt", "after.txt"]);
  });

  test("a tree that never rests is unstable", async () => {
    const { s, plan, write } = await prepared();
    write("busy.txt", "");
    const timer = setInterval(() => appendFileSync(join(plan.path, "busy.txt"), "x"), 1);
    try {
      expect((await s.workspaces.capture({ plan, ...turn(s) })).stable).toBe(false);
    } finally {
      clearInterval(timer);
    }
  });
});

describe("checkout", () => {
  test("moves a detached worktree, discards what is there after a snapshot, and can be repeated", async () => {
    const { s, plan, write } = await prepared();
    const reviewer = s.plan(null);
    await s.workspaces.prepare(reviewer);
    write("a.txt", "two\n");
    write("b.txt", "b\n");
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    writeFileSync(join(reviewer.path, "a.txt"), "scribble\n");
    writeFileSync(join(reviewer.path, "notes.txt"), "notes\n");
    expect(await s.workspaces.checkout({ plan: reviewer, commit: c.commit })).toEqual({ commit: c.commit, tree: c.tree });
    expect(await s.workspaces.checkout({ plan: reviewer, commit: c.commit })).toEqual({ commit: c.commit, tree: c.tree });
    expect(s.git(["rev-parse", "HEAD"], reviewer.path)).toBe(c.commit);
    expect(s.git(["status", "--porcelain"], reviewer.path)).toBe("");
    expect(readFileSync(join(reviewer.path, "a.txt"), "utf8")).toBe("two\n");
    expect(existsSync(join(reviewer.path, "notes.txt"))).toBe(false);
    expect(s.git(["show", `refs/baton/${reviewer.sessionUlid}/snapshot:notes.txt`])).toBe("notes");
    await expect(s.workspaces.checkout({ plan, commit: c.commit })).rejects.toEqual(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});

describe("diff", () => {
  test("gives the text, the files, a path's part, and cuts whole characters", async () => {
    const { s, plan, write } = await prepared();
    write("a.txt", "two\n");
    write("u.txt", "ä".repeat(3000));
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    const all = await s.workspaces.diff({ repositoryPath: s.repo, from: s.first, to: c.tree, maxBytes: 100_000 });
    expect(all.files).toEqual([
      { path: "a.txt", added: 1, deleted: 1 },
      { path: "u.txt", added: 1, deleted: 0 },
    ]);
    expect(all.diff).toContain("-one\n+two\n");
    expect((await s.workspaces.diff({ repositoryPath: s.repo, from: s.first, to: c.tree, path: "a.txt", maxBytes: 100_000 })).diff).not.toContain("u.txt");
    for (const maxBytes of [1000, 1001]) {
      const cut = await s.workspaces.diff({ repositoryPath: s.repo, from: s.first, to: c.tree, path: "u.txt", maxBytes });
      expect(cut.truncated).toBe(true);
      expect(Buffer.byteLength(cut.diff)).toBeLessThanOrEqual(maxBytes);
      expect(cut.diff).not.toContain("\uFFFD");
    }
    for (const bad of [{ from: "--output=/tmp/x" }, { to: "none" }, { path: "../x" }, { path: "/etc" }, { path: ".git/config" }]) {
      await expect(s.workspaces.diff({ repositoryPath: s.repo, from: s.first, to: c.tree, maxBytes: 1000, ...bad })).rejects.toEqual(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
    }
  });
});

describe("remove", () => {
  test("clean: no snapshot, the branch stays, a repeat is fine", async () => {
    const { s, plan } = await prepared();
    expect(await s.workspaces.remove(plan)).toEqual({ snapshot: null });
    expect(await s.workspaces.remove(plan)).toEqual({ snapshot: null });
    expect(existsSync(plan.path)).toBe(false);
    expect(s.git(["worktree", "list", "--porcelain"]).match(/^worktree /gm)).toHaveLength(1);
    expect(s.git(["rev-parse", "baton/T-1"])).toBe(s.first);
    await expect(s.workspaces.capture({ plan, ...turn(s) })).rejects.toEqual(conflict);
  });

  test("dirty, or commits that no ref holds: a snapshot first", async () => {
    const { s, plan, write } = await prepared();
    write("b.txt", "b\n");
    const { snapshot } = await s.workspaces.remove(plan);
    expect(s.git(["show", `${snapshot}:b.txt`])).toBe("b");

    const loose = s.plan(null);
    await s.workspaces.prepare(loose);
    s.git(["commit", "-q", "--allow-empty", "-m", "loose"], loose.path);
    const commit = s.git(["rev-parse", "HEAD"], loose.path);
    const kept = await s.workspaces.remove(loose);
    expect(s.git(["merge-base", "--is-ancestor", commit, kept.snapshot ?? ""])).toBe("");
  });
});
