import { isAlive, waitGone } from "./process-identity.ts";
import type { RunFile } from "./run-file.ts";

/**
 * Ends what a killed supervisor left behind: mostly the kernel's parent-death signal has begun it already and this only waits.
 * Called with the home's lock held. Only processes named in run.json that started at the very moment written there are touched.
 */
export async function endLeftovers(run: RunFile | null): Promise<void> {
  for (const [name, part] of Object.entries(run?.parts ?? {}).reverse()) {
    if (!isAlive(part)) continue;
    // Postgres: INT is its fast shutdown, TERM would wait for its clients
    signal(part.pid, name === "postgres" ? "SIGINT" : "SIGTERM");
    if (await waitGone(part, 15_000)) continue;
    signal(part.pid, "SIGKILL");
    await waitGone(part, 5_000);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    /* gone meanwhile */
  }
}
