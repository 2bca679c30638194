import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Home } from "./home.ts";
import type { Started } from "./keep-up.ts";
import { rotate } from "./log-file.ts";
import { startPostgres } from "./postgres/postgres.ts";
import { startOf, waitGone } from "./process-identity.ts";
import { startTemporal } from "./temporal/temporal.ts";

/** The embedded Postgres of a home; `url` is the superuser's, database `postgres`. `quietly` runs a write that may fail. */
export async function postgresOf(
  home: Home,
  a: { port: number; aborted: AbortSignal; quietly(write: () => void): void; say(line: string): void },
): Promise<Started & { url: string }> {
  const log = join(home.logs, "postgres.log");
  a.quietly(() => rotate(log));
  const postgres = await startPostgres({
    dataDir: home.postgresData,
    port: a.port,
    password: readFileSync(home.postgresPassword, "utf8").trim(),
    durable: true,
    dieWithParent: true,
    aborted: a.aborted,
    say: a.say,
    log: (line) => {
      a.quietly(() => appendFileSync(log, `${line}\n`, { mode: 0o600 }));
    },
  });
  return { url: postgres.url, ...asStarted(postgres) };
}

/** The local Temporal of a home. */
export async function temporalOf(home: Home, a: { binary: string; port: number; uiPort: number; aborted: AbortSignal }): Promise<Started> {
  const log = join(home.logs, "temporal.log");
  rotate(log);
  return asStarted(await startTemporal({ ...a, dbFile: home.temporalDb, log }));
}

function asStarted(server: { pid: number; stop(): Promise<void> }): Started {
  const identity = { pid: server.pid, startedAt: startOf(server.pid) ?? "" };
  return { identity, ended: waitGone(identity, Number.POSITIVE_INFINITY, 200).then(() => "see its log"), stop: () => server.stop() };
}
