import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { Client, Connection } from "@temporalio/client";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import pino from "pino";
import { createEngineActivities } from "../activities/engine-activities.ts";
import { createStarter } from "../client/start-workflow.ts";
import { startReconciler } from "../client/reconciler.ts";
import { startDeadlines } from "../client/deadlines.ts";
import { startSettler } from "../client/settler.ts";
import { startSweeper } from "../client/sweeper.ts";
import { readConfig, type Config } from "../contracts/config.schema.ts";
import { engineQueue } from "../contracts/messages.ts";
import { openStore } from "../store/open-store.ts";
import { workflowBundle } from "./bundle.ts";
import { connectPatiently } from "./connect.ts";

/** Composition root of the engine: workflows and their small database effects, and the sweeper. Resolves after a clean stop. */
export async function runEngineWorker(config: Config, stop: AbortSignal): Promise<void> {
  if (!config.databaseUrl || !config.temporalAddress) throw new Error("The engine worker needs DATABASE_URL and TEMPORAL_ADDRESS.");
  const { databaseUrl, temporalAddress: address, temporalNamespace: namespace, instance } = config;
  Runtime.install({ shutdownSignals: [], logger: new DefaultLogger("WARN") });
  const log = pino({ name: "engine" });
  const stopped = new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener("abort", () => resolve(), { once: true });
  });
  // Waits without end for what is not up yet, but not past a stop.
  const waitFor = <T>(what: string, connect: () => Promise<T>): Promise<T> =>
    Promise.race([
      connectPatiently(what, log, connect),
      stopped.then(() => {
        throw new Error(`stopped while waiting for ${what}`);
      }),
    ]);

  const bundling = workflowBundle(join(config.home, "cache"));
  const store = await waitFor("Postgres", async () => {
    const opened = await openStore({ databaseUrl, instance });
    try {
      await opened.ping();
      return opened;
    } catch (error) {
      await opened.close().catch(() => undefined);
      throw error;
    }
  });
  const native = await waitFor("Temporal", () => NativeConnection.connect({ address }));
  const connection = await waitFor("Temporal", () => Connection.connect({ address, connectTimeout: "5s" }));
  const client = new Client({ connection, namespace });
  const starter = createStarter({
    client,
    getStore: async () => store,
    options: { instance, hostBeatTimeoutMs: config.hostBeatTimeoutMs, turnAttempts: config.turnAttempts },
  });
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: engineQueue(instance),
    workflowBundle: await bundling,
    activities: createEngineActivities({ store, config, startSession: starter.session }),
    // A killed worker's workflows are taken over after this, not after Temporal's 10 s.
    stickyQueueScheduleToStartTimeout: config.stickyMs,
    maxCachedWorkflows: 500,
    shutdownGraceTime: "2s",
  });
  const endSweeper = startSweeper(store, starter, { onError: (error) => log.warn({ error: String(error) }, "a sweep failed; the next one repeats it") });
  const endDeadlines = startDeadlines(store, {
    onError: (error) => log.warn({ error: String(error) }, "a deadline could not be kept; the next look repeats it"),
  });
  const endSettler = startSettler({
    store,
    starter,
    inputQueue: config.inputQueue,
    onError: (error) => log.warn({ error: String(error) }, "a session could not be told that another has settled; the next look repeats it"),
  });
  const endReconciler = startReconciler({
    client,
    store,
    everyMs: config.reconcileMs,
    keeperMs: 4 * config.tokenGraceMs,
    onError: (error) => log.warn({ error: String(error) }, "a look for workflows that are gone failed; the next one repeats it"),
  });
  const running = worker.run();
  console.log("ready {}");
  flushCompileCache(); // a worker that is killed writes nothing
  await Promise.race([running, stopped]);
  if (worker.getState() === "RUNNING") worker.shutdown();
  await running;
  await Promise.all([endSweeper(), endDeadlines(), endSettler(), endReconciler()]);
  await store.close();
  await Promise.all([native.close(), connection.close()]);
}

if (import.meta.main) {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
  process.on("SIGHUP", () => undefined);
  await runEngineWorker(readConfig(process.env), stop.signal).catch((error: unknown) => {
    if (stop.signal.aborted) return;
    console.error(String((error as Error).stack ?? error));
    process.exitCode = 1;
  });
  process.exit();
}
