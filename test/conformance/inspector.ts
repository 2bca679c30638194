import { join } from "node:path";
import { run, type Tally } from "./tally.ts";
import { toolFile } from "./tools.ts";

const root = join(import.meta.dirname, "../..");
const cli = toolFile("inspector/clients/launcher/build/index.js");

export interface Doors {
  url: string;
  token: string;
  /** what the stdio server finds its Baton by */
  home: string;
}

/** The inspector's command line against the product as it is shipped: both eras over HTTP, and stdio. */
export async function inspector(doors: Doors): Promise<Tally> {
  const tally: Tally = { name: "the inspector", passed: 0, failures: [] };
  const env = { MCP_CATALOG_PATH: join(doors.home, "inspector.json") };
  const http = (era: string) => ["--server-url", doors.url, "--header", `Authorization: Bearer ${doors.token}`, "--protocol-era", era];
  const stdio = ["-e", `BATON_HOME=${doors.home}`, "--", process.execPath, join(root, "mcp-gateway/stdio-main.ts")];
  const ways = Object.entries({ "2026 over HTTP": http("modern"), "2025 over HTTP": http("legacy"), stdio });
  const call = (args: object) => ["--method", "tools/call", "--tool-name", "pm_session", "--tool-args-json", JSON.stringify(args)];
  const wanted: [string, string[], number, RegExp][] = [
    ["tools/list --strict", ["--method", "tools/list", "--strict"], 0, /pm_session/],
    ["pm_session help", call({ action: "help" }), 0, /launch_task/],
    ["a refused call", call({ action: "get", sessionUlid: "NONE-1/executor-1" }), 5, /NOT_FOUND/],
    ["resources/templates/list", ["--method", "resources/templates/list"], 0, /session:\/\//],
  ];
  for (const [way, target] of ways)
    for (const [what, args, code, shows] of wanted) {
      const done = await run([process.execPath, cli, "--cli", ...args, "--format", "json", "-q", ...target], env);
      if (done.code === code && shows.test(done.stdout)) tally.passed += 1;
      else tally.failures.push(`${way}, ${what}: ended with ${done.code}, wanted ${code} and ${shows}\n${`${done.stdout}${done.stderr}`.slice(-1_000)}`);
    }
  return tally;
}
