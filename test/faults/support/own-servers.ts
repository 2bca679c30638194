import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { freePort } from "../../../local/ports.ts";
import { type RunningPostgres, startPostgres } from "../../../local/postgres/postgres.ts";
import { type RunningTemporal, startTemporal } from "../../../local/temporal/temporal.ts";
import { migrate } from "../../../store/migrate.ts";
import { pidLives } from "../../support/node-process.ts";
import { until } from "../../support/until.ts";
import { openTestBaton } from "./launch.ts";
import { endStack } from "./leftovers.ts";
import type { OnStack } from "./on-stack.ts";
import { openStack } from "./stack.ts";

/** A server that a test may kill and start again on the same data and port. */
export interface OwnServer {
  readonly address: string;
  isUp(): boolean;
  /** `kill -9`; resolves when the process is gone */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** a clean stop; nothing is left running */
  stop(): Promise<void>;
}

/** A durable Postgres with a migrated database of Baton's. `address` is that database's URL. */
export async function ownPostgres(a: { dataDir: string; settings?: Record<string, string> }): Promise<OwnServer> {
  const port = await freePort();
  let running: RunningPostgres | null = null;
  const start = async (): Promise<void> => {
    running = await startPostgres({ dataDir: a.dataDir, port, durable: true, dieWithParent: true });
  };
  await start();
  const url = running!.url;
  const admin = new pg.Client(url);
  await admin.connect();
  await admin.query("create database baton");
  for (const [name, value] of Object.entries(a.settings ?? {})) await admin.query(`alter system set ${name} = '${value}'`);
  await admin.end();
  await migrate(url.replace(/\/postgres$/, "/baton"));
  const server: OwnServer = {
    address: url.replace(/\/postgres$/, "/baton"),
    isUp: () => running !== null && pidLives(running.pid),
    async kill() {
      if (server.isUp()) process.kill(running!.pid, "SIGKILL");
      await running?.exited;
      running = null;
    },
    start,
    async stop() {
      await running?.stop();
      running = null;
    },
  };
  if (a.settings) {
    await server.stop();
    await start();
  }
  return server;
}

/** A Temporal development server on its own database file. */
export async function ownTemporal(directory: string): Promise<OwnServer> {
  const options = {
    binary: process.env["TEST_TEMPORAL_BINARY"] ?? "temporal",
    dbFile: join(directory, "temporal.db"),
    port: await freePort(),
    uiPort: null,
    log: join(directory, "temporal.log"),
  };
  let running: RunningTemporal | null = null;
  const server: OwnServer = {
    address: `127.0.0.1:${options.port}`,
    isUp: () => running !== null && pidLives(running.pid),
    async kill() {
      const pid = running?.pid;
      running = null;
      if (pid === undefined || !pidLives(pid)) return;
      process.kill(pid, "SIGKILL");
      await until("Temporal is gone", () => !pidLives(pid));
    },
    async start() {
      running = await startTemporal(options);
    },
    async stop() {
      await running?.stop();
      running = null;
    },
  };
  await server.start();
  return server;
}

export interface OnOwnServers extends OnStack {
  postgres: OwnServer;
  temporal: OwnServer;
}

/**
 * `onStack` on servers of this file. What is not asked for is the run's shared one. `dataDir`: where, if not among its other files.
 * Afterwards a server that is down is started again first: sessions can only be closed with both.
 */
export function onOwnServers(a: {
  postgres?: { settings?: Record<string, string>; dataDir?: () => string };
  temporal?: boolean;
  start: ("engine" | "host")[];
  numbers?: Record<string, string>;
}): OnOwnServers {
  const on = {} as OnOwnServers;
  let directory = "";
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "baton-own-"));
    const [postgres, temporal] = await Promise.all([
      a.postgres ? ownPostgres({ ...a.postgres, dataDir: a.postgres.dataDir?.() ?? join(directory, "postgres") }) : null,
      a.temporal ? ownTemporal(directory) : null,
    ]);
    if (postgres) on.postgres = postgres;
    if (temporal) on.temporal = temporal;
    const opened = await openStack({
      ...(postgres ? { DATABASE_URL: postgres.address } : {}),
      ...(temporal ? { TEMPORAL_ADDRESS: temporal.address } : {}),
      ...a.numbers,
    });
    on.stack = postgres ? { ...opened, databaseUrl: postgres.address } : opened;
    if (a.start.includes("engine")) on.engine = await on.stack.startEngine();
    if (a.start.includes("host")) on.host = await on.stack.startHost();
    on.baton = await openTestBaton(on.stack);
  }, 120_000);
  afterAll(async () => {
    try {
      for (const server of [on.postgres, on.temporal]) if (server && !server.isUp()) await server.start();
      await endStack(on.baton, on.stack);
    } finally {
      await Promise.all([on.postgres?.stop(), on.temporal?.stop()]);
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    }
  }, 120_000);
  return on;
}
