import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunFile } from "../local/run-file.ts";
import { openTestBaton } from "../test/faults/support/launch.ts";
import { openStack } from "../test/faults/support/stack.ts";
import type { Site } from "./ground.ts";
import { addBenchAgent } from "./orders.ts";

/** A Baton that `npm start`'s supervisor runs, so that what dies comes back as it does for an operator. */
export interface Supervised {
  run(): RunFile;
  /** ms from the start of the process to the moment when everything answers */
  startedIn: number;
  stop(): Promise<void>;
}

/** @param env BATON_HOME, and the rest of what a shell would have */
export async function supervised(env: Record<string, string>): Promise<Supervised> {
  const started = performance.now();
  const child = spawn(process.execPath, [join(import.meta.dirname, "..", "local", "main.ts")], { env, stdio: ["ignore", "ignore", "inherit"] });
  const file = join(env["BATON_HOME"]!, "run.json");
  const run = (): RunFile => JSON.parse(readFileSync(file, "utf8")) as RunFile;
  while (!(existsSync(file) && run().ready)) {
    if (child.exitCode !== null) throw new Error(`the supervisor ended with ${child.exitCode}; logs in ${env["BATON_HOME"]}/logs`);
    if (performance.now() - started > 120_000) throw new Error("Baton was not up in 120 s");
    await sleep(5);
  }
  return { run, startedIn: performance.now() - started, stop: () => end(child) };
}

/** A site whose processes are the supervisor's, with Baton's own beats and `slots` turns at once. The stack gives database, repository and SDK. */
export async function supervisedSite(slots: number): Promise<{ site: Site; running: Supervised; close(): Promise<void> }> {
  const stack = await openStack({
    BATON_TURN_SLOTS: String(slots),
    BATON_HOST_BEAT_MS: "3000",
    BATON_HOST_BEAT_TIMEOUT_MS: "15000",
    BATON_HOST_LEASE_MS: "10000",
    BATON_HOST_LEASE_RENEW_MS: "2000",
  });
  const compileCache = process.env["NODE_COMPILE_CACHE"];
  const running = await supervised({ ...stack.env, ...(compileCache ? { NODE_COMPILE_CACHE: compileCache } : {}) });
  const baton = await openTestBaton(stack);
  const site = { stack, baton } as Site;
  addBenchAgent(site);
  return {
    site,
    running,
    async close() {
      for (const row of await baton.query<{ session_ulid: string }>("select session_ulid from session where closed_at is null"))
        await baton.closeSession(row.session_ulid).catch(() => undefined);
      await baton.close();
      await running.stop();
      await stack.close();
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  await gone;
}
