import type { Deps } from "./deps.ts";
import { loadPresets } from "./presets.ts";
import { callTemporal } from "./temporal.ts";

export interface Health {
  status: "ok" | "degraded";
  [part: string]: unknown;
}

/** What is up. Never throws: a part that is away is part of the answer. */
export async function health(deps: Deps): Promise<Health> {
  const [postgres, temporal, hosts, presets] = await Promise.all([
    timed(async () => (await deps.getStore()).ping()),
    timed(() => callTemporal(deps.client, () => deps.client.workflowService.getSystemInfo({}))),
    deps
      .getStore()
      .then((store) => store.hosts.all())
      .catch(() => []),
    loadPresets(deps.options.home),
  ]);
  const ok = postgres.status === "ok" && temporal.status === "ok" && hosts.some((host) => host.alive);
  return {
    status: ok ? "ok" : "degraded",
    postgres,
    temporal: { ...temporal, namespace: deps.options.temporalNamespace },
    hosts: hosts.map(({ hostId, alive, pid, leaseUntil }) => ({ hostId, alive, pid, leaseUntil })),
    instance: deps.options.instance,
    problems: presets.problems,
  };
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
