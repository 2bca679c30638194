import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { pino } from "pino";
import { localPrincipal } from "../client/caller.ts";
import { repositoryInspector } from "../client/inspect-repository.ts";
import { readConfig } from "../contracts/config.schema.ts";
import { waitLimit } from "./long-polls.ts";
import { runningBaton } from "./running-baton.ts";
import { createServer } from "./server.ts";

// stdout belongs to JSON-RPC.
const log = pino({ name: "mcp-stdio" }, pino.destination(2));

function main(): void {
  const config = readConfig(process.env);
  const baton = runningBaton({ ...config, inspectRepository: repositoryInspector(process.env), searchPath: process.env["PATH"] ?? "" }, config);
  const parts = {
    baton: async () => baton.get(),
    caller: { principal: localPrincipal },
    report: ({ action, error }: { action: string; error: unknown }, message: string) => log.error({ action, err: error }, message),
    waits: waitLimit(config.waits, config.waits),
    progressMs: config.progressMs,
  };
  // Over stdio the SDK gives the subscriptions of 2026 no way to ask who may hear what.
  serveStdio(({ era }) => createServer(parts, { subscribable: era === "legacy" }));
  const stop = () => {
    void baton.close().finally(() => process.exit(0));
  };
  process.stdin.once("end", stop);
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

try {
  main();
} catch (error) {
  // For a person: an MCP host shows what its server said before it ended.
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
