import { join } from "node:path";

/** How a host reaches Baton: it starts a server itself, or calls the running one. */
export type Way = { kind: "stdio"; command: string; args: string[]; env: Record<string, string> } | { kind: "http"; url: string; token: string };

export interface HostConfig {
  title: string;
  format: "json" | "toml";
  /** the file of one project (absent: it has none), and the user's */
  file(a: { directory: string; home: string; env: Record<string, string | undefined>; user: boolean }): string;
  /** keys down to the table of servers */
  path: string[];
  entry(way: Way): Record<string, unknown>;
  /** what to do afterwards */
  then: string;
}

const header = (token: string) => ({ Authorization: `Bearer ${token}` });
const some = (env: Record<string, string>) => (Object.keys(env).length > 0 ? { env } : {});
/** The shape that most hosts share. */
const plain = (way: Way): Record<string, unknown> =>
  way.kind === "stdio" ? { command: way.command, args: way.args, ...some(way.env) } : { url: way.url, headers: header(way.token) };
const typed = (way: Way): Record<string, unknown> => ({ type: way.kind, ...plain(way) });

/** The hosts that `connect` knows, each with its file and the form it reads. */
export const hostConfigs: Record<string, HostConfig> = {
  claude: {
    title: "Claude Code",
    format: "json",
    file: ({ directory, home, user }) => (user ? join(home, ".claude.json") : join(directory, ".mcp.json")),
    path: ["mcpServers"],
    entry: typed,
    then: "Start Claude Code there and approve the server, or look at /mcp.",
  },
  codex: {
    title: "Codex",
    format: "toml",
    file: ({ home, env }) => join(env["CODEX_HOME"] || join(home, ".codex"), "config.toml"),
    path: ["mcp_servers"],
    // It refuses a token in the file: the token's variable is named instead. A first start may install packages.
    entry: (way) =>
      way.kind === "stdio"
        ? { command: way.command, args: way.args, startup_timeout_sec: 120, tool_timeout_sec: 120, ...some(way.env) }
        : { url: way.url, bearer_token_env_var: "BATON_TOKEN", tool_timeout_sec: 120 },
    then: "Start Codex anew and look at /mcp.",
  },
  cursor: {
    title: "Cursor",
    format: "json",
    file: ({ directory, home, user }) => join(user ? home : directory, ".cursor", "mcp.json"),
    path: ["mcpServers"],
    entry: plain,
    then: "Restart Cursor and switch the server on in its list of MCP servers.",
  },
  vscode: {
    title: "VS Code",
    format: "json",
    file: ({ directory, home, env, user }) =>
      user ? join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "Code", "User", "mcp.json") : join(directory, ".vscode", "mcp.json"),
    path: ["servers"],
    entry: typed,
    then: 'Start the server with "MCP: List Servers" in VS Code.',
  },
  opencode: {
    title: "OpenCode",
    format: "json",
    file: ({ directory, home, env, user }) =>
      user ? join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "opencode", "opencode.json") : join(directory, "opencode.json"),
    path: ["mcp"],
    entry: (way) =>
      way.kind === "stdio"
        ? { type: "local", command: [way.command, ...way.args], ...(Object.keys(way.env).length > 0 ? { environment: way.env } : {}), enabled: true }
        : { type: "remote", url: way.url, headers: header(way.token), enabled: true },
    then: "Start OpenCode anew.",
  },
  gemini: {
    title: "Gemini CLI",
    format: "json",
    file: ({ directory, home, user }) => join(user ? home : directory, ".gemini", "settings.json"),
    path: ["mcpServers"],
    entry: (way) => (way.kind === "stdio" ? plain(way) : { httpUrl: way.url, headers: header(way.token) }),
    then: "Start Gemini CLI anew and look at /mcp.",
  },
};
