import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mergeToml } from "../../cli/merge-toml.ts";
import { checkout, json, onCli } from "./on-cli.ts";

const on = onCli();
const { baton, scratch } = on;

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
    expect([http.includes(on.url), http.includes(`Bearer ${on.token}`), statSync(file).mode & 0o777]).toEqual([true, true, 0o600]);
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
      `${rest}\n[mcp_servers.baton]\nurl = "${on.url}"\nbearer_token_env_var = "BATON_TOKEN"\ntool_timeout_sec = 120\n\n[profiles.x]\na = 1\n`,
    );
    expect([http.stderr, readFileSync(real, "utf8").includes(on.token)]).toEqual([expect.stringContaining("export BATON_TOKEN"), false]);
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
