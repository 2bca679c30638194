import { mkdirSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { pino } from "pino";
import { repositoryInspector } from "../client/inspect-repository.ts";
import { openBaton } from "../client/open-baton.ts";
import { readConfig } from "../contracts/config.schema.ts";
import { testAuthenticate, testFixtures } from "./fixtures.ts";
import { httpApp } from "./http.ts";
import { waitLimit } from "./long-polls.ts";
import { authenticator, tokenFromFile } from "./token.ts";

// stdout has one line, for the supervisor; everything else is the log's.
const log = pino({ name: "gateway" }, pino.destination(2));

async function main(): Promise<void> {
  const config = readConfig(process.env);
  if (!config.databaseUrl || !config.temporalAddress) throw new Error('The gateway needs DATABASE_URL and TEMPORAL_ADDRESS: "npm start" sets both.');
  mkdirSync(config.home, { recursive: true, mode: 0o700 });
  const token = tokenFromFile(process.env["BATON_TOKEN_FILE"] ?? join(config.home, "token"));
  const baton = await openBaton({
    ...config,
    databaseUrl: config.databaseUrl,
    temporalAddress: config.temporalAddress,
    inspectRepository: repositoryInspector(process.env),
    searchPath: process.env["PATH"] ?? "",
  });
  const fixtures = await testFixtures(process.env);
  const door = httpApp(
    {
      baton: () => Promise.resolve(baton),
      readOnly: config.readOnly,
      report: ({ action, error }, message) => log.error({ action, err: error }, message),
      waits: waitLimit(config.waits, 16 * config.waits),
      progressMs: config.progressMs,
      fixtures,
    },
    testAuthenticate(
      fixtures,
      authenticator(token, () => Promise.resolve(baton)),
    ),
    token,
  );
  const server = serve({ fetch: door.app.fetch, hostname: config.listen, port: config.port }, (address) => {
    process.stdout.write(`ready ${JSON.stringify({ url: `http://127.0.0.1:${address.port}/mcp` })}\n`);
  });
  // A reader that takes nothing would hold its answers in our memory for ever; it comes back by cursor.
  // Said by ourselves: left to Node, an answer that listens for its own time-out would keep the connection.
  (server as Server).setTimeout(config.socketIdleMs, (socket) => socket.destroy());
  server.on("error", (error: NodeJS.ErrnoException) => {
    log.fatal({ err: error }, error.code === "EADDRINUSE" ? `port ${config.port} is taken: set BATON_PORT` : "the gateway cannot listen");
    process.exit(1);
  });
  const stop = () => {
    // Long polls would hold the server open: their clients come back by cursor.
    server.close();
    void door.close();
    if ("closeAllConnections" in server) server.closeAllConnections();
    void baton.close().finally(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}

main().catch((error: unknown) => {
  log.fatal({ err: error }, (error as Error).message);
  process.exit(1);
});
