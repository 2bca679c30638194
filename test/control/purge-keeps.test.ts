import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kill } from "../faults/support/on-stack.ts";
import { caller } from "./on-door.ts";
import { onPurges } from "./purge-world.ts";

const on = onPurges();
const { key, sessions, git, idle, purge } = on;

test("a dry run says what the host could not look at, as the purge does", async () => {
  const { session } = await idle("unreadable");
  const broken = join(on.stack.repository, ".git", "packed-refs");
  const before = existsSync(broken) ? readFileSync(broken) : null;
  writeFileSync(broken, "no refs at all\n");
  const dry = await purge({ sessionUlid: session, dryRun: true });
  const real = await purge({ sessionUlid: session, force: true });
  if (before) writeFileSync(broken, before);
  else rmSync(broken);
  expect(dry.data).toMatchObject({ dryRun: true, purged: false, problem: expect.stringContaining("packed-refs") });
  expect(real.error).toMatchObject({ code: "CONFLICT_STATE", message: `Nothing was deleted: ${String(dry.data?.["problem"])}` });
}, 120_000);

test("a repository that cannot be read is not one without work: nothing is deleted without force, and then it is set aside", async () => {
  const { session, worktree } = await idle("unread");
  const { repository } = on.stack;
  const config = join(repository, ".git", "config");
  const before = readFileSync(config);
  appendFileSync(config, "[broken\n");
  // What the host learned of the repository goes with it.
  await kill(on.host);
  on.host = await on.stack.startHost();
  try {
    expect((await purge({ sessionUlid: session, force: true })).error).toMatchObject({
      code: "CONFLICT_STATE",
      message: expect.stringContaining("Nothing was deleted"),
    });
  } finally {
    writeFileSync(config, before);
  }
  const away = `${repository}-away`;
  renameSync(repository, away);
  try {
    expect((await purge({ sessionUlid: session })).error).toMatchObject({ code: "CONFLICT_STATE", currentState: "unmerged" });
    expect(readFileSync(join(worktree, "unread.txt"), "utf8")).toBe("unread\n");
    expect((await purge({ sessionUlid: session, force: true })).data).toMatchObject({ purged: true, purge: { kept: [expect.stringContaining(".left-1")] } });
    expect(readFileSync(join(`${worktree}.left-1`, "unread.txt"), "utf8")).toBe("unread\n");
  } finally {
    renameSync(away, repository);
  }
}, 120_000);

test("a repository inside the worktree is named in the log and to whoever purges, and stays when forced", async () => {
  const { session, worktree } = await idle("nested");
  const app = join(worktree, "app");
  execFileSync("git", ["init", "-q", app]);
  writeFileSync(join(app, "main.ts"), "work\n");
  for (const args of [
    ["add", "."],
    ["commit", "-qm", "inner"],
  ])
    execFileSync("git", ["-C", app, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
  await sessions().input(caller, { sessionUlid: session, prompt: "more" });
  await on.baton.turnsEnded(session, 2, 30_000);
  const told = await on.baton.query<{ message: string }>(
    "select data->>'message' as message from event where session_ulid = $1 and type = 'notice.raised' order by seq",
    [session],
  );
  expect(told).toEqual([{ message: expect.stringContaining("(app)") }]);
  const candidate = (await sessions().get({ sessionUlid: session }))["candidate"] as { commit: string };
  git("merge", "-q", "--no-edit", candidate.commit);
  expect((await purge({ sessionUlid: session })).error).toMatchObject({
    code: "CONFLICT_STATE",
    currentState: "unmerged",
    message: expect.stringContaining("repositories inside: app"),
  });
  expect((await purge({ sessionUlid: session, force: true })).data).toMatchObject({ purged: true, purge: { kept: [expect.stringContaining(".left-1")] } });
  expect(readFileSync(join(`${worktree}.left-1`, "app", "main.ts"), "utf8")).toBe("work\n");
}, 120_000);

test("a branch that somebody has checked out stays, and a worktree that is not Baton's is left alone", async () => {
  const { session, branch } = await idle("elsewhere");
  const elsewhere = join(on.stack.home, "elsewhere");
  git("worktree", "add", "-q", "--force", elsewhere, branch);
  expect((await purge({ sessionUlid: session, force: true })).data).toMatchObject({ purge: { kept: [expect.stringContaining("checked out elsewhere")] } });
  expect(git("branch", "--list", branch)).toContain(branch);
  git("worktree", "remove", "--force", elsewhere);

  const inPlace = await sessions().launch(caller, {
    clientRequestId: key("in-place"),
    actor: "@test",
    taskKey: key("in-place"),
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    worktree: { disabled: true },
    config: { scenario: { turns: [[{ edit: { path: "precious.txt", content: "precious\n" } }]] } },
    task: { title: "in place", repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  });
  const own = String(inPlace.data["sessionUlid"]);
  await on.baton.turnsEnded(own, 1, 30_000);
  expect((await purge({ sessionUlid: own })).data).toMatchObject({ purged: true, purge: { kept: [expect.stringContaining("not Baton's")] } });
  expect(readFileSync(join(on.stack.repository, "precious.txt"), "utf8")).toBe("precious\n");
  expect(git("rev-parse", "--is-inside-work-tree")).toBe("true");
}, 120_000);
