import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ulid } from "ulid";
import type { WorkspacePlan } from "../../../contracts/workspaces.ts";
import { openWorkspaces } from "../../../workspaces/open-workspaces.ts";

const rounds = process.env["BATON_TEST_FULL"] === "1" ? 20 : 2;
const atOnce = 15;
const root = realpathSync(mkdtempSync(join(tmpdir(), "baton-races-")));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const repo = join(root, "repo");
const home = join(root, "home");
const environment = { PATH: process.env["PATH"], HOME: root };
const workspaces = openWorkspaces({ home, environment });
const git = (...args: string[]): string =>
  execFileSync("git", ["-C", repo, "-c", "user.name=t", "-c", "user.email=t@localhost", ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  }).trim();
const plan = (branch: string | null): WorkspacePlan => {
  const sessionUlid = ulid();
  return { sessionUlid, repositoryPath: repo, path: join(home, "worktrees", sessionUlid), branch, baseRef: "main" };
};
const listed = (): string[] => [...git("worktree", "list", "--porcelain").matchAll(/^worktree (.*)$/gm)].map((found) => found[1] ?? "");
/** Everything git or the disk knows of a plan; empty: nothing half made. */
const traces = (p: WorkspacePlan): string[] => [
  ...(existsSync(p.path) ? [p.path] : []),
  ...listed().filter((path) => path === p.path),
  ...readdirSync(join(repo, ".git/worktrees")).filter((name) => name.startsWith(p.sessionUlid)),
  ...git("for-each-ref", "--format=%(refname)", `refs/baton/${p.sessionUlid}`).split("\n").filter(Boolean),
];
const conflict = { name: "BatonError", code: "CONFLICT_STATE" };

beforeAll(() => {
  execFileSync("git", ["init", "-q", "-b", "main", repo]);
  for (let n = 0; n < 40; n++) writeFileSync(join(repo, `file-${n}.txt`), `${n}\n`);
  git("add", ".");
  git("commit", "-qm", "first");
});

test(`${rounds} times ${atOnce} worktrees at once, while others go and git collects its garbage: each is whole (row 16)`, async () => {
  let former: WorkspacePlan[] = [];
  for (let round = 0; round < rounds; round++) {
    const plans = Array.from({ length: atOnce }, (_, n) => plan(n % 3 === 0 ? null : `baton/R-${round}-${n}`));
    const collector = spawn("git", ["-C", repo, "gc", "--quiet", "--prune=now"], { stdio: "ignore" });
    const collected = once(collector, "close");
    // Each twice: an activity that was given up and its repeat.
    const made = await Promise.all(
      [...plans, ...plans]
        .map((p) => workspaces.prepare(p))
        .concat(former.map(async (p) => ({ path: p.path, head: (await workspaces.remove(p)).snapshot ?? "" }))),
    );
    await collected;
    made.slice(0, plans.length * 2).forEach((one, at) => expect(one.path).toBe(plans[at % plans.length]?.path));
    expect(listed().toSorted()).toEqual([repo, ...plans.map((p) => p.path)].toSorted());
    for (const p of plans) expect(execFileSync("git", ["-C", p.path, "status", "--porcelain"], { encoding: "utf8" })).toBe("");
    former = plans;
  }
  git("fsck", "--no-dangling");
  await Promise.all(former.map((p) => workspaces.remove(p)));
}, 240_000);

test("20 sessions race for one branch: one has it, the others are refused and leave nothing (row 16)", async () => {
  const plans = Array.from({ length: 20 }, () => plan("baton/wanted"));
  const results = await Promise.allSettled(plans.map((p) => workspaces.prepare(p)));
  const won = plans.filter((_, at) => results[at]?.status === "fulfilled");
  expect(won).toHaveLength(1);
  for (const result of results) if (result.status === "rejected") expect(result.reason).toMatchObject(conflict);
  for (const p of plans) if (p !== won[0]) expect(traces(p)).toEqual([]);
  expect(listed()).toEqual([repo, won[0]?.path]);
}, 60_000);

test("a branch that exists is refused, a directory that was left is kept beside, a missing one is made again, a locked one too (row 16)", async () => {
  git("branch", "baton/mine");
  const taken = plan("baton/mine");
  await expect(workspaces.prepare(taken)).rejects.toMatchObject(conflict);
  expect(traces(taken)).toEqual([]);
  expect(git("rev-parse", "baton/mine")).toBe(git("rev-parse", "main"));

  const dirty = plan("baton/dirty");
  mkdirSync(dirty.path, { recursive: true });
  writeFileSync(join(dirty.path, "precious.txt"), "precious\n");
  await workspaces.prepare(dirty);
  expect(readFileSync(join(`${dirty.path}.left-1`, "precious.txt"), "utf8")).toBe("precious\n");
  expect(existsSync(join(dirty.path, "precious.txt"))).toBe(false);

  const gone = plan("baton/gone");
  await workspaces.prepare(gone);
  rmSync(gone.path, { recursive: true });
  const locked = plan("baton/locked");
  await workspaces.prepare(locked);
  git("worktree", "lock", "--reason", "an operator looks at it", locked.path);
  rmSync(locked.path, { recursive: true });
  for (const p of [gone, locked]) {
    await workspaces.prepare(p);
    expect(execFileSync("git", ["-C", p.path, "status", "--porcelain", "--branch"], { encoding: "utf8" }).trim()).toBe(`## ${p.branch}`);
    expect(readFileSync(join(p.path, "file-7.txt"), "utf8")).toBe("7\n");
  }
}, 60_000);
