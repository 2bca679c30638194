import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../contracts/config.schema.ts";
import { migrate } from "../store/migrate.ts";
import { ensureDatabase } from "./database.ts";
import type { Home } from "./home.ts";
import { watchLogs } from "./log-file.ts";
import { keepUp } from "./keep-up.ts";
import type { KeptUp, Started } from "./keep-up.ts";
import { endLeftovers } from "./leftovers.ts";
import { startPart } from "./part.ts";
import { choosePorts } from "./ports.ts";
import { startOf } from "./process-identity.ts";
import { readRunFile, removeRunFile, writeRunFile } from "./run-file.ts";
import type { RunFile } from "./run-file.ts";
import { postgresOf, temporalOf } from "./servers.ts";
import { addSearchAttributes } from "./temporal/search-attributes.ts";
import { findTemporal } from "./temporal/binary.ts";

const checkout = join(import.meta.dirname, "..");
/** In the order in which they stop: who asks first, who is asked last. The host is given time to tell its agents "attempt lost". */
const stopOrder = { gateway: 5_000, host: 15_000, engine: 10_000, temporal: 10_000, postgres: 10_000 };
type PartName = keyof typeof stopOrder;
/** Between two words about a disk that is full. */
const sayAgainMs = 60_000;
/** How long `stop` waits for a start that was told to give up. */
const longestStartMs = 30_000;

export interface Supervisor {
  readonly run: RunFile;
  /** Brings everything up. Rejects with a sentence when something does not start; call `stop` then too. */
  start(): Promise<void>;
  /** Stops what is up or coming up, in order. Error: what did not stop as it should; everything was tried all the same. */
  stop(): Promise<void>;
  /** The second Ctrl-C: KILL for our own processes; the servers get their fast shutdown and are not waited for. */
  kill(): void;
}

/** The parent of everything that `npm start` runs. The home's lock must be held. `env` is what its processes inherit. */
export function createSupervisor(a: { config: Config; home: Home; env: Record<string, string | undefined>; say(line: string): void }): Supervisor {
  const { config, home, say } = a;
  const parts = new Map<PartName, KeptUp>();
  const stopping = new AbortController();
  const { signal } = stopping;
  let starting: Promise<void> = Promise.resolve();
  let unwatch = (): void => {};
  const run: RunFile = {
    pid: process.pid,
    startedAt: startOf(process.pid) ?? "",
    ready: false,
    url: "",
    mcpUrl: "",
    temporalUiUrl: null,
    databaseUrl: config.databaseUrl ?? "",
    temporalAddress: config.temporalAddress ?? "",
    instance: config.instance,
    hostId: config.hostId,
    tokenFile: home.tokenFile,
    checkout,
    parts: {},
  };

  /** What must not end Baton when it fails: a full disk, which may take a line here and there, is said once in a while. */
  let saidAt = -Infinity;
  function quietly(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (performance.now() - saidAt < sayAgainMs) return;
      saidAt = performance.now();
      say(`${home.path} cannot be written (${error instanceof Error ? error.message : String(error)}); Baton goes on`);
    }
  }

  async function up<T extends Started>(name: PartName, start: () => Promise<T>): Promise<void> {
    if (signal.aborted) return;
    parts.set(
      name,
      await keepUp({
        name,
        start,
        say,
        changed(identity) {
          if (identity === null) delete run.parts[name];
          else run.parts[name] = identity;
          quietly(() => writeRunFile(home.runFile, run));
        },
      }).catch((error: unknown) => {
        throw new Error(`${name} does not start: ${error instanceof Error ? error.message : String(error)}`);
      }),
    );
  }

  async function postgres(port: number): Promise<void> {
    if (config.databaseUrl === undefined) {
      let url = "";
      await up("postgres", async () => {
        const started = await postgresOf(home, { port, aborted: signal, quietly, say });
        url = started.url;
        return started;
      });
      if (signal.aborted) return;
      run.databaseUrl = await ensureDatabase(url, "baton");
    }
    await migrate(run.databaseUrl);
    if (!signal.aborted) say("Postgres is up and migrated");
  }

  async function temporal(port: number, uiPort: number): Promise<void> {
    if (config.temporalAddress === undefined) {
      const binary = await findTemporal(a.env, say, signal);
      await up("temporal", () => temporalOf(home, { binary, port, uiPort, aborted: signal }));
      run.temporalAddress = `127.0.0.1:${port}`;
      run.temporalUiUrl = `http://127.0.0.1:${uiPort}`;
    } else {
      await addSearchAttributes(config.temporalAddress, config.temporalNamespace);
    }
    if (!signal.aborted) say("Temporal is up");
  }

  function ours(name: "engine" | "host" | "gateway", script: string): Promise<void> {
    const env = {
      ...a.env,
      BATON_HOME: home.path,
      BATON_INSTANCE: config.instance,
      BATON_HOST_ID: config.hostId,
      BATON_PORT: new URL(run.url).port,
      BATON_URL: run.url,
      BATON_GATEWAY_URL: run.mcpUrl,
      BATON_TOKEN_FILE: home.tokenFile,
      DATABASE_URL: run.databaseUrl,
      TEMPORAL_ADDRESS: run.temporalAddress,
      TEMPORAL_NAMESPACE: config.temporalNamespace,
    };
    return up(name, () => startPart({ script: join(checkout, script), env, log: join(home.logs, `${name}.log`), aborted: signal })).then(() => {
      if (parts.has(name)) say(`${name} is up`);
    });
  }

  async function bringUp(): Promise<void> {
    await endLeftovers(readRunFile(home.runFile));
    const ports = await choosePorts(config.port, [
      "gateway",
      ...(config.databaseUrl === undefined ? ["postgres" as const] : []),
      ...(config.temporalAddress === undefined ? ["temporal" as const, "temporalUi" as const] : []),
    ]);
    if (signal.aborted) return;
    run.url = `http://127.0.0.1:${ports.gateway}`;
    run.mcpUrl = `${run.url}/mcp`;
    writeRunFile(home.runFile, run);
    // all are waited for, also when one fails: `stop` must find each that came up
    await allDone([postgres(ports.postgres), temporal(ports.temporal, ports.temporalUi)]);
    if (signal.aborted) return;
    await allDone([ours("engine", "workers/engine.ts"), ours("host", "workers/host.ts"), ours("gateway", "mcp-gateway/main.ts")]);
    if (signal.aborted) return;
    run.ready = true;
    writeRunFile(home.runFile, run);
  }

  return {
    run,
    start() {
      unwatch = watchLogs(home.logs, quietly);
      starting = bringUp();
      return starting;
    },
    async stop() {
      stopping.abort();
      unwatch();
      run.ready = false;
      // What is still coming up is a part only then. The limit is for servers of others, which may keep us waiting for ever.
      await Promise.race([starting.catch(() => {}), sleep(longestStartMs, undefined, { ref: false })]);
      const errors: string[] = [];
      for (const [name, graceMs] of Object.entries(stopOrder))
        await parts
          .get(name as PartName)
          ?.stop(graceMs)
          .catch((error: unknown) => errors.push(`${name}: ${String(error)}`)); // the rest must end, too
      removeRunFile(home.runFile);
      if (errors.length > 0) throw new Error(`Not all of Baton stopped in order:\n${errors.join("\n")}`);
    },
    kill() {
      for (const [name, part] of parts) {
        const pid = part.pid();
        if (pid === null) continue;
        try {
          process.kill(pid, name === "postgres" ? "SIGINT" : name === "temporal" ? "SIGTERM" : "SIGKILL");
        } catch {
          /* gone already */
        }
      }
    },
  };
}

async function allDone(tasks: Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(tasks)) if (result.status === "rejected") throw result.reason;
}
