import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prepared, scratch, turn } from "./scratch.ts";

describe("what an agent plants does not run", () => {
  test("filters, hooks, fsmonitor, diff programs; the operator's own filter still does", async () => {
    const s = scratch();
    s.git(["config", "filter.own.clean", "tr a-z A-Z"]);
    mkdirSync(join(s.repo, ".git/info"), { recursive: true });
    writeFileSync(join(s.repo, ".git/info/attributes"), "own.md filter=own\n");
    await s.workspaces.inspectRepository(s.repo);
    const mark = join(s.home, "ran"),
      evil = join(s.home, "evil.sh");
    writeFileSync(evil, `#!/bin/sh\necho "$0 $*" >> ${mark}\ncat\n`);
    chmodSync(evil, 0o755);
    mkdirSync(join(s.repo, ".git/hooks"), { recursive: true });
    for (const hook of ["post-checkout", "reference-transaction", "post-index-change", "pre-commit"]) {
      writeFileSync(join(s.repo, ".git/hooks", hook), `#!/bin/sh\necho ${hook} >> ${mark}\n`);
      chmodSync(join(s.repo, ".git/hooks", hook), 0o755);
    }
    for (const [key, value] of [
      ["filter.evil.clean", evil],
      ["filter.evil.smudge", evil],
      ["filter.evil.process", evil],
      ["filter.evil.required", "true"],
      ["core.fsmonitor", evil],
      ["core.pager", evil],
      ["diff.external", evil],
      ["diff.evil.textconv", evil],
      ["diff.evil.command", evil],
      ["log.showSignature", "true"],
      ["gpg.program", evil],
    ] as const)
      s.git(["config", key, value]);
    writeFileSync(join(s.repo, ".git/info/attributes"), "*.txt filter=evil diff=evil\nown.md filter=own\n");
    const plan = s.plan("baton/T-1"),
      reviewer = s.plan(null);
    await s.workspaces.prepare(plan);
    await s.workspaces.prepare(reviewer);
    writeFileSync(join(plan.path, "b.txt"), "plain\n");
    writeFileSync(join(plan.path, "own.md"), "loud\n");
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    await s.workspaces.checkout({ plan: reviewer, commit: c.commit });
    await s.workspaces.diff({ repositoryPath: s.repo, from: s.first, to: c.commit, maxBytes: 10_000 });
    await s.workspaces.remove(plan);
    expect(existsSync(mark) ? readFileSync(mark, "utf8") : "").toBe("");
    expect(readFileSync(join(reviewer.path, "b.txt"), "utf8")).toBe("plain\n");
    writeFileSync(join(reviewer.path, "control.txt"), "x\n");
    try {
      s.git(["add", "control.txt"], reviewer.path);
    } catch {
      /* the planted process filter speaks no protocol */
    }
    expect(readFileSync(mark, "utf8")).toContain("evil.sh"); // a plain git would have run it
    s.git(["config", "--unset", "core.fsmonitor"]);
    s.git(["config", "core.hooksPath", "/dev/null"]);
    expect(s.git(["cat-file", "blob", `${c.commit}:own.md`])).toBe("LOUD");
  });
});

describe("what an agent put into a repository of its own", () => {
  /** A repository that an agent commits into its branch as a submodule, with a filter that git would run in there. */
  async function withSubmodule() {
    const { s, plan, write } = await prepared();
    const mark = join(s.home, "ran");
    const sub = join(plan.path, "sub");
    write("sub/f.txt", "one\n");
    write("sub/.gitattributes", "* filter=evil\n");
    const git = (args: string[]): string => s.git(["-c", "user.name=a", "-c", "user.email=a@b", ...args], sub);
    s.git(["init", "-q", sub]);
    git(["add", "."]);
    git(["commit", "-qm", "one"]);
    git(["config", "filter.evil.clean", `echo ran >> ${mark}; cat`]);
    s.git(["add", "sub"], plan.path);
    s.git(["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "with a submodule"], plan.path);
    write("sub/f.txt", "two\n");
    rmSync(mark, { force: true });
    return { s, plan, mark, git };
  }

  test("a submodule's own filters never run", async () => {
    const { s, plan, mark } = await withSubmodule();
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect(existsSync(mark)).toBe(false);
    expect(s.git(["ls-tree", c.commit, "sub"])).toMatch(/^160000 commit/);
    // The control: a plain git runs it.
    s.git(["add", "--all"], plan.path);
    expect(existsSync(mark)).toBe(true);
  });

  test("the commit that is checked out in a submodule is part of the tree; without it, it is gone", async () => {
    const { s, plan, git } = await withSubmodule();
    git(["-c", "filter.evil.clean=cat", "commit", "-qam", "two"]);
    const c = await s.workspaces.capture({ plan, ...turn(s) });
    expect(s.git(["ls-tree", c.commit, "sub"])).toContain(git(["rev-parse", "HEAD"]));
    // What is no repository any more keeps its commit: its directory is not the one around it.
    rmSync(join(plan.path, "sub/.git"), { recursive: true });
    expect(s.git(["ls-tree", (await s.workspaces.capture({ plan, ...turn(s, 2) })).commit, "sub"])).not.toContain(s.git(["rev-parse", "HEAD"], plan.path));
    rmSync(join(plan.path, "sub"), { recursive: true });
    expect(s.git(["ls-tree", (await s.workspaces.capture({ plan, ...turn(s, 3) })).commit, "sub"])).toBe("");
  });

  test("the look for what a purge would lose verifies no signature", async () => {
    const { s, plan, write } = await prepared();
    const mark = join(s.home, "ran"),
      evil = join(s.home, "evil.sh");
    writeFileSync(evil, `#!/bin/sh\necho ran >> ${mark}\n`);
    chmodSync(evil, 0o755);
    const signed = `tree ${s.git(["rev-parse", "HEAD^{tree}"])}\nparent ${s.first}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\nx\n`;
    writeFileSync(join(s.home, "commit"), signed);
    s.git(["update-ref", "refs/heads/main", s.git(["hash-object", "-t", "commit", "-w", join(s.home, "commit")])]);
    s.git(["config", "log.showSignature", "true"]);
    s.git(["config", "gpg.program", evil]);
    write("a.txt", "not merged\n");
    expect((await s.workspaces.inspect({ plan, candidate: null })).unmerged).not.toBeNull();
    expect(existsSync(mark)).toBe(false);
    // The control: the log of before runs it.
    s.git(["log", "--format=%T", "-1", "main"]);
    expect(existsSync(mark)).toBe(true);
  });
});
