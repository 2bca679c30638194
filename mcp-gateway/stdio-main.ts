import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { pino } from "pino";
import { localPrincipal } from "../client/caller.ts";
import { repositoryInspector } from "../client/inspect-repository.ts";
import type { Baton, Caller } from "../client/open-baton.ts";
import { readConfig } from "../contracts/config.schema.ts";
import { BatonError } from "../contracts/failures.ts";
import { waitLimit } from "./long-polls.ts";
import { runningBaton } from "./running-baton.ts";
import { createServer } from "./server.ts";

// stdout belongs to JSON-RPC.
const log = pino({ name: "mcp-stdio" }, pino.destination(2));

function main(): void {
  const config = readConfig(process.env);
  const baton = runningBaton({ ...config, inspectRepository: repositoryInspector(process.env), searchPath: process.env["PATH"] ?? "" }, config);
  const readOnly = config.readOnly || process.argv.includes("--read-only");
  const parts = {
    // A token is looked up at every call: revoked, it is refused at once.
    baton: async () => {
      const opened = await baton.get();
      if (config.token !== undefined) parts.caller = await callerOfToken(opened, config.token, operatorToken(config.home));
      return opened;
    },
    caller: (config.token === undefined ? { principal: localPrincipal } : { principal: "nobody", scopes: [] }) as Caller,
    readOnly,
    report: ({ action, error }: { action: string; error: unknown }, message: string) => log.error({ action, err: error }, message),
    waits: waitLimit(config.waits, config.waits),
    progressMs: config.progressMs,
  };
  // Over stdio the SDK gives the subscriptions of 2026 no way to ask who may hear what.
  serveStdio(({ era }) => createServer(parts, { subscribable: era === "legacy", tasks: era === "modern" }));
  const stop = () => {
    void baton.close().finally(() => process.exit(0));
  };
  process.stdin.once("end", stop);
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

function operatorToken(home: string): string | null {
  try {
    return readFileSync(process.env["BATON_TOKEN_FILE"] ?? join(home, "token"), "utf8").trim() || null;
  } catch {
    return null;
  }
}

async function callerOfToken(baton: Baton, token: string, operators: string | null): Promise<Caller> {
  const caller = token === operators ? { principal: localPrincipal } : await baton.tokens.caller(token);
  if (caller) return caller;
  throw new BatonError("PERMISSION_DENIED", "The token in BATON_TOKEN is not known, is revoked or has expired: ask the operator for another one.");
}

try {
  main();
} catch (error) {
  // For a person: an MCP host shows what its server said before it ended.
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
