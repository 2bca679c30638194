import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchScripted } from "../faults/support/launch.ts";
import { type McpDoor, openMcpDoor } from "../faults/support/mcp-door.ts";
import { kill, onStack } from "../faults/support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine", "host"] });
const key = (name: string) => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const sessions = () => on.baton.sdk.sessions;
let door: McpDoor;
beforeAll(async () => {
  door = await openMcpDoor(on.stack);
}, 60_000);
afterAll(() => door.close());

const git = (...args: string[]): string =>
  execFileSync("git", ["-C", on.stack.repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" }).trim();
const refsOf = (session: string) => git("for-each-ref", "--format=%(refname)", `refs/baton/${session}`).split("\n").filter(Boolean);
const purge = (args: Record<string, unknown>) => door.call({ action: "purge", actor: "@test", ...args });
const made = (name: string) => [[{ edit: { path: `${name}.txt`, content: `${name}\n` } }, { say: "made it" }], [{ say: "more" }]];

async function idle(name: string, turns: unknown[] = made(name)): Promise<{ session: string; worktree: string; branch: string }> {
  const session = await launchScripted(on.baton, on.stack, { key: key(name), turns });
  await on.baton.turnsEnded(session, 1, 30_000);
  const view = await sessions().get({ sessionUlid: session });
  return { session, worktree: String(view["worktreePath"]), branch: String(view["branchName"]) };
}
/** Rows of a session in whatever table has such rows, but for its tombstone. */
async function rows(session: string): Promise<string[]> {
  const tables = await on.baton.query<{ name: string }>(
    "select table_name as name from information_schema.columns where table_schema = 'public' and column_name = 'session_ulid' and table_name not in ('session', 'head', 'generation', 'host_inbox')",
  );
  const left: string[] = [];
  for (const { name } of tables) if ((await on.baton.query(`select 1 from ${name} where session_ulid = $1`, [session])).length > 0) left.push(name);
  return left;
}

test("what is not merged is refused, said by a dry run, and kept on a ref when forced; the tombstone and the keys stay", async () => {
  const { session, worktree, branch } = await idle("unmerged");
  const input = { sessionUlid: session, prompt: "more", clientRequestId: key("input") };
  const { inputId } = (await sessions().input(caller, input)).data;
  await on.baton.turnsEnded(session, 2, 30_000);

  const dry = await purge({ sessionUlid: session, dryRun: true });
  expect(dry.data).toMatchObject({
    dryRun: true,
    purged: false,
    needsForce: true,
    unmerged: "1 file, +1 -0",
    wouldDelete: { worktreePath: worktree, branchName: branch, counts: { turns: 2, inputs: 2 } },
  });
  expect((dry.data!["wouldDelete"] as { bytes: { worktree: number } }).bytes.worktree).toBeGreaterThan(10);
  expect(await purge({ sessionUlid: session, clientRequestId: key("purge") })).toMatchObject({
    ok: false,
    error: { code: "CONFLICT_STATE", currentState: "unmerged" },
  });
  expect(await sessions().get({ sessionUlid: session })).toMatchObject({ status: "IDLE" });
  expect(existsSync(join(worktree, "unmerged.txt"))).toBe(true);

  const { data } = await purge({ sessionUlid: session, force: true, clientRequestId: key("purge") });
  const snapshot = `refs/baton/${session}/purged`;
  expect(data).toMatchObject({
    purged: true,
    purgedAt: expect.any(String),
    status: "CLOSED",
    purge: { snapshot, deleteFiles: true, actor: "test" },
    deleted: { counts: { turns: 2 } },
  });
  expect(existsSync(worktree)).toBe(false);
  expect(existsSync(join(on.stack.home, "runners", session))).toBe(false);
  expect(git("branch", "--list", branch)).toBe("");
  expect(refsOf(session)).toEqual([snapshot]);
  expect(git("show", `${snapshot}:unmerged.txt`)).toBe("unmerged");
  expect(await rows(session)).toEqual([]);

  expect(await sessions().get({ sessionUlid: session })).toMatchObject({ sessionUlid: session, purged: true, status: "CLOSED", purge: { snapshot } });
  expect(((await sessions().list({})).data["sessions"] as { sessionUlid: string }[]).map((row) => row.sessionUlid)).not.toContain(session);
  expect((await purge({ sessionUlid: session })).data).toMatchObject({ purged: true, purgedAt: data?.["purgedAt"] });
  for (const action of ["events", "live_deltas", "diff"])
    expect((await door.call({ action, sessionUlid: session })).error).toMatchObject({ code: "NOT_FOUND", currentState: "purged" });
  // Keys outlive it.
  expect((await sessions().input(caller, input)).data).toMatchObject({ inputId, replayed: true, purgedAt: data?.["purgedAt"] });
  await expect(sessions().input(caller, { ...input, clientRequestId: key("input-2") })).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(sessions().restart(caller, { sessionUlid: session, clientRequestId: key("restart"), actor: "@test" })).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
  const again = await sessions().launch(caller, {
    clientRequestId: key("unmerged"),
    actor: "@test",
    taskKey: key("unmerged"),
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: made("unmerged") } },
    task: { title: key("unmerged"), repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  });
  expect([again.replayed, again.data["sessionUlid"], again.data["purgedAt"]]).toEqual([true, session, data?.["purgedAt"]]);
  expect(existsSync(worktree)).toBe(false);
}, 120_000);

test("a session that runs or has a queue is refused; merged work and no work go without force", async () => {
  const busy = await launchScripted(on.baton, on.stack, { key: key("busy"), turns: [["hang"], [{ say: "well" }]] });
  await on.baton.eventually(
    "it works",
    async () => (await on.baton.query("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null", [busy])).length === 1,
    30_000,
  );
  expect((await purge({ sessionUlid: busy })).error).toMatchObject({ code: "CONFLICT_STATE" });
  await sessions().abort(caller, { sessionUlid: busy });
  await on.baton.turnsEnded(busy, 1, 30_000);
  expect((await purge({ sessionUlid: busy })).data).toMatchObject({ purged: true, purge: { snapshot: null } });
  expect(refsOf(busy)).toEqual([]);

  const { session, branch } = await idle("merged");
  const candidate = (await sessions().get({ sessionUlid: session }))["candidate"] as { commit: string };
  git("merge", "-q", "--ff-only", candidate.commit);
  expect((await purge({ sessionUlid: session, dryRun: true })).data).toMatchObject({ needsForce: false });
  expect((await purge({ sessionUlid: session })).data).toMatchObject({ purged: true, purge: { snapshot: null } });
  expect([refsOf(session), git("branch", "--list", branch)]).toEqual([[], ""]);
}, 120_000);

test("a purge's key is its own: repeated it says so, with other arguments it is refused, also by a dry run", async () => {
  const { session } = await idle("keyed");
  const args = { sessionUlid: session, force: true, clientRequestId: key("keyed-purge") };
  expect((await purge({ ...args, dryRun: true })).data).toMatchObject({ purged: false });
  const first = await purge(args);
  expect(first.data).toMatchObject({ purged: true });
  expect(first.data).not.toHaveProperty("replayed");
  expect((await purge({ ...args, actor: "test" })).data).toMatchObject({ purgedAt: first.data!["purgedAt"], replayed: true });
  const { session: other } = await idle("keyed-other");
  for (const more of [{ sessionUlid: other }, { deleteFiles: false }, { sessionUlid: other, dryRun: true }])
    expect((await purge({ ...args, ...more })).error).toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
  expect(await sessions().get({ sessionUlid: other })).toMatchObject({ status: "IDLE" });
}, 120_000);

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

test("deleteFiles false: the record is in a file, worktree and branch stay; its workflow ends", async () => {
  const { session, worktree, branch } = await idle("kept");
  const { data } = await purge({ sessionUlid: session, deleteFiles: false });
  const path = join(on.stack.home, "transcripts", `${session}.jsonl`);
  expect(data).toMatchObject({ purged: true, deleteFiles: false, purge: { transcriptPath: path } });
  const lines = readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, { type?: string; prompt?: string; seq?: number }>);
  expect(lines.filter((line) => line["input"]).map((line) => line["input"]?.prompt)).toEqual(["go"]);
  const seqs = lines.filter((line) => line["event"]).map((line) => line["event"]?.seq);
  expect(seqs).toEqual(seqs.map((_, at) => at + 1));
  expect(lines.some((line) => line["event"]?.type === "message.completed")).toBe(true);
  expect(existsSync(join(worktree, "kept.txt"))).toBe(true);
  expect(git("branch", "--list", branch)).toContain(branch);
  expect(refsOf(session).length).toBeGreaterThan(0);
  expect(await rows(session)).toEqual([]);
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

test.each([
  ["purge.files", true],
  ["purge.records", true],
  ["purge.files", false],
])(
  "killed at %s (files %s): the next host finishes it",
  async (name, deleteFiles) => {
    const { session, worktree } = await idle(`killed-${name}-${deleteFiles}`);
    await kill(on.host);
    on.host = await on.stack.startHost({ stop: { name, hit: 1, action: "kill" }, fired: join(on.stack.home, `fired-${name}-${deleteFiles}`) });
    const dies = new Promise((resolve) => on.host.once("exit", resolve));
    const asked = purge({ sessionUlid: session, deleteFiles, force: true });
    await dies;
    // Half gone is gone for every reader.
    expect((await door.call({ action: "events", sessionUlid: session })).error).toMatchObject({ code: "NOT_FOUND" });
    expect(await sessions().get({ sessionUlid: session })).toMatchObject({ purged: true, purging: true });
    on.host = await on.stack.startHost();
    expect((await asked).data).toMatchObject({ purged: true });
    await on.baton.eventually("it is done", async () => (await sessions().get({ sessionUlid: session }))["purging"] === undefined, 30_000);
    expect([await rows(session), existsSync(worktree)]).toEqual([[], !deleteFiles]);
    if (deleteFiles) expect(git("show", `refs/baton/${session}/purged:killed-${name}-${deleteFiles}.txt`)).toContain("killed");
    else expect(readFileSync(join(on.stack.home, "transcripts", `${session}.jsonl`), "utf8")).toContain("made it");
  },
  120_000,
);

test("diff: a candidate against its base and against the one before, by path, as a stat, bounded; a planted driver is not run", async () => {
  const { session } = await idle("diffed", [
    [{ edit: { path: "a.txt", content: "one\n" } }],
    [{ edit: { path: "a.txt", content: "one\ntwo\n" } }, { edit: { path: "dir/b.txt", content: "b\n".repeat(20_000) } }],
  ]);
  const first = ((await sessions().get({ sessionUlid: session }))["lastTurn"] as { turnId: string }).turnId;
  await sessions().input(caller, { sessionUlid: session, prompt: "more" });
  await on.baton.turnsEnded(session, 2, 30_000);
  const trap = join(on.stack.home, "trap");
  for (const name of ["diff.external", "diff.trap.textconv", "diff.trap.command", "core.fsmonitor"]) git("config", name, `touch ${trap}; cat`);
  writeFileSync(join(on.stack.repository, ".git", "info", "attributes"), "* diff=trap\n");
  const diff = async (args: Record<string, unknown>) => (await door.call({ action: "diff", sessionUlid: session, ...args })).data ?? {};
  expect(await diff({ turnId: first })).toMatchObject({
    against: "base",
    files: [{ path: "a.txt", added: 1, deleted: 0 }],
    truncated: false,
    diff: expect.stringContaining("+one"),
  });
  const whole = await diff({});
  expect(whole).toMatchObject({ totals: { files: 2, added: 20_002 }, truncated: true });
  expect(Buffer.byteLength(JSON.stringify(whole))).toBeLessThan(32_768);
  expect(await diff({ against: "previous", path: "a.txt" })).toMatchObject({ files: [{ path: "a.txt", added: 1 }], truncated: false });
  expect(String((await diff({ against: "previous", path: "a.txt" }))["diff"])).toMatch(/^ one\n\+two$/m);
  expect(await diff({ stat: true })).not.toHaveProperty("diff");
  expect(existsSync(trap)).toBe(false);
  const refused = async (args: Record<string, unknown>) => (await door.call({ action: "diff", sessionUlid: session, ...args })).error;
  expect(await refused({ path: "../x" })).toMatchObject({ code: "INVALID_ARGUMENT", field: "path" });
  expect(await refused({ turnId: "01JNOSUCHTURN0000000000000" })).toMatchObject({ code: "NOT_FOUND", field: "turnId" });
  const fresh = await launchScripted(on.baton, on.stack, { key: key("no-candidate"), turns: [["hang"]] });
  expect((await door.call({ action: "diff", sessionUlid: fresh })).error).toMatchObject({ code: "CONFLICT_STATE" });
}, 120_000);
