import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../local/ports.ts";
import { startPostgres } from "../local/postgres/postgres.ts";
import { findTemporal } from "../local/temporal/binary.ts";
import { startTemporal } from "../local/temporal/temporal.ts";
import { openTestBaton, type TestBaton } from "../test/faults/support/launch.ts";
import { openStack, type Stack } from "../test/faults/support/stack.ts";

/** Where all benchmarks of a run take place: one durable Postgres and one Temporal with the settings of `npm start`. */
export interface Ground {
  directory: string;
  postgresUrl: string;
  temporalAddress: string;
  /** Real engine, host and (if asked for) gateway processes with Baton's own numbers, on a database of their own. */
  baton(a?: { gateway?: boolean; numbers?: Record<string, string> }): Promise<Site>;
  close(): Promise<void>;
}

/** A Baton at work. */
export interface Site {
  stack: Stack;
  baton: TestBaton;
  /** the MCP door, when it was asked for */
  gatewayUrl: string;
  pids: { engine: number; host: number; gateway: number };
  close(): Promise<void>;
}

/** The defaults of an installation; a test's stack has shorter ones. */
const installed = {
  BATON_HOST_BEAT_MS: "3000",
  BATON_HOST_BEAT_TIMEOUT_MS: "15000",
  BATON_HOST_LEASE_MS: "10000",
  BATON_HOST_LEASE_RENEW_MS: "2000",
  BATON_STOP_GRACE_MS: "2000",
  BATON_KEEP_ALIVE_MS: "120000",
};

export async function openGround(say: (line: string) => void): Promise<Ground> {
  const directory = mkdtempSync(join(tmpdir(), "baton-bench-"));
  const binary = await findTemporal(process.env, say);
  const postgres = await startPostgres({ dataDir: join(directory, "postgres"), port: await freePort(), dieWithParent: true });
  const temporal = await startTemporal({
    binary,
    dbFile: join(directory, "temporal.db"),
    port: await freePort(),
    uiPort: null,
    log: join(directory, "temporal.log"),
  });
  // What the support of the fault tests reads.
  process.env["TEST_POSTGRES_URL"] = postgres.url;
  process.env["TEST_TEMPORAL_ADDRESS"] = temporal.address;
  return {
    directory,
    postgresUrl: postgres.url,
    temporalAddress: temporal.address,
    baton: (a) => openSite(a ?? {}),
    async close() {
      await temporal.stop();
      await postgres.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function openSite(a: { gateway?: boolean; numbers?: Record<string, string> }): Promise<Site> {
  const compileCache = process.env["NODE_COMPILE_CACHE"];
  const stack = await openStack({ ...installed, ...(compileCache ? { NODE_COMPILE_CACHE: compileCache } : {}), ...a.numbers });
  fillRepository(stack.repository, 200);
  const engine = await stack.startEngine();
  const host = await stack.startHost({ plain: true });
  const gateway = a.gateway ? await stack.startGateway() : null;
  const baton = await openTestBaton(stack);
  return {
    stack,
    baton,
    gatewayUrl: gateway?.url ?? "",
    pids: { engine: engine.pid ?? 0, host: host.pid ?? 0, gateway: gateway?.process.pid ?? 0 },
    async close() {
      const open = await baton.query<{ session_ulid: string }>("select session_ulid from session where closed_at is null");
      for (const row of open) await baton.closeSession(row.session_ulid).catch(() => undefined);
      await baton.close();
      await stack.close();
    },
  };
}

/** A commit of `count` small files, as many as a middling project has. */
function fillRepository(path: string, count: number): void {
  for (let n = 0; n < count; n += 1) writeFileSync(join(path, `file-${n}.txt`), `line of file ${n}\n`.repeat(50));
  execFileSync("git", ["-C", path, "add", "."]);
  execFileSync("git", ["-C", path, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "files"]);
}
