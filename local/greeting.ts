import { loadPresets } from "../client/presets.ts";
import type { Home } from "./home.ts";
import type { RunFile } from "./run-file.ts";
import { onPath } from "./temporal/binary.ts";

const agents = ["claude", "codex", "opencode", "gemini"];

/** What a person needs after the start: the addresses, the agents of this machine, and how an MCP host connects. */
export async function greeting(home: Home, run: RunFile, env: Record<string, string | undefined>): Promise<string> {
  const found = agents.filter((name) => onPath(name, env) !== null);
  const { presets, problems } = await loadPresets(home.path);
  const host = {
    mcpServers: {
      baton: { command: "npm", args: ["run", "--silent", "--prefix", run.checkout, "mcp"], ...(env["BATON_HOME"] ? { env: { BATON_HOME: home.path } } : {}) },
    },
  };
  return [
    "",
    `  MCP over HTTP   ${run.mcpUrl}   (Authorization: Bearer, the token is in ${run.tokenFile})`,
    `  Health          ${run.url}/health`,
    `  Temporal        ${run.temporalAddress}${run.temporalUiUrl === null ? "" : `   UI ${run.temporalUiUrl}`}`,
    `  Postgres        ${withoutPassword(run.databaseUrl)}`,
    `  Home and logs   ${home.path}`,
    `  Agents found    ${found.length > 0 ? found.join(", ") : `none of ${agents.join(", ")} on PATH; the scripted agent is always there`}`,
    `  Presets         ${presets.map((preset) => preset.key).join(", ")}`,
    ...problems.map((problem) => `  A preset is wrong: ${String(problem)}`),
    "",
    "For an MCP host that starts its servers itself:",
    ...JSON.stringify(host, null, 2)
      .split("\n")
      .map((line) => `  ${line}`),
    "or let it be written where the host looks: npm run connect -- claude --write   (or codex, cursor, vscode, opencode, gemini)",
    "What runs and what waits for you: npm run status",
    "",
  ].join("\n");
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.password !== "") shown.password = "…";
  return decodeURIComponent(shown.href);
}
