import { rmSync } from "node:fs";

interface Servers {
  directory: string | undefined;
  postgres: { url: string; stop(): Promise<void> } | undefined;
  temporal: { address: string; stop(): Promise<void> } | undefined;
  stop(): Promise<void>;
}

/** What the global setup started, for the teardown: the two share `globalThis`, not their modules. */
export const servers: Servers = ((globalThis as { batonTestServers?: Servers }).batonTestServers ??= {
  directory: undefined,
  postgres: undefined,
  temporal: undefined,
  async stop() {
    await Promise.allSettled([this.postgres?.stop(), this.temporal?.stop()]);
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true, force: true });
  },
});
