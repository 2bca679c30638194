import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Context } from "@temporalio/activity";
import { Client, Connection } from "@temporalio/client";
import { historyToJSON } from "@temporalio/common/lib/proto-utils.js";
import { NativeConnection, Worker } from "@temporalio/worker";
import { ulid } from "ulid";
import { engineQueue, hostQueue } from "../../contracts/messages.ts";
import type { ChainActivities, ChainArgs, HostActivities, SessionActivities, SessionArgs, TurnResult } from "../../contracts/messages.ts";
import { noUsage } from "../../contracts/event.ts";
import { workflowBundle } from "../../workers/bundle.ts";

type Activities = SessionActivities & ChainActivities & HostActivities;

/** An activity that a failed test still holds must not keep the process. */
const shutdownForceTime = "5s";

/** A real engine worker and a real host worker whose activities the test brings; `engine: "later"`: started by the test. */
export async function openTrial(activities: Partial<Activities>, more: { engine?: "later" } = {}) {
  const address = process.env["TEST_TEMPORAL_ADDRESS"] ?? "";
  const instance = `t${ulid().toLowerCase().slice(-12)}`;
  const native = await NativeConnection.connect({ address });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  const bundle = await workflowBundle(join(tmpdir(), "baton-test-bundles"));
  const calls: { name: string; args: unknown }[] = [];
  const noted = Object.fromEntries(
    Object.entries({ ...defaults, ...activities }).map(([name, body]) => [
      name,
      (args: never) => {
        calls.push({ name, args });
        return (body as (a: never) => unknown)(args);
      },
    ]),
  );
  const makeEngine = () =>
    Worker.create({
      connection: native,
      taskQueue: engineQueue(instance),
      workflowBundle: bundle,
      activities: noted,
      stickyQueueScheduleToStartTimeout: "1s",
      shutdownForceTime,
    });
  const makeHost = () =>
    Worker.create({ connection: native, taskQueue: hostQueue(instance, "h"), activities: noted, maxHeartbeatThrottleInterval: 100, shutdownForceTime });
  const running: Promise<void>[] = [];
  const workers: Worker[] = [];
  const start = (worker: Worker): void => {
    workers.push(worker);
    running.push(worker.run());
  };
  if (more.engine !== "later") start(await makeEngine());
  return {
    client,
    calls,
    instance,
    of: (name: string) => calls.filter((c) => c.name === name).map((c) => c.args as never),
    startEngine: async () => start(await makeEngine()),
    startHost: async () => start(await makeHost()),
    args: (more: Partial<SessionArgs> = {}): SessionArgs => ({
      sessionUlid: ulid(),
      generation: 1,
      hostQueue: hostQueue(instance, "h"),
      summary: "trial",
      beatTimeoutMs: 5_000,
      turnAttempts: 3,
      workspaceIn: "turn",
      signals: "inOrder",

      ...more,
    }),
    startSession: (args: SessionArgs) => client.workflow.start("session", { workflowId: args.sessionUlid, taskQueue: engineQueue(instance), args: [args] }),
    startChain: (args: ChainArgs) => client.workflow.start("chain", { workflowId: args.chainId, taskQueue: engineQueue(instance), args: [args] }),
    async close() {
      for (const worker of workers) if (worker.getState() === "RUNNING") worker.shutdown();
      await Promise.all(running);
      await native.close();
      await connection.close();
    },
  };
}

/** The result of a turn that went well. */
export function done(turnId: string, more: Partial<TurnResult> = {}): TurnResult {
  return { turnId, outcome: "completed", lastSeq: 1, providerSessionId: "p", usage: noUsage, consumedInputIds: [turnId], ...more };
}

/** A turn that beats until it is cancelled, as an agent that never stops. */
export async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 50);
  try {
    return await context.cancelled;
  } finally {
    clearInterval(beat);
  }
}

/** Events and bytes of a workflow's history, and where its activities were scheduled; kept in test/replays when BATON_RECORD_REPLAYS=1. */
export async function history(client: Client, workflowId: string, recordAs?: string) {
  const fetched = await client.workflow.getHandle(workflowId).fetchHistory();
  // What the SDK gives is indented text.
  const json = JSON.parse(historyToJSON(fetched)) as unknown;
  if (recordAs !== undefined && process.env["BATON_RECORD_REPLAYS"] === "1") {
    const folder = join(import.meta.dirname, "..", "replays");
    mkdirSync(folder, { recursive: true });
    // Stack traces in failures name the checkout they were made in: a kept history belongs to none.
    const checkout = join(import.meta.dirname, "..", "..", "/");
    writeFileSync(join(folder, `${recordAs}.json`), `${JSON.stringify({ workflowId, history: json }).replaceAll(checkout, "")}\n`);
  }
  return {
    events: fetched.events?.length ?? 0,
    bytes: JSON.stringify(json).length,
    /** in ms, in the order in which they were set */
    timers: (fetched.events ?? []).flatMap((e) => {
      const timeout = e.timerStartedEventAttributes?.startToFireTimeout;
      return timeout ? [Number(timeout.seconds ?? 0) * 1_000 + (timeout.nanos ?? 0) / 1_000_000] : [];
    }),
    activities: (fetched.events ?? []).flatMap((e, at) => {
      const name = e.activityTaskScheduledEventAttributes?.activityType?.name;
      return name ? [{ name, at }] : [];
    }),
  };
}

const defaults: Partial<Activities> = {
  prepareWorkspace: async () => ({ path: "/w", head: "0".repeat(40) }),
  runTurn: async (a) => done(a.turnId),
  failInputs: async () => undefined,
  endSession: async () => undefined,
  recordOperatorInput: async (a) => ({ inputId: `op-${a.requestId}` }),
};
