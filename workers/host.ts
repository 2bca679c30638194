import { rmdir } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { AsyncCompletionClient, Connection, WorkflowClient } from "@temporalio/client";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import pino from "pino";
import { ulid } from "ulid";
import { readConfig, type Config } from "../contracts/config.schema.ts";
import { hostQueue } from "../contracts/messages.ts";
import { createBeats } from "../host/beats.ts";
import type { HostDeps } from "../host/deps.ts";
import { createHostActivities } from "../host/host-activities.ts";
import { hostLease } from "../host/host-lease.ts";
import { expectedLaunches } from "../host/expect-launch.ts";
import { watchInbox } from "../host/inbox.ts";
import { endIdleRunner } from "../host/obtain-runner.ts";
import { socketDirectory } from "../host/runner-paths.ts";
import { createKeeper, lost } from "../host/keeper.ts";
import { workspaceMaker } from "../host/make-workspace.ts";
import { turnSlots } from "../host/turn-slots.ts";
import { watchWaits } from "../host/waits.ts";
import { runnerControl } from "../runner/control-client.ts";
import { openStore } from "../store/open-store.ts";
import { workspacesInProcess } from "../workspaces/process-client.ts";
import { connectPatiently } from "./connect.ts";

/** Composition root of one machine's side. Resolves after a clean stop. */
export async function runHostWorker(
  config: Config,
  env: NodeJS.ProcessEnv,
  stop: AbortSignal,
  stopPoint: HostDeps["stopPoint"] = async () => undefined,
): Promise<void> {
  if (!config.databaseUrl || !config.temporalAddress) throw new Error("The host worker needs DATABASE_URL and TEMPORAL_ADDRESS.");
  Runtime.install({ shutdownSignals: [], logger: new DefaultLogger("WARN") });
  const log = pino({ name: "host" });
  const address = config.temporalAddress;
  const store = await openStore({ databaseUrl: config.databaseUrl, instance: config.instance });
  const connection = await connectPatiently("Temporal", log, () => Connection.connect({ address, connectTimeout: "5s" }));
  const client = { connection, namespace: config.temporalNamespace };
  const workspaces = workspacesInProcess({ home: config.home, environment: env });
  const deps: HostDeps = {
    store,
    config,
    log,
    stopPoint,
    owner: ulid(),
    workspaces,
    runners: runnerControl({
      nodePath: process.execPath,
      mainPath: join(import.meta.dirname, "..", "runner", "main.ts"),
      env,
      standbyLog: join(config.home, "standby-runner.log"),
    }),
    completion: new AsyncCompletionClient(client),
    workflows: new WorkflowClient(client),
    slots: turnSlots(config.turnSlots),
    agentEnv: agentEnvironment(env),
    resolveSecret: (ref) => (ref.startsWith("env:") && !ownVariable.test(ref.slice(4)) ? env[ref.slice(4)] : undefined),
  };
  const lease = hostLease(deps);
  await lease.acquire(stop);
  // A worker that was frozen past its lease has a successor: it must not touch anything any more.
  const kept = lease.keep(() => {
    log.error({ hostId: config.hostId }, "another instance took this host over; leaving");
    process.exit(75);
  });
  const workspaceMaking = workspaceMaker(deps);
  const launches = expectedLaunches(deps, workspaceMaking);
  const keeper = createKeeper(deps, workspaceMaking, launches);
  const beats = createBeats(deps, keeper);
  const native = await connectPatiently("Temporal", log, () => NativeConnection.connect({ address }));
  const worker = await Worker.create({
    connection: native,
    namespace: config.temporalNamespace,
    taskQueue: hostQueue(config.instance, config.hostId),
    activities: createHostActivities(deps, keeper, workspaceMaking),
    maxConcurrentActivityTaskExecutions: 100,
    shutdownGraceTime: "2s",
  });
  beats.start();
  const inbox = watchInbox(deps, keeper, beats, workspaceMaking, launches);
  const waits = watchWaits(deps, keeper);
  const adopted = await keeper.adoptAll();
  const running = worker.run();
  console.log(`ready ${JSON.stringify({ hostId: config.hostId, adopted })}`);
  flushCompileCache(); // a worker that is killed writes nothing
  await Promise.race([running, new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }))]);
  worker.shutdown();
  await running;
  inbox.stop();
  waits.stop();
  beats.stop();
  await launches.stop();
  await stopAgents(deps, keeper);
  kept.stop();
  workspaces.end();
  // Empty unless a runner would not end; then it stays.
  await rmdir(socketDirectory(config, process.getuid?.() ?? 0)).catch(() => undefined);
  await lease.release();
  await store.close();
  await Promise.all([native.close(), connection.close()]);
}

/** Ctrl-C: agents end as "attempt lost", never as a user's abort; the next start resumes them. */
async function stopAgents(deps: HostDeps, keeper: ReturnType<typeof createKeeper>): Promise<void> {
  const turns = [...keeper.held.values()].map((held) => held.turn);
  await Promise.all(turns.map((turn) => lost(deps, turn, "shutdown").catch(() => undefined)));
  await keeper.dropAll();
  const sessions = new Set((await deps.store.runners.live(deps.config.hostId)).map((row) => row.sessionUlid));
  await Promise.all([...sessions].map((sessionUlid) => endIdleRunner(deps, sessionUlid, "shutdown").catch(() => undefined)));
}

/** Baton's own: no agent gets our database, our Temporal or our token, whoever refers to them. */
const ownVariable = /^(BATON_|TEMPORAL_|DATABASE_URL$|PG[A-Z]+$)/;

/** What agents may see of our environment: nothing of Baton's own, no database, no Temporal. */
function agentEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const allowed = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "NO_PROXY",
  ];
  return Object.fromEntries(allowed.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

if (import.meta.main) {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
  process.on("SIGHUP", () => undefined);
  await runHostWorker(readConfig(process.env), process.env, stop.signal).catch((error: unknown) => {
    if (stop.signal.aborted) return;
    console.error(String((error as Error).stack ?? error));
    process.exitCode = 1;
  });
  process.exit();
}
