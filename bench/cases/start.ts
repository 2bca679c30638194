import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../local/ports.ts";
import { startPostgres } from "../../local/postgres/postgres.ts";
import { findTemporal } from "../../local/temporal/binary.ts";
import { startTemporal } from "../../local/temporal/temporal.ts";
import type { Benchmark } from "../benchmark.ts";
import { supervised } from "../supervised.ts";

export const start: Benchmark = {
  name: "start",
  what: "`npm start`'s supervisor on a home that has its data: process start until Postgres, Temporal, engine, host and gateway all answer. Floor: the same Postgres and Temporal alone, started side by side",
  units: { ms: "" },
  steady: "ms",
  targets: [{ figure: "ms", of: "ratio", most: 4 }],
  async open() {
    const home = mkdtempSync(join(tmpdir(), "baton-bench-start-"));
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: process.env["HOME"] ?? "",
      BATON_HOME: home,
      BATON_PORT: "0",
      ...(process.env["NODE_COMPILE_CACHE"] ? { NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] } : {}),
    };
    const floorHome = mkdtempSync(join(tmpdir(), "baton-bench-floor-"));
    const binary = await findTemporal(process.env, () => {});
    const servers = async (): Promise<number> => {
      const started = performance.now();
      const [postgres, temporal] = await Promise.all([
        startPostgres({ dataDir: join(floorHome, "postgres"), port: await freePort(), dieWithParent: true }),
        startTemporal({ binary, dbFile: join(floorHome, "temporal.db"), port: await freePort(), uiPort: null, log: join(floorHome, "temporal.log") }),
      ]);
      const took = performance.now() - started;
      await temporal.stop();
      await postgres.stop();
      return took;
    };
    // Both make their data directories first.
    await servers();
    await (await supervised(env)).stop();
    return {
      floor: async () => ({ ms: await servers() }),
      product: async () => {
        const running = await supervised(env);
        await running.stop();
        return { ms: running.startedIn };
      },
      async close() {
        for (const directory of [home, floorHome]) rmSync(directory, { recursive: true, force: true });
      },
    };
  },
};
