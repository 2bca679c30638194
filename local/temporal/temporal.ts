import { spawn } from "node:child_process";
import { chmodSync, closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { Connection } from "@temporalio/client";
import { searchAttributes } from "../../contracts/messages.ts";
import { dieWithParent } from "../die-with-parent.ts";
import { startOf, waitGone } from "../process-identity.ts";
import { missingSearchAttributes } from "./search-attributes.ts";

export interface RunningTemporal {
  address: string;
  uiUrl: string | null;
  pid: number;
  /** TERM, and KILL after 10 s. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts the development server on a database file and waits until it serves and knows our search attributes.
 * `uiPort` null: no UI. `log`: file that gets its output. It dies with this process.
 * Error: it ended, was `aborted`, or did not serve within 60 s (it is gone then); the message has the end of its output.
 */
export async function startTemporal(a: {
  binary: string;
  dbFile: string;
  port: number;
  uiPort: number | null;
  log: string;
  aborted?: AbortSignal;
}): Promise<RunningTemporal> {
  const output = openSync(a.log, "a", 0o600);
  const [program = a.binary, ...args] = dieWithParent("TERM", [a.binary, ...flags(a)]);
  const child = spawn(program, args, { detached: true, stdio: ["ignore", output, output] });
  closeSync(output);
  let end: string | null = null;
  const ended = new Promise<void>((resolve) => {
    child.once("error", (error) => {
      end = error.message;
      resolve();
    });
    child.once("exit", (code, signal) => {
      end = `it ended with ${signal ?? code}`;
      resolve();
    });
  });
  const address = `127.0.0.1:${a.port}`;
  const why = (): string | null => end ?? (a.aborted?.aborted === true ? "stopped while it started" : null);
  await serving(address, why, a.log).catch(async (error: unknown) => {
    child.kill("SIGKILL");
    await ended;
    throw error;
  });
  // Prompts of operators' own signals are in it. The server wants to make the file itself; until here only the home's 0700 guards it.
  for (const file of [a.dbFile, `${a.dbFile}-wal`, `${a.dbFile}-shm`]) if (existsSync(file)) chmodSync(file, 0o600);
  const identity = { pid: child.pid ?? 0, startedAt: startOf(child.pid ?? 0) ?? "" };
  return {
    address,
    uiUrl: a.uiPort === null ? null : `http://127.0.0.1:${a.uiPort}`,
    pid: identity.pid,
    async stop() {
      child.kill("SIGTERM");
      if (!(await waitGone(identity, 10_000))) child.kill("SIGKILL");
      await waitGone(identity, 5_000);
    },
  };
}

function flags(a: { dbFile: string; port: number; uiPort: number | null }): string[] {
  const quick = ["transfer", "timer", "visibility"].map((name) => `history.${name}ProcessorMaxPollRPS=2000`);
  return [
    "server",
    "start-dev",
    "--ip",
    "127.0.0.1",
    "--port",
    String(a.port),
    "--db-filename",
    a.dbFile,
    "--log-level",
    "warn",
    ...(a.uiPort === null ? ["--headless"] : ["--ui-ip", "127.0.0.1", "--ui-port", String(a.uiPort)]),
    "--sqlite-pragma",
    "journal_mode=WAL",
    "--sqlite-pragma",
    "synchronous=2",
    ...quick.flatMap((value) => ["--dynamic-config-value", value]),
    ...searchAttributes.flatMap((name) => ["--search-attribute", `${name}=Keyword`]),
  ];
}

async function serving(address: string, ended: () => string | null, log: string): Promise<void> {
  const end = Date.now() + 60_000;
  for (;;) {
    const why = ended() ?? (Date.now() > end ? "it did not serve within 60 s" : null);
    if (why !== null) throw new Error(`Temporal did not start: ${why}\n${tail(log)}`);
    try {
      const connection = await Connection.connect({ address, connectTimeout: 1_000 });
      try {
        if ((await missingSearchAttributes(connection, "default")).length === 0) return;
      } finally {
        await connection.close();
      }
    } catch {
      /* not yet */
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function tail(file: string): string {
  try {
    return readFileSync(file, "utf8").slice(-2_000);
  } catch {
    return "";
  }
}
