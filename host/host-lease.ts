import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, ownIdentity } from "./boot-identity.ts";
import type { HostDeps } from "./deps.ts";

/** The right to be this host: one instance polls and adopts, others stand by. */
export interface HostLease {
  /** Resolves when this instance holds the lease: at once if the former holder's process is dead, else when its lease is old. */
  acquire(signal: AbortSignal): Promise<void>;
  /** Renews until stopped; `lost` is called once when another instance has taken over. */
  keep(lost: () => void): { stop(): void };
  release(): Promise<void>;
}

export function hostLease(deps: Pick<HostDeps, "store" | "config" | "owner" | "log">): HostLease {
  const { hostId, hostLeaseMs: leaseMs, hostLeaseRenewMs } = deps.config;
  return {
    async acquire(signal) {
      for (let said = false; ; await sleep(250, undefined, { signal })) {
        try {
          if (await deps.store.hosts.acquire({ hostId, owner: deps.owner, ...ownIdentity(), leaseMs, holderDead: (holder) => !isAlive(holder) })) return;
          if (!said) deps.log.info({ hostId }, "another instance is this host; standing by");
          said = true;
        } catch (error) {
          deps.log.warn({ hostId, error: String(error) }, "the lease cannot be read; repeating");
        }
      }
    },
    keep(lost) {
      let busy = false;
      const timer = setInterval(() => {
        if (busy) return;
        busy = true;
        deps.store.hosts
          .renew({ hostId, owner: deps.owner, leaseMs })
          .then((mine) => {
            if (!mine) lost();
          })
          .catch((error: unknown) => deps.log.warn({ hostId, error: String(error) }, "the lease was not renewed; repeating"))
          .finally(() => (busy = false));
      }, hostLeaseRenewMs);
      return { stop: () => clearInterval(timer) };
    },
    release: () => deps.store.hosts.release({ hostId, owner: deps.owner }),
  };
}
