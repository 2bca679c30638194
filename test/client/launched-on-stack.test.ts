import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import { startTicks } from "../../host/boot-identity.ts";
import { kill, onStack } from "../faults/support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine", "host"], numbers: { BOOT_SECRET: "canary-of-many-letters" } });
let count = 0;

/** Launches a scripted agent for a task of its own. */
async function launch(turns: unknown[], more: Partial<LaunchArgs> & { scenario?: object } = {}): Promise<string> {
  const { scenario, ...args } = more;
  const taskKey = `S${(count += 1)}`;
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-${taskKey}`,
    actor: "@test",
    taskKey,
    launcherConfigKey: "demo-executor",
    prompt: "go",
    config: { scenario: { turns, ...scenario } },
    task: { title: taskKey, repositoryPath: on.stack.repository, projectKey: "STACK" },
    ...args,
  });
  return String(data["sessionUlid"]);
}
const input = (sessionUlid: string, prompt: string) => on.baton.sdk.sessions.input(caller, { sessionUlid, prompt, delivery: "queue" });
const get = (sessionUlid: string) => on.baton.sdk.sessions.get({ sessionUlid });
const git = (...args: string[]) => execFileSync("git", ["-C", on.stack.repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" });
async function texts(sessionUlid: string, type: string, field: string): Promise<string[]> {
  const rows = await on.baton.query<{ text: string }>(`select data->>'${field}' as text from event where session_ulid = $1 and type = $2 order by seq`, [
    sessionUlid,
    type,
  ]);
  return rows.map((row) => row.text);
}
async function asked(sessionUlid: string): Promise<{ approval_id: string; title: string; detail: { limit: string; used: number; allowed: number } }> {
  let found: { approval_id: string; title: string; detail: { limit: string; used: number; allowed: number } }[] = [];
  const open = "select approval_id, title, detail from approval where session_ulid = $1 and kind = 'budget' and state = 'open'";
  await on.baton.eventually("somebody is asked", async () => (found = await on.baton.query(open, [sessionUlid])).length === 1, 30_000);
  const [one] = found;
  if (!one) throw new Error("nobody is asked");
  return one;
}
const respond = (approvalId: string, more: object) => on.baton.sdk.sessions.respond(caller, { approvalId, ...more });

test("a template's files lie over the fresh worktree as changes that nobody has committed", async () => {
  git("checkout", "-q", "-b", "template");
  writeFileSync(join(on.stack.repository, "README.md"), "from the template\n");
  writeFileSync(join(on.stack.repository, "extra.txt"), "extra\n");
  git("add", ".");
  git("commit", "-q", "-m", "template");
  git("checkout", "-q", "main");
  const sessionUlid = await launch([[{ run: "git status --porcelain; cat README.md" }]], { worktree: { templateRef: "template" } });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect(await texts(sessionUlid, "command.completed", "output")).toEqual([expect.stringMatching(/^ M README\.md\n\?\? extra\.txt\nfrom the template/)]);
  expect(await get(sessionUlid)).toMatchObject({ candidate: { files: 2 } });
}, 60_000);

test("without a worktree the session works in the repository itself, alone, and leaves everything there", async () => {
  const sessionUlid = await launch([[{ edit: { path: "made-here.txt", content: "made\n" } }]], { worktree: { disabled: true } });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect(readFileSync(join(on.stack.repository, "made-here.txt"), "utf8")).toBe("made\n");
  expect(await get(sessionUlid)).toMatchObject({ worktreePath: on.stack.repository, branchName: null, candidate: { files: 1 } });
  await expect(launch([[]], { worktree: { disabled: true } })).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  await on.baton.closeSession(sessionUlid);
  expect(existsSync(join(on.stack.repository, "made-here.txt"))).toBe(true);
  // Free again: the next one may, and then the first one can not be woken beside it.
  const second = await launch([[]], { worktree: { disabled: true } });
  await expect(input(sessionUlid, "again")).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  await on.baton.closeSession(second);
}, 60_000);

test("a tool that the session may not use is denied, whatever its permissions allow", async () => {
  const scenario = [
    [{ ask: { title: "Run it", kind: "execute", onDeny: [{ say: "not allowed" }] } }, { ask: { title: "Read it", kind: "read" } }, { say: "done" }],
  ];
  const sessionUlid = await launch(scenario, { tools: ["read"] });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect((await texts(sessionUlid, "message.completed", "text")).join(" ")).toMatch(/not allowed.*done/);
}, 60_000);

/** A session whose workspace begins with these commands, and which has a turn to do. */
async function booting(bootstrapCommands: string[], step: unknown = { run: "cat boot.txt" }): Promise<string> {
  const contextRef = `boot-${(count += 1)}`;
  const { data } = await on.baton.sdk.sessions.start(caller, {
    clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-${contextRef}`,
    actor: "@test",
    taskKey: contextRef,
    contextRef,
    launcherConfigKey: "demo-executor",
    role: "executor",
    systemPrompt: "Work.",
    repositoryPath: on.stack.repository,
    config: { env: [{ name: "SECRET", valueRef: "env:BOOT_SECRET" }], scenario: { turns: [[step]] } },
    bootstrapCommands,
  });
  const sessionUlid = String(data["sessionUlid"]);
  await on.baton.sdk.sessions.run(caller, { sessionUlid, prompt: "go" });
  return sessionUlid;
}

test("bootstrap commands run once before the first turn; one that fails is the end of the session, with its reason", async () => {
  const good = await booting(["echo one >> boot.txt; echo said", "echo two >> boot.txt"]);
  await on.baton.turnsEnded(good, 1, 30_000);
  expect(await texts(good, "command.completed", "output")).toEqual(["said\n", "", expect.stringMatching(/^one\ntwo\n?$/)]);
  expect(await on.baton.sdk.sessions.spec({ sessionUlid: good })).toMatchObject({ bootstrapCommands: [expect.any(String), expect.any(String)] });

  const bad = await booting(["echo it broke >&2; exit 3", "touch never"]);
  await on.baton.eventually("it failed", async () => (await get(bad))["status"] === "FAILED", 30_000);
  expect(await get(bad)).toMatchObject({ workspace: "failed", turns: { total: 1 } });
  await on.baton.turnsEnded(bad, 1, 30_000);
  const [ended] = await on.baton.query<{ outcome: string; class: string }>(
    "select result->>'outcome' outcome, result->'failure'->>'class' class from turn where session_ulid = $1",
    [bad],
  );
  expect(ended).toEqual({ outcome: "failed", class: "workspace_failed" });
  expect(await texts(bad, "session.workspace_failed", "message")).toEqual([expect.stringMatching(/command 1 .*failed with code 3: it broke/s)]);
  expect(await texts(bad, "command.started", "command")).toHaveLength(1);
}, 90_000);

test("of a bootstrap command's long output the end is kept, and not half of a secret", async () => {
  const sessionUlid = await booting(['printf %s "$SECRET"; head -c 65526 /dev/zero | tr "\\0" y']);
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect((await texts(sessionUlid, "command.completed", "output"))[0]).toMatch(/^\[secret\]y+$/);
}, 60_000);

test("the wall limit ends the turn and asks; what waits goes on when there is more", async () => {
  const sessionUlid = await launch([[{ wait: 60_000 }], [{ say: "second" }]], { limits: { wallSeconds: 1 } });
  await on.baton.eventually("it works", async () => (await texts(sessionUlid, "turn.started", "pid")).length === 1, 30_000);
  await input(sessionUlid, "next");
  const { approval_id: approvalId, title, detail } = await asked(sessionUlid);
  expect([detail.limit, detail.allowed, title]).toEqual(["wallSeconds", 1, expect.stringContaining("wallSeconds")]);
  expect(await on.baton.outcomes(sessionUlid)).toEqual(["limit"]);
  expect(await get(sessionUlid)).toMatchObject({
    state: "waiting",
    attention: [{ kind: "budget", next: [{ args: { decision: "allow", add: { wallSeconds: 1 } } }, {}] }],
  });
  await expect(respond(approvalId, { decision: "allow" })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    detail: { field: "add", example: { add: { wallSeconds: 1 } } },
  });
  expect(await respond(approvalId, { decision: "allow", add: { wallSeconds: 100 } })).toMatchObject({ applied: true });
  await on.baton.turnsEnded(sessionUlid, 2, 30_000);
  expect(await on.baton.outcomes(sessionUlid)).toEqual(["limit", "completed"]);
  expect(await get(sessionUlid)).toMatchObject({ limits: { wallSeconds: 101, used: { turns: 2 } }, turns: { total: 2 } });
  expect(await respond(approvalId, { decision: "deny" })).toMatchObject({ applied: false });
}, 90_000);

test("used-up turns are asked for before one starts, also across the death of the host; no ends what waits", async () => {
  const sessionUlid = await launch([[{ say: "one" }], [{ say: "two" }]], { limits: { turns: 1 } });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  await input(sessionUlid, "two, please");
  const first = await asked(sessionUlid);
  const epoch = async () => (await on.baton.query<{ epoch: string }>("select epoch from head where session_ulid = $1", [sessionUlid]))[0]?.epoch;
  const before = await epoch();
  await kill(on.host);
  on.host = await on.stack.startHost();
  await on.baton.eventually("the new host has the turn", async () => (await epoch()) !== before, 30_000);
  expect((await asked(sessionUlid)).approval_id).toBe(first.approval_id);
  expect(await texts(sessionUlid, "turn.started", "pid")).toHaveLength(1);
  await respond(first.approval_id, { decision: "allow", add: { turns: 1 } });
  await on.baton.turnsEnded(sessionUlid, 2, 30_000);
  await input(sessionUlid, "three?");
  await respond((await asked(sessionUlid)).approval_id, { decision: "deny" });
  await on.baton.turnsEnded(sessionUlid, 3, 30_000);
  expect(await on.baton.outcomes(sessionUlid)).toEqual(["completed", "completed", "limit"]);
  expect(await texts(sessionUlid, "turn.started", "pid")).toHaveLength(2);
  expect(await get(sessionUlid)).toMatchObject({ state: "idle", limits: { turns: 2, used: { turns: 2 } } });
}, 120_000);

test("silence and cost are limits, too; without anything that waits the agent is told to continue", async () => {
  const usage = {
    jsonrpc: "2.0",
    method: "session/update",
    params: { update: { sessionUpdate: "usage_update", used: 1, size: 2, cost: { amount: 0.01, currency: "USD" } } },
  };
  const silent = await launch([["hang"], [{ say: "awake" }]], { limits: { idleSeconds: 1 } });
  const dear = await launch([[{ raw: JSON.stringify(usage) }, "hang"], [{ say: "cheap" }]], { limits: { costMicros: 5_000 } });
  const [one, two] = [await asked(silent), await asked(dear)];
  expect([one.detail.limit, two.detail]).toEqual(["idleSeconds", expect.objectContaining({ limit: "costMicros", used: 10_000, allowed: 5_000 })]);
  await expect(respond(two.approval_id, { decision: "allow", add: { tokens: 5 } })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await respond(one.approval_id, { decision: "allow" });
  await respond(two.approval_id, { decision: "allow", add: { costMicros: 1_000_000 } });
  for (const sessionUlid of [silent, dear]) {
    await on.baton.turnsEnded(sessionUlid, 2, 30_000);
    expect(await on.baton.outcomes(sessionUlid)).toEqual(["limit", "completed"]);
    expect(await on.baton.query("select prompt from input where session_ulid = $1 order by input_id", [sessionUlid])).toEqual([
      { prompt: "go" },
      { prompt: "Continue." },
    ]);
  }
}, 90_000);

test("the launching session is told once each time its child has settled, also across the death of the engine", async () => {
  const parent = await launch([[{ say: "waiting" }]]);
  await on.baton.turnsEnded(parent, 1, 30_000);
  await expect(launch([[]], { onSettled: "input" })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "onSettled" } });
  const child = await launch([[{ edit: { path: "child.txt", content: "x\n" } }, { say: "the child is done" }]], { parentUlid: parent, onSettled: "input" });
  const told = () =>
    on.baton.query<{ prompt: string; source: string }>("select prompt, source from input where session_ulid = $1 and source = $2 order by input_id", [
      parent,
      `session:${child}`,
    ]);
  await on.baton.eventually("the parent was told", async () => (await told()).length === 1, 30_000);
  await on.baton.turnsEnded(parent, 2, 30_000);
  expect((await told())[0]?.prompt).toMatch(
    new RegExp(`Session ${child}[^]*settled: idle[^]*completed[^]*candidate: commit [0-9a-f]{40}[^]*the child is done`),
  );

  await kill(on.engine);
  on.engine = await on.stack.startEngine();
  await input(child, "more");
  await on.baton.turnsEnded(child, 2, 60_000);
  await on.baton.eventually("told again", async () => (await told()).length === 2, 60_000);
  await on.baton.closeSession(child);
  const seen = async () =>
    (await on.baton.query("select 1 from settle_watch w join head h using (session_ulid) where w.session_ulid = $1 and w.seen_seq = h.last_seq", [child]))
      .length === 1;
  await on.baton.eventually("the close was looked at", seen, 30_000);
  expect(await told()).toHaveLength(2);
}, 180_000);

test("a limit that was reached stays one when the host dies before its agent has let go", async () => {
  const sessionUlid = await launch([["ignoreSignals", { wait: 60_000 }], [{ say: "on" }]], { limits: { wallSeconds: 1 } });
  await on.baton.eventually("the limit is reached", async () => (await texts(sessionUlid, "turn.limit_reached", "limit")).length === 1, 30_000);
  await kill(on.host);
  on.host = await on.stack.startHost();
  const { approval_id: approvalId } = await asked(sessionUlid);
  expect(await on.baton.outcomes(sessionUlid)).toEqual(["limit"]);
  await respond(approvalId, { decision: "allow", add: { wallSeconds: 100 } });
  await on.baton.turnsEnded(sessionUlid, 2, 60_000);
  expect(await on.baton.outcomes(sessionUlid)).toEqual(["limit", "completed"]);
}, 120_000);

test("a bootstrap command that a dead host left running is ended and begun again, never beside itself", async () => {
  const log = join(on.stack.home, "boot.log");
  const lines = () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []);
  // Held until the test lets it go: it is surely in the middle when its host dies.
  const held = `echo begin $$ >> ${log}; while [ ! -e ${log}.go ]; do sleep 0.05; done; echo end $$ >> ${log}`;
  const sessionUlid = await booting([held], { say: "done" });
  await on.baton.eventually("it runs", async () => lines().length === 1, 30_000);
  await kill(on.host);
  on.host = await on.stack.startHost();
  await on.baton.eventually("it runs again", async () => lines().length === 2, 60_000);
  const [former, latter] = lines().map((line) => Number(line.split(" ")[1]));
  expect(former).not.toBe(latter);
  expect(startTicks(former ?? 0)).toBe(null);
  writeFileSync(`${log}.go`, "");
  await on.baton.turnsEnded(sessionUlid, 1, 60_000);
  expect(lines()).toEqual([`begin ${former}`, `begin ${latter}`, `end ${latter}`]);
}, 120_000);

test("of a chain the launching session is told at its end; what was launched goes with a purge", async () => {
  const parent = await launch([[{ say: "waiting" }]]);
  await on.baton.turnsEnded(parent, 1, 30_000);
  const child = await launch([[{ edit: { path: "chain.txt", content: "x\n" } }]], { parentUlid: parent, onSettled: "input", chain: {} });
  const told = () => on.baton.query<{ prompt: string }>("select prompt from input where session_ulid = $1 and source = $2", [parent, `session:${child}`]);
  await on.baton.eventually("the parent was told", async () => (await told()).length === 1, 60_000);
  expect((await told())[0]?.prompt).toMatch(/- chain \w+: ended, approved/);
  await on.baton.turnsEnded(parent, 2, 30_000);
  await on.baton.sdk.sessions.purge(caller, { sessionUlid: child, force: true });
  await on.baton.eventually(
    "its launch is gone",
    async () =>
      (
        await on.baton.query(
          "select session_ulid from launch where session_ulid = $1 union all select session_ulid from settle_watch where session_ulid = $1",
          [child],
        )
      ).length === 0,
    30_000,
  );
}, 120_000);
