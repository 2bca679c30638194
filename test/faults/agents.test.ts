import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sessionPrincipal } from "../../contracts/scopes.ts";
import { tools } from "../../mcp-gateway/registry/index.ts";
import { until } from "../support/until.ts";
import { launchScripted } from "./support/launch.ts";
import { type McpDoor, openMcpDoor } from "./support/mcp-door.ts";
import { kill, onStack } from "./support/on-stack.ts";

// Agents that use the gateway themselves. One turn at a time on the whole host: whoever waits must let the others work.
const canary = "canary-5f1c0e9d-do-not-write-me-down";
let door: McpDoor;
const on = onStack({
  start: ["engine", "host"],
  numbers: { BATON_TURN_SLOTS: "1", BATON_AGENT_CHILDREN: "3", H2_CANARY: canary },
  before: async (stack) => {
    door = await openMcpDoor(stack);
    stack.env["BATON_GATEWAY_URL"] = door.url;
  },
});
afterAll(() => door?.close());

const launchStep = (taskKey: string, turns: unknown[], more: Record<string, unknown> = {}) => ({
  call: {
    tool: "pm_session",
    args: {
      action: "launch_task",
      clientRequestId: `k-${taskKey}`,
      actor: "@executor",
      agentHandle: "executor",
      taskKey,
      launcherConfigKey: "demo-executor",
      prompt: "go",
      task: { title: taskKey },
      config: { scenario: { turns } },
      ...more,
    },
  },
});
const waitStep = { call: { tool: "pm_session", args: { action: "wait", sessionUlids: ["{{sessionUlid}}"], until: "idle", waitMs: 600_000 } } };
const call = (args: Record<string, unknown>) => ({ call: { tool: "pm_session", args } });
/** What the agent's calls were answered. */
const answers = async (sessionUlid: string) =>
  (
    await on.baton.query<{ text: string }>("select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' order by seq", [
      sessionUlid,
    ])
  )
    .flatMap(({ text }) => text.split("\n"))
    .filter((line) => line.startsWith("{"))
    .map(
      (line) =>
        JSON.parse(line) as {
          ok: boolean;
          action: string;
          data?: Record<string, unknown>;
          error?: { code: string; field?: string; used?: number; allowed?: unknown };
        },
    );

test("agents three deep, each waiting for the next, with one slot", async () => {
  const deepest = [[{ edit: { path: "deepest.txt", content: "3" } }, { say: "deepest done" }]];
  const middle = [[{ edit: { path: "middle.txt", content: "2" } }, launchStep("DEEP-3", deepest), waitStep, { say: "middle done" }]];
  const top = await launchScripted(on.baton, on.stack, {
    key: "DEEP-1",
    turns: [[{ edit: { path: "top.txt", content: "1" } }, launchStep("DEEP-2", middle), waitStep, { say: "top done" }]],
  });
  await on.baton.turnsEnded(top, 1, 60_000);
  const rows = await on.baton.query<{
    session_ulid: string;
    parent_ulid: string | null;
    root_ulid: string;
    depth: number;
    principal: string;
    worktree_path: string;
  }>("select session_ulid, parent_ulid, root_ulid, depth, principal, worktree_path from session where root_ulid = $1 order by depth", [top]);
  const [, child, grandchild] = rows.map((row) => row.session_ulid);
  expect(rows.map(({ parent_ulid, root_ulid, depth, principal }) => ({ parent_ulid, root_ulid, depth, principal }))).toEqual([
    { parent_ulid: null, root_ulid: top, depth: 0, principal: "local" },
    { parent_ulid: top, root_ulid: top, depth: 1, principal: sessionPrincipal(top) },
    { parent_ulid: child, root_ulid: top, depth: 2, principal: sessionPrincipal(String(child)) },
  ]);
  const ended = await on.baton.query<{ session_ulid: string; outcome: string }>(
    "select session_ulid, data->>'outcome' as outcome from event where type = 'turn.completed' and session_ulid = any($1) order by at",
    [rows.map((row) => row.session_ulid)],
  );
  expect(ended).toEqual([grandchild, child, top].map((session_ulid) => ({ session_ulid, outcome: "completed" })));
  const [launched, waited] = await answers(top);
  expect(launched).toMatchObject({ ok: true, action: "launch_task", data: { sessionUlid: child } });
  expect(waited).toMatchObject({ ok: true, action: "wait", data: { met: true, sessions: [{ sessionUlid: child, status: "IDLE" }] } });
  // each began with the tree of its agent as it was then
  expect(["top.txt", "middle.txt", "deepest.txt"].map((name) => existsSync(join(rows[2]?.worktree_path ?? "", name)))).toEqual([true, true, true]);
  expect(await on.baton.query("select 1 from turn_wait")).toEqual([]);
  // the slot is free again, and one
  const next = await launchScripted(on.baton, on.stack, { key: "DEEP-AFTER", turns: [[{ say: "free" }]] });
  await on.baton.turnsEnded(next, 1, 30_000);
}, 120_000);

test("a storm of launches is stopped by the limit that says so, and others are not there", async () => {
  const stranger = await launchScripted(on.baton, on.stack, { key: "STRANGER-1", turns: [[{ say: "mine" }]] });
  await on.baton.turnsEnded(stranger, 1, 30_000);
  const purge = tools.some((tool) => tool.actions.some((one) => one.action === "purge")) ? ["purge"] : [];
  const storm = launchStep("STORM-{{n}}", [[{ say: "hi" }]], { clientRequestId: "storm-{{n}}", run: false });
  const others = ["get", "events", "live_deltas", "abort", "close", ...purge].map((action) => call({ action, sessionUlid: stranger }));
  const agent = await launchScripted(on.baton, on.stack, {
    key: "STORM-0",
    turns: [[{ call: { ...storm.call, times: 8 } }, ...others, call({ action: "list" }), call({ action: "get", sessionUlid: "self" })]],
  });
  await on.baton.turnsEnded(agent, 1, 60_000);
  const said = await answers(agent);
  expect(said.slice(0, 8).map((one) => one.error ?? "ok")).toEqual([
    "ok",
    "ok",
    "ok",
    ...Array.from({ length: 5 }, () => expect.objectContaining({ code: "LIMIT_EXCEEDED", field: "children", used: 3, allowed: 3 })),
  ]);
  expect(said.slice(8, 8 + others.length).map((one) => [one.action, one.error?.code])).toEqual(others.map((one) => [one.call.args["action"], "NOT_FOUND"]));
  expect(said.slice(8 + others.length).map((one) => one.ok)).toEqual([true, true]);
  expect(said.at(-2)?.data).toMatchObject({ sessions: { length: 4 } });
  expect(said.at(-1)?.data).toMatchObject({ sessionUlid: agent });
  const audit = await on.baton.query<{ line: string }>(
    "select action || ' ' || outcome || ' ' || count(*) as line from audit where principal = $1 group by action, outcome",
    [sessionPrincipal(agent)],
  );
  expect(audit.map((row) => row.line).toSorted()).toEqual(
    [...["abort", "close", ...purge].map((action) => `${action} NOT_FOUND 1`), "launch_task LIMIT_EXCEEDED 5", "launch_task done 3"].toSorted(),
  );
}, 120_000);

test("a preset narrows what its agents may, and a killed host worker does not disturb agents that wait", async () => {
  mkdirSync(join(on.stack.home, "presets"), { recursive: true });
  writeFileSync(
    join(on.stack.home, "presets/looks-only.json"),
    JSON.stringify({ providerType: "scripted", permissions: { mode: "approve-all" }, agentScopes: ["session:read"] }),
  );
  const looks = [[launchStep("NARROW-3", [[{ say: "never" }]]), call({ action: "get", sessionUlid: "parent" })]];
  const agent = await launchScripted(on.baton, on.stack, {
    key: "NARROW-1",
    turns: [[launchStep("NARROW-2", [[{ wait: 3_000 }, ...(looks[0] ?? [])]], { launcherConfigKey: "looks-only" }), waitStep]],
  });
  const child = await until(
    "the child at work",
    async () =>
      (
        await on.baton.query<{ id: string }>(
          "select session_ulid as id from turn join session using (session_ulid) where parent_ulid = $1 and prompt_sent_at is not null",
          [agent],
        )
      )[0]?.id,
    30_000,
  );
  await kill(on.host);
  on.host = await on.stack.startHost();
  await on.baton.turnsEnded(agent, 1, 60_000);
  expect((await answers(agent))[1]).toMatchObject({ action: "wait", data: { met: true, sessions: [{ sessionUlid: child, status: "IDLE" }] } });
  expect(await answers(child)).toEqual([
    expect.objectContaining({ error: expect.objectContaining({ code: "PERMISSION_DENIED", field: "scope" }) }),
    expect.objectContaining({ ok: true, data: expect.objectContaining({ sessionUlid: agent }) }),
  ]);
  expect(await on.baton.outcomes(agent)).toEqual(["completed"]);
}, 120_000);

test("an agent that is aborted while it waits leaves no wait behind, and its next turn is its own", async () => {
  const child = [[{ wait: 6_000 }, { say: "child done" }]];
  const agent = await launchScripted(on.baton, on.stack, {
    key: "ABORT-1",
    turns: [
      { on: "go", steps: [launchStep("ABORT-2", child), waitStep] },
      { on: "again", steps: [{ say: "again" }] },
    ],
  });
  await until("the wait", async () => (await on.baton.query("select 1 from turn_wait where session_ulid = $1", [agent])).length === 1, 30_000);
  expect(await door.call({ action: "abort", sessionUlid: agent })).toMatchObject({ ok: true, data: { aborted: true } });
  await on.baton.turnsEnded(agent, 1, 30_000);
  await door.call({ action: "input", sessionUlid: agent, prompt: "again" });
  await on.baton.turnsEnded(agent, 2, 30_000);
  expect(await on.baton.outcomes(agent)).toEqual(["interrupted", "completed"]);
  await until("no wait", async () => (await on.baton.query("select 1 from turn_wait")).length === 0, 15_000);
}, 120_000);

test("referenced secrets and the agent's own token are found in no store, log, argv or answer", async () => {
  // what the agent's shell says: the secret, and the token out of the environment of its MCP server
  const tell = `echo "env $CANARY"; for p in $(cat /proc/$PPID/task/*/children); do tr '\\0' '\\n' < /proc/$p/environ | grep ^BATON_TOKEN=; done; sleep 1; true`;
  const { data } = await on.baton.sdk.sessions.launch(
    { principal: "local", actor: "@test" },
    {
      clientRequestId: "CANARY-1",
      taskKey: "CANARY-1",
      launcherConfigKey: "demo-executor",
      prompt: "go",
      config: {
        env: [{ name: "CANARY", valueRef: "env:H2_CANARY" }],
        scenario: { mcp: "stdio", turns: [[call({ action: "get", sessionUlid: "self" }), { run: tell }, call({ action: "list" })]] },
      },
      task: { title: "x", repositoryPath: on.stack.repository, projectKey: "FAULTS" },
    },
  );
  const sessionUlid = String(data["sessionUlid"]);
  let argv = "";
  await on.baton.eventually(
    "the command",
    async () => {
      argv += allArgv();
      return (await on.baton.query("select 1 from event where session_ulid = $1 and type = 'command.started'", [sessionUlid])).length > 0;
    },
    30_000,
  );
  argv += allArgv();
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  const read = JSON.stringify([
    await door.call({ action: "get", sessionUlid }),
    await door.call({ action: "events", sessionUlid, sinceSeq: 0, maxBytes: 204_800 }),
    await door.call({ action: "live_deltas", sessionUlid, sinceSeq: 0, maxBytes: 204_800 }),
  ]);
  // both were really said
  expect(read).toMatch(/env \[secret\]/);
  expect(read).toMatch(/BATON_TOKEN=\[secret\]/);
  const secret = /baton_[0-9A-Z]{26}_[\w-]{43}/;
  const places: [string, string][] = [["argv", argv], ["answers", read], ["database", await wholeDatabase()], ...filesOf(on.stack.home)];
  expect(places.filter(([, text]) => text.includes(canary) || secret.test(text)).map(([name]) => name)).toEqual([]);
  // one token for the session, and it ends with its runner
  await on.baton.closeSession(sessionUlid);
  await on.baton.eventually(
    "the token revoked",
    async () => (await on.baton.query("select 1 from token where session_ulid = $1 and revoked_at is null", [sessionUlid])).length === 0,
    15_000,
  );
  expect(await on.baton.query("select 1 from token where session_ulid = $1", [sessionUlid])).toHaveLength(1);
}, 120_000);

async function wholeDatabase(): Promise<string> {
  const tables = await on.baton.query<{ name: string }>("select tablename as name from pg_tables where schemaname = 'public'");
  const texts = await Promise.all(tables.map(({ name }) => on.baton.query<{ row: string }>(`select t::text as row from ${name} t`)));
  return JSON.stringify(texts);
}

/** Of every process of this machine. */
function allArgv(): string {
  return execFileSync("sh", ["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"], { maxBuffer: 64 * 1024 * 1024 }).toString();
}

/** Baton's own files: not what is the agents' (their homes, their worktrees). */
function filesOf(home: string): [string, string][] {
  return readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\/(agents|worktrees|repository|cache)(\/|$)/.test(entry.parentPath))
    .map((entry) => [join(entry.parentPath, entry.name).slice(home.length), readFileSync(join(entry.parentPath, entry.name), "latin1")]);
}
