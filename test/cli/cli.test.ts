import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mergeToml } from "../../cli/merge-toml.ts";
import { connectPm, type PmClient } from "../../client/pm-client.ts";
import { readStatus, type Status } from "../../cli/read-status.ts";
import { launchScripted } from "../faults/support/launch.ts";
import { onStack } from "../faults/support/on-stack.ts";
import { nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";

const main = join(import.meta.dirname, "../../cli/main.ts");
const checkout = join(import.meta.dirname, "../..");
const scratch = temporaryDirectory();
const on = onStack({ start: ["engine", "host"] });
let url: string, token: string;

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}
function baton(args: string[], a: { env?: Record<string, string>; cwd?: string; input?: string } = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { PATH: process.env["PATH"], HOME: scratch, BATON_HOME: on.stack?.home ?? scratch, ...a.env };
    const child = execFile(process.execPath, [main, ...args], { env, cwd: a.cwd ?? scratch }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
    child.stdin?.end(a.input ?? "");
  });
}
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;

beforeAll(async () => {
  ({ url } = await on.stack.startGateway());
  mkdirSync(join(on.stack.home, "presets"), { recursive: true });
  const gone = { key: "gone", providerType: "acp", config: { command: ["sh", "-c", "exit 3"] } };
  writeFileSync(join(on.stack.home, "presets/gone.json"), JSON.stringify(gone));
  const tokenFile = join(on.stack.home, "token");
  token = readFileSync(tokenFile, "utf8").trim();
  const { databaseUrl } = on.stack;
  const where = {
    url: new URL(url).origin,
    databaseUrl,
    temporalAddress: on.stack.env["TEMPORAL_ADDRESS"],
    instance: on.stack.env["BATON_INSTANCE"],
    hostId: "host1",
  };
  writeFileSync(
    join(on.stack.home, "run.json"),
    JSON.stringify({ pid: process.pid, ready: true, tokenFile, parts: { engine: { pid: on.engine.pid } }, ...where }),
  );
}, 60_000);

describe("call", () => {
  test("prints the whole answer; a refusal is an answer too and exits with 1", async () => {
    const listed = await baton(["call", "pm_session", '{"action":"list"}']);
    expect([listed.code, listed.stderr, json(listed.stdout)["ok"]]).toEqual([0, "", true]);
    const refused = await baton(["call", "pm_session", "-", "--json"], { input: '{"action":"get","sessionUlid":"NO-1/executor-1"}' });
    expect([refused.code, json(refused.stdout)]).toEqual([1, expect.objectContaining({ ok: false, error: expect.objectContaining({ code: "NOT_FOUND" }) })]);
    expect(refused.stdout.trim().split("\n")).toHaveLength(1);
    expect(refused.stderr).toMatch(/^NOT_FOUND: .+\n$/);
  });

  test("what is written wrongly is told with how it is written (64); no Baton is a sentence (2); a wrong token is no Baton", async () => {
    const wrong = [["call"], ["call", "pm_session", "{"], ["frob"], ["status", "--nonsense"], ["answer", "x"], ["token", "make"], ["connect", "emacs"]];
    expect(await Promise.all(wrong.map(async (args) => (await baton(args)).code))).toEqual(wrong.map(() => 64));
    const nobody = await baton(["status"], { env: { BATON_HOME: join(scratch, "none") } });
    expect([nobody.code, nobody.stdout, nobody.stderr]).toEqual([2, "", expect.stringMatching(/^No Baton runs on .*npm start.*\n$/)]);
    expect((await baton(["status"], { env: { BATON_URL: "http://127.0.0.1:1", BATON_TOKEN: "x" } })).code).toBe(2);
    expect((await baton(["status"], { env: { BATON_URL: url, BATON_TOKEN: `${token}x` } })).code).toBe(2);
  });
});

describe("refusals", () => {
  test("with --json, stdout says them as JSON: no Baton, what is written wrongly", async () => {
    const nobody = await baton(["status", "--json"], { env: { BATON_HOME: join(scratch, "none") } });
    expect([nobody.code, json(nobody.stdout)]).toEqual([2, expect.objectContaining({ ok: false, error: expect.objectContaining({ code: "NO_BATON" }) })]);
    const wrong = await baton(["token", "make", "--json"]);
    expect([wrong.code, json(wrong.stdout)]).toEqual([64, expect.objectContaining({ ok: false, error: expect.objectContaining({ code: "USAGE" }) })]);
  });

  test("a file that is not there, an address that is none, and BATON_URL for tokens are told in words (64)", async () => {
    const file = await baton(["call", "pm_session", "@missing.json"]);
    expect([file.code, file.stderr]).toEqual([64, expect.stringMatching(/^The arguments cannot be read from the file "missing.json" \(ENOENT\)/)]);
    const address = await baton(["status"], { env: { BATON_URL: "my baton", BATON_TOKEN: "x" } });
    expect([address.code, address.stderr]).toEqual([64, expect.stringMatching(/^BATON_URL is no address/)]);
    const elsewhere = await baton(["token", "list"], { env: { BATON_URL: url, BATON_TOKEN: token } });
    expect([elsewhere.code, elsewhere.stdout, elsewhere.stderr]).toEqual([64, "", expect.stringContaining("BATON_URL")]);
  });
});

test("status says what waits for whom, with the call to paste; answer gives it; a later answer hears of the first", async () => {
  const rules = [{ tool: "execute", commandPrefix: "make check", decision: "allow" }];
  writeFileSync(join(on.stack.home, "presets/asks.json"), JSON.stringify({ key: "asks", providerType: "scripted", permissions: { mode: "ask", rules } }));
  const turns = [[{ ask: { title: "make check" } }, { ask: { title: "Run \u001b[31mmake install" } }, { say: "done" }]];
  const launched = await on.baton.sdk.sessions.launch(
    { principal: "local" },
    {
      clientRequestId: "cli-asks",
      actor: "@test",
      taskKey: "CLI-1",
      launcherConfigKey: "asks",
      prompt: "go",
      config: { scenario: { turns } },
      task: { title: "x", repositoryPath: on.stack.repository },
    },
  );
  const sessionUlid = String(launched.data["sessionUlid"]);
  const waiting = await until("the approval", async () => {
    const { code, stdout } = await baton(["status", "--json"]);
    expect(code).toBe(0);
    const status = json(stdout) as { waiting: { approvalId: string; name: string; kind: string; next: unknown[] }[] };
    return status.waiting[0];
  });
  // The first question was answered by the preset's rule and never asked; the second is here.
  expect(waiting).toMatchObject({ name: "CLI-1/executor-1", kind: "approval" });
  expect((await on.baton.sdk.sessions.approvals({ sessionUlid })).data).toMatchObject({
    approvals: [{ approvalId: waiting.approvalId, detail: { why: "mode ask" } }],
  });
  const text = await baton(["status"], { env: { BATON_COMMAND: "npx baton" } });
  expect(text.stdout).toContain(`npx baton answer ${waiting.approvalId} allow`);
  expect(text.stdout).not.toContain("\u001b");

  const unknown = await baton(["answer", waiting.approvalId, "perhaps"]);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("One of: allow, allow_always, deny, deny_stop.")]);
  const added = await baton(["answer", waiting.approvalId, "allow", "--add", "rounds=2"]);
  expect([added.code, added.stderr]).toEqual([64, expect.stringContaining("nothing can be added")]);

  const none = await baton(["answer", "NO-1/executor-1", "allow"]);
  expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/NOT_FOUND.*neither an approval nor a session.*baton status/)]);
  const given = await baton(["answer", "CLI-1/executor-1", "allow"]);
  expect([given.code, given.stdout]).toEqual([0, "Answered: allow.\n"]);
  const late = await baton(["answer", waiting.approvalId, "deny"]);
  expect([late.code, late.stdout]).toEqual([0, expect.stringContaining("Answered already: allow")]);
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect((await baton(["answer", "CLI-1/executor-1", "allow"])).stderr).toContain("Nothing is open");
  expect(json((await baton(["answer", "CLI-1/executor-1", "allow", "--json"])).stdout)).toMatchObject({ ok: false, error: { code: "NOT_FOUND" } });
  expect((await baton(["status"])).stdout).toContain("CLI-1/executor-1  idle");
});

test("a used-up limit: status shows how much to add, and that line, pasted, lets the work go on", async () => {
  const { data } = await on.baton.sdk.sessions.launch(
    { principal: "local" },
    {
      clientRequestId: "cli-limit",
      actor: "@test",
      taskKey: "CLI-2",
      launcherConfigKey: "demo-executor",
      prompt: "go",
      limits: { turns: 1 },
      config: { scenario: { turns: [[{ say: "one" }], [{ say: "two" }]] } },
      task: { title: "x", repositoryPath: on.stack.repository },
    },
  );
  const sessionUlid = String(data["sessionUlid"]);
  await on.baton.sdk.sessions.input({ principal: "local" }, { sessionUlid, prompt: "and on" });
  const line = await until("the way out is shown", async () => {
    const { stdout } = await baton(["status"], { env: { BATON_COMMAND: "npx baton" } });
    return stdout.match(/npx baton (answer \w+ allow --add turns=1)/)?.[1];
  });
  expect((await baton(["answer", "CLI-2/executor-1", "allow", "--add", "turns"])).code).toBe(64);
  expect(await baton(["answer", "CLI-2/executor-1", "allow"])).toMatchObject({ code: 1, stderr: expect.stringContaining("add.turns") });
  expect(await baton(line.split(" "))).toMatchObject({ code: 0, stdout: "Answered: allow.\n" });
  await on.baton.turnsEnded(sessionUlid, 2, 30_000);
}, 60_000);

test("status shows everybody who waits, also beyond the 20 whose calls it looks up, and forgets who was purged meanwhile", async () => {
  const count = 22;
  const launches = Array.from({ length: count }, (_, n) =>
    on.baton.sdk.sessions.launch(
      { principal: "local" },
      {
        clientRequestId: `crowd-${n}`,
        actor: "@test",
        taskKey: `CROWD-${n}`,
        launcherConfigKey: "gone",
        prompt: "go",
        task: { title: "x", repositoryPath: on.stack.repository },
      },
    ),
  );
  const ulids = (await Promise.all(launches)).map(({ data }) => String(data["sessionUlid"]));
  const crowd = await until(
    "all of them wait",
    async () => {
      const { waiting } = json((await baton(["status", "--json"])).stdout) as unknown as Status;
      const mine = waiting.filter((one) => ulids.includes(one.sessionUlid ?? ""));
      return new Set(mine.map((one) => one.sessionUlid)).size === count && mine;
    },
    90_000,
  );
  expect(crowd.some((one) => one.next.length === 0)).toBe(true);
  const { waiting, cut } = json((await baton(["status", "--json"])).stdout) as unknown as Status;
  expect(cut).toEqual([]);
  expect((await baton(["status"])).stdout).toContain(`Waits for somebody: ${waiting.length}`);

  const pm = await connectPm(url, token);
  const first = waiting.find((one) => one.next.length > 0)?.sessionUlid;
  // As if it were purged between the list and the look.
  const send: PmClient["send"] = (tool, args) => pm.send(tool, args["sessionUlid"] === first ? { ...args, sessionUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV" } : args);
  const after = await readStatus({ ...pm, send }, url);
  expect(after.waiting.map((one) => one.sessionUlid)).not.toContain(first);
  expect(after.waiting.length).toBeGreaterThanOrEqual(count - 1);
  await pm.close();
}, 180_000);

test("status --watch says the next state when something changes", async () => {
  const watch = nodeProcess(main, { args: ["status", "--watch", "--json"], env: { BATON_HOME: on.stack.home } });
  await watch.line(/^\{.*\}$/m);
  const sessionUlid = await launchScripted(on.baton, on.stack, { key: "WATCHED-1", turns: [[{ say: "x" }]] });
  await watch.line(new RegExp(`"sessionUlid":"${sessionUlid}"`));
  watch.signal("SIGTERM");
  await watch.ended;
  for (const line of watch.output().trim().split("\n")) expect(json(line)).toHaveProperty("waiting");
});

test("pm_health names versions, queues and, in detail, every process with its session", async () => {
  const sessionUlid = await launchScripted(on.baton, on.stack, { key: "HEALTH-1", turns: [[{ say: "x" }]] });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  const brief = json((await baton(["call", "pm_health"])).stdout) as { data: Record<string, unknown> };
  expect(brief.data).toMatchObject({
    status: "ok",
    version: "0.1.0",
    runtimeId: expect.stringMatching(/^[0-9A-Z]{26}$/),
    hosts: [{ hostId: "host1", alive: true }],
  });
  expect(brief.data["versions"]).toMatchObject({
    baton: json(readFileSync(join(checkout, "package.json"), "utf8"))["version"],
    postgres: expect.any(String),
    temporal: expect.any(String),
  });
  expect(brief.data["queues"]).toMatchObject({ openSessions: expect.any(Number), inputsWaiting: 0, approvalsOpen: 0, turnsRunning: 0 });
  expect(brief.data).not.toHaveProperty("processes");
  const { data } = json((await baton(["call", "pm_health", '{"detail":true}'])).stdout) as {
    data: { processes: { role: string; pid: number; startedAt: string; sessionUlid?: string }[] };
  };
  const of = (role: string) => data.processes.filter((process) => process.role === role);
  expect([of("gateway")[0]?.pid, of("engine")[0]?.pid, of("host")[0]?.pid]).toEqual([expect.any(Number), on.engine.pid, on.host.pid]);
  for (const role of ["runner", "agent"]) expect(of(role).map((process) => process.sessionUlid)).toContain(sessionUlid);
  for (const { startedAt } of data.processes) expect(Math.abs(Date.now() - Date.parse(startedAt))).toBeLessThan(3_600_000);
});

test("help explains a tool in short, an action in full, limits and codes; an unknown topic is told", async () => {
  const help = async (topic?: string) =>
    json((await baton(["call", "pm_session", JSON.stringify({ action: "help", ...(topic ? { topic } : {}) })])).stdout) as Record<
      string,
      Record<string, unknown>
    >;
  expect((await help())["data"]).toMatchObject({
    whenToUse: expect.any(String),
    actions: expect.arrayContaining([expect.objectContaining({ action: "list" })]),
    cautions: expect.any(Array),
    limits: { waitMs: 25_000 },
    codes: { QUEUE_FULL: expect.any(String) },
  });
  expect((await help(" Launch-Task "))["data"]).toMatchObject({
    actions: [
      {
        action: "launch_task",
        scope: "session:launch",
        parameters: expect.arrayContaining([expect.objectContaining({ name: "taskKey", required: true, type: "string" })]),
      },
    ],
  });
  expect(Object.keys((await help("codes"))["data"] ?? {})).toEqual(["codes"]);
  expect((await help("launch"))["error"]).toMatchObject({ code: "INVALID_ARGUMENT", field: "topic" });
});

test("token makes, lists and revokes credentials", async () => {
  expect(await baton(["token", "create", "ci", "--scopes", "everything"])).toMatchObject({ code: 1, stderr: expect.stringContaining("everything") });
  const made = await baton(["token", "create", "ci", "--scopes", "session:read", "--json"]);
  const { secret, token: about } = json(made.stdout) as { secret: string; token: { tokenId: string } };
  expect((await baton(["call", "pm_session", '{"action":"list"}'], { env: { BATON_URL: url, BATON_TOKEN: secret } })).code).toBe(0);
  const listed = (await baton(["token", "list"])).stdout;
  expect([listed.includes(about.tokenId), listed.includes(secret)]).toEqual([true, false]);
  expect((await baton(["token", "revoke", about.tokenId])).code).toBe(0);
  expect((await baton(["call", "pm_session", '{"action":"list"}'], { env: { BATON_URL: url, BATON_TOKEN: secret } })).code).toBe(2);
});

describe("connect", () => {
  const inProject = { claude: ".mcp.json", cursor: ".cursor/mcp.json", vscode: ".vscode/mcp.json", opencode: "opencode.json", gemini: ".gemini/settings.json" };
  const table = { claude: "mcpServers", cursor: "mcpServers", vscode: "servers", opencode: "mcp", gemini: "mcpServers" };

  test("merged without losing anything, the former file kept, twice is once", async () => {
    await Promise.all((Object.keys(inProject) as (keyof typeof inProject)[]).map(merges));
  });
  async function merges(host: keyof typeof inProject): Promise<void> {
    const cwd = join(scratch, host);
    const file = join(cwd, inProject[host]);
    mkdirSync(join(file, ".."), { recursive: true });
    const before = JSON.stringify({ theme: "dark", [table[host]]: { other: { command: "x", type: "local" } } }, null, 4);
    writeFileSync(file, before, { mode: 0o640 });
    expect((await baton(["connect", host, "--write"], { cwd, env: { BATON_NODE: "/opt/node" } })).code).toBe(0);
    const after = json(readFileSync(file, "utf8")) as { theme: string } & Record<string, Record<string, Record<string, unknown>>>;
    expect([after.theme, after[table[host]]?.["other"]]).toEqual(["dark", { command: "x", type: "local" }]);
    const entry = after[table[host]]?.["baton"] ?? {};
    expect([entry["command"], entry["args"] ?? []].flat(2)).toEqual(["/opt/node", join(checkout, "start.mjs"), "mcp"]);
    expect(readFileSync(file, "utf8")).toContain('\n    "theme"');
    expect([readFileSync(`${file}.before-baton`, "utf8"), statSync(file).mode & 0o777]).toEqual([before, 0o640]);
    expect((await baton(["connect", host, "--write"], { cwd, env: { BATON_NODE: "/opt/node" } })).stdout).toContain("has it already");
    expect(readdirSync(join(file, "..")).filter((name) => name.includes("before-baton"))).toHaveLength(1);
    expect((await baton(["connect", host, "--write", "--http"], { cwd })).code).toBe(0);
    const http = readFileSync(file, "utf8");
    expect([http.includes(url), http.includes(`Bearer ${token}`), statSync(file).mode & 0o777]).toEqual([true, true, 0o600]);
  }

  test("the printed server is this checkout's, on this home", async () => {
    const { stdout } = await baton(["connect", "claude"], { env: { BATON_NODE: process.execPath } });
    const { mcpServers } = json(stdout) as unknown as { mcpServers: { baton: { command: string; args: string[]; env: Record<string, string> } } };
    expect(mcpServers.baton).toMatchObject({ type: "stdio", args: [join(checkout, "start.mjs"), "mcp"], env: { BATON_HOME: on.stack.home } });
    expect(existsSync(mcpServers.baton.args[0] ?? "")).toBe(true);
  });

  test("codex: the table is added or replaced where it stands, every other line stays; a token is named, not written", async () => {
    const directory = join(scratch, "codex");
    mkdirSync(directory);
    const real = join(directory, "real.toml");
    const file = join(directory, "config.toml");
    const env = { CODEX_HOME: directory, BATON_NODE: "/opt/node" };
    const rest = ['model = "m" # mine', "", "[mcp_servers.other]", 'command = "x"', 'notes = """', "[mcp_servers.baton]", '"""', ""].join("\n");
    writeFileSync(real, rest);
    symlinkSync(real, file);
    expect((await baton(["connect", "codex", "--write"], { env })).code).toBe(0);
    const first = readFileSync(real, "utf8");
    expect(first).toBe(
      `${rest}\n[mcp_servers.baton]\ncommand = "/opt/node"\nargs = ["${join(checkout, "start.mjs")}","mcp"]\nstartup_timeout_sec = 120\ntool_timeout_sec = 120\n\n[mcp_servers.baton.env]\nBATON_HOME = "${on.stack.home}"\n`,
    );
    writeFileSync(real, `${first}\n[profiles.x]\na = 1\n`);
    const http = await baton(["connect", "codex", "--write", "--http"], { env });
    expect(readFileSync(real, "utf8")).toBe(
      `${rest}\n[mcp_servers.baton]\nurl = "${url}"\nbearer_token_env_var = "BATON_TOKEN"\ntool_timeout_sec = 120\n\n[profiles.x]\na = 1\n`,
    );
    expect([http.stderr, readFileSync(real, "utf8").includes(token)]).toEqual([expect.stringContaining("export BATON_TOKEN"), false]);
    writeFileSync(real, "mcp_servers = { other = {} }\n");
    const refused = await baton(["connect", "codex", "--write"], { env });
    expect([refused.code, refused.stderr, readFileSync(real, "utf8")]).toEqual([
      1,
      expect.stringContaining("Add this by hand"),
      "mcp_servers = { other = {} }\n",
    ]);
  });

  test("codex: the user's comments, keys and variables stay, also those between our table and the next", () => {
    const ours = ["command", "args", "url", "env", "bearer_token_env_var"];
    const before = [
      "# mine",
      "[mcp_servers.baton]",
      "# not now",
      "enabled = false",
      'command = "old"',
      "args = [",
      '  "a", # first',
      '  ["b"],',
      "]",
      "",
      "[mcp_servers.baton.env]",
      'BATON_HOME = "/old"',
      'HTTPS_PROXY = "http://p"',
      "",
      "# for work",
      "[profiles.work]",
      "a = 1",
      "",
      "[mcp_servers.baton.tools.x]",
      "approval = true",
      "",
    ].join("\n");
    const after = mergeToml(before, "mcp_servers", "baton", { command: "new", args: ["c"] }, ours);
    expect(after.split("\n")).toEqual([
      "# mine",
      "[mcp_servers.baton]",
      'command = "new"',
      'args = ["c"]',
      "# not now",
      "enabled = false",
      "",
      "[mcp_servers.baton.tools.x]",
      "approval = true",
      "",
      "[mcp_servers.baton.env]",
      'HTTPS_PROXY = "http://p"',
      "",
      "# for work",
      "[profiles.work]",
      "a = 1",
      "",
    ]);
    expect(mergeToml(after, "mcp_servers", "baton", { command: "new", args: ["c"] }, ours)).toBe(after);
  });

  test("in Baton's own clone the user's file is meant, and a directory that is not there is refused", async () => {
    const env = { HOME: join(scratch, "at-home"), INIT_CWD: checkout };
    mkdirSync(env.HOME);
    const written = await baton(["connect", "claude", "--write"], { cwd: checkout, env });
    expect([written.code, written.stderr]).toEqual([0, expect.stringContaining("--directory")]);
    expect([existsSync(join(env.HOME, ".claude.json")), existsSync(join(checkout, ".mcp.json"))]).toEqual([true, false]);
    const missing = join(scratch, "no-such-place");
    const refused = await baton(["connect", "claude", "--write", "--directory", missing]);
    expect([refused.code, refused.stderr, existsSync(missing)]).toEqual([64, `There is no directory ${missing}.\n`, false]);
  });

  test("a file that is no plain JSON is left alone, and what to add is printed", async () => {
    const cwd = join(scratch, "comments");
    mkdirSync(join(cwd, ".vscode"), { recursive: true });
    for (const text of ['{\n  // mine\n  "servers": {}\n}', '{"servers": []}']) {
      writeFileSync(join(cwd, ".vscode/mcp.json"), text);
      const { code, stderr } = await baton(["connect", "vscode", "--write"], { cwd });
      expect([code, stderr, readFileSync(join(cwd, ".vscode/mcp.json"), "utf8")]).toEqual([1, expect.stringContaining('"baton"'), text]);
    }
    expect(readdirSync(join(cwd, ".vscode"))).toEqual(["mcp.json"]);
  });
});
