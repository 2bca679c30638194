import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../local/ports.ts";
import { startPostgres } from "../../local/postgres/postgres.ts";
import { findTemporal } from "../../local/temporal/binary.ts";
import { startTemporal } from "../../local/temporal/temporal.ts";
import { servers } from "./servers.ts";

/**
 * One Postgres and one Temporal for the whole run, on free ports, told to the tests by the environment. Both are bound to
 * jest's own process by the kernel: a jest that is killed (its teardown does not run then) leaves no server behind.
 */
export default async function setup(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "baton-test-"));
  servers.directory = directory;
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  say("\ntest servers: finding a Temporal program …");
  const binary = await findTemporal(process.env, say);
  say("test servers: starting Postgres and Temporal …");
  const started = Date.now();
  const postgres = async (): Promise<void> => {
    servers.postgres = await startPostgres({ dataDir: join(directory, "postgres"), port: await freePort(), durable: false, dieWithParent: true });
  };
  const temporal = async (): Promise<void> => {
    servers.temporal = await startTemporal({
      binary,
      dbFile: join(directory, "temporal.db"),
      port: await freePort(),
      uiPort: null,
      log: join(directory, "temporal.log"),
    });
  };
  const results = await Promise.allSettled([postgres(), temporal()]);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) {
    await servers.stop();
    throw failed.reason;
  }
  process.env["TEST_POSTGRES_URL"] = servers.postgres?.url;
  process.env["TEST_TEMPORAL_ADDRESS"] = servers.temporal?.address;
  process.env["TEST_TEMPORAL_BINARY"] = binary;
  say(`test servers: up after ${Date.now() - started} ms`);
}
