import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { scratch } from "./scratch.ts";

const turn = { turnId: "T", attempt: 1, at: "2030-01-02T03:04:05.678Z" };

/** What the operator has set up in the repository before Baton came, and what came after. */
describe("a session in the repository itself with a sparse checkout", () => {
  test.each([["cone"], ["no-cone"], ["sparse-index"]])("deletes nothing outside of it: %s", async (mode) => {
    const s = scratch();
    for (const dir of ["in", "out", "out/deep"]) {
      mkdirSync(join(s.repo, dir), { recursive: true });
      writeFileSync(join(s.repo, dir, "f.txt"), `${dir}\n`);
    }
    s.git(["add", "."]);
    s.git(["commit", "-qm", "folders"]);
    s.git(["sparse-checkout", "set", `--${mode}`, ...(mode === "no-cone" ? ["/in/", "/*.txt"] : ["in"])]);
    expect(existsSync(join(s.repo, "out/f.txt"))).toBe(false);
    const base = s.git(["rev-parse", "HEAD"]);
    const plan = s.plan(null, { path: s.repo, baseRef: base });
    await s.workspaces.prepare(plan);
    expect(await s.workspaces.capture({ plan, base, ...turn })).toMatchObject({ files: 0 });

    writeFileSync(join(s.repo, "in/f.txt"), "changed\n");
    rmSync(join(s.repo, "a.txt"));
    // Somebody works outside all the same.
    mkdirSync(join(s.repo, "out"));
    writeFileSync(join(s.repo, "out/f.txt"), "changed\n");
    writeFileSync(join(s.repo, "out/new.txt"), "new\n");
    const c = await s.workspaces.capture({ plan, base, ...turn, turnId: "T2" });
    expect(s.git(["diff", "--name-status", base, c.commit]).split("\n")).toEqual(["D\ta.txt", "M\tin/f.txt", "M\tout/f.txt", "A\tout/new.txt"]);
  });

  test("in a worktree of Baton's a mark in the index hides no deletion", async () => {
    const s = scratch(),
      plan = s.plan("baton/T-1");
    await s.workspaces.prepare(plan);
    s.git(["update-index", "--skip-worktree", "a.txt"], plan.path);
    rmSync(join(plan.path, "a.txt"));
    const c = await s.workspaces.capture({ plan, base: s.first, ...turn });
    expect(s.git(["diff", "--name-status", s.first, c.commit])).toBe("D\ta.txt");
  });
});

describe("info/exclude and info/attributes", () => {
  test("count as they were before the first agent ran", async () => {
    const s = scratch();
    mkdirSync(join(s.repo, ".git/info"), { recursive: true });
    writeFileSync(join(s.repo, ".git/info/exclude"), "/operators.txt\n");
    writeFileSync(join(s.repo, ".git/info/attributes"), "*.dat filter=own\n");
    s.git(["config", "filter.own.clean", "tr a-z A-Z"]);
    await s.workspaces.inspectRepository(s.repo);
    const plan = s.plan("baton/T-1");
    await s.workspaces.prepare(plan);
    writeFileSync(join(s.repo, ".git/info/exclude"), "*\n");
    writeFileSync(join(s.repo, ".git/info/attributes"), "*.txt filter=own\n");
    for (const name of ["operators.txt", "work.txt", "x.dat"]) writeFileSync(join(plan.path, name), "some\n");
    const c = await s.workspaces.capture({ plan, base: s.first, ...turn });
    expect(s.git(["diff", "--name-only", s.first, c.commit]).split("\n")).toEqual(["work.txt", "x.dat"]);
    expect([s.git(["show", `${c.commit}:work.txt`]), s.git(["show", `${c.commit}:x.dat`])]).toEqual(["some", "SOME"]);
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).toBe("2 files, +2 -0");
  });

  test("a home that is older than their record has one from then on", async () => {
    const s = scratch(),
      plan = s.plan("baton/T-1");
    await s.workspaces.prepare(plan);
    const folder = join(s.home, "git-baseline");
    for (const name of readdirSync(folder).filter((one) => one.endsWith(".info.json"))) rmSync(join(folder, name));
    writeFileSync(join(plan.path, "work.txt"), "work\n");
    expect((await s.workspaces.capture({ plan, base: s.first, ...turn })).files).toBe(1);
    writeFileSync(join(s.repo, ".git/info/exclude"), "*\n");
    expect((await s.workspaces.capture({ plan, base: s.first, ...turn, turnId: "T2" })).files).toBe(1);
  });
});

test.each([["in the repository"], ["for everything", "--global"]])("a strict core.safecrlf costs no candidate: set %s", async (_where, ...scope) => {
  const s = scratch();
  s.git(["config", ...scope, "core.autocrlf", "input"]);
  s.git(["config", ...scope, "core.safecrlf", "true"]);
  await s.workspaces.inspectRepository(s.repo);
  const plan = s.plan("baton/T-1");
  await s.workspaces.prepare(plan);
  writeFileSync(join(plan.path, "dos.txt"), "one\r\ntwo\r\n");
  const c = await s.workspaces.capture({ plan, base: s.first, ...turn });
  expect(c.files).toBe(1);
  expect(s.git(["show", `${c.commit}:dos.txt`])).toBe("one\ntwo");
});

/** As git-lfs does: the content goes below the common directory, a line that names it into the tree; without the content there is no file. */
const storing = `#!/bin/sh
store=$(git rev-parse --path-format=absolute --git-common-dir)/lfs/objects && mkdir -p "$store" || exit 1
case $1 in
clean) cat > "$store/new.$$" && oid=$(git hash-object --no-filters "$store/new.$$") && mv "$store/new.$$" "$store/$oid" && echo "$oid" ;;
smudge) read -r oid && cat "$store/$oid" ;;
esac
`;

test.each([["in the repository"], ["for everything", "--global"]])(
  "what an lfs filter stores outlives the look, and is found by the next: set %s",
  async (_where, ...scope) => {
    const s = scratch();
    const filter = join(s.repo, "..", "lfs.sh");
    writeFileSync(filter, storing, { mode: 0o755 });
    for (const kind of ["clean", "smudge"]) s.git(["config", ...scope, `filter.lfs.${kind}`, `${filter} ${kind}`]);
    s.git(["config", ...scope, "filter.lfs.required", "true"]);
    writeFileSync(join(s.repo, ".gitattributes"), "*.bin filter=lfs\n");
    writeFileSync(join(s.repo, "old.bin"), "old\n");
    s.git(["add", "."]);
    s.git(["commit", "-qm", "large files"]);
    const base = s.git(["rev-parse", "HEAD"]);
    await s.workspaces.inspectRepository(s.repo);
    const plan = s.plan("baton/T-1"),
      reviewer = s.plan(null);
    for (const one of [plan, reviewer]) await s.workspaces.prepare(one);
    expect(readFileSync(join(plan.path, "old.bin"), "utf8")).toBe("old\n");
    writeFileSync(join(plan.path, "new.bin"), "new\n");
    const c = await s.workspaces.capture({ plan, base, ...turn });
    expect(existsSync(join(s.repo, ".git/lfs/objects", s.git(["cat-file", "blob", `${c.commit}:new.bin`])))).toBe(true);
    await s.workspaces.checkout({ plan: reviewer, commit: c.commit });
    expect(readFileSync(join(reviewer.path, "new.bin"), "utf8")).toBe("new\n");
  },
);
