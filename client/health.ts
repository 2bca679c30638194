import { ulid } from "ulid";
import { engineQueue } from "../contracts/messages.ts";
import { batonVersion } from "../contracts/version.ts";
import type { Store } from "../store/store.ts";
import type { Deps } from "./deps.ts";
import { findProgram } from "./find-program.ts";
import { knownAgents } from "./known-agents.ts";
import { listProcesses } from "./list-processes.ts";
import { loadPresets } from "./presets.ts";
import { callTemporal } from "./temporal.ts";

export interface Health {
  status: "ok" | "degraded";
  [part: string]: unknown;
}

/** This process's, since it opened the SDK: a caller that sees another one knows that the door was restarted. */
const runtimeId = ulid();
const startTs = new Date(Date.now() - Math.round(performance.now())).toISOString();

/** What is up, in which versions, and how much waits; with `detail` the processes too. Never throws: a part that is away is part of the answer. */
export async function health(deps: Deps, args: { detail?: boolean } = {}): Promise<Health> {
  const store = deps.getStore();
  const maybe = <T>(read: (from: Store) => Promise<T>): Promise<T | null> => store.then(read).catch(() => null);
  let temporalVersion: string | null = null;
  const [postgres, temporal, engine, hosts, presets, versions, queues, agents] = await Promise.all([
    timed(async () => (await store).ping()),
    timed(async () => {
      temporalVersion = (await callTemporal(deps.client, () => deps.client.workflowService.getSystemInfo({}))).serverVersion ?? null;
    }),
    engineOf(deps),
    maybe((from) => from.hosts.all()),
    loadPresets(deps.options.home),
    maybe((from) => from.health.versions()),
    maybe((from) => from.health.depths()),
    installed(deps.options.searchPath),
  ]);
  const ok = postgres.status === "ok" && temporal.status === "ok" && engine.status === "ok" && (hosts ?? []).some((host) => host.alive);
  return {
    status: ok ? "ok" : "degraded",
    name: "baton",
    version: batonVersion,
    startTs,
    runtimeId,
    postgres,
    temporal: { ...temporal, namespace: deps.options.temporalNamespace },
    engine,
    hosts: (hosts ?? []).map(({ hostId, alive, pid, leaseUntil }) => ({
      hostId,
      alive,
      pid,
      leaseUntil,
      ...(hostId === deps.options.hostId ? { agents } : {}),
    })),
    versions: { baton: batonVersion, node: process.version, postgres: versions?.postgres ?? null, schema: versions?.schema ?? null, temporal: temporalVersion },
    queues,
    instance: deps.options.instance,
    problems: presets.problems,
    ...(args.detail ? { processes: await listProcesses(deps, hosts ?? [], (await maybe((from) => from.health.runners())) ?? []) } : {}),
  };
}

/** Temporal holds a worker's poll for a minute, and asks it to poll again: who has not done so for this long is gone. Milliseconds. */
const polledMs = 75_000;
/** What nobody has taken for this long waits for a worker that is away, or has too much to do. Milliseconds. */
const takenMs = 10_000;
const ofWorkflows = 1;

/** Whether somebody takes the workflows' work: what Temporal says of the engine's queue. */
async function engineOf(deps: Deps): Promise<{ status: "ok" | "down" | "unknown"; polledAt: string | null; say?: string }> {
  try {
    const { temporalNamespace: namespace, instance } = deps.options;
    const queue = { namespace, taskQueue: { name: engineQueue(instance) }, taskQueueType: ofWorkflows, reportStats: true };
    const { pollers, stats } = await callTemporal(deps.client, () => deps.client.workflowService.describeTaskQueue(queue));
    const polled = Math.max(0, ...(pollers ?? []).map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000));
    const polledAt = polled === 0 ? null : new Date(polled).toISOString();
    const waits = Number(stats?.approximateBacklogAge?.seconds ?? 0);
    const say =
      polledAt === null
        ? "No engine worker is up"
        : Date.now() - polled > polledMs
          ? `No engine worker has asked for work since ${polledAt}`
          : waits * 1_000 > takenMs
            ? `No engine worker has taken the work that waits since ${waits} s`
            : null;
    if (say === null) return { status: "ok", polledAt };
    return { status: "down", polledAt, say: `${say}: what is launched stays "starting" until one does. Start it, or look into its log.` };
  } catch (error) {
    return { status: "unknown", polledAt: null, say: (error as Error).message };
  }
}

/** The agents of this machine that a preset could start. */
async function installed(searchPath: string): Promise<{ provider: string; available: boolean }[]> {
  return Promise.all(
    knownAgents.map(async ({ providerType, command }) => ({ provider: providerType, available: (await findProgram(command[0], searchPath)) !== null })),
  );
}

async function timed(call: () => Promise<unknown>): Promise<{ status: "ok" | "down"; ms: number; say?: string }> {
  const from = performance.now();
  try {
    await call();
    return { status: "ok", ms: Math.round(performance.now() - from) };
  } catch (error) {
    return { status: "down", ms: Math.round(performance.now() - from), say: (error as Error).message };
  }
}
