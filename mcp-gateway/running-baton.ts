import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Baton, BatonOptions } from "../client/open-baton.ts";
import { BatonError } from "../contracts/failures.ts";

/** What of `run.json` this door needs; `npm start` writes it. */
interface RunFile {
  pid: number;
  ready: boolean;
  databaseUrl: string;
  temporalAddress: string;
  instance?: string;
  hostId?: string;
}

/**
 * The Baton that runs on this home, opened when the first call needs it and again when another start wrote other addresses.
 * Rejects with UNAVAILABLE and what to do while none runs. `fixed`: addresses that the environment gives.
 */
export function runningBaton(
  options: Omit<BatonOptions, "databaseUrl" | "temporalAddress">,
  fixed: { databaseUrl: string | undefined; temporalAddress: string | undefined },
): { get(): Promise<Baton>; close(): Promise<void> } {
  let current: { addresses: string; baton: Promise<Baton> } | null = null;
  return {
    get: () => {
      const run = addressesOf(options, fixed);
      const addresses = JSON.stringify(run);
      if (current?.addresses !== addresses) {
        // A call that still uses the old one ends with UNAVAILABLE and is repeated.
        void current?.baton.then((baton) => baton.close()).catch(() => {});
        current = { addresses, baton: open({ ...options, ...run }) };
      }
      return current.baton;
    },
    close: async () => {
      await (await current?.baton)?.close();
    },
  };
}

/** Loaded by the first call: the handshake must not wait for the clients of Postgres and Temporal, which take half of the start. */
async function open(options: BatonOptions): Promise<Baton> {
  const { openBaton } = await import("../client/open-baton.ts");
  return openBaton(options);
}

function addressesOf(
  options: { home: string; instance: string; hostId: string },
  fixed: { databaseUrl: string | undefined; temporalAddress: string | undefined },
) {
  const { databaseUrl, temporalAddress } = fixed;
  if (databaseUrl && temporalAddress) return { databaseUrl, temporalAddress, instance: options.instance, hostId: options.hostId };
  try {
    const run = JSON.parse(readFileSync(join(options.home, "run.json"), "utf8")) as RunFile;
    // Left behind by a start that was killed: nobody is at these addresses, or somebody else.
    process.kill(run.pid, 0);
    if (!run.ready) throw new BatonError("UNAVAILABLE", "Baton is starting or stopping: try again in a moment.", { retryable: true, retryAfterMs: 2_000 });
    return {
      databaseUrl: run.databaseUrl,
      temporalAddress: run.temporalAddress,
      instance: run.instance ?? options.instance,
      hostId: run.hostId ?? options.hostId,
    };
  } catch (error) {
    if (error instanceof BatonError) throw error;
    if ((error as NodeJS.ErrnoException).code === "EPERM") throw new BatonError("PERMISSION_DENIED", "Baton runs as another user.", {});
    throw new BatonError("UNAVAILABLE", `Baton is not running on ${options.home}: start it with npm start.`, { retryable: true, retryAfterMs: 5_000 });
  }
}
