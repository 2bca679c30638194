import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { launchScripted } from "../faults/support/launch.ts";
import { kill } from "../faults/support/on-stack.ts";
import { caller, made } from "./on-door.ts";
import { onPurges } from "./purge-world.ts";

const on = onPurges();
const { key, sessions, git, idle, purge, refsOf, rows } = on;

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
    expect((await on.door.call({ action, sessionUlid: session })).error).toMatchObject({ code: "NOT_FOUND", currentState: "purged" });
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
    expect((await on.door.call({ action: "events", sessionUlid: session })).error).toMatchObject({ code: "NOT_FOUND" });
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
