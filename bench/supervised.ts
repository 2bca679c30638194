import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunFile } from "../local/run-file.ts";

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

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  await gone;
}
